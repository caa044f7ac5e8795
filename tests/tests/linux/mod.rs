// SPDX-License-Identifier: BSD-2-Clause
//! Linux programs in the system that users boot: scripts and what conforms in one boot, what is hostile in another.
//!
//! * `tests/linux/conformance` is built for the build machine, run there and in the guest, and what it
//!   prints is compared line by line. It is a superuser's program: who is not one has it ignored.
//! * Each script `tests/linux/scripts/NAME.sh` is run by the guest's `sh` in an empty directory; what it prints must
//!   be what `NAME.out` says, which ends with its exit status. Whatever else lies there is in the guest at `/tests`, and
//!   what is built from `tests/linux/programs` is on the search path.
//! * `tests/linux/dialogues` has what a person types, and what the screen must show then ([`dialogues`]).
//! * `tests/linux/programs/cycles.c` starts programs in a boot of its own, and nothing may be gone afterwards.
//! * `tests/linux/hostile` is a program that attacks the system in many ways, and says of each whether everybody
//!   else survived it.

mod dialogues;
mod programs;

use super::{BUILDER, Permit, pack_system};
use anyhow::{Context, Result, anyhow, bail, ensure};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use xos_image::console::EXEC_FILE;
use xtask::exec;
use xtask::sim::qemu::Qemu;
use xtask::tree::Addition;
use xtask::workspace::root;

/// Parts of the conformance program, as its `main.c` lists them.
const PARTS: &[&str] = &[
    "files",
    "names",
    "descriptors",
    "waiting",
    "terminals",
    "memory",
    "processes",
    "signals",
    "times",
    "futexes",
    "strange",
];
/// How long the guest may print nothing: a part that hangs is ended by its own alarm before.
const SILENCE: Duration = Duration::from_secs(120);
/// The same where attacks print when they are over: some are a hundred thousand calls.
const LONG_SILENCE: Duration = Duration::from_secs(400);
/// What begins the output of a part or a script.
const MARK: &str = "==== ";
/// Lines that are shown of a comparison.
const SHOWN: usize = 20;

/// What was printed, by the name of the part or script.
#[derive(Default)]
struct Printed {
    texts: BTreeMap<String, Vec<String>>,
    /// How it ended, if not well: in the middle of the last one of these names.
    end: Option<String>,
    last: String,
}

impl Printed {
    fn new(text: &str, end: Option<String>) -> Self {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines().map(|line| line.trim_end_matches('\r')) {
            match line.strip_prefix(MARK) {
                Some(name) => {
                    current = name.to_owned();
                    texts.entry(current.clone()).or_default();
                }
                None => texts
                    .entry(current.clone())
                    .or_default()
                    .push(line.to_owned()),
            }
        }
        Self {
            texts,
            end,
            last: current,
        }
    }

    fn text(&self, name: &str) -> Result<&[String]> {
        if let (Some(end), true) = (&self.end, self.last == name) {
            bail!("it ended in the middle of {name}: {end}");
        }
        self.texts.get(name).map(Vec::as_slice).with_context(|| {
            let end = self.end.as_deref().unwrap_or("it ended well");
            format!("nothing was printed for {name}: {end}")
        })
    }
}

/// All tests of this kind.
pub fn trials() -> Vec<Trial> {
    let superuser = rustix::process::geteuid().is_root();
    let parts = PARTS.iter().map(|part| {
        let run = || conforms(part).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(format!("linux::conformance_{part}"), run).with_ignored_flag(!superuser)
    });
    let scripts = scripts().into_iter().map(|script| {
        let name = format!("linux::{}", stem(&script));
        let run = move || passes(&script).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(name, run)
    });
    let attacks = attacks().into_iter().map(|attack| {
        let name = format!("linux::{attack}");
        let run = move || survives(&attack).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(name, run)
    });
    let cycles = Trial::test("linux::fork_exec_and_wait_leave_nothing_behind", || {
        leaves_nothing().map_err(|error| Failed::from(format!("{error:#}")))
    });
    let dialogues = dialogues::trials();
    parts
        .chain(scripts)
        .chain(attacks)
        .chain([cycles])
        .chain(dialogues)
        .collect()
}

/// The attacks, as the table in the hostile program's `main.c` lists them.
fn attacks() -> Vec<String> {
    let text = fs::read_to_string(folder().join("hostile/main.c")).unwrap_or_default();
    let table = text.split_once("attacks[] = {");
    let table = table.and_then(|(_, rest)| rest.split_once("};"));
    let lines = table.map_or("", |(table, _)| table).lines();
    lines
        .filter_map(|line| Some(format!("hostile_{}", line.split('"').nth(1)?)))
        .collect()
}

fn folder() -> PathBuf {
    root().join("tests/linux")
}

fn scripts() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join("scripts")).into_iter().flatten();
    let mut scripts: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "sh"))
        .collect();
    scripts.sort();
    scripts
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Builds the C files of a folder to one program for the build machine.
pub fn build(name: &str) -> Result<PathBuf, String> {
    let build = || -> Result<PathBuf> {
        let to = root().join("target/tests-linux");
        fs::create_dir_all(&to)?;
        // Suites that want it at the same time build it at the same time: what is there under its name is whole.
        let scratch = tempfile::tempdir_in(&to)?;
        let (made, to) = (scratch.path().join(name), to.join(name));
        let sources = fs::read_dir(folder().join(name))?;
        let sources: Vec<_> = sources
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "c"))
            .collect();
        let mut compiler = Command::new("gcc");
        compiler.args(["-static", "-O1", "-w", "-pthread", "-o"]);
        let status = compiler.arg(&made).args(sources).status()?;
        ensure!(status.success(), "gcc: {status}");
        fs::rename(made, &to)?;
        Ok(to)
    };
    build().map_err(|error| format!("cannot build the {name} program: {error:#}"))
}

