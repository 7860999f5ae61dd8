//! One connection: it accepts streams, owns their tasks, and ends with them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::blobs::{Blobs, Depot};
use super::door::{Entry, Place};
use super::ingest::{Budget, Ingest, Nowhere};
use super::link::{Broken, Carrier};
use super::newcomers::Newcomers;
use super::operating::{Desk, Orders};
use super::probing::{Arrival, Asks, Probing};
use super::readers::Readers;
use super::requester::{NoSchedules, Requester};
use super::requests::{Requests, Source};
use super::room::{Output, Room};
use super::services::{Admission, Records, Services};
use super::signals::{Signal, Watch};
use super::stream::{Context, Stream, StreamEnd};
use super::submissions::Submissions;
use super::toll::Toll;
use super::turn_away::turn_away;
use crate::base::limits::{CLOSE_TIMEOUT, HELLO_TIMEOUT, STREAMS_SHUTDOWN_TIMEOUT};
use crate::identity::{Directory, Peer};
use crate::session::{self, Seat};
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
    newcomers: Arc<dyn Newcomers>,
    readers: Readers,
    budget: Budget,
    output: Output,
    desk: Desk,
}

impl Shared {
    pub(super) fn new(services: Services) -> Self {
        let (directory, ingest, newcomers) = match &services.records {
            Some(records) => (
                Arc::clone(&records.directory),
                Arc::clone(&records.ingest),
                Arc::clone(&records.newcomers),
            ),
            None => (
                Arc::new(Directory::new(Arc::new(NoSchedules))),
                Arc::new(Nowhere) as Arc<dyn Ingest>,
                Arc::new(Nowhere) as Arc<dyn Newcomers>,
            ),
        };
        let source = services.records.as_ref().map(source);
        let depot = services.records.as_ref().map(|records| {
            let (store, blobs) = (records.store.clone(), records.blobs.clone());
            Arc::new(Depot::new(store, blobs, Arc::clone(&records.newcomers)))
        });
        Self {
            desk: Desk::new(services.operator.clone()),
            services,
            source,
            depot,
            directory,
            ingest,
            newcomers,
            readers: Readers::new(),
            budget: Budget::new(),
            output: Output::new(),
        }
    }

    pub(super) const fn admission(&self) -> &Admission {
        &self.services.admission
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
        scan_max: records.query_scan_max,
    })
}

/// One connection after its handshake.
struct Connection<C: Carrier> {
    carrier: C,
    shared: Arc<Shared>,
    arrival: Arc<Arrival>,
    session: Arc<session::Connection>,
    requester: Arc<Requester>,
    toll: Arc<Toll>,
    /// Number of the connection, never used twice.
    number: u64,
    signals: Watch,
    streams: JoinSet<StreamEnd>,
    room: Room,
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
    match connection.admit().await {
        Ok(_seat) => {
            if let Peer::Known(_) = peer {
                connection.carrier.raise_bounds();
            }
            connection.run().await;
        }
        Err(result) => turn_away(&mut connection.carrier, result).await,
    }
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
        let address = arrival.remote.ip();
        let requester = Requester::new(
            (peer, address),
            Arc::clone(&shared.directory),
            shared.readers.for_connection(address),
        );
        let requester = Arc::new(requester);
        let toll = Toll::new(
            shared.admission().clone(),
            Arc::clone(&requester),
            Arc::clone(&arrival.settings),
        );
        let room = Room::new(&shared.output);
        Self {
            session: Arc::new(session::Connection::new(
                peer,
                Arc::clone(&arrival.settings),
            )),
            carrier,
            shared,
            arrival,
            requester,
            toll: Arc::new(toll),
            number,
            signals,
            streams: JoinSet::new(),
            room,
            permit,
        }
    }

    /// Whether the peer may stay; then its share of the connections of its address and key.
    ///
    /// # Errors
    /// What it is told where it may not.
    async fn admit(&self) -> Result<Seat, ResultCode> {
        // For whom it speaks decides whether it is banned, and what it may use.
        self.requester.refresh().await;
        if let Some(result) = self.toll.banned() {
            debug!(number = self.number, %result, "a banned peer");
            return Err(result);
        }
        let seat = self.toll.connection();
        seat.ok_or_else(|| {
            debug!(
                number = self.number,
                "too many connections of one address or key"
            );
            ResultCode::TooFast
        })
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
        let mut rests_until: Option<Instant> = None;
        loop {
            tokio::select! {
                // Streams that come too fast wait in the transport, which lets the peer open only
                // so many at a time.
                accepted = self.carrier.accept(), if rests_until.is_none() => match accepted {
                    Ok((reader, writer)) => {
                        self.open(reader, writer);
                        rests_until = later(self.toll.stream());
                    }
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
                () = sleep_until(rests_until.unwrap_or(hello_by)), if rests_until.is_some() => {
                    rests_until = None;
                }
                signal = self.signals.next() => match signal {
                    Signal::GateMoved => {}
                    Signal::Banned => if let Some(result) = self.toll.banned() {
                        // The streams, which are told by themselves, say it to the peer.
                        self.finish_streams(2 * CLOSE_TIMEOUT).await;
                        return Some(result);
                    },
                    Signal::Stopping => {
                        self.finish_streams(STREAMS_SHUTDOWN_TIMEOUT).await;
                        return Some(ResultCode::ShuttingDown);
                    }
                },
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

    /// Gives every stream, which is told by itself that it has to end, time to finish.
    async fn finish_streams(&mut self, within: Duration) {
        let finished = async {
            while let Some(joined) = self.streams.join_next().await {
                ended(self.number, joined);
            }
        };
        if timeout(within, finished).await.is_err() {
            debug!(number = self.number, "streams did not finish in time");
        }
    }

    fn open(&mut self, reader: C::Reader, writer: C::Writer) {
        let shared = &self.shared;
        let opened = Instant::now().into_std();
        let room = self.room.for_stream();
        let context = Context {
            arrival: Arc::clone(&self.arrival),
            requester: Arc::clone(&self.requester),
            toll: Arc::clone(&self.toll),
            info: Arc::clone(&shared.services.info),
            probing: Arc::clone(&shared.services.probing),
            newcomers: Arc::clone(&shared.newcomers),
        };
        let stream = Stream {
            reader,
            writer,
            session: session::Stream::new(Arc::clone(&self.session), opened),
            requests: Requests::new(shared.source.clone(), room.clone()),
            submissions: Submissions::new(
                self.number,
                Arc::clone(&shared.ingest),
                shared.budget.clone(),
                Arc::clone(&self.requester),
                Arc::clone(&self.arrival.settings),
            ),
            asks: Asks::new(),
            orders: Orders::new(shared.desk.clone(), Arc::clone(&self.requester)),
            blobs: Blobs::new(shared.depot.clone(), context.sight(None, None), &room),
            room,
            signals: self.signals.fresh(),
            context,
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

/// When that time is over; `None` where it is none.
fn later(wait: Duration) -> Option<Instant> {
    (!wait.is_zero()).then(|| Instant::now() + wait)
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
