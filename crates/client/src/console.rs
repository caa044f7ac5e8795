// SPDX-License-Identifier: BSD-2-Clause
//! The console, as its clients see it.

use xos_protocol::console::{MAX_BYTES, Op};
use xos_protocol::wire::{self, MAX_WORDS};
use xos_protocol::{Error, Result};

use crate::Port;

/// A session on, or channel to, the console.
#[derive(Clone, Copy, Debug)]
pub struct Console<P = sel4::cap::Endpoint>(P);

impl<P: Port> Console<P> {
    /// The console behind `port`.
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// Writes all of `bytes`, in as many messages as that takes; each is printed in one piece. Waits
    /// while the console's queue is full.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        for chunk in bytes.chunks(MAX_BYTES) {
            let mut message = [0; MAX_WORDS];
            message[0] = chunk.len() as u64;
            let used = wire::put_bytes(&mut message[1..], chunk)?;
            self.0.exchange(Op::Write.label(), &mut message, 1 + used)?;
        }
        Ok(())
    }

    /// Reads at most `buffer`'s length. With `wait`, waits for at least one byte; then nothing means the
    /// end of input. Gives the part of `buffer` that was filled.
    pub fn read<'a>(&self, buffer: &'a mut [u8], wait: bool) -> Result<&'a [u8]> {
        let mut message = [0; MAX_WORDS];
        let most = buffer.len().min(MAX_BYTES);
        message[0] = most as u64;
        message[1] = wait.into();
        let len = self.0.exchange(Op::Read.label(), &mut message, 2)?;
        let count = usize::try_from(message[0]).unwrap_or(usize::MAX);
        let mut bytes = [0; wire::MAX_BYTES];
        let given = message[..len].get(1..).ok_or(Error::Unknown)?;
        let given = wire::get_bytes(given, &mut bytes);
        let given = given
            .get(..count)
            .filter(|given| given.len() <= most)
            .ok_or(Error::Unknown)?;
        let buffer = &mut buffer[..count];
        buffer.copy_from_slice(given);
        Ok(buffer)
    }

    /// Sets whether the interrupt character is a signal, and no input ([`Op::Interrupts`]).
    pub fn intercept(&self, on: bool) -> Result<()> {
        self.0
            .call(Op::Interrupts.label(), [on.into(), 0, 0, 0], 1)
            .map(drop)
    }

    /// Waits until all output has left the device.
    pub fn flush(&self) -> Result<()> {
        self.0.call(Op::Flush.label(), [0; 4], 0).map(drop)
    }
}
