// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of this suite say to each other.
#![no_std]

use xos_protocol::start::{WINDOW, WINDOWS};

/// What a party asks of a hub.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Ask {
    /// Words: three numbers of inlets and the address of a place. The hub connects an endpoint and a notification,
    /// passes its session on the timer on, and shares a region. Answer: index of the first, the second and the
    /// third link, id of the region.
    Hello = 0x700,
    /// Answer: the sum of the two words.
    Add,
    /// No answer: the hub remembers the word.
    Note,
    /// Answer: the last word that was noted.
    Last,
    /// Answer: the bits that were signalled.
    Signals,
    /// Answer: the first word of the region, to which the hub adds one then.
    Read,
    /// The hub agrees to be connected. Answer: number of an inlet.
    Agree,
    /// No answer: the hub calls [`Ask::Add`] with 20 and 22 through that inlet, and notes what comes of it.
    CallBack,
    /// The hub takes everything back from the caller that it gave it.
    Revoke,
    /// What nobody should receive.
    Probe,
    /// Answer: how many [`Ask::Probe`] the hub received.
    Probes,
}

impl Ask {
    /// All of them.
    const ALL: [Self; 11] = [
        Self::Hello,
        Self::Add,
        Self::Note,
        Self::Last,
        Self::Signals,
        Self::Read,
        Self::Agree,
        Self::CallBack,
        Self::Revoke,
        Self::Probe,
        Self::Probes,
    ];

    /// Its label.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Reads a label.
    pub fn from_label(label: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|ask| ask.label() == label)
    }
}

/// What the judge tells the nodes of a web, and, the last two, what nodes say to each other. The answer is four
/// words, of which the second is the word that the node knows.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Order {
    /// Word: a node. Opens it, with consent to everything. Answer: index of the session.
    Open = 0x720,
    /// Word: a node. Closes the session with it.
    Close,
    /// Words: number of an inlet, whether it is for a signal. Answer: the slot, not used, an address for memory.
    Inlet,
    /// Words: index of a session of the other's on this node, a slot. Gives the other the node's endpoint. Answer:
    /// index of the link.
    Connect,
    /// The same with the node's notification.
    Bell,
    /// Words: index of a session, an address, whether it may be written to. Gives the other the node's region, whose
    /// id is the answer.
    Share,
    /// Words: index of a session, a slot, a node. Gives the other a session with that node. Answer: its index.
    Pass,
    /// Word: the only one that the node knows from now on, 0 for none.
    Begin,
    /// Word: what is to be passed on. The node takes in what there is, and tells it everybody if it knows it.
    Talk,
    /// Word: from another node.
    Word,
    /// A node asks for it.
    Ask,
}

impl Order {
    /// All of them.
    const ALL: [Self; 11] = [
        Self::Open,
        Self::Close,
        Self::Inlet,
        Self::Connect,
        Self::Bell,
        Self::Share,
        Self::Pass,
        Self::Begin,
        Self::Talk,
        Self::Word,
        Self::Ask,
    ];

    /// Its label.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Reads a label.
    pub fn from_label(label: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.label() == label)
    }
}

/// The names of the nodes of a web.
pub const NODES: [&str; 4] = ["node-0", "node-1", "node-2", "node-3"];
/// Links of each kind that a node can be given at a time.
pub const INLETS: usize = 6;
/// Where the factory of `test-links-factory` maps a page of its own in all its ICs.
pub const COMMON_PAGE: u64 = WINDOWS.start - WINDOW;

/// The name that a hub is registered under.
pub const HUB: &str = "hub";
/// The name by which a party says that all is done but what the supervisor does.
pub const READY: &str = "party-is-ready";
