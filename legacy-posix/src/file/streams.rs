// SPDX-License-Identifier: BSD-2-Clause
//! Standard streams of programs that were started from outside: output that the server reads itself, and input that
//! it writes itself, or that there is none of.

use linux_raw_sys::general::{AT_FDCWD, O_RDONLY, O_RDWR, O_WRONLY};

use super::{Files, Moved, Object, TerminalId};
use crate::pipe::PipeId;
use crate::tty::USUAL_SIZE;
use crate::vfs::Call;
use crate::{Buffer, Errno, Page, Pages, Result, Segment};

/// Bytes that are read at a time.
pub const PIECE: usize = 768;

impl Files {
    /// A descriptor of the caller's for writing to a pipe that the server reads with [`Files::drain`], and
    /// is to [forget](Files::forget_output) at the end.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn open_output(&mut self, call: &mut Call) -> Result<PipeId> {
        self.open_stream(call, O_WRONLY, Self::forget_output)
    }

    /// A descriptor of the caller's for one end of a new pipe, whose other end is the server's, to be closed by
    /// `close`.
    fn open_stream(
        &mut self,
        call: &mut Call,
        flags: u32,
        close: fn(&mut Self, &mut dyn Pages, PipeId),
    ) -> Result<PipeId> {
        let pipe = self.create_pipe()?;
        let open = match self.insert(Object::Pipe(pipe), flags, None, u64::MAX) {
            Ok(open) => open,
            Err(error) => {
                self.discard_pipe(call.pages, pipe);
                return Err(error);
            }
        };
        self.pipes.open(&mut self.queues, pipe, true, true);
        match self.install(call, open, false) {
            Ok(_) => Ok(pipe),
            Err(error) => {
                close(self, call.pages, pipe);
                Err(error)
            }
        }
    }

    /// The next bytes that were written to an output, by way of a frame that is nobody else's.
    pub fn drain<'b>(
        &mut self,
        pages: &mut dyn Pages,
        pipe: PipeId,
        scratch: Page,
        bytes: &'b mut [u8; PIECE],
    ) -> &'b [u8] {
        if self.pipes.readable(pipe) == 0 {
            return &[];
        }
        let segment = Segment {
            page: scratch,
            offset: 0,
            length: PIECE as u16,
        };
        let segments = [segment];
        let mut into = Buffer::new(&segments);
        let read = self.pipes.read(pages, &mut self.queues, pipe, &mut into);
        let bytes = &mut bytes[..read.unwrap_or(0)];
        pages.read(scratch, 0, bytes);
        bytes
    }

    /// Whether nobody can write to an output any more, and nothing is left in it.
    pub fn is_output_over(&self, pipe: PipeId) -> bool {
        self.pipes.ends(pipe).1 == 0 && self.pipes.readable(pipe) == 0
    }

    /// The server does not read an output any more.
    pub fn forget_output(&mut self, pages: &mut dyn Pages, pipe: PipeId) {
        self.pipes.close(pages, &mut self.queues, pipe, true, false);
    }

    /// A descriptor of the caller's for reading from a pipe that the server writes to with [`Files::feed`], and
    /// is to [end](Files::end_input).
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn open_input(&mut self, call: &mut Call) -> Result<PipeId> {
        self.open_stream(call, O_RDONLY, Self::end_input)
    }

    /// Writes to an input, by way of a frame that is nobody else's: how many bytes there was room for, or that
    /// nobody reads any more.
    ///
    /// # Errors
    /// `EPIPE`; `ENOMEM`.
    pub fn feed(
        &mut self,
        pages: &mut dyn Pages,
        pipe: PipeId,
        scratch: Page,
        bytes: &[u8],
    ) -> Result<usize> {
        let mut fed = 0;
        for piece in bytes.chunks(PIECE) {
            if self.pipes.ends(pipe).0 == 0 {
                return Err(Errno::PIPE);
            }
            pages.write(scratch, 0, piece);
            let segments = [Segment {
                page: scratch,
                offset: 0,
                length: piece.len() as u16,
            }];
            let mut from = Buffer::new(&segments);
            let written = self.pipes.write(pages, &mut self.queues, pipe, &mut from)?;
            fed += written;
            if written < piece.len() {
                break;
            }
        }
        Ok(fed)
    }

    /// There is no more input.
    pub fn end_input(&mut self, pages: &mut dyn Pages, pipe: PipeId) {
        self.pipes.close(pages, &mut self.queues, pipe, false, true);
    }

    /// A descriptor of the caller's for input that is at its end.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn open_nothing(&mut self, call: &mut Call) -> Result<i32> {
        let open = self.insert(Object::Null, O_RDONLY, None, 0)?;
        self.install(call, open, false)
    }

    /// A terminal for the caller's first descriptors, which becomes its controlling one. The server is the other side,
    /// and is to [hang up](Files::hang_up) at the end.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`; `ENOSPC` for too many.
    pub fn open_own_terminal(&mut self, call: &mut Call) -> Result<TerminalId> {
        let terminal = match self.pseudo_terminals {
            Some(_) => self.open_multiplexer(call)?,
            // It has no name then.
            None => self.terminals.pseudo(&mut self.queues),
        };
        self.terminals.lock(terminal, false);
        self.terminals
            .resize(&mut self.requests, terminal, USUAL_SIZE);
        // By its name, where it has one that can be reached.
        let name = self.name_of(terminal);
        let named = self.openat(call, AT_FDCWD, name.as_bytes(), O_RDWR, 0);
        let opened = match named {
            Ok(Moved::Done(first)) => Ok(first as i32),
            _ => self.open_terminal(call, terminal),
        };
        let opened = opened.and_then(|first| {
            self.dup(call, first, 0, false)?;
            self.dup(call, first, 0, false)
        });
        match opened {
            Ok(_) => Ok(terminal),
            Err(error) => {
                self.hang_up(call.pages, terminal);
                Err(error)
            }
        }
    }

    /// The server is no more at the other side of a terminal.
    pub fn hang_up(&mut self, pages: &mut dyn Pages, terminal: TerminalId) {
        self.close_master(pages, terminal);
    }

    /// A descriptor of the caller's for a terminal, which becomes its controlling one.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn open_terminal(&mut self, call: &mut Call, terminal: TerminalId) -> Result<i32> {
        self.terminals.open(terminal)?;
        let open = self.insert(Object::Terminal(terminal), O_RDWR, None, 0)?;
        let fd = self.install(call, open, false)?;
        // A second one of the same session has it already.
        let _ = self.terminals.adopt(terminal, &call.caller, false);
        Ok(fd)
    }
}
