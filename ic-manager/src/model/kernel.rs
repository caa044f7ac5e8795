// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's capability system, as far as the manager uses it.
//!
//! Written from the behaviour of seL4 5.0.0 (`src/object/cnode.c`,
//! `untyped.c`, `objecttype.c`): the derivation list with its rules for who is
//! whose parent, watermarks of untyped memory, finality, guards.

use std::collections::{BTreeMap, HashMap};

use crate::machine::{Kind, Level, Refusal};

pub type Base = u64;
pub type CteId = usize;

pub const ALL: u8 = 7;
pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const GRANT: u8 = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cap {
    Untyped {
        base: Base,
        bits: u8,
        free: u64,
    },
    Node {
        base: Base,
        radix: u8,
        guard: u8,
    },
    Tcb {
        base: Base,
    },
    Endpoint {
        base: Base,
        badge: u64,
        rights: u8,
    },
    Notification {
        base: Base,
        badge: u64,
        rights: u8,
    },
    Frame {
        base: Base,
        bits: u8,
        writable: bool,
        mapped: Option<(u16, u64)>,
    },
    Table {
        base: Base,
        level: Level,
        /// Whether it is one of a second-stage translation.
        stage: bool,
        mapped: Option<(u16, u64)>,
    },
    VSpace {
        base: Base,
        asid: Option<u16>,
    },
    AsidPool {
        base: Base,
        first: u16,
    },
}

impl Cap {
    pub fn base(&self) -> Base {
        match *self {
            Cap::Untyped { base, .. }
            | Cap::Node { base, .. }
            | Cap::Tcb { base }
            | Cap::Endpoint { base, .. }
            | Cap::Notification { base, .. }
            | Cap::Frame { base, .. }
            | Cap::Table { base, .. }
            | Cap::VSpace { base, .. }
            | Cap::AsidPool { base, .. } => base,
        }
    }

    fn bits(&self) -> u8 {
        match *self {
            Cap::Untyped { bits, .. } | Cap::Frame { bits, .. } => bits,
            Cap::Node { radix, .. } => radix + 5,
            Cap::Tcb { .. } => 11,
            Cap::Endpoint { .. } => 4,
            Cap::Notification { .. } => 5,
            Cap::Table { .. } | Cap::VSpace { .. } | Cap::AsidPool { .. } => 12,
        }
    }

