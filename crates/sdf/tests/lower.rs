// SPDX-License-Identifier: BSD-2-Clause
//! What a description and its programs are packed into.

mod support;

use std::collections::BTreeMap;

use object::elf;
use support::{Elf, Header, R, W, X, hello, load};
use xos_image::{Access, Domain, Image, PAGE_SIZE, Segment, SystemImage};
use xos_sdf::{ElfError, Packed, append_payload, bootable, lower, parse};

const SYSTEM: &str = r#"<system>
  <memory_region name="device" size="0x1000" phys_addr="0xfed00000"/>
  <memory_region name="files" prefill_path="pages.bin"/>
  <memory_region name="large" size="0x400000"/>
  <protection_domain name="server" priority="9">
    <program_image path="hello.elf"/>
    <map mr="device" vaddr="0x1000000" cached="false" setvar_vaddr="value"/>
    <map mr="large" vaddr="0x40000000" setvar_size="value2"/>
    <irq id="3" pin="4" vector="5"/>
    <ioport id="2" addr="0x3f8" size="8" setvar_addr="value3"/>
    <setvar symbol="zero" region_paddr="device"/>
  </protection_domain>
  <protection_domain name="client" priority="9">
    <program_image path="hello.elf"/>
    <map mr="files" vaddr="0x1000000" perms="r" setvar_prefill_size="value" setvar_size="value2"/>
    <protection_domain name="child" id="7" setvar_id="value3">
      <program_image path="stripped.elf"/>
    </protection_domain>
  </protection_domain>
  <channel>
    <end pd="client" id="1" pp="true" notify="false" setvar_id="zero"/>
    <end pd="server" id="25"/>
  </channel>
</system>"#;

fn packed(text: &str) -> Packed {
    lower(&parse(text, "f").unwrap(), support::read).unwrap()
}

/// The system with one domain `a` that runs this program.
fn with_program(elf: &Elf) -> Result<Packed, xos_sdf::SdfError> {
    let text = "<system><protection_domain name='a'><program_image path='x'/></protection_domain></system>";
    lower(&parse(text, "f").unwrap(), |_| Ok(elf.build()))
}

/// What the memory of a domain's program will contain.
fn memory(image: &Image, domain: &Domain) -> BTreeMap<u64, u8> {
    let mut memory = BTreeMap::new();
    for segment in &domain.segments {
        let data = segment.data.map_or(&[][..], |blob| image.blob(blob));
        for at in 0..segment.mem_size {
            let byte = data.get(at as usize).copied().unwrap_or(0);
            assert_eq!(
                memory.insert(segment.vaddr + at, byte),
                None,
                "no page occurs twice"
            );
        }
    }
    memory
}

fn u64_at(memory: &BTreeMap<u64, u8>, address: u64) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| memory[&(address + at as u64)]))
}

#[test]
fn variables_of_the_description_are_set() {
    let packed = packed(SYSTEM);
    let image = xos_image::decode(&packed.payload).unwrap();
    let server = memory(&image, &packed.image.domains[0]);
    assert_eq!(u64_at(&server, 0x20_2000), 0x100_0000, "setvar_vaddr");
    assert_eq!(u64_at(&server, 0x20_2008), 0x40_0000, "setvar_size");
    assert_eq!(u64_at(&server, 0x20_2010), 0x3f8, "setvar_addr");
    assert_eq!(
        u64_at(&server, 0x20_4ff8),
        0xfed0_0000,
        "region_paddr, in memory beyond the file"
    );
    let client = memory(&image, &packed.image.domains[1]);
    assert_eq!(u64_at(&client, 0x20_2000), 4097, "setvar_prefill_size");
    assert_eq!(
        u64_at(&client, 0x20_2008),
        0x2000,
        "setvar_size of a region without size"
    );
    assert_eq!(
        u64_at(&client, 0x20_2010),
        7,
        "setvar_id of a child, in its parent"
    );
    assert_eq!(u64_at(&client, 0x20_4ff8), 1, "setvar_id of a channel");
}

