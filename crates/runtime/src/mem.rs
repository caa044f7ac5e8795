// SPDX-License-Identifier: BSD-2-Clause

//! The memory functions that compiled Rust code calls behind the programmer's back.
//!
//! The `compiler_builtins` that comes with `x86_64-unknown-linux-gnu` leaves them to the C library,
//! which guests do not have. In a guest they carry their C names; on the host they are ordinary
//! functions, so that tests can compare them with the standard library's.
//!
//! Two rules shape them:
//! - Bulk work is done by string instructions on eight-byte words. Benchmarks count instructions,
//!   and each repetition counts as one: nothing that avoids vector registers moves more per count.
//! - No vector registers. The kernel switches the FPU lazily: one SSE instruction after a thread
//!   switch costs a trap into the kernel, more than most copies.
//!
//! What is left over at an end is covered by one word that overlaps work already done, never by a
//! loop over bytes.

use core::arch::naked_asm;

/// Moves up to 16 bytes (RDX) from `[rsi]` to `[rdi]`, overlapping or not: every load comes before
/// the first store. Expects the return value in RAX already.
macro_rules! move_up_to_16 {
    () => {
        "
        cmp     edx, 8
        jb      2f
        mov     rcx, [rsi]
        mov     r8, [rsi + rdx - 8]
        mov     [rdi], rcx
        mov     [rdi + rdx - 8], r8
        ret
    2:  cmp     edx, 4
        jb      2f
        mov     ecx, [rsi]
        mov     r8d, [rsi + rdx - 4]
        mov     [rdi], ecx
        mov     [rdi + rdx - 4], r8d
        ret
    2:  test    edx, edx
        jz      2f
        mov     r9d, edx
        shr     r9d, 1
        movzx   ecx, byte ptr [rsi]
        movzx   r10d, byte ptr [rsi + r9]
        movzx   r8d, byte ptr [rsi + rdx - 1]
        mov     [rdi], cl
        mov     [rdi + r9], r10b
        mov     [rdi + rdx - 1], r8b
    2:  ret
        "
    };
}

/// Moves more than 16 bytes (RDX) upwards. Also right for an overlap with `rdi` below `rsi`: the
/// last word is read before anything is written.
macro_rules! move_forward {
    () => {
        "
        mov     r8, [rsi + rdx - 8]
        lea     r9, [rdi + rdx - 8]
        lea     rcx, [rdx - 1]
        shr     rcx, 3
        rep movsq
        mov     [r9], r8
        ret
        "
    };
}

/// C `memcpy`: copies `n` bytes and returns `dst`.
///
/// # Safety
/// `src` must be readable and `dst` writable for `n` bytes, and the two must not overlap.
#[cfg_attr(xos_guest, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "ja 3f",
        move_up_to_16!(),
        "3:",
        move_forward!(),
    )
}

/// C `memmove`: copies `n` bytes between areas that may overlap and returns `dst`.
///
/// # Safety
/// `src` must be readable and `dst` writable for `n` bytes.
#[cfg_attr(xos_guest, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "ja 3f",
        move_up_to_16!(),
        // `dst - src` as an unsigned number is below `n` only if `dst` lies inside the source.
        "3:
        mov     rcx, rdi
        sub     rcx, rsi
        cmp     rcx, rdx
        jb      3f",
        move_forward!(),
        "3:
        mov     r8, [rsi]
        lea     rcx, [rdx - 1]
        shr     rcx, 3
        lea     rsi, [rsi + rdx - 8]
        lea     rdi, [rdi + rdx - 8]
        std
        rep movsq
        cld
        mov     [rax], r8
        ret",
    )
}

/// C `memset`: fills `n` bytes with the low byte of `value` and returns `dst`.
///
/// # Safety
/// `dst` must be writable for `n` bytes.
#[cfg_attr(xos_guest, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(dst: *mut u8, value: i32, n: usize) -> *mut u8 {
    naked_asm!(
        "
        mov     r8, rdi
        movzx   esi, sil
        mov     rax, 0x0101010101010101
        imul    rax, rsi
        cmp     rdx, 8
        jb      2f
        mov     [rdi + rdx - 8], rax
        mov     rcx, rdx
        shr     rcx, 3
        rep stosq
        mov     rax, r8
        ret
    2:  cmp     edx, 4
        jb      2f
        mov     [rdi], eax
        mov     [rdi + rdx - 4], eax
        mov     rax, r8
        ret
    2:  test    edx, edx
        jz      2f
        mov     ecx, edx
        shr     ecx, 1
        mov     [rdi], al
        mov     [rdi + rcx], al
        mov     [rdi + rdx - 1], al
    2:  mov     rax, r8
        ret
        "
    )
}

