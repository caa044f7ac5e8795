// SPDX-License-Identifier: BSD-2-Clause
//! Creating, growing and destroying.

use xos_protocol::manager::{
    Consent, Create, CreateWithin, Event, Grow, IcInfo, IcPage, Op, Open, Payer,
};
use xos_protocol::supervisor::boot;
use xos_protocol::{Error, IcId, IcState, Name, Subject, slots, wire};

use super::{BASIC, Slots, WITHIN, paid_by};
use crate::model::kernel::Cap;
use crate::model::{MONITOR, ONE, TWO, World};
use crate::pool::{self, Part};

#[test]
fn a_ping_answers_the_callers_id() {
    let mut w = World::new();
    let words = w.ask(ONE, Op::Ping.label(), [0; 4]).unwrap();
    assert_eq!(IcId::from_word(words[0]).index(), ONE);
}

#[test]
fn destroying_gives_back_exactly_what_creating_took() {
    let (mut w, payer) = World::with_one();
    let before = w.balance();
    let args = Create {
        handle: 21,
        ..paid_by(payer, 20)
    };
    let created = w.create(ONE, args).unwrap();
    w.check();
    assert_eq!(created.pieces.as_slice(), &[14]);
    let during = w.free();
    assert_eq!(before.0.bytes - during.bytes, 6 << 12);
    assert_eq!(before.0.slots - during.slots, 16);
    assert_eq!(w.budget(MONITOR)[1] - before.1[1], 200);
    assert_eq!(w.destroy(ONE, created.id), Ok(1));
    w.check();
    assert_eq!(w.balance(), before);
    assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
}

#[test]
fn who_pays_for_an_ic_pays_for_what_is_made_like_it_after_its_session_was_closed() {
    let (mut w, session) = World::with_one();
    let args = Create {
        handle: 21,
        ..paid_by(session, 20)
    };
    let first = w.create(ONE, args).unwrap().id;
    w.ask(MONITOR, Op::Close.label(), [session.into(), 0, 0, 0])
        .unwrap();
    assert_eq!(w.event(ONE), Event::Closed(session));
    // Somebody else has the number of the session now.
    assert_eq!(w.open(TWO, "one", 30), Ok(session));
    let before = [w.budget(MONITOR), w.budget(TWO)];
    let like = Create {
        payer: Payer::PayerOf(first.index()),
        place: 22,
        handle: 23,
        ..BASIC
    };
    let second = w.create(ONE, like).unwrap().id;
    w.check();
    assert_eq!(w.budget(MONITOR)[1] - before[0][1], 200);
    assert_eq!(w.budget(TWO), before[1]);
    // Only its creator draws on that, and only while it lives.
    let again = Create { place: 24, ..like };
    assert_eq!(w.create(TWO, again).unwrap_err(), Error::Gone);
    w.destroy(ONE, first).unwrap();
    assert_eq!(w.create(ONE, again).unwrap_err(), Error::Gone);
    for index in [MONITOR, ONE, u32::MAX] {
        let payer = Payer::PayerOf(index);
        let none = Create { payer, ..again };
        assert_eq!(w.create(ONE, none).unwrap_err(), Error::Gone);
    }
    w.destroy(ONE, second).unwrap();
    w.check();
}

#[test]
fn a_thousand_lives_later_nothing_is_lost_and_no_id_came_twice() {
    let (mut w, payer) = World::with_one();
    let before = w.free();
    let mut last = IcId::NONE;
    for i in 0..1000 {
        let memory = i % 37;
        let args = Create {
            handle: 21,
            memory,
            ..paid_by(payer, 20)
        };
        let id = w.create(ONE, args).unwrap().id;
        assert!(id > last);
        assert_eq!(w.on_id(ONE, Op::Suspend, last).unwrap_err(), Error::Gone);
        last = id;
        w.destroy(ONE, id).unwrap();
    }
    w.check();
    assert_eq!(w.free(), before);
}

