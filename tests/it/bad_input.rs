//! What a hostile or broken client sends: every truncation and 10 000 random mutations of every
//! message, on live connections to a real server process. Each ends in an answer that the protocol
//! allows or in a closed stream; never in a panic, a stuck stream, growth of memory, or anything that
//! another connection notices.
//!
//! `MOSAIC_MUTATIONS` sets how many mutations each message gets, `MOSAIC_SEED` replays a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mosaicd::client::{Client, RawConnection, RawStream, StreamEnd};
use mosaicd::verify;
use mosaicd::wire::{
    ClientMessage, EXTENSION_APP, FilterBuilder, Kind, QueryId, RecordBuilder, RecordRef,
    Reference, ResultCode, SecretKey, ServerMessage,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{DevServer, seed};

/// A stream that says nothing for that long, once all was sent, counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Resident memory may move by that much: allocator slack, and what RocksDB keeps of accepted records.
const MEMORY_SLACK_BYTES: u64 = 96 << 20;

/// A message and what the test calls it.
struct Sample {
    name: &'static str,
    bytes: Bytes,
    /// Whether a whole message may stand in front of the one that is cut off.
    is_several: bool,
}

impl Sample {
    fn new(name: &'static str, message: &ClientMessage) -> Self {
        Self {
            name,
            bytes: message.encode(),
            is_several: false,
        }
    }
}

fn hello() -> ClientMessage {
    ClientMessage::Hello {
        version: 0,
        apps: vec![0, 1, 99, EXTENSION_APP],
    }
}

fn samples() -> Vec<Sample> {
    let key = SecretKey::from_seed([7; 32]);
    let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, key.public())
        .payload("a record to be broken in many ways")
        .sign(&key)
        .unwrap();
    let filter = FilterBuilder::new()
        .authors([key.public()])
        .kinds([Kind::MICROBLOG_ROOT])
        .build()
        .unwrap();
    let id = QueryId(258);
    let references = vec![
        Reference::Id(record.id()),
        Reference::Address(record.view().address()),
    ];
    let query = |limit| ClientMessage::Query {
        id,
        limit,
        filter: filter.clone(),
    };
    let raw = |name, bytes: &[u8]| Sample {
        name,
        bytes: Bytes::copy_from_slice(bytes),
        is_several: false,
    };
    let blob: Vec<u8> = [
        &[0x07, 0, 16, 0, 0, 0, 0, 0][..],
        &[9; 32],
        b"sixteen bytes in",
    ]
    .concat();
    vec![
        Sample::new("GET", &ClientMessage::Get { id, references }),
        Sample::new("QUERY", &query(3)),
        Sample::new(
            "SUBSCRIBE",
            &ClientMessage::Subscribe {
                id,
                limit: 0,
                filter: filter.clone(),
            },
        ),
        Sample::new("UNSUBSCRIBE", &ClientMessage::Unsubscribe { id }),
        Sample::new(
            "SUBMISSION",
            &ClientMessage::Submission {
                record: record.bytes().clone(),
            },
        ),
        raw(
            "BLOB GET",
            &[&[0x08, 0, 0, 0, 0, 0, 0, 0][..], &[9; 32]].concat(),
        ),
        raw("BLOB SUBMISSION", &blob),
        raw("DHT LOOKUP", &[0x06, 8, 0, 0, 0, 0, 0, 0]),
        raw("HELLO AUTH", &[0x11, 8, 0, 0, 0, 0, 0, 0]),
        raw("UNRECOGNIZED", &[0xF0, 8, 0, 0, 0, 0, 0, 0]),
        raw("INFO", &[0x41, 9, 0, 0, 1, 0, 0, 0, 0x80]),
        raw("ROLE OPEN", b"\x40\x15\0\0\x01\0\0\0\x81\xa4role\xa6outbox"),
        raw("CLOSING", &[0xFE, 1, 0, 0, 0, 0, 0, 0]),
        raw("RECORD", &[0x80, 8, 0, 0, 2, 1, 0, 0]),
        Sample::new("two queries", &query(1)).followed_by(&query(2)),
    ]
}

impl Sample {
    fn followed_by(self, message: &ClientMessage) -> Self {
        Self {
            name: self.name,
            bytes: [&self.bytes[..], &message.encode()].concat().into(),
            is_several: true,
        }
    }
}

