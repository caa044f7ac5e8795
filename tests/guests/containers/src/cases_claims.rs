// SPDX-License-Identifier: BSD-2-Clause
cases! {
    every_value_of_its_contract_has_a_case,
    what_it_writes_nobody_else_reads,
    it_has_no_capability_that_it_could_name,
    its_names_are_its_own,
    its_kernel_interface_is_linuxs_and_no_other,
    it_cannot_spend_more_than_its_budget,
    those_who_spin_take_turns,
    its_faults_end_it_alone,
    the_manager_alone_gets_all_back,
    it_reaches_nobody_and_nobody_reaches_it,
    two_containers_cannot_see_signal_name_starve_or_fill_each_other,
}
