//! What the unit tests of this folder share: a server behind the network, and a transport in memory.

use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::blobs::Depot;
use super::ingest::{Ingest, Reply, SubmitJob};
use super::link::{Broken, LinkReader, LinkWriter};
use super::newcomers::Newcomers;
use super::probing::testing::Prober;
use super::probing::{Answers, Arrival, Probing};
use super::readers::Readers;
use super::requester::{NoSchedules, Requester};
use super::requests::Source;
use super::services::{Admission, InfoSource, Records, Services};
use super::sight::Sight;
use super::toll::Toll;
use crate::base::{Role, RoleSet};
use crate::fanout::Fanout;
use crate::identity::{Directory, Peer, PeerKey};
use crate::policy::testing::{NOW, Person, rules};
use crate::policy::{Gate, LiveRules, RateRules, Rates};
use crate::session::Settings;
use crate::store::{Entry, Judge, Judgement, Outcome, Store, StoreOptions, Vouched, Writer};
use crate::wire::{
    ClientMessage, Direction, EXTENSION_APP, Frame, FrameReader, InfoLimits, InfoReply, Kind,
    ProbeTransport, PublicKey, QueryId, Record, RecordBuilder, RecordRef, Redeem, RedeemResult,
    Registration, ResultCode, RoleCondition, RoleReport, ServerMessage, Timestamp,
};

/// Everything behind the network, with a writer that stores whatever comes. Nothing is verified.
pub(super) struct Behind {
    pub(super) store: Store,
    pub(super) fanout: Fanout,
    pub(super) settings: Arc<Settings>,
    pub(super) directory: Arc<Directory>,
    pub(super) ingest: Arc<Inbound>,
    pub(super) probing: Arc<Prober>,
    pub(super) admission: Admission,
    _folder: TempDir,
}

/// Takes submissions: hands them to the writer, or keeps them for the test.
pub(super) struct Inbound {
    writer: Writer<Asker>,
    pub(super) kept: Mutex<Option<Vec<SubmitJob>>>,
    pub(super) greeted: Mutex<Vec<PublicKey>>,
}

/// Whom the writer answers.
enum Asker {
    Peer(Reply),
    Test(blocking::Sender<()>, Role),
}

struct Keeper {
    fanout: Fanout,
}

impl Judge for Keeper {
    type Context = Asker;

    fn judge(&mut self, _: RecordRef<'_>, context: &Asker, _: Timestamp) -> Judgement {
        let role = match context {
            Asker::Peer(_) => Role::Application,
            Asker::Test(_, role) => *role,
        };
        Judgement::Store {
            roles: RoleSet::of(role),
            vouched: Vouched::Master,
            submitter: None,
            held: false,
            charges: Vec::new(),
        }
    }

    fn stored(&mut self, _: &Record) {}

    fn publish(&mut self, entries: &[Arc<Entry>]) {
        self.fanout.publish(entries);
    }

    fn announce(&mut self, entry: &Arc<Entry>) -> usize {
        self.fanout.announce(entry)
    }

    fn reply(&mut self, context: Asker, outcome: Outcome) {
        match context {
            Asker::Peer(reply) => reply.send(match outcome {
                Outcome::Stored(_) => ResultCode::Accepted,
                _ => ResultCode::Duplicate,
            }),
            Asker::Test(done, _) => done.send(()).unwrap(),
        }
    }
}

impl Ingest for Inbound {
    fn submit(&self, job: SubmitJob) {
        if let Some(kept) = &mut *self.kept.lock().unwrap() {
            kept.push(job);
            return;
        }
        let submitted = self.writer.submit(job.record, Asker::Peer(job.reply));
        assert!(submitted.is_ok());
    }
}

impl Newcomers for Inbound {
    fn greeted(&self, peer: PeerKey, _: IpAddr) {
        self.greeted.lock().unwrap().push(*peer.key());
    }

    /// Knows one invitation.
    fn redeem(&self, _: PeerKey, redeem: Redeem, answers: Answers) {
        let result = match redeem.code.as_str() {
            "good" => ResultCode::Success,
            _ => ResultCode::NotFound,
        };
        answers.redeemed(RedeemResult { result, why: None });
    }

    fn may_register(&self, _: PeerKey) -> bool {
        false
    }

