// SPDX-License-Identifier: BSD-2-Clause
//! In-guest test suites: one boot, several cases, each reported by its own name.
//!
//! A suite's guest program runs the cases one after another and sends frames: a case begins, it
//! passed, it failed and why. [`run`] turns these into one verdict for each case that the
//! suite was declared with, whatever the guest does: a case that is never reported, because the
//! machine hangs or stops, fails with the serial log, and a case that was not declared fails too.

use crate::sim::{Event, Machine, PowerOff, SimError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use xos_image::console::Frame;

/// Name of the verdict on all that is not one case's: nothing undeclared ran, the machine powered
/// off and said that all is well.
pub const WHOLE: &str = "the_suite_runs_to_its_end";

/// What came of a case: nothing to say, or why it failed.
pub type Verdict = Result<(), String>;

/// Runs a booted suite to its end, within `limit` in all. `report` is called once for each of
/// `cases`, as soon as its verdict is known, and last for [`WHOLE`].
pub fn run(
    machine: Result<Machine, SimError>,
    cases: &[&str],
    limit: Duration,
    report: &mut dyn FnMut(&str, Verdict),
) {
    let mut ledger = Ledger::new(cases);
    let end = match machine {
        Ok(mut machine) => watch(&mut machine, limit, &mut ledger, report),
        Err(error) => Err(error),
    };
    let whole = match &end {
        Ok(PowerOff::Success) => ledger.complaint(),
        Ok(how) => Err(ledger
            .complaint()
            .err()
            .unwrap_or_else(|| format!("the machine {how}"))),
        Err(error) => Err(error.to_string()),
    };
    let why = match &end {
        Ok(how) => format!("not run: the suite ended before ({how})"),
        Err(_) => format!("not run: see {WHOLE}"),
    };
    for case in ledger.open() {
        let reason = match (&ledger.running, &end) {
            // The one that the machine died in gets the whole story.
            (Some(running), Err(error)) if *running == case => error.to_string(),
            (Some(running), Ok(how)) if *running == case => {
                format!("the machine stopped during this case ({how})")
            }
            _ => why.clone(),
        };
        report(&case, Err(reason));
    }
    report(WHOLE, whole);
}

fn watch(
    machine: &mut Machine,
    limit: Duration,
    ledger: &mut Ledger,
    report: &mut dyn FnMut(&str, Verdict),
) -> Result<PowerOff, SimError> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match machine.next(Some(left), &ledger.waiting_for()) {
            // The time is a suite's, not this event's.
            Err(SimError::Hang {
                waiting_for, log, ..
            }) => {
                return Err(SimError::Hang {
                    waiting_for,
                    log,
                    after: limit,
                });
            }
            Err(error) => return Err(error),
            Ok(Event::Frame(line)) => {
                if let Some((case, verdict)) = Frame::parse(&line).and_then(|f| ledger.take(f)) {
                    report(&case, verdict);
                }
            }
            Ok(Event::Off(how @ (PowerOff::Success | PowerOff::Failure))) => return Ok(how),
            Ok(Event::Off(how)) => return Err(machine.stopped(how, &ledger.waiting_for())),
            Ok(_) => {}
        }
    }
}

/// What is known of each case.
#[derive(Debug)]
struct Ledger {
    /// Declared cases, in order, and whether they have been reported.
    cases: Vec<(String, bool)>,
    running: Option<String>,
    /// Reported without being declared, or twice.
    strange: BTreeMap<String, &'static str>,
}

impl Ledger {
    fn new(cases: &[&str]) -> Self {
        let cases = cases.iter().map(|&case| (case.to_owned(), false)).collect();
        Self {
            cases,
            running: None,
            strange: BTreeMap::new(),
        }
    }

    /// Takes a frame; gives a verdict if it is one on a declared case.
    fn take(&mut self, frame: Frame<'_>) -> Option<(String, Verdict)> {
        let (name, verdict) = match frame {
            Frame::CaseBegin(name) => {
                self.running = Some(name.to_owned());
                return None;
            }
            Frame::CaseOk(name) => (name, Ok(())),
            Frame::CaseFail { name, reason } => (name, Err(reason.to_owned())),
            _ => return None,
        };
        if self.running.as_deref() == Some(name) {
            self.running = None;
        }
        match self.cases.iter_mut().find(|(case, _)| case == name) {
            Some((_, true)) => {
                self.strange.insert(name.to_owned(), "was reported twice");
                None
            }
            Some((_, reported)) => {
                *reported = true;
                Some((name.to_owned(), verdict))
            }
            None => {
                self.strange
                    .insert(name.to_owned(), "is not in the suite's list of cases");
                None
            }
        }
    }

