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
    let hint = match error.kind() {
        _ if is_replica(error) => "; name the primary of this replica",
        // A node of a cluster that doesn't let us see that it is one.
        Theirs::Server(ServerErrorKind::Moved) => "; name its cluster: redis+cluster://HOST",
        _ => "",
    };
    Error { kind, message: format!("{}{hint}", text(error)) }
}

/// One line; which of our scripts it was tells users nothing.
fn text(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => {
            let detail = detail.split(" script: ").next().unwrap_or_default().trim_end_matches('.');
            format!("{detail} ({code})")
        }
        _ => error.to_string(),
    };
    let mut chars = text.lines().next().unwrap_or_default().chars();
    chars.next().into_iter().flat_map(char::to_lowercase).chain(chars).collect()
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

pub(super) fn is_replica(error: &RedisError) -> bool {
    error.kind() == Theirs::Server(ServerErrorKind::ReadOnly) || error.to_string().contains("READONLY")
}

/// The same error, saying where.
pub(super) fn at(place: &str, error: &Error) -> Error {
    Error { kind: error.kind, message: format!("{place}: {}", error.message) }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn what_the_server_says_has_its_kind() {
        for (code, kind) in [
            ("WRONGTYPE", ErrorKind::Corrupt),
            ("NOAUTH", ErrorKind::Rejected),
            ("WRONGPASS", ErrorKind::Rejected),
            ("NOPERM", ErrorKind::Rejected),
            ("OOM", ErrorKind::Unavailable),
            ("MISCONF", ErrorKind::Unavailable),
            ("BUSY", ErrorKind::Unavailable),
            ("LOADING", ErrorKind::Unavailable),
            ("READONLY", ErrorKind::Unavailable),
            ("NOREPLICAS", ErrorKind::Unavailable),
            ("MASTERDOWN", ErrorKind::Unavailable),
            ("UNKILLABLE", ErrorKind::Unavailable),
            ("WHATEVER", ErrorKind::Rejected),
        ] {
            assert_eq!(classify(&make_extension_error(code.into(), Some("no".into()))).kind, kind, "{code}");
            // Before Redis 7, a script's error is a text.
            let older = format!("Error running script (call to f_1): @user_script:1: {code} no");
            assert_eq!(classify(&make_extension_error("ERR".into(), Some(older))).kind, kind, "{code}, older");
        }
        assert_eq!(classify(&std::io::Error::from(std::io::ErrorKind::TimedOut).into()).kind, ErrorKind::Unavailable);
    }

    #[test]
    fn an_error_is_one_line_without_our_scripts() {
        let detail = "Command not allowed. script: 5f, on @user_script:1.\nmore";
        let error = classify(&make_extension_error("OOM".into(), Some(detail.into())));
        assert_eq!(error.message, "command not allowed (OOM)");
    }
}
