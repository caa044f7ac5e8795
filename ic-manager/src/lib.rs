// SPDX-License-Identifier: BSD-2-Clause
//! The IC manager: it owns all memory and every isolation context (IC).
//!
//! # What it is for
//!
//! An operating system needs one first-class object for "something that is
//! isolated", and one place that decides what such a thing is made of, who pays
//! for it, who may name it, and that it can be got rid of. That place is this
//! program. What an IC *is like* (what runs in it, what it sees, how it ends)
//! is the business of factories, which compose ICs out of the parts that the
//! manager makes, and of which the manager knows nothing but their endpoints.
//!
//! # What it must never do
//!
//! * **Wait for anyone.** Everybody calls it, so whoever it waited for could
//!   stop everybody. It replies and signals; what takes long is done by the
//!   [reaper](machine::Step), which waits for no one either.
//! * **Trust what others can write to.** It never looks at, invokes or copies
//!   from a capability slot that anyone else can change. What it needs later it
//!   keeps in its own pool; what a client names by a slot of its own CSpace is
//!   looked up in the manager's books, not in the CSpace.
//! * **Know kinds.** No kind of IC is mentioned here. A new factory needs no
//!   change in this folder, and a test sees to it that the words stay out.
//! * **Hold memory for one at the expense of another.** Everything it does for
//!   someone is on that one's account, to the page and to the table entry.
//! * **Panic on input.** Any words from anyone are answered.
//!
//! # The pool
//!
//! All capabilities lie in one large CNode. A slot belongs to the record with
//! the matching index, so slots need no allocator ([`pool`] has the map):
//!
//! ```text
//!  IC 17                                IC record 17
//!  +----+----+----+----+----+----+----+----+----+-- ... --+
//!  |TCB |CSp |part|VSp |hndl|self|mgr |node| tables (8)   |   pool slots 34880 + 16 * 17 ...
//!  +-|--+-|--+-|--+-|--+-|--+-|--+-|--+----+--------------+
//!    |    |    |    |    |    |    +------ copy in the IC's slot 2: its session here
//!    |    |    |    |    |    +----------- copy in the IC's slot 1: itself at its factory
//!    |    |    |    |    +---------------- copy in its payer's CSpace: the handle
//!    |    |    |    |
//!    v    v    v    v      all four are made from the arena's first chunk, the VSpace last
//!  copies in the parts node, and behind them the untyped pieces;
//!  one copy of the parts node itself lies in the factory's CSpace
//! ```
//!
//! Originals are here, copies elsewhere. The kernel lets only an original be a
//! parent of revocation, so nobody can take anything from the manager, and the
//! manager can take everything from everybody.
//!
//! # The life of an IC
//!
//! 1. A factory asks for one on behalf of a client, which it names by the client's
//!    session. The session's record says whose budget that is, and the quota
//!    is reserved there ([`ledger`]).
//! 2. The arena's first chunk comes from the allocator ([`untyped`]): just large
//!    enough for the parts node, the CSpace, the TCB and the VSpace, which are
//!    retyped from it in this order. Memory for the factory to compose with comes
//!    in chunks of exactly the wanted sizes ([`arena`]).
//! 3. Copies go into the parts node, and the node goes into the factory's
//!    CSpace: one capability, in which every part is addressable.
//! 4. The handle, the IC's own session with its factory and the one with the manager are
//!    minted, each with the IC's index in its badge.
//! 5. From here on the factory invokes the kernel directly. The manager is asked
//!    again for more memory, regions, sessions, or the end.
//! 6. [`destroy`] revokes the badges, then the chunks. Nothing is left of the IC
//!    anywhere; its budget is back, to the page.
//!
//! # Reading on
//!
//! | module | what it answers |
//! | --- | --- |
//! | [`machine`] | what is needed of the kernel |
//! | [`pool`], [`table`] | where capabilities and records lie |
//! | [`untyped`], [`arena`] | where memory comes from |
//! | [`ledger`] | who pays |
//! | [`ic`], [`bond`], [`region`], [`registry`] | the records |
//! | `create`, [`destroy`], [`share`], [`session`], `events`, `list` | the operations |
//! | `dispatch` | from a message to an operation |
//! | [`start`] | taking over the machine |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod arena;
pub mod asid;
pub mod bond;
mod create;
pub mod destroy;
mod dispatch;
mod events;
pub mod ic;
pub mod ledger;
mod list;
pub mod machine;
mod manager;
pub mod pool;
pub mod region;
pub mod registry;
pub mod session;
pub mod share;
mod stage;
pub mod start;
pub mod table;
pub mod untyped;

pub use dispatch::{REGISTERS, Reply};
pub use machine::{Machine, Step};
pub use manager::{Manager, Storage};

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
