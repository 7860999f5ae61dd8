//! Acts: held records, their release and rejection, deletion, state, and the audit trail.

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use super::support::{
    Decision, REPLACEABLE, Scene, UNIQUE, build, key, kind, name_of, record, settings,
};
use crate::{
    base::{Role, RoleSet, Seq, limits},
    store::{
        Act, Acted, Expect, FreeSpace, Outcome, PageBudget, RecordChange, Removal, StateChange,
        StateTable, StoreOptions,
    },
    wire::{FilterBuilder, Kind, Record, RecordId, Reference, TagsBuilder},
};

fn remove(id: RecordId, why: Removal) -> RecordChange {
    RecordChange::Remove { id, why }
}

fn set(table: StateTable, key: &[u8], value: Option<&[u8]>, expect: Expect) -> StateChange {
    StateChange {
        table,
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
        expect,
    }
}

fn act(call: &str, state: Vec<StateChange>) -> Act {
    Act {
        by: Some(key(9).public()),
        is_order: false,
        call: call.to_owned(),
        detail: "because".to_owned(),
        state,
        records: Vec::new(),
    }
}

fn stored(scene: &Scene, record: &Record) -> Option<(Seq, bool)> {
    let found = scene.store.get(&Reference::Id(record.id()), 9).unwrap();
    assert!(found.len() <= 1);
    found.first().map(|entry| (entry.seq, entry.held))
}

fn published(scene: &Scene) -> Vec<u64> {
    let seen = scene.seen.lock().unwrap();
    seen.log.iter().map(|entry| entry.seq.get()).collect()
}

#[test]
fn a_held_record_is_published_and_counted_when_it_is_released_and_not_before() {
    let scene = Scene::new();
    let held = record(1, kind(1, UNIQUE), 5);
    assert_eq!(scene.keep_held(&held), Seq::new(1));
    assert!(published(&scene).is_empty());
    assert!(scene.seen.lock().unwrap().counted.is_empty());
    let before = scene.store.held(None, 9).unwrap();
    assert_eq!((before.len(), before[0].held), (1, true));
    scene.keep(&record(1, kind(1, UNIQUE), 6));
    let (seq, missing) = scene.change(vec![RecordChange::Release(held.id())]);
    assert_eq!((seq, missing), (Seq::new(3), vec![]));
    assert_eq!(published(&scene), [2, 4]);
    assert_eq!(scene.seen.lock().unwrap().counted[1], held.id());
    assert_eq!(stored(&scene, &held), Some((Seq::new(4), false)));
    assert!(scene.store.held(None, 9).unwrap().is_empty());
    // A client that goes on from the time it last heard of something finds it.
    let since = scene.seen.lock().unwrap().log[0].received;
    let filter = FilterBuilder::new().received_since(since).build().unwrap();
    let found = scene.query(&filter, Seq::MAX, 9);
    assert!(found.iter().any(|entry| entry.record == held));
    let page = scene
        .store
        .read_log(Seq::new(2), PageBudget::default())
        .unwrap();
    assert_eq!(page.entries.len(), 1);
    let (_, missing) = scene.change(vec![RecordChange::Release(held.id())]);
    assert_eq!(missing, [held.id()], "it is held no longer");
    let scene = scene.reopen();
    assert_eq!(stored(&scene, &held), Some((Seq::new(4), false)));
    scene.assert_sound();
}

#[test]
fn a_held_record_comes_again_as_a_duplicate_and_without_moderation_is_let_in() {
    let scene = Scene::new();
    let held = record(1, kind(1, UNIQUE), 5);
    let again = |held| {
        scene.decide_all(Decision {
            held,
            ..Decision::default()
        });
    };
    scene.keep_held(&held);
    again(true);
    let outcome = scene.put(&held);
    assert!(matches!(outcome, Outcome::Duplicate(kept) if kept.entry.held));
    again(false);
    assert_eq!(scene.keep(&held), Seq::new(2));
    assert_eq!(stored(&scene, &held), Some((Seq::new(2), false)));
    again(true);
    let outcome = scene.put(&held);
    assert!(matches!(outcome, Outcome::Duplicate(kept) if !kept.entry.held));
    // What would be held adds nothing to what is not, not even a role.
    scene.decide_all(Decision {
        roles: Some(RoleSet::of(Role::Inbox)),
        held: true,
        ..Decision::default()
    });
    assert_eq!(name_of(&scene.put(&held)), "duplicate");
    let counts = scene.store.stats().unwrap().counts;
    assert_eq!((counts.records, counts.held, counts.gone), (1, 0, 1));
    scene.assert_sound();
}

