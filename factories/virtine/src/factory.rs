// SPDX-License-Identifier: BSD-2-Clause
//! The factory: what the loop of `xos-server` asks of it, and the life of a call.
//!
//! ```text
//!            start                      Ready              what was to be saved is
//!   Made ---------> Filling, Preparing -------> Saving ------------------------------> Idle
//!                        | crash: the IC ends                                          |  ^
//!                        v out of time or memory                          Ask::Call    v  |  its end
//!                      Failed                                                        Running
//!                                                                      Hypercall::Ask  |  ^  Ask::Answer
//!                                                                                      v  |
//!                                                                                     Asking
//! ```

use core::time::Duration;

use process_factory::arena::Nodes;
use process_factory::files::Files;
use process_factory::images::{Images, Tools as ImageTools};
use process_factory::kernel::Kernel as _;
use sel4::Fault;
use xos_client::{Manager, Port};
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory as MemoryPromise, Names,
    Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::ic::FaultKind;
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::virtine::{Answer, Ask, Hypercall, MAX_HYPERCALLS, MAX_PART, MORE, PART};
use xos_protocol::wire::MAX_WORDS;
use xos_protocol::{Contract, Error, ExitStatus, IcId, Result};
use xos_server::factory::{Factory, Fate, Maker, Member, Needs, State};
use xos_server::{Deferred, Outcome, Reply, Request, Token, faults};

use crate::kernel::Kernel;
use crate::memory::{CSPACE_RADIX, Memory, Shape, Tools, Touch};

/// Virtines at a time: each has a page of the factory's own memory for its plan.
pub const MAX_VIRTINES: usize = 128;
/// Root slots that are the program's: two for the time of one call of the kernel's, one for the node with the
/// plans, one for the node with the trampoline.
pub const ROOT_SLOTS_OF_PROGRAM: [u32; 4] = [
    BEHIND_PARTS,
    BEHIND_PARTS + 1,
    BEHIND_PARTS + 2,
    BEHIND_PARTS + 3,
];
const BEHIND_PARTS: u32 = FIRST_FREE_ROOT + MAX_VIRTINES as u32;
const FIRST_FREE: u32 = BEHIND_PARTS + 4;
/// Root slots that virtines' further nodes may take, all together.
const MAX_NODES: u32 = 2048;

/// How often the factory looks for virtines that run for too long, while one runs at all.
pub const TICK: Duration = Duration::from_millis(10);
/// Milliseconds that a call may take if its caller says nothing, and that preparing an image may take.
pub const DEFAULT_LIMIT: u32 = 1000;

/// Words of a message that counts as short.
const SHORT: usize = 4;

/// What virtines are promised.
pub const CONTRACT: Contract = Contract {
    memory: MemoryPromise::Private,
    capabilities: Capabilities::Own,
    names: Names::None,
    kernel_interface: KernelInterface::Hypercalls,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// Bits of x86's page-fault error code (Intel SDM volume 3, section 4.7): the access was a write.
const WRITE: u64 = 1 << 1;

/// Where a virtine is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Made, not started.
    Made,
    /// The trampoline gives its variables their first values.
    Filling,
    /// The image runs until it says that it is ready.
    Preparing,
    /// The trampoline saves what the image has written.
    Saving,
    /// It stands still until it is called.
    Idle,
    /// It runs a call.
    Running,
    /// It waits for the answer to a hypercall.
    Asking,
    /// It could not be prepared, for this reason.
    Failed(Answer),
}

impl Phase {
    /// Whether it runs, so that its time passes.
    const fn runs(self) -> bool {
        matches!(
            self,
            Self::Filling | Self::Preparing | Self::Saving | Self::Running
        )
    }
}

/// A virtine.
struct Virtine {
    id: IcId,
    /// Root slot of its parts node.
    parts: u32,
    image: u8,
    memory: Memory,
    phase: Phase,
    /// Address of the function.
    function: u64,
    /// Who is answered when the call has ended, or makes a hypercall.
    caller: Option<Token>,
    /// The virtine itself, while it waits for the answer to a hypercall.
    waiting: Option<Token>,
    /// Hypercalls that are granted in this call.
    granted: u32,
    /// Ticks that it may still run for.
    ticks: u32,
    /// Ticks that its call may take, while it is being prepared.
    limit: u32,
    /// Bytes of the argument that are in its plan.
    argument: usize,
}

