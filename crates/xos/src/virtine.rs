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
//! A function has contexts: one to begin with, and as many more as threads of this program call it at the same
//! time, up to [`MAX_CONTEXTS`]. They are this program's, which pays for them, until the function is dropped.

use alloc::vec::Vec;

use xos_client::Port;
use xos_protocol::factory::HandleOp;
use xos_protocol::virtine::{Answer, Ask, MAX_BYTES, MAX_PART, MORE, PART};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Error as Why, ExitStatus};

use crate::error::Tried;
use crate::{Error as Refused, Factory, Ic, Spec, factory, sync};

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

    /// Lets the call run for so many milliseconds, and not for the factory's default.
    #[must_use]
    pub fn milliseconds(mut self, limit: u32) -> Self {
        self.limit = limit.clamp(1, (1 << 24) - 1);
        self
    }
}

/// A function that is called in a context of its own. Dropping it ends its contexts.
#[derive(Debug)]
pub struct Function {
    factory: Factory,
    spec: Spec,
    idle: sync::Mutex<heapless::Vec<Ic, MAX_CONTEXTS>>,
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
        Self::load_by(factory("virtine")?, spec)
    }

    /// The same by any factory that speaks the protocol of virtines.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_by(factory: Factory, spec: Spec) -> Result<Self> {
        let function = Self {
            factory,
            spec,
            idle: sync::mutex(heapless::Vec::new()),
            count: sync::mutex(0),
        };
        let context = function.context()?;
        function.give(context);
        Ok(function)
    }

    /// Calls it, with no hypercalls.
    ///
    /// # Errors
    /// What became of the call.
    pub fn invoke(&self, argument: &[u8]) -> Result<Vec<u8>> {
        self.invoke_with(argument, Grants::new(&[], &mut |_, _| None))
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
        let context = match self.idle.lock().pop() {
            Some(context) => context,
            None => self.context()?,
        };
        let result = call(&context, argument, grants);
        match result {
            // It is of no use any more.
            Err(Error::Refused(Refused {
                why: Why::Gone | Why::ServerDied,
                ..
            })) => {
                *self.count.lock() -= 1;
            }
            _ => self.give(context),
        }
        result
    }

    /// A context more, started.
    fn context(&self) -> Result<Ic> {
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

    fn make(&self) -> Result<Ic> {
        let context = self.factory.create(&self.spec)?;
        context.start()?;
        Ok(context)
    }

    fn give(&self, context: Ic) {
        // There is room for as many as there can be.
        let _ = self.idle.lock().push(context);
    }
}

const fn refused(tried: Tried, why: Why) -> Error {
    Error::Refused(Refused::new(tried, why))
}

/// Asks something of a virtine: the length of the reply, which is in `words`, at least two.
fn ask(
    context: &Ic,
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
        Port::call(&port, label, message, len).map(|answer| {
            let length = answer.len.min(MAX_WORDS);
            words[..SHORT].copy_from_slice(&answer.words);
            if length > SHORT {
                sel4::with_ipc_buffer(|buffer| {
                    words[SHORT..length].copy_from_slice(&buffer.msg_regs()[SHORT..length]);
                });
            }
            length
        })
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

fn call(context: &Ic, argument: &[u8], grants: Grants<'_>) -> Result<Vec<u8>> {
    if argument.len() as u64 > MAX_BYTES {
        return Err(Error::TooLong);
    }
    let unknown = || refused(Tried::Invoke(context.id()), Why::Unknown);
    let mut words = [0; MAX_WORDS];
    let long = argument.len() > MAX_PART;
    let (part, mut rest) = argument.split_at(match long {
        true => MAX_PART - 8,
        false => argument.len(),
    });
    let what = Ask::Call {
        granted: grants.granted,
        limit: grants.limit,
        long,
    };
    let first = long.then_some(argument.len() as u64);
    let mut length = ask(context, what, first, part, &mut words)?;
    let mut output = Vec::new();
    loop {
        let reply = &words[..length];
        match Answer::from_word(reply[1]).map_err(|_| unknown())? {
            Answer::Returned => {
                append(&mut output, reply).ok_or_else(unknown)?;
                return Ok(output);
            }
            Answer::Asks(MORE) => {
                let (part, behind) = rest.split_at(rest.len().min(MAX_PART));
                rest = behind;
                length = ask(context, Ask::Answer, None, part, &mut words)?;
            }
            Answer::Asks(PART) => {
                append(&mut output, reply).ok_or_else(unknown)?;
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
