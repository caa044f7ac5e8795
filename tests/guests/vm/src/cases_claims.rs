// SPDX-License-Identifier: BSD-2-Clause
// The values of a machine's contract. That of its quota is `a_machine_has_the_memory_that_was_paid_for`.
cases! {
    every_value_of_its_contract_has_a_case,
    what_it_writes_no_other_machine_finds,
    it_has_no_capability_that_it_could_name,
    its_names_are_its_own,
    its_kernel_is_its_own_and_the_systems_is_not_there,
    those_who_spin_take_turns,
    its_ends_are_its_own,
    the_manager_alone_gets_all_back,
    it_shares_memory_with_nobody_and_reaches_nobody,
}
