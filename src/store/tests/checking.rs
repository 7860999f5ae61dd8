//! `verify` finds every kind of damage, and names it.

use std::{fs, path::Path};

use super::support::{
    Decision, REPLACEABLE, Scene, UNIQUE, build, inspect, key, kind, record, settings,
};
use crate::{
    base::Seq,
    store::{
        Account, Act, Charge, Counts, Expect, Pass, Problem, Progress, Quota, RecordChange,
        Removal, Report, StateChange, StateTable, Store, Table, Usage,
        database::{COUNTS_KEY, Database},
        record_format::{self, LogEntry},
        state::{state_key, usage_key},
    },
    verify::VerifyError,
    wire::{TagKind, TagsBuilder},
};

fn filled() -> Scene {
    let scene = Scene::new();
    for n in 0..200_u64 {
        let tags = TagsBuilder::new()
            .raw(TagKind(7), &n.to_be_bytes())
            .unwrap();
        scene.send(&build(1, 1, kind(1, UNIQUE), n, 1, tags, &[5; 40]));
    }
    scene.keep(&record(2, kind(2, REPLACEABLE), 1));
    scene.keep(&record(2, kind(2, REPLACEABLE), 2));
    scene
}

fn verify(store: &Store) -> Report {
    store.verify(&mut inspect(), &mut |_| {}).unwrap()
}

fn problems(damage: impl Fn(&Database)) -> Vec<Problem> {
    let scene = filled();
    damage(&scene.store.shared.db);
    let report = verify(&scene.store);
    assert_eq!(report.problems_total, report.problems.len() as u64);
    report.problems
}

fn change_entry(db: &Database, seq: u64, change: impl Fn(&mut Vec<u8>)) {
    let mut value = db.log_value(Seq::new(seq)).unwrap().to_vec();
    change(&mut value);
    let key = Seq::new(seq).to_be_bytes();
    db.engine().put_cf(db.log().unwrap(), key, value).unwrap();
}

#[test]
fn a_sound_store_is_clean_and_its_counts_are_told() {
    let scene = filled();
    let mut told = Vec::new();
    let report = scene
        .store
        .verify(&mut inspect(), &mut |progress| told.push(progress))
        .unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.entries, 202);
    assert_eq!(report.counts, scene.store.stats().unwrap().counts);
    let last_of = |pass| told.iter().rev().find(|it| it.pass == pass).copied();
    let whole = |pass, total| Progress {
        pass,
        done: total,
        total,
    };
    assert_eq!(last_of(Pass::Log), Some(whole(Pass::Log, 202)));
    assert_eq!(last_of(Pass::Index), Some(whole(Pass::Index, 1_004)));
    assert_eq!(last_of(Pass::StrayKeys), None);
}

#[test]
fn one_flipped_bit_of_a_record_is_found_wherever_it_is() {
    for from_end in [1, 40, 70, 90, 200] {
        let found = problems(|db| {
            change_entry(db, 100, |value| {
                let at = value.len() - from_end;
                value[at] ^= 1;
            });
        });
        let is_expected = |problem: &Problem| match problem {
            // In the signature, behind everything that the hash covers.
            Problem::InvalidRecord(seq, why) => {
                let is_hash = *why == VerifyError::HashMismatch.to_string();
                *seq == Seq::new(100) && is_hash == (from_end > 64)
            }
            Problem::MalformedEntry(seq) => *seq == Seq::new(100),
            _ => false,
        };
        assert!(
            found.iter().any(is_expected),
            "{from_end} from the end: {found:?}"
        );
    }
}

#[test]
fn a_log_with_a_gap_or_a_malformed_entry_is_not_clean() {
    let missing = problems(|db| {
        let key = Seq::new(50).to_be_bytes();
        db.engine().delete_cf(db.log().unwrap(), key).unwrap();
    });
    assert!(missing.contains(&Problem::MissingEntry(Seq::new(50))));
    let malformed = problems(|db| change_entry(db, 50, |value| value.truncate(100)));
    assert!(malformed.contains(&Problem::MalformedEntry(Seq::new(50))));
}

#[test]
fn an_entry_received_before_the_one_in_front_is_found() {
    let found = problems(|db| change_entry(db, 50, |value| value[3..11].fill(0)));
    assert_eq!(found, [Problem::ReceivedBackwards(Seq::new(50))]);
}

#[test]
fn a_record_replaced_by_nothing_is_found() {
    let found = problems(|db| {
        change_entry(db, 201, |value| {
            let last = value.len() - 1;
            value[last] = 3;
        });
    });
    assert_eq!(found, [Problem::ReplacedByNothing(Seq::new(201))]);
}

