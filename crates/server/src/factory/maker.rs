// SPDX-License-Identifier: BSD-2-Clause
//! How a factory has the manager make an IC.

use xos_client::{Manager, Port};
use xos_protocol::manager::{Create, CreateWithin, Created, Payer};
use xos_protocol::{Error, IcId, Name, Result};

use super::Shares;
use crate::{Parts, Space};

/// What an IC with an address space of its own needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Whether it gets a session on the manager.
    pub session: bool,
    /// Pages of untyped memory to have at once, beside the parts themselves.
    pub memory: u32,
    /// Most pages that it may ever cost; 0 means what this request costs.
    pub quota: u32,
    /// Most ICs and sessions that it may pay for in turn.
    pub ics: u32,
    /// Radix of the parts node, 3 to 8.
    pub parts_radix: u32,
    /// Radix of its CSpace, 4 to 8.
    pub cspace_radix: u32,
}

impl Default for Needs {
    /// A parts node and a CSpace of 32 slots each, a session, no memory.
    fn default() -> Self {
        Self {
            session: true,
            memory: 0,
            quota: 0,
            ics: 0,
            parts_radix: 5,
            cspace_radix: 5,
        }
    }
}

/// What an IC within its client needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeedsWithin {
    /// Address of its window's first page, in the client.
    pub window: u64,
    /// Pages mapped there, the last of them its IPC buffer: 2 to 510.
    pub pages: u32,
    /// Pages of untyped memory to have at once; usually 0.
    pub memory: u32,
    /// Radix of the parts node, 1 to 8; 0 when the execution is all that is needed of it.
    pub parts_radix: u32,
    /// Whether the factory lets it run at once, by itself.
    pub runs: bool,
}

/// What the manager made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// The IC's id, and its untyped pieces: where the first lies in the parts node, and their sizes.
    pub created: Created,
    /// Its parts node.
    pub parts: Parts,
}

/// The manager, for the making of one IC on behalf of one client.
pub struct Maker<'a> {
    manager: &'a dyn Creates,
    space: Space,
    /// Of the factory's places, of which there are so many.
    shares: (&'a mut Shares, u32),
    payer: Payer,
    client: u32,
    handle: u32,
    place: u32,
    made: Option<IcId>,
    counted: Option<u32>,
    within: bool,
}

/// The two operations of the manager's that make an IC, whatever port they go through.
pub(crate) trait Creates {
    fn create(&self, args: &Create) -> Result<Created>;
    fn create_named(&self, args: &Create, name: Name) -> Result<Created>;
    fn create_within(&self, args: &CreateWithin) -> Result<Created>;
}

impl<P: Port> Creates for Manager<P> {
    fn create(&self, args: &Create) -> Result<Created> {
        Manager::create(self, args)
    }

    fn create_named(&self, args: &Create, name: Name) -> Result<Created> {
        Manager::create_named(self, args, name)
    }

    fn create_within(&self, args: &CreateWithin) -> Result<Created> {
        Manager::create_within(self, args)
    }
}

impl<'a> Maker<'a> {
    pub(crate) fn new(
        manager: &'a dyn Creates,
        space: Space,
        shares: (&'a mut Shares, u32),
        payer: Payer,
        client: u32,
        handle: u32,
        place: u32,
    ) -> Self {
        Self {
            manager,
            space,
            shares,
            payer,
            client,
            handle,
            place,
            made: None,
            counted: None,
            within: false,
        }
    }

    /// The session of the client that asks, and pays. When a clone is made: through which its model was asked
    /// for; it may be closed by now.
    pub const fn client(&self) -> u32 {
        self.client
    }

    /// The root slot that will receive the parts node: no other IC of this factory has it.
    pub const fn place(&self) -> u32 {
        self.place
    }

    /// Makes an IC with an address space of its own, in state `New`.
    ///
    /// # Errors
    /// The manager's; [`Error::BadState`] when one was made already; [`Error::TableFull`] when who pays has as many
    /// of this factory's places as it can have ([`Shares`]).
    pub fn create(&mut self, needs: &Needs) -> Result<Made> {
        let args = self.args(needs);
        self.make(|manager| manager.create(&args))
    }

    /// The same, and gives it a name, for lists; it is in state `Ready` then.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_named(&mut self, needs: &Needs, name: Name) -> Result<Made> {
        let args = self.args(needs);
        self.make(|manager| manager.create_named(&args, name))
    }

    const fn args(&self, needs: &Needs) -> Create {
        Create {
            payer: self.payer,
            place: self.place,
            handle: self.handle,
            session: needs.session,
            memory: needs.memory,
            quota: needs.quota,
            ics: needs.ics,
            parts_radix: needs.parts_radix,
            cspace_radix: needs.cspace_radix,
        }
    }

    /// Makes an IC within the client, in state `New`.
    ///
    /// # Errors
    /// As for [`create`](Self::create); [`Error::NotSupported`] for a clone: who pays for its model need not have
    /// consented to anything.
    pub fn create_within(&mut self, needs: &NeedsWithin) -> Result<Made> {
        if !matches!(self.payer, Payer::Client(_)) {
            return Err(Error::NotSupported);
        }
        let args = CreateWithin {
            host: self.client,
            place: self.place,
            handle: self.handle,
            window: needs.window,
            pages: needs.pages,
            memory: needs.memory,
            parts_radix: needs.parts_radix,
            runs: needs.runs,
        };
        let made = self.make(|manager| manager.create_within(&args))?;
        self.within = true;
        Ok(made)
    }

    fn make(&mut self, create: impl FnOnce(&dyn Creates) -> Result<Created>) -> Result<Made> {
        if self.made.is_some() {
            return Err(Error::BadState);
        }
        let created = create(self.manager)?;
        self.made = Some(created.id);
        // Who pays is known once it has been paid. Nothing runs yet, and what is refused here is destroyed again.
        let (shares, all) = &mut self.shares;
        if !shares.take(created.payer, *all) {
            return Err(Error::TableFull);
        }
        self.counted = Some(created.payer);
        Ok(Made {
            created,
            parts: self.space.node(self.place),
        })
    }

    /// Whether it was made within the client.
    pub(crate) const fn is_within(&self) -> bool {
        self.within
    }

    /// Whose share its place is taken from.
    pub(crate) const fn counted(&self) -> Option<u32> {
        self.counted
    }

    /// The IC that was made, whatever became of it.
    pub const fn made(&self) -> Option<IcId> {
        self.made
    }
}
