// SPDX-License-Identifier: BSD-2-Clause
//! Regions: making, sharing, taking back.

use xos_protocol::manager::{
    Consent, Create, Op, Open, PAGE, Payer, RegionCreate, Rights, SECOND_STAGE, Share,
};
use xos_protocol::{Error, IcId, Name, RegionId, Subject, slots};

use super::{BASIC, paid_by};
use crate::machine::Kind;
use crate::model::kernel::Cap;
use crate::model::{MONITOR, ONE, TWO, World};
use crate::pool::{self, Part};

const AT: u64 = 0x1000_0000;
const SMALL: RegionCreate = RegionCreate {
    payer: Payer::Myself,
    pages: 5,
    large: false,
    place: 0,
};

impl World {
    pub fn region(&mut self, owner: u32, args: RegionCreate) -> Result<RegionId, Error> {
        let words = self.ask(owner, Op::RegionCreate.label(), args.words())?;
        Ok(RegionId::from_word(words[0]))
    }

    pub fn share(&mut self, owner: u32, args: Share) -> Result<(), Error> {
        self.ask(owner, Op::Share.label(), args.words()).map(drop)
    }

    fn unshare(&mut self, owner: u32, region: RegionId, target: IcId) -> Result<(), Error> {
        let words = [region.word(), Subject::Ic(target).word(), 0, 0];
        self.ask(owner, Op::Unshare.label(), words).map(drop)
    }

    fn region_destroy(&mut self, owner: u32, region: RegionId) -> Result<(), Error> {
        self.ask(owner, Op::RegionDestroy.label(), [region.word(), 0, 0, 0])
            .map(drop)
    }

    /// Addresses that an IC reaches.
    fn mapped(&self, id: IcId) -> Vec<u64> {
        self.mapped_below(id, Part::VSpace)
    }

    /// Addresses that are reached from one of its roots.
    fn mapped_below(&self, id: IcId, root: Part) -> Vec<u64> {
        let Some(Cap::VSpace { base, .. }) = self.m.pool(pool::ic(id.index(), root)) else {
            panic!("no address space")
        };
        self.m
            .kernel
            .reachable(base)
            .iter()
            .map(|(address, _)| *address)
            .collect()
    }

    /// Two ICs of `ONE`, paid for by the supervisor.
    fn two_ics() -> (Self, IcId, IcId) {
        let (mut w, payer) = World::with_one();
        let args = Create {
            payer: Payer::Client(payer),
            ..BASIC
        };
        let a = w.create(ONE, Create { place: 20, ..args }).unwrap().id;
        let b = w.create(ONE, Create { place: 21, ..args }).unwrap().id;
        (w, a, b)
    }
}

fn share_with(region: RegionId, target: IcId) -> Share {
    Share {
        region,
        target: Subject::Ic(target),
        address: AT,
        rights: Rights::RW,
    }
}

fn addresses(count: u64) -> Vec<u64> {
    (0..count).map(|i| AT + i * PAGE).collect()
}

#[test]
fn a_region_is_taken_back_from_one_and_stays_with_the_other() {
    for patched in [true, false] {
        let (mut w, a, b) = World::two_ics();
        w.m.kernel.patched = patched;
        let region = w.region(ONE, SMALL).unwrap();
        w.share(ONE, share_with(region, a)).unwrap();
        let between = (w.free(), w.budget(ONE));
        w.share(ONE, share_with(region, b)).unwrap();
        w.check();
        assert_eq!((w.mapped(a), w.mapped(b)), (addresses(5), addresses(5)));
        w.unshare(ONE, region, b).unwrap();
        w.check();
        assert_eq!((w.mapped(a), w.mapped(b)), (addresses(5), vec![]));
        assert_eq!(w.budget(ONE), between.1);
        assert_eq!(w.unshare(ONE, region, b), Err(Error::NotFound));
        w.region_destroy(ONE, region).unwrap();
        w.check();
        assert_eq!(w.mapped(a), vec![]);
        assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
    }
}

