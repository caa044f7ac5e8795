// SPDX-License-Identifier: BSD-2-Clause
//! Everybody at once, everybody hostile, and a kernel that refuses at any moment.

use proptest::prelude::*;
use xos_protocol::manager::{
    Connect, Create, CreateWithin, Declare, Event, Grow, Op, PAGE, Pass, Payer, RegionCreate,
    Relation, Rights, Share, Successor,
};
use xos_protocol::{Badge, Error, IcId, RegionId, Subject, Who};

use super::ALL;
use crate::ic::Phase;
use crate::model::kernel::Cap;
use crate::model::{DRIVER, MONITOR, ONE, TWO, World};
use crate::pool::{self, Part};

/// What somebody does. Numbers choose among what there is, and sometimes name what there is not.
#[derive(Clone, Copy, Debug)]
enum Act {
    Register {
        who: u8,
        name: u8,
        slot: u8,
        heir: bool,
    },
    Open {
        who: u8,
        name: u8,
        slot: u8,
    },
    Create {
        who: u8,
        session: u8,
        place: u8,
        handle: u8,
        memory: u8,
        quota: u8,
        ics: u8,
        radix: u8,
    },
    Within {
        who: u8,
        session: u8,
        place: u8,
        handle: u8,
        window: u8,
        pages: u8,
        memory: u8,
    },
    Grow {
        who: u8,
        ic: u8,
        pages: u8,
        slot: u8,
    },
    OnIc {
        who: u8,
        ic: u8,
        op: u8,
    },
    Close {
        who: u8,
        session: u8,
    },
    Make {
        who: u8,
        kind: u8,
        slot: u8,
    },
    Connect {
        who: u8,
        source: u8,
        slot: u8,
        ic: u8,
        session: Option<u8>,
    },
    /// What ICs agree on, pass on, declare, keep and bind.
    Relate {
        who: u8,
        op: u8,
        session: u8,
        ic: u8,
        other: Option<u8>,
        slot: u8,
    },
    Watch {
        who: u8,
        ic: u8,
        session: Option<u8>,
        slot: u8,
    },
    Region {
        who: u8,
        session: Option<u8>,
        pages: u16,
        large: bool,
        place: u8,
    },
    Resize {
        who: u8,
        region: u8,
        more: u8,
        place: u8,
    },
    Share {
        who: u8,
        region: u8,
        ic: u8,
        session: Option<u8>,
        at: u8,
        write: bool,
    },
    Unshare {
        who: u8,
        region: u8,
        ic: u8,
    },
    RegionDestroy {
        who: u8,
        region: u8,
    },
    Event {
        who: u8,
    },
    Look {
        who: u8,
        op: u8,
        cursor: u16,
    },
    /// A factory's own hands in a parts node: delete, move, copy.
    Tamper {
        ic: u8,
        from: u8,
        to: u8,
        how: u8,
    },
    /// The same in a CSpace.
    Juggle {
        ic: u8,
        from: u8,
        to: u8,
        how: u8,
    },
    Crash {
        domain: u8,
    },
    Reap {
        steps: u8,
    },
    Answered,
    Words {
        who: u8,
        op: u8,
        words: [u64; 4],
        length: u8,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let b = || any::<u8>();
    let s = || 0u8..24;
    let o = || proptest::option::of(0u8..12);
    prop_oneof![
        2 => (b(), b(), s(), any::<bool>())
            .prop_map(|(who, name, slot, heir)| Act::Register { who, name, slot, heir }),
        6 => (b(), b(), s()).prop_map(|(who, name, slot)| Act::Open { who, name, slot }),
        12 => (b(), b(), s(), s(), b(), b(), s(), 3u8..9).prop_map(
            |(who, session, place, handle, memory, quota, ics, radix)| Act::Create {
                who, session, place, handle, memory, quota, ics, radix
            }),
        6 => (b(), b(), s(), s(), 0u8..4, 2u8..12, 0u8..3).prop_map(
            |(who, session, place, handle, window, pages, memory)| Act::Within {
                who, session, place, handle, window, pages, memory
            }),
        3 => (b(), b(), b(), 0u8..32)
            .prop_map(|(who, ic, pages, slot)| Act::Grow { who, ic, pages, slot }),
        6 => (b(), b(), b()).prop_map(|(who, ic, op)| Act::OnIc { who, ic, op }),
        3 => (b(), b()).prop_map(|(who, session)| Act::Close { who, session }),
        3 => (b(), 0u8..2, s()).prop_map(|(who, kind, slot)| Act::Make { who, kind, slot }),
        3 => (b(), s(), s(), b(), o()).prop_map(
            |(who, source, slot, ic, session)| Act::Connect { who, source, slot, ic, session }),
        6 => (b(), 0u8..6, b(), b(), o(), s()).prop_map(
            |(who, op, session, ic, other, slot)| Act::Relate { who, op, session, ic, other, slot }),
        3 => (b(), b(), o(), s())
            .prop_map(|(who, ic, session, slot)| Act::Watch { who, ic, session, slot }),
        3 => (b(), o(), 1u16..600, any::<bool>(), s()).prop_map(
            |(who, session, pages, large, place)| Act::Region { who, session, pages, large, place }),
        1 => (b(), b(), b(), s())
            .prop_map(|(who, region, more, place)| Act::Resize { who, region, more, place }),
        4 => (b(), b(), b(), o(), 0u8..4, any::<bool>()).prop_map(
            |(who, region, ic, session, at, write)| Act::Share { who, region, ic, session, at, write }),
        2 => (b(), b(), b()).prop_map(|(who, region, ic)| Act::Unshare { who, region, ic }),
        1 => (b(), b()).prop_map(|(who, region)| Act::RegionDestroy { who, region }),
        3 => b().prop_map(|who| Act::Event { who }),
        1 => (b(), b(), any::<u16>()).prop_map(|(who, op, cursor)| Act::Look { who, op, cursor }),
        6 => (b(), s(), s(), 0u8..3)
            .prop_map(|(ic, from, to, how)| Act::Tamper { ic, from, to, how }),
        6 => (b(), s(), s(), 0u8..3)
            .prop_map(|(ic, from, to, how)| Act::Juggle { ic, from, to, how }),
        1 => (1u8..5).prop_map(|domain| Act::Crash { domain }),
        4 => (1u8..20).prop_map(|steps| Act::Reap { steps }),
        2 => Just(Act::Answered),
        2 => (b(), b(), any::<[u64; 4]>(), b())
            .prop_map(|(who, op, words, length)| Act::Words { who, op, words, length }),
    ]
}

const NAMES: [&str; 4] = ["one", "two", "driver", "app"];

/// A world, and what its inhabitants have seen of it.
struct Play {
    w: World,
    ids: Vec<IcId>,
    sessions: Vec<u32>,
    regions: Vec<RegionId>,
    /// Every id ever given out.
    seen: std::collections::HashSet<IcId>,
}

impl Play {
    fn new() -> Self {
        let mut w = World::new();
        w.register(ONE, "one").unwrap();
        w.register(TWO, "two").unwrap();
        let mut sessions = Vec::new();
        for (client, name) in [
            (MONITOR, "one"),
            (MONITOR, "two"),
            (DRIVER, "two"),
            (TWO, "one"),
        ] {
            sessions.push(
                w.open(client, name, 20)
                    .or_else(|_| w.open(client, name, 21))
                    .unwrap(),
            );
        }
        Self {
            w,
            ids: Vec::new(),
            sessions,
            regions: Vec::new(),
            seen: Default::default(),
        }
    }

