// SPDX-License-Identifier: BSD-2-Clause
//! The demonstration: command lines that anyone could type, with a sentence before each.

/// What is shown first.
pub const BANNER: &str = "\nxOS: isolation contexts on seL4\n\
    Every program here is an isolation context (IC). What kind of one, a process or a thread,\n\
    is the affair of the factory that made it.\n";

/// The line that is left out if there is no such container in the file tree.
pub const CONTAINER: &str = "container run --rm busybox";

/// The line that is left out where there are no virtual processors.
pub const MACHINE: &str = "run vm guest 'info; say hello from a kernel of its own'";

/// What is said before a line is run, and the line.
pub const STEPS: &[(&str, &str)] = &[
    ("The ICs that exist from the start:", "list"),
    (
        "A program as a process:",
        "run process hello from a process",
    ),
    (
        "The same program, its work done by a thread:",
        "run process hello --thread from a thread",
    ),
    (
        "Work shared by threads, each an IC within its creator:",
        "run process parallel",
    ),
    (
        "A key-value service and its clients, each in an IC of its own:",
        "run process kv",
    ),
    (
        "A container: a Linux of its own, all of it paid from one budget:",
        CONTAINER,
    ),
    (
        "Strangers' messages, each parsed by a virtine: a call in a context of its own:",
        "run process parse",
    ),
    (
        "A virtual machine, with a kernel of its own on a virtual processor:",
        MACHINE,
    ),
    (
        "A crash, which hurts nobody else:",
        "run process crash null",
    ),
    ("What is left of all that:", "list"),
];

/// What is said before the prompt.
pub const FAREWELL: &str = "Type `help` for what can be done here, `poweroff` to end.\n";

/// What is said before a shell of Linux's.
pub const SHELL: &str = "What follows is a shell of Linux's, whose programs are ICs. `exit` leads to the monitor, which\n\
    has the whole system in view.\n\n";
