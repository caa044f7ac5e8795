// SPDX-License-Identifier: BSD-2-Clause
//! Names of capabilities and of the slots that hold them.

use core::fmt;
use core::marker::PhantomData;

use crate::cap::CNode;
use crate::{
    CapType, InvocationContext, IpcBuffer, NoExplicitInvocationContext, WORD_SIZE, cap, sys,
};

/// The bits of a capability pointer. Corresponds to `seL4_CPtr`.
pub type CPtrBits = sys::seL4_CPtr;

/// A capability pointer: an address in the current CSpace, resolved over all its bits.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CPtr {
    bits: CPtrBits,
}

impl CPtr {
    /// The bits.
    #[inline(always)]
    pub const fn bits(self) -> CPtrBits {
        self.bits
    }

    /// From the bits.
    #[inline(always)]
    pub const fn from_bits(bits: CPtrBits) -> Self {
        Self { bits }
    }

    /// Says what type of capability is there. Nothing is checked: the kernel does that.
    #[inline(always)]
    pub const fn cast<T: CapType>(self) -> Cap<T> {
        Cap::from_cptr(self)
    }
}

/// A capability pointer of which only the low `depth` bits are resolved.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CPtrWithDepth {
    bits: CPtrBits,
    depth: usize,
}

impl CPtrWithDepth {
    /// From the bits and the number of them to resolve.
    #[inline(always)]
    pub const fn from_bits_with_depth(bits: CPtrBits, depth: usize) -> Self {
        Self { bits, depth }
    }

    /// The bits.
    #[inline(always)]
    pub const fn bits(&self) -> CPtrBits {
        self.bits
    }

    /// The number of bits to resolve.
    #[inline(always)]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The pointer of depth 0, which names the CNode that it is resolved in.
    pub const fn empty() -> Self {
        Self::from_bits_with_depth(0, 0)
    }

    /// The depth as the kernel takes it. One that does not fit becomes one that the kernel refuses.
    #[inline(always)]
    pub(crate) fn depth_for_kernel(&self) -> u8 {
        u8::try_from(self.depth).unwrap_or(u8::MAX)
    }
}

impl From<CPtr> for CPtrWithDepth {
    fn from(cptr: CPtr) -> Self {
        Self::from_bits_with_depth(cptr.bits(), WORD_SIZE)
    }
}

/// A capability of type `T` in the current CSpace, by its address.
///
/// It is a name, not an owner: copying it copies no capability and dropping it deletes none. `C`
/// tells how invocations find the IPC buffer; [`with`](Self::with) changes it.
///
/// CNodes are operated on through [`AbsoluteCPtr`].
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Cap<T: CapType, C = NoExplicitInvocationContext> {
    cptr: CPtr,
    context: C,
    ty: PhantomData<T>,
}

impl<T: CapType, C> Cap<T, C> {
    /// The capability pointer.
    #[inline(always)]
    pub const fn cptr(&self) -> CPtr {
        self.cptr
    }

    /// The bits of the capability pointer.
    #[inline(always)]
    pub const fn bits(&self) -> CPtrBits {
        self.cptr.bits()
    }

    /// Says that the capability is of another type. Nothing is checked.
    #[inline(always)]
    pub fn cast<T1: CapType>(self) -> Cap<T1, C> {
        Cap {
            cptr: self.cptr,
            context: self.context,
            ty: PhantomData,
        }
    }

    /// The same capability, invoked through another context.
    #[inline(always)]
    pub fn with<C1>(self, context: C1) -> Cap<T, C1> {
        Cap {
            cptr: self.cptr,
            context,
            ty: PhantomData,
        }
    }

    /// The same capability, invoked through the default context.
    pub fn without_context(self) -> Cap<T> {
        self.with(NoExplicitInvocationContext::new())
    }

    /// The context.
    #[inline(always)]
    pub fn into_invocation_context(self) -> C {
        self.context
    }

    /// The same capability, of unspecified type.
    pub fn upcast(self) -> cap::Unspecified<C> {
        self.cast()
    }
}

impl<T: CapType> Cap<T> {
    /// From a capability pointer.
    #[inline(always)]
    pub const fn from_cptr(cptr: CPtr) -> Self {
        Self {
            cptr,
            context: NoExplicitInvocationContext::new(),
            ty: PhantomData,
        }
    }

    /// From the bits of a capability pointer.
    #[inline(always)]
    pub const fn from_bits(bits: CPtrBits) -> Self {
        Self::from_cptr(CPtr::from_bits(bits))
    }
}

