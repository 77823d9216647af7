//! What a `redis://`, `redis+cluster://` or `redis+sentinel://` URL says, or one that begins with `rediss` for TLS.

use std::fmt;

use super::{InvalidUrl, PREFIX, is_prefix, percent_decoded, without_password};

/// Which Redis is meant, and which environment of its is ours.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// Where to look for it.
    pub place: RedisPlace,
    /// What the names of all keys begin with, so that several environments can share a server (`?prefix=NAME`).
    pub prefix: String,
    /// How many replicas must have what is accepted before that is said (`?wait_replicas=N`): 0 to 9, 0 by default.
    pub wait_replicas: u8,
    /// The URL without its options, with its passwords hidden.
    shown: String,
}

/// See [`RedisOptions`]. Addresses are `redis://` or `rediss://` URLs of one server each, with user and password.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisPlace {
    /// One server.
    Server(String),
    /// A cluster: some of its nodes, any of which leads to the others.
    Cluster(Vec<String>),
    /// The server that sentinels call the master.
    Sentinels(Sentinels),
}

/// Who knows the master, and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// The sentinels, with their own user and password (`?sentinel_user=NAME&sentinel_password=WORD`), if any.
    pub addresses: Vec<String>,
    /// What they call it.
    pub name: String,
    /// The master's address but for host and port: what stands before these, and behind.
    pub master: (String, String),
}

const EXPECTED: &str = "expected redis://[user:password@]host[:port][/db]";
const EXPECTED_CLUSTER: &str = "expected redis+cluster://[user:password@]host[:port][,host[:port]…]";
const EXPECTED_SENTINEL: &str = "expected redis+sentinel://[user:password@]host[:port][,host[:port]…]/MASTER_NAME[/db]";

/// The ports where none is named.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl RedisOptions {
    /// Reads a URL whose scheme is one of the six.
    pub(super) fn parse(scheme: &str, text: &str) -> Result<RedisOptions, InvalidUrl> {
        let shown = hidden(text);
        Self::read(scheme, text).map_err(|why| InvalidUrl(format!("{shown}: {why}")))
    }

    fn read(scheme: &str, text: &str) -> Result<RedisOptions, String> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut said = Said { prefix: PREFIX.into(), ..Said::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            said.set(pair, scheme.ends_with("+sentinel"))?;
        }
        let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let place = address.split_once("://").map_or("", |(_, place)| place);
        let place = match kind {
            "cluster" => RedisPlace::Cluster(cluster(plain, place)?),
            "sentinel" => RedisPlace::Sentinels(sentinels(plain, place, &said)?),
            _ if place.is_empty() => return Err("expected a server, as in redis://localhost:6379".into()),
            _ if place.rsplit('@').next().is_some_and(|hosts| hosts.contains(',')) => {
                return Err(format!("{EXPECTED}, found several hosts; a cluster's begin with {plain}+cluster://"));
            }
            _ => RedisPlace::Server(address.into()),
        };
        Ok(RedisOptions {
            place,
            prefix: said.prefix,
            wait_replicas: said.wait_replicas,
            shown: without_password(address),
        })
    }
}

/// What the options say.
#[derive(Default)]
struct Said {
    prefix: String,
    wait_replicas: u8,
    user: String,
    password: String,
}

impl Said {
    fn set(&mut self, pair: &str, has_sentinels: bool) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "prefix" if is_prefix(value) => self.prefix = value.into(),
            "prefix" => return Err(format!("prefix \"{value}\": expected [A-Za-z0-9_-]{{1,64}}")),
            "wait_replicas" => match value.parse() {
                Ok(replicas @ 0..=9) => self.wait_replicas = replicas,
                _ => return Err(format!("wait_replicas \"{value}\": expected 0 to 9")),
            },
            "sentinel_user" | "sentinel_password" if has_sentinels => {
                // Checked here, for what follows only passes it on.
                percent_decoded(value).ok_or(format!("{name}: expected % and two hexadecimal digits"))?;
                if name == "sentinel_user" { self.user = value.into() } else { self.password = value.into() }
            }
            _ => {
                let known = "prefix=NAME, wait_replicas=N";
                let more = if has_sentinels { ", sentinel_user=NAME or sentinel_password=WORD" } else { "" };
                return Err(format!("unknown option \"{name}\"; expected {known}{more}"));
            }
        }
        Ok(())
    }
}

/// A place's user with the @ behind it, its hosts, and what follows.
fn parts(place: &str) -> (&str, &str, &str) {
    // The last @: a password may contain one.
    let end = place.rfind('@').map_or(0, |at| at + 1);
    let (user, rest) = place.split_at(end);
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    (user, hosts, path)
}

