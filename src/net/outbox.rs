//! What a stream has still to send.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

use crate::base::limits::{
    SEND_CHUNK_BYTES, SEND_COPY_MAX_BYTES, STREAM_OUTBOX_BYTES, STREAM_WRITE_CHUNKS_MAX,
};

/// The bytes a stream has still to send, in order.
///
/// Small messages are copied together, because every chunk in flight costs time for each packet
/// that is built; large ones are shared with whoever else sends them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    /// Small messages behind the last chunk.
    tail: BytesMut,
    bytes: usize,
}

impl Outbox {
    /// Puts `bytes` behind what waits.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if bytes.len() > SEND_COPY_MAX_BYTES {
            self.seal();
            self.chunks.push_back(bytes);
            return;
        }
        self.tail.extend_from_slice(&bytes);
        if self.tail.len() >= SEND_CHUNK_BYTES {
            self.seal();
        }
    }

    /// Whether more may be added: past [`STREAM_OUTBOX_BYTES`] nothing is read for the stream.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < STREAM_OUTBOX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The next chunks to send, at most [`STREAM_WRITE_CHUNKS_MAX`]. After a write into them,
    /// [`written`](Self::written) has to be called.
    pub(super) fn front(&mut self) -> &mut [Bytes] {
        if self.chunks.is_empty() {
            self.seal();
        }
        let chunks = self.chunks.make_contiguous();
        let count = chunks.len().min(STREAM_WRITE_CHUNKS_MAX);
        chunks.split_at_mut(count).0
    }

    /// Takes note that the chunks of [`front`](Self::front) were sent, whole or in part.
    pub(super) fn written(&mut self) {
        while self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
        let waiting = self.chunks.iter().map(Bytes::len).sum::<usize>();
        self.bytes = waiting.saturating_add(self.tail.len());
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(mem::take(&mut self.tail).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends everything in bites of `bite` bytes, as a transport with little room would.
    fn drain(outbox: &mut Outbox, bite: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            let mut room = bite;
            for chunk in outbox.front() {
                let taken = chunk.split_to(chunk.len().min(room));
                room -= taken.len();
                sent.extend_from_slice(&taken);
            }
            outbox.written();
        }
        sent
    }

    #[test]
    fn bytes_leave_in_order_however_they_were_cut() {
        for bite in [1, 7, 1_000, 1 << 20] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for round in 0..60_u8 {
                let size = usize::from(round) * usize::from(round);
                let bytes = vec![round; size];
                expected.extend_from_slice(&bytes);
                outbox.push(bytes.into());
            }
            assert!(drain(&mut outbox, bite) == expected, "bites of {bite}");
        }
    }

    #[test]
    fn small_messages_share_a_chunk_and_large_ones_keep_their_own() {
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![1; SEND_COPY_MAX_BYTES + 1]);
        for _ in 0..3 {
            outbox.push(Bytes::from_static(b"small"));
        }
        outbox.push(large.clone());
        let chunks = outbox.front();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0], b"smallsmallsmall"[..]);
        assert_eq!(chunks[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn a_full_outbox_has_no_room_until_it_is_drained_below_its_bound() {
        let mut outbox = Outbox::default();
        while outbox.has_room() {
            outbox.push(Bytes::from(vec![0; 600]));
        }
        drain(&mut outbox, usize::MAX);
        assert!(outbox.has_room());
    }
}
