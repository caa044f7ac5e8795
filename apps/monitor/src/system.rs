// SPDX-License-Identifier: BSD-2-Clause
//! What the monitor needs of the system.

use alloc::string::String;
use alloc::vec::Vec;
use xos_protocol::container::Stream;
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
pub trait System {
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
    /// Starts a program; gives its IC.
    fn start(&mut self, start: &Start) -> Result<(IcId, Self::Job)>;
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
    /// Lets all others go on for a moment: some milliseconds.
    fn pause(&mut self);
    /// Stops the machine; a simulator's exit status says whether all is well.
    fn power_off(&mut self, success: bool) -> Result<()>;
}

/// Some of what somebody in a container has printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The bytes; none when there is nothing yet.
    pub bytes: Vec<u8>,
    /// Which stream they are of.
    pub stream: Stream,
    /// Where to go on.
    pub next: u64,
    /// Whether who printed it has ended, and there is nothing behind this.
    pub end: bool,
}

/// Containers as the monitor sees them.
pub trait Containers {
    /// A container, until it is removed.
    type Container: Copy;

    /// Whether the file tree has one of this name.
    fn has_container(&self, name: &str) -> bool;
    /// Makes one; gives its IC. Its arguments are the command that takes the place of its own.
    fn create_container(&mut self, start: &Start) -> Result<(IcId, Self::Container)>;
    /// Lets it run.
    fn start_container(&mut self, container: Self::Container) -> Result<()>;
    /// Its state, JSON as the OCI runtime specification has it.
    fn container_state(&mut self, container: Self::Container) -> Result<String>;
    /// What somebody in it has printed from a position on, without waiting: a program by its number, or 0 for
    /// the container itself.
    fn container_log(&mut self, container: Self::Container, of: u32, from: u64) -> Result<Piece>;
    /// Sends its first process a signal.
    fn signal_container(&mut self, container: Self::Container, signal: u8) -> Result<()>;
    /// Runs a program in it; gives its number.
    fn exec_in(
        &mut self,
        container: Self::Container,
        arguments: &[String],
        environment: &[String],
        cwd: &str,
    ) -> Result<u32>;
    /// Waits for such a program; gives its status.
    fn wait_for_exec(&mut self, container: Self::Container, number: u32) -> Result<u8>;
    /// Waits for its end; gives its status.
    fn wait_for_container(&mut self, container: Self::Container) -> Result<u8>;
    /// Ends it, if it has not ended, and gives everything back.
    fn remove_container(&mut self, container: Self::Container) -> Result<()>;
    /// Whether the interrupt character is for the monitor, and not for who reads the console.
    fn take_interrupts(&mut self, take: bool);
    /// Whether it has been typed since the last time.
    fn interrupted(&mut self) -> bool;
}
