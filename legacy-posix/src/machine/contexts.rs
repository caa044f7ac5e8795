// SPDX-License-Identifier: BSD-2-Clause
//! `/proc/ic`: the isolation contexts of the whole system, for a server that the supervisor has empowered to see
//! and end them. Others have no such folder: a program in a container is not told what is outside.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use legacy_posix::vfs::source::Contexts;
use legacy_posix::{Errno, Result};
use xos::protocol::IcId;
use xos::protocol::container::{Log, Request};
use xos::protocol::manager::{Edge, IcInfo, ServiceInfo, ServiceKind};
use xos::protocol::wire::MAX_BYTES;
use xos::{ExitStatus, Ic, IcState, Spec};
use xos_view::{Cost, graph, report};

/// Registered names that are shown.
const SERVICES: usize = 64;
/// Programs that are started and not asked about.
const MAX_STARTED: usize = 64;
/// What one may cost unless it is said.
const MEMORY: u64 = 4 << 20;
/// The factory whose contexts stay when they have ended, until they are forgotten, and can be asked.
const CONTAINER: &str = "container";

/// A program that was started by way of `run`.
struct Started {
    /// What its starter calls it.
    token: String,
    ic: Ic,
    factory: String,
    image: String,
    /// Its arguments, a blank between.
    arguments: String,
    /// How it ended, once it has.
    end: Option<ExitStatus>,
}

impl Started {
    /// Whether it is the container of this number.
    fn is_container(&self, number: u64) -> bool {
        self.factory == CONTAINER && self.ic.id().serial() == number
    }
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

    /// Starts a program, and gives its number. The order is in lines, or strings with a zero byte behind each: a
    /// token, the bytes that it may cost (0 for the usual), the factory, `-i` or `-t` for a container with input or with a
    /// terminal, variables (`NAME=value`), the image, and arguments. A token alone ends the one that was started so, if it has not ended, and forgets it.
    fn run(&self, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let text = core::str::from_utf8(text).map_err(|_| Errno::INVAL)?;
        let text = text.strip_suffix(['\n', '\0']).unwrap_or(text);
        let apart = if text.contains('\0') { '\0' } else { '\n' };
        let mut words = text.split(apart).peekable();
        let mut started = self.started.borrow_mut();
        let token = words.next().ok_or(Errno::INVAL)?;
        let Some(memory) = words.next() else {
            started.retain(|other| other.token != token);
            return Ok(None);
        };
        let memory = memory.parse().map_err(|_| Errno::INVAL)?;
        let factory = words.next().ok_or(Errno::INVAL)?;
        let memory = match memory {
            // What is usual for a container is in its description.
            0 if factory != CONTAINER => MEMORY,
            memory => memory,
        };
        // What a container's input is, which it must know before it runs.
        let input = words.next_if(|word| ["-i", "-t"].contains(word));
        let mut variables = Vec::new();
        while let Some(variable) = words.peek().and_then(|word| word.split_once('=')) {
            variables.push(variable);
            words.next();
        }
        let image = words.next().ok_or(Errno::INVAL)?;
        let arguments: Vec<_> = words.collect();
        let is_free = |other: &Started| other.token != token;
        // It is listed in a line, apart by tabs.
        let is_word = |word: &&str| !word.is_empty() && !word.contains(char::is_control);
        if !started.iter().all(is_free) {
            return Err(Errno::EXIST);
        }
        if started.len() == MAX_STARTED {
            return Err(Errno::AGAIN);
        }
        if ![token, factory, image].iter().all(is_word) {
            return Err(Errno::INVAL);
        }
        let spec = Spec::image(image).memory(memory);
        let spec = variables
            .into_iter()
            .fold(spec, |spec, (name, value)| spec.env(name, value))
            .args(arguments.iter().copied());
        let start = || -> xos::Result<Ic> {
            let ic = xos::factory(factory)?.create(&spec)?;
            if let Some(input) = input {
                let terminal = input == "-t";
                let request = postcard::to_allocvec(&Request::Attach { terminal });
                ic.invoke(&request.unwrap_or_default(), &mut [0; MAX_BYTES])?;
            }
            ic.start()?;
            Ok(ic)
        };
        let ic = start().map_err(|error| refused(error.why))?;
        let number = ic.id().serial();
        started.push(Started {
            token: token.to_string(),
            ic,
            factory: factory.to_string(),
            image: image.to_string(),
            arguments: arguments.join(" ").replace(char::is_control, " "),
            end: None,
        });
        Ok(Some(alloc::format!("{number}\n").into_bytes()))
    }

