// SPDX-License-Identifier: BSD-2-Clause
//! Cases that a probe runs, in an IC.

use super::*;

macro_rules! inside {
    ($($name:ident),* $(,)?) => {
        $(pub fn $name(t: &mut Tester) -> Outcome {
            t.inside(stringify!($name))
        })*
    };
}

inside! {
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

/// A case that sends anything to anybody: afterwards the system works, and nothing is missing.
fn survives(t: &mut Tester, case: &str) -> Outcome {
    // Once for what is made once: images that are loaded, tables that grow.
    t.inside(case)?;
    t.level(|t| t.inside(case))?;
    check!(t.run("hello", "")? == ExitStatus::Code(0))
}

macro_rules! survives {
    ($($name:ident),* $(,)?) => {
        $(pub fn $name(t: &mut Tester) -> Outcome {
            survives(t, stringify!($name))
        })*
    };
}

survives! {
    the_manager_survives_any_message,
    the_process_factory_survives_any_message,
    the_thread_factory_survives_any_message,
    handles_survive_any_message,
    the_console_survives_any_message,
    the_timer_survives_any_message,
}
