// SPDX-License-Identifier: BSD-2-Clause
//! The gate: what a thread whose call is done returns through.
//!
//! A thread that made a call stands still because of a fault. The kernel lets go of it when the server answers
//! the fault, in the same entry in which the server receives the next one; but an answer sets RIP, RSP and
//! RFLAGS alone, and the result of a call is in RAX. So the answer leads to a few instructions that take the rest
//! from where RSP points to: a place of the thread's own in a page that its program cannot write to.
//! Otherwise writing the registers would be an entry of its own, for a quarter of what a call costs.
//!
//! ```text
//!     pop rax                    ; the result
//!     pop rcx                    ; where the program goes on, which is where Linux leaves it, too
//!     pop rsp
//!     jmp rcx
//! ```
//!
//! Both pages lie behind the end of a program's addresses, so that no call of its changes what is there. What it
//! does if it jumps there by itself is what it could do elsewhere. A thread that is stopped within these
//! instructions has registers that no program knows of: whoever looks at them then sees those with
//! which it leaves ([`Place::settle`]).

use crate::kernel::Registers;
use crate::pages::PAGE;

/// Where the code is in every program.
pub const CODE: u64 = 0x7fff_ffff_e000;
/// Where the places are: the last page of the lower half.
pub const PLACES: u64 = CODE + PAGE as u64;
/// The instructions.
pub const INSTRUCTIONS: [u8; 5] = [0x58, 0x59, 0x5c, 0xff, 0xe1];
/// Places in a page.
pub const COUNT: usize = PAGE / WORDS / 8;
/// Words of a place: the third one is followed by one that is nobody's.
pub const WORDS: usize = 4;

/// What is in a thread's place.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Place {
    /// The result.
    pub rax: u64,
    /// Where it goes on.
    pub rip: u64,
    /// Its stack.
    pub rsp: u64,
}

impl Place {
    /// How a thread leaves that is to go on with these registers.
    pub const fn new(registers: &Registers) -> Self {
        Self {
            rax: registers.rax,
            rip: registers.rip,
            rsp: registers.rsp,
        }
    }

    /// The address that place `index` has in the program.
    pub const fn address(index: usize) -> u64 {
        PLACES + (index * WORDS * 8) as u64
    }

    /// Whether a thread that is at `rip` has not left yet.
    pub const fn is_within(rip: u64) -> bool {
        rip.wrapping_sub(CODE) < INSTRUCTIONS.len() as u64
    }

    /// Makes the registers of a thread that has not left yet those that it leaves with.
    pub const fn settle(self, registers: &mut Registers) {
        registers.rax = self.rax;
        registers.rip = self.rip;
        registers.rcx = self.rip;
        registers.rsp = self.rsp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does the instruction at RIP, as the processor does.
    fn step(r: &mut Registers, memory: &[u64; 3]) {
        let pop = |r: &mut Registers| {
            let word = memory[((r.rsp - Place::address(5)) / 8) as usize];
            r.rsp += 8;
            word
        };
        let at = (r.rip - CODE) as usize;
        r.rip += 1;
        match &INSTRUCTIONS[at..] {
            [0x58, ..] => r.rax = pop(r),
            [0x59, ..] => r.rcx = pop(r),
            [0x5c, ..] => r.rsp = pop(r),
            [0xff, 0xe1] => r.rip = r.rcx,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wherever_a_thread_is_stopped_within_it_is_seen_to_have_left() {
        let place = Place {
            rax: 7,
            rip: 0x40_1000,
            rsp: 0x7ffe_0000,
        };
        let begin = Registers {
            rip: CODE,
            rsp: Place::address(5),
            rbx: 3,
            ..Registers::default()
        };
        let left = Registers {
            rax: 7,
            rip: 0x40_1000,
            rcx: 0x40_1000,
            rsp: 0x7ffe_0000,
            rbx: 3,
            ..Registers::default()
        };
        let mut now = begin;
        for _ in 0..4 {
            assert!(Place::is_within(now.rip));
            let mut seen = now;
            place.settle(&mut seen);
            assert_eq!(seen, left);
            step(&mut now, &[place.rax, place.rip, place.rsp]);
        }
        assert!(!Place::is_within(now.rip));
        assert_eq!(now, left);
    }

    #[test]
    fn places_lie_in_their_page_and_nothing_else_does() {
        assert_eq!(Place::address(0), PLACES);
        assert_eq!(Place::address(COUNT), PLACES + PAGE as u64);
        assert!(!Place::is_within(CODE - 1) && !Place::is_within(0));
        assert_eq!(crate::mm::END, CODE);
    }
}
