// SPDX-License-Identifier: BSD-2-Clause
//! What goes in comes out, and nothing else is accepted.

use proptest::prelude::*;
use xos_image::*;

/// A small system with one of everything.
fn example() -> (SystemImage, ImageBuilder) {
    let mut builder = ImageBuilder::new();
    let text = builder.blob(&[0x90; 5000]).unwrap();
    let data = builder.blob(b"data").unwrap();
    let prefill = builder.blob(b"files").unwrap();
    let segments = vec![
        Segment {
            vaddr: 0x20_0000,
            mem_size: 0x2000,
            access: Access::ReadExecute,
            data: text,
        },
        Segment {
            vaddr: 0x20_2000,
            mem_size: 0x5000,
            access: Access::ReadWrite,
            data,
        },
        Segment {
            vaddr: 0x20_8000,
            mem_size: 0x1000,
            access: Access::ReadWrite,
            data: None,
        },
    ];
    let server = Domain {
        name: "server".into(),
        parent: None,
        priority: 200,
        stack_size: DEFAULT_STACK_SIZE,
        entry: 0x20_1000,
        segments: segments.clone(),
        maps: vec![Map {
            region: 0,
            vaddr: 0x100_0000,
            access: Access::ReadWrite,
            cached: false,
        }],
        irqs: vec![
            Irq {
                id: 1,
                vector: 4,
                source: IrqSource::Ioapic {
                    ioapic: 0,
                    pin: 4,
                    level: false,
                    active_low: false,
                },
            },
            Irq {
                id: 2,
                vector: 5,
                source: IrqSource::Msi {
                    bus: 1,
                    device: 31,
                    function: 7,
                    handle: 9,
                },
            },
        ],
        io_ports: vec![IoPorts {
            id: 0,
            first: 0x3f8,
            last: 0x3ff,
        }],
    };
    let client = Domain {
        name: "client".into(),
        parent: Some(Parent { domain: 0, id: 3 }),
        priority: 100,
        maps: vec![Map {
            region: 1,
            vaddr: 0x100_0000,
            access: Access::Read,
            cached: true,
        }],
        irqs: vec![],
        io_ports: vec![IoPorts {
            id: MAX_IO_PORT_ID,
            first: 0xffff,
            last: 0xffff,
        }],
        ..server.clone()
    };
    let region = |name: &str, size, page_size, phys, prefill| Region {
        name: name.into(),
        size,
        page_size,
        phys,
        prefill,
    };
    let system = SystemImage {
        domains: vec![server, client],
        regions: vec![
            region("device", 0x1000, PAGE_SIZE, Some(0xfed0_0000), None),
            region("files", 0x2000, PAGE_SIZE, None, prefill),
            region("large", 2 * LARGE_PAGE_SIZE, LARGE_PAGE_SIZE, None, None),
        ],
        channels: vec![Channel {
            a: End {
                domain: 0,
                id: 0,
                notify: true,
                pp: false,
            },
            b: End {
                domain: 1,
                id: MAX_CHANNEL_ID,
                notify: false,
                pp: true,
            },
        }],
    };
    (system, builder)
}

fn packed() -> Vec<u8> {
    let (system, builder) = example();
    builder.finish(&system).unwrap()
}

