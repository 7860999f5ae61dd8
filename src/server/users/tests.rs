//! Who is served, for whom a record counts, and the orders about users, on a real store.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::desk::UserSource;
use super::invitations::MadeInvitation;
use super::testing::Nothing;
use super::*;
use crate::admin::{Order, QuotaChange};
use crate::identity::{Directory, PeerKey};
use crate::net::{Answers, Newcomers as _};
use crate::policy::testing::{APP, Draft, Person};
use crate::policy::{RateRules, Rates};
use crate::server::judge::Submission;
use crate::server::ledger::{Ledger, OrderError};
use crate::server::schedule_source::StoreSchedules;
use crate::store::{StoreOptions, Writer};
use crate::wire::{InvitationCode, Record, Redeem, ResultCode, SecretKey, Timestamp};
use std::sync::Arc;

const OPERATOR: u8 = 200;

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn order(call: &str) -> Order {
    Order {
        by: key(OPERATOR),
        call: call.to_owned(),
        detail: "{}".to_owned(),
    }
}

fn rules(joining: Joining, listed: &[u8]) -> UserRules {
    UserRules {
        listed: listed.iter().copied().map(key).collect(),
        joining,
        open_max: 2,
        quotas: Quotas::default(),
    }
}

/// A store, and the desk of the server that works on it.
struct Office {
    desk: Arc<UserDesk>,
    writer: Writer<Submission>,
    store: Store,
    registrar: Arc<Registrar>,
}

impl Office {
    fn open(folder: &TempDir, rules: UserRules) -> Self {
        let options = StoreOptions {
            free_space_floor_bytes: 0,
            users_max: rules.open_max as u64,
            ..StoreOptions::default()
        };
        let store = Store::open(&folder.path().join("store"), options).unwrap();
        let writer = Writer::spawn(store.clone(), Nothing).unwrap();
        let registry = Arc::new(UserRegistry::load(&store, rules).unwrap());
        let schedules = Arc::new(StoreSchedules::new(store.clone()));
        let directory = Arc::new(Directory::new(schedules));
        let rates = Arc::new(Rates::new(RateRules::default(), Instant::now()));
        let ledger = Ledger {
            writer: writer.clone(),
        };
        let registrar = Registrar::new(&registry, &directory, &writer, &rates);
        let desk = UserDesk::new(registry, store.clone(), ledger);
        Self {
            desk: Arc::new(desk),
            writer,
            store,
            registrar: Arc::new(registrar),
        }
    }

    /// Somebody says HELLO from that address.
    fn greet(&self, seed: u8, from: &str) {
        self.registrar.register(&key(seed), from.parse().unwrap());
    }

    fn serves(&self, seed: u8) -> bool {
        self.desk.registry.contains(&key(seed))
    }

    fn invite(&self, terms: InvitationTerms) -> MadeInvitation {
        self.desk
            .create_invitation(&order("invite.create"), terms)
            .unwrap()
    }

    fn redeem(&self, seed: u8, code: &InvitationCode) -> ResultCode {
        self.desk.redeem(key(seed), &code.to_string()).result
    }

    fn calls(&self) -> Vec<String> {
        let acts = self.store.acts(None, 100).unwrap();
        acts.into_iter().map(|act| act.call).collect()
    }
}

#[test]
fn each_mode_serves_whom_it_says_and_the_operators_word_goes_before_it() {
    let folder = TempDir::new().unwrap();
    let office = Office::open(&folder, rules(Joining::Open, &[1]));
    assert!(matches!(
        office.writer.register_user(key(2), 0),
        crate::store::Registration::Added
    ));
    office.desk.registry.registered(key(2));
    office
        .desk
        .add_user(&order("user.add"), key(3), QuotaChange::NONE, None)
        .unwrap();
    let check = |joining, expected: [bool; 4]| {
        office.desk.registry.write().rules.joining = joining;
        let served = [1, 2, 3, 4].map(|seed| office.serves(seed));
        assert_eq!(served, expected, "{joining:?}");
    };
    check(Joining::Open, [true, true, true, false]);
    check(Joining::Invite, [true, false, true, false]);
    check(Joining::Closed, [true, false, true, false]);
    office.desk.registry.write().rules.joining = Joining::Open;
    for seed in [1, 2, 3] {
        office
            .desk
            .remove_user(&order("user.remove"), key(seed))
            .unwrap();
    }
    for joining in [Joining::Open, Joining::Invite, Joining::Closed] {
        check(joining, [false; 4]);
    }
    check(Joining::Open, [false; 4]);
    assert!(
        !office.desk.registry.may_register(&key(2)),
        "nor comes back"
    );
    assert!(office.desk.registry.may_register(&key(4)));
    office
        .desk
        .add_user(&order("user.add"), key(2), QuotaChange::NONE, None)
        .unwrap();
    assert!(office.serves(2));
}

