//! Many records on their way at a time, at the pace that the server bears.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::base::limits::{
    PUBLISH_BACKOFF_MAX, PUBLISH_BACKOFF_MIN, PUBLISH_BACKOFFS_MAX, STREAM_SUBMISSIONS_MAX,
};
use crate::client::{RequestError, Stream, Submissions, Submitted};
use crate::wire::{Record, ResultCode};

/// Hands records in, and those again that the server found too fast, after a wait that grows while
/// none gets through, and fewer at a time until more do. Where none did for
/// [`PUBLISH_BACKOFFS_MAX`] waits, that is the result.
#[derive(Debug)]
pub(super) struct Steady {
    submissions: Submissions,
    queue: Queue,
}

/// Which records are where.
#[derive(Debug)]
struct Queue {
    /// To be handed in, for the first time or again.
    waiting: VecDeque<Record>,
    /// In the order in which they were handed in; each result is that of the first.
    on_the_way: VecDeque<Sent>,
    pace: Pace,
}

#[derive(Debug)]
struct Sent {
    record: Record,
    /// After how many waits it was sent.
    waits: u32,
}

/// When to go on, and with how many.
#[derive(Debug)]
struct Pace {
    /// Waits so far.
    waits: u32,
    /// Of them, those since a record got through.
    in_vain: u32,
    /// Nothing is sent before.
    resumes: Instant,
    /// Most that are on their way.
    window: usize,
}

impl Steady {
    pub(super) fn new(stream: &Stream) -> Self {
        Self {
            submissions: stream.submit_many(STREAM_SUBMISSIONS_MAX),
            queue: Queue::new(Instant::now()),
        }
    }

    /// Hands in `record`, now or, where the server is to be given time, with a later call of
    /// [`next`](Self::next). Where too many are on their way, first waits for a result, and returns it.
    ///
    /// # Errors
    /// As [`Submissions::push`].
    pub(super) async fn push(
        &mut self,
        record: &Record,
    ) -> Result<Option<Submitted>, RequestError> {
        let settled = if self.is_full() {
            self.next().await?
        } else {
            None
        };
        self.queue.waiting.push_back(record.clone());
        while let Some((record, from)) = self.queue.first()
            && from <= Instant::now()
        {
            self.submissions.push(record).await?;
            self.queue.sent();
        }
        Ok(settled)
    }

    /// The next result that is not to be tried again, or `None` where no record is left.
    ///
    /// # Errors
    /// As [`Submissions::next`].
    ///
    /// # Cancel safety
    /// Cancel safe: fewer are on their way than `submissions` takes, so handing one in takes out no
    /// result.
    pub(super) async fn next(&mut self) -> Result<Option<Submitted>, RequestError> {
        loop {
            while let Some((record, from)) = self.queue.first() {
                sleep_until(from).await;
                self.submissions.push(record).await?;
                self.queue.sent();
            }
            let Some(submitted) = self.submissions.next().await? else {
                return Ok(None);
            };
            if self.queue.is_settled(submitted.result, Instant::now()) {
                return Ok(Some(submitted));
            }
        }
    }

    /// Whether no record is left.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.len() == 0
    }

    /// Whether the next [`push`](Self::push) waits for a result first.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.queue.pace.window
    }
}

impl Queue {
    fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            on_the_way: VecDeque::new(),
            pace: Pace {
                waits: 0,
                in_vain: 0,
                resumes: now,
                window: STREAM_SUBMISSIONS_MAX,
            },
        }
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.on_the_way.len()
    }

    /// The record to hand in next, where one waits and may be on its way beside the others, and from
    /// when on.
    fn first(&self) -> Option<(&Record, Instant)> {
        let has_room = self.on_the_way.len() < self.pace.window;
        let first = self.waiting.front().filter(|_| has_room);
        first.map(|record| (record, self.pace.resumes))
    }

    /// The [first](Self::first) one was handed in.
    fn sent(&mut self) {
        let waits = self.pace.waits;
        let sent = self.waiting.pop_front();
        self.on_the_way
            .extend(sent.map(|record| Sent { record, waits }));
    }

    /// Takes note of the result of the one that is on its way for longest. Whether that is its last.
    fn is_settled(&mut self, result: ResultCode, now: Instant) -> bool {
        match self.on_the_way.pop_front() {
            Some(sent) if self.pace.tries_again(&sent, result, now) => {
                self.waiting.push_back(sent.record);
                false
            }
            Some(_) | None => true,
        }
    }
}

