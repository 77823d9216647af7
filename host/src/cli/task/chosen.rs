//! The tasks that a command is to change: named one by one, or chosen by what they have in common; and what came of it.

use std::future::Future;

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::{connect, input, output};
use crate::config::Config;
use tasq_host::Client;
use tasq_host::error::Result;
use tasq_host::results::Filter;
use tasq_host::task::{Name, State, TaskId};

/// Which tasks: ids, or filters.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// The tasks' ids
    #[arg(conflicts_with_all = ["state", "queue", "handler", "limit", "all"])]
    ids: Vec<TaskId>,
    /// Tasks in this state
    #[arg(long, value_parser = input::state())]
    state: Option<State>,
    /// Tasks of this queue
    #[arg(long)]
    queue: Option<Name>,
    /// Tasks for this handler
    #[arg(long)]
    handler: Option<Name>,
    /// At most this many of those that are meant, the newest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "all")]
    limit: Option<u64>,
    /// All that are meant
    #[arg(long)]
    all: bool,
    /// Print a JSON object a line, {"id":…,"outcome":…}; the counts go to stderr
    #[arg(long)]
    json: bool,
}

/// What came of one task, as it is printed.
pub(super) struct Answer {
    /// A word for programs, and for the counts.
    pub(super) outcome: &'static str,
    /// Why it isn't what was asked for.
    pub(super) refusal: Option<Refusal>,
}

/// Why a task couldn't be changed.
pub(super) enum Refusal {
    /// There is no such task.
    NotFound,
    /// In words that follow the task's id.
    Because(String),
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a TaskId,
    outcome: &'static str,
}

/// Tasks that go to the broker in one call.
const PAGE: usize = 1_000;

/// What has come of all tasks so far.
#[derive(Default)]
struct Tally {
    /// In the order in which they first came.
    counts: Vec<(&'static str, u64)>,
    refused: Vec<(TaskId, Refusal)>,
}

impl Chosen {
    /// Lets `change` change the chosen tasks, in pages, and says what came of each. `states`: those that are meant where
    /// none is named, of which each may become a later one meanwhile.
    pub(super) async fn each<F: Future<Output = Result<Vec<Answer>>>>(
        self,
        config: &Config,
        states: &[State],
        change: impl Fn(Client, Vec<TaskId>) -> F,
    ) -> std::result::Result<(), Error> {
        self.check(states)?;
        let client = connect::client(config).await?;
        let mut tally = Tally::default();
        for ids in self.ids.chunks(PAGE) {
            let answers = connect::within(config, change(client.clone(), ids.to_vec())).await?;
            tally.add(ids, answers, self.json)?;
        }
        let by_name = !self.ids.is_empty();
        let states = self.state.as_ref().map_or(states, std::slice::from_ref);
        let mut left = if by_name { 0 } else { self.limit.unwrap_or(u64::MAX) };
        for &state in states {
            let mut after = None;
            while left > 0 {
                let limit = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
                let (queue, handler) = (self.queue.clone(), self.handler.clone());
                let filter = Filter { state: Some(state), queue, handler, limit, after };
                let page = connect::within(config, client.list(&filter)).await?;
                let ids: Vec<TaskId> = page.tasks.iter().map(|task| task.id().clone()).collect();
                left -= ids.len() as u64;
                if !ids.is_empty() {
                    let answers = connect::within(config, change(client.clone(), ids.clone())).await?;
                    tally.add(&ids, answers, self.json)?;
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        tally.conclude(self.json)
    }

    fn check(&self, states: &[State]) -> std::result::Result<(), Error> {
        if self.ids.is_empty() && self.limit.is_none() && !self.all {
            return Err(Error::usage("expected ids of tasks, or --all or --limit N, found neither"));
        }
        match self.state {
            Some(state) if !states.contains(&state) => {
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                Err(Error::usage(format!("--state {state}: expected {}", states.join(", "))))
            }
            _ => Ok(()),
        }
    }
}

impl Tally {
    fn add(&mut self, ids: &[TaskId], answers: Vec<Answer>, json: bool) -> std::io::Result<()> {
        for (id, Answer { outcome, refusal }) in ids.iter().zip(answers) {
            match self.counts.iter_mut().find(|(word, _)| *word == outcome) {
                Some((_, count)) => *count += 1,
                None => self.counts.push((outcome, 1)),
            }
            if json {
                output::json(&Line { id, outcome })?;
            }
            self.refused.extend(refusal.map(|refusal| (id.clone(), refusal)));
        }
        Ok(())
    }

    /// The counts, and an error where something couldn't be done.
    fn conclude(self, json: bool) -> std::result::Result<(), Error> {
        let counts: Vec<String> = self.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let counts = if counts.is_empty() { "no tasks".to_owned() } else { counts.join(", ") };
        if json || self.counts.is_empty() {
            output::note(&counts);
        } else {
            output::line(&counts)?;
        }
        let all_unknown = self.refused.iter().all(|(_, refusal)| matches!(refusal, Refusal::NotFound));
        let code = if all_unknown { Code::NotFound } else { Code::Failed };
        let text = |(id, refusal): &(TaskId, Refusal)| match refusal {
            Refusal::NotFound => format!("task {id}: {}", super::NOT_FOUND),
            Refusal::Because(why) => format!("task {id} {why}"),
        };
        match self.refused.as_slice() {
            [] => Ok(()),
            [one] => Err(Error::new(code, text(one))),
            several => {
                several.iter().for_each(|one| output::warn(&text(one)));
                Err(Error::new(code, format!("{} tasks were left as they were", several.len())))
            }
        }
    }
}