#[test]
fn a_held_record_is_let_in_by_a_submission_under_all_its_roles_alone() {
    let scene = Scene::new();
    let record = record(1, kind(1, UNIQUE), 5);
    let offer = |roles: &[Role], held| {
        scene.decide_all(Decision {
            roles: Some(roles.iter().copied().collect()),
            held,
            ..Decision::default()
        });
        name_of(&scene.put(&record))
    };
    let (inbox, application, outbox) = (Role::Inbox, Role::Application, Role::Outbox);
    let is_held = || stored(&scene, &record).unwrap().1;
    assert_eq!(offer(&[inbox], true), "stored");
    for roles in [&[application][..], &[outbox, application]] {
        assert_eq!(offer(roles, false), "duplicate", "{roles:?}");
        assert!(is_held() && published(&scene).is_empty());
    }
    assert_eq!(offer(&[inbox, application], true), "stored", "a role more");
    assert_eq!(offer(&[inbox], false), "duplicate", "it lacks one now");
    assert!(is_held() && published(&scene).is_empty());
    assert_eq!(offer(&[inbox, application, outbox], false), "stored");
    assert!(!is_held());
    scene.assert_sound();
}

#[test]
fn a_held_record_neither_replaces_nor_is_replaced_until_it_is_released() {
    for together in [false, true] {
        let scene = Scene::new();
        let of = |nanos| record(1, kind(1, REPLACEABLE), nanos);
        let (old, held, late) = (of(1), of(5), of(9));
        let address = Reference::Address(old.view().address());
        let visible = || -> Vec<Record> {
            let found = scene.store.get(&address, 9).unwrap();
            let open = found.iter().filter(|entry| !entry.held);
            open.map(|entry| entry.record.clone()).collect()
        };
        scene.decide_all(Decision::default());
        scene.decide_all(Decision {
            held: true,
            ..Decision::default()
        });
        let batch = [old.clone(), held.clone()];
        if together {
            scene.put_together(&batch);
        } else {
            batch.iter().for_each(|record| drop(scene.put(record)));
        }
        assert_eq!(visible(), [old]);
        let outcome = scene.put(&of(0));
        assert_eq!(name_of(&outcome), "older");
        let (_, missing) = scene.change(vec![RecordChange::Release(held.id())]);
        assert!(missing.is_empty());
        assert_eq!(visible(), std::slice::from_ref(&held));
        // One that was overtaken while it was held is dropped at its release.
        let overtaken = of(8);
        scene.keep_held(&overtaken);
        scene.keep(&late);
        let (_, missing) = scene.change(vec![RecordChange::Release(overtaken.id())]);
        assert_eq!(missing, [overtaken.id()]);
        assert_eq!(stored(&scene, &overtaken), None);
        assert_eq!(visible(), [late]);
        assert_eq!(name_of(&scene.put(&overtaken)), "older");
        scene.reopen().assert_sound();
    }
}

#[test]
fn two_held_records_of_one_address_released_by_one_act_leave_the_newer() {
    for order in [[0, 1], [1, 0]] {
        let scene = Scene::new();
        let held = [1, 2].map(|nanos| record(1, kind(1, REPLACEABLE), nanos));
        for record in &held {
            scene.keep_held(record);
        }
        let changes = order.map(|which: usize| RecordChange::Release(held[which].id()));
        let (_, missing) = scene.change(changes.to_vec());
        let dropped = if order == [0, 1] {
            vec![]
        } else {
            vec![held[0].id()]
        };
        assert_eq!(missing, dropped);
        assert_eq!(stored(&scene, &held[0]), None);
        assert!(stored(&scene, &held[1]).is_some_and(|(_, held)| !held));
        scene.reopen().assert_sound();
    }
}

