// SPDX-License-Identifier: BSD-2-Clause
//! What `/proc` shows and others know: the border to processes and to the system of ICs.

use alloc::string::String;
use alloc::vec::Vec;

use super::Node;
use crate::file::{PlaceId, TableId};
use crate::{Credentials, Errno, ProcessId, Result, ThreadId};

/// What is known of a process, or one of its threads. Times are in ticks of 1/100 s.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Info {
    /// `comm`: at most 15 bytes.
    pub name: Vec<u8>,
    /// `R`, `S`, `D`, `T`, `Z`.
    pub state: char,
    pub parent: u32,
    pub group: ProcessId,
    pub session: ProcessId,
    pub credentials: Credentials,
    pub no_new_rights: bool,
    pub threads: u32,
    pub nice: i32,
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub children_user_ticks: u64,
    pub children_system_ticks: u64,
    /// Since the system's start.
    pub start_ticks: u64,
    pub minor_faults: u64,
    /// Bytes of address space, now and at most.
    pub size: u64,
    pub peak_size: u64,
    /// Pages that are there.
    pub resident: u64,
    /// Bytes of data, stack and text.
    pub data: u64,
    pub stack: u64,
    pub text: u64,
    /// Signals, bit `signal - 1` each.
    pub pending: u64,
    pub shared_pending: u64,
    pub blocked: u64,
    pub ignored: u64,
    pub caught: u64,
    pub voluntary_switches: u64,
}

/// A mapping, for `/proc/N/maps`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    pub shared: bool,
    /// The file and the offset in it.
    pub file: Option<(Node, u64)>,
    /// `[heap]`, `[stack]`; empty for others.
    pub label: &'static str,
}

/// What is known of the system as a whole. Times are in ticks of 1/100 s.
#[derive(Clone, Default, Debug)]
#[allow(missing_docs)]
pub struct System {
    pub host: String,
    /// As `uname -r` and `uname -v`.
    pub release: String,
    pub version: String,
    pub processor: String,
    pub uptime_ticks: u64,
    pub idle_ticks: u64,
    pub user_ticks: u64,
    pub system_ticks: u64,
    /// When it started, in seconds from 1970.
    pub boot_time: i64,
    /// In 1/100.
    pub load: [u32; 3],
    pub running: u32,
    pub processes: u32,
    pub last_process: u32,
    pub forks: u64,
    pub switches: u64,
    pub traps: u64,
    /// Bytes that the server itself has in use.
    pub heap: usize,
}

/// What is known of processes.
pub trait Processes {
    /// The process with the lowest number from `number` on.
    fn next(&self, number: u32) -> Option<ProcessId>;
    /// The thread of a process with the lowest number from `number` on.
    fn next_thread(&self, process: ProcessId, number: u32) -> Option<ThreadId>;
    /// What is known of a process.
    fn info(&self, process: ProcessId) -> Option<Info>;
    /// What is known of a thread.
    fn thread_info(&self, thread: ThreadId) -> Option<Info>;
    /// The session that a process group is in; none if there is no such group.
    fn session_of_group(&self, group: ProcessId) -> Option<ProcessId>;
    /// Whom a process acts for: what decides about its files here.
    fn credentials(&self, process: ProcessId) -> Option<Credentials>;
    /// Its descriptors; none if it has ended.
    fn table(&self, process: ProcessId) -> Option<TableId>;
    /// Its directories; none if it has ended.
    fn place(&self, process: ProcessId) -> Option<PlaceId>;
    /// The program that it runs.
    fn executable(&self, process: ProcessId) -> Option<Node>;
    /// Its arguments, a zero byte behind each.
    fn arguments(&self, process: ProcessId) -> Vec<u8>;
    /// Its environment when it was started, a zero byte behind each.
    fn environment(&self, process: ProcessId) -> Vec<u8>;
    /// Its mappings, by address.
    fn mappings(&self, process: ProcessId) -> Vec<Mapping>;
    /// What is known of the system.
    fn system(&self) -> System;
    /// Isolation contexts, for `/proc/ic`; none if this server cannot see them.
    fn contexts(&self) -> Option<&dyn Contexts> {
        None
    }
}

/// What `/proc/ic` shows: a directory for each isolation context, and files. Texts are made when a file is
/// opened; writing to a file is an order.
pub trait Contexts {
    /// The context with the lowest id from `id` on; ids are below 2^40.
    fn next(&self, id: u64) -> Option<u64>;
    /// Names of the files in `/proc/ic` itself (`None`), or in the directory of a context, and whether they
    /// can be written to.
    fn files(&self, context: Option<u64>) -> &'static [(&'static str, bool)];
    /// The text of a file.
    ///
    /// # Errors
    /// `ENOENT` if the context is gone.
    fn text(&self, context: Option<u64>, file: &str) -> Result<Vec<u8>>;
    /// Does what was written to a file. Gives the answer, if there is one: it takes the place of the text in the
    /// open file to which the order was written, so that whoever asked reads what was answered to him.
    ///
    /// # Errors
    /// `EINVAL` for no order, and what the manager or factory says.
    fn order(&self, context: Option<u64>, file: &str, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let _ = (context, file, text);
        Err(Errno::INVAL)
    }
}
