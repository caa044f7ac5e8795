// SPDX-License-Identifier: BSD-2-Clause
//! The images in use, and some that were: parsed once, their read-only pages
//! loaded once, into a region that all instances map.
//!
//! Regions are paid from the factory's own budget: an image is nobody's in
//! particular. So the cache is bounded, and an image that no process uses is
//! given up whenever room is needed, the one that was unused longest first.

use heapless::Vec;
use xos_client::{Manager, Port};
use xos_protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::{Error, Name, RegionId, Result, Subject};

use crate::arena::Nodes;
use crate::files::{Files, Path, is_program};
use crate::kernel::{At, Kernel};
use crate::layout::Layout;
use crate::program::{Program, Segment};

/// Images that the cache holds.
pub const MAX_IMAGES: usize = 32;
/// Shared pages that an image has at most (16 MiB): what the manager gives and maps at a time.
pub const MAX_SHARED: u64 = 4096;
/// Frames per node of a region (`manager::RegionCreate::place`).
const NODE_FRAMES: u32 = 256;
/// Where a region is mapped while it is filled.
pub const FILL_ADDRESS: u64 = 0x6000_0000_0000;

/// An image.
pub struct Image<'a> {
    /// Its path in the file tree.
    pub path: Path,
    /// What its processes are called in lists.
    pub name: Name,
    /// Its bytes.
    pub file: &'a [u8],
    /// What it says.
    pub program: Program,
    /// Its shared pages, if it has any.
    shared: Option<Shared>,
    /// Processes made of it that are not gone.
    users: u32,
    /// When it was asked for last.
    used: u64,
}

#[derive(Clone, Copy)]
struct Shared {
    region: RegionId,
    /// First root slot of the region's nodes.
    place: u32,
    nodes: u32,
}

impl Image<'_> {
    /// The frame of its shared page `index`.
    pub fn frame(&self, index: u64) -> Option<At> {
        let shared = self.shared?;
        let index = index as u32;
        Some(At {
            node: shared.place + index / NODE_FRAMES,
            index: index % NODE_FRAMES,
        })
    }

    fn is_called(&self, name: &str) -> bool {
        // Exact paths of files outside `bin/` are cached only if no program shadows them.
        self.path == name || is_program(&self.path, name)
    }
}

/// The cache.
pub struct Images<'a> {
    images: Vec<Option<Image<'a>>, MAX_IMAGES>,
    clock: u64,
    /// Whether the first state of pages that can be written is shared as well.
    whole: bool,
}

/// What the cache works with.
pub struct Tools<'t, 'a, K, P> {
    /// The kernel.
    pub kernel: &'t mut K,
    /// The manager.
    pub manager: &'t Manager<P>,
    /// The factory's root slots.
    pub nodes: &'t mut Nodes,
    /// The file tree.
    pub files: &'t Files<'a>,
}

impl<'a> Images<'a> {
    /// An empty cache, for those who share the pages that nobody can write.
    pub const fn new() -> Self {
        Self {
            images: Vec::new(),
            clock: 0,
            whole: false,
        }
    }

    /// An empty cache, for those who also share the first state of the pages that are not zero then: a
    /// segment's pages are [`shared`](Self::shared) of them.
    pub const fn whole() -> Self {
        Self {
            images: Vec::new(),
            clock: 0,
            whole: true,
        }
    }

    /// How many pages of a segment are shared, from its first one on.
    pub const fn shared(&self, segment: &Segment) -> u64 {
        match (segment.writable, self.whole) {
            (false, _) => segment.pages(),
            (true, true) => segment.filled_pages(),
            (true, false) => 0,
        }
    }

    fn shared_pages(&self, program: &Program) -> u64 {
        program.segments.iter().map(|s| self.shared(s)).sum()
    }

