// SPDX-License-Identifier: BSD-2-Clause
cases! {
    a_machine_runs_a_kernel_and_its_exit_code_reaches_who_waits,
    each_end_of_a_machine_has_a_code,
    what_is_no_kernel_or_too_small_is_refused_or_ends,
    a_machine_has_the_memory_that_was_paid_for,
    a_kernel_finds_its_module,
    a_machine_that_is_told_so_waits_for_no_input,
    machines_run_at_the_same_time_and_sleep_while_they_wait,
    a_machine_that_lets_nothing_through_holds_nobody_and_is_killed,
    a_machine_that_the_supervisor_destroys_is_gone_for_its_waiter,
    a_factory_brought_down_loses_its_machines_and_serves_again,
    a_machine_that_is_suspended_and_resumed_goes_on_where_it_was,
    a_monitor_killed_at_any_moment_harms_its_own_machine_only,
    machines_leave_nothing_behind,
    a_monitor_killed_at_each_of_its_steps_harms_its_own_machine_only,
}
