// SPDX-License-Identifier: BSD-2-Clause
//! Messages and signals.
//!
//! Two families: methods without a suffix take the message's words from the IPC buffer and leave
//! received ones there; those ending in `_with_mrs` carry the first four words by value, in
//! registers, and do not touch the buffer. A longer message's other words are in the buffer in
//! either case.

use crate::cap::Notification;
use crate::{
    Cap, CapType, ConveysReplyAuthority, InvocationContext, IpcBuffer, MessageInfo, Word, sys,
};

/// The number of words of the longest message.
pub const NUM_MESSAGE_REGISTERS: usize = sys::seL4_MsgMaxLength as usize;

/// The number of words of the longest message that needs no IPC buffer.
pub const NUM_FAST_MESSAGE_REGISTERS: usize = sys::seL4_FastMessageRegisters as usize;

/// A badge: the identity of a sender that the owner of an endpoint gave it.
pub type Badge = Word;

type Registers = [Word; NUM_FAST_MESSAGE_REGISTERS];

impl<T: CapType, C: InvocationContext> Cap<T, C> {
    /// Corresponds to `seL4_Send`.
    pub fn send(self, info: MessageInfo) {
        self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_Send(cptr.bits(), info.into_inner());
        });
    }

    /// Corresponds to `seL4_NBSend`: drops the message if nobody waits for it.
    pub fn nb_send(self, info: MessageInfo) {
        self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_NBSend(cptr.bits(), info.into_inner());
        });
    }

    /// Corresponds to `seL4_Recv`.
    pub fn recv(self, _reply_authority: impl ConveysReplyAuthority) -> (MessageInfo, Badge) {
        let (info, badge) =
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_Recv(cptr.bits(), ()));
        (MessageInfo::from_inner(info), badge)
    }

    /// Corresponds to `seL4_NBRecv`: a badge of 0 if there was no message.
    pub fn nb_recv(self, _reply_authority: impl ConveysReplyAuthority) -> (MessageInfo, Badge) {
        let (info, badge) =
            self.invoke(|cptr, ipc_buffer| ipc_buffer.inner_mut().seL4_NBRecv(cptr.bits(), ()));
        (MessageInfo::from_inner(info), badge)
    }

    /// Corresponds to `seL4_Call`.
    pub fn call(self, info: MessageInfo) -> MessageInfo {
        MessageInfo::from_inner(self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_Call(cptr.bits(), info.into_inner())
        }))
    }

    /// Corresponds to `seL4_ReplyRecv`.
    pub fn reply_recv(
        self,
        info: MessageInfo,
        _reply_authority: impl ConveysReplyAuthority,
    ) -> (MessageInfo, Badge) {
        let (info, badge) = self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_ReplyRecv(cptr.bits(), info.into_inner(), ())
        });
        (MessageInfo::from_inner(info), badge)
    }

    /// Corresponds to `seL4_SendWithMRs`.
    #[inline(always)]
    pub fn send_with_mrs<M: FastMessages>(self, info: MessageInfo, messages: M) {
        sys::seL4_SendWithMRs(self.bits(), info.into_inner(), messages.into_registers());
    }

    /// Corresponds to `seL4_NBSendWithMRs`. **Extension.**
    #[inline(always)]
    pub fn nb_send_with_mrs<M: FastMessages>(self, info: MessageInfo, messages: M) {
        sys::seL4_NBSendWithMRs(self.bits(), info.into_inner(), messages.into_registers());
    }

    /// Corresponds to `seL4_RecvWithMRs`.
    #[inline(always)]
    pub fn recv_with_mrs(self, _reply_authority: impl ConveysReplyAuthority) -> RecvWithMRs {
        RecvWithMRs::new(sys::seL4_RecvWithMRs(self.bits()))
    }

    /// Corresponds to `seL4_NBRecv`, with the first words by value. **Extension.**
    #[inline(always)]
    pub fn nb_recv_with_mrs(self, _reply_authority: impl ConveysReplyAuthority) -> RecvWithMRs {
        RecvWithMRs::new(sys::seL4_NBRecvWithMRs(self.bits()))
    }

    /// Corresponds to `seL4_CallWithMRs`.
    #[inline(always)]
    pub fn call_with_mrs<M: FastMessages>(self, info: MessageInfo, messages: M) -> CallWithMRs {
        let (info, msg) =
            sys::seL4_CallWithMRs(self.bits(), info.into_inner(), messages.into_registers());
        CallWithMRs {
            info: MessageInfo::from_inner(info),
            msg,
        }
    }

    /// Corresponds to `seL4_ReplyRecvWithMRs`. **Extension.**
    #[inline(always)]
    pub fn reply_recv_with_mrs<M: FastMessages>(
        self,
        info: MessageInfo,
        messages: M,
        _reply_authority: impl ConveysReplyAuthority,
    ) -> RecvWithMRs {
        RecvWithMRs::new(sys::seL4_ReplyRecvWithMRs(
            self.bits(),
            info.into_inner(),
            messages.into_registers(),
        ))
    }
}

