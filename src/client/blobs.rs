//! BLOBs: handed in from a reader, fetched into a writer, never whole in memory.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::connection::Client;
use super::error::{RequestError, ServerFault, StreamEnd};
use super::raw::{ReceiveHalf, SendHalf};
use crate::base::limits;
use crate::wire::{
    BlobHash, BlobHasher, ClientMessage, Direction, Frame, FrameReader, ResultCode, ServerMessage,
};

/// Why a BLOB was not handed in or not fetched.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The stream, or the server.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server has no such BLOB for this client, or hands none out.
    #[error("refused: {0}")]
    Refused(ResultCode),
    /// The data cannot be read.
    #[error("the data cannot be read")]
    Read(#[source] io::Error),
    /// There are less data than the length that was given.
    #[error("the data end after {0} bytes")]
    Short(u64),
    /// The data cannot be written.
    #[error("the data cannot be written")]
    Write(#[source] io::Error),
    /// The server sent data of another hash. What was written of them is of no use.
    #[error("the server sent data that do not have the hash asked for")]
    WrongData,
}

impl From<StreamEnd> for BlobError {
    fn from(end: StreamEnd) -> Self {
        Self::Request(end.into())
    }
}

impl From<ServerFault> for BlobError {
    fn from(fault: ServerFault) -> Self {
        StreamEnd::from(fault).into()
    }
}

/// Told how many bytes of how many are done.
pub type BlobProgress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

impl Client {
    /// Hands in the BLOB `hash` with the first `length_bytes` of `data`, on a stream of its own, and
    /// waits for the result. A refusal is a result like any other, and ends the sending.
    ///
    /// # Errors
    /// [`BlobError`]; whether the BLOB was stored is unknown after [`BlobError::Request`].
    ///
    /// # Cancel safety
    /// Dropping the future breaks the hand-in off; what `data` was read to is unknown.
    ///
    /// # Source
    /// `mosaic-wire.md` section 7, BLOB SUBMISSION.
    pub async fn put_blob(
        &self,
        hash: BlobHash,
        length_bytes: u64,
        data: &mut (dyn AsyncRead + Unpin + Send),
        progress: BlobProgress<'_>,
    ) -> Result<ResultCode, BlobError> {
        let (mut send, mut receive) = self.raw_stream().await?.into_halves();
        let patience = self.patience();
        let head = ClientMessage::BlobSubmission {
            hash: *hash.as_bytes(),
            data_bytes: length_bytes,
        };
        let result = {
            let sending = send_all(&mut send, &head, length_bytes, data, patience, progress);
            let answer = answer(&mut receive, hash);
            tokio::pin!(sending, answer);
            tokio::select! {
                // An answer that comes before all was sent leaves nothing to send.
                biased;
                answer = &mut answer => answer,
                sent = &mut sending => match sent {
                    Ok(()) => within(patience, answer).await,
                    // A server that reads no more may have said why.
                    Err(BlobError::Request(error)) => match timeout(LAST_WORDS, answer).await {
                        Ok(Ok(result)) => Ok(result),
                        Ok(Err(_)) | Err(_) => Err(error.into()),
                    },
                    Err(error) => Err(error),
                },
            }
        };
        if !matches!(result, Ok(ResultCode::Accepted)) {
            // What was not sent must not look like the end.
            send.reset();
        }
        result
    }

    /// Fetches the BLOB `hash` into `data`, on a stream of its own. Returns how long it is.
    ///
    /// # Errors
    /// [`BlobError`]; what was written to `data` is then not the BLOB.
    ///
    /// # Cancel safety
    /// Dropping the future breaks the fetching off; part of the BLOB may have been written.
    ///
    /// # Source
    /// `mosaic-wire.md` section 7, BLOB GET.
    pub async fn get_blob(
        &self,
        hash: BlobHash,
        data: &mut (dyn AsyncWrite + Unpin + Send),
        progress: BlobProgress<'_>,
    ) -> Result<u64, BlobError> {
        let (mut send, mut receive) = self.raw_stream().await?.into_halves();
        let patience = self.patience();
        let get = ClientMessage::BlobGet {
            hash: *hash.as_bytes(),
        };
        send.write_all(&mut [get.encode()]).await?;
        let mut frames = FrameReader::new(Direction::ToClient);
        let mut hasher = BlobHasher::default();
        let mut length_bytes = None;
        loop {
            match within(patience, next_frame(&mut receive, &mut frames)).await? {
                Frame::Message(message) => {
                    let found = found(&message, hash)?;
                    length_bytes = length_bytes.or(found);
                    if found != Some(0) {
                        continue;
                    }
                }
                Frame::BlobData {
                    data: piece,
                    left_bytes,
                } => {
                    let Some(total) = length_bytes else { continue };
                    hasher.update(&piece);
                    data.write_all(&piece).await.map_err(BlobError::Write)?;
                    progress(total.saturating_sub(left_bytes), total);
                    if left_bytes > 0 {
                        continue;
                    }
                }
            }
            data.flush().await.map_err(BlobError::Write)?;
            return match length_bytes {
                Some(length_bytes) if hasher.hash() == hash => Ok(length_bytes),
                _ => Err(BlobError::WrongData),
            };
        }
    }
}

/// The length of the BLOB where `message` is its head; `None` for what was not asked for.
fn found(message: &Bytes, hash: BlobHash) -> Result<Option<u64>, BlobError> {
    match ServerMessage::parse(message).map_err(ServerFault::from)? {
        ServerMessage::BlobResult {
            result,
            data_bytes,
            hash: of,
        } if of == *hash.as_bytes() => match result {
            ResultCode::Success => Ok(Some(data_bytes)),
            refused => Err(BlobError::Refused(refused)),
        },
        other => {
            last_word(&other)?;
            Ok(None)
        }
    }
}

/// Waits for what the server says of the BLOB that is handed in.
async fn answer(receive: &mut ReceiveHalf, hash: BlobHash) -> Result<ResultCode, BlobError> {
    let mut frames = FrameReader::new(Direction::ToClient);
    loop {
        let Frame::Message(message) = next_frame(receive, &mut frames).await? else {
            continue;
        };
        match ServerMessage::parse(&message).map_err(ServerFault::from)? {
            ServerMessage::BlobSubmissionResult { result, hash: of } if of == *hash.as_bytes() => {
                return Ok(result);
            }
            other => last_word(&other)?,
        }
    }
}

/// Whether the server has said its last word; anything else that was not asked for is ignored.
fn last_word(message: &ServerMessage) -> Result<(), StreamEnd> {
    match message {
        ServerMessage::Closing { result } => Err(StreamEnd::Closing(*result)),
        ServerMessage::Unrecognized => Err(StreamEnd::Unrecognized),
        _ => Ok(()),
    }
}

async fn next_frame(
    receive: &mut ReceiveHalf,
    frames: &mut FrameReader,
) -> Result<Frame, BlobError> {
    loop {
        if let Some(frame) = frames.next().map_err(ServerFault::from)? {
            return Ok(frame);
        }
        match receive.read().await? {
            Some(bytes) => frames.push(bytes),
            None => return Err(StreamEnd::Ended.into()),
        }
    }
}

async fn send_all(
    send: &mut SendHalf,
    head: &ClientMessage,
    length_bytes: u64,
    data: &mut (dyn AsyncRead + Unpin + Send),
    patience: Duration,
    progress: BlobProgress<'_>,
) -> Result<(), BlobError> {
    send.write_all(&mut [head.encode()]).await?;
    let mut sent_bytes: u64 = 0;
    while sent_bytes < length_bytes {
        let left_bytes = length_bytes.saturating_sub(sent_bytes);
        let piece_bytes = usize::try_from(left_bytes).map_or(PIECE_BYTES, |it| it.min(PIECE_BYTES));
        let mut piece = BytesMut::with_capacity(piece_bytes);
        let mut piece_of_data = (&mut *data).take(piece_bytes as u64);
        let read = piece_of_data.read_buf(&mut piece).await;
        match read.map_err(BlobError::Read)? {
            0 => return Err(BlobError::Short(sent_bytes)),
            read => sent_bytes = sent_bytes.saturating_add(read as u64),
        }
        let mut chunks = [piece.freeze()];
        let written = async { Ok(send.write_all(&mut chunks).await?) };
        within(patience, written).await?;
        progress(sent_bytes, length_bytes);
    }
    Ok(())
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    let done = timeout(patience, work).await;
    done.unwrap_or(Err(BlobError::Request(RequestError::Timeout)))
}

/// Bytes that are read and sent at a time.
const PIECE_BYTES: usize = limits::BLOB_CHUNK_BYTES;

/// How long a server that reads no more has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
