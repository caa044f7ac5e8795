// SPDX-License-Identifier: BSD-2-Clause
//! The logic of the monitor: a small command line on the console.
//!
//! It shows the demonstration when the system has booted, and then lets a
//! person (or the host tool, line by line) start, list and end isolation
//! contexts (ICs) and see who has to do with whom. If the initial file tree
//! has a command in it, it runs that one alone and powers off.
//!
//! The monitor is the supervisor's seat: its session may see and end every IC
//! and stop the machine. So what it must never do is act on anything but lines
//! from the console and that one file; and, since people look at the system
//! through it, trust a text that comes from an IC to be harmless to a terminal
//! or to the DOT language.
//!
//! | module | its job |
//! | --- | --- |
//! | [`editor`] | keys to lines |
//! | [`command`], [`xos_container_line`] | lines to commands |
//! | [`shell`] | commands to what happens and what is printed |
//! | [`xos_view`] | how it looks |
//! | [`demo`] | what is shown at boot |
//!
//! The system is behind one trait, [`System`]: all of this runs on the host in tests.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod command;
pub mod demo;
pub mod editor;
pub mod line;
pub mod shell;
mod system;

pub use shell::Shell;
pub use system::{Start, System};

/// The text of a file of the initial tree, a tar archive.
fn text<'a>(files: &'a [u8], path: &str) -> Option<&'a str> {
    let archive = tar_no_std::TarArchiveRef::new(files).ok()?;
    let file = archive.entries().find(|entry| {
        let name = entry.filename();
        let name = name.as_str();
        name.is_ok_and(|name| name.strip_prefix("./").unwrap_or(name) == path)
    })?;
    core::str::from_utf8(file.data()).ok()
}

/// The command that the initial file tree asks to run alone, if it does: the first line of
/// [`xos_image::console::EXEC_FILE`]. `files` is the tree as a tar archive.
pub fn exec_line(files: &[u8]) -> Option<&str> {
    text(files, xos_image::console::EXEC_FILE)?.lines().next()
}

/// The command to run before the first prompt, if the tree asks for one: of the lines of
/// [`xos_image::console::LOGIN_FILE`] the first whose program is there.
pub fn login_line(files: &[u8]) -> Option<&str> {
    let mut lines = text(files, xos_image::console::LOGIN_FILE)?.lines();
    lines.find(|line| has_program(files, line.split(' ').next().unwrap_or(line)))
}

/// Whether the file tree has a program, `bin/NAME`.
pub fn has_program(files: &[u8], name: &str) -> bool {
    has_file(files, "bin/", name)
}

/// Whether the file tree has a container, `containers/NAME`.
pub fn has_container(files: &[u8], name: &str) -> bool {
    has_file(files, "containers/", name)
}

fn has_file(files: &[u8], folder: &str, name: &str) -> bool {
    let Ok(archive) = tar_no_std::TarArchiveRef::new(files) else {
        return false;
    };
    archive.entries().any(|entry| {
        entry.filename().as_str().is_ok_and(|path| {
            let path = path.strip_prefix("./").unwrap_or(path);
            path.strip_prefix(folder) == Some(name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn archive(name: &str, data: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in [("bin/hello", &b"\x7fELF"[..]), (name, data)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_command_in_the_tree_is_found() {
        let tree = archive("etc/exec", b"run process hello 'a b'\n");
        assert_eq!(exec_line(&tree), Some("run process hello 'a b'"));
    }

    #[test]
    fn a_tree_without_one_has_none() {
        assert_eq!(exec_line(&archive("etc/motd", b"x")), None);
        assert_eq!(exec_line(&archive("etc/exec", b"\xff")), None);
        assert_eq!(exec_line(&[]), None);
    }

    #[test]
    fn the_shell_to_begin_with_is_the_first_that_is_there() {
        let tree = archive("etc/login", b"bash --login\nhello a b\n");
        assert_eq!(login_line(&tree), Some("hello a b"));
        assert_eq!(login_line(&archive("etc/login", b"bash\n")), None);
        assert_eq!(login_line(&archive("etc/exec", b"hello\n")), None);
    }

    #[test]
    fn a_line_for_the_log_is_a_frame() {
        let frame = xos_image::console::Frame::Log("text").to_string();
        assert_eq!(frame, format!("{}text\n", xos_protocol::console::LOG));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_tree_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = exec_line(&bytes);
        }

        #[test]
        fn a_damaged_tree_does_no_harm(place in 0usize..2048, byte: u8) {
            let mut tree = archive("etc/exec", b"list\n");
            tree[place] = byte;
            let _ = exec_line(&tree);
        }
    }
}
