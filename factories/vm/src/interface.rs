// SPDX-License-Identifier: BSD-2-Clause
//! The numbers that a guest and its monitor agree on, all in this place: the library takes them from here,
//! and what compiles our own kernel ([apps/guest](../../../apps/guest)) makes a C header of this file.

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: u32 = $value;)*

        /// All of them, by name.
        pub const NUMBERS: &[(&str, u32)] = &[$((stringify!($name), $name)),*];
    };
}

numbers! {
    // What can be asked for by `VMCALL`; `hypercall` says what with.

    /// The version of this interface.
    CALL_VERSION = 0;
    /// Writes to the console.
    CALL_WRITE = 1;
    /// Reads what came to the serial port.
    CALL_READ = 2;
    /// The time since the start.
    CALL_TIME = 3;
    /// Ends the machine.
    CALL_POWER_OFF = 4;
    /// Sends a message through a channel, and waits for the reply.
    CALL_CALL = 5;
    /// Sends a message through a channel, and waits until it is received.
    CALL_SEND = 6;
    /// Signals a channel.
    CALL_SIGNAL = 7;
    /// The next message that others sent to the machine.
    CALL_RECEIVE = 8;
    /// Replies to it.
    CALL_REPLY = 9;
    /// What others have signalled to the machine.
    CALL_SIGNALS = 10;

    // What it is answered, if not with what was asked for.

    /// To a number that is none.
    NO_SUCH_CALL = -1i32 as u32;
    /// To an address that is not in the guest's memory.
    BAD_ADDRESS = -2i32 as u32;
    /// To a number of a channel that is not the guest's, or where there are none.
    NO_CHANNEL = -3i32 as u32;

    /// The version of the interface.
    VERSION = 2;
    /// Bytes that are moved in one call, at most.
    MOST = 4096;

    // Messages: little-endian words of 64 bits.

    /// Words of a message behind its label.
    MESSAGE_WORDS = 4;
    /// Bytes of a message: its label, the words, and who sent it.
    MESSAGE_BYTES = 8 * (MESSAGE_WORDS + 2);

    // Channels: root slots of the CSpace of the machine's IC, as everywhere.

    /// The session on the IC manager.
    MANAGER_CHANNEL = 2;
    /// The first of those that the machine's creator named.
    NAMED_CHANNELS = 8;
    /// Behind the last of them.
    NAMED_CHANNELS_END = 12;
    /// The first of those that a guest may fill, or have filled by others.
    OWN_CHANNELS = 32;
    /// Behind the last of them.
    OWN_CHANNELS_END = 64;
    /// The one of these that is for the endpoint of the machine, once it has been made.
    ENDPOINT = OWN_CHANNELS;
    /// The one of these that has the notification of the machine.
    BELL = OWN_CHANNELS + 1;

    /// The interrupt that says that there is a message or a signal.
    LINK_INTERRUPT = 5;

    // Physical addresses.

    /// Where regions are to be mapped, at multiples of 2 MiB. What is not mapped there is a protection fault.
    SHARED = 0x8000_0000;
    /// Behind the last address for them.
    SHARED_END = 0xc000_0000;
}
