// SPDX-License-Identifier: BSD-2-Clause
//! The IC manager: plugs the library into the machine.
//!
//! One loop answers everybody. Beside it runs the [reaper], an execution that does what takes long; the
//! two have nothing in common but two queues and the capabilities of arenas that are the reaper's until
//! it says that it is done.
#![no_std]
#![no_main]

mod kernel;
mod reaper;

use ic_manager::bond::Bond;
use ic_manager::ic::Ic;
use ic_manager::pool::{MAX_BONDS, MAX_ICS, MAX_REGIONS};
use ic_manager::region::Region;
use ic_manager::table::Record;
use ic_manager::untyped::{BLOCKS, Block};
use ic_manager::{Manager, Reply, Storage, start};
use kernel::Kernel;
use sel4::{MessageInfo, cap};
use sel4_microkit::{NullHandler, protection_domain};
use spin::{Mutex, MutexGuard};
use xos_protocol::supervisor::{SIGNAL, boot};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Badge, Who, slots::domain};

/// Where everybody's requests arrive, and notifications with them.
const INPUT: cap::Endpoint = cap::Endpoint::from_bits(domain::INPUT);

/// All records, vacant: zeroes, which take no room in the program's file.
struct Tables {
    ics: [Ic; MAX_ICS],
    regions: [Region; MAX_REGIONS],
    bonds: [Bond; MAX_BONDS],
    blocks: [Block; BLOCKS],
}

/// In a static because of their size; taken once.
static TABLES: Mutex<Tables> = Mutex::new(Tables {
    ics: [Ic::VACANT; MAX_ICS],
    regions: [Region::VACANT; MAX_REGIONS],
    bonds: [Bond::VACANT; MAX_BONDS],
    blocks: [Block::VACANT; BLOCKS],
});

#[protection_domain]
fn init() -> NullHandler {
    let tables = MutexGuard::leak(TABLES.lock());
    let mut manager = Manager::new(Storage {
        ics: &mut tables.ics,
        regions: &mut tables.regions,
        bonds: &mut tables.bonds,
        blocks: &mut tables.blocks,
    });
    // SAFETY: the root task maps its information there, read-only, for as long as this domain exists.
    let info = unsafe {
        core::slice::from_raw_parts(
            boot::INFO_VADDR as *const u8,
            (boot::INFO_PAGES * xos_protocol::manager::PAGE) as usize,
        )
    };
    let (mut boot, _) = postcard::take_from_bytes::<boot::ManagerBoot>(info)
        .expect("what the root task says about the machine");
    let own = start::keep_back(&mut boot, kernel::OWN_BITS).expect("memory for the reaper");
    let itself = start::index_of_manager(&boot).expect("the manager among the domains");
    let mut kernel = Kernel::new(itself, own).expect("the reaper");
    manager
        .start(&mut kernel, &boot)
        .unwrap_or_else(|error| panic!("cannot take over the machine: {error}"));
    serve(manager, kernel)
}

/// Answers requests for ever.
fn serve(mut manager: Manager<'_>, mut kernel: Kernel) -> ! {
    let mut words: Words = [0; MAX_WORDS];
    let mut message = INPUT.recv_with_mrs(());
    loop {
        let badge = Badge::from_word(message.badge);
        let label = message.info.label();
        if let Some(id) = manager.ping(badge, label) {
            let info = MessageInfo::new(0, 0, 0, 1);
            message = INPUT.reply_recv_with_mrs(info, [id, 0, 0, 0], ());
            continue;
        }
        let mut reply = None;
        match badge.who() {
            Who::Notified(bits) => {
                if bits & SIGNAL != 0 {
                    manager.crashed(&mut kernel);
                }
                while let Some(tag) = kernel.reaped() {
                    manager.reaped(&mut kernel, tag);
                }
            }
            // Nobody has a session here by name: this is the fault that says that an execution has answered.
            Who::Session(kernel::ANSWERED) => manager.answered(&mut kernel),
            _ => {
                let length = message.info.length();
                let answer =
                    manager.serve(&mut kernel, badge, label, length, message.msg, &mut words);
                if answer.length > answer.registers.len() {
                    put(&words[..answer.length.min(MAX_WORDS)]);
                }
                reply = Some(answer);
            }
        }
        message = match reply {
            Some(reply) => INPUT.reply_recv_with_mrs(info(&reply), reply.registers, ()),
            None => INPUT.recv_with_mrs(()),
        };
    }
}

fn info(reply: &Reply) -> MessageInfo {
    MessageInfo::new(reply.label, 0, 0, reply.length)
}

/// Puts the words of a long reply into the IPC buffer.
#[inline(never)]
fn put(words: &[u64]) {
    sel4::with_ipc_buffer_mut(|buffer| buffer.msg_regs_mut()[..words.len()].copy_from_slice(words));
}
