//! Cutting a stream of bytes into messages.

use std::collections::VecDeque;

use bytes::Bytes;
use thiserror::Error;

use super::message::{
    BLOB_HEAD_BYTES, Direction, HEADER_BYTES, LENGTH_END_BYTES, Layout, MessageType, Subject,
    data_length, length_field,
};

/// One piece that a [`FrameReader`] cut out of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, header included, of a length its type can have; of a BLOB message the head
    /// of 40 bytes, whose data follow as [`Frame::BlobData`].
    Message(Bytes),
    /// Data of the BLOB message whose head came before, in order, as they arrive; at least 1 byte.
    BlobData {
        /// The bytes.
        data: Bytes,
        /// How many more bytes follow. 0: these were the last. The head of an empty BLOB is
        /// followed by none.
        left_bytes: u64,
    },
}

/// Why a stream cannot be cut further, or a message of it not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// No such message in this direction, so nobody knows where it ends: answer UNRECOGNIZED and
    /// close the stream. Final.
    #[error("unknown message type {0:#04x}")]
    UnknownType(u8),
    /// The length field names a length its type cannot have, so it cannot be believed. Final.
    #[error("message of type {kind:#04x} claims {length_bytes} bytes")]
    BadLength {
        /// First byte of the message.
        kind: u8,
        /// Where the answer belongs.
        subject: Subject,
        /// What the length field says.
        length_bytes: usize,
    },
    /// The message is larger than its type may be here. Not final: the reader skips it as it
    /// arrives, and goes on with the next one.
    #[error("message of type {kind:#04x} takes {length_bytes} bytes, {bound_bytes} are allowed")]
    TooLarge {
        /// First byte of the message.
        kind: u8,
        /// Where the answer belongs.
        subject: Subject,
        /// What the length field says.
        length_bytes: usize,
        /// The most that is allowed.
        bound_bytes: usize,
    },
    /// The stream ended inside a message. Final.
    #[error("stream ends inside a message of type {kind:#04x}")]
    Truncated {
        /// First byte of the message.
        kind: u8,
        /// Where the answer belongs.
        subject: Subject,
    },
}

/// Cuts a stream into [`Frame`]s. It is fed with whatever arrives, cut anywhere.
///
/// Memory: the reader holds the message that is arriving, at most the bound of its type and at
/// most twice what has arrived of it, and the chunks that [`push`](Self::push) was given since
/// [`next`](Self::next) last returned `None`. A length field alone reserves nothing.
///
/// A message that lies in one chunk is a slice of that chunk, and keeps the whole chunk alive.
/// Messages whose content outlives their handling (SUBMISSION, RECORD, QUERY, SUBSCRIBE) are
/// therefore copied into memory of exactly their size, so that one kept record or filter never
/// pins a receive buffer.
#[derive(Debug)]
pub struct FrameReader {
    direction: Direction,
    state: State,
    /// The first bytes of the present message, where it spans chunks.
    partial: Vec<u8>,
    /// What follows them; no chunk is empty.
    chunks: VecDeque<Bytes>,
    /// How many messages have arrived to their end.
    ended_messages: u64,
}

#[derive(Debug)]
enum State {
    /// At the start of a message, or inside one.
    Message,
    /// That many bytes of data are still to be passed on.
    BlobData { left_bytes: u64 },
    /// That many bytes of a message that was too large are still to be thrown away.
    Skip { left_bytes: usize },
    /// Nothing more can be read.
    Failed(FrameError),
}

impl FrameReader {
    /// A reader at the start of a stream, whose bytes travel in `direction`.
    #[must_use]
    pub const fn new(direction: Direction) -> Self {
        Self {
            direction,
            state: State::Message,
            partial: Vec::new(),
            chunks: VecDeque::new(),
            ended_messages: 0,
        }
    }

