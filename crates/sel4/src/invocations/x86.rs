// SPDX-License-Identifier: BSD-2-Clause
//! Invocations of x86 objects: frames, translation tables, ASIDs, interrupts, I/O ports.

use crate::cap::{
    AsidControl, AsidPool, IOPort, IOPortControl, IrqControl, PDPT, PageDirectory, PageTable,
    UnspecifiedIntermediateTranslationTable, Untyped, VSpace,
};
use crate::init_thread::slot;
use crate::{
    AbsoluteCPtr, Cap, CapRights, CapTypeForFrameObject, Error, InvocationContext, Result,
    TranslationTableObjectType, VmAttributes, Word, cap_type,
};

impl<T: CapTypeForFrameObject, C: InvocationContext> Cap<T, C> {
    /// Corresponds to `seL4_X86_Page_Map`. Each capability to a frame is mapped once: in this
    /// kernel mapping it again fails, and [`frame_remap`](Self::frame_remap) changes its rights.
    pub fn frame_map(
        self,
        vspace: VSpace,
        vaddr: usize,
        rights: CapRights,
        attrs: VmAttributes,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_Page_Map(
                cptr.bits(),
                vspace.bits(),
                vaddr as Word,
                rights.into_inner(),
                attrs.into_inner(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_Page_Remap`: other rights or attributes for a frame that is mapped.
    /// **Extension.**
    pub fn frame_remap(self, vspace: VSpace, rights: CapRights, attrs: VmAttributes) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_Page_Remap(
                cptr.bits(),
                vspace.bits(),
                rights.into_inner(),
                attrs.into_inner(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_Page_Unmap`.
    pub fn frame_unmap(self) -> Result<()> {
        Error::wrap(
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_X86_Page_Unmap(cptr.bits())),
        )
    }

    /// Corresponds to `seL4_X86_Page_GetAddress`: the physical address.
    pub fn frame_get_address(self) -> Result<usize> {
        let ret = self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_Page_GetAddress(cptr.bits())
        });
        Error::or(ret.error, ret.paddr as usize)
    }
}

impl<C: InvocationContext> PDPT<C> {
    /// Corresponds to `seL4_X86_PDPT_Map`.
    pub fn pdpt_map(self, vspace: VSpace, vaddr: usize, attr: VmAttributes) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_PDPT_Map(
                cptr.bits(),
                vspace.bits(),
                vaddr as Word,
                attr.into_inner(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_PDPT_Unmap`. **Extension.**
    pub fn pdpt_unmap(self) -> Result<()> {
        Error::wrap(
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_X86_PDPT_Unmap(cptr.bits())),
        )
    }
}

impl<C: InvocationContext> PageDirectory<C> {
    /// Corresponds to `seL4_X86_PageDirectory_Map`.
    pub fn page_directory_map(
        self,
        vspace: VSpace,
        vaddr: usize,
        attr: VmAttributes,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_PageDirectory_Map(
                cptr.bits(),
                vspace.bits(),
                vaddr as Word,
                attr.into_inner(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_PageDirectory_Unmap`. **Extension.**
    pub fn page_directory_unmap(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_X86_PageDirectory_Unmap(cptr.bits())
        }))
    }
}

