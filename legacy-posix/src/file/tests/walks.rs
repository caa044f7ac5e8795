// SPDX-License-Identifier: BSD-2-Clause
//! Paths: what they lead to, and where they must not lead.

use super::world::{World, pid};
use crate::Credentials;
use crate::Errno;
use crate::file::{Limits, Moved};
use alloc::format;
use linux_raw_sys::general::{
    AT_FDCWD, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDWR, O_TMPFILE,
};

#[test]
fn a_path_is_walked_as_path_resolution_says() {
    let mut w = World::new();
    w.mkdir("/a");
    w.mkdir("/a/b");
    w.file("/a/b/f", b"x");
    w.symlink("b/f", "/a/link");
    w.symlink("/a/b", "/abs");
    w.symlink("nowhere", "/broken");
    let long = format!("/{}", "n".repeat(256));
    let deep = format!("{}a", "/./".repeat(1400));
    for (path, expected) in [
        ("", Some(Errno::NOENT)),
        ("/", None),
        ("//a///b//f", None),
        ("/a/b/f/", Some(Errno::NOTDIR)),
        ("/a/b/f/.", Some(Errno::NOTDIR)),
        ("/a/b/f/x", Some(Errno::NOTDIR)),
        ("/a/nope/x", Some(Errno::NOENT)),
        ("/a/nope", Some(Errno::NOENT)),
        ("/a/link", None),
        ("/a/link/", Some(Errno::NOTDIR)),
        ("/abs/", None),
        ("/abs/f", None),
        ("/abs/../b/f", None),
        ("/broken", Some(Errno::NOENT)),
        ("/../../a", None),
        ("/dev/../a", None),
        ("/dev/pts/..", None),
        (&long, Some(Errno::NAMETOOLONG)),
        (&deep, Some(Errno::NAMETOOLONG)),
        (&deep[2000..], None),
    ] {
        assert_eq!(w.stat(path).err(), expected, "{path}");
    }
}

#[test]
fn circles_and_long_chains_of_links_end() {
    let mut w = World::new();
    w.symlink("y", "/x");
    w.symlink("x", "/y");
    assert_eq!(w.stat("/x").err(), Some(Errno::LOOP));
    w.file("/l0", b"");
    for n in 1..=41 {
        w.symlink(&format!("l{}", n - 1), &format!("/l{n}"));
    }
    assert_eq!(w.stat("/l40").err(), None);
    assert_eq!(w.stat("/l41").err(), Some(Errno::LOOP));
    // Links that double at each step end at the same number.
    w.symlink(".", "/d0");
    for n in 1..30 {
        w.symlink(&format!("d{0}/d{0}", n - 1), &format!("/d{n}"));
    }
    assert_eq!(w.stat("/d29").err(), Some(Errno::LOOP));
}

#[test]
fn nothing_leads_out_of_a_changed_root() {
    let mut w = World::new();
    w.mkdir("/jail");
    w.mkdir("/jail/in");
    w.file("/secret", b"s");
    w.symlink("/secret", "/jail/absolute");
    w.symlink("../../../secret", "/jail/in/relative");
    w.call(|files, call| files.chroot(call, b"/jail")).unwrap();
    w.call(|files, call| files.chdir(call, b"/in")).unwrap();
    for path in [
        "/secret",
        "/../secret",
        "../../secret",
        "/absolute",
        "relative",
        "../absolute",
    ] {
        assert_eq!(w.stat(path).err(), Some(Errno::NOENT), "{path}");
    }
    let cwd = w.call(|files, call| files.getcwd(call)).unwrap();
    assert_eq!(cwd, b"/in");
}