#[test]
fn the_factory_finds_the_parts_where_it_wanted_them() {
    let (mut w, payer) = World::with_one();
    for (parts_radix, cspace_radix) in [(3, 8), (8, 4), (5, 5), (4, 12)] {
        let args = Create {
            memory: 3,
            parts_radix,
            cspace_radix,
            ..paid_by(payer, 20)
        };
        let created = w.create(ONE, args).unwrap();
        w.check();
        // As the factory addresses them: root slot, then part, 20 bits below its own root.
        let root = w.m.pool(ONE * 8 + 1).unwrap();
        let part = |i: u32| {
            let slot = w.m.kernel.resolve(root, slots::cptr(20, i), 20).unwrap();
            w.m.kernel.cap(slot)
        };
        assert!(matches!(
            part(slots::parts::EXECUTION),
            Some(Cap::Tcb { .. })
        ));
        assert!(matches!(part(slots::parts::CSPACE), Some(Cap::Node { .. })));
        assert!(matches!(
            part(slots::parts::VSPACE),
            Some(Cap::VSpace { asid: Some(_), .. })
        ));
        let sizes: Vec<_> = (0..)
            .map_while(|i| match part(slots::parts::FIRST_UNTYPED + i) {
                Some(Cap::Untyped { bits, .. }) => Some(bits),
                _ => None,
            })
            .collect();
        assert_eq!(sizes, created.pieces.as_slice());
        w.destroy(ONE, created.id).unwrap();
    }
}

#[test]
fn a_failed_creation_leaves_nothing_behind() {
    let (mut w, payer) = World::with_one();
    let good = Create {
        handle: 23,
        ..paid_by(payer, 22)
    };
    w.create(
        ONE,
        Create {
            place: 20,
            handle: 21,
            ..good
        },
    )
    .unwrap();
    let before = w.balance();
    let cases = [
        (Create { place: 20, ..good }, Error::BadSlot),
        (Create { place: 0, ..good }, Error::BadSlot),
        (Create { handle: 21, ..good }, Error::BadSlot),
        (Create { quota: 5, ..good }, Error::OverBudget),
        (
            Create {
                quota: 1 << 20,
                ..good
            },
            Error::OverBudget,
        ),
        (
            Create {
                memory: 1 << 20,
                quota: 0,
                ..good
            },
            Error::OverBudget,
        ),
        (
            Create {
                payer: Payer::Client(9999),
                ..good
            },
            Error::Gone,
        ),
        (
            Create {
                cspace_radix: 8,
                parts_radix: 2,
                ..good
            },
            Error::Malformed,
        ),
    ];
    for (args, error) in cases {
        assert_eq!(w.create(ONE, args).unwrap_err(), error, "{args:?}");
        w.check();
        assert_eq!(w.balance(), before);
    }
    assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
}

#[test]
fn nobody_is_charged_who_has_not_opened_a_session_on_the_one_who_asks() {
    let (mut w, payer) = World::with_one();
    let args = paid_by(payer, 20);
    assert_eq!(w.create(TWO, args).unwrap_err(), Error::Gone);
}

