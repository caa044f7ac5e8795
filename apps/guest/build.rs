// SPDX-License-Identifier: BSD-2-Clause
//! Compiles the kernel, which is 32-bit code and so none of the Rust that this toolchain has libraries for.
//! The C compiler is there: it builds seL4 as well.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCES: &[&str] = &[
    "boot.S",
    "console.c",
    "traps.c",
    "paging.c",
    "probes.c",
    "main.c",
];

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo says where it is"));
    let folder = folder.join("kernel");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo says where to build"));
    println!("cargo::rerun-if-changed=kernel");
    println!("cargo::rerun-if-env-changed=CC");
    let compiler = env::var_os("CC").unwrap_or_else(|| "gcc".into());
    let mut command = Command::new(&compiler);
    command
        .current_dir(&folder)
        // 32-bit code for any processor with the Pentium's instructions, without FPU registers (nobody
        // saves them in an interrupt) and without anything that a C library or an operating system has.
        .args([
            "-m32",
            "-march=i586",
            "-mgeneral-regs-only",
            "-O2",
            "-std=gnu11",
        ])
        .args(["-Wall", "-Wextra", "-Werror"])
        .args(["-ffreestanding", "-fno-pie", "-fno-stack-protector"])
        .args(["-fno-asynchronous-unwind-tables", "-fcf-protection=none"])
        .args([
            "-nostdlib",
            "-static",
            "-Wl,-T,kernel.ld",
            "-Wl,--no-warn-rwx-segments",
        ])
        .args(["-Wl,--build-id=none", "-Wl,-z,max-page-size=0x1000"])
        .arg("-o")
        .arg(out.join("guest.elf"))
        .args(SOURCES);
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", compiler.display()));
    assert!(status.success(), "the guest kernel cannot be compiled");
}
