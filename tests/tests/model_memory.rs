//! The memory backend does what the model does, whatever happens to it.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tasq_host::backend::memory;
use tasq_tests::model::ops::story;
use tasq_tests::model::play::{Play, Stepped};

proptest! {
    // What failed once is kept in a file, and tried first from then on.
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("regressions/model_memory.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn memory_does_what_the_model_does(story in story(80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let clock = Arc::new(Stepped::default());
            Play::new(clock.clone(), vec![memory::open(clock, false)]).play(story).await;
        });
    }
}
