//! What handlers keep between their runs.

use super::*;
use tasq_host::store::{BYTES, Op, Store, Stored, VALUE};

async fn answer(place: &Place, handler: &str, behaviour: Value) -> Value {
    let id = place.enqueue(handler, behaviour, fast(0)).await;
    place.until_empty(options()).await;
    serde_json::from_slice(&place.record(&id).await.result.expect("an answer")).expect("JSON")
}

const GRANTED: &str = "[grants]\nstore = true";

#[test]
fn each_verb_of_the_store_does_what_the_contract_says() {
    law(|place| async move {
        place.serve("m", GRANTED);
        let told = answer(&place, "m", json!({"do": "store", "key": "k"})).await;
        let expected = json!({
            "put": {"ok": null}, "get": {"ok": "1"}, "increment": {"ok": 2}, "replace": {"ok": true}, "remove": {"ok": null},
        });
        assert_eq!(told, expected);
    });
}

#[test]
fn a_handler_keeps_its_own_keys_from_run_to_run_and_sees_no_others() {
    law(|place| async move {
        place.serve("m", GRANTED);
        place.serve("other", GRANTED);
        for sum in 1..=3 {
            assert_eq!(answer(&place, "m", json!({"do": "tally", "key": "runs"})).await, json!({"ok": sum}));
        }
        assert_eq!(answer(&place, "other", json!({"do": "tally", "key": "runs"})).await, json!({"ok": 1}));
    });
}

#[test]
fn a_store_that_is_not_granted_is_denied() {
    law_on(&["memory"], |place| async move {
        place.serve("m", "[grants]\nenqueue = [\"m\"]");
        let told = answer(&place, "m", json!({"do": "tally", "key": "runs"})).await["error"].to_string();
        assert!(told.contains("denied: the store is not granted"), "{told}");
    });
}

#[test]
fn keys_and_values_beyond_the_limits_are_refused() {
    law_on(&["memory"], |place| async move {
        place.serve("m", GRANTED);
        for (key, value, expected) in [
            (256, 512 << 10, "{\"ok\":null}"),
            (0, 0, "invalid: a key: expected 1 to 256 bytes without NUL, found 0"),
            (257, 0, "invalid: a key: expected 1 to 256 bytes without NUL, found 257"),
            (1, (512 << 10) + 1, "too large: a value of 524289 bytes: expected at most 524288"),
        ] {
            let told =
                answer(&place, "m", json!({"do": "put", "key_bytes": key, "value_bytes": value})).await.to_string();
            assert!(told.contains(expected), "{told}");
        }
    });
}

#[test]
fn a_full_store_says_so() {
    law_on(&["memory"], |place| async move {
        place.serve("m", GRANTED);
        let value = Bytes::from(vec![0; VALUE]);
        for n in 0..BYTES / (value.len() + 3) {
            let op = Op::Put { value: value.clone(), ttl: None };
            place.backend.store.apply(&name("m"), &format!("{n:03}"), op).await.expect("it answers");
        }
        let told = answer(&place, "m", json!({"do": "put", "value_bytes": 512 << 10})).await.to_string();
        assert!(told.contains("too many: the store is full"), "{told}");
    });
}

/// Stands for a server that is away, or that doesn't answer.
struct Broken {
    answers: bool,
}

#[async_trait::async_trait]
impl Store for Broken {
    async fn apply(&self, _: &Name, _: &str, _: Op) -> tasq_host::error::Result<Stored> {
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Err(tasq_host::error::Error::unavailable("redis://secret.example: connection refused"))
    }
}

#[test]
fn a_store_that_is_away_is_unavailable_and_its_place_stays_unsaid() {
    law_on(&["memory"], |mut place| async move {
        place.backend.store = Arc::new(Broken { answers: true });
        place.serve("m", GRANTED);
        let told = answer(&place, "m", json!({"do": "tally", "key": "runs"})).await;
        assert_eq!(told, json!({"error": "unavailable: the store can't be used now"}));
    });
}

#[test]
fn waiting_for_the_store_costs_wall_time_alone() {
    law_on(&["memory"], |mut place| async move {
        place.backend.store = Arc::new(Broken { answers: false });
        place.serve("m", "timeout = \"700ms\"\ncpu = \"500ms\"\n[grants]\nstore = true");
        let id = place.enqueue("m", json!({"do": "tally", "key": "runs"}), fast(0)).await;
        place.until_empty(options()).await;
        let record = place.record(&id).await;
        assert_eq!(record.failure.expect("a reason").code, "timeout");
        assert!(record.receipt.wall_ms >= 700 && record.receipt.cpu_ms < 500, "{:?}", record.receipt);
    });
}
