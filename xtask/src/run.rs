// SPDX-License-Identifier: BSD-2-Clause
//! `run`: a machine on the user's terminal, or fed with the lines of standard input.

use crate::sim::{Event, Machine, PowerOff, Signal, SimError};
use crate::symbols::{Explainer, Symbols};
use crate::tty::{EscapeKey, RawTerminal};
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;
use xos_image::console::Frame;

/// What ends a line that is typed, here as on a keyboard.
const ENTER: u8 = b'\r';
/// What is typed when there are no more lines.
const FAREWELL: &[u8] = b"poweroff";

/// Feeds lines to a guest, each when the guest has shown its prompt, and powers it off after the
/// last one.
#[derive(Debug, Default)]
pub struct Feeder {
    lines: VecDeque<Vec<u8>>,
    /// The guest waits for a line.
    prompted: bool,
    /// No line will be added.
    ended: bool,
    /// The farewell has been sent.
    done: bool,
}

impl Feeder {
    /// The guest shows its prompt.
    pub fn prompt(&mut self) {
        self.prompted = true;
    }

    /// A line of input, without or with its end.
    pub fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.lines
            .push_back(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
    }

    /// There are no more lines.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// What is to be typed now, at most one line for each prompt.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if !self.prompted || self.done {
            return None;
        }
        let mut line = match self.lines.pop_front() {
            Some(line) => line,
            None if self.ended => {
                self.done = true;
                FAREWELL.to_vec()
            }
            None => return None,
        };
        self.prompted = false;
        line.push(ENTER);
        Some(line)
    }

    /// What the machine is expected to do next.
    fn waiting_for(&self) -> &'static str {
        match (self.done, self.prompted) {
            (true, _) => "power-off",
            (false, true) => "a line on standard input",
            (false, false) => "the monitor's prompt",
        }
    }
}

/// Finds a text in a stream that comes in pieces.
#[derive(Debug)]
pub struct Finder {
    wanted: Vec<u8>,
    tail: Vec<u8>,
}

impl Finder {
    /// Looks for `wanted`.
    #[must_use]
    pub fn new(wanted: &str) -> Self {
        Self {
            wanted: wanted.as_bytes().to_vec(),
            tail: Vec::new(),
        }
    }

    /// Takes the next piece; true if the text ends in it.
    pub fn feed(&mut self, text: &[u8]) -> bool {
        self.tail.extend(text);
        let found = self.wanted.is_empty()
            || self
                .tail
                .windows(self.wanted.len())
                .any(|window| window == self.wanted);
        let excess = self.tail.len().saturating_sub(self.wanted.len());
        self.tail.drain(..excess);
        found
    }
}

/// How a machine without a person at it is run.
#[derive(Clone, Debug)]
pub struct Unattended {
    /// How long nothing at all may be printed.
    pub silence: Duration,
    /// Stop as soon as this text was printed; the run is then a success.
    pub expect: Option<String>,
    /// Whether the guest has a prompt to feed lines to.
    pub feed: bool,
}

/// Runs a machine without a terminal: feeds it `input`, copies what it prints to `output`.
pub fn unattended(
    mut machine: Machine,
    symbols: &Symbols,
    options: &Unattended,
    input: impl BufRead + Send + 'static,
    output: &mut dyn Write,
) -> Result<PowerOff, SimError> {
    machine.is_shown();
    let mut explainer = Explainer::new(symbols);
    let mut feeder = Feeder::default();
    let mut finder = options.expect.as_deref().map(Finder::new);
    if options.feed {
        send_lines(input, &machine);
    }
    loop {
        let waiting_for = match (&options.expect, options.feed) {
            (Some(text), _) => format!("the text `{text}`"),
            (None, true) => feeder.waiting_for().to_owned(),
            (None, false) => "power-off".to_owned(),
        };
        // A guest at its prompt may wait for as long as nobody writes to standard input.
        let within = (waiting_for != "a line on standard input").then_some(options.silence);
        match machine.next(within, &waiting_for)? {
            Event::Text(text) | Event::Log(text) => {
                output.write_all(&explainer.feed(&text))?;
                output.flush()?;
                if finder.as_mut().is_some_and(|finder| finder.feed(&text)) {
                    return Ok(PowerOff::Success);
                }
            }
            Event::Frame(line) => {
                if Frame::parse(&line) == Some(Frame::Prompt) {
                    feeder.prompt();
                }
            }
            Event::Input(line) => feeder.line(&line),
            Event::InputEnd => feeder.end(),
            Event::Quit => {}
            Event::Off(_) if options.expect.is_some() => {
                return Err(machine.stopped(PowerOff::Success, &waiting_for));
            }
            Event::Off(how) => return Ok(how),
        }
        if let Some(line) = feeder.take() {
            machine.send(&line)?;
        }
    }
}

