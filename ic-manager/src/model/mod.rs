// SPDX-License-Identifier: BSD-2-Clause
//! A model of the machine, on which the whole manager runs in tests.
//!
//! It keeps what the kernel keeps (slots, derivation, watermarks, tables) and
//! panics where the kernel could not, but the manager must never get: memory
//! that is reused while something in it is alive, an address space that still
//! reaches memory it lost, a reply made to run by somebody who is not alone
//! with it. Any invocation can be made to fail.

mod check;
pub mod kernel;
mod paging;

use std::collections::VecDeque;

use xos_protocol::supervisor::boot::{self, ManagerBoot};
use xos_protocol::supervisor::{BootDomain, BootUntyped};
use xos_protocol::wire::Words;
use xos_protocol::{Badge, Error, Name, Who, wire};

use crate::bond::Bond;
use crate::ic::Ic;
use crate::machine::{
    At, Cap, Execution, Kept, Kind, Level, Machine, Outcome, POOL, Refusal, Rights, Root, Slot,
    Step,
};
use crate::region::Region;
use crate::table::Record;
use crate::untyped::Block;
use crate::{Manager, Storage, pool};

use kernel::{Base, Cap as KernelCap, GRANT, Kernel, Object, READ, WRITE};

const POOL_BASE: Base = 0x100_0000;
const DOMAINS_BASE: Base = 0x200_0000;
const DOMAIN_SIZE: Base = 0x10_0000;
const MEMORY_BASE: Base = 0x1_0000_0000;

/// The machine.
pub struct Model {
    pub kernel: Kernel,
    shown: Option<KernelCap>,
    /// Invocations until one fails; counted down by all of them.
    pub fail_in: Option<u32>,
    /// Invocations so far.
    pub calls: u32,
    pub reaper: VecDeque<Step>,
    pub reaper_room: usize,
    pub answering: VecDeque<Slot>,
    /// Slots that executions were made to answer through.
    pub kept: Vec<Kept>,
    /// Executions and the notifications bound to them.
    pub bound: Vec<(Slot, Slot)>,
    pub crashes: VecDeque<u32>,
    pub disposed: Vec<u32>,
    pub defects: Vec<(&'static str, Refusal)>,
    pub powered_off: Option<u64>,
    total: u64,
}

/// A boot domain for a test.
pub struct Domain {
    pub name: &'static str,
    pub channel: Option<u8>,
    pub serves: bool,
}

/// The domains of most tests: two makers, a driver, the supervisor.
pub const DOMAINS: [Domain; 5] = [
    Domain {
        name: "ic_manager",
        channel: None,
        serves: true,
    },
    Domain {
        name: "driver",
        channel: Some(1),
        serves: true,
    },
    Domain {
        name: "one_factory",
        channel: Some(2),
        serves: true,
    },
    Domain {
        name: "two_factory",
        channel: Some(3),
        serves: true,
    },
    Domain {
        name: "monitor",
        channel: Some(0),
        serves: false,
    },
];
pub const DRIVER: u32 = 1;
pub const ONE: u32 = 2;
pub const TWO: u32 = 3;
pub const MONITOR: u32 = 4;

impl Model {
    /// A machine with the domains and untyped memory (sizes) that a boot leaves, and what the root
    /// task says about it.
    pub fn new(domains: &[Domain], untypeds: &[u8]) -> (Self, ManagerBoot) {
        let mut kernel = Kernel::new(true);
        kernel
            .objects
            .insert(POOL_BASE, Object::Node(Default::default()));
        let mut boot = ManagerBoot::default();
        let mut model = Self {
            kernel,
            shown: None,
            fail_in: None,
            calls: 0,
            reaper: VecDeque::new(),
            reaper_room: 200,
            answering: VecDeque::new(),
            kept: Vec::new(),
            bound: Vec::new(),
            crashes: VecDeque::new(),
            disposed: Vec::new(),
            defects: Vec::new(),
            powered_off: None,
            total: 0,
        };
        for (i, domain) in domains.iter().enumerate() {
            model.build_domain(i as u32, domain);
            let domain = BootDomain {
                name: Name::new(domain.name),
                pages: 40 + i as u32,
                channel: domain.channel,
                serves: domain.serves,
            };
            boot.domains.push(domain).unwrap();
        }
        let first = KernelCap::AsidPool {
            base: 0x10_0000,
            first: 0,
        };
        model.put(boot::ASID_POOL, first);
        let mut next = MEMORY_BASE;
        for (i, bits) in untypeds.iter().enumerate() {
            next = next.next_multiple_of(1 << bits);
            let cap = KernelCap::Untyped {
                base: next,
                bits: *bits,
                free: 0,
            };
            model.put(boot::FIRST_UNTYPED + i as u32, cap);
            let untyped = BootUntyped {
                paddr: next,
                size_bits: *bits,
                device: false,
            };
            boot.untypeds.push(untyped).unwrap();
            next += 1 << bits;
            model.total += 1 << bits;
        }
        (model, boot)
    }

