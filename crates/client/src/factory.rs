// SPDX-License-Identifier: BSD-2-Clause
//! A factory and the ICs that it made, as their clients see them.

use xos_protocol::factory::{Entry, HandleOp, SessionOp, Spec, When};
use xos_protocol::wire::{self, MAX_BYTES, MAX_WORDS};
use xos_protocol::{Contract, Error, ExitStatus, IcId, IcState, Result};

use crate::{Answer, Port};

/// A session on a factory.
#[derive(Clone, Copy, Debug)]
pub struct Factory<P = sel4::cap::Endpoint>(P);

impl<P: Port> Factory<P> {
    /// The factory behind `port`.
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// The port.
    pub const fn port(&self) -> &P {
        &self.0
    }

    /// [`SessionOp::Describe`].
    pub fn describe(&self) -> Result<Contract> {
        let mut message = [0; MAX_WORDS];
        let len = self
            .0
            .exchange(SessionOp::Describe.label(), &mut message, 0)?;
        wire::decode(&message[..len]).map_err(|_| Error::Unknown)
    }

    /// [`SessionOp::Create`]: the handle goes to the empty root slot `handle` of the caller's CSpace.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the specification does not fit into a message, and the factory's own.
    pub fn create(&self, handle: u32, spec: &Spec<'_>) -> Result<IcId> {
        let mut message = [0; MAX_WORDS];
        message[0] = handle.into();
        let used = wire::encode(spec, &mut message[1..])?;
        let len = self
            .0
            .exchange(SessionOp::Create.label(), &mut message, 1 + used)?;
        if len < 1 {
            return Err(Error::Unknown);
        }
        Ok(IcId::from_word(message[0]))
    }

    /// [`SessionOp::Spawn`].
    pub fn spawn(&self, entry: &Entry) -> Result<IcId> {
        let answer = self.0.call(SessionOp::Spawn.label(), entry.words(), 4)?;
        Ok(IcId::from_word(answer.at_least(1)?[0]))
    }
}

/// A handle to an IC: authority over that one.
#[derive(Clone, Copy, Debug)]
pub struct Handle<P = sel4::cap::Endpoint>(P);

impl<P: Port> Handle<P> {
    /// The handle behind `port`.
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// The port.
    pub const fn port(&self) -> &P {
        &self.0
    }

    #[inline]
    fn ask(&self, op: HandleOp) -> Result<Answer> {
        self.0.call(op.label(), [0; 4], 0)
    }

    /// [`HandleOp::Start`].
    pub fn start(&self) -> Result<()> {
        self.ask(HandleOp::Start).map(drop)
    }

    /// [`HandleOp::Wait`]. The handle is gone afterwards.
    pub fn wait(&self) -> Result<ExitStatus> {
        let [a, b, c, _] = self.ask(HandleOp::Wait)?.at_least(3)?;
        ExitStatus::from_words([a, b, c]).ok_or(Error::Unknown)
    }

    /// [`HandleOp::Kill`].
    pub fn kill(&self) -> Result<()> {
        self.ask(HandleOp::Kill).map(drop)
    }

    /// [`HandleOp::Suspend`].
    pub fn suspend(&self) -> Result<()> {
        self.ask(HandleOp::Suspend).map(drop)
    }

    /// [`HandleOp::Resume`].
    pub fn resume(&self) -> Result<()> {
        self.ask(HandleOp::Resume).map(drop)
    }

    /// [`HandleOp::Stat`].
    pub fn stat(&self) -> Result<(IcState, IcId)> {
        let [state, id, ..] = self.ask(HandleOp::Stat)?.at_least(2)?;
        let state = IcState::from_word(state).ok_or(Error::Unknown)?;
        Ok((state, IcId::from_word(id)))
    }

    /// [`HandleOp::Invoke`]: bytes in, bytes out. Gives the part of `output` that was filled; what does
    /// not fit there is [`Error::Malformed`], as is `input` that does not fit into a message.
    pub fn invoke<'a>(&self, input: &[u8], output: &'a mut [u8]) -> Result<&'a [u8]> {
        let mut message = [0; MAX_WORDS];
        message[0] = input.len() as u64;
        let used = wire::put_bytes(&mut message[1..], input)?;
        let len = self
            .0
            .exchange(HandleOp::Invoke.label(), &mut message, 1 + used)?;
        let mut bytes = [0; MAX_BYTES];
        let given = message[..len].get(1..).ok_or(Error::Unknown)?;
        let given = wire::get_bytes(given, &mut bytes);
        let count = usize::try_from(message[0]).map_err(|_| Error::Unknown)?;
        let given = given.get(..count).ok_or(Error::Unknown)?;
        let output = output.get_mut(..count).ok_or(Error::Malformed)?;
        output.copy_from_slice(given);
        Ok(output)
    }

    /// [`HandleOp::Snapshot`].
    pub fn snapshot(&self, when: When) -> Result<()> {
        let words = [when as u64, 0, 0, 0];
        self.0.call(HandleOp::Snapshot.label(), words, 1).map(drop)
    }

    /// [`HandleOp::Clone`]: the copy's handle goes to the empty root slot `handle` of the caller's CSpace.
    pub fn clone_to(&self, handle: u32) -> Result<IcId> {
        let words = [handle.into(), 0, 0, 0];
        let answer = self.0.call(HandleOp::Clone.label(), words, 1)?;
        Ok(IcId::from_word(answer.at_least(1)?[0]))
    }
}
