// SPDX-License-Identifier: BSD-2-Clause
//! Calls virtines: `test-virtines-app CASE FACTORY`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use test_virtines::{Deed, IMAGE, TRACE};
use xos::protocol::contract::{KernelInterface, Memory};
use xos::protocol::factory::SelfOp;
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::PAGE;
use xos::protocol::slots::{ic, leaf};
use xos::protocol::virtine::{
    BUFFER, HEAP, HEAP_END, Hypercall, MAX_PART, PLAN, SAVED, STACK_END, TRAMPOLINE,
};
use xos::protocol::{Error as Why, Fault};
use xos::virtine::{Error, Function, Grants};
use xos::{ExitStatus, KiB, MiB, Spec, eprintln, thread};
use xos_test_kit::{Failure, Outcome, check, check_eq};

xos::main!(main, heap = 1024 * 1024);

/// Milliseconds for calls that come to no end.
const SHORT: u32 = 30;

macro_rules! cases {
    ($name:expr, $factory:expr; $($case:ident),* $(,)?) => {
        match $name {
            $(stringify!($case) => $case($factory),)*
            other => Err(Failure::new(format_args!("no case {other}"))),
        }
    };
}

fn main() -> i32 {
    let mut args = xos::args().skip(1);
    let (case, factory) = (
        args.next().unwrap_or_default(),
        args.next().unwrap_or("virtine"),
    );
    if case == "traces" {
        return traces(factory);
    }
    let outcome = cases!(case, factory;
        results, lengths, prepared, faults, endless, bomb, stack, heap, granted, not_granted, given_up,
        cptrs, instructions, code, contract, addresses, nonsense, forged, images, requests, turns, threads,
        suspended, long, wait, wait_killed, many, again,
    );
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("{case}: {}", failure.reason());
            1
        }
    }
}

/// Whether the factory's virtines run on virtual processors, by what it promises.
fn on_processors(factory: &str) -> bool {
    let contract = xos::factory(factory).and_then(|factory| factory.describe());
    contract.is_ok_and(|contract| contract.memory == Memory::SecondStage)
}

fn load(factory: &str) -> Outcome<Function> {
    // Of those on virtual processors, 2 MiB are the monitor's.
    let memory = if on_processors(factory) { 6 } else { 4 };
    load_with(factory, Spec::image(IMAGE).memory(MiB(memory)))
}

fn load_with(factory: &str, spec: Spec) -> Outcome<Function> {
    Ok(Function::load_by(xos::factory(factory)?, spec)?)
}

fn argument(deed: Deed, rest: &[u8]) -> Vec<u8> {
    let mut all = Vec::from([deed as u8]);
    all.extend_from_slice(rest);
    all
}

fn words(deed: Deed, words: &[u64]) -> Vec<u8> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    argument(deed, &bytes)
}

/// The function is as it was.
fn works(function: &Function) -> Outcome {
    let out = function.invoke(&argument(Deed::Reverse, b"abc"))?;
    check!(out == b"cba", "it does not work any more: {out:?}")?;
    let out = function.invoke(&argument(Deed::Count, b""))?;
    check!(out == 42u64.to_le_bytes(), "it has counted: {out:?}")
}

fn results(factory: &str) -> Outcome {
    let function = load(factory)?;
    for _ in 0..10 {
        works(&function)?;
    }
    Ok(())
}

fn lengths(factory: &str) -> Outcome {
    let function = load(factory)?;
    let lengths = [
        0, 1, 6, 7, 8, 14, 15, 16, 17, 23, 24, 25, 100, 935, 936, 937, 942, 943, 944, 945, 1887,
        5000, 70_000,
    ];
    for length in lengths {
        let sent: Vec<u8> = (0..length).map(|i: usize| (i * 7) as u8).collect();
        let got = function.invoke(&argument(Deed::Reverse, &sent))?;
        check!(
            got.iter().rev().eq(sent.iter()),
            "{length} bytes are not the same"
        )?;
        let got = function.invoke(&words(Deed::Give, &[length as u64]))?;
        let expected = (0..length).map(|i| i as u8);
        check!(
            got.iter().copied().eq(expected),
            "{length} bytes of result are {}",
            got.len()
        )?;
    }
    works(&function)
}

fn prepared(factory: &str) -> Outcome {
    let function = load(factory)?;
    for _ in 0..5 {
        let out = function.invoke(&argument(Deed::Count, b""))?;
        check_eq!(out, 42u64.to_le_bytes())?;
    }
    Ok(())
}

