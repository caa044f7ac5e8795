// SPDX-License-Identifier: BSD-2-Clause
//! Pipes, FIFOs, events, sockets, locks and waiting for them, as calls see them.

use super::world::{World, pid};
use crate::Errno;
use crate::file::abi::Flock;
use crate::file::poll::{EpollEvent, PollEntry};
use crate::file::{Moved, Request};
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    AT_FDCWD, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLHUP, EPOLLIN,
    EPOLLONESHOT, EPOLLOUT, F_DUPFD, F_GETFD, F_GETFL, F_GETLK, F_OFD_SETLK, F_RDLCK, F_SETFD,
    F_SETFL, F_SETLK, F_SETLKW, F_SETPIPE_SZ, F_UNLCK, F_WRLCK, O_CREAT, O_NONBLOCK, O_RDONLY,
    O_RDWR, O_WRONLY, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT,
};

fn pipe(w: &mut World, flags: u32) -> [i32; 2] {
    w.call(|files, call| files.pipe2(call, flags)).unwrap()
}

fn done(count: usize) -> Result<Moved, Errno> {
    Ok(Moved::Done(count))
}

#[test]
fn who_reads_an_empty_pipe_waits_and_is_woken_by_a_write_and_by_the_end() {
    let mut w = World::new();
    let [read, write] = pipe(&mut w, 0);
    w.fork(2);
    assert_eq!(w.as_process(2, |w| w.read(read, 10)), Err(Errno::INTR));
    assert_eq!(w.woken(), []);
    assert_eq!(w.write(write, b"abc"), done(3));
    assert_eq!(w.woken(), [2]);
    assert_eq!(w.as_process(2, |w| w.read(read, 2)), Ok(b"ab".to_vec()));
    assert_eq!(w.as_process(2, |w| w.read(read, 2)), Ok(b"c".to_vec()));
    assert_eq!(w.as_process(2, |w| w.read(read, 2)), Err(Errno::INTR));
    w.close(write);
    assert_eq!(w.woken(), []);
    w.as_process(2, |w| w.close(write));
    assert_eq!(w.woken(), [2]);
    assert_eq!(w.as_process(2, |w| w.read(read, 2)), Ok(vec![]));
}

#[test]
fn a_long_write_moves_what_fits_and_goes_on_when_there_is_room() {
    let mut w = World::new();
    let [read, write] = pipe(&mut w, 0);
    assert_eq!(
        w.call(|files, call| files.fcntl(call, write, F_SETPIPE_SZ, 5000)),
        Ok(8192)
    );
    assert_eq!(w.write(write, &[1; 20_000]), Ok(Moved::Wait));
    assert_eq!(w.read(read, 20_000), Ok(vec![1; 8192]));
    assert_eq!(w.woken(), [1]);
    assert_eq!(w.write(write, &[2; 20_000 - 8192]), Ok(Moved::Wait));
    assert_eq!(w.read(read, 20_000), Ok(vec![2; 8192]));
    assert_eq!(
        w.write(write, &[3; 20_000 - 2 * 8192]),
        done(20_000 - 2 * 8192)
    );
}

#[test]
fn a_nonblocking_pipe_says_try_again_and_a_broken_one_that_it_is() {
    let mut w = World::new();
    let [read, write] = pipe(&mut w, O_NONBLOCK);
    assert_eq!(w.read(read, 1), Err(Errno::AGAIN));
    assert_eq!(w.read(read, 0), Ok(vec![]));
    assert_eq!(w.write(write, &[1; 100_000]), done(65_536));
    assert_eq!(w.write(write, &[1; 1]), Err(Errno::AGAIN));
    assert_eq!(w.write(read, b"x"), Err(Errno::BADF));
    assert_eq!(w.read_at(read, 1, Some(0)), Err(Errno::SPIPE));
    w.close(read);
    assert_eq!(w.write(write, b"x"), Err(Errno::PIPE));
    w.close(write);
    assert_eq!(w.pages.used(), super::world::MEMORY);
}

