//! The names of keys and channels. A queue's keys share a hash tag, so that they live in one slot of a cluster:
//! `<prefix>:{<queue>}:<part>`.

use std::collections::BTreeMap;

use redis::ScriptInvocation;

use super::Queues;
use crate::task::Name;

/// The parts of a queue, in the order in which scripts are given their keys. Times are scores, in milliseconds.
///
/// | | | |
/// |---|---|---|
/// | `p0` `p1` `p2` | list | ids that are due, by priority |
/// | `k0` `k1` `k2` | sorted by text | what waits aside, by handler |
/// | `k` | hash | how much of each handler is aside |
/// | `m` | hash | id → what the task is, and its envelope; of dead letters, too |
/// | `e` | hash | id → runs, failures and losses, of what didn't end with its first run |
/// | `x` | hash | id → the present run |
/// | `l` | sorted | running tasks by the end of their lease |
/// | `s` | sorted | what is due later |
/// | `d` `dn` | sorted | dead letters by the end and the beginning of their keeping |
/// | `t` | sorted | tombstones by their end |
/// | `r` | hash | id → record |
/// | `fd` | sorted | records of done (cancelled) tasks that are kept as long as is usual, by the time they ended |
/// | `fo` `fx` | sorted | the same of those that are kept for another time, and of dead tasks |
/// | `f` | sorted | the latter two by the end of their keeping |
/// | `o` `oz` | hash, sorted | letters by number; their tasks |
/// | `c` | hash | counters: `seq` of accepted tasks, `letter`, `gone` from the lists; settings: `paused`, `rate`, `most` |
/// | `u` | hash | unique key → who holds it, until when |
/// | `a` | hash | id → how many results a task waits for; those that came |
pub(super) const PARTS: [&str; 25] = [
    "p0", "p1", "p2", "k0", "k1", "k2", "k", "m", "e", "x", "l", "s", "d", "dn", "t", "r", "f", "fd", "fo", "fx", "o",
    "oz", "c", "u", "a",
];

/// What the search for an id needs of a queue, in the order in which `accept.lua` reads it.
const HELD: [&str; 9] = ["m", "t", "d", "dn", "r", "f", "fd", "fo", "fx"];

/// The names under one prefix.
pub(super) struct Layout {
    pub(super) prefix: String,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Layout {
        Layout { prefix: prefix.into() }
    }

    /// Hash: queue → its number.
    pub(super) fn queues(&self) -> String {
        format!("{}:queues", self.prefix)
    }

    /// Hash: worker → until when it is believed to live, and its report.
    pub(super) fn workers(&self) -> String {
        format!("{}:workers", self.prefix)
    }

    /// List: what other programs leave.
    pub(super) fn inbox(&self) -> String {
        format!("{}:inbox", self.prefix)
    }

    /// List: the ids of those that other programs were told of, the oldest first.
    pub(super) fn told(&self) -> String {
        format!("{}:results", self.prefix)
    }

    /// Channel: names of queues in which something waits.
    pub(super) fn wake(&self) -> String {
        format!("{}:wake", self.prefix)
    }

    /// Channel: who settled, and the ids that ended.
    pub(super) fn ended(&self) -> String {
        format!("{}:ended", self.prefix)
    }

    /// Channel: ids of running tasks that are to be cancelled.
    pub(super) fn cancels(&self) -> String {
        format!("{}:cancels", self.prefix)
    }

    /// Hash: schedule → its value.
    pub(super) fn schedules(&self) -> String {
        format!("{}:schedules", self.prefix)
    }

    /// Gives a script the keys of what an owner stores: values by key, keys that expire by time, the bytes of all.
    pub(super) fn stored(&self, owner: &Name, call: &mut ScriptInvocation<'_>) {
        for part in ["v", "f", "b"] {
            call.key(format!("{}:store:{{{owner}}}:{part}", self.prefix));
        }
    }

    /// Gives a script the keys of a queue.
    pub(super) fn keys(&self, queue: &Name, call: &mut ScriptInvocation<'_>) {
        self.parts(queue, &PARTS, call);
    }

    fn parts(&self, queue: &Name, parts: &[&str], call: &mut ScriptInvocation<'_>) {
        for part in parts {
            call.key(format!("{}:{{{queue}}}:{part}", self.prefix));
        }
    }

    /// Gives a script that accepts tasks (`accept.lua`) its keys and first arguments.
    pub(super) fn accept(&self, blocks: &Blocks<'_>, queues: &Queues, search: Search, call: &mut ScriptInvocation<'_>) {
        call.key(self.queues());
        let names = blocks.names();
        for name in &names {
            self.keys(name, call);
        }
        if search == Search::Everywhere {
            let others = queues.keys().filter(|name| !blocks.0.contains_key(name));
            others.for_each(|name| self.parts(name, &HELD, call));
        }
        let known = if search == Search::Not { -1 } else { queues.len() as i64 };
        call.arg(self.wake()).arg(known).arg(names.len());
        for name in names {
            call.arg(name.as_str());
        }
    }
}

/// Where a script looks for the ids of the tasks that it is to accept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// It accepts none.
    Not,
    /// In the queues that they are for: generated ids.
    There,
    /// In all queues.
    Everywhere,
}

/// The queues that a script writes to, and their places among its keys, from 1.
#[derive(Default)]
pub(super) struct Blocks<'a>(BTreeMap<&'a Name, usize>);

impl<'a> Blocks<'a> {
    pub(super) fn add(&mut self, queue: &'a Name) {
        let next = self.0.len() + 1;
        self.0.entry(queue).or_insert(next);
    }

    pub(super) fn names(&self) -> Vec<&'a Name> {
        let mut names: Vec<_> = self.0.iter().map(|(&name, &place)| (place, name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Of a queue that was added.
    pub(super) fn place(&self, queue: &Name) -> usize {
        self.0.get(queue).copied().unwrap_or_default()
    }
}