#[test]
fn who_created_an_ic_and_pays_for_it_lets_it_cost_more_as_long_as_the_budget_lasts() {
    let (mut w, payer) = World::with_one();
    let before = w.budget(ONE);
    let args = Create {
        place: 20,
        memory: 1,
        quota: 0,
        ..BASIC
    };
    let id = w.create(ONE, args).unwrap().id;
    let cost = w.budget(ONE)[1] - before[1];
    let raise = |w: &mut World, who, id: IcId, pages: u64| {
        let result = w.ask(who, Op::Raise.label(), [id.word(), pages, 0, 0]);
        w.check();
        result
    };
    let grow = Grow {
        id,
        pages: 8,
        slot: 5,
    };
    let refused = w.ask(ONE, Op::Grow.label(), grow.words());
    assert_eq!(refused.unwrap_err(), Error::OverBudget);
    assert!(raise(&mut w, ONE, id, 8).is_ok());
    assert!(w.ask(ONE, Op::Grow.label(), grow.words()).is_ok());
    assert_eq!(w.budget(ONE)[1] - before[1], cost + 8);
    // Nobody else, and not at somebody else's expense.
    assert_eq!(raise(&mut w, TWO, id, 1).unwrap_err(), Error::NotAllowed);
    let args = paid_by(payer, 21);
    let of_client = w.create(ONE, args).unwrap().id;
    let refused = raise(&mut w, ONE, of_client, 1);
    assert_eq!(refused.unwrap_err(), Error::NotAllowed);
    let left = before[0] - w.budget(ONE)[1];
    for pages in [left + 1, 1 << 32, u64::MAX] {
        let refused = raise(&mut w, ONE, id, pages);
        assert_eq!(refused.unwrap_err(), Error::OverBudget);
    }
    assert!(raise(&mut w, ONE, id, left).is_ok());
    assert_eq!(raise(&mut w, ONE, id, 1).unwrap_err(), Error::OverBudget);
    assert_eq!(w.destroy(ONE, of_client), Ok(1));
    w.destroy(ONE, id).unwrap();
    while w.reap_one() {}
    w.drain(ONE);
    w.check();
    assert_eq!(w.budget(ONE), before);
    assert_eq!(raise(&mut w, ONE, id, 1).unwrap_err(), Error::Gone);
}

#[test]
fn growing_gives_memory_up_to_the_quota_and_no_more() {
    let (mut w, payer) = World::with_one();
    let args = Create {
        memory: 1,
        quota: 12,
        ..paid_by(payer, 20)
    };
    let id = w.create(ONE, args).unwrap().id;
    let mut grow = |pages, slot| {
        let result = w.ask(ONE, Op::Grow.label(), Grow { id, pages, slot }.words());
        w.check();
        result
    };
    assert!(grow(8, 4).is_ok());
    assert_eq!(grow(2, 5).unwrap_err(), Error::OverBudget);
    assert_eq!(grow(1, 4).unwrap_err(), Error::BadSlot);
    assert_eq!(grow(1, 32).unwrap_err(), Error::BadSlot);
    assert!(grow(1, 5).is_ok());
    assert_eq!(grow(1, 6).unwrap_err(), Error::OverBudget);
}

#[test]
fn a_second_stage_has_one_root_which_goes_with_its_ic() {
    let (mut w, payer) = World::with_one();
    let before = w.free();
    let args = Create {
        memory: 1,
        quota: 12,
        ..paid_by(payer, 20)
    };
    let id = w.create(ONE, args).unwrap().id;
    let ask = |w: &mut World, slot| {
        let result = w.ask(ONE, Op::SecondStage.label(), [id.word(), slot, 0, 0]);
        w.check();
        result.map(drop)
    };
    let quota = |w: &mut World| {
        let subject = [Subject::Ic(id).word(), 0, 0, 0];
        w.ask(ONE, Op::Budget.label(), subject).unwrap()[1]
    };
    let unspent = quota(&mut w);
    assert_eq!(ask(&mut w, 32), Err(Error::BadSlot));
    assert_eq!(
        ask(&mut w, 0),
        Err(Error::BadSlot),
        "the execution is there"
    );
    assert_eq!(ask(&mut w, 10), Ok(()));
    let spent = quota(&mut w);
    assert!(spent > unspent, "a root is made of memory that is paid for");
    assert_eq!(ask(&mut w, 10), Err(Error::BadSlot));
    assert_eq!(ask(&mut w, 11), Ok(()));
    assert_eq!(quota(&mut w), spent, "there is only one");
    w.destroy(ONE, id).unwrap();
    w.check();
    assert_eq!(ask(&mut w, 12), Err(Error::Gone));
    assert_eq!(w.free(), before);
}

