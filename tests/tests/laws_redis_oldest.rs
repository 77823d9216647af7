//! Every law on Redis 6.2, the oldest that is served.

tasq_tests::every_law!(tasq_tests::fixture::redis::Redis::run_on_oldest);
