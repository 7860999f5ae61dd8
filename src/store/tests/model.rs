//! Random submissions and every shape of filter against a list that is searched by hand.

use std::{sync::Arc, time::Duration};

use super::ledger::{Model, USERS, apply, open, published};
use super::support::{
    Decision, Dice, EPHEMERAL, REPLACEABLE, SUBKEYS_FROM, Scene, UNIQUE, VERSIONED, build, inspect,
    key, kind, name_of, pages, time,
};
use crate::{
    base::{Role, RoleSet, Seq},
    store::{
        Account, Act, Acted, Charge, Charged, Cursor, Entry, Expect, Outcome, PageBudget, Quota,
        RecordChange, Removal, StateChange, StateTable, Vouched,
    },
    wire::{
        Duplicates, Filter, FilterBuilder, Kind, PublicKey, Record, Reference, TagKind,
        TagsBuilder, Timestamp,
    },
};

const AUTHORS: u8 = 5;
const TIMES: u64 = 40;

fn any_kind(dice: &mut Dice) -> Kind {
    let number = u16::from(dice.small(4));
    let duplicates = [UNIQUE, REPLACEABLE, VERSIONED, EPHEMERAL];
    let which = if dice.below(20) == 0 {
        3
    } else {
        dice.below(3)
    };
    kind(number, duplicates[usize::try_from(which).unwrap()])
}

fn any_tags(dice: &mut Dice) -> TagsBuilder {
    let mut tags = TagsBuilder::new();
    for _ in 0..dice.below(4) {
        tags = match dice.below(3) {
            0 => tags.notify(key(dice.small(AUTHORS)).public()),
            1 => tags.raw(TagKind(777), &[dice.small(3); 5]).unwrap(),
            _ => tags.raw(TagKind(778), &[]).unwrap(),
        };
    }
    tags
}

fn any_roles(dice: &mut Dice) -> RoleSet {
    let roles = RoleSet::of(Role::Outbox);
    match dice.below(4) {
        0 => roles.with(Role::Inbox),
        1 => RoleSet::of(Role::Application),
        _ => roles,
    }
}

fn any_record(dice: &mut Dice) -> Record {
    let author = dice.small(AUTHORS);
    let signer = match dice.below(4) {
        0 => SUBKEYS_FROM + dice.small(2),
        1 if dice.below(3) == 0 => 50,
        _ => author,
    };
    let kind = any_kind(dice);
    let nanos = 1_000 + dice.below(TIMES);
    let nonce = dice.small(3);
    let payload = [dice.small(2)];
    let tags = any_tags(dice);
    build(author, signer, kind, nanos, nonce, tags, &payload)
}

fn any_charges(dice: &mut Dice) -> Vec<Charge> {
    let any = |dice: &mut Dice| Charge {
        user: key(dice.small(USERS)).public(),
        account: if dice.below(2) == 0 {
            Account::Own
        } else {
            Account::Delivered
        },
        quota: match dice.below(3) {
            0 => Quota::UNBOUNDED,
            1 => Quota {
                records_max: 5 + dice.below(40),
                bytes_max: u64::MAX,
            },
            _ => Quota {
                records_max: u64::MAX,
                bytes_max: 1_000 + dice.below(10_000),
            },
        },
    };
    let count = dice.below(12).saturating_sub(8);
    (0..count).map(|_| any(dice)).collect()
}

fn any_decision(dice: &mut Dice) -> Decision {
    Decision {
        roles: Some(any_roles(dice)),
        vouched: None,
        held: dice.below(6) == 0,
        charges: any_charges(dice),
    }
}

/// Submits `count` random records, some twice and some in one batch, and checks every outcome;
/// an act after each batch.
pub(super) fn fill(scene: &Scene, model: &mut Model, dice: &mut Dice, count: usize) {
    let mut submitted: Vec<Record> = Vec::new();
    while submitted.len() < count {
        let mut batch = Vec::new();
        for _ in 0..=dice.below(30) {
            let record = match submitted.len() {
                0 => any_record(dice),
                len if dice.below(8) == 0 => {
                    let which = dice.below(len as u64);
                    submitted[usize::try_from(which).unwrap()].clone()
                }
                _ => any_record(dice),
            };
            submitted.push(record.clone());
            batch.push(record);
        }
        submit(scene, model, dice, &batch);
        act(scene, model, dice, &submitted);
        model.check_rest(scene);
    }
}

