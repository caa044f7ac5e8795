// SPDX-License-Identifier: BSD-2-Clause

//! Has a text turned into capitals by the server, and waits to be told that it was.

#![no_std]
#![no_main]

use core::ptr::NonNull;

use sel4_microkit::{
    Channel, ChannelSet, Handler, Infallible, MessageInfo, debug_println, get_mr,
    memory_region_symbol, protection_domain, set_mr, var,
};

const TEXT: &[u8] = b"hello, server";

#[protection_domain]
fn init() -> Client {
    let server = Channel::new(*var!(server_id: usize = usize::MAX));
    let text: NonNull<[u8]> =
        memory_region_symbol!(text_vaddr: *mut [u8], n = *var!(text_size: usize = 0));
    let start = text.cast::<u8>();

    set_mr(0, text.len() as u64 + 1);
    let refused = server.pp_call(MessageInfo::new(0, 1));
    assert_eq!(refused.label(), 1);

    for (i, &byte) in TEXT.iter().enumerate() {
        // SAFETY: the text is shorter than the region.
        unsafe { start.add(i).write_volatile(byte) };
    }
    set_mr(0, TEXT.len() as u64);
    let done = server.pp_call(MessageInfo::new(0, 1));
    assert_eq!((done.label(), done.count(), get_mr(0)), (0, 1, 11));

    let answer = TEXT.iter().enumerate().map(|(i, _)| {
        // SAFETY: the text is shorter than the region.
        unsafe { start.add(i).read_volatile() }
    });
    assert!(answer.eq(b"HELLO, SERVER".iter().copied()));
    debug_println!("the server answered");

    Client { server }
}

struct Client {
    server: Channel,
}

impl Handler for Client {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Self::Error> {
        assert!(channels.contains(self.server));
        debug_println!("TEST_PASS");
        Ok(())
    }
}
