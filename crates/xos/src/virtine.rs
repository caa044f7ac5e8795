// SPDX-License-Identifier: BSD-2-Clause
//! Virtines: functions that are called in a context of their own.
//!
//! ```ignore
//! let parse = virtine::Function::load("parse-json")?;
//! let out = parse.invoke(&bytes)?;
//! ```
//!
//! Whatever the function does with what it is given, it does to that call alone: a crash, an endless loop, a
//! demand for memory or for a capability is an [`Error`], and the next call finds the function as it was made.
//! What such an image is written with is the crate `xos-virtine`.
//!
//! Where there are virtual processors and an image for them (`vcpu/NAME`), its contexts are such; where not,
//! they are address spaces. [`Function::contract`] says which.
//!
//! A function has contexts: one to begin with, and as many more as threads of this program call it at the same
//! time, up to [`MAX_CONTEXTS`]. They are this program's, which pays for them, until the function is dropped.

use alloc::vec::Vec;

use sel4::cap::{Endpoint, Notification};
use xos_client::Port;
use xos_protocol::contract::{Contract, Memory};
use xos_protocol::factory::HandleOp;
use xos_protocol::manager::Consent;
use xos_protocol::slots::NODE_BITS;
use xos_protocol::virtine::{Answer, Ask, DOOR, MAX_BYTES, MAX_PART, MORE, PART, VCPU, VSPACE};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Error as Why, ExitStatus, IcId, IcState, Subject};

use crate::error::{Tried, Trying};
use crate::link::{Inlet, Peer};
use crate::{Error as Refused, Factory, Ic, Spec, factory, manager, sync};

/// Contexts of a function at most.
pub const MAX_CONTEXTS: usize = 8;
/// Words of a message that travels in registers.
const SHORT: usize = 4;

/// Why a call has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The function crashed.
    #[error("the function {0}")]
    Crashed(ExitStatus),
    /// It ran for longer than it may.
    #[error("the function ran for longer than its time limit allows")]
    OutOfTime,
    /// It touched more memory than it may.
    #[error("the function touched more memory than its limit allows")]
    OutOfMemory,
    /// It made a hypercall that was not granted.
    #[error("the function made hypercall {0}, which it was not granted")]
    NotGranted(u8),
    /// It is no virtine: it said something to its factory that means nothing.
    #[error("the function said something to its factory that means nothing")]
    Nonsense,
    /// The argument is longer than [`MAX_BYTES`], or the result than what was allowed for it.
    #[error("the argument or the result is too long")]
    TooLong,
    /// The answer to a hypercall was given up by who should have given it.
    #[error("the call was given up")]
    Stopped,
    /// The system refused.
    #[error("{0}")]
    Refused(#[from] Refused),
}

/// Results of calls.
pub type Result<T> = core::result::Result<T, Error>;

/// What answers hypercalls: from the number and the bytes, at most [`MAX_PART`] bytes; `None` ends the call.
pub type Answers<'a> = dyn FnMut(u8, &[u8]) -> Option<Vec<u8>> + 'a;

/// What is granted to a call: hypercalls, and the time that it may take.
pub struct Grants<'g> {
    granted: u32,
    limit: u32,
    answer: &'g mut Answers<'g>,
}

impl<'g> Grants<'g> {
    /// Grants the hypercalls of these numbers (0 to 31; others are never granted), which `answer` answers.
    pub fn new(numbers: &[u8], answer: &'g mut Answers<'g>) -> Self {
        let bit = |number: &u8| 1u32.checked_shl((*number).into()).unwrap_or(0);
        Self {
            granted: numbers.iter().map(bit).fold(0, |all, bit| all | bit),
            limit: 0,
            answer,
        }
    }

    /// What is asked for.
    const fn what(&self, long: bool) -> Ask {
        Ask::Call {
            granted: self.granted,
            limit: self.limit,
            long,
        }
    }

    /// Lets the call run for so many milliseconds, and not for the factory's default.
    #[must_use]
    pub fn milliseconds(mut self, limit: u32) -> Self {
        self.limit = limit.clamp(1, (1 << 24) - 1);
        self
    }
}

/// A context, and where it is called: by its handle, or by a connection of its own.
#[derive(Debug)]
struct Context {
    // Dropped first: what is in the inlet is gone then.
    ic: Ic,
    door: Option<Inlet>,
}

impl Context {
    const fn id(&self) -> IcId {
        self.ic.id()
    }

