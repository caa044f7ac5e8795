// SPDX-License-Identifier: BSD-2-Clause
//! The suites of tests that run in guests.
//!
//! A suite is a system (or a root task alone) whose program runs cases one after another and says of
//! each how it went, in the frames of `xos_image::console`; the machine then powers off. One boot
//! serves all of a suite's cases, and each is a test of its own for whoever runs them: `cargo test
//! --package xos-tests --test guest`, which `make test` does.
//!
//! To add a case, add it to the guest program and to its suite's list. The list lies beside the
//! guest program, where both sides read it: a file `cases.rs` that says
//! `cases! { first_case, second_case }`. The guest gives the macro `cases!` the meaning "a table of
//! names and functions", this crate gives it "a list of names", and so no case can be in one of the
//! two alone. A case that is listed and not reported fails, and so does one that is reported and
//! not listed.
//!
//! To add a suite, add a line to [`SUITES`] or [`VTX_SUITES`]; its programs lie in `tests/guests/`.

pub mod decoders;
pub mod images;
/// What a guest and its monitor agree on, of which a kernel made here needs some.
#[allow(dead_code)]
#[path = "../../factories/vm/src/interface.rs"]
mod interface;

use std::time::Duration;

use xos_protocol::manager::{ObjectKind, Op};
use xtask::conform;

