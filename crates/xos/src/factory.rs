// SPDX-License-Identifier: BSD-2-Clause
//! Factories: what makes ICs.

use xos_protocol::Contract;
use xos_protocol::factory::Entry;
use xos_protocol::manager::Consent;

use crate::error::{Result, Tried, Trying};
use crate::{Ic, Session, Spec, take_slot};

/// A session on a factory. Dropping it closes it; what it made lives on.
#[derive(Debug)]
pub struct Factory {
    session: Session,
}

/// Opens the factory of that name, with no consent to anything.
///
/// # Errors
/// [`NotFound`](xos_protocol::Error::NotFound) when there is none, and the manager's others.
pub fn factory(name: &str) -> Result<Factory> {
    factory_with(name, Consent::default())
}

/// Opens the factory of that name, and lets it do to this program what `consent` says.
///
/// # Errors
/// As for [`factory`].
pub fn factory_with(name: &str, consent: Consent) -> Result<Factory> {
    Session::open(name, consent).map(|session| Factory { session })
}

impl Factory {
    /// What it promises of its ICs.
    ///
    /// # Errors
    /// The factory's.
    pub fn describe(&self) -> Result<Contract> {
        self.client()
            .describe()
            .trying(Tried::Describe(self.session.name()))
    }

    /// Makes an IC, ready to be started, on this program's budget.
    ///
    /// # Errors
    /// [`Malformed`](xos_protocol::Error::Malformed) when the specification is too long or has a string in
    /// it that it must not have; the factory's and the manager's others.
    pub fn create(&self, spec: &Spec) -> Result<Ic> {
        let tried = Tried::Create(self.session.name());
        let spec = spec.get().trying(tried)?;
        let slot = take_slot()?;
        let id = self.client().create(slot.number(), &spec).trying(tried)?;
        Ok(Ic::new(id, slot))
    }

    /// Makes an IC that begins at an address of this program's memory, or of what the factory takes for that,
    /// and starts it: `entry`, whose handle is filled in here.
    ///
    /// # Errors
    /// The factory's and the manager's.
    pub fn spawn(&self, entry: Entry) -> Result<Ic> {
        let slot = take_slot()?;
        let entry = Entry {
            handle: slot.number() as u16,
            ..entry
        };
        let tried = Tried::Create(self.session.name());
        let id = self.client().spawn(&entry).trying(tried)?;
        Ok(Ic::new(id, slot))
    }

    /// The session.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    fn client(&self) -> xos_client::Factory {
        xos_client::Factory::new(self.session.endpoint())
    }
}
