//! How a command can fail: an exit code that scripts rely on, one line for people, and a hint where one helps.

use std::fmt;
use std::process::ExitCode;

use super::output;
use crate::config::Misconfigured;
use tasq_host::error::ErrorKind;
use tasq_host::sandbox::Refusal;

/// The exit codes that help and README promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// It is done.
    Done = 0,
    /// What was asked for was tried, and failed.
    Failed = 1,
    /// Wrong usage or configuration, damaged data included: trying again can't help.
    Usage = 2,
    /// The broker can't be reached.
    Unreachable = 3,
    /// No such task.
    NotFound = 4,
    /// Waited long enough.
    TooLong = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// Why a command ends with another code than 0.
#[derive(Debug)]
pub(crate) struct Error {
    /// What scripts look at.
    pub(crate) code: Code,
    /// The thing, what was expected, what was found; "" where nothing is to be said.
    message: String,
    /// What to do about it.
    hint: Option<String>,
}

impl Error {
    /// An error that says `message`.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), hint: None }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::new(Code::Usage, message)
    }

    /// The command has said everything already.
    pub(crate) fn silent(code: Code) -> Error {
        Error::new(code, "")
    }

    /// Ctrl-C: whoever pressed it knows.
    pub(crate) fn interrupted() -> Error {
        Error::silent(Code::Interrupted)
    }

    /// The same with a hint.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Error {
        Error { hint: Some(hint.into()), ..self }
    }

    /// Says it on stderr, and gives the code to end with.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            output::note(&self.to_string());
        }
        self.code.into()
    }
}

/// As it is shown: what a guest or a file had to do with it can't forge a second line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", output::one_line(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {}", output::one_line(hint)),
            None => Ok(()),
        }
    }
}

impl From<tasq_host::error::Error> for Error {
    fn from(error: tasq_host::error::Error) -> Error {
        let code = match error.kind {
            ErrorKind::Unavailable => Code::Unreachable,
            ErrorKind::Corrupt | ErrorKind::Rejected => Code::Usage,
        };
        Error::new(code, error.message)
    }
}

impl From<Misconfigured> for Error {
    fn from(bad: Misconfigured) -> Error {
        Error { hint: bad.hint.clone(), ..Error::usage(bad.to_string()) }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error { code: Code::Failed, message: refusal.to_string(), hint: refusal.hint }
    }
}

/// Writing to stdout failed. Whoever closed a pipe has read enough: that is no error of ours.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::silent(Code::Done),
            _ => Error::new(Code::Failed, format!("stdout can't be written: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_its_hint_follows_a_blank_one() {
        let error = Error::usage("a\nb\u{1b}[31m").hint("try c");
        assert_eq!(error.to_string(), "error: a\\nb\\u{1b}[31m\n\nhint: try c");
    }

    #[test]
    fn kinds_of_trouble_have_their_codes() {
        let code = |error| Error::from(error).code;
        assert_eq!(code(tasq_host::error::Error::unavailable("")), Code::Unreachable);
        assert_eq!(code(tasq_host::error::Error::corrupt("")), Code::Usage);
        assert_eq!(code(tasq_host::error::Error::rejected("")), Code::Usage);
        let pipe = Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((pipe.code, pipe.message.as_str()), (Code::Done, ""));
    }
}
