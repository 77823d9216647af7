//! Every law on the memory backend: on a simulated clock, and on threads that really meet.

mod simulated {
    tasq_tests::every_law!(tasq_tests::fixture::MemorySimulated::run);
}

mod threaded {
    tasq_tests::every_law!(tasq_tests::fixture::MemoryThreaded::run);
}
