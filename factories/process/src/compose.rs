// SPDX-License-Identifier: BSD-2-Clause
//! Composes a process: from a specification and an image to an execution that
//! has everything but its registers.
//!
//! What it takes is counted before anything is made ([`Plan`]), so that the
//! manager is asked once, for all of it, and objects are made in bulk.
//!
//! Kernel entries for a minimal program (one page of code, no data of its own,
//! no arguments), beside the one per request that answers it and takes the next:
//!
//! | request | entries |
//! | --- | --- |
//! | create | 13: create at the manager; four to make three paging structures and two frames; three and two to map them; two to copy and map the page of code; one to configure |
//! | start | 2: the registers, and resume at the manager |
//! | wait | 1: to keep who waits |
//! | exit | 2: destroy at the manager, and the answer to who waits |
//!
//! Each further page of code takes two more, a page with initial data three
//! (mapped here to be written to, unmapped, mapped there), another one one.

use xos_protocol::factory::Spec;
use xos_protocol::manager::{Created, PAGE};
use xos_protocol::slots::ic;
use xos_protocol::start::{DEFAULT_CSPACE_RADIX, StartInfo, strings};
use xos_protocol::{Error, Result};

use crate::arena::{NODE_SLOTS, Nodes, Pieces, Sequence};
use crate::images::Image;
use crate::kernel::{At, Context, Execution, Kernel, Object, Registers};
use crate::layout::{Content, Kind, Layout, MAX_STACK_PAGES, Tables};
use crate::pages::{NEAR, Pages};
use crate::program::Program;

/// Slots that a parts node has for pages of data that come when they are touched, if there are such: most
/// processes take no more, and a further node is dear.
const SPARE_SLOTS: u64 = 8;
/// The same for pages of stack, of which most processes take no more than the one that is there from the
/// start.
const SPARE_STACK_SLOTS: u64 = 1;
/// Bytes of a slot, of a TCB and of the root of an address space in this kernel.
const SLOT_BYTES: u64 = 32;
const EXECUTION_BYTES: u64 = 2048;
/// Start information at most: a page.
pub const MAX_INFO: usize = PAGE as usize;

/// A specification, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish<'a> {
    /// Pages of stack; 0 for the default.
    pub stack_pages: u64,
    /// Pages that it may cost in all; 0 for what it needs.
    pub memory_pages: u64,
    /// ICs and sessions that it may pay for.
    pub ics: u32,
    /// Whether it gets its CSpace's root.
    pub composes: bool,
    /// What it is told.
    pub info: StartInfo<'a>,
}

impl<'a> Wish<'a> {
    /// Checks a specification.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a number is out of range or there are too many channels,
    /// [`Error::OverBudget`] when it asks for more memory than can be counted.
    pub fn new(spec: &Spec<'a>) -> Result<Self> {
        let cspace_radix = match spec.cspace_radix {
            0 => DEFAULT_CSPACE_RADIX,
            radix => radix,
        };
        let stack_pages = u64::from(spec.stack).div_ceil(PAGE);
        let channels = strings(spec.channels).count();
        if !(4..=12).contains(&cspace_radix)
            || spec.ics >= 1 << 12
            || stack_pages > MAX_STACK_PAGES
            || channels > (ic::FIRST_FREE - ic::FIRST_CHANNEL) as usize
        {
            return Err(Error::Malformed);
        }
        Ok(Self {
            stack_pages,
            memory_pages: spec.memory.div_ceil(PAGE),
            ics: spec.ics.into(),
            composes: spec.composes,
            info: StartInfo {
                arguments: spec.arguments,
                environment: spec.environment,
                channels: spec.channels,
                cspace_radix,
            },
        })
    }
}

impl Wish<'_> {
    /// Whether its CSpace's root does not fit into one of its own slots.
    const fn needs_root_node(&self) -> bool {
        self.composes && self.info.cspace_radix > 8
    }
}

/// What it takes to compose a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Where everything lies.
    pub layout: Layout,
    /// Its paging structures.
    pub tables: Tables,
    /// Frames of its own.
    pub own: u32,
    /// Frames that it shares.
    pub shared: u32,
    /// Nodes beside the parts node.
    pub nodes: u32,
    /// Radix of the parts node.
    pub parts_radix: u32,
    /// Pages of untyped memory to ask for.
    pub memory: u32,
    /// Pages that it may cost in all.
    pub quota: u32,
}

