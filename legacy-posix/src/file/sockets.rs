// SPDX-License-Identifier: BSD-2-Clause
//! Calls on sockets, for socket pairs.

use linux_raw_sys::net::{
    AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, SHUT_RD, SHUT_RDWR, SHUT_WR,
    SO_ACCEPTCONN, SO_DOMAIN, SO_ERROR, SO_PROTOCOL, SO_RCVBUF, SO_SNDBUF, SO_TYPE, SOCK_DGRAM,
    SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
};

use super::{Files, Moved, Object, OpenId};
use crate::socket::{SocketId, Style};
use crate::vfs::Call;
use crate::{Buffer, Errno, Result};

impl Files {
    fn socket_of(&self, call: &Call, fd: i32) -> Result<(OpenId, SocketId)> {
        let id = self.usable(call, fd)?;
        match self.descriptors.get(id).object {
            Object::Socket(socket) => Ok((id, socket)),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `sendto`, `sendmsg`: pairs take no address, and nothing but bytes. `EPIPE` goes with `SIGPIPE` unless
    /// `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `EPIPE`, `ECONNREFUSED`, `EMSGSIZE`, `EAGAIN`; `EISCONN` for an address; `EOPNOTSUPP`
    /// for other flags.
    pub fn send(
        &mut self,
        call: &mut Call,
        fd: i32,
        from: &mut Buffer,
        flags: u32,
        address: bool,
    ) -> Result<Moved> {
        let (id, socket) = self.socket_of(call, fd)?;
        if flags & !(MSG_DONTWAIT | MSG_NOSIGNAL) != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        if address {
            return Err(Errno::ISCONN);
        }
        let sent = self
            .sockets
            .send(call.pages, &mut self.queues, socket, from)?;
        match sent {
            Some(sent) if from.is_empty() => Ok(Moved::Done(sent)),
            sent => self.wait_unless(call, id, flags, sent.unwrap_or(0)),
        }
    }

    /// `recvfrom`, `recvmsg`: gives also how long the message was, of which the buffer may have had no room for all
    /// (`MSG_TRUNC` in what `recvmsg` tells).
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `EAGAIN`; `EOPNOTSUPP` for other flags.
    pub fn receive(
        &mut self,
        call: &mut Call,
        fd: i32,
        into: &mut Buffer,
        flags: u32,
    ) -> Result<(Moved, usize)> {
        let (id, socket) = self.socket_of(call, fd)?;
        if flags & !(MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC | linux_raw_sys::net::MSG_CMSG_CLOEXEC)
            != 0
        {
            return Err(Errno::OPNOTSUPP);
        }
        let peek = flags & MSG_PEEK != 0;
        let received = self
            .sockets
            .receive(call.pages, &mut self.queues, socket, into, peek);
        match received {
            Some((_, whole)) if flags & MSG_TRUNC != 0 => Ok((Moved::Done(whole), whole)),
            Some((moved, whole)) => Ok((Moved::Done(moved), whole)),
            None => Ok((self.wait_unless(call, id, flags, 0)?, 0)),
        }
    }

    fn wait_unless(&mut self, call: &Call, id: OpenId, flags: u32, moved: usize) -> Result<Moved> {
        if flags & MSG_DONTWAIT != 0 || self.descriptors.get(id).is_nonblocking() {
            return if moved > 0 {
                Ok(Moved::Done(moved))
            } else {
                Err(Errno::AGAIN)
            };
        }
        self.wait_for(call, id);
        Ok(Moved::Wait)
    }

    /// `shutdown`.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `EINVAL`.
    pub fn shutdown(&mut self, call: &Call, fd: i32, how: u32) -> Result<()> {
        let (_, socket) = self.socket_of(call, fd)?;
        let (read, write) = match how {
            SHUT_RD => (true, false),
            SHUT_WR => (false, true),
            SHUT_RDWR => (true, true),
            _ => return Err(Errno::INVAL),
        };
        self.sockets.shut(&mut self.queues, socket, read, write);
        Ok(())
    }

    /// `getsockname`, `getpeername`: the address of an end of a pair, which has no name.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`.
    pub fn socket_name(&self, call: &Call, fd: i32) -> Result<[u8; 2]> {
        self.socket_of(call, fd)?;
        Ok((AF_UNIX as u16).to_ne_bytes())
    }

    /// `getsockopt`, of options that are a number.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `ENOPROTOOPT`.
    pub fn socket_option(&self, call: &Call, fd: i32, level: u32, name: u32) -> Result<u32> {
        let (_, socket) = self.socket_of(call, fd)?;
        if level != SOL_SOCKET {
            return Err(Errno::OPNOTSUPP);
        }
        match name {
            SO_TYPE => Ok(match self.sockets.style(socket) {
                Style::Stream => SOCK_STREAM,
                Style::Datagram => SOCK_DGRAM,
                Style::Sequence => SOCK_SEQPACKET,
            }),
            SO_DOMAIN => Ok(AF_UNIX),
            SO_ERROR | SO_PROTOCOL | SO_ACCEPTCONN => Ok(0),
            SO_SNDBUF | SO_RCVBUF => Ok(212_992),
            _ => Err(Errno::NOPROTOOPT),
        }
    }

    /// `bind`, `connect`, `listen`, `accept`, `setsockopt` on a pair: what they give, as they do nothing.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`; then `EINVAL`.
    pub fn socket_other(&self, call: &Call, fd: i32) -> Result<u64> {
        self.socket_of(call, fd)?;
        Err(Errno::INVAL)
    }
}
