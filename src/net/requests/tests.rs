//! Reads of a real store, without a session or a transport around them.

use futures_util::FutureExt;

use super::super::room::Room;
use super::super::testing::{Behind, kind, records, soon, until};
use super::*;
use crate::base::limits::{MAILBOX_MAX_RECORDS, PAGE_MAX_RECORDS};
use crate::base::{Role, RoleSet};
use crate::policy::testing::{NOW, Person};
use crate::session;
use crate::wire::{
    Address, Attestation, ClientMessage, FilterBuilder, KeyMarker, KeyScheduleBuilder, Kind,
    ListedKey, QueryId, RecordBuilder, Reference, SecretKey, Timestamp,
};

/// The reads of one stream, and the requests that a session made for it.
struct Reads {
    requests: Requests,
    session: session::Stream,
    behind: Arc<Behind>,
    reader: Option<Person>,
}

impl Reads {
    fn new(behind: &Arc<Behind>, results_max: u32) -> Self {
        let peer = crate::identity::Peer::Anonymous;
        let connection = session::Connection::new(peer, Arc::clone(&behind.settings));
        let now = std::time::Instant::now();
        let mut session = session::Stream::new(Arc::new(connection), now);
        session.handle(now, Event::Bytes(super::super::testing::hello().encode()));
        Self {
            requests: Requests::new(
                Some(behind.source(results_max)),
                Room::for_tests().for_stream(),
            ),
            session,
            behind: Arc::clone(behind),
            reader: None,
        }
    }

    /// Begins what `message` asks for.
    fn start(&mut self, message: &ClientMessage) -> Ticket {
        let bytes = Event::Bytes(message.encode());
        self.session.handle(std::time::Instant::now(), bytes);
        loop {
            if let session::Action::Read {
                ticket, request, ..
            } = self.session.poll_action().unwrap()
            {
                let sight = self.behind.sight(self.reader);
                self.requests.start(ticket, request, sight);
                return ticket;
            }
        }
    }

    async fn next(&mut self) -> Told {
        loop {
            if let Some(told) = soon(self.requests.next()).await {
                return told;
            }
        }
    }

    /// All records up to the end, and how it ended. Pages are within their bounds.
    async fn all(&mut self) -> (Vec<Record>, ResultCode) {
        let mut all = Vec::new();
        loop {
            match self.next().await.news {
                News::Records(records, _) => {
                    assert!(!records.is_empty() && records.len() <= PAGE_MAX_RECORDS);
                    all.extend(records);
                }
                News::LocallyComplete => panic!("no subscription was asked for"),
                News::Ended(result) => return (all, result),
                News::Exceeded(excess) => return (all, excess.result()),
            }
        }
    }

