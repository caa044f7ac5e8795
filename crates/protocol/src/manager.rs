// SPDX-License-Identifier: BSD-2-Clause
//! Requests to the IC manager.
//!
//! Who may ask what is a property of the session (its badge), never of the
//! message. Replies carry label 0 or an [`Error`] as label; the words of a
//! successful reply are given with each operation.

use heapless::Vec;
use serde::{Deserialize, Serialize};

mod payer;
mod relations;

pub use payer::Payer;
pub use relations::{Declare, Pass, Relation};

use crate::ic::INDEX_BITS;
use crate::wire::{Fields, Packer};
use crate::{Error, IcId, IcState, Name, RegionId, Result, Subject};

/// What is asked: the label of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Op {
    /// Nothing; the smallest request. Reply: the caller's own [`IcId`].
    Ping = 0x100,
    /// [`Create`]: a new IC with an address space of its own. It may say what the IC is called, as
    /// [`Op::Annotate`] does ([`Create::named`]). Reply: [`Created`].
    Create,
    /// [`CreateWithin`]: a new IC in the VSpace and CSpace of a consenting one. Reply: [`Created`].
    CreateWithin,
    /// [`Grow`]: more untyped memory for an IC's arena. Reply: [`Created`] (pieces are the new ones).
    Grow,
    /// Word 0: [`IcId`]. Destroys it and all that depends on it. Reply: word 0 is 1 when its memory
    /// is back already, 0 when the reaper is at it (an [`Event::Died`] follows). The supervisor may name a
    /// boot domain other than the manager: it crashes, and is started again as after any crash.
    Destroy,
    /// Word 0: [`IcId`]. Stops its execution.
    Suspend,
    /// Word 0: [`IcId`]. Lets its execution go on.
    Resume,
    /// Word 0: [`Subject`]. Reply: [`IcInfo`], postcard.
    Stat,
    /// Word 0: a cursor, 0 at first. Reply: [`IcPage`], postcard: the ICs that this session may see.
    List,
    /// Word 0: [`Subject`]; word 1: slot of a notification in the caller's root CNode, or 0 for the
    /// channel of a boot domain. The notification is signalled once, when the IC has [ended](Op::Ended) or dies
    /// (at once if it has ended already). About oneself ([`Subject::Myself`]): it is signalled whenever
    /// [`Op::NextEvent`] has something new; boot domains are told through their channel without asking.
    Watch,
    /// Word 0: [`IcId`]; words 1 to 3: [`Name`]; an IC that the caller created is called that in lists.
    Annotate,
    /// [`RegionCreate`]: memory with an arena of its own. Reply: word 0 [`RegionId`].
    RegionCreate,
    /// Words 0 to 2: [`RegionId`], pages, root slot. Grows a region (shrinking is refused: others may map it;
    /// shares stay as large as they are). Copies of the new frames go to nodes of their own from the root
    /// slot on, as in [`RegionCreate::place`]; 0 for none.
    RegionResize,
    /// Word 0: [`RegionId`]. Takes it back from everybody.
    RegionDestroy,
    /// [`Share`]: maps a region of the caller into another IC.
    Share,
    /// Words 0, 1: [`RegionId`], [`Subject`]. Takes a region back from one IC: the owner from anyone who maps
    /// it, anyone from itself, the supervisor from all.
    Unshare,
    /// [`Connect`]: gives a badged copy of an endpoint of the caller to another IC. Reply: word 0 session index.
    Connect,
    /// Word 0: index of a session of which the caller is client or server (the supervisor can name any). Ends
    /// it: all copies of the capability are revoked.
    Close,
    /// Word 0: [`ObjectKind`]; word 1: slot. Makes an object from the caller's arena in its root CNode. It
    /// lives as long as the caller, and is named by that slot ever after; asking again for the same slot
    /// gives it again.
    Make,
    /// [`Register`]: makes the caller's endpoint known under a name.
    Register,
    /// [`Open`]: a session with what is registered under a name. Reply: words 0, 1 session index, [`IcId`] of the server.
    Open,
    /// Word 0: a cursor. Reply: [`ServicePage`], postcard.
    Services,
    /// Word 0: a cursor. Reply: [`EdgePage`], postcard: what the manager enforces between ICs that the session may see.
    Graph,
    /// Reply: [`Event`]: what happened to the caller's ICs, clients and watched ICs. Label of the reply is 0 also for [`Event::None`].
    NextEvent,
    /// Word 0: [`Subject`]. Reply: [`Budget`].
    Budget,
    /// Only the supervisor. Reply: [`Free`]: what the manager has left, for accounting to the byte and slot.
    Free,
    /// Only the supervisor. Word 0: 0 for success, anything else for a failure. Ends the machine; there is no
    /// reply but a refusal.
    PowerOff,
    /// Word 0: [`IcId`] of an IC that the caller created. It has ended by itself and is kept only until
    /// someone has asked how: its state becomes [`IcState::Dead`], its watchers are signalled. A factory
    /// says this when an IC ends and nobody waits for it yet.
    Ended,
    /// Words 0, 1: first root slot, number of slots. The caller, an IC with a CSpace of its own, keeps reply
    /// capabilities there. Should it die, whoever waits for one of them is answered with
    /// [`Error::ServerDied`]. A later request replaces it; 0 slots for none.
    Keep,
    /// Word 0: root slot in which a notification was [made](Op::Make) for the caller. The caller's main
    /// execution receives what is signalled there wherever it receives messages
    /// (`seL4_TCB_BindNotification`). Once.
    Bind,
    /// Words 0, 1: index of a session or connection of which the caller is one end, [`Consent`]'s bits. From now
    /// on this is what the caller lets the other end do to it. What was done before stays.
    Agree,
    /// [`Pass`]: gives another IC a session of its own with the server of one of the caller's. Reply: word 0
    /// session index.
    Pass,
    /// [`Declare`]: for the graph, what an IC of the caller's has to do with another of the caller's by the
    /// caller's own doing. The manager believes it and enforces nothing.
    Declare,
    /// Words 0, 1: [`IcId`] of an IC with an address space of its own that the caller created, empty slot of
    /// its parts node. The root of the IC's second-stage translation (`seL4_X86_EPTPML4`), with an address
    /// space identifier, into that slot. An IC has one: asked again, the same goes into another slot.
    /// [`Error::NotSupported`] where the processor or the kernel has none.
    SecondStage,
    /// Only the supervisor. Word 0: [`IcId`]. For as long as the IC lives, it may do what the supervisor may.
    Empower,
    /// Words 0, 1: [`IcId`] of an IC that the caller created and pays for, pages. The IC may cost so many more:
    /// [`Create::quota`] need not be what it could come to. [`Error::OverBudget`] when the caller has not so many left.
    Raise,
}

