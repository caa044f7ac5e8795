// SPDX-License-Identifier: BSD-2-Clause
//! A container as the holder of its handle sees it, and as the server within it sees its factory.

use serde::Serialize;
use xos_protocol::container::{Command, Log, Request, ServerOp, Stream, Streams};
use xos_protocol::wire::{self, MAX_BYTES, MAX_WORDS};
use xos_protocol::{Error, Result};

use crate::{Handle, Port};

/// Room for what one message carries.
pub type Buffer = [u8; MAX_BYTES];

/// A container, through its handle. What is the same for every kind of IC is the handle's.
#[derive(Clone, Copy, Debug)]
pub struct Container<P = sel4::cap::Endpoint>(Handle<P>);

impl<P: Port> Container<P> {
    /// The container behind `handle`.
    pub const fn new(handle: Handle<P>) -> Self {
        Self(handle)
    }

    /// The handle.
    pub const fn handle(&self) -> &Handle<P> {
        &self.0
    }

    fn ask<'a>(&self, request: &Request<'_>, buffer: &'a mut Buffer) -> Result<&'a [u8]> {
        let mut bytes = [0; MAX_BYTES];
        let bytes = encode(request, &mut bytes)?;
        self.0.invoke(bytes, buffer)
    }

    fn ask_word(&self, request: &Request<'_>) -> Result<u64> {
        let mut buffer = [0; MAX_BYTES];
        let bytes = self.ask(request, &mut buffer)?;
        let word = bytes.first_chunk().ok_or(Error::Unknown)?;
        Ok(u64::from_le_bytes(*word))
    }

    /// [`Request::State`]: JSON.
    pub fn state<'a>(&self, buffer: &'a mut Buffer) -> Result<&'a str> {
        let bytes = self.ask(&Request::State, buffer)?;
        core::str::from_utf8(bytes).map_err(|_| Error::Unknown)
    }

    /// [`Request::Signal`].
    pub fn signal(&self, number: u8) -> Result<()> {
        self.ask(&Request::Signal(number), &mut [0; MAX_BYTES])
            .map(drop)
    }

    /// [`Request::Log`].
    pub fn log<'a>(
        &self,
        of: u32,
        from: u64,
        wait: bool,
        buffer: &'a mut Buffer,
    ) -> Result<Log<'a>> {
        let bytes = self.ask(&Request::Log { from, wait, of }, buffer)?;
        postcard::from_bytes(bytes).map_err(|_| Error::Unknown)
    }

    /// [`Request::Exec`] of a program whose input is at its end: gives the program's number. Strings are lists,
    /// each string ended by a NUL byte.
    pub fn exec(&self, arguments: &str, environment: &str, cwd: &str) -> Result<u32> {
        self.exec_with(arguments, environment, cwd, Streams::Output)
    }

    /// The same, of one whose streams are these: it may get [`input`](Self::input).
    pub fn exec_with(
        &self,
        arguments: &str,
        environment: &str,
        cwd: &str,
        streams: Streams,
    ) -> Result<u32> {
        let number = self.ask_word(&Request::Exec {
            arguments,
            environment,
            cwd,
            streams,
        })?;
        u32::try_from(number).map_err(|_| Error::Unknown)
    }

    /// [`Request::ExecWait`]: gives the status, as a shell knows it.
    pub fn exec_wait(&self, number: u32) -> Result<u8> {
        self.ask_word(&Request::ExecWait(number))
            .map(|status| status as u8)
    }

    /// [`Request::Wait`]: gives the status, as a shell knows it. The container stays.
    pub fn wait(&self) -> Result<u8> {
        self.ask_word(&Request::Wait).map(|status| status as u8)
    }

    /// [`Request::Attach`].
    pub fn attach(&self, terminal: bool) -> Result<()> {
        let request = Request::Attach { terminal };
        self.ask(&request, &mut [0; MAX_BYTES]).map(drop)
    }

    /// [`Request::Input`], of at most [`MAX_INPUT`](xos_protocol::container::MAX_INPUT) bytes.
    pub fn input(&self, of: u32, bytes: &[u8]) -> Result<()> {
        let request = Request::Input { of, bytes };
        self.ask(&request, &mut [0; MAX_BYTES]).map(drop)
    }

    /// [`Request::Grant`].
    pub fn grant(&self, name: &str, address: u64, bytes: u64) -> Result<()> {
        let request = Request::Grant {
            name,
            address,
            bytes,
        };
        self.ask(&request, &mut [0; MAX_BYTES]).map(drop)
    }
}

