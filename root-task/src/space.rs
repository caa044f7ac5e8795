// SPDX-License-Identifier: BSD-2-Clause
//! Which paging structures an address space needs.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::objects::{LARGE_PAGE_BITS, Level, PAGE_BITS};

/// A range of addresses that is mapped in pages of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First address, on a page.
    pub vaddr: u64,
    /// Number of pages, not zero.
    pub pages: u64,
    /// Binary logarithm of their size: [`PAGE_BITS`] or [`LARGE_PAGE_BITS`].
    pub page_bits: u32,
}

impl Span {
    /// One of ordinary pages.
    pub const fn small(vaddr: u64, pages: u64) -> Self {
        Self {
            vaddr,
            pages,
            page_bits: PAGE_BITS,
        }
    }

    /// One past its last address.
    pub const fn end(&self) -> u64 {
        self.vaddr + (self.pages << self.page_bits)
    }
}

/// A paging structure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Table {
    /// Its level.
    pub level: Level,
    /// The first address that it spans.
    pub vaddr: u64,
}

/// The structures without which the pages of `spans` cannot be mapped, each once, in an order in
/// which they can be mapped themselves.
///
/// Costs in proportion to their number.
pub fn tables(spans: impl IntoIterator<Item = Span>) -> Vec<Table> {
    let mut tables = BTreeSet::new();
    for span in spans {
        for level in Level::ALL {
            if level == Level::PageTable && span.page_bits == LARGE_PAGE_BITS {
                continue;
            }
            let first = span.vaddr >> level.span_bits();
            let last = (span.end() - 1) >> level.span_bits();
            tables.extend((first..=last).map(|number| Table {
                level,
                vaddr: number << level.span_bits(),
            }));
        }
    }
    tables.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span() -> impl Strategy<Value = Span> {
        (0u64..1 << 35, 1u64..2000, any::<bool>()).prop_map(|(page, pages, large)| {
            let (page, page_bits) = if large {
                (page >> 9, LARGE_PAGE_BITS)
            } else {
                (page, PAGE_BITS)
            };
            Span {
                vaddr: page << page_bits,
                pages,
                page_bits,
            }
        })
    }

    proptest! {
        #[test]
        fn every_page_finds_the_tables_above_it_and_no_table_is_useless(
            spans in prop::collection::vec(span(), 0..6)
        ) {
            let tables = tables(spans.iter().copied());
            let mut used = BTreeSet::new();
            for span in &spans {
                for page in 0..span.pages {
                    let vaddr = span.vaddr + (page << span.page_bits);
                    for level in Level::ALL {
                        if span.page_bits < level.span_bits() {
                            let vaddr = vaddr >> level.span_bits() << level.span_bits();
                            used.insert(Table { level, vaddr });
                        }
                    }
                }
            }
            prop_assert_eq!(tables, used.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_table_comes_after_the_one_above_it(spans in prop::collection::vec(span(), 0..6)) {
            let levels: Vec<_> = tables(spans).iter().map(|table| table.level).collect();
            prop_assert!(levels.is_sorted());
        }
    }
}
