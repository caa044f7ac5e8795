// SPDX-License-Identifier: BSD-2-Clause
// Parses an HTTP request: a line that says what it is. As apps/parse/src/lib.rs has it.
//
// For the sake of the example it has a hole: a message can say what it does to the parser, as one does that has
// found a real one.
#include <picohttpparser.c>
#include "virtine.h"
#include <stdbool.h>

enum { MAX_HEADERS = 32 };
static const char EXPLOIT[] = "x-exploit";

// A text that grows on the heap, which gives nothing back: nothing else is taken from it meanwhile.
struct text {
    char *at;
    uint32_t length;
};

static void add(struct text *text, const char *bytes, size_t length)
{
    char *to = xos_alloc(length);
    if (!text->at) {
        text->at = to;
    }
    // What is given out is aligned, and so may lie behind the text's end.
    memcpy(text->at + text->length, bytes, length);
    text->length += length;
}

static void add_text(struct text *text, const char *word)
{
    size_t length = 0;
    while (word[length]) {
        length++;
    }
    add(text, word, length);
}

static void add_number(struct text *text, uint32_t number)
{
    char digits[10];
    size_t first = sizeof digits;
    do {
        digits[--first] = '0' + number % 10;
        number /= 10;
    } while (number);
    add(text, digits + first, sizeof digits - first);
}

static bool is(const char *bytes, size_t length, const char *word)
{
    for (size_t i = 0; i < length; i++) {
        char byte = bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20 : bytes[i];
        if (byte != word[i]) {
            return false;
        }
    }
    return word[length] == 0;
}

static void exploit(const struct phr_header *header)
{
    if (is(header->value, header->value_len, "crash")) {
        // Where nothing is, which the compiler is not to know.
        uint8_t *volatile nowhere = (uint8_t *)1;
        *nowhere = 1;
    } else if (is(header->value, header->value_len, "spin")) {
        for (;;) {
            __builtin_ia32_pause();
        }
    } else if (is(header->value, header->value_len, "bomb")) {
        for (;;) {
            *(volatile uint8_t *)xos_alloc(4096) = 1;
        }
    } else if (is(header->value, header->value_len, "call")) {
        uint8_t answer[XOS_MAX_PART];
        xos_hypercall(7, "let me out", 10, answer);
    }
}

struct xos_bytes virtine(const uint8_t *message, uint32_t length)
{
    struct phr_header headers[MAX_HEADERS];
    const char *method, *path;
    size_t method_length, path_length, count = MAX_HEADERS;
    int version;
    struct text text = { 0 };
    int parsed = phr_parse_request((const char *)message, length, &method, &method_length, &path, &path_length,
                                   &version, headers, &count, 0);
    if (parsed < 0) {
        add_text(&text, parsed == -2 ? "a request that is cut short" : "no request");
        return (struct xos_bytes){ text.at, text.length };
    }
    for (size_t i = 0; i < count; i++) {
        if (headers[i].name && is(headers[i].name, headers[i].name_len, EXPLOIT)) {
            exploit(&headers[i]);
        }
    }
    add(&text, method, method_length);
    add_text(&text, " ");
    add(&text, path, path_length);
    add_text(&text, ": ");
    add_number(&text, count);
    add_text(&text, " headers, ");
    add_number(&text, length - parsed);
    add_text(&text, " bytes of body");
    return (struct xos_bytes){ text.at, text.length };
}