/// C `memcmp`: negative, zero or positive as the first differing byte (compared unsigned) of `a` is
/// less than, absent or greater than that of `b`.
///
/// # Safety
/// `a` and `b` must be readable for `n` bytes.
#[cfg_attr(xos_guest, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!(
        "
        cmp     rdx, 8
        jb      3f
        mov     r8, [rdi + rdx - 8]
        mov     r9, [rsi + rdx - 8]
        lea     rcx, [rdx - 1]
        shr     rcx, 3
        // With a count of zero the comparison is skipped and keeps these equal flags.
        cmp     eax, eax
        repe cmpsq
        je      2f
        mov     r8, [rdi - 8]
        mov     r9, [rsi - 8]
        // As big-endian numbers two words compare as their bytes do in order.
    2:  bswap   r8
        bswap   r9
        xor     eax, eax
        cmp     r8, r9
        seta    al
        sbb     eax, 0
        ret
    3:  cmp     edx, 4
        jb      3f
        mov     r8d, [rdi]
        mov     ecx, [rdi + rdx - 4]
        shl     rcx, 32
        or      r8, rcx
        mov     r9d, [rsi]
        mov     ecx, [rsi + rdx - 4]
        shl     rcx, 32
        or      r9, rcx
        jmp     4f
    3:  xor     eax, eax
        test    edx, edx
        jz      5f
        movzx   r8d, byte ptr [rdi]
        movzx   r9d, byte ptr [rsi]
        sub     r8d, r9d
        jnz     6f
        shr     edx, 1
        jz      5f
        sbb     rcx, rcx
        movzx   r8d, byte ptr [rdi + 1]
        movzx   r9d, byte ptr [rsi + 1]
        sub     r8d, r9d
        jnz     6f
        test    ecx, ecx
        jz      5f
        movzx   r8d, byte ptr [rdi + 2]
        movzx   r9d, byte ptr [rsi + 2]
        sub     r8d, r9d
    6:  mov     eax, r8d
    5:  ret
        // Head in the low half, tail in the high one: after the swap the head weighs more.
    4:  bswap   r8
        bswap   r9
        xor     eax, eax
        cmp     r8, r9
        seta    al
        sbb     eax, 0
        ret
        "
    )
}

/// BSD `bcmp`: zero exactly if the `n` bytes at `a` and `b` are equal.
///
/// # Safety
/// As [`memcmp`].
#[cfg_attr(xos_guest, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!("jmp {}", sym memcmp)
}

/// C `strlen`: the number of bytes before the first zero byte.
///
/// # Safety
/// `s` must be readable up to and including a zero byte.
#[cfg_attr(xos_guest, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn strlen(s: *const u8) -> usize {
    naked_asm!(
        "
        xor     eax, eax
        mov     rcx, -1
        repne scasb
        mov     rax, -2
        sub     rax, rcx
        ret
        "
    )
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Lengths on both sides of every branch, then anything.
    fn length() -> impl Strategy<Value = usize> {
        prop_oneof![0..40usize, 0..2000usize]
    }

    proptest! {
        #[test]
        fn memcpy_copies_exactly_the_range(n in length(), offset in 0..16usize, byte: u8) {
            let src: Vec<u8> = (0..n + 16).map(|i| (i as u8).wrapping_mul(31) ^ byte).collect();
            let mut dst = vec![byte; n + 48];
            let mut expected = dst.clone();
            expected[16 + offset..][..n].copy_from_slice(&src[offset..][..n]);
            let at = &mut dst[16 + offset] as *mut u8;
            // SAFETY: both ranges lie inside their vectors.
            let returned = unsafe { memcpy(at, &src[offset], n) };
            prop_assert_eq!(returned, at);
            prop_assert_eq!(dst, expected);
        }

        #[test]
        fn memmove_equals_copy_within(n in length(), from in 0..80usize, to in 0..80usize) {
            let mut area: Vec<u8> = (0..n + 80).map(|i| (i as u8).wrapping_mul(37)).collect();
            let mut expected = area.clone();
            expected.copy_within(from..from + n, to);
            let base = area.as_mut_ptr();
            // SAFETY: from and to are below 80 and the vector has n + 80 bytes.
            let returned = unsafe { memmove(base.add(to), base.add(from), n) };
            // SAFETY: as above.
            prop_assert_eq!(returned, unsafe { base.add(to) });
            prop_assert_eq!(area, expected);
        }

        #[test]
        fn memset_fills_exactly_the_range(n in length(), offset in 0..16usize, value: i32) {
            let mut area = vec![!(value as u8); n + 48];
            let mut expected = area.clone();
            expected[16 + offset..][..n].fill(value as u8);
            let at = &mut area[16 + offset] as *mut u8;
            // SAFETY: the range lies inside the vector.
            let returned = unsafe { memset(at, value, n) };
            prop_assert_eq!(returned, at);
            prop_assert_eq!(area, expected);
        }

        #[test]
        fn memcmp_orders_as_slices_do(
            n in length(), offset in 0..16usize, seed: u8, differences in prop::collection::vec(any::<(usize, u8)>(), 0..3),
        ) {
            let a: Vec<u8> = (0..n + 16).map(|i| (i as u8).wrapping_mul(41) ^ seed).collect();
            let mut b = a.clone();
            for (at, byte) in differences {
                let len = b.len();
                b[at % len] = byte;
            }
            let (x, y) = (&a[offset..][..n], &b[offset..][..n]);
            // SAFETY: x and y have n bytes each.
            let order = unsafe { memcmp(x.as_ptr(), y.as_ptr(), n) };
            prop_assert_eq!(order.cmp(&0), x.cmp(y));
            // SAFETY: as above.
            let equal = unsafe { bcmp(x.as_ptr(), y.as_ptr(), n) } == 0;
            prop_assert_eq!(equal, x == y);
        }

        #[test]
        fn strlen_stops_at_the_first_zero(before in prop::collection::vec(1..=255u8, 0..300), after: u8) {
            let mut text = before.clone();
            text.extend([0, after, 0]);
            // SAFETY: text holds a zero byte.
            prop_assert_eq!(unsafe { strlen(text.as_ptr()) }, before.len());
        }
    }

    #[test]
    fn memcmp_finds_every_single_difference() {
        for n in 1..40 {
            for at in 0..n {
                let low = vec![7u8; n];
                let mut high = low.clone();
                high[at] = 200;
                // SAFETY: both have n bytes.
                let (less, greater) = unsafe {
                    (
                        memcmp(low.as_ptr(), high.as_ptr(), n),
                        memcmp(high.as_ptr(), low.as_ptr(), n),
                    )
                };
                assert!(less < 0 && greater > 0, "n = {n}, difference at {at}");
            }
        }
    }
}
