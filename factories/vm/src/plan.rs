// SPDX-License-Identifier: BSD-2-Clause
//! What it takes to make a machine in an IC that already runs a program: its monitor.
//!
//! A machine is composed of the IC's own memory, by the steps that [`steps`] gives, one after the other: a
//! list, so that it can be read, counted and tested without a kernel. Each is one kernel entry, unless it
//! says otherwise.
//!
//! ```text
//! untyped memory                  becomes
//!   16 pages of 4 KiB             VCPU, two nodes, tables of both stages, identity table
//!   1 to 3 pieces                 the guest's memory, in pages of 2 MiB
//! node 0                          the guest's pages, as the monitor maps them; the few other objects
//! node 1                          the same pages once more, as the guest has them
//! ```

use heapless::Vec;

use crate::monitor::IDENTITY;

/// Bytes of a large page.
pub const LARGE: u64 = 2 << 20;
/// Large pages that a machine has at most: what fits into a node beside the other objects.
pub const MAX_PAGES: u32 = 112;
/// Pieces of untyped memory that the guest's memory consists of, at most.
pub const MAX_PIECES: usize = 3;
/// Binary logarithm of the bytes of untyped memory for everything but the guest's memory.
pub const OBJECT_BITS: u8 = 16;
/// Pages of 4 KiB that a machine costs beside the guest's memory: what is made here, the monitor with its
/// helper, and the root of the second stage.
pub const OVERHEAD: u64 = 2 << 20;
/// Where the monitor has the guest's memory: address 0 of the guest.
pub const WINDOW: u64 = 0x5000_0000_0000;
/// Root slot of the monitor's CSpace in which it finds its virtual processor.
pub const PROCESSOR_SLOT: u32 = 4;

/// Index in node 0 of the objects that are not the guest's pages.
const OTHERS: u32 = MAX_PAGES;

/// A slot: of the parts node, or of one of the two nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)] // said above
pub enum At {
    Part(u32),
    Node(u32, u32),
}

/// What is made. All but the first two are a page of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)] // the kernel's objects
pub enum Object {
    Processor,
    LargePage,
    Page,
    Pointers,
    Directory,
    StagePointers,
    StageDirectory,
    StageTable,
}

impl Object {
    /// Binary logarithm of its bytes.
    #[must_use]
    pub const fn size_bits(self) -> u8 {
        match self {
            Self::Processor => 14,
            Self::LargePage => 21,
            _ => 12,
        }
    }
}

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // said in the variants
pub enum Step {
    /// Makes node `number` (two kernel entries).
    Node { untyped: u32, number: u32 },
    /// Makes objects.
    Make {
        untyped: u32,
        object: Object,
        node: u32,
        first: u32,
        count: u32,
    },
    /// Copies a capability to a page.
    Copy { from: At, to: At },
    /// Maps a table or a page into the monitor's address space.
    Map {
        at: At,
        object: Object,
        address: u64,
    },
    /// Maps a table or a page into the guest's second stage, whose root is part `root`.
    MapStage {
        at: At,
        object: Object,
        root: u32,
        address: u64,
        writable: bool,
    },
    /// Writes the identity table to a page that is mapped nowhere (two kernel entries).
    WriteIdentity { at: At },
    /// Has the IC's execution run the processor, with that second stage (two kernel entries).
    Bind { processor: At, root: u32 },
    /// Puts the processor into a root slot of the monitor's CSpace, of that radix.
    Give { processor: At, slot: u32, radix: u8 },
}

/// Where a machine's untyped memory and its second stage's root lie in the parts node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// The second stage's root.
    pub root: u32,
    /// Untyped memory of `1 << OBJECT_BITS` bytes.
    pub objects: u32,
    /// Radix of the CSpace.
    pub cspace_radix: u8,
    /// Untyped memory for the guest: where, and how many large pages.
    pub memory: Vec<(u32, u32), MAX_PIECES>,
}

