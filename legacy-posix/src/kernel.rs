// SPDX-License-Identifier: BSD-2-Clause
//! What the server needs of the machine.

use alloc::string::String;
use core::fmt;

use crate::errno::Result;
use crate::mm::{Paging, Space};
use crate::pages::Claim;

/// Something that executes, as [`Kernel`] names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Execution(pub u32);

/// The registers of a thread, in the kernel's order (those before RBX are what finishing a system call
/// takes).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub struct Registers {
    pub rip: u64,
    pub rsp: u64,
    pub rflags: u64,
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub fs_base: u64,
}

impl Registers {
    /// The six arguments of a system call.
    pub const fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// What of the registers is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Nothing: it goes on where it faulted.
    Nothing,
    /// RIP, RSP, RFLAGS and RAX; what a call may change beside these (RCX, R11) is undefined.
    Result,
    /// All of them.
    All,
}

/// The machine: address spaces, executions, time, and where to write to.
pub trait Kernel: Paging {
    /// An empty address space.
    ///
    /// # Errors
    /// [`Errno::NOMEM`](crate::Errno::NOMEM), [`Errno::AGAIN`](crate::Errno::AGAIN).
    fn create_space(&mut self) -> Result<Space>;

    /// An address space is not needed any more; nothing executes in it. What is mapped in it goes.
    fn end_space(&mut self, space: Space);

    /// How many address spaces can still be made, and how many there can be.
    fn spaces(&self) -> (usize, usize);

    /// For whom address spaces grow from now on.
    fn serve(&mut self, claim: Claim);

    /// An execution in an address space, that stands still.
    ///
    /// # Errors
    /// As for [`Kernel::create_space`].
    fn create_execution(&mut self, space: Space) -> Result<Execution>;

    /// An empty address space and an execution in it, that stands still.
    ///
    /// # Errors
    /// As for [`Kernel::create_space`]; neither is there then.
    fn create_space_and_execution(&mut self) -> Result<(Space, Execution)> {
        let space = self.create_space()?;
        match self.create_execution(space) {
            Ok(execution) => Ok((space, execution)),
            Err(error) => {
                self.end_space(space);
                Err(error)
            }
        }
    }

    /// Stops an execution for good.
    fn end_execution(&mut self, execution: Execution);

    /// The registers of an execution whose fault is being seen to.
    fn registers(&mut self, execution: Execution) -> Registers;

    /// An execution whose fault is being seen to has to wait. It stands still then, even if its fault was
    /// made up.
    fn hold(&mut self, execution: Execution);

    /// The registers of an execution, which stops if it has not stopped by itself.
    fn stop(&mut self, execution: Execution) -> Registers;

    /// Writes registers of an execution that stands still, and lets it run. One whose fault is being seen to
    /// may go on only when the server waits for the next event.
    fn run(&mut self, execution: Execution, registers: &Registers, extent: Extent);

    /// Bytes of the server's heap that are in use, and all that there are.
    fn heap(&mut self) -> (usize, usize);

    /// Nanoseconds since some moment in the past.
    fn now(&mut self) -> u64;

    /// Nanoseconds since 1970 at [`Kernel::now`]'s zero.
    fn epoch(&mut self) -> u64;

    /// Has [`Server::tick`](crate::server::Server::tick) called at that time, as [`Kernel::now`] counts;
    /// it takes the place of the time that was asked for before. `None` is never.
    fn alarm(&mut self, at: Option<u64>);

    /// What random numbers are made from: bits that nobody can guess. To be asked once.
    fn seed(&mut self) -> [u8; 32];

    /// What the processor can do (EDX of CPUID leaf 1), for `AT_HWCAP`.
    fn features(&mut self) -> u64;

    /// What the processor calls itself.
    fn processor(&mut self) -> String;

    /// A line for the log.
    fn log(&mut self, line: fmt::Arguments<'_>);
}