fn faults(factory: &str) -> Outcome {
    let function = load(factory)?;
    let expected = [0u8, 3, 6, 13, 13, 6, 13, 0, 13, 13, 13, 0, 0];
    for (kind, vector) in (0u8..).zip(expected) {
        let outcome = function.invoke(&argument(Deed::Fault, &[kind]));
        let Err(Error::Crashed(ExitStatus::Fault(Fault { kind: what, .. }))) = outcome else {
            return Err(Failure::new(format_args!("fault {kind}: {outcome:?}")));
        };
        match (kind, what) {
            (7 | 11, FaultKind::Panic) => {}
            (12, _) => {}
            (_, FaultKind::Exception(number)) => {
                check!(number == vector, "fault {kind}: {number}")?
            }
            (_, other) => check!(false, "fault {kind}: {other:?}")?,
        }
        works(&function)?;
    }
    Ok(())
}

fn endless(factory: &str) -> Outcome {
    let function = load(factory)?;
    for _ in 0..3 {
        let begin = xos::timer::now()?;
        let outcome = function.invoke_for(&argument(Deed::Spin, b""), SHORT);
        let took = xos::timer::now()? - begin;
        check_eq!(outcome, Err(Error::OutOfTime))?;
        check!(took.as_millis() >= SHORT.into(), "too soon: {took:?}")?;
        works(&function)?;
    }
    Ok(())
}

fn bomb(factory: &str) -> Outcome {
    let function = load(factory)?;
    for _ in 0..3 {
        let outcome = function.invoke(&argument(Deed::Bomb, b""));
        check_eq!(outcome, Err(Error::OutOfMemory))?;
        works(&function)?;
    }
    // As much as it may have, but no more.
    check_eq!(function.invoke(&words(Deed::Heap, &[600]))?, b"touched")?;
    check_eq!(
        function.invoke(&words(Deed::Heap, &[1024])),
        Err(Error::OutOfMemory)
    )?;
    works(&function)
}

fn stack(factory: &str) -> Outcome {
    let function = load(factory)?;
    check!(function.invoke(&words(Deed::Recurse, &[20])).is_ok())?;
    let outcome = function.invoke(&words(Deed::Recurse, &[1000]));
    check!(
        matches!(
            outcome,
            Err(Error::Crashed(ExitStatus::Fault(Fault {
                kind: FaultKind::Write(_),
                ..
            })))
        ),
        "{outcome:?}"
    )?;
    works(&function)?;
    let large = load_with(factory, Spec::image(IMAGE).stack(KiB(400)))?;
    check!(large.invoke(&words(Deed::Recurse, &[150])).is_ok())
}

fn heap(factory: &str) -> Outcome {
    let function = load(factory)?;
    for pages in [1, 8, 100, 500, 3, 500, 100] {
        check_eq!(function.invoke(&words(Deed::Heap, &[pages]))?, b"touched")?;
    }
    works(&function)
}

fn granted(factory: &str) -> Outcome {
    let function = load(factory)?;
    for length in [0, 1, 24, 25, 100, MAX_PART - 8] {
        let mut asked = Vec::new();
        let mut answer = |number: u8, bytes: &[u8]| {
            asked.push((number, bytes.len()));
            Some(bytes.iter().map(|byte| byte + 1).collect())
        };
        let mut bytes = Vec::from([5]);
        bytes.resize(1 + length, 7);
        let out = function.invoke_with(
            &argument(Deed::Ask, &bytes),
            Grants::new(&[5, 9], &mut answer),
        )?;
        check!(
            out.iter().all(|byte| *byte == 8) && out.len() == length,
            "{length}: {out:?}"
        )?;
        check_eq!(asked, [(5, length)])?;
    }
    works(&function)
}

fn not_granted(factory: &str) -> Outcome {
    let function = load(factory)?;
    for number in [0, 6, 31, 34, 200] {
        let mut answer = |_: u8, _: &[u8]| Some(Vec::new());
        let grants = Grants::new(&[5], &mut answer);
        let outcome = function.invoke_with(&argument(Deed::Ask, &[number]), grants);
        check_eq!(outcome, Err(Error::NotGranted(number)))?;
        works(&function)?;
    }
    Ok(())
}

