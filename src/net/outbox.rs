//! What a stream has still to send.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::room::{CountedBytes, StreamRoom, Underway};
use crate::base::limits::{
    SEND_CHUNK_BYTES, SEND_COPY_MAX_BYTES, STREAM_OUTBOX_BYTES, STREAM_OUTBOX_MIN_BYTES,
    STREAM_WRITE_CHUNKS_MAX,
};

/// The bytes a stream has still to send, in order.
///
/// Small messages are copied together, because every chunk in flight costs time for each packet
/// that is built; large ones are shared with whoever else sends them.
#[derive(Debug)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    /// Small messages behind the last chunk.
    tail: BytesMut,
    bytes: CountedBytes,
    /// Bytes that were ever put in.
    pushed: u64,
    /// Pages that wait here, each with the number of bytes up to its end.
    pages: VecDeque<(u64, Underway)>,
    /// Since when the peer has taken nothing, though something waits.
    waits_since: Option<Instant>,
    patience: Duration,
}

impl Outbox {
    /// An empty one of a stream that has `room`.
    pub(super) fn new(room: &StreamRoom) -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            bytes: room.counted_bytes(),
            pushed: 0,
            pages: VecDeque::new(),
            waits_since: None,
            patience: room.patience(),
        }
    }

    /// Puts `bytes` behind what waits.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.waits_since.get_or_insert_with(Instant::now);
        self.pushed = self.pushed.saturating_add(length(&bytes));
        self.bytes.set(self.bytes.own().saturating_add(bytes.len()));
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

    /// Takes note that the page whose last bytes were put in here is on its way until they are sent.
    pub(super) fn keep(&mut self, page: Underway) {
        self.pages.push_back((self.pushed, page));
        self.release();
    }

    /// Whether more may be added: past [`STREAM_OUTBOX_BYTES`] nothing is read for the stream, and
    /// past less where much waits on other streams of the connection.
    pub(super) fn has_room(&self) -> bool {
        let bytes = self.bytes.own();
        // Once it waits for nothing but its own peer, a stream is woken by what that takes.
        bytes < STREAM_OUTBOX_MIN_BYTES
            || (bytes < STREAM_OUTBOX_BYTES && self.bytes.is_common_free())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.own() == 0
    }

    /// When the peer has taken nothing for too long; `None` while nothing waits for it.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        self.waits_since.map(|since| since + self.patience)
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
        self.bytes.set(waiting.saturating_add(self.tail.len()));
        self.waits_since = (!self.is_empty()).then(Instant::now);
        self.release();
    }

    /// Lets go of the pages that were sent.
    fn release(&mut self) {
        let waiting = u64::try_from(self.bytes.own()).unwrap_or(u64::MAX);
        let sent = self.pushed.saturating_sub(waiting);
        while self.pages.front().is_some_and(|(end, _)| *end <= sent) {
            self.pages.pop_front();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(mem::take(&mut self.tail).freeze());
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::room::Room;
    use super::*;
    use crate::base::limits::CONNECTION_OUTBOX_BYTES;
    use crate::net::room::PageSize;
    use futures_util::FutureExt;

    fn outbox() -> Outbox {
        Outbox::new(&Room::for_tests().for_stream())
    }

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
            let mut outbox = outbox();
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
        let mut outbox = outbox();
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
        let mut outbox = outbox();
        while outbox.has_room() {
            outbox.push(Bytes::from(vec![0; 600]));
        }
        drain(&mut outbox, usize::MAX);
        assert!(outbox.has_room());
    }

    #[tokio::test]
    async fn a_page_is_on_its_way_until_its_last_byte_is_sent() {
        let room = Room::for_tests().for_stream();
        let mut outbox = Outbox::new(&room);
        let page = || room.page(PageSize::Any).now_or_never().flatten();
        while let Some(page) = page() {
            outbox.push(Bytes::from(vec![0; 5_000]));
            outbox.keep(page);
        }
        let is_full = || page().is_none();
        assert!(is_full());
        outbox.front()[0].truncate(1);
        outbox.written();
        assert!(is_full());
        outbox.front()[0].clear();
        outbox.written();
        assert!(!is_full());
    }

    #[tokio::test]
    async fn a_page_of_which_nothing_is_sent_is_not_on_its_way() {
        let room = Room::for_tests().for_stream();
        let mut outbox = Outbox::new(&room);
        for _ in 0..100 {
            outbox.keep(room.page(PageSize::Large).await.unwrap());
        }
    }

    #[test]
    fn where_much_waits_on_other_streams_there_is_less_room() {
        let room = Room::for_tests();
        let [mut one, mut other] = [(); 2].map(|()| Outbox::new(&room.for_stream()));
        other.push(Bytes::from(vec![0; STREAM_OUTBOX_MIN_BYTES]));
        assert!(other.has_room());
        one.push(Bytes::from(vec![0; CONNECTION_OUTBOX_BYTES]));
        assert!(!other.has_room());
        drain(&mut other, usize::MAX);
        assert!(other.has_room());
        other.push(Bytes::from(vec![0; STREAM_OUTBOX_MIN_BYTES]));
        drain(&mut one, usize::MAX);
        assert!(other.has_room());
    }

    #[test]
    fn a_peer_stalls_while_it_takes_nothing_of_what_waits() {
        let moved_on = || {
            let now = Instant::now();
            while Instant::now() == now {}
        };
        let mut outbox = outbox();
        assert_eq!(outbox.stalls_at(), None);
        outbox.push(Bytes::from(vec![0; 20_000]));
        let first = outbox.stalls_at().unwrap();
        moved_on();
        outbox.push(Bytes::from(vec![0; 20_000]));
        assert_eq!(outbox.stalls_at(), Some(first));
        outbox.front()[0].truncate(19_999);
        outbox.written();
        assert!(outbox.stalls_at() > Some(first));
        drain(&mut outbox, usize::MAX);
        assert_eq!(outbox.stalls_at(), None);
    }
}
