// SPDX-License-Identifier: BSD-2-Clause
//! From an archive and a program's name to a server whose first process is about to run.

use alloc::string::String;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use crate::file::{Files, Limits, Moved};
use crate::kernel::Kernel;
use crate::pages::{PAGE, Pages};
use crate::server::Server;
use crate::server::exec::Start;
use crate::server::glue::time;
use crate::vfs::Time;
use crate::vfs::archive::ArchiveError;
use crate::{Errno, Result};

/// What a server begins with.
pub struct Boot {
    /// The initial tree: a tar archive.
    pub archive: &'static [u8],
    /// The first program: its path, and all its arguments, of which the first is its own name.
    pub program: Vec<Vec<u8>>,
    /// `NAME=value` each.
    pub environment: Vec<Vec<u8>>,
}

/// Why there is no server.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BootError {
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// No program is named.
    #[error("no program is named")]
    NoProgram,
    /// There is no such program.
    #[error("no program `{0}` in the file tree")]
    NotFound(String),
    /// Something else.
    #[error("{what}: {errno}")]
    Step {
        /// What.
        what: String,
        /// Why.
        errno: Errno,
    },
}

/// The status, as a shell has it, of what is there and cannot be started.
pub const NOT_STARTED: u8 = 126;

impl BootError {
    /// What a shell's exit status would be.
    pub const fn status(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            _ => NOT_STARTED,
        }
    }
}

/// Of the frames, what files of the initial tree and `/tmp` may have: three quarters.
const FILES: (usize, usize) = (3, 4);
/// One of so many frames is for what waits in full-sized pipes, and one for sockets.
const BUFFERS: usize = 16;
/// What the first process finds in its environment if nobody says otherwise.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("TERM", "linux"),
    ("USER", "root"),
];

/// A server with an empty file tree and no process, and the time.
pub(crate) fn bare<K: Kernel, P: Pages>(mut kernel: K, pages: P) -> (Server<K, P>, Time) {
    let seed = kernel.seed();
    let now = time(kernel.epoch().saturating_add(kernel.now()));
    let (_, all) = pages.available();
    let limits = Limits {
        frames: all / FILES.1 * FILES.0,
        buffers: all / BUFFERS * PAGE,
        ..Limits::default()
    };
    let files = Files::new(limits, seed, now);
    (Server::new(kernel, pages, files), now)
}

/// Starts a server.
///
/// # Errors
/// [`BootError`].
pub fn start<K: Kernel, P: Pages>(
    kernel: K,
    pages: P,
    boot: Boot,
) -> Result<Server<K, P>, BootError> {
    let path = boot.program.first().cloned().ok_or(BootError::NoProgram)?;
    let (mut server, now) = bare(kernel, pages);
    let (files, pages) = (&mut server.files, &mut server.pages);
    files.load(pages, boot.archive, now)?;
    let table = server.files.create_table();
    let place = server.files.create_place(server.files.root(), 0o022);
    let step = |what: &str| {
        let what = String::from(what);
        move |errno| BootError::Step { what, errno }
    };
    let thread = server
        .make_root(table, place)
        .map_err(step("the first process cannot be made"))?;
    server
        .with_files(thread, |files, call| files.mount_system(call))
        .map_err(step("/dev and /proc cannot be mounted"))?;
    server.make_console();
    server
        .with_files(thread, |files, call| {
            let opened = files.openat(call, linux::AT_FDCWD, b"/dev/console", linux::O_RDWR, 0)?;
            debug_assert_eq!(opened, Moved::Done(0));
            files.dup(call, 0, 0, false)?;
            files.dup(call, 0, 0, false)?;
            Ok(())
        })
        .map_err(step("the console cannot be opened"))?;
    let mut environment = boot.environment;
    for (name, value) in ENVIRONMENT {
        let prefix = alloc::format!("{name}=").into_bytes();
        if !environment
            .iter()
            .any(|variable| variable.starts_with(&prefix))
        {
            environment.push(alloc::format!("{name}={value}").into_bytes());
        }
    }
    let (path, found) = find(&mut server, thread, path, DIRECTORIES);
    let start = Start {
        directory: linux::AT_FDCWD,
        path: path.clone(),
        flags: 0,
        arguments: boot.program,
        environment,
    };
    let text = String::from_utf8_lossy(&path).into_owned();
    let started = found.and_then(|()| server.execute(thread, start));
    started.map_err(|errno| match errno {
        Errno::NOENT => BootError::NotFound(text),
        errno => BootError::Step { what: text, errno },
    })?;
    server.settle();
    Ok(server)
}

/// Where a shell looks for commands.
pub(crate) const DIRECTORIES: &[u8] =
    b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program is, which is looked for as a shell looks for commands: in these directories, unless its
/// name is a path.
pub(crate) fn find<K: Kernel, P: Pages>(
    server: &mut Server<K, P>,
    thread: crate::ThreadId,
    name: Vec<u8>,
    directories: &[u8],
) -> (Vec<u8>, Result<()>) {
    if name.contains(&b'/') {
        return (name, Ok(()));
    }
    let mut found = Errno::NOENT;
    for directory in directories.split(|byte| *byte == b':') {
        let path = [directory, b"/", &name].concat();
        let is_there = server.with_files(thread, |files, call| {
            files.faccessat2(call, linux::AT_FDCWD, &path, 1, 0)
        });
        match is_there {
            Ok(()) => return (path, Ok(())),
            // It is there, but not to be executed: there may be another one.
            Err(Errno::ACCES) => found = Errno::ACCES,
            Err(_) => {}
        }
    }
    (name, Err(found))
}
