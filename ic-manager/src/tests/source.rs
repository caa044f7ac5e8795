// SPDX-License-Identifier: BSD-2-Clause
//! What the sources must not contain.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn no_kind_of_ic_is_mentioned_in_this_folder() {
    let words = [
        concat!("pro", "cess"),
        concat!("thr", "ead"),
        concat!("contai", "ner"),
        concat!("virt", "ine"),
        concat!("virtual ", "machine"),
    ];
    let mut all = Vec::new();
    files(Path::new(env!("CARGO_MANIFEST_DIR")), &mut all);
    assert!(all.len() > 20, "{all:?}");
    for path in all {
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        for word in words {
            assert!(!text.contains(word), "{} mentions {word:?}", path.display());
        }
    }
}
