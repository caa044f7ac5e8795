/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that is wrong with a hypercall that has to do with others. */

#include "kernel.h"

static uint32_t tried, refused;

static void expect(uint32_t answer, uint32_t wanted)
{
    tried++;
    refused += answer == wanted;
    if (answer != wanted)
        print("%u: %x in the place of %x\n", tried, answer, wanted);
}

static void expect_asked(uint32_t operation, uint64_t first, uint64_t second, uint32_t wanted)
{
    expect(ask(operation, first, second, 0, 0), wanted);
}

/* A machine to which nothing was given reaches nobody, whatever it says. */
void lonely(const char *arguments)
{
    (void)arguments;
    tried = refused = 0;
    struct message message = { .label = 0x700 };
    const uint32_t address = (uint32_t)&message;

    /* Numbers that are no channel of a guest's, with every call that takes one. */
    static const uint32_t numbers[] = {
        0, 1, 3, 4, 5, 7, 12, 15, 31, ENDPOINT, OWN_CHANNELS_END, 100, 255, 256, 0x2000, 0x7fffffff,
        0x80000000, 0xffffffff,
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        expect(hypercall(CALL_CALL, numbers[i], address), NO_CHANNEL);
        expect(hypercall(CALL_SEND, numbers[i], address), NO_CHANNEL);
        expect(hypercall(CALL_SIGNAL, numbers[i], address), NO_CHANNEL);
        if (numbers[i]) {
            expect(hypercall(CALL_RECEIVE, numbers[i], address), NO_CHANNEL);
            expect(hypercall(CALL_REPLY, numbers[i], address), NO_CHANNEL);
        }
    }
    expect(hypercall(CALL_SEND, MANAGER_CHANNEL, address), NO_CHANNEL);
    expect(hypercall(CALL_SIGNAL, MANAGER_CHANNEL, address), NO_CHANNEL);

    /* Messages that are not in memory, or not all of them. */
    const uint32_t places[] = {
        memory_size, memory_size - 1, memory_size - MESSAGE_BYTES + 1, SHARED, 0xfee00000, 0xfffffff0,
        0xffffffff,
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        expect(hypercall(CALL_CALL, MANAGER_CHANNEL, places[i]), BAD_ADDRESS);
        expect(hypercall(CALL_CALL, OWN_CHANNELS + 2, places[i]), BAD_ADDRESS);
        expect(hypercall(CALL_SEND, OWN_CHANNELS + 2, places[i]), BAD_ADDRESS);
        expect(hypercall(CALL_RECEIVE, 0, places[i]), BAD_ADDRESS);
        expect(hypercall(CALL_REPLY, 0, places[i]), BAD_ADDRESS);
    }

    /* Channels with nothing in them: calls say so, what is sent or signalled goes nowhere. */
    for (uint32_t channel = NAMED_CHANNELS; channel < OWN_CHANNELS_END; channel++) {
        if (channel == NAMED_CHANNELS_END)
            channel = OWN_CHANNELS + 2;
        uint64_t words[MESSAGE_WORDS] = { 0 };
        expect(call(channel, 0x700, words), GONE);
        expect(hypercall(CALL_SEND, channel, address), 0);
        expect(hypercall(CALL_SIGNAL, channel, 0), 0);
    }
    expect(hypercall(CALL_RECEIVE, 0, address), 0);
    expect(hypercall(CALL_REPLY, 0, address), 0);
    expect(hypercall(CALL_SIGNALS, 0, 0), 0);

    /* What is asked of the IC manager: what is not for guests, slots that are the monitor's, others' things. */
    for (uint32_t operation = OP_PING - 2; operation < OP_PING + 64; operation++)
        if (operation == OP_CREATE || operation < OP_PING || operation > OP_PING + 40)
            expect_asked(operation, 1, 2, NO_SUCH_OPERATION);
    for (uint32_t slot = 0; slot < OWN_CHANNELS; slot++) {
        expect(open("console", slot), BAD_SLOT);
        expect_asked(OP_MAKE, 0, slot, BAD_SLOT);
        expect_asked(OP_MAKE, 1, slot, BAD_SLOT);
        expect_asked(OP_CONNECT, slot | 40 << 12, OTHER_END(1), BAD_CAPABILITY);
    }
    expect(open("nobody", 40), NOT_FOUND);
    for (uint64_t link = 0; link < 64; link++) {
        /* Of whom this machine knows nothing; that of its own console, say, it may end. */
        expect_asked(OP_AGREE, link << 32 | 0xffffff, 7, GONE);
        expect_asked(OP_CLOSE, link << 32 | 0xffffff, 0, GONE);
        expect_asked(OP_UNSHARE, link << 12 | 0xfff, 0, GONE);
    }
    expect(ask(OP_SHARE, 1 << 12, 0, (uint64_t)1 << 30, 3), REFUSED_ADDRESS);
    expect(ask(OP_SHARE, 1 << 12, 0, PLACE(0x10000000), 3), REFUSED_ADDRESS);
    expect(ask(OP_SHARE, 1 << 12, 0, PLACE(SHARED_END), 3), REFUSED_ADDRESS);
    expect(ask(OP_SHARE, 1 << 12, 0, PLACE(SHARED + 4096), 3), REFUSED_ADDRESS);
    expect(ask(OP_SHARE, 1 << 12, 0, PLACE(SHARED), 3), GONE);
    print("%u of %u bad calls refused\n", refused, tried);
    if (refused != tried)
        power_off(1);
}
