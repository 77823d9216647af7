//! What a guest keeps: its handler's own keys, in the store that the sandbox was lent. A call waits for the store's server,
//! which counts against the run's wall time alone.

use std::time::Duration;

use bytes::Bytes;

use super::imports::{State, bindings};
use crate::error::ErrorKind as Trouble;
use crate::store::{BYTES, KEY, KEYS, Op, Stored, VALUE};
use crate::text;
use bindings::tasq::handler::store::Host;
use bindings::tasq::handler::types::{ErrorKind, HostError};

/// At most so many calls in one run: each is a round trip to a server that others share.
const CALLS: u32 = 1_000;
/// Values that one run writes, together.
const WRITTEN: usize = 8 << 20;

/// What one run has asked of the store so far.
#[derive(Default)]
pub(super) struct Asked {
    calls: u32,
    written: usize,
}

impl Asked {
    fn add(&mut self, op: &Op) -> Result<(), HostError> {
        if self.calls >= CALLS {
            return Err(error(ErrorKind::TooMany, format!("one run asks the store at most {CALLS} times")));
        }
        let written = self.written
            + match op {
                Op::Put { value, .. } | Op::Replace { value, .. } => value.len(),
                Op::Get | Op::Increment { .. } | Op::Remove => 0,
            };
        if written > WRITTEN {
            return Err(error(ErrorKind::TooLarge, format!("one run writes at most {WRITTEN} bytes to the store")));
        }
        (self.calls, self.written) = (self.calls + 1, written);
        Ok(())
    }
}

impl Host for State {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        match self.keep(&key, || Ok(Op::Get)).await? {
            Stored::Value(value) => Ok(value.map(Vec::from)),
            other => Err(refusal(other)),
        }
    }

    async fn put(&mut self, key: String, new: Vec<u8>, ttl_ms: u64) -> Result<(), HostError> {
        match self.keep(&key, || Ok(Op::Put { value: value(new)?, ttl: ttl(ttl_ms)? })).await? {
            Stored::Done => Ok(()),
            other => Err(refusal(other)),
        }
    }

    async fn replace(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
        ttl_ms: u64,
    ) -> Result<bool, HostError> {
        let op = || Ok(Op::Replace { expected: expected.map(Bytes::from), value: value(new)?, ttl: ttl(ttl_ms)? });
        match self.keep(&key, op).await? {
            Stored::Replaced(replaced) => Ok(replaced),
            other => Err(refusal(other)),
        }
    }

    async fn increment(&mut self, key: String, by: i32, ttl_ms: u64) -> Result<i64, HostError> {
        match self.keep(&key, || Ok(Op::Increment { by, ttl: ttl(ttl_ms)? })).await? {
            Stored::Number(sum) => Ok(sum),
            other => Err(refusal(other)),
        }
    }

    async fn remove(&mut self, key: String) -> Result<(), HostError> {
        match self.keep(&key, || Ok(Op::Remove)).await? {
            Stored::Done => Ok(()),
            other => Err(refusal(other)),
        }
    }
}

impl State {
    /// Does what `op` says to a key of this handler's, if all of it may be.
    async fn keep(
        &mut self,
        key: &str,
        op: impl FnOnce() -> Result<Op, HostError> + Send,
    ) -> Result<Stored, HostError> {
        self.host_calls += 1;
        if !self.handler.manifest.grants.store {
            let message = "the store is not granted; `[grants] store = true` in the handler's manifest would";
            return Err(error(ErrorKind::Denied, message));
        }
        check(key)?;
        let op = op()?;
        self.asked.add(&op)?;
        let Some(store) = &self.store else {
            return Err(error(ErrorKind::Unavailable, "there is no store here"));
        };
        store.apply(&self.handler.name, key, op).await.map_err(|failed| {
            let kind = match failed.kind {
                Trouble::Unavailable => ErrorKind::Unavailable,
                Trouble::Corrupt | Trouble::Rejected => ErrorKind::Other,
            };
            // What it says names servers and files, which aren't the guest's to know.
            tracing::warn!(handler = %self.handler.name, "the store: {failed}");
            error(kind, "the store can't be used now")
        })
    }
}

fn check(key: &str) -> Result<(), HostError> {
    if (1..=KEY).contains(&key.len()) && !key.contains('\0') {
        return Ok(());
    }
    let found = if key.contains('\0') { "NUL in it".to_owned() } else { key.len().to_string() };
    Err(error(ErrorKind::Invalid, format!("a key: expected 1 to {KEY} bytes without NUL, found {found}")))
}

fn value(value: Vec<u8>) -> Result<Bytes, HostError> {
    if value.len() > VALUE {
        let message = format!("a value of {} bytes: expected at most {VALUE}", value.len());
        return Err(error(ErrorKind::TooLarge, message));
    }
    Ok(value.into())
}

fn ttl(ms: u64) -> Result<Option<Duration>, HostError> {
    let ttl = Duration::from_millis(ms);
    if ttl > text::LONGEST {
        return Err(error(ErrorKind::Invalid, format!("a ttl of {ms} ms: expected at most 36500 days")));
    }
    Ok(Some(ttl).filter(|ttl| !ttl.is_zero()))
}

/// What the store answers where it does nothing.
fn refusal(stored: Stored) -> HostError {
    match stored {
        Stored::NotANumber => {
            error(ErrorKind::Invalid, "the key holds no decimal number, or the sum fits into no 64 bits")
        }
        Stored::Full => {
            let limit = BYTES >> 20;
            error(ErrorKind::TooMany, format!("the store is full: a handler keeps at most {KEYS} keys and {limit} MiB"))
        }
        other => error(ErrorKind::Other, format!("the store gave an answer to another question: {other:?}")),
    }
}

fn error(kind: ErrorKind, message: impl Into<String>) -> HostError {
    HostError { kind, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_asks_so_often_and_writes_so_much() {
        let (mut asked, mut writing) = (Asked::default(), Asked::default());
        assert!((0..CALLS).all(|_| asked.add(&Op::Get).is_ok()));
        assert_eq!(asked.add(&Op::Remove).unwrap_err().kind, ErrorKind::TooMany);
        let put = |bytes| Op::Put { value: vec![0; bytes].into(), ttl: None };
        assert!((0..WRITTEN / VALUE).all(|_| writing.add(&put(VALUE)).is_ok()));
        assert_eq!(writing.add(&put(1)).unwrap_err().kind, ErrorKind::TooLarge);
        assert!(writing.add(&Op::Get).is_ok());
    }

    #[test]
    fn keys_values_and_times_have_bounds() {
        assert!(check("k").is_ok() && check(&"k".repeat(KEY)).is_ok() && check("ä b\n").is_ok());
        for (key, found) in
            [(String::new(), "found 0"), ("k".repeat(KEY + 1), "found 257"), ("a\0b".into(), "found NUL")]
        {
            let refused = check(&key).unwrap_err();
            assert!(refused.kind == ErrorKind::Invalid && refused.message.contains(found), "{}", refused.message);
        }
        assert!(value(vec![0; VALUE]).is_ok());
        assert_eq!(value(vec![0; VALUE + 1]).unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!((ttl(0).unwrap(), ttl(1).unwrap()), (None, Some(Duration::from_millis(1))));
        assert_eq!(ttl(u64::MAX).unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(refusal(Stored::Full).kind, ErrorKind::TooMany);
        assert_eq!(refusal(Stored::NotANumber).kind, ErrorKind::Invalid);
    }
}
