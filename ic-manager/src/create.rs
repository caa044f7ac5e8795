// SPDX-License-Identifier: BSD-2-Clause
//! Creating ICs.
//!
//! Whatever fails on the way, the half-made IC is taken apart as any other is
//! (that works on what is not there yet, too), and nobody's budget or slots are
//! different from before.

use xos_protocol::manager::{Create, CreateWithin, Created, Grow, PAGE};
use xos_protocol::{Error, IcId, IcState, Result, Who, slots};

use crate::Manager;
use crate::arena::{bits_for, judge, pages_of, pieces};
use crate::ic::{self, Phase};
use crate::ledger::Cost;
use crate::machine::{At, Cap, Execution, Kind, Level, Machine, POOL, Rights, Root, Slot};
use crate::pool::{self, Part};
use crate::region::{FAN_OUT, radix_for};
use crate::session::badge;
use crate::table::Link;
use crate::untyped::MIN_BITS;

/// Untyped pieces that one request gives.
const PIECES: usize = xos_protocol::manager::MAX_PIECES;
/// Frames of an IC within another that have slots of their own; the page table has the last.
const FEW_FRAMES: u32 = pool::TABLES - 1;

/// Where the next object goes in a chunk, as the kernel does it.
struct Cursor(u64);

impl Cursor {
    fn put<M: Machine>(&mut self, kind: Kind, count: u32) -> &mut Self {
        let bits = M::bits(kind);
        self.0 = self.0.next_multiple_of(1 << bits) + ((count as u64) << bits);
        self
    }
}

/// Pages of a chunk and of the untyped pieces beside it.
fn total_pages(bits: u8, sizes: &[u8]) -> Result<u32> {
    sizes.iter().try_fold(pages_of(bits)?, |sum, bits| {
        sum.checked_add(pages_of(*bits)?).ok_or(Error::NoMemory)
    })
}

