//! Chains: tasks that follow one another. Each step carries what comes after it, and the end of a step that succeeded
//! pushes the next one, in the same transaction: there is nothing else to keep, and nothing that could be lost.

use bytes::Bytes;

use crate::broker::{Due, Message};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::remember;
use crate::task::{Chain, Link, Member, Step, Task, TaskId};

/// A chain has at most so many steps: each carries all that come after it.
pub const STEPS: usize = 100;

/// The ids that the steps of a chain have, however many of them there are.
pub fn step_ids(id: &TaskId) -> Vec<TaskId> {
    let link = |step| Link { id: id.clone(), step, of: STEPS as u32 };
    (1..=STEPS as u32).filter_map(|step| link(step).task().ok()).collect()
}

/// An error where a chain has no step, or too many, or where its id is too long to derive the steps' ids from it.
pub fn check(id: Option<&TaskId>, steps: usize) -> Result<()> {
    if !(1..=STEPS).contains(&steps) {
        return Err(Error::rejected(format!("a chain of {steps} steps: expected 1 to {STEPS}")));
    }
    // The last one has the longest id.
    let last = id.map(|id| Link { id: id.clone(), step: steps as u32, of: steps as u32 });
    last.map_or(Ok(()), |last| last.task().map(drop).map_err(|bad| Error::rejected(bad.to_string())))
}

/// The first step of the chain `id`, due when `due` says; an error as [`check`]. `group`: what the whole chain is a
/// member of.
pub fn first(id: TaskId, due: Due, mut steps: Vec<Step>, group: Option<Member>) -> Result<Message> {
    check(Some(&id), steps.len())?;
    let link = Link { id, step: 1, of: steps.len() as u32 };
    let id = link.task().map_err(|bad| Error::rejected(bad.to_string()))?;
    let step = steps.remove(0);
    Ok(Place { id, due, upstream: Vec::new(), chain: Some(Chain { link, rest: steps }), group }.message(step))
}

/// What follows a step that succeeded with `result`; none after the last.
pub fn next(chain: Chain, group: Option<Member>, result: Bytes) -> Option<Message> {
    let Chain { link, mut rest } = chain;
    if rest.is_empty() {
        return None;
    }
    let step = rest.remove(0);
    let link = Link { step: link.step + 1, ..link };
    // Looked at when the chain began.
    let id = link.task().ok()?;
    let due = Due::After(step.delay);
    Some(Place { id, due, upstream: vec![result], chain: Some(Chain { link, rest }), group }.message(step))
}

/// Where a step stands when it becomes a task.
pub(crate) struct Place {
    pub(crate) id: TaskId,
    pub(crate) due: Due,
    pub(crate) upstream: Vec<Bytes>,
    pub(crate) chain: Option<Chain>,
    pub(crate) group: Option<Member>,
}

impl Place {
    /// The step as a task on its way in. Its id is derived, so it is remembered.
    pub(crate) fn message(self, step: Step) -> Message {
        let Place { id, due, upstream, chain, group } = self;
        let Step { handler, queue, priority, payload, content_type, headers, options, .. } = step;
        let payload = payload.or_else(|| upstream.first().cloned()).unwrap_or_default();
        let remember = Some(remember(&options));
        let task =
            Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain, group };
        codec::message(task, due, remember)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::REMEMBER;
    use crate::task::{Headers, Priority, TaskOptions};
    use std::time::Duration;

    fn step(handler: &str, payload: Option<&'static str>) -> Step {
        Step {
            handler: handler.parse().unwrap(),
            queue: "q".parse().unwrap(),
            priority: Priority::Normal,
            delay: Duration::from_secs(3),
            payload: payload.map(Bytes::from),
            content_type: String::new(),
            headers: Headers::new(),
            options: TaskOptions::default(),
        }
    }

    fn task(message: &Message) -> Task {
        codec::decode(&message.envelope).unwrap()
    }

    #[test]
    fn each_step_carries_the_rest_and_gets_the_result_before_it() {
        let steps = vec![step("a", Some("in")), step("b", None), step("c", Some("own"))];
        let one = first("c".parse().unwrap(), Due::Now, steps, None).unwrap();
        assert_eq!((one.id.as_str(), one.due, one.remember), ("c/s1", Due::Now, Some(REMEMBER)));
        assert_eq!((task(&one).payload, task(&one).upstream.len()), ("in".into(), 0));
        let two = next(task(&one).chain.unwrap(), None, Bytes::new()).unwrap();
        assert_eq!((two.id.as_str(), two.due), ("c/s2", Due::After(Duration::from_secs(3))));
        assert_eq!((task(&two).payload, task(&two).upstream), ("".into(), vec![Bytes::new()]));
        let three = next(task(&two).chain.unwrap(), None, "9".into()).unwrap();
        assert_eq!((task(&three).payload, task(&three).upstream), ("own".into(), vec!["9".into()]));
        assert_eq!(next(task(&three).chain.unwrap(), None, "x".into()), None);
    }

    #[test]
    fn chains_have_bounds() {
        let refused = |id: &str, steps| first(id.parse().unwrap(), Due::Now, steps, None).unwrap_err().message;
        assert_eq!(refused("c", vec![]), "a chain of 0 steps: expected 1 to 100");
        assert!(refused("c", vec![step("a", None); 101]).contains("101 steps"));
        assert!(refused(&"c".repeat(126), vec![step("a", None)]).contains("expected [A-Za-z0-9]"));
    }
}
