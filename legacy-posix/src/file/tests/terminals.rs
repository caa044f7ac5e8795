// SPDX-License-Identifier: BSD-2-Clause
//! Terminals as calls see them: job control, pseudo-terminals, what ends with what.

use super::world::{World, pid};
use crate::Errno;
use crate::file::control::{SHAPE_MAX, shape};
use crate::file::poll::PollEntry;
use crate::file::{Moved, Request};
use crate::tty::TerminalId;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    ICANON, O_NOCTTY, O_NONBLOCK, O_RDWR, POLLHUP, POLLIN, SIGCONT, SIGHUP, SIGINT, SIGTTIN,
    SIGTTOU, SIGWINCH, TOSTOP, VMIN, VTIME,
};
use linux_raw_sys::ioctl::{
    FIONREAD, TCFLSH, TCGETS, TCSETS, TIOCGPGRP, TIOCGPTN, TIOCGSID, TIOCGWINSZ, TIOCNOTTY,
    TIOCSCTTY, TIOCSPGRP, TIOCSPTLCK, TIOCSWINSZ,
};

fn console(w: &mut World) -> TerminalId {
    w.files.terminals.console(&mut w.files.queues, 0)
}

fn typed(w: &mut World, terminal: TerminalId, bytes: &[u8]) {
    let files = &mut w.files;
    files
        .terminals
        .input(&mut files.queues, &mut files.requests, terminal, bytes);
}

fn shown(w: &mut World, terminal: TerminalId) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let files = &mut w.files;
    let count = files
        .terminals
        .output(&mut files.queues, terminal, &mut bytes);
    bytes.truncate(count);
    bytes
}

fn moved(
    w: &mut World,
    fd: i32,
    request: u32,
    argument: u64,
    bytes: &mut [u8],
) -> Result<Moved, Errno> {
    w.call(|files, call| files.ioctl(call, fd, request, argument, bytes))
}

/// What a request gives that is done at once.
fn ioctl(
    w: &mut World,
    fd: i32,
    request: u32,
    argument: u64,
    bytes: &[u8],
) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; SHAPE_MAX];
    let shape = shape(request);
    let length = shape.read.max(shape.write);
    let given = bytes.len().min(length);
    buffer[..given].copy_from_slice(&bytes[..given]);
    let moved = moved(w, fd, request, argument, &mut buffer[..length])?;
    assert_eq!(moved, Moved::Done(0));
    Ok(buffer[..shape.write].to_vec())
}

fn number(w: &mut World, fd: i32, request: u32) -> Result<u32, Errno> {
    let bytes = ioctl(w, fd, request, 0, &[])?;
    Ok(u32::from_ne_bytes(bytes.try_into().unwrap()))
}

fn set_number(w: &mut World, fd: i32, request: u32, value: u32) -> Result<(), Errno> {
    ioctl(w, fd, request, 0, &value.to_ne_bytes()).map(drop)
}

/// A child in a group of its own, in the session of the caller.
fn background(w: &mut World, number: u32) {
    w.fork(number);
    w.table.processes.get_mut(&number).unwrap().group = number;
}

#[test]
fn the_leader_of_a_session_gets_the_terminal_that_it_opens_first() {
    let mut w = World::new();
    let terminal = console(&mut w);
    assert_eq!(w.try_open("/dev/tty", O_RDWR, 0), Err(Errno::NXIO));
    let fd = w.open("/dev/console", O_RDWR | O_NOCTTY);
    assert_eq!(w.try_open("/dev/tty", O_RDWR, 0), Err(Errno::NXIO));
    assert_eq!(number(&mut w, fd, TIOCGPGRP), Err(Errno::NOTTY));
    w.open("/dev/console", O_RDWR);
    assert_eq!(number(&mut w, fd, TIOCGPGRP), Ok(1));
    assert_eq!(number(&mut w, fd, TIOCGSID), Ok(1));
    let tty = w.open("/dev/tty", O_RDWR);
    assert_eq!(w.write(tty, b"hi\n"), Ok(Moved::Done(3)));
    assert_eq!(shown(&mut w, terminal), b"hi\r\n");
    // Another session does not get it, unless it takes it.
    w.fork(2);
    let two = w.table.processes.get_mut(&2).unwrap();
    (two.group, two.session) = (2, 2);
    w.as_process(2, |w| {
        assert_eq!(number(w, fd, TIOCGPGRP), Err(Errno::NOTTY));
        assert_eq!(ioctl(w, fd, TIOCSCTTY, 0, &[]).err(), Some(Errno::PERM));
        assert!(ioctl(w, fd, TIOCSCTTY, 1, &[]).is_ok());
        assert_eq!(number(w, fd, TIOCGPGRP), Ok(2));
    });
    assert_eq!(number(&mut w, fd, TIOCGPGRP), Err(Errno::NOTTY));
}