    /// Someone who can speak: a boot domain, or an IC with a session.
    fn who(&self, n: u8) -> u32 {
        let alive: Vec<u32> = self
            .ids
            .iter()
            .map(|id| id.index())
            .filter(|i| {
                let ic = &self.w.manager.ics[*i];
                ic.phase == Phase::Alive && ic.host.get().is_none()
            })
            .collect();
        match n as usize {
            n if n % 2 == 0 || alive.is_empty() => 1 + (n as u32 / 2) % 4,
            n => alive[n / 2 % alive.len()],
        }
    }

    fn id(&self, n: u8) -> IcId {
        match self.ids.len() {
            0 => IcId::from_word(n as u64),
            count => self.ids[n as usize % count],
        }
    }

    fn session(&self, n: u8) -> u32 {
        self.sessions
            .get(n as usize % (self.sessions.len() + 1))
            .copied()
            .unwrap_or(n as u32)
    }

    fn payer(&self, n: u8) -> Payer {
        match n % 5 {
            0 => Payer::Myself,
            1 => Payer::PayerOf(self.id(n).index()),
            _ => Payer::Client(self.session(n)),
        }
    }

    fn region(&self, n: u8) -> RegionId {
        match self.regions.len() {
            0 => RegionId::from_word(n as u64),
            count => self.regions[n as usize % count],
        }
    }

