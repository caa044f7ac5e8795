// SPDX-License-Identifier: BSD-2-Clause
//! A server whose processes are a container: from what its factory says to the first program, and what is
//! asked of it from outside afterwards.
//!
//! Everything that a description limits or takes away is in force before the first instruction of the first
//! program, and programs that are started later from outside begin with no more. What cannot be done
//! is an error, and then nothing runs.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use xos::protocol::container::{Command, Stream, Streams};
use xos::protocol::start::strings;
use xos_container::{MountFlags, MountKind, Setup, Span};

use crate::boot::{self, BootError};
use crate::file::Moved;
use crate::file::mounts::Terminals;
use crate::file::streams::PIECE;
use crate::kernel::Kernel;
use crate::machine_api::LineEnds;
use crate::pipe::PipeId;
use crate::server::exec::Start;
use crate::server::{SIGKILL, SIGSTOP, Server};
use crate::signal::{Info, Signal};
use crate::task::Limits;
use crate::tty::TerminalId;
use crate::vfs::procfs::Procfs;
use crate::vfs::region::{Foreign, RegionFile};
use crate::vfs::{Call, PATH_MAX};
use crate::{Credentials, Errno, PAGE, Page, Pages, ProcessId, Result, ThreadId};

/// The mask of a process that nobody gives another one.
const UMASK: u32 = 0o022;
/// What the console's terminal is called where there is a `/dev`.
const CONSOLE: &[u8] = b"/dev/console";
/// What output of the container itself comes from, as opposed to a program that was started in it.
pub const ITSELF: u32 = 0;

/// What every program begins with that is started from outside.
struct Template {
    credentials: Rc<Credentials>,
    limits: Rc<Limits>,
    no_new_rights: bool,
    umask: u32,
    cwd: Vec<u8>,
    environment: Vec<Vec<u8>>,
}

/// Something that programs write to and the server reads.
struct Output {
    pipe: PipeId,
    stream: Stream,
    /// The program that it was made for: its number, or [`ITSELF`].
    of: u32,
}

/// Something that a program reads and the server writes to.
struct Input {
    pipe: PipeId,
    /// The program that it was made for: its number, or [`ITSELF`].
    of: u32,
    /// What there was no room for yet.
    rest: Vec<u8>,
    /// Whether it is to be told outside when there is nothing of that any more.
    owes: bool,
    /// Whether nothing comes behind that.
    ended: bool,
}

/// A terminal of a program that was started from outside.
struct Terminal {
    id: TerminalId,
    /// The program's number.
    of: u32,
    ends: LineEnds,
}

/// The container, beside its server.
pub struct Container {
    template: Template,
    outputs: Vec<Output>,
    inputs: Vec<Input>,
    terminals: Vec<Terminal>,
    /// Whose input has been taken, and nobody has been told.
    taken: Vec<u32>,
    /// The frame by which output is read and input is written.
    scratch: Page,
    /// Programs that were started from outside and have not ended: process and number.
    execs: Vec<(ProcessId, u32)>,
    /// Ends of such programs that nobody has been told of.
    done: Vec<(u32, u8)>,
    /// Line ends of its own terminal.
    ends: LineEnds,
}

/// What is to be told outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report<'a> {
    /// Output of a program that was started from outside, by its number.
    Output(u32, Stream, &'a [u8]),
    /// There may be more input for such a program, or the container itself.
    Taken(u32),
    /// Such a program has ended with this status, as a shell has it.
    Done(u32, u8),
}

/// A `wait4` status as a shell has it.
pub const fn shell_status(status: i32) -> u8 {
    match status & 0x7f {
        0 => (status >> 8) as u8,
        signal => 128 + signal as u8,
    }
}

/// A description of an error for what was tried.
fn step(what: impl Into<String>) -> impl FnOnce(Errno) -> BootError {
    let what = what.into();
    move |errno| BootError::Step { what, errno }
}

