// SPDX-License-Identifier: BSD-2-Clause
//! Bakes the configuration of the kernel in use into the macros, so that they change with it.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use sel4_prefix::Prefix;

fn main() {
    println!("cargo::rerun-if-env-changed=SEL4_PREFIX");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    println!(
        "cargo::rerun-if-changed={}",
        workspace.join("target/kernel/release/inputs.txt").display()
    );
    let prefix = Prefix::locate(&workspace).unwrap_or_else(|error| {
        println!("cargo::error={error}");
        process::exit(1);
    });
    println!(
        "cargo::rerun-if-changed={}",
        prefix.include().join("kernel/gen_config.json").display()
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let json = prefix.config().to_json();
    fs::write(out.join("config.json"), json).expect("OUT_DIR can be written to");
}
