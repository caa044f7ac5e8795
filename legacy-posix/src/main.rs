// SPDX-License-Identifier: BSD-2-Clause
//! The server, plugged into the machine.
//!
//! `legacy-posix ADDRESS LENGTH PROGRAM [ARGUMENT...]`: serves a tree of processes whose first one
//! runs PROGRAM, from the archive (tar) of so many bytes that is mapped at ADDRESS. The server ends when
//! that process does, with its exit status.
//!
//! Without any argument it is the server of a container: whoever made it is asked what that is.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "machine/clock.rs"]
mod clock;
#[path = "machine/contexts.rs"]
mod contexts;
#[path = "machine/frames.rs"]
mod frames;
#[path = "machine/gates.rs"]
mod gates;
#[path = "machine/helpers.rs"]
mod helpers;
#[path = "machine/kernel.rs"]
mod kernel;
#[path = "machine/random.rs"]
mod random;
#[path = "machine/spaces.rs"]
mod spaces;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use legacy_posix::boot::{self, Boot, BootError};
use legacy_posix::container::{Container, ITSELF, Report, shell_status};
use legacy_posix::kernel::Execution;
use legacy_posix::machine_api::LineEnds;
use legacy_posix::mm::Access;
use legacy_posix::server::{Fault, Server};
use legacy_posix::vfs::region::Foreign;
use legacy_posix::{Errno, PAGE};
use sel4::cap::Endpoint;
use sel4::{MessageInfo, Word};
use xos::client::ContainerServer;
use xos::protocol::Subject;
use xos::protocol::container::{Command, Stream};
use xos::protocol::slots::{ic, leaf};
use xos_container::{Setup, Span};

use crate::frames::Frames;
use crate::helpers::{COMMAND_BADGE, CONSOLE_BADGE, TIMER_BADGE};
use crate::kernel::{Answer, Machine};

/// What the server's own tables may take at most.
const HEAP: usize = 64 << 20;
/// The part of a shell's budget that they may take. Its pages cost nothing before they are used, but nobody else gets
/// them.
const SHELLS_PART: usize = 4;
/// The parts of a container's, of which there may be little: what nobody else gets, and what they may take if it is
/// there.
const CONTAINERS_PARTS: (usize, usize) = (8, 2);

xos::main!(main, heap = HEAP);

/// The name that the server is known by.
const NAME: &str = "posix";
/// Bit of x86's page-fault error code (Intel SDM volume 3, section 4.7): the access was a write.
const WRITE: u64 = 1 << 1;

fn main() -> Result<i32, String> {
    kernel::learn_cspace();
    match xos::args().next() {
        None => {
            let factory = ContainerServer::new(Endpoint::from_bits(leaf(ic::ITSELF)));
            Ok(contained(factory).unwrap_or_else(|error| {
                // Its log is all that anybody sees of it.
                log(factory, &error);
                boot::NOT_STARTED.into()
            }))
        }
        Some(_) => alone(),
    }
}

/// What the name says to a person.
fn text(error: xos::Error) -> String {
    alloc::format!("{error}")
}

/// What the factory says that this container is. Most take little room, and what is taken once stays taken.
fn description(factory: &ContainerServer) -> Result<Vec<u8>, xos::protocol::Error> {
    let mut sizes = [PAGE, xos_container::MAX_SETUP_BYTES].into_iter();
    loop {
        let mut bytes = alloc::vec![0; sizes.next().ok_or(xos::protocol::Error::Malformed)?];
        match factory.describe(&mut bytes).map(|known| known.len()) {
            Err(xos::protocol::Error::Malformed) => {}
            length => {
                bytes.truncate(length?);
                return Ok(bytes);
            }
        }
    }
}

/// Says in the container's log why it does not run.
fn log(factory: ContainerServer, error: &dyn Display) {
    let line = alloc::format!("{error}\n");
    let _ = factory.output(ITSELF, Stream::Error, line.as_bytes());
}

