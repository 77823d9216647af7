//! The SQLite backend does what the model does, through two handles of one file in turn.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tasq_host::backend::sqlite;
use tasq_host::backend::url::{SqliteOptions, Sync};
use tasq_tests::model::ops::story;
use tasq_tests::model::play::{Play, Stepped};

proptest! {
    // What failed once is kept in a file, and tried first from then on. Few cases: each writes to a disk.
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("regressions/model_sqlite.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn sqlite_does_what_the_model_does(story in story(50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let options = SqliteOptions { path: folder.path().join("tasq.db"), sync: Sync::Normal };
            let clock = Arc::new(Stepped::default());
            let mut handles = Vec::new();
            for _ in 0..2 {
                handles.push(sqlite::open(&options, clock.clone(), false).await.expect("open the file"));
            }
            Play::new(clock, handles).play(story).await;
        });
    }
}
