// SPDX-License-Identifier: BSD-2-Clause
//! Second-stage translations: address spaces below an address space.
//!
//! Where the machine has them, an execution can be given a second translation of its memory. Its
//! tables, frames and whatever runs in it are made by the factory from the untyped memory that it
//! has, as all other tables are. Only the root is made here, since it needs an address space
//! identifier, and these are the manager's.

use xos_protocol::{Error, IcId, Result};

use crate::Manager;
use crate::arena::judge;
use crate::create::NO_ASID;
use crate::machine::{At, Kind, Machine, POOL, Rights};
use crate::pool::{self, Part};
use crate::table::Link;

impl Manager<'_> {
    /// The root of an IC's second-stage translation, into a slot of its parts node. An IC has one: asked
    /// again, the same goes into the slot.
    pub(crate) fn second_stage<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        id: IcId,
        slot: u64,
    ) -> Result<()> {
        let index = self.created_by(caller, id)?;
        if !M::SECOND_STAGE {
            return Err(Error::NotSupported);
        }
        let ic = &mut self.ics[index];
        if ic.host != Link::NONE {
            return Err(Error::BadState);
        }
        let radix = ic.parts_radix as u32;
        if slot >> radix != 0 {
            return Err(Error::BadSlot);
        }
        let root = pool::ic(index, Part::Node);
        if ic.stage_pool == NO_ASID {
            ic.arena.carve(
                m,
                &mut self.memory,
                &mut ic.account,
                Kind::SecondStage,
                At::whole(POOL),
                root,
                1,
                Error::Kernel,
            )?;
            match self.asids.assign(m, root) {
                Ok(asid_pool) => self.ics[index].stage_pool = asid_pool,
                Err(error) => {
                    // Its memory stays with the IC's arena; the slot is needed for the next attempt.
                    if let Err(refusal) = m.delete(At::pool(root)) {
                        m.defect("deleting a second-stage root", refusal);
                    }
                    return Err(error);
                }
            }
        }
        let node = pool::ic(index, Part::Parts);
        m.copy(
            At::pool(root),
            At::node(node, slot as u32, radix),
            Rights::All,
        )
        .map_err(|refusal| judge(m, "giving a second-stage root", refusal, Error::BadSlot))
    }
}
