//! Opening what a crash, a fault or another version left.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::support::{
    REPLACEABLE, Scene, UNIQUE, build, inspect, key, kind, name_of, record, settings,
};
use crate::{
    base::Seq,
    store::{
        Act, Acted, Counts, Damage, Expect, RecordChange, Removal, StateChange, StateTable, Store,
        StoreError, database,
    },
    wire::{Reference, TagsBuilder},
};

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|it| it == extension);
    let mut files: Vec<_> = files.filter(is_one).collect();
    files.sort();
    files
}

/// The write-ahead log that is being written.
fn write_ahead(dir: &Path) -> PathBuf {
    files(dir, "log").pop().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn open_error(dir: &Path) -> StoreError {
    Store::open(dir, settings()).unwrap_err()
}

#[test]
fn whatever_was_synced_survives_a_torn_end_of_the_write_ahead_log() {
    let scene = Scene::new();
    let wal = write_ahead(scene.path());
    let mut synced = vec![fs::metadata(&wal).unwrap().len()];
    let mut records = Vec::new();
    for n in 0..12 {
        let duplicates = if n % 3 == 0 { REPLACEABLE } else { UNIQUE };
        let payload = vec![1; usize::try_from(n * 97).unwrap()];
        let record = build(
            1,
            1,
            kind(1, duplicates),
            n,
            1,
            TagsBuilder::new(),
            &payload,
        );
        scene.keep(&record);
        records.push(record);
        synced.push(fs::metadata(&wal).unwrap().len());
    }
    let crashed = copy(scene.path());
    let name = wal.file_name().unwrap();
    let whole = *synced.last().unwrap();
    for cut in (synced[0]..=whole)
        .step_by(61)
        .chain(synced.iter().copied())
    {
        let dir = copy(crashed.path());
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(name))
            .unwrap();
        file.set_len(cut).unwrap();
        let store = Store::open(dir.path(), settings()).unwrap();
        let kept = synced.iter().filter(|end| **end <= cut).count() - 1;
        assert_eq!(
            store.tail(),
            Seq::new(kept as u64),
            "cut at {cut} of {whole}"
        );
        if let Some(last) = records[..kept].last() {
            assert_eq!(store.get(&Reference::Id(last.id()), 1).unwrap().len(), 1);
        }
        let report = store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "cut at {cut}: {:?}", report.problems);
    }
}

