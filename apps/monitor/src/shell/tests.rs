// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::command::LINUX;
use proptest::prelude::*;
use xos_container_line::{Containers, Cost, Input, Piece, Run};
use xos_protocol::container::Stream;
use xos_protocol::contract::*;
use xos_protocol::manager::{Rights, ServiceInfo};
use xos_protocol::{Contract, Fault, IcState, Name, RegionId, Result};

/// A system in which programs named by their ends end so.
#[derive(Default)]
struct Fake {
    screen: String,
    input: Vec<&'static str>,
    started: Vec<Start>,
    destroyed: Vec<IcId>,
    closed: Vec<u32>,
    unshared: Vec<(RegionId, IcId)>,
    power: Option<bool>,
    /// Programs in the background run until this is set.
    over: bool,
    /// Pauses that the factory takes to register, and pauses that there were.
    late: u32,
    pauses: u32,
    /// Whether Linux programs can be started.
    linux: bool,
    processors: bool,
    /// Containers by number: what they print, how they ended, signals that they got.
    contained: Vec<(&'static str, Option<u8>, Vec<u8>)>,
    removed: Vec<usize>,
    /// What is typed, a piece at a time; what containers were given; as what it was taken; whether there was a terminal.
    typed: Vec<Vec<u8>>,
    given: Vec<(u32, Vec<u8>)>,
    inputs: Vec<Option<Input>>,
    attached: Vec<bool>,
    /// Whether what was given before is still on its way.
    busy: bool,
    /// Interrupts that will have been typed.
    interrupts: u32,
}

fn id(serial: u64) -> IcId {
    IcId::new(serial, 1).unwrap()
}

fn ic(serial: u64, kind: &str, name: &str, payer: IcId) -> IcInfo {
    IcInfo {
        id: id(serial),
        creator: payer,
        payer,
        within: IcId::NONE,
        kind: Name::new(kind),
        name: Name::new(name),
        state: IcState::Running,
        arena: 20,
        quota: 2048,
        spent: 40,
    }
}

impl System for Fake {
    type Job = String;

    fn print(&mut self, text: &str) {
        self.screen += text;
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.input.is_empty() {
            return Ok(0);
        }
        let text = self.input.remove(0);
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        Ok(text.len())
    }

    fn ics(&mut self) -> Result<Vec<IcInfo>> {
        Ok(vec![
            ic(7, "domain", "monitor", IcId::NONE),
            ic(12, "process", "hello", id(7)),
        ])
    }

    fn services(&mut self) -> Result<Vec<ServiceInfo>> {
        if self.pauses < self.late {
            return Ok(Vec::new());
        }
        Ok(vec![ServiceInfo {
            name: Name::new("process"),
            kind: ServiceKind::Factory,
            server: id(7),
        }])
    }

    fn edges(&mut self) -> Result<Vec<Edge>> {
        let edge = |kind| Edge {
            from: id(7),
            to: id(12),
            kind,
        };
        let region = RegionId::new(3, 0).unwrap();
        Ok(vec![
            edge(EdgeKind::Session(0)),
            edge(EdgeKind::Session(1)),
            edge(EdgeKind::Share(region, Rights::R)),
        ])
    }

    fn has_linux(&self) -> bool {
        self.linux
    }

    fn has_container(&self, name: &str) -> bool {
        name == "busybox"
    }

    fn has_virtual_processors(&self) -> bool {
        self.processors
    }

    fn free(&mut self) -> Result<Free> {
        Ok(Free {
            bytes: 123_456_789,
            slots: 4321,
            ics: 2,
            sessions: 5,
        })
    }

    fn contract(&mut self, _: &str) -> Result<Contract> {
        Ok(Contract {
            memory: Memory::Private,
            capabilities: Capabilities::Own,
            names: Names::None,
            kernel_interface: KernelInterface::Sel4,
            quota: Quota::Own,
            cpu: Cpu::CreatorsPriority,
            fault_containment: FaultContainment::Itself,
            teardown: Teardown::ManagerAlone,
            channels: Channels::Granted,
        })
    }

