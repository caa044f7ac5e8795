// SPDX-License-Identifier: BSD-2-Clause
//! What two ICs have in common, in words, and through whom else they could talk.
//!
//! Whoever can call a server, or is called by it, can give it something that it may pass on to others: a
//! server is a way between its clients as far as it wants to be. So all of these count as ways here, those
//! through a factory, which can reach what it made, included. The IC manager, which all can call and which
//! passes nothing on, does not.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xos_protocol::manager::{Edge, EdgeKind, IcInfo, Rights};
use xos_protocol::{IcId, Name, RegionId};

use crate::graph::{MANAGER, relation, rights};

/// An IC by name and number.
pub fn named(ics: &[IcInfo], id: IcId) -> String {
    let name = ics.iter().find(|ic| ic.id == id).map(|ic| ic.name);
    match name {
        _ if id == IcId::NONE => String::from("-"),
        Some(name) if name != Name::default() => format!("{name} ({id})"),
        _ => format!("({id})"),
    }
}

/// Whether something can get from the one end of an edge to the other.
fn is_way(edge: &Edge) -> bool {
    edge.from != edge.to && !matches!(edge.kind, EdgeKind::Pays | EdgeKind::Region(..))
}

/// Memory that several can have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Region(RegionId),
    /// Of this name, from boot.
    Boot([u64; 3]),
}

/// What somebody has of it.
#[derive(Clone, Copy)]
struct Holds {
    /// As which it is mapped; an owner need not map it.
    mapped: Option<Rights>,
    writes: bool,
}

impl Holds {
    const fn mapped(rights: Rights) -> Self {
        Self {
            mapped: Some(rights),
            writes: rights.write,
        }
    }

    fn said(self) -> String {
        match self.mapped {
            Some(granted) => format!("maps it {}", rights(granted)),
            None => String::from("owns it"),
        }
    }
}

/// The memory that an edge is about.
fn memory(edge: &Edge) -> Option<Memory> {
    match edge.kind {
        EdgeKind::Share(region, _) => Some(Memory::Region(region)),
        EdgeKind::Maps(name, ..) => Some(Memory::Boot(name.words())),
        _ => None,
    }
}

/// Who has what of memory: the owner, who need not map it, and those who do.
fn holders(edges: &[Edge]) -> BTreeMap<Memory, BTreeMap<IcId, Holds>> {
    let mut all = BTreeMap::<Memory, BTreeMap<IcId, Holds>>::new();
    for edge in edges {
        let Some(memory) = memory(edge) else { continue };
        let holders = all.entry(memory).or_default();
        match edge.kind {
            EdgeKind::Share(_, granted) => {
                let owns = holders.entry(edge.from).or_insert(Holds {
                    mapped: None,
                    writes: true,
                });
                // An owner can map it as it likes.
                owns.writes = true;
                if edge.to == edge.from {
                    owns.mapped = Some(granted);
                } else {
                    holders.insert(edge.to, Holds::mapped(granted));
                }
            }
            EdgeKind::Maps(_, _, granted) => {
                holders.insert(edge.to, Holds::mapped(granted));
            }
            _ => {}
        }
    }
    all
}

