// SPDX-License-Identifier: BSD-2-Clause
//! What the factory needs of the kernel, in its own terms.
//!
//! Everything else in this library is decisions; every effect on a process goes
//! through [`Kernel`]. So the factory runs on the host against a model, and what
//! is specific to one kernel lies in the program that plugs it in.

use core::fmt;

use xos_protocol::Error;

/// A capability slot: part `index` of the node in root slot `node` of the factory's CSpace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct At {
    /// Root slot of the node.
    pub node: u32,
    /// Index in the node.
    pub index: u32,
}

/// What is made of untyped memory; each is a page in size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Object {
    /// A frame.
    Frame,
    /// A page table: 2 MiB of frames.
    Table,
    /// A page directory: 1 GiB of page tables.
    Directory,
    /// A page-directory-pointer table: 512 GiB of page directories.
    Pointers,
}

impl Object {
    /// What it is mapped into.
    pub const fn above(self) -> Option<Self> {
        match self {
            Self::Frame => Some(Self::Table),
            Self::Table => Some(Self::Directory),
            Self::Directory => Some(Self::Pointers),
            Self::Pointers => None,
        }
    }
}

/// Why the kernel refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The structure that something was to be mapped into is missing.
    #[error("a paging structure is missing")]
    Missing,
    /// Anything else. The parts of a process can vanish at any moment (whoever pays for it has died,
    /// say), so this says nothing about who is to blame.
    #[error("the kernel refused")]
    Other,
}

impl From<Refusal> for Error {
    fn from(_: Refusal) -> Self {
        Self::Kernel
    }
}

/// Result of an invocation.
pub type Outcome<T = ()> = Result<T, Refusal>;

/// How a process executes: what its TCB is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Execution {
    /// Radix of its CSpace.
    pub cspace_radix: u32,
    /// The frame of its IPC buffer.
    pub buffer: At,
    /// Where that is mapped.
    pub buffer_address: u64,
    /// Whether the CSpace gets its own root.
    pub composes: bool,
    /// Untyped memory for the node with the root, if the CSpace is too large for one to be enough.
    pub root_node: Option<At>,
}

/// What a process starts with: the registers of `xos_protocol::start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// RIP: the first instruction.
    pub ip: u64,
    /// RSP: the end of its stack.
    pub sp: u64,
    /// RDI: address of its start information; 0 if there is none.
    pub info: u64,
    /// RSI: bytes of it.
    pub info_bytes: u64,
    /// RDX: address of its IPC buffer.
    pub buffer: u64,
    /// RCX and the base of FS: its thread pointer.
    pub thread_pointer: u64,
}

/// All registers of an execution that stands still, in the kernel's order (`seL4_UserContext`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context(pub [u64; Context::REGISTERS]);

impl Context {
    /// How many there are.
    pub const REGISTERS: usize = 19;
    const RIP: usize = 0;
    const RSP: usize = 1;
    const RCX: usize = 5;
    const RDX: usize = 6;
    /// The instruction that makes a system call (`sysenter`).
    pub const CALL: [u8; 2] = [0x0f, 0x34];

    /// Address of the next instruction.
    pub const fn instruction(&self) -> u64 {
        self.0[Self::RIP]
    }

    /// The registers, when the next instruction is a [`CALL`](Self::CALL) that is to be made elsewhere. It
    /// finds the stack and itself in two of them by this kernel's convention, and so the kernel does not
    /// save them.
    ///
    /// Only there the registers are all that there is: the kernel tells nobody what is in the vector
    /// registers, and who calls leaves nothing there (`sel4_sys`).
    #[must_use]
    pub const fn in_a_call(mut self) -> Self {
        self.0[Self::RCX] = self.0[Self::RSP];
        self.0[Self::RDX] = self.0[Self::RIP];
        self
    }
}

/// The invocations that the factory makes, one system call each where nothing else is said.
pub trait Kernel {
    /// Makes objects of untyped memory, into the slots of the node in root slot `node` from `first` on.
    fn retype(&mut self, untyped: At, object: Object, node: u32, first: u32, count: u32)
    -> Outcome;

    /// Makes a node of radix [`NODE_RADIX`](crate::arena::NODE_RADIX) in an empty root slot. (Two calls: the
    /// second one sets its guard.)
    fn make_node(&mut self, untyped: At, place: u32) -> Outcome;

    /// Deletes what is in a root slot, if anything.
    fn clear(&mut self, place: u32);

    /// Deletes what is in a slot, if anything; a frame is unmapped where it was mapped by that capability.
    fn delete(&mut self, at: At);

    /// Copies a frame's capability, which may be mapped, so that the frame can be mapped once more, read-only.
    fn copy(&mut self, from: At, to: At) -> Outcome;

    /// Maps a paging structure into the address space of the process whose parts node is in root slot
    /// `parts`.
    fn map_table(&mut self, table: At, object: Object, parts: u32, address: u64) -> Outcome;

    /// Maps a frame there.
    fn map_frame(&mut self, frame: At, parts: u32, address: u64, writable: bool) -> Outcome;

    /// Writes to a frame that is mapped nowhere. (Two calls: to map it into the factory's address space,
    /// and to unmap it.)
    fn write(&mut self, frame: At, offset: usize, bytes: &[u8]) -> Outcome;

    /// Reads a frame that may be mapped elsewhere. (Four calls.)
    fn read(&mut self, frame: At, offset: usize, bytes: &mut [u8]) -> Outcome;

    /// Copies a frame that may be mapped elsewhere to one that is mapped nowhere. (Six calls: both are mapped
    /// into the factory's address space meanwhile.)
    fn copy_frame(&mut self, from: At, to: At) -> Outcome;

    /// Configures the execution of a process. (One more call if it composes, three with a node for the root.)
    fn configure(&mut self, parts: u32, execution: &Execution) -> Outcome;

    /// Sets the registers of a process that has not run yet.
    fn set_registers(&mut self, parts: u32, registers: &Registers) -> Outcome;

    /// All registers of a process that stands still.
    fn context(&mut self, parts: u32) -> Outcome<Context>;

    /// Sets all registers of a process that has not run yet.
    fn set_context(&mut self, parts: u32, context: &Context) -> Outcome;

    /// The registers RAX, RDI and RSI of a process that stands still.
    fn registers(&mut self, parts: u32) -> Outcome<[u64; 3]>;

    /// Ends the system call that a process failed in as if it had been answered with an error, if it is a
    /// call or a send: whether it was. (Two calls.)
    fn refuse(&mut self, parts: u32, error: Error) -> Outcome<bool>;

    /// Lets a process go on that was copying from or to what is not there, where it says that it wants to:
    /// whether it does (`xos_runtime::guarded`). (Two calls.)
    fn land(&mut self, parts: u32) -> Outcome<bool>;

    /// Memory of the factory's own at `address`, where a region is mapped for now.
    fn fill(&mut self, address: u64, bytes: &[u8]);

    /// A line for the log.
    fn log(&mut self, line: fmt::Arguments<'_>);
}
