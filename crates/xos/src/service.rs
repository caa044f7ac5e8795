// SPDX-License-Identifier: BSD-2-Clause
//! Being a server, and calling one.
//!
//! ```ignore
//! let mut store = Store::default();            // impl xos::server::Server
//! service::register("store")?.serve(&mut store)
//!
//! let store = service::open("store")?;         // in another IC
//! let answer = store.call(GET, [7])?;
//! ```

use core::convert::Infallible;

use sel4::cap::Endpoint;
use xos_client::{Manager, Port};
use xos_protocol::manager::{Consent, Event, ObjectKind, Register, ServiceKind, Successor};
use xos_protocol::slots::{NODE_BITS, ic, leaf};
use xos_protocol::{Error as Why, Name, Subject};
use xos_server::factory::{Factory, FactoryServer};
use xos_server::{Input, Server, serve_on, serve_while};

use crate::error::{Error, Result, Tried, Trying};
use crate::{Session, manager, reserve_slots, sync, take_slot};

/// Opens what is registered under `name`, with no consent to anything.
///
/// # Errors
/// [`NotFound`](xos_protocol::Error::NotFound) when nothing is, and the manager's others.
pub fn open(name: &str) -> Result<Session> {
    Session::open(name, Consent::default())
}

/// An endpoint of this program's, for servers and for [`connect`](crate::connect). It takes a slot of the
/// program's CSpace, and lives as long as the program.
///
/// # Errors
/// When no slot is free or the manager refuses.
pub fn endpoint() -> Result<Endpoint> {
    let slot = take_slot()?;
    manager()
        .make(ObjectKind::Endpoint, slot.number())
        .trying(Tried::Make)?;
    slot.keep();
    Ok(Endpoint::from_bits(leaf(slot.number())))
}

/// Makes an endpoint of this program's known under `name`.
///
/// # Errors
/// [`NameTaken`](xos_protocol::Error::NameTaken), and the manager's others.
pub fn register(name: &str) -> Result<Listener> {
    register_as(name, ServiceKind::Service)
}

/// The same for what speaks the protocol of factories.
///
/// # Errors
/// As for [`register`].
pub fn register_factory(name: &str) -> Result<Listener> {
    register_as(name, ServiceKind::Factory)
}

/// Callers that a factory keeps waiting at most.
pub const MAX_WAITING: u32 = 64;

/// Makes a factory known under `name`, and serves it for ever. `server` is one for this program's CSpace:
/// [`Space::IC`](xos_server::Space::IC), or [`Space::ic`](xos_server::Space::ic) for more than 128 ICs.
///
/// The program has to be one that composes ([`Spec::composes`](crate::Spec::composes)), with a CSpace of the
/// radix in question ([`Spec::cspace_radix`](crate::Spec::cspace_radix), 8 for the former), and this has to
/// run in its main thread: that is the one that the manager rings for.
///
/// # Errors
/// [`BadCapability`](Why::BadCapability) when the program does not compose, [`BadSlot`](Why::BadSlot) when
/// its CSpace is too small, and the manager's.
pub fn serve_factory<F: Factory, const N: usize>(
    name: &str,
    server: &mut FactoryServer<F, N>,
) -> Result<Infallible> {
    let tried = Tried::Register(Name::new(name));
    let space = server.space();
    let places = N as u32;
    let first_waiting = ic::FIRST_PLACE + places;
    // Even an empty slot is emptied by nobody but who has the root.
    if space.slot(ic::FIRST_PLACE).delete().is_err() {
        return Err(Error::new(tried, Why::BadCapability));
    }
    reserve_slots(ic::FIRST_PLACE, places + MAX_WAITING)?;
    let endpoint = endpoint()?;
    let bell = (sync::notification()?.bits() >> NODE_BITS) as u32;
    let manager = manager();
    manager
        .bind(bell)
        .and_then(|()| manager.watch(Subject::Myself, bell))
        .and_then(|()| manager.keep(first_waiting, MAX_WAITING))
        .and_then(|()| {
            let endpoint = (endpoint.bits() >> NODE_BITS) as u32;
            server.register_at(endpoint, name, Successor::None)
        })
        .trying(tried)?;
    serve_on(
        Input::new(endpoint).keeping(space, first_waiting, MAX_WAITING),
        server,
    )
}

fn register_as(name: &str, kind: ServiceKind) -> Result<Listener> {
    let name = Name::new(name);
    let endpoint = endpoint()?;
    manager()
        .register(&Register {
            name,
            endpoint: (endpoint.bits() >> xos_protocol::slots::NODE_BITS) as u32,
            kind,
            successor: Successor::None,
        })
        .trying(Tried::Register(name))?;
    Ok(Listener { endpoint })
}

/// An endpoint that clients can open by name. They are answered by whoever serves it.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    endpoint: Endpoint,
}

