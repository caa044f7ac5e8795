// SPDX-License-Identifier: BSD-2-Clause
//! The image of a virtine that writes to as many pages of its heap as its argument says, makes as many hypercalls,
//! and gives its argument back. On virtual processors it is `tests/guests/virtines/vcpu/bench.c`.
#![no_std]
#![no_main]

use xos_protocol::manager::PAGE;
use xos_protocol::virtine::HEAP;

xos_virtine::function!(write);

fn write(argument: &[u8]) -> [u8; 8] {
    let argument: [u8; 8] = argument.try_into().unwrap_or_default();
    let [pages, hypercalls, ..] = argument;
    for page in 0..u64::from(pages) {
        // SAFETY: memory of the heap's that is given out to nobody.
        unsafe { ((HEAP + page * PAGE) as *mut u64).write_volatile(page) };
    }
    for _ in 0..hypercalls {
        xos_virtine::hypercall(1, &argument);
    }
    argument
}