    fn register(&self, _: PeerKey, _: IpAddr) {}
}

/// Says which roles are configured and open where it is asked.
struct GateInfo;

impl InfoSource for GateInfo {
    fn info(&self, arrival: &Arrival) -> InfoReply {
        let roles = arrival.settings.gate.roles();
        let report = |role: Role| RoleReport {
            state: match (roles.configured.contains(role), roles.open.contains(role)) {
                (true, true) => RoleCondition::Open,
                (true, false) => RoleCondition::Closed,
                (false, _) => RoleCondition::Off,
            },
            why: None,
            since: NOW,
        };
        let reports = Role::ALL.map(|role| (role.into(), report(role)));
        InfoReply {
            name: "test".to_owned(),
            software: "mosaicd".to_owned(),
            version: "0".to_owned(),
            spec: "0.8".to_owned(),
            key: Person::Bob.key(),
            description: None,
            contact: None,
            terms: None,
            endpoints: Vec::new(),
            roles: reports.into(),
            applications: Vec::new(),
            limits: InfoLimits {
                record_bytes: 0,
                blob_bytes: 0,
                filter_bytes: 0,
                query_results: 0,
                subscriptions_per_stream: 0,
                streams: 0,
                submissions_per_second: 0,
                retention_seconds: None,
            },
            registration: Registration::Closed,
            probes: true,
            now: NOW,
            you: None,
            refused: None,
        }
    }
}

impl Behind {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let options = StoreOptions {
            cache_bytes: 1 << 20,
            memtable_bytes: 8 << 20,
            free_space_floor_bytes: 0,
            ..StoreOptions::default()
        };
        let store = Store::open(&folder.path().join("store"), options).unwrap();
        let fanout = Fanout::new(store.tail());
        let keeper = Keeper {
            fanout: fanout.clone(),
        };
        Self {
            ingest: Arc::new(Inbound {
                writer: Writer::spawn(store.clone(), keeper).unwrap(),
                kept: Mutex::new(None),
                greeted: Mutex::new(Vec::new()),
            }),
            settings: Arc::new(Settings {
                gate: Arc::new(Gate::dev(RoleSet::ALL, NOW)),
                rules: Arc::new(LiveRules::new(rules())),
                refuse_wide_filters: false,
            }),
            directory: Arc::new(Directory::new(Arc::new(NoSchedules))),
            probing: Arc::default(),
            admission: Admission {
                bans: Arc::default(),
                rates: Arc::new(Rates::new(RateRules::NONE, Instant::now())),
            },
            store,
            fanout,
            _folder: folder,
        }
    }

    /// Stores the records under the application role, in this order, and publishes them.
    pub(super) fn put(&self, records: &[Record]) {
        self.put_under(Role::Application, records);
    }

    pub(super) fn put_under(&self, role: Role, records: &[Record]) {
        let (done, all_done) = blocking::channel();
        for record in records {
            let asker = Asker::Test(done.clone(), role);
            assert!(self.ingest.writer.submit(record.clone(), asker).is_ok());
        }
        for _ in records {
            all_done.recv().unwrap();
        }
    }

    pub(super) fn services(&self) -> Services {
        Services {
            records: Some(Records {
                store: self.store.clone(),
                fanout: self.fanout.clone(),
                directory: Arc::clone(&self.directory),
                ingest: Arc::clone(&self.ingest) as Arc<dyn Ingest>,
                newcomers: Arc::clone(&self.ingest) as Arc<dyn Newcomers>,
                blobs: self.ingest.writer.blobs(),
                query_results_max: 1_000,
                query_scan_max: 100_000,
            }),
            info: Arc::new(GateInfo),
            probing: Arc::clone(&self.probing) as Arc<dyn Probing>,
            admission: self.admission.clone(),
            connections_max: 100,
            operator: None,
        }
    }

    /// An anonymous peer that came in.
    pub(super) fn arrival(&self) -> Arc<Arrival> {
        Arc::new(Arrival {
            socket: 0,
            transport: ProbeTransport::Quic,
            remote: (Ipv4Addr::LOCALHOST, 7).into(),
            local_ip: None,
            peer: Peer::Anonymous,
            is_cold: false,
            settings: Arc::clone(&self.settings),
        })
    }

    pub(super) fn depot(&self) -> Arc<Depot> {
        let writer = self.ingest.writer.blobs();
        let newcomers = Arc::clone(&self.ingest) as Arc<dyn Newcomers>;
        Arc::new(Depot::new(self.store.clone(), writer, newcomers))
    }

    pub(super) fn source(&self, results_max: u32) -> Arc<Source> {
        Arc::new(Source {
            store: self.store.clone(),
            fanout: self.fanout.clone(),
            results_max,
            scan_max: 100_000,
        })
    }

    pub(super) fn requester(&self, person: Option<Person>) -> Arc<Requester> {
        let peer = person.map_or(Peer::Anonymous, |person| {
            Peer::Known(PeerKey::for_tests(person.key()))
        });
        let directory = Arc::clone(&self.directory);
        Arc::new(Requester::new(
            (peer, Ipv4Addr::LOCALHOST.into()),
            directory,
            Readers::new(),
        ))
    }

    /// Who is kept out, and who may use how much: nobody and everything, unless a test says other.
    pub(super) fn toll(&self, person: Option<Person>) -> Arc<Toll> {
        let settings = Arc::clone(&self.settings);
        let requester = self.requester(person);
        Arc::new(Toll::new(self.admission.clone(), requester, settings))
    }

    pub(super) fn sight(&self, person: Option<Person>) -> Sight {
        Sight {
            settings: Arc::clone(&self.settings),
            requester: self.requester(person),
            toll: self.toll(person),
            bound: None,
            app: None,
        }
    }
}

