//! Secrets: values that guests never see. A guest gets a placeholder, which stands for the value in requests that its
//! manifest grants.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// Secrets by name, as the operator named them. Printed, they show their names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<Arc<str>, Arc<Secret>>);

#[derive(PartialEq, Eq)]
struct Secret {
    placeholder: String,
    value: Box<str>,
}

/// Why a secret isn't taken. Never shows its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {name}: {problem}")]
pub struct InvalidSecret {
    name: String,
    problem: &'static str,
}

const LONGEST: usize = 4 << 10;
const PLACEHOLDER: &str = "tasq-secret-";

impl Secrets {
    /// Names a secret: a line of printable ASCII, since it travels in headers. A line break at its end, as files have
    /// one, isn't part of it.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidSecret> {
        let refused = |problem| InvalidSecret { name: name.escape_debug().to_string(), problem };
        if !is_name(name) {
            return Err(refused("expected a name of letters, digits and _, as variables have"));
        }
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        if value.is_empty() {
            return Err(refused("expected a value, found nothing"));
        }
        if value.len() > LONGEST {
            return Err(refused("expected at most 4096 bytes"));
        }
        let is_printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let value = std::str::from_utf8(value).ok().filter(|_| is_printable);
        let value = value.ok_or_else(|| refused("expected one line of printable ASCII"))?.into();
        // Another one in each process: no guest can have learnt it elsewhere.
        let placeholder = format!("{PLACEHOLDER}{}", uuid::Uuid::now_v7().simple());
        self.0.insert(name.into(), Arc::new(Secret { placeholder, value }));
        Ok(())
    }

    /// Those of `names` that are here; an error names the first that isn't.
    pub(super) fn only<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Secrets, &'a str> {
        let found = names.map(|name| match self.0.get_key_value(name) {
            Some((name, secret)) => Ok((name.clone(), secret.clone())),
            None => Err(name),
        });
        found.collect::<Result<_, _>>().map(Secrets)
    }

    /// What a guest gets for a secret of this name.
    pub(super) fn placeholder(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|secret| secret.placeholder.as_str())
    }

    /// `header` with the values that its placeholders stand for, also within `Basic` credentials; none where there are
    /// no placeholders.
    pub(super) fn fill(&self, header: &HeaderValue) -> Option<HeaderValue> {
        let text = header.to_str().ok()?;
        let filled = self.filled(text).or_else(|| {
            let credentials = text.strip_prefix("Basic ")?;
            let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
            Some(format!("Basic {}", STANDARD.encode(self.filled(&decoded)?)))
        })?;
        let mut filled = HeaderValue::try_from(filled).ok()?;
        filled.set_sensitive(true);
        Some(filled)
    }

    fn filled(&self, text: &str) -> Option<String> {
        let begun = text.contains(PLACEHOLDER);
        let filled = self
            .0
            .values()
            .filter(|_| begun)
            .fold(text.to_owned(), |text, secret| text.replace(&secret.placeholder, &secret.value));
        (filled != text).then_some(filled)
    }
}

/// As variables of the environment are called.
pub(super) fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128 && text.bytes().all(is_inner) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("TOKEN", b"hunter2\n").unwrap();
        secrets.add("OTHER", b"swordfish").unwrap();
        secrets
    }

    #[test]
    fn placeholders_are_filled_in_headers_alone_or_within_them() {
        let secrets = secrets();
        let token = secrets.placeholder("TOKEN").unwrap();
        let fill = |text: String| {
            let filled = secrets.fill(&HeaderValue::try_from(text).unwrap())?;
            Some(filled.to_str().unwrap().to_owned())
        };
        assert_eq!(fill(token.to_owned()), Some("hunter2".into()));
        assert_eq!(fill(format!("Bearer {token}")), Some("Bearer hunter2".into()));
        let basic = STANDARD.encode(format!("me:{token}"));
        assert_eq!(fill(format!("Basic {basic}")), Some(format!("Basic {}", STANDARD.encode("me:hunter2"))));
        assert_eq!(fill("Basic bWU6eW91".into()), None);
        assert_eq!(fill("tasq-secret-0".into()), None);
    }

    #[test]
    fn a_handler_has_only_what_it_asks_for() {
        let secrets = secrets();
        let token = secrets.placeholder("TOKEN").unwrap();
        let other = secrets.only(["OTHER"].into_iter()).unwrap();
        assert_eq!(other.fill(&HeaderValue::try_from(token).unwrap()), None);
        assert_eq!(secrets.only(["OTHER", "NONE"].into_iter()), Err("NONE"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        for (name, value) in [
            ("a-b", "hunter2"),
            ("", "hunter2"),
            ("1A", "hunter2"),
            ("A", ""),
            ("A", "hunter2\nx"),
            ("A", "hunter2\u{e9}"),
        ] {
            let refused = Secrets::default().add(name, value.as_bytes()).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
        }
        assert_eq!(format!("{:?}", secrets()), r#"{"OTHER", "TOKEN"}"#);
    }
}
