// SPDX-License-Identifier: BSD-2-Clause
//! Decides where everything of a process lies, and what it takes to put it there.

use heapless::Vec;
use xos_protocol::manager::PAGE;
use xos_protocol::start::{THREAD_POINTER, TLS_BYTES};
use xos_runtime::tls::TlsLayout;

use crate::program::{Program, Segment};

/// Zero pages of a segment that are mapped at once; those behind them come when they are touched.
/// Mapping eight costs about as much as taking three of them by a fault each.
pub const EAGER_ZERO_PAGES: u64 = 8;
/// Pages of stack mapped at once.
pub const EAGER_STACK_PAGES: u64 = 1;
/// Stack when the specification asks for none in particular.
pub const DEFAULT_STACK_PAGES: u64 = 16;
/// Largest stack.
pub const MAX_STACK_PAGES: u64 = 1 << 14;
/// Pages that an image maps at once at most (64 MiB).
pub const MAX_EAGER_PAGES: u64 = 1 << 14;

/// Bytes below one page table.
pub const TABLE_SPAN: u64 = 1 << 21;
const DIRECTORY_SPAN: u64 = 1 << 30;
const POINTER_SPAN: u64 = 1 << 39;

/// The image needs more address space or memory than a process can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the image or the stack asked for is larger than a process can be")]
pub struct TooLarge;

/// Where a page's content comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Page `index` of the image's shared pages, counted over all segments that nobody can write.
    Shared {
        /// Which of the shared pages.
        index: u64,
        /// Whether its segment can be executed.
        executable: bool,
    },
    /// Private; begins with bytes of the file: page `page` of segment `segment`.
    Filled {
        /// Index in the program's segments.
        segment: usize,
        /// Index of the page in that segment.
        page: u64,
    },
    /// Private and zero.
    Zero,
}

/// A page that is mapped before the process starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// Its address.
    pub address: u64,
    /// What it holds.
    pub content: Content,
}

/// What a page is to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Of this index among the image's shared pages.
    Shared(u64),
    /// Of this index among those that the process has for itself from the start.
    Own(u64),
    /// Zero, when it is touched.
    Lazy,
}

/// First addresses of the spans for which a paging structure is needed, ascending.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// Page-directory-pointer tables (512 GiB each).
    pub pointers: Vec<u64, 4>,
    /// Page directories (1 GiB each).
    pub directories: Vec<u64, 8>,
    /// Page tables (2 MiB each).
    pub tables: Vec<u64, 64>,
}

impl Tables {
    /// How many there are.
    pub fn count(&self) -> u64 {
        (self.pointers.len() + self.directories.len() + self.tables.len()) as u64
    }

    fn cover(&mut self, address: u64) -> Result<(), TooLarge> {
        fn add<const N: usize>(list: &mut Vec<u64, N>, start: u64) -> Result<(), TooLarge> {
            if list.last() == Some(&start) {
                Ok(())
            } else {
                list.push(start).map_err(|_| TooLarge)
            }
        }
        add(&mut self.pointers, address & !(POINTER_SPAN - 1))?;
        add(&mut self.directories, address & !(DIRECTORY_SPAN - 1))?;
        add(&mut self.tables, address & !(TABLE_SPAN - 1))
    }
}

/// Where a process's thread-local variables lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// First address of the block.
    pub start: u64,
    /// Where the initial image begins in it.
    pub image: u64,
    /// The thread pointer, behind the block.
    pub pointer: u64,
}

/// Where stack, IPC buffer and start information lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Lowest address of the stack; the page below it is a guard.
    pub stack_low: u64,
    /// Address behind the stack.
    pub stack_top: u64,
    /// Thread-local variables, at the top of the stack.
    pub tls: Option<Block>,
    /// Pages of the stack mapped at once.
    eager_stack: u64,
    /// The IPC buffer's page.
    pub ipc_buffer: u64,
    /// The start information's page; mapped only when there is something to say.
    pub start_info: u64,
}

