// SPDX-License-Identifier: BSD-2-Clause
//! The record of what one IC has to do with another: the edges of the isolation graph.
//!
//! A session, a connection, a share, a watch, a declaration and an object of one's own are
//! one kind of record. Each has one slot in the pool, whose capability is the
//! root of everything that was handed out because of the bond; ending the bond
//! is revoking it. Its index is the badge of sessions and connections.

use xos_protocol::manager::{Consent, Relation, Rights};

use crate::machine::Slot;
use crate::table::{Link, Links, Record};

/// What a bond is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// None.
    Vacant = 0,
    /// `holder` opened `facing` by name or was passed it, and pays. Slot: the badged endpoint (or
    /// notification).
    Session,
    /// `facing` connected an endpoint of its own to `holder`, and pays. Slot: the badged endpoint.
    Connection,
    /// A region (`holder`) is mapped in `facing`; the region's owner pays. Slot: the node with its frames.
    Share,
    /// `holder` is told when `facing` ends (or, when they are the same, of all its events), and pays.
    /// Slot: the notification, badged.
    Watch,
    /// An endpoint of `holder`'s own, which pays. Slot: the original.
    Endpoint,
    /// A notification of `holder`'s own, which pays. Slot: the original.
    Notification,
    /// What `holder` has to do with `facing` as `by` says, which pays. Slot: empty.
    Declared,
}

/// Chains of a bond's links.
pub mod chain {
    /// In a list of its holder: an IC's `held` or `objects`, a region's `shares`.
    pub const HELD: usize = 0;
    /// In a list of the IC that it faces: `faced` or `closings`.
    pub const FACED: usize = 1;
}

/// One relation.
#[derive(Clone, Copy, Debug)]
pub struct Bond {
    /// What it is.
    pub kind: Kind,
    /// A session or connection that has ended, of which the server has not read yet.
    pub closed: bool,
    /// What the client (`holder`) of a session or connection consented to.
    pub consent: Consent,
    /// What its server (`facing`) consented to.
    pub offer: Consent,
    /// Pool slot of the object that a session or connection was minted from.
    pub source: Slot,
    /// Of a declaration: what it says.
    pub relation: Relation,
    /// Of a declaration: who made it.
    pub by: Link,
    /// What a share allows.
    pub rights: Rights,
    /// An IC; of a share, a region. None when it is gone and `closed` keeps the bond.
    pub holder: Link,
    /// An IC; none for objects.
    pub facing: Link,
    /// Of an object: the root slot in which its holder has it, which is its name. Of a watch: the one of
    /// the notification, 0 for the channel of a boot domain.
    pub place: u16,
    /// Of a share: the untyped that its node and tables are made from.
    pub chunk: Link,
    links: [Links; 2],
}

const NOTHING: Consent = Consent {
    within: false,
    share: false,
    connect: false,
};

impl Record for Bond {
    const VACANT: Self = Self {
        kind: Kind::Vacant,
        closed: false,
        consent: NOTHING,
        offer: NOTHING,
        source: 0,
        relation: Relation::Calls,
        by: Link::NONE,
        rights: Rights {
            read: false,
            write: false,
            execute: false,
        },
        holder: Link::NONE,
        facing: Link::NONE,
        place: 0,
        chunk: Link::NONE,
        links: [Links::NONE; 2],
    };
    fn links(&mut self, chain: usize) -> &mut Links {
        &mut self.links[chain]
    }
    fn links_of(&self, chain: usize) -> &Links {
        &self.links[chain]
    }
}
