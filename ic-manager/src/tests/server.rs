// SPDX-License-Identifier: BSD-2-Clause
//! Names, sessions, connections, objects, news.

use xos_protocol::manager::{
    Connect, Consent, Create, EdgeKind, EdgePage, Event, Op, Open, ServicePage, Successor,
    WATCH_BADGE,
};
use xos_protocol::supervisor::boot;
use xos_protocol::{Badge, Error, IcId, Name, Subject, Who, slots, wire};

use super::{ALL, BASIC, paid_by};
use crate::model::kernel::{Cap, GRANT, Object, WRITE};
use crate::model::{DRIVER, MONITOR, ONE, TWO, World};
use crate::pool::{self, Part};

impl World {
    fn close(&mut self, caller: u32, session: u32) -> Result<(), Error> {
        self.ask(caller, Op::Close.label(), [session as u64, 0, 0, 0])
            .map(drop)
    }

    pub fn make(&mut self, caller: u32, kind: u64, slot: u32) -> Result<(), Error> {
        self.ask(caller, Op::Make.label(), [kind, slot as u64, 0, 0])
            .map(drop)
    }

    fn watch(&mut self, caller: u32, subject: Subject, slot: u32) -> Result<(), Error> {
        self.ask(
            caller,
            Op::Watch.label(),
            [subject.word(), slot as u64, 0, 0],
        )
        .map(drop)
    }

    /// What lies in a root slot of an IC.
    pub(super) fn held(&self, home: u32, slot: u32) -> Option<Cap> {
        let (cspace, radix) = match home {
            0..5 => (pool::domain(home, boot::DOMAIN_CSPACE), 12),
            _ => (pool::ic(home, Part::CSpace), 5),
        };
        let root = self.m.pool(cspace).unwrap();
        self.m
            .kernel
            .cap(self.m.kernel.resolve(root, slot as u64, radix).unwrap())
    }

    /// An IC of `ONE` that the supervisor pays for.
    fn app(&mut self, place: u32) -> IcId {
        let payer = self
            .open(MONITOR, "one", 200 + self.manager.bonds.end())
            .unwrap();
        self.create(ONE, paid_by(payer, place)).unwrap().id
    }
}

#[test]
fn who_serves_nothing_makes_ics_that_can_call_nobody_but_the_manager() {
    let (mut w, _) = World::with_one();
    let app = w.app(30).index();
    let before = (w.free(), w.budget(app));
    let args = Create {
        place: 20,
        quota: 60,
        ics: 0,
        ..BASIC
    };
    // A handle would be a name at a server.
    let named = Create { handle: 21, ..args };
    assert_eq!(w.create(app, named), Err(Error::BadState));
    let id = w.create(app, args).unwrap().id;
    w.check();
    assert!(w.held(id.index(), slots::ic::ITSELF).is_none());
    assert!(w.held(id.index(), slots::ic::MANAGER).is_some());
    w.destroy(app, id).unwrap();
    w.check();
    assert_eq!((w.free(), w.budget(app)), before);
    // The next one with the same index may be somebody's who serves.
    let (next, payer) = (w.app(31), w.open(MONITOR, "one", 33).unwrap());
    assert!(w.held(next.index(), slots::ic::ITSELF).is_some());
    w.close(MONITOR, payer).unwrap();
    w.check();
}

#[test]
fn a_session_is_a_badged_capability_for_sending_only() {
    let (mut w, session) = World::with_one();
    let badge = Badge::new(Who::Session(session)).unwrap().word();
    let Some(Cap::Endpoint {
        badge: found,
        rights,
        ..
    }) = w.held(MONITOR, 20)
    else {
        panic!("no session")
    };
    assert_eq!((found, rights), (badge, WRITE | GRANT));
    w.close(MONITOR, session).unwrap();
    w.check();
    assert_eq!(w.held(MONITOR, 20), None);
    assert_eq!(w.event(ONE), Event::Closed(session));
    assert_eq!(w.event(ONE), Event::None);
    assert_eq!(w.close(MONITOR, session), Err(Error::Gone));
}

