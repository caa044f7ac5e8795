// SPDX-License-Identifier: BSD-2-Clause
//! The judge of the mutants: shows that the conformance suite catches what it is there to catch, and that
//! nobody is harmed when somebody dies at any step of a factory's.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../judging.rs"]
mod judging;

use alloc::format;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use judging::{HEAP_SIZE, Judge, Screen, power_off};
use sel4_microkit::{NullHandler, protection_domain};
use test_conformance::{
    CLONES_LIFE, CRASHING, DEFECTS, Defect, Knob, LIFE, PROCESS, THREAD, VARIANTS, WARM_UP,
    WHOLE_LIFE,
};
use xos_protocol::IcId;
use xos_test_kit::{Case, Outcome, check};

/// A case that is a defect's is about what the conformance suite says of it.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |judge: &mut Judge| {
        match stringify!($name) {
            "factories_without_a_defect_pass" => factories_without_a_defect_pass(judge),
            "other_promises_that_are_kept_pass" => other_promises_that_are_kept_pass(judge),
            "at_each_step_an_ic_may_die" => at_each_step(judge, LIFE, Victim::Ic),
            "at_each_step_a_sibling_may_die" => at_each_step(judge, LIFE, Victim::Sibling),
            "at_each_step_the_creator_may_die" => at_each_step(judge, LIFE, Victim::Creator),
            "at_each_step_a_clone_may_die" => at_each_step(judge, CLONES_LIFE, Victim::Ic),
            "at_each_step_a_snapshot_may_die" => at_each_step(judge, CLONES_LIFE, Victim::Sibling),
            "at_each_step_the_creator_of_a_clone_may_die" => {
                at_each_step(judge, CLONES_LIFE, Victim::Creator)
            }
            "at_each_step_the_factory_may_die" => at_each_step_the_factory_may_die(judge),
            name => is_caught(judge, name),
        }
    })),*] };
}

const CASES: &[Case<Judge>] = include!("../../../mutants/cases.rs");

fn knob() -> &'static Knob {
    // SAFETY: the description maps it.
    unsafe { Knob::of_domain() }
}

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    let mut judge = Judge::new();
    for factory in [PROCESS, CRASHING, THREAD] {
        // A failure shows in the cases.
        let _: Outcome = judge.examine_within(factory, WARM_UP, |_, _| Ok(()));
    }
    let passed = xos_test_kit::run(CASES, &mut judge, &mut Screen);
    power_off(passed)
}

fn factories_without_a_defect_pass(judge: &mut Judge) -> Outcome {
    // What a defect is caught by is no failure of its own.
    for defect in DEFECTS {
        judge.examine(defect.factory, defect.case)?;
    }
    Ok(())
}

fn other_promises_that_are_kept_pass(judge: &mut Judge) -> Outcome {
    for (number, variant) in VARIANTS.iter().enumerate() {
        let outcome = examine_with(judge, DEFECTS.len() + number, variant);
        if let Err(failure) = outcome {
            return check!(false, "{}: {}", variant.name, failure.reason());
        }
    }
    Ok(())
}

/// What the case says of a factory that has the defect or variant at this position.
fn examine_with(judge: &mut Judge, position: usize, defect: &Defect) -> Outcome {
    knob().defect.store(position as u64 + 1, SeqCst);
    let outcome = judge.examine(defect.factory, defect.case);
    knob().defect.store(0, SeqCst);
    outcome
}

fn is_caught(judge: &mut Judge, name: &str) -> Outcome {
    let Some(position) = DEFECTS.iter().position(|defect| defect.name == name) else {
        return check!(false, "no defect is called {name}");
    };
    let defect = DEFECTS[position];
    let outcome = examine_with(judge, position, &defect);
    // It may have crashed.
    judge.successor(defect.factory, IcId::NONE)?;
    let again = judge.examine_within(defect.factory, WARM_UP, |_, _| Ok(()));
    let Err(failure) = outcome else {
        return check!(
            false,
            "{} has this defect, and passes {}",
            defect.factory,
            defect.case
        );
    };
    // How it was caught, for who reads the log.
    let _ = writeln!(Screen, "caught: {name}: {}", failure.reason());
    again
}

/// A life in which nobody dies. All images are loaded then.
fn whole_life(judge: &mut Judge, factory: &str) -> Outcome {
    STEP.store(0, SeqCst);
    judge.examine_within(factory, WHOLE_LIFE, |_, _| Ok(()))
}

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Ic,
    Sibling,
    Creator,
}

