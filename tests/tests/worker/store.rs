//! What handlers keep between their runs.

use super::*;

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
        let value = Bytes::from(vec![0; tasq_host::store::VALUE]);
        for n in 0..tasq_host::store::BYTES / (value.len() + 3) {
            let op = tasq_host::store::Op::Put { value: value.clone(), ttl: None };
            place.backend.store.apply(&name("m"), &format!("{n:03}"), op).await.expect("it answers");
        }
        let told = answer(&place, "m", json!({"do": "put", "value_bytes": 512 << 10})).await.to_string();
        assert!(told.contains("too many: the store is full"), "{told}");
    });
}
