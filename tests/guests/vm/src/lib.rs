// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of this suite have agreed on.
//!
//! | program | what it is |
//! | --- | --- |
//! | `test-vm` | a boot domain in the monitor's place, which runs the cases |
//! | `steps-factory` | the vm factory, with monitors that can be stopped at each of their steps |
//! | `mutant-vm` | the vm factory, broken on purpose: with one of [`DEFECTS`] at a time |
//! | `gives-...` | monitors that give their guests what is not theirs |
#![no_std]

use xos_test_kit::defects;
use xos_test_kit::mutants::{Defect, Knob};

/// How the vm factory may be broken.
pub const DEFECTS: &[Defect] = defects! {
    shared_capabilities_are_promised: every_value_of_its_contract_has_a_case;
    machines_have_a_page_of_their_memory_in_common: what_it_writes_no_other_machine_finds;
    another_ones_page_lies_behind_its_memory: what_it_writes_no_other_machine_finds;
    a_hypercall_reaches_its_monitors_capabilities: it_has_no_capability_that_it_could_name;
    a_command_line_tells_what_another_one_runs: its_names_are_its_own;
    a_program_is_run_in_the_place_of_a_kernel: its_kernel_is_its_own_and_the_systems_is_not_there;
    system_calls_are_hypercalls: its_kernel_is_its_own_and_the_systems_is_not_there;
    the_limit_of_memory_is_ignored: a_machine_has_the_memory_that_was_paid_for;
    machines_run_at_a_lower_priority: those_who_spin_take_turns;
    an_end_is_reported_as_a_success: its_ends_are_its_own;
    an_end_ends_another_one: its_ends_are_its_own;
    memory_stays_when_one_is_gone: the_manager_alone_gets_all_back;
    all_machines_share_a_region: it_shares_memory_with_nobody_and_reaches_nobody;
};

/// Where the broken factory has its knob.
const KNOB: usize = 0x5000_0000;

/// The knob of the domain with the broken factory.
///
/// # Safety
/// The description of the system maps a page for it there, writable.
#[must_use]
pub unsafe fn knob_of_factory() -> &'static Knob {
    // SAFETY: as the caller says.
    unsafe { Knob::at(KNOB) }
}
