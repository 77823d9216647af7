//! The count after a storm.

use std::collections::HashMap;
use std::fmt;

use tasq_host::task::State;

use super::work::{Item, Kind, Settled};
use crate::processes::{GuestRun, at_once};

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The stage's.
    pub name: String,
    /// Workers that were killed.
    pub kills: u64,
    /// Times that the server was killed.
    pub strikes: u64,
    /// Tasks that were accepted, on their own, as steps or as members, callbacks among them.
    pub accepted: u64,
    /// Of these, done.
    pub done: u64,
    /// Dead as poison: their runs were lost as often as is allowed.
    pub poison: u64,
    /// Later steps and callbacks that never start, because one before them is poison.
    pub never: u64,
    /// Chains of which all steps are done.
    pub chains: u64,
    /// Groups of which the callback is done.
    pub groups: u64,
    /// Without an end, or dead for another reason: there must be none.
    pub missing: u64,
    /// Runs that began and whose worker vanished.
    pub lost: u64,
    /// Times that a guest began a task again.
    pub repeats: u64,
    /// Repeats without a loss that was counted for them: there must be none.
    pub unexplained: u64,
    /// Runs of one task that overlapped: there must be none.
    pub at_once: u64,
    /// What the broker still holds beside dead letters and callbacks that never start: there must be nothing.
    pub left: u64,
}

impl Tally {
    /// The table's first line.
    pub const HEAD: &'static str = "broker   worker kills  server kills  accepted    done  poison  never  chains  \
         groups  missing   lost  repeats  unexplained  at once  left";

    /// Everything has its end, and every repeat its reason.
    pub fn is_sound(&self) -> bool {
        self.accepted == self.done + self.poison + self.never
            && self.missing + self.unexplained + self.at_once + self.left == 0
            && self.accepted > 0
    }
}

/// A line of the table.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { name, kills, strikes, accepted, done, poison, never, chains, groups, .. } = self;
        let Tally { missing, lost, repeats, unexplained, at_once, left, .. } = self;
        write!(f, "{name:<8} {kills:>12} {strikes:>13} {accepted:>9} {done:>7} {poison:>7} {never:>6} {chains:>7} ")?;
        write!(f, "{groups:>7} {missing:>8} {lost:>6} {repeats:>8} {unexplained:>12} {at_once:>8} {left:>5}")
    }
}

pub(super) fn count(items: &[Item], settled: &Settled, runs: &[GuestRun]) -> Tally {
    let mut begun: HashMap<&str, u64> = HashMap::new();
    runs.iter().for_each(|run| *begun.entry(&run.task).or_default() += 1);
    let mut tally = Tally {
        at_once: at_once(runs).len() as u64,
        left: settled.left,
        never: settled.never,
        missing: settled.open,
        ..Tally::default()
    };
    for item in items {
        let tasks = item.tasks();
        tally.accepted += tasks.len() as u64;
        let is_done = |task| settled.records.get(task).is_some_and(|record| record.state == State::Done);
        match item.kind() {
            Kind::Task => {}
            Kind::Chain => tally.chains += u64::from(tasks.iter().all(is_done)),
            Kind::Group => tally.groups += u64::from(tasks.last().is_some_and(is_done)),
        }
    }
    for record in settled.records.values() {
        let repeats = begun.get(record.id.as_str()).copied().unwrap_or_default().saturating_sub(1);
        tally.repeats += repeats;
        tally.lost += u64::from(record.lost);
        tally.unexplained += repeats.saturating_sub(u64::from(record.lost));
        let code = record.failure.as_ref().map(|failure| failure.code.as_str());
        match (record.state, code) {
            (State::Done, _) => tally.done += 1,
            (State::Dead, Some("poison")) if record.lost >= 3 => tally.poison += 1,
            _ => tally.missing += 1,
        }
    }
    tally
}
