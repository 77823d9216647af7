//! What others see of a worker.

use tasq_host::broker::activity::Activity;
use tasq_host::task::{LogLevel, Logs};

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

#[test]
fn what_the_last_run_said_is_kept_with_its_task() {
    law(|place| async move {
        place.serve("m", "");
        place.serve_guest("command", "c", "");
        let silent = place.enqueue("m", json!({"do": "echo", "text": "x"}), fast(0)).await;
        // Longer than what every process on NATS has in memory.
        let behaviour = json!({"do": "log", "lines": 300, "bytes": 100, "level": "warn"});
        let chatty = place.enqueue("m", behaviour, fast(0)).await;
        let quiet = place.enqueue("m", json!({"do": "log", "level": "debug"}), fast(0)).await;
        let program = NewTask { options: fast(1), ..NewTask::new(name("c"), "exit 1\nfirst\n\x1b[2Jsecond") };
        let program = place.client.enqueue(program).await.expect("it is accepted").id;
        place.until_empty(options()).await;
        let said = async |id| {
            let logs = place.record(id).await.logs;
            logs.map(|logs| codec::decode_logs(&logs).expect("it reads back"))
        };
        assert_eq!(said(&silent).await, None);
        assert_eq!(said(&quiet).await, None, "nobody wants it");
        let Logs { lines, dropped } = said(&chatty).await.expect("it said much");
        assert_eq!((lines.len(), dropped, lines[299].level), (300, 0, LogLevel::Warn));
        assert!(lines[299].text.starts_with("line 300"), "{}", lines[299].text);
        let lines = said(&program).await.expect("it said why").lines;
        let lines: Vec<(LogLevel, &str)> = lines.iter().map(|line| (line.level, line.text.as_str())).collect();
        // Of the second run alone.
        assert_eq!(lines, [(LogLevel::Stderr, "first"), (LogLevel::Stderr, "\\u{1b}[2Jsecond")]);
    });
}
