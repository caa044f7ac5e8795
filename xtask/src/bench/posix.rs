// SPDX-License-Identifier: BSD-2-Clause
//! What Linux programs pay, beside what Linux itself charges: `docs/benchmarks-posix.md`.
//!
//! `tests/linux/bench/bench.c` runs on any Linux ABI. What Linux gave for it is in `OPERATIONS`; here it runs
//! in the system that users boot. In the same boot a program measures T, the cost of one foreign call on the
//! bare kernel (`bench-trap` of `tests/guests/bench`), and another one whether anything depends on how many
//! others there are (`scale.c`).

use super::grouped;
use crate::musl;
use crate::sim::{Event, Machine, PowerOff, SimError};
use crate::tree::Addition;
use crate::workspace::root;
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use xos_image::console::Frame;

/// Where the report goes.
pub const REPORT: &str = "docs/benchmarks-posix.md";
/// Guest programs that it needs beside those of the system.
pub const PROGRAMS: &[&str] = &["bench-trap"];
/// How long the guest may print nothing.
const SILENCE: Duration = Duration::from_secs(300);
/// The name of T.
const TRAP: &str = "trap";
/// Rounds of the shell's loop.
const ROUNDS: u32 = 200;
/// Other processes, as `scale.c` has them.
const OTHERS: u32 = 100;
/// How much dearer something may be when they are there.
const SCALE: f64 = 1.05;

/// How much an operation may cost.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// So many times T.
    Traps(f64),
    /// T for each of its calls, and one and a half times what Linux charges.
    Calls(u64),
    /// So many times what Linux charges.
    Linux(f64),
}

/// An operation of `bench.c`.
#[derive(Clone, Copy, Debug)]
struct Operation {
    /// The first word of its result.
    name: &'static str,
    what: &'static str,
    /// Instructions that Linux 6.1 takes (Debian's kernel 6.1 in QEMU 7.2, `-cpu Nehalem`, one processor, `mitigations=off
    /// lsm=yama init_on_alloc=0 randomize_kstack_offset=off audit=0 nokaslr norandmaps`).
    linux: u64,
    /// Nanoseconds that it takes in emulation at full speed (`mitigations=off` alone).
    time: u64,
    target: Target,
}

const fn operation(
    name: &'static str,
    what: &'static str,
    linux: u64,
    time: u64,
    target: Target,
) -> Operation {
    Operation {
        name,
        what,
        linux,
        time,
        target,
    }
}

const OPERATIONS: &[Operation] = {
    use Target::{Calls, Linux, Traps};
    &[
        operation("getppid", "getppid", 345, 772, Traps(1.3)),
        operation(
            "clock_gettime_raw",
            "clock_gettime (system call)",
            448,
            875,
            Calls(1),
        ),
        operation(
            "futex_wake_none",
            "futex wake, nobody waits",
            514,
            778,
            Calls(1),
        ),
        operation("stat_tmpfs", "stat on tmpfs", 2842, 6068, Calls(1)),
        operation(
            "pipe_roundtrip",
            "pipe, one byte round trip, two processes",
            11916,
            81294,
            Calls(4),
        ),
        operation(
            "sched_yield_2proc",
            "sched_yield between two processes",
            1850,
            18406,
            Calls(1),
        ),
        operation(
            "signal_self",
            "signal to self, with handler",
            3320,
            11127,
            Calls(2),
        ),
        operation(
            "mmap_touch_munmap_page",
            "mmap + touch + munmap, per page",
            4978,
            27075,
            Linux(1.5),
        ),
        operation(
            "open_read4k_close",
            "open + read 4 KiB + close, tmpfs",
            6730,
            18520,
            Calls(3),
        ),
        operation(
            "write4k_new(256=1MiB)",
            "write 4 KiB, new file",
            6074,
            13748,
            Calls(1),
        ),
        operation(
            "write4k_overwrite",
            "write 4 KiB, overwrite",
            2187,
            5324,
            Calls(1),
        ),
        operation(
            "pthread_create_join",
            "pthread_create + join",
            68310,
            545_134,
            Linux(1.0),
        ),
        operation(
            "fork_exit_wait",
            "fork + _exit + waitpid",
            105_652,
            714_060,
            Linux(2.0),
        ),
        operation(
            "vfork_exec_tiny_wait",
            "vfork + exec of a tiny program + wait",
            123_318,
            1_097_556,
            Linux(1.0),
        ),
        operation(
            "posix_spawn_tiny_wait",
            "posix_spawn of the same + wait",
            137_372,
            1_177_017,
            Linux(1.2),
        ),
        operation(
            "fork_exec_busybox_true",
            "fork + exec of busybox true + wait",
            585_908,
            3_703_241,
            Linux(2.0),
        ),
        operation(
            "shell_loop",
            "shell loop, per iteration",
            769_425,
            4_272_375,
            Linux(2.0),
        ),
    ]
};

