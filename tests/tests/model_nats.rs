//! The NATS backend does what the model does, through two handles of one log in turn.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tasq_host::backend::nats;
use tasq_tests::fixture::nats::{Version, shared};
use tasq_tests::model::ops::story;
use tasq_tests::model::play::{Play, Stepped};

fn play(version: Version, story: Vec<tasq_tests::model::ops::Op>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (clock, options) = (Arc::new(Stepped::default()), shared(version).options());
        let mut handles = Vec::new();
        for _ in 0..2 {
            let tuning =
                nats::Tuning { clock: Some(clock.clone()), log: 4 << 10, inline: 2, ..nats::Tuning::default() };
            handles.push(nats::open(&options, tuning, false).await.expect("open the server"));
        }
        Play::new(clock, handles).play(story).await;
    });
}

proptest! {
    // What failed once is kept in a file, and tried first from then on. Few cases: each is some hundred round trips.
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("regressions/model_nats.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_oldest_server_does_what_the_model_does(story in story(50)) {
        play(Version::Oldest, story);
    }

    #[test]
    fn the_newest_server_does_what_the_model_does(story in story(50)) {
        play(Version::Newest, story);
    }
}
