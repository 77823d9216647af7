//! What a `nats://` or `tls://` URL says.

use std::fmt;
use std::path::PathBuf;

use super::percent_decoded;

/// Which NATS servers, who we are there, and which environment of theirs is ours.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsOptions {
    /// `nats://host:port` of the servers, any of which leads to the others.
    pub servers: Vec<String>,
    /// Who we are.
    pub user: NatsUser,
    /// A credentials file (`?credentials=FILE`): a JWT and its key.
    pub credentials: Option<PathBuf>,
    /// `tls://`: nothing is said before the connection is encrypted.
    pub tls: bool,
    /// Certificates to trust beside the system's (`?ca=FILE`).
    pub ca: Option<PathBuf>,
    /// Streams and subjects begin with it (`?prefix=NAME`): it keeps environments apart.
    pub prefix: String,
    /// How many servers keep the streams (`?replicas=N`), where they are created: 1 to 5, 1 by default.
    pub replicas: usize,
}

/// Who we are to a NATS server.
#[derive(Clone, PartialEq, Eq)]
pub enum NatsUser {
    /// It doesn't ask, or credentials tell.
    Nobody,
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// Never shown.
        password: String,
    },
    /// Never shown.
    Token(String),
}

/// The port where none is named.
const PORT: u16 = 4222;

impl NatsOptions {
    /// What stands after `nats:` or `tls:`. The error says what was expected and never has a password in it.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<NatsOptions, String> {
        let rest = rest.strip_prefix("//").ok_or("expected nats://HOST[:PORT]")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // The last @: a password may contain one.
        let (user, hosts) = place.rsplit_once('@').unwrap_or(("", place));
        let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
        let mut options = NatsOptions {
            servers: hosts.split(',').map(server).collect::<Result<_, String>>()?,
            user: identity(user)?,
            credentials: None,
            tls: scheme == "tls",
            ca: None,
            prefix: "tasq".into(),
            replicas: 1,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            options.set(pair)?;
        }
        Ok(options)
    }

    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "prefix" if is_prefix(value) => self.prefix = value.into(),
            "prefix" => return Err(format!("prefix \"{value}\": expected [A-Za-z0-9][A-Za-z0-9_-]{{0,31}}")),
            "credentials" if !value.is_empty() => self.credentials = Some(value.into()),
            "ca" if !value.is_empty() => self.ca = Some(value.into()),
            "replicas" => match value.parse() {
                Ok(replicas @ 1..=5) => self.replicas = replicas,
                _ => return Err(format!("replicas \"{value}\": expected 1 to 5")),
            },
            _ => {
                let known = "prefix=NAME, credentials=FILE, ca=FILE or replicas=N";
                return Err(format!("unknown option \"{name}\"; expected {known}"));
            }
        }
        Ok(())
    }
}

fn server(host: &str) -> Result<String, String> {
    let found = || format!("\"{host}\": expected HOST[:PORT]");
    let bracketed = host.starts_with('[');
    let (name, port) = match host.rsplit_once(':') {
        Some((name, _)) if bracketed && !name.ends_with(']') => (host, PORT),
        Some((name, port)) => (name, port.parse().map_err(|_| found())?),
        None => (host, PORT),
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (bracketed && b"[]:".contains(&b));
    if name.is_empty() || !name.bytes().all(good) {
        return Err(found());
    }
    Ok(format!("nats://{name}:{port}"))
}

fn identity(user: &str) -> Result<NatsUser, String> {
    let decoded = |text| percent_decoded(text).ok_or("expected % and two hexadecimal digits in user or password");
    Ok(match user.split_once(':') {
        None if user.is_empty() => NatsUser::Nobody,
        None => NatsUser::Token(decoded(user)?),
        Some((user, password)) => NatsUser::Password { user: decoded(user)?, password: decoded(password)? },
    })
}

/// It stands in subjects and in the names of streams: no dots, no spaces, no wildcards.
fn is_prefix(text: &str) -> bool {
    text.len() <= 32
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// As users write it, without password and token.
impl fmt::Display for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "tls://" } else { "nats://" })?;
        match &self.user {
            NatsUser::Nobody => {}
            NatsUser::Password { user, .. } => write!(f, "{user}:***@")?,
            NatsUser::Token(_) => f.write_str("***@")?,
        }
        let hosts: Vec<&str> = self.servers.iter().filter_map(|server| server.strip_prefix("nats://")).collect();
        f.write_str(&hosts.join(","))?;
        let mut options = Vec::new();
        if self.prefix != "tasq" {
            options.push(format!("prefix={}", self.prefix));
        }
        options.extend(self.credentials.as_ref().map(|file| format!("credentials={}", file.display())));
        options.extend(self.ca.as_ref().map(|file| format!("ca={}", file.display())));
        if self.replicas != 1 {
            options.push(format!("replicas={}", self.replicas));
        }
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}

/// Like [`fmt::Display`]: what derives its own shows no password either.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::url::Url;

    fn parsed(text: &str) -> NatsOptions {
        match text.parse() {
            Ok(Url::Nats(options)) => options,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn nats_urls_read_and_print() {
        for text in [
            "nats://localhost:4222",
            "tls://a.example:4443,b.example:4222?prefix=test_1&ca=/etc/ca.pem",
            "nats://[::1]:4222?credentials=/run/me.creds&replicas=3",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert_eq!(parsed("nats://host/").servers, ["nats://host:4222"]);
        assert_eq!(parsed("nats://[::1]").servers, ["nats://[::1]:4222"]);
        for bad in [
            "nats:",
            "nats://",
            "nats:host",
            "nats://host:x",
            "nats://a b",
            "nats://h?prefix=a.b",
            "nats://h?prefix=",
            "nats://h?replicas=9",
            "nats://h?sync=full",
            "nats://h/queue",
            "nats://u%zz:p@h",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_we_are_is_read_and_never_shown() {
        let options = parsed("nats://me:s%3Ac%40ret@host?prefix=x");
        assert!(options.user == NatsUser::Password { user: "me".into(), password: "s:c@ret".into() });
        assert_eq!(options.to_string(), "nats://me:***@host:4222?prefix=x");
        let token = parsed("nats://t0ken@host");
        assert!(token.user == NatsUser::Token("t0ken".into()));
        for shown in [token.to_string(), format!("{token:?}"), format!("{options:?}")] {
            assert!(!shown.contains("ret") && !shown.contains("t0ken"), "{shown}");
        }
        let error = "nats://me:secret@host:x".parse::<Url>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let error = "nats://t0ken@host:x".parse::<Url>().unwrap_err().to_string();
        assert!(!error.contains("t0ken"), "{error}");
    }
}
