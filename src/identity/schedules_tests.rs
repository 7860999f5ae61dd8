//! Whom keys speak for, as schedules come and go.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{Directory, ScheduleSource, Standing};
use crate::wire::{
    Attestation, EncryptionAlgorithm, EncryptionKey, KeyMarker, KeySchedule, KeyScheduleBuilder,
    Kind, ListedKey, PublicKey, Record, RecordBuilder, SecretKey, TagKind, Timestamp,
};

/// A store of schedules that counts how often it is asked.
#[derive(Default)]
struct Shelf {
    records: Mutex<Vec<Record>>,
    asked: AtomicUsize,
}

impl Shelf {
    fn put(&self, record: &Record) {
        self.records.lock().unwrap().push(record.clone());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn matching(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let records = self.records.lock().unwrap();
        records
            .iter()
            .filter(|record| wanted(record))
            .cloned()
            .collect()
    }
}

impl ScheduleSource for Shelf {
    fn newest_schedule(&self, master: &PublicKey) -> Option<Record> {
        let theirs = self.matching(|record| record.view().author() == *master);
        theirs.into_iter().max_by_key(Record::id)
    }

    fn schedules_listing(&self, subkey: &PublicKey) -> Vec<Record> {
        self.matching(|record| {
            record
                .view()
                .tags()
                .any(|tag| tag.subkey() == Some(*subkey))
        })
    }
}

/// A directory, the shelf behind it, and a way to do as the writer does.
struct World {
    shelf: Arc<Shelf>,
    directory: Directory,
}

impl World {
    fn new() -> Self {
        let shelf = Arc::<Shelf>::default();
        let directory = Directory::new(shelf.clone());
        Self { shelf, directory }
    }

    /// Stores a schedule and tells the directory.
    fn publish(&self, schedule: &Record) {
        self.directory.learn(schedule);
        self.shelf.put(schedule);
    }

    fn master_of(&self, key: u8) -> Option<PublicKey> {
        self.directory.master_of(&public(key))
    }

    /// Standing of a record dated and received at these moments.
    fn standing(&self, signer: u8, dated: u64, received: u64) -> Standing {
        let (signer, author) = (public(signer), public(MASTER));
        self.directory
            .speaks_for(&signer, &author, at(dated), at(received))
    }
}

const MASTER: u8 = 1;
const SUBKEY: u8 = 2;

fn secret(key: u8) -> SecretKey {
    SecretKey::from_seed([key; 32])
}

fn public(key: u8) -> PublicKey {
    secret(key).public()
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap()
}

fn schedule_of(master: u8, made_at: u64, keys: &[(u8, KeyMarker)]) -> Record {
    let mut builder = KeyScheduleBuilder::new(public(master));
    for (key, marker) in keys {
        let attestation = Attestation::sign(&secret(*key), public(master));
        builder = builder
            .list(*marker, ListedKey::Signing(attestation))
            .unwrap();
    }
    let record = builder.into_record().unwrap().timestamp(at(made_at));
    record.sign(&secret(master)).unwrap()
}

fn schedule(made_at: u64, marker: KeyMarker) -> Record {
    schedule_of(MASTER, made_at, &[(SUBKEY, marker)])
}

#[test]
fn a_key_that_nobody_lists_is_its_own_master() {
    let world = World::new();
    assert_eq!(world.master_of(SUBKEY), Some(public(SUBKEY)));
    assert_eq!(world.standing(MASTER, 5, 5), Standing::Master);
    assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Unknown);
}

#[test]
fn markers_decide_who_signs_in_and_what_counts() {
    use KeyMarker::{ActiveSigning, OutOfUse, Revoked, RevokedFrom};
    use Standing::{Revoked as Bad, Subkey, Unknown};
    // Marker; whether the key signs in; standing of records dated and received at
    // (50, 50), (50, 150), (150, 150), (100, 100). The schedule is of 120.
    let rows = [
        (ActiveSigning, true, [Subkey, Subkey, Subkey, Subkey]),
        (Revoked(at(100)), false, [Bad, Bad, Bad, Bad]),
        (RevokedFrom(at(100)), false, [Subkey, Bad, Bad, Bad]),
        (OutOfUse(None), false, [Subkey, Subkey, Unknown, Subkey]),
        (
            OutOfUse(Some(at(70))),
            false,
            [Subkey, Subkey, Unknown, Unknown],
        ),
    ];
    for (marker, signs_in, standings) in rows {
        let world = World::new();
        world.publish(&schedule(120, marker));
        let master = signs_in.then(|| public(MASTER));
        assert_eq!(world.master_of(SUBKEY), master, "{marker:?}");
        let moments = [(50, 50), (50, 150), (150, 150), (100, 100)];
        let got = moments.map(|(dated, received)| world.standing(SUBKEY, dated, received));
        assert_eq!(got, standings, "{marker:?}");
        assert_eq!(world.standing(MASTER, 1, 1), Standing::Master);
    }
}

