// SPDX-License-Identifier: BSD-2-Clause
//! The factory: what the loop of `xos-server` asks of it.
//!
//! ```text
//! the address space of an lwC
//!   0x200000 ...       the program's image, as it was: mapped by the manager, at the program's wish
//!   |                  nothing
//!   top - stack - ...  stack, growing downward
//!   top - 1 page       IPC buffer, and behind it the thread pointer's block
//!   top                where the windows of threads begin
//!   |                  overlays, and threads of its own
//! ```

use sel4::Fault;
use xos_client::{Manager, Port};
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::Entry;
use xos_protocol::manager::{Declare, PAGE, Relation};
use xos_protocol::slots::{ic, parts};
use xos_protocol::start::{THREAD_POINTER, WINDOW, WINDOWS};
use xos_protocol::{Contract, Error, ExitStatus, IcId, Name, Result, Subject};
use xos_server::factory::{Factory, Fate, Maker, Member, Needs};
use xos_server::{Deferred, Outcome, Parts, Reply, Request, Token, faults};

use crate::control::{Control, Due, Next, PROGRAM};
use crate::{Ask, SWITCH, pair};

/// lwCs at a time: as many as have room in the CSpace of a program, beside those that it keeps waiting.
pub const MAX_LWCS: usize = 64;
/// Callers that may have to be told of an end at the same time: each lwC, and each program.
const MAX_DUE: usize = 2 * MAX_LWCS;
/// ICs and sessions that an lwC may pay for.
const UNITS: u32 = 16;
/// Pages for what the manager has to make in an lwC's address space to map regions there.
const FOR_REGIONS: u32 = 8;

/// End of the stack and the IPC buffer.
const TOP: u64 = WINDOWS.start;
/// They lie in one piece that a page table spans.
const BASE: u64 = TOP - WINDOW;

/// What lwCs are promised.
pub const CONTRACT: Contract = Contract {
    memory: Memory::Private,
    capabilities: Capabilities::Own,
    names: Names::None,
    kernel_interface: KernelInterface::Sel4,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// What the factory makes of an lwC's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A page.
    Frame,
    /// What pages are mapped in; spans 2 MiB.
    Table,
    /// The level above; spans 1 GiB.
    Directory,
    /// And above that; spans 512 GiB.
    Pointers,
}

/// What an lwC starts with: the registers of a thread, and two for the first switch to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// RIP: the first instruction.
    pub ip: u64,
    /// RSP: the end of its stack.
    pub sp: u64,
    /// RDI: what its program passed.
    pub argument: u64,
    /// RSI: who switched to it.
    pub from: u64,
    /// RDX: address of its IPC buffer.
    pub buffer: u64,
    /// RCX and the base of FS: its thread pointer.
    pub thread_pointer: u64,
    /// R8: the word of that switch.
    pub word: u64,
}

/// The invocations that the factory makes, each on the parts node of one lwC.
pub trait Kernel {
    /// Makes `count` objects of its untyped memory, into the slots from `first` on.
    ///
    /// # Errors
    /// [`Error::Kernel`], as for all of these: the lwC died meanwhile.
    fn make(&mut self, lwc: Parts, object: Object, first: u32, count: u32) -> Result<()>;
    /// Maps the paging structure in slot `index`.
    fn map_table(&mut self, lwc: Parts, object: Object, index: u32, address: u64) -> Result<()>;
    /// Maps the page in slot `index`, readable and writable.
    fn map_frame(&mut self, lwc: Parts, index: u32, address: u64) -> Result<()>;
    /// Has it execute in its own CSpace and VSpace, with the page in slot `index`, mapped at `address`, as IPC
    /// buffer.
    fn configure(&mut self, lwc: Parts, index: u32, address: u64) -> Result<()>;
    /// Sets its registers.
    fn set_registers(&mut self, lwc: Parts, registers: &Registers) -> Result<()>;
    /// Empties a root slot of its CSpace.
    fn empty(&mut self, lwc: Parts, slot: u32) -> Result<()>;
    /// The registers RAX, RDI and RSI of one that stands still.
    fn report(&mut self, lwc: Parts) -> Result<[u64; 3]>;
    /// [`faults::refuse`].
    fn refuse(&mut self, lwc: Parts, error: Error) -> Result<bool>;
    /// [`faults::land`].
    fn land(&mut self, lwc: Parts) -> Result<bool>;
}

/// What an lwC consists of, counted before anything is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Pages of stack.
    pub stack: u32,
    /// Pages of untyped memory.
    pub memory: u32,
    /// Radix of the parts node.
    pub parts_radix: u32,
}

