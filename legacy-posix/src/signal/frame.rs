// SPDX-License-Identifier: BSD-2-Clause
//! What a signal handler finds on its stack (`struct rt_sigframe`, arch/x86/include/asm/sigframe.h and
//! uapi/asm/sigcontext.h of Linux).
//!
//! ```text
//!  stack pointer at the handler's first instruction
//!   + 0    return address: the restorer, which calls rt_sigreturn
//!   + 8    ucontext: flags, link, alternate stack, registers, mask
//!   + 312  siginfo, 128 bytes
//!   ...    floating-point state, 512 bytes as FXSAVE has them
//! ```

use super::{AlternateStack, Info};
use crate::kernel::Registers;

/// Words of the frame.
pub const WORDS: usize = 55;
/// Bytes of the floating-point state.
pub const FLOAT_BYTES: u64 = 512;
/// Bytes below the stack pointer that a function may use (System V ABI).
const RED_ZONE: u64 = 128;
/// Where the machine context begins, in words: behind return address, flags, link and stack.
const CONTEXT: usize = 6;
const MASK: usize = CONTEXT + 32;
const INFO: usize = MASK + 1;
/// Bytes from the frame's beginning to its ucontext.
pub const CONTEXT_AT: u64 = 8;
/// The same of its siginfo.
pub const INFO_AT: u64 = 8 * INFO as u64;
/// Selectors as Linux's programs see them: CS 0x33, SS 0x2b.
const SELECTORS: u64 = 0x33 | 0x2b << 48;
/// `uc_flags`: SS is saved and is to be restored strictly (`UC_SIGCONTEXT_SS`, `UC_STRICT_RESTORE_SS`).
const FLAGS: u64 = 0x6;
/// Flags of RFLAGS that a program may set: all arithmetic ones, direction, trap, alignment check.
pub const FLAGS_OF_PROGRAMS: u64 = 0x5_0dd5;
/// Flags that are always set: interrupts, and a bit that is 1.
const FLAGS_ALWAYS: u64 = 0x202;

/// RFLAGS that a program asked for, as it may have them.
pub const fn safe_flags(flags: u64) -> u64 {
    flags & FLAGS_OF_PROGRAMS | FLAGS_ALWAYS
}

/// Where a frame lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its first word.
    pub frame: u64,
    /// The floating-point state.
    pub float: u64,
}

impl Place {
    /// Below this stack pointer.
    pub const fn below(sp: u64) -> Self {
        let float = sp.wrapping_sub(FLOAT_BYTES) & !63;
        let frame = (float.wrapping_sub(8 * WORDS as u64) & !15).wrapping_sub(8);
        Self { frame, float }
    }

    /// For a handler that runs on the stack of the interrupted function, or on the alternate stack.
    pub const fn new(sp: u64, alternate: &AlternateStack, wants_alternate: bool) -> Self {
        if wants_alternate && alternate.bytes != 0 && !alternate.has(sp) {
            Self::below(alternate.start.wrapping_add(alternate.bytes))
        } else {
            Self::below(sp.wrapping_sub(RED_ZONE))
        }
    }

    /// Address of the ucontext: the handler's third argument.
    pub const fn context(&self) -> u64 {
        self.frame.wrapping_add(CONTEXT_AT)
    }

    /// Address of the siginfo: the handler's second argument.
    pub const fn info(&self) -> u64 {
        self.frame.wrapping_add(INFO_AT)
    }
}

/// What an interrupted thread is to be again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Saved {
    /// Its registers. The FS base is not in a frame.
    pub registers: Registers,
    /// Its mask.
    pub mask: u64,
    /// Its alternate stack.
    pub alternate: AlternateStack,
    /// Where its floating-point state is, or 0.
    pub float: u64,
}

