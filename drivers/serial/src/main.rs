// SPDX-License-Identifier: BSD-2-Clause
//! The serial driver: plugs the console of the library into the machine.
//!
//! It holds the ports of COM1 and its interrupt, and nothing else of the machine. Its clients are the
//! domains with a channel to it and whoever opens the service `console`.
#![no_std]
#![no_main]

use sel4::cap;
use sel4_microkit::{Channel, IoPort, NullHandler, debug_println, protection_domain};
use serial_driver::{Answer, Console, Line, Progress};
use spin::Mutex;
use uart_16550::Uart16550;
use uart_16550::backend::Backend;
use xos_server::protocol::console::{MAX_BYTES, Op};
use xos_server::protocol::manager::{Register, ServiceKind, Successor};
use xos_server::protocol::{Error, Name, Result, Who, wire};
use xos_server::{Deferred, Manager, Outcome, Reply, Request, Server, Token, serve};

// Identifiers of `system.xml`.
const MANAGER: Channel = Channel::new(0);
const SUPERVISOR: Channel = Channel::new(1);
const INTERRUPT: Channel = Channel::new(16);
const PORTS: IoPort = IoPort::new(0);

/// The first port of COM1.
const COM1: u16 = 0x3f8;

/// In a static because of its size; taken once.
static CONSOLE: Mutex<Console<Token>> = Mutex::new(Console::new());

/// The registers of the device, through the capability to its ports.
struct Registers(cap::IOPort);

impl Backend for Registers {
    unsafe fn read(&mut self, offset: u8) -> u8 {
        // What the kernel refuses reads as what is not there.
        self.0.ioport_in8(COM1 + u16::from(offset)).unwrap_or(0xff)
    }

    unsafe fn write(&mut self, offset: u8, value: u8) {
        let _ = self.0.ioport_out8(COM1 + u16::from(offset), value);
    }
}

struct Driver<'a> {
    console: &'a mut Console<Token>,
    line: Line<Registers>,
    manager: Manager,
}

/// Gives a client that waited its reply.
fn answer(deferred: &mut Deferred<'_>, token: Token, answer: Answer<'_>) {
    let mut reply = Reply::new();
    let _ = match answer {
        Answer::Written(count) => reply.ok(&[count as u64]),
        Answer::Read(bytes) => reply.bytes(bytes),
        Answer::Flushed => reply.ok(&[]),
        Answer::Gone => reply.error(Error::Gone),
    };
    deferred.answer(token, &reply);
}

/// What becomes of a caller whose reply was handed over to the console, or was not.
fn kept(kept: core::result::Result<(), Token>, deferred: &mut Deferred<'_>) -> Result<Outcome> {
    if let Err(token) = kept {
        deferred.answer_with(token, Err(Error::TableFull));
    }
    Ok(Outcome::Deferred)
}

impl Driver<'_> {
    fn request(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        let mut buffer = [0; wire::MAX_BYTES];
        match Op::from_label(request.label())? {
            Op::Write => {
                let message = request.counted_bytes(1, request.word(0), &mut buffer)?;
                match self.console.write(who, message)? {
                    Progress::Done(count) => Ok(reply.ok(&[count as u64])),
                    Progress::Wait => {
                        let token = deferred.keep()?;
                        kept(self.console.wait_to_write(who, message, token), deferred)
                    }
                }
            }
            Op::Read => {
                let most = request.word(0).min(MAX_BYTES as u64) as usize;
                let wait = match request.word(1) {
                    0 => false,
                    1 => true,
                    _ => return Err(Error::Malformed),
                };
                match self.console.read(who, &mut buffer[..most], wait)? {
                    Progress::Done(count) => Ok(reply.bytes(&buffer[..count])),
                    Progress::Wait => {
                        let token = deferred.keep()?;
                        kept(self.console.wait_to_read(who, most, token), deferred)
                    }
                }
            }
            Op::Interrupts => {
                if who != Who::Channel(SUPERVISOR.index() as u8) {
                    return Err(Error::NotAllowed);
                }
                match request.word(0) {
                    on @ (0 | 1) => self.console.set_intercept(on == 1),
                    _ => return Err(Error::Malformed),
                }
                Ok(reply.ok(&[]))
            }
            Op::Flush => match self.console.flush(&mut self.line, who)? {
                Progress::Done(_) => Ok(reply.ok(&[])),
                Progress::Wait => {
                    let token = deferred.keep()?;
                    kept(self.console.wait_to_flush(who, token), deferred)
                }
            },
        }
    }

    fn forget(&mut self, who: Who, deferred: &mut Deferred<'_>) {
        self.console
            .forget(who, |token, what| answer(deferred, token, what));
    }
}

impl Server for Driver<'_> {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        // A domain has one thread: if it asks again while something of it waits, it was restarted.
        if matches!(who, Who::Channel(_)) {
            self.forget(who, deferred);
        }
        let outcome = self.request(who, request, reply, deferred);
        let outcome = outcome.unwrap_or_else(|error| reply.error(error));
        let line = &mut self.line;
        if self
            .console
            .settle(line, |token, what| answer(deferred, token, what))
        {
            SUPERVISOR.notify();
        }
        outcome
    }

    fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
        if bits & 1 << INTERRUPT.index() != 0 {
            // Before the device is served, so that the next edge is not lost. A refusal would be a
            // defect of the system description, and has been found at the start.
            let _ = INTERRUPT.irq_ack();
            let line = &mut self.line;
            if self
                .console
                .interrupt(line, |token, what| answer(deferred, token, what))
            {
                SUPERVISOR.notify();
            }
        }
        if bits & 1 << MANAGER.index() != 0 {
            let manager = self.manager;
            for session in manager.closed_sessions() {
                self.forget(Who::Session(session), deferred);
            }
        }
    }
}

#[protection_domain]
fn init() -> NullHandler {
    // SAFETY: the device is this domain's alone, and this is its only driver.
    let uart = unsafe { Uart16550::new_with_backend(Registers(PORTS.cap())) };
    let line = Line::start(uart).unwrap_or_else(|error| panic!("COM1: {error}"));
    if let Err(error) = INTERRUPT.irq_ack() {
        panic!("the interrupt of COM1: {error}");
    }
    let mut driver = Driver {
        console: &mut CONSOLE.lock(),
        line,
        manager: Manager::new(MANAGER.endpoint()),
    };
    let registered = driver.manager.register(&Register {
        name: Name::new("console"),
        endpoint: 0,
        kind: ServiceKind::Service,
        successor: Successor::None,
    });
    if let Err(error) = registered {
        // The domains of the system description have their channels all the same.
        debug_println!("serial_driver: cannot register as `console`: {error}");
    }
    serve(&mut driver)
}
