//! Tasks on one server, results on another: every pair, with a worker that is killed in between.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tasq_host::backend;
use tasq_host::client::{Client, NewTask};
use tasq_host::task::{State, TaskId, TaskOptions};
use tasq_tests::fixture::{nats, redis};
use tasq_tests::guests::guest;
use tasq_tests::processes::{WorkerProcess, until};
use tokio::runtime::Runtime;

const TASKS: usize = 60;

/// The servers of a pair.
struct Servers {
    home: tempfile::TempDir,
    redis: Option<redis::Server>,
    nats: Option<nats::Server>,
}

impl Servers {
    fn start(names: [&str; 2]) -> Servers {
        let home = tempfile::tempdir().unwrap();
        let redis = names.contains(&"redis").then(redis::Server::volatile);
        let nats = names.contains(&"nats").then(|| nats::Server::start(nats::Version::Newest, ""));
        Servers { home, redis, nats }
    }

    /// `part`: where the same kind of server has both, they are two places.
    fn url(&self, name: &str, part: &str) -> String {
        match name {
            "redis" => self.redis.as_ref().unwrap().url(part),
            "nats" => format!("nats://{}?prefix={part}", self.nats.as_ref().unwrap().address()),
            _ => format!("sqlite:{}", self.home.path().join(format!("{part}.db")).display()),
        }
    }
}

/// What a command prints.
fn tasq(at: &[&str], arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = Command::new(program()).args(arguments).args(["--json"]).args(at).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tasq-host"))
}

fn pair(broker: &str, results: &str) {
    let servers = Servers::start([broker, results]);
    let (broker, results) = (servers.url(broker, "tasks"), servers.url(results, "ends"));
    let home = servers.home.path();
    fs::create_dir(home.join("wasm")).unwrap();
    fs::copy(guest("misbehave"), home.join("wasm/misbehave.wasm")).unwrap();
    let at = ["--broker", &broker, "--results", &results];
    let runtime = Runtime::new().unwrap();
    let open = |broker: &str, results: Option<&str>| {
        let results = results.map(|url| url.parse().unwrap());
        runtime.block_on(backend::open(&broker.parse().unwrap(), results.as_ref())).unwrap()
    };
    let client = Client::new(open(&broker, Some(&results)));
    let enqueue = |behaviour: Value| -> TaskId {
        let options = TaskOptions { max_retries: Some(0), ..TaskOptions::default() };
        let task = NewTask { options, ..NewTask::new("misbehave".parse().unwrap(), behaviour.to_string()) };
        runtime.block_on(client.enqueue(task)).unwrap().id
    };
    let dead = enqueue(json!({"do": "fail", "message": "no", "code": "c"}));
    let ids: Vec<TaskId> =
        (0..TASKS).map(|number| enqueue(json!({"do": "echo", "text": number.to_string()}))).collect();
    let nap = enqueue(json!({"do": "nap", "ms": 3_000}));

    let states = || {
        let shown = runtime.block_on(client.show_all(&ids)).unwrap();
        shown.into_iter().map(|shown| shown.expect("every task is known").state()).collect::<Vec<_>>()
    };
    let done = || states().into_iter().filter(|state| *state == State::Done).count();
    let worker = WorkerProcess::start(&program(), home, "first", &[&at[..], &["--concurrency", "2"]].concat());
    until("some are done", || (done() >= 10).then_some(()));
    worker.kill();
    // Whatever was on its way then is known all the same.
    assert!(done() >= 10);
    let (code, shown) = tasq(&at, &["task", "show", ids[0].as_str()]);
    assert_eq!((code, shown[0]["state"].as_str(), shown[0]["result"].as_str()), (Some(0), Some("done"), Some("0")));

    let _worker = WorkerProcess::start(&program(), home, "second", &[&at[..], &["--concurrency", "8"]].concat());
    for (number, id) in ids.iter().enumerate() {
        let result = until("it is done", || runtime.block_on(client.result(id)).unwrap());
        assert_eq!(result, number.to_string());
    }
    let (code, waited) = tasq(&at, &["task", "wait", nap.as_str()]);
    assert_eq!((code, waited[0]["state"].as_str()), (Some(0), Some("done")));
    let (code, waited) = tasq(&at, &["task", "wait", dead.as_str()]);
    assert_eq!((code, waited[0]["error"]["code"].as_str()), (Some(1), Some("c")));
    // A dead task's payload is the broker's, its error the results'.
    let (_, shown) = tasq(&at, &["task", "show", dead.as_str()]);
    assert!(shown[0]["payload"].as_str().unwrap().contains("fail"), "{shown:?}");
    until("all are listed", || {
        let (_, listed) = tasq(&at, &["task", "list", "--all", "--state", "done"]);
        (listed.len() == TASKS + 1).then_some(())
    });

    // Records are on the one server and on no other.
    let all: Vec<TaskId> = ids.iter().cloned().chain([nap.clone(), dead.clone()]).collect();
    let found = |url: &str| {
        let records = runtime.block_on(open(url, None).results.get(&all)).unwrap();
        records.into_iter().flatten().count()
    };
    until("every letter has arrived", || (found(&results) == TASKS + 2).then_some(()));
    assert_eq!(found(&broker), 0);
    let outbox = || runtime.block_on(open(&broker, Some(&results)).broker.outbox(9)).unwrap();
    until("no letter is left", || outbox().is_empty().then_some(()));
    assert_eq!(tasq(&at, &["task", "retry", dead.as_str()]).0, Some(0));
    until("it has failed again", || {
        let (_, shown) = tasq(&at, &["task", "show", dead.as_str()]);
        (shown[0]["state"] == "dead" && shown[0]["run"] == 2).then_some(())
    });
    assert_eq!(tasq(&at, &["task", "delete", nap.as_str()]).0, Some(0));
    assert_eq!(tasq(&at, &["task", "show", nap.as_str()]).0, Some(4));
}

macro_rules! pairs {
    ($($name:ident = $broker:literal, $results:literal;)+) => {
        $(#[test]
        fn $name() {
            pair($broker, $results);
        })+
    };
}

pairs! {
    sqlite_and_another_file = "sqlite", "sqlite";
    sqlite_and_redis = "sqlite", "redis";
    sqlite_and_nats = "sqlite", "nats";
    redis_and_sqlite = "redis", "sqlite";
    redis_and_another_prefix = "redis", "redis";
    redis_and_nats = "redis", "nats";
    nats_and_sqlite = "nats", "sqlite";
    nats_and_redis = "nats", "redis";
    nats_and_another_prefix = "nats", "nats";
}
