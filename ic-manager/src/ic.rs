// SPDX-License-Identifier: BSD-2-Clause
//! The record of an isolation context.

use xos_protocol::{IcId, IcState, Name};

use crate::arena::Arena;
use crate::ledger::Account;
use crate::machine::Slot;
use crate::table::{Link, Links, List, Record};

/// How far an IC is gone, for the manager. (What is shown is an [`IcState`].)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// No IC.
    Vacant = 0,
    /// It exists.
    Alive,
    /// It is being taken apart; its id names nothing any more.
    Dying,
    /// All that is left is the news of its death, which its creator has not read yet.
    Unread,
}

/// Chains of an IC's links.
pub mod chain {
    /// In a list of its creator: [`super::Ic::created`], `departing` or `obituaries`.
    pub const CREATED: usize = 0;
    /// In a list of its payer: [`super::Ic::paid`] or `leaving`.
    pub const PAID: usize = 1;
    /// In [`super::Ic::hosted`] of its host; when it is dying, in the queue for the reaper.
    pub const HOSTED: usize = 2;
    /// In the manager's queue of those that answer who waits for them.
    pub const ANSWERING: usize = 3;
}

/// An isolation context.
///
/// Its index is also that of its badges and of its slots in the pool.
#[derive(Clone, Copy, Debug)]
pub struct Ic {
    /// Its id; a record that is vacant or dying has none that anyone could name.
    pub id: IcId,
    /// How far it is gone.
    pub phase: Phase,
    /// What lists show.
    pub state: IcState,
    /// Whether it is a domain that existed at boot (its capabilities are the root task's).
    pub domain: bool,
    /// Whether it may see and end everything.
    pub supervisor: bool,
    /// A boot domain that crashed and is being cleaned up after: it is told nothing.
    pub crashed: bool,
    /// All is done for it but to wait for the memory of its ICs.
    pub cleaned: bool,
    /// Nobody has to be told of its death: its creator asked for it.
    pub quiet: bool,
    /// Its executions may hold the replies of others: it has an endpoint of its own.
    pub serves: bool,
    /// It is in the queue of those that answer who waits for them.
    pub answers: bool,
    /// Who created it.
    pub creator: Link,
    /// Who pays for it.
    pub payer: Link,
    /// In whose CSpace and VSpace it executes, if not its own.
    pub host: Link,
    /// Where [`crate::Manager`] goes on after it has taken this one apart.
    pub back: Link,
    /// The watch on its own events, if it has set one.
    pub bell: Link,

    /// ICs that it created and that are alive.
    pub created: List,
    /// ICs that it created and that are being taken apart.
    pub departing: List,
    /// ICs that it created, whose death it has not read of.
    pub obituaries: List,
    /// ICs that it pays for and that are alive.
    pub paid: List,
    /// ICs that it pays for and whose memory is not back yet.
    pub leaving: List,
    /// ICs that execute within it.
    pub hosted: List,
    /// Regions that it made.
    pub regions: List,
    /// Regions that it pays for.
    pub bought: List,
    /// Bonds that it holds: sessions and connections as a client, watches.
    pub held: List,
    /// Bonds that face it: sessions and connections as a server, shares, watches on it.
    pub faced: List,
    /// Objects made for it.
    pub objects: List,
    /// Sessions that have ended and of which it, as their server, has not read.
    pub closings: List,
    links: [Links; 4],

    /// What it may spend.
    pub account: Account,
    /// What it is made of.
    pub arena: Arena,
    /// Pages that the root task made it of (boot domains only).
    pub boot_pages: u32,
    /// Radix of its parts node.
    pub parts_radix: u8,
    /// Radix of its CSpace.
    pub cspace_radix: u8,
    /// The ASID pool that its VSpace is in.
    pub asid_pool: u8,
    /// The ASID pool that the root of its second-stage translation is in.
    pub stage_pool: u8,
    /// Sessions in `closings`.
    pub unread: u16,
    /// Root slots in which it keeps reply capabilities: the first, and how many.
    pub kept: (u16, u16),
    /// Pool slot of the endpoint from which its clients' and ICs' capabilities are minted; 0 for none.
    pub endpoint: Slot,
    /// Which of its badged endpoints exist, a bit per [`crate::pool::Part`].
    pub minted: u8,
    /// The endpoint of which the slot holds a badged one, for each of [`crate::pool::Part::Handle`],
    /// `Itself` and `Session`; 0 for none. The only thing that outlives the IC: the next one with this
    /// index has the same badges, and its factory is likely to be the same.
    pub names: [Slot; 3],
    /// Its arena is gone; the record waits for what it pays for.
    pub emptied: bool,
    /// Paging structures that the manager mapped in its VSpace.
    pub tables: u8,
    /// What its creator calls it.
    pub name: Name,
    /// The name that it is registered under itself, if it is a server.
    pub service: Name,
}

impl Record for Ic {
    const VACANT: Self = Self {
        id: IcId::NONE,
        phase: Phase::Vacant,
        state: IcState::New,
        domain: false,
        supervisor: false,
        crashed: false,
        cleaned: false,
        quiet: false,
        serves: false,
        answers: false,
        creator: Link::NONE,
        payer: Link::NONE,
        host: Link::NONE,
        back: Link::NONE,
        bell: Link::NONE,
        created: List::EMPTY,
        departing: List::EMPTY,
        obituaries: List::EMPTY,
        paid: List::EMPTY,
        leaving: List::EMPTY,
        hosted: List::EMPTY,
        regions: List::EMPTY,
        bought: List::EMPTY,
        held: List::EMPTY,
        faced: List::EMPTY,
        objects: List::EMPTY,
        closings: List::EMPTY,
        links: [Links::NONE; 4],
        account: Account::NONE,
        arena: Arena::EMPTY,
        boot_pages: 0,
        parts_radix: 0,
        cspace_radix: 0,
        asid_pool: 0,
        stage_pool: crate::create::NO_ASID,
        unread: 0,
        kept: (0, 0),
        endpoint: 0,
        minted: 0,
        names: [0; 3],
        emptied: false,
        tables: 0,
        name: Name::EMPTY,
        service: Name::EMPTY,
    };
    fn reset(&mut self) {
        *self = Self {
            names: self.names,
            ..Self::VACANT
        };
    }
    fn links(&mut self, chain: usize) -> &mut Links {
        &mut self.links[chain]
    }
    fn links_of(&self, chain: usize) -> &Links {
        &self.links[chain]
    }
}
