// SPDX-License-Identifier: BSD-2-Clause
//! What the monitor needs of the system.

use alloc::string::String;
use alloc::vec::Vec;
use xos_container_line::Containers;
use xos_protocol::manager::{Edge, Free, IcInfo, ServiceInfo};
use xos_protocol::{Contract, ExitStatus, IcId, RegionId, Result};

/// What is to be started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// The factory's name.
    pub factory: String,
    /// The image in the file tree.
    pub image: String,
    /// Arguments, without the program's own name.
    pub arguments: Vec<String>,
    /// `NAME=value` each.
    pub environment: Vec<String>,
    /// Bytes that it may cost in all.
    pub memory: u64,
    /// Whether it makes ICs itself: it can operate on its own CSpace then, and has a large one.
    pub composes: bool,
}

/// The system as the monitor sees it. Each method that asks for a list gives all of it.
pub trait System: Containers {
    /// Something that was started, until it has been waited for.
    type Job;

    /// Prints on the console.
    fn print(&mut self, text: &str);
    /// Reads from the console, waiting for at least one byte; 0 is its end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize>;
    /// All ICs.
    fn ics(&mut self) -> Result<Vec<IcInfo>>;
    /// All that is registered by name.
    fn services(&mut self) -> Result<Vec<ServiceInfo>>;
    /// Who has to do with whom.
    fn edges(&mut self) -> Result<Vec<Edge>>;
    /// What is left.
    fn free(&mut self) -> Result<Free>;
    /// What a factory promises.
    fn contract(&mut self, factory: &str) -> Result<Contract>;
    /// Whether Linux programs can be started: by the factory's name [`LINUX`](crate::command::LINUX).
    fn has_linux(&self) -> bool;
    /// Whether the file tree has a container of this name.
    fn has_container(&self, name: &str) -> bool;
    /// Whether there are virtual processors.
    fn has_virtual_processors(&self) -> bool;
    /// Starts a program; gives its IC.
    fn start(&mut self, start: &Start) -> Result<(IcId, Self::Job)>;
    /// Freezes a program that waits for somebody's answer, for good.
    fn snapshot(&mut self, job: &Self::Job) -> Result<()>;
    /// Starts a clone of a program that was frozen; gives its IC.
    fn start_clone(&mut self, of: &Self::Job) -> Result<(IcId, Self::Job)>;
    /// Waits for the end. The interrupt character kills it.
    fn finish(&mut self, job: Self::Job) -> Result<ExitStatus>;
    /// Whether it has ended, so that [`finish`](Self::finish) would not wait.
    fn ended(&mut self, job: &mut Self::Job) -> bool;
    /// Ends a session or connection of anybody's.
    fn close(&mut self, link: u32) -> Result<()>;
    /// Takes a region of anybody's back from an IC.
    fn unshare(&mut self, region: RegionId, from: IcId) -> Result<()>;
    /// Ends an IC.
    fn destroy(&mut self, id: IcId) -> Result<()>;
    /// Nanoseconds since boot, if there is a clock.
    fn now(&mut self) -> Option<u64>;
    /// Stops the machine; a simulator's exit status says whether all is well.
    fn power_off(&mut self, success: bool) -> Result<()>;
}