    /// Takes the bytes that follow those taken before.
    ///
    /// Call [`next`](Self::next) until it returns `None` before reading more from the peer: what
    /// is pushed in between is held as it is.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !matches!(self.state, State::Failed(_)) {
            self.chunks.push_back(chunk);
        }
    }

    /// The next piece, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// - [`FrameError::TooLarge`], once for each such message; then the reader goes on behind it.
    /// - [`FrameError::UnknownType`], [`FrameError::BadLength`]: now and at every later call;
    ///   what was buffered is dropped.
    ///
    /// An error waits until the bytes that tell its [`Subject`] have arrived;
    /// [`finish`](Self::finish) reports it where they never do.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would say that `None` is the end"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match &self.state {
                State::Message => return self.next_message(),
                State::BlobData { left_bytes } => return Ok(self.next_data(*left_bytes)),
                State::Skip { left_bytes } => {
                    if !self.skip(*left_bytes) {
                        return Ok(None);
                    }
                }
                State::Failed(error) => return Err(error.clone()),
            }
        }
    }

    /// Asks, once the peer has ended the stream and [`next`](Self::next) returns `None`, whether
    /// it ended between two messages.
    ///
    /// # Errors
    /// - An error that [`next`](Self::next) returned before and that is final, or one that it held
    ///   back until more bytes would arrive.
    /// - [`FrameError::Truncated`]: the stream ends inside a message.
    pub fn finish(&self) -> Result<(), FrameError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::BlobData { .. } => Err(FrameError::Truncated {
                kind: match self.direction {
                    Direction::ToServer => MessageType::BlobSubmission.as_u8(),
                    Direction::ToClient => MessageType::BlobResult.as_u8(),
                },
                subject: Subject::None,
            }),
            // The message was answered when it was found too large.
            State::Skip { .. } => Ok(()),
            State::Message => self.finish_message(),
        }
    }

    /// Bytes that were pushed and are not yet part of a returned frame.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.partial.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    /// How many messages came before the one that has begun and not ended, so that one can be told
    /// from the next; `None` between two messages and after a final error. BLOB data and what is
    /// thrown away belong to their message.
    ///
    /// Ask when [`next`](Self::next) has returned `None`.
    #[must_use]
    pub fn arriving(&self) -> Option<u64> {
        let has_begun = match &self.state {
            State::Message => !self.partial.is_empty() || !self.chunks.is_empty(),
            State::BlobData { .. } | State::Skip { .. } => true,
            State::Failed(_) => false,
        };
        has_begun.then_some(self.ended_messages)
    }

    /// The first byte of the message that [`next`](Self::next) would go on with.
    #[must_use]
    pub fn peek_kind(&self) -> Option<u8> {
        match &self.state {
            State::Message => self.present().first().copied(),
            State::BlobData { .. } | State::Skip { .. } | State::Failed(_) => None,
        }
    }

    fn next_message(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(message_type) = self.peek_type()? else {
            return Ok(None);
        };
        let Some(length_bytes) = self.peek_length(message_type)? else {
            return Ok(None);
        };
        let Some(message) = self.take_message(message_type, length_bytes) else {
            return Ok(None);
        };
        let left_bytes = match message_type.layout() {
            Layout::BlobHead => data_length(&message),
            Layout::Exact(_) | Layout::Fixed(_) | Layout::UpTo(_) => 0,
        };
        match left_bytes {
            0 => self.end_message(),
            _ => self.state = State::BlobData { left_bytes },
        }
        Ok(Some(Frame::Message(message)))
    }

    fn peek_type(&mut self) -> Result<Option<MessageType>, FrameError> {
        let Some(kind) = self.present().first().copied() else {
            return Ok(None);
        };
        match MessageType::from_u8(kind).filter(|it| it.travels(self.direction)) {
            Some(message_type) => Ok(Some(message_type)),
            None => Err(self.fail(FrameError::UnknownType(kind))),
        }
    }

    /// The length of the present message, once it is known and checked.
    fn peek_length(&mut self, message_type: MessageType) -> Result<Option<usize>, FrameError> {
        match message_type.layout() {
            Layout::Fixed(bytes) => return Ok(Some(bytes)),
            Layout::BlobHead => return Ok(Some(BLOB_HEAD_BYTES)),
            Layout::Exact(_) | Layout::UpTo(_) => {}
        }
        if self.present().len() < LENGTH_END_BYTES && !self.gather(LENGTH_END_BYTES) {
            return Ok(None);
        }
        let Some(length_bytes) = length_field(self.present()) else {
            return Ok(None);
        };
        if fits(message_type, length_bytes) {
            return Ok(Some(length_bytes));
        }
        let subject_end = message_type.subject_end_bytes();
        if !self.gather(subject_end) && length_bytes >= subject_end {
            return Ok(None);
        }
        Err(self.refuse_length(message_type, length_bytes))
    }

    /// The whole present message, once it is there.
    fn take_message(&mut self, message_type: MessageType, length_bytes: usize) -> Option<Bytes> {
        if self.partial.is_empty()
            && let Some(chunk) = self.chunks.front_mut()
            && chunk.len() >= length_bytes
        {
            let message = chunk.split_to(length_bytes);
            self.drop_empty_chunk();
            return Some(if outlives_handling(message_type) {
                Bytes::copy_from_slice(&message)
            } else {
                message
            });
        }
        if !self.gather(length_bytes) {
            return None;
        }
        // A boxed slice has no spare room, so what is kept is exactly the message.
        let message = std::mem::take(&mut self.partial).into_boxed_slice();
        Some(Bytes::from(message))
    }

    fn next_data(&mut self, left_bytes: u64) -> Option<Frame> {
        let chunk = self.chunks.front_mut()?;
        let taken_bytes = usize::try_from(left_bytes).map_or(chunk.len(), |it| it.min(chunk.len()));
        let data = chunk.split_to(taken_bytes);
        self.drop_empty_chunk();
        let left_bytes = left_bytes.saturating_sub(u64::try_from(taken_bytes).unwrap_or(u64::MAX));
        match left_bytes {
            0 => self.end_message(),
            _ => self.state = State::BlobData { left_bytes },
        }
        Some(Frame::BlobData { data, left_bytes })
    }

    /// Throws away what has arrived of a message that is too large; whether that was all of it.
    fn skip(&mut self, left_bytes: usize) -> bool {
        let mut left_bytes = left_bytes;
        while left_bytes > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            let taken_bytes = left_bytes.min(chunk.len());
            drop(chunk.split_to(taken_bytes));
            left_bytes -= taken_bytes;
            self.drop_empty_chunk();
        }
        match left_bytes {
            0 => self.end_message(),
            _ => self.state = State::Skip { left_bytes },
        }
        left_bytes == 0
    }

    fn end_message(&mut self) {
        self.state = State::Message;
        self.ended_messages = self.ended_messages.wrapping_add(1);
    }

    /// Moves bytes into `partial` until it holds `want_bytes` of the present message; whether they
    /// are there.
    fn gather(&mut self, want_bytes: usize) -> bool {
        while self.partial.len() < want_bytes {
            let Some(chunk) = self.chunks.front_mut() else {
                return false;
            };
            let missing_bytes = want_bytes - self.partial.len();
            let piece = chunk.split_to(missing_bytes.min(chunk.len()));
            reserve(&mut self.partial, piece.len(), want_bytes);
            self.partial.extend_from_slice(&piece);
            self.drop_empty_chunk();
        }
        true
    }

    /// The bytes of the present message that can be looked at without moving any.
    fn present(&self) -> &[u8] {
        if self.partial.is_empty() {
            self.chunks.front().map_or(&[], |chunk| chunk)
        } else {
            &self.partial
        }
    }

    fn drop_empty_chunk(&mut self) {
        if self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
    }

    /// The error of a length that its type cannot have; its subject is in `partial` by now.
    fn refuse_length(&mut self, message_type: MessageType, length_bytes: usize) -> FrameError {
        let error = length_error(message_type, &self.partial, length_bytes);
        if matches!(error, FrameError::TooLarge { .. }) {
            let left_bytes = length_bytes.saturating_sub(self.partial.len());
            self.partial = Vec::new();
            self.state = State::Skip { left_bytes };
            error
        } else {
            self.fail(error)
        }
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.partial = Vec::new();
        self.chunks = VecDeque::new();
        self.state = State::Failed(error.clone());
        error
    }

    fn finish_message(&self) -> Result<(), FrameError> {
        let arrived: Vec<u8> = [self.partial.as_slice()]
            .into_iter()
            .chain(self.chunks.iter().map(AsRef::as_ref))
            .flatten()
            .copied()
            .take(BLOB_HEAD_BYTES)
            .collect();
        let Some(kind) = arrived.first().copied() else {
            return Ok(());
        };
        let Some(message_type) = MessageType::from_u8(kind).filter(|it| it.travels(self.direction))
        else {
            return Err(FrameError::UnknownType(kind));
        };
        let has_length_field = matches!(message_type.layout(), Layout::Exact(_) | Layout::UpTo(_));
        if has_length_field
            && let Some(length_bytes) = length_field(&arrived)
            && !fits(message_type, length_bytes)
        {
            return Err(length_error(message_type, &arrived, length_bytes));
        }
        Err(FrameError::Truncated {
            kind,
            subject: message_type.subject(&arrived),
        })
    }
}

