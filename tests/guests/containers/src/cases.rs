// SPDX-License-Identifier: BSD-2-Clause
cases! {
    a_container_reads_its_root_and_its_log_is_read_after_its_end,
    a_command_that_is_given_takes_the_place_of_its_own,
    its_state_is_that_of_the_runtime_specification,
    a_signal_from_outside_ends_it_as_a_shell_tells_it,
    a_program_is_run_in_a_running_container,
    a_root_cannot_be_written,
    containers_of_one_image_share_its_memory,
    a_container_has_no_more_memory_than_its_budget,
    a_container_that_is_killed_is_gone_with_all_that_it_cost,
    what_is_no_container_is_refused,
}
