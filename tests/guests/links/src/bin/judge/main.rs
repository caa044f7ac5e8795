// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases, in the monitor's place: it may see and end everything.
#![no_std]
#![no_main]

extern crate alloc;

mod webs;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use sel4::cap::Endpoint;
use sel4_microkit::{NullHandler, protection_domain};
use test_links::{Ask, HUB, READY};
use xos_client::{Factory, Port, Slots};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Edge, EdgeKind, Free, Open};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, domain, leaf};
use xos_protocol::{ExitStatus, IcId, IcState, Name, Subject};
use xos_test_judge::{
    Job, MANAGER, Screen, begin, end, given_back, open, rest, served, server, until,
};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

/// Whether there are virtual processors: then the cases are those that need them.
const GUESTS: bool = sel4::sel4_cfg_bool!(VTX);

struct Context {
    slots: Slots,
    process: Factory,
    /// Where there are virtual processors.
    vm: Option<Factory>,
    lwc: Option<Job>,
    /// What is left when nothing is going on, all images loaded.
    rest: Option<Free>,
}

impl Context {
    fn new() -> Outcome<Self> {
        let mut slots = Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX);
        let mut open = |name| {
            served(name)?;
            open(&mut slots, name)
        };
        let (process, vm) = (open("process")?, GUESTS.then(|| open("vm")).transpose()?);
        served("thread")?;
        Ok(Self {
            slots,
            process,
            vm,
            lwc: None,
            rest: None,
        })
    }

    /// Starts a virtual machine with our own kernel, which does what the line says behind its first word.
    fn start_guest(&mut self, line: &str) -> Outcome<Job> {
        let vm = self.vm.ok_or("no vm factory")?;
        let arguments = line.replacen(' ', "\0", 1) + "\0";
        let spec = Spec {
            image: "guest",
            arguments: &arguments,
            memory: 10 << 20,
            ..Spec::default()
        };
        self.start_by(vm, &spec)
    }

    fn start(&mut self, line: &str, composes: bool) -> Outcome<Job> {
        let arguments: String = line.split(' ').flat_map(|word| [word, "\0"]).collect();
        let spec = Spec {
            image: line.split(' ').next().unwrap_or_default(),
            arguments: &arguments,
            memory: 6 << 20,
            ics: 512,
            stack: 128 << 10,
            cspace_radix: if composes { 8 } else { 0 },
            composes,
            ..Spec::default()
        };
        self.start_by(self.process, &spec)
    }

    fn start_by(&mut self, factory: Factory, spec: &Spec<'_>) -> Outcome<Job> {
        Job::start(&mut self.slots, factory, spec)
    }

    fn wait(&mut self, job: Job) -> Outcome<ExitStatus> {
        job.wait(&mut self.slots)
    }

    /// Runs a program to its end.
    fn run(&mut self, line: &str) -> Outcome {
        let job = self.start(line, false)?;
        check_eq!(self.wait(job)?, ExitStatus::Code(0))
    }

    fn kill(&mut self, job: Job) -> Outcome {
        job.handle().kill()?;
        self.wait(job).map(drop)
    }
}

fn edges() -> Outcome<Vec<Edge>> {
    let mut all = Vec::new();
    MANAGER.each_edge(|edge| all.push(*edge))?;
    Ok(all)
}

#[protection_domain(heap_size = 256 * 1024)]
fn init() -> NullHandler {
    begin();
    let cases: &[Case<Context>] = match GUESTS {
        false => include!("../../cases.rs"),
        true => include!("../../guests.rs"),
    };
    end(Context::new()
        .is_ok_and(|mut context| xos_test_kit::run(cases, &mut context, &mut Screen::default())))
}

// Factories that are programs, and what the one of them makes.

fn a_factory_is_a_program_that_is_started_and_opened_like_any_other(c: &mut Context) -> Outcome {
    let job = c.start("lwc-factory", true)?;
    served("lwc")?;
    c.lwc = Some(job);
    c.run("test-lwc control")
}

fn an_app_loads_a_factory_on_its_own_budget(c: &mut Context) -> Outcome {
    if let Some(job) = c.lwc.take() {
        c.kill(job)?;
    }
    check!(server("lwc")?.is_none(), "its name goes with it")?;
    c.run("test-lwc load")?;
    check!(server("lwc")?.is_none(), "what an app loaded ends with it")?;
    c.lwc = Some(c.start("lwc-factory", true)?);
    served("lwc")
}

fn a_program_that_does_not_compose_cannot_serve_as_a_factory(c: &mut Context) -> Outcome {
    let job = c.start("lwc-factory", false)?;
    check_eq!(c.wait(job)?, ExitStatus::Code(1))
}

fn views_do_not_see_each_others_writes(c: &mut Context) -> Outcome {
    c.run("test-lwc views")
}

