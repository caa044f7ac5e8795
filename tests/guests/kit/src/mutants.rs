// SPDX-License-Identifier: BSD-2-Clause
//! Whether the cases about a factory's claims catch what they are there to catch: a factory that is broken on purpose
//! has one defect at a time, each by its name, and the case that is about what it breaks has to fail.
//!
//! Factory and judge share a list of defects ([`defects!`](crate::defects)), and a page on which the judge says which
//! is on ([`Knob`]).

use alloc::string::String;
use core::fmt::{self, Write};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::SeqCst;

use crate::{Case, Outcome, check};

/// A way in which a factory may be broken.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// What is wrong: the name of the case of the mutants' suite too.
    pub name: &'static str,
    /// The case that has to fail then.
    pub claim: &'static str,
}

/// A list of defects: `name: claim;` of each.
#[macro_export]
macro_rules! defects {
    ($($name:ident: $claim:ident;)*) => { &[$($crate::mutants::Defect {
        name: stringify!($name),
        claim: stringify!($claim),
    }),*] };
}

/// Which defect is on: a page that the descriptions of systems map in judge and factory.
#[repr(C)]
pub struct Knob(AtomicUsize);

impl Knob {
    /// The page at an address.
    ///
    /// # Safety
    /// A page is mapped there, writable, for as long as the reference is used, and everybody uses it as a knob.
    #[must_use]
    pub unsafe fn at(address: usize) -> &'static Self {
        // SAFETY: as the caller says; it is atomic.
        unsafe { &*(address as *const Self) }
    }

    /// Turns one defect on, by its position in the list, or none.
    pub fn turn(&self, defect: Option<usize>) {
        self.0
            .store(defect.map_or(0, |position| position + 1), SeqCst);
    }

    /// The name of the defect of this list that is on, or nothing.
    #[must_use]
    pub fn defect(&self, defects: &'static [Defect]) -> &'static str {
        let position = self.0.load(SeqCst).checked_sub(1);
        position
            .and_then(|position| defects.get(position))
            .map_or("", |defect| defect.name)
    }
}

/// A broken factory and those who judge it.
pub struct Mutant<'a, C> {
    /// What the factory is told.
    pub knob: &'a Knob,
    /// Its defects.
    pub defects: &'static [Defect],
    /// The cases among which those are that the defects name.
    pub claims: &'a [&'a [Case<C>]],
}

impl<C> Mutant<'_, C> {
    /// What a case says of the factory as it is now.
    ///
    /// # Errors
    /// What the case fails with; that there is no such case.
    pub fn judge(&self, claim: &str, context: &mut C) -> Outcome {
        let mut cases = self.claims.iter().copied().flatten();
        match cases.find(|(name, _)| *name == claim) {
            Some((_, case)) => case(context),
            None => check!(false, "no claim is called {claim}"),
        }
    }

    /// Without a defect it passes all that the defects have to fail.
    ///
    /// # Errors
    /// What it does not pass.
    pub fn passes(&self, context: &mut C) -> Outcome {
        for (position, defect) in self.defects.iter().enumerate() {
            let before = &self.defects[..position];
            if before.iter().any(|other| other.claim == defect.claim) {
                continue;
            }
            if let Err(failure) = self.judge(defect.claim, context) {
                return check!(false, "{}: {}", defect.claim, failure.reason());
            }
        }
        Ok(())
    }

    /// With this defect it does not; `log` is told how it was caught.
    ///
    /// # Errors
    /// That it does, or that there is no such defect.
    pub fn is_caught(&self, name: &str, context: &mut C, log: &mut dyn Write) -> Outcome {
        let mut defects = self.defects.iter().enumerate();
        let Some((position, defect)) = defects.find(|(_, defect)| defect.name == name) else {
            return check!(false, "no defect is called {name}");
        };
        self.knob.turn(Some(position));
        let outcome = self.judge(defect.claim, context);
        self.knob.turn(None);
        let Err(failure) = outcome else {
            let claim = defect.claim;
            return check!(false, "the factory has this defect, and passes {claim}");
        };
        let mut line = String::new();
        let _ = writeln!(line, "caught: {name}: {}", failure.reason());
        // A log that takes nothing is no failure of the factory's.
        let _: fmt::Result = log.write_str(&line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFECTS: &[Defect] = defects! {
        it_is_odd: it_is_even;
        it_is_odd_too: it_is_even;
        it_is_no_defect: it_is_anything;
    };
    const CLAIMS: &[Case<usize>] = &[
        ("it_is_even", |number| check!(*number % 2 == 0)),
        ("it_is_anything", |_| Ok(())),
    ];

    fn mutant(knob: &Knob) -> Mutant<'_, usize> {
        Mutant {
            knob,
            defects: DEFECTS,
            claims: &[CLAIMS],
        }
    }

    #[test]
    fn a_defect_is_caught_by_the_claim_that_it_names_and_by_no_other() {
        let knob = Knob(AtomicUsize::new(0));
        let mutant = mutant(&knob);
        let mut log = String::new();
        assert!(mutant.passes(&mut 2).is_ok());
        assert!(mutant.passes(&mut 1).is_err());
        assert!(mutant.is_caught("it_is_odd", &mut 1, &mut log).is_ok());
        assert!(mutant.is_caught("it_is_odd_too", &mut 2, &mut log).is_err());
        for name in ["it_is_no_defect", "another"] {
            assert!(mutant.is_caught(name, &mut 1, &mut log).is_err());
        }
        assert!(log.starts_with("caught: it_is_odd: ") && log.ends_with('\n'));
        assert_eq!(knob.defect(DEFECTS), "", "it is off again");
    }

    #[test]
    fn a_defect_is_on_by_its_position() {
        let knob = Knob(AtomicUsize::new(0));
        for (position, defect) in DEFECTS.iter().enumerate() {
            knob.turn(Some(position));
            assert_eq!(knob.defect(DEFECTS), defect.name);
        }
        knob.turn(Some(DEFECTS.len()));
        assert_eq!(knob.defect(DEFECTS), "");
    }
}
