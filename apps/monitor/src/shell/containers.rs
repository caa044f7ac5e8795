// SPDX-License-Identifier: BSD-2-Clause
//! Containers: those that were started here, and what is done with them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xos_protocol::{Error, IcId};

use super::{Failure, Outcome, Shell};
use crate::container::{Command, Run, SIGKILL};
use crate::{Containers, Start, System};
use xos_view::table::{Align, Table, pages};

/// The signal of the interrupt character.
const SIGINT: u8 = 2;

/// A container that was started here, until it is removed.
pub struct Known<C> {
    name: String,
    image: String,
    command: String,
    id: IcId,
    container: C,
}

/// Where a container is in its life, by its state. (The state is ours: JSON with no more blanks than needed.)
fn status(state: &str) -> &str {
    let rest = state
        .split_once(r#""status":""#)
        .map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or(rest)
}

impl<S: System + Containers> Shell<S> {
    pub(super) fn container(&mut self, command: Command) -> Result<Outcome, Failure> {
        let text = match command {
            Command::Run(run) => return self.run_container(run),
            Command::Exec {
                name,
                arguments,
                environment,
                cwd,
            } => {
                let container = self.known(&name)?;
                let number = self
                    .system
                    .exec_in(container, &arguments, &environment, &cwd)
                    .map_err(Failure::of("run a program in it"))?;
                self.follow(container, number);
                let status = self
                    .system
                    .wait_for_exec(container, number)
                    .map_err(Failure::of("learn how it ended"))?;
                return Ok(Outcome {
                    status: status.into(),
                    message: None,
                });
            }
            Command::List => self.list_containers(),
            Command::Stats => self.container_stats()?,
            Command::Logs(name) => {
                let container = self.known(&name)?;
                self.print_log(container);
                String::new()
            }
            Command::Inspect(name) => {
                let container = self.known(&name)?;
                let state = self.system.container_state(container);
                state.map_err(Failure::of("learn its state"))? + "\n"
            }
            Command::Wait(name) => {
                let container = self.known(&name)?;
                let status = self.system.wait_for_container(container);
                format!("{}\n", status.map_err(Failure::of("wait for it"))?)
            }
            Command::Kill { names, signal } => {
                for name in &names {
                    let container = self.known(name)?;
                    self.system
                        .signal_container(container, signal)
                        .map_err(Failure::of("send it a signal"))?;
                }
                lines(&names)
            }
            Command::Remove { names, force } => {
                for name in &names {
                    let container = self.known(name)?;
                    if !force && self.runs(container) {
                        return Err(Failure::Runs(name.clone()));
                    }
                    self.forget(container, name)?;
                }
                lines(&names)
            }
        };
        self.system.print(&text);
        Ok(Outcome {
            status: 0,
            message: None,
        })
    }

    /// A container by its name, or the number of its IC.
    fn known(&self, name: &str) -> Result<S::Container, Failure> {
        let is_it =
            |known: &&Known<S::Container>| known.name == name || known.id.to_string() == name;
        let known = self.containers.iter().find(is_it);
        known
            .map(|known| known.container)
            .ok_or_else(|| Failure::NoContainer(name.to_string()))
    }

    fn runs(&mut self, container: S::Container) -> bool {
        let state = self.system.container_state(container);
        state.is_ok_and(|state| status(&state) == "running")
    }

    fn forget(&mut self, container: S::Container, name: &str) -> Result<(), Failure> {
        match self.system.remove_container(container) {
            // Somebody was faster.
            Ok(()) | Err(Error::Gone) => {}
            Err(error) => return Err(Failure::of("remove it")(error)),
        }
        self.containers
            .retain(|known| known.name != name && known.id.to_string() != name);
        Ok(())
    }

    fn run_container(&mut self, run: Run) -> Result<Outcome, Failure> {
        let Run {
            start,
            name,
            detached,
            removed,
        } = run;
        let is_taken = |name: &str| self.containers.iter().any(|known| known.name == name);
        let name = match name {
            Some(name) if is_taken(&name) => return Err(Failure::NameTaken(name)),
            Some(name) => name,
            None => loop {
                self.container_count += 1;
                let name = format!("{}-{}", start.image, self.container_count);
                if !is_taken(&name) {
                    break name;
                }
            },
        };
        let failed = |start: &Start, error| Failure::Start {
            start: start.clone(),
            error,
        };
        let made = self.system.create_container(&start);
        let (id, container) = made.map_err(|error| failed(&start, error))?;
        if let Err(error) = self.system.start_container(container) {
            let _ = self.system.remove_container(container);
            return Err(failed(&start, error));
        }
        self.containers.push(Known {
            name: name.clone(),
            image: start.image.clone(),
            command: start.arguments.join(" "),
            id,
            container,
        });
        if detached {
            self.system.print(&format!("{name}\n"));
            return Ok(Outcome {
                status: 0,
                message: None,
            });
        }
        self.follow(container, 0);
        let status = self
            .system
            .wait_for_container(container)
            .map_err(Failure::of("learn how it ended"))?;
        if removed {
            self.forget(container, &name)?;
        }
        Ok(Outcome {
            status: status.into(),
            message: (status != 0).then(|| format!("{name} ended with status {status}")),
        })
    }

    /// Prints what somebody in a container prints, until its end. The interrupt character is a signal to the
    /// first process, and the end of all when it is typed again.
    fn follow(&mut self, container: S::Container, of: u32) {
        let (mut from, mut interrupts) = (0, 0);
        self.system.take_interrupts(true);
        // A container that is gone has nothing more to say.
        while let Ok(piece) = self.system.container_log(container, of, from) {
            from = piece.next;
            if !piece.bytes.is_empty() {
                self.system.print(&String::from_utf8_lossy(&piece.bytes));
            } else if piece.end {
                break;
            } else {
                if self.system.interrupted() {
                    interrupts += 1;
                    let signal = if interrupts == 1 { SIGINT } else { SIGKILL };
                    let _ = self.system.signal_container(container, signal);
                }
                self.system.pause();
            }
        }
        self.system.take_interrupts(false);
    }

    /// Prints what is kept of what a container has printed.
    fn print_log(&mut self, container: S::Container) {
        let mut from = 0;
        while let Ok(piece) = self.system.container_log(container, 0, from)
            && !piece.bytes.is_empty()
        {
            from = piece.next;
            self.system.print(&String::from_utf8_lossy(&piece.bytes));
        }
    }

    fn list_containers(&mut self) -> String {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("ID", Align::Right),
            ("IMAGE", Align::Left),
            ("STATUS", Align::Left),
            ("COMMAND", Align::Left),
        ]);
        let (system, containers) = (&mut self.system, &self.containers);
        for known in containers {
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
                known.id.to_string(),
                known.image.clone(),
                state,
                known.command.clone(),
            ]);
        }
        table.to_string()
    }

    /// What each container costs: what its IC has spent, of what it may.
    fn container_stats(&mut self) -> Result<String, Failure> {
        let ics = self.ics()?;
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("ID", Align::Right),
            ("MEM USAGE", Align::Right),
            ("LIMIT", Align::Right),
            ("MEM %", Align::Right),
            ("ICS", Align::Right),
        ]);
        for known in &self.containers {
            let Some(ic) = ics.iter().find(|ic| ic.id == known.id) else {
                continue;
            };
            let (spent, quota) = (u64::from(ic.spent), u64::from(ic.quota).max(1));
            let within = ics.iter().filter(|other| other.payer == ic.id);
            table.row([
                known.name.clone(),
                known.id.to_string(),
                pages(spent),
                pages(quota),
                format!("{}.{}", spent * 100 / quota, spent * 1000 / quota % 10),
                (1 + within.count()).to_string(),
            ]);
        }
        Ok(table.to_string())
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
