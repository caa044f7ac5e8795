// SPDX-License-Identifier: BSD-2-Clause
// The image of a virtine on a virtual processor that does what its caller tells it (`Deed` in ../src/lib.rs).
//
// It begins by noting the state of the processor, before any code of the compiler's has changed it: hence an
// entry of its own.
#include "virtine.h"

#define PAGE 4096u
#define STACK (16 * PAGE)
// Pages of heap in which traces are left, and what these look like.
#define TRACED 300
#define PATTERN 0x5ec2e75eu
// What the image has at the beginning, and what it prepares.
#define GIVEN 0x12345678u
#define MADE 0x0fedcba9u

enum deed {
    REVERSE, GIVE, COUNT, FAULT, SPIN, BOMB, HEAP, ASK, ASK_FOR_EVER, SYSTEM_CALL, READ, WRITE, EXECUTE, LEAVE,
    LOOK, RECURSE, CODE,
};

// As the runtime has them.
uint32_t xos_say(uint32_t what, uint32_t number, const void *bytes, uint32_t length, void *answer);
enum { RETURN = 1 };

#define EIGHT GIVEN, GIVEN, GIVEN, GIVEN, GIVEN, GIVEN, GIVEN, GIVEN
#define PAGES_OF(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
static volatile uint32_t initial[16 * 16 * 8] = { PAGES_OF(PAGES_OF(EIGHT)) };
static volatile uint32_t prepared[64];
static volatile uint32_t zero[4096];
static volatile uint32_t counter;

// The registers as the call found them: EAX, EBX, ECX, EDX, ESI, EDI, EBP, ESP, the flags, DS, ES, FS, GS; then
// as FXSAVE writes them.
volatile uint32_t found[16 + 128] __attribute__((aligned(64)));

__asm__(".intel_syntax noprefix\n"
        ".globl xos_begin\n"
        "xos_begin:\n"
        "mov [found], eax\n mov [found + 4], ebx\n mov [found + 8], ecx\n mov [found + 12], edx\n"
        "mov [found + 16], esi\n mov [found + 20], edi\n mov [found + 24], ebp\n mov [found + 28], esp\n"
        "mov esp, 0x800000\n"
        "pushfd\n pop dword ptr [found + 32]\n"
        "mov eax, ds\n mov [found + 36], eax\n mov eax, es\n mov [found + 40], eax\n"
        "mov eax, fs\n mov [found + 44], eax\n mov eax, gs\n mov [found + 48], eax\n"
        "fxsave [found + 64]\n"
        "cld\n"
        "sub esp, 8\n push edi\n push esi\n"
        "call xos_call\n ud2\n"
        ".att_syntax\n");

extern const uint8_t xos_begin[];

void prepare(void)
{
    for (int i = 0; i < 64; i++) {
        prepared[i] = MADE;
    }
    counter = 41;
    // A block of heap, too, that stays.
    uint32_t *block = xos_alloc(256);
    for (int i = 0; i < 64; i++) {
        block[i] = MADE;
    }
}

static uint32_t word(const uint8_t *bytes, uint32_t length, int i)
{
    uint32_t word = 0;
    if (8u * i + 4 <= length) {
        memcpy(&word, bytes + 8 * i, 4);
    }
    return word;
}

static struct xos_bytes text(const char *text)
{
    uint32_t length = 0;
    while (text[length]) {
        length++;
    }
    return (struct xos_bytes){ text, length };
}

static struct xos_bytes number(uint32_t low)
{
    uint32_t *word = xos_alloc(8);
    word[0] = low;
    return (struct xos_bytes){ word, 8 };
}

static _Noreturn void spin(void)
{
    for (;;) {
        __asm__ volatile("pause");
    }
}

// Touches pages behind what the heap has given out so far.
static void touch_heap(uint32_t pages)
{
    for (uint32_t page = 0; page < pages; page++) {
        *(volatile uint32_t *)(XOS_HEAP + (16 + page) * PAGE) = PATTERN;
    }
}

static __attribute__((noinline)) uint32_t recurse(uint32_t depth)
{
    volatile uint32_t frame[512];
    for (int i = 0; i < 512; i += 64) {
        frame[i] = depth;
    }
    return depth == 0 ? 0 : recurse(depth - 1) + frame[64];
}

