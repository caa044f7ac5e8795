// SPDX-License-Identifier: BSD-2-Clause
//! `check`: what a reader may rely on without running anything. Format, lints, documentation, a
//! licence line in every source file, no file too long to read.

use crate::guest::Builder;
use crate::workspace::{Workspace, cargo, progress, root, run};
use anyhow::{Context, Result, bail};
use sel4_kernel::{Flavour, SEL4_PREFIX};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The licence line of every source file.
const LICENCE: &str = "SPDX-License-Identifier: BSD-2-Clause";
/// The first lines of a file, one of which is the licence line: a `#!` or `<?xml` may stand before.
const LICENCE_LINES: usize = 3;
/// The longest source file, in lines.
const MAX_LINES: usize = 1000;
/// The library of programs that have to do with virtual processors.
const VCPU: &str = "xos-vcpu";
/// Ends of the names of source files.
const SOURCES: &[&str] = &[
    ".rs",
    ".toml",
    ".xml",
    ".system",
    ".ld",
    ".S",
    ".c",
    ".h",
    ".sh",
    ".py",
    "Makefile",
    "Dockerfile",
    ".ci/run",
];
/// Files that are no sources of ours although their names look like it.
const GENERATED: &[&str] = &["Cargo.lock"];

/// Runs all checks, the quick ones first, and says at the end which found something.
pub fn check() -> Result<()> {
    let builder = Builder::new(Flavour::Release)?;
    let workspace = builder.workspace();
    // The bindings are generated for a kernel, on the host too.
    let prefix = builder.prefix().root();
    let mut found = Vec::new();
    let mut step = |what: &'static str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("xtask: {error:#}");
            found.push(what);
        }
    };

    progress("checking format");
    let mut format = cargo();
    step(
        "format (`cargo fmt --all`)",
        run(format.args(["fmt", "--all", "--check"]), "cargo fmt"),
    );
    progress("checking licence lines and lengths of files");
    step("files", files(&root()));
    progress("checking lints of host code");
    step(
        "lints of host code",
        run(lints(workspace).env(SEL4_PREFIX, prefix), "clippy"),
    );
    progress("checking lints of guest programs");
    step("lints of guest programs", guest_lints(&builder, |_| true));
    // Code for virtual processors is empty where there are none.
    let vtx = Builder::new(Flavour::Vtx).and_then(|builder| {
        let concerned = builder.workspace().dependents(VCPU);
        guest_lints(&builder, |package| concerned.contains(package))
    });
    step("lints of guest programs with virtual processors", vtx);
    progress("checking documentation");
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--lib", "--quiet", "--keep-going"]);
    for package in workspace.libraries() {
        doc.args(["--package", &package.id.repr]);
    }
    doc.env("RUSTDOCFLAGS", "-D warnings")
        .env(SEL4_PREFIX, prefix);
    step("documentation", run(&mut doc, "cargo doc"));

    match found.as_slice() {
        [] => Ok(()),
        found => bail!("not right yet: {}", found.join(", ")),
    }
}

/// Clippy for guest programs of the packages that are `wanted`, as what they are: each with its own
/// features, as they are built.
fn guest_lints(builder: &Builder, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let programs = builder.workspace().programs()?;
    let packages: BTreeSet<_> = programs.iter().map(|program| &program.package).collect();
    let mut found = Vec::new();
    for package in packages.into_iter().filter(|package| wanted(package)) {
        let mut clippy = builder.cargo("clippy");
        clippy.args([
            "--quiet",
            "--package",
            package,
            "--bins",
            "--",
            "-D",
            "warnings",
        ]);
        if run(&mut clippy, "clippy").is_err() {
            found.push(package.as_str());
        }
    }
    match found.as_slice() {
        [] => Ok(()),
        found => bail!("clippy found something in {}", found.join(", ")),
    }
}