impl Layout {
    /// Places the stack (`stack_pages` long, 0 for the default) and what belongs to it behind the image.
    pub fn new(program: &Program, stack_pages: u64) -> Result<Self, TooLarge> {
        let stack_pages = if stack_pages == 0 {
            DEFAULT_STACK_PAGES
        } else {
            stack_pages
        };
        if stack_pages > MAX_STACK_PAGES {
            return Err(TooLarge);
        }
        let tls = program.tls.map(|tls| tls.layout);
        // With what belongs to the thread pointer, and room for its alignment.
        let tls_bytes =
            |tls: TlsLayout| tls.thread_pointer() as u64 + TLS_BYTES + tls.align() as u64;
        let tls_pages = tls.map_or(0, |tls| tls_bytes(tls).div_ceil(PAGE));
        let stack_pages = stack_pages + tls_pages;
        // One guard page below the stack, and two pages above it.
        let top = (program.end() + (stack_pages + 3) * PAGE).next_multiple_of(TABLE_SPAN);
        let stack_top = top - 2 * PAGE;
        Ok(Self {
            stack_low: stack_top - stack_pages * PAGE,
            stack_top,
            tls: tls.map(|tls| {
                let pointer = (stack_top - TLS_BYTES) & !(tls.align() as u64 - 1);
                let start = pointer - tls.thread_pointer() as u64;
                Block {
                    start,
                    image: start + tls.image() as u64,
                    pointer,
                }
            }),
            eager_stack: EAGER_STACK_PAGES + tls_pages,
            ipc_buffer: stack_top,
            start_info: stack_top + PAGE,
        })
    }

    /// First address behind everything: free for heaps, threads and shares.
    pub const fn end(&self) -> u64 {
        self.start_info + PAGE
    }

    /// The pages to map before the start, by ascending address.
    pub fn eager_pages<'a>(
        &self,
        program: &'a Program,
        start_info: bool,
    ) -> impl Iterator<Item = Page> + use<'a> {
        let mut shared = 0;
        let image = program
            .segments
            .iter()
            .enumerate()
            .flat_map(move |(number, segment)| {
                let first_shared = shared;
                if !segment.writable {
                    shared += segment.pages();
                }
                (0..eager(segment)).map(move |page| Page {
                    address: segment.start + page * PAGE,
                    content: if !segment.writable {
                        Content::Shared {
                            index: first_shared + page,
                            executable: segment.executable,
                        }
                    } else if page < segment.filled_pages() {
                        Content::Filled {
                            segment: number,
                            page,
                        }
                    } else {
                        Content::Zero
                    },
                })
            });
        let first = self.stack_top - self.eager_stack * PAGE;
        let last = self.eager_stack + 1 + start_info as u64;
        image.chain((0..last).map(move |page| Page {
            address: first + page * PAGE,
            content: Content::Zero,
        }))
    }

    /// Pages that the process has for itself from the start.
    pub fn own_pages(&self, program: &Program, start_info: bool) -> u64 {
        let segments = program.segments.iter().filter(|s| s.writable);
        segments.map(eager).sum::<u64>() + self.eager_stack + 1 + start_info as u64
    }

    /// The paging structures below which these pages lie.
    pub fn tables(&self, program: &Program, start_info: bool) -> Result<Tables, TooLarge> {
        if program.segments.iter().map(eager).sum::<u64>() > MAX_EAGER_PAGES {
            return Err(TooLarge);
        }
        let mut tables = Tables::default();
        for page in self.eager_pages(program, start_info) {
            tables.cover(page.address)?;
        }
        Ok(tables)
    }

    /// The number of the page at `address` among all that a process can have, and what it is to the
    /// process; `None` where it can have none.
    pub fn page(&self, program: &Program, start_info: bool, address: u64) -> Option<(u64, Kind)> {
        let (mut before, mut shared, mut own) = (0, 0, 0);
        for segment in &program.segments {
            if (segment.start..segment.end).contains(&address) {
                let page = (address - segment.start) / PAGE;
                let kind = match segment.writable {
                    false => Kind::Shared(shared + page),
                    true if page < eager(segment) => Kind::Own(own + page),
                    true => Kind::Lazy,
                };
                return Some((before + page, kind));
            }
            before += segment.pages();
            match segment.writable {
                false => shared += segment.pages(),
                true => own += eager(segment),
            }
        }
        let page = address.checked_sub(self.stack_low)? / PAGE;
        let last = self.stack_pages() + start_info as u64;
        let kind = match page.checked_sub(self.lazy_stack_pages()) {
            None => Kind::Lazy,
            Some(eager) => Kind::Own(own + eager),
        };
        (page <= last).then_some((before + page, kind))
    }

    const fn stack_pages(&self) -> u64 {
        (self.stack_top - self.stack_low) / PAGE
    }

    /// Whether a touch of `address` is to be answered with a fresh zero page: the rest of the stack, and
    /// the zero pages of writable segments.
    pub fn is_lazy(&self, program: &Program, address: u64) -> bool {
        self.lazy_ranges(program)
            .any(|(start, end)| (start..end).contains(&address))
    }

    /// Pages that may still be taken by touching them.
    pub fn lazy_pages(&self, program: &Program) -> u64 {
        self.lazy_ranges(program)
            .map(|(start, end)| (end - start) / PAGE)
            .sum()
    }

    /// Those of them that are the stack's.
    pub const fn lazy_stack_pages(&self) -> u64 {
        self.stack_pages() - self.eager_stack
    }

    /// Paging structures that they may take, beyond those that are there from the start; a few more at most.
    pub fn lazy_tables(&self, program: &Program, tables: &Tables) -> u64 {
        self.lazy_ranges(program)
            .filter(|(start, end)| start < end)
            .map(|(start, end)| {
                let spans = (end - 1) / TABLE_SPAN - start / TABLE_SPAN + 1;
                let there = |address: u64| tables.tables.contains(&(address & !(TABLE_SPAN - 1)));
                match spans {
                    1 if there(start) => 0,
                    // And the structures above them.
                    _ => spans + spans.div_ceil(512) + 3,
                }
            })
            .sum()
    }

    /// What is not mapped at the start and may be touched: first address, and the one behind the last.
    fn lazy_ranges<'a>(&self, program: &'a Program) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let stack = (self.stack_low, self.stack_top - self.eager_stack * PAGE);
        let image = program.segments.iter().filter(|s| s.writable);
        image
            .map(|s| (s.start + eager(s) * PAGE, s.end))
            .chain([stack])
    }

    /// The thread pointer: behind the thread-local variables, or, if there are none, behind the IPC buffer.
    pub fn thread_pointer(&self) -> u64 {
        self.tls
            .map_or(self.ipc_buffer + THREAD_POINTER, |tls| tls.pointer)
    }

    /// Where the stack begins: below the thread-local variables.
    pub fn stack_start(&self) -> u64 {
        self.tls.map_or(self.stack_top, |tls| tls.start) & !15
    }
}