static _Noreturn void fault(uint8_t kind)
{
    switch (kind) {
    case 0: __asm__ volatile("xorl %%edx, %%edx; xorl %%ecx, %%ecx; divl %%ecx" ::: "eax", "ecx", "edx"); break;
    case 1: __asm__ volatile("int3"); break;
    case 2: __asm__ volatile("ud2"); break;
    case 3: __asm__ volatile("hlt"); break;
    case 4: __asm__ volatile("movl $0xfff8, %%eax; mov %%eax, %%ds" ::: "eax"); break;
    case 5: __asm__ volatile("syscall" ::: "ecx"); break;
    case 6: __asm__ volatile("inb $0x60, %%al" ::: "eax"); break;
    case 7: xos_panic();
    case 8: __asm__ volatile("int $0x80"); break;
    case 9: __asm__ volatile("mov %%cr3, %%eax" ::: "eax"); break;
    case 10: __asm__ volatile("rdmsr" ::"c"(0x10) : "eax", "edx"); break;
    case 11: xos_panic();
    // A jump to where there is nothing.
    default: __asm__ volatile("movl $0xfffffff0, %%eax; jmp *%%eax" ::: "eax");
    }
    spin();
}

// Leaves traces everywhere between two addresses.
static void fill(uintptr_t from, uintptr_t to)
{
    uint32_t count = (to - from) / 4;
    __asm__ volatile("rep stosl" : "+D"(from), "+c"(count) : "a"(PATTERN) : "memory");
}

// Leaves traces, in memory first and in registers last.
static _Noreturn void leave(uint8_t how)
{
    volatile uint8_t here = how;
    fill(XOS_STACK_END - STACK, ((uintptr_t)&here & ~15u) - PAGE);
    fill(XOS_HEAP, XOS_HEAP + TRACED * PAGE);
    fill((uintptr_t)initial, (uintptr_t)(initial + 2048));
    fill((uintptr_t)prepared, (uintptr_t)(prepared + 64));
    fill((uintptr_t)zero, (uintptr_t)(zero + 4096));
    counter = PATTERN;
    // The way in which it ends, beyond the reach of what is done to registers.
    zero[0] = how;
    static const uint16_t control = 0x27f;
    static const uint32_t status = 0x9fc0;
    __asm__ volatile(".intel_syntax noprefix\n"
                     "fldcw %[control]\n ldmxcsr %[status]\n"
                     "fldpi\n fldpi\n fldpi\n fldpi\n fldpi\n fldpi\n fldpi\n fldpi\n"
                     "movd xmm0, eax\n pshufd xmm0, xmm0, 0\n"
                     "movdqa xmm1, xmm0\n movdqa xmm2, xmm0\n movdqa xmm3, xmm0\n movdqa xmm4, xmm0\n"
                     "movdqa xmm5, xmm0\n movdqa xmm6, xmm0\n movdqa xmm7, xmm0\n"
                     // Null selectors, but for the segment in which the way of the end is read.
                     "mov ecx, 3\n mov es, ecx\n mov fs, ecx\n mov gs, ecx\n"
                     // The direction, alignment and identification flags, and nested task.
                     "push 0x246602\n popfd\n"
                     "cmp dword ptr [zero], 1\n mov ecx, 3\n mov ds, ecx\n"
                     "mov ebx, eax\n mov ebp, eax\n"
                     "je 3f\n ja 4f\n"
                     // Returns no bytes.
                     "mov eax, 1\n mov esi, 0x100000\n xor edi, edi\n mov ecx, esp\n lea edx, [3f]\n"
                     "sysenter\n"
                     "3: ud2\n"
                     "4: jmp 4b\n"
                     ".att_syntax\n" ::"a"(PATTERN),
                     [control] "m"(control), [status] "m"(status));
    __builtin_unreachable();
}

static uint32_t notes[16][4];
static uint32_t count;

static void note(uint32_t place, uint32_t value)
{
    if (count < 16) {
        notes[count][0] = place;
        notes[count][2] = value;
    }
    count++;
}

static void all(volatile const uint32_t *from, volatile const uint32_t *to, uint32_t expected)
{
    for (; from < to; from++) {
        uint32_t value = *from;
        if (value != expected) {
            note((uintptr_t)from, value);
        }
    }
}