fn given_up(factory: &str) -> Outcome {
    let function = load(factory)?;
    let mut left = 50;
    let mut answer = |_: u8, _: &[u8]| {
        left -= 1;
        (left > 0).then(Vec::new)
    };
    let grants = Grants::new(&[5], &mut answer);
    let outcome = function.invoke_with(&argument(Deed::AskForEver, &[5]), grants);
    check_eq!(outcome, Err(Error::Stopped))?;
    check_eq!(left, 0)?;
    works(&function)?;
    // And one that asks for ever ends at its limit.
    let mut answer = |_: u8, _: &[u8]| Some(Vec::new());
    let grants = Grants::new(&[5], &mut answer).milliseconds(SHORT);
    let outcome = function.invoke_with(&argument(Deed::AskForEver, &[5]), grants);
    check_eq!(outcome, Err(Error::OutOfTime))?;
    works(&function)
}

/// System call numbers of this kernel.
const CALL: u64 = -1i64 as u64;
const SEND: u64 = -3i64 as u64;
const RECV: u64 = -5i64 as u64;
const NB_SEND: u64 = -4i64 as u64;
const NB_RECV: u64 = -8i64 as u64;

/// What the kernel answers when what is in a slot cannot be invoked (seL4_InvalidCapability).
const REFUSED: u64 = 2;

/// Whether a CPtr names a slot of the CSpace.
fn is_slot(cptr: u64) -> bool {
    cptr >> 8 < 16
}

fn cptrs(factory: &str) -> Outcome {
    let function = load(factory)?;
    let itself = leaf(ic::ITSELF);
    let slots = (0..16).map(leaf);
    let others = [
        1,
        2,
        3,
        0x101,
        0x1ff,
        0x1000,
        1 << 20,
        1 << 31,
        1 << 40,
        1 << 63,
        u64::MAX,
    ];
    for cptr in slots.chain(others) {
        for number in [CALL, SEND, RECV] {
            // What is behind the slot's number does not matter.
            if cptr >> 8 == itself >> 8 && number != RECV {
                continue;
            }
            let outcome = function.invoke(&words(Deed::SystemCall, &[number, cptr, 5 << 12, 0]));
            let fits = match &outcome {
                Err(Error::Crashed(ExitStatus::Fault(fault))) => {
                    fault.kind == FaultKind::Capability(cptr)
                }
                // Of an empty slot the kernel says so itself, to who waits for an answer.
                Ok(tag) if is_slot(cptr) && number == CALL => {
                    tag[..] == (REFUSED << 12 | 1).to_le_bytes()
                }
                Ok(_) => is_slot(cptr) && number == SEND,
                Err(_) => false,
            };
            check!(fits, "{:x} by {}: {outcome:x?}", cptr, number as i64)?;
        }
        // These fail silently, and do nothing.
        for number in [NB_SEND, NB_RECV] {
            let _ =
                function.invoke_for(&words(Deed::SystemCall, &[number, cptr, 5 << 12, 0]), SHORT);
        }
    }
    works(&function)
}

fn contract(factory: &str) -> Outcome {
    let function = load(factory)?;
    let contract = function.contract();
    check_eq!(
        (contract.memory, contract.kernel_interface),
        (Memory::SecondStage, KernelInterface::Hypercalls)
    )?;
    // They are taken without asking where there is an image for them.
    let function = Function::load(IMAGE)?;
    check_eq!(function.contract().memory, Memory::SecondStage)?;
    works(&function)?;
    let function = Function::load("hello")?;
    check_eq!(function.contract().memory, Memory::Private)
}

