// SPDX-License-Identifier: BSD-2-Clause
//! Whom a process acts for (credentials(7)).

use alloc::rc::Rc;

use linux_raw_sys::general::{CAP_DAC_OVERRIDE, CAP_LAST_CAP};

/// Whom a process acts for. The file system ids follow the effective ones unless set on their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Saved set-user-id.
    pub suid: u32,
    /// User for files.
    pub fsuid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Saved set-group-id.
    pub sgid: u32,
    /// Group for files.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: Rc<[u32]>,
    /// Effective capabilities, bit `CAP_x` each.
    pub capabilities: u64,
    /// Capabilities that it may make effective.
    pub permitted: u64,
    /// Capabilities that it keeps when it executes a program as the superuser, whatever the bounding set says.
    pub inheritable: u64,
    /// Capabilities that it can get at most by executing a program.
    pub bounding: u64,
    /// Capabilities that it keeps when it executes any program.
    pub ambient: u64,
}

/// All capabilities that Linux knows.
pub const ALL_CAPABILITIES: u64 = (1 << (CAP_LAST_CAP + 1)) - 1;

impl Credentials {
    /// The superuser.
    pub fn root() -> Self {
        Self::of(0, 0)
    }

    /// A user and a group, and no other groups.
    pub fn of(uid: u32, gid: u32) -> Self {
        Self {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Rc::new([]),
            capabilities: if uid == 0 { ALL_CAPABILITIES } else { 0 },
            permitted: if uid == 0 { ALL_CAPABILITIES } else { 0 },
            inheritable: 0,
            bounding: ALL_CAPABILITIES,
            ambient: 0,
        }
    }

    /// What a change of the users since `before` does to its capabilities (capabilities(7), "Effect of
    /// user ID changes").
    pub fn users_changed(&mut self, before: &Self) {
        let any_root = |c: &Self| [c.uid, c.euid, c.suid].contains(&0);
        if any_root(before) && !any_root(self) {
            (self.permitted, self.capabilities, self.ambient) = (0, 0, 0);
        }
        if before.euid == 0 && self.euid != 0 {
            self.capabilities = 0;
        } else if before.euid != 0 && self.euid == 0 {
            self.capabilities = self.permitted;
        }
    }

    /// Executes a program that makes it act for these users, if it may (set-user-id, set-group-id); with
    /// `no_new_rights` it has no right afterwards that it did not have (capabilities(7), "Transformation of
    /// capabilities during execve()"; no file has capabilities here).
    pub fn execute(&mut self, user: Option<u32>, group: Option<u32>, no_new_rights: bool) {
        let before = self.permitted;
        if !no_new_rights {
            self.euid = user.unwrap_or(self.euid);
            self.egid = group.unwrap_or(self.egid);
            if user.is_some() || group.is_some() {
                self.ambient = 0;
            }
        }
        self.permitted = match self.uid == 0 || self.euid == 0 {
            true => self.inheritable | self.bounding,
            false => self.ambient,
        };
        if no_new_rights {
            self.permitted &= before;
        }
        self.capabilities = match self.euid {
            0 => self.permitted,
            _ => self.ambient,
        };
        self.suid = self.euid;
        self.fsuid = self.euid;
        self.sgid = self.egid;
        self.fsgid = self.egid;
    }

    /// Whether it has a capability (`CAP_x` of capabilities(7)).
    pub const fn can(&self, capability: u32) -> bool {
        self.capabilities & 1 << capability != 0
    }

    /// Whether files see it as a member of `group`.
    pub fn is_in(&self, group: u32) -> bool {
        self.fsgid == group || self.groups.contains(&group)
    }

    /// Whether it may do with any file what it likes.
    pub const fn overrides_permissions(&self) -> bool {
        self.can(CAP_DAC_OVERRIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superuser_overrides_permissions_and_others_do_not() {
        assert!(Credentials::root().overrides_permissions());
        assert!(!Credentials::of(1000, 1000).overrides_permissions());
    }

    #[test]
    fn who_gives_up_being_the_superuser_gives_up_its_capabilities() {
        let root = Credentials::root();
        let mut for_a_while = Credentials {
            euid: 1000,
            ..root.clone()
        };
        for_a_while.users_changed(&root);
        assert_eq!(
            (for_a_while.capabilities, for_a_while.permitted),
            (0, ALL_CAPABILITIES)
        );
        let mut again = Credentials {
            euid: 0,
            ..for_a_while.clone()
        };
        again.users_changed(&for_a_while);
        assert_eq!(again.capabilities, ALL_CAPABILITIES);
        let mut for_good = Credentials {
            uid: 1000,
            euid: 1000,
            suid: 1000,
            ..root.clone()
        };
        for_good.users_changed(&root);
        assert_eq!((for_good.capabilities, for_good.permitted), (0, 0));
    }

    #[test]
    fn programs_get_no_more_than_the_bounding_set() {
        let few = 1 << CAP_DAC_OVERRIDE;
        let mut root = Credentials::root();
        root.bounding = few;
        root.execute(None, None, false);
        assert_eq!((root.permitted, root.capabilities), (few, few));
        // A program of the superuser's that anybody may execute.
        let mut user = Credentials::of(1000, 1000);
        user.bounding = few;
        user.execute(Some(0), None, false);
        assert_eq!((user.euid, user.suid, user.capabilities), (0, 0, few));
        // And that has no effect where no new rights are given.
        let mut user = Credentials::of(1000, 1000);
        user.execute(Some(0), Some(0), true);
        assert_eq!((user.euid, user.egid, user.capabilities), (1000, 1000, 0));
        let mut root = Credentials::root();
        (root.permitted, root.capabilities) = (few, few);
        root.execute(None, None, true);
        assert_eq!((root.permitted, root.capabilities), (few, few));
    }

    #[test]
    fn a_user_keeps_what_is_ambient_and_nothing_else() {
        let (kept, lost) = (1 << CAP_DAC_OVERRIDE, 1 << CAP_LAST_CAP);
        let mut user = Credentials::of(1000, 1000);
        (user.permitted, user.capabilities) = (kept | lost, kept | lost);
        (user.inheritable, user.ambient) = (kept | lost, kept);
        user.execute(None, None, false);
        assert_eq!((user.permitted, user.capabilities), (kept, kept));
        user.execute(None, Some(5), false);
        assert_eq!((user.permitted, user.ambient), (0, 0));
    }

    #[test]
    fn supplementary_groups_count() {
        let mut user = Credentials::of(1000, 100);
        user.groups = Rc::new([4, 24]);
        assert!(user.is_in(100) && user.is_in(24) && !user.is_in(5));
    }
}
