// SPDX-License-Identifier: BSD-2-Clause
//! The factory: what the loop of `xos-server` asks of it.

use core::fmt::Write;

use heapless::{String, Vec};
use process_factory::files::{Files, Path};
use process_factory::regions::{Regions, Tools};
use xos_client::{Manager, Port};
use xos_container::{
    CONTAINERS, Container, Grant, IMAGES, List, MAX_SETUP_BYTES, MountKind, Setup, Span, is_name,
};
use xos_protocol::container::{Command, GRANTS, Log, Request as Asked, ServerOp, Stream, Streams};
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory as MemoryOf, Names,
    Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::manager::PAGE;
use xos_protocol::start::{GIVEN, strings};
use xos_protocol::wire::{self, MAX_BYTES, MAX_WORDS};
use xos_protocol::{Contract, Error, ExitStatus, IcId, Name, Result};
use xos_server::factory::{Factory, Fate, Maker, Member};
use xos_server::{Deferred, Outcome, Reply, Request};

use crate::log::MAX_PIECE;
use crate::record::{Follower, Record, encode};
use crate::state::{self, Status};

/// The personality that a container has unless another is named.
pub const SERVER: &str = "legacy-posix";
/// Bytes that a container may cost in all when neither its description nor who starts it says.
pub const DEFAULT_MEMORY: u64 = 16 << 20;
/// Threads that a container may have when its description does not say.
const DEFAULT_PIDS: u32 = 24;
/// ICs, sessions and objects of the server's own.
const OWN_UNITS: u32 = 16;
/// Bytes of memory that a server has in one region at most, and a share of it.
const REGION: u64 = 4 << 20;
/// Where a container finds its root: nobody else maps anything there.
pub const ROOT_ADDRESS: u64 = GRANTS.end;
const _: () = assert!(GIVEN.start <= ROOT_ADDRESS && ROOT_ADDRESS < GIVEN.end);
/// The most that a specification can ask for.
const MAX_UNITS: u32 = (1 << 12) - 1;
/// Bytes of a server's stack, of which those cost something that it uses.
const SERVER_STACK: u32 = 256 << 10;
/// Radix of a server's CSpace, which holds the parts of all processes of the container and its frames: for as
/// much memory as there is when nobody says, and for more. Each slot takes 32 bytes, and time when it goes.
const SERVER_RADIX: (u8, u8) = (10, 12);

/// What containers are promised.
const CONTRACT: Contract = Contract {
    memory: MemoryOf::Private,
    capabilities: Capabilities::Own,
    names: Names::Own,
    kernel_interface: KernelInterface::Linux,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// Memory of the factory's own address space.
pub trait Memory {
    /// Copies bytes to an address at which a region was just mapped for that.
    fn fill(&mut self, address: u64, bytes: &[u8]);
}

/// A container, as the loop keeps it: its program, and where its record is.
#[derive(Debug)]
pub struct Contained<I> {
    program: I,
    /// Index of its record.
    pub record: usize,
}

/// The container factory, with at most `N` containers at a time. `F` makes the programs that are its servers.
pub struct ContainerFactory<'a, F, M, const N: usize, P = sel4::cap::Endpoint> {
    programs: F,
    memory: M,
    manager: Manager<P>,
    files: Files<'a>,
    /// Root file systems, one copy for all containers of an image.
    roots: Regions,
    records: [Record; N],
    /// Where a setup is put together.
    scratch: [u8; MAX_SETUP_BYTES],
}

impl<'a, F: Factory, M: Memory, const N: usize, P: Port> ContainerFactory<'a, F, M, N, P> {
    /// A factory without containers and without files.
    pub const fn new(programs: F, memory: M, manager: Manager<P>) -> Self {
        Self {
            programs,
            memory,
            manager,
            files: Files::EMPTY,
            roots: Regions::new(),
            records: [Record::EMPTY; N],
            scratch: [0; MAX_SETUP_BYTES],
        }
    }

    /// Gives it the file tree.
    pub fn set_files(&mut self, files: Files<'a>) {
        self.files = files;
    }

    /// What makes the servers.
    pub const fn programs(&mut self) -> &mut F {
        &mut self.programs
    }

    /// The record of a container.
    fn record(&mut self, ic: &Member<'_, Contained<F::Ic>>) -> Result<&mut Record> {
        self.records.get_mut(ic.data.record).ok_or(Error::Kernel)
    }

