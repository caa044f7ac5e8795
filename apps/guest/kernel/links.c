/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is to do with others: channels, signals, shared memory. Two commands, `hub` and `party`, do with
   each other, or with a program of any kind in the place of the other, everything that there is; what they say to
   each other is the links suite's (tests/guests/links). */

#include "kernel.h"

enum {
    HELLO = 0x700, ADD, NOTE, LAST, SIGNALS, READ, AGREE, CALL_BACK, REVOKE, PROBE, PROBES,
    /* Channels. */
    FIRST = 40, SECOND, THIRD, HUB, TIMER, BACK,
    SHARE = 2, CONNECT = 4, READ_WRITE = 3,
};

volatile uint32_t link_interrupts;
uint64_t asked;
/* The session or connection in a channel. */
static uint32_t link_in[OWN_CHANNELS_END];

void link_interrupt(void) { link_interrupts++; }

uint32_t call(uint32_t channel, uint32_t label, uint64_t words[MESSAGE_WORDS])
{
    struct message message = { .label = label };
    for (size_t i = 0; i < MESSAGE_WORDS; i++)
        message.words[i] = words[i];
    uint32_t refused = hypercall(CALL_CALL, channel, (uint32_t)&message);
    for (size_t i = 0; i < MESSAGE_WORDS; i++)
        words[i] = message.words[i];
    return refused ? refused : message.label;
}

uint32_t ask(uint32_t operation, uint64_t first, uint64_t second, uint64_t third, uint64_t fourth)
{
    uint64_t words[] = { first, second, third, fourth };
    uint32_t refused = call(MANAGER_CHANNEL, operation, words);
    asked = words[0];
    return refused;
}

/* The three words of a name. */
struct name { uint64_t words[3]; };

static struct name name_of(const char *text)
{
    struct name name = { { 0 } };
    for (int i = 0; text[i] && i < 24; i++)
        ((char *)name.words)[i] = text[i];
    return name;
}

uint32_t open(const char *text, uint32_t channel)
{
    struct name name = name_of(text);
    uint32_t refused = ask(OP_OPEN, channel, name.words[0], name.words[1], name.words[2]);
    if (!refused)
        link_in[channel] = asked;
    return refused;
}

uint32_t serve(const char *text)
{
    struct name name = name_of(text);
    uint32_t refused = ask(OP_MAKE, 0, ENDPOINT, 0, 0);
    /* It may be there already. */
    if (refused && refused != BAD_SLOT)
        return refused;
    /* A service, and not a factory. */
    return ask(OP_REGISTER, ENDPOINT | 1 << 12, name.words[0], name.words[1], name.words[2]);
}

void receive(struct message *message)
{
    interrupts_off();
    while (!hypercall(CALL_RECEIVE, 0, (uint32_t)message)) {
        wait_for_interrupt();
        interrupts_off();
    }
    interrupts_on();
}

static void reply(struct message *message, uint32_t refused)
{
    message->label = refused;
    hypercall(CALL_REPLY, 0, (uint32_t)message);
}

/* Gives the machine's endpoint or bell to another. */
static uint32_t connect(uint32_t what, uint32_t slot, uint64_t whom)
{
    return ask(OP_CONNECT, what | slot << 12, whom, 0, 0);
}

static void failed(const char *what)
{
    print("not so: %s\n", what);
    power_off(1);
}

static void holds(bool claim, const char *what)
{
    if (!claim)
        failed(what);
}

/* ---- the hub ---- */

static volatile uint64_t *const shared = (uint64_t *)SHARED;

/* Makes a region that this machine sees, too. */
static uint64_t make_region(void)
{
    holds(!ask(OP_REGION_CREATE, 0, 1, 0, 0), "a region");
    uint64_t region = asked;
    holds(!ask(OP_SHARE, region, 0, PLACE(SHARED), READ_WRITE), "its place");
    map_shared();
    return region;
}

