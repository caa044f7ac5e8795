// SPDX-License-Identifier: BSD-2-Clause
//! `cargo xtask`: the command line of the host tool. See [`xtask`] for what is behind it.

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sel4_kernel::Flavour;
use std::fs;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use xos_image::console::{EXEC_FILE, LOGIN_FILE};
use xtask::guest::Builder;
use xtask::pack::{self, Image, Recipe};
use xtask::run::Unattended;
use xtask::sim::bochs::Bochs;
use xtask::sim::qemu::Qemu;
use xtask::sim::{PowerOff, Simulator};
use xtask::test::Selection;
use xtask::tree::Addition;
use xtask::userland::SHELLS;
use xtask::workspace::{Role, progress, root};
use xtask::{bench, check, conform, deps, exec, graph, run, symbols, test, tty};

/// Builds xOS, boots it, tests it, measures it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing on this machine (apt), or print the line that does it.
    Deps,
    /// Build the kernel, or check the one that SEL4_PREFIX names, and print its folder.
    Kernel(FlavourOption),
    /// Build all guest programs.
    Build(FlavourOption),
    /// Boot a system on this terminal (leave with Ctrl-A x), or feed it the lines of standard input.
    Run(Run),
    /// Boot a root task of your own, written to the rust-sel4 crates.
    Boot(Boot),
    /// Boot, run one line of the monitor's, print its output alone, exit with its status.
    Exec(Exec),
    /// Run all tests: on the host and in guests.
    Test(Test),
    /// Run the conformance suite against the factory of a name.
    Conform(Conform),
    /// Check format, lints, documentation, licence lines, lengths of files.
    Check,
    /// Run the benchmarks and write docs/benchmarks.md, -posix.md, -containers.md and -virtual.md.
    Bench(Bench),
    /// Draw the running system: target/graph.svg.
    Graph(Graph),
    /// Say where in an ELF image an address is.
    Symbolize {
        /// The address, hexadecimal.
        #[arg(value_parser = hexadecimal)]
        address: u64,
        /// The image.
        image: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, Args)]
struct FlavourOption {
    /// Configuration of the kernel: release, debug or vtx [default: release; for `boot`, debug,
    /// whose kernel prints for a root task that has no other console].
    #[arg(long, value_parser = flavour)]
    flavour: Option<Flavour>,
}