    fn set_up(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>, index: usize) -> Result<F::Ic> {
        let (server, name) = spec.image.split_once(':').unwrap_or((SERVER, spec.image));
        if !is_name(name) {
            return Err(Error::NoImage);
        }
        let mut path = String::new();
        write!(path, "{CONTAINERS}/{name}").map_err(|_| Error::NoImage)?;
        let (_, bytes) = self.files.find(&path).ok_or(Error::NoImage)?;
        let setup = Setup {
            name,
            container: Container::read(bytes).map_err(|_| Error::BadImage)?,
            command: List(spec.arguments),
            more_environment: List(spec.environment),
            input: false,
            root: Span::default(),
            regions: Vec::new(),
        };
        setup.check().map_err(|_| Error::Malformed)?;
        let record = &mut self.records[index];
        let full = |_| Error::Malformed;
        record.path = path;
        record.name.push_str(name).map_err(full)?;
        record.arguments.push_str(spec.arguments).map_err(full)?;
        record
            .environment
            .push_str(spec.environment)
            .map_err(full)?;
        let container = &setup.container;
        let mut archive = Path::new();
        write!(archive, "{IMAGES}/{}.tar", container.root.image).map_err(|_| Error::NoImage)?;
        let memory = &mut self.memory;
        let root = self.roots.enter(
            &archive,
            &mut Tools {
                fill: &mut |address, bytes| memory.fill(address, bytes),
                manager: &self.manager,
                files: &self.files,
            },
        )?;
        self.records[index].root = root;

        let memory = match (container.limits.memory, spec.memory) {
            (None, 0) => DEFAULT_MEMORY,
            (Some(limit), 0) => limit,
            (limit, wanted) => limit.unwrap_or(u64::MAX).min(wanted),
        };
        let pids = container.limits.pids.unwrap_or(DEFAULT_PIDS);
        let program = self.programs.create(
            maker,
            &Spec {
                image: server,
                arguments: "",
                environment: "",
                channels: spec.channels,
                memory,
                ics: units(pids, memory),
                stack: spec.stack.max(SERVER_STACK),
                cspace_radix: match memory {
                    ..=DEFAULT_MEMORY => SERVER_RADIX.0,
                    _ => SERVER_RADIX.1,
                },
                composes: true,
            },
        )?;
        // From here on the IC exists; should anything fail, it is destroyed, and its program forgotten.
        let id = maker.made().ok_or(Error::Kernel)?;
        // What it is called in lists matters to nobody's life.
        let _ = self.manager.annotate(id, Name::new(name));
        match self.roots.share(root, id, ROOT_ADDRESS, &self.manager) {
            Ok(()) => {
                self.records[index].root_span = Span {
                    address: ROOT_ADDRESS,
                    bytes: self.roots.bytes(root),
                };
                Ok(program)
            }
            Err(error) => {
                self.programs.gone(id, program);
                Err(error)
            }
        }
    }

    /// Puts together what the server of a container is told, in `scratch`: its length.
    fn describe_to_server(&mut self, index: usize) -> Result<usize> {
        let record = self.records.get(index).ok_or(Error::Kernel)?;
        let (_, bytes) = self.files.find(&record.path).ok_or(Error::NoImage)?;
        let mut container = Container::read(bytes).map_err(|_| Error::BadImage)?;
        container.process.terminal |= record.input == Some(true);
        let mut regions = Vec::new();
        for (name, span) in &record.grants {
            // There is room: both lists have the same.
            let _ = regions.push(Grant { name, span: *span });
        }
        let setup = Setup {
            name: &record.name,
            container,
            command: List(&record.arguments),
            more_environment: List(&record.environment),
            input: record.input.is_some(),
            root: record.root_span,
            regions,
        };
        setup
            .write(&mut self.scratch)
            .map(<[u8]>::len)
            .map_err(|_| Error::Malformed)
    }

    /// Gives the next command to the server, if both are there.
    fn feed(record: &mut Record, deferred: &mut Deferred<'_>) {
        if record.server.is_none() {
            return;
        }
        if let Some(command) = record.fetch()
            && let Some(server) = record.server.take()
        {
            let mut reply = Reply::new();
            let _ = counted(&mut reply, &command);
            deferred.answer(server, &reply);
        }
    }

    /// Answers those who wait for output, if there is some for them, or never will be.
    fn tell_followers(record: &mut Record, deferred: &mut Deferred<'_>) {
        let followers = core::mem::take(&mut record.followers);
        for Follower { token, of, from } in followers {
            let mut reply = Reply::new();
            if log_reply(record, of, from, &mut reply) {
                deferred.answer(token, &reply);
            } else {
                // It came from there.
                let _ = record.followers.push(Follower { token, of, from });
            }
        }
    }

