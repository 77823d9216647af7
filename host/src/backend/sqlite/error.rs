//! What SQLite's errors mean to a caller.

use rusqlite::ErrorCode;

use crate::error::Error;

/// Without the file's name: whoever knows it puts it in front ([`at`]).
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::Error as E;
        let text = one_line(&error.to_string());
        match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::NotADatabase => Error::corrupt("expected an SQLite database, found other data"),
                ErrorCode::DatabaseCorrupt => Error::corrupt(format!("the file is damaged: {text}")),
                // A table or column that was there at the start is gone.
                ErrorCode::Unknown | ErrorCode::SchemaChanged => Error::corrupt(format!("unexpected content: {text}")),
                ErrorCode::TooBig | ErrorCode::ConstraintViolation => Error::rejected(format!("not accepted: {text}")),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    Error::unavailable(format!("another program keeps the file locked: {text}"))
                }
                _ => Error::unavailable(text),
            },
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::QueryReturnedNoRows => Error::corrupt(format!("unexpected content: {text}")),
            _ => Error::unavailable(text),
        }
    }
}

/// A stored value that its own program can't read.
pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::corrupt(one_line(&format!("unexpected content: {what}: {error}")))
}

/// The same error, naming the place.
pub(super) fn at(place: &str, error: &Error) -> Error {
    Error { kind: error.kind, message: format!("{place}: {}", error.message) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use rusqlite::ffi;

    #[test]
    fn codes_become_kinds() {
        let cases = [
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupt),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt),
            (ffi::SQLITE_CORRUPT_INDEX, ErrorKind::Corrupt),
            (ffi::SQLITE_ERROR, ErrorKind::Corrupt),
            (ffi::SQLITE_BUSY, ErrorKind::Unavailable),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Unavailable),
            (ffi::SQLITE_LOCKED, ErrorKind::Unavailable),
            (ffi::SQLITE_FULL, ErrorKind::Unavailable),
            (ffi::SQLITE_IOERR_WRITE, ErrorKind::Unavailable),
            (ffi::SQLITE_READONLY, ErrorKind::Unavailable),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Unavailable),
            (ffi::SQLITE_TOOBIG, ErrorKind::Rejected),
            (ffi::SQLITE_CONSTRAINT, ErrorKind::Rejected),
        ];
        for (code, kind) in cases {
            let text = Some("first\nsecond".to_owned());
            let error = Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), text));
            assert_eq!(error.kind, kind, "{code}");
            assert!(!error.message.contains('\n'), "{}", error.message);
        }
    }
}
