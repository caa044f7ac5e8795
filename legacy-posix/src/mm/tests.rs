// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces against a model of the kernel's.

use proptest::prelude::*;
use std::vec::Vec;

use super::model::{MappedFiles, PageTables};
use super::*;
use crate::Errno;
use crate::pages::model::HeapPages;

const RW: Protection = Protection::READ.union(Protection::WRITE);
const A: u64 = 0x10_0000;

struct World {
    kernel: PageTables,
    pages: HeapPages,
    files: MappedFiles,
}

impl World {
    fn new() -> Self {
        Self {
            kernel: PageTables::default(),
            pages: HeapPages::new(1000),
            files: MappedFiles::default(),
        }
    }

    fn r(&mut self) -> Resources<'_> {
        Resources {
            kernel: &mut self.kernel,
            pages: &mut self.pages,
            files: &mut self.files,
        }
    }

    /// What a load by the program does.
    fn load(&mut self, mm: &mut AddressSpace, address: u64) -> Result<u8, Trap> {
        if self.kernel.at(mm.space(), page_start(address)).is_none() {
            mm.fault(&mut self.r(), address, Access::Read)?;
        }
        let (page, _) = self.kernel.at(mm.space(), page_start(address)).unwrap();
        let mut byte = [0];
        self.pages
            .read(page, (address % PAGE_BYTES) as usize, &mut byte);
        Ok(byte[0])
    }

    /// What a store by the program does.
    fn store(&mut self, mm: &mut AddressSpace, address: u64, byte: u8) -> Result<(), Trap> {
        if !self
            .kernel
            .at(mm.space(), page_start(address))
            .is_some_and(|(_, writable)| writable)
        {
            mm.fault(&mut self.r(), address, Access::Write)?;
        }
        let (page, writable) = self.kernel.at(mm.space(), page_start(address)).unwrap();
        assert!(writable);
        self.pages
            .write(page, (address % PAGE_BYTES) as usize, &[byte]);
        Ok(())
    }

    /// The space of a process that has ended.
    fn end(&mut self, mut mm: AddressSpace) {
        self.kernel.end(mm.space());
        mm.clear(&mut self.r());
    }
}

fn anonymous(address: u64, pages: u64) -> Map {
    Map {
        length: pages * PAGE_BYTES,
        protection: RW,
        place: Place::Fixed(address),
        ..Map::default()
    }
}

#[test]
fn a_page_is_supplied_when_it_is_touched_and_is_zero() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 4)).unwrap();
    assert_eq!((mm.resident(), w.pages.used()), (0, 0));
    assert_eq!(w.load(&mut mm, A + 5000), Ok(0));
    assert_eq!(w.store(&mut mm, A + 5000, 7), Ok(()));
    assert_eq!(w.load(&mut mm, A + 5000), Ok(7));
    assert_eq!((mm.resident(), mm.size()), (1, 4 * PAGE_BYTES));
    assert_eq!(w.load(&mut mm, A + 4 * PAGE_BYTES), Err(Trap::Unmapped));
    w.end(mm);
    assert_eq!(w.pages.used(), 0);
}

#[test]
fn parent_and_child_do_not_see_each_others_writes() {
    let mut w = World::new();
    let mut parent = AddressSpace::new(Space(1));
    parent.map(&mut w.r(), &anonymous(A, 2)).unwrap();
    w.store(&mut parent, A, 1).unwrap();
    w.store(&mut parent, A + PAGE_BYTES, 2).unwrap();
    let mut child = parent.fork(&mut w.r(), Space(2));
    assert_eq!(w.pages.used(), 2);
    w.store(&mut parent, A, 3).unwrap();
    assert_eq!(w.load(&mut child, A), Ok(1));
    w.store(&mut child, A + PAGE_BYTES, 4).unwrap();
    assert_eq!(w.load(&mut parent, A + PAGE_BYTES), Ok(2));
    w.end(child);
    // It is the parent's alone now: written to without a copy.
    let used = w.pages.used();
    w.store(&mut parent, A + PAGE_BYTES, 5).unwrap();
    assert_eq!((w.pages.used(), used), (2, 2));
    w.end(parent);
    assert_eq!(w.pages.used(), 0);
}

