// SPDX-License-Identifier: BSD-2-Clause
//! What a probe does, in an IC of the factory under test.
//!
//! Each task ends with a code that says what came of it: 0 when it was as it should be. Most are meant
//! to end by a fault, and the code that they return says that they did not.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use sel4::{MessageInfo, cap};
use xos::protocol::factory::SelfOp;
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::{
    Connect, Consent, ObjectKind, Op, Open, PAGE, Payer, RegionCreate, Rights, Share,
};
use xos::protocol::slots::{NODE_BITS, ic, leaf};
use xos::protocol::{Error, IcId, Name, Subject};

use crate::lab::word;

/// A task's number.
pub type What = u64;

/// What a probe does, with two numbers.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub what: What,
    pub a: u64,
    pub b: u64,
}

macro_rules! tasks {
    ($($number:literal $name:ident = $function:ident;)*) => {
        $(pub const $name: What = $number;)*

        impl Task {
            /// Does it: the exit code.
            pub fn perform(self) -> i32 {
                match self.what {
                    $($number => $function(self.a, self.b),)*
                    _ => NO_SUCH_TASK,
                }
            }
        }
    };
}

tasks! {
    0 RETURN = give;
    1 READ = read;
    2 WRITE = write;
    3 EXECUTE = execute;
    4 FAULT = fault;
    5 SPIN = spin;
    6 SECRET = secret;
    7 SCRIBBLE = scribble;
    8 SCAN = scan;
    9 INVOKE_ALL = invoke_all;
    10 OCCUPIED = occupied_slots;
    11 RECEIVE = receive;
    12 SYSCALL = syscall;
    13 NAMES = names;
    14 STRANGER = stranger;
    16 SPEND = spend;
    17 FORGE_FAULT = forge_fault;
    18 FUZZ_MANAGER = fuzz_manager;
    19 FUZZ_FACTORY = fuzz_factory;
    20 REACH_OUT = reach_out;
    21 SIGNAL = signal;
    22 WRITE_AND_FAULT = write_and_fault;
    23 WHO = who;
    24 PREPARE_AND_STAND = prepare_and_stand;
    25 STAY = stay;
    26 LOAD_SEGMENTS = load_segments;
    27 FIND_SEGMENTS = find_segments;
}

impl Task {
    pub const NOTHING: Self = Self {
        what: RETURN,
        a: 0,
        b: 0,
    };
}

/// The code of a task that is none.
const NO_SUCH_TASK: i32 = -1;
/// The code of a probe that did what it should not have been able to.
pub const SURVIVED: i32 = 0x5afe;

fn give(code: u64, _: u64) -> i32 {
    code as i32
}

fn read(address: u64, _: u64) -> i32 {
    // SAFETY: a load that the contract says is impossible; its value is not used.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _, options(nostack, readonly)) };
    SURVIVED
}

fn write(address: u64, _: u64) -> i32 {
    // SAFETY: a store that the contract says is impossible. If it is possible, this program is broken, as
    // is the factory.
    unsafe { asm!("mov byte ptr [{}], 0x90", in(reg) address, options(nostack)) };
    SURVIVED
}

fn execute(address: u64, _: u64) -> i32 {
    // SAFETY: as for `write`.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
    SURVIVED
}

