// SPDX-License-Identifier: BSD-2-Clause
//! Kernel and manager, as far as the factory uses them, on the host: strict about everything that the real
//! ones are strict about.

use core::fmt;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use xos_client::{Answer, Port};
use xos_protocol::manager::{Create, Created, Event, Grow, Op, PAGE, Payer, RegionCreate, Share};
use xos_protocol::slots::parts::FIRST_UNTYPED;
use xos_protocol::wire::Words;
use xos_protocol::{Error, IcId, RegionId};

use crate::arena::NODE_SLOTS;
use crate::images::FILL_ADDRESS;
use crate::kernel::{At, Context, Execution, Kernel, Object, Outcome, Refusal, Registers};

const FRAMES_PER_NODE: u32 = 256;

/// Whose something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    Ic(IcId),
    Region(RegionId),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Untyped(u32),
    Frame { frame: usize, writable: bool },
    Table(Object),
}

#[derive(Clone, Copy, Debug)]
struct Cap {
    what: What,
    owner: Owner,
    /// In whose address space it is mapped, and where.
    mapped: Option<(u32, u64)>,
}

/// What was made of an untyped.
#[derive(Default, Debug)]
struct Made {
    pages: u32,
    nodes: Vec<u32>,
    caps: Vec<At>,
    frames: BTreeSet<usize>,
    tables: BTreeSet<(Object_, u64)>,
}

#[derive(Debug)]
struct Node {
    size: u32,
    owner: Owner,
}

/// An address space and the execution in it.
#[derive(Default, Debug)]
pub struct Space {
    tables: BTreeSet<(Object_, u64)>,
    /// Frame and whether it can be written, by address.
    pub pages: BTreeMap<u64, (usize, bool)>,
    pub execution: Option<Execution>,
    pub registers: Option<Registers>,
    /// What was set of it, and what it stands at.
    pub context: Option<Context>,
    pub running: bool,
}

/// An [`Object`] that can be sorted.
type Object_ = u8;

#[derive(Debug)]
struct Ic {
    place: u32,
    payer: u32,
    quota: u32,
    pages: u32,
}

/// All there is.
#[derive(Default)]
pub struct World {
    nodes: BTreeMap<u32, Node>,
    caps: BTreeMap<At, Cap>,
    frames: Vec<[u8; PAGE as usize]>,
    pub spaces: BTreeMap<u32, Space>,
    ics: BTreeMap<u32, (IcId, Ic)>,
    regions: BTreeMap<u32, (RegionId, Vec<usize>)>,
    filling: Option<RegionId>,
    events: VecDeque<Event>,
    serial: u64,
    /// Who is behind a session, if it is not the IC of its number.
    pub payers: BTreeMap<u32, u32>,
    /// What was made of each untyped, for `revoke`.
    made: BTreeMap<At, Made>,
    /// What the factory's own budget has left, in pages.
    pub budget: u32,
    /// Pages that a client has left.
    pub client: u32,
    /// Kernel entries.
    pub entries: u32,
    /// Refuse the invocation after so many more.
    pub refuse_after: Option<u32>,
    /// What `registers` gives.
    pub stopped_with: [u64; 3],
    /// Whether whoever faults is copying, and wants to know.
    pub lands: bool,
    /// What `refuse` was called with.
    pub refused: Vec<Error>,
    pub log: Vec<String>,
}

impl World {
    pub fn new() -> RefCell<Self> {
        RefCell::new(Self {
            budget: 1 << 20,
            client: 1 << 20,
            ..Self::default()
        })
    }

    /// The byte that a process sees.
    pub fn byte(&self, place: u32, address: u64) -> Option<u8> {
        let (frame, _) = self.spaces[&place].pages.get(&(address & !(PAGE - 1)))?;
        Some(self.frames[*frame][(address % PAGE) as usize])
    }

    pub fn set_byte(&mut self, place: u32, address: u64, byte: u8) {
        let (frame, writable) = self.spaces[&place].pages[&(address & !(PAGE - 1))];
        assert!(writable);
        self.frames[frame][(address % PAGE) as usize] = byte;
    }

    /// Root slots that hold something.
    pub fn places(&self) -> usize {
        self.nodes.len()
    }

    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    pub fn alive(&self) -> usize {
        self.ics.len()
    }

    pub fn regions(&self) -> usize {
        self.regions.len()
    }

    /// Pages of an IC's arena, and what it may have.
    pub fn arena(&self, id: IcId) -> (u32, u32) {
        let (_, ic) = &self.ics[&id.index()];
        (ic.pages, ic.quota)
    }

