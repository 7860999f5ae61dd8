//! What is stored on behalf of users, and their quotas.

use super::support::{Decision, REPLACEABLE, Scene, UNIQUE, build, key, kind, name_of, record};
use crate::{
    base::{Role, RoleSet, limits},
    store::{Account, Amount, Charge, Outcome, Quota, RecordChange, Removal, Usage},
    wire::{PublicKey, Record, TagsBuilder},
};

const fn quota(records_max: u64, bytes_max: u64) -> Quota {
    Quota {
        records_max,
        bytes_max,
    }
}

fn charge(user: u8, account: Account, quota: Quota) -> Charge {
    Charge {
        user: key(user).public(),
        account,
        quota,
    }
}

fn put(scene: &Scene, record: &Record, charges: Vec<Charge>) -> &'static str {
    scene.decide_all(Decision {
        charges,
        ..Decision::default()
    });
    name_of(&scene.put(record))
}

fn usage(scene: &Scene, user: u8) -> Usage {
    scene.store.usage(&key(user).public()).unwrap()
}

fn amount(records: &[&Record]) -> Amount {
    Amount {
        records: records.len() as u64,
        bytes: records.iter().map(|it| it.bytes().len() as u64).sum(),
    }
}

fn sized(n: u64, duplicates: u64, bytes: usize) -> Record {
    build(
        1,
        1,
        kind(1, duplicates),
        n,
        1,
        TagsBuilder::new(),
        &vec![7; bytes],
    )
}

const FREE: Quota = Quota::UNBOUNDED;

#[test]
fn a_record_counts_once_for_each_account_until_it_is_gone() {
    let scene = Scene::new();
    let (first, second) = (sized(1, REPLACEABLE, 100), sized(2, REPLACEABLE, 300));
    let charges = || {
        vec![
            charge(1, Account::Own, FREE),
            charge(2, Account::Delivered, FREE),
            charge(1, Account::Own, FREE),
            charge(1, Account::Delivered, FREE),
        ]
    };
    assert_eq!(put(&scene, &first, charges()), "stored");
    let expected = Usage {
        own: amount(&[&first]),
        delivered: amount(&[&first]),
        held: Amount::default(),
    };
    assert_eq!(usage(&scene, 1), expected);
    assert_eq!(usage(&scene, 2).own, Amount::default());
    let scene = scene.reopen();
    let own = vec![charge(1, Account::Own, FREE)];
    assert_eq!(put(&scene, &second, own), "stored");
    assert_eq!(usage(&scene, 2), Usage::default());
    assert_eq!(usage(&scene, 1).of(Account::Own), amount(&[&second]));
    assert_eq!(usage(&scene, 1).delivered, Amount::default());
    scene.assert_sound();
    scene.change(vec![RecordChange::Remove {
        id: second.id(),
        why: Removal::Deleted,
    }]);
    assert_eq!(usage(&scene, 1), Usage::default());
    scene.reopen().assert_sound();
}

#[test]
fn what_would_pass_a_bound_is_turned_away_and_counts_for_nobody() {
    for together in [false, true] {
        let scene = Scene::new();
        let records: Vec<_> = (0..4).map(|n| sized(n, UNIQUE, 100)).collect();
        let bytes = records[0].bytes().len() as u64;
        for quota in [quota(2, u64::MAX), quota(u64::MAX, 2 * bytes)] {
            let user = if quota.records_max == 2 { 1 } else { 2 };
            for _ in &records {
                scene.decide_all(Decision {
                    charges: vec![
                        charge(3, Account::Delivered, FREE),
                        charge(user, Account::Own, quota),
                    ],
                    ..Decision::default()
                });
            }
            let make = |record: &Record| {
                let n = record.view().timestamp().nanos() + 100 * u64::from(user);
                sized(n, UNIQUE, 100)
            };
            let batch: Vec<_> = records.iter().map(make).collect();
            let outcomes = if together {
                scene.put_together(&batch)
            } else {
                batch.iter().map(|record| scene.put(record)).collect()
            };
            let names: Vec<_> = outcomes.iter().map(name_of).collect();
            assert_eq!(names, ["stored", "stored", "over quota", "over quota"]);
            assert_eq!(usage(&scene, user).own.records, 2);
        }
        assert_eq!(usage(&scene, 3).delivered.records, 4);
        scene.assert_sound();
    }
}

#[test]
fn a_replacement_counts_for_what_it_adds() {
    let scene = Scene::new();
    let full = |bytes: usize| {
        let bytes_max = sized(0, REPLACEABLE, bytes).bytes().len() as u64;
        vec![charge(1, Account::Own, quota(1, bytes_max))]
    };
    let sizes = [
        (100, "stored"),
        (200, "stored"),
        (300, "over quota"),
        (200, "stored"),
    ];
    for (n, (bytes, expected)) in sizes.into_iter().enumerate() {
        let record = sized(n as u64, REPLACEABLE, bytes);
        assert_eq!(put(&scene, &record, full(200)), expected, "{n}");
    }
    // A bound that was lowered hinders nobody from getting smaller.
    assert_eq!(put(&scene, &sized(9, REPLACEABLE, 150), full(10)), "stored");
    let lowered = vec![charge(1, Account::Own, quota(0, 0))];
    assert_eq!(put(&scene, &sized(10, REPLACEABLE, 150), lowered), "stored");
    let other = vec![charge(1, Account::Own, quota(1, u64::MAX))];
    assert_eq!(put(&scene, &sized(1, UNIQUE, 1), other), "over quota");
    scene.assert_sound();
}

