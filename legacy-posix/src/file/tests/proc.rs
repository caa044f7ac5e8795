// SPDX-License-Identifier: BSD-2-Clause
//! `/proc`, `/dev` and `/proc/ic`, as programs read them.

use super::world::World;
use crate::file::Moved;
use crate::vfs::source::Contexts;
use crate::{Credentials, Errno, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::{AT_FDCWD, O_DIRECTORY, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR};

fn readlink(w: &mut World, path: &str) -> Result<String> {
    let bytes = w.call(|files, call| files.readlinkat(call, AT_FDCWD, path.as_bytes()))?;
    Ok(String::from_utf8(bytes).unwrap())
}

#[test]
fn every_file_of_proc_can_be_listed_opened_and_read() {
    let mut w = World::new();
    w.mkdir("/d");
    w.open("/d", O_DIRECTORY);
    w.fork(23);
    let mut pending = Vec::from(["/proc".to_string()]);
    let mut seen = Vec::new();
    while let Some(path) = pending.pop() {
        for name in w.names(&path) {
            let path = format!("{path}/{name}");
            if path == "/proc/1/fd/1" {
                // By which the directory was listed.
                continue;
            }
            let flags = linux_raw_sys::general::AT_SYMLINK_NOFOLLOW;
            let a = w
                .call(|files, call| files.fstatat(call, AT_FDCWD, path.as_bytes(), flags))
                .unwrap_or_else(|error| panic!("{path}: {error:?}"));
            match a.rights.mode & 0o170_000 {
                0o040_000 => pending.push(path.clone()),
                0o120_000 => {}
                _ => {
                    w.contents(&path);
                }
            }
            seen.push(path);
        }
    }
    for path in [
        "/proc/1/stat",
        "/proc/23/fd",
        "/proc/23/task/23/status",
        "/proc/sys/kernel/ostype",
        "/proc/meminfo",
    ] {
        assert!(seen.iter().any(|seen| seen == path), "{path}");
    }
    assert!(!seen.iter().any(|seen| seen.starts_with("/proc/ic")));
}

#[test]
fn texts_are_as_programs_parse_them() {
    let mut w = World::new();
    assert_eq!(w.contents("/proc/sys/kernel/ostype"), "Linux\n");
    assert_eq!(w.contents("/proc/self/cmdline"), "test\0-x\0");
    assert_eq!(w.contents("/proc/1/comm"), "tes) t\n");
    let stat = w.contents("/proc/self/stat");
    let (before, after) = stat.trim_end().rsplit_once(") ").unwrap();
    assert_eq!(before, "1 (tes) t");
    let fields: Vec<_> = after.split(' ').collect();
    assert_eq!(fields.len(), 50);
    assert_eq!(
        (fields[0], fields[11], fields[12], fields[19]),
        ("S", "3", "4", "77")
    );
    assert_eq!((fields[20], fields[21]), ("8192", "2"));
    let mounts = w.contents("/proc/mounts");
    assert_eq!(
        mounts,
        "rootfs / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\ndev /dev tmpfs rw,relatime 0 0\n"
    );
    let status = w.contents("/proc/1/status");
    for line in [
        "Name:\ttes) t",
        "State:\tS (sleeping)",
        "Uid:\t0\t0\t0\t0",
        "Threads:\t1",
        "Umask:\t0022",
    ] {
        assert!(
            status.lines().any(|have| have == line),
            "{line} in {status}"
        );
    }
    let memory = w.contents("/proc/meminfo");
    let total = memory.lines().next().unwrap();
    assert_eq!(
        total.split_whitespace().collect::<Vec<_>>(),
        ["MemTotal:", "8000", "kB"]
    );
}

#[test]
fn links_in_proc_lead_to_what_processes_have() {
    let mut w = World::new();
    w.mkdir("/d");
    w.file("/d/f", b"text");
    assert_eq!(readlink(&mut w, "/proc/self"), Ok("1".into()));
    w.call(|files, call| files.chdir(call, b"/d")).unwrap();
    assert_eq!(readlink(&mut w, "/proc/self/cwd"), Ok("/d".into()));
    let fd = w.open("f", O_RDWR);
    assert_eq!(readlink(&mut w, "/dev/fd/0"), Ok("/d/f".into()));
    assert_eq!(w.contents("/dev/stdin"), "text");
    assert_eq!(w.contents("/proc/self/cwd/f"), "text");
    let pipe = w.call(|files, call| files.pipe2(call, 0)).unwrap();
    assert!(
        readlink(&mut w, "/proc/self/fd/1")
            .unwrap()
            .starts_with("pipe:[")
    );
    let again = w.open("/proc/self/fd/2", O_WRONLY);
    assert_eq!(w.write(again, b"through"), Ok(Moved::Done(7)));
    assert_eq!(w.read(pipe[0], 9), Ok(b"through".to_vec()));
    assert_eq!(w.names("/proc/self/fd"), ["0", "1", "2", "3", "4"]);
    w.close(fd);
    assert_eq!(readlink(&mut w, "/proc/self/fd/0"), Err(Errno::NOENT));
    for path in [
        "/proc/0",
        "/proc/01",
        "/proc/2",
        "/proc/self/fd/x",
        "/proc/99999999999999999999",
    ] {
        assert_eq!(w.stat(path).err(), Some(Errno::NOENT), "{path}");
    }
    let make = w.call(|files, call| files.mkdirat(call, AT_FDCWD, b"/proc/new", 0o777));
    assert_eq!(make, Err(Errno::PERM));
    let fd = w.open("/proc/self", O_DIRECTORY | O_RDONLY);
    assert_eq!(
        w.entries(fd, 40).unwrap().len(),
        2 + w.names("/proc/self").len()
    );
}

#[test]
fn a_process_is_private_to_its_owner_and_the_superuser() {
    let mut w = World::new();
    w.fork(2);
    w.table.processes.get_mut(&2).unwrap().who = Credentials::of(1000, 1000);
    w.fork(3);
    w.table.processes.get_mut(&3).unwrap().who = Credentials::of(1001, 1001);
    for (caller, expected) in [(1, None), (2, None), (3, Some(Errno::ACCES))] {
        w.as_process(caller, |w| {
            assert_eq!(readlink(w, "/proc/2/cwd").err(), expected);
            assert_eq!(w.try_open("/proc/2/environ", O_RDONLY, 0).err(), expected);
            assert_eq!(w.try_open("/proc/2/fd", O_DIRECTORY, 0).err(), expected);
            assert!(w.contents("/proc/2/stat").starts_with("2 ("));
        });
    }
}

#[test]
fn a_text_is_taken_when_the_file_is_opened_and_again_when_it_is_rewound() {
    let mut w = World::new();
    let fd = w.open("/proc/mounts", O_RDONLY);
    w.mkdir("/m");
    w.call(|files, call| files.mount(call, b"new one", b"/m", b"tmpfs", 0, b""))
        .unwrap();
    let all = |w: &mut World| String::from_utf8(w.read(fd, 9999).unwrap()).unwrap();
    assert!(!all(&mut w).contains("/m"));
    w.call(|files, call| files.lseek(call, fd, 0, 0)).unwrap();
    assert!(all(&mut w).contains("new\\040one /m tmpfs"));
}

#[test]
fn devices_do_what_they_are_for() {
    let mut w = World::new();
    let fds =
        ["null", "zero", "full", "urandom"].map(|name| w.open(&format!("/dev/{name}"), O_RDWR));
    assert_eq!(w.read(fds[0], 5), Ok(vec![]));
    assert_eq!(w.read(fds[1], 5), Ok(vec![0; 5]));
    assert_eq!(w.read(fds[2], 5), Ok(vec![0; 5]));
    let (a, b) = (w.read(fds[3], 2000).unwrap(), w.read(fds[3], 2000).unwrap());
    assert!(a.len() == 2000 && a != b);
    for (fd, expected) in fds
        .into_iter()
        .zip([Ok(3), Ok(3), Err(Errno::NOSPC), Ok(3)])
    {
        assert_eq!(w.write(fd, b"abc"), expected.map(Moved::Done));
    }
    let device = w.call(|files, call| files.mknodat(call, AT_FDCWD, b"/odd", 0o020_666, 0x7777));
    assert_eq!(device, Ok(()));
    assert_eq!(w.try_open("/odd", O_RDWR, 0), Err(Errno::NXIO));
}

struct Two;

impl Contexts for Two {
    fn next(&self, id: u64) -> Option<u64> {
        [7, 1 << 39].into_iter().find(|&there| there >= id)
    }
    fn files(&self, context: Option<u64>) -> &'static [(&'static str, bool)] {
        match context {
            None => &[("factories", false)],
            Some(_) => &[("status", false), ("order", true)],
        }
    }
    fn text(&self, context: Option<u64>, file: &str) -> Result<Vec<u8>> {
        Ok(format!("{context:?} {file}\n").into_bytes())
    }
    fn order(&self, context: Option<u64>, file: &str, text: &[u8]) -> Result<Option<Vec<u8>>> {
        assert_eq!((context, file), (Some(7), "order"));
        match text {
            b"kill\n" => Ok(None),
            b"how?" => Ok(Some(b"so".to_vec())),
            _ => Err(Errno::INVAL),
        }
    }
}

