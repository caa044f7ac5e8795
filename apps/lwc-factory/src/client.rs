// SPDX-License-Identifier: BSD-2-Clause
//! What programs call: light-weight contexts behind plain functions.
//!
//! ```ignore
//! let lwcs = Lwcs::open()?;
//! let vault = lwcs.create(DEFAULT_STACK, |view, mut asked| {
//!     let key = make_key();            // in a page that only this lwC maps
//!     loop {
//!         let answer = sign(&key, asked.word);
//!         asked = view.switch(asked.from, answer)?;
//!     }
//! })?;
//! let signature = vault.switch(digest)?.word;
//! ```
//!
//! What an lwC gets is a copy of the program's image, its heap included, as it is when it is created, and a
//! stack of its own. Other threads do not exist in it; what they hold locked at that moment stays locked.
//! Values in it that stand for capabilities (sessions, handles) stand for nothing there: it has a CSpace of its
//! own, with a session on the IC manager, by which it can open what it needs.

use alloc::boxed::Box;
use core::arch::naked_asm;
use core::mem::ManuallyDrop;

use xos::region::{Mapping, Region};
use xos::{Error, ExitStatus, Factory, Ic, Result, Tried};
use xos_client::Port;
use xos_protocol::factory::Entry;
use xos_protocol::manager::{PAGE, Rights};
use xos_protocol::slots::{ic, leaf};
use xos_protocol::{Error as Why, IcId};

use crate::control::PROGRAM;
use crate::{Ask, NAME, SWITCH};

/// Pages of stack that do for most.
pub const DEFAULT_STACK: u16 = 8;

unsafe extern "C" {
    /// Where the linker script says that the image begins, and that the variables in it end. It begins on
    /// a border of 2 MiB.
    static __executable_start: [u8; 0];
    static __bss_end: [u8; 0];
}

/// All rights: in a copy of an image there are both code and variables.
const ALL: Rights = Rights {
    read: true,
    write: true,
    execute: true,
};

/// A switch, as the one who is switched to learns of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switched {
    /// Who switched: an lwC, or [`PROGRAM`].
    pub from: IcId,
    /// The word that came with it.
    pub word: u64,
}

/// The lwc factory, opened. Its session is what the lwCs of this program have in common.
#[derive(Debug)]
pub struct Lwcs(Factory);

impl Lwcs {
    /// Opens it.
    ///
    /// # Errors
    /// [`NotFound`](Why::NotFound) when no such factory has been started.
    pub fn open() -> Result<Self> {
        xos::factory(NAME).map(Self::by)
    }

    /// By a session that was opened with another name: another factory of this kind.
    pub const fn by(factory: Factory) -> Self {
        Self(factory)
    }

    /// The factory.
    pub const fn factory(&self) -> &Factory {
        &self.0
    }

    /// Makes an lwC with so many pages of stack, on this program's budget. When it is first switched to, it
    /// runs `body`, with what that switch brought; what `body` returns is its exit code.
    ///
    /// `body` and what it captures are copied like everything else, and then dropped in this program.
    ///
    /// # Errors
    /// The factory's and the manager's.
    pub fn create<F>(&self, stack: u16, body: F) -> Result<Lwc<'_>>
    where
        F: FnOnce(View, Switched) -> i32 + 'static,
    {
        let mut packet = Box::new(Packet {
            run: run::<F>,
            body: ManuallyDrop::new(body),
        });
        let outcome = self
            .0
            .spawn(Entry {
                ip: lwc_start as *const () as u64,
                argument: &raw const *packet as u64,
                handle: 0,
                stack,
                pager: 0,
            })
            .and_then(|ic| {
                let image = copy_image(&ic)?;
                Ok(Lwc {
                    ic,
                    _image: image,
                    _of: self,
                })
            });
        // SAFETY: dropped here and nowhere else; in the copy it is used where the copy is.
        unsafe { ManuallyDrop::drop(&mut packet.body) };
        outcome
    }
}

/// Copies the image into a region, and maps that into the lwC where the image is here.
fn copy_image(to: &Ic) -> Result<Region> {
    let start = (&raw const __executable_start).cast::<u64>();
    let bytes = (&raw const __bss_end) as usize - start as usize;
    let region = Region::new(bytes.div_ceil(PAGE as usize) as u32)?;
    let copy = region.map(Rights::RW)?;
    let target = copy.start().cast::<u64>().as_ptr();
    for word in 0..bytes.div_ceil(8) {
        // SAFETY: the image is mapped without holes from its start to its end, which is followed by the rest of
        // its last page, and the region has as many pages. Who else writes to the image meanwhile gets a copy
        // with the one or the other in it.
        unsafe { target.add(word).write(start.add(word).read_volatile()) };
    }
    drop(copy);
    region.share(to.id(), start as u64, ALL)?;
    Ok(region)
}

/// A light-weight context of this program's. Dropping it ends it.
#[derive(Debug)]
pub struct Lwc<'l> {
    ic: Ic,
    /// Goes after the lwC.
    _image: Region,
    _of: &'l Lwcs,
}

