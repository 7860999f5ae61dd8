//! BLOBs of servers that do as they should, and of others.

use tokio::join;

use super::connected;
use crate::client::testing::{Listener, ServerStream};
use crate::client::{BlobError, Client, RequestError, StreamEnd};
use crate::wire::{BlobHash, ClientMessage, ResultCode, ServerMessage};

const DATA: &[u8] = b"some data";

fn head(data_bytes: usize, hash: BlobHash) -> ServerMessage {
    ServerMessage::BlobResult {
        result: ResultCode::Success,
        data_bytes: u64::try_from(data_bytes).unwrap(),
        hash: *hash.as_bytes(),
    }
}

/// What the client makes of an answer to BLOB GET that `answer` gives.
async fn got<A: AsyncFnOnce(ServerStream)>(answer: A) -> (Result<u64, BlobError>, Vec<u8>) {
    let listener = Listener::new(1);
    let (client, connection, _main) = connected(&listener).await;
    let mut fetched = Vec::new();
    let hash = BlobHash::of(DATA);
    let mut ignore = |_, _| ();
    let fetching = client.get_blob(hash, &mut fetched, &mut ignore);
    let serving = async {
        let mut stream = ServerStream::accept(&connection).await.unwrap();
        let asked = stream.receive().await.unwrap().unwrap();
        let hash = *hash.as_bytes();
        assert_eq!(asked, ClientMessage::BlobGet { hash });
        answer(stream).await;
    };
    let (result, ()) = join!(fetching, serving);
    (result, fetched)
}

#[tokio::test]
async fn a_blob_is_fetched_between_other_messages_however_it_is_cut() {
    let (result, fetched) = got(async |mut stream| {
        stream.send(ServerMessage::DhtResponse).await;
        stream.send(head(4, BlobHash::of(b"not asked for"))).await;
        stream.send_bytes(DATA.slice_to_bytes(0, 4)).await;
        stream.send(head(DATA.len(), BlobHash::of(DATA))).await;
        for at in 0..DATA.len() {
            stream.send_bytes(DATA.slice_to_bytes(at, at + 1)).await;
        }
        let _open = stream.receive().await;
    })
    .await;
    assert_eq!(result.unwrap(), DATA.len() as u64);
    assert_eq!(fetched, DATA);
}

trait Slice {
    fn slice_to_bytes(&self, from: usize, to: usize) -> bytes::Bytes;
}

impl Slice for [u8] {
    fn slice_to_bytes(&self, from: usize, to: usize) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self[from..to])
    }
}

#[tokio::test]
async fn data_of_another_hash_are_an_error() {
    for wrong in [&b"same size"[..], b"", b"longer than it should be"] {
        let (result, _) = got(async |mut stream| {
            stream.send(head(wrong.len(), BlobHash::of(DATA))).await;
            stream.send_bytes(bytes::Bytes::from_static(wrong)).await;
            let _open = stream.receive().await;
        })
        .await;
        assert!(matches!(result, Err(BlobError::WrongData)), "{result:?}");
    }
}

#[tokio::test]
async fn a_blob_that_ends_in_its_middle_is_an_error_and_a_refusal_is_told() {
    let (result, _) = got(async |mut stream| {
        stream.send(head(DATA.len(), BlobHash::of(DATA))).await;
        stream.send_bytes(DATA.slice_to_bytes(0, 3)).await;
        stream.send.finish();
    })
    .await;
    let ended = |error: &BlobError| {
        matches!(
            error,
            BlobError::Request(RequestError::End(StreamEnd::Ended))
        )
    };
    assert!(result.as_ref().is_err_and(ended), "{result:?}");
    let (result, _) = got(async |mut stream| {
        let hash = *BlobHash::of(DATA).as_bytes();
        let result = ResultCode::NotFound;
        let message = ServerMessage::BlobResult {
            result,
            data_bytes: 0,
            hash,
        };
        stream.send(message).await;
        let _open = stream.receive().await;
    })
    .await;
    let refused = matches!(result, Err(BlobError::Refused(ResultCode::NotFound)));
    assert!(refused, "{result:?}");
}

/// Hands in more data than fit into the buffers of a connection, of which the server reads none.
async fn put_large(client: &Client) -> Result<ResultCode, BlobError> {
    let length = 64 << 20;
    let mut data = tokio::io::repeat(7);
    let mut ignore = |_, _| ();
    let put = client.put_blob(BlobHash::of(DATA), length, &mut data, &mut ignore);
    put.await
}

#[tokio::test]
async fn a_blob_that_is_refused_while_it_is_sent_is_not_sent_to_its_end() {
    let listener = Listener::new(1);
    let (client, connection, _main) = connected(&listener).await;
    let serving = async {
        let mut stream = ServerStream::accept(&connection).await.unwrap();
        let asked = stream.receive().await.unwrap().unwrap();
        assert!(matches!(asked, ClientMessage::BlobSubmission { .. }));
        let hash = *BlobHash::of(DATA).as_bytes();
        let result = ResultCode::TooLarge;
        let message = ServerMessage::BlobSubmissionResult { result, hash };
        stream.send(message).await;
        stream
    };
    let (result, _stream) = join!(put_large(&client), serving);
    assert_eq!(result.unwrap(), ResultCode::TooLarge);
}

#[tokio::test]
async fn data_that_end_before_their_length_are_an_error_on_this_side() {
    let listener = Listener::new(1);
    let (client, connection, _main) = connected(&listener).await;
    let mut data = DATA;
    let mut ignore = |_, _| ();
    let put = client.put_blob(BlobHash::of(DATA), 100, &mut data, &mut ignore);
    let (result, _stream) = join!(put, ServerStream::accept(&connection));
    assert!(matches!(result, Err(BlobError::Short(9))), "{result:?}");
}