#[test]
fn a_second_stage_that_cannot_be_paid_for_is_an_error_and_nothing_else() {
    let (mut w, payer) = World::with_one();
    let args = Create {
        quota: 0,
        ..paid_by(payer, 20)
    };
    let id = w.create(ONE, args).unwrap().id;
    // The quota is what it was made of, and that is full.
    for slot in [10, 11] {
        let words = [id.word(), slot, 0, 0];
        let refused = w.ask(ONE, Op::SecondStage.label(), words).map(drop);
        assert_eq!(refused, Err(Error::OverBudget));
        w.check();
    }
    w.destroy(ONE, id).unwrap();
    w.check();
}

#[test]
fn an_arena_is_grown_a_bounded_number_of_times() {
    let (mut w, payer) = World::with_one();
    let args = Create {
        memory: 1,
        parts_radix: 8,
        ..paid_by(payer, 20)
    };
    let id = w.create(ONE, args).unwrap().id;
    let error = (10..200)
        .find_map(|slot| {
            w.ask(ONE, Op::Grow.label(), Grow { id, pages: 1, slot }.words())
                .err()
        })
        .unwrap();
    assert_eq!(error, Error::TableFull);
    w.check();
    w.destroy(ONE, id).unwrap();
    w.check();
}

#[test]
fn an_ic_within_another_runs_in_its_hosts_spaces_and_costs_its_host() {
    let (mut w, payer) = World::with_one();
    w.register(TWO, "two").unwrap();
    let (host, within) = w.host(payer);
    for pages in [2, 7, 8, 300] {
        let args = CreateWithin { pages, ..within };
        // (300 pages exceed what the host has left.)
        if pages == 300 {
            assert_eq!(w.create_within(TWO, args).unwrap_err(), Error::OverBudget);
            continue;
        }
        let created = w.create_within(TWO, args).unwrap();
        w.check();
        let index = created.id.index();
        let Some(Cap::VSpace { base, .. }) = w.m.pool(pool::ic(host.index(), Part::VSpace)) else {
            panic!("no address space")
        };
        let mapped = w.m.kernel.reachable(base);
        let addresses: Vec<_> = mapped.iter().map(|(address, _)| *address).collect();
        let expected: Vec<_> = (0..pages as u64)
            .map(|i| WITHIN.window + i * 4096)
            .collect();
        assert_eq!(addresses, expected);
        assert!(w.m.pool(pool::ic(index, Part::CSpace)).is_none());
        w.destroy(TWO, created.id).unwrap();
        w.check();
        assert!(w.m.kernel.reachable(base).is_empty());
    }
}

#[test]
fn an_execution_that_is_handed_over_without_a_node_lies_in_the_slot_itself_and_goes_with_its_ic() {
    let (mut w, payer) = World::with_one();
    w.register(TWO, "two").unwrap();
    let (_, within) = w.host(payer);
    let args = CreateWithin {
        parts_radix: 0,
        runs: true,
        ..within
    };
    let id = w.create_within(TWO, args).unwrap().id;
    w.check();
    let place = w.held(TWO, 30);
    assert!(matches!(place, Some(Cap::Tcb { .. })), "{place:?}");
    assert_eq!(w.manager.ics[id.index()].state, IcState::Running);
    // There is no node for memory to go to.
    let words = Grow {
        id,
        pages: 1,
        slot: 0,
    }
    .words();
    assert_eq!(w.ask(TWO, Op::Grow.label(), words), Err(Error::BadSlot));
    let second = CreateWithin {
        window: WITHIN.window + (1 << 21),
        handle: 14,
        ..args
    };
    assert_eq!(w.create_within(TWO, second).unwrap_err(), Error::BadSlot);
    w.check();
    w.destroy(TWO, id).unwrap();
    w.check();
    assert_eq!(w.held(TWO, 30), None);
}