impl<C: InvocationContext> PageTable<C> {
    /// Corresponds to `seL4_X86_PageTable_Map`.
    pub fn page_table_map(self, vspace: VSpace, vaddr: usize, attr: VmAttributes) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_PageTable_Map(
                cptr.bits(),
                vspace.bits(),
                vaddr as Word,
                attr.into_inner(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_PageTable_Unmap`. **Extension.**
    pub fn page_table_unmap(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_PageTable_Unmap(cptr.bits())
        }))
    }
}

impl<C: InvocationContext> UnspecifiedIntermediateTranslationTable<C> {
    /// Maps a table of the given kind.
    ///
    /// # Panics
    /// If tables of that kind are not mapped into a VSpace.
    pub fn generic_intermediate_translation_table_map(
        self,
        ty: TranslationTableObjectType,
        vspace: VSpace,
        vaddr: usize,
        attr: VmAttributes,
    ) -> Result<()> {
        match ty {
            TranslationTableObjectType::PDPT => {
                self.cast::<cap_type::PDPT>().pdpt_map(vspace, vaddr, attr)
            }
            TranslationTableObjectType::PageDirectory => self
                .cast::<cap_type::PageDirectory>()
                .page_directory_map(vspace, vaddr, attr),
            TranslationTableObjectType::PageTable => self
                .cast::<cap_type::PageTable>()
                .page_table_map(vspace, vaddr, attr),
            _ => panic!("{ty:?} is not mapped into a VSpace"),
        }
    }
}

impl<C: InvocationContext> AsidControl<C> {
    /// Corresponds to `seL4_X86_ASIDControl_MakePool`.
    pub fn asid_control_make_pool(self, untyped: Untyped, dst: &AbsoluteCPtr) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_ASIDControl_MakePool(
                cptr.bits(),
                untyped.bits(),
                dst.root().bits(),
                dst.path().bits(),
                dst.path().depth_for_kernel(),
            )
        }))
    }
}

impl<C: InvocationContext> AsidPool<C> {
    /// Corresponds to `seL4_X86_ASIDPool_Assign`.
    pub fn asid_pool_assign(self, vspace: VSpace) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_X86_ASIDPool_Assign(cptr.bits(), vspace.bits())
        }))
    }
}

impl<C: InvocationContext> IrqControl<C> {
    /// Corresponds to `seL4_IRQControl_GetIOAPIC`.
    pub fn irq_control_get_ioapic(
        self,
        ioapic: Word,
        pin: Word,
        level: Word,
        polarity: Word,
        vector: Word,
        dst: &AbsoluteCPtr,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_IRQControl_GetIOAPIC(
                cptr.bits(),
                dst.root().bits(),
                dst.path().bits(),
                dst.path().depth() as Word,
                ioapic,
                pin,
                level,
                polarity,
                vector,
            )
        }))
    }

    /// Corresponds to `seL4_IRQControl_GetMSI`.
    pub fn irq_control_get_msi(
        self,
        pci_bus: Word,
        pci_dev: Word,
        pci_func: Word,
        handle: Word,
        vector: Word,
        dst: &AbsoluteCPtr,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_IRQControl_GetMSI(
                cptr.bits(),
                dst.root().bits(),
                dst.path().bits(),
                dst.path().depth() as Word,
                pci_bus,
                pci_dev,
                pci_func,
                handle,
                vector,
            )
        }))
    }
}

impl<C: InvocationContext> IOPortControl<C> {
    /// Corresponds to later kernels' `seL4_X86_IOPortControl_Issue`: a capability to the ports from
    /// `first_port` to `last_port` at `dst`.
    ///
    /// This kernel has one capability to all ports, and copies of it with a smaller range. So this
    /// works where that capability is in the initial thread's CSpace and that is the current one;
    /// anywhere else use [`narrowed`](IOPort::narrowed) with [`AbsoluteCPtr::mint`].
    pub fn ioport_control_issue(
        self,
        first_port: Word,
        last_port: Word,
        dst: &AbsoluteCPtr,
    ) -> Result<()> {
        let (Ok(first), Ok(last)) = (u16::try_from(first_port), u16::try_from(last_port)) else {
            return Err(Error::RangeError);
        };
        let all = crate::cap::CNode::from_cptr(slot::CNODE.cptr()).absolute_cptr(self.cptr());
        dst.with(self.into_invocation_context()).mint(
            &all,
            CapRights::all(),
            IOPort::<()>::narrowed(first, last),
        )
    }
}

macro_rules! ioport_methods {
    ($($bits:literal: $int:ty, $in:ident $sys_in:ident, $out:ident $sys_out:ident;)*) => {
        $(
            #[doc = concat!("Corresponds to `", stringify!($sys_in), "`. **Extension.**")]
            pub fn $in(self, port: u16) -> Result<$int> {
                let ret = self.invoke(|cptr, ipc_buffer| {
                    ipc_buffer.inner_mut().$sys_in(cptr.bits(), port)
                });
                Error::or(ret.error, ret.result)
            }

            #[doc = concat!("Corresponds to `", stringify!($sys_out), "`. **Extension.**")]
            pub fn $out(self, port: u16, data: $int) -> Result<()> {
                Error::wrap(self.invoke(|cptr, ipc_buffer| {
                    ipc_buffer.inner_mut().$sys_out(cptr.bits(), port.into(), data.into())
                }))
            }
        )*
    };
}

impl<C> IOPort<C> {
    /// The badge with which [`AbsoluteCPtr::mint`] makes a capability to the ports from `first` to
    /// `last` of one to more ports. **Extension.**
    pub const fn narrowed(first: u16, last: u16) -> Word {
        // `io_port_capdata` in the kernel's structures.bf.
        (first as Word) << 16 | last as Word
    }
}

impl<C: InvocationContext> IOPort<C> {
    ioport_methods! {
        8: u8, ioport_in8 seL4_X86_IOPort_In8, ioport_out8 seL4_X86_IOPort_Out8;
        16: u16, ioport_in16 seL4_X86_IOPort_In16, ioport_out16 seL4_X86_IOPort_Out16;
        32: u32, ioport_in32 seL4_X86_IOPort_In32, ioport_out32 seL4_X86_IOPort_Out32;
    }
}
