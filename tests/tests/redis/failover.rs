//! Sentinels name the master: when it dies, the replica that takes its place is followed.

use std::time::Duration;

use tasq_host::broker::finding::Severity;
use tasq_host::error::ErrorKind;
use tasq_tests::fixture::redis::Server;
use tasq_tests::fixture::redis::sentinel::{NAME, Watched};
use tasq_tests::nouns::task;
use tokio::sync::oneshot;

use super::crashes::{all_end, sandbox, short_work, work};
use super::{open, patiently};

/// What the replica had, when it was accepted, is not lost; what comes meanwhile is accepted by the replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_killed_mid_work_is_followed_by_its_replica() {
    let sandbox = sandbox();
    let mut watched = Watched::start();
    let backend = open(&watched.url("p")).await.unwrap();
    let careful = open(&format!("{}&wait_replicas=1", watched.url("p"))).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let working = tokio::spawn(work(backend.clone(), sandbox, stopped));
    let mut ids = Vec::new();
    for batch in 0..40 {
        let names: Vec<String> = (0..10).map(|number| format!("b{batch}-{number}")).collect();
        let messages = || names.iter().map(|name| short_work(name)).collect::<Vec<_>>();
        // Nobody follows the new master, so there only the other handle is answered.
        let producer = if batch < 20 { &careful } else { &backend };
        let pushed = patiently(async || producer.broker.push(messages()).await).await;
        ids.extend(pushed.into_iter().map(|pushed| pushed.id));
        if batch == 19 {
            watched.master.kill();
        }
    }
    assert!(watched.replica.lines(&["INFO", "replication"]).contains(&"role:master".into()));
    all_end(&backend, &ids).await;
    drop(stop);
    working.await.unwrap();
}

#[tokio::test]
async fn what_replicas_do_not_have_is_not_said_to_be_accepted() {
    let server = Server::volatile();
    let backend = open(&format!("{}&wait_replicas=1", server.url("p"))).await.unwrap();
    let error = backend.broker.push(vec![task("a")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("0 of 1 replicas"), "{error}");
    let replica = Server::volatile();
    assert_eq!(replica.say(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]), "+OK");
    patiently(async || backend.broker.push(vec![task("b")]).await).await;
    assert_eq!(replica.say(&["HEXISTS", "p:{q}:m", "b"]), ":1");
}

#[tokio::test]
async fn what_sentinels_cannot_help_with_is_said_in_one_line() {
    let watched = Watched::start();
    let unknown = watched.url("p").replace(NAME, "other");
    let error = open(&unknown).await.err().expect("no such master");
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(error.message.contains("know no master \"other\"") && error.message.lines().count() == 1, "{error}");
    let server = Server::volatile();
    let nobody = format!("redis+sentinel://127.0.0.1:{}/{NAME}", server.port());
    let error = open(&nobody).await.err().expect("no sentinel");
    assert_eq!(error.message.lines().count(), 1, "{error}");
    // One that is gone hinders nobody.
    let mut watched = watched;
    watched.sentinels[0].kill();
    let backend = open(&watched.url("p")).await.unwrap();
    assert!(backend.broker.push(vec![task("a")]).await.unwrap()[0].created);
    let findings = backend.operations.findings().await.unwrap();
    let of = |about: &str| findings.iter().filter(|finding| finding.about == about).collect::<Vec<_>>();
    assert_eq!(of("persistence").len(), 2, "of master and replica: {findings:?}");
    assert!(of("role").iter().all(|finding| finding.level == Severity::Ok), "{findings:?}");
    let gone: Vec<_> = of("sentinel").into_iter().filter(|finding| finding.level == Severity::Warning).collect();
    assert_eq!((of("sentinel").len(), gone.len()), (3, 1), "{findings:?}");
}

#[tokio::test]
async fn sentinels_may_have_a_password_of_their_own() {
    let watched = Watched::start();
    for sentinel in &watched.sentinels {
        assert_eq!(sentinel.say(&["ACL", "SETUSER", "app", "on", ">s3cret", "allchannels", "+@all"]), "+OK");
        assert_eq!(sentinel.say(&["ACL", "SETUSER", "default", "off"]), "+OK");
    }
    let error = open(&watched.url("p")).await.err().expect("nobody said who we are");
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    let url = format!("{}&sentinel_user=app&sentinel_password=s3cret", watched.url("p"));
    let backend = tokio::time::timeout(Duration::from_secs(5), open(&url)).await.unwrap().unwrap();
    assert!(backend.broker.push(vec![task("a")]).await.unwrap()[0].created);
}