#[test]
fn a_badged_endpoint_that_is_kept_is_used_by_the_next_ic_of_the_same_factory_and_replaced_for_another()
 {
    let (mut w, payer) = World::with_one();
    let two = w
        .register(TWO, "two")
        .and_then(|()| w.open(MONITOR, "two", 77))
        .unwrap();
    let before = w.free();
    for (factory, payer) in [(ONE, payer), (ONE, payer), (TWO, two), (ONE, payer)] {
        let args = Create {
            handle: 21,
            ..paid_by(payer, 20)
        };
        let id = w.create(factory, args).unwrap().id;
        // A message through the handle arrives at the factory that made this one.
        let Some(Cap::Endpoint { base, .. }) = w.held(MONITOR, 21) else {
            panic!("no handle")
        };
        let input = pool::domain(factory, boot::DOMAIN_ENDPOINT);
        let Some(Cap::Endpoint { base: expected, .. }) = w.m.pool(input) else {
            panic!("no endpoint")
        };
        assert_eq!(base, expected);
        w.check();
        w.destroy(factory, id).unwrap();
        w.check();
        assert_eq!((w.held(MONITOR, 21), w.free()), (None, before));
    }
}

#[test]
fn a_window_must_be_free_and_the_host_must_have_consented() {
    let (mut w, payer) = World::with_one();
    w.register(TWO, "two").unwrap();
    let args = Create {
        handle: 21,
        ..paid_by(payer, 20)
    };
    let host = w.create(ONE, args).unwrap().id.index();
    let name = Name::new("two");
    let shy = Open {
        name,
        slot: 12,
        consent: Consent {
            within: false,
            ..super::ALL
        },
    };
    let session = w.ask(host, Op::Open.label(), shy.words()).unwrap()[0] as u32;
    let args = CreateWithin {
        host: session,
        place: 30,
        handle: 14,
        ..WITHIN
    };
    assert_eq!(w.create_within(TWO, args).unwrap_err(), Error::NoConsent);
    let session = w.open(host, "two", 13).unwrap();
    let args = CreateWithin {
        host: session,
        ..args
    };
    w.create_within(TWO, args).unwrap();
    let before = w.free();
    let args = CreateWithin {
        place: 31,
        handle: 15,
        ..args
    };
    assert_eq!(w.create_within(TWO, args).unwrap_err(), Error::BadAddress);
    w.check();
    assert_eq!(w.free(), before);
}

#[test]
fn a_host_takes_those_within_it_along_and_their_creator_is_told() {
    let (mut w, payer) = World::with_one();
    w.register(TWO, "two").unwrap();
    let before = (w.free(), w.budget(MONITOR), w.budget(ONE), w.budget(TWO));
    let (host, within) = w.host(payer);
    let guest = w.create_within(TWO, within).unwrap().id;
    w.destroy(ONE, host).unwrap();
    w.check();
    assert_eq!(w.on_id(TWO, Op::Suspend, guest).unwrap_err(), Error::Gone);
    assert_eq!(w.event(TWO), Event::Closed(within.host));
    assert_eq!(w.event(TWO), Event::Died(guest));
    assert_eq!(w.event(TWO), Event::None);
    assert_eq!(w.event(ONE), Event::None);
    w.check();
    assert_eq!(
        (w.free(), w.budget(MONITOR), w.budget(ONE), w.budget(TWO)),
        before
    );
}

#[test]
fn a_payer_takes_along_what_it_pays_for_however_deep() {
    let (mut w, payer) = World::with_one();
    let before = w.balance();
    let (mut payer, mut slots) = (payer, Slots::default());
    let mut ids = Vec::new();
    for depth in 0..6 {
        let quota = 400 >> depth;
        let args = Create {
            memory: 1,
            quota,
            ics: 40 - depth * 6,
            ..paid_by(payer, slots.next())
        };
        let id = w.create(ONE, args).unwrap().id;
        payer = w.open(id.index(), "one", 12).unwrap();
        ids.push(id);
        w.check();
    }
    // The one in the middle, by the supervisor: those below go, those above stay.
    w.destroy(MONITOR, ids[2]).unwrap();
    w.check();
    for (i, id) in ids.iter().enumerate() {
        let gone = w.on_id(MONITOR, Op::Stat, *id).err();
        assert_eq!(gone, (i >= 2).then_some(Error::Gone));
    }
    w.destroy(ONE, ids[0]).unwrap();
    let events = w.drain(ONE);
    let died: Vec<_> = events
        .iter()
        .filter(|e| matches!(e, Event::Died(_)))
        .collect();
    assert_eq!(died.len(), 5, "{events:?}");
    w.check();
    assert_eq!(w.balance(), before);
}