/// Clippy for all code that runs on the host: libraries, tools, tests. Guest programs are left out
/// by their `test = false`.
fn lints(workspace: &Workspace) -> Command {
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--lib", "--tests", "--examples"]);
    for package in workspace.host_packages() {
        for target in package.targets.iter().filter(|target| target.is_bin()) {
            clippy.args(["--bin", &target.name]);
        }
    }
    clippy.args(["--", "-D", "warnings"]);
    clippy
}

/// Checks every source file that git knows or would add.
fn files(root: &Path) -> Result<()> {
    let list = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    if !list.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&list.stderr).trim()
        );
    }
    let mut complaints = Vec::new();
    for name in list.stdout.split(|&byte| byte == 0) {
        let name = String::from_utf8_lossy(name);
        // A file that was deleted but not committed is still in the list.
        if let Ok(text) = fs::read(root.join(name.as_ref())) {
            // A file that is to stay as it is has its licence line in another one beside it, as REUSE has it.
            let beside = fs::read_to_string(root.join(format!("{name}.license")));
            let mut licensed = beside.unwrap_or_default();
            licensed.push_str(&String::from_utf8_lossy(&text));
            complaints.extend(complaint(&name, &licensed));
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{}", complaints.join("\n"))
}

/// What is wrong with a file.
fn complaint(name: &str, text: &str) -> Option<String> {
    if !SOURCES.iter().any(|end| name.ends_with(end))
        || GENERATED.iter().any(|end| name.ends_with(end))
    {
        return None;
    }
    if !text
        .lines()
        .take(LICENCE_LINES)
        .any(|line| line.contains(LICENCE))
    {
        return Some(format!("{name}: no line `{LICENCE}` at the top"));
    }
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{name}: {lines} lines, more than {MAX_LINES}: divide it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_file_without_licence_line_is_named() {
        assert!(
            complaint("a/b.rs", "fn main() {}\n")
                .unwrap()
                .contains("a/b.rs")
        );
        assert!(complaint("Makefile", "all:\n").is_some());
        assert!(complaint("x.xml", "<?xml?>\n<system/>\n").is_some());
    }

    #[test]
    fn a_licence_line_may_follow_what_must_come_first() {
        let script = format!("#!/bin/sh\n# {LICENCE}\n");
        assert_eq!(complaint(".ci/run", &script), None);
        assert_eq!(
            complaint("a.xml", &format!("<?xml?>\n<!-- {LICENCE} -->\n")),
            None
        );
        let late = format!("\n\n\n// {LICENCE}\n");
        assert!(complaint("a.rs", &late).is_some());
    }

    #[test]
    fn what_is_no_source_file_needs_no_licence_line() {
        assert_eq!(complaint("README.md", ""), None);
        assert_eq!(complaint("a/Cargo.lock", ""), None);
    }

    #[test]
    fn a_file_may_have_a_thousand_lines_and_no_more() {
        let lines = |n| format!("// {LICENCE}\n{}", "\n".repeat(n - 1));
        assert_eq!(complaint("a.rs", &lines(MAX_LINES)), None);
        assert!(
            complaint("a.rs", &lines(MAX_LINES + 1))
                .unwrap()
                .contains("1001")
        );
    }

    #[test]
    fn deleted_files_do_not_matter_and_new_ones_do_unless_their_licence_is_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let status = Command::new("git")
                .args(arguments)
                .current_dir(folder.path())
                .status();
            assert!(status.unwrap().success());
        };
        git(&["init", "-q"]);
        fs::write(folder.path().join("gone.rs"), "").unwrap();
        git(&["add", "gone.rs"]);
        fs::remove_file(folder.path().join("gone.rs")).unwrap();
        assert!(files(folder.path()).is_ok());
        fs::write(folder.path().join("new.rs"), "").unwrap();
        assert!(
            files(folder.path())
                .unwrap_err()
                .to_string()
                .contains("new.rs")
        );
        fs::write(folder.path().join("new.rs.license"), LICENCE).unwrap();
        assert!(files(folder.path()).is_ok());
    }
}