#[test]
fn a_removed_id_never_comes_back_and_nothing_else_is_touched() {
    let mut scene = Scene::new();
    let (rejected, deleted, other) = (
        record(1, kind(1, UNIQUE), 1),
        record(1, kind(1, REPLACEABLE), 2),
        record(1, kind(1, UNIQUE), 3),
    );
    scene.keep_held(&rejected);
    scene.keep(&deleted);
    scene.keep(&other);
    let (_, missing) = scene.change(vec![remove(other.id(), Removal::Rejected)]);
    assert_eq!(missing, [other.id()], "only what is held can be rejected");
    let unknown = record(7, kind(1, UNIQUE), 7);
    let (_, missing) = scene.change(vec![
        remove(rejected.id(), Removal::Rejected),
        remove(unknown.id(), Removal::Deleted),
        remove(deleted.id(), Removal::Deleted),
        remove(deleted.id(), Removal::Deleted),
    ]);
    assert_eq!(missing, [unknown.id(), deleted.id()]);
    for reopened in [false, true] {
        if reopened {
            scene = scene.reopen();
        }
        for gone in [&rejected, &deleted] {
            assert_eq!(stored(&scene, gone), None);
            assert_eq!(name_of(&scene.put(gone)), "removed");
        }
        assert!(stored(&scene, &other).is_some());
        let counts = scene.store.stats().unwrap().counts;
        assert_eq!((counts.removed, counts.acts, counts.held), (2, 2, 0));
        scene.assert_sound();
    }
    // The address of what was deleted is free, for older ones too.
    scene.keep(&record(1, kind(1, REPLACEABLE), 1));
    scene.keep(&unknown);
    scene.assert_sound();
}

#[test]
fn acts_and_records_of_one_batch_see_each_other() {
    let scene = Scene::new();
    let of = |nanos| record(1, kind(1, REPLACEABLE), nanos);
    let (first, second) = (of(5), of(6));
    scene.keep(&first);
    scene.hold();
    let writer = scene.writer.clone();
    let send = |record: &Record| scene.send(record);
    let outcomes = [send(&second)];
    let acting = std::thread::spawn({
        let id = second.id();
        move || {
            let act = Act {
                records: vec![RecordChange::Remove {
                    id,
                    why: Removal::Deleted,
                }],
                ..Act::default()
            };
            writer.act(act)
        }
    });
    while scene.writer.queued() < 2 {
        std::thread::yield_now();
    }
    let later = [send(&second), send(&of(4)), send(&first)];
    scene.release();
    let names: Vec<_> = outcomes
        .iter()
        .chain(&later)
        .map(|outcome| name_of(&outcome.recv().unwrap()))
        .collect();
    assert_eq!(names, ["stored", "removed", "stored", "stored"]);
    assert!(matches!(acting.join().unwrap(), Acted::Done { missing, .. } if missing.is_empty()));
    assert!(stored(&scene, &first).is_some());
    assert_eq!(stored(&scene, &of(4)), None);
    scene.reopen().assert_sound();
}

#[test]
fn state_is_set_whole_or_not_at_all_and_survives() {
    let scene = Scene::new();
    let ban = StateTable::Ban;
    let done = |acted| matches!(acted, Acted::Done { .. });
    let change = |changes| scene.writer.act(act("ban", changes));
    assert!(done(change(vec![
        set(ban, b"a", Some(b"1"), Expect::Absent),
        set(ban, b"b", Some(b"2"), Expect::Any),
        set(ban, b"a", Some(b"3"), Expect::Is(b"1".to_vec())),
    ])));
    for refused in [
        set(ban, b"a", None, Expect::Absent),
        set(ban, b"c", None, Expect::Present),
        set(ban, b"a", None, Expect::Is(b"1".to_vec())),
        set(StateTable::User, b"a", None, Expect::Present),
    ] {
        let both = vec![set(ban, b"b", Some(b"9"), Expect::Any), refused];
        assert_eq!(change(both), Acted::Conflict);
    }
    assert!(done(change(vec![set(ban, b"", Some(b"4"), Expect::Any)])));
    assert!(done(change(vec![set(
        StateTable::Setting,
        b"a",
        Some(b"5"),
        Expect::Any
    )])));
    assert!(done(change(vec![set(ban, b"b", None, Expect::Present)])));
    let scene = scene.reopen();
    let item = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    let all = scene.store.state(ban, None, 9).unwrap();
    assert_eq!(all, [item(b"", b"4"), item(b"a", b"3")]);
    let first = scene.store.state(ban, None, 1).unwrap();
    let rest = scene.store.state(ban, Some(&first[0].0), 9).unwrap();
    assert_eq!(rest, [item(b"a", b"3")]);
    assert!(scene.store.state(ban, Some(b"a"), 9).unwrap().is_empty());
    assert!(
        scene
            .store
            .state(StateTable::User, None, 9)
            .unwrap()
            .is_empty()
    );
    let value = scene.store.state_value(StateTable::Setting, b"a").unwrap();
    assert_eq!(value, Some(b"5".to_vec()));
    scene.assert_sound();
}