/// The step that is to be the last, from `Ask::Begin` on.
static STEP: AtomicU64 = AtomicU64::new(0);

fn begin_or_end(begin: bool) -> Outcome {
    if begin {
        knob().taken.store(0, SeqCst);
        knob().step.store(STEP.load(SeqCst), SeqCst);
    } else {
        knob().step.store(0, SeqCst);
    }
    Ok(())
}

/// Steps that a life takes, however it is looked at: fewer would mean that something is not counted.
const LEAST: u64 = 20;
/// No life takes so many.
const MOST: u64 = 500;

/// The life is one of those whose steps count. In a clone's, its snapshot is the sibling.
fn at_each_step(judge: &mut Judge, life: &str, victim: Victim) -> Outcome {
    judge.begin_or_end = begin_or_end;
    whole_life(judge, PROCESS)?;
    // The same, for what only this life takes.
    judge.examine_within(PROCESS, life, |_, _| Ok(()))?;
    let before = judge.manager.free()?;
    for step in 1..MOST {
        STEP.store(step, SeqCst);
        knob().deed.store(0, SeqCst);
        let mut died = false;
        let outcome = judge.examine_within(PROCESS, life, |judge, creator| {
            if knob().standing.load(SeqCst) == 1 && !died {
                died = true;
                let id = match victim {
                    Victim::Creator => Some(creator),
                    Victim::Ic => paid_by(judge, creator)?[1],
                    Victim::Sibling => paid_by(judge, creator)?[0],
                };
                // Where there is none yet, or none any more, nobody dies.
                if let Some(id) = id {
                    judge.manager.destroy(id)?;
                }
                // It will never say that it is done.
                judge.counting &= victim != Victim::Creator;
                knob().deed.store(2, SeqCst);
            }
            Ok(())
        });
        knob().step.store(0, SeqCst);
        knob().deed.store(2, SeqCst);
        if let (Err(failure), false) = (&outcome, victim == Victim::Creator && died) {
            return check!(false, "at step {step}: {}", failure.reason());
        }
        if let Err(failure) = judge.all_is_back(before) {
            return check!(false, "after step {step}: {}", failure.reason());
        }
        if !died {
            let _ = writeln!(Screen, "a life has {} steps", step - 1);
            return check!(step > LEAST, "a life has {step} steps");
        }
    }
    check!(false, "a life has no end")
}

/// The ICs that an examiner's factory made for it: the sibling and the one whose life it is.
fn paid_by(judge: &Judge, creator: IcId) -> Outcome<[Option<IcId>; 2]> {
    let mut found = [None; 2];
    judge.manager.each_ic(|ic| {
        if ic.payer == creator {
            // Ids grow; lists go by index.
            if found[0].is_none_or(|first: IcId| ic.id.serial() < first.serial()) {
                found[1] = found[0];
                found[0] = Some(ic.id);
            } else {
                found[1] = Some(ic.id);
            }
        }
    })?;
    Ok(found)
}

/// Restarts that a domain gets.
const RESTARTS: u64 = 5;
/// Domains that are there to crash.
const DOMAINS: u64 = 20;

fn at_each_step_the_factory_may_die(judge: &mut Judge) -> Outcome {
    judge.begin_or_end = begin_or_end;
    for step in 1..=RESTARTS * DOMAINS {
        let factory = format!("mutant_{}", (step - 1) / RESTARTS);
        let old = judge.successor(&factory, IcId::NONE)?;
        whole_life(judge, &factory)?;
        let before = judge.manager.free()?;
        STEP.store(step, SeqCst);
        knob().deed.store(1, SeqCst);
        let outcome = judge.examine_within(&factory, LIFE, |_, _| Ok(()));
        knob().step.store(0, SeqCst);
        if let Err(failure) = outcome {
            return check!(false, "at step {step}: {}", failure.reason());
        }
        let new = judge.successor(&factory, IcId::NONE)?;
        if new == old {
            let _ = writeln!(Screen, "a life has {} steps", step - 1);
            return check!(step > LEAST, "a life has {step} steps");
        }
        // The new instance has loaded all images as well then.
        let back = whole_life(judge, &factory).and_then(|()| judge.all_is_back(before));
        if let Err(failure) = back {
            return check!(false, "after step {step}: {}", failure.reason());
        }
    }
    check!(
        false,
        "a life has more steps than there are domains to crash"
    )
}
