// SPDX-License-Identifier: BSD-2-Clause
// The first program of a Linux that runs in a virtual machine, 32 bits, without a C library: says which Linux it is,
// and powers off.
struct names {
    char system[65], node[65], release[65], version[65], machine[65], domain[65];
};

enum { WRITE = 4, REBOOT = 88, UNAME = 122 };
enum { MAGIC_1 = (int)0xfee1dead, MAGIC_2 = 672274793, POWER_OFF = 0x4321fedc };

static long call(long number, long a, long b, long c)
{
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
    return number;
}

static void say(const char *text)
{
    long length = 0;
    while (text[length]) {
        length++;
    }
    call(WRITE, 1, (long)text, length);
}

_Noreturn void _start(void)
{
    struct names names;
    call(UNAME, (long)&names, 0, 0);
    say("init: ");
    say(names.system);
    say(" ");
    say(names.release);
    say(" on ");
    say(names.machine);
    say("\n");
    for (;;) {
        call(REBOOT, MAGIC_1, MAGIC_2, POWER_OFF);
    }
}