impl Container {
    /// Starts a server whose first process is that of the container, from the archive with its root. `open` gives
    /// access to regions that were granted.
    ///
    /// # Errors
    /// [`BootError`].
    pub fn start<K: Kernel, P: Pages>(
        kernel: K,
        pages: P,
        setup: &Setup<'_>,
        root: &'static [u8],
        open: &dyn Fn(Span) -> Box<dyn Foreign>,
    ) -> Result<(Server<K, P>, Self), BootError> {
        let description = &setup.container;
        let process = &description.process;
        let (mut server, now) = boot::bare(kernel, pages);
        server.files.load(&mut server.pages, root, now)?;
        server.tasks.system.host = setup.hostname().into();
        if !description.domainname.is_empty() {
            server.domain = description.domainname.into();
        }
        server.tasks.most = description.limits.pids.map(|most| most as usize);

        let umask = process.user.umask.map_or(UMASK, u32::from);
        let table = server.files.create_table();
        let place = server.files.create_place(server.files.root(), UMASK);
        let thread = server
            .make_root(table, place)
            .map_err(step("the first process cannot be made"))?;
        mount_all(&mut server, thread, setup, open)?;
        let cwd = process.cwd.as_bytes();
        server
            .with_files(thread, |files, call| {
                make_path(files, call, cwd)?;
                files.chdir(call, cwd)?;
                files.umask(call, umask);
                Ok(())
            })
            .map_err(step(process.cwd))?;
        if description.root.read_only {
            let fs = server.files.root().fs;
            let flags = server.files.vfs.flags(fs) | MountFlags::READ_ONLY;
            server.files.vfs.set_flags(fs, flags);
        }
        let scratch = server
            .pages
            .allocate()
            .map_err(step("no memory for output"))?;

        let mut limits = *server
            .tasks
            .process_of(thread)
            .map_err(step("limits"))?
            .limits;
        for limit in &process.rlimits {
            limits[limit.resource as usize] = (limit.soft, limit.hard);
        }
        let mut container = Self {
            template: Template {
                credentials: Rc::new(credentials(setup)),
                limits: Rc::new(limits),
                no_new_rights: process.no_new_privileges,
                umask,
                cwd: cwd.to_vec(),
                environment: setup.environment().map(|text| text.into()).collect(),
            },
            outputs: Vec::new(),
            inputs: Vec::new(),
            terminals: Vec::new(),
            taken: Vec::new(),
            scratch,
            execs: Vec::new(),
            done: Vec::new(),
            ends: LineEnds::default(),
        };
        let streams = match (process.terminal, setup.input) {
            (true, _) => Streams::Terminal,
            (false, true) => Streams::Input,
            (false, false) => Streams::Output,
        };
        container
            .open_streams(&mut server, thread, ITSELF, streams)
            .map_err(step("the standard streams cannot be opened"))?;
        let arguments = setup.arguments().map(|text| text.into()).collect();
        let environment = container.template.environment.clone();
        container.execute(&mut server, thread, arguments, environment)?;
        server.settle();
        Ok((server, container))
    }

    /// Gives a process its standard streams.
    fn open_streams<K: Kernel, P: Pages>(
        &mut self,
        server: &mut Server<K, P>,
        thread: ThreadId,
        of: u32,
        streams: Streams,
    ) -> Result<()> {
        if streams == Streams::Terminal && of != ITSELF {
            let id = server.with_files(thread, |files, call| files.open_own_terminal(call))?;
            let ends = LineEnds::default();
            self.terminals.push(Terminal { id, of, ends });
            return Ok(());
        }
        if streams == Streams::Terminal {
            server.make_console();
            let console = server.console.ok_or(Errno::NXIO)?;
            return server.with_files(thread, |files, call| {
                let opened = files.openat(call, linux::AT_FDCWD, CONSOLE, linux::O_RDWR, 0);
                if opened != Ok(Moved::Done(0)) {
                    files.open_terminal(call, console)?;
                }
                files.dup(call, 0, 0, false)?;
                files.dup(call, 0, 0, false)?;
                Ok(())
            });
        }
        if streams == Streams::Input {
            let pipe = server.with_files(thread, |files, call| files.open_input(call))?;
            self.inputs.push(Input {
                pipe,
                of,
                rest: Vec::new(),
                owes: false,
                ended: false,
            });
        } else {
            server.with_files(thread, |files, call| files.open_nothing(call))?;
        }
        for stream in [Stream::Output, Stream::Error] {
            let pipe = server.with_files(thread, |files, call| files.open_output(call))?;
            self.outputs.push(Output { pipe, stream, of });
        }
        Ok(())
    }

