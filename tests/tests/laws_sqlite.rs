//! Every law on a real SQLite file: on the machine's clock, and on a simulated one.

mod real {
    tasq_tests::every_law!(tasq_tests::fixture::Sqlite::run);
}

mod simulated {
    tasq_tests::every_law!(tasq_tests::fixture::SqliteSimulated::run);
}
