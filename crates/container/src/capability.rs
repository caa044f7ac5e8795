// SPDX-License-Identifier: BSD-2-Clause
//! Linux's capabilities: the rights that a process can have one by one instead of being root.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// A set of Linux capabilities; bit `n` is the capability of number `n` (linux/capability.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Capabilities: u64 {
        /// Change owners of files.
        const CHOWN = 1 << 0;
        /// Read, write, execute files whatever their mode.
        const DAC_OVERRIDE = 1 << 1;
        /// Read files and search folders whatever their mode.
        const DAC_READ_SEARCH = 1 << 2;
        /// Do to files what only their owner may.
        const FOWNER = 1 << 3;
        /// Keep the set-user-id bit of files that are changed.
        const FSETID = 1 << 4;
        /// Signal processes of others.
        const KILL = 1 << 5;
        /// Change groups.
        const SETGID = 1 << 6;
        /// Change users.
        const SETUID = 1 << 7;
        /// Change capabilities.
        const SETPCAP = 1 << 8;
        /// Make files immutable.
        const LINUX_IMMUTABLE = 1 << 9;
        /// Listen at ports below 1024.
        const NET_BIND_SERVICE = 1 << 10;
        /// Broadcast.
        const NET_BROADCAST = 1 << 11;
        /// Configure the network.
        const NET_ADMIN = 1 << 12;
        /// Use raw sockets.
        const NET_RAW = 1 << 13;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Use System V IPC of others.
        const IPC_OWNER = 1 << 15;
        /// Load kernel modules.
        const SYS_MODULE = 1 << 16;
        /// Use I/O ports.
        const SYS_RAWIO = 1 << 17;
        /// Change the root.
        const SYS_CHROOT = 1 << 18;
        /// Trace processes of others.
        const SYS_PTRACE = 1 << 19;
        /// Switch process accounting.
        const SYS_PACCT = 1 << 20;
        /// Mount, and much else.
        const SYS_ADMIN = 1 << 21;
        /// Reboot.
        const SYS_BOOT = 1 << 22;
        /// Raise priorities.
        const SYS_NICE = 1 << 23;
        /// Exceed limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set the clock.
        const SYS_TIME = 1 << 25;
        /// Configure terminals.
        const SYS_TTY_CONFIG = 1 << 26;
        /// Make device nodes.
        const MKNOD = 1 << 27;
        /// Lease files of others.
        const LEASE = 1 << 28;
        /// Write to the audit log.
        const AUDIT_WRITE = 1 << 29;
        /// Configure auditing.
        const AUDIT_CONTROL = 1 << 30;
        /// Give files capabilities.
        const SETFCAP = 1 << 31;
        /// Override mandatory access control.
        const MAC_OVERRIDE = 1 << 32;
        /// Configure mandatory access control.
        const MAC_ADMIN = 1 << 33;
        /// Read the kernel's log.
        const SYSLOG = 1 << 34;
        /// Wake the machine.
        const WAKE_ALARM = 1 << 35;
        /// Keep the machine awake.
        const BLOCK_SUSPEND = 1 << 36;
        /// Read the audit log.
        const AUDIT_READ = 1 << 37;
        /// Monitor performance.
        const PERFMON = 1 << 38;
        /// Load BPF programs.
        const BPF = 1 << 39;
        /// Checkpoint and restore.
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}

impl Capabilities {
    /// The capability with this name, with or without `CAP_` before it.
    pub fn named(name: &str) -> Option<Self> {
        Self::from_name(name.strip_prefix("CAP_").unwrap_or(name))
    }
}

/// The five sets of a process (capabilities(7)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// What it can ever get by executing a program.
    pub bounding: Capabilities,
    /// What counts.
    pub effective: Capabilities,
    /// What it keeps when it executes a program that asks for it.
    pub inheritable: Capabilities,
    /// What it can make effective.
    pub permitted: Capabilities,
    /// What it keeps when it executes any program.
    pub ambient: Capabilities,
}
