//! What is printed of a task: under `--json` the fields that the README promises; `people` has the same for people.

use serde::Serialize;

use tasq_host::client::Shown;
use tasq_host::task::TaskId;

use super::output;

mod line;
mod people;
mod task;
mod together;

pub(crate) use line::TaskLine;
pub(crate) use people::{cost, failure_text};
pub(crate) use task::{ResultBytes, TaskView};
pub(crate) use together::Place;
use together::{ChainView, GroupView};

/// `enqueue --json`.
#[derive(Debug, Serialize)]
pub(crate) struct EnqueuedView<'a> {
    pub(crate) id: &'a TaskId,
    pub(crate) created: bool,
}

/// Prints what an id stands for: as JSON, or for people. `group`: where a task stands in one.
pub(crate) fn print(shown: &Shown, group: Option<Place>, json: bool) -> std::io::Result<()> {
    match shown {
        Shown::Task(known) if json => output::json(&TaskView { group, ..TaskView::of(known) }),
        Shown::Task(known) => output::line(&TaskView { group, ..TaskView::of(known) }.block()),
        Shown::Chain(chain) if json => output::json(&ChainView::of(chain)),
        Shown::Chain(chain) => output::line(&ChainView::of(chain).block()),
        Shown::Group(group) if json => output::json(&GroupView::of(group)),
        Shown::Group(group) => output::line(&GroupView::of(group).block()),
    }
}
