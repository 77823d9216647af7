//! A handler made from `wit/` alone, by wit-bindgen: what `tests/bare/LANGUAGE` is in other languages.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated, for the most part")]

wit_bindgen::generate!({ path: "../../../wit", world: "task-handler", generate_all });

use exports::tasq::handler::handler::{Failure, Guest, Task};
use tasq::handler::log::{Level, log};
use tasq::handler::types::{FailureKind, Header};
use tasq::handler::{config, context, store};

struct Bare;

impl Guest for Bare {
    fn handle(payload: Vec<u8>, task: Task) -> Result<Vec<u8>, Failure> {
        let numbers = serde_json::from_slice::<serde_json::Value>(&payload).ok();
        let number = |name: &str| numbers.as_ref().and_then(|numbers| numbers[name].as_i64());
        let (Some(a), Some(b)) = (number("arg1"), number("arg2")) else {
            return Err(Failure {
                kind: FailureKind::Discard,
                message: "expected arg1 and arg2".into(),
                code: "invalid-payload".into(),
                retry_after_ms: 0,
            });
        };
        log(Level::Warn, "größer", &[Header { name: "attempt".into(), value: task.attempt.to_string() }]);
        context::progress(50, "half");
        let refused = store::get("x").is_err_and(|error| error.message.contains("store"));
        let greeting = config::get("greeting").unwrap_or_default();
        Ok(format!(r#"{{"result":{},"greeting":"{greeting}","refused":{refused}}}"#, a + b).into_bytes())
    }
}

export!(Bare);