    /// Makes a process without a program one that runs this, as the container's processes run.
    fn execute<K: Kernel, P: Pages>(
        &self,
        server: &mut Server<K, P>,
        thread: ThreadId,
        arguments: Vec<Vec<u8>>,
        environment: Vec<Vec<u8>>,
    ) -> Result<(), BootError> {
        let name = arguments.first().cloned().ok_or(BootError::NoProgram)?;
        let text = String::from_utf8_lossy(&name).into_owned();
        let process = server
            .tasks
            .process_of_mut(thread)
            .map_err(step("the process is gone"))?;
        process.credentials = self.template.credentials.clone();
        process.limits = self.template.limits.clone();
        process.no_new_rights = self.template.no_new_rights;
        let variable = |variable: &Vec<u8>| variable.strip_prefix(b"PATH=").map(<[u8]>::to_vec);
        let directories = environment.iter().find_map(variable);
        let directories = directories.as_deref().unwrap_or(boot::DIRECTORIES);
        let (path, found) = boot::find(server, thread, name, directories);
        let start = Start {
            directory: linux::AT_FDCWD,
            path,
            flags: 0,
            arguments,
            environment,
        };
        let started = found.and_then(|()| server.execute(thread, start));
        started.map_err(|errno| match errno {
            Errno::NOENT => BootError::NotFound(text),
            errno => BootError::Step { what: text, errno },
        })
    }

    /// Does what is asked for from outside.
    pub fn command<K: Kernel, P: Pages>(
        &mut self,
        server: &mut Server<K, P>,
        command: &Command<'_>,
    ) {
        match *command {
            Command::Signal(number) => {
                let Ok(signal) = Signal::new(number.into()) else {
                    return;
                };
                // As from an ancestor's name space: what nobody can ignore reaches the first process, too.
                let info = match signal {
                    SIGKILL | SIGSTOP => Info::from_kernel(signal),
                    signal => Info::from_process(signal, 0, 0, 0),
                };
                server.intervene(|server| server.signal_process(ProcessId::INIT, info));
            }
            Command::Input { of, bytes } => self.input(server, of, bytes),
            Command::Exec {
                number,
                arguments,
                environment,
                cwd,
                streams,
            } => {
                let arguments = (arguments, environment);
                let started = server.intervene(|server| {
                    let started = self.exec(server, number, arguments, cwd, streams);
                    if let Err((Some(process), _)) = &started {
                        server.end_process(*process, 0);
                        server.finished.retain(|(id, _)| id != process);
                    }
                    started
                });
                if let Err((_, error)) = started {
                    self.outputs.retain(|output| {
                        let kept = output.of != number;
                        if !kept {
                            server.files.forget_output(&mut server.pages, output.pipe);
                        }
                        kept
                    });
                    for input in self.inputs.extract_if(.., |input| input.of == number) {
                        server.files.end_input(&mut server.pages, input.pipe);
                    }
                    self.hang_up(server, number);
                    server.kernel.log(format_args!("{error}"));
                    self.done.push((number, error.status()));
                }
            }
        }
    }

