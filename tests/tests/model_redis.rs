//! The Redis backend does what the model does, through two handles of one place in turn: on a server and on a cluster.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tasq_host::backend::redis::{self, Time};
use tasq_host::backend::url::RedisOptions;
use tasq_tests::fixture::redis::{cluster, place};
use tasq_tests::model::ops::Op;
use tasq_tests::model::ops::story;
use tasq_tests::model::play::{Play, Stepped};

proptest! {
    // What failed once is kept in a file, and tried first from then on.
    #![proptest_config(ProptestConfig {
        cases: 200,
        max_shrink_iters: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("regressions/model_redis.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn redis_does_what_the_model_does(story in story(50)) {
        play(&place(), story);
    }

    #[test]
    fn a_cluster_does_what_the_model_does(story in story(50)) {
        play(&cluster::place(), story);
    }
}

fn play(options: &RedisOptions, story: Vec<Op>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let clock = Arc::new(Stepped::default());
        let mut handles = Vec::new();
        for _ in 0..2 {
            let time = Time::Given(clock.clone());
            handles.push(redis::open(options, time, false).await.expect("it can be reached"));
        }
        Play::new(clock, handles).play(story).await;
    });
}
