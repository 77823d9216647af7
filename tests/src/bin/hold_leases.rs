//! A worker for tests to kill: takes what there is in a file's queue, says how many tasks that were and, from
//! then on, which of them it hears are to be cancelled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tasq_host::backend;
use tasq_host::broker::{Order, Reserve, Signal};
use tasq_host::task::WorkerId;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, queue, handler] = &arguments[..] else { panic!("usage: hold_leases URL QUEUE HANDLER") };
    let backend = backend::open(&url.parse().expect("a URL"), None).await.expect("the file opens");
    let mut signals = backend.signals.listen();
    let request = Reserve {
        worker: WorkerId::generate(),
        queues: vec![(queue.parse().expect("a name"), 1)],
        order: Order::Weighted,
        max: 1_000,
        room: Arc::new(HashMap::from([(handler.parse().expect("a name"), 1_000)])),
        format: 1,
        lease: Duration::from_secs(3600),
        wait: Duration::from_secs(10),
        recall: Arc::default(),
    };
    let taken = backend.broker.reserve(&request).await.expect("the file can be read");
    println!("{}", taken.len());
    loop {
        if let Signal::Cancel(id) = signals.recv().await.expect("a test gives few signals") {
            println!("{id}");
        }
    }
}