    /// Starts a program beside the first. What fails leaves a process behind, perhaps.
    fn exec<K: Kernel, P: Pages>(
        &mut self,
        server: &mut Server<K, P>,
        number: u32,
        (arguments, environment): (&str, &str),
        cwd: &str,
        streams: Streams,
    ) -> Result<(), (Option<ProcessId>, BootError)> {
        let table = server.files.create_table();
        let root = server.files.root();
        let place = server.files.create_place(root, self.template.umask);
        let thread = match server.make_root(table, place) {
            Ok(thread) => thread,
            Err(errno) => {
                let files = &mut server.files;
                files.drop_table(&mut server.pages, ProcessId::INIT, table);
                files.drop_place(&mut server.pages, place);
                return Err((None, step("no room for one more process")(errno)));
            }
        };
        let process = thread.process();
        let failed = |error| (Some(process), error);
        let directory = match cwd {
            "" => self.template.cwd.clone(),
            cwd => cwd.as_bytes().to_vec(),
        };
        server
            .with_files(thread, |files, call| files.chdir(call, &directory))
            .map_err(step(String::from_utf8_lossy(&directory)))
            .map_err(failed)?;
        if let Ok(process) = server.tasks.process_of_mut(thread) {
            // Whose terminal is it?
            process.credentials = self.template.credentials.clone();
        }
        self.open_streams(server, thread, number, streams)
            .map_err(step("the standard streams cannot be opened"))
            .map_err(failed)?;
        let name = |text: &[u8]| text.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let mut all = self.template.environment.clone();
        for variable in strings(environment).map(str::as_bytes) {
            all.retain(|other| name(other) != name(variable));
            all.push(variable.to_vec());
        }
        let arguments = strings(arguments).map(|text| text.into()).collect();
        self.execute(server, thread, arguments, all)
            .map_err(failed)?;
        self.execs.push((process, number));
        Ok(())
    }

    /// Gives a program input, or says that there is no more.
    fn input<K: Kernel, P: Pages>(&mut self, server: &mut Server<K, P>, of: u32, bytes: &[u8]) {
        if of == ITSELF && server.console.is_some() {
            server.input(bytes);
            self.taken.push(of);
            return;
        }
        if let Some(terminal) = self.terminals.iter().find(|terminal| terminal.of == of) {
            server.input_of(terminal.id, bytes);
            self.taken.push(of);
            return;
        }
        let Some(input) = self.inputs.iter_mut().find(|input| input.of == of) else {
            // Nobody reads it any more.
            self.taken.push(of);
            return;
        };
        input.ended |= bytes.is_empty();
        input.owes = true;
        input.rest.extend_from_slice(bytes);
        server.intervene(|server| self.feed(server));
    }

    /// Writes what waits for room, as far as there is some, and forgets inputs that are over.
    fn feed<K: Kernel, P: Pages>(&mut self, server: &mut Server<K, P>) {
        let (files, pages) = (&mut server.files, &mut server.pages);
        let (scratch, taken) = (self.scratch, &mut self.taken);
        self.inputs.retain_mut(|input| {
            let fed = match input.rest.as_slice() {
                [] => Ok(0),
                rest => files.feed(pages, input.pipe, scratch, rest),
            };
            match fed {
                // What is missing may be there later.
                Err(Errno::NOMEM) => return true,
                Err(_) => input.ended = true,
                Ok(fed) => drop(input.rest.drain(..fed)),
            }
            let over = fed.is_err() || input.ended && input.rest.is_empty();
            if input.owes && (over || input.rest.is_empty()) {
                input.owes = false;
                taken.push(input.of);
            }
            if over {
                files.end_input(pages, input.pipe);
            }
            !over
        });
    }

    /// Nobody is at the other side of a program's terminal any more, if it has one.
    fn hang_up<K: Kernel, P: Pages>(&mut self, server: &mut Server<K, P>, of: u32) {
        for terminal in self.terminals.extract_if(.., |terminal| terminal.of == of) {
            server.intervene(|server| server.files.hang_up(&mut server.pages, terminal.id));
        }
    }

