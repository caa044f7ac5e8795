// SPDX-License-Identifier: BSD-2-Clause

use core::fmt;

use crate::{Channel, Child, MessageInfo, abi};

const INPUT_CAP: sel4::cap::Endpoint = sel4::Cap::from_bits(abi::INPUT_SLOT);

/// What a domain receives.
#[derive(Debug, Clone)]
pub enum Event {
    Notified(ChannelSet),
    Protected(Channel, MessageInfo),
    Fault(Child, MessageInfo),
}

/// Who a badge says it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sender {
    Notification(ChannelSet),
    Caller(Channel),
    Child(Child),
}

impl Sender {
    fn of(badge: sel4::Badge) -> Self {
        const PPC: sel4::Badge = 1 << abi::PPC_BADGE_BIT;
        const FAULT: sel4::Badge = 1 << abi::FAULT_BADGE_BIT;

        if badge & PPC != 0 {
            Self::Caller(Channel::new((badge & !PPC) as usize))
        } else if badge & FAULT != 0 {
            Self::Child(Child::new((badge & !FAULT) as usize))
        } else {
            Self::Notification(ChannelSet(badge))
        }
    }
}

impl Event {
    fn new((tag, badge): (sel4::MessageInfo, sel4::Badge)) -> Self {
        let message = MessageInfo::from_inner(tag);
        match Sender::of(badge) {
            Sender::Notification(channels) => Self::Notified(channels),
            Sender::Caller(channel) => Self::Protected(channel, message),
            Sender::Child(child) => Self::Fault(child, message),
        }
    }
}

/// Channels that have been notified, interrupts among them.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelSet(sel4::Badge);

impl ChannelSet {
    /// The channels whose identifiers are the numbers of the bits set, all at most
    /// [`abi::MAX_ID`].
    pub(crate) fn from_bits(bits: usize) -> Self {
        Self(bits as sel4::Badge)
    }

    /// Whether `channel` is one of them.
    pub fn contains(&self, channel: Channel) -> bool {
        self.0 & 1 << channel.index() != 0
    }

    /// All of them, by rising identifier.
    pub fn iter(&self) -> ChannelSetIter {
        ChannelSetIter(self.0)
    }

    /// A value that shows as the list of their identifiers.
    pub fn display(&self) -> DisplayChannelSet<'_> {
        DisplayChannelSet(self)
    }
}

/// Iterator over a [`ChannelSet`].
#[derive(Debug, Clone)]
pub struct ChannelSetIter(sel4::Badge);

impl Iterator for ChannelSetIter {
    type Item = Channel;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros();
        // Clears the lowest bit.
        self.0 &= self.0 - 1;
        Some(Channel::new(index as usize))
    }
}

/// Shows a [`ChannelSet`] as `{1, 2}`.
pub struct DisplayChannelSet<'a>(&'a ChannelSet);

impl fmt::Display for DisplayChannelSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|channel| channel.index()))
            .finish()
    }
}

/// Answers the message received last. Corresponds to `seL4_Reply`.
pub fn reply(msg_info: MessageInfo) {
    sel4::with_ipc_buffer_mut(|ipc_buffer| sel4::reply(ipc_buffer, msg_info.into_inner()))
}

/// Waits for an event.
pub fn recv() -> Event {
    Event::new(INPUT_CAP.recv(()))
}

/// Answers the message received last and waits for an event.
pub fn reply_recv(msg_info: MessageInfo) -> Event {
    Event::new(INPUT_CAP.reply_recv(msg_info.into_inner(), ()))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    proptest! {
        #[test]
        fn badge_of_a_call_names_its_channel(id in 0..=abi::MAX_ID) {
            let badge = 1 << abi::PPC_BADGE_BIT | id as u64;
            prop_assert_eq!(Sender::of(badge), Sender::Caller(Channel::new(id)));
        }

        #[test]
        fn badge_of_a_fault_names_its_child(id in 0..=abi::MAX_ID) {
            let badge = 1 << abi::FAULT_BADGE_BIT | id as u64;
            prop_assert_eq!(Sender::of(badge), Sender::Child(Child::new(id)));
        }

        #[test]
        fn badge_of_notifications_names_exactly_those_that_came(bits in 0..1u64 << abi::FAULT_BADGE_BIT) {
            let Sender::Notification(channels) = Sender::of(bits) else {
                panic!("not a notification")
            };
            let expected: Vec<usize> = (0..64).filter(|id| bits >> id & 1 != 0).collect();
            let all: Vec<usize> = channels.iter().map(|channel| channel.index()).collect();
            prop_assert_eq!(&all, &expected);
            for id in 0..=abi::MAX_ID {
                prop_assert_eq!(channels.contains(Channel::new(id)), expected.contains(&id));
            }
        }
    }

    #[test]
    fn set_shows_as_a_list() {
        assert_eq!(ChannelSet(0b1010).display().to_string(), "{1, 3}");
    }
}
