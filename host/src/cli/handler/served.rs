//! `tasq-host handler list --served`: the versions that workers have, and what still runs on which.

use serde::Serialize;

use super::super::error::Error;
use super::super::{connect, output};
use crate::config::Config;
use tasq_host::backend;
use tasq_host::broker::WorkerReport;
use tasq_host::broker::versions::{self, Version};
use tasq_host::task::Name;

/// A line of `handler list --served --json`: one version in one worker.
#[derive(Debug, Serialize)]
struct VersionView {
    name: Name,
    digest: String,
    state: State,
    /// Absent of one that is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Name>,
    /// `<machine>-<process>-<random>`.
    worker: String,
    /// When the worker loaded it, by its clock. This and the next are absent from a worker that doesn't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The next task gets it.
    Served,
    /// Only runs that began with it are left.
    Replaced,
}

/// Lists what workers have.
pub(super) async fn run(json: bool, config: &Config) -> Result<(), Error> {
    let backend = connect::within(config, backend::open(&config.broker, None)).await?;
    let workers = connect::within(config, backend.operations.workers()).await?;
    let versions = views(&workers);
    if json {
        for version in &versions {
            output::json(version)?;
        }
    } else if workers.is_empty() {
        output::note("no worker is running");
    } else if versions.is_empty() {
        output::note("no worker has a handler");
    } else {
        output::line(&table(&versions))?;
    }
    Ok(())
}

/// By handler, what is served before what is replaced.
fn views(workers: &[WorkerReport]) -> Vec<VersionView> {
    let of = |worker: &WorkerReport| {
        let id = worker.id.to_string();
        versions::of(worker).into_iter().map(move |version| VersionView::of(version, id.clone()))
    };
    let mut views: Vec<VersionView> = workers.iter().flat_map(of).collect();
    views.sort_by(|a, b| {
        let key = |view: &VersionView| (view.state == State::Replaced, view.since.clone());
        a.name.cmp(&b.name).then_with(|| key(a).cmp(&key(b)))
    });
    views
}

impl VersionView {
    fn of(version: Version, worker: String) -> VersionView {
        let Version { name, digest, queue, replaced, told } = version;
        VersionView {
            name,
            digest,
            state: if replaced { State::Replaced } else { State::Served },
            queue: (!replaced).then(|| queue.unwrap_or_else(Name::default_queue)),
            worker,
            since: told.map(|told| told.since.to_string()),
            running: told.map(|told| told.running),
        }
    }
}

fn table(versions: &[VersionView]) -> String {
    let head = ["NAME", "DIGEST", "STATE", "QUEUE", "RUNNING", "SINCE", "WORKER"].map(String::from).to_vec();
    let row = |view: &VersionView| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        vec![
            view.name.to_string(),
            output::digest(&view.digest),
            if view.state == State::Served { "served" } else { "replaced" }.into(),
            or_dash(view.queue.as_ref().map(ToString::to_string)),
            or_dash(view.running.map(|running| running.to_string())),
            or_dash(view.since.clone()),
            view.worker.clone(),
        ]
    };
    output::table(&std::iter::once(head).chain(versions.iter().map(row)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasq_host::broker::HandlerReport;
    use tasq_host::broker::versions::Told;
    use tasq_host::task::{Headers, Timestamp};

    fn worker(id: &str, notes: Headers) -> WorkerReport {
        let handlers = vec![HandlerReport {
            name: "add".parse().unwrap(),
            digest: "sha256:0123456789abcdef".into(),
            queue: None,
            max_retries: None,
        }];
        WorkerReport { id: id.parse().unwrap(), queues: vec![], concurrency: 1, handlers, notes }
    }

    fn workers() -> Vec<WorkerReport> {
        let told = |running| Some(Told { since: Timestamp(1_700_000_000_000), running });
        let replaced = Version {
            name: "add".parse().unwrap(),
            digest: "sha256:fedcba9876543210".into(),
            queue: None,
            replaced: true,
            told: told(3),
        };
        let served =
            Version { digest: "sha256:0123456789abcdef".into(), replaced: false, told: told(1), ..replaced.clone() };
        vec![worker("old-1-a", Headers::new()), worker("new-2-b", [versions::note(&[served, replaced])].into())]
    }

    #[test]
    fn each_version_in_each_worker_has_the_promised_fields() {
        let lines: Vec<String> = views(&workers()).iter().map(|view| serde_json::to_string(view).unwrap()).collect();
        let expected = [
            r#"{"name":"add","digest":"sha256:0123456789abcdef","state":"served","queue":"default","worker":"old-1-a"}"#,
            r#"{"name":"add","digest":"sha256:0123456789abcdef","state":"served","queue":"default","worker":"new-2-b","since":"2023-11-14T22:13:20.000Z","running":1}"#,
            r#"{"name":"add","digest":"sha256:fedcba9876543210","state":"replaced","worker":"new-2-b","since":"2023-11-14T22:13:20.000Z","running":3}"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn people_see_what_still_runs_on_which() {
        let expected = "\
            NAME  DIGEST               STATE     QUEUE    RUNNING  SINCE                     WORKER\n\
            add   sha256:0123456789ab  served    default  -        -                         old-1-a\n\
            add   sha256:0123456789ab  served    default  1        2023-11-14T22:13:20.000Z  new-2-b\n\
            add   sha256:fedcba987654  replaced  -        3        2023-11-14T22:13:20.000Z  new-2-b";
        assert_eq!(table(&views(&workers())), expected);
    }
}
