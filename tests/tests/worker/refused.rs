//! An end that the broker refuses for good.

use super::*;
use async_trait::async_trait;
use tasq_host::broker::{Broker, Delivery, Held, Letter, Pushed};
use tasq_host::error::{Error, Result};
use tasq_host::task::Run;

/// Refuses whatever would end the task `bad`, unless it is only buried.
struct Refusing(Arc<dyn Broker>);

#[async_trait]
impl Broker for Refusing {
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        self.0.push(messages).await
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        self.0.reserve(request).await
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        self.0.extend(runs, lease).await
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        if ends.iter().any(|end| end.run.id.as_str() == "bad" && !end.effects.is_empty()) {
            return Err(Error::rejected("too large for this server"));
        }
        self.0.settle(ends).await
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        self.0.outbox(max).await
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        self.0.delivered(letters).await
    }
}

#[test]
fn a_refused_end_buries_its_task_and_hinders_no_other() {
    law(async |mut place| {
        place.serve_guest("echo", "echo", "");
        place.backend.broker = Arc::new(Refusing(place.backend.broker.clone()));
        for id in ["a", "bad", "b", "c"] {
            let task = NewTask { id: Some(id.parse().expect("an id")), ..NewTask::new(name("echo"), id) };
            place.client.enqueue(task).await.expect("it is accepted");
        }
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.done, summary.dead), (3, 1));
        assert_eq!(place.state(&"bad".parse().expect("an id")).await, State::Dead);
        assert_eq!(place.record(&"c".parse().expect("an id")).await.result.as_deref(), Some(&b"c"[..]));
    });
}