/// 32-bit code, and the exception that it comes to; 255 for none.
const INSTRUCTIONS: &[(&[u8], u8)] = &[
    // Of the kernel alone: HLT, CLI, STI, INVD, WBINVD, CLTS, LMSW AX, RDMSR, WRMSR, RDPMC.
    (b"\xf4", 13),
    (b"\xfa", 13),
    (b"\xfb", 13),
    (b"\x0f\x08", 13),
    (b"\x0f\x09", 13),
    (b"\x0f\x06", 13),
    (b"\x0f\x01\xf0", 13),
    (b"\x0f\x32", 13),
    (b"\x0f\x30", 13),
    (b"\x0f\x33", 13),
    // Control and debug registers, read and written: CR0, CR2, CR3, CR4, DR0, DR7.
    (b"\x0f\x20\xc0", 13),
    (b"\x0f\x22\xc0", 13),
    (b"\x0f\x20\xd0", 13),
    (b"\x0f\x22\xd0", 13),
    (b"\x0f\x20\xd8", 13),
    (b"\x0f\x22\xd8", 13),
    (b"\x0f\x20\xe0", 13),
    (b"\x0f\x22\xe0", 13),
    (b"\x0f\x21\xc0", 13),
    (b"\x0f\x23\xc0", 13),
    (b"\x0f\x21\xf8", 13),
    (b"\x0f\x23\xf8", 13),
    // Descriptor tables: LGDT, LIDT, LLDT, LTR; INVLPG.
    (b"\x0f\x01\x15\x00\x20\x40\x00", 13),
    (b"\x0f\x01\x1d\x00\x20\x40\x00", 13),
    (b"\x31\xc0\x0f\x00\xd0", 13),
    (b"\x31\xc0\x0f\x00\xd8", 13),
    (b"\x0f\x01\x38", 13),
    // Ports: IN, OUT, INS, OUTS.
    (b"\xe4\x60", 13),
    (b"\xe6\x80", 13),
    (b"\xec", 13),
    (b"\xef", 13),
    (b"\x6c", 13),
    (b"\x6e", 13),
    // Interrupts of the program's own, and the way back from one, from a system call, and to a kernel's code.
    (b"\xcd\x00", 13),
    (b"\xcd\x20", 13),
    (b"\xcd\xff", 13),
    (b"\xf1", 1),
    (b"\xcc", 3),
    (b"\x0f\x35", 13),
    (b"\x6a\x08\x68\x00\x00\x40\x00\xcb", 13),
    (b"\x9a\x00\x00\x40\x00\x08\x00", 13),
    // Segments of a kernel: SS, DS; and beyond the table.
    (b"\xb8\x10\x00\x00\x00\x8e\xd0", 13),
    (b"\xb8\x10\x00\x00\x00\x8e\xd8", 13),
    (b"\xb8\x2b\x00\x00\x00\x8e\xc0", 13),
    // None: UD2, SYSCALL, SYSRET, XGETBV, MONITOR, MWAIT, VMREAD, VMLAUNCH, VMRESUME, VMXOFF, INVEPT.
    (b"\x0f\x0b", 6),
    (b"\x0f\x05", 6),
    (b"\x0f\x07", 6),
    (b"\x0f\x01\xd0", 6),
    (b"\x0f\x01\xc8", 6),
    (b"\x0f\x01\xc9", 6),
    (b"\x0f\x78\xc0", 6),
    (b"\x0f\x01\xc2", 6),
    (b"\x0f\x01\xc3", 6),
    (b"\x0f\x01\xc4", 6),
    (b"\x66\x0f\x38\x80\x00", 6),
    // A step at a time, by the trap flag: PUSH 0x102, POPF, NOP.
    (b"\x68\x02\x01\x00\x00\x9d\x90\x90", 1),
    // What anybody may: CPUID, RDTSC, SMSW, SGDT, PAUSE, LAR, FNINIT.
    (b"\x53\x31\xc0\x0f\xa2\x5b", 255),
    (b"\x53\xb8\xff\xff\xff\xff\x0f\xa2\x5b", 255),
    (b"\x0f\x31", 255),
    (b"\x0f\x01\xe0", 255),
    (b"\x83\xec\x08\x0f\x01\x04\x24\x83\xc4\x08", 255),
    (b"\xf3\x90", 255),
    (b"\xb8\x08\x00\x00\x00\x0f\x02\xc0", 255),
    (b"\xdb\xe3", 255),
];

fn instructions(factory: &str) -> Outcome {
    let function = load(factory)?;
    for (code, vector) in INSTRUCTIONS {
        let outcome = function.invoke(&argument(Deed::Code, code));
        let expected = match (&outcome, vector) {
            (Ok(out), 255) => out == b"executed",
            (
                Err(Error::Crashed(ExitStatus::Fault(Fault {
                    kind: FaultKind::Exception(number),
                    ..
                }))),
                vector,
            ) => number == vector,
            _ => false,
        };
        check!(expected, "{code:x?}: {outcome:?}")?;
        works(&function)?;
    }
    // The monitor is called where the trampoline does, and nowhere else.
    let outcome = function.invoke(&argument(Deed::Code, b"\x0f\x01\xc1"));
    check_eq!(outcome, Err(Error::Nonsense))?;
    works(&function)?;
    // Code that is anything at all.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..300 {
        let code: Vec<u8> = (0..16)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as u8
            })
            .collect();
        let _ = function.invoke_for(&argument(Deed::Code, &code), SHORT);
    }
    works(&function)
}

