// SPDX-License-Identifier: BSD-2-Clause

//! `_start`, in the two forms that programs need, and constructors.
//!
//! Who starts a program decides whether it comes with a stack: the kernel starts the root task
//! without one, the root task and the process factory start theirs with one mapped. All argument
//! registers reach the Rust function unchanged, so each kind of program chooses its own arguments.

/// Declares `_start`, which calls the Rust function `$main`, an `unsafe extern "C" fn(…) -> !` with
/// up to six word-sized arguments (RDI, RSI, RDX, RCX, R8, R9 as whoever starts the program left
/// them).
///
/// - `entrypoint!(main)`: RSP as given, cut down to a multiple of 16.
/// - `entrypoint!(main, stack_size = SIZE)`: RSP at the end of a static stack of `SIZE` bytes (a
///   multiple of 16), with an unmapped page below it where the loader maps only what a segment
///   covers.
#[macro_export]
macro_rules! entrypoint {
    ($main:path $(,)?) => {
        const _: () = {
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn _start() -> ! {
                ::core::arch::naked_asm!(
                    "xor ebp, ebp",
                    "and rsp, -16",
                    "call {main}",
                    "ud2",
                    main = sym $main,
                )
            }
        };
    };
    ($main:path, stack_size = $size:expr $(,)?) => {
        const _: () = {
            // The caller's expression sees these names: they must not be ones that it could use.
            const __XOS_STACK_SIZE: usize = $size;

            #[unsafe(link_section = ".sbss.xos_stack")]
            static __XOS_STACK: $crate::stack::Stack<__XOS_STACK_SIZE> =
                $crate::stack::Stack::new();

            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn _start() -> ! {
                ::core::arch::naked_asm!(
                    "xor ebp, ebp",
                    "lea rsp, [rip + {stack} + {size}]",
                    "call {main}",
                    "ud2",
                    stack = sym __XOS_STACK,
                    size = const __XOS_STACK_SIZE,
                    main = sym $main,
                )
            }
        };
    };
}

/// Runs the program's constructors (`.init_array`), in the order that the linker script gives them.
///
/// # Safety
/// To be called once, from the entry of a program that was linked with this crate's linker script,
/// before anything that the constructors prepare is used.
pub unsafe fn run_constructors() {
    type Constructor = unsafe extern "C" fn();

    unsafe extern "C" {
        static __init_array_start: [Constructor; 0];
        static __init_array_end: [Constructor; 0];
    }

    let mut next = (&raw const __init_array_start).cast::<Constructor>();
    let end = (&raw const __init_array_end).cast::<Constructor>();
    while next < end {
        // SAFETY: the linker script puts nothing but function addresses between the two symbols.
        unsafe {
            (*next)();
            next = next.add(1);
        }
    }
}
