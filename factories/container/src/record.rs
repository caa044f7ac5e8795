// SPDX-License-Identifier: BSD-2-Clause
//! What is kept of one container. All of it is bounded: a container that prints without end, or is asked
//! for more than it fetches, costs this much and no more.

use heapless::{Deque, String, Vec};
use process_factory::files::MAX_PATH;
use serde::Serialize;
use xos_container::{MAX_MOUNTS, MAX_NAME, Span};
use xos_protocol::container::{Command, MAX_BYTES};
use xos_protocol::{Error, ExitStatus, Result};
use xos_server::Token;

use crate::log::Log;
use crate::state::Status;

/// Bytes that are kept of a container's output.
pub const LOG_BYTES: usize = 8 << 10;
/// Commands that wait for a server to fetch them.
pub const MAX_COMMANDS: usize = 4;
/// Programs that were started in a container, beside its first, until somebody has asked how they ended.
pub const MAX_EXECS: usize = 16;
/// Callers that wait for output, for the end, for a program's end; each.
pub const MAX_WAITERS: usize = 4;

/// A command as it is sent.
pub type Encoded = Vec<u8, MAX_BYTES>;

/// A program that was started in a container.
#[derive(Debug)]
pub struct Exec {
    /// Its number.
    pub number: u32,
    /// Whether there is input for it.
    pub input: bool,
    /// Whether some is on its way.
    pub awaits: bool,
    /// How it ended, if it has.
    pub status: Option<u64>,
    /// Who wants to know.
    pub waiter: Option<Token>,
}

/// Somebody who waits for output.
#[derive(Debug)]
pub struct Follower {
    /// Its call.
    pub token: Token,
    /// Whose output: the number of a program, 0 for the container's own.
    pub of: u32,
    /// From which position on.
    pub from: u64,
}

/// A container.
#[derive(Debug)]
pub struct Record {
    /// Whether this is one.
    pub taken: bool,
    /// Name of its description.
    pub name: String<MAX_NAME>,
    /// Path of its description in the file tree.
    pub path: String<MAX_PATH>,
    /// The command that it was given instead of its own, and more environment: lists, as in
    /// [`Spec`](xos_protocol::factory::Spec).
    pub arguments: String<MAX_BYTES>,
    /// See [`arguments`](Self::arguments).
    pub environment: String<MAX_BYTES>,
    /// Index of its root.
    pub root: usize,
    /// Where its root is.
    pub root_span: Span,
    /// The regions that it was granted.
    pub grants: Vec<(String<MAX_NAME>, Span), MAX_MOUNTS>,
    /// Whether there will be input for its first process, and whether that is a terminal.
    pub input: Option<bool>,
    /// Whether some is on its way.
    pub awaits: bool,
    /// Where it is in its life.
    pub status: Status,
    /// How it ended, if it has.
    pub ended: Option<ExitStatus>,
    /// What it printed last.
    pub log: Log<LOG_BYTES>,
    /// What its server is to do.
    commands: Deque<Encoded, MAX_COMMANDS>,
    /// Its server, when it waits for something to do.
    pub server: Option<Token>,
    /// Who waits for output.
    pub followers: Vec<Follower, MAX_WAITERS>,
    /// Who waits for its end.
    pub waiters: Vec<Token, MAX_WAITERS>,
    /// The programs that were started in it.
    pub execs: Vec<Exec, MAX_EXECS>,
    next_exec: u32,
}

impl Record {
    /// Room for one.
    pub const EMPTY: Self = Self {
        taken: false,
        name: String::new(),
        path: String::new(),
        arguments: String::new(),
        environment: String::new(),
        root: 0,
        root_span: Span {
            address: 0,
            bytes: 0,
        },
        grants: Vec::new(),
        input: None,
        awaits: false,
        status: Status::Created,
        ended: None,
        log: Log::new(),
        commands: Deque::new(),
        server: None,
        followers: Vec::new(),
        waiters: Vec::new(),
        execs: Vec::new(),
        next_exec: 1,
    };

    /// Makes room again, without moving as much as a record is.
    pub fn clear(&mut self) {
        self.taken = false;
        self.name.clear();
        self.path.clear();
        self.arguments.clear();
        self.environment.clear();
        self.grants.clear();
        self.input = None;
        self.awaits = false;
        self.status = Status::Created;
        self.ended = None;
        self.log.clear();
        self.commands.clear();
        self.server = None;
        self.followers.clear();
        self.waiters.clear();
        self.execs.clear();
        self.next_exec = 1;
    }

    /// Adds a command for the server to fetch.
    ///
    /// # Errors
    /// [`Error::TableFull`] when it has not fetched those before, [`Error::Malformed`] when it is too long.
    pub fn command(&mut self, command: &Command<'_>) -> Result<()> {
        let encoded = encode(command)?;
        self.commands
            .push_back(encoded)
            .map_err(|_| Error::TableFull)
    }

    /// The next command.
    pub fn fetch(&mut self) -> Option<Encoded> {
        self.commands.pop_front()
    }

    /// Makes an entry for a program that is to be started: its number.
    ///
    /// # Errors
    /// [`Error::TableFull`] when there are too many that nobody has asked about.
    pub fn exec(&mut self, input: bool) -> Result<u32> {
        let number = self.next_exec;
        let exec = Exec {
            number,
            input,
            awaits: false,
            status: None,
            waiter: None,
        };
        self.execs.push(exec).map_err(|_| Error::TableFull)?;
        self.next_exec = self.next_exec.wrapping_add(1).max(1);
        Ok(number)
    }

    /// Whether input is on its way to the program of this number, if there is input for it and it has not ended; 0 is
    /// the container's own.
    pub fn awaits(&mut self, number: u32) -> Option<&mut bool> {
        let takes = |exec: &&mut Exec| exec.number == number && exec.input && exec.status.is_none();
        match number {
            0 => self.input.map(|_| &mut self.awaits),
            _ => self
                .execs
                .iter_mut()
                .find(takes)
                .map(|exec| &mut exec.awaits),
        }
    }

    /// Whether the program of this number has ended; 0 is the container.
    pub fn is_over(&self, number: u32) -> bool {
        let runs = |exec: &Exec| exec.number == number && exec.status.is_none();
        self.status == Status::Stopped || number != 0 && !self.execs.iter().any(runs)
    }

    /// Takes back the entry that was made last.
    pub fn forget_exec(&mut self) {
        self.execs.pop();
    }
}

/// Encodes something for a message.
///
/// # Errors
/// [`Error::Malformed`] when it does not fit.
pub fn encode<T: Serialize>(value: &T) -> Result<Encoded> {
    let mut bytes = Encoded::new();
    bytes
        .resize_default(MAX_BYTES)
        .map_err(|_| Error::Malformed)?;
    let used = postcard::to_slice(value, &mut bytes)
        .map_err(|_| Error::Malformed)?
        .len();
    bytes.truncate(used);
    Ok(bytes)
}