/// A kind of the application that the tests' rules serve; for everybody, and all are kept.
pub(super) fn kind() -> Kind {
    Kind::new((99 << 32) | (5 << 16) | 0b1100).unwrap()
}

/// Records by Alice, each a nanosecond newer than the one before.
pub(super) fn records(count: u64, payload_bytes: usize) -> Vec<Record> {
    let record = |at: u64| {
        RecordBuilder::new(kind(), Person::Alice.key())
            .timestamp(Timestamp::from_nanos(1_000 + at).unwrap())
            .payload(vec![b'x'; payload_bytes])
            .sign(&Person::Alice.secret())
            .unwrap()
    };
    (0..count).map(record).collect()
}

/// Fails a test that waits for something that does not come.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let soon = tokio::time::timeout(Duration::from_secs(60), what);
    soon.await.expect("it comes within a minute")
}

/// Waits for something that other tasks or threads bring about.
pub(super) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A transport in memory: the two halves that the driver has, and the peer at their other end.
pub(super) fn link() -> (MemoryReader, MemoryWriter, MemoryPeer) {
    let (speaks, heard) = mpsc::unbounded_channel();
    let (pipe, watched) = watch::channel(Pipe::default());
    let pipe = Arc::new(pipe);
    let reader = MemoryReader {
        heard,
        unread: VecDeque::new(),
    };
    let writer = MemoryWriter {
        pipe: Arc::clone(&pipe),
        changes: watched.clone(),
    };
    let peer = MemoryPeer {
        speaks,
        pipe,
        changes: watched,
        frames: FrameReader::new(Direction::ToClient),
    };
    (reader, writer, peer)
}

/// What the server sent, and what of it the peer takes.
#[derive(Default)]
struct Pipe {
    sent: BytesMut,
    /// How many more bytes may be sent.
    room: usize,
    finished: bool,
    stopped: bool,
    reset: bool,
}

enum Spoken {
    Bytes(Bytes),
    Reset,
}

pub(super) struct MemoryReader {
    heard: mpsc::UnboundedReceiver<Spoken>,
    /// Heard while waiting for a reset.
    unread: VecDeque<Bytes>,
}

impl LinkReader for MemoryReader {
    async fn read(&mut self, chunks: &mut [Bytes]) -> Result<usize, Broken> {
        if let Some(bytes) = self.unread.pop_front() {
            chunks[0] = bytes;
            return Ok(1);
        }
        match self.heard.recv().await {
            Some(Spoken::Bytes(bytes)) => {
                chunks[0] = bytes;
                Ok(1)
            }
            Some(Spoken::Reset) => Err(Broken::Reset),
            None => Ok(0),
        }
    }

