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
        }
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
    fn supplementary_groups_count() {
        let mut user = Credentials::of(1000, 100);
        user.groups = Rc::new([4, 24]);
        assert!(user.is_in(100) && user.is_in(24) && !user.is_in(5));
    }
}