    fn put(&mut self, slot: Slot, cap: KernelCap) {
        self.kernel.put((POOL_BASE, slot), cap, None);
    }

    fn build_domain(&mut self, i: u32, domain: &Domain) {
        let base = DOMAINS_BASE + i as Base * DOMAIN_SIZE;
        let mut parts = vec![
            (boot::DOMAIN_TCB, Kind::Execution),
            (boot::DOMAIN_CSPACE, Kind::Node(12)),
            (boot::DOMAIN_VSPACE, Kind::VSpace),
        ];
        if domain.serves {
            parts.push((boot::DOMAIN_ENDPOINT, Kind::Endpoint));
        }
        if domain.channel.is_some() {
            parts.push((boot::DOMAIN_NOTIFICATION, Kind::Notification));
        }
        for (part, kind) in parts {
            let base = base + part as Base * 0x2_0000;
            let (cap, object) = self.kernel.new_object(kind, base);
            self.kernel.objects.extend(object.map(|o| (base, o)));
            let cap = match cap {
                KernelCap::VSpace { base, .. } => {
                    let asid = 2 + i as u16;
                    self.kernel.asids[asid as usize] = Some(base);
                    KernelCap::VSpace {
                        base,
                        asid: Some(asid),
                    }
                }
                KernelCap::Notification { base, .. } => KernelCap::Notification {
                    base,
                    badge: 1,
                    rights: WRITE,
                },
                other => other,
            };
            self.put(i * boot::DOMAIN_SLOTS + part, cap);
        }
    }

    fn slot(&self, at: At) -> Result<(Base, u32), Refusal> {
        let root = self.root(at.root)?;
        self.kernel.resolve(root, at.index, at.depth)
    }

    fn root(&self, root: Slot) -> Result<KernelCap, Refusal> {
        if root == POOL {
            return Ok(KernelCap::Node {
                base: POOL_BASE,
                radix: pool::RADIX as u8,
                guard: 0,
            });
        }
        self.pool(root).ok_or(Refusal::Missing)
    }

    /// What lies in a pool slot.
    pub fn pool(&self, slot: Slot) -> Option<KernelCap> {
        self.kernel.cap((POOL_BASE, slot))
    }

    fn seen(&self, cap: Cap) -> Result<(Base, u32), Refusal> {
        match (cap, self.shown) {
            (Cap::Pool(slot), _) => Ok((POOL_BASE, slot)),
            (Cap::Shown(i), Some(KernelCap::Node { base, .. })) => Ok((base, i)),
            _ => Err(Refusal::Missing),
        }
    }