#[test]
fn typed_signals_go_to_the_foreground_group_and_readers_wake() {
    let mut w = World::new();
    let terminal = console(&mut w);
    let fd = w.open("/dev/console", O_RDWR);
    assert_eq!(w.read(fd, 10), Err(Errno::INTR));
    typed(&mut w, terminal, b"l\x03");
    assert_eq!(w.files.requests, [Request::SignalGroup(pid(1), SIGINT)]);
    assert_eq!(w.woken(), [1]);
    assert_eq!(w.read(fd, 10), Err(Errno::INTR));
    typed(&mut w, terminal, b"s\r");
    assert_eq!(w.read(fd, 10), Ok(b"s\n".to_vec()));
    let flags = w.open("/dev/tty", O_RDWR | O_NONBLOCK);
    assert_eq!(w.read(flags, 10), Err(Errno::AGAIN));
    typed(&mut w, terminal, b"abc\n");
    assert_eq!(number(&mut w, fd, FIONREAD), Ok(4));
    ioctl(&mut w, fd, TCFLSH, 0, &[]).unwrap();
    assert_eq!(number(&mut w, fd, FIONREAD), Ok(0));
}

#[test]
fn a_background_process_is_stopped_when_it_reads_or_changes_and_may_write() {
    let mut w = World::new();
    console(&mut w);
    let fd = w.open("/dev/console", O_RDWR);
    background(&mut w, 2);
    let quiet = |w: &mut World, signal: u32| {
        w.table.processes.get_mut(&2).unwrap().quiet = 1 << (signal - 1);
    };
    let read = |w: &mut World| {
        w.as_process(2, |w| {
            let mut buffer = crate::Buffer::new(&[]);
            w.call(|files, call| files.read(call, fd, &mut buffer, None, false))
        })
    };
    assert_eq!(read(&mut w), Ok(Moved::Background(SIGTTIN)));
    quiet(&mut w, SIGTTIN);
    assert_eq!(read(&mut w), Err(Errno::IO));
    assert_eq!(w.as_process(2, |w| w.write(fd, b"x")), Ok(Moved::Done(1)));
    let mut settings = ioctl(&mut w, fd, TCGETS, 0, &[]).unwrap();
    let local = u32::from_ne_bytes(settings[12..16].try_into().unwrap());
    settings[12..16].copy_from_slice(&(local | TOSTOP).to_ne_bytes());
    ioctl(&mut w, fd, TCSETS, 0, &settings).unwrap();
    assert_eq!(
        w.as_process(2, |w| w.write(fd, b"x")),
        Ok(Moved::Background(SIGTTOU))
    );
    let change = w.as_process(2, |w| moved(w, fd, TIOCSPGRP, 0, &mut [2, 0, 0, 0]));
    assert_eq!(change, Ok(Moved::Background(SIGTTOU)));
    quiet(&mut w, SIGTTOU);
    assert_eq!(w.as_process(2, |w| w.write(fd, b"x")), Ok(Moved::Done(1)));
    assert_eq!(w.as_process(2, |w| set_number(w, fd, TIOCSPGRP, 2)), Ok(()));
    assert_eq!(number(&mut w, fd, TIOCGPGRP), Ok(2));
    assert_eq!(
        w.as_process(2, |w| set_number(w, fd, TIOCSPGRP, 99)),
        Err(Errno::SRCH)
    );
    assert_eq!(
        w.as_process(2, |w| set_number(w, fd, TIOCSPGRP, 0)),
        Err(Errno::INVAL)
    );
}