    fn subject(&self, ic: u8, session: Option<u8>) -> Subject {
        match session {
            Some(session) => Subject::Client(self.session(session)),
            None if ic == 0 => Subject::Myself,
            None => Subject::Ic(self.id(ic)),
        }
    }

    fn born(
        &mut self,
        created: Result<xos_protocol::manager::Created, Error>,
    ) -> Result<(), Error> {
        let id = created?.id;
        assert!(self.seen.insert(id), "{id} was given out twice");
        self.ids.push(id);
        Ok(())
    }

    fn act(&mut self, act: Act) -> Result<(), Error> {
        match act {
            Act::Register {
                who,
                name,
                slot,
                heir,
            } => {
                let who = self.who(who);
                let successor = if heir {
                    Successor::SameName
                } else {
                    Successor::None
                };
                let name = NAMES[name as usize % NAMES.len()];
                self.w
                    .register_as(who, name, (slot % 3 * 5) as u32, successor)?;
            }
            Act::Open { who, name, slot } => {
                let who = self.who(who);
                let session = self
                    .w
                    .open(who, NAMES[name as usize % NAMES.len()], slot as u32)?;
                self.sessions.push(session);
            }
            Act::Create {
                who,
                session,
                place,
                handle,
                memory,
                quota,
                ics,
                radix,
            } => {
                let args = Create {
                    payer: self.payer(session),
                    place: place as u32,
                    handle: handle as u32,
                    session: memory % 4 != 0,
                    memory: memory as u32 % 100,
                    quota: quota as u32 * 4,
                    ics: ics as u32,
                    parts_radix: radix as u32,
                    cspace_radix: 4 + (radix as u32 + quota as u32) % 5,
                };
                let created = self.w.create(self.who(who), args);
                self.born(created)?;
            }
            Act::Within {
                who,
                session,
                place,
                handle,
                window,
                pages,
                memory,
            } => {
                let args = CreateWithin {
                    host: self.session(session),
                    place: place as u32,
                    handle: handle as u32,
                    window: (1 + window as u64) << 30,
                    pages: pages as u32,
                    memory: memory as u32,
                    parts_radix: 1 + pages as u32 % 5,
                    runs: false,
                };
                let created = self.w.create_within(self.who(who), args);
                self.born(created)?;
            }
            Act::Grow {
                who,
                ic,
                pages,
                slot,
            } => {
                let args = Grow {
                    id: self.id(ic),
                    pages: 1 + pages as u32 % 80,
                    slot: slot as u32,
                };
                let who = self.who(who);
                if slot % 3 == 0 {
                    let words = [args.id.word(), args.pages.into(), 0, 0];
                    self.w.ask(who, Op::Raise.label(), words)?;
                }
                self.w.ask(who, Op::Grow.label(), args.words())?;
            }
            Act::OnIc { who, ic, op } => {
                const OPS: [Op; 8] = [
                    Op::Destroy,
                    Op::Destroy,
                    Op::Destroy,
                    Op::Suspend,
                    Op::Resume,
                    Op::Annotate,
                    Op::Ended,
                    Op::Stat,
                ];
                let (who, id) = (self.who(who), self.id(ic));
                self.w.on_id(who, OPS[op as usize % 8], id)?;
            }
            Act::Close { who, session } => {
                let (who, session) = (self.who(who), self.session(session));
                self.w
                    .ask(who, Op::Close.label(), [session as u64, 0, 0, 0])?;
            }
            Act::Make { who, kind, slot } => {
                self.w
                    .make(self.who(who), kind as u64, (slot % 3 * 5) as u32)?;
            }
            Act::Connect {
                who,
                source,
                slot,
                ic,
                session,
            } => {
                let source = (source % 3 * 5) as u32;
                let target = self.subject(ic, session);
                let words = Connect {
                    source,
                    slot: slot as u32,
                    target,
                }
                .words();
                let who = self.who(who);
                let words = self.w.ask(who, Op::Connect.label(), words)?;
                self.sessions.push(words[0] as u32);
            }
            Act::Relate {
                who,
                op,
                session,
                ic,
                other,
                slot,
            } => {
                let who = self.who(who);
                let session = self.session(session);
                let (op, words) = match op {
                    0 => (Op::Keep, [slot as u64, ic as u64 % 16, 0, 0]),
                    1 => (Op::Bind, [(slot % 3 * 5) as u64, 0, 0, 0]),
                    2 => (Op::Agree, [session as u64, slot as u64 % 9, 0, 0]),
                    3 => {
                        let args = Pass {
                            session,
                            slot: slot as u32,
                            target: self.subject(ic, other),
                        };
                        let passed = self.w.ask(who, Op::Pass.label(), args.words())?;
                        self.sessions.push(passed[0] as u32);
                        return Ok(());
                    }
                    _ => {
                        let args = Declare {
                            from: Subject::Ic(self.id(ic)),
                            to: self.subject(slot, other),
                            relation: Relation::Memory,
                            holds: op == 4,
                        };
                        (Op::Declare, args.words())
                    }
                };
                self.w.ask(who, op.label(), words)?;
            }
            Act::Watch {
                who,
                ic,
                session,
                slot,
            } => {
                let words = [
                    self.subject(ic, session).word(),
                    (slot % 3 * 5) as u64,
                    0,
                    0,
                ];
                let who = self.who(who);
                self.w.ask(who, Op::Watch.label(), words)?;
            }
            Act::Region {
                who,
                session,
                pages,
                large,
                place,
            } => {
                let pages = if large {
                    512 + pages as u32 / 300 * 512
                } else {
                    pages as u32
                };
                let payer = session.map_or(Payer::Myself, |s| self.payer(s));
                let args = RegionCreate {
                    payer,
                    pages,
                    large,
                    place: place as u32,
                };
                let region = self.w.region(self.who(who), args)?;
                self.regions.push(region);
            }
            Act::Resize {
                who,
                region,
                more,
                place,
            } => {
                let region = self.region(region);
                let frames = self.w.manager.regions[region.index() % 32].frames();
                let words = [
                    region.word(),
                    (frames + more as u32) as u64,
                    place as u64,
                    0,
                ];
                let who = self.who(who);
                self.w.ask(who, Op::RegionResize.label(), words)?;
            }
            Act::Share {
                who,
                region,
                ic,
                session,
                at,
                write,
            } => {
                let args = Share {
                    region: self.region(region),
                    target: self.subject(ic, session),
                    address: (1 + at as u64) << 30 | (at as u64 & 1) << 21,
                    rights: if write { Rights::RW } else { Rights::R },
                };
                self.w.share(self.who(who), args)?;
            }
            Act::Unshare { who, region, ic } => {
                let words = [
                    self.region(region).word(),
                    self.subject(ic, None).word(),
                    0,
                    0,
                ];
                let who = self.who(who);
                self.w.ask(who, Op::Unshare.label(), words)?;
            }
            Act::RegionDestroy { who, region } => {
                let (who, region) = (self.who(who), self.region(region));
                self.w
                    .ask(who, Op::RegionDestroy.label(), [region.word(), 0, 0, 0])?;
            }
            Act::Event { who } => {
                let who = self.who(who);
                self.w.event(who);
            }
            Act::Look { who, op, cursor } => {
                const OPS: [Op; 5] = [Op::List, Op::Services, Op::Graph, Op::Budget, Op::Free];
                let who = self.who(who);
                let words = [cursor as u64, 0, 0, 0];
                self.w.ask(who, OPS[op as usize % 5].label(), words)?;
            }
            Act::Tamper { ic, from, to, how } => self.tamper(ic, Part::Parts, from, to, how),
            Act::Juggle { ic, from, to, how } => self.tamper(ic, Part::CSpace, from, to, how),
            Act::Crash { domain } => {
                self.w.m.crashes.push_back(domain as u32);
                self.w.manager.crashed(&mut self.w.m);
                let name = ["driver", "one", "two", "none"][domain as usize - 1];
                self.w.register(domain as u32, name).ok();
            }
            Act::Reap { steps } => {
                for _ in 0..steps {
                    self.w.reap_one();
                }
            }
            Act::Answered => {
                if self.w.m.answering.pop_front().is_some() {
                    self.w.manager.answered(&mut self.w.m);
                }
            }
            Act::Words {
                who,
                op,
                words,
                length,
            } => {
                let who = Badge::new(Who::Itself(self.who(who))).unwrap().word();
                let badge = if op % 8 == 0 { words[3] | 1 << 27 } else { who };
                let label = if op % 7 == 0 {
                    words[0]
                } else {
                    Op::Ping.label() + op as u64 % 36
                };
                self.w.ask_as(badge, label, length as usize, words)?;
            }
        }
        Ok(())
    }

