/* SPDX-License-Identifier: BSD-2-Clause */
/* What the image of a virtine on a virtual processor is written to: a function that is called in a context of
   its own. Each call begins with memory as the image made it before the first one, and nothing of what a call
   does is there in the next: there is nothing to clean up. It runs in ring 3 of a processor that has nothing
   but its memory; SSE and x87 registers are there. */
#ifndef XOS_VIRTINE_H
#define XOS_VIRTINE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a hypercall or its answer, at most. */
#define XOS_MAX_PART 944
/* The heap, which is zero, and given as it is touched. */
#define XOS_HEAP 0x1000000u
/* End of the stack. */
#define XOS_STACK_END 0x800000u
/* Where the first part of the argument is. */
#define XOS_ARGUMENT 0x402000u

struct xos_bytes {
    const void *at;
    uint32_t length;
};

/* The image defines this: the function. */
struct xos_bytes virtine(const uint8_t *argument, uint32_t length);

/* The image may define this: it runs once, before the first call. */
void prepare(void);

/* Makes a hypercall, of a number from 0 to 31; the call ends here if its caller has not granted it. The answer,
   at most XOS_MAX_PART bytes, is written to `answer`: how many they are. */
uint32_t xos_hypercall(uint8_t number, const void *bytes, uint32_t length, void *answer);

/* Memory that is zero, aligned to 16 bytes. Nothing is given back, since the end of the call gives all back. */
void *xos_alloc(uint32_t bytes);

/* Ends the call: an error for the caller. */
_Noreturn void xos_panic(void);

/* What compilers call. */
void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);

#endif
