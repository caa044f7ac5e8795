// SPDX-License-Identifier: BSD-2-Clause
//! What is registered under which name.
//!
//! Names are few and looked up often, so they lie sorted: a look-up is a binary
//! search. A boot domain keeps its names across a restart: while it is down they
//! are known but not to be had, so that nobody else can pass for it.

use heapless::Vec;
use xos_protocol::manager::{ServiceKind, Successor};
use xos_protocol::{Error, Name, Result};

use crate::machine::Slot;

/// Names at most.
pub const MAX_NAMES: usize = 256;

/// A name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name itself.
    pub name: Name,
    /// Who serves it.
    pub server: u32,
    /// Whether the server is there (a boot domain may be restarting).
    pub present: bool,
    /// The endpoint that sessions are minted from.
    pub endpoint: Slot,
    /// What it speaks.
    pub kind: ServiceKind,
    /// What becomes of its ICs when it dies.
    pub successor: Successor,
}

/// All names, sorted.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<Entry, MAX_NAMES>,
}

impl Registry {
    fn find(&self, name: &Name) -> core::result::Result<usize, usize> {
        let key = |name: &Name| name.words().map(u64::swap_bytes); // as text sorts
        let wanted = key(name);
        self.entries.binary_search_by(|e| key(&e.name).cmp(&wanted))
    }

    /// What is registered under a name and present.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn look_up(&self, name: &Name) -> Result<Entry> {
        match self.find(name) {
            Ok(i) if self.entries[i].present => Ok(self.entries[i]),
            _ => Err(Error::NotFound),
        }
    }

    /// Whether a name can be registered by `server`: it is free, or was its own before a restart.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::TableFull`].
    pub fn available(&self, name: &Name, server: u32) -> Result<()> {
        match self.find(name) {
            Ok(i) if self.entries[i].present || self.entries[i].server != server => {
                Err(Error::NameTaken)
            }
            Err(_) if self.entries.is_full() => Err(Error::TableFull),
            _ => Ok(()),
        }
    }

    /// Registers a name that is [available](Registry::available).
    pub fn insert(&mut self, entry: Entry) {
        match self.find(&entry.name) {
            Ok(i) => self.entries[i] = entry,
            Err(i) => {
                let _ = self.entries.insert(i, entry);
            }
        }
    }

    /// Whether a server has a registration that hands its ICs on.
    pub fn has_successor(&self, server: u32) -> bool {
        self.of(server).any(|e| e.successor == Successor::SameName)
    }

    /// A server is gone for good; answers how many names it had.
    pub fn remove(&mut self, server: u32) -> u32 {
        let before = self.entries.len();
        self.entries.retain(|e| e.server != server);
        (before - self.entries.len()) as u32
    }

    /// A server is gone and will come back; answers how many names it had.
    pub fn withdraw(&mut self, server: u32) -> u32 {
        let mut count = 0;
        for entry in self
            .entries
            .iter_mut()
            .filter(|e| e.server == server && e.present)
        {
            entry.present = false;
            count += 1;
        }
        count
    }

    /// Names that are present, from position `from` on, each with its position.
    pub fn iter_from(&self, from: usize) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .skip(from)
            .filter(|(_, e)| e.present)
    }

    fn of(&self, server: u32) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.server == server)
    }
}
