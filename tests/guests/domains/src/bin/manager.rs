// SPDX-License-Identifier: BSD-2-Clause
//! In the IC manager's place: runs the cases about what the root task hands over.
#![no_std]
#![no_main]

use sel4_microkit::{Handler, NullHandler, protection_domain};
use test_domains::HEAP_SIZE;

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> impl Handler {
    NullHandler::new()
}
