// SPDX-License-Identifier: BSD-2-Clause
//! What a `config.json` says, as far as it is honoured.

use crate::layer::DEFAULT_DEVICES;
use crate::mounts;
use crate::verdict::{self, Findings};
use crate::{Error, Result};
use oci_spec::runtime::{
    Linux, LinuxDeviceType, LinuxPersonalityDomain, PosixRlimit, Process, Spec,
};
use serde_json::Value;
use xos_container::{Capabilities, CapabilitySets, Limits, MAX_GROUPS, Mount, Resource, Rlimit};

/// SIGTERM.
pub(crate) const TERMINATE: u8 = 15;

/// A container, with strings of its own and without its root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// See [`xos_container::Root::read_only`].
    pub read_only: bool,
    /// See [`xos_container::Process::arguments`].
    pub arguments: Vec<String>,
    /// See [`xos_container::Process::entrypoint`].
    pub entrypoint: usize,
    /// See [`xos_container::Process::environment`].
    pub environment: Vec<String>,
    /// See [`xos_container::Process::cwd`].
    pub cwd: String,
    /// See [`xos_container::User`].
    pub uid: u32,
    /// See [`xos_container::User`].
    pub gid: u32,
    /// See [`xos_container::User`].
    pub umask: Option<u16>,
    /// See [`xos_container::User`].
    pub additional_gids: Vec<u32>,
    /// See [`xos_container::Process::terminal`].
    pub terminal: bool,
    /// See [`xos_container::Process::capabilities`].
    pub capabilities: CapabilitySets,
    /// See [`xos_container::Process::no_new_privileges`].
    pub no_new_privileges: bool,
    /// See [`xos_container::Process::rlimits`].
    pub rlimits: Vec<Rlimit>,
    /// See [`xos_container::Container::hostname`].
    pub hostname: String,
    /// See [`xos_container::Container::domainname`].
    pub domainname: String,
    /// See [`xos_container::Container::mounts`].
    pub mounts: Vec<Mount<String>>,
    /// See [`xos_container::Container::masked_paths`].
    pub masked_paths: Vec<String>,
    /// See [`xos_container::Container::readonly_paths`].
    pub readonly_paths: Vec<String>,
    /// See [`xos_container::Container::limits`].
    pub limits: Limits,
    /// See [`xos_container::Container::stop_signal`].
    pub stop_signal: u8,
}

/// Reads a `config.json`: what it says, where its root file system is, and what is left out of it.
///
/// # Errors
/// What is wrong with it; all that is refused, at once.
pub fn read(bytes: &[u8]) -> Result<(Config, std::path::PathBuf, Vec<String>)> {
    let malformed = |error: serde_json::Error| Error::Json {
        what: "config.json".into(),
        why: error.to_string(),
    };
    let document: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    // The table goes first: what is refused may be of a type that is not known.
    let mut findings = verdict::judge(&document)?;
    if !findings.refusals.is_empty() {
        return Err(Error::Refused(findings.refusals));
    }
    let spec: Spec = serde_json::from_slice(bytes).map_err(malformed)?;
    let missing = |property: &str| Error::Property {
        property: property.into(),
        why: "it is missing".into(),
    };
    let root = spec.root().as_ref().ok_or_else(|| missing("root"))?;
    let process = spec.process().as_ref().ok_or_else(|| missing("process"))?;
    let default = Linux::default();
    let is_described = spec.linux().is_some();
    let linux = spec.linux().as_ref().unwrap_or(&default);
    if is_described {
        check_linux(linux, &mut findings);
    }
    let mounts = mounts::read(spec.mounts().as_deref().unwrap_or_default(), &mut findings);
    let limits = limits(linux, is_described, &mut findings);
    let list = |list: &Option<Vec<String>>| match is_described {
        true => list
            .iter()
            .flatten()
            .map(|path| mounts::normal(path))
            .collect(),
        false => Vec::new(),
    };
    let config = Config {
        read_only: root.readonly().unwrap_or(false),
        arguments: process.args().clone().unwrap_or_default(),
        entrypoint: 0,
        environment: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().to_string_lossy().into_owned(),
        uid: process.user().uid(),
        gid: process.user().gid(),
        umask: umask(process, &mut findings),
        additional_gids: groups(process, &mut findings),
        terminal: process.terminal().unwrap_or(false),
        capabilities: capabilities(process, &document, &mut findings),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        rlimits: process
            .rlimits()
            .iter()
            .flatten()
            .filter_map(|limit| rlimit(limit, &mut findings))
            .collect(),
        hostname: spec.hostname().clone().unwrap_or_default(),
        domainname: spec.domainname().clone().unwrap_or_default(),
        mounts,
        masked_paths: list(linux.masked_paths()),
        readonly_paths: list(linux.readonly_paths()),
        limits,
        stop_signal: TERMINATE,
    };
    if !findings.refusals.is_empty() {
        return Err(Error::Refused(findings.refusals));
    }
    Ok((config, root.path().clone(), findings.notes))
}