    #[inline]
    fn endpoint(&self) -> Endpoint {
        match &self.door {
            Some(inlet) => inlet.endpoint(),
            None => self.ic.endpoint(),
        }
    }
}

/// Rings when a context can be called, or has ended before that. One for all, which are made one at a time.
static BELL: sync::Mutex<Option<Notification>> = sync::mutex(None);

/// A function that is called in a context of its own. Dropping it ends its contexts.
#[derive(Debug)]
pub struct Function {
    factory: Factory,
    contract: Contract,
    spec: Spec,
    idle: sync::Mutex<heapless::Vec<Context, MAX_CONTEXTS>>,
    /// Contexts that there are.
    count: sync::Mutex<usize>,
}

impl Function {
    /// The function that an image of the file tree is.
    ///
    /// # Errors
    /// The factory's and the manager's. That an image cannot be prepared is told by the first call.
    pub fn load(image: &str) -> Result<Self> {
        Self::load_with(Spec::image(image))
    }

    /// The same with what else can be said of it: [`Spec::memory`], what one context may cost in all, and
    /// [`Spec::stack`].
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_with(spec: Spec) -> Result<Self> {
        let on_processors = factory(VCPU).map_err(Error::from);
        match on_processors.and_then(|factory| Self::load_by(factory, spec.clone())) {
            // No such factory, no virtual processors, or no image for them.
            Err(Error::Refused(Refused {
                why: Why::NotFound | Why::NotSupported | Why::NoImage,
                ..
            })) => Self::load_by(factory(VSPACE)?, spec),
            loaded => loaded,
        }
    }

    /// The same by any factory that speaks the protocol of virtines.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_by(factory: Factory, spec: Spec) -> Result<Self> {
        let contract = factory.describe()?;
        let function = Self {
            factory,
            contract,
            spec,
            idle: sync::mutex(heapless::Vec::new()),
            count: sync::mutex(0),
        };
        let context = function.context()?;
        function.give(context);
        Ok(function)
    }

    /// What its contexts are promised.
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Calls it, with no hypercalls.
    ///
    /// # Errors
    /// What became of the call.
    pub fn invoke(&self, argument: &[u8]) -> Result<Vec<u8>> {
        self.invoke_with(argument, Grants::new(&[], &mut |_, _| None))
    }

    /// Calls it, with no hypercalls, and puts the result in the place of what is in `result`: who keeps that from
    /// call to call has no use of the heap in most of them.
    ///
    /// # Errors
    /// What became of the call: `result` is empty then.
    pub fn invoke_into(&self, argument: &[u8], result: &mut Vec<u8>) -> Result<()> {
        let mut none = |_: u8, _: &[u8]| None;
        self.run(argument, Grants::new(&[], &mut none), result)
    }

    /// Calls it, for no longer than so many milliseconds, with no hypercalls.
    ///
    /// # Errors
    /// What became of the call.
    pub fn invoke_for(&self, argument: &[u8], milliseconds: u32) -> Result<Vec<u8>> {
        let mut none = |_: u8, _: &[u8]| None;
        self.invoke_with(
            argument,
            Grants::new(&[], &mut none).milliseconds(milliseconds),
        )
    }

    /// Calls it with what is granted.
    ///
    /// # Errors
    /// What became of the call.
    pub fn invoke_with(&self, argument: &[u8], grants: Grants<'_>) -> Result<Vec<u8>> {
        let mut result = Vec::new();
        self.run(argument, grants, &mut result)?;
        Ok(result)
    }

    #[inline]
    fn run(&self, argument: &[u8], grants: Grants<'_>, result: &mut Vec<u8>) -> Result<()> {
        result.clear();
        let context = match self.idle.lock().pop() {
            Some(context) => context,
            None => self.context()?,
        };
        let called = call(&context, argument, grants, result);
        if called.is_err() {
            result.clear();
        }
        match called {
            // It is of no use any more.
            Err(Error::Refused(Refused {
                why: Why::Gone | Why::ServerDied,
                ..
            })) => {
                *self.count.lock() -= 1;
            }
            _ => self.give(context),
        }
        called
    }

    /// A context more, started.
    fn context(&self) -> Result<Context> {
        {
            let mut count = self.count.lock();
            if *count == MAX_CONTEXTS {
                return Err(refused(Tried::Slot, Why::TableFull));
            }
            *count += 1;
        }
        let made = self.make();
        if made.is_err() {
            *self.count.lock() -= 1;
        }
        made
    }

    fn make(&self) -> Result<Context> {
        let ic = self.factory.create(&self.spec)?;
        if self.contract.memory == Memory::SecondStage {
            return open(ic);
        }
        ic.start()?;
        Ok(Context { ic, door: None })
    }

    fn give(&self, context: Context) {
        // There is room for as many as there can be.
        let _ = self.idle.lock().push(context);
    }
}

