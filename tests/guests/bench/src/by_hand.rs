// SPDX-License-Identifier: BSD-2-Clause
//! Processes, threads and messages made by hand on the bare kernel: what the system is compared with.
//!
//! Nobody's books are kept here, nothing is checked, and only the kernel is called. The memory is that
//! of an IC which this domain has the manager make for itself, and which it never starts.

use bench_loops::{Entry, code, ticks, word};
use sel4::{
    CNodeCapData, CPtr, CapRights, MessageInfo, ObjectBlueprint, ObjectBlueprintX64,
    ObjectBlueprintX86, UserContext, VmAttributes, cap, cap_type,
};
use xos_client::Manager;
use xos_protocol::manager::{Create, PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, NODE_BITS, domain, leaf, parts, root_guard};
use xos_protocol::{Result as Answer, Subject};
use xos_server::{Parts, Space};
use xos_test_kit::Outcome;

/// Registers as far as R10, in the kernel's order: no more are looked at by who only reports.
const UP_TO_R10: u64 = 13;
/// The priority of everybody here.
const PRIORITY: u64 = 100;
/// Radix of a CSpace made by hand: as the process factory's.
const CSPACE_RADIX: u32 = 5;
/// Radix of the parts node of the smallest process.
const PARTS_RADIX: u32 = 4;
/// Root slot, in a CSpace made by hand, of the one endpoint in it.
const REPORTS: u32 = 1;
/// Root slot of the other one, for those who call somebody.
const CALLED: u32 = 2;

/// Where a process made by hand has its pages: code, stack, IPC buffer, and more of them.
const CODE: u64 = 0x20_0000;
const OWN: u64 = CODE + 0x1_0000;

/// Where this domain maps what it shares with those processes: the code, to write it, and behind it what
/// threads made by hand have.
const WINDOW: u64 = 0x6000_0000_0000;
/// Behind it, the stack and the IPC buffer of the server made by hand, mapped with it.
const SERVER_STACK: u32 = SMALLEST.shared;
const SERVER_BUFFER: u32 = SERVER_STACK + 8;
const WINDOW_PAGES: u32 = SERVER_BUFFER + 1;
const THREAD_STACK: u64 = WINDOW + WINDOW_PAGES as u64 * PAGE;
const THREAD_BUFFER: u64 = THREAD_STACK + PAGE;

/// Root slots of this domain that this module uses.
pub const ROOT_SLOTS: u32 = 16;
const FIRST: u32 = domain::FIRST_FREE_ROOT;
/// The parts of the IC whose memory this is.
const MEMORY: u32 = FIRST;
/// The code's frame.
const FRAMES: u32 = FIRST + 1;
/// What stays.
const TOOLS: u32 = FIRST + 2;
/// What processes are made of: one node for each that lives at the same time.
const WORK: u32 = FIRST + 3;

/// The arena of threads, the endpoint that they report to, and what they are made of: leaves, which are
/// the fastest to name.
const THREAD_ARENA: u32 = FIRST + 6;
const THREAD_REPORTS: u32 = FIRST + 7;
const THREAD_TCB: u32 = FIRST + 8;
const THREAD_TABLE: u32 = FIRST + 9;
const THREAD_FRAMES: u32 = FIRST + 10;

/// Indices in [`TOOLS`].
mod tool {
    pub const REPORTS: u32 = 0;
    pub const CALLED: u32 = 1;
    /// One arena, and one CSpace, for each process that lives at the same time.
    pub const ARENAS: u32 = 2;
    pub const SPACES: u32 = 6;
    pub const SERVER: u32 = 10;
    pub const SAVED: u32 = 11;
}
/// Processes that can live at the same time.
const LIVES: u32 = 3;
const ARENA_BITS: usize = 17;

/// Indices in a node of [`WORK`].
mod part {
    pub const POINTERS: u32 = 0;
    pub const DIRECTORY: u32 = 1;
    pub const TABLE: u32 = 2;
    pub const TCB: u32 = 3;
    pub const VSPACE: u32 = 4;
    pub const CSPACE: u32 = 5;
    pub const PARTS: u32 = 6;
    pub const SHARED: u32 = 8;
    pub const FRAMES: u32 = 16;
}