/// Submits a batch with random decisions and checks every outcome.
fn submit(scene: &Scene, model: &mut Model, dice: &mut Dice, batch: &[Record]) {
    let decisions: Vec<_> = batch.iter().map(|_| any_decision(dice)).collect();
    for (record, decision) in batch.iter().zip(&decisions) {
        if record.view().kind().duplicates() != Duplicates::Ephemeral {
            scene.decide_all(decision.clone());
        }
    }
    let outcomes = scene.put_together(batch);
    for ((record, decision), outcome) in batch.iter().zip(&decisions).zip(outcomes) {
        assert_eq!(name_of(&outcome), model.expect(record, decision));
        match outcome {
            Outcome::Stored(seq) => {
                let before = model.known(&record.id());
                let roles = before.map_or(RoleSet::EMPTY, |known| known.roles);
                let roles = roles.union(decision.roles.unwrap());
                let entry = if decision.held {
                    held_entry(scene, seq, record, roles, (before, decision))
                } else {
                    published(scene, seq)
                };
                assert_eq!(entry.record, *record);
                assert_eq!(entry.roles, roles);
                assert_eq!(entry.held, decision.held);
                model.add(&entry);
            }
            Outcome::Duplicate(known) => {
                assert_eq!(known.entry.record, *record);
                assert_eq!(known.fits, model.is_within(record, decision, None));
            }
            Outcome::Removed { fits } => {
                assert_eq!(fits, model.is_within(record, decision, None));
            }
            Outcome::Older(known) | Outcome::Stays(known) => {
                assert_eq!(known.fits, model.is_within(record, decision, None));
                assert_eq!(known.entry.seq, model.current(record).unwrap().seq);
            }
            _ => {}
        }
    }
}

/// A held entry, of which nobody was told; if it has moved on within its batch, what it was.
fn held_entry(
    scene: &Scene,
    seq: Seq,
    record: &Record,
    roles: RoleSet,
    (before, decision): (Option<&Arc<Entry>>, &Decision),
) -> Arc<Entry> {
    let held = scene.store.held(None, usize::MAX).unwrap();
    if let Some(entry) = held.into_iter().find(|entry| entry.seq == seq) {
        return entry;
    }
    let mut charged = before.map_or(vec![], |before| before.charged.to_vec());
    for &Charge { user, account, .. } in &decision.charges {
        if !charged.contains(&Charged { user, account }) {
            charged.push(Charged { user, account });
        }
    }
    Arc::new(Entry {
        seq,
        received: Timestamp::MIN,
        roles,
        vouched: Vouched::Unknown,
        submitter: None,
        held: true,
        charged: charged.into(),
        record: record.clone(),
    })
}

/// Up to three changes, most of them of held records.
fn any_changes(model: &Model, dice: &mut Dice, submitted: &[Record]) -> Vec<RecordChange> {
    let held: Vec<_> = model.live.iter().filter(|entry| entry.held).collect();
    let which = |dice: &mut Dice, len: usize| usize::try_from(dice.below(len as u64)).unwrap();
    let any_change = |dice: &mut Dice| {
        let id = if held.is_empty() || dice.below(3) == 0 {
            submitted[which(dice, submitted.len())].id()
        } else {
            held[which(dice, held.len())].record.id()
        };
        let remove = |why| RecordChange::Remove { id, why };
        match dice.below(6) {
            0 => remove(Removal::Deleted),
            1 => remove(Removal::Rejected),
            _ => RecordChange::Release(id),
        }
    };
    (0..dice.below(4)).map(|_| any_change(dice)).collect()
}

