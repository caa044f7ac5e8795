// SPDX-License-Identifier: BSD-2-Clause
//! Gives a running process the pages that it touches.

use xos_client::{Manager, Port};
use xos_protocol::manager::{Grow, PAGE};
use xos_protocol::{Error, IcId, Result};

use crate::arena::Nodes;
use crate::compose::{Builder, Process};
use crate::images::Image;
use crate::kernel::{At, Kernel, Object, Refusal};
use crate::layout::{Kind, Layout};
use crate::pages::{NEAR, Pages};

/// Least pages that an arena grows by.
const LEAST_STEP: u64 = 4;
/// Steps in which an arena can grow to all that may be touched: each is twice the one before. The manager
/// gives an arena 16 chunks; two were given at the start, and one holds the parts.
const STEPS: u32 = 8;

/// How a page was touched: bits of x86's page-fault error code (Intel SDM volume 3, section 4.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touch {
    /// There is a page, which cannot be used like this.
    present: bool,
    /// It was to be written to.
    write: bool,
}

impl Touch {
    /// What the error code says.
    pub const fn new(code: u64) -> Self {
        Self {
            present: code & 1 != 0,
            write: code & 2 != 0,
        }
    }
}

/// What it takes to give a process something.
pub struct Supply<'s, 'a, K, P> {
    pub id: IcId,
    pub image: &'s Image<'a>,
    pub layout: Layout,
    pub kernel: &'s mut K,
    pub nodes: &'s mut Nodes,
    pub pages: &'s mut Pages<'a>,
    pub manager: &'s Manager<P>,
    pub process: &'s mut Process,
}

impl<K: Kernel, P: Port> Supply<'_, '_, K, P> {
    /// Answers a touch of `address`.
    ///
    /// # Errors
    /// [`Error::BadAddress`] where the process may not do that.
    pub fn touched(&mut self, address: u64, touch: Touch) -> Result<()> {
        let page = self
            .process
            .page(&self.layout, &self.image.program, address);
        let (number, kind) = page.ok_or(Error::BadAddress)?;
        let page = address & !(PAGE - 1);
        if let Some(found) = self.pages.find(self.process.parts, number) {
            // It has all that it can have there. Another execution within it touched the page a moment before; or
            // the message is made up.
            if !found.shared {
                return Ok(());
            }
            return self.touched_again(page, (number, kind), found.at, touch);
        }
        if touch.present {
            return Err(Error::BadAddress);
        }
        match (self.original((number, kind)), kind) {
            (None, Kind::Lazy) => self.zero(page, number),
            (None, Kind::Shared(index)) if !touch.write => self.was_lost(index, page),
            (None, _) => Err(Error::BadAddress),
            (Some(from), Kind::Own(_) | Kind::Lazy) if touch.write => {
                let at = self.slot()?;
                self.copy(from, at, page)?;
                self.enter(number, at, false);
                Ok(())
            }
            (Some(from), _) => {
                let at = self.slot()?;
                self.borrow(from, at, page)?;
                self.enter(number, at, true);
                Ok(())
            }
        }
    }

    /// A page of somebody else's is mapped in it: it gets one of its own if it wants to write to it.
    ///
    /// If the page is not present, its mapping was lost: when the address space of a sibling comes to an
    /// end, the kernel may find this one under the same number, and unmap what the two have in common at the same
    /// place (`unmapPage` in the kernel's `vspace.c`). It is mapped again.
    fn touched_again(
        &mut self,
        page: u64,
        (number, kind): (u32, Kind),
        at: At,
        touch: Touch,
    ) -> Result<()> {
        let writable = !matches!(kind, Kind::Shared(_));
        if touch.present && !(touch.write && writable) {
            return Err(Error::BadAddress);
        }
        let from = self.original((number, kind)).ok_or(Error::Kernel)?;
        // Which unmaps it: the kernel puts no page in the place of another.
        self.kernel.delete(at);
        if touch.write && writable {
            self.copy(from, at, page)?;
            self.pages.make_private(self.process.parts, at);
            Ok(())
        } else {
            self.borrow(from, at, page)
        }
    }

    /// The same of a page of its image's, that it had from the start.
    fn was_lost(&mut self, index: u64, page: u64) -> Result<()> {
        let from = self.image.frame(index).ok_or(Error::Kernel)?;
        let info = self.process.made.info != 0;
        let own = self.layout.own_pages(&self.image.program, info);
        let number = u64::from(self.process.first_own) + own + index;
        let at = self.builder().at(number as u32);
        self.kernel.delete(at);
        self.borrow(from, at, page)
    }

    /// Where a page that the process does not have itself comes from.
    fn original(&self, page: (u32, Kind)) -> Option<At> {
        let model = self.process.model.as_ref()?;
        model.frame(self.image, self.nodes, self.pages, page)
    }

