//! What handlers enqueue: their follow-ups as messages, to be pushed with the end of the run.

use super::runner::Runner;
use crate::broker::{Due, Message, Unique};
use crate::codec;
use crate::results::remember;
use crate::task::{FollowUp, Name, Task};

/// A follow-up without a queue of its own goes where this worker's handler of that name says, else to `default`.
pub(super) fn message(follow_up: FollowUp, sandbox: &dyn Runner) -> Message {
    let FollowUp { id, handler, queue, priority, delay, payload, content_type, headers, options, .. } = follow_up;
    let unique = follow_up.unique_key.map(|key| Unique { key, hold: follow_up.unique_for });
    let own = || sandbox.handler(&handler).and_then(|handler| handler.manifest.queue.clone());
    let queue = queue.or_else(own).unwrap_or_else(Name::default_queue);
    let (due, remember) = (Due::After(delay), Some(remember(&options)));
    let (upstream, chain, group) = (Vec::new(), None, None);
    let task = Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain, group };
    Message { unique, ..codec::message(task, due, remember) }
}