/// Whether a message of that type may claim that length.
fn fits(message_type: MessageType, length_bytes: usize) -> bool {
    match message_type.layout() {
        Layout::UpTo(bound_bytes) => (HEADER_BYTES..=bound_bytes).contains(&length_bytes),
        Layout::Exact(bytes) | Layout::Fixed(bytes) => length_bytes == bytes,
        Layout::BlobHead => length_bytes == BLOB_HEAD_BYTES,
    }
}

/// The error of a claimed length that does not [fit](fits).
fn length_error(message_type: MessageType, arrived: &[u8], length_bytes: usize) -> FrameError {
    let kind = message_type.as_u8();
    // Bytes past a claimed end belong to no message.
    let subject = message_type.subject(arrived.get(..length_bytes).unwrap_or(arrived));
    match message_type.layout() {
        Layout::UpTo(bound_bytes) if length_bytes > bound_bytes => FrameError::TooLarge {
            kind,
            subject,
            length_bytes,
            bound_bytes,
        },
        _ => FrameError::BadLength {
            kind,
            subject,
            length_bytes,
        },
    }
}

/// Whether what a message carries is kept after the message was handled.
const fn outlives_handling(message_type: MessageType) -> bool {
    matches!(
        message_type,
        MessageType::Submission | MessageType::Record | MessageType::Query | MessageType::Subscribe
    )
}

/// Makes room for `more_bytes` in a buffer that will hold `want_bytes` if the peer keeps its word:
/// room for twice what has arrived, and never for more than is wanted.
fn reserve(buffer: &mut Vec<u8>, more_bytes: usize, want_bytes: usize) {
    let arrived_bytes = buffer.len() + more_bytes;
    if arrived_bytes > buffer.capacity() {
        let room_bytes = arrived_bytes.saturating_mul(2).min(want_bytes);
        buffer.reserve_exact(room_bytes.saturating_sub(buffer.len()));
    }
}

#[cfg(test)]
mod tests;