#[test]
fn registration_ends_at_its_bound_and_those_who_came_before_stay() {
    let folder = TempDir::new().unwrap();
    let office = Office::open(&folder, rules(Joining::Open, &[]));
    let registry = &office.desk.registry;
    registry.registered(key(1));
    assert!(registry.may_register(&key(2)));
    registry.registered(key(2));
    assert!(!registry.may_register(&key(3)));
    registry.write().rules.open_max = 1;
    assert!(office.serves(1) && office.serves(2));
}

#[test]
fn an_invitation_is_good_for_one_user_and_everything_outlasts_a_restart() {
    let folder = TempDir::new().unwrap();
    let quotas = Quotas {
        records: 7,
        ..Quotas::default()
    };
    let terms = InvitationTerms {
        note: "for Ann".to_owned(),
        quotas: Some(quotas),
        ..InvitationTerms::default()
    };
    let (first, second) = {
        let office = Office::open(&folder, rules(Joining::Invite, &[9]));
        let first = office.invite(terms.clone());
        let second = office.invite(terms);
        assert_eq!(office.redeem(1, &first.code), ResultCode::Success);
        assert_eq!(office.redeem(2, &first.code), ResultCode::NotFound);
        assert_eq!(
            office.redeem(1, &second.code),
            ResultCode::Duplicate,
            "kept for others"
        );
        office
            .desk
            .remove_user(&order("user.remove"), key(9))
            .unwrap();
        (first, second)
    };
    let office = Office::open(&folder, rules(Joining::Invite, &[9]));
    assert!(office.serves(1) && !office.serves(2) && !office.serves(9));
    assert_eq!(office.desk.registry.read().quotas(&key(1)), quotas);
    assert_eq!(office.redeem(2, &first.code), ResultCode::NotFound);
    let waiting = office.desk.invitations(None);
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].id, second.id);
    assert_eq!(waiting[0].note, "for Ann");
    assert_eq!(waiting[0].by, Some(key(OPERATOR)));
    assert_eq!(office.redeem(2, &second.code), ResultCode::Success);
    let expected = [
        "redeem",
        "user.remove",
        "redeem",
        "invite.create",
        "invite.create",
    ];
    assert_eq!(office.calls(), expected);
}

#[test]
fn the_code_of_an_invitation_is_nowhere_in_the_store() {
    let folder = TempDir::new().unwrap();
    let office = Office::open(&folder, rules(Joining::Invite, &[]));
    let made = office.invite(InvitationTerms::default());
    let rows = office
        .store
        .state(StateTable::Invitation, None, 10)
        .unwrap();
    let acts = office.store.acts(None, 10).unwrap();
    let text = format!("{rows:?} {acts:?} {made:?} {:?}", office.desk);
    assert!(!text.contains(&made.code.to_string()));
    let holds_code = |bytes: &[u8]| bytes.windows(16).any(|it| it == made.code.as_bytes());
    assert!(
        !rows
            .iter()
            .any(|(key, value)| holds_code(key) || holds_code(value))
    );
}