/// Does a random act and checks what comes of it.
fn act(scene: &Scene, model: &mut Model, dice: &mut Dice, submitted: &[Record]) {
    let changes = any_changes(model, dice, submitted);
    let value = (dice.below(3) > 0).then(|| vec![dice.small(9)]);
    let change = StateChange {
        table: StateTable::Ban,
        key: vec![dice.small(5)],
        value,
        expect: [Expect::Any, Expect::Absent, Expect::Present][usize::from(dice.small(3))].clone(),
    };
    let is_there = model.state.contains_key(&change.key);
    let is_conflict = match change.expect {
        Expect::Absent => is_there,
        Expect::Present => !is_there,
        _ => false,
    };
    let acted = scene.writer.act(Act {
        state: vec![change.clone()],
        records: changes.clone(),
        ..Act::default()
    });
    if is_conflict {
        assert_eq!(acted, Acted::Conflict);
        return;
    }
    let Acted::Done { seq, missing } = acted else {
        panic!("{acted:?}");
    };
    match change.value {
        Some(value) => drop(model.state.insert(change.key, value)),
        None => drop(model.state.remove(&change.key)),
    }
    assert_eq!(missing, apply(scene, model, seq, &changes));
}

/// The elements that a filter may have.
const ELEMENTS: u32 = 12;

/// A filter with the elements whose bits are set in `shape`.
fn any_filter(dice: &mut Dice, shape: u32, model: &Model) -> Filter {
    let some = |dice: &mut Dice| 1 + dice.below(3);
    let keys = |dice: &mut Dice, from: u8, end: u8| -> Vec<PublicKey> {
        (0..some(dice))
            .map(|_| key(from + dice.small(end)).public())
            .collect()
    };
    let any_time = |dice: &mut Dice| time(1_000 + dice.below(TIMES));
    let received = |dice: &mut Dice| {
        let which = usize::try_from(dice.below(model.live.len() as u64)).unwrap();
        model.live[which].received
    };
    let mut filter = FilterBuilder::new();
    for element in (0..ELEMENTS).filter(|bit| shape & (1 << bit) != 0) {
        filter = match element {
            0 => filter.authors(keys(dice, 0, AUTHORS + 1)),
            1 if dice.below(2) == 0 => filter.signers(keys(dice, SUBKEYS_FROM, 3)),
            1 => filter.signers(keys(dice, 0, AUTHORS)),
            2 => filter.kinds((0..some(dice)).map(|_| any_kind(dice)).collect::<Vec<_>>()),
            3 => filter.timestamps((0..12).map(|_| any_time(dice)).collect::<Vec<_>>()),
            4 => filter.tags(any_tags(dice).raw(TagKind(778), &[]).unwrap()),
            5 => filter.tags(any_tags(dice).notify(key(1).public())),
            6 => filter.since(any_time(dice)),
            7 => filter.until(any_time(dice)),
            8 => filter.received_since(received(dice)),
            9 => filter.received_until(received(dice)),
            10 => {
                let ids = model.live.iter().filter(|_| dice.below(3) == 0).take(60);
                filter.exclude(ids.map(|it| it.record.id().prefix()).collect::<Vec<_>>())
            }
            _ => filter.exclude_tags(TagsBuilder::new().raw(TagKind(777), &[1; 5]).unwrap()),
        };
    }
    filter.build().unwrap()
}

fn check_every_shape(scene: &Scene, model: &Model, dice: &mut Dice, what: &str) {
    let tail = scene.store.tail();
    for shape in 0..1 << ELEMENTS {
        let filter = any_filter(dice, shape, model);
        let rows = usize::try_from(1 + dice.below(40)).unwrap();
        let until = match dice.below(3) {
            0 => Seq::new(dice.below(tail.get() + 1)),
            1 => tail,
            _ => Seq::MAX,
        };
        let found = scene.query(&filter, until, rows);
        let what = format!("{what}, shape {shape:#b}, rows {rows}, until {until}");
        model.check(&filter, until, &found, &what);
    }
}

