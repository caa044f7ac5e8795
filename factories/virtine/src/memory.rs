// SPDX-License-Identifier: BSD-2-Clause
//! The memory of one virtine, and how it is put back.
//!
//! # Which pages a call has written
//! The kernel tells nobody which pages are dirty. A fault per page and call would say so, at the price of some
//! 3,400 instructions each; to put a page back takes 530. So a page that can be written is mapped read-only
//! until a call writes to it, and then stays writable: the fault is paid once, and from then on the page is
//! put back before each call, by the virtine's own [trampoline](crate::trampoline).
//!
//! | page | first state | how it is put back |
//! | --- | --- | --- |
//! | of code and constants | the image's, shared by all | nobody can write it |
//! | of variables that the image initialises | a copy of the image's | copied |
//! | that the image prepared before its first call | what is saved of it then | copied |
//! | of zero variables, stack, IPC buffer, heap | zero | zeroed |
//! | beyond the first [`MAX_PAGES`], or beyond the memory that it had from the start | zero | revoked at the end of the call, so that the kernel clears it |
//!
//! The last line is what bounds the work: whatever a call does, the next one puts back no more pages than the
//! context was made with.
//!
//! The pages in question have numbers, and which address has which number depends on the image alone
//! ([`Numbers`]): the plan that a virtine can read says nothing of what earlier calls wrote.

use heapless::Vec;
use process_factory::arena::{NODE_SLOTS, Nodes, Pieces, Sequence};
use process_factory::compose::Builder;
use process_factory::images::{Image, Images};
use process_factory::kernel::{At, Execution, Kernel as _, Object, Outcome, Refusal};
use process_factory::program::{Program, Segment};
use xos_client::{Manager, Port};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Created, Grow, MAX_PIECES, PAGE};
use xos_protocol::slots::parts::{FIRST_UNTYPED, MAX_UNTYPED};
use xos_protocol::virtine::{
    BUFFER, FIRST, HEAP, HEAP_END, IMAGE_END, MAX_PAGES, MAX_STACK_PAGES, PLAN, Plan, Put, SAVED,
    STACK_END, STACK_PAGES, TRAMPOLINE,
};
use xos_protocol::{Error, IcId, Result};

use crate::kernel::Kernel;

/// Radix of a virtine's CSpace, in which there is one capability: the smallest that the manager makes.
pub const CSPACE_RADIX: u32 = 4;
/// Pages that a virtine has from the start beside what its image needs: the stack and heap that most calls
/// take, and what that takes of tables and nodes. What is beyond is lent for a call, at ten times the price.
const SPARE: u64 = 32;
/// Slots for that in the parts node: a further node is made when more are needed, which few virtines do, and
/// slots are dear at the end.
const SPARE_SLOTS: u64 = 10;
/// Pages that it may take in all beside what its image needs, if nobody said how many.
const DEFAULT_MORE: u64 = 256;
/// What a table spans.
const SPAN: u64 = PAGE * 512;
/// Tables that can be needed at the start.
const MAX_TABLES: usize = 32;
/// Bytes of a slot, of a TCB and of the root of an address space in this kernel.
const SLOT_BYTES: u64 = 32;
const EXECUTION_BYTES: u64 = 2048;

/// The number of the IPC buffer's page.
pub const BUFFERS: usize = 0;

/// Which page has which number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// Pages of stack.
    stack: u64,
}

impl Numbers {
    /// For so many pages of stack.
    pub const fn new(stack: u64) -> Self {
        Self { stack }
    }

    /// Pages of segments that can be written, before a segment or in all.
    fn written(program: &Program) -> impl Iterator<Item = (&Segment, u64)> {
        program
            .segments
            .iter()
            .filter(|segment| segment.writable)
            .scan(0, |before, segment| {
                let this = *before;
                *before += segment.pages();
                Some((segment, this))
            })
    }

    fn variables(program: &Program) -> u64 {
        let pages = |s: &&Segment| s.writable;
        program
            .segments
            .iter()
            .filter(pages)
            .map(Segment::pages)
            .sum()
    }