/// The problem that the encoder finds after one change to the example.
fn problem(change: impl FnOnce(&mut SystemImage)) -> Problem {
    let (mut system, builder) = example();
    change(&mut system);
    match builder.finish(&system).unwrap_err() {
        ImageError::Invalid { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn a_packed_system_decodes_to_itself() {
    let payload = packed();
    assert_eq!(decode(&payload).unwrap().system(), &example().0);
}

#[test]
fn blobs_begin_on_pages_and_are_zero_behind_their_end() {
    let payload = packed();
    let image = decode(&payload).unwrap();
    let text = image.system().domains[0].segments[0].data.unwrap();
    assert_eq!(image.blob(text), [0x90; 5000]);
    let offset = image.blob_offset(text);
    assert_eq!(offset % PAGE_SIZE as usize, 0);
    assert_eq!(payload[offset..offset + 5000], [0x90; 5000]);
    assert_eq!(payload[offset + 5000..offset + 8192], [0; 3192]);
    assert_eq!(
        image.blob(image.system().regions[1].prefill.unwrap()),
        b"files"
    );
}

#[test]
fn equal_blobs_are_stored_once_and_empty_ones_not_at_all() {
    let mut builder = ImageBuilder::new();
    let first = builder.blob(b"same").unwrap();
    assert_eq!(builder.blob(b"same").unwrap(), first);
    assert_ne!(builder.blob(b"other").unwrap(), first);
    assert_eq!(builder.blob(b"").unwrap(), None);
}

#[test]
fn the_manager_is_found_by_its_name() {
    let (mut system, _) = example();
    assert_eq!(system.manager(), None);
    system.domains[1].name = MANAGER_NAME.into();
    assert_eq!(system.manager(), Some(1));
}

#[test]
fn stack_and_ipc_buffer_lie_outside_of_the_space_for_programs() {
    const { assert!(STACK_TOP - MAX_STACK_SIZE > USER_END) };
    const { assert!(STACK_TOP < IPC_BUFFER_VADDR) };
    const { assert!(IPC_BUFFER_VADDR + PAGE_SIZE < 1 << 47) };
}

#[test]
fn identifiers_stay_clear_of_the_flags_of_a_badge() {
    const { assert!(1u64 << PPC_BADGE_BIT < 1 << 28) };
    const { assert!(MAX_CHANNEL_ID < FAULT_BADGE_BIT && FAULT_BADGE_BIT < PPC_BADGE_BIT) };
}

#[test]
fn a_truncated_payload_is_refused() {
    let payload = packed();
    for len in [
        0,
        1,
        HEADER_LEN - 1,
        HEADER_LEN,
        4096,
        payload.len() - 4096,
        payload.len() - 1,
    ] {
        assert!(decode(&payload[..len]).is_err(), "{len}");
    }
}

#[test]
fn another_magic_number_is_refused() {
    let mut payload = packed();
    payload[0] ^= 1;
    assert_eq!(decode(&payload).unwrap_err(), ImageError::Magic);
}

#[test]
fn another_version_is_refused() {
    let mut payload = packed();
    payload[8] += 1;
    assert_eq!(
        decode(&payload).unwrap_err(),
        ImageError::Version { found: VERSION + 1 }
    );
}

#[test]
fn a_changed_description_is_refused() {
    let mut payload = packed();
    payload[HEADER_LEN] ^= 1;
    assert!(matches!(
        decode(&payload).unwrap_err(),
        ImageError::Checksum { .. }
    ));
}

#[test]
fn a_blob_that_is_not_zero_behind_its_end_is_refused() {
    let mut payload = packed();
    *payload.last_mut().unwrap() = 1;
    assert!(matches!(
        decode(&payload).unwrap_err(),
        ImageError::Invalid {
            item: Item::Region,
            index: 1,
            problem: Problem::Padding
        }
    ));
}

#[test]
fn every_mistake_in_a_description_has_its_problem() {
    type Change = fn(&mut SystemImage);
    let cases: &[(Problem, Change)] = &[
        (Problem::Count, |s| s.domains.clear()),
        (Problem::Count, |s| {
            s.domains = vec![s.domains[0].clone(); MAX_DOMAINS + 1]
        }),
        (Problem::Count, |s| {
            s.regions = vec![s.regions[0].clone(); MAX_REGIONS + 1]
        }),
        (Problem::Name, |s| s.domains[0].name.clear()),
        (Problem::Name, |s| {
            s.domains[0].name = "x".repeat(MAX_NAME_LEN + 1)
        }),
        (Problem::Name, |s| s.regions[0].name = "a\0b".into()),
        (Problem::DuplicateName, |s| {
            s.domains[1].name = "server".into()
        }),
        (Problem::DuplicateName, |s| {
            s.regions[1].name = "device".into()
        }),
        (Problem::Priority, |s| s.domains[0].priority = 255),
        (Problem::Stack, |s| s.domains[0].stack_size = 0),
        (Problem::Stack, |s| s.domains[0].stack_size = 0x1001),
        (Problem::Stack, |s| {
            s.domains[0].stack_size = MAX_STACK_SIZE + PAGE_SIZE
        }),
        (Problem::Parent, |s| {
            s.domains[0].parent = Some(Parent { domain: 1, id: 0 })
        }),
        (Problem::Parent, |s| {
            s.domains[1].parent = Some(Parent { domain: 1, id: 0 })
        }),
        (Problem::Parent, |s| {
            s.domains[1].parent = Some(Parent { domain: 9, id: 0 })
        }),
        (Problem::Entry, |s| s.domains[0].entry = 0x20_2000),
        (Problem::Entry, |s| s.domains[0].entry = 0),
        (Problem::Range, |s| s.domains[0].segments[0].vaddr = 0),
        (Problem::Range, |s| s.domains[0].segments[0].vaddr += 1),
        (Problem::Range, |s| {
            s.domains[0].segments[2].vaddr = USER_END
        }),
        (Problem::Range, |s| {
            s.domains[0].segments[2].mem_size = u64::MAX - 0xfff
        }),
        (Problem::Range, |s| s.domains[0].segments[2].mem_size = 0),
        (Problem::Range, |s| {
            s.domains[0].segments[2].mem_size = 0x1001
        }),
        (Problem::Range, |s| {
            s.domains[0].maps[0].vaddr = u64::MAX - 0xfff
        }),
        (Problem::Range, |s| {
            s.domains[0].maps[0] = Map {
                region: 2,
                vaddr: 0x100_1000,
                access: Access::Read,
                cached: true,
            }
        }),
        (Problem::Overlap, |s| s.domains[0].segments.swap(0, 1)),
        (Problem::Overlap, |s| {
            s.domains[0].segments[0].mem_size = 0x3000
        }),
        (Problem::Overlap, |s| s.domains[0].maps[0].vaddr = 0x20_0000),
        (Problem::WriteExecute, |s| {
            s.domains[0].maps[0].access = Access::ReadWriteExecute
        }),
        (Problem::NoSuchRegion, |s| s.domains[0].maps[0].region = 3),
        (Problem::NoSuchDomain, |s| s.channels[0].a.domain = 2),
        (Problem::NoSuchDomain, |s| s.channels[0].a.domain = 1),
        (Problem::IdRange, |s| {
            s.channels[0].a.id = MAX_CHANNEL_ID + 1
        }),
        (Problem::IdRange, |s| s.domains[0].irqs[0].id = 255),
        (Problem::IdRange, |s| {
            s.domains[0].io_ports[0].id = MAX_IO_PORT_ID + 1
        }),
        (Problem::IdRange, |s| {
            s.domains[1].parent.as_mut().unwrap().id = MAX_CHANNEL_ID + 1
        }),
        (Problem::DuplicateId, |s| s.channels[0].a.id = 1),
        (Problem::DuplicateId, |s| s.domains[0].irqs[0].id = 2),
        (Problem::Irq, |s| s.domains[0].irqs[0].vector = 5),
        (Problem::Irq, |s| {
            s.domains[0].irqs[0].vector = MAX_IRQ_VECTOR + 1
        }),
        (Problem::Irq, |s| {
            s.domains[0].irqs[1].source = IrqSource::Msi {
                bus: 0,
                device: 32,
                function: 0,
                handle: 0,
            }
        }),
        (Problem::IoPorts, |s| s.domains[0].io_ports[0].last = 0x3f7),
        (Problem::IoPorts, |s| {
            s.domains[0].io_ports.push(IoPorts {
                id: 1,
                first: 0x3ff,
                last: 0x400,
            })
        }),
        (Problem::PageSize, |s| s.regions[0].page_size = 0),
        (Problem::PageSize, |s| s.regions[0].page_size = 0x4000),
        (Problem::Size, |s| s.regions[0].size = 0),
        (Problem::Size, |s| s.regions[2].size += PAGE_SIZE),
        (Problem::Physical, |s| s.regions[0].phys = Some(1)),
        (Problem::Physical, |s| {
            s.regions[0].phys = Some(u64::MAX - 0xfff)
        }),
        (Problem::Physical, |s| s.regions[1].phys = Some(0x1000)),
        (Problem::Physical, |s| {
            s.regions[2].phys = Some(0xfed0_0000 / LARGE_PAGE_SIZE * LARGE_PAGE_SIZE)
        }),
        (Problem::Blob, |s| {
            s.regions[1].prefill = Some(Blob { page: 9, len: 1 })
        }),
        (Problem::Blob, |s| {
            s.regions[1].prefill = Some(Blob {
                page: u32::MAX,
                len: 1,
            })
        }),
        (Problem::Blob, |s| {
            s.regions[1].prefill = Some(Blob { page: 0, len: 0 })
        }),
        (Problem::Blob, |s| {
            s.regions[1].prefill = Some(Blob {
                page: 0,
                len: 0x2001,
            })
        }),
        (Problem::Blob, |s| {
            s.domains[0].segments[1].data = Some(Blob {
                page: 0,
                len: u64::MAX,
            })
        }),
    ];
    for (index, (expected, change)) in cases.iter().enumerate() {
        assert_eq!(problem(change), *expected, "case {index}");
    }
}

/// A payload whose header and checksum are right, whatever the description and contents.
fn dressed(description: &[u8], contents: &[u8]) -> Vec<u8> {
    let offset = (HEADER_LEN + description.len()).next_multiple_of(4096);
    let total = offset + contents.len().next_multiple_of(4096);
    let mut payload = MAGIC.to_vec();
    payload.extend(VERSION.to_le_bytes());
    payload.extend((description.len() as u32).to_le_bytes());
    payload.extend((total as u64).to_le_bytes());
    payload.extend(crc32fast::hash(description).to_le_bytes());
    payload.resize(HEADER_LEN, 0);
    payload.extend(description);
    payload.resize(offset, 0);
    payload.extend(contents);
    payload.resize(total, 0);
    payload
}

/// What must hold of anything accepted: every blob can be read.
fn read_everything(payload: &[u8]) {
    if let Ok(image) = decode(payload) {
        let system = image.system();
        let segments = system
            .domains
            .iter()
            .flat_map(|d| d.segments.iter().map(|s| s.data));
        let prefills = system.regions.iter().map(|r| r.prefill);
        for blob in segments.chain(prefills).flatten() {
            assert_eq!(image.blob(blob).len() as u64, blob.len);
            let end = image.blob_offset(blob) as u64 + blob.pages() * PAGE_SIZE;
            assert!(end <= payload.len() as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_description_makes_decoding_panic(
        description in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        read_everything(&dressed(&description, &[]));
    }

    #[test]
    fn no_change_of_a_valid_description_makes_decoding_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let payload = packed();
        let len = u32::from_le_bytes(payload[12..16].try_into().unwrap()) as usize;
        let mut description = payload[HEADER_LEN..HEADER_LEN + len].to_vec();
        for (at, value) in changes {
            *at.get_mut(&mut description) = value;
        }
        read_everything(&dressed(&description, &payload[4096..]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn any_blobs_come_back(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9000), 1..6),
    ) {
        let (mut system, mut builder) = example();
        system.regions.retain(|region| region.name != "large");
        for (index, bytes) in contents.iter().enumerate() {
            let prefill = builder.blob(bytes).unwrap();
            let name = format!("region {index}");
            system.regions.push(Region { name, size: 0x3000, page_size: PAGE_SIZE, phys: None, prefill });
        }
        let payload = builder.finish(&system).unwrap();
        let image = decode(&payload).unwrap();
        prop_assert_eq!(image.system(), &system);
        for (region, bytes) in image.system().regions[2..].iter().zip(&contents) {
            prop_assert_eq!(image.blob(region.prefill.unwrap()), bytes.as_slice());
        }
    }
}
