//! The reads of one stream: a task for each, and the narrow channel on which their pages come.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::effort::{Effort, Spent};
use super::gets::Gets;
use super::live;
use super::readers::ReaderPanicked;
use super::room::{PageSize, StreamRoom, Underway};
use super::sight::Sight;
use super::stored::Stored;
use crate::base::Seq;
use crate::base::limits::{STREAM_PAGES_MAX, STREAM_QUERIES_MAX};
use crate::fanout::Fanout;
use crate::session::{Event, Excess, ReadRequest, Ticket};
use crate::store::{Entry, PageBudget, Store, StoreError};
use crate::wire::{Filter, Record, ResultCode};

/// The reads of one stream. Dropping it ends them all.
///
/// A read takes a place in the channel, and room for a page on its connection, before it takes a
/// page from the store. So all reads of a stream together hold [`STREAM_PAGES_MAX`] pages, those of
/// a connection have a bound too, and a client that stops reading stops them.
#[derive(Debug)]
pub(super) struct Requests {
    /// `None` where there is no store.
    source: Option<Arc<Source>>,
    tasks: JoinSet<()>,
    running: HashMap<Ticket, AbortHandle>,
    tickets: HashMap<Id, Ticket>,
    sender: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    room: StreamRoom,
}

/// Where the reads of all streams read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) store: Store,
    pub(super) fanout: Fanout,
    /// Records a request without a limit delivers.
    pub(super) results_max: u32,
    /// Records a request may look at without delivering them.
    pub(super) scan_max: u32,
}

/// What a read has to tell its stream.
#[derive(Debug)]
pub(super) struct Told {
    ticket: Ticket,
    news: News,
}

#[derive(Debug)]
enum News {
    Records(Vec<Record>, Underway),
    LocallyComplete,
    Ended(ResultCode),
    Exceeded(Excess),
}

/// One read, as its task sees it.
pub(super) struct Request {
    pub(super) source: Arc<Source>,
    pub(super) sight: Arc<Sight>,
    ticket: Ticket,
    sender: mpsc::Sender<Told>,
    room: StreamRoom,
}

/// A place for one page on its way to the stream.
pub(super) struct Place<'a> {
    word: Word<'a>,
    page: Underway,
}

/// A place for a word to the stream.
struct Word<'a> {
    ticket: Ticket,
    permit: mpsc::Permit<'a, Told>,
}

/// Why a read ends early.
#[derive(Debug, Error)]
pub(super) enum Stop {
    /// The stream is gone.
    #[error("the stream is gone")]
    Gone,
    /// More would be delivered than is allowed.
    #[error("the request matches more than is delivered")]
    TooMany,
    /// More would be looked at than is allowed.
    #[error("the request looks at more than is allowed: {0}")]
    TooWide(Spent),
    /// The store could not be read.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    /// A reader panicked, which was traced.
    #[error(transparent)]
    Panicked(#[from] ReaderPanicked),
    /// The log has no more to read, and yet the subscription is behind.
    #[error("the log ends before what was published")]
    Stalled,
}

impl Requests {
    pub(super) fn new(source: Option<Arc<Source>>, room: StreamRoom) -> Self {
        let (sender, told) = mpsc::channel(STREAM_PAGES_MAX);
        Self {
            source,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            tickets: HashMap::new(),
            sender,
            told,
            room,
        }
    }

    /// Begins to carry out a read. The session bounds how many there are at a time.
    pub(super) fn start(&mut self, ticket: Ticket, request: ReadRequest, sight: Sight) {
        let sender = self.sender.clone();
        let handle = match &self.source {
            Some(source) => {
                let task = Request {
                    source: Arc::clone(source),
                    sight: Arc::new(sight),
                    ticket,
                    sender,
                    room: self.room.clone(),
                };
                self.tasks.spawn(task.run(request))
            }
            None => self.tasks.spawn(refuse(ticket, sender)),
        };
        self.tickets.insert(handle.id(), ticket);
        self.running.insert(ticket, handle);
    }

