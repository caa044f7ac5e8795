// SPDX-License-Identifier: BSD-2-Clause
//! Commands to what happens.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xos_container_line::{Outcome, Session};
use xos_image::console::Frame;
use xos_protocol::console::NO_INPUT;
use xos_protocol::manager::{Edge, EdgeKind, Free, IcInfo, ServiceInfo, ServiceKind};
use xos_protocol::{Error, ExitStatus, IcId};
use xos_view::table::{Align, Table, thousands};
use xos_view::{graph, relate, report};

use crate::command::{Command, CommandError, HELP, commands};
use crate::editor::{Editor, Event};
use crate::{Start, System, demo};

/// What stands before each line.
const PROMPT: &str = "xos> ";
/// The console may die and be restarted; after so many failures in a row it is not coming back.
const PATIENCE: u32 = 1000;
/// Pauses without a new service after which the system has begun.
const QUIET: u32 = 4;
/// Pauses after which nobody is waited for any longer.
const MOST_PAUSES: u32 = 200;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("there is no isolation context {0}; `list` shows those that are alive")]
    NoIc(u64),
    #[error("isolation context {0} is no program that was started here, in the background")]
    NoJob(u64),
    #[error("cannot run {image} by `{factory}`: {error}", image = start.image, factory = start.factory)]
    Start { start: Start, error: Error },
    #[error("cannot {what}: {error}")]
    System { what: &'static str, error: Error },
}

impl Failure {
    /// What a shell's exit status would be.
    fn status(&self) -> i32 {
        match self {
            Self::Command(_) => 2,
            _ => 1,
        }
    }

    fn of(what: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| Self::System { what, error }
    }
}

/// The factory of what reads the console without being asked to: a virtual machine has a serial port, whether
/// or not there is somebody who reads from it.
const MACHINES: &str = "vm";

/// A program in the background.
struct Background<J> {
    number: u32,
    id: IcId,
    image: String,
    job: J,
}

/// The command line of a system.
pub struct Shell<S: System> {
    system: S,
    containers: Session<S>,
    background: Vec<Background<S::Job>>,
    last_number: u32,
    /// What was started last in the background.
    last_started: IcId,
}

/// A status as an exit code: a program's own, or 128 and something for those that did not end by themselves.
fn exit_code(status: ExitStatus) -> i32 {
    match status {
        ExitStatus::Code(code) => code,
        other => other.shell_code().into(),
    }
}

impl<S: System> Shell<S> {
    /// A shell of `system`.
    pub fn new(system: S) -> Self {
        Self {
            system,
            containers: Session::default(),
            background: Vec::new(),
            last_number: 0,
            last_started: IcId::NONE,
        }
    }

    /// The monitor's whole life: the command that the file tree asks for, or demonstration and prompt.
    /// Returns when there is no more input, or the machine does not power off.
    pub fn boot(&mut self, files: &[u8]) {
        self.settle();
        if let Some(line) = crate::exec_line(files) {
            self.exec(line);
            return;
        }
        self.system.print(demo::BANNER);
        self.demo();
        if let Some(line) = crate::login_line(files) {
            self.system.print(demo::SHELL);
            // The system has begun, whether or not the shell shows a prompt of its own.
            self.system.print(&Frame::Prompt.to_string());
            if let Some(message) = self.line(line).message {
                self.system.print(&format!("{message}\n"));
            }
        }
        self.system.print(demo::FAREWELL);
        self.interact();
    }

    /// Waits until the system has begun. The boot domains begin at the same time as this one, and nobody
    /// says when all have: so when there are services, and no more come.
    fn settle(&mut self) {
        let (mut known, mut quiet) = (0, 0);
        for _ in 0..MOST_PAUSES {
            self.system.pause();
            let count = self.system.services().map_or(0, |all| all.len());
            quiet = if count == known { quiet + 1 } else { 0 };
            known = count;
            if known > 0 && quiet >= QUIET {
                return;
            }
        }
    }

    /// Runs one line between frames that tell the host tool where its output begins and ends, then
    /// powers off. What is said *about* the command comes after the frame: it is not its output.
    pub fn exec(&mut self, line: &str) {
        self.system.print(&Frame::ExecBegin.to_string());
        let outcome = self.line(line);
        self.system
            .print(&Frame::ExecEnd(outcome.status).to_string());
        if let Some(message) = outcome.message {
            self.system.print(&format!("{message}\n"));
        }
        self.report_power_off(true);
    }