#[test]
fn the_trail_tells_of_every_act_that_was_done_newest_first() {
    let scene = Scene::new();
    for (n, call) in ["one", "two", "three"].iter().enumerate() {
        scene.keep(&record(1, kind(1, UNIQUE), n as u64));
        drop(scene.writer.act(act(call, vec![])));
    }
    let refused = set(StateTable::Ban, b"a", None, Expect::Present);
    assert_eq!(scene.writer.act(act("not", vec![refused])), Acted::Conflict);
    let scene = scene.reopen();
    let calls = |before, max| -> Vec<(u64, String)> {
        let acts = scene.store.acts(before, max).unwrap();
        assert!(acts.iter().all(|act| act.by == Some(key(9).public())));
        assert!(acts.iter().all(|act| act.detail == "because"));
        acts.into_iter()
            .map(|act| (act.seq.get(), act.call))
            .collect()
    };
    let all = [
        (6, "three".to_owned()),
        (4, "two".to_owned()),
        (2, "one".to_owned()),
    ];
    assert_eq!(calls(None, 9), all);
    assert_eq!(calls(None, 2), all[..2]);
    assert_eq!(calls(Some(Seq::new(6)), 9), all[1..]);
    assert!(calls(Some(Seq::new(2)), 9).is_empty());
}

#[test]
fn held_records_are_listed_newest_place_first_and_from_any_place_on() {
    let scene = Scene::new();
    for n in 0..5 {
        scene.keep_held(&record(1, kind(1, UNIQUE), 100 - n));
        scene.keep(&record(1, kind(2, UNIQUE), n));
    }
    let places = |before, max| -> Vec<u64> {
        let held = scene.store.held(before, max).unwrap();
        held.iter().map(|entry| entry.seq.get()).collect()
    };
    assert_eq!(places(None, 9), [9, 7, 5, 3, 1]);
    assert_eq!(places(Some(Seq::new(7)), 2), [5, 3]);
    assert!(places(Some(Seq::new(1)), 9).is_empty());
    let large = vec![7; limits::PAGE_MAX_BYTES];
    for n in 0..2 {
        let tags = TagsBuilder::new();
        scene.keep_held(&build(1, 1, kind(3, UNIQUE), n, 1, tags, &large));
    }
    assert_eq!(places(None, 9), [12], "a page has bytes, too");
    assert_eq!(places(Some(Seq::new(12)), 9), [11]);
}

#[test]
fn an_act_that_is_too_large_changes_nothing() {
    let scene = Scene::new();
    let value = vec![0; limits::STATE_VALUE_MAX_BYTES];
    let sets = |count: usize, key_bytes: usize, value: &[u8]| {
        let key = vec![1; key_bytes];
        vec![set(StateTable::Ban, &key, Some(value), Expect::Any); count]
    };
    let too_large = [
        act(&"x".repeat(limits::ACT_CALL_MAX_BYTES + 1), vec![]),
        Act {
            detail: "x".repeat(limits::ACT_DETAIL_MAX_BYTES + 1),
            ..Act::default()
        },
        act("x", sets(limits::ACT_CHANGES_MAX + 1, 1, b"")),
        act("x", sets(1, limits::STATE_KEY_MAX_BYTES + 1, b"")),
        act("x", sets(1, 1, &[&value[..], b"x"].concat())),
        act("x", sets(limits::ACT_MAX_BYTES / value.len(), 1, &value)),
    ];
    for act in too_large {
        assert_eq!(scene.writer.act(act), Acted::TooLarge);
    }
    let largest = vec![7; 1_000_000];
    let count = 2 + limits::ACT_RECORDS_MAX_BYTES / largest.len();
    let records: Vec<_> = (0..count as u64)
        .map(|n| build(1, 1, kind(1, UNIQUE), n, 1, TagsBuilder::new(), &largest))
        .collect();
    for record in &records {
        scene.keep_held(record);
    }
    let changes = |records: &[Record]| Act {
        records: records
            .iter()
            .map(|record| RecordChange::Release(record.id()))
            .collect(),
        ..Act::default()
    };
    let tail = scene.store.tail();
    assert_eq!(scene.writer.act(changes(&records)), Acted::TooLarge);
    assert_eq!(scene.store.tail(), tail);
    let (some, rest) = records.split_at(count - 3);
    for part in [some, rest] {
        assert!(matches!(
            scene.writer.act(changes(part)),
            Acted::Done { .. }
        ));
    }
    assert!(scene.store.held(None, 9).unwrap().is_empty());
}

