// SPDX-License-Identifier: BSD-2-Clause
//! Runs one virtine on a virtual processor: the program in each of that factory's ICs.
//!
//! It finds the virtine's memory mapped, the image beside it, and the virtual processor in a slot of its CSpace
//! ([`vm_factory::plan`]), has the image prepared, and then serves its client, the one that made it, on an
//! endpoint that nobody else has ([`xos::protocol::virtine`]). A call is one message, which it answers when the
//! virtine has been left and put back.
//!
//! It must never hold a right that its virtine may not have: what a virtine that took it over could do is what
//! any program can do to which the same was granted.
#![no_std]

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        mod serve;
        pub use serve::run;
    }
}
