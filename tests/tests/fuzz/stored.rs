//! What stands in brokers, and what users type.

use std::time::Duration;

use bytes::Bytes;
use tasq_host::backend::url::Url;
use tasq_host::client::Work;
use tasq_host::clock::{Clock, System};
use tasq_host::codec;
use tasq_host::request;
use tasq_host::results::Record;
use tasq_host::task::{
    Backoff, Chain, FailedRun, Failure, FailureKind, Headers, Link, LogLevel, LogLine, Logs, Member, Name, Priority,
    Receipt, State, Step, Task, TaskId, TaskOptions, check_header,
};

pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    let plain = Task {
        id: "a1".parse().unwrap(),
        handler: "add".parse().unwrap(),
        queue: "default".parse().unwrap(),
        priority: Priority::Normal,
        payload: Bytes::from_static(b"{\"arg1\":5}"),
        content_type: String::new(),
        headers: Headers::new(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    };
    let step = Step {
        handler: "mail".parse().unwrap(),
        queue: "slow".parse().unwrap(),
        priority: Priority::High,
        delay: Duration::from_secs(1),
        payload: Some(Bytes::from_static(b"me")),
        content_type: String::new(),
        headers: Headers::new(),
        options: TaskOptions::default(),
    };
    let link = Link { id: "c".parse().unwrap(), step: 1, of: 2 };
    let options = TaskOptions {
        max_retries: Some(3),
        backoff: Some(Backoff::Exponential { first: Duration::from_secs(1), most: Duration::from_secs(3600) }),
        timeout: Some(Duration::from_millis(1500)),
        cpu: Some(Duration::MAX),
        expires: Some(Duration::ZERO),
        retention: Some(Duration::from_secs(60)),
    };
    let full = Task {
        content_type: "application/json".into(),
        headers: Headers::from([("traceparent".into(), "00-x".into()), ("tasq-depth".into(), "3".into())]),
        upstream: vec![Bytes::new(), Bytes::from_static(b"9")],
        options,
        chain: Some(Chain { link, rest: vec![step] }),
        ..plain.clone()
    };
    vec![codec::encode(&plain).to_vec(), codec::encode(&full).to_vec(), Vec::new()]
}

/// What is read is what writing it again gives.
pub(crate) fn read_envelope(bytes: &[u8]) {
    match codec::decode(&Bytes::copy_from_slice(bytes)) {
        Ok(task) => assert_eq!(codec::decode(&codec::encode(&task)).unwrap(), task),
        Err(unreadable) => is_a_line(&unreadable.to_string()),
    }
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    let now = System.now();
    let failure = Failure { kind: FailureKind::Trap, code: "trap".into(), message: "no".into() };
    let line = LogLine { at: now, level: LogLevel::Info, text: "hello".into() };
    let said = Logs { lines: vec![line], dropped: 1 };
    let record = Record {
        id: "a1".parse().unwrap(),
        handler: "add".parse().unwrap(),
        queue: "default".parse().unwrap(),
        priority: Priority::Low,
        state: State::Dead,
        run: 2,
        attempt: 2,
        lost: 1,
        max_retries: 1,
        enqueued_at: now,
        due_at: now,
        started_at: now,
        finished_at: now,
        worker: "w-1".parse().unwrap(),
        result: Some(Bytes::from_static(b"9")),
        failure: Some(failure.clone()),
        history: vec![FailedRun { attempt: 1, run: 1, at: now, failure }],
        receipt: Receipt { frames: vec!["f".into()], stderr: "s".into(), ..Receipt::default() },
        chain: Some(Link { id: "c".parse().unwrap(), step: 1, of: 2 }),
        group: Some(Member { group: "g".parse().unwrap(), index: 1, of: 3, callback: None }),
        logs: Some(codec::encode_logs(&said)),
        told: true,
        keep: Duration::from_secs(60),
    };
    vec![codec::encode_record(&record).to_vec()]
}

