// SPDX-License-Identifier: BSD-2-Clause
//! Keys at the monitor's prompt, one by one: editing of lines, and Ctrl-C.

use super::{BUILDER, Permit, SILENCE, pack_system};
use anyhow::{Context, Result, anyhow, bail, ensure};
use libtest_mimic::{Failed, Trial};
use std::time::{Duration, Instant};
use xos_image::console::Frame;
use xtask::sim::qemu::Qemu;
use xtask::sim::{Event, Machine, PowerOff, SimError};

const CTRL_A: &str = "\x01";
const CTRL_C: &str = "\x03";
const CTRL_K: &str = "\x0b";
const BACKSPACE: &str = "\x7f";
const LEFT: &str = "\x1b[D";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const ENTER: &str = "\r";

/// How often Ctrl-C is pressed, and how often in all, while a program is to be ended by it. The first may
/// come before the program runs: then it is a key at the prompt, or one that the program could read.
const PRESSED_EVERY: Duration = Duration::from_millis(300);
const PRESSED: usize = 200;

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, run: fn() -> Result<()>| {
        Trial::test(name, move || {
            run().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    vec![
        trial(
            "typed::keys_edit_lines_and_ctrl_c_ends_the_line_or_the_program",
            keys,
        ),
        trial(
            "typed::the_monitor_that_is_brought_down_begins_anew_and_nothing_else_is_lost",
            monitor,
        ),
        trial(
            "typed::a_program_is_frozen_and_its_clones_go_on_with_its_memory",
            clones,
        ),
    ]
}

/// A machine with somebody at its keyboard.
struct Seat {
    machine: Machine,
    /// What was printed since the last key.
    printed: String,
    _permit: Permit,
}

impl Seat {
    /// Boots the system that users boot, up to its first prompt.
    fn take(name: &str) -> Result<Self> {
        let builder = BUILDER.as_ref().map_err(|error| anyhow!("{error}"))?;
        let image = pack_system(builder, name, &[], &[])?;
        let permit = Permit::take();
        let mut seat = Self {
            machine: image.boot(&Qemu::default())?,
            printed: String::new(),
            _permit: permit,
        };
        seat.until_prompt()?;
        Ok(seat)
    }

    /// Has the machine power off.
    fn leave(mut self) -> Result<()> {
        self.press(&["poweroff", ENTER])?;
        loop {
            match self.machine.next(Some(SILENCE), "power-off")? {
                Event::Off(PowerOff::Success) => return Ok(()),
                Event::Off(how) => bail!("the machine {how}"),
                _ => {}
            }
        }
    }

    fn press(&mut self, keys: &[&str]) -> Result<()> {
        self.printed.clear();
        Ok(self.machine.send(keys.concat().as_bytes())?)
    }

    /// Waits for what comes next: `true` if it is a prompt.
    fn next(&mut self, within: Duration) -> Result<bool, SimError> {
        match self.machine.next(Some(within), "a prompt")? {
            Event::Text(text) | Event::Log(text) => {
                self.printed += &String::from_utf8_lossy(&text);
                Ok(false)
            }
            Event::Frame(line) => Ok(Frame::parse(&line) == Some(Frame::Prompt)),
            Event::Off(how) => Err(self.machine.stopped(how, "a prompt")),
            Event::Input(_) | Event::InputEnd | Event::Quit => Ok(false),
        }
    }

    fn until_prompt(&mut self) -> Result<()> {
        while !self.next(SILENCE)? {}
        Ok(())
    }

    /// Whether this was printed since the last key.
    fn saw(&self, text: &str) -> Result<()> {
        ensure!(
            self.printed.contains(text),
            "{text:?} is not in {:?}",
            self.printed
        );
        Ok(())
    }
}

fn keys() -> Result<()> {
    let mut seat = Seat::take("keys")?;

    // Two letters in the wrong order are taken back, one that is missing is put in its place.
    let typed = "run process helol";
    seat.press(&[typed, BACKSPACE, BACKSPACE, "lo typd", LEFT, "e", ENTER])?;
    seat.until_prompt()?;
    seat.saw("\nhello typed\n")?;

    // The line again, made into another one, which is given up: down to the line that was empty, and up once more.
    seat.press(&[UP, CTRL_A, CTRL_K, "help", DOWN, UP])?;
    seat.press(&[LEFT, LEFT, LEFT, LEFT, LEFT])?;
    seat.press(&[CTRL_K, "edited", ENTER])?;
    seat.until_prompt()?;
    seat.saw("\nhello edited\n")?;

    // A line that is given up is not run.
    seat.press(&["run process hello given up", CTRL_C])?;
    seat.until_prompt()?;
    seat.saw("^C")?;
    ensure!(!seat.printed.contains("\nhello"), "{}", seat.printed);

    // A program that would run for ever.
    seat.press(&["run process crash spin", ENTER])?;
    ended_by_ctrl_c(&mut seat)?;
    seat.saw("killed")?;

    // The monitor goes on.
    seat.press(&[ENTER])?;
    seat.until_prompt()?;
    seat.press(&["run process hello alive", ENTER])?;
    seat.until_prompt()?;
    seat.saw("\nhello alive\n")?;
    seat.leave()
}

fn monitor() -> Result<()> {
    let mut seat = Seat::take("monitor")?;
    seat.press(&["run process crash spin &", ENTER])?;
    seat.until_prompt()?;
    // The number of the monitor itself: the first column of its line, the third of which is its name. It is the owner
    // of others, too.
    seat.press(&["list", ENTER])?;
    seat.until_prompt()?;
    let line = |seat: &Seat, name: &str| {
        let named = |line: &&str| line.split_whitespace().nth(2) == Some(name);
        let words = seat.printed.lines().rfind(named);
        let first = words.and_then(|line| line.split_whitespace().next());
        first.map(str::to_owned)
    };
    ensure!(
        line(&seat, "spin").is_none() && line(&seat, "crash").is_some(),
        "{}",
        seat.printed
    );
    let Some(number) = line(&seat, "monitor") else {
        bail!("no monitor is in the list: {}", seat.printed);
    };
    let kill = format!("kill {number}");
    seat.press(&[&kill, ENTER])?;
    seat.until_prompt()?;
    seat.saw("crash: monitor: ")?;
    seat.saw("supervisor: monitor starts again")?;

    // What it paid for went with it, and it serves again.
    seat.press(&["list", ENTER])?;
    seat.until_prompt()?;
    ensure!(line(&seat, "crash").is_none(), "{}", seat.printed);
    ensure!(line(&seat, "monitor") != Some(number), "{}", seat.printed);
    seat.press(&["run process hello again", ENTER])?;
    seat.until_prompt()?;
    seat.saw("\nhello again\n")?;
    seat.leave()
}

fn clones() -> Result<()> {
    let mut seat = Seat::take("clones")?;
    seat.press(&["run process hello --stand --exit 3 once &", ENTER])?;
    seat.until_prompt()?;
    let (_, number) = seat
        .printed
        .rsplit_once("is isolation context ")
        .with_context(|| seat.printed.clone())?;
    let number = number.trim().to_owned();
    // It stands a moment later. Before that it is refused, and goes on.
    seat.press(&["sleep 500; snapshot ", &number, ENTER])?;
    seat.until_prompt()?;
    ensure!(!seat.printed.contains("cannot"), "{}", seat.printed);
    let clone = format!("clone {number}");
    for _ in 0..2 {
        seat.press(&[&clone, ENTER])?;
        seat.until_prompt()?;
        seat.saw("\nhello once\nhello ended with code 3\n")?;
    }
    let end = format!("kill {number}; sleep 100; {clone}");
    seat.press(&[&end, ENTER])?;
    seat.until_prompt()?;
    seat.saw("cannot clone it: the object is gone")?;
    seat.leave()
}

/// Presses Ctrl-C until there is a prompt.
fn ended_by_ctrl_c(seat: &mut Seat) -> Result<()> {
    for _ in 0..PRESSED {
        let press = Instant::now() + PRESSED_EVERY;
        loop {
            let left = press.saturating_duration_since(Instant::now());
            match seat.next(left) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(SimError::Hang { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        // What was printed so far is not forgotten.
        seat.machine.send(CTRL_C.as_bytes())?;
    }
    bail!("the program does not end: {:?}", seat.printed)
}