    /// What is to be told outside: output first, ends after it.
    pub fn report<K: Kernel, P: Pages>(
        &mut self,
        server: &mut Server<K, P>,
        mut tell: impl FnMut(Report<'_>),
    ) {
        if self.inputs.iter().any(|input| !input.rest.is_empty()) {
            server.intervene(|server| self.feed(server));
        }
        for of in self.taken.drain(..) {
            tell(Report::Taken(of));
        }
        let mut bytes = [0; PIECE];
        loop {
            let mut moved = false;
            for output in &self.outputs {
                let files = &mut server.files;
                let piece = files.drain(&mut server.pages, output.pipe, self.scratch, &mut bytes);
                if !piece.is_empty() {
                    tell(Report::Output(output.of, output.stream, piece));
                    moved = true;
                }
            }
            if !moved {
                break;
            }
            // Who waited for room goes on.
            server.settle();
        }
        let own = server.console.map(|id| (id, ITSELF, &mut self.ends));
        let others = self.terminals.iter_mut();
        let others = others.map(|terminal| (terminal.id, terminal.of, &mut terminal.ends));
        for (id, of, ends) in own.into_iter().chain(others) {
            server.drain_terminal(id, |bytes| {
                tell(Report::Output(of, Stream::Output, &ends.convert(bytes)));
            });
            let rest = ends.finish();
            if !rest.is_empty() {
                tell(Report::Output(of, Stream::Output, rest));
            }
        }
        let (files, pages) = (&mut server.files, &mut server.pages);
        self.outputs.retain(|output| {
            let over = files.is_output_over(output.pipe);
            if over {
                files.forget_output(pages, output.pipe);
            }
            !over
        });
        for (process, status) in core::mem::take(&mut server.finished) {
            if let Some(at) = self.execs.iter().position(|(id, _)| *id == process) {
                let (_, number) = self.execs.swap_remove(at);
                self.hang_up(server, number);
                self.done.push((number, shell_status(status)));
            }
        }
        for (number, status) in self.done.drain(..) {
            tell(Report::Done(number, status));
        }
    }
}

/// Whom the container's processes act for.
fn credentials(setup: &Setup<'_>) -> Credentials {
    let process = &setup.container.process;
    let (user, sets) = (&process.user, &process.capabilities);
    Credentials {
        groups: user.additional_gids.as_slice().into(),
        capabilities: sets.effective.bits(),
        permitted: sets.permitted.bits(),
        inheritable: sets.inheritable.bits(),
        bounding: sets.bounding.bits(),
        ambient: sets.ambient.bits(),
        ..Credentials::of(user.uid, user.gid)
    }
}

/// Mounts what a container wants mounted, and hides and seals what it wants hidden and sealed.
fn mount_all<K: Kernel, P: Pages>(
    server: &mut Server<K, P>,
    thread: ThreadId,
    setup: &Setup<'_>,
    open: &dyn Fn(Span) -> Box<dyn Foreign>,
) -> Result<(), BootError> {
    let container = &setup.container;
    for mount in &container.mounts {
        let (what, memory) = match mount.kind {
            MountKind::Region(name) => {
                let grant = setup.regions.iter().find(|grant| grant.name == name);
                let what = match grant {
                    Some(_) => alloc::format!("mount of the region {name} at {}", mount.target),
                    None => alloc::format!("{}: nobody granted a region {name}", mount.target),
                };
                (what, grant.map(|grant| open(grant.span)))
            }
            _ => (alloc::format!("mount at {}", mount.target), None),
        };
        server
            .with_files(thread, |files, call| mount_one(files, call, mount, memory))
            .map_err(step(what))?;
    }
    let absent = |result: Result<()>| match result {
        // What is not there needs neither.
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        result => result,
    };
    for path in container.readonly_paths.iter() {
        let sealed = server.with_files(thread, |files, call| files.seal(call, path.as_bytes()));
        absent(sealed).map_err(step(path))?;
    }
    for path in container.masked_paths.iter() {
        let masked = server.with_files(thread, |files, call| files.mask(call, path.as_bytes()));
        absent(masked).map_err(step(path))?;
    }
    Ok(())
}

fn mount_one(
    files: &mut crate::file::Files,
    call: &mut Call<'_>,
    mount: &xos_container::Mount<&str>,
    memory: Option<Box<dyn Foreign>>,
) -> Result<()> {
    let (target, flags) = (mount.target.as_bytes(), mount.flags);
    match mount.kind {
        MountKind::Region(_) => make_file(files, call, target)?,
        _ => make_path(files, call, target)?,
    }
    match mount.kind {
        MountKind::Proc => {
            files.attach(call, target, Box::new(Procfs), "proc", flags)?;
        }
        MountKind::Tmpfs {
            size,
            inodes,
            mode,
            uid,
            gid,
            devices,
        } => {
            let mut room = files.usual_room(call);
            let pages = |bytes: u64| usize::try_from(bytes.div_ceil(PAGE as u64));
            if let Some(size) = size {
                room.frames = pages(size).unwrap_or(usize::MAX);
            }
            if let Some(inodes) = inodes {
                room.files = room
                    .files
                    .min(usize::try_from(inodes).unwrap_or(usize::MAX));
            }
            (room.mode, room.uid, room.gid) = (mode.into(), uid, gid);
            let fs = files.attach_tmpfs(call, target, ("tmpfs", "tmpfs"), room, flags)?;
            if devices {
                files.make_devices(call, fs)?;
            }
        }
        MountKind::Devpts { mode, gid } => {
            let mut room = files.usual_room(call);
            (room.frames, room.mode, room.uid, room.gid) = (0, 0o755, 0, 0);
            let fs = files.attach_tmpfs(call, target, ("devpts", "devpts"), room, flags)?;
            files.pseudo_terminals = Some(Terminals {
                directory: files.vfs.root(fs),
                mode: mode.into(),
                group: gid,
            });
        }
        MountKind::Empty => {
            let mut room = files.usual_room(call);
            (room.frames, room.files, room.mode, room.uid, room.gid) = (0, 1, 0o755, 0, 0);
            let flags = flags | MountFlags::READ_ONLY;
            files.attach_tmpfs(call, target, ("tmpfs", "none"), room, flags)?;
        }
        MountKind::Region(name) => {
            let memory = memory.ok_or(Errno::NODEV)?;
            let system = RegionFile::new(memory, call.now);
            files.attach_file(call, target, Box::new(system), name, flags)?;
        }
    }
    Ok(())
}

/// Makes the directories of an absolute path that are missing. Links on the way are followed as the
/// container's own programs would.
fn make_path(files: &mut crate::file::Files, call: &mut Call<'_>, path: &[u8]) -> Result<()> {
    if path.len() >= PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let ends = (1..path.len()).filter(|at| path[*at] == b'/');
    for end in ends.chain([path.len()]) {
        match files.mkdirat(call, linux::AT_FDCWD, &path[..end], 0o755) {
            Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
            // `/` itself.
            Err(Errno::BUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the file of an absolute path, if it is missing, and the directories above it.
fn make_file(files: &mut crate::file::Files, call: &mut Call<'_>, path: &[u8]) -> Result<()> {
    match path.iter().rposition(|byte| *byte == b'/') {
        // In the root, which is there.
        None | Some(0) => {}
        Some(name) => make_path(files, call, &path[..name])?,
    }
    match files.mknodat(call, linux::AT_FDCWD, path, linux::S_IFREG | 0o644, 0) {
        Ok(()) | Err(Errno::EXIST | Errno::ROFS) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