    fn same_kind(&self, other: &Cap) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
    }

    fn same_region(&self, other: &Cap) -> bool {
        match self {
            Cap::Untyped { base, bits, .. } => {
                let (a, b) = (*base, *base + (1 << bits) - 1);
                let (c, d) = (other.base(), other.base() + (1 << other.bits()) - 1);
                a <= c && d <= b
            }
            _ => self.same_kind(other) && self.base() == other.base(),
        }
    }

    fn same_object(&self, other: &Cap) -> bool {
        !matches!(self, Cap::Untyped { .. }) && self.same_region(other)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Cte {
    pub cap: Cap,
    pub home: (Base, u32),
    prev: Option<CteId>,
    next: Option<CteId>,
    revocable: bool,
    first_badged: bool,
}

/// What an object holds besides its existence.
#[derive(Debug)]
pub enum Object {
    Node(HashMap<u32, CteId>),
    /// Slots 0 to 2: CSpace, VSpace, IPC buffer.
    Tcb {
        slots: HashMap<u32, CteId>,
        runs: bool,
    },
    /// Badges of those who are queued to send.
    Endpoint(Vec<u64>),
    Notification(u64),
    Frame,
    /// What each entry points to, and whether as a frame.
    Paging(HashMap<u64, (Base, bool)>),
    Pool,
}

pub struct Kernel {
    ctes: Vec<Option<Cte>>,
    spare: Vec<CteId>,
    pub objects: BTreeMap<Base, Object>,
    pub asids: Vec<Option<Base>>,
    pub pools: u16,
    /// Whether deleting any capability of a frame unmaps it, or (as in 5.0.0 without our patch) the last.
    pub patched: bool,
    /// Bytes zeroed.
    pub zeroed: u64,
}

impl Kernel {
    pub fn new(patched: bool) -> Self {
        Self {
            ctes: Vec::new(),
            spare: Vec::new(),
            objects: BTreeMap::new(),
            asids: vec![None; 4096],
            pools: 1,
            patched,
            zeroed: 0,
        }
    }

    fn cte(&self, id: CteId) -> &Cte {
        self.ctes[id].as_ref().unwrap()
    }

    pub fn cte_mut(&mut self, id: CteId) -> &mut Cte {
        self.ctes[id].as_mut().unwrap()
    }

    pub fn all(&self) -> impl Iterator<Item = &Cte> {
        self.ctes.iter().flatten()
    }

    fn slots(&mut self, holder: Base) -> &mut HashMap<u32, CteId> {
        match self.objects.get_mut(&holder) {
            Some(Object::Node(slots) | Object::Tcb { slots, .. }) => slots,
            other => panic!("{holder:#x} has no slots: {other:?}"),
        }
    }

    pub fn at(&self, (holder, index): (Base, u32)) -> Option<CteId> {
        match self.objects.get(&holder) {
            Some(Object::Node(slots) | Object::Tcb { slots, .. }) => slots.get(&index).copied(),
            _ => None,
        }
    }

    pub fn cap(&self, slot: (Base, u32)) -> Option<Cap> {
        self.at(slot).map(|id| self.cte(id).cap)
    }

    /// Follows `depth` bits of `index` from a CNode (`resolveAddressBits`, all bits to be resolved).
    pub fn resolve(&self, root: Cap, index: u64, depth: u32) -> Result<(Base, u32), Refusal> {
        let (mut node, mut left) = (root, depth);
        loop {
            let Cap::Node { base, radix, guard } = node else {
                return Err(Refusal::Missing);
            };
            let (radix, guard) = (radix as u32, guard as u32);
            if radix + guard > left {
                return Err(Refusal::Missing);
            }
            if guard != 0 && index >> (left - guard) & ((1 << guard) - 1) != 0 {
                return Err(Refusal::Missing);
            }
            left -= radix + guard;
            let slot = (base, (index >> left) as u32 & ((1 << radix) - 1));
            if left == 0 {
                return Ok(slot);
            }
            node = self.cap(slot).ok_or(Refusal::Missing)?;
        }
    }

    fn insert(&mut self, slot: (Base, u32), cte: Cte) -> CteId {
        let id = self.spare.pop().unwrap_or_else(|| {
            self.ctes.push(None);
            self.ctes.len() - 1
        });
        if let Some(prev) = cte.prev {
            self.cte_mut(prev).next = Some(id);
        }
        if let Some(next) = cte.next {
            self.cte_mut(next).prev = Some(id);
        }
        self.ctes[id] = Some(Cte { home: slot, ..cte });
        assert!(
            self.slots(slot.0).insert(slot.1, id).is_none(),
            "slot in use"
        );
        id
    }

    /// A capability that derives from nothing, or from `parent` as its newest child.
    pub fn put(&mut self, slot: (Base, u32), cap: Cap, parent: Option<CteId>) -> CteId {
        let next = parent.and_then(|p| self.cte(p).next);
        let cte = Cte {
            cap,
            home: slot,
            prev: parent,
            next,
            revocable: true,
            first_badged: true,
        };
        self.insert(slot, cte)
    }

    pub fn is_parent(&self, a: CteId, b: CteId) -> bool {
        let (a, b) = (self.cte(a), self.cte(b));
        if !a.revocable || !a.cap.same_region(&b.cap) {
            return false;
        }
        match (a.cap, b.cap) {
            (Cap::Endpoint { badge: x, .. }, Cap::Endpoint { badge: y, .. })
            | (Cap::Notification { badge: x, .. }, Cap::Notification { badge: y, .. }) => {
                x == 0 || (x == y && !b.first_badged)
            }
            _ => true,
        }
    }

    pub fn childless(&self, id: CteId) -> bool {
        !self.has_children(id)
    }

    fn has_children(&self, id: CteId) -> bool {
        self.cte(id)
            .next
            .is_some_and(|next| self.is_parent(id, next))
    }

    pub fn copy(
        &mut self,
        from: (Base, u32),
        to: (Base, u32),
        rights: u8,
        data: Option<u64>,
    ) -> Result<(), Refusal> {
        if self.at(to).is_some() {
            return Err(Refusal::Occupied);
        }
        let source = self.at(from).ok_or(Refusal::Missing)?;
        let old = self.cte(source).cap;
        let cap = match old {
            Cap::Untyped { .. } if self.has_children(source) => return Err(Refusal::Other(9)),
            Cap::Untyped { base, bits, .. } => {
                self.cte_mut(source).cap = Cap::Untyped {
                    base,
                    bits,
                    free: 1 << bits,
                };
                old
            }
            Cap::Endpoint {
                base,
                badge,
                rights: had,
            } => {
                let badge = match data {
                    Some(_) if badge != 0 => return Err(Refusal::Other(3)),
                    Some(new) => new & ((1 << 28) - 1),
                    None => badge,
                };
                Cap::Endpoint {
                    base,
                    badge,
                    rights: had & rights,
                }
            }
            Cap::Notification {
                base,
                badge,
                rights: had,
            } => {
                let badge = match data {
                    Some(_) if badge != 0 => return Err(Refusal::Other(3)),
                    Some(new) => new & ((1 << 28) - 1),
                    None => badge,
                };
                Cap::Notification {
                    base,
                    badge,
                    rights: had & rights,
                }
            }
            Cap::Node { base, radix, guard } => {
                let guard = data.map_or(guard, |d| (d >> 2 & 63) as u8);
                Cap::Node { base, radix, guard }
            }
            Cap::Frame {
                base,
                bits,
                writable,
                ..
            } => Cap::Frame {
                base,
                bits,
                writable: writable && rights & WRITE != 0,
                mapped: None,
            },
            Cap::Table { mapped: None, .. } | Cap::VSpace { asid: None, .. } => {
                return Err(Refusal::Other(3));
            }
            other => other,
        };
        let revocable = match (old, cap) {
            (Cap::Endpoint { badge: a, .. }, Cap::Endpoint { badge: b, .. })
            | (Cap::Notification { badge: a, .. }, Cap::Notification { badge: b, .. }) => a != b,
            (Cap::Untyped { .. }, _) => true,
            _ => false,
        };
        let next = self.cte(source).next;
        let cte = Cte {
            cap,
            home: to,
            prev: Some(source),
            next,
            revocable,
            first_badged: revocable,
        };
        self.insert(to, cte);
        Ok(())
    }

    pub fn relocate(&mut self, from: (Base, u32), to: (Base, u32)) -> Result<(), Refusal> {
        if self.at(to).is_some() {
            return Err(Refusal::Occupied);
        }
        let id = self.at(from).ok_or(Refusal::Missing)?;
        self.slots(from.0).remove(&from.1);
        self.slots(to.0).insert(to.1, id);
        self.cte_mut(id).home = to;
        Ok(())
    }

    fn is_final(&self, id: CteId) -> bool {
        let cte = self.cte(id);
        let same =
            |other: Option<CteId>| other.is_some_and(|o| self.cte(o).cap.same_object(&cte.cap));
        !same(cte.prev) && !same(cte.next)
    }

    pub fn delete(&mut self, slot: (Base, u32)) {
        let Some(id) = self.at(slot) else { return };
        let last = self.is_final(id);
        let cte = *self.cte(id);
        self.slots(slot.0).remove(&slot.1);
        if let Some(prev) = cte.prev {
            self.cte_mut(prev).next = cte.next;
        }
        if let Some(next) = cte.next {
            let row = self.cte_mut(next);
            row.prev = cte.prev;
            row.first_badged |= cte.first_badged;
        }
        self.ctes[id] = None;
        self.spare.push(id);
        self.finalise(cte.cap, last);
    }

    fn finalise(&mut self, cap: Cap, last: bool) {
        match cap {
            Cap::Frame {
                base,
                bits,
                mapped: Some((asid, address)),
                ..
            } if last || self.patched => {
                self.unmap_frame(asid, address, base, bits);
            }
            Cap::Table {
                base,
                level,
                mapped: Some((asid, address)),
                ..
            } if last => {
                self.unmap_table(asid, address, base, level);
            }
            Cap::VSpace {
                base,
                asid: Some(asid),
            } if last && self.asids[asid as usize] == Some(base) => {
                self.asids[asid as usize] = None;
            }
            Cap::Node { base, .. } | Cap::Tcb { base } if last => {
                let mut indices: Vec<u32> = self.slots(base).keys().copied().collect();
                indices.sort_unstable();
                while let Some(index) = indices.pop() {
                    self.delete((base, index));
                }
            }
            _ => {}
        }
        if last && !matches!(cap, Cap::Untyped { .. }) {
            self.objects.remove(&cap.base());
        }
    }

    pub fn revoke(&mut self, slot: (Base, u32)) {
        let Some(id) = self.at(slot) else { return };
        while self.at(slot) == Some(id) {
            match self.cte(id).next {
                Some(next) if self.is_parent(id, next) => self.delete(self.cte(next).home),
                _ => return,
            }
        }
    }

    pub fn cancel_badged_sends(&mut self, slot: (Base, u32)) -> Result<(), Refusal> {
        let Some(Cap::Endpoint {
            base,
            badge,
            rights: ALL,
        }) = self.cap(slot)
        else {
            return Err(Refusal::Other(3));
        };
        if let Some(Object::Endpoint(queue)) = self.objects.get_mut(&base) {
            queue.retain(|b| badge == 0 || *b != badge);
        }
        Ok(())
    }

    pub fn size(kind: Kind) -> u8 {
        match kind {
            Kind::Untyped(bits) => bits,
            Kind::Node(radix) => radix + 5,
            Kind::Execution => 11,
            Kind::Endpoint => 4,
            Kind::Notification => 5,
            Kind::Frame
            | Kind::Table(_)
            | Kind::StageTable(_)
            | Kind::VSpace
            | Kind::SecondStage => 12,
            Kind::LargeFrame => 21,
        }
    }

    pub fn retype(
        &mut self,
        untyped: (Base, u32),
        kind: Kind,
        node: Cap,
        first: u32,
        count: u32,
    ) -> Result<(), Refusal> {
        let id = self.at(untyped).ok_or(Refusal::Missing)?;
        let Cap::Untyped { base, bits, free } = self.cte(id).cap else {
            return Err(Refusal::Other(3));
        };
        let Cap::Node {
            base: holder,
            radix,
            ..
        } = node
        else {
            return Err(Refusal::Missing);
        };
        if count == 0 || count > 256 || first as u64 + count as u64 > 1 << radix {
            return Err(Refusal::Other(4));
        }
        if (first..first + count).any(|i| self.at((holder, i)).is_some()) {
            return Err(Refusal::Occupied);
        }
        let reset = !self.has_children(id);
        let size = 1u64 << Self::size(kind);
        let used = if reset { 0 } else { free };
        let start = used.next_multiple_of(size);
        if start + size * count as u64 > 1 << bits {
            return Err(Refusal::Memory);
        }
        if reset {
            self.zeroed += free;
        }
        let end = start + size * count as u64;
        self.cte_mut(id).cap = Cap::Untyped {
            base,
            bits,
            free: end,
        };
        let overlap: Vec<_> = self
            .objects
            .range(base + start..base + end)
            .map(|o| o.0)
            .collect();
        assert!(overlap.is_empty(), "retype over live objects {overlap:x?}");
        for i in 0..count {
            let base = base + start + i as u64 * size;
            let (cap, object) = self.new_object(kind, base);
            if let Some(object) = object {
                self.objects.insert(base, object);
            }
            self.put((holder, first + i), cap, Some(id));
        }
        Ok(())
    }

    pub fn new_object(&self, kind: Kind, base: Base) -> (Cap, Option<Object>) {
        let rights = ALL;
        match kind {
            Kind::Untyped(bits) => (
                Cap::Untyped {
                    base,
                    bits,
                    free: 0,
                },
                None,
            ),
            Kind::Node(radix) => (
                Cap::Node {
                    base,
                    radix,
                    guard: 0,
                },
                Some(Object::Node(HashMap::new())),
            ),
            Kind::Execution => (
                Cap::Tcb { base },
                Some(Object::Tcb {
                    slots: HashMap::new(),
                    runs: false,
                }),
            ),
            Kind::Endpoint => (
                Cap::Endpoint {
                    base,
                    badge: 0,
                    rights,
                },
                Some(Object::Endpoint(Vec::new())),
            ),
            Kind::Notification => (
                Cap::Notification {
                    base,
                    badge: 0,
                    rights,
                },
                Some(Object::Notification(0)),
            ),
            Kind::Frame => (
                Cap::Frame {
                    base,
                    bits: 12,
                    writable: true,
                    mapped: None,
                },
                Some(Object::Frame),
            ),
            Kind::LargeFrame => (
                Cap::Frame {
                    base,
                    bits: 21,
                    writable: true,
                    mapped: None,
                },
                Some(Object::Frame),
            ),
            Kind::Table(level) | Kind::StageTable(level) => (
                Cap::Table {
                    base,
                    level,
                    stage: matches!(kind, Kind::StageTable(_)),
                    mapped: None,
                },
                Some(Object::Paging(HashMap::new())),
            ),
            Kind::VSpace | Kind::SecondStage => (
                Cap::VSpace { base, asid: None },
                Some(Object::Paging(HashMap::new())),
            ),
        }
    }
}
