//! BLOBs: handed in, read, removed, counted, and what is left of those that are not whole.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc,
};

use bytes::Bytes;

use super::support::{Scene, inspect, key, kind, record, settings};
use crate::{
    base::limits,
    store::{
        BlobClaim, BlobOutcome, BlobReadError, BlobRemoval, BlobTotal, BlobUpload, FreeSpace,
        Problem, RemovedBlob, Store, StoreOptions,
    },
    wire::BlobHash,
};

const CHUNK: usize = limits::BLOB_CHUNK_BYTES;

/// Data of that length, which differ by `seed`.
fn data(seed: u8, length: usize) -> Vec<u8> {
    let bytes = (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap() ^ seed);
    bytes.collect()
}

fn claim(data: &[u8]) -> BlobClaim {
    BlobClaim {
        hash: BlobHash::of(data),
        length_bytes: data.len() as u64,
        submitter: Some(key(1).public()),
        owner: Some(key(2).public()),
        owner_bytes_max: u64::MAX,
    }
}

fn begin(scene: &Scene, claim: BlobClaim) -> Result<BlobUpload, BlobOutcome> {
    let (told, begun) = mpsc::channel();
    scene
        .writer
        .blobs()
        .submit(claim, move |it| told.send(it).unwrap());
    begun.recv().unwrap()
}

fn feed(upload: &mut BlobUpload, data: &[u8]) -> Result<(), BlobOutcome> {
    let mut left = Bytes::copy_from_slice(data);
    while !left.is_empty() {
        if let Some(chunk) = upload.fill(&mut left)? {
            upload.write(chunk, ());
        }
    }
    Ok(())
}

fn finish(upload: BlobUpload) -> BlobOutcome {
    let (told, outcome) = mpsc::channel();
    upload.finish(move |it| told.send(it).unwrap());
    outcome.recv().unwrap()
}

fn put_as(scene: &Scene, claim: BlobClaim, data: &[u8]) -> BlobOutcome {
    match begin(scene, claim) {
        Ok(mut upload) => match feed(&mut upload, data) {
            Ok(()) => finish(upload),
            Err(outcome) => outcome,
        },
        Err(outcome) => outcome,
    }
}

fn remove(scene: &Scene, hash: BlobHash) -> RemovedBlob {
    scene.writer.blobs().remove(BlobRemoval {
        hash,
        by: Some(key(9).public()),
        call: "blob.delete".to_owned(),
        detail: "because".to_owned(),
    })
}

fn put(scene: &Scene, data: &[u8]) -> BlobOutcome {
    put_as(scene, claim(data), data)
}

fn keep(scene: &Scene, data: &[u8]) {
    let outcome = put(scene, data);
    assert!(matches!(outcome, BlobOutcome::Stored(_)), "{outcome:?}");
}

/// All of it, in pages of several sizes.
fn read(store: &Store, hash: &BlobHash) -> Option<Vec<u8>> {
    let mut reader = store.blob(hash).unwrap()?;
    let mut all = Vec::new();
    let sizes = [2 * CHUNK, 16 << 10, CHUNK + 1, 7, CHUNK];
    for size in sizes.into_iter().cycle() {
        if reader.left_bytes() == 0 {
            break;
        }
        let due = size.min(usize::try_from(reader.left_bytes()).unwrap());
        let page = reader.page(size).unwrap();
        assert_eq!(page.len(), due);
        all.extend_from_slice(&page);
    }
    assert!(reader.page(1).unwrap().is_empty());
    Some(all)
}

fn problems(store: &Store) -> Vec<Problem> {
    store.verify(&mut inspect(), &mut |_| ()).unwrap().problems
}

#[track_caller]
fn assert_clean(store: &Store, blobs: u64) {
    let report = store.verify(&mut inspect(), &mut |_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.blobs.blobs, blobs);
    assert_eq!(report.blobs, store.blob_totals().unwrap());
}

const LENGTHS: [usize; 9] = [
    0,
    1,
    8_191,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    3 * CHUNK + 5,
    17 * CHUNK,
];

