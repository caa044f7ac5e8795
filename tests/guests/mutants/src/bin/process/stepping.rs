// SPDX-License-Identifier: BSD-2-Clause
//! The kernel and the manager as the factory sees them, step by step: each entry into the kernel may be
//! its last. Some of the defects are in how it uses the kernel, and so they are here.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use process_factory::kernel::{At, Context, Execution, Kernel, Object, Outcome, Registers};
use process_factory::machine::Machine;
use sel4::{CapRights, cap};
use xos_server::Space;
use xos_server::client::{Answer, Port};
use xos_server::protocol::manager::{ObjectKind, Payer, RegionCreate};
use xos_server::protocol::slots::parts;
use xos_server::protocol::wire::Words;
use xos_server::protocol::{Error, Result};

use crate::MANAGER;
use crate::broken::{SUPPLYING, is, knob};

/// The manager's endpoint.
#[derive(Clone, Copy)]
pub struct SteppingPort(pub cap::Endpoint);

impl Port for SteppingPort {
    fn call(&self, label: u64, words: [u64; 4], len: usize) -> Result<Answer> {
        knob().step();
        Port::call(&self.0, label, words, len)
    }

    fn exchange(&self, label: u64, message: &mut Words, len: usize) -> Result<usize> {
        knob().step();
        Port::exchange(&self.0, label, message, len)
    }
}

/// The kernel.
pub struct Stepping(pub Machine);

/// Root slots that the factory does not come to: it takes single ones from the beginning, and several in
/// a row from the end.
const STASH: u32 = 3300;
const BELL: u32 = 3301;
/// Slot of an IC's CSpace that should be empty.
const EXTRA: u64 = 20;

/// A frame that is the factory's own: the same for all its ICs.
fn stash() -> At {
    // Made when it is first needed; after that the slot is taken, and this fails.
    let _ = MANAGER.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 1,
        large: false,
        place: STASH,
    });
    At {
        node: STASH,
        index: 0,
    }
}

/// Puts a capability of the factory's own into an IC's CSpace.
fn smuggle(place: u32, radix: u32, from: &sel4::AbsoluteCPtr) {
    let _ = Space::DOMAIN
        .node(place)
        .cspace()
        .absolute_cptr_from_bits_with_depth(EXTRA, radix as usize)
        .copy(from, CapRights::all());
}

impl Kernel for Stepping {
    fn retype(&mut self, untyped: At, object: Object, to: u32, first: u32, count: u32) -> Outcome {
        knob().step();
        self.0.retype(untyped, object, to, first, count)
    }

    fn make_node(&mut self, untyped: At, place: u32) -> Outcome {
        knob().step();
        self.0.make_node(untyped, place)
    }

    fn clear(&mut self, place: u32) {
        knob().step();
        self.0.clear(place);
    }

    fn delete(&mut self, at: At) {
        knob().step();
        self.0.delete(at);
    }

    fn copy(&mut self, from: At, to: At) -> Outcome {
        knob().step();
        if is("code_is_mapped_writable") || is("clones_write_to_their_snapshot") {
            let slot = |at: At| Space::DOMAIN.node(at.node).slot(at.index);
            let _ = slot(to).copy(&slot(from), CapRights::all());
            return Ok(());
        }
        self.0.copy(from, to)
    }

    fn map_table(&mut self, table: At, object: Object, parts: u32, address: u64) -> Outcome {
        knob().step();
        self.0.map_table(table, object, parts, address)
    }

    fn map_frame(&mut self, frame: At, parts: u32, address: u64, writable: bool) -> Outcome {
        knob().step();
        let supplied = writable && SUPPLYING.load(SeqCst);
        if supplied && is("a_page_is_used_again_without_being_cleared") {
            let slot = |at: At| Space::DOMAIN.node(at.node).slot(at.index);
            let stash = stash();
            self.0.delete(frame);
            let _ = slot(frame).copy(&slot(stash), CapRights::all());
        }
        let writable = writable
            || is("code_is_mapped_writable")
            || (SUPPLYING.load(SeqCst) && is("clones_write_to_their_snapshot"));
        self.0.map_frame(frame, parts, address, writable)
    }

    fn write(&mut self, frame: At, offset: usize, bytes: &[u8]) -> Outcome {
        knob().step();
        self.0.write(frame, offset, bytes)
    }

    fn read(&mut self, frame: At, offset: usize, bytes: &mut [u8]) -> Outcome {
        knob().step();
        self.0.read(frame, offset, bytes)
    }

    fn copy_frame(&mut self, from: At, to: At) -> Outcome {
        knob().step();
        if SUPPLYING.load(SeqCst) && is("what_clones_write_to_is_empty") {
            return Ok(());
        }
        self.0.copy_frame(from, to)
    }

    fn configure(&mut self, place: u32, execution: &Execution) -> Outcome {
        knob().step();
        self.0.configure(place, execution)?;
        let (node, radix) = (Space::DOMAIN.node(place), execution.cspace_radix);
        match knob().defect() {
            "an_execution_is_among_an_ics_capabilities" => {
                smuggle(place, radix, &node.slot(parts::EXECUTION));
            }
            "an_address_space_is_among_an_ics_capabilities" => {
                smuggle(place, radix, &node.slot(parts::VSPACE));
            }
            "its_own_parts_are_among_an_ics_capabilities" => {
                smuggle(place, radix, &Space::DOMAIN.slot(place));
            }
            "a_frame_is_among_an_ics_capabilities" => {
                let At { node, index } = execution.buffer;
                smuggle(place, radix, &Space::DOMAIN.node(node).slot(index));
            }
            "all_ics_have_a_channel_in_common" => {
                let _ = MANAGER.make(ObjectKind::Notification, BELL);
                smuggle(place, radix, &Space::DOMAIN.slot(BELL));
            }
            "ics_run_at_a_lower_priority" | "an_own_priority_is_promised_and_given" => {
                let _ = node.tcb().tcb_set_priority(node.tcb(), 50);
            }
            _ => {}
        }
        Ok(())
    }

    fn set_registers(&mut self, parts: u32, registers: &Registers) -> Outcome {
        knob().step();
        self.0.set_registers(parts, registers)
    }

    fn context(&mut self, parts: u32) -> Outcome<Context> {
        knob().step();
        self.0.context(parts)
    }

    fn set_context(&mut self, parts: u32, context: &Context) -> Outcome {
        knob().step();
        self.0.set_context(parts, context)
    }

    fn registers(&mut self, parts: u32) -> Outcome<[u64; 3]> {
        knob().step();
        self.0.registers(parts)
    }

    fn refuse(&mut self, parts: u32, error: Error) -> Outcome<bool> {
        knob().step();
        self.0.refuse(parts, error)
    }

    fn land(&mut self, parts: u32) -> Outcome<bool> {
        knob().step();
        self.0.land(parts)
    }

    fn fill(&mut self, address: u64, bytes: &[u8]) {
        self.0.fill(address, bytes);
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.0.log(line);
    }
}