    /// The image at an index that [`load`](Self::load) gave, while it is in use.
    pub fn get(&self, index: usize) -> Option<&Image<'a>> {
        self.images.get(index)?.as_ref()
    }

    /// Notes that a process is made of an image: it is kept.
    pub fn enter(&mut self, index: usize) {
        if let Some(Some(image)) = self.images.get_mut(index) {
            image.users += 1;
        }
    }

    /// Notes that one is gone.
    pub fn leave(&mut self, index: usize) {
        if let Some(Some(image)) = self.images.get_mut(index) {
            image.users = image.users.saturating_sub(1);
        }
    }

    /// The index of an image, which is loaded if need be.
    ///
    /// # Errors
    /// [`Error::NoImage`] when there is no such file, [`Error::BadImage`] when it is no program, the
    /// manager's when there is no room for it although everything unused was given up.
    pub fn load<K: Kernel, P: Port>(
        &mut self,
        name: &str,
        tools: &mut Tools<'_, 'a, K, P>,
    ) -> Result<usize> {
        self.clock += 1;
        let clock = self.clock;
        let cached = |image: &mut Option<Image<'_>>| match image {
            Some(image) if image.is_called(name) => {
                image.used = clock;
                true
            }
            _ => false,
        };
        if let Some(index) = self.images.iter_mut().position(cached) {
            return Ok(index);
        }
        let (path, file) = tools.files.find(name).ok_or(Error::NoImage)?;
        let program = Program::parse(file).map_err(|error| {
            tools
                .kernel
                .log(format_args!("{path} cannot be run: {error}"));
            Error::BadImage
        })?;
        if self.shared_pages(&program) > MAX_SHARED {
            tools.kernel.log(format_args!(
                "{path} cannot be run: its code is larger than 16 MiB"
            ));
            return Err(Error::BadImage);
        }
        // Before anything is made of it: otherwise an image of which no process can be would stay here.
        let fits = Layout::new(&program, 0).and_then(|layout| layout.tables(&program, true));
        if let Err(error) = fits {
            tools
                .kernel
                .log(format_args!("{path} cannot be run: {error}"));
            return Err(Error::BadImage);
        }
        let index = self.free_index(tools)?;
        let shared = loop {
            match self.fill(&program, file, tools) {
                Ok(shared) => break shared,
                Err(Error::OverBudget | Error::NoMemory | Error::TableFull)
                    if self.give_up(tools).is_some() => {}
                Err(error) => return Err(error),
            }
        };
        let name = Name::new(path.rsplit('/').next().unwrap_or_default());
        self.images[index] = Some(Image {
            path,
            name,
            file,
            program,
            shared,
            users: 0,
            used: clock,
        });
        Ok(index)
    }

    fn free_index<K: Kernel, P: Port>(&mut self, tools: &mut Tools<'_, 'a, K, P>) -> Result<usize> {
        if let Some(index) = self.images.iter().position(Option::is_none) {
            Ok(index)
        } else if self.images.push(None).is_ok() {
            Ok(self.images.len() - 1)
        } else {
            self.give_up(tools).ok_or(Error::TableFull)
        }
    }

    /// Gives up the image that was unused longest: its index. `None` when all are in use.
    fn give_up<K: Kernel, P: Port>(&mut self, tools: &mut Tools<'_, 'a, K, P>) -> Option<usize> {
        let (index, _) = self
            .images
            .iter()
            .enumerate()
            .filter_map(|(index, image)| Some((index, image.as_ref()?)))
            .filter(|(_, image)| image.users == 0)
            .min_by_key(|(_, image)| image.used)?;
        if let Some(shared) = self.images[index].take().and_then(|image| image.shared) {
            drop_region(shared, tools);
        }
        Some(index)
    }
}

impl Default for Images<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Images<'_> {
    /// Makes the region with an image's shared pages.
    fn fill<K: Kernel, P: Port>(
        &self,
        program: &Program,
        file: &[u8],
        tools: &mut Tools<'_, '_, K, P>,
    ) -> Result<Option<Shared>> {
        let pages = self.shared_pages(program) as u32;
        if pages == 0 {
            return Ok(None);
        }
        let nodes = pages.div_ceil(NODE_FRAMES);
        let place = tools.nodes.take_run(nodes).ok_or(Error::TableFull)?;
        let created = tools.manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages,
            large: false,
            place,
        });
        let region = match created {
            Ok(region) => region,
            Err(error) => {
                tools.nodes.give_run(place, nodes);
                return Err(error);
            }
        };
        let shared = Shared {
            region,
            place,
            nodes,
        };
        let mapped = tools.manager.share(&Share {
            region,
            target: Subject::Myself,
            address: FILL_ADDRESS,
            rights: Rights::RW,
        });
        if let Err(error) = mapped {
            drop_region(shared, tools);
            return Err(error);
        }
        let mut address = FILL_ADDRESS;
        for segment in &program.segments {
            let pages = self.shared(segment);
            for page in 0..pages.min(segment.filled_pages()) {
                if let Some((at, range)) = segment.page_bytes(page) {
                    let at = address + page * PAGE + at as u64;
                    tools.kernel.fill(at, &file[range]);
                }
            }
            address += pages * PAGE;
        }
        if let Err(error) = tools.manager.unshare(region, Subject::Myself) {
            drop_region(shared, tools);
            return Err(error);
        }
        Ok(Some(shared))
    }
}

fn drop_region<K: Kernel, P: Port>(shared: Shared, tools: &mut Tools<'_, '_, K, P>) {
    // The nodes first: the region may be taken back later than this, and its slots are used again at once.
    (shared.place..shared.place + shared.nodes).for_each(|place| tools.kernel.clear(place));
    let _ = tools.manager.region_destroy(shared.region);
    tools.nodes.give_run(shared.place, shared.nodes);
}
