// SPDX-License-Identifier: BSD-2-Clause
//! Names of users and groups, as the image's own `/etc/passwd` and `/etc/group` have them.
//!
//! Lines that make no sense are passed over, as everywhere.

use crate::root::RootFs;
use crate::{Error, Result};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Further groups that its name is in.
    pub groups: Vec<u32>,
}

/// A user, as `config.User` of an image names one: `user`, `uid`, `user:group`, `uid:gid`, `uid:group`,
/// `user:gid`; nothing is root.
///
/// # Errors
/// When a name is not in the files.
pub fn look_up(text: &str, root: &mut RootFs) -> Result<Account> {
    let no_user = || Error::NoUser(text.to_owned());
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let passwd = lines(root, "/etc/passwd");
    let groups = lines(root, "/etc/group");
    let number = |text: &str| text.parse::<u32>().ok();
    let field = |line: &[String], at: usize| line.get(at).cloned().unwrap_or_default();

    // A name that is a number is one, unless there is a user of that name.
    let line = passwd.iter().find(|line| line[0] == user).or_else(|| {
        passwd
            .iter()
            .find(|line| number(user).is_some() && number(&field(line, 2)) == number(user))
    });
    let uid = line
        .and_then(|line| number(&field(line, 2)))
        .or_else(|| number(user))
        .ok_or_else(no_user)?;
    let own_gid = line.and_then(|line| number(&field(line, 3))).unwrap_or(0);
    let gid = match group {
        None => own_gid,
        Some(group) => groups
            .iter()
            .find(|line| line[0] == group)
            .and_then(|line| number(&field(line, 2)))
            .or_else(|| number(group))
            .ok_or_else(no_user)?,
    };
    // Whoever is given a group explicitly has that one alone, as docker does it.
    let name = line.filter(|_| group.is_none()).map(|line| line[0].clone());
    let mut further: Vec<u32> = groups
        .iter()
        .filter(|line| {
            name.as_ref()
                .is_some_and(|name| field(line, 3).split(',').any(|member| member == name))
        })
        .filter_map(|line| number(&field(line, 2)))
        .filter(|id| *id != gid)
        .collect();
    further.sort_unstable();
    further.dedup();
    Ok(Account {
        uid,
        gid,
        groups: further,
    })
}

/// The home of a user, `/` if nobody knows better.
pub fn home(uid: u32, root: &mut RootFs) -> String {
    lines(root, "/etc/passwd")
        .iter()
        .find(|line| line.get(2).and_then(|id| id.parse().ok()) == Some(uid))
        .and_then(|line| line.get(5).cloned())
        .filter(|home| home.starts_with('/') && !home.contains('\0'))
        .unwrap_or_else(|| "/".to_owned())
}

fn lines(root: &mut RootFs, path: &str) -> Vec<Vec<String>> {
    let text = root.read(path).unwrap_or_default();
    String::from_utf8_lossy(text)
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ':']))
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::{Attributes, Content, Path};

    fn root() -> RootFs {
        let mut root = RootFs::new(100);
        let mut put = |path: &str, text: &str| {
            let path = Path::parse(path.as_bytes()).unwrap();
            let content = Content::File(text.as_bytes().to_vec());
            root.put(&path, Attributes::FOLDER, content).unwrap();
        };
        put(
            "etc/passwd",
            "# comment\nroot:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:\nbroken\n7:x:70:71::rel:\n",
        );
        put(
            "etc/group",
            "root:x:0:\nusers:x:100:\nwheel:x:10:bob,ann\nstaff:x:50:ann\n",
        );
        root
    }

    fn ids(text: &str) -> Option<(u32, u32, Vec<u32>)> {
        let account = look_up(text, &mut root()).ok()?;
        Some((account.uid, account.gid, account.groups))
    }

    #[test]
    fn nothing_is_root() {
        assert_eq!(ids(""), Some((0, 0, vec![])));
        assert_eq!(look_up("", &mut RootFs::new(1)).unwrap().uid, 0);
    }

    #[test]
    fn a_name_brings_its_groups() {
        assert_eq!(ids("ann"), Some((1000, 100, vec![10, 50])));
        assert_eq!(ids("1000"), Some((1000, 100, vec![10, 50])));
    }

    #[test]
    fn a_group_that_is_given_is_the_only_one() {
        assert_eq!(ids("ann:staff"), Some((1000, 50, vec![])));
        assert_eq!(ids("ann:7"), Some((1000, 7, vec![])));
        assert_eq!(ids("5:6"), Some((5, 6, vec![])));
    }

    #[test]
    fn a_number_is_a_name_where_there_is_such_a_user() {
        assert_eq!(ids("7"), Some((70, 71, vec![])));
        assert_eq!(ids("8"), Some((8, 0, vec![])));
    }

    #[test]
    fn who_is_unknown_is_not_root() {
        for text in ["nobody", "ann:nogroup", "-1", "4294967296", "broken"] {
            assert_eq!(ids(text), None, "{text}");
        }
    }

    #[test]
    fn a_home_is_absolute() {
        assert_eq!(home(1000, &mut root()), "/home/ann");
        assert_eq!(home(70, &mut root()), "/");
        assert_eq!(home(1, &mut root()), "/");
    }
}