impl Plan {
    /// Plans a process.
    ///
    /// # Errors
    /// [`Error::BadImage`] when the image does not fit into an address space, [`Error::OverBudget`] when it
    /// needs more memory than can be counted, or than it may cost.
    pub fn new(program: &Program, wish: &Wish<'_>) -> Result<Self> {
        let info = !wish.info.is_default();
        let layout = Layout::new(program, wish.stack_pages).map_err(|_| Error::BadImage)?;
        let tables = layout.tables(program, info).map_err(|_| Error::BadImage)?;
        let shared = program.shared_pages();
        let own = layout.eager_pages(program, info).count() as u64 - shared;
        let slots = tables.count() + own + shared;
        let lazy = layout.lazy_pages(program);

        let lazy_stack = layout.lazy_stack_pages();
        let spare = (lazy - lazy_stack).min(SPARE_SLOTS) + lazy_stack.min(SPARE_STACK_SLOTS);
        let wanted = slots + spare;
        let parts_radix = (4..8)
            .find(|radix| wanted <= Sequence::in_parts(*radix).into())
            .unwrap_or(8);
        let beyond = slots.saturating_sub(Sequence::in_parts(parts_radix).into());
        let nodes = beyond.div_ceil(NODE_SLOTS.into());

        let need = tables.count() + own + nodes + u64::from(wish.needs_root_node());
        let memory = round_up(need);
        let objects = SLOT_BYTES * ((1 << parts_radix) + (1 << wish.info.cspace_radix))
            + EXECUTION_BYTES
            + PAGE;
        let least = objects.div_ceil(PAGE).next_power_of_two() + memory;
        let quota = match wish.memory_pages {
            0 => {
                let objects = lazy + layout.lazy_tables(program, &tables);
                let near = u64::from(Sequence::in_parts(parts_radix)).min(slots + NEAR as u64);
                let room = near + nodes * u64::from(NODE_SLOTS);
                let more = (slots + objects).saturating_sub(room);
                let later = objects + more.div_ceil(NODE_SLOTS.into());
                least + later.saturating_sub(memory - need)
            }
            // More than was allowed is not taken silently.
            pages if pages < least => return Err(Error::OverBudget),
            pages => pages,
        };
        Ok(Self {
            layout,
            tables,
            own: own as u32,
            shared: shared as u32,
            nodes: nodes as u32,
            parts_radix,
            memory: memory as u32,
            // The fields of the request have 24 bits.
            quota: u32::try_from(quota)
                .ok()
                .filter(|quota| *quota < 1 << 24)
                .ok_or(Error::OverBudget)?,
        })
    }
}

/// Pages to ask for when so many are needed: few pieces cost less than many, and what is left over serves
/// the pages that come when they are touched.
fn round_up(pages: u64) -> u64 {
    if pages <= 16 {
        return pages.next_power_of_two();
    }
    // Two pieces: the highest bit, and the rest rounded up to one.
    let highest = 1 << pages.ilog2();
    match pages - highest {
        0 => highest,
        rest => highest + rest.next_power_of_two(),
    }
}

/// A process, as the factory remembers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Root slot of its parts node.
    pub parts: u32,
    /// What it was asked for, as far as that matters later.
    pub made: Made,
    /// Number of the slot of its first own frame.
    pub first_own: u16,
    /// Times that its arena has grown.
    pub steps: u8,
    /// Pages that were touched and lie in its parts node.
    pub near: u8,
    /// Whether it has pages that the factory does not remember.
    pub forgotten: bool,
    /// Untyped memory that is left to it.
    pub pieces: Pieces,
    /// Its slots.
    pub slots: Sequence,
    /// Of a clone: where its model has its pages.
    pub model: Option<Origin>,
    /// Of a snapshot: where it stands.
    pub frozen: Option<Context>,
}

/// What a process and its clones have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Index of the image in the cache.
    pub image: u8,
    /// Pages of stack that were asked for.
    pub stack_pages: u16,
    /// Bytes of start information; 0 if there is none.
    pub info: u16,
    /// Pages that it may cost in all.
    pub quota: u32,
    /// ICs and sessions that it may pay for.
    pub ics: u16,
    /// Radix of its CSpace.
    pub cspace_radix: u8,
    /// Whether it gets its CSpace's root.
    pub composes: bool,
}

impl Made {
    /// Whether its CSpace's root does not fit into one of its own slots.
    pub const fn needs_root_node(&self) -> bool {
        self.composes && self.cspace_radix > 8
    }

    /// How it executes, with this frame for its IPC buffer, at the address that its layout says.
    pub fn execution(&self, buffer: At, layout: &Layout, root_node: Option<At>) -> Execution {
        Execution {
            cspace_radix: self.cspace_radix.into(),
            buffer,
            buffer_address: layout.ipc_buffer,
            composes: self.composes,
            root_node,
        }
    }
}

/// Where a process has the pages that it had from the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Root slot of its parts node.
    pub parts: u32,
    first_own: u16,
    slots: Sequence,
}