// What is not as it should be: a word that says where, and one that says what.
static struct xos_bytes look(uint32_t length)
{
    volatile uint32_t here = length;
    const uint32_t *heap = (const uint32_t *)XOS_HEAP, *stack = (const uint32_t *)(XOS_STACK_END - STACK);
    const uint32_t *argument = (const uint32_t *)(XOS_ARGUMENT + ((length + 7) & ~7u));
    // Memory first, before anything here writes to it: the heap has given out one block, of its first page.
    all(stack, (const uint32_t *)(((uintptr_t)&here & ~15u) - 2 * PAGE), 0);
    all(heap + 64, heap + TRACED * PAGE / 4, 0);
    all(argument, (const uint32_t *)(XOS_ARGUMENT + PAGE), 0);
    all(initial, initial + 2048, GIVEN);
    all(prepared, prepared + 64, MADE);
    all(zero, zero + 4096, 0);
    all(&counter, &counter + 1, 41);
    all(heap, heap + 64, MADE);

    // EAX, EBX, ECX, EDX, ESI, EDI, EBP, ESP.
    const uint32_t general[8] = {
        0, 0, XOS_STACK_END, (uintptr_t)xos_begin, XOS_ARGUMENT, length, 0, XOS_STACK_END,
    };
    for (uint32_t i = 0; i < 8; i++) {
        if (found[i] != general[i]) {
            note(i, found[i]);
        }
    }
    // All but those of arithmetic: interrupts are on, and one bit is always set.
    if ((found[8] & ~0x8d5u) != 0x202) {
        note(8, found[8]);
    }
    const uint16_t segments[4] = { 0x23, 0x23, 0, 0 };
    for (uint32_t i = 0; i < 4; i++) {
        if ((uint16_t)found[9 + i] != segments[i]) {
            note(9 + i, found[9 + i]);
        }
    }
    for (uint32_t i = 0; i < 72; i++) {
        uint32_t expected = i == 0 ? 0x37f : i == 6 ? 0x1f80 : 0;
        // The mask of MXCSR is a constant of the processor; there are eight SSE registers.
        if (i != 7 && found[16 + i] != expected) {
            note(32 + i, found[16 + i]);
        }
    }
    return (struct xos_bytes){ notes, 16 * (count < 16 ? count : 16) };
}

struct xos_bytes virtine(const uint8_t *argument, uint32_t length)
{
    const uint8_t *rest = argument + 1;
    uint32_t left = length ? length - 1 : 0;
    uint8_t byte = left ? rest[0] : 0;
    uint32_t first = word(rest, left, 0);
    switch (length ? argument[0] : 255) {
    case REVERSE: {
        uint8_t *given = xos_alloc(left);
        for (uint32_t i = 0; i < left; i++) {
            given[i] = rest[left - 1 - i];
        }
        return (struct xos_bytes){ given, left };
    }
    case GIVE: {
        uint8_t *given = xos_alloc(first);
        for (uint32_t i = 0; i < first; i++) {
            given[i] = i;
        }
        return (struct xos_bytes){ given, first };
    }
    case COUNT:
        return number(++counter);
    case FAULT:
        fault(byte);
    case SPIN:
        spin();
    case BOMB:
        touch_heap(UINT32_MAX / PAGE);
        return text("");
    case HEAP:
        touch_heap(first);
        return text("touched");
    case ASK: {
        uint8_t *answer = xos_alloc(XOS_MAX_PART);
        return (struct xos_bytes){ answer, xos_hypercall(byte, rest + 1, left - 1, answer) };
    }
    case ASK_FOR_EVER: {
        uint8_t *answer = xos_alloc(XOS_MAX_PART);
        for (;;) {
            xos_hypercall(byte, "again", 5, answer);
        }
    }
    case SYSTEM_CALL:
        // What, number, address, bytes; the answer to where the fifth word says.
        return number(xos_say(first, word(rest, left, 1), (void *)(uintptr_t)word(rest, left, 2),
                              word(rest, left, 3), (void *)(uintptr_t)word(rest, left, 4)));
    case READ: {
        uint8_t *byte = xos_alloc(1);
        *byte = *(volatile uint8_t *)(uintptr_t)first;
        return (struct xos_bytes){ byte, 1 };
    }
    case WRITE:
        *(volatile uint8_t *)(uintptr_t)first = 1;
        return text("written");
    case EXECUTE:
        ((void (*)(void))(uintptr_t)first)();
        return text("executed");
    case LEAVE:
        leave(byte);
    case LOOK:
        return look(length);
    case RECURSE:
        return number(recurse(first));
    case CODE: {
        // These bytes, as code: what is written can be executed.
        uint8_t *code = xos_alloc(left + 1);
        memcpy(code, rest, left);
        code[left] = 0xc3;
        ((void (*)(void))(uintptr_t)code)();
        return text("executed");
    }
    }
    return text("no such deed");
}
