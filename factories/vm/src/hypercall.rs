// SPDX-License-Identifier: BSD-2-Clause
//! What a guest can ask for by `VMCALL`.
//!
//! The number is in EAX, arguments are in EBX and ECX, the answer is in EAX: what was asked for, or one of
//! [`NO_SUCH_CALL`] and [`BAD_ADDRESS`]. Addresses are physical.
//!
//! | number | arguments | answer |
//! | --- | --- | --- |
//! | 0 | | the version of this interface: 1 |
//! | 1 | address, bytes | writes to the console: the bytes written, at most [`MOST`] |
//! | 2 | address, bytes | reads what came to the serial port: the bytes read, 0 if nothing came |
//! | 3 | | nanoseconds since the start: the low word, the high one in EDX |
//! | 4 | code | ends the machine |

use crate::devices::Board;
use crate::machine::{End, Registers, World};
use crate::memory::Memory;

/// The answer to a number that is none.
pub const NO_SUCH_CALL: u32 = -1i32 as u32;
/// The answer to an address that is not in the guest's memory.
pub const BAD_ADDRESS: u32 = -2i32 as u32;
/// Bytes that are moved in one call, at most.
pub const MOST: u32 = 4096;

/// Version of the interface.
const VERSION: u32 = 1;

/// Carries out the hypercall that is in the registers: the end of the machine, if it is one.
pub fn call(
    registers: &mut Registers,
    board: &mut Board,
    memory: &mut Memory<'_>,
    world: &mut impl World,
) -> Option<End> {
    let (address, length) = (registers.ebx, registers.ecx.min(MOST));
    registers.eax = match registers.eax {
        0 => VERSION,
        1 => match memory.bytes(address, length as usize) {
            Ok(bytes) => {
                world.output(bytes);
                length
            }
            Err(_) => BAD_ADDRESS,
        },
        2 => match memory.bytes_mut(address, length as usize) {
            Ok(bytes) => board.take(bytes) as u32,
            Err(_) => BAD_ADDRESS,
        },
        3 => {
            let now = world.now();
            registers.edx = (now >> 32) as u32;
            now as u32
        }
        4 => return Some(End::PowerOff(registers.ebx as u8)),
        _ => NO_SUCH_CALL,
    };
    None
}