    /// Ends a read at once: nothing more is told of it.
    pub(super) fn cancel(&mut self, ticket: Ticket) {
        if let Some(handle) = self.running.remove(&ticket) {
            handle.abort();
        }
    }

    /// Whether so many cancelled reads have not come to their end yet that no more should begin:
    /// a few bytes of a peer begin a read and replace it by the next one.
    pub(super) fn is_crowded(&self) -> bool {
        self.tasks.len() >= 2 * STREAM_QUERIES_MAX
    }

    /// Waits for what a read has to tell; `None` where one has only come to its end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Told> {
        tokio::select! {
            // We hold a sender ourselves, so the channel never closes.
            Some(told) = self.told.recv() => self.still_wanted(told),
            Some(joined) = self.tasks.join_next_with_id() => {
                self.joined(joined.map(|(id, ())| id))
            }
        }
    }

    /// Ends every read, and returns when none is left.
    pub(super) async fn shutdown(&mut self) {
        self.running.clear();
        self.tasks.abort_all();
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.joined(joined.map(|(id, ())| id));
        }
    }

    /// What was told, unless its read was cancelled meanwhile.
    fn still_wanted(&mut self, told: Told) -> Option<Told> {
        let is_running = match told.news {
            News::Ended(_) | News::Exceeded(_) => self.running.remove(&told.ticket).is_some(),
            News::Records(..) | News::LocallyComplete => self.running.contains_key(&told.ticket),
        };
        is_running.then_some(told)
    }

    /// A task is over. One that panicked cannot say so itself.
    fn joined(&mut self, joined: Result<Id, JoinError>) -> Option<Told> {
        let id = joined.as_ref().map_or_else(JoinError::id, |id| *id);
        let ticket = self.tickets.remove(&id)?;
        let error = joined.err().filter(JoinError::is_panic)?;
        tracing::error!(%error, "a read panicked");
        self.still_wanted(Told {
            ticket,
            news: News::Ended(ResultCode::GeneralError),
        })
    }
}

impl Told {
    /// What the session is told, and the page it is, if it is one.
    pub(super) fn into_event(self) -> (Event, Option<Underway>) {
        let ticket = self.ticket;
        match self.news {
            News::Records(records, page) => (Event::Records { ticket, records }, Some(page)),
            News::LocallyComplete => (Event::LocallyComplete { ticket }, None),
            News::Ended(result) => (Event::Ended { ticket, result }, None),
            News::Exceeded(excess) => (Event::Exceeded { ticket, excess }, None),
        }
    }
}

impl Request {
    async fn run(self, request: ReadRequest) {
        let outcome = match request {
            ReadRequest::Get(references) => Gets::new(references).run(&self, self.effort()).await,
            ReadRequest::Query { filter, limit } => self.query(filter, limit).await,
            ReadRequest::Subscribe { filter, limit } => self.subscribe(filter, limit).await,
        };
        let news = match outcome {
            Ok(()) => Some(News::Ended(ResultCode::Success)),
            Err(stop) => stop.news(),
        };
        if let Some(news) = news
            && let Ok(word) = self.word().await
        {
            word.send(news);
        }
    }

    async fn query(&self, filter: Filter, limit: u16) -> Result<(), Stop> {
        // No end: with one, a record that is replaced while the query waits its turn would be
        // missed, as what replaced it lies behind that end.
        Stored::new(filter, limit, Seq::MAX).run(self).await
    }

    /// Registers first and reads the store second: what is published from the registration on
    /// waits in the mailbox, so between stored and live there is no gap.
    async fn subscribe(&self, filter: Filter, limit: u16) -> Result<(), Stop> {
        let sight = Arc::clone(&self.sight);
        let sees = Arc::new(move |entry: &Entry| sight.might_see(entry));
        let mut subscription = self.source.fanout.subscribe(filter.clone(), sees);
        let until = subscription.start();
        Stored::new(filter, limit, until).run(self).await?;
        self.word().await?.send(News::LocallyComplete);
        live::follow(self, &mut subscription).await
    }

