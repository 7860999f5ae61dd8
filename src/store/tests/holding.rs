//! In which tables held records are, and what they cost whoever looks for others.

use super::support::{REPLACEABLE, Scene, UNIQUE, build, key, kind, name_of};
use crate::{
    base::{Seq, limits},
    store::{
        Act, Acted, Cursor, PageBudget, RecordChange, Removal,
        database::{COUNTS_KEY, SCHEMA, SCHEMA_KEY},
        keys::Hit,
        view::Order,
    },
    wire::{Address, Filter, FilterBuilder, Record, Reference, TagKind, TagsBuilder},
};

fn tags(count: u16) -> TagsBuilder {
    (0..count).fold(TagsBuilder::new(), |tags, tag| {
        tags.raw(TagKind(1_000 + tag), &[]).unwrap()
    })
}

/// A version of one address, with a few tags.
fn version(nanos: u64) -> Record {
    build(1, 2, kind(1, REPLACEABLE), nanos, 1, tags(3), b"")
}

/// Keys that whoever looks for an address passes over.
fn keys_at(scene: &Scene, address: &Address) -> usize {
    let view = scene.store.view();
    let run = view.secret().address_run(address);
    let mut keys = view.index(Order::Prefix).unwrap();
    keys.seek(&run.seek_key(Hit::FIRST).unwrap());
    let mut count = 0;
    while keys.key().unwrap().and_then(|key| run.hit(key)).is_some() {
        count += 1;
        keys.step();
    }
    count
}

/// What it costs to page through what a stranger may see, and the places of that.
fn cost(scene: &Scene, mut cursor: Cursor) -> (u64, Vec<Seq>) {
    let (mut cost_keys, mut seqs) = (0, Vec::new());
    loop {
        let sees = |entry: &crate::store::Entry| !entry.held;
        let page = scene
            .store
            .page(&mut cursor, &sees, PageBudget::default())
            .unwrap();
        cost_keys += page.cost_keys;
        seqs.extend(page.entries.iter().map(|entry| entry.seq));
        if page.done {
            return (cost_keys, seqs);
        }
    }
}

#[test]
fn however_many_are_held_they_cost_nobody_who_reads_or_replaces_what_they_share_a_key_with() {
    let scene = Scene::new();
    let first = version(5);
    let address = first.view().address();
    scene.keep(&first);
    let filter = |builder: FilterBuilder| -> Filter { builder.build().unwrap() };
    let filters = [
        filter(FilterBuilder::new().authors([key(1).public()])),
        filter(FilterBuilder::new().signers([key(2).public()])),
        filter(FilterBuilder::new().kinds([kind(1, REPLACEABLE)])),
        filter(FilterBuilder::new().tags(tags(1))),
    ];
    let costs = || {
        let of_filters = filters
            .iter()
            .map(|filter| cost(&scene, Cursor::new(filter.clone(), Seq::MAX)));
        let mut costs: Vec<_> = of_filters.collect();
        costs.push(cost(&scene, Cursor::of_group(address, Seq::MAX)));
        costs
    };
    let before = costs();
    assert!(before.iter().all(|(_, seqs)| seqs == &[Seq::new(1)]));
    for nanos in 10..210 {
        assert_eq!(version(nanos).view().address(), address);
        scene.keep_held(&version(nanos));
    }
    assert_eq!(costs(), before);
    assert_eq!(keys_at(&scene, &address), 1);
    scene.keep(&version(300));
    assert_eq!(keys_at(&scene, &address), 1);
    let found = scene.store.get(&Reference::Address(address), 9).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record, version(300));
    scene.assert_sound();
}

/// Gives the held records the keys that they had up to schema 2, but for the newest `but`.
fn make_schema_2(scene: &Scene, but: usize) {
    scene.writer.shutdown().unwrap();
    let db = &scene.store.shared.db;
    let mut counts = db.counts().unwrap();
    for entry in scene.store.held(None, 99).unwrap().iter().skip(but) {
        let record = entry.record.view();
        let kept = db.secret().entry_keys(&record, true, entry.seq);
        let had = db.secret().record_keys(&record, entry.seq);
        let time = had.iter().filter(|key| kept.contains(key)).count();
        assert_eq!(time, 1, "it is found by its ID as before");
        for key in had.iter().filter(|key| !kept.contains(key)) {
            let index = db.index().unwrap();
            db.engine().put_cf(index, key, []).unwrap();
            counts.index_keys += 1;
        }
    }
    let meta = db.meta().unwrap();
    let counts = counts.encode().unwrap();
    db.engine().put_cf(meta, COUNTS_KEY, counts).unwrap();
    let schema = 2_u32.to_be_bytes();
    db.engine().put_cf(meta, SCHEMA_KEY, schema).unwrap();
}