#[test]
fn opens_of_a_fifo_wait_for_each_other() {
    let mut w = World::new();
    w.call(|files, call| files.mknodat(call, AT_FDCWD, b"/fifo", 0o010_666, 0))
        .unwrap();
    assert_eq!(
        w.try_open("/fifo", O_WRONLY | O_NONBLOCK, 0),
        Err(Errno::NXIO)
    );
    assert_eq!(w.files.queues.in_use().0, 0);
    w.fork(2);
    w.fork(3);
    assert_eq!(
        w.as_process(2, |w| w.try_open("/fifo", O_RDONLY, 0)),
        Ok(Moved::Wait)
    );
    assert_eq!(
        w.as_process(3, |w| w.try_open("/fifo", O_WRONLY, 0)),
        done(0)
    );
    assert_eq!(w.woken(), [2]);
    // The writer has come and gone before the reader runs again: it was met all the same.
    assert_eq!(w.as_process(3, |w| w.write(0, b"hi")), done(2));
    w.as_process(3, |w| w.close(0));
    assert_eq!(
        w.as_process(2, |w| w.try_open("/fifo", O_RDONLY, 0)),
        done(0)
    );
    assert_eq!(w.as_process(2, |w| w.read(0, 9)), Ok(b"hi".to_vec()));
    assert_eq!(w.as_process(2, |w| w.read(0, 9)), Ok(vec![]));
    w.as_process(2, |w| w.close(0));
    // One whose open is interrupted leaves nothing behind.
    assert_eq!(
        w.as_process(2, |w| w.try_open("/fifo", O_WRONLY, 0)),
        Ok(Moved::Wait)
    );
    w.exit(2);
    assert_eq!(w.files.queues.in_use(), (0, 0, 0));
    let fd = w.open("/fifo", O_RDWR);
    assert_eq!(w.write(fd, b"own"), done(3));
    assert_eq!(w.read(fd, 3), Ok(b"own".to_vec()));
}

#[test]
fn descriptors_share_a_position_when_copied_and_not_when_opened_twice() {
    let mut w = World::new();
    w.file("/f", b"abcdef");
    let first = w.open("/f", O_RDONLY);
    let second = w.open("/f", O_RDONLY);
    let copy = w
        .call(|files, call| files.dup(call, first, 10, true))
        .unwrap();
    assert_eq!(copy, 10);
    w.fork(2);
    assert_eq!(w.read(first, 2), Ok(b"ab".to_vec()));
    assert_eq!(w.read(copy, 2), Ok(b"cd".to_vec()));
    assert_eq!(w.as_process(2, |w| w.read(first, 1)), Ok(b"e".to_vec()));
    assert_eq!(w.read(second, 1), Ok(b"a".to_vec()));
    let fcntl = |w: &mut World, fd, command, argument| {
        w.call(|files, call| files.fcntl(call, fd, command, argument))
    };
    assert_eq!(fcntl(&mut w, copy, F_GETFD, 0), Ok(1));
    assert_eq!(fcntl(&mut w, first, F_GETFD, 0), Ok(0));
    fcntl(&mut w, first, F_SETFL, u64::from(O_NONBLOCK)).unwrap();
    assert_eq!(fcntl(&mut w, copy, F_GETFL, 0), Ok(0o104_000));
    fcntl(&mut w, second, F_SETFD, 1).unwrap();
    assert_eq!(fcntl(&mut w, first, F_DUPFD, 5000), Err(Errno::INVAL));
    let table = w.table.processes[&1].table;
    w.files.close_on_exec(&mut w.pages, pid(1), table);
    assert_eq!(fcntl(&mut w, copy, F_GETFD, 0), Err(Errno::BADF));
    assert_eq!(fcntl(&mut w, second, F_GETFD, 0), Err(Errno::BADF));
    assert_eq!(fcntl(&mut w, first, F_GETFD, 0), Ok(0));
}

#[test]
fn dup2_replaces_and_says_what_is_wrong() {
    let mut w = World::new();
    let [read, write] = pipe(&mut w, 0);
    let dup =
        |w: &mut World, from, to, same| w.call(|files, call| files.dup3(call, from, to, 0, same));
    assert_eq!(dup(&mut w, write, read, true), Ok(read));
    assert_eq!(w.write(write, b"x"), Err(Errno::PIPE));
    assert_eq!(dup(&mut w, write, write, true), Ok(write));
    assert_eq!(dup(&mut w, write, write, false), Err(Errno::INVAL));
    assert_eq!(dup(&mut w, 77, 77, true), Err(Errno::BADF));
    assert_eq!(dup(&mut w, write, 1024, true), Err(Errno::BADF));
    assert_eq!(dup(&mut w, write, -1, true), Err(Errno::BADF));
}

