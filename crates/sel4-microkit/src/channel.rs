// SPDX-License-Identifier: BSD-2-Clause

use thiserror::Error;

use crate::symbols::{pd_irqs, pd_notifications, pd_pps};
use crate::{MessageInfo, abi};

/// A channel between this domain and another, or an interrupt, by its identifier in the system
/// description.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Channel {
    index: usize,
}

impl Channel {
    /// The channel with identifier `index`.
    ///
    /// # Panics
    /// If `index` is above [`abi::MAX_ID`]. In a constant that is an error of compilation.
    pub const fn new(index: usize) -> Self {
        assert!(
            index <= abi::MAX_ID,
            "a channel's identifier is at most 25 with this kernel"
        );
        Self { index }
    }

    /// The identifier.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The capability of this channel from `base` on, if its bit in `valid` is set.
    #[track_caller]
    fn cap<T: sel4::CapType>(&self, operation: &str, valid: usize, base: u64) -> sel4::Cap<T> {
        if valid & 1 << self.index == 0 {
            panic!("{operation}: not valid for channel '{}'", self.index);
        }
        sel4::Cap::from_bits(base + self.index as u64)
    }

    #[doc(hidden)]
    #[track_caller]
    pub fn notification(&self) -> sel4::cap::Notification {
        self.cap("notify", pd_notifications(), abi::BASE_OUTPUT_NOTIFICATION)
    }

    #[doc(hidden)]
    #[track_caller]
    pub fn irq_handler(&self) -> sel4::cap::IrqHandler {
        self.cap("irq_ack", pd_irqs(), abi::BASE_IRQ)
    }

    #[doc(hidden)]
    #[track_caller]
    pub fn endpoint(&self) -> sel4::cap::Endpoint {
        self.cap("pp_call", pd_pps(), abi::BASE_ENDPOINT)
    }

    /// Notifies the domain at the other end. Corresponds to `microkit_notify`.
    ///
    /// # Panics
    /// If the description does not let this domain notify on this channel.
    #[track_caller]
    pub fn notify(&self) {
        self.notification().signal()
    }

    /// Lets the interrupt of this identifier come again. Corresponds to `microkit_irq_ack`.
    ///
    /// # Errors
    /// If the kernel refuses, as for a capability that is no interrupt handler.
    ///
    /// # Panics
    /// If the identifier is no interrupt's.
    #[track_caller]
    pub fn irq_ack(&self) -> Result<(), IrqAckError> {
        Ok(self.irq_handler().irq_handler_ack()?)
    }

    /// Calls the protected procedure of the domain at the other end. Corresponds to
    /// `microkit_ppcall`.
    ///
    /// # Panics
    /// If the description does not let this domain call on this channel.
    #[track_caller]
    pub fn pp_call(&self, msg_info: MessageInfo) -> MessageInfo {
        MessageInfo::from_inner(self.endpoint().call(msg_info.into_inner()))
    }
}

/// Why [`Channel::irq_ack`] failed.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("irq ack error: {0:?}")]
pub struct IrqAckError(sel4::Error);

impl From<sel4::Error> for IrqAckError {
    fn from(error: sel4::Error) -> Self {
        Self(error)
    }
}

/// A child of this domain, by its identifier in the system description.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Child {
    index: usize,
}

impl Child {
    /// The child with identifier `index`.
    pub const fn new(index: usize) -> Self {
        Self { index }
    }

    /// The identifier.
    pub const fn index(&self) -> usize {
        self.index
    }

    #[doc(hidden)]
    pub fn tcb(&self) -> sel4::cap::Tcb {
        sel4::Cap::from_bits(abi::BASE_TCB + self.index as u64)
    }
}
