// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases for virtines that are address spaces.
#![no_std]
#![no_main]

extern crate alloc;

use sel4_microkit::{NullHandler, protection_domain};
use xos_protocol::ExitStatus;
use xos_test_kit::{Case, Outcome, cases, check_eq};

#[macro_use]
#[path = "../judge.rs"]
mod judge;

use judge::*;

#[protection_domain(heap_size = 256 * 1024)]
fn init() -> NullHandler {
    let cases: &[Case<Context>] = include!("../cases.rs");
    run(
        "virtine",
        &[
            "process",
            "thread",
            "virtine",
            "forgets_pages",
            "forgets_registers",
            "forgets_lent_memory",
            "grants_everything",
        ],
        cases,
    )
}

run_in_the_program! {
    a_result_is_what_the_function_made_of_the_argument: "results";
    arguments_and_results_of_all_lengths_arrive_whole: "lengths";
    what_an_image_prepared_is_there_in_every_call: "prepared";
    every_fault_ends_its_call_alone_and_is_told: "faults";
    an_endless_loop_ends_at_its_limit: "endless";
    a_memory_bomb_ends_at_its_limit: "bomb";
    a_stack_that_overflows_ends_its_call: "stack";
    memory_that_one_call_took_is_there_for_the_next: "heap";
    a_hypercall_that_is_granted_is_answered_by_the_caller: "granted";
    a_hypercall_that_is_not_granted_ends_the_call: "not_granted";
    a_caller_can_give_up_a_call_that_asks: "given_up";
    no_capability_can_be_invoked_through_any_cptr: "cptrs";
    nothing_beyond_its_memory_can_be_read_written_or_executed: "addresses";
    messages_that_mean_nothing_end_the_call: "nonsense";
    a_forged_fault_harms_only_its_sender: "forged";
    no_trace_of_a_call_is_found_in_the_next: "traces";
    images_that_are_no_virtines_are_refused: "images";
    requests_that_make_no_sense_are_refused: "requests";
    two_functions_are_called_in_turn: "turns";
    several_threads_call_at_the_same_time: "threads";
    a_suspended_virtine_is_not_called: "suspended";
    fifty_functions_leave_nothing_behind: "many";
}

fn a_factory_that_forgets_pages_is_caught(c: &mut Context) -> Outcome {
    caught(c, "forgets_pages")
}

fn a_factory_that_forgets_registers_is_caught(c: &mut Context) -> Outcome {
    caught(c, "forgets_registers")
}

fn a_factory_that_forgets_lent_memory_is_caught(c: &mut Context) -> Outcome {
    caught(c, "forgets_lent_memory")
}

fn a_factory_that_grants_everything_is_caught(c: &mut Context) -> Outcome {
    let granted = c.run("granted", "grants_everything")?;
    let not_granted = c.run("not_granted", "grants_everything")?;
    // And it was what was not granted.
    check_eq!(
        (granted, not_granted),
        (ExitStatus::Code(0), ExitStatus::Code(1))
    )
}
