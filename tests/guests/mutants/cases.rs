// SPDX-License-Identifier: BSD-2-Clause
// The cases of the mutants' suite: defects, each of which has to be caught by the case of the
// conformance suite that `test_conformance::DEFECTS` names, and what factories do when somebody dies at
// any step of what they are at.
cases! {
    factories_without_a_defect_pass,

    code_is_mapped_writable,
    a_page_of_the_factory_is_mapped_in_every_ic,
    a_page_is_used_again_without_being_cleared,
    private_memory_is_promised_and_the_creators_is_given,
    the_creators_memory_is_promised_and_private_is_given,
    an_execution_is_among_an_ics_capabilities,
    a_frame_is_among_an_ics_capabilities,
    own_capabilities_are_promised_and_the_creators_are_given,
    the_creators_capabilities_are_promised_and_own_are_given,
    no_names_are_promised_and_the_creators_are_given,
    the_creators_names_are_promised_and_none_are_given,
    linux_system_calls_are_answered,
    the_limit_of_memory_is_ignored,
    ics_run_at_a_lower_priority,
    a_fault_is_reported_as_an_exit,
    a_fault_ends_a_sibling_as_well,
    a_fault_ends_the_factory,
    containment_is_promised_and_the_creators_memory_is_open,
    open_memory_is_promised_and_faults_are_contained,
    memory_stays_when_an_ic_is_destroyed,
    clones_write_to_their_snapshot,
    what_clones_write_to_is_empty,
    all_ics_have_a_channel_in_common,
    granted_channels_are_promised_and_memory_is_shared,
    channels_through_memory_are_promised_and_there_are_none,
    a_message_ends_the_factory,
    a_refusal_by_the_manager_ends_the_factory,
    a_value_is_promised_that_has_no_probe,

    at_each_step_an_ic_may_die,
    at_each_step_a_sibling_may_die,
    at_each_step_the_creator_may_die,
    at_each_step_the_factory_may_die,
    at_each_step_a_clone_may_die,
    at_each_step_a_snapshot_may_die,
    at_each_step_the_creator_of_a_clone_may_die,
}
