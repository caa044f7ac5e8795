// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the factory wants it.

use sel4::UserContext;
use thread_factory::{Kernel, Registers};
use xos_server::protocol::{Error, Result};
use xos_server::{Parts, faults};

/// All registers.
const ALL: u64 = 19;

/// The kernel.
pub struct Machine;

impl Kernel for Machine {
    fn run(&mut self, thread: Parts, registers: &Registers) -> Result<()> {
        let mut context = UserContext::default();
        let raw = context.inner_mut();
        raw.rip = registers.ip;
        raw.rsp = registers.sp;
        raw.rdi = registers.argument;
        raw.rdx = registers.buffer;
        raw.rcx = registers.thread_pointer;
        raw.tls_base = registers.thread_pointer;
        thread
            .tcb()
            .tcb_write_registers(true, ALL, &mut context)
            .map_err(|_| Error::Kernel)
    }

    fn report(&mut self, thread: Parts) -> Result<[u64; 3]> {
        faults::report_registers(thread.tcb())
    }

    fn refuse(&mut self, thread: Parts, error: Error) -> Result<bool> {
        faults::refuse(thread.tcb(), error)
    }

    fn land(&mut self, thread: Parts) -> Result<bool> {
        faults::land(thread.tcb())
    }

    fn have_call(
        &mut self,
        thread: Parts,
        at: u64,
        through: u64,
        label: u64,
        words: [u64; 2],
    ) -> Result<UserContext> {
        faults::have_call(thread.tcb(), at, through, label, words)
    }

    fn answered(&mut self, thread: Parts) -> Result<()> {
        faults::answered(thread.tcb())
    }

    fn go_on(&mut self, thread: Parts, registers: &UserContext) -> Result<()> {
        faults::go_on(thread.tcb(), registers)
    }
}
