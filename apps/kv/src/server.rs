// SPDX-License-Identifier: BSD-2-Clause
//! The server: from messages to the table.

use sel4::cap::Endpoint;
use xos::client::{Manager, Port};
use xos::protocol::{Error, Result, Who};
use xos::server::{Deferred, Outcome, Reply, Request, Server};
use xos::service::Clients;

use crate::store::Store;
use crate::wire::{DELETE, GET, PUT, USAGE, read, read_key};

/// Clients at a time.
pub const CLIENTS: usize = 32;

/// The server.
#[derive(Debug)]
pub struct KvServer<P = Endpoint> {
    store: Store,
    /// For each client, how many entries it has.
    clients: Clients<u32, CLIENTS>,
    manager: Manager<P>,
    requests: u64,
    refused: u64,
}

impl<P: Port> KvServer<P> {
    /// A server of an empty table. It asks `manager` who has gone.
    pub const fn new(manager: Manager<P>) -> Self {
        Self {
            store: Store::new(),
            clients: Clients::new(),
            manager,
            requests: 0,
            refused: 0,
        }
    }

    /// The table, and how many entries of it are a client's.
    fn client(&mut self, client: u32) -> Result<(&mut Store, &mut u32)> {
        let store = &mut self.store;
        let owned = self
            .clients
            .get(client, &self.manager, || 0, |gone, _| store.leave(gone))?;
        Ok((store, owned))
    }

    /// Makes a change. If somebody is in its way who may have gone meanwhile, it is tried again without
    /// those who have.
    fn change(
        &mut self,
        client: u32,
        deed: impl Fn(&mut Store, &mut u32) -> Result<()>,
    ) -> Result<()> {
        let (store, owned) = self.client(client)?;
        match deed(store, owned) {
            Err(Error::NotAllowed | Error::TableFull) => {
                let store = &mut self.store;
                self.clients
                    .sweep(&self.manager, |gone, _| store.leave(gone))?;
                let (store, owned) = self.client(client)?;
                deed(store, owned)
            }
            outcome => outcome,
        }
    }

    fn answer(&mut self, who: Who, request: Request<'_>, reply: &mut Reply) -> Result<Outcome> {
        // The manager mints no other badges for what is registered by name.
        let Who::Session(client) = who else {
            return Err(Error::NotAllowed);
        };
        match request.label() {
            PUT => {
                let (key, value) = read(request.words())?;
                self.change(client, |store, owned| {
                    store.put(client, owned, key.clone(), value.clone())
                })?;
                Ok(reply.ok(&[]))
            }
            DELETE => {
                let key = read_key(request.words())?;
                self.change(client, |store, owned| store.delete(client, owned, &key))?;
                Ok(reply.ok(&[]))
            }
            GET => {
                let key = read_key(request.words())?;
                let value = self.store.get(&key).ok_or(Error::NotFound)?;
                Ok(reply.bytes(value))
            }
            USAGE => {
                let (store, owned) = self.client(client)?;
                let (entries, owned) = (store.len() as u64, u64::from(*owned));
                Ok(reply.ok(&[entries, owned, self.requests, self.refused]))
            }
            _ => Err(Error::NoSuchOperation),
        }
    }
}

