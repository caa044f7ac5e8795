// SPDX-License-Identifier: BSD-2-Clause
//! Memory that several ICs map.
//!
//! Who makes a region pays for it, and can take it back from each of the others,
//! or from all: it is mapped by the IC manager alone, and no frame of it is ever
//! in anybody's hands.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use xos_protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::start::{SHARES, WINDOW};
use xos_protocol::{Error as Why, IcId, RegionId, Subject};

use crate::error::{Error, Result, Tried, Trying};
use crate::manager;

/// A region of this program's. Dropping it takes it back from everybody, this program included.
#[derive(Debug)]
pub struct Region {
    id: RegionId,
    pages: u32,
}

impl Region {
    /// A region of so many zero pages of 4 KiB.
    ///
    /// # Errors
    /// The manager's, if the budget does not allow it, say.
    pub fn new(pages: u32) -> Result<Self> {
        let id = manager()
            .region_create(&RegionCreate {
                payer: Payer::Myself,
                pages,
                large: false,
                place: 0,
            })
            .trying(Tried::Region)?;
        Ok(Self { id, pages })
    }

    /// Its id.
    pub const fn id(&self) -> RegionId {
        self.id
    }

    /// Its length in bytes.
    pub const fn bytes(&self) -> usize {
        self.pages as usize * PAGE as usize
    }

    /// Maps it into this program, at an address that nothing else has.
    ///
    /// # Errors
    /// The manager's; [`BadAddress`](Why::BadAddress) when the address space for regions is used up.
    pub fn map(&self, rights: Rights) -> Result<Mapping<'_>> {
        let address = addresses(self.bytes() as u64).trying(Tried::Share(self.id))?;
        self.share_with(Subject::Myself, address, rights)?;
        let start = NonNull::new(address as *mut u8)
            .ok_or(Error::new(Tried::Share(self.id), Why::BadAddress))?;
        Ok(Mapping {
            region: self,
            start,
        })
    }

    /// Maps it into an IC that this program created or pays for, at `address`, a multiple of 2 MiB.
    ///
    /// # Errors
    /// The manager's.
    pub fn share(&self, target: IcId, address: u64, rights: Rights) -> Result<()> {
        self.share_with(Subject::Ic(target), address, rights)
    }

    /// Takes it back from that IC.
    ///
    /// # Errors
    /// The manager's.
    pub fn unshare(&self, target: IcId) -> Result<()> {
        manager()
            .unshare(self.id, Subject::Ic(target))
            .trying(Tried::Share(self.id))
    }

    pub(crate) fn share_with(&self, target: Subject, address: u64, rights: Rights) -> Result<()> {
        manager()
            .share(&Share {
                region: self.id,
                target,
                address,
                rights,
            })
            .trying(Tried::Share(self.id))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // Refused only when it is gone already.
        let _ = manager().region_destroy(self.id);
    }
}

/// A region as this program maps it. Others may map it too, and change it at any time: hence pointers and
/// not slices. Dropping it unmaps it.
#[derive(Debug)]
pub struct Mapping<'a> {
    region: &'a Region,
    start: NonNull<u8>,
}

impl Mapping<'_> {
    /// Its first byte; [`Region::bytes`] says how many there are.
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The region.
    pub const fn region(&self) -> &Region {
        self.region
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        let _ = manager().unshare(self.region.id, Subject::Myself);
    }
}

/// A range of addresses for a region of `pages` pages that somebody else is to map into this program. It
/// is given out once.
///
/// # Errors
/// [`BadAddress`](Why::BadAddress) when the address space for regions is used up.
pub fn place(pages: u32) -> Result<u64> {
    addresses(u64::from(pages) * PAGE).trying(Tried::Region)
}

/// Addresses for so many bytes, that were never given out before: there are enough for as many regions as
/// a program can make.
fn addresses(bytes: u64) -> xos_protocol::Result<u64> {
    static NEXT: AtomicU64 = AtomicU64::new(SHARES.start);
    bump(&NEXT, bytes)
}

fn bump(next: &AtomicU64, bytes: u64) -> xos_protocol::Result<u64> {
    // A hole behind each, so that running over the end faults.
    let bytes = bytes
        .checked_next_multiple_of(WINDOW)
        .and_then(|bytes| bytes.checked_add(WINDOW))
        .ok_or(Why::BadAddress)?;
    next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |address| {
        address.checked_add(bytes).filter(|end| *end <= SHARES.end)
    })
    .map_err(|_| Why::BadAddress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_are_aligned_and_apart(sizes in proptest::collection::vec(1u64..1 << 33, 1..50)) {
            let next = AtomicU64::new(SHARES.start);
            let mut end = SHARES.start;
            for size in sizes {
                let start = bump(&next, size).unwrap();
                prop_assert!(start >= end && start.is_multiple_of(WINDOW));
                end = start + size;
                prop_assert!(end < SHARES.end);
            }
        }
    }

    #[test]
    fn when_there_are_no_more_it_is_an_error() {
        let next = AtomicU64::new(SHARES.end - WINDOW);
        assert_eq!(bump(&next, 1), Err(Why::BadAddress));
        assert_eq!(bump(&next, u64::MAX), Err(Why::BadAddress));
        assert_eq!(next.into_inner(), SHARES.end - WINDOW);
    }
}
