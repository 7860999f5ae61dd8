//! What the specification says of every record: written by hand, row by row.
//!
//! # Source
//! `mosaic-wire.md` section 3, "read access"; `network-architecture.md`, "Server Roles"; and where
//! those leave a choice, docs/SPEC_NOTES.md.

use mosaicd::base::Role::{self, Application, Encryption, Inbox, Outbox};
use mosaicd::wire::ReadAccess::{self, AuthorAndTagged, AuthorOnly, Everybody};
use mosaicd::wire::ResultCode::{self, Accepted, Unauthorized};

use super::cast::{Hand, Person};

/// One record, and who reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The role that it is made for: decides on who wrote it, to whom, and its application.
    pub(super) shape: Role,
    pub(super) access: ReadAccess,
    /// What is said to whoever hands it in.
    pub(super) answer: ResultCode,
    /// The roles that it is stored under, each with the requesters to whom that role gives it.
    ///
    /// A requester has its letter, or a dot where the record is not there for it: `N`obody in
    /// particular, `S`tranger, `O`perator; `A`uthor, the author's active (`a`) and revoked (`x`)
    /// subkey; `B` the recipient, with `b` and `y`; `C` the second recipient.
    pub(super) stored: &'static [(Role, &'static str)],
}

/// Who asks, as seen from a record.
pub(super) const REQUESTERS: &str = "NSOAaxBbyC";

const ANYONE: &str = "NSOAaxBbyC";
const AUTHOR: &str = "...Aa.....";
const TAGGED: &str = "......Bb.C";
const BOTH: &str = "...Aa.Bb.C";

const fn row(
    shape: Role,
    access: ReadAccess,
    answer: ResultCode,
    stored: &'static [(Role, &'static str)],
) -> Row {
    Row {
        shape,
        access,
        answer,
        stored,
    }
}

/// On a server that plays that one role, and serves key schedules as an application.
pub(super) const ALONE: [[Row; 3]; 4] = [
    [
        // "public records meant to be read by anyone", of "the users that they are serving"
        row(Outbox, AuthorOnly, Unauthorized, &[]),
        row(Outbox, AuthorAndTagged, Unauthorized, &[]),
        row(Outbox, Everybody, Accepted, &[(Outbox, ANYONE)]),
    ],
    [
        // "records that reference them"; "to the intended recipients after requiring authentication";
        // "to anybody without requiring authentication"
        row(Inbox, AuthorOnly, Unauthorized, &[]),
        row(Inbox, AuthorAndTagged, Accepted, &[(Inbox, TAGGED)]),
        row(Inbox, Everybody, Accepted, &[(Inbox, ANYONE)]),
    ],
    [
        // "MUST NOT deliver messages to anybody other than the intended recipient"
        row(Encryption, AuthorOnly, Accepted, &[(Encryption, AUTHOR)]),
        row(
            Encryption,
            AuthorAndTagged,
            Accepted,
            &[(Encryption, TAGGED)],
        ),
        row(Encryption, Everybody, Unauthorized, &[]),
    ],
    [
        // what the kind says, and nothing else
        row(Application, AuthorOnly, Accepted, &[(Application, AUTHOR)]),
        row(
            Application,
            AuthorAndTagged,
            Accepted,
            &[(Application, BOTH)],
        ),
        row(Application, Everybody, Accepted, &[(Application, ANYONE)]),
    ],
];

