// SPDX-License-Identifier: BSD-2-Clause
//! The timer driver: plugs the timer of the library into the machine.
//!
//! It holds the HPET's registers, its interrupt and the ports of the real-time clock, and nothing else
//! of the machine. Its clients are the domains with a channel to it and whoever opens the service
//! `timer`.
#![no_std]
#![no_main]

use core::ptr::NonNull;

use sel4::cap;
use sel4_microkit::{
    Channel, IoPort, NullHandler, debug_println, memory_region_symbol, protection_domain,
};
use spin::Mutex;
use timer_driver::{Deadlines, Due, Hpet, Progress, Timer, hpet, rtc};
use xos_server::protocol::manager::{Register, ServiceKind, Successor};
use xos_server::protocol::timer::Op;
use xos_server::protocol::{Error, Name, Result, Who};
use xos_server::{Deferred, Manager, Outcome, Reply, Request, Server, Token, serve};

// Identifiers of `system.xml`.
const MANAGER: Channel = Channel::new(0);
const INTERRUPT: Channel = Channel::new(16);
const PORTS: IoPort = IoPort::new(0);
/// The pin of the I/O APIC that the interrupt is on.
const PIN: u8 = 2;

/// Index and data port of the real-time clock.
const RTC_INDEX: u16 = 0x70;
const RTC_DATA: u16 = 0x71;

/// The device's registers: a page that is mapped here alone, and never cached.
struct Registers(NonNull<u32>);

/// Bytes that the device's registers take (IA-PC HPET specification 1.0a, section 2.3.1).
const REGISTERS: usize = 0x400;

impl Registers {
    fn at(&self, offset: usize) -> NonNull<u32> {
        assert!(offset < REGISTERS && offset.is_multiple_of(4));
        // SAFETY: within the mapped page, as was just checked.
        unsafe { self.0.byte_add(offset) }
    }
}

impl hpet::Registers for Registers {
    fn read(&mut self, offset: usize) -> u32 {
        // SAFETY: an aligned register of the device, mapped for as long as this domain exists.
        unsafe { self.at(offset).read_volatile() }
    }

    fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: as for reading; the device writes no memory.
        unsafe { self.at(offset).write_volatile(value) }
    }
}

/// The real-time clock, through the capability to its ports.
struct Cmos(cap::IOPort);

impl rtc::Cmos for Cmos {
    fn read(&mut self, register: u8) -> u8 {
        // What the kernel refuses reads as what is not there.
        let read = || {
            self.0.ioport_out8(RTC_INDEX, register)?;
            self.0.ioport_in8(RTC_DATA)
        };
        read().unwrap_or(0xff)
    }
}

/// In a static because of its size; taken once.
static DEADLINES: Mutex<Deadlines<Token>> = Mutex::new(Deadlines::new());

struct Driver<'a> {
    timer: Timer<'a, Registers, Token>,
    manager: Manager,
    /// The counter and the time when it started.
    start: (u64, u64),
}

/// The processor's time stamp counter.
fn counter() -> u64 {
    // SAFETY: the instruction reads a counter; the kernel does not forbid it (CR4.TSD is clear).
    unsafe { core::arch::x86_64::_rdtsc() }
}

impl Driver<'_> {
    fn request(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        match Op::from_label(request.label())? {
            Op::Now => Ok(reply.ok(&[self.timer.now()])),
            Op::Sleep => match self.timer.sleep(who, request.word(0))? {
                Progress::Done => Ok(reply.ok(&[])),
                Progress::Wait(count) => {
                    let token = deferred.keep()?;
                    if let Err(token) = self.timer.wait_to_wake(who, count, token) {
                        deferred.answer_with(token, Err(Error::TableFull));
                    }
                    Ok(Outcome::Deferred)
                }
            },
            Op::Alarm => {
                // Only a channel of the system description gives this domain somebody's notification.
                let Who::Channel(_) = who else {
                    return Err(Error::NotSupported);
                };
                if request.word(1) != 0 {
                    return Err(Error::Malformed);
                }
                self.timer.alarm(who, request.word(0))?;
                Ok(reply.ok(&[]))
            }
            Op::RealTime => {
                let (seconds, nanoseconds) = self.timer.real_time();
                Ok(reply.ok(&[seconds, nanoseconds]))
            }
            Op::Counter => {
                let now = (counter(), self.timer.now());
                Ok(reply.ok(&[self.start.0, self.start.1, now.0, now.1]))
            }
        }
    }

    fn forget(&mut self, who: Who, deferred: &mut Deferred<'_>) {
        self.timer.forget(who, |token| {
            deferred.answer_with(token, Err(Error::Gone));
        });
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
        let outcome = self.request(who, request, reply, deferred);
        outcome.unwrap_or_else(|error| reply.error(error))
    }

    fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
        if bits & 1 << INTERRUPT.index() != 0 {
            // Before the next deadline is set, so that its edge is not lost. A refusal would be a
            // defect of the system description, and has been found at the start.
            let _ = INTERRUPT.irq_ack();
            self.timer.interrupt(|due| match due {
                Due::Wake(token) => deferred.answer_with(token, Ok(&[])),
                Due::Alarm(Who::Channel(id)) => Channel::new(id.into()).notify(),
                Due::Alarm(_) => {}
            });
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
    let registers = Registers(memory_region_symbol!(hpet: *mut u32));
    let hpet = Hpet::start(registers, PIN).unwrap_or_else(|error| panic!("{error}"));
    if let Err(error) = INTERRUPT.irq_ack() {
        panic!("the interrupt of the HPET: {error}");
    }
    let date = rtc::read(&mut Cmos(PORTS.cap()));
    let mut deadlines = DEADLINES.lock();
    let mut driver = Driver {
        timer: Timer::new(hpet, &mut deadlines, date),
        manager: Manager::new(MANAGER.endpoint()),
        start: (0, 0),
    };
    driver.start = (counter(), driver.timer.now());
    let registered = driver.manager.register(&Register {
        name: Name::new("timer"),
        endpoint: 0,
        kind: ServiceKind::Service,
        successor: Successor::None,
    });
    if let Err(error) = registered {
        // The domains of the system description have their channels all the same.
        debug_println!("timer_driver: cannot register as `timer`: {error}");
    }
    serve(&mut driver)
}
