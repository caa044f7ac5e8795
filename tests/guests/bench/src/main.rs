// SPDX-License-Identifier: BSD-2-Clause
//! Measures what the system costs, and what the same work costs by hand, in one run.
//!
//! It is the supervisor of its system (in the monitor's place), so that the kernel lets it make address
//! spaces by hand. It reports values; what they are to be is the host's affair, and so is what a tick is
//! (an instruction, or a piece of time). A step that fails ends the machine with a failure.
//!
//! Each table of the report has a module here: what is measured, and in which order, is in [`AREAS`]; in a domain
//! that is called [`VIRTUAL`], that is [`calls`] alone.
#![no_std]
#![no_main]

extern crate alloc;

mod by_hand;
mod calls;
mod core_costs;
mod host;
mod lives;
mod server;
mod virtines;

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        mod processor;
    }
}

use host::Bench;
use sel4_microkit::{Handler, NullHandler, panicking, protection_domain};
use xos_test_kit::Outcome;

/// What is measured, area by area.
const AREAS: &[fn(&mut Bench) -> Outcome] =
    &[virtines::measure, core_costs::measure, lives::measure];
/// The domain's name when it is about calls on virtual processors and in address spaces.
const VIRTUAL: &str = "bench_virtual";

#[protection_domain(heap_size = 256 * 1024)]
fn init() -> impl Handler {
    panicking::set_hook(&|info| host::fail(format_args!("{info}")));
    let mut bench = match Bench::new() {
        Ok(bench) => bench,
        Err(failure) => host::fail(format_args!("{}", failure.reason())),
    };
    bench.clock();
    let areas = match sel4_microkit::pd_name() {
        Ok(VIRTUAL) => &[calls::measure as fn(&mut Bench) -> Outcome],
        _ => AREAS,
    };
    for measure in areas {
        if let Err(failure) = measure(&mut bench) {
            host::fail(format_args!("{}", failure.reason()));
        }
    }
    bench.clock();
    host::power_off(true);
    #[allow(unreachable_code, reason = "the entry wants a handler")]
    NullHandler::new()
}