#[test]
fn held_records_count_and_their_release_changes_nothing() {
    let scene = Scene::new();
    let held = [1, 2].map(|n| sized(n, UNIQUE, 50));
    for record in &held {
        scene.decide_all(Decision {
            held: true,
            charges: vec![charge(1, Account::Delivered, quota(2, u64::MAX))],
            ..Decision::default()
        });
        scene.keep(record);
    }
    let both = amount(&[&held[0], &held[1]]);
    assert_eq!(usage(&scene, 1).delivered, both);
    scene.change(vec![RecordChange::Release(held[0].id())]);
    assert_eq!(usage(&scene, 1).delivered, both);
    let more = vec![charge(1, Account::Delivered, quota(2, u64::MAX))];
    assert_eq!(put(&scene, &sized(3, UNIQUE, 50), more), "over quota");
    scene.change(vec![RecordChange::Remove {
        id: held[1].id(),
        why: Removal::Rejected,
    }]);
    assert_eq!(usage(&scene, 1).delivered, amount(&[&held[0]]));
    scene.reopen().assert_sound();
}

#[test]
fn a_record_that_gains_a_role_counts_for_more_and_never_for_too_many() {
    let scene = Scene::new();
    let known = record(1, kind(1, UNIQUE), 1);
    let offer = |role: Role, users: std::ops::Range<u8>, quota: Quota| {
        scene.decide_all(Decision {
            roles: Some(RoleSet::of(role)),
            charges: users
                .map(|user| charge(user, Account::Delivered, quota))
                .collect(),
            ..Decision::default()
        });
        name_of(&scene.put(&known))
    };
    assert_eq!(offer(Role::Inbox, 0..3, quota(1, u64::MAX)), "stored");
    assert_eq!(offer(Role::Outbox, 2..4, quota(0, 0)), "over quota");
    assert_eq!(
        offer(Role::Outbox, 2..3, quota(1, 0)),
        "over quota",
        "as if it were new"
    );
    assert_eq!(offer(Role::Outbox, 2..3, quota(2, u64::MAX)), "stored");
    let max = u8::try_from(limits::CHARGED_MAX).unwrap();
    assert_eq!(offer(Role::Application, 2..30, FREE), "stored");
    let charged: Vec<PublicKey> = (0..30)
        .map(|n| key(n).public())
        .filter(|user| scene.store.usage(user).unwrap() != Usage::default())
        .collect();
    let first: Vec<_> = (0..max).map(|n| key(n).public()).collect();
    assert_eq!(charged, first);
    assert_eq!(usage(&scene, 0).delivered, amount(&[&known]));
    scene.reopen().assert_sound();
}

#[test]
fn of_what_is_kept_out_it_is_told_whether_it_would_have_room_were_it_new() {
    for (records_max, expected) in [(9, true), (1, false), (u64::MAX, true)] {
        let offer = |scene: &Scene, record: &Record| {
            scene.decide_all(Decision {
                charges: vec![charge(1, Account::Delivered, quota(records_max, u64::MAX))],
                ..Decision::default()
            });
            scene.put(record)
        };
        let scene = Scene::new();
        let removed = sized(1, UNIQUE, 9);
        assert_eq!(name_of(&offer(&scene, &removed)), "stored");
        scene.change(vec![RecordChange::Remove {
            id: removed.id(),
            why: Removal::Deleted,
        }]);
        let current = sized(5, REPLACEABLE, 9);
        assert_eq!(name_of(&offer(&scene, &current)), "stored");
        let again = offer(&scene, &removed);
        assert!(matches!(again, Outcome::Removed { fits } if fits == expected));
        let newer = build(
            1,
            50,
            kind(1, REPLACEABLE),
            6,
            1,
            TagsBuilder::new(),
            b"of another key",
        );
        for (record, name) in [
            (&current, "duplicate"),
            (&sized(4, REPLACEABLE, 9), "older"),
            (&newer, "stays"),
        ] {
            let outcome = offer(&scene, record);
            assert_eq!(name_of(&outcome), name);
            let (Outcome::Duplicate(kept) | Outcome::Older(kept) | Outcome::Stays(kept)) = outcome
            else {
                panic!("{outcome:?}");
            };
            assert_eq!(kept.fits, expected, "{name} of at most {records_max}");
            assert_eq!(kept.entry.record, current);
        }
        assert_eq!(usage(&scene, 1).delivered, amount(&[&current]));
    }
}
