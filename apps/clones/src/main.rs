// SPDX-License-Identifier: BSD-2-Clause
//! The process that is cloned, and the one that has it cloned.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use clones::{LIMIT, MODEL, Table, USAGE, parse, part};
use xos::protocol::manager::Rights;
use xos::protocol::start::SHARES;
use xos::region::Region;
use xos::{ExitStatus, Spec, eprintln, println};

xos::main!(main);

/// Where a clone finds its task, two words: its number, and how many there are.
const TASK: u64 = SHARES.start;

static TABLE: Table = Table::new();

fn main() -> xos::Result<i32> {
    let arguments = || xos::args().skip(1);
    if arguments().next() == Some(MODEL) {
        return prepare_and_stand();
    }
    match parse(arguments()) {
        Some(count) => show(count),
        None => {
            eprintln!("{USAGE}");
            Ok(2)
        }
    }
}

/// The process that is cloned comes to `stand`, and no further; its clones begin there.
fn prepare_and_stand() -> xos::Result<i32> {
    TABLE.prepare();
    xos::stand()?;
    let [number, count] = [0, 1].map(|index| word(TASK, index).load(Relaxed) as usize);
    // The exit code has room for it.
    Ok(TABLE.count(part(number, count)) as i32)
}

fn show(count: usize) -> xos::Result<i32> {
    let model = xos::factory("process")?.create(&Spec::image("clones").arg(MODEL))?;
    model.start()?;
    let snapshot = model.snapshot()?;
    let task = Region::new(1)?;
    let mapped = task.map(Rights::RW)?;
    let mut primes = 0;
    for number in 0..count {
        let clone = snapshot.new_clone()?;
        let words = mapped.start().as_ptr() as u64;
        word(words, 0).store(number as u64, Relaxed);
        word(words, 1).store(count as u64, Relaxed);
        task.share(clone.id(), TASK, Rights::R)?;
        clone.start()?;
        match clone.wait()? {
            ExitStatus::Code(found) => primes += found,
            other => {
                eprintln!("a clone {other}");
                return Ok(1);
            }
        }
    }
    println!("{primes} primes below {LIMIT}, counted by {count} clones with one table");
    Ok(0)
}

/// A word of a page that is mapped.
fn word(page: u64, index: usize) -> &'static AtomicU64 {
    // SAFETY: callers name a page that was mapped there for this program, and is used as such words by all
    // who map it.
    unsafe { &*(page as *const AtomicU64).add(index) }
}
