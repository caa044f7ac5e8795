// SPDX-License-Identifier: BSD-2-Clause
//! Runs the suites: each case is a test of its own, all cases of a suite share one boot.

mod hosts;
mod image;
mod kernel;
mod keys;
mod linux;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use sel4_kernel::Flavour;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xos_image::console::EXEC_FILE;
use xos_tests::{
    BROUGHT, Boots, Brought, Contained, EXECUTED, Executed, FAILING, Failing, PAGES, PENDING, Page,
    SUITES, Suite, TYPED, Typed, VTX_EXECUTED, VTX_SUITES, VTX_TYPED,
};
use xtask::exec;
use xtask::guest::Builder;
use xtask::pack::{self, Image, Recipe};
use xtask::run::{self, Unattended};
use xtask::sim::bochs::Bochs;
use xtask::sim::qemu::Qemu;
use xtask::sim::{Event, PowerOff, Simulator};
use xtask::suite::{self, Verdict, WHOLE};
use xtask::tree::Addition;
use xtask::userland;

/// Machines that run at the same time: each is busy with one core of the host.
const MACHINES: usize = 2;
/// Tests that wait at the same time. A waiting test costs nothing, and a suite starts when the
/// first of its tests does.
const WAITING: usize = 1000;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(WAITING);
    let mut trials = Vec::new();
    let suites = SUITES.iter().map(|suite| (suite, false));
    for (suite, vtx) in suites.chain(VTX_SUITES.iter().map(|suite| (suite, true))) {
        let boot = Arc::new(Boot::new(suite, vtx));
        for case in suite.cases().chain([WHOLE]) {
            let boot = Arc::clone(&boot);
            let name = format!("{}::{case}", suite.name);
            trials.push(Trial::test(name, move || {
                boot.verdict(case).map_err(Failed::from)
            }));
        }
    }
    for failing in FAILING {
        let run = || run_failing(failing).map_err(|error| Failed::from(format!("{error:#}")));
        trials.push(Trial::test(failing.name, run));
    }
    for brought in BROUGHT {
        let run = || run_brought(brought).map_err(|error| Failed::from(format!("{error:#}")));
        trials.push(Trial::test(brought.name, run));
    }
    let executed = EXECUTED.iter().map(|executed| (executed, false));
    let with_vtx = VTX_EXECUTED.iter().map(|executed| (executed, true));
    for (executed, vtx) in executed.chain(with_vtx) {
        let run =
            move || run_executed(executed, vtx).map_err(|error| Failed::from(format!("{error:#}")));
        trials.push(Trial::test(executed.name, run));
    }
    let typed = TYPED.iter().map(|typed| (typed, false));
    let with_vtx = VTX_TYPED.iter().map(|typed| (typed, true));
    for (typed, vtx) in typed.chain(with_vtx) {
        let run = move || run_typed(typed, vtx).map_err(|error| Failed::from(format!("{error:#}")));
        trials.push(Trial::test(typed.name, run));
    }
    for page in PAGES {
        let run = || run_page(page).map_err(|error| Failed::from(format!("{error:#}")));
        trials.push(Trial::test(page.name, run));
    }
    trials.extend(hosts::trials());
    trials.extend(kernel::trials());
    trials.extend(keys::trials());
    trials.extend(linux::trials());
    let trials = trials.into_iter().map(|trial| {
        let mut pending = PENDING.iter();
        let why = pending.find(|(name, _)| trial.name().starts_with(name));
        trial.with_ignored_flag(why.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// All guest programs, built once.
static BUILDER: LazyLock<Result<Builder, String>> = LazyLock::new(|| {
    let build = || -> Result<Builder> {
        let builder = Builder::new(Flavour::Release)?;
        builder.build(&builder.workspace().programs()?)?;
        Ok(builder)
    };
    build().map_err(|error| format!("{error:#}"))
});

/// The same for the kernel with virtual processors, of which each suite builds what it needs.
static VTX_BUILDER: LazyLock<Result<Builder, String>> =
    LazyLock::new(|| Builder::new(Flavour::Vtx).map_err(|error| format!("{error:#}")));

/// One boot of a suite, started by the first test that asks for a verdict.
struct Boot {
    suite: &'static Suite,
    vtx: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    started: bool,
    ended: bool,
    verdicts: BTreeMap<String, Verdict>,
}

impl Boot {
    fn new(suite: &'static Suite, vtx: bool) -> Self {
        Self {
            suite,
            vtx,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Verdicts are inserted whole: a panic elsewhere leaves none half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(self: &Arc<Self>, case: &str) -> Verdict {
        let mut state = self.state();
        if !state.started {
            state.started = true;
            let boot = Arc::clone(self);
            std::thread::spawn(move || boot.run());
        }
        loop {
            if let Some(verdict) = state.verdicts.get(case) {
                return verdict.clone();
            }
            if state.ended {
                return Err("the suite ended without a verdict".to_owned());
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self) {
        // Even if this thread panics, nobody waits for ever.
        let _end = End(self);
        let report = |case: &str, verdict| {
            self.state().verdicts.insert(case.to_owned(), verdict);
            self.changed.notify_all();
        };
        let builder = if self.vtx { &VTX_BUILDER } else { &BUILDER };
        let image = match builder.as_ref() {
            Ok(builder) => pack(builder, self.suite).map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.clone()),
        };
        match image {
            Ok(image) => {
                let _machine = Permit::take();
                let simulator: &dyn Simulator = if self.vtx {
                    &Bochs::default()
                } else {
                    &Qemu {
                        count_instructions: self.suite.count_instructions,
                        ..Qemu::default()
                    }
                };
                let machine = image.boot(simulator);
                suite::run(
                    machine,
                    &Vec::from_iter(self.suite.cases()),
                    self.suite.limit,
                    &mut |case, verdict| {
                        report(case, verdict);
                    },
                );
            }
            Err(error) => {
                for case in self.suite.cases() {
                    report(case, Err(format!("not run: see {WHOLE}")));
                }
                report(WHOLE, Err(error));
            }
        }
    }
}

struct End<'a>(&'a Boot);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.changed.notify_all();
    }
}

fn pack(builder: &Builder, suite: &Suite) -> Result<Image> {
    let (description, containers, page) = match suite.boots {
        Boots::System(description) => (description, &[][..], None),
        Boots::SystemWith(description, containers) => (description, containers, None),
        Boots::SystemWithPage(description, page) => (description, &[][..], Some(page)),
        Boots::RootTask(name) => {
            let programs = builder.workspace().programs()?;
            let program = programs
                .iter()
                .find(|program| program.name == name)
                .with_context(|| format!("no guest program is called {name}"))?;
            builder.build(std::slice::from_ref(program))?;
            return pack::root_task(builder, suite.name, &builder.programs_folder().join(name));
        }
    };
    let root = &builder.workspace().root;
    let scratch = tempfile::tempdir()?;
    let mut additions = page.map_or_else(|| Ok(Vec::new()), |page| programs(builder, page))?;
    let containers = containers
        .iter()
        .map(|contained| {
            let (host, name) = match contained {
                Contained::Bundle(bundle, name) => (root.join(bundle), name),
                Contained::Busybox(config, name) => {
                    let config = fs::read_to_string(root.join(config))?;
                    let bundle = scratch.path().join(name);
                    userland::bundle(&bundle, &config)?;
                    (bundle, name)
                }
                Contained::Hostile(config, name) => {
                    let config = fs::read_to_string(root.join(config))?;
                    let bundle = scratch.path().join(name);
                    userland::bundle(&bundle, &config)?;
                    let program = linux::build("hostile").map_err(|error| anyhow!("{error}"))?;
                    fs::copy(program, bundle.join("rootfs/bin/hostile"))?;
                    (bundle, name)
                }
                Contained::Image(name) => (image::make(&scratch.path().join(name))?, name),
            };
            let guest = format!("containers/{name}").parse()?;
            Ok(Addition { host, guest })
        })
        .collect::<Result<Vec<_>>>()?;
    additions.extend(containers);
    let texts = suite.files.iter();
    let texts = texts.map(|(name, text)| (*name, text.as_bytes().to_vec()));
    let made = suite.made.iter().map(|(name, make)| (*name, make()));
    pack::system(
        builder,
        &Recipe {
            name: suite.name,
            description: &root.join(description),
            search: &[],
            additions: &additions,
            files: &Vec::from_iter(texts.chain(made)),
            tests: suite.programs,
        },
    )
}

/// Boots a system that fails, and compares what it prints.
fn run_failing(failing: &Failing) -> Result<()> {
    let builder = BUILDER.as_ref().map_err(|error| anyhow!("{error}"))?;
    let image = pack::system(
        builder,
        &Recipe {
            name: &failing.name.replace("::", "-"),
            description: &builder.workspace().root.join(failing.description),
            search: &[],
            additions: &[],
            files: &[],
            tests: &[],
        },
    )?;
    let _machine = Permit::take();
    let mut machine = image.boot(&Qemu::default())?;
    let mut printed = Vec::new();
    let end = loop {
        match machine.next(Some(failing.silence), "the machine's end")? {
            Event::Text(text) | Event::Log(text) => printed.extend(text),
            Event::Off(how) => break how,
            _ => {}
        }
    };
    in_order(&printed, failing.prints)?;
    ensure!(end == PowerOff::Failure, "the machine {end}");
    Ok(())
}

/// Fails unless the texts were printed, each behind the one before it.
fn in_order(printed: &[u8], texts: &[&str]) -> Result<()> {
    let printed = String::from_utf8_lossy(printed);
    let mut rest = &*printed;
    for text in texts {
        let found = rest.split_once(text);
        rest = found
            .with_context(|| format!("{text:?} was not printed, or not in its place:\n{printed}"))?
            .1;
    }
    Ok(())
}

/// How long the system that users boot may print nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// The same in a simulator that is some ten times slower.
const VTX_SILENCE: Duration = Duration::from_secs(600);

/// Packs the system that users boot.
fn pack_system(
    builder: &Builder,
    name: &str,
    additions: &[Addition],
    files: &[(&str, Vec<u8>)],
) -> Result<Image> {
    pack::system(
        builder,
        &Recipe {
            name,
            description: &builder.workspace().root.join("system.xml"),
            search: &[],
            additions,
            files,
            tests: &[],
        },
    )
}

/// What builds for the machine that users boot, and what simulates it, with virtual processors or without; and how
/// long it may print nothing.
fn users_machine(vtx: bool) -> Result<(&'static Builder, Box<dyn Simulator>, Duration)> {
    let (builder, simulator, silence): (_, Box<dyn Simulator>, _) = match vtx {
        true => (&VTX_BUILDER, Box::new(Bochs::default()), VTX_SILENCE),
        false => (&BUILDER, Box::new(Qemu::default()), SILENCE),
    };
    let builder = builder.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok((builder, simulator, silence))
}

/// What came of a command.
struct Came {
    status: i32,
    output: String,
    log: String,
}

/// Boots the system that users boot with additions, and runs one command.
fn execute(
    name: &str,
    line: &str,
    additions: &[Addition],
    (builder, simulator, silence): (&Builder, &dyn Simulator, Duration),
) -> Result<Came> {
    let files = [(EXEC_FILE, format!("{line}\n").into_bytes())];
    let image = pack_system(builder, &name.replace("::", "-"), additions, &files)?;
    let _machine = Permit::take();
    let machine = image.boot(simulator)?;
    let (mut output, mut log) = (Vec::new(), Vec::new());
    let status = exec::capture(machine, image.symbols(), silence, &mut output, &mut log)?;
    Ok(Came {
        status,
        output: String::from_utf8_lossy(&output).into_owned(),
        log: String::from_utf8_lossy(&log).into_owned(),
    })
}

/// Runs one command, and compares what comes of it.
fn run_executed(executed: &Executed, vtx: bool) -> Result<()> {
    let (builder, simulator, silence) = users_machine(vtx)?;
    let addition = executed.addition.map(|(program, guest)| -> Result<_> {
        Ok(Addition {
            host: builder.programs_folder().join(program),
            guest: guest.parse()?,
        })
    });
    let additions = Vec::from_iter(addition.transpose()?);
    let Came {
        status,
        output,
        log,
    } = execute(
        executed.name,
        executed.line,
        &additions,
        (builder, &*simulator, silence),
    )?;
    ensure!(status == executed.status, "status {status}:\n{output}{log}");
    ensure!(output == executed.output, "the output is {output:?}\n{log}");
    ensure!(log.contains(executed.log), "the log is\n{log}");
    Ok(())
}

/// Takes the programs of a page of the documentation, and builds them.
fn programs(builder: &Builder, page: &Page) -> Result<Vec<Addition>> {
    let workspace = builder.workspace();
    let text = fs::read_to_string(workspace.root.join(page.path))?;
    let steps = steps(&text)?;
    let folder = workspace.target.join("pages").join(page.folder());
    // Two tests may want them at the same time.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    fs::create_dir_all(folder.join("src"))?;
    for (path, content) in &steps.files {
        // The page's folder is beside the tree, this one is within it.
        let root = workspace.root.display().to_string();
        let mut content = content.replace("../xOS", &root);
        if *path == "Cargo.toml" {
            content += "\n[workspace]\n";
        }
        fs::write(folder.join(path), content)?;
    }
    // The versions that everything else is built with.
    fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let programs = builder.build_foreign(&folder.join("Cargo.toml"))?;
    let additions = programs.into_iter().map(|(name, host)| {
        let guest = format!("bin/{name}").parse()?;
        Ok(Addition { host, guest })
    });
    additions.collect()
}

/// Boots a system with the programs of a page of the documentation, and types what the page says. That they
/// pass the conformance suite, as the page says too, is a suite of its own.
fn run_page(page: &Page) -> Result<()> {
    let builder = BUILDER.as_ref().map_err(|error| anyhow!("{error}"))?;
    let text = fs::read_to_string(builder.workspace().root.join(page.path))?;
    let steps = steps(&text)?;
    let conformed = SUITES.iter().any(|suite| {
        matches!(suite.boots, Boots::SystemWithPage(_, tested) if tested.path == page.path)
            && Some(suite.name) == steps.conforms.as_deref()
    });
    ensure!(
        conformed,
        "no suite runs what the page says of the conformance suite"
    );
    let additions = programs(builder, page)?;
    let image = pack_system(builder, &page.folder(), &additions, &[])?;
    let _machine = Permit::take();
    let options = Unattended {
        silence: SILENCE,
        expect: None,
        feed: true,
    };
    let machine = image.boot(&Qemu::default())?;
    let mut printed = Vec::new();
    let typed = io::Cursor::new(steps.typed);
    let end = run::unattended(machine, image.symbols(), &options, typed, &mut printed)?;
    let printed_lines = steps.printed.iter().map(String::as_str);
    in_order(&printed, &Vec::from_iter(printed_lines))?;
    ensure!(end == PowerOff::Success, "the machine {end}");
    Ok(())
}

/// What a page says to do.
#[derive(Default)]
struct Steps<'a> {
    /// Files, by their paths.
    files: Vec<(&'a str, String)>,
    /// Lines to type.
    typed: String,
    /// Lines that are printed then.
    printed: Vec<String>,
    /// The suite that it tells to run, by `make conform`.
    conforms: Option<String>,
}

/// Reads a page: a code block is a file if the last line of text before it has a file's name in it as
/// `src/name.rs` or `Cargo.toml`; the block of a session at the monitor's prompt is what to type and what comes.
fn steps(text: &str) -> Result<Steps<'_>> {
    let mut steps = Steps::default();
    let mut before = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line;
            }
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let named = before.split('`').skip(1).step_by(2).find(|name| {
            *name == "Cargo.toml" || (name.starts_with("src/") && name.ends_with(".rs"))
        });
        if let Some(path) = named
            && ["toml", "rust"].contains(&language)
        {
            steps.files.push((path, block.join("\n") + "\n"));
        }
        let conforms = block.iter().find_map(|line| {
            let named = line.strip_prefix("make conform FACTORY=")?;
            named.split_whitespace().next()
        });
        if let Some(factory) = conforms {
            steps.conforms = Some(format!("conformance_{factory}"));
        }
        if language == "text" && block.first().is_some_and(|line| line.starts_with("xos> ")) {
            for line in block {
                match line.strip_prefix("xos> ") {
                    Some(typed) => steps.typed += &format!("{typed}\n"),
                    None => steps.printed.push(line.to_owned()),
                }
            }
        }
        before = "";
    }
    ensure!(!steps.files.is_empty(), "no file is in the page");
    ensure!(!steps.printed.is_empty(), "no session is in the page");
    Ok(steps)
}

