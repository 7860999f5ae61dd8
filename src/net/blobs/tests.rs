//! BLOBs of a driven stream, with a store behind it.

use super::*;
use crate::net::probing::Answers;
use crate::net::room::Room;
use crate::net::stream::testing::Driven;
use crate::net::testing::{Behind, soon};
use crate::policy::testing::{Person, rules};
use crate::policy::{BlobAccess, BlobRules, Limit, RateRules, Rules};
use crate::wire::{ClientMessage, Redeem, ServerMessage};
use std::sync::atomic::Ordering;

const LENGTH: usize = 64 * BLOB_CHUNK_BYTES + 1;

fn data() -> Vec<u8> {
    (0..LENGTH)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

async fn store(behind: &Behind, data: &[u8]) -> BlobHash {
    let hash = BlobHash::of(data);
    let claim = BlobClaim {
        hash,
        length_bytes: u64::try_from(data.len()).unwrap(),
        submitter: None,
        owner: None,
        owner_bytes_max: u64::MAX,
    };
    let depot = behind.depot();
    let mut upload = begin(&depot.writer, claim).await.unwrap();
    let data = Bytes::copy_from_slice(data);
    write(&depot, &mut upload, data).await.unwrap();
    let (told, outcome) = oneshot::channel();
    upload.finish(|outcome| told.send(outcome).unwrap());
    assert!(matches!(outcome.await.unwrap(), BlobOutcome::Stored(_)));
    hash
}

fn get(hash: BlobHash) -> ClientMessage {
    let hash = *hash.as_bytes();
    ClientMessage::BlobGet { hash }
}

#[tokio::test]
async fn a_blob_that_is_removed_while_it_is_sent_breaks_the_stream_off() {
    let behind = Behind::new();
    let data = data();
    let hash = store(&behind, &data).await;
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.allow(100);
    driven.peer.send(&get(hash));
    let head = driven.peer.next().await;
    assert!(
        matches!(head, Some(ServerMessage::BlobResult { .. })),
        "{head:?}"
    );
    let writer = behind.depot().writer.clone();
    let removal = spawn_blocking(move || {
        writer.remove(crate::store::BlobRemoval {
            hash,
            by: None,
            call: "blob.delete".to_owned(),
            detail: String::new(),
        })
    });
    let removed = soon(removal).await.unwrap();
    assert!(matches!(removed, crate::store::RemovedBlob::Removed(_)));
    driven.peer.allow(usize::MAX);
    soon(driven.peer.was_reset()).await;
    let sent_bytes = driven.peer.unread_bytes();
    assert!(sent_bytes < LENGTH, "{sent_bytes}");
}

#[tokio::test]
async fn a_blob_that_its_reader_may_not_read_any_more_breaks_the_stream_off() {
    let for_users = BlobRules {
        read: BlobAccess::Users,
        ..rules().blobs
    };
    for blobs in [BlobRules::OFF, for_users] {
        let behind = Behind::new();
        let hash = store(&behind, &data()).await;
        let mut driven = Driven::greeted(&behind).await;
        driven.peer.allow(100);
        driven.peer.send(&get(hash));
        let head = driven.peer.next().await;
        assert!(
            matches!(head, Some(ServerMessage::BlobResult { .. })),
            "{head:?}"
        );
        behind.settings.rules.swap(Rules { blobs, ..rules() });
        driven.peer.allow(usize::MAX);
        soon(driven.peer.was_reset()).await;
        let sent_bytes = driven.peer.unread_bytes();
        assert!(sent_bytes < LENGTH, "{sent_bytes}");
    }
}

/// Registers peers whose registration it lets a test hold up.
struct Registrar {
    is_open: bool,
    began: tokio::sync::mpsc::UnboundedSender<()>,
    go_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Newcomers for Registrar {
    fn greeted(&self, _: PeerKey, _: IpAddr) {}

    fn may_register(&self, _: PeerKey) -> bool {
        self.is_open
    }

    fn register(&self, _: PeerKey, _: IpAddr) {
        self.began.send(()).unwrap();
        self.go_on.lock().unwrap().recv().ok();
    }

    fn redeem(&self, _: PeerKey, _: Redeem, _: Answers) {}
}

/// A depot whose registrar tells when it begins, and goes on when it is told.
fn depot_with(
    behind: &Behind,
    is_open: bool,
) -> (
    Depot,
    tokio::sync::mpsc::UnboundedReceiver<()>,
    std::sync::mpsc::Sender<()>,
) {
    let (began, begun) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, told) = std::sync::mpsc::channel();
    let registrar = Registrar {
        is_open,
        began,
        go_on: std::sync::Mutex::new(told),
    };
    let writer = behind.depot().writer.clone();
    let depot = Depot::new(behind.store.clone(), writer, Arc::new(registrar));
    (depot, begun, go_on)
}

fn newcomer() -> (Peer, IpAddr) {
    let peer = PeerKey::for_tests(Person::Stranger.key());
    (Peer::Known(peer), IpAddr::from([192, 0, 2, 1]))
}

#[tokio::test]
async fn a_registration_whose_stream_is_gone_keeps_its_turn_until_it_is_done() {
    let behind = Behind::new();
    let (depot, mut begun, go_on) = depot_with(&behind, true);
    let (peer, from) = newcomer();
    tokio::select! {
        () = depot.register(peer, from) => unreachable!("it is held up"),
        began = begun.recv() => began.unwrap(),
    }
    assert_eq!(
        depot.registering.available_permits(),
        REGISTRATIONS_AT_ONCE_MAX - 1
    );
    go_on.send(()).unwrap();
    let all = u32::try_from(REGISTRATIONS_AT_ONCE_MAX).unwrap();
    drop(soon(depot.registering.acquire_many(all)).await.unwrap());
    go_on.send(()).unwrap();
    soon(depot.register(peer, from)).await;
}

#[tokio::test]
async fn where_nobody_can_register_nobody_waits_for_a_turn() {
    let behind = Behind::new();
    let (depot, ..) = depot_with(&behind, false);
    let all = u32::try_from(REGISTRATIONS_AT_ONCE_MAX).unwrap();
    let others = depot.registering.acquire_many(all).await.unwrap();
    let (peer, from) = newcomer();
    soon(depot.register(peer, from)).await;
    drop(others);
}

#[tokio::test]
async fn a_peer_that_does_not_read_a_blob_has_a_few_pages_of_it_read_and_no_more() {
    let behind = Behind::new();
    let hash = store(&behind, &data()).await;
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.allow(40);
    driven.peer.send(&get(hash));
    let head = driven.peer.next().await;
    assert!(
        matches!(head, Some(ServerMessage::BlobResult { .. })),
        "{head:?}"
    );
    // Everything after it waits for the peer; the stream still notices when it goes.
    driven.peer.reset();
    soon(driven.driver).await.unwrap();
}

#[tokio::test]
async fn requests_behind_a_blob_are_answered_behind_its_data() {
    let behind = Behind::new();
    let data = data();
    let hash = store(&behind, &data).await;
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.send(&get(hash));
    driven.peer.send(&get(BlobHash::of(b"absent")));
    let head = driven.peer.next().await;
    let Some(ServerMessage::BlobResult {
        result: ResultCode::Success,
        data_bytes,
        ..
    }) = head
    else {
        panic!("{head:?}");
    };
    assert_eq!(data_bytes, u64::try_from(LENGTH).unwrap());
    let next = driven.peer.next().await;
    let is_absent = matches!(
        next,
        Some(ServerMessage::BlobResult {
            result: ResultCode::NotFound,
            ..
        })
    );
    assert!(is_absent, "{next:?}");
}

#[tokio::test]
async fn blobs_over_the_limits_are_too_fast() {
    let behind = Behind::new();
    behind.admission.rates.set(RateRules {
        query_rows_per_second: 15,
        submissions_per_second: 1,
        submissions_burst: 1,
        ..RateRules::NONE
    });
    let mut driven = Driven::greeted(&behind).await;
    let absent = BlobHash::of(b"absent");
    let hash = *absent.as_bytes();
    for expected in [ResultCode::NotFound, ResultCode::TooFast] {
        driven.peer.send(&get(absent));
        let answer = driven.peer.next().await;
        let Some(ServerMessage::BlobResult { result, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(result, expected);
    }
    for expected in [ResultCode::RequiresAuthentication, ResultCode::TooFast] {
        let data_bytes = 0;
        driven
            .peer
            .send(&ClientMessage::BlobSubmission { hash, data_bytes });
        let answer = driven.peer.next().await;
        let result = expected;
        assert_eq!(
            answer,
            Some(ServerMessage::BlobSubmissionResult { result, hash })
        );
    }
}

#[tokio::test]
async fn the_data_of_a_blob_count_as_rows_and_wait_until_they_are_made_good() {
    let behind = Behind::new();
    let data = data();
    let hash = store(&behind, &data).await;
    let rows_per_second = u32::try_from(LENGTH / RATE_BLOB_ROW_BYTES / 2).unwrap();
    behind.admission.rates.set(RateRules {
        query_rows_per_second: rows_per_second,
        ..RateRules::NONE
    });
    let mut driven = Driven::greeted(&behind).await;
    let began = tokio::time::Instant::now();
    driven.peer.send(&get(hash));
    driven.peer.send(&ClientMessage::Unsubscribe {
        id: crate::net::testing::ID,
    });
    let head = driven.peer.next().await;
    assert!(
        matches!(head, Some(ServerMessage::BlobResult { .. })),
        "{head:?}"
    );
    // What stands behind the data.
    let next = driven.peer.next().await;
    assert!(
        matches!(next, Some(ServerMessage::QueryClosed { .. })),
        "{next:?}"
    );
    let took = began.elapsed();
    assert!(took > std::time::Duration::from_millis(500), "{took:?}");
    let delayed = &behind
        .admission
        .rates
        .counters()
        .of(Limit::QueryRows)
        .delayed;
    assert!(delayed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_blob_comes_however_much_others_hold_that_read_nothing() {
    let behind = Behind::new();
    let data = data();
    let hash = store(&behind, &data).await;
    let room = Room::with_output(1);
    let held = room.for_stream().page(PageSize::Large).await.unwrap();
    let mut driven = Driven::with_room(&behind, std::time::Instant::now(), &room);
    driven.peer.allow(usize::MAX);
    driven.peer.send(&crate::net::testing::hello());
    driven.peer.next().await.unwrap();
    driven.peer.send(&get(hash));
    driven.peer.send(&get(BlobHash::of(b"absent")));
    for expected in [ResultCode::Success, ResultCode::NotFound] {
        let answer = driven.peer.next().await;
        let Some(ServerMessage::BlobResult { result, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(result, expected);
    }
    drop(held);
}

#[tokio::test]
async fn the_data_of_a_blob_that_nobody_reads_are_counted_in_the_room_of_the_connection() {
    let behind = Behind::new();
    let hash = store(&behind, &data()).await;
    let room = Room::for_tests();
    let driven = Driven::with_room(&behind, std::time::Instant::now(), &room);
    driven.peer.send(&crate::net::testing::hello());
    driven.peer.send(&get(hash));
    crate::net::testing::until(|| room.common_bytes() >= 2 * BLOB_PAGE_BYTES).await;
    driven.peer.reset();
    soon(driven.driver).await.unwrap();
    assert_eq!(room.common_bytes(), 0);
}
