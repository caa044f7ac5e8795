// SPDX-License-Identifier: BSD-2-Clause
//! What a container is: the description that the host makes of an OCI bundle or
//! image, and that the guest runs.
//!
//! A `config.json` says a great deal about a container, in a format that takes a
//! JSON parser to read and in the terms of one kernel. The host reads it
//! (`xos-oci`), refuses what cannot be honoured and leaves this: what a container
//! factory and a POSIX server have to do, and nothing else. It travels in the
//! initial file tree, `containers/NAME`, beside the root file systems,
//! `images/DIGEST.tar`, which containers share.
//!
//! The guest does not trust it for that: a file tree is a user's. Decoding is
//! total and bounded ([`Container::read`] takes any bytes and allocates nothing),
//! and what it gives has been [checked](Container::check): absolute paths without
//! `..`, no more capabilities effective than permitted, no limit above its
//! ceiling. What remains for the guest is the one thing that cannot be seen from
//! here: whether the image and the regions that it names are there.
//!
//! What a container's server is told by its factory is a [`Setup`]: the description, as whoever started
//! the container has changed it, and where its memory is.
//!
//! It must never say anything that the guest does not enforce. A field comes in
//! when its meaning does.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod capability;
mod check;
mod list;
mod mount;
mod setup;
#[cfg(test)]
mod tests;

pub use capability::{Capabilities, CapabilitySets};
pub use check::Flaw;
pub use list::List;
pub use mount::{Mount, MountFlags, MountKind};
pub use setup::{Grant, Setup, Span};

use core::fmt;

pub use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Folder of the initial file tree with the descriptions, each a file called as its container.
pub const CONTAINERS: &str = "containers";
/// Folder of the initial file tree with the root file systems, each an archive `DIGEST.tar`.
pub const IMAGES: &str = "images";

/// Bytes of an encoded description, at most: room for the arguments and the environment that programs
/// are usually given, and little enough to be mapped in one go.
pub const MAX_BYTES: usize = 64 << 10;
/// Bytes of a path (Linux's PATH_MAX, with the NUL byte).
pub const MAX_PATH: usize = 4096;
/// Bytes of a host name (Linux's HOST_NAME_MAX).
pub const MAX_HOSTNAME: usize = 64;
/// Bytes of the name of a container, a region: what docker takes, in a path of the initial file tree.
pub const MAX_NAME: usize = 64;
/// Mounts of a container.
pub const MAX_MOUNTS: usize = 32;
/// Additional groups of a process (Linux takes more; few programs have that many).
pub const MAX_GROUPS: usize = 32;

/// Bytes of an encoded [`Setup`], at most.
pub const MAX_SETUP_BYTES: usize = MAX_BYTES + (4 << 10);

/// The first bytes of a description: what it is, and in which version of the format.
const MAGIC: [u8; 4] = *b"xoC\x01";

/// A container: its file system, its first process, what it may use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Container<'a> {
    /// Where its root file system comes from.
    pub root: Root,
    /// Its first process, number 1.
    #[serde(borrow)]
    pub process: Process<'a>,
    /// Its host name; empty: the name that it is created under.
    pub hostname: &'a str,
    /// Its NIS domain name; empty: none.
    pub domainname: &'a str,
    /// What is mounted over the root, in this order.
    #[serde(borrow)]
    pub mounts: Vec<Mount<&'a str>, MAX_MOUNTS>,
    /// Files that read as empty and folders that look empty, and cannot be written.
    #[serde(borrow)]
    pub masked_paths: List<'a>,
    /// Files and folders that cannot be written, whoever asks.
    #[serde(borrow)]
    pub readonly_paths: List<'a>,
    /// What it may use in all.
    pub limits: Limits,
    /// The signal that asks it to end, by Linux's number.
    pub stop_signal: u8,
}

/// Where a root file system comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Root {
    /// Which image: containers that name the same share it.
    pub image: Digest,
    /// Whether the container may not change it. If it may, its changes are its own, and paid by it.
    pub read_only: bool,
}