/// Who is to be told what, when the message that is being dealt with has been.
struct Due {
    caller: Token,
    answer: Answer,
    status: Option<ExitStatus>,
}

/// The virtine factory.
pub struct VirtineFactory<'a, K, P = sel4::cap::Endpoint> {
    kernel: K,
    manager: Manager<P>,
    files: Files<'a>,
    images: Images<'a>,
    nodes: Nodes,
    virtines: [Option<Virtine>; MAX_VIRTINES],
    /// Whether there will be a tick.
    ticking: bool,
    due: Option<Due>,
}

/// Ticks for so many milliseconds. One more: the first may come at once.
fn ticks(milliseconds: u32) -> u32 {
    let milliseconds = match milliseconds {
        0 => DEFAULT_LIMIT,
        given => given,
    };
    milliseconds.div_ceil(TICK.as_millis() as u32) + 1
}

/// Answers a caller: the answer, and these bytes, the first words of `words`.
fn tell(deferred: &mut Deferred<'_>, caller: Token, answer: Answer, bytes: u64, words: &[u64]) {
    if words.len() <= SHORT - 2 {
        let mut all = [8 + bytes, answer.word(), 0, 0];
        all[2..2 + words.len()].copy_from_slice(words);
        deferred.answer_with(caller, Ok(&all[..2 + words.len()]));
        return;
    }
    let mut all = [0; MAX_WORDS];
    let len = words.len().min(MAX_WORDS - 2);
    all[0] = 8 + bytes;
    all[1] = answer.word();
    all[2..2 + len].copy_from_slice(&words[..len]);
    deferred.answer_with(caller, Ok(&all[..2 + len]));
}

/// Answers a caller whose call ended otherwise than by returning.
fn tell_end(
    deferred: &mut Deferred<'_>,
    caller: Token,
    answer: Answer,
    status: Option<ExitStatus>,
) {
    match status {
        Some(status) => tell(deferred, caller, answer, 24, &status.words()),
        None => tell(deferred, caller, answer, 0, &[]),
    }
}

/// The words of so many bytes that begin at word `from` of a message; `None` when it is not as long, or they
/// are too many.
fn counted<'r>(request: &Request<'r>, from: usize, bytes: u64) -> Option<&'r [u64]> {
    if bytes > MAX_PART as u64 {
        return None;
    }
    request
        .words()
        .get(from..from + (bytes as usize).div_ceil(8))
}

impl<'a, K: Kernel, P: Port> VirtineFactory<'a, K, P> {
    /// A factory without virtines and without files.
    pub const fn new(kernel: K, manager: Manager<P>) -> Self {
        Self {
            kernel,
            manager,
            files: Files::EMPTY,
            images: Images::whole(),
            nodes: Nodes::new(FIRST_FREE, 4096, MAX_NODES),
            virtines: [const { None }; MAX_VIRTINES],
            ticking: false,
            due: None,
        }
    }

    /// Gives it the file tree.
    pub fn set_files(&mut self, files: Files<'a>) {
        self.files = files;
    }

    /// The kernel.
    pub const fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Sees to it that time passes.
    fn watch(&mut self) -> Result<()> {
        if !self.ticking {
            self.kernel.alarm()?;
            self.ticking = true;
        }
        Ok(())
    }

    /// Calls `f` with a virtine, its image, and what its memory works with.
    fn with<R>(
        &mut self,
        index: usize,
        f: impl FnOnce(
            &mut Virtine,
            &process_factory::images::Image<'a>,
            &mut Tools<'_, K, P>,
        ) -> Result<R>,
    ) -> Result<R> {
        let virtine = self
            .virtines
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(Error::Gone)?;
        let image = self.images.get(virtine.image.into()).ok_or(Error::Kernel)?;
        let mut tools = Tools {
            kernel: &mut self.kernel,
            nodes: &mut self.nodes,
            manager: &self.manager,
            id: virtine.id,
            parts: virtine.parts,
        };
        f(virtine, image, &mut tools)
    }