/// The server of a container: it has no name, its factory says what it is.
fn contained(factory: ContainerServer) -> Result<i32, String> {
    let bytes = description(&factory).map_err(|error| {
        alloc::format!("the factory does not say what this container is: {error}")
    })?;
    let setup = Setup::read(&bytes).map_err(|flaw| alloc::format!("{flaw}"))?;
    let Span { address, bytes } = setup.root;
    // SAFETY: the factory has had so many bytes mapped there, for as long as this program runs, and nobody
    // can write to them.
    let root = unsafe { core::slice::from_raw_parts(address as *const u8, bytes as usize) };
    let endpoint = xos::service::endpoint().map_err(text)?;
    let (machine, frames) = machine(endpoint, CONTAINERS_PARTS)?;
    let open = |span| -> Box<dyn Foreign> { Box::new(Granted(span)) };
    let started = Container::start(machine, frames, &setup, root, &open);
    let (mut server, mut container) = match started {
        Ok(started) => started,
        Err(error) => {
            log(factory, &error);
            return Ok(error.status().into());
        }
    };
    helpers::start_timer(endpoint).map_err(text)?;
    helpers::start_commands(endpoint, factory).map_err(text)?;
    let tell = |report: Report<'_>| {
        // A factory that does not hear is no longer there.
        let _ = match report {
            Report::Output(of, stream, bytes) => factory.output(of, stream, bytes),
            Report::Taken(of) => factory.taken(of),
            Report::Done(number, status) => factory.done(number, status),
        };
    };
    Ok(serve(&mut server, endpoint, |server, command| {
        if let Some(command) = command
            && let Ok(command) = postcard::from_bytes::<Command<'_>>(command)
        {
            container.command(server, &command);
        }
        container.report(server, tell);
    }))
}

/// A region that was granted to this container: where it is mapped, unless it has been taken away.
struct Granted(Span);

impl Granted {
    /// Copies from it, and says whether it is there.
    fn copy_from(&self, position: u64, into: &mut [u8]) -> bool {
        let from = (self.0.address + position) as *const u8;
        // SAFETY: whoever calls keeps within the region, which is nothing of the server's own.
        unsafe { xos::guarded::copy(into.as_mut_ptr(), from, into.len()) }.is_ok()
    }
}

impl Foreign for Granted {
    fn length(&self) -> u64 {
        self.0.bytes
    }

    fn read(&self, position: u64, into: &mut [u8]) -> legacy_posix::Result<()> {
        match self.copy_from(position, into) {
            true => Ok(()),
            false => Err(Errno::IO),
        }
    }

    fn write(&self, position: u64, from: &[u8]) -> legacy_posix::Result<()> {
        let to = (self.0.address + position) as *mut u8;
        // SAFETY: as above.
        match unsafe { xos::guarded::copy(to, from.as_ptr(), from.len()) } {
            Ok(()) => Ok(()),
            // What can be read was granted to be read only.
            Err(_) if self.copy_from(position, &mut [0]) => Err(Errno::ROFS),
            Err(_) => Err(Errno::IO),
        }
    }
}

/// The machine and its frames, as the budget allows. Of that one part is kept back for the server's own tables, which may
/// come to another part.
fn machine(
    endpoint: Endpoint,
    (kept_back, most): (usize, usize),
) -> Result<(Machine, Frames), String> {
    let budget = xos::manager()
        .budget(Subject::Myself)
        .map_err(|error| alloc::format!("{error}"))?;
    let part = |part| HEAP.min(budget.quota as usize * PAGE / part);
    let (kept_back, heap) = (part(kept_back), part(most));
    let frames = Frames::new(kept_back).map_err(text)?;
    let machine = Machine::new(endpoint, frames.for_ics(), heap).map_err(text)?;
    Ok((machine, frames))
}

/// The server of a shell or whatever else was started by name.
fn alone() -> Result<i32, String> {
    let mut arguments = xos::args().skip(1);
    let mut number = || arguments.next().and_then(|text| text.parse::<usize>().ok());
    let (Some(address), Some(length)) = (number(), number()) else {
        return Err("usage: legacy-posix ADDRESS LENGTH PROGRAM [ARGUMENT...]".into());
    };
    let program: Vec<Vec<u8>> = arguments.map(|text| text.as_bytes().to_vec()).collect();
    let environment = xos::env().map(|(name, value)| alloc::format!("{name}={value}").into_bytes());

    let listener = xos::service::register(NAME).map_err(text)?;
    let endpoint = listener.endpoint();
    let (machine, frames) = machine(endpoint, (SHELLS_PART, SHELLS_PART))?;
    // SAFETY: whoever started this program mapped so many bytes there, for as long as it runs, and nobody
    // writes to them.
    let archive = unsafe { core::slice::from_raw_parts(address as *const u8, length) };
    let boot = Boot {
        archive,
        program,
        environment: environment.collect(),
    };
    let mut server = match boot::start(machine, frames, boot) {
        Ok(server) => server,
        Err(error @ BootError::NotFound(_)) => {
            xos::eprintln!("{error}");
            return Ok(error.status().into());
        }
        Err(error) => return Err(alloc::format!("{error}")),
    };
    if let Some(system) = contexts::System::new() {
        server.tasks.contexts = Some(Box::new(system));
    }
    helpers::start_timer(endpoint).map_err(text)?;
    helpers::start_input(endpoint).map_err(text)?;
    Ok(serve(&mut server, endpoint, |server, _| drain(server)))
}

