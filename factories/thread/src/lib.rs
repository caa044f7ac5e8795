// SPDX-License-Identifier: BSD-2-Clause
//! The thread factory: an isolation context becomes another execution within
//! its creator.
//!
//! It is for: threads of an IC that has consented by the way it opened its
//! session. A thread's TCB, stack and IPC buffer lie in an arena of its own,
//! paid by its creator, mapped below a page table of its own; so joining it
//! gives everything back. What it does to its creator's memory, it does.
//!
//! It must never
//! * hold a capability to anything of the creator: the manager maps the stack
//!   and configures the execution, and what the factory gets is the TCB alone;
//! * believe where a thread's code is: a thread that begins nowhere crashes, and
//!   is reported as any other that does.
//!
//! # Windows
//! Each thread has a window, a piece of address space of 2 MiB
//! ([`xos_protocol::start::WINDOWS`]). Its number is the position of the thread
//! among all threads of the factory: so no two threads have the same one, in
//! whichever address space and through whichever session they were made, and
//! a window is free again when its thread is gone, without any bookkeeping.
//!
//! ```text
//! a window   0 ...                       nothing: whoever overruns the stack ends here
//!            2 MiB - stack - 1 page ...  stack, growing downward
//!            2 MiB - 1 page              IPC buffer, and behind it the thread pointer's block
//! ```
//!
//! # Cost
//! Kernel entries, beside the one per request that answers it and takes the next:
//!
//! | request | entries |
//! | --- | --- |
//! | spawn | 2: create at the manager, the registers |
//! | page | 6: the registers, twice to read and twice to write them; and nothing to answer |
//! | wait | 1: to keep who waits |
//! | exit | 2: destroy at the manager, and the answer to who waits |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use sel4::{Fault, UserContext};
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::{Entry, SelfOp};
use xos_protocol::manager::PAGE;
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::slots::{ic, leaf};
use xos_protocol::start::{THREAD_POINTER, WINDOW, WINDOWS};
use xos_protocol::{Contract, Error, ExitStatus, Result};
use xos_runtime::guarded;
use xos_runtime::panic_report::EXCEPTION;
use xos_server::factory::{Factory, Fate, Maker, Member, NeedsWithin};
use xos_server::{Parts, faults};

/// Threads at a time.
pub const MAX_THREADS: usize = 2048;

const _: () = assert!(MAX_THREADS as u64 * WINDOW <= WINDOWS.end - WINDOWS.start);

/// What threads are promised.
const CONTRACT: Contract = Contract {
    memory: Memory::SharedWithCreator,
    capabilities: Capabilities::Shared,
    names: Names::Creators,
    kernel_interface: KernelInterface::Sel4,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::CreatorsMemory,
    teardown: Teardown::ManagerAlone,
    channels: Channels::CreatorsMemory,
};

/// What a thread starts with: the registers of `xos_protocol::start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// RIP: the first instruction.
    pub ip: u64,
    /// RSP: the end of its stack.
    pub sp: u64,
    /// RDI: what its creator passed.
    pub argument: u64,
    /// RDX: address of its IPC buffer.
    pub buffer: u64,
    /// RCX and the base of FS: its thread pointer.
    pub thread_pointer: u64,
}

/// The invocations that the factory makes on the executions of its threads.
pub trait Kernel {
    /// Lets a thread that has not run yet do so, from these registers on.
    fn run(&mut self, thread: Parts, registers: &Registers) -> Result<()>;

    /// The registers RAX, RDI and RSI of a thread that stands still.
    fn report(&mut self, thread: Parts) -> Result<[u64; 3]>;

    /// [`faults::refuse`].
    fn refuse(&mut self, thread: Parts, error: Error) -> Result<bool>;

    /// [`faults::land`].
    fn land(&mut self, thread: Parts) -> Result<bool>;

    /// [`faults::have_call`].
    fn have_call(
        &mut self,
        thread: Parts,
        at: u64,
        through: u64,
        label: u64,
        words: [u64; 2],
    ) -> Result<UserContext>;

    /// [`faults::answered`].
    fn answered(&mut self, thread: Parts) -> Result<()>;

    /// [`faults::go_on`].
    fn go_on(&mut self, thread: Parts, registers: &UserContext) -> Result<()>;
}

/// A thread, as the factory remembers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Where it can ask for pages: [`Entry::pager`].
    pager: u64,
    /// Of one that asks for a page.
    asks: Option<Asks>,
}

/// A thread touched a page that its creator's factory may give, and asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asks {
    /// Its registers when it did.
    registers: UserContext,
    /// What becomes of it if there is no such page.
    report: xos_protocol::Fault,
}

