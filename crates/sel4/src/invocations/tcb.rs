// SPDX-License-Identifier: BSD-2-Clause
//! Invocations of threads.

use crate::cap::{CNode, Granule, Notification, Tcb, VSpace};
use crate::{CNodeCapData, CPtr, Error, InvocationContext, Result, UserContext, Word, sys};

const NO_DATA: sys::seL4_CapData = sys::seL4_CapData::from_words([0]);

/// The guard of a CSpace root. An empty one leaves the capability's own, as it does with later
/// kernels, where its word is the 0 that means so; here the word has a type bit.
const fn guard(data: CNodeCapData) -> sys::seL4_CapData {
    if data.into_word() == CNodeCapData::new(0, 0).into_word() {
        return NO_DATA;
    }
    sys::seL4_CapData::from_words([data.into_word()])
}

/// A priority as the kernel takes it: one that does not fit becomes the highest, which the kernel
/// refuses to whoever may not give it.
const fn priority_for_kernel(priority: Word) -> u8 {
    if priority > u8::MAX as Word {
        u8::MAX
    } else {
        priority as u8
    }
}

impl<C: InvocationContext> Tcb<C> {
    /// Corresponds to `seL4_TCB_ReadRegisters`: the first `count` registers, the others zero.
    #[inline]
    pub fn tcb_read_registers(self, suspend: bool, count: Word) -> Result<UserContext> {
        let mut regs = UserContext::default();
        self.tcb_read_registers_into(suspend, count, &mut regs)?;
        Ok(regs)
    }