#[test]
fn poll_tells_what_is_ready_and_waits_for_the_rest() {
    let mut w = World::new();
    let [read, write] = pipe(&mut w, 0);
    w.file("/f", b"");
    let file = w.open("/f", O_RDONLY);
    let entry = |fd, events: u32| PollEntry {
        fd,
        events: events as u16,
        ready: 9,
    };
    let ready = |entries: &[PollEntry]| -> Vec<u32> {
        entries.iter().map(|entry| entry.ready.into()).collect()
    };
    let mut entries = [
        entry(read, POLLIN),
        entry(write, POLLIN | POLLOUT),
        entry(file, POLLIN),
        entry(-1, POLLIN),
        entry(99, POLLIN),
    ];
    assert_eq!(
        w.call(|files, call| files.poll(call, &mut entries, true)),
        Moved::Done(3)
    );
    assert_eq!(ready(&entries), [0, POLLOUT, POLLIN, 0, POLLNVAL]);
    let mut entries = [entry(read, POLLIN), entry(read, POLLIN)];
    assert_eq!(
        w.call(|files, call| files.poll(call, &mut entries, true)),
        Moved::Wait
    );
    assert_eq!(w.write(write, b"x"), done(1));
    assert_eq!(w.woken(), [1]);
    w.close(write);
    assert_eq!(
        w.call(|files, call| files.poll(call, &mut entries, true)),
        Moved::Done(2)
    );
    assert_eq!(ready(&entries), [POLLIN | POLLHUP; 2]);
    assert_eq!(w.read(read, 5), Ok(b"x".to_vec()));
    assert_eq!(
        w.call(|files, call| files.poll(call, &mut entries, false)),
        Moved::Done(2)
    );
    assert_eq!(ready(&entries), [POLLHUP; 2]);
    let [read, write] = pipe(&mut w, 0);
    w.close(read);
    let mut entries = [entry(write, 0)];
    assert_eq!(
        w.call(|files, call| files.poll(call, &mut entries, false)),
        Moved::Done(1)
    );
    assert_eq!(ready(&entries), [POLLERR]);
}

#[test]
fn select_replaces_its_sets_only_when_it_is_done() {
    let mut w = World::new();
    let [read, write] = pipe(&mut w, 0);
    let bit = |fd: i32| 1u64 << fd;
    let (mut reads, mut writes, mut others) = ([bit(read)], [0], [bit(read)]);
    let select = |w: &mut World, reads: &mut [u64], writes: &mut [u64], others: &mut [u64]| {
        w.call(|files, call| files.select(call, 64, [reads, writes, others], true))
    };
    assert_eq!(
        select(&mut w, &mut reads, &mut writes, &mut others),
        Ok(Moved::Wait)
    );
    assert_eq!((reads, others), ([bit(read)], [bit(read)]));
    assert_eq!(w.write(write, b"x"), done(1));
    writes = [bit(write)];
    assert_eq!(
        select(&mut w, &mut reads, &mut writes, &mut others),
        done(2)
    );
    assert_eq!((reads, writes, others), ([bit(read)], [bit(write)], [0]));
    reads = [bit(40)];
    assert_eq!(
        select(&mut w, &mut reads, &mut writes, &mut others),
        Err(Errno::BADF)
    );
}

fn epoll(w: &mut World) -> i32 {
    w.call(|files, call| files.epoll_create1(call, 0)).unwrap()
}

fn control(w: &mut World, ep: i32, operation: u32, fd: i32, events: u32) -> Result<(), Errno> {
    w.call(|files, call| {
        files.epoll_ctl(
            call,
            ep,
            operation,
            fd,
            EpollEvent {
                events,
                data: 1000 + fd as u64,
            },
        )
    })
}

fn events(w: &mut World, ep: i32) -> Vec<(u32, u64)> {
    let mut events = Vec::new();
    let _ = w
        .call(|files, call| files.epoll_wait(call, ep, &mut events, 10, true))
        .unwrap();
    events
        .iter()
        .map(|event| (event.events, event.data))
        .collect()
}

