//! Which roles a listener serves at this moment, and why the others are shut.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::base::{Role, RoleSet};
use crate::wire::Timestamp;

/// The roles of a listener: those the operator configured, and those of them that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// What the operator asked for.
    pub configured: RoleSet,
    /// What is served at this moment; always a part of `configured`.
    pub open: RoleSet,
}

/// Where one role of a listener stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleState {
    /// It is served.
    Open {
        /// When it was opened.
        since: Timestamp,
        /// What there is to say about it, such as that the server is in development mode.
        why: Option<Arc<str>>,
    },
    /// It is configured, but kept shut.
    Closed {
        /// When it was shut.
        since: Timestamp,
        /// The verdict that keeps it shut, for people to read.
        why: Arc<str>,
    },
    /// The operator did not configure it.
    Off,
}

/// The gate of one listener: a role that needs a publicly reachable server is shut until
/// [`set_open`](Self::set_open) says otherwise.
///
/// A request looks at the gate once, by one atomic load. Whoever holds a request open compares
/// [`epoch`](Self::epoch) with the one it saw, and looks again when it has moved.
///
/// # Source
/// `network-architecture.md`: servers that are not broadly accessible are not suitable for the
/// inbox, outbox and encryption roles, but may serve other applications.
#[derive(Debug)]
pub struct Gate {
    configured: RoleSet,
    /// The open roles in the lowest byte, the epoch above them, so that both are read together.
    word: AtomicU64,
    /// The epoch that began when the role was last shut, in the order of [`Role::ALL`].
    last_shut: [AtomicU64; Role::ALL.len()],
    reasons: RwLock<Vec<Reason>>,
}

/// Why a configured role is in the state it is in. It is open where reachability allows it and the
/// operator has not closed it.
#[derive(Clone, Debug)]
struct Reason {
    role: Role,
    /// Whether reachability lets it be open.
    is_allowed: bool,
    since: Timestamp,
    why: Option<Arc<str>>,
    by_hand: Option<Closing>,
}

/// That the operator closed a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The role.
    pub role: Role,
    /// When it was closed.
    pub since: Timestamp,
    /// Why, for people to read.
    pub why: Arc<str>,
}

impl Gate {
    /// A gate that keeps the three public roles shut for the reason `why`, since the time `since`.
    /// The application role, where configured, is open: it needs no public reachability.
    #[must_use]
    pub fn closed(configured: RoleSet, why: &str, since: Timestamp) -> Self {
        let open = always_open(configured);
        let why: Arc<str> = why.into();
        Self::new(configured, open, since, |role| {
            (!open.contains(role)).then(|| Arc::clone(&why))
        })
    }

    /// The gate of a server in development mode: every configured role is open, and says why.
    /// Only a listener that this machine alone can reach may have it.
    #[must_use]
    pub fn dev(configured: RoleSet, since: Timestamp) -> Self {
        let why: Arc<str> = DEV.into();
        Self::new(configured, configured, since, |_| Some(Arc::clone(&why)))
    }

    fn new(
        configured: RoleSet,
        open: RoleSet,
        since: Timestamp,
        why: impl Fn(Role) -> Option<Arc<str>>,
    ) -> Self {
        let reasons = configured.iter().map(|role| Reason {
            role,
            is_allowed: open.contains(role),
            since,
            why: why(role),
            by_hand: None,
        });
        Self {
            configured,
            word: AtomicU64::new(u64::from(open.bits())),
            last_shut: Default::default(),
            reasons: RwLock::new(reasons.collect()),
        }
    }

    /// The roles that are open at this moment.
    #[must_use]
    pub fn open(&self) -> RoleSet {
        open_of(self.word.load(Ordering::Acquire))
    }

    /// The roles that are open at this moment and were at every moment since `epoch`. A role that was
    /// shut and opened again before anybody looked is not among them: what was asked for meanwhile
    /// went without an answer.
    #[must_use]
    pub fn open_since(&self, epoch: u64) -> RoleSet {
        let open = self.open();
        let last_shut = Role::ALL.into_iter().zip(&self.last_shut);
        let stayed = last_shut.filter(|(_, shut)| shut.load(Ordering::Acquire) <= epoch);
        open.intersection(stayed.map(|(role, _)| role).collect())
    }

    /// The configured roles and those that are open at this moment.
    #[must_use]
    pub fn roles(&self) -> Roles {
        Roles {
            configured: self.configured,
            open: self.open(),
        }
    }

    /// The roles the operator configured.
    #[must_use]
    pub fn configured(&self) -> RoleSet {
        self.configured
    }

