/* SPDX-License-Identifier: BSD-2-Clause */
/* The console: the first serial port, polled for output and interrupt-driven for input. */

#include "kernel.h"
#include <stdarg.h>

enum { COM1 = 0x3f8, DATA_READY = 1, MAY_SEND = 0x20 };

static volatile char received[256];
static volatile uint8_t first, end;

void console_start(void)
{
    out8(COM1 + 3, 3);          /* eight bits, no parity */
    out8(COM1 + 2, 7);          /* FIFOs on, and empty */
    out8(COM1 + 4, 0x0b);       /* ready, and its interrupt line is connected */
    out8(COM1 + 1, 1);          /* tell of what arrives */
}

void console_interrupt(void)
{
    while (in8(COM1 + 5) & DATA_READY)
        received[end++] = in8(COM1);
}

int get(void)
{
    return first == end ? -1 : received[first++];
}

void put(char c)
{
    if (c == '\n')
        put('\r');
    while (!(in8(COM1 + 5) & MAY_SEND))
        ;
    out8(COM1, c);
}

static void put_number(uint32_t value, uint32_t base)
{
    char digits[10];
    int count = 0;
    do
        digits[count++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (count)
        put(digits[--count]);
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                put(*text);
            break;
        case 'u':
            put_number(va_arg(arguments, uint32_t), 10);
            break;
        case 'x':
            put_number(va_arg(arguments, uint32_t), 16);
            break;
        case 'c':
            put(va_arg(arguments, int));
            break;
        }
    }
    va_end(arguments);
}
