//! Who knows whom, on a real store.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::base::{Role, RoleSet, limits};
use crate::policy::Served;
use crate::policy::testing::{Draft, Person, rules};
use crate::server::moderation::acquaintances::changes_of;
use crate::store::{
    Account, Act, Charge, Entry, Judge, Judgement, Outcome, Quota, Store, StoreOptions, Vouched,
    Writer,
};
use crate::wire::{ReadAccess, Record, RecordRef, Timestamp};

/// Stores everything, for Alice: held or not, and vouched for as it is told.
struct Keeper;

impl Judge for Keeper {
    type Context = Told;

    fn judge(&mut self, _: RecordRef<'_>, context: &Self::Context, _: Timestamp) -> Judgement {
        Judgement::Store {
            roles: RoleSet::of(Role::Inbox),
            vouched: context.vouched,
            submitter: None,
            held: context.held,
            charges: vec![Charge {
                user: Person::Alice.key(),
                account: Account::Delivered,
                quota: Quota::UNBOUNDED,
            }],
        }
    }

    fn stored(&mut self, _: &Record) {}

    fn publish(&mut self, _: &[Arc<Entry>]) {}

    fn announce(&mut self, _: &Arc<Entry>) -> usize {
        0
    }

    fn reply(&mut self, context: Self::Context, _: Outcome) {
        context.done.send(()).unwrap();
    }
}

/// What becomes of a record.
#[derive(Debug)]
struct Told {
    held: bool,
    vouched: Vouched,
    done: mpsc::Sender<()>,
}

struct Fixture {
    store: Store,
    writer: Writer<Told>,
    served: Arc<dyn Served>,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let options = StoreOptions {
            free_space_floor_bytes: 0,
            ..StoreOptions::default()
        };
        let store = Store::open(&folder.path().join("store"), options).unwrap();
        Self {
            writer: Writer::spawn(store.clone(), Keeper).unwrap(),
            store,
            served: rules().served,
            _folder: folder,
        }
    }

    fn put(&self, record: &Record, held: bool) {
        self.put_as(record, held, Vouched::Master);
    }

    fn put_as(&self, record: &Record, held: bool, vouched: Vouched) {
        let (done, stored) = mpsc::channel();
        let told = Told {
            held,
            vouched,
            done,
        };
        self.writer.submit(record.clone(), told).unwrap();
        stored.recv().unwrap();
    }

    fn knows(&self, user: Person, writer: Person) -> bool {
        let fresh = Acquaintances::new(self.store.clone());
        knows(&fresh, user, writer)
    }
}

/// Asks as for a record that brings nothing else to ask.
fn knows(acquaintances: &Acquaintances, user: Person, writer: Person) -> bool {
    let mut inquiry = acquaintances.inquiry(Instant::now());
    inquiry.knows(&user.key(), &writer.key(), &is_vouched)
}

fn is_vouched(entry: &Entry) -> bool {
    entry.vouched != Vouched::Unknown
}

fn note(author: Person, to: Person) -> Record {
    Draft::by(author, ReadAccess::Everybody).to(&[to]).record()
}

#[test]
fn a_user_knows_whom_a_stored_record_of_theirs_notifies_and_nobody_else() {
    let fixture = Fixture::new();
    fixture.put(&note(Person::Alice, Person::Friend), false);
    fixture.put(&note(Person::Stranger, Person::Alice), false);
    assert!(fixture.knows(Person::Alice, Person::Friend));
    assert!(
        !fixture.knows(Person::Alice, Person::Stranger),
        "who was written to knows nobody"
    );
    assert!(!fixture.knows(Person::Bob, Person::Friend));
    assert!(!fixture.knows(Person::Friend, Person::Alice));
}

#[test]
fn what_is_held_makes_nobody_acquainted() {
    let fixture = Fixture::new();
    fixture.put(&note(Person::Alice, Person::Friend), true);
    assert!(!fixture.knows(Person::Alice, Person::Friend));
}

#[test]
fn an_answer_that_is_kept_is_corrected_by_what_is_stored_later() {
    let fixture = Fixture::new();
    let acquaintances = Acquaintances::new(fixture.store.clone());
    let knows = |writer: Person| knows(&acquaintances, Person::Alice, writer);
    assert!(!knows(Person::Friend) && !knows(Person::Stranger));
    acquaintances.stored(&note(Person::Alice, Person::Friend), &*fixture.served);
    assert!(knows(Person::Friend));
    acquaintances.stored(&note(Person::Stranger, Person::Alice), &*fixture.served);
    assert!(
        !knows(Person::Stranger),
        "strangers do not introduce themselves"
    );
}