fn control_comes_back_to_where_it_left(c: &mut Context) -> Outcome {
    c.run("test-lwc control")
}

fn an_lwc_switches_to_another_only_if_it_is_allowed_to(c: &mut Context) -> Outcome {
    c.run("test-lwc allowed")
}

fn an_lwc_that_crashes_returns_control_and_says_how(c: &mut Context) -> Outcome {
    c.run("test-lwc crash")
}

fn an_overlay_is_seen_by_both_until_it_is_taken_back(c: &mut Context) -> Outcome {
    c.run("test-lwc overlay")
}

fn a_confined_lwc_can_open_nothing(c: &mut Context) -> Outcome {
    c.run("test-lwc confined")
}

/// Waits until the one that a program switched to runs: its id.
fn running_lwc(of: IcId) -> Outcome<IcId> {
    let mut found = None;
    until("an lwC that runs", || {
        MANAGER.each_ic(|ic| {
            if ic.payer == of && ic.kind == Name::new("lwc") && ic.state == IcState::Running {
                found = Some(ic.id);
            }
        })?;
        Ok(found.is_some())
    })?;
    Ok(found.ok_or("none")?)
}

fn a_program_whose_lwc_runs_can_be_killed(c: &mut Context) -> Outcome {
    let job = c.start("test-lwc wait", false)?;
    let lwc = running_lwc(job.id)?;
    c.kill(job)?;
    check!(
        MANAGER.stat(Subject::Ic(lwc)).is_err(),
        "its lwC goes with it"
    )?;
    // The factory has not lost a place or a waiting caller over it.
    c.run("test-lwc control")
}

/// Runs something twice: what is left the second time is what was left the first time.
fn nothing_lost(c: &mut Context, line: &str) -> Outcome {
    c.run(line)?;
    // What ended a moment ago may still be told to those concerned.
    let before = rest()?;
    c.run(line)?;
    given_back(before)?;
    c.rest = Some(before);
    Ok(())
}

fn nothing_is_left_of_lwcs(c: &mut Context) -> Outcome {
    nothing_lost(c, "test-lwc views")?;
    nothing_lost(c, "test-lwc crash")
}

// Channels between ICs of any two kinds.

/// A hub of one kind and a party of another, once for each who can end what they have in common.
fn pair(c: &mut Context, hub: &str, party: &str) -> Outcome {
    for revoker in ["hub", "party", "supervisor"] {
        let server = match hub {
            "guest" => c.start_guest("guest hub")?,
            hub => c.start(&format!("test-links-app hub {hub}"), false)?,
        };
        served(HUB)?;
        let outcome = talk(c, party, revoker);
        let probes = probes(c);
        c.kill(server)?;
        outcome?;
        // After everything between them had ended, nothing of what the party sent came through.
        check_eq!(probes?, 0)?;
    }
    Ok(())
}

/// The party's part.
fn talk(c: &mut Context, party: &str, revoker: &str) -> Outcome {
    let client = match party {
        "guest" => c.start_guest(&format!("guest party {revoker}"))?,
        party => c.start(&format!("test-links-app party {party} {revoker}"), false)?,
    };
    let parted = match revoker {
        "supervisor" => served(READY).and_then(|()| part()),
        _ => Ok(()),
    };
    if parted.is_err() {
        c.kill(client)?;
        return parted;
    }
    check_eq!(c.wait(client)?, ExitStatus::Code(0))
}

/// How many messages the hub received that nobody should be able to send.
fn probes(c: &mut Context) -> Outcome<u64> {
    let slot = c.slots.take().ok_or("no slot")?;
    let session = MANAGER.open(&Open {
        name: Name::new(HUB),
        slot,
        consent: Consent::default(),
    })?;
    let port = Endpoint::from_bits(leaf(slot));
    let probes = Port::call(&port, Ask::Probes.label(), [0; 4], 0)?.words[0];
    MANAGER.close(session.index)?;
    c.slots.give(slot);
    Ok(probes)
}

/// Ends everything between the hub and the party, as the graph shows it.
fn part() -> Outcome {
    let all = MANAGER.all_services::<64>()?;
    let server = |name| {
        let found = all.iter().find(|service| service.name == Name::new(name));
        found.map(|service| service.server)
    };
    let hub = server(HUB).ok_or("no hub")?;
    let party = server(READY).ok_or("no party")?;
    let mut kinds = [false; 3];
    let mut all = edges()?;
    // The session last: that it ends is what the party waits for.
    all.sort_by_key(|edge| matches!(edge.kind, EdgeKind::Session(_)));
    for edge in all {
        if ![(hub, party), (party, hub)].contains(&(edge.from, edge.to)) {
            continue;
        }
        match edge.kind {
            EdgeKind::Session(link) => {
                kinds[0] = true;
                MANAGER.close(link)?;
            }
            EdgeKind::Connection(link) => {
                kinds[1] = true;
                MANAGER.close(link)?;
            }
            EdgeKind::Share(region, _) => {
                kinds[2] = true;
                MANAGER.unshare(region, Subject::Ic(edge.to))?;
            }
            _ => {}
        }
    }
    check_eq!(kinds, [true; 3])?;
    let left = edges()?
        .iter()
        .any(|edge| [(hub, party), (party, hub)].contains(&(edge.from, edge.to)));
    check!(!left, "no edge is left")
}