impl Lwc<'_> {
    /// Its id.
    pub const fn id(&self) -> IcId {
        self.ic.id()
    }

    /// The IC, to wait for it, or to kill it.
    pub const fn ic(&self) -> &Ic {
        &self.ic
    }

    /// Switches to it: this program stands still until somebody switches back.
    ///
    /// # Errors
    /// [`Gone`](Why::Gone) when the one that had control ended instead: [`ic`](Self::ic) says how.
    /// [`BadState`](Why::BadState) when another thread of this program has passed control on.
    pub fn switch(&self, word: u64) -> Result<Switched> {
        let mut bytes = [0; 16];
        let told = self.ic.invoke(&Ask::Switch(word).bytes(), &mut bytes)?;
        let word = |i: usize| {
            let bytes = told.get(8 * i..8 * i + 8).and_then(|b| b.try_into().ok());
            bytes.map(u64::from_le_bytes).unwrap_or_default()
        };
        Ok(Switched {
            from: IcId::from_word(word(0)),
            word: word(1),
        })
    }

    /// Lets it switch to another lwC of this program.
    ///
    /// # Errors
    /// [`TableFull`](Why::TableFull) when it may switch to eight already.
    pub fn allow(&self, other: &Lwc<'_>) -> Result<()> {
        let ask = Ask::Allow(other.id().word());
        self.ic.invoke(&ask.bytes(), &mut []).map(drop)
    }

    /// Takes its session on the IC manager from it: from now on it can open, create and map nothing.
    ///
    /// # Errors
    /// The factory's.
    pub fn confine(&self) -> Result<()> {
        self.ic.invoke(&Ask::Confine.bytes(), &mut []).map(drop)
    }

    /// Maps a region of this program's into it, where this program has it mapped.
    ///
    /// # Errors
    /// The manager's.
    pub fn overlay(&self, memory: &Mapping<'_>, rights: Rights) -> Result<()> {
        let address = memory.start().as_ptr() as u64;
        memory.region().share(self.id(), address, rights)
    }

    /// Takes it back.
    ///
    /// # Errors
    /// The manager's.
    pub fn unlay(&self, memory: &Mapping<'_>) -> Result<()> {
        memory.region().unshare(self.id())
    }

    /// Waits until it has ended, and asks how.
    ///
    /// # Errors
    /// The factory's.
    pub fn wait(&self) -> Result<ExitStatus> {
        self.ic.wait()
    }
}

/// An lwC, from inside.
#[derive(Clone, Copy, Debug)]
pub struct View(());

impl View {
    /// Switches to another lwC, or to [`PROGRAM`], and stands still until somebody switches back.
    ///
    /// # Errors
    /// [`NotAllowed`](Why::NotAllowed) when the program has not allowed that, [`Gone`](Why::Gone) when that
    /// one is not there any more.
    pub fn switch(&self, to: IcId, word: u64) -> Result<Switched> {
        let factory = sel4::cap::Endpoint::from_bits(leaf(ic::ITSELF));
        let words = [to.word(), word, 0, 0];
        let [from, word, ..] = Port::call(&factory, SWITCH, words, 2)
            .and_then(|answer| answer.at_least(2))
            .map_err(|why: Why| Error::new(Tried::Invoke(to), why))?;
        Ok(Switched {
            from: IcId::from_word(from),
            word,
        })
    }

    /// Switches to the program.
    ///
    /// # Errors
    /// [`Gone`](Why::Gone) when nobody waits there.
    pub fn back(&self, word: u64) -> Result<Switched> {
        self.switch(PROGRAM, word)
    }
}

/// What an lwC is started with.
#[repr(C)]
struct Packet<F> {
    run: unsafe fn(*const (), Switched) -> i32,
    body: ManuallyDrop<F>,
}

/// # Safety
/// `packet` is a `Packet<F>` in memory that only this execution has, and nothing else takes its body.
unsafe fn run<F: FnOnce(View, Switched) -> i32>(packet: *const (), switched: Switched) -> i32 {
    // SAFETY: the caller's.
    let body = unsafe { (&raw const (*packet.cast::<Packet<F>>()).body).read() };
    ManuallyDrop::into_inner(body)(View(()), switched)
}

/// Where an lwC begins: the registers are those of a thread, with who switched in RSI and the word in R8.
#[unsafe(naked)]
unsafe extern "C" fn lwc_start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "call {main}",
        "ud2",
        main = sym lwc_main,
    )
}

/// # Safety
/// To be called by [`lwc_start`] alone.
unsafe extern "C" fn lwc_main(
    packet: *const (),
    from: u64,
    buffer: usize,
    block: usize,
    word: u64,
) -> ! {
    let switched = Switched {
        from: IcId::from_word(from),
        word,
    };
    // SAFETY: this is an execution in a copy of the program, which has just begun; the argument is the packet
    // that `create` made, of which this is the only copy that runs.
    let code = unsafe {
        xos::begin_copy(buffer, block);
        let run = packet
            .cast::<unsafe fn(*const (), Switched) -> i32>()
            .read();
        run(packet, switched)
    };
    xos::exit(code)
}