/// A file of a system's tree, by its name and what makes it.
pub type Made = (&'static str, fn() -> Vec<u8>);

/// What a suite boots.
#[derive(Clone, Copy, Debug)]
pub enum Boots {
    /// A system description, its path from the workspace's folder.
    System(&'static str),
    /// The same with containers in its file tree.
    SystemWith(&'static str, &'static [Contained]),
    /// The same with the programs of a page of the documentation.
    SystemWithPage(&'static str, &'static Page),
    /// A program of the workspace as root task, without a system.
    RootTask(&'static str),
}

/// A container: where it comes from, and its name.
#[derive(Clone, Copy, Debug)]
pub enum Contained {
    /// A bundle, its path from the workspace's folder.
    Bundle(&'static str, &'static str),
    /// Debian's busybox, with this `config.json`, its path from the workspace's folder.
    Busybox(&'static str, &'static str),
    /// The same with the program that means harm (`tests/linux/hostile`), `/bin/hostile`.
    Hostile(&'static str, &'static str),
    /// An image that umoci has made of programs of Debian's and skopeo has copied to an archive.
    Image(&'static str),
}

/// One boot and what is learned from it.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The first part of the names of its cases.
    pub name: &'static str,
    /// What it boots.
    pub boots: Boots,
    /// Lists of its cases, in the order in which they run.
    pub cases: &'static [&'static [&'static str]],
    /// Programs of `tests/guests/` that the file tree of its system holds, `bin/NAME`, beside those of
    /// `apps/`.
    pub programs: &'static [&'static str],
    /// Files of that tree, and what is in them.
    pub files: &'static [(&'static str, &'static str)],
    /// The same, of files that are no text: what makes them.
    pub made: &'static [Made],
    /// How long the boot may take in all.
    pub limit: Duration,
    /// Run with an exact virtual clock (slower, but every run is the same), on which each instruction takes 2
    /// to this power nanoseconds.
    pub count_instructions: Option<u8>,
}

impl Suite {
    /// Its cases, in the order in which they run.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.cases.iter().copied().flatten().copied()
    }
}

/// Makes a file of cases a list of their names.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$(stringify!($name)),*] };
}

/// The conformance suite, run against the factory that is registered under this name: by a boot domain, or
/// by a program, of the workspace or of a page of the documentation.
macro_rules! conformance {
    ($factory:literal) => {
        conformance!($factory, Boots::System(conform::SYSTEM), [])
    };
    ($factory:literal, $program:literal) => {
        conformance!(
            $factory,
            Boots::System(conform::SYSTEM),
            [(conform::PROGRAM_FILE, $program)]
        )
    };
    ($factory:literal, $program:literal, $page:expr) => {
        conformance!(
            $factory,
            Boots::SystemWithPage(conform::SYSTEM, $page),
            [(conform::PROGRAM_FILE, $program)]
        )
    };
    ($factory:literal, $boots:expr, [$($file:expr)?]) => {
        Suite {
            name: concat!("conformance_", $factory),
            boots: $boots,
            cases: &[conform::CASES],
            programs: &[conform::PROBE],
            files: &[(conform::FACTORY_FILE, $factory) $(, $file)?],
            made: &[],
            limit: conform::LIMIT,
            count_instructions: None,
        }
    };
}

/// All suites.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "bindings",
        boots: Boots::RootTask("test-bindings"),
        cases: &[include!("../guests/bindings/src/cases.rs")],
        programs: &[],
        files: &[],
        made: &[],
        limit: Duration::from_secs(60),
        count_instructions: None,
    },
    Suite {
        name: "drivers",
        boots: Boots::System("tests/guests/drivers/drivers.system"),
        cases: &[include!("../guests/drivers/src/cases.rs")],
        programs: &[],
        files: &[],
        made: &[],
        limit: Duration::from_secs(120),
        count_instructions: Some(0),
    },
    Suite {
        name: "links",
        boots: Boots::System("tests/guests/links/links.system"),
        cases: &[include!("../guests/links/src/cases.rs")],
        programs: &[
            "test-links-app",
            "test-links-node",
            "test-links-factory",
            "test-lwc",
        ],
        files: &[],
        made: &[],
        limit: Duration::from_secs(240),
        count_instructions: None,
    },
    Suite {
        name: "system",
        boots: Boots::System("tests/guests/system/system.system"),
        cases: &[
            include!("../guests/system/src/cases_inside.rs"),
            include!("../guests/system/src/cases_messages.rs"),
            include!("../guests/system/src/cases.rs"),
        ],
        programs: &["test-probe"],
        // What is no program: text, nothing, and the beginning of what could be one.
        files: &[
            ("etc/text", "not a program\n"),
            ("etc/empty", ""),
            (
                "etc/truncated",
                "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0",
            ),
        ],
        made: images::IMAGES,
        limit: Duration::from_secs(400),
        count_instructions: None,
    },
    Suite {
        name: "containers",
        boots: Boots::SystemWith(
            "tests/guests/containers/containers.system",
            &[
                Contained::Bundle("tests/guests/containers/bundle", "box"),
                Contained::Busybox("tests/guests/containers/busybox.json", "busybox"),
                Contained::Busybox("tests/guests/containers/locked.json", "locked"),
                Contained::Busybox("tests/guests/containers/regions.json", "regions"),
                Contained::Image("image"),
            ],
        ),
        cases: &[include!("../guests/containers/src/cases.rs")],
        programs: &["stand-in"],
        files: &[],
        made: &[],
        limit: Duration::from_secs(400),
        count_instructions: None,
    },
    // What that of the others is for containers, whose programs are Linux's.
    Suite {
        name: "conformance_container",
        boots: Boots::SystemWith(
            "tests/guests/containers/containers.system",
            &[Contained::Hostile(
                "tests/guests/containers/hostile.json",
                "hostile",
            )],
        ),
        cases: &[include!("../guests/containers/src/cases_claims.rs")],
        programs: &[],
        files: &[("etc/cases", "claims")],
        made: &[],
        limit: Duration::from_secs(900),
        count_instructions: None,
    },
    // Whether that catches what it is there to catch.
    Suite {
        name: "container_mutants",
        boots: Boots::SystemWith(
            "tests/guests/containers/mutants.system",
            &[Contained::Hostile(
                "tests/guests/containers/hostile.json",
                "hostile",
            )],
        ),
        cases: &[include!("../guests/containers/src/cases_mutants.rs")],
        programs: &["stand-in"],
        files: &[("etc/cases", "mutants")],
        made: &[],
        limit: Duration::from_secs(1800),
        count_instructions: None,
    },
    Suite {
        name: "crowd",
        boots: Boots::SystemWith(
            "tests/guests/containers/containers.system",
            &[Contained::Busybox(
                "tests/guests/containers/locked.json",
                "locked",
            )],
        ),
        cases: &[include!("../guests/containers/src/cases_crowd.rs")],
        programs: &[],
        files: &[("etc/cases", "crowd")],
        made: &[],
        limit: Duration::from_secs(400),
        count_instructions: None,
    },
    Suite {
        name: "supervision",
        boots: Boots::System("tests/guests/domains/supervision.system"),
        cases: &[include!("../guests/domains/supervision.rs")],
        programs: &[],
        files: &[],
        made: &[],
        limit: Duration::from_secs(120),
        count_instructions: None,
    },
    Suite {
        name: "handover",
        boots: Boots::System("tests/guests/domains/handover.system"),
        cases: &[include!("../guests/domains/handover.rs")],
        programs: &[],
        files: &[],
        made: &[],
        limit: Duration::from_secs(60),
        count_instructions: None,
    },
    Suite {
        name: "virtines",
        boots: Boots::System("tests/guests/virtines/virtines.system"),
        cases: &[include!("../guests/virtines/src/cases.rs")],
        programs: &["test-virtines-app", "test-virtine"],
        files: &[
            ("etc/text", "not a program\n"),
            ("etc/empty", ""),
            (
                "etc/truncated",
                "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0",
            ),
        ],
        made: &[],
        limit: Duration::from_secs(240),
        count_instructions: None,
    },
    // A line for each factory.
    conformance!("process"),
    conformance!("thread"),
    conformance!("lwc", "lwc-factory"),
    conformance!("task", "task-factory", &PAGES[0]),
    Suite {
        name: "restarts",
        boots: Boots::System("tests/guests/conformance/restarts.system"),
        cases: &[include!("../guests/conformance/restarts.rs")],
        programs: &["conformance-probe"],
        files: &[],
        made: &[],
        limit: Duration::from_secs(120),
        count_instructions: None,
    },
    Suite {
        name: "steps",
        boots: Boots::System("tests/guests/steps/steps.system"),
        cases: &[include!("../guests/steps/cases.rs")],
        programs: &["conformance-probe"],
        files: &[],
        made: &[],
        limit: Duration::from_secs(1200),
        // So that a minute, after which a domain is restarted again, is soon over.
        count_instructions: Some(9),
    },
    Suite {
        name: "mutants",
        boots: Boots::System("tests/guests/mutants/mutants.system"),
        cases: &[include!("../guests/mutants/cases.rs")],
        programs: &["conformance-probe"],
        files: &[],
        made: &[],
        limit: Duration::from_secs(900),
        count_instructions: None,
    },
];

