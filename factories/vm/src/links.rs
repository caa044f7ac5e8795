// SPDX-License-Identifier: BSD-2-Clause
//! What a guest has to do with others: messages, signals, memory.
//!
//! A guest has the channels of its machine's IC, by the same numbers, with the same consent and from the same
//! IC manager as a program has them. So there is no protocol here. A guest talks to the IC manager itself,
//! through its monitor, which looks at what is asked ([`asks`]) only so that a guest cannot put anything into
//! slots that are the monitor's, or map anything into it. Memory that others share with a guest is mapped
//! below its second stage by the IC manager, and taken back by it: the monitor has no part in that, but that
//! an access to what is not there (any more) is a protection fault in the guest.

use xos_protocol::manager::{
    Connect, ObjectKind, Op, Open, Pass, RegionCreate, Register, SECOND_STAGE, Share,
};
use xos_protocol::{Error, Result, Subject};

use crate::interface::{
    BELL, ENDPOINT, MESSAGE_BYTES, MESSAGE_WORDS, NAMED_CHANNELS, NAMED_CHANNELS_END, OWN_CHANNELS,
    OWN_CHANNELS_END, SHARED, SHARED_END,
};

/// A message, as a guest writes and reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its label; of a reply 0, or the error ([`Error::label`]).
    pub label: u64,
    /// Its words.
    pub words: [u64; MESSAGE_WORDS as usize],
    /// Of one that was received: the session through which it came.
    pub who: u64,
}

