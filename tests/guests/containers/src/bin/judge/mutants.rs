// SPDX-License-Identifier: BSD-2-Clause
//! Whether the claims of a container's contract catch what they are there to catch: each defect of a factory that is
//! broken on purpose has to be found by the claim that it breaks.

use core::sync::atomic::Ordering::Relaxed;

use test_containers::{DEFECTS, knob_of_domain};
use xos_test_kit::mutants::Mutant;
use xos_test_kit::{Case, Outcome};

use super::claims::PATIENCE;
use super::{CLAIMS, Screen};

/// In seconds.
const PATIENCE_WITH_A_DEFECT: u64 = 15;

/// A case that is a defect's is about what its claim says of it.
macro_rules! cases {
    ($first:ident, $($name:ident),* $(,)?) => { &[
        (stringify!($first), $first),
        $((stringify!($name), |_| is_caught(stringify!($name)))),*
    ] };
}

/// The cases.
pub const CASES: &[Case<()>] = include!("../../cases_mutants.rs");

fn mutant() -> Mutant<'static, ()> {
    Mutant {
        // SAFETY: the description of the system with the broken factory maps it, and these cases run in no other.
        knob: unsafe { knob_of_domain() },
        defects: DEFECTS,
        claims: &[CLAIMS],
    }
}

fn a_factory_without_a_defect_passes(_: &mut ()) -> Outcome {
    mutant().passes(&mut ())
}

fn is_caught(name: &str) -> Outcome {
    let patience = PATIENCE.swap(PATIENCE_WITH_A_DEFECT, Relaxed);
    let caught = mutant().is_caught(name, &mut (), &mut Screen::default());
    PATIENCE.store(patience, Relaxed);
    caught?;
    // And it was the defect, not the case.
    mutant().judge("its_faults_end_it_alone", &mut ())
}
