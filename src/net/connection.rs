//! One connection: it accepts streams, owns their tasks, and ends with them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::blobs::{Blobs, Depot};
use super::door::{Entry, Place};
use super::ingest::{Budget, Ingest, Nowhere};
use super::link::{Broken, Carrier};
use super::probing::{Arrival, Asks, Probing};
use super::readers::Readers;
use super::requester::{NoSchedules, Requester};
use super::requests::{Requests, Source};
use super::services::{Records, Services};
use super::signals::Watch;
use super::stream::{Context, Stream, StreamEnd};
use super::submissions::Submissions;
use crate::base::limits::{HELLO_TIMEOUT, STREAMS_SHUTDOWN_TIMEOUT};
use crate::identity::{Directory, Peer};
use crate::session;
use crate::wire::ResultCode;

/// What all connections of a listener share.
pub(super) struct Shared {
    services: Services,
    /// Where records are read; `None` without a store.
    source: Option<Arc<Source>>,
    /// Where BLOBs are kept; `None` without a store.
    depot: Option<Arc<Depot>>,
    directory: Arc<Directory>,
    ingest: Arc<dyn Ingest>,
    readers: Readers,
    budget: Budget,
}

impl Shared {
    pub(super) fn new(services: Services) -> Self {
        let (directory, ingest) = match &services.records {
            Some(records) => (Arc::clone(&records.directory), Arc::clone(&records.ingest)),
            None => (
                Arc::new(Directory::new(Arc::new(NoSchedules))),
                Arc::new(Nowhere) as Arc<dyn Ingest>,
            ),
        };
        let source = services.records.as_ref().map(source);
        let depot = services.records.as_ref().map(|records| {
            let (store, blobs) = (records.store.clone(), records.blobs.clone());
            Arc::new(Depot::new(store, blobs, Arc::clone(&records.ingest)))
        });
        Self {
            services,
            source,
            depot,
            directory,
            ingest,
            readers: Readers::new(),
            budget: Budget::new(),
        }
    }

    fn probing(&self) -> &dyn Probing {
        &*self.services.probing
    }
}

fn source(records: &Records) -> Arc<Source> {
    Arc::new(Source {
        store: records.store.clone(),
        fanout: records.fanout.clone(),
        results_max: records.query_results_max,
    })
}

/// One connection after its handshake.
struct Connection<C: Carrier> {
    carrier: C,
    shared: Arc<Shared>,
    arrival: Arc<Arrival>,
    session: Arc<session::Connection>,
    requester: Arc<Requester>,
    /// Number of the connection, never used twice.
    number: u64,
    signals: Watch,
    streams: JoinSet<StreamEnd>,
    #[expect(dead_code, reason = "held for its drop, which gives the place back")]
    permit: OwnedSemaphorePermit,
}

/// Serves a connection whose handshake is over until it ends, and joins all its tasks.
pub(super) async fn serve<C: Carrier>(carrier: C, entry: Entry) {
    let number = entry.number;
    let peer = match carrier.peer() {
        Ok(peer) => peer,
        Err(error) => {
            debug!(number, %error, "a peer without a valid identity");
            carrier.close(ResultCode::Invalid);
            return;
        }
    };
    let mut connection = Connection::new(carrier, peer, entry);
    debug!(number, arrival = ?connection.arrival, "connected");
    if let Peer::Known(key) = peer {
        connection.carrier.raise_bounds();
        connection.shared.ingest.arrived(key);
    }
    connection.run().await;
    debug!(number, "disconnected");
}

impl<C: Carrier> Connection<C> {
    /// The connection is known to the tests of reachability from here until it is dropped.
    fn new(carrier: C, peer: Peer, entry: Entry) -> Self {
        let Entry {
            shared,
            place,
            number,
            signals,
            permit,
        } = entry;
        let arrival = Arc::new(arrival(&carrier, peer, &place, &shared));
        let requester = Requester::new(
            peer,
            Arc::clone(&shared.directory),
            shared.readers.for_connection(),
        );
        Self {
            session: Arc::new(session::Connection::new(
                peer,
                Arc::clone(&arrival.settings),
            )),
            carrier,
            shared,
            arrival,
            requester: Arc::new(requester),
            number,
            signals,
            streams: JoinSet::new(),
            permit,
        }
    }

    async fn run(&mut self) {
        let result = self.accept().await;
        if let Some(result) = result {
            self.carrier.close(result);
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
                accepted = self.carrier.accept() => match accepted {
                    Ok((reader, writer)) => self.open(reader, writer),
                    Err(over) => {
                        debug!(number = self.number, %over, "the connection ended");
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

    fn open(&mut self, reader: C::Reader, writer: C::Writer) {
        let shared = &self.shared;
        let opened = Instant::now().into_std();
        let stream = Stream {
            reader,
            writer,
            session: session::Stream::new(Arc::clone(&self.session), opened),
            requests: Requests::new(shared.source.clone()),
            submissions: Submissions::new(
                self.number,
                Arc::clone(&shared.ingest),
                shared.budget.clone(),
                Arc::clone(&self.requester),
                Arc::clone(&self.arrival.settings),
            ),
            asks: Asks::new(),
            blobs: Blobs::new(
                shared.depot.clone(),
                Arc::clone(&self.requester),
                Arc::clone(&self.arrival.settings),
            ),
            signals: self.signals.fresh(),
            context: Context {
                arrival: Arc::clone(&self.arrival),
                requester: Arc::clone(&self.requester),
                info: Arc::clone(&shared.services.info),
                probing: Arc::clone(&shared.services.probing),
            },
        };
        self.streams.spawn(stream.drive());
    }

    fn ended(&self, joined: Result<StreamEnd, JoinError>) -> Option<ResultCode> {
        ended(self.number, joined)
    }
}

/// However the connection ends, by a panic or by being dropped in the middle, it is reported gone.
impl<C: Carrier> Drop for Connection<C> {
    fn drop(&mut self) {
        let from = self.arrival.remote.ip();
        let probing = self.shared.probing();
        // A panic may have happened inside of the transport, which must not be asked again then:
        // a second one would end the process.
        if !std::thread::panicking() {
            let to = self.carrier.remote().ip().to_canonical();
            if to != from {
                probing.moved(from, to);
            }
        }
        probing.disconnected(from);
    }
}

/// How the peer came in, which is told to the tests of reachability.
fn arrival<C: Carrier>(carrier: &C, peer: Peer, place: &Place, shared: &Shared) -> Arrival {
    let remote = canonical(carrier.remote());
    let local_ip = carrier.local_ip().as_ref().map(IpAddr::to_canonical);
    let is_local = shared.probing().is_local(remote.ip(), local_ip);
    Arrival {
        socket: place.socket,
        transport: place.transport,
        remote,
        local_ip,
        peer,
        is_cold: shared.probing().connected(place.socket, remote, local_ip),
        settings: Arc::clone(place.settings_for(is_local)),
    }
}

/// The address as others write it, where it is an IPv4 address that was mapped into IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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
