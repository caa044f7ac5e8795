// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::wire;
use proptest::prelude::*;

fn payer() -> impl Strategy<Value = Payer> {
    let number = 0u32..1 << 24;
    prop_oneof![
        Just(Payer::Myself),
        number.clone().prop_map(Payer::Client),
        number.prop_map(Payer::PayerOf),
    ]
}

proptest! {
    #[test]
    fn create_survives_its_words(payer in payer(), place in 0u32..4096, handle in 0u32..4096, session: bool,
        memory in 0u32..1 << 24, quota in 0u32..1 << 24, ics in 0u32..4096, parts_radix in 3u32..=8, cspace_radix in 4u32..=12) {
        let args = Create { payer, place, handle, session, memory, quota, ics, parts_radix, cspace_radix };
        prop_assert_eq!(Create::from_words(args.words()), Ok(args));
        prop_assert_eq!(Create::name(args.words()), Name::EMPTY);
    }

    #[test]
    fn create_carries_a_name_that_is_short_enough(name in "\\PC{0,9}", memory in 0u32..1 << 24) {
        let args = Create { payer: Payer::Client(7), place: 4095, handle: 16, session: true, memory, quota: 0, ics: 9, parts_radix: 4, cspace_radix: 8 };
        let name = Name::new(&name);
        match args.named(name) {
            Some(words) => {
                prop_assert_eq!(Create::from_words(words), Ok(args));
                prop_assert_eq!(Create::name(words), name);
            }
            None => prop_assert!(name.as_str().len() > 15),
        }
    }

    #[test]
    fn create_within_survives_its_words(host in 0u32..1 << 24, place in 0u32..4096, handle in 0u32..4096,
        window in 1u64..1 << 25, pages in 2u32..=510, memory in 0u32..1 << 24, parts_radix in 0u32..=8, runs: bool) {
        let args = CreateWithin { host, place, handle, window: window << 21, pages, memory, parts_radix, runs };
        prop_assert_eq!(CreateWithin::from_words(args.words()), Ok(args));
    }

    #[test]
    fn created_survives_its_words(serial in 1u64..1 << 51, index in 0u32..4096, first in 0u32..256,
        payer in 0u32..4096, pieces in proptest::collection::vec(12u8..47, 0..=MAX_PIECES)) {
        let reply = Created { id: IcId::new(serial, index).unwrap(), first, payer, pieces: pieces.into_iter().collect() };
        prop_assert_eq!(Created::from_words(reply.words()), Ok(reply));
    }

    #[test]
    fn registration_survives_its_words(name in "[a-z]{1,24}", endpoint in 0u32..4096, service: bool, successor: bool) {
        let args = Register {
            name: Name::new(&name),
            endpoint,
            kind: if service { ServiceKind::Service } else { ServiceKind::Factory },
            successor: if successor { Successor::SameName } else { Successor::None },
        };
        prop_assert_eq!(Register::from_words(args.words()), Ok(args));
    }

    #[test]
    fn pass_survives_its_words(session in 0u32..1 << 24, slot in 0u32..4096, target: u64) {
        let args = Pass { session, slot, target: Subject::from_word(target & !(0x7fff_ffff << 32)) };
        prop_assert_eq!(Pass::from_words(args.words()), Ok(args));
    }

    #[test]
    fn declare_survives_its_words(session: u32, relation in 0usize..3, holds: bool) {
        let relation = [Relation::Calls, Relation::Memory, Relation::Control][relation];
        let args = Declare { from: Subject::Client(session), to: Subject::Myself, relation, holds };
        prop_assert_eq!(Declare::from_words(args.words()), Ok(args));
    }

    #[test]
    fn consent_survives_its_bits(bits: u64) {
        match Consent::from_bits(bits) {
            Ok(consent) => prop_assert_eq!(consent.bits(), bits),
            Err(_) => prop_assert!(bits > 7),
        }
    }

    #[test]
    fn any_words_decode_or_are_refused(label: u64, words: [u64; 4], long in proptest::collection::vec(any::<u64>(), 0..=wire::MAX_WORDS)) {
        let _ = Op::from_label(label);
        let _ = Create::from_words(words);
        let _ = CreateWithin::from_words(words);
        let _ = Created::from_words([words[0], words[1]]);
        let _ = Grow::from_words(words);
        let _ = RegionCreate::from_words(words);
        let _ = Share::from_words(words);
        let _ = Connect::from_words(words);
        let _ = Register::from_words(words);
        let _ = Pass::from_words(words);
        let _ = Declare::from_words(words);
        let _ = Open::from_words(words);
        let _ = Event::from_words([words[0], words[1]]);
        let _ = wire::decode::<IcPage>(&long);
        let _ = wire::decode::<ServicePage>(&long);
        let _ = wire::decode::<EdgePage>(&long);
    }
}

#[test]
fn every_operation_has_its_own_label() {
    for op in Op::ALL {
        assert_eq!(Op::from_label(op.label()), Ok(op));
    }
    assert_eq!(Op::from_label(0), Err(Error::NoSuchOperation));
}

#[test]
fn a_window_that_crosses_a_page_table_is_refused() {
    let args = CreateWithin {
        host: 1,
        place: 1,
        handle: 1,
        window: (2 << 20) + 511 * PAGE,
        pages: 2,
        memory: 0,
        parts_radix: 1,
        runs: false,
    };
    assert_eq!(
        CreateWithin::from_words(args.words()),
        Err(Error::BadAddress)
    );
}

#[test]
fn a_full_page_of_ics_fits_into_a_message() {
    let info = IcInfo {
        id: IcId::from_word(u64::MAX),
        creator: IcId::from_word(u64::MAX),
        payer: IcId::from_word(u64::MAX),
        within: IcId::from_word(u64::MAX),
        kind: Name::new("a name of 24 characters!"),
        name: Name::new("a name of 24 characters!"),
        state: IcState::Suspended,
        arena: u32::MAX,
        quota: u32::MAX,
        spent: u32::MAX,
    };
    let mut page = IcPage {
        next: u64::MAX,
        ..Default::default()
    };
    while page.ics.push(info).is_ok() {}
    assert!(wire::encode(&page, &mut [0; wire::MAX_WORDS]).is_ok());
    let edge = Edge {
        from: info.id,
        to: info.id,
        kind: EdgeKind::Share(RegionId::from_word(u64::MAX), Rights::RW),
    };
    let region = EdgeKind::Region(RegionId::from_word(u64::MAX), u32::MAX);
    for edge in [
        edge,
        Edge {
            kind: region,
            ..edge
        },
    ] {
        let mut page = EdgePage {
            next: u64::MAX,
            ..Default::default()
        };
        while page.edges.push(edge).is_ok() {}
        assert!(wire::encode(&page, &mut [0; wire::MAX_WORDS]).is_ok());
    }
    let service = ServiceInfo {
        name: info.name,
        kind: ServiceKind::Factory,
        server: info.id,
    };
    let mut page = ServicePage {
        next: u64::MAX,
        ..Default::default()
    };
    while page.services.push(service).is_ok() {}
    assert!(wire::encode(&page, &mut [0; wire::MAX_WORDS]).is_ok());
}
