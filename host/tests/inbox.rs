//! Programs that know nothing of tasq-host, over whole workers: those of `docs/INBOX.md`, as they stand there, and many
//! messages while workers are killed.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tasq_tests::fixture::{nats, redis};
use tasq_tests::guests::example;
use tasq_tests::processes::{WorkerProcess, until};

/// A folder with the handler `add`.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("wasm")).unwrap();
    fs::copy(example("add"), home.path().join("wasm/add.wasm")).unwrap();
    home
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tasq-host"))
}

fn tasq(home: &Path, broker: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program()).args(arguments).env("TASQ_BROKER", broker).current_dir(home).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// The lines of a command's JSON.
fn json(home: &Path, broker: &str, arguments: &[&str]) -> Vec<Value> {
    let output = tasq(home, broker, &[arguments, &["--json"]].concat());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The block of the page that begins with ```` ```INFO ````.
fn block(info: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/INBOX.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("```{info}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Runs it; what it prints.
fn play(home: &Path, program: &str, text: &str) -> String {
    let output = Command::new("timeout").args(["100", program, "-c", text]).current_dir(home).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn redis_cli_enqueues_and_reads() {
    let (home, server) = (home(), redis::Server::volatile());
    let broker = server.url("tasq");
    let cli = format!("redis-cli() {{ command redis-cli -p {} \"$@\"; }}\n", server.port());
    let _worker = WorkerProcess::start(&program(), home.path(), "log", &["--broker", &broker]);
    let said = play(home.path(), "bash", &(cli.clone() + &block("sh redis")));
    assert_eq!(said, "1\ndone\n{\"result\":9}\n");
    let shown = json(home.path(), &broker, &["task", "show", "a1"]).remove(0);
    assert_eq!((shown["state"].as_str(), shown["result"].as_str()), (Some("done"), Some("{\"result\":9}")));
    // What can't be read, and what is dead.
    play(
        home.path(),
        "bash",
        &(cli.clone() + "redis-cli RPUSH tasq:inbox 'no JSON' '{\"handler\":\"add\",\"payload\":\"x\",\"id\":\"d1\"}'"),
    );
    let reads = cli
        + "until [ \"$(redis-cli EXISTS tasq:result:d1)\" = 1 ]; do sleep 0.1; done; redis-cli HMGET tasq:result:d1 state error_kind";
    assert_eq!(play(home.path(), "bash", &reads), "dead\nhandler\n");
    let dead = until("both are dead", || {
        let dead = json(home.path(), &broker, &["task", "list", "--state", "dead"]);
        (dead.len() == 2).then_some(dead)
    });
    let unreadable = dead.iter().find(|task| task["handler"] == "unreadable").unwrap();
    let shown = json(home.path(), &broker, &["task", "show", unreadable["id"].as_str().unwrap()]).remove(0);
    assert_eq!((shown["payload"].as_str(), shown["error"]["kind"].as_str()), (Some("no JSON"), Some("corrupt")));
    // The inbox is empty, and what is told is forgotten with its task.
    tasq(home.path(), &broker, &["task", "delete", "a1"]);
    let lines = ["tasq:inbox", "tasq:{tasq:inbox}:taken", "tasq:{tasq:inbox}:held", "tasq:result:a1"];
    assert_eq!(server.say(&[&["EXISTS"], &lines[..]].concat()), ":0");
}

#[test]
fn python_enqueues_in_its_own_transaction_and_reads_a_view() {
    let home = home();
    tasq(home.path(), "sqlite:tasq.db", &["setup"]);
    let _worker = WorkerProcess::start(&program(), home.path(), "log", &["--broker", "sqlite:tasq.db"]);
    assert_eq!(play(home.path(), "python3", &block("python sqlite")), "done {\"result\":9}\n");
    let file = rusqlite::Connection::open(home.path().join("tasq.db")).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    let count =
        |of: &str| file.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count("orders"), count("tasq_inbox")), (1, 0));
    // What is rolled back never was.
    file.execute_batch("BEGIN; INSERT INTO tasq_inbox (handler, id) VALUES ('add', 'never'); ROLLBACK").unwrap();
    let all = r#"INSERT INTO tasq_inbox
        (handler, payload, id, queue, priority, delay, timeout, cpu, max_retries, backoff, retention, unique_key, unique_for, content_type, headers)
        VALUES ('add', '{"arg1":1,"arg2":2}', 'all', 'default', 'high', '1ms', '9s', '1s', 3, 'fixed:1s', '1h', 'k', '1m', 'text/json', '{"a":"b"}'),
               ('add', x'ff00', 'bytes', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL),
               (NULL, '{"chain":[{"handler":"add","payload":{"arg1":1,"arg2":1}}],"id":"c"}', 'row', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
               ('add', 'x', 'wrong', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '[1]')"#;
    file.execute(all, []).unwrap();
    until("all have ended", || (count("tasq_results") == 5).then_some(()));
    type Row = (String, Option<String>, Option<String>);
    let result = |id: &str| {
        let row = "SELECT state, CAST(result AS TEXT), json_extract(error, '$.code') FROM tasq_results WHERE id = ?1";
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        file.query_row(row, [id], read).unwrap()
    };
    let done = |text: &str| -> Row { ("done".into(), Some(text.into()), None) };
    assert_eq!(result("all"), done("{\"result\":3}"));
    assert_eq!(result("c/s1"), done("{\"result\":2}"));
    assert_eq!(result("bytes").0, "dead");
    let bad = "SELECT json_extract(error, '$.message') FROM tasq_results WHERE handler = 'unreadable'";
    let bad: String = file.query_row(bad, [], |row| row.get(0)).unwrap();
    assert!(bad.contains("headers (expected a JSON object of texts)"), "{bad}");
    let shown = json(home.path(), "sqlite:tasq.db", &["task", "show", "all"]).remove(0);
    assert_eq!((shown["priority"].as_str(), shown["max_retries"].as_u64()), (Some("high"), Some(3)));
}

#[test]
fn a_plain_nats_client_enqueues_and_reads() {
    for version in [nats::Version::Oldest, nats::Version::Newest] {
        let (home, server) = (home(), nats::Server::start(version, ""));
        let broker = format!("nats://{}", server.address());
        let port = server.address().rsplit_once(':').unwrap().1.to_owned();
        tasq(home.path(), &broker, &["setup"]);
        let _worker = WorkerProcess::start(&program(), home.path(), "log", &["--broker", &broker]);
        let script = block("python nats").replace("4222", &port);
        assert_eq!(play(home.path(), "python3", &script), "done {\"result\":9}\n");
        let (client, _) = script.split_once("\nnats = ").unwrap();
        let more = format!(
            r#"{client}
nats = Nats("localhost", {port})
for subject, payload, headers in [
    ("tasq.inbox", b'{{"handler":"add","payload":{{"arg1":1,"arg2":2}},"id":"o1"}}', {{}}),
    ("tasq.inbox.add", b"x", {{"Tasq-Id": "d1", "Tasq-Max-Retries": "0"}}),
    ("tasq.inbox.no.such.name", b"bytes", {{"Tasq-Queue": "q"}}),
    ("tasq.inbox.add", b"bytes", {{"Tasq-Colour": "red"}}),
]:
    assert "seq" in json.loads(nats.request(subject, payload, headers)[1])
for task in ["o1", "d1"]:
    head = ""
    while "Tasq-State" not in head:
        time.sleep(0.1)
        head, result = nats.request("$JS.API.DIRECT.GET.tasq_results.tasq.results." + task)
    print(head.split("Tasq-State: ")[1].split()[0], result.decode(), "Tasq-Error-Message" in head)
"#
        );
        assert_eq!(play(home.path(), "python3", &more), "done {\"result\":3} False\ndead  True\n");
        let dead = until("three are dead", || {
            let dead = json(home.path(), &broker, &["task", "list", "--state", "dead"]);
            (dead.len() == 3).then_some(dead)
        });
        let unreadable: Vec<&Value> = dead.iter().filter(|task| task["handler"] == "unreadable").collect();
        assert_eq!(unreadable.len(), 2);
        for task in unreadable {
            let shown = json(home.path(), &broker, &["task", "show", task["id"].as_str().unwrap()]).remove(0);
            assert_eq!((shown["payload"].as_str(), shown["error"]["code"].as_str()), (Some("bytes"), Some("corrupt")));
        }
    }
}

/// So many messages without an id, and the workers that take them in are killed again and again: one that was doubled would
/// be a task more.
fn killed_again_and_again(broker: &str, home: &Path, leave: impl Fn(usize)) {
    const TASKS: usize = 1_500;
    let done = || json(home, broker, &["task", "list", "--all", "--state", "done"]);
    for part in 0..5 {
        leave(TASKS / 5);
        let before = done().len();
        let worker = WorkerProcess::start(&program(), home, &format!("log{part}"), &["--broker", broker]);
        until("it has begun", || (done().len() > before + 20 * part).then_some(()));
        worker.kill();
    }
    let _worker = WorkerProcess::start(&program(), home, "last", &["--broker", broker]);
    let ended = until("all are done", || Some(done()).filter(|done| done.len() >= TASKS));
    let ids: BTreeSet<&str> = ended.iter().map(|task| task["id"].as_str().unwrap()).collect();
    until("nothing is left", || {
        let status = json(home, broker, &["status"]).remove(0);
        (status["total"]["pending"] == 0 && status["total"]["running"] == 0).then_some(())
    });
    assert_eq!((ended.len(), ids.len(), done().len()), (TASKS, TASKS, TASKS));
}

#[test]
fn messages_in_redis_outlive_workers_that_are_killed() {
    let (home, server) = (home(), redis::Server::volatile());
    killed_again_and_again(&server.url("tasq"), home.path(), |count| {
        let text = r#"{"handler":"add","payload":{"arg1":1,"arg2":2}}"#;
        server.say(&[&["RPUSH", "tasq:inbox"], &vec![text; count][..]].concat());
    });
    assert_eq!(server.say(&["EXISTS", "tasq:inbox", "tasq:{tasq:inbox}:taken"]), ":0");
}

#[test]
fn rows_in_sqlite_outlive_workers_that_are_killed() {
    let home = home();
    tasq(home.path(), "sqlite:tasq.db", &["setup"]);
    killed_again_and_again("sqlite:tasq.db", home.path(), |count| {
        let mut file = rusqlite::Connection::open(home.path().join("tasq.db")).unwrap();
        file.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        let rows = file.transaction().unwrap();
        for _ in 0..count {
            rows.execute(r#"INSERT INTO tasq_inbox (handler, payload) VALUES ('add', '{"arg1":1,"arg2":2}')"#, [])
                .unwrap();
        }
        rows.commit().unwrap();
    });
}

#[test]
fn messages_in_nats_outlive_workers_that_are_killed() {
    let (home, server) = (home(), nats::Server::start(nats::Version::Newest, ""));
    let broker = format!("nats://{}", server.address());
    tasq(home.path(), &broker, &["setup"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    killed_again_and_again(&broker, home.path(), |count| {
        runtime.block_on(async {
            let client = async_nats::connect(server.address()).await.unwrap();
            let jetstream = async_nats::jetstream::new(client);
            for _ in 0..count {
                let text = r#"{"arg1":1,"arg2":2}"#;
                jetstream.publish("tasq.inbox.add", text.into()).await.unwrap().await.unwrap();
            }
        });
    });
}