    /// Prompt after prompt, until there is no more input.
    pub fn interact(&mut self) {
        let mut editor = Editor::new(PROMPT);
        // What came with one read and has not been looked at.
        let mut typed = VecDeque::new();
        loop {
            self.report_ends();
            self.system
                .print(&format!("{}{}", Frame::Prompt, editor.prompt()));
            match self.next_event(&mut editor, &mut typed) {
                None => return,
                Some(Event::Interrupt) => {}
                Some(Event::End) => self.system.print(demo::FAREWELL),
                Some(Event::Line(line)) => {
                    if let Some(message) = self.line(&line).message {
                        self.system.print(&format!("{message}\n"));
                    }
                }
            }
        }
    }

    fn next_event(&mut self, editor: &mut Editor, typed: &mut VecDeque<u8>) -> Option<Event> {
        let mut screen = String::new();
        let mut failures = 0;
        loop {
            while let Some(byte) = typed.pop_front() {
                if let Some(event) = editor.feed(byte, &mut screen) {
                    self.system.print(&screen);
                    return Some(event);
                }
            }
            if !screen.is_empty() {
                self.system.print(&screen);
                screen.clear();
            }
            let mut buffer = [0; 256];
            match self.system.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => {
                    failures = 0;
                    typed.extend(&buffer[..count.min(buffer.len())]);
                }
                Err(_) if failures < PATIENCE => failures += 1,
                Err(_) => return None,
            }
        }
    }

    /// Runs a line: its commands one after the other, up to the first that fails.
    pub fn line(&mut self, line: &str) -> Outcome {
        let mut all = commands(line).peekable();
        loop {
            let outcome = self.one(all.next().unwrap_or_default());
            if outcome.status != 0 || all.peek().is_none() {
                return outcome;
            }
            if let Some(message) = outcome.message {
                self.system.print(&format!("{message}\n"));
            }
        }
    }

    fn one(&mut self, line: &str) -> Outcome {
        let command = match Command::parse(line) {
            Err(CommandError::Unknown(_)) if self.system.has_linux() => Command::linux(line),
            command => command,
        };
        let outcome = command
            .map_err(Failure::from)
            .and_then(|command| self.command(command));
        outcome.unwrap_or_else(|failure| Outcome {
            status: failure.status(),
            message: Some(failure.to_string()),
        })
    }

    fn command(&mut self, command: Command) -> Result<Outcome, Failure> {
        let text = match command {
            Command::Nothing => String::new(),
            Command::Help => help(),
            Command::List => report::list(&self.ics()?),
            Command::Stat(number) => self.stat(number)?,
            Command::Run { start, background } => return self.run(start, background),
            Command::Kill(number) => {
                let id = find(&self.ics()?, number)?.id;
                self.system.destroy(id).map_err(Failure::of("end it"))?;
                String::new()
            }
            Command::Snapshot(number) => {
                let job = self.job(number)?;
                self.system
                    .snapshot(&self.background[job].job)
                    .map_err(Failure::of("freeze it where it is"))?;
                String::new()
            }
            Command::Clone { of, background } => {
                let job = self.job(of)?;
                let one = &self.background[job];
                let (id, clone) = self
                    .system
                    .start_clone(&one.job)
                    .map_err(Failure::of("clone it"))?;
                let image = one.image.clone();
                return self.follow(image, id, clone, background);
            }
            Command::Graph(Some((one, other))) => {
                let ics = self.ics()?;
                let (one, other) = (find(&ics, one)?.id, find(&ics, other)?.id);
                relate::describe(&ics, &self.edges()?, one, other)
            }
            Command::Revoke(one, other) => self.revoke(one, other)?,
            Command::Factory(start) => return self.factory(start),
            Command::Graph(None) => {
                let services = self
                    .system
                    .services()
                    .map_err(Failure::of("list services"))?;
                let edges = self.edges()?;
                graph::dot(&self.ics()?, &services, &edges)
            }
            Command::Factories => self.factories()?,
            Command::Free => {
                report::free(&self.system.free().map_err(Failure::of("count memory"))?)
            }
            Command::Container(command) => {
                return Ok(self.containers.act(&mut self.system, command));
            }
            Command::Demo => {
                self.demo();
                String::new()
            }
            Command::Sleep(milliseconds) => {
                self.sleep(milliseconds);
                String::new()
            }
            Command::PowerOff { success } => {
                self.report_power_off(success);
                String::new()
            }
        };
        if !text.is_empty() {
            self.system.print(&text);
        }
        Ok(Outcome {
            status: 0,
            message: None,
        })
    }

    fn ics(&mut self) -> Result<Vec<IcInfo>, Failure> {
        self.system
            .ics()
            .map_err(Failure::of("list the isolation contexts"))
    }

    fn edges(&mut self) -> Result<Vec<Edge>, Failure> {
        self.system
            .edges()
            .map_err(Failure::of("list who has to do with whom"))
    }

    fn run(&mut self, mut start: Start, background: bool) -> Result<Outcome, Failure> {
        if background && start.factory == MACHINES {
            start.environment.push(NO_INPUT.into());
        }
        let (id, job) = match self.system.start(&start) {
            Ok(started) => started,
            Err(error) => return Err(Failure::Start { start, error }),
        };
        self.follow(start.image, id, job, background)
    }

    /// Which of the programs in the background an isolation context is.
    fn job(&self, number: u64) -> Result<usize, Failure> {
        let mut all = self.background.iter();
        all.position(|one| one.id.serial() == number)
            .ok_or(Failure::NoJob(number))
    }

    /// Waits for what was started, or remembers it.
    fn follow(
        &mut self,
        image: String,
        id: IcId,
        job: S::Job,
        background: bool,
    ) -> Result<Outcome, Failure> {
        if background {
            self.last_number += 1;
            let number = self.last_number;
            self.system
                .print(&format!("[{number}] {image} is isolation context {id}\n"));
            self.last_started = id;
            self.background.push(Background {
                number,
                id,
                image,
                job,
            });
            return Ok(Outcome {
                status: 0,
                message: None,
            });
        }
        let status = self
            .system
            .finish(job)
            .map_err(Failure::of("learn how it ended"))?;
        let message = (status != ExitStatus::Code(0)).then(|| format!("{image} {status}"));
        Ok(Outcome {
            status: exit_code(status),
            message,
        })
    }

    /// Starts a factory, and waits until it has registered, so that the next line can use it.
    fn factory(&mut self, start: Start) -> Result<Outcome, Failure> {
        let outcome = self.run(start, true)?;
        let server = self.last_started;
        for _ in 0..MOST_PAUSES {
            let services = self.system.services().unwrap_or_default();
            if let Some(service) = services.iter().find(|service| service.server == server) {
                let line = format!("factory `{}` is there\n", service.name);
                self.system.print(&line);
                return Ok(outcome);
            }
            if let Some(last) = self.background.last_mut()
                && self.system.ended(&mut last.job)
            {
                break;
            }
            self.system.pause();
        }
        Ok(Outcome {
            status: 1,
            message: Some(String::from("it has registered no factory")),
        })
    }

    /// Waits by the clock; without one, so many pauses.
    fn sleep(&mut self, milliseconds: u64) {
        let begin = self.system.now();
        for _ in 0..milliseconds {
            self.system.pause();
            if let (Some(begin), Some(now)) = (begin, self.system.now())
                && now.saturating_sub(begin) / 1_000_000 >= milliseconds
            {
                return;
            }
        }
    }

    /// Ends all sessions, connections and shares between two ICs.
    fn revoke(&mut self, one: u64, other: u64) -> Result<String, Failure> {
        let ics = self.ics()?;
        let (one, other) = (find(&ics, one)?.id, find(&ics, other)?.id);
        let mut count = 0;
        for edge in self.edges()? {
            let between = [(one, other), (other, one)].contains(&(edge.from, edge.to));
            let ended = match edge.kind {
                _ if !between || edge.from == edge.to => continue,
                EdgeKind::Session(link) | EdgeKind::Connection(link) => self.system.close(link),
                EdgeKind::Share(region, _) => self.system.unshare(region, edge.to),
                _ => continue,
            };
            match ended {
                Ok(()) => count += 1,
                // Somebody was faster.
                Err(Error::Gone | Error::NotFound) => {}
                Err(error) => return Err(Failure::of("revoke it")(error)),
            }
        }
        Ok(format!("{count} ended\n"))
    }

    /// Says which programs in the background have ended.
    fn report_ends(&mut self) {
        let mut running = Vec::new();
        for mut one in core::mem::take(&mut self.background) {
            if !self.system.ended(&mut one.job) {
                running.push(one);
                continue;
            }
            let end = match self.system.finish(one.job) {
                Ok(status) => status.to_string(),
                Err(error) => format!("ended; how is unknown: {error}"),
            };
            self.system
                .print(&format!("[{}] {} {end}\n", one.number, one.image));
        }
        self.background = running;
    }

    fn report_power_off(&mut self, success: bool) {
        if let Err(error) = self.system.power_off(success) {
            self.system.print(&format!("cannot power off: {error}\n"));
        }
    }

    fn factories(&mut self) -> Result<String, Failure> {
        let services = self
            .system
            .services()
            .map_err(Failure::of("list services"))?;
        Ok(report::factories(&services, |name| {
            self.system.contract(name)
        }))
    }

    fn stat(&mut self, number: u64) -> Result<String, Failure> {
        let ics = self.ics()?;
        let edges = self.edges()?;
        let ic = find(&ics, number)?;
        // Its kind is the name of the factory that made it, if one did.
        let services = self
            .system
            .services()
            .map_err(Failure::of("list services"))?;
        let factory = |s: &&ServiceInfo| s.kind == ServiceKind::Factory && s.name == ic.kind;
        let factory = services.iter().find(factory);
        let contract = factory.and_then(|f| self.system.contract(f.name.as_str()).ok());
        Ok(report::context(&ics, &edges, ic, contract.as_ref()))
    }

    /// Shows the demonstration.
    pub fn demo(&mut self) {
        let begin = self.system.now();
        let before = self.system.free();
        for (say, line) in demo::STEPS {
            let possible = match *line {
                demo::CONTAINER => self.system.has_container("busybox"),
                demo::MACHINE => self.system.has_virtual_processors(),
                _ => true,
            };
            if !possible {
                continue;
            }
            self.system.print(&format!("\n{say}\n{PROMPT}{line}\n"));
            if let Some(message) = self.line(line).message {
                self.system.print(&format!("{message}\n"));
            }
        }
        if let (Ok(before), Ok(after)) = (before, self.system.free()) {
            self.system
                .print(&format!("\n{}", compare(&before, &after)));
        }
        if let (Some(begin), Some(end)) = (begin, self.system.now()) {
            let milliseconds = end.saturating_sub(begin) / 1_000_000;
            self.system
                .print(&format!("All that took {milliseconds} ms.\n"));
        }
    }
}