#[test]
fn a_region_is_shared_below_a_second_stage_and_taken_back_alike() {
    let (mut w, a, b) = World::two_ics();
    let second = |id: IcId, share: Share| Share {
        address: share.address | SECOND_STAGE,
        target: Subject::Ic(id),
        ..share
    };
    let region = w.region(ONE, SMALL).unwrap();
    let share = share_with(region, a);
    assert_eq!(
        w.share(ONE, second(a, share)),
        Err(Error::BadAddress),
        "there is none"
    );
    let large = RegionCreate {
        pages: 1024,
        large: true,
        ..SMALL
    };
    let large = w.region(MONITOR, large).unwrap();
    for id in [a, b] {
        let words = [id.word(), 10, 0, 0];
        w.ask(ONE, Op::SecondStage.label(), words).unwrap();
        for (owner, region, address) in [(ONE, region, AT), (MONITOR, large, 2 * AT)] {
            let share = Share {
                region,
                address,
                ..share
            };
            w.share(owner, second(id, share)).unwrap();
            w.check();
            assert_eq!(w.share(owner, second(id, share)), Err(Error::BadAddress));
            w.check();
        }
    }
    let mut all = addresses(5);
    assert_eq!(w.mapped_below(a, Part::Node)[..5], all);
    all.extend([2 * AT, 2 * AT + (2 << 20)]);
    assert_eq!((w.mapped_below(b, Part::Node), w.mapped(b)), (all, vec![]));
    // From one, and from the rest.
    w.unshare(ONE, region, a).unwrap();
    w.unshare(MONITOR, large, a).unwrap();
    w.check();
    assert_eq!(w.mapped_below(a, Part::Node), vec![]);
    assert_eq!(w.mapped_below(b, Part::Node).len(), 7);
    w.region_destroy(ONE, region).unwrap();
    w.region_destroy(MONITOR, large).unwrap();
    w.rest();
    w.check();
    assert_eq!(w.mapped_below(b, Part::Node), vec![]);
    assert!(w.m.defects.is_empty(), "{:?}", w.m.defects);
    // What is shared goes with an IC that has a second stage, too.
    let region = w.region(ONE, SMALL).unwrap();
    w.share(ONE, second(b, share_with(region, b))).unwrap();
    w.destroy(ONE, b).unwrap();
    w.rest();
    w.check();
}

#[test]
fn sharing_and_taking_back_for_ever_costs_nothing_in_the_end() {
    let (mut w, a, _) = World::two_ics();
    let region = w.region(ONE, SMALL).unwrap();
    // The tables above the share's own stay with the target.
    w.share(ONE, share_with(region, a)).unwrap();
    w.unshare(ONE, region, a).unwrap();
    let before = (w.free(), w.budget(ONE), w.budget(a.index()));
    for _ in 0..300 {
        w.share(ONE, share_with(region, a)).unwrap();
        w.unshare(ONE, region, a).unwrap();
    }
    w.check();
    assert_eq!((w.free(), w.budget(ONE), w.budget(a.index())), before);
}

#[test]
fn large_frames_are_shared_and_taken_back_alike() {
    for patched in [true, false] {
        let (mut w, a, b) = World::two_ics();
        w.m.kernel.patched = patched;
        let args = RegionCreate {
            pages: 1024,
            large: true,
            ..SMALL
        };
        let region = w.region(MONITOR, args).unwrap();
        w.share(MONITOR, share_with(region, a)).unwrap();
        w.share(MONITOR, share_with(region, b)).unwrap();
        w.check();
        assert_eq!(w.mapped(a), [AT, AT + (2 << 20)]);
        w.unshare(MONITOR, region, a).unwrap();
        w.check();
        assert_eq!((w.mapped(a).len(), w.mapped(b).len()), (0, 2));
        w.region_destroy(MONITOR, region).unwrap();
        w.rest();
        w.check();
        assert_eq!(w.mapped(b).len(), 0);
    }
}

