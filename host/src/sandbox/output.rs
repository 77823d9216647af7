//! What a guest writes: standard output and error that never block, never fail and never grow, and text made fit for
//! logs and messages.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// So much of the end of standard error is kept for reports.
pub(super) const TAIL: usize = 1 << 10;

/// A sink that keeps the end of what it was given.
#[derive(Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Takes all of `bytes`, keeps the last [`TAIL`] of everything.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (kept.len() + bytes.len()).saturating_sub(TAIL);
        kept.drain(..surplus);
        kept.extend_from_slice(bytes);
    }

    /// The end, as printable text.
    pub(super) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        printable(&String::from_utf8_lossy(&kept)).trim().to_owned()
    }
}

impl IsTerminal for Tail {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Tail {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only preview 3 asks for this one, and it isn't linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Tail {
    async fn ready(&mut self) {}
}

impl OutputStream for Tail {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

/// `text` without what could forge a log line or steer a terminal: control characters but for line feed and tab are
/// escaped.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend(c.escape_default());
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_whatever_comes() {
        let tail = Tail::default();
        tail.push(b"begin ");
        tail.push(&vec![b'x'; 3 * TAIL]);
        tail.push(b" end");
        assert!(tail.text().ends_with("x end") && tail.text().len() == TAIL);
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(printable("a\tb\n\x1b[31mred\r\0"), "a\tb\n\\u{1b}[31mred\\r\\u{0}");
    }
}