impl Op {
    const FIRST: u64 = Op::Ping as u64;
    const ALL: [Op; 36] = [
        Op::Ping,
        Op::Create,
        Op::CreateWithin,
        Op::Grow,
        Op::Destroy,
        Op::Suspend,
        Op::Resume,
        Op::Stat,
        Op::List,
        Op::Watch,
        Op::Annotate,
        Op::RegionCreate,
        Op::RegionResize,
        Op::RegionDestroy,
        Op::Share,
        Op::Unshare,
        Op::Connect,
        Op::Close,
        Op::Make,
        Op::Register,
        Op::Open,
        Op::Services,
        Op::Graph,
        Op::NextEvent,
        Op::Budget,
        Op::Free,
        Op::PowerOff,
        Op::Ended,
        Op::Keep,
        Op::Bind,
        Op::Agree,
        Op::Pass,
        Op::Declare,
        Op::SecondStage,
        Op::Empower,
        Op::Raise,
    ];

    /// The label of the request.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Reads a request's label.
    pub fn from_label(label: u64) -> Result<Self> {
        label
            .checked_sub(Self::FIRST)
            .and_then(|i| Self::ALL.get(i as usize).copied())
            .ok_or(Error::NoSuchOperation)
    }
}

const PAGES: u32 = 24;
const SLOT: u32 = 12;
const SESSION: u32 = 24;

/// Arguments of [`Op::Create`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Create {
    /// Whose budget pays.
    pub payer: Payer,
    /// Root slot of the caller's CSpace that receives the parts node; must be empty.
    pub place: u32,
    /// Root slot of the payer's CSpace that receives the handle; 0 for none. Who serves nothing has no handles
    /// to give, and its ICs cannot call it: they have nothing in [`crate::slots::ic::ITSELF`].
    pub handle: u32,
    /// Whether the new IC gets a session on the manager, in [`crate::slots::ic::MANAGER`].
    pub session: bool,
    /// Pages of untyped memory to give to the caller at once, beside the parts themselves.
    pub memory: u32,
    /// Most pages that the IC may ever cost: its parts, its memory, and what it creates and pays for itself.
    /// 0 means: exactly what this request costs.
    pub quota: u32,
    /// Most ICs and sessions that it may pay for in turn.
    pub ics: u32,
    /// Radix of the parts node, 3 to 8.
    pub parts_radix: u32,
    /// Radix of its CSpace, 4 to 12.
    pub cspace_radix: u32,
}