    /// What the holder of a node can do with it, without asking anyone.
    fn tamper(&mut self, ic: u8, part: Part, from: u8, to: u8, how: u8) {
        let index = self.id(ic).index();
        let Some(Cap::Node { base, radix, .. }) = self.w.m.pool(pool::ic(index % 64, part)) else {
            return;
        };
        let (from, to) = (from as u32 % (1 << radix), to as u32 % (1 << radix));
        let kernel = &mut self.w.m.kernel;
        match how {
            0 => kernel.delete((base, from)),
            1 => drop(kernel.relocate((base, from), (base, to))),
            _ => drop(kernel.copy((base, from), (base, to), 7, None)),
        }
    }

    /// Ends everything, and checks that nothing is left of it.
    fn end(mut self, fresh: (xos_protocol::manager::Free, Vec<[u64; 3]>)) {
        for domain in 1..5 {
            self.w.m.crashes.push_back(domain);
        }
        self.w.m.fail_in = None;
        // Twice: successors are let live the first time.
        for _ in 0..2 {
            for domain in 1..5 {
                self.w.m.crashes.push_back(domain);
            }
            self.w.manager.crashed(&mut self.w.m);
            for id in self.ids.clone() {
                self.w.on_id(MONITOR, Op::Destroy, id).ok();
            }
            self.w.rest();
            for domain in 1..5 {
                while self.w.event(domain) != Event::None {}
            }
        }
        self.w.check();
        let left = self.leftovers();
        let budgets = (1..5).map(|i| self.w.budget(i)).collect::<Vec<_>>();
        if left == 0 && self.w.manager.memory.withheld_bytes() == 0 {
            assert_eq!((self.w.free(), budgets), fresh);
        }
    }

