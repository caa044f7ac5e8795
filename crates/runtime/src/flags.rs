// SPDX-License-Identifier: BSD-2-Clause

//! How guest programs are compiled and linked, for the host tool that does it and for people who
//! build one by hand.
//!
//! A guest is a `#![no_std]`, `#![no_main]` program for the ordinary target [`TARGET`] on stable
//! Rust: only the flags make it a freestanding one.

/// The target triple of guest programs.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The linker script of guest programs.
pub const LINKER_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest.ld");

/// Its text. Having it here makes a change of the script a change of this crate, on which every
/// guest depends: Cargo knows that it must link them again.
pub const LINKER_SCRIPT_TEXT: &str = include_str!("../guest.ld");

/// The flags for `rustc`, one argument each, to be handed over in `CARGO_ENCODED_RUSTFLAGS`
/// (separated by `\x1f`, so that a path with a space survives) together with `--target` [`TARGET`]
/// (so that build scripts and procedural macros are compiled without them).
pub const RUSTFLAGS: &[&str] = &[
    // No vector registers for what is no arithmetic, such as copying a structure: the first use after a
    // switch of threads costs a trap into the kernel, and keeping them apart more than any copy.
    "-Cllvm-args=-force-attribute=noimplicitfloat",
    // Turns on what only a freestanding program has: the panic handler, the memory functions.
    "--cfg=xos_guest",
    // A program lies at a fixed address: no relocation at run time, no global offset table.
    "-Crelocation-model=static",
    // Nothing unwinds. A panic ends the thread with a report.
    "-Cpanic=abort",
    // There is no dynamic loader that could make anything read-only later.
    "-Crelro-level=off",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-static",
    // Segments begin on pages of 4 KiB, the only size that is mapped.
    "-Clink-arg=-Wl,-z,max-page-size=4096",
    // The same sources give the same file.
    "-Clink-arg=-Wl,--build-id=none",
    concat!(
        "-Clink-arg=-Wl,-T,",
        env!("CARGO_MANIFEST_DIR"),
        "/guest.ld"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linker_script_of_the_flags_is_the_file_beside_this_crate() {
        let flag = RUSTFLAGS
            .iter()
            .find_map(|flag| flag.strip_prefix("-Clink-arg=-Wl,-T,"));
        assert_eq!(flag, Some(LINKER_SCRIPT));
    }
}