impl Create {
    /// Packs the arguments. Fields out of range are cut: the manager answers what results.
    pub const fn words(&self) -> [u64; 4] {
        [
            Packer::new()
                .put(self.payer.bits(), Payer::BITS)
                .put(self.place as u64, SLOT)
                .put(self.handle as u64, SLOT)
                .put(self.session as u64, 1)
                .word(),
            Packer::new()
                .put(self.memory as u64, PAGES)
                .put(self.quota as u64, PAGES)
                .put(self.ics as u64, SLOT)
                .word(),
            Packer::new()
                .put(self.parts_radix as u64, 4)
                .put(self.cspace_radix as u64, 4)
                .word(),
            0,
        ]
    }

    /// Packs the arguments and the IC's name, if it fits into what they leave of the words: 15 bytes.
    pub fn named(&self, name: Name) -> Option<[u64; 4]> {
        let [first, second, third] = name.words();
        if second >> 56 != 0 || third != 0 {
            return None;
        }
        let mut words = self.words();
        words[2] |= second << 8;
        words[3] = first;
        Some(words)
    }

    /// The name that [`named`](Self::named) packed; empty if there is none.
    pub fn name(words: [u64; 4]) -> Name {
        match words[3] {
            0 => Name::EMPTY,
            first => Name::from_words([first, words[2] >> 8, 0]),
        }
    }

    /// Reads and checks the arguments.
    pub fn from_words(mut words: [u64; 4]) -> Result<Self> {
        if words[3] != 0 {
            // There is a name.
            words[2] &= 0xff;
        }
        let [mut a, mut b, mut c] = [
            Fields::new(words[0]),
            Fields::new(words[1]),
            Fields::new(words[2]),
        ];
        let args = Self {
            payer: Payer::from_bits(a.take(Payer::BITS))?,
            place: a.take(SLOT) as u32,
            handle: a.take(SLOT) as u32,
            session: a.take(1) == 1,
            memory: b.take(PAGES) as u32,
            quota: b.take(PAGES) as u32,
            ics: b.take(SLOT) as u32,
            parts_radix: c.take(4) as u32,
            cspace_radix: c.take(4) as u32,
        };
        a.end()?;
        b.end()?;
        c.end()?;
        if !(3..=8).contains(&args.parts_radix) || !(4..=12).contains(&args.cspace_radix) {
            return Err(Error::Malformed);
        }
        Ok(args)
    }
}

/// Arguments of [`Op::CreateWithin`].
///
/// The manager maps `pages` fresh pages of the new IC's arena, readable and
/// writable, at `window` in the host's VSpace, below a page table that is the
/// new IC's own; the last page is its IPC buffer. The window lies within one
/// 2 MiB-aligned piece of address space in which nothing else may be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateWithin {
    /// The client that is host and payer: it opened this session on the caller with [`Consent::within`].
    pub host: u32,
    /// Root slot of the caller's CSpace that receives the parts node.
    pub place: u32,
    /// Root slot of the host's CSpace that receives the capability through which the new IC reports
    /// exits and faults and which is the handle to it as well: within one CSpace the two cannot be told apart.
    pub handle: u32,
    /// Address of the window's first page.
    pub window: u64,
    /// Pages mapped there, IPC buffer included: 2 to 510.
    pub pages: u32,
    /// Pages of untyped memory to give to the caller at once; usually 0.
    pub memory: u32,
    /// Radix of the parts node, 1 to 8; with less than 3 it holds the execution alone. 0: there is no node
    /// (and no memory), and the execution itself lies in root slot `place`. Either way its CPtr is that of
    /// part [`EXECUTION`](crate::slots::parts::EXECUTION).
    pub parts_radix: u32,
    /// Whether the caller lets it run at once, without a [`Op::Resume`]: it counts as running.
    pub runs: bool,
}