/// The factory of the container whose server the caller is.
#[derive(Clone, Copy, Debug)]
pub struct ContainerServer<P = sel4::cap::Endpoint>(P);

impl<P: Port> ContainerServer<P> {
    /// The factory behind `port`, which is what an IC has in [`ITSELF`](xos_protocol::slots::ic::ITSELF).
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// [`ServerOp::Describe`], until all of it is there: gives the part of `buffer` that was filled.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it has no room for it.
    pub fn describe<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
        let mut known = 0;
        loop {
            let mut message = [0; MAX_WORDS];
            message[0] = known as u64;
            let len = self
                .0
                .exchange(ServerOp::Describe.label(), &mut message, 1)?;
            let all = usize::try_from(message[0]).map_err(|_| Error::Unknown)?;
            let mut bytes = [0; MAX_BYTES];
            let given = wire::get_bytes(message[..len].get(1..).ok_or(Error::Unknown)?, &mut bytes);
            let given = &given[..given.len().min(all.saturating_sub(known))];
            let room = buffer
                .get_mut(known..known + given.len())
                .ok_or(Error::Malformed)?;
            room.copy_from_slice(given);
            known += given.len();
            if known >= all {
                return Ok(&buffer[..known]);
            }
            if given.is_empty() {
                return Err(Error::Unknown);
            }
        }
    }

    /// [`ServerOp::Next`].
    pub fn next<'a>(&self, buffer: &'a mut Buffer) -> Result<Command<'a>> {
        let bytes = self.next_bytes(buffer)?;
        postcard::from_bytes(bytes).map_err(|_| Error::Unknown)
    }

    /// The same, as it was sent.
    pub fn next_bytes<'a>(&self, buffer: &'a mut Buffer) -> Result<&'a [u8]> {
        let mut message = [0; MAX_WORDS];
        let len = self.0.exchange(ServerOp::Next.label(), &mut message, 0)?;
        let given = wire::get_bytes(message[..len].get(1..).ok_or(Error::Unknown)?, buffer);
        let count = usize::try_from(message[0]).map_err(|_| Error::Unknown)?;
        given.get(..count).ok_or(Error::Unknown)
    }

    /// [`ServerOp::Output`], in as many messages as it takes.
    pub fn output(&self, of: u32, stream: Stream, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(xos_protocol::container::MAX_BYTES) {
            let mut message = [0; MAX_WORDS];
            message[..3].copy_from_slice(&[piece.len() as u64, stream as u64, of.into()]);
            let used = wire::put_bytes(&mut message[3..], piece)?;
            self.0
                .exchange(ServerOp::Output.label(), &mut message, 3 + used)?;
        }
        Ok(())
    }

    /// [`ServerOp::Taken`].
    pub fn taken(&self, of: u32) -> Result<()> {
        let words = [of.into(), 0, 0, 0];
        self.0.call(ServerOp::Taken.label(), words, 1).map(drop)
    }

    /// [`ServerOp::Done`].
    pub fn done(&self, number: u32, status: u8) -> Result<()> {
        let words = [number.into(), status.into(), 0, 0];
        self.0.call(ServerOp::Done.label(), words, 2).map(drop)
    }
}

fn encode<'b>(value: &impl Serialize, buffer: &'b mut Buffer) -> Result<&'b [u8]> {
    match postcard::to_slice(value, buffer) {
        Ok(used) => Ok(used),
        Err(_) => Err(Error::Malformed),
    }
}
