//! Groups: tasks side by side, and what comes once all of them have succeeded. Members and callback are pushed together;
//! each member's end hands its result to the callback, which the broker holds until all are there. There is nothing else
//! to keep: a group without a callback is no more than the names of its members.

use bytes::Bytes;

use crate::broker::{Due, Effect, Message};
use crate::chain::{self, Place};
use crate::error::{Error, Result};
use crate::task::{Member, Name, Step, TaskId};

/// A group has at most so many members: they are pushed in one step.
pub const MEMBERS: usize = 1_000;

/// A member on its way in: due at a time of its own.
#[derive(Clone, Debug)]
pub enum Part {
    /// One task.
    Task(Due, Step),
    /// Tasks that follow one another; the last one's result is the member's.
    Chain(Due, Vec<Step>),
}

/// An error where a group has no member, or too many, or where its id is too long to derive the members' ids from it.
pub fn check(id: Option<&TaskId>, members: usize) -> Result<()> {
    if !(1..=MEMBERS).contains(&members) {
        return Err(Error::rejected(format!("a group of {members} members: expected 1 to {MEMBERS}")));
    }
    // The last one, if it is a chain, has the longest ids.
    let last = id.map(|id| member(id, members as u32, members as u32, None));
    last.map_or(Ok(()), |last| chain::check(Some(&task_id(&last)?), chain::STEPS))
}

/// Members and callback, to be pushed in one call: the callback comes first, and is due once every member has succeeded.
/// An error as [`check`] and [`chain::check`].
pub fn messages(id: &TaskId, parts: Vec<Part>, callback: Option<Step>) -> Result<Vec<Message>> {
    check(Some(id), parts.len())?;
    let of = parts.len() as u32;
    let queue = callback.as_ref().map(|step| step.queue.clone());
    let member = |index: u32| member(id, index, of, queue.clone());
    let mut messages = Vec::with_capacity(parts.len() + 1);
    if let Some(step) = callback {
        messages.push(one(member(0), Due::Arrivals(of), step)?);
    }
    for (member, part) in (1..).map(member).zip(parts) {
        messages.push(match part {
            Part::Task(due, step) => one(member, due, step)?,
            Part::Chain(due, steps) => chain::first(task_id(&member)?, due, steps, Some(member))?,
        });
    }
    Ok(messages)
}

/// What the end of a member that succeeded tells the callback, if there is one.
pub fn arrival(member: &Member, result: &Bytes) -> Option<Effect> {
    let queue = member.callback.clone()?;
    let index = member.index.checked_sub(1)?;
    // Looked at when the group was enqueued.
    let task = Member { index: 0, ..member.clone() }.id().ok()?;
    Some(Effect::Arrive { task, queue, index, result: result.clone() })
}

fn one(member: Member, due: Due, step: Step) -> Result<Message> {
    let id = task_id(&member)?;
    Ok(Place { id, due, upstream: Vec::new(), chain: None, group: Some(member) }.message(step))
}

fn member(group: &TaskId, index: u32, of: u32, callback: Option<Name>) -> Member {
    Member { group: group.clone(), index, of, callback }
}

fn task_id(member: &Member) -> Result<TaskId> {
    member.id().map_err(|bad| Error::rejected(bad.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::task::{Headers, Priority, Task, TaskOptions};
    use std::time::Duration;

    fn step(queue: &str) -> Step {
        Step {
            handler: "h".parse().unwrap(),
            queue: queue.parse().unwrap(),
            priority: Priority::Normal,
            delay: Duration::ZERO,
            payload: None,
            content_type: String::new(),
            headers: Headers::new(),
            options: TaskOptions::default(),
        }
    }

    fn task(message: &Message) -> Task {
        codec::decode(&message.envelope).unwrap()
    }

    #[test]
    fn members_hand_their_results_to_the_callback() {
        let parts = vec![Part::Task(Due::Now, step("q")), Part::Chain(Due::Now, vec![step("q"), step("r")])];
        let messages = messages(&"g".parse().unwrap(), parts, Some(step("after"))).unwrap();
        let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["g/cb", "g/m1", "g/m2/s1"]);
        assert_eq!((messages[0].due, messages[1].due), (Due::Arrivals(2), Due::Now));
        let arrives = |task: &Task| arrival(task.group.as_ref().unwrap(), &"9".into());
        let (callback, last) = (task(&messages[0]), task(&messages[2]));
        let expected =
            Effect::Arrive { task: callback.id.clone(), queue: "after".parse().unwrap(), index: 1, result: "9".into() };
        assert_eq!(arrives(&last), Some(expected));
        assert_eq!(arrives(&callback), None);
        let second = chain::next(last.chain.unwrap(), last.group.clone(), "9".into()).unwrap();
        assert_eq!((second.id.as_str(), task(&second).group), ("g/m2/s2", last.group));
    }

    #[test]
    fn groups_have_bounds() {
        let refused = |id: &str, count| {
            let parts = vec![Part::Task(Due::Now, step("q")); count];
            messages(&id.parse().unwrap(), parts, None).unwrap_err().message
        };
        assert_eq!(refused("g", 0), "a group of 0 members: expected 1 to 1000");
        assert!(refused("g", 1_001).contains("1001 members"));
        assert!(refused(&"g".repeat(125), 1).contains("expected [A-Za-z0-9]"));
    }
}
