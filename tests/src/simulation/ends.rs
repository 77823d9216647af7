//! The count at the end of a story: every task has the one end that the ledger knows, and nothing else is left.

use std::time::Duration;

use tasq_host::task::{State, TaskId};

use super::World;
use super::ledger::{Known, Stand};
use super::script::follow_up;

pub(super) async fn check(world: &World) {
    let World { ledger, backend, .. } = world;
    let (mut ids, mut records, mut dead, mut ended) = (Vec::new(), Vec::new(), 0, Vec::new());
    ledger.each(|id, known| {
        let Stand::Ended(state) = known.stand else { return };
        ids.push(id.clone());
        records.push(known.record.clone());
        dead += u64::from(state == State::Dead);
        ended.push((state, follows(id, known)));
    });
    let found = backend.results.get(&ids).await.expect("it answers");
    for ((id, expected), found) in ids.iter().zip(&records).zip(&found) {
        ledger.law(found == expected, || format!("{id}: its record is {found:?}, not {expected:?}"));
    }
    for (state, wanted) in ended {
        for id in wanted {
            let is_there = ids.contains(&id);
            ledger.law(is_there == (state == State::Done), || format!("{id} is there: {is_there}; before it: {state}"));
        }
    }
    let depths = backend.operations.depths(Duration::ZERO).await.expect("it answers");
    let open: u64 = depths.iter().map(|depth| depth.scheduled + depth.pending + depth.running + depth.parked).sum();
    let letters: u64 = depths.iter().map(|depth| depth.dead).sum();
    ledger.law((open, letters) == (0, dead), || format!("the broker holds {open} tasks and {letters} of {dead} dead"));
    let outbox = backend.broker.outbox(usize::MAX).await.expect("it answers");
    ledger.law(outbox.is_empty(), || format!("{} letters are not delivered", outbox.len()));
    let workers = backend.operations.workers().await.expect("it answers");
    ledger.law(workers.is_empty(), || format!("workers are said to live: {workers:?}"));
}

/// What is there exactly where this task is done.
fn follows(id: &TaskId, known: &Known) -> Vec<TaskId> {
    let next = known.task.chain.as_ref().filter(|chain| !chain.rest.is_empty());
    let next = next.map(|chain| crate::nouns::id(&format!("{}/s{}", chain.link.id, chain.link.step + 1)));
    next.into_iter().chain((1..=known.script().follow_ups).map(|number| follow_up(id, number))).collect()
}
