// SPDX-License-Identifier: BSD-2-Clause
//! The CSpace of the initial thread.

use core::marker::PhantomData;
use core::ops::Range;

use crate::{CPtr, CPtrBits, Cap, CapType, cap_type, sys};

/// A slot of the initial thread's root CNode.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash)]
pub struct Slot<T: CapType = cap_type::Unspecified> {
    index: usize,
    ty: PhantomData<T>,
}

impl<T: CapType> Slot<T> {
    /// The slot of that index.
    pub const fn from_index(index: usize) -> Self {
        Self {
            index,
            ty: PhantomData,
        }
    }

    /// The index.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The bits of the slot's capability pointer.
    pub const fn cptr_bits(&self) -> CPtrBits {
        self.index as CPtrBits
    }

    /// The slot's capability pointer.
    pub const fn cptr(&self) -> CPtr {
        CPtr::from_bits(self.cptr_bits())
    }

    /// The slot's capability.
    pub const fn cap(&self) -> Cap<T> {
        self.cptr().cast()
    }

    /// Says what type of capability the slot holds. Nothing is checked.
    pub const fn cast<T1: CapType>(&self) -> Slot<T1> {
        Slot::from_index(self.index)
    }

    /// The slot, of a capability of unspecified type.
    pub const fn upcast(&self) -> Slot {
        self.cast()
    }
}

impl Slot {
    /// Says what type of capability the slot holds. Nothing is checked.
    pub const fn downcast<T: CapType>(&self) -> Slot<T> {
        self.cast()
    }
}

/// Consecutive slots. Corresponds to `seL4_SlotRegion`.
#[derive(Debug, Clone, Eq, PartialEq)]
pub struct SlotRegion<T: CapType> {
    range: Range<usize>,
    ty: PhantomData<T>,
}

#[allow(clippy::len_without_is_empty)] // as upstream
impl<T: CapType> SlotRegion<T> {
    pub(crate) const fn from_sys(region: sys::seL4_SlotRegion) -> Self {
        Self {
            range: region.start as usize..region.end as usize,
            ty: PhantomData,
        }
    }

    /// The first slot's index.
    pub const fn start(&self) -> usize {
        self.range.start
    }

    /// The index after the last slot's.
    pub const fn end(&self) -> usize {
        self.range.end
    }

    /// The indices.
    pub const fn range(&self) -> Range<usize> {
        self.range.start..self.range.end
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// The slot at a position in the region.
    ///
    /// # Panics
    /// If the region is not that long.
    pub fn index(&self, i: usize) -> Slot<T> {
        assert!(i < self.len(), "slot {i} of a region of {}", self.len());
        Slot::from_index(self.range.start + i)
    }
}

/// Slots that the kernel fills, constants corresponding to `seL4_Cap*`.
pub mod slot {
    use super::Slot;
    use crate::{cap_type, sys};

    macro_rules! slots {
        ($($name:ident: $ty:ident = $sys:ident;)*) => {
            $(
                #[doc = concat!("Corresponds to `", stringify!($sys), "`.")]
                pub const $name: Slot<cap_type::$ty> = Slot::from_index(sys::$sys as usize);
            )*
        };
    }

    slots! {
        NULL: Null = seL4_CapNull;
        TCB: Tcb = seL4_CapInitThreadTCB;
        CNODE: CNode = seL4_CapInitThreadCNode;
        VSPACE: VSpace = seL4_CapInitThreadVSpace;
        IRQ_CONTROL: IrqControl = seL4_CapIRQControl;
        ASID_CONTROL: AsidControl = seL4_CapASIDControl;
        ASID_POOL: AsidPool = seL4_CapInitThreadASIDPool;
        IO_PORT: IOPort = seL4_CapIOPort;
        IO_PORT_CONTROL: IOPortControl = seL4_CapIOPort;
        BOOT_INFO_FRAME: Granule = seL4_CapBootInfoFrame;
        IPC_BUFFER: Granule = seL4_CapInitThreadIPCBuffer;
        DOMAIN_SET: DomainSet = seL4_CapDomain;
    }
}

/// Suspends the initial thread, for good.
#[cfg(feature = "state")]
pub fn suspend_self<T>() -> T {
    let result = slot::TCB.cap().tcb_suspend();
    unreachable!("suspending the initial thread returned: {result:?}")
}
