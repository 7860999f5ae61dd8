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
/// none gets through, and fewer at a time until more do. Where none did for [`PUBLISH_BACKOFFS_MAX`] waits, that is the result.
#[derive(Debug)]
pub(super) struct Steady {
    submissions: Submissions,
    /// In the order in which they were handed in; each result is that of the first.
    on_the_way: VecDeque<Sent>,
    /// To be handed in again.
    again: VecDeque<Record>,
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
    resumes: Instant,
    /// Most that are on their way.
    window: usize,
}

impl Steady {
    pub(super) fn new(stream: &Stream) -> Self {
        Self {
            submissions: stream.submit_many(STREAM_SUBMISSIONS_MAX),
            on_the_way: VecDeque::new(),
            again: VecDeque::new(),
            pace: Pace {
                waits: 0,
                in_vain: 0,
                resumes: Instant::now(),
                window: STREAM_SUBMISSIONS_MAX,
            },
        }
    }

    /// Hands in `record`. Where too many are on their way, first waits for a result, and returns it.
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
        self.send(record).await?;
        Ok(settled)
    }

    /// The next result that is not to be tried again, or `None` where no record is on its way.
    ///
    /// # Errors
    /// As [`Submissions::next`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Submitted>, RequestError> {
        loop {
            while self.on_the_way.len() < self.pace.window
                && let Some(record) = self.again.front().cloned()
            {
                sleep_until(self.pace.resumes).await;
                self.send(&record).await?;
                self.again.pop_front();
            }
            let Some(submitted) = self.submissions.next().await? else {
                return Ok(None);
            };
            let sent = self.on_the_way.pop_front();
            match sent {
                Some(sent) if self.pace.tries_again(&sent, submitted.result) => {
                    self.again.push_back(sent.record);
                }
                Some(_) | None => return Ok(Some(submitted)),
            }
        }
    }

    /// Whether no record is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.on_the_way.is_empty() && self.again.is_empty()
    }

    /// Whether the next [`push`](Self::push) waits for a result first.
    pub(super) fn is_full(&self) -> bool {
        self.on_the_way.len() + self.again.len() >= self.pace.window
    }

    /// Cancel safe: fewer are on their way than may be, so nothing is taken out first.
    async fn send(&mut self, record: &Record) -> Result<(), RequestError> {
        self.submissions.push(record).await?;
        self.on_the_way.push_back(Sent {
            record: record.clone(),
            waits: self.pace.waits,
        });
        Ok(())
    }
}

impl Pace {
    /// Whether a record with that result is to be handed in again, when [`resumes`](Self::resumes)
    /// has come.
    fn tries_again(&mut self, sent: &Sent, result: ResultCode) -> bool {
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
            self.resumes = Instant::now() + backoff(self.in_vain);
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

    fn sent(waits: u32) -> Sent {
        let author = SecretKey::from_seed([1; 32]);
        let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
            .sign(&author)
            .unwrap();
        Sent { record, waits }
    }

    fn pace() -> Pace {
        Pace {
            waits: 0,
            in_vain: 0,
            resumes: Instant::now(),
            window: STREAM_SUBMISSIONS_MAX,
        }
    }

    #[test]
    fn those_on_their_way_together_wait_once_and_the_next_ones_longer() {
        let mut pace = pace();
        for _ in 0..10 {
            assert!(pace.tries_again(&sent(0), ResultCode::TooFast));
        }
        assert_eq!((pace.waits, pace.in_vain), (1, 1));
        assert!(pace.tries_again(&sent(1), ResultCode::TooFast));
        assert_eq!((pace.waits, pace.in_vain), (2, 2));
        assert!(!pace.tries_again(&sent(2), ResultCode::Accepted));
        assert_eq!((pace.waits, pace.in_vain), (2, 0), "one got through");
        assert_eq!(pace.window, STREAM_SUBMISSIONS_MAX / 4 + 1);
        assert!(backoff(0) < backoff(1));
        assert_eq!(backoff(1_000), PUBLISH_BACKOFF_MAX);
    }

    #[test]
    fn a_server_that_lets_nothing_through_is_given_up_and_other_results_are_final() {
        let mut pace = pace();
        for wait in 0..PUBLISH_BACKOFFS_MAX {
            assert!(pace.tries_again(&sent(wait), ResultCode::TooFast));
        }
        assert!(!pace.tries_again(&sent(PUBLISH_BACKOFFS_MAX), ResultCode::TooFast));
        assert!(!pace.tries_again(&sent(0), ResultCode::Unauthorized));
    }
}
