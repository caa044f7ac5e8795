// SPDX-License-Identifier: BSD-2-Clause
//! What the program was started with.

use xos_protocol::slots::{ic, leaf};
use xos_protocol::start::{StartInfo, strings};

use crate::tls;

/// The start information. A page that does not decode says nothing.
pub(crate) fn get() -> StartInfo<'static> {
    let own = tls::own();
    if own.info == 0 {
        return StartInfo::default();
    }
    // SAFETY: the start information is mapped where the factory said, for as long as the program lives,
    // and nobody writes to it.
    let bytes = unsafe { core::slice::from_raw_parts(own.info as *const u8, own.info_len) };
    StartInfo::read(bytes).unwrap_or_default()
}

/// The arguments, the program's own name first. A program that was given none has not even that.
pub fn args() -> impl Iterator<Item = &'static str> + Clone {
    strings(get().arguments)
}

/// The environment: names and values.
pub fn env() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    variables(get().environment)
}

/// The value of a variable of the environment: the first of that name.
pub fn var(name: &str) -> Option<&'static str> {
    env().find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// The channel of that name: an endpoint or a notification that the creator connected.
pub fn channel(name: &str) -> Option<sel4::cap::Endpoint> {
    let slot = position(get().channels, name)?;
    Some(sel4::cap::Endpoint::from_bits(leaf(slot)))
}

fn variables(list: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    strings(list).filter_map(|variable| variable.split_once('='))
}

/// The root slot of the channel of that name.
fn position(list: &str, name: &str) -> Option<u32> {
    strings(list)
        .zip(ic::FIRST_CHANNEL..ic::FIRST_FREE)
        .find(|(n, _)| *n == name)
        .map(|(_, slot)| slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_lie_in_the_order_of_their_names() {
        let list = "log\0store\0";
        assert_eq!(position(list, "log"), Some(ic::FIRST_CHANNEL));
        assert_eq!(position(list, "store"), Some(ic::FIRST_CHANNEL + 1));
        assert_eq!(position(list, "sto"), None);
    }

    #[test]
    fn names_beyond_the_slots_for_channels_name_nothing() {
        assert_eq!(position("a\0b\0c\0d\0e\0", "d"), Some(ic::FIRST_FREE - 1));
        assert_eq!(position("a\0b\0c\0d\0e\0", "e"), None);
    }

    #[test]
    fn a_variable_without_equals_sign_is_none() {
        assert!(variables("A=1\0B\0C=2=3\0").eq([("A", "1"), ("C", "2=3")]));
    }
}