const SPACE: Space = Space::DOMAIN;
/// Identifiers of address spaces.
pub const ASIDS: cap::AsidPool = cap::AsidPool::from_bits(domain::ASID_POOL);

/// What a process is like.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Pages of its own: the first is its stack, the second its IPC buffer.
    pub frames: u32,
    /// Pages that it shares with others.
    pub shared: u32,
    /// Whether its CSpace is made and goes with it, or stays for the next one.
    pub cspace: bool,
    /// Whether there is a node for the capabilities to all of it, made and going with it.
    pub parts: bool,
}

/// The objects that the system's smallest process consists of.
pub const SMALLEST: Shape = Shape {
    frames: 2,
    shared: 2,
    cspace: true,
    parts: true,
};

pub struct ByHand(());

impl ByHand {
    /// Makes what all of this needs.
    pub fn new(manager: &Manager) -> Answer<Self> {
        manager.create(&Create {
            payer: Payer::Myself,
            place: MEMORY,
            handle: 0,
            session: false,
            memory: 256,
            quota: 0,
            ics: 0,
            parts_radix: 5,
            cspace_radix: 5,
        })?;
        let region = manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages: WINDOW_PAGES,
            large: false,
            place: FRAMES,
        })?;
        manager.share(&Share {
            region,
            target: Subject::Myself,
            address: WINDOW,
            rights: Rights::RW,
        })?;
        let code = code();
        // SAFETY: the page was mapped just now, for nobody else.
        unsafe { (WINDOW as *mut u8).copy_from(code.as_ptr(), code.len()) };
        Ok(Self(()))
    }

    /// Makes the nodes, endpoints and arenas.
    pub fn prepare(&self) -> Outcome {
        let memory = SPACE
            .node(MEMORY)
            .cap::<cap_type::Untyped>(parts::FIRST_UNTYPED);
        let root = cap::CNode::from_bits(domain::ROOT).absolute_cptr_for_self();
        let node = ObjectBlueprint::CNode {
            size_bits: NODE_BITS as usize,
        };
        memory.untyped_retype(&node, &root, TOOLS as usize, 1 + LIVES as usize)?;
        let tools = tools();
        let make = |kind: &ObjectBlueprint, index: u32, count: u32| {
            memory.untyped_retype(kind, &tools.node(), index as usize, count as usize)
        };
        make(&ObjectBlueprint::Endpoint, tool::REPORTS, 2)?;
        make(&ObjectBlueprint::Tcb, tool::SERVER, 1)?;
        make(&cspace(), tool::SPACES, LIVES)?;
        let arena = ObjectBlueprint::Untyped {
            size_bits: ARENA_BITS,
        };
        make(&arena, tool::ARENAS, LIVES)?;
        memory.untyped_retype(&arena, &root, THREAD_ARENA as usize, 1)?;
        SPACE
            .slot(THREAD_REPORTS)
            .copy(&tools.slot(tool::REPORTS), CapRights::all())?;
        Ok(())
    }

    /// Starts a thread of this domain, which has an IPC buffer: the server of [`crate::server`], or whoever is to
    /// run a virtual processor. There is one.
    pub fn start_thread(&'static self, entry: ThreadEntry) -> Outcome {
        let buffer = WINDOW + u64::from(SERVER_BUFFER) * PAGE;
        let tcb = self.thread_tcb();
        tcb.tcb_configure_with_priority(
            CPtr::from_bits(0),
            PRIORITY,
            PRIORITY,
            cap::CNode::from_bits(domain::ROOT),
            domain_guard(),
            cap::VSpace::from_bits(domain::VSPACE),
            buffer,
            SPACE.node(FRAMES).cap(SERVER_BUFFER),
        )?;
        let mut context = UserContext::default();
        let registers = context.inner_mut();
        registers.rip = entry as *const () as u64;
        // As if it had been called.
        registers.rsp = buffer - 8;
        registers.rdi = core::ptr::from_ref(self) as u64;
        registers.rsi = buffer;
        tcb.tcb_write_all_registers(true, &mut context)?;
        Ok(())
    }

    /// Starts the process server of [`crate::server`], on the endpoint for reports: nobody else can
    /// receive there from now on.
    pub fn start_server(&'static self) -> Outcome {
        self.start_thread(server)
    }

    /// The thread of [`start_thread`](Self::start_thread).
    pub fn thread_tcb(&self) -> cap::Tcb {
        tools().cap(tool::SERVER)
    }

    /// The endpoint for reports.
    pub fn reports(&self) -> cap::Endpoint {
        tools().cap(tool::REPORTS)
    }

    /// The slot for a caller that waits.
    pub fn saved(&self) -> sel4::AbsoluteCPtr {
        tools().slot(tool::SAVED)
    }

    /// The caller in it.
    pub fn saved_cap(&self) -> cap::Endpoint {
        tools().cap(tool::SAVED)
    }

    /// Lets a process run, which sends one report with this label.
    pub fn let_report(&self, life: u32, label: u64) -> Outcome {
        let words = Words {
            rsi: word(MessageInfo::new(label, 0, 0, 1)),
            ..Words::report(1)
        };
        self.run(life, Entry::Report, words)
    }

    /// The endpoint on which a server made by hand answers.
    pub fn called(&self) -> cap::Endpoint {
        tools().cap(tool::CALLED)
    }

    /// Makes a process and lets it run, from `entry` on.
    fn start(&self, life: u32, shape: Shape, entry: Entry, words: Words) -> Outcome {
        self.make(life, shape, entry != Entry::Report)?;
        self.run(life, entry, words)
    }

    /// Makes a process, which may have somebody to call.
    pub fn make(&self, life: u32, shape: Shape, calls: bool) -> Outcome {
        let (arena, work) = (self.arena(life), self.work(life));
        let make = |kind: &ObjectBlueprint, index: u32, count: u32| {
            arena.untyped_retype(kind, &work.node(), index as usize, count as usize)
        };
        if shape.parts {
            make(&parts_node(), part::PARTS, 1)?;
        }
        if shape.cspace {
            make(&cspace(), part::CSPACE, 1)?;
        }
        make(&ObjectBlueprint::Tcb, part::TCB, 1)?;
        make(
            &ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT).into(),
            part::POINTERS,
            1,
        )?;
        make(
            &ObjectBlueprintX86::PageDirectory.into(),
            part::DIRECTORY,
            1,
        )?;
        make(&ObjectBlueprintX86::PageTable.into(), part::TABLE, 1)?;
        make(&ObjectBlueprintX86::_4k.into(), part::FRAMES, shape.frames)?;
        // Last, so that it goes first, and nothing has to be unmapped.
        make(
            &ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PML4).into(),
            part::VSPACE,
            1,
        )?;
        let vspace = work.cap::<cap_type::VSpace>(part::VSPACE);
        ASIDS.asid_pool_assign(vspace)?;
        let attributes = VmAttributes::DEFAULT;
        work.cap::<cap_type::PDPT>(part::POINTERS)
            .pdpt_map(vspace, CODE as usize, attributes)?;
        work.cap::<cap_type::PageDirectory>(part::DIRECTORY)
            .page_directory_map(vspace, CODE as usize, attributes)?;
        work.cap::<cap_type::PageTable>(part::TABLE)
            .page_table_map(vspace, CODE as usize, attributes)?;
        for index in 0..shape.shared {
            work.slot(part::SHARED + index)
                .copy(&SPACE.node(FRAMES).slot(index), CapRights::read_only())?;
            work.cap::<cap_type::Granule>(part::SHARED + index)
                .frame_map(
                    vspace,
                    (CODE + u64::from(index) * PAGE) as usize,
                    CapRights::read_only(),
                    attributes,
                )?;
        }
        for index in 0..shape.frames {
            work.cap::<cap_type::Granule>(part::FRAMES + index)
                .frame_map(
                    vspace,
                    address(index) as usize,
                    CapRights::read_write(),
                    attributes,
                )?;
        }
        let space = match shape.cspace {
            true => work.cap::<cap_type::CNode>(part::CSPACE),
            false => tools().cap(tool::SPACES + life),
        };
        let slot = |slot: u32| {
            space.absolute_cptr_from_bits_with_depth(slot.into(), CSPACE_RADIX as usize)
        };
        slot(REPORTS).mint(
            &tools().slot(tool::REPORTS),
            CapRights::all(),
            u64::from(life) + 1,
        )?;
        if calls {
            slot(CALLED).copy(&tools().slot(tool::CALLED), CapRights::all())?;
        }
        let tcb = work.cap::<cap_type::Tcb>(part::TCB);
        tcb.tcb_configure_with_priority(
            CPtr::from_bits(leaf(REPORTS)),
            PRIORITY,
            PRIORITY,
            space,
            CNodeCapData::skip((root_guard(CSPACE_RADIX) >> 2) as usize),
            vspace,
            address(1),
            work.cap(part::FRAMES + 1),
        )?;
        Ok(())
    }

    /// Lets a process run.
    fn run(&self, life: u32, entry: Entry, words: Words) -> Outcome {
        let mut context = UserContext::default();
        let registers = context.inner_mut();
        registers.rip = CODE + entry.offset() as u64;
        registers.rsp = address(0) + PAGE;
        words.put(registers);
        let tcb = SPACE.node(WORK + life).cap::<cap_type::Tcb>(part::TCB);
        tcb.tcb_write_all_registers(true, &mut context)?;
        Ok(())
    }

    /// The memory of a process.
    pub fn arena(&self, life: u32) -> cap::Untyped {
        tools().cap(tool::ARENAS + life)
    }

    /// What a process is made of.
    pub fn work(&self, life: u32) -> Parts {
        SPACE.node(WORK + life)
    }

    /// Gives back what was made of a process's memory.
    pub fn end_arena(&self, life: u32) -> Outcome {
        tools().slot(tool::ARENAS + life).revoke()?;
        Ok(())
    }

    /// Ends a process.
    pub fn end(&self, life: u32, shape: Shape) -> Outcome {
        self.end_arena(life)?;
        for index in 0..shape.shared {
            SPACE
                .node(WORK + life)
                .slot(part::SHARED + index)
                .delete()?;
        }
        if !shape.cspace {
            for slot in [REPORTS, CALLED] {
                tools()
                    .cap::<cap_type::CNode>(tool::SPACES + life)
                    .absolute_cptr_from_bits_with_depth(slot.into(), CSPACE_RADIX as usize)
                    .delete()?;
            }
        }
        Ok(())
    }

    /// Waits for a report: its first word.
    fn report(&self) -> u64 {
        self.reported()[0]
    }

    /// Waits for a report: its words.
    pub fn reported(&self) -> [u64; 4] {
        self.reports().recv_with_mrs(()).msg
    }

    /// A process from its creation to its end, of which it tells in one message.
    pub fn process(&self, shape: Shape) -> Outcome {
        self.start(0, shape, Entry::Report, Words::report(1))?;
        self.report();
        self.end(0, shape)
    }

    /// Ticks that `count` messages and replies of `tag` take between two processes.
    pub fn messages(&self, tag: MessageInfo, count: u64) -> Outcome<u64> {
        self.serve(1, tag)?;
        self.start(2, SMALLEST, Entry::CallAndReport, Words::calls(tag, count))?;
        let ticks = self.report();
        self.end(2, SMALLEST)?;
        self.end(1, SMALLEST)?;
        Ok(ticks)
    }

    /// Ticks that `count` messages take from this domain to a process that answers with `answer`.
    pub fn requests(&self, tag: MessageInfo, answer: MessageInfo, count: u64) -> Outcome<u64> {
        self.serve(1, answer)?;
        let _ = bench_loops::call(self.called(), tag, count);
        let ticks = bench_loops::call(self.called(), tag, count);
        self.end(1, SMALLEST)?;
        Ok(ticks)
    }

    /// Ticks that it takes on average to enter a context and to leave it: a process begins with given
    /// registers, and says one message.
    pub fn context(&self, count: u64) -> Outcome<u64> {
        self.make(1, SMALLEST, false)?;
        let average = Self::average(count, || {
            self.enter(1)?;
            self.report();
            Ok(())
        })?;
        self.end(1, SMALLEST)?;
        Ok(average)
    }

    /// Has a process begin at its report, in as few registers as that takes.
    fn enter(&self, life: u32) -> Outcome {
        let mut context = UserContext::default();
        let registers = context.inner_mut();
        registers.rip = CODE + Entry::Report.offset() as u64;
        registers.rsp = address(0) + PAGE;
        Words::report(1).put(registers);
        SPACE
            .node(WORK + life)
            .cap::<cap_type::Tcb>(part::TCB)
            .tcb_write_registers(true, UP_TO_R10, &mut context)?;
        Ok(())
    }

    /// Ticks that `count` messages and replies of `tag` take, from a process to this domain, which keeps each
    /// caller and answers it by the reply that it has kept: as a server does that does something else meanwhile.
    pub fn kept_messages(&self, tag: MessageInfo, count: u64) -> Outcome<u64> {
        self.start(2, SMALLEST, Entry::CallAndReport, Words::calls(tag, count))?;
        for _ in 0..count {
            self.called().recv_with_mrs(());
            self.saved().save_caller()?;
            self.saved_cap().send_with_mrs(tag, [0; 4]);
        }
        let ticks = self.report();
        self.end(2, SMALLEST)?;
        Ok(ticks)
    }

    fn serve(&self, life: u32, answer: MessageInfo) -> Outcome {
        let words = Words {
            rdi: leaf(CALLED),
            rsi: word(answer),
            ..Words::default()
        };
        self.start(life, SMALLEST, Entry::Serve, words)
    }

    /// A thread of this domain, from its creation to its end, of which it tells in one message.
    pub fn thread(&self, table: bool) -> Outcome {
        self.spawn(table, 0)?;
        SPACE
            .leaf::<cap_type::Endpoint>(THREAD_REPORTS)
            .recv_with_mrs(());
        self.end_thread()
    }

    /// Gives back what a thread was made of.
    pub fn end_thread(&self) -> Outcome {
        SPACE.slot(THREAD_ARENA).revoke()?;
        Ok(())
    }

    /// Makes a thread of this domain and lets it run; it reports with this label. With `table`, it has a
    /// page table of its own, as the system's have.
    pub fn spawn(&self, table: bool, label: u64) -> Outcome {
        let arena = SPACE.leaf::<cap_type::Untyped>(THREAD_ARENA);
        let reports = SPACE.leaf::<cap_type::Endpoint>(THREAD_REPORTS);
        let root = cap::CNode::from_bits(domain::ROOT).absolute_cptr_for_self();
        let make = |kind: &ObjectBlueprint, slot: u32, count: u32| {
            arena.untyped_retype(kind, &root, slot as usize, count as usize)
        };
        let vspace = cap::VSpace::from_bits(domain::VSPACE);
        let attributes = VmAttributes::DEFAULT;
        // The smallest object last: what is carved is zeroed, gaps for alignment included.
        make(&ObjectBlueprintX86::_4k.into(), THREAD_FRAMES, 2)?;
        let window = if table { 1 << 21 } else { 0 };
        if table {
            make(&ObjectBlueprintX86::PageTable.into(), THREAD_TABLE, 1)?;
            let at = (WINDOW + window) as usize;
            SPACE
                .leaf::<cap_type::PageTable>(THREAD_TABLE)
                .page_table_map(vspace, at, attributes)?;
        }
        make(&ObjectBlueprint::Tcb, THREAD_TCB, 1)?;
        for (index, at) in [(0, THREAD_STACK), (1, THREAD_BUFFER)] {
            SPACE
                .leaf::<cap_type::Granule>(THREAD_FRAMES + index)
                .frame_map(
                    vspace,
                    (at + window) as usize,
                    CapRights::read_write(),
                    attributes,
                )?;
        }
        let tcb = SPACE.leaf::<cap_type::Tcb>(THREAD_TCB);
        tcb.tcb_configure_with_priority(
            // It tells of its end where its faults would go.
            CPtr::from_bits(reports.bits()),
            PRIORITY,
            PRIORITY,
            cap::CNode::from_bits(domain::ROOT),
            domain_guard(),
            vspace,
            THREAD_BUFFER + window,
            SPACE.leaf(THREAD_FRAMES + 1),
        )?;
        let mut context = UserContext::default();
        let registers = context.inner_mut();
        registers.rip = Entry::Report.address() as u64;
        registers.rsp = THREAD_BUFFER + window;
        Words {
            rdi: reports.bits(),
            rsi: word(MessageInfo::new(label, 0, 0, 1)),
            ..Words::report(1)
        }
        .put(registers);
        tcb.tcb_write_registers(true, UP_TO_R10, &mut context)?;
        Ok(())
    }

    /// Ticks that the capabilities of a session take: a badged endpoint, and a copy of it for the client.
    pub fn session(&self) -> Outcome<u64> {
        let (badged, copy) = (SPACE.slot(THREAD_TCB), SPACE.slot(THREAD_TABLE));
        let start = ticks();
        badged.mint(&tools().slot(tool::CALLED), CapRights::all(), 7)?;
        copy.copy(&badged, CapRights::all())?;
        let took = ticks() - start;
        copy.delete()?;
        badged.delete()?;
        Ok(took)
    }

    /// Ticks that one `make` takes on average, after some that nobody counts.
    pub fn average(count: u64, mut make: impl FnMut() -> Outcome) -> Outcome<u64> {
        for _ in 0..count.div_ceil(4) {
            make()?;
        }
        let start = ticks();
        for _ in 0..count {
            make()?;
        }
        Ok((ticks() - start) / count)
    }
}

