// SPDX-License-Identifier: BSD-2-Clause
//! System calls, by libsel4's names.
//!
//! Functions ending in `WithMRs` pass the first words of a message in registers and leave the IPC
//! buffer alone; the methods of `seL4_IPCBuffer` take them from there and put them back there.

use crate::arch::{self, Registers};
use crate::*;

const NO_ERROR: seL4_Error::Type = seL4_Error::seL4_NoError;

#[inline(always)]
const fn info(word: seL4_Word) -> seL4_MessageInfo {
    seL4_MessageInfo::from_words([word])
}

#[inline(always)]
const fn word(info: seL4_MessageInfo) -> seL4_Word {
    info.into_words()[0]
}

/// Corresponds to `seL4_SendWithMRs`.
#[inline(always)]
pub fn seL4_SendWithMRs(dest: seL4_CPtr, msg_info: seL4_MessageInfo, mrs: Registers) {
    arch::send(syscall_id::Send, dest, word(msg_info), mrs);
}

/// Corresponds to `seL4_NBSendWithMRs`.
#[inline(always)]
pub fn seL4_NBSendWithMRs(dest: seL4_CPtr, msg_info: seL4_MessageInfo, mrs: Registers) {
    arch::send(syscall_id::NBSend, dest, word(msg_info), mrs);
}

/// Corresponds to `seL4_ReplyWithMRs`.
#[inline(always)]
pub fn seL4_ReplyWithMRs(msg_info: seL4_MessageInfo, mrs: Registers) {
    arch::send(syscall_id::Reply, 0, word(msg_info), mrs);
}

/// Corresponds to `seL4_CallWithMRs`: the reply's tag and first words.
#[inline(always)]
pub fn seL4_CallWithMRs(
    dest: seL4_CPtr,
    msg_info: seL4_MessageInfo,
    mrs: Registers,
) -> (seL4_MessageInfo, Registers) {
    let (tag, _, mrs) = arch::send_recv(syscall_id::Call, dest, word(msg_info), mrs);
    (info(tag), mrs)
}

/// Corresponds to `seL4_RecvWithMRs`: the message's tag, badge and first words.
#[inline(always)]
pub fn seL4_RecvWithMRs(src: seL4_CPtr) -> (seL4_MessageInfo, seL4_Word, Registers) {
    let (tag, badge, mrs) = arch::recv(syscall_id::Recv, src);
    (info(tag), badge, mrs)
}

/// Corresponds to `seL4_NBRecv`, with the first words in registers.
#[inline(always)]
pub fn seL4_NBRecvWithMRs(src: seL4_CPtr) -> (seL4_MessageInfo, seL4_Word, Registers) {
    let (tag, badge, mrs) = arch::recv(syscall_id::NBRecv, src);
    (info(tag), badge, mrs)
}

/// Corresponds to `seL4_ReplyRecvWithMRs`: the next message's tag, badge and first words.
#[inline(always)]
pub fn seL4_ReplyRecvWithMRs(
    src: seL4_CPtr,
    msg_info: seL4_MessageInfo,
    mrs: Registers,
) -> (seL4_MessageInfo, seL4_Word, Registers) {
    let (tag, badge, mrs) = arch::send_recv(syscall_id::ReplyRecv, src, word(msg_info), mrs);
    (info(tag), badge, mrs)
}

/// Corresponds to `seL4_Signal`.
#[inline(always)]
pub fn seL4_Signal(dest: seL4_CPtr) {
    arch::send_null(syscall_id::Send, dest, 0);
}

/// Corresponds to `seL4_Yield`.
#[inline(always)]
pub fn seL4_Yield() {
    arch::null(syscall_id::Yield);
}

/// Corresponds to `seL4_VMEnter`, with the first words in registers: the result
/// (`SEL4_VMENTER_RESULT_`), the badge, the first words.
#[cfg(sel4_syscall = "VMEnter")]
#[inline(always)]
pub fn seL4_VMEnterWithMRs(mrs: Registers) -> (seL4_Word, seL4_Word, Registers) {
    arch::send_recv(syscall_id::VMEnter, 0, 0, mrs)
}

/// Corresponds to `seL4_DebugPutChar`.
#[cfg(sel4_syscall = "DebugPutChar")]
pub fn seL4_DebugPutChar(c: u8) {
    arch::send_recv(syscall_id::DebugPutChar, c.into(), 0, [0; 4]);
}

/// Corresponds to `seL4_DebugHalt`.
#[cfg(sel4_syscall = "DebugHalt")]
pub fn seL4_DebugHalt() {
    arch::null(syscall_id::DebugHalt);
}

/// Corresponds to `seL4_DebugSnapshot`.
#[cfg(sel4_syscall = "DebugSnapshot")]
pub fn seL4_DebugSnapshot() {
    arch::null(syscall_id::DebugSnapshot);
}

