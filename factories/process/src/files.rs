// SPDX-License-Identifier: BSD-2-Clause
//! The initial file tree: a tar archive in memory that nobody changes.
//!
//! Its content may come from anyone (a user adds files), so any bytes must do:
//! an archive that is damaged is refused as a whole when the factory starts,
//! and what is in the files is the affair of [`program`](crate::program).

use core::fmt;

use heapless::String;
use tar_no_std::{CorruptDataError, TarArchiveRef};

/// Longest path of a file, in bytes: what a tar header has room for.
pub const MAX_PATH: usize = 100;

/// A file's path in the tree, without a `/` in front.
pub type Path = String<MAX_PATH>;

/// The tree.
#[derive(Clone, Debug)]
pub struct Files<'a>(Option<TarArchiveRef<'a>>);

impl<'a> Files<'a> {
    /// A tree without files.
    pub const EMPTY: Self = Self(None);

    /// The tree in a tar archive (POSIX.1-1988, "ustar").
    ///
    /// # Errors
    /// What is wrong with the archive.
    pub fn new(archive: &'a [u8]) -> Result<Self, CorruptDataError> {
        TarArchiveRef::new(archive).map(|archive| Self(Some(archive)))
    }

    /// The tree that a domain was given, or one without files after `log` was told what is wrong with it:
    /// a factory serves all the same.
    pub fn or_none(archive: &'a [u8], log: impl FnOnce(fmt::Arguments<'_>)) -> Self {
        Self::new(archive).unwrap_or_else(|error| {
            log(format_args!(
                "the initial file tree cannot be read: {error}"
            ));
            Self::EMPTY
        })
    }

    /// The file that a name means: `bin/NAME` for one without a `/`, if there is that, else the file of
    /// this very path. `None` when there is no such file.
    pub fn find(&self, name: &str) -> Option<(Path, &'a [u8])> {
        let mut exact = None;
        for entry in self.0.as_ref()?.entries() {
            let file_name = entry.filename();
            let Ok(path) = file_name.as_str() else {
                continue;
            };
            let path = path.trim_start_matches("./");
            if is_program(path, name) {
                return Some((Path::try_from(path).ok()?, entry.data()));
            }
            if path == name && exact.is_none() {
                exact = Some((Path::try_from(path).ok()?, entry.data()));
            }
        }
        exact
    }
}

/// Whether `name` is short for `path`: the name of a program in `bin/`.
pub fn is_program(path: &str, name: &str) -> bool {
    !name.contains('/') && path.strip_prefix("bin/") == Some(name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A tar archive of these files.
    pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, data) in files {
            let mut header = [0u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[100..108].copy_from_slice(b"0000644\0");
            header[124..136].copy_from_slice(std::format!("{:011o}\0", data.len()).as_bytes());
            header[148..156].fill(b' ');
            header[156] = b'0';
            header[257..265].copy_from_slice(b"ustar\x0000");
            let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
            header[148..156].copy_from_slice(std::format!("{sum:06o}\0 ").as_bytes());
            tar.extend_from_slice(&header);
            tar.extend_from_slice(data);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    fn found<'a>(tar: &'a [u8], name: &str) -> Option<(std::string::String, &'a [u8])> {
        let (path, data) = Files::new(tar).unwrap().find(name)?;
        Some((path.as_str().into(), data))
    }

    #[test]
    fn a_short_name_means_a_program() {
        let tar = archive(&[("hello", b"root"), ("bin/hello", b"program")]);
        let expected = Some(("bin/hello".into(), &b"program"[..]));
        assert_eq!(found(&tar, "hello"), expected);
        assert_eq!(found(&tar, "bin/hello"), expected);
    }

    #[test]
    fn a_path_means_that_very_file() {
        let tar = archive(&[("etc/motd", b"hi"), ("motd", b"root")]);
        assert_eq!(found(&tar, "motd"), Some(("motd".into(), &b"root"[..])));
        assert_eq!(
            found(&tar, "etc/motd"),
            Some(("etc/motd".into(), &b"hi"[..]))
        );
        assert_eq!(found(&tar, "etc"), None);
        assert_eq!(found(&tar, ""), None);
    }

    #[test]
    fn an_empty_tree_has_no_files() {
        assert!(Files::EMPTY.find("hello").is_none());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(Files::new(&[1; 4096]).is_err());
        assert!(Files::new(&[]).is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_archive_is_refused_or_can_be_searched(
            at in 0usize..4096, byte: u8, cut in 0usize..4608, name in "[a-c/]{0,6}",
        ) {
            let mut tar = archive(&[("bin/a", &[7; 700]), ("b", b""), ("c/c", &[1; 512])]);
            let at = at % tar.len();
            tar[at] = byte;
            for tar in [&tar[..], &tar[..cut.min(tar.len())]] {
                if let Ok(files) = Files::new(tar) {
                    let _ = files.find(&name);
                }
            }
        }
    }
}