    /// A count that moves whenever the set of open roles changes.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.word.load(Ordering::Acquire) >> EPOCH_SHIFT
    }

    /// Where `role` stands, for people to read. Decisions are made on [`open`](Self::open).
    #[must_use]
    pub fn state(&self, role: Role) -> RoleState {
        let reasons = self.reasons.read().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = reasons.iter().find(|reason| reason.role == role) else {
            return RoleState::Off;
        };
        if let Some(Closing { since, why, .. }) = reason.by_hand.clone() {
            return RoleState::Closed { since, why };
        }
        let since = reason.since;
        let why = reason.why.clone();
        if reason.is_allowed {
            return RoleState::Open { since, why };
        }
        let why = why.unwrap_or_else(|| NO_VERDICT.into());
        RoleState::Closed { since, why }
    }

    /// Lets the roles of `open` that are configured be open and shuts the other public ones, from the
    /// time `since` on and for the reason `why`. Returns the roles that were open and are so no longer.
    ///
    /// The application role needs no leave. What the operator closed stays closed.
    pub fn set_open(&self, open: RoleSet, why: &str, since: Timestamp) -> RoleSet {
        let why: Arc<str> = why.into();
        self.change(|reason| {
            if !reason.role.needs_public_reachability() {
                return;
            }
            let is_allowed = open.contains(reason.role);
            if reason.is_allowed != is_allowed {
                reason.is_allowed = is_allowed;
                reason.since = since;
            }
            reason.why = Some(Arc::clone(&why));
        })
    }

    /// Closes the roles of `closings` by hand and lifts every earlier closing of the operator. A role
    /// that reachability keeps shut is not opened by that. Returns the roles that were open and are
    /// so no longer.
    pub fn set_closed(&self, closings: &[Closing]) -> RoleSet {
        self.change(|reason| {
            let mut closings = closings.iter();
            reason.by_hand = closings
                .find(|closing| closing.role == reason.role)
                .cloned();
        })
    }

    /// Changes the reasons, and the open roles as follows from them.
    fn change(&self, change: impl FnMut(&mut Reason)) -> RoleSet {
        // The lock makes the reasons and the roles change together, and changes one at a time.
        let mut reasons = self.reasons.write().unwrap_or_else(PoisonError::into_inner);
        reasons.iter_mut().for_each(change);
        let open = reasons.iter().filter(|reason| reason.is_open());
        let open: RoleSet = open.map(|reason| reason.role).collect();
        let word = self.word.load(Ordering::Acquire);
        let before = open_of(word);
        if open != before {
            let epoch = (word >> EPOCH_SHIFT).wrapping_add(1);
            // Before the epoch begins, so that whoever sees it sees these.
            for (role, last_shut) in Role::ALL.into_iter().zip(&self.last_shut) {
                if before.contains(role) && !open.contains(role) {
                    last_shut.store(epoch, Ordering::Release);
                }
            }
            let word = (epoch << EPOCH_SHIFT) | u64::from(open.bits());
            self.word.store(word, Ordering::Release);
        }
        without(before, open)
    }
}

impl Reason {
    const fn is_open(&self) -> bool {
        self.is_allowed && self.by_hand.is_none()
    }
}

/// The roles of the word that a gate keeps; none where the byte makes no sense.
fn open_of(word: u64) -> RoleSet {
    let [bits, ..] = word.to_le_bytes();
    RoleSet::from_bits(bits).unwrap_or(RoleSet::EMPTY)
}

fn always_open(configured: RoleSet) -> RoleSet {
    configured
        .iter()
        .filter(|role| !role.needs_public_reachability())
        .collect()
}

fn without(set: RoleSet, taken: RoleSet) -> RoleSet {
    taken.iter().fold(set, RoleSet::without)
}

/// Said of every role that development mode opens.
const DEV: &str = "DEV: open to this machine only, not tested for reachability";

/// Said of a shut role for which no reason was given.
const NO_VERDICT: &str = "UNKNOWN: not tested for reachability";

