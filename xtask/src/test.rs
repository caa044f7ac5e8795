// SPDX-License-Identifier: BSD-2-Clause
//! `test`: all tests, on the host and in guests, and one closing line over both.

use crate::deps::find_program;
use crate::guest::Builder;
use crate::workspace::{Workspace, cargo, progress};
use anyhow::{Context, Result, bail};
use sel4_kernel::{Flavour, SEL4_PREFIX};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};

/// The package whose tests boot machines.
const GUEST_TESTS: &str = "xos-tests";

/// How many tests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// That passed.
    pub passed: u64,
    /// That did not.
    pub failed: u64,
}

impl Count {
    /// The count in a closing line of `cargo test` or `cargo nextest run`, if the line is one.
    fn from_line(line: &str) -> Option<Self> {
        let line = without_colours(line);
        let number = |text: &str, word: &str| -> Option<u64> {
            let (before, _) = text.split_once(word)?;
            before
                .rsplit(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        if let Some(result) = line.trim_start().strip_prefix("test result: ") {
            return Some(Self {
                passed: number(result, " passed;")?,
                failed: number(result, " failed;")?,
            });
        }
        // "Summary [ 0.1s] 3 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 4 skipped";
        // "3/5 tests run" when the run was stopped.
        let (_, summary) = line.split_once("Summary [")?;
        let (run, outcome) = summary.split_once(" run: ")?;
        let (run, _) = run.rsplit_once(" test")?;
        let run: u64 = run.rsplit([' ', '/']).next()?.parse().ok()?;
        let passed = number(outcome, " passed").unwrap_or(0);
        Some(Self {
            passed,
            failed: run.saturating_sub(passed),
        })
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

fn without_colours(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut pieces = line.split("\x1b[");
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    out
}

/// Which tests to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only those on the host.
    pub host_only: bool,
    /// Only those in guests.
    pub guest_only: bool,
    /// Only those whose name contains this.
    pub filter: Option<String>,
}

/// Runs the tests, prints `N passed, N failed`, and fails if any failed.
pub fn test(selection: &Selection) -> Result<()> {
    let mut total = Count::default();
    let mut errors = Vec::new();
    let builder = Builder::new(Flavour::Release)?;
    let mut runs = Vec::new();
    if !selection.guest_only {
        let mut command = host(builder.workspace(), selection);
        // On the host, too, the bindings are generated for a kernel. Tests in guests choose theirs.
        command.env(SEL4_PREFIX, builder.prefix().root());
        runs.push(("tests on the host", command, Show::Always));
        let mut command = examples(builder.workspace(), selection);
        command.env(SEL4_PREFIX, builder.prefix().root());
        runs.push(("examples in the documentation", command, Show::OnFailure));
    }
    if !selection.host_only {
        runs.push(("tests in guests", guest(selection), Show::Always));
    }
    for (name, mut command, show) in runs {
        progress(name);
        match count(&mut command, show) {
            Ok((count, true)) => total.add(count),
            Ok((mut count, false)) => {
                // No test failed, but Cargo did: that is a failure too.
                count.failed = count.failed.max(1);
                errors.push(name);
                total.add(count);
            }
            Err(error) => return Err(error.context(name)),
        }
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    match errors.as_slice() {
        [] if total.passed == 0 && selection.filter.is_some() => bail!("no test of that name"),
        [] => Ok(()),
        errors => bail!("failures in {}", errors.join(" and ")),
    }
}

/// The unit tests of all libraries and host programs, and all integration tests that boot nothing.
fn host(workspace: &Workspace, selection: &Selection) -> Command {
    let mut command = cargo();
    let nextest = find_program("cargo-nextest").is_some();
    if nextest {
        command.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        command.args(["test", "--no-fail-fast"]);
    }
    command.arg("--lib");
    for package in workspace.libraries() {
        // Not the name: the kernel's sources come in a crate of the same name as one of ours.
        command.args(["--package", &package.id.repr]);
    }
    for package in workspace
        .host_packages()
        .filter(|package| package.name != GUEST_TESTS)
    {
        for target in &package.targets {
            let kind = if target.is_test() {
                "--test"
            } else if target.is_bin() {
                "--bin"
            } else {
                continue;
            };
            command.args(["--package", &package.id.repr, kind, &target.name]);
        }
    }
    match (&selection.filter, nextest) {
        (Some(filter), true) => command.args(["--no-tests", "pass", "--", filter]),
        (Some(filter), false) => command.args(["--", filter]),
        (None, _) => &mut command,
    };
    command
}

/// The examples in the documentation of libraries, which nextest does not run.
fn examples(workspace: &Workspace, selection: &Selection) -> Command {
    let mut command = cargo();
    command.args(["test", "--doc", "--quiet", "--no-fail-fast"]);
    for package in workspace.libraries() {
        command.args(["--package", &package.id.repr]);
    }
    command.arg("--").args(&selection.filter);
    command
}

/// The suites in machines. Not by nextest, which runs each case in a process, hence a boot, of its
/// own.
fn guest(selection: &Selection) -> Command {
    let mut command = cargo();
    command.args(["test", "--package", GUEST_TESTS, "--test", "guest", "--"]);
    command.args(&selection.filter);
    command
}

/// When a command's output is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Always,
    /// It says much and nothing: a closing line for each library, most of which have no examples.
    OnFailure,
}

/// Runs a command, shows what it prints, and counts the tests in it. The flag is its success.
fn count(command: &mut Command, show: Show) -> Result<(Count, bool)> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    // One pipe for both keeps their order; closing lines come on either.
    let (output, input) = std::io::pipe().context("cannot make a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input);
    let mut child = command.spawn().context("cannot run cargo")?;
    // This end of the pipe is still open in the command; without it there would be no end of file.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut total = Count::default();
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    let mut held = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match show {
            Show::Always => std::io::stderr().write_all(&line)?,
            Show::OnFailure => held.extend(&line),
        }
        if let Some(count) = Count::from_line(String::from_utf8_lossy(&line).trim_end()) {
            total.add(count);
        }
    }
    let success = child.wait()?.success();
    if !success {
        std::io::stderr().write_all(&held)?;
    }
    Ok((total, success))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(line: &str) -> Option<(u64, u64)> {
        Count::from_line(line).map(|count| (count.passed, count.failed))
    }

    #[test]
    fn closing_lines_of_cargo_test_are_read() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out";
        assert_eq!(counted(line), Some((12, 0)));
        let line = "test result: \x1b[31mFAILED\x1b[0m. 3 passed; 2 failed; 0 ignored;";
        assert_eq!(counted(line), Some((3, 2)));
    }

    #[test]
    fn closing_lines_of_nextest_are_read() {
        let line = "     Summary [   0.101s] 12 tests run: 12 passed, 3 skipped";
        assert_eq!(counted(line), Some((12, 0)));
        let line = "     Summary [   0.1s] 3 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 0 skipped";
        assert_eq!(counted(line), Some((1, 2)));
        let line = "\x1b[31;1m     Summary\x1b[0m [   0.1s] \x1b[1m1\x1b[0m test run: 0 passed, 1 failed, 0 skipped";
        assert_eq!(counted(line), Some((0, 1)));
    }

    #[test]
    fn other_lines_are_no_closing_lines() {
        for line in [
            "",
            "test a ... ok",
            "12 passed",
            "Summary",
            "Summary [ 1s] x tests run: ",
        ] {
            assert_eq!(counted(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_command_prints_on_either_stream_is_counted() {
        let mut command = Command::new("/bin/sh");
        let one = "test result: ok. 1 passed; 0 failed;";
        command.args(["-c", &format!("echo '{one}'; echo '{one}' >&2; exit 3")]);
        let (total, success) = count(&mut command, Show::OnFailure).unwrap();
        assert_eq!(
            (total, success),
            (
                Count {
                    passed: 2,
                    failed: 0
                },
                false
            )
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_harm(line: String) {
            let _ = Count::from_line(&line);
            let _ = Count::from_line(&format!("Summary [{line} run: {line} passed"));
            let _ = Count::from_line(&format!("test result: {line} passed; {line} failed;"));
        }
    }
}