fn cluster(scheme: &str, place: &str) -> Result<Vec<String>, String> {
    let (user, hosts, path) = parts(place);
    if !path.is_empty() && path != "0" {
        return Err(format!("{EXPECTED_CLUSTER}, found \"/{path}\"; a cluster has one database, 0"));
    }
    let address = |host| Ok(format!("{scheme}://{user}{}", with_port(host, PORT).ok_or(EXPECTED_CLUSTER)?));
    hosts.split(',').map(address).collect()
}

fn sentinels(scheme: &str, place: &str, said: &Said) -> Result<Sentinels, String> {
    let (user, hosts, path) = parts(place);
    let (name, db) = path.split_once('/').unwrap_or((path, "0"));
    if name.is_empty() || db.parse::<u32>().is_err() {
        return Err(format!("{EXPECTED_SENTINEL}, found \"/{path}\""));
    }
    let own = match (said.user.as_str(), said.password.as_str()) {
        ("", "") => String::new(),
        (user, password) => format!("{user}:{password}@"),
    };
    let address = |host| Ok(format!("{scheme}://{own}{}", with_port(host, SENTINEL_PORT).ok_or(EXPECTED_SENTINEL)?));
    let addresses = hosts.split(',').map(address).collect::<Result<_, String>>()?;
    Ok(Sentinels { addresses, name: name.into(), master: (format!("{scheme}://{user}"), format!("/{db}")) })
}

fn with_port(host: &str, default: u16) -> Option<String> {
    let is_address = host.starts_with('[');
    let (name, port) = match host.rsplit_once(':') {
        Some((_, rest)) if is_address && rest.ends_with(']') => (host, default),
        Some((name, port)) => (name, port.parse().ok()?),
        None => (host, default),
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (is_address && b"[]:".contains(&b));
    (!name.is_empty() && name.bytes().all(good)).then(|| format!("{name}:{port}"))
}

/// A whole URL without its passwords.
fn hidden(text: &str) -> String {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(shown).collect();
    let mark = if text.contains('?') { "?" } else { "" };
    format!("{}{mark}{}", without_password(address), query.join("&"))
}

/// As users write it, without the passwords.
impl fmt::Display for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)?;
        let mut options = Vec::new();
        if self.prefix != PREFIX {
            options.push(format!("prefix={}", self.prefix));
        }
        if self.wait_replicas > 0 {
            options.push(format!("wait_replicas={}", self.wait_replicas));
        }
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}

/// What is logged doesn't show them either.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisOptions({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Url;
    use super::*;

    fn read(text: &str) -> RedisOptions {
        match text.parse() {
            Ok(Url::Redis(options)) => options,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        text.parse::<Url>().unwrap_err().to_string()
    }

    #[test]
    fn a_cluster_has_several_nodes() {
        let options = read("redis+cluster://u:p@a,b:7001,[::1]:7002?prefix=x");
        let nodes = ["redis://u:p@a:6379", "redis://u:p@b:7001", "redis://u:p@[::1]:7002"].map(String::from);
        assert!(options.place == RedisPlace::Cluster(nodes.into()));
        assert_eq!(options.to_string(), "redis+cluster://u:***@a,b:7001,[::1]:7002?prefix=x");
        let RedisPlace::Cluster(nodes) = read("rediss+cluster://a/0").place else { panic!("no cluster") };
        assert_eq!(nodes, ["rediss://a:6379"]);
        for bad in ["redis+cluster://", "redis+cluster:a", "redis+cluster://a/1", "redis+cluster://a:b", "redis://a,b"]
        {
            assert!(refused(bad).contains("redis+cluster://"), "{}", refused(bad));
        }
    }

    #[test]
    fn sentinels_have_a_name_for_the_master_and_their_own_password() {
        let text = "redis+sentinel://u:p%40@a,b:7001/main/2?sentinel_user=s&sentinel_password=w%40rd&wait_replicas=1";
        let options = read(text);
        let expected = Sentinels {
            addresses: vec!["redis://s:w%40rd@a:26379".into(), "redis://s:w%40rd@b:7001".into()],
            name: "main".into(),
            master: ("redis://u:p%40@".into(), "/2".into()),
        };
        assert!(options.place == RedisPlace::Sentinels(expected));
        assert_eq!(options.to_string(), "redis+sentinel://u:***@a,b:7001/main/2?wait_replicas=1");
        for bad in ["redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a/m/x", "redis+sentinel:///m"] {
            assert!(refused(bad).contains("/MASTER_NAME"), "{}", refused(bad));
        }
        let refusal = refused("redis+sentinel://a/m?sentinel_password=secret&x=1");
        assert!(refusal.contains("sentinel_user") && !refusal.contains("secret"), "{refusal}");
        assert!(refused("redis://a?sentinel_user=x").contains("unknown option \"sentinel_user\""));
        assert!(refused("redis://a?wait_replicas=x").contains("expected 0 to 9"));
    }
}
