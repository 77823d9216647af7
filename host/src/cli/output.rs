//! Data on stdout, everything else on stderr; and text of guests, made safe to show.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Writes data as it is; on a terminal the line is ended, so that the prompt stands on one of its own.
pub(crate) fn bytes(data: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(data)?;
    out.write_all(line_end(data, &out))?;
    out.flush()
}

fn line_end(data: &[u8], out: &impl IsTerminal) -> &'static [u8] {
    let is_open = !data.is_empty() && !data.ends_with(b"\n");
    if is_open && out.is_terminal() { b"\n" } else { b"" }
}

/// Writes a line, or several.
pub(crate) fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes one object on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Says something on stderr. Where nobody listens any more, nothing is lost that could be helped.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says on stderr what may not be as it was meant.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {}", one_line(text)));
}

/// `text` on one line: control characters, which could move the cursor or forge a line, are spelt out.
pub(crate) fn one_line(text: &str) -> String {
    spell_out(text, |_| false)
}

/// `text` with its lines and tabs, and every other control character spelt out.
pub(crate) fn lines(text: &str) -> String {
    spell_out(text, |c| c == '\n' || c == '\t')
}

fn spell_out(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Besides the control characters: what turns the direction of writing, and so hides what a line says.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() && !keep(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// As much of a digest as tells versions apart; --json has all of it.
pub(crate) fn digest(digest: &str) -> String {
    one_line(digest).chars().take("sha256:".len() + 12).collect()
}

/// Columns as wide as their widest cell, two spaces between them; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c: &String| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let row = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_cannot_move_the_cursor_or_forge_a_line() {
        assert_eq!(one_line("a\nerror: b\r\u{1b}[2J\u{202e}ä"), "a\\nerror: b\\r\\u{1b}[2J\\u{202e}ä");
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn only_a_terminal_gets_more_than_the_data() {
        let (terminal, file) = ("/dev/ptmx", "/dev/null");
        for (data, out, end) in [("x", terminal, "\n"), ("x\n", terminal, ""), ("", terminal, ""), ("x", file, "")] {
            let out = std::fs::File::open(out).unwrap();
            assert_eq!(line_end(data.as_bytes(), &out), end.as_bytes(), "{data:?}");
        }
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["ID".into(), "STATE".into()], vec!["long-id".into(), "done".into()]];
        assert_eq!(table(&rows), "ID       STATE\nlong-id  done");
    }
}
