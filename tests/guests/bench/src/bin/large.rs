// SPDX-License-Identifier: BSD-2-Clause
//! A process of 16 MiB: writes to all of it, and stands. A clone of it ends at once.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

xos::main!(main);

/// Words of a page.
const PAGE: usize = 4096 / 8;
/// Words of 16 MiB.
const ALL: usize = (16 << 20) / 8;

static MEMORY: [AtomicU64; ALL] = [const { AtomicU64::new(0) }; ALL];

fn main() -> xos::Result<i32> {
    for (number, word) in MEMORY.iter().step_by(PAGE).enumerate() {
        word.store(number as u64 + 1, Relaxed);
    }
    xos::stand()?;
    let all_are_there = MEMORY[ALL - PAGE].load(Relaxed) == (ALL / PAGE) as u64;
    Ok(i32::from(!all_are_there))
}
