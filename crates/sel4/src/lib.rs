// SPDX-License-Identifier: BSD-2-Clause
//! Typed bindings to the seL4 kernel, with the names and signatures of the rust-sel4 project (5.0).
//!
//! A program written to that project's `sel4` crate compiles against this one, on stable Rust, for
//! the kernel that `sel4-sys` was built for. Most items stand for one of libsel4, which each names:
//! the seL4 manual says what they do. All differences between kernel versions end here, and none
//! shows above.
//!
//! # What is where
//! - [`Cap<T, C>`](Cap), [`cap`], [`cap_type`], [`AbsoluteCPtr`]: names of capabilities. Invocations
//!   are methods: of `Cap<T>` for most objects, of [`AbsoluteCPtr`] for CNodes.
//! - [`ObjectBlueprint`], [`CapTypeForObject`]: what an untyped can become.
//! - [`MessageInfo`], [`Cap::call`], [`Cap::recv`], [`Cap::call_with_mrs`] and so on: messages.
//! - [`BootInfoPtr`], [`init_thread`]: what the initial thread is given.
//! - [`sel4_cfg`] and its relatives, [`config`]: the kernel's configuration.
//!
//! # The IPC buffer
//! The kernel keeps the address of each thread's IPC buffer in GS base, and the buffer holds its own
//! address once [`set_ipc_buffer`] has been called on that thread. So invocations need no
//! thread-local storage and no argument ([`ImplicitInvocationContext`]); [`Cap::with`] passes a
//! buffer explicitly. A message of up to four words ([`Cap::call_with_mrs`] and its relatives) and
//! [`cap::Notification::signal`] do not touch the buffer and work without it.
//!
//! # Where this kernel differs
//! Methods for what later kernels do in one invocation and this one does in several say so; what
//! only this kernel has is marked **extension**. The right *grant reply* does not exist and *grant*
//! takes its place ([`CapRights::new`]). I/O ports: [`cap::IOPort`], and a narrowed copy stands in
//! for [`ioport_control_issue`](cap::IOPortControl::ioport_control_issue). There is no MCS.

#![no_std]

mod bootinfo;
mod cap_rights;
mod cap_types;
mod cnode_cap_data;
mod context;
mod cptr;
mod debug;
mod error;
mod fault;
mod helpers;
mod invocations;
mod ipc_buffer;
mod message_info;
mod object;
mod reply_authority;
#[cfg(feature = "state")]
mod state;
mod syscalls;
mod user_context;
mod vm_attributes;
mod vspace;

pub mod init_thread;

pub use sel4_config::{
    self as config, sel4_cfg, sel4_cfg_attr, sel4_cfg_bool, sel4_cfg_enum, sel4_cfg_if,
    sel4_cfg_match, sel4_cfg_str, sel4_cfg_struct, sel4_cfg_usize, sel4_cfg_word,
    sel4_cfg_wrap_match,
};
pub use sel4_sys as sys;

pub use bootinfo::{
    BootInfo, BootInfoExtra, BootInfoExtraId, BootInfoExtraIter, BootInfoPtr, UntypedDesc,
};
pub use cap_rights::{CapRights, CapRightsBuilder};
pub use cap_types::{CapType, cap, cap_type};
pub use cnode_cap_data::CNodeCapData;
pub use context::{InvocationContext, NoExplicitInvocationContext, NoInvocationContext};
pub use cptr::{AbsoluteCPtr, CPtr, CPtrBits, CPtrWithDepth, Cap, HasCPtrWithDepth};
pub use debug::{DebugWrite, debug_put_char, set_debug_put_char};
pub use error::{Error, Result};
pub use fault::{CapFault, Fault, NullFault, UnknownSyscall, UserException, VmFault};
pub use invocations::Time;
pub use ipc_buffer::IpcBuffer;
pub use message_info::{MessageInfo, MessageInfoBuilder};
pub use object::{
    CapTypeForObject, CapTypeForObjectOfFixedSize, CapTypeForObjectOfVariableSize, ObjectBlueprint,
    ObjectBlueprintArch, ObjectBlueprintSeL4Arch, ObjectBlueprintX64, ObjectBlueprintX86,
    ObjectType, ObjectTypeArch, ObjectTypeSeL4Arch, ObjectTypeX64, ObjectTypeX86,
};
pub use reply_authority::{ConveysReplyAuthority, ImplicitReplyAuthority, ReplyAuthority};
pub use syscalls::{
    Badge, CallWithMRs, FastMessages, NUM_FAST_MESSAGE_REGISTERS, NUM_MESSAGE_REGISTERS,
    RecvWithMRs, reply, reply_with_mrs, r#yield,
};
pub use user_context::UserContext;
pub use vm_attributes::VmAttributes;
pub use vspace::{
    CapTypeForFrameObject, CapTypeForFrameObjectOfFixedSize, CapTypeForTranslationTableObject,
    FrameObjectType, TranslationTableObjectType, vspace_levels,
};

#[cfg(feature = "state")]
pub use state::{
    ImplicitInvocationContext, ipc_buffer_is_thread_local, set_ipc_buffer, with_ipc_buffer,
    with_ipc_buffer_mut,
};

sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        pub use invocations::{VCpuContext, VmEntry, VmExit, VmExitFault, vm_enter};
    }
}

sel4_cfg_if! {
    if #[sel4_cfg(DEBUG_BUILD)] {
        pub use debug::{debug_halt, debug_snapshot};
    }
}

/// Corresponds to `seL4_Word`.
pub type Word = sys::seL4_Word;

/// The size of [`Word`] in bits.
pub const WORD_SIZE: usize = sel4_cfg_usize!(WORD_SIZE);

const _: () = assert!(Word::BITS == usize::BITS && WORD_SIZE == Word::BITS as usize);

#[doc(hidden)]
pub mod _private {
    pub use crate::debug::debug_print_helper;
}
