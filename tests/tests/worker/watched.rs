//! What others see of a worker.

use tasq_host::broker::activity::Activity;

use super::*;

#[test]
fn a_worker_tells_what_it_has_done() {
    law(|place| async move {
        place.serve("m", "");
        for _ in 0..3 {
            place.enqueue("m", json!({"do": "echo", "text": "x"}), fast(0)).await;
        }
        place.enqueue("m", json!({"do": "fail", "kind": "discard"}), fast(0)).await;
        place.enqueue("m", json!({"do": "fail", "kind": "snooze", "after_ms": 60_000}), fast(0)).await;
        let working = place.work(Options { lease: Duration::from_secs(1), ..options() });
        let told = async {
            loop {
                let workers = place.backend.operations.workers().await.expect("it answers");
                let activity = workers.first().map(|report| Activity::of(report).expect("it tells"));
                // A snooze is no failure.
                match activity {
                    Some(Activity { done: 3, failed: 1, running: 0, up, .. }) => break up,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let up = tokio::time::timeout(PATIENCE, told).await.expect("it tells within a third of its lease");
        assert!(up < PATIENCE);
        working.stop().await;
    });
}