    fn step(&mut self) -> Outcome {
        self.calls += 1;
        match &mut self.fail_in {
            Some(0) => {
                self.fail_in = None;
                Err(Refusal::Other(99))
            }
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn notify(&mut self, slot: Slot) {
        if let Some(KernelCap::Notification {
            base,
            badge,
            rights,
        }) = self.pool(slot)
            && rights & WRITE != 0
            && let Some(Object::Notification(word)) = self.kernel.objects.get_mut(&base)
        {
            *word |= badge;
        }
    }

    /// Reads and clears the word of the notification behind a pool slot.
    pub fn notified(&mut self, slot: Slot) -> u64 {
        let Some(KernelCap::Notification { base, .. }) = self.pool(slot) else {
            return 0;
        };
        match self.kernel.objects.get_mut(&base) {
            Some(Object::Notification(word)) => core::mem::take(word),
            _ => 0,
        }
    }
}

fn slot_of(root: Root) -> Slot {
    match root {
        Root::VSpace(slot) | Root::SecondStage(slot) => slot,
    }
}

fn bits(rights: Rights) -> u8 {
    match rights {
        Rights::All => READ | WRITE | GRANT,
        Rights::Send => WRITE | GRANT,
        Rights::Read => READ,
    }
}

impl Machine for Model {
    const SECOND_STAGE: bool = true;

    fn bits(kind: Kind) -> u8 {
        Kernel::size(kind)
    }

    fn retype(&mut self, untyped: Slot, kind: Kind, node: At, first: u32, count: u32) -> Outcome {
        self.step()?;
        let node = match node.depth {
            0 => self.root(node.root)?,
            _ => self.kernel.cap(self.slot(node)?).ok_or(Refusal::Missing)?,
        };
        self.kernel
            .retype((POOL_BASE, untyped), kind, node, first, count)
    }

    fn copy(&mut self, from: At, to: At, rights: Rights) -> Outcome {
        self.step()?;
        let (from, to) = (self.slot(from)?, self.slot(to)?);
        self.kernel.copy(from, to, bits(rights), None)
    }

    fn mint(&mut self, from: At, to: At, rights: Rights, data: u64) -> Outcome {
        self.step()?;
        let (from, to) = (self.slot(from)?, self.slot(to)?);
        self.kernel.copy(from, to, bits(rights), Some(data))
    }

    fn delete(&mut self, at: At) -> Outcome {
        self.step()?;
        let slot = self.slot(at)?;
        self.kernel.delete(slot);
        Ok(())
    }

    fn revoke(&mut self, slot: Slot) -> Outcome {
        self.step()?;
        self.kernel.revoke((POOL_BASE, slot));
        Ok(())
    }

    fn cancel_badged_sends(&mut self, slot: Slot) -> Outcome {
        self.step()?;
        self.kernel.cancel_badged_sends((POOL_BASE, slot))
    }

    fn suspend(&mut self, tcb: Slot) -> Outcome {
        self.step()?;
        self.run(tcb, false)
    }

    fn resume(&mut self, tcb: Slot) -> Outcome {
        self.step()?;
        self.run(tcb, true)
    }

    fn configure(&mut self, tcb: Slot, execution: &Execution) -> Outcome {
        self.step()?;
        let Some(KernelCap::Tcb { base }) = self.pool(tcb) else {
            return Err(Refusal::Missing);
        };
        let buffer = self.seen(execution.buffer)?;
        for (i, from) in [
            (0, (POOL_BASE, execution.cspace)),
            (1, (POOL_BASE, execution.vspace)),
            (2, buffer),
        ] {
            self.kernel.delete((base, i));
            self.kernel.copy(from, (base, i), kernel::ALL, None)?;
        }
        Ok(())
    }

    fn crash(&mut self, tcb: Slot) -> Outcome {
        self.step()?;
        self.pool(tcb).ok_or(Refusal::Missing)?;
        self.crashes.push_back(tcb / boot::DOMAIN_SLOTS);
        Ok(())
    }

    fn answer_caller(&mut self, tcb: Slot) -> Outcome {
        self.step()?;
        let cap = self.pool(tcb).ok_or(Refusal::Missing)?;
        let holders = self.kernel.all().filter(|c| c.cap == cap).count();
        assert_eq!(
            holders, 1,
            "somebody else holds an execution that runs for the manager"
        );
        self.answering.push_back(tcb);
        Ok(())
    }

    fn answer_kept(&mut self, tcb: Slot, kept: &Kept) -> Outcome {
        let cap = self.pool(kept.cspace).ok_or(Refusal::Missing)?;
        let holders = self.kernel.all().filter(|c| c.cap == cap).count();
        assert_eq!(holders, 1, "somebody else can change what it answers with");
        self.answer_caller(tcb)?;
        self.kept.push(*kept);
        Ok(())
    }

    fn bind(&mut self, tcb: Slot, notification: Slot) -> Outcome {
        self.step()?;
        if self.bound.iter().any(|(bound, _)| *bound == tcb) {
            return Err(Refusal::Other(2));
        }
        self.bound.push((tcb, notification));
        Ok(())
    }

    fn make_asid_pool(&mut self, untyped: Slot, to: Slot) -> Outcome {
        self.step()?;
        let id = self
            .kernel
            .at((POOL_BASE, untyped))
            .ok_or(Refusal::Missing)?;
        let Some(KernelCap::Untyped { base, bits: 12, .. }) = self.pool(untyped) else {
            return Err(Refusal::Other(2));
        };
        let first = self.kernel.pools * 512;
        self.kernel.pools += 1;
        self.kernel.objects.insert(base, Object::Pool);
        self.kernel.put(
            (POOL_BASE, to),
            KernelCap::AsidPool { base, first },
            Some(id),
        );
        Ok(())
    }

    fn assign_asid(&mut self, pool: Slot, vspace: Slot) -> Outcome {
        self.step()?;
        let Some(KernelCap::AsidPool { first, .. }) = self.pool(pool) else {
            return Err(Refusal::Missing);
        };
        let id = self
            .kernel
            .at((POOL_BASE, vspace))
            .ok_or(Refusal::Missing)?;
        let Some(KernelCap::VSpace { base, asid: None }) = self.pool(vspace) else {
            return Err(Refusal::Other(2));
        };
        // The kernel takes the lowest: reuse at once, as hostile as it gets.
        let asid = (first.max(1)..first + 512)
            .find(|a| self.kernel.asids[*a as usize].is_none())
            .ok_or(Refusal::Occupied)?;
        self.kernel.asids[asid as usize] = Some(base);
        self.kernel.cte_mut(id).cap = KernelCap::VSpace {
            base,
            asid: Some(asid),
        };
        Ok(())
    }

    fn map_table(&mut self, table: Cap, level: Level, root: Root, address: u64) -> Outcome {
        self.step()?;
        let slot = self.seen(table)?;
        let Some(KernelCap::Table {
            level: real, stage, ..
        }) = self.kernel.cap(slot)
        else {
            return Err(Refusal::Other(2));
        };
        assert_eq!((real, stage), (level, matches!(root, Root::SecondStage(_))));
        let root = self.pool(slot_of(root)).ok_or(Refusal::Other(2))?;
        self.kernel.map_table(slot, root, address)
    }

    fn map_frame(&mut self, frame: Cap, root: Root, address: u64, _writable: bool) -> Outcome {
        self.step()?;
        let slot = self.seen(frame)?;
        let root = self.pool(slot_of(root)).ok_or(Refusal::Other(2))?;
        self.kernel.map_frame(slot, root, address)
    }

    fn unmap_frame(&mut self, frame: Cap) {
        if let Ok(slot) = self.seen(frame)
            && let Some(id) = self.kernel.at(slot)
            && let Some(KernelCap::Frame {
                base,
                bits,
                writable,
                mapped: Some((asid, address)),
            }) = self.kernel.cap(slot)
        {
            self.kernel.unmap_frame(asid, address, base, bits);
            self.kernel.cte_mut(id).cap = KernelCap::Frame {
                base,
                bits,
                writable,
                mapped: None,
            };
        }
    }

    fn show(&mut self, node: At, radix: u8) -> Outcome {
        self.step()?;
        let cap = self.kernel.cap(self.slot(node)?).ok_or(Refusal::Missing)?;
        match cap {
            KernelCap::Node { radix: real, .. } => assert_eq!(real, radix),
            _ => return Err(Refusal::Missing),
        }
        self.shown = Some(cap);
        Ok(())
    }

    fn hide(&mut self) {
        self.shown = None;
    }

    fn signal(&mut self, slot: Slot) {
        self.notify(slot);
    }

    fn reap(&mut self, steps: &[Step]) -> bool {
        if self.reaper.len() + steps.len() > self.reaper_room {
            return false;
        }
        self.reaper.extend(steps);
        true
    }

    fn next_crash(&mut self) -> Option<u32> {
        self.crashes.pop_front()
    }

    fn disposed(&mut self, domain: u32) {
        self.disposed.push(domain);
    }

    fn power_off(&mut self, code: u64) {
        self.powered_off = Some(code);
    }

    fn defect(&mut self, what: &'static str, refusal: Refusal) {
        self.defects.push((what, refusal));
    }
}

impl Model {
    fn run(&mut self, tcb: Slot, run: bool) -> Outcome {
        let Some(KernelCap::Tcb { base }) = self.pool(tcb) else {
            return Err(Refusal::Missing);
        };
        if let Some(Object::Tcb { runs, .. }) = self.kernel.objects.get_mut(&base) {
            *runs = run;
        }
        Ok(())
    }
}

/// A manager and the machine under it.
pub struct World {
    pub m: Model,
    pub manager: Manager<'static>,
    pub words: Box<Words>,
}

fn rows<T: Record>(count: usize) -> &'static mut [T] {
    Box::leak(vec![T::VACANT; count].into_boxed_slice())
}

impl World {
    /// The usual domains and 32 MiB, with tables that hold enough for most tests.
    pub fn new() -> Self {
        Self::with(&DOMAINS, &[24, 23, 23], [64, 32, 512, 2048])
    }

