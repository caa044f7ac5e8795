// SPDX-License-Identifier: BSD-2-Clause
//! Programs that scripts use, built for the build machine's Linux from the sources in `tests/linux/programs`: `NAME.c` by gcc
//! and `NAME.rs` by rustc, static both. Those of [`OTHERS`] need more. What has been built is built again when a source
//! is newer.

use super::folder;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use xtask::tree::Addition;
use xtask::workspace::{progress, root, sources_of};

/// A program that is built otherwise than by its source alone.
struct Other {
    /// What it is called.
    name: &'static str,
    /// Its own source.
    source: &'static str,
    /// What compiles and links it.
    compiler: &'static str,
    /// Options, of which there are usual ones beside.
    options: &'static [&'static str],
    /// The crate that carries further sources, the folder in it, and what of it is no part of the program.
    carried: Option<(&'static str, &'static str, &'static [&'static str])>,
}

const OTHERS: &[Other] = &[
    Other {
        name: "lua",
        source: "lua.c",
        compiler: "musl-gcc",
        options: &["-DLUA_USE_POSIX"],
        carried: Some(("lua-src", "lua-5.4.7", &[])),
    },
    Other {
        name: "database",
        source: "database.c",
        compiler: "gcc",
        options: &["-DSQLITE_OMIT_LOAD_EXTENSION"],
        carried: Some(("libsqlite3-sys", "sqlite3", &["wasm32-wasi-vfs.c"])),
    },
    Other {
        name: "library-musl",
        source: "library.c",
        compiler: "musl-gcc",
        options: &[],
        carried: None,
    },
    // It starts itself often: glibc's start would be most of what it does.
    Other {
        name: "cycles",
        source: "cycles.c",
        compiler: "musl-gcc",
        options: &[],
        carried: None,
    },
];

/// Builds the one of [`OTHERS`] that has this name, and says where it goes in the guest.
pub fn addition(name: &str) -> Result<Addition> {
    let other = OTHERS.iter().find(|other| other.name == name);
    let host = build_other(other.with_context(|| format!("no program {name}"))?)?;
    let guest = format!("usr/local/bin/{name}").parse()?;
    Ok(Addition { host, guest })
}

/// Builds all, and says where they go in the guest.
pub fn additions() -> Result<Vec<Addition>> {
    let all = Vec::from_iter(
        fs::read_dir(folder().join("programs"))?.filter_map(|entry| Some(entry.ok()?.path())),
    );
    let mut additions = Vec::new();
    let mut add = |name: &str, host: PathBuf| -> Result<()> {
        let guest = format!("usr/local/bin/{name}").parse()?;
        additions.push(Addition { host, guest });
        Ok(())
    };
    for other in OTHERS {
        add(other.name, build_other(other)?)?;
    }
    for source in all {
        let (Some(name), Some(kind)) = (source.file_stem(), source.extension()) else {
            continue;
        };
        let name = name.to_string_lossy();
        if OTHERS.iter().any(|other| other.name == name) {
            continue;
        }
        let to = place(&name)?;
        let mut compiler = if kind == "rs" {
            let mut rustc = Command::new("rustc");
            rustc.args([
                "--edition",
                "2024",
                "-O",
                "-C",
                "target-feature=+crt-static",
            ]);
            rustc.args(["--target", "x86_64-unknown-linux-gnu"]);
            rustc
        } else if kind == "c" {
            let mut gcc = Command::new("gcc");
            gcc.args(["-static", "-O1", "-w", "-pthread"]);
            gcc
        } else {
            continue;
        };
        compiler.arg("-o").arg(&to).arg(&source);
        if kind == "c" {
            compiler.arg("-lm");
        }
        run_if_older(compiler, &to, std::slice::from_ref(&source))?;
        add(&name, to)?;
    }
    Ok(additions)
}

fn place(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/tests-linux/programs");
    fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

fn build_other(other: &Other) -> Result<PathBuf> {
    let to = place(other.name)?;
    let mut sources = vec![folder().join("programs").join(other.source)];
    let mut compiler = Command::new(other.compiler);
    compiler.args(["-static", "-O1", "-w", "-pthread"]);
    compiler.args(other.options);
    if let Some((package, within, without)) = other.carried {
        let carried = sources_of(package)?.join(within);
        compiler.arg("-I").arg(&carried);
        let files = fs::read_dir(&carried)
            .with_context(|| format!("{package} has no folder {within}"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "c"));
        sources.extend(files.filter(|path| {
            let name = path.file_name().unwrap_or_default();
            without.iter().all(|other| name != *other)
        }));
    }
    compiler.arg("-o").arg(&to).args(&sources).arg("-lm");
    run_if_older(compiler, &to, &sources)?;
    Ok(to)
}

/// Runs a compiler unless what it makes is younger than all sources.
fn run_if_older(mut compiler: Command, to: &Path, sources: &[PathBuf]) -> Result<()> {
    let age = |path: &Path| -> Result<SystemTime> { Ok(path.metadata()?.modified()?) };
    if let Ok(made) = age(to) {
        let mut older = true;
        for source in sources {
            older &= age(source)? <= made;
        }
        if older {
            return Ok(());
        }
    }
    progress(&format!("building {} for Linux", to.display()));
    let status = compiler
        .status()
        .with_context(|| format!("cannot run {:?}", compiler.get_program()))?;
    ensure!(status.success(), "{:?}: {status}", compiler.get_program());
    Ok(())
}
