// SPDX-License-Identifier: BSD-2-Clause
//! The image of a virtine that does what its caller tells it ([`Deed`]).
//!
//! It begins by noting the state of the processor, before any code of the compiler's has changed it: hence an
//! entry of its own.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::arch::{asm, global_asm};
use core::ptr::{read_volatile as read, write_volatile as write};

use test_virtines::Deed;
use xos_protocol::manager::PAGE;
use xos_protocol::virtine::{BUFFER, HEAP, Hypercall, PLAN, Plan, STACK_END, STACK_PAGES};
use xos_virtine::{Heap, hypercall};

#[global_allocator]
static ALLOCATOR: Heap = Heap::new();

/// Pages of heap in which traces are left.
const TRACED: u64 = 300;
/// What traces look like.
const PATTERN: u64 = 0x5ec2_e75e_c2e7_5ec2;

/// What the image has at the beginning, what it prepares, and what is zero.
const GIVEN: u64 = 0x1234_5678_9abc_def0;
const MADE: u64 = 0x0fed_cba9_8765_4321;
static mut INITIAL: [u64; 1024] = [GIVEN; 1024];
static mut PREPARED: [u64; 64] = [0; 64];
static mut ZERO: [u64; 2048] = [0; 2048];
static mut COUNTER: u64 = 0;

/// The registers as the call found them.
#[repr(C, align(64))]
struct Found {
    /// In the order RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15.
    general: [u64; 16],
    flags: u64,
    /// DS, ES, FS, GS.
    segments: [u64; 4],
    _rest: [u64; 3],
    /// As FXSAVE writes it.
    floating: [u32; 128],
}

#[unsafe(no_mangle)]
static mut FOUND: Found = Found {
    general: [0; 16],
    flags: 0,
    segments: [0; 4],
    _rest: [0; 3],
    floating: [0; 128],
};

global_asm!(
    "begin:",
    "mov [rip + FOUND], rax",
    "mov [rip + FOUND + 8], rbx",
    "mov [rip + FOUND + 16], rcx",
    "mov [rip + FOUND + 24], rdx",
    "mov [rip + FOUND + 32], rsi",
    "mov [rip + FOUND + 40], rdi",
    "mov [rip + FOUND + 48], rbp",
    "mov [rip + FOUND + 56], rsp",
    "mov [rip + FOUND + 64], r8",
    "mov [rip + FOUND + 72], r9",
    "mov [rip + FOUND + 80], r10",
    "mov [rip + FOUND + 88], r11",
    "mov [rip + FOUND + 96], r12",
    "mov [rip + FOUND + 104], r13",
    "mov [rip + FOUND + 112], r14",
    "mov [rip + FOUND + 120], r15",
    "mov esp, {stack}",
    "pushfq",
    "pop [rip + FOUND + 128]",
    "mov eax, ds",
    "mov [rip + FOUND + 136], rax",
    "mov eax, es",
    "mov [rip + FOUND + 144], rax",
    "mov eax, fs",
    "mov [rip + FOUND + 152], rax",
    "mov eax, gs",
    "mov [rip + FOUND + 160], rax",
    "fxsave64 [rip + FOUND + 192]",
    // A compiler expects this; and the argument is where it is, whatever the registers say.
    "cld",
    "mov edi, {argument}",
    "mov rsi, [{length}]",
    "call {called}",
    "ud2",
    stack = const STACK_END,
    argument = const PLAN + core::mem::offset_of!(Plan, argument) as u64,
    length = const PLAN + core::mem::offset_of!(Plan, length) as u64,
    called = sym called,
);

unsafe extern "C" {
    fn begin() -> !;
}

unsafe extern "C" fn prepare() -> ! {
    // SAFETY: the entry of this image, and what a call begins with.
    unsafe { xos_virtine::_private::prepare(make, begin) }
}

xos_virtine::_private::entrypoint!(prepare);

unsafe extern "C" fn called(argument: *const u8, length: usize) -> ! {
    // SAFETY: as `begin` has them from the plan.
    unsafe { xos_virtine::_private::call(argument, length, deed) }
}

/// What happens before the first call.
fn make() {
    // SAFETY: nothing else runs.
    unsafe {
        PREPARED = [MADE; 64];
        COUNTER = 41;
    }
    // A block of heap, too, that stays.
    core::mem::forget(alloc::vec![MADE; 64]);
}

fn word(bytes: &[u8], i: usize) -> u64 {
    let bytes = bytes.get(8 * i..8 * i + 8).and_then(|b| b.try_into().ok());
    bytes.map(u64::from_le_bytes).unwrap_or_default()
}

