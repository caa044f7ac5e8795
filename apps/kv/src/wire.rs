// SPDX-License-Identifier: BSD-2-Clause
//! What clients and server say to each other, and the client's side of it.
//!
//! | label | words of the request | words of the reply |
//! | --- | --- | --- |
//! | [`PUT`] | bytes of the key and, from bit 32 on, of the value; then both, packed | |
//! | [`GET`] | bytes of the key; then the key | bytes of the value; then the value |
//! | [`DELETE`] | as for [`GET`] | |
//! | [`USAGE`] | | entries, the caller's own entries, requests, refusals |

use xos::client::Port;
use xos::protocol::wire::{MAX_BYTES, MAX_WORDS, get_bytes, put_bytes};
use xos::protocol::{Error, Result};

use crate::store::{Key, Value};

/// Sets the value of a key.
pub const PUT: u64 = 0x700;
/// Asks for the value of a key.
pub const GET: u64 = 0x701;
/// Removes a key.
pub const DELETE: u64 = 0x702;
/// Asks how the server is used.
pub const USAGE: u64 = 0x703;

/// Bytes that a key has at most; at least it has one.
pub const MAX_KEY: usize = 32;
/// Bytes that a value has at most.
pub const MAX_VALUE: usize = 128;

const VALUE_SHIFT: u32 = 32;

/// How a server is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Entries that there are.
    pub entries: u64,
    /// Entries of the one who asks.
    pub own: u64,
    /// Requests since the server began.
    pub requests: u64,
    /// How many of these were refused.
    pub refused: u64,
}

/// Reads the key and the value of a request.
pub(crate) fn read(words: &[u64]) -> Result<(Key, Value)> {
    let lengths = *words.first().ok_or(Error::Malformed)?;
    let mut bytes = [0; MAX_BYTES];
    let bytes = get_bytes(&words[1..], &mut bytes);
    let key_len = (lengths & ((1 << VALUE_SHIFT) - 1)) as usize;
    let value_len = (lengths >> VALUE_SHIFT) as usize;
    let end = key_len.checked_add(value_len).ok_or(Error::Malformed)?;
    let key = bytes.get(..key_len).ok_or(Error::Malformed)?;
    let value = bytes.get(key_len..end).ok_or(Error::Malformed)?;
    if key.is_empty() {
        return Err(Error::Malformed);
    }
    let key = Key::from_slice(key).map_err(|_| Error::Malformed)?;
    let value = Value::from_slice(value).map_err(|_| Error::Malformed)?;
    Ok((key, value))
}

/// Reads the key of a request that has no value.
pub(crate) fn read_key(words: &[u64]) -> Result<Key> {
    match read(words)? {
        (key, value) if value.is_empty() => Ok(key),
        _ => Err(Error::Malformed),
    }
}

/// The service as a client sees it.
#[derive(Clone, Copy, Debug)]
pub struct Client<P>(P);

impl<P: Port> Client<P> {
    /// The service behind `port`.
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// Sends a request and copies the reply behind its first word to `answer`: its length.
    fn ask(&self, label: u64, key: &[u8], value: &[u8], answer: &mut Value) -> Result<()> {
        let mut bytes = [0; MAX_KEY + MAX_VALUE];
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(Error::Malformed);
        }
        let end = key.len() + value.len();
        bytes[..key.len()].copy_from_slice(key);
        bytes[key.len()..end].copy_from_slice(value);
        let mut message = [0; MAX_WORDS];
        message[0] = key.len() as u64 | (value.len() as u64) << VALUE_SHIFT;
        let used = put_bytes(&mut message[1..], &bytes[..end])?;
        let len = self.0.exchange(label, &mut message, 1 + used)?;
        answer.clear();
        if len == 0 {
            return Ok(());
        }
        let mut bytes = [0; MAX_BYTES];
        let given = get_bytes(&message[1..len], &mut bytes);
        let count = usize::try_from(message[0]).map_err(|_| Error::Unknown)?;
        let given = given.get(..count).ok_or(Error::Unknown)?;
        answer.extend_from_slice(given).map_err(|_| Error::Unknown)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a key that is empty or longer than [`MAX_KEY`] and a value longer than
    /// [`MAX_VALUE`], those of [`Store::put`](crate::Store::put), and [`Error::TableFull`] when the server
    /// has too many clients.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.ask(PUT, key, value, &mut Value::new())
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it has none.
    pub fn get(&self, key: &[u8]) -> Result<Value> {
        let mut value = Value::new();
        self.ask(GET, key, &[], &mut value)?;
        Ok(value)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// Those of [`Store::delete`](crate::Store::delete).
    pub fn delete(&self, key: &[u8]) -> Result<()> {
        self.ask(DELETE, key, &[], &mut Value::new())
    }

    /// How the server is used.
    ///
    /// # Errors
    /// When there is no server any more.
    pub fn usage(&self) -> Result<Usage> {
        let answer = self.0.call(USAGE, [0; 4], 0)?;
        let [entries, own, requests, refused] = answer.at_least(4)?;
        Ok(Usage {
            entries,
            own,
            requests,
            refused,
        })
    }
}
