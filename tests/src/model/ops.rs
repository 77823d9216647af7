//! What can happen, at random: few ids, queues and handlers, so that things meet.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tasq_host::broker::{Due, Message, Order, Reserve};
use tasq_host::task::Priority;

use crate::nouns::{name, task, worker};

/// One step.
#[derive(Clone, Debug)]
pub enum Op {
    /// Somebody pushes.
    Push(Vec<Message>),
    /// Somebody looks for work. Time passes only before a look, since it is a look that takes back leases.
    Reserve {
        /// How much time passes before.
        pass: Duration,
        /// A worker that leaves before.
        withdraw: Option<u8>,
        /// What is asked.
        request: Box<Reserve>,
    },
    /// Somebody ends runs: of all that were ever given, these (modulo their number). Many are stale.
    Settle(Vec<(usize, Finish)>),
    /// Somebody extends runs, likewise.
    Extend(Vec<usize>, Duration),
}

/// How a run is to end.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Which ending, of the seven.
    pub ending: usize,
    /// Its delay or keeping time.
    pub span: Duration,
    /// Whether a record is written with it.
    pub record: bool,
    /// What follows from it.
    pub follow_up: Option<Message>,
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), Just(1), 2..300u64, 1_000..5_000u64, 5_000..40_000u64].prop_map(Duration::from_millis)
}

fn message() -> impl Strategy<Value = Message> {
    let due = prop_oneof![3 => Just(Due::Now), 1 => span().prop_map(Due::After)];
    let priority = prop::sample::select(Priority::ALL.to_vec());
    (0..12u8, 0..2u8, 0..3u8, priority, due, option::weighted(0.8, span())).prop_map(
        |(id, queue, handler, priority, due, remember)| Message {
            queue: name(&format!("q{queue}")),
            handler: name(&format!("h{handler}")),
            priority,
            due,
            remember,
            ..task(&format!("t{id}"))
        },
    )
}

fn request() -> impl Strategy<Value = Reserve> {
    let order = prop_oneof![Just(Order::Weighted), Just(Order::Strict)];
    let room = vec(option::weighted(0.7, 0..4usize), 3);
    let queues = Just(vec![(name("q0"), 1), (name("q1"), 3)]).prop_shuffle();
    (0..2u8, order, room, queues, 0..7usize, 1..20_000u64).prop_map(|(number, order, room, queues, max, lease)| {
        let room = room.into_iter().enumerate().filter_map(|(number, room)| Some((format!("h{number}"), room?)));
        Reserve {
            worker: worker(&format!("w{number}")),
            queues,
            order,
            max,
            room: std::sync::Arc::new(room.map(|(handler, room)| (name(&handler), room)).collect()),
            format: 1,
            lease: Duration::from_millis(lease),
            wait: Duration::ZERO,
            recall: std::sync::Arc::default(),
        }
    })
}

fn look() -> impl Strategy<Value = Op> {
    (span(), option::weighted(0.1, 0..2u8), request(), any::<bool>()).prop_map(|(pass, withdraw, request, one)| {
        let mut request = Box::new(request);
        // Leases are taken back by a look that may take something, in the queues that it asks: only where nothing can
        // have run out may it ask for nothing, or in one queue alone.
        if !pass.is_zero() || withdraw.is_some() {
            request.max = request.max.max(1);
        } else if one {
            request.queues.truncate(1);
        }
        Op::Reserve { pass, withdraw, request }
    })
}

fn finish() -> impl Strategy<Value = Finish> {
    (0..7usize, span(), any::<bool>(), option::weighted(0.3, message())).prop_map(
        |(ending, span, record, follow_up)| {
            // A follow-up's id is derived, and so remembered.
            let follow_up = follow_up.map(|message| Message { remember: Some(Duration::from_secs(9)), ..message });
            Finish { ending, span, record, follow_up }
        },
    )
}

/// A story of up to `most` steps.
pub fn story(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => vec(message(), 1..5).prop_map(Op::Push),
        4 => look(),
        3 => vec((any::<usize>(), finish()), 1..4).prop_map(Op::Settle),
        1 => (vec(any::<usize>(), 1..4), span()).prop_map(|(runs, lease)| {
            Op::Extend(runs, lease.max(Duration::from_millis(1)))
        }),
    ];
    vec(op, 1..most)
}