fn deed(argument: &[u8]) -> Vec<u8> {
    let (first, rest) = argument.split_first().unwrap_or((&255, &[]));
    let byte = rest.first().copied().unwrap_or_default();
    match Deed::from_byte(*first) {
        Some(Deed::Reverse) => rest.iter().rev().copied().collect(),
        Some(Deed::Give) => (0..word(rest, 0)).map(|i| i as u8).collect(),
        Some(Deed::Count) => {
            // SAFETY: one execution.
            let count = unsafe {
                COUNTER += 1;
                COUNTER
            };
            count.to_le_bytes().into()
        }
        Some(Deed::Fault) => fault(byte),
        Some(Deed::Spin) => spin(),
        Some(Deed::Bomb) => {
            touch_heap(u64::MAX / PAGE);
            Vec::new()
        }
        Some(Deed::Heap) => {
            touch_heap(word(rest, 0));
            b"touched".into()
        }
        Some(Deed::Ask) => hypercall(byte, &rest[1..]),
        Some(Deed::AskForEver) => loop {
            hypercall(byte, b"again");
        },
        Some(Deed::SystemCall) => system_call([0, 1, 2, 3].map(|i| word(rest, i))),
        Some(Deed::Read) => {
            // SAFETY: none, and that is the point.
            let found = unsafe { read(word(rest, 0) as *const u8) };
            alloc::vec![found]
        }
        Some(Deed::Write) => {
            // SAFETY: none, and that is the point.
            unsafe { write(word(rest, 0) as *mut u8, 1) };
            b"written".into()
        }
        Some(Deed::Execute) => {
            // SAFETY: none, and that is the point.
            let code: extern "C" fn() = unsafe { core::mem::transmute(word(rest, 0)) };
            code();
            b"executed".into()
        }
        Some(Deed::Leave) => leave(byte),
        Some(Deed::Look) => look(argument.len()),
        Some(Deed::Recurse) => recurse(word(rest, 0)).to_le_bytes().into(),
        Some(Deed::Code) | None => b"no such deed".into(),
    }
}

fn spin() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Touches pages behind what the heap has given out so far.
fn touch_heap(pages: u64) {
    for page in 0..pages {
        // SAFETY: memory that the heap does not reach; if there is none, the virtine ends here.
        unsafe { write((HEAP + (16 + page) * PAGE) as *mut u64, PATTERN) };
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let mut frame = [depth; 256];
    core::hint::black_box(&mut frame);
    match depth {
        0 => 0,
        _ => recurse(depth - 1) + frame[7],
    }
}

fn fault(kind: u8) -> ! {
    // SAFETY: none: each ends the call.
    unsafe {
        match kind {
            0 => {
                asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("edx") _, out("ecx") _)
            }
            1 => asm!("int3"),
            2 => asm!("ud2"),
            3 => asm!("hlt"),
            4 => asm!("mov rax, 0x8000000000000000", "mov al, [rax]", out("rax") _),
            5 => asm!("syscall", out("rcx") _, out("r11") _),
            6 => asm!("in al, 0x60", out("al") _),
            7 => panic!("as told"),
            8 => asm!("int 0x80"),
            9 => asm!("mov rax, cr3", out("rax") _),
            10 => asm!("rdmsr", in("ecx") 0x10, out("eax") _, out("edx") _),
            // What a panic's report looks like, with an address that is nobody's.
            11 => {
                asm!("ud2", in("rax") 0x786f_735f_7061_6e63u64, in("rdi") u64::MAX, in("rsi") u64::MAX)
            }
            // A jump to an address that cannot be.
            _ => asm!("mov rax, 0x7fffffffffff", "jmp rax", out("rax") _),
        }
    }
    spin()
}

fn system_call([number, cptr, tag, word]: [u64; 4]) -> Vec<u8> {
    let result: u64;
    // SAFETY: the kernel checks all of it.
    unsafe {
        asm!(
            "mov rcx, rsp",
            "lea rdx, [rip + 2f]",
            "2: sysenter",
            in("rax") number,
            inlateout("rdi") cptr => _,
            inlateout("rsi") tag => result,
            inlateout("r10") word => _,
            inlateout("r8") 0u64 => _,
            inlateout("r9") 0u64 => _,
            inlateout("r15") 0u64 => _,
            out("rcx") _,
            out("rdx") _,
        );
    }
    result.to_le_bytes().into()
}

