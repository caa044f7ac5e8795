// SPDX-License-Identifier: BSD-2-Clause
//! The image of a virtine that writes to as many pages of its heap as its argument says.
#![no_std]
#![no_main]

use xos_protocol::manager::PAGE;
use xos_protocol::virtine::HEAP;

xos_virtine::function!(write);

fn write(argument: &[u8]) -> [u8; 8] {
    let pages = argument.try_into().map_or(0, u64::from_le_bytes);
    for page in 0..pages {
        // SAFETY: memory of the heap's that is given out to nobody.
        unsafe { ((HEAP + page * PAGE) as *mut u64).write_volatile(page) };
    }
    pages.to_le_bytes()
}
