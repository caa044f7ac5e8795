// SPDX-License-Identifier: BSD-2-Clause
//! Containers on the model of the machine.

use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use linux_raw_sys::general as linux;
use xos::protocol::container::{Command, Stream, Streams};
use xos_container::{
    Capabilities, CapabilitySets, Container as Description, Digest, Limits, List, Mount,
    MountFlags, MountKind, Process, Resource, Rlimit, Root, Setup, Span, User,
};

use super::{Container, Report};
use crate::boot::BootError;
use crate::pages::model::HeapPages;
use crate::server::tests::{DATA, INIT, Model, Test, program};
use crate::vfs::region::Foreign;
use crate::{Errno, ThreadId};

/// Where tests put paths.
const PATH: u64 = DATA + 0x400;

fn description() -> Description<'static> {
    Description {
        root: Root {
            image: Digest([0; 32]),
            read_only: false,
        },
        process: Process {
            arguments: List("init\0argument\0"),
            entrypoint: 0,
            environment: List("PATH=/nowhere:/bin\0A=1\0"),
            cwd: "/",
            user: User::default(),
            terminal: false,
            capabilities: CapabilitySets {
                bounding: Capabilities::all(),
                effective: Capabilities::all(),
                permitted: Capabilities::all(),
                ..CapabilitySets::default()
            },
            no_new_privileges: false,
            rlimits: xos_container::Vec::new(),
        },
        hostname: "",
        domainname: "",
        mounts: xos_container::Vec::new(),
        masked_paths: List::EMPTY,
        readonly_paths: List::EMPTY,
        limits: Limits::default(),
        stop_signal: 15,
    }
}

/// The root of all containers here.
fn root() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let program = program();
    for (name, mode, data) in [
        ("bin/init", 0o755, &program[..]),
        ("bin/su", 0o4755, &program),
        ("bin/data", 0o644, &program),
        ("etc/secret", 0o666, b"secret"),
        ("etc/keep/file", 0o666, b"kept"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, name, data).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What somebody wrote: whose number, where to, what.
type Written = (u32, Stream, Vec<u8>);

struct Contained {
    test: Test,
    container: Container,
}

fn try_start(description: Description<'_>) -> Result<Contained, BootError> {
    try_start_with(description, false)
}

fn try_start_with(description: Description<'_>, input: bool) -> Result<Contained, BootError> {
    try_start_granted(description, input, &[], &Granted::default())
}

/// A region that is granted: what is in it, and what may be done with it.
#[derive(Clone, Default)]
struct Granted(Rc<RefCell<Memory>>);

#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    read_only: bool,
    taken_away: bool,
}

impl Foreign for Granted {
    fn length(&self) -> u64 {
        self.0.borrow().bytes.len() as u64
    }

    fn read(&self, position: u64, into: &mut [u8]) -> crate::Result<()> {
        let memory = self.0.borrow();
        if memory.taken_away {
            return Err(Errno::IO);
        }
        into.copy_from_slice(&memory.bytes[position as usize..][..into.len()]);
        Ok(())
    }

    fn write(&self, position: u64, from: &[u8]) -> crate::Result<()> {
        let mut memory = self.0.borrow_mut();
        match (memory.taken_away, memory.read_only) {
            (true, _) => Err(Errno::IO),
            (_, true) => Err(Errno::ROFS),
            _ => {
                memory.bytes[position as usize..][..from.len()].copy_from_slice(from);
                Ok(())
            }
        }
    }
}

/// The same where these regions are granted, all of which are this memory.
fn try_start_granted(
    description: Description<'_>,
    input: bool,
    regions: &[&str],
    memory: &Granted,
) -> Result<Contained, BootError> {
    let grant = |name| xos_container::Grant {
        name,
        span: Span::default(),
    };
    let setup = Setup {
        name: "box",
        container: description,
        command: List::EMPTY,
        more_environment: List("A=2\0"),
        input,
        root: Span::default(),
        regions: regions.iter().copied().map(grant).collect(),
    };
    setup.check().unwrap();
    let pages = HeapPages::new(2000);
    let root = Vec::leak(root());
    let open = |_| -> Box<dyn Foreign> { Box::new(memory.clone()) };
    let (server, container) = Container::start(Model::default(), pages, &setup, root, &open)?;
    Ok(Contained {
        test: Test { server },
        container,
    })
}

