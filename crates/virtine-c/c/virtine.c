// SPDX-License-Identifier: BSD-2-Clause
// What is around the function of every image.
#include "virtine.h"

// What is said to the monitor, and hypercalls that every virtine has: the next part of the argument, and a part
// of the result that is not the last. As in crates/protocol/src/virtine.rs.
enum { RETURN = 1, ASK = 2, READY = 3 };
enum { MORE = 32, PART = 33 };

uint32_t xos_say(uint32_t what, uint32_t number, const void *bytes, uint32_t length, void *answer);
void xos_begin(void);

static uint8_t *heap = (uint8_t *)XOS_HEAP;

void *xos_alloc(uint32_t bytes)
{
    uint8_t *given = heap;
    if (bytes > UINT32_MAX - 15 - (uintptr_t)heap) {
        xos_panic();
    }
    heap += (bytes + 15) & ~15u;
    return given;
}

_Noreturn void xos_panic(void)
{
    // What the monitor takes for this: `panc`.
    __asm__ volatile("ud2" ::"a"(0x70616e63));
    __builtin_unreachable();
}

uint32_t xos_hypercall(uint8_t number, const void *bytes, uint32_t length, void *answer)
{
    return xos_say(ASK, number, bytes, length, answer);
}

__attribute__((weak)) void prepare(void)
{
}

_Noreturn void xos_prepare(void)
{
    prepare();
    xos_say(READY, (uintptr_t)xos_begin, 0, 0, 0);
    // There is no reply.
    xos_panic();
}

_Noreturn void xos_call(const uint8_t *argument, uint32_t length)
{
    if (length > XOS_MAX_PART) {
        // One word less: the length travels with a long argument's first part.
        uint32_t there = XOS_MAX_PART - 8;
        uint8_t *all = xos_alloc(length + XOS_MAX_PART);
        memcpy(all, argument, there);
        while (there < length) {
            uint32_t more = xos_hypercall(MORE, 0, 0, all + there);
            if (more == 0) {
                break;
            }
            there += more;
        }
        argument = all;
    }
    struct xos_bytes result = virtine(argument, length);
    const uint8_t *at = result.at;
    if (result.length > XOS_MAX_PART) {
        void *nothing = xos_alloc(XOS_MAX_PART);
        for (; result.length > XOS_MAX_PART; result.length -= XOS_MAX_PART) {
            xos_hypercall(PART, at, XOS_MAX_PART, nothing);
            at += XOS_MAX_PART;
        }
    }
    xos_say(RETURN, 0, at, result.length, 0);
    xos_panic();
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *begun = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
    return begun;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    if ((uintptr_t)to - (uintptr_t)from >= bytes) {
        return memcpy(to, from, bytes);
    }
    uint8_t *last = (uint8_t *)to + bytes - 1;
    const uint8_t *last_from = (const uint8_t *)from + bytes - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(last), "+S"(last_from), "+c"(bytes)::"memory");
    return to;
}

void *memset(void *to, int byte, size_t bytes)
{
    void *begun = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(byte) : "memory");
    return begun;
}

int memcmp(const void *one, const void *other, size_t bytes)
{
    const uint8_t *a = one, *b = other;
    for (; bytes; bytes--, a++, b++) {
        if (*a != *b) {
            return *a - *b;
        }
    }
    return 0;
}