/// Starts a context that is called by a connection of its own, and waits until that is there.
fn open(ic: Ic) -> Result<Context> {
    let mut bell = BELL.lock();
    let bell = match *bell {
        Some(bell) => bell,
        None => *bell.insert(sync::notification()?),
    };
    let (id, inlet) = (ic.id(), Inlet::new()?);
    let link = ic.connect(bell, DOOR)?;
    let client = Peer::other_end(link);
    client.agree(Consent {
        connect: true,
        ..Consent::default()
    })?;
    let mut told = [0; 16];
    told[..8].copy_from_slice(&u64::from(link).to_le_bytes());
    told[8..].copy_from_slice(&u64::from(inlet.number()).to_le_bytes());
    ic.invoke(&told, &mut [])?;
    manager()
        .watch(Subject::Ic(id), (bell.bits() >> NODE_BITS) as u32)
        .trying(Tried::Start(id))?;
    ic.start()?;
    let context = Context {
        ic,
        door: Some(inlet),
    };
    let mut words = [0; MAX_WORDS];
    loop {
        bell.wait();
        // It may have rung for another one, which had been called and ended. Nothing asks for an answer yet.
        match ask(&context, Ask::Stop, None, &[], &mut words) {
            Err(Error::Refused(Refused { why: Why::Gone, .. })) => {}
            _ => break,
        }
        if !matches!(context.ic.stat(), Ok(IcState::Running)) {
            // It has said why.
            return Err(refused(Tried::Start(id), Why::BadImage));
        }
    }
    // It has what it needs.
    client.agree(Consent::default())?;
    Ok(context)
}

const fn refused(tried: Tried, why: Why) -> Error {
    Error::Refused(Refused::new(tried, why))
}

/// Asks something of a virtine: the length of the reply, which is in `words`, at least two.
fn ask(
    context: &Context,
    what: Ask,
    first: Option<u64>,
    bytes: &[u8],
    words: &mut Words,
) -> Result<usize> {
    let count = 8 + 8 * first.is_some() as usize + bytes.len();
    let head = [count as u64, what.word()];
    let mut len = 2;
    words[..2].copy_from_slice(&head);
    if let Some(first) = first {
        words[2] = first;
        len += 1;
    }
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        words[len] = u64::from_le_bytes(word);
        len += 1;
    }
    let port = context.endpoint();
    let label = HandleOp::Invoke.label();
    let length = if len <= SHORT {
        // A short one takes the kernel's fast path; the reply may be as long as it is.
        let message = [words[0], words[1], words[2], words[3]];
        Port::call(&port, label, message, len).map(|answer| take(&answer, words))
    } else {
        port.exchange(label, words, len)
    };
    match length {
        Ok(length) if length >= 2 => Ok(length),
        Ok(_) => Err(refused(Tried::Invoke(context.id()), Why::Unknown)),
        Err(why) => Err(refused(Tried::Invoke(context.id()), why)),
    }
}

/// The bytes of a reply, appended to `output`.
fn append(output: &mut Vec<u8>, words: &[u64]) -> Option<()> {
    let bytes = usize::try_from(words[0].checked_sub(8)?).ok()?;
    let words = words.get(2..2 + bytes.div_ceil(8))?;
    output.reserve(bytes);
    let mut left = bytes;
    for word in words {
        let word = word.to_le_bytes();
        let taken = left.min(8);
        output.extend_from_slice(&word[..taken]);
        left -= taken;
    }
    Some(())
}