impl FlavourOption {
    fn builder(self, default: Flavour) -> Result<Builder> {
        Builder::new(self.flavour.unwrap_or(default))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sim {
    /// QEMU's plain emulation.
    Qemu,
    /// Bochs, which emulates VT-x: slow, and exact.
    Bochs,
    /// QEMU with the host's own processor, by KVM: for hosts with (nested) VT-x.
    Kvm,
}

#[derive(Debug, Args)]
struct Machine {
    #[command(flatten)]
    flavour: FlavourOption,
    /// What to boot it on [default: qemu, and bochs for the vtx kernel]. Bochs and KVM have VT-x:
    /// with them the default flavour is vtx.
    #[arg(long, value_enum)]
    sim: Option<Sim>,
    /// Main memory, MiB.
    #[arg(long, default_value_t = Qemu::default().memory)]
    memory: u32,
    /// Give up when nothing was printed for so many seconds. On a terminal only until the first
    /// prompt.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    timeout: u64,
}

impl Machine {
    /// The flavour of the kernel, where `default` is that of an ordinary machine.
    fn flavour(&self, default: Flavour) -> Flavour {
        self.flavour.flavour.unwrap_or(match self.sim {
            Some(Sim::Bochs | Sim::Kvm) => Flavour::Vtx,
            Some(Sim::Qemu) | None => default,
        })
    }

    fn builder(&self, default: Flavour) -> Result<Builder> {
        Builder::new(self.flavour(default))
    }

    fn simulator(&self, default: Flavour) -> Box<dyn Simulator> {
        let memory = self.memory;
        let sim = self.sim.unwrap_or(match self.flavour(default) {
            Flavour::Vtx => Sim::Bochs,
            Flavour::Release | Flavour::Debug => Sim::Qemu,
        });
        match sim {
            Sim::Qemu | Sim::Kvm => Box::new(Qemu {
                memory,
                kvm: sim == Sim::Kvm,
                ..Qemu::default()
            }),
            Sim::Bochs => Box::new(Bochs {
                memory,
                ..Bochs::default()
            }),
        }
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

#[derive(Debug, Args)]
struct System {
    /// The system description [default: system.xml of this repository].
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// Where its programs are: a folder, or a Cargo.toml whose programs are built.
    #[arg(long, value_name = "PATH")]
    search_path: Vec<PathBuf>,
    /// Add a file or folder to the initial file tree.
    #[arg(long, value_name = "HOST=GUEST", value_parser = addition)]
    add: Vec<Addition>,
}

impl System {
    fn pack(&self, builder: &Builder, name: &str, files: &[(&str, Vec<u8>)]) -> Result<Image> {
        let default = root().join("system.xml");
        let description = self.system.as_ref().unwrap_or(&default);
        let (search, additions) = (&self.search_path, &self.add);
        pack::system(
            builder,
            &Recipe {
                name,
                description,
                search,
                additions,
                files,
                tests: &[],
            },
        )
    }
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    system: System,
    #[command(flatten)]
    machine: Machine,
    /// Success is that this text is printed; standard input is not read.
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
}

#[derive(Debug, Args)]
struct Boot {
    /// Its Cargo.toml.
    #[arg(long, value_name = "MANIFEST")]
    root_task: PathBuf,
    /// Which of its programs, if there are several.
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    #[command(flatten)]
    machine: Machine,
    /// Success is that this text is printed.
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
}

#[derive(Debug, Args)]
struct Exec {
    /// The line; with --image a command in the container, in the place of its own.
    #[arg(required_unless_present = "image")]
    line: Option<String>,
    /// Run an OCI bundle or image of the host: PATH, or PATH:NAME of one of several images.
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,
    #[command(flatten)]
    system: System,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Debug, Args)]
struct Test {
    /// Only tests whose name contains this.
    filter: Option<String>,
    /// Only tests on the host.
    #[arg(long, conflicts_with = "guest")]
    host: bool,
    /// Only tests in guests.
    #[arg(long)]
    guest: bool,
}

#[derive(Debug, Args)]
struct Conform {
    /// The name that it is registered under.
    factory: String,
    /// The program that registers it, a file of the initial file tree, if no boot domain does.
    #[arg(long, value_name = "PROGRAM")]
    program: Option<String>,
    /// Add a file or folder to the initial file tree.
    #[arg(long, value_name = "HOST=GUEST", value_parser = addition)]
    add: Vec<Addition>,
}

#[derive(Debug, Args)]
struct Bench {
    /// What is measured [default: all of it].
    #[arg(value_enum)]
    what: Option<Measured>,
    /// The system that measures the core [default: tests/bench.system].
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// Measure only operations of Linux programs whose name contains this, and write no report.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// The core and the factories: docs/benchmarks.md.
    Core,
    /// What Linux programs pay: docs/benchmarks-posix.md.
    Posix,
    /// What containers cost: docs/benchmarks-containers.md.
    Containers,
    /// What virtines cost, on virtual processors (in Bochs) and elsewhere: docs/benchmarks-virtual.md.
    Virtual,
}

#[derive(Debug, Args)]
struct Graph {
    #[command(flatten)]
    system: System,
    #[command(flatten)]
    machine: Machine,
    /// What to run first, at the monitor's prompt: lines, apart by `;`.
    #[arg(long, value_name = "LINES")]
    with: Option<String>,
    /// Where to draw it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn flavour(name: &str) -> Result<Flavour, String> {
    Flavour::from_name(name).ok_or_else(|| {
        let names = Flavour::ALL.map(Flavour::name);
        format!("there are {}", names.join(", "))
    })
}

fn addition(text: &str) -> Result<Addition, String> {
    text.parse()
        .map_err(|error: xtask::tree::TreeError| error.to_string())
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match command(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command) -> Result<ExitCode> {
    match command {
        Command::Deps => deps::install()?,
        Command::Kernel(option) => {
            println!(
                "{}",
                option.builder(Flavour::Release)?.prefix().root().display()
            );
        }
        Command::Build(option) => {
            let builder = option.builder(Flavour::Release)?;
            let mut programs = builder.workspace().programs()?;
            programs.retain(|program| program.role != Role::Test);
            builder.build(&programs)?;
            println!("{}", builder.programs_folder().display());
        }
        Command::Run(options) => return run(&options),
        Command::Boot(options) => return boot(&options),
        Command::Exec(options) => {
            let stdout = &mut io::stdout();
            return Ok(exec::exit_code(exec(options, stdout)?));
        }
        Command::Test(Test {
            filter,
            host,
            guest,
        }) => {
            test::test(&Selection {
                host_only: host,
                guest_only: guest,
                filter,
            })?;
        }
        Command::Check => check::check()?,
        Command::Bench(options) => bench(&options)?,
        Command::Conform(options) => return conform(&options),
        Command::Graph(options) => graph(options)?,
        Command::Symbolize { address, image } => {
            fs::metadata(&image).with_context(|| format!("cannot read {}", image.display()))?;
            let place = symbols::symbolize(&image, address);
            println!("{}", place.context("nothing is known about this address")?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run(options: &Run) -> Result<ExitCode> {
    let builder = options.machine.builder(Flavour::Release)?;
    let feed = options.expect.is_none();
    // Who sits at a terminal lives in a shell; lines that are fed are for the monitor.
    let login = (feed && tty::is_terminal() && options.system.system.is_none())
        .then(|| (LOGIN_FILE, SHELLS.as_bytes().to_vec()));
    let image = options.system.pack(&builder, "run", login.as_slice())?;
    // Of a system of the user's nobody knows whether it has a prompt, or a word to say.
    let boot = options
        .system
        .system
        .is_none()
        .then(|| options.machine.silence());
    show(
        &image,
        &options.machine,
        options.expect.clone(),
        feed,
        boot,
        Flavour::Release,
    )
}

fn conform(options: &Conform) -> Result<ExitCode> {
    let builder = Builder::new(Flavour::Release)?;
    let mut passed = true;
    conform::run(
        &builder,
        &Qemu::default(),
        &options.factory,
        options.program.as_deref(),
        &options.add,
        &mut |case, verdict| match verdict {
            Ok(()) => println!("{case} ... ok"),
            Err(why) => {
                passed = false;
                println!("{case} ... FAILED: {why}");
            }
        },
    )?;
    Ok(match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn boot(options: &Boot) -> Result<ExitCode> {
    let builder = options.machine.builder(Flavour::Debug)?;
    let programs = builder.build_foreign(&options.root_task)?;
    let names = || programs.keys().cloned().collect::<Vec<_>>().join(", ");
    let program = match &options.bin {
        Some(name) => programs
            .get(name)
            .with_context(|| format!("no program {name}: {}", names()))?,
        None if programs.len() == 1 => programs.values().next().context("no program")?,
        None => bail!("choose one of its programs with --bin: {}", names()),
    };
    let image = pack::root_task(&builder, "boot", program)?;
    show(
        &image,
        &options.machine,
        options.expect.clone(),
        false,
        None,
        Flavour::Debug,
    )
}

/// Boots an image on the terminal, or without one. See [`run::interactive`] for `boot` and
/// [`Unattended`] for the others.
fn show(
    image: &Image,
    options: &Machine,
    expect: Option<String>,
    feed: bool,
    boot: Option<Duration>,
    default: Flavour,
) -> Result<ExitCode> {
    let terminal = tty::is_terminal() && expect.is_none();
    progress(if terminal {
        "booting; leave with Ctrl-A x"
    } else {
        "booting"
    });
    let machine = image.boot(&*options.simulator(default))?;
    let how = if terminal {
        run::interactive(machine, image.symbols(), boot)?
    } else {
        let options = Unattended {
            silence: options.silence(),
            expect,
            feed,
        };
        let input = BufReader::new(io::stdin());
        Some(run::unattended(
            machine,
            image.symbols(),
            &options,
            input,
            &mut io::stdout(),
        )?)
    };
    match how {
        None => eprintln!("\nxtask: left"),
        Some(PowerOff::Success) => {}
        Some(how @ PowerOff::Failure) => bail!("the machine {how}"),
        Some(how) => bail!("the machine stopped by itself: {how}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(mut options: Exec, output: &mut dyn io::Write) -> Result<i32> {
    let mut line = options.line.take().unwrap_or_default();
    if line.contains(char::is_control) {
        bail!("a command is one line without control characters");
    }
    if let Some(host) = options.image.take() {
        let (addition, contained) = exec::contained(&host, &line);
        options.system.add.push(addition);
        line = contained;
    }
    let builder = options.machine.builder(Flavour::Release)?;
    let files = [(EXEC_FILE, format!("{line}\n").into_bytes())];
    let image = options.system.pack(&builder, "exec", &files)?;
    progress("booting");
    let machine = image.boot(&*options.machine.simulator(Flavour::Release))?;
    let silence = options.machine.silence();
    Ok(exec::capture(
        machine,
        image.symbols(),
        silence,
        output,
        &mut io::stderr(),
    )?)
}

fn graph(options: Graph) -> Result<()> {
    let output = options
        .output
        .unwrap_or_else(|| root().join("target/graph.svg"));
    let Graph {
        system,
        machine,
        with,
        ..
    } = options;
    let line = match with {
        Some(first) => format!("{first}; graph"),
        None => "graph".into(),
    };
    let mut dot = Vec::new();
    let status = exec(
        Exec {
            line: Some(line),
            image: None,
            system,
            machine,
        },
        &mut dot,
    )?;
    if status != 0 {
        bail!("the monitor's `graph` failed with status {status}");
    }
    graph::draw(&dot, &output)?;
    println!("{}", output.display());
    Ok(())
}

fn bench(options: &Bench) -> Result<()> {
    let builder = Builder::new(Flavour::Release)?;
    let wanted = |what| options.only.is_none() && options.what.is_none_or(|only| only == what);
    let core = if wanted(Measured::Core) {
        bench_core(&builder, options)
    } else {
        Ok(())
    };
    // A target that is missed in one keeps nobody from the other.
    let posix = if wanted(Measured::Posix) || options.only.is_some() {
        bench_posix(&builder, options.only.as_deref())
    } else {
        Ok(())
    };
    let containers = if wanted(Measured::Containers) {
        bench_containers(&builder)
    } else {
        Ok(())
    };
    let virtines = if wanted(Measured::Virtual) {
        bench_virtual(&builder)
    } else {
        Ok(())
    };
    core.and(posix).and(containers).and(virtines)
}

/// Boots an image once to count instructions and once for the time: what `collect` makes of each run.
fn measure<T>(image: &Image, collect: impl Fn(xtask::sim::Machine) -> Result<T>) -> Result<(T, T)> {
    let run = |count_instructions, what: &str| {
        progress(what);
        collect(image.boot(&Qemu {
            count_instructions,
            ..Qemu::default()
        })?)
    };
    Ok((
        run(Some(0), "counting instructions")?,
        run(None, "measuring time")?,
    ))
}

/// Shows a report and puts it in the place of the one before, whose notes stay.
fn publish(report: &str, path: &str) -> Result<()> {
    println!("{report}");
    let path = root().join(path);
    let before = fs::read_to_string(&path).ok();
    fs::write(&path, bench::with_notes(report, before.as_deref()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn bench_core(builder: &Builder, options: &Bench) -> Result<()> {
    let description = options
        .system
        .clone()
        .unwrap_or_else(|| root().join("tests/bench.system"));
    let recipe = Recipe {
        name: "bench",
        description: &description,
        search: &[],
        additions: &[],
        files: &[],
        tests: bench::PROGRAMS,
    };
    let image = pack::system(builder, &recipe)?;
    let (counted, timed) = measure(&image, |machine| {
        Ok(bench::collect(machine, &mut io::stderr())?)
    })?;
    let (report, result) = bench::report(bench::AREAS, &counted, &timed);
    publish(&report, bench::REPORT)?;
    result
}

fn bench_containers(builder: &Builder) -> Result<()> {
    use xtask::bench::containers;
    let scratch = root().join(format!("target/bench-containers.{}", std::process::id()));
    let image = containers::additions(&scratch).and_then(|additions| {
        let recipe = Recipe {
            name: "bench-containers",
            description: &root().join(containers::SYSTEM),
            search: &[],
            additions: &additions,
            files: &[(containers::CASES.0, containers::CASES.1.as_bytes().to_vec())],
            tests: &[],
        };
        pack::system(builder, &recipe)
    });
    // It is in the image, or of no use.
    let _ = fs::remove_dir_all(&scratch);
    let (counted, timed) = measure(&image?, |machine| {
        Ok(bench::collect(machine, &mut io::stderr())?)
    })?;
    let (report, result) = bench::report(containers::AREAS, &counted, &timed);
    publish(&containers::titled(&report), containers::REPORT)?;
    result
}

fn bench_virtual(builder: &Builder) -> Result<()> {
    use xtask::bench::virtines;
    let files = [virtines::image()?];
    let run = |builder: &Builder, simulator: &dyn Simulator| {
        let recipe = Recipe {
            name: "bench-virtual",
            description: &root().join(virtines::SYSTEM),
            search: &[],
            additions: &[],
            files: &files,
            tests: virtines::PROGRAMS,
        };
        let image = pack::system(builder, &recipe)?;
        Ok::<_, anyhow::Error>(bench::collect(image.boot(simulator)?, &mut io::stderr())?)
    };
    progress("counting instructions in address spaces");
    let spaces = run(
        builder,
        &Qemu {
            count_instructions: Some(0),
            ..Qemu::default()
        },
    )?;
    progress("counting instructions on virtual processors");
    let processors = run(&Builder::new(Flavour::Vtx)?, &Bochs::default())?;
    let (report, result) = virtines::report(&processors, &spaces);
    publish(&report, virtines::REPORT)?;
    result
}

fn bench_posix(builder: &Builder, only: Option<&str>) -> Result<()> {
    use xtask::bench::posix;
    let recipe = Recipe {
        name: "bench-posix",
        description: &root().join("system.xml"),
        search: &[],
        additions: &posix::additions()?,
        files: &[(EXEC_FILE, (posix::line(only) + "\n").into_bytes())],
        tests: posix::PROGRAMS,
    };
    let image = pack::system(builder, &recipe)?;
    let (counted, timed) = measure(&image, |machine| posix::collect(machine, &mut io::stderr()))?;
    let (report, result) = posix::report(&counted, &timed);
    match only {
        Some(_) => {
            println!("{report}");
            Ok(())
        }
        None => publish(&report, posix::REPORT).and(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["xtask"].into_iter().chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_make_says_is_understood() {
        for line in [
            "deps",
            "check",
            "test",
            "test -- name",
            "bench",
            "bench posix --only getppid",
            "bench containers",
            "conform process",
            "conform task --program task-factory --add a=b",
            "bench virtual",
            "graph",
            "graph --with a;b --output c.svg",
            "run --flavour debug --system a.system --add a=b --add c=d",
            "run --sim bochs",
            "exec --add a=b -- --list",
            "boot --root-task a/Cargo.toml --expect TEST_PASS",
            "kernel --flavour debug",
            "symbolize 0x201000 a.elf",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn simulator_and_flavour_choose_each_other() {
        let flavour = |line| match parse(line).unwrap().command {
            Command::Run(run) => run.machine.flavour(Flavour::Release),
            command => panic!("{command:?}"),
        };
        assert_eq!(flavour("run"), Flavour::Release);
        assert_eq!(flavour("run --sim qemu"), Flavour::Release);
        assert_eq!(flavour("run --sim bochs"), Flavour::Vtx);
        assert_eq!(flavour("run --sim bochs --flavour debug"), Flavour::Debug);
    }

    #[test]
    fn a_mistake_on_the_command_line_is_told_in_its_own_words() {
        let error = |line| parse(line).unwrap_err().to_string();
        assert!(error("run --flavour fast").contains("there are release, debug, vtx"));
        assert!(error("run --add a=../b").contains("`..` is not allowed"));
        assert!(error("run --add a").contains("HOST=GUEST"));
        assert!(error("symbolize xyz a.elf").contains("xyz"));
    }
}
