// SPDX-License-Identifier: BSD-2-Clause
//! A hub and a party, in an IC of any kind: two that have nothing to do with each other but that the one
//! opens the other by name.
//!
//! `test-links-app hub KIND`, `test-links-app party KIND REVOKER`; KIND is `process`, `thread` or `lwc`, REVOKER is
//! who ends what they have in common: `hub`, `party` or `supervisor`.
#![no_std]
#![no_main]

use lwc_factory::client::{DEFAULT_STACK, Lwcs};
use sel4::MessageInfo;
use sel4::cap::Endpoint;
use test_links::{Ask, HUB, READY};
use xos::link::{self, Inlet, LinkId, Peer};
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::{Consent, PAGE, Rights};
use xos::protocol::slots::leaf;
use xos::protocol::{Error as Why, RegionId, Who};
use xos::region::{self, Region};
use xos::server::{Deferred, Outcome, Reply, Request, Server};
use xos::thread::JoinError;
use xos::{ExitStatus, KiB, MiB, Session, Spec, eprintln, service, sync};

xos::main!(main, heap = 64 * 1024);

const NOTHING: Consent = Consent {
    within: false,
    share: false,
    connect: false,
};
const ALL: Consent = Consent {
    within: false,
    share: true,
    connect: true,
};
/// Tries until something has happened that another program does.
const PATIENCE: u32 = 1_000_000;

#[derive(Clone, Copy)]
enum Revoker {
    Hub,
    Party,
    Supervisor,
}

fn main() -> i32 {
    let mut args = xos::args().skip(1);
    let (role, kind) = (args.next(), args.next().unwrap_or_default());
    let revoker = match args.next() {
        Some("hub") => Revoker::Hub,
        Some("party") => Revoker::Party,
        _ => Revoker::Supervisor,
    };
    let outcome = match role {
        Some("hub") => run(kind, "hub", revoker).map(|_| 0),
        // The last thing that a party does is a fault, by which it finds out that memory is gone.
        Some("party") => run(kind, "party", revoker).map(|status| match status {
            ExitStatus::Fault(fault) if matches!(fault.kind, FaultKind::Read(_)) => 0,
            other => {
                eprintln!("the party {other}");
                1
            }
        }),
        // A process of its own for either.
        Some("be-hub") => hub().map(|()| 0),
        Some("be-party") => party(revoker).map(|()| 0),
        _ => Ok(2),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        1
    })
}

/// Runs a role in an IC of a kind: how that one ended.
fn run(kind: &str, role: &'static str, revoker: Revoker) -> xos::Result<ExitStatus> {
    let body = move || {
        let outcome = match role {
            "hub" => hub(),
            _ => party(revoker),
        };
        match outcome {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("error: {error}");
                1
            }
        }
    };
    match kind {
        "thread" => match xos::thread::spawn(body)?.join() {
            Ok(code) => Ok(ExitStatus::Code(code)),
            Err(JoinError::Ended(status)) => Ok(status),
            Err(JoinError::Refused(error)) => Err(error),
        },
        "lwc" => {
            let lwcs = Lwcs::open()?;
            let lwc = lwcs.create(DEFAULT_STACK, move |_, _| body())?;
            // It never switches back: it has control until it ends.
            match lwc.switch(0) {
                Err(error) if error.why == Why::Gone => lwc.wait(),
                Err(error) => Err(error),
                Ok(_) => Ok(ExitStatus::Killed),
            }
        }
        _ => {
            let how = match revoker {
                Revoker::Hub => "hub",
                Revoker::Party => "party",
                Revoker::Supervisor => "supervisor",
            };
            let role = if role == "hub" { "be-hub" } else { "be-party" };
            let spec = Spec::image("test-links-app")
                .args([role, "process", how])
                .memory(MiB(1))
                .ics(32)
                .stack(KiB(64));
            let ic = xos::factory("process")?.create(&spec)?;
            ic.start()?;
            ic.wait()
        }
    }
}

/// What a hub has given to a party.
struct Given {
    session: u32,
    links: [LinkId; 3],
}

struct Hub {
    endpoint: Endpoint,
    bell: sel4::cap::Notification,
    region: Region,
    timer: Session,
    inlet: Option<Inlet>,
    given: Option<Given>,
    noted: u64,
    probes: u64,
}