fn code(factory: &str) -> Outcome {
    let function = load(factory)?;
    for _ in 0..3 {
        // UD2 at the end, of which both bytes are overwritten by NOP: CALL the next; POP EAX; MOV byte [EAX + n].
        let code = b"\xe8\x00\x00\x00\x00\x58\xc6\x40\x09\x90\xc6\x40\x0a\x90\x0f\x0b";
        check_eq!(function.invoke(&argument(Deed::Code, code))?, b"executed")?;
        works(&function)?;
    }
    // The image's own code cannot be changed.
    let outcome = function.invoke(&words(Deed::Write, &[0x10_0000]));
    check!(
        matches!(
            outcome,
            Err(Error::Crashed(ExitStatus::Fault(Fault {
                kind: FaultKind::Write(0x10_0000),
                ..
            })))
        ),
        "{outcome:?}"
    )?;
    works(&function)
}

/// Where nothing of a virtine's is, on a virtual processor: what lies around, what the trampoline has, its
/// tables, and the ends of memory.
const NOT_ON_PROCESSORS: &[u64] = &[
    0,
    1,
    0x1000,
    0xf_f000,
    0x3f_f000,
    0x40_0000,
    0x40_0c00,
    0x40_1000,
    0x40_3000,
    0x76_0000,
    0x80_0000,
    0xff_f000,
    0x200_0000,
    0x8000_0000,
    0xfee0_0000,
    0xffff_f000,
];

fn addresses(factory: &str) -> Outcome {
    let function = load(factory)?;
    let landmarks = &[
        0,
        1,
        0x1000,
        HEAP_END,
        STACK_END,
        STACK_END - 40 * PAGE,
        TRAMPOLINE - 2 * PAGE,
        BUFFER + PAGE,
        0x4000_0000,
        0x6000_0000_0000,
        0x6200_0000_0000,
        0x6300_0000_0000,
        0x7000_0000_0000,
        0x7fff_ffff_f000,
    ];
    let landmarks: &[u64] = match on_processors(factory) {
        true => NOT_ON_PROCESSORS,
        false => landmarks,
    };
    for &address in landmarks {
        for deed in [Deed::Read, Deed::Write, Deed::Execute] {
            let outcome = function.invoke(&words(deed, &[address]));
            let crashed = matches!(
                outcome,
                Err(Error::Crashed(ExitStatus::Fault(Fault {
                    kind: FaultKind::Read(_)
                        | FaultKind::Write(_)
                        | FaultKind::Execute(_)
                        | FaultKind::Exception(13),
                    ..
                })))
            );
            check!(crashed, "{deed:?} at {address:x}: {outcome:?}")?;
        }
    }
    // What it has but may not write: code, constants, the plan, the trampoline, what pages are put back to. Or
    // code and the argument.
    let own: &[u64] = match on_processors(factory) {
        true => &[0x10_0000, 0x40_2000],
        false => &[0x20_0000, 0x20_1000, PLAN, TRAMPOLINE, HEAP + SAVED],
    };
    for &address in own {
        check!(
            function.invoke(&words(Deed::Read, &[address])).is_ok(),
            "{address:x} cannot be read"
        )?;
        let outcome = function.invoke(&words(Deed::Write, &[address]));
        let crashed = matches!(
            outcome,
            Err(Error::Crashed(ExitStatus::Fault(Fault { kind: FaultKind::Write(at), .. }))) if at == address
        );
        check!(crashed, "write at {address:x}: {outcome:?}")?;
    }
    works(&function)
}

