// SPDX-License-Identifier: BSD-2-Clause
//! Lists, one isolation context, what is left, contracts.

use alloc::format;
use alloc::string::{String, ToString};

use xos_protocol::manager::{Edge, EdgeKind, Free, IcInfo, ServiceInfo, ServiceKind};
use xos_protocol::{Contract, Error, IcId};

use crate::relate::named;
use crate::table::{Align, Table, pages, size, thousands};

/// All ICs, one a line.
pub fn list(ics: &[IcInfo]) -> String {
    let mut table = Table::new([
        ("ID", Align::Right),
        ("KIND", Align::Left),
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("OWNER", Align::Left),
        ("ARENA", Align::Right),
        ("SPENT", Align::Right),
        ("QUOTA", Align::Right),
    ]);
    for ic in ics {
        table.row([
            ic.id.to_string(),
            ic.kind.to_string(),
            ic.name.to_string(),
            ic.state.as_str().to_string(),
            named(ics, ic.payer),
            pages(ic.arena.into()),
            pages(ic.spent.into()),
            pages(ic.quota.into()),
        ]);
    }
    table.to_string()
}

/// What is left.
pub fn free(free: &Free) -> String {
    format!(
        "memory    {} free ({} bytes)\nslots     {} free\nICs       {}\nsessions  {}\n",
        size(free.bytes),
        thousands(free.bytes),
        thousands(free.slots),
        thousands(free.ics),
        thousands(free.sessions),
    )
}

/// The factories of all that is registered, each with what it promises, for which it is asked.
pub fn factories(
    services: &[ServiceInfo],
    mut contract: impl FnMut(&str) -> Result<Contract, Error>,
) -> String {
    let mut text = String::new();
    for service in services.iter().filter(|s| s.kind == ServiceKind::Factory) {
        text += &format!("{} (isolation context {})\n", service.name, service.server);
        let contract = match contract(service.name.as_str()) {
            Ok(contract) => contract.to_string(),
            Err(error) => format!("no contract: {error}"),
        };
        for line in contract.lines() {
            text += &format!("  {line}\n");
        }
    }
    if text.is_empty() {
        text += "no factory is registered\n";
    }
    text
}

/// One IC, with what the others of `ics` have to do with it, and what it is promised.
pub fn context(ics: &[IcInfo], edges: &[Edge], ic: &IcInfo, contract: Option<&Contract>) -> String {
    let mut lines = alloc::vec![
        ("id", ic.id.to_string()),
        ("kind", ic.kind.to_string()),
        ("name", ic.name.to_string()),
        ("state", ic.state.as_str().to_string()),
        ("arena", pages(ic.arena.into())),
        (
            "spent",
            format!("{} of {}", pages(ic.spent.into()), pages(ic.quota.into()))
        ),
    ];
    for (title, id) in [
        ("creator", ic.creator),
        ("owner", ic.payer),
        ("within", ic.within),
    ] {
        if id != IcId::NONE {
            lines.push((title, named(ics, id)));
        }
    }
    for edge in edges {
        let line = match edge.kind {
            EdgeKind::Session(_) | EdgeKind::Connection(_) | EdgeKind::Channel(true)
                if edge.from == ic.id =>
            {
                ("calls", named(ics, edge.to))
            }
            EdgeKind::Session(_) | EdgeKind::Connection(_) | EdgeKind::Channel(true)
                if edge.to == ic.id =>
            {
                ("serves", named(ics, edge.from))
            }
            EdgeKind::Share(region, _) if edge.from == ic.id => (
                "shares",
                format!("region {region} with {}", named(ics, edge.to)),
            ),
            EdgeKind::Share(region, _) if edge.to == ic.id => (
                "maps",
                format!("region {region} of {}", named(ics, edge.from)),
            ),
            _ => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let mut text: String = lines
        .iter()
        .map(|(title, text)| format!("{title:<8} {text}\n"))
        .collect();
    if let Some(contract) = contract {
        text += "contract\n";
        for line in contract.to_string().lines() {
            text += &format!("  {line}\n");
        }
    }
    text
}