/// Composes a frame.
pub fn compose(
    place: &Place,
    saved: &Saved,
    restorer: u64,
    info: &Info,
    trap: [u64; 3],
) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let r = &saved.registers;
    words[0] = restorer;
    words[1] = FLAGS;
    let on = saved.alternate.has(r.rsp);
    words[3..CONTEXT].copy_from_slice(&stack_words(&saved.alternate, on));
    let [error, number, address] = trap;
    words[CONTEXT..CONTEXT + 24].copy_from_slice(&[
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        r.rdi,
        r.rsi,
        r.rbp,
        r.rbx,
        r.rdx,
        r.rax,
        r.rcx,
        r.rsp,
        r.rip,
        r.rflags,
        SELECTORS,
        error,
        number,
        saved.mask,
        address,
        place.float,
    ]);
    words[MASK] = saved.mask;
    words[INFO..INFO + 5].copy_from_slice(&info.words());
    words
}

/// Reads a frame, which may be anything: what results is safe to run.
pub fn read(words: &[u64; WORDS], fs_base: u64) -> Saved {
    let c = &words[CONTEXT..];
    Saved {
        registers: Registers {
            r8: c[0],
            r9: c[1],
            r10: c[2],
            r11: c[3],
            r12: c[4],
            r13: c[5],
            r14: c[6],
            r15: c[7],
            rdi: c[8],
            rsi: c[9],
            rbp: c[10],
            rbx: c[11],
            rdx: c[12],
            rax: c[13],
            rcx: c[14],
            rsp: c[15],
            rip: c[16],
            rflags: safe_flags(c[17]),
            fs_base,
        },
        mask: words[MASK],
        alternate: AlternateStack {
            start: words[3],
            flags: words[4] as u32,
            bytes: words[5],
        },
        float: c[23],
    }
}

/// A `stack_t`.
pub const fn stack_words(stack: &AlternateStack, on: bool) -> [u64; 3] {
    use linux_raw_sys::general::{SS_DISABLE, SS_ONSTACK};
    let flags = if stack.bytes == 0 {
        SS_DISABLE
    } else if on {
        SS_ONSTACK
    } else {
        0
    };
    [stack.start, (flags | stack.flags) as u64, stack.bytes]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_saved_comes_back(words: [u64; 18], mask: u64, sp in 0x10000u64..1 << 46) {
            let registers = Registers {
                rip: words[0], rsp: sp, rflags: safe_flags(words[2]), rax: words[3], rbx: words[4],
                rcx: words[5], rdx: words[6], rsi: words[7], rdi: words[8], rbp: words[9], r8: words[10],
                r9: words[11], r10: words[12], r11: words[13], r12: words[14], r13: words[15],
                r14: words[16], r15: words[17], fs_base: 7,
            };
            let alternate = AlternateStack { start: 0x1000, bytes: 0x2000, flags: 0 };
            let place = Place::new(sp, &alternate, false);
            let saved = Saved { registers, mask, alternate, float: place.float };
            let info = Info::from_kernel(Signal::of(11));
            let frame = compose(&place, &saved, 1, &info, [0; 3]);
            prop_assert_eq!(read(&frame, 7), saved);
        }

        #[test]
        fn any_words_give_flags_that_are_safe(words in proptest::collection::vec(any::<u64>(), WORDS)) {
            let words: [u64; WORDS] = words.try_into().unwrap();
            let saved = read(&words, 0);
            // I/O privilege, nested task, virtual-8086 and interrupt flags are not the program's.
            prop_assert_eq!(saved.registers.rflags & 0x1f_f200, 0x200 | saved.registers.rflags & 0x5_0000);
        }

        #[test]
        fn a_handler_starts_as_if_it_had_been_called(sp in 0x10000u64..1 << 46, start in 0x20000u64..1 << 40) {
            let alternate = AlternateStack { start, bytes: 0x2000, flags: 0 };
            for on in [false, true] {
                let place = Place::new(sp, &alternate, on);
                prop_assert_eq!(place.frame % 16, 8);
                prop_assert_eq!(place.float % 64, 0);
                prop_assert!(place.frame + 8 * WORDS as u64 <= place.float);
                if on && !alternate.has(sp) {
                    prop_assert!(alternate.has(place.frame) && place.float + FLOAT_BYTES <= start + 0x2000);
                } else {
                    prop_assert!(place.float + FLOAT_BYTES + RED_ZONE <= sp);
                }
            }
        }
    }
}
