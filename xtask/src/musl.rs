// SPDX-License-Identifier: BSD-2-Clause
//! Small static programs in C, built against Debian's musl as `musl-gcc -static` builds them. The C library is
//! unpacked below `target/`, never installed.

use crate::debian;
use crate::workspace::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds a program of one file.
pub fn build(source: &Path, program: &Path) -> Result<()> {
    let folder = debian::unpacked("musl-dev")?.join("usr");
    let headers = folder.join("include/x86_64-linux-musl");
    let libraries = folder.join("lib/x86_64-linux-musl");
    let start: [PathBuf; 2] = ["crt1.o", "crti.o"].map(|name| libraries.join(name));
    let mut compiler = Command::new("gcc");
    compiler.args(["-static", "-no-pie", "-O2", "-w", "-fno-stack-protector"]);
    // In the place of the build machine's own: what is behind them is gcc's.
    compiler.args(["-nostdinc", "-isystem"]).arg(headers);
    compiler.arg("-nostdlib").args(start).arg(source);
    compiler.arg("-L").arg(&libraries);
    compiler.args(["-Wl,--start-group", "-lc", "-lgcc", "-Wl,--end-group"]);
    compiler.arg(libraries.join("crtn.o"));
    finish(compiler, source, program)
}

/// The same without a C library: the file has a `_start`.
pub fn build_bare(source: &Path, program: &Path) -> Result<()> {
    let mut compiler = Command::new("gcc");
    compiler.args(["-static", "-nostdlib", "-O2"]).arg(source);
    finish(compiler, source, program)
}

fn finish(mut compiler: Command, source: &Path, program: &Path) -> Result<()> {
    if let Some(folder) = program.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    compiler.arg("-o").arg(program);
    run(&mut compiler, &format!("building {}", source.display()))
}
