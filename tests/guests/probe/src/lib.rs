//! One operation of the contract per call, for the table of languages: the payload's `op` names it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tasq_sdk::context::Stop;
use tasq_sdk::log::Level;
use tasq_sdk::producer::NewTask;
use tasq_sdk::{Failure, HostError, HostErrorKind, Json, Task, config, context, log, producer, store};

tasq_sdk::handler!(probe);

#[derive(Deserialize)]
struct Payload {
    op: Option<String>,
    arg1: Option<f64>,
    arg2: Option<f64>,
    #[serde(default)]
    pad: String,
    #[serde(default)]
    size: usize,
    #[serde(default)]
    message: String,
}

fn probe(Json(payload): Json<Payload>, task: &Task) -> Result<Vec<u8>, Failure> {
    let Some(op) = payload.op else {
        let (Some(arg1), Some(arg2)) = (payload.arg1, payload.arg2) else {
            return Err(Failure::discard("expected the numbers arg1 and arg2").with_code("invalid-payload"));
        };
        // A whole number is written without a fraction.
        return Ok(format!("{{\"result\":{}}}", arg1 + arg2).into_bytes());
    };
    let seen = match &*op {
        "task" => see(task),
        "size" => json!({ "size": payload.pad.chars().count() }),
        "big" => return Ok(vec![0; payload.size]),
        "none" => return Ok(Vec::new()),
        "log" => {
            log::write(Level::Warn, "Größe 🙂", &[("user.id", "Zoë".into())]);
            json!({ "trace": log::enabled(Level::Trace), "error": log::enabled(Level::Error) })
        }
        "context" => about(),
        "config" => json!({ "present": config::get("GREETING"), "absent": config::get("NOPE") }),
        "enqueue" => enqueue()?,
        "store" => keep()?,
        "boom" => return Err(std::io::Error::other(payload.message).into()),
        "discard" => return Err(Failure::discard("no such user").with_code("no-user")),
        "retry" => {
            return Err(Failure::retry("slow down").with_code("rate-limited").after(Duration::from_secs(30)));
        }
        "snooze" => return Err(Failure::snooze(Duration::from_secs(60)).with_message("closed")),
        "panic" => panic!("oh no"),
        "deep" => json!(deep(0)),
        _ => return Err(Failure::discard(format!("unknown op {op}"))),
    };
    Ok(serde_json::to_vec(&seen)?)
}

fn see(task: &Task) -> Value {
    let headers: Map<_, _> = task.headers.iter().map(|h| (h.name.clone(), h.value.clone().into())).collect();
    let upstream: Vec<_> = task.upstream.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    json!({
        "id": task.id, "handler": task.handler, "queue": task.queue, "attempt": task.attempt, "run": task.run,
        "max_retries": task.max_retries, "content_type": task.content_type, "enqueued_at_ms": task.enqueued_at_ms,
        "due_at_ms": task.due_at_ms, "deadline_ms": task.deadline_ms, "headers": headers, "upstream": upstream,
    })
}

fn about() -> Value {
    context::progress(50, "half ✓");
    let stopping = context::stopping().map(|stop| match stop {
        Stop::Cancelled => "cancelled",
        Stop::ShuttingDown => "shutting-down",
    });
    let remaining = u64::try_from(context::remaining().as_millis()).unwrap_or(u64::MAX);
    json!({ "remaining": remaining, "stopping": stopping })
}

fn enqueue() -> Result<Value, Failure> {
    let pairs = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let mail = NewTask::new("mail").json(&json!({ "to": "Zoë" }))?.delay(Duration::from_secs(5));
    let (headers, options) = (pairs("a", "b"), pairs("priority", "high"));
    let id = producer::enqueue(NewTask { queue: "low".into(), headers, options, ..mail })?;
    match producer::enqueue(NewTask::new("forbidden").bytes("raw")) {
        Ok(_) => Err(Failure::discard("it was not refused")),
        Err(error) => Ok(json!({ "id": id, "error": kind(&error), "message": error.message })),
    }
}

fn keep() -> Result<Value, Failure> {
    let text = |value: Option<Vec<u8>>| value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    store::put_for("k", "ü".as_bytes(), Duration::from_secs(60))?;
    let mut seen = vec![json!(text(store::get("nothing")?)), json!(text(store::get("k")?))];
    seen.push(store::replace("k", None, b"x")?.into());
    seen.push(store::replace("k", Some("ü".as_bytes()), b"")?.into());
    seen.push(json!(text(store::get("k")?)));
    seen.push(store::replace("new", None, b"one")?.into());
    seen.extend([json!(store::increment("n", 41)?), json!(store::increment("n", 1)?)]);
    store::remove("k")?;
    seen.push(json!(text(store::get("k")?)));
    seen.push(fails(store::get("forbidden")));
    seen.push(fails(store::put("forbidden", b"")));
    seen.push(fails(store::increment("new", 1)));
    Ok(seen.into())
}

fn fails<T>(answer: Result<T, HostError>) -> Value {
    answer.map_or_else(|error| kind(&error).into(), |_| "ok".into())
}

fn kind(error: &HostError) -> &'static str {
    match error.kind {
        HostErrorKind::Denied => "denied",
        HostErrorKind::Invalid => "invalid",
        HostErrorKind::TooLarge => "too-large",
        HostErrorKind::TooMany => "too-many",
        HostErrorKind::Conflict => "conflict",
        HostErrorKind::Unavailable => "unavailable",
        HostErrorKind::Other => "other",
    }
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "this is what is asked of it")]
fn deep(n: u64) -> u64 {
    std::hint::black_box(deep(std::hint::black_box(n) + 1)) + 1
}
