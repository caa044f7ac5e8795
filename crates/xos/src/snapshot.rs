// SPDX-License-Identifier: BSD-2-Clause
//! Snapshots of ICs, and their clones.

use sel4::cap::Endpoint;
use xos_client::Port;
use xos_protocol::factory::{SelfOp, When};
use xos_protocol::slots::leaf;

use crate::error::{Result, Tried, Trying};
use crate::ic::Ic;
use crate::{take_slot, tls};

/// An IC that never runs again, as a model for clones: see [`Ic::snapshot`]. It ends when the IC is dropped
/// or killed, and what is left of its clones ends with it.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    ic: &'a Ic,
}

impl Ic {
    /// Freezes it where it [stands], once it does: what it has prepared by then, its clones have.
    ///
    /// It never runs again. Where it is to go on itself, a clone goes on in its place.
    ///
    /// [stands]: stand
    ///
    /// # Errors
    /// [`BadState`](xos_protocol::Error::BadState) when it ends instead,
    /// [`NotSupported`](xos_protocol::Error::NotSupported) when its factory makes no clones, or none of it.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        self.freeze(When::Stands)
    }

    /// Freezes it now, wherever it waits for somebody's answer. Its clones ask for that again, each with
    /// its own capabilities.
    ///
    /// # Errors
    /// [`BadState`](xos_protocol::Error::BadState) when it waits for nobody; it goes on then. Otherwise as
    /// for [`snapshot`](Self::snapshot).
    pub fn snapshot_now(&self) -> Result<Snapshot<'_>> {
        self.freeze(When::Now)
    }

    fn freeze(&self, when: When) -> Result<Snapshot<'_>> {
        self.handle()
            .snapshot(when)
            .trying(Tried::Freeze(self.id()))?;
        Ok(Snapshot { ic: self })
    }
}

impl<'a> Snapshot<'a> {
    /// The snapshot that an IC is that was frozen before.
    pub const fn of(ic: &'a Ic) -> Self {
        Self { ic }
    }

    /// A clone, ready to be [started](Ic::start). Its memory is the snapshot's until it writes to it; its
    /// capabilities are those of a new IC, so that channels have to be connected and regions shared anew.
    ///
    /// # Errors
    /// The factory's.
    pub fn new_clone(&self) -> Result<Ic> {
        let slot = take_slot()?;
        let id = self
            .ic
            .handle()
            .clone_to(slot.number())
            .trying(Tried::Clone(self.ic.id()))?;
        Ok(Ic::new(id, slot))
    }
}

/// Stands here, for good: the place to begin for clones of this program ([`Ic::snapshot`]). In a clone it
/// returns at once.
///
/// What a clone does not have are the capabilities that this program got, among them sessions: the
/// library opens those that it needs itself anew. Threads are not cloned.
///
/// # Errors
/// When the factory makes no clones. In a thread, always: a program stands as a whole.
pub fn stand() -> Result<()> {
    let factory = Endpoint::from_bits(leaf(tls::own().exit));
    let answer = Port::call(&factory, SelfOp::Stand.label(), [0; 4], 0);
    answer.map(drop).trying(Tried::Stand)
}