    /// Maps a fresh page.
    fn zero(&mut self, page: u64, number: u32) -> Result<()> {
        let at = self.slot()?;
        self.frame(at)?;
        self.map(at, page, true)?;
        self.enter(number, at, false);
        Ok(())
    }

    /// Maps a copy of a frame, made in the empty slot `at`.
    fn copy(&mut self, from: At, at: At, page: u64) -> Result<()> {
        self.frame(at)?;
        self.kernel.copy_frame(from, at)?;
        self.map(at, page, true)
    }

    /// Maps a frame of somebody else's, by a capability in the empty slot `at`.
    fn borrow(&mut self, from: At, at: At, page: u64) -> Result<()> {
        self.kernel.copy(from, at)?;
        self.map(at, page, false)
    }

    fn enter(&mut self, number: u32, at: At, shared: bool) {
        let known = self.pages.enter(self.process.parts, number, at, shared);
        self.process.forgotten |= !known;
    }

    /// Maps a frame, with the structures above it that are missing.
    fn map(&mut self, at: At, page: u64, writable: bool) -> Result<()> {
        match self
            .kernel
            .map_frame(at, self.process.parts, page, writable)
        {
            Err(Refusal::Missing) => {
                self.table(Object::Table, page)?;
                Ok(self
                    .kernel
                    .map_frame(at, self.process.parts, page, writable)?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Makes a paging structure and maps it, with those above it that are missing.
    fn table(&mut self, object: Object, address: u64) -> Result<()> {
        self.room()?;
        self.page()?;
        let number = self.builder().make(object, 1)?;
        let at = self.builder().at(number);
        let parts = self.process.parts;
        match (
            self.kernel.map_table(at, object, parts, address),
            object.above(),
        ) {
            (Err(Refusal::Missing), Some(above)) => {
                self.table(above, address)?;
                Ok(self.kernel.map_table(at, object, parts, address)?)
            }
            (outcome, _) => Ok(outcome?),
        }
    }

    /// An empty slot for a page.
    fn slot(&mut self) -> Result<At> {
        let slots = &mut self.process.slots;
        if usize::from(self.process.near) == NEAR {
            slots.leave_parts();
        }
        self.process.near += slots.is_in_parts() as u8;
        self.room()?;
        let number = self.process.slots.take(1);
        Ok(self.builder().at(number))
    }

    /// Makes a frame in an empty slot.
    fn frame(&mut self, at: At) -> Result<()> {
        self.page()?;
        let (untyped, _) = self.builder().piece(1)?;
        let retyped = self
            .kernel
            .retype(untyped, Object::Frame, at.node, at.index, 1);
        Ok(retyped?)
    }

    fn builder(&mut self) -> Builder<'_, K> {
        Builder {
            kernel: self.kernel,
            nodes: self.nodes,
            parts: self.process.parts,
            pieces: &mut self.process.pieces,
            slots: &mut self.process.slots,
        }
    }

    /// Sees to it that a slot is left.
    fn room(&mut self) -> Result<()> {
        if self.process.slots.left() != 0 {
            return Ok(());
        }
        self.page()?;
        self.builder().add_node()
    }

    /// Sees to it that a page of untyped memory is left.
    fn page(&mut self) -> Result<()> {
        if self.process.pieces.left() != 0 {
            return Ok(());
        }
        for index in self.process.pieces.retire() {
            // What was made of it stays: it derives from the arena as well.
            let node = self.process.parts;
            self.kernel.delete(At { node, index });
        }
        let (slot, _) = self.process.pieces.room().ok_or(Error::TableFull)?;
        let mut pages = step(self.most(), self.process.steps.into());
        loop {
            let grow = Grow {
                id: self.id,
                pages,
                slot,
            };
            match self.manager.grow(&grow) {
                Ok(created) => {
                    self.process.pieces.add(&created);
                    self.process.steps = self.process.steps.saturating_add(1);
                    return Ok(());
                }
                Err(Error::OverBudget | Error::NoMemory) if pages > 1 => pages /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Pages that may be touched in all: no more than there is budget for, however much there is room for.
    fn most(&self) -> u64 {
        let program = &self.image.program;
        let lazy = self.layout.lazy_pages(program);
        let most = match self.process.model {
            None => lazy,
            Some(_) => lazy + self.layout.own_pages(program, self.process.made.info != 0),
        };
        most.min(self.process.made.quota.into())
    }
}

/// Pages of step `step` of an arena's growth, when `most` pages may be touched in all.
fn step(most: u64, step: u32) -> u32 {
    let first = (most >> STEPS).next_power_of_two().max(LEAST_STEP);
    (first << step.min(STEPS)).min(1 << 16) as u32
}