/// What `scale.c` does with others and without.
const SCALED: &[&str] = &[
    "getppid",
    "stat",
    "open_close",
    "pipe_roundtrip",
    "fork_exit_wait",
];

/// The Linux programs, built.
pub fn additions() -> Result<Vec<Addition>> {
    let sources = root().join("tests/linux/bench");
    let programs = root().join("target/bench-linux");
    let mut additions = Vec::new();
    for name in ["bench", "tiny", "scale"] {
        let (source, host) = (sources.join(format!("{name}.c")), programs.join(name));
        // The tiny program has no C library, and no start of one.
        match name {
            "tiny" => musl::build_bare(&source, &host)?,
            _ => musl::build(&source, &host)?,
        }
        let guest = format!("bin/{name}").parse()?;
        additions.push(Addition { host, guest });
    }
    Ok(additions)
}

/// What is typed at the monitor's prompt: operations whose name contains `only`, or all of it.
#[must_use]
pub fn line(only: Option<&str>) -> String {
    // T first: whoever is to be compared with it comes when it has ended.
    let trap = "factory bench-trap; sleep 500";
    if let Some(only) = only {
        return format!("{trap}; bench {only}");
    }
    let shell = format!(
        "bench run shell_loop {ROUNDS} /bin/busybox sh -c \
         'i=0; while [ $i -lt {ROUNDS} ]; do /bin/busybox true; i=$((i+1)); done'"
    );
    format!("{trap}; bench; {shell}; scale")
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Nanoseconds and ticks by name.
    values: BTreeMap<String, (f64, f64)>,
}

impl Results {
    /// Takes a line of output, if it is a result: `R NAME ITERATIONS NANOSECONDS TICKS`.
    fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if words.next() != Some("R") {
            return;
        }
        let (name, numbers) = (words.next(), words.map(str::parse::<f64>));
        let numbers: Result<Vec<_>, _> = numbers.collect();
        if let (Some(name), Ok([_, nanoseconds, ticks])) = (name, numbers.as_deref()) {
            self.values.insert(name.to_owned(), (*nanoseconds, *ticks));
        }
    }

    fn ticks(&self, name: &str) -> Option<f64> {
        self.values.get(name).map(|(_, ticks)| *ticks)
    }
}

/// Runs a machine to its end and takes the results; `log` gets all text.
pub fn collect(mut machine: Machine, log: &mut dyn std::io::Write) -> Result<Results> {
    let (mut results, mut text, mut status) = (Results::default(), String::new(), None);
    loop {
        match machine.next(Some(SILENCE), "the next result of the benchmark")? {
            Event::Text(bytes) | Event::Log(bytes) => {
                log.write_all(&bytes)?;
                text.push_str(&String::from_utf8_lossy(&bytes));
                while let Some((line, rest)) = text.split_once('\n') {
                    results.line(line);
                    text = rest.to_owned();
                }
            }
            Event::Frame(line) => {
                if let Some(Frame::ExecEnd(code)) = Frame::parse(&line) {
                    status = Some(code);
                }
            }
            Event::Off(PowerOff::Success) => {
                ensure!(status == Some(0), "the benchmark ended with {status:?}");
                return Ok(results);
            }
            Event::Off(how) => {
                let error: SimError = machine.stopped(how, "the end of the benchmark");
                bail!(error);
            }
            _ => {}
        }
    }
}

/// Writes the report. The error names what is dearer than it may be, after the report.
pub fn report(counted: &Results, timed: &Results) -> (String, Result<()>) {
    let mut out = String::from(HEAD);
    let mut broken = Vec::new();
    let dash = || "-".to_owned();
    let whole = |number: f64| grouped(number.round() as u64);
    let trap = counted.ticks(TRAP);
    let _ = write!(
        out,
        "\nT, a foreign call on the bare kernel, is **{}** instructions.\n\n{TABLE}",
        trap.map_or_else(dash, whole)
    );
    let trap = trap.unwrap_or(f64::NAN);
    for operation in OPERATIONS {
        let linux = operation.linux as f64;
        let (most, formula) = match operation.target {
            Target::Traps(times) => (times * trap, format!("{times} T")),
            Target::Calls(1) => (trap + 1.5 * linux, "T + 1.5 L".into()),
            Target::Calls(calls) => (
                calls as f64 * trap + 1.5 * linux,
                format!("{calls} T + 1.5 L"),
            ),
            Target::Linux(times) => (times * linux, format!("{times} L")),
        };
        let ticks = counted.ticks(operation.name);
        let ratio = ticks.map(|ticks| ticks / most).filter(|r| r.is_finite());
        let verdict = verdict(ratio, 1.0, operation.what, &mut broken);
        let time = timed.values.get(operation.name).map(|(time, _)| *time);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} ({formula}) | {} | {verdict} | {} | {} |",
            operation.what,
            ticks.map_or_else(dash, whole),
            grouped(operation.linux),
            whole(most),
            ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
            time.map_or_else(dash, whole),
            grouped(operation.time),
        );
    }
    out.push_str(SCALE_HEAD);
    for name in SCALED {
        let alone = counted.ticks(&format!("{name}@0"));
        let among = counted.ticks(&format!("{name}@{OTHERS}"));
        let ratio = among.zip(alone).map(|(among, alone)| among / alone);
        let what = format!("{name} among {OTHERS} others");
        let verdict = verdict(ratio, SCALE, &what, &mut broken);
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {verdict} |",
            alone.map_or_else(dash, whole),
            among.map_or_else(dash, whole),
            ratio.map_or_else(dash, |ratio| format!("{ratio:.3}")),
        );
    }
    let result = match broken.is_empty() {
        true => Ok(()),
        false => Err(anyhow::anyhow!(
            "targets not reached:\n  {}",
            broken.join("\n  ")
        )),
    };
    (out, result)
}

