//! Server roles and sets of them.

use std::fmt;

/// A role that a server can play for the users it serves.
///
/// The discriminants are stored on disk as bits of a [`RoleSet`]; never renumber them.
///
/// # Source
/// `network-architecture.md`, "Server Roles"; *application* is everything that is none of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// A user's public records, which anyone may read.
    Outbox = 1,
    /// Records addressed to a user, from anyone.
    Inbox = 2,
    /// Private records, which only their recipient may ever read.
    Encryption = 4,
    /// Any other application.
    Application = 8,
}

impl Role {
    /// Every role, in the order in which they are listed to people.
    pub const ALL: [Self; 4] = [
        Self::Outbox,
        Self::Inbox,
        Self::Encryption,
        Self::Application,
    ];

    /// The role's name in configuration files, on the wire (ROLE OPEN, INFO) and in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Inbox => "inbox",
            Self::Encryption => "encryption",
            Self::Application => "application",
        }
    }

    /// The role with that [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether only a server that is broadly reachable from the Internet may play this role.
    #[must_use]
    pub const fn needs_public_reachability(self) -> bool {
        match self {
            Self::Outbox | Self::Inbox | Self::Encryption => true,
            Self::Application => false,
        }
    }

    const fn bit(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RoleSet(u8);

impl RoleSet {
    /// No role.
    pub const EMPTY: Self = Self(0);

    /// Every role.
    pub const ALL: Self = Self(0b1111);

    /// The set of one role.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        Self(role.bit())
    }

    /// The set whose byte is `bits`, or `None` where a bit stands for no role.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The set as one byte, as [`from_bits`](Self::from_bits) reads it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// This set with `role` in it.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// This set without `role`.
    #[must_use]
    pub const fn without(self, role: Role) -> Self {
        Self(self.0 & !role.bit())
    }

    /// Whether `role` is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// The roles that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The roles that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether no role is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles of the set, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL
            .into_iter()
            .filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for RoleSet {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Display for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (place, role) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(role.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_found_by_its_own_name_only() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        assert_eq!(Role::from_name("operator"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = RoleSet::of(Role::Inbox).with(Role::Application);
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Role::Inbox, Role::Application]
        );
        assert!(!set.without(Role::Inbox).contains(Role::Inbox));
        assert_eq!(RoleSet::from_bits(set.bits()), Some(set));
        assert_eq!(RoleSet::from_bits(16), None);
        assert_eq!(set.to_string(), "inbox, application");
        assert_eq!(Role::ALL.into_iter().collect::<RoleSet>(), RoleSet::ALL);
    }
}