    /// Has a virtine go on at `entry`, or say that its pages are as they should be, in a new phase.
    fn run(&mut self, index: usize, phase: Phase, entry: u64, pages: u128) -> Result<()> {
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        self.kernel.plan(index).entry = entry;
        self.kernel.begin(virtine.parts, pages, true)?;
        virtine.phase = phase;
        Ok(())
    }

    /// The image has said that it is ready: saves what it has written.
    fn ready(&mut self, index: usize, function: u64) -> Result<()> {
        let pages = self.with(index, |virtine, image, tools| {
            virtine.function = function;
            let pages = virtine.memory.make_room(tools, &image.program)?;
            virtine
                .memory
                .plan_aside(tools.kernel.plan(index), &image.program);
            Ok(pages)
        })?;
        match pages {
            0 => self.saved(index),
            pages => self.run(index, Phase::Saving, 0, pages),
        }
    }

    /// All that is saved is: from now on it can be called, and may have been already.
    fn saved(&mut self, index: usize) -> Result<()> {
        let called = self.with(index, |virtine, image, tools| {
            virtine.memory.aside(tools)?;
            virtine
                .memory
                .plan_call(tools.kernel.plan(index), &image.program);
            virtine.phase = Phase::Idle;
            Ok(virtine.caller.is_some())
        })?;
        match called {
            true => self.call(index),
            false => Ok(()),
        }
    }

    /// Begins the call whose argument is in the plan.
    fn call(&mut self, index: usize) -> Result<()> {
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        virtine.ticks = virtine.limit;
        let (pages, function) = (virtine.memory.written(), virtine.function);
        self.run(index, Phase::Running, function, pages)
    }

    /// A call has ended: what it was lent is taken back. Who is to be told.
    fn ended_call(&mut self, index: usize) -> Option<Token> {
        let caller = self.with(index, |virtine, _, tools| {
            virtine.memory.take_back(tools);
            virtine.phase = Phase::Idle;
            Ok(virtine.caller.take())
        });
        caller.ok().flatten()
    }

    /// A call has ended otherwise than by returning, or the preparation has.
    fn fail(&mut self, index: usize, answer: Answer, status: Option<ExitStatus>) {
        let Some(virtine) = self.virtines[index].as_mut() else {
            return;
        };
        let preparing = !matches!(virtine.phase, Phase::Running | Phase::Asking);
        let caller = self.ended_call(index);
        if preparing && let Some(virtine) = self.virtines[index].as_mut() {
            virtine.phase = Phase::Failed(answer);
        }
        // One message ends one call.
        self.due = caller.map(|caller| Due {
            caller,
            answer,
            status,
        });
    }

    /// A client calls the function.
    fn called(
        &mut self,
        index: usize,
        (granted, limit, long): (u32, u32, bool),
        request: Request<'_>,
        deferred: &mut Deferred<'_>,
    ) -> Result<()> {
        let bytes = request.word(0).checked_sub(8).ok_or(Error::Malformed)?;
        let words = counted(&request, 2, bytes).ok_or(Error::Malformed)?;
        let (length, words, bytes) = match (long, words) {
            (false, words) => (bytes, words, bytes as usize),
            (true, [length, words @ ..]) if *length > bytes - 8 => {
                (*length, words, bytes as usize - 8)
            }
            (true, _) => return Err(Error::Malformed),
        };
        if length > xos_protocol::virtine::MAX_BYTES {
            return Err(Error::Malformed);
        }
        self.watch()?;
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        match virtine.phase {
            Phase::Idle => {}
            Phase::Filling | Phase::Preparing | Phase::Saving if virtine.caller.is_none() => {}
            _ => return Err(Error::BadState),
        }
        virtine.caller = Some(deferred.keep()?);
        virtine.granted = granted;
        virtine.limit = ticks(limit);
        let plan = self.kernel.plan(index);
        plan.length = length;
        for (to, word) in plan.argument.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        // What an earlier argument left behind this one, and what is behind it in its last word.
        let left = virtine.argument.next_multiple_of(8);
        if bytes < left.max(8 * words.len()) {
            plan.argument[bytes..left.max(8 * words.len())].fill(0);
        }
        virtine.argument = bytes;
        if virtine.phase == Phase::Idle {
            // Refused only when it died a moment ago: its caller is told when that has been reported.
            let _ = self.call(index);
        }
        Ok(())
    }

