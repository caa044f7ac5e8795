// SPDX-License-Identifier: BSD-2-Clause
//! From what was read to the description that the guest gets.

use crate::config::{Config, TERMINATE};
use crate::mounts::normal;
use crate::root::RootFs;
use crate::{Error, Result, passwd};
use oci_spec::image;
use xos_container::{
    Capabilities, CapabilitySets, Container, Digest, Flaw, Limits, List, MAX_BYTES, MAX_GROUPS,
    Mount, MountFlags, MountKind, Process, Root, User,
};

/// Where programs are looked for when an image does not say (docker's choice).
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process of an image may do beside what its user may (docker's choice).
const DEFAULT_CAPABILITIES: Capabilities = Capabilities::CHOWN
    .union(Capabilities::DAC_OVERRIDE)
    .union(Capabilities::FSETID)
    .union(Capabilities::FOWNER)
    .union(Capabilities::MKNOD)
    .union(Capabilities::NET_RAW)
    .union(Capabilities::SETGID)
    .union(Capabilities::SETUID)
    .union(Capabilities::SETFCAP)
    .union(Capabilities::SETPCAP)
    .union(Capabilities::NET_BIND_SERVICE)
    .union(Capabilities::SYS_CHROOT)
    .union(Capabilities::KILL)
    .union(Capabilities::AUDIT_WRITE);

/// What a container of an image must not see of the system (docker's choice, as far as it exists here).
const MASKED: &[&str] = &["/proc/kcore", "/proc/keys", "/proc/ic", "/proc/timer_list"];
/// What it must not change.
const READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The description of a bundle's container.
///
/// # Errors
/// What makes no sense in it.
pub fn bundle(mut config: Config, root: &mut RootFs, image: Digest) -> Result<Vec<u8>> {
    add_home(&mut config, root);
    encode(&config, image)
}

/// The description of an image's container (image specification, "Conversion to OCI Runtime
/// Configuration"), and notes about what is left out.
///
/// # Errors
/// What makes no sense in it.
pub fn image(
    image: image::Config,
    root: &mut RootFs,
    digest: Digest,
) -> Result<(Vec<u8>, Vec<String>)> {
    let account = passwd::look_up(image.user().as_deref().unwrap_or(""), root)?;
    let mut notes = Vec::new();
    let mut note = |asked: bool, what: &str| {
        if asked {
            notes.push(what.to_owned());
        }
    };
    let asks = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    note(
        asks(image.exposed_ports()),
        "ExposedPorts left out: there is no network",
    );
    note(
        asks(image.volumes()),
        "Volumes left out: they are folders of the container, and end with it",
    );
    let entrypoint = image.entrypoint().clone().unwrap_or_default();
    let mut arguments = entrypoint.clone();
    arguments.extend(image.cmd().clone().unwrap_or_default());
    let mut environment = image.env().clone().unwrap_or_default();
    if !environment.iter().any(|text| text.starts_with("PATH=")) {
        environment.insert(0, DEFAULT_PATH.to_owned());
    }
    let cwd = image.working_dir().as_deref().unwrap_or("");
    // Who is not root keeps what it may get, and has none of it.
    let own = match account.uid {
        0 => DEFAULT_CAPABILITIES,
        _ => Capabilities::empty(),
    };
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    let mut config = Config {
        read_only: false,
        arguments,
        entrypoint: entrypoint.len(),
        environment,
        cwd: normal(cwd),
        uid: account.uid,
        gid: account.gid,
        umask: None,
        additional_gids: account.groups.into_iter().take(MAX_GROUPS).collect(),
        terminal: false,
        capabilities: CapabilitySets {
            bounding: DEFAULT_CAPABILITIES,
            effective: own,
            inheritable: Capabilities::empty(),
            permitted: own,
            ambient: Capabilities::empty(),
        },
        no_new_privileges: false,
        rlimits: Vec::new(),
        hostname: String::new(),
        domainname: String::new(),
        mounts: default_mounts(),
        masked_paths: strings(MASKED),
        readonly_paths: strings(READ_ONLY),
        limits: Limits::default(),
        stop_signal: stop_signal(image.stop_signal().as_deref())?,
    };
    add_home(&mut config, root);
    Ok((encode(&config, digest)?, notes))
}

/// What a container of an image has mounted (runtime specification, "Default Filesystems").
fn default_mounts() -> Vec<Mount<String>> {
    let tmpfs = |mode, devices| MountKind::Tmpfs {
        size: None,
        inodes: None,
        mode,
        uid: 0,
        gid: 0,
        devices,
    };
    let safe = MountFlags::NO_SUID | MountFlags::NO_DEV | MountFlags::NO_EXEC;
    let terminals = MountKind::Devpts {
        mode: 0o620,
        gid: Some(5),
    };
    [
        ("/proc", MountKind::Proc, safe),
        ("/dev", tmpfs(0o755, true), MountFlags::NO_SUID),
        (
            "/dev/pts",
            terminals,
            MountFlags::NO_SUID | MountFlags::NO_EXEC,
        ),
        ("/dev/shm", tmpfs(0o1777, false), safe),
        ("/sys", MountKind::Empty, safe | MountFlags::READ_ONLY),
    ]
    .into_iter()
    .map(|(target, kind, flags)| Mount {
        target: target.to_owned(),
        kind,
        flags,
    })
    .collect()
}

/// A process has a HOME (runc and docker set it, and shells rely on it).
fn add_home(config: &mut Config, root: &mut RootFs) {
    if !config
        .environment
        .iter()
        .any(|text| text.starts_with("HOME="))
    {
        let home = passwd::home(config.uid, root);
        config.environment.push(format!("HOME={home}"));
    }
}

/// Names of Linux's signals by number, of those that an image may be stopped with.
const SIGNALS: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("STOP", 19),
    ("WINCH", 28),
    ("PWR", 30),
];

