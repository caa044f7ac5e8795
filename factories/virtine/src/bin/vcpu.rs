// SPDX-License-Identifier: BSD-2-Clause
//! The factory of virtines on virtual processors: plugs two libraries into the machine.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use process_factory::factory::ROOT_SLOTS_OF_PROGRAM;
use process_factory::machine::{Machine, WINDOW};
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use virtine_factory::vcpu::factory::VIRTINE;
use vm_factory::domain::{CONSOLE, Server, run, server};
use xos_protocol::virtine::VCPU;

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    Mutex::new(server(VIRTINE, machine))
};

#[protection_domain]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    run(&mut SERVER.lock(), archive, VCPU)
}
