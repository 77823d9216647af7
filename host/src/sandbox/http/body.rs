//! Bodies that are counted: one by one, and all of a run together.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{BODIES, BODY, Used};

/// The body of a request: fails at the first byte too many.
pub(super) struct Outgoing {
    pub(super) body: WasiBody,
    pub(super) count: Count,
}

/// The body of a response: the same, and it fails where the server is silent for longer than the guest will wait.
pub(super) struct Incoming {
    pub(super) body: hyper::body::Incoming,
    pub(super) count: Count,
    pub(super) silence: Option<(Duration, Pin<Box<Sleep>>)>,
}

/// What one body has had.
pub(super) struct Count {
    so_far: u64,
    used: Arc<Used>,
}

impl Count {
    pub(super) fn new(used: Arc<Used>) -> Count {
        Count { so_far: 0, used }
    }

    /// False where it is too much.
    fn add(&mut self, bytes: usize) -> bool {
        self.so_far += bytes as u64;
        let all = self.used.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.so_far <= BODY && all <= BODIES
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && !self.count.add(data.len())
        {
            self.count.used.is_over.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(BODY)))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) else {
            let silent = self.silence.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready());
            return if silent { Poll::Ready(Some(Err(Error::ConnectionReadTimeout))) } else { Poll::Pending };
        };
        if let Some((time, sleep)) = &mut self.silence {
            let until = Instant::now() + *time;
            sleep.as_mut().reset(until);
        }
        Poll::Ready(match polled {
            Some(Ok(frame)) if frame.data_ref().is_some_and(|data| !self.count.add(data.len())) => {
                Some(Err(Error::HttpResponseBodySize(Some(BODY))))
            }
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(_)) => Some(Err(Error::HttpResponseIncomplete)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