impl Pace {
    /// Whether a record with that result is to be handed in again, when [`resumes`](Self::resumes)
    /// has come.
    fn tries_again(&mut self, sent: &Sent, result: ResultCode, now: Instant) -> bool {
        if result != ResultCode::TooFast {
            self.in_vain = 0;
            self.window = (self.window + 1).min(STREAM_SUBMISSIONS_MAX);
            return false;
        }
        // Of those that were on their way together, the first one decides about the wait.
        if sent.waits == self.waits {
            if self.in_vain >= PUBLISH_BACKOFFS_MAX {
                return false;
            }
            self.resumes = now + backoff(self.in_vain);
            self.waits = self.waits.saturating_add(1);
            self.window = (self.window / 2).max(1);
            self.in_vain = self.in_vain.saturating_add(1);
        }
        true
    }
}

/// The wait after so many others in vain.
fn backoff(in_vain: u32) -> Duration {
    let factor = 2_u32.saturating_pow(in_vain);
    PUBLISH_BACKOFF_MIN
        .saturating_mul(factor)
        .min(PUBLISH_BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Kind, RecordBuilder, SecretKey};

    fn record() -> Record {
        let author = SecretKey::from_seed([1; 32]);
        RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
            .sign(&author)
            .unwrap()
    }

    /// Hands in what may be handed in at `now`; how many that is.
    fn send(queue: &mut Queue, now: Instant) -> usize {
        let mut count = 0;
        while queue.first().is_some_and(|(_, from)| from <= now) {
            queue.sent();
            count += 1;
        }
        count
    }

    #[test]
    fn those_on_their_way_together_wait_once_and_the_next_ones_longer() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        queue.waiting.extend((0..10).map(|_| record()));
        assert_eq!(send(&mut queue, now), 10);
        for _ in 0..10 {
            assert!(!queue.is_settled(ResultCode::TooFast, now));
        }
        assert_eq!((queue.pace.waits, queue.pace.in_vain), (1, 1));
        let later = now + backoff(0);
        assert_eq!(send(&mut queue, later), 10);
        assert!(!queue.is_settled(ResultCode::TooFast, later));
        assert_eq!((queue.pace.waits, queue.pace.in_vain), (2, 2));
        assert!(queue.is_settled(ResultCode::Accepted, later));
        let pace = &queue.pace;
        assert_eq!((pace.waits, pace.in_vain), (2, 0), "one got through");
        assert_eq!(pace.window, STREAM_SUBMISSIONS_MAX / 4 + 1);
        assert!(backoff(0) < backoff(1));
        assert_eq!(backoff(1_000), PUBLISH_BACKOFF_MAX);
    }

    #[test]
    fn a_record_that_comes_during_a_wait_is_held_back_with_the_others_and_makes_no_wait_of_its_own()
    {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        queue.waiting.push_back(record());
        assert_eq!(send(&mut queue, now), 1);
        assert!(!queue.is_settled(ResultCode::TooFast, now));
        for _ in 0..5 {
            queue.waiting.push_back(record());
            assert_eq!(send(&mut queue, now), 0);
        }
        let end = now + backoff(0);
        let just_before = end.checked_sub(Duration::from_nanos(1)).unwrap();
        assert_eq!(send(&mut queue, just_before), 0);
        assert_eq!(send(&mut queue, end), 6);
        assert_eq!(queue.pace.waits, 1);
    }

    #[test]
    fn no_more_are_on_their_way_than_the_window_takes() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        let all = STREAM_SUBMISSIONS_MAX;
        queue.waiting.extend((0..all).map(|_| record()));
        assert_eq!(send(&mut queue, now), all);
        for _ in 0..all {
            assert!(!queue.is_settled(ResultCode::TooFast, now));
        }
        assert_eq!(send(&mut queue, now + backoff(0)), all / 2);
    }

    #[test]
    fn a_server_that_lets_nothing_through_is_given_up_and_other_results_are_final() {
        let mut now = Instant::now();
        let mut queue = Queue::new(now);
        queue.waiting.push_back(record());
        for wait in 0..PUBLISH_BACKOFFS_MAX {
            assert_eq!(send(&mut queue, now), 1);
            assert!(!queue.is_settled(ResultCode::TooFast, now));
            now += backoff(wait);
        }
        assert_eq!(send(&mut queue, now), 1);
        assert!(queue.is_settled(ResultCode::TooFast, now));
        queue.waiting.push_back(record());
        assert_eq!(send(&mut queue, now), 1);
        assert!(queue.is_settled(ResultCode::Unauthorized, now));
        assert_eq!(queue.len(), 0);
    }
}
