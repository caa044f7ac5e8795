// SPDX-License-Identifier: BSD-2-Clause
//! Other ICs, by their handles.

use core::sync::atomic::{AtomicBool, Ordering};

use sel4::Cap;
use xos_client::Handle;
use xos_protocol::manager::Connect;
use xos_protocol::slots::{NODE_BITS, ic, leaf};
use xos_protocol::{Error as Why, ExitStatus, IcId, IcState, Subject};

use crate::cspace::Slot;
use crate::error::{Error, Result, Tried, Trying};
use crate::manager;

/// An IC that this program had made. Which kind it is does not matter here.
///
/// Dropping it ends the IC and gives back what it cost, waiting until that is done; [`leave`](Self::leave)
/// lets it go on instead. After [`wait`](Self::wait) there is nothing left to end.
#[derive(Debug)]
#[must_use = "dropping it ends the IC"]
pub struct Ic {
    id: IcId,
    slot: Slot,
    /// Whether its handle is gone.
    over: AtomicBool,
}

impl Ic {
    pub(crate) const fn new(id: IcId, slot: Slot) -> Self {
        Self {
            id,
            slot,
            over: AtomicBool::new(false),
        }
    }

    /// The capability.
    pub(crate) const fn endpoint(&self) -> sel4::cap::Endpoint {
        sel4::cap::Endpoint::from_bits(leaf(self.slot.number()))
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.endpoint())
    }

    /// Its id.
    pub const fn id(&self) -> IcId {
        self.id
    }

    /// Lets it run. Once.
    ///
    /// # Errors
    /// The factory's.
    pub fn start(&self) -> Result<()> {
        self.handle().start().trying(Tried::Start(self.id))
    }

    /// Waits until it has ended, and asks how. Everything of it is gone then, and its memory back in this
    /// program's budget.
    ///
    /// # Errors
    /// [`Gone`](Why::Gone) when somebody else has waited for it already.
    pub fn wait(&self) -> Result<ExitStatus> {
        let result = self.handle().wait();
        if matches!(result, Ok(_) | Err(Why::Gone)) {
            self.over.store(true, Ordering::Relaxed);
        }
        result.trying(Tried::Wait(self.id))
    }

    /// Ends it. [`wait`](Self::wait) gives [`ExitStatus::Killed`] then, unless it had ended before.
    ///
    /// # Errors
    /// The factory's.
    pub fn kill(&self) -> Result<()> {
        self.handle().kill().trying(Tried::Kill(self.id))
    }

    /// Stops it until [`resume`](Self::resume).
    ///
    /// # Errors
    /// The factory's.
    pub fn suspend(&self) -> Result<()> {
        self.handle().suspend().trying(Tried::Suspend(self.id))
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The factory's.
    pub fn resume(&self) -> Result<()> {
        self.handle().resume().trying(Tried::Resume(self.id))
    }

    /// Where it is in its life.
    ///
    /// # Errors
    /// The factory's.
    pub fn stat(&self) -> Result<IcState> {
        let (state, _) = self.handle().stat().trying(Tried::Stat(self.id))?;
        Ok(state)
    }

    /// Bytes in, bytes out; what they mean is the factory's affair. Gives the part of `output` that was
    /// filled.
    ///
    /// # Errors
    /// The factory's: not all have this.
    pub fn invoke<'a>(&self, input: &[u8], output: &'a mut [u8]) -> Result<&'a [u8]> {
        self.handle()
            .invoke(input, output)
            .trying(Tried::Invoke(self.id))
    }

    /// Gives it an endpoint or a notification of this program's as its channel number `channel`: see
    /// [`Spec::channel`](crate::Spec::channel). Gives the index of the session, which the badge of its
    /// messages carries.
    ///
    /// # Errors
    /// [`BadSlot`](Why::BadSlot) when there is no such channel, and the manager's.
    pub fn connect<T: sel4::CapType>(&self, source: Cap<T>, channel: u32) -> Result<u32> {
        let slot = ic::FIRST_CHANNEL + channel;
        if channel >= ic::FIRST_FREE - ic::FIRST_CHANNEL {
            return Err(Error::new(Tried::Connect(self.id), Why::BadSlot));
        }
        connect(source, self.id, slot)
    }

    /// Lets it live on without this program's care. Its slot, and what it cost, come back when this
    /// program ends.
    pub fn leave(self) {
        self.slot.keep();
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Gives an IC an endpoint or a notification of this program's, in root slot `slot` of its CSpace. Gives
/// the index of the session, which the badge of its messages carries.
///
/// # Errors
/// The manager's.
pub fn connect<T: sel4::CapType>(source: Cap<T>, target: IcId, slot: u32) -> Result<u32> {
    manager()
        .connect(&Connect {
            source: (source.bits() >> NODE_BITS) as u32,
            slot,
            target: Subject::Ic(target),
        })
        .trying(Tried::Connect(target))
}

impl Drop for Ic {
    fn drop(&mut self) {
        if *self.over.get_mut() {
            return;
        }
        // Either fails only when it is gone already, or cannot be had away: then its slot is in use.
        let _ = self.handle().kill();
        if !matches!(self.handle().wait(), Ok(_) | Err(Why::Gone)) {
            self.slot.keep();
        }
    }
}
