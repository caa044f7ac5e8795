// SPDX-License-Identifier: BSD-2-Clause
// Cases that a probe runs, in an IC.
cases! {
    arguments_and_environment_arrive_as_they_were_given,
    a_thread_returns_its_value,
    a_thread_that_crashes_takes_nothing_else_down,
    threads_exclude_each_other_by_a_mutex,
    each_thread_has_its_own_values,
    a_thread_is_suspended_and_goes_on,
    a_thread_that_is_killed_is_joined_as_killed,
    a_thousand_threads_leave_the_budget_exactly_as_it_was,
    a_sleep_is_never_short,
    a_region_is_shared_with_a_child_and_taken_back,
    a_region_larger_than_the_budget_is_refused,
    ics_beyond_the_budget_are_refused_and_the_rest_lives,
    a_service_is_registered_once_and_found_by_name,
    a_connection_carries_the_badge_that_the_manager_gave_it,
    a_server_that_dies_leaves_no_caller_waiting,
    what_belongs_to_others_cannot_be_touched,
    what_only_the_supervisor_may_do_is_refused,
    capabilities_that_were_not_given_cannot_be_made_up,
}
