//! What a guest writes: the end of it, and text made fit for logs and messages.

/// So much of the end of standard error is kept for reports.
pub(super) const TAIL: usize = 1 << 10;

/// The end of what it was given.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Takes all of `bytes`, keeps the last [`TAIL`] of everything.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.0.len() + bytes.len()).saturating_sub(TAIL);
        self.0.drain(..surplus);
        self.0.extend_from_slice(bytes);
    }

    /// The end, as printable text.
    pub(super) fn text(&self) -> String {
        printable(&String::from_utf8_lossy(&self.0)).trim().to_owned()
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
        let mut tail = Tail::default();
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