#[test]
fn epoll_tells_levels_again_and_edges_once() {
    let mut w = World::new();
    let (ep, [level, write]) = (epoll(&mut w), pipe(&mut w, 0));
    let edge = w
        .call(|files, call| files.dup(call, level, 0, false))
        .unwrap();
    let name = |fd: i32| 1000 + fd as u64;
    control(&mut w, ep, EPOLL_CTL_ADD, level, EPOLLIN).unwrap();
    control(&mut w, ep, EPOLL_CTL_ADD, edge, EPOLLIN | EPOLLET).unwrap();
    assert_eq!(
        control(&mut w, ep, EPOLL_CTL_ADD, edge, EPOLLIN),
        Err(Errno::EXIST)
    );
    assert_eq!(events(&mut w, ep), []);
    assert_eq!(w.write(write, b"x"), done(1));
    assert_eq!(w.woken(), [1]);
    assert_eq!(
        events(&mut w, ep),
        [(EPOLLIN, name(level)), (EPOLLIN, name(edge))]
    );
    assert_eq!(events(&mut w, ep), [(EPOLLIN, name(level))]);
    assert_eq!(w.write(write, b"y"), done(1));
    assert_eq!(events(&mut w, ep).len(), 2);
    assert_eq!(w.read(level, 9), Ok(b"xy".to_vec()));
    assert_eq!(events(&mut w, ep), []);
    control(&mut w, ep, EPOLL_CTL_DEL, level, 0).unwrap();
    assert_eq!(
        control(&mut w, ep, EPOLL_CTL_DEL, level, 0),
        Err(Errno::NOENT)
    );
    w.close(write);
    assert_eq!(events(&mut w, ep), [(EPOLLHUP, name(edge))]);
}

#[test]
fn epoll_tells_once_what_is_to_be_told_once_until_it_is_changed() {
    let mut w = World::new();
    let (ep, [read, write]) = (epoll(&mut w), pipe(&mut w, 0));
    let name = 1000 + write as u64;
    control(&mut w, ep, EPOLL_CTL_ADD, write, EPOLLOUT | EPOLLONESHOT).unwrap();
    assert_eq!(events(&mut w, ep), [(EPOLLOUT, name)]);
    w.close(read);
    assert_eq!(events(&mut w, ep), []);
    control(&mut w, ep, EPOLL_CTL_MOD, write, EPOLLOUT).unwrap();
    assert_eq!(events(&mut w, ep), [(EPOLLOUT | 8, name)]);
}

#[test]
fn epoll_forgets_what_is_closed_and_refuses_files_and_circles() {
    let mut w = World::new();
    let before = w.files.queues.in_use();
    let (ep, [read, write]) = (epoll(&mut w), pipe(&mut w, 0));
    control(&mut w, ep, EPOLL_CTL_ADD, read, EPOLLIN).unwrap();
    assert_eq!(w.write(write, b"x"), done(1));
    w.close(read);
    assert_eq!(events(&mut w, ep), []);
    w.file("/f", b"");
    let file = w.open("/f", O_RDONLY);
    assert_eq!(
        control(&mut w, ep, EPOLL_CTL_ADD, file, EPOLLIN),
        Err(Errno::PERM)
    );
    assert_eq!(
        control(&mut w, ep, EPOLL_CTL_ADD, ep, EPOLLIN),
        Err(Errno::INVAL)
    );
    assert_eq!(
        control(&mut w, file, EPOLL_CTL_ADD, write, EPOLLIN),
        Err(Errno::INVAL)
    );
    assert_eq!(
        control(&mut w, ep, EPOLL_CTL_ADD, 99, EPOLLIN),
        Err(Errno::BADF)
    );
    let mut above = ep;
    let mut all = vec![ep];
    for depth in 1.. {
        let next = epoll(&mut w);
        all.push(next);
        match control(&mut w, next, EPOLL_CTL_ADD, above, EPOLLIN) {
            Ok(()) => above = next,
            Err(error) => {
                assert_eq!((error, depth), (Errno::LOOP, 5));
                break;
            }
        }
    }
    assert_eq!(
        control(&mut w, ep, EPOLL_CTL_ADD, above, EPOLLIN),
        Err(Errno::LOOP)
    );
    // What is ready at the bottom is ready at the top.
    assert_eq!(events(&mut w, above), []);
    let event = w.call(|files, call| files.eventfd2(call, 0, 0)).unwrap();
    control(&mut w, ep, EPOLL_CTL_ADD, event, EPOLLIN).unwrap();
    assert_eq!(events(&mut w, above), []);
    assert_eq!(w.write(event, &1u64.to_ne_bytes()), done(8));
    assert_eq!(events(&mut w, above).len(), 1);
    for fd in all.into_iter().chain([write, event, file]) {
        w.close(fd);
    }
    w.files.queues.forget(pid(1).leader());
    assert_eq!(w.files.queues.in_use(), before);
}

