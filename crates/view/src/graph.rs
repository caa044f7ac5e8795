// SPDX-License-Identifier: BSD-2-Clause
//! The isolation graph in the DOT language (<https://graphviz.org/doc/info/lang.html>).
//!
//! Nodes are ICs, with their parts, and regions. A box around an IC holds what it pays for, so that a box is
//! what goes when its owner goes. Colours are kinds. An edge is a way by which the one can reach the other:
//! the IC manager enforces it, having minted the capability or made the mapping; but for those in purple,
//! which a factory declared among its own ICs.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use xos_protocol::manager::{
    Edge, EdgeKind, IcInfo, ObjectKind, Relation, Rights, ServiceInfo, ServiceKind,
};
use xos_protocol::{IcId, Name, RegionId};

use crate::table::pages;

/// Colours of kinds, in the order in which these appear; then from the beginning again.
const COLOURS: [&str; 8] = [
    "#d9e2ec", "#c6e7c8", "#ffe8a3", "#ffd0b0", "#e3d2f5", "#bfe3ee", "#f6c9d3", "#e2dcc8",
];
/// The name of the IC manager's domain.
pub(crate) const MANAGER: &str = "ic_manager";
const DECLARED: &str = "#7b3fa0";
const SHARED: &str = "#b03060";
const CONNECTED: &str = "#1f6f8b";
/// The attribute of what is written where an edge ends, and how far from it: of many edges from one node, it is
/// seen there which it belongs to.
const AT_HEAD: &str = "labeldistance=2.2, labelangle=20, headlabel";

/// A string within quotes: only `"` and `\` mean something there. Names have no control characters.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// As `ls` writes them.
pub(crate) fn rights(rights: Rights) -> String {
    let letter = |on, letter| if on { letter } else { "-" };
    format!(
        "{}{}{}",
        letter(rights.read, "r"),
        letter(rights.write, "w"),
        letter(rights.execute, "x")
    )
}

/// What a declared relation is.
pub(crate) const fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::Calls => "calls",
        Relation::Memory => "memory",
        Relation::Control => "control",
    }
}

/// A region, as its edges tell of it.
#[derive(Clone, Copy)]
struct Region {
    id: RegionId,
    owner: IcId,
    payer: IcId,
    pages: u32,
}

struct Picture<'a> {
    ics: &'a [IcInfo],
    services: &'a [ServiceInfo],
    edges: &'a [Edge],
    known: BTreeSet<IcId>,
    regions: Vec<Region>,
    colours: BTreeMap<Kind, &'static str>,
}

/// The words of a kind's name, to sort by.
type Kind = [u64; 3];

/// Draws ICs, what they serve, and who can reach whom.
pub fn dot(ics: &[IcInfo], services: &[ServiceInfo], edges: &[Edge]) -> String {
    let mut colours = BTreeMap::new();
    for ic in ics {
        let next = COLOURS[colours.len() % COLOURS.len()];
        colours.entry(ic.kind.words()).or_insert(next);
    }
    let regions = edges.iter().filter_map(|edge| match edge.kind {
        EdgeKind::Region(id, pages) => Some(Region {
            id,
            owner: edge.from,
            payer: edge.to,
            pages,
        }),
        _ => None,
    });
    let picture = Picture {
        ics,
        services,
        edges,
        known: ics.iter().map(|ic| ic.id).collect(),
        regions: regions.collect(),
        colours,
    };
    picture.draw()
}

/// The name of the node of memory from boot.
fn boot_node(name: Name) -> String {
    format!("boot {}", quoted(name.as_str()))
}

