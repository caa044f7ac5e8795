// SPDX-License-Identifier: BSD-2-Clause
//! Isolation contexts as messages name and describe them.

use serde::{Deserialize, Serialize};

/// Bits of the table index in an id: 4,096 objects of a kind can be alive (the kernel has 4,094 address spaces).
pub const INDEX_BITS: u32 = 12;
/// Bits of the serial number, above the index. The top bit of a word stays 0, which [`Subject`] uses.
pub const SERIAL_BITS: u32 = 51;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 64 bits, never reused: a stale id is answered with
        /// [`Error::Gone`](crate::Error::Gone), never with another object. The low
        /// [`INDEX_BITS`] are the index in the manager's table (so look-up is one
        /// access), the rest a serial number that only grows.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub struct $name(u64);

        impl $name {
            /// Names nothing: serial numbers start at 1.
            pub const NONE: Self = Self(0);

            /// Composes an id; `None` when the serial number is 0 or either part does not fit.
            pub const fn new(serial: u64, index: u32) -> Option<Self> {
                if serial == 0 || serial >> SERIAL_BITS != 0 || index >> INDEX_BITS != 0 {
                    None
                } else {
                    Some(Self(serial << INDEX_BITS | index as u64))
                }
            }

            /// The id in a message word.
            pub const fn from_word(word: u64) -> Self {
                Self(word)
            }

            /// The message word.
            pub const fn word(self) -> u64 {
                self.0
            }

            /// Index in the manager's table; also the index of the badges minted for it.
            pub const fn index(self) -> u32 {
                self.0 as u32 & ((1 << INDEX_BITS) - 1)
            }

            /// The part that is never reused.
            pub const fn serial(self) -> u64 {
                self.0 >> INDEX_BITS
            }
        }

        impl core::fmt::Display for $name {
            /// The serial number alone: what people type and read.
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.serial().fmt(f)
            }
        }
    };
}

id! {
    /// Names an isolation context.
    IcId
}
id! {
    /// Names a region.
    RegionId
}

/// Whom a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// The caller's own IC.
    Myself,
    /// An IC that the caller created, pays for, or supervises.
    Ic(IcId),
    /// The other end of a session or connection, by its index: the client of a session on the caller, or the
    /// server of one of the caller's. What may be done to it is what it consented to.
    Client(u32),
}

impl Subject {
    const CLIENT: u64 = 1 << 63;

    /// The message word.
    pub const fn word(self) -> u64 {
        match self {
            Self::Myself => 0,
            Self::Ic(id) => id.word(),
            Self::Client(session) => Self::CLIENT | session as u64,
        }
    }

    /// Reads a message word; any word is a subject (that may turn out to be gone).
    pub const fn from_word(word: u64) -> Self {
        if word == 0 {
            Self::Myself
        } else if word & Self::CLIENT != 0 {
            Self::Client(word as u32)
        } else {
            Self::Ic(IcId::from_word(word))
        }
    }
}

/// Where an IC is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum IcState {
    /// Its objects exist; its factory is composing it.
    New = 0,
    /// Composed; waiting to be started.
    Ready = 1,
    /// Started.
    Running = 2,
    /// Stopped by `suspend`; its memory is as it was.
    Suspended = 3,
    /// Its objects are being or have been reclaimed.
    Dead = 4,
}

impl IcState {
    /// Reads a message word; `None` when it is no state.
    pub const fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            0 => Self::New,
            1 => Self::Ready,
            2 => Self::Running,
            3 => Self::Suspended,
            4 => Self::Dead,
            _ => return None,
        })
    }

    /// What `list` prints.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Dead => "dead",
        }
    }
}

/// A short name: at most 24 bytes of UTF-8, cut at a character border, in three words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Name([u8; Name::MAX]);

impl Name {
    /// Bytes that a name holds.
    pub const MAX: usize = 24;
    /// No name.
    pub const EMPTY: Self = Self([0; Self::MAX]);

