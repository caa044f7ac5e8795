// SPDX-License-Identifier: BSD-2-Clause
//! `/proc/ic`: the isolation contexts of the whole system, for a server that the supervisor has empowered to see
//! and end them. Others have no such folder: a program in a container is not told what is outside.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use legacy_posix::vfs::source::Contexts;
use legacy_posix::{Errno, Result};
use xos::protocol::IcId;
use xos::protocol::manager::{Edge, IcInfo, ServiceInfo, ServiceKind};
use xos::{ExitStatus, Ic, IcState, Spec};
use xos_view::{graph, report};

/// Registered names that are shown.
const SERVICES: usize = 64;
/// Programs that are started and not asked about.
const MAX_STARTED: usize = 64;
/// What one may cost unless it is said.
const MEMORY: u64 = 4 << 20;

/// A program that was started by way of `run`.
struct Started {
    /// What its starter calls it.
    token: String,
    ic: Ic,
    /// How it ended, once it has.
    end: Option<ExitStatus>,
}

/// What the manager says when it is asked, and what was started here.
pub struct System {
    started: RefCell<Vec<Started>>,
}

impl System {
    /// The folder's contents, if this server may see them.
    pub fn new() -> Option<Self> {
        // Only who may see everything is told how much there is.
        xos::manager().free().is_ok().then(|| Self {
            started: RefCell::default(),
        })
    }

    /// Starts a program: lines with a token, the bytes that it may cost (0 for the usual), the factory, the image, and
    /// arguments. Or forgets one, by its token alone.
    fn run(&self, text: &[u8]) -> Result<()> {
        let text = core::str::from_utf8(text).map_err(|_| Errno::INVAL)?;
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(Errno::INVAL);
        let token = next()?;
        let mut started = self.started.borrow_mut();
        let Ok(memory) = next() else {
            started.retain(|other| other.token != token);
            return Ok(());
        };
        let memory = match memory.parse().map_err(|_| Errno::INVAL)? {
            0 => MEMORY,
            memory => memory,
        };
        let (factory, image) = (next()?, next()?);
        if started.len() == MAX_STARTED || started.iter().any(|other| other.token == token) {
            return Err(Errno::AGAIN);
        }
        let spec = Spec::image(image).memory(memory).args(lines);
        let start = || -> xos::Result<Ic> {
            let ic = xos::factory(factory)?.create(&spec)?;
            ic.start()?;
            Ok(ic)
        };
        let ic = start().map_err(|error| refused(error.why))?;
        started.push(Started {
            token: String::from(token),
            ic,
            end: None,
        });
        Ok(())
    }

    /// A line for each that was started: its token, its number, and how it ended.
    fn runs(&self) -> String {
        let mut text = String::new();
        for started in self.started.borrow_mut().iter_mut() {
            if started.end.is_none() && started.ic.stat() != Ok(IcState::Running) {
                // It has ended, so this does not wait.
                let end = started.ic.wait().unwrap_or(ExitStatus::Killed);
                started.end = Some(end);
            }
            let id = started.ic.id().serial();
            let end = match &started.end {
                None => String::from("runs"),
                Some(ExitStatus::Code(code)) => alloc::format!("ended {}", *code as u8),
                Some(ExitStatus::Killed) => String::from("killed"),
                Some(_) => String::from("crashed"),
            };
            text += &alloc::format!("{} {id} {end}\n", started.token);
        }
        text
    }
}

fn refused(error: xos::protocol::Error) -> Errno {
    use xos::protocol::Error;
    match error {
        Error::Gone => Errno::NOENT,
        Error::NotAllowed => Errno::PERM,
        Error::NoMemory | Error::OverBudget | Error::TableFull => Errno::NOMEM,
        Error::NotFound => Errno::NOENT,
        _ => Errno::IO,
    }
}

fn ics() -> Result<Vec<IcInfo>> {
    let mut all = Vec::new();
    let listed = xos::manager().each_ic(|ic| all.push(*ic));
    listed.map_err(refused)?;
    Ok(all)
}

fn edges() -> Result<Vec<Edge>> {
    let mut all = Vec::new();
    let listed = xos::manager().each_edge(|edge| all.push(*edge));
    listed.map_err(refused)?;
    Ok(all)
}

fn services() -> Result<Vec<ServiceInfo>> {
    let all = xos::manager().all_services::<SERVICES>();
    Ok(all.map_err(refused)?.iter().copied().collect())
}

/// What a factory promises. It is asked: factories never call those who call them.
fn contract(name: &str) -> Result<xos::Contract, xos::protocol::Error> {
    let factory = xos::factory(name).map_err(|error| error.why)?;
    factory.describe().map_err(|error| error.why)
}

fn find(ics: &[IcInfo], number: u64) -> Result<&IcInfo> {
    let found = ics.iter().find(|ic| ic.id.serial() == number);
    found.ok_or(Errno::NOENT)
}

fn kill(id: IcId) -> Result<()> {
    xos::manager().destroy(id).map(drop).map_err(refused)
}

impl Contexts for System {
    fn next(&self, id: u64) -> Option<u64> {
        let all = ics().ok()?;
        let numbers = all.iter().map(|ic| ic.id.serial());
        numbers.filter(|number| *number >= id).min()
    }

    fn files(&self, context: Option<u64>) -> &'static [(&'static str, bool)] {
        match context {
            None => &[
                ("factories", false),
                ("free", false),
                ("graph", false),
                ("list", false),
                ("run", true),
            ],
            Some(_) => &[("control", true), ("status", false)],
        }
    }

    fn text(&self, context: Option<u64>, file: &str) -> Result<Vec<u8>> {
        let text = match (context, file) {
            (None, "list") => report::list(&ics()?),
            (None, "graph") => graph::dot(&ics()?, &services()?, &edges()?),
            (None, "factories") => report::factories(&services()?, contract),
            (None, "run") => self.runs(),
            (None, "free") => report::free(&xos::manager().free().map_err(refused)?),
            (Some(number), "status") => {
                let ics = ics()?;
                let ic = find(&ics, number)?;
                // Its kind is the name of the factory that made it, if one did.
                let services = services()?;
                let mut factories = services.iter().filter(|s| s.kind == ServiceKind::Factory);
                let factory = factories.find(|s| s.name == ic.kind);
                let contract = factory.and_then(|f| contract(f.name.as_str()).ok());
                report::context(&ics, &edges()?, ic, contract.as_ref())
            }
            (Some(number), "control") => {
                find(&ics()?, number)?;
                String::new()
            }
            _ => return Err(Errno::NOENT),
        };
        Ok(text.into_bytes())
    }

    fn order(&self, context: Option<u64>, file: &str, text: &[u8]) -> Result<()> {
        let number = match (context, file) {
            (None, "run") => return self.run(text),
            (Some(number), "control") => number,
            _ => return Err(Errno::INVAL),
        };
        let ics = ics()?;
        let ic = find(&ics, number)?;
        let (id, manager) = (ic.id, xos::manager());
        if [ic.creator, id].contains(&manager.ping().map_err(refused)?) {
            // Address spaces of programs here end with these, by signals; this server with its first process.
            return Err(Errno::PERM);
        }
        match text.trim_ascii() {
            b"kill" => kill(id),
            b"suspend" => manager.suspend(id).map_err(refused),
            b"resume" => manager.resume(id).map_err(refused),
            _ => Err(Errno::INVAL),
        }
    }
}
