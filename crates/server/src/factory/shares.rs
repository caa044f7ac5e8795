// SPDX-License-Identifier: BSD-2-Clause
//! What a factory has of its own for all its clients.
//!
//! Memory is paid for, so nobody can take more of it than a budget. Root slots, pages of the factory's and the like
//! are not: of these, whoever pays for ICs gets one more for as long as more are left than it has already. Alone it
//! gets half of them, and the next one half of what that one left; nobody can take all. It is the payer who is
//! counted, because a client can have any number of sessions, and not of budgets.

use xos_protocol::ic::INDEX_BITS;

/// Things of one kind that nobody may have all of: how many each payer has.
#[derive(Debug)]
pub struct Shares {
    taken: u32,
    /// By the payer's index.
    held: [u16; 1 << INDEX_BITS],
}

impl Shares {
    /// Nobody has any.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            taken: 0,
            held: [0; _],
        }
    }

    /// Whether a payer can have one more of `all` that there are.
    #[must_use]
    pub fn has_more_for(&self, payer: u32, all: u32) -> bool {
        let left = all.saturating_sub(self.taken);
        let held = self.held.get(payer as usize);
        held.is_some_and(|held| u32::from(*held) < left)
    }

    /// One more for a payer. False when that one has its part of them.
    #[must_use]
    pub fn take(&mut self, payer: u32, all: u32) -> bool {
        if !self.has_more_for(payer, all) {
            return false;
        }
        self.held[payer as usize] += 1;
        self.taken += 1;
        true
    }

    /// A payer gives back one that it took.
    pub fn give(&mut self, payer: u32) {
        self.held[payer as usize] -= 1;
        self.taken -= 1;
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_payer_gets_half_of_what_others_leave() {
        let mut shares = Shares::new();
        let mut takes = |payer| (0..).take_while(|_| shares.take(payer, 100)).count();
        assert_eq!([takes(1), takes(1), takes(2), takes(3)], [50, 0, 25, 13]);
        assert_eq!(takes(1 << INDEX_BITS), 0);
    }

    proptest! {
        #[test]
        fn who_has_none_gets_one_while_there_is_more_than_nothing(steps in proptest::collection::vec((0u32..4, any::<bool>()), 0..200)) {
            let mut shares = Shares::new();
            let mut held = Vec::from([0; 4]);
            for (payer, takes) in steps {
                let left = 32 - held.iter().sum::<u32>();
                if takes {
                    let taken = shares.take(payer, 32);
                    prop_assert_eq!(taken, held[payer as usize] < left);
                    held[payer as usize] += u32::from(taken);
                } else if held[payer as usize] != 0 {
                    shares.give(payer);
                    held[payer as usize] -= 1;
                }
            }
        }
    }
}