impl CreateWithin {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        [
            Packer::new()
                .put(self.host as u64, SESSION)
                .put(self.place as u64, SLOT)
                .put(self.handle as u64, SLOT)
                .word(),
            self.window,
            Packer::new()
                .put(self.pages as u64, 9)
                .put(self.memory as u64, PAGES)
                .put(self.parts_radix as u64, 4)
                .put(self.runs as u64, 1)
                .word(),
            0,
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let [mut a, mut c] = [Fields::new(words[0]), Fields::new(words[2])];
        let args = Self {
            host: a.take(SESSION) as u32,
            place: a.take(SLOT) as u32,
            handle: a.take(SLOT) as u32,
            window: words[1],
            pages: c.take(9) as u32,
            memory: c.take(PAGES) as u32,
            parts_radix: c.take(4) as u32,
            runs: c.take(1) == 1,
        };
        a.end()?;
        c.end()?;
        if words[3] != 0 || args.parts_radix > 8 || !(2..=510).contains(&args.pages) {
            return Err(Error::Malformed);
        }
        let end = args
            .window
            .checked_add(args.pages as u64 * PAGE)
            .ok_or(Error::BadAddress)?;
        if !args.window.is_multiple_of(PAGE)
            || end > USER_END
            || args.window >> 21 != (end - 1) >> 21
            || args.window < 1 << 21
        {
            return Err(Error::BadAddress);
        }
        Ok(args)
    }
}

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// First address beyond user space (x86-64, lower canonical half).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// Untyped pieces that one request gives at most.
pub const MAX_PIECES: usize = 5;

/// Reply of [`Op::Create`], [`Op::CreateWithin`] and [`Op::Grow`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created {
    /// The IC.
    pub id: IcId,
    /// Where the first of the new untyped pieces lies in the parts node; the others follow.
    pub first: u32,
    /// Index of whoever pays for it: what a server gives to many is bounded by payer, who may have any number of
    /// sessions. An index is another's once its IC is gone, and so are then the ICs that it paid for.
    pub payer: u32,
    /// Size of each piece as a power of two of bytes, in the order of their slots.
    pub pieces: Vec<u8, MAX_PIECES>,
}

impl Created {
    /// Packs the reply into two words.
    pub fn words(&self) -> [u64; 2] {
        let mut packer = Packer::new()
            .put(self.first as u64, 8)
            .put(self.payer as u64, INDEX_BITS)
            .put(self.pieces.len() as u64, 4);
        for bits in &self.pieces {
            packer = packer.put(*bits as u64, 6);
        }
        [self.id.word(), packer.word()]
    }

    /// Reads the reply.
    pub fn from_words(words: [u64; 2]) -> Result<Self> {
        let mut fields = Fields::new(words[1]);
        let first = fields.take(8) as u32;
        let payer = fields.take(INDEX_BITS) as u32;
        let count = fields.take(4) as usize;
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces
                .push(fields.take(6) as u8)
                .map_err(|_| Error::Malformed)?;
        }
        fields.end()?;
        Ok(Self {
            id: IcId::from_word(words[0]),
            first,
            payer,
            pieces,
        })
    }
}

/// Arguments of [`Op::Grow`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grow {
    /// An IC that the caller created.
    pub id: IcId,
    /// Pages of untyped memory to add, 1 or more.
    pub pages: u32,
    /// First of the empty slots of its parts node that receive the pieces (up to [`MAX_PIECES`]).
    pub slot: u32,
}

impl Grow {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        [
            self.id.word(),
            Packer::new()
                .put(self.pages as u64, PAGES)
                .put(self.slot as u64, 8)
                .word(),
            0,
            0,
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let mut fields = Fields::new(words[1]);
        let args = Self {
            id: IcId::from_word(words[0]),
            pages: fields.take(PAGES) as u32,
            slot: fields.take(8) as u32,
        };
        fields.end()?;
        if args.pages == 0 || words[2] != 0 || words[3] != 0 {
            Err(Error::Malformed)
        } else {
            Ok(args)
        }
    }
}

/// What an address range may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Rights {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// Instruction fetches. (This kernel has no execute-never pages: recorded, and enforced where the kernel can.)
    pub execute: bool,
}

impl Rights {
    /// Read only.
    pub const R: Rights = Rights {
        read: true,
        write: false,
        execute: false,
    };
    /// Read and write.
    pub const RW: Rights = Rights {
        read: true,
        write: true,
        execute: false,
    };
    /// Read and execute.
    pub const RX: Rights = Rights {
        read: true,
        write: false,
        execute: true,
    };

