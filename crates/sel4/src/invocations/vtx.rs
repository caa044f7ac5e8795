// SPDX-License-Identifier: BSD-2-Clause
//! Invocations of kernels with VT-x: virtual processors and second-stage translation tables.

use crate::cap::{
    EPTPDPT, EPTPML4, EPTPageDirectory, EPTPageTable, IOPort, Tcb,
    UnspecifiedIntermediateTranslationTable, VCpu,
};
use crate::{
    Badge, Cap, CapRights, CapTypeForFrameObject, Error, InvocationContext, IpcBuffer, Result,
    TranslationTableObjectType, VmAttributes, Word, cap_type, sys,
};

impl<C: InvocationContext> Tcb<C> {
    /// Corresponds to `seL4_TCB_SetEPTRoot`: the second-stage translation of the thread's VCPU.
    pub fn tcb_set_ept_root(self, root: EPTPML4) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_TCB_SetEPTRoot(cptr.bits(), root.bits())
        }))
    }
}

/// The general registers of a VCPU's guest but for its stack pointer, which is in its VMCS.
/// Corresponds to `seL4_VCPUContext`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // registers
pub struct VCpuContext {
    pub eax: Word,
    pub ebx: Word,
    pub ecx: Word,
    pub edx: Word,
    pub esi: Word,
    pub edi: Word,
    pub ebp: Word,
}

impl VCpuContext {
    const fn into_inner(self) -> sys::seL4_VCPUContext {
        sys::seL4_VCPUContext {
            eax: self.eax,
            ebx: self.ebx,
            ecx: self.ecx,
            edx: self.edx,
            esi: self.esi,
            edi: self.edi,
            ebp: self.ebp,
        }
    }
}

