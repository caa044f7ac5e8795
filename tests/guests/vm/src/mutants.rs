// SPDX-License-Identifier: BSD-2-Clause
//! Whether the cases about a machine's contract catch what they are there to catch.

use test_vm::DEFECTS;
use xos_protocol::ExitStatus;
use xos_test_kit::mutants::{Knob, Mutant};
use xos_test_kit::{Case, Outcome, check_eq};

use super::{CASES, CLAIMS, HANDLES_USED, Screen, create, run};

/// A case that is a defect's is about what its claim says of it.
macro_rules! cases {
    ($first:ident, $($name:ident),* $(,)?) => { &[
        (stringify!($first), $first),
        $((stringify!($name), |knob| is_caught(knob, stringify!($name)))),*
    ] };
}

/// The cases.
pub const MUTANTS: &[Case<&'static Knob>] = include!("cases_mutants.rs");

fn mutant(knob: &'static Knob) -> Mutant<'static, ()> {
    Mutant {
        knob,
        defects: DEFECTS,
        claims: &[CASES, CLAIMS],
    }
}

fn a_factory_without_a_defect_passes(knob: &mut &'static Knob) -> Outcome {
    mutant(knob).passes(&mut ())
}

fn is_caught(knob: &mut &'static Knob, name: &str) -> Outcome {
    let outcome = mutant(knob).is_caught(name, &mut (), &mut Screen::default());
    // What the case has left.
    for number in 0..HANDLES_USED {
        let machine = create(number, "guest", "", 0)?;
        machine.handle.kill()?;
        machine.handle.wait()?;
    }
    outcome?;
    // And it was the defect, not the case.
    check_eq!(run("off 7")?, ExitStatus::Code(7))
}
