// SPDX-License-Identifier: BSD-2-Clause
//! Badges: the only thing that says who is speaking.
//!
//! A badge has 28 bits in this kernel (minting a larger one is accepted and
//! truncated silently, so [`Badge::new`] makes it impossible). Every badge on
//! the endpoint of the manager, of a factory or of a driver is minted by the
//! IC manager (or, for the channels of `system.xml`, by the root task), which
//! reuses one only after it has revoked every copy of the capability and
//! cancelled the sends that were queued with it.
//!
//! ```text
//!  27        26     25..24   23..0
//! +---------+------+--------+-------------------------+
//! | call: 1 | 0    | kind   | index                   |   on endpoints
//! +---------+------+--------+-------------------------+
//! | 0       | bits of the notifications that arrived  |   on notifications
//! +---------+-----------------------------------------+
//! ```
//! Bit 27 is what tells a call from a notification that a bound notification
//! object delivers to the same `Recv`; bit 26 is Microkit's fault flag.

/// Bit that marks a message through an endpoint (as opposed to a notification).
pub const CALL: u64 = 1 << 27;
/// Bit that marks a fault of a child protection domain (Microkit).
pub const FAULT: u64 = 1 << 26;
/// The largest index that a badge can carry.
pub const MAX_INDEX: u32 = (1 << 24) - 1;

/// A badge as it arrives from the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Badge(u64);

/// Who a badge says is speaking.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Who {
    /// Notifications: a bit per channel.
    Notified(u64),
    /// A channel of `system.xml`, by its id at this end.
    Channel(u8),
    /// A client that opened this server by name: index of the session.
    Session(u32),
    /// The holder of a handle to an IC of this factory: index of the IC.
    Handle(u32),
    /// An IC of this factory itself (its exits and faults), or, at the manager, any IC: index of the IC.
    Itself(u32),
}

impl Badge {
    /// Packs who is speaking; indices beyond [`MAX_INDEX`] have no badge.
    pub const fn new(who: Who) -> Option<Self> {
        let (kind, index) = match who {
            Who::Notified(bits) => return if bits < CALL { Some(Self(bits)) } else { None },
            Who::Channel(id) => (0, id as u32),
            Who::Session(index) => (1, index),
            Who::Handle(index) => (2, index),
            Who::Itself(index) => (3, index),
        };
        if index > MAX_INDEX {
            return None;
        }
        Some(Self(CALL | kind << 24 | index as u64))
    }

    /// A badge word as received with a message.
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word to mint.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Unpacks it. Total: the kernel delivers only what was minted, yet nothing here depends on that.
    pub const fn who(self) -> Who {
        if self.0 & CALL == 0 {
            return Who::Notified(self.0);
        }
        let index = (self.0 & MAX_INDEX as u64) as u32;
        match self.0 >> 24 & 3 {
            0 => Who::Channel(index as u8),
            1 => Who::Session(index),
            2 => Who::Handle(index),
            _ => Who::Itself(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_badge_gives_back_who_it_was_minted_for(index in 0..=MAX_INDEX, kind in 0..4) {
            let who = match kind {
                0 => Who::Channel(index as u8),
                1 => Who::Session(index),
                2 => Who::Handle(index),
                _ => Who::Itself(index),
            };
            let badge = Badge::new(who).unwrap();
            prop_assert!(badge.word() < 1 << 28);
            prop_assert_eq!(badge.who(), who);
        }

        #[test]
        fn any_word_decodes(word: u64) {
            let _ = Badge::from_word(word).who();
        }
    }

    #[test]
    fn an_index_that_would_be_truncated_has_no_badge() {
        assert_eq!(Badge::new(Who::Session(MAX_INDEX + 1)), None);
    }
}