/// Calls it with an argument and for a result that travel in registers, if that is what it comes to. The result is
/// appended to `output`.
#[inline]
fn call(
    context: &Context,
    argument: &[u8],
    grants: Grants<'_>,
    output: &mut Vec<u8>,
) -> Result<()> {
    const BYTES: usize = 8 * (SHORT - 2);
    if argument.len() > BYTES {
        return call_long(context, argument, grants, output);
    }
    let mut bytes = [0; BYTES];
    bytes[..argument.len()].copy_from_slice(argument);
    let [first, second] = halves(&bytes);
    let what = grants.what(false);
    let words = [8 + argument.len() as u64, what.word(), first, second];
    let len = 2 + argument.len().div_ceil(8);
    let tried = || Tried::Invoke(context.id());
    let answer = Port::call(&context.endpoint(), HandleOp::Invoke.label(), words, len)
        .map_err(|why| refused(tried(), why))?;
    let [count, kind, first, second] = answer.words;
    let returned = answer.len <= SHORT && kind == Answer::Returned.word();
    if let (true, Some(count)) = (returned, count.checked_sub(8)) {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&second.to_le_bytes());
        let there = 8 * answer.len.saturating_sub(2);
        let result = bytes.get(..there).and_then(|b| b.get(..count as usize));
        output.extend_from_slice(result.ok_or_else(|| refused(tried(), Why::Unknown))?);
        return Ok(());
    }
    let mut words = [0; MAX_WORDS];
    let length = take(&answer, &mut words);
    if length < 2 {
        return Err(refused(tried(), Why::Unknown));
    }
    go_on(context, grants, &[], words, length, output)
}

fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    let (words, _) = bytes.as_chunks::<8>();
    [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
}

/// The words of a reply whose first ones came in registers: how many they are.
fn take(answer: &xos_client::Answer, words: &mut Words) -> usize {
    let length = answer.len.min(MAX_WORDS);
    words[..SHORT].copy_from_slice(&answer.words);
    if length > SHORT {
        sel4::with_ipc_buffer(|buffer| {
            words[SHORT..length].copy_from_slice(&buffer.msg_regs()[SHORT..length]);
        });
    }
    length
}

#[inline(never)]
fn call_long(
    context: &Context,
    argument: &[u8],
    grants: Grants<'_>,
    output: &mut Vec<u8>,
) -> Result<()> {
    if argument.len() as u64 > MAX_BYTES {
        return Err(Error::TooLong);
    }
    let mut words = [0; MAX_WORDS];
    let long = argument.len() > MAX_PART;
    let (part, rest) = argument.split_at(match long {
        true => MAX_PART - 8,
        false => argument.len(),
    });
    let what = grants.what(long);
    let first = long.then_some(argument.len() as u64);
    let length = ask(context, what, first, part, &mut words)?;
    go_on(context, grants, rest, words, length, output)
}

/// Goes on with a call, from its first answer to its last; `rest` is what is left of the argument.
#[inline(never)]
fn go_on(
    context: &Context,
    grants: Grants<'_>,
    mut rest: &[u8],
    mut words: Words,
    mut length: usize,
    output: &mut Vec<u8>,
) -> Result<()> {
    let unknown = || refused(Tried::Invoke(context.id()), Why::Unknown);
    loop {
        let reply = &words[..length];
        match Answer::from_word(reply[1]).map_err(|_| unknown())? {
            Answer::Returned => {
                return append(output, reply).ok_or_else(unknown);
            }
            Answer::Asks(MORE) => {
                let (part, behind) = rest.split_at(rest.len().min(MAX_PART));
                rest = behind;
                length = ask(context, Ask::Answer, None, part, &mut words)?;
            }
            Answer::Asks(PART) => {
                append(output, reply).ok_or_else(unknown)?;
                if output.len() as u64 > MAX_BYTES {
                    ask(context, Ask::Stop, None, &[], &mut words)?;
                    return Err(Error::TooLong);
                }
                length = ask(context, Ask::Answer, None, &[], &mut words)?;
            }
            Answer::Asks(number) => {
                let mut bytes = Vec::new();
                append(&mut bytes, reply).ok_or_else(unknown)?;
                let answer = (grants.answer)(number, &bytes);
                let Some(answer) = answer.filter(|answer| answer.len() <= MAX_PART) else {
                    ask(context, Ask::Stop, None, &[], &mut words)?;
                    return Err(Error::Stopped);
                };
                length = ask(context, Ask::Answer, None, &answer, &mut words)?;
            }
            Answer::Crashed => {
                let [a, b, c] = *reply.get(2..).unwrap_or_default() else {
                    return Err(unknown());
                };
                let status = ExitStatus::from_words([a, b, c]).ok_or_else(unknown)?;
                return Err(Error::Crashed(status));
            }
            Answer::OutOfTime => return Err(Error::OutOfTime),
            Answer::OutOfMemory => return Err(Error::OutOfMemory),
            Answer::NotGranted(number) => return Err(Error::NotGranted(number)),
            Answer::Nonsense => return Err(Error::Nonsense),
        }
    }
}
