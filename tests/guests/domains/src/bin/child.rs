// SPDX-License-Identifier: BSD-2-Clause
//! Dies in the way that the board says, as its parent's child.
#![no_std]
#![no_main]

use sel4_microkit::{Handler, NullHandler, protection_domain};
use test_domains::{Deed, HEAP_SIZE, Note, read};

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> impl Handler {
    if let Some(deed) = Deed::of(read(Note::ChildDeed)) {
        deed.commit();
    }
    NullHandler::new()
}
