// SPDX-License-Identifier: BSD-2-Clause
//! Who may do what to whom, from either end and by the supervisor; what is passed on and declared; who is
//! answered when a server goes.

use xos_protocol::manager::{
    Connect, Consent, Declare, Edge, EdgeKind, EdgePage, Event, Op, Pass, Payer, RegionCreate,
    Relation, Rights, Share, Successor,
};
use xos_protocol::{Error, IcId, Name, RegionId, Result, Subject, slots, wire};

use super::{ALL, BASIC, paid_by};
use crate::machine::Kept;
use crate::model::{DOMAINS, DRIVER, MONITOR, Model, ONE, TWO, World};
use crate::pool::{self, Part};
use crate::table::Record;
use xos_protocol::manager::Create;
use xos_protocol::supervisor::{BootChannel, BootMap};

const NOTHING: Consent = Consent {
    within: false,
    share: false,
    connect: false,
};

/// Two apps, the first of which serves as `app`, and the second is its client.
struct Pair {
    w: World,
    server: IcId,
    client: IcId,
    /// The client's session on the server, in the client's slot 20.
    session: u32,
}

impl Pair {
    fn new() -> Self {
        let (mut w, payer) = World::with_one();
        let [server, client] = [30, 31].map(|place| {
            let args = paid_by(payer, place);
            w.create(ONE, args).unwrap().id
        });
        w.make(server.index(), 0, 12).unwrap();
        w.register_as(server.index(), "app", 12, Successor::None)
            .unwrap();
        let session = w.open(client.index(), "app", 20).unwrap();
        let mut pair = Self {
            w,
            server,
            client,
            session,
        };
        pair.agree(client, NOTHING).unwrap();
        pair
    }

    fn agree(&mut self, who: IcId, consent: Consent) -> Result<()> {
        let words = [self.session.into(), consent.bits(), 0, 0];
        self.w.ask(who.index(), Op::Agree.label(), words).map(drop)
    }

    fn region(&mut self, who: IcId) -> RegionId {
        let args = RegionCreate {
            payer: Payer::Myself,
            pages: 2,
            large: false,
            place: 0,
        };
        let words = self
            .w
            .ask(who.index(), Op::RegionCreate.label(), args.words());
        RegionId::from_word(words.unwrap()[0])
    }

    /// `who` shares a region with the other end of the session.
    fn share(&mut self, who: IcId, region: RegionId) -> Result<()> {
        let args = Share {
            region,
            target: Subject::Client(self.session),
            address: 0x7400_0000_0000,
            rights: Rights::RW,
        };
        let shared = self.w.ask(who.index(), Op::Share.label(), args.words());
        self.w.check();
        shared.map(drop)
    }

    fn edges(&mut self) -> Vec<Edge> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let words = self.w.ask(MONITOR, Op::Graph.label(), [cursor, 0, 0, 0]);
            let page: EdgePage = wire::decode(&words.unwrap()).unwrap();
            all.extend(page.edges);
            cursor = page.next;
            if cursor == 0 {
                return all;
            }
        }
    }

    fn has(&mut self, from: IcId, to: IcId, kind: EdgeKind) -> bool {
        self.edges().contains(&Edge { from, to, kind })
    }
}

#[test]
fn either_end_of_a_session_shares_with_the_other_if_that_one_agreed() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server, pair.client);
    for (owner, other) in [(server, client), (client, server)] {
        let region = pair.region(owner);
        assert_eq!(pair.share(owner, region), Err(Error::NoConsent));
        let agreed = Consent {
            share: true,
            ..NOTHING
        };
        pair.agree(other, agreed).unwrap();
        pair.share(owner, region).unwrap();
        assert!(pair.has(owner, other, EdgeKind::Share(region, Rights::RW)));
        // It changed its mind: what was shared stays until somebody takes it back, and nothing new comes.
        pair.agree(other, NOTHING).unwrap();
        let another = pair.region(owner);
        assert_eq!(pair.share(owner, another), Err(Error::NoConsent));
    }
}