#[test]
fn blobs_of_every_length_come_back_also_after_a_restart() {
    let scene = Scene::new();
    let blobs: Vec<Vec<u8>> = LENGTHS.iter().map(|length| data(1, *length)).collect();
    for blob in &blobs {
        keep(&scene, blob);
        scene.keep(&record(1, kind(1, 0), blob.len() as u64));
    }
    let check = |store: &Store| {
        for blob in &blobs {
            assert!(read(store, &BlobHash::of(blob)).unwrap() == *blob);
        }
        assert_eq!(read(store, &BlobHash::of(b"absent")), None);
        let bytes = LENGTHS.iter().sum::<usize>() as u64;
        let total = BlobTotal { blobs: 9, bytes };
        assert_eq!(store.blob_totals().unwrap(), total);
        assert_eq!(store.blob_usage(Some(&key(2).public())).unwrap(), total);
        assert_eq!(store.blob_usage(None).unwrap(), BlobTotal::default());
        assert_clean(store, 9);
    };
    check(&scene.store);
    let scene = scene.reopen();
    check(&scene.store);
    scene.store.close().unwrap();
    check(&scene.store);
}

#[test]
fn a_blob_is_not_there_before_its_last_byte_and_its_hash_were_checked() {
    let scene = Scene::new();
    let blob = data(1, 5 * CHUNK);
    let hash = BlobHash::of(&blob);
    let mut upload = begin(&scene, claim(&blob)).unwrap();
    feed(&mut upload, &blob).unwrap();
    // Another one behind it in the queue: all chunks before it are written.
    keep(&scene, b"other");
    assert_eq!(read(&scene.store, &hash), None);
    assert!(matches!(finish(upload), BlobOutcome::Stored(_)));
    assert!(read(&scene.store, &hash).unwrap() == blob);
}

#[test]
fn nothing_is_kept_of_data_that_are_not_what_was_claimed() {
    let scene = Scene::new();
    let tail = scene.store.tail();
    for length in [1, CHUNK, 3 * CHUNK + 1] {
        let blob = data(1, length);
        let wrong_hash = BlobClaim {
            hash: BlobHash::of(b"other"),
            ..claim(&blob)
        };
        let too_long = BlobClaim {
            length_bytes: blob.len() as u64 + 1,
            ..claim(&blob)
        };
        let too_short = BlobClaim {
            length_bytes: (blob.len() as u64).saturating_sub(1),
            ..claim(&data(2, length))
        };
        for claim in [wrong_hash, too_long, too_short] {
            assert_eq!(put_as(&scene, claim, &blob), BlobOutcome::Mismatch);
            assert_eq!(read(&scene.store, &claim.hash), None);
        }
    }
    assert_eq!(scene.store.tail(), tail);
    assert_clean(&scene.store, 0);
}

#[test]
fn an_upload_that_is_dropped_leaves_nothing_and_gives_back_what_it_reserved() {
    let scene = Scene::new();
    let blob = data(1, 4 * CHUNK);
    let quota = 4 * CHUNK as u64 + limits::BLOB_OVERHEAD_BYTES;
    let claim = BlobClaim {
        owner_bytes_max: quota,
        ..claim(&blob)
    };
    let mut upload = begin(&scene, claim).unwrap();
    feed(&mut upload, &blob[..3 * CHUNK]).unwrap();
    let second = begin(&scene, claim).map(drop);
    assert_eq!(
        second,
        Err(BlobOutcome::OverQuota),
        "the first one counts already"
    );
    drop(upload);
    assert!(matches!(
        put_as(&scene, claim, &blob),
        BlobOutcome::Stored(_)
    ));
    assert_clean(&scene.store, 1);
    assert_eq!(scene.store.blobs(None, 9).unwrap().len(), 1);
}

/// Chunks on the disk.
fn chunks(store: &Store) -> usize {
    let db = &store.shared.db;
    let family = db.blobs().unwrap();
    let iterator = db
        .engine()
        .iterator_cf(family, rocksdb::IteratorMode::Start);
    iterator.count()
}

#[test]
fn what_an_upload_left_when_the_process_ended_is_deleted_at_the_next_start() {
    let scene = Scene::new();
    let blob = data(1, 6 * CHUNK);
    keep(&scene, b"kept");
    let mut upload = begin(&scene, claim(&blob)).unwrap();
    feed(&mut upload, &blob[..5 * CHUNK]).unwrap();
    keep(&scene, &data(2, 2 * CHUNK));
    assert_clean(&scene.store, 2);
    // As a crash does: the writer is gone before the upload can say that it is given up.
    scene.writer.shutdown().unwrap();
    drop(upload);
    assert_eq!(chunks(&scene.store), 5 + 1 + 2);
    let scene = scene.reopen();
    assert_eq!(chunks(&scene.store), 1 + 2);
    assert_clean(&scene.store, 2);
    keep(&scene, &blob);
}

