//! What the writer does with submissions.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use super::support::{
    Dice, EPHEMERAL, REPLACEABLE, SUBKEYS_FROM, Scene, Told, UNIQUE, VERSIONED, build, inspect,
    key, kind, name_of, record, settings,
};
use crate::{
    base::Seq,
    store::{
        Cursor, Outcome, PageBudget, Registration, Store, StoreError, StoreOptions, SubmitError,
        Vouched, Writer,
    },
    wire::{FilterBuilder, Kind, Record, Reference, ResultCode, TagsBuilder},
};

pub(super) fn names(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(name_of).collect()
}

fn versions(count: u64) -> Vec<Record> {
    (0..count)
        .map(|n| record(1, kind(1, REPLACEABLE), n))
        .collect()
}

#[test]
fn a_batch_is_published_once_before_any_of_its_replies() {
    let scene = Scene::new();
    let outcomes = scene.put_together(&[
        record(1, kind(1, UNIQUE), 1),
        record(1, kind(1, UNIQUE), 2),
        record(1, kind(1, UNIQUE), 1),
    ]);
    assert_eq!(names(&outcomes), ["stored", "stored", "duplicate"]);
    let told = scene.told();
    let expected = [
        Told::Replied("announced"),
        Told::Published(vec![1, 2]),
        Told::Replied("stored"),
        Told::Replied("stored"),
        Told::Replied("duplicate"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn every_kind_of_duplicates_is_kept_as_it_says() {
    let scene = Scene::new();
    for (duplicates, kept) in [
        (UNIQUE, 3),
        (VERSIONED, 3),
        (REPLACEABLE, 1),
        (EPHEMERAL, 0),
    ] {
        let kind = kind(1, duplicates);
        let records = [1, 2, 3].map(|nanos| record(1, kind, nanos));
        for record in &records {
            scene.put(record);
        }
        let address = records[0].view().address();
        let found = scene.store.get(&Reference::Address(address), 10).unwrap();
        assert_eq!(found.len(), kept, "{kind}");
        if let Some(newest) = found.first() {
            assert_eq!(newest.record, records[2]);
        }
    }
    let seen = scene.seen.lock().unwrap();
    assert_eq!(
        seen.announced
            .iter()
            .filter(|it| it.seq == Seq::ZERO)
            .count(),
        3
    );
}

#[test]
fn of_equal_timestamps_the_larger_id_stays_whatever_the_order() {
    let make = |payload: &[u8]| {
        build(
            1,
            1,
            kind(1, REPLACEABLE),
            5,
            1,
            TagsBuilder::new(),
            payload,
        )
    };
    let mut records: Vec<_> = (0..4_u8).map(|n| make(&[n])).collect();
    records.sort_by_key(Record::id);
    let mut dice = Dice::new(3);
    for round in 0..20 {
        let scene = Scene::new();
        let mut order = records.clone();
        order.sort_by_key(|_| dice.next());
        if round % 2 == 0 {
            scene.put_together(&order);
        } else {
            for record in &order {
                scene.put(record);
            }
        }
        let address = Reference::Address(records[0].view().address());
        let found = scene.store.get(&address, 10).unwrap();
        assert_eq!(found.len(), 1, "round {round}");
        assert_eq!(found[0].record, records[3], "round {round}");
    }
}

#[test]
fn a_replaced_record_leaves_a_dense_log_and_frees_its_keys() {
    for together in [false, true] {
        let scene = Scene::new();
        let records = versions(5);
        if together {
            scene.put_together(&records);
        } else {
            for record in &records {
                scene.keep(record);
            }
        }
        assert_eq!(scene.store.tail(), Seq::new(5));
        let counts = scene.store.stats().unwrap().counts;
        assert_eq!((counts.records, counts.gone, counts.index_keys), (1, 4, 4));
        assert_eq!(counts.record_bytes, records[4].bytes().len() as u64);
        for old in &records[..4] {
            let found = scene.store.get(&Reference::Id(old.id()), 1).unwrap();
            assert!(found.is_empty());
            let outcome = scene.put(old);
            assert!(matches!(&outcome, Outcome::Older(newer) if newer.entry.record == records[4]));
        }
        let page = scene
            .store
            .read_log(Seq::ZERO, PageBudget::default())
            .unwrap();
        assert_eq!((page.entries.len(), page.next), (1, Seq::new(5)));
        let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

#[test]
fn a_replaced_record_in_the_same_batch_is_older_when_it_comes_again() {
    let scene = Scene::new();
    let records = versions(2);
    scene.keep(&records[0]);
    let again = [records[1].clone(), records[0].clone(), records[1].clone()];
    let outcomes = scene.put_together(&again);
    assert_eq!(names(&outcomes), ["stored", "older", "duplicate"]);
}

#[test]
fn only_a_vouched_signer_replaces_what_another_key_signed() {
    let make = |signer: u8, nanos: u64| {
        build(
            1,
            signer,
            kind(1, REPLACEABLE),
            nanos,
            1,
            TagsBuilder::new(),
            b"",
        )
    };
    let stranger = 50;
    let scene = Scene::new();
    scene.keep(&make(1, 10));
    let kept_out = scene.put(&make(stranger, 11));
    assert!(matches!(kept_out, Outcome::Stays(kept) if kept.entry.record == make(1, 10)));
    scene.keep(&make(SUBKEYS_FROM, 12));
    scene.keep(&make(1, 13));
    assert_eq!(name_of(&scene.put(&make(stranger, 9))), "older");

    let scene = Scene::new();
    scene.keep(&make(stranger, 10));
    scene.keep(&make(stranger, 11));
    let other = scene.put(&make(stranger + 1, 12));
    assert!(matches!(other, Outcome::Stays(kept) if kept.entry.record == make(stranger, 11)));
    scene.keep(&make(1, 13));
    let address = Reference::Address(make(1, 1).view().address());
    let found = scene.store.get(&address, 9).unwrap();
    assert_eq!(found[0].vouched, Vouched::Master);
}

#[test]
fn what_the_judge_refuses_is_not_stored() {
    let scene = Scene::new();
    let refused = build(1, 1, kind(1, UNIQUE), 1, 1, TagsBuilder::new(), b"refuse");
    let outcome = scene.put(&refused);
    assert!(matches!(outcome, Outcome::Refused(ResultCode::TooFast)));
    assert_eq!(scene.store.tail(), Seq::ZERO);
}

#[test]
fn the_time_of_receipt_never_decreases_even_behind_a_clock_that_was_ahead() {
    let scene = Scene::new();
    let ahead = crate::wire::Timestamp::now().saturating_add(std::time::Duration::from_secs(3_600));
    scene.store.advance(Seq::ZERO, ahead);
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    scene.keep(&record(1, kind(1, UNIQUE), 2));
    let scene = scene.reopen();
    scene.keep(&record(1, kind(1, UNIQUE), 3));
    let log = scene.seen.lock().unwrap().log.clone();
    assert_eq!(log.len(), 3);
    assert!(log.iter().all(|entry| entry.received == ahead));
}

#[test]
fn without_space_known_and_new_records_are_answered_alike_and_writing_resumes_by_itself() {
    let scene = Scene::with(StoreOptions {
        users_max: 9,
        ..settings()
    });
    let known = record(1, kind(1, UNIQUE), 1);
    scene.keep(&known);
    let free = settings().free_space.available_bytes(scene.path()).unwrap();
    scene.store.set_free_space_floor(free.saturating_mul(2));
    let new = record(1, kind(1, UNIQUE), 2);
    assert_eq!(name_of(&scene.put(&new)), "no space");
    assert_eq!(name_of(&scene.put(&known)), "no space");
    let older = record(2, kind(1, REPLACEABLE), 1);
    assert_eq!(name_of(&scene.put(&older)), "no space");
    assert_eq!(
        name_of(&scene.put(&record(1, kind(1, EPHEMERAL), 3))),
        "announced"
    );
    assert_eq!(
        scene.writer.register_user(key(1).public(), 0),
        Registration::NoSpace
    );
    assert_eq!(
        scene
            .store
            .get(&Reference::Id(known.id()), 1)
            .unwrap()
            .len(),
        1
    );
    scene.store.set_free_space_floor(0);
    assert_eq!(scene.keep(&new), Seq::new(2));
}

#[test]
fn users_are_registered_once_up_to_their_number_and_for_good() {
    let scene = Scene::with(StoreOptions {
        users_max: 3,
        ..settings()
    });
    let register = |n: u8| scene.writer.register_user(key(n).public(), 0);
    assert_eq!(register(1), Registration::Added);
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    assert_eq!(register(1), Registration::Known);
    assert_eq!(register(2), Registration::Added);
    assert_eq!(register(3), Registration::Added);
    assert_eq!(register(4), Registration::Full);
    assert_eq!(register(3), Registration::Known);
    assert_eq!(scene.store.tail(), Seq::new(4));
    let in_place_of_one = scene.writer.register_user(key(4).public(), 1);
    assert_eq!(in_place_of_one, Registration::Added);
    let scene = scene.reopen();
    let mut users = scene.store.users().unwrap();
    users.sort();
    let mut expected = [1, 2, 3, 4].map(|n| key(n).public());
    expected.sort();
    assert_eq!(users, expected);
    assert_eq!(
        scene.writer.register_user(key(2).public(), 0),
        Registration::Known
    );
    let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[test]
fn the_key_schedules_that_name_a_subkey_are_found_and_replaced_ones_are_not() {
    let scene = Scene::new();
    let subkey = |n: u8| TagsBuilder::new().subkey(key(n).public());
    let schedule = |author: u8, nanos: u64, names: &[u8]| {
        let tags = names
            .iter()
            .fold(TagsBuilder::new(), |tags, n| tags.subkey(key(*n).public()));
        build(author, author, Kind::KEY_SCHEDULE, nanos, 1, tags, b"")
    };
    scene.keep(&schedule(1, 10, &[20]));
    scene.keep(&schedule(2, 20, &[20, 21]));
    scene.keep(&schedule(3, 30, &[21]));
    for nanos in 40..60 {
        scene.keep(&build(4, 4, kind(1, UNIQUE), nanos, 1, subkey(20), b""));
    }
    let authors = |n: u8| -> Vec<_> {
        let filter = FilterBuilder::new()
            .tags(subkey(n))
            .kinds([Kind::KEY_SCHEDULE])
            .build()
            .unwrap();
        let found = scene.query(&filter, Seq::MAX, 9);
        found
            .iter()
            .map(|entry| entry.record.view().author())
            .collect()
    };
    assert_eq!(authors(20), [key(2).public(), key(1).public()]);
    assert_eq!(authors(21), [key(3).public(), key(2).public()]);
    scene.keep(&schedule(2, 21, &[21]));
    assert_eq!(authors(20), [key(1).public()]);
    assert_eq!(authors(21), [key(3).public(), key(2).public()]);
}

#[test]
fn what_is_queued_is_written_and_answered_before_the_end() {
    let scene = Scene::new();
    scene.hold();
    let outcomes: Vec<_> = (0..100)
        .map(|n| scene.send(&record(1, kind(1, UNIQUE), n)))
        .collect();
    let ends: Vec<_> = (0..2)
        .map(|_| {
            let writer = scene.writer.clone();
            thread::spawn(move || writer.shutdown())
        })
        .collect();
    scene.release();
    for end in ends {
        end.join().unwrap().unwrap();
    }
    for (outcome, expected) in outcomes.iter().zip(1..) {
        let outcome = outcome.try_recv().unwrap();
        assert!(matches!(outcome, Outcome::Stored(seq) if seq == Seq::new(expected)));
    }
    scene.writer.shutdown().unwrap();
    let (sender, _) = mpsc::channel();
    let late = scene.writer.submit(record(1, kind(1, UNIQUE), 1), sender);
    assert!(matches!(late, Err(SubmitError::Closed(..))));
    assert_eq!(
        scene.writer.register_user(key(1).public(), 0),
        Registration::Halted
    );
}

#[test]
fn a_store_has_one_writer_at_a_time() {
    struct Idle;
    impl crate::store::Judge for Idle {
        type Context = ();
        fn judge(
            &mut self,
            _: crate::wire::RecordRef<'_>,
            (): &(),
            _: crate::wire::Timestamp,
        ) -> crate::store::Judgement {
            crate::store::Judgement::Refuse(ResultCode::GeneralError)
        }
        fn stored(&mut self, _: &Record) {}
        fn publish(&mut self, _: &[Arc<crate::store::Entry>]) {}
        fn announce(&mut self, _: &Arc<crate::store::Entry>) -> usize {
            0
        }
        fn reply(&mut self, (): (), _: Outcome) {}
    }
    let scene = Scene::new();
    let second = Writer::spawn(scene.store.clone(), Idle);
    assert!(matches!(second, Err(StoreError::WriterRuns)));
    scene.writer.shutdown().unwrap();
    Writer::spawn(scene.store.clone(), Idle)
        .unwrap()
        .shutdown()
        .unwrap();
}

#[test]
fn a_batch_that_cannot_be_written_halts_the_store_and_nothing_of_it_is_told() {
    let scene = Scene::new();
    let known = record(1, kind(1, UNIQUE), 1);
    scene.keep(&known);
    // Without its directory the engine cannot begin a new write-ahead log, and notes that.
    std::fs::remove_dir_all(scene.path()).unwrap();
    assert!(scene.store.close().is_err());
    let outcomes = scene.put_together(&[record(1, kind(1, UNIQUE), 2), known.clone()]);
    assert_eq!(names(&outcomes), ["halted", "halted"]);
    let reason = scene.store.halted().unwrap().to_owned();
    assert!(!reason.is_empty());
    assert_eq!(scene.store.tail(), Seq::new(1));
    assert_eq!(scene.seen.lock().unwrap().log.len(), 1);
    assert_eq!(
        name_of(&scene.put(&record(1, kind(1, EPHEMERAL), 3))),
        "halted"
    );
    assert_eq!(
        scene.writer.register_user(key(1).public(), 0),
        Registration::Halted
    );
    assert_eq!(scene.store.halted(), Some(reason.as_str()));
    let found = scene.store.get(&Reference::Id(known.id()), 1).unwrap();
    assert_eq!(found.len(), 1, "reading goes on");
}

#[test]
fn damage_that_the_writer_meets_halts_the_store() {
    let scene = Scene::new();
    let known = record(1, kind(1, UNIQUE), 1);
    scene.keep(&known);
    scene.keep(&record(1, kind(1, UNIQUE), 2));
    let db = &scene.store.shared.db;
    let first = Seq::new(1).to_be_bytes();
    db.engine().delete_cf(db.log().unwrap(), first).unwrap();
    assert_eq!(name_of(&scene.put(&known)), "halted");
    let reason = scene.store.halted().unwrap();
    assert!(reason.contains("log entry 1 is missing"), "{reason}");
}

#[test]
fn a_judge_that_panics_ends_the_writer_and_says_so() {
    let scene = Scene::new();
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    let fatal = build(1, 1, kind(1, UNIQUE), 2, 1, TagsBuilder::new(), b"panic");
    assert!(scene.send(&fatal).recv().is_err());
    assert!(matches!(
        scene.writer.shutdown(),
        Err(StoreError::WriterPanicked)
    ));
    assert!(matches!(
        scene.writer.shutdown(),
        Err(StoreError::WriterPanicked)
    ));
    assert_eq!(scene.store.halted(), Some("the writer thread panicked"));
    let (sender, _) = mpsc::channel();
    let late = scene.writer.submit(record(1, kind(1, UNIQUE), 3), sender);
    assert!(matches!(late, Err(SubmitError::Closed(..))));
}

/// 8 000 tags, all different.
fn many_tags() -> TagsBuilder {
    (0..8_000_u16).fold(TagsBuilder::new(), |tags, tag| {
        tags.raw(crate::wire::TagKind(1_000 + tag), &[]).unwrap()
    })
}

/// The places of each batch so far.
fn batches(scene: &Scene) -> Vec<Vec<u64>> {
    let batches = scene.told().into_iter().filter_map(|told| match told {
        Told::Published(seqs) => Some(seqs),
        Told::Replied(_) => None,
    });
    batches.collect()
}

#[test]
fn records_that_replace_what_had_many_keys_are_spread_over_several_batches() {
    let scene = Scene::new();
    let version = |author, tags| build(author, author, kind(1, REPLACEABLE), 1, 1, tags, b"");
    for author in 1..6 {
        scene.keep(&version(author, many_tags()));
    }
    assert_eq!(batches(&scene).len(), 5);
    let later = |author: u8| record(author, kind(1, REPLACEABLE), 2);
    let outcomes = scene.put_together(&(1..6).map(later).collect::<Vec<_>>());
    assert!(outcomes.iter().all(|outcome| name_of(outcome) == "stored"));
    assert_eq!(batches(&scene)[5..], [vec![6, 7, 8], vec![9, 10]]);
    let counts = scene.store.stats().unwrap().counts;
    assert_eq!((counts.records, counts.index_keys), (5, 20));
    scene.assert_sound();
}

#[test]
fn records_of_nothing_but_tags_are_spread_over_several_batches() {
    let scene = Scene::new();
    let records: Vec<_> = (0..5)
        .map(|n| build(1, 1, kind(1, UNIQUE), n, 1, many_tags(), b""))
        .collect();
    let outcomes = scene.put_together(&records);
    assert!(outcomes.iter().all(|outcome| name_of(outcome) == "stored"));
    assert_eq!(batches(&scene), [vec![1, 2, 3], vec![4, 5]]);
    let tag = TagsBuilder::new()
        .raw(crate::wire::TagKind(8_999), &[])
        .unwrap();
    let filter = FilterBuilder::new().tags(tag).build().unwrap();
    assert_eq!(scene.query(&filter, Seq::MAX, 9).len(), 5);
}

#[test]
fn a_large_record_lives_beside_the_tables_and_comes_back_whole() {
    let scene = Scene::new();
    let payload: Vec<u8> = (0..1_000_000_u32)
        .map(|n| n.to_be_bytes()[3] ^ n.to_be_bytes()[2])
        .collect();
    let large = build(1, 1, kind(1, UNIQUE), 1, 1, TagsBuilder::new(), &payload);
    scene.keep(&large);
    scene.keep(&record(1, kind(1, UNIQUE), 2));
    scene.store.close().unwrap();
    let files = scene.store.stats().unwrap().files;
    assert_eq!(files.blobs.files, 1);
    let found = scene.store.get(&Reference::Id(large.id()), 1).unwrap();
    assert_eq!(found[0].record, large);
    let scene = scene.reopen();
    let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[test]
fn readers_beside_the_writer_never_miss_a_replaceable_record() {
    let scene = Scene::new();
    let records = versions(400);
    scene.keep(&records[0]);
    let done = Arc::new(Mutex::new(false));
    let reader = thread::spawn({
        let store: Store = scene.store.clone();
        let done = Arc::clone(&done);
        let author = FilterBuilder::new().authors([key(1).public()]);
        let filter = author.build().unwrap();
        move || {
            let mut looked = 0;
            while !*done.lock().unwrap() || looked < 10 {
                let mut cursor = Cursor::new(filter.clone(), Seq::MAX);
                let page = store.page(&mut cursor, &|_| true, PageBudget::default());
                assert_eq!(page.unwrap().entries.len(), 1);
                looked += 1;
            }
        }
    });
    for record in &records[1..] {
        scene.keep(record);
    }
    *done.lock().unwrap() = true;
    reader.join().unwrap();
}