fn start(description: Description<'_>) -> Contained {
    try_start(description).unwrap()
}

impl Contained {
    /// What was reported: output by number and stream, ends by number and status.
    fn reports(&mut self) -> (Vec<Written>, Vec<(u32, u8)>) {
        let (mut output, mut ends) = (vec![], vec![]);
        self.container
            .report(&mut self.test.server, |report| match report {
                Report::Output(of, stream, bytes) => output.push((of, stream, bytes.to_vec())),
                Report::Done(number, status) => ends.push((number, status)),
                Report::Taken(_) => {}
            });
        (output, ends)
    }

    fn command(&mut self, command: Command<'_>) {
        self.container.command(&mut self.test.server, &command);
    }

    fn exec(&mut self, number: u32, arguments: &str) -> ThreadId {
        self.exec_with(number, arguments, Streams::Output)
    }

    fn exec_with(&mut self, number: u32, arguments: &str, streams: Streams) -> ThreadId {
        let before: Vec<_> = self.test.server.tasks.threads.keys().collect();
        self.command(Command::Exec {
            number,
            arguments,
            environment: "A=3\0",
            cwd: "",
            streams,
        });
        let mut now = self.test.server.tasks.threads.keys();
        now.find(|thread| !before.contains(thread))
            .expect("nothing was started")
    }

    /// A call whose argument `at` is a path.
    fn with_path<const N: usize>(
        &mut self,
        t: ThreadId,
        number: u32,
        path: &str,
        at: usize,
        mut args: [u64; N],
    ) -> i64 {
        let bytes = [path.as_bytes(), b"\0"].concat();
        self.test.server.write_bytes(t, PATH, &bytes).unwrap();
        args[at] = PATH;
        self.test.call(t, number, args).expect("it goes on")
    }

    /// `execve` by the first process.
    fn execute(&mut self, path: &str) -> Option<i64> {
        let bytes = [path.as_bytes(), b"\0"].concat();
        self.test.server.write_bytes(INIT, PATH, &bytes).unwrap();
        // What made the call is no more if it succeeds.
        let failed = self.test.call(INIT, linux::__NR_execve, [PATH, 0, 0]);
        failed.or_else(|| self.test.result(INIT))
    }

    fn open(&mut self, path: &str, flags: u32) -> i64 {
        self.with_path(INIT, linux::__NR_open, path, 0, [0, flags.into(), 0o600])
    }

    fn text(&mut self, t: ThreadId, address: u64) -> Vec<u8> {
        self.test.server.read_string(t, address, 4096).unwrap()
    }

    /// All that can be read of a file.
    fn contents(&mut self, path: &str) -> Vec<u8> {
        let fd = self.open(path, linux::O_RDONLY);
        assert!(fd >= 0, "{path}: {fd}");
        let args = [fd as u64, DATA, 256];
        let count = self.test.call(INIT, linux::__NR_read, args).unwrap();
        self.test.call(INIT, linux::__NR_close, [fd as u64]);
        let mut bytes = vec![0; usize::try_from(count).unwrap()];
        self.test.server.read_bytes(INIT, DATA, &mut bytes).unwrap();
        bytes
    }
}

const fn error(errno: Errno) -> i64 {
    errno.to_register() as i64
}