#[test]
fn contexts_are_directories_with_texts_and_orders() {
    let mut w = World::new();
    assert_eq!(w.stat("/proc/ic").err(), Some(Errno::NOENT));
    w.table.contexts = Some(Box::new(Two));
    assert!(w.names("/proc").contains(&"ic".to_string()));
    assert_eq!(w.names("/proc/ic"), ["549755813888", "7", "factories"]);
    assert_eq!(w.names("/proc/ic/7"), ["order", "status"]);
    assert_eq!(w.contents("/proc/ic/7/status"), "Some(7) status\n");
    assert_eq!(w.contents("/proc/ic/factories"), "None factories\n");
    assert_eq!(w.stat("/proc/ic/8").err(), Some(Errno::NOENT));
    let fd = w.open("/proc/ic/7/order", O_WRONLY);
    assert_eq!(w.write(fd, b"kill\n"), Ok(Moved::Done(5)));
    assert_eq!(w.write(fd, b"dance\n"), Err(Errno::INVAL));
    // An answer is where the question was written, and nowhere else.
    let (one, other) = (
        w.open("/proc/ic/7/order", O_RDWR),
        w.open("/proc/ic/7/order", O_RDWR),
    );
    assert_eq!(w.write(one, b"how?"), Ok(Moved::Done(4)));
    let at = w.call(|files, call| files.lseek(call, one, 0, SEEK_CUR));
    assert_eq!(at, Ok(0));
    assert_eq!(w.read(one, 9).unwrap(), b"so");
    assert_eq!(w.read(one, 9).unwrap(), b"");
    assert_eq!(w.read(other, 9).unwrap(), b"Some(7) o");
    let status = w.open("/proc/ic/7/status", O_WRONLY);
    assert_eq!(w.write(status, b"x"), Err(Errno::ACCES));
    w.table.processes.get_mut(&1).unwrap().who = Credentials::of(5, 5);
    assert_eq!(
        w.try_open("/proc/ic/7/order", O_WRONLY, 0),
        Err(Errno::ACCES)
    );
}