/// Pages of a segment that are mapped at once: all that hold bytes of the file, and a few behind them.
fn eager(segment: &Segment) -> u64 {
    if segment.writable {
        segment
            .pages()
            .min(segment.filled_pages() + EAGER_ZERO_PAGES)
    } else {
        segment.pages()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Tls;
    use proptest::prelude::*;
    use xos_runtime::tls::TlsSegment;

    fn segment(start: u64, pages: u64, length: usize, writable: bool) -> Segment {
        Segment {
            start,
            end: start + pages * PAGE,
            bytes_at: start,
            offset: 0,
            length,
            writable,
            executable: !writable,
        }
    }

    fn program(segments: &[Segment]) -> Program {
        Program {
            entry: segments[0].start,
            segments: segments.iter().copied().collect(),
            tls: None,
        }
    }

    #[test]
    fn a_small_program_needs_one_page_table() {
        let program = program(&[
            segment(0x20_0000, 2, 0x1800, false),
            segment(0x20_2000, 3, 0, true),
        ]);
        let layout = Layout::new(&program, 0).unwrap();
        assert_eq!(layout.end(), 0x40_0000);
        assert_eq!(layout.tables(&program, false).unwrap().count(), 3);
        let pages: std::vec::Vec<_> = layout.eager_pages(&program, false).collect();
        assert_eq!(pages.len(), 2 + 3 + 1 + 1);
        assert_eq!(
            pages[1].content,
            Content::Shared {
                index: 1,
                executable: true
            }
        );
        assert_eq!(pages.last().unwrap().address, layout.ipc_buffer);
    }

    #[test]
    fn shared_pages_are_counted_over_all_segments() {
        let program = program(&[
            segment(0x20_0000, 2, 0x2000, false),
            segment(0x20_2000, 1, 0x10, true),
            segment(0x20_3000, 1, 0x10, false),
        ]);
        let layout = Layout::new(&program, 0).unwrap();
        let indices: std::vec::Vec<_> = layout
            .eager_pages(&program, true)
            .filter_map(|p| match p.content {
                Content::Shared { index, .. } => Some(index),
                _ => None,
            })
            .collect();
        assert_eq!(indices, [0, 1, 2]);
    }

    #[test]
    fn a_large_zero_segment_comes_when_it_is_touched() {
        let program = program(&[
            segment(0x20_0000, 1, 0x10, false),
            segment(0x20_1000, 10_000, 0x10, true),
        ]);
        let layout = Layout::new(&program, 0).unwrap();
        assert!(layout.eager_pages(&program, true).count() < 20);
        assert!(!layout.is_lazy(&program, 0x20_1000));
        assert!(layout.is_lazy(&program, 0x20_1000 + 9_999 * PAGE));
        assert!(!layout.is_lazy(&program, 0x20_1000 + 10_000 * PAGE));
    }

    #[test]
    fn the_page_below_the_stack_is_a_guard() {
        let program = program(&[segment(0x20_0000, 1, 0x10, false)]);
        let layout = Layout::new(&program, 4).unwrap();
        assert!(layout.is_lazy(&program, layout.stack_low));
        assert!(!layout.is_lazy(&program, layout.stack_low - 1));
    }

    #[test]
    fn thread_local_variables_are_at_the_top_of_the_stack_and_mapped_at_once() {
        let mut program = program(&[segment(0x20_0000, 1, 0x10, false)]);
        let plain = Layout::new(&program, 4).unwrap();
        assert_eq!(plain.stack_start(), plain.stack_top);
        let layout = TlsLayout::new(TlsSegment {
            vaddr: 0x20_0000,
            filesz: 8,
            memsz: 0x1100,
            align: 64,
        });
        program.tls = Some(Tls {
            layout: layout.unwrap(),
            offset: 0,
            length: 8,
        });
        let layout = Layout::new(&program, 4).unwrap();
        let tls = layout.tls.unwrap();
        assert!(tls.start.is_multiple_of(64) && tls.pointer + TLS_BYTES <= layout.stack_top);
        assert_eq!(tls.pointer - tls.image, 0x1100);
        assert!(!layout.is_lazy(&program, layout.stack_start() - PAGE));
        assert!(layout.is_lazy(&program, layout.stack_start() - 2 * PAGE));
        assert_eq!(layout.lazy_pages(&program), 3);
    }

    #[test]
    fn tables_for_lazy_pages_are_counted_where_there_are_none() {
        let small = program(&[segment(0x20_0000, 1, 0x10, false)]);
        let layout = Layout::new(&small, 0).unwrap();
        let tables = layout.tables(&small, false).unwrap();
        assert_eq!(layout.lazy_tables(&small, &tables), 0);
        let large = program(&[
            segment(0x20_0000, 1, 0x10, false),
            segment(0x20_1000, 10_000, 0x10, true),
        ]);
        let layout = Layout::new(&large, 0).unwrap();
        let tables = layout.tables(&large, false).unwrap();
        assert!((20..30).contains(&layout.lazy_tables(&large, &tables)));
    }

    #[test]
    fn an_image_beyond_the_limit_is_refused() {
        let program = program(&[segment(0x20_0000, MAX_EAGER_PAGES + 1, 0x10, false)]);
        let layout = Layout::new(&program, 0).unwrap();
        assert_eq!(layout.tables(&program, false), Err(TooLarge));
        assert_eq!(Layout::new(&program, MAX_STACK_PAGES + 1), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_every_page_has_its_tables(start in 0x10u64..0x4000, gap in 0u64..100, shared in 1u64..600,
            private in 1u64..600, filled in 0u64..600, stack in 0u64..100, info: bool) {
            let text = segment(start * PAGE, shared, 1, false);
            let data = segment(text.end + gap * PAGE, private, (filled.min(private) * PAGE) as usize, true);
            let program = program(&[text, data]);
            let layout = Layout::new(&program, stack).unwrap();
            let tables = layout.tables(&program, info).unwrap();
            let mut last = 0;
            let (mut own, mut numbers) = (0, std::collections::BTreeSet::new());
            for page in layout.eager_pages(&program, info) {
                let kind = match page.content {
                    Content::Shared { index, .. } => Kind::Shared(index),
                    _ => Kind::Own(own),
                };
                own += matches!(kind, Kind::Own(_)) as u64;
                let (number, what) = layout.page(&program, info, page.address + 7).unwrap();
                prop_assert_eq!(what, kind);
                prop_assert!(numbers.insert(number));
                prop_assert!(page.address > last);
                prop_assert!(!layout.is_lazy(&program, page.address));
                prop_assert!(tables.tables.contains(&(page.address & !(TABLE_SPAN - 1))));
                last = page.address;
            }
            prop_assert!(layout.stack_low > program.end());
            prop_assert!(layout.end().is_multiple_of(TABLE_SPAN) && last < layout.end());
            let mut at = text.start - PAGE;
            while at <= layout.end() {
                let page = layout.page(&program, info, at);
                let lazy = page.is_some_and(|(_, kind)| kind == Kind::Lazy);
                prop_assert_eq!(lazy, layout.is_lazy(&program, at));
                if let Some((number, kind)) = page {
                    prop_assert_eq!(numbers.insert(number), kind == Kind::Lazy, "{:#x}", at);
                }
                at += PAGE;
            }
            let mut sorted = tables.tables.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, tables.tables);
        }
    }
}
