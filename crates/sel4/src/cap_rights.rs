// SPDX-License-Identifier: BSD-2-Clause
//! Rights of capabilities.

use crate::helpers::newtype_methods;
use crate::sys;

/// Corresponds to `seL4_CapRights_t`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct CapRights(sys::seL4_CapRights);

impl CapRights {
    newtype_methods!(sys::seL4_CapRights);

    /// From the single rights.
    ///
    /// This kernel knows no right to *grant a reply* only: a caller without *grant* is never
    /// answered. So `grant_reply` gives *grant* too, and whoever may call may pass capabilities.
    #[inline(always)]
    pub const fn new(grant_reply: bool, grant: bool, read: bool, write: bool) -> Self {
        Self(sys::seL4_CapRights::new(
            (grant_reply | grant) as _,
            read as _,
            write as _,
        ))
    }

    /// No right.
    pub const fn none() -> Self {
        Self::new(false, false, false, false)
    }

    /// Every right.
    pub const fn all() -> Self {
        Self::new(true, true, true, true)
    }

    /// Read and write.
    pub const fn read_write() -> Self {
        Self::new(false, false, true, true)
    }

    /// Read.
    pub const fn read_only() -> Self {
        Self::new(false, false, true, false)
    }

    /// Write.
    pub const fn write_only() -> Self {
        Self::new(false, false, false, true)
    }
}

impl From<CapRightsBuilder> for CapRights {
    fn from(builder: CapRightsBuilder) -> Self {
        builder.build()
    }
}

/// Builds [`CapRights`] right by right.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct CapRightsBuilder {
    grant_reply: bool,
    grant: bool,
    read: bool,
    write: bool,
}

impl CapRightsBuilder {
    /// Starts with no right.
    pub fn none() -> Self {
        Self::default()
    }

    /// Starts with every right.
    pub fn all() -> Self {
        Self {
            grant_reply: true,
            grant: true,
            read: true,
            write: true,
        }
    }

    /// The rights.
    pub fn build(self) -> CapRights {
        CapRights::new(self.grant_reply, self.grant, self.read, self.write)
    }

    /// See [`CapRights::new`] for what this means here.
    #[must_use]
    pub fn grant_reply(mut self, can: bool) -> Self {
        self.grant_reply = can;
        self
    }

    /// May pass capabilities.
    #[must_use]
    pub fn grant(mut self, can: bool) -> Self {
        self.grant = can;
        self
    }

    /// May receive, or read memory.
    #[must_use]
    pub fn read(mut self, can: bool) -> Self {
        self.read = can;
        self
    }

    /// May send, or write memory.
    #[must_use]
    pub fn write(mut self, can: bool) -> Self {
        self.write = can;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rights_are_three_bits() {
        // libsel4's seL4_AllRights: seL4_CapRights_new(1, 1, 1).
        assert_eq!(CapRights::all().into_inner().into_words(), [7]);
        assert_eq!(CapRights::read_only().into_inner().into_words(), [2]);
        assert_eq!(CapRights::write_only().into_inner().into_words(), [1]);
        assert_eq!(CapRights::none().into_inner().into_words(), [0]);
    }

    #[test]
    fn the_right_to_reply_is_the_right_to_grant() {
        let rights = CapRightsBuilder::none().grant_reply(true).build();
        assert_eq!(rights.inner().get_capAllowGrant(), 1);
    }
}