    /// A client answers a hypercall.
    fn answered(
        &mut self,
        index: usize,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<()> {
        let bytes = request.word(0).checked_sub(8).ok_or(Error::Malformed)?;
        let words = counted(&request, 2, bytes).ok_or(Error::Malformed)?;
        self.watch()?;
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        if virtine.phase != Phase::Asking {
            return Err(Error::BadState);
        }
        if words.len() >= SHORT {
            self.with(index, |virtine, _, tools| {
                virtine.memory.note_message(tools)
            })?;
        }
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        let caller = deferred.keep()?;
        let Some(waiting) = virtine.waiting.take() else {
            deferred.answer_with(caller, Err(Error::BadState));
            return Ok(());
        };
        virtine.caller = Some(caller);
        virtine.phase = Phase::Running;
        let mut all = [0; MAX_WORDS];
        all[0] = bytes;
        all[1..=words.len()].copy_from_slice(words);
        reply.ok(&all[..=words.len()]);
        deferred.answer(waiting, reply);
        Ok(())
    }

    /// A client has enough of a call that makes a hypercall.
    fn stopped(&mut self, index: usize, deferred: &mut Deferred<'_>) -> Result<()> {
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        if virtine.phase != Phase::Asking {
            return Err(Error::BadState);
        }
        if let Some(waiting) = virtine.waiting.take() {
            let parts = virtine.parts;
            // Before it is answered, which is what frees the place of its reply.
            let _ = self.kernel.stop(parts);
            deferred.answer_with(waiting, Err(Error::Interrupted));
        }
        self.ended_call(index);
        Ok(())
    }

    /// The virtine's call returns.
    fn returned(&mut self, index: usize, request: Request<'_>, deferred: &mut Deferred<'_>) {
        let bytes = request.word(0);
        let Some(words) = counted(&request, 1, bytes) else {
            return self.fail(index, Answer::Nonsense, None);
        };
        if let Some(caller) = self.ended_call(index) {
            tell(deferred, caller, Answer::Returned, bytes, words);
        }
    }

    /// The virtine makes a hypercall that its client answers.
    fn asks(
        &mut self,
        index: usize,
        request: Request<'_>,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        let (bytes, number) = (request.word(0) & 0xffff_ffff, request.word(0) >> 32);
        let Some(words) = counted(&request, 1, bytes) else {
            self.fail(index, Answer::Nonsense, None);
            return Ok(Outcome::NoReply);
        };
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        let number = number.min(255) as u8;
        let granted = match number {
            MORE | PART => true,
            number if number < MAX_HYPERCALLS => virtine.granted & 1 << number != 0,
            _ => false,
        };
        if !granted {
            self.fail(index, Answer::NotGranted(number), None);
            return Ok(Outcome::NoReply);
        }
        let waiting = deferred.keep()?;
        let Some(caller) = virtine.caller.take() else {
            deferred.answer_with(waiting, Err(Error::BadState));
            return Ok(Outcome::Deferred);
        };
        virtine.waiting = Some(waiting);
        virtine.phase = Phase::Asking;
        tell(deferred, caller, Answer::Asks(number), bytes, words);
        Ok(Outcome::Deferred)
    }

    /// A step of a virtine's preparation has been taken.
    fn step(&mut self, index: usize, hypercall: Hypercall, word: u64) -> Result<()> {
        let virtine = self.virtines[index].as_mut().ok_or(Error::Gone)?;
        match (virtine.phase, hypercall) {
            (Phase::Filling, Hypercall::Restored) => {
                let entry = self.with(index, |virtine, image, tools| {
                    virtine.memory.filled(tools)?;
                    Ok(image.program.entry)
                })?;
                self.run(index, Phase::Preparing, entry, 0)
            }
            (Phase::Preparing, Hypercall::Ready) => self.ready(index, word),
            (Phase::Saving, Hypercall::Restored) => self.saved(index),
            (Phase::Preparing, _) => {
                self.fail(index, Answer::Nonsense, None);
                Ok(())
            }
            // Of one that stands still somebody else's doing: it was resumed.
            _ => Ok(()),
        }
    }

    /// What a fault of a virtine that runs comes to.
    fn faulted(&mut self, index: usize, fault: &Fault) -> Result<Touch> {
        let Fault::VmFault(fault) = fault else {
            return Ok(Touch::Refused);
        };
        let (address, writes) = (
            fault.inner().get_Addr(),
            fault.inner().get_FSR() & WRITE != 0,
        );
        self.with(index, |virtine, image, tools| {
            let prepares = virtine.phase != Phase::Running;
            virtine
                .memory
                .touch(tools, &image.program, address, writes, prepares)
        })
    }
}

impl<K: Kernel, P: Port> Factory for VirtineFactory<'_, K, P> {
    /// Its position.
    type Ic = usize;

