// SPDX-License-Identifier: BSD-2-Clause
//! The vm factory, whose machines have a monitor that can be stopped at each of its steps.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use process_factory::factory::ROOT_SLOTS_OF_PROGRAM;
use process_factory::machine::{Machine, WINDOW};
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use vm_factory::domain::{CONSOLE, Server, run, server};
use vm_factory::factory::{Kind, MACHINE};

const STEPPED: Kind = Kind {
    monitor: "step-vm-monitor",
    ..MACHINE
};

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    Mutex::new(server(STEPPED, machine))
};

#[protection_domain(heap_size = 4096)]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    run(&mut SERVER.lock(), archive, "vm-steps")
}