    /// The name, cut to what fits; control characters become `?`.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; Self::MAX];
        let mut len = 0;
        for c in text.chars() {
            let c = if c.is_control() { '?' } else { c };
            if len + c.len_utf8() > Self::MAX {
                break;
            }
            c.encode_utf8(&mut bytes[len..]);
            len += c.len_utf8();
        }
        Self(bytes)
    }

    /// From three message words; bytes that are not UTF-8 end the name.
    pub fn from_words(words: [u64; 3]) -> Self {
        let mut bytes = [0; Self::MAX];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self::new(Self(bytes).as_str())
    }

    /// The three message words.
    pub fn words(&self) -> [u64; 3] {
        let word = |i: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.0[8 * i..8 * i + 8]);
            u64::from_le_bytes(bytes)
        };
        [word(0), word(1), word(2)]
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(Self::MAX);
        let text = &self.0[..end];
        match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(e) => core::str::from_utf8(&text[..e.valid_up_to()]).unwrap_or(""),
        }
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How an IC ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It ended itself with this code.
    Code(i32),
    /// It did something that its contract does not allow.
    Fault(Fault),
    /// It was killed: by its handle, its payer's end or the supervisor.
    Killed,
}

impl ExitStatus {
    /// The status as a shell knows it: the code's low byte, 128 + a signal-like number otherwise.
    pub const fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code as u8,
            Self::Fault(_) => 128 + 11,
            Self::Killed => 128 + 9,
        }
    }

    /// Three reply words.
    pub const fn words(self) -> [u64; 3] {
        match self {
            Self::Code(code) => [0, code as u32 as u64, 0],
            Self::Fault(fault) => {
                let (kind, detail) = fault.kind.words();
                [1 | kind << 8, fault.ip, detail]
            }
            Self::Killed => [2, 0, 0],
        }
    }

    /// Reads three reply words; `None` when they are no status.
    pub const fn from_words(words: [u64; 3]) -> Option<Self> {
        Some(match words[0] & 0xff {
            0 => Self::Code(words[1] as u32 as i32),
            1 => match FaultKind::from_words(words[0] >> 8, words[2]) {
                Some(kind) => Self::Fault(Fault { ip: words[1], kind }),
                None => return None,
            },
            2 => Self::Killed,
            _ => return None,
        })
    }
}

impl core::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Code(0) => write!(f, "ended"),
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Fault(fault) => write!(f, "crashed: {fault}"),
            Self::Killed => write!(f, "killed"),
        }
    }
}

/// A fault as the kernel reported it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Address of the instruction.
    pub ip: u64,
    /// What it did.
    pub kind: FaultKind,
}

/// What a faulting instruction did (seL4 reference manual 5.0, section 6.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum FaultKind {
    /// Read where it may not (address).
    Read(u64),
    /// Wrote where it may not (address).
    Write(u64),
    /// Executed where it may not (address).
    Execute(u64),
    /// A processor exception (vector: 0 divide, 3 breakpoint, 6 invalid opcode, 13 general protection, ...).
    Exception(u8),
    /// Invoked a capability that it does not have (CPtr).
    Capability(u64),
    /// Executed a system call instruction with a number that the kernel does not know.
    Syscall(u64),
    /// A Rust panic; the message is in the log of the factory.
    Panic,
}

impl FaultKind {
    /// A page fault at `address` by the instruction at `ip`, as the processor's error code tells it:
    /// whether the access was a write, and whether it was an instruction fetch.
    ///
    /// A processor tells fetches apart only where pages can be not executable, which this kernel
    /// does not use (Intel SDM volume 3, section 4.7). But an instruction that could not be fetched
    /// is known by its address: it is the one at fault, or, where the instruction crosses into
    /// another page, that page's first.
    pub const fn page_fault(ip: u64, address: u64, write: bool, fetch: bool) -> Self {
        const PAGE: u64 = 4096;
        /// The longest instruction, in bytes.
        const LONGEST: u64 = 15;
        let crosses = address.is_multiple_of(PAGE) && address.wrapping_sub(ip) < LONGEST;
        if fetch || (!write && (address == ip || crosses)) {
            Self::Execute(address)
        } else if write {
            Self::Write(address)
        } else {
            Self::Read(address)
        }
    }

