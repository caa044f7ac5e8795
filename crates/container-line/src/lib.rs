// SPDX-License-Identifier: BSD-2-Clause
//! Command lines about containers, in docker's words: what they ask ([`Command`]), and what comes of it ([`Session`]).
//!
//! For the monitor, whose system is the IC manager and the factory, and for the Linux program `container`, whose system
//! is files: all that differs between them is behind the trait [`Containers`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use xos_protocol::container::Stream;

mod command;
mod session;
mod words;

pub use command::{Command, FACTORY, OTHERS, RUN, Run};
pub use session::{Known, Outcome, Session};
pub use words::{CommandError, is_assignment, size};
pub use xos_protocol::container::MAX_INPUT;
pub use xos_view::Cost;

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

/// What becomes of what is typed while a container is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// It is somebody's input, a line at a time; the interrupt character is a signal.
    Lines,
    /// It goes to a terminal in the container as it is typed, the interrupt character, too.
    Raw,
}

/// Containers as a command line sees them.
pub trait Containers {
    /// A container, until it is removed.
    type Container: Copy;
    /// Why something cannot be done.
    type Error: Display;

    /// Shows what is printed, by a container or about it.
    fn show(&mut self, stream: Stream, bytes: &[u8]);
    /// Makes one of this name; gives the number of its IC. Its arguments are the command that takes the place of its
    /// own.
    fn create_container(
        &mut self,
        name: &str,
        run: &Run,
    ) -> Result<(u64, Self::Container), Self::Error>;
    /// Says that there will be input for the first process of one that does not run yet, and whether its streams are a
    /// terminal.
    fn attach_container(
        &mut self,
        container: Self::Container,
        terminal: bool,
    ) -> Result<(), Self::Error>;
    /// Gives somebody in it input; none: that was all. Whether it was taken: what came before may be on its way.
    fn container_input(
        &mut self,
        container: Self::Container,
        of: u32,
        bytes: &[u8],
    ) -> Result<bool, Self::Error>;
    /// What is typed is somebody's input from now on; or it is no more.
    fn take_input(&mut self, input: Option<Input>);
    /// What has been typed since the last time, in pieces of at most [`MAX_INPUT`]; an empty one: that was all.
    fn typed(&mut self) -> Vec<Vec<u8>>;
    /// Lets it run.
    fn start_container(&mut self, container: Self::Container) -> Result<(), Self::Error>;
    /// Its state, JSON as the OCI runtime specification has it.
    fn container_state(&mut self, container: Self::Container) -> Result<String, Self::Error>;
    /// What somebody in it has printed from a position on, without waiting: a program by its number, or 0 for
    /// the container itself.
    fn container_log(
        &mut self,
        container: Self::Container,
        of: u32,
        from: u64,
    ) -> Result<Piece, Self::Error>;
    /// Sends its first process a signal.
    fn signal_container(
        &mut self,
        container: Self::Container,
        signal: u8,
    ) -> Result<(), Self::Error>;
    /// Runs a program in it; gives its number. With [`Input::Raw`] its streams are a terminal.
    fn exec_in(
        &mut self,
        container: Self::Container,
        arguments: &[String],
        environment: &[String],
        cwd: &str,
        input: Option<Input>,
    ) -> Result<u32, Self::Error>;
    /// Waits for such a program; gives its status.
    fn wait_for_exec(&mut self, container: Self::Container, number: u32)
    -> Result<u8, Self::Error>;
    /// Waits for its end; gives its status.
    fn wait_for_container(&mut self, container: Self::Container) -> Result<u8, Self::Error>;
    /// Ends it, if it has not ended, and gives everything back. One that is gone is no error.
    fn remove_container(&mut self, container: Self::Container) -> Result<(), Self::Error>;
    /// What the IC of this number costs, with all that it pays for; none if it is gone.
    fn container_cost(&mut self, number: u64) -> Result<Option<Cost>, Self::Error>;
    /// Whether the interrupt character is for the command line, and not for who reads the console.
    fn take_interrupts(&mut self, take: bool);
    /// Whether it has been typed since the last time.
    fn interrupted(&mut self) -> bool;
    /// Lets all others go on for a moment: some milliseconds.
    fn pause(&mut self);
}
