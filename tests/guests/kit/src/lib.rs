// SPDX-License-Identifier: BSD-2-Clause
//! What an in-guest test suite is made of.
//!
//! A case is a function from a context of the suite's own to an [`Outcome`]. [`run`] calls the cases
//! one after another and reports each to the host in frames ([`xos_image::console`]), which the host
//! turns into verdicts of tests of its own, one for each case, by name.
//!
//! ```ignore
//! // cases.rs, which the host's list of suites includes too
//! cases! { one_and_one_is_two }
//!
//! // main.rs
//! const CASES: &[Case<Context>] = include!("cases.rs");
//!
//! fn one_and_one_is_two(_: &mut Context) -> Outcome {
//!     check_eq!(1 + 1, 2)
//! }
//!
//! let passed = xos_test_kit::run(CASES, &mut context, &mut console);
//! ```
//!
//! In a case, `?` makes any error that can be printed a failure that says where it happened. A panic
//! ends the program, not the case: a suite tells its panic hook to call [`panicked`].
//!
//! Reasons of failures are made on the heap, so that a suite needs one.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod mutants;

use alloc::string::String;
use core::fmt::{self, Debug, Write};
use core::panic::Location;
use spin::Mutex;
use xos_image::console::Frame;

/// Longest reason of a failure, in bytes; what exceeds it is cut.
const MAX_REASON: usize = 400;

/// Why a case failed.
pub struct Failure(String);

/// What comes of a case.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure for this reason, at the place of the caller.
    #[track_caller]
    pub fn new(reason: fmt::Arguments<'_>) -> Self {
        let mut text = Cut(String::new());
        let place = Location::caller();
        // `Cut` accepts everything.
        let _ = write!(text, "{}:{}: {reason}", place.file(), place.line());
        Self(text.0)
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// Any error that can be printed. `Failure` itself cannot, or `?` would not know which to use.
impl<E: Debug> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(format_args!("{error:?}"))
    }
}

/// Text that is cut where it is too long.
struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_REASON.saturating_sub(self.0.len());
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Ok(())
    }
}

/// Fails the case unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr $(,)?) => {
        $crate::check!($condition, "`{}` does not hold", stringify!($condition))
    };
    ($condition:expr, $($reason:tt)+) => {
        if $condition {
            $crate::Outcome::Ok(())
        } else {
            $crate::Outcome::Err($crate::Failure::new(format_args!($($reason)+)))
        }
    };
}

/// Fails the case unless both sides are equal.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => $crate::check!(
                *left == *right,
                "`{}` is {left:?}, not {right:?}",
                stringify!($left)
            ),
        }
    };
}

/// A case: its name and its function.
pub type Case<C> = (&'static str, fn(&mut C) -> Outcome);

/// In a suite, what its file of cases comes to: a table of the names and the functions, which are in
/// scope.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

/// The case that runs, for [`panicked`].
static RUNNING: Mutex<Option<&'static str>> = Mutex::new(None);

/// Runs cases and reports each to `host`, which is the serial line. True if all passed.
pub fn run<C>(cases: &[Case<C>], context: &mut C, host: &mut dyn Write) -> bool {
    let mut passed = true;
    for &(name, case) in cases {
        *RUNNING.lock() = Some(name);
        send(host, &Frame::CaseBegin(name));
        match case(context) {
            Ok(()) => send(host, &Frame::CaseOk(name)),
            Err(failure) => {
                passed = false;
                send(
                    host,
                    &Frame::CaseFail {
                        name,
                        reason: failure.reason(),
                    },
                );
            }
        }
        *RUNNING.lock() = None;
    }
    passed
}

/// Reports a panic as the failure of the case that runs. The machine should be stopped then.
pub fn panicked(reason: fmt::Arguments<'_>, host: &mut dyn Write) {
    // Not `lock`: the panic may be of whoever holds it.
    if let Some(Some(name)) = RUNNING.try_lock().map(|running| *running) {
        let mut text = Cut(String::new());
        let _ = write!(text, "panicked: {reason}");
        send(
            host,
            &Frame::CaseFail {
                name,
                reason: &text.0,
            },
        );
    }
}

/// Reports a measured value.
pub fn value(name: &str, number: u64, unit: &str, host: &mut dyn Write) {
    send(host, &Frame::Value { name, number, unit });
}

fn send(host: &mut dyn Write, frame: &Frame<'_>) {
    // A case whose report is lost is a failure on the host; there is nobody to tell here.
    let _ = write!(host, "{frame}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(runs: &mut u32) -> Outcome {
        *runs += 1;
        check_eq!(*runs, 1)
    }

    fn bad(_: &mut u32) -> Outcome {
        check!(false, "it is {}", "bad")
    }

    fn erring(_: &mut u32) -> Outcome {
        "x".parse::<u8>()?;
        Ok(())
    }

    #[test]
    fn each_case_is_reported_and_one_failure_does_not_stop_the_others() {
        let mut out = String::new();
        let cases: &[Case<u32>] = &[("bad", bad), ("good", good), ("erring", erring)];
        assert!(!run(cases, &mut 0, &mut out));
        let frames: Vec<_> = out.split_terminator('\n').collect();
        assert_eq!(frames.len(), 6, "{out:?}");
        assert_eq!(frames[2], "\x1exos:case:good begin");
        assert_eq!(frames[3], "\x1exos:case:good ok");
        assert!(
            frames[1].starts_with("\x1exos:case:bad FAIL ") && frames[1].ends_with("it is bad")
        );
    }

    #[test]
    fn a_failure_says_where_even_of_an_error_that_was_passed_on() {
        let reason = |outcome: Outcome| outcome.err().map(|failure| failure.reason().to_owned());
        let place = concat!(file!(), ":");
        for outcome in [bad(&mut 0), erring(&mut 0)] {
            let reason = reason(outcome).unwrap();
            assert!(reason.starts_with(place), "{reason}");
        }
        assert!(reason(erring(&mut 0)).unwrap().contains("InvalidDigit"));
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut() {
        let failure = Failure::new(format_args!("{}", "ä".repeat(1000)));
        assert!(failure.reason().len() <= MAX_REASON && failure.reason().len() > MAX_REASON - 4);
    }

    #[test]
    fn a_suite_is_all_that_passes() {
        let mut out = String::new();
        assert!(run(
            &[("good", good as fn(&mut u32) -> Outcome)],
            &mut 0,
            &mut out
        ));
        assert!(run::<u32>(&[], &mut 0, &mut out));
    }
}
