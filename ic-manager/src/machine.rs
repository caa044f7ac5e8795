// SPDX-License-Identifier: BSD-2-Clause
//! What the manager needs of the kernel, in its own terms.
//!
//! Everything else in this library is bookkeeping; every effect on the machine
//! goes through [`Machine`]. So the whole manager runs on the host against a
//! model of the kernel, and the few lines that are specific to one kernel lie
//! in the program that plugs it in.
//!
//! The manager invokes only capabilities in its own pool and in nodes that no
//! one else can write to, and it tells capabilities apart by where it put them
//! itself, never by looking.

use thiserror::Error;

/// Index of a capability slot in the manager's pool.
pub type Slot = u32;

/// Stands for the pool itself where a CNode is asked for.
pub const POOL: Slot = Slot::MAX;

/// A capability slot: `index`, `depth` bits of it, resolved from the CNode `root`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// Pool slot of the CNode from which the slot is found, or [`POOL`].
    pub root: Slot,
    /// Path from there.
    pub index: u64,
    /// Bits of the path; 0 names the CNode itself (as the target of [`Machine::retype`]).
    pub depth: u32,
}

impl At {
    /// A slot of the pool.
    pub const fn pool(slot: Slot) -> Self {
        Self {
            root: POOL,
            index: slot as u64,
            depth: crate::pool::RADIX,
        }
    }

    /// Slot `index` of the CNode in pool slot `root`, whose radix is `radix` and whose guard is empty.
    pub const fn node(root: Slot, index: u32, radix: u32) -> Self {
        Self {
            root,
            index: index as u64,
            depth: radix,
        }
    }

    /// The CNode in pool slot `root` itself.
    pub const fn whole(root: Slot) -> Self {
        Self {
            root,
            index: 0,
            depth: 0,
        }
    }

    /// Slot `index` of the CNode of radix `radix` that lies in this slot.
    pub const fn below(self, index: u32, radix: u32) -> Self {
        Self {
            root: self.root,
            index: self.index << radix | index as u64,
            depth: self.depth + radix,
        }
    }
}

/// What can be made from untyped memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A smaller piece of untyped memory (size as a power of two of bytes).
    Untyped(u8),
    /// A CNode (radix).
    Node(u8),
    /// Something that executes.
    Execution,
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// A 4 KiB frame.
    Frame,
    /// A 2 MiB frame.
    LargeFrame,
    /// A paging structure.
    Table(Level),
    /// A paging structure of a second-stage translation.
    StageTable(Level),
    /// The root of an address space.
    VSpace,
    /// The root of a second-stage translation, which is like one.
    SecondStage,
}

/// The paging structures below the root, by what one entry of them spans.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Its entries are 4 KiB frames; it spans 2 MiB.
    Frames,
    /// Its entries are tables of frames, or 2 MiB frames; it spans 1 GiB.
    Tables,
    /// Its entries are tables of tables; it spans 512 GiB.
    Directories,
}

/// The root of a translation, by its pool slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Root {
    /// Of an address space.
    VSpace(Slot),
    /// Of a second-stage translation.
    SecondStage(Slot),
}

impl Root {
    /// The paging structures below it.
    pub const fn table(self, level: Level) -> Kind {
        match self {
            Self::VSpace(_) => Kind::Table(level),
            Self::SecondStage(_) => Kind::StageTable(level),
        }
    }
}

/// Rights of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rights {
    /// All that the original has.
    All,
    /// To send through it and to be answered.
    Send,
    /// To read the memory.
    Read,
}

/// A capability to invoke, of a frame or a paging structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cap {
    /// In the pool.
    Pool(Slot),
    /// At this index of the node that is [shown](Machine::show).
    Shown(u32),
}

/// How an IC within another executes: all that its TCB is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Execution {
    /// Pool slot of the host's CSpace root.
    pub cspace: Slot,
    /// Its guard, as the kernel's CSpace data.
    pub guard: u64,
    /// Pool slot of the host's VSpace root.
    pub vspace: Slot,
    /// CPtr, in that CSpace, of where faults go.
    pub fault: u64,
    /// The frame with its IPC buffer.
    pub buffer: Cap,
    /// The address where that frame is mapped.
    pub buffer_address: u64,
}

/// Where an IC that is going keeps reply capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Pool slot of its CSpace root.
    pub cspace: Slot,
    /// That one's radix.
    pub radix: u32,
    /// The first root slot with one.
    pub first: u32,
    /// How many there may be; empty slots do no harm.
    pub count: u32,
}

/// Why the kernel refused. What it means depends on what was asked: to a slot
/// that a caller named, [`Refusal::Occupied`] is the caller's mistake; to one
/// of the manager's own it is a defect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// The destination is not empty, or something is mapped there.
    #[error("the destination is in use")]
    Occupied,
    /// A slot or a paging structure on the way does not exist.
    #[error("a slot or a table on the way is missing")]
    Missing,
    /// Not enough memory is left in the untyped.
    #[error("the untyped memory is too small")]
    Memory,
    /// Anything else: the kernel's error code.
    #[error("the kernel answered {0}")]
    Other(u8),
}