#[test]
fn every_directory_on_the_way_must_be_searchable() {
    let mut w = World::new();
    w.mkdir("/a");
    w.mkdir("/a/b");
    w.file("/a/b/f", b"");
    let who = Credentials::of(1000, 1000);
    w.table.processes.get_mut(&1).unwrap().who = who;
    assert_eq!(w.stat("/a/b/f").err(), None);
    let chmod = |w: &mut World, mode| {
        let user = core::mem::replace(
            &mut w.table.processes.get_mut(&1).unwrap().who,
            Credentials::root(),
        );
        w.call(|files, call| files.fchmodat(call, AT_FDCWD, b"/a", mode, 0))
            .unwrap();
        w.table.processes.get_mut(&1).unwrap().who = user;
    };
    chmod(&mut w, 0o644);
    for path in ["/a/b/f", "/a/b", "/a/nope", "/a/.", "/a/.."] {
        assert_eq!(w.stat(path).err(), Some(Errno::ACCES), "{path}");
    }
    assert_eq!(w.stat("/a").err(), None);
    assert_eq!(w.names("/a"), ["b"]);
    chmod(&mut w, 0o711);
    assert_eq!(w.stat("/a/b/f").err(), None);
    assert_eq!(w.try_open("/a", O_DIRECTORY, 0).err(), Some(Errno::ACCES));
    assert_eq!(
        w.try_open("/a/new", O_CREAT | O_RDWR, 0).err(),
        Some(Errno::ACCES)
    );
    let unlink = w.call(|files, call| files.unlinkat(call, AT_FDCWD, b"/a/b/f", 0));
    assert_eq!(unlink, Err(Errno::ACCES));
}

#[test]
fn a_link_at_the_end_of_an_exclusive_creation_is_not_followed() {
    let mut w = World::new();
    w.symlink("/target", "/link");
    assert_eq!(
        w.try_open("/link", O_CREAT | O_EXCL | O_RDWR, 0).err(),
        Some(Errno::EXIST)
    );
    assert_eq!(
        w.try_open("/link", O_CREAT | O_NOFOLLOW | O_RDWR, 0).err(),
        Some(Errno::LOOP)
    );
    assert_eq!(w.stat("/target").err(), Some(Errno::NOENT));
    let fd = w.open("/link", O_CREAT | O_RDWR);
    w.close(fd);
    assert_eq!(w.stat("/target").err(), None);
}

#[test]
fn a_removed_directory_is_still_there_for_who_stands_in_it_but_takes_nothing() {
    let mut w = World::new();
    w.mkdir("/a");
    w.mkdir("/a/b");
    w.call(|files, call| files.chdir(call, b"/a/b")).unwrap();
    for path in [&b"/a/b"[..], b"/a"] {
        w.call(|files, call| files.unlinkat(call, AT_FDCWD, path, 0x200))
            .unwrap();
    }
    assert_eq!(w.call(|files, call| files.getcwd(call)), Err(Errno::NOENT));
    assert_eq!(
        w.try_open("f", O_CREAT | O_RDWR, 0).err(),
        Some(Errno::NOENT)
    );
    assert_eq!(w.stat(".").map(|a| a.nlink), Ok(0));
    // Others take its number's place; `..` still leads up.
    w.mkdir("/c");
    w.mkdir("/d");
    w.call(|files, call| files.chdir(call, b"..")).unwrap();
    assert_eq!(w.stat(".").map(|a| a.nlink), Ok(0));
    w.call(|files, call| files.chdir(call, b"..")).unwrap();
    assert_eq!(w.call(|files, call| files.getcwd(call)), Ok(b"/".to_vec()));
    let fd = w.open(".", O_DIRECTORY);
    assert!(w.entries(fd, 4096).unwrap().contains(&"c".to_string()));
}

#[test]
fn a_file_without_names_lives_until_it_is_closed_and_gives_its_pages_back() {
    let mut w = World::new();
    let before = w.pages.used();
    let fd = w.open("/f", O_CREAT | O_RDWR);
    assert_eq!(w.write(fd, &[1; 9000]), Ok(Moved::Done(9000)));
    assert_eq!(w.pages.used(), before + 3);
    w.call(|files, call| files.unlinkat(call, AT_FDCWD, b"/f", 0))
        .unwrap();
    assert_eq!(w.read_at(fd, 2, Some(8998)), Ok(alloc::vec![1; 2]));
    let text = w
        .call(|files, call| files.readlinkat(call, AT_FDCWD, b"/proc/self/fd/0"))
        .unwrap();
    assert!(text.ends_with(b" (deleted)"));
    let again = w.call(|files, call| {
        files.linkat(
            call,
            (AT_FDCWD, b"/proc/self/fd/0"),
            (AT_FDCWD, b"/g"),
            0x400,
        )
    });
    assert_eq!(again, Err(Errno::NOENT));
    w.close(fd);
    assert_eq!(w.pages.used(), before);
}