impl Shape {
    /// The slots of the three paging structures; the stack follows, lowest page first, then the IPC buffer.
    const POINTERS: u32 = parts::FIRST_FREE;
    const DIRECTORY: u32 = Self::POINTERS + 1;
    const TABLE: u32 = Self::POINTERS + 2;
    const STACK: u32 = Self::POINTERS + 3;

    /// For so many pages of stack.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there are none, or more than a node has slots for.
    pub fn new(stack: u16) -> Result<Self> {
        let stack = u32::from(stack);
        let slots = Self::STACK + stack + 1;
        if stack == 0 || slots > 256 {
            return Err(Error::Malformed);
        }
        Ok(Self {
            stack,
            // One piece: everything is made of that.
            memory: (3 + stack + 1).next_power_of_two(),
            parts_radix: slots.next_power_of_two().trailing_zeros().max(4),
        })
    }

    /// Address of the IPC buffer.
    pub const fn buffer(self) -> u64 {
        TOP - PAGE
    }

    /// Lowest address of the stack.
    pub const fn stack_start(self) -> u64 {
        self.buffer() - self.stack as u64 * PAGE
    }
}

/// One that was made: what it begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lwc {
    entry: Entry,
    shape: Shape,
}

/// What is known of an lwC that has not run yet.
#[derive(Clone, Copy)]
struct Unborn {
    parts: Parts,
    lwc: Lwc,
}

/// The lwc factory.
pub struct LwcFactory<K, P = sel4::cap::Endpoint> {
    kernel: K,
    manager: Manager<P>,
    control: Control<Token, MAX_LWCS>,
    unborn: heapless::index_map::FnvIndexMap<IcId, Unborn, MAX_LWCS>,
    due: heapless::Vec<Due<Token>, MAX_DUE>,
}

impl<K: Kernel, P: Port> LwcFactory<K, P> {
    /// A factory without lwCs.
    pub const fn new(kernel: K, manager: Manager<P>) -> Self {
        Self {
            kernel,
            manager,
            control: Control::new(),
            unborn: heapless::index_map::FnvIndexMap::new(),
            due: heapless::Vec::new(),
        }
    }

    fn compose(&mut self, lwc: Parts, shape: Shape) -> Result<()> {
        let kernel = &mut self.kernel;
        for (object, slot) in [
            (Object::Pointers, Shape::POINTERS),
            (Object::Directory, Shape::DIRECTORY),
            (Object::Table, Shape::TABLE),
        ] {
            kernel.make(lwc, object, slot, 1)?;
            kernel.map_table(lwc, object, slot, BASE)?;
        }
        let pages = shape.stack + 1;
        kernel.make(lwc, Object::Frame, Shape::STACK, pages)?;
        for page in 0..pages {
            let address = shape.stack_start() + u64::from(page) * PAGE;
            kernel.map_frame(lwc, Shape::STACK + page, address)?;
        }
        kernel.configure(lwc, Shape::STACK + shape.stack, shape.buffer())
    }

    /// For the graph; nobody's life depends on it.
    fn declare(&self, from: Subject, to: Subject) {
        let _ = self.manager.declare(&Declare {
            from,
            to,
            relation: Relation::Control,
            holds: true,
        });
    }

    /// Passes control on; the caller is `from`.
    fn switch(
        &mut self,
        from: IcId,
        to: IcId,
        word: u64,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        if let Err(error) = self.control.check(from, to) {
            return reply.error(error);
        }
        let waiter = match deferred.keep() {
            Ok(waiter) => waiter,
            Err(error) => return reply.error(error),
        };
        match self.control.switch(from, to, waiter) {
            Ok(Next::Answer(next)) if to == PROGRAM => {
                // As an invocation is answered: a count, and bytes.
                let _ = reply.bytes(&pair(from.word(), word));
                deferred.answer(next, reply);
            }
            Ok(Next::Answer(next)) => deferred.answer_with(next, Ok(&[from.word(), word])),
            Ok(Next::Start(id)) => {
                if let Err(error) = self.start_now(id, from, word) {
                    // It died a moment ago: control goes back as when that has been reported.
                    self.over(id, error);
                }
            }
            Err((error, waiter)) => deferred.answer_with(waiter, Err(error)),
        }
        Outcome::Deferred
    }

