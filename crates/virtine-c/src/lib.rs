// SPDX-License-Identifier: BSD-2-Clause
//! Builds images of virtines for virtual processors, in a build script, or by [`build`] wherever they are wanted:
//!
//! ```ignore
//! // build.rs
//! xos_virtine_c::compile(&["src/count.c"], "count");
//!
//! // src/lib.rs
//! pub const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/count"));
//! ```
//!
//! They are 32-bit programs, and so none of the Rust that this toolchain has libraries for; the C compiler is
//! there: it builds seL4 as well. What such a program is written to is in `c/virtine.h`. The compiler's own
//! library for 32-bit code is not: a division of 64 bits, for one, does not link.

use cargo_metadata::MetadataCommand;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every image has.
const RUNTIME: &[&str] = &["start.S", "virtine.c"];

/// Compiles these C files, paths from the package's folder, to the image `OUT_DIR/name`.
///
/// # Panics
/// Outside a build script, and when they cannot be compiled.
pub fn compile(sources: &[&str], name: &str) {
    compile_with(sources, &[], name);
}

/// The same, with folders in which `#include <...>` finds what others have written: nobody is told there of what
/// could be better.
///
/// # Panics
/// As [`compile`].
pub fn compile_with(sources: &[&str], others: &[&Path], name: &str) {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo says where it is"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo says where to build"));
    println!("cargo::rerun-if-env-changed=CC");
    let sources: Vec<PathBuf> = sources.iter().map(|source| folder.join(source)).collect();
    for source in &sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    println!("cargo::rerun-if-changed={}", runtime().display());
    if let Err(why) = build_with(&sources, others, &out.join(name)) {
        panic!("{why}");
    }
}

/// The folder of a crate that the package whose build script this is names as a dependency, and that carries sources
/// in C.
///
/// # Panics
/// Outside a build script, and when there is no such crate.
#[must_use]
pub fn carried(name: &str) -> PathBuf {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo says where it is"));
    let metadata = MetadataCommand::new()
        .manifest_path(folder.join("Cargo.toml"))
        .exec()
        .expect("Cargo knows its crates");
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == name)
        .unwrap_or_else(|| panic!("no crate {name} in the workspace"));
    package
        .manifest_path
        .parent()
        .expect("a file is in a folder")
        .into()
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no compiler.
    #[error("cannot run {compiler}: {error}; `make deps` installs gcc, CC names another compiler")]
    Compiler {
        /// Its name.
        compiler: String,
        /// What the system said.
        error: io::Error,
    },
    /// It has said why.
    #[error("the virtine cannot be compiled")]
    Program,
}

/// The folder with the runtime.
fn runtime() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("c")
}

/// Compiles these C files to the image of that path.
///
/// # Errors
/// When they cannot be compiled.
pub fn build(sources: &[PathBuf], image: &Path) -> Result<(), BuildError> {
    build_with(sources, &[], image)
}

fn build_with(sources: &[PathBuf], others: &[&Path], image: &Path) -> Result<(), BuildError> {
    let compiler = env::var_os("CC").unwrap_or_else(|| "gcc".into());
    let mut command = Command::new(&compiler);
    let runtime = runtime();
    command
        .args(["-m32", "-march=i686", "-O2", "-std=gnu11"])
        .args(["-Wall", "-Wextra", "-Werror"])
        .args(["-ffreestanding", "-fno-pie", "-fno-stack-protector"])
        .args(["-fno-asynchronous-unwind-tables", "-fcf-protection=none"])
        .args(["-nostdlib", "-static", "-Wl,--build-id=none"])
        .args(["-Wl,-z,max-page-size=0x1000", "-Wl,-z,noexecstack"])
        .arg("-I")
        .arg(&runtime)
        .arg("-isystem")
        .arg(runtime.join("libc"))
        .args(
            others
                .iter()
                .flat_map(|folder| [Path::new("-isystem"), folder]),
        )
        .arg(format!("-Wl,-T,{}", runtime.join("virtine.ld").display()))
        .arg("-o")
        .arg(image)
        .args(RUNTIME.iter().map(|file| runtime.join(file)))
        .args(sources);
    let status = command.status().map_err(|error| BuildError::Compiler {
        compiler: compiler.to_string_lossy().into_owned(),
        error,
    })?;
    status.success().then_some(()).ok_or(BuildError::Program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_image_is_a_32_bit_program() {
        let folder = tempfile::tempdir().unwrap();
        let (source, image) = (folder.path().join("nothing.c"), folder.path().join("image"));
        let text = "#include \"virtine.h\"\n\
                    struct xos_bytes virtine(const uint8_t *bytes, uint32_t length)\n\
                    { return (struct xos_bytes){ bytes, length }; }\n";
        fs::write(&source, text).unwrap();
        build(&[source], &image).unwrap();
        let bytes = fs::read(image).unwrap();
        assert_eq!(bytes[..5], *b"\x7fELF\x01");
        // A static program for this machine.
        assert_eq!((bytes[16], bytes[18]), (2, 3));
    }
}