    /// The number of the page at an address; those from [`MAX_PAGES`] on have no place in a plan. `None` when
    /// nothing that can be written is there.
    pub fn of(self, program: &Program, address: u64) -> Option<u64> {
        let page = address & !(PAGE - 1);
        if page == BUFFER {
            return Some(BUFFERS as u64);
        }
        if (STACK_END - self.stack * PAGE..STACK_END).contains(&page) {
            return Some(1 + (STACK_END - PAGE - page) / PAGE);
        }
        let behind_stack = 1 + self.stack;
        if (HEAP..HEAP_END).contains(&page) {
            return Some(behind_stack + Self::variables(program) + (page - HEAP) / PAGE);
        }
        Self::written(program)
            .find(|(segment, _)| (segment.start..segment.end).contains(&page))
            .map(|(segment, before)| behind_stack + before + (page - segment.start) / PAGE)
    }

    /// The address of the page with a number.
    pub fn address(self, program: &Program, number: usize) -> u64 {
        let number = number as u64;
        if number == BUFFERS as u64 {
            return BUFFER;
        }
        if number <= self.stack {
            return STACK_END - number * PAGE;
        }
        let number = number - 1 - self.stack;
        Self::written(program)
            .find(|(segment, before)| number < before + segment.pages())
            .map_or_else(
                || HEAP + (number - Self::variables(program)) * PAGE,
                |(segment, before)| segment.start + (number - before) * PAGE,
            )
    }

    /// Whether the page with a number is worth saving: what is on the stack before the first call is nobody's.
    const fn is_saved(self, number: usize) -> bool {
        number as u64 > self.stack
    }
}

/// What it takes to make a virtine of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    numbers: Numbers,
    /// Start of each piece of address space that needs a table.
    tables: Vec<u64, MAX_TABLES>,
    /// Pages of variables that the image initialises.
    filled: u32,
    /// Pages of code and constants.
    code: u32,
    nodes: u32,
    /// Radix of the parts node.
    pub parts_radix: u32,
    /// Pages of untyped memory to ask for.
    pub memory: u32,
    /// Pages that it may cost in all.
    pub quota: u32,
}

impl Shape {
    /// Counts what it takes.
    ///
    /// # Errors
    /// [`Error::BadImage`] when the image lies where a virtine's own memory is, has thread-local variables, or
    /// initialises more pages than there are numbers; [`Error::Malformed`] when the specification asks for
    /// what a virtine cannot have; [`Error::OverBudget`] when it does not allow what the image needs.
    pub fn new(program: &Program, spec: &Spec<'_>) -> Result<Self> {
        let stack = match u64::from(spec.stack).div_ceil(PAGE) {
            0 => STACK_PAGES,
            pages => pages,
        };
        if stack > MAX_STACK_PAGES
            || spec.composes
            || !matches!(spec.cspace_radix, 0)
            || [spec.arguments, spec.environment, spec.channels]
                .iter()
                .any(|text| !text.is_empty())
        {
            return Err(Error::Malformed);
        }
        if program.tls.is_some() || program.end() > IMAGE_END {
            return Err(Error::BadImage);
        }
        let numbers = Numbers::new(stack);
        let mut tables = Vec::new();
        let mut span = |address: u64| -> Result<()> {
            let start = address & !(SPAN - 1);
            if tables.contains(&start) {
                return Ok(());
            }
            tables.push(start).map_err(|_| Error::BadImage)
        };
        span(FIRST)?;
        let (mut filled, mut code) = (0, 0);
        for segment in &program.segments {
            let pages = match segment.writable {
                true => segment.filled_pages(),
                false => segment.pages(),
            };
            for page in 0..pages {
                let address = segment.start + page * PAGE;
                span(address)?;
                if segment.writable {
                    span(address + SAVED)?;
                    let number = numbers.of(program, address).ok_or(Error::BadImage)?;
                    if number >= MAX_PAGES as u64 {
                        return Err(Error::BadImage);
                    }
                }
            }
            match segment.writable {
                true => filled += pages,
                false => code += pages,
            }
        }
        let own = 2 + tables.len() as u64 + filled + 1;
        let slots = own + filled + code + 2 + SPARE_SLOTS;
        let parts_radix = (4..8)
            .find(|radix| slots <= Sequence::in_parts(*radix).into())
            .unwrap_or(8);
        let beyond = slots.saturating_sub(Sequence::in_parts(parts_radix).into());
        let nodes = beyond.div_ceil(NODE_SLOTS.into());
        let memory = round_up(own + nodes + SPARE);
        let objects =
            SLOT_BYTES * ((1 << parts_radix) + (1 << CSPACE_RADIX)) + EXECUTION_BYTES + PAGE;
        let least = objects.div_ceil(PAGE).next_power_of_two() + memory;
        let quota = match spec.memory.div_ceil(PAGE) {
            0 => least + DEFAULT_MORE,
            pages if pages < least => return Err(Error::OverBudget),
            pages => pages,
        };
        Ok(Self {
            numbers,
            tables,
            filled: filled as u32,
            code: code as u32,
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

/// Pages to ask for when so many are needed: one piece, or two.
fn round_up(pages: u64) -> u64 {
    let highest = 1 << pages.ilog2();
    match pages - highest {
        0 => highest,
        rest if pages > 16 => highest + rest.next_power_of_two(),
        _ => 2 * highest,
    }
}

/// What a memory works with.
pub struct Tools<'t, K, P> {
    /// The kernel.
    pub kernel: &'t mut K,
    /// The factory's root slots.
    pub nodes: &'t mut Nodes,
    /// The manager.
    pub manager: &'t Manager<P>,
    /// The virtine.
    pub id: IcId,
    /// Root slot of its parts node.
    pub parts: u32,
}

/// What becomes of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// The page is there now.
    Given,
    /// There is no such page, or it may not be written.
    Refused,
    /// It would be one page too many.
    TooMuch,
}

/// Pieces of memory that are given back as a whole at the end of a call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Passing {
    /// As they were given.
    whole: Pieces,
    /// What is left of them in this call.
    left: Pieces,
    /// Where they lie in the parts node.
    slots: Vec<u8, { MAX_UNTYPED as usize }>,
    /// What the next one is to be, in pages; 0 when there is none yet.
    step: u32,
    /// Slots for what is made of them.
    nodes: Option<Sequence>,
}

/// The memory of one virtine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Memory {
    numbers: Numbers,
    pieces: Pieces,
    slots: Sequence,
    /// The next slot for a piece of untyped memory.
    next_piece: u32,
    passing: Passing,
    /// Pages that it may cost.
    quota: u32,
    /// Pages with numbers that are there; that calls may have written; that have a saved state.
    there: u128,
    written: u128,
    saved: u128,
    /// The slots of their frames, and of what is saved of them.
    frames: [u16; MAX_PAGES],
    copies: [u16; MAX_PAGES],
}

