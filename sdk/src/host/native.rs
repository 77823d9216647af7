//! Outside a component: the host that the test on this thread set up with [`crate::testing`].

use super::{HostError, HostErrorKind};
use crate::context::Stop;
use crate::failure::millis;
use crate::log::Level;
use crate::producer::NewTask;
use crate::testing::{Line, Progress, with_host};

pub(crate) fn remaining_ms() -> u64 {
    with_host(|host| millis(host.remaining))
}

pub(crate) fn stopping() -> Option<Stop> {
    with_host(|host| host.stopping)
}

pub(crate) fn progress(percent: u8, note: &str) {
    with_host(|host| host.seen.progress.push(Progress { percent: percent.min(100), note: note.to_owned() }));
}

pub(crate) fn log_enabled(level: Level) -> bool {
    with_host(|host| level >= host.level)
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    with_host(|host| {
        if level >= host.level {
            host.seen.log.push(Line { level, message: message.to_owned(), fields });
        }
    });
}

pub(crate) fn config(name: &str) -> Option<String> {
    with_host(|host| host.config.get(name).cloned())
}

pub(crate) fn enqueue(task: NewTask) -> Result<String, HostError> {
    with_host(|host| {
        if !host.may_enqueue.contains(&task.handler) {
            return Err(denied(&format!("the test grants no enqueueing for `{}`", task.handler)));
        }
        host.seen.enqueued.push(task);
        Ok(format!("enqueued-{}", host.seen.enqueued.len()))
    })
}

pub(crate) fn store_get(key: &str) -> Result<Option<Vec<u8>>, HostError> {
    with_store(|store| Ok(store.get(key).cloned()))
}

/// Time stands still in a test: nothing expires.
pub(crate) fn store_put(key: &str, value: &[u8], _ttl_ms: u64) -> Result<(), HostError> {
    with_store(|store| {
        store.insert(key.to_owned(), value.to_vec());
        Ok(())
    })
}

pub(crate) fn store_replace(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, HostError> {
    with_store(|store| {
        let holds = store.get(key).map(Vec::as_slice) == expected;
        if holds {
            store.insert(key.to_owned(), value.to_vec());
        }
        Ok(holds)
    })
}

pub(crate) fn store_increment(key: &str, by: i32) -> Result<i64, HostError> {
    with_store(|store| {
        let now = store.get(key).map_or(Some(0), |bytes| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok());
        let Some(sum) = now.and_then(|number| number.checked_add(by.into())) else {
            return Err(HostError { kind: HostErrorKind::Invalid, message: format!("`{key}` holds no number") });
        };
        store.insert(key.to_owned(), sum.to_string().into_bytes());
        Ok(sum)
    })
}

pub(crate) fn store_remove(key: &str) -> Result<(), HostError> {
    with_store(|store| {
        store.remove(key);
        Ok(())
    })
}

type Entries = std::collections::BTreeMap<String, Vec<u8>>;

fn with_store<T>(use_it: impl FnOnce(&mut Entries) -> Result<T, HostError>) -> Result<T, HostError> {
    with_host(|host| match &mut host.seen.store {
        Some(store) => use_it(store),
        None => Err(denied("the test grants no store")),
    })
}

fn denied(message: &str) -> HostError {
    HostError { kind: HostErrorKind::Denied, message: message.to_owned() }
}
