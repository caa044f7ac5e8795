// SPDX-License-Identifier: BSD-2-Clause
//! The kernel that is used: the default one, built when needed, or the user's own install.

use crate::workspace::{progress, root};
use anyhow::{Context, Result};
use sel4_kernel::{Flavour, Prefix, SEL4_PREFIX};
use std::path::Path;
use std::process::Command;

/// The prefix named by `SEL4_PREFIX`, or that of the default kernel.
pub fn prefix(flavour: Flavour) -> Result<Prefix> {
    match std::env::var_os(SEL4_PREFIX) {
        Some(path) if !path.is_empty() => {
            let path = std::path::absolute(path)?;
            Prefix::open(&path).with_context(|| format!("{SEL4_PREFIX}={}", path.display()))
        }
        _ => Ok(sel4_kernel::build(flavour, &root(), &mut |doing| {
            progress(doing)
        })?),
    }
}

/// Writes the kernel as the 32-bit ELF file that multiboot loaders want.
pub fn multiboot_image(prefix: &Prefix, to: &Path) -> Result<()> {
    let mut objcopy = Command::new("objcopy");
    objcopy
        .args(["-O", "elf32-i386"])
        .arg(prefix.kernel_elf())
        .arg(to);
    crate::workspace::run(&mut objcopy, "converting the kernel's image")
}