/// A way to fault, and whether this is how it is to be reported.
pub type Fault = (&'static str, fn(FaultKind) -> bool);

/// All of them, by their numbers.
pub const FAULTS: &[Fault] = &[
    ("reading null", |kind| kind == FaultKind::Read(0)),
    ("writing null", |kind| kind == FaultKind::Write(0)),
    ("executing null", |kind| kind == FaultKind::Execute(0)),
    ("writing code", |kind| matches!(kind, FaultKind::Write(_))),
    ("overrunning the stack", |kind| {
        matches!(kind, FaultKind::Write(_))
    }),
    ("an invalid instruction", |kind| {
        kind == FaultKind::Exception(6)
    }),
    ("dividing by zero", |kind| kind == FaultKind::Exception(0)),
    ("halting", |kind| kind == FaultKind::Exception(13)),
    ("switching off interrupts", |kind| {
        kind == FaultKind::Exception(13)
    }),
    ("an input instruction", |kind| {
        kind == FaultKind::Exception(13)
    }),
    ("an output instruction", |kind| {
        kind == FaultKind::Exception(13)
    }),
    ("reading a control register", |kind| {
        kind == FaultKind::Exception(13)
    }),
    ("writing a model-specific register", |kind| {
        kind == FaultKind::Exception(13)
    }),
    ("a non-canonical address", |kind| {
        kind == FaultKind::Exception(13)
    }),
    ("a breakpoint", |kind| kind == FaultKind::Exception(3)),
    ("a floating-point exception", |kind| {
        kind == FaultKind::Exception(16)
    }),
    ("receiving through nothing", |kind| {
        matches!(kind, FaultKind::Capability(_))
    }),
    ("a kernel call that does not exist", |kind| {
        kind == FaultKind::Syscall(1234)
    }),
    ("a panic", |kind| kind == FaultKind::Panic),
];

/// The number of the one that is none where an IC's code is its own.
pub const WRITING_CODE: u64 = 3;

fn fault(number: u64, _: u64) -> i32 {
    // SAFETY: each of these ends the IC, which is the point.
    unsafe {
        match number {
            0 => asm!("mov rax, [0]", out("rax") _),
            1 => asm!("mov qword ptr [0], 1"),
            2 => asm!("xor eax, eax", "call rax", out("rax") _),
            3 => asm!("2: mov byte ptr [rip + 2b], 0x90"),
            4 => asm!("2: push 0", "jmp 2b"),
            5 => asm!("ud2"),
            6 => asm!("xor ecx, ecx", "div ecx", out("rax") _, out("rcx") _, out("rdx") _),
            7 => asm!("hlt"),
            8 => asm!("cli"),
            9 => asm!("in al, 0x60", out("al") _),
            10 => asm!("out 0x80, al", in("al") 0_u8),
            11 => asm!("mov {}, cr3", out(reg) _),
            12 => asm!("wrmsr", in("ecx") 0x174, in("eax") 0, in("edx") 0),
            13 => asm!("mov rax, [rax]", inout("rax") 0x8000_0000_0000_u64 => _),
            14 => asm!("int3"),
            15 => {
                // All exceptions trap.
                let control = 0x340_u16;
                asm!("fninit", "fldcw [{}]", "fld1", "fldz", "fdivp", "fwait", in(reg) &control);
            }
            16 => {
                cap::Endpoint::from_bits(1 << 63).recv(());
            }
            17 => kernel_call(1234),
            18 => panic!("a probe was asked to panic"),
            _ => {}
        }
    }
    SURVIVED
}

/// A system call with a number of one's own.
fn kernel_call(number: i64) {
    // SAFETY: the kernel clobbers no more than these, and one that does not exist does nothing else.
    unsafe {
        asm!(
            "mov rcx, rsp",
            "lea rdx, [rip + 2f]",
            "2: sysenter",
            inout("rax") number => _,
            inout("rdi") 0_u64 => _,
            inout("rsi") 0_u64 => _,
            out("rcx") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r15") _,
        );
    }
}

fn syscall(number: u64, linux: u64) -> i32 {
    if linux != 0 {
        // SAFETY: a Linux system call clobbers no more than these.
        unsafe { asm!("syscall", inout("rax") number => _, out("rcx") _, out("r11") _) };
    } else {
        kernel_call(number as i64);
    }
    SURVIVED
}

/// Loads all segment registers that it may, with one selector after another, and leaves the processor each time.
/// Counts in word 0. Its thread pointer is gone by that: it has to be ended.
fn load_segments(page: u64, _: u64) -> i32 {
    // SAFETY: nothing but these instructions is executed from here on; the kernel gives no more than these
    // registers other values.
    unsafe {
        asm!(
            "2:",
            // Four null selectors, and that of the stack.
            "mov r13d, ss",
            "cmp r12d, 4",
            "cmovb r13d, r12d",
            "mov ds, r13d",
            "mov es, r13d",
            "mov fs, r13d",
            "mov gs, r13d",
            "inc qword ptr [r14]",
            "inc r12d",
            "cmp r12d, 5",
            "jb 3f",
            "xor r12d, r12d",
            "3:",
            "mov rax, {leave}",
            "mov rcx, rsp",
            "lea rdx, [rip + 4f]",
            "4: sysenter",
            "jmp 2b",
            leave = const sel4::sys::syscall_id::Yield,
            in("r14") page,
            in("r12") 0,
            options(noreturn),
        );
    }
}

/// Looks at its segment registers and its thread pointer until somebody sets word 1. Counts in word 0, and has
/// in word 2 all bits that it ever found in a selector.
fn find_segments(page: u64, _: u64) -> i32 {
    let [count, stop, found] = [0, 1, 2].map(|index| word(page, index));
    while stop.load(SeqCst) == 0 {
        let (ds, es, fs, gs): (u64, u64, u64, u64);
        // SAFETY: reads registers, and a word of this thread's own block, which is where FS says.
        unsafe {
            asm!(
                "mov {}, ds", "mov {}, es", "mov {}, fs", "mov {}, gs",
                "mov {}, fs:[0]",
                out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, out(reg) _,
                options(nostack, readonly),
            );
        }
        found.fetch_or((ds | es | fs | gs) & 0xffff, SeqCst);
        count.fetch_add(1, SeqCst);
        xos::thread::yield_now();
    }
    0
}

/// Turns after which a spinning probe gives up: somebody should have stopped it.
const ENOUGH: u64 = 400_000_000;

/// Counts in word 0 until somebody sets word 1.
fn spin(page: u64, _: u64) -> i32 {
    let (count, stop) = (word(page, 0), word(page, 1));
    for turn in 1..ENOUGH {
        count.store(turn, SeqCst);
        if stop.load(SeqCst) != 0 {
            return 0;
        }
    }
    SURVIVED
}

/// The same, leaving the processor to everybody else.
fn stay(page: u64, _: u64) -> i32 {
    let (count, stop) = (word(page, 0), word(page, 1));
    while stop.load(SeqCst) == 0 {
        count.fetch_add(1, SeqCst);
        xos::thread::yield_now();
    }
    0
}

/// A word of the program's own: what is in it says whose it is.
pub static SECRET_WORD: AtomicU64 = AtomicU64::new(INITIAL);
/// What is in it at first.
pub const INITIAL: u64 = 0x1111;

/// Writes `mine` into the secret word, says in word 0 what was there, and waits for word 1. Its code says
/// whether the word was changed meanwhile.
fn secret(page: u64, mine: u64) -> i32 {
    let found = SECRET_WORD.swap(mine, SeqCst);
    word(page, 0).store(found, SeqCst);
    while word(page, 1).load(SeqCst) == 0 {
        xos::thread::yield_now();
    }
    match SECRET_WORD.load(SeqCst) {
        now if now == mine => 0,
        _ => 1,
    }
}

/// Memory that is not part of the image: supplied when it is touched.
const SCRATCH: usize = 32 * 1024 / 8;
static SCRATCH_WORDS: [AtomicU64; SCRATCH] = [const { AtomicU64::new(0) }; SCRATCH];
/// Words of the stack that are looked at below the frames in use.
const STACK_WORDS: usize = 4096;
/// A value that nobody else has.
const TRACE: u64 = 0x5ec2_e7da_7a5e_c2e7;

/// Leaves traces in all memory that is its own alone.
fn scribble(within: u64, _: u64) -> i32 {
    let mut stack = [TRACE; STACK_WORDS];
    core::hint::black_box(&mut stack);
    if within == 0 {
        for word in &SCRATCH_WORDS {
            word.store(TRACE, SeqCst);
        }
    }
    0
}

/// Looks for traces: how many there are.
fn scan(within: u64, _: u64) -> i32 {
    let stack = core::mem::MaybeUninit::<[u64; STACK_WORDS]>::uninit();
    let first = core::hint::black_box(stack.as_ptr()).cast::<u64>();
    let mut found = 0;
    for index in 0..STACK_WORDS {
        // SAFETY: the stack is so large, and memory that nobody has written to can be read: that it has a
        // value is what this is about.
        let value = unsafe { first.add(index).read_volatile() };
        found += i32::from(value == TRACE);
    }
    if within == 0 {
        for word in &SCRATCH_WORDS {
            found += i32::from(word.load(SeqCst) == TRACE);
        }
    }
    found
}

/// What an IC that was cloned is told by word 0 of the page that it shares with who started it. It sets the
/// word to 0 when it has done so.
pub mod clone {
    /// To say what it finds in its memory: words 1 to 4.
    pub const LOOK: u64 = 1;
    /// To fill its memory with word 5.
    pub const FILL: u64 = 2;
    /// To end.
    pub const END: u64 = 3;
}

/// Words of [`SCRATCH_WORDS`] that are looked at: one of each page.
const PAGE_WORDS: usize = PAGE as usize / 8;

/// Fills memory of several kinds with a word: part of the image, supplied when it is touched, stack.
fn fill(stack: &AtomicU64, mine: u64) {
    SECRET_WORD.store(mine, SeqCst);
    stack.store(mine, SeqCst);
    for word in SCRATCH_WORDS.iter().step_by(PAGE_WORDS) {
        word.store(mine, SeqCst);
    }
}

/// Fills its memory, gets a capability, and stands. A clone does then what it is told.
fn prepare_and_stand(page: u64, mine: u64) -> i32 {
    let stack = AtomicU64::new(0);
    fill(&stack, mine);
    // Others may run at any time: here they do.
    (0..10).for_each(|_| xos::thread::yield_now());
    if xos::timer::now().is_err() || xos::stand().is_err() {
        return 1;
    }
    loop {
        match word(page, 0).load(SeqCst) {
            0 => {
                xos::thread::yield_now();
                continue;
            }
            clone::LOOK => {
                let first = SCRATCH_WORDS[0].load(SeqCst);
                let mut pages = SCRATCH_WORDS.iter().step_by(PAGE_WORDS);
                let same = pages.all(|word| word.load(SeqCst) == first);
                // Below these are what every IC has; the last slots hold nothing in any.
                let slots = ic::FIRST_CHANNEL..1 << xos::protocol::start::DEFAULT_CSPACE_RADIX;
                let held = slots.filter(|slot| occupied(leaf(*slot))).count();
                for (index, found) in [
                    (1, SECRET_WORD.load(SeqCst)),
                    (2, stack.load(SeqCst)),
                    (3, if same { first } else { u64::MAX }),
                    (4, held as u64),
                ] {
                    word(page, index).store(found, SeqCst);
                }
            }
            clone::FILL => fill(&stack, word(page, 5).load(SeqCst)),
            _ => return 0,
        }
        word(page, 0).store(0, SeqCst);
    }
}

/// A label that nobody gives a meaning to.
const MEANINGLESS: u64 = 0xffe;
/// Labels of the kernel's own invocations are below this.
const KERNEL_LABELS: u64 = 0x80;

/// Invokes what is at a CPtr: label and length of the answer.
pub fn invoke(cptr: u64, label: u64, words: [u64; 4], length: usize) -> (u64, usize) {
    let answer =
        cap::Endpoint::from_bits(cptr).call_with_mrs(MessageInfo::new(label, 0, 0, length), words);
    (answer.info.label(), answer.info.length())
}

/// Whether there is a capability at a CPtr. The kernel says of an empty slot which one it means, and no
/// server answers an error with words.
pub fn occupied(cptr: u64) -> bool {
    let (label, length) = invoke(cptr, MEANINGLESS, [0; 4], 0);
    !(label == 2 && length != 0)
}

/// Invokes every CPtr that can be formed with every label that the kernel knows, and some arguments. In
/// the code: the first CPtr and label that succeeded. `radix` is that of the CSpace.
fn invoke_all(radix: u64, _: u64) -> i32 {
    let own = sel4::with_ipc_buffer(|buffer| core::ptr::from_ref(buffer) as u64);
    for cptr in 0..1_u64 << (radix as u32 + NODE_BITS) {
        let slot = (cptr >> NODE_BITS) as u32;
        for label in 0..KERNEL_LABELS {
            if slot == ic::ITSELF && label < FAULT_LABELS {
                // These would be faults of its own.
                continue;
            }
            for words in [[0; 4], [own, 1, 0x1000, 3]] {
                if invoke(cptr, label, words, 4).0 == 0 {
                    return (cptr << 8 | label) as i32;
                }
            }
        }
    }
    // Beyond its CSpace: bits of the guard.
    for bit in radix as u32 + NODE_BITS..64 {
        for slot in [0, ic::ITSELF, ic::MANAGER] {
            if invoke(1 << bit | leaf(slot), Op::Ping.label(), [0; 4], 0).0 == 0 {
                return SURVIVED;
            }
        }
    }
    0
}

/// Labels that a factory takes for faults.
pub const FAULT_LABELS: u64 = 0x20;

/// A digest of which CPtrs have something: the same for the same CSpace.
pub fn digest_of_slots(radix: u64) -> i32 {
    let mut digest = 17_i32;
    for slot in 0..1_u32 << radix {
        for part in [0, 1, 2, 3, 128] {
            let bit = occupied(leaf(slot) + part);
            digest = digest.wrapping_mul(31).wrapping_add(bit.into());
        }
    }
    digest
}

/// Which root slots have something, as bits, in word 0; a digest of all in word 2. Waits for word 1.
fn occupied_slots(page: u64, radix: u64) -> i32 {
    let mut bits = 0;
    for slot in 0..64.min(1_u32 << radix) {
        bits |= u64::from(occupied(leaf(slot))) << slot;
    }
    word(page, 2).store(digest_of_slots(radix) as u32 as u64, SeqCst);
    word(page, 0).store(bits | 1 << 63, SeqCst);
    while word(page, 1).load(SeqCst) == 0 {
        xos::thread::yield_now();
    }
    0
}

fn receive(cptr: u64, _: u64) -> i32 {
    cap::Endpoint::from_bits(cptr).recv(());
    SURVIVED
}

/// How many ICs it sees beside itself, in word 0 (plus 1); a digest of their ids in word 2.
fn names(page: u64, _: u64) -> i32 {
    let Ok((others, digest)) = seen() else {
        return 1;
    };
    word(page, 2).store(digest, SeqCst);
    word(page, 0).store(others + 1, SeqCst);
    0
}

/// What this program sees of others: how many they are and a digest of their ids.
pub fn seen() -> xos::Result<(u64, u64)> {
    let own = xos::id()?;
    let (mut others, mut digest) = (0, 0_u64);
    xos::manager().each_ic(|ic| {
        others += u64::from(ic.id != own);
        digest = digest.wrapping_mul(31).wrapping_add(ic.id.word());
    })?;
    Ok((others, digest))
}

/// Tries everything that can be done to an IC by its id, which is another's. In the code: what worked.
fn stranger(id: u64, _: u64) -> i32 {
    let (manager, id) = (xos::manager(), IcId::from_word(id));
    let subject = Subject::Ic(id);
    let refused = [
        manager.stat(subject).map(drop),
        manager.budget(subject).map(drop),
        manager.suspend(id),
        manager.resume(id),
        manager.annotate(id, Name::new("mine")),
        manager.ended(id),
        manager.watch(subject, 20),
        manager.destroy(id).map(drop),
        manager.free().map(drop),
    ];
    let worked = refused.iter().position(|outcome| outcome.is_ok());
    worked.map_or(0, |position| position as i32 + 1)
}

/// Tries to get at an IC that has consented to nothing: to put an endpoint into it, to map memory into
/// it. In the code: what worked.
fn reach_out(id: u64, _: u64) -> i32 {
    let (manager, id) = (xos::manager(), IcId::from_word(id));
    let target = Subject::Ic(id);
    if manager.make(ObjectKind::Endpoint, 20).is_err() {
        return 1;
    }
    let connect = Connect {
        source: 20,
        slot: 21,
        target,
    };
    if manager.connect(&connect).is_ok() {
        return 2;
    }
    let region = manager.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 1,
        large: false,
        place: 0,
    });
    let Ok(region) = region else {
        return 3;
    };
    for session in 0..64 {
        for target in [target, Subject::Client(session)] {
            let share = Share {
                region,
                target,
                address: 0x4800_0000_0000,
                rights: Rights::RW,
            };
            if manager.share(&share).is_ok() {
                return 4;
            }
        }
    }
    0
}

