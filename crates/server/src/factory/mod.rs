// SPDX-License-Identifier: BSD-2-Clause
//! What factories are built on.
//!
//! A factory says how an IC of its kind is made ([`Factory::create`]), started,
//! and what its faults mean. Everything that factories have in common is in
//! [`FactoryServer`]: which badge names which IC, states, who waits for whom,
//! exit statuses kept until somebody asks, deaths that the factory did not ask
//! for, and the undoing of what was half made.
//!
//! ```ignore
//! struct Minimal { manager: Manager }
//!
//! impl Factory for Minimal {
//!     type Ic = ();
//!
//!     fn describe(&self) -> Contract { CONTRACT }
//!
//!     fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<()> {
//!         let made = maker.create(&Needs { memory: 16, ..Needs::default() })?;
//!         // Compose: made.parts.cap(i), made.pieces. On an error the IC is destroyed again.
//!         Ok(())
//!     }
//!
//!     fn start(&mut self, ic: Member<'_, ()>) -> Result<()> {
//!         ic.parts.tcb().tcb_resume().map_err(|_| Error::Kernel)
//!     }
//! }
//!
//! static SERVER: ConstStaticCell<FactoryServer<Minimal, 1024>> =
//!     ConstStaticCell::new(FactoryServer::new(Minimal { manager: MANAGER }, MANAGER, Space::DOMAIN));
//!
//! #[protection_domain]
//! fn init() -> NullHandler {
//!     let server = SERVER.take();
//!     server.register("minimal", Successor::None).unwrap();
//!     serve(server)
//! }
//! ```
//!
//! A factory can be a program in an IC just as well: [`Space::IC`](crate::Space::IC), and
//! `xos::service::serve_factory` in the place of the last lines (docs/writing-a-factory.md).
//!
//! # A life
//! ```text
//!           create            start            exit, fault, kill
//!   (Maker) ------> Ready ------> Running <--> Suspended ------> Ended ------> gone
//!                                      somebody waits: ------------------------^  wait
//! ```
//! A snapshot is an IC that was stopped for good while it ran, where it said that it stands or wherever it
//! was: it is a model, of which clones are made, each `Ready` and then as any other IC. It ends by being
//! killed, and its clones end with it.
//!
//! An IC that has ended is destroyed when somebody has waited for it: at once
//! if somebody does already. Whoever waits is answered when its memory is
//! back, so that a client that waits can rely on its budget.

mod maker;
mod server;
mod shares;
mod table;
#[cfg(test)]
mod tests;

pub use maker::{Made, Maker, Needs, NeedsWithin};
pub use server::FactoryServer;
pub use shares::Shares;
pub use table::State;

use xos_protocol::factory::{Entry, Spec};
use xos_protocol::{Contract, Error, ExitStatus, IcId, Result};

use crate::{Deferred, Outcome, Parts, Reply, Request, faults};

/// One of a factory's ICs, as its methods get it.
#[derive(Debug)]
pub struct Member<'a, I> {
    /// The IC.
    pub id: IcId,
    /// Its parts node in the factory's CSpace. Empty if the IC died a moment ago: invocations fail then,
    /// and that is all that has to be done about it.
    pub parts: Parts,
    /// The session through which it was asked for. It may be closed by now, and its number another's: whoever
    /// pays for the IC is [`Payer::PayerOf`](xos_protocol::manager::Payer) its index.
    pub client: u32,
    /// Where it is in its life.
    pub state: State,
    /// What the factory remembers of it.
    pub data: &'a mut I,
}

impl<'a, I> Member<'a, I> {
    /// The same IC for whoever knows it by a part of what is remembered of it: a factory within a factory.
    pub fn map<T>(self, part: impl FnOnce(&'a mut I) -> &'a mut T) -> Member<'a, T> {
        Member {
            id: self.id,
            parts: self.parts,
            client: self.client,
            state: self.state,
            data: part(self.data),
        }
    }
}

/// What a fault comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The cause is mended: the IC does again what it was at.
    Retry,
    /// Its registers were written and it goes on, by the factory's own doing.
    GoesOn,
    /// It ends like this.
    Ends(ExitStatus),
}

/// How one kind of IC is made and run.
///
/// Methods must not block on clients or on ICs; the manager and drivers may be called. An error that a
/// method returns is what the caller gets.
pub trait Factory {
    /// What the factory remembers of each IC, beside its parts.
    type Ic;

    /// Whether the holder of a handle may still [invoke](Self::invoke) an IC that has ended, for as long as
    /// it is kept: to ask for its last words, say.
    const OUTLIVES: bool = false;

    /// Whether an IC may say that it ends. If not, that is a message like any other that means nothing
    /// ([`asked`](Self::asked)).
    const EXITS: bool = true;

    /// Whether it makes [snapshots](Self::snapshot) and [clones](Self::clone). If not, who asks is told so,
    /// and no IC is stopped for it.
    const CLONES: bool = false;