/// Says what `a` and `b` have in common, and through whom else they could talk.
pub fn describe(ics: &[IcInfo], edges: &[Edge], a: IcId, b: IcId) -> String {
    let name = |id| named(ics, id);
    let mut lines = BTreeSet::new();
    for edge in edges {
        let between = (edge.from == a && edge.to == b) || (edge.from == b && edge.to == a);
        if !between || edge.from == edge.to {
            continue;
        }
        let (from, to) = (name(edge.from), name(edge.to));
        let line = match edge.kind {
            EdgeKind::Session(_) => format!("{from} can call {to}, which it opened or was passed"),
            EdgeKind::Connection(_) => {
                format!("{from} can call or signal {to}, which connected it")
            }
            EdgeKind::Channel(true) => format!("{from} can call {to}, by a channel from boot"),
            EdgeKind::Channel(false) => format!("{from} can notify {to}, by a channel from boot"),
            EdgeKind::Within => {
                format!("{from} executes within {to}: memory and capabilities are one")
            }
            EdgeKind::Created => format!("{from} made {to}, and can do anything to it"),
            EdgeKind::Pays => format!("{from} pays for {to}, and can end it"),
            EdgeKind::Declared(what) => format!(
                "{} from {from} to {to}, as their factory declares (the IC manager does not enforce it)",
                relation(what)
            ),
            EdgeKind::Share(..)
            | EdgeKind::Region(..)
            | EdgeKind::Maps(..)
            | EdgeKind::Object(_) => continue,
        };
        lines.insert(line);
    }
    for (memory, holders) in holders(edges) {
        if let (Some(one), Some(other)) = (holders.get(&a), holders.get(&b))
            && a != b
        {
            let memory = match memory {
                Memory::Region(region) => format!("region {region}"),
                Memory::Boot(words) => format!("memory “{}”, from boot", Name::from_words(words)),
            };
            lines.insert(format!(
                "{memory}: {} {}, {} {}",
                name(a),
                one.said(),
                name(b),
                other.said()
            ));
        }
    }
    let hosts = |id: IcId| ics.iter().find(|ic| ic.id == id).map(|ic| ic.within);
    if let (Some(one), Some(other)) = (hosts(a), hosts(b))
        && one == other
        && one != IcId::NONE
    {
        lines.insert(format!(
            "both execute within {}: memory and capabilities are one",
            name(one)
        ));
    }

    let mut text = format!("{} and {}\n", name(a), name(b));
    if lines.is_empty() {
        text += "  have nothing in common\n";
    }
    for line in &lines {
        text += &format!("  {line}\n");
    }
    // What all can call is no way: it passes nothing on.
    let manager = (ics.iter())
        .find(|ic| ic.creator == IcId::NONE && ic.name.as_str() == MANAGER)
        .map_or(IcId::NONE, |ic| ic.id);
    let edges: Vec<_> = (edges.iter().copied())
        .filter(|edge| edge.from != manager && edge.to != manager)
        .collect();
    let ways = ways(&edges, a, b);
    match ways.first().map(Vec::len) {
        None => text += "  there is nobody through whom they could talk\n",
        Some(1) => {
            let through: BTreeSet<_> = ways.iter().map(|way| name(way[0])).collect();
            for one in through {
                text += &format!("  could talk through {one}, if it passes on what they say\n");
            }
        }
        Some(_) => {
            for way in &ways {
                let chain: Vec<_> = way.iter().map(|id| name(*id)).collect();
                text += &format!(
                    "  could talk through {}, if all of these pass on what they say\n",
                    chain.join(", then ")
                );
            }
        }
    }
    text
}

/// Everything through which two ICs can reach each other without anybody else: the edges between them, and those by
/// which they map the same region, whoever owns it. Without these edges there is no such way.
pub fn between(edges: &[Edge], a: IcId, b: IcId) -> Vec<Edge> {
    let is_one = |id: IcId| id == a || id == b;
    let common: BTreeSet<_> = (holders(edges).iter())
        .filter(|(_, holders)| can_talk(holders.get(&a), holders.get(&b)))
        .map(|(memory, _)| *memory)
        .collect();
    let is_between = |edge: &&Edge| match memory(edge) {
        Some(memory) => {
            let own = matches!(edge.kind, EdgeKind::Share(..)) && edge.from == edge.to;
            common.contains(&memory) && is_one(edge.to) && !own
        }
        None => is_way(edge) && is_one(edge.from) && is_one(edge.to),
    };
    edges.iter().filter(is_between).copied().collect()
}

/// The shortest chain by which something could get from the one IC to the other, these two included: each of them
/// and the next have something [`between`] them. `None` when there is none.
pub fn path(edges: &[Edge], a: IcId, b: IcId) -> Option<Vec<IcId>> {
    search(&neighbours(edges), a, b, |_, _| true)
}