/// What an image can say to its monitor: what, a number, an address, bytes, and an address for the answer.
fn nonsense_on_processors(function: &Function) -> Outcome {
    const HEAP: u64 = 0x101_0000;
    for (what, expected) in [
        // Nothing, that it is ready, and what there is not.
        ([0, 0, 0, 0, 0], Error::Nonsense),
        ([3, 0x10_0000, 0, 0, 0], Error::Nonsense),
        ([4, 0, 0, 0, 0], Error::Nonsense),
        ([0xffff_ffff, 0, 0, 0, 0], Error::Nonsense),
        // Results that are too long, or not its own, or not there.
        ([1, 0, HEAP, 945, 0], Error::Nonsense),
        ([1, 0, HEAP, 0xffff_ffff, 0], Error::Nonsense),
        ([1, 0, 0, 1, 0], Error::Nonsense),
        ([1, 0, 0x40_0000, 8, 0], Error::Nonsense),
        ([1, 0, 0x40_1000, 8, 0], Error::Nonsense),
        ([1, 0, 0x80_0000, 8, 0], Error::Nonsense),
        ([1, 0, 0xffff_fffc, 8, 0], Error::Nonsense),
        ([1, 0, 0xfee0_0000, 8, 0], Error::Nonsense),
        // Hypercalls likewise.
        ([2, 5, HEAP, 945, HEAP], Error::Nonsense),
        ([2, 5, 0x40_1000, 1, HEAP], Error::Nonsense),
        ([2, 6, HEAP, 1, HEAP], Error::NotGranted(6)),
        ([2, 0xffff_ff05, HEAP, 1, HEAP], Error::NotGranted(255)),
        // Answers where they cannot be: code, the argument, the trampoline, the end of all addresses.
        ([2, 5, HEAP, 1, 0x10_0000], Error::Nonsense),
        ([2, 5, HEAP, 1, 0x40_2000], Error::Nonsense),
        ([2, 5, HEAP, 1, 0x40_1000], Error::Nonsense),
        ([2, 5, HEAP, 1, 0x7f_fffc], Error::Nonsense),
        ([2, 5, HEAP, 1, 0xffff_fffc], Error::Nonsense),
    ] {
        let mut answer = |_: u8, _: &[u8]| Some(alloc::vec![7; 100]);
        let outcome = function.invoke_with(
            &words(Deed::SystemCall, &what),
            Grants::new(&[5], &mut answer),
        );
        check!(outcome == Err(expected), "{what:x?}: {outcome:?}")?;
        works(function)?;
    }
    // Of memory that was never touched there are zeros, and answers arrive there.
    let out = function.invoke(&words(Deed::SystemCall, &[1, 0, HEAP, 16, 0]))?;
    check_eq!(out, [0; 16])?;
    let mut answer = |_: u8, bytes: &[u8]| Some(bytes.to_vec());
    let grants = Grants::new(&[5], &mut answer);
    let ask = [2, 5, HEAP, 900, HEAP + PAGE - 100];
    let out = function.invoke_with(&words(Deed::SystemCall, &ask), grants)?;
    check_eq!(out, 900u64.to_le_bytes())?;
    works(function)
}

fn nonsense(factory: &str) -> Outcome {
    let function = load(factory)?;
    if on_processors(factory) {
        return nonsense_on_processors(&function);
    }
    let itself = leaf(ic::ITSELF);
    let labels = [
        0,
        6,
        0x1f,
        0x20,
        0x100,
        0x200,
        0x210,
        SelfOp::Exit.label(),
        SelfOp::Arguments.label(),
        Hypercall::Ready.label(),
        Hypercall::Restored.label(),
        0x244,
        0xffff,
    ];
    for label in labels {
        let outcome = function.invoke(&words(
            Deed::SystemCall,
            &[CALL, itself, label << 12 | 1, 7],
        ));
        // The arguments of a program are asked for and refused; everything else ends the call.
        match label == SelfOp::Arguments.label() {
            true => check!(outcome.is_ok(), "{label:x}: {outcome:?}")?,
            false => check!(outcome.is_err(), "{label:x}: {outcome:?}")?,
        }
        works(&function)?;
    }
    // Results and hypercalls that say that they are longer than they are.
    for label in [Hypercall::Return, Hypercall::Ask] {
        for word in [9, 945, u64::MAX, 1 << 31] {
            let tag = label.label() << 12 | 1;
            let outcome = function.invoke(&words(Deed::SystemCall, &[CALL, itself, tag, word]));
            check!(
                matches!(outcome, Err(Error::Nonsense | Error::NotGranted(_))),
                "{label:?} {word:x}: {outcome:?}"
            )?;
        }
    }
    works(&function)
}

fn forged(factory: &str) -> Outcome {
    let (function, other) = (load(factory)?, load(factory)?);
    works(&other)?;
    for label in 1..6 {
        for length in [0, 1, 4, 5, 20, 120] {
            let call = [CALL, leaf(ic::ITSELF), label << 12 | length, 0x20_0000];
            let _ = function.invoke_for(&words(Deed::SystemCall, &call), SHORT);
        }
        works(&function)?;
        works(&other)?;
    }
    Ok(())
}