/// Whether a ratio is within what it may be, as the report has it; if not, it goes to `broken`.
fn verdict(ratio: Option<f64>, most: f64, what: &str, broken: &mut Vec<String>) -> &'static str {
    let (verdict, shown) = match ratio {
        Some(ratio) if ratio <= most => return "held",
        Some(ratio) => ("**missed**", format!("{ratio:.3}")),
        None => ("not measured", "-".into()),
    };
    broken.push(format!("{what}: {shown}, target {most}: {verdict}"));
    verdict
}

const HEAD: &str = "\
# Benchmarks of Linux programs

Written by `make bench`. `tests/linux/bench/bench.c`, built static with musl, runs here and ran on Linux 6.1 in the same
emulator, configured to be the fairest peer that it can be (no mitigations, no zeroing on allocation, no randomisation).
Guest instructions are counted by the emulator and decide. Times are those of the emulator at full speed: a switch of
address spaces is dear there, and each call is two.
";

/// Head of the table of operations.
const TABLE: &str = "\
L is what Linux takes. An operation's target has T once for each of its calls, or is a multiple of L.

| operation | instructions | L | target | of it | | ns | Linux's ns |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

/// What stands above the table of `scale.c`.
const SCALE_HEAD: &str = "
## Whether it depends on others

The same operation with no other process but the peer of the round trips, and among 100 others with 200 open
files.

| operation | alone | among 100 | ratio | |
| --- | --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;

    fn results(lines: &[&str]) -> Results {
        let mut results = Results::default();
        results.line("R trap 10000 0 2600");
        for line in lines {
            results.line(line);
        }
        results
    }

    #[test]
    fn a_line_that_is_no_result_is_none() {
        let got = results(&[
            "",
            "R",
            "R getppid",
            "R getppid 5 x 3",
            "R getppid 5 3",
            "# yield",
            "FAIL R 1 2 3",
        ]);
        assert_eq!(got.values.len(), 1, "{got:?}");
    }

    #[test]
    fn a_target_is_held_or_missed_and_the_error_names_what_is_missed() {
        let good = results(&["R getppid 10 100.0 3300.0", "R fork_exit_wait 1 1 211304.0"]);
        let (text, result) = report(&good, &good);
        assert!(
            text.contains("| getppid | 3,300 | 345 | 3,380 (1.3 T) | 0.98 | held | 100 | 772 |")
        );
        let error = result.unwrap_err().to_string();
        assert!(error.contains("pipe, one byte round trip"), "{error}");
        assert!(!error.contains("getppid:") && !error.contains("fork + _exit"));
        let bad = results(&["R getppid 10 100.0 3400.0"]);
        let error = report(&bad, &bad).1.unwrap_err().to_string();
        assert!(
            error.contains("getppid: 1.006, target 1: **missed**"),
            "{error}"
        );
    }

    #[test]
    fn calls_are_charged_once_each_beside_linux() {
        let good = results(&["R pipe_roundtrip 10 1 28274.0"]);
        let (text, _) = report(&good, &good);
        assert!(
            text.contains("| 28,274 (4 T + 1.5 L) | 1.00 | held |"),
            "{text}"
        );
    }

    #[test]
    fn what_is_dearer_among_others_is_missed() {
        let bad = results(&["R stat@0 1 1 100.0", "R stat@100 1 1 106.0"]);
        let (text, result) = report(&bad, &bad);
        assert!(
            text.contains("| stat | 100 | 106 | 1.060 | **missed** |"),
            "{text}"
        );
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("stat among 100 others")
        );
    }

    #[test]
    fn without_t_nothing_that_depends_on_it_is_held() {
        let mut some = results(&["R getppid 10 100.0 1.0"]);
        some.values.remove(TRAP);
        let (text, _) = report(&some, &some);
        assert!(
            text.contains("| getppid | 1 |") && text.contains("not measured"),
            "{text}"
        );
    }

    #[test]
    fn programs_can_be_built() {
        for addition in additions().unwrap() {
            assert!(addition.host.is_file(), "{addition:?}");
        }
    }
}