/// Whether two that hold these of the same memory can talk through it: one at least has to write.
fn can_talk(one: Option<&Holds>, other: Option<&Holds>) -> bool {
    one.zip(other)
        .is_some_and(|(one, other)| one.writes || other.writes)
}

/// Who can reach whom without anybody else.
fn neighbours(edges: &[Edge]) -> BTreeMap<IcId, BTreeSet<IcId>> {
    let mut next = BTreeMap::<IcId, BTreeSet<IcId>>::new();
    let mut link = |one: IcId, other: IcId| {
        next.entry(one).or_default().insert(other);
        next.entry(other).or_default().insert(one);
    };
    for edge in edges
        .iter()
        .filter(|edge| is_way(edge) && memory(edge).is_none())
    {
        link(edge.from, edge.to);
    }
    // Whoever maps the same memory can talk through it, its owner not needed.
    for holders in holders(edges).values() {
        let all: Vec<_> = holders.iter().collect();
        for (i, (one, holds)) in all.iter().enumerate() {
            let others = all[i + 1..].iter();
            others
                .filter(|(_, other)| can_talk(Some(holds), Some(other)))
                .for_each(|(other, _)| link(**one, **other));
        }
    }
    next
}

/// The shortest chain from `a` to `b` by steps that `may` be made.
fn search(
    next: &BTreeMap<IcId, BTreeSet<IcId>>,
    a: IcId,
    b: IcId,
    may: impl Fn(IcId, IcId) -> bool,
) -> Option<Vec<IcId>> {
    let none = BTreeSet::new();
    let mut before = BTreeMap::from([(a, a)]);
    let mut queue = VecDeque::from([a]);
    while let Some(here) = queue.pop_front() {
        for there in next.get(&here).unwrap_or(&none) {
            if may(here, *there) && !before.contains_key(there) {
                before.insert(*there, here);
                queue.push_back(*there);
            }
        }
    }
    let mut chain = Vec::from([b]);
    let mut at = b;
    while at != a {
        at = *before.get(&at)?;
        chain.push(at);
    }
    chain.reverse();
    Some(chain)
}