/// The registers that a process finds.
#[derive(Clone, Copy, Default)]
struct Words {
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    r8: u64,
    r10: u64,
}

impl Words {
    /// For [`Entry::Report`].
    fn report(value: u64) -> Self {
        Self {
            rdi: leaf(REPORTS),
            rsi: word(MessageInfo::new(0, 0, 0, 1)),
            r10: value,
            ..Self::default()
        }
    }

    /// For [`Entry::CallAndReport`].
    fn calls(tag: MessageInfo, count: u64) -> Self {
        Self {
            rdi: leaf(CALLED),
            rsi: word(tag),
            rdx: count,
            rcx: leaf(REPORTS),
            r8: word(MessageInfo::new(0, 0, 0, 1)),
            r10: 0,
        }
    }

    fn put(self, registers: &mut sel4::sys::seL4_UserContext) {
        registers.rdi = self.rdi;
        registers.rsi = self.rsi;
        registers.rdx = self.rdx;
        registers.rcx = self.rcx;
        registers.r8 = self.r8;
        registers.r10 = self.r10;
    }
}

/// Where a thread begins: with this module's state, and its IPC buffer.
pub type ThreadEntry = extern "C" fn(&'static ByHand, &'static mut sel4::IpcBuffer) -> !;

/// Where the server begins.
extern "C" fn server(by_hand: &'static ByHand, buffer: &'static mut sel4::IpcBuffer) -> ! {
    match crate::server::serve(by_hand, buffer) {
        Ok(()) => crate::host::fail(format_args!("the server made by hand ended")),
        Err(failure) => crate::host::fail(format_args!("{}", failure.reason())),
    }
}

fn domain_guard() -> CNodeCapData {
    CNodeCapData::skip((root_guard(DOMAIN_ROOT_RADIX) >> 2) as usize)
}

fn tools() -> Parts {
    SPACE.node(TOOLS)
}

fn parts_node() -> ObjectBlueprint {
    ObjectBlueprint::CNode {
        size_bits: PARTS_RADIX as usize,
    }
}

fn cspace() -> ObjectBlueprint {
    ObjectBlueprint::CNode {
        size_bits: CSPACE_RADIX as usize,
    }
}

/// Where a process has its page `index`.
const fn address(index: u32) -> u64 {
    OWN + index as u64 * PAGE
}