#[test]
fn a_key_that_is_missing_or_too_many_is_found() {
    let keys = |db: &Database, seq: u64| {
        let value = db.log_value(Seq::new(seq)).unwrap();
        let entry = crate::store::record_format::LogEntry::decode(&value).unwrap();
        let crate::store::record_format::LogEntry::Record(_, record) = entry else {
            panic!("not a record");
        };
        db.secret().record_keys(&record, Seq::new(seq))
    };
    let missing = problems(|db| {
        for key in keys(db, 7) {
            db.engine().delete_cf(db.index().unwrap(), key).unwrap();
        }
    });
    let tables = [
        Table::Time,
        Table::Author,
        Table::Kind,
        Table::Tag,
        Table::Address,
    ];
    let expected = tables.map(|table| Problem::MissingKey(Seq::new(7), table));
    assert_eq!(missing, expected);
    let stray = problems(|db| {
        let mut key = keys(db, 7)[0];
        key[24] = 9;
        db.engine().put_cf(db.index().unwrap(), key, []).unwrap();
        db.engine()
            .put_cf(db.index().unwrap(), b"what", [])
            .unwrap();
    });
    let expected = [
        Problem::ForeignKey,
        Problem::StrayKey(Seq::new(9), Table::Time),
    ];
    assert_eq!(stray, expected);
    let both = problems(|db| {
        let mut key = keys(db, 7)[0];
        db.engine().delete_cf(db.index().unwrap(), key).unwrap();
        key[24] = 9;
        db.engine().put_cf(db.index().unwrap(), key, []).unwrap();
    });
    let expected = [
        Problem::MissingKey(Seq::new(7), Table::Time),
        Problem::StrayKey(Seq::new(9), Table::Time),
    ];
    assert_eq!(both, expected);
}

/// A store with a held record at 1, a removed one at 2 and its act at 3, which sets a value, too.
fn acted() -> Scene {
    let scene = Scene::new();
    scene.decide_all(Decision {
        held: true,
        charges: vec![Charge {
            user: key(1).public(),
            account: Account::Own,
            quota: Quota::UNBOUNDED,
        }],
        ..Decision::default()
    });
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    let removed = record(1, kind(1, UNIQUE), 2);
    scene.keep(&removed);
    let act = Act {
        state: vec![StateChange {
            table: StateTable::Ban,
            key: b"a".to_vec(),
            value: Some(b"1".to_vec()),
            expect: Expect::Any,
        }],
        records: vec![RecordChange::Remove {
            id: removed.id(),
            why: Removal::Deleted,
        }],
        ..Act::default()
    };
    drop(scene.writer.act(act));
    scene.assert_sound();
    scene
}

fn problems_of_acted(damage: impl Fn(&Database)) -> Vec<Problem> {
    let scene = acted();
    damage(&scene.store.shared.db);
    verify(&scene.store).problems
}

#[test]
fn state_that_is_not_what_the_acts_made_it_is_found() {
    let ban = |key: &[u8]| state_key(StateTable::Ban, key);
    let put = |db: &Database, key: &[u8], value: &[u8]| {
        db.engine().put_cf(db.state().unwrap(), key, value).unwrap();
    };
    let wrong = |key: &[u8]| vec![Problem::WrongState(StateTable::Ban, key.to_vec())];
    let found = problems_of_acted(|db| put(db, &ban(b"a"), b"2"));
    assert_eq!(found, wrong(b"a"));
    let found = problems_of_acted(|db| put(db, &ban(b"b"), b"1"));
    assert_eq!(found, wrong(b"b"));
    let found = problems_of_acted(|db| {
        let state = db.state().unwrap();
        db.engine().delete_cf(state, ban(b"a")).unwrap();
    });
    assert_eq!(found, wrong(b"a"));
    for foreign in [&[][..], &[99], &[128], &[128; 34]] {
        let found = problems_of_acted(|db| put(db, foreign, b"1"));
        assert_eq!(found, [Problem::ForeignState], "{foreign:?}");
    }
}

