// SPDX-License-Identifier: BSD-2-Clause
//! Boot domains that crash and come back.

use xos_protocol::manager::{Create, CreateWithin, Event, Op, Payer, RegionCreate, Successor};
use xos_protocol::{Error, IcId};

use super::paid_by;
use crate::model::{DRIVER, MONITOR, ONE, TWO, World};

impl World {
    fn crash(&mut self, domain: u32) {
        self.m.crashes.push_back(domain);
        self.manager.crashed(&mut self.m);
        self.check();
    }

    fn id(&mut self, caller: u32) -> IcId {
        IcId::from_word(self.ask(caller, Op::Ping.label(), [0; 4]).unwrap()[0])
    }
}

#[test]
fn a_crashed_factory_takes_its_ics_along_and_comes_back_as_another() {
    let mut w = World::new();
    let before = w.balance();
    w.register(ONE, "one").unwrap();
    let session = w.open(MONITOR, "one", 20).unwrap();
    let args = paid_by(session, 20);
    let small = w.create(ONE, args).unwrap().id;
    let large = w
        .create(
            ONE,
            Create {
                place: 21,
                memory: 150,
                ..args
            },
        )
        .unwrap()
        .id;
    let region = RegionCreate {
        payer: Payer::Client(session),
        pages: 3,
        large: false,
        place: 40,
    };
    w.region(ONE, region).unwrap();
    let old = w.id(ONE);
    w.crash(ONE);
    assert_eq!(w.m.disposed, [], "not before the reaper is done");
    for id in [small, large] {
        assert_eq!(w.on_id(MONITOR, Op::Stat, id).unwrap_err(), Error::Gone);
    }
    w.rest();
    w.check();
    assert_eq!(w.m.disposed, [ONE]);
    assert_ne!(w.id(ONE), old);
    assert_eq!(w.event(ONE), Event::None);
    assert_eq!(w.balance(), before);
}

#[test]
fn nobody_passes_for_a_domain_that_is_down() {
    let (mut w, _) = World::with_one();
    w.crash(ONE);
    assert_eq!(w.open(MONITOR, "one", 21), Err(Error::NotFound));
    assert_eq!(w.register(TWO, "one"), Err(Error::NameTaken));
    w.register(ONE, "one").unwrap();
    w.open(MONITOR, "one", 21).unwrap();
    w.check();
}

#[test]
fn a_successor_inherits_ics_and_clients() {
    let mut w = World::new();
    w.register_as(ONE, "one", 0, Successor::SameName).unwrap();
    let session = w.open(MONITOR, "one", 20).unwrap();
    let args = paid_by(session, 20);
    let id = w.create(ONE, args).unwrap().id;
    w.crash(ONE);
    assert_eq!(w.m.disposed, [ONE]);
    assert_eq!(w.open(MONITOR, "one", 21), Err(Error::NotFound));
    w.register_as(ONE, "one", 0, Successor::SameName).unwrap();
    w.on_id(ONE, Op::Stat, id).unwrap();
    w.create(ONE, Create { place: 21, ..args }).unwrap();
    assert_eq!(w.destroy(ONE, id), Ok(1));
    w.check();
}

#[test]
fn a_client_that_crashes_is_reported_to_its_servers_and_its_payees_die() {
    let (mut w, session) = World::with_one();
    let args = paid_by(session, 20);
    let id = w.create(ONE, args).unwrap().id;
    w.make(MONITOR, 0, 70).unwrap();
    w.crash(MONITOR);
    assert_eq!(w.m.disposed, [MONITOR]);
    assert_eq!(w.event(ONE), Event::Closed(session));
    assert_eq!(w.event(ONE), Event::Died(id));
    assert_eq!(w.event(ONE), Event::None);
    w.open(MONITOR, "one", 20).unwrap();
    w.check();
}

#[test]
fn an_ic_within_a_crashed_domain_goes_with_it() {
    let mut w = World::new();
    w.register(TWO, "two").unwrap();
    let host = w.open(DRIVER, "two", 20).unwrap();
    let args = CreateWithin {
        host,
        place: 30,
        handle: 31,
        ..super::WITHIN
    };
    let before = w.budget(DRIVER);
    let id = w.create_within(TWO, args).unwrap().id;
    w.crash(DRIVER);
    w.rest();
    w.check();
    assert_eq!(w.m.disposed, [DRIVER]);
    assert_eq!(w.event(TWO), Event::Closed(host));
    assert_eq!(w.event(TWO), Event::Died(id));
    // The session's unit and the tables above the window are back as well.
    assert_eq!(w.budget(DRIVER), [before[0], before[1], before[2] + 1]);
}

#[test]
fn a_crash_of_nobody_is_acknowledged() {
    let mut w = World::new();
    w.crash(4000);
    assert_eq!(w.m.disposed, [4000]);
}

#[test]
fn the_supervisor_and_nobody_else_can_bring_a_boot_domain_down() {
    let (mut w, session) = World::with_one();
    let args = paid_by(session, 20);
    let id = w.create(ONE, args).unwrap().id;
    let domain = w.id(ONE);
    for other in [ONE, TWO, DRIVER] {
        assert_eq!(w.destroy(other, domain), Err(Error::NotAllowed));
    }
    assert_eq!(w.destroy(MONITOR, domain), Ok(0));
    // The domain crashes, which the manager hears from the root task as of any other crash.
    assert_eq!(w.m.crashes, [ONE]);
    w.manager.crashed(&mut w.m);
    w.rest();
    w.check();
    assert_eq!(w.m.disposed, [ONE]);
    assert_eq!(w.on_id(MONITOR, Op::Stat, id).unwrap_err(), Error::Gone);
    assert_eq!(w.destroy(MONITOR, domain), Err(Error::Gone), "an old id");
}