    /// A virtine returns; it does not end.
    const EXITS: bool = false;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<usize> {
        let index = maker
            .place()
            .checked_sub(FIRST_FREE_ROOT)
            .ok_or(Error::Kernel)? as usize;
        let number = self.images.load(
            spec.image,
            &mut ImageTools {
                kernel: self.kernel.composing(),
                manager: &self.manager,
                nodes: &mut self.nodes,
                files: &self.files,
            },
        )?;
        let image = self.images.get(number).ok_or(Error::Kernel)?;
        let shape = Shape::new(&image.program, spec)?;
        let made = maker.create_named(
            &Needs {
                session: false,
                memory: shape.memory,
                quota: shape.quota,
                ics: 0,
                parts_radix: shape.parts_radix,
                cspace_radix: CSPACE_RADIX,
            },
            image.name,
        )?;
        let (id, parts) = (made.created.id, made.parts.place());
        let mut tools = Tools {
            kernel: &mut self.kernel,
            nodes: &mut self.nodes,
            manager: &self.manager,
            id,
            parts,
        };
        let memory = Memory::compose(
            &mut tools,
            &self.images,
            image,
            &shape,
            &made.created,
            index,
        )?;
        self.images.enter(number);
        let virtine = Virtine {
            id,
            parts,
            image: number as u8,
            memory,
            phase: Phase::Made,
            function: 0,
            caller: None,
            waiting: None,
            granted: 0,
            ticks: 0,
            limit: 0,
            argument: self.kernel.plan(index).argument.len(),
        };
        *self.virtines.get_mut(index).ok_or(Error::Kernel)? = Some(virtine);
        // Nothing of a virtine that was here before.
        self.kernel.plan(index).argument.fill(0);
        Ok(index)
    }

    fn start(&mut self, ic: Member<'_, usize>) -> Result<()> {
        let index = *ic.data;
        self.watch()?;
        self.with(index, |virtine, image, tools| {
            let plan = tools.kernel.plan(index);
            plan.length = 0;
            plan.entry = 0;
            let pages = virtine.memory.plan_first(plan, &image.program);
            virtine.ticks = ticks(DEFAULT_LIMIT);
            tools.kernel.begin(tools.parts, pages, false)?;
            virtine.phase = Phase::Filling;
            Ok(())
        })?;
        // By the manager, which then knows that it runs.
        self.manager.resume(ic.id)
    }