/// One broken form of `bytes`.
fn mutate(bytes: &[u8], random: &mut StdRng) -> Bytes {
    let mut out = bytes.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..out.len().max(1));
        match random.random_range(0..7) {
            0 | 1 if at < out.len() => out[at] ^= 1 << random.random_range(0..8),
            2 if at < out.len() => out[at] = random.random(),
            3 => out.insert(at.min(out.len()), random.random()),
            4 if at < out.len() => drop(out.remove(at)),
            5 => out.extend_from_slice(&bytes[..at.min(bytes.len())]),
            // Lengths are where parsers break: of the message, of a filter, of an element.
            _ => {
                let place = [1, 2, 3, 8, 9, 17][random.random_range(0..6)];
                if let Some(byte) = out.get_mut(place) {
                    *byte = [0, 1, 7, 8, 0x7f, 0xff][random.random_range(0..6)];
                }
            }
        }
    }
    out.into()
}

/// How a stream went on after bytes that may mean anything.
#[derive(Debug, Default)]
struct Answers {
    messages: Vec<ServerMessage>,
    closing: bool,
}

/// Sends `bytes`, ends the sending side, and reads until the server ends the stream.
///
/// A subscription does not end by itself, so its LOCALLY COMPLETE ends the reading.
async fn provoke(connection: &RawConnection, bytes: Bytes) -> Answers {
    let mut answers = Answers::default();
    let Ok(mut stream) = connection.open().await else {
        answers.closing = true;
        return answers;
    };
    // The server may stop reading at the first broken byte; its answer is still to be read.
    drop(stream.send(bytes).await);
    stream.finish();
    drain(&mut stream, &mut answers).await;
    answers
}

async fn drain(stream: &mut RawStream, answers: &mut Answers) {
    loop {
        match tokio::time::timeout(STUCK, stream.receive())
            .await
            .expect("the stream is stuck")
        {
            Ok(Some(message @ ServerMessage::LocallyComplete { .. })) => {
                answers.messages.push(message);
                return;
            }
            Ok(Some(message)) => {
                answers.closing |= matches!(message, ServerMessage::Closing { .. });
                answers.messages.push(message);
            }
            Ok(None) | Err(StreamEnd::Ended) => return,
            Err(StreamEnd::Lost(_)) => {
                answers.closing = true;
                return;
            }
            Err(error) => panic!("the server broke the protocol: {error:?}"),
        }
    }
}

/// Whether the answers may follow what was sent.
fn assert_allowed(sent: &[u8], answers: &Answers) {
    for message in &answers.messages {
        let stored = matches!(
            message,
            ServerMessage::SubmissionResult {
                result: ResultCode::Accepted | ResultCode::Duplicate | ResultCode::NoConsumers,
                ..
            }
        );
        assert!(
            !stored || holds_a_good_record(sent),
            "stored a broken record: {sent:02x?}"
        );
    }
}

/// A message that is cut off is never carried out: whatever is said about it is a refusal.
fn assert_refused(name: &str, cut: usize, answers: &Answers) {
    for message in &answers.messages {
        let is_refusal = match message {
            ServerMessage::Unrecognized | ServerMessage::Extension(_) => true,
            ServerMessage::Closing { result }
            | ServerMessage::QueryClosed { result, .. }
            | ServerMessage::SubmissionResult { result, .. }
            | ServerMessage::BlobResult { result, .. }
            | ServerMessage::BlobSubmissionResult { result, .. } => !result.is_success(),
            _ => false,
        };
        assert!(is_refusal, "{name} cut at {cut} was answered {message:?}");
    }
}

/// Whether a record with a good hash and signature stands anywhere in `sent` behind a SUBMISSION header.
fn holds_a_good_record(sent: &[u8]) -> bool {
    (0..sent.len().saturating_sub(160)).any(|at| {
        let length = usize::from(sent[at + 1])
            | usize::from(sent[at + 2]) << 8
            | usize::from(sent[at + 3]) << 16;
        sent[at] == 0x05
            && length > 8
            && sent.get(at + 8..at + length).is_some_and(|record| {
                RecordRef::parse(record).is_ok_and(|record| verify::record(record).is_ok())
            })
    })
}

/// A connection on which HELLO was answered, made anew whenever the server has closed the last one.
struct Line<'a> {
    server: &'a DevServer,
    open: Option<RawConnection>,
}