    /// Nothing done yet, and what a read may do.
    pub(super) fn effort(&self) -> Effort {
        Effort::new(self.source.scan_max)
    }

    /// Waits until the peer may read on, and then for a place for a page of that size.
    ///
    /// # Cancel safety
    /// Dropping the future loses its turn, and nothing else.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub(super) async fn turn(&self, size: PageSize) -> Result<Place<'_>, Stop> {
        self.sight.toll.rest().await;
        self.place(size).await
    }

    /// Waits for a place for one page of that size. Whoever holds it may read the page it is for.
    ///
    /// # Cancel safety
    /// Dropping the future loses its turn, and nothing else.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub(super) async fn place(&self, size: PageSize) -> Result<Place<'_>, Stop> {
        // In this order: what waits here for its turn must not hold the connection's room, and what
        // waits for much of that not all places of the stream.
        let _turn = self.room.turn(size).await;
        let word = self.word().await?;
        let page = self.room.page(size).await.ok_or(Stop::Gone)?;
        Ok(Place { word, page })
    }

    async fn word(&self) -> Result<Word<'_>, Stop> {
        let permit = self.sender.reserve().await.map_err(|_closed| Stop::Gone)?;
        Ok(Word {
            ticket: self.ticket,
            permit,
        })
    }
}

/// Ends a read that there is no store for. A session asks for none where no role is configured,
/// which is so wherever there is no store.
async fn refuse(ticket: Ticket, sender: mpsc::Sender<Told>) {
    let news = News::Ended(ResultCode::TemporaryError);
    // The stream is gone where this fails.
    sender.send(Told { ticket, news }).await.ok();
}

impl Place<'_> {
    /// What there is room for.
    pub(super) const fn max_bytes(&self) -> usize {
        self.page.max_bytes()
    }

    /// What is left of `budget` here.
    pub(super) fn budget(&self, budget: PageBudget) -> PageBudget {
        PageBudget {
            bytes: budget.bytes.min(self.max_bytes()),
            bytes_max: budget.bytes_max.min(self.max_bytes()),
            ..budget
        }
    }

    /// What the next page needs, where `too_small` says that this one had no room for its first record.
    pub(super) const fn next_size(&self, too_small: bool) -> PageSize {
        if too_small {
            self.page.larger()
        } else {
            PageSize::Any
        }
    }

    /// Sends a page. One without records is not sent, and the place is given back.
    pub(super) fn records(mut self, records: Vec<Record>) {
        let bytes = records.iter().map(|record| record.bytes().len());
        self.page.cut_to(bytes.sum());
        if !records.is_empty() {
            self.word.send(News::Records(records, self.page));
        }
    }
}

impl Word<'_> {
    fn send(self, news: News) {
        let ticket = self.ticket;
        self.permit.send(Told { ticket, news });
    }
}

impl Stop {
    /// What the session is told; nothing where nobody is left to tell.
    fn news(&self) -> Option<News> {
        match self {
            Self::Gone => None,
            Self::TooMany => Some(News::Exceeded(Excess::Matches)),
            Self::TooWide(spent) => {
                tracing::debug!(%spent, "a read looks at too much");
                Some(News::Exceeded(Excess::Search))
            }
            Self::Store(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "a read failed");
                Some(News::Ended(ResultCode::TemporaryError))
            }
            Self::Panicked(_) => Some(News::Ended(ResultCode::GeneralError)),
            Self::Stalled => {
                tracing::error!(error = %self, "a subscription was ended");
                Some(News::Ended(ResultCode::GeneralError))
            }
        }
    }
}

#[cfg(test)]
mod tests;