impl Manager<'_> {
    /// A new IC with an address space of its own.
    pub(crate) fn create<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        args: Create,
    ) -> Result<Created> {
        let payer = self.payer(caller, args.payer)?;
        // Who serves nothing under a name can be called neither by a handle nor by the IC itself.
        let endpoint = self.endpoint_of(caller).ok();
        let place = self.root_slot(caller, args.place)?;
        let handle = match args.handle {
            0 => None,
            slot => Some((
                endpoint.ok_or(Error::BadState)?,
                self.root_slot(payer, slot)?,
            )),
        };
        let mut end = Cursor(0);
        end.put::<M>(Kind::Node(args.parts_radix.max(args.cspace_radix) as u8), 1)
            .put::<M>(Kind::Node(args.parts_radix.min(args.cspace_radix) as u8), 1)
            .put::<M>(Kind::Execution, 1)
            .put::<M>(Kind::VSpace, 1);
        let bits = bits_for(end.0).max(MIN_BITS);
        let sizes = pieces::<PIECES>(args.memory);
        let total = total_pages(bits, &sizes)?;
        let quota = if args.quota == 0 { total } else { args.quota };
        if quota < total {
            return Err(Error::OverBudget);
        }
        let index = self.admit(
            caller,
            payer,
            None,
            Cost {
                pages: quota,
                units: args.ics,
            },
        )?;
        self.ics[index].parts_radix = args.parts_radix as u8;
        self.ics[index].cspace_radix = args.cspace_radix as u8;
        let outcome = (|| {
            self.own_objects(m, index, bits, &sizes)?;
            self.hand_over(m, index, place)?;
            if let Some((endpoint, handle)) = handle {
                self.name(m, index, Part::Handle, endpoint, handle, Who::Handle(index))?;
            }
            if let Some(endpoint) = endpoint {
                let to = self.root_slot(index, slots::ic::ITSELF)?;
                self.name(m, index, Part::Itself, endpoint, to, Who::Itself(index))?;
            }
            if args.session {
                let to = self.root_slot(index, slots::ic::MANAGER)?;
                self.name(
                    m,
                    index,
                    Part::Session,
                    self.endpoint,
                    to,
                    Who::Itself(index),
                )?;
            }
            Ok(())
        })();
        self.conclude(m, index, outcome, &sizes)
    }

    /// A new IC in the VSpace and CSpace of a client who consented.
    pub(crate) fn create_within<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        args: CreateWithin,
    ) -> Result<Created> {
        let (session, host) = self.client(caller, args.host)?;
        if !self.bonds[session].consent.within {
            return Err(Error::NoConsent);
        }
        if args.memory != 0 && args.parts_radix < 3 {
            return Err(Error::Malformed);
        }
        let endpoint = self.endpoint_of(caller)?;
        let place = self.root_slot(caller, args.place)?;
        let handle = self.root_slot(host, args.handle)?;
        let mut end = Cursor(0);
        if args.parts_radix != 0 {
            end.put::<M>(Kind::Node(args.parts_radix as u8), 1);
        }
        if args.pages > FEW_FRAMES {
            end.put::<M>(Kind::Node(radix_for(args.pages)), 1);
        }
        end.put::<M>(Kind::Frame, args.pages)
            .put::<M>(Kind::Table(Level::Frames), 1)
            .put::<M>(Kind::Execution, 1);
        let bits = bits_for(end.0);
        let sizes = pieces::<PIECES>(args.memory);
        let total = total_pages(bits, &sizes)?;
        let index = self.admit(caller, host, Some(host), Cost::pages(total))?;
        self.ics[index].parts_radix = args.parts_radix as u8;
        if args.runs {
            self.ics[index].state = IcState::Running;
        }
        let outcome = (|| {
            self.objects_within(m, index, &args, bits, &sizes)?;
            self.map_window(m, index, host, &args)?;
            self.hand_over(m, index, place)?;
            self.name(m, index, Part::Handle, endpoint, handle, Who::Handle(index))
        })();
        self.conclude(m, index, outcome, &sizes)
    }

    /// More untyped memory for an IC's arena.
    pub(crate) fn grow<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        args: Grow,
    ) -> Result<Created> {
        let index = self.created_by(caller, args.id)?;
        let radix = self.ics[index].parts_radix as u32;
        if radix == 0 || args.slot >> radix != 0 {
            return Err(Error::BadSlot);
        }
        let parts = At::whole(pool::ic(index, Part::Parts));
        let whole = MIN_BITS + bits_for(args.pages as u64);
        let ic = &mut self.ics[index];
        // What is left of the chunk that the small objects are in costs nothing more.
        if ic.arena.has_room(&self.memory, whole, 1) {
            ic.arena.carve(
                m,
                &mut self.memory,
                &mut ic.account,
                Kind::Untyped(whole),
                parts,
                args.slot,
                1,
                Error::BadSlot,
            )?;
            return Ok(self.created(index, args.slot, &[whole]));
        }
        let sizes = match ic.arena.chunks_left() {
            0 => return Err(Error::TableFull),
            1 => pieces::<1>(args.pages).into_iter().collect(),
            2 => pieces::<2>(args.pages).into_iter().collect(),
            3 => pieces::<3>(args.pages).into_iter().collect(),
            4 => pieces::<4>(args.pages).into_iter().collect(),
            _ => pieces::<PIECES>(args.pages),
        };
        if total_pages(0, &sizes)? - 1 > ic.account.left().pages {
            return Err(Error::OverBudget);
        }
        if args.slot + sizes.len() as u32 > 1 << radix {
            return Err(Error::BadSlot);
        }
        self.add_pieces(m, index, args.slot, &sizes)?;
        Ok(self.created(index, args.slot, &sizes))
    }

    /// An IC may cost more, if who created it pays for it too.
    pub(crate) fn raise(&mut self, caller: u32, id: IcId, pages: u64) -> Result<()> {
        let index = self.created_by(caller, id)?;
        if !self.ics[index].payer.is(caller) {
            return Err(Error::NotAllowed);
        }
        let more = Cost::pages(u32::try_from(pages).map_err(|_| Error::OverBudget)?);
        self.ics[caller].account.charge(more)?;
        self.ics[index].account.raise(more);
        Ok(())
    }

    /// A record for a new IC, in all lists that it belongs to, with its budget reserved.
    fn admit(&mut self, creator: u32, payer: u32, host: Option<u32>, quota: Cost) -> Result<u32> {
        // The creator pays for the record itself: it stays until the creator has read of its end.
        self.ics[creator].account.charge(Cost::UNIT)?;
        let account = match self.ics[payer].account.open(quota) {
            Ok(account) => account,
            Err(error) => {
                self.ics[creator].account.refund(Cost::UNIT);
                return Err(error);
            }
        };
        let Some(index) = self.ics.claim() else {
            self.ics[payer].account.close(account);
            self.ics[creator].account.refund(Cost::UNIT);
            return Err(Error::TableFull);
        };
        let serial = self.next_serial();
        let ic = &mut self.ics[index];
        ic.id = IcId::new(serial, index).unwrap_or(IcId::NONE);
        ic.phase = Phase::Alive;
        ic.creator = Link::to(creator);
        ic.payer = Link::to(payer);
        ic.account = account;
        ic.asid_pool = NO_ASID;
        ic.stage_pool = NO_ASID;
        let mut list = self.ics[creator].created;
        self.ics.append(ic::chain::CREATED, &mut list, index);
        self.ics[creator].created = list;
        let mut list = self.ics[payer].paid;
        self.ics.append(ic::chain::PAID, &mut list, index);
        self.ics[payer].paid = list;
        if let Some(host) = host {
            self.ics[index].host = Link::to(host);
            let mut list = self.ics[host].hosted;
            self.ics.append(ic::chain::HOSTED, &mut list, index);
            self.ics[host].hosted = list;
        }
        Ok(index)
    }

    /// Hands out a capability by which an IC is known. The badged endpoint in the pool may be there
    /// already, from an IC that had the same index.
    fn name<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        part: Part,
        endpoint: Slot,
        to: At,
        who: Who,
    ) -> Result<()> {
        let slot = pool::ic(index, part);
        let which = part as usize - Part::Handle as usize;
        let kept = self.ics[index].names[which];
        if kept != endpoint {
            if kept != 0 {
                self.delete(m, At::pool(slot));
                self.ics[index].names[which] = 0;
            }
            m.mint(At::pool(endpoint), At::pool(slot), Rights::All, badge(who))
                .map_err(|r| judge(m, "minting a name", r, Error::Kernel))?;
            if pool::lasts(endpoint) {
                self.ics[index].names[which] = endpoint;
            }
        }
        self.ics[index].minted |= 1 << part as u32;
        m.copy(At::pool(slot), to, Rights::Send)
            .map_err(|r| judge(m, "handing out a name", r, Error::BadSlot))
    }

    fn conclude<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        outcome: Result<()>,
        sizes: &[u8],
    ) -> Result<Created> {
        match outcome {
            Ok(()) => Ok(self.created(index, slots::parts::FIRST_UNTYPED, sizes)),
            Err(error) => {
                self.abandon(m, index);
                Err(error)
            }
        }
    }

    /// The objects of an IC with an address space of its own: in the arena's first chunk, the root of
    /// the address space last, so that revoking meets it first.
    fn own_objects<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        bits: u8,
        sizes: &[u8],
    ) -> Result<()> {
        let ic = &mut self.ics[index];
        let memory = &mut self.memory;
        let (arena, account) = (&mut ic.arena, &mut ic.account);
        arena.open_chunk(m, memory, account, bits)?;
        let mut make = |m: &mut M, kind, part, count| {
            let slot = pool::ic(index, part);
            arena.carve(
                m,
                memory,
                account,
                kind,
                At::whole(POOL),
                slot,
                count,
                Error::Kernel,
            )
        };
        let (parts, cspace) = (Kind::Node(ic.parts_radix), Kind::Node(ic.cspace_radix));
        if ic.parts_radix == ic.cspace_radix {
            make(m, parts, Part::CSpace, 2)?;
        } else if ic.parts_radix > ic.cspace_radix {
            make(m, parts, Part::Parts, 1)?;
            make(m, cspace, Part::CSpace, 1)?;
        } else {
            make(m, cspace, Part::CSpace, 1)?;
            make(m, parts, Part::Parts, 1)?;
        }
        make(m, Kind::Execution, Part::Execution, 1)?;
        make(m, Kind::VSpace, Part::VSpace, 1)?;
        let vspace = pool::ic(index, Part::VSpace);
        self.ics[index].asid_pool = self.asids.assign(m, vspace)?;
        self.add_pieces(m, index, slots::parts::FIRST_UNTYPED, sizes)
    }

    /// The objects of an IC within another: its page table after the frames, so that revoking meets it
    /// first and the frames need no unmapping; its execution, which is smaller, after both, since gaps for
    /// alignment cost as much as what is used.
    fn objects_within<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        args: &CreateWithin,
        bits: u8,
        sizes: &[u8],
    ) -> Result<()> {
        let ic = &mut self.ics[index];
        let memory = &mut self.memory;
        let (arena, account) = (&mut ic.arena, &mut ic.account);
        arena.open_chunk(m, memory, account, bits)?;
        let mut make = |m: &mut M, kind, node, first, count| {
            arena.carve(m, memory, account, kind, node, first, count, Error::Kernel)
        };
        let pool = At::whole(POOL);
        let part = |part| pool::ic(index, part);
        if ic.parts_radix != 0 {
            make(m, Kind::Node(ic.parts_radix), pool, part(Part::Parts), 1)?;
        }
        if args.pages <= FEW_FRAMES {
            make(m, Kind::Frame, pool, part(Part::Tables), args.pages)?;
        } else {
            make(
                m,
                Kind::Node(radix_for(args.pages)),
                pool,
                part(Part::Node),
                1,
            )?;
            for first in (0..args.pages).step_by(FAN_OUT as usize) {
                let count = (args.pages - first).min(FAN_OUT);
                make(m, Kind::Frame, At::whole(part(Part::Node)), first, count)?;
            }
        }
        let table = part(Part::Tables) + FEW_FRAMES;
        make(m, Kind::Table(Level::Frames), pool, table, 1)?;
        make(m, Kind::Execution, pool, part(Part::Execution), 1)?;
        self.add_pieces(m, index, slots::parts::FIRST_UNTYPED, sizes)
    }

    /// Maps the window of an IC within another, and has it execute there.
    fn map_window<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        host: u32,
        args: &CreateWithin,
    ) -> Result<()> {
        let table = Cap::Pool(pool::ic(index, Part::Tables) + FEW_FRAMES);
        let vspace = self.vspace(host);
        let root = Root::VSpace(vspace);
        self.map_below(
            m,
            (host, root),
            Level::Frames,
            args.window,
            |m, root, at| m.map_table(table, Level::Frames, root, at),
        )?;
        let few = args.pages <= FEW_FRAMES;
        if !few {
            m.show(At::pool(pool::ic(index, Part::Node)), radix_for(args.pages))
                .map_err(|r| judge(m, "showing frames", r, Error::Kernel))?;
        }
        let frame = |i| {
            if few {
                Cap::Pool(pool::ic(index, Part::Tables) + i)
            } else {
                Cap::Shown(i)
            }
        };
        let address = |i: u32| args.window + i as u64 * PAGE;
        let outcome = (|| {
            for i in 0..args.pages {
                m.map_frame(frame(i), root, address(i), true)
                    .map_err(|r| judge(m, "mapping a window", r, Error::BadAddress))?;
            }
            let last = args.pages - 1;
            let execution = Execution {
                cspace: self.cspace(host),
                guard: slots::root_guard(self.ics[host].cspace_radix as u32),
                vspace,
                fault: slots::leaf(args.handle),
                buffer: frame(last),
                buffer_address: address(last),
            };
            m.configure(pool::ic(index, Part::Execution), &execution)
                .map_err(|r| judge(m, "configuring an execution", r, Error::Kernel))
        })();
        if !few {
            m.hide();
        }
        outcome
    }

    /// Copies into the parts node what its factory needs, and places the node into the factory's CSpace.
    fn hand_over<M: Machine>(&mut self, m: &mut M, index: u32, place: At) -> Result<()> {
        let radix = self.ics[index].parts_radix as u32;
        let node = pool::ic(index, Part::Parts);
        if radix == 0 {
            let execution = At::pool(pool::ic(index, Part::Execution));
            return m
                .copy(execution, place, Rights::All)
                .map_err(|r| judge(m, "handing over an execution", r, Error::BadSlot));
        }
        let all = [
            (Part::Execution, slots::parts::EXECUTION),
            (Part::CSpace, slots::parts::CSPACE),
            (Part::VSpace, slots::parts::VSPACE),
        ];
        let own = self.ics[index].host == Link::NONE;
        for (part, to) in if own { &all[..] } else { &all[..1] } {
            m.copy(
                At::pool(pool::ic(index, *part)),
                At::node(node, *to, radix),
                Rights::All,
            )
            .map_err(|r| judge(m, "filling a parts node", r, Error::Kernel))?;
        }
        m.mint(At::pool(node), place, Rights::All, slots::node_guard(radix))
            .map_err(|r| judge(m, "placing a parts node", r, Error::BadSlot))
    }

    /// Chunks that the factory gets whole, each as one untyped in the parts node.
    fn add_pieces<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        first: u32,
        sizes: &[u8],
    ) -> Result<()> {
        let node = At::whole(pool::ic(index, Part::Parts));
        for (slot, bits) in (first..).zip(sizes) {
            let ic = &mut self.ics[index];
            let chunk = ic
                .arena
                .extend(m, &mut self.memory, &mut ic.account, *bits)?;
            let made = m.retype(self.memory.slot(chunk), Kind::Untyped(*bits), node, slot, 1);
            if let Err(refusal) = made {
                ic.arena.shrink(&mut self.memory, &mut ic.account);
                return Err(judge(m, "giving untyped memory", refusal, Error::BadSlot));
            }
        }
        Ok(())
    }

    /// What its creator is told of an IC and of what was made for it.
    fn created(&self, index: u32, first: u32, sizes: &[u8]) -> Created {
        let ic = &self.ics[index];
        Created {
            id: ic.id,
            first,
            // Only boot domains have none.
            payer: ic.payer.get().unwrap_or(0),
            pieces: sizes.iter().copied().collect(),
        }
    }
}

/// No ASID was assigned.
pub(crate) const NO_ASID: u8 = u8::MAX;
