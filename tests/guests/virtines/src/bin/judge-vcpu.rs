// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases for virtines on virtual processors.
#![no_std]
#![no_main]

extern crate alloc;

use sel4_microkit::{NullHandler, protection_domain};
use xos_protocol::{ExitStatus, IcState};
use xos_test_judge::{MANAGER, pause};
use xos_test_kit::{Case, Failure, Outcome, cases, check, check_eq};

#[macro_use]
#[path = "../judge.rs"]
mod judge;

use judge::*;

#[protection_domain(heap_size = 256 * 1024)]
fn init() -> NullHandler {
    let cases: &[Case<Context>] = include!("../cases_vcpu.rs");
    run(
        "virtine-vcpu",
        &[
            "process",
            "thread",
            "virtine",
            "virtine-vcpu",
            "forgets-pages",
            "forgets-registers",
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
    no_instruction_leads_out: "instructions";
    code_that_it_writes_is_its_own: "code";
    nothing_beyond_its_memory_can_be_read_written_or_executed: "addresses";
    messages_that_mean_nothing_end_the_call: "nonsense";
    no_trace_of_a_call_is_found_in_the_next: "traces";
    images_that_are_no_virtines_are_refused: "images";
    two_functions_are_called_in_turn: "turns";
    several_threads_call_at_the_same_time: "threads";
    fifty_functions_leave_nothing_behind: "many";
}

/// In cycles, which this simulator counts one for an instruction, as often as it is run.
fn calls_cost_no_more_than_they_did(c: &mut Context) -> Outcome {
    for (what, most) in [
        ("call", 2_250),
        ("call-8-pages", 6_700),
        ("hypercall", 2_500),
    ] {
        let job = c.start_program("bench-call", what, c.factory)?;
        let status = c.wait(job)?;
        let ExitStatus::Code(cycles @ 2..) = status else {
            return Err(Failure::new(format_args!("{what}: {status}")));
        };
        check!(
            cycles <= most,
            "{what}: {cycles} cycles, and {most} are allowed"
        )?;
    }
    Ok(())
}

fn a_virtine_that_is_suspended_in_a_call_goes_on_where_it_was(c: &mut Context) -> Outcome {
    c.nothing_lost(|c| {
        let job = c.start("long", c.factory)?;
        let virtine = calling(&job)?;
        for _ in 0..8 {
            MANAGER.suspend(virtine)?;
            (0..5).for_each(|_| pause());
            let (state, _) = job.handle().stat()?;
            check_eq!(state, IcState::Running)?;
            MANAGER.resume(virtine)?;
            (0..5).for_each(|_| pause());
        }
        check_eq!(c.wait(job)?, ExitStatus::Code(0))
    })
}

fn the_contract_promises_a_second_stage(c: &mut Context) -> Outcome {
    c.case("contract")
}

fn a_monitor_that_forgets_pages_is_caught(c: &mut Context) -> Outcome {
    caught(c, "forgets-pages")
}

fn a_monitor_that_forgets_registers_is_caught(c: &mut Context) -> Outcome {
    caught(c, "forgets-registers")
}
