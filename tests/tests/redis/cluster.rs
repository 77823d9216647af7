//! Queues that live on several servers.

use std::time::Duration;

use tasq_host::broker::finding::Severity;
use tasq_host::broker::{Effect, End, Message, Reserve};
use tasq_host::error::ErrorKind;
use tasq_host::task::{Ending, Name};
use tasq_tests::fixture::redis::Server;
use tasq_tests::fixture::redis::cluster::Cluster;
use tasq_tests::nouns::{DAY, asking, end, name, on_queue, task, tasks};

use super::{LIMIT, open, patiently, request};

/// Which of the nodes a queue lives on.
fn node_of(cluster: &Cluster, queue: &str) -> usize {
    let answer = cluster.nodes[0].say(&["CLUSTER", "KEYSLOT", &format!("{{{queue}}}")]);
    let slot: usize = answer.trim_start_matches(':').parse().unwrap();
    slot * 3 / 16_384
}

/// Two queues that live on different nodes.
fn apart(cluster: &Cluster) -> (Name, Name) {
    let other = (0..).map(|number| format!("q{number}")).find(|other| node_of(cluster, other) != node_of(cluster, "q"));
    (name("q"), name(&other.unwrap()))
}

#[tokio::test]
async fn queues_are_spread_over_the_nodes() {
    let cluster = Cluster::volatile();
    let backend = open(&cluster.url("p")).await.unwrap();
    let messages = (0..30).flat_map(|queue| on_queue(&format!("q{queue}"), tasks(&format!("t{queue}-"), 3)));
    assert!(backend.broker.push(messages.collect()).await.unwrap().iter().all(|pushed| pushed.created));
    for node in &cluster.nodes {
        assert!(node.say(&["DBSIZE"]).trim_start_matches(':').parse::<u32>().unwrap() > 10);
    }
    let depths = backend.operations.depths(Duration::ZERO).await.unwrap();
    assert_eq!((depths.len(), depths.iter().map(|depth| depth.pending).sum::<u64>()), (30, 90));
}

