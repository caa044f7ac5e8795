// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of these tests have agreed on.
//!
//! The stand-in for a personality's server does what the first argument of its container says. It is no Linux: it makes
//! no processes. It does to its factory what a server does, the things that a bad one would do included.
#![no_std]

use xos_test_kit::defects;
use xos_test_kit::mutants::{Defect, Knob};

/// Prints a file of the root, whose path is the second argument.
pub const PRINT: &str = "print";
/// Prints the arguments behind the first, the environment and the host name, a line each.
pub const TELL: &str = "tell";
/// Does what it is told from outside, until a signal comes, and ends as if killed by it.
pub const SERVE: &str = "serve";
/// Writes to its root.
pub const WRITE: &str = "write";
/// Takes memory until there is no more, and prints how many MiB it got.
pub const EAT: &str = "eat";

/// The file of the initial tree that says which cases are run, if not all that need few containers.
pub const CASES: &str = "etc/cases";
/// What it says for the claims of the contract.
pub const CLAIMS: &str = "claims";
/// What it says for those that need many.
pub const CROWD: &str = "crowd";
/// What it says for the benchmark.
pub const BENCH: &str = "bench";
/// What it says for the factory that is broken on purpose.
pub const MUTANTS: &str = "mutants";

/// How the container factory may be broken.
pub const DEFECTS: &[Defect] = defects! {
    shared_capabilities_are_promised: every_value_of_its_contract_has_a_case;
    an_environment_tells_what_another_one_runs: what_it_writes_nobody_else_reads;
    a_program_is_started_in_another_one: its_names_are_its_own;
    the_systems_own_interface_is_given: its_kernel_interface_is_linuxs_and_no_other;
    the_limit_of_memory_is_ignored: it_cannot_spend_more_than_its_budget;
    who_starts_stops_another_one: those_who_spin_take_turns;
    an_end_is_reported_as_a_success: its_faults_end_it_alone;
    an_end_ends_another_one: its_faults_end_it_alone;
    memory_stays_when_one_is_gone: the_manager_alone_gets_all_back;
    what_one_prints_is_in_the_log_of_another: it_reaches_nobody_and_nobody_reaches_it;
    a_signal_reaches_another_one: two_containers_cannot_see_signal_name_starve_or_fill_each_other;
};

/// Where factory and judge have the knob.
const KNOB: usize = 0x5000_0000;

/// The knob of this domain.
///
/// # Safety
/// The description of the system maps a page there, writable, in all who call this.
#[must_use]
pub unsafe fn knob_of_domain() -> &'static Knob {
    // SAFETY: as the caller says.
    unsafe { Knob::at(KNOB) }
}