#[test]
fn the_owner_finds_its_copies_by_the_number_of_the_frame() {
    let mut w = World::new();
    let args = RegionCreate {
        pages: 300,
        place: 20,
        ..SMALL
    };
    let region = w.region(ONE, args).unwrap();
    w.check();
    let root = w.m.pool(ONE * 8 + 1).unwrap();
    let mut frames: Vec<_> = (0..300)
        .map(|i| {
            let cptr = slots::cptr(20 + i / 256, i % 256);
            match w.m.kernel.cap(w.m.kernel.resolve(root, cptr, 20).unwrap()) {
                Some(Cap::Frame {
                    base,
                    writable: true,
                    mapped: None,
                    ..
                }) => base,
                other => panic!("frame {i}: {other:x?}"),
            }
        })
        .collect();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), 300);
    w.region_destroy(ONE, region).unwrap();
    w.rest();
    w.check();
    for slot in [20, 21] {
        let slot = w.m.kernel.resolve(root, slot, 12).unwrap();
        assert_eq!(w.m.kernel.cap(slot), None);
    }
}

#[test]
fn a_copy_that_the_owner_mapped_itself_goes_with_the_region() {
    let (mut w, a, b) = World::two_ics();
    let region = w.region(ONE, RegionCreate { place: 30, ..SMALL }).unwrap();
    // So that tables are there, as a factory would have made them.
    w.share(ONE, share_with(region, a)).unwrap();
    w.share(ONE, share_with(region, b)).unwrap();
    let root = w.m.pool(ONE * 8 + 1).unwrap();
    for (id, part) in [(a, 0), (b, 0)] {
        let frame = w.m.kernel.resolve(root, slots::cptr(30, part), 20).unwrap();
        let spare = (frame.0, 6 + (id == b) as u32);
        w.m.kernel.copy(frame, spare, 7, None).unwrap();
        let vspace = w.m.pool(pool::ic(id.index(), Part::VSpace)).unwrap();
        w.m.kernel.map_frame(spare, vspace, AT + 7 * PAGE).unwrap();
    }
    assert_eq!((w.mapped(a).len(), w.mapped(b).len()), (6, 6));
    w.region_destroy(ONE, region).unwrap();
    w.check();
    assert_eq!((w.mapped(a).len(), w.mapped(b).len()), (0, 0));
}

#[test]
fn what_a_dying_ic_had_mapped_is_not_taken_from_who_gets_its_number() {
    const PLACE: u32 = 60;
    let (mut w, payer) = World::with_one();
    let region = w.region(ONE, RegionCreate { place: 30, ..SMALL }).unwrap();
    let root = w.m.pool(ONE * 8 + 1).unwrap();
    let vspace = |w: &World, id: IcId| w.m.pool(pool::ic(id.index(), Part::VSpace)).unwrap();
    let number = |w: &World, id: IcId| match vspace(w, id) {
        Cap::VSpace { asid, .. } => asid,
        other => panic!("{other:x?}"),
    };
    // Its factory maps a page of its own through a node of the IC's memory, as the next one's does at the same address.
    let map = |w: &mut World, id: IcId, parts: u32, node: u32| {
        w.share(ONE, share_with(region, id)).unwrap();
        let untyped = slots::cptr(parts, slots::parts::FIRST_UNTYPED);
        let kernel = &mut w.m.kernel;
        let untyped = kernel.resolve(root, untyped, 20).unwrap();
        kernel
            .retype(untyped, Kind::Node(7), root, node, 1)
            .unwrap();
        let node = kernel.cap((root.base(), node)).unwrap();
        let frame = kernel.resolve(root, slots::cptr(30, 0), 20).unwrap();
        kernel.copy(frame, (node.base(), 0), 7, None).unwrap();
        let vspace = vspace(w, id);
        let kernel = &mut w.m.kernel;
        kernel
            .map_frame((node.base(), 0), vspace, AT + 7 * PAGE)
            .unwrap();
    };
    // So large that it is taken apart step by step, while others are made.
    let args = Create {
        memory: 68,
        ..paid_by(payer, PLACE)
    };
    let old = w.create(ONE, args).unwrap().id;
    let wanted = number(&w, old);
    map(&mut w, old, PLACE, 20);
    assert_eq!(w.destroy(ONE, old), Ok(0));
    // At each step so many as it takes to come by all pools of numbers.
    let heir = loop {
        let new: Vec<_> = (PLACE + 1..PLACE + 9)
            .map(|place| (w.create(ONE, paid_by(payer, place)).unwrap().id, place))
            .collect();
        if let Some(heir) = new.iter().find(|(id, _)| number(&w, *id) == wanted) {
            break *heir;
        }
        for (id, _) in new {
            w.destroy(ONE, id).unwrap();
        }
        assert!(w.reap_one(), "its number is nobody's again");
    };
    let (heir, place) = heir;
    map(&mut w, heir, place, 21);
    w.rest();
    assert!(w.mapped(heir).contains(&(AT + 7 * PAGE)));
}

