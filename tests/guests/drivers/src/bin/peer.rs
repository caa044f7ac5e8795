// SPDX-License-Identifier: BSD-2-Clause
//! Does what it is told, at the same time as the judge does something else.
#![no_std]
#![no_main]

use core::time::Duration;

use sel4_microkit::{ChannelSet, Handler, Infallible, protection_domain};
use test_drivers::{Deed, HEAP_SIZE, Note, OTHER, console, read, timer, write};

/// What it prints.
const LINE: &[u8] = b"peer: the quick brown fox jumps over the lazy dog and says so to everybody\n";

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> Peer {
    Peer
}

struct Peer;

impl Handler for Peer {
    type Error = Infallible;

    fn notified(&mut self, _: ChannelSet) -> Result<(), Self::Error> {
        let argument = read(Note::Argument);
        let result = match read(Note::Deed) {
            deed if deed == Deed::Sleep as u64 => {
                let timer = timer();
                let slept = timer.sleep(Duration::from_nanos(argument));
                let now = timer.now().map_or(0, |now| now.as_nanos() as u64);
                if slept.is_ok() { now } else { 1 }
            }
            deed if deed == Deed::Print as u64 => {
                let printed = (0..argument).try_for_each(|_| console().write(LINE));
                if printed.is_ok() { 1 } else { 2 }
            }
            _ => match console().intercept(true) {
                Ok(()) => 1,
                Err(error) => 2 + error.label(),
            },
        };
        write(Note::Result, result);
        OTHER.notify();
        Ok(())
    }
}
