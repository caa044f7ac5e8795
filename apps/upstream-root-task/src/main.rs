// SPDX-License-Identifier: BSD-2-Clause

//! A root task written to the public interface of the rust-sel4 project's crates.
//!
//! It starts a second thread. Both push numbers into one vector, under a mutex whose waiters block
//! on a notification, and so make the allocator's mutex a contended one as well. The first thread
//! waits for the second and checks that nothing was lost.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ops::Range;

use sel4_root_task::{
    Never, abort, debug_println, root_task, set_global_allocator_mutex_notification,
};
use sel4_sync::{RawDeferredNotificationMutex, lock_api::Mutex};

/// How many numbers each of the two threads contributes.
const ROUNDS: u64 = 200;

static NUMBERS: Mutex<RawDeferredNotificationMutex, Vec<u64>> =
    Mutex::from_raw(RawDeferredNotificationMutex::new(), Vec::new());

#[root_task(heap_size = 256 * 1024)]
fn main(bootinfo: &sel4::BootInfoPtr) -> sel4::Result<Never> {
    debug_println!("hello from the first thread");

    let mut objects = Objects::new(bootinfo);

    set_global_allocator_mutex_notification(objects.make()?);
    // SAFETY: only the reference to the raw mutex is used, and nothing is unlocked by it.
    let mutex = unsafe { NUMBERS.raw() };
    if mutex.set_notification(objects.make()?).is_err() {
        abort!("the mutex had a notification already");
    }

    let finished: sel4::cap::Notification = objects.make()?;
    let thread: sel4::cap::Tcb = objects.make()?;
    start(
        bootinfo,
        thread,
        Box::new(move || {
            debug_println!("hello from the second thread");
            contribute(1);
            finished.signal();
        }),
    )?;

    contribute(0);
    finished.wait();
    thread.tcb_suspend()?;

    let mut numbers = NUMBERS.lock();
    numbers.sort_unstable();
    assert!(
        numbers.iter().copied().eq(0..2 * ROUNDS),
        "numbers were lost"
    );
    debug_println!("{} numbers from two threads", numbers.len());

    debug_println!("TEST_PASS");
    sel4::init_thread::suspend_self()
}

/// Pushes every second number from `first` on, and lets the other thread in while holding the mutex.
fn contribute(first: u64) {
    for number in (first..2 * ROUNDS).step_by(2) {
        let mut numbers = NUMBERS.lock();
        numbers.push(number);
        sel4::r#yield();
    }
}

/// Makes kernel objects from the largest piece of memory, in the free slots one after the other.
struct Objects {
    slots: Range<usize>,
    memory: sel4::cap::Untyped,
}

impl Objects {
    fn new(bootinfo: &sel4::BootInfo) -> Self {
        let (largest, _) = bootinfo
            .untyped_list()
            .iter()
            .enumerate()
            .filter(|(_, description)| !description.is_device())
            .max_by_key(|(_, description)| description.size_bits())
            .expect("no memory");
        Self {
            slots: bootinfo.empty().range(),
            memory: bootinfo.untyped().index(largest).cap(),
        }
    }

    fn make<T: sel4::CapTypeForObjectOfFixedSize>(&mut self) -> sel4::Result<sel4::Cap<T>> {
        let slot = self.slots.next().expect("no free slot");
        let cnode = sel4::init_thread::slot::CNODE.cap();
        self.memory.untyped_retype(
            &T::object_blueprint(),
            &cnode.absolute_cptr_for_self(),
            slot,
            1,
        )?;
        Ok(sel4::init_thread::Slot::from_index(slot).cap())
    }
}

type Body = Box<dyn FnOnce() + Send>;

/// Runs `body` on `thread`, with the stack and the IPC buffer below. To be used once.
fn start(bootinfo: &sel4::BootInfo, thread: sel4::cap::Tcb, body: Body) -> sel4::Result<()> {
    static STACK: Page<{ 16 * 1024 }> = Page::new();
    static IPC_BUFFER: Page<GRANULE> = Page::new();

    unsafe extern "C" fn entry(body: *mut Body, ipc_buffer: *mut sel4::IpcBuffer) -> ! {
        // SAFETY: `start` passes a pointer to its own IPC buffer, which is used for nothing else.
        sel4::set_ipc_buffer(unsafe { &mut *ipc_buffer });
        // SAFETY: `start` passes what it got from `Box::into_raw`, once.
        let body = unsafe { Box::from_raw(body) };
        body();
        loop {
            sel4::r#yield();
        }
    }

    thread.tcb_configure(
        sel4::init_thread::slot::NULL.cptr(),
        sel4::init_thread::slot::CNODE.cap(),
        sel4::CNodeCapData::new(0, 0),
        sel4::init_thread::slot::VSPACE.cap(),
        IPC_BUFFER.start() as sel4::Word,
        frame_of(bootinfo, IPC_BUFFER.start() as usize),
    )?;
    thread.tcb_set_priority(sel4::init_thread::slot::TCB.cap(), 255)?;

    let mut context = sel4::UserContext::default();
    *context.pc_mut() = entry as *const () as sel4::Word;
    // As after a call: 8 below a multiple of 16.
    *context.sp_mut() = STACK.start() as sel4::Word + 16 * 1024 - 8;
    *context.c_param_mut(0) = Box::into_raw(Box::new(body)) as sel4::Word;
    *context.c_param_mut(1) = IPC_BUFFER.start() as sel4::Word;
    thread.tcb_write_all_registers(true, &mut context)
}

/// The frame behind an address of the program's image.
fn frame_of(bootinfo: &sel4::BootInfo, address: usize) -> sel4::cap::Granule {
    unsafe extern "C" {
        static __executable_start: u8;
    }
    let image = &raw const __executable_start as usize;
    bootinfo
        .user_image_frames()
        .index(address / GRANULE - image / GRANULE)
        .cap()
}

const GRANULE: usize = sel4::FrameObjectType::GRANULE.bytes();

/// Memory on pages of its own.
#[repr(C, align(4096))]
struct Page<const SIZE: usize>(UnsafeCell<[u8; SIZE]>);

// SAFETY: only its address is given out.
unsafe impl<const SIZE: usize> Sync for Page<SIZE> {}

impl<const SIZE: usize> Page<SIZE> {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; SIZE]))
    }

    const fn start(&self) -> *mut u8 {
        self.0.get().cast()
    }
}