/// Leaves traces, in memory first and in registers last.
fn leave(how: u8) -> ! {
    let here = &raw const how as u64;
    // SAFETY: all of this is the virtine's own memory, and nothing in it is needed any more but the stack of
    // this function.
    unsafe {
        let fill = |from: u64, to: u64| {
            for address in (from..to).step_by(8) {
                write(address as *mut u64, PATTERN);
            }
        };
        fill(STACK_END - STACK_PAGES * PAGE, (here & !15) - PAGE);
        fill(BUFFER, BUFFER + PAGE);
        fill(HEAP, HEAP + TRACED * PAGE);
        INITIAL = [PATTERN; 1024];
        PREPARED = [PATTERN; 64];
        ZERO = [PATTERN; 2048];
        COUNTER = PATTERN;
        // The way in which it ends, beyond the reach of what is done to registers.
        ZERO[0] = how.into();
        asm!(
            "fldcw [rip + 5f]",
            "ldmxcsr [rip + 6f]",
            "fldpi", "fldpi", "fldpi", "fldpi", "fldpi", "fldpi", "fldpi", "fldpi",
            "movq xmm0, rax",
            "punpcklqdq xmm0, xmm0",
            "movdqa xmm1, xmm0", "movdqa xmm2, xmm0", "movdqa xmm3, xmm0", "movdqa xmm4, xmm0",
            "movdqa xmm5, xmm0", "movdqa xmm6, xmm0", "movdqa xmm7, xmm0", "movdqa xmm8, xmm0",
            "movdqa xmm9, xmm0", "movdqa xmm10, xmm0", "movdqa xmm11, xmm0", "movdqa xmm12, xmm0",
            "movdqa xmm13, xmm0", "movdqa xmm14, xmm0", "movdqa xmm15, xmm0",
            // Null selectors, of which there are four.
            "mov ecx, 3",
            "mov ds, ecx", "mov es, ecx", "mov fs, ecx", "mov gs, ecx",
            // The direction, alignment and identification flags.
            "push 0x240602",
            "popfq",
            "mov rbx, rax", "mov rbp, rax", "mov r8, rax", "mov r9, rax", "mov r11, rax", "mov r12, rax",
            "mov r13, rax", "mov r14, rax", "mov r15, rax",
            "cmp byte ptr [rip + {how}], 1",
            "je 3f",
            "ja 4f",
            // Returns no bytes.
            "xor r10d, r10d",
            "mov rax, -1",
            "mov edi, 0x100",
            "mov esi, {tag}",
            "mov rcx, rsp",
            "lea rdx, [rip + 2f]",
            "2: sysenter",
            "3: ud2",
            "4: jmp 4b",
            "5: .short 0x27f",
            ".balign 4",
            "6: .long 0x9fc0",
            in("rax") PATTERN,
            how = sym ZERO,
            tag = const (Hypercall::Return.label() << 12) | 1,
            options(noreturn),
        )
    }
}

/// What is not as it should be: a word that says where, and one that says what.
fn look(length: usize) -> Vec<u8> {
    let mut found = [[0u64; 2]; 16];
    let mut count = 0;
    let mut note = |place: u64, value: u64| {
        if count < found.len() {
            found[count] = [place, value];
        }
        count += 1;
    };
    let here = &raw const length as u64;
    // SAFETY: all of this is the virtine's own memory.
    unsafe {
        // Memory first, before anything here writes to it: the heap has given out one block, of its first page.
        let mut zero = |from: u64, to: u64| {
            for address in (from..to).step_by(8) {
                let value = read(address as *const u64);
                if value != 0 {
                    note(address, value);
                }
            }
        };
        zero(STACK_END - STACK_PAGES * PAGE, (here & !15) - 2 * PAGE);
        zero(BUFFER, BUFFER + PAGE);
        zero(HEAP + 512, HEAP + TRACED * PAGE);
        let argument = PLAN + core::mem::offset_of!(Plan, argument) as u64;
        zero(argument + (length as u64).next_multiple_of(8), PLAN + PAGE);
        let mut all = |start: *const u64, len: usize, expected: u64| {
            for i in 0..len {
                let value = read(start.add(i));
                if value != expected {
                    note(start.add(i) as u64, value);
                }
            }
        };
        all((&raw const INITIAL).cast(), 1024, GIVEN);
        all((&raw const PREPARED).cast(), 64, MADE);
        all((&raw const ZERO).cast(), 2048, 0);
        all(&raw const COUNTER, 1, 41);
        all(HEAP as *const u64, 64, MADE);

        let state = &raw const FOUND;
        let general = read(&raw const (*state).general);
        for (i, value) in general.into_iter().enumerate() {
            let expected = match i {
                0 => begin as *const () as u64,
                4 => length as u64,
                5 => argument,
                7 => STACK_END,
                _ => 0,
            };
            if value != expected {
                note(i as u64, value);
            }
        }
        // All but those of arithmetic: interrupts are on, and one bit is always set.
        let flags = read(&raw const (*state).flags) & !0x8d5;
        if flags != 0x202 && flags != 2 {
            note(16, flags);
        }
        for (i, value) in read(&raw const (*state).segments).into_iter().enumerate() {
            if value as u16 != 0 {
                note(17 + i as u64, value);
            }
        }
        let floating = read(&raw const (*state).floating);
        for (i, value) in floating.into_iter().take(104).enumerate() {
            let expected = match i {
                0 => 0x37f,
                6 => 0x1f80,
                // The mask of MXCSR, a constant of the processor.
                7 => continue,
                _ => 0,
            };
            if value != expected {
                note(32 + i as u64, value.into());
            }
        }
    }
    let given = &found[..count.min(found.len())];
    given
        .iter()
        .flatten()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}
