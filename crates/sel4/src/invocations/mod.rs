// SPDX-License-Identifier: BSD-2-Clause
//! Invocations of kernel objects, by object.

mod cnode;
mod tcb;
mod x86;

crate::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        mod vtx;
        pub use vtx::{VCpuContext, VmEntry, VmExit, VmExitFault, vm_enter};
    }
}

use crate::cap::{DomainSet, IrqControl, IrqHandler, Notification, Tcb, Untyped};
use crate::{AbsoluteCPtr, Error, InvocationContext, ObjectBlueprint, Result, Word};

/// Corresponds to `seL4_Time`.
pub type Time = u64;

impl<C: InvocationContext> Untyped<C> {
    /// Corresponds to `seL4_Untyped_Retype`: makes `num_objects` objects, and puts capabilities to
    /// them into the CNode at `dst`, from slot `dst_offset` on. For a CNode in the current CSpace
    /// `dst` is its [`absolute_cptr_for_self`](crate::cap::CNode::absolute_cptr_for_self).
    pub fn untyped_retype(
        self,
        blueprint: &ObjectBlueprint,
        dst: &AbsoluteCPtr,
        dst_offset: usize,
        num_objects: usize,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_Untyped_Retype(
                cptr.bits(),
                blueprint.ty().into_sys().into(),
                blueprint.api_size_bits().unwrap_or(0) as Word,
                dst.root().bits(),
                dst.path().bits(),
                dst.path().depth() as Word,
                dst_offset as Word,
                num_objects as Word,
            )
        }))
    }
}

impl<C: InvocationContext> IrqControl<C> {
    /// Corresponds to `seL4_IRQControl_Get`. On machines with an I/O APIC the kernel refuses it:
    /// see [`irq_control_get_ioapic`](Self::irq_control_get_ioapic).
    pub fn irq_control_get(self, irq: Word, dst: &AbsoluteCPtr) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_IRQControl_Get(
                cptr.bits(),
                i32::try_from(irq).unwrap_or(-1),
                dst.root().bits(),
                dst.path().bits(),
                dst.path().depth_for_kernel(),
            )
        }))
    }
}

impl<C: InvocationContext> IrqHandler<C> {
    /// Corresponds to `seL4_IRQHandler_Ack`.
    pub fn irq_handler_ack(self) -> Result<()> {
        Error::wrap(
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_IRQHandler_Ack(cptr.bits())),
        )
    }

    /// Corresponds to `seL4_IRQHandler_SetNotification`.
    pub fn irq_handler_set_notification(self, notification: Notification) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_IRQHandler_SetNotification(cptr.bits(), notification.bits())
        }))
    }

    /// Corresponds to `seL4_IRQHandler_Clear`.
    pub fn irq_handler_clear(self) -> Result<()> {
        Error::wrap(
            self.invoke(|cptr, ipc_buffer| {
                ipc_buffer.inner_mut().seL4_IRQHandler_Clear(cptr.bits())
            }),
        )
    }
}

impl<C: InvocationContext> DomainSet<C> {
    /// Corresponds to `seL4_DomainSet_Set`.
    pub fn domain_set_set(self, domain: u8, thread: Tcb) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_DomainSet_Set(cptr.bits(), domain, thread.bits())
        }))
    }
}
