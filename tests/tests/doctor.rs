//! What a look at real servers finds, however they are set up.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use tasq_host::backend;
use tasq_host::broker::finding::{Finding, Severity};
use tasq_tests::fixture::nats::{self, Version};
use tasq_tests::fixture::redis;

async fn findings(url: &str) -> Vec<Finding> {
    let backend = backend::open(&url.parse().unwrap(), None).await.unwrap();
    backend.operations.findings().await.unwrap()
}

/// What was found about one thing.
async fn about(url: &str, about: &str) -> Finding {
    let findings = findings(url).await;
    findings.iter().find(|finding| finding.about == about).unwrap_or_else(|| panic!("{about}: {findings:?}")).clone()
}

#[tokio::test]
async fn a_redis_that_keeps_nothing_is_a_danger_and_what_mends_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = redis::Server::start(&["--save", "", "--dir", folder.path().to_str().unwrap()]);
    let url = server.url("p");
    let found = about(&url, "persistence").await;
    assert_eq!((found.level, found.found.as_str()), (Severity::Danger, "appendonly no, no snapshots"));
    server.say(&["CONFIG", "SET", "save", "60 1"]);
    let found = about(&url, "persistence").await;
    assert_eq!((found.level, found.found.contains("60 1")), (Severity::Danger, true));
    server.say(&["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(about(&url, "persistence").await.level, Severity::Warning, "once a second");
    server.say(&["CONFIG", "SET", "appendfsync", "always"]);
    let all = findings(&url).await;
    assert!(all.iter().all(|finding| finding.level <= Severity::Note), "{all:?}");
    assert_eq!(about(&url, "clock").await.level, Severity::Ok);
}

#[tokio::test]
async fn a_redis_that_throws_things_away_is_a_danger() {
    let server = redis::Server::volatile();
    let url = server.url("p");
    assert_eq!(about(&url, "memory").await.level, Severity::Note, "no limit");
    server.say(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert_eq!(about(&url, "memory").await.level, Severity::Warning);
    server.say(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let found = about(&url, "memory").await;
    assert_eq!(found.level, Severity::Danger);
    assert!(found.mend.unwrap().contains("maxmemory-policy noeviction"));
}

#[tokio::test]
async fn a_redis_that_is_no_primary_names_it() {
    let (primary, replica) = (redis::Server::volatile(), redis::Server::volatile());
    let backend = backend::open(&replica.url("p").parse().unwrap(), None).await.unwrap();
    let port = primary.url("").split([':', '/']).nth(4).unwrap().to_owned();
    assert_eq!(replica.say(&["REPLICAOF", "127.0.0.1", &port]), "+OK");
    let findings = backend.operations.findings().await.unwrap();
    let role = findings.iter().find(|finding| finding.about == "role").unwrap();
    assert_eq!((role.level, role.mend.clone()), (Severity::Danger, Some(format!("--broker redis://127.0.0.1:{port}"))));
}

#[tokio::test]
async fn a_redis_that_refuses_to_tell_is_no_error() {
    let server = redis::Server::start(&["--save", "", "--dir", "/"]);
    server.say(&["ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", "-config"]);
    let url = server.url("p").replace("redis://", "redis://worker:secret@");
    let found = about(&url, "persistence").await;
    assert!(found.level == Severity::Danger && found.found.contains("CONFIG is refused"), "{found:?}");
    server.say(&["ACL", "SETUSER", "worker", "-info"]);
    assert_eq!(about(&url, "info").await.level, Severity::Warning);
}

#[tokio::test]
async fn a_nats_server_tells_what_can_be_seen_of_it() {
    for version in [Version::Oldest, Version::Newest] {
        let url = nats::shared(version).options().to_string();
        let all = findings(&url).await;
        assert!(all.iter().all(|finding| finding.level < Severity::Danger), "{all:?}");
        assert_eq!(about(&url, "persistence").await.level, Severity::Warning, "sync_interval can't be seen");
        assert_eq!(about(&url, "clock").await.level, Severity::Ok);
        assert_eq!(all.iter().filter(|finding| finding.about == "storage").count(), 4);
    }
}

#[tokio::test]
async fn a_nats_server_with_narrow_limits_says_so() {
    let limits =
        "max_payload: 32768\naccounts { A { jetstream { max_file: 4MB }, users [ { user: u, password: p } ] } }";
    let server = nats::Server::start(Version::Newest, limits);
    let url = format!("nats://u:p@{}", server.address());
    assert_eq!(about(&url, "max_payload").await.level, Severity::Warning);
    let found = about(&url, "limits").await.found;
    assert!(found.contains("of 4.0 MiB stored") || found.contains("of 3.8 MiB stored"), "{found}");
}
