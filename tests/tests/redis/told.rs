//! What other programs are told, where any client of Redis finds it.

use std::sync::Arc;
use std::time::Duration;

use tasq_host::clock::{Clock, System};
use tasq_host::results::{KEEP_DONE, Record};
use tasq_host::task::State;
use tasq_tests::fixture::redis::Server;
use tasq_tests::nouns::{DAY, ended, id};

use super::open;

fn told(text: &str, state: State, run: u32, keep: Duration) -> Arc<Record> {
    let now = System.now();
    Arc::new(Record { told: true, run, ..ended(text, "q", state, (now, now), keep) })
}

#[tokio::test]
async fn a_hash_says_what_became_of_a_task_and_the_latest_run_counts() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    let field = |name: &str| server.lines(&["HGET", "p:result:a", name]).remove(0);
    backend.results.tell(&[told("a", State::Dead, 2, DAY)]).await.unwrap();
    assert_eq!([field("state"), field("error_code"), field("run")], ["dead", "trap", "2"]);
    // An older end that comes late changes nothing, and of a newer one all is new.
    backend.results.tell(&[told("a", State::Dead, 1, DAY)]).await.unwrap();
    assert_eq!(field("run"), "2");
    backend.results.tell(&[told("a", State::Done, 3, DAY)]).await.unwrap();
    assert_eq!([field("state"), field("run")], ["done", "3"]);
    assert_eq!(server.say(&["HEXISTS", "p:result:a", "error_code"]), ":0");
    let left: u64 = server.say(&["PTTL", "p:result:a"]).trim_start_matches(':').parse().unwrap();
    assert!((80_000_000..=86_400_000).contains(&left), "{left}");
    backend.results.tell(&[told("b", State::Done, 1, Duration::from_millis(0))]).await.unwrap();
    backend.results.delete(&[id("a")]).await.unwrap();
    assert_eq!(server.say(&["EXISTS", "p:result:a", "p:result:b"]), ":0");
}

#[tokio::test]
async fn the_oldest_make_room_for_the_newest() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    backend.results.tell(&[told("oldest", State::Done, 1, DAY), told("older", State::Done, 1, DAY)]).await.unwrap();
    // As if so many had been told since.
    let others: Vec<String> = (0..KEEP_DONE - 3).map(|number| format!("o{number}")).collect();
    let push = ["RPUSH", "p:results"].into_iter().chain(others.iter().map(String::as_str));
    server.say(&push.collect::<Vec<_>>());
    backend.results.tell(&[told("new", State::Done, 1, DAY)]).await.unwrap();
    assert_eq!(server.say(&["EXISTS", "p:result:oldest", "p:result:older"]), ":2");
    backend.results.tell(&[told("newer", State::Done, 1, DAY)]).await.unwrap();
    let kept = ["oldest", "older", "new", "newer"].map(|id| server.say(&["EXISTS", &format!("p:result:{id}")]));
    assert_eq!(kept, [":0", ":1", ":1", ":1"]);
    assert_eq!(server.say(&["LLEN", "p:results"]), format!(":{KEEP_DONE}"));
}
