// SPDX-License-Identifier: BSD-2-Clause
//! From the payload to running domains.

use alloc::vec::Vec;
use core::cell::UnsafeCell;

use sel4::init_thread::slot;
use sel4::{BootInfo, sel4_cfg_bool, sel4_cfg_usize};
use xos_image::{Blob, Image, ImageError};
use xos_protocol::supervisor::boot;
use xos_root_task::memory::Untyped;
use xos_root_task::objects::PAGE_BITS;
use xos_root_task::plan::{Machine, Plan, PlanError};
use xos_root_task::supervise::{Start, Supervisor};

use super::build::Builder;
use super::console;
use super::kernel::{self, KernelError};
use super::stub;
use super::watch::Watch;
use super::window::Window;

/// Why there is no system.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no system in this image; make one with `cargo xtask run --system FILE`")]
    NoPayload,
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("what the manager is to be told does not fit into its pages")]
    ManagerBoot,
}

/// Address and length of the payload, in bytes. The host tool writes them into the image.
#[repr(transparent)]
struct Location(UnsafeCell<[u64; 2]>);

// SAFETY: nothing writes it while the program runs.
unsafe impl Sync for Location {}

#[unsafe(export_name = "xos_payload")]
#[unsafe(link_section = ".data.patched")]
static PAYLOAD: Location = Location(UnsafeCell::new([0; 2]));

fn payload() -> Result<&'static [u8], StartError> {
    // SAFETY: nothing writes it while the program runs; volatile, because the compiler knows only
    // the initial value.
    let [address, len] = unsafe { PAYLOAD.0.get().read_volatile() };
    if address == 0 || len == 0 {
        return Err(StartError::NoPayload);
    }
    // SAFETY: the host tool appended as many bytes to the image at that address, and nothing writes
    // them: domains are given their frames without the right to write.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) })
}

/// Slot of the frame of this image that holds an address.
fn frame_of(bootinfo: &BootInfo, address: usize) -> usize {
    unsafe extern "C" {
        static __executable_start: [u8; 0];
    }
    let image = &raw const __executable_start as usize;
    bootinfo.user_image_frames().start() + ((address - image) >> PAGE_BITS)
}

/// Builds the system and starts it.
pub fn start(bootinfo: &BootInfo) -> Result<Watch<'static>, StartError> {
    let payload = payload()?;
    let image = xos_image::decode(payload)?;
    let untypeds: Vec<_> = bootinfo
        .untyped_list()
        .iter()
        .map(|untyped| Untyped {
            paddr: untyped.paddr() as u64,
            bits: untyped.size_bits() as u32,
            device: untyped.is_device(),
        })
        .collect();
    let blobs = payload.as_ptr() as usize + image.blob_offset(Blob { page: 0, len: 1 });
    let machine = Machine {
        untypeds: &untypeds,
        first_untyped: bootinfo.untyped().start(),
        empty: bootinfo.empty().range(),
        first_blob: frame_of(bootinfo, blobs),
        stub: frame_of(bootinfo, stub::address()),
        cnode: (
            slot::CNODE.index(),
            sel4_cfg_usize!(ROOT_CNODE_SIZE_BITS) as u32,
        ),
        irq_control: slot::IRQ_CONTROL.index(),
        asid_control: slot::ASID_CONTROL.index(),
        asid_pool: slot::ASID_POOL.index(),
        sizes: kernel::sizes(),
    };
    banner(&untypeds, &image);
    let plan = Plan::new(image.system(), &machine)?;
    let manager_boot = manager_boot(&plan)?;

    plan.retypes.iter().try_for_each(kernel::retype)?;
    let mut builder = Builder {
        window: Window::new(&plan.own)?,
        plan,
        image,
        manager_boot,
    };
    build(&mut builder)?;

    let count = builder.plan.domains.len();
    let manager = builder.image.system().manager();
    let second = ticks_per_second(bootinfo);
    Ok(Watch {
        supervisor: Supervisor::new(count, manager, second),
        builder,
    })
}

/// Makes everything, gives the rest away, and starts all domains.
fn build(builder: &mut Builder<'_>) -> Result<(), KernelError> {
    let domains = 0..builder.plan.domains.len();
    builder.fill_regions()?;
    // All objects of all domains, because domains hold capabilities for each other's.
    domains
        .clone()
        .try_for_each(|index| builder.create(index))?;
    builder.plan.copies.iter().try_for_each(kernel::copy)?;
    domains
        .clone()
        .try_for_each(|index| builder.connect_irqs(index))?;
    for index in domains.clone() {
        builder.compose(index, Start::Program)?;
    }
    if let Some(handover) = &builder.plan.handover {
        handover.grants.iter().try_for_each(kernel::grant)?;
        for (slot, place) in &handover.moves {
            kernel::give_away(*slot, *place)?;
        }
    }
    // The kernel runs last whom it was told of first.
    let manager = builder.image.system().manager();
    domains
        .rev()
        .filter(|index| Some(*index) != manager)
        .chain(manager)
        .try_for_each(|index| builder.resume(index))
}

fn manager_boot(plan: &Plan) -> Result<Vec<u8>, StartError> {
    let Some(handover) = &plan.handover else {
        return Ok(Vec::new());
    };
    let mut bytes = alloc::vec![0; (boot::INFO_PAGES << PAGE_BITS) as usize];
    let used = postcard::to_slice(&handover.boot, &mut bytes)
        .map_err(|_| StartError::ManagerBoot)?
        .len();
    bytes.truncate(used);
    Ok(bytes)
}

fn banner(untypeds: &[Untyped], image: &Image<'_>) {
    let free: u64 = untypeds
        .iter()
        .filter(|untyped| !untyped.device)
        .map(|untyped| 1 << untyped.bits)
        .sum();
    let flavour = if sel4_cfg_bool!(DEBUG_BUILD) {
        "debug"
    } else {
        "release"
    };
    console::print(format_args!(
        "xOS on seL4 ({flavour}): {} MiB free, {} domains\n",
        free >> 20,
        image.system().domains.len()
    ));
}

/// Ticks of the time-stamp counter in a second, as the kernel measured at boot.
fn ticks_per_second(bootinfo: &BootInfo) -> u64 {
    bootinfo.inner().archInfo.max(1) * 1_000_000
}