impl<C: InvocationContext> VCpu<C> {
    /// Corresponds to `seL4_X86_VCPU_SetTCB`: the thread that runs it. A VCPU has one thread and a
    /// thread one VCPU.
    pub fn vcpu_set_tcb(self, tcb: Tcb) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_X86_VCPU_SetTCB(cptr.bits(), tcb.bits())
        }))
    }

    /// Corresponds to `seL4_X86_VCPU_ReadVMCS`: `field` is an encoding of Intel's manual, volume 3,
    /// appendix B.
    pub fn vcpu_read_vmcs(self, field: Word) -> Result<Word> {
        let ret = self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_X86_VCPU_ReadVMCS(cptr.bits(), field)
        });
        Error::or(ret.error, ret.value)
    }

    /// Corresponds to `seL4_X86_VCPU_WriteVMCS`: what was written, which differs from `value` in the
    /// bits that the processor or the kernel forces.
    pub fn vcpu_write_vmcs(self, field: Word, value: Word) -> Result<Word> {
        let ret = self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_X86_VCPU_WriteVMCS(cptr.bits(), field, value)
        });
        Error::or(ret.error, ret.written)
    }

    /// Corresponds to `seL4_X86_VCPU_EnableIOPort`: the guest's accesses to these ports reach the
    /// machine.
    pub fn vcpu_enable_io_port(self, ports: IOPort, low: u16, high: u16) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_VCPU_EnableIOPort(
                cptr.bits(),
                ports.bits(),
                low.into(),
                high.into(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_VCPU_DisableIOPort`.
    pub fn vcpu_disable_io_port(self, low: u16, high: u16) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_VCPU_DisableIOPort(
                cptr.bits(),
                low.into(),
                high.into(),
            )
        }))
    }

    /// Corresponds to `seL4_X86_VCPU_WriteRegisters`.
    pub fn vcpu_write_registers(self, context: &VCpuContext) -> Result<()> {
        let context = context.into_inner();
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_X86_VCPU_WriteRegisters(cptr.bits(), &context)
        }))
    }
}

impl<T: CapTypeForFrameObject, C: InvocationContext> Cap<T, C> {
    /// Corresponds to `seL4_X86_Page_MapEPT`. [`frame_unmap`](Self::frame_unmap) undoes it.
    pub fn frame_map_ept(
        self,
        root: EPTPML4,
        address: usize,
        rights: CapRights,
        attrs: VmAttributes,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_X86_Page_MapEPT(
                cptr.bits(),
                root.bits(),
                address as Word,
                rights.into_inner(),
                attrs.into_inner(),
            )
        }))
    }
}

macro_rules! tables {
    ($($table:ident: $map:ident $sys_map:ident, $unmap:ident $sys_unmap:ident;)*) => {
        $(
            impl<C: InvocationContext> $table<C> {
                #[doc = concat!("Corresponds to `", stringify!($sys_map), "`.")]
                pub fn $map(self, root: EPTPML4, address: usize, attr: VmAttributes) -> Result<()> {
                    Error::wrap(self.invoke(|cptr, ipc_buffer| {
                        ipc_buffer.inner_mut().$sys_map(
                            cptr.bits(),
                            root.bits(),
                            address as Word,
                            attr.into_inner(),
                        )
                    }))
                }

                #[doc = concat!("Corresponds to `", stringify!($sys_unmap), "`.")]
                pub fn $unmap(self) -> Result<()> {
                    Error::wrap(self.invoke(|cptr, ipc_buffer| {
                        ipc_buffer.inner_mut().$sys_unmap(cptr.bits())
                    }))
                }
            }
        )*
    };
}

tables! {
    EPTPDPT: ept_pdpt_map seL4_X86_EPTPDPT_Map, ept_pdpt_unmap seL4_X86_EPTPDPT_Unmap;
    EPTPageDirectory: ept_page_directory_map seL4_X86_EPTPD_Map,
        ept_page_directory_unmap seL4_X86_EPTPD_Unmap;
    EPTPageTable: ept_page_table_map seL4_X86_EPTPT_Map, ept_page_table_unmap seL4_X86_EPTPT_Unmap;
}

impl<C: InvocationContext> UnspecifiedIntermediateTranslationTable<C> {
    /// Maps a table of the given kind into a second-stage translation. **Extension.**
    ///
    /// # Panics
    /// If tables of that kind are not mapped there.
    pub fn generic_intermediate_translation_table_map_ept(
        self,
        ty: TranslationTableObjectType,
        root: EPTPML4,
        address: usize,
        attr: VmAttributes,
    ) -> Result<()> {
        match ty {
            TranslationTableObjectType::EPTPDPT => self
                .cast::<cap_type::EPTPDPT>()
                .ept_pdpt_map(root, address, attr),
            TranslationTableObjectType::EPTPageDirectory => self
                .cast::<cap_type::EPTPageDirectory>()
                .ept_page_directory_map(root, address, attr),
            TranslationTableObjectType::EPTPageTable => self
                .cast::<cap_type::EPTPageTable>()
                .ept_page_table_map(root, address, attr),
            _ => panic!("{ty:?} is not mapped into a second-stage translation"),
        }
    }
}

/// What a guest is entered with, and what of it was in force when it was left. **Extension.**
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmEntry {
    /// The instruction pointer.
    pub ip: Word,
    /// The primary processor-based execution controls.
    pub controls: Word,
    /// What is injected: the VM-entry interruption information.
    pub interruption: Word,
}

/// Why a guest was left: the words of a VM exit. **Extension.**
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmExitFault {
    /// The basic exit reason, or [`VmExitFault::NO_ENTRY`].
    pub reason: u32,
    /// The exit qualification.
    pub qualification: Word,
    /// The length of the instruction that caused the exit, in bytes.
    pub instruction_length: Word,
    /// The guest-physical address at fault.
    pub guest_physical: Word,
    /// The guest's flags.
    pub rflags: Word,
    /// The guest's interruptibility state.
    pub interruptibility: Word,
    /// The guest's CR3.
    pub cr3: Word,
    /// The guest's registers.
    pub registers: VCpuContext,
}

impl VmExitFault {
    /// The reason when the guest was not entered at all, or its VCPU is gone.
    pub const NO_ENTRY: u32 = u32::MAX;
}

/// How a stay in a guest ended. **Extension.**
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmExit {
    /// The thread's bound notification was signalled.
    Notification(Badge),
    /// The guest did something that needs attention.
    Fault(VmExitFault),
}

/// Corresponds to `seL4_VMEnter`: runs the guest of the thread's VCPU until something happens. A
/// thread without a VCPU makes a system call here that does not exist. **Extension.**
pub fn vm_enter(ipc_buffer: &mut IpcBuffer, entry: &VmEntry) -> (VmEntry, VmExit) {
    let mrs = [entry.ip, entry.controls, entry.interruption, 0];
    let (result, badge, mrs) = sys::seL4_VMEnterWithMRs(mrs);
    let words = ipc_buffer.msg_regs();
    let entry = VmEntry {
        ip: mrs[sys::SEL4_VMENTER_CALL_EIP_MR as usize],
        controls: mrs[sys::SEL4_VMENTER_CALL_CONTROL_PPC_MR as usize],
        interruption: mrs[sys::SEL4_VMENTER_CALL_CONTROL_ENTRY_MR as usize],
    };
    if result == Word::from(sys::SEL4_VMENTER_RESULT_NOTIF) {
        return (entry, VmExit::Notification(badge));
    }
    let word = |number: u32| words[number as usize];
    let fault = VmExitFault {
        // The reason is the last word that travels in a register.
        reason: mrs[sys::SEL4_VMENTER_FAULT_REASON_MR as usize] as u32,
        qualification: word(sys::SEL4_VMENTER_FAULT_QUALIFICATION_MR),
        instruction_length: word(sys::SEL4_VMENTER_FAULT_INSTRUCTION_LEN_MR),
        guest_physical: word(sys::SEL4_VMENTER_FAULT_GUEST_PHYSICAL_MR),
        rflags: word(sys::SEL4_VMENTER_FAULT_RFLAGS_MR),
        interruptibility: word(sys::SEL4_VMENTER_FAULT_GUEST_INT_MR),
        cr3: word(sys::SEL4_VMENTER_FAULT_CR3_MR),
        registers: VCpuContext {
            eax: word(sys::SEL4_VMENTER_FAULT_EAX),
            ebx: word(sys::SEL4_VMENTER_FAULT_EBX),
            ecx: word(sys::SEL4_VMENTER_FAULT_ECX),
            edx: word(sys::SEL4_VMENTER_FAULT_EDX),
            esi: word(sys::SEL4_VMENTER_FAULT_ESI),
            edi: word(sys::SEL4_VMENTER_FAULT_EDI),
            ebp: word(sys::SEL4_VMENTER_FAULT_EBP),
        },
    };
    (entry, VmExit::Fault(fault))
}