#[test]
fn its_first_process_is_what_the_description_says() {
    let mut description = description();
    description.hostname = "host";
    description.domainname = "domain";
    description.process.cwd = "/made/for/it";
    description.process.user = User {
        uid: 1000,
        gid: 100,
        umask: Some(0o077),
        additional_gids: [7, 8].into_iter().collect(),
    };
    let limit = Rlimit {
        resource: Resource::Files,
        soft: 5,
        hard: 9,
    };
    description.process.rlimits.push(limit).unwrap();
    let mut c = start(description);
    let t = &mut c.test;
    assert_eq!(t.call(INIT, linux::__NR_getpid, []), Some(1));
    assert_eq!(t.call(INIT, linux::__NR_getuid, []), Some(1000));
    assert_eq!(t.call(INIT, linux::__NR_getegid, []), Some(100));
    assert_eq!(t.call(INIT, linux::__NR_getgroups, [9, DATA]), Some(2));
    assert_eq!(t.get(INIT, DATA), [7 | 8 << 32]);
    assert_eq!(t.call(INIT, linux::__NR_umask, [0]), Some(0o077));
    let args = [linux::RLIMIT_NOFILE.into(), DATA];
    assert_eq!(t.call(INIT, linux::__NR_getrlimit, args), Some(0));
    assert_eq!(t.get(INIT, DATA), [5, 9]);
    t.call(INIT, linux::__NR_getcwd, [DATA, 99]).unwrap();
    assert_eq!(c.text(INIT, DATA), b"/made/for/it");
    c.test.call(INIT, linux::__NR_uname, [DATA]);
    assert_eq!(c.text(INIT, DATA + 65), b"host");
    assert_eq!(c.text(INIT, DATA + 5 * 65), b"domain");
    let program = c
        .test
        .server
        .tasks
        .process_of(INIT)
        .unwrap()
        .program
        .clone();
    assert_eq!(&*program.arguments, b"init\0argument\0");
    assert_eq!(&*program.environment, b"PATH=/nowhere:/bin\0A=2\0");
}

#[test]
fn a_host_that_has_no_name_is_called_as_the_container() {
    let mut c = start(description());
    c.test.call(INIT, linux::__NR_uname, [DATA]);
    assert_eq!(c.text(INIT, DATA + 65), b"box");
}

#[test]
fn a_root_that_cannot_be_changed_is_not_but_what_is_mounted_in_it_is() {
    let mut description = description();
    description.root.read_only = true;
    let mount = Mount {
        target: "/scratch/deep",
        kind: MountKind::Tmpfs {
            size: Some(8192),
            inodes: None,
            mode: 0o700,
            uid: 5,
            gid: 6,
            devices: false,
        },
        flags: MountFlags::empty(),
    };
    description.mounts.push(mount).unwrap();
    let mut c = start(description);
    let rofs = error(Errno::ROFS);
    assert_eq!(c.open("/new", linux::O_CREAT | linux::O_WRONLY), rofs);
    assert_eq!(c.open("/etc/secret", linux::O_WRONLY), rofs);
    assert_eq!(c.open("/etc/secret", linux::O_TRUNC), rofs);
    for (number, path) in [
        (linux::__NR_mkdir, "/new"),
        (linux::__NR_rmdir, "/etc/keep"),
        (linux::__NR_unlink, "/etc/secret"),
        (linux::__NR_truncate, "/etc/secret"),
        (linux::__NR_chmod, "/etc/secret"),
    ] {
        assert_eq!(c.with_path(INIT, number, path, 0, [0, 0]), rofs, "{path}");
    }
    let writes = c.with_path(INIT, linux::__NR_access, "/etc/secret", 0, [0, 2]);
    assert_eq!(writes, rofs);
    assert_eq!(c.contents("/etc/secret"), b"secret");
    let fd = c.open("/scratch/deep/new", linux::O_CREAT | linux::O_WRONLY) as u64;
    let args = [fd, DATA, 4096];
    for written in [4096, 4096, error(Errno::NOSPC)] {
        assert_eq!(c.test.call(INIT, linux::__NR_write, args), Some(written));
    }
}

