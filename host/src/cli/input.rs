//! What is typed: times, headers, payloads.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tasq_host::task::{InvalidName, Name, PAYLOAD, Priority, State, UNIQUE_KEY, check_header};
use tasq_host::text;
pub(crate) use tasq_host::text::{backoff, moment, positive_span, span};

use super::error::Error;

/// For who meant no file.
const ESCAPE: &str = "a payload that begins with @ itself is written \\@";

/// A key of 1 to 256 bytes.
pub(crate) fn unique_key(text: &str) -> Result<String, String> {
    let good = UNIQUE_KEY.contains(&text.len());
    good.then(|| text.to_owned()).ok_or_else(|| format!("expected 1 to {} bytes", UNIQUE_KEY.end()))
}

/// `NAME=VALUE`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    check_header(name).map_err(|bad| bad.to_string())?;
    Ok((name.into(), value.into()))
}

/// `HANDLER[=PAYLOAD]`.
pub(crate) fn step(text: &str) -> Result<(Name, Option<Bytes>), String> {
    let (handler, payload) = match text.split_once('=') {
        Some((handler, payload)) => (handler, Some(Bytes::copy_from_slice(payload.as_bytes()))),
        None => (text, None),
    };
    Ok((handler.parse().map_err(|bad: InvalidName| bad.to_string())?, payload))
}

/// `high`, `normal` or `low`.
pub(crate) fn priority() -> impl TypedValueParser<Value = Priority> {
    PossibleValuesParser::new(["high", "normal", "low"]).map(|text| text::priority(&text).unwrap_or_default())
}

/// One of a task's states.
pub(crate) fn state() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str))
        .map(|text| State::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(State::Pending))
}

/// The bytes that `[PAYLOAD | @FILE | -]` stands for: none without it, `\@` for a text that begins with `@`.
pub(crate) fn payload(typed: Option<&OsStr>) -> Result<Bytes, Error> {
    match typed.map(OsStrExt::as_bytes) {
        None => Ok(Bytes::new()),
        Some(b"-") => read("stdin", std::io::stdin().lock()),
        Some(b"@") => Err(Error::usage("payload @: expected a file's path after it, found nothing").hint(ESCAPE)),
        Some([b'@', file @ ..]) => {
            let path = Path::new(OsStr::from_bytes(file));
            read(&path.display().to_string(), open(path)?)
        }
        Some([b'\\', text @ ..]) if text.starts_with(b"@") => Ok(Bytes::copy_from_slice(text)),
        Some(text) => Ok(Bytes::copy_from_slice(text)),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Error::usage(format!("payload file {shown}: expected a file, found a folder")));
    }
    File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::usage(format!("payload file {shown}: expected a file, found nothing")).hint(ESCAPE)
        }
        _ => Error::usage(format!("payload file {shown}: can't be read: {error}")),
    })
}

/// Reads no more than a payload may have, so that an endless file can't fill the memory.
fn read(name: &str, from: impl Read) -> Result<Bytes, Error> {
    let mut payload = Vec::new();
    let read = from.take(PAYLOAD as u64 + 1).read_to_end(&mut payload);
    read.map_err(|error| Error::usage(format!("payload from {name}: can't be read: {error}")))?;
    if payload.len() > PAYLOAD {
        let limit = PAYLOAD >> 20;
        return Err(Error::usage(format!(
            "payload from {name}: expected at most {PAYLOAD} bytes ({limit} MiB), found more"
        )));
    }
    Ok(payload.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Result<Bytes, Error> {
        payload(Some(OsStr::new(text)))
    }

    #[test]
    fn payloads_come_as_text_or_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p");
        std::fs::write(&file, b"\0\xff\n").unwrap();
        assert_eq!(payload(None).unwrap(), "");
        assert_eq!(typed("").unwrap(), "");
        assert_eq!(typed("{\"a\":1}").unwrap(), "{\"a\":1}");
        assert_eq!(typed("\\@x").unwrap(), "@x");
        assert_eq!(typed("\\x").unwrap(), "\\x");
        assert_eq!(payload(Some(OsStr::from_bytes(b"\xff"))).unwrap(), &b"\xff"[..]);
        assert_eq!(typed(&format!("@{}", file.display())).unwrap(), &b"\0\xff\n"[..]);
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |text: &str| typed(text).unwrap_err().to_string();
        assert!(message("@missing").contains("missing: expected a file, found nothing"));
        assert!(message("@").contains("expected a file's path"));
        assert!(message(&format!("@{}", folder.path().display())).contains("found a folder"));
    }

    #[test]
    fn an_endless_payload_is_refused() {
        assert!(typed("@/dev/zero").unwrap_err().to_string().contains("4194304 bytes (4 MiB), found more"));
    }

    #[test]
    fn headers_keep_their_rule() {
        assert_eq!(header("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(header("a=").unwrap(), ("a".into(), String::new()));
        assert!(header("a").is_err() && header("A=b").is_err() && header("tasq-depth=0").is_err());
    }
}