impl Origin {
    /// The frame of a page, if the process has one there; `number` is the page's.
    pub fn frame(
        &self,
        image: &Image<'_>,
        nodes: &Nodes,
        pages: &Pages<'_>,
        (number, kind): (u32, Kind),
    ) -> Option<At> {
        match kind {
            Kind::Shared(index) => image.frame(index),
            Kind::Own(index) => {
                let number = u32::from(self.first_own) + index as u32;
                Some(self.slots.at(nodes, self.parts, number).0)
            }
            Kind::Lazy => pages.find(self.parts, number).map(|found| found.at),
        }
    }
}

/// A process under construction.
pub struct Builder<'b, K> {
    /// The kernel.
    pub kernel: &'b mut K,
    /// Root slots for nodes.
    pub nodes: &'b mut Nodes,
    /// Root slot of the parts node.
    pub parts: u32,
    /// Untyped memory.
    pub pieces: &'b mut Pieces,
    /// Slots.
    pub slots: &'b mut Sequence,
}

impl<K: Kernel> Builder<'_, K> {
    /// Where slot `number` is.
    pub fn at(&self, number: u32) -> At {
        self.slots.at(self.nodes, self.parts, number).0
    }

    /// A piece of the untyped memory with at most `count` pages: where, and how many.
    pub fn piece(&mut self, count: u32) -> Result<(At, u32)> {
        let (index, count) = self.pieces.take(count).ok_or(Error::NoMemory)?;
        let node = self.parts;
        Ok((At { node, index }, count))
    }

    /// Adds a node, from a page of the process's memory.
    pub fn add_node(&mut self) -> Result<()> {
        let (untyped, _) = self.piece(1)?;
        let payer = self.slots.payer();
        let place = self.nodes.take(payer).ok_or(Error::TableFull)?;
        match self.kernel.make_node(untyped, place) {
            Ok(()) => {
                self.slots.add(self.nodes, place);
                Ok(())
            }
            Err(refusal) => {
                self.nodes.give(payer, place);
                Err(refusal.into())
            }
        }
    }

    /// Makes `count` objects, into as many slots, which there are: the number of the first slot.
    pub fn make(&mut self, object: Object, count: u32) -> Result<u32> {
        let first = self.slots.take(count);
        let mut number = first;
        while number < first + count {
            let (At { node, index }, room) = self.slots.at(self.nodes, self.parts, number);
            let (untyped, count) = self.piece((first + count - number).min(room))?;
            self.kernel.retype(untyped, object, node, index, count)?;
            number += count;
        }
        Ok(first)
    }
}

