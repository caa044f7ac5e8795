// SPDX-License-Identifier: BSD-2-Clause
//! Taking over the machine: the memory that is left, and the domains that exist.
//!
//! Every boot domain becomes an IC, so that nothing in the running system is
//! outside the model. Its budget is part of what is left; what it was built
//! from is on its books as well, but not the manager's to give back.

use xos_protocol::supervisor::boot::{self, ManagerBoot};
use xos_protocol::supervisor::{BootDomain, BootUntyped};
use xos_protocol::{Error, IcId, IcState, Name, Result, slots};

use crate::Manager;
use crate::ic::Phase;
use crate::ledger::{Account, Cost};
use crate::machine::{Machine, Slot};
use crate::pool;
use crate::table::Link;
use crate::untyped::MIN_BITS;

/// The domain whose program this is.
pub const MANAGER: &str = "ic_manager";
/// The channel of the domain that may see and end everything. It gets all memory that no other domain
/// is promised.
pub const SUPERVISOR: u8 = 0;

/// Pages promised to a domain that makes ICs or serves foreign programs: 64 MiB.
const MAKER_PAGES: u32 = 16_384;
/// Pages promised to any other domain that can ask for memory: 8 MiB.
const OTHER_PAGES: u32 = 2_048;
/// No promise is more than these parts of all that there is: there are several makers, and most of the memory is
/// for what they make, which others pay.
const SHARE_OF_PAGES: u32 = 16;
/// See [`SHARE_OF_PAGES`].
const SHARE_OF_UNITS: u32 = 8;

/// What a boot domain may spend, by what its name says it is for.
fn promise(name: &str, all: Cost) -> Cost {
    let maker = name.ends_with("factory") || name.starts_with("legacy");
    let (pages, units) = if maker {
        (MAKER_PAGES, all.units / 10)
    } else {
        (OTHER_PAGES, 128)
    };
    Cost {
        pages: pages.min(all.pages / SHARE_OF_PAGES),
        units: units.min(all.units / SHARE_OF_UNITS),
    }
}

/// The manager's own index among the domains.
pub fn index_of_manager(boot: &ManagerBoot) -> Option<u32> {
    let named = |domain: &BootDomain| domain.name.as_str() == MANAGER;
    boot.domains.iter().position(named).map(|i| i as u32)
}

/// Takes the smallest untyped memory of at least `bits` out of what will be given away, for what the
/// manager itself is made of: its pool slot.
pub fn keep_back(boot: &mut ManagerBoot, bits: u8) -> Option<Slot> {
    let fits = |untyped: &BootUntyped| !untyped.device && untyped.size_bits >= bits;
    let (i, untyped) = (boot.untypeds.iter_mut().enumerate())
        .filter(|(_, untyped)| fits(untyped))
        .min_by_key(|(_, untyped)| untyped.size_bits)?;
    // Nothing is ever made of device memory.
    untyped.device = true;
    Some(pool::boot_untyped(i as u32))
}

impl Manager<'_> {
    /// Takes over what the root task hands over. Once, before anything else.
    ///
    /// # Errors
    /// [`Error::TableFull`] when there are more domains or untypeds than fit,
    /// [`Error::NotFound`] when the manager itself is not among the domains.
    pub fn start<M: Machine>(&mut self, m: &mut M, boot: &ManagerBoot) -> Result<()> {
        for untyped in &boot.untypeds {
            self.memory.adopt(untyped.size_bits, untyped.device)?;
        }
        self.asids.start(m, &mut self.memory, boot.domains.len());

        let pages = u32::try_from(self.memory.free_bytes() >> MIN_BITS).unwrap_or(u32::MAX);
        // Some entries belong to nobody: ended sessions that their servers have not read of.
        let units = self.bonds.left() - self.bonds.left() / 8;
        let all = Cost { pages, units };
        let mut rest = Account::root(all);
        let mut manager = None;
        let mut supervisor = None;
        for domain in &boot.domains {
            let index = self.ics.claim().ok_or(Error::TableFull)?;
            let name = domain.name.as_str();
            let serial = self.next_serial();
            let ic = &mut self.ics[index];
            ic.id = IcId::new(serial, index).unwrap_or(IcId::NONE);
            ic.phase = Phase::Alive;
            ic.state = IcState::Running;
            ic.domain = true;
            ic.serves = domain.serves;
            ic.cspace_radix = slots::DOMAIN_ROOT_RADIX as u8;
            ic.boot_pages = domain.pages;
            ic.name = Name::new(name);
            if domain.serves {
                ic.endpoint = pool::domain(index, boot::DOMAIN_ENDPOINT);
            }
            if let Some(channel) = domain.channel {
                *self
                    .channels
                    .get_mut(channel as usize)
                    .ok_or(Error::TableFull)? = Link::to(index);
            }
            match domain.channel {
                _ if name == MANAGER => manager = Some(index),
                Some(SUPERVISOR) => supervisor = Some(index),
                Some(_) => {
                    let quota = promise(name, all);
                    rest.charge(quota)?;
                    self.endow(index, quota)?;
                }
                None => self.endow(index, Cost::default())?,
            }
        }
        self.boot_channels = boot.channels.clone();
        self.boot_maps = boot.maps.clone();
        let manager = manager.ok_or(Error::NotFound)?;
        self.endpoint = pool::domain(manager, boot::DOMAIN_ENDPOINT);
        self.endow(manager, Cost::default())?;
        if let Some(supervisor) = supervisor {
            self.ics[supervisor].supervisor = true;
            self.endow(supervisor, rest.left())?;
        }
        Ok(())
    }

    /// Opens a boot domain's account, with what it was built from spent.
    fn endow(&mut self, index: u32, quota: Cost) -> Result<()> {
        let built = Cost::pages(self.ics[index].boot_pages);
        let pages = quota
            .pages
            .checked_add(built.pages)
            .ok_or(Error::OverBudget)?;
        self.ics[index].account = Account::root(Cost { pages, ..quota });
        self.ics[index].account.charge(built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untyped(size_bits: u8, device: bool) -> BootUntyped {
        BootUntyped {
            paddr: 0,
            size_bits,
            device,
        }
    }

    #[test]
    fn what_is_kept_back_is_the_smallest_that_fits_and_is_given_to_nobody() {
        let mut boot = ManagerBoot::default();
        boot.untypeds
            .extend([untyped(20, false), untyped(14, true), untyped(15, false)]);
        boot.untypeds.extend([untyped(12, false)]);
        assert_eq!(keep_back(&mut boot, 14), Some(pool::boot_untyped(2)));
        assert_eq!(keep_back(&mut boot, 14), Some(pool::boot_untyped(0)));
        assert_eq!(keep_back(&mut boot, 14), None);
        assert_eq!(keep_back(&mut boot, 12), Some(pool::boot_untyped(3)));
    }
}
