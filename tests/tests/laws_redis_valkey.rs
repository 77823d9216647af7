//! Every law on Valkey.

tasq_tests::every_law!(tasq_tests::fixture::redis::Redis::run_on_valkey);
