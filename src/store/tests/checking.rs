//! `verify` finds every kind of damage, and names it.

use std::{fs, path::Path};

use super::support::{REPLACEABLE, Scene, UNIQUE, build, inspect, kind, record, settings};
use crate::{
    base::Seq,
    store::{
        Counts, Pass, Problem, Progress, Report, Store, Table,
        database::{COUNTS_KEY, Database},
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