    fn waiting_for(&self) -> String {
        match (
            &self.running,
            self.cases.iter().find(|(_, reported)| !reported),
        ) {
            (Some(case), _) => format!("the end of case {case}"),
            (None, Some((case, _))) => format!("case {case} to begin"),
            (None, None) => "power-off after the last case".to_owned(),
        }
    }

    fn open(&self) -> Vec<String> {
        self.cases
            .iter()
            .filter(|(_, reported)| !reported)
            .map(|(case, _)| case.clone())
            .collect()
    }

    fn complaint(&self) -> Verdict {
        match self.strange.iter().next() {
            Some((case, what)) => Err(format!("case {case} {what}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn verdicts(script: &str, cases: &[&str]) -> Vec<(String, Verdict)> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut all = Vec::new();
        run(
            Machine::start(command),
            cases,
            Duration::from_secs(1),
            &mut |case, verdict| {
                all.push((case.to_owned(), verdict));
            },
        );
        all
    }

    fn names(all: &[(String, Verdict)]) -> Vec<&str> {
        all.iter().map(|(case, _)| case.as_str()).collect()
    }

    #[test]
    fn each_case_gets_its_own_verdict() {
        let all = verdicts(
            concat!(
                r"printf '\036xos:case:a begin\n\036xos:case:a ok\n';",
                r"printf '\036xos:case:b begin\n\036xos:case:b FAIL 1 is not 2\n'; exit 35"
            ),
            &["a", "b"],
        );
        assert_eq!(names(&all), ["a", "b", WHOLE]);
        assert_eq!(all[0].1, Ok(()));
        assert_eq!(all[1].1, Err("1 is not 2".into()));
        assert!(all[2].1.is_err());
    }

    #[test]
    fn a_suite_that_passes_passes_as_a_whole() {
        let all = verdicts(r"printf '\036xos:case:a ok\n'; exit 33", &["a"]);
        assert_eq!(all, [("a".into(), Ok(())), (WHOLE.into(), Ok(()))]);
    }

    #[test]
    fn a_case_that_hangs_fails_with_the_log_and_those_after_it_did_not_run() {
        let all = verdicts(
            r"printf 'hm\n\036xos:case:a begin\n'; exec sleep 60",
            &["a", "b"],
        );
        let reasons: Vec<_> = all.iter().map(|(_, v)| v.clone().unwrap_err()).collect();
        assert!(reasons[0].contains("the end of case a") && reasons[0].contains("| hm"));
        assert!(reasons[1].starts_with("not run"), "{reasons:?}");
        assert!(reasons[2].contains("timed out"), "{reasons:?}");
    }

    #[test]
    fn a_machine_that_powers_off_early_fails_what_is_left() {
        let all = verdicts(r"printf '\036xos:case:a ok\n'; exit 33", &["a", "b"]);
        assert_eq!(all[0].1, Ok(()));
        assert!(all[1].1.is_err());
    }

    #[test]
    fn a_case_that_was_not_declared_fails_the_suite() {
        let all = verdicts(r"printf '\036xos:case:new ok\n'; exit 33", &[]);
        assert_eq!(names(&all), [WHOLE]);
        assert!(all[0].1.as_ref().unwrap_err().contains("new"));
    }

    #[test]
    fn a_case_that_is_reported_twice_fails_the_suite() {
        let all = verdicts(
            r"printf '\036xos:case:a ok\n\036xos:case:a ok\n'; exit 33",
            &["a"],
        );
        assert!(all[1].1.as_ref().unwrap_err().contains("twice"));
    }

    #[test]
    fn a_simulator_that_does_not_start_fails_all() {
        let mut all = Vec::new();
        let machine = Machine::start(Command::new("/no/such/simulator"));
        run(machine, &["a"], Duration::from_secs(1), &mut |_, v| {
            all.push(v)
        });
        assert!(all.len() == 2 && all.iter().all(Result::is_err));
    }

    proptest! {
        #[test]
        fn every_declared_case_is_open_until_it_is_reported(
            reports in proptest::collection::vec((0..4u8, 0..3u8), 0..20),
        ) {
            let names = ["a", "b", "c"];
            let mut ledger = Ledger::new(&names);
            let mut done = std::collections::BTreeSet::new();
            for (case, kind) in reports {
                let name = ["a", "b", "c", "undeclared"][usize::from(case)];
                let frame = match kind {
                    0 => Frame::CaseBegin(name),
                    1 => Frame::CaseOk(name),
                    _ => Frame::CaseFail { name, reason: "no" },
                };
                let verdict = ledger.take(frame);
                let first = kind > 0 && case < 3 && done.insert(name);
                prop_assert_eq!(verdict.is_some(), first);
            }
            let open: Vec<_> = names.into_iter().filter(|name| !done.contains(name)).collect();
            prop_assert_eq!(ledger.open(), open);
        }
    }
}