    /// Asks a container that was started here, and gives its answer. This server waits for nobody: what there is no
    /// answer to yet is `EAGAIN`.
    fn invoke(&self, number: u64, request: &[u8]) -> Result<Option<Vec<u8>>> {
        let asked = postcard::from_bytes(request).map_err(|_| Errno::INVAL)?;
        let started = self.started.borrow();
        let is_it = |started: &&Started| started.is_container(number);
        let ic = &started.iter().find(is_it).ok_or(Errno::NOENT)?.ic;
        let ask = |request: &[u8]| {
            let mut buffer = [0; MAX_BYTES];
            let answer = ic.invoke(request, &mut buffer);
            answer
                .map(<[u8]>::to_vec)
                .map_err(|error| refused(error.why))
        };
        let whose = match asked {
            Request::Wait => Some(0),
            Request::ExecWait(program) => Some(program),
            Request::Log { wait: true, .. } | Request::Grant { .. } => return Err(Errno::INVAL),
            _ => None,
        };
        if let Some(of) = whose {
            // Behind all that was printed: whether there can be more.
            let (from, wait) = (u64::MAX, false);
            let request = Request::Log { from, wait, of };
            let request = postcard::to_allocvec(&request).map_err(|_| Errno::IO)?;
            let answer = ask(&request)?;
            let log: Log<'_> = postcard::from_bytes(&answer).map_err(|_| Errno::IO)?;
            if !log.end {
                return Err(Errno::AGAIN);
            }
        }
        ask(request).map(Some)
    }

    /// A line for each that was started, apart by tabs: its token, its number, how it ended, the factory, the image,
    /// and the arguments. Containers tell themselves how they ended.
    fn runs(&self) -> String {
        let mut text = String::new();
        for started in self.started.borrow_mut().iter_mut() {
            if started.factory != CONTAINER
                && started.end.is_none()
                && started.ic.stat() != Ok(IcState::Running)
            {
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
            let Started {
                token,
                factory,
                image,
                arguments,
                ..
            } = started;
            text += &alloc::format!("{token}\t{id}\t{end}\t{factory}\t{image}\t{arguments}\n");
        }
        text
    }
}

fn refused(error: xos::protocol::Error) -> Errno {
    use xos::protocol::Error;
    match error {
        Error::Gone | Error::NoImage | Error::NotFound => Errno::NOENT,
        Error::BadState => Errno::BUSY,
        Error::NotAllowed => Errno::PERM,
        Error::NoMemory | Error::OverBudget | Error::TableFull => Errno::NOMEM,
        Error::Malformed => Errno::INVAL,
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
            Some(number) if self.started.borrow().iter().any(|s| s.is_container(number)) => &[
                ("control", true),
                ("status", false),
                ("cost", false),
                ("invoke", true),
            ],
            Some(_) => &[("control", true), ("status", false), ("cost", false)],
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
            (Some(number), "cost") => Cost::of(&ics()?, number).ok_or(Errno::NOENT)?.to_string(),
            (Some(number), "control" | "invoke") => {
                find(&ics()?, number)?;
                String::new()
            }
            _ => return Err(Errno::NOENT),
        };
        Ok(text.into_bytes())
    }

    fn order(&self, context: Option<u64>, file: &str, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let number = match (context, file) {
            (None, "run") => return self.run(text),
            (Some(number), "invoke") => return self.invoke(number, text),
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
        .map(|()| None)
    }
}