fn check_groups(scene: &Scene, model: &Model) {
    for entry in &model.live {
        let id = Reference::Id(entry.record.id());
        let found = scene.store.get(&id, 10).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].seq, entry.seq);
    }
    for entry in open(&model.live) {
        let address = entry.record.view().address();
        let found = scene
            .store
            .get(&Reference::Address(address), 1_000)
            .unwrap();
        let is_here = |it: &&Arc<Entry>| !it.held && it.record.view().address() == address;
        assert_eq!(found.len(), model.live.iter().filter(is_here).count());
        let newest = scene.store.get(&Reference::Address(address), 1).unwrap();
        assert_eq!(newest[0].seq, found[0].seq);
        let budget = PageBudget {
            rows: 2,
            ..PageBudget::default()
        };
        let paged = pages(
            &scene.store,
            &mut Cursor::of_group(address, Seq::MAX),
            budget,
        );
        let seqs = |entries: &[Arc<Entry>]| entries.iter().map(|it| it.seq).collect::<Vec<_>>();
        assert_eq!(seqs(&paged), seqs(&found));
    }
}

#[test]
fn every_shape_of_filter_finds_what_a_search_by_hand_finds() {
    for seed in [1, 2] {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let mut scene = Scene::new();
        let mut model = Model::default();
        fill(&scene, &mut model, &mut dice, 300);
        check_every_shape(&scene, &model, &mut dice, "in memory");
        scene.store.close().unwrap();
        fill(&scene, &mut model, &mut dice, 200);
        check_every_shape(&scene, &model, &mut dice, "half in tables");
        scene = scene.reopen();
        fill(&scene, &mut model, &mut dice, 100);
        scene.store.close().unwrap();
        let index = scene.store.shared.db.index().unwrap();
        let engine = scene.store.shared.db.engine();
        engine.compact_range_cf(index, None::<&[u8]>, None::<&[u8]>);
        check_every_shape(&scene, &model, &mut dice, "in tables");
        check_groups(&scene, &model);
        let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

#[test]
fn paging_finds_the_same_at_every_page_size() {
    let seed = 7;
    let mut dice = Dice::new(seed);
    let scene = Scene::new();
    let mut model = Model::default();
    fill(&scene, &mut model, &mut dice, 250);
    for shape in [
        0,
        0b1,
        0b10,
        0b100,
        0b101,
        0b1_0000,
        0b1_0101,
        0b1000,
        0b1_0000_0000,
    ] {
        let filter = any_filter(&mut dice, shape, &model);
        for rows in 1..60 {
            let found = scene.query(&filter, Seq::MAX, rows);
            model.check(
                &filter,
                Seq::MAX,
                &found,
                &format!("shape {shape:#b}, rows {rows}"),
            );
        }
        for bytes in [1, 500, 2_000] {
            let budget = PageBudget {
                rows: 1_000,
                bytes,
                bytes_max: usize::MAX,
                time: Duration::MAX,
                cost_keys: u64::MAX,
                paced: false,
            };
            let mut cursor = Cursor::new(filter.clone(), Seq::MAX);
            let found = pages(&scene.store, &mut cursor, budget);
            model.check(
                &filter,
                Seq::MAX,
                &found,
                &format!("shape {shape:#b}, bytes {bytes}"),
            );
        }
    }
}

#[test]
fn pages_without_time_come_to_the_same_end() {
    let seed = 8;
    let mut dice = Dice::new(seed);
    let scene = Scene::new();
    let mut model = Model::default();
    fill(&scene, &mut model, &mut dice, 400);
    let budget = PageBudget {
        rows: 50,
        bytes: usize::MAX,
        bytes_max: usize::MAX,
        time: Duration::ZERO,
        cost_keys: u64::MAX,
        paced: false,
    };
    for shape in 0..1 << ELEMENTS {
        let filter = any_filter(&mut dice, shape, &model);
        let mut cursor = Cursor::new(filter.clone(), Seq::MAX);
        let found = pages(&scene.store, &mut cursor, budget);
        model.check(&filter, Seq::MAX, &found, &format!("shape {shape:#b}"));
    }
}

#[test]
fn a_page_that_finds_nothing_in_its_time_ends_all_the_same() {
    let scene = Scene::new();
    for nanos in 0..300 {
        scene.send(&build(
            1,
            1,
            kind(1, UNIQUE),
            nanos,
            1,
            TagsBuilder::new(),
            b"",
        ));
    }
    scene.keep(&build(
        1,
        1,
        kind(1, UNIQUE),
        1_000,
        1,
        TagsBuilder::new(),
        b"",
    ));
    let filter = FilterBuilder::new()
        .kinds([kind(1, UNIQUE)])
        .exclude_tags(TagsBuilder::new().raw(TagKind(5), b"x").unwrap());
    let filter = filter.build().unwrap();
    let budget = PageBudget {
        time: Duration::ZERO,
        ..PageBudget::default()
    };
    let mut cursor = Cursor::new(filter, Seq::MAX);
    let mut pages = 0;
    loop {
        let page = scene.store.page(&mut cursor, &|_| false, budget).unwrap();
        assert!(page.entries.is_empty());
        pages += 1;
        if page.done {
            break;
        }
    }
    assert!(pages > 5, "{pages}");
}

#[test]
fn a_filter_of_the_largest_size_finds_the_few_that_match() {
    let mut dice = Dice::new(9);
    let scene = Scene::new();
    let mut model = Model::default();
    fill(&scene, &mut model, &mut dice, 200);
    let kinds = (0..253).map(|number| kind(1_000 + number, UNIQUE));
    let kinds: Vec<_> = kinds.chain([kind(2, VERSIONED)]).collect();
    let people: Vec<_> = (100..160).chain(0..3).map(|n| key(n).public()).collect();
    let mut tags = TagsBuilder::new().notify(key(1).public());
    for n in 0..240 {
        tags = tags.raw(TagKind(10_000 + n), &[]).unwrap();
    }
    let filters = [
        FilterBuilder::new()
            .authors(people.clone())
            .kinds(kinds.clone()),
        FilterBuilder::new().authors(people.clone()),
        FilterBuilder::new().signers(people.clone()),
        FilterBuilder::new().kinds(kinds.clone()),
        FilterBuilder::new().timestamps((0..254).map(|n| time(900 + n))),
        FilterBuilder::new().tags(tags.clone()),
        FilterBuilder::new().tags(tags).kinds(kinds).authors(people),
    ];
    for (number, filter) in filters.into_iter().enumerate() {
        let filter = filter.build().unwrap();
        for rows in [7, 500] {
            let found = scene.query(&filter, Seq::MAX, rows);
            assert!(!found.is_empty(), "filter {number}");
            model.check(&filter, Seq::MAX, &found, &format!("filter {number}"));
        }
    }
}

#[test]
fn an_author_of_many_kinds_is_read_in_order() {
    let scene = Scene::new();
    let mut model = Model::default();
    let mut dice = Dice::new(10);
    let records: Vec<_> = (0..700)
        .map(|number| {
            let nanos = dice.below(10_000);
            build(
                1,
                1,
                kind(number, UNIQUE),
                nanos,
                1,
                TagsBuilder::new(),
                b"",
            )
        })
        .collect();
    scene.put_together(&records);
    for entry in &scene.seen.lock().unwrap().log {
        model.add(entry);
    }
    let filter = FilterBuilder::new()
        .authors([key(1).public()])
        .build()
        .unwrap();
    for rows in [1, 20, 300, 1_000] {
        let found = scene.query(&filter, Seq::MAX, rows);
        model.check(&filter, Seq::MAX, &found, &format!("rows {rows}"));
    }
    let many = (300..340).map(|number| kind(number, UNIQUE));
    let filter = FilterBuilder::new().authors([key(1).public()]).kinds(many);
    let filter = filter.build().unwrap();
    let found = scene.query(&filter, Seq::MAX, 7);
    assert_eq!(found.len(), 40);
    model.check(&filter, Seq::MAX, &found, "forty of the kinds");
}
