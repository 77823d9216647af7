//! Every law on a real SQLite file.

tasq_tests::every_law!(tasq_tests::fixture::Sqlite::run);