#[test]
fn a_store_of_schema_2_loses_the_keys_that_held_records_had_and_goes_on() {
    // The second time some were taken away already, as by a start that was cut off.
    for but in [0, 2] {
        let mut scene = Scene::new();
        let (visible, held) = (version(5), [10, 20, 30].map(version));
        scene.keep(&visible);
        for record in &held {
            scene.keep_held(record);
        }
        let large = build(1, 1, kind(2, UNIQUE), 40, 1, tags(9_000), b"");
        let larger = build(1, 1, kind(2, UNIQUE), 50, 1, tags(12_000), b"");
        scene.keep_held(&large);
        scene.keep_held(&larger);
        let counts = scene.store.stats().unwrap().counts;
        make_schema_2(&scene, but);
        let problems = |scene: &Scene| {
            let mut inspect = super::support::inspect();
            let report = scene.store.verify(&mut inspect, &mut |_| {}).unwrap();
            report.problems_total
        };
        assert!(problems(&scene) > 0);
        for _ in 0..2 {
            scene = scene.reopen();
            assert_eq!(problems(&scene), 0);
            assert_eq!(scene.store.stats().unwrap().counts, counts);
            let address = visible.view().address();
            assert_eq!(keys_at(&scene, &address), 1);
        }
        let db = &scene.store.shared.db;
        let schema = db.engine().get_cf(db.meta().unwrap(), SCHEMA_KEY);
        assert_eq!(schema.unwrap().unwrap(), SCHEMA.to_be_bytes());
        let [first, second, third] = held.map(|record| record.id());
        let rejected = RecordChange::Remove {
            id: second,
            why: Removal::Rejected,
        };
        let (_, missing) = scene.change(vec![RecordChange::Release(third), rejected]);
        assert!(missing.is_empty());
        let (_, missing) = scene.change(vec![
            RecordChange::Release(first),
            RecordChange::Release(large.id()),
        ]);
        assert_eq!(missing, [first], "overtaken by the third");
        assert_eq!(name_of(&scene.put(&visible)), "older");
        let filter = FilterBuilder::new().tags(tags(1)).build().unwrap();
        assert_eq!(scene.query(&filter, Seq::MAX, 9).len(), 2);
        scene.reopen().assert_sound();
    }
}

#[test]
fn one_act_may_change_a_record_more_than_once() {
    let scene = Scene::new();
    let (first, second) = (version(5), version(6));
    scene.keep_held(&first);
    scene.keep_held(&second);
    let remove = |id| RecordChange::Remove {
        id,
        why: Removal::Deleted,
    };
    let third = version(7);
    scene.keep_held(&third);
    let [first, second, third] = [first, second, third].map(|record| record.id());
    let (_, missing) = scene.change(vec![
        RecordChange::Release(first),
        RecordChange::Release(second),
        remove(first),
        RecordChange::Release(second),
        remove(third),
        remove(third),
    ]);
    let why = "replaced, let in, and removed already";
    assert_eq!(missing, [first, second, third], "{why}");
    assert_eq!(scene.store.stats().unwrap().counts.records, 1);
    scene.reopen().assert_sound();
}

#[test]
fn an_act_frees_so_many_keys_and_what_is_held_has_few() {
    let scene = Scene::new();
    let full = |nanos| build(1, 1, kind(1, UNIQUE), nanos, 1, tags(16_000), b"");
    let records: Vec<_> = (0..17).map(full).collect();
    scene.put_together(&records);
    let act = |records: &[Record]| Act {
        records: records
            .iter()
            .map(|record| RecordChange::Remove {
                id: record.id(),
                why: Removal::Deleted,
            })
            .collect(),
        ..Act::default()
    };
    let tail = scene.store.tail();
    assert!(records.len() * 16_000 > limits::ACT_MAX_INDEX_KEYS);
    assert_eq!(scene.writer.act(act(&records)), Acted::TooLarge);
    assert_eq!(scene.store.tail(), tail);
    let acted = scene.writer.act(act(&records[..3]));
    assert!(matches!(acted, Acted::Done { .. }));
    let held: Vec<_> = (100..120).map(full).collect();
    for record in &held {
        scene.keep_held(record);
    }
    let acted = scene.writer.act(act(&held));
    assert!(matches!(acted, Acted::Done { missing, .. } if missing.is_empty()));
    assert!(scene.store.held(None, 9).unwrap().is_empty());
    let left = scene.store.stats().unwrap().counts.records;
    assert_eq!(left, 14);
    scene.assert_sound();
}
