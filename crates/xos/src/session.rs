// SPDX-License-Identifier: BSD-2-Clause
//! Sessions with what is registered under a name.

use core::sync::atomic::{AtomicU32, Ordering};

use sel4::cap::Endpoint;
use xos_client::{Answer, Port};
use xos_protocol::manager::{Consent, Open};
use xos_protocol::slots::leaf;
use xos_protocol::wire::Words;
use xos_protocol::{IcId, Name};

use crate::cspace::Slot;
use crate::error::{Error, Result, Tried, Trying};
use crate::{manager, take_slot};

/// Which session's capability is in which root slot: index plus 1, or 0.
///
/// A session that ended because its server died is closed already, and its index may be that of another
/// session of ours by now, which must not be closed in its place.
static OPEN: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

/// Notes that the session `index` is in `slot` now, and in no other.
fn note(open: &[AtomicU32], slot: u32, index: u32) {
    for other in open {
        let _ = other.compare_exchange(index + 1, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
    if let Some(entry) = open.get(slot as usize) {
        entry.store(index + 1, Ordering::Relaxed);
    }
}

/// Whether the session `index` is still the one in `slot`; it is not afterwards.
fn forget(open: &[AtomicU32], slot: u32, index: u32) -> bool {
    open.get(slot as usize).is_some_and(|entry| {
        entry
            .compare_exchange(index + 1, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    })
}

/// A session with a server. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    name: Name,
    index: u32,
    server: IcId,
    slot: Slot,
}

impl Session {
    /// Opens what is registered under `name`, and lets the server do to this program what `consent` says.
    ///
    /// # Errors
    /// [`NotFound`](xos_protocol::Error::NotFound) when nothing is, and the manager's others.
    pub fn open(name: &str, consent: Consent) -> Result<Self> {
        let name = Name::new(name);
        let slot = take_slot()?;
        let session = manager()
            .open(&Open {
                name,
                slot: slot.number(),
                consent,
            })
            .trying(Tried::Open(name))?;
        note(&OPEN, slot.number(), session.index);
        Ok(Self {
            name,
            index: session.index,
            server: session.server,
            slot,
        })
    }

    /// The name under which it was opened.
    pub const fn name(&self) -> Name {
        self.name
    }

    /// Its index, by which the manager and the server know it.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Who serves it.
    pub const fn server(&self) -> IcId {
        self.server
    }

    /// The capability.
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint::from_bits(leaf(self.slot.number()))
    }

    /// Sends a request of up to four words.
    ///
    /// # Errors
    /// The server's.
    pub fn call<const N: usize>(&self, label: u64, words: [u64; N]) -> Result<Answer> {
        const { assert!(N <= 4) };
        let all = core::array::from_fn(|i| words.get(i).copied().unwrap_or(0));
        Port::call(&self.endpoint(), label, all, N).trying(Tried::Call(self.name))
    }

    /// Sends the first `len` words of `message`, which the reply replaces. Gives the reply's length.
    ///
    /// # Errors
    /// The server's.
    pub fn exchange(&self, label: u64, message: &mut Words, len: usize) -> Result<usize> {
        self.endpoint()
            .exchange(label, message, len)
            .trying(Tried::Call(self.name))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if forget(&OPEN, self.slot.number(), self.index)
            && let Err(why) = manager().close(self.index)
            && why != xos_protocol::Error::Gone
        {
            // The slot is still in use.
            self.slot.keep();
        }
    }
}

/// A session that is opened when it is first used, and again when its server was restarted. For servers
/// that the whole program uses.
pub(crate) struct Cached {
    name: &'static str,
    consent: Consent,
    /// Root slot of the session's capability; 0 when there is none.
    slot: AtomicU32,
}

impl Cached {
    pub const fn new(name: &'static str) -> Self {
        Self::with_consent(
            name,
            Consent {
                within: false,
                share: false,
                connect: false,
            },
        )
    }

    pub const fn with_consent(name: &'static str, consent: Consent) -> Self {
        Self {
            name,
            consent,
            slot: AtomicU32::new(0),
        }
    }

    fn open(&self) -> xos_protocol::Result<u32> {
        let why = |error: Error| error.why;
        let session = Session::open(self.name, self.consent).map_err(why)?;
        let slot = session.slot.number();
        match self
            .slot
            .compare_exchange(0, slot, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {
                session.slot.keep();
                core::mem::forget(session);
                Ok(slot)
            }
            // Another thread was faster: its session serves both, ours is closed.
            Err(slot) => Ok(slot),
        }
    }

    /// Calls `f` with the capability. When it turns out to be gone, a new session is opened, once, and `f`
    /// called again: nothing was done the first time.
    pub fn with<R>(
        &self,
        f: impl Fn(Endpoint) -> xos_protocol::Result<R>,
    ) -> xos_protocol::Result<R> {
        let mut slot = self.slot.load(Ordering::Acquire);
        if slot == 0 {
            slot = self.open()?;
        }
        match f(Endpoint::from_bits(leaf(slot))) {
            Err(xos_protocol::Error::Gone) => {
                // The slot of the old session is empty, and stays unused: another thread may be about
                // to call it.
                let _ = self
                    .slot
                    .compare_exchange(slot, 0, Ordering::AcqRel, Ordering::Acquire);
                let slot = self.open()?;
                f(Endpoint::from_bits(leaf(slot)))
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_gone_is_not_closed_in_the_place_of_another_with_its_index() {
        let open = [const { AtomicU32::new(0) }; 32];
        note(&open, 15, 7);
        note(&open, 16, 8);
        // The server of the first died; its index was given out again.
        note(&open, 17, 7);
        assert!(!forget(&open, 15, 7));
        assert!(forget(&open, 16, 8));
        assert!(forget(&open, 17, 7));
        assert!(!forget(&open, 17, 7));
    }
}
