// SPDX-License-Identifier: BSD-2-Clause
//! The server, plugged into the machine.
//!
//! `legacy-posix ADDRESS LENGTH PROGRAM [ARGUMENT...]`: serves a tree of processes whose first one
//! runs PROGRAM, from the archive (tar) of so many bytes that is mapped at ADDRESS. The server ends when
//! that process does, with its exit status.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "machine/clock.rs"]
mod clock;
#[path = "machine/frames.rs"]
mod frames;
#[path = "machine/gates.rs"]
mod gates;
#[path = "machine/helpers.rs"]
mod helpers;
#[path = "machine/kernel.rs"]
mod kernel;
#[path = "machine/spaces.rs"]
mod spaces;

use alloc::string::String;
use alloc::vec::Vec;

use legacy_posix::boot::{self, Boot, BootError};
use legacy_posix::kernel::Execution;
use legacy_posix::machine_api::LineEnds;
use legacy_posix::mm::Access;
use legacy_posix::server::{Fault, Server};
use sel4::{MessageInfo, Word};

use crate::frames::Frames;
use crate::helpers::{CONSOLE_BADGE, TIMER_BADGE};
use crate::kernel::{Answer, Machine};

/// What the server's own tables may take. Its pages cost nothing before they are used, but nobody else gets them.
const HEAP: usize = 64 << 20;

xos::main!(main, heap = HEAP);

/// The exit status for a program that is not there, as shells have it.
const NOT_FOUND: i32 = 127;
/// The name that the server is known by.
const NAME: &str = "posix";
/// Bit of x86's page-fault error code (Intel SDM volume 3, section 4.7): the access was a write.
const WRITE: u64 = 1 << 1;

fn main() -> Result<i32, String> {
    let mut arguments = xos::args().skip(1);
    let mut number = || arguments.next().and_then(|text| text.parse::<usize>().ok());
    let (Some(address), Some(length)) = (number(), number()) else {
        return Err("usage: legacy-posix ADDRESS LENGTH PROGRAM [ARGUMENT...]".into());
    };
    let program: Vec<Vec<u8>> = arguments.map(|text| text.as_bytes().to_vec()).collect();
    let environment = xos::env().map(|(name, value)| alloc::format!("{name}={value}").into_bytes());

    let text = |error: xos::Error| alloc::format!("{error}");
    let listener = xos::service::register(NAME).map_err(text)?;
    let endpoint = listener.endpoint();
    let frames = Frames::new(HEAP).map_err(text)?;
    let machine = Machine::new(endpoint, frames.for_ics()).map_err(text)?;
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
        Err(BootError::NotFound(name)) => {
            xos::eprintln!("{}", BootError::NotFound(name));
            return Ok(NOT_FOUND);
        }
        Err(error) => return Err(alloc::format!("{error}")),
    };
    helpers::start(endpoint).map_err(text)?;
    Ok(serve(&mut server, endpoint))
}

/// Receives events until the first process has ended; gives its exit status as a shell has it.
fn serve(server: &mut Server<Machine, Frames>, endpoint: sel4::cap::Endpoint) -> i32 {
    // How many words of these the one is sent whose message came last; `None` for no answer.
    let mut answer: Option<(usize, [Word; 3])> = None;
    loop {
        drain(server);
        if let Some(status) = server.ended {
            server.end_all();
            drain(server);
            return match status & 0x7f {
                0 => status >> 8 & 0xff,
                signal => 128 + signal,
            };
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
                let bytes = helpers::input(&received);
                server.input(&bytes);
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
