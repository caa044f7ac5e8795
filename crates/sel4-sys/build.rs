// SPDX-License-Identifier: BSD-2-Clause
//! Generates the bindings from the kernel in use, into `OUT_DIR`.

#[path = "build/bitfields.rs"]
mod bitfields;
#[path = "build/declarations.rs"]
mod declarations;
#[path = "build/invocations.rs"]
mod invocations;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use sel4_prefix::{Prefix, PrefixError};

fn main() {
    println!("cargo::rerun-if-env-changed=SEL4_PREFIX");
    println!("cargo::rerun-if-env-changed=CC");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The path that was looked at even if there is nothing, so that a kernel built later is seen.
    println!(
        "cargo::rerun-if-changed={}",
        workspace.join("target/kernel/release/inputs.txt").display()
    );
    if let Err(error) = run(&workspace) {
        println!("cargo::error={}", error.to_string().replace('\n', " "));
        process::exit(1);
    }
}

fn run(workspace: &Path) -> Result<(), PrefixError> {
    let prefix = Prefix::locate(workspace)?;
    for part in ["bin/kernel.elf", "libsel4/include"] {
        println!(
            "cargo::rerun-if-changed={}",
            prefix.root().join(part).display()
        );
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let write = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|e| PrefixError::Read(path, e))
    };

    let definitions = prefix.bitfields()?;
    let header = prefix.header()?;
    let interfaces = prefix.interfaces()?;
    let bitfields: HashSet<String> = bitfields::type_names(&definitions);

    write("bitfields.rs", bitfields::generate(&definitions))?;
    write(
        "declarations.rs",
        declarations::generate(&header, &interfaces.structs, &bitfields),
    )?;
    write(
        "invocations.rs",
        invocations::generate(&interfaces, &header, &bitfields)
            .map_err(|e| PrefixError::Content(prefix.include().join("interfaces"), e))?,
    )?;
    // All numbers by the names that C knows them by, for the test that asks a C compiler.
    let mut numbers = String::from("&[\n");
    let enumerators = header.enums.iter().flat_map(|e| &e.constants);
    for (name, value) in enumerators.chain(&header.macros) {
        let _ = writeln!(numbers, "({name:?}, {value}),");
    }

    let mut labels = String::new();
    for method in &interfaces.methods {
        let _ = writeln!(labels, "/// `{}_{}`.", method.interface, method.name);
        let _ = writeln!(labels, "pub const {}: u32 = {};", method.id, method.label);
        let _ = writeln!(numbers, "({:?}, {}),", method.id, method.label);
    }
    write("labels.rs", labels)?;

    let mut syscalls = String::new();
    println!("cargo::rustc-check-cfg=cfg(sel4_syscall, values(any()))");
    for call in prefix.syscalls()? {
        println!("cargo::rustc-cfg=sel4_syscall=\"{}\"", call.name);
        let _ = writeln!(syscalls, "/// `seL4_Sys{}`.", call.name);
        let _ = writeln!(
            syscalls,
            "pub const {}: isize = {};",
            call.name, call.number
        );
        let _ = writeln!(numbers, "(\"seL4_Sys{}\", {}),", call.name, call.number);
    }
    write("syscalls.rs", syscalls)?;
    numbers += "]";
    write("numbers.rs", numbers)?;
    println!(
        "cargo::rustc-env=SEL4_SYS_INCLUDE={}",
        prefix.include().display()
    );
    Ok(())
}
