// SPDX-License-Identifier: BSD-2-Clause
//! How a program in an IC begins: what it finds in its registers, its CSpace
//! and its address space. Factories that start programs and the library that
//! programs are built on (`xos`) agree on this page.
//!
//! # Registers
//! | register | of a program (its main thread) | of a thread within it |
//! | --- | --- | --- |
//! | RIP | the ELF's entry | [`Entry::ip`](crate::factory::Entry::ip) |
//! | RSP | end of the stack, a multiple of 16 | the same |
//! | RDI | address of the encoded [`StartInfo`], or 0 when it says nothing | [`Entry::argument`](crate::factory::Entry::argument) |
//! | RSI | its length in bytes | 0 |
//! | RDX | address of the thread's IPC buffer, a page of its own | the same |
//! | RCX and FS base | the thread pointer: address of [`TLS_BYTES`] zero bytes, 16-aligned | the same |
//!
//! All others are 0. The thread pointer is [`THREAD_POINTER`] bytes behind the
//! beginning of the IPC buffer, whose page has room, unless the program has a
//! PT_TLS, whose block has to end there (`xos_runtime::tls`). A program cannot
//! find out its FS base, nor its IPC buffer's address, by itself.
//!
//! # Pages that a thread touches
//! A page that comes when it is touched is its program's factory's to give, which a thread's faults do not
//! reach. So the thread asks for it. Its own factory keeps its registers and lets it make a call at
//! [`Entry::pager`](crate::factory::Entry::pager), through its program's capability in
//! [`slots::ic::ITSELF`](crate::slots::ic::ITSELF); by the `ud2` behind that its factory learns that the call has
//! been answered, and either gives it its registers back, to touch the page again, or ends it.
//!
//! # CSpace
//! As [`slots::ic`](crate::slots::ic) says. Its radix is
//! [`StartInfo::cspace_radix`].
//!
//! # Address space
//! What the image, the stack, the IPC buffer and the start information take is
//! below [`WINDOWS`]. What the program may put where is up to it, but for the
//! windows of its threads, which the thread factory assigns, and for what it is [given](GIVEN).

use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::manager::PAGE;
use crate::{Error, Result};

/// Bytes of the IPC buffer proper (`seL4_IPCBuffer`), behind which its page is free.
pub const IPC_BUFFER_BYTES: u64 = 1024;
/// Where the thread pointer is, behind the beginning of the IPC buffer.
pub const THREAD_POINTER: u64 = IPC_BUFFER_BYTES;
/// Bytes at the thread pointer: the word that points to itself (which the program sets), and the values
/// of the thread's keys.
pub const TLS_BYTES: u64 = 512;
/// Radix of an IC's CSpace when nobody asked for another.
pub const DEFAULT_CSPACE_RADIX: u8 = 5;

/// Bytes of the piece of address space that each thread has to itself: what one page table spans.
pub const WINDOW: u64 = 1 << 21;
/// Where the windows of threads are. Window `i` is the piece at `WINDOWS.start + i * WINDOW`; what is mapped
/// in it ends at its end, so that below the stack there is a hole.
pub const WINDOWS: Range<u64> = 0x7000_0000_0000..0x7040_0000_0000;
/// Where others map what a program is given before it starts. It shares its uppermost table with [`WINDOWS`], because
/// an IC has room for few tables that others make it need.
pub const GIVEN: Range<u64> = 0x7040_0000_0000..0x7080_0000_0000;
/// Where a program maps regions. Nobody else puts anything there.
pub const SHARES: Range<u64> = 0x7400_0000_0000..0x7800_0000_0000;

/// What a program is told at its start. Its strings are those of [`Spec`](crate::factory::Spec).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StartInfo<'a> {
    /// Arguments, each ended by a NUL byte; the first is the program's own name. A program that was given
    /// no arguments has not even that.
    pub arguments: &'a str,
    /// Environment, `NAME=value`, each ended by a NUL byte.
    pub environment: &'a str,
    /// Names of channels, each ended by a NUL byte: the first is in slot
    /// [`FIRST_CHANNEL`](crate::slots::ic::FIRST_CHANNEL) and so on.
    pub channels: &'a str,
    /// Radix of its CSpace.
    pub cspace_radix: u8,
}

impl Default for StartInfo<'_> {
    fn default() -> Self {
        Self {
            arguments: "",
            environment: "",
            channels: "",
            cspace_radix: DEFAULT_CSPACE_RADIX,
        }
    }
}

impl<'a> StartInfo<'a> {
    /// Whether it says nothing that a program would not assume: no page is needed for it then.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Encodes it; gives the number of bytes used.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it does not fit. A page has room for everything that fits into one
    /// request.
    pub fn write(&self, bytes: &mut [u8]) -> Result<usize> {
        postcard::to_slice(self, bytes)
            .map(|used| used.len())
            .map_err(|_| Error::Malformed)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`Error::Malformed`] when these bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|_| Error::Malformed)
    }
}

/// The strings in a list in which each is ended by a NUL byte. What comes after the last NUL byte is one, too.
pub fn strings(list: &str) -> impl Iterator<Item = &str> + Clone {
    list.strip_suffix('\0')
        .or((!list.is_empty()).then_some(list))
        .into_iter()
        .flat_map(|list| list.split('\0'))
}

const _: () = assert!(THREAD_POINTER + TLS_BYTES <= PAGE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::Spec;
    use crate::wire::{MAX_WORDS, encode};
    use proptest::prelude::*;

    fn list(strings: &[String]) -> String {
        strings.iter().flat_map(|s| [s.as_str(), "\0"]).collect()
    }

    proptest! {
        #[test]
        fn it_survives_its_page(all in proptest::array::uniform3(proptest::collection::vec("\\PC{0,8}", 0..4)), cspace_radix: u8) {
            let [arguments, environment, channels] = &all.map(|strings| list(&strings));
            let info = StartInfo { arguments, environment, channels, cspace_radix };
            let mut page = [0; PAGE as usize];
            let used = info.write(&mut page).unwrap();
            prop_assert_eq!(StartInfo::read(&page[..used]), Ok(info));
        }

        #[test]
        fn any_bytes_are_start_information_or_refused(bytes: Vec<u8>) {
            let _ = StartInfo::read(&bytes);
        }

        #[test]
        fn strings_come_back_in_order(all in proptest::collection::vec("[^\0]{0,5}", 0..5)) {
            let list = list(&all);
            prop_assert!(strings(&list).eq(all.iter().map(String::as_str)));
        }
    }

    #[test]
    fn what_fits_into_a_request_fits_into_a_page() {
        let text = "x".repeat(960);
        let fits = (0..=960).rev().find(|len| {
            let spec = Spec {
                arguments: &text[..*len],
                ..Spec::default()
            };
            encode(&spec, &mut [0; MAX_WORDS - 1]).is_ok()
        });
        let info = StartInfo {
            arguments: &text[..fits.unwrap()],
            ..StartInfo::default()
        };
        assert!(info.write(&mut [0; PAGE as usize]).is_ok());
    }

    #[test]
    fn a_string_without_its_nul_byte_is_still_one() {
        assert!(strings("a\0b").eq(["a", "b"]));
        assert!(strings("\0").eq([""]));
        assert_eq!(strings("").count(), 0);
    }
}
