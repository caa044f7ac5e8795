// SPDX-License-Identifier: BSD-2-Clause

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::fmt;

pub use core::convert::Infallible;

use crate::ipc::{self, ChannelSet, Event};
use crate::{Channel, Child, DeferredAction, MessageInfo, symbols};

/// What a domain does with what it receives: the part of its main loop that is its own.
///
/// A method that returns an error ends the domain. A default method panics, which ends it too: the
/// description gave the domain something that its program does not expect.
pub trait Handler {
    /// Why the domain ends.
    type Error: fmt::Display;

    /// Channels have been notified, or interrupts have come. Corresponds to `notified`.
    ///
    /// # Errors
    /// Any, to end the domain.
    fn notified(&mut self, channels: ChannelSet) -> Result<(), Self::Error> {
        panic!(
            "unexpected notification from channels {}",
            channels.display()
        )
    }

    /// A domain calls the protected procedure; its message is in the message registers, and so is
    /// to be the reply's. Corresponds to `protected`.
    ///
    /// # Errors
    /// Any, to end the domain. The caller then waits until the supervisor answers it.
    fn protected(
        &mut self,
        channel: Channel,
        msg_info: MessageInfo,
    ) -> Result<MessageInfo, Self::Error> {
        panic!(
            "unexpected protected procedure call from channel {channel:?} with msg_info={msg_info:?}"
        )
    }

    /// A child has made a fault. It stays stopped if there is no reply. Corresponds to `fault`.
    ///
    /// # Errors
    /// Any, to end the domain.
    fn fault(
        &mut self,
        child: Child,
        msg_info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Self::Error> {
        panic!("unexpected fault from protection domain {child:?} with msg_info={msg_info:?}")
    }

    /// Gives the main loop, after each event, something to do before it replies and receives. Where
    /// a kernel can do both in one system call that saves one; this one cannot.
    fn take_deferred_action(&mut self) -> Option<DeferredAction> {
        None
    }

    #[doc(hidden)]
    fn run(&mut self) -> Result<Never, Self::Error> {
        // An interrupt may have come, and been masked, before the domain or its predecessor ran.
        for irq in ChannelSet::from_bits(symbols::pd_irqs()).iter() {
            if let Err(error) = irq.irq_ack() {
                panic!("interrupt '{}': {error}", irq.index());
            }
        }

        let mut answer: Option<MessageInfo> = None;
        loop {
            let event = match answer.take() {
                Some(msg_info) => ipc::reply_recv(msg_info),
                None => ipc::recv(),
            };
            match event {
                Event::Notified(channels) => self.notified(channels)?,
                Event::Protected(channel, msg_info) => {
                    answer = Some(self.protected(channel, msg_info)?);
                }
                Event::Fault(child, msg_info) => answer = self.fault(child, msg_info)?,
            }
            if let Some(action) = self.take_deferred_action()
                && let Err(error) = action.execute_now()
            {
                panic!(
                    "deferred action on channel '{}': {error}",
                    action.channel().index()
                );
            }
        }
    }
}

/// The success of a main loop, which has none.
#[doc(hidden)]
pub enum Never {}

impl Handler for Never {
    type Error = Infallible;
}

/// A handler for a domain that is done after its initialisation: whatever it receives ends it.
pub struct NullHandler(());

impl NullHandler {
    /// The handler.
    #[allow(
        clippy::new_without_default,
        reason = "as in the crate that this one stands in for"
    )]
    pub fn new() -> Self {
        Self(())
    }
}

impl Handler for NullHandler {
    type Error = Infallible;
}

#[cfg(feature = "alloc")]
impl<T: Handler + ?Sized> Handler for Box<T> {
    type Error = T::Error;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Self::Error> {
        (**self).notified(channels)
    }

    fn protected(
        &mut self,
        channel: Channel,
        msg_info: MessageInfo,
    ) -> Result<MessageInfo, Self::Error> {
        (**self).protected(channel, msg_info)
    }

    fn fault(
        &mut self,
        child: Child,
        msg_info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Self::Error> {
        (**self).fault(child, msg_info)
    }

    fn take_deferred_action(&mut self) -> Option<DeferredAction> {
        (**self).take_deferred_action()
    }

    fn run(&mut self) -> Result<Never, Self::Error> {
        (**self).run()
    }
}
