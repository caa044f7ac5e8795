// SPDX-License-Identifier: BSD-2-Clause
//! A node of a web: it makes the edges that it is told to make, and passes on what it hears by every way that it
//! finds, whether it should be one or not.
//!
//! `test-links-node NAME KIND`: KIND is `process`, `thread` or `lwc`, NAME what it is registered under.
#![no_std]
#![no_main]

use lwc_factory::client::{DEFAULT_STACK, Lwcs};
use sel4::cap::{Endpoint, Notification};
use test_links::{COMMON_PAGE, INLETS, NODES, Order};
use xos::client::Port;
use xos::link::{Inlet, Peer};
use xos::protocol::manager::{Consent, Event, Rights};
use xos::protocol::slots::leaf;
use xos::protocol::start::{SHARES, WINDOW};
use xos::protocol::{Error as Why, Who};
use xos::region::{self, Region};
use xos::server::{Deferred, Outcome, Reply, Request, Server};
use xos::thread::JoinError;
use xos::{Session, eprintln, guarded, service, sync};

xos::main!(main, heap = 64 * 1024);

/// Slots of a CSpace that may hold something to talk through: all but those at the factory, the manager and itself.
const SLOTS: core::ops::Range<u32> = 4..32;
/// Regions that a program maps at most: the node's own, and those that it is given.
const PLACES: u64 = 16;
const EVERYTHING: Consent = Consent {
    within: false,
    share: true,
    connect: true,
};

fn main() -> i32 {
    let mut args = xos::args().skip(1);
    let (name, kind) = (args.next(), args.next());
    // Arguments are not in the copy that an lwC is.
    let name = NODES.into_iter().find(|known| Some(*known) == name);
    let (Some(name), Some(kind)) = (name, kind) else {
        return 2;
    };
    let outcome = match kind {
        "thread" => {
            xos::thread::spawn(move || serve(name)).and_then(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(JoinError::Refused(error)) => Err(error),
                Err(JoinError::Ended(status)) => {
                    eprintln!("the node {status}");
                    Ok(())
                }
            })
        }
        "lwc" => Lwcs::open().and_then(|lwcs| {
            let lwc = lwcs.create(DEFAULT_STACK, move |_, _| match serve(name) {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("error: {error}");
                    1
                }
            })?;
            // It never switches back.
            lwc.switch(0).map(drop)
        }),
        _ => serve(name),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error}");
    }
    1
}

/// Serves until it is killed.
fn serve(name: &'static str) -> xos::Result<()> {
    let (mut node, listener) = Node::new(name)?;
    listener.serve(&mut node)
}

struct Node {
    endpoint: Endpoint,
    bell: Notification,
    region: Region,
    /// Sessions that it opened, by whose they are.
    open: [Option<Session>; NODES.len()],
    /// Where it is given links, with whether they are for signals, and memory.
    inlets: [(Inlet, bool); INLETS],
    places: [u64; INLETS],
    /// The word that it knows; 0 for none.
    word: u64,
}

impl Node {
    fn new(name: &str) -> xos::Result<(Self, service::Listener)> {
        let region = Region::new(1)?;
        // For as long as the node lives.
        core::mem::forget(region.map(Rights::RW)?);
        let mut places = [0; INLETS];
        for place in &mut places {
            *place = region::place(1)?;
        }
        let inlet = || Ok::<_, xos::Error>((Inlet::new()?, false));
        let inlets = [inlet()?, inlet()?, inlet()?, inlet()?, inlet()?, inlet()?];
        let bell = sync::notification()?;
        let listener = service::register(name)?;
        let node = Self {
            endpoint: listener.endpoint(),
            bell,
            region,
            open: [const { None }; NODES.len()],
            inlets,
            places,
            word: 0,
        };
        Ok((node, listener))
    }