    const fn bits(self) -> u64 {
        self.read as u64 | (self.write as u64) << 1 | (self.execute as u64) << 2
    }

    const fn from_bits(bits: u64) -> Self {
        Self {
            read: bits & 1 != 0,
            write: bits & 2 != 0,
            execute: bits & 4 != 0,
        }
    }
}

/// Arguments of [`Op::RegionCreate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionCreate {
    /// Whose budget pays, as in [`Create::payer`].
    pub payer: Payer,
    /// Pages, 1 or more.
    pub pages: u32,
    /// Whether the frames are 2 MiB large (`pages` is then a multiple of 512).
    pub large: bool,
    /// Root slot of the caller's CSpace that receives the node with copies of the frames: frame `i` is part
    /// `i % 256` of the node in root slot `place + i / 256`. 0 for none: then only `share` maps it.
    pub place: u32,
}

impl RegionCreate {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        [
            Packer::new()
                .put(self.payer.bits(), Payer::BITS)
                .put(self.place as u64, SLOT)
                .put(self.large as u64, 1)
                .word(),
            Packer::new().put(self.pages as u64, PAGES).word(),
            0,
            0,
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let [mut a, mut b] = [Fields::new(words[0]), Fields::new(words[1])];
        let args = Self {
            payer: Payer::from_bits(a.take(Payer::BITS))?,
            place: a.take(SLOT) as u32,
            large: a.take(1) == 1,
            pages: b.take(PAGES) as u32,
        };
        a.end()?;
        b.end()?;
        if words[2] != 0
            || words[3] != 0
            || args.pages == 0
            || (args.large && !args.pages.is_multiple_of(512))
        {
            return Err(Error::Malformed);
        }
        Ok(args)
    }
}

/// Bit of [`Share::address`]: what is below it is an address in a second-stage translation. Who says where
/// it wants a region says this, too; who shares it need not know.
pub const SECOND_STAGE: u64 = 1 << 63;

/// Arguments of [`Op::Share`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// A region of the caller.
    pub region: RegionId,
    /// The IC that is to map it: one that the caller created or pays for, itself, or a client that
    /// opened its session with [`Consent::share`].
    pub target: Subject,
    /// Where: 2 MiB-aligned, since the mapping has page tables of its own (so that taking it back disturbs nothing else).
    /// With [`SECOND_STAGE`]: not in the target's address space, but in its second-stage translation.
    pub address: u64,
    /// What the target may do there.
    pub rights: Rights,
}

impl Share {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        [
            self.region.word(),
            self.target.word(),
            self.address,
            self.rights.bits(),
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let rights = Rights::from_bits(words[3]);
        if words[3] != rights.bits() || !rights.read {
            return Err(Error::Malformed);
        }
        let address = words[2] & !SECOND_STAGE;
        if !address.is_multiple_of(1 << 21) || address == 0 || address >= USER_END {
            return Err(Error::BadAddress);
        }
        Ok(Self {
            region: RegionId::from_word(words[0]),
            target: Subject::from_word(words[1]),
            address: words[2],
            rights,
        })
    }
}

/// Arguments of [`Op::Connect`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect {
    /// Root slot in which an endpoint or a notification was [made](Op::Make) for the caller; 0 for the
    /// endpoint that the caller serves. (A notification is badged with bit `session % `[`NOTIFY_BITS`].)
    pub source: u32,
    /// Root slot of the target's CSpace, empty.
    pub slot: u32,
    /// The IC that receives it; who must consent is as for [`Share::target`], by [`Consent::connect`].
    pub target: Subject,
}

impl Connect {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        give_words((self.source, SLOT), self.slot, self.target)
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let (source, slot, target) = given(words, SLOT)?;
        Ok(Self {
            source,
            slot,
            target,
        })
    }
}

/// The words of a request to give somebody something: what, a number of so many bits, into which slot, and
/// whom.
const fn give_words(what: (u32, u32), slot: u32, target: Subject) -> [u64; 4] {
    let first = Packer::new()
        .put(what.0 as u64, what.1)
        .put(slot as u64, SLOT);
    [first.word(), target.word(), 0, 0]
}