/// Suites that need virtual processors: they run on the vtx kernel, in a simulator that has VT-x.
pub const VTX_SUITES: &[Suite] = &[
    Suite {
        name: "vtx",
        boots: Boots::RootTask("test-vtx"),
        cases: &[include!("../guests/vtx/src/cases.rs")],
        programs: &[],
        files: &[],
        made: &[],
        limit: Duration::from_secs(600),
        count_instructions: None,
    },
    Suite {
        name: "virtines_vcpu",
        boots: Boots::System("tests/guests/virtines/vcpu.system"),
        cases: &[include!("../guests/virtines/src/cases_vcpu.rs")],
        programs: &[
            "test-virtines-app",
            "test-virtine",
            "bench-call",
            "forgets-pages",
            "forgets-registers",
        ],
        files: &[
            ("etc/text", "not a program\n"),
            ("etc/empty", ""),
            (
                "etc/truncated",
                "\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0",
            ),
        ],
        made: &[
            ("vcpu/test-virtine", || {
                include_bytes!(concat!(env!("OUT_DIR"), "/test-virtine")).to_vec()
            }),
            ("vcpu/bench-virtine", || {
                include_bytes!(concat!(env!("OUT_DIR"), "/bench-virtine")).to_vec()
            }),
        ],
        limit: Duration::from_secs(600),
        count_instructions: None,
    },
    Suite {
        name: "links_vm",
        boots: Boots::System("tests/guests/links/guests.system"),
        cases: &[include!("../guests/links/src/guests.rs")],
        programs: &["test-links-app"],
        files: &[],
        made: &[],
        limit: Duration::from_secs(600),
        count_instructions: None,
    },
    Suite {
        name: "vm",
        boots: Boots::System("tests/guests/vm/vm.system"),
        cases: &[
            include!("../guests/vm/src/cases_claims.rs"),
            include!("../guests/vm/src/cases.rs"),
        ],
        programs: &["step-vm-monitor"],
        files: &[("etc/text", "not a kernel\n")],
        made: &[("etc/small", small_kernel)],
        limit: Duration::from_secs(1200),
        count_instructions: None,
    },
    // Whether what that says of the contract catches what it is there to catch.
    Suite {
        name: "vm_mutants",
        boots: Boots::System("tests/guests/vm/mutants.system"),
        cases: &[include!("../guests/vm/src/cases_mutants.rs")],
        programs: &["gives-calls", "gives-channels"],
        files: &[],
        made: &[],
        limit: Duration::from_secs(600),
        count_instructions: None,
    },
];