/// Receives events until the first process has ended; gives its exit status as a shell has it. `tell` is
/// called after each, to tell outside what came of it, and with what is wanted from outside.
fn serve(
    server: &mut Server<Machine, Frames>,
    endpoint: Endpoint,
    mut tell: impl FnMut(&mut Server<Machine, Frames>, Option<&[u8]>),
) -> i32 {
    // How many words of these the one is sent whose message came last; `None` for no answer.
    let mut answer: Option<(usize, [Word; 3])> = None;
    let mut command: Option<Vec<u8>> = None;
    loop {
        tell(server, command.take().as_deref());
        if let Some(status) = server.ended {
            server.end_all();
            tell(server, None);
            return shell_status(status).into();
        }
        // Last of all: what else is done may change what becomes of the one whose fault it was.
        match server.kernel.end() {
            Answer::None => {}
            Answer::Resume => answer = Some((0, [0; 3])),
            Answer::GoTo(ip, sp, flags) => answer = Some((3, [ip, sp, flags])),
        }
        let received = match answer.take() {
            Some((count, words)) => {
                endpoint.reply_recv_with_mrs(MessageInfo::new(0, 0, 0, count), words, ())
            }
            None => endpoint.recv_with_mrs(()),
        };
        match received.badge {
            TIMER_BADGE => {
                server.tick();
                answer = Some((1, [server.kernel.until_alarm(), 0, 0]));
            }
            CONSOLE_BADGE => {
                let bytes = helpers::handed_in(&received);
                server.input(&bytes);
                answer = Some((1, [0; 3]));
            }
            COMMAND_BADGE => {
                command = Some(helpers::handed_in(&received));
                answer = Some((1, [0; 3]));
            }
            badge => {
                if let Some(execution) = kernel::execution_of(badge) {
                    let fault = fault(&received);
                    let is_exception = matches!(fault, Fault::Exception(..));
                    server.kernel.begin(execution, is_exception);
                    server.fault(execution, fault);
                } else if received.info.label() != 0 {
                    // Somebody opened a session: there is nothing to be asked for yet.
                    let label = xos::protocol::Error::NoSuchOperation.label();
                    sel4::reply_with_mrs(MessageInfo::new(label, 0, 0, 0), []);
                }
            }
        }
    }
}

/// Sends what programs have written to their terminal.
fn drain(server: &mut Server<Machine, Frames>) {
    // There is nothing after most events.
    if !server.has_output() {
        return;
    }
    let mut ends = LineEnds::default();
    server.drain_console(|bytes| helpers::print(&ends.convert(bytes)));
    let rest = ends.finish();
    if !rest.is_empty() {
        helpers::print(rest);
    }
}

/// What a message of a thread's fault endpoint says. It may be made up: then it says of that thread what
/// it does to itself.
fn fault(received: &sel4::RecvWithMRs) -> Fault {
    let mut words = [0; 5];
    words[..4].copy_from_slice(&received.msg);
    let length = received.info.length();
    if length > 4 {
        words[4] = sel4::with_ipc_buffer(|buffer| buffer.msg_regs()[4]);
    }
    let info = &received.info;
    let known = words.get(..length.min(5)).unwrap_or_default();
    match sel4::Fault::from_words(known, info) {
        Some(sel4::Fault::UserException(fault)) => {
            let fault = fault.inner();
            Fault::Exception(fault.get_Number(), fault.get_Code())
        }
        Some(sel4::Fault::VmFault(fault)) => {
            let fault = fault.inner();
            let (ip, address) = (fault.get_IP(), fault.get_Addr());
            let access = if fault.get_FSR() & WRITE != 0 {
                Access::Write
            } else if address == ip {
                Access::Execute
            } else {
                Access::Read
            };
            Fault::Page(address, access)
        }
        _ => Fault::Foreign,
    }
}

const _: () = assert!(core::mem::size_of::<Execution>() == 4);
