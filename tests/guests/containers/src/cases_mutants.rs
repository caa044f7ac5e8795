// SPDX-License-Identifier: BSD-2-Clause
// Defects of a container factory, each of which has to be caught by the case of the claims that
// `test_containers::DEFECTS` names.
cases! {
    a_factory_without_a_defect_passes,

    shared_capabilities_are_promised,
    an_environment_tells_what_another_one_runs,
    a_program_is_started_in_another_one,
    the_systems_own_interface_is_given,
    the_limit_of_memory_is_ignored,
    who_starts_stops_another_one,
    an_end_is_reported_as_a_success,
    an_end_ends_another_one,
    memory_stays_when_one_is_gone,
    what_one_prints_is_in_the_log_of_another,
    a_signal_reaches_another_one,
}