#[test]
fn what_is_masked_looks_empty_and_what_is_sealed_stays() {
    let mut description = description();
    description.masked_paths = List("/etc/secret\0/etc/keep\0/not/there\0");
    description.readonly_paths = List("/bin\0/neither\0");
    let mut c = start(description);
    assert_eq!(c.contents("/etc/secret"), b"");
    assert_eq!(c.open("/etc/keep/file", 0), error(Errno::NOENT));
    let new = linux::O_CREAT | linux::O_WRONLY;
    assert_eq!(c.open("/etc/keep/file", new), error(Errno::ROFS));
    assert_eq!(c.open("/bin/new", new), error(Errno::ROFS));
    assert_eq!(c.open("/bin/init", linux::O_WRONLY), error(Errno::ROFS));
    // Not by a name somewhere else either, nor by moving what it is in.
    let linked = {
        c.test
            .server
            .write_bytes(INIT, DATA, b"/bin/init\0")
            .unwrap();
        c.with_path(INIT, linux::__NR_link, "/etc/init", 1, [DATA, 0])
    };
    assert_eq!(linked, error(Errno::XDEV));
    for path in ["/bin", "/etc/secret"] {
        c.test.server.write_bytes(INIT, DATA, b"/other\0").unwrap();
        let moved = c.with_path(INIT, linux::__NR_rename, path, 0, [0, DATA]);
        assert_eq!(moved, error(Errno::BUSY), "{path}");
    }
    assert!(c.open("/etc/new", new) > 0);
}

fn region_at<'a>(target: &'a str, name: &'a str, flags: MountFlags) -> Mount<&'a str> {
    Mount {
        target,
        kind: MountKind::Region(name),
        flags,
    }
}

#[test]
fn a_region_that_was_granted_is_a_file_of_its_length() {
    let mut description = description();
    let mounts = [
        region_at("/new/shared", "one", MountFlags::empty()),
        region_at("/etc/secret", "one", MountFlags::READ_ONLY),
    ];
    description.mounts.extend(mounts);
    let memory = Granted::default();
    memory.0.borrow_mut().bytes = b"what others wrote".to_vec();
    let mut c = try_start_granted(description, false, &["one"], &memory).unwrap();
    assert_eq!(c.contents("/new/shared"), b"what others wrote");
    assert_eq!(c.contents("/etc/secret"), b"what others wrote");
    assert_eq!(c.open("/etc/secret", linux::O_WRONLY), error(Errno::ROFS));

    let fd = c.open("/new/shared", linux::O_RDWR) as u64;
    c.test.server.write_bytes(INIT, DATA, b"more").unwrap();
    let mut writes = |count, at| {
        c.test
            .call(INIT, linux::__NR_pwrite64, [fd, DATA, count, at])
            .unwrap()
    };
    assert_eq!(writes(4, 0), 4);
    // It does not become longer.
    assert_eq!(writes(4, 15), 2);
    assert_eq!(writes(4, 17), error(Errno::PERM));
    assert_eq!(writes(0, 17), 0);
    assert_eq!(memory.0.borrow().bytes, b"more others wromo");
    let cuts = |c: &mut Contained, length| c.test.call(INIT, linux::__NR_ftruncate, [fd, length]);
    assert_eq!(cuts(&mut c, 17), Some(0));
    for length in [0, 16, 18] {
        assert_eq!(cuts(&mut c, length), Some(error(Errno::PERM)));
    }
    // What others write is seen at once.
    memory.0.borrow_mut().bytes[..4].copy_from_slice(b"less");
    assert_eq!(c.contents("/new/shared"), b"less others wromo");
}

