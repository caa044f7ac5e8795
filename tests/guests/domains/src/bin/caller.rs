// SPDX-License-Identifier: BSD-2-Clause
//! Calls the server when it is told, and notes what it got. Its own name says which of the two it is.
#![no_std]
#![no_main]

use sel4_microkit::{
    Channel, ChannelSet, Handler, Infallible, MessageInfo, get_mr, pd_name, protection_domain,
};
use test_domains::{HEAP_SIZE, Note, got, read, write};

const SERVER: Channel = Channel::new(1);

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> Caller {
    Caller {
        notes: if pd_name() == Ok("caller_a") {
            (Note::CommandA, Note::AnswerA)
        } else {
            (Note::CommandB, Note::AnswerB)
        },
    }
}

struct Caller {
    notes: (Note, Note),
}

impl Handler for Caller {
    type Error = Infallible;

    fn notified(&mut self, _: ChannelSet) -> Result<(), Self::Error> {
        let (command, answer) = self.notes;
        let reply = SERVER.pp_call(MessageInfo::new(read(command), 0));
        let word = if reply.count() > 0 { get_mr(0) } else { 0 };
        write(answer, got(reply.label(), word));
        Ok(())
    }
}