#[test]
fn a_private_mapping_of_a_file_shares_its_page_until_it_is_written_to() {
    let mut w = World::new();
    let file = w.files.create(&mut w.pages, b"file");
    let mut mm = AddressSpace::new(Space(1));
    let map = Map {
        file: Some((file, 0)),
        ..anonymous(A, 2)
    };
    mm.map(&mut w.r(), &map).unwrap();
    assert_eq!(w.load(&mut mm, A), Ok(b'f'));
    assert_eq!(w.pages.used(), 1);
    w.store(&mut mm, A, b'F').unwrap();
    assert_eq!(w.pages.used(), 2);
    assert_eq!(w.load(&mut mm, A + 1), Ok(b'i'));
    let mut byte = [0];
    let page = w.files.files[0].2[&0];
    w.pages.read(page, 0, &mut byte);
    assert_eq!(&byte, b"f");
    assert_eq!(w.load(&mut mm, A + PAGE_BYTES), Err(Trap::BeyondFile));
    w.end(mm);
    assert_eq!((w.pages.used(), w.files.files[0].1), (1, 1));
}

#[test]
fn shared_memory_is_the_same_after_a_fork() {
    let mut w = World::new();
    let mut parent = AddressSpace::new(Space(1));
    let map = Map {
        shared: true,
        ..anonymous(A, 2)
    };
    parent.map(&mut w.r(), &map).unwrap();
    let mut child = parent.fork(&mut w.r(), Space(2));
    w.store(&mut child, A + PAGE_BYTES, 9).unwrap();
    assert_eq!(w.load(&mut parent, A + PAGE_BYTES), Ok(9));
    w.end(parent);
    assert_eq!(w.load(&mut child, A + PAGE_BYTES), Ok(9));
    w.end(child);
    assert_eq!(w.pages.used(), 0);
}

#[test]
fn a_file_that_is_cut_is_not_there_any_more() {
    let mut w = World::new();
    let file = w.files.create(&mut w.pages, &[1; 3 * PAGE]);
    let mut mm = AddressSpace::new(Space(1));
    let map = Map {
        file: Some((file, 1)),
        shared: true,
        ..anonymous(A, 2)
    };
    mm.map(&mut w.r(), &map).unwrap();
    assert_eq!(w.load(&mut mm, A + PAGE_BYTES), Ok(1));
    w.files.files[0].0 = 2 * PAGE_BYTES;
    mm.cut(&mut w.r(), file, 2);
    assert_eq!(w.load(&mut mm, A + PAGE_BYTES), Err(Trap::BeyondFile));
    assert_eq!(w.load(&mut mm, A), Ok(1));
}

#[test]
fn what_is_protected_traps_and_what_is_allowed_again_does_not() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 3)).unwrap();
    w.store(&mut mm, A + PAGE_BYTES, 1).unwrap();
    mm.protect(&mut w.r(), A + PAGE_BYTES, PAGE_BYTES, Protection::READ)
        .unwrap();
    assert_eq!(w.store(&mut mm, A + PAGE_BYTES, 2), Err(Trap::Forbidden));
    assert_eq!(w.load(&mut mm, A + PAGE_BYTES), Ok(1));
    assert_eq!(mm.mappings().count(), 3);
    mm.protect(&mut w.r(), A, 3 * PAGE_BYTES, Protection::empty())
        .unwrap();
    assert_eq!(w.load(&mut mm, A + PAGE_BYTES), Err(Trap::Forbidden));
    mm.protect(&mut w.r(), A, 3 * PAGE_BYTES, RW).unwrap();
    assert_eq!(mm.mappings().count(), 1);
    w.store(&mut mm, A + PAGE_BYTES, 2).unwrap();
    assert_eq!(
        mm.protect(&mut w.r(), A, 4 * PAGE_BYTES, RW),
        Err(Errno::NOMEM)
    );
}

#[test]
fn a_read_only_file_cannot_be_made_writable() {
    let mut w = World::new();
    let file = w.files.create(&mut w.pages, b"file");
    let mut mm = AddressSpace::new(Space(1));
    let map = Map {
        file: Some((file, 0)),
        shared: true,
        protection: Protection::READ,
        most: Protection::READ | Protection::EXECUTE,
        ..anonymous(A, 1)
    };
    mm.map(&mut w.r(), &map).unwrap();
    let denied = mm.protect(&mut w.r(), A, PAGE_BYTES, RW);
    assert_eq!(denied, Err(Errno::ACCES));
}

