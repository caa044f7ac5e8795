// SPDX-License-Identifier: BSD-2-Clause
//! What the kernel tells the initial thread.

use core::ops::{Deref, Range};
use core::slice;

use crate::helpers::newtype_methods;
use crate::init_thread::SlotRegion;
use crate::{FrameObjectType, IpcBuffer, Word, cap_type, sys};

/// A pointer to the [`BootInfo`] frame and the chunks that follow it.
#[repr(transparent)]
#[derive(Debug)]
pub struct BootInfoPtr {
    ptr: *const BootInfo,
}

impl BootInfoPtr {
    const EXTRA_OFFSET: usize = FrameObjectType::GRANULE.bytes();

    /// From the pointer that the kernel passes to the initial thread.
    ///
    /// # Safety
    /// It must be that pointer, and what it points to must stay mapped.
    ///
    /// # Panics
    /// If it is not aligned to a page.
    pub unsafe fn new(ptr: *const BootInfo) -> Self {
        assert!(
            (ptr as usize).is_multiple_of(FrameObjectType::GRANULE.bytes()),
            "the boot information is not aligned to a page"
        );
        Self { ptr }
    }

    /// The pointer.
    pub fn ptr(&self) -> *const BootInfo {
        self.ptr
    }

    fn extra_slice(&self) -> &[u8] {
        let start = self.ptr.cast::<u8>().wrapping_add(Self::EXTRA_OFFSET);
        // SAFETY: the kernel says that so many bytes follow the frame (see `new`).
        unsafe { slice::from_raw_parts(start, self.extra_len()) }
    }

    /// The chunks.
    pub fn extra(&self) -> BootInfoExtraIter<'_> {
        BootInfoExtraIter {
            rest: self.extra_slice(),
        }
    }

    /// The size in bytes of everything that the pointer stands for.
    pub fn footprint_size(&self) -> usize {
        Self::EXTRA_OFFSET + self.extra_len()
    }
}

impl Deref for BootInfoPtr {
    type Target = BootInfo;

    fn deref(&self) -> &BootInfo {
        // SAFETY: see `new`.
        unsafe { &*self.ptr }
    }
}

/// Corresponds to `seL4_BootInfo`.
#[repr(transparent)]
#[derive(Debug)]
pub struct BootInfo(sys::seL4_BootInfo);

impl BootInfo {
    newtype_methods!(sys::seL4_BootInfo);

    fn extra_len(&self) -> usize {
        self.0.extraLen as usize
    }

    /// The initial thread's IPC buffer.
    pub fn ipc_buffer(&self) -> *mut IpcBuffer {
        self.0.ipcBuffer.cast()
    }

    /// Slots that are free.
    pub fn empty(&self) -> SlotRegion<cap_type::Null> {
        SlotRegion::from_sys(self.0.empty)
    }

    /// The frames of the initial thread's image.
    pub fn user_image_frames(&self) -> SlotRegion<cap_type::Granule> {
        SlotRegion::from_sys(self.0.userImageFrames)
    }

    /// Untyped memory, in the order of [`untyped_list`](Self::untyped_list).
    pub fn untyped(&self) -> SlotRegion<cap_type::Untyped> {
        SlotRegion::from_sys(self.0.untyped)
    }

    /// What each untyped capability stands for.
    pub fn untyped_list(&self) -> &[UntypedDesc] {
        let all = &self.0.untypedList;
        let count = self.untyped().len().min(all.len());
        // SAFETY: `UntypedDesc` is a transparent wrapper.
        unsafe { slice::from_raw_parts(all.as_ptr().cast(), count) }
    }

    /// The part of [`untyped_list`](Self::untyped_list) that is device memory.
    pub fn device_untyped_range(&self) -> Range<usize> {
        range_of(self.untyped_list(), true)
    }

    /// The part of [`untyped_list`](Self::untyped_list) that is ordinary memory.
    pub fn kernel_untyped_range(&self) -> Range<usize> {
        range_of(self.untyped_list(), false)
    }
}

/// Where the list, which has two parts, holds device memory or other memory. This kernel lists
/// device memory last, later ones list it first.
fn range_of(list: &[UntypedDesc], device: bool) -> Range<usize> {
    let first = list.first().is_some_and(UntypedDesc::is_device);
    let boundary = list.partition_point(|desc| desc.is_device() == first);
    if device == first {
        0..boundary
    } else {
        boundary..list.len()
    }
}

/// Corresponds to `seL4_UntypedDesc`.
#[repr(transparent)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntypedDesc(sys::seL4_UntypedDesc);

impl UntypedDesc {
    newtype_methods!(sys::seL4_UntypedDesc);

    /// The physical address.
    pub fn paddr(&self) -> usize {
        self.0.paddr as usize
    }

    /// The binary logarithm of the size in bytes.
    pub fn size_bits(&self) -> usize {
        self.0.sizeBits.into()
    }