    async fn records(&mut self, count: usize) -> Vec<Record> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.next().await.news {
                News::Records(records, _) => all.extend(records),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    async fn expect_complete(&mut self) {
        let told = self.next().await;
        assert!(matches!(told.news, News::LocallyComplete), "{told:?}");
    }
}

fn query(limit: u16) -> ClientMessage {
    ClientMessage::Query {
        id: QueryId(1),
        limit,
        filter: FilterBuilder::new().kinds([kind()]).build().unwrap(),
    }
}

fn subscribe(limit: u16) -> ClientMessage {
    ClientMessage::Subscribe {
        id: QueryId(1),
        limit,
        filter: FilterBuilder::new().build().unwrap(),
    }
}

fn get(references: Vec<Reference>) -> ClientMessage {
    ClientMessage::Get {
        id: QueryId(1),
        references,
    }
}

fn id(record: &Record) -> Reference {
    Reference::Id(record.id())
}

fn reversed(records: &[Record]) -> Vec<Record> {
    records.iter().rev().cloned().collect()
}

fn ids(records: &[Record]) -> Vec<Reference> {
    records.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_ends_at_the_clients_limit_with_success_and_at_the_cap_with_too_open() {
    let behind = Arc::new(Behind::new());
    let stored = records(600, 10);
    behind.put(&stored);
    let newest_first = reversed(&stored);
    let check = async |cap: u32, limit: u16, count: usize, expected: ResultCode| {
        let mut reads = Reads::new(&behind, cap);
        reads.start(&query(limit));
        let (found, result) = reads.all().await;
        assert_eq!(result, expected, "cap {cap}, limit {limit}");
        assert_eq!(
            ids(&found),
            ids(&newest_first[..count]),
            "cap {cap}, limit {limit}"
        );
    };
    check(1_000, 0, 600, ResultCode::Success).await;
    check(1_000, 300, 300, ResultCode::Success).await;
    check(1_000, 1, 1, ResultCode::Success).await;
    check(600, 0, 600, ResultCode::Success).await;
    check(599, 0, 599, ResultCode::TooOpen).await;
    check(300, 300, 300, ResultCode::Success).await;
    check(300, 301, 300, ResultCode::TooOpen).await;
    check(600, 5_000, 600, ResultCode::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_finds_nothing_succeeds() {
    let behind = Arc::new(Behind::new());
    let mut reads = Reads::new(&behind, 1_000);
    reads.start(&query(0));
    assert_eq!(reads.all().await, (Vec::new(), ResultCode::Success));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_answers_in_the_order_of_its_references_and_each_record_once() {
    let behind = Arc::new(Behind::new());
    let single = records(3, 10);
    let nonce = [0x80, 1, 2, 3, 4, 5, 6, 7];
    let version = |at: u64| {
        RecordBuilder::new(Kind::new((99 << 32) | 0b1111).unwrap(), Person::Alice.key())
            .nonce(nonce)
            .timestamp(Timestamp::from_nanos(at).unwrap())
            .sign(&Person::Alice.secret())
            .unwrap()
    };
    let versions: Vec<Record> = (1..=4).map(version).collect();
    behind.put(&single);
    behind.put(&versions);
    let address = Reference::Address(versions[0].view().address());
    let absent = Reference::Address(Address::new(nonce, kind(), Person::Stranger.key()));
    let check = async |references: &[Reference], expected: &[&Record]| {
        let mut reads = Reads::new(&behind, 1);
        reads.start(&get(references.to_vec()));
        let (found, result) = reads.all().await;
        assert_eq!(result, ResultCode::Success);
        let expected: Vec<_> = expected.iter().map(|record| id(record)).collect();
        assert_eq!(ids(&found), expected);
    };
    let [one, two, three] = [&single[0], &single[1], &single[2]];
    let [a, b, c, d] = [&versions[0], &versions[1], &versions[2], &versions[3]];
    check(&[id(two), id(one), id(two), id(three)], &[two, one, three]).await;
    check(&[absent], &[]).await;
    check(&[absent, id(one)], &[one]).await;
    check(&[address, absent, address], &[d, c, b, a]).await;
    check(&[id(b), address, id(b), id(a)], &[b, d, c, a]).await;
    check(&[address, id(c), id(one)], &[d, c, b, a, one]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_of_many_large_records_comes_in_pages() {
    let behind = Arc::new(Behind::new());
    let stored = records(200, 5_000);
    behind.put(&stored);
    let mut reads = Reads::new(&behind, 1);
    reads.start(&get(ids(&stored)));
    let (found, _) = reads.all().await;
    assert_eq!(ids(&found), ids(&stored));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_opened_while_records_arrive_gets_each_of_them_once() {
    let behind = Arc::new(Behind::new());
    let all = records(3_000, 10);
    behind.put(&all[..500]);
    let writer = {
        let (behind, rest) = (Arc::clone(&behind), all[500..].to_vec());
        std::thread::spawn(move || {
            for some in rest.chunks(7) {
                behind.put(some);
            }
        })
    };
    let mut reads = Reads::new(&behind, 10_000);
    reads.start(&subscribe(0));
    let mut stored = Vec::new();
    loop {
        match reads.next().await.news {
            News::Records(records, _) => stored.extend(records),
            News::LocallyComplete => break,
            News::Ended(result) => panic!("{result}"),
            News::Exceeded(excess) => panic!("{excess}"),
        }
    }
    assert_eq!(ids(&stored), ids(&reversed(&all[..stored.len()])));
    let live = reads.records(all.len() - stored.len()).await;
    assert_eq!(ids(&live), ids(&all[stored.len()..]));
    writer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_with_a_limit_gets_that_many_stored_records_and_then_all_that_arrive() {
    let behind = Arc::new(Behind::new());
    let all = records(20, 10);
    behind.put(&all[..10]);
    let mut reads = Reads::new(&behind, 1_000);
    reads.start(&subscribe(3));
    assert_eq!(ids(&reads.records(3).await), ids(&reversed(&all[7..10])));
    reads.expect_complete().await;
    behind.put(&all[10..]);
    assert_eq!(ids(&reads.records(10).await), ids(&all[10..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_past_the_cap_ends_with_too_open() {
    let behind = Arc::new(Behind::new());
    behind.put(&records(20, 10));
    let mut reads = Reads::new(&behind, 10);
    reads.start(&subscribe(0));
    let (found, result) = reads.all().await;
    assert_eq!((found.len(), result), (10, ResultCode::TooOpen));
    until(|| behind.fanout.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_not_read_gets_what_its_mailbox_had_no_room_for_from_the_log() {
    let behind = Arc::new(Behind::new());
    let mut reads = Reads::new(&behind, 1_000);
    reads.start(&subscribe(0));
    reads.expect_complete().await;
    let all = records(u64::try_from(MAILBOX_MAX_RECORDS * 5).unwrap(), 10);
    behind.put(&all);
    let found = reads.records(all.len()).await;
    assert_eq!(ids(&found), ids(&all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_and_live_records_go_to_those_alone_who_may_see_them() {
    let behind = Arc::new(Behind::new());
    let private = |at: u64| {
        RecordBuilder::new(Kind::new(99 << 32).unwrap(), Person::Alice.key())
            .timestamp(Timestamp::from_nanos(at).unwrap())
            .sign(&Person::Alice.secret())
            .unwrap()
    };
    let [first, second] = [private(1), private(2)];
    let public = records(2, 10);
    behind.put(&[first.clone(), public[0].clone()]);
    let mut alice = Reads::new(&behind, 1_000);
    alice.reader = Some(Person::Alice);
    let mut bob = Reads::new(&behind, 1_000);
    bob.reader = Some(Person::Bob);
    let mut nobody = Reads::new(&behind, 1_000);
    for reads in [&mut alice, &mut bob, &mut nobody] {
        reads.start(&subscribe(0));
    }
    assert_eq!(
        ids(&alice.records(2).await),
        ids(&[public[0].clone(), first])
    );
    assert_eq!(ids(&bob.records(1).await), ids(&public[..1]));
    assert_eq!(ids(&nobody.records(1).await), ids(&public[..1]));
    for reads in [&mut alice, &mut bob, &mut nobody] {
        reads.expect_complete().await;
    }
    behind.put(&[second.clone(), public[1].clone()]);
    assert_eq!(
        ids(&alice.records(2).await),
        ids(&[second, public[1].clone()])
    );
    assert_eq!(ids(&bob.records(1).await), ids(&public[1..]));
    assert_eq!(ids(&nobody.records(1).await), ids(&public[1..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_of_a_role_that_shuts_not_even_what_waits_in_a_mailbox() {
    let behind = Arc::new(Behind::new());
    let all = records(6, 10);
    behind.put_under(Role::Outbox, &all[..2]);
    let mut reads = Reads::new(&behind, 1_000);
    reads.start(&subscribe(0));
    assert_eq!(ids(&reads.records(2).await), ids(&reversed(&all[..2])));
    reads.expect_complete().await;
    // The channel is full from here on, so that what is published next stays in the mailbox.
    let blocker = reads.requests.sender.clone();
    let permits = blocker.reserve_many(STREAM_PAGES_MAX).await.unwrap();
    behind.put_under(Role::Outbox, &all[2..4]);
    behind
        .settings
        .gate
        .set_open(RoleSet::EMPTY, "as the test wants", NOW);
    drop(permits);
    behind.put_under(Role::Outbox, &all[4..5]);
    behind.put_under(Role::Application, &all[5..]);
    assert_eq!(ids(&reads.records(1).await), ids(&all[5..]));
}

/// Alice's key schedule of that moment, with one subkey on it.
fn schedule(nanos: u64, subkey: &SecretKey, marker: KeyMarker) -> Record {
    let attestation = Attestation::sign(subkey, Person::Alice.key());
    KeyScheduleBuilder::new(Person::Alice.key())
        .list(marker, ListedKey::Signing(attestation))
        .unwrap()
        .into_record()
        .unwrap()
        .timestamp(Timestamp::from_nanos(nanos).unwrap())
        .sign(&Person::Alice.secret())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_revoked_key_signed_is_let_out_on_no_path_not_even_from_a_mailbox_until_it_is_taken_back()
 {
    let behind = Arc::new(Behind::new());
    let subkey = SecretKey::from_seed([9; 32]);
    let signed = |nanos: u64, signer: &SecretKey| {
        RecordBuilder::new(kind(), Person::Alice.key())
            .timestamp(Timestamp::from_nanos(nanos).unwrap())
            .sign(signer)
            .unwrap()
    };
    let [first, second, third] = [1, 2, 3].map(|nanos| signed(nanos, &subkey));
    let good = signed(4, &Person::Alice.secret());
    let directory = &behind.directory;
    directory.learn(&schedule(10, &subkey, KeyMarker::ActiveSigning));
    behind.put(std::slice::from_ref(&first));

    let mut live = Reads::new(&behind, 1_000);
    live.start(&subscribe(0));
    assert_eq!(ids(&live.records(1).await), [id(&first)]);
    live.expect_complete().await;
    // The channel is full from here on, so that what is published next stays in the mailbox.
    let blocker = live.requests.sender.clone();
    let permits = blocker.reserve_many(STREAM_PAGES_MAX).await.unwrap();
    behind.put(&[second]);
    let revoked = KeyMarker::Revoked(good.view().timestamp());
    directory.learn(&schedule(20, &subkey, revoked));
    drop(permits);
    behind.put(&[third, good.clone()]);
    assert_eq!(ids(&live.records(1).await), [id(&good)]);

    let mut reads = Reads::new(&behind, 1_000);
    let by_address = get(vec![Reference::Address(first.view().address())]);
    let asks = [get(vec![id(&first)]), by_address, query(0)];
    for (message, found) in asks.iter().zip([0, 0, 1]) {
        reads.start(message);
        assert_eq!(reads.all().await.0.len(), found, "{message:?}");
    }
    directory.learn(&schedule(30, &subkey, KeyMarker::OutOfUse(None)));
    for (message, found) in asks.iter().zip([1, 1, 4]) {
        reads.start(message);
        assert_eq!(reads.all().await.0.len(), found, "{message:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_read_is_heard_of_no_more() {
    let behind = Arc::new(Behind::new());
    behind.put(&records(1_000, 100));
    let mut reads = Reads::new(&behind, 10_000);
    let cancelled = reads.start(&subscribe(0));
    drop(reads.records(1).await);
    reads.requests.cancel(cancelled);
    let second = reads.start(&query(5));
    loop {
        let told = reads.next().await;
        assert_eq!(told.ticket, second);
        if let News::Ended(_) = told.news {
            break;
        }
    }
    until(|| behind.fanout.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_are_not_fetched_hold_no_more_pages_than_their_bound() {
    let behind = Arc::new(Behind::new());
    behind.put(&records(2_000, 100));
    let mut reads = Reads::new(&behind, 10_000);
    let filter = FilterBuilder::new().build().unwrap();
    for id in 0..20 {
        reads.start(&ClientMessage::Query {
            id: QueryId(id),
            limit: 0,
            filter: filter.clone(),
        });
    }
    until(|| reads.requests.told.len() == STREAM_PAGES_MAX).await;
    assert_eq!(reads.requests.sender.capacity(), 0);
    let mut ended = 0;
    let mut found = 0;
    while ended < 20 {
        match reads.next().await.news {
            News::Records(records, _) => found += records.len(),
            News::Ended(result) => {
                assert_eq!(result, ResultCode::Success);
                ended += 1;
            }
            News::Exceeded(excess) => panic!("{excess}"),
            News::LocallyComplete => unreachable!("these are queries"),
        }
    }
    assert_eq!(found, 20 * 2_000);
}

#[tokio::test]
async fn reads_that_wait_for_large_records_keep_no_other_read_of_their_stream_waiting() {
    let behind = Arc::new(Behind::new());
    let small = records(1, 10);
    behind.put(&small);
    let room = Room::with_output(1);
    // Somebody has all that there is for large ones, and does not read.
    let held = room.for_stream().page(PageSize::Large).await.unwrap();
    let mut reads = Reads::new(&behind, 1_000);
    reads.requests.room = room.for_stream();
    let waits = [PageSize::Large, PageSize::Ordinary].map(|size| {
        let request = Request {
            source: behind.source(1_000),
            sight: Arc::new(behind.sight(None)),
            ticket: Ticket::for_tests(1_000),
            sender: reads.requests.sender.clone(),
            room: reads.requests.room.clone(),
        };
        (request, size)
    });
    let mut waits: Vec<_> = waits
        .iter()
        .map(|(request, size)| Box::pin(request.place(*size)))
        .collect();
    for wait in &mut waits {
        assert!(wait.now_or_never().is_none());
    }
    for request in [get(ids(&small)), query(0)] {
        reads.start(&request);
        let (found, result) = reads.all().await;
        assert_eq!((ids(&found), result), (ids(&small), ResultCode::Success));
    }
    drop(held);
    for wait in waits {
        assert!(soon(wait).await.is_ok());
    }
}

#[tokio::test]
async fn a_read_that_panics_is_answered_with_an_error() {
    let behind = Arc::new(Behind::new());
    let mut reads = Reads::new(&behind, 1_000);
    let ticket = reads.start(&query(0));
    let handle = reads
        .requests
        .tasks
        .spawn(async { panic!("as the test wants") });
    let first = reads
        .requests
        .running
        .insert(ticket, handle.clone())
        .unwrap();
    first.abort();
    reads.requests.tickets.retain(|_, _| false);
    reads.requests.tickets.insert(handle.id(), ticket);
    assert_eq!(reads.all().await, (Vec::new(), ResultCode::GeneralError));
    reads.requests.shutdown().await;
}