    /// The same, where the others stay as they are: for who reads often. **Extension.**
    #[inline]
    pub fn tcb_read_registers_into(
        self,
        suspend: bool,
        count: Word,
        regs: &mut UserContext,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_TCB_ReadRegisters(
                cptr.bits(),
                suspend,
                0,
                count,
                regs.inner_mut(),
            )
        }))
    }

    /// Corresponds to `seL4_TCB_ReadRegisters`: all registers.
    pub fn tcb_read_all_registers(self, suspend: bool) -> Result<UserContext> {
        self.tcb_read_registers(suspend, UserContext::COUNT)
    }

    /// Corresponds to `seL4_TCB_WriteRegisters`: the first `count` registers. Only those travel:
    /// four are enough to finish a foreign system call.
    #[inline]
    pub fn tcb_write_registers(
        self,
        resume: bool,
        count: Word,
        regs: &mut UserContext,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_TCB_WriteRegisters(
                cptr.bits(),
                resume,
                0,
                count,
                regs.inner(),
            )
        }))
    }

    /// Corresponds to `seL4_TCB_WriteRegisters`: all registers.
    pub fn tcb_write_all_registers(self, resume: bool, regs: &mut UserContext) -> Result<()> {
        self.tcb_write_registers(resume, UserContext::COUNT, regs)
    }

    /// Corresponds to `seL4_TCB_CopyRegisters`, from `source` to this thread. **Extension.**
    pub fn tcb_copy_registers(
        self,
        source: Tcb,
        suspend_source: bool,
        resume_target: bool,
        transfer_frame: bool,
        transfer_integer: bool,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_TCB_CopyRegisters(
                cptr.bits(),
                source.bits(),
                suspend_source,
                resume_target,
                transfer_frame,
                transfer_integer,
                0,
            )
        }))
    }

    /// Corresponds to `seL4_TCB_Resume`.
    pub fn tcb_resume(self) -> Result<()> {
        Error::wrap(
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_TCB_Resume(cptr.bits())),
        )
    }

    /// Corresponds to `seL4_TCB_Suspend`.
    pub fn tcb_suspend(self) -> Result<()> {
        Error::wrap(
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_TCB_Suspend(cptr.bits())),
        )
    }

    /// Corresponds to `seL4_TCB_SetPriority`. This kernel goes by the maximum controlled priority
    /// of the *calling* thread; `_authority` is not looked at.
    pub fn tcb_set_priority(self, _authority: Tcb, priority: Word) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_TCB_SetPriority(cptr.bits(), priority_for_kernel(priority))
        }))
    }

    /// Corresponds to `seL4_TCB_SetMCPriority`, with the authority of the calling thread.
    pub fn tcb_set_mc_priority(self, _authority: Tcb, mcp: Word) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_TCB_SetMCPriority(cptr.bits(), priority_for_kernel(mcp))
        }))
    }

    /// Corresponds to later kernels' `seL4_TCB_SetSchedParams`: two invocations here, with the
    /// authority of the calling thread. If the second fails, the first has taken effect.
    pub fn tcb_set_sched_params(self, authority: Tcb, mcp: Word, priority: Word) -> Result<()> {
        let cptr = self.cptr();
        let mut context = self.into_invocation_context();
        let this = || cptr.cast::<crate::cap_type::Tcb>();
        this()
            .with(&mut context)
            .tcb_set_mc_priority(authority, mcp)?;
        this()
            .with(&mut context)
            .tcb_set_priority(authority, priority)
    }

    /// Corresponds to `seL4_TCB_Configure` as later kernels have it, without priorities: here two
    /// invocations, `SetSpace` and `SetIPCBuffer`. If the second fails, the first has taken effect.
    /// The thread's priorities stay as they are.
    pub fn tcb_configure(
        self,
        fault_ep: CPtr,
        cspace_root: CNode,
        cspace_root_data: CNodeCapData,
        vspace_root: VSpace,
        ipc_buffer: Word,
        ipc_buffer_frame: Granule,
    ) -> Result<()> {
        self.invoke(|cptr, context| {
            let raw = context.inner_mut();
            Error::wrap(raw.seL4_TCB_SetSpace(
                cptr.bits(),
                fault_ep.bits(),
                cspace_root.bits(),
                guard(cspace_root_data),
                vspace_root.bits(),
                NO_DATA,
            ))?;
            Error::wrap(raw.seL4_TCB_SetIPCBuffer(cptr.bits(), ipc_buffer, ipc_buffer_frame.bits()))
        })
    }

    /// Corresponds to this kernel's `seL4_TCB_Configure`: everything in one invocation, priorities
    /// included. **Extension.**
    #[allow(clippy::too_many_arguments)] // the kernel's
    pub fn tcb_configure_with_priority(
        self,
        fault_ep: CPtr,
        mcp: Word,
        priority: Word,
        cspace_root: CNode,
        cspace_root_data: CNodeCapData,
        vspace_root: VSpace,
        ipc_buffer: Word,
        ipc_buffer_frame: Granule,
    ) -> Result<()> {
        let priorities = sys::seL4_PrioProps::new(
            priority_for_kernel(mcp).into(),
            priority_for_kernel(priority).into(),
        );
        Error::wrap(self.invoke(|cptr, context| {
            context.inner_mut().seL4_TCB_Configure(
                cptr.bits(),
                fault_ep.bits(),
                priorities,
                cspace_root.bits(),
                guard(cspace_root_data),
                vspace_root.bits(),
                NO_DATA,
                ipc_buffer,
                ipc_buffer_frame.bits(),
            )
        }))
    }

    /// Corresponds to `seL4_TCB_SetSpace`.
    pub fn tcb_set_space(
        self,
        fault_ep: CPtr,
        cspace_root: CNode,
        cspace_root_data: CNodeCapData,
        vspace_root: VSpace,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_TCB_SetSpace(
                cptr.bits(),
                fault_ep.bits(),
                cspace_root.bits(),
                guard(cspace_root_data),
                vspace_root.bits(),
                NO_DATA,
            )
        }))
    }

    /// Corresponds to `seL4_TCB_SetIPCBuffer`. **Extension.**
    pub fn tcb_set_ipc_buffer(self, ipc_buffer: Word, ipc_buffer_frame: Granule) -> Result<()> {
        Error::wrap(self.invoke(|cptr, context| {
            context.inner_mut().seL4_TCB_SetIPCBuffer(
                cptr.bits(),
                ipc_buffer,
                ipc_buffer_frame.bits(),
            )
        }))
    }

    /// Corresponds to later kernels' `seL4_TCB_SetTLSBase`: here all registers are read and written
    /// back, so the thread must not run meanwhile, and cannot be the calling one.
    pub fn tcb_set_tls_base(self, tls_base: Word) -> Result<()> {
        self.invoke(|cptr, ipc_buffer| {
            let raw = ipc_buffer.inner_mut();
            let mut regs = sys::seL4_UserContext::default();
            let count = UserContext::COUNT;
            Error::wrap(raw.seL4_TCB_ReadRegisters(cptr.bits(), false, 0, count, &mut regs))?;
            regs.tls_base = tls_base;
            Error::wrap(raw.seL4_TCB_WriteRegisters(cptr.bits(), false, 0, count, &regs))
        })
    }

    /// Corresponds to `seL4_TCB_BindNotification`.
    pub fn tcb_bind_notification(self, notification: Notification) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_TCB_BindNotification(cptr.bits(), notification.bits())
        }))
    }

    /// Corresponds to `seL4_TCB_UnbindNotification`.
    pub fn tcb_unbind_notification(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_TCB_UnbindNotification(cptr.bits())
        }))
    }
}
