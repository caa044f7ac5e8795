// SPDX-License-Identifier: BSD-2-Clause
//! From a built kernel to a prefix as seL4's own install lays it out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::build::{Environment, copy_tree, create, write};
use crate::{Error, Flavour, tools};

/// Header folders of libsel4 that an installation merges into one.
const HEADERS: [&str; 4] = [
    "include",
    "arch_include/x86",
    "sel4_arch_include/x86_64",
    "sel4_plat_include/pc99",
];

/// Interface definitions: in the sources the last two have the same name in different folders.
const INTERFACES: [(&str, &str); 3] = [
    ("include/interfaces/sel4.xml", "object-api.xml"),
    (
        "arch_include/x86/interfaces/sel4arch.xml",
        "object-api-arch.xml",
    ),
    (
        "sel4_arch_include/x86_64/interfaces/sel4arch.xml",
        "object-api-sel4-arch.xml",
    ),
];

/// Bit-field files and what they are called after the preprocessor, relative to the headers.
const BITFIELDS: [(&str, &str); 3] = [
    ("sel4/types_64.bf", "sel4/types"),
    ("sel4/shared_types_64.bf", "sel4/shared_types"),
    ("sel4/sel4_arch/types.bf", "sel4/sel4_arch/types"),
];

/// Installs into `prefix`, which does not exist yet.
pub(crate) fn install(
    flavour: Flavour,
    tree: &Path,
    out: &Path,
    prefix: &Path,
    environment: &Environment,
) -> Result<(), Error> {
    let bin = prefix.join("bin");
    create(&bin)?;
    copy(&out.join("kernel.elf"), &bin.join("kernel.elf"))?;
    // Multiboot loaders, QEMU's and GRUB's, take 32-bit ELF files only.
    let mut objcopy = Command::new("objcopy");
    objcopy
        .args(["-O", "elf32-i386"])
        .arg(bin.join("kernel.elf"))
        .arg(bin.join("kernel32.elf"));
    tools::run("objcopy", &mut objcopy, None)?;

    let libsel4 = tree.join("libsel4");
    let include = prefix.join("libsel4/include");
    for folder in HEADERS {
        copy_tree(&libsel4.join(folder), &include)?;
    }
    for name in ["sel4.xml", "sel4arch.xml"] {
        let path = include.join("interfaces").join(name);
        fs::remove_file(&path).map_err(|e| Error::Io(path, e))?;
    }
    for (source, name) in INTERFACES {
        copy(
            &libsel4.join(source),
            &include.join("interfaces").join(name),
        )?;
    }
    let config = flavour.config().to_json();
    write(&include.join("kernel/gen_config.json"), &config)?;
    write(&include.join("kernel/gen_config.h"), &flavour.autoconf())?;
    write(&include.join("sel4/gen_config.json"), "{}")?;
    write(&include.join("sel4/gen_config.h"), "#pragma once\n")?;
    let autoconf = "#pragma once\n#include <kernel/gen_config.h>\n#include <sel4/gen_config.h>\n";
    write(&include.join("autoconf.h"), autoconf)?;
    generate(&libsel4, tree, &include, environment)
}

/// Runs libsel4's own generators, so that the headers are complete for C too.
fn generate(
    libsel4: &Path,
    tree: &Path,
    include: &Path,
    environment: &Environment,
) -> Result<(), Error> {
    let python = |script: &Path| {
        let mut command = environment.command("python3");
        // Some write parser tables where they run.
        command.arg(script).current_dir(tree);
        command
    };
    for (source, name) in BITFIELDS {
        let mut cpp = environment.command("cpp");
        cpp.args(["-nostdinc", "-P", "-I"]).arg(include);
        cpp.arg(include.join(source));
        let pbf = include.join(name).with_extension("pbf");
        write(&pbf, &tools::run("cpp", &mut cpp, None)?)?;
        let mut command = python(&tree.join("tools/bitfield_gen.py"));
        command
            .args(["--environment", "libsel4"])
            .arg(&pbf)
            .arg(include.join(format!("{name}_gen.h")));
        tools::run("bitfield_gen.py", &mut command, None)?;
    }
    let mut command = python(&tree.join("tools/syscall_header_gen.py"));
    command
        .arg("--xml")
        .arg(include.join("api/syscall.xml"))
        .arg("--libsel4_header")
        .arg(include.join("sel4/syscall.h"));
    tools::run("syscall_header_gen.py", &mut command, None)?;
    for (source, flags, header) in [
        ("object-api.xml", &[][..], "sel4/invocation.h"),
        (
            "object-api-sel4-arch.xml",
            &["--sel4_arch"][..],
            "sel4/sel4_arch/invocation.h",
        ),
        ("object-api-arch.xml", &["--arch"], "sel4/arch/invocation.h"),
    ] {
        let mut command = python(&tree.join("tools/invocation_header_gen.py"));
        command
            .arg("--libsel4")
            .args(flags)
            .arg("--xml")
            .arg(include.join("interfaces").join(source))
            .arg("--dest")
            .arg(include.join(header));
        tools::run("invocation_header_gen.py", &mut command, None)?;
    }
    let mut command = python(&libsel4.join("tools/syscall_stub_gen.py"));
    command
        .args(["-a", "x86_64", "-w", "64", "-o"])
        .arg(include.join("interfaces/sel4_client.h"));
    for (_, name) in INTERFACES.iter().rev() {
        command.arg(include.join("interfaces").join(name));
    }
    tools::run("syscall_stub_gen.py", &mut command, None)?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map_err(|e| Error::Io(from.to_owned(), e))?;
    Ok(())
}