#[test]
fn a_flipped_bit_inside_the_write_ahead_log_is_an_error_and_loses_nothing_silently() {
    let scene = Scene::new();
    let wal = write_ahead(scene.path());
    let start = fs::metadata(&wal).unwrap().len();
    for n in 0..6 {
        scene.keep(&record(1, kind(1, UNIQUE), n));
    }
    let end = fs::metadata(&wal).unwrap().len();
    let name = wal.file_name().unwrap();
    for at in (start..end).step_by(29) {
        let dir = copy(scene.path());
        flip(&dir.path().join(name), usize::try_from(at).unwrap());
        let opened = Store::open(dir.path(), settings());
        // A length that was made longer than the file looks like a torn end: what is in front of
        // it is all there is. Anything else must be refused.
        match opened {
            Err(StoreError::Corrupt(_)) => {}
            Ok(store) => {
                assert!(store.tail() < Seq::new(6));
                assert!(
                    store
                        .verify(&mut inspect(), &mut |_| {})
                        .unwrap()
                        .is_clean()
                );
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_database_that_is_open_is_locked() {
    let scene = Scene::new();
    assert!(matches!(open_error(scene.path()), StoreError::Locked));
}

#[test]
fn a_newer_schema_is_refused_and_an_older_program_leaves_it_alone() {
    let scene = Scene::new();
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    let db = &scene.store.shared.db;
    let newer = (database::SCHEMA + 1).to_be_bytes();
    db.engine()
        .put_cf(db.meta().unwrap(), database::SCHEMA_KEY, newer)
        .unwrap();
    let dir = copy(scene.path());
    let before = files(dir.path(), "sst");
    let error = open_error(dir.path());
    assert!(matches!(
        error,
        StoreError::NewerSchema { found: 4, known: 3 }
    ));
    assert_eq!(
        error.to_string(),
        "database has schema 4, this program reads up to 3"
    );
    assert_eq!(files(dir.path(), "sst"), before);
}

/// Turns a closed store without acts, held records and charges into what a program of schema 1 left.
fn make_schema_1(dir: &Path, counts: &Counts) {
    let families = ["default", "log", "index", "state", "blobs"];
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir, families).unwrap();
    db.drop_cf("state").unwrap();
    db.drop_cf("blobs").unwrap();
    db.put(database::SCHEMA_KEY, 1_u32.to_be_bytes()).unwrap();
    let mut old = counts.encode().unwrap();
    assert_eq!((old[0], &old[old.len() - 3..]), (0x99, &[0, 0, 0][..]));
    old[0] = 0x96;
    old.truncate(old.len() - 3);
    db.put(database::COUNTS_KEY, old).unwrap();
}

#[test]
fn a_store_of_schema_1_is_upgraded_in_place_and_goes_on() {
    let scene = Scene::new();
    let (first, second) = (record(1, kind(1, UNIQUE), 1), record(1, kind(1, UNIQUE), 2));
    scene.keep(&first);
    scene.keep(&record(1, kind(1, REPLACEABLE), 1));
    scene.keep(&record(1, kind(1, REPLACEABLE), 2));
    let registered = scene.writer.register_user(key(1).public(), 0);
    assert_eq!(registered, crate::store::Registration::Added);
    let counts = scene.store.stats().unwrap().counts;
    let dir = scene.close();
    make_schema_1(dir.path(), &counts);
    let scene = Scene::of(dir);
    assert_eq!(scene.store.stats().unwrap().counts, counts);
    assert_eq!(scene.store.users().unwrap(), [key(1).public()]);
    scene.assert_sound();
    scene.keep_held(&second);
    let (_, missing) = scene.change(vec![
        RecordChange::Release(second.id()),
        RecordChange::Remove {
            id: first.id(),
            why: Removal::Deleted,
        },
    ]);
    assert!(missing.is_empty());
    let scene = scene.reopen();
    let meta = scene.store.shared.db.meta().unwrap();
    let schema = scene
        .store
        .shared
        .db
        .engine()
        .get_cf(meta, database::SCHEMA_KEY);
    assert_eq!(schema.unwrap().unwrap(), database::SCHEMA.to_be_bytes());
    assert_eq!(name_of(&scene.put(&first)), "removed");
    scene.assert_sound();
}

#[test]
fn an_act_is_there_whole_or_not_at_all_after_a_torn_end_of_the_write_ahead_log() {
    let scene = Scene::new();
    let wal = write_ahead(scene.path());
    let (held, gone) = (record(1, kind(1, UNIQUE), 1), record(1, kind(1, UNIQUE), 2));
    scene.keep_held(&held);
    scene.keep(&gone);
    let before = fs::metadata(&wal).unwrap().len();
    let acted = scene.writer.act(Act {
        state: vec![StateChange {
            table: StateTable::Ban,
            key: vec![1; 99],
            value: Some(vec![2; 99]),
            expect: Expect::Absent,
        }],
        records: vec![
            RecordChange::Release(held.id()),
            RecordChange::Remove {
                id: gone.id(),
                why: Removal::Deleted,
            },
        ],
        ..Act::default()
    });
    assert!(matches!(acted, Acted::Done { .. }));
    let whole = fs::metadata(&wal).unwrap().len();
    let crashed = copy(scene.path());
    for cut in (before..whole).step_by(37).chain([whole]) {
        let dir = copy(crashed.path());
        let path = dir.path().join(wal.file_name().unwrap());
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(cut).unwrap();
        let store = Store::open(dir.path(), settings()).unwrap();
        let is_done = cut == whole;
        let count = |id| store.get(&Reference::Id(id), 9).unwrap().len();
        let facts = (
            store.tail(),
            store.acts(None, 9).unwrap().len(),
            store.held(None, 9).unwrap().len(),
            count(gone.id()),
            store.state(StateTable::Ban, None, 9).unwrap().len(),
        );
        let expected = if is_done {
            (Seq::new(4), 1, 0, 0, 1)
        } else {
            (Seq::new(2), 0, 1, 1, 0)
        };
        assert_eq!(facts, expected, "cut at {cut} of {whole}");
        let report = store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "cut at {cut}: {:?}", report.problems);
    }
}

#[test]
fn meta_values_that_are_missing_are_damage() {
    for (name, expected) in [
        (database::SCHEMA_KEY, Damage::Meta("schema")),
        (database::SECRET_KEY, Damage::Meta("digest-key")),
    ] {
        let scene = Scene::new();
        scene.keep(&record(1, kind(1, UNIQUE), 1));
        let db = &scene.store.shared.db;
        db.engine().delete_cf(db.meta().unwrap(), name).unwrap();
        let dir = copy(scene.path());
        let error = open_error(dir.path());
        assert!(
            matches!(error, StoreError::Damaged(found) if found == expected),
            "{error:?}"
        );
    }
}

#[test]
fn remains_without_their_current_file_are_left_alone() {
    let scene = Scene::new();
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    let dir = scene.close();
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();
    assert!(matches!(open_error(dir.path()), StoreError::Remains));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
}

#[test]
fn a_gap_near_the_end_of_the_log_is_damage() {
    for gap in [1, 2, 4] {
        let scene = Scene::new();
        for n in 0..5 {
            scene.keep(&record(1, kind(1, UNIQUE), n));
        }
        let db = &scene.store.shared.db;
        let missing = Seq::new(gap);
        db.engine()
            .delete_cf(db.log().unwrap(), missing.to_be_bytes())
            .unwrap();
        let dir = copy(scene.path());
        let error = open_error(dir.path());
        let expected = Damage::Missing(missing);
        assert!(
            matches!(error, StoreError::Damaged(found) if found == expected),
            "{error:?}"
        );
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let scene = Scene::new();
    scene.keep(&record(1, kind(1, UNIQUE), 1));
    let dir = scene.close();
    let table = files(dir.path(), "sst").pop().unwrap();
    fs::remove_file(table).unwrap();
    assert!(Store::open(dir.path(), settings()).is_err());
}

#[test]
fn a_store_in_a_new_directory_is_empty_and_one_that_was_closed_is_not() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a").join("b");
    let store = Store::open(&path, settings()).unwrap();
    assert_eq!(store.tail(), Seq::ZERO);
    assert!(store.users().unwrap().is_empty());
    assert!(
        store
            .verify(&mut inspect(), &mut |_| {})
            .unwrap()
            .is_clean()
    );
    drop(store);
    let scene = Scene::new();
    assert_eq!(
        scene.writer.register_user(key(1).public(), 0),
        crate::store::Registration::Added
    );
    let dir = scene.close();
    let store = Store::open(dir.path(), settings()).unwrap();
    assert_eq!(store.tail(), Seq::new(1));
}
