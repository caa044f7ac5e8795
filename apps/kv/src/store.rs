// SPDX-License-Identifier: BSD-2-Clause
//! The table of entries, which knows clients by number and nothing of messages.

use heapless::Vec;
use heapless::index_map::FnvIndexMap;
use xos::protocol::{Error, Result};

use crate::wire::{MAX_KEY, MAX_VALUE};

/// Entries that there can be. A power of two, as the map wants it.
pub const ENTRIES: usize = 128;
/// Entries that one client can have.
pub const PER_CLIENT: u32 = 32;

/// A key.
pub type Key = Vec<u8, MAX_KEY>;
/// A value.
pub type Value = Vec<u8, MAX_VALUE>;

#[derive(Debug)]
struct Entry {
    /// Who may change it; nobody's when its owner has gone.
    owner: Option<u32>,
    value: Value,
}

/// The table.
#[derive(Debug, Default)]
pub struct Store {
    entries: FnvIndexMap<Key, Entry, ENTRIES>,
}

impl Store {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            entries: FnvIndexMap::new(),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Sets the value of a key for a client, who has `owned` entries; that count is brought up to date.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] when the entry is another client's, [`Error::OverBudget`] when the client has
    /// as many as it may have, [`Error::TableFull`] when all entries are of clients that are there.
    pub fn put(&mut self, client: u32, owned: &mut u32, key: Key, value: Value) -> Result<()> {
        if let Some(entry) = self.entries.get_mut(&key) {
            match entry.owner {
                Some(owner) if owner == client => {}
                Some(_) => return Err(Error::NotAllowed),
                None => {
                    take(owned)?;
                    entry.owner = Some(client);
                }
            }
            entry.value = value;
            return Ok(());
        }
        if *owned >= PER_CLIENT {
            return Err(Error::OverBudget);
        }
        if self.entries.is_full() {
            self.make_room()?;
        }
        let owner = Some(client);
        self.entries
            .insert(key, Entry { owner, value })
            .map_err(|_| Error::TableFull)?;
        take(owned)
    }

    /// Removes an entry for a client, who has `owned`; that count is brought up to date.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::NotAllowed`] when it is another client's.
    pub fn delete(&mut self, client: u32, owned: &mut u32, key: &Key) -> Result<()> {
        match self.entries.get(key).ok_or(Error::NotFound)?.owner {
            Some(owner) if owner != client => return Err(Error::NotAllowed),
            Some(_) => *owned -= 1,
            None => {}
        }
        self.entries.remove(key);
        Ok(())
    }

    /// A client has gone: its entries are nobody's.
    pub fn leave(&mut self, client: u32) {
        for entry in self.entries.values_mut() {
            if entry.owner == Some(client) {
                entry.owner = None;
            }
        }
    }

    /// Removes one entry that is nobody's.
    fn make_room(&mut self) -> Result<()> {
        let (key, _) = self
            .entries
            .iter()
            .find(|(_, entry)| entry.owner.is_none())
            .ok_or(Error::TableFull)?;
        let key = key.clone();
        self.entries.remove(&key);
        Ok(())
    }
}