const EPOCH_SHIFT: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000).unwrap()
    }

    const PUBLIC: [Role; 3] = [Role::Outbox, Role::Inbox, Role::Encryption];

    #[test]
    fn a_server_without_a_verdict_plays_no_public_role_but_may_serve_other_applications() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN: no witness yet", at(5));
        assert_eq!(gate.open(), RoleSet::of(Role::Application));
        for role in PUBLIC {
            let closed = RoleState::Closed {
                since: at(5),
                why: "UNKNOWN: no witness yet".into(),
            };
            assert_eq!(gate.state(role), closed);
        }
        assert_eq!(
            gate.state(Role::Application),
            RoleState::Open {
                since: at(5),
                why: None
            }
        );
    }

    #[test]
    fn a_role_that_is_not_configured_never_opens() {
        let gate = Gate::closed(RoleSet::of(Role::Outbox), "UNKNOWN", at(1));
        let shut = gate.set_open(RoleSet::ALL, "PUBLIC", at(2));
        assert!(shut.is_empty());
        assert_eq!(gate.open(), RoleSet::of(Role::Outbox));
        assert_eq!(gate.state(Role::Inbox), RoleState::Off);
        assert_eq!(gate.state(Role::Application), RoleState::Off);
    }

    #[test]
    fn losing_the_verdict_shuts_the_public_roles_and_says_why_and_since_when() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", at(1));
        gate.set_open(RoleSet::ALL, "PUBLIC", at(2));
        assert_eq!(gate.open(), RoleSet::ALL);
        let shut = gate.set_open(RoleSet::EMPTY, "LOST: two probes failed", at(3));
        assert_eq!(shut, PUBLIC.into_iter().collect());
        assert_eq!(gate.open(), RoleSet::of(Role::Application));
        let closed = RoleState::Closed {
            since: at(3),
            why: "LOST: two probes failed".into(),
        };
        assert_eq!(gate.state(Role::Encryption), closed);
    }

    #[test]
    fn the_epoch_moves_with_the_set_of_open_roles_and_only_then() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", at(1));
        let first = gate.epoch();
        gate.set_open(RoleSet::EMPTY, "still UNKNOWN", at(2));
        assert_eq!(gate.epoch(), first);
        gate.set_open(RoleSet::of(Role::Inbox), "PUBLIC", at(3));
        assert_eq!(gate.epoch(), first + 1);
        gate.set_open(RoleSet::of(Role::Inbox), "PUBLIC again", at(4));
        assert_eq!(gate.epoch(), first + 1);
        let open = RoleState::Open {
            since: at(3),
            why: Some("PUBLIC again".into()),
        };
        assert_eq!(gate.state(Role::Inbox), open);
    }

    #[test]
    fn a_role_that_was_shut_for_a_moment_was_not_open_since() {
        let gate = Gate::dev(RoleSet::ALL, at(1));
        let first = gate.epoch();
        gate.set_open(RoleSet::ALL.without(Role::Inbox), "a moment", at(2));
        let second = gate.epoch();
        gate.set_open(RoleSet::ALL, "again", at(3));
        assert_eq!(gate.open(), RoleSet::ALL);
        assert_eq!(gate.open_since(first), RoleSet::ALL.without(Role::Inbox));
        assert_eq!(gate.open_since(second), RoleSet::ALL);
    }

    #[test]
    fn development_mode_opens_what_is_configured_and_says_dev() {
        let gate = Gate::dev(RoleSet::of(Role::Outbox).with(Role::Application), at(1));
        assert_eq!(gate.open(), gate.configured());
        for role in gate.configured().iter() {
            let RoleState::Open { why: Some(why), .. } = gate.state(role) else {
                panic!("{role} is not open with a reason");
            };
            assert!(why.starts_with("DEV"), "{why}");
        }
        assert_eq!(gate.state(Role::Inbox), RoleState::Off);
    }

    fn closing(role: Role, seconds: u64) -> Closing {
        Closing {
            role,
            since: at(seconds),
            why: "CLOSED by the operator".into(),
        }
    }

    #[test]
    fn what_the_operator_closed_stays_closed_whatever_the_verdict_and_says_so() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", at(1));
        gate.set_open(RoleSet::ALL, "PUBLIC", at(2));
        let closings = [closing(Role::Inbox, 3), closing(Role::Application, 3)];
        let shut = gate.set_closed(&closings);
        let both = RoleSet::of(Role::Inbox).with(Role::Application);
        assert_eq!(shut, both);
        gate.set_open(RoleSet::ALL, "PUBLIC again", at(4));
        assert!(gate.open().intersection(both).is_empty());
        let closed = RoleState::Closed {
            since: at(3),
            why: "CLOSED by the operator".into(),
        };
        assert_eq!(gate.state(Role::Inbox), closed);
        assert_eq!(gate.state(Role::Application), closed);
        assert_eq!(
            gate.roles().open,
            RoleSet::ALL.without(Role::Inbox).without(Role::Application)
        );
    }

    #[test]
    fn the_operator_never_opens_what_reachability_keeps_shut() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", at(1));
        gate.set_closed(&[closing(Role::Inbox, 2)]);
        let epoch = gate.epoch();
        assert!(gate.set_closed(&[]).is_empty());
        assert_eq!(gate.open(), RoleSet::of(Role::Application));
        assert_eq!(gate.epoch(), epoch, "nothing opened");
        let closed = RoleState::Closed {
            since: at(1),
            why: "UNKNOWN".into(),
        };
        assert_eq!(gate.state(Role::Inbox), closed, "the verdict is told again");
    }

    #[test]
    fn a_lifted_closing_opens_what_reachability_allows() {
        let gate = Gate::dev(RoleSet::of(Role::Outbox), at(1));
        assert_eq!(
            gate.set_closed(&[closing(Role::Outbox, 2)]),
            RoleSet::of(Role::Outbox)
        );
        let epoch = gate.epoch();
        gate.set_closed(&[closing(Role::Inbox, 3)]);
        assert_eq!(gate.open(), RoleSet::of(Role::Outbox));
        assert_eq!(
            gate.state(Role::Inbox),
            RoleState::Off,
            "it is not configured"
        );
        assert_eq!(gate.epoch(), epoch + 1);
    }

    #[test]
    fn a_byte_that_stands_for_no_role_opens_nothing() {
        assert_eq!(open_of(0xFF), RoleSet::EMPTY);
    }
}