#[test]
fn what_one_agreed_to_is_not_the_consent_of_the_other() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server, pair.client);
    pair.agree(client, ALL).unwrap();
    let region = pair.region(client);
    assert_eq!(pair.share(client, region), Err(Error::NoConsent));
    let bits = [pair.session.into(), 8, 0, 0];
    let refused = pair.w.ask(server.index(), Op::Agree.label(), bits);
    assert_eq!(refused.unwrap_err(), Error::Malformed);
    // Nobody else has a say in it.
    let words = [pair.session.into(), 7, 0, 0];
    let refused = pair.w.ask(TWO, Op::Agree.label(), words);
    assert_eq!(refused.unwrap_err(), Error::Gone);
}

#[test]
fn a_region_is_taken_back_by_its_owner_by_who_maps_it_and_by_the_supervisor() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server, pair.client);
    pair.agree(client, ALL).unwrap();
    let region = pair.region(server);
    for (who, subject) in [
        (server.index(), Subject::Ic(client)),
        (server.index(), Subject::Client(pair.session)),
        (client.index(), Subject::Myself),
        (MONITOR, Subject::Ic(client)),
    ] {
        pair.share(server, region).unwrap();
        for stranger in [DRIVER, TWO] {
            let words = [region.word(), Subject::Ic(client).word(), 0, 0];
            let refused = pair.w.ask(stranger, Op::Unshare.label(), words);
            assert_eq!(refused.unwrap_err(), Error::NotAllowed);
        }
        let words = [region.word(), subject.word(), 0, 0];
        let result = pair.w.ask(who, Op::Unshare.label(), words);
        if subject == Subject::Ic(client) && who == server.index() {
            // A server does not name its clients by their ids.
            assert_eq!(result.unwrap_err(), Error::NotAllowed);
            let words = [region.word(), Subject::Client(pair.session).word(), 0, 0];
            pair.w.ask(who, Op::Unshare.label(), words).unwrap();
        } else {
            result.unwrap();
        }
        pair.w.check();
        assert!(!pair.has(server, client, EdgeKind::Share(region, Rights::RW)));
        let again = pair.w.ask(client.index(), Op::Unshare.label(), words);
        assert!(again.is_err());
    }
}

#[test]
fn a_session_is_ended_by_either_end_and_by_the_supervisor_but_nobody_else() {
    for who in [None, Some(true), Some(false)] {
        let mut pair = Pair::new();
        let words = [pair.session.into(), 0, 0, 0];
        for stranger in [DRIVER, TWO] {
            let refused = pair.w.ask(stranger, Op::Close.label(), words);
            assert_eq!(refused.unwrap_err(), Error::Gone);
        }
        let closer = match who {
            None => MONITOR,
            Some(true) => pair.server.index(),
            Some(false) => pair.client.index(),
        };
        pair.w.ask(closer, Op::Close.label(), words).unwrap();
        pair.w.check();
        let told = pair.w.event(pair.server.index()) == Event::Closed(pair.session);
        assert_eq!(told, who != Some(true));
    }
}

#[test]
fn a_session_is_passed_on_as_a_session_of_the_receivers_own() {
    let mut pair = Pair::new();
    let args = Create {
        payer: Payer::Myself,
        place: 32,
        ..BASIC
    };
    let third = pair.w.create(ONE, args).unwrap().id;
    let pass = |pair: &mut Pair, who, target| {
        let args = Pass {
            session: pair.session,
            slot: 21,
            target,
        };
        let passed = pair.w.ask(who, Op::Pass.label(), args.words());
        pair.w.check();
        passed.map(|words| words[0] as u32)
    };
    let client = pair.client.index();
    // To nobody who has not agreed, and by nobody who does not have it.
    assert_eq!(
        pass(&mut pair, client, Subject::Ic(third)),
        Err(Error::NotAllowed)
    );
    assert_eq!(
        pass(&mut pair, DRIVER, Subject::Ic(third)),
        Err(Error::Gone)
    );
    let server = pair.server.index();
    assert_eq!(
        pass(&mut pair, server, Subject::Ic(third)),
        Err(Error::NotAllowed)
    );
    // Through a session of the third's on the client.
    pair.w.make(client, 0, 13).unwrap();
    pair.w
        .register_as(client, "client", 13, Successor::None)
        .unwrap();
    let between = pair.w.open(third.index(), "client", 22).unwrap();
    let passed = pass(&mut pair, client, Subject::Client(between)).unwrap();
    let (server, third_id) = (pair.server, third);
    assert!(pair.has(third_id, server, EdgeKind::Session(passed)));
    // It outlives that of the one who passed it, and is the receiver's to close.
    let words = [pair.session.into(), 0, 0, 0];
    pair.w.ask(client, Op::Close.label(), words).unwrap();
    assert!(pair.has(third_id, server, EdgeKind::Session(passed)));
    let words = [passed.into(), 0, 0, 0];
    pair.w.ask(third.index(), Op::Close.label(), words).unwrap();
    pair.w.check();
    assert!(!pair.has(third_id, server, EdgeKind::Session(passed)));
}

