// SPDX-License-Identifier: BSD-2-Clause
//! `bench`: runs the benchmark system and writes `docs/benchmarks.md`; [`posix`] does the same for Linux
//! programs, [`containers`] for containers, [`virtines`] for virtines on virtual processors and elsewhere.
//!
//! A benchmark does the same work twice in one run, through the system and by hand on the bare
//! kernel; what counts is the ratio. Two runs are made: one in which the emulator counts
//! instructions, which repeats exactly and is what the targets are about, and one at full speed for
//! the time it takes. In both the guest reads the time-stamp counter and reports `ticks`; it also
//! reports the counter itself at its beginning and its end ([`CLOCK`]), from which and the host's
//! clock the length of a tick is known.

mod claims;
pub mod containers;
pub mod posix;
pub mod virtines;

use crate::sim::{Event, Machine, PowerOff, SimError};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};
use xos_image::console::Frame;

/// The value that is the time-stamp counter itself.
pub const CLOCK: &str = "clock";
/// The unit of all values that are compared.
pub const TICKS: &str = "ticks";
/// How long a run may take without a new value.
const SILENCE: Duration = Duration::from_secs(300);

/// Programs of `tests/guests/` that the benchmark starts, beside those of `apps/`.
pub const PROGRAMS: &[&str] = &[
    "bench-large",
    "bench-pair",
    "bench-threads",
    "bench-virtine",
];

pub use claims::AREAS;

/// Where the report goes.
pub const REPORT: &str = "docs/benchmarks.md";

/// What is measured of one part of the system: a table of the report.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The table's title.
    pub title: &'static str,
    /// Its rows.
    pub claims: &'static [Claim],
}

