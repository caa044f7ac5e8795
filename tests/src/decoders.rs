// SPDX-License-Identifier: BSD-2-Clause
//! Everything that reads bytes which somebody else made: one function for each, for any bytes.
//!
//! They are what the fuzz targets in `fuzz/` run, and the property tests here: none may panic, and what is
//! accepted has to keep what its reader promises. Properties that need more than the bytes (a whole factory,
//! a manager, a Linux server with its calls) are tested beside the code in question.

use legacy_posix::elf;
use process_factory::files::Files;
use process_factory::program::{HIGHEST, LOWEST, Program};
use xos_oci::Limits;
use xos_oci::layer::LeftOut;
use xos_oci::root::RootFs;
use xos_protocol::factory::{Entry, Spec};
use xos_protocol::manager::{
    Connect, Create, CreateWithin, Created, Declare, EdgePage, Event, Grow, IcInfo, IcPage, Open,
    Pass, RegionCreate, Register, ServicePage, Share,
};
use xos_protocol::wire;

/// A reader, by the name of its fuzz target.
pub type Decoder = (&'static str, fn(&[u8]));

/// All of them.
pub const DECODERS: &[Decoder] = &[
    ("protocol", protocol),
    ("program", program),
    ("linux_program", linux_program),
    ("file_tree", file_tree),
    ("system_description", system_description),
    ("system_image", system_image),
    ("container", container),
    ("oci_configuration", oci_configuration),
    ("oci_layer", oci_layer),
];

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    bytes.chunks(8).map(word)
}

/// Messages: arguments of every operation, and the structures that are longer.
pub fn protocol(bytes: &[u8]) {
    let mut all = words(bytes);
    let four: [u64; 4] = core::array::from_fn(|_| all.next().unwrap_or(0));
    let two = [four[0], four[1]];
    // What was accepted is told as it was read.
    macro_rules! check {
        ($($name:ident($words:ident)),* $(,)?) => {
            $(if let Ok(args) = $name::from_words($words) {
                assert_eq!($name::from_words(args.words()), Ok(args));
            })*
        };
    }
    check! {
        Create(four), CreateWithin(four), Grow(four), RegionCreate(four), Share(four), Connect(four),
        Pass(four), Register(four), Open(four), Declare(four), Entry(four), Created(two), Event(two),
    }
    let long: Vec<u64> = words(bytes).take(wire::MAX_WORDS).collect();
    let _ = wire::decode::<IcInfo>(&long);
    let _ = wire::decode::<IcPage>(&long);
    let _ = wire::decode::<ServicePage>(&long);
    let _ = wire::decode::<EdgePage>(&long);
    let _ = postcard::take_from_bytes::<Spec<'_>>(bytes);
}

/// Programs of the process factory.
pub fn program(bytes: &[u8]) {
    let Ok(program) = Program::parse(bytes) else {
        return;
    };
    let mut last = LOWEST;
    for segment in &program.segments {
        assert!(segment.start >= last && segment.start < segment.end && segment.end <= HIGHEST);
        last = segment.end;
        let mut total = 0;
        for page in 0..segment.filled_pages() {
            let Some((_, range)) = segment.page_bytes(page) else {
                continue;
            };
            assert!(range.end <= bytes.len());
            total += range.len();
        }
        assert_eq!(total, segment.length);
    }
}

/// Programs and scripts of Linux's.
pub fn linux_program(bytes: &[u8]) {
    let _ = elf::script(bytes);
    let Some((head, _)) = bytes.split_first_chunk::<{ elf::HEAD }>() else {
        return;
    };
    if let Ok(header) = elf::Header::read(head) {
        let start = usize::try_from(header.headers_at).unwrap_or(usize::MAX);
        let length = usize::from(header.headers) * elf::PROGRAM_HEADER;
        let end = start.saturating_add(length);
        if let Some(headers) = bytes.get(start..end)
            && let Ok(layout) = elf::Layout::read(&header, headers)
        {
            let (low, high) = layout.span();
            assert!(low <= high);
        }
    }
}

/// The file tree.
pub fn file_tree(bytes: &[u8]) {
    if let Ok(files) = Files::new(bytes) {
        for name in ["hello", "etc/text", ""] {
            if let Some((_, data)) = files.find(name) {
                assert!(data.len() <= bytes.len());
            }
        }
    }
}

/// System descriptions.
pub fn system_description(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    if let Err(error) = xos_sdf::parse(text, "f").and_then(|system| xos_sdf::lower(&system, none)) {
        let line = error.to_string();
        assert!(
            line.starts_with("f:") && !line.contains(char::is_control),
            "{line:?}"
        );
    }
}

/// What the root task finds behind itself.
pub fn system_image(bytes: &[u8]) {
    let _ = xos_image::decode(bytes);
}

/// Descriptions of containers.
pub fn container(bytes: &[u8]) {
    if let Ok(container) = xos_container::Container::read(bytes) {
        assert_eq!(container.check(), Ok(()));
    }
}

/// A bundle's `config.json`.
pub fn oci_configuration(bytes: &[u8]) {
    let _ = xos_oci::config::read(bytes);
}

/// A layer of an image.
pub fn oci_layer(bytes: &[u8]) {
    let limits = Limits {
        entries: 1000,
        unpacked: 1 << 20,
        ..Limits::default()
    };
    let mut root = RootFs::new(limits.entries);
    let mut budget = limits.unpacked;
    let mut left_out = LeftOut::default();
    let _ = xos_oci::layer::apply(&mut root, "f", bytes, &mut budget, &limits, &mut left_out);
    assert!(budget <= limits.unpacked);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Examples of what each reader accepts, or nearly.
    fn seeds() -> Vec<Vec<u8>> {
        let mut seeds: Vec<_> = crate::images::IMAGES
            .iter()
            .map(|(_, make)| make())
            .collect();
        let texts: [&[u8]; 3] = [
            include_bytes!("../guests/system/system.system"),
            include_bytes!("../guests/containers/bundle/config.json"),
            b"#!/bin/sh -e\necho\n",
        ];
        seeds.extend(texts.map(<[u8]>::to_vec));
        let mut archive = tar::Builder::new(Vec::new());
        for name in ["bin/hello", "etc/text"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(5);
            header.set_mode(0o644);
            header.set_cksum();
            archive
                .append_data(&mut header, name, &b"hello"[..])
                .unwrap();
        }
        seeds.push(archive.into_inner().unwrap());
        seeds
    }

    #[test]
    fn each_reader_survives_what_all_others_read() {
        for (_, decode) in DECODERS {
            seeds().iter().for_each(|seed| decode(seed));
        }
    }

    #[test]
    fn each_reader_has_a_fuzz_target() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/targets");
        for (name, _) in DECODERS {
            let target = std::fs::read_to_string(folder.join(name).with_extension("rs"));
            let call = format!("decoders::{name}(");
            assert!(target.unwrap_or_default().contains(&call), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            for (_, decode) in DECODERS {
                decode(&bytes);
            }
        }

        #[test]
        fn damaged_examples_are_read_or_refused(
            seed in prop::sample::select(seeds()),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = seed;
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            for (_, decode) in DECODERS {
                decode(&bytes);
            }
        }
    }
}