pub(crate) fn read_record(bytes: &[u8]) {
    match codec::decode_record(bytes) {
        Ok(record) => {
            drop(record.logs.as_deref().map(codec::decode_logs));
            assert_eq!(codec::decode_record(&codec::encode_record(&record)).unwrap(), record);
        }
        Err(unreadable) => is_a_line(&unreadable.to_string()),
    }
}

/// Lines of a batch, and what is left in an inbox.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let requests = [
        r#"{"handler":"add","payload":{"arg1":5,"arg2":[4.5,null,true]},"id":"a1","queue":"q","priority":"low","in":"10s","expires":"1h"}"#,
        r#"{"handler":"add","payload_base64":"AP8=","timeout":"2m","cpu":"5s","max_retries":3,"backoff":"linear:10s","retention":"0s"}"#,
        r#"{"handler":"add","at":"2026-11-24T06:44:20Z","unique":"k","unique_for":"1h","content_type":"t","headers":{"a":"b"}}"#,
        r#"{"chain":[{"handler":"a"},{"handler":"b","in":"1s"}],"id":"c"}"#,
        r#"{"group":{"members":[{"handler":"a"},{"chain":[{"handler":"a"}]}],"callback":{"handler":"c"}},"id":"g"}"#,
        "[[[[[[[[",
    ];
    requests.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Whatever is taken can be enqueued; whatever isn't is refused in a line.
pub(crate) fn read_request(bytes: &[u8]) {
    accept(request::object(bytes));
}

/// What NATS headers and SQLite columns say: lines, the first of which names the handler.
pub(crate) fn options() -> Vec<Vec<u8>> {
    let all =
        "add\nid=a1\nqueue=q\npriority=high\ndelay=1s\nexpires=1h\ntimeout=2m\ncpu=1s\nmax-retries=3\nbackoff=fixed:5s";
    let rest =
        "a\nat=2026-11-24T06:44:20Z\nretention=1h\nunique=k\nunique-for=1m\ncontent-type=t\nheader-a=b\ncolour=red";
    [all, rest].map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(crate) fn read_options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let handler = lines.next().unwrap_or_default();
    let options: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect();
    accept(request::named(handler, None, &options));
}

fn accept(read: Result<Work, String>) {
    match read {
        Ok(mut work) => {
            assert!(work.check().is_ok() && work.id_mut().is_some());
            assert!(
                work.tasks_mut().iter().all(|task| task.queue.as_ref().is_none_or(|queue| queue.as_str().len() <= 64))
            );
        }
        Err(refusal) => {
            assert!(refusal.len() <= 1_500);
            is_a_line(&refusal);
        }
    }
}

pub(crate) fn texts() -> Vec<Vec<u8>> {
    let texts = [
        "send-mail_2",
        "cron:nightly:1700000000",
        "exponential:2s..10m",
        "linear:10s",
        "fixed:5s",
        "traceparent",
        "sqlite:tasq.db?sync=normal",
        "memory:",
        "redis://user:pass@host:6379/1?prefix=a",
        "rediss://h",
        "tls://h:4222",
        "nats://user:pass@[::1]:4222?prefix=b",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Whatever is taken reads back as it is shown; whatever isn't is refused in a line.
pub(crate) fn read_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = [
        text.parse::<Name>().map(|name| assert_eq!(name.as_str(), text)).map_err(|error| error.to_string()),
        text.parse::<TaskId>().map(|id| assert_eq!(id.as_str(), text)).map_err(|error| error.to_string()),
        text.parse::<Backoff>()
            .map(|backoff| assert_eq!(backoff.to_string().parse::<Backoff>().unwrap(), backoff))
            .map_err(|error| error.to_string()),
        check_header(&text).map_err(|error| error.to_string()),
    ];
    // Who gives a URL reads its refusal too: it may say what was typed.
    drop(text.parse::<Url>());
    read.into_iter().filter_map(Result::err).for_each(|error| is_a_line(&error));
}

pub(crate) fn is_a_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
