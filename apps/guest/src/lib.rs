// SPDX-License-Identifier: BSD-2-Clause
//! The image of a small 32-bit kernel for virtual machines.
//!
//! It is for showing and testing what a virtual machine is to the kernel inside: memory, paging, interrupts,
//! a timer that ticks, a console that echoes, hypercalls, and deliberate faults of every kind. It is a
//! Multiboot kernel (an ELF file) that does what its command line says, and reads further lines from its
//! console if that says nothing; `help` lists them.
//!
//! It must never know more of where it runs than a guest can: it is a stranger's kernel that happens to be ours.
//!
//! The kernel itself, in `kernel/`, is C and a page of assembly, as the Rust toolchain in use comes without
//! libraries for 32-bit code.
#![no_std]

/// The kernel: a 32-bit ELF file with a Multiboot header.
pub const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.elf"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_32_bit_file_with_a_multiboot_header_where_a_loader_looks() {
        assert_eq!(IMAGE[..5], *b"\x7fELF\x01");
        let magic = 0x1bad_b002_u32.to_le_bytes();
        let mut words = IMAGE[..8192].chunks_exact(4);
        assert!(words.any(|word| word == magic));
    }
}