impl Picture<'_> {
    fn draw(&self) -> String {
        let mut text = String::from(
            "digraph xos {\n  \
             graph [rankdir=LR, compound=true, nodesep=0.25, ranksep=1.1, fontname=\"sans-serif\", fontsize=11, \
             labelloc=t, label=\"Isolation contexts: a box holds what its owner pays for\"];\n  \
             node [shape=box, style=\"rounded,filled\", fillcolor=white, color=gray40, \
             fontname=\"sans-serif\", fontsize=11];\n  \
             edge [fontname=\"sans-serif\", fontsize=9, color=gray30, fontcolor=gray20];\n",
        );
        for ic in self.ics.iter().filter(|ic| !self.known.contains(&ic.payer)) {
            self.place(&mut text, ic, 1);
        }
        self.boot_memory(&mut text);
        // Of several sessions between the same two there is one arrow.
        let mut drawn = BTreeSet::new();
        for edge in self.edges {
            if let Some(line) = self.edge(edge)
                && !drawn.contains(&line)
            {
                text += &line;
                drawn.insert(line);
            }
        }
        self.legend(&mut text);
        text += "}\n";
        text
    }

    /// An IC, in a box with what it pays for, if that is anything. Payers have smaller numbers than whom they
    /// pay for, so this ends.
    fn place(&self, text: &mut String, ic: &IcInfo, depth: usize) {
        let owned = || {
            self.ics
                .iter()
                .filter(|other| other.payer == ic.id && other.id > ic.id)
        };
        let regions = || self.regions.iter().filter(|region| region.payer == ic.id);
        let boxed = owned().next().is_some() || regions().next().is_some();
        let indent = "  ".repeat(depth);
        let inner = if boxed {
            let name = quoted(ic.name.as_str());
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{indent}subgraph cluster_{id} {{\n{indent}  graph [style=\"rounded\", color=gray60, bgcolor=\"#00000008\", \
                 label=\"paid for by {name} ({id})\", labeljust=l];",
                id = ic.id
            );
            depth + 1
        } else {
            depth
        };
        self.node(text, ic, inner);
        if boxed {
            for region in regions() {
                let _ = writeln!(
                    text,
                    "{indent}  r{id} [shape=cylinder, style=filled, fillcolor=\"#f9e4ec\", color=\"{SHARED}\", label=\"region {id}\\n{}\"];",
                    pages(region.pages.into()),
                    id = region.id
                );
            }
            for other in owned() {
                self.place(text, other, inner);
            }
            let _ = writeln!(text, "{indent}}}");
        }
    }

    /// Memory that domains have mapped since boot: nobody pays for it.
    fn boot_memory(&self, text: &mut String) {
        let maps = self.edges.iter().filter_map(|edge| match edge.kind {
            EdgeKind::Maps(name, size, _) => Some((name.words(), size)),
            _ => None,
        });
        for (words, size) in maps.collect::<BTreeSet<_>>() {
            let name = Name::from_words(words);
            let _ = writeln!(
                text,
                "  \"{}\" [shape=cylinder, style=filled, fillcolor=\"#f9e4ec\", color=\"{SHARED}\", label=\"{}\\n{} from boot\"];",
                boot_node(name),
                quoted(name.as_str()),
                pages(size.into())
            );
        }
    }

    /// What an IC consists of: what it executes in, and what it had made for itself.
    fn parts(&self, ic: &IcInfo) -> String {
        let mut text = match ic.within {
            IcId::NONE => "execution, CSpace, VSpace".to_string(),
            host => format!("execution, within {host}"),
        };
        for (kind, one) in [
            (ObjectKind::Endpoint, "endpoint"),
            (ObjectKind::Notification, "notification"),
        ] {
            let is_it = |edge: &&Edge| edge.from == ic.id && edge.kind == EdgeKind::Object(kind);
            let _ = match self.edges.iter().filter(is_it).count() {
                0 => Ok(()),
                1 => write!(text, ", {one}"),
                count => write!(text, ", {count} {one}s"),
            };
        }
        text
    }

    fn node(&self, text: &mut String, ic: &IcInfo, depth: usize) {
        let name = match ic.name.as_str() {
            "" => String::new(),
            name => format!("{}\\n", quoted(name)),
        };
        let mut label = format!(
            "{name}{} {}, {}\\n{}",
            quoted(ic.kind.as_str()),
            ic.id,
            ic.state.as_str(),
            self.parts(ic)
        );
        let _ = write!(
            label,
            "\\n{} of {}",
            pages(ic.arena.into()),
            pages(ic.quota.into())
        );
        for service in self.services.iter().filter(|s| s.server == ic.id) {
            let kind = match service.kind {
                ServiceKind::Factory => "factory",
                ServiceKind::Service => "serves",
            };
            let _ = write!(label, "\\n{kind} “{}”", quoted(service.name.as_str()));
        }
        let style = if ic.within != IcId::NONE {
            ", style=\"rounded,filled,dashed\""
        } else if ic.creator == IcId::NONE {
            ", style=\"rounded,filled,bold\""
        } else {
            ""
        };
        let colour = self.colours.get(&ic.kind.words()).unwrap_or(&COLOURS[0]);
        let _ = writeln!(
            text,
            "{}ic{} [label=\"{label}\", fillcolor=\"{colour}\"{style}];",
            "  ".repeat(depth),
            ic.id
        );
    }

    fn edge(&self, edge: &Edge) -> Option<String> {
        // An IC may have died between the lists.
        let there = |id: &IcId| self.known.contains(id);
        if !there(&edge.from) || !there(&edge.to) {
            return None;
        }
        let region_is_known =
            |region: RegionId| self.regions.iter().any(|known| known.id == region);
        let (from, style) = match edge.kind {
            // Most edges are these: the legend says what they are, and so does the pointer.
            EdgeKind::Session(_) => (
                format!("ic{}", edge.from),
                String::from("tooltip=\"calls\""),
            ),
            // Everybody is served by the manager: that is no news.
            EdgeKind::Channel(_) if self.is_manager(edge.to) || self.is_manager(edge.from) => {
                return None;
            }
            EdgeKind::Channel(true) => (
                format!("ic{}", edge.from),
                String::from("tooltip=\"calls\", color=gray60, penwidth=1.5"),
            ),
            EdgeKind::Channel(false) => (
                format!("ic{}", edge.from),
                String::from("label=\"notifies\", color=gray60, arrowhead=open"),
            ),
            EdgeKind::Connection(_) => (
                format!("ic{}", edge.from),
                format!(
                    "label=\"connected\", color=\"{CONNECTED}\", fontcolor=\"{CONNECTED}\", penwidth=1.5"
                ),
            ),
            EdgeKind::Share(region, granted) => {
                let from = if region_is_known(region) {
                    format!("r{region}")
                } else {
                    format!("ic{}", edge.from)
                };
                let label = if region_is_known(region) {
                    rights(granted)
                } else {
                    format!("region {region} {}", rights(granted))
                };
                let style = format!(
                    "{AT_HEAD}=\"{label}\", penwidth=2, color=\"{SHARED}\", fontcolor=\"{SHARED}\""
                );
                (from, style)
            }
            EdgeKind::Maps(name, _, granted) => (
                format!("\"{}\"", boot_node(name)),
                format!(
                    "{AT_HEAD}=\"{}\", penwidth=2, color=\"{SHARED}\", fontcolor=\"{SHARED}\"",
                    rights(granted)
                ),
            ),
            EdgeKind::Within => (
                format!("ic{}", edge.from),
                String::from("label=\"within\", style=dashed, arrowhead=empty"),
            ),
            EdgeKind::Declared(what) => (
                format!("ic{}", edge.from),
                format!(
                    "label=\"{} (declared)\", style=dotted, penwidth=1.5, color=\"{DECLARED}\", fontcolor=\"{DECLARED}\"",
                    relation(what)
                ),
            ),
            EdgeKind::Region(region, _) => {
                let owner = self.regions.iter().find(|known| known.id == region)?.owner;
                // The box says who pays; only where another one decides about it is there more to say.
                if owner == edge.to {
                    return None;
                }
                return Some(format!(
                    "  ic{owner} -> r{region} [label=\"owns\", style=dashed, dir=none, color=\"{SHARED}\", fontcolor=\"{SHARED}\"];\n"
                ));
            }
            // Colour and box say that.
            EdgeKind::Created | EdgeKind::Pays | EdgeKind::Object(_) => return None,
        };
        Some(format!("  {from} -> ic{} [{style}];\n", edge.to))
    }

    /// The IC manager is the domain of that name.
    fn is_manager(&self, id: IcId) -> bool {
        self.ics
            .iter()
            .any(|ic| ic.id == id && ic.creator == IcId::NONE && ic.name.as_str() == MANAGER)
    }

    fn legend(&self, text: &mut String) {
        *text += "  subgraph cluster_legend {\n    graph [label=\"legend\", style=\"rounded,dashed\", color=gray60, bgcolor=white];\n    \
                  node [fontsize=9, margin=\"0.08,0.03\", height=0.2];\n";
        let mut kinds = BTreeSet::new();
        for ic in self.ics {
            if kinds.insert(ic.kind.words())
                && let Some(colour) = self.colours.get(&ic.kind.words())
            {
                let kind = match ic.kind.as_str() {
                    "" => "unknown",
                    "domain" => "boot domain",
                    kind => kind,
                };
                let _ = writeln!(
                    text,
                    "    k{} [label=\"{}\", fillcolor=\"{colour}\"];",
                    kinds.len(),
                    quoted(kind)
                );
            }
        }
        // Each on a line of its own, as table rows do not need edges of their own.
        let rows = [
            ("gray30", "──▶", "may call, by a session it opened"),
            ("gray60", "──▶", "may call or notify, from boot"),
            (
                CONNECTED,
                "──▶",
                "may call or signal, connected by the other",
            ),
            (SHARED, "━━▶", "maps the region with these rights"),
            ("gray30", "- -▷", "executes within"),
            (
                DECLARED,
                "┄┄▶",
                "as its factory declares, not enforced by the manager",
            ),
        ];
        *text += "    edges [shape=none, style=\"\", label=<<table border=\"0\" cellborder=\"0\" cellspacing=\"2\">";
        for (colour, arrow, what) in rows {
            let _ = write!(
                text,
                "<tr><td><font color=\"{colour}\">{arrow}</font></td><td align=\"left\">{what}</td></tr>"
            );
        }
        *text += "</table>>];\n  }\n";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xos_protocol::{IcState, Name};

    fn ic(serial: u64, name: &str) -> IcInfo {
        IcInfo {
            id: IcId::new(serial, 3).unwrap(),
            creator: IcId::NONE,
            payer: IcId::NONE,
            within: IcId::NONE,
            kind: Name::new("domain"),
            name: Name::new(name),
            state: IcState::Running,
            arena: 12,
            quota: 1024,
            spent: 12,
        }
    }

    fn edge(from: &IcInfo, to: &IcInfo, kind: EdgeKind) -> Edge {
        Edge {
            from: from.id,
            to: to.id,
            kind,
        }
    }

    fn region(serial: u64) -> RegionId {
        RegionId::new(serial, 0).unwrap()
    }

    /// The lines with an arrow in them that are no part of the legend.
    fn arrows(text: &str) -> usize {
        text.lines().filter(|line| line.contains(" -> ")).count()
    }

    #[test]
    fn nodes_and_edges_carry_what_the_manager_said() {
        let (a, b) = (ic(1, "monitor"), ic(2, "kv"));
        let service = ServiceInfo {
            name: Name::new("kv"),
            kind: ServiceKind::Service,
            server: b.id,
        };
        let text = dot(
            &[a, b],
            &[service],
            &[
                edge(&a, &b, EdgeKind::Session(1)),
                edge(&b, &a, EdgeKind::Connection(2)),
                edge(&b, &a, EdgeKind::Region(region(9), 4)),
                edge(&b, &b, EdgeKind::Region(region(10), 1)),
                edge(&b, &a, EdgeKind::Share(region(9), Rights::RW)),
            ],
        );
        assert!(text.starts_with("digraph xos {\n") && text.ends_with("}\n"));
        assert!(text.contains(
            "ic1 [label=\"monitor\\ndomain 1, running\\nexecution, CSpace, VSpace\\n48 KiB of 4096 KiB\""
        ));
        assert!(text.contains("serves “kv”"));
        assert!(text.contains("ic1 -> ic2 [tooltip=\"calls\"]"));
        assert!(text.contains("ic2 -> ic1 [label=\"connected\""));
        assert!(text.contains("r9 [shape=cylinder") && text.contains("region 9\\n16 KiB"));
        assert!(text.contains("ic2 -> r9 [label=\"owns\""));
        assert!(!text.contains("-> r10"), "the box says that");
        assert!(text.contains("r9 -> ic1 [labeldistance=2.2, labelangle=20, headlabel=\"rw-\""));
    }

    #[test]
    fn what_an_ic_pays_for_is_in_its_box() {
        let owner = ic(1, "monitor");
        let paid = IcInfo {
            payer: owner.id,
            kind: Name::new("process"),
            ..ic(2, "hello")
        };
        let text = dot(&[owner, paid], &[], &[]);
        let start = text.find("subgraph cluster_1 {").unwrap();
        let end = start + text[start..].find("\n  }\n").unwrap();
        assert!(text[start..end].contains("ic1 [") && text[start..end].contains("ic2 ["));
        assert!(text[start..end].contains("paid for by monitor (1)"));
    }

    #[test]
    fn kinds_have_colours_of_their_own_and_the_legend_says_which() {
        let process = IcInfo {
            kind: Name::new("process"),
            ..ic(2, "hello")
        };
        let text = dot(&[ic(1, "monitor"), process], &[], &[]);
        for (name, colour) in [("boot domain", COLOURS[0]), ("process", COLOURS[1])] {
            assert!(text.contains(&format!("[label=\"{name}\", fillcolor=\"{colour}\"]")));
        }
        assert!(text.contains(&format!("hello\\nprocess 2, running\\nexecution, CSpace, VSpace\\n48 KiB of 4096 KiB\", fillcolor=\"{}\"", COLOURS[1])));
    }

    #[test]
    fn channels_from_boot_are_drawn_but_for_those_to_the_manager() {
        let (manager, a, b) = (ic(1, MANAGER), ic(2, "a"), ic(3, "b"));
        let edges = [
            edge(&a, &manager, EdgeKind::Channel(true)),
            edge(&manager, &a, EdgeKind::Channel(false)),
            edge(&a, &b, EdgeKind::Channel(true)),
            edge(&b, &a, EdgeKind::Channel(false)),
        ];
        let text = dot(&[manager, a, b], &[], &edges);
        assert_eq!(arrows(&text), 2);
        assert!(
            text.contains("ic2 -> ic3 [tooltip=\"calls\"")
                && text.contains("ic3 -> ic2 [label=\"notifies\"")
        );
    }

    #[test]
    fn memory_from_boot_is_a_node_that_those_who_map_it_have_rights_to() {
        let (a, b) = (ic(1, "a"), ic(2, "b"));
        let maps = |ic, rights| edge(ic, ic, EdgeKind::Maps(Name::new("files"), 3, rights));
        let text = dot(&[a, b], &[], &[maps(&a, Rights::R), maps(&b, Rights::RW)]);
        assert_eq!(text.matches("\"boot files\" [shape=cylinder").count(), 1);
        assert!(text.contains("label=\"files\\n12 KiB from boot\""));
        assert!(text.contains(
            "\"boot files\" -> ic1 [labeldistance=2.2, labelangle=20, headlabel=\"r--\""
        ));
        assert!(text.contains(
            "\"boot files\" -> ic2 [labeldistance=2.2, labelangle=20, headlabel=\"rw-\""
        ));
    }

    #[test]
    fn what_an_ic_had_made_for_itself_is_among_its_parts() {
        let a = ic(1, "a");
        let own = |kind| edge(&a, &a, EdgeKind::Object(kind));
        let edges = [
            own(ObjectKind::Endpoint),
            own(ObjectKind::Notification),
            own(ObjectKind::Endpoint),
        ];
        let text = dot(&[a], &[], &edges);
        assert!(text.contains("execution, CSpace, VSpace, 2 endpoints, notification\\n"));
        assert_eq!(arrows(&text), 0);
    }

    #[test]
    fn what_is_only_declared_is_drawn_as_such() {
        let (a, b) = (ic(1, "a"), ic(2, "b"));
        let declared = edge(&a, &b, EdgeKind::Declared(Relation::Control));
        let text = dot(&[a, b], &[], &[declared]);
        assert!(text.contains("ic1 -> ic2 [label=\"control (declared)\", style=dotted"));
    }

    #[test]
    fn a_hostile_name_stays_within_its_quotes() {
        let text = dot(&[ic(1, "\"];evil\\")], &[], &[]);
        assert!(text.contains("label=\"\\\"];evil\\\\\\n"), "{text}");
    }

    #[test]
    fn sessions_between_the_same_two_are_one_arrow() {
        let (a, b) = (ic(1, "a"), ic(2, "b"));
        let sessions: Vec<_> = (0..5).map(|i| edge(&a, &b, EdgeKind::Session(i))).collect();
        assert_eq!(arrows(&dot(&[a, b], &[], &sessions)), 1);
    }

    #[test]
    fn an_edge_to_an_ic_that_is_gone_is_left_out() {
        let (a, b) = (ic(1, "a"), ic(2, "b"));
        let edges = [
            edge(&a, &b, EdgeKind::Session(1)),
            edge(&b, &a, EdgeKind::Region(region(1), 1)),
        ];
        assert_eq!(arrows(&dot(&[a], &[], &edges)), 0);
    }
}