/// Where a thread lies in its creator's address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    /// Lowest address of its stack.
    start: u64,
    /// Pages of stack, and the one of the IPC buffer behind it.
    pages: u32,
}

impl Window {
    /// The window of the thread whose parts node is in root slot `place`.
    fn new(place: u32, stack_pages: u16) -> Result<Self> {
        let number = place.checked_sub(FIRST_FREE_ROOT).ok_or(Error::Kernel)?;
        let pages = u32::from(stack_pages) + 1;
        let end = WINDOWS.start + (u64::from(number) + 1) * WINDOW;
        let start = end - u64::from(pages) * PAGE;
        Ok(Self { start, pages })
    }

    /// The IPC buffer.
    const fn buffer(self) -> u64 {
        self.start + (self.pages as u64 - 1) * PAGE
    }
}

/// The thread factory.
pub struct ThreadFactory<K> {
    kernel: K,
}

impl<K: Kernel> ThreadFactory<K> {
    /// A factory without threads.
    pub const fn new(kernel: K) -> Self {
        Self { kernel }
    }

    /// Has a thread ask for the page at `address`: whether it does.
    fn asks(
        &mut self,
        thread: &mut Member<'_, Thread>,
        fault: &Fault,
        address: u64,
        code: u64,
    ) -> bool {
        if thread.data.pager == 0 {
            return false;
        }
        let (pager, through) = (thread.data.pager, leaf(ic::ITSELF));
        let label = SelfOp::Touch.label();
        let kernel = &mut self.kernel;
        match kernel.have_call(thread.parts, pager, through, label, [address, code]) {
            Ok(registers) => {
                let report = faults::describe(fault);
                thread.data.asks = Some(Asks { registers, report });
                true
            }
            Err(_) => false,
        }
    }

    /// A thread that asked for a page has been answered; or it did something else instead, which is its end.
    fn has_asked(&mut self, thread: Parts, asks: &Asks, fault: &Fault) -> Fate {
        let told = match fault {
            Fault::UserException(fault) if fault.inner().get_Number() == EXCEPTION => {
                self.kernel.answered(thread)
            }
            // There is nobody to ask.
            Fault::CapFault(fault) if fault.inner().get_InRecvPhase() == 0 => Err(Error::Gone),
            _ => Err(Error::BadAddress),
        };
        // The instruction is executed again, or is one that wants to know that there is nothing.
        let goes_on = told.is_ok() && self.kernel.go_on(thread, &asks.registers).is_ok()
            || told.is_err() && self.lands(thread, &asks.registers);
        match goes_on {
            true => Fate::GoesOn,
            false => Fate::Ends(ExitStatus::Fault(asks.report)),
        }
    }

    /// Lets a thread go on where it says that it wants to if a page is missing.
    fn lands(&mut self, thread: Parts, registers: &UserContext) -> bool {
        let mut registers = registers.clone();
        let raw = registers.inner_mut();
        let Some(landing) = guarded::landing(raw.r8, raw.r9) else {
            return false;
        };
        raw.rip = landing;
        self.kernel.go_on(thread, &registers).is_ok()
    }
}

impl<K: Kernel> Factory for ThreadFactory<K> {
    type Ic = Thread;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn spawn(&mut self, maker: &mut Maker<'_>, entry: &Entry) -> Result<Thread> {
        let window = Window::new(maker.place(), entry.stack)?;
        let made = maker.create_within(&NeedsWithin {
            window: window.start,
            pages: window.pages,
            memory: 0,
            // The execution is all that is needed of it.
            parts_radix: 0,
            runs: true,
        })?;
        let buffer = window.buffer();
        let registers = Registers {
            ip: entry.ip,
            sp: buffer,
            argument: entry.argument,
            buffer,
            thread_pointer: buffer + THREAD_POINTER,
        };
        self.kernel.run(made.parts, &registers)?;
        Ok(Thread {
            pager: entry.pager,
            asks: None,
        })
    }

    fn start(&mut self, _thread: Member<'_, Thread>) -> Result<()> {
        // It was started when it was made.
        Err(Error::BadState)
    }

    fn fault(&mut self, mut thread: Member<'_, Thread>, fault: &Fault) -> Fate {
        if let Some(asks) = thread.data.asks.take() {
            return self.has_asked(thread.parts, &asks, fault);
        }
        let parts = thread.parts;
        if let Fault::VmFault(touch) = fault {
            let (address, code) = (touch.inner().get_Addr(), touch.inner().get_FSR());
            if self.asks(&mut thread, fault, address, code) || self.kernel.land(parts) == Ok(true) {
                return Fate::GoesOn;
            }
        }
        faults::fate(
            fault,
            &mut self.kernel,
            |kernel| kernel.refuse(parts, Error::Gone),
            |kernel| kernel.report(parts),
        )
    }
}