#[test]
fn variables_that_every_domain_has_are_set() {
    let packed = packed(SYSTEM);
    let image = xos_image::decode(&packed.payload).unwrap();
    for (index, expected) in [(0, [1 << 3, 1 << 25, 0, 1 << 2]), (1, [0, 0, 1 << 1, 0])] {
        let domain = &packed.image.domains[index];
        let memory = memory(&image, domain);
        let name: Vec<u8> = (0..64).map(|at| memory[&(0x20_2100 + at)]).collect();
        assert!(name.starts_with(domain.name.as_bytes()));
        assert!(name[domain.name.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(memory[&0x20_2140], 0, "microkit_passive");
        let sets: [u64; 4] = std::array::from_fn(|at| u64_at(&memory, 0x20_2148 + 8 * at as u64));
        assert_eq!(
            sets, expected,
            "irqs, notifications, pps, ioports of {}",
            domain.name
        );
    }
}

#[test]
fn bytes_that_are_no_variables_are_those_of_the_program() {
    let packed = packed(SYSTEM);
    let image = xos_image::decode(&packed.payload).unwrap();
    let child = memory(&image, &packed.image.domains[2]);
    for header in hello().headers {
        for at in 0..header.mem_size {
            let byte = header.data.get(at as usize).copied().unwrap_or(0);
            assert_eq!(child[&(header.vaddr + at)], byte);
        }
    }
    assert_eq!(child.len(), 0x5000, "whole pages, zero around the segments");
}

#[test]
fn the_description_is_carried_over() {
    let SystemImage {
        domains,
        regions,
        channels,
    } = packed(SYSTEM).image;
    let names: Vec<_> = domains.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["server", "client", "child"]);
    assert_eq!(
        domains[2].parent,
        Some(xos_image::Parent { domain: 1, id: 7 })
    );
    assert_eq!(domains[0].maps[0].region, 0);
    assert!(!domains[0].maps[0].cached);
    assert_eq!(domains[1].maps[0].access, Access::Read);
    assert_eq!(regions[1].size, 0x2000);
    assert_eq!(regions[1].prefill.unwrap().len, 4097);
    let [channel] = channels[..] else {
        panic!("{channels:?}")
    };
    assert_eq!(
        (
            channel.a.domain,
            channel.a.id,
            channel.a.pp,
            channel.a.notify
        ),
        (1, 1, true, false)
    );
    assert_eq!(
        (
            channel.b.domain,
            channel.b.id,
            channel.b.pp,
            channel.b.notify
        ),
        (0, 25, false, true)
    );
}

#[test]
fn a_region_gets_large_pages_where_all_its_addresses_allow_it() {
    let page_size = |region: &str, vaddr: &str| {
        let text = format!(
            "<system><memory_region name='m' {region}/><protection_domain name='a'>\
             <program_image path='hello.elf'/><map mr='m' vaddr='{vaddr}'/>\
             </protection_domain></system>"
        );
        packed(&text).image.regions[0].page_size
    };
    assert_eq!(page_size("size='0x400000'", "0x40000000"), 0x20_0000);
    assert_eq!(
        page_size("size='0x400000' page_size='0x1000'", "0x40000000"),
        0x1000
    );
    assert_eq!(page_size("size='0x400000'", "0x40001000"), 0x1000);
    assert_eq!(page_size("size='0x401000'", "0x40000000"), 0x1000);
    assert_eq!(
        page_size("size='0x400000' phys_addr='0xfed00000'", "0x40000000"),
        0x1000
    );
    assert_eq!(
        page_size("size='0x400000' phys_addr='0xfec00000'", "0x40000000"),
        0x20_0000
    );
    assert_eq!(
        page_size("size='0x400000' prefill_path='page.bin'", "0x40000000"),
        0x1000
    );
}

#[test]
fn read_only_pages_of_one_program_are_stored_once() {
    let packed = packed(SYSTEM);
    let [server, client, child] = &packed.image.domains[..] else {
        panic!()
    };
    let text = |domain: &Domain| {
        let found = domain
            .segments
            .iter()
            .find(|segment| segment.access.execute());
        found.unwrap().data.unwrap()
    };
    assert_eq!(text(server), text(client));
    assert_eq!(text(server), text(child));
}

#[test]
fn a_page_shared_by_two_segments_has_the_rights_of_both() {
    let mut elf = hello();
    elf.symbols.clear();
    elf.headers = vec![
        load(R, 0x20_0000, b"rodata", 6),
        load(R | X, 0x20_0800, &[0x90; 0x1000], 0x1000),
        load(R, 0x20_3000, b"more", 4),
        load(R | W, 0x20_3800, b"data", 0x2000),
    ];
    elf.entry = 0x20_0800;
    let packed = with_program(&elf).unwrap();
    let segments = &packed.image.domains[0].segments;
    let found: Vec<_> = segments
        .iter()
        .map(|s| (s.vaddr, s.mem_size, s.access))
        .collect();
    assert_eq!(
        found,
        [
            (0x20_0000, 0x2000, Access::ReadExecute),
            (0x20_3000, 0x3000, Access::ReadWrite)
        ]
    );
    let image = xos_image::decode(&packed.payload).unwrap();
    let memory = memory(&image, &packed.image.domains[0]);
    let bytes = |at: u64, len: u64| (at..at + len).map(|at| memory[&at]).collect::<Vec<_>>();
    assert_eq!(bytes(0x20_0000, 6), b"rodata");
    assert_eq!(bytes(0x20_0800, 2), [0x90, 0x90]);
    assert_eq!(bytes(0x20_17ff, 2), [0x90, 0]);
    assert_eq!(bytes(0x20_3000, 4), b"more");
    assert_eq!(bytes(0x20_3800, 4), b"data");
}

#[test]
fn memory_is_writable_and_executable_where_the_program_says_so_itself() {
    let mut elf = hello();
    elf.headers[1].flags = R | W | X;
    let packed = with_program(&elf).unwrap();
    assert_eq!(
        packed.image.domains[0].segments[1].access,
        Access::ReadWriteExecute
    );
    assert_eq!(
        packed.image.domains[0].segments[0].access,
        Access::ReadExecute
    );
}

#[test]
fn zeroes_at_the_end_of_a_segment_are_not_stored() {
    let Segment { mem_size, data, .. } = packed(SYSTEM).image.domains[2].segments[1];
    assert_eq!(mem_size, 0x3000);
    assert_eq!(data.unwrap().len, 0x1000);
}

#[test]
fn a_global_symbol_wins_over_local_ones_of_its_name() {
    let mut elf = hello();
    elf.symbols = vec![
        ("microkit_irqs", 0x20_2000, 8, false),
        ("microkit_irqs", 0x20_2008, 8, true),
        ("microkit_irqs", 0x20_2010, 8, false),
    ];
    let packed = with_program(&elf).unwrap();
    let image = xos_image::decode(&packed.payload).unwrap();
    let memory = memory(&image, &packed.image.domains[0]);
    assert_eq!(u64_at(&memory, 0x20_2008), 0);
    assert_ne!(u64_at(&memory, 0x20_2000), 0);
    assert_ne!(u64_at(&memory, 0x20_2010), 0);
}

/// A root task: [`hello`] with a variable for the payload at this address.
fn root_task(symbol: u64) -> Elf {
    let mut elf = hello();
    elf.symbols
        .push((xos_image::PAYLOAD_SYMBOL, symbol, 16, true));
    // What linkers add, and the default kernel would load.
    elf.headers.push(Header {
        kind: elf::PT_TLS,
        ..load(R, 0x20_2000, &[1; 8], 0x100)
    });
    elf.headers.push(Header {
        kind: elf::PT_GNU_STACK,
        ..load(R | W, 0, &[], 0)
    });
    elf
}

/// What the kernel makes of a boot file: memory from the lowest to the highest address, and the
/// contents of *every* program header, whatever its type, copied and then cleared behind.
fn boot(file: &[u8]) -> (u64, Vec<u8>) {
    use object::read::elf::{FileHeader as _, ProgramHeader as _};
    let endian = object::LittleEndian;
    let header = elf::FileHeader64::<object::LittleEndian>::parse(file).unwrap();
    let headers = header.program_headers(endian, file).unwrap();
    let used = || headers.iter().filter(|header| header.p_memsz(endian) > 0);
    let start = used().map(|header| header.p_vaddr(endian)).min().unwrap();
    let end = used()
        .map(|header| header.p_vaddr(endian) + header.p_memsz(endian))
        .max()
        .unwrap();
    let mut memory = vec![0; (end.next_multiple_of(PAGE_SIZE) - start) as usize];
    for header in used() {
        let data = header.data(endian, file).unwrap();
        let at = (header.p_vaddr(endian) - start) as usize;
        memory[at..at + header.p_memsz(endian) as usize].fill(0);
        memory[at..at + data.len()].copy_from_slice(data);
    }
    (start, memory)
}

#[test]
fn the_payload_lies_on_the_first_page_behind_the_root_task() {
    let payload = packed(SYSTEM).payload;
    for symbol in [0x20_2ff0, 0x20_4ff0] {
        let file = append_payload(&root_task(symbol).build(), &payload).unwrap();
        let (start, memory) = boot(&file);
        assert_eq!(start, 0x20_0000);
        assert_eq!(memory.len(), 0x5000 + payload.len());
        assert_eq!(memory[0x5000..], payload);
        let variable = (symbol - start) as usize;
        assert_eq!(memory[variable..variable + 8], 0x20_5000_u64.to_le_bytes());
        assert_eq!(
            memory[variable + 8..variable + 16],
            (payload.len() as u64).to_le_bytes()
        );
    }
}

#[test]
fn the_rest_of_the_root_task_is_unchanged() {
    let elf = root_task(0x20_4ff0);
    let (start, mut memory) = boot(&append_payload(&elf.build(), &[1; 4096]).unwrap());
    memory[0x4ff0..0x5000].fill(0);
    let (_, bare) = boot(&bootable(&elf.build()).unwrap());
    assert_eq!(memory[..0x5000], bare);
    for header in &elf.headers[..2] {
        let at = (header.vaddr - start) as usize;
        assert_eq!(bare[at..at + header.data.len()], header.data);
    }
}

/// This is why headers are left out.
#[test]
fn the_kernel_would_wipe_out_data_behind_a_tls_header() {
    let elf = root_task(0x20_4ff0);
    let data = &elf.headers[1].data;
    let (_, as_linked) = boot(&elf.build());
    assert_ne!(as_linked[0x2000..0x3000], *data);
    let (_, as_booted) = boot(&bootable(&elf.build()).unwrap());
    assert_eq!(as_booted[0x2000..0x3000], *data);
}

#[test]
fn a_root_task_with_payload_has_its_entry_point_and_nothing_writable_more() {
    use object::read::elf::{FileHeader as _, ProgramHeader as _};
    let endian = object::LittleEndian;
    let elf = root_task(0x20_4ff0);
    let file = append_payload(&elf.build(), &[1; 4096]).unwrap();
    let header = elf::FileHeader64::<object::LittleEndian>::parse(&*file).unwrap();
    assert_eq!(header.e_entry(endian), elf.entry);
    assert_eq!(header.e_type(endian), elf::ET_EXEC);
    let headers = header.program_headers(endian, &*file).unwrap();
    let found: Vec<_> = headers
        .iter()
        .map(|h| (h.p_type(endian), h.p_flags(endian).0, h.p_vaddr(endian)))
        .collect();
    assert_eq!(
        found,
        [
            (elf::PT_LOAD, R | X, 0x20_0000),
            (elf::PT_LOAD, R | W, 0x20_2000),
            (elf::PT_LOAD, R, 0x20_5000),
        ]
    );
    for header in headers {
        assert_eq!(
            header.p_offset(endian) % PAGE_SIZE,
            header.p_vaddr(endian) % PAGE_SIZE
        );
    }
}

#[test]
fn a_root_task_that_cannot_take_a_payload_is_refused() {
    let good = root_task(0x20_2000);
    let error = |elf: &Elf, payload: &[u8]| append_payload(&elf.build(), payload).unwrap_err();
    assert_eq!(error(&good, &[]), ElfError::Payload { size: 0 });
    assert_eq!(error(&good, &[0; 100]), ElfError::Payload { size: 100 });
    let symbol = || xos_image::PAYLOAD_SYMBOL.to_string();
    assert_eq!(
        error(&hello(), &[0; 4096]),
        ElfError::NoSymbol { symbol: symbol() }
    );
    let mut short = good.clone();
    short.symbols.last_mut().unwrap().2 = 8;
    assert_eq!(
        error(&short, &[0; 4096]),
        ElfError::SymbolSize {
            symbol: symbol(),
            size: 8,
            expected: 16
        }
    );
    for address in [0, 0x20_4ff1, 0x20_5000, u64::MAX - 8] {
        assert_eq!(
            error(&root_task(address), &[0; 4096]),
            ElfError::SymbolAddress {
                symbol: symbol(),
                address
            }
        );
    }
    let mut unaligned = good.clone();
    unaligned.headers[0].vaddr += 8;
    assert_eq!(
        error(&unaligned, &[0; 4096]),
        ElfError::ImageStart { start: 0x20_0008 }
    );
    let mut spread = good.clone();
    spread.headers[1].vaddr = 0x1_0000_0000;
    assert_eq!(
        error(&spread, &[0; 4096]),
        ElfError::TooLarge { size: 0xffe0_3000 }
    );
    let mut high = good;
    high.headers[0].vaddr = xos_image::USER_END - 0x5000;
    high.headers[1].vaddr = xos_image::USER_END - 0x3000;
    high.headers.truncate(2);
    high.entry = high.headers[0].vaddr;
    assert_eq!(error(&high, &[0; 4096]), ElfError::Payload { size: 4096 });
}