    /// Whether an address of a process can be written.
    pub fn is_writable(&self, place: u32, address: u64) -> Option<bool> {
        let (_, writable) = self.spaces[&place].pages.get(&(address & !(PAGE - 1)))?;
        Some(*writable)
    }

    /// Changes the rights of a mapped page (`seL4_X86_Page_Remap`).
    ///
    /// # Errors
    /// As the kernel's.
    pub fn protect(&mut self, at: At, place: u32, write: bool) -> Outcome {
        self.enter()?;
        let cap = *self.caps.get(&at).ok_or(Refusal::Other)?;
        let What::Frame { frame, writable } = cap.what else {
            return Err(Refusal::Other);
        };
        assert!(cap.mapped.is_some() && (writable || !write), "{at:?}");
        let space = self.spaces.get_mut(&place).ok_or(Refusal::Other)?;
        let page = space.pages.values_mut().find(|(f, _)| *f == frame);
        page.ok_or(Refusal::Other)?.1 = write;
        Ok(())
    }

    /// Ends all that was made of untyped memory (`seL4_CNode_Revoke`).
    ///
    /// # Errors
    /// As the kernel's.
    pub fn revoke(&mut self, untyped: At) -> Outcome {
        self.enter()?;
        let Some(Cap {
            what: What::Untyped(left),
            ..
        }) = self.caps.get_mut(&untyped)
        else {
            return Err(Refusal::Other);
        };
        let Some(made) = self.made.remove(&untyped) else {
            return Ok(());
        };
        *left += made.pages;
        for place in made.nodes {
            self.nodes.remove(&place);
            self.caps.retain(|at, _| at.node != place);
        }
        for at in made.caps {
            self.caps.remove(&at);
        }
        for space in self.spaces.values_mut() {
            space
                .pages
                .retain(|_, (frame, _)| !made.frames.contains(frame));
            // Tables that are gone take what is mapped in them along, which was made of the same memory.
            let gone = |table: &(Object_, u64)| made.tables.contains(table);
            space.tables.retain(|table| !gone(table));
        }
        Ok(())
    }

    /// An IC dies without anybody's asking.
    pub fn kill(&mut self, id: IcId) {
        self.destroy(id).unwrap();
        self.events.push_back(Event::Died(id));
    }