#[test]
fn a_large_arena_comes_back_when_the_reaper_is_done() {
    let (mut w, payer) = World::with_one();
    let before = w.balance();
    let args = Create {
        memory: 200,
        quota: 400,
        ..paid_by(payer, 20)
    };
    let id = w.create(ONE, args).unwrap().id;
    assert_eq!(w.destroy(ONE, id), Ok(0));
    w.check();
    assert_eq!(w.on_id(ONE, Op::Suspend, id).unwrap_err(), Error::Gone);
    assert_eq!(w.event(ONE), Event::None);
    assert!(w.free().bytes < before.0.bytes);
    while w.reap_one() {
        w.check();
    }
    assert_eq!(w.event(ONE), Event::Died(id));
    assert_eq!(w.balance(), before);
}

#[test]
fn a_full_reaper_queue_delays_but_loses_nothing() {
    let (mut w, payer) = World::with_one();
    w.m.reaper_room = 8;
    let before = w.balance();
    let mut slots = Slots::default();
    for _ in 0..6 {
        let args = Create {
            memory: 100,
            quota: 400,
            ..paid_by(payer, slots.next())
        };
        let id = w.create(ONE, args).unwrap().id;
        assert_eq!(w.destroy(ONE, id), Ok(0));
        w.check();
    }
    w.rest();
    w.check();
    w.drain(ONE);
    assert_eq!(w.balance(), before);
}

#[test]
fn a_payer_that_dies_waits_for_what_it_paid_for() {
    let (mut w, payer) = World::with_one();
    let before = w.balance();
    let args = Create {
        quota: 1000,
        ..paid_by(payer, 20)
    };
    let outer = w.create(ONE, args).unwrap().id;
    let session = w.open(outer.index(), "one", 12).unwrap();
    let args = Create {
        memory: 200,
        quota: 300,
        ics: 0,
        ..paid_by(session, 21)
    };
    w.create(ONE, args).unwrap();
    let spent = w.budget(MONITOR)[1];
    assert_eq!(w.destroy(ONE, outer), Ok(0));
    assert_eq!(w.budget(MONITOR)[1], spent);
    w.check();
    w.rest();
    w.check();
    w.drain(ONE);
    assert_eq!(w.balance(), before);
}

#[test]
fn states_follow_what_the_creator_says_and_others_cannot_start_what_is_not_composed() {
    let (mut w, payer) = World::with_one();
    let args = paid_by(payer, 20);
    let id = w.create(ONE, args).unwrap().id;
    let state = |w: &mut World| {
        let words = w.on_id(MONITOR, Op::Stat, id).unwrap();
        wire::decode::<IcInfo>(&words).unwrap().state
    };
    assert_eq!(state(&mut w), IcState::New);
    assert_eq!(
        w.on_id(MONITOR, Op::Resume, id).unwrap_err(),
        Error::BadState
    );
    assert_eq!(
        w.on_id(MONITOR, Op::Suspend, id).unwrap_err(),
        Error::BadState
    );
    let [a, b, c] = Name::new("hello").words();
    w.ask(ONE, Op::Annotate.label(), [id.word(), a, b, c])
        .unwrap();
    assert_eq!(state(&mut w), IcState::Ready);
    w.on_id(ONE, Op::Resume, id).unwrap();
    assert_eq!(state(&mut w), IcState::Running);
    w.on_id(MONITOR, Op::Suspend, id).unwrap();
    assert_eq!(state(&mut w), IcState::Suspended);
    w.on_id(MONITOR, Op::Resume, id).unwrap();
    assert_eq!(state(&mut w), IcState::Running);
    w.on_id(ONE, Op::Ended, id).unwrap();
    assert_eq!(state(&mut w), IcState::Dead);
    assert_eq!(w.on_id(ONE, Op::Resume, id).unwrap_err(), Error::BadState);
    w.destroy(ONE, id).unwrap();
}