/// Composes a process in the parts node in root slot `parts`, as planned.
///
/// After an error no node of it is left.
///
/// # Errors
/// [`Error::TableFull`] when its payer has all of the factory's root slots that it can have; [`Error::Kernel`] when the kernel
/// refused, as it does when the client has died meanwhile.
pub fn compose<K: Kernel>(
    kernel: &mut K,
    nodes: &mut Nodes,
    (index, image): (usize, &Image<'_>),
    plan: &Plan,
    wish: &Wish<'_>,
    parts: u32,
    created: &Created,
) -> Result<Process> {
    let made = Made {
        image: index as u8,
        stack_pages: wish.stack_pages as u16,
        info: 0,
        quota: plan.quota,
        ics: wish.ics as u16,
        cspace_radix: wish.info.cspace_radix,
        composes: wish.composes,
    };
    let slots = Sequence::new(plan.parts_radix, created.payer);
    let mut process = Process::new(parts, made, slots, plan.tables.count() as u16);
    process.pieces.add(created);
    let mut builder = Builder {
        kernel,
        nodes,
        parts,
        pieces: &mut process.pieces,
        slots: &mut process.slots,
    };
    match build(&mut builder, image, plan, wish, &made) {
        Ok(info) => {
            process.made.info = info as u16;
            Ok(process)
        }
        Err(error) => {
            process.slots.give_back(nodes, |place| kernel.clear(place));
            Err(error)
        }
    }
}

fn build<K: Kernel>(
    builder: &mut Builder<'_, K>,
    image: &Image<'_>,
    plan: &Plan,
    wish: &Wish<'_>,
    made: &Made,
) -> Result<usize> {
    let Plan { layout, tables, .. } = plan;
    for _ in 0..plan.nodes {
        builder.add_node()?;
    }
    let levels = [
        (Object::Pointers, &tables.pointers[..]),
        (Object::Directory, &tables.directories[..]),
        (Object::Table, &tables.tables[..]),
    ];
    for (object, addresses) in levels {
        builder.make(object, addresses.len() as u32)?;
    }
    let first_own = builder.make(Object::Frame, plan.own)?;
    let first_shared = builder.slots.take(plan.shared);

    let parts = builder.parts;
    let mut number = 0;
    for (object, addresses) in levels {
        for address in addresses {
            let at = builder.at(number);
            builder.kernel.map_table(at, object, parts, *address)?;
            number += 1;
        }
    }

    let mut info_bytes = 0;
    let mut own = first_own;
    let mut buffer = None;
    for page in layout.eager_pages(&image.program, !wish.info.is_default()) {
        let address = page.address;
        if let Content::Shared { index, .. } = page.content {
            let frame = image.frame(index).ok_or(Error::Kernel)?;
            let at = builder.at(first_shared + index as u32);
            builder.kernel.copy(frame, at)?;
            builder.kernel.map_frame(at, parts, address, false)?;
            continue;
        }
        let at = builder.at(own);
        own += 1;
        let bytes = match page.content {
            Content::Filled { segment, page } => image.program.segments[segment]
                .page_bytes(page)
                .map(|(offset, range)| (offset, &image.file[range])),
            _ if address == layout.ipc_buffer => {
                buffer = Some(at);
                None
            }
            _ if address == layout.start_info => {
                info_bytes = write_info(builder.kernel, at, &wish.info)?;
                None
            }
            _ => initial_variables(layout, image, address),
        };
        if let Some((offset, bytes)) = bytes {
            builder.kernel.write(at, offset, bytes)?;
        }
        builder.kernel.map_frame(at, parts, address, true)?;
    }
    let root_node = match made.needs_root_node() {
        true => Some(builder.piece(1)?.0),
        false => None,
    };
    let buffer = buffer.ok_or(Error::Kernel)?;
    let execution = made.execution(buffer, layout, root_node);
    builder.kernel.configure(parts, &execution)?;
    Ok(info_bytes)
}

/// Writes start information to a frame: how many bytes. (Apart, because most of it is a page of stack that
/// programs without arguments need not pay for.)
#[inline(never)]
fn write_info<K: Kernel>(kernel: &mut K, at: At, info: &StartInfo<'_>) -> Result<usize> {
    let mut page = [0; MAX_INFO];
    let bytes = info.write(&mut page)?;
    kernel.write(at, 0, &page[..bytes])?;
    Ok(bytes)
}

/// What of the initial image of thread-local variables lies in the page at `address`, and where in it.
fn initial_variables<'a>(
    layout: &Layout,
    image: &Image<'a>,
    address: u64,
) -> Option<(usize, &'a [u8])> {
    let (place, tls) = (layout.tls?, image.program.tls?);
    let from = place.image.max(address);
    let to = (place.image + tls.length as u64).min(address + PAGE);
    if from >= to {
        return None;
    }
    let begin = tls.offset + (from - place.image) as usize;
    let bytes = image.file.get(begin..begin + (to - from) as usize)?;
    Some(((from - address) as usize, bytes))
}

/// What a process starts with.
pub fn registers(program: &Program, layout: &Layout, process: &Process) -> Registers {
    let info = match process.made.info {
        0 => 0,
        _ => layout.start_info,
    };
    Registers {
        ip: program.entry,
        sp: layout.stack_start(),
        info,
        info_bytes: process.made.info.into(),
        buffer: layout.ipc_buffer,
        thread_pointer: layout.thread_pointer(),
    }
}

impl Process {
    /// A process of which nothing is there yet, with these slots.
    pub fn new(parts: u32, made: Made, slots: Sequence, first_own: u16) -> Self {
        Self {
            parts,
            made,
            first_own,
            steps: 0,
            near: 0,
            forgotten: false,
            pieces: Pieces::default(),
            slots,
            model: None,
            frozen: None,
        }
    }

    /// Where everything of it lies.
    pub fn layout(&self, program: &Program) -> Result<Layout> {
        // It was possible when the process was made.
        Layout::new(program, self.made.stack_pages.into()).map_err(|_| Error::Kernel)
    }

    /// The number of its page at `address`, and what that is to it; `None` where it can have none.
    pub fn page(&self, layout: &Layout, program: &Program, address: u64) -> Option<(u32, Kind)> {
        let (number, kind) = layout.page(program, self.made.info != 0, address)?;
        // What cannot be counted is not remembered.
        Some((u32::try_from(number).unwrap_or(u32::MAX), kind))
    }

    /// Where it has its pages.
    pub fn origin(&self) -> Origin {
        Origin {
            parts: self.parts,
            first_own: self.first_own,
            slots: self.slots.clone(),
        }
    }

    /// The frame at `address`, if the factory remembers it; that of the model, if it is a clone's and was
    /// not written to.
    pub fn frame(
        &self,
        image: &Image<'_>,
        nodes: &Nodes,
        pages: &Pages<'_>,
        address: u64,
    ) -> Option<At> {
        let layout = self.layout(&image.program).ok()?;
        let page = self.page(&layout, &image.program, address)?;
        if let Some(found) = pages.find(self.parts, page.0) {
            return Some(found.at);
        }
        match &self.model {
            Some(model) => model.frame(image, nodes, pages, page),
            None => self.origin().frame(image, nodes, pages, page),
        }
    }
}