#[test]
fn a_connected_notification_is_passed_on_with_a_bit_of_its_own() {
    let mut pair = Pair::new();
    pair.agree(pair.client, ALL).unwrap();
    let (server, client) = (pair.server.index(), pair.client.index());
    pair.w.make(server, 1, 13).unwrap();
    let args = Connect {
        source: 13,
        slot: 21,
        target: Subject::Client(pair.session),
    };
    let connected = pair
        .w
        .ask(server, Op::Connect.label(), args.words())
        .unwrap()[0] as u32;
    let (to, from) = (pair.server, pair.client);
    assert!(pair.has(from, to, EdgeKind::Connection(connected)));
    let args = Pass {
        session: connected,
        slot: 22,
        target: Subject::Myself,
    };
    let passed = pair.w.ask(client, Op::Pass.label(), args.words()).unwrap()[0] as u32;
    let cspace = pair.w.m.pool(pool::ic(client, Part::CSpace)).unwrap();
    let slot = pair.w.m.kernel.resolve(cspace, 22, 5).unwrap();
    let Some(crate::model::kernel::Cap::Notification { badge, .. }) = pair.w.m.kernel.cap(slot)
    else {
        panic!("no notification")
    };
    assert_eq!(badge, 1 << (passed % 24));
    pair.w.check();
}

#[test]
fn a_declaration_is_shown_as_one_and_goes_with_either_end() {
    let mut pair = Pair::new();
    let (server, client) = (pair.server, pair.client);
    let declare = |pair: &mut Pair, who, from, to, holds| {
        let args = Declare {
            from,
            to,
            relation: Relation::Control,
            holds,
        };
        let declared = pair.w.ask(who, Op::Declare.label(), args.words());
        pair.w.check();
        declared.map(drop)
    };
    let (a, b) = (Subject::Ic(server), Subject::Ic(client));
    let kind = EdgeKind::Declared(Relation::Control);
    // Only about one's own.
    assert_eq!(declare(&mut pair, TWO, a, b, true), Err(Error::NotAllowed));
    let before = pair.w.budget(ONE);
    for holds in [true, true, false, false, true] {
        declare(&mut pair, ONE, a, b, holds).unwrap();
        assert_eq!(pair.has(server, client, kind), holds);
    }
    assert_eq!(pair.edges().iter().filter(|e| e.kind == kind).count(), 1);
    pair.w.destroy(ONE, client).unwrap();
    pair.w.check();
    assert!(!pair.edges().iter().any(|e| e.kind == kind));
    // Nobody reads of it; and what it cost is back, but for the IC itself.
    assert!(pair.w.budget(ONE)[2] >= before[2]);
}

#[test]
fn a_region_is_an_edge_from_its_owner_to_who_pays() {
    let mut pair = Pair::new();
    let region = pair.region(pair.client);
    let client = pair.client;
    assert!(pair.has(client, client, EdgeKind::Region(region, 2)));
}

