//! What a handler may take and return.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, Task};

/// A function that can be a handler: `Fn(payload) -> answer` or `Fn(payload, &Task) -> answer`, with any [`Payload`] and
/// any [`Answer`]. `Form` only keeps the two apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a handler",
    label = "not a handler",
    note = "a handler is `fn(payload) -> answer` or `fn(payload, &tasq_sdk::Task) -> answer`",
    note = "payloads are `Json<T>`, `Vec<u8>`, `String` and `()`; answers are the same, or a `Result` of one and a `Failure`"
)]
pub trait Handler<Form> {
    /// Reads the payload, calls the function, writes its answer.
    fn call(&self, payload: Vec<u8>, task: &Task) -> Result<Vec<u8>, Failure>;
}

impl<F, P, A> Handler<fn(P) -> A> for F
where
    F: Fn(P) -> A,
    P: Payload,
    A: Answer,
{
    fn call(&self, payload: Vec<u8>, _task: &Task) -> Result<Vec<u8>, Failure> {
        self(P::read(payload)?).write()
    }
}

impl<F, P, A> Handler<fn(P, &Task) -> A> for F
where
    F: Fn(P, &Task) -> A,
    P: Payload,
    A: Answer,
{
    fn call(&self, payload: Vec<u8>, task: &Task) -> Result<Vec<u8>, Failure> {
        self(P::read(payload)?, task).write()
    }
}

/// What a handler takes: made from the task's bytes.
#[diagnostic::on_unimplemented(note = "wrap a type that serde can read as `Json<{Self}>`")]
pub trait Payload: Sized {
    /// What can't be read never will be: give a [`Failure::discard`] with the code `invalid-payload`.
    fn read(payload: Vec<u8>) -> Result<Self, Failure>;
}

/// What a handler returns: the bytes of the task's result, or a failure.
#[diagnostic::on_unimplemented(note = "wrap a type that serde can write as `Json<{Self}>`")]
pub trait Answer {
    /// Gives the bytes.
    fn write(self) -> Result<Vec<u8>, Failure>;
}

/// A typed payload or result, as JSON. A payload that isn't JSON of this type is discarded with the code
/// `invalid-payload` and a message that says what was expected where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned> Payload for Json<T> {
    fn read(payload: Vec<u8>) -> Result<Json<T>, Failure> {
        // All of it at first: what serde skips it wouldn't look at.
        let text = std::str::from_utf8(&payload).map_err(|error| invalid_payload(&error))?;
        serde_json::from_str(text).map(Json).map_err(|error| invalid_payload(&error))
    }
}

impl<T: Serialize> Answer for Json<T> {
    /// A value that JSON can't hold, such as a map with keys that aren't strings, is discarded as `invalid-result`.
    fn write(self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(&self.0)
            .map_err(|error| Failure::discard(format!("the result can't be JSON: {error}")).with_code("invalid-result"))
    }
}

/// The bytes as they are.
impl Payload for Vec<u8> {
    fn read(payload: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(payload)
    }
}

impl Answer for Vec<u8> {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(self)
    }
}

/// Text; bytes that aren't UTF-8 are discarded as `invalid-payload`.
impl Payload for String {
    fn read(payload: Vec<u8>) -> Result<String, Failure> {
        String::from_utf8(payload).map_err(|error| invalid_payload(&error))
    }
}

impl Answer for String {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(self.into_bytes())
    }
}

/// For a handler that doesn't look at its payload.
impl Payload for () {
    fn read(_payload: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }
}

/// A result without bytes.
impl Answer for () {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }
}

impl<A: Answer, E: Into<Failure>> Answer for Result<A, E> {
    fn write(self) -> Result<Vec<u8>, Failure> {
        self.map_err(E::into)?.write()
    }
}

fn invalid_payload(error: &dyn std::fmt::Display) -> Failure {
    Failure::discard(format!("the payload is not what was expected: {error}")).with_code("invalid-payload")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    fn call<Form>(handler: impl Handler<Form>, payload: &[u8]) -> Result<Vec<u8>, Failure> {
        handler.call(payload.to_vec(), &Task::default())
    }

    #[test]
    fn a_handler_takes_and_gives_json() {
        let double = |Json(number): Json<i64>| Json(number * 2);
        assert_eq!(call(double, b" 21 "), Ok(b"42".to_vec()));
    }

    #[test]
    fn a_handler_may_ask_for_the_task() {
        let name = |(): (), task: &Task| format!("{}/{}", task.handler, task.attempt);
        assert_eq!(call(name, b"ignored"), Ok(b"test/1".to_vec()));
    }

    #[test]
    fn raw_bytes_pass_unread() {
        assert_eq!(call(|bytes: Vec<u8>| bytes, &[0xff, 0]), Ok(vec![0xff, 0]));
        assert_eq!(call(|_: Vec<u8>| (), b"x"), Ok(vec![]));
    }

    #[test]
    fn a_payload_that_cannot_be_read_is_discarded() {
        let numbers = |Json(list): Json<Vec<i64>>| Json(list.len());
        for payload in [&b"{not json"[..], b"", b"{}", b"[1] 2", b"\xff\xfe"] {
            let failure = call(numbers, payload).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Discard);
            assert_eq!(failure.code, "invalid-payload");
        }
        assert_eq!(call(|text: String| text, b"\xff\xfe").unwrap_err().code, "invalid-payload");
    }

    #[test]
    fn any_error_is_tried_again() {
        let parse = |text: String| -> Result<Json<i64>, std::num::ParseIntError> { Ok(Json(text.parse()?)) };
        let failure = call(parse, b"many").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Retry);
        assert_eq!(failure.message, "invalid digit found in string");
    }

    #[test]
    fn a_result_that_cannot_be_json_is_discarded() {
        let map = |(): ()| Json(std::collections::HashMap::from([(vec![1], 2)]));
        assert_eq!(call(map, b"").unwrap_err().code, "invalid-result");
    }
}