    fn start(&mut self, start: &Start) -> Result<(IcId, String)> {
        let is_there = ["process", MACHINES].contains(&&*start.factory)
            || self.linux && start.factory == LINUX;
        if !is_there || self.pauses < self.late {
            return Err(Error::NotFound);
        }
        if start.image == "nosuch" {
            return Err(Error::NoImage);
        }
        self.started.push(start.clone());
        Ok((id(40 + self.started.len() as u64), start.image.clone()))
    }

    fn snapshot(&mut self, job: &String) -> Result<()> {
        match &**job {
            "three" => Err(Error::BadState),
            _ => Ok(()),
        }
    }

    fn start_clone(&mut self, of: &String) -> Result<(IcId, String)> {
        match &**of {
            "three" => Err(Error::BadState),
            _ => Ok((id(60), format!("clone of {of}"))),
        }
    }

    fn finish(&mut self, job: String) -> Result<ExitStatus> {
        self.screen += &format!("<{job} runs>\n");
        Ok(match &*job {
            "three" => ExitStatus::Code(3),
            "crash" => ExitStatus::Fault(Fault {
                ip: 0x1000,
                kind: xos_protocol::ic::FaultKind::Read(0),
            }),
            "killed" => ExitStatus::Killed,
            _ => ExitStatus::Code(0),
        })
    }

    fn ended(&mut self, _: &mut String) -> bool {
        self.over
    }

    fn close(&mut self, link: u32) -> Result<()> {
        // The second one is gone already.
        match link {
            1 => Err(Error::Gone),
            _ => {
                self.closed.push(link);
                Ok(())
            }
        }
    }

    fn unshare(&mut self, region: RegionId, from: IcId) -> Result<()> {
        self.unshared.push((region, from));
        Ok(())
    }

    fn destroy(&mut self, id: IcId) -> Result<()> {
        self.destroyed.push(id);
        Ok(())
    }

    fn now(&mut self) -> Option<u64> {
        None
    }

    fn power_off(&mut self, success: bool) -> Result<()> {
        self.power = Some(success);
        Ok(())
    }
}

/// Containers of `once` and `busybox` print and end with status 3, others run until a signal kills them.
impl Containers for Fake {
    type Container = usize;
    type Error = Error;

    fn show(&mut self, _: Stream, bytes: &[u8]) {
        self.screen += core::str::from_utf8(bytes).unwrap();
    }

    fn create_container(&mut self, _: &str, run: &Run) -> Result<(u64, usize)> {
        if run.image == "missing" {
            return Err(Error::NoImage);
        }
        self.started.push(Start {
            image: run.image.clone(),
            arguments: run.arguments.clone(),
            environment: run.environment.clone(),
            memory: run.memory,
            ..Start::default()
        });
        let text = match &*run.image {
            "once" | "busybox" => "hello\n",
            _ => "",
        };
        self.contained.push((text, None, Vec::new()));
        let number = self.contained.len() - 1;
        Ok((20 + number as u64, number))
    }

    fn attach_container(&mut self, _: usize, terminal: bool) -> Result<()> {
        self.attached.push(terminal);
        Ok(())
    }

    fn container_input(&mut self, container: usize, of: u32, bytes: &[u8]) -> Result<bool> {
        self.busy = !self.busy;
        if self.busy {
            return Ok(false);
        }
        self.given.push((of, bytes.to_vec()));
        if bytes.is_empty() {
            self.contained[container].1 = Some(4);
        }
        Ok(true)
    }

    fn take_input(&mut self, input: Option<Input>) {
        self.inputs.push(input);
    }

    fn typed(&mut self) -> Vec<Vec<u8>> {
        match self.typed.is_empty() {
            true => Vec::new(),
            false => vec![self.typed.remove(0)],
        }
    }

    fn start_container(&mut self, container: usize) -> Result<()> {
        let (text, status, _) = &mut self.contained[container];
        *status = (!text.is_empty()).then_some(3);
        Ok(())
    }

