// SPDX-License-Identifier: BSD-2-Clause
//! Threads, as a program makes them. `bench-threads COUNT` exits with the ticks that one takes from its
//! creation to the end of its joining, on average.
#![no_std]
#![no_main]

use bench_loops::ticks;
use xos::thread;

xos::main!(main, heap = 64 * 1024);

/// Bytes of a page: the stack of the smallest thread.
const PAGE: usize = 4096;

fn main() -> Result<i32, thread::JoinError> {
    let count = xos::args().nth(1).and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(1);
    round(count)?;
    let start = ticks();
    round(count)?;
    Ok(((ticks() - start) / count) as i32)
}

fn round(count: u64) -> Result<(), thread::JoinError> {
    for _ in 0..count {
        thread::spawn_with_stack(PAGE, || ())?.join()?;
    }
    Ok(())
}