impl Message {
    /// Reads one.
    #[must_use]
    pub fn read(bytes: &[u8; MESSAGE_BYTES as usize]) -> Self {
        let mut all = [0; MESSAGE_WORDS as usize + 2];
        for (word, bytes) in all.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        let [label, words @ .., who] = all;
        Self { label, words, who }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; MESSAGE_BYTES as usize] {
        let mut bytes = [0; MESSAGE_BYTES as usize];
        let all = [self.label].into_iter().chain(self.words).chain([self.who]);
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(all) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// A reply that says how it went.
    #[must_use]
    pub fn reply(outcome: Result<[u64; MESSAGE_WORDS as usize]>) -> Self {
        let (label, words) = match outcome {
            Ok(words) => (0, words),
            Err(error) => (error.label(), Default::default()),
        };
        Self {
            label,
            words,
            who: 0,
        }
    }
}

/// What a guest wants of others. A channel is one that [is a guest's](is_channel).
#[derive(Debug, PartialEq, Eq)]
pub enum Link<'a> {
    /// To ask the IC manager; the reply replaces the request.
    Ask(&'a mut Message),
    /// To call; the reply replaces the request.
    Call(u32, &'a mut Message),
    /// To send.
    Send(u32, &'a Message),
    /// To signal.
    Signal(u32),
    /// To receive: whether there was a message, which is in this then.
    Receive(&'a mut Message),
    /// To reply: whether somebody waits.
    Reply(&'a Message),
    /// To learn what was signalled.
    Signals,
}

/// Whether a guest can send through the channel of this number. (Its own endpoint is where it receives.)
#[must_use]
pub const fn is_channel(number: u32) -> bool {
    number >= NAMED_CHANNELS && number < NAMED_CHANNELS_END || is_own(number) && number != ENDPOINT
}

/// Whether a guest may have a slot filled.
const fn is_own(slot: u32) -> bool {
    slot >= OWN_CHANNELS && slot < OWN_CHANNELS_END
}

const fn allow(what: bool, or: Error) -> Result<()> {
    if what { Ok(()) } else { Err(or) }
}

/// Whether a guest may ask the IC manager this. Whether it gets it is for the IC manager to say.
///
/// # Errors
/// What is asked about the monitor and not about the guest, or does not decode;
/// [`Error::NoSuchOperation`] for what is not for guests.
pub fn asks(message: &Message) -> Result<()> {
    let words = message.words;
    // What goes to others goes to slots of theirs.
    let receives = |target, slot| allow(target != Subject::Myself || is_own(slot), Error::BadSlot);
    match Op::from_label(message.label)? {
        Op::Ping | Op::Agree | Op::Close | Op::NextEvent | Op::RegionDestroy | Op::Unshare => {
            Ok(())
        }
        Op::Open => allow(is_own(Open::from_words(words)?.slot), Error::BadSlot),
        Op::Make => {
            let endpoint = ObjectKind::from_word(words[0])? == ObjectKind::Endpoint;
            allow(endpoint && words[1] == u64::from(ENDPOINT), Error::BadSlot)
        }
        Op::Register => {
            let endpoint = Register::from_words(words)?.endpoint;
            allow(endpoint == ENDPOINT, Error::BadCapability)
        }
        Op::Connect => {
            let args = Connect::from_words(words)?;
            allow(matches!(args.source, ENDPOINT | BELL), Error::BadCapability)?;
            receives(args.target, args.slot)
        }
        Op::Pass => {
            let args = Pass::from_words(words)?;
            receives(args.target, args.slot)
        }
        Op::RegionCreate => allow(RegionCreate::from_words(words)?.place == 0, Error::BadSlot),
        Op::Share => {
            let args = Share::from_words(words)?;
            let below = args.address.checked_sub(SECOND_STAGE);
            let there = below.is_some_and(|at| (SHARED.into()..SHARED_END.into()).contains(&at));
            allow(args.target != Subject::Myself || there, Error::BadAddress)
        }
        _ => Err(Error::NoSuchOperation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xos_protocol::Name;
    use xos_protocol::manager::{Consent, Payer, Rights, ServiceKind, Successor};

    fn message(op: Op, words: [u64; 4]) -> Message {
        Message {
            label: op.label(),
            words,
            who: 0,
        }
    }

    #[test]
    fn a_guest_fills_slots_that_are_its_own() {
        let name = Name::new("x");
        let consent = Consent::default();
        for slot in 0..128 {
            let own = (32..64).contains(&slot);
            let open = Open {
                name,
                slot,
                consent,
            };
            assert_eq!(asks(&message(Op::Open, open.words())).is_ok(), own);
            for (target, allowed) in [(Subject::Myself, own), (Subject::Client(3), true)] {
                let pass = Pass {
                    session: 3,
                    slot,
                    target,
                };
                let connect = Connect {
                    source: BELL,
                    slot,
                    target,
                };
                assert_eq!(asks(&message(Op::Pass, pass.words())).is_ok(), allowed);
                assert_eq!(
                    asks(&message(Op::Connect, connect.words())).is_ok(),
                    allowed
                );
            }
        }
    }

    #[test]
    fn what_a_guest_gives_to_others_is_the_machines_endpoint_and_bell() {
        for slot in 0..128 {
            let register = Register {
                name: Name::new("x"),
                endpoint: slot,
                kind: ServiceKind::Service,
                successor: Successor::None,
            };
            let registers = asks(&message(Op::Register, register.words()));
            assert_eq!(registers.is_ok(), slot == ENDPOINT);
            let made = asks(&message(Op::Make, [0, slot.into(), 0, 0]));
            assert_eq!(made.is_ok(), slot == ENDPOINT);
            let connect = Connect {
                source: slot,
                slot: 40,
                target: Subject::Client(3),
            };
            let connects = asks(&message(Op::Connect, connect.words()));
            assert_eq!(connects.is_ok(), matches!(slot, ENDPOINT | BELL));
        }
        assert!(asks(&message(Op::Make, [1, ENDPOINT.into(), 0, 0])).is_err());
    }

    #[test]
    fn a_guest_maps_nothing_into_its_monitor() {
        let share = |address| {
            let share = Share {
                region: xos_protocol::RegionId::from_word(1 << 12),
                target: Subject::Myself,
                address,
                rights: Rights::RW,
            };
            asks(&message(Op::Share, share.words()))
        };
        assert_eq!(share(SECOND_STAGE | 0x8000_0000), Ok(()));
        assert_eq!(share(SECOND_STAGE | 0xbfe0_0000), Ok(()));
        for address in [
            0x8000_0000,
            SECOND_STAGE | 0xc000_0000,
            SECOND_STAGE | 0x7fe0_0000,
        ] {
            assert_eq!(share(address), Err(Error::BadAddress), "{address:#x}");
        }
        let region = |place| {
            let args = RegionCreate {
                payer: Payer::Myself,
                pages: 1,
                large: false,
                place,
            };
            asks(&message(Op::RegionCreate, args.words()))
        };
        assert_eq!((region(0), region(40)), (Ok(()), Err(Error::BadSlot)));
    }

    #[test]
    fn through_its_endpoint_a_guest_only_receives() {
        let all: Vec<u32> = (0..256).filter(|number| is_channel(*number)).collect();
        let wanted: Vec<u32> = (8..12).chain(33..64).collect();
        assert_eq!(all, wanted);
    }

    proptest! {
        #[test]
        fn a_message_survives_its_bytes(label: u64, words: [u64; 4], who: u64) {
            let message = Message { label, words, who };
            prop_assert_eq!(Message::read(&message.bytes()), message);
        }

        #[test]
        fn any_request_is_for_guests_or_not(label in 0x100u64..0x130, words: [u64; 4]) {
            let _ = asks(&Message { label, words, who: 0 });
        }
    }
}