#[test]
fn a_list_shows_each_what_it_answers_for() {
    let (mut w, payer) = World::with_one();
    let mut slots = Slots::default();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let args = Create {
            memory: 0,
            quota: 0,
            ..paid_by(payer, slots.next())
        };
        ids.push(w.create(ONE, args).unwrap().id);
    }
    let mut all = |caller| {
        let (mut cursor, mut found) = (0, Vec::new());
        loop {
            let words = w.ask(caller, Op::List.label(), [cursor, 0, 0, 0]).unwrap();
            let page: IcPage = wire::decode(&words).unwrap();
            found.extend(page.ics.iter().map(|ic| (ic.id, ic.kind)));
            cursor = page.next;
            if cursor == 0 {
                return found;
            }
        }
    };
    let one = Name::new("one");
    assert_eq!(
        all(MONITOR)
            .iter()
            .filter(|(id, kind)| ids.contains(id) && *kind == one)
            .count(),
        20
    );
    assert_eq!(all(ONE).len(), 21);
    assert_eq!(all(TWO).len(), 1);
    let other = ids[3].index();
    assert_eq!(all(other), [(ids[3], one)]);
}

#[test]
fn who_is_empowered_may_do_what_the_supervisor_may_for_as_long_as_it_lives() {
    let (mut w, payer) = World::with_one();
    let args = paid_by(payer, 20);
    let free = |w: &mut World, caller| w.ask(caller, Op::Free.label(), [0; 4]).is_ok();
    let a = w.create(ONE, args).unwrap().id;
    assert!(!free(&mut w, a.index()));
    assert_eq!(w.on_id(ONE, Op::Empower, a).unwrap_err(), Error::NotAllowed);
    w.on_id(MONITOR, Op::Empower, a).unwrap();
    assert!(free(&mut w, a.index()));
    w.on_id(MONITOR, Op::Destroy, a).unwrap();
    assert_eq!(w.on_id(MONITOR, Op::Empower, a).unwrap_err(), Error::Gone);
    // Whoever comes into its place has nothing of it.
    for place in 20..24 {
        let b = w.create(ONE, Create { place, ..args }).unwrap().id;
        assert!(!free(&mut w, b.index()));
    }
    w.check();
}

#[test]
fn only_who_answers_for_an_ic_may_touch_it() {
    let (mut w, payer) = World::with_one();
    let args = paid_by(payer, 20);
    let a = w.create(ONE, args).unwrap().id;
    let b = w.create(ONE, Create { place: 21, ..args }).unwrap().id;
    for op in [
        Op::Destroy,
        Op::Suspend,
        Op::Resume,
        Op::Stat,
        Op::Annotate,
        Op::Ended,
        Op::Grow,
        Op::SecondStage,
    ] {
        for stranger in [TWO, b.index()] {
            let words = [a.word(), 1, 0, 0];
            let error = w.ask(stranger, op.label(), words).unwrap_err();
            assert_eq!(error, Error::NotAllowed, "{op:?} by {stranger}");
        }
    }
    let domain = w.ask(TWO, Op::Ping.label(), [0; 4]).unwrap()[0];
    for op in [Op::Suspend, Op::Resume] {
        let result = w.on_id(MONITOR, op, IcId::from_word(domain));
        assert_eq!(result.unwrap_err(), Error::NotAllowed);
    }
    for op in [Op::Free, Op::PowerOff, Op::Empower] {
        assert_eq!(
            w.ask(ONE, op.label(), [a.word(), 0, 0, 0]).unwrap_err(),
            Error::NotAllowed
        );
    }
    assert_eq!(w.m.powered_off, None);
    assert_eq!(
        w.ask(MONITOR, Op::Stat.label(), [Subject::Ic(a).word(), 0, 0, 0])
            .err(),
        None
    );
    w.check();
}
