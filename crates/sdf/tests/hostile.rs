// SPDX-License-Identifier: BSD-2-Clause
//! Whatever a description or a program contains, there is an answer, and soon.

mod support;

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use proptest::prelude::*;
use xos_sdf::{MAX_FILE_SIZE, Mistake, append_payload, bootable, lower, parse};

/// What must hold of every description: no panic, one line of error, and what is packed decodes.
fn answer(text: &str, read: impl Fn(&str) -> std::io::Result<Vec<u8>>) {
    match parse(text, "f").and_then(|system| lower(&system, read)) {
        Ok(packed) => {
            let decoded = xos_image::decode(&packed.payload).unwrap();
            assert_eq!(*decoded.system(), packed.image);
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("f:"), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
            let lines = text.lines().count().max(1) as u32;
            assert!((1..=lines + 1).contains(&error.line), "{line}");
        }
    }
}

fn descriptions() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/positive");
    let mut paths: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    // The one with many domains is slow, and its elements are those of the others.
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.filter(|text| text.len() < 4000).collect()
}

/// Words that get past the first checks.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "",
        "0",
        "1",
        "25",
        "26",
        "-1",
        "0x1000",
        "0x200000",
        "0x7fffbffff000",
        "0xffffffffffffffff",
        "true",
        "false",
        "a",
        "b",
        "m",
        "n",
        "r",
        "rw",
        "rwx",
        "ff:1f.7",
        "hello.elf",
        "value",
        "\"",
        "<",
        "/>",
        "<map/>",
        "</system>",
        "<!--",
        "-->",
        "&#10;",
        "\u{202e}",
        "id=\"1\"",
        "pd",
        "map",
        "protection_domain",
        "channel",
        "end",
        "irq",
        "ioport",
        "setvar",
        "memory_region",
    ];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(String::from),
        1 => ".{0,5}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_makes_parsing_panic(text in ".{0,200}") {
        answer(&text, support::read);
    }

    #[test]
    fn no_change_of_a_valid_description_makes_it_panic(
        text in prop::sample::select(descriptions()),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..12_usize, word()), 1..5),
    ) {
        let mut text: Vec<char> = text.chars().collect();
        for (at, len, word) in changes {
            let start = at.index(text.len() + 1);
            let end = (start + len).min(text.len());
            text.splice(start..end, word.chars());
        }
        answer(&text.into_iter().collect::<String>(), support::read);
    }

    #[test]
    fn no_attribute_value_makes_a_valid_description_panic(
        text in prop::sample::select(descriptions()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..4),
    ) {
        // Every second piece between quotation marks is a value.
        let mut pieces: Vec<String> = text.split('"').map(String::from).collect();
        for (at, word) in changes {
            let value = at.index(pieces.len() / 2) * 2 + 1;
            pieces[value] = word.replace(['"', '<'], "");
        }
        answer(&pieces.join("\""), support::read);
    }

    #[test]
    fn no_change_of_a_program_makes_packing_panic(
        changes in prop::collection::vec((0..0x200_usize, any::<u8>()), 1..8),
        in_tables in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut file = support::hello().build();
        for (at, value) in changes {
            file[at] = value;
        }
        let tables = file.len() - 1500..file.len();
        for (at, value) in in_tables {
            *at.get_mut(&mut file[tables.clone()]) = value;
        }
        let text = "<system><memory_region name='m' size='0x1000'/><protection_domain name='a'>\
            <program_image path='x'/><map mr='m' vaddr='0x1000000' setvar_vaddr='value'/>\
            </protection_domain></system>";
        answer(text, |_| Ok(file.clone()));
        let _ = bootable(&file);
        let _ = append_payload(&file, &[0; 4096]);
    }

    #[test]
    fn no_bytes_as_a_program_make_packing_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = bootable(&bytes);
        let mut file = support::hello().build();
        file.splice(16..(16 + bytes.len()), bytes);
        let _ = bootable(&file);
    }
}

/// Deep enough for any recursion that is not bounded to overflow its stack.
#[test]
fn deep_nesting_is_refused() {
    for name in ["a", "system", "protection_domain", "map"] {
        let mut text = String::from("<system>");
        while text.len() < MAX_FILE_SIZE / 2 {
            write!(text, "<{name}>").unwrap();
        }
        answer(&text, support::read);
        let depth = (text.len() - 8) / (name.len() + 2);
        for _ in 0..depth {
            write!(text, "</{name}>").unwrap();
        }
        text += "</system>";
        answer(&text[..text.len().min(MAX_FILE_SIZE)], support::read);
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let text = format!("<system>{}</system>", " ".repeat(MAX_FILE_SIZE));
    let error = parse(&text, "f").unwrap_err();
    assert!(
        matches!(*error.mistake, Mistake::FileSize { .. }),
        "{error}"
    );
}

#[test]
fn one_region_too_many_is_refused() {
    let mut text = String::from("<system>");
    for index in 0..=xos_image::MAX_REGIONS {
        write!(text, "<memory_region name='{index}' size='0x1000'/>").unwrap();
    }
    text += "</system>";
    let error = parse(&text, "f").unwrap_err();
    assert!(
        matches!(*error.mistake, Mistake::TooManyRegions { .. }),
        "{error}"
    );
}

/// As many maps and regions as fit; quadratic work would take minutes.
#[test]
fn the_largest_descriptions_take_no_time() {
    let start = Instant::now();
    let program = "<program_image path='hello.elf'/>";
    let mut maps = format!(
        "<system><memory_region name='m' size='0x1000'/><protection_domain name='a'>{program}"
    );
    for index in 0..20_000_u64 {
        write!(
            maps,
            "<map mr='m' vaddr='{:#x}'/>",
            0x100_0000 + index * 0x1000
        )
        .unwrap();
    }
    maps += "</protection_domain></system>";
    assert!(parse(&maps, "f").unwrap().protection_domains[0].maps.len() == 20_000);

    let mut regions = String::from("<system>");
    for index in 0..4096 {
        write!(
            regions,
            "<memory_region name='{index}' size='0x1000' phys_addr='{index:#x}000'/>"
        )
        .unwrap();
    }
    write!(
        regions,
        "<protection_domain name='a'>{program}</protection_domain></system>"
    )
    .unwrap();
    assert_eq!(parse(&regions, "f").unwrap().warnings.len(), 4096);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