impl<P: Port> Server for KvServer<P> {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        _: &mut Deferred<'_>,
    ) -> Outcome {
        self.requests += 1;
        match self.answer(who, request, reply) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.refused += 1;
                reply.error(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ENTRIES, PER_CLIENT};
    use crate::wire::{Client, MAX_KEY, MAX_VALUE, Usage};
    use proptest::prelude::*;
    use std::cell::RefCell;
    use xos::client::Answer;
    use xos::protocol::wire::{MAX_WORDS, Words};
    use xos_server::fake::{Bench, Came, FakeManager};

    type Running<'a> = RefCell<Bench<KvServer<&'a FakeManager>>>;

    fn run(manager: &FakeManager) -> Running<'_> {
        RefCell::new(Bench::new(KvServer::new(Manager::new(manager)), 0))
    }

    /// A client's session.
    struct Session<'a> {
        server: &'a Running<'a>,
        index: u32,
    }

    impl Session<'_> {
        fn send(&self, label: u64, words: &[u64]) -> Result<Vec<u64>> {
            match self
                .server
                .borrow_mut()
                .call(Who::Session(self.index), label, words)
            {
                Came::Answer(answer) => answer,
                other => panic!("{other:?}"),
            }
        }
    }

    impl Port for Session<'_> {
        fn call(&self, label: u64, words: [u64; 4], len: usize) -> Result<Answer> {
            let given = self.send(label, &words[..len])?;
            Ok(Answer {
                words: core::array::from_fn(|i| given.get(i).copied().unwrap_or(0)),
                len: given.len(),
            })
        }

        fn exchange(&self, label: u64, message: &mut Words, len: usize) -> Result<usize> {
            let given = self.send(label, &message[..len])?;
            message[..given.len()].copy_from_slice(&given);
            Ok(given.len())
        }
    }

    fn client<'a>(server: &'a Running<'a>, index: u32) -> Client<Session<'a>> {
        Client::new(Session { server, index })
    }

    #[test]
    fn what_was_put_is_what_everybody_gets() {
        let manager = FakeManager::default();
        let server = run(&manager);
        let (ours, theirs) = (client(&server, 7), client(&server, 9));
        assert_eq!(theirs.get(b"k"), Err(Error::NotFound));
        ours.put(b"k", b"a value").unwrap();
        assert_eq!(theirs.get(b"k").unwrap(), b"a value");
        assert_eq!(theirs.put(b"k", b"another"), Err(Error::NotAllowed));
        assert_eq!(theirs.delete(b"k"), Err(Error::NotAllowed));
        ours.delete(b"k").unwrap();
        assert_eq!(ours.delete(b"k"), Err(Error::NotFound));
    }

    #[test]
    fn keys_and_values_of_any_length_that_is_allowed_survive_the_message() {
        let manager = FakeManager::default();
        let server = run(&manager);
        let client = client(&server, 1);
        for key in [1, 7, 8, 9, MAX_KEY] {
            for value in [0, 1, 8, MAX_VALUE] {
                let (key, value) = (vec![b'k'; key], vec![b'v'; value]);
                client.put(&key, &value).unwrap();
                assert_eq!(client.get(&key).unwrap(), value[..]);
            }
        }
        for (key, value) in [(0, 1), (MAX_KEY + 1, 1), (1, MAX_VALUE + 1)] {
            let put = client.put(&vec![0; key], &vec![0; value]);
            assert_eq!(put, Err(Error::Malformed));
        }
    }

    #[test]
    fn a_client_that_has_gone_is_noticed_when_its_entries_are_in_the_way() {
        let manager = FakeManager::default();
        let server = run(&manager);
        let (ours, theirs) = (client(&server, 1), client(&server, 2));
        theirs.put(b"mine", b"2").unwrap();
        ours.put(b"k", b"1").unwrap();
        manager.close(1);
        assert_eq!(theirs.get(b"k").unwrap(), b"1");
        theirs.put(b"k", b"2").unwrap();
        assert_eq!(theirs.usage().unwrap().own, 2);
        // Its number is given to another, who has nothing.
        assert_eq!(client(&server, 1).usage().unwrap().own, 0);
    }

    #[test]
    fn a_client_that_wants_everything_gets_its_share() {
        let manager = FakeManager::default();
        let server = run(&manager);
        let greedy = client(&server, 1);
        let got = (0..ENTRIES)
            .filter(|i| greedy.put(format!("{i}").as_bytes(), b"").is_ok())
            .count();
        assert_eq!(got, PER_CLIENT as usize);
        client(&server, 2).put(b"k", b"").unwrap();
    }

    #[test]
    fn one_client_too_many_is_told_so_until_another_has_gone() {
        let manager = FakeManager::default();
        let server = run(&manager);
        for index in 0..CLIENTS as u32 {
            client(&server, index).usage().unwrap();
        }
        let late = client(&server, 1000);
        assert_eq!(late.put(b"k", b""), Err(Error::TableFull));
        manager.close(3);
        late.put(b"k", b"").unwrap();
    }

    #[test]
    fn requests_and_refusals_are_counted() {
        let manager = FakeManager::default();
        let server = run(&manager);
        let client = client(&server, 1);
        client.put(b"k", b"").unwrap();
        assert!(client.get(b"x").is_err());
        let usage = Usage {
            entries: 1,
            own: 1,
            requests: 3,
            refused: 1,
        };
        assert_eq!(client.usage(), Ok(usage));
    }

    #[test]
    fn nobody_but_a_session_is_served() {
        let manager = FakeManager::default();
        let server = run(&manager);
        for who in [Who::Channel(0), Who::Handle(1), Who::Itself(1)] {
            let came = server.borrow_mut().call(who, USAGE, &[]);
            assert_eq!(came, Came::Answer(Err(Error::NotAllowed)));
        }
    }

    proptest! {
        #[test]
        fn any_message_is_answered_and_harms_nobody_else(
            label in prop_oneof![PUT..=USAGE + 1, any::<u64>()],
            lengths in prop_oneof![any::<u64>(), 0..64u64, (0..64u64).prop_map(|n| n << 32 | 4)],
            rest in proptest::collection::vec(any::<u64>(), 0..MAX_WORDS),
        ) {
            let manager = FakeManager::default();
            let server = run(&manager);
            let honest = client(&server, 1);
            honest.put(b"k", b"v").unwrap();
            let mut words = vec![lengths];
            words.extend(rest);
            let hostile = Session { server: &server, index: 2 };
            let _ = hostile.send(label, &words);
            let _ = hostile.send(label, &[]);
            prop_assert_eq!(honest.get(b"k").unwrap(), b"v");
        }
    }
}
