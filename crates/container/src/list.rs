// SPDX-License-Identifier: BSD-2-Clause
//! Lists of strings as they are in messages: each ended by a NUL byte.

use serde::{Deserialize, Serialize};

/// Strings without NUL bytes, each ended by one.
///
/// Any text is a list: what comes after the last NUL byte is a string, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct List<'a>(pub &'a str);

impl<'a> List<'a> {
    /// No strings.
    pub const EMPTY: Self = Self("");

    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let list = self.0.strip_suffix('\0').unwrap_or(self.0);
        (!self.0.is_empty())
            .then(|| list.split('\0'))
            .into_iter()
            .flatten()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