    async fn broken(&mut self) -> Broken {
        loop {
            match self.heard.recv().await {
                Some(Spoken::Reset) => return Broken::Reset,
                Some(Spoken::Bytes(bytes)) => self.unread.push_back(bytes),
                None => std::future::pending().await,
            }
        }
    }

    fn stop(&mut self, _: ResultCode) {
        self.heard.close();
    }
}

pub(super) struct MemoryWriter {
    pipe: Arc<watch::Sender<Pipe>>,
    changes: watch::Receiver<Pipe>,
}

impl LinkWriter for MemoryWriter {
    async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), Broken> {
        let ready = self.changes.wait_for(|pipe| pipe.room > 0 || pipe.stopped);
        if ready.await.unwrap().stopped {
            return Err(Broken::Stopped);
        }
        self.pipe.send_modify(|pipe| {
            for chunk in chunks {
                let taken = chunk.split_to(chunk.len().min(pipe.room));
                pipe.room -= taken.len();
                pipe.sent.extend_from_slice(&taken);
            }
        });
        Ok(())
    }

    fn finish(&mut self) {
        self.pipe.send_modify(|pipe| pipe.finished = true);
    }

    fn reset(&mut self, _: ResultCode) {
        self.pipe.send_modify(|pipe| pipe.reset = true);
    }

    fn ended(&self) -> impl Future<Output = Result<(), Broken>> + Send + 'static {
        let mut changes = self.changes.clone();
        async move {
            let is_over = |pipe: &Pipe| pipe.stopped || (pipe.finished && pipe.sent.is_empty());
            let pipe = changes.wait_for(is_over).await.map_err(|_| Broken::Gone)?;
            if pipe.stopped {
                return Err(Broken::Stopped);
            }
            Ok(())
        }
    }
}

pub(super) struct MemoryPeer {
    speaks: mpsc::UnboundedSender<Spoken>,
    pipe: Arc<watch::Sender<Pipe>>,
    changes: watch::Receiver<Pipe>,
    frames: FrameReader,
}

impl MemoryPeer {
    pub(super) fn send(&self, message: &ClientMessage) {
        self.send_bytes(message.encode());
    }

    pub(super) fn send_bytes(&self, bytes: Bytes) {
        self.speaks.send(Spoken::Bytes(bytes)).ok();
    }

    pub(super) fn reset(&self) {
        self.speaks.send(Spoken::Reset).ok();
    }

    pub(super) fn stop(&self) {
        self.pipe.send_modify(|pipe| pipe.stopped = true);
    }

    /// Lets the server send that many bytes more.
    pub(super) fn allow(&self, bytes: usize) {
        self.pipe.send_modify(|pipe| pipe.room = bytes);
    }

    /// Waits until the server broke its half off.
    pub(super) async fn was_reset(&mut self) {
        self.changes.wait_for(|pipe| pipe.reset).await.unwrap();
    }

    /// How many bytes were sent and not looked at.
    pub(super) fn unread_bytes(&self) -> usize {
        self.pipe.borrow().sent.len()
    }

    /// Whether the server gave its half up.
    pub(super) fn is_broken_off(&self) -> bool {
        self.pipe.borrow().reset
    }

    /// The next message; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            // The data of a BLOB are passed over.
            while let Some(frame) = self.frames.next().unwrap() {
                if let Frame::Message(message) = frame {
                    return Some(ServerMessage::parse(&message).unwrap());
                }
            }
            let has_news = |pipe: &Pipe| pipe.finished || !pipe.sent.is_empty();
            soon(self.changes.wait_for(has_news)).await.unwrap();
            let mut bytes = Bytes::new();
            self.pipe
                .send_modify(|pipe| bytes = pipe.sent.split().freeze());
            if bytes.is_empty() {
                return None;
            }
            self.frames.push(bytes);
        }
    }
}

pub(super) fn hello() -> ClientMessage {
    hello_for(Vec::new())
}

/// HELLO that asks for the extension set.
pub(super) fn hello_extension() -> ClientMessage {
    hello_for(vec![EXTENSION_APP])
}

fn hello_for(apps: Vec<u32>) -> ClientMessage {
    ClientMessage::Hello { version: 0, apps }
}

/// The one query ID that the tests need.
pub(super) const ID: QueryId = QueryId(7);
