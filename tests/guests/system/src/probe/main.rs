// SPDX-License-Identifier: BSD-2-Clause
//! A program that runs cases from inside an IC, or plays a part in one.
#![no_std]
#![no_main]

extern crate alloc;

mod ics;
mod messages;
mod parts;
mod rights;
mod threads;

use core::time::Duration;

use test_system::{BOARD, BOARD_BYTES, CASE};
use xos::eprintln;
use xos_test_kit::{Case, Outcome};

use ics::*;
use messages::*;
use rights::*;
use threads::*;

xos::main!(main, heap = 64 * 1024);

const MS: Duration = Duration::from_millis(1);
/// How long something that goes on by itself may take: long, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const CASES: &[Case<()>] = xos_test_kit::cases! {
    arguments_and_environment_arrive_as_they_were_given,
    a_thread_returns_its_value,
    a_thread_that_crashes_takes_nothing_else_down,
    threads_exclude_each_other_by_a_mutex,
    each_thread_has_its_own_values,
    a_thread_is_suspended_and_goes_on,
    a_thread_that_is_killed_is_joined_as_killed,
    a_thousand_threads_leave_the_budget_exactly_as_it_was,
    a_sleep_is_never_short,
    a_region_is_shared_with_a_child_and_taken_back,
    a_region_larger_than_the_budget_is_refused,
    ics_beyond_the_budget_are_refused_and_the_rest_lives,
    a_service_is_registered_once_and_found_by_name,
    a_connection_carries_the_badge_that_the_manager_gave_it,
    a_server_that_dies_leaves_no_caller_waiting,
    what_belongs_to_others_cannot_be_touched,
    what_only_the_supervisor_may_do_is_refused,
    capabilities_that_were_not_given_cannot_be_made_up,
    the_manager_survives_any_message,
    the_process_factory_survives_any_message,
    the_thread_factory_survives_any_message,
    handles_survive_any_message,
    the_console_survives_any_message,
    the_timer_survives_any_message,
};

fn main() -> i32 {
    let mut arguments = xos::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(CASE), Some(name)) => {
            let case = CASES.iter().find(|(case, _)| *case == name);
            let outcome = case.map_or(Err("no such case".into()), |(_, case)| case(&mut ()));
            match outcome {
                Ok(()) => 0,
                Err(failure) => {
                    complain(failure.reason());
                    1
                }
            }
        }
        (Some("part"), Some(name)) => parts::play(name, arguments),
        _ => {
            eprintln!("usage: test-probe case NAME | part NAME ...");
            2
        }
    }
}

/// Writes on the board.
fn complain(reason: &str) {
    let length = reason.len().min(BOARD_BYTES - 8);
    let board = BOARD as *mut u8;
    // SAFETY: the tester maps the board there in programs that run cases, and waits for their end before
    // it reads.
    unsafe {
        board.cast::<u64>().write(length as u64);
        board
            .add(8)
            .copy_from_nonoverlapping(reason.as_ptr(), length);
    }
}

/// Waits until a condition holds.
#[track_caller]
fn until(mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    let begin = xos::timer::now()?;
    while !holds()? {
        xos_test_kit::check!(xos::timer::now()? < begin + PATIENCE, "it does not happen")?;
        xos::timer::sleep(MS)?;
    }
    Ok(())
}
