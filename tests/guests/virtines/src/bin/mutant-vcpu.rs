// SPDX-License-Identifier: BSD-2-Clause
//! The factory of virtines on virtual processors with another monitor, which is broken on purpose: it is called as the
//! domain is, and so is the factory.
#![no_std]
#![no_main]

use process_factory::factory::ROOT_SLOTS_OF_PROGRAM;
use process_factory::machine::{Machine, WINDOW};
use sel4_microkit::{NullHandler, memory_region_bytes, pd_name, protection_domain};
use spin::Mutex;
use virtine_factory::vcpu::factory::VIRTINE;
use vm_factory::domain::{CONSOLE, Server, run, server};

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    Mutex::new(server(VIRTINE, machine))
};

#[protection_domain(heap_size = 4096)]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    let name = pd_name().unwrap_or_default();
    let mut server = SERVER.lock();
    server.factory().kind().monitor = name;
    run(&mut server, archive, name)
}
