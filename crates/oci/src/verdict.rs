// SPDX-License-Identifier: BSD-2-Clause
//! What becomes of each property of a `config.json`: the table, and who reads a document by it.
//!
//! A property *asks* for something unless it is `null`, `false`, `0`, or empty all the way down: engines
//! write such things for what nobody has asked for.

use crate::error::Refusal;
use crate::{Error, Result};
use serde_json::Value;

/// What becomes of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its own properties are in the table.
    Object,
    /// It is done, or refused by what it says: [`config`](crate::config) reads it.
    Honoured,
    /// It is left out, and takes nothing from anybody's isolation: why.
    Harmless(&'static str),
    /// It is refused if it asks for something: why.
    Refused(&'static str),
}

use Verdict::{Harmless, Honoured, Object, Refused};

const NO_QUOTA: &str = "this kernel has no quota of processor time";
const NO_DISK: &str = "there is no block device to limit";
const NO_NETWORK: &str = "there is no network";
const OTHER_SYSTEM: &str = "it is for another operating system";
const KERNEL_MEMORY: &str = "kernel memory is part of memory.limit, and has no limit of its own";
const NO_SWAP: &str = "there is no swap: nothing is ever above memory.limit";
const NO_HOOKS: &str = "programs of a host cannot run here";

/// Every property of the runtime specification 1.3, by its path; `[]` is any element of a list.
pub const TABLE: &[(&str, Verdict)] = &[
    ("ociVersion", Honoured),
    ("root", Object),
    ("root.path", Honoured),
    ("root.readonly", Honoured),
    ("process", Object),
    ("process.terminal", Honoured),
    (
        "process.consoleSize",
        Harmless("a terminal has the size of the one that is attached to it"),
    ),
    ("process.user", Object),
    ("process.user.uid", Honoured),
    ("process.user.gid", Honoured),
    ("process.user.umask", Honoured),
    ("process.user.additionalGids", Honoured),
    ("process.user.username", Refused(OTHER_SYSTEM)),
    ("process.args", Honoured),
    ("process.commandLine", Refused(OTHER_SYSTEM)),
    ("process.env", Honoured),
    ("process.cwd", Honoured),
    ("process.capabilities", Object),
    ("process.capabilities.bounding", Honoured),
    ("process.capabilities.effective", Honoured),
    ("process.capabilities.inheritable", Honoured),
    ("process.capabilities.permitted", Honoured),
    ("process.capabilities.ambient", Honoured),
    ("process.rlimits", Honoured),
    ("process.noNewPrivileges", Honoured),
    ("process.apparmorProfile", Refused("there is no AppArmor")),
    ("process.selinuxLabel", Refused("there is no SELinux")),
    (
        "process.oomScoreAdj",
        Harmless("nobody is killed to make room for others: memory is the container's own"),
    ),
    ("process.scheduler", Refused(NO_QUOTA)),
    ("process.ioPriority", Refused(NO_DISK)),
    ("process.execCPUAffinity", Refused("there is one processor")),
    ("hostname", Honoured),
    ("domainname", Honoured),
    ("mounts", Object),
    ("mounts[]", Object),
    ("mounts[].destination", Honoured),
    ("mounts[].type", Honoured),
    ("mounts[].source", Honoured),
    ("mounts[].options", Honoured),
    (
        "mounts[].uidMappings",
        Refused("owners of files are not mapped"),
    ),
    (
        "mounts[].gidMappings",
        Refused("owners of files are not mapped"),
    ),
    ("hooks", Object),
    ("hooks.prestart", Refused(NO_HOOKS)),
    ("hooks.createRuntime", Refused(NO_HOOKS)),
    ("hooks.createContainer", Refused(NO_HOOKS)),
    ("hooks.startContainer", Refused(NO_HOOKS)),
    ("hooks.poststart", Refused(NO_HOOKS)),
    ("hooks.poststop", Refused(NO_HOOKS)),
    (
        "annotations",
        Harmless("they are for people and tools outside"),
    ),
    ("linux", Object),
    ("linux.namespaces", Honoured),
    (
        "linux.uidMappings",
        Harmless("a container's users are its own, with or without a map: there are none outside"),
    ),
    (
        "linux.gidMappings",
        Harmless("a container's groups are its own, with or without a map: there are none outside"),
    ),
    (
        "linux.timeOffsets",
        Refused("all containers have the same clocks"),
    ),
    ("linux.devices", Honoured),
    ("linux.netDevices", Refused(NO_NETWORK)),
    (
        "linux.cgroupsPath",
        Harmless("there are no cgroups: a container's budget is its own"),
    ),
    ("linux.rootfsPropagation", Honoured),
    ("linux.resources", Object),
    ("linux.resources.memory", Object),
    ("linux.resources.memory.limit", Honoured),
    (
        "linux.resources.memory.reservation",
        Harmless("it is soft: the limit holds"),
    ),
    ("linux.resources.memory.swap", Harmless(NO_SWAP)),
    ("linux.resources.memory.swappiness", Harmless(NO_SWAP)),
    ("linux.resources.memory.kernel", Refused(KERNEL_MEMORY)),
    ("linux.resources.memory.kernelTCP", Refused(KERNEL_MEMORY)),
    (
        "linux.resources.memory.disableOOMKiller",
        Harmless("there is none: who asks for too much gets an error"),
    ),
    (
        "linux.resources.memory.useHierarchy",
        Harmless("budgets always nest"),
    ),
    (
        "linux.resources.memory.checkBeforeUpdate",
        Harmless("limits do not change"),
    ),
    ("linux.resources.pids", Object),
    ("linux.resources.pids.limit", Honoured),
    (
        "linux.resources.devices",
        Harmless("a container has the default devices and cannot have others, whatever is allowed"),
    ),
    ("linux.resources.cpu", Object),
    ("linux.resources.cpu.shares", Refused(NO_QUOTA)),
    ("linux.resources.cpu.quota", Refused(NO_QUOTA)),
    ("linux.resources.cpu.burst", Refused(NO_QUOTA)),
    ("linux.resources.cpu.period", Refused(NO_QUOTA)),
    ("linux.resources.cpu.realtimeRuntime", Refused(NO_QUOTA)),
    ("linux.resources.cpu.realtimePeriod", Refused(NO_QUOTA)),
    (
        "linux.resources.cpu.cpus",
        Refused("there is one processor"),
    ),
    (
        "linux.resources.cpu.mems",
        Refused("there is one memory node"),
    ),
    ("linux.resources.cpu.idle", Refused(NO_QUOTA)),
    ("linux.resources.blockIO", Refused(NO_DISK)),
    (
        "linux.resources.hugepageLimits",
        Harmless("there are no huge pages to have too many of"),
    ),
    ("linux.resources.network", Refused(NO_NETWORK)),
    ("linux.resources.rdma", Refused(NO_NETWORK)),
    ("linux.resources.unified", Refused("there are no cgroups")),
    (
        "linux.sysctl",
        Refused("parameters of the kernel cannot be set"),
    ),
    ("linux.seccomp", Refused("system calls are not filtered")),
    ("linux.maskedPaths", Honoured),
    ("linux.readonlyPaths", Honoured),
    ("linux.mountLabel", Refused("there is no SELinux")),
    ("linux.intelRdt", Refused("caches are not divided")),
    ("linux.memoryPolicy", Refused("there is one memory node")),
    ("linux.personality", Honoured),
    ("solaris", Refused(OTHER_SYSTEM)),
    ("windows", Refused(OTHER_SYSTEM)),
    ("freebsd", Refused(OTHER_SYSTEM)),
    ("zos", Refused(OTHER_SYSTEM)),
    (
        "vm",
        Refused("a virtual machine is not a container here; there is a factory for those"),
    ),
];

/// The last minor version of the specification 1 whose properties are all in the table.
pub const KNOWN_MINOR: u64 = 3;

/// What was found in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is left out.
    pub notes: Vec<String>,
    /// What is refused.
    pub refusals: Vec<Refusal>,
}