fn find(ics: &[IcInfo], number: u64) -> Result<&IcInfo, Failure> {
    ics.iter()
        .find(|ic| ic.id.serial() == number)
        .ok_or(Failure::NoIc(number))
}

fn help() -> String {
    let width = HELP
        .iter()
        .map(|(words, _)| words.len())
        .filter(|len| *len < 20)
        .max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for (words, what) in HELP {
        // The one long command has its explanation on the next line.
        if words.len() > width {
            text += &format!("{words}\n");
            text += &format!("{:width$}  {what}\n", "");
        } else {
            text += &format!("{words:width$}  {what}\n");
        }
    }
    text
}

/// What is free before and after.
fn compare(before: &Free, after: &Free) -> String {
    let mut table = Table::new([
        ("", Align::Left),
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
    ]);
    for (title, before, after) in [
        ("free memory, bytes", before.bytes, after.bytes),
        ("free slots", before.slots, after.slots),
        ("isolation contexts", before.ics, after.ics),
        ("sessions", before.sessions, after.sessions),
    ] {
        table.row([title.to_string(), thousands(before), thousands(after)]);
    }
    let mut text = table.to_string();
    if after.bytes < before.bytes {
        text += "What is less is kept for the next time: images that were loaded, open sessions.\n";
    }
    text
}

#[cfg(test)]
mod tests;
