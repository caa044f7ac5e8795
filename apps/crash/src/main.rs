// SPDX-License-Identifier: BSD-2-Clause
//! Dies, in the way that it is told to.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::time::Duration;

use crash::{
    CODE, CONSTANTS, Command, EMPTY_SLOT, End, KERNEL, NO_SYSCALL, NOT_CANONICAL, NOWHERE, USAGE,
    WAYS, Way, parse,
};
use sel4::cap::Endpoint;
use xos::{eprintln, println, sync, timer};

xos::main!(main, heap = HEAP);

const HEAP: usize = 16 * 1024;

fn main() -> i32 {
    match parse(xos::args().skip(1)) {
        None => {
            eprintln!("{USAGE}");
            2
        }
        Some(Command::List) => {
            for way in WAYS {
                println!("{:<20} {}", way.name, way.what);
            }
            0
        }
        Some(Command::Die { way, thread: false }) => die(way),
        Some(Command::Die { way, thread: true }) => {
            let thread = match xos::thread::spawn(|| die(way)) {
                Ok(thread) => thread,
                Err(error) => {
                    eprintln!("crash: {error}");
                    return 1;
                }
            };
            match thread.join() {
                Ok(code) => println!("the thread returned {code}"),
                Err(error) => println!("{error}"),
            }
            0
        }
    }
}

/// Dies, or gives the code to end with.
fn die(way: &Way) -> i32 {
    // SAFETY: not one of these deeds is sound, which is what they are for: what the compiler may assume of
    // them ends with the assembler instructions, and nothing that they do survives this program.
    unsafe {
        match way.name {
            "null" => write(0),
            "null-read" => read(0),
            "null-call" => jump(0),
            "read" => read(NOWHERE),
            "write" => write(NOWHERE),
            "jump" => jump(NOWHERE),
            "kernel-read" => read(KERNEL),
            "kernel-write" => write(KERNEL),
            "kernel-jump" => jump(KERNEL),
            "write-constant" => write(CONSTANTS),
            "write-code" => write(die as *const () as u64),
            "execute-data" => return execute_data(),
            "stack" => _ = overflow(0),
            "non-canonical" => read(NOT_CANONICAL),
            "non-canonical-jump" => jump(NOT_CANONICAL),
            "unaligned" => asm!("movaps xmm0, [rsp + 1]", out("xmm0") _),
            "illegal" => asm!("ud2"),
            "linux" => {
                asm!("syscall", inout("rax") 60 => _, in("rdi") 0, out("rcx") _, out("r11") _)
            }
            "privileged" => asm!("hlt"),
            "interrupts" => asm!("cli"),
            "port" => asm!("in al, dx", in("dx") 0x64, out("al") _),
            "divide" => asm!("div ecx", in("ecx") 0, inout("eax") 1 => _, inout("edx") 0 => _),
            "divide-overflow" => {
                asm!("cdq", "idiv ecx", in("ecx") -1, inout("eax") i32::MIN => _, out("edx") _);
            }
            "float" => {
                // All exceptions trap.
                let control = 0x340_u16;
                asm!("fninit", "fldcw [{control}]", "fld1", "fldz", "fdivp", "fwait", control = in(reg) &control);
            }
            "breakpoint" => asm!("int3"),
            "step" => asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop"),
            "interrupt" => asm!("int 0x24"),
            "panic" => panic!("as asked"),
            "abort" => xos::abort!("as asked"),
            "memory" => drop(black_box(Vec::<u8>::with_capacity(2 * HEAP))),
            "capability" => _ = Endpoint::from_bits(EMPTY_SLOT).recv(()),
            "syscall" => asm!(
                "mov rcx, rsp",
                "lea rdx, [rip + 2f]",
                "2: sysenter",
                inout("rax") NO_SYSCALL => _,
                out("rcx") _,
                out("rdx") _,
            ),
            "exit" => return CODE,
            "exit-negative" => return -CODE,
            "spin" => loop {
                core::hint::spin_loop();
            },
            "sleep" => _ = timer::sleep(Duration::MAX),
            "wait" => {
                if let Ok(nobody) = sync::notification() {
                    nobody.wait();
                }
            }
            _ => {}
        }
    }
    match way.end {
        End::Code(code) => code,
        _ => {
            eprintln!("crash: `{}`, and nothing happened", way.name);
            1
        }
    }
}

/// # Safety
/// There is none.
unsafe fn read(address: u64) {
    // SAFETY: see `die`.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _) }
}

/// # Safety
/// There is none.
unsafe fn write(address: u64) {
    // SAFETY: see `die`.
    unsafe { asm!("mov byte ptr [{}], 0", in(reg) address) }
}

/// # Safety
/// There is none.
unsafe fn jump(address: u64) {
    // SAFETY: see `die`.
    unsafe { asm!("jmp {}", in(reg) address, options(noreturn)) }
}

/// Calls a function that lies in a variable: `mov eax, CODE; ret`.
fn execute_data() -> i32 {
    let mut function = [0xb8, 0, 0, 0, 0, 0xc3];
    function[1..5].copy_from_slice(&CODE.to_le_bytes());
    let function = black_box(&function).as_ptr();
    // SAFETY: the bytes are those of a function with this signature; where memory that can be written
    // cannot be executed, this is a fault, which is the purpose.
    let function: extern "C" fn() -> i32 = unsafe { core::mem::transmute(function) };
    let code = function();
    println!("the data was executed and returned {code}: this kernel has no execute-never pages");
    code
}

/// Calls itself until the stack is full, 256 bytes at a time.
#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the purpose")]
fn overflow(depth: u64) -> u64 {
    let room = black_box([depth; 32]);
    overflow(depth + 1) + black_box(room)[0]
}