#[test]
fn an_event_counter_moves_eight_bytes() {
    let mut w = World::new();
    let fd = w
        .call(|files, call| files.eventfd2(call, 3, O_NONBLOCK))
        .unwrap();
    assert_eq!(w.read(fd, 7), Err(Errno::INVAL));
    assert_eq!(w.read(fd, 100), Ok(3u64.to_ne_bytes().to_vec()));
    assert_eq!(w.read(fd, 8), Err(Errno::AGAIN));
    assert_eq!(w.write(fd, &u64::MAX.to_ne_bytes()), Err(Errno::INVAL));
    assert_eq!(w.write(fd, &[0; 4]), Err(Errno::INVAL));
    assert_eq!(w.write(fd, &5u64.to_ne_bytes()), done(8));
    assert_eq!(w.read(fd, 8), Ok(5u64.to_ne_bytes().to_vec()));
}

fn lock(
    w: &mut World,
    fd: i32,
    command: u32,
    kind: u32,
    start: i64,
    length: i64,
) -> Result<(Moved, Option<Flock>), Errno> {
    w.call(|files, call| {
        files.record_lock(
            call,
            fd,
            command,
            Flock {
                kind: kind as u16,
                whence: 0,
                start,
                length,
                process: 0,
            },
        )
    })
}

#[test]
fn record_locks_keep_other_processes_out_until_any_descriptor_is_closed() {
    let mut w = World::new();
    w.file("/f", b"0123456789");
    let fd = w.open("/f", O_RDWR);
    w.fork(2);
    let set = Ok((Moved::Done(0), None));
    assert_eq!(lock(&mut w, fd, F_SETLK, F_WRLCK, 0, 5), set);
    assert_eq!(
        w.as_process(2, |w| lock(w, fd, F_SETLK, F_RDLCK, 4, 1)),
        Err(Errno::AGAIN)
    );
    assert_eq!(
        w.as_process(2, |w| lock(w, fd, F_SETLK, F_RDLCK, 5, 0)),
        set
    );
    let (_, told) = w
        .as_process(2, |w| lock(w, fd, F_GETLK, F_WRLCK, 0, 0))
        .unwrap();
    assert_eq!(
        told.map(|l| (l.kind, l.start, l.length, l.process)),
        Some((F_WRLCK as u16, 0, 5, 1))
    );
    let (_, told) = lock(&mut w, fd, F_GETLK, F_RDLCK, 7, 1).unwrap();
    assert_eq!(told.map(|l| u32::from(l.kind)), Some(F_UNLCK));
    let waits = w.as_process(2, |w| lock(w, fd, F_SETLKW, F_WRLCK, 0, 0));
    assert_eq!(waits, Ok((Moved::Wait, None)));
    assert_eq!(
        lock(&mut w, fd, F_SETLKW, F_WRLCK, 8, 1),
        Err(Errno::DEADLK)
    );
    let other = w.open("/f", O_RDONLY);
    w.close(other);
    assert_eq!(w.woken(), [2]);
    assert_eq!(
        w.as_process(2, |w| lock(w, fd, F_SETLKW, F_WRLCK, 0, 0)),
        set
    );
    let read_only = w.open("/f", O_RDONLY);
    assert_eq!(
        lock(&mut w, read_only, F_SETLK, F_WRLCK, 0, 1),
        Err(Errno::BADF)
    );
    assert_eq!(
        lock(&mut w, fd, F_OFD_SETLK, F_WRLCK, 0, 1),
        Err(Errno::AGAIN)
    );
    assert_eq!(lock(&mut w, fd, F_SETLK, 9, 0, 1), Err(Errno::INVAL));
    w.exit(2);
    assert_eq!(lock(&mut w, fd, F_OFD_SETLK, F_WRLCK, 0, 1), set);
    assert_eq!(lock(&mut w, fd, F_SETLK, F_WRLCK, 0, 1), Err(Errno::AGAIN));
    w.close(fd);
    w.close(read_only);
    assert_eq!(w.files.queues.in_use(), (0, 0, 0));
}