/// A kernel whose whole life is a few exits of each kind, so that each step of its monitor can be the last: by the
/// addresses in its Multiboot header, since it is no ELF file.
fn small_kernel() -> Vec<u8> {
    const LOAD: u32 = 0x10_0000;
    const CODE: u32 = LOAD + 0x20;
    /// Where text and message are, behind the code.
    const TEXT: u32 = LOAD + 0x100;
    const MESSAGE: u32 = LOAD + 0x140;
    const END: u32 = LOAD + 0x200;
    const MAGIC: u32 = 0x1bad_b002;
    /// The addresses are in the header.
    const FLAGS: u32 = 1 << 16;
    let words = [
        MAGIC,
        FLAGS,
        MAGIC.wrapping_add(FLAGS).wrapping_neg(),
        LOAD,
        LOAD,
        END,
        END,
        CODE,
    ];
    let mut image: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let mut call = |number: u32, first: u32, second: u32| {
        // mov eax, number; mov ebx, first; mov ecx, second; vmcall
        for (opcode, value) in [(0xb8, number), (0xbb, first), (0xb9, second)] {
            image.push(opcode);
            image.extend(value.to_le_bytes());
        }
        image.extend([0x0f, 0x01, 0xc1]);
    };
    call(interface::CALL_WRITE, TEXT, 6);
    call(interface::CALL_CALL, interface::MANAGER_CHANNEL, MESSAGE);
    call(interface::CALL_RECEIVE, 0, MESSAGE);
    // in al, 0x71; cpuid
    image.extend([0xe4, 0x71, 0x0f, 0xa2]);
    let mut end = Vec::from([0xb8]);
    end.extend(interface::CALL_POWER_OFF.to_le_bytes());
    end.extend([0xbb, 9, 0, 0, 0, 0x0f, 0x01, 0xc1]);
    image.extend(end);
    image.resize((TEXT - LOAD) as usize, 0);
    image.extend(b"steps\n");
    image.resize((MESSAGE - LOAD) as usize, 0);
    let ask = Op::Make.label();
    let words = [ask, ObjectKind::Endpoint as u64, interface::ENDPOINT.into()];
    image.extend(words.into_iter().flat_map(u64::to_le_bytes));
    image.resize((END - LOAD) as usize, 0);
    image
}

/// A system that fails as a whole, which is what is tested.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    /// What the test is called.
    pub name: &'static str,
    /// The system description, its path from the workspace's folder.
    pub description: &'static str,
    /// What it prints before the machine powers off with a failure, in this order.
    pub prints: &'static [&'static str],
    /// How long nothing may be printed.
    pub silence: Duration,
}

