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

const CASES: [&[Case<()>]; 2] = {
    use xos_test_kit::cases;
    [
        include!("../cases_inside.rs"),
        include!("../cases_messages.rs"),
    ]
};

fn main() -> i32 {
    let mut arguments = xos::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(CASE), Some(name)) => {
            let case = CASES.into_iter().flatten().find(|(case, _)| *case == name);
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
