//! The short form of `make soak`.

use tasq_tests::{heap, soak};

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

/// One after the other: memory and files are counted by process.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_leaks_on_memory_and_on_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite:{}", folder.path().join("tasq.db").display());
    for (url, tasks) in [("memory:", 4_000), (file.as_str(), 2_000)] {
        let tally = soak::run(url, tasks).await;
        println!("{url}\n{tally}");
        assert!(tally.is_sound(), "{url}\n{tally}");
    }
}