/// Result of an invocation.
pub type Outcome = Result<(), Refusal>;

/// One step of a job that is too long for the manager to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Delete everything derived from the capability in a pool slot.
    Revoke(Slot),
    /// Delete the capability in a pool slot.
    Delete(Slot),
    /// Have the kernel zero the untyped memory in a pool slot now, so that nobody waits for it later.
    Clean(Slot),
    /// All steps before this one are done; [`crate::Manager::reaped`] is to be called with the tag.
    Done(u32),
}

/// The invocations that the manager makes.
///
/// An implementation does nothing but what is asked; in particular it must
/// neither block nor retry.
pub trait Machine {
    /// Whether there are second-stage translations.
    const SECOND_STAGE: bool;

    /// Size of an object as a power of two of bytes; objects are aligned to their size.
    fn bits(kind: Kind) -> u8;

    /// Makes `count` objects from the untyped memory in pool slot `untyped`, into the slots of `node`
    /// from `first` on (`seL4_Untyped_Retype`). A failed call has changed nothing.
    fn retype(&mut self, untyped: Slot, kind: Kind, node: At, first: u32, count: u32) -> Outcome;
    /// `seL4_CNode_Copy`.
    fn copy(&mut self, from: At, to: At, rights: Rights) -> Outcome;
    /// `seL4_CNode_Mint`: `data` is the badge, or the guard of a CNode.
    fn mint(&mut self, from: At, to: At, rights: Rights, data: u64) -> Outcome;
    /// `seL4_CNode_Delete`. Deleting what is not there is no error.
    fn delete(&mut self, at: At) -> Outcome;
    /// `seL4_CNode_Revoke` of a pool slot. Revoking what is not there is no error.
    fn revoke(&mut self, slot: Slot) -> Outcome;
    /// `seL4_CNode_CancelBadgedSends` of a pool slot.
    fn cancel_badged_sends(&mut self, slot: Slot) -> Outcome;

    /// `seL4_TCB_Suspend`.
    fn suspend(&mut self, tcb: Slot) -> Outcome;
    /// `seL4_TCB_Resume`.
    fn resume(&mut self, tcb: Slot) -> Outcome;
    /// Makes a boot domain's execution crash, wherever it stands: it goes on at an address where nothing
    /// is. Its supervisor does the rest.
    fn crash(&mut self, tcb: Slot) -> Outcome;
    /// `seL4_TCB_Configure`, at the priority of apps.
    fn configure(&mut self, tcb: Slot, execution: &Execution) -> Outcome;
    /// Makes an execution whose CSpace and VSpace are about to go answer whoever waits for its reply,
    /// with [`xos_protocol::Error::ServerDied`]. Nobody else holds its TCB any more. When that is done,
    /// [`crate::Manager::answered`] is to be called.
    fn answer_caller(&mut self, tcb: Slot) -> Outcome;
    /// The same, and then has it answer, in its own CSpace, through the reply capabilities that are kept
    /// there. Nobody else holds that CSpace any more either; what is in its slots is the IC's own doing,
    /// and invoked by its own execution, with its own rights.
    fn answer_kept(&mut self, tcb: Slot, kept: &Kept) -> Outcome;
    /// `seL4_TCB_BindNotification`.
    fn bind(&mut self, tcb: Slot, notification: Slot) -> Outcome;

    /// Makes an ASID pool from an untyped of one page, into pool slot `to`.
    fn make_asid_pool(&mut self, untyped: Slot, to: Slot) -> Outcome;
    /// Gives the VSpace, or the root of a second-stage translation, in a pool slot an ASID of a pool.
    fn assign_asid(&mut self, pool: Slot, vspace: Slot) -> Outcome;
    /// Maps a paging structure; [`Refusal::Missing`] when the one above is missing.
    fn map_table(&mut self, table: Cap, level: Level, root: Root, address: u64) -> Outcome;
    /// Maps a frame; [`Refusal::Missing`] when there is no table.
    fn map_frame(&mut self, frame: Cap, root: Root, address: u64, writable: bool) -> Outcome;
    /// Unmaps a frame, if it is mapped.
    fn unmap_frame(&mut self, frame: Cap);
    /// Makes the capabilities of a node invocable as [`Cap::Shown`], instead of those of another one.
    fn show(&mut self, node: At, radix: u8) -> Outcome;
    /// Ends that.
    fn hide(&mut self);

    /// `seL4_Signal` on a pool slot; nobody there to be told is no error.
    fn signal(&mut self, slot: Slot);
    /// Hands steps to the reaper, all or none; `false` when its queue has no room.
    fn reap(&mut self, steps: &[Step]) -> bool;

    /// Asks the supervisor which boot domain crashed, if any.
    fn next_crash(&mut self) -> Option<u32>;
    /// Tells the supervisor that a boot domain's ICs and sessions are gone.
    fn disposed(&mut self, domain: u32);
    /// Tells the supervisor to end the machine.
    fn power_off(&mut self, code: u64);

    /// Something happened that the manager's logic excludes: for the log.
    fn defect(&mut self, what: &'static str, refusal: Refusal);
}
