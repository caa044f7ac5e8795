// SPDX-License-Identifier: BSD-2-Clause
//! What is to be created, put together step by step.

use heapless::String;
use xos_protocol::factory;
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Error, Result};

/// So many KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KiB(pub u64);

/// So many MiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MiB(pub u64);

impl From<KiB> for u64 {
    fn from(KiB(size): KiB) -> u64 {
        size.saturating_mul(1 << 10)
    }
}

impl From<MiB> for u64 {
    fn from(MiB(size): MiB) -> u64 {
        size.saturating_mul(1 << 20)
    }
}

/// What is to be created. See [`factory::Spec`] for what each part means.
///
/// The strings have to fit into one message together, and have no NUL byte in them; if not,
/// [`Factory::create`](crate::Factory::create) says so.
#[derive(Clone, Debug)]
pub struct Spec {
    image: String<MAX_BYTES>,
    arguments: String<MAX_BYTES>,
    environment: String<MAX_BYTES>,
    channels: String<MAX_BYTES>,
    rest: factory::Spec<'static>,
    /// Whether everything fitted so far.
    sound: bool,
}

impl Spec {
    /// A program by the name of its image in the initial file tree, without arguments.
    pub fn image(name: &str) -> Self {
        let mut spec = Self {
            image: String::new(),
            arguments: String::new(),
            environment: String::new(),
            channels: String::new(),
            rest: factory::Spec::default(),
            sound: true,
        };
        spec.sound = spec.image.push_str(name).is_ok();
        spec
    }

    fn push(list: &mut String<MAX_BYTES>, parts: &[&str]) -> bool {
        let clean = parts.iter().all(|part| !part.contains('\0'));
        clean && parts.iter().all(|part| list.push_str(part).is_ok()) && list.push('\0').is_ok()
    }

    /// One more argument. With the first, the program's own name is put before it.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        if self.arguments.is_empty() {
            self.sound &= Self::push(&mut self.arguments, &[self.image.as_str()]);
        }
        self.sound &= Self::push(&mut self.arguments, &[argument]);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<'a>(self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// One more variable of the environment. A name with `=` in it is refused.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.sound &= !name.is_empty()
            && !name.contains('=')
            && Self::push(&mut self.environment, &[name, "=", value]);
        self
    }

    /// One more named channel, to be connected before the start: the n-th is number n, from 0, in
    /// [`Ic::connect`](crate::Ic::connect).
    #[must_use]
    pub fn channel(mut self, name: &str) -> Self {
        self.sound &= Self::push(&mut self.channels, &[name]);
        self
    }

    /// Bytes that it may cost in all: what its image needs beside what it creates. Without this, what the
    /// image needs and no more.
    #[must_use]
    pub fn memory(mut self, bytes: impl Into<u64>) -> Self {
        self.rest.memory = bytes.into();
        self
    }

    /// ICs and sessions that it may pay for.
    #[must_use]
    pub fn ics(mut self, count: u16) -> Self {
        self.rest.ics = count;
        self
    }

    /// Bytes of its stack.
    #[must_use]
    pub fn stack(mut self, bytes: impl Into<u64>) -> Self {
        match u32::try_from(bytes.into()) {
            Ok(bytes) => self.rest.stack = bytes,
            Err(_) => self.sound = false,
        }
        self
    }

    /// Radix of its CSpace: the binary logarithm of its number of slots.
    #[must_use]
    pub fn cspace_radix(mut self, radix: u8) -> Self {
        self.rest.cspace_radix = radix;
        self
    }

    /// Lets it compose ICs by itself.
    #[must_use]
    pub fn composes(mut self) -> Self {
        self.rest.composes = true;
        self
    }

    /// As it travels.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a string was too long or had a byte in it that it must not have.
    pub fn get(&self) -> Result<factory::Spec<'_>> {
        if !self.sound {
            return Err(Error::Malformed);
        }
        Ok(factory::Spec {
            image: &self.image,
            arguments: &self.arguments,
            environment: &self.environment,
            channels: &self.channels,
            ..self.rest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String as StdString;
    use xos_protocol::start::strings;

    fn text() -> impl Strategy<Value = StdString> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..400);
        bytes.prop_map(|bytes| StdString::from_utf8_lossy(&bytes).into_owned())
    }

    proptest! {
        #[test]
        fn arguments_arrive_as_given_behind_the_programs_name(all in proptest::collection::vec("[^\0]{0,9}", 1..9)) {
            let spec = Spec::image("prog").args(all.iter().map(StdString::as_str));
            let spec = spec.get().unwrap();
            let mut arrived = strings(spec.arguments);
            prop_assert_eq!(arrived.next(), Some("prog"));
            prop_assert!(arrived.eq(all.iter().map(StdString::as_str)));
        }

        #[test]
        fn no_strings_make_it_panic(all in proptest::collection::vec(text(), 0..9)) {
            let mut spec = Spec::image(all.first().map_or("", StdString::as_str));
            for text in &all {
                spec = spec.arg(text).env(text, text).channel(text);
            }
            let _ = spec.get();
        }
    }

    #[test]
    fn without_arguments_there_is_not_even_the_name() {
        assert_eq!(Spec::image("prog").get().unwrap().arguments, "");
    }

    #[test]
    fn a_nul_byte_is_refused_wherever_it_is() {
        for spec in [
            Spec::image("p").arg("a\0b"),
            Spec::image("p").env("A\0", "b"),
            Spec::image("p").env("A", "\0"),
            Spec::image("p").channel("\0"),
        ] {
            assert_eq!(spec.get().err(), Some(Error::Malformed));
        }
    }

    #[test]
    fn a_variable_has_a_name_without_equals_sign() {
        assert_eq!(
            Spec::image("p").env("A=B", "c").get().err(),
            Some(Error::Malformed)
        );
        assert_eq!(
            Spec::image("p").env("", "c").get().err(),
            Some(Error::Malformed)
        );
        let spec = Spec::image("p").env("A", "b=c");
        assert_eq!(spec.get().unwrap().environment, "A=b=c\0");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_cut() {
        let long = "x".repeat(MAX_BYTES);
        assert_eq!(
            Spec::image("p").arg(&long).get().err(),
            Some(Error::Malformed)
        );
        assert_eq!(
            Spec::image("p").stack(1u64 << 32).get().err(),
            Some(Error::Malformed)
        );
    }

    #[test]
    fn sizes_say_their_unit() {
        let spec = Spec::image("p").memory(MiB(2)).stack(KiB(64));
        let spec = spec.get().unwrap();
        assert_eq!((spec.memory, spec.stack), (2 << 20, 64 << 10));
        assert_eq!(u64::from(MiB(u64::MAX)), u64::MAX);
    }
}
