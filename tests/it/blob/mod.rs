//! BLOBs between real processes: every size, broken hand-ins, memory, rights, and the commands.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use mosaicd::client::{BlobError, Client, RawStream};
use mosaicd::wire::{BlobHash, BlobHasher, ClientMessage, ResultCode, SecretKey, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;

use crate::support::{DevServer, PATIENCE, client, greeted, key};

mod commands;

const BYTES_MAX: usize = 3 << 20;

/// Data of that length, which differ by `seed`.
fn data(seed: u8, length: usize) -> Vec<u8> {
    let mut data = Vec::new();
    Endless::new(seed).fill(&mut data, length);
    data
}

/// Data without an end, made as they are read.
struct Endless {
    state: u64,
}

impl Endless {
    fn new(seed: u8) -> Self {
        Self {
            state: u64::from(seed) | 1 << 40,
        }
    }

    fn next(&mut self) -> [u8; 8] {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.state ^ (self.state >> 29)).to_le_bytes()
    }

    fn fill(&mut self, to: &mut Vec<u8>, length: usize) {
        while to.len() < length {
            to.extend_from_slice(&self.next());
        }
        to.truncate(length);
    }
}

/// A block of data, over and over.
struct Repeated {
    block: Vec<u8>,
    at: usize,
}

impl Repeated {
    fn new(seed: u8) -> Self {
        Self {
            block: data(seed, 1 << 20),
            at: 0,
        }
    }

    /// The hash of the first `blocks` blocks.
    fn hash(&self, blocks: u64) -> BlobHash {
        let mut hasher = BlobHasher::default();
        (0..blocks).for_each(|_| hasher.update(&self.block));
        hasher.hash()
    }
}

impl AsyncRead for Repeated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let at = self.at;
        let bytes = to.remaining().min(self.block.len() - at);
        to.put_slice(&self.block[at..at + bytes]);
        self.at = (at + bytes) % self.block.len();
        Poll::Ready(Ok(()))
    }
}

/// Counts what is written and forgets it.
#[derive(Default)]
struct Sink(u64);

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0 += u64::try_from(data.len()).unwrap();
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A development server that takes BLOBs of up to [`BYTES_MAX`], with further settings.
async fn server(settings: &[&str]) -> DevServer {
    let size = format!("blobs.bytes_max={BYTES_MAX}");
    let mut arguments = vec!["--dev", "--set", &size];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    DevServer::start_with(&arguments, "").await
}

async fn put(client: &Client, data: &[u8]) -> ResultCode {
    let mut left = data;
    let length = u64::try_from(data.len()).unwrap();
    let hash = BlobHash::of(data);
    client
        .put_blob(hash, length, &mut left, &mut |_, _| ())
        .await
        .unwrap()
}

async fn get(client: &Client, hash: BlobHash) -> Result<Vec<u8>, ResultCode> {
    let mut fetched = Vec::new();
    match client.get_blob(hash, &mut fetched, &mut |_, _| ()).await {
        Ok(length) => {
            assert_eq!(length, u64::try_from(fetched.len()).unwrap());
            Ok(fetched)
        }
        Err(BlobError::Refused(result)) => Err(result),
        Err(error) => panic!("{error:?}"),
    }
}

fn submission(hash: BlobHash, data_bytes: usize) -> Bytes {
    let head = ClientMessage::BlobSubmission {
        hash: *hash.as_bytes(),
        data_bytes: u64::try_from(data_bytes).unwrap(),
    };
    head.encode()
}

/// A stream on which HELLO was said.
async fn raw_stream(server: &DevServer, identity: Option<&SecretKey>) -> RawStream {
    greeted(&server.raw(identity).await, &[]).await
}

async fn said(stream: &mut RawStream) -> Option<ServerMessage> {
    let said = tokio::time::timeout(PATIENCE, stream.receive()).await;
    said.expect("the server says nothing").unwrap()
}

