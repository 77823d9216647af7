//! The names of keys and channels. A queue's keys share a hash tag, so that they live in one slot of a cluster:
//! `<prefix>:{<queue>}:<part>`.

use std::collections::BTreeMap;

use super::call::Call;

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
/// | `n` | hash | follow-ups for queues in other slots, by number |
/// | `c` | hash | counters: `seq` of accepted tasks, `letter`, `gone` from the lists; settings: `paused`, `rate`, `most` |
/// | `u` | hash | unique key → who holds it, until when |
/// | `a` | hash | id → how many results a task waits for; those that came |
pub(super) const PARTS: [&str; 26] = [
    "p0", "p1", "p2", "k0", "k1", "k2", "k", "m", "e", "x", "l", "s", "d", "dn", "t", "r", "f", "fd", "fo", "fx", "o",
    "oz", "c", "u", "a", "n",
];

/// What the search for an id needs of a queue, in the order in which `accept.lua` reads it.
const HELD: [&str; 9] = ["m", "t", "d", "dn", "r", "f", "fd", "fo", "fx"];

/// Ids that are held are spread over so many slots.
const HELD_IN: u32 = 64;

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
    pub(super) fn stored(&self, owner: &Name, call: &mut Call<'_>) {
        for part in ["v", "f", "b"] {
            call.key(format!("{}:store:{{{owner}}}:{part}", self.prefix));
        }
    }

    /// Gives a script the keys of ids that are to be held, by the slots that they are in.
    pub(super) fn held<'a>(&self, ids: impl Iterator<Item = &'a str>) -> BTreeMap<u32, Vec<String>> {
        let mut slots: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for id in ids {
            let slot = id.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % HELD_IN;
            slots.entry(slot).or_default().push(format!("{}:held:{{{slot}}}:{id}", self.prefix));
        }
        slots
    }

    /// Gives a script the keys of a queue.
    pub(super) fn keys(&self, queue: &Name, call: &mut Call<'_>) {
        self.parts(queue, &PARTS, call);
    }

    /// Gives a script the leases of a queue.
    pub(super) fn leases(&self, queue: &Name, call: &mut Call<'_>) {
        self.parts(queue, &["l"], call);
    }

    fn parts(&self, queue: &Name, parts: &[&str], call: &mut Call<'_>) {
        for part in parts {
            call.key(self.part(queue, part));
        }
    }

    fn part(&self, queue: &Name, part: &str) -> String {
        format!("{}:{{{queue}}}:{part}", self.prefix)
    }

    /// Gives a script that accepts tasks (`accept.lua`) its keys and first arguments.
    pub(super) fn accept(&self, blocks: &Blocks<'_>, queues: &Queues, search: Search, call: &mut Call<'_>) {
        let names = blocks.names();
        match search {
            Search::Everywhere => call.key(self.queues()),
            Search::There => call.key(names.first().map_or(self.queues(), |name| self.part(name, "c"))),
        };
        for name in &names {
            self.keys(name, call);
        }
        if search == Search::Everywhere {
            let others = queues.keys().filter(|name| !blocks.0.contains_key(name));
            others.for_each(|name| self.parts(name, &HELD, call));
        }
        let known = if search == Search::There { -1 } else { queues.len() as i64 };
        call.arg(self.wake()).arg(known).arg(names.len());
        for name in names {
            call.arg(name.as_str());
        }
    }
}

/// Where a script looks for the ids of the tasks that it is to accept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// In the queues that it writes to: generated ids, or none, or the caller has looked elsewhere.
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
