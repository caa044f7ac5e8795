// SPDX-License-Identifier: BSD-2-Clause
//! Containers: those that were started here, and what is done with them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xos_protocol::container::Stream;
use xos_view::table::{Align, Table, pages};

use crate::command::{Command, FACTORY, Run, SIGKILL};
use crate::{Containers, Input, Piece};

/// The signal of the interrupt character.
const SIGINT: u8 = 2;
/// Bytes of what a table counts memory in.
const PAGE: u64 = 4096;

/// What a command came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The program's exit status, or the command's.
    pub status: i32,
    /// What a person should be told about it, beside the output.
    pub message: Option<String>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure<E> {
    #[error("cannot run {image} by `{FACTORY}`: {error}")]
    Start { image: String, error: E },
    #[error("there is no container `{0}`; `container list` shows those that there are")]
    NoContainer(String),
    #[error("the name `{0}` is taken; give it another with --name")]
    NameTaken(String),
    #[error("the container `{0}` runs; stop it first, or use -f")]
    Runs(String),
    #[error("cannot {what}: {error}")]
    System { what: &'static str, error: E },
}

impl<E> Failure<E> {
    /// What a shell's exit status would be.
    const fn status(&self) -> i32 {
        match self {
            // As docker has it for what it cannot start.
            Self::Start { .. } => 125,
            _ => 1,
        }
    }

    fn of(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System { what, error }
    }
}

type Result<T, S> = core::result::Result<T, Failure<<S as Containers>::Error>>;

/// A container that was started, until it is removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known<C> {
    /// What it is called.
    pub name: String,
    /// What it was made of.
    pub image: String,
    /// The command that took the place of its own; empty: none.
    pub command: String,
    /// The number of its isolation context.
    pub number: u64,
    /// How the system knows it.
    pub container: C,
}

/// The containers that were started from here, and what is done with them.
#[derive(Debug)]
pub struct Session<S: Containers> {
    containers: Vec<Known<S::Container>>,
    /// Names that were made up.
    count: u32,
}

/// Where a container is in its life, by its state. (The state is ours: JSON with no more blanks than needed.)
fn status(state: &str) -> &str {
    let rest = state
        .split_once(r#""status":""#)
        .map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or(rest)
}

impl<S: Containers> Default for Session<S> {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl<S: Containers> Session<S> {
    /// With these, which are there already.
    pub const fn of(containers: Vec<Known<S::Container>>) -> Self {
        Self {
            containers,
            count: 0,
        }
    }

    /// Does what a command asks. What it prints is shown; what is said about it is the outcome's.
    pub fn act(&mut self, system: &mut S, command: Command) -> Outcome {
        self.try_to(system, command)
            .unwrap_or_else(|failure| Outcome {
                status: failure.status(),
                message: Some(failure.to_string()),
            })
    }

    fn try_to(&mut self, system: &mut S, command: Command) -> Result<Outcome, S> {
        let text = match command {
            Command::Run(run) => return self.run(system, run),
            Command::Exec {
                name,
                arguments,
                environment,
                cwd,
                input,
            } => {
                let container = self.known(&name)?;
                let number = system
                    .exec_in(container, &arguments, &environment, &cwd, input)
                    .map_err(Failure::of("run a program in it"))?;
                follow(system, container, number, input);
                let status = system
                    .wait_for_exec(container, number)
                    .map_err(Failure::of("learn how it ended"))?;
                return Ok(Outcome {
                    status: status.into(),
                    message: None,
                });
            }
            Command::List => self.list(system),
            Command::Stats => self.stats(system)?,
            Command::Logs(name) => {
                let container = self.known(&name)?;
                print_log(system, container);
                String::new()
            }
            Command::Inspect(name) => {
                let container = self.known(&name)?;
                let state = system.container_state(container);
                state.map_err(Failure::of("learn its state"))? + "\n"
            }
            Command::Wait(name) => {
                let container = self.known(&name)?;
                let status = system.wait_for_container(container);
                format!("{}\n", status.map_err(Failure::of("wait for it"))?)
            }
            Command::Kill { names, signal } => {
                for name in &names {
                    let container = self.known(name)?;
                    system
                        .signal_container(container, signal)
                        .map_err(Failure::of("send it a signal"))?;
                }
                lines(&names)
            }
            Command::Remove { names, force } => {
                for name in &names {
                    let container = self.known(name)?;
                    if !force && runs(system, container) {
                        return Err(Failure::Runs(name.clone()));
                    }
                    self.forget(system, container, name)?;
                }
                lines(&names)
            }
        };
        system.show(Stream::Output, text.as_bytes());
        Ok(Outcome::default())
    }

    /// A container by its name, or the number of its IC.
    fn known(&self, name: &str) -> Result<S::Container, S> {
        let is_it = |known: &&Known<S::Container>| is_called(known, name);
        let known = self.containers.iter().find(is_it);
        known
            .map(|known| known.container)
            .ok_or_else(|| Failure::NoContainer(name.to_string()))
    }

    fn forget(&mut self, system: &mut S, container: S::Container, name: &str) -> Result<(), S> {
        system
            .remove_container(container)
            .map_err(Failure::of("remove it"))?;
        self.containers.retain(|known| !is_called(known, name));
        Ok(())
    }

    fn run(&mut self, system: &mut S, run: Run) -> Result<Outcome, S> {
        let is_taken = |name: &str| self.containers.iter().any(|known| known.name == name);
        let name = match &run.name {
            Some(name) if is_taken(name) => return Err(Failure::NameTaken(name.clone())),
            Some(name) => name.clone(),
            None => loop {
                self.count += 1;
                let name = format!("{}-{}", run.image, self.count);
                if !is_taken(&name) {
                    break name;
                }
            },
        };
        let failed = |error| Failure::Start {
            image: run.image.clone(),
            error,
        };
        let (number, container) = system.create_container(&name, &run).map_err(failed)?;
        let attached = match run.input || run.terminal {
            true => system.attach_container(container, run.terminal),
            false => Ok(()),
        };
        if let Err(error) = attached.and_then(|()| system.start_container(container)) {
            let _ = system.remove_container(container);
            return Err(failed(error));
        }
        self.containers.push(Known {
            name: name.clone(),
            command: run.arguments.join(" "),
            image: run.image,
            number,
            container,
        });
        if run.detached {
            system.show(Stream::Output, format!("{name}\n").as_bytes());
            return Ok(Outcome::default());
        }
        let input = match (run.input, run.terminal) {
            (false, _) => None,
            (true, false) => Some(Input::Lines),
            (true, true) => Some(Input::Raw),
        };
        follow(system, container, 0, input);
        let status = system
            .wait_for_container(container)
            .map_err(Failure::of("learn how it ended"))?;
        if run.removed {
            self.forget(system, container, &name)?;
        }
        Ok(Outcome {
            status: status.into(),
            message: (status != 0).then(|| format!("{name} ended with status {status}")),
        })
    }

    fn list(&self, system: &mut S) -> String {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("ID", Align::Right),
            ("IMAGE", Align::Left),
            ("STATUS", Align::Left),
            ("COMMAND", Align::Left),
        ]);
        for known in &self.containers {
            let state = system.container_state(known.container);
            let state = match state.as_deref().map(status) {
                Ok("stopped") => match system.wait_for_container(known.container) {
                    Ok(code) => format!("exited ({code})"),
                    Err(error) => error.to_string(),
                },
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            table.row([
                known.name.clone(),
                known.number.to_string(),
                known.image.clone(),
                state,
                known.command.clone(),
            ]);
        }
        table.to_string()
    }

    /// What each container costs: what its IC has spent, of what it may.
    fn stats(&self, system: &mut S) -> Result<String, S> {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("ID", Align::Right),
            ("MEM USAGE", Align::Right),
            ("LIMIT", Align::Right),
            ("MEM %", Align::Right),
            ("ICS", Align::Right),
        ]);
        for known in &self.containers {
            let cost = system.container_cost(known.number);
            let Some(cost) = cost.map_err(Failure::of("learn what it costs"))? else {
                continue;
            };
            let (spent, quota) = (cost.spent / PAGE, (cost.quota / PAGE).max(1));
            table.row([
                known.name.clone(),
                known.number.to_string(),
                pages(spent),
                pages(quota),
                format!("{}.{}", spent * 100 / quota, spent * 1000 / quota % 10),
                cost.ics.to_string(),
            ]);
        }
        Ok(table.to_string())
    }
}

