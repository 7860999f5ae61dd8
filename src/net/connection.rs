//! One connection: it accepts streams, owns their tasks, and ends with them.

use std::sync::Arc;

use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::ingest::Budget;
use super::link::Broken;
use super::quic::error_code;
use super::readers::Readers;
use super::requester::Requester;
use super::requests::{Requests, Source};
use super::services::Services;
use super::signals::Watch;
use super::stream::{Context, Stream, StreamEnd};
use super::submissions::Submissions;
use crate::base::limits::{HELLO_TIMEOUT, KNOWN_STREAMS_MAX, STREAMS_SHUTDOWN_TIMEOUT};
use crate::identity::{Peer, peer_of};
use crate::session;
use crate::wire::ResultCode;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    services: Services,
    source: Arc<Source>,
    readers: Readers,
    budget: Budget,
}

impl Shared {
    pub(super) fn new(services: Services) -> Self {
        let source = Source {
            store: services.store.clone(),
            fanout: services.fanout.clone(),
            results_max: services.query_results_max,
        };
        Self {
            services,
            source: Arc::new(source),
            readers: Readers::new(),
            budget: Budget::new(),
        }
    }
}

/// One connection after its handshake.
struct Connection {
    quic: quinn::Connection,
    shared: Arc<Shared>,
    session: Arc<session::Connection>,
    requester: Arc<Requester>,
    /// Number of the connection, never used twice.
    number: u64,
    signals: Watch,
    streams: JoinSet<StreamEnd>,
}

/// Serves a connection whose handshake is over until it ends, and joins all its tasks. `permit` is
/// its share of the connections that may be open.
pub(super) async fn serve(
    quic: quinn::Connection,
    number: u64,
    shared: Arc<Shared>,
    signals: Watch,
    permit: OwnedSemaphorePermit,
) {
    let peer = match peer_of(&quic) {
        Ok(peer) => peer,
        Err(error) => {
            debug!(number, %error, "a peer without a valid identity");
            close(&quic, ResultCode::Invalid);
            return;
        }
    };
    debug!(number, ?peer, "connected");
    if let Peer::Known(key) = peer {
        quic.set_max_concurrent_bi_streams(KNOWN_STREAMS_MAX.into());
        shared.services.ingest.arrived(key);
    }
    let settings = Arc::clone(&shared.services.session);
    let directory = Arc::clone(&shared.services.directory);
    let mut connection = Connection {
        quic,
        session: Arc::new(session::Connection::new(peer, settings)),
        requester: Arc::new(Requester::new(
            peer,
            directory,
            shared.readers.for_connection(),
        )),
        shared,
        number,
        signals,
        streams: JoinSet::new(),
    };
    connection.run().await;
    debug!(number, "disconnected");
    drop(permit);
}

impl Connection {
    async fn run(&mut self) {
        let result = self.accept().await;
        if let Some(result) = result {
            close(&self.quic, result);
        }
        // Every stream notices that its connection is gone, so all of them end now.
        while let Some(joined) = self.streams.join_next().await {
            self.ended(joined);
        }
    }

    /// Accepts streams until the connection is to be closed, and returns why; `None` where it is
    /// gone already.
    async fn accept(&mut self) -> Option<ResultCode> {
        let hello_by = Instant::now() + HELLO_TIMEOUT;
        let mut awaits_hello = true;
        loop {
            tokio::select! {
                // Cancel safe: a stream that was not taken stays with the connection.
                accepted = self.quic.accept_bi() => match accepted {
                    Ok((writer, reader)) => self.open(writer, reader),
                    Err(error) => {
                        debug!(number = self.number, %error, "the connection ended");
                        return None;
                    }
                },
                Some(joined) = self.streams.join_next() => {
                    if let Some(result) = self.ended(joined) {
                        return Some(result);
                    }
                }
                () = self.signals.stopping() => {
                    self.finish_streams().await;
                    return Some(ResultCode::ShuttingDown);
                }
                // A peer that opens no stream meets no stream's deadline.
                () = sleep_until(hello_by), if awaits_hello => {
                    awaits_hello = false;
                    if !self.session.is_greeted() {
                        return Some(ResultCode::Invalid);
                    }
                }
            }
        }
    }

    /// Gives every stream, which is told by itself that the server is going down, time to finish.
    async fn finish_streams(&mut self) {
        let finished = async {
            while let Some(joined) = self.streams.join_next().await {
                ended(self.number, joined);
            }
        };
        if timeout(STREAMS_SHUTDOWN_TIMEOUT, finished).await.is_err() {
            debug!(number = self.number, "streams did not finish in time");
        }
    }

    fn open(&mut self, writer: SendStream, reader: RecvStream) {
        let shared = &self.shared;
        let services = &shared.services;
        let opened = Instant::now().into_std();
        let stream = Stream {
            reader,
            writer,
            session: session::Stream::new(Arc::clone(&self.session), opened),
            requests: Requests::new(Arc::clone(&shared.source)),
            submissions: Submissions::new(
                self.number,
                Arc::clone(&services.ingest),
                shared.budget.clone(),
                Arc::clone(&self.requester),
            ),
            signals: self.signals.fresh(),
            context: Context {
                settings: Arc::clone(&services.session),
                requester: Arc::clone(&self.requester),
                info: Arc::clone(&services.info),
            },
        };
        self.streams.spawn(stream.drive());
    }

    fn ended(&self, joined: Result<StreamEnd, JoinError>) -> Option<ResultCode> {
        ended(self.number, joined)
    }
}

/// Traces how a stream ended. Returns the reason for which the connection has to be closed, if any.
fn ended(number: u64, joined: Result<StreamEnd, JoinError>) -> Option<ResultCode> {
    match joined {
        Ok(StreamEnd::Finished) => None,
        Ok(StreamEnd::Broken(Broken::Gone)) => None,
        Ok(StreamEnd::Broken(broken)) => {
            debug!(number, %broken, "a stream ended early");
            None
        }
        Ok(StreamEnd::CloseConnection(result)) => Some(result),
        Err(error) => {
            // What the streams of the connection share may be half changed.
            tracing::error!(number, %error, "a stream panicked");
            Some(ResultCode::GeneralError)
        }
    }
}

/// Closes a connection; the code is the result code, for people who look at packets.
pub(super) fn close(quic: &quinn::Connection, result: ResultCode) {
    quic.close(error_code(result), &[]);
}

const _: () = assert!((KNOWN_STREAMS_MAX as u64) < VarInt::MAX.into_inner());