/// Its process died between the end and the way to the other queue: whoever looks next brings it.
#[tokio::test]
async fn a_follow_up_left_behind_is_brought_by_who_looks_next() {
    let cluster = Cluster::volatile();
    let url = cluster.url("p");
    let (from, to) = apart(&cluster);
    let dying = open(&url).await.unwrap();
    let survivor = open(&url).await.unwrap();
    dying.broker.push(vec![task("a")]).await.unwrap();
    let delivery = dying.broker.reserve(&request(1)).await.unwrap().remove(0);
    let follow_up = Effect::Push(Message { queue: to.clone(), remember: Some(DAY), ..task("a/f1") });
    let its_end = End { effects: vec![follow_up], ..end(&delivery.run, Ending::Done) };
    let (there, here) =
        (&cluster.nodes[node_of(&cluster, to.as_str())], &cluster.nodes[node_of(&cluster, from.as_str())]);
    // Also those that hold ids may live there.
    assert_eq!(there.say(&["CLIENT", "PAUSE", "60000", "WRITE"]), "+OK");
    let settling = tokio::spawn(async move { dying.broker.settle(&[its_end]).await });
    let written = async {
        while here.say(&["HLEN", "p:{q}:n"]) != ":1" {
            assert!(!settling.is_finished(), "it can't have come to its end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, written).await.expect("the end is written");
    settling.abort();
    assert!(settling.await.unwrap_err().is_cancelled());
    assert_eq!(there.say(&["CLIENT", "UNPAUSE"]), "+OK");
    let brought = async {
        let next = Reserve { wait: Duration::ZERO, ..asking(&[to.as_str()], &["h"], 1, DAY) };
        loop {
            assert_eq!(patiently(async || survivor.broker.reserve(&request(1)).await).await, [], "it has ended");
            if let Some(delivery) = patiently(async || survivor.broker.reserve(&next).await).await.pop() {
                return delivery;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let brought = tokio::time::timeout(LIMIT, brought).await.expect("it comes");
    assert_eq!(brought.run.id.as_str(), "a/f1");
    assert_eq!(here.say(&["HLEN", "p:{q}:n"]), ":0");
}

#[tokio::test]
async fn cut_connections_to_the_nodes_come_back() {
    let cluster = Cluster::volatile();
    let backend = open(&cluster.url("p")).await.unwrap();
    for round in 0..3 {
        for node in &cluster.nodes {
            for kind in ["normal", "pubsub"] {
                node.say(&["CLIENT", "KILL", "TYPE", kind]);
            }
        }
        let name = format!("a{round}");
        patiently(async || backend.broker.push(vec![task(&name)]).await).await;
        assert_eq!(patiently(async || backend.broker.reserve(&request(1)).await).await.len(), 1);
    }
}

/// A node that forgot its scripts is told them again, whatever became of the others.
#[tokio::test]
async fn a_node_that_forgot_its_scripts_is_told_them_again() {
    let cluster = Cluster::volatile();
    let backend = open(&cluster.url("p")).await.unwrap();
    for text in ["a", "b"] {
        backend.broker.push(vec![task(text)]).await.unwrap();
        assert_eq!(backend.broker.reserve(&request(5)).await.unwrap().len(), 1);
        cluster.nodes.iter().for_each(|node| assert_eq!(node.say(&["SCRIPT", "FLUSH"]), "+OK"));
    }
}

#[tokio::test]
async fn a_url_of_the_wrong_kind_names_the_right_one() {
    let cluster = Cluster::volatile();
    for node in &cluster.nodes {
        let error = open(&node.url("p")).await.err().expect("a node of a cluster");
        let right = format!("redis+cluster://127.0.0.1:{}", node.port());
        assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
        assert!(error.message.ends_with(&right) && error.message.lines().count() == 1, "{error}");
        assert!(open(&right).await.is_ok());
    }
    let mut server = Server::volatile();
    let url = format!("redis+cluster://127.0.0.1:{}", server.port());
    let error = open(&url).await.err().expect("no cluster");
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(error.message.contains(&format!("redis://127.0.0.1:{}", server.port())), "{error}");
    assert_eq!(error.message.lines().count(), 1, "{error}");
    server.kill();
    let error = tokio::time::timeout(Duration::from_secs(5), open(&url)).await.unwrap().err().expect("nobody");
    assert_eq!((error.kind, error.message.lines().count()), (ErrorKind::Unavailable, 1), "{error}");
}

#[tokio::test]
async fn every_node_is_looked_at() {
    let mut cluster = Cluster::volatile();
    let backend = open(&cluster.url("p")).await.unwrap();
    let findings = backend.operations.findings().await.unwrap();
    for node in &cluster.nodes {
        let place = format!("127.0.0.1:{}: ", node.port());
        for (about, level) in [
            ("version", Severity::Ok),
            ("role", Severity::Ok),
            ("persistence", Severity::Danger),
            ("memory", Severity::Note),
            ("replicas", Severity::Warning),
            ("clock", Severity::Ok),
        ] {
            let of_it = |finding: &&tasq_host::broker::finding::Finding| finding.found.starts_with(&place);
            let found = findings.iter().filter(of_it).find(|finding| finding.about == about);
            assert_eq!(found.map(|finding| finding.level), Some(level), "{about} of {place}: {findings:?}");
        }
    }
    let whole = findings.iter().find(|finding| finding.about == "cluster").unwrap();
    assert_eq!((whole.level, whole.found.contains("16384 of 16384")), (Severity::Ok, true), "{whole:?}");
    cluster.nodes[2].kill();
    let findings = backend.operations.findings().await.unwrap();
    let gone = findings.iter().find(|finding| finding.about == "node").expect("one is gone");
    assert_eq!(gone.level, Severity::Danger, "{gone:?}");
}