static void hub(const char *arguments)
{
    (void)arguments;
    uint64_t noted = 0, probes = 0, region = make_region(), client = 0, given[2] = { 0 };
    holds(!open("timer", TIMER), "a timer");
    holds(!serve("hub"), "a name");
    for (;;) {
        struct message message;
        receive(&message);
        uint64_t *words = message.words, sender = OTHER_END(message.who);
        uint32_t refused = 0;
        switch ((uint32_t)message.label) {
        case HELLO: {
            uint64_t first = words[0], second = words[1], third = words[2], place = words[3];
            if ((refused = connect(ENDPOINT, first, sender)))
                break;
            words[0] = given[0] = asked;
            if ((refused = connect(BELL, second, sender)))
                break;
            words[1] = given[1] = asked;
            if ((refused = ask(OP_PASS, link_in[TIMER] | third << 24, sender, 0, 0)))
                break;
            words[2] = asked;
            refused = ask(OP_SHARE, region, sender, place, READ_WRITE);
            words[3] = region;
            client = sender;
            break;
        }
        case ADD: words[0] += words[1]; break;
        case NOTE: noted = words[0]; break;
        case LAST: words[0] = noted; break;
        case SIGNALS: words[0] = hypercall(CALL_SIGNALS, 0, 0); break;
        case READ: words[0] = (*shared)++; break;
        case AGREE:
            refused = ask(OP_AGREE, (uint32_t)message.who, SHARE | CONNECT, 0, 0);
            words[0] = BACK;
            break;
        case CALL_BACK: {
            uint64_t sum[MESSAGE_WORDS] = { 20, 22 };
            call(BACK, ADD, sum);
            noted = sum[0];
            break;
        }
        case REVOKE:
            refused = ask(OP_CLOSE, given[0], 0, 0, 0);
            if (!refused)
                refused = ask(OP_CLOSE, given[1], 0, 0, 0);
            if (!refused)
                refused = ask(OP_UNSHARE, region, client, 0, 0);
            break;
        case PROBE: probes++; break;
        case PROBES: words[0] = probes; break;
        default: refused = NO_SUCH_OPERATION;
        }
        reply(&message, refused);
    }
}

/* ---- the party ---- */

static uint32_t hello(uint64_t words[MESSAGE_WORDS])
{
    words[0] = FIRST;
    words[1] = SECOND;
    words[2] = THIRD;
    words[3] = PLACE(SHARED);
    return call(HUB, HELLO, words);
}

/* Asks the hub something with up to two words: the first word of the answer. */
static uint64_t question(uint32_t channel, uint32_t label, uint64_t first, uint64_t second)
{
    uint64_t words[MESSAGE_WORDS] = { first, second };
    holds(!call(channel, label, words), "an answer");
    return words[0];
}

static void send(uint32_t channel, uint32_t label, uint64_t word)
{
    struct message message = { .label = label, .words = { word } };
    holds(!hypercall(CALL_SEND, channel, (uint32_t)&message), "a send");
}

static void look_at(uint32_t address) { (void)*(volatile uint32_t *)address; }

/* What it does when everything between the two has ended. */
static void parted(bool by_supervisor)
{
    uint64_t words[MESSAGE_WORDS] = { 1, 2 };
    holds(call(FIRST, ADD, words) == GONE, "a link that has ended");
    holds(!hypercall(CALL_SIGNAL, SECOND, 0), "a signal to nobody");
    if (by_supervisor) {
        /* Whatever is in whichever channel: those that are this machine's own are spared, since nobody would
           receive. */
        for (uint32_t channel = 0; channel < 256; channel++)
            if (channel != BELL && channel != THIRD) {
                uint64_t none[MESSAGE_WORDS] = { 0 };
                call(channel, PROBE, none);
            }
    }
    holds(guarded(look_at, SHARED) == PROTECTION + 1, "memory that is not shared any more");
    print("all has ended as it should\n");
}