#[test]
fn socket_pairs_talk_and_other_sockets_are_refused() {
    let mut w = World::new();
    let [a, b] = w
        .call(|files, call| files.socketpair(call, 1, 1 | O_NONBLOCK, 0))
        .unwrap();
    assert_eq!(w.write(a, b"hello"), done(5));
    assert_eq!(w.read(b, 3), Ok(b"hel".to_vec()));
    assert_eq!(w.read(a, 3), Err(Errno::AGAIN));
    w.call(|files, call| files.shutdown(call, a, 1)).unwrap();
    assert_eq!(w.read(b, 9), Ok(b"lo".to_vec()));
    assert_eq!(w.read(b, 9), Ok(vec![]));
    assert_eq!(w.write(a, b"x"), Err(Errno::PIPE));
    assert_eq!(
        w.call(|files, call| files.socket_option(call, a, 1, 3)),
        Ok(1)
    );
    for (family, kind, error) in [(2, 1, Errno::AFNOSUPPORT), (1, 9, Errno::SOCKTNOSUPPORT)] {
        let pair = w.call(|files, call| files.socketpair(call, family, kind, 0));
        assert_eq!(pair, Err(error));
    }
    w.file("/f", b"");
    let file = w.open("/f", O_RDONLY);
    let shut = w.call(|files, call| files.shutdown(call, file, 1));
    assert_eq!(shut, Err(Errno::NOTSOCK));
}

#[test]
fn sendfile_moves_a_file_into_a_pipe_and_only_what_fits() {
    let mut w = World::new();
    w.file("/f", &[5; 100_000]);
    let from = w.open("/f", O_RDONLY);
    let [read, write] = pipe(&mut w, 0);
    let send = |w: &mut World, to, position| {
        w.call(|files, call| files.sendfile(call, to, from, position, 100_000))
    };
    assert_eq!(send(&mut w, write, None), done(65_536));
    assert_eq!(send(&mut w, write, None), Ok(Moved::Wait));
    assert_eq!(w.read(read, 100_000), Ok(vec![5; 65_536]));
    assert_eq!(w.woken(), [1]);
    assert_eq!(send(&mut w, write, None), done(100_000 - 65_536));
    assert_eq!(send(&mut w, write, None), done(0));
    let to = w.open("/g", O_CREAT | O_RDWR);
    assert_eq!(send(&mut w, to, Some(99_990)), done(10));
    assert_eq!(w.stat("/g").map(|a| a.size), Ok(10));
    let back = w.call(|files, call| files.sendfile(call, to, read, None, 5));
    assert_eq!(back, Err(Errno::INVAL));
}

#[test]
fn who_maps_a_file_shares_its_page_and_learns_that_it_was_cut() {
    let mut w = World::new();
    w.file("/f", &[1; 9000]);
    let fd = w.open("/f", O_RDWR);
    let node = w
        .call(|files, call| files.mappable(call, fd, true))
        .unwrap()
        .unwrap();
    w.files.map(node);
    let page = w.files.page(&mut w.pages, node, 1, true).unwrap().unwrap();
    use crate::Pages;
    w.pages.write(page, 0, b"mapped");
    assert_eq!(w.read_at(fd, 6, Some(4096)), Ok(b"mapped".to_vec()));
    assert_eq!(w.files.page(&mut w.pages, node, 3, true), Err(Errno::NXIO));
    w.call(|files, call| files.ftruncate(call, fd, 10)).unwrap();
    assert_eq!(w.files.requests, [Request::Cut(node, 1)]);
    assert_eq!(w.pages.holders(page), 1);
    w.pages.release(page);
    w.files.unmap(&mut w.pages, node);
    let [read, _] = pipe(&mut w, 0);
    assert_eq!(
        w.call(|files, call| files.mappable(call, read, false)),
        Err(Errno::NODEV)
    );
}
