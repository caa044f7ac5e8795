// SPDX-License-Identifier: BSD-2-Clause
//! Root file systems: one copy of each, in a region that all containers of the image map and none can
//! write.
//!
//! Regions are paid from the factory's own budget: an image is nobody's in particular. So there is a
//! bounded number, and one that no container uses is given up when room is needed, the one that was unused
//! longest first. They are of large pages: mapping one takes as many kernel entries as it has 2 MiB.

use core::fmt::Write;

use heapless::{String, Vec};
use process_factory::files::{Files, MAX_PATH};
use xos_client::{Manager, Port};
use xos_container::{Digest, IMAGES, Span};
use xos_protocol::manager::{PAGE, RegionCreate, Rights, Share};
use xos_protocol::start::SHARES;
use xos_protocol::{Error, IcId, RegionId, Result, Subject};

use crate::factory::Memory;

/// Root file systems at a time.
pub const MAX_ROOTS: usize = 32;
/// Where a root is mapped while it is filled.
pub const FILL_ADDRESS: u64 = 0x6000_0000_0000;
/// Where a container finds its root: nobody else maps anything there before the container runs.
pub const ROOT_ADDRESS: u64 = SHARES.end - (1 << 40);

/// Pages of 4 KiB in a large one.
const LARGE: u64 = 512;

struct Root {
    digest: Digest,
    region: RegionId,
    bytes: u64,
    users: u32,
    /// When it was asked for last.
    used: u64,
}

/// The roots that there are.
pub struct Roots {
    roots: Vec<Option<Root>, MAX_ROOTS>,
    clock: u64,
}

/// What they are made with.
pub struct Tools<'t, 'a, M, P> {
    /// Memory to be filled.
    pub memory: &'t mut M,
    /// The manager.
    pub manager: &'t Manager<P>,
    /// The file tree.
    pub files: &'t Files<'a>,
}

impl Roots {
    /// None.
    pub const fn new() -> Self {
        Self {
            roots: Vec::new(),
            clock: 0,
        }
    }

    /// The index of a root, which is loaded if need be and stays until [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`Error::NoImage`] when the file tree has none of this digest, the manager's when there is no room
    /// for it although everything unused was given up.
    pub fn enter<M: Memory, P: Port>(
        &mut self,
        digest: Digest,
        tools: &mut Tools<'_, '_, M, P>,
    ) -> Result<usize> {
        self.clock += 1;
        let is_it = |root: &Option<Root>| root.as_ref().is_some_and(|root| root.digest == digest);
        let index = match self.roots.iter().position(is_it) {
            Some(index) => index,
            None => self.load(digest, tools)?,
        };
        let root = self.roots[index].as_mut().ok_or(Error::Kernel)?;
        root.users += 1;
        root.used = self.clock;
        Ok(index)
    }

    /// A container is gone.
    pub fn leave(&mut self, index: usize) {
        if let Some(Some(root)) = self.roots.get_mut(index) {
            root.users = root.users.saturating_sub(1);
        }
    }

    /// Maps a root into a container.
    ///
    /// # Errors
    /// The manager's.
    pub fn share<P: Port>(&self, index: usize, id: IcId, manager: &Manager<P>) -> Result<Span> {
        let root = self
            .roots
            .get(index)
            .and_then(Option::as_ref)
            .ok_or(Error::Kernel)?;
        manager.share(&Share {
            region: root.region,
            target: Subject::Ic(id),
            address: ROOT_ADDRESS,
            rights: Rights::R,
        })?;
        Ok(Span {
            address: ROOT_ADDRESS,
            bytes: root.bytes,
        })
    }

    fn load<M: Memory, P: Port>(
        &mut self,
        digest: Digest,
        tools: &mut Tools<'_, '_, M, P>,
    ) -> Result<usize> {
        let mut path = String::<MAX_PATH>::new();
        write!(path, "{IMAGES}/{digest}.tar").map_err(|_| Error::NoImage)?;
        let (_, archive) = tools.files.find(&path).ok_or(Error::NoImage)?;
        let index = match self.roots.iter().position(Option::is_none) {
            Some(index) => index,
            None if self.roots.push(None).is_ok() => self.roots.len() - 1,
            None => self.give_up(tools.manager).ok_or(Error::TableFull)?,
        };
        let region = loop {
            match fill(archive, tools) {
                Ok(region) => break region,
                Err(Error::OverBudget | Error::NoMemory | Error::TableFull)
                    if self.give_up(tools.manager).is_some() => {}
                Err(error) => return Err(error),
            }
        };
        self.roots[index] = Some(Root {
            digest,
            region,
            bytes: archive.len() as u64,
            users: 0,
            used: self.clock,
        });
        Ok(index)
    }

    /// Gives up the root that was unused longest: its index. `None` when all are in use.
    fn give_up<P: Port>(&mut self, manager: &Manager<P>) -> Option<usize> {
        let unused = self.roots.iter().enumerate().filter_map(|(index, root)| {
            let root = root.as_ref().filter(|root| root.users == 0)?;
            Some((root.used, index))
        });
        let (_, index) = unused.min()?;
        if let Some(root) = self.roots[index].take() {
            // Refused only when it is gone already.
            let _ = manager.region_destroy(root.region);
        }
        Some(index)
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a region with an archive in it.
fn fill<M: Memory, P: Port>(archive: &[u8], tools: &mut Tools<'_, '_, M, P>) -> Result<RegionId> {
    let pages = (archive.len() as u64).div_ceil(PAGE * LARGE).max(1) * LARGE;
    let region = tools.manager.region_create(&RegionCreate {
        payer: None,
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
        tools.memory.fill(FILL_ADDRESS, archive);
        tools.manager.unshare(region, Subject::Myself)
    };
    fill().inspect_err(|_| {
        let _ = tools.manager.region_destroy(region);
    })?;
    Ok(region)
}
