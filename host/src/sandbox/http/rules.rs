//! What a manifest grants of HTTP, as patterns, and which requests they allow.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::{Method, Uri};
use serde::Deserialize;
use url::Host;

use super::addresses;

/// A line of `[grants] http`: `[METHOD ]http[s]://HOST[:PORT][/PATH]`. The host is a name, `*.` and a name for all names
/// under it, `*` for any name, or an address; without a port it is the scheme's own; the path is the beginning of
/// those that it allows. Names lead to addresses outside alone; an address that isn't there must be granted itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rule {
    method: Option<Method>,
    scheme: Scheme,
    host: Hosts,
    port: u16,
    /// Without its last slash; empty allows any path.
    path: String,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    /// With its leading dot.
    Under(String),
    Name(String),
    Address(IpAddr),
}

/// Why a text is no [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("http = \"{}\": {problem}", text.escape_debug())]
pub struct InvalidRule {
    text: String,
    problem: String,
}

/// Where a request goes, read the way that leaves no second reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    path: String,
}

const EXPECTED: &str = "expected [METHOD ]http[s]://HOST[:PORT][/PATH]";

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Target {
    /// None for what the host doesn't send: other schemes, user names, hosts that are neither name nor address.
    pub(super) fn of(uri: &Uri) -> Option<Target> {
        let scheme = match uri.scheme_str()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let (host, port) = host_and_port(authority.as_str())?;
        let host = host_of(host)?;
        Some(Target { scheme, host, port: port.unwrap_or(scheme.port()), path: uri.path().to_owned() })
    }

    /// As the `host` header names it.
    pub(super) fn authority(&self) -> String {
        let Target { scheme, host, port, .. } = self;
        if *port == scheme.port() { host.to_string() } else { format!("{host}:{port}") }
    }

    fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }
}

/// Both as they are written. None where the port is no number or is empty.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[end..].rfind(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(end + colon);
            let port = port[1..].parse().ok().filter(|port| *port != 0 && !authority[end + colon..].contains('+'))?;
            Some((host, Some(port)))
        }
    }
}

/// What a browser would make of it, so that each spelling of an address is that address. No name ends with a dot: it
/// would be another text for the same host.
fn host_of(text: &str) -> Option<Host<String>> {
    let host = Host::parse(text).ok()?;
    match &host {
        Host::Domain(name) if name.is_empty() || name.ends_with('.') => None,
        _ => Some(host),
    }
}

impl Rule {
    /// True where this rule alone lets a request through.
    pub(super) fn allows(&self, method: &Method, target: &Target) -> bool {
        self.scheme == target.scheme
            && self.port == target.port
            && self.method.as_ref().is_none_or(|granted| granted == method)
            && self.is_for(target)
            && self.has_path(&target.path)
    }

    fn is_for(&self, target: &Target) -> bool {
        match (&self.host, &target.host) {
            (Hosts::Any, Host::Domain(_)) => true,
            (Hosts::Under(end), Host::Domain(name)) => name.len() > end.len() && name.ends_with(end.as_str()),
            (Hosts::Name(granted), Host::Domain(name)) => granted == name,
            (Hosts::Address(granted), _) => target.address().as_ref() == Some(granted),
            _ => false,
        }
    }

    /// Whole segments count, and a path that a server could read as another one doesn't.
    fn has_path(&self, path: &str) -> bool {
        self.path.is_empty() || (is_plain(path) && begins(&self.path, path))
    }

    /// True where it says whom it means, so that a secret may go there.
    pub(super) fn names_its_host(&self) -> bool {
        self.host != Hosts::Any
    }

    /// The address that it is for, and what that is, where it isn't outside.
    pub(in crate::sandbox) fn inside(&self) -> Option<(IpAddr, &'static str)> {
        let address = self.address()?;
        Some((address, addresses::inside(address)?))
    }

    /// None where it is for names.
    pub(in crate::sandbox) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Hosts::Address(address) => Some(address),
            _ => None,
        }
    }

    /// True where it allows all that `other` does.
    pub(in crate::sandbox) fn covers(&self, other: &Rule) -> bool {
        self.is_beside(other)
            && (self.method.is_none() || self.method == other.method)
            && self.host.covers(&other.host)
            && begins(&self.path, &other.path)
    }

    /// True where some request is allowed by both.
    pub(in crate::sandbox) fn meets(&self, other: &Rule) -> bool {
        self.is_beside(other)
            && (self.method.is_none() || other.method.is_none() || self.method == other.method)
            && (self.host.covers(&other.host) || other.host.covers(&self.host))
            && (begins(&self.path, &other.path) || begins(&other.path, &self.path))
    }

    fn is_beside(&self, other: &Rule) -> bool {
        (self.scheme, self.port) == (other.scheme, other.port)
    }

    /// True for requests under TLS.
    pub(in crate::sandbox) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