    fn enter(&mut self) -> Outcome {
        self.entries += 1;
        match &mut self.refuse_after {
            Some(0) => {
                self.refuse_after = None;
                Err(Refusal::Other)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn put(&mut self, at: At, cap: Cap) -> Outcome {
        let node = self.nodes.get(&at.node).ok_or(Refusal::Other)?;
        assert!(at.index < node.size, "{at:?} is beyond its node");
        assert!(self.caps.insert(at, cap).is_none(), "{at:?} is in use");
        Ok(())
    }

    fn new_frame(&mut self) -> usize {
        self.frames.push([0; PAGE as usize]);
        self.frames.len() - 1
    }

    fn take_from(&mut self, untyped: At, count: u32) -> Outcome<Owner> {
        let cap = self.caps.get_mut(&untyped).ok_or(Refusal::Other)?;
        let What::Untyped(left) = &mut cap.what else {
            return Err(Refusal::Other);
        };
        *left = left
            .checked_sub(count)
            .expect("more is made of an untyped than fits");
        let owner = cap.owner;
        self.made.entry(untyped).or_default().pages += count;
        Ok(owner)
    }

    fn drop_owner(&mut self, owner: Owner) {
        self.nodes.retain(|_, node| node.owner != owner);
        let gone: Vec<At> = self
            .caps
            .iter()
            .filter(|(at, cap)| cap.owner == owner || !self.nodes.contains_key(&at.node))
            .map(|(at, _)| *at)
            .collect();
        gone.into_iter().for_each(|at| self.delete(at));
    }

    /// A capability goes, and its mapping with it.
    fn delete(&mut self, at: At) {
        if let Some(Cap { mapped, .. }) = self.caps.remove(&at)
            && let Some((place, address)) = mapped
            && let Some(space) = self.spaces.get_mut(&place)
        {
            space.pages.remove(&address);
        }
    }

    // The manager.

    fn destroy(&mut self, id: IcId) -> Result<(), Error> {
        match self.ics.get(&id.index()) {
            Some((alive, _)) if *alive == id => {}
            _ => return Err(Error::Gone),
        }
        let (_, ic) = self.ics.remove(&id.index()).unwrap();
        self.client += ic.quota;
        self.spaces.remove(&ic.place);
        self.drop_owner(Owner::Ic(id));
        self.made.retain(|at, _| at.node != ic.place);
        Ok(())
    }

    fn pieces(&mut self, id: IcId, place: u32, slot: u32, pages: u32) -> Created {
        let (_, ic) = &self.ics[&id.index()];
        let payer = ic.payer;
        let mut left = pages;
        let mut pieces = heapless::Vec::new();
        while left != 0 {
            let bits = left.ilog2();
            let at = At {
                node: place,
                index: slot + pieces.len() as u32,
            };
            let cap = Cap {
                what: What::Untyped(1 << bits),
                owner: Owner::Ic(id),
                mapped: None,
            };
            self.put(at, cap).unwrap();
            pieces.push(12 + bits as u8).unwrap();
            left -= 1 << bits;
        }
        Created {
            id,
            first: slot,
            payer,
            pieces,
        }
    }

    fn answer(&mut self, op: Op, words: [u64; 4]) -> Result<Vec<u64>, Error> {
        self.entries += 1;
        let id = IcId::from_word(words[0]);
        match op {
            Op::Create => {
                let args = Create::from_words(words)?;
                let objects = (32u64 << args.parts_radix) + (32 << args.cspace_radix) + 2048 + PAGE;
                let pages = objects.div_ceil(PAGE).next_power_of_two() as u32 + args.memory;
                if pages > args.quota || args.quota > self.client {
                    return Err(Error::OverBudget);
                }
                assert!(!self.nodes.contains_key(&args.place), "the place is taken");
                self.client -= args.quota;
                self.serial += 1;
                let index = (1..).find(|i| !self.ics.contains_key(i)).unwrap();
                let id = IcId::new(self.serial, index).unwrap();
                let payer = match args.payer {
                    Payer::Myself => 0,
                    Payer::Client(session) => *self.payers.get(&session).unwrap_or(&session),
                    Payer::PayerOf(index) => self.ics[&index].1.payer,
                };
                let ic = Ic {
                    place: args.place,
                    payer,
                    quota: args.quota,
                    pages,
                };
                self.ics.insert(index, (id, ic));
                let node = Node {
                    size: 1 << args.parts_radix,
                    owner: Owner::Ic(id),
                };
                self.nodes.insert(args.place, node);
                self.spaces.insert(args.place, Space::default());
                Ok(self
                    .pieces(id, args.place, FIRST_UNTYPED, args.memory)
                    .words()
                    .to_vec())
            }
            Op::Grow => {
                let args = Grow::from_words(words)?;
                let (_, ic) = self.ics.get_mut(&args.id.index()).ok_or(Error::Gone)?;
                if ic.pages + args.pages > ic.quota {
                    return Err(Error::OverBudget);
                }
                ic.pages += args.pages;
                let place = ic.place;
                Ok(self
                    .pieces(args.id, place, args.slot, args.pages)
                    .words()
                    .to_vec())
            }
            Op::Destroy => self.destroy(id).map(|()| vec![1]),
            Op::Annotate | Op::Ended | Op::Suspend => {
                self.ics.get(&id.index()).ok_or(Error::Gone)?;
                Ok(Vec::new())
            }
            Op::Resume => {
                let (_, ic) = self.ics.get(&id.index()).ok_or(Error::Gone)?;
                self.spaces.get_mut(&ic.place).unwrap().running = true;
                Ok(Vec::new())
            }
            Op::NextEvent => Ok(self
                .events
                .pop_front()
                .unwrap_or(Event::None)
                .words()
                .to_vec()),
            Op::RegionCreate => {
                let args = RegionCreate::from_words(words)?;
                assert_eq!(args.payer, Payer::Myself);
                self.budget = self
                    .budget
                    .checked_sub(args.pages)
                    .ok_or(Error::OverBudget)?;
                self.serial += 1;
                let index = (0..).find(|i| !self.regions.contains_key(i)).unwrap();
                let id = RegionId::new(self.serial, index).unwrap();
                let owner = Owner::Region(id);
                let frames: Vec<usize> = (0..args.pages).map(|_| self.new_frame()).collect();
                for (i, frame) in (0..).zip(&frames) {
                    let node = args.place + i / FRAMES_PER_NODE;
                    let size = FRAMES_PER_NODE;
                    self.nodes.entry(node).or_insert(Node { size, owner });
                    let index = i % FRAMES_PER_NODE;
                    let what = What::Frame {
                        frame: *frame,
                        writable: true,
                    };
                    let mapped = None;
                    let cap = Cap {
                        what,
                        owner,
                        mapped,
                    };
                    self.put(At { node, index }, cap).unwrap();
                }
                self.regions.insert(index, (id, frames));
                Ok(vec![id.word()])
            }
            Op::Share => {
                let args = Share::from_words(words)?;
                assert_eq!(args.address, FILL_ADDRESS);
                assert_eq!(self.filling.replace(args.region), None);
                Ok(Vec::new())
            }
            Op::Unshare => {
                assert!(self.filling.take().is_some());
                Ok(Vec::new())
            }
            Op::RegionDestroy => {
                let id = RegionId::from_word(words[0]);
                let (_, frames) = self.regions.remove(&id.index()).ok_or(Error::Gone)?;
                let used = |space: &Space| space.pages.values().any(|(f, _)| frames.contains(f));
                assert!(!self.spaces.values().any(used), "the image is in use");
                self.budget += frames.len() as u32;
                self.drop_owner(Owner::Region(id));
                Ok(Vec::new())
            }
            _ => panic!("{op:?} is not modelled"),
        }
    }
}

/// A port to the world, and its kernel.
#[derive(Clone, Copy)]
pub struct Model<'w>(pub &'w RefCell<World>);

impl Port for Model<'_> {
    fn call(&self, label: u64, words: [u64; 4], _len: usize) -> Result<Answer, Error> {
        let told = self.0.borrow_mut().answer(Op::from_label(label)?, words)?;
        let mut words = [0; 4];
        words[..told.len()].copy_from_slice(&told);
        let len = told.len();
        Ok(Answer { words, len })
    }

    fn exchange(&self, _: u64, _: &mut Words, _: usize) -> Result<usize, Error> {
        panic!("nothing long is asked")
    }
}

const fn span(object: Object) -> u64 {
    match object {
        Object::Frame => PAGE,
        Object::Table => PAGE << 9,
        Object::Directory => PAGE << 18,
        Object::Pointers => PAGE << 27,
    }
}

fn key(object: Object, address: u64) -> (Object_, u64) {
    (object as Object_, address & !(span(object) - 1))
}

impl Model<'_> {
    fn map(&self, at: At, object: Object, parts: u32, address: u64, write: bool) -> Outcome {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        let space = world.spaces.get_mut(&parts).ok_or(Refusal::Other)?;
        assert!(address.is_multiple_of(span(object)) || object != Object::Frame);
        if let Some(above) = object.above()
            && !space.tables.contains(&key(above, address))
        {
            return Err(Refusal::Missing);
        }
        let cap = world.caps.get_mut(&at).ok_or(Refusal::Other)?;
        if cap.mapped.is_some() {
            return Err(Refusal::Other);
        }
        let new = match cap.what {
            What::Frame { frame, writable } => {
                assert_eq!(object, Object::Frame);
                assert!(
                    writable || !write,
                    "a frame is mapped with rights it has not"
                );
                match space.pages.contains_key(&address) {
                    true => false,
                    false => space.pages.insert(address, (frame, write)).is_none(),
                }
            }
            What::Table(kind) => {
                assert_eq!(object, kind);
                let of = world.made.values_mut().find(|made| made.caps.contains(&at));
                if let Some(made) = of {
                    made.tables.insert(key(object, address));
                }
                space.tables.insert(key(object, address))
            }
            What::Untyped(_) => return Err(Refusal::Other),
        };
        if !new {
            return Err(Refusal::Other);
        }
        cap.mapped = Some((parts, address));
        Ok(())
    }