    /// Whether it is device memory, which becomes frames only and is not cleared.
    pub fn is_device(&self) -> bool {
        self.0.isDevice != 0
    }
}

/// A chunk of further information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootInfoExtra<'a> {
    /// What it is.
    pub id: BootInfoExtraId,
    /// Its bytes, the header included.
    pub content_with_header: &'a [u8],
}

impl BootInfoExtra<'_> {
    /// The bytes, the header included.
    pub fn content_with_header(&self) -> &[u8] {
        self.content_with_header
    }

    /// The bytes after the header.
    pub fn content(&self) -> &[u8] {
        &self.content_with_header[HEADER..]
    }
}

/// What a chunk is. Kernels differ in which of them they pass; this one has the first two.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in later kernels' `seL4_BootInfoID`
pub enum BootInfoExtraId {
    Padding,
    X86Vbe,
    X86Mbmmap,
    X86AcpiRsdp,
    X86FrameBuffer,
    X86TscFreq,
    Fdt,
}

impl BootInfoExtraId {
    /// The chunk of that number, if this kernel's headers define it.
    pub fn from_sys(id: Word) -> Option<Self> {
        match u32::try_from(id) {
            Ok(sys::SEL4_BOOTINFO_HEADER_PADDING) => Some(Self::Padding),
            Ok(sys::SEL4_BOOTINFO_HEADER_X86_VBE) => Some(Self::X86Vbe),
            _ => None,
        }
    }
}

const HEADER: usize = size_of::<sys::seL4_BootInfoHeader>();

/// Iterates over the chunks that this crate knows.
pub struct BootInfoExtraIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for BootInfoExtraIter<'a> {
    type Item = BootInfoExtra<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (words, _) = self.rest.split_at_checked(HEADER)?.0.as_chunks::<8>();
            let [id, len] = words else { return None };
            let len = usize::from_ne_bytes(*len);
            // A chunk is no shorter than its header; a list that says otherwise ends here.
            let (chunk, rest) = self.rest.split_at_checked(len.max(HEADER))?;
            self.rest = rest;
            if let Some(id) = BootInfoExtraId::from_sys(Word::from_ne_bytes(*id)) {
                return Some(BootInfoExtra {
                    id,
                    content_with_header: chunk,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    fn chunks(list: &[(Word, Word, usize)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, len, content) in list {
            out.extend_from_slice(&id.to_ne_bytes());
            out.extend_from_slice(&len.to_ne_bytes());
            out.resize(out.len() + content, 0xaa);
        }
        out
    }

    #[test]
    fn unknown_chunks_are_skipped() {
        let bytes = chunks(&[(1, 20, 4), (99, 24, 8), (0, 16, 0)]);
        let found: Vec<_> = BootInfoExtraIter { rest: &bytes }.collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].id, BootInfoExtraId::X86Vbe);
        assert_eq!(found[0].content(), [0xaa; 4]);
        assert_eq!(found[1].id, BootInfoExtraId::Padding);
        assert_eq!(found[1].content(), []);
    }

    #[test]
    fn broken_lists_end() {
        for bytes in [
            chunks(&[(1, 0, 0)]),
            chunks(&[(1, 100, 4)]),
            chunks(&[(1, Word::MAX, 4)]),
            [0u8; 15].to_vec(),
        ] {
            assert!(BootInfoExtraIter { rest: &bytes }.count() <= 1);
        }
    }

    #[test]
    fn both_kinds_of_memory_are_found_in_either_order() {
        let list = |devices: &[bool]| -> Vec<UntypedDesc> {
            let desc = |device: &bool| sys::seL4_UntypedDesc {
                isDevice: (*device).into(),
                ..Default::default()
            };
            devices.iter().map(|d| UntypedDesc(desc(d))).collect()
        };
        let last = list(&[false, false, true]);
        assert_eq!(
            (range_of(&last, false), range_of(&last, true)),
            (0..2, 2..3)
        );
        let first = list(&[true, false, false]);
        assert_eq!(
            (range_of(&first, false), range_of(&first, true)),
            (1..3, 0..1)
        );
        let none = list(&[false]);
        assert_eq!(
            (range_of(&none, false), range_of(&none, true)),
            (0..1, 1..1)
        );
        assert!(range_of(&[], false).is_empty() && range_of(&[], true).is_empty());
    }

    #[test]
    fn the_layout_is_packed_as_in_the_header() {
        assert_eq!(size_of::<sys::seL4_UntypedDesc>(), 12);
        assert_eq!(core::mem::offset_of!(sys::seL4_BootInfo, ipcBuffer), 32);
        // One byte of initThreadCNodeSizeBits, then unaligned words.
        let size_bits = core::mem::offset_of!(sys::seL4_BootInfo, initThreadCNodeSizeBits);
        assert_eq!(
            core::mem::offset_of!(sys::seL4_BootInfo, initThreadDomain),
            size_bits + 1
        );
        assert!(size_of::<sys::seL4_BootInfo>() <= FrameObjectType::GRANULE.bytes());
    }
}
