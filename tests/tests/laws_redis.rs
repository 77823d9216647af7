//! Every law on a real Redis server.

tasq_tests::every_law!(tasq_tests::fixture::redis::Redis::run);