#[test]
fn a_region_that_may_not_be_written_or_is_taken_away_is_an_error_and_no_more() {
    let mut description = description();
    let mount = region_at("/shared", "one", MountFlags::empty());
    description.mounts.push(mount).unwrap();
    let memory = Granted::default();
    memory.0.borrow_mut().bytes = vec![7; 100];
    let mut c = try_start_granted(description, false, &["one"], &memory).unwrap();
    let fd = c.open("/shared", linux::O_RDWR) as u64;
    let mut does = |number| c.test.call(INIT, number, [fd, DATA, 10, 0]).unwrap();
    memory.0.borrow_mut().read_only = true;
    assert_eq!(does(linux::__NR_pwrite64), error(Errno::ROFS));
    assert_eq!(does(linux::__NR_pread64), 10);
    memory.0.borrow_mut().taken_away = true;
    assert_eq!(does(linux::__NR_pwrite64), error(Errno::IO));
    assert_eq!(does(linux::__NR_pread64), error(Errno::IO));
}

#[test]
fn a_region_that_nobody_granted_is_named_and_nothing_runs() {
    for (target, granted, text) in [
        (
            "/shared",
            &["two"][..],
            "/shared: nobody granted a region one",
        ),
        ("/etc", &["one"], "mount of the region one at /etc"),
    ] {
        let mut description = description();
        let mount = region_at(target, "one", MountFlags::empty());
        description.mounts.push(mount).unwrap();
        let started = try_start_granted(description, false, granted, &Granted::default());
        let Err(error) = started else {
            panic!("it runs");
        };
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.status(), 126);
    }
}

#[test]
fn rights_of_files_have_no_effect_where_a_mount_forbids_it() {
    let mut description = description();
    let sealed = |flags| Mount {
        target: "/mnt",
        kind: MountKind::Tmpfs {
            size: None,
            inodes: None,
            mode: 0o755,
            uid: 0,
            gid: 0,
            devices: true,
        },
        flags,
    };
    let flags = MountFlags::NO_DEV | MountFlags::NO_EXEC;
    description.mounts.push(sealed(flags)).unwrap();
    let mut c = start(description.clone());
    assert_eq!(c.open("/mnt/null", 0), error(Errno::ACCES));
    let fd = c.open("/mnt/program", linux::O_CREAT | linux::O_WRONLY);
    c.test.call(INIT, linux::__NR_fchmod, [fd as u64, 0o755]);
    assert_eq!(c.execute("/mnt/program"), Some(error(Errno::ACCES)));
    description.mounts[0].flags = MountFlags::empty();
    let mut c = start(description);
    assert!(c.open("/mnt/null", 0) > 0);
}

#[test]
fn a_user_gets_no_rights_by_a_program_where_none_are_to_be_had() {
    for (no_new_privileges, effective) in [(false, 0), (true, 1000)] {
        let mut description = description();
        description.process.user.uid = 1000;
        description.process.no_new_privileges = no_new_privileges;
        description.process.capabilities = CapabilitySets {
            bounding: Capabilities::CHOWN,
            ..CapabilitySets::default()
        };
        let mut c = start(description);
        assert_eq!(c.execute("/bin/su"), Some(0));
        assert_eq!(c.test.call(INIT, linux::__NR_geteuid, []), Some(effective));
        let credentials = &c.test.server.tasks.process_of(INIT).unwrap().credentials;
        let expected = if no_new_privileges { 0 } else { 1 };
        assert_eq!(credentials.capabilities, expected);
    }
}

#[test]
fn the_superuser_of_a_container_has_no_capability_that_is_not_its() {
    let mut description = description();
    let few = Capabilities::KILL | Capabilities::MKNOD;
    description.process.capabilities = CapabilitySets {
        bounding: few,
        effective: few,
        permitted: few,
        ..CapabilitySets::default()
    };
    let mut c = start(description);
    let credentials = c
        .test
        .server
        .tasks
        .process_of(INIT)
        .unwrap()
        .credentials
        .clone();
    assert_eq!(credentials.capabilities, few.bits());
    // It gets none back by becoming another and the superuser again, or by a program.
    let perm = Some(error(Errno::PERM));
    assert_eq!(c.test.call(INIT, linux::__NR_setuid, [1000]), perm);
    assert_eq!(
        c.with_path(INIT, linux::__NR_chroot, "/etc", 0, [0]),
        error(Errno::PERM)
    );
    assert_eq!(c.execute("/bin/su"), Some(0));
    let credentials = &c.test.server.tasks.process_of(INIT).unwrap().credentials;
    assert_eq!(credentials.capabilities, few.bits());
}