/// Sizes of the pieces that the guest's memory consists of, in large pages, largest first, when a machine may
/// cost so many bytes in all. `None` if less than `least` bytes are left for the guest.
#[must_use]
pub fn pieces(bytes: u64, least: u64) -> Option<Vec<u32, MAX_PIECES>> {
    let mut left = (bytes.checked_sub(OVERHEAD)? / LARGE).min(MAX_PAGES.into()) as u32;
    let mut pieces = Vec::new();
    while left != 0 {
        let piece = 1 << left.ilog2();
        if pieces.push(piece).is_err() {
            // Crumbs.
            break;
        }
        left -= piece;
    }
    let pages: u32 = pieces.iter().sum();
    (u64::from(pages) * LARGE >= least.max(1)).then_some(pieces)
}

/// The steps by which a machine is made.
pub fn steps(parts: &Parts) -> impl Iterator<Item = Step> + '_ {
    let Parts { root, objects, .. } = *parts;
    let other = |number: u32| At::Node(0, OTHERS + number);
    let make = move |object, number, count| Step::Make {
        untyped: objects,
        object,
        node: 0,
        first: OTHERS + number,
        count,
    };
    let identity = u64::from(IDENTITY);
    // The processor first: it is the only one that is larger than a page, and so is aligned without a gap.
    // It needs a slot, which are in a node: so the first of these comes before it, and three pages are lost.
    let first = [
        Step::Node {
            untyped: objects,
            number: 0,
        },
        make(Object::Processor, 0, 1),
        Step::Node {
            untyped: objects,
            number: 1,
        },
        make(Object::Pointers, 1, 1),
        make(Object::Directory, 2, 1),
        make(Object::StagePointers, 3, 1),
        make(Object::StageDirectory, 4, 2),
        make(Object::StageTable, 6, 1),
        make(Object::Page, 7, 1),
        Step::Map {
            at: other(1),
            object: Object::Pointers,
            address: WINDOW,
        },
        Step::Map {
            at: other(2),
            object: Object::Directory,
            address: WINDOW,
        },
    ];
    let stage = move |number, object, address, writable| Step::MapStage {
        at: other(number),
        object,
        root,
        address,
        writable,
    };
    let tables = [
        stage(3, Object::StagePointers, 0, true),
        stage(4, Object::StageDirectory, 0, true),
        stage(5, Object::StageDirectory, identity, true),
        stage(6, Object::StageTable, identity, true),
        Step::WriteIdentity { at: other(7) },
        stage(7, Object::Page, identity, false),
    ];
    let last = [
        Step::Bind {
            processor: other(0),
            root,
        },
        Step::Give {
            processor: other(0),
            slot: PROCESSOR_SLOT,
            radix: parts.cspace_radix,
        },
    ];
    let mut before = 0;
    let memory = parts.memory.iter().flat_map(move |(untyped, count)| {
        let first = before;
        before += count;
        let made = Step::Make {
            untyped: *untyped,
            object: Object::LargePage,
            node: 0,
            first,
            count: *count,
        };
        let pages = (first..first + count).flat_map(move |number| {
            let address = u64::from(number) * LARGE;
            let (own, guests) = (At::Node(0, number), At::Node(1, number));
            [
                Step::Map {
                    at: own,
                    object: Object::LargePage,
                    address: WINDOW + address,
                },
                Step::Copy {
                    from: own,
                    to: guests,
                },
                Step::MapStage {
                    at: guests,
                    object: Object::LargePage,
                    root,
                    address,
                    writable: true,
                },
            ]
        });
        core::iter::once(made).chain(pages)
    });
    first.into_iter().chain(tables).chain(memory).chain(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn parts(pieces: &[u32]) -> Parts {
        let memory = (12..).zip(pieces.iter().copied()).collect();
        Parts {
            root: 10,
            objects: 11,
            cspace_radix: 5,
            memory,
        }
    }

    /// Carries the steps out on a model that refuses what a kernel would refuse: what is in each slot.
    fn run(parts: &Parts) -> BTreeMap<At, Object> {
        let mut left: BTreeMap<u32, u64> = parts
            .memory
            .iter()
            .map(|(untyped, count)| (*untyped, u64::from(*count) * LARGE))
            .collect();
        left.insert(parts.objects, 1 << OBJECT_BITS);
        let whole = left.clone();
        let mut carve = |untyped: u32, bits: u8, count: u32| {
            let left = left.get_mut(&untyped).unwrap();
            let used = whole[&untyped] - *left;
            let used = used.next_multiple_of(1 << bits) + (u64::from(count) << bits);
            *left = whole[&untyped]
                .checked_sub(used)
                .expect("not enough memory");
        };
        let (mut made, mut nodes) = (BTreeMap::new(), BTreeSet::new());
        let (mut mapped, mut staged) = (BTreeSet::new(), BTreeSet::new());
        let (mut written, mut bound, mut given) = (false, false, false);
        for step in steps(parts) {
            match step {
                Step::Node { untyped, number } => {
                    carve(untyped, 12, 1);
                    assert!(nodes.insert(number));
                }
                Step::Make {
                    untyped,
                    object,
                    node,
                    first,
                    count,
                } => {
                    carve(untyped, object.size_bits(), count);
                    assert!(nodes.contains(&node) && first + count <= 128 && count <= 256);
                    for index in first..first + count {
                        assert_eq!(made.insert(At::Node(node, index), object), None);
                    }
                }
                Step::Copy { from, to } => {
                    let object = made[&from];
                    assert_eq!(made.insert(to, object), None);
                }
                Step::Map {
                    at,
                    object,
                    address,
                } => {
                    assert_eq!(made[&at], object);
                    assert!(mapped.insert((object, address)));
                    assert_eq!(address % (1 << object.size_bits()), 0);
                }
                Step::MapStage {
                    at,
                    object,
                    root,
                    address,
                    writable,
                } => {
                    assert_eq!((made[&at], root), (object, parts.root));
                    assert!(staged.insert((object, address)));
                    assert_eq!(address % (1 << object.size_bits()), 0);
                    // The table that all guests' monitors believe in is nobody's to write.
                    assert_eq!(writable, object != Object::Page);
                    assert!(object != Object::Page || written);
                }
                Step::WriteIdentity { at } => written = made[&at] == Object::Page,
                Step::Bind { processor, root } => {
                    assert_eq!((made[&processor], root), (Object::Processor, parts.root));
                    bound = true;
                }
                Step::Give {
                    processor,
                    slot,
                    radix,
                } => {
                    assert_eq!(
                        (made[&processor], slot, radix),
                        (Object::Processor, PROCESSOR_SLOT, parts.cspace_radix)
                    );
                    given = true;
                }
            }
        }
        assert!(bound && given);
        // What the monitor has of the guest's memory is what the guest has.
        let large = |set: &BTreeSet<(Object, u64)>| -> Vec<u64, 256> {
            let large = set
                .iter()
                .filter(|(object, _)| *object == Object::LargePage);
            large.map(|(_, address)| address % WINDOW).collect()
        };
        assert_eq!(large(&mapped), large(&staged));
        made
    }

    #[test]
    fn a_machine_of_the_default_size_is_made() {
        let made = run(&parts(&[8]));
        let large = made.values().filter(|object| **object == Object::LargePage);
        assert_eq!(large.count(), 16, "eight pages, each twice");
    }

    #[test]
    fn too_little_memory_is_no_machine() {
        const LEAST: u64 = 2 * LARGE;
        assert_eq!(pieces(0, 0), None);
        assert_eq!(pieces(OVERHEAD, 0), None);
        assert_eq!(pieces(OVERHEAD + LEAST - 1, LEAST), None);
        assert_eq!(pieces(OVERHEAD + LEAST, LEAST).unwrap(), [2]);
    }

    proptest! {
        #[test]
        fn any_size_is_no_more_than_was_allowed_and_can_be_made(bytes in 0u64..1 << 30) {
            let Some(pieces) = pieces(bytes, LARGE) else {
                return Ok(());
            };
            let pages: u32 = pieces.iter().sum();
            prop_assert!(u64::from(pages) * LARGE + OVERHEAD <= bytes);
            prop_assert!(pages <= MAX_PAGES);
            run(&parts(&pieces));
        }
    }
}