    fn container_state(&mut self, container: usize) -> Result<String> {
        let status = match self.contained[container].1 {
            None => "running",
            Some(_) => "stopped",
        };
        Ok(format!(r#"{{"status":"{status}"}}"#))
    }

    fn container_log(&mut self, container: usize, of: u32, from: u64) -> Result<Piece> {
        let (text, status, _) = &self.contained[container];
        let text = if of == 0 { *text } else { "of a program\n" };
        let bytes = text.as_bytes()[from as usize..].to_vec();
        Ok(Piece {
            next: text.len() as u64,
            end: bytes.is_empty() && (of != 0 || status.is_some()),
            bytes,
            stream: Stream::Output,
        })
    }

    fn signal_container(&mut self, container: usize, signal: u8) -> Result<()> {
        let (_, status, signals) = &mut self.contained[container];
        if status.is_some() {
            return Err(Error::BadState);
        }
        signals.push(signal);
        if signal == 9 {
            *status = Some(137);
        }
        Ok(())
    }

    fn exec_in(
        &mut self,
        _: usize,
        arguments: &[String],
        _: &[String],
        _: &str,
        _: Option<Input>,
    ) -> Result<u32> {
        Ok(arguments.len() as u32)
    }

    fn wait_for_exec(&mut self, _: usize, number: u32) -> Result<u8> {
        Ok(number as u8)
    }

    fn wait_for_container(&mut self, container: usize) -> Result<u8> {
        Ok(self.contained[container].1.expect("nobody would end it"))
    }

    fn remove_container(&mut self, container: usize) -> Result<()> {
        self.removed.push(container);
        Ok(())
    }

    fn container_cost(&mut self, _: u64) -> Result<Option<Cost>> {
        Ok(Some(Cost {
            spent: 1 << 20,
            quota: 16 << 20,
            ics: 3,
        }))
    }

    fn take_interrupts(&mut self, _: bool) {}

    fn interrupted(&mut self) -> bool {
        let typed = self.interrupts > 0;
        self.interrupts -= u32::from(typed);
        typed
    }

    fn pause(&mut self) {
        self.pauses += 1;
    }
}

fn shell() -> Shell<Fake> {
    Shell::new(Fake::default())
}

/// What a line prints, its status, and what is said about it.
fn run(line: &str) -> (String, i32, String) {
    let mut shell = shell();
    let outcome = shell.line(line);
    (
        shell.system.screen,
        outcome.status,
        outcome.message.unwrap_or_default(),
    )
}

#[test]
fn a_program_in_the_foreground_is_waited_for_and_a_bad_end_is_told() {
    assert_eq!(
        run("run process hello"),
        ("<hello runs>\n".into(), 0, String::new())
    );
    assert_eq!(
        run("run process three"),
        ("<three runs>\n".into(), 3, "three ended with code 3".into())
    );
    let (_, status, message) = run("run process crash");
    assert_eq!(status, 139);
    assert_eq!(
        message,
        "crash crashed: read at 0x0 (instruction at 0x1000)"
    );
    assert_eq!(run("run process killed").1, 137);
}

#[test]
fn an_error_says_what_failed_and_what_to_do() {
    let (output, status, message) = run("run sandbox hello");
    assert_eq!((&*output, status), ("", 1));
    assert_eq!(
        message,
        "cannot run hello by `sandbox`: nothing is registered under that name; `factories` lists what is"
    );
    assert!(
        run("run process nosuch")
            .2
            .contains("there is no program of this name")
    );
    assert_eq!(run("frob").1, 2);
    assert_eq!(
        run("kill 99").2,
        "there is no isolation context 99; `list` shows those that are alive"
    );
}

#[test]
fn list_shows_a_row_for_each_ic() {
    let (output, ..) = run("list");
    assert_eq!(
        output,
        "ID  KIND     NAME     STATE    OWNER         ARENA    SPENT     QUOTA\n \
         7  domain   monitor  running  -            80 KiB  160 KiB  8192 KiB\n\
         12  process  hello    running  monitor (7)  80 KiB  160 KiB  8192 KiB\n"
    );
}

#[test]
fn stat_shows_whom_an_ic_has_to_do_with_once_each() {
    let (output, ..) = run("stat 12");
    assert!(output.contains("owner    monitor (7)\n"), "{output}");
    assert_eq!(output.matches("serves   monitor (7)\n").count(), 1);
    assert!(output.contains("maps     region 3 of monitor (7)\n"));
}

#[test]
fn stat_shows_what_the_factory_of_an_ic_promises() {
    let (output, ..) = run("stat 12");
    let contract = output.split_once("contract\n").unwrap().1;
    assert!(contract.starts_with("  memory             private\n"));
    assert_eq!(contract.lines().count(), 9);
}

#[test]
fn factories_show_one_line_for_each_dimension_of_the_contract() {
    let (output, ..) = run("factories");
    assert!(output.starts_with("process (isolation context 7)\n  memory             private\n"));
    assert_eq!(output.lines().count(), 10);
}

#[test]
fn kill_ends_the_ic_of_that_number() {
    let mut shell = shell();
    shell.line("kill 12");
    assert_eq!(shell.system.destroyed, [id(12)]);
}

#[test]
fn graph_is_dot_and_nothing_else() {
    let (output, ..) = run("graph");
    assert!(output.starts_with("digraph") && output.ends_with("}\n"));
}

#[test]
fn the_command_of_the_tree_is_framed_and_what_is_said_about_it_comes_after() {
    let mut shell = shell();
    shell.exec("run process three");
    assert_eq!(
        shell.system.screen,
        "\x1exos:exec:begin\n<three runs>\n\x1exos:exec:end 3\nthree ended with code 3\n"
    );
    assert_eq!(shell.system.power, Some(true));
}

#[test]
fn what_begins_at_the_same_time_as_the_monitor_is_waited_for() {
    let tree = crate::tests::archive("etc/exec", b"run process three\n");
    let mut shell = shell();
    shell.system.late = 7;
    shell.boot(&tree);
    assert!(shell.system.screen.contains("exec:end 3\n"));
}

#[test]
fn a_system_without_any_service_is_not_waited_for_in_vain() {
    let tree = crate::tests::archive("etc/exec", b"run process three\n");
    let mut shell = shell();
    shell.system.late = u32::MAX;
    shell.boot(&tree);
    assert!(shell.system.screen.contains("exec:end 1\n"));
}

#[test]
fn lines_that_come_together_are_run_one_after_the_other_each_at_its_prompt() {
    let mut shell = shell();
    shell.system.input = vec!["run process a\rrun pro", "cess b\r"];
    shell.interact();
    let images: Vec<_> = shell.system.started.iter().map(|s| &*s.image).collect();
    assert_eq!(images, ["a", "b"]);
    assert_eq!(
        shell.system.screen.matches("\x1exos:prompt\nxos> ").count(),
        3
    );
}

#[test]
fn the_end_of_a_program_in_the_background_is_told_at_the_next_prompt() {
    let mut shell = shell();
    shell.line("run process three &");
    assert_eq!(shell.system.screen, "[1] three is isolation context 41\n");
    shell.system.screen.clear();
    shell.interact();
    assert!(!shell.system.screen.contains("[1]"));
    shell.system.over = true;
    shell.interact();
    shell.interact();
    assert_eq!(
        shell
            .system
            .screen
            .matches("[1] three ended with code 3\n")
            .count(),
        1
    );
}

#[test]
fn a_machine_in_the_background_is_told_that_what_is_typed_is_not_for_it() {
    let mut shell = shell();
    for (line, told) in [
        ("run vm three &", true),
        ("run vm three", false),
        ("run process three &", false),
    ] {
        shell.line(line);
        let start = shell.system.started.last().unwrap();
        assert_eq!(start.environment.contains(&NO_INPUT.into()), told, "{line}");
    }
}

#[test]
fn a_program_in_the_background_is_frozen_and_cloned_by_its_number() {
    let mut shell = shell();
    shell.line("run process hello &; run process three &");
    shell.system.screen.clear();
    assert_eq!(shell.line("snapshot 41; clone 41").status, 0);
    assert_eq!(shell.system.screen, "<clone of hello runs>\n");
    shell.system.screen.clear();
    assert_eq!(shell.line("clone 41 &").status, 0);
    assert_eq!(shell.system.screen, "[3] hello is isolation context 60\n");
    for line in ["snapshot 42", "clone 42"] {
        let refused = shell.line(line);
        assert_eq!(refused.status, 1);
        assert!(refused.message.unwrap().contains("it"), "{line}");
    }
    // One that is there, but was not started here.
    for line in ["snapshot 12", "clone 12", "clone 99"] {
        let message = shell.line(line).message.unwrap();
        assert!(message.contains("was started here"), "{message}");
    }
}

#[test]
fn without_a_command_in_the_tree_the_demonstration_comes_first_and_then_the_prompt() {
    let mut shell = shell();
    shell.system.input = vec!["poweroff 1\r"];
    shell.boot(&[]);
    let screen = &shell.system.screen;
    let prompt = screen.find("\x1exos:prompt").unwrap();
    assert!(screen.starts_with(demo::BANNER) && screen.find("BEFORE").unwrap() < prompt);
    assert_eq!(shell.system.power, Some(false));
}

#[test]
fn a_shell_comes_between_the_demonstration_and_the_prompt_if_the_tree_asks_for_one() {
    let mut shell = shell();
    shell.system.linux = true;
    shell.boot(&crate::tests::archive("etc/login", b"hello --login\n"));
    let started = shell.system.started.last().unwrap();
    assert_eq!((&*started.factory, &*started.image), (LINUX, "hello"));
    assert_eq!(started.arguments, ["--login"]);
    let screen = &shell.system.screen;
    let (_, rest) = screen.split_once(demo::SHELL).unwrap();
    assert!(screen.find("BEFORE").unwrap() < screen.find(demo::SHELL).unwrap());
    let prompt = rest.find(demo::FAREWELL).unwrap();
    assert!(rest.find("<hello runs>").unwrap() < prompt);
    assert!(rest[prompt..].contains(PROMPT));
}

#[test]
fn the_demonstration_is_made_of_lines_that_can_be_typed() {
    for (_, line) in demo::STEPS {
        assert!(Command::parse(line).is_ok(), "{line}");
    }
}

#[test]
fn the_demonstration_has_a_machine_where_there_are_virtual_processors() {
    for processors in [false, true] {
        let mut shell = shell();
        shell.system.processors = processors;
        shell.demo();
        assert_eq!(shell.system.screen.contains(demo::MACHINE), processors);
    }
}

#[test]
fn help_names_every_command() {
    let (output, ..) = run("help");
    for (words, what) in HELP {
        assert!(output.contains(words) && output.contains(what));
    }
    assert!(output.lines().all(|line| line.len() <= 80), "{output}");
}

proptest! {
    #[test]
    fn any_input_is_survived(lines in proptest::collection::vec("[ -~]{0,40}", 0..5)) {
        let mut shell = shell();
        for line in lines {
            let _ = shell.line(&line);
        }
    }
}

#[test]
fn two_ics_are_asked_about_in_words() {
    let (text, status, _) = run("graph 7 12");
    assert_eq!(status, 0);
    assert!(text.starts_with("monitor (7) and hello (12)\n"), "{text}");
    assert!(text.contains("monitor (7) can call hello (12)"));
    assert!(text.contains("region 3: monitor (7) owns it, hello (12) maps it r--"));
    assert_eq!(run("graph 7 99").1, 1);
}

#[test]
fn revoking_ends_all_that_is_between_two_and_says_how_much_that_was() {
    let mut shell = shell();
    shell.line("revoke 12 7");
    assert_eq!(shell.system.closed, [0]);
    assert_eq!(
        shell.system.unshared,
        [(RegionId::new(3, 0).unwrap(), id(12))]
    );
    assert!(shell.system.screen.contains("2 ended"));
}

#[test]
fn a_factory_is_waited_for_until_it_is_registered() {
    let mut shell = shell();
    // What it makes is registered by IC 7; what is started gets 41.
    let outcome = shell.line("factory lwc-factory");
    assert_eq!(outcome.status, 1);
    assert!(shell.system.pauses > 0 && shell.system.started[0].composes);
    shell.system.over = true;
    let pauses = shell.system.pauses;
    assert_eq!(shell.line("factory lwc-factory").status, 1);
    assert_eq!(shell.system.pauses, pauses, "it has ended: nobody waits");
}

#[test]
fn commands_of_a_line_are_run_up_to_the_first_that_fails() {
    let mut shell = shell();
    let outcome = shell.line("run process a; sleep 3; run process three; run process b");
    assert_eq!(outcome.status, 3);
    let images: Vec<_> = shell.system.started.iter().map(|s| &*s.image).collect();
    assert_eq!(images, ["a", "three"]);
    assert_eq!(shell.system.pauses, 3);
}

#[test]
fn a_containers_output_and_status_are_those_of_the_line() {
    let mut shell = shell();
    let outcome = shell.line("container run --name web -e A=1 once cmd 'a b'");
    assert_eq!((outcome.status, &*shell.system.screen), (3, "hello\n"));
    assert_eq!(outcome.message.unwrap(), "web ended with status 3");
    assert_eq!(shell.system.started[0].arguments, ["cmd", "a b"]);
    // It stays until it is removed, with what it printed.
    shell.system.screen.clear();
    assert_eq!(shell.line("container list; container logs web").status, 0);
    let screen = &shell.system.screen;
    assert!(
        screen.contains("web   20  once   exited (3)  cmd a b"),
        "{screen}"
    );
    assert!(screen.ends_with("hello\n"), "{screen}");
    assert_eq!(shell.line("container rm web").status, 0);
    assert_eq!(shell.system.removed, [0]);
    assert_eq!(shell.line("container rm web").status, 1);
}

#[test]
fn a_container_in_the_background_is_named_and_asked_after_by_name_or_number() {
    let mut shell = shell();
    assert_eq!(shell.line("container run -d busy").status, 0);
    assert_eq!(shell.system.screen, "busy-1\n");
    assert_eq!(shell.line("container exec busy-1 sh -c id").status, 3);
    assert!(shell.system.screen.ends_with("of a program\n"));
    assert_eq!(shell.line("container rm busy-1").status, 1);
    let taken = shell.line("container run -d --name busy-1 busy");
    assert!(taken.message.unwrap().contains("is taken"));
    assert_eq!(shell.line("container kill -s TERM 20").status, 0);
    assert_eq!(shell.system.contained[0].2, [15]);
    assert_eq!(shell.line("container rm -f busy-1").status, 0);
    assert_eq!(shell.system.removed, [0]);
}

#[test]
fn the_interrupt_character_is_a_signal_at_first_and_the_end_when_typed_again() {
    let mut shell = shell();
    shell.system.interrupts = 2;
    assert_eq!(shell.line("container run --rm busy").status, 137);
    assert_eq!(shell.system.contained[0].2, [2, 9]);
    assert_eq!(shell.system.removed, [0]);
}

#[test]
fn what_is_typed_is_a_containers_input() {
    for (options, terminal, input) in [("-i", false, Input::Lines), ("-it", true, Input::Raw)] {
        let mut shell = shell();
        shell.system.typed = vec![b"hello\n".to_vec(), Vec::new()];
        let line = format!("container run {options} --rm busy cat");
        assert_eq!(shell.line(&line).status, 4);
        assert_eq!(shell.system.attached, [terminal]);
        assert_eq!(shell.system.inputs, [Some(input), None]);
        let given = [(0, b"hello\n".to_vec()), (0, Vec::new())];
        assert_eq!(shell.system.given, given);
    }
}

#[test]
fn run_takes_containers_as_it_takes_everything_else() {
    let mut shell = shell();
    assert_eq!(shell.line("run container A=1 once cmd").status, 3);
    assert_eq!(
        (&*shell.system.screen, &*shell.system.removed),
        ("hello\n", &[0][..])
    );
    let start = &shell.system.started[0];
    assert_eq!(
        (start.memory, &*start.environment),
        (0, &["A=1".to_owned()][..])
    );
    assert_eq!(shell.line("run container once &").status, 0);
    let outcome = shell.line("run container missing");
    assert_eq!(outcome.status, 125);
    assert!(
        outcome
            .message
            .unwrap()
            .starts_with("cannot run missing by `container`")
    );
}
