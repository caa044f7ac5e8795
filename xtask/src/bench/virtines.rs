// SPDX-License-Identifier: BSD-2-Clause
//! What a virtine's call costs, on virtual processors and in address spaces: `docs/benchmarks-virtual.md`.
//!
//! The same program measures both, in Bochs, which has VT-x and counts an instruction as a cycle, and in QEMU, which
//! counts instructions.

use super::{Area, Claim, Raw, Values, area_report, grouped, verdict};
use crate::workspace::root;
use anyhow::{Result, anyhow};
use std::fmt::Write;
use std::{fs, process};

/// Where the report goes.
pub const REPORT: &str = "docs/benchmarks-virtual.md";
/// The system that measures.
pub const SYSTEM: &str = "tests/bench-virtual.system";
/// Programs that it starts.
pub const PROGRAMS: &[&str] = &["bench-call", "bench-virtine"];

/// What is promised where there are virtual processors.
const ON_PROCESSORS: Area = Area {
    title: "On virtual processors, in Bochs",
    claims: &[
        Claim {
            what: "a call from the pool that writes its stack, a page: `Function::invoke_into` in a program, to \
                   its result, against 1.5 times message and context, and a page by the second stage",
            value: "call",
            raw: Raw::Measured("call-second-stage"),
            target: 1.0,
        },
        Claim {
            what: "one that writes eight pages more, against the same and nine pages by the second stage",
            value: "call-8-pages",
            raw: Raw::Measured("call-8-pages-second-stage"),
            target: 1.0,
        },
    ],
};

/// What both runs measure: the value's name, what it is, and what Wasp's paper (EuroSys 2022) has of it, which are
/// medians on KVM in cycles of its machine.
const SIDE_BY_SIDE: &[(&str, &str, &str)] = &[
    (
        "message",
        "a message and its answer between two address spaces, by hand",
        "",
    ),
    ("context", "into a context and out of it, by hand", "8,652"),
    ("page-copy", "a page copied, by hand", ""),
    (
        "page-second-stage",
        "a page put back by the second stage, by hand: unmap, exit, map, copy",
        "",
    ),
    (
        "call",
        "a call from the pool that writes its stack",
        "8,736 to 12,747",
    ),
    ("call-8-pages", "a call that writes eight pages more", ""),
    (
        "call-to-heap",
        "the first one, with a result on the heap: `Function::invoke`",
        "",
    ),
    ("hypercall", "a hypercall that the caller answers", ""),
    ("thread", "a thread created and joined", "106,533"),
    ("process", "a process created and waited for", "589,449"),
];

/// What the first of these is of the second, and what it is in Wasp's paper.
const RATIOS: &[(&str, &str, &str, &str)] = &[
    ("call", "thread", "a call, of a thread", "0.082 to 0.120"),
    ("call", "process", "a call, of a process", "0.015 to 0.022"),
    (
        "call",
        "call-copied",
        "a call, of 1.5 times message and context, and the copy of a page",
        "",
    ),
    (
        "call-8-pages",
        "call-8-pages-copied",
        "one that writes eight pages more, of the same and nine copies",
        "",
    ),
];

/// The image for virtual processors.
///
/// # Errors
/// When it cannot be compiled.
pub fn image() -> Result<(&'static str, Vec<u8>)> {
    let source = root().join("tests/guests/virtines/vcpu/bench.c");
    let scratch = root().join(format!("target/bench-virtine.{}", process::id()));
    let built = xos_virtine_c::build(&[source], &scratch).map_err(|why| anyhow!("{why}"));
    let bytes = built.and_then(|()| Ok(fs::read(&scratch)?));
    // It is in the image, or of no use.
    let _ = fs::remove_file(&scratch);
    Ok(("vcpu/bench-virtine", bytes?))
}

/// Writes the report of both runs. The error names the claims that do not hold, after the report.
pub fn report(processors: &Values, spaces: &Values) -> (String, Result<()>) {
    let mut out = String::from(HEAD);
    let cell = |values: &Values, name| values.ticks(name).map_or_else(String::new, grouped);
    for (name, what, wasp) in SIDE_BY_SIDE {
        let _ = writeln!(
            out,
            "| {what} | {} | {} | {wasp} |",
            cell(processors, name),
            cell(spaces, name),
        );
    }
    for (part, whole, what, wasp) in RATIOS {
        let ratio = |values: &Values| {
            let (part, whole) = (values.ticks(part)?, values.ticks(whole)?);
            (whole > 0).then(|| format!("{:.3}", part as f64 / whole as f64))
        };
        let _ = writeln!(
            out,
            "| {what} | {} | {} | {wasp} |",
            ratio(processors).unwrap_or_default(),
            ratio(spaces).unwrap_or_default(),
        );
    }
    let mut broken = Vec::new();
    let _ = write!(
        out,
        "\n## {}\n\n{}",
        ON_PROCESSORS.title,
        super::UNTIMED_TABLE
    );
    area_report(&ON_PROCESSORS, processors, None, &mut out, &mut broken);
    (out, verdict(&broken))
}

const HEAD: &str = "\
# Benchmarks of virtual processors and virtines

Written by `make bench`: one program in two runs, in Bochs, where virtines are on virtual processors, and in QEMU,
where they are address spaces. Both count the guest's instructions (Bochs' cycle is one) and repeat from run to run.
What is done by hand is of the same run. Wasp's medians (EuroSys 2022) are of KVM, in cycles of a real processor: what
can be compared is each system with itself.

| | on a virtual processor | in an address space | Wasp |
| --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_claimed_is_in_the_report_and_what_is_missed_is_named() {
        let values = |call| {
            let mut values = Values::default();
            for name in [
                "call-second-stage",
                "call-copied",
                "call-8-pages-second-stage",
                "call-8-pages-copied",
                "call-8-pages",
                "thread",
            ] {
                values.insert(name, 2_000, super::super::TICKS);
            }
            values.insert("call", call, super::super::TICKS);
            values
        };
        let (text, result) = report(&values(1_000), &values(1_000));
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(text.matches("| held |").count(), 2, "{text}");
        assert!(
            text.contains("| a call, of a thread | 0.500 | 0.500 |"),
            "{text}"
        );
        assert!(
            text.contains("and the copy of a page | 0.500 | 0.500 |"),
            "{text}"
        );
        let (text, result) = report(&values(2_001), &values(1_000));
        assert_eq!(text.matches("**missed**").count(), 1, "{text}");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("a page by the second stage")
        );
    }

    #[test]
    fn the_image_is_a_32_bit_program() {
        let (_, bytes) = image().unwrap();
        assert_eq!(bytes[..5], *b"\x7fELF\x01");
    }
}
