// SPDX-License-Identifier: BSD-2-Clause
//! A server made by hand: a thread of this domain that makes one process or one thread at a time for
//! whoever asks, in messages as long as those of the factories. It keeps no books and checks nothing.
//!
//! What it made reports its end to the same endpoint; who waits is answered then, when everything of it
//! is gone.

use sel4::{IpcBuffer, MessageInfo, cap};
use xos_protocol::factory::{HandleOp, SelfOp, SessionOp};
use xos_test_kit::Outcome;

use crate::by_hand::{ByHand, SMALLEST};

/// Words of the answers to creating and waiting, as the factories'.
const CREATED: usize = 1;
const WAITED: usize = 3;
/// Words of the request to create the smallest process: the handle's slot, and the specification.
const CREATE: usize = 3;
/// Words of the request to make a thread.
const SPAWN: usize = 4;

/// What a client makes of it: a process from its creation to its end.
pub fn process(server: cap::Endpoint) {
    ask(server, SessionOp::Create.label(), CREATE);
    ask(server, HandleOp::Start.label(), 0);
    ask(server, HandleOp::Wait.label(), 0);
}

/// A thread from its creation, with which it starts, to its end.
pub fn thread(server: cap::Endpoint) {
    ask(server, SessionOp::Spawn.label(), SPAWN);
    ask(server, HandleOp::Wait.label(), 0);
}

fn ask(server: cap::Endpoint, label: u64, words: usize) {
    server.call_with_mrs(MessageInfo::new(label, 0, 0, words), [0; 4]);
}

/// Serves on the endpoint on which processes made by hand report.
pub fn serve(by_hand: &ByHand, buffer: &'static mut IpcBuffer) -> Outcome {
    sel4::set_ipc_buffer(buffer);
    let endpoint = by_hand.reports();
    let mut answer = None;
    let mut is_thread = false;
    loop {
        let message = match answer.take() {
            Some(words) => {
                endpoint.reply_recv_with_mrs(MessageInfo::new(0, 0, 0, words), [0; 4], ())
            }
            None => endpoint.recv_with_mrs(()),
        };
        let label = message.info.label();
        if label == SessionOp::Create.label() {
            by_hand.make(0, SMALLEST, false)?;
            is_thread = false;
            answer = Some(CREATED);
        } else if label == SessionOp::Spawn.label() {
            by_hand.spawn(true, SelfOp::Exit.label())?;
            is_thread = true;
            answer = Some(CREATED);
        } else if label == HandleOp::Start.label() {
            by_hand.let_report(0, SelfOp::Exit.label())?;
            answer = Some(0);
        } else if label == HandleOp::Wait.label() {
            by_hand.saved().save_caller()?;
        } else {
            match is_thread {
                true => by_hand.end_thread()?,
                false => by_hand.end(0, SMALLEST)?,
            }
            by_hand
                .saved_cap()
                .send_with_mrs(MessageInfo::new(0, 0, 0, WAITED), [0; 4]);
        }
    }
}