impl Findings {
    /// Remembers a refusal.
    pub fn refuse(&mut self, property: impl Into<String>, why: impl Into<String>) {
        self.refusals.push(Refusal {
            property: property.into(),
            why: why.into(),
        });
    }

    /// Remembers what is left out.
    pub fn note(&mut self, property: &str, why: &str) {
        self.notes.push(format!("{property} left out: {why}"));
    }
}

/// Holds a document against the table.
///
/// A property that the specification does not have has to be passed over (specification, "Extensibility"):
/// it is, with a note, unless the document is of a version that may have it, or it is one of the known
/// ones in other case, which another runtime would take for it.
///
/// # Errors
/// When the document is of a version that cannot be read.
pub fn judge(document: &Value) -> Result<Findings> {
    let mut findings = Findings::default();
    let minor = minor_version(document)?;
    walk(document, "", minor > KNOWN_MINOR, &mut findings);
    Ok(findings)
}

/// The minor version of a document of major version 1 (semantic versioning 2.0.0).
fn minor_version(document: &Value) -> Result<u64> {
    let bad = |why: &str| Error::Property {
        property: "ociVersion".into(),
        why: why.into(),
    };
    let text = document.get("ociVersion").and_then(Value::as_str);
    let text = text.ok_or_else(|| bad("it is missing"))?;
    let numbers = text.split(['-', '+']).next().unwrap_or(text);
    let mut numbers = numbers.split('.').map(str::parse::<u64>);
    match (
        numbers.next(),
        numbers.next(),
        numbers.next(),
        numbers.next(),
    ) {
        (Some(Ok(1)), Some(Ok(minor)), Some(Ok(_)), None) => Ok(minor),
        (Some(Ok(_)), Some(Ok(_)), Some(Ok(_)), None) => Err(bad(&format!(
            "this is version {}; 1 is understood",
            text.escape_debug()
        ))),
        _ => Err(bad("it is no version")),
    }
}

