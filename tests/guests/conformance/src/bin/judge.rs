// SPDX-License-Identifier: BSD-2-Clause
//! The judge of the conformance suite: runs all cases against the factory that the file tree names.
#![no_std]
#![no_main]

#[path = "../judging.rs"]
mod judging;

use judging::{HEAP_SIZE, Judge, Screen, file, power_off};
use sel4_microkit::{NullHandler, protection_domain};
use test_conformance::{FACTORY_FILE, PROGRAM_FILE};
use xos_test_kit::{Case, Outcome};

struct Context {
    judge: Judge,
    factory: &'static str,
}

/// Each case is an examiner's, by the same name.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |context: &mut Context| {
        context.judge.examine(context.factory, stringify!($name))
    })),*] };
}

const CASES: &[Case<Context>] = include!("../../cases.rs");

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    let mut context = Context {
        judge: Judge::new(),
        factory: file(FACTORY_FILE).unwrap_or_default(),
    };
    if let Some(program) = file(PROGRAM_FILE) {
        // A failure shows in the cases.
        let _: Outcome = context.judge.load(program, context.factory);
    }
    warm_up(&mut context);
    let passed = xos_test_kit::run(CASES, &mut context, &mut Screen);
    power_off(passed)
}

/// What factories keep for good (loaded images) is there before anything is counted.
fn warm_up(context: &mut Context) {
    // A failure shows in the cases.
    let _: Outcome =
        context
            .judge
            .examine_within(context.factory, test_conformance::WARM_UP, |_, _| Ok(()));
}