fn stop_signal(text: Option<&str>) -> Result<u8> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(TERMINATE);
    };
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let real_time = |name: &str| {
        let offset = name.strip_prefix("RTMIN")?;
        let offset = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+')?.parse::<u8>().ok()?
        };
        offset.checked_add(34).filter(|number| *number <= 64)
    };
    SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .or_else(|| real_time(name))
        .or_else(|| text.parse().ok().filter(|number| (1..=64).contains(number)))
        .ok_or_else(|| Error::Property {
            property: "StopSignal".into(),
            why: format!("`{}` is no signal", text.escape_debug()),
        })
}

/// Strings, each ended by a NUL byte.
fn list(strings: &[String]) -> Result<String> {
    if strings.iter().any(|text| text.contains('\0')) {
        return Err(Error::Property {
            property: "process".into(),
            why: "a string has a NUL byte in it".into(),
        });
    }
    Ok(strings.iter().map(|text| format!("{text}\0")).collect())
}

fn encode(config: &Config, image: Digest) -> Result<Vec<u8>> {
    let arguments = list(&config.arguments)?;
    let environment = list(&config.environment)?;
    let masked_paths = list(&config.masked_paths)?;
    let readonly_paths = list(&config.readonly_paths)?;
    let fits = |_| Error::Flaw(Flaw::TooLong);
    let mounts: Vec<_> = config.mounts.iter().map(Mount::borrowed).collect();
    let container = Container {
        root: Root {
            image,
            read_only: config.read_only,
        },
        process: Process {
            arguments: List(&arguments),
            entrypoint: u16::try_from(config.entrypoint).map_err(|_| Flaw::TooLong)?,
            environment: List(&environment),
            cwd: &config.cwd,
            user: User {
                uid: config.uid,
                gid: config.gid,
                umask: config.umask,
                additional_gids: heapless(&config.additional_gids).map_err(fits)?,
            },
            terminal: config.terminal,
            capabilities: config.capabilities,
            no_new_privileges: config.no_new_privileges,
            rlimits: heapless(&config.rlimits).map_err(fits)?,
        },
        hostname: &config.hostname,
        domainname: &config.domainname,
        mounts: heapless(&mounts).map_err(fits)?,
        masked_paths: List(&masked_paths),
        readonly_paths: List(&readonly_paths),
        limits: config.limits,
        stop_signal: config.stop_signal,
    };
    let mut bytes = vec![0; MAX_BYTES];
    let length = container.write(&mut bytes)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

/// A list that has room for `N`.
fn heapless<T: Clone, const N: usize>(
    items: &[T],
) -> std::result::Result<xos_container::Vec<T, N>, ()> {
    xos_container::Vec::from_slice(items).map_err(|_| ())
}

#[cfg(test)]
mod tests;
