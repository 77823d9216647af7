//! Every law on real NATS servers: the oldest and the newest by a clock that laws turn, and by the server's own time.

mod oldest {
    tasq_tests::every_law!(tasq_tests::fixture::nats::Nats::oldest);
}

mod newest {
    tasq_tests::every_law!(tasq_tests::fixture::nats::Nats::newest);
}

mod by_the_servers_time {
    tasq_tests::every_law!(tasq_tests::fixture::nats::Nats::by_the_servers_time);
}