#[test]
fn a_share_ends_with_its_target_and_its_owner_has_its_pages_back() {
    let (mut w, a, b) = World::two_ics();
    let region = w.region(ONE, SMALL).unwrap();
    let before = w.budget(ONE);
    w.share(ONE, share_with(region, a)).unwrap();
    w.destroy(ONE, a).unwrap();
    w.check();
    assert_eq!(w.budget(ONE)[1], before[1]);
    w.share(ONE, share_with(region, b)).unwrap();
    w.check();
}

#[test]
fn a_region_ends_with_its_owner_and_with_its_payer() {
    for victim in [MONITOR, ONE] {
        let (mut w, a, _) = World::two_ics();
        w.register(TWO, "two").unwrap();
        // Owner: an IC that is a server itself. Payer: another IC.
        let owner = a.index();
        w.ask(owner, Op::Make.label(), [0, 12, 0, 0]).unwrap();
        w.register_as(owner, "inner", 12, xos_protocol::manager::Successor::None)
            .unwrap();
        let payer = w.open(ONE, "one", 50).unwrap();
        let args = paid_by(payer, 25);
        let client = w.create(ONE, args).unwrap().id;
        let session = w.open(client.index(), "inner", 12).unwrap();
        let before = w.free();
        let args = RegionCreate {
            payer: Payer::Client(session),
            pages: 9,
            ..SMALL
        };
        let region = w.region(owner, args).unwrap();
        w.check();
        assert!(w.budget(client.index())[1] > w.budget(owner)[1]);
        let gone = if victim == MONITOR { client } else { a };
        w.destroy(ONE, gone).unwrap();
        w.rest();
        w.check();
        assert!(w.free().bytes > before.bytes);
        if victim == MONITOR {
            assert_eq!(w.region_destroy(owner, region), Err(Error::Gone));
        }
    }
}

#[test]
fn what_cannot_be_mapped_changes_nothing() {
    let (mut w, a, _) = World::two_ics();
    let region = w.region(ONE, SMALL).unwrap();
    w.share(ONE, share_with(region, a)).unwrap();
    let before = (w.free(), w.budget(ONE));
    let cases = [
        (share_with(region, a), Error::BadAddress),
        (
            Share {
                address: AT + PAGE,
                ..share_with(region, a)
            },
            Error::BadAddress,
        ),
        (
            Share {
                address: 1 << 47,
                ..share_with(region, a)
            },
            Error::BadAddress,
        ),
        (
            Share {
                target: Subject::Ic(IcId::from_word(900 << 12 | 6)),
                ..share_with(region, a)
            },
            Error::Gone,
        ),
        (
            Share {
                target: Subject::Client(7),
                ..share_with(region, a)
            },
            Error::Gone,
        ),
        (
            Share {
                region: RegionId::from_word(77 << 12),
                ..share_with(region, a)
            },
            Error::Gone,
        ),
    ];
    for (args, error) in cases {
        assert_eq!(w.share(ONE, args), Err(error), "{args:?}");
        w.check();
        assert_eq!((w.free(), w.budget(ONE)), before);
    }
    assert_eq!(w.share(TWO, share_with(region, a)), Err(Error::NotAllowed));
    let far = Share {
        address: AT + (1 << 30),
        ..share_with(region, a)
    };
    for i in 0..20 {
        // One table of the target's per GiB: its slots for them run out, or its budget.
        let args = Share {
            address: far.address + (i << 30),
            ..far
        };
        if let Err(error) = w.share(ONE, args) {
            assert!(
                matches!(error, Error::TableFull | Error::OverBudget),
                "{error:?}"
            );
            w.check();
            return;
        }
    }
    panic!("tables without end");
}