#[test]
fn a_release_makes_the_writer_known_to_those_it_was_released_to_and_that_is_kept() {
    let fixture = Fixture::new();
    let acquaintances = Acquaintances::new(fixture.store.clone());
    let record = note(Person::Stranger, Person::Alice);
    fixture.put(&record, true);
    let entry = fixture.store.held(None, 10).unwrap().remove(0);
    assert!(!knows(&acquaintances, Person::Alice, Person::Stranger));
    let state = changes_of([&*entry, &*entry]);
    assert_eq!(state.len(), 1, "each pair once");
    let acted = fixture.writer.act(Act {
        state,
        ..Act::default()
    });
    assert!(matches!(acted, crate::store::Acted::Done { .. }));
    assert!(
        fixture.knows(Person::Alice, Person::Stranger),
        "found in the store"
    );
    assert!(!fixture.knows(Person::Bob, Person::Stranger));
    acquaintances.released([&*entry]);
    assert!(knows(&acquaintances, Person::Alice, Person::Stranger));
}

#[test]
fn nobody_is_known_by_a_name_above_the_signature_of_another_key() {
    let fixture = Fixture::new();
    fixture.put(&note(Person::Stranger, Person::Alice), true);
    let entry = fixture.store.held(None, 10).unwrap().remove(0);
    let forged = Entry {
        vouched: Vouched::Unknown,
        ..Entry::clone(&entry)
    };
    // The same key signed here, so the pair is the same; what counts is whose word it is taken for.
    assert_eq!(changes_of([&forged]), changes_of([&*entry]));
}

#[test]
fn a_record_in_a_users_name_that_is_not_their_word_makes_nobody_acquainted() {
    let fixture = Fixture::new();
    let note = |bytes| {
        let note = Draft::by(Person::Alice, ReadAccess::Everybody).payload_bytes(bytes);
        note.to(&[Person::Friend]).record()
    };
    fixture.put_as(&note(1), false, Vouched::Unknown);
    assert!(!fixture.knows(Person::Alice, Person::Friend), "forged");
    fixture.put(&note(2), false);
    assert!(fixture.knows(Person::Alice, Person::Friend));
}

#[test]
fn what_is_kept_of_a_user_is_found_anew_once_their_keys_have_changed() {
    let fixture = Fixture::new();
    fixture.put(&note(Person::Alice, Person::Friend), false);
    fixture.put(&note(Person::Bob, Person::Friend), false);
    let acquaintances = Acquaintances::new(fixture.store.clone());
    let friend = Person::Friend.key();
    let knows = |user: Person, is_theirs| {
        let mut inquiry = acquaintances.inquiry(Instant::now());
        inquiry.knows(&user.key(), &friend, &|_| is_theirs)
    };
    for user in [Person::Alice, Person::Bob] {
        assert!(knows(user, true));
        assert!(knows(user, false), "it is kept");
    }
    acquaintances.forget(&Person::Alice.key());
    assert!(
        !knows(Person::Alice, false),
        "what spoke for her is revoked"
    );
    assert!(knows(Person::Bob, false));
}

#[test]
fn a_record_whose_recipients_would_take_long_to_ask_comes_from_a_stranger() {
    let fixture = Fixture::new();
    // Alice wrote to her friend once; what is newer is nobody's word, and there is more of it than is
    // looked at.
    fixture.put(&note(Person::Alice, Person::Friend), false);
    let flood = limits::MODERATION_SCAN_MAX_COST_KEYS / u64::from(limits::RECORD_COST_KEYS);
    for _ in 0..flood + 64 {
        let forged = note(Person::Alice, Person::Friend);
        fixture.put_as(&forged, false, Vouched::Unknown);
    }
    fixture.put(&note(Person::Bob, Person::Friend), false);
    fixture.put(&note(Person::Bob, Person::Stranger), false);
    let (alice, bob) = (Person::Alice.key(), Person::Bob.key());
    let friend = Person::Friend.key();
    let acquaintances = Acquaintances::new(fixture.store.clone());
    let now = Instant::now();
    let mut first = acquaintances.inquiry(now);
    assert!(!first.knows(&alice, &friend, &is_vouched), "too far back");
    assert!(
        !first.knows(&bob, &friend, &is_vouched),
        "nothing is left to find out"
    );
    // What could not be found out is not tried again for a while, so the next pair has its turn.
    let mut second = acquaintances.inquiry(now);
    assert!(!second.knows(&alice, &friend, &is_vouched));
    assert!(second.knows(&bob, &friend, &is_vouched));
    let mut later = acquaintances.inquiry(now + limits::MODERATION_SCAN_PAUSE);
    assert!(!later.knows(&alice, &friend, &is_vouched));
    let stranger = Person::Stranger.key();
    assert!(
        !later.knows(&bob, &stranger, &is_vouched),
        "it was tried again"
    );
    let mut last = acquaintances.inquiry(now);
    assert!(last.knows(&bob, &stranger, &is_vouched));
    // Whoever is written to meanwhile is known at once.
    acquaintances.stored(&note(Person::Alice, Person::Friend), &*fixture.served);
    assert!(knows(&acquaintances, Person::Alice, Person::Friend));
}
