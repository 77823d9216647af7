//! The versions of handlers that a worker has loaded, as it tells them. Like its activity they travel in the notes of its
//! report, so that workers and readers of other versions share a broker.

use serde::{Deserialize, Serialize};

use crate::broker::WorkerReport;
use crate::task::{Name, Timestamp};

/// One version of a handler in one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The handler.
    pub name: Name,
    /// `sha256:…` of the file.
    pub digest: String,
    /// Where tasks for it go unless the producer says otherwise; none for `default`, and for one that is replaced.
    pub queue: Option<Name>,
    /// Another version has taken its place, or the file is gone: it is there for the runs that began with it.
    pub replaced: bool,
    /// Since when it has been loaded and how many runs of it go on; none from a worker that doesn't tell.
    pub told: Option<Told>,
}

/// What a worker tells of a version beside what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When the worker loaded it, by the worker's clock.
    pub since: Timestamp,
    /// Runs of it that went on when the worker reported.
    pub running: usize,
}

const NOTE: &str = "versions";

/// As it is written: what stands in the report already isn't said again.
#[derive(Serialize, Deserialize)]
struct Line {
    name: Name,
    /// Of one that is replaced; others have theirs in the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
    #[serde(flatten)]
    told: Told,
}

/// The note's name and text.
pub fn note(versions: &[Version]) -> (String, String) {
    let lines = versions.iter().filter_map(|version| {
        let replaced = version.replaced.then(|| version.digest.clone());
        Some(Line { name: version.name.clone(), replaced, told: version.told? })
    });
    let text = serde_json::to_string(&lines.collect::<Vec<_>>()).expect("plain data serialises");
    (NOTE.to_owned(), text)
}

/// What a worker has loaded, by name, what it serves before what is replaced.
pub fn of(report: &WorkerReport) -> Vec<Version> {
    let lines = report.notes.get(NOTE).and_then(|note| serde_json::from_str::<Vec<Line>>(note).ok());
    let lines = lines.unwrap_or_default();
    let told = |name: &Name| lines.iter().find(|line| line.name == *name && line.replaced.is_none());
    let served = report.handlers.iter().map(|handler| Version {
        name: handler.name.clone(),
        digest: handler.digest.clone(),
        queue: handler.queue.clone(),
        replaced: false,
        told: told(&handler.name).map(|line| line.told),
    });
    let replaced = lines.iter().filter_map(|line| {
        let digest = line.replaced.clone()?;
        Some(Version { name: line.name.clone(), digest, queue: None, replaced: true, told: Some(line.told) })
    });
    let mut versions: Vec<Version> = served.chain(replaced).collect();
    versions.sort_by(|a, b| (&a.name, a.replaced).cmp(&(&b.name, b.replaced)));
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::HandlerReport;
    use crate::task::Headers;

    fn report(notes: Headers) -> WorkerReport {
        let handler = |name: &str| HandlerReport {
            name: name.parse().unwrap(),
            digest: "sha256:new".into(),
            queue: Some("q".parse().unwrap()),
            max_retries: None,
        };
        let handlers = ["add", "mail"].map(handler).to_vec();
        WorkerReport { id: "w".parse().unwrap(), queues: vec![], concurrency: 1, handlers, notes }
    }

    fn version(name: &str, digest: &str, running: Option<usize>) -> Version {
        Version {
            name: name.parse().unwrap(),
            digest: digest.into(),
            queue: (digest == "sha256:new").then(|| "q".parse().unwrap()),
            replaced: digest == "sha256:old",
            told: running.map(|running| Told { since: Timestamp(7), running }),
        }
    }

    #[test]
    fn what_a_worker_tells_reads_back_and_silence_is_no_zero() {
        let [add, old, mail] = [("add", "sha256:new", 2), ("add", "sha256:old", 1), ("mail", "sha256:new", 0)]
            .map(|(name, digest, running)| version(name, digest, Some(running)));
        let told = [add, old, mail];
        assert_eq!(of(&report([note(&told)].into())), told);
        let silent = [version("add", "sha256:new", None), version("mail", "sha256:new", None)];
        assert_eq!(of(&report(Headers::new())), silent);
        assert_eq!(of(&report([(NOTE.into(), "[{".into())].into())), silent, "of a version that says it otherwise");
    }
}