    fn invoke(
        &mut self,
        ic: Member<'_, usize>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let index = *ic.data;
        if let Some(Phase::Failed(answer)) = self.virtines[index].as_ref().map(|v| v.phase) {
            return reply.ok(&[8, answer.word()]);
        }
        if ic.state != State::Running {
            return reply.error(Error::BadState);
        }
        let done = match Ask::from_word(request.word(1)) {
            Ok(Ask::Call {
                granted,
                limit,
                long,
            }) => self.called(index, (granted, limit, long), request, deferred),
            Ok(Ask::Answer) => self.answered(index, request, reply, deferred),
            Ok(Ask::Stop) => {
                return match self.stopped(index, deferred) {
                    Ok(()) => reply.ok(&[8, Answer::Returned.word()]),
                    Err(error) => reply.error(error),
                };
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Outcome::Deferred,
            Err(error) => reply.error(error),
        }
    }

    fn asked(
        &mut self,
        ic: Member<'_, usize>,
        request: Request<'_>,
        _reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let index = *ic.data;
        let hypercall = Hypercall::from_label(request.label());
        let runs = self.virtines[index]
            .as_ref()
            .is_some_and(|virtine| virtine.phase == Phase::Running);
        match (runs, hypercall) {
            (true, Ok(Hypercall::Return)) => self.returned(index, request, deferred),
            (true, Ok(Hypercall::Ask)) => match self.asks(index, request, deferred) {
                Ok(outcome) => return outcome,
                // No place to keep it: its caller is told so.
                Err(error) => {
                    if let Some(caller) = self.ended_call(index) {
                        deferred.answer_with(caller, Err(error));
                    }
                }
            },
            (true, _) => self.fail(index, Answer::Nonsense, None),
            (false, hypercall) => {
                let hypercall = hypercall.unwrap_or(Hypercall::Return);
                match self.step(index, hypercall, request.word(0)) {
                    Ok(()) => {}
                    Err(Error::OverBudget | Error::NoMemory) => {
                        self.fail(index, Answer::OutOfMemory, None);
                    }
                    // It died a moment ago, and who waits is told when that has been reported.
                    Err(_) => {}
                }
            }
        }
        Outcome::NoReply
    }

    fn fault(&mut self, ic: Member<'_, usize>, fault: &Fault) -> Fate {
        let index = *ic.data;
        let Some(phase) = self.virtines[index].as_ref().map(|virtine| virtine.phase) else {
            return Fate::GoesOn;
        };
        if !phase.runs() {
            return Fate::GoesOn;
        }
        match self.faulted(index, fault) {
            Ok(Touch::Given) => return Fate::Retry,
            Ok(Touch::TooMuch) => {
                self.fail(index, Answer::OutOfMemory, None);
                return Fate::GoesOn;
            }
            Ok(Touch::Refused) | Err(_) => {}
        }
        let mut report = faults::describe(fault);
        let place = ic.parts.place();
        if faults::panic(fault, || self.kernel.composing().registers(place)).is_some() {
            report.kind = FaultKind::Panic;
        }
        let status = ExitStatus::Fault(report);
        if phase == Phase::Running {
            self.fail(index, Answer::Crashed, Some(status));
            return Fate::GoesOn;
        }
        Fate::Ends(status)
    }

    fn release(
        &mut self,
        _id: IcId,
        index: &mut usize,
        status: ExitStatus,
        deferred: &mut Deferred<'_>,
    ) {
        let Some(virtine) = self.virtines[*index].as_mut() else {
            return;
        };
        let (caller, waiting) = (virtine.caller.take(), virtine.waiting.take());
        if let Some(waiting) = waiting {
            deferred.answer_with(waiting, Err(Error::Gone));
        }
        if let Some(caller) = caller {
            match status {
                ExitStatus::Fault(_) => tell_end(deferred, caller, Answer::Crashed, Some(status)),
                _ => deferred.answer_with(caller, Err(Error::Gone)),
            }
        }
    }

    fn gone(&mut self, _id: IcId, index: usize) {
        if let Some(virtine) = self.virtines[index].take() {
            self.images.leave(virtine.image.into());
            virtine.memory.gone(&mut self.nodes);
        }
    }

    fn settle(&mut self, deferred: &mut Deferred<'_>) {
        if let Some(Due {
            caller,
            answer,
            status,
        }) = self.due.take()
        {
            tell_end(deferred, caller, answer, status);
        }
    }

    /// A tick.
    fn notified(&mut self, _bits: u64, deferred: &mut Deferred<'_>) {
        self.ticking = false;
        let mut runs = false;
        for index in 0..MAX_VIRTINES {
            let Some(virtine) = self.virtines[index].as_mut() else {
                continue;
            };
            if !virtine.phase.runs() {
                continue;
            }
            if let Some(left) = virtine.ticks.checked_sub(1) {
                virtine.ticks = left;
                runs = true;
                continue;
            }
            let parts = virtine.parts;
            let _ = self.kernel.stop(parts);
            self.fail(index, Answer::OutOfTime, None);
            self.settle(deferred);
        }
        if runs {
            // Refused only by a timer that was started anew a moment ago: the next call tries again.
            let _ = self.watch();
        }
    }
}
