//! Results on another server, in one process: only so can memory be one of a pair. `host/tests/pairs.rs` has the others.

use super::*;

fn pair(broker: &str, results: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let home = tempfile::tempdir().expect("a folder");
        let url = |server| match server {
            "memory" => "memory:".to_owned(),
            "nats" => nats::shared(nats::Version::Newest).options().to_string(),
            "redis" => tasq_tests::fixture::redis::place().to_string(),
            _ => format!("sqlite:{}", home.path().join("ends.db").display()),
        };
        let (broker, results) = (url(broker).parse().expect("a URL"), url(results).parse().expect("a URL"));
        let backend = backend::open(&broker, Some(&results)).await.expect("it opens");
        let client = Client::new(backend.clone());
        let handlers = tempfile::tempdir().expect("a folder");
        let place = Place { backend, client, handlers, _home: home };
        place.serve("m", "");
        let good = place.enqueue("m", json!({"do": "echo", "text": "hello"}), TaskOptions::default()).await;
        let bad = place.enqueue("m", json!({"do": "fail", "message": "no"}), fast(0)).await;
        place.until_empty(options()).await;
        assert_eq!(place.record(&good).await.result.as_deref(), Some(&b"hello"[..]));
        assert_eq!((place.state(&good).await, place.state(&bad).await), (State::Done, State::Dead));
        // A worker that ends leaves nothing on the way.
        assert_eq!(place.backend.broker.outbox(9).await.expect("it answers"), []);
        let kept = place.backend.results.get(&[good, bad]).await.expect("it answers");
        assert!(kept.iter().all(Option::is_some));
    });
}

#[test]
fn tasks_in_memory_may_have_results_on_a_server() {
    ["sqlite", "redis", "nats"].into_iter().for_each(|results| pair("memory", results));
}

#[test]
fn tasks_on_a_server_may_have_results_in_memory() {
    ["sqlite", "redis", "nats"].into_iter().for_each(|broker| pair(broker, "memory"));
}