    fn start_now(&mut self, id: IcId, from: IcId, word: u64) -> Result<()> {
        let Unborn { parts, lwc } = self.unborn.swap_remove(&id).ok_or(Error::Gone)?;
        let buffer = lwc.shape.buffer();
        let registers = Registers {
            ip: lwc.entry.ip,
            sp: buffer,
            argument: lwc.entry.argument,
            from: from.word(),
            buffer,
            thread_pointer: buffer + THREAD_POINTER,
            word,
        };
        self.kernel.set_registers(parts, &registers)?;
        // By the manager, which then knows that it runs.
        self.manager.resume(id)
    }

    /// An lwC has ended; whoever has waited for it to switch back is told `why`.
    fn over(&mut self, id: IcId, why: Error) {
        self.unborn.swap_remove(&id);
        let due = &mut self.due;
        self.control.ended(id, |one| {
            // There is room for all that can wait.
            let _ = due.push(Due { why, ..one });
        });
    }
}

/// An invocation is answered with no bytes, or refused.
fn empty(reply: &mut Reply, result: Result<()>) -> Outcome {
    match result {
        Ok(()) => reply.bytes(&[]),
        Err(error) => reply.error(error),
    }
}

impl<K: Kernel, P: Port> Factory for LwcFactory<K, P> {
    type Ic = Lwc;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn spawn(&mut self, maker: &mut Maker<'_>, entry: &Entry) -> Result<Lwc> {
        let shape = Shape::new(entry.stack)?;
        let made = maker.create(&Needs {
            session: true,
            memory: shape.memory,
            // Two pages at most for the parts themselves with nodes of these sizes, rounded up.
            quota: shape.memory + 8 + FOR_REGIONS,
            ics: UNITS,
            parts_radix: shape.parts_radix,
            cspace_radix: 5,
        })?;
        let id = made.created.id;
        self.compose(made.parts, shape)?;
        self.manager.annotate(id, Name::new("lwc"))?;
        let lwc = Lwc {
            entry: *entry,
            shape,
        };
        let parts = made.parts;
        self.control.add(maker.client(), id)?;
        if self.unborn.insert(id, Unborn { parts, lwc }).is_err() {
            self.over(id, Error::Gone);
            return Err(Error::TableFull);
        }
        let program = Subject::Client(maker.client());
        self.declare(program, Subject::Ic(id));
        self.declare(Subject::Ic(id), program);
        Ok(lwc)
    }

    fn start(&mut self, _lwc: Member<'_, Lwc>) -> Result<()> {
        // The first switch to it does that.
        Err(Error::BadState)
    }

    fn invoke(
        &mut self,
        lwc: Member<'_, Lwc>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        match Ask::from_words(request.words()) {
            Ok(Ask::Switch(word)) => self.switch(PROGRAM, lwc.id, word, reply, deferred),
            Ok(Ask::Allow(word)) => {
                let other = IcId::from_word(word);
                let allowed = self.control.allow(lwc.id, other);
                if allowed.is_ok() {
                    self.declare(Subject::Ic(lwc.id), Subject::Ic(other));
                }
                empty(reply, allowed)
            }
            Ok(Ask::Confine) => {
                let done = self.kernel.empty(lwc.parts, ic::MANAGER);
                empty(reply, done)
            }
            Err(error) => reply.error(error),
        }
    }

    fn asked(
        &mut self,
        lwc: Member<'_, Lwc>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        if request.label() != SWITCH {
            return reply.error(Error::NoSuchOperation);
        }
        let to = IcId::from_word(request.word(0));
        self.switch(lwc.id, to, request.word(1), reply, deferred)
    }

    fn fault(&mut self, lwc: Member<'_, Lwc>, fault: &Fault) -> Fate {
        let parts = lwc.parts;
        // A copy from or to an overlay that was taken back.
        if matches!(fault, Fault::VmFault(_)) && self.kernel.land(parts) == Ok(true) {
            return Fate::GoesOn;
        }
        // A capability that is refused is one that the program had and its copy has not.
        faults::fate(
            fault,
            &mut self.kernel,
            |kernel| kernel.refuse(parts, Error::Gone),
            |kernel| kernel.report(parts),
        )
    }

    fn ended(&mut self, lwc: Member<'_, Lwc>, _status: ExitStatus) {
        self.over(lwc.id, Error::Gone);
    }

    fn gone(&mut self, id: IcId, _lwc: Lwc) {
        self.over(id, Error::Gone);
    }

    fn closed(&mut self, client: u32) {
        let due = &mut self.due;
        self.control.closed(client, |one| {
            let _ = due.push(one);
        });
    }

    fn settle(&mut self, deferred: &mut Deferred<'_>) {
        while let Some(Due { waiter, why }) = self.due.pop() {
            deferred.answer_with(waiter, Err(why));
        }
    }
}