#[test]
fn output_is_told_by_stream_and_input_is_at_its_end() {
    let mut c = start(description());
    c.test.server.write_bytes(INIT, DATA, b"outerr").unwrap();
    assert_eq!(c.test.call(INIT, linux::__NR_write, [1, DATA, 3]), Some(3));
    assert_eq!(
        c.test.call(INIT, linux::__NR_write, [2, DATA + 3, 3]),
        Some(3)
    );
    assert_eq!(c.test.call(INIT, linux::__NR_read, [0, DATA, 9]), Some(0));
    let (output, ends) = c.reports();
    assert_eq!(
        output,
        [
            (0, Stream::Output, b"out".to_vec()),
            (0, Stream::Error, b"err".to_vec())
        ]
    );
    assert_eq!(ends, []);
    // Much of it comes in pieces, and who writes waits until there is room.
    assert_eq!(
        c.test.call(INIT, linux::__NR_write, [1, DATA, 0x800]),
        Some(0x800)
    );
    let (output, _) = c.reports();
    assert_eq!(
        output.iter().map(|(.., text)| text.len()).sum::<usize>(),
        0x800
    );
}

#[test]
fn a_full_output_is_waited_for_and_no_longer_than_it_takes() {
    let mut c = start(description());
    for _ in 0..32 {
        assert_eq!(
            c.test.call(INIT, linux::__NR_write, [1, DATA, 0x800]),
            Some(0x800)
        );
    }
    assert_eq!(c.test.call(INIT, linux::__NR_write, [1, DATA, 0x800]), None);
    c.reports();
    assert_eq!(c.test.result(INIT), Some(0x800));
}

#[test]
fn a_terminal_is_the_containers_own() {
    let mut description = description();
    description.process.terminal = true;
    let mut c = start(description);
    c.test.server.write_bytes(INIT, DATA, b"hello\n").unwrap();
    assert_eq!(c.test.call(INIT, linux::__NR_write, [1, DATA, 6]), Some(6));
    assert_eq!(c.reports().0, [(0, Stream::Output, b"hello\n".to_vec())]);
    assert_eq!(
        c.test.call(INIT, linux::__NR_ioctl, [0, 0x5401, DATA]),
        Some(0)
    );
}

#[test]
fn a_program_is_started_from_outside_beside_the_first() {
    let mut c = start(description());
    let t = c.exec(4, "init\0x\0");
    assert_eq!(c.test.call(t, linux::__NR_getppid, []), Some(0));
    assert_eq!(
        c.test.call(t, linux::__NR_getsid, [0]),
        Some(t.number().into())
    );
    let program = c.test.server.tasks.process_of(t).unwrap().program.clone();
    assert_eq!(&*program.environment, b"PATH=/nowhere:/bin\0A=3\0");
    c.test.call(t, linux::__NR_write, [2, DATA, 2]);
    // Its children are the first process's when it has ended.
    let child = c.test.fork(t);
    c.test.call(t, linux::__NR_exit_group, [7]);
    assert_eq!(c.test.call(child, linux::__NR_getppid, []), Some(1));
    let (output, ends) = c.reports();
    assert_eq!(output, [(4, Stream::Error, vec![0; 2])]);
    assert_eq!(ends, [(4, 7)]);
    // Nobody waits for it here.
    assert!(c.test.server.tasks.process(t.process()).is_err());
    c.test.call(child, linux::__NR_exit_group, [0]);
    assert_eq!(c.test.server.ended, None);
}