/// Reads lines in a thread of their own: whoever writes them may wait for the guest's answers.
fn send_lines(mut input: impl BufRead + Send + 'static, machine: &Machine) {
    let sender = machine.sender();
    std::thread::spawn(move || {
        loop {
            let mut line = Vec::new();
            let signal = match input.read_until(b'\n', &mut line) {
                Ok(1..) => Signal::Input(line),
                Ok(0) | Err(_) => Signal::InputEnd,
            };
            let end = matches!(signal, Signal::InputEnd);
            if sender.send(signal).is_err() || end {
                return;
            }
        }
    });
}

/// Runs a machine on the user's terminal until it powers off or the user leaves with Ctrl-A x.
/// `None` if the user left. With `boot`, it is an error if nothing is printed for that long before
/// the first prompt; after it, the guest may wait for the user for ever.
pub fn interactive(
    mut machine: Machine,
    symbols: &Symbols,
    boot: Option<Duration>,
) -> Result<Option<PowerOff>, SimError> {
    let _raw = RawTerminal::enter().map_err(io::Error::from)?;
    machine.is_shown();
    let sender = machine.sender();
    std::thread::spawn(move || {
        let mut escape = EscapeKey::default();
        let mut buffer = [0; 256];
        loop {
            // When the terminal is gone, nobody can quit any more.
            let Ok(length @ 1..) = io::stdin().lock().read(&mut buffer) else {
                let _ = sender.send(Signal::Quit);
                return;
            };
            let typed = escape.feed(&buffer[..length]);
            let signal = if typed.quit {
                Signal::Quit
            } else {
                Signal::Input(typed.bytes)
            };
            if sender.send(signal).is_err() {
                return;
            }
        }
    });
    let mut explainer = Explainer::new(symbols);
    let mut stdout = io::stdout();
    let mut within = boot;
    loop {
        match machine.next(within, "the monitor's first prompt")? {
            Event::Text(text) | Event::Log(text) => {
                stdout.write_all(&explainer.feed(&text))?;
                stdout.flush()?;
            }
            Event::Input(bytes) => machine.send(&bytes)?,
            Event::Frame(line) => {
                if Frame::parse(&line) == Some(Frame::Prompt) {
                    within = None;
                }
            }
            Event::InputEnd => {}
            Event::Quit => return Ok(None),
            Event::Off(how) => return Ok(Some(how)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn run(script: &str, input: &'static str) -> (Result<PowerOff, SimError>, String) {
        run_with(script, input, None)
    }

    fn run_with(
        script: &str,
        input: &'static str,
        expect: Option<&str>,
    ) -> (Result<PowerOff, SimError>, String) {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        let machine = Machine::start(command).unwrap();
        let options = Unattended {
            silence: Duration::from_secs(1),
            expect: expect.map(str::to_owned),
            feed: expect.is_none(),
        };
        let mut output = Vec::new();
        let symbols = Symbols::default();
        let how = unattended(
            machine,
            &symbols,
            &options,
            io::Cursor::new(input),
            &mut output,
        );
        (how, String::from_utf8(output).unwrap())
    }

    /// A monitor that repeats what it reads, and powers off when asked to.
    const MONITOR: &str = r#"
        prompt() { printf '\036xos:prompt\r\n> '; }
        prompt
        while IFS= read -r -d $'\r' line; do
            [ "$line" = poweroff ] && exit 33
            printf 'got %s\n' "$line"
            prompt
        done"#;

    #[test]
    fn lines_are_fed_one_for_each_prompt_and_then_the_machine_is_powered_off() {
        let (how, output) = run(MONITOR, "list\nstat 1\r\nlast without end");
        assert_eq!(how.unwrap(), PowerOff::Success);
        assert_eq!(
            output,
            "> got list\n> got stat 1\n> got last without end\n> "
        );
    }

    #[test]
    fn without_any_line_the_machine_is_powered_off_at_the_first_prompt() {
        let (how, output) = run(MONITOR, "");
        assert_eq!((how.unwrap(), output.as_str()), (PowerOff::Success, "> "));
    }

    #[test]
    fn a_failure_of_the_guest_is_told_from_success() {
        let (how, _) = run(r"printf 'no\n'; exit 35", "");
        assert_eq!(how.unwrap(), PowerOff::Failure);
    }

    #[test]
    fn a_guest_without_a_prompt_is_an_error_that_says_so() {
        let (how, _) = run(r"printf 'boot\n'; exec sleep 60", "list\n");
        let error = how.unwrap_err().to_string();
        assert!(
            error.contains("the monitor's prompt") && error.contains("boot"),
            "{error}"
        );
    }

    #[test]
    fn an_expected_text_ends_the_run_with_success() {
        let (how, output) = run_with(
            r"printf 'TEST_'; printf 'PASS\n'; exec sleep 60",
            "",
            Some("TEST_PASS"),
        );
        assert_eq!(how.unwrap(), PowerOff::Success);
        assert!(output.starts_with("TEST_PASS"), "{output}");
    }

    #[test]
    fn a_machine_that_stops_without_the_expected_text_has_failed() {
        let (how, _) = run_with(r"printf 'other\n'; exit 33", "", Some("TEST_PASS"));
        assert!(matches!(how, Err(SimError::Stopped { .. })), "{how:?}");
    }

    proptest! {
        #[test]
        fn a_text_is_found_wherever_it_is_cut(
            before in "[ab]{0,20}", wanted in "[ab]{1,4}c", after in "[ab]{0,20}", cut in 1..6usize,
        ) {
            let text = format!("{before}{wanted}{after}");
            let mut finder = Finder::new(&wanted);
            let found = text.as_bytes().chunks(cut).filter(|piece| finder.feed(piece)).count();
            prop_assert!(found >= 1);
            let mut finder = Finder::new(&wanted);
            let text = format!("{before}{after}");
            prop_assert!(!text.as_bytes().chunks(cut).any(|piece| finder.feed(piece)));
        }

        #[test]
        fn every_line_is_fed_once_in_order_and_never_without_a_prompt(
            events in proptest::collection::vec(0..3u8, 0..60),
        ) {
            let mut feeder = Feeder::default();
            let (mut given, mut fed, mut prompts) = (0, 0, 0);
            for event in events {
                match event {
                    0 => { feeder.line(format!("{given}\n").as_bytes()); given += 1; }
                    1 => { feeder.prompt(); prompts += 1; }
                    _ => if let Some(line) = feeder.take() {
                        prop_assert_eq!(line, format!("{fed}\r").into_bytes());
                        fed += 1;
                        prop_assert!(fed <= prompts && fed <= given);
                    }
                }
            }
        }

        #[test]
        fn the_farewell_comes_last_and_once(lines in 0..5usize) {
            let mut feeder = Feeder::default();
            (0..lines).for_each(|_| feeder.line(b"x\n"));
            feeder.end();
            let mut typed = Vec::new();
            for _ in 0..10 {
                feeder.prompt();
                typed.extend(feeder.take());
            }
            prop_assert_eq!(typed.len(), lines + 1);
            prop_assert_eq!(typed.last().unwrap(), b"poweroff\r");
        }
    }
}