/// Whether a property asks for something.
fn asks(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => object.values().any(asks),
    }
}

fn verdict(path: &str) -> Option<Verdict> {
    TABLE
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, verdict)| *verdict)
}

fn walk(value: &Value, path: &str, may_be_newer: bool, findings: &mut Findings) {
    match value {
        Value::Object(properties) => {
            for (name, value) in properties {
                let dot = if path.is_empty() { "" } else { "." };
                property(value, &format!("{path}{dot}{name}"), may_be_newer, findings);
            }
        }
        Value::Array(list) => {
            for value in list {
                property(value, &format!("{path}[]"), may_be_newer, findings);
            }
        }
        // Of the wrong type: who reads it says so.
        _ => {}
    }
}

fn property(value: &Value, path: &str, may_be_newer: bool, findings: &mut Findings) {
    match verdict(path) {
        Some(Object) => walk(value, path, may_be_newer, findings),
        Some(Honoured) => {}
        Some(_) if !asks(value) => {}
        Some(Harmless(why)) => findings.note(path, why),
        Some(Refused(why)) => findings.refuse(path, why),
        None => {
            let shown = path.escape_debug().to_string();
            let twin = TABLE
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(path));
            if let Some((known, _)) = twin {
                findings.refuse(
                    shown,
                    format!("some take it for `{known}`: write it so, or leave it out"),
                );
            } else if may_be_newer {
                findings.refuse(
                    shown,
                    "it may be of a version of the specification that is not known here",
                );
            } else {
                findings.note(&shown, "the specification has no such property");
            }
        }
    }
}

/// The table as Markdown, as it is in the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| property | what becomes of it |\n| --- | --- |\n");
    for (path, verdict) in TABLE {
        let verdict = match verdict {
            Object => continue,
            Honoured => "honoured".to_owned(),
            Harmless(why) => format!("left out: {why}"),
            Refused(why) => format!("**refused**: {why}"),
        };
        text.push_str(&format!("| `{path}` | {verdict} |\n"));
    }
    text
}

#[cfg(test)]
mod specification;
#[cfg(test)]
mod tests;