#[test]
fn a_program_run_beside_the_first_may_have_a_terminal_of_its_own() {
    let mut c = start(description());
    c.reports();
    let t = c.exec_with(6, "init\0", Streams::Terminal);
    assert_eq!(c.test.call(t, linux::__NR_getpgrp, []), Some(2));
    let size = [0, linux_raw_sys::ioctl::TIOCGWINSZ.into(), DATA];
    assert_eq!(c.test.call(t, linux::__NR_ioctl, size), Some(0));
    assert_eq!(c.test.get::<1>(t, DATA), [24 | 80 << 16]);
    // A line at a time, with mistakes in it, which are shown as they are typed.
    let read = [0, DATA, 100];
    assert_eq!(c.test.call(t, linux::__NR_read, read), None);
    let typed = |c: &mut Contained, bytes| c.command(Command::Input { of: 6, bytes });
    typed(&mut c, b"ax\x7fb\r");
    assert_eq!(c.test.result(t), Some(3));
    c.test.call(t, linux::__NR_write, [2, DATA, 3]);
    let (output, _) = c.reports();
    let text: Vec<u8> = output
        .iter()
        .flat_map(|(_, _, bytes)| bytes.clone())
        .collect();
    assert!(
        output
            .iter()
            .all(|(of, stream, _)| (*of, *stream) == (6, Stream::Output))
    );
    assert_eq!(text, b"ax\x08 \x08b\nab\n");
    // The first process has no part in it. The interrupt character ends who runs there.
    assert_eq!(
        c.test.call(INIT, linux::__NR_ioctl, size).unwrap(),
        error(Errno::NOTTY)
    );
    let child = c.test.fork(t);
    typed(&mut c, b"\x03");
    assert_eq!(c.reports().1, [(6, 130)]);
    let wait = [u64::MAX, 0, linux::WNOHANG.into(), 0];
    let waited = c.test.call(INIT, linux::__NR_wait4, wait);
    assert_eq!(waited, Some(child.number().into()));
    assert!(c.container.terminals.is_empty());
    assert_eq!(c.test.server.files.terminals.pseudos(), 0);
    // One that cannot be run leaves none.
    c.command(Command::Exec {
        number: 7,
        arguments: "none\0",
        environment: "",
        cwd: "",
        streams: Streams::Terminal,
    });
    assert_eq!(c.reports().1, [(7, 127)]);
    assert_eq!(c.test.server.files.terminals.pseudos(), 0);
}

#[test]
fn a_program_that_cannot_be_started_is_an_end_like_any_other_and_leaves_nothing() {
    let mut c = start(description());
    c.reports();
    let before = (
        c.test.server.pages.used(),
        c.test.server.tasks.processes.len(),
    );
    for (number, arguments, status) in [(1, "none\0", 127), (2, "/bin/data\0", 126), (3, "", 126)] {
        c.command(Command::Exec {
            number,
            arguments,
            environment: "",
            cwd: "",
            streams: Streams::Output,
        });
        assert_eq!(c.reports().1, [(number, status)], "{arguments}");
    }
    c.command(Command::Exec {
        number: 4,
        arguments: "init\0",
        environment: "",
        cwd: "/nowhere",
        streams: Streams::Output,
    });
    assert_eq!(c.reports().1, [(4, 126)]);
    let after = (
        c.test.server.pages.used(),
        c.test.server.tasks.processes.len(),
    );
    assert_eq!(after, before);
}

