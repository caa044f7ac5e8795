// SPDX-License-Identifier: BSD-2-Clause
//! What a guest can ask for by `VMCALL`.
//!
//! The number is in EAX, arguments are in EBX and ECX, the answer is in EAX: what was asked for, or one of
//! [`NO_SUCH_CALL`], [`BAD_ADDRESS`] and [`NO_CHANNEL`]. Addresses are physical.
//!
//! | number | arguments | answer |
//! | --- | --- | --- |
//! | 0 | | the version of this interface: 2 |
//! | 1 | address, bytes | writes to the console: the bytes written, at most [`MOST`] |
//! | 2 | address, bytes | reads what came to the serial port: the bytes read, 0 if nothing came |
//! | 3 | | nanoseconds since the start: the low word, the high one in EDX |
//! | 4 | code | ends the machine |
//! | 5 | channel, message | calls: 0. The reply is where the message was; its label is 0, or an error |
//! | 6 | channel, message | sends, and waits until it is received: 0 |
//! | 7 | channel | signals: 0 |
//! | 8 | 0, message | receives: 1, and the message is there; 0 if there is none |
//! | 9 | 0, message | replies to what was received last: 1; 0 if nobody waits for it |
//! | 10 | | the bits that were signalled since the last time |
//!
//! A message is an address with [`MESSAGE_BYTES`] bytes: a label, four words, and, of one that was received, the
//! number of the session through which it came; words of 64 bits, little-endian. A channel is a number as
//! [`links`](crate::links) says; that of the IC manager is [`MANAGER_CHANNEL`]. An interrupt
//! ([`LINK_INTERRUPT`](crate::interface::LINK_INTERRUPT)) says that there is something for 8 or 10; its line
//! stays high until there is not.

use crate::devices::Board;
use crate::interface::{
    BAD_ADDRESS, CALL_CALL, CALL_POWER_OFF, CALL_READ, CALL_RECEIVE, CALL_REPLY, CALL_SEND,
    CALL_SIGNAL, CALL_SIGNALS, CALL_TIME, CALL_VERSION, CALL_WRITE, MANAGER_CHANNEL, MESSAGE_BYTES,
    MOST, NO_CHANNEL, NO_SUCH_CALL, VERSION,
};
use crate::links::{Link, Message, is_channel};
use crate::machine::{End, Registers, World};
use crate::memory::{Memory, Outside};

/// Carries out the hypercall that is in the registers: the end of the machine, if it is one.
pub fn call(
    registers: &mut Registers,
    board: &mut Board,
    memory: &mut Memory<'_>,
    world: &mut impl World,
) -> Option<End> {
    let (address, length) = (registers.ebx, registers.ecx.min(MOST));
    registers.eax = match registers.eax {
        CALL_VERSION => VERSION,
        CALL_WRITE => match memory.bytes(address, length as usize) {
            Ok(bytes) => {
                world.output(bytes);
                length
            }
            Err(_) => BAD_ADDRESS,
        },
        CALL_READ => match memory.bytes_mut(address, length as usize) {
            Ok(bytes) => board.take(bytes) as u32,
            Err(_) => BAD_ADDRESS,
        },
        CALL_TIME => {
            let now = world.now();
            registers.edx = (now >> 32) as u32;
            now as u32
        }
        CALL_POWER_OFF => return Some(End::PowerOff(registers.ebx as u8)),
        CALL_SIGNAL if !is_channel(registers.ebx) => NO_CHANNEL,
        CALL_SIGNAL => world.link(Link::Signal(registers.ebx)),
        CALL_SIGNALS => world.link(Link::Signals),
        number @ (CALL_CALL | CALL_SEND | CALL_RECEIVE | CALL_REPLY) => {
            exchange(number, registers.ebx, registers.ecx, memory, world).unwrap_or(BAD_ADDRESS)
        }
        _ => NO_SUCH_CALL,
    };
    None
}

/// The calls with a message.
fn exchange(
    number: u32,
    channel: u32,
    address: u32,
    memory: &mut Memory<'_>,
    world: &mut impl World,
) -> Result<u32, Outside> {
    let bytes = memory
        .bytes_mut(address, MESSAGE_BYTES as usize)?
        .first_chunk_mut()
        .ok_or(Outside)?;
    let mut message = Message::read(bytes);
    let link = match (number, channel) {
        (CALL_CALL, MANAGER_CHANNEL) => Link::Ask(&mut message),
        (CALL_CALL, channel) if is_channel(channel) => Link::Call(channel, &mut message),
        (CALL_SEND, channel) if is_channel(channel) => Link::Send(channel, &message),
        (CALL_RECEIVE, 0) => Link::Receive(&mut message),
        (CALL_REPLY, 0) => Link::Reply(&message),
        _ => return Ok(NO_CHANNEL),
    };
    let answer = world.link(link);
    *bytes = message.bytes();
    Ok(answer)
}
