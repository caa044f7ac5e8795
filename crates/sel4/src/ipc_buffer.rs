// SPDX-License-Identifier: BSD-2-Clause
//! The memory that a thread and the kernel share for messages.

use core::slice;

use crate::helpers::newtype_methods;
use crate::{AbsoluteCPtr, Word, cap, sys};

/// Corresponds to `seL4_IPCBuffer`.
///
/// The word `userData`, which later kernels leave to the program, holds the buffer's own address
/// here (see [`set_ipc_buffer`](crate::set_ipc_buffer)) and must be left alone.
#[derive(Default)]
#[repr(transparent)]
pub struct IpcBuffer(sys::seL4_IPCBuffer);

impl IpcBuffer {
    newtype_methods!(sys::seL4_IPCBuffer);

    /// The message words.
    #[inline(always)]
    pub fn msg_regs(&self) -> &[Word] {
        &self.0.msg
    }

    /// The message words.
    #[inline(always)]
    pub fn msg_regs_mut(&mut self) -> &mut [Word] {
        &mut self.0.msg
    }

    /// The message words as bytes.
    pub fn msg_bytes(&self) -> &[u8] {
        let msg = &self.0.msg;
        // SAFETY: words are bytes, as many as the words have.
        unsafe { slice::from_raw_parts(msg.as_ptr().cast(), size_of_val(msg)) }
    }

    /// The message words as bytes.
    pub fn msg_bytes_mut(&mut self) -> &mut [u8] {
        let msg = &mut self.0.msg;
        // SAFETY: as above, and any bytes are words.
        unsafe { slice::from_raw_parts_mut(msg.as_mut_ptr().cast(), size_of_val(msg)) }
    }

    /// The word that holds the buffer's own address.
    pub fn user_data(&self) -> Word {
        self.0.userData
    }

    /// The capabilities to send, or the badges that received ones were replaced by.
    #[inline(always)]
    pub fn caps_or_badges(&self) -> &[Word] {
        &self.0.caps_or_badges
    }

    /// The capabilities to send, or the badges that received ones were replaced by.
    #[inline(always)]
    pub fn caps_or_badges_mut(&mut self) -> &mut [Word] {
        &mut self.0.caps_or_badges
    }

    /// The slot that a received capability goes to.
    pub fn recv_slot(&self) -> AbsoluteCPtr {
        cap::CNode::from_bits(self.0.receiveCNode)
            .absolute_cptr_from_bits_with_depth(self.0.receiveIndex, self.0.receiveDepth as usize)
    }

    /// Sets the slot that a received capability goes to. It stays set: a caller can always pass
    /// one.
    pub fn set_recv_slot(&mut self, slot: &AbsoluteCPtr) {
        self.0.receiveCNode = slot.root().bits();
        self.0.receiveIndex = slot.path().bits();
        self.0.receiveDepth = slot.path().depth() as Word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        // kernel/include/shared_types.h: message word i at 8 + 8i, capability slots at 976.
        use core::mem::offset_of;
        assert_eq!(offset_of!(sys::seL4_IPCBuffer, msg), 8);
        assert_eq!(offset_of!(sys::seL4_IPCBuffer, userData), 968);
        assert_eq!(offset_of!(sys::seL4_IPCBuffer, caps_or_badges), 976);
        assert_eq!(size_of::<IpcBuffer>(), 1024);
    }

    #[test]
    fn bytes_and_words_are_the_same_memory() {
        let mut buffer = IpcBuffer::default();
        buffer.msg_bytes_mut()[..8].copy_from_slice(&7u64.to_ne_bytes());
        assert_eq!(buffer.msg_regs()[0], 7);
        assert_eq!(buffer.msg_bytes().len(), 960);
    }

    #[cfg(feature = "state")]
    #[test]
    fn the_receive_slot_round_trips() {
        let mut buffer = IpcBuffer::default();
        let slot = cap::CNode::from_bits(2).absolute_cptr_from_bits_with_depth(77, 20);
        buffer.set_recv_slot(&slot);
        assert_eq!(buffer.recv_slot(), slot);
    }
}