fn umask(process: &Process, findings: &mut Findings) -> Option<u16> {
    let umask = process.user().umask()?;
    if umask > 0o777 {
        findings.refuse("process.user.umask", "it has bits that are no permissions");
    }
    u16::try_from(umask).ok()
}

fn groups(process: &Process, findings: &mut Findings) -> Vec<u32> {
    let groups = process.user().additional_gids().clone().unwrap_or_default();
    if groups.len() > MAX_GROUPS {
        findings.refuse(
            "process.user.additionalGids",
            format!("there may be {MAX_GROUPS} at most"),
        );
    }
    groups
}

fn rlimit(limit: &PosixRlimit, findings: &mut Findings) -> Option<Rlimit> {
    let name = limit.typ().to_string();
    let resource = Resource::from_name(&name);
    if resource.is_none() {
        findings.refuse("process.rlimits", format!("there is no limit {name}"));
    }
    Some(Rlimit {
        resource: resource?,
        soft: limit.soft(),
        hard: limit.hard(),
    })
}

/// The capabilities. Without any in the document a process has none.
///
/// They are read from the document itself, by the names that [`Capabilities`] knows.
fn capabilities(process: &Process, document: &Value, findings: &mut Findings) -> CapabilitySets {
    if process.capabilities().is_none() {
        return CapabilitySets::default();
    }
    let mut set = |name: &str| {
        let mut set = Capabilities::empty();
        let list = document
            .pointer(&format!("/process/capabilities/{name}"))
            .and_then(Value::as_array);
        for text in list.into_iter().flatten().filter_map(Value::as_str) {
            match Capabilities::named(text) {
                Some(capability) => set |= capability,
                None => findings.refuse(
                    format!("process.capabilities.{name}"),
                    format!("there is no capability `{}`", text.escape_debug()),
                ),
            }
        }
        set
    };
    CapabilitySets {
        bounding: set("bounding"),
        effective: set("effective"),
        inheritable: set("inheritable"),
        permitted: set("permitted"),
        ambient: set("ambient"),
    }
}

/// Limits. Zero and less mean none, as in Linux's engines.
fn limits(linux: &Linux, is_described: bool, findings: &mut Findings) -> Limits {
    let Some(resources) = linux.resources().as_ref().filter(|_| is_described) else {
        return Limits::default();
    };
    let memory = resources
        .memory()
        .as_ref()
        .and_then(|memory| memory.limit());
    let pids = resources.pids().as_ref().map(|pids| pids.limit());
    let memory = memory
        .and_then(|limit| u64::try_from(limit).ok())
        .filter(|limit| *limit > 0);
    let pids = pids.filter(|limit| *limit > 0);
    let pids = pids.map(|limit| {
        u32::try_from(limit).unwrap_or_else(|_| {
            findings.note("linux.resources.pids.limit", "there are never so many");
            u32::MAX
        })
    });
    Limits { memory, pids }
}

fn check_linux(linux: &Linux, findings: &mut Findings) {
    for namespace in linux.namespaces().iter().flatten() {
        if namespace
            .path()
            .as_ref()
            .is_some_and(|path| !path.as_os_str().is_empty())
        {
            findings.refuse(
                "linux.namespaces[].path",
                format!(
                    "a container has a {} namespace of its own and cannot join another's",
                    namespace.typ()
                ),
            );
        }
    }
    for device in linux.devices().iter().flatten() {
        let numbers = (device.major(), device.minor());
        let is_default = device.typ() == LinuxDeviceType::C
            && DEFAULT_DEVICES.iter().any(|(major, minor, name)| {
                (i64::from(*major), i64::from(*minor)) == numbers
                    && *device.path() == std::path::Path::new("/dev").join(name)
            });
        if !is_default {
            findings.refuse(
                "linux.devices",
                format!(
                    "{} is none of the devices that a container has",
                    device.path().display()
                ),
            );
        }
    }
    match linux.rootfs_propagation().as_deref() {
        None
        | Some("" | "private" | "rprivate" | "slave" | "rslave" | "unbindable" | "runbindable") => {
        }
        Some(other) => findings.refuse(
            "linux.rootfsPropagation",
            format!(
                "`{}`: nobody outside sees a container's mounts",
                other.escape_debug()
            ),
        ),
    }
    if let Some(personality) = linux.personality()
        && personality.domain() != LinuxPersonalityDomain::PerLinux
    {
        findings.refuse("linux.personality", "programs of 32 bits cannot run");
    }
}

#[cfg(test)]
mod tests;
