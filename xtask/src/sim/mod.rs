// SPDX-License-Identifier: BSD-2-Clause
//! A running simulator: its serial line as a stream of events, and an end in every case.
//!
//! [`Machine`] owns the simulator's process. Whoever drives it asks for the [`Event`]s one by one,
//! each with a deadline and with a few words on what is being waited for: a guest that hangs is an
//! error that carries these words and the serial log, never a tool that hangs with it. A machine
//! that is dropped is killed.

pub mod bochs;
pub mod qemu;

use crate::deps::find_program;
use crate::frames::{Piece, Splitter};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use xos_image::console;

/// How much of the serial log is kept, in bytes.
const LOG_LIMIT: usize = 1 << 20;
/// How much of it an error shows, in lines.
const LOG_SHOWN: usize = 60;
/// The same where all of it was shown already.
const LOG_REPEATED: usize = 5;
/// How long a simulator may take to end once its serial line is closed.
const EXIT_TIME: Duration = Duration::from_secs(10);

/// Something that boots systems.
pub trait Simulator {
    /// Boots `kernel` (a 32-bit multiboot image) with `root_task` as its module, both names within
    /// `folder`.
    ///
    /// # Errors
    /// [`SimError`] if the simulator cannot be started.
    fn start(&self, folder: &Path, kernel: &str, root_task: &str) -> Result<Machine, SimError>;
}

/// A command for the program that ends when this tool does, however that ends: a simulator in an
/// endless loop must not outlive it.
fn bounded(program: &OsStr) -> Command {
    match (find_program("setpriv"), find_program(program)) {
        (Some(setpriv), Some(program)) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        _ => Command::new(program),
    }
}

/// Why a machine could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The simulator could not be started.
    #[error("cannot start the simulator {program}: {error}; `make deps` installs it")]
    Start {
        /// The simulator's program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// Nothing that was waited for happened in time.
    #[error(
        "timed out: nothing came for {} while waiting for {waiting_for}; the serial log ends with:\n{log}",
        seconds(*.after)
    )]
    Hang {
        /// What was waited for.
        waiting_for: String,
        /// For how long.
        after: Duration,
        /// The end of the serial log.
        log: String,
    },
    /// The machine stopped before what was waited for.
    #[error("the machine stopped ({how}) before {waiting_for}; the serial log ends with:\n{log}")]
    Stopped {
        /// How it stopped.
        how: PowerOff,
        /// What was waited for.
        waiting_for: String,
        /// The end of the serial log.
        log: String,
    },
    /// The simulator's process could not be controlled.
    #[error("cannot talk to the simulator: {0}")]
    Io(io::Error),
}

// Messages include what the system said, so it is no source beside them that would be shown again.
impl From<io::Error> for SimError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}

/// How a machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOff {
    /// The guest asked for it and said that all is well.
    Success,
    /// The guest asked for it and said that something failed.
    Failure,
    /// The processor was reset (a triple fault, or a guest that reboots).
    Reset,
    /// The simulator itself failed, with this exit status.
    Simulator(Option<i32>),
}

impl PowerOff {
    /// Reads QEMU's exit status: `isa-debug-exit` turns a byte `v` into `v << 1 | 1`; with
    /// `-no-reboot` a reset is status 0.
    #[must_use]
    pub fn from_status(status: ExitStatus) -> Self {
        const fn code(byte: u8) -> i32 {
            (byte as i32) << 1 | 1
        }
        match status.code() {
            Some(0) => Self::Reset,
            Some(status) if status == code(console::EXIT_SUCCESS) => Self::Success,
            Some(status) if status == code(console::EXIT_FAILURE) => Self::Failure,
            status => Self::Simulator(status),
        }
    }
}

impl fmt::Display for PowerOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("powered off"),
            Self::Failure => f.write_str("powered off after a failure"),
            Self::Reset => f.write_str("processor reset, as after a triple fault"),
            Self::Simulator(Some(status)) => write!(f, "the simulator failed with status {status}"),
            Self::Simulator(None) => f.write_str("the simulator was killed"),
        }
    }
}

/// What the driver of a machine gets to know, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest printed text.
    Text(Vec<u8>),
    /// The guest printed a line for the log, with its end.
    Log(Vec<u8>),
    /// The guest sent another frame; [`console::Frame::parse`] reads it.
    Frame(String),
    /// Someone typed (see [`Machine::sender`]).
    Input(Vec<u8>),
    /// There will be no more input.
    InputEnd,
    /// Someone asked to stop the machine.
    Quit,
    /// The machine has stopped. No event follows.
    Off(PowerOff),
}

/// What reaches a machine's driver from other threads.
#[derive(Debug)]
pub enum Signal {
    /// Bytes from the serial line.
    Serial(Vec<u8>),
    /// The serial line was closed.
    SerialEnd,
    /// See [`Event::Input`].
    Input(Vec<u8>),
    /// See [`Event::InputEnd`].
    InputEnd,
    /// See [`Event::Quit`].
    Quit,
}

/// How the end of a simulator is understood.
enum How {
    /// By its exit status.
    Qemu,
    /// By what it was told before, or its log.
    Bochs {
        codes: Option<bochs::Codes>,
        log: PathBuf,
    },
}

impl How {
    fn power_off(&self, status: ExitStatus) -> PowerOff {
        match self {
            Self::Qemu => PowerOff::from_status(status),
            Self::Bochs { codes, log } => {
                match codes.as_ref().and_then(|codes| codes.iter().last()) {
                    Some(console::EXIT_SUCCESS) => PowerOff::Success,
                    Some(_) => PowerOff::Failure,
                    None if bochs::was_reset(log) => PowerOff::Reset,
                    None => PowerOff::Simulator(status.code()),
                }
            }
        }
    }
}

