// SPDX-License-Identifier: BSD-2-Clause
//! `exec`: one command of the monitor's, as if it were a program of the host.
//!
//! The command travels in the initial file tree, so nothing is typed and nothing is echoed. Its
//! output, and nothing else, comes between two frames; everything before and after is log.

use crate::sim::{Event, Machine, SimError};
use crate::symbols::{Explainer, Symbols};
use crate::tree::Addition;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use xos_container::CONTAINERS;
use xos_image::console::Frame;

/// How long the machine may take to power off after the command, before it is simply stopped.
const FAREWELL: Duration = Duration::from_secs(5);

/// The container of a line that runs in one.
const CONTAINER: &str = "image";

/// What a line becomes that is to be run in the container of a bundle or image of the host's, in the place of its own
/// command if there is one: what is added to the file tree, and the monitor's command.
///
/// # Panics
/// Never.
#[must_use]
pub fn contained(host: &Path, line: &str) -> (Addition, String) {
    let guest = format!("{CONTAINERS}/{CONTAINER}");
    let addition = Addition {
        host: host.to_owned(),
        guest: guest.parse().expect("a path of the guest's"),
    };
    (addition, format!("container run --rm {CONTAINER} {line}"))
}

/// Runs a machine whose tree has a command in it. `silence` is how long nothing at all may be
/// printed; `output` gets what the command prints, `log` the rest. Gives the command's status.
pub fn capture(
    mut machine: Machine,
    symbols: &Symbols,
    silence: Duration,
    output: &mut dyn Write,
    log: &mut dyn Write,
) -> Result<i32, SimError> {
    machine.is_shown();
    let mut explainer = Explainer::new(symbols);
    let mut begun = false;
    let status = loop {
        let waiting_for = if begun {
            "the end of the command"
        } else {
            "the monitor to begin the command"
        };
        match machine.next(Some(silence), waiting_for)? {
            Event::Text(text) if begun => {
                output.write_all(&text)?;
                output.flush()?;
            }
            Event::Text(text) | Event::Log(text) => {
                log.write_all(&explainer.feed(&text))?;
                log.flush()?;
            }
            Event::Frame(line) => match Frame::parse(&line) {
                Some(Frame::ExecBegin) => begun = true,
                Some(Frame::ExecEnd(status)) if begun => break status,
                _ => {}
            },
            Event::Input(_) | Event::InputEnd | Event::Quit => {}
            Event::Off(how) => return Err(machine.stopped(how, waiting_for)),
        }
    };
    // The status is known: a guest that does not manage to power off changes nothing about it.
    while let Ok(event) = machine.next(Some(FAREWELL), "power-off") {
        match event {
            Event::Text(text) | Event::Log(text) => log.write_all(&explainer.feed(&text))?,
            Event::Off(_) => break,
            _ => {}
        }
    }
    Ok(status)
}

/// A program's status as this tool's own. What a host's exit status has no room for becomes 255.
#[must_use]
pub fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run(script: &str) -> (Result<i32, SimError>, String, String) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let machine = Machine::start(command).unwrap();
        let (mut output, mut log) = (Vec::new(), Vec::new());
        let symbols = Symbols::default();
        let status = capture(
            machine,
            &symbols,
            Duration::from_secs(1),
            &mut output,
            &mut log,
        );
        (
            status,
            String::from_utf8(output).unwrap(),
            String::from_utf8(log).unwrap(),
        )
    }

    #[test]
    fn the_output_is_the_commands_alone_and_so_is_the_status() {
        let (status, output, log) = run(concat!(
            r"printf 'boot\r\n\036xos:exec:begin\r\nhello\r\nworld';",
            r"printf '\036xos:exec:end 7\r\nbye\r\n'; exit 33"
        ));
        assert_eq!(status.unwrap(), 7);
        assert_eq!(output, "hello\nworld");
        assert_eq!(log, "boot\nbye\n");
    }

    #[test]
    fn a_line_for_the_log_is_no_output_even_in_the_middle_of_a_line() {
        let (status, output, log) = run(concat!(
            r"printf '\036xos:exec:begin\r\nhel\036xos:log factory: oops\r\nlo\r\n';",
            r"printf '\036xos:exec:end 0\r\n'; exit 33"
        ));
        assert_eq!(status.unwrap(), 0);
        assert_eq!((&*output, &*log), ("hello\n", "factory: oops\n"));
    }

    #[test]
    fn an_end_without_a_beginning_is_no_end() {
        let (status, ..) = run(r"printf '\036xos:exec:end 0\r\n'; exit 33");
        assert!(
            matches!(status, Err(SimError::Stopped { .. })),
            "{status:?}"
        );
    }

    #[test]
    fn a_command_that_hangs_is_an_error_that_keeps_its_output() {
        let (status, output, _) = run(r"printf '\036xos:exec:begin\r\nso far'; exec sleep 60");
        assert!(matches!(status, Err(SimError::Hang { .. })), "{status:?}");
        assert_eq!(output, "so far");
    }

    #[test]
    fn a_machine_that_stops_within_the_command_is_an_error_that_says_how() {
        let (status, ..) = run(r"printf '\036xos:exec:begin\r\noops\r\n'; exit 0");
        let error = status.unwrap_err().to_string();
        assert!(
            error.contains("triple fault") && error.contains("end of the command"),
            "{error}"
        );
    }

    #[test]
    fn a_status_that_is_no_exit_status_is_255() {
        for (status, code) in [(0, 0), (255, 255), (256, 255), (-1, 255)] {
            assert_eq!(exit_code(status), ExitCode::from(code));
        }
    }
}