#[test]
fn what_is_here_is_a_duplicate_and_of_two_at_a_time_the_second_to_end_is() {
    let scene = Scene::new();
    let blob = data(1, 2 * CHUNK + 1);
    let mut first = begin(&scene, claim(&blob)).unwrap();
    let mut second = begin(&scene, claim(&blob)).unwrap();
    feed(&mut first, &blob).unwrap();
    feed(&mut second, &blob).unwrap();
    assert!(matches!(finish(second), BlobOutcome::Stored(_)));
    assert_eq!(finish(first), BlobOutcome::Duplicate);
    assert_eq!(put(&scene, &blob), BlobOutcome::Duplicate);
    let other_length = BlobClaim {
        length_bytes: 3,
        ..claim(&blob)
    };
    assert_eq!(put_as(&scene, other_length, &blob), BlobOutcome::Mismatch);
    let stranger = BlobClaim {
        owner: None,
        owner_bytes_max: 0,
        ..claim(&blob)
    };
    assert_eq!(put_as(&scene, stranger, &blob), BlobOutcome::Duplicate);
    assert!(read(&scene.store, &BlobHash::of(&blob)).unwrap() == blob);
    assert_clean(&scene.store, 1);
}

#[test]
fn two_in_one_batch_are_told_apart() {
    let scene = Scene::new();
    let blob = data(1, 10);
    let uploads: Vec<BlobUpload> = (0..3)
        .map(|_| {
            let mut upload = begin(&scene, claim(&blob)).unwrap();
            feed(&mut upload, &blob).unwrap();
            upload
        })
        .collect();
    let (told, outcomes) = mpsc::channel();
    scene.hold();
    for upload in uploads {
        let told = told.clone();
        upload.finish(move |it| told.send(it).unwrap());
    }
    scene.release();
    let outcomes: Vec<BlobOutcome> = (0..3).map(|_| outcomes.recv().unwrap()).collect();
    assert!(matches!(outcomes[0], BlobOutcome::Stored(_)));
    assert_eq!(outcomes[1..], [BlobOutcome::Duplicate; 2]);
    assert_clean(&scene.store, 1);
}

#[test]
fn an_account_has_room_up_to_its_quota_which_counts_each_blob_for_more_than_its_data() {
    let scene = Scene::new();
    let each = 100 + limits::BLOB_OVERHEAD_BYTES;
    let with = |seed, owner| {
        let blob = data(seed, 100);
        let claim = BlobClaim {
            owner,
            owner_bytes_max: 2 * each,
            ..claim(&blob)
        };
        put_as(&scene, claim, &blob)
    };
    let owner = Some(key(7).public());
    assert!(matches!(with(1, owner), BlobOutcome::Stored(_)));
    assert!(matches!(with(2, owner), BlobOutcome::Stored(_)));
    assert_eq!(with(3, owner), BlobOutcome::OverQuota);
    assert!(
        matches!(with(4, None), BlobOutcome::Stored(_)),
        "another account"
    );
    let removed = remove(&scene, BlobHash::of(&data(1, 100)));
    assert!(matches!(removed, RemovedBlob::Removed(_)));
    assert!(matches!(with(3, owner), BlobOutcome::Stored(_)));
    assert_eq!(
        scene
            .store
            .blob_usage(owner.as_ref())
            .unwrap()
            .charged_bytes(),
        2 * each
    );
    assert_clean(&scene.store, 3);
}

/// The claim of that number of one of many accounts.
fn claim_of(owner: u8, number: u64) -> BlobClaim {
    BlobClaim {
        owner: (owner > 0).then(|| key(owner).public()),
        ..claim(&[[owner; 8], number.to_be_bytes()].concat())
    }
}

#[test]
fn as_many_uploads_as_may_be_open_at_a_time_are_and_no_more() {
    let scene = Scene::new();
    let each = limits::BLOB_OWNER_UPLOADS_MAX;
    let owners = (1_u8..).take(limits::BLOB_UPLOADS_MAX.div_ceil(usize::try_from(each).unwrap()));
    let claims = owners.flat_map(|owner| (0..each).map(move |number| claim_of(owner, number)));
    let claims = claims.take(limits::BLOB_UPLOADS_MAX);
    let mut open: Vec<_> = claims.map(|claim| begin(&scene, claim)).collect();
    assert!(open.iter().all(Result::is_ok));
    let refused = begin(&scene, claim_of(200, 0));
    assert_eq!(refused.map(drop), Err(BlobOutcome::Busy));
    open.pop();
    assert!(begin(&scene, claim_of(200, 0)).is_ok());
}

