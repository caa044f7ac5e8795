// SPDX-License-Identifier: BSD-2-Clause

//! How a program that gives up tells its supervisor why.
//!
//! A panic must be readable where nothing can be printed (a release kernel has no debug output, and
//! a program that fails may not own a console), and it must not depend on any server, which may be
//! the one that has failed. So the program ends in an ordinary fault that carries the text by
//! reference: it executes `ud2` with
//!
//! | register | holds |
//! | --- | --- |
//! | RAX | [`MAGIC`] |
//! | RDI | address of the message in the program's own memory, UTF-8 |
//! | RSI | length of the message in bytes, at most [`MAX_LEN`] |
//!
//! Whoever handles the program's faults sees a user exception of number [`EXCEPTION`], reads the
//! registers and, if they are a report, the memory. Everything here comes from the program that
//! failed and is worth no more trust than it: a reader takes [`PanicReport::from_registers`]'s
//! checked length, verifies that the memory is the program's, and decodes the text with
//! [`text`], which cannot fail.

/// What RAX holds: `"xos_panc"` read as a big-endian number.
pub const MAGIC: u64 = u64::from_be_bytes(*b"xos_panc");

/// The exception that `ud2` raises: invalid opcode (Intel SDM volume 3, table 6-1).
pub const EXCEPTION: u64 = 6;

/// The longest message in bytes; longer ones are cut at a character's border. It bounds what a
/// supervisor copies, and the stack that a panic needs.
pub const MAX_LEN: usize = 512;

/// Where a report's text lies in the memory of the program that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanicReport {
    /// Virtual address of the first byte, unchecked.
    pub addr: u64,
    /// Length in bytes, at most [`MAX_LEN`].
    pub len: usize,
}

impl PanicReport {
    /// Recognises a report in the registers of a program that raised [`EXCEPTION`].
    ///
    /// `None` for every other undefined instruction. A length above [`MAX_LEN`] is cut to it.
    pub const fn from_registers(rax: u64, rdi: u64, rsi: u64) -> Option<Self> {
        if rax != MAGIC {
            return None;
        }
        let len = if rsi > MAX_LEN as u64 {
            MAX_LEN
        } else {
            rsi as usize
        };
        Some(Self { addr: rdi, len })
    }
}

/// The readable part of a report's bytes: everything before the first byte that is no UTF-8.
pub fn text(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Ends this thread with a report. The memory of `message` stays what it is for as long as the
/// thread stays stopped, because the thread never runs again by itself.
pub fn end(message: &str) -> ! {
    let message = &message[..message.floor_char_boundary(MAX_LEN)];
    // SAFETY: `ud2` only raises an exception, and the thread does not go on after it.
    unsafe {
        core::arch::asm!(
            "2: ud2",
            "jmp 2b",
            in("rax") MAGIC,
            in("rdi") message.as_ptr(),
            in("rsi") message.len(),
            options(noreturn, readonly, nostack),
        )
    }
}

/// A message under construction: what does not fit is left out, and formatting never fails.
pub(crate) struct Message {
    buffer: [u8; MAX_LEN],
    len: usize,
}

impl Message {
    pub(crate) const fn new() -> Self {
        Self {
            buffer: [0; MAX_LEN],
            len: 0,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        text(&self.buffer[..self.len])
    }
}

impl core::fmt::Write for Message {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let taken = s.floor_char_boundary(MAX_LEN - self.len);
        self.buffer[self.len..][..taken].copy_from_slice(&s.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::fmt::Write;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn magic_is_the_documented_number() {
        assert_eq!(MAGIC, 0x786f_735f_7061_6e63);
    }

    #[test]
    fn other_undefined_instructions_are_no_report() {
        assert_eq!(PanicReport::from_registers(MAGIC ^ 1, 0x20_0000, 5), None);
    }

    #[test]
    fn length_beyond_the_limit_is_cut() {
        let report = PanicReport::from_registers(MAGIC, 0x20_0000, u64::MAX);
        assert_eq!(
            report,
            Some(PanicReport {
                addr: 0x20_0000,
                len: MAX_LEN
            })
        );
    }

    proptest! {
        #[test]
        fn text_is_a_prefix_of_any_bytes(bytes: Vec<u8>) {
            prop_assert!(bytes.starts_with(text(&bytes).as_bytes()));
        }

        #[test]
        fn message_keeps_the_longest_prefix_that_fits(parts in prop::collection::vec("\\PC{0,90}", 0..12)) {
            let mut message = Message::new();
            let mut expected = String::new();
            for part in &parts {
                message.write_str(part).unwrap();
                let room = MAX_LEN - expected.len();
                expected.push_str(&part[..part.floor_char_boundary(room)]);
            }
            prop_assert_eq!(message.as_str(), expected);
        }
    }
}
