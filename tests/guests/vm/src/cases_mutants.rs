// SPDX-License-Identifier: BSD-2-Clause
// Defects of a vm factory, each of which has to be caught by the case that `test_vm::DEFECTS` names.
cases! {
    a_factory_without_a_defect_passes,

    shared_capabilities_are_promised,
    machines_have_a_page_of_their_memory_in_common,
    another_ones_page_lies_behind_its_memory,
    a_hypercall_reaches_its_monitors_capabilities,
    a_command_line_tells_what_another_one_runs,
    a_program_is_run_in_the_place_of_a_kernel,
    system_calls_are_hypercalls,
    the_limit_of_memory_is_ignored,
    machines_run_at_a_lower_priority,
    an_end_is_reported_as_a_success,
    an_end_ends_another_one,
    memory_stays_when_one_is_gone,
    all_machines_share_a_region,
}