/// SHA-256 of a root file system's archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A container's first process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Process<'a> {
    /// Its arguments, of which the first names the program; at least that one.
    #[serde(borrow)]
    pub arguments: List<'a>,
    /// How many of the arguments stay when whoever starts the container gives a command of his own: those
    /// of an image's entry point.
    pub entrypoint: u16,
    /// Its environment, `NAME=value`.
    #[serde(borrow)]
    pub environment: List<'a>,
    /// Its working directory.
    pub cwd: &'a str,
    /// Who it is.
    pub user: User,
    /// Whether its standard streams are a terminal's.
    pub terminal: bool,
    /// What it may do beside what its user may.
    pub capabilities: CapabilitySets,
    /// Whether no program that it executes may give it more rights than it has.
    pub no_new_privileges: bool,
    /// Its limits, none twice.
    pub rlimits: Vec<Rlimit, { Resource::ALL.len() }>,
}

/// Who a process is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The rights that new files do not get; nothing: Linux's usual 0o022.
    pub umask: Option<u16>,
    /// Further groups.
    pub additional_gids: Vec<u32, MAX_GROUPS>,
}

/// What a container may use in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, everything included: programs, files, its server. Nothing: what who starts it says.
    pub memory: Option<u64>,
    /// Threads at a time. Nothing: as many as its memory has room for.
    pub pids: Option<u32>,
}

/// A limit of a process (POSIX's setrlimit).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rlimit {
    /// On what.
    pub resource: Resource,
    /// What holds.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident => $text:literal),+ $(,)?) => {
        /// What a process's limit can be on, in the order of Linux's numbers.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Resource { $($(#[$doc])* $name),+ }

        impl Resource {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name that POSIX and Linux give it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The one of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|resource| resource.name() == name)
            }
        }
    };
}

resources! {
    /// Seconds of processor time.
    Cpu => "RLIMIT_CPU",
    /// Bytes of a file.
    FileSize => "RLIMIT_FSIZE",
    /// Bytes of data.
    Data => "RLIMIT_DATA",
    /// Bytes of the main stack.
    Stack => "RLIMIT_STACK",
    /// Bytes of a core dump.
    Core => "RLIMIT_CORE",
    /// Bytes of resident memory.
    Resident => "RLIMIT_RSS",
    /// Processes of the user.
    Processes => "RLIMIT_NPROC",
    /// Number of the highest file descriptor, plus one.
    Files => "RLIMIT_NOFILE",
    /// Bytes of locked memory.
    Locked => "RLIMIT_MEMLOCK",
    /// Bytes of address space.
    AddressSpace => "RLIMIT_AS",
    /// File locks.
    Locks => "RLIMIT_LOCKS",
    /// Signals that are queued.
    Signals => "RLIMIT_SIGPENDING",
    /// Bytes in POSIX message queues.
    MessageQueues => "RLIMIT_MSGQUEUE",
    /// How far a process may be preferred.
    Nice => "RLIMIT_NICE",
    /// The highest real-time priority.
    RealTimePriority => "RLIMIT_RTPRIO",
    /// Microseconds of real-time scheduling without a system call that blocks.
    RealTime => "RLIMIT_RTTIME",
}

impl<'a> Container<'a> {
    /// Encodes it; gives the bytes used.
    ///
    /// # Errors
    /// What is wrong with it; [`Flaw::TooLong`] when it does not fit.
    pub fn write<'b>(&self, bytes: &'b mut [u8]) -> Result<&'b [u8], Flaw> {
        self.check()?;
        let room = bytes.len().min(MAX_BYTES);
        let (magic, body) = bytes[..room]
            .split_at_mut_checked(MAGIC.len())
            .ok_or(Flaw::TooLong)?;
        magic.copy_from_slice(&MAGIC);
        let used = postcard::to_slice(self, body)
            .map_err(|_| Flaw::TooLong)?
            .len();
        Ok(&bytes[..MAGIC.len() + used])
    }

    /// Decodes and checks a description.
    ///
    /// # Errors
    /// What is wrong with it; [`Flaw::Malformed`] when these bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        if bytes.len() > MAX_BYTES {
            return Err(Flaw::TooLong);
        }
        let body = bytes.strip_prefix(&MAGIC).ok_or(Flaw::Malformed)?;
        let container = match postcard::take_from_bytes::<Self>(body) {
            Ok((container, [])) => container,
            _ => return Err(Flaw::Malformed),
        };
        container.check()?;
        Ok(container)
    }
}

/// Whether this can be the name of a container or a region: a letter or digit, then letters, digits, `_`,
/// `.`, `-` (docker's rule).
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