    fn asked_by_holder(
        &mut self,
        ic: &Member<'_, Contained<F::Ic>>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        let mut buffer = [0; MAX_BYTES];
        let bytes = request.counted_bytes(1, request.word(0), &mut buffer)?;
        let asked = match postcard::take_from_bytes::<Asked<'_>>(bytes) {
            Ok((asked, [])) => asked,
            _ => return Err(Error::Malformed),
        };
        if let Asked::Grant {
            name,
            address,
            bytes,
        } = asked
        {
            return self
                .grant(ic, name, Span { address, bytes })
                .map(|()| counted(reply, &[]));
        }
        let record = self.record(ic)?;
        let running = record.status == Status::Running;
        match asked {
            Asked::State => {
                let mut json = [0; state::MAX_BYTES];
                let text = state::json(ic.id, record.status, &record.name, &mut json);
                Ok(counted(reply, text))
            }
            Asked::Signal(signal) => {
                if !(1..=64).contains(&signal) {
                    return Err(Error::Malformed);
                }
                if !running {
                    return Err(Error::BadState);
                }
                record.command(&Command::Signal(signal))?;
                Self::feed(record, deferred);
                Ok(counted(reply, &[]))
            }
            Asked::Log { from, wait, of } => {
                if log_reply(record, of, from, reply) || !wait {
                    return Ok(Outcome::Reply);
                }
                if record.followers.is_full() {
                    return Err(Error::TableFull);
                }
                let token = deferred.keep()?;
                // There is room: nothing comes back.
                let _ = record.followers.push(Follower { token, of, from });
                Ok(Outcome::Deferred)
            }
            Asked::Attach { terminal } => {
                if record.status != Status::Created {
                    return Err(Error::BadState);
                }
                record.input = Some(terminal);
                Ok(counted(reply, &[]))
            }
            Asked::Input { of, bytes } => {
                match record.awaits(of) {
                    Some(true) => return Err(Error::TableFull),
                    Some(false) if running => {}
                    _ => return Err(Error::BadState),
                }
                record.command(&Command::Input { of, bytes })?;
                if let Some(awaits) = record.awaits(of) {
                    *awaits = true;
                }
                Self::feed(record, deferred);
                Ok(counted(reply, &[]))
            }
            Asked::Exec {
                arguments,
                environment,
                cwd,
                streams,
            } => {
                if !running {
                    return Err(Error::BadState);
                }
                if strings(arguments).next().is_none_or(str::is_empty) {
                    return Err(Error::Malformed);
                }
                let number = record.exec(streams != Streams::Output)?;
                let command = Command::Exec {
                    number,
                    arguments,
                    environment,
                    cwd,
                    streams,
                };
                if let Err(error) = record.command(&command) {
                    record.forget_exec();
                    return Err(error);
                }
                Self::feed(record, deferred);
                Ok(counted(reply, &u64::from(number).to_le_bytes()))
            }
            Asked::ExecWait(number) => {
                let position = record.execs.iter().position(|exec| exec.number == number);
                let position = position.ok_or(Error::Gone)?;
                let exec = &mut record.execs[position];
                if let Some(status) = exec.status {
                    record.execs.remove(position);
                    return Ok(counted(reply, &status.to_le_bytes()));
                }
                if exec.waiter.is_some() {
                    return Err(Error::TableFull);
                }
                exec.waiter = Some(deferred.keep()?);
                Ok(Outcome::Deferred)
            }
            Asked::Wait => {
                if let Some(status) = record.ended {
                    return Ok(counted(
                        reply,
                        &u64::from(status.shell_code()).to_le_bytes(),
                    ));
                }
                if record.waiters.is_full() {
                    return Err(Error::TableFull);
                }
                let token = deferred.keep()?;
                // There is room: nothing comes back.
                let _ = record.waiters.push(token);
                Ok(Outcome::Deferred)
            }
            Asked::Grant { .. } => Err(Error::Malformed),
        }
    }

    /// A region for the mounts of a container that is not started yet.
    fn grant(&mut self, ic: &Member<'_, Contained<F::Ic>>, name: &str, span: Span) -> Result<()> {
        let record = self.records.get_mut(ic.data.record).ok_or(Error::Kernel)?;
        if record.status != Status::Created {
            return Err(Error::BadState);
        }
        let (_, bytes) = self.files.find(&record.path).ok_or(Error::NoImage)?;
        let container = Container::read(bytes).map_err(|_| Error::BadImage)?;
        let is_named = container
            .mounts
            .iter()
            .any(|mount| mount.kind == MountKind::Region(name));
        if !is_named {
            return Err(Error::NotFound);
        }
        let end = span
            .address
            .checked_add(span.bytes)
            .ok_or(Error::BadAddress)?;
        let fits = GRANTS.start <= span.address && end <= GRANTS.end;
        if span.bytes == 0 || !span.address.is_multiple_of(PAGE) || !fits {
            return Err(Error::BadAddress);
        }
        if record.grants.iter().any(|(known, _)| known == name) {
            return Err(Error::NameTaken);
        }
        let name = String::try_from(name).map_err(|_| Error::Malformed)?;
        record
            .grants
            .push((name, span))
            .map_err(|_| Error::TableFull)
    }

    fn asked_by_server(
        &mut self,
        ic: &Member<'_, Contained<F::Ic>>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        match ServerOp::from_label(request.label())? {
            ServerOp::Describe => {
                let length = self.describe_to_server(ic.data.record)?;
                let from = usize::try_from(request.word(0)).map_err(|_| Error::Malformed)?;
                let rest = self.scratch[..length].get(from..).ok_or(Error::Malformed)?;
                let rest = &rest[..rest.len().min(xos_protocol::container::MAX_BYTES)];
                let mut words = [0; MAX_WORDS];
                words[0] = length as u64;
                let used = wire::put_bytes(&mut words[1..], rest)?;
                Ok(reply.ok(&words[..1 + used]))
            }
            ServerOp::Next => {
                let record = self.record(ic)?;
                if let Some(command) = record.fetch() {
                    return Ok(counted(reply, &command));
                }
                if record.server.is_some() {
                    return Err(Error::BadState);
                }
                record.server = Some(deferred.keep()?);
                Ok(Outcome::Deferred)
            }
            ServerOp::Output => {
                let stream = Stream::from_word(request.word(1))?;
                let of = u32::try_from(request.word(2)).map_err(|_| Error::Malformed)?;
                let mut buffer = [0; MAX_BYTES];
                let bytes = request.counted_bytes(3, request.word(0), &mut buffer)?;
                let record = self.record(ic)?;
                record.log.add(of, stream, bytes);
                Self::tell_followers(record, deferred);
                Ok(reply.ok(&[]))
            }
            ServerOp::Taken => {
                let of = u32::try_from(request.word(0)).map_err(|_| Error::Malformed)?;
                // Who has ended meanwhile takes no more.
                if let Some(awaits) = self.record(ic)?.awaits(of) {
                    *awaits = false;
                }
                Ok(reply.ok(&[]))
            }
            ServerOp::Done => {
                let (number, status) = (request.word(0), request.word(1) & 0xff);
                let record = self.record(ic)?;
                let is_it = |exec: &crate::record::Exec| {
                    u64::from(exec.number) == number && exec.status.is_none()
                };
                let position = record.execs.iter().position(is_it).ok_or(Error::Gone)?;
                match record.execs[position].waiter.take() {
                    Some(waiter) => {
                        record.execs.remove(position);
                        let mut answer = Reply::new();
                        let _ = counted(&mut answer, &status.to_le_bytes());
                        deferred.answer(waiter, &answer);
                    }
                    None => record.execs[position].status = Some(status),
                }
                Self::tell_followers(record, deferred);
                Ok(reply.ok(&[]))
            }
        }
    }
}

