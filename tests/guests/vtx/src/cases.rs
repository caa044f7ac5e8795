// SPDX-License-Identifier: BSD-2-Clause
cases! {
    a_guest_runs_and_its_hypercall_arrives_with_its_registers,
    what_is_forced_on_a_guest_is_told,
    controls_that_would_use_memory_are_not_offered,
    memory_of_a_virtual_processor_is_not_given_away_again,
    a_virtual_processor_ends_with_its_memory,
    a_page_that_is_unmapped_is_gone_for_a_guest_that_touched_it,
    a_page_that_is_revoked_is_gone_for_a_guest_that_touched_it,
    a_new_root_inherits_nothing_from_one_at_the_same_address,
    a_guest_without_a_root_reaches_nothing,
    entering_without_a_virtual_processor_is_an_unknown_system_call,
    a_guest_that_spins_is_preempted,
    a_thread_comes_back_when_its_guest_is_deleted,
    a_thread_deleted_before_its_virtual_processor_is_forgotten,
    more_virtual_processors_than_tags_leave_other_memory_alone,
    a_guest_keeps_its_fault_address,
    a_signal_takes_a_thread_out_of_its_guest,
}