#[test]
fn an_index_is_not_used_again_before_the_server_has_read_that_it_is_free() {
    let (mut w, session) = World::with_one();
    w.close(MONITOR, session).unwrap();
    let next = w.open(MONITOR, "one", 20).unwrap();
    assert_ne!(next, session);
    w.event(ONE);
    assert_eq!(w.open(MONITOR, "one", 21), Ok(session));
    w.check();
}

#[test]
fn whoever_was_queued_with_a_badge_is_not_when_it_is_used_again() {
    let (mut w, session) = World::with_one();
    let badge = Badge::new(Who::Session(session)).unwrap().word();
    let Some(Cap::Endpoint { base, .. }) = w.held(MONITOR, 20) else {
        panic!("no session")
    };
    let Some(Object::Endpoint(queue)) = w.m.kernel.objects.get_mut(&base) else {
        panic!()
    };
    queue.extend([badge, badge + 1, badge]);
    w.ask(ONE, Op::Close.label(), [session as u64, 0, 0, 0])
        .unwrap();
    let Some(Object::Endpoint(queue)) = w.m.kernel.objects.get_mut(&base) else {
        panic!()
    };
    assert_eq!(queue, &[badge + 1]);
}

#[test]
fn a_server_that_does_not_read_gets_no_new_clients_and_hurts_nobody_else() {
    let (mut w, session) = World::with_one();
    w.close(MONITOR, session).unwrap();
    w.register(TWO, "two").unwrap();
    let mut opened = 0;
    let error = loop {
        match w.open(MONITOR, "one", 20) {
            Ok(session) => w.close(MONITOR, session).unwrap(),
            Err(error) => break error,
        }
        opened += 1;
        assert!(opened < 10_000);
    };
    assert!(matches!(error, Error::TableFull | Error::OverBudget));
    w.check();
    w.drain(ONE);
    w.open(MONITOR, "one", 20).unwrap();
    w.open(MONITOR, "two", 21).unwrap();
    w.check();
}

#[test]
fn names_are_taken_once_and_go_with_their_server() {
    let (mut w, _) = World::with_one();
    assert_eq!(w.register(TWO, "one"), Err(Error::NameTaken));
    assert_eq!(w.register(ONE, "one"), Err(Error::NameTaken));
    assert_eq!(w.register(ONE, ""), Err(Error::Malformed));
    assert_eq!(w.register(MONITOR, "x"), Err(Error::BadState));
    let app = w.app(30).index();
    assert_eq!(w.register(app, "app"), Err(Error::BadState));
    assert_eq!(
        w.register_as(app, "app", 12, Successor::None),
        Err(Error::BadCapability)
    );
    w.make(app, 1, 13).unwrap();
    assert_eq!(
        w.register_as(app, "app", 13, Successor::None),
        Err(Error::BadCapability)
    );
    w.make(app, 0, 12).unwrap();
    assert_eq!(
        w.register_as(app, "app", 12, Successor::SameName),
        Err(Error::NotSupported)
    );
    w.register_as(app, "app", 12, Successor::None).unwrap();
    w.open(MONITOR, "app", 40).unwrap();
    let words = w.ask(TWO, Op::Services.label(), [0; 4]).unwrap();
    let page: ServicePage = wire::decode(&words).unwrap();
    let names: Vec<_> = page
        .services
        .iter()
        .map(|s| s.name.as_str().to_owned())
        .collect();
    assert_eq!(names, ["app", "one"]);
    w.check();
    let id = IcId::from_word(w.ask(app, Op::Ping.label(), [0; 4]).unwrap()[0]);
    w.destroy(ONE, id).unwrap();
    w.rest();
    w.check();
    assert_eq!(w.open(MONITOR, "app", 41), Err(Error::NotFound));
    assert_eq!(w.held(MONITOR, 40), None);
}

#[test]
fn a_session_to_a_slot_that_is_not_free_is_refused() {
    let (mut w, _) = World::with_one();
    let before = (w.free(), w.budget(MONITOR));
    for slot in [0, 20] {
        assert_eq!(w.open(MONITOR, "one", slot), Err(Error::BadSlot));
    }
    let app = w.app(30).index();
    for slot in [slots::ic::ITSELF, slots::ic::MANAGER, 32, 4095] {
        assert_eq!(w.open(app, "one", slot), Err(Error::BadSlot));
    }
    assert_eq!(w.open(MONITOR, "nobody", 21), Err(Error::NotFound));
    w.check();
    let id = IcId::from_word(w.ask(app, Op::Ping.label(), [0; 4]).unwrap()[0]);
    w.destroy(ONE, id).unwrap();
    (1..w.manager.bonds.end()).for_each(|s| w.close(MONITOR, s).unwrap_or(()));
    w.drain(ONE);
    assert_eq!((w.free(), w.budget(MONITOR)), before);
}

