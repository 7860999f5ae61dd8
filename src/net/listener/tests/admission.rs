//! Who is kept out, and who is too fast.

use std::sync::atomic::Ordering;

use super::*;
use crate::net::testing::{ID, kind, records};
use crate::policy::testing::Person;
use crate::policy::{Ban, BanTarget, Limit, RateRules};
use crate::wire::{FilterBuilder, RecordBuilder, TagKind, TagsBuilder, Timestamp};

const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

/// One submission in an hour, one at once; no more than that of anything else is limited.
const ONE_SUBMISSION: RateRules = RateRules {
    submissions_per_second: 1,
    submissions_burst: 1,
    ..RateRules::NONE
};

impl Running {
    fn limited(rules: RateRules) -> Self {
        let running = Self::start(100);
        running.behind.admission.rates.set(rules);
        running
    }

    fn ban(&self, target: &str, until: Option<Timestamp>) {
        let target: BanTarget = target.parse().unwrap();
        let why = "test".to_owned();
        assert!(self.behind.admission.bans.set(Ban { target, until, why }));
    }

    /// A client from another address of this machine, whatever it shows.
    async fn connect_from_elsewhere(&self) -> Result<quinn::Connection, quinn::ConnectionError> {
        let trust = ServerTrust::Exact(self.server.public());
        let crypto = client_crypto(trust, None).unwrap();
        let endpoint = Endpoint::client(OTHER).unwrap();
        let config = quinn::ClientConfig::new(crypto);
        let connecting = endpoint.connect_with(config, self.addresses[0], TLS_NAME);
        soon(connecting.unwrap()).await
    }
}

fn later() -> Timestamp {
    Timestamp::now().saturating_add(std::time::Duration::from_secs(3_600))
}

/// Says HELLO and expects to be told that code, and the end of the connection with it.
async fn expect_turned_away(quic: &quinn::Connection, expected: ResultCode) {
    let (answer, mut stream) = greet(quic).await;
    assert_eq!(answer, ServerMessage::Closing { result: expected });
    assert_eq!(stream.next().await, None);
    expect_closed(quic, expected).await;
}

async fn expect_closed(quic: &quinn::Connection, expected: ResultCode) {
    match soon(quic.closed()).await {
        quinn::ConnectionError::ApplicationClosed(closed) => {
            assert_eq!(closed.error_code, error_code(expected));
        }
        other => panic!("{other}"),
    }
}

async fn expect_served(quic: &quinn::Connection) -> ClientStream {
    let (answer, stream) = greet(quic).await;
    let is_served = matches!(answer, ServerMessage::HelloAck { .. });
    assert!(is_served, "{answer:?}");
    stream
}

impl ClientStream {
    async fn submit(&mut self, record: &crate::wire::Record) {
        let record = record.bytes().clone();
        self.send(ClientMessage::Submission { record }.encode())
            .await;
    }