impl Line<'_> {
    async fn provoke(&mut self, bytes: Bytes) -> Answers {
        let connection = match self.open.take() {
            Some(connection) => connection,
            None => {
                let connection = self.server.raw(None).await;
                let greeted = provoke(&connection, hello().encode()).await;
                assert!(
                    matches!(
                        greeted.messages[..],
                        [ServerMessage::HelloAck {
                            result: ResultCode::Success,
                            ..
                        }]
                    ),
                    "{greeted:?}"
                );
                connection
            }
        };
        let answers = provoke(&connection, bytes).await;
        if !answers.closing {
            self.open = Some(connection);
        }
        answers
    }
}

/// Publishes and reads back on a connection of its own until `stop`; fails at the first thing that goes wrong.
async fn bystander(client: Client, stop: Arc<AtomicBool>) -> u32 {
    let key = SecretKey::from_seed([8; 32]);
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, key.public())
            .payload(format!("bystander {rounds}"))
            .sign(&key)
            .unwrap();
        assert_eq!(client.submit(&record).await.unwrap(), ResultCode::Accepted);
        let found = client.get(vec![Reference::Id(record.id())]).await.unwrap();
        assert_eq!(crate::support::all(found).await, [record]);
        rounds += 1;
    }
    rounds
}

fn mutations() -> usize {
    std::env::var("MOSAIC_MUTATIONS").map_or(10_000, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_messages_end_in_an_answer_or_a_closed_stream_and_disturb_nobody() {
    let server = DevServer::start().await;
    let seed = seed();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(bystander(server.client(None).await, stop.clone()));
    let mut line = Line {
        server: &server,
        open: None,
    };
    let mut before = None;
    for (number, sample) in (0..).zip(samples()) {
        let mut random = StdRng::seed_from_u64(seed ^ number);
        for cut in 0..sample.bytes.len() {
            let sent = sample.bytes.slice(..cut);
            let answers = line.provoke(sent.clone()).await;
            assert_allowed(&sent, &answers);
            if !sample.is_several {
                assert_refused(sample.name, cut, &answers);
            }
        }
        for _ in 0..mutations() {
            let sent = mutate(&sample.bytes, &mut random);
            let answers = line.provoke(sent.clone()).await;
            assert_allowed(&sent, &answers);
        }
        // The first sample warms every pool and cache of the server up.
        let now = server.resident_bytes();
        let first = *before.get_or_insert(now);
        assert!(
            now < first + MEMORY_SLACK_BYTES,
            "{}: {first} bytes grew to {now}",
            sample.name
        );
    }
    stop.store(true, Ordering::Relaxed);
    assert!(
        watcher.await.unwrap() > 0,
        "the other connection was never served"
    );
    server.stop_cleanly().await;
}

/// HELLO opens a connection, so each broken one takes a connection of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_hello_never_opens_a_connection_by_accident() {
    let server = DevServer::start().await;
    let mut random = StdRng::seed_from_u64(seed());
    let whole = hello().encode();
    let cuts = (0..whole.len())
        .map(|cut| whole.slice(..cut))
        .collect::<Vec<_>>();
    let broken: Vec<Bytes> = (0..mutations())
        .map(|_| mutate(&whole, &mut random))
        .collect();
    let before = server.resident_bytes();
    let work = Arc::new(std::sync::Mutex::new(cuts.into_iter().chain(broken)));
    let lines = (0..16).map(|_| {
        let (work, target) = (work.clone(), server.target());
        tokio::spawn(async move {
            loop {
                let next = work.lock().unwrap().next();
                let Some(sent) = next else { break };
                let connection = RawConnection::connect(&target, None, STUCK).await.unwrap();
                let answers = provoke(&connection, sent.clone()).await;
                let first = answers.messages.first();
                assert!(
                    matches!(
                        first,
                        None | Some(
                            ServerMessage::HelloAck { .. }
                                | ServerMessage::Closing { .. }
                                | ServerMessage::Unrecognized
                        )
                    ),
                    "{sent:02x?} was answered {first:?}"
                );
                connection.close().await;
            }
        })
    });
    for line in lines.collect::<Vec<_>>() {
        line.await.unwrap();
    }
    let now = server.resident_bytes();
    assert!(
        now < before + MEMORY_SLACK_BYTES,
        "{before} bytes grew to {now}"
    );
    server.stop_cleanly().await;
}