#[test]
fn an_unnamed_file_gets_a_name_when_it_is_linked() {
    let mut w = World::new();
    w.mkdir("/d");
    let fd = w.open("/d", O_TMPFILE | O_RDWR);
    assert_eq!(w.write(fd, b"hello"), Ok(Moved::Done(5)));
    assert_eq!(w.names("/d").len(), 0);
    w.call(|files, call| {
        files.linkat(
            call,
            (AT_FDCWD, b"/proc/self/fd/0"),
            (AT_FDCWD, b"/d/f"),
            0x400,
        )
    })
    .unwrap();
    assert_eq!(w.contents("/d/f"), "hello");
    assert_eq!(w.try_open("/d", O_TMPFILE, 0).err(), Some(Errno::INVAL));
}

#[test]
fn mounts_cover_and_uncover_and_are_busy_while_used() {
    let mut w = World::new();
    w.mkdir("/m");
    w.file("/m/under", b"");
    let mount = |w: &mut World| {
        w.call(|files, call| files.mount(call, b"none", b"/m", b"tmpfs", 0, b"size=8k,mode=0700"))
    };
    mount(&mut w).unwrap();
    assert_eq!(w.names("/m").len(), 0);
    assert_eq!(w.stat("/m").map(|a| a.rights.mode & 0o7777), Ok(0o700));
    let fd = w.open("/m/f", O_CREAT | O_RDWR);
    assert_eq!(w.write(fd, &[1; 20_000]), Ok(Moved::Done(8192)));
    assert_eq!(w.write(fd, &[1; 1]), Err(Errno::NOSPC));
    let umount = |w: &mut World| w.call(|files, call| files.umount2(call, b"/m"));
    assert_eq!(umount(&mut w), Err(Errno::BUSY));
    let busy = w.call(|files, call| files.unlinkat(call, AT_FDCWD, b"/m", 0x200));
    assert_eq!(busy, Err(Errno::BUSY));
    let across =
        w.call(|files, call| files.renameat2(call, (AT_FDCWD, b"/m/f"), (AT_FDCWD, b"/f"), 0));
    assert_eq!(across, Err(Errno::XDEV));
    w.close(fd);
    let used = w.pages.used();
    umount(&mut w).unwrap();
    assert_eq!(w.pages.used(), used - 2);
    assert_eq!(w.names("/m"), ["under"]);
    assert_eq!(umount(&mut w), Err(Errno::INVAL));
    let strange = w.call(|files, call| files.mount(call, b"x", b"/m", b"ext4", 0, b""));
    assert_eq!(strange, Err(Errno::NODEV));
}

#[test]
fn files_and_descriptors_are_limited_and_given_back() {
    let limits = Limits {
        opens: 10,
        files: 12,
        objects: 3,
        ..Limits::default()
    };
    let mut w = World::with(limits, 100);
    let mut made = 0;
    while w.try_open(&format!("/f{made}"), O_CREAT, 0).is_ok() {
        made += 1;
    }
    assert_eq!(w.try_open("/x", O_CREAT, 0).err(), Some(Errno::NOSPC));
    for fd in 0..made {
        w.close(fd);
    }
    for _ in 0..10 {
        w.open("/f0", 0);
    }
    assert_eq!(w.try_open("/f0", 0, 0).err(), Some(Errno::NFILE));
    let pipe = w.call(|files, call| files.pipe2(call, 0));
    assert_eq!(pipe, Err(Errno::NFILE));
    w.exit(1);
    assert_eq!(w.files.queues.in_use(), (0, 0, 0));
    assert_eq!(w.files.descriptors.opens.len(), 0);
    assert_eq!(pid(1).number(), 1);
}

#[test]
fn a_file_does_not_take_the_place_of_a_directory_above_it() {
    let mut w = World::new();
    w.mkdir("/a");
    w.mkdir("/a/b");
    w.file("/a/b/f", b"");
    w.mkdir("/c");
    let mut rename = |new: &[u8]| {
        w.call(|files, call| files.renameat2(call, (AT_FDCWD, b"/a/b/f"), (AT_FDCWD, new), 0))
    };
    // Linux looks whether it is above before it looks at the kinds.
    assert_eq!(rename(b"/a/b"), Err(Errno::NOTEMPTY));
    assert_eq!(rename(b"/a"), Err(Errno::NOTEMPTY));
    assert_eq!(rename(b"/c"), Err(Errno::ISDIR));
}