#[test]
fn input_from_outside_is_read_and_has_an_end() {
    let mut c = try_start_with(description(), true).ok().unwrap();
    let give = |c: &mut Contained, of, bytes| c.command(Command::Input { of, bytes });
    give(&mut c, 0, b"hello");
    // For somebody who gets none, or is not there.
    give(&mut c, 7, b"lost");
    let read = [0, DATA, 100];
    assert_eq!(c.test.call(INIT, linux::__NR_read, read), Some(5));
    assert_eq!(c.test.call(INIT, linux::__NR_read, read), None);
    give(&mut c, 0, b"more");
    assert_eq!(c.test.result(INIT), Some(4));
    // More than there is room for waits for who reads it, and that is said.
    let taken = |c: &mut Contained| {
        let mut taken = vec![];
        c.container.report(&mut c.test.server, |report| {
            if let Report::Taken(of) = report {
                taken.push(of);
            }
        });
        taken
    };
    assert_eq!(taken(&mut c), [0, 7, 0]);
    let (mut given, mut read) = (0, 0);
    loop {
        give(&mut c, 0, &[b'x'; 500]);
        given += 500;
        if taken(&mut c).is_empty() {
            break;
        }
    }
    assert!(given > 64 << 10, "{given}");
    while read < given {
        let got = c.test.call(INIT, linux::__NR_read, [0, DATA, 500]);
        read += got.expect("there is more");
        taken(&mut c);
    }
    give(&mut c, 0, b"");
    assert_eq!(taken(&mut c), [0]);
    assert_eq!(c.test.call(INIT, linux::__NR_read, [0, DATA, 500]), Some(0));
    // Nobody is harmed by what comes afterwards, or by who does not read.
    give(&mut c, 0, b"late");
    let mut c = try_start_with(description(), true).ok().unwrap();
    c.test.call(INIT, linux::__NR_close, [0]);
    give(&mut c, 0, b"hello");
    give(&mut c, 0, b"hello");
    assert_eq!(c.test.server.ended, None);
}

#[test]
fn signals_from_outside_are_ignored_by_a_first_process_without_handler_but_for_two() {
    let mut c = start(description());
    for signal in [2, 15, 99, 0] {
        c.command(Command::Signal(signal));
        assert_eq!(c.test.server.ended, None, "{signal}");
    }
    c.test.handle(INIT, 15, 0x40_0100, 0);
    c.command(Command::Signal(15));
    assert_eq!(c.test.server.ended, None);
    c.command(Command::Signal(9));
    assert_eq!(c.test.server.ended.map(super::shell_status), Some(137));
}

#[test]
fn the_end_of_the_first_process_is_the_end_of_all() {
    let mut c = start(description());
    let (child, other) = (c.test.fork(INIT), c.exec(1, "init\0"));
    c.test.call(INIT, linux::__NR_exit_group, [3]);
    assert_eq!(c.test.server.ended.map(super::shell_status), Some(3));
    c.test.server.end_all();
    for thread in [child, other] {
        assert!(c.test.server.tasks.thread(thread).is_err());
    }
    assert_eq!(c.reports().1, [(1, 137)]);
}

#[test]
fn there_are_no_more_threads_than_the_description_says() {
    let mut description = description();
    description.limits.pids = Some(3);
    let mut c = start(description);
    let again = Some(error(Errno::AGAIN));
    let child = c.test.fork(INIT);
    c.test.fork(child);
    assert_eq!(c.test.call(INIT, linux::__NR_fork, []), again);
    // One that has ended counts until somebody has learned of it.
    c.test.call(child, linux::__NR_exit_group, [0]);
    assert_eq!(c.test.call(INIT, linux::__NR_fork, []), again);
    c.command(Command::Exec {
        number: 1,
        arguments: "init\0",
        environment: "",
        cwd: "",
        streams: Streams::Output,
    });
    assert_eq!(c.reports().1, [(1, 126)]);
    let args = [child.number().into(), 0, 0, 0];
    assert!(c.test.call(INIT, linux::__NR_wait4, args).unwrap() > 0);
    c.test.fork(INIT);
}

#[test]
fn what_cannot_be_started_is_an_error_with_the_status_that_shells_give_it() {
    for (arguments, status) in [("none\0", 127), ("/bin/none\0", 127), ("/bin/data\0", 126)] {
        let mut description = description();
        description.process.arguments = List(arguments);
        let error = try_start(description).err().unwrap();
        assert_eq!(error.status(), status, "{arguments}: {error}");
    }
}