/// Writes the secret word, and dies.
fn write_and_fault(value: u64, _: u64) -> i32 {
    SECRET_WORD.store(value, SeqCst);
    fault(0, 0)
}

/// Makes regions until it is refused: their pages in word 0, why in word 2. Waits for word 1.
fn spend(page: u64, pages: u64) -> i32 {
    let mut made = 0;
    let why = loop {
        let region = xos::manager().region_create(&RegionCreate {
            payer: Payer::Myself,
            pages: pages as u32,
            large: false,
            place: 0,
        });
        match region {
            Ok(_) => made += pages,
            Err(why) => break why,
        }
    };
    word(page, 2).store(why.label(), SeqCst);
    word(page, 0).store(made + 1, SeqCst);
    while word(page, 1).load(SeqCst) == 0 {
        xos::thread::yield_now();
    }
    0
}

/// Says to its factory, through `cptr`, that it made a fault.
fn forge_fault(cptr: u64, label: u64) -> i32 {
    invoke(cptr, label, [0x20_0000, 0x1234, 1, 7], 4);
    SURVIVED
}

/// Numbers that look random and are always the same.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A word as a message may have it: often small, often at a border.
    pub fn word(&mut self) -> u64 {
        let noise = self.next();
        match noise % 8 {
            0 => 0,
            1 => u64::MAX,
            2 => noise >> 60,
            3 => noise >> 52,
            4 => 1 << (noise >> 58),
            5 => noise >> 32 & !0xfff,
            _ => noise,
        }
    }

    /// Sends `count` messages whose labels `label` chooses.
    pub fn send(&mut self, to: cap::Endpoint, count: u32, label: impl Fn(u64) -> u64) {
        for _ in 0..count {
            let length = (self.next() % 121) as usize;
            sel4::with_ipc_buffer_mut(|buffer| {
                for word in &mut buffer.msg_regs_mut()[..length] {
                    *word = self.word();
                }
            });
            let label = label(self.next());
            let words = [self.word(), self.word(), self.word(), self.word()];
            to.call_with_mrs(MessageInfo::new(label, 0, 0, length), words);
        }
    }
}

