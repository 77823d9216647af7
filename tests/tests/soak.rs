//! The short form of `make soak`.

use tasq_tests::soak;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_leaks_on_memory() {
    let tally = soak::run("memory:", 4_000).await;
    assert!(tally.is_sound(), "{tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_leaks_on_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let tally = soak::run(&format!("sqlite:{}", folder.path().join("tasq.db").display()), 2_000).await;
    assert!(tally.is_sound(), "{tally}");
}
