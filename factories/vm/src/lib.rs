// SPDX-License-Identifier: BSD-2-Clause
//! Virtual machines: a PC with a kernel of its own, on a virtual processor.
//!
//! It is for: 32-bit kernels that are content with a PC of the nineties (a serial port, an interval timer,
//! two interrupt controllers, a clock) or know the hypercalls. Whoever holds a virtual processor and
//! memory for it loads a kernel ([`loaders`]), and has a [`monitor::Monitor`] run it.
//!
//! It must never
//! * give a guest anything of the machine that all this runs on: no port, no register, no address is
//!   passed through;
//! * believe a guest, or an image: all that either says is checked where it arrives;
//! * need a guest's help to be rid of it.
//!
//! | module | its job |
//! | --- | --- |
//! | [`machine`] | what becomes of each exit, and what the guest is entered with |
//! | [`devices`] | what is at the ports |
//! | [`processor`] | what the guest may know of its processor |
//! | [`hypercall`] | what it may ask for |
//! | [`interface`] | by which numbers |
//! | [`links`] | what it has to do with others |
//! | [`memory`] | its memory, with bounds |
//! | [`loaders`] | kernels: Multiboot and Linux |
//! | [`monitor`] | enters the guest and sleeps when it does |
//! | [`clock`] | time that is cheap |
//! | [`factory`] | makes a machine in an IC of its own, which runs its own monitor |
//! | [`domain`] | what the programs of such factories have in common |
//! | [`plan`] | the steps of that |
//! | [`start`] | what the monitor is told |
//! | [`compose`] | carries the steps out |
//! | `kernel` | the virtual processor, on kernels that have such |
//!
//! No system call is made here but in `kernel`, [`domain`] and [`compose`], and no time passes: whoever runs a machine says what the time
//! is.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod clock;
pub mod compose;
pub mod devices;
pub mod domain;
pub mod factory;
pub mod hypercall;
pub mod interface;
sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        pub mod kernel;
    }
}
pub mod links;
pub mod loaders;
pub mod machine;
pub mod memory;
pub mod monitor;
pub mod plan;
pub mod processor;
pub mod start;
#[cfg(test)]
mod tests;