/// A disk with that much space.
struct Disk(AtomicU64);

impl FreeSpace for Disk {
    fn available_bytes(&self, _: &std::path::Path) -> std::io::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn without_space_only_acts_that_take_away_are_done() {
    let disk = Arc::new(Disk(AtomicU64::new(10)));
    let scene = Scene::with(StoreOptions {
        free_space_floor_bytes: 10,
        free_space: Arc::clone(&disk) as Arc<dyn FreeSpace>,
        ..settings()
    });
    let (held, other) = (record(1, kind(1, UNIQUE), 1), record(1, kind(1, UNIQUE), 2));
    scene.keep_held(&held);
    scene.keep(&other);
    let ban = |value, expect| act("ban", vec![set(StateTable::Ban, b"a", value, expect)]);
    drop(scene.writer.act(ban(Some(b"1"), Expect::Any)));
    disk.0.store(9, Ordering::Relaxed);
    let release = Act {
        records: vec![RecordChange::Release(held.id())],
        ..Act::default()
    };
    assert_eq!(scene.writer.act(release), Acted::NoSpace);
    let acted = scene.writer.act(ban(Some(b"2"), Expect::Any));
    assert_eq!(acted, Acted::NoSpace);
    let acted = scene.writer.act(ban(None, Expect::Present));
    assert!(matches!(acted, Acted::Done { .. }));
    scene.change(vec![remove(other.id(), Removal::Deleted)]);
    assert_eq!(name_of(&scene.put(&other)), "no space");
    disk.0.store(10, Ordering::Relaxed);
    assert_eq!(name_of(&scene.put(&other)), "removed");
    scene.assert_sound();
}

#[test]
fn an_operators_orders_are_done_while_half_of_the_floor_is_free() {
    let disk = Arc::new(Disk(AtomicU64::new(100)));
    let scene = Scene::with(StoreOptions {
        free_space_floor_bytes: 11,
        free_space: Arc::clone(&disk) as Arc<dyn FreeSpace>,
        ..settings()
    });
    let held = record(1, kind(1, UNIQUE), 1);
    scene.keep_held(&held);
    let ban = |is_order| Act {
        is_order,
        ..act(
            "ban",
            vec![set(StateTable::Ban, b"a", Some(b"1"), Expect::Any)],
        )
    };
    let is_done = |act| match scene.writer.act(act) {
        Acted::Done { .. } => true,
        Acted::NoSpace => false,
        other => panic!("{other:?}"),
    };
    for (available_bytes, anybodys, orders) in
        [(11, true, true), (6, false, true), (5, false, false)]
    {
        disk.0.store(available_bytes, Ordering::Relaxed);
        let done = [ban(false), ban(true)].map(is_done);
        assert_eq!(done, [anybodys, orders], "{available_bytes} bytes");
    }
    disk.0.store(6, Ordering::Relaxed);
    let release = Act {
        records: vec![RecordChange::Release(held.id())],
        ..ban(true)
    };
    assert!(!is_done(release), "what is let in has to be kept");
    assert_eq!(
        name_of(&scene.put(&record(1, kind(1, UNIQUE), 2))),
        "no space"
    );
    scene.assert_sound();
}

#[test]
fn a_writer_that_was_shut_down_does_no_act() {
    let scene = Scene::new();
    scene.writer.shutdown().unwrap();
    assert_eq!(scene.writer.act(Act::default()), Acted::Halted);
}

#[test]
fn a_held_key_schedule_is_not_found_as_anything_else_before_its_release() {
    let scene = Scene::new();
    let schedule = build(1, 1, Kind::KEY_SCHEDULE, 1, 1, TagsBuilder::new(), b"");
    scene.keep_held(&schedule);
    assert!(scene.seen.lock().unwrap().counted.is_empty());
    scene.change(vec![RecordChange::Release(schedule.id())]);
    assert_eq!(scene.seen.lock().unwrap().counted, [schedule.id()]);
}