#[test]
fn the_stack_grows_to_its_limit_and_not_into_what_is_below() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.stack_limit = 4 << 20;
    let top = mm.make_stack(&mut w.r(), 1).unwrap();
    w.store(&mut mm, top - (1 << 20), 1).unwrap();
    assert_eq!(w.load(&mut mm, top - (4 << 20) - 1), Err(Trap::Unmapped));
    mm.map(&mut w.r(), &anonymous(top - (3 << 20), 1)).unwrap();
    let gap_ends = top - (2 << 20) + PAGE_BYTES;
    assert_eq!(w.load(&mut mm, gap_ends), Ok(0));
    assert_eq!(w.load(&mut mm, gap_ends - 1), Err(Trap::Unmapped));
}

#[test]
fn a_mapping_that_cannot_grow_in_place_moves_with_its_pages() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 2)).unwrap();
    w.store(&mut mm, A, 5).unwrap();
    assert_eq!(
        mm.remap(&mut w.r(), A, 2 * PAGE_BYTES, 3 * PAGE_BYTES, None),
        Ok(A)
    );
    mm.map(&mut w.r(), &anonymous(A + 3 * PAGE_BYTES, 1))
        .unwrap();
    mm.protect(&mut w.r(), A + 3 * PAGE_BYTES, PAGE_BYTES, Protection::READ)
        .unwrap();
    let (old, new) = (3 * PAGE_BYTES, 8 * PAGE_BYTES);
    assert_eq!(mm.remap(&mut w.r(), A, old, new, None), Err(Errno::NOMEM));
    let anywhere = Some(Place::Anywhere(0));
    let moved = mm.remap(&mut w.r(), A, old, new, anywhere).unwrap();
    assert_eq!(w.load(&mut mm, A), Err(Trap::Unmapped));
    assert_eq!(w.load(&mut mm, moved), Ok(5));
    assert_eq!(w.load(&mut mm, moved + new - 1), Ok(0));
    let fixed = Some(Place::Fixed(A));
    assert_eq!(mm.remap(&mut w.r(), moved, new, PAGE_BYTES, fixed), Ok(A));
    assert_eq!(w.load(&mut mm, A), Ok(5));
    assert_eq!(w.pages.used(), 1);
}

#[test]
fn the_heap_grows_and_shrinks_and_stops_at_what_is_in_its_way() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    (mm.heap, mm.heap_end) = (A, A);
    assert_eq!(mm.set_heap_end(&mut w.r(), A + 5000), A + 5000);
    w.store(&mut mm, A + 4999, 1).unwrap();
    assert_eq!(mm.set_heap_end(&mut w.r(), A - 1), A + 5000);
    assert_eq!(mm.set_heap_end(&mut w.r(), A + 1), A + 1);
    assert_eq!(w.pages.used(), 0);
    mm.map(&mut w.r(), &anonymous(A + 4 * PAGE_BYTES, 1))
        .unwrap();
    let far = A + 4 * PAGE_BYTES;
    assert_eq!(mm.set_heap_end(&mut w.r(), far), A + 1);
    assert_eq!(
        mm.set_heap_end(&mut w.r(), far - PAGE_BYTES),
        far - PAGE_BYTES
    );
    mm.data_limit = 1;
    assert_eq!(mm.set_heap_end(&mut w.r(), A + 2), far - PAGE_BYTES);
}

#[test]
fn kernel_addresses_holes_and_wraps_are_refused_and_nothing_is_read() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 1)).unwrap();
    let mut bytes = [0; 8];
    for address in [0, A - 4, A + PAGE_BYTES - 4, END, 1 << 63, u64::MAX - 3] {
        assert_eq!(mm.read(&mut w.r(), address, &mut bytes), Err(Errno::FAULT));
        assert_eq!(mm.write(&mut w.r(), address, &bytes), Err(Errno::FAULT));
    }
    mm.protect(&mut w.r(), A, PAGE_BYTES, Protection::READ)
        .unwrap();
    assert_eq!(mm.read(&mut w.r(), A, &mut bytes), Ok(()));
    assert_eq!(mm.write(&mut w.r(), A, &bytes), Err(Errno::FAULT));
}

#[test]
fn strings_end_at_their_nul_byte_or_are_too_long() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 2)).unwrap();
    let at = A + PAGE_BYTES - 2;
    mm.write(&mut w.r(), at, b"path\0").unwrap();
    assert_eq!(mm.read_string(&mut w.r(), at, 5), Ok(b"path".to_vec()));
    assert_eq!(mm.read_string(&mut w.r(), at, 4), Err(Errno::NAMETOOLONG));
    mm.write(&mut w.r(), A + 2 * PAGE_BYTES - 2, b"ab").unwrap();
    let cut = mm.read_string(&mut w.r(), A + 2 * PAGE_BYTES - 2, 100);
    assert_eq!(cut, Err(Errno::FAULT));
}

