//! The people of the matrix, the keys they sign in with, and what makes those keys theirs.

use mosaicd::wire::{
    Attestation, KeyMarker, KeyScheduleBuilder, ListedKey, PublicKey, Record, SecretKey, Timestamp,
};

use crate::support::key;

/// Everyone with a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Person {
    /// Writes; the server serves them.
    ServedAuthor,
    /// Writes; the server does not know them.
    OtherAuthor,
    /// Is written to; the server serves them.
    ServedReader,
    /// Is written to; the server does not know them.
    OtherReader,
    /// Is written to beside another one; the server does not know them.
    Second,
    /// Has to do with no record.
    Stranger,
    /// Has to do with no record, and runs the server.
    Operator,
}

use Person::{OtherAuthor, OtherReader, ServedAuthor, ServedReader};

impl Person {
    pub(super) const ALL: [Self; 7] = [
        ServedAuthor,
        OtherAuthor,
        ServedReader,
        OtherReader,
        Self::Second,
        Self::Stranger,
        Self::Operator,
    ];

    /// Those whom the server serves.
    pub(super) const SERVED: [Self; 2] = [ServedAuthor, ServedReader];

    /// Those with a key schedule.
    const SCHEDULED: [Self; 4] = [ServedAuthor, OtherAuthor, ServedReader, OtherReader];

    pub(super) fn secret(self) -> SecretKey {
        Hand::Own(self).secret().unwrap()
    }

    pub(super) fn key(self) -> PublicKey {
        self.secret().public()
    }
}

/// What a connection signs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hand {
    /// Nothing.
    Nobody,
    /// A master key.
    Own(Person),
    /// A subkey that the newest key schedule lists as active.
    Subkey(Person),
    /// A subkey that it lists as revoked.
    Revoked(Person),
}

impl Hand {
    pub(super) fn secret(self) -> Option<SecretKey> {
        let seed = |from: u8, person: Person| {
            let place = Person::ALL.iter().position(|it| *it == person).unwrap();
            Some(key(from + u8::try_from(place).unwrap()))
        };
        match self {
            Self::Nobody => None,
            Self::Own(person) => seed(101, person),
            Self::Subkey(person) => seed(111, person),
            Self::Revoked(person) => seed(121, person),
        }
    }

    /// Whether it speaks for the person with that master key in the end.
    pub(super) const fn speaks_for_somebody(self) -> bool {
        matches!(self, Self::Own(_) | Self::Subkey(_))
    }
}

/// The key schedules while the subkeys that will be revoked are active, and nobody knows the others.
pub(super) fn first_schedules() -> Vec<Record> {
    schedules(1, |person| {
        vec![(Hand::Revoked(person), KeyMarker::ActiveSigning)]
    })
}

/// The key schedules that count in the end.
pub(super) fn last_schedules() -> Vec<Record> {
    schedules(2, |person| {
        let revoked = if person == ServedReader {
            KeyMarker::RevokedFrom(at(1))
        } else {
            KeyMarker::Revoked(at(1))
        };
        vec![
            (Hand::Subkey(person), KeyMarker::ActiveSigning),
            (Hand::Revoked(person), revoked),
        ]
    })
}

/// A moment of the test's own time.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000).unwrap()
}

/// The key schedule of `person` of that moment.
pub(super) fn schedule(person: Person, time: Timestamp, listed: Vec<(Hand, KeyMarker)>) -> Record {
    let mut builder = KeyScheduleBuilder::new(person.key());
    for (hand, marker) in listed {
        let attestation = Attestation::sign(&hand.secret().unwrap(), person.key());
        builder = builder
            .list(marker, ListedKey::Signing(attestation))
            .unwrap();
    }
    let record = builder.into_record().unwrap().timestamp(time);
    record.sign(&person.secret()).unwrap()
}

fn schedules(second: u64, listed: impl Fn(Person) -> Vec<(Hand, KeyMarker)>) -> Vec<Record> {
    let made = Person::SCHEDULED.map(|person| schedule(person, at(second), listed(person)));
    made.to_vec()
}