    fn frame(&self, at: At) -> Outcome<(usize, bool)> {
        match self.0.borrow().caps.get(&at) {
            Some(Cap {
                what: What::Frame { frame, .. },
                mapped,
                ..
            }) => Ok((*frame, mapped.is_some())),
            _ => Err(Refusal::Other),
        }
    }
}

impl Kernel for Model<'_> {
    fn retype(
        &mut self,
        untyped: At,
        object: Object,
        node: u32,
        first: u32,
        count: u32,
    ) -> Outcome {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        assert!((1..=256).contains(&count));
        let owner = world.take_from(untyped, count)?;
        for index in first..first + count {
            let what = match object {
                Object::Frame => What::Frame {
                    frame: world.new_frame(),
                    writable: true,
                },
                table => What::Table(table),
            };
            let made = world.made.entry(untyped).or_default();
            made.caps.push(At { node, index });
            if let What::Frame { frame, .. } = what {
                made.frames.insert(frame);
            }
            let mapped = None;
            let cap = Cap {
                what,
                owner,
                mapped,
            };
            world.put(At { node, index }, cap)?;
        }
        Ok(())
    }

    fn make_node(&mut self, untyped: At, place: u32) -> Outcome {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        world.enter()?;
        let owner = world.take_from(untyped, 1)?;
        let size = NODE_SLOTS;
        let old = world.nodes.insert(place, Node { size, owner });
        assert!(old.is_none(), "the root slot is in use");
        world.made.entry(untyped).or_default().nodes.push(place);
        Ok(())
    }

    fn clear(&mut self, place: u32) {
        let world = &mut *self.0.borrow_mut();
        world.entries += 1;
        world.nodes.remove(&place);
        let gone: Vec<At> = world
            .caps
            .keys()
            .filter(|at| at.node == place)
            .copied()
            .collect();
        gone.into_iter().for_each(|at| world.delete(at));
    }

    fn delete(&mut self, at: At) {
        let world = &mut *self.0.borrow_mut();
        world.entries += 1;
        world.delete(at);
    }

    fn copy(&mut self, from: At, to: At) -> Outcome {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        let cap = *world.caps.get(&from).ok_or(Refusal::Other)?;
        let What::Frame { frame, .. } = cap.what else {
            return Err(Refusal::Other);
        };
        let what = What::Frame {
            frame,
            writable: false,
        };
        let mapped = None;
        world.put(
            to,
            Cap {
                what,
                mapped,
                ..cap
            },
        )
    }

    fn map_table(&mut self, table: At, object: Object, parts: u32, address: u64) -> Outcome {
        self.map(table, object, parts, address, true)
    }

    fn map_frame(&mut self, frame: At, parts: u32, address: u64, writable: bool) -> Outcome {
        self.map(frame, Object::Frame, parts, address, writable)
    }

    fn write(&mut self, frame: At, offset: usize, bytes: &[u8]) -> Outcome {
        let (frame, mapped) = self.frame(frame)?;
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        world.enter()?;
        assert!(!mapped, "a frame is mapped twice by one capability");
        world.frames[frame][offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, frame: At, offset: usize, bytes: &mut [u8]) -> Outcome {
        let (frame, _) = self.frame(frame)?;
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        bytes.copy_from_slice(&world.frames[frame][offset..offset + bytes.len()]);
        Ok(())
    }

    fn copy_frame(&mut self, from: At, to: At) -> Outcome {
        let ((from, _), (to, mapped)) = (self.frame(from)?, self.frame(to)?);
        let world = &mut *self.0.borrow_mut();
        (0..6).try_for_each(|_| world.enter())?;
        assert!(!mapped, "a frame is mapped twice by one capability");
        world.frames[to] = world.frames[from];
        Ok(())
    }

    fn configure(&mut self, parts: u32, execution: &Execution) -> Outcome {
        let (frame, _) = self.frame(execution.buffer)?;
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        let space = world.spaces.get_mut(&parts).ok_or(Refusal::Other)?;
        let mapped = space.pages.get(&execution.buffer_address);
        assert_eq!(mapped.map(|(frame, _)| *frame), Some(frame));
        space.execution = Some(*execution);
        Ok(())
    }

    fn set_registers(&mut self, parts: u32, registers: &Registers) -> Outcome {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        let space = world.spaces.get_mut(&parts).ok_or(Refusal::Other)?;
        assert!(space.execution.is_some());
        space.registers = Some(*registers);
        Ok(())
    }

    fn context(&mut self, parts: u32) -> Outcome<Context> {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        let space = world.spaces.get(&parts).ok_or(Refusal::Other)?;
        Ok(space.context.unwrap_or(Context([0; Context::REGISTERS])))
    }

    fn set_context(&mut self, parts: u32, context: &Context) -> Outcome {
        let world = &mut *self.0.borrow_mut();
        world.enter()?;
        let space = world.spaces.get_mut(&parts).ok_or(Refusal::Other)?;
        assert!(space.execution.is_some());
        space.context = Some(*context);
        Ok(())
    }

    fn registers(&mut self, _parts: u32) -> Outcome<[u64; 3]> {
        Ok(self.0.borrow().stopped_with)
    }

    fn refuse(&mut self, _parts: u32, error: Error) -> Outcome<bool> {
        self.0.borrow_mut().refused.push(error);
        Ok(true)
    }

    fn land(&mut self, _parts: u32) -> Outcome<bool> {
        Ok(self.0.borrow().lands)
    }

    fn fill(&mut self, address: u64, bytes: &[u8]) {
        let world = &mut *self.0.borrow_mut();
        let id = world.filling.expect("a region is mapped");
        let at = (address - FILL_ADDRESS) as usize;
        let page = PAGE as usize;
        assert!(at % page + bytes.len() <= page);
        let frame = world.regions[&id.index()].1[at / page];
        world.frames[frame][at % page..][..bytes.len()].copy_from_slice(bytes);
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.0.borrow_mut().log.push(line.to_string());
    }
}