impl Hosts {
    fn covers(&self, other: &Hosts) -> bool {
        match (self, other) {
            (Hosts::Any, Hosts::Address(_)) => false,
            (Hosts::Any, _) => true,
            (Hosts::Under(end), Hosts::Under(other) | Hosts::Name(other)) => other.ends_with(end.as_str()),
            (one, other) => one == other,
        }
    }
}

/// Of paths as rules keep them: whole segments count.
fn begins(path: &str, other: &str) -> bool {
    other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !["%2e", "%2f", "%5c", "\\", "//", "%25"].iter().any(|odd| lower.contains(odd))
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Rule, InvalidRule> {
        parse(text).map_err(|problem| InvalidRule { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Rule, String> {
    let (method, url) = match text.split_once(' ') {
        None => (None, text),
        Some((method, url)) => {
            let known = Method::from_str(method).ok().filter(|_| method.bytes().all(|byte| byte.is_ascii_uppercase()));
            let known = known.filter(|method| !super::is_never_sent(method));
            (Some(known.ok_or(format!("expected a method such as GET, found \"{}\"", method.escape_debug()))?), url)
        }
    };
    let (scheme, rest) = url.split_once("://").ok_or(EXPECTED)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(format!("expected http or https, found \"{}\"", scheme.escape_debug())),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if rest.contains(['?', '#', '@', ' ', '%']) || (path.len() > 1 && !is_plain(path)) {
        return Err(format!("{EXPECTED}, the path without ?, #, @, %, . and .. in it"));
    }
    let (host, port) = host_and_port(authority).ok_or("expected a port from 1 to 65535")?;
    let host = hosts(host)?;
    let path = path.trim_end_matches('/').to_owned();
    Ok(Rule { method, scheme, host, port: port.unwrap_or(scheme.port()), path, text: text.to_owned() })
}

fn hosts(text: &str) -> Result<Hosts, String> {
    if text == "*" {
        return Ok(Hosts::Any);
    }
    let (under, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    let wrong =
        || format!("expected a host such as api.example.com or *.example.com, found \"{}\"", text.escape_debug());
    match host_of(name).ok_or_else(wrong)? {
        Host::Domain(name) if name.contains('*') => Err(wrong()),
        // It is no name that a server is asked for, so it needs no look at what it leads to.
        Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => {
            Err("names lead outside alone, and localhost doesn't: grant 127.0.0.1 or [::1]".into())
        }
        Host::Domain(name) if under && !name.contains('.') => {
            Err(format!("expected two labels after *., found \"{}\"", text.escape_debug()))
        }
        Host::Domain(name) if under => Ok(Hosts::Under(format!(".{name}"))),
        Host::Domain(name) => Ok(Hosts::Name(name)),
        _ if under => Err(wrong()),
        Host::Ipv4(address) => granted(address.into(), text),
        Host::Ipv6(address) => granted(address.into(), text),
    }
}

fn granted(address: IpAddr, text: &str) -> Result<Hosts, String> {
    let written = text.trim_start_matches('[').trim_end_matches(']');
    if written.parse() != Ok(address) {
        return Err(format!("expected the address as {address}, found \"{}\"", text.escape_debug()));
    }
    if addresses::is_never_granted(address) {
        return Err(format!("{address} can't be granted: a machine's own credentials are found there"));
    }
    Ok(Hosts::Address(address))
}

impl TryFrom<String> for Rule {
    type Error = InvalidRule;

    fn try_from(text: String) -> Result<Rule, InvalidRule> {
        text.parse()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, request: &str) -> bool {
        let (method, url) = request.split_once(' ').unwrap_or(("GET", request));
        let rule: Rule = rule.parse().unwrap();
        let target = Target::of(&url.parse().unwrap());
        target.is_some_and(|target| rule.allows(&method.parse().unwrap(), &target))
    }

    #[test]
    fn a_rule_allows_what_it_says_and_nothing_beside_it() {
        for (rule, yes, no) in [
            ("https://api.example.com", "https://api.example.com/x?y", "http://api.example.com/"),
            ("https://api.example.com", "https://API.example.com:443/", "https://api.example.com:8443/"),
            ("https://api.example.com", "POST https://api.example.com", "https://api.example.com./"),
            ("https://api.example.com", "https://api.example.com", "https://evil.com@api.example.com/"),
            ("https://api.example.com", "https://api.example.com", "https://api.example.com@evil.com/"),
            ("https://api.example.com", "https://api.example.com", "https://api.example.com.evil.com/"),
            ("https://api.example.com:8443", "https://api.example.com:8443/", "https://api.example.com/"),
            ("GET https://*.example.org", "https://a.b.example.org/", "POST https://a.example.org/"),
            ("GET https://*.example.org", "https://a.example.org/", "https://example.org/"),
            ("https://*.example.org", "https://a.example.org/", "https://aexample.org/"),
            ("https://*", "https://anything.net/", "https://8.8.8.8/"),
            ("https://*", "https://anything.net/", "https://134744072/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://localhost:8080/"),
            ("http://127.0.0.1:8080", "http://0x7f.1:8080/", "http://127.0.0.2:8080/"),
            ("http://[::1]:8080", "http://[0:0::1]:8080/", "http://[::2]:8080/"),
            ("https://a.com/v1", "https://a.com/v1/users", "https://a.com/v10"),
            ("https://a.com/v1/", "https://a.com/v1", "https://a.com/v1/../admin"),
            ("https://a.com/v1", "https://a.com/v1?x", "https://a.com/v1/%2e%2e/admin"),
            ("https://a.com/v1", "https://a.com/v1/a.b", "https://a.com/v1//x"),
            ("https://a.com/v1", "https://a.com/v1/", "https://a.com/v1/%252e%252e/"),
            ("https://b\u{fc}cher.de", "https://xn--bcher-kva.de/", "https://bucher.de/"),
        ] {
            assert!(allows(rule, yes), "{rule} must allow {yes}");
            assert!(!allows(rule, no), "{rule} must not allow {no}");
        }
    }

    #[test]
    fn a_rule_covers_another_meets_it_or_has_nothing_to_do_with_it() {
        for (one, other, covers, meets) in [
            ("https://*", "https://api.example.com/v1", true, true),
            ("https://*.example.com", "https://api.example.com", true, true),
            ("https://*.example.com", "https://*.api.example.com", true, true),
            ("https://*.example.com", "https://example.com", false, false),
            ("https://a.com", "GET https://a.com/v1", true, true),
            ("GET https://a.com", "https://a.com", false, true),
            ("GET https://a.com", "POST https://a.com", false, false),
            ("https://a.com/v1", "https://a.com", false, true),
            ("https://a.com/v1", "https://a.com/v10", false, false),
            ("https://a.com", "http://a.com", false, false),
            ("https://a.com", "https://a.com:8443", false, false),
            ("http://*", "http://10.0.0.1", false, false),
            ("http://10.0.0.1", "http://10.0.0.1/x", true, true),
        ] {
            let (one, other): (Rule, Rule) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(
                (one.covers(&other), one.meets(&other), other.meets(&one)),
                (covers, meets, meets),
                "{one} {other}"
            );
            assert!(one.covers(&one));
        }
    }

    #[test]
    fn what_is_no_rule_says_what_was_expected() {
        for (text, want) in [
            ("", "expected [METHOD ]http[s]://"),
            ("api.example.com", "expected [METHOD ]http[s]://"),
            ("ftp://a.com", "expected http or https"),
            ("get https://a.com", "expected a method such as GET"),
            ("TRACE https://a.com", "expected a method such as GET"),
            ("CONNECT https://a.com", "expected a method such as GET"),
            ("GET  https://a.com", "expected http or https"),
            ("https://", "expected a host"),
            ("https://*.com", "expected two labels"),
            ("https://*.1.2.3.4", "expected a host"),
            ("https://a.*.com", "expected a host"),
            ("https://**.example.com", "expected a host"),
            ("https://a.com.", "expected a host"),
            ("https://a.com:0", "expected a port"),
            ("https://a.com:x", "expected a port"),
            ("https://a.com:", "expected a port"),
            ("https://user@a.com", "the path without"),
            ("https://a.com/v1/../x", "the path without"),
            ("https://a.com?x", "the path without"),
            ("http://localhost:8080", "grant 127.0.0.1"),
            ("http://0x7f.1", "expected the address as 127.0.0.1"),
            ("http://2130706433", "expected the address as 127.0.0.1"),
            ("http://169.254.169.254", "can't be granted"),
            ("http://[::ffff:169.254.169.254]", "can't be granted"),
            ("http://[fe80::1]", "can't be granted"),
        ] {
            let refused = text.parse::<Rule>().unwrap_err().to_string();
            assert!(refused.contains(want) && refused.starts_with("http = \""), "{text}: {refused}");
        }
    }
}
