// SPDX-License-Identifier: BSD-2-Clause
//! Who may do what with a file (path_resolution(7), inode(7), capabilities(7)).

use linux_raw_sys::general::{
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, S_ISGID, S_ISUID,
    S_ISVTX, S_IXGRP,
};

use super::{Change, Kind, Rights};
use crate::{Credentials, Errno, Result};

/// To read it, or list the directory.
pub const READ: u32 = 4;
/// To write it, or change the directory's entries.
pub const WRITE: u32 = 2;
/// To execute it, or find names in the directory.
pub const SEARCH: u32 = 1;

/// Whether `who` may do all of `wanted`.
///
/// # Errors
/// `EACCES`.
pub fn check(who: &Credentials, rights: Rights, wanted: u32) -> Result<()> {
    let shift = if who.fsuid == rights.uid {
        6
    } else if who.is_in(rights.gid) {
        3
    } else {
        0
    };
    if rights.mode >> shift & wanted == wanted {
        return Ok(());
    }
    // Who overrides may all but execute what nobody may execute.
    let executable = rights.is_directory() || rights.mode & 0o111 != 0;
    let reads = wanted & WRITE == 0 && (rights.is_directory() || wanted & SEARCH == 0);
    if who.can(CAP_DAC_OVERRIDE) && (wanted & SEARCH == 0 || executable)
        || who.can(CAP_DAC_READ_SEARCH) && reads
    {
        Ok(())
    } else {
        Err(Errno::ACCES)
    }
}

/// Whether `who` counts as the owner.
pub fn owns(who: &Credentials, rights: Rights) -> bool {
    who.fsuid == rights.uid || who.can(CAP_FOWNER)
}

/// Whether `who` may take a name of `file` out of `directory`.
///
/// # Errors
/// `EACCES`; `EPERM` in a sticky directory, where only the owners of file and directory may.
pub fn check_removal(who: &Credentials, directory: Rights, file: Rights) -> Result<()> {
    check(who, directory, WRITE | SEARCH)?;
    if directory.mode & S_ISVTX != 0
        && who.fsuid != file.uid
        && who.fsuid != directory.uid
        && !who.can(CAP_FOWNER)
    {
        return Err(Errno::PERM);
    }
    Ok(())
}

