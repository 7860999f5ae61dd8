//! The users whom outbox, inbox and encryption serve.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use crate::config::Users;
use crate::policy::Served;
use crate::wire::PublicKey;

/// The users of the configuration and, where registration is open, those who registered.
#[derive(Debug)]
pub(super) struct ServedUsers {
    listed: RwLock<HashSet<PublicKey>>,
    open: Option<OpenRegistration>,
}

#[derive(Debug)]
struct OpenRegistration {
    max: usize,
    registered: RwLock<HashSet<PublicKey>>,
}

impl ServedUsers {
    /// `registered` are the users in the log; they count only where registration is open.
    pub(super) fn new(users: &Users, registered: impl IntoIterator<Item = PublicKey>) -> Self {
        Self {
            listed: RwLock::new(users.listed.iter().copied().collect()),
            open: users.open_max.map(|max| OpenRegistration {
                max,
                registered: RwLock::new(registered.into_iter().collect()),
            }),
        }
    }

    /// Puts `listed` in the place of the users of the configuration.
    pub(super) fn list(&self, listed: &[PublicKey]) {
        let listed = listed.iter().copied().collect();
        *self.listed.write().unwrap_or_else(PoisonError::into_inner) = listed;
    }

    /// Whether users register themselves.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether one more user may register. The log has the last word; this spares it the question.
    pub(super) fn has_room(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let registered = open
                .registered
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            registered.len() < open.max
        })
    }

    /// Serves `master`, who is registered in the log, from now on.
    pub(super) fn add(&self, master: PublicKey) {
        if let Some(open) = &self.open {
            let mut registered = open
                .registered
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            registered.insert(master);
        }
    }
}

impl Served for ServedUsers {
    fn contains(&self, master: &PublicKey) -> bool {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        listed.contains(master)
            || self.open.as_ref().is_some_and(|open| {
                let registered = open
                    .registered
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                registered.contains(master)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SecretKey;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    fn served(open_max: Option<usize>, registered: &[u8]) -> ServedUsers {
        let users = Users {
            listed: vec![key(1)],
            open_max,
        };
        ServedUsers::new(&users, registered.iter().copied().map(key))
    }

    #[test]
    fn a_closed_registration_serves_the_list_alone() {
        let served = served(None, &[2]);
        assert!(served.contains(&key(1)));
        assert!(!served.contains(&key(2)), "registered while it was open");
        assert!(!served.is_open() && !served.has_room());
        served.add(key(3));
        assert!(!served.contains(&key(3)));
    }

    #[test]
    fn an_open_registration_has_room_up_to_its_bound() {
        let served = served(Some(2), &[2]);
        assert!(served.is_open() && served.has_room());
        assert!(served.contains(&key(1)), "listed users are served too");
        assert!(served.contains(&key(2)), "registered before");
        assert!(!served.contains(&key(3)));
        served.add(key(3));
        assert!(served.contains(&key(3)));
        assert!(!served.has_room());
    }

    #[test]
    fn a_lower_bound_keeps_those_who_registered_before() {
        let served = served(Some(1), &[2, 3]);
        assert!(served.contains(&key(2)) && served.contains(&key(3)));
        assert!(!served.has_room());
    }
}
