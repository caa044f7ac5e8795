// SPDX-License-Identifier: BSD-2-Clause
//! What is said to a container, and within it.
//!
//! A container is an IC whose program is a *server*: a personality that gives the
//! container's processes their system calls. The holder of the handle asks with
//! [`Request`]s, through [`HandleOp::Invoke`](crate::factory::HandleOp::Invoke). The
//! server asks its factory with [`ServerOp`]s: calls go up the ranks only, so what
//! the holder wants of it, it fetches as a [`Command`].

use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::factory::ops;
use crate::start::GIVEN;
use crate::{Error, Result};

ops! {
    /// What a container's server asks of its factory, through the slot of the
    /// [IC itself](crate::slots::ic::ITSELF).
    ServerOp = 0x230 {
        /// Word 0: an offset. Reply: word 0 the bytes of the description in all, then those from the offset
        /// on, as many as fit. (What is described is the affair of the factory and the server.)
        Describe,
        /// Reply, when there is one: word 0 the bytes of a [`Command`], then the bytes, postcard. One call
        /// at a time.
        Next,
        /// Word 0: bytes; word 1: [`Stream`]; word 2: the number of the [`Command::Exec`] whose program
        /// wrote them, 0 for the container's own; then the bytes. They are kept as the container's log,
        /// the last ones at least.
        Output,
        /// Word 0: the number of a [`Command::Exec`]; word 1: the status that it ended with, as a shell
        /// knows it.
        Done,
        /// Word 0: whose [`Command::Input`] has been read, or has a place to wait for that: there may be more.
        Taken,
    }
}

/// Where regions are mapped in a container's server that whoever creates it [grants](Request::Grant): nothing else is.
/// One page directory is enough for all of it.
pub const GRANTS: Range<u64> = GIVEN.start..GIVEN.start + (1 << 30);

/// Bytes that a message of these carries at most, behind three words.
pub const MAX_BYTES: usize = crate::wire::MAX_BYTES - 24;

/// Bytes of input that one message carries at most.
pub const MAX_INPUT: usize = MAX_BYTES - 16;

/// Where output goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Stream {
    /// Standard output.
    Output = 1,
    /// Standard error.
    Error = 2,
}

impl Stream {
    /// Reads a message word.
    pub const fn from_word(word: u64) -> Result<Self> {
        match word {
            1 => Ok(Self::Output),
            2 => Ok(Self::Error),
            _ => Err(Error::Malformed),
        }
    }
}

/// What the standard streams of a program are that is started in a container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Streams {
    /// Output and errors are read outside; the input is at its end.
    #[default]
    Output,
    /// The same with input from outside.
    Input,
    /// All three are a terminal of its own, whose other side is outside.
    Terminal,
}

/// What the holder of a container's handle asks. Strings are lists, each string ended by a NUL byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Reply: the state of the container, JSON as the OCI runtime specification has it.
    State,
    /// Sends a signal to the container's first process, by Linux's number.
    Signal(u8),
    /// Output from a position on, 0 at first. Reply: [`Log`].
    Log {
        /// Where to go on: [`Log::next`] of the reply before.
        from: u64,
        /// Whether to wait for some when there is none yet. Not beyond the end of who writes it.
        wait: bool,
        /// Whose: the number of a program that [`Exec`](Self::Exec) started, 0 for the container's own.
        of: u32,
    },
    /// Runs a program in the container, beside its first process. Reply: word, its number.
    Exec {
        /// Arguments, the first of which names the program.
        arguments: &'a str,
        /// Environment besides the container's, `NAME=value`.
        environment: &'a str,
        /// Working directory; empty: the container's.
        cwd: &'a str,
        /// What its standard streams are: whether there will be [`Input`](Self::Input) for it.
        streams: Streams,
    },
    /// Says that there will be [`Input`](Self::Input) for the container's first process; before it is started.
    Attach {
        /// Whether its streams are a terminal, as its description may say, too.
        terminal: bool,
    },
    /// Input for somebody who was started to have some. [`TableFull`](Error::TableFull) when there is no room yet
    /// for more than came before.
    Input {
        /// Whose: the number of a program that [`Exec`](Self::Exec) started, 0 for the container's own.
        of: u32,
        /// The bytes; none: that was all.
        bytes: &'a [u8],
    },
    /// Reply, when it has ended: word, the status of a program that [`Exec`](Self::Exec) started, as a
    /// shell knows it. Once.
    ExecWait(u32),
    /// Reply, when it has ended: word, the status of the container, as a shell knows it. The container stays.
    Wait,
    /// Says where in the container a region is mapped that its description names, in [`GRANTS`]; before it is
    /// started. What may be done with it is what it was shared for, and no more than the description says.
    Grant {
        /// The name.
        name: &'a str,
        /// Where it was mapped.
        address: u64,
        /// Its bytes.
        bytes: u64,
    },
}

/// A piece of a container's output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Log<'a> {
    /// Where to go on.
    pub next: u64,
    /// Whether some that was before it has been dropped in the meantime.
    pub lost: bool,
    /// Whether who writes it has ended, and there is nothing behind this.
    pub end: bool,
    /// Which stream this is of.
    pub stream: Stream,
    /// The bytes; none when there is nothing yet.
    pub bytes: &'a [u8],
}

/// What a container's server is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Send a signal to the first process.
    Signal(u8),
    /// Run a program; say [`ServerOp::Done`] with its number when it has ended.
    Exec {
        /// Its number.
        number: u32,
        /// See [`Request::Exec`].
        arguments: &'a str,
        /// See [`Request::Exec`].
        environment: &'a str,
        /// See [`Request::Exec`].
        cwd: &'a str,
        /// See [`Request::Exec`].
        streams: Streams,
    },
    /// Give a program its input, and say [`ServerOp::Taken`] when there may be more.
    Input {
        /// The number of a [`Command::Exec`], 0 for the first process.
        of: u32,
        /// See [`Request::Input`].
        bytes: &'a [u8],
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), word: u64) {
            let _ = postcard::from_bytes::<Request<'_>>(&bytes);
            let _ = postcard::from_bytes::<Command<'_>>(&bytes);
            let _ = postcard::from_bytes::<Log<'_>>(&bytes);
            let _ = (ServerOp::from_label(word), Stream::from_word(word));
        }
    }

    #[test]
    fn labels_of_servers_are_no_labels_of_ics() {
        for label in 0x200..0x300 {
            let both = ServerOp::from_label(label).is_ok()
                && crate::factory::SelfOp::from_label(label).is_ok();
            assert!(!both);
        }
        assert_eq!(
            ServerOp::from_label(ServerOp::Taken.label()),
            Ok(ServerOp::Taken)
        );
    }
}