/// A reply as [`HandleOp::Invoke`](xos_protocol::factory::HandleOp::Invoke) has it: a count, then bytes.
fn counted(reply: &mut Reply, bytes: &[u8]) -> Outcome {
    let mut words = [0; MAX_WORDS];
    words[0] = bytes.len() as u64;
    match wire::put_bytes(&mut words[1..], bytes) {
        Ok(used) => reply.ok(&words[..1 + used]),
        Err(error) => reply.error(error),
    }
}

/// Puts output of somebody's from a position on into a reply. Whether there is anything to tell.
fn log_reply(record: &Record, of: u32, from: u64, reply: &mut Reply) -> bool {
    let mut buffer = [0; MAX_PIECE];
    let piece = record.log.read(of, from, &mut buffer);
    let log = match piece {
        Some(piece) => Log {
            next: piece.next,
            lost: piece.lost,
            end: false,
            stream: piece.stream,
            bytes: &buffer[..piece.length],
        },
        None => Log {
            next: record.log.end(),
            lost: false,
            end: record.is_over(of),
            stream: Stream::Output,
            bytes: &[],
        },
    };
    let tells = piece.is_some() || log.end;
    match encode(&log) {
        Ok(bytes) => counted(reply, &bytes),
        Err(error) => reply.error(error),
    };
    tells
}

