// SPDX-License-Identifier: BSD-2-Clause

//! Turns the text that a client puts into shared memory into capitals.
//!
//! The protected procedure takes the text's length in message register 0, answers with the number
//! of letters that it changed, and notifies the client afterwards.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::ptr::NonNull;

use sel4_microkit::{
    Channel, DeferredAction, DeferredActionSlot, Handler, IrqAckError, MessageInfo, debug_println,
    get_mr, memory_region_symbol, pd_name, protection_domain, set_mr, var,
};

/// Labels of replies.
const DONE: u64 = 0;
const TOO_LONG: u64 = 1;

#[protection_domain(heap_size = 64 * 1024)]
fn init() -> impl Handler {
    debug_println!("{} is ready", pd_name().unwrap());
    Server {
        client: Channel::new(*var!(client_id: usize = usize::MAX)),
        text: memory_region_symbol!(text_vaddr: *mut [u8], n = *var!(text_size: usize = 0)),
        deferred: DeferredActionSlot::new(),
    }
}

struct Server {
    client: Channel,
    text: NonNull<[u8]>,
    deferred: DeferredActionSlot,
}

impl Handler for Server {
    type Error = IrqAckError;

    fn protected(&mut self, channel: Channel, _: MessageInfo) -> Result<MessageInfo, Self::Error> {
        assert_eq!(channel, self.client);
        let length = get_mr(0) as usize;
        if length > self.text.len() {
            return Ok(MessageInfo::new(TOO_LONG, 0));
        }

        // A copy of its own: the client may change the text at any time.
        let start = self.text.cast::<u8>();
        // SAFETY: the length is within the region.
        let before: Vec<u8> = (0..length)
            .map(|i| unsafe { start.add(i).read_volatile() })
            .collect();
        let after = before.to_ascii_uppercase();
        for (i, &byte) in after.iter().enumerate() {
            // SAFETY: as above.
            unsafe { start.add(i).write_volatile(byte) };
        }

        let changed = before.iter().zip(&after).filter(|(b, a)| b != a).count();
        self.deferred.defer_notify(self.client)?;
        set_mr(0, changed as u64);
        Ok(MessageInfo::new(DONE, 1))
    }

    fn take_deferred_action(&mut self) -> Option<DeferredAction> {
        self.deferred.take()
    }
}
