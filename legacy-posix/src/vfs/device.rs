// SPDX-License-Identifier: BSD-2-Clause
//! Devices: what is in `/dev`, and which device a number means.

use alloc::vec::Vec;

use super::source::{Info, Mapping, Processes, System};
use super::{Node, device_number, major_minor};
use crate::file::{PlaceId, TableId};
use crate::{Credentials, ProcessId, ThreadId};

/// The group of terminals (`tty` in Debian's `/etc/group`).
pub const TTY_GROUP: u32 = 5;

/// A device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Device {
    Null,
    Zero,
    Full,
    Random,
    /// `/dev/tty`: the terminal of the session.
    Controlling,
    Console(u32),
    /// `/dev/ptmx`.
    Multiplexer,
    Pseudo(u32),
}

impl Device {
    /// The character device of a number.
    pub const fn of(number: u64) -> Option<Self> {
        Some(match major_minor(number) {
            (1, 3) => Self::Null,
            (1, 5) => Self::Zero,
            (1, 7) => Self::Full,
            (1, 8 | 9) => Self::Random,
            (4, number) => Self::Console(number),
            (5, 0) => Self::Controlling,
            (5, 1) => Self::Console(0),
            (5, 2) => Self::Multiplexer,
            (136, number) => Self::Pseudo(number),
            _ => return None,
        })
    }
}

/// The number of `/dev/null`.
pub const NULL: u64 = device_number(1, 3);

/// Devices in `/dev`: name, permissions, number.
pub const NODES: &[(&str, u32, u64)] = &[
    ("null", 0o666, NULL),
    ("zero", 0o666, device_number(1, 5)),
    ("full", 0o666, device_number(1, 7)),
    ("random", 0o666, device_number(1, 8)),
    ("urandom", 0o666, device_number(1, 9)),
    ("tty", 0o666, device_number(5, 0)),
    ("console", 0o600, device_number(5, 1)),
    ("ptmx", 0o666, device_number(5, 2)),
];

/// Symbolic links in `/dev`.
pub const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// For what the server does on its own, when no process is concerned.
pub struct NoProcesses;

impl Processes for NoProcesses {
    fn next(&self, _: u32) -> Option<ProcessId> {
        None
    }
    fn next_thread(&self, _: ProcessId, _: u32) -> Option<ThreadId> {
        None
    }
    fn info(&self, _: ProcessId) -> Option<Info> {
        None
    }
    fn thread_info(&self, _: ThreadId) -> Option<Info> {
        None
    }
    fn session_of_group(&self, _: ProcessId) -> Option<ProcessId> {
        None
    }
    fn credentials(&self, _: ProcessId) -> Option<Credentials> {
        None
    }
    fn table(&self, _: ProcessId) -> Option<TableId> {
        None
    }
    fn place(&self, _: ProcessId) -> Option<PlaceId> {
        None
    }
    fn executable(&self, _: ProcessId) -> Option<Node> {
        None
    }
    fn arguments(&self, _: ProcessId) -> Vec<u8> {
        Vec::new()
    }
    fn environment(&self, _: ProcessId) -> Vec<u8> {
        Vec::new()
    }
    fn mappings(&self, _: ProcessId) -> Vec<Mapping> {
        Vec::new()
    }
    fn system(&self) -> System {
        System::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_in_dev_can_be_opened_and_numbers_come_apart_as_put_together() {
        for &(name, _, number) in NODES {
            assert!(Device::of(number).is_some(), "{name}");
        }
        for (major, minor) in [(0, 0), (136, 1000), (4095, 0xf_ffff), (0xffff, 0xffff_ffff)] {
            assert_eq!(major_minor(device_number(major, minor)), (major, minor));
        }
        assert_eq!(device_number(5, 1), 0x501);
    }
}