/// Boots as `make run` does without a terminal, and types lines.
fn run_typed(typed: &Typed, vtx: bool) -> Result<()> {
    let (builder, simulator, silence) = users_machine(vtx)?;
    let image = pack_system(builder, &typed.name.replace("::", "-"), &[], &[])?;
    let _machine = Permit::take();
    let options = Unattended {
        silence,
        expect: None,
        feed: true,
    };
    let machine = image.boot(&*simulator)?;
    let mut printed = Vec::new();
    let end = run::unattended(
        machine,
        image.symbols(),
        &options,
        typed.lines.as_bytes(),
        &mut printed,
    )?;
    in_order(&printed, typed.prints)?;
    ensure!(end == PowerOff::Success, "the machine {end}");
    Ok(())
}

/// Builds and boots what a user brings, and waits for its last words.
fn run_brought(brought: &Brought) -> Result<()> {
    let builder = Builder::new(Flavour::Debug)?;
    let root = &builder.workspace().root;
    let manifest = root.join(brought.manifest);
    // Names of folders below target/boot.
    let name = brought.name.replace("::", "-");
    let image = match brought.description {
        None => {
            let programs = builder.build_foreign(&manifest)?;
            let program = programs.values().next().context("no program")?;
            pack::root_task(&builder, &name, program)?
        }
        Some(description) => pack::system(
            &builder,
            &Recipe {
                name: &name,
                description: &root.join(description),
                search: &[manifest],
                additions: &[],
                files: &[],
                tests: &[],
            },
        )?,
    };
    let _machine = Permit::take();
    let options = Unattended {
        silence: brought.silence,
        expect: Some(brought.prints.to_owned()),
        feed: false,
    };
    let machine = image.boot(&Qemu::default())?;
    run::unattended(
        machine,
        image.symbols(),
        &options,
        io::empty(),
        &mut io::sink(),
    )?;
    Ok(())
}

/// The right to run a machine.
struct Permit;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Permit {
    fn take() -> Self {
        let running = RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = RUNNING
            .1
            .wait_while(running, |running| *running >= MACHINES)
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        RUNNING.1.notify_one();
    }
}