const fn bit(number: usize) -> u128 {
    1 << number
}

fn numbers(set: u128) -> impl Iterator<Item = usize> {
    (0..MAX_PAGES).filter(move |number| set & bit(*number) != 0)
}

impl Memory {
    /// Composes a virtine: its pages, and an execution without registers.
    ///
    /// After an error no node of it is left.
    ///
    /// # Errors
    /// [`Error::TableFull`] when the factory's root slots are used up; [`Error::Kernel`] when the kernel
    /// refused, as it does when the client has died meanwhile.
    pub fn compose<K: Kernel, P: Port>(
        tools: &mut Tools<'_, K, P>,
        images: &Images<'_>,
        image: &Image<'_>,
        shape: &Shape,
        created: &Created,
        plan: usize,
    ) -> Result<Self> {
        let mut memory = Self {
            numbers: shape.numbers,
            pieces: Pieces::default(),
            slots: Sequence::new(shape.parts_radix, created.payer),
            next_piece: created.first + created.pieces.len() as u32,
            passing: Passing::default(),
            quota: shape.quota,
            there: 0,
            written: 0,
            saved: 0,
            frames: [0; MAX_PAGES],
            copies: [0; MAX_PAGES],
        };
        memory.pieces.add(created);
        match memory.build(tools, images, image, shape, plan) {
            Ok(()) => Ok(memory),
            Err(error) => {
                let composing = tools.kernel.composing();
                memory
                    .slots
                    .give_back(tools.nodes, |place| composing.clear(place));
                Err(error)
            }
        }
    }

