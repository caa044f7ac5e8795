// SPDX-License-Identifier: BSD-2-Clause
//! Operations on slots.

use crate::{AbsoluteCPtr, CapRights, Error, InvocationContext, Result, Word, sys};

const fn cap_data(word: Word) -> sys::seL4_CapData {
    sys::seL4_CapData::from_words([word])
}

impl<C: InvocationContext> AbsoluteCPtr<C> {
    /// Corresponds to `seL4_CNode_Revoke`: deletes everything derived from the capability here.
    pub fn revoke(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Revoke(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_Delete`.
    pub fn delete(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Delete(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_CancelBadgedSends`: whoever waits to send through the badged
    /// endpoint capability here starts over. Before a badge is given to somebody else.
    /// **Extension.**
    pub fn cancel_badged_sends(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_CancelBadgedSends(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_Copy`, from `src` to here.
    pub fn copy(self, src: &AbsoluteCPtr, rights: CapRights) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Copy(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
                src.root().bits(),
                src.path().bits(),
                src.path().depth_for_kernel(),
                rights.into_inner(),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_Mint`, from `src` to here. An endpoint's badge has 28 bits in this
    /// kernel, which drops others without a word, a notification's 64; guards are
    /// [`CNodeCapData::into_word`](crate::CNodeCapData::into_word).
    pub fn mint(self, src: &AbsoluteCPtr, rights: CapRights, badge: Word) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Mint(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
                src.root().bits(),
                src.path().bits(),
                src.path().depth_for_kernel(),
                rights.into_inner(),
                cap_data(badge),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_Move`, from `src` to here.
    pub fn move_(self, src: &AbsoluteCPtr) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Move(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
                src.root().bits(),
                src.path().bits(),
                src.path().depth_for_kernel(),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_Mutate`, from `src` to here: moves a capability and gives it
    /// another guard. The kernel refuses endpoints and notifications, whose badge is for good.
    pub fn mutate(self, src: &AbsoluteCPtr, badge: Word) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Mutate(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
                src.root().bits(),
                src.path().bits(),
                src.path().depth_for_kernel(),
                cap_data(badge),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_Rotate`: moves the capability at `pivot` here and the one at
    /// `src` to `pivot`, with new guards; 0 where there is none. Not for endpoints and
    /// notifications, as in [`mutate`](Self::mutate). **Extension.**
    pub fn rotate(
        self,
        badge: Word,
        pivot: &AbsoluteCPtr,
        pivot_badge: Word,
        src: &AbsoluteCPtr,
    ) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_Rotate(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
                cap_data(badge),
                pivot.root().bits(),
                pivot.path().bits(),
                pivot.path().depth_for_kernel(),
                cap_data(pivot_badge),
                src.root().bits(),
                src.path().bits(),
                src.path().depth_for_kernel(),
            )
        }))
    }

    /// Corresponds to `seL4_CNode_SaveCaller`: puts the capability to reply to the last caller
    /// here, to be used later by [`send`](crate::Cap::send).
    pub fn save_caller(self) -> Result<()> {
        Error::wrap(self.invoke(|cptr, path, ipc_buffer| {
            ipc_buffer.inner_mut().seL4_CNode_SaveCaller(
                cptr.bits(),
                path.bits(),
                path.depth_for_kernel(),
            )
        }))
    }
}