    /// Domains, untypeds, and the sizes of the tables (ICs, regions, bonds, blocks beyond the roots).
    pub fn with(domains: &[Domain], untypeds: &[u8], sizes: [usize; 4]) -> Self {
        let (mut m, boot) = Model::new(domains, untypeds);
        let mut manager = Manager::new(Storage {
            ics: rows::<Ic>(sizes[0]),
            regions: rows::<Region>(sizes[1]),
            bonds: rows::<Bond>(sizes[2]),
            blocks: rows::<Block>(boot::MAX_UNTYPEDS + sizes[3]),
        });
        manager.start(&mut m, &boot).unwrap();
        Self {
            m,
            manager,
            words: Box::new([0; wire::MAX_WORDS]),
        }
    }

    /// A request of an IC.
    pub fn ask(&mut self, caller: u32, label: u64, words: [u64; 4]) -> Result<Vec<u64>, Error> {
        let who = match DOMAINS.get(caller as usize) {
            Some(domain) => Who::Channel(domain.channel.unwrap()),
            None => Who::Itself(caller),
        };
        self.ask_as(Badge::new(who).unwrap().word(), label, 4, words)
    }

    /// A request with any badge.
    pub fn ask_as(
        &mut self,
        badge: u64,
        label: u64,
        length: usize,
        words: [u64; 4],
    ) -> Result<Vec<u64>, Error> {
        let badge = Badge::from_word(badge);
        let reply = self
            .manager
            .serve(&mut self.m, badge, label, length, words, &mut self.words);
        Error::from_label(reply.label)?;
        let mut all = reply.registers.to_vec();
        all.extend(&self.words[4..reply.length.max(4)]);
        all.truncate(reply.length);
        Ok(all)
    }

    /// Lets the reaper take one step.
    pub fn reap_one(&mut self) -> bool {
        match self.m.reaper.pop_front() {
            None => return false,
            Some(Step::Revoke(slot)) => self.m.kernel.revoke((POOL_BASE, slot)),
            Some(Step::Delete(slot)) => self.m.kernel.delete((POOL_BASE, slot)),
            Some(Step::Clean(slot)) => {
                let Some(KernelCap::Untyped { base, bits, free }) = self.m.pool(slot) else {
                    panic!("cleaning what is no untyped memory");
                };
                let id = self.m.kernel.at((POOL_BASE, slot)).unwrap();
                self.m.kernel.zeroed += free;
                self.m.kernel.cte_mut(id).cap = KernelCap::Untyped {
                    base,
                    bits,
                    free: 0,
                };
            }
            Some(Step::Done(tag)) => self.manager.reaped(&mut self.m, tag),
        }
        true
    }

    /// Lets everything that goes on by itself come to its end.
    pub fn rest(&mut self) {
        loop {
            if self.m.answering.pop_front().is_some() {
                self.manager.answered(&mut self.m);
            } else if !self.reap_one() {
                return;
            }
        }
    }
}
