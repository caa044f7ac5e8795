// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces of the model: what the tables really point to, so that a
//! mapping that outlives its right is seen.

use super::kernel::{Base, Cap, Kernel, Object};
use crate::machine::{Level, Refusal};

const LEVELS: [Level; 3] = [Level::Directories, Level::Tables, Level::Frames];

/// Bits of address below an entry of a structure: of the root, then of each level.
fn shift(level: Option<Level>) -> u32 {
    match level {
        None => 39,
        Some(Level::Directories) => 30,
        Some(Level::Tables) => 21,
        Some(Level::Frames) => 12,
    }
}

fn entry(address: u64, level: Option<Level>) -> u64 {
    address >> shift(level) & 511
}

impl Kernel {
    fn paging(&self, base: Base) -> Option<&std::collections::HashMap<u64, (Base, bool)>> {
        match self.objects.get(&base) {
            Some(Object::Paging(entries)) => Some(entries),
            _ => None,
        }
    }

    /// The structure whose entries are at `level` (`None`: the root), for an address.
    fn walk(&self, root: Base, address: u64, to: Option<Level>) -> Option<Base> {
        let (mut at, mut level) = (root, None);
        for next in LEVELS {
            if level == to {
                break;
            }
            let (base, is_frame) = *self.paging(at)?.get(&entry(address, level))?;
            if is_frame {
                return None;
            }
            (at, level) = (base, Some(next));
        }
        Some(at)
    }

    fn above(level: Level) -> Option<Level> {
        match level {
            Level::Frames => Some(Level::Tables),
            Level::Tables => Some(Level::Directories),
            Level::Directories => None,
        }
    }

    fn root(&self, vspace: Cap) -> Result<(Base, u16), Refusal> {
        match vspace {
            Cap::VSpace {
                base,
                asid: Some(asid),
            } if self.asids[asid as usize] == Some(base) => Ok((base, asid)),
            _ => Err(Refusal::Other(2)),
        }
    }

    fn enter(
        &mut self,
        root: Base,
        address: u64,
        level: Option<Level>,
        to: (Base, bool),
    ) -> Result<(), Refusal> {
        let at = self.walk(root, address, level).ok_or(Refusal::Missing)?;
        let Some(Object::Paging(entries)) = self.objects.get_mut(&at) else {
            return Err(Refusal::Missing);
        };
        if entries.contains_key(&entry(address, level)) {
            return Err(Refusal::Occupied);
        }
        entries.insert(entry(address, level), to);
        Ok(())
    }

    pub fn map_table(
        &mut self,
        table: (Base, u32),
        vspace: Cap,
        address: u64,
    ) -> Result<(), Refusal> {
        let id = self.at(table).ok_or(Refusal::Missing)?;
        let Some(Cap::Table {
            base,
            level,
            stage,
            mapped: None,
        }) = self.cap(table)
        else {
            return Err(Refusal::Other(2));
        };
        let (root, asid) = self.root(vspace)?;
        self.enter(root, address, Self::above(level), (base, false))?;
        self.cte_mut(id).cap = Cap::Table {
            base,
            level,
            stage,
            mapped: Some((asid, address)),
        };
        Ok(())
    }

    pub fn map_frame(
        &mut self,
        frame: (Base, u32),
        vspace: Cap,
        address: u64,
    ) -> Result<(), Refusal> {
        let id = self.at(frame).ok_or(Refusal::Missing)?;
        let Some(Cap::Frame {
            base,
            bits,
            writable,
            mapped: None,
        }) = self.cap(frame)
        else {
            return Err(Refusal::Other(2));
        };
        if !address.is_multiple_of(1 << bits) {
            return Err(Refusal::Other(5));
        }
        let (root, asid) = self.root(vspace)?;
        let level = if bits == 21 {
            Level::Tables
        } else {
            Level::Frames
        };
        self.enter(root, address, Some(level), (base, true))?;
        self.cte_mut(id).cap = Cap::Frame {
            base,
            bits,
            writable,
            mapped: Some((asid, address)),
        };
        Ok(())
    }

    fn clear(&mut self, asid: u16, address: u64, level: Option<Level>, expected: Base) {
        let Some(root) = self.asids[asid as usize] else {
            return;
        };
        let Some(at) = self.walk(root, address, level) else {
            return;
        };
        if let Some(Object::Paging(entries)) = self.objects.get_mut(&at)
            && entries
                .get(&entry(address, level))
                .is_some_and(|e| e.0 == expected)
        {
            entries.remove(&entry(address, level));
        }
    }

    pub fn unmap_frame(&mut self, asid: u16, address: u64, base: Base, bits: u8) {
        let level = if bits == 21 {
            Level::Tables
        } else {
            Level::Frames
        };
        self.clear(asid, address, Some(level), base);
    }

    pub fn unmap_table(&mut self, asid: u16, address: u64, base: Base, level: Level) {
        self.clear(asid, address, Self::above(level), base);
    }

    /// Every frame that an address space reaches, with the address.
    pub fn reachable(&self, root: Base) -> Vec<(u64, Base)> {
        let mut found = Vec::new();
        self.collect(root, None, 0, &mut found);
        found.sort_unstable();
        found
    }

    fn collect(&self, at: Base, level: Option<Level>, address: u64, found: &mut Vec<(u64, Base)>) {
        let entries = self
            .paging(at)
            .unwrap_or_else(|| panic!("a table that is gone: {at:#x}"));
        for (index, (base, is_frame)) in entries {
            let address = address | index << shift(level);
            if *is_frame {
                assert!(
                    matches!(self.objects.get(base), Some(Object::Frame)),
                    "a mapping outlived its memory: {address:#x}"
                );
                found.push((address, *base));
            } else {
                let next = match level {
                    None => Level::Directories,
                    Some(Level::Directories) => Level::Tables,
                    _ => Level::Frames,
                };
                self.collect(*base, Some(next), address, found);
            }
        }
    }

    /// Roots of all address spaces that exist.
    pub fn address_spaces(&self) -> Vec<Base> {
        self.asids.iter().flatten().copied().collect()
    }
}