/// Corresponds to `seL4_DebugCapIdentify`: the kernel's number for the type of a capability.
#[cfg(sel4_syscall = "DebugCapIdentify")]
pub fn seL4_DebugCapIdentify(cap: seL4_CPtr) -> u32 {
    let (_, kind, _) = arch::send_recv(syscall_id::DebugCapIdentify, cap, 0, [0; 4]);
    kind as u32
}

impl seL4_IPCBuffer {
    /// Corresponds to `seL4_DebugNameThread`. What does not fit into a message is cut off.
    #[cfg(sel4_syscall = "DebugNameThread")]
    pub fn seL4_DebugNameThread(&mut self, tcb: seL4_CPtr, name: &[u8]) {
        let words = self.msg.len() - 1;
        for (i, word) in self.msg[..=words].iter_mut().enumerate() {
            let byte = |j: usize| {
                name.get(i * 8 + j)
                    .filter(|_| i < words)
                    .copied()
                    .unwrap_or(0)
            };
            *word = seL4_Word::from_ne_bytes(core::array::from_fn(byte));
        }
        arch::send_recv(syscall_id::DebugNameThread, tcb, 0, [0; 4]);
    }

    #[inline(always)]
    fn registers(&self) -> Registers {
        [self.msg[0], self.msg[1], self.msg[2], self.msg[3]]
    }

    #[inline(always)]
    fn set_registers(&mut self, mrs: Registers) {
        self.msg[..mrs.len()].copy_from_slice(&mrs);
    }

    /// Calls a kernel object. On failure the words that describe it are put into the buffer.
    #[inline(always)]
    pub(crate) fn invoke(
        &mut self,
        service: seL4_CPtr,
        tag: seL4_MessageInfo,
        mrs: Registers,
    ) -> (seL4_Error::Type, Registers) {
        let (tag, mrs) = seL4_CallWithMRs(service, tag, mrs);
        let error = tag.get_label() as seL4_Error::Type;
        if error != NO_ERROR {
            self.set_registers(mrs);
        }
        (error, mrs)
    }

    /// Corresponds to `seL4_Send`.
    #[inline]
    pub fn seL4_Send(&mut self, dest: seL4_CPtr, msg_info: seL4_MessageInfo) {
        seL4_SendWithMRs(dest, msg_info, self.registers());
    }

    /// Corresponds to `seL4_NBSend`.
    #[inline]
    pub fn seL4_NBSend(&mut self, dest: seL4_CPtr, msg_info: seL4_MessageInfo) {
        seL4_NBSendWithMRs(dest, msg_info, self.registers());
    }

    /// Corresponds to `seL4_Reply`.
    #[inline]
    pub fn seL4_Reply(&mut self, msg_info: seL4_MessageInfo) {
        seL4_ReplyWithMRs(msg_info, self.registers());
    }

    /// Corresponds to `seL4_Signal`.
    #[inline]
    pub fn seL4_Signal(&mut self, dest: seL4_CPtr) {
        seL4_Signal(dest);
    }

    /// Corresponds to `seL4_Recv`.
    #[inline]
    pub fn seL4_Recv(
        &mut self,
        src: seL4_CPtr,
        (): ReplyAuthority,
    ) -> (seL4_MessageInfo, seL4_Word) {
        let (info, badge, mrs) = seL4_RecvWithMRs(src);
        self.set_registers(mrs);
        (info, badge)
    }

    /// Corresponds to `seL4_NBRecv`.
    #[inline]
    pub fn seL4_NBRecv(
        &mut self,
        src: seL4_CPtr,
        (): ReplyAuthority,
    ) -> (seL4_MessageInfo, seL4_Word) {
        let (info, badge, mrs) = seL4_NBRecvWithMRs(src);
        self.set_registers(mrs);
        (info, badge)
    }

    /// Corresponds to `seL4_Call`.
    #[inline]
    pub fn seL4_Call(&mut self, dest: seL4_CPtr, msg_info: seL4_MessageInfo) -> seL4_MessageInfo {
        let (info, mrs) = seL4_CallWithMRs(dest, msg_info, self.registers());
        self.set_registers(mrs);
        info
    }

    /// Corresponds to `seL4_ReplyRecv`.
    #[inline]
    pub fn seL4_ReplyRecv(
        &mut self,
        src: seL4_CPtr,
        msg_info: seL4_MessageInfo,
        (): ReplyAuthority,
    ) -> (seL4_MessageInfo, seL4_Word) {
        let (info, badge, mrs) = seL4_ReplyRecvWithMRs(src, msg_info, self.registers());
        self.set_registers(mrs);
        (info, badge)
    }

    /// Corresponds to `seL4_Wait`.
    #[inline]
    pub fn seL4_Wait(&mut self, src: seL4_CPtr) -> (WaitMessageInfo, seL4_Word) {
        let (_, badge) = self.seL4_Recv(src, ());
        ((), badge)
    }

    /// Corresponds to `seL4_Poll`.
    #[inline]
    pub fn seL4_Poll(&mut self, src: seL4_CPtr) -> (seL4_MessageInfo, seL4_Word) {
        self.seL4_NBRecv(src, ())
    }
}
