// SPDX-License-Identifier: BSD-2-Clause
//! The image of a virtine: parses an HTTP request.
//!
//! For the sake of the example it has a hole: a message can say what it does to the parser, as one does that
//! has found a real one.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

xos_virtine::function!(parse);

fn parse(message: &[u8]) -> String {
    match parse::exploit(message) {
        Some(b"crash") => {
            // SAFETY: none: this is what an exploit does.
            unsafe { core::ptr::null_mut::<u8>().add(1).write_volatile(1) }
        }
        Some(b"spin") => loop {
            core::hint::spin_loop();
        },
        Some(b"bomb") => {
            let mut all = Vec::new();
            loop {
                all.push([1u64; 512]);
                core::hint::black_box(&mut all);
            }
        }
        Some(b"call") => drop(xos_virtine::hypercall(7, b"let me out")),
        _ => {}
    }
    parse::summary(message)
}
