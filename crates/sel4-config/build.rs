// SPDX-License-Identifier: BSD-2-Clause
//! Writes the configuration of the kernel in use as constants.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use sel4_prefix::Prefix;
use sel4_prefix::config::Value;

fn main() {
    println!("cargo::rerun-if-env-changed=SEL4_PREFIX");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
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
    let mut text = String::new();
    for (key, value) in prefix.config().iter() {
        let _ = match value {
            Value::Bool(value) => {
                writeln!(text, "/// `CONFIG_{key}`\npub const {key}: bool = {value};")
            }
            Value::Text(value) => {
                writeln!(
                    text,
                    "/// `CONFIG_{key}`\npub const {key}: &str = {value:?};"
                )
            }
        };
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    fs::write(out.join("consts.rs"), text).expect("OUT_DIR can be written to");
}
