// SPDX-License-Identifier: BSD-2-Clause

//! Copies from and to memory that can be taken away meanwhile.
//!
//! A server that maps somebody else's frame, to write to it or to read it, loses it at any moment at which that one's
//! memory is revoked, and faults. That is no reason to die. So while it copies, it says where it wants to go on in case
//! of a fault:
//!
//! | register | holds |
//! | --- | --- |
//! | R8 | [`MAGIC`] |
//! | R9 | address of the instruction to go on at |
//!
//! Whoever handles the program's faults has it go on there, with all other registers as they are ([`landing`]): the
//! root task for boot domains, the factories of this tree for their ICs. It harms nobody but the program itself if
//! that is a lie.

use core::arch::asm;

/// What R8 holds: `"xos_land"` read as a big-endian number.
pub const MAGIC: u64 = u64::from_be_bytes(*b"xos_land");

/// The memory was taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TakenAway;

/// Where a program that faulted with these registers wants to go on, if it does.
pub const fn landing(r8: u64, r9: u64) -> Option<u64> {
    if r8 == MAGIC { Some(r9) } else { None }
}

/// Copies `count` bytes.
///
/// # Errors
/// [`TakenAway`] when a page of either is not there (any more), or is one to be read that is to be written to. Some
/// bytes may have been copied by then.
///
/// # Safety
/// As for [`core::ptr::copy_nonoverlapping`], but that pages may be missing, or vanish meanwhile.
pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize) -> Result<(), TakenAway> {
    let left: u64;
    // SAFETY: it reads and writes what the caller says that it may, and no more than it names as clobbered. Where it
    // lands after a fault, the direction flag and the stack are as before.
    unsafe {
        asm!(
            "lea r9, [rip + 2f]",
            "rep movsq",
            "mov rcx, {rest}",
            "rep movsb",
            "xor r8d, r8d",
            "2:",
            rest = in(reg) count % 8,
            inout("rcx") count / 8 => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            inout("r8") MAGIC => left,
            out("r9") _,
            options(nostack),
        );
    }
    match left {
        0 => Ok(()),
        _ => Err(TakenAway),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_copied_and_no_others() {
        let from: [u8; 64] = core::array::from_fn(|i| i as u8 + 1);
        for start in 0..9 {
            for count in 0..40 {
                let mut to = [0; 64];
                // SAFETY: both are so long.
                let copied = unsafe { copy(to[start..].as_mut_ptr(), from[3..].as_ptr(), count) };
                assert_eq!(copied, Ok(()));
                let mut expected = [0; 64];
                expected[start..start + count].copy_from_slice(&from[3..3 + count]);
                assert_eq!(to, expected);
            }
        }
    }

    #[test]
    fn only_who_says_so_goes_on_elsewhere() {
        assert_eq!(landing(MAGIC, 7), Some(7));
        assert_eq!(landing(MAGIC + 1, 7), None);
        assert_eq!(landing(0, 7), None);
    }
}
