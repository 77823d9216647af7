//! What can go wrong between us and a server or a file.

/// A broker's, results' or store's failure: callers decide by `kind`, people read the text.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The thing, what was expected, what was found.
    pub message: String,
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Try again: the server or file can't be reached or is busy.
    Unavailable,
    /// Stop: what is stored there can't be read (damaged, or written by a newer version).
    Corrupt,
    /// Ask for something else: the request itself is not acceptable.
    Rejected,
}

impl Error {
    /// See [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Unavailable, message: message.into() }
    }

    /// See [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Corrupt, message: message.into() }
    }

    /// See [`ErrorKind::Rejected`].
    pub fn rejected(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Rejected, message: message.into() }
    }
}

/// What every call into a backend returns.
pub type Result<T> = std::result::Result<T, Error>;
