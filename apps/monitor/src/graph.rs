// SPDX-License-Identifier: BSD-2-Clause
//! The isolation graph in the DOT language (<https://graphviz.org/doc/info/lang.html>).
//!
//! Every edge here is one that the IC manager enforces: it minted the capability or made the mapping.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use xos_protocol::IcId;
use xos_protocol::manager::{Edge, EdgeKind, IcInfo, Rights, ServiceInfo, ServiceKind};

use crate::table::pages;

/// A string within quotes: only `"` and `\` mean something there. Names have no control characters.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn rights(rights: Rights) -> String {
    let letter = |on, letter| if on { letter } else { "-" };
    format!(
        "{}{}{}",
        letter(rights.read, "r"),
        letter(rights.write, "w"),
        letter(rights.execute, "x")
    )
}

/// Draws ICs, what they serve, and who has to do with whom.
pub fn dot(ics: &[IcInfo], services: &[ServiceInfo], edges: &[Edge]) -> String {
    let mut text = String::from(
        "digraph xos {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n  \
         edge [fontname=\"sans-serif\", fontsize=9];\n",
    );
    // Writing to a string does not fail.
    for ic in ics {
        let mut label = format!(
            "{}\\n{} {}, {}",
            quoted(ic.name.as_str()),
            quoted(ic.kind.as_str()),
            ic.id,
            ic.state.as_str()
        );
        let _ = write!(
            label,
            "\\n{} of {}",
            pages(ic.arena.into()),
            pages(ic.quota.into())
        );
        for service in services.iter().filter(|s| s.server == ic.id) {
            let kind = match service.kind {
                ServiceKind::Factory => "factory",
                ServiceKind::Service => "serves",
            };
            let _ = write!(label, "\\n{kind} “{}”", quoted(service.name.as_str()));
        }
        let style = if ic.within != IcId::NONE {
            ", style=\"rounded,dashed\""
        } else if ic.creator == IcId::NONE {
            ", style=\"rounded,bold\""
        } else {
            ""
        };
        let _ = writeln!(text, "  ic{} [label=\"{label}\"{style}];", ic.id);
    }
    let known: BTreeSet<IcId> = ics.iter().map(|ic| ic.id).collect();
    // Several sessions between the same two are one arrow.
    let mut drawn = BTreeSet::new();
    for edge in edges {
        // An IC may have died between the two lists.
        if !known.contains(&edge.from) || !known.contains(&edge.to) {
            continue;
        }
        let style = match edge.kind {
            EdgeKind::Session(_) => String::from("label=\"calls\""),
            EdgeKind::Share(region, granted) => {
                format!(
                    "label=\"region {region} {}\", style=bold, color=\"#b03060\"",
                    rights(granted)
                )
            }
            EdgeKind::Within => String::from("label=\"within\", style=dashed"),
            EdgeKind::Created => String::from("label=\"created\", color=gray60, fontcolor=gray40"),
            EdgeKind::Pays => {
                String::from("label=\"pays\", style=dotted, color=gray60, fontcolor=gray40")
            }
        };
        let line = format!("  ic{} -> ic{} [{style}];\n", edge.from, edge.to);
        if !drawn.contains(&line) {
            text += &line;
            drawn.insert(line);
        }
    }
    text += "}\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use xos_protocol::{IcState, Name, RegionId};

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

    #[test]
    fn nodes_and_edges_carry_what_the_manager_said() {
        let (a, b) = (ic(1, "monitor"), ic(2, "kv"));
        let service = ServiceInfo {
            name: Name::new("kv"),
            kind: ServiceKind::Service,
            server: b.id,
        };
        let share = EdgeKind::Share(RegionId::new(9, 0).unwrap(), Rights::RW);
        let text = dot(
            &[a, b],
            &[service],
            &[edge(&a, &b, EdgeKind::Session(1)), edge(&b, &a, share)],
        );
        assert!(text.starts_with("digraph xos {\n") && text.ends_with("}\n"));
        assert!(text.contains("ic1 [label=\"monitor\\ndomain 1, running\\n48 KiB of 4096 KiB\""));
        assert!(text.contains("serves “kv”"));
        assert!(text.contains("ic1 -> ic2 [label=\"calls\"]"));
        assert!(text.contains("ic2 -> ic1 [label=\"region 9 rw-\""));
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
        assert_eq!(dot(&[a, b], &[], &sessions).matches("->").count(), 1);
    }

    #[test]
    fn an_edge_to_an_ic_that_is_gone_is_left_out() {
        let (a, b) = (ic(1, "a"), ic(2, "b"));
        assert!(!dot(&[a], &[], &[edge(&a, &b, EdgeKind::Pays)]).contains("->"));
    }
}