/// A promise about the cost of something.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What it is about, for a reader.
    pub what: &'static str,
    /// The value of the system's way.
    pub value: &'static str,
    /// What it is compared with.
    pub raw: Raw,
    /// The highest ratio of the two that is acceptable.
    pub target: f64,
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Raw {
    /// Another value of the same run.
    Measured(&'static str),
    /// So many instructions, known from elsewhere.
    Known(u64),
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Number and unit by name.
    values: BTreeMap<String, (u64, String)>,
    /// The first and the last reading of [`CLOCK`], and the host's time between them.
    clock: Option<(u64, u64)>,
    elapsed: Duration,
}

impl Values {
    fn insert(&mut self, name: &str, number: u64, unit: &str) {
        self.values
            .insert(name.to_owned(), (number, unit.to_owned()));
    }

    fn ticks(&self, name: &str) -> Option<u64> {
        self.values
            .get(name)
            .filter(|(_, unit)| unit == TICKS)
            .map(|(number, _)| *number)
    }

    /// Nanoseconds in a tick of this run, if it lasted long enough to tell.
    fn tick(&self) -> Option<f64> {
        let (first, last) = self.clock?;
        let ticks = last.checked_sub(first).filter(|&ticks| ticks > 0)?;
        (self.elapsed > Duration::from_millis(100))
            .then(|| self.elapsed.as_nanos() as f64 / ticks as f64)
    }
}

/// Runs a machine to its end and takes the values that it reports; `log` gets all text.
pub fn collect(mut machine: Machine, log: &mut dyn std::io::Write) -> Result<Values, SimError> {
    let mut values = Values::default();
    let mut started = None;
    loop {
        match machine.next(Some(SILENCE), "the next value of the benchmark")? {
            Event::Text(text) | Event::Log(text) => log.write_all(&text)?,
            Event::Frame(line) => {
                let Some(Frame::Value { name, number, unit }) = Frame::parse(&line) else {
                    continue;
                };
                if name == CLOCK {
                    let started = *started.get_or_insert_with(Instant::now);
                    values.elapsed = started.elapsed();
                    values.clock = Some((values.clock.map_or(number, |(first, _)| first), number));
                } else {
                    eprintln!("xtask:   {name}: {number} {unit}");
                    values.insert(name, number, unit);
                }
            }
            Event::Off(PowerOff::Success) => return Ok(values),
            Event::Off(how) => return Err(machine.stopped(how, "the end of the benchmark")),
            _ => {}
        }
    }
}

/// Writes the report. The error names the claims that do not hold, after the report.
pub fn report(areas: &[Area], counted: &Values, timed: &Values) -> (String, Result<()>) {
    let mut out = String::from(HEAD);
    let mut broken = Vec::new();
    for area in areas {
        let _ = write!(out, "\n## {}\n\n{TABLE}", area.title);
        area_report(area, counted, Some(timed), &mut out, &mut broken);
    }
    let claimed = |name: &str| {
        let mut claims = areas.iter().flat_map(|area| area.claims);
        claims.any(|claim| {
            claim.value == name || matches!(claim.raw, Raw::Measured(raw) if raw == name)
        })
    };
    let others: Vec<_> = counted
        .values
        .iter()
        .filter(|(name, _)| !claimed(name))
        .collect();
    if !others.is_empty() {
        out.push_str(OTHERS);
        for (name, (number, unit)) in others {
            let unit = if unit == TICKS { "instructions" } else { unit };
            let _ = writeln!(out, "| {name} | {} | {unit} |", grouped(*number));
        }
    }
    (out, verdict(&broken))
}

/// An error that names the claims that do not hold.
fn verdict(broken: &[String]) -> Result<()> {
    match broken {
        [] => Ok(()),
        broken => bail!("targets not reached:\n  {}", broken.join("\n  ")),
    }
}

/// Writes the rows of an area, and adds the claims that do not hold to `broken`. Without a run for the time there are
/// no columns for it.
fn area_report(
    area: &Area,
    counted: &Values,
    timed: Option<&Values>,
    out: &mut String,
    broken: &mut Vec<String>,
) {
    for claim in area.claims {
        let dash = || "-".to_owned();
        let value = counted.ticks(claim.value);
        let (raw, raw_name) = match claim.raw {
            Raw::Measured(name) => (counted.ticks(name), Some(name)),
            Raw::Known(number) => (Some(number), None),
        };
        let ratio = match (value, raw) {
            (Some(value), Some(raw)) if raw > 0 => Some(value as f64 / raw as f64),
            _ => None,
        };
        let verdict = match ratio {
            None => "not measured",
            Some(ratio) if ratio > claim.target => "**missed**",
            Some(_) => "held",
        };
        if verdict != "held" {
            let ratio = ratio.map_or(dash(), |ratio| format!("{ratio:.3}"));
            broken.push(format!(
                "{}: {ratio}, target {}: {verdict}",
                claim.what, claim.target
            ));
        }
        let _ = write!(
            out,
            "| {} | {} | {} | {} | {} | {verdict} |",
            claim.what,
            value.map_or_else(dash, grouped),
            raw.map_or_else(dash, grouped),
            ratio.map_or_else(dash, |ratio| format!("{ratio:.3}")),
            claim.target,
        );
        if let Some(timed) = timed {
            for name in [Some(claim.value), raw_name] {
                let time = name.and_then(|name| {
                    let (ticks, tick) = (timed.ticks(name)?, timed.tick()?);
                    Some(format!("{:.1} us", ticks as f64 * tick / 1000.0))
                });
                let _ = write!(out, " {} |", time.unwrap_or_else(dash));
            }
        }
        out.push('\n');
    }
}

/// Takes the part of an existing report that people write, below the tables, over to a new one.
#[must_use]
pub fn with_notes(report: &str, before: Option<&str>) -> String {
    let notes = before
        .and_then(|text| text.split_once(NOTES))
        .map_or("\n", |(_, notes)| notes);
    format!("{report}\n{NOTES}{notes}")
}

/// Whether two runs that count instructions gave the same; the first difference otherwise.
pub fn same(one: &Values, other: &Values) -> Result<()> {
    for (name, value) in &one.values {
        if other.values.get(name) != Some(value) {
            bail!("{name} differs between two runs that should be the same");
        }
    }
    Ok(())
}

const HEAD: &str = "\
# Benchmarks

Written by `make bench`. Guest instructions are counted by the emulator and repeat from run to run;
what a claim is about is the ratio of the two figures, both from one run. Times are those of the
emulator on one machine: an address-space switch is dear there, which real processors are not.
";

/// Head of each table.
const TABLE: &str = "\
| what | instructions | raw | ratio | target | | time | raw time |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The same without times.
const UNTIMED_TABLE: &str = "\
| what | instructions | raw | ratio | target | |
| --- | --- | --- | --- | --- | --- |
";

const OTHERS: &str = "\n## Beside it\n\n| what | | unit |\n| --- | --- | --- |\n";

/// What comes below is kept when the report is written anew.
const NOTES: &str = "<!-- Notes: kept by `make bench`. -->\n";

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const CLAIM: &[Area] = &[Area {
        title: "Things",
        claims: &[Claim {
            what: "it",
            value: "a",
            raw: Raw::Measured("b"),
            target: 1.1,
        }],
    }];

    fn values(list: &[(&str, u64, &str)]) -> Values {
        let values = list
            .iter()
            .map(|&(n, v, u)| (n.to_owned(), (v, u.to_owned())))
            .collect();
        Values {
            values,
            ..Values::default()
        }
    }

    #[test]
    fn values_come_from_the_frames_of_a_run() {
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            concat!(
                r"printf 'text\n\036xos:value:clock 1000 ticks\n\036xos:value:a 5 ticks\n';",
                r"sleep 1; printf '\036xos:value:clock 3000 ticks\n'; exit 33"
            ),
        ]);
        let mut log = Vec::new();
        let got = collect(Machine::start(command).unwrap(), &mut log).unwrap();
        assert_eq!(got.ticks("a"), Some(5));
        assert_eq!(log, b"text\n");
        // 2,000 ticks in a second, less what a busy machine takes until it sees the first frame.
        assert!(got.tick().unwrap() >= 100_000.0, "{got:?}");
    }

    #[test]
    fn a_benchmark_that_fails_gives_no_values() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 35"]);
        assert!(collect(Machine::start(command).unwrap(), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_ratio_within_its_target_holds() {
        let (text, result) = report(
            CLAIM,
            &values(&[("a", 110, TICKS), ("b", 100, TICKS)]),
            &Values::default(),
        );
        assert!(result.is_ok(), "{result:?}");
        assert!(
            text.contains("| it | 110 | 100 | 1.100 | 1.1 | held | - | - |"),
            "{text}"
        );
    }

    #[test]
    fn a_ratio_above_its_target_is_an_error_that_names_it() {
        let (text, result) = report(
            CLAIM,
            &values(&[("a", 111, TICKS), ("b", 100, TICKS)]),
            &Values::default(),
        );
        assert!(text.contains("**missed**"), "{text}");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("it: 1.110, target 1.1")
        );
    }

    #[test]
    fn each_area_has_a_table_and_may_compare_with_what_is_known() {
        let known = Area {
            title: "Others",
            claims: &[Claim {
                what: "that",
                value: "a",
                raw: Raw::Known(50),
                target: 2.0,
            }],
        };
        let areas = [CLAIM[0], known];
        let values = values(&[("a", 110, TICKS), ("b", 100, TICKS)]);
        let (text, result) = report(&areas, &values, &Values::default());
        let (things, others) = text.split_once("## Others").unwrap();
        assert!(things.contains("## Things") && things.contains("| it | 110 | 100 |"));
        assert!(
            others.contains("| that | 110 | 50 | 2.200 | 2 | **missed** | - | - |"),
            "{text}"
        );
        assert!(result.unwrap_err().to_string().contains("that: 2.200"));
    }

    #[test]
    fn what_was_not_measured_holds_nothing() {
        for list in [
            &[][..],
            &[("a", 1, TICKS)],
            &[("a", 1, TICKS), ("b", 0, TICKS)],
            &[("a", 1, "bytes"), ("b", 1, TICKS)],
        ] {
            let (text, result) = report(CLAIM, &values(list), &Values::default());
            assert!(result.is_err() && text.contains("not measured"), "{text}");
        }
    }

    #[test]
    fn times_come_from_the_run_at_full_speed() {
        let counted = values(&[("a", 1, TICKS), ("b", 1, TICKS)]);
        let timed = Values {
            clock: Some((0, 1_000_000_000)),
            elapsed: Duration::from_secs(2),
            ..values(&[("a", 3000, TICKS), ("b", 1000, TICKS)])
        };
        let (text, _) = report(CLAIM, &counted, &timed);
        assert!(text.contains("| 6.0 us | 2.0 us |"), "{text}");
    }

    #[test]
    fn other_values_are_listed_beside_the_claims() {
        let (text, _) = report(
            CLAIM,
            &values(&[("free", 1_234_567, "bytes")]),
            &Values::default(),
        );
        assert!(text.contains("| free | 1,234,567 | bytes |"), "{text}");
    }

    #[test]
    fn notes_of_people_are_kept() {
        let old = with_notes("old table\n", None) + "A remark.\n";
        let new = with_notes("new table\n", Some(&old));
        assert!(
            new.starts_with("new table") && new.ends_with("A remark.\n"),
            "{new}"
        );
        assert!(!new.contains("old table"));
    }

    #[test]
    fn runs_that_differ_are_told_apart() {
        let one = values(&[("a", 1, TICKS)]);
        assert!(same(&one, &one.clone()).is_ok());
        assert!(same(&one, &values(&[("a", 2, TICKS)])).is_err());
        assert!(same(&one, &values(&[])).is_err());
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
