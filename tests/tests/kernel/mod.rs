// SPDX-License-Identifier: BSD-2-Clause
//! Debian's Linux in a virtual machine of the system that users boot: unmodified, up to its first program.

use super::{Permit, pack_system, users_machine};
use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use xos_image::console::EXEC_FILE;
use xtask::tree::Addition;
use xtask::workspace::root;
use xtask::{debian, exec};

/// The end of a machine that halts with interrupts off, as a PC without ACPI is powered off.
const HALTED: i32 = 128;
/// What is typed, as docs/virtual-machines.md has it. The kernel's tests of its ciphers are most of its instructions
/// otherwise, and looking for ISA cards by waiting are more than half of the rest.
const LINE: &str = "run -m 66M vm initrd=boot/initrd boot/linux console=ttyS0 noapic nolapic acpi=off pci=off nokaslr \
     mitigations=off tsc=reliable lpj=1000000 cryptomgr.notests noisapnp quiet rdinit=/init";

pub fn trials() -> Vec<Trial> {
    let run = || run().map_err(|error| Failed::from(format!("{error:#}")));
    vec![Trial::test(
        "vm::debians_linux_comes_up_to_its_first_program",
        run,
    )]
}

fn run() -> Result<()> {
    let (builder, simulator, silence) = users_machine(true)?;
    let scratch = tempfile::tempdir()?;
    let initrd = scratch.path().join("initrd");
    fs::write(&initrd, archive(scratch.path())?)?;
    let add = |host, guest: &str| -> Result<_> {
        Ok(Addition {
            host,
            guest: guest.parse()?,
        })
    };
    let additions = [
        add(debian::kernel_of_32_bits()?, "boot/linux")?,
        add(initrd, "boot/initrd")?,
    ];
    let files = [(EXEC_FILE, format!("{LINE}\n").into_bytes())];
    let image = pack_system(builder, "debians-linux", &additions, &files)?;
    let _machine = Permit::take();
    let machine = image.boot(&*simulator)?;
    let (mut output, mut log) = (Vec::new(), Vec::new());
    let status = exec::capture(machine, image.symbols(), silence, &mut output, &mut log)?;
    let (output, log) = (
        String::from_utf8_lossy(&output),
        String::from_utf8_lossy(&log),
    );
    let mut lines = output.lines();
    let said = lines.any(|line| line.starts_with("init: Linux 6.") && line.ends_with(" on i686"));
    ensure!(said, "its first program has not run:\n{output}{log}");
    ensure!(status == HALTED, "status {status}:\n{output}{log}");
    Ok(())
}

/// An initial RAM disk of one program.
fn archive(scratch: &Path) -> Result<Vec<u8>> {
    let program = scratch.join("init");
    let status = Command::new("gcc")
        .args(["-m32", "-Os", "-nostdlib", "-static", "-ffreestanding"])
        .args(["-fno-pie", "-no-pie", "-fno-stack-protector"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none"])
        .arg("-o")
        .arg(&program)
        .arg(root().join("tests/linux/guest/init.c"))
        .status()
        .context("cannot run gcc")?;
    ensure!(status.success(), "gcc: {status}");
    let entry = cpio::NewcBuilder::new("init").mode(0o10_0755);
    let files = [(entry, Cursor::new(fs::read(program)?))];
    Ok(cpio::write_cpio(files.into_iter(), Vec::new())?)
}