    fn builder<'b, K: Kernel, P>(
        &'b mut self,
        tools: &'b mut Tools<'_, K, P>,
    ) -> Builder<'b, K::Composing> {
        Builder {
            kernel: tools.kernel.composing(),
            nodes: tools.nodes,
            parts: tools.parts,
            pieces: &mut self.pieces,
            slots: &mut self.slots,
        }
    }

    /// Where slot `number` is.
    fn at<K, P>(&self, tools: &Tools<'_, K, P>, number: u16) -> At {
        self.slots.at(tools.nodes, tools.parts, number.into()).0
    }

    /// Maps what is in a slot, read-only: a copy of a frame that several have in common.
    fn map_copy<K: Kernel, P>(
        &mut self,
        tools: &mut Tools<'_, K, P>,
        of: At,
        address: u64,
    ) -> Result<u16> {
        let number = self.slots.take(1) as u16;
        let at = self.at(tools, number);
        let composing = tools.kernel.composing();
        composing.copy(of, at)?;
        composing.map_frame(at, tools.parts, address, false)?;
        Ok(number)
    }

    fn build<K: Kernel, P: Port>(
        &mut self,
        tools: &mut Tools<'_, K, P>,
        images: &Images<'_>,
        image: &Image<'_>,
        shape: &Shape,
        plan: usize,
    ) -> Result<()> {
        let program = &image.program;
        let mut builder = self.builder(tools);
        for _ in 0..shape.nodes {
            builder.add_node()?;
        }
        let parts = builder.parts;
        let levels: [(Object, &[u64]); 3] = [
            (Object::Pointers, &[0]),
            (Object::Directory, &[0]),
            (Object::Table, &shape.tables),
        ];
        for (object, addresses) in levels {
            let first = builder.make(object, addresses.len() as u32)?;
            for (number, address) in (first..).zip(addresses) {
                let at = builder.at(number);
                builder.kernel.map_table(at, object, parts, *address)?;
            }
        }
        let own = builder.make(Object::Frame, shape.filled + 1)? as u16;

        let mut next = own;
        let mut shared = 0;
        for segment in &program.segments {
            for page in 0..images.shared(segment) {
                let address = segment.start + page * PAGE;
                let frame = image.frame(shared).ok_or(Error::Kernel)?;
                shared += 1;
                if !segment.writable {
                    self.map_copy(tools, frame, address)?;
                    continue;
                }
                let number = self.numbers.of(program, address).ok_or(Error::Kernel)? as usize;
                let at = self.at(tools, next);
                let composing = tools.kernel.composing();
                composing.map_frame(at, parts, address, true)?;
                self.frames[number] = next;
                self.copies[number] = self.map_copy(tools, frame, address + SAVED)?;
                self.there |= bit(number);
                self.saved |= bit(number);
                next += 1;
            }
        }
        let buffer = self.at(tools, next);
        // The kernel writes to it whatever the rights of this mapping are.
        let composing = tools.kernel.composing();
        composing.map_frame(buffer, parts, BUFFER, false)?;
        self.frames[BUFFERS] = next;
        self.there |= bit(BUFFERS);
        self.map_copy(tools, tools.kernel.plan_frame(plan), PLAN)?;
        self.map_copy(tools, tools.kernel.trampoline_frame(), TRAMPOLINE)?;
        tools.kernel.composing().configure(
            parts,
            &Execution {
                cspace_radix: CSPACE_RADIX,
                buffer,
                buffer_address: BUFFER,
                composes: false,
                root_node: None,
            },
        )?;
        Ok(())
    }

    /// Writes to a plan what is to be done to each page that there can be.
    fn write(&self, plan: &mut Plan, program: &Program, put: impl Fn(usize) -> Put) {
        for (number, page) in plan.pages.iter_mut().enumerate() {
            *page = self.numbers.address(program, number) | put(number) as u64;
        }
    }

    /// The plan by which the image's variables get their first values: the pages to look at.
    pub fn plan_first(&self, plan: &mut Plan, program: &Program) -> u128 {
        self.plan_call(plan, program);
        self.saved
    }

    /// Makes the variables read-only that have their first values.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the virtine has died.
    pub fn filled<K: Kernel, P>(&mut self, tools: &mut Tools<'_, K, P>) -> Result<()> {
        self.protect(tools, self.saved)
    }

    fn protect<K: Kernel, P>(&mut self, tools: &mut Tools<'_, K, P>, pages: u128) -> Result<()> {
        for number in numbers(pages) {
            let at = self.at(tools, self.frames[number]);
            tools.kernel.protect(at, tools.parts, false)?;
        }
        self.written &= !pages;
        Ok(())
    }

    /// The image is prepared: makes room to save what it has written. Gives the pages to look at by a plan that
    /// [`plan_aside`](Self::plan_aside) writes.
    ///
    /// # Errors
    /// The manager's when there is no more memory; [`Error::OverBudget`] when it may not have more;
    /// [`Error::Kernel`] when the virtine has died.
    pub fn make_room<K: Kernel, P: Port>(
        &mut self,
        tools: &mut Tools<'_, K, P>,
        program: &Program,
    ) -> Result<u128> {
        let changed = self.changed();
        for number in numbers(changed) {
            if self.saved & bit(number) != 0 {
                let at = self.at(tools, self.copies[number]);
                tools.kernel.composing().delete(at);
            }
            let address = self.numbers.address(program, number) + SAVED;
            self.copies[number] = self.give(tools, address)?;
            self.saved |= bit(number);
        }
        Ok(changed)
    }

    /// Pages that were written and are worth saving.
    fn changed(&self) -> u128 {
        numbers(self.written)
            .filter(|number| self.numbers.is_saved(*number))
            .map(bit)
            .sum()
    }

    /// The plan by which pages are saved.
    pub fn plan_aside(&self, plan: &mut Plan, program: &Program) {
        self.write(plan, program, |_| Put::Aside);
    }

    /// What was to be saved is.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the virtine has died.
    pub fn aside<K: Kernel, P>(&mut self, tools: &mut Tools<'_, K, P>) -> Result<()> {
        let changed = self.changed();
        for number in numbers(changed) {
            let at = self.at(tools, self.copies[number]);
            tools.kernel.protect(at, tools.parts, false)?;
        }
        self.protect(tools, changed)
    }

    /// The plan of all calls.
    pub fn plan_call(&self, plan: &mut Plan, program: &Program) {
        self.write(plan, program, |number| {
            match self.saved & bit(number) != 0 {
                true => Put::Back,
                false => Put::Zero,
            }
        });
    }

    /// The pages that a call has to put back.
    pub const fn written(&self) -> u128 {
        self.written
    }

    /// The kernel is about to write to the IPC buffer.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the virtine has died.
    pub fn note_message<K: Kernel, P>(&mut self, tools: &mut Tools<'_, K, P>) -> Result<()> {
        self.allow(tools, BUFFERS)
    }

    /// Lets a page be written, which is put back from now on.
    fn allow<K: Kernel, P>(&mut self, tools: &mut Tools<'_, K, P>, number: usize) -> Result<()> {
        if self.written & bit(number) == 0 {
            let at = self.at(tools, self.frames[number]);
            tools.kernel.protect(at, tools.parts, true)?;
            self.written |= bit(number);
        }
        Ok(())
    }

    /// The virtine made a fault at an address. `prepares` is whether its image is still being prepared: then
    /// what it has is its own for good.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the virtine has died, or made the fault up.
    pub fn touch<K: Kernel, P: Port>(
        &mut self,
        tools: &mut Tools<'_, K, P>,
        program: &Program,
        address: u64,
        writes: bool,
        prepares: bool,
    ) -> Result<Touch> {
        let Some(number) = self.numbers.of(program, address) else {
            return Ok(Touch::Refused);
        };
        let page = address & !(PAGE - 1);
        if number >= MAX_PAGES as u64 {
            return match prepares {
                true => Ok(Touch::TooMuch),
                false => self.lend(tools, page),
            };
        }
        let number = number as usize;
        if self.there & bit(number) != 0 {
            // One that is writable already was made up by the virtine: it may try again.
            if !writes && self.written & bit(number) == 0 {
                return Ok(Touch::Refused);
            }
            self.allow(tools, number)?;
            return Ok(Touch::Given);
        }
        // One may be a table's, one a node's.
        if !prepares && self.pieces.left() < 3 {
            return self.lend(tools, page);
        }
        match self.give(tools, page) {
            Ok(slot) => self.frames[number] = slot,
            Err(Error::OverBudget | Error::NoMemory) => return Ok(Touch::TooMuch),
            Err(error) => return Err(error),
        }
        self.there |= bit(number);
        self.written |= bit(number);
        Ok(Touch::Given)
    }

    /// Gives it a page for good: the slot of its frame.
    fn give<K: Kernel, P: Port>(
        &mut self,
        tools: &mut Tools<'_, K, P>,
        address: u64,
    ) -> Result<u16> {
        while self.pieces.left() < 3 {
            let created = grow(tools, &mut self.next_piece, 16)?;
            self.pieces.add(&created);
        }
        let parts = tools.parts;
        let mut builder = self.builder(tools);
        map_new(&mut builder, parts, address).map(|number| number as u16)
    }

    /// Gives it a page for this call.
    fn lend<K: Kernel, P: Port>(
        &mut self,
        tools: &mut Tools<'_, K, P>,
        address: u64,
    ) -> Result<Touch> {
        let passing = &mut self.passing;
        if passing.left.left() < 3 {
            let step = match passing.step {
                // A quarter of what it may have at first, then half, then all.
                0 => (self.quota / 8).next_power_of_two().max(4),
                step => step,
            };
            let created = match grow(tools, &mut self.next_piece, step) {
                Ok(created) => created,
                Err(Error::OverBudget | Error::NoMemory) => return Ok(Touch::TooMuch),
                Err(error) => return Err(error),
            };
            passing.step = 2 * step;
            passing.whole.add(&created);
            passing.left.add(&created);
            for (slot, _) in (created.first..).zip(&created.pieces) {
                let _ = passing.slots.push(slot as u8);
            }
        }
        let parts = tools.parts;
        let payer = self.slots.payer();
        let slots = passing.nodes.get_or_insert_with(|| Sequence::new(3, payer));
        let mut builder = Builder {
            kernel: tools.kernel.composing(),
            nodes: tools.nodes,
            parts,
            pieces: &mut passing.left,
            slots,
        };
        map_new(&mut builder, parts, address)?;
        Ok(Touch::Given)
    }

    /// Takes back what was lent: at the end of a call.
    pub fn take_back<K: Kernel, P>(&mut self, tools: &mut Tools<'_, K, P>) {
        let passing = &mut self.passing;
        if passing.nodes.is_none() {
            return;
        }
        let node = tools.parts;
        let mut all = passing.slots.iter();
        // Refused only when the virtine has died: then there is nothing to take back.
        let taken = all.all(|index| {
            let index = (*index).into();
            tools.kernel.revoke(At { node, index }).is_ok()
        });
        if taken && let Some(slots) = passing.nodes.take() {
            // The nodes were made of the same memory.
            slots.give_back(tools.nodes, |_| ());
            passing.left = passing.whole.clone();
        }
    }

    /// The virtine is gone, with all that was made of its memory.
    pub fn gone(self, nodes: &mut Nodes) {
        self.slots.give_back(nodes, |_| ());
        if let Some(slots) = self.passing.nodes {
            slots.give_back(nodes, |_| ());
        }
    }
}

