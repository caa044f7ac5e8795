// SPDX-License-Identifier: BSD-2-Clause
//! Which ICs a factory has.

use core::ops::Range;

use heapless::Vec;
use xos_client::Slots;
use xos_protocol::{ExitStatus, IcId, IcState};

use crate::Token;

/// Callers that can wait for the same IC.
pub(super) const WAITERS: usize = 4;

/// Where an IC is in its life, as its factory sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Made, not started.
    Ready,
    /// Started.
    Running,
    /// Started, and stopped for the time being.
    Suspended,
    /// Started, and stopped for good: clones are made of it.
    Frozen,
    /// It has ended, and is kept until somebody has asked how.
    Ended(ExitStatus),
    /// It has ended and is being reclaimed.
    Going(ExitStatus),
}

impl State {
    /// As protocols tell it.
    pub const fn told(self) -> IcState {
        match self {
            Self::Ready => IcState::Ready,
            Self::Running => IcState::Running,
            Self::Suspended | Self::Frozen => IcState::Suspended,
            Self::Ended(_) | Self::Going(_) => IcState::Dead,
        }
    }
}

/// One IC.
pub(super) struct Entry<I> {
    pub id: IcId,
    pub client: u32,
    /// Whose share its place is taken from; nobody's when its making was refused for that.
    pub counted: Option<u32>,
    /// Whether it executes within its client: its handle is then also where it exits and faults.
    pub within: bool,
    pub state: State,
    pub waiters: Vec<Token, WAITERS>,
    /// Whether it said that it stands.
    pub stands: bool,
    /// Who wants it frozen when it does.
    pub freezer: Option<Token>,
    /// The snapshot that it is a clone of; [`IcId::NONE`] for none.
    pub model: IcId,
    /// Clones of it that are not gone.
    pub clones: u16,
    /// Nothing when its making failed, and it is being reclaimed.
    pub data: Option<I>,
}

/// At most `N` ICs, found by the index of their id (which their badges carry) and by the root slot that
/// their parts node lies in.
///
/// The root slots from `first` on are the table's, `N` of them.
pub(super) struct Table<I, const N: usize> {
    first: u32,
    places: Slots,
    /// By the index of an id: the position in `entries`, plus one.
    positions: [u16; 1 << xos_protocol::ic::INDEX_BITS],
    entries: [Option<Entry<I>>; N],
}

impl<I, const N: usize> Table<I, N> {
    pub const fn new(first: u32) -> Self {
        Self {
            first,
            places: Slots::new(first, first + N as u32),
            positions: [0; _],
            entries: [const { None }; N],
        }
    }

    /// A root slot for a parts node.
    pub fn take_place(&mut self) -> Option<u32> {
        self.places.take()
    }

    /// Gives back a root slot that no entry has.
    pub fn give_place(&mut self, place: u32) {
        self.places.give(place);
    }

    /// The place of the IC with this index.
    pub fn place_of(&self, index: u32) -> Option<u32> {
        match self.positions.get(index as usize) {
            None | Some(0) => None,
            Some(position) => Some(u32::from(*position) - 1 + self.first),
        }
    }

    fn position(&self, place: u32) -> usize {
        (place - self.first) as usize
    }

    pub fn get(&mut self, place: u32) -> Option<&mut Entry<I>> {
        let position = self.position(place);
        self.entries.get_mut(position)?.as_mut()
    }

    /// Adds an IC at a place that was taken. No other may have the index.
    pub fn insert(&mut self, place: u32, entry: Entry<I>) {
        let position = self.position(place);
        self.positions[entry.id.index() as usize] = position as u16 + 1;
        self.entries[position] = Some(entry);
    }

    /// All places, taken or not.
    pub const fn places(&self) -> Range<u32> {
        self.first..self.first + N as u32
    }

    /// Forgets an IC and gives back its place.
    pub fn remove(&mut self, place: u32) -> Option<Entry<I>> {
        let position = self.position(place);
        let entry = self.entries.get_mut(position)?.take()?;
        self.positions[entry.id.index() as usize] = 0;
        self.places.give(place);
        Some(entry)
    }

    /// How many more fit.
    pub fn available(&self) -> u32 {
        self.places.available()
    }
}
