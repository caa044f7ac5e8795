// SPDX-License-Identifier: BSD-2-Clause
//! The factory of virtines on virtual processors with a monitor that forgets pages.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use process_factory::factory::ROOT_SLOTS_OF_PROGRAM;
use process_factory::machine::{Machine, WINDOW};
use sel4_microkit::{NullHandler, memory_region_symbol, protection_domain, var};
use spin::Mutex;
use virtine_factory::vcpu::factory::VIRTINE;
use vm_factory::domain::{CONSOLE, Server, run, server};
use vm_factory::factory::Kind;

const FORGETFUL: Kind = Kind {
    monitor: "monitor-forgets-pages",
    ..VIRTINE
};

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    Mutex::new(server(FORGETFUL, machine))
};

#[protection_domain(heap_size = 4096)]
fn init() -> NullHandler {
    let start = memory_region_symbol!(files: *mut u8);
    let length = *var!(files_len: usize = 0);
    // SAFETY: the system description maps so many bytes there, read-only, for as long as this domain lives.
    let archive = unsafe { core::slice::from_raw_parts(start.as_ptr(), length) };
    run(&mut SERVER.lock(), archive, "forgets_pages")
}