/// Whether there is a trace of one call in the next.
fn traces(factory: &str) -> i32 {
    let look = |function: &Function| -> Outcome<Vec<u8>> {
        Ok(function.invoke(&argument(Deed::Look, b""))?)
    };
    let find = || -> Outcome<i32> {
        let function = load(factory)?;
        // What the image did before its first call has left nothing either.
        let found = look(&function)?;
        if !found.is_empty() {
            eprintln!("trace in the first call: {found:x?}");
            return Ok(TRACE);
        }
        for how in [0, 1, 2, 0] {
            let argument = argument(Deed::Leave, &[how, 0xee, 0xee, 0xee]);
            // Who runs out of time shall do so soon; the others have theirs, however slow the machine is.
            let leave = match how {
                2 => function.invoke_for(&argument, SHORT),
                _ => function.invoke(&argument),
            };
            let ended = match how {
                0 => leave == Ok(Vec::new()),
                1 => matches!(leave, Err(Error::Crashed(_))),
                _ => leave == Err(Error::OutOfTime),
            };
            check!(ended, "leaving in way {how}: {leave:?}")?;
            // A long argument leaves bytes where a short one is next.
            let mut long = [0xeeu8; 900];
            long[0] = Deed::Reverse as u8;
            if how == 0 {
                check!(function.invoke(&long).is_ok())?;
            }
            match look(&function) {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    for word in found.chunks(16) {
                        let of =
                            |i: usize| word.get(8 * i..8 * i + 8).and_then(|b| b.try_into().ok());
                        let word = |i| of(i).map_or(0, u64::from_le_bytes);
                        eprintln!("trace at {:x}: {:x}", word(0), word(1));
                    }
                    return Ok(TRACE);
                }
                Err(failure) => {
                    eprintln!("the look ended: {}", failure.reason());
                    return Ok(TRACE);
                }
            }
        }
        works(&function)?;
        Ok(0)
    };
    find().unwrap_or_else(|failure| {
        eprintln!("traces: {}", failure.reason());
        1
    })
}

fn images(factory: &str) -> Outcome {
    let refused = |spec: Spec, why: Why| -> Outcome {
        match load_with(factory, spec) {
            Ok(_) => check!(false, "made"),
            Err(failure) => {
                let name = alloc::format!("{why:?}");
                check!(failure.reason().contains(&name), "{}", failure.reason())
            }
        }
    };
    refused(Spec::image("etc/text"), Why::BadImage)?;
    refused(Spec::image("etc/empty"), Why::BadImage)?;
    refused(Spec::image("etc/truncated"), Why::BadImage)?;
    if on_processors(factory) {
        refused(Spec::image("bin/hello"), Why::BadImage)?;
    }
    refused(Spec::image("no-such-image"), Why::NoImage)?;
    refused(Spec::image(IMAGE).arg("x"), Why::Malformed)?;
    refused(Spec::image(IMAGE).composes(), Why::Malformed)?;
    refused(Spec::image(IMAGE).stack(MiB(1)), Why::Malformed)?;
    refused(Spec::image(IMAGE).memory(KiB(8)), Why::OverBudget)?;
    refused(Spec::image(IMAGE).memory(MiB(1 << 30)), Why::OverBudget)?;
    if on_processors(factory) {
        // Programs are not among its images.
        return refused(Spec::image("hello"), Why::NoImage);
    }
    // A program that is no virtine is made like one, and the first call says that it is none.
    let program = load_with(factory, Spec::image("hello"))?;
    for _ in 0..2 {
        let outcome = program.invoke(b"");
        check!(outcome.is_err(), "{outcome:?}")?;
    }
    Ok(())
}

fn requests(factory: &str) -> Outcome {
    let ic = xos::factory(factory)?.create(&Spec::image(IMAGE))?;
    let mut out = [0; 960];
    check!(
        ic.invoke(&[0; 8], &mut out).is_err(),
        "called before its start"
    )?;
    ic.start()?;
    check!(ic.start().is_err(), "started twice")?;
    // An answer to nothing, words that mean nothing, and all lengths.
    for length in [0, 1, 7, 8, 9, 15, 16, 24, 500, 952] {
        for kind in 0..=255u8 {
            if kind < 2 && length > 8 {
                continue;
            }
            let mut bytes = [kind; 952];
            bytes[1..].fill(0xff);
            let _ = ic.invoke(&bytes[..length], &mut out);
        }
    }
    check!(ic.snapshot().is_err())?;
    check!(xos::Snapshot::of(&ic).new_clone().is_err())?;
    let function = load(factory)?;
    works(&function)?;
    ic.kill()?;
    check!(
        ic.invoke(&[0; 8], &mut out).is_err(),
        "called after its end"
    )?;
    check_eq!(ic.wait()?, ExitStatus::Killed)
}

