//! Every law on real NATS servers, the oldest and the newest, by a clock that laws turn; and by the server's own time,
//! which has to be waited for, those in which the most depends on it.

mod oldest {
    tasq_tests::every_law!(tasq_tests::fixture::nats::Nats::oldest);
}

mod newest {
    tasq_tests::every_law!(tasq_tests::fixture::nats::Nats::newest);
}

mod by_the_servers_time {
    macro_rules! laws {
        ($($theme:ident::$law:ident)+) => {
            $(#[test]
            fn $law() {
                tasq_tests::fixture::nats::Nats::by_the_servers_time(tasq_tests::laws::$theme::$law);
            })+
        };
    }

    laws! {
        pushing::a_task_is_delivered_as_it_was_pushed
        pushing::an_ended_id_stays_taken_while_it_is_remembered
        order::oldest_first_within_a_queue
        time::a_delayed_task_is_not_early
        time::a_task_comes_at_its_time
        time::thousands_due_at_once_all_come
        time::a_reserve_waits_as_long_as_asked
        time::a_push_elsewhere_wakes_a_waiting_reserve
        time::a_due_time_wakes_a_waiting_reserve
        time::a_nearer_due_time_wakes_a_waiting_reserve
        time::a_retry_wakes_a_waiting_reserve
        time::a_lost_lease_wakes_a_waiting_reserve
        time::a_dropped_reserve_loses_nothing
        leases::a_lease_that_runs_out_brings_the_task_back
        leases::an_extended_lease_is_kept
        leases::thousands_of_lost_leases_all_come_back
        ends::a_retry_counts_and_comes_again
        ends::a_dead_task_is_kept_as_a_dead_letter
        results::a_record_is_forgotten_in_the_end
        views::a_silent_worker_is_forgotten
        crowds::no_run_is_given_to_two
    }
}