#[test]
fn an_account_that_does_not_add_up_is_found() {
    let (user, stranger) = (key(1).public(), key(2).public());
    for (whose, value) in [(user, None), (user, Some(7)), (stranger, Some(1))] {
        let found = problems_of_acted(|db| {
            let (engine, state) = (db.engine(), db.state().unwrap());
            match value {
                Some(records) => {
                    let mut usage = Usage::default();
                    usage.own.records = records;
                    let value = usage.encode().unwrap();
                    engine.put_cf(state, usage_key(&whose), value).unwrap();
                }
                None => engine.delete_cf(state, usage_key(&whose)).unwrap(),
            }
        });
        let [Problem::WrongUsage(usage)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(usage.0, whose);
        assert_eq!(usage.1.own.records, value.unwrap_or(0));
        assert_eq!(usage.2.own.records, u64::from(whose == user));
    }
}

#[test]
fn keys_of_held_and_removed_records_and_of_acts_that_are_missing_are_found() {
    for (table, seq) in [(Table::Held, 1), (Table::Removed, 3), (Table::Act, 3)] {
        let found = problems_of_acted(|db| {
            let value = db.log_value(Seq::new(seq)).unwrap();
            let keys = match LogEntry::decode(&value).unwrap() {
                LogEntry::Record(header, record) => {
                    assert!(header.held);
                    db.secret().entry_keys(&record, true, Seq::new(seq))
                }
                LogEntry::Act { body, .. } => db.secret().act_keys(body.removed(), Seq::new(seq)),
                other => panic!("{other:?}"),
            };
            let due = keys.iter().find(|key| key[0] == table.byte()).unwrap();
            db.engine().delete_cf(db.index().unwrap(), due).unwrap();
        });
        assert_eq!(found, [Problem::MissingKey(Seq::new(seq), table)]);
    }
}

#[test]
fn an_act_that_did_not_do_what_it_says_is_found() {
    let found = problems_of_acted(|db| {
        let value = db.log_value(Seq::new(2)).unwrap().to_vec();
        let received = LogEntry::decode(&value).unwrap().received();
        let other = record_format::encode_gone(received, Seq::new(4)).unwrap();
        let key = Seq::new(2).to_be_bytes();
        db.engine().put_cf(db.log().unwrap(), key, other).unwrap();
    });
    assert!(found.contains(&Problem::ActWithoutEffect(Seq::new(3), Seq::new(2))));
}

#[test]
fn counters_that_are_wrong_are_found() {
    let found = problems(|db| {
        let wrong = Counts::default().encode().unwrap();
        db.engine()
            .put_cf(db.meta().unwrap(), COUNTS_KEY, wrong)
            .unwrap();
    });
    let [Problem::WrongCounts(counts)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(counts.0, Counts::default());
    assert_eq!((counts.1.records, counts.1.gone), (201, 1));
}

#[test]
fn more_problems_than_are_listed_are_counted() {
    let scene = filled();
    let db = &scene.store.shared.db;
    for seq in 1..=150 {
        change_entry(db, seq, |value| value.truncate(100));
    }
    let report = verify(&scene.store);
    assert_eq!(report.problems.len(), 100);
    assert!(report.problems_total >= 150);
}

/// Flips one bit in each stretch of a file, one after the other, and verifies each time.
fn check_bit_flips(extension: &str, is_found: impl Fn(&Problem) -> bool) {
    let scene = filled();
    let payload: Vec<u8> = (0..100_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    scene.keep(&build(
        1,
        1,
        kind(1, UNIQUE),
        900,
        1,
        TagsBuilder::new(),
        &payload,
    ));
    let dir = scene.close();
    let files = fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    files.sort_by_key(|path| fs::metadata(path).unwrap().len());
    let largest = files.pop().unwrap();
    let sound = fs::read(&largest).unwrap();
    let mut found = 0;
    for tenth in 1..6 {
        let mut bytes = sound.clone();
        let at = bytes.len() * tenth / 10;
        bytes[at] ^= 4;
        fs::write(&largest, bytes).unwrap();
        found += u32::from(is_noticed(dir.path(), &is_found));
    }
    fs::write(&largest, sound).unwrap();
    let store = Store::open(dir.path(), settings()).unwrap();
    assert!(verify(&store).is_clean());
    assert_eq!(found, 5);
}

fn is_noticed(dir: &Path, is_found: &impl Fn(&Problem) -> bool) -> bool {
    match Store::open(dir, settings()) {
        Err(_) => true,
        Ok(store) => {
            let report = verify(&store);
            report.problems.iter().any(is_found)
        }
    }
}

#[test]
fn a_flipped_bit_in_a_table_is_found() {
    check_bit_flips("sst", |problem| {
        matches!(
            problem,
            Problem::UnreadableEntry(..) | Problem::UnreadableIndex(_)
        )
    });
}

#[test]
fn a_flipped_bit_in_a_large_record_is_found() {
    check_bit_flips(
        "blob",
        |problem| matches!(problem, Problem::UnreadableEntry(seq, _) if *seq == Seq::new(203)),
    );
}
