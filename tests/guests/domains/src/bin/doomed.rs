// SPDX-License-Identifier: BSD-2-Clause
//! In the IC manager's place: gives up at once.
#![no_std]
#![no_main]

use sel4_microkit::{Handler, NullHandler, protection_domain};
use test_domains::HEAP_SIZE;

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> impl Handler {
    panic!("last words\non two lines");
    #[allow(unreachable_code)]
    NullHandler::new()
}
