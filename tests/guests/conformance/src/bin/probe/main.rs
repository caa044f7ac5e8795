// SPDX-License-Identifier: BSD-2-Clause
//! The examiner and the probe of the conformance suite: one program, because some kinds of IC execute
//! what their creator is made of.
//!
//! | module | what it has |
//! | --- | --- |
//! | `lab`, `copies` | making ICs of the factory under test, in whichever way it makes them |
//! | `tasks` | what a probe does in one |
//! | `claims` | for each value of the contract, the probes that it has to pass |
//! | `life`, `clones`, `attacks`, `deaths` | what has to hold whatever the contract says |
//! | `steps` | everything that can be done, while somebody dies at any step of it |
#![no_std]
#![no_main]

extern crate alloc;

mod attacks;
mod claims;
mod clones;
mod copies;
mod deaths;
mod lab;
mod life;
mod steps;
mod tasks;

use lab::Lab;
use test_conformance::{
    BLOCKED, Board, CLONES_LIFE, DO, EXAMINE, EXAMINERS_BOARD, LIFE, LOAD, OPERATIONS, USE,
    WARM_UP, WHOLE_LIFE, WHOLE_OPERATIONS,
};
use xos_test_kit::{Failure, Outcome, check_eq};

// It is copied where ICs begin in a copy.
xos::main!(main, heap = 128 * 1024);

fn main() -> i32 {
    let mut args = xos::args().skip(1);
    match args.next() {
        Some(DO) => {
            let mut number = || args.next().and_then(|text| text.parse().ok()).unwrap_or(0);
            let task = tasks::Task {
                what: number(),
                a: number(),
                b: number(),
            };
            task.perform()
        }
        Some(EXAMINE) => {
            let factory = args.next().unwrap_or_default();
            let outcome = examine(factory, args.next().unwrap_or_default());
            match outcome {
                Ok(()) => 0,
                Err(failure) => {
                    // SAFETY: the judge mapped a board there, for as long as this program lives.
                    unsafe { Board::at(EXAMINERS_BOARD) }.fail(failure.reason());
                    1
                }
            }
        }
        _ => 2,
    }
}

type Check = fn(&Lab) -> Outcome;

fn examine(factory: &'static str, case: &str) -> Outcome {
    use attacks::*;
    use claims::*;
    use clones::*;
    use deaths::*;
    use life::*;
    macro_rules! cases {
        ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as Check)),*] };
    }
    let cases: &[(&str, Check)] = include!("../../../cases.rs");
    match case {
        BLOCKED => return deaths::blocked(factory),
        LOAD => return deaths::load(),
        CLONES_LIFE => return clones::a_clones_life(&Lab::open(factory)?),
        USE => return steps::use_driver(factory),
        _ => {}
    }
    let lab = Lab::open(factory)?;
    if case == WARM_UP {
        return check_eq!(lab.run(tasks::RETURN, 0, 0)?, lab::code(0));
    }
    if case == LIFE || case == WHOLE_LIFE {
        return deaths::a_life(&lab, case == WHOLE_LIFE);
    }
    if case == OPERATIONS || case == WHOLE_OPERATIONS {
        return steps::operations(&lab, case == WHOLE_OPERATIONS);
    }
    match cases.iter().find(|(name, _)| *name == case) {
        Some((_, check)) => check(&lab),
        None => Err(Failure::new(format_args!("no case is called {case}"))),
    }
}
