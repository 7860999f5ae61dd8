//! Who may leave a BLOB here, and who may fetch one.
//!
//! A BLOB is bytes under their hash. It belongs to no role, so a role's rules say nothing about it:
//! the operator says who may hand BLOBs in and who may read them, and whoever may read reads all of
//! them alike. What is private is encrypted before it is handed in, or not handed in as a BLOB.

use thiserror::Error;

use super::admit::Submitter;
use super::gate::Roles;
use super::rules::Rules;
use super::visible::Reader;
use crate::identity::Peer;
use crate::wire::{PublicKey, ResultCode};

/// The operator's decisions about BLOBs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRules {
    /// Whether there are BLOBs at all.
    pub enabled: bool,
    /// Who may hand them in.
    pub submit: BlobAccess,
    /// Who may fetch them by their hash.
    pub read: BlobAccess,
    /// The largest that is taken.
    pub bytes_max: u64,
    /// What one user may leave here.
    pub user_bytes: u64,
}

/// A circle of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobAccess {
    /// Those who speak for a served user.
    Users,
    /// Those who showed a key that speaks for somebody.
    Authenticated,
    /// Everyone, anonymous peers included.
    Anyone,
}

/// To whom a BLOB is charged, and how much that one may leave here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobAccount {
    /// The key of the client that hands it in, if that one showed a key.
    pub submitter: Option<PublicKey>,
    /// The master for whom that key speaks. All others share one account.
    pub owner: Option<PublicKey>,
    /// What all BLOBs of that account may come to.
    pub bytes_max: u64,
}

/// Why a BLOB is not taken or not handed out. The text is for the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlobRefusal {
    /// There are no BLOBs here.
    #[error("BLOBs are switched off")]
    Off,
    /// The listener has no role.
    #[error("no role is configured")]
    NoRole,
    /// Every role of the listener is shut at this moment.
    #[error("every role is shut")]
    Shut,
    /// An anonymous peer asks for what takes a key.
    #[error("BLOBs are not for anonymous peers")]
    Anonymous,
    /// The peer is not among those who may.
    #[error("BLOBs are not for this peer")]
    NotAllowed,
    /// The BLOB has more bytes than the largest that is taken.
    #[error("the BLOB is too large")]
    TooLarge,
}

impl BlobRules {
    /// No BLOB is taken, and none is here.
    pub const OFF: Self = Self {
        enabled: false,
        submit: BlobAccess::Users,
        read: BlobAccess::Users,
        bytes_max: 0,
        user_bytes: 0,
    };
}

impl BlobRefusal {
    /// What is said to a peer that hands a BLOB in.
    #[must_use]
    pub const fn of_submission(self) -> ResultCode {
        match self {
            Self::Off | Self::NoRole | Self::NotAllowed => ResultCode::Unauthorized,
            Self::Shut => ResultCode::TemporaryError,
            Self::Anonymous => ResultCode::RequiresAuthentication,
            Self::TooLarge => ResultCode::TooLarge,
        }
    }

    /// What is said to a peer that asks for a BLOB; nothing of it depends on the hash. A peer whom
    /// signing in would not help is told that there is none.
    #[must_use]
    pub const fn of_read(self) -> ResultCode {
        match self {
            Self::Off | Self::NoRole | Self::NotAllowed | Self::TooLarge => ResultCode::NotFound,
            Self::Shut => ResultCode::TemporaryError,
            Self::Anonymous => ResultCode::RequiresAuthentication,
        }
    }
}

/// Whether a BLOB of `data_bytes` is taken from the submitter, and to whom it is charged.
///
/// # Errors
/// A [`BlobRefusal`]. It depends on the peer and on the size, and not on what is here.
pub fn admit_blob(
    rules: &Rules,
    roles: Roles,
    submitter: &Submitter,
    data_bytes: u64,
) -> Result<BlobAccount, BlobRefusal> {
    let blobs = &rules.blobs;
    let owner = speaks_for(submitter.peer, submitter.master);
    check(rules, roles, blobs.submit, submitter.peer, owner)?;
    if data_bytes > blobs.bytes_max {
        return Err(BlobRefusal::TooLarge);
    }
    Ok(BlobAccount {
        submitter: submitter.peer.key().copied(),
        owner,
        bytes_max: blobs.user_bytes,
    })
}

/// Whether the reader may fetch BLOBs.
///
/// # Errors
/// A [`BlobRefusal`], the same for every hash.
pub fn reads_blobs(rules: &Rules, roles: Roles, reader: &Reader) -> Result<(), BlobRefusal> {
    let master = speaks_for(reader.peer, reader.master);
    check(rules, roles, rules.blobs.read, reader.peer, master)
}

fn check(
    rules: &Rules,
    roles: Roles,
    access: BlobAccess,
    peer: Peer,
    master: Option<PublicKey>,
) -> Result<(), BlobRefusal> {
    if !rules.blobs.enabled {
        return Err(BlobRefusal::Off);
    }
    if roles.configured.is_empty() {
        return Err(BlobRefusal::NoRole);
    }
    if roles.open.is_empty() {
        return Err(BlobRefusal::Shut);
    }
    let is_admitted = match access {
        BlobAccess::Anyone => true,
        BlobAccess::Authenticated => master.is_some(),
        BlobAccess::Users => master.is_some_and(|master| rules.served.contains(&master)),
    };
    match (is_admitted, peer) {
        (true, _) => Ok(()),
        (false, Peer::Anonymous) => Err(BlobRefusal::Anonymous),
        (false, Peer::Known(_)) => Err(BlobRefusal::NotAllowed),
    }
}