    /// What it promises.
    fn describe(&self) -> Contract;

    /// Makes an IC as `spec` says, all but started. Exactly one is made, by `maker`. After an error it is
    /// destroyed.
    ///
    /// # Errors
    /// What the client is to be told.
    fn create(&mut self, _maker: &mut Maker<'_>, _spec: &Spec<'_>) -> Result<Self::Ic> {
        Err(Error::NotSupported)
    }

    /// Makes an IC within the client and starts it: `maker` as above.
    ///
    /// # Errors
    /// What the client is to be told.
    fn spawn(&mut self, _maker: &mut Maker<'_>, _entry: &Entry) -> Result<Self::Ic> {
        Err(Error::NotSupported)
    }

    /// Lets an IC run. Called once, after [`create`](Self::create).
    ///
    /// # Errors
    /// What the client is to be told; the IC stays ready.
    fn start(&mut self, ic: Member<'_, Self::Ic>) -> Result<()>;

    /// An IC made a fault. It stands still until its fate is known: unless a factory knows better,
    /// [`faults::fate`].
    fn fault(&mut self, ic: Member<'_, Self::Ic>, fault: &sel4::Fault) -> Fate {
        faults::fate(
            fault,
            &mut ic.parts.tcb(),
            |tcb| faults::refuse(*tcb, Error::Gone),
            |tcb| faults::report_registers(*tcb),
        )
    }

    /// An IC within this one touched `address`, with this error code of the processor's: it is to find there
    /// what this IC would.
    ///
    /// # Errors
    /// What it is to be told.
    fn touched(&mut self, _ic: Member<'_, Self::Ic>, _address: u64, _code: u64) -> Result<()> {
        Err(Error::NotSupported)
    }

    /// Where an IC's arguments are in its memory: address and bytes.
    ///
    /// # Errors
    /// What the IC is to be told.
    fn arguments(&mut self, _ic: Member<'_, Self::Ic>) -> Result<(u64, u64)> {
        Err(Error::NotSupported)
    }

    /// The holder of a handle invokes it. What the request means is the factory's affair.
    fn invoke(
        &mut self,
        _ic: Member<'_, Self::Ic>,
        _request: Request<'_>,
        reply: &mut Reply,
        _deferred: &mut Deferred<'_>,
    ) -> Outcome {
        reply.error(Error::NotSupported)
    }

    /// An IC asks its factory for something that is not in the protocol.
    fn asked(
        &mut self,
        _ic: Member<'_, Self::Ic>,
        _request: Request<'_>,
        reply: &mut Reply,
        _deferred: &mut Deferred<'_>,
    ) -> Outcome {
        reply.error(Error::NoSuchOperation)
    }

    /// Freezes an IC that was started, as a model for clones. It stands still, and whether it succeeds or
    /// not decides whether it will ever run again.
    ///
    /// # Errors
    /// What the client is to be told; the IC goes on as before.
    fn snapshot(&mut self, _ic: Member<'_, Self::Ic>) -> Result<()> {
        Err(Error::NotSupported)
    }

    /// Makes a clone of an IC that was frozen, all but started: `maker` as in [`create`](Self::create). The
    /// model outlives it, unless somebody else takes that one's memory away: then the clone is ended
    /// before `model` is [gone](Self::gone).
    ///
    /// # Errors
    /// What the client is to be told.
    fn clone(&mut self, _maker: &mut Maker<'_>, _model: Member<'_, Self::Ic>) -> Result<Self::Ic> {
        Err(Error::NotSupported)
    }

    /// An IC ended; it stands still and its parts are still there. For the log, say. Not called for one
    /// that died without the factory's doing.
    fn ended(&mut self, _ic: Member<'_, Self::Ic>, _status: ExitStatus) {}

    /// An IC has ended, or is gone without having ended: callers that the factory keeps because of it are
    /// to be answered now. May be called again when it is gone.
    fn release(
        &mut self,
        _id: IcId,
        _data: &mut Self::Ic,
        _status: ExitStatus,
        _deferred: &mut Deferred<'_>,
    ) {
    }

    /// An IC is gone, with all its parts and however it ended: what the factory holds for it otherwise
    /// can go, too.
    fn gone(&mut self, _id: IcId, _data: Self::Ic) {}

    /// A client's session ended. Its ICs are reported on their own.
    fn closed(&mut self, _client: u32) {}

    /// A message, with all that came of it, has been dealt with: the time to answer callers that were kept
    /// because of what [`ended`](Self::ended), [`gone`](Self::gone) and [`closed`](Self::closed) told. The
    /// sender of the message itself may have been kept, and is answered afterwards if not.
    fn settle(&mut self, _deferred: &mut Deferred<'_>) {}

    /// Notifications other than the manager's.
    fn notified(&mut self, _bits: u64, _deferred: &mut Deferred<'_>) {}
}