#[test]
fn an_invitation_that_expired_or_was_revoked_or_never_was_is_answered_alike() {
    let folder = TempDir::new().unwrap();
    let office = Office::open(&folder, rules(Joining::Invite, &[]));
    let expired = office.invite(InvitationTerms {
        expires: Some(Timestamp::now()),
        ..InvitationTerms::default()
    });
    let revoked = office.invite(InvitationTerms {
        expires: Some(Timestamp::now().saturating_add(Duration::from_secs(3_600))),
        ..InvitationTerms::default()
    });
    office
        .desk
        .revoke_invitation(&order("invite.revoke"), revoked.id)
        .unwrap();
    let never = InvitationCode::from_bytes([9; 16]);
    let used = office.invite(InvitationTerms::default());
    assert_eq!(office.redeem(1, &used.code), ResultCode::Success);
    let answers: Vec<_> = [&expired.code, &revoked.code, &never, &used.code]
        .map(|code| office.desk.redeem(key(2), &code.to_string()))
        .into();
    assert_eq!(answers[0].result, ResultCode::NotFound);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(office.desk.redeem(key(2), "not a code"), answers[0]);
    assert!(!office.serves(2));
    let again = office
        .desk
        .revoke_invitation(&order("invite.revoke"), revoked.id);
    assert!(matches!(again, Err(OrderError::NotFound(_))));
    // The expired one was forgotten when the next one was made.
    assert_eq!(
        office
            .store
            .state(StateTable::Invitation, None, 9)
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn an_invitation_does_not_bring_back_whom_the_operator_removed_nor_open_a_closed_server() {
    let folder = TempDir::new().unwrap();
    let office = Office::open(&folder, rules(Joining::Invite, &[1]));
    let made = office.invite(InvitationTerms::default());
    office
        .desk
        .remove_user(&order("user.remove"), key(1))
        .unwrap();
    assert_eq!(office.redeem(1, &made.code), ResultCode::Unauthorized);
    office.desk.registry.write().rules.joining = Joining::Closed;
    assert_eq!(office.redeem(2, &made.code), ResultCode::Unauthorized);
    office.desk.registry.write().rules.joining = Joining::Open;
    assert_eq!(office.redeem(2, &made.code), ResultCode::Success);
}

#[test]
fn bounds_of_one_user_stand_in_place_of_those_of_the_configuration_until_they_are_taken_back() {
    let folder = TempDir::new().unwrap();
    let mut rules = rules(Joining::Closed, &[1]);
    rules.quotas.records = 10;
    rules.quotas.bytes = 20;
    let office = Office::open(&folder, rules);
    let change = QuotaChange {
        bytes: Some(0),
        ..QuotaChange::default()
    };
    let set = office
        .desk
        .set_quotas(&order("user.quota"), key(1), change)
        .unwrap();
    assert_eq!((set.records, set.bytes), (10, 0));
    let entry = office.desk.user(&key(1)).unwrap();
    assert!(entry.has_own_quotas && entry.served);
    assert_eq!(entry.source, UserSource::Listed);
    let report = office.desk.report(&key(1)).unwrap();
    assert_eq!(
        (report.records_max, report.bytes_max),
        (Some(10), None),
        "0 is no bound"
    );
    let back = QuotaChange {
        to_default: true,
        ..QuotaChange::NONE
    };
    let back = office
        .desk
        .set_quotas(&order("user.quota"), key(1), back)
        .unwrap();
    assert_eq!((back.records, back.bytes), (10, 20));
    assert!(matches!(
        office.desk.user(&key(5)),
        Err(OrderError::NotFound(_))
    ));
}

#[test]
fn users_are_listed_once_each_in_the_order_of_their_keys_page_after_page() {
    let folder = TempDir::new().unwrap();
    let office = Office::open(&folder, rules(Joining::Open, &[1, 2, 3]));
    for seed in [4, 5] {
        office
            .desk
            .add_user(&order("user.add"), key(seed), QuotaChange::NONE, None)
            .unwrap();
    }
    office
        .desk
        .remove_user(&order("user.remove"), key(2))
        .unwrap();
    office.desk.registry.registered(key(6));
    let all: Vec<PublicKey> = office
        .desk
        .users(None)
        .unwrap()
        .iter()
        .map(|it| it.user)
        .collect();
    let expected: BTreeSet<PublicKey> = [1, 2, 3, 4, 5, 6].map(key).into();
    assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
    let behind = office.desk.users(Some(&all[2])).unwrap();
    assert_eq!(
        behind.iter().map(|it| it.user).collect::<Vec<_>>(),
        all[3..]
    );
    assert!(office.desk.users(all.last()).unwrap().is_empty());
}

/// For whom a record counts on a server of Alice and Bob.
fn charged(record: &Record, roles: &[Role], held: bool) -> Vec<(PublicKey, Account)> {
    let folder = TempDir::new().unwrap();
    let mut rules = rules(Joining::Closed, &[]);
    rules.listed = [Person::Alice, Person::Bob].map(Person::key).into();
    let office = Office::open(&folder, rules);
    let roles = roles.iter().copied().collect();
    let charges = office.desk.registry.charges(record.view(), roles, held);
    charges.iter().map(|it| (it.user, it.account)).collect()
}

#[test]
fn a_record_counts_for_whoever_has_it_from_this_server() {
    let (alice, bob) = (Person::Alice.key(), Person::Bob.key());
    let (everybody, tagged, alone) = (
        ReadAccess::Everybody,
        ReadAccess::AuthorAndTagged,
        ReadAccess::AuthorOnly,
    );
    for (author, access, to, roles, expected) in [
        (
            Person::Alice,
            everybody,
            &[][..],
            &[Role::Outbox][..],
            vec![(alice, Account::Own)],
        ),
        (
            Person::Alice,
            everybody,
            &[Person::Bob],
            &[Role::Outbox, Role::Inbox],
            vec![(alice, Account::Own)],
        ),
        (
            Person::Stranger,
            everybody,
            &[Person::Friend, Person::Bob, Person::Bob, Person::Alice],
            &[Role::Inbox],
            vec![(bob, Account::Delivered), (alice, Account::Delivered)],
        ),
        (
            Person::Alice,
            tagged,
            &[Person::Bob],
            &[Role::Encryption],
            vec![(bob, Account::Delivered)],
        ),
        (
            Person::Bob,
            alone,
            &[],
            &[Role::Encryption],
            vec![(bob, Account::Own)],
        ),
        (
            Person::Bob,
            everybody,
            &[],
            &[Role::Application],
            vec![(bob, Account::Own)],
        ),
        (
            Person::Stranger,
            everybody,
            &[],
            &[Role::Application],
            vec![],
        ),
    ] {
        let record = Draft::by(author, access).of_app(APP).to(to).record();
        assert_eq!(
            charged(&record, roles, false),
            expected,
            "{author:?} {access:?} {roles:?}"
        );
    }
}

#[test]
fn what_is_held_counts_apart_from_what_was_delivered() {
    let record = Draft::by(Person::Stranger, ReadAccess::Everybody).to(&[Person::Bob]);
    let charged = charged(&record.record(), &[Role::Inbox], true);
    assert_eq!(charged, [(Person::Bob.key(), Account::Held)]);
}

#[test]
fn one_household_does_not_fill_an_open_registration() {
    let folder = TempDir::new().unwrap();
    let mut rules = rules(Joining::Open, &[]);
    rules.open_max = 1_000;
    let office = Office::open(&folder, rules);
    (0..100).for_each(|seed| office.greet(seed, "203.0.113.7"));
    let registered = |seeds: std::ops::Range<u8>| seeds.filter(|seed| office.serves(*seed)).count();
    assert_eq!(registered(0..100), 20);
    // Who is served already, or is from elsewhere, has nothing to do with that.
    office.greet(0, "203.0.113.7");
    office.greet(100, "203.0.113.8");
    assert_eq!(registered(100..101), 1);
    assert_eq!(office.store.users().unwrap().len(), 21);
}

#[test]
fn whom_the_operator_removed_leaves_a_place_to_others_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let from = "203.0.113.7";
    {
        let office = Office::open(&folder, rules(Joining::Open, &[]));
        (1..=3).for_each(|seed| office.greet(seed, from));
        assert!(office.serves(1) && office.serves(2) && !office.serves(3));
        let order = order("user.remove");
        office.desk.remove_user(&order, key(1)).unwrap();
        office.greet(3, from);
        office.greet(4, from);
        assert!(office.serves(3) && !office.serves(4));
        office.desk.remove_user(&order, key(2)).unwrap();
    }
    let office = Office::open(&folder, rules(Joining::Open, &[]));
    (1..=5).for_each(|seed| office.greet(seed, from));
    let served = [1, 2, 3, 4, 5].map(|seed| office.serves(seed));
    assert_eq!(served, [false, false, true, true, false]);
    // Whom the operator takes back has a place again.
    let order = order("user.add");
    office
        .desk
        .add_user(&order, key(1), QuotaChange::NONE, None)
        .unwrap();
    office.desk.remove_user(&order, key(3)).unwrap();
    office.greet(5, from);
    assert!(!office.serves(5));
}

#[test]
fn those_who_wait_when_the_server_stops_are_not_registered_one_by_one() {
    let folder = TempDir::new().unwrap();
    let mut rules = rules(Joining::Open, &[]);
    rules.open_max = 1_000;
    let office = Office::open(&folder, rules);
    let newcomers = Newcomers::spawn(Arc::clone(&office.registrar), Arc::clone(&office.desk));
    let newcomers = newcomers.unwrap();
    let peer = |seed| PeerKey::for_tests(key(seed));
    let from = std::net::IpAddr::from([203, 0, 113, 7]);
    let redeem = |seed| {
        let (answers, redeemed) = Answers::for_tests();
        let code = "none".to_owned();
        newcomers.redeem(peer(seed), Redeem { code }, answers);
        redeemed
    };
    // The first one waits for the desk, and the others for the first.
    let turn = office.desk.turn();
    let _first = redeem(1);
    newcomers.greeted(peer(2), from);
    let mut second = redeem(3);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| newcomers.shutdown());
        let is_closed = || {
            let mut late = redeem(4);
            late().is_some()
        };
        while !is_closed() {
            std::thread::yield_now();
        }
        drop(turn);
        assert!(stopping.join().unwrap());
    });
    assert_eq!(second().unwrap().result, ResultCode::TemporaryError);
    assert!(office.store.users().unwrap().is_empty());
}