#[test]
fn a_buffer_that_ends_in_a_hole_is_shorter() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 2)).unwrap();
    let mut segments = Vec::new();
    let resolved = mm.resolve(&mut w.r(), A + 1, 100_000, Access::Write, &mut segments, 64);
    assert_eq!(resolved, Ok(2 * PAGE_BYTES - 1));
    assert_eq!(segments.len(), 2);
    let none = mm.resolve(&mut w.r(), 0, 1, Access::Write, &mut segments, 64);
    assert_eq!(none, Err(Errno::FAULT));
}

#[test]
fn when_memory_runs_out_the_one_who_touches_it_is_told() {
    let mut w = World::new();
    w.pages.limit = 2;
    let mut mm = AddressSpace::new(Space(1));
    let map = Map {
        unreserved: true,
        ..anonymous(A, 3)
    };
    mm.map(&mut w.r(), &map).unwrap();
    w.store(&mut mm, A, 1).unwrap();
    w.store(&mut mm, A + PAGE_BYTES, 1).unwrap();
    assert_eq!(w.store(&mut mm, A + 2 * PAGE_BYTES, 1), Err(Trap::NoMemory));
    let reserved = mm.map(&mut w.r(), &anonymous(A + (1 << 30), 3));
    assert_eq!(reserved, Err(Errno::NOMEM));
}

#[test]
fn more_can_be_mapped_than_the_kernel_has_room_for() {
    let mut w = World::new();
    w.kernel.limit = Some(3);
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 10)).unwrap();
    for round in 0..2 {
        for page in 0..10 {
            let at = A + page * PAGE_BYTES;
            let before = if round == 0 { 0 } else { page as u8 };
            assert_eq!(w.load(&mut mm, at), Ok(before));
            w.store(&mut mm, at, page as u8).unwrap();
        }
    }
    w.kernel.limit = Some(0);
    let hidden = w.kernel.mapped.len();
    assert!(hidden <= 3);
    let more = A + 20 * PAGE_BYTES;
    mm.map(&mut w.r(), &anonymous(more, 1)).unwrap();
    assert_eq!(w.load(&mut mm, more), Err(Trap::NoMemory));
}

#[test]
fn advice_drops_pages_and_says_what_children_get() {
    let mut w = World::new();
    let mut mm = AddressSpace::new(Space(1));
    mm.map(&mut w.r(), &anonymous(A, 3)).unwrap();
    for page in 0..3 {
        w.store(&mut mm, A + page * PAGE_BYTES, 1).unwrap();
    }
    mm.advise(&mut w.r(), A, PAGE_BYTES, Advice::Drop).unwrap();
    assert_eq!(w.load(&mut mm, A), Ok(0));
    let second = A + PAGE_BYTES;
    mm.advise(&mut w.r(), second, PAGE_BYTES, Advice::Inherit(false))
        .unwrap();
    mm.advise(&mut w.r(), second + PAGE_BYTES, 1, Advice::WipeOnFork(true))
        .unwrap();
    let mut child = mm.fork(&mut w.r(), Space(2));
    assert_eq!(w.load(&mut child, second), Err(Trap::Unmapped));
    assert_eq!(w.load(&mut child, second + PAGE_BYTES), Ok(0));
    assert_eq!(child.size(), 2 * PAGE_BYTES);
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, bool, bool),
    Unmap(u64, u64),
    Protect(u64, u64, u32),
    Store(u64, u8),
    Move(u64, u64, u64),
    Drop(u64, u64),
    Fork,
    EndChild,
    Read(u64),
    Write(u64, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let page = 0u64..24;
    let pages = 1u64..8;
    prop_oneof![
        (page.clone(), pages.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(a, n, s, f)| Step::Map(a, n, s, f)),
        (page.clone(), pages.clone()).prop_map(|(a, n)| Step::Unmap(a, n)),
        (page.clone(), pages.clone(), 0u32..4).prop_map(|(a, n, p)| Step::Protect(a, n, p)),
        (page.clone(), 1u8..).prop_map(|(a, b)| Step::Store(a, b)),
        (page.clone(), pages.clone(), 1u64..12).prop_map(|(a, n, m)| Step::Move(a, n, m)),
        (page.clone(), pages).prop_map(|(a, n)| Step::Drop(a, n)),
        page.clone().prop_map(Step::Read),
        (page, 1u8..).prop_map(|(a, b)| Step::Write(a, b)),
        Just(Step::Fork),
        Just(Step::EndChild),
    ]
}

