//! The laws that every backend keeps. A law is an async function over a [`Fixture`](crate::fixture::Fixture), with a
//! sentence for a name; it doesn't know which backend it runs on. [`every_law!`](crate::every_law) makes each of them a
//! test of its own.

/// Names the laws by theme: declares the themes' modules, the macro that makes tests of them, and the list of all.
macro_rules! suite {
    ($dollar:tt $($theme:ident { $($law:ident,)+ })+) => {
        $(pub mod $theme;)+

        /// `every_law!(path::to::run)`: a `#[test]` for each law, run by that function.
        #[macro_export]
        macro_rules! every_law {
            ($dollar run:path) => {
                $(mod $theme {
                    $(#[test]
                    fn $law() {
                        $dollar run($crate::laws::$theme::$law);
                    })+
                })+
            };
        }

        /// The laws of each theme, with the source in which they stand.
        #[cfg(test)]
        const SUITE: &[(&str, &[&str])] = &[
            $((include_str!(concat!("laws/", stringify!($theme), ".rs")), &[$(stringify!($law)),+])),+
        ];
    };
}

suite! { $
    pushing {
        a_task_is_delivered_as_it_was_pushed,
        four_mebibytes_pass,
        answers_stand_in_the_order_of_the_messages,
        an_unfinished_id_is_not_pushed_again,
        an_id_twice_in_one_push_is_one_task,
        an_ended_id_stays_taken_while_it_is_remembered,
        an_id_that_is_not_to_be_remembered_is_not,
        a_dead_letters_id_stays_taken,
        every_handle_sees_the_same_tasks,
        a_dropped_push_is_all_or_nothing,
        the_end_of_time_is_a_due_time_like_any_other,
    }
    order {
        oldest_first_within_a_queue,
        a_batch_of_one_priority_is_in_order,
        priorities_share_six_to_three_to_one,
        nobody_starves_where_one_is_taken_at_a_time,
        what_a_priority_does_not_use_goes_to_the_others,
        queues_share_by_weight,
        nobody_starves_where_a_handler_has_one_place,
        an_empty_queue_gives_its_share_away,
        other_queues_are_left_alone,
        strict_takes_in_the_order_named,
        a_look_gives_at_most_what_was_asked,
    }
    time {
        a_delayed_task_is_not_early,
        a_task_comes_at_its_time,
        thousands_due_at_once_all_come,
        delayed_tasks_do_not_block_a_fresh_one,
        a_reserve_waits_as_long_as_asked,
        a_push_wakes_a_waiting_reserve,
        a_push_elsewhere_wakes_a_waiting_reserve,
        a_due_time_wakes_a_waiting_reserve,
        a_nearer_due_time_wakes_a_waiting_reserve,
        a_retry_wakes_a_waiting_reserve,
        a_release_wakes_a_waiting_reserve,
        a_follow_up_wakes_a_waiting_reserve,
        a_task_moved_aside_wakes_a_waiting_reserve,
        a_parked_task_wakes_a_waiting_reserve,
        a_lost_lease_wakes_a_waiting_reserve,
        a_dropped_reserve_loses_nothing,
        a_recalled_reserve_answers_at_once,
    }
    leases {
        reserve_hides_a_task_from_others,
        a_lease_that_runs_out_brings_the_task_back,
        losses_are_counted_and_delay_more_and_more,
        the_neighbours_of_a_lost_task_lose_nothing,
        an_extended_lease_is_kept,
        a_long_task_is_not_run_twice,
        extend_tells_whose_lease_is_gone,
        a_lost_lease_cannot_be_extended,
        thousands_of_lost_leases_all_come_back,
        ten_thousand_in_flight_all_end,
        what_a_withdrawn_worker_held_comes_back_soon,
    }
    ends {
        a_stale_end_changes_nothing,
        the_same_end_twice_counts_once,
        a_run_that_nobody_holds_cannot_be_ended,
        what_is_done_or_cancelled_leaves,
        a_retry_counts_and_comes_again,
        the_history_keeps_the_latest_failures,
        a_snooze_a_release_and_a_park_count_as_nothing,
        a_released_task_is_there_at_once,
        a_dead_task_is_kept_as_a_dead_letter,
        dead_letters_stay_bounded,
        ends_are_answered_in_order,
        a_record_is_written_with_the_end,
        a_follow_up_is_pushed_with_the_end,
        a_follow_up_is_pushed_once,
        a_dropped_settle_is_written_whole_or_not_at_all,
    }
    aside {
        an_unknown_handler_is_parked_until_one_appears,
        a_newer_envelope_waits_for_a_newer_worker,
        a_handler_at_its_limit_blocks_nobody,
        a_look_keeps_to_the_room_of_each_handler,
        what_waited_aside_comes_first,
        a_crowd_aside_hides_nobody,
        unlike_workers_do_not_play_ping_pong,
        parked_tasks_keep_their_ids_and_ends,
        aside_belongs_to_its_queue,
    }
    results {
        a_record_reads_back,
        a_record_is_forgotten_in_the_end,
        keeping_for_no_time_keeps_nothing,
        the_record_of_the_highest_run_stands,
        what_is_deleted_is_gone,
        results_are_listed_newest_first_and_filtered,
        pages_of_results_miss_nothing,
        records_of_done_tasks_stay_bounded,
        records_of_dead_tasks_stay_bounded,
    }
    views {
        a_task_tells_where_it_stands,
        unfinished_tasks_are_listed_newest_first_and_filtered,
        ended_tasks_are_not_listed_as_unfinished,
        pages_of_tasks_miss_nothing,
        depths_count_what_is_there,
        workers_are_seen_until_they_leave,
        a_silent_worker_is_forgotten,
        a_checkup_tells_what_may_be_lost_and_what_mends_it,
        listeners_hear_of_ends,
        listeners_elsewhere_hear_that_something_changed,
        foreign_records_wait_in_the_outbox,
        follow_ups_of_the_same_place_do_not_wait_in_the_outbox,
    }
    unique {
        a_key_is_held_until_its_task_is_done,
        dead_and_cancelled_tasks_release_their_key,
        a_task_that_comes_again_keeps_its_key,
        a_key_held_for_a_time_is_held_for_that_time,
        an_id_is_looked_at_before_the_key,
        a_key_twice_in_one_push_is_one_task,
        a_follow_up_with_a_held_key_is_not_pushed,
        a_key_wanted_by_many_is_given_to_one,
    }
    cancel {
        a_waiting_task_leaves_at_once,
        a_running_task_is_told,
        listeners_hear_of_a_wish_to_cancel,
        a_run_that_is_done_first_is_done,
        a_cancelled_task_that_comes_back_is_marked,
        a_cancelled_task_that_is_lost_is_marked,
        a_wish_names_the_run_that_was_seen,
    }
    groups {
        a_task_starts_once_all_have_arrived,
        the_first_of_each_index_counts,
        a_stale_end_brings_nothing,
        what_has_arrived_stays_until_the_task_leaves,
        what_arrives_for_nobody_is_dropped,
        results_that_are_too_large_together_are_not_kept,
        an_arrival_wakes_a_waiting_reserve,
        a_callback_starts_once_when_all_end_together,
    }
    letters {
        a_revived_task_has_all_its_retries_again,
        only_dead_letters_are_revived,
        a_faded_letter_is_not_revived,
        a_revived_task_needs_its_key,
        a_revived_task_wakes_a_waiting_reserve,
        a_removed_letter_is_gone,
        a_revived_task_is_not_cancelled,
    }
    settings {
        a_paused_queue_gives_nothing,
        a_pause_leaves_runs_alone,
        a_resumed_queue_wakes_a_waiting_reserve,
        a_limit_holds_over_all_handles,
        an_end_wakes_who_waits_for_a_limit,
        a_rate_is_kept,
        a_new_rate_begins_anew,
        a_rate_wakes_a_waiting_reserve,
        settings_are_seen,
    }
    schedules {
        a_schedule_counts_from_when_it_was_put,
        schedules_are_listed_until_they_are_removed,
        a_tick_gives_its_task_once,
        a_tick_tried_by_many_gives_one_task,
        a_tick_whose_task_is_there_is_done,
        a_tick_is_skipped_while_the_last_task_is_unfinished,
        a_tick_of_another_schedule_is_none,
        a_tick_wakes_a_waiting_reserve,
    }
    store {
        a_value_is_kept_for_its_owner,
        a_value_expires,
        a_value_is_replaced_where_it_is_as_expected,
        a_number_is_counted,
        a_number_counted_by_many_is_right,
        keys_are_bounded,
        bytes_are_bounded,
    }
    inbox {
        what_others_leave_is_read_in_order,
        a_read_gives_at_most_what_was_asked,
        what_is_not_taken_is_handed_out_again_under_its_id,
        what_is_taken_is_gone,
        what_comes_ends_the_wait,
        many_parcels_of_any_size_all_come,
        a_task_that_could_never_run_becomes_a_dead_letter,
        a_record_that_is_told_leaves_by_the_outbox_and_stays,
    }
    crowds {
        no_run_is_given_to_two,
        an_id_pushed_by_many_is_created_by_one,
        a_run_ended_by_two_at_once_ends_once,
        one_task_wakes_one_of_many,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_law_that_is_written_is_a_test() {
        for (source, named) in super::SUITE {
            let written = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
            let written: Vec<&str> = written.filter_map(|line| line.split('(').next()).collect();
            assert_eq!(written, *named);
        }
    }
}
