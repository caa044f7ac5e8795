// SPDX-License-Identifier: BSD-2-Clause
//! The initial tree.

use super::world::World;
use crate::Errno;
use crate::file::Moved;
use crate::vfs::archive::ArchiveError;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::{AT_FDCWD, O_RDWR};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(1234);
    header.set_size(size);
    header
}

fn archive(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    build(&mut builder);
    builder.into_inner().unwrap()
}

fn add(builder: &mut Builder<Vec<u8>>, path: &str, mut header: Header, contents: &[u8]) {
    builder.append_data(&mut header, path, contents).unwrap();
}

fn load(w: &mut World, bytes: &[u8]) -> Result<usize, ArchiveError> {
    let now = w.now;
    w.files.load(&mut w.pages, Vec::leak(bytes.to_vec()), now)
}

#[test]
fn files_have_owners_modes_times_and_links() {
    let mut w = World::new();
    let long = "d/".repeat(60) + "end";
    let bytes = archive(|b| {
        add(b, "./", header(EntryType::Directory, 0o711, 0), b"");
        add(
            b,
            "bin/prog",
            header(EntryType::Regular, 0o4755, 5000),
            &[9; 5000],
        );
        let mut link = header(EntryType::Symlink, 0o777, 0);
        b.append_link(&mut link, "bin/sym", "../bin/prog").unwrap();
        let mut link = header(EntryType::Link, 0o755, 0);
        b.append_link(&mut link, "bin/hard", "bin/prog").unwrap();
        add(b, "var/pipe", header(EntryType::Fifo, 0o600, 0), b"");
        let mut device = header(EntryType::Char, 0o622, 0);
        device.set_device_major(1).unwrap();
        device.set_device_minor(3).unwrap();
        add(b, "null", device, b"");
        b.append_pax_extensions([("path", long.as_bytes()), ("mtime", b"99.5")])
            .unwrap();
        add(b, "short", header(EntryType::Regular, 0o644, 2), b"hi");
    });
    assert_eq!(load(&mut w, &bytes), Ok(7));
    let a = w.stat("/bin/prog").unwrap();
    assert_eq!(
        (a.rights.mode, a.rights.uid, a.rights.gid),
        (0o104_755, 7, 8)
    );
    assert_eq!((a.size, a.nlink, a.mtime.seconds), (5000, 2, 1234));
    assert_eq!(w.stat("/bin/sym").unwrap().ino, a.ino);
    assert_eq!(w.stat("/bin/hard").unwrap().ino, a.ino);
    assert_eq!(w.stat("/").unwrap().rights.mode, 0o040_711);
    assert_eq!(w.stat("/var").unwrap().rights.uid, 0);
    assert_eq!(w.stat("/var/pipe").unwrap().rights.mode, 0o010_600);
    assert_eq!(w.stat("/null").unwrap().rdev, 0x103);
    assert_eq!(w.contents(&long), "hi");
    assert_eq!(w.stat(&long).unwrap().mtime.seconds, 99);
    let fd = w.open("/bin/prog", 0);
    assert_eq!(w.read_at(fd, 10, Some(4995)), Ok(vec![9; 5]));
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let mut w = World::new();
    let bytes = archive(|b| {
        add(b, "f", header(EntryType::Regular, 0o644, 3), b"one");
        add(b, "f", header(EntryType::Regular, 0o600, 3), b"two");
        add(b, "d", header(EntryType::Directory, 0o700, 0), b"");
        add(b, "d/x", header(EntryType::Regular, 0o600, 1), b"x");
        add(b, "d", header(EntryType::Directory, 0o755, 0), b"");
    });
    load(&mut w, &bytes).unwrap();
    assert_eq!(w.contents("/f"), "two");
    assert_eq!(w.contents("/d/x"), "x");
    assert_eq!(w.stat("/d").unwrap().rights.mode, 0o040_755);
}

#[test]
fn nothing_is_made_through_links_or_above_the_root() {
    for (name, path) in [("link", "a/x"), ("up", "../x")] {
        let mut w = World::new();
        let bytes = archive(|b| {
            let mut link = header(EntryType::Symlink, 0o777, 0);
            b.append_link(&mut link, "a", "/tmp").unwrap();
            let mut file = header(EntryType::Regular, 0o644, 0);
            // The builder refuses such a name itself.
            file.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            file.set_cksum();
            b.append(&file, &b""[..]).unwrap();
        });
        assert!(load(&mut w, &bytes).is_err(), "{name}");
        assert_eq!(w.stat("/tmp/x").err(), Some(Errno::NOENT), "{name}");
    }
}

#[test]
fn files_of_the_tree_need_no_memory_before_they_are_changed() {
    let mut w = World::new();
    let used = w.pages.used();
    let bytes = archive(|b| {
        for name in ["one", "two"] {
            let header = header(EntryType::Regular, 0o644, 40_000);
            add(b, name, header, &[1; 40_000]);
        }
    });
    load(&mut w, &bytes).unwrap();
    assert_eq!(w.pages.used(), used);
    let fd = w.open("/one", O_RDWR);
    assert_eq!(w.write(fd, b"new"), Ok(Moved::Done(3)));
    assert_eq!(w.pages.used(), used + 1);
    let stat = w.call(|files, call| files.fstat(call, fd)).unwrap();
    assert_eq!((stat.size, stat.blocks), (40_000, 80));
    w.close(fd);
    let removed = w.call(|files, call| files.unlinkat(call, AT_FDCWD, b"/one", 0));
    assert_eq!((removed, w.pages.used()), (Ok(()), used));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_bytes_make_the_loader_panic(
        changes in prop::collection::vec((0usize..6000, any::<u8>()), 0..20),
        fix in any::<bool>(),
    ) {
        let mut bytes = archive(|b| {
            b.append_pax_extensions([("path", &b"some/where"[..]), ("uid", b"5")]).unwrap();
            add(b, "short", header(EntryType::Regular, 0o644, 700), &[1; 700]);
            let mut link = header(EntryType::Link, 0o755, 0);
            b.append_link(&mut link, "hard", "some/where").unwrap();
        });
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if fix {
            // With right checksums what is behind them is looked at.
            for block in bytes.chunks_mut(512) {
                if block[257..262] == *b"ustar" {
                    block[148..156].fill(b' ');
                    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
        }
        let mut w = World::new();
        let _ = load(&mut w, &bytes);
    }
}