/// The inverse of [`give_words`].
fn given(words: [u64; 4], bits: u32) -> Result<(u32, u32, Subject)> {
    let mut a = Fields::new(words[0]);
    let (what, slot) = (a.take(bits) as u32, a.take(SLOT) as u32);
    a.end()?;
    if words[2] != 0 || words[3] != 0 {
        return Err(Error::Malformed);
    }
    Ok((what, slot, Subject::from_word(words[1])))
}

/// Notifications that are connected are badged with one of the bits below this.
pub const NOTIFY_BITS: u32 = 24;
/// Badge with which the manager signals a notification because of a watch.
pub const WATCH_BADGE: u64 = 1 << NOTIFY_BITS;

/// Objects that an IC may have made for itself from its own arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u64)]
pub enum ObjectKind {
    /// An endpoint.
    Endpoint = 0,
    /// A notification.
    Notification = 1,
}

impl ObjectKind {
    /// Reads a message word.
    pub const fn from_word(word: u64) -> Result<Self> {
        match word {
            0 => Ok(Self::Endpoint),
            1 => Ok(Self::Notification),
            _ => Err(Error::Malformed),
        }
    }
}

/// What is registered under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum ServiceKind {
    /// Speaks the factory protocol.
    Factory = 0,
    /// Anything else: a driver, a server of an app.
    Service = 1,
}

/// What becomes of a server's ICs when it dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Successor {
    /// They die with it.
    None = 0,
    /// They go to the one who registers under the same name after a restart.
    SameName = 1,
}

/// Arguments of [`Op::Register`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// The name.
    pub name: Name,
    /// Root slot in which the endpoint was [made](Op::Make) for the caller; 0 for the input of a boot domain.
    pub endpoint: u32,
    /// What it speaks.
    pub kind: ServiceKind,
    /// What becomes of its ICs. Only a boot domain can have a successor: handles are minted from its
    /// endpoint, which survives it.
    pub successor: Successor,
}

impl Register {
    /// Packs the arguments.
    pub fn words(&self) -> [u64; 4] {
        let [a, b, c] = self.name.words();
        [
            Packer::new()
                .put(self.endpoint as u64, SLOT)
                .put(self.kind as u64, 1)
                .put(self.successor as u64, 1)
                .word(),
            a,
            b,
            c,
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let mut a = Fields::new(words[0]);
        let args = Self {
            endpoint: a.take(SLOT) as u32,
            kind: if a.take(1) == 0 {
                ServiceKind::Factory
            } else {
                ServiceKind::Service
            },
            successor: if a.take(1) == 0 {
                Successor::None
            } else {
                Successor::SameName
            },
            name: Name::from_words([words[1], words[2], words[3]]),
        };
        a.end()?;
        if args.name.as_str().is_empty() {
            Err(Error::Malformed)
        } else {
            Ok(args)
        }
    }
}

/// What one end of a session lets the other do to it. A client says it when it opens a session, either end
/// may say it later ([`Op::Agree`]). Nothing by default, but that a server may charge its client for what that
/// one asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Consent {
    /// Create ICs that execute in the client's VSpace and CSpace.
    pub within: bool,
    /// Map regions into the client.
    pub share: bool,
    /// Put endpoints into the client's CSpace.
    pub connect: bool,
}

impl Consent {
    /// As message words carry it.
    pub const fn bits(self) -> u64 {
        self.within as u64 | (self.share as u64) << 1 | (self.connect as u64) << 2
    }

    /// Reads a message word.
    pub const fn from_bits(bits: u64) -> Result<Self> {
        if bits >> 3 != 0 {
            return Err(Error::Malformed);
        }
        Ok(Self {
            within: bits & 1 != 0,
            share: bits & 2 != 0,
            connect: bits & 4 != 0,
        })
    }
}

/// Arguments of [`Op::Open`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Open {
    /// The name.
    pub name: Name,
    /// Root slot of the caller's CSpace that receives the session's capability.
    pub slot: u32,
    /// What the server may do to the caller.
    pub consent: Consent,
}

impl Open {
    /// Packs the arguments.
    pub fn words(&self) -> [u64; 4] {
        let [a, b, c] = self.name.words();
        [
            Packer::new()
                .put(self.slot as u64, SLOT)
                .put(self.consent.bits(), 3)
                .word(),
            a,
            b,
            c,
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let mut a = Fields::new(words[0]);
        let slot = a.take(SLOT) as u32;
        let consent = Consent::from_bits(a.take(3))?;
        a.end()?;
        Ok(Self {
            slot,
            consent,
            name: Name::from_words([words[1], words[2], words[3]]),
        })
    }
}

/// Something that happened to what the caller has to do with. Polled with
/// [`Op::NextEvent`] after the manager's notification; each is reported once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing more.
    None,
    /// An IC that the caller created died without its asking; its handle is gone already.
    Died(IcId),
    /// A client's session ended (it closed it, or died): index of the session.
    Closed(u32),
}