#[test]
fn an_object_is_made_once_per_slot_and_given_again() {
    let (mut w, _) = World::with_one();
    let app = w.app(30).index();
    w.make(app, 0, 12).unwrap();
    let first = w.held(app, 12);
    assert!(matches!(
        first,
        Some(Cap::Endpoint {
            badge: 0,
            rights: 7,
            ..
        })
    ));
    assert_eq!(w.make(app, 0, 12), Err(Error::BadSlot));
    assert_eq!(w.make(app, 1, 12), Err(Error::BadState));
    let slot =
        w.m.kernel
            .resolve(w.m.pool(pool::ic(app, Part::CSpace)).unwrap(), 12, 5)
            .unwrap();
    w.m.kernel.delete(slot);
    w.make(app, 0, 12).unwrap();
    assert_eq!(w.held(app, 12), first);
    assert_eq!(w.make(app, 2, 13), Err(Error::Malformed));
    assert_eq!(w.make(app, 0, 0), Err(Error::BadSlot));
    let made = (13..32)
        .filter(|slot| w.make(app, 0, *slot).is_ok())
        .count();
    assert_eq!(made, 7, "as many as it has units left");
    w.check();
}

#[test]
fn a_connection_reaches_only_who_may_be_reached_and_is_taken_back() {
    let (mut w, _) = World::with_one();
    let (a, b) = (w.app(30), w.app(31));
    w.make(ONE, 0, 50).unwrap();
    w.make(ONE, 1, 51).unwrap();
    let connect = |w: &mut World, caller, source, slot, target| {
        let words = Connect {
            source,
            slot,
            target,
        }
        .words();
        let result = w
            .ask(caller, Op::Connect.label(), words)
            .map(|words| words[0] as u32);
        w.check();
        result
    };
    let session = connect(&mut w, ONE, 50, 12, Subject::Ic(a)).unwrap();
    assert!(matches!(w.held(a.index(), 12), Some(Cap::Endpoint { .. })));
    let signal = connect(&mut w, ONE, 51, 13, Subject::Ic(a)).unwrap();
    let Some(Cap::Notification { badge, .. }) = w.held(a.index(), 13) else {
        panic!()
    };
    assert_eq!(badge, 1 << (signal % 24));
    assert_eq!(
        connect(&mut w, ONE, 52, 14, Subject::Ic(a)),
        Err(Error::BadCapability)
    );
    assert_eq!(
        connect(&mut w, ONE, 50, 12, Subject::Ic(a)),
        Err(Error::BadSlot)
    );
    assert_eq!(
        connect(&mut w, TWO, 0, 14, Subject::Ic(a)),
        Err(Error::NotAllowed)
    );
    assert_eq!(
        connect(&mut w, a.index(), 0, 14, Subject::Ic(b)),
        Err(Error::BadState)
    );
    connect(&mut w, ONE, 0, 14, Subject::Ic(b)).unwrap();
    // The target ends one, dies with the other.
    w.close(a.index(), session).unwrap();
    assert_eq!(w.event(ONE), Event::Closed(session));
    w.destroy(ONE, a).unwrap();
    w.check();
    assert_eq!(w.event(ONE), Event::Closed(signal));
}

#[test]
fn a_client_is_connected_only_if_it_consented() {
    let (mut w, _) = World::with_one();
    let name = Name::new("one");
    let shy = Open {
        name,
        slot: 22,
        consent: Consent {
            connect: false,
            ..ALL
        },
    };
    let shy = w.ask(MONITOR, Op::Open.label(), shy.words()).unwrap()[0] as u32;
    let willing = w.open(MONITOR, "one", 23).unwrap();
    let words = |session| {
        Connect {
            source: 0,
            slot: 60,
            target: Subject::Client(session),
        }
        .words()
    };
    assert_eq!(
        w.ask(ONE, Op::Connect.label(), words(shy)).unwrap_err(),
        Error::NoConsent
    );
    w.ask(ONE, Op::Connect.label(), words(willing)).unwrap();
    assert!(w.held(MONITOR, 60).is_some());
}

