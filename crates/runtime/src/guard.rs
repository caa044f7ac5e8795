// SPDX-License-Identifier: BSD-2-Clause

//! Copying from and to memory that may vanish at any moment.
//!
//! Memory that somebody else pays for is gone when that one is: between two instructions of whoever
//! has it mapped. A server must not die of that. So it copies by an instruction that says where to go
//! on if it faults:
//!
//! | register | holds |
//! | --- | --- |
//! | RAX | [`MAGIC`] |
//! | RDX | address of the instruction to go on at |
//!
//! Whoever handles the program's faults recognises a page fault of such an instruction by
//! [`landing`], and lets the program go on there with all else as it was. The program harms nobody but
//! itself by what it puts there.

use core::arch::asm;

/// What RAX holds: `"xos_guar"` read as a big-endian number.
pub const MAGIC: u64 = u64::from_be_bytes(*b"xos_guar");

/// The memory was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vanished;

/// Where a program with these registers goes on after a page fault, if it has made provision for it.
pub const fn landing(rax: u64, rdx: u64) -> Option<u64> {
    if rax == MAGIC { Some(rdx) } else { None }
}

/// Copies `len` bytes. When one of the two is gone before the end, or while it lasts, an unknown part has
/// been copied.
///
/// # Errors
/// [`Vanished`] when memory was gone.
///
/// # Safety
/// As for [`core::ptr::copy_nonoverlapping`], but for that either range may be mapped or not, and may be
/// unmapped meanwhile; and who handles this program's faults knows of this convention.
pub unsafe fn copy(from: *const u8, to: *mut u8, len: usize) -> Result<(), Vanished> {
    let outcome: u64;
    // SAFETY: the caller's. Words first, for they are fewer.
    unsafe {
        asm!(
            "lea rdx, [rip + 2f]",
            "rep movsq",
            "mov rcx, {rest}",
            "rep movsb",
            "xor eax, eax",
            "2:",
            rest = in(reg) len % 8,
            inout("rax") MAGIC => outcome,
            inout("rcx") len / 8 => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            out("rdx") _,
            options(nostack),
        );
    }
    match outcome {
        0 => Ok(()),
        _ => Err(Vanished),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_bytes_are_copied_and_no_other(from in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..16) {
            let mut to = [0xaa; 128];
            // SAFETY: both are so long.
            let copied = unsafe { copy(from.as_ptr(), to.as_mut_ptr().add(at), from.len()) };
            prop_assert_eq!(copied, Ok(()));
            prop_assert_eq!(&to[at..at + from.len()], &from[..]);
            prop_assert!(to[..at].iter().chain(&to[at + from.len()..]).all(|byte| *byte == 0xaa));
        }

        #[test]
        fn only_who_asked_for_it_goes_on_elsewhere(rax: u64, rdx: u64) {
            prop_assert_eq!(landing(MAGIC, rdx), Some(rdx));
            prop_assert_eq!(landing(rax, rdx).is_some(), rax == MAGIC);
        }
    }
}