/// On a server that plays all roles.
pub(super) const TOGETHER: [Row; 12] = [
    // by a served user, to others
    row(Outbox, AuthorOnly, Accepted, &[(Encryption, AUTHOR)]),
    row(Outbox, AuthorAndTagged, Unauthorized, &[]),
    row(Outbox, Everybody, Accepted, &[(Outbox, ANYONE)]),
    // to a served user, by another
    row(Inbox, AuthorOnly, Unauthorized, &[]),
    row(Inbox, AuthorAndTagged, Accepted, &[(Encryption, TAGGED)]),
    row(Inbox, Everybody, Accepted, &[(Inbox, ANYONE)]),
    // by a served user to a served user
    row(Encryption, AuthorOnly, Accepted, &[(Encryption, AUTHOR)]),
    row(
        Encryption,
        AuthorAndTagged,
        Accepted,
        &[(Encryption, TAGGED)],
    ),
    row(
        Encryption,
        Everybody,
        Accepted,
        &[(Outbox, ANYONE), (Inbox, ANYONE)],
    ),
    // among others, of an application that is served
    row(Application, AuthorOnly, Accepted, &[(Application, AUTHOR)]),
    row(
        Application,
        AuthorAndTagged,
        Accepted,
        &[(Application, BOTH)],
    ),
    row(Application, Everybody, Accepted, &[(Application, ANYONE)]),
];

/// On a server of outboxes, and of inboxes with `inbox.public = false`.
pub(super) const SHY_INBOX: [Row; 6] = [
    row(Inbox, AuthorOnly, Unauthorized, &[]),
    row(Inbox, AuthorAndTagged, Accepted, &[(Inbox, TAGGED)]),
    row(Inbox, Everybody, Accepted, &[(Inbox, TAGGED)]),
    row(Encryption, AuthorOnly, Unauthorized, &[]),
    row(Encryption, AuthorAndTagged, Accepted, &[(Inbox, TAGGED)]),
    row(
        Encryption,
        Everybody,
        Accepted,
        &[(Outbox, ANYONE), (Inbox, TAGGED)],
    ),
];

impl Row {
    /// Who wrote it.
    pub(super) const fn author(&self) -> Person {
        match self.shape {
            Outbox | Encryption => Person::ServedAuthor,
            Inbox | Application => Person::OtherAuthor,
        }
    }

    /// Who is written to beside [`Person::Second`], whose tag comes first.
    pub(super) const fn recipient(&self) -> Person {
        match self.shape {
            Inbox | Encryption => Person::ServedReader,
            Outbox | Application => Person::OtherReader,
        }
    }

    /// What the requester with that letter signs in with.
    pub(super) fn hand(&self, requester: char) -> Hand {
        match requester {
            'N' => Hand::Nobody,
            'S' => Hand::Own(Person::Stranger),
            'O' => Hand::Own(Person::Operator),
            'A' => Hand::Own(self.author()),
            'a' => Hand::Subkey(self.author()),
            'x' => Hand::Revoked(self.author()),
            'B' => Hand::Own(self.recipient()),
            'b' => Hand::Subkey(self.recipient()),
            'y' => Hand::Revoked(self.recipient()),
            'C' => Hand::Own(Person::Second),
            other => unreachable!("no requester {other}"),
        }
    }

    /// The requester that signs in so; `None` for somebody else's key.
    pub(super) fn requester(&self, hand: Hand) -> Option<char> {
        REQUESTERS.chars().find(|it| self.hand(*it) == hand)
    }

    /// Whether the record is there for the requester on a stream that is bound so.
    pub(super) fn is_for(&self, requester: char, bound: Option<Role>) -> bool {
        let roles = self.stored.iter();
        let mut asked = roles.filter(|(role, _)| bound.is_none_or(|bound| bound == *role));
        asked.any(|(_, readers)| readers.contains(requester))
    }
}

/// The table is only as good as its form.
#[test]
fn every_row_of_the_matrix_has_a_place_for_every_requester() {
    let rows = ALONE.iter().flatten().chain(&TOGETHER).chain(&SHY_INBOX);
    for row in rows {
        assert_eq!(row.answer == Accepted, !row.stored.is_empty(), "{row:?}");
        for (_, readers) in row.stored {
            let fits = |(letter, name): (char, char)| letter == '.' || letter == name;
            assert_eq!(readers.len(), REQUESTERS.len(), "{row:?}");
            assert!(readers.chars().zip(REQUESTERS.chars()).all(fits), "{row:?}");
        }
    }
}