#[test]
fn one_account_has_a_few_uploads_open_at_a_time_and_leaves_the_others_to_others() {
    let scene = Scene::new();
    // Whoever has no account of their own shares one.
    for owner in [0, 7] {
        let claims = (0..limits::BLOB_OWNER_UPLOADS_MAX).map(|number| claim_of(owner, number));
        let mut open: Vec<_> = claims.map(|claim| begin(&scene, claim)).collect();
        assert!(open.iter().all(Result::is_ok));
        let refused = begin(&scene, claim_of(owner, u64::MAX));
        assert_eq!(refused.map(drop), Err(BlobOutcome::Busy));
        drop(begin(&scene, claim_of(9, 0)).unwrap());
        open.pop();
        drop(begin(&scene, claim_of(owner, u64::MAX)).unwrap());
    }
}

#[test]
fn a_removed_blob_is_gone_its_reader_gets_an_error_and_it_may_come_again() {
    let scene = Scene::new();
    let blob = data(1, 9 * CHUNK);
    let hash = BlobHash::of(&blob);
    keep(&scene, &blob);
    let mut reader = scene.store.blob(&hash).unwrap().unwrap();
    let first = reader.page(limits::BLOB_PAGE_BYTES).unwrap();
    assert!(blob.starts_with(&first));
    let removed = remove(&scene, hash);
    assert!(matches!(removed, RemovedBlob::Removed(seq) if seq == scene.store.tail()));
    assert!(matches!(
        reader.page(limits::BLOB_PAGE_BYTES),
        Err(BlobReadError::Removed)
    ));
    assert_eq!(read(&scene.store, &hash), None);
    assert_eq!(remove(&scene, hash), RemovedBlob::Absent);
    assert_clean(&scene.store, 0);
    keep(&scene, &blob);
    assert!(
        matches!(
            reader.page(limits::BLOB_PAGE_BYTES),
            Err(BlobReadError::Removed)
        ),
        "not of the new one"
    );
    drop(reader);
    let scene = scene.reopen();
    assert!(read(&scene.store, &hash).unwrap() == blob);
    assert_clean(&scene.store, 1);
}

#[test]
fn the_trail_tells_of_a_removal_and_of_none_that_was_not_done() {
    let scene = Scene::new();
    let (blob, other) = (data(1, 10), BlobHash::of(b"other"));
    keep(&scene, &blob);
    assert_eq!(remove(&scene, other), RemovedBlob::Absent);
    assert!(scene.store.acts(None, 9).unwrap().is_empty());
    let engine = scene.store.shared.db.engine();
    let before = engine.latest_sequence_number();
    assert!(matches!(
        remove(&scene, BlobHash::of(&blob)),
        RemovedBlob::Removed(_)
    ));
    let acts = scene.store.acts(None, 9).unwrap();
    assert_eq!((acts.len(), acts[0].call.as_str()), (1, "blob.delete"));
    assert_eq!(
        (acts[0].by, acts[0].detail.as_str()),
        (Some(key(9).public()), "because")
    );
    let written = engine.get_updates_since(before).unwrap();
    assert_eq!(written.count(), 1, "one batch");
    let scene = scene.reopen();
    assert_eq!(scene.store.acts(None, 9).unwrap(), acts);
    assert_clean(&scene.store, 0);
}

#[test]
fn every_blob_is_listed_once_with_who_brought_it_however_long_the_pages_are() {
    let scene = Scene::new();
    for n in 0..20_u8 {
        keep(&scene, &data(n, usize::from(n) * 10));
    }
    for rows in [1, 3, 20, 100] {
        let mut listed = Vec::new();
        loop {
            let page = scene.store.blobs(listed.last(), rows).unwrap();
            assert!(page.len() <= rows);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        let mut lengths: Vec<u64> = listed.iter().map(|info| info.length_bytes).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, (0..20).map(|n| n * 10).collect::<Vec<_>>());
        let brought = |info: &crate::store::BlobInfo| {
            info.submitter == Some(key(1).public()) && info.owner == Some(key(2).public())
        };
        assert!(listed.iter().all(brought));
    }
}

struct Disk(AtomicU64);

