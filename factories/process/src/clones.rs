// SPDX-License-Identifier: BSD-2-Clause
//! Clones: processes that begin where another one stands, with its memory.
//!
//! The other one, the model, is frozen: it never runs again, so its memory is a snapshot. A clone maps none
//! of it at first. A page that it reads it borrows from the model, read-only; a page that it writes to it
//! gets a copy of. So a clone costs what it touches, whatever the size of the model.
//!
//! What a clone has for itself is what every process has: an arena, a CSpace with a session on the manager,
//! an execution. Of the model's capabilities it has none, and neither of its threads or of the regions that
//! were shared with it: they were granted to that one.
//!
//! A clone goes on with the system call in which the model stood, which it makes itself: where the model
//! asked for something, each clone asks for it with its own capabilities.
//!
//! What a clone has borrowed derives from the model's arena, so that it is gone with that: the kernel
//! unmaps it, before the memory is anybody else's. A clone that is still there then ends.

use xos_protocol::manager::Created;
use xos_protocol::{Error, Result};

use crate::arena::{NODE_SLOTS, Nodes, Sequence};
use crate::compose::{Builder, Made, Origin, Process};
use crate::images::Image;
use crate::kernel::{Context, Kernel, Object};
use crate::layout::Layout;
use crate::pages::Pages;

/// Radix of a clone's parts node: three paging structures, the IPC buffer, and the pages that it touches
/// first.
pub const PARTS_RADIX: u32 = 5;
/// Pages to have at once: for those four, and the first that are written to.
pub const MEMORY: u32 = 8;
/// Pages that a clone's parts and its first structures may cost more than its model's.
const MORE: u32 = 4;

/// Pages that a clone may cost: what its model may, and the slots for what it borrows.
///
/// # Errors
/// [`Error::OverBudget`] when that is more than can be counted.
pub fn quota(made: &Made, shared_pages: u64) -> Result<u32> {
    let slots = u64::from(made.quota) * 2 + shared_pages;
    let nodes = slots.div_ceil(NODE_SLOTS.into());
    let quota = u64::from(made.quota) + nodes + u64::from(MORE);
    u32::try_from(quota)
        .ok()
        .filter(|quota| *quota < 1 << 24)
        .ok_or(Error::OverBudget)
}

/// Tools for the making of clones.
pub struct Cloner<'c, 'a, K> {
    /// The kernel.
    pub kernel: &'c mut K,
    /// The factory's root slots.
    pub nodes: &'c mut Nodes,
    /// Where pages are.
    pub pages: &'c mut Pages<'a>,
    /// The image that model and clone are made of.
    pub image: &'c Image<'a>,
    /// Where everything lies.
    pub layout: &'c Layout,
}

impl<K: Kernel> Cloner<'_, '_, K> {
    /// Composes a clone in the parts node in root slot `parts`: all but the start.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refused, as it does when the model or the client has died
    /// meanwhile.
    pub fn compose(
        &mut self,
        made: Made,
        origin: Origin,
        context: &Context,
        parts: u32,
        created: &Created,
    ) -> Result<Process> {
        let slots = Sequence::new(PARTS_RADIX, created.payer);
        let mut clone = Process::new(parts, made, slots, 0);
        clone.pieces.add(created);
        let outcome = self.build(&mut clone, &origin, context);
        clone.model = Some(origin);
        if outcome.is_err() {
            self.pages.forget(parts);
        }
        outcome.map(|()| clone)
    }

    fn build(&mut self, clone: &mut Process, origin: &Origin, context: &Context) -> Result<()> {
        let parts = clone.parts;
        let address = self.layout.ipc_buffer;
        let mut builder = Builder {
            kernel: self.kernel,
            nodes: self.nodes,
            parts,
            pieces: &mut clone.pieces,
            slots: &mut clone.slots,
        };
        for object in [Object::Pointers, Object::Directory, Object::Table] {
            let number = builder.make(object, 1)?;
            let at = builder.at(number);
            builder.kernel.map_table(at, object, parts, address)?;
        }
        let number = builder.make(Object::Frame, 1)?;
        let buffer = builder.at(number);
        let root_node = match clone.made.needs_root_node() {
            true => Some(builder.piece(1)?.0),
            false => None,
        };

        let page = clone.page(self.layout, &self.image.program, address);
        let page = page.ok_or(Error::Kernel)?;
        let from = origin.frame(self.image, self.nodes, self.pages, page);
        self.kernel.copy_frame(from.ok_or(Error::Kernel)?, buffer)?;
        self.kernel.map_frame(buffer, parts, address, true)?;
        clone.near += 1;
        clone.forgotten |= !self.pages.enter(parts, page.0, buffer, false);
        let execution = clone.made.execution(buffer, self.layout, root_node);
        self.kernel.configure(parts, &execution)?;
        Ok(self.kernel.set_context(parts, context)?)
    }
}