#[test]
fn encryption_and_nostr_keys_do_not_sign_in_and_do_not_speak() {
    let world = World::new();
    let named = ListedKey::Encryption(EncryptionKey {
        algorithm: EncryptionAlgorithm::X25519,
        key: *public(SUBKEY).as_bytes(),
    });
    let record = KeyScheduleBuilder::new(public(MASTER))
        .list(KeyMarker::ActiveEncryption, named)
        .unwrap()
        .into_record()
        .unwrap();
    world.publish(&record.sign(&secret(MASTER)).unwrap());
    assert_eq!(world.master_of(SUBKEY), Some(public(SUBKEY)));
    assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Unknown);
}

#[test]
fn the_newest_schedule_counts_in_whatever_order_they_come() {
    let old = schedule(10, KeyMarker::ActiveSigning);
    let new = schedule(20, KeyMarker::Revoked(at(20)));
    for order in [[&old, &new], [&new, &old]] {
        let world = World::new();
        world.publish(order[0]);
        world.publish(order[1]);
        assert_eq!(world.master_of(SUBKEY), None);
        assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Revoked);
    }
}

#[test]
fn of_equally_old_schedules_the_larger_id_counts_on_every_server() {
    let active = schedule(10, KeyMarker::ActiveSigning);
    let revoked = schedule(10, KeyMarker::Revoked(at(10)));
    let expected = if active.id() > revoked.id() {
        Standing::Subkey
    } else {
        Standing::Revoked
    };
    for order in [[&active, &revoked], [&revoked, &active]] {
        let world = World::new();
        world.publish(order[0]);
        world.publish(order[1]);
        assert_eq!(world.standing(SUBKEY, 5, 5), expected);
    }
}

#[test]
fn a_schedule_counts_before_the_store_returns_it() {
    let world = World::new();
    // Negative answers are at hand already.
    assert_eq!(world.master_of(SUBKEY), Some(public(SUBKEY)));
    assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Unknown);
    world
        .directory
        .learn(&schedule(10, KeyMarker::ActiveSigning));
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
    assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Subkey);

    // The same for a key that was never asked about before.
    let world = World::new();
    world
        .directory
        .learn(&schedule(10, KeyMarker::ActiveSigning));
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
}

#[test]
fn a_key_that_a_newer_schedule_no_longer_lists_is_its_own_master_again() {
    let world = World::new();
    world.publish(&schedule(10, KeyMarker::ActiveSigning));
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
    world.publish(&schedule_of(MASTER, 20, &[]));
    assert_eq!(world.master_of(SUBKEY), Some(public(SUBKEY)));
    assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Unknown);
}

#[test]
fn stored_schedules_are_found_and_kept_at_hand() {
    let world = World::new();
    world.shelf.put(&schedule(10, KeyMarker::ActiveSigning));
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
    assert_eq!(world.master_of(9), Some(public(9)));
    let asked = world.shelf.asked();
    for _ in 0..10 {
        assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
        assert_eq!(world.master_of(9), Some(public(9)));
        assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Subkey);
    }
    assert_eq!(world.shelf.asked(), asked);
}

#[test]
fn the_epoch_rises_with_every_schedule_that_counts_and_with_no_other() {
    let world = World::new();
    let epoch = || world.directory.epoch();
    let (first, second) = (
        schedule(10, KeyMarker::ActiveSigning),
        schedule(20, KeyMarker::ActiveSigning),
    );
    let before = epoch();
    world.publish(&second);
    assert_eq!(epoch(), before + 1);
    world.publish(&first);
    world.publish(&second);
    let chat = RecordBuilder::new(Kind::CHAT_MESSAGE, public(MASTER)).sign(&secret(MASTER));
    world.directory.learn(&chat.unwrap());
    assert_eq!(epoch(), before + 1);
}

#[test]
fn of_two_masters_the_one_with_the_newer_schedule_has_the_key() {
    const OTHER: u8 = 3;
    let world = World::new();
    let active = [(SUBKEY, KeyMarker::ActiveSigning)];
    world.publish(&schedule_of(MASTER, 20, &active));
    world.publish(&schedule_of(OTHER, 10, &active));
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
    world.publish(&schedule_of(OTHER, 30, &active));
    assert_eq!(world.master_of(SUBKEY), Some(public(OTHER)));
    // One master's revocation does not take it from the other.
    world.publish(&schedule_of(
        OTHER,
        40,
        &[(SUBKEY, KeyMarker::Revoked(at(1)))],
    ));
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
}

