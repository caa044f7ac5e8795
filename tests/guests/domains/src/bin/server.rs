// SPDX-License-Identifier: BSD-2-Clause
//! Does whatever its callers want.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use sel4::cap;
use sel4_microkit::{
    Channel, Handler, Infallible, MessageInfo, abi, get_mr, ipc, protection_domain, set_mr,
};
use test_domains::{Ask, Deed, HEAP_SIZE, Note, note};
use xos_protocol::slots::{cptr, domain};

/// What both counters begin with in every instance: one in memory with contents, one without.
const FIRST: u64 = 1000;
static WITH_CONTENTS: AtomicU64 = AtomicU64::new(FIRST);
static WITHOUT_CONTENTS: AtomicU64 = AtomicU64::new(0);

/// Slot of the replies node in which a deferred caller is kept.
const DEFERRED: u64 = 3;

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> Server {
    note(Note::Starts).fetch_add(1, Ordering::SeqCst);
    Server
}

struct Server;

impl Handler for Server {
    type Error = Infallible;

    fn notified(&mut self, _: sel4_microkit::ChannelSet) -> Result<(), Self::Error> {
        Ok(())
    }

    fn protected(&mut self, _: Channel, info: MessageInfo) -> Result<MessageInfo, Self::Error> {
        let word = if info.count() > 0 { get_mr(0) } else { 0 };
        let calls = WITH_CONTENTS.fetch_add(1, Ordering::SeqCst) + 1 - FIRST;
        let same = WITHOUT_CONTENTS.fetch_add(1, Ordering::SeqCst) + 1;
        let is = |ask: Ask| info.label() == ask.label();
        let answer = if is(Ask::Echo) {
            word + 1
        } else if is(Ask::Count) {
            if calls == same { calls } else { u64::MAX }
        } else if is(Ask::Die) {
            match Deed::of(word) {
                Some(deed) => deed.commit(),
                None => 0,
            }
        } else if is(Ask::WaitAndDie) {
            cap::Notification::from_bits(abi::NOTIFICATION_SLOT).wait();
            Deed::ReadNull.commit()
        } else if is(Ask::Defer) {
            let node = cap::CNode::from_bits(abi::REPLIES_SLOT);
            match node
                .absolute_cptr_from_bits_with_depth(DEFERRED, 8)
                .save_caller()
            {
                // What follows is said to nobody.
                Ok(()) => 0,
                Err(_) => u64::MAX,
            }
        } else if is(Ask::AnswerDeferred) {
            set_mr(0, 77);
            cap::Unspecified::from_bits(cptr(domain::REPLIES_ROOT, DEFERRED as u32))
                .send(sel4::MessageInfo::new(0, 0, 0, 1));
            1
        } else {
            ipc::reply(MessageInfo::new(u64::MAX >> 12, 0));
            0
        };
        set_mr(0, answer);
        Ok(MessageInfo::new(0, 1))
    }
}