/// Whether `who` may give a file another name: what others own must be theirs to read and write, and nothing special
/// (as with `protected_hardlinks`).
///
/// # Errors
/// `EPERM`.
pub fn check_link(who: &Credentials, file: Rights) -> Result<()> {
    let runs_as_another =
        file.mode & S_ISUID != 0 || file.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
    let safe =
        file.kind() == Kind::Regular && !runs_as_another && check(who, file, READ | WRITE).is_ok();
    if owns(who, file) || safe {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// The rights of what `who` makes in `directory` with `mode`: a set-group-ID directory gives its group on.
pub fn inherited(who: &Credentials, directory: Rights, mode: u32) -> Rights {
    let mut rights = Rights {
        mode,
        uid: who.fsuid,
        gid: who.fsgid,
    };
    if directory.mode & S_ISGID != 0 {
        rights.gid = directory.gid;
        if rights.is_directory() {
            rights.mode |= S_ISGID;
        } else if mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP
            && !who.is_in(rights.gid)
            && !who.can(CAP_FSETID)
        {
            rights.mode &= !S_ISGID;
        }
    }
    rights
}

/// The change that `chmod` to `mode` is.
///
/// # Errors
/// `EPERM` for others than the owner.
pub fn chmod(who: &Credentials, rights: Rights, mode: u32) -> Result<Change> {
    if !owns(who, rights) {
        return Err(Errno::PERM);
    }
    let mut mode = mode & 0o7777;
    if !who.is_in(rights.gid) && !who.can(CAP_FSETID) {
        mode &= !S_ISGID;
    }
    Ok(Change {
        mode: Some(mode),
        ..Change::default()
    })
}

/// The change that `chown` is; `None` leaves a part as it is.
///
/// # Errors
/// `EPERM`: only the superuser gives files away, and owners only to groups of theirs.
pub fn chown(
    who: &Credentials,
    rights: Rights,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<Change> {
    if !who.can(CAP_CHOWN) {
        let owner = who.fsuid == rights.uid;
        let same_uid = uid.is_none_or(|uid| owner && uid == rights.uid);
        let own_gid = gid.is_none_or(|gid| owner && (gid == rights.gid || who.is_in(gid)));
        if !same_uid || !own_gid {
            return Err(Errno::PERM);
        }
    }
    let mut change = Change {
        uid,
        gid,
        ..Change::default()
    };
    if !rights.is_directory() && (uid.is_some() || gid.is_some()) {
        change.mode = without_set_ids(rights.mode);
    }
    Ok(change)
}

/// The mode of a file that someone has written to or given away: it runs as nobody else any more.
/// `None` if that changes nothing.
pub fn without_set_ids(mode: u32) -> Option<u32> {
    let mut less = mode & 0o7777 & !S_ISUID;
    if mode & S_IXGRP != 0 {
        less &= !S_ISGID;
    }
    (less != mode & 0o7777).then_some(less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;

    const fn file(mode: u32, uid: u32, gid: u32) -> Rights {
        Rights { mode, uid, gid }
    }

    #[test]
    fn the_class_that_matches_first_decides_even_against_its_member() {
        let mut user = Credentials::of(1, 10);
        user.groups = Rc::new([20]);
        assert_eq!(check(&user, file(0o077, 1, 10), READ), Err(Errno::ACCES));
        assert_eq!(check(&user, file(0o707, 2, 20), READ), Err(Errno::ACCES));
        assert_eq!(check(&user, file(0o604, 2, 30), READ), Ok(()));
        assert_eq!(
            check(&user, file(0o604, 2, 30), READ | WRITE),
            Err(Errno::ACCES)
        );
    }

    #[test]
    fn the_superuser_may_all_but_execute_what_nobody_may() {
        let root = Credentials::root();
        assert_eq!(check(&root, file(0, 1, 1), READ | WRITE), Ok(()));
        assert_eq!(
            check(&root, file(0o100666, 1, 1), SEARCH),
            Err(Errno::ACCES)
        );
        assert_eq!(check(&root, file(0o100001, 1, 1), SEARCH), Ok(()));
        assert_eq!(check(&root, file(0o040000, 1, 1), SEARCH), Ok(()));
    }

    #[test]
    fn in_a_sticky_directory_only_owners_remove() {
        let tmp = file(0o041777, 0, 0);
        let user = Credentials::of(1, 1);
        assert_eq!(
            check_removal(&user, tmp, file(0o666, 2, 1)),
            Err(Errno::PERM)
        );
        assert_eq!(check_removal(&user, tmp, file(0, 1, 5)), Ok(()));
        assert_eq!(
            check_removal(&Credentials::root(), tmp, file(0, 1, 5)),
            Ok(())
        );
        assert_eq!(
            check_removal(&user, file(0o040777, 0, 0), file(0, 2, 2)),
            Ok(())
        );
        assert_eq!(
            check_removal(&user, file(0o040755, 0, 0), file(0, 1, 1)),
            Err(Errno::ACCES)
        );
    }

    #[test]
    fn others_files_get_names_only_from_who_may_write_them() {
        let user = Credentials::of(1, 1);
        for (file, allowed) in [
            (file(0o100_600, 1, 9), true),
            (file(0o100_666, 2, 9), true),
            (file(0o100_644, 2, 9), false),
            (file(0o104_666, 2, 9), false),
            (file(0o102_676, 2, 9), false),
            (file(0o020_666, 2, 9), false),
        ] {
            assert_eq!(check_link(&user, file).is_ok(), allowed, "{file:?}");
            assert_eq!(check_link(&Credentials::root(), file), Ok(()));
        }
    }

    #[test]
    fn owners_give_files_only_to_their_groups_and_lose_set_ids() {
        let mut user = Credentials::of(1, 10);
        user.groups = Rc::new([20]);
        let mine = file(0o106755, 1, 10);
        assert_eq!(chown(&user, mine, Some(2), None).err(), Some(Errno::PERM));
        assert_eq!(chown(&user, mine, None, Some(30)).err(), Some(Errno::PERM));
        assert_eq!(
            chown(&user, mine, Some(1), Some(20)).unwrap().mode,
            Some(0o755)
        );
        assert_eq!(
            chown(&user, file(0o755, 2, 20), None, Some(20)).err(),
            Some(Errno::PERM)
        );
        assert_eq!(chown(&user, file(0o755, 2, 2), None, None).err(), None);
        // Set-group-ID without execution is not about execution, and stays.
        assert_eq!(without_set_ids(0o102644), None);
    }
}