/// All that fail.
pub const FAILING: &[Failing] = &[
    Failing {
        name: "root_task::the_managers_crash_is_reported_and_ends_the_machine",
        description: "tests/guests/domains/doomed.system",
        prints: &[
            "crash: ic_manager: panic",
            ", rip=0x",
            ", rsp=0x7fff",
            "rax=786f735f70616e63",
            "panicked at ",
            "last words",
            "on two lines",
        ],
        silence: Duration::from_secs(30),
    },
    Failing {
        name: "root_task::a_system_that_cannot_be_built_is_refused_with_the_reason",
        description: "tests/guests/domains/impossible.system",
        prints: &["root-task: region apic: physical address 0xfee00000 is not there"],
        silence: Duration::from_secs(30),
    },
];

/// Something that a user brings, written to the rust-sel4 crates: built against ours and booted on
/// the debug kernel, which prints for it.
#[derive(Clone, Copy, Debug)]
pub struct Brought {
    /// What the test is called.
    pub name: &'static str,
    /// The manifest of its programs, its path from the workspace's folder.
    pub manifest: &'static str,
    /// The system description of its domains; without one, its program is the root task.
    pub description: Option<&'static str>,
    /// What it prints at its end.
    pub prints: &'static str,
    /// How long nothing may be printed.
    pub silence: Duration,
}

/// All that is brought.
pub const BROUGHT: &[Brought] = &[
    Brought {
        name: "brought::a_root_task_written_to_upstream_crates",
        manifest: "apps/upstream-root-task/Cargo.toml",
        description: None,
        prints: "TEST_PASS",
        silence: Duration::from_secs(30),
    },
    Brought {
        name: "brought::protection_domains_written_to_upstream_crates",
        manifest: "apps/upstream-microkit/Cargo.toml",
        description: Some("apps/upstream-microkit/upper.system"),
        prints: "TEST_PASS",
        silence: Duration::from_secs(30),
    },
];

/// A command of the monitor's in the system that users boot, as `make exec` runs it.
#[derive(Clone, Copy, Debug)]
pub struct Executed {
    /// What the test is called.
    pub name: &'static str,
    /// The command.
    pub line: &'static str,
    /// A file of the tests that is added, and its name in the guest.
    pub addition: Option<(&'static str, &'static str)>,
    /// Its output, all of it.
    pub output: &'static str,
    /// Its status.
    pub status: i32,
    /// What is said about it, in the log.
    pub log: &'static str,
}