fn turns(factory: &str) -> Outcome {
    let (one, two) = (load(factory)?, load(factory)?);
    for i in 0..50 {
        works(&one)?;
        works(&two)?;
        if i % 10 == 0 {
            check!(one.invoke(&argument(Deed::Fault, &[2])).is_err())?;
        }
    }
    Ok(())
}

fn threads(factory: &str) -> Outcome {
    let function = alloc::sync::Arc::new(load(factory)?);
    let mut all = Vec::new();
    for i in 0..4 {
        let function = function.clone();
        all.push(thread::spawn(move || {
            for _ in 0..20 {
                match i {
                    0 => _ = function.invoke_for(&argument(Deed::Spin, b""), 20),
                    1 => _ = function.invoke(&argument(Deed::Fault, &[0])),
                    _ if works(&function).is_err() => return false,
                    _ => {}
                }
            }
            true
        })?);
    }
    for thread in all {
        check!(matches!(thread.join(), Ok(true)))?;
    }
    works(&function)
}

fn suspended(factory: &str) -> Outcome {
    let ic = xos::factory(factory)?.create(&Spec::image(IMAGE))?;
    ic.start()?;
    let mut out = [0; 960];
    let call = [0, 0, 0, 0, 0, 0, 0, 0, Deed::Reverse as u8, 1, 2];
    let answer = ic.invoke(&call, &mut out)?;
    check_eq!(answer[8..], [2, 1])?;
    for _ in 0..3 {
        ic.suspend()?;
        check!(
            ic.invoke(&call, &mut out).is_err(),
            "called while it is suspended"
        )?;
        ic.resume()?;
        let answer = ic.invoke(&call, &mut out)?;
        check_eq!(answer[8..], [2, 1])?;
    }
    Ok(())
}

/// Calls something that takes a while and knows what has to come out, for who is suspended meanwhile.
fn long(factory: &str) -> Outcome {
    const ROUNDS: u32 = 20_000_000;
    let sum = (1..=ROUNDS)
        .rev()
        .fold(0_u32, |sum, i| sum.wrapping_add(i).rotate_left(1));
    // MOV ECX, rounds; XOR EAX, EAX; the loop: ADD EAX, ECX; ROL EAX, 1; DEC ECX; JNZ to the loop; CMP EAX, sum; JE
    // over UD2.
    let mut code = Vec::from(b"\xb9");
    code.extend_from_slice(&ROUNDS.to_le_bytes());
    code.extend_from_slice(b"\x31\xc0\x01\xc8\xd1\xc0\x49\x75\xf9\x3d");
    code.extend_from_slice(&sum.to_le_bytes());
    code.extend_from_slice(b"\x74\x02\x0f\x0b");
    let function = load(factory)?;
    let out = function.invoke_for(&argument(Deed::Code, &code), 60_000)?;
    check_eq!(out, b"executed")?;
    works(&function)
}

/// Calls something that comes to no end, for who is to be killed meanwhile.
fn wait(factory: &str) -> Outcome {
    let function = load(factory)?;
    let outcome = function.invoke_for(&argument(Deed::Spin, b""), 60_000);
    check!(false, "it came to an end: {outcome:?}")
}

/// The same for who is to be told that the virtine has gone.
fn wait_killed(factory: &str) -> Outcome {
    let function = load(factory)?;
    let outcome = function.invoke_for(&argument(Deed::Spin, b""), 60_000);
    let told = matches!(outcome, Err(Error::Refused(error)) if matches!(error.why, Why::Gone | Why::ServerDied));
    check!(told, "{outcome:?}")
}

/// Once more, for who was told.
fn again(factory: &str) -> Outcome {
    // Its successor registers a moment later.
    for _ in 0..2000 {
        match load(factory) {
            Ok(function) => return works(&function),
            Err(_) => xos::timer::sleep(core::time::Duration::from_millis(1))?,
        }
    }
    check!(false, "no factory")
}

fn many(factory: &str) -> Outcome {
    for _ in 0..10 {
        let all = (0..5).map(|_| load(factory)).collect::<Outcome<Vec<_>>>()?;
        for function in &all {
            works(function)?;
        }
    }
    Ok(())
}
