// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of this suite say to each other.
#![no_std]

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

/// The name that a hub is registered under.
pub const HUB: &str = "hub";
/// The name by which a party says that all is done but what the supervisor does.
pub const READY: &str = "party-is-ready";
