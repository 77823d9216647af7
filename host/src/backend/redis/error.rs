//! What Redis says, in our words.

use redis::{ErrorKind as Theirs, RedisError, ServerErrorKind};

use crate::error::{Error, ErrorKind};

/// What to do about an error, and its text on one line.
pub(super) fn classify(error: &RedisError) -> Error {
    let kind = match error.kind() {
        Theirs::AuthenticationFailed | Theirs::InvalidClientConfig => ErrorKind::Rejected,
        Theirs::Parse | Theirs::UnexpectedReturnType => ErrorKind::Corrupt,
        Theirs::Server(ServerErrorKind::NoPerm) => ErrorKind::Rejected,
        Theirs::Server(ServerErrorKind::ResponseError) | Theirs::Extension => by_text(error),
        _ => ErrorKind::Unavailable,
    };
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let hint = if is_replica(error) { " (a replica: name its primary)" } else { "" };
    Error { kind, message: format!("{}{hint}", text.to_lowercase_first()) }
}

/// Errors inside scripts come as text; before Redis 7 their code does, too.
fn by_text(error: &RedisError) -> ErrorKind {
    let text = format!("{} {error}", error.code().unwrap_or_default());
    let says = |word: &str| text.contains(word);
    if says("WRONGTYPE") {
        return ErrorKind::Corrupt;
    }
    if ["NOAUTH", "WRONGPASS", "NOPERM"].into_iter().any(says) {
        return ErrorKind::Rejected;
    }
    // No memory, no disk, another script, still loading, a replica: all of these may pass.
    let passing = ["OOM", "MISCONF", "BUSY", "LOADING", "READONLY", "NOREPLICAS", "MASTERDOWN", "UNKILLABLE"];
    if passing.into_iter().any(says) { ErrorKind::Unavailable } else { ErrorKind::Rejected }
}

fn is_replica(error: &RedisError) -> bool {
    error.kind() == Theirs::Server(ServerErrorKind::ReadOnly) || error.to_string().contains("READONLY")
}

trait Lower {
    fn to_lowercase_first(&self) -> String;
}

impl Lower for str {
    fn to_lowercase_first(&self) -> String {
        let mut chars = self.chars();
        let first = chars.next().map(char::to_lowercase);
        first.into_iter().flatten().chain(chars).collect()
    }
}

/// The same error, saying where.
pub(super) fn at(place: &str, error: &Error) -> Error {
    Error { kind: error.kind, message: format!("{place}: {}", error.message) }
}
