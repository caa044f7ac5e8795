// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's page tables and mapped files, for tests on the host.

use core::num::NonZeroU32;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::{FileId, Mappable, Paging, Slot, Space};
use crate::errno::{Errno, Result};
use crate::pages::{PAGE, Page, Pages};

/// What the kernel maps.
#[derive(Default)]
pub struct PageTables {
    slots: Vec<Option<(Space, u64, Page, bool)>>,
    /// By space and address.
    pub mapped: BTreeMap<(u32, u64), usize>,
    /// How many mappings there may be.
    pub limit: Option<usize>,
}

impl PageTables {
    /// What is mapped at an address.
    pub fn at(&self, space: Space, address: u64) -> Option<(Page, bool)> {
        let slot = self.mapped.get(&(space.0, address))?;
        self.slots[*slot].map(|(_, _, page, writable)| (page, writable))
    }

    /// All that is mapped in a space.
    pub fn of(&self, space: Space) -> Vec<(u64, Page, bool)> {
        let all = self.slots.iter().flatten().filter(|slot| slot.0 == space);
        all.map(|(_, address, page, writable)| (*address, *page, *writable))
            .collect()
    }

    /// The space has ended.
    pub fn end(&mut self, space: Space) {
        for slot in &mut self.slots {
            if slot.is_some_and(|(of, ..)| of == space) {
                *slot = None;
            }
        }
        self.mapped.retain(|(of, _), _| *of != space.0);
    }
}

impl Paging for PageTables {
    fn map(&mut self, space: Space, address: u64, page: Page, writable: bool) -> Result<Slot> {
        if self.limit.is_some_and(|limit| self.mapped.len() >= limit) {
            return Err(Errno::NOMEM);
        }
        let slot = self.slots.len();
        assert!(
            self.mapped.insert((space.0, address), slot).is_none(),
            "{address:#x} is mapped already"
        );
        self.slots.push(Some((space, address, page, writable)));
        Ok(Slot(NonZeroU32::new(slot as u32 + 1).unwrap()))
    }

    fn protect(&mut self, space: Space, slot: Slot, writable: bool) {
        let slot = self.slots[slot.0.get() as usize - 1].as_mut().unwrap();
        assert_eq!(slot.0, space);
        slot.3 = writable;
    }

    fn unmap(&mut self, space: Space, slot: Slot) {
        let (of, address, ..) = self.slots[slot.0.get() as usize - 1].take().unwrap();
        assert_eq!(of, space);
        self.mapped.remove(&(space.0, address)).unwrap();
    }
}

/// Files that can be mapped.
#[derive(Default)]
pub struct MappedFiles {
    /// Length in bytes, holders, pages.
    pub files: Vec<(u64, u32, BTreeMap<u64, Page>)>,
}

impl MappedFiles {
    /// A file with these contents, held once.
    pub fn create(&mut self, pages: &mut dyn Pages, bytes: &[u8]) -> FileId {
        let mut map = BTreeMap::new();
        for (index, chunk) in bytes.chunks(PAGE).enumerate() {
            let page = pages.allocate().unwrap();
            pages.write(page, 0, chunk);
            map.insert(index as u64, page);
        }
        self.files.push((bytes.len() as u64, 1, map));
        FileId {
            fs: 0,
            ino: self.files.len() as u64 - 1,
        }
    }
}

impl Mappable for MappedFiles {
    fn page(&mut self, pages: &mut dyn Pages, file: FileId, index: u64) -> Result<Page> {
        let (length, holders, map) = &mut self.files[file.ino as usize];
        assert_ne!(*holders, 0);
        if index >= length.div_ceil(PAGE as u64) {
            return Err(Errno::FAULT);
        }
        let page = match map.get(&index) {
            Some(page) => *page,
            None => {
                let page = pages.allocate()?;
                map.insert(index, page);
                page
            }
        };
        pages.hold(page);
        Ok(page)
    }

    fn page_if_present(&mut self, pages: &mut dyn Pages, file: FileId, index: u64) -> Option<Page> {
        let page = *self.files[file.ino as usize].2.get(&index)?;
        pages.hold(page);
        Some(page)
    }

    fn nameless(&mut self, _: &mut dyn Pages, bytes: u64) -> Result<FileId> {
        self.files.push((bytes, 1, BTreeMap::new()));
        Ok(FileId {
            fs: 0,
            ino: self.files.len() as u64 - 1,
        })
    }

    fn hold(&mut self, file: FileId) {
        self.files[file.ino as usize].1 += 1;
    }

    fn release(&mut self, pages: &mut dyn Pages, file: FileId) {
        let (_, holders, map) = &mut self.files[file.ino as usize];
        *holders -= 1;
        if *holders == 0 {
            for page in core::mem::take(map).into_values() {
                pages.release(page);
            }
        }
    }
}
