// SPDX-License-Identifier: BSD-2-Clause
//! Budgets: who may spend how much.
//!
//! Every IC has an [`Account`]. What an account may spend was reserved from
//! its payer's when the IC was created, and goes back, all of it, when the IC
//! is gone. So budgets nest, a charge looks at one account however deep the
//! nesting, and nothing that happens below one account can change what another
//! may spend.
//!
//! Two things are counted. **Pages** are memory. **Units** are entries of the
//! manager's tables: an IC, a session, a share, an object of one's own each
//! cost one. There are no more units in the system than there are entries, so
//! nobody can fill a table that others were promised room in.
//!
//! The ledger must never let an account spend more than its quota, and must
//! never lose a page or a unit: what is spent by all below an account and what
//! is left to it always add up to its quota.

use xos_protocol::{Error, Result};

/// An amount.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cost {
    /// Pages of 4 KiB.
    pub pages: u32,
    /// Table entries.
    pub units: u32,
}

impl Cost {
    /// One table entry.
    pub const UNIT: Self = Self { pages: 0, units: 1 };

    /// Memory alone.
    pub const fn pages(pages: u32) -> Self {
        Self { pages, units: 0 }
    }
}

/// What one IC may spend, and has spent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Account {
    quota: Cost,
    spent: Cost,
}

impl Account {
    /// An account that may spend nothing.
    pub const NONE: Self = Self {
        quota: Cost { pages: 0, units: 0 },
        spent: Cost { pages: 0, units: 0 },
    };

    /// The account of the system: its quota comes from nowhere.
    pub const fn root(quota: Cost) -> Self {
        Self {
            quota,
            spent: Cost { pages: 0, units: 0 },
        }
    }

    /// What it may spend in all.
    pub const fn quota(&self) -> Cost {
        self.quota
    }

    /// What it has spent, what it reserved for others included.
    pub const fn spent(&self) -> Cost {
        self.spent
    }

    /// What it may still spend.
    pub const fn left(&self) -> Cost {
        Cost {
            pages: self.quota.pages - self.spent.pages,
            units: self.quota.units - self.spent.units,
        }
    }

    /// Spends.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when not all of it is left; nothing is spent then.
    pub fn charge(&mut self, cost: Cost) -> Result<()> {
        let left = self.left();
        if cost.pages > left.pages || cost.units > left.units {
            return Err(Error::OverBudget);
        }
        self.spent.pages += cost.pages;
        self.spent.units += cost.units;
        Ok(())
    }

    /// Takes back what was spent.
    pub fn refund(&mut self, cost: Cost) {
        debug_assert!(cost.pages <= self.spent.pages && cost.units <= self.spent.units);
        self.spent.pages = self.spent.pages.saturating_sub(cost.pages);
        self.spent.units = self.spent.units.saturating_sub(cost.units);
    }

    /// Opens an account within this one: `quota` for it to spend, and one unit for its own entry.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when not all of that is left; nothing is reserved then.
    pub fn open(&mut self, quota: Cost) -> Result<Account> {
        let units = quota.units.checked_add(1).ok_or(Error::OverBudget)?;
        self.charge(Cost { units, ..quota })?;
        Ok(Self::root(quota))
    }

    /// Lets an account that was [opened](Account::open) spend more. It was charged to the one that it was opened
    /// within, so the sum is not too large.
    pub fn raise(&mut self, more: Cost) {
        self.quota.pages += more.pages;
        self.quota.units += more.units;
    }

    /// Ends an account that was [opened](Account::open) here; all that it could spend is back.
    pub fn close(&mut self, account: Account) {
        debug_assert_eq!(account.spent, Cost::default());
        self.refund(Cost {
            units: account.quota.units + 1,
            ..account.quota
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_spent_below_an_account_never_exceeds_it_and_comes_back_whole(
            steps in prop::collection::vec((0usize..6, 0u32..40, 0u32..6, any::<bool>()), 1..120)
        ) {
            let quota = Cost { pages: 100, units: 20 };
            let mut root = Account::root(quota);
            let mut inner: Vec<(Account, Cost)> = Vec::new();
            for (i, pages, units, open) in steps {
                let cost = Cost { pages, units };
                if open && inner.len() < 6 {
                    let before = root;
                    match root.open(cost) {
                        Ok(account) => inner.push((account, Cost::default())),
                        Err(e) => {
                            prop_assert_eq!(e, Error::OverBudget);
                            prop_assert_eq!(root, before);
                        }
                    }
                } else if let Some((account, spent)) = inner.get_mut(i) {
                    if units == 1 && root.charge(cost).is_ok() {
                        account.raise(cost);
                    }
                    if account.charge(cost).is_ok() {
                        spent.pages += pages;
                        spent.units += units;
                    }
                    prop_assert_eq!(account.spent(), *spent);
                    if pages % 3 == 0 {
                        let (mut account, spent) = inner.swap_remove(i);
                        account.refund(spent);
                        root.close(account);
                    }
                }
                let reserved: u32 = inner.iter().map(|(a, _)| a.quota().pages).sum();
                let entries: u32 = inner.iter().map(|(a, _)| a.quota().units + 1).sum();
                prop_assert_eq!(root.spent(), Cost { pages: reserved, units: entries });
                prop_assert!(reserved <= 100 && entries <= 20);
            }
            for (mut account, spent) in inner {
                account.refund(spent);
                root.close(account);
            }
            prop_assert_eq!(root, Account::root(quota));
        }
    }

    #[test]
    fn an_account_that_would_need_more_units_than_there_are_numbers_is_refused() {
        let mut root = Account::root(Cost {
            pages: 1,
            units: u32::MAX,
        });
        assert_eq!(
            root.open(Cost {
                pages: 0,
                units: u32::MAX
            }),
            Err(Error::OverBudget)
        );
    }
}