#[test]
fn a_watch_fires_once_when_an_ic_ends_and_at_once_if_it_has() {
    let (mut w, _) = World::with_one();
    let (a, b) = (w.app(30), w.app(31));
    let channel = pool::domain(MONITOR, boot::DOMAIN_NOTIFICATION);
    w.watch(MONITOR, Subject::Ic(a), 0).unwrap();
    w.watch(MONITOR, Subject::Ic(a), 0).unwrap();
    w.make(MONITOR, 1, 70).unwrap();
    w.watch(MONITOR, Subject::Ic(b), 70).unwrap();
    assert_eq!(
        w.watch(MONITOR, Subject::Ic(b), 71),
        Err(Error::BadCapability)
    );
    assert_eq!(w.watch(TWO, Subject::Ic(b), 0), Err(Error::NotAllowed));
    assert_eq!(w.watch(a.index(), Subject::Myself, 0), Err(Error::BadSlot));
    w.check();
    let object = pool::bond(w.manager.object(MONITOR, 70).unwrap());
    assert_eq!((w.m.notified(channel), w.m.notified(object)), (0, 0));
    w.on_id(ONE, Op::Ended, a).unwrap();
    assert_eq!((w.m.notified(channel), w.m.notified(object)), (1, 0));
    w.on_id(ONE, Op::Ended, a).unwrap();
    w.destroy(ONE, a).unwrap();
    assert_eq!(w.m.notified(channel), 0);
    w.destroy(ONE, b).unwrap();
    assert_eq!(w.m.notified(object), WATCH_BADGE);
    let c = w.app(30);
    w.on_id(ONE, Op::Ended, c).unwrap();
    assert_eq!(w.m.notified(channel), 0);
    w.watch(MONITOR, Subject::Ic(c), 0).unwrap();
    assert_eq!(w.m.notified(channel), 1);
    w.check();
}

#[test]
fn an_app_that_serves_is_told_of_its_clients_through_a_notification_of_its_own() {
    let (mut w, _) = World::with_one();
    let app = w.app(30).index();
    w.make(app, 0, 12).unwrap();
    w.make(app, 1, 13).unwrap();
    w.watch(app, Subject::Myself, 13).unwrap();
    w.watch(app, Subject::Myself, 13).unwrap();
    w.register_as(app, "app", 12, Successor::None).unwrap();
    let session = w.open(MONITOR, "app", 40).unwrap();
    let object = pool::bond(w.manager.object(app, 13).unwrap());
    assert_eq!(w.m.notified(object), 0);
    w.close(MONITOR, session).unwrap();
    assert_eq!(w.m.notified(object), WATCH_BADGE);
    assert_eq!(w.event(app), Event::Closed(session));
    w.check();
}

#[test]
fn whoever_waits_for_a_dying_server_is_answered_before_it_is_gone() {
    let (mut w, _) = World::with_one();
    w.register(TWO, "two").unwrap();
    let before = w.free();
    let (app, other) = (w.app(30), w.app(31));
    w.make(app.index(), 0, 12).unwrap();
    let session = w.open(app.index(), "two", 14).unwrap();
    let within = xos_protocol::manager::CreateWithin {
        host: session,
        place: 40,
        handle: 13,
        window: 0x4000_0000,
        pages: 2,
        memory: 0,
        parts_radix: 1,
        runs: false,
    };
    w.create_within(TWO, within).unwrap();
    assert_eq!(w.destroy(ONE, app), Ok(0));
    w.check();
    assert_eq!(w.on_id(ONE, Op::Stat, app).unwrap_err(), Error::Gone);
    // One that serves nobody does not wait for it.
    assert_eq!(w.destroy(ONE, other), Ok(1));
    assert_eq!(w.m.answering.len(), 1, "one at a time");
    w.rest();
    w.check();
    assert_eq!(w.event(ONE), Event::Died(app));
    while w.event(TWO) != Event::None {}
    assert_eq!(w.free().bytes, before.bytes);
    assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
}

