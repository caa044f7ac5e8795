// SPDX-License-Identifier: BSD-2-Clause
//! The configuration of the kernel in use.
//!
//! Rust's `#[cfg]` knows nothing of a kernel's configuration; these macros do, with the same
//! syntax. Keys are written without `CONFIG_`; one that the kernel does not know is an error, so
//! that a misspelt key cannot quietly be false. Which kernel is in use: see `sel4-sys`.

#![no_std]

pub use sel4_config_macros::*;

/// The configuration as constants: switches as `bool`, everything else as `&str`.
pub mod consts {
    include!(concat!(env!("OUT_DIR"), "/consts.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[sel4_cfg_enum]
    #[derive(Debug, PartialEq)]
    enum Choice {
        Always,
        #[sel4_cfg(ARCH_AARCH64)]
        OnlyOnArm(NoSuchType),
        #[sel4_cfg(all(ARCH_X86_64, not(KERNEL_MCS)))]
        OnlyHere,
    }

    #[sel4_cfg_struct]
    #[derive(Default)]
    struct Record {
        #[sel4_cfg(KERNEL_MCS)]
        absent: NoSuchType,
        #[sel4_cfg(any(KERNEL_MCS, WORD_SIZE = "64"))]
        present: u8,
    }

    #[sel4_cfg(KERNEL_MCS)]
    compile_error!("an item whose condition fails is dropped");

    #[test]
    fn elements_follow_their_conditions() {
        let name = |choice| {
            sel4_cfg_wrap_match! {
                match choice {
                    Choice::Always => "always",
                    #[sel4_cfg(ARCH_AARCH64)]
                    Choice::OnlyOnArm(_) => "arm",
                    #[sel4_cfg(not(ARCH_AARCH64))]
                    Choice::OnlyHere => "here",
                }
            }
        };
        assert_eq!(name(Choice::Always), "always");
        assert_eq!(name(Choice::OnlyHere), "here");
        assert_eq!(Record::default().present, 0);
    }

    #[test]
    fn the_first_branch_that_holds_is_taken() {
        let branch = sel4_cfg_if! {
            if #[sel4_cfg(KERNEL_MCS)] {
                1
            } else if #[sel4_cfg(MAX_NUM_NODES = "1")] {
                2
            } else {
                3
            }
        };
        assert_eq!(branch, 2);
    }

    #[test]
    fn values_have_the_type_that_is_asked_for() {
        const { assert!(sel4_cfg_bool!(ARCH_X86_64) && !sel4_cfg_bool!(KERNEL_MCS)) };
        let size: usize = sel4_cfg_usize!(WORD_SIZE);
        let word: u64 = sel4_cfg_word!(WORD_SIZE);
        assert_eq!((size, word), (64, 64));
        assert_eq!(sel4_cfg_str!(WORD_SIZE), consts::WORD_SIZE);
    }
}