fn a_process_and_a_process_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "process", "process")
}

fn a_process_and_a_thread_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "process", "thread")
}

fn a_process_and_an_lwc_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "process", "lwc")
}

fn a_thread_and_a_process_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "thread", "process")
}

fn a_thread_and_a_thread_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "thread", "thread")
}

fn a_thread_and_an_lwc_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "thread", "lwc")
}

fn an_lwc_and_a_process_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "lwc", "process")
}

fn an_lwc_and_a_thread_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "lwc", "thread")
}

fn an_lwc_and_an_lwc_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "lwc", "lwc")
}

// Third parties.

fn a_word_goes_along_a_chain_over_a_process_until_that_is_revoked(c: &mut Context) -> Outcome {
    webs::chains(c, "process")
}

fn a_word_goes_along_a_chain_over_a_thread_until_that_is_revoked(c: &mut Context) -> Outcome {
    webs::chains(c, "thread")
}

fn a_word_goes_along_a_chain_over_an_lwc_until_that_is_revoked(c: &mut Context) -> Outcome {
    webs::chains(c, "lwc")
}

fn words_go_where_the_edges_of_a_web_lead_and_nowhere_else(c: &mut Context) -> Outcome {
    webs::generated(c)
}

/// Two lwCs of a factory that does something to all that it makes; then there is the usual one again.
fn joined(c: &mut Context, how: &str, body: impl FnOnce(&mut webs::Web) -> Outcome) -> Outcome {
    if let Some(job) = c.lwc.take() {
        c.kill(job)?;
    }
    let factory = c.start(&format!("test-links-factory {how}"), true)?;
    served("lwc")?;
    let outcome = webs::joined(c, body);
    c.kill(factory)?;
    c.lwc = Some(c.start("lwc-factory", true)?);
    served("lwc")?;
    outcome
}

fn ics_that_their_factory_joined_are_parted_by_revoking_that(c: &mut Context) -> Outcome {
    joined(c, "share", webs::Web::is_joined_until_revoked)
}

fn memory_that_a_factory_shares_among_its_ics_unasked_is_found(c: &mut Context) -> Outcome {
    joined(c, "keep", |web| {
        // The graph has nothing to take away; and still the word gets there.
        check_eq!(web.part(0, 1)?, 0)?;
        let Err(failure) = web.is_as_the_graph_says() else {
            return check!(false, "it is not found");
        };
        check!(
            failure.reason().contains("a word gets from 0"),
            "{}",
            failure.reason()
        )
    })
}

fn a_process_and_a_guest_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "process", "guest")
}

fn a_guest_and_a_process_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "guest", "process")
}

fn a_guest_and_a_guest_have_a_channel_that_each_can_end(c: &mut Context) -> Outcome {
    pair(c, "guest", "guest")
}

fn a_guest_that_was_given_nothing_reaches_nobody_and_is_told_so(c: &mut Context) -> Outcome {
    let guest = c.start_guest("guest lonely")?;
    check_eq!(c.wait(guest)?, ExitStatus::Code(0))
}

fn whoever_calls_a_guest_that_dies_is_told_so(c: &mut Context) -> Outcome {
    let guest = c.start_guest("guest deaf")?;
    served(HUB)?;
    // It receives the party's first request, never answers, and ends after a while.
    let party = c.start("test-links-app party process hub", false)?;
    check_eq!(c.wait(guest)?, ExitStatus::Code(3))?;
    check_eq!(c.wait(party)?, ExitStatus::Code(1))
}

fn nothing_is_left_of_guests(c: &mut Context) -> Outcome {
    pair(c, "guest", "guest")?;
    let before = rest()?;
    pair(c, "guest", "guest")?;
    check_eq!(rest()?, before)
}

fn whoever_waits_for_a_factory_that_dies_is_told_so(c: &mut Context) -> Outcome {
    let job = c.start("test-lwc wait", false)?;
    let lwc = running_lwc(job.id)?;
    let factory = c.lwc.take().ok_or("no factory")?;
    c.kill(factory)?;
    check_eq!(c.wait(job)?, ExitStatus::Code(0))?;
    check!(
        MANAGER.stat(Subject::Ic(lwc)).is_err(),
        "and its ICs are gone"
    )
}

fn nothing_is_left_of_all_that(c: &mut Context) -> Outcome {
    nothing_lost(c, "hello")?;
    check_eq!(MANAGER.free()?.ics, 6)
}