#[test]
fn a_client_is_mapped_into_only_if_it_consented() {
    let (mut w, a, _) = World::two_ics();
    w.register(TWO, "two").unwrap();
    let name = Name::new("two");
    let shy = Open {
        name,
        slot: 12,
        consent: Consent {
            share: false,
            ..super::ALL
        },
    };
    let shy = w.ask(a.index(), Op::Open.label(), shy.words()).unwrap()[0] as u32;
    let willing = w.open(a.index(), "two", 13).unwrap();
    let region = w.region(TWO, SMALL).unwrap();
    let with = |session| Share {
        region,
        target: Subject::Client(session),
        address: AT,
        rights: Rights::R,
    };
    assert_eq!(w.share(TWO, with(shy)), Err(Error::NoConsent));
    w.share(TWO, with(willing)).unwrap();
    assert_eq!(w.mapped(a), addresses(5));
    let readable = w.m.kernel.all().filter(|cte| {
        matches!(
            cte.cap,
            Cap::Frame {
                writable: false,
                mapped: Some(_),
                ..
            }
        )
    });
    assert_eq!(readable.count(), 5);
    w.check();
}

#[test]
fn a_region_grows_in_steps_and_shares_keep_their_size() {
    let (mut w, a, b) = World::two_ics();
    let region = w.region(ONE, SMALL).unwrap();
    w.share(ONE, share_with(region, a)).unwrap();
    let mut resize = |pages: u64, place: u64| {
        let words = [region.word(), pages, place, 0];
        let result = w.ask(ONE, Op::RegionResize.label(), words).map(drop);
        w.check();
        result
    };
    assert_eq!(resize(9, 30), Ok(()));
    assert_eq!(resize(12, 30), Err(Error::BadSlot));
    assert_eq!(resize(9, 0), Ok(()));
    assert_eq!(resize(8, 0), Err(Error::NotSupported));
    assert_eq!(resize(1 << 30, 0), Err(Error::NoMemory));
    assert_eq!(resize(1 << 50, 0), Err(Error::NoMemory));
    for pages in 10.. {
        if let Err(error) = resize(pages, 0) {
            assert_eq!(error, Error::TableFull);
            break;
        }
    }
    w.share(ONE, share_with(region, b)).unwrap();
    assert_eq!(w.mapped(a).len(), 5);
    assert!(w.mapped(b).len() > 9);
    w.region_destroy(ONE, region).unwrap();
    w.check();
}

#[test]
fn a_region_made_for_nothing_leaves_nothing() {
    let mut w = World::new();
    w.region(ONE, RegionCreate { place: 20, ..SMALL }).unwrap();
    let before = (w.free(), w.budget(ONE));
    let cases = [
        (RegionCreate { place: 20, ..SMALL }, Error::BadSlot),
        (
            RegionCreate {
                place: 4090,
                pages: 4000,
                ..SMALL
            },
            Error::BadSlot,
        ),
        (
            RegionCreate {
                pages: 5000,
                ..SMALL
            },
            Error::NoMemory,
        ),
        (
            RegionCreate {
                pages: 4000,
                ..SMALL
            },
            Error::OverBudget,
        ),
        (
            RegionCreate {
                payer: Payer::Client(3),
                ..SMALL
            },
            Error::Gone,
        ),
    ];
    for (args, error) in cases {
        assert_eq!(w.region(ONE, args).unwrap_err(), error, "{args:?}");
        w.check();
        assert_eq!((w.free(), w.budget(ONE)), before);
    }
}