#[test]
fn a_server_that_has_ended_answers_who_waits_before_anybody_asks_how() {
    // Destroyed when it has answered, and while it does.
    for rests in [true, false] {
        let (mut w, _) = World::with_one();
        // Its payer's session stays.
        let earlier = w.app(30);
        w.destroy(ONE, earlier).unwrap();
        let mut before = w.free();
        let app = w.app(30);
        before.sessions += 1;
        before.slots -= 1;
        w.make(app.index(), 0, 12).unwrap();
        w.register_as(app.index(), "app", 12, Successor::None)
            .unwrap();
        w.open(MONITOR, "app", 40).unwrap();
        w.on_id(ONE, Op::Ended, app).unwrap();
        assert_eq!(w.m.answering.len(), 1);
        w.check();
        // Nobody is let in any more, and what it had made is gone.
        assert_eq!(w.open(MONITOR, "app", 41).unwrap_err(), Error::NotFound);
        assert!(w.manager.object(app.index(), 12).is_none());
        if rests {
            w.rest();
            w.check();
        }
        w.destroy(ONE, app).unwrap();
        w.check();
        w.rest();
        w.check();
        w.drain(ONE);
        assert_eq!(w.free(), before);
        assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
    }
}

#[test]
fn what_depends_on_an_ic_that_has_ended_ends_with_it() {
    let (mut w, _) = World::with_one();
    w.register(TWO, "two").unwrap();
    let app = w.app(30);
    let session = w.open(app.index(), "two", 14).unwrap();
    let within = xos_protocol::manager::CreateWithin {
        host: session,
        place: 40,
        handle: 13,
        window: 0x4000_0000,
        pages: 2,
        memory: 0,
        parts_radix: 1,
        runs: false,
    };
    let inner = w.create_within(TWO, within).unwrap().id;
    w.on_id(ONE, Op::Ended, app).unwrap();
    w.rest();
    w.check();
    assert_eq!(w.on_id(TWO, Op::Stat, inner).unwrap_err(), Error::Gone);
    assert!(w.on_id(ONE, Op::Stat, app).is_ok());
    w.destroy(ONE, app).unwrap();
    w.rest();
    w.check();
    assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
}

#[test]
fn the_graph_shows_what_is_enforced_to_those_concerned() {
    let (mut w, session) = World::with_one();
    let app = w.app(30);
    let edges = |w: &mut World, caller| {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let words = w.ask(caller, Op::Graph.label(), [cursor, 0, 0, 0]).unwrap();
            let page: EdgePage = wire::decode(&words).unwrap();
            all.extend(page.edges);
            cursor = page.next;
            if cursor == 0 {
                return all;
            }
        }
    };
    let id = |w: &mut World, i| IcId::from_word(w.ask(i, Op::Ping.label(), [0; 4]).unwrap()[0]);
    let (one, monitor) = (id(&mut w, ONE), id(&mut w, MONITOR));
    let all = edges(&mut w, MONITOR);
    for (from, to, kind) in [
        (one, app, EdgeKind::Created),
        (monitor, app, EdgeKind::Pays),
        (monitor, one, EdgeKind::Session(session)),
    ] {
        assert!(
            all.iter()
                .any(|e| (e.from, e.to, e.kind) == (from, to, kind)),
            "{all:?}"
        );
    }
    assert!(edges(&mut w, DRIVER).is_empty());
    assert_eq!(edges(&mut w, app.index()).len(), 2);
}

#[test]
fn a_graph_of_many_pages_shows_every_edge_once() {
    let (mut w, payer) = World::with_one();
    for i in 0..40 {
        let args = Create {
            memory: 0,
            quota: 0,
            ics: 0,
            ..paid_by(payer, 100 + i)
        };
        w.create(ONE, args).unwrap();
    }
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let words = w
            .ask(MONITOR, Op::Graph.label(), [cursor, 0, 0, 0])
            .unwrap();
        let page: EdgePage = wire::decode(&words).unwrap();
        all.extend(page.edges.iter().map(|e| format!("{e:?}")));
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(all.len(), 81);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 81);
}
