// SPDX-License-Identifier: BSD-2-Clause
//! Files of the tree in regions, one copy of each, which all ICs that need it map and none can write.
//!
//! Regions are paid from the factory's own budget: a file is nobody's in particular. So there is a bounded
//! number, and one that nobody uses is given up when room is needed, the one that was unused longest first.
//! They are of large pages: mapping one takes as many kernel entries as it has 2 MiB.

use heapless::Vec;
use xos_client::{Manager, Port};
use xos_protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::{Error, IcId, RegionId, Result, Subject};

use crate::files::{Files, Path};
use crate::images::FILL_ADDRESS;

/// Files at a time.
pub const MAX_FILES: usize = 32;

/// Pages of 4 KiB in a large one.
const LARGE: u64 = 512;

struct Entry {
    path: Path,
    region: RegionId,
    bytes: u64,
    users: u32,
    /// When it was asked for last.
    used: u64,
}

/// The files that are in regions.
pub struct Regions {
    entries: Vec<Option<Entry>, MAX_FILES>,
    clock: u64,
}

/// What they are made with.
pub struct Tools<'t, 'a, P> {
    /// Writes bytes to an address of the factory's own, where a region was just mapped for that.
    pub fill: &'t mut dyn FnMut(u64, &[u8]),
    /// The manager.
    pub manager: &'t Manager<P>,
    /// The file tree.
    pub files: &'t Files<'a>,
}

impl Regions {
    /// None.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            clock: 0,
        }
    }

    /// The index of a file, which is loaded if need be and stays until [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`Error::NoImage`] when the file tree has none at this path, the manager's when there is no room for
    /// it although everything unused was given up.
    pub fn enter<P: Port>(&mut self, path: &str, tools: &mut Tools<'_, '_, P>) -> Result<usize> {
        self.clock += 1;
        let is_it = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.path == path);
        let index = match self.entries.iter().position(is_it) {
            Some(index) => index,
            None => self.load(path, tools)?,
        };
        let entry = self.entries[index].as_mut().ok_or(Error::Kernel)?;
        entry.users += 1;
        entry.used = self.clock;
        Ok(index)
    }

    /// Somebody who [entered](Self::enter) is gone.
    pub fn leave(&mut self, index: usize) {
        if let Some(Some(entry)) = self.entries.get_mut(index) {
            entry.users = entry.users.saturating_sub(1);
        }
    }

    /// Bytes of a file that is in use.
    pub fn bytes(&self, index: usize) -> u64 {
        self.entries
            .get(index)
            .and_then(Option::as_ref)
            .map_or(0, |entry| entry.bytes)
    }

    /// Maps a file into an IC, read-only.
    ///
    /// # Errors
    /// The manager's.
    pub fn share<P: Port>(
        &self,
        index: usize,
        id: IcId,
        address: u64,
        manager: &Manager<P>,
    ) -> Result<()> {
        let entry = self.entries.get(index).and_then(Option::as_ref);
        manager.share(&Share {
            region: entry.ok_or(Error::Kernel)?.region,
            target: Subject::Ic(id),
            address,
            rights: Rights::R,
        })
    }

    fn load<P: Port>(&mut self, path: &str, tools: &mut Tools<'_, '_, P>) -> Result<usize> {
        let (_, bytes) = tools.files.find(path).ok_or(Error::NoImage)?;
        let index = match self.entries.iter().position(Option::is_none) {
            Some(index) => index,
            None if self.entries.push(None).is_ok() => self.entries.len() - 1,
            None => self.give_up(tools.manager).ok_or(Error::TableFull)?,
        };
        let region = loop {
            match fill(bytes, tools) {
                Ok(region) => break region,
                Err(Error::OverBudget | Error::NoMemory | Error::TableFull)
                    if self.give_up(tools.manager).is_some() => {}
                Err(error) => return Err(error),
            }
        };
        self.entries[index] = Some(Entry {
            path: Path::try_from(path).map_err(|_| Error::NoImage)?,
            region,
            bytes: bytes.len() as u64,
            users: 0,
            used: self.clock,
        });
        Ok(index)
    }

    /// Gives up the file that was unused longest: its index. `None` when all are in use.
    fn give_up<P: Port>(&mut self, manager: &Manager<P>) -> Option<usize> {
        let unused = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let entry = entry.as_ref().filter(|entry| entry.users == 0)?;
                Some((entry.used, index))
            });
        let (_, index) = unused.min()?;
        if let Some(entry) = self.entries[index].take() {
            // Refused only when it is gone already.
            let _ = manager.region_destroy(entry.region);
        }
        Some(index)
    }
}

impl Default for Regions {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a region with bytes in it.
fn fill<P: Port>(bytes: &[u8], tools: &mut Tools<'_, '_, P>) -> Result<RegionId> {
    let pages = (bytes.len() as u64).div_ceil(PAGE * LARGE).max(1) * LARGE;
    let region = tools.manager.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: u32::try_from(pages).map_err(|_| Error::OverBudget)?,
        large: true,
        place: 0,
    })?;
    let mut fill = || {
        tools.manager.share(&Share {
            region,
            target: Subject::Myself,
            address: FILL_ADDRESS,
            rights: Rights::RW,
        })?;
        (tools.fill)(FILL_ADDRESS, bytes);
        tools.manager.unshare(region, Subject::Myself)
    };
    fill().inspect_err(|_| {
        let _ = tools.manager.region_destroy(region);
    })?;
    Ok(region)
}
