//! Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes.

use std::io::{Read, stdin};
use std::process::ExitCode;

/// Bad data: never again.
const DISCARD: u8 = 65;

fn main() -> ExitCode {
    let mut payload = Vec::new();
    if let Err(error) = stdin().read_to_end(&mut payload) {
        eprintln!("stdin: {error}");
        return ExitCode::FAILURE;
    }
    if payload.is_empty() {
        // Whatever the status, the last line decides.
        eprintln!("tasq: snooze 30s: nothing to count yet");
        return ExitCode::FAILURE;
    }
    let text = match std::str::from_utf8(&payload) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("no UTF-8 at byte {}", error.valid_up_to());
            return ExitCode::from(DISCARD);
        }
    };
    let (lines, words, characters) =
        (text.matches('\n').count(), text.split_ascii_whitespace().count(), text.chars().count());
    println!("{{\"lines\":{lines},\"words\":{words},\"characters\":{characters}}}");
    ExitCode::SUCCESS
}
