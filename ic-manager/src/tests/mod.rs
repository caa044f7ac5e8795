// SPDX-License-Identifier: BSD-2-Clause
//! The manager on the model of the machine.

mod attack;
mod crash;
mod life;
mod memory;
mod relations;
mod server;
mod sharing;
mod source;

use xos_protocol::manager::{
    Consent, Create, CreateWithin, Created, Event, Free, Op, Open, Payer, Register, ServiceKind,
    Successor,
};
use xos_protocol::{Error, IcId, Name, Subject};

use crate::model::{MONITOR, ONE, World};

/// A slot for the next session, handle or parts node: tests that do not care about slots never reuse one.
#[derive(Default)]
pub struct Slots(u32);

impl Slots {
    pub fn next(&mut self) -> u32 {
        self.0 += 1;
        40 + self.0
    }
}

/// What a client lets a server do.
pub const ALL: Consent = Consent {
    within: true,
    share: true,
    connect: true,
};

/// What every test asks for at least.
pub const BASIC: Create = Create {
    payer: Payer::Myself,
    place: 0,
    handle: 0,
    session: true,
    memory: 4,
    quota: 200,
    ics: 8,
    parts_radix: 5,
    cspace_radix: 5,
};

/// What `BASIC` asks for, paid by the client of a session, its parts node in slot `place`.
pub fn paid_by(session: u32, place: u32) -> Create {
    Create {
        payer: Payer::Client(session),
        place,
        ..BASIC
    }
}

/// What is left: of the machine, of the supervisor's budget and of `ONE`'s.
pub type Balance = (Free, [u64; 3], [u64; 3]);

/// What an IC within another is made of, but for who and where.
pub const WITHIN: CreateWithin = CreateWithin {
    host: 0,
    place: 0,
    handle: 0,
    window: 0x4000_0000,
    pages: 4,
    memory: 0,
    parts_radix: 1,
    runs: false,
};

impl World {
    /// An IC of `ONE`'s that is a client of `TWO`'s and agrees to everything: its id, and what `TWO` asks for
    /// to make an IC within it.
    pub fn host(&mut self, payer: u32) -> (IcId, CreateWithin) {
        let args = Create {
            handle: 21,
            ..paid_by(payer, 20)
        };
        let host = self.create(ONE, args).unwrap().id;
        let session = self.open(host.index(), "two", 12).unwrap();
        let within = CreateWithin {
            host: session,
            place: 30,
            handle: 13,
            ..WITHIN
        };
        (host, within)
    }

    pub fn register(&mut self, server: u32, name: &str) -> Result<(), Error> {
        self.register_as(server, name, 0, Successor::None)
    }

    pub fn register_as(
        &mut self,
        server: u32,
        name: &str,
        endpoint: u32,
        successor: Successor,
    ) -> Result<(), Error> {
        let name = Name::new(name);
        let args = Register {
            name,
            endpoint,
            kind: ServiceKind::Factory,
            successor,
        };
        self.ask(server, Op::Register.label(), args.words())
            .map(drop)
    }

    /// Opens a session; answers its index.
    pub fn open(&mut self, client: u32, name: &str, slot: u32) -> Result<u32, Error> {
        let args = Open {
            name: Name::new(name),
            slot,
            consent: ALL,
        };
        self.ask(client, Op::Open.label(), args.words())
            .map(|words| words[0] as u32)
    }

    pub fn create(&mut self, creator: u32, args: Create) -> Result<Created, Error> {
        let words = self.ask(creator, Op::Create.label(), args.words())?;
        Created::from_words([words[0], words[1]])
    }

    pub fn create_within(&mut self, creator: u32, args: CreateWithin) -> Result<Created, Error> {
        let words = self.ask(creator, Op::CreateWithin.label(), args.words())?;
        Created::from_words([words[0], words[1]])
    }

    pub fn on_id(&mut self, caller: u32, op: Op, id: IcId) -> Result<Vec<u64>, Error> {
        self.ask(caller, op.label(), [id.word(), 0, 0, 0])
    }

    pub fn destroy(&mut self, caller: u32, id: IcId) -> Result<u64, Error> {
        self.on_id(caller, Op::Destroy, id).map(|words| words[0])
    }

    pub fn event(&mut self, caller: u32) -> Event {
        let words = self.ask(caller, Op::NextEvent.label(), [0; 4]).unwrap();
        Event::from_words([words[0], words[1]]).unwrap()
    }

    pub fn free(&mut self) -> Free {
        let words = self.ask(MONITOR, Op::Free.label(), [0; 4]).unwrap();
        Free {
            bytes: words[0],
            slots: words[1],
            ics: words[2],
            sessions: words[3],
        }
    }

    pub fn budget(&mut self, caller: u32) -> [u64; 3] {
        let words = [Subject::Myself.word(), 0, 0, 0];
        let words = self.ask(caller, Op::Budget.label(), words).unwrap();
        [words[0], words[1], words[2]]
    }

    pub fn balance(&mut self) -> Balance {
        (self.free(), self.budget(MONITOR), self.budget(ONE))
    }

    /// Takes all events that wait for `caller`.
    pub fn drain(&mut self, caller: u32) -> Vec<Event> {
        let next = || Some(self.event(caller)).filter(|event| *event != Event::None);
        core::iter::from_fn(next).collect()
    }

    /// A world in which `ONE` is registered and the supervisor has opened it: with the session.
    pub fn with_one() -> (Self, u32) {
        let mut w = Self::new();
        w.register(ONE, "one").unwrap();
        let session = w.open(MONITOR, "one", 20).unwrap();
        (w, session)
    }
}