/// A running simulator.
pub struct Machine {
    child: Child,
    how: How,
    serial: Box<dyn Write + Send>,
    sender: Sender<Signal>,
    signals: Receiver<Signal>,
    splitter: Splitter,
    ready: VecDeque<Event>,
    log: Vec<u8>,
    log_shown: usize,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("child", &self.child)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Starts the simulator; its standard input and output are the serial line.
    pub fn start(mut command: Command) -> Result<Self, SimError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| SimError::Start { program, error })?;
        let missing = || io::Error::other("the serial line is not connected");
        let serial = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        Ok(Self::connected(child, serial, output, How::Qemu))
    }

    /// A machine whose serial line is these two streams.
    fn connected(
        child: Child,
        serial: impl Write + Send + 'static,
        mut output: impl Read + Send + 'static,
        how: How,
    ) -> Self {
        let (sender, signals) = mpsc::channel();
        let from_serial = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // An error of this pipe means what its end means: nothing more will come.
                let signal = match output.read(&mut buffer) {
                    Ok(length @ 1..) => Signal::Serial(buffer[..length].to_vec()),
                    Ok(0) | Err(_) => Signal::SerialEnd,
                };
                let end = matches!(signal, Signal::SerialEnd);
                if from_serial.send(signal).is_err() || end {
                    return;
                }
            }
        });
        let (splitter, ready, log) = Default::default();
        let log_shown = LOG_SHOWN;
        Self {
            child,
            how,
            serial: Box::new(serial),
            sender,
            signals,
            splitter,
            ready,
            log,
            log_shown,
        }
    }

    /// The driver shows all text itself, so that errors need not show much of it again.
    pub fn is_shown(&mut self) {
        self.log_shown = LOG_REPEATED;
    }

    /// Where other threads put what shall come out as [`Event::Input`] or [`Event::Quit`].
    #[must_use]
    pub fn sender(&self) -> Sender<Signal> {
        self.sender.clone()
    }

    /// Types on the machine's serial line. A machine that has stopped does not mind.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SimError> {
        match self
            .serial
            .write_all(bytes)
            .and_then(|()| self.serial.flush())
        {
            Err(error)
                if ![io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset]
                    .contains(&error.kind()) =>
            {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// The next event, or [`SimError::Hang`] if there is none `within` that time.
    pub fn next(&mut self, within: Option<Duration>, waiting_for: &str) -> Result<Event, SimError> {
        let start = Instant::now();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let signal = match within {
                // The machine holds a sender itself, so the channel is never disconnected.
                None => self.signals.recv().unwrap_or(Signal::SerialEnd),
                Some(within) => {
                    match self
                        .signals
                        .recv_timeout(within.saturating_sub(start.elapsed()))
                    {
                        Ok(signal) => signal,
                        Err(RecvTimeoutError::Disconnected) => Signal::SerialEnd,
                        Err(RecvTimeoutError::Timeout) => {
                            return Err(SimError::Hang {
                                waiting_for: waiting_for.to_owned(),
                                after: within,
                                log: self.log_end(),
                            });
                        }
                    }
                }
            };
            match signal {
                Signal::Serial(bytes) => {
                    for piece in self.splitter.feed(&bytes) {
                        self.take(piece);
                    }
                }
                Signal::SerialEnd => {
                    if let Some(piece) = self.splitter.finish() {
                        self.take(piece);
                    }
                    let how = self.reap()?;
                    self.ready.push_back(Event::Off(how));
                }
                Signal::Input(bytes) => self.ready.push_back(Event::Input(bytes)),
                Signal::InputEnd => self.ready.push_back(Event::InputEnd),
                Signal::Quit => self.ready.push_back(Event::Quit),
            }
        }
    }

    /// The error for a machine that stopped too early.
    #[must_use]
    pub fn stopped(&self, how: PowerOff, waiting_for: &str) -> SimError {
        SimError::Stopped {
            how,
            waiting_for: waiting_for.to_owned(),
            log: self.log_end(),
        }
    }

    /// The last lines of all text so far.
    #[must_use]
    pub fn log_end(&self) -> String {
        let text = String::from_utf8_lossy(&self.log);
        if text.trim().is_empty() {
            return "  (nothing was printed)".to_owned();
        }
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(self.log_shown)..]
            .iter()
            // The debug kernel ends its lines with `\n\r`.
            .map(|line| format!("  | {}", line.trim_matches('\r')))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => {
                self.note(&text);
                self.ready.push_back(Event::Text(text));
            }
            Piece::Frame(line) => match console::Frame::parse(&line) {
                Some(console::Frame::Log(text)) => {
                    let text = format!("{text}\n").into_bytes();
                    self.note(&text);
                    self.ready.push_back(Event::Log(text));
                }
                _ => self.ready.push_back(Event::Frame(line)),
            },
        }
    }

    /// Adds to what is shown when something goes wrong.
    fn note(&mut self, text: &[u8]) {
        self.log.extend(text);
        let excess = self.log.len().saturating_sub(LOG_LIMIT);
        // Dropped in big steps, so that a talkative guest does not cost a copy per line.
        if excess > LOG_LIMIT {
            self.log.drain(..excess);
        }
    }

    /// Waits for the simulator's end, which is near, and kills it if it is not.
    fn reap(&mut self) -> Result<PowerOff, SimError> {
        let deadline = Instant::now() + EXIT_TIME;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(self.how.power_off(status));
            }
            if Instant::now() > deadline {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only if the process has ended by itself and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests;
