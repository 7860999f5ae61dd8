//! What the unit tests of this folder share: a server, the people around it, and their records.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    AppRules, AppSubmit, Apps, BlobAccess, BlobRules, Facts, Moderation, Reader, Roles, Rules,
    Served, Submitter,
};
use crate::base::{Role, RoleSet};
use crate::identity::{Peer, PeerKey, Standing};
use crate::wire::{
    Kind, PublicKey, ReadAccess, Record, RecordBuilder, RecordRef, SecretKey, TagsBuilder,
    Timestamp,
};

/// The one application that the server of [`rules`] serves beside the three roles.
pub(crate) const APP: u32 = 99;

/// An application of which the server knows nothing.
pub(crate) const OTHER_APP: u32 = 7;

/// A time; no rule depends on it.
pub(crate) const NOW: Timestamp = Timestamp::MIN;

/// Everyone who has to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    /// Served by the server.
    Alice,
    /// Served by the server.
    Bob,
    /// Not served by the server.
    Stranger,
    /// Not served by the server either.
    Friend,
}

impl Person {
    pub(crate) const ALL: [Self; 4] = [Self::Alice, Self::Bob, Self::Stranger, Self::Friend];

    pub(crate) fn secret(self) -> SecretKey {
        let seed = match self {
            Self::Alice => 1,
            Self::Bob => 2,
            Self::Stranger => 3,
            Self::Friend => 4,
        };
        SecretKey::from_seed([seed; 32])
    }

    pub(crate) fn key(self) -> PublicKey {
        self.secret().public()
    }

    fn peer(self) -> Peer {
        Peer::Known(PeerKey::for_tests(self.key()))
    }
}

struct Users(BTreeSet<PublicKey>);

impl Served for Users {
    fn contains(&self, master: &PublicKey) -> bool {
        self.0.contains(master)
    }
}

/// A server for Alice and Bob and the application [`APP`].
pub(crate) fn rules() -> Rules {
    let users = [Person::Alice, Person::Bob].map(Person::key);
    Rules {
        served: Arc::new(Users(users.into_iter().collect())),
        inbox_public: true,
        moderation: Moderation::Off,
        applications: AppRules {
            apps: Apps::List(vec![(APP, None)]),
            submit: AppSubmit::Anyone,
        },
        blobs: BlobRules {
            enabled: true,
            submit: BlobAccess::Users,
            read: BlobAccess::Anyone,
            bytes_max: 1 << 20,
            user_bytes: 8 << 20,
        },
    }
}

/// All roles configured and open.
pub(crate) const ALL_OPEN: Roles = Roles {
    configured: RoleSet::ALL,
    open: RoleSet::ALL,
};

/// A record to be: of an application no rule lists, for everybody, to nobody in particular.
#[derive(Clone)]
pub(crate) struct Draft {
    author: Person,
    app: u32,
    flags: u16,
    from_author: bool,
    notified: Vec<Person>,
    payload_bytes: usize,
}

impl Draft {
    pub(crate) fn by(author: Person, access: ReadAccess) -> Self {
        let access = match access {
            ReadAccess::AuthorOnly => 0b00 << 2,
            ReadAccess::AuthorAndTagged => 0b01 << 2,
            ReadAccess::Everybody => 0b11 << 2,
        };
        Self {
            author,
            app: OTHER_APP,
            flags: access,
            from_author: false,
            notified: Vec::new(),
            payload_bytes: 5,
        }
    }

    pub(crate) fn to(mut self, notified: &[Person]) -> Self {
        self.notified.extend(notified);
        self
    }

    pub(crate) fn of_app(mut self, app: u32) -> Self {
        self.app = app;
        self
    }

    pub(crate) fn replaceable(mut self) -> Self {
        self.flags |= 0b10;
        self
    }

    pub(crate) fn marked_from_author(mut self) -> Self {
        self.from_author = true;
        self
    }

    pub(crate) fn payload_bytes(mut self, payload_bytes: usize) -> Self {
        self.payload_bytes = payload_bytes;
        self
    }

    pub(crate) fn record(&self) -> Record {
        let mut tags = TagsBuilder::default();
        for person in &self.notified {
            tags = tags.notify(person.key());
        }
        let number = (u64::from(self.app) << 32) | (5 << 16) | u64::from(self.flags);
        RecordBuilder::new(Kind::new(number).unwrap(), self.author.key())
            .from_author(self.from_author)
            .tags(tags)
            .payload(vec![b'x'; self.payload_bytes])
            .sign(&self.author.secret())
            .unwrap()
    }
}

/// What the gate is told of a record that its author's master key signed, stored under `roles`.
pub(crate) fn facts(record: &Record, roles: RoleSet) -> Facts<'_> {
    facts_of(record.view(), roles)
}

/// The same of a record that is looked at already.
pub(crate) fn facts_of(record: RecordRef<'_>, roles: RoleSet) -> Facts<'_> {
    Facts {
        record,
        roles,
        held: false,
        standing: Standing::Master,
    }
}

/// An authenticated submitter on a stream that is bound to no role.
pub(crate) fn submitter(person: Person) -> Submitter {
    Submitter {
        peer: person.peer(),
        master: Some(person.key()),
        ..anonymous_submitter()
    }
}

/// An anonymous submitter on a stream that is bound to no role.
pub(crate) fn anonymous_submitter() -> Submitter {
    Submitter {
        peer: Peer::Anonymous,
        master: None,
        bound: None,
        app: None,
    }
}

/// An authenticated reader on a stream that is bound to no role.
pub(crate) fn reader(person: Person) -> Reader {
    Reader {
        peer: person.peer(),
        master: Some(person.key()),
        ..anonymous_reader()
    }
}

/// An anonymous reader on a stream that is bound to no role.
pub(crate) fn anonymous_reader() -> Reader {
    Reader {
        peer: Peer::Anonymous,
        master: None,
        bound: None,
        app: None,
    }
}

/// The readers that every table asks about, with names for messages: anonymous, and each person.
pub(crate) fn readers() -> Vec<(String, Reader)> {
    let known = Person::ALL.map(|person| (format!("{person:?}"), reader(person)));
    let anonymous = ("anonymous".to_owned(), anonymous_reader());
    std::iter::once(anonymous).chain(known).collect()
}

/// The same submitter on a stream that is bound to `role`.
pub(crate) fn bound(submitter: Submitter, role: Role) -> Submitter {
    Submitter {
        bound: Some(role),
        ..submitter
    }
}