    async fn submitted(&mut self) -> ResultCode {
        match self.next().await {
            Some(ServerMessage::SubmissionResult { result, .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    async fn query(&mut self) -> ResultCode {
        let filter = FilterBuilder::new().kinds([kind()]).build().unwrap();
        let (id, limit) = (ID, 1);
        let query = ClientMessage::Query { id, limit, filter };
        self.send(query.encode()).await;
        loop {
            match self.next().await {
                Some(ServerMessage::Record { .. }) => {}
                Some(ServerMessage::QueryClosed { result, .. }) => return result,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banned_address_is_told_so_until_the_ban_ends_and_others_are_served() {
    let running = Running::start(10);
    running.ban("127.0.0.2", None);
    let banned = running.connect_from_elsewhere().await.unwrap();
    expect_turned_away(&banned, ResultCode::IpPermanentlyBanned).await;
    running.ban("127.0.0.2", Some(later()));
    let banned = running.connect_from_elsewhere().await.unwrap();
    expect_turned_away(&banned, ResultCode::IpTemporarilyBanned).await;
    expect_served(&running.connect(None).await.unwrap()).await;
    running.ban("127.0.0.2", Some(Timestamp::now()));
    expect_served(&running.connect_from_elsewhere().await.unwrap()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banned_key_is_told_so_and_does_not_become_a_user() {
    let running = Running::start(10);
    let (banned, other) = (SecretKey::generate(), SecretKey::generate());
    running.ban(&banned.public().to_string(), None);
    let (banned, other) = (Identity::new(banned), Identity::new(other));
    let quic = running.connect(Some(&banned)).await.unwrap();
    expect_turned_away(&quic, ResultCode::KeyPermanentlyBanned).await;
    expect_served(&running.connect(Some(&other)).await.unwrap()).await;
    expect_served(&running.connect(None).await.unwrap()).await;
    let greeted = running.behind.ingest.greeted.lock().unwrap().clone();
    assert_eq!(greeted, [other.public()]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_closes_the_connections_that_are_open_and_no_others() {
    let running = Running::start(10);
    let key = SecretKey::generate();
    let identity = Identity::new(key.clone());
    let by_key = running.connect(Some(&identity)).await.unwrap();
    let by_address = running.connect_from_elsewhere().await.unwrap();
    let other = running.connect(None).await.unwrap();
    let mut streams = Vec::new();
    for quic in [&by_key, &by_address, &other] {
        streams.push(expect_served(quic).await);
    }
    running.ban(&key.public().to_string(), Some(later()));
    running.ban("127.0.0.2/31", None);
    running.control.enforce_bans();
    let told = [
        (&by_key, ResultCode::KeyTemporarilyBanned),
        (&by_address, ResultCode::IpPermanentlyBanned),
    ];
    for ((quic, result), stream) in told.into_iter().zip(&mut streams) {
        let last_word = stream.next().await;
        assert_eq!(last_word, Some(ServerMessage::Closing { result }));
        assert_eq!(stream.next().await, None);
        expect_closed(quic, result).await;
    }
    expect_served_on(&mut streams[2]).await;
    running.stop().await;
}

async fn expect_served_on(stream: &mut ClientStream) {
    assert_eq!(stream.query().await, ResultCode::Success);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_over_the_limit_are_too_fast_and_other_addresses_and_users_are_not() {
    let running = Running::limited(ONE_SUBMISSION);
    let stranger = Identity::new(SecretKey::generate());
    let flooding = running.connect(Some(&stranger)).await.unwrap();
    let mut stream = expect_served(&flooding).await;
    let all = records(6, 10);
    for record in &all[..3] {
        stream.submit(record).await;
    }
    // Refusals overtake what is on its way to the log.
    let mut results = Vec::new();
    for _ in 0..3 {
        results.push(stream.submitted().await);
    }
    results.sort();
    let (accepted, too_fast) = (ResultCode::Accepted, ResultCode::TooFast);
    assert_eq!(results, [accepted, too_fast, too_fast]);
    // The same address without a key.
    let mut anonymous = expect_served(&running.connect(None).await.unwrap()).await;
    anonymous.submit(&all[3]).await;
    assert_eq!(anonymous.submitted().await, too_fast);
    // A user at that address, and somebody elsewhere.
    let user = Identity::new(Person::Alice.secret());
    let mut user = expect_served(&running.connect(Some(&user)).await.unwrap()).await;
    user.submit(&all[4]).await;
    assert_eq!(user.submitted().await, accepted);
    let mut other = expect_served(&running.connect_from_elsewhere().await.unwrap()).await;
    other.submit(&all[5]).await;
    assert_eq!(other.submitted().await, accepted);
    let count = running.behind.admission.rates.counters();
    let refused = &count.of(Limit::Submissions).refused;
    assert_eq!(refused.load(Ordering::Relaxed), 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_many_tags_counts_for_as_many_as_it_costs_and_passes_all_the_same() {
    let running = Running::limited(RateRules {
        submissions_burst: 20,
        ..ONE_SUBMISSION
    });
    let tags = (0..1_000).fold(TagsBuilder::new(), |tags, tag| {
        tags.raw(TagKind(1_000 + tag), &[]).unwrap()
    });
    let author = SecretKey::generate();
    let full = RecordBuilder::new(kind(), author.public()).tags(tags);
    let full = full.sign(&author).unwrap();
    let mut stream = expect_served(&running.connect(None).await.unwrap()).await;
    stream.submit(&full).await;
    assert_eq!(stream.submitted().await, ResultCode::Accepted);
    stream.submit(&records(1, 10)[0]).await;
    assert_eq!(stream.submitted().await, ResultCode::TooFast);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_over_the_limit_are_too_fast() {
    let running = Running::limited(RateRules {
        query_rows_per_second: 15,
        ..RateRules::NONE
    });
    let mut stream = expect_served(&running.connect(None).await.unwrap()).await;
    assert_eq!(stream.query().await, ResultCode::Success);
    assert_eq!(stream.query().await, ResultCode::TooFast);
    let mut other = expect_served(&running.connect_from_elsewhere().await.unwrap()).await;
    assert_eq!(other.query().await, ResultCode::Success);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_stop_is_closed_as_too_fast() {
    let running = Running::limited(ONE_SUBMISSION);
    let quic = running.connect(None).await.unwrap();
    let mut stream = expect_served(&quic).await;
    let record = &records(1, 10)[0];
    // Ten seconds' worth of five refusals each are borne.
    for _ in 0..60 {
        stream.submit(record).await;
    }
    let mut results = 0;
    let result = ResultCode::TooFast;
    loop {
        match stream.next().await {
            Some(ServerMessage::SubmissionResult { .. }) => results += 1,
            last_word => {
                assert_eq!(last_word, Some(ServerMessage::Closing { result }));
                break;
            }
        }
    }
    assert!(results > 50, "{results}");
    expect_closed(&quic, result).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_over_the_limit_of_one_address_are_refused() {
    let running = Running::limited(RateRules {
        handshakes_per_second: 1,
        burst_seconds: 2,
        ..RateRules::NONE
    });
    let mut refused = 0;
    for _ in 0..10 {
        refused += u32::from(running.connect(None).await.is_err());
    }
    // A slow machine may take a second or two for all of them.
    assert!(refused >= 4, "{refused}");
    expect_served(&running.connect_from_elsewhere().await.unwrap()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_limit_of_one_address_are_told_so_until_one_is_gone() {
    let running = Running::limited(RateRules {
        connections: 2,
        ..RateRules::NONE
    });
    let first = running.connect(None).await.unwrap();
    let second = running.connect(None).await.unwrap();
    let streams = (expect_served(&first).await, expect_served(&second).await);
    let third = running.connect(None).await.unwrap();
    expect_turned_away(&third, ResultCode::TooFast).await;
    let user = Identity::new(Person::Alice.secret());
    expect_served(&running.connect(Some(&user)).await.unwrap()).await;
    expect_served(&running.connect_from_elsewhere().await.unwrap()).await;
    first.close(0_u32.into(), b"");
    soon(async {
        loop {
            let quic = running.connect(None).await.unwrap();
            let (answer, _stream) = greet(&quic).await;
            if matches!(answer, ServerMessage::HelloAck { .. }) {
                break;
            }
        }
    })
    .await;
    drop(streams);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_over_the_limit_wait_and_are_served_all_the_same() {
    let running = Running::limited(RateRules {
        streams_per_second: 5,
        ..RateRules::NONE
    });
    let quic = running.connect(None).await.unwrap();
    let mut first = expect_served(&quic).await;
    for _ in 1..10 {
        let (send, receive) = soon(quic.open_bi()).await.unwrap();
        let frames = FrameReader::new(Direction::ToClient);
        let mut stream = ClientStream {
            send,
            receive,
            frames,
        };
        assert_eq!(stream.query().await, ResultCode::Success);
        stream.send.finish().unwrap();
    }
    assert_eq!(first.query().await, ResultCode::Success);
    let count = running.behind.admission.rates.counters().of(Limit::Streams);
    assert!(count.delayed.load(Ordering::Relaxed) > 0);
    running.stop().await;
}
