// SPDX-License-Identifier: BSD-2-Clause
//! Runs one virtual machine: the program in each of the vm factory's ICs.
//!
//! It finds its guest's memory mapped, the kernel and its module beside it, and the virtual processor in a
//! slot of its CSpace ([`vm_factory::plan`]). It loads the kernel, which may be anybody's, here and not in the
//! factory: whatever an image or a guest can do to this program, it does to its own machine.
//!
//! It must never hold a right that its guest may not have: what a guest that took it over could do is what
//! any program can do to which the same was granted.
//!
//! One thread runs the guest. Others wait, where the first must not: for input, and, once the guest wants any, for
//! messages to it.
#![no_std]

/// Heap, in bytes: stacks of the threads that wait.
pub const HEAP_SIZE: usize = 64 * 1024;

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        mod links;
        mod run;
        pub use run::run;
    }
}
