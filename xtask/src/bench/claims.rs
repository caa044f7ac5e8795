// SPDX-License-Identifier: BSD-2-Clause
//! What is promised, area by area.
//!
//! To add an area, add a table here, and a module that measures it to the guest program
//! (`tests/guests/bench`). A value is looked up by its name.

use super::{Area, Claim, Raw};

/// All areas.
pub const AREAS: &[Area] = &[
    Area {
        title: "The core",
        claims: CORE,
    },
    Area {
        title: "The same by hand, against the best that is known",
        claims: BY_HAND,
    },
    Area {
        title: "Factories, and the end of ICs",
        claims: LIVES,
    },
    Area {
        title: "Virtines",
        claims: VIRTINES,
    },
];

/// What the core costs beside the bare kernel. Processes and threads by hand are made by a server made
/// by hand, in messages as long as those of the factories.
const CORE: &[Claim] = &[
    Claim {
        what: "message and reply between two connected ICs",
        value: "message",
        raw: Raw::Measured("message-raw"),
        target: 1.02,
    },
    Claim {
        what: "smallest request to the manager",
        value: "request",
        raw: Raw::Measured("request-raw"),
        target: 1.2,
    },
    Claim {
        what: "process: create, start, exit, wait, destroy",
        value: "process",
        raw: Raw::Measured("process-raw"),
        target: 1.5,
    },
    Claim {
        what: "thread: create, start, exit, wait, destroy",
        value: "thread",
        raw: Raw::Measured("thread-raw"),
        target: 1.5,
    },
    Claim {
        what: "create with 1,000 ICs alive, against create with one",
        value: "create-1000",
        raw: Raw::Measured("create-1"),
        target: 1.1,
    },
];

/// What names of factories cost, clones, and memory that is taken back.
const LIVES: &[Claim] = &[
    Claim {
        what: "open a factory by its name and create, against create, one round trip and the session's \
               capabilities by hand",
        value: "open-create",
        raw: Raw::Measured("open-create-raw"),
        target: 1.03,
    },
    Claim {
        what: "clone of a process of 16 MiB: clone, start, exit, wait, destroy, against the making of such a \
               process anew",
        value: "clone-16mib",
        raw: Raw::Measured("create-16mib"),
        target: 0.1,
    },
    Claim {
        what: "16 MiB taken back at once, against 16 times 1 MiB",
        value: "destroy-16mib",
        raw: Raw::Measured("destroy-16x1mib"),
        target: 1.1,
    },
    Claim {
        what: "worst delay of the timer while 16 MiB are revoked, against 50 us",
        value: "delay-revoking",
        raw: Raw::Known(50_000),
        target: 1.0,
    },
];

/// A call from the pool, against what a server cannot do without that waits for nobody, by hand: a message whose
/// caller is kept and answered later, a context entered and left, and each page that the call wrote put back.
const VIRTINES: &[Claim] = &[
    Claim {
        what: "virtine: a call from the pool that writes its stack",
        value: "virtine-call",
        raw: Raw::Measured("virtine-call-raw"),
        target: 1.25,
    },
    Claim {
        what: "virtine: one that writes eight pages more",
        value: "virtine-call-8-pages",
        raw: Raw::Measured("virtine-call-8-pages-raw"),
        target: 1.25,
    },
];

/// What is done by hand is no straw man.
const BY_HAND: &[Claim] = &[
    Claim {
        what: "process of eight pages, its CSpace kept for the next one",
        value: "process-floor",
        raw: Raw::Known(67_234),
        target: 1.0,
    },
    Claim {
        what: "process as the system makes it, with its server's messages",
        value: "process-raw",
        raw: Raw::Known(67_234),
        target: 1.0,
    },
    Claim {
        what: "thread in a page table that is there",
        value: "thread-floor",
        raw: Raw::Known(17_171),
        target: 1.03,
    },
];