impl Event {
    /// The reply's words.
    pub const fn words(self) -> [u64; 2] {
        match self {
            Self::None => [0, 0],
            Self::Died(id) => [1, id.word()],
            Self::Closed(session) => [2, session as u64],
        }
    }

    /// Reads the reply.
    pub const fn from_words(words: [u64; 2]) -> Result<Self> {
        match words[0] {
            0 => Ok(Self::None),
            1 => Ok(Self::Died(IcId::from_word(words[1]))),
            2 => Ok(Self::Closed(words[1] as u32)),
            _ => Err(Error::Malformed),
        }
    }
}

/// Reply of [`Op::Budget`], in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// What the IC may spend in all.
    pub quota: u64,
    /// What it has spent, on its own arena and on what it pays for.
    pub spent: u64,
    /// ICs and sessions that it may still pay for.
    pub ics_left: u64,
}

/// Reply of [`Op::Free`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Free {
    /// Bytes of untyped memory that no IC, region or table holds.
    pub bytes: u64,
    /// Capability slots of the manager that are free.
    pub slots: u64,
    /// ICs alive, boot domains included.
    pub ics: u64,
    /// Sessions and connections open.
    pub sessions: u64,
}

/// One IC, as lists show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IcInfo {
    /// The IC.
    pub id: IcId,
    /// Who created it (its factory); [`IcId::NONE`] for boot domains.
    pub creator: IcId,
    /// Who pays for it; [`IcId::NONE`] for boot domains.
    pub payer: IcId,
    /// In whose VSpace and CSpace it executes, if not its own.
    pub within: IcId,
    /// The name under which its creator is registered; `domain` for boot domains.
    pub kind: Name,
    /// What its creator calls it.
    pub name: Name,
    /// Where it is in its life.
    pub state: IcState,
    /// Pages of its arena: what it would give back.
    pub arena: u32,
    /// Pages that it may spend in all.
    pub quota: u32,
    /// Pages spent of that, its arena included.
    pub spent: u32,
}

/// Reply of [`Op::List`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct IcPage {
    /// Cursor of the next page; 0 when this is the last.
    pub next: u64,
    /// The ICs of this page, by table index.
    pub ics: Vec<IcInfo, 7>,
}

/// A registered name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// The name.
    pub name: Name,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Who serves it.
    pub server: IcId,
}

/// Reply of [`Op::Services`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServicePage {
    /// Cursor of the next page; 0 when this is the last.
    pub next: u64,
    /// The names of this page.
    pub services: Vec<ServiceInfo, 16>,
}

/// What one IC has to do with another: enforced by the manager, all but the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EdgeKind {
    /// `from` may call `to`, which it opened by name or was passed (index of the session).
    Session(u32),
    /// `to` maps a region of `from`.
    Share(RegionId, Rights),
    /// `from` executes within `to`.
    Within,
    /// `from` created `to`.
    Created,
    /// `from` pays for `to`.
    Pays,
    /// `from` may call `to`, or signal it, because that one connected it (index of the connection).
    Connection(u32),
    /// `from` made a region of so many pages, and `to` pays for it.
    Region(RegionId, u32),
    /// The factory that made `from` says so; the manager has no part in it.
    Declared(Relation),
    /// `from` may call `to` (or, if not, notify it) by a channel that both have from boot.
    Channel(bool),
    /// `from`, which is also `to`, had this made for itself, whether it is connected with somebody or not.
    Object(ObjectKind),
    /// `from`, which is also `to`, maps a region of this name and of so many pages that is there from boot.
    Maps(Name, u32, Rights),
}

/// An edge of the isolation graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edge {
    /// From this IC.
    pub from: IcId,
    /// To that one.
    pub to: IcId,
    /// What it is.
    pub kind: EdgeKind,
}

/// Reply of [`Op::Graph`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EdgePage {
    /// Cursor of the next page; 0 when this is the last.
    pub next: u64,
    /// The edges of this page.
    pub edges: Vec<Edge, 24>,
}

#[cfg(test)]
mod tests;