/// ICs, sessions and regions that a container with so many threads and bytes of memory may pay for.
fn units(pids: u32, memory: u64) -> u16 {
    // The first ones are smaller.
    let regions = u32::try_from(memory / REGION)
        .unwrap_or(u32::MAX)
        .saturating_add(5);
    let all = regions.saturating_mul(2).saturating_add(OWN_UNITS);
    all.saturating_add(pids).min(MAX_UNITS) as u16
}

/// The member's program, for the factory of programs.
fn inner<I>(ic: Member<'_, Contained<I>>) -> Member<'_, I> {
    ic.map(|container| &mut container.program)
}

impl<F: Factory, M: Memory, const N: usize, P: Port> Factory for ContainerFactory<'_, F, M, N, P> {
    type Ic = Contained<F::Ic>;

    /// Logs and states are asked for after the end, too.
    const OUTLIVES: bool = true;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Self::Ic> {
        let index = self.records.iter().position(|record| !record.taken);
        let index = index.ok_or(Error::TableFull)?;
        // Until it is there: an index that is none.
        self.records[index].root = usize::MAX;
        match self.set_up(maker, spec, index) {
            Ok(program) => {
                self.records[index].taken = true;
                Ok(Contained {
                    program,
                    record: index,
                })
            }
            Err(error) => {
                self.roots.leave(self.records[index].root);
                self.records[index].clear();
                Err(error)
            }
        }
    }

    fn start(&mut self, ic: Member<'_, Self::Ic>) -> Result<()> {
        let index = ic.data.record;
        self.programs.start(inner(ic))?;
        self.records[index].status = Status::Running;
        Ok(())
    }

    fn fault(&mut self, ic: Member<'_, Self::Ic>, fault: &sel4::Fault) -> Fate {
        self.programs.fault(inner(ic), fault)
    }

    fn arguments(&mut self, ic: Member<'_, Self::Ic>) -> Result<(u64, u64)> {
        self.programs.arguments(inner(ic))
    }

    fn invoke(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        match self.asked_by_holder(&ic, request, reply, deferred) {
            Ok(outcome) => outcome,
            Err(error) => reply.error(error),
        }
    }

    fn asked(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        match self.asked_by_server(&ic, request, reply, deferred) {
            Ok(outcome) => outcome,
            Err(error) => reply.error(error),
        }
    }

    fn ended(&mut self, ic: Member<'_, Self::Ic>, status: ExitStatus) {
        self.programs.ended(inner(ic), status);
    }

    fn release(
        &mut self,
        _id: IcId,
        data: &mut Self::Ic,
        status: ExitStatus,
        deferred: &mut Deferred<'_>,
    ) {
        let Some(record) = self.records.get_mut(data.record) else {
            return;
        };
        record.status = Status::Stopped;
        let status = *record.ended.get_or_insert(status);
        let mut reply = Reply::new();
        let _ = counted(&mut reply, &u64::from(status.shell_code()).to_le_bytes());
        for waiter in core::mem::take(&mut record.waiters) {
            deferred.answer(waiter, &reply);
        }
        // Programs that were started in it end with it, killed.
        let mut killed = Reply::new();
        let _ = counted(
            &mut killed,
            &u64::from(ExitStatus::Killed.shell_code()).to_le_bytes(),
        );
        for exec in &mut record.execs {
            if exec.status.is_none() {
                exec.status = Some(ExitStatus::Killed.shell_code().into());
            }
            if let Some(waiter) = exec.waiter.take() {
                deferred.answer(waiter, &killed);
            }
        }
        if let Some(server) = record.server.take() {
            // It stands still; but the place that its call takes is needed.
            deferred.answer_with(server, Err(Error::Gone));
        }
        Self::tell_followers(record, deferred);
    }

    fn gone(&mut self, id: IcId, data: Self::Ic) {
        self.programs.gone(id, data.program);
        if let Some(record) = self.records.get_mut(data.record) {
            self.roots.leave(record.root);
            record.clear();
        }
    }

    fn closed(&mut self, client: u32) {
        self.programs.closed(client);
    }
}
