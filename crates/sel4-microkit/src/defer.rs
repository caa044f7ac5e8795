// SPDX-License-Identifier: BSD-2-Clause

#[allow(unused_imports, reason = "named by the documentation")]
use crate::Handler;
use crate::{Channel, IrqAckError};

/// Something that a handler leaves to the main loop to do before it receives again; see
/// [`Handler::take_deferred_action`].
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub struct DeferredAction {
    channel: Channel,
    interface: DeferredActionInterface,
}

/// What of a channel can be deferred.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub enum DeferredActionInterface {
    /// [`Channel::notify`].
    Notify,
    /// [`Channel::irq_ack`].
    IrqAck,
}

impl DeferredAction {
    /// An action on `channel`.
    pub fn new(channel: Channel, interface: DeferredActionInterface) -> Self {
        Self { channel, interface }
    }

    /// A notification of `channel`.
    pub fn new_notify(channel: Channel) -> DeferredAction {
        Self::new(channel, DeferredActionInterface::Notify)
    }

    /// An acknowledgement of the interrupt `channel`.
    pub fn new_irq_ack(channel: Channel) -> DeferredAction {
        Self::new(channel, DeferredActionInterface::IrqAck)
    }

    /// The channel.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What is done with it.
    pub fn interface(&self) -> DeferredActionInterface {
        self.interface
    }

    /// Does it.
    ///
    /// # Errors
    /// Those of [`Channel::irq_ack`].
    pub fn execute_now(self) -> Result<(), IrqAckError> {
        match self.interface {
            DeferredActionInterface::Notify => {
                self.channel.notify();
                Ok(())
            }
            DeferredActionInterface::IrqAck => self.channel.irq_ack(),
        }
    }
}

/// Room for one deferred action, for implementations of [`Handler::take_deferred_action`].
#[derive(Debug, Default)]
pub struct DeferredActionSlot {
    action: Option<DeferredAction>,
}

impl DeferredActionSlot {
    /// An empty slot.
    pub const fn new() -> Self {
        Self { action: None }
    }

    /// Empties the slot.
    pub fn take(&mut self) -> Option<DeferredAction> {
        self.action.take()
    }

    /// Puts `action` into the slot; one that is there already is done now.
    ///
    /// # Errors
    /// Those of the action that was there.
    pub fn defer(&mut self, action: DeferredAction) -> Result<(), IrqAckError> {
        match self.action.replace(action) {
            Some(earlier) => earlier.execute_now(),
            None => Ok(()),
        }
    }

    /// [`defer`](Self::defer) for a notification.
    ///
    /// # Errors
    /// Those of the action that was there.
    pub fn defer_notify(&mut self, channel: Channel) -> Result<(), IrqAckError> {
        self.defer(DeferredAction::new_notify(channel))
    }

    /// [`defer`](Self::defer) for the acknowledgement of an interrupt.
    ///
    /// # Errors
    /// Those of the action that was there.
    pub fn defer_irq_ack(&mut self, channel: Channel) -> Result<(), IrqAckError> {
        self.defer(DeferredAction::new_irq_ack(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_gives_back_what_was_deferred_once() {
        let action = DeferredAction::new_irq_ack(Channel::new(3));
        let mut slot = DeferredActionSlot::new();
        slot.defer(action).unwrap();
        assert_eq!((slot.take(), slot.take()), (Some(action), None));
    }

    #[test]
    #[should_panic = "notify: not valid for channel '3'"]
    fn second_deferred_action_makes_the_first_one_happen() {
        let mut slot = DeferredActionSlot::new();
        slot.defer_notify(Channel::new(3)).unwrap();
        let _ = slot.defer_notify(Channel::new(4));
    }
}