/// The shortest chains of others between two ICs: all of length one, or else one of those that are longer.
fn ways(edges: &[Edge], a: IcId, b: IcId) -> Vec<Vec<IcId>> {
    let next = neighbours(edges);
    let none = BTreeSet::new();
    let of = |id: &IcId| next.get(id).unwrap_or(&none);
    let common: Vec<_> = of(&a)
        .intersection(of(&b))
        .filter(|id| **id != a && **id != b)
        .map(|id| Vec::from([*id]))
        .collect();
    if !common.is_empty() || a == b {
        return common;
    }
    // The direct way is no way through others.
    let found = search(&next, a, b, |from, to| (from, to) != (a, b));
    found
        .map(|chain| Vec::from(&chain[1..chain.len() - 1]))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xos_protocol::IcState;
    use xos_protocol::manager::Relation;

    fn id(serial: u64) -> IcId {
        IcId::new(serial, serial as u32).unwrap()
    }

    fn ics(names: &[&str]) -> Vec<IcInfo> {
        let ic = |(i, name): (usize, &&str)| IcInfo {
            id: id(i as u64 + 1),
            creator: IcId::NONE,
            payer: IcId::NONE,
            within: IcId::NONE,
            kind: Name::new("domain"),
            name: Name::new(name),
            state: IcState::Running,
            arena: 1,
            quota: 1,
            spent: 1,
        };
        names.iter().enumerate().map(ic).collect()
    }

    fn edge(from: u64, to: u64, kind: EdgeKind) -> Edge {
        Edge {
            from: id(from),
            to: id(to),
            kind,
        }
    }

    fn region(serial: u64) -> RegionId {
        RegionId::new(serial, 0).unwrap()
    }

    #[test]
    fn two_that_have_nothing_to_do_with_each_other_have_nothing_in_common() {
        let text = describe(&ics(&["a", "b"]), &[], id(1), id(2));
        assert_eq!(
            text,
            "a (1) and b (2)\n  have nothing in common\n  there is nobody through whom they could talk\n"
        );
    }

    #[test]
    fn what_is_between_two_is_said_in_words() {
        let edges = [
            edge(1, 2, EdgeKind::Session(1)),
            edge(1, 2, EdgeKind::Session(2)),
            edge(2, 1, EdgeKind::Connection(3)),
            edge(1, 2, EdgeKind::Share(region(9), Rights::R)),
            edge(1, 2, EdgeKind::Declared(Relation::Control)),
        ];
        let text = describe(&ics(&["a", "b"]), &edges, id(1), id(2));
        for line in [
            "a (1) can call b (2), which it opened or was passed\n",
            "b (2) can call or signal a (1), which connected it\n",
            "region 9: a (1) owns it, b (2) maps it r--\n",
            "control from a (1) to b (2), as their factory declares (the IC manager does not enforce it)\n",
        ] {
            assert_eq!(text.matches(line).count(), 1, "{text}");
        }
    }

    #[test]
    fn two_that_map_a_third_ones_region_share_it() {
        let edges = [
            edge(3, 1, EdgeKind::Share(region(9), Rights::RW)),
            edge(3, 2, EdgeKind::Share(region(9), Rights::R)),
        ];
        let text = describe(&ics(&["a", "b", "c"]), &edges, id(1), id(2));
        assert!(text.contains("region 9: a (1) maps it rw-, b (2) maps it r--"));
        assert!(text.contains("could talk through c (3), if it passes on what they say"));
    }

    #[test]
    fn memory_from_boot_is_a_way_if_one_of_the_two_can_write_to_it() {
        let maps = |ic, rights| edge(ic, ic, EdgeKind::Maps(Name::new("files"), 7, rights));
        for (rights, is_way) in [(Rights::R, false), (Rights::RW, true)] {
            let edges = [maps(1, Rights::R), maps(2, rights)];
            let text = describe(&ics(&["a", "b"]), &edges, id(1), id(2));
            assert!(text.contains("memory “files”, from boot: a (1) maps it r--, b (2) maps it r"));
            assert_eq!(path(&edges, id(1), id(2)).is_some(), is_way);
            assert_eq!(
                between(&edges, id(1), id(2)).len(),
                if is_way { 2 } else { 0 }
            );
        }
    }

    #[test]
    fn two_that_can_only_read_what_a_third_one_writes_talk_through_that_one() {
        let edges = [
            edge(3, 1, EdgeKind::Share(region(9), Rights::R)),
            edge(3, 2, EdgeKind::Share(region(9), Rights::R)),
        ];
        let found = path(&edges, id(1), id(2));
        assert_eq!(found, Some(Vec::from([id(1), id(3), id(2)])));
    }

    #[test]
    fn a_server_of_both_is_someone_through_whom_they_could_talk() {
        let edges = [
            edge(1, 3, EdgeKind::Session(1)),
            edge(2, 3, EdgeKind::Session(2)),
            edge(1, 4, EdgeKind::Pays),
            edge(2, 4, EdgeKind::Pays),
        ];
        let text = describe(&ics(&["a", "b", "kv", "c"]), &edges, id(1), id(2));
        assert!(text.contains("have nothing in common\n"));
        assert!(text.contains("could talk through kv (3)"));
        assert!(!text.contains("c (4)"), "{text}");
    }

    #[test]
    fn the_manager_is_no_way() {
        let edges = [
            edge(2, 1, EdgeKind::Channel(true)),
            edge(3, 1, EdgeKind::Channel(true)),
        ];
        let text = describe(&ics(&[MANAGER, "a", "b"]), &edges, id(2), id(3));
        assert!(text.ends_with("there is nobody through whom they could talk\n"));
        let text = describe(&ics(&[MANAGER, "a", "b"]), &edges, id(2), id(1));
        assert!(text.contains("a (2) can call ic_manager (1), by a channel from boot"));
    }

    #[test]
    fn a_longer_chain_is_told_when_there_is_no_shorter_one() {
        let edges = [
            edge(1, 3, EdgeKind::Session(1)),
            edge(4, 3, EdgeKind::Session(2)),
            edge(4, 2, EdgeKind::Share(region(1), Rights::R)),
        ];
        let text = describe(&ics(&["a", "b", "x", "y"]), &edges, id(1), id(2));
        assert!(text.contains("could talk through x (3), then y (4), if all of these"));
    }

    proptest! {
        /// A chain is one: every two neighbours on it have an edge; and if none is found there is none.
        #[test]
        fn ways_are_ways_and_are_found(pairs in proptest::collection::vec((1u64..8, 1u64..8), 0..12)) {
            let edges: Vec<_> = pairs
                .iter()
                .map(|(from, to)| edge(*from, *to, EdgeKind::Session(0)))
                .collect();
            let found = ways(&edges, id(1), id(2));
            let linked = |a: IcId, b: IcId| edges.iter().any(|e| {
                (e.from == a && e.to == b) || (e.from == b && e.to == a)
            });
            for way in &found {
                let all: Vec<_> = [id(1)].iter().chain(way).chain(&[id(2)]).copied().collect();
                prop_assert!(!way.is_empty() && all.windows(2).all(|two| linked(two[0], two[1])));
            }
            // By brute force: everything that can be reached from the one without the direct edge.
            let mut reached = BTreeSet::from([id(1)]);
            for _ in 0..8 {
                for from in reached.clone() {
                    for to in (1..8).map(id).filter(|to| linked(from, *to)) {
                        if (from, to) != (id(1), id(2)) {
                            reached.insert(to);
                        }
                    }
                }
            }
            prop_assert_eq!(!found.is_empty(), reached.contains(&id(2)));
        }

        /// Whoever takes away what is between each two neighbours of the paths that are found, one path after the
        /// other, comes to where there is none; and what was taken away is not more than that.
        #[test]
        fn two_are_parted_by_taking_away_what_is_on_the_paths(
            drawn in proptest::collection::vec((1u64..6, 1u64..6, 0u64..5), 0..14)
        ) {
            let mut edges: Vec<_> = drawn
                .iter()
                .map(|(from, to, kind)| edge(*from, *to, match kind {
                    0 => EdgeKind::Session(0),
                    1 => EdgeKind::Channel(false),
                    2 => EdgeKind::Pays,
                    // Two regions of each, so that several can map the same.
                    kind => EdgeKind::Share(region(2 * from + kind % 2), Rights::R),
                }))
                .collect();
            // By brute force: what a word that starts at the one gets to, edge by edge.
            let reaches = |edges: &[Edge]| {
                let (mut ics, mut regions) = (BTreeSet::from([id(1)]), BTreeSet::new());
                for _ in 0..drawn.len() + 1 {
                    for e in edges.iter().filter(|e| e.kind != EdgeKind::Pays) {
                        match e.kind {
                            EdgeKind::Share(region, _) => {
                                if ics.contains(&e.from) || ics.contains(&e.to) {
                                    regions.insert(region);
                                }
                                if regions.contains(&region) {
                                    ics.extend([e.from, e.to]);
                                }
                            }
                            _ if ics.contains(&e.from) || ics.contains(&e.to) => ics.extend([e.from, e.to]),
                            _ => {}
                        }
                    }
                }
                ics.contains(&id(2))
            };
            loop {
                let found = path(&edges, id(1), id(2));
                prop_assert_eq!(found.is_some(), reaches(&edges));
                let Some(chain) = found else { break };
                prop_assert_eq!((chain.first(), chain.last()), (Some(&id(1)), Some(&id(2))));
                for two in chain.windows(2) {
                    let taken = between(&edges, two[0], two[1]);
                    edges.retain(|edge| !taken.contains(edge));
                    prop_assert!(path(&edges, two[0], two[1]).is_none_or(|chain| chain.len() > 2));
                }
            }
            prop_assert!(describe(&[], &edges, id(1), id(2)).contains("nobody through whom"));
        }
    }
}
