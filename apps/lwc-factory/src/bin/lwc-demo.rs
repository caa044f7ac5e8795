// SPDX-License-Identifier: BSD-2-Clause
//! A key that a program keeps from itself: the example of the paper on light-weight contexts.
//!
//! `factory lwc-factory`, then `run process lwc-demo`; with `--stay` it stays to be looked at.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::time::Duration;

use lwc_factory::client::{DEFAULT_STACK, Lwcs};
use xos::protocol::manager::Rights;
use xos::region::Region;
use xos::{println, timer};

xos::main!(main, heap = 16 * 1024);

/// Where the key is, in whoever has it.
struct Key(UnsafeCell<u64>);

// SAFETY: each copy of the program has one execution that touches it.
unsafe impl Sync for Key {}

static KEY: Key = Key(UnsafeCell::new(0));

fn key() -> u64 {
    // SAFETY: see `Key`. Volatile, because what is there is the point.
    unsafe { KEY.0.get().read_volatile() }
}

/// Not a signature that anyone should use, but one that depends on the key.
fn sign(digest: u64) -> u64 {
    (digest ^ key())
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
}

fn main() -> xos::Result<()> {
    let lwcs = Lwcs::open()?;
    let vault = lwcs.create(DEFAULT_STACK, |view, mut asked| {
        let seed = timer::real_time().map_or(1, |time| time.as_nanos() as u64 | 1);
        // SAFETY: see `Key`.
        unsafe { KEY.0.get().write_volatile(seed) };
        loop {
            match view.switch(asked.from, sign(asked.word)) {
                Ok(next) => asked = next,
                Err(_) => return 1,
            }
        }
    })?;
    let first = vault.switch(42)?.word;
    let again = vault.switch(42)?.word;
    let other = vault.switch(43)?.word;
    println!("the vault signs 42: {first:#018x}");
    println!(
        "and again the same: {}, and 43 with something else: {}",
        first == again,
        first != other
    );
    println!(
        "what the program finds where the key is: {}; what it would sign with that: {:#018x}",
        key(),
        sign(42)
    );
    if xos::args().any(|argument| argument == "--stay") {
        // A second one, which the first may switch to, and memory that both see.
        let page = Region::new(1)?;
        let memory = page.map(Rights::RW)?;
        let guest = lwcs.create(DEFAULT_STACK, |_, _| 0)?;
        vault.allow(&guest)?;
        vault.overlay(&memory, Rights::R)?;
        guest.overlay(&memory, Rights::RW)?;
        loop {
            timer::sleep(Duration::from_secs(3600))?;
        }
    }
    Ok(())
}
