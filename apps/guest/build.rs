// SPDX-License-Identifier: BSD-2-Clause
//! Compiles the kernel, which is 32-bit code and so none of the Rust that this toolchain has libraries for.
//! The C compiler is there: it builds seL4 as well.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use xos_protocol::Error;
use xos_protocol::manager::Op;
use xos_protocol::timer;

/// What a guest and its monitor agree on, from where the monitor takes it, too.
#[path = "../../factories/vm/src/interface.rs"]
mod interface;

/// What is asked of the IC manager.
const OPERATIONS: &[(&str, Op)] = &[
    ("OP_PING", Op::Ping),
    ("OP_AGREE", Op::Agree),
    ("OP_CLOSE", Op::Close),
    ("OP_CONNECT", Op::Connect),
    ("OP_CREATE", Op::Create),
    ("OP_MAKE", Op::Make),
    ("OP_OPEN", Op::Open),
    ("OP_PASS", Op::Pass),
    ("OP_REGION_CREATE", Op::RegionCreate),
    ("OP_REGISTER", Op::Register),
    ("OP_SHARE", Op::Share),
    ("OP_UNSHARE", Op::Unshare),
];

/// How it refuses.
const ERRORS: &[(&str, Error)] = &[
    ("NO_SUCH_OPERATION", Error::NoSuchOperation),
    ("GONE", Error::Gone),
    ("BAD_SLOT", Error::BadSlot),
    ("BAD_CAPABILITY", Error::BadCapability),
    ("REFUSED_ADDRESS", Error::BadAddress),
    ("NOT_FOUND", Error::NotFound),
    ("NO_CONSENT", Error::NoConsent),
];

/// A C header with all of this.
fn header() -> String {
    let mut text = String::new();
    let numbers = interface::NUMBERS
        .iter()
        .map(|(name, value)| (*name, u64::from(*value)));
    let operations = OPERATIONS.iter().map(|(name, op)| (*name, op.label()));
    let timer = [("TIMER_NOW", timer::Op::Now.label())];
    let errors = ERRORS.iter().map(|(name, error)| (*name, error.label()));
    for (name, value) in numbers.chain(operations).chain(timer).chain(errors) {
        let _ = writeln!(text, "#define {name} {value:#x}u");
    }
    text
}

const SOURCES: &[&str] = &[
    "boot.S",
    "console.c",
    "traps.c",
    "paging.c",
    "probes.c",
    "isolation.c",
    "links.c",
    "links-probes.c",
    "main.c",
];

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo says where it is"));
    let folder = folder.join("kernel");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo says where to build"));
    println!("cargo::rerun-if-changed=kernel");
    println!("cargo::rerun-if-changed=../../factories/vm/src/interface.rs");
    fs::write(out.join("interface.h"), header())
        .expect("the build folder is there to be written to");
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
        .arg("-I")
        .arg(&out)
        .arg("-o")
        .arg(out.join("guest.elf"))
        .args(SOURCES);
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", compiler.display()));
    assert!(status.success(), "the guest kernel cannot be compiled");
}