impl FreeSpace for Disk {
    fn available_bytes(&self, _: &std::path::Path) -> std::io::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_full_disk_turns_blobs_away_at_every_step_and_takes_them_again_later() {
    let disk = Arc::new(Disk(AtomicU64::new(100)));
    let scene = Scene::with(StoreOptions {
        free_space_floor_bytes: 50,
        free_space: Arc::clone(&disk) as Arc<dyn FreeSpace>,
        ..settings()
    });
    let blob = data(1, 3 * CHUNK + 1);
    let mut at_end = begin(&scene, claim(&blob)).unwrap();
    feed(&mut at_end, &blob).unwrap();
    let mut within = begin(&scene, claim(&blob)).unwrap();
    keep(&scene, b"first");
    disk.0.store(49, Ordering::Relaxed);
    assert_eq!(put(&scene, b"second"), BlobOutcome::NoSpace);
    feed(&mut within, &blob[..CHUNK]).unwrap();
    assert_eq!(
        put(&scene, b"second"),
        BlobOutcome::NoSpace,
        "the chunk was looked at"
    );
    assert_eq!(feed(&mut within, &blob[CHUNK..]), Err(BlobOutcome::NoSpace));
    drop(within);
    assert_eq!(finish(at_end), BlobOutcome::NoSpace);
    assert_clean(&scene.store, 1);
    disk.0.store(50, Ordering::Relaxed);
    keep(&scene, &blob);
    assert_clean(&scene.store, 2);
}

#[test]
fn behind_a_chunk_for_which_there_was_no_space_none_is_written_though_it_was_queued_already() {
    let disk = Arc::new(Disk(AtomicU64::new(50)));
    let scene = Scene::with(StoreOptions {
        free_space_floor_bytes: 50,
        free_space: Arc::clone(&disk) as Arc<dyn FreeSpace>,
        ..settings()
    });
    let blob = data(1, 3 * CHUNK);
    let mut upload = begin(&scene, claim(&blob)).unwrap();
    let mut left = Bytes::copy_from_slice(&blob);
    for available_bytes in [49, 50] {
        disk.0.store(available_bytes, Ordering::Relaxed);
        let chunk = left.split_to(CHUNK);
        let (room, done) = mpsc::channel::<()>();
        upload.write(chunk, room);
        assert!(done.recv().is_err(), "the room is given back");
    }
    scene.writer.shutdown().unwrap();
    drop(upload);
    assert_eq!(chunks(&scene.store), 0);
    assert_clean(&scene.reopen().store, 0);
}

#[test]
fn after_the_writer_was_shut_down_nothing_hangs() {
    let scene = Scene::new();
    let blob = data(1, 2 * CHUNK);
    let mut upload = begin(&scene, claim(&blob)).unwrap();
    scene.writer.shutdown().unwrap();
    let blobs = scene.writer.blobs();
    assert_eq!(remove(&scene, BlobHash::of(&blob)), RemovedBlob::Halted);
    let (told, begun) = mpsc::channel();
    blobs.submit(claim(&blob), move |it| told.send(it.map(drop)).unwrap());
    assert!(begun.recv().is_err(), "dropped");
    assert_eq!(feed(&mut upload, &blob), Err(BlobOutcome::Halted));
}

#[test]
fn verification_finds_what_is_wrong_with_blobs() {
    let blob = data(1, 3 * CHUNK);
    let damaged = |damage: &dyn Fn(&Store, &[Vec<u8>])| {
        let scene = Scene::new();
        keep(&scene, &blob);
        let db = &scene.store.shared.db;
        let family = db.blobs().unwrap();
        let iterator = db
            .engine()
            .iterator_cf(family, rocksdb::IteratorMode::Start);
        let keys: Vec<Vec<u8>> = iterator.map(|item| item.unwrap().0.into_vec()).collect();
        assert_eq!(keys.len(), 3);
        damage(&scene.store, &keys);
        problems(&scene.store)
    };
    let put = |store: &Store, key: &[u8], value: &[u8]| {
        let db = &store.shared.db;
        db.engine().put_cf(db.blobs().unwrap(), key, value).unwrap();
    };
    let wrong = |found: Vec<Problem>, text: &str| {
        let [Problem::WrongBlob(_, why)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert!(why.contains(text), "{why}");
    };
    wrong(
        damaged(&|store, keys| put(store, &keys[1], &vec![9; CHUNK])),
        "hash",
    );
    wrong(
        damaged(&|store, keys| put(store, &keys[1], b"short")),
        "length",
    );
    let missing = damaged(&|store, keys| {
        let db = &store.shared.db;
        db.engine()
            .delete_cf(db.blobs().unwrap(), &keys[2])
            .unwrap();
    });
    wrong(missing, "missing");
    let stray = damaged(&|store, keys| {
        let mut key = keys[0].clone();
        key[35] ^= 1;
        put(store, &key, b"x");
    });
    assert_eq!(stray, [Problem::StrayChunks]);
    let counted = damaged(&|store, _| {
        let db = &store.shared.db;
        db.engine()
            .delete_cf(db.meta().unwrap(), b"blob-totals")
            .unwrap();
    });
    assert_eq!(counted, [Problem::WrongBlobCount]);
}