static void party(const char *arguments)
{
    bool by_hub = starts(arguments, "hub"), by_supervisor = starts(arguments, "supervisor");
    map_shared();
    while (open("hub", HUB) == NOT_FOUND)
        wait_for_interrupt();
    uint64_t peer = OTHER_END(link_in[HUB]), words[MESSAGE_WORDS];

    /* Nothing is there before it is given, and not without consent. */
    holds(guarded(look_at, SHARED) == PROTECTION + 1, "no memory yet");
    holds(hello(words) == NO_CONSENT, "no consent, no channel");
    holds(!ask(OP_AGREE, link_in[HUB], SHARE | CONNECT, 0, 0), "consent");
    holds(!hello(words), "a channel");
    uint32_t links[2] = { words[0], words[1] };
    uint64_t region = words[3];
    holds(!ask(OP_AGREE, link_in[HUB], 0, 0, 0), "consent is withdrawn");
    holds(hello(words) == NO_CONSENT, "consent can be withdrawn");

    /* Calls, sends, signals, memory, a third party. */
    holds(question(FIRST, ADD, 1, 2) == 3, "a call");
    send(FIRST, NOTE, 77);
    holds(question(HUB, LAST, 0, 0) == 77, "a send arrives");
    holds(!hypercall(CALL_SIGNAL, SECOND, 0), "a signal");
    holds(question(HUB, SIGNALS, 0, 0) == 1u << links[1] % 24, "a signal arrives");
    *shared = 41;
    holds(question(HUB, READ, 0, 0) == 41, "memory, there");
    holds(*shared == 42, "memory, and back");
    holds(question(THIRD, TIMER_NOW, 0, 0) != 0, "a session that was passed on");

    /* The other way round. */
    holds(!ask(OP_MAKE, 0, ENDPOINT, 0, 0), "an endpoint");
    holds(connect(ENDPOINT, FIRST, peer) == NO_CONSENT, "nor the other way");
    uint32_t inlet = question(HUB, AGREE, 0, 0);
    holds(!connect(ENDPOINT, inlet, peer), "a way back");
    uint32_t before = link_interrupts;
    send(FIRST, CALL_BACK, 0);
    struct message message;
    receive(&message);
    holds(link_interrupts != before, "an interrupt says that there is a message");
    holds(message.label == ADD, "what was asked");
    message.words[0] += message.words[1];
    reply(&message, 0);
    holds(question(HUB, LAST, 0, 0) == 42, "a call back");

    if (by_hub) {
        question(HUB, REVOKE, 0, 0);
    } else if (by_supervisor) {
        holds(!serve("party-is-ready"), "a name");
        do {
            wait_for_interrupt();
            words[0] = 0;
        } while (!call(HUB, LAST, words));
    } else {
        for (int i = 0; i < 2; i++)
            holds(!ask(OP_CLOSE, links[i], 0, 0, 0), "an end of a link");
        holds(!ask(OP_UNSHARE, region, 0, 0, 0), "an end of shared memory");
    }
    parted(by_supervisor);
}

/* Lets somebody call, receives, and ends without an answer. */
static void deaf(const char *arguments)
{
    (void)arguments;
    holds(!serve("hub"), "a name");
    struct message message;
    receive(&message);
    power_off(3);
}

/* Goes on when somebody has called. */
static void await(const char *arguments)
{
    holds(!serve(arguments), "a name");
    struct message message;
    receive(&message);
    reply(&message, 0);
}

const struct command links[] = {
    { "hub", "serves others, until it is killed", hub },
    { "party", "WHO: does everything with a hub, until WHO ends it", party },
    { "deaf", "receives a call, and ends without an answer", deaf },
    { "await", "NAME: is registered under a name, and goes on when somebody has called", await },
    { "lonely", "tries everything with others, of whom there are none", lonely },
    { 0, 0, 0 },
};