impl Hub {
    fn word(&self, change: impl Fn(u64) -> u64) -> xos::Result<u64> {
        let mapping = self.region.map(Rights::RW)?;
        let word = mapping.start().cast::<u64>().as_ptr();
        // SAFETY: the mapping has a page. The party writes to it only while it is not waiting for us.
        unsafe {
            let old = word.read_volatile();
            word.write_volatile(change(old));
            Ok(old)
        }
    }

    fn hello(&mut self, session: u32, words: [u64; 4]) -> xos::Result<[u64; 4]> {
        let peer = Peer::client(session);
        let [first, second, third] = [words[0], words[1], words[2]].map(|word| word as u32);
        let links = [
            peer.connect(self.endpoint, first)?,
            peer.connect(self.bell, second)?,
            peer.pass(self.timer.index(), third)?,
        ];
        peer.share(&self.region, words[3], Rights::RW)?;
        self.given = Some(Given { session, links });
        let [first, second, third] = links.map(u64::from);
        Ok([first, second, third, self.region.id().word()])
    }

    fn revoke(&mut self) -> xos::Result<()> {
        if let Some(Given { session, links }) = self.given.take() {
            link::close(links[0])?;
            link::close(links[1])?;
            Peer::client(session).unshare(&self.region)?;
        }
        Ok(())
    }

    fn answer(&mut self, ask: Ask, session: u32, request: Request<'_>) -> xos::Result<[u64; 4]> {
        let word = |word| Ok([word, 0, 0, 0]);
        match ask {
            Ask::Hello => self.hello(session, request.registers()),
            Ask::Add => word(request.word(0) + request.word(1)),
            Ask::Note => {
                self.noted = request.word(0);
                word(0)
            }
            Ask::Last => word(self.noted),
            Ask::Signals => word(self.bell.poll().1),
            Ask::Read => self.word(|old| old + 1).and_then(word),
            Ask::Agree => {
                Peer::client(session).agree(ALL)?;
                let inlet = self.inlet.insert(Inlet::new()?);
                word(inlet.number().into())
            }
            Ask::CallBack => {
                if let Some(inlet) = &self.inlet {
                    self.noted = inlet.call(Ask::Add.label(), [20, 22])?.words[0];
                }
                word(0)
            }
            Ask::Revoke => self.revoke().and_then(|()| word(0)),
            Ask::Probe => {
                self.probes += 1;
                word(0)
            }
            Ask::Probes => word(self.probes),
        }
    }
}

impl Server for Hub {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        _: &mut Deferred<'_>,
    ) -> Outcome {
        let (Who::Session(session), Some(ask)) = (who, Ask::from_label(request.label())) else {
            return reply.error(Why::NoSuchOperation);
        };
        let answer = self.answer(ask, session, request);
        reply.result(answer.map_err(|error| error.why))
    }
}

/// Serves until it is killed.
fn hub() -> xos::Result<()> {
    let bell = sync::notification()?;
    let region = Region::new(1)?;
    let timer = service::open("timer")?;
    let listener = service::register(HUB)?;
    let mut hub = Hub {
        endpoint: listener.endpoint(),
        bell,
        region,
        timer,
        inlet: None,
        given: None,
        noted: 0,
        probes: 0,
    };
    listener.serve(&mut hub)
}

/// One that a hub calls back.
struct Adder;

impl Server for Adder {
    fn call(
        &mut self,
        _: Who,
        request: Request<'_>,
        reply: &mut Reply,
        _: &mut Deferred<'_>,
    ) -> Outcome {
        match Ask::from_label(request.label()) {
            Some(Ask::Add) => reply.ok(&[request.word(0) + request.word(1)]),
            _ => reply.error(Why::NoSuchOperation),
        }
    }
}

/// The place of a claim that does not hold.
fn holds(claim: bool, what: &str) -> xos::Result<()> {
    if claim {
        return Ok(());
    }
    eprintln!("not so: {what}");
    Err(Why::BadState.into())
}

