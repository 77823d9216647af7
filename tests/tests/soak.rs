//! The short form of `make soak`.

use tasq_tests::soak;

/// One after the other: files and memory are counted by process.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_leaks_on_memory_and_on_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite:{}", folder.path().join("tasq.db").display());
    for (url, tasks) in [("memory:", 4_000), (file.as_str(), 2_000)] {
        let tally = soak::run(url, tasks).await;
        assert!(tally.is_sound(), "{url}\n{tally}");
    }
}