    /// Takes in what has come, and passes on what it knows, by whatever there may be.
    fn talk(&mut self, word: u64) {
        // A signal says no more than that there is one.
        if self.bell.poll().1 != 0 {
            self.word = word;
        }
        for place in places() {
            let mut heard = [0u8; 8];
            // SAFETY: where nothing is, nothing is read.
            let read = unsafe { guarded::copy(heard.as_mut_ptr(), place as *const u8, 8) };
            if read.is_ok() && u64::from_le_bytes(heard) == word {
                self.word = word;
            }
        }
        for slot in SLOTS {
            if self.is_own(slot) {
                continue;
            }
            // A signal says it, and is not given without knowing it.
            let order = match self.word == word {
                true => Order::Word,
                false if self.is_for_a_signal(slot) => continue,
                false => Order::Ask,
            };
            let port = Endpoint::from_bits(leaf(slot));
            let answer = Port::call(&port, order.label(), [word, 0, 0, 0], 1);
            if answer.is_ok_and(|answer| answer.words[1] == word) {
                self.word = word;
            }
        }
        if self.word != word {
            return;
        }
        for place in places() {
            // SAFETY: of this program, nothing is there but words like this one; where nothing is, nothing is
            // written.
            let _ = unsafe { guarded::copy(place as *mut u8, word.to_le_bytes().as_ptr(), 8) };
        }
    }

    /// Whether it would talk to itself, and wait for the answer for ever.
    fn is_own(&self, slot: u32) -> bool {
        [self.endpoint.bits(), self.bell.bits()].contains(&leaf(slot))
    }

    fn is_for_a_signal(&self, slot: u32) -> bool {
        let is_it = |(inlet, signal): &(Inlet, bool)| inlet.number() == slot && *signal;
        self.inlets.iter().any(is_it)
    }

    fn obey(&mut self, order: Order, words: [u64; 4]) -> xos::Result<[u64; 4]> {
        let to = Peer::client(words[0] as u32);
        let slot = words[1] as u32;
        let of = |word: u64| word as usize % NODES.len();
        let first = match order {
            Order::Open => {
                let session = Session::open(NODES[of(words[0])], EVERYTHING)?;
                let index = session.index();
                self.open[of(words[0])] = Some(session);
                index.into()
            }
            Order::Close => {
                self.open[of(words[0])] = None;
                0
            }
            Order::Inlet => {
                let number = words[0] as usize % INLETS;
                let (inlet, signal) = &mut self.inlets[number];
                *signal = words[1] != 0;
                return Ok([inlet.number().into(), self.word, self.places[number], 0]);
            }
            Order::Connect => to.connect(self.endpoint, slot)?.into(),
            Order::Bell => to.connect(self.bell, slot)?.into(),
            Order::Share => {
                let rights = if words[2] == 0 { Rights::R } else { Rights::RW };
                to.share(&self.region, words[1], rights)?;
                self.region.id().word()
            }
            Order::Pass => {
                let session = self.open[of(words[2])].as_ref().ok_or(Why::NotFound)?;
                to.pass(session.index(), slot)?.into()
            }
            Order::Begin => {
                self.bell.poll();
                self.word = words[0];
                0
            }
            Order::Talk => {
                self.talk(words[0]);
                0
            }
            Order::Word => {
                self.word = words[0];
                0
            }
            Order::Ask => 0,
        };
        Ok([first, self.word, 0, 0])
    }
}

/// Where something may be: where programs map regions, and what all ICs of a factory have in common if it is one of
/// `test-links-factory`.
fn places() -> impl Iterator<Item = u64> {
    (0..PLACES)
        .map(|number| SHARES.start + number * 2 * WINDOW)
        .chain([COMMON_PAGE])
}

impl Server for Node {
    fn call(
        &mut self,
        _: Who,
        request: Request<'_>,
        reply: &mut Reply,
        _: &mut Deferred<'_>,
    ) -> Outcome {
        // Whoever does not read who has gone gets no new clients after a while.
        while !matches!(xos::manager().next_event(), Ok(Event::None) | Err(_)) {}
        let Some(order) = Order::from_label(request.label()) else {
            return reply.error(Why::NoSuchOperation);
        };
        let done = self.obey(order, request.registers());
        reply.result(done.map_err(|error| error.why))
    }
}
