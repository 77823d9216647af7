//! Every law on a real Redis Cluster of three nodes.

tasq_tests::every_law!(tasq_tests::fixture::redis::Redis::run_on_cluster);
