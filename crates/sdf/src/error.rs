// SPDX-License-Identifier: BSD-2-Clause
//! What can be wrong with a description, and how it is said.
//!
//! An error names a place and says what is wrong there and what to do, in one line; what it quotes
//! from the description or a program is escaped, so that it stays one line.

use std::fmt;

use xos_image::ImageError;

use crate::ElfError;

/// The first mistake found in a description. Displayed as
/// `file:line:column: <element>: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdfError {
    /// Name of the file, as it was given to [`parse`](crate::parse).
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Name of the element; none if the file is no XML.
    pub element: Option<String>,
    /// What is wrong.
    pub mistake: Box<Mistake>,
}

impl fmt::Display for SdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(element) = &self.element {
            write!(f, "<{}>: ", Escaped(element))?;
        }
        write!(f, "{}", self.mistake)
    }
}

impl std::error::Error for SdfError {}

/// What is wrong with a description. Fields are the words of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Mistake {
    // The form of the file.
    #[error("the file has {size} bytes, a description at most {max}")]
    FileSize { size: usize, max: usize },
    #[error("cannot be read as XML: {}", Escaped(.0))]
    Xml(String),
    #[error("the outermost element of a description must be <system>")]
    Root,
    #[error("there is text between the elements; write it as a comment or remove it")]
    Text,
    #[error("no such element in <{parent}>; {}", Known("elements", .known))]
    UnknownElement {
        parent: &'static str,
        known: &'static [&'static str],
    },
    #[error("no such attribute {}; {}", Quoted(.name), Known("attributes", .known))]
    UnknownAttribute {
        name: String,
        known: &'static [&'static str],
    },
    #[error("attribute '{name}' is missing{hint}")]
    MissingAttribute {
        name: &'static str,
        hint: &'static str,
    },
    #[error("element <{name}> is missing")]
    MissingElement { name: &'static str },
    #[error("only one <{name}> is allowed here")]
    RepeatedElement { name: &'static str },
    #[error("{what}: {why}")]
    Unsupported {
        what: &'static str,
        why: &'static str,
    },
    #[error("an interrupt comes from a 'pin' or from a 'pcidev'; remove one of them")]
    TwoIrqSources,

    // Values.
    #[error("'{attribute}' is {}, not a number; write decimal digits, or 0x and hexadecimal ones", Quoted(.value))]
    NotANumber {
        attribute: &'static str,
        value: String,
    },
    #[error("'{attribute}' is {}, must be {}{hint}", Escaped(.value), Between(*min, *max, *hex))]
    OutOfRange {
        attribute: &'static str,
        value: String,
        min: u64,
        max: u64,
        hex: bool,
        hint: &'static str,
    },
    #[error("'{attribute}' is {value:#x}, must be a multiple of {unit:#x}")]
    Misaligned {
        attribute: &'static str,
        value: u64,
        unit: u64,
    },
    #[error("'{attribute}' is {}, must be {choices}", Quoted(.value))]
    NotAChoice {
        attribute: &'static str,
        value: String,
        choices: &'static str,
    },
    #[error("a name must have 1 to 63 bytes and no control characters")]
    Name,
    #[error("'perms' is {}, must be a combination of 'r', 'w' and 'x'", Quoted(.value))]
    Perms { value: String },
    #[error("'perms' must include 'r': there is no memory that cannot be read")]
    PermsUnreadable,
    #[error("'perms' must not have both 'w' and 'x'; map the region twice, once for each")]
    PermsWriteExecute,
    #[error("'pcidev' is {}, must be BUS:DEVICE.FUNCTION in hexadecimal, at most ff:1f.7", Quoted(.value))]
    PciAddress { value: String },

    // References between elements.
    #[error("there is no <memory_region> named {}", Quoted(.name))]
    NoSuchRegion { name: String },
    #[error("there is no <protection_domain> named {}", Quoted(.name))]
    NoSuchDomain { name: String },
    #[error("the name {} is taken by the element at line {first}", Quoted(.name))]
    DuplicateName { name: String, first: u32 },
    #[error("{what} {id} is taken in domain {} by the element at line {first}", Quoted(.domain))]
    DuplicateId {
        what: &'static str,
        id: u8,
        domain: String,
        first: u32,
    },
    #[error("symbol {} is set by the element at line {first} already", Quoted(.symbol))]
    DuplicateSetvar { symbol: String, first: u32 },
    #[error("{what} is taken by the element at line {first}")]
    DuplicateIrq { what: String, first: u32 },
    #[error("ports {start:#x}..{end:#x} overlap those of the element at line {first}")]
    PortOverlap { start: u32, end: u32, first: u32 },
    #[error("the last port would be {last:#x}; there are ports up to 0xffff")]
    PortRange { last: u64 },
    #[error("no <protection_domain>; a system has at least one")]
    NoDomains,
    #[error("more than {max} protection domains; have some of them created at run time")]
    TooManyDomains { max: usize },
    #[error("more than {max} memory regions")]
    TooManyRegions { max: usize },

    // Memory.
    #[error("memory {start:#x}..{end:#x} overlaps that of region {}, {other_start:#x}..{other_end:#x}", Quoted(.other))]
    PhysicalOverlap {
        start: u64,
        end: u64,
        other: String,
        other_start: u64,
        other_end: u64,
    },
    #[error(
        "addresses {start:#x}..{end:#x} end beyond {limit:#x}, where the memory of programs ends"
    )]
    MapRange { start: u64, end: u128, limit: u64 },
    #[error("addresses {start:#x}..{end:#x} overlap {other}, {other_start:#x}..{other_end:#x}")]
    MapOverlap {
        start: u64,
        end: u64,
        other: String,
        other_start: u64,
        other_end: u64,
    },
    #[error(
        "a region with 'phys_addr' cannot be prefilled: the memory of a device is not ours to write"
    )]
    PrefillPhysical,
    #[error("region {} has no 'phys_addr'; where it will lie is not known before the system runs", Quoted(.region))]
    NoPhysicalAddress { region: String },
    #[error("region {} has no 'prefill_path'", Quoted(.region))]
    NotPrefilled { region: String },
    #[error("{} is empty; remove 'prefill_path'", Quoted(.path))]
    PrefillEmpty { path: String },
    #[error("{} has {len:#x} bytes, the region {size:#x}; make the region larger, or leave out 'size'", Quoted(.path))]
    PrefillSize { path: String, len: u64, size: u64 },

    #[error("no domain maps region {}", Quoted(.name))]
    UnusedRegion { name: String },

    // Channels.
    #[error("a channel has exactly two <end> elements, this one has {0}")]
    Ends(usize),
    #[error("both ends are domain {}; a channel connects two different ones", Quoted(.0))]
    SelfChannel(String),
    #[error("both ends have 'pp'; each would wait for the other")]
    BothPp,
    #[error(
        "{} (priority {caller_priority}) may not call {} (priority {callee_priority}): \
         the called domain needs the same or a higher priority",
        Quoted(.caller), Quoted(.callee)
    )]
    PpPriority {
        caller: String,
        caller_priority: u8,
        callee: String,
        callee_priority: u8,
    },
    #[error("protected procedure calls form a cycle, {}; each would wait for the next", Escaped(.0))]
    PpCycle(String),

    // Files.
    #[error("cannot read {}: {}", Quoted(.path), Escaped(.error))]
    Unreadable { path: String, error: String },
    #[error("{}: {error}", Quoted(.path))]
    Program { path: String, error: ElfError },
    #[error("cannot pack the system: {0}")]
    Image(ImageError),
}

/// Text from outside, on one line.
pub(crate) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Long enough for any path or cycle that a person wrote.
        const MAX: usize = 1000;
        for char in self.0.chars().take(MAX) {
            match char {
                // Bidirectional overrides reorder a terminal's line as control characters clear it.
                '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{}", char.escape_unicode())?;
                }
                char if char.is_control() => write!(f, "{}", char.escape_default())?,
                char => write!(f, "{char}")?,
            }
        }
        if self.0.chars().nth(MAX).is_some() {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

/// The same, in quotation marks.
pub(crate) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", Escaped(self.0))
    }
}

/// The first and the last of what is allowed, and whether they are addresses.
struct Between(u64, u64, bool);

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(min, max, _) if min == max => write!(f, "{min}"),
            Self(min, max, true) => write!(f, "between {min:#x} and {max:#x}"),
            Self(min, max, false) => write!(f, "between {min} and {max}"),
        }
    }
}

/// What there is of a kind, and its names.
struct Known<'a>(&'static str, &'a [&'static str]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, names) = self;
        if names.is_empty() {
            write!(f, "it has no {what}")
        } else {
            write!(f, "known {what} are {}", names.join(", "))
        }
    }
}