#[test]
fn the_end_of_a_session_frees_its_terminal_and_hangs_up_on_the_foreground() {
    let mut w = World::new();
    console(&mut w);
    let fd = w.open("/dev/console", O_RDWR);
    background(&mut w, 2);
    set_number(&mut w, fd, TIOCSPGRP, 2).unwrap();
    w.files.terminals.disown(&mut w.files.requests, pid(1));
    let signals = [SIGHUP, SIGCONT].map(|signal| Request::SignalGroup(pid(2), signal));
    assert_eq!(w.files.requests, signals);
    assert_eq!(number(&mut w, fd, TIOCGPGRP), Err(Errno::NOTTY));
    assert_eq!(
        ioctl(&mut w, fd, TIOCNOTTY, 0, &[]).err(),
        Some(Errno::NOTTY)
    );
    w.open("/dev/console", O_RDWR);
    assert_eq!(number(&mut w, fd, TIOCGPGRP), Ok(1));
}

#[test]
fn a_new_size_is_told_to_the_foreground_once() {
    let mut w = World::new();
    console(&mut w);
    let fd = w.open("/dev/console", O_RDWR);
    let size = ioctl(&mut w, fd, TIOCGWINSZ, 0, &[]).unwrap();
    assert_eq!(size, [24, 0, 80, 0, 0, 0, 0, 0]);
    for _ in 0..2 {
        ioctl(&mut w, fd, TIOCSWINSZ, 0, &[50, 0, 132, 0, 0, 0, 0, 0]).unwrap();
    }
    assert_eq!(w.files.requests, [Request::SignalGroup(pid(1), SIGWINCH)]);
    w.file("/f", b"");
    let file = w.open("/f", O_RDWR);
    assert_eq!(
        ioctl(&mut w, file, TIOCGWINSZ, 0, &[]).err(),
        Some(Errno::NOTTY)
    );
    assert_eq!(
        ioctl(&mut w, 99, TIOCGWINSZ, 0, &[]).err(),
        Some(Errno::BADF)
    );
}

#[test]
fn raw_reads_wait_for_enough_bytes_or_time() {
    let mut w = World::new();
    let terminal = console(&mut w);
    let fd = w.open("/dev/console", O_RDWR);
    let set = |w: &mut World, least: u8, tenths: u8| {
        let mut settings = ioctl(w, fd, TCGETS, 0, &[]).unwrap();
        let local = u32::from_ne_bytes(settings[12..16].try_into().unwrap());
        settings[12..16].copy_from_slice(&(local & !ICANON).to_ne_bytes());
        settings[17 + VMIN as usize] = least;
        settings[17 + VTIME as usize] = tenths;
        ioctl(w, fd, TCSETS, 0, &settings).unwrap();
    };
    let read = |w: &mut World, expired| {
        let segment = [crate::Segment {
            page: crate::Page(0),
            offset: 0,
            length: 10,
        }];
        let mut buffer = crate::Buffer::new(&segment);
        w.call(|files, call| files.read(call, fd, &mut buffer, None, expired))
    };
    set(&mut w, 0, 0);
    assert_eq!(read(&mut w, false), Ok(Moved::Done(0)));
    set(&mut w, 0, 5);
    assert_eq!(read(&mut w, false), Ok(Moved::WaitFor(500_000_000)));
    assert_eq!(read(&mut w, true), Ok(Moved::Done(0)));
    set(&mut w, 3, 0);
    typed(&mut w, terminal, b"ab");
    assert_eq!(read(&mut w, false), Ok(Moved::Wait));
    set(&mut w, 3, 2);
    assert_eq!(read(&mut w, false), Ok(Moved::WaitFor(200_000_000)));
    assert_eq!(read(&mut w, true), Ok(Moved::Done(2)));
    assert_eq!(read(&mut w, false), Ok(Moved::Wait));
}