fn is_called<C>(known: &Known<C>, name: &str) -> bool {
    known.name == name || known.number.to_string() == name
}

fn runs<S: Containers>(system: &mut S, container: S::Container) -> bool {
    let state = system.container_state(container);
    state.is_ok_and(|state| status(&state) == "running")
}

/// Pauses for which input waits that somebody in a container does not take.
const PATIENCE: u32 = 1000;

/// Gives somebody in a container input. Who takes none any more gets none.
fn give<S: Containers>(system: &mut S, container: S::Container, of: u32, bytes: &[u8]) {
    for _ in 0..PATIENCE {
        match system.container_input(container, of, bytes) {
            Ok(false) => system.pause(),
            Ok(true) | Err(_) => break,
        }
    }
}

/// Shows what somebody in a container prints, until its end, and gives it what is typed if that is its input. The
/// interrupt character is a signal to the first process, and the end of all when it is typed again, unless there is
/// a terminal in the container, which knows what to do with it.
fn follow<S: Containers>(system: &mut S, container: S::Container, of: u32, input: Option<Input>) {
    let (mut from, mut interrupts) = (0, 0);
    let intercepts = input != Some(Input::Raw);
    system.take_interrupts(intercepts);
    if input.is_some() {
        system.take_input(input);
    }
    // A container that is gone has nothing more to say.
    while let Ok(piece) = system.container_log(container, of, from) {
        from = piece.next;
        if !piece.bytes.is_empty() {
            system.show(piece.stream, &piece.bytes);
        } else if piece.end {
            break;
        } else {
            if input.is_some() {
                for bytes in system.typed() {
                    give(system, container, of, &bytes);
                }
            }
            if intercepts && system.interrupted() {
                interrupts += 1;
                let signal = if interrupts == 1 { SIGINT } else { SIGKILL };
                let _ = system.signal_container(container, signal);
            }
            system.pause();
        }
    }
    if input.is_some() {
        system.take_input(None);
    }
    system.take_interrupts(false);
}

/// Shows what is kept of what a container has printed.
fn print_log<S: Containers>(system: &mut S, container: S::Container) {
    let mut from = 0;
    while let Ok(Piece {
        bytes,
        stream,
        next,
        ..
    }) = system.container_log(container, 0, from)
        && !bytes.is_empty()
    {
        from = next;
        system.show(stream, &bytes);
    }
}

fn lines(names: &[String]) -> String {
    let lines: Vec<_> = names.iter().map(|name| format!("{name}\n")).collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_state_of_the_specification() {
        let state = r#"{"ociVersion":"1.2.0","id":"42","status":"running","pid":42,"bundle":"/containers/box"}"#;
        assert_eq!(status(state), "running");
        assert_eq!(status("{}"), "");
    }
}
