//! Adds two numbers: `{"arg1":5,"arg2":4}` gives `{"result":9}`.

use serde::{Deserialize, Serialize};
use tasq_sdk::{Failure, Json};

/// What is asked for.
#[derive(Deserialize)]
struct Numbers {
    arg1: i64,
    arg2: i64,
}

/// What comes out.
#[derive(Debug, PartialEq, Serialize)]
struct Sum {
    result: i64,
}

tasq_sdk::handler!(add);

fn add(Json(numbers): Json<Numbers>) -> Result<Json<Sum>, Failure> {
    match numbers.arg1.checked_add(numbers.arg2) {
        Some(result) => Ok(Json(Sum { result })),
        // It would overflow again, so trying again is of no use.
        None => Err(Failure::discard("the sum does not fit 64 bits").with_code("overflow")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasq_sdk::FailureKind;
    use tasq_sdk::testing::run;

    #[test]
    fn adds_two_numbers() {
        assert_eq!(run(add, r#"{"arg1":5,"arg2":4}"#).unwrap(), br#"{"result":9}"#);
    }

    #[test]
    fn is_a_plain_function_too() {
        assert_eq!(add(Json(Numbers { arg1: -5, arg2: 4 })).unwrap(), Json(Sum { result: -1 }));
    }

    #[test]
    fn gives_up_on_a_sum_that_does_not_fit() {
        let failure = add(Json(Numbers { arg1: i64::MAX, arg2: 1 })).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Discard, "overflow"));
    }

    #[test]
    fn gives_up_on_a_payload_that_is_not_two_numbers() {
        for payload in ["{not json", "", "[1,2,3]", r#"{"arg1":5}"#, r#"{"arg1":"x","arg2":2}"#] {
            let failure = run(add, payload).unwrap_err();
            assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Discard, "invalid-payload"), "{payload}");
        }
    }
}
