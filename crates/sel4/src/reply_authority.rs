// SPDX-License-Identifier: BSD-2-Clause
//! The authority to reply, which a receiver gets without asking: this is no MCS kernel.

use crate::{InvocationContext, MessageInfo, NoExplicitInvocationContext};

/// The authority to reply in this configuration.
pub type ReplyAuthority<C = NoExplicitInvocationContext> = ImplicitReplyAuthority<C>;

/// The authority to reply to the last caller, which the kernel keeps in the thread.
#[derive(Default)]
pub struct ImplicitReplyAuthority<C> {
    context: C,
}

impl<C> ImplicitReplyAuthority<C> {
    /// The authority, used through a context.
    pub const fn new(context: C) -> Self {
        Self { context }
    }

    /// The context.
    pub fn into_invocation_context(self) -> C {
        self.context
    }
}

impl<C: InvocationContext> ImplicitReplyAuthority<C> {
    /// Corresponds to `seL4_Reply`.
    pub fn reply(mut self, info: MessageInfo) {
        self.context
            .with_context(|ipc_buffer| ipc_buffer.inner_mut().seL4_Reply(info.into_inner()));
    }
}

/// What a [`ReplyAuthority`] can be had from.
pub trait ConveysReplyAuthority {
    /// The authority's context.
    type C;

    /// The authority.
    fn into_reply_authority(self) -> ReplyAuthority<Self::C>;
}

impl<C> ConveysReplyAuthority for ReplyAuthority<C> {
    type C = C;

    fn into_reply_authority(self) -> ReplyAuthority<C> {
        self
    }
}

impl ConveysReplyAuthority for () {
    type C = NoExplicitInvocationContext;

    fn into_reply_authority(self) -> ReplyAuthority<Self::C> {
        ImplicitReplyAuthority::default()
    }
}
