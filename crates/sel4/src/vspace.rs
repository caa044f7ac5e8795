// SPDX-License-Identifier: BSD-2-Clause
//! Frames and translation tables.

use crate::{
    CapType, CapTypeForObjectOfFixedSize, ObjectBlueprint, ObjectBlueprintX64, ObjectBlueprintX86,
    WORD_SIZE, cap_type, sel4_cfg, sel4_cfg_enum, sel4_cfg_wrap_match,
};

/// Sizes of frames.
#[sel4_cfg_enum]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in libsel4
pub enum FrameObjectType {
    _4k,
    LargePage,
    #[sel4_cfg(HUGE_PAGE)]
    HugePage,
}

impl FrameObjectType {
    /// The smallest.
    pub const GRANULE: Self = Self::_4k;

    /// The binary logarithm of a 4 KiB frame's size.
    pub const _4K_BITS: usize = Self::_4k.bits();

    /// The binary logarithm of a large frame's size.
    pub const LARGE_PAGE_BITS: usize = Self::LargePage.bits();

    /// The frame as an object.
    pub const fn blueprint(self) -> ObjectBlueprint {
        sel4_cfg_wrap_match! {
            match self {
                Self::_4k => ObjectBlueprint::Arch(ObjectBlueprintX86::_4k),
                Self::LargePage => ObjectBlueprint::Arch(ObjectBlueprintX86::LargePage),
                #[sel4_cfg(HUGE_PAGE)]
                Self::HugePage => ObjectBlueprint::Arch(ObjectBlueprintX86::SeL4Arch(
                    ObjectBlueprintX64::HugePage,
                )),
            }
        }
    }

    /// The frame of that size, if there is one.
    pub const fn from_bits(bits: usize) -> Option<Self> {
        sel4_cfg_wrap_match! {
            match bits {
                Self::_4K_BITS => Some(Self::_4k),
                Self::LARGE_PAGE_BITS => Some(Self::LargePage),
                #[sel4_cfg(HUGE_PAGE)]
                _ if bits == Self::HugePage.bits() => Some(Self::HugePage),
                _ => None,
            }
        }
    }

    /// The binary logarithm of the size in bytes.
    pub const fn bits(self) -> usize {
        self.blueprint().physical_size_bits()
    }

    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        1 << self.bits()
    }
}

/// A capability type that stands for frames.
pub trait CapTypeForFrameObject: CapType {}

/// A capability type that stands for frames of one size.
pub trait CapTypeForFrameObjectOfFixedSize:
    CapTypeForObjectOfFixedSize + CapTypeForFrameObject
{
    /// The size.
    const FRAME_OBJECT_TYPE: FrameObjectType;
}

impl CapTypeForFrameObject for cap_type::UnspecifiedPage {}

impl CapTypeForFrameObject for cap_type::_4k {}

impl CapTypeForFrameObjectOfFixedSize for cap_type::_4k {
    const FRAME_OBJECT_TYPE: FrameObjectType = FrameObjectType::_4k;
}

impl CapTypeForFrameObject for cap_type::LargePage {}

impl CapTypeForFrameObjectOfFixedSize for cap_type::LargePage {
    const FRAME_OBJECT_TYPE: FrameObjectType = FrameObjectType::LargePage;
}

#[sel4_cfg(HUGE_PAGE)]
impl CapTypeForFrameObject for cap_type::HugePage {}

#[sel4_cfg(HUGE_PAGE)]
impl CapTypeForFrameObjectOfFixedSize for cap_type::HugePage {
    const FRAME_OBJECT_TYPE: FrameObjectType = FrameObjectType::HugePage;
}

/// Kinds of translation tables.
#[sel4_cfg_enum]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in libsel4
pub enum TranslationTableObjectType {
    PML4,
    PDPT,
    PageDirectory,
    PageTable,
    #[sel4_cfg(VTX)]
    EPTPML4,
    #[sel4_cfg(VTX)]
    EPTPDPT,
    #[sel4_cfg(VTX)]
    EPTPageDirectory,
    #[sel4_cfg(VTX)]
    EPTPageTable,
}

