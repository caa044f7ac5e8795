// SPDX-License-Identifier: BSD-2-Clause
//! Whether the claims of a container's contract catch what they are there to catch: each defect of a factory that is
//! broken on purpose has to be found by the claim that it breaks.

use alloc::string::String;
use core::fmt::Write;

use test_containers::{DEFECTS, Knob};
use xos_test_kit::{Case, Outcome, check};

use super::{CLAIMS, Screen};

/// A case that is a defect's is about what its claim says of it.
macro_rules! cases {
    ($first:ident, $($name:ident),* $(,)?) => { &[
        (stringify!($first), $first),
        $((stringify!($name), |_| is_caught(stringify!($name)))),*
    ] };
}

/// The cases.
pub const CASES: &[Case<()>] = include!("../../cases_mutants.rs");

fn knob() -> &'static Knob {
    // SAFETY: the description of the system with the broken factory maps it, and these cases run in no other.
    unsafe { Knob::of_domain() }
}

/// What a case of the claims says.
fn judge(claim: &str) -> Outcome {
    let case = CLAIMS.iter().find(|(name, _)| *name == claim);
    match case {
        Some((_, run)) => run(&mut ()),
        None => check!(false, "no claim is called {claim}"),
    }
}

fn a_factory_without_a_defect_passes(_: &mut ()) -> Outcome {
    let mut last = "";
    for defect in DEFECTS {
        if defect.claim != last {
            judge(defect.claim)?;
        }
        last = defect.claim;
    }
    Ok(())
}

fn is_caught(name: &str) -> Outcome {
    let Some(number) = DEFECTS.iter().position(|defect| defect.name == name) else {
        return check!(false, "no defect is called {name}");
    };
    let claim = DEFECTS[number].claim;
    knob().turn(Some(number));
    let outcome = judge(claim);
    knob().turn(None);
    let Err(failure) = outcome else {
        return check!(false, "the factory has this defect, and passes {claim}");
    };
    // How it was caught, for who reads the log.
    let _ = writeln!(
        Screen(String::new()),
        "caught: {name}: {}",
        failure.reason()
    );
    // And it was the defect, not the case.
    judge("its_faults_end_it_alone")
}