/// The master for whom a peer speaks; an anonymous one speaks for nobody.
const fn speaks_for(peer: Peer, master: Option<PublicKey>) -> Option<PublicKey> {
    match peer {
        Peer::Anonymous => None,
        Peer::Known(_) => master,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Role, RoleSet};
    use crate::policy::testing::{
        ALL_OPEN, Person, anonymous_reader, anonymous_submitter, reader, rules, submitter,
    };

    const ACCESSES: [BlobAccess; 3] = [
        BlobAccess::Users,
        BlobAccess::Authenticated,
        BlobAccess::Anyone,
    ];

    fn with(change: impl Fn(&mut BlobRules)) -> Rules {
        let mut rules = rules();
        change(&mut rules.blobs);
        rules
    }

    /// Everyone who can ask: a served user, a stranger, one whose key speaks for nobody any more, an
    /// anonymous one.
    fn submitters() -> [(&'static str, Submitter); 4] {
        let revoked = Submitter {
            master: None,
            ..submitter(Person::Alice)
        };
        [
            ("user", submitter(Person::Alice)),
            ("stranger", submitter(Person::Stranger)),
            ("revoked", revoked),
            ("anonymous", anonymous_submitter()),
        ]
    }

    fn as_reader(submitter: &Submitter) -> Reader {
        Reader {
            peer: submitter.peer,
            master: submitter.master,
            bound: None,
            app: None,
        }
    }

    #[test]
    fn each_circle_admits_those_in_it_and_tells_the_others_what_would_help() {
        use ResultCode::{NotFound, RequiresAuthentication as Sign, Unauthorized as No};
        let table = [
            (BlobAccess::Users, [None, Some(No), Some(No), Some(Sign)]),
            (
                BlobAccess::Authenticated,
                [None, None, Some(No), Some(Sign)],
            ),
            (BlobAccess::Anyone, [None, None, None, None]),
        ];
        for (access, expected) in table {
            let rules = with(|blobs| (blobs.submit, blobs.read) = (access, access));
            for ((name, submitter), expected) in submitters().into_iter().zip(expected) {
                let admitted = admit_blob(&rules, ALL_OPEN, &submitter, 1);
                let code = admitted.err().map(BlobRefusal::of_submission);
                assert_eq!(code, expected, "{access:?}: {name} hands in");
                let read = reads_blobs(&rules, ALL_OPEN, &as_reader(&submitter));
                let code = read.err().map(BlobRefusal::of_read);
                let expected = expected.map(|code| if code == No { NotFound } else { code });
                assert_eq!(code, expected, "{access:?}: {name} reads");
            }
        }
    }

    #[test]
    fn a_blob_is_charged_to_the_master_for_whom_its_submitter_speaks() {
        let rules = with(|blobs| blobs.submit = BlobAccess::Anyone);
        let subkey = Submitter {
            master: Some(Person::Alice.key()),
            ..submitter(Person::Friend)
        };
        let account = admit_blob(&rules, ALL_OPEN, &subkey, 1).unwrap();
        assert_eq!(account.owner, Some(Person::Alice.key()));
        assert_eq!(account.submitter, Some(Person::Friend.key()));
        assert_eq!(account.bytes_max, rules.blobs.user_bytes);
        for (name, submitter) in submitters().into_iter().skip(2) {
            let account = admit_blob(&rules, ALL_OPEN, &submitter, 1).unwrap();
            assert_eq!(account.owner, None, "{name}");
        }
        // Whatever a driver says of an anonymous peer.
        let odd = Submitter {
            master: Some(Person::Alice.key()),
            ..anonymous_submitter()
        };
        assert_eq!(admit_blob(&rules, ALL_OPEN, &odd, 1).unwrap().owner, None);
    }

    #[test]
    fn the_largest_blob_is_taken_and_one_byte_more_is_not() {
        let rules = with(|blobs| blobs.bytes_max = 5);
        let alice = submitter(Person::Alice);
        assert!(admit_blob(&rules, ALL_OPEN, &alice, 5).is_ok());
        for bytes in [6, u64::MAX] {
            let refused = admit_blob(&rules, ALL_OPEN, &alice, bytes);
            assert_eq!(refused, Err(BlobRefusal::TooLarge));
        }
    }

    #[test]
    fn one_open_role_is_enough_and_without_one_everybody_is_told_to_come_back() {
        let open = |open| Roles {
            configured: RoleSet::ALL,
            open,
        };
        for access in ACCESSES {
            let rules = with(|blobs| (blobs.submit, blobs.read) = (access, access));
            for role in Role::ALL {
                let roles = open(RoleSet::of(role));
                assert!(admit_blob(&rules, roles, &submitter(Person::Alice), 1).is_ok());
                assert!(reads_blobs(&rules, roles, &reader(Person::Alice)).is_ok());
            }
            for (name, submitter) in submitters() {
                let shut = admit_blob(&rules, open(RoleSet::EMPTY), &submitter, 1);
                assert_eq!(shut, Err(BlobRefusal::Shut), "{name}");
            }
        }
    }

    #[test]
    fn switched_off_or_without_a_role_there_is_none_and_none_is_taken() {
        let off = with(|blobs| blobs.enabled = false);
        let no_role = Roles {
            configured: RoleSet::EMPTY,
            open: RoleSet::EMPTY,
        };
        let on = with(|blobs| blobs.read = BlobAccess::Anyone);
        for (rules, roles) in [(&off, ALL_OPEN), (&on, no_role)] {
            let read = reads_blobs(rules, roles, &anonymous_reader()).unwrap_err();
            assert_eq!(read.of_read(), ResultCode::NotFound);
            let handed_in = admit_blob(rules, roles, &submitter(Person::Alice), 1).unwrap_err();
            assert_eq!(handed_in.of_submission(), ResultCode::Unauthorized);
        }
    }
}
