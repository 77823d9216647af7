//! What a server sends before its answer is there: early hints and the like are passed over, as many as it likes, so
//! somebody has to count.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of the answer's own head and all that comes before it; what is behind it may be read along.
const MOST: usize = 4 * super::send::HEAD;

/// How far a connection has come.
#[derive(Default)]
pub(super) struct Progress {
    is_answered: AtomicBool,
    is_over: AtomicBool,
}

impl Progress {
    /// From here on it is the body that comes, which has its own limit.
    pub(super) fn answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// True where there was too much before the answer.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// A connection that fails where too much comes before the answer.
pub(super) struct Heads<S> {
    stream: S,
    read: usize,
    progress: Arc<Progress>,
}

impl<S> Heads<S> {
    pub(super) fn new(stream: S, progress: Arc<Progress>) -> Heads<S> {
        Heads { stream, read: 0, progress }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if polled.is_ready() && !self.progress.is_answered.load(Ordering::Relaxed) {
            self.read += into.filled().len() - before;
            if self.read > MOST {
                self.progress.is_over.store(true, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