fn fuzz_manager(seed: u64, count: u64) -> i32 {
    let manager = cap::Endpoint::from_bits(leaf(ic::MANAGER));
    // All operations, and around them.
    Noise(seed).send(manager, count as u32, |noise| 0xf8 + noise % 0x30);
    0
}

fn fuzz_factory(seed: u64, count: u64) -> i32 {
    let factory = cap::Endpoint::from_bits(leaf(ic::ITSELF));
    Noise(seed).send(factory, count as u32, |noise| {
        match FAULT_LABELS + noise % 0x3e0 {
            // It lives on, and does not stand.
            label
                if [SelfOp::Exit, SelfOp::Stand]
                    .iter()
                    .any(|op| op.label() == label) =>
            {
                SelfOp::Arguments.label()
            }
            label => label,
        }
    });
    0
}

/// Signals through its first channel.
fn signal(_: u64, _: u64) -> i32 {
    cap::Notification::from_bits(leaf(ic::FIRST_CHANNEL)).signal();
    0
}

/// Who the manager says that it is: in words 0 and 2 the id of the IC and that of who serves a name.
fn who(page: u64, _: u64) -> i32 {
    let Ok(id) = xos::id() else {
        return 1;
    };
    // An open with no place for the capability is refused, and leaves nothing.
    let open = Open {
        name: Name::new("nothing of this name"),
        slot: 30,
        consent: Consent::default(),
    };
    if xos::manager().open(&open) != Err(Error::NotFound) {
        return 2;
    }
    word(page, 2).store(PAGE, SeqCst);
    word(page, 0).store(id.word(), SeqCst);
    0
}