/// Tries everything with a hub, and that it is over when it is.
fn party(revoker: Revoker) -> xos::Result<()> {
    let hub = open_when_there(HUB)?;
    let inlets = [Inlet::new()?, Inlet::new()?, Inlet::new()?];
    let place = region::place(1)?;
    let [first, second, third] = [&inlets[0], &inlets[1], &inlets[2]].map(|i| i.number().into());
    let hello = [first, second, third, place];

    // Not without consent.
    let refused = hub.call(Ask::Hello.label(), hello);
    holds(
        refused.is_err_and(|e| e.why == Why::NoConsent),
        "no consent, no channel",
    )?;
    let peer = Peer::server(&hub);
    peer.agree(ALL)?;
    let given = hub.call(Ask::Hello.label(), hello)?.words;
    let links = [given[0], given[1], given[2]].map(|word| word as LinkId);
    let shared = RegionId::from_word(given[3]);
    peer.agree(NOTHING)?;
    let refused = hub.call(Ask::Hello.label(), hello);
    holds(
        refused.is_err_and(|e| e.why == Why::NoConsent),
        "consent can be withdrawn",
    )?;

    // Calls, sends, signals, memory, a third party.
    let [direct, bell, timer] = &inlets;
    holds(
        direct.call(Ask::Add.label(), [1, 2])?.words[0] == 3,
        "a call",
    )?;
    direct.send(Ask::Note.label(), [77]);
    holds(hub.call(Ask::Last.label(), [])?.words[0] == 77, "a send")?;
    bell.signal();
    let bits = hub.call(Ask::Signals.label(), [])?.words[0];
    holds(bits == 1 << (links[1] % 24), "a signal")?;
    let word = place as *mut u64;
    // SAFETY: the hub's region is mapped there, which nobody else in this program knows of.
    unsafe { word.write_volatile(41) };
    holds(
        hub.call(Ask::Read.label(), [])?.words[0] == 41,
        "memory, there",
    )?;
    // SAFETY: as above.
    let now = unsafe { word.read_volatile() };
    holds(now == 42, "memory, and back")?;
    holds(
        xos::client::Timer::new(timer.endpoint()).now().is_ok(),
        "a session that was passed on",
    )?;

    // The other way round.
    let own = service::endpoint()?;
    let refused = peer.connect(own, first as u32);
    holds(
        refused.is_err_and(|e| e.why == Why::NoConsent),
        "nor the other way",
    )?;
    let inlet = hub.call(Ask::Agree.label(), [])?.words[0];
    peer.connect(own, inlet as u32)?;
    direct.send(Ask::CallBack.label(), [0]);
    let mut calls = 0;
    service::Listener::new(own).serve_while(&mut Adder, |_| {
        calls += 1;
        calls < 1
    });
    holds(
        hub.call(Ask::Last.label(), [])?.words[0] == 42,
        "a call back",
    )?;

    match revoker {
        Revoker::Hub => hub.call(Ask::Revoke.label(), []).map(drop)?,
        Revoker::Party => {
            link::close(links[0])?;
            link::close(links[1])?;
            link::leave(shared)?;
        }
        Revoker::Supervisor => {
            let _ready = service::register(READY)?;
            let over = (0..PATIENCE).any(|_| {
                xos::thread::yield_now();
                hub.call(Ask::Last.label(), []).is_err()
            });
            holds(over, "the supervisor ends it")?;
        }
    }
    let gone = direct.call(Ask::Add.label(), [1, 2]);
    holds(
        gone.is_err_and(|e| e.why == Why::Gone),
        "a link that has ended",
    )?;
    bell.signal();
    let mut left = 0;
    link::each(|edge| {
        if let xos::protocol::manager::EdgeKind::Share(region, _) = edge.kind {
            left += u32::from(region == shared);
        }
    })?;
    holds(left == 0, "the region is not shared any more")?;
    if let Revoker::Supervisor = revoker {
        // Whatever is in whichever slot.
        for slot in 3..32 {
            Endpoint::from_bits(leaf(slot)).nb_send(MessageInfo::new(Ask::Probe.label(), 0, 0, 0));
        }
    }
    // SAFETY: it is not there any more: this is a fault, and the end.
    let found = unsafe { word.read_volatile() };
    eprintln!("{found} is still there, {PAGE} bytes of it");
    Ok(())
}

fn open_when_there(name: &str) -> xos::Result<Session> {
    for _ in 0..PATIENCE {
        match service::open(name) {
            Err(error) if error.why == Why::NotFound => xos::thread::yield_now(),
            other => return other,
        }
    }
    service::open(name)
}