impl Listener {
    /// A listener on any endpoint of this program's, for clients that were [connected](crate::connect).
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// The endpoint.
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Serves for ever. No caller can be kept: a program has no place for reply capabilities that a
    /// supervisor could reach.
    pub fn serve(&self, server: &mut impl Server) -> ! {
        serve_on(Input::new(self.endpoint), server)
    }

    /// Serves until `on` says no, which is asked after every request; the last caller is answered.
    pub fn serve_while<S: Server>(&self, server: &mut S, on: impl FnMut(&mut S) -> bool) {
        serve_while(Input::new(self.endpoint), server, on);
    }
}

/// What a server remembers of each of its clients, at most `N` of them.
///
/// A client is known by the index of its session. When its session has ended the index may be given to
/// another, but not before the server has read of it; so whenever a client shows up that is not known, the
/// manager is asked who has gone. A server that does not use this has to read
/// [events](xos_client::Manager::next_event) itself, or gets no new clients after a while.
#[derive(Debug)]
pub struct Clients<T, const N: usize> {
    known: heapless::Vec<(u32, T), N>,
}

impl<T, const N: usize> Clients<T, N> {
    /// No clients.
    pub const fn new() -> Self {
        Self {
            known: heapless::Vec::new(),
        }
    }

    /// What is remembered of the client of a session; of one that is new, what `new` makes. `gone` is told
    /// of every client that has gone since the last time.
    ///
    /// # Errors
    /// [`TableFull`](xos_protocol::Error::TableFull) for one client too many, and what the manager says.
    pub fn get<P: Port>(
        &mut self,
        session: u32,
        manager: &Manager<P>,
        new: impl FnOnce() -> T,
        gone: impl FnMut(u32, T),
    ) -> xos_protocol::Result<&mut T> {
        // In two steps because of the borrow that would be returned from the middle.
        let at = match self.known.iter().position(|(known, _)| *known == session) {
            Some(at) => at,
            None => {
                self.sweep(manager, gone)?;
                if self.known.push((session, new())).is_err() {
                    return Err(xos_protocol::Error::TableFull);
                }
                self.known.len() - 1
            }
        };
        Ok(&mut self.known[at].1)
    }

    /// Forgets the clients that have gone since the last time, and tells `gone` of each. For servers that
    /// cannot wait for the next new client to learn of it.
    ///
    /// # Errors
    /// What the manager says.
    pub fn sweep<P: Port>(
        &mut self,
        manager: &Manager<P>,
        mut gone: impl FnMut(u32, T),
    ) -> xos_protocol::Result<()> {
        loop {
            match manager.next_event()? {
                Event::None => return Ok(()),
                Event::Died(_) => {}
                Event::Closed(session) => {
                    let at = self.known.iter().position(|(known, _)| *known == session);
                    if let Some(at) = at {
                        let (session, state) = self.known.swap_remove(at);
                        gone(session, state);
                    }
                }
            }
        }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl<T, const N: usize> Default for Clients<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;
    use xos_server::fake::FakeManager;

    #[test]
    fn a_client_keeps_its_state_until_its_session_ends() {
        let fake = FakeManager::default();
        let manager = Manager::new(&fake);
        let mut clients = Clients::<u32, 4>::new();
        let mut left = Vec::new();
        *clients
            .get(7, &manager, || 0, |s, n| left.push((s, n)))
            .unwrap() += 5;
        assert_eq!(
            clients.get(7, &manager, || 0, |s, n| left.push((s, n))),
            Ok(&mut 5)
        );
        fake.close(7);
        assert_eq!(
            clients.get(8, &manager, || 1, |s, n| left.push((s, n))),
            Ok(&mut 1)
        );
        assert_eq!(
            clients.get(7, &manager, || 2, |s, n| left.push((s, n))),
            Ok(&mut 2)
        );
        assert_eq!(left, [(7, 5)]);
    }

    #[test]
    fn a_sweep_forgets_those_that_have_gone_and_nobody_else() {
        let fake = FakeManager::default();
        let manager = Manager::new(&fake);
        let mut clients = Clients::<u32, 4>::new();
        for session in [1, 2] {
            assert!(
                clients
                    .get(session, &manager, || session, |_, _| ())
                    .is_ok()
            );
        }
        fake.close(1);
        // One that never said anything.
        fake.close(3);
        let mut left = Vec::new();
        clients
            .sweep(&manager, |session, state| left.push((session, state)))
            .unwrap();
        assert_eq!((left, clients.len()), (vec![(1, 1)], 1));
    }

    #[test]
    fn one_client_too_many_is_told_so_until_another_has_gone() {
        let fake = FakeManager::default();
        let manager = Manager::new(&fake);
        let mut clients = Clients::<(), 2>::new();
        for session in [1, 2] {
            assert!(clients.get(session, &manager, || (), |_, ()| ()).is_ok());
        }
        let full = Err(xos_protocol::Error::TableFull);
        assert_eq!(clients.get(3, &manager, || (), |_, ()| ()), full);
        fake.close(1);
        assert!(clients.get(3, &manager, || (), |_, ()| ()).is_ok());
        assert_eq!(clients.len(), 2);
    }
}