#[test]
fn a_pseudo_terminal_is_made_opened_used_and_hung_up() {
    let mut w = World::new();
    let before = (w.files.queues.in_use(), w.names("/dev/pts"));
    let master = w.open("/dev/ptmx", O_RDWR | O_NOCTTY);
    let name = number(&mut w, master, TIOCGPTN).unwrap();
    assert_eq!(w.names("/dev/pts"), ["0"]);
    let path = format!("/dev/pts/{name}");
    assert_eq!(
        w.stat(&path).map(|a| (a.rdev, a.rights.mode, a.rights.gid)),
        Ok((0x8800, 0o020_620, 5))
    );
    assert_eq!(w.try_open(&path, O_RDWR, 0), Err(Errno::IO));
    set_number(&mut w, master, TIOCSPTLCK, 0).unwrap();
    let slave = w.open(&path, O_RDWR);
    assert_eq!(number(&mut w, slave, TIOCGPGRP), Ok(1));
    assert_eq!(w.write(master, b"cat\n"), Ok(Moved::Done(4)));
    assert_eq!(w.read(slave, 99), Ok(b"cat\n".to_vec()));
    assert_eq!(w.read(master, 99), Ok(b"cat\r\n".to_vec()));
    assert_eq!(w.read(master, 99), Err(Errno::INTR));
    assert_eq!(w.write(slave, b"out\n"), Ok(Moved::Done(4)));
    assert_eq!(w.woken(), [1]);
    assert_eq!(w.read(master, 99), Ok(b"out\r\n".to_vec()));
    assert_eq!(w.write(master, b"\x03"), Ok(Moved::Done(1)));
    assert_eq!(w.files.requests, [Request::SignalGroup(pid(1), SIGINT)]);
    w.files.requests.clear();
    // A slave that is written to faster than it is read from waits.
    assert_eq!(w.write(slave, &[b'x'; 40_000]), Ok(Moved::Wait));
    assert!(!w.read(master, 10_000).unwrap().is_empty());
    assert_eq!(w.woken(), [1]);
    w.close(master);
    let signals = [SIGHUP, SIGCONT].map(|signal| Request::SignalProcess(pid(1), signal));
    assert_eq!(w.files.requests, signals);
    assert_eq!(w.read(slave, 9), Ok(vec![]));
    assert_eq!(w.write(slave, b"x"), Err(Errno::IO));
    let mut entries = [PollEntry {
        fd: slave,
        events: POLLIN as u16,
        ready: 0,
    }];
    let _ = w.call(|files, call| files.poll(call, &mut entries, false));
    assert_eq!(u32::from(entries[0].ready), POLLIN | POLLHUP);
    w.close(slave);
    assert_eq!((w.files.queues.in_use(), w.names("/dev/pts")), before);
}

#[test]
fn a_master_learns_that_the_last_slave_is_closed() {
    let mut w = World::new();
    let master = w.open("/dev/ptmx", O_RDWR | O_NOCTTY);
    set_number(&mut w, master, TIOCSPTLCK, 0).unwrap();
    assert_eq!(w.read(master, 9), Err(Errno::INTR));
    let slave = w.open("/dev/pts/0", O_RDWR | O_NOCTTY);
    assert_eq!(w.write(slave, b"bye"), Ok(Moved::Done(3)));
    w.close(slave);
    assert_eq!(w.woken(), [1]);
    assert_eq!(w.read(master, 9), Ok(b"bye".to_vec()));
    assert_eq!(w.read(master, 9), Err(Errno::IO));
    let slave = w.open("/dev/pts/0", O_RDWR | O_NOCTTY);
    assert_eq!(w.read(master, 9), Err(Errno::INTR));
    w.close(slave);
    w.close(master);
}