/// The conformance program, built.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build("conformance"));

/// What the build machine's Linux prints.
static LINUX: LazyLock<Result<Printed, String>> = LazyLock::new(|| {
    let program = PROGRAM.as_ref().map_err(String::clone)?;
    let run = || -> Result<Printed> {
        let scratch = root().join(format!("target/tests-linux/run.{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let mut command = Command::new(program);
        command.current_dir(&scratch).stdin(Stdio::null());
        let output = command.output();
        fs::remove_dir_all(&scratch)?;
        Ok(Printed::new(
            &String::from_utf8_lossy(&output?.stdout),
            None,
        ))
    };
    run().map_err(|error| format!("cannot run the conformance program: {error:#}"))
});

/// What the guest prints.
static GUEST: LazyLock<Result<Printed, String>> =
    LazyLock::new(|| boot().map_err(|error| format!("{error:#}")));

fn boot() -> Result<Printed> {
    let program = PROGRAM.as_ref().map_err(|error| anyhow!("{error}"))?;
    let mut additions = programs::additions()?;
    additions.extend([
        Addition {
            host: program.clone(),
            guest: "bin/conformance".parse()?,
        },
        Addition {
            host: folder().join("scripts"),
            guest: "tests".parse()?,
        },
    ]);
    // Scripts first: they are short, and what the other does to the system is rough.
    let line = "sh -c 'for script in /tests/*.sh; do \
                echo \"==== $script\"; mkdir /tmp/here; cd /tmp/here; sh $script > /tmp/out 2>&1; \
                status=$?; cat /tmp/out; echo \"status $status\"; cd /; rm -r /tmp/here; done; \
                mkdir /conformance; cd /conformance; conformance'";
    run_in_guest("linux", &additions, line, SILENCE)
}

/// Boots the system with additions and a command.
fn run_in_guest(
    name: &str,
    additions: &[Addition],
    line: &str,
    silence: Duration,
) -> Result<Printed> {
    let builder = BUILDER.as_ref().map_err(|error| anyhow!("{error}"))?;
    let image = pack_system(
        builder,
        name,
        additions,
        &[(EXEC_FILE, format!("{line}\n").into_bytes())],
    )?;
    let _machine = Permit::take();
    let machine = image.boot(&Qemu::default())?;
    let (mut output, mut log) = (Vec::new(), Vec::new());
    let end = exec::capture(machine, image.symbols(), silence, &mut output, &mut log);
    let end = end.err().map(|error| {
        let log = String::from_utf8_lossy(&log);
        let tail = log.len().saturating_sub(2000);
        format!("{error:#}\n{}", log.get(tail..).unwrap_or(&log))
    });
    Ok(Printed::new(&String::from_utf8_lossy(&output), end))
}

/// What the hostile program prints.
static ATTACKED: LazyLock<Result<Printed, String>> = LazyLock::new(|| {
    let run = || -> Result<Printed> {
        let program = build("hostile").map_err(|error| anyhow!("{error}"))?;
        let additions = [Addition {
            host: program,
            guest: "bin/hostile".parse()?,
        }];
        let line = "sh -c 'mkdir /hostile; cd /hostile; hostile'";
        run_in_guest("hostile", &additions, line, LONG_SILENCE)
    };
    run().map_err(|error| format!("{error:#}"))
});

fn survives(attack: &str) -> Result<()> {
    let printed = ATTACKED.as_ref().map_err(|error| anyhow!("{error}"))?;
    compare(&["survived".to_owned()], printed.text(attack)?, "expected")
}

/// Twenty thousand programs are started and end.
fn leaves_nothing() -> Result<()> {
    let additions = [programs::addition("cycles")?];
    let printed = run_in_guest("cycles", &additions, "cycles 20000", LONG_SILENCE)?;
    let expected = [
        "frames: 0",
        "server's kilobytes: 0",
        "bytes: 0",
        "slots: 0",
        "ICs: 0",
        "sessions: 0",
    ];
    compare(&expected.map(str::to_owned), printed.text("")?, "expected")
}

fn guest() -> Result<&'static Printed> {
    GUEST.as_ref().map_err(|error| anyhow!("{error}"))
}

fn conforms(part: &str) -> Result<()> {
    let linux = LINUX.as_ref().map_err(|error| anyhow!("{error}"))?;
    compare(linux.text(part)?, guest()?.text(part)?, "Linux")
}

fn passes(script: &Path) -> Result<()> {
    let expected = script.with_extension("out");
    let expected = fs::read_to_string(&expected)
        .with_context(|| format!("cannot read {}", expected.display()))?;
    let expected: Vec<_> = expected.lines().map(str::to_owned).collect();
    let name = format!("/tests/{}.sh", stem(script));
    compare(&expected, guest()?.text(&name)?, "expected")
}

/// Fails with the lines that differ.
fn compare(expected: &[String], got: &[String], whose: &str) -> Result<()> {
    let lines = expected.len().max(got.len());
    let none = "(nothing)".to_owned();
    let differences: Vec<_> = (0..lines)
        .map(|at| {
            (
                at,
                expected.get(at).unwrap_or(&none),
                got.get(at).unwrap_or(&none),
            )
        })
        .filter(|(_, expected, got)| expected != got)
        .collect();
    let shown: Vec<_> = differences
        .iter()
        .take(SHOWN)
        .map(|(at, expected, got)| {
            format!("line {}: here    {got}\n    {whose:>12} {expected}", at + 1)
        })
        .collect();
    ensure!(
        differences.is_empty(),
        "{} of {lines} lines differ:\n{}",
        differences.len(),
        shown.join("\n")
    );
    Ok(())
}