impl<C: InvocationContext> Notification<C> {
    /// Corresponds to `seL4_Signal`.
    #[inline(always)]
    pub fn signal(self) {
        sys::seL4_Signal(self.bits());
    }

    /// Corresponds to `seL4_Wait`.
    #[inline(always)]
    pub fn wait(self) -> ((), Badge) {
        let (_, badge, _) = sys::seL4_RecvWithMRs(self.bits());
        ((), badge)
    }

    /// Corresponds to `seL4_Poll`: a badge of 0 if there was no signal.
    #[inline(always)]
    pub fn poll(self) -> (MessageInfo, Badge) {
        let (info, badge, _) = sys::seL4_NBRecvWithMRs(self.bits());
        (MessageInfo::from_inner(info), badge)
    }
}

/// Corresponds to `seL4_Reply`.
pub fn reply(ipc_buffer: &mut IpcBuffer, info: MessageInfo) {
    ipc_buffer.inner_mut().seL4_Reply(info.into_inner());
}

/// Corresponds to `seL4_ReplyWithMRs`. **Extension.**
#[inline(always)]
pub fn reply_with_mrs<M: FastMessages>(info: MessageInfo, messages: M) {
    sys::seL4_ReplyWithMRs(info.into_inner(), messages.into_registers());
}

/// Corresponds to `seL4_Yield`.
pub fn r#yield() {
    sys::seL4_Yield();
}

/// A received message with its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecvWithMRs {
    /// The tag.
    pub info: MessageInfo,
    /// The sender's badge.
    pub badge: Badge,
    /// The first words; what the message is too short for is undefined.
    pub msg: Registers,
}

impl RecvWithMRs {
    #[inline(always)]
    fn new((info, badge, msg): (sys::seL4_MessageInfo, Badge, Registers)) -> Self {
        Self {
            info: MessageInfo::from_inner(info),
            badge,
            msg,
        }
    }
}

/// A reply with its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallWithMRs {
    /// The tag.
    pub info: MessageInfo,
    /// The first words; what the message is too short for is undefined.
    pub msg: Registers,
}

/// Words that travel in registers: an array or slice of at most
/// [`NUM_FAST_MESSAGE_REGISTERS`].
pub trait FastMessages: sealed::Sealed {
    /// The registers' contents, zero where there is no word.
    fn into_registers(self) -> Registers;
}

impl<const N: usize> FastMessages for [Word; N]
where
    Self: sealed::Sealed,
{
    #[inline(always)]
    fn into_registers(self) -> Registers {
        core::array::from_fn(|i| if i < N { self[i] } else { 0 })
    }
}

impl FastMessages for &[Word] {
    /// # Panics
    /// If there are more words than registers.
    #[inline(always)]
    fn into_registers(self) -> Registers {
        assert!(
            self.len() <= NUM_FAST_MESSAGE_REGISTERS,
            "too many words for registers"
        );
        core::array::from_fn(|i| self.get(i).copied().unwrap_or(0))
    }
}

mod sealed {
    use crate::Word;

    pub trait Sealed {}

    impl Sealed for [Word; 0] {}
    impl Sealed for [Word; 1] {}
    impl Sealed for [Word; 2] {}
    impl Sealed for [Word; 3] {}
    impl Sealed for [Word; 4] {}
    impl Sealed for &[Word] {}
}

const _: () = assert!(NUM_FAST_MESSAGE_REGISTERS == 4);