impl TranslationTableObjectType {
    /// The table as an object.
    pub const fn blueprint(&self) -> ObjectBlueprint {
        ObjectBlueprint::Arch(sel4_cfg_wrap_match! {
            match self {
                Self::PML4 => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PML4),
                Self::PDPT => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT),
                Self::PageDirectory => ObjectBlueprintX86::PageDirectory,
                Self::PageTable => ObjectBlueprintX86::PageTable,
                #[sel4_cfg(VTX)]
                Self::EPTPML4 => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::EPTPML4),
                #[sel4_cfg(VTX)]
                Self::EPTPDPT => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::EPTPDPT),
                #[sel4_cfg(VTX)]
                Self::EPTPageDirectory => ObjectBlueprintX86::EPTPageDirectory,
                #[sel4_cfg(VTX)]
                Self::EPTPageTable => ObjectBlueprintX86::EPTPageTable,
            }
        })
    }

    /// The number of address bits that index the table: its entries are words.
    pub const fn index_bits(&self) -> usize {
        self.blueprint().physical_size_bits() - (WORD_SIZE / 8).ilog2() as usize
    }

    /// The table at a level of a VSpace, 0 at the top.
    pub const fn from_level(level: usize) -> Option<Self> {
        Some(match level {
            0 => Self::PML4,
            1 => Self::PDPT,
            2 => Self::PageDirectory,
            3 => Self::PageTable,
            _ => return None,
        })
    }

    /// The table at a level of a second-stage translation, 0 at the top.
    #[sel4_cfg(VTX)]
    pub const fn from_level_ept(level: usize) -> Option<Self> {
        Some(match level {
            0 => Self::EPTPML4,
            1 => Self::EPTPDPT,
            2 => Self::EPTPageDirectory,
            3 => Self::EPTPageTable,
            _ => return None,
        })
    }
}

/// A capability type that stands for translation tables.
pub trait CapTypeForTranslationTableObject: CapTypeForObjectOfFixedSize {
    /// The kind of table.
    const TRANSLATION_TABLE_OBJECT_TYPE: TranslationTableObjectType;
}

macro_rules! translation_tables {
    ($($(#[$cfg:meta])? $t:ident)*) => {
        $(
            $(#[$cfg])?
            impl CapTypeForTranslationTableObject for cap_type::$t {
                const TRANSLATION_TABLE_OBJECT_TYPE: TranslationTableObjectType =
                    TranslationTableObjectType::$t;
            }
        )*
    };
}

translation_tables! {
    PML4 PDPT PageDirectory PageTable
    #[sel4_cfg(VTX)] EPTPML4
    #[sel4_cfg(VTX)] EPTPDPT
    #[sel4_cfg(VTX)] EPTPageDirectory
    #[sel4_cfg(VTX)] EPTPageTable
}

/// The shape of a VSpace.
pub mod vspace_levels {
    use crate::{FrameObjectType, TranslationTableObjectType};

    /// The number of levels of translation tables.
    pub const NUM_LEVELS: usize = 4;

    /// The highest level whose entries can be frames.
    pub const HIGHEST_LEVEL_WITH_PAGE_ENTRIES: usize = NUM_LEVELS - 3;

    fn index_bits(level: usize) -> usize {
        match TranslationTableObjectType::from_level(level) {
            Some(table) => table.index_bits(),
            None => panic!("a VSpace has {NUM_LEVELS} levels, not {level}"),
        }
    }

    /// The number of address bits that a table of this level spans.
    ///
    /// # Panics
    /// If there is no such level.
    pub fn span_bits(level: usize) -> usize {
        assert!(
            level < NUM_LEVELS,
            "a VSpace has {NUM_LEVELS} levels, not {level}"
        );
        (level..NUM_LEVELS).map(index_bits).sum::<usize>() + FrameObjectType::GRANULE.bits()
    }

    /// The number of address bits that one entry of a table of this level spans.
    ///
    /// # Panics
    /// If there is no such level.
    pub fn step_bits(level: usize) -> usize {
        span_bits(level) - index_bits(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_those_of_the_architecture() {
        // AMD64 manual, volume 2, 5.3: 4 levels of 9 bits above pages of 12 bits.
        let spans: [usize; 4] = core::array::from_fn(vspace_levels::span_bits);
        let steps: [usize; 4] = core::array::from_fn(vspace_levels::step_bits);
        assert_eq!(spans, [48, 39, 30, 21]);
        assert_eq!(steps, [39, 30, 21, 12]);
    }

    #[test]
    fn frames_are_found_by_size() {
        assert_eq!(FrameObjectType::from_bits(12), Some(FrameObjectType::_4k));
        assert_eq!(
            FrameObjectType::from_bits(21),
            Some(FrameObjectType::LargePage)
        );
        assert_eq!(FrameObjectType::from_bits(13), None);
        assert_eq!(FrameObjectType::LargePage.bytes(), 2 << 20);
    }
}
