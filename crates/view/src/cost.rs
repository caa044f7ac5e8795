// SPDX-License-Identifier: BSD-2-Clause
//! What one isolation context costs, for programs to read.

use core::fmt;
use core::str::FromStr;

use xos_protocol::manager::{IcInfo, PAGE};

/// What an isolation context (IC) costs, with all that it pays for. As text it has a line for each, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Bytes that it has taken of its budget.
    pub spent: u64,
    /// Bytes that it may take.
    pub quota: u64,
    /// ICs that it pays for, itself included.
    pub ics: u64,
}

impl Cost {
    /// Of the one with this number, if it is there.
    pub fn of(ics: &[IcInfo], number: u64) -> Option<Self> {
        let ic = ics.iter().find(|ic| ic.id.serial() == number)?;
        let within = ics.iter().filter(|other| other.payer == ic.id);
        Some(Self {
            spent: u64::from(ic.spent) * PAGE,
            quota: u64::from(ic.quota) * PAGE,
            ics: 1 + within.count() as u64,
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spent, quota, ics } = self;
        write!(f, "spent {spent}\nquota {quota}\nics {ics}\n")
    }
}

/// The text of no [`Cost`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoCost;

impl FromStr for Cost {
    type Err = NoCost;

    fn from_str(text: &str) -> Result<Self, NoCost> {
        let value = |title: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let (_, value) = lines.find(|(name, _)| *name == title).ok_or(NoCost)?;
            value.parse().map_err(|_| NoCost)
        };
        Ok(Self {
            spent: value("spent")?,
            quota: value("quota")?,
            ics: value("ics")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(spent: u64, quota: u64, ics: u64) {
            let cost = Cost { spent, quota, ics };
            prop_assert_eq!(cost.to_string().parse(), Ok(cost));
        }

        #[test]
        fn any_text_is_a_cost_or_none(text: String) {
            let _ = text.parse::<Cost>();
        }
    }
}
