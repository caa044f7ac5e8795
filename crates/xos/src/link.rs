// SPDX-License-Identifier: BSD-2-Clause
//! What ICs can have in common, the same for ICs of every kind: messages,
//! notifications, memory, and the right to talk to third parties.
//!
//! Two ICs that have nothing to do with each other cannot reach each other.
//! Everything here goes through the IC manager, which records it, shows it in
//! its graph, and takes it back when either of the two or the supervisor says
//! so. One IC does something *to* another one, a [`Peer`], only if it made it or
//! pays for it, or if the other one [agreed](Peer::agree).
//!
//! | the one who has it | the one who is to have it | what it is for |
//! | --- | --- | --- |
//! | an [`endpoint`](crate::service::endpoint) | an [`Inlet`] | calls and sends |
//! | a [`notification`](crate::sync::notification) | an [`Inlet`] | signals |
//! | a [`Region`] | a [`place`](crate::region::place) for it | memory |
//! | a [`Session`] or a link | an [`Inlet`] | passing on the right to talk to a third |
//!
//! ```ignore
//! // In a server that a client asks for a fast way of its own, telling the number of an inlet:
//! let peer = Peer::client(session);
//! let link = peer.connect(endpoint, request.word(0) as u32)?;
//! // In that client:
//! let inlet = Inlet::new()?;
//! let peer = Peer::server(&session);
//! peer.agree(Consent { connect: true, ..Consent::default() })?;
//! session.call(FAST_WAY, [inlet.number().into()])?;
//! inlet.call(WORK, [1, 2, 3])?;
//! ```

use sel4::cap::{Endpoint, Notification};
use sel4::{Cap, CapType, MessageInfo};
use xos_client::{Answer, Port};
use xos_protocol::manager::{Connect, Consent, Edge, Pass, Rights};
use xos_protocol::slots::{NODE_BITS, leaf};
use xos_protocol::{IcId, RegionId, Subject};

use crate::error::{Result, Tried, Trying};
use crate::region::Region;
use crate::{Ic, Session, Slot, manager, take_slot};

/// The index of something that two ICs have in common: by it either ends it.
pub type LinkId = u32;

/// Another IC, as far as this program can name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(Subject);

impl Peer {
    /// An IC that this program had made.
    pub fn made(ic: &Ic) -> Self {
        Self(Subject::Ic(ic.id()))
    }

    /// An IC that this program created or pays for.
    pub const fn ic(id: IcId) -> Self {
        Self(Subject::Ic(id))
    }

    /// The server of a session.
    pub const fn server(session: &Session) -> Self {
        Self::other_end(session.index())
    }

    /// The client of a session on this program: the index is in the badge of its messages
    /// ([`Who::Session`](xos_protocol::Who::Session)).
    pub const fn client(session: u32) -> Self {
        Self::other_end(session)
    }

    /// The other end of a session or link.
    pub const fn other_end(link: LinkId) -> Self {
        Self(Subject::Client(link))
    }

    /// From now on this program lets that one do to it what `consent` says. What is in common already stays.
    ///
    /// # Errors
    /// [`Gone`](xos_protocol::Error::Gone) unless it is the other end of a session or link.
    pub fn agree(self, consent: Consent) -> Result<()> {
        match self.0 {
            Subject::Client(link) => manager().agree(link, consent),
            _ => Err(xos_protocol::Error::Gone),
        }
        .trying(Tried::Link)
    }

    /// Gives it an endpoint or a notification of this program's, in the inlet with that number.
    ///
    /// # Errors
    /// [`NoConsent`](xos_protocol::Error::NoConsent), and the manager's others.
    pub fn connect<T: CapType>(self, source: Cap<T>, inlet: u32) -> Result<LinkId> {
        let args = Connect {
            source: (source.bits() >> NODE_BITS) as u32,
            slot: inlet,
            target: self.0,
        };
        manager().connect(&args).trying(Tried::Link)
    }

    /// Gives it a session of its own with the server of one of this program's, in the inlet with that
    /// number. It stays when this program's ends.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn pass(self, session: LinkId, inlet: u32) -> Result<LinkId> {
        let args = Pass {
            session,
            slot: inlet,
            target: self.0,
        };
        manager().pass(&args).trying(Tried::Link)
    }

    /// Maps a region of this program's into it, at its [`place`](crate::region::place) for it.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn share(self, region: &Region, address: u64, rights: Rights) -> Result<()> {
        region.share_with(self.0, address, rights)
    }

    /// Takes a region of this program's back from it.
    ///
    /// # Errors
    /// [`NotFound`](xos_protocol::Error::NotFound) when it does not map it, and the manager's others.
    pub fn unshare(self, region: &Region) -> Result<()> {
        manager()
            .unshare(region.id(), self.0)
            .trying(Tried::Share(region.id()))
    }
}

/// Ends a session or link of which this program is one end.
///
/// # Errors
/// [`Gone`](xos_protocol::Error::Gone) when there is none.
pub fn close(link: LinkId) -> Result<()> {
    manager().close(link).trying(Tried::Link)
}

/// Unmaps a region that another IC mapped into this one.
///
/// # Errors
/// [`NotFound`](xos_protocol::Error::NotFound) when it is not mapped here, and the manager's others.
pub fn leave(region: RegionId) -> Result<()> {
    manager()
        .unshare(region, Subject::Myself)
        .trying(Tried::Share(region))
}

/// Calls `f` with everything that this IC, and those that it made or pays for, have to do with others.
///
/// # Errors
/// The manager's.
pub fn each(f: impl FnMut(&Edge)) -> Result<()> {
    manager().each_edge(f).trying(Tried::Link)
}

/// A root slot of this program's CSpace that another IC is to put a capability into. Dropping it gives the
/// slot back; whoever has the link should have ended it by then.
#[derive(Debug)]
pub struct Inlet(Slot);

impl Inlet {
    /// An empty one.
    ///
    /// # Errors
    /// [`BadSlot`](xos_protocol::Error::BadSlot) when no slot is free.
    pub fn new() -> Result<Self> {
        take_slot().map(Self)
    }

    /// Its number, for the one who is to fill it.
    pub const fn number(&self) -> u32 {
        self.0.number()
    }

    /// What is in it, if it is an endpoint.
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint::from_bits(leaf(self.0.number()))
    }

    /// What is in it, if it is a notification.
    pub const fn notification(&self) -> Notification {
        Notification::from_bits(leaf(self.0.number()))
    }

    /// Sends a request of up to four words, and waits for the reply.
    ///
    /// # Errors
    /// The server's; [`Gone`](xos_protocol::Error::Gone) when nothing is in it (any more).
    pub fn call<const N: usize>(&self, label: u64, words: [u64; N]) -> Result<Answer> {
        const { assert!(N <= 4) };
        let all = core::array::from_fn(|i| words.get(i).copied().unwrap_or(0));
        Port::call(&self.endpoint(), label, all, N).trying(Tried::Link)
    }

    /// Sends a message of up to four words, and does not wait for a reply, but until it is received.
    pub fn send<const N: usize>(&self, label: u64, words: [u64; N]) {
        const { assert!(N <= 4) };
        self.endpoint()
            .send_with_mrs(MessageInfo::new(label, 0, 0, N), &words[..]);
    }

    /// Signals the notification in it.
    pub fn signal(&self) {
        self.notification().signal();
    }
}