#[test]
fn a_tag_alone_lists_nobody() {
    let world = World::new();
    let genuine = schedule(10, KeyMarker::ActiveSigning);
    let tags: Vec<_> = genuine
        .view()
        .tags()
        .map(|tag| tag.value().to_vec())
        .collect();
    let mut builder = crate::wire::TagsBuilder::new();
    for tag in &tags {
        builder = builder.raw(TagKind::SUBKEY, tag).unwrap();
    }
    let claim = RecordBuilder::new(Kind::KEY_SCHEDULE, public(7))
        .tags(builder)
        .sign(&secret(7))
        .unwrap();
    assert!(KeySchedule::parse(claim.view()).is_ok());
    world.publish(&claim);
    assert_eq!(world.master_of(SUBKEY), Some(public(SUBKEY)));
}

#[test]
fn a_schedule_that_was_taken_out_counts_no_more_and_the_one_before_it_does() {
    let world = World::new();
    let first = schedule_of(MASTER, 10, &[(SUBKEY, KeyMarker::ActiveSigning)]);
    let second = schedule_of(MASTER, 20, &[(SUBKEY, KeyMarker::Revoked(at(20)))]);
    world.publish(&first);
    world.publish(&second);
    assert_eq!(world.master_of(SUBKEY), None);
    let epoch = world.directory.epoch();

    // One that does not count is taken out: nothing changes but that answers are looked up again.
    world
        .shelf
        .records
        .lock()
        .unwrap()
        .retain(|it| it != &first);
    world.directory.unlearn(&public(MASTER), &first.id());
    assert!(world.directory.epoch() > epoch);
    assert_eq!(world.master_of(SUBKEY), None);
    world.shelf.put(&first);

    world
        .shelf
        .records
        .lock()
        .unwrap()
        .retain(|it| it != &second);
    world.directory.unlearn(&public(MASTER), &second.id());
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
    assert_eq!(world.standing(SUBKEY, 15, 15), Standing::Subkey);
}

#[test]
fn whose_key_it_is_is_told_from_what_is_at_hand_once_it_was_asked() {
    let world = World::new();
    let at_hand = || world.directory.master_of_at_hand(&public(SUBKEY));
    assert_eq!(at_hand(), None);
    // What was learned is not all there may be.
    world.publish(&schedule(5, KeyMarker::ActiveSigning));
    assert_eq!(at_hand(), None);
    assert_eq!(world.master_of(SUBKEY), Some(public(MASTER)));
    let asked = world.shelf.asked();
    assert_eq!(at_hand(), Some(Some(public(MASTER))));
    for (made_at, marker, expected) in [
        (10, KeyMarker::Revoked(at(1)), None),
        (20, KeyMarker::ActiveSigning, Some(public(MASTER))),
        (30, KeyMarker::OutOfUse(Some(at(4))), None),
    ] {
        world.publish(&schedule(made_at, marker));
        assert_eq!(at_hand(), Some(expected), "{marker:?}");
        assert_eq!(world.master_of(SUBKEY), expected, "{marker:?}");
    }
    assert_eq!(world.shelf.asked(), asked);
    assert_eq!(world.master_of(MASTER), Some(public(MASTER)), "of itself");
    let master = world.directory.master_of_at_hand(&public(MASTER));
    assert_eq!(master, Some(Some(public(MASTER))));
}

#[test]
fn what_is_at_hand_is_told_without_asking_the_source_and_as_it_is_now() {
    let world = World::new();
    let at_hand = |signer: u8| {
        let (signer, author) = (public(signer), public(MASTER));
        let directory = &world.directory;
        directory.speaks_for_at_hand(&signer, &author, at(5), at(5))
    };
    assert_eq!(at_hand(MASTER), Some(Standing::Master));
    assert_eq!(at_hand(SUBKEY), None);
    assert_eq!(world.shelf.asked(), 0);
    assert_eq!(world.standing(SUBKEY, 5, 5), Standing::Unknown);
    assert_eq!(at_hand(SUBKEY), Some(Standing::Unknown));
    for (made_at, marker, expected) in [
        (10, KeyMarker::ActiveSigning, Standing::Subkey),
        (20, KeyMarker::Revoked(at(1)), Standing::Revoked),
        (30, KeyMarker::RevokedFrom(at(6)), Standing::Subkey),
        (40, KeyMarker::RevokedFrom(at(5)), Standing::Revoked),
        (50, KeyMarker::OutOfUse(Some(at(4))), Standing::Unknown),
    ] {
        world.publish(&schedule(made_at, marker));
        assert_eq!(at_hand(SUBKEY), Some(expected), "{marker:?}");
        assert_eq!(world.standing(SUBKEY, 5, 5), expected, "{marker:?}");
    }
    assert_eq!(world.shelf.asked(), 1);
}