    /// What successors inherited: sessions and regions that only they could end.
    fn leftovers(&self) -> usize {
        let manager = &self.w.manager;
        (1..5)
            .filter(|i| manager.registry.has_successor(*i))
            .count()
    }
}

fn fresh() -> (xos_protocol::manager::Free, Vec<[u64; 3]>) {
    let mut w = World::new();
    let budgets = (1..5).map(|i| w.budget(i)).collect();
    (w.free(), budgets)
}

/// 256 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    ProptestConfig {
        max_shrink_iters: 4000,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_everybody_does_the_invariants_hold(acts in prop::collection::vec(act(), 1..120)) {
        let mut play = Play::new();
        for a in acts {
            let _ = play.act(a);
            play.w.check();
        }
        prop_assert!(play.w.m.defects.is_empty(), "{:?}", play.w.m.defects);
        play.end(fresh());
    }

    #[test]
    fn whenever_the_kernel_refuses_the_books_stay_right(
        acts in prop::collection::vec((act(), proptest::option::of(0u32..40)), 1..80)
    ) {
        let mut play = Play::new();
        for (a, fail_in) in acts {
            play.w.m.fail_in = fail_in;
            let _ = play.act(a);
            play.w.m.fail_in = None;
            play.w.check_books();
        }
    }
}

#[test]
fn a_creation_that_fails_anywhere_is_undone() {
    for memory in [0, 7, 100] {
        for fail_in in 0.. {
            let (mut w, payer) = World::with_one();
            let before = w.balance();
            w.m.fail_in = Some(fail_in);
            let args = Create {
                payer: Payer::Client(payer),
                place: 20,
                handle: 21,
                memory,
                ..super::BASIC
            };
            let result = w.create(ONE, args);
            if w.m.fail_in.take().is_some() {
                assert!(result.is_ok());
                assert!(fail_in > 10);
                break;
            }
            assert_eq!(result.unwrap_err(), Error::Kernel, "{fail_in}");
            w.rest();
            w.check();
            assert_eq!(w.balance(), before);
        }
    }
}