fn take(owned: &mut u32) -> Result<()> {
    if *owned >= PER_CLIENT {
        return Err(Error::OverBudget);
    }
    *owned += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn bytes<const N: usize>(text: &str) -> Vec<u8, N> {
        Vec::from_slice(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_is_changed_by_its_owner_and_nobody_else_until_the_owner_has_gone() {
        let mut store = Store::new();
        let (mut ours, mut theirs) = (0, 0);
        store.put(1, &mut ours, bytes("k"), bytes("a")).unwrap();
        store.put(1, &mut ours, bytes("k"), bytes("b")).unwrap();
        let refused = store.put(2, &mut theirs, bytes("k"), bytes("c"));
        assert_eq!(refused, Err(Error::NotAllowed));
        let refused = store.delete(2, &mut theirs, &bytes("k"));
        assert_eq!(refused, Err(Error::NotAllowed));
        assert_eq!(store.get(&bytes("k")), Some(&bytes("b")));
        assert_eq!((ours, theirs), (1, 0));

        store.leave(1);
        store.put(2, &mut theirs, bytes("k"), bytes("c")).unwrap();
        assert_eq!(store.get(&bytes("k")), Some(&bytes("c")));
        assert_eq!(theirs, 1);
        store.delete(2, &mut theirs, &bytes("k")).unwrap();
        assert_eq!((store.len(), theirs), (0, 0));
    }

    /// Fills the table: clients from 0 on, each with as many entries as it may have.
    fn fill(store: &mut Store) -> u32 {
        let clients = ENTRIES as u32 / PER_CLIENT;
        for client in 0..clients {
            let mut owned = 0;
            for i in 0..PER_CLIENT {
                let key = bytes(&format!("{client}.{i}"));
                store.put(client, &mut owned, key, Value::new()).unwrap();
            }
            let more = store.put(client, &mut owned, bytes("more"), Value::new());
            assert_eq!(more, Err(Error::OverBudget));
        }
        clients
    }

    #[test]
    fn a_full_table_refuses_until_somebody_has_gone_whose_entries_make_room() {
        let mut store = Store::new();
        let client = fill(&mut store);
        let mut owned = 0;
        let full = store.put(client, &mut owned, bytes("new"), Value::new());
        assert_eq!((full, owned), (Err(Error::TableFull), 0));
        store.leave(0);
        for i in 0..PER_CLIENT {
            let key = bytes(&format!("new.{i}"));
            store.put(client, &mut owned, key, Value::new()).unwrap();
        }
        assert_eq!(store.len(), ENTRIES);
        assert!(store.get(&bytes("1.0")).is_some());
        assert!(store.get(&bytes("0.0")).is_none());
    }

    #[test]
    fn what_somebody_left_cannot_be_taken_over_beyond_ones_share() {
        let mut store = Store::new();
        fill(&mut store);
        store.leave(1);
        let mut owned = PER_CLIENT;
        let refused = store.put(0, &mut owned, bytes("1.0"), bytes("x"));
        assert_eq!(refused, Err(Error::OverBudget));
        assert_eq!(store.get(&bytes("1.0")), Some(&Value::new()));
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Put(u32, u8, u8),
        Delete(u32, u8),
        Leave(u32),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        let client = 0..4u32;
        prop_oneof![
            4 => (client.clone(), 0..160u8, any::<u8>()).prop_map(|(c, k, v)| Deed::Put(c, k, v)),
            2 => (client.clone(), 0..160u8).prop_map(|(c, k)| Deed::Delete(c, k)),
            1 => client.prop_map(Deed::Leave),
        ]
    }

    proptest! {
        #[test]
        fn the_counts_of_clients_are_those_of_the_table(deeds in proptest::collection::vec(deed(), 0..400)) {
            let mut store = Store::new();
            let mut owned = [0; 4];
            let mut values = BTreeMap::new();
            for deed in deeds {
                match deed {
                    Deed::Put(client, key, value) => {
                        let (k, v) = (Vec::from_slice(&[key]).unwrap(), Vec::from_slice(&[value]).unwrap());
                        if store.put(client, &mut owned[client as usize], k, v).is_ok() {
                            values.insert(key, value);
                        }
                    }
                    Deed::Delete(client, key) => {
                        let k = Vec::from_slice(&[key]).unwrap();
                        if store.delete(client, &mut owned[client as usize], &k).is_ok() {
                            values.remove(&key);
                        }
                    }
                    Deed::Leave(client) => {
                        store.leave(client);
                        owned[client as usize] = 0;
                    }
                }
                for (client, owned) in owned.iter().enumerate() {
                    let entries = store.entries.values();
                    let count = entries.filter(|entry| entry.owner == Some(client as u32)).count();
                    prop_assert_eq!(count, *owned as usize);
                    prop_assert!(*owned <= PER_CLIENT);
                }
                // Entries may have made room, but what is there is what was put last.
                for (key, entry) in &store.entries {
                    prop_assert_eq!(values.get(&key[0]), Some(&entry.value[0]));
                }
            }
        }
    }
}