/// All of these.
pub const EXECUTED: &[Executed] = &[
    Executed {
        name: "exec::what_the_supervisor_reports_is_no_output",
        // A boot domain that is brought down, and a program after it: it has been started again.
        line: "kill 4; sleep 500; run process hello again",
        addition: None,
        output: "hello again\n",
        status: 0,
        log: "crash: process_factory: ",
    },
    Executed {
        name: "exec::a_commands_output_is_alone_and_its_status_is_the_programs",
        line: "run process NAME=value hello --exit 7 a 'b c'",
        addition: None,
        output: "hello a b c\nNAME=value\n",
        status: 7,
        log: "hello ended with code 7",
    },
    Executed {
        name: "exec::a_crash_is_told_with_the_place_in_the_source",
        line: "run process crash illegal",
        addition: None,
        output: "",
        status: 139,
        log: "crash: crash at 0x",
    },
    Executed {
        name: "exec::clones_have_the_table_that_was_prepared_once",
        line: "run process clones 3",
        addition: None,
        output: "82025 primes below 1048576, counted by 3 clones with one table\n",
        status: 0,
        log: "",
    },
    Executed {
        name: "exec::a_program_that_is_added_is_run",
        line: "run process mine x",
        addition: Some(("hello", "bin/mine")),
        output: "hello x\n",
        status: 0,
        log: "",
    },
    Executed {
        name: "exec::a_file_that_is_no_program_is_refused",
        line: "run process etc/text x",
        addition: Some(("hello.d", "etc/text")),
        output: "",
        status: 1,
        log: "cannot run etc/text by `process`: the image is not a well-formed",
    },
    Executed {
        name: "exec::a_virtual_machine_is_refused_where_there_are_no_virtual_processors",
        line: "run vm guest say hello",
        addition: None,
        output: "",
        status: 1,
        log: "cannot run guest by `vm`: ",
    },
    Executed {
        name: "exec::a_command_that_there_is_not_is_not_found",
        line: "frobnicate",
        addition: None,
        output: "no program `frobnicate` in the file tree\n",
        status: 127,
        log: "frobnicate ended with code 127",
    },
    Executed {
        name: "exec::strangers_messages_are_parsed_in_a_call_of_its_own_each",
        line: "run process parse /a '/b c' /d",
        addition: None,
        output: "GET /a: 1 headers, 0 bytes of body\nno request: invalid HTTP version\n\
                 GET /d: 1 headers, 0 bytes of body\n",
        status: 0,
        log: "",
    },
    Executed {
        name: "exec::a_containers_output_and_status_are_those_of_the_line",
        line: "container run --rm busybox sh -c 'echo in $(hostname); exit 3'",
        addition: None,
        output: "in busybox\n",
        status: 3,
        log: "busybox-1 ended with status 3",
    },
    Executed {
        name: "exec::a_container_is_looked_after_in_dockers_words",
        line: "container run -d --name one busybox sleep 1000; container exec one sh -c 'echo $PPID'; container kill one; \
               container wait one; container rm one; container list",
        addition: None,
        output: "one\n0\none\n137\none\nNAME  ID  IMAGE  STATUS  COMMAND\n",
        status: 0,
        log: "",
    },
    Executed {
        name: "linux::debians_busybox_runs_a_pipeline_and_its_status_is_the_shells",
        line: "sh -c 'echo hello | cat; ls -1 -d /bin /tmp; exit 3'",
        addition: None,
        output: "hello\n/bin\n/tmp\n",
        status: 3,
        log: "sh ended with code 3",
    },
    Executed {
        name: "linux::debians_bash_runs_loops_handlers_and_jobs",
        line: "bash -c 'for i in {1..3}; do echo $i; done | sort -r; trap \"echo caught\" USR1; kill -USR1 $$; \
               sleep 0.1 & wait $!; echo $?; ulimit -n; [ $(cat /proc/self/comm) = cat ] && echo $BASHPID'",
        addition: None,
        output: "3\n2\n1\ncaught\n0\n1024\n1\n",
        status: 0,
        log: "",
    },
    Executed {
        name: "linux::a_program_that_dies_by_a_signal_has_the_status_that_shells_give_it",
        line: "sh -c \"sh -c 'kill -SEGV \\$\\$'; exit \\$?\"",
        addition: None,
        output: "Segmentation fault (core dumped)\n",
        status: 139,
        log: "sh ended with code 139",
    },
];

/// The same on the kernel with virtual processors, in a simulator that has VT-x: slow, so few.
pub const VTX_EXECUTED: &[Executed] = &[
    Executed {
        name: "vm::a_virtual_machine_runs_in_the_system_that_users_boot",
        line: "run vm guest say hello from a guest",
        addition: None,
        output: "guest: up, with 16384 KiB of memory\nhello from a guest\n",
        status: 0,
        log: "xOS on seL4",
    },
    // The same program as elsewhere. That it calls another parser shows in what that says.
    Executed {
        name: "virtines_vcpu::strangers_messages_are_parsed_in_a_call_of_its_own_each",
        line: "run process parse /a '/b c' /d",
        addition: None,
        output: "GET /a: 1 headers, 0 bytes of body\nno request\nGET /d: 1 headers, 0 bytes of body\n",
        status: 0,
        log: "",
    },
];