    const fn words(self) -> (u64, u64) {
        match self {
            Self::Read(address) => (0, address),
            Self::Write(address) => (1, address),
            Self::Execute(address) => (2, address),
            Self::Exception(vector) => (3, vector as u64),
            Self::Capability(cptr) => (4, cptr),
            Self::Syscall(number) => (5, number),
            Self::Panic => (6, 0),
        }
    }

    const fn from_words(kind: u64, detail: u64) -> Option<Self> {
        Some(match kind {
            0 => Self::Read(detail),
            1 => Self::Write(detail),
            2 => Self::Execute(detail),
            3 => Self::Exception(detail as u8),
            4 => Self::Capability(detail),
            5 => Self::Syscall(detail),
            6 => Self::Panic,
            _ => return None,
        })
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.kind {
            FaultKind::Read(address) => write!(f, "read at {address:#x}")?,
            FaultKind::Write(address) => write!(f, "write at {address:#x}")?,
            FaultKind::Execute(address) => write!(f, "execution at {address:#x}")?,
            FaultKind::Exception(0) => write!(f, "division error")?,
            FaultKind::Exception(3) => write!(f, "breakpoint")?,
            FaultKind::Exception(6) => write!(f, "invalid instruction")?,
            FaultKind::Exception(13) => write!(f, "general protection")?,
            FaultKind::Exception(vector) => write!(f, "processor exception {vector}")?,
            FaultKind::Capability(cptr) => write!(f, "invalid capability {cptr:#x}")?,
            FaultKind::Syscall(number) => write!(f, "unknown system call {:#x}", number as i64)?,
            FaultKind::Panic => write!(f, "panic")?,
        }
        write!(f, " (instruction at {:#x})", self.ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault_kind() -> impl Strategy<Value = FaultKind> {
        prop_oneof![
            any::<u64>().prop_map(FaultKind::Read),
            any::<u64>().prop_map(FaultKind::Write),
            any::<u64>().prop_map(FaultKind::Execute),
            any::<u8>().prop_map(FaultKind::Exception),
            any::<u64>().prop_map(FaultKind::Capability),
            any::<u64>().prop_map(FaultKind::Syscall),
            Just(FaultKind::Panic),
        ]
    }

    proptest! {
        #[test]
        fn an_exit_status_survives_its_words(code: i32, ip: u64, kind in fault_kind()) {
            for status in [ExitStatus::Code(code), ExitStatus::Killed, ExitStatus::Fault(Fault { ip, kind })] {
                prop_assert_eq!(ExitStatus::from_words(status.words()), Some(status));
            }
        }

        #[test]
        fn any_words_are_a_status_or_none(words: [u64; 3]) {
            let _ = ExitStatus::from_words(words);
        }

        #[test]
        fn any_words_are_a_printable_name(words: [u64; 3]) {
            let name = Name::from_words(words);
            prop_assert!(!name.as_str().chars().any(char::is_control));
            prop_assert_eq!(Name::from_words(name.words()), name);
        }

        #[test]
        fn an_id_keeps_index_and_serial(serial in 1u64..1 << SERIAL_BITS, index in 0u32..4096) {
            let id = IcId::new(serial, index).unwrap();
            prop_assert_eq!((id.serial(), id.index()), (serial, index));
            prop_assert_eq!(IcId::from_word(id.word()), id);
        }
    }

    #[test]
    fn a_page_fault_at_the_instruction_itself_is_an_execution() {
        let kind = |address, write| FaultKind::page_fault(0x1ff9, address, write, false);
        assert_eq!(kind(0x1ff9, false), FaultKind::Execute(0x1ff9));
        assert_eq!(kind(0x2000, false), FaultKind::Execute(0x2000));
        assert_eq!(kind(0x2008, false), FaultKind::Read(0x2008));
        assert_eq!(kind(0x3000, false), FaultKind::Read(0x3000));
        assert_eq!(kind(0x1ff9, true), FaultKind::Write(0x1ff9));
        assert_eq!(kind(0, false), FaultKind::Read(0));
    }

    #[test]
    fn a_long_name_is_cut_at_a_character_border() {
        assert_eq!(
            Name::new("0123456789012345678901é").as_str(),
            "0123456789012345678901é"
        );
        assert_eq!(
            Name::new("01234567890123456789012é").as_str(),
            "01234567890123456789012"
        );
    }
}