async fn assert_every_size_comes_back(user: &Client, reader: &Client) {
    for length in [0, 1, 8_191, 1 << 20, BYTES_MAX] {
        let blob = data(1, length);
        let hash = BlobHash::of(&blob);
        assert_eq!(
            get(reader, hash).await,
            Err(ResultCode::NotFound),
            "{length}"
        );
        assert_eq!(put(user, &blob).await, ResultCode::Accepted, "{length}");
        assert!(get(reader, hash).await.unwrap() == blob, "{length}");
        assert_eq!(put(user, &blob).await, ResultCode::Duplicate, "{length}");
    }
    let too_large = data(1, BYTES_MAX + 1);
    assert_eq!(put(user, &too_large).await, ResultCode::TooLarge);
    assert_eq!(
        get(reader, BlobHash::of(&too_large)).await,
        Err(ResultCode::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_every_size_come_back_over_quic_and_info_says_how_large_they_may_be() {
    let server = server(&[]).await;
    let user = server.client(Some(&key(1))).await;
    let reader = server.client(None).await;
    let info = reader.info().await.unwrap();
    assert_eq!(info.limits.blob_bytes, u64::try_from(BYTES_MAX).unwrap());
    assert_every_size_comes_back(&user, &reader).await;
    // The connection is of use for anything else.
    assert!(user.info().await.is_ok());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_every_size_come_back_over_tcp() {
    let server = server(&["listen_tcp=[\"127.0.0.1:0\"]"]).await;
    let target = server.tcp_target().await;
    let user = client(&target, Some(&key(1))).await;
    let reader = client(&target, None).await;
    assert_every_size_comes_back(&user, &reader).await;
    server.stop_cleanly().await;
}

#[tokio::test]
async fn the_head_alone_is_enough_to_refuse_a_blob_and_then_the_stream_is_not_read_any_more() {
    let server = server(&[]).await;
    let mut stream = raw_stream(&server, Some(&key(1))).await;
    let hash = BlobHash::of(b"never sent");
    stream.send(submission(hash, BYTES_MAX + 1)).await.unwrap();
    let refused = ServerMessage::BlobSubmissionResult {
        result: ResultCode::TooLarge,
        hash: *hash.as_bytes(),
    };
    assert_eq!(said(&mut stream).await, Some(refused));
    assert_eq!(said(&mut stream).await, None, "the server ends the stream");
    server.stop_cleanly().await;
}

#[tokio::test]
async fn a_blob_that_is_broken_off_or_has_another_hash_is_never_seen_and_leaves_nothing() {
    let server = server(&[]).await;
    let user = key(1);
    let blob = data(2, 1 << 20);
    let hash = BlobHash::of(&blob);
    let client = server.client(Some(&user)).await;

    let mut half = raw_stream(&server, Some(&user)).await;
    half.send(submission(hash, blob.len())).await.unwrap();
    half.send(Bytes::copy_from_slice(&blob[..700_000]))
        .await
        .unwrap();
    assert_eq!(get(&client, hash).await, Err(ResultCode::NotFound));
    half.finish();
    let invalid = |hash: BlobHash| ServerMessage::BlobSubmissionResult {
        result: ResultCode::Invalid,
        hash: *hash.as_bytes(),
    };
    assert_eq!(said(&mut half).await, Some(invalid(hash)));

    let mut reset = raw_stream(&server, Some(&user)).await;
    reset.send(submission(hash, blob.len())).await.unwrap();
    reset
        .send(Bytes::copy_from_slice(&blob[..700_000]))
        .await
        .unwrap();
    reset.reset();

    let other = BlobHash::of(b"other");
    let mut wrong = raw_stream(&server, Some(&user)).await;
    wrong.send(submission(other, blob.len())).await.unwrap();
    wrong.send(Bytes::copy_from_slice(&blob)).await.unwrap();
    assert_eq!(said(&mut wrong).await, Some(invalid(other)));
    assert_eq!(get(&client, other).await, Err(ResultCode::NotFound));
    assert_eq!(get(&client, hash).await, Err(ResultCode::NotFound));

    // The stream goes on behind a wrong hash.
    wrong.send(submission(hash, blob.len())).await.unwrap();
    wrong.send(Bytes::copy_from_slice(&blob)).await.unwrap();
    let accepted = ServerMessage::BlobSubmissionResult {
        result: ResultCode::Accepted,
        hash: *hash.as_bytes(),
    };
    assert_eq!(said(&mut wrong).await, Some(accepted));
    assert!(get(&client, hash).await.unwrap() == blob);
    let mut server = server;
    server.terminate();
    assert!(server.ended().await.success(), "{}", server.trace());
    server.verify_store();
}

#[tokio::test]
async fn a_server_that_is_killed_keeps_whole_blobs_and_nothing_of_others() {
    let mut server = server(&[]).await;
    let user = key(1);
    let whole = data(3, 1_500_000);
    let client = server.client(Some(&user)).await;
    assert_eq!(put(&client, &whole).await, ResultCode::Accepted);
    for (round, part) in [1, 70_000, 1_000_000, 1_499_999].into_iter().enumerate() {
        let blob = data(u8::try_from(10 + round).unwrap(), 1_500_000);
        let hash = BlobHash::of(&blob);
        let mut stream = raw_stream(&server, Some(&user)).await;
        stream.send(submission(hash, blob.len())).await.unwrap();
        stream
            .send(Bytes::copy_from_slice(&blob[..part]))
            .await
            .unwrap();
        // What another client is told comes behind some of it.
        let small = data(u8::try_from(20 + round).unwrap(), 10);
        let other = server.client(Some(&user)).await;
        assert_eq!(put(&other, &small).await, ResultCode::Accepted);
        server.kill();
        server.verify_store();
        server.restart().await;
        let client = server.client(Some(&user)).await;
        assert!(get(&client, BlobHash::of(&whole)).await.unwrap() == whole);
        assert!(get(&client, BlobHash::of(&small)).await.unwrap() == small);
        assert_eq!(get(&client, hash).await, Err(ResultCode::NotFound));
        assert_eq!(
            put(&client, &blob).await,
            ResultCode::Accepted,
            "it may come again"
        );
    }
    server.stop_cleanly().await;
}

/// What a BLOB may make the server's own memory grow by, however large it is: the buffers of its
/// database, twice, and those of the connection.
const MEMORY_SLACK_BYTES: u64 = 128 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_gigabyte_goes_in_and_out_in_bounded_memory() {
    const BLOCKS: u64 = 512;
    let arguments = [
        "--dev",
        "--set",
        "blobs.bytes_max=1073741824",
        "--set",
        "blobs.user_bytes=2147483648",
    ];
    let server = DevServer::start_with(&arguments, "").await;
    let user = server.client(Some(&key(1))).await;
    // The first one fills what is filled once.
    assert_eq!(put(&user, &data(1, 16 << 20)).await, ResultCode::Accepted);
    let before = server.resident_bytes();
    let mut blob = Repeated::new(2);
    let hash = blob.hash(BLOCKS);
    let mut most = 0;
    let mut looks = 0_u64;
    let mut look = |done: u64, _: u64| {
        if done >> 24 != looks {
            looks = done >> 24;
            most = most.max(server.resident_bytes());
        }
    };
    let length = BLOCKS << 20;
    let put = user.put_blob(hash, length, &mut blob, &mut look);
    assert_eq!(put.await.unwrap(), ResultCode::Accepted);
    let mut sink = Sink::default();
    let fetched = user.get_blob(hash, &mut sink, &mut look).await;
    assert_eq!((fetched.unwrap(), sink.0), (length, length));
    assert!(
        most < before + MEMORY_SLACK_BYTES,
        "a BLOB of {length} bytes made {before} bytes grow to {most}"
    );
    println!("{before} bytes before, {most} at most");
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_at_a_time_all_get_the_same_also_one_that_takes_its_time() {
    let server = server(&[]).await;
    let user = server.client(Some(&key(1))).await;
    let blob = data(4, BYTES_MAX);
    let hash = BlobHash::of(&blob);
    assert_eq!(put(&user, &blob).await, ResultCode::Accepted);
    // One asks, and does not read until all others are done.
    let mut slow = raw_stream(&server, None).await;
    let get_blob = ClientMessage::BlobGet {
        hash: *hash.as_bytes(),
    };
    slow.send(get_blob.encode()).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let client = server.client(None).await;
        for _ in 0..2 {
            let client = client.clone();
            readers.spawn(async move { get(&client, hash).await.unwrap() });
        }
    }
    while let Some(read) = readers.join_next().await {
        assert!(read.unwrap() == blob);
    }
    assert!(server.client(None).await.info().await.is_ok());
    let head = ServerMessage::BlobResult {
        result: ResultCode::Success,
        data_bytes: u64::try_from(blob.len()).unwrap(),
        hash: *hash.as_bytes(),
    };
    assert_eq!(said(&mut slow).await, Some(head));
    // Behind the data the stream goes on.
    slow.send(get_blob.encode()).await.unwrap();
    assert!(matches!(
        said(&mut slow).await,
        Some(ServerMessage::BlobResult { .. })
    ));
    server.stop_cleanly().await;
}

#[tokio::test]
async fn who_may_hand_in_and_who_may_read_is_as_configured_and_what_is_hidden_looks_absent() {
    let users = format!("users.list=[\"{}\"]", key(1).public());
    let closed = ["users.mode=list", &users, "blobs.read=users"];
    let server = server(&closed).await;
    let user = server.client(Some(&key(1))).await;
    let stranger = server.client(Some(&key(2))).await;
    let anonymous = server.client(None).await;
    let blob = data(5, 1_000);
    let hash = BlobHash::of(&blob);
    assert_eq!(put(&stranger, &blob).await, ResultCode::Unauthorized);
    assert_eq!(
        put(&anonymous, &blob).await,
        ResultCode::RequiresAuthentication
    );
    assert_eq!(put(&user, &blob).await, ResultCode::Accepted);
    assert!(get(&user, hash).await.unwrap() == blob);
    for hash in [hash, BlobHash::of(b"absent")] {
        assert_eq!(get(&stranger, hash).await, Err(ResultCode::NotFound));
        let result = get(&anonymous, hash).await;
        assert_eq!(result, Err(ResultCode::RequiresAuthentication));
        for identity in [None, Some(&key(2))] {
            let mut stream = raw_stream(&server, identity).await;
            let get = ClientMessage::BlobGet {
                hash: *hash.as_bytes(),
            };
            stream.send(get.encode()).await.unwrap();
            let result = match identity {
                None => ResultCode::RequiresAuthentication,
                Some(_) => ResultCode::NotFound,
            };
            let expected = ServerMessage::BlobResult {
                result,
                data_bytes: 0,
                hash: *hash.as_bytes(),
            };
            assert_eq!(said(&mut stream).await, Some(expected));
        }
    }
    // Someone who may not hand in is not told that it is here.
    assert_eq!(put(&stranger, &blob).await, ResultCode::Unauthorized);
    server.stop_cleanly().await;
}

#[tokio::test]
async fn a_user_has_room_up_to_the_quota_and_another_one_has_their_own() {
    let server = server(&["blobs.user_bytes=10000"]).await;
    let user = server.client(Some(&key(1))).await;
    let other = server.client(Some(&key(2))).await;
    assert_eq!(put(&user, &data(1, 8_000)).await, ResultCode::Accepted);
    assert_eq!(put(&user, &data(2, 1_000)).await, ResultCode::TooLarge);
    assert_eq!(put(&other, &data(2, 1_000)).await, ResultCode::Accepted);
    server.stop_cleanly().await;
}

#[tokio::test]
async fn switched_off_there_are_none_and_info_says_so() {
    let server = server(&["blobs.enabled=false"]).await;
    let user = server.client(Some(&key(1))).await;
    assert_eq!(user.info().await.unwrap().limits.blob_bytes, 0);
    assert_eq!(put(&user, b"x").await, ResultCode::Unauthorized);
    assert_eq!(
        get(&user, BlobHash::of(b"x")).await,
        Err(ResultCode::NotFound)
    );
    server.stop_cleanly().await;
}