impl<C> cap::Unspecified<C> {
    /// Says what type the capability is of. Nothing is checked.
    pub fn downcast<T: CapType>(self) -> Cap<T, C> {
        self.cast()
    }
}

impl<T: CapType, C: InvocationContext> Cap<T, C> {
    /// Calls `f` with the capability pointer and the IPC buffer.
    #[inline(always)]
    pub(crate) fn invoke<R>(mut self, f: impl FnOnce(CPtr, &mut IpcBuffer) -> R) -> R {
        let cptr = self.cptr;
        self.context.with_context(|ipc_buffer| f(cptr, ipc_buffer))
    }
}

impl<T: CapType, C> fmt::Debug for Cap<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(T::NAME).field(&self.bits()).finish()
    }
}

/// A slot: a path of chosen depth, from a CNode in the current CSpace.
///
/// Unlike a [`Cap`], it can name any slot in any CNode that can be reached, including slots that
/// hold CNodes (the depth says where to stop) and empty ones.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct AbsoluteCPtr<C = NoExplicitInvocationContext> {
    root: CNode<C>,
    path: CPtrWithDepth,
}

impl<C> AbsoluteCPtr<C> {
    /// The slot at `path` from `root`.
    #[inline(always)]
    pub const fn new(root: CNode<C>, path: CPtrWithDepth) -> Self {
        Self { root, path }
    }

    /// The CNode that the path starts from.
    #[inline(always)]
    pub const fn root(&self) -> &CNode<C> {
        &self.root
    }

    /// The CNode that the path starts from.
    pub fn into_root(self) -> CNode<C> {
        self.root
    }

    /// The path.
    #[inline(always)]
    pub const fn path(&self) -> &CPtrWithDepth {
        &self.path
    }

    /// The same slot, operated on through another context.
    pub fn with<C1>(self, context: C1) -> AbsoluteCPtr<C1> {
        AbsoluteCPtr {
            root: self.root.with(context),
            path: self.path,
        }
    }

    /// The same slot, operated on through the default context.
    pub fn without_context(self) -> AbsoluteCPtr {
        self.with(NoExplicitInvocationContext::new())
    }
}

impl<C: InvocationContext> AbsoluteCPtr<C> {
    /// Calls `f` with the root, the path and the IPC buffer.
    #[inline(always)]
    pub(crate) fn invoke<R>(self, f: impl FnOnce(CPtr, CPtrWithDepth, &mut IpcBuffer) -> R) -> R {
        let path = self.path;
        self.root
            .invoke(|cptr, ipc_buffer| f(cptr, path, ipc_buffer))
    }
}

/// What contains a [`CPtrWithDepth`], a [`CPtr`] and a [`Cap`] one of full depth.
pub trait HasCPtrWithDepth {
    /// The pointer with its depth.
    fn cptr_with_depth(self) -> CPtrWithDepth;
}

impl HasCPtrWithDepth for CPtr {
    fn cptr_with_depth(self) -> CPtrWithDepth {
        self.into()
    }
}

impl<T: CapType, C> HasCPtrWithDepth for Cap<T, C> {
    fn cptr_with_depth(self) -> CPtrWithDepth {
        self.cptr.into()
    }
}

impl HasCPtrWithDepth for CPtrWithDepth {
    fn cptr_with_depth(self) -> CPtrWithDepth {
        self
    }
}

impl<C> CNode<C> {
    /// The slot at `path` from this CNode.
    #[inline(always)]
    pub fn absolute_cptr<T: HasCPtrWithDepth>(self, path: T) -> AbsoluteCPtr<C> {
        AbsoluteCPtr::new(self, path.cptr_with_depth())
    }

    /// The slot at the path of these bits and depth from this CNode.
    #[inline(always)]
    pub fn absolute_cptr_from_bits_with_depth(
        self,
        bits: CPtrBits,
        depth: usize,
    ) -> AbsoluteCPtr<C> {
        self.absolute_cptr(CPtrWithDepth::from_bits_with_depth(bits, depth))
    }

    /// This CNode itself, as the destination of
    /// [`untyped_retype`](cap::Untyped::untyped_retype).
    #[inline(always)]
    pub fn absolute_cptr_for_self(self) -> AbsoluteCPtr<C> {
        self.absolute_cptr(CPtrWithDepth::empty())
    }
}
