// SPDX-License-Identifier: BSD-2-Clause
//! Whether a description makes sense.

use crate::{
    Capabilities, Container, MAX_HOSTNAME, MAX_PATH, MountFlags, MountKind, Resource, is_name,
};

/// Why bytes are no description of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// They do not decode.
    #[error("this is no description of a container, or one of another version")]
    Malformed,
    /// There are too many of them.
    #[error("arguments, environment and paths of a container are longer than 64 KiB in all")]
    TooLong,
    /// No program.
    #[error("a container needs at least one argument, which names its program")]
    NoProgram,
    /// More arguments stay than there are.
    #[error("the entry point has more arguments than the process")]
    Entrypoint,
    /// Not `NAME=value`.
    #[error("each string of the environment is NAME=value")]
    Environment,
    /// A path that leads nowhere, or to a place that depends on where one is.
    #[error("a path of the container is not absolute, has `.` or `..` in it, or is too long")]
    Path,
    /// A host or domain name that Linux would not take.
    #[error("a host name has at most 64 bytes and no control characters")]
    Hostname,
    /// More than the permission bits.
    #[error("a mode or umask has bits that it cannot have")]
    Mode,
    /// A capability that is none.
    #[error("a capability has a number that Linux does not know")]
    UnknownCapability,
    /// Sets that a process cannot have.
    #[error(
        "capabilities that are effective have to be permitted, ambient ones permitted and inheritable"
    )]
    Capabilities,
    /// A limit above what it may be raised to.
    #[error("the soft limit of a resource is above its hard limit")]
    Rlimit,
    /// A limit twice.
    #[error("a resource has two limits")]
    RlimitTwice,
    /// A region's name that cannot be one.
    #[error("a region's name has at most 64 letters, digits, `_`, `.` and `-`")]
    RegionName,
    /// A flag of mounts that is none.
    #[error("a mount has a flag that does not exist")]
    UnknownFlag,
    /// No memory at all.
    #[error("a container cannot do with no memory, or with no thread")]
    NoLimit,
    /// A signal that is none.
    #[error("signals have the numbers 1 to 64")]
    Signal,
}

/// Whether a path is absolute and normal: `/`, or parts after a `/` each that are neither empty nor `.`
/// nor `..`.
pub(crate) fn is_path(path: &str) -> bool {
    path.len() < MAX_PATH
        && !path.contains('\0')
        && path.strip_prefix('/').is_some_and(|path| {
            path.is_empty() || !path.split('/').any(|part| matches!(part, "" | "." | ".."))
        })
}

/// Whether a string is `NAME=value`.
pub(crate) fn is_assignment(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty())
}

fn ensure(holds: bool, flaw: Flaw) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(flaw) }
}

impl Container<'_> {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), Flaw> {
        self.check_process()?;
        for name in [self.hostname, self.domainname] {
            let fits = name.len() <= MAX_HOSTNAME && !name.contains(char::is_control);
            ensure(fits, Flaw::Hostname)?;
        }
        for mount in &self.mounts {
            ensure(is_path(mount.target) && mount.target != "/", Flaw::Path)?;
            ensure(MountFlags::all().contains(mount.flags), Flaw::UnknownFlag)?;
            match mount.kind {
                MountKind::Tmpfs { mode, .. } => ensure(mode <= 0o7777, Flaw::Mode)?,
                MountKind::Devpts { mode, .. } => ensure(mode <= 0o777, Flaw::Mode)?,
                MountKind::Region(name) => ensure(is_name(name), Flaw::RegionName)?,
                MountKind::Proc | MountKind::Empty => {}
            }
        }
        let mut paths = self.masked_paths.iter().chain(self.readonly_paths.iter());
        ensure(paths.all(|path| is_path(path) && path != "/"), Flaw::Path)?;
        let limited = self.limits.memory != Some(0) && self.limits.pids != Some(0);
        ensure(limited, Flaw::NoLimit)?;
        ensure((1..=64).contains(&self.stop_signal), Flaw::Signal)
    }

    fn check_process(&self) -> Result<(), Flaw> {
        let process = &self.process;
        let arguments = process.arguments.len();
        let program = process.arguments.iter().next();
        ensure(program.is_some_and(|p| !p.is_empty()), Flaw::NoProgram)?;
        ensure(
            usize::from(process.entrypoint) <= arguments,
            Flaw::Entrypoint,
        )?;
        let mut environment = process.environment.iter();
        let is_assignment = |text: &str| {
            text.split_once('=')
                .is_some_and(|(name, _)| !name.is_empty())
        };
        ensure(environment.all(is_assignment), Flaw::Environment)?;
        ensure(is_path(process.cwd), Flaw::Path)?;
        ensure(process.user.umask.unwrap_or(0) <= 0o777, Flaw::Mode)?;

        let sets = process.capabilities;
        let all = [
            sets.bounding,
            sets.effective,
            sets.inheritable,
            sets.permitted,
            sets.ambient,
        ];
        ensure(
            all.iter().all(|set| Capabilities::all().contains(*set)),
            Flaw::UnknownCapability,
        )?;
        let consistent = sets.permitted.contains(sets.effective)
            && sets.permitted.contains(sets.ambient)
            && sets.inheritable.contains(sets.ambient);
        ensure(consistent, Flaw::Capabilities)?;

        let mut seen = 0u32;
        for limit in &process.rlimits {
            ensure(limit.soft <= limit.hard, Flaw::Rlimit)?;
            let bit = 1 << (limit.resource as u8);
            ensure(seen & bit == 0, Flaw::RlimitTwice)?;
            seen |= bit;
        }
        Ok(())
    }
}

const _: () = assert!(Resource::ALL.len() <= 32);