/// Has the manager give a virtine more memory, at most `pages` pages: fewer when it may not have as many.
fn grow<K, P: Port>(
    tools: &Tools<'_, K, P>,
    next_piece: &mut u32,
    mut pages: u32,
) -> Result<Created> {
    let room = (FIRST_UNTYPED + MAX_UNTYPED).saturating_sub(*next_piece);
    if room == 0 {
        return Err(Error::NoMemory);
    }
    loop {
        let grown = tools.manager.grow(&Grow {
            id: tools.id,
            pages,
            slot: *next_piece,
        });
        match grown {
            Err(Error::OverBudget | Error::NoMemory) if pages > 4 => pages /= 2,
            Ok(created) => {
                *next_piece += created.pieces.len() as u32;
                return Ok(created);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes a frame and maps it, writable, with the table that it may take: the number of its slot.
fn map_new<K: process_factory::kernel::Kernel>(
    builder: &mut Builder<'_, K>,
    parts: u32,
    address: u64,
) -> Result<u32> {
    let number = make(builder, Object::Frame)?;
    let at = builder.at(number);
    match builder.kernel.map_frame(at, parts, address, true) {
        Err(Refusal::Missing) => {
            let table = make(builder, Object::Table)?;
            let table = builder.at(table);
            let span = address & !(SPAN - 1);
            let mapped: Outcome = builder.kernel.map_table(table, Object::Table, parts, span);
            mapped?;
            builder.kernel.map_frame(at, parts, address, true)?;
        }
        mapped => mapped?,
    }
    Ok(number)
}

fn make<K: process_factory::kernel::Kernel>(
    builder: &mut Builder<'_, K>,
    object: Object,
) -> Result<u32> {
    if builder.slots.left() == 0 {
        builder.add_node()?;
    }
    builder.make(object, 1)
}

const _: () = assert!(MAX_PIECES <= MAX_UNTYPED as usize);