proptest! {
    /// Whatever is done, the kernel maps no more than the mappings allow, private writable pages are
    /// nobody else's, and in the end no frame and no file is left over.
    #[test]
    fn the_kernel_never_maps_more_than_is_allowed(steps in proptest::collection::vec(step(), 1..60)) {
        let mut w = World::new();
        let file = w.files.create(&mut w.pages, &[1; 20 * PAGE]);
        let mut mm = AddressSpace::new(Space(1));
        let mut child: Option<AddressSpace> = None;
        let at = |page: u64| A + page * PAGE_BYTES;
        for step in steps {
            match step {
                Step::Map(page, count, shared, backed) => {
                    let map = Map {
                        shared,
                        file: backed.then_some((file, page / 2)),
                        ..anonymous(at(page), count)
                    };
                    mm.map(&mut w.r(), &map).unwrap();
                }
                Step::Unmap(page, count) => {
                    mm.unmap(&mut w.r(), at(page), count * PAGE_BYTES).unwrap();
                }
                Step::Protect(page, count, bits) => {
                    let protection = Protection::from_bits_truncate(bits);
                    let _ = mm.protect(&mut w.r(), at(page), count * PAGE_BYTES, protection);
                }
                Step::Store(page, byte) => {
                    if w.store(&mut mm, at(page), byte).is_ok() {
                        prop_assert_eq!(w.load(&mut mm, at(page)), Ok(byte));
                    }
                }
                Step::Move(page, count, new) => {
                    let place = Some(Place::Anywhere(0));
                    let _ = mm.remap(&mut w.r(), at(page), count * PAGE_BYTES, new * PAGE_BYTES, place);
                }
                Step::Drop(page, count) => {
                    let _ = mm.advise(&mut w.r(), at(page), count * PAGE_BYTES, Advice::Drop);
                }
                Step::Fork if child.is_none() => child = Some(mm.fork(&mut w.r(), Space(2))),
                Step::Fork => {}
                Step::EndChild => {
                    if let Some(child) = child.take() {
                        w.end(child);
                    }
                }
                // The server reads and writes exactly where the program could itself, whatever it remembers: a
                // fault of the program's asks the mappings and the file, and nothing that is remembered.
                Step::Read(page) => {
                    let read = mm.read(&mut w.r(), at(page), &mut [0; 8]).is_ok();
                    prop_assert_eq!(read, w.load(&mut mm, at(page)).is_ok());
                    let found = mm.find(at(page));
                    prop_assert!(!read || found.is_some_and(|(_, m)| m.protection.allows(Access::Read)));
                }
                Step::Write(page, byte) => {
                    let wrote = mm.write(&mut w.r(), at(page), &[byte]).is_ok();
                    let found = mm.find(at(page)).map(|(_, mapping)| *mapping);
                    let may = found.is_some_and(|m| m.protection.allows(Access::Write));
                    prop_assert!(!wrote || may);
                    if wrote {
                        let frame = mm.table.get(page_number(at(page))).unwrap().page;
                        prop_assert!(found.unwrap().shared || w.pages.holders(frame) == 1);
                        prop_assert_eq!(w.load(&mut mm, at(page)), Ok(byte));
                    }
                    prop_assert_eq!(wrote, w.store(&mut mm, at(page), byte).is_ok());
                }
            }
            let total: u64 = mm.mappings().map(|(start, mapping)| mapping.end - start).sum();
            prop_assert_eq!(total, mm.size());
            for (address, page, writable) in w.kernel.of(Space(1)) {
                let (_, mapping) = mm.find(address).expect("mapped by the kernel alone");
                prop_assert!(mapping.protection.allows(Access::Read));
                if writable {
                    prop_assert!(mapping.protection.allows(Access::Write));
                    prop_assert!(mapping.shared || w.pages.holders(page) == 1);
                }
            }
        }
        if let Some(child) = child {
            w.end(child);
        }
        w.end(mm);
        prop_assert_eq!(w.files.files[0].1, 1);
        w.files.release(&mut w.pages, file);
        prop_assert_eq!(w.pages.used(), 0);
    }
}