#[test]
fn a_creation_within_that_fails_anywhere_is_undone() {
    for pages in [3, 20] {
        for fail_in in 0.. {
            let (mut w, payer) = World::with_one();
            w.register(TWO, "two").unwrap();
            let (host, within) = w.host(payer);
            let host = host.index();
            let args = CreateWithin { pages, ..within };
            // So that the tables above the window, which stay with the host, are there.
            let id = w.create_within(TWO, args).unwrap().id;
            w.destroy(TWO, id).unwrap();
            let before = (w.free(), w.budget(host), w.budget(TWO));
            w.m.fail_in = Some(fail_in);
            let result = w.create_within(TWO, args);
            if w.m.fail_in.take().is_some() {
                assert!(result.is_ok());
                assert!(fail_in > 8);
                break;
            }
            assert_eq!(result.unwrap_err(), Error::Kernel, "{fail_in}");
            w.check();
            assert_eq!((w.free(), w.budget(host), w.budget(TWO)), before);
        }
    }
}

#[test]
fn a_region_and_a_share_that_fail_anywhere_are_undone() {
    for fail_in in 0.. {
        let (mut w, payer) = World::with_one();
        let args = Create {
            payer: Payer::Client(payer),
            place: 20,
            ..super::BASIC
        };
        let id = w.create(ONE, args).unwrap().id;
        let args = RegionCreate {
            payer: Payer::Myself,
            pages: 6,
            large: false,
            place: 30,
        };
        let share = |region, page: u64| Share {
            region,
            target: Subject::Ic(id),
            address: 0x4000_0000 + page * PAGE,
            rights: Rights::RW,
        };
        let other = w.region(ONE, RegionCreate { place: 0, ..args }).unwrap();
        w.share(ONE, share(other, 0)).unwrap();
        let before = (w.free(), w.budget(ONE));
        w.m.fail_in = Some(fail_in);
        let result = w.region(ONE, args).and_then(|region| {
            let result = w.share(ONE, share(region, 512));
            if result.is_err() {
                w.ask(ONE, Op::RegionDestroy.label(), [region.word(), 0, 0, 0])
                    .unwrap();
            }
            result
        });
        if w.m.fail_in.take().is_some() {
            assert_eq!(result, Ok(()));
            assert!(fail_in > 20);
            break;
        }
        if result.is_ok() {
            // Deleting a capability was refused, which does not happen; it is noted, no more.
            assert_eq!(w.m.defects.len(), 1);
            w.check_books();
            continue;
        }
        assert_eq!(result, Err(Error::Kernel), "{fail_in}");
        w.rest();
        w.check();
        assert_eq!((w.free(), w.budget(ONE)), before);
    }
}

#[test]
fn a_badge_that_was_never_minted_is_answered_and_nothing_more() {
    let mut w = World::new();
    let before = w.free();
    for who in [
        Who::Session(0),
        Who::Handle(5),
        Who::Itself(60),
        Who::Itself(1 << 20),
        Who::Channel(63),
        Who::Channel(4),
    ] {
        let badge = Badge::new(who).unwrap().word();
        for op in 0..40 {
            let result = w.ask_as(badge, Op::Ping.label() + op, 4, [0; 4]);
            assert!(result.is_err(), "{who:?}");
        }
    }
    w.check();
    assert_eq!(w.free(), before);
    assert_eq!(ALL, ALL);
}

#[test]
fn words_that_were_not_sent_count_as_nothing() {
    let (mut w, _) = World::with_one();
    let badge = Badge::new(Who::Channel(2)).unwrap().word();
    let words = Create {
        place: 30,
        ..super::BASIC
    }
    .words();
    for length in [0, 1, 2] {
        assert!(w.ask_as(badge, Op::Create.label(), length, words).is_err());
    }
    w.check();
    w.ask_as(badge, Op::Create.label(), 3, words).unwrap();
    w.ask_as(badge, Op::Ping.label(), usize::MAX, words)
        .unwrap();
}