/// Lines that are typed at the monitor's prompt in the system that users boot, after the demonstration.
#[derive(Clone, Copy, Debug)]
pub struct Typed {
    /// What the test is called.
    pub name: &'static str,
    /// The lines.
    pub lines: &'static str,
    /// What is printed, in this order, before the machine powers off with success.
    pub prints: &'static [&'static str],
}

/// All of these.
pub const TYPED: &[Typed] = &[
    Typed {
        name: "typed::the_demonstration_runs_and_then_lines_from_the_terminal",
        lines: "run process hello typed\nfactories\nrun process crash spin &\nlist\n",
        prints: &[
            "hello from a process",
            "hello from a thread",
            "9592 primes below 100000",
            "killed; all went as it should",
            "hello from busybox, whose processes are",
            "each in an address space of its own",
            "GET /still/here: 1 headers, 0 bytes of body",
            "crash crashed: write at 0x0 (instruction at 0x",
            "crash: crash at 0x",
            "BEFORE",
            "hello typed",
            "own arena",
            "[1] crash is isolation context",
            "process  crash",
        ],
    },
    // A server of Linux programs that ends takes its programs with it, and nothing else; one that crashes is
    // reported with the place; the next one is as new.
    Typed {
        name: "typed::a_server_of_linux_programs_crashes_is_reported_and_the_next_one_is_as_new",
        lines: "sh -c 'echo first > /tmp/x; sleep 99 & sleep 1; echo $(ic list | grep -c linux) programs; exit 4'\n\
                run process legacy-posix 4096 1048576 sh\n\
                sh -c 'ls /tmp/x; echo $(ic list | grep -c linux) programs; exit 3'\n\
                run process hello still here\n",
        prints: &[
            "6 programs\n",
            "ended with code 4",
            "legacy-posix crashed: read at 0x1000",
            "/tmp/x: No such file or directory",
            "5 programs\n",
            "ended with code 3",
            "hello still here",
        ],
    },
];

/// The same on the kernel with virtual processors.
pub const VTX_TYPED: &[Typed] = &[Typed {
    name: "typed::the_demonstration_has_virtines_and_a_machine_on_virtual_processors",
    lines: "run vm guest 'info; say hello'\nrun -m 34M vm guest say more\n",
    prints: &[
        "hello from a process",
        "each on a virtual processor",
        "GET /index.html: 1 headers, 0 bytes of body",
        "refused: the function crashed",
        "refused: the function ran for longer than its time limit allows",
        "refused: the function touched more memory than its limit allows",
        "refused: the function made hypercall 7, which it was not granted",
        "GET /still/here: 1 headers, 0 bytes of body",
        "guest: up, with 16384 KiB of memory",
        "hello from a kernel of its own",
        "BEFORE",
        "memory 16384 KiB, hypervisor xOSonseL4VM",
        "guest: up, with 32768 KiB of memory",
    ],
}];

/// A page of the documentation with programs in it, which are built and run as it says.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// What the test is called.
    pub name: &'static str,
    /// Its path from the workspace's folder.
    pub path: &'static str,
}

impl Page {
    /// What a folder is called that is its own.
    pub fn folder(&self) -> String {
        self.name.replace("::", "-")
    }
}

/// All of these.
pub const PAGES: &[Page] = &[Page {
    name: "docs::a_factory_is_written_by_doing_what_the_page_says",
    path: "docs/writing-a-factory.md",
}];

/// Tests that do not pass yet, by the beginning of their names, and what is known of each. They are built, and shown as
/// ignored, so that nobody takes them for passed; `--include-ignored` runs them.
pub const PENDING: &[(&str, &str)] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_of_suites_and_cases_are_unique() {
        let mut names = BTreeSet::new();
        for suite in SUITES.iter().chain(VTX_SUITES) {
            assert!(names.insert(suite.name.to_owned()), "{}", suite.name);
            for case in suite.cases() {
                // What a frame carries of a name.
                assert!(case.len() <= 64, "{case}");
                assert!(names.insert(format!("{}::{case}", suite.name)), "{case}");
            }
        }
    }
}