#[test]
fn callers_that_a_dying_server_kept_are_answered_by_it_alone() {
    let mut pair = Pair::new();
    let server = pair.server.index();
    let keep = |pair: &mut Pair, who, first, count| {
        let words = [first, count, 0, 0];
        pair.w.ask(who, Op::Keep.label(), words).map(drop)
    };
    assert_eq!(keep(&mut pair, ONE, 16, 4), Err(Error::NotSupported));
    for (first, count) in [(11, 4), (30, 3), (u64::MAX, 2), (1 << 32, 1)] {
        assert_eq!(keep(&mut pair, server, first, count), Err(Error::BadSlot));
    }
    keep(&mut pair, server, 24, 8).unwrap();
    // Its factory holds a copy of its CSpace, as they all do; the model objects if it still does by then.
    assert_eq!(pair.w.destroy(ONE, pair.server), Ok(0));
    pair.w.check();
    let kept = Kept {
        cspace: pool::ic(server, Part::CSpace),
        radix: 5,
        first: 24,
        count: 8,
    };
    assert_eq!(pair.w.m.kept, [kept]);
    pair.w.rest();
    pair.w.check();
    assert!(pair.w.m.defects.is_empty(), "{:?}", pair.w.m.defects);
}

#[test]
fn a_notification_of_its_own_is_bound_to_an_ic_once() {
    let mut pair = Pair::new();
    let server = pair.server.index();
    pair.w.make(server, 1, 13).unwrap();
    let bind =
        |pair: &mut Pair, who, slot| pair.w.ask(who, Op::Bind.label(), [slot, 0, 0, 0]).map(drop);
    let wrong = Err(Error::BadCapability);
    assert_eq!(bind(&mut pair, server, 12), wrong, "an endpoint");
    assert_eq!(bind(&mut pair, server, u64::MAX), Err(Error::BadSlot));
    assert_eq!(bind(&mut pair, server, slots::ic::MANAGER.into()), wrong);
    bind(&mut pair, server, 13).unwrap();
    let execution = pool::ic(server, Part::Execution);
    assert_eq!(pair.w.m.bound[0].0, execution);
    assert!(bind(&mut pair, server, 13).is_err());
}

#[test]
fn channels_and_memory_from_boot_are_edges() {
    let (mut m, mut boot) = Model::new(&DOMAINS, &[24, 23, 23]);
    boot.channels
        .push(BootChannel {
            from: MONITOR as u16,
            to: DRIVER as u16,
            calls: true,
        })
        .unwrap();
    for number in 0..20 {
        boot.maps
            .push(BootMap {
                domain: DRIVER as u16,
                region: Name::new(&format!("a_region_with_a_name_{number}")),
                pages: u32::MAX,
                rights: Rights::RW,
            })
            .unwrap();
    }
    let mut w = World::new();
    let mut manager = crate::Manager::new(crate::Storage {
        ics: vec![crate::ic::Ic::VACANT; 64].leak(),
        regions: vec![crate::region::Region::VACANT; 8].leak(),
        bonds: vec![crate::bond::Bond::VACANT; 64].leak(),
        blocks: vec![crate::untyped::Block::VACANT; 1024].leak(),
    });
    manager.start(&mut m, &boot).unwrap();
    (w.m, w.manager) = (m, manager);
    let id = |w: &mut World, who| {
        let words = w.ask(who, Op::Ping.label(), [0; 4]).unwrap();
        IcId::from_word(words[0])
    };
    let (from, to) = (id(&mut w, MONITOR), id(&mut w, DRIVER));
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        let words = w.ask(DRIVER, Op::Graph.label(), [next, 0, 0, 0]).unwrap();
        let page: EdgePage = wire::decode(&words).unwrap();
        all.extend(page.edges);
        next = page.next;
        if next == 0 {
            break;
        }
    }
    let kind = EdgeKind::Channel(true);
    assert_eq!(all[0], Edge { from, to, kind });
    assert_eq!(all.len(), 21);
    let name = Name::new("a_region_with_a_name_19");
    let kind = EdgeKind::Maps(name, u32::MAX, Rights::RW);
    let from = to;
    assert_eq!(all[20], Edge { from, to, kind });
}
