//! A small Mosaic server in memory, over real QUIC and TCP, that keeps every rule but at most one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use mosaicd::identity::{Channel, Identity, peer_of};
use mosaicd::wire::{
    ClientMessage, Direction, Frame, FrameError, FrameReader, PublicKey, Record, RecordError,
    ResultCode, SecretKey, ServerMessage, Subject,
};
use quinn::crypto::rustls::QuicServerConfig;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::lax;
use super::shelf::{Shelf, Speaker};

/// The one rule that the server breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// What is for its author alone is for everybody.
    LeaksToStrangers,
    /// What is for the tagged is for everybody.
    IgnoresTags,
    FirstTagOnly,
    OldestFirst,
    /// LOCALLY COMPLETE comes before the stored records.
    CompleteFirst,
    CompleteTwice,
    NeverUnsubscribes,
    /// A QUERY leaves the subscription with its ID as it is.
    QueryLeavesOpen,
    LiveTwice,
    /// ACCEPTED, but others see the record only after the submitter's next message.
    StoresLater,
    /// ACCEPTED, but a record is lost whose submitter goes away before its next message.
    ForgetsOnClose,
    BelievesSignatures,
    NothingIsSuccess,
    /// Another reply for what is there and may not be seen.
    RefusesTheInvisible,
    DuplicateTells,
    SecondHello,
    AnswersBeforeHello,
    WrongPrefix,
    DirtyBytes,
    NoLimit,
    LastReplaces,
    KeepsEphemeral,
    GrantsMore,
    GoesOnAfterUnknown,
    BelievesCertificates,
    OffersEarlyData,
}

/// A server with one fault. It ends with the runtime.
pub(super) struct Double {
    key: PublicKey,
    quic: SocketAddr,
    tcp: SocketAddr,
}

impl Double {
    pub(super) async fn start(fault: Fault) -> Self {
        let identity = Identity::new(SecretKey::generate());
        let mut tls = identity.server_tls().unwrap();
        match fault {
            Fault::BelievesCertificates => tls = lax::believing(&identity),
            Fault::OffersEarlyData => lax::offer_early_data(&mut tls),
            _ => {}
        }
        let shelf = Shelf::new(fault);
        let loopback: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let crypto = QuicServerConfig::try_from(tls.clone()).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, loopback).unwrap();
        let quic = endpoint.local_addr().unwrap();
        tokio::spawn(serve_quic(endpoint, shelf.clone()));
        let listener = tokio::net::TcpListener::bind(loopback).await.unwrap();
        let tcp = listener.local_addr().unwrap();
        tokio::spawn(serve_tcp(listener, Arc::new(tls), shelf));
        Self {
            key: identity.public(),
            quic,
            tcp,
        }
    }

    /// The server over QUIC, as the command line names it.
    pub(super) fn over_quic(&self) -> String {
        format!("{}@{}", self.key.to_server_string(), self.quic)
    }

    /// The server over TCP.
    pub(super) fn over_tcp(&self) -> String {
        format!("{}@mosaictcp://{}/", self.key.to_server_string(), self.tcp)
    }
}

async fn serve_quic(endpoint: quinn::Endpoint, shelf: Shelf) {
    while let Some(incoming) = endpoint.accept().await {
        let shelf = shelf.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else {
                return;
            };
            let key = peer_of(&connection)
                .ok()
                .and_then(|peer| peer.key().copied());
            let visit = Visit::new(&shelf, key, Some(connection.clone()));
            while let Ok((send, receive)) = connection.accept_bi().await {
                let (visit, connection) = (visit.clone(), connection.clone());
                tokio::spawn(async move {
                    let is_over = visit.talk(Reader::Quic(receive), Writer::Quic(send)).await;
                    if is_over {
                        connection.close(0_u32.into(), b"");
                    }
                });
            }
        });
    }
}

async fn serve_tcp(
    listener: tokio::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    shelf: Shelf,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (shelf, tls) = (shelf.clone(), Arc::clone(&tls));
        tokio::spawn(async move {
            let Ok(channel) = Channel::accept(socket, tls).await else {
                return;
            };
            let visit = Visit::new(&shelf, channel.peer().key().copied(), None);
            let channel = Arc::new(channel);
            let reader = Reader::Tcp(Arc::clone(&channel));
            visit.talk(reader, Writer::Tcp(Arc::clone(&channel))).await;
            channel.drained().await;
        });
    }
}

enum Reader {
    Quic(quinn::RecvStream),
    Tcp(Arc<Channel>),
}

impl Reader {
    async fn read(&mut self) -> Option<Bytes> {
        match self {
            Self::Quic(receive) => receive
                .read_chunk(1 << 16, true)
                .await
                .ok()?
                .map(|chunk| chunk.bytes),
            Self::Tcp(channel) => channel.read().await.ok().filter(|bytes| !bytes.is_empty()),
        }
    }
}

enum Writer {
    Quic(quinn::SendStream),
    Tcp(Arc<Channel>),
}

impl Writer {
    /// Sends what comes until nobody has anything to say any more; then waits until it has arrived.
    async fn run(mut self, mut messages: UnboundedReceiver<ServerMessage>, fault: Fault) {
        while let Some(message) = messages.recv().await {
            let mut bytes = message.encode().to_vec();
            if fault == Fault::DirtyBytes && bytes[0] == 0x82 {
                bytes[7] = 1;
            }
            let bytes = Bytes::from(bytes);
            let sent = match &mut self {
                Self::Quic(send) => send.write_chunk(bytes).await.is_ok(),
                Self::Tcp(channel) => send_all(channel, bytes).await.is_ok(),
            };
            if !sent {
                return;
            }
        }
        match &mut self {
            Self::Quic(send) => {
                send.finish().ok();
                send.stopped().await.ok();
            }
            Self::Tcp(channel) => drop(channel.finished().await),
        }
    }
}

async fn send_all(channel: &Channel, bytes: Bytes) -> std::io::Result<()> {
    let mut left = [bytes];
    while !left[0].is_empty() {
        channel.write(&mut left).await?;
    }
    channel.flush().await
}

/// One connection.
#[derive(Clone)]
struct Visit {
    shelf: Shelf,
    connection: usize,
    key: Option<PublicKey>,
    has_greeted: Arc<AtomicBool>,
}

/// What becomes of a stream after a message.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    EndStream,
    EndConnection,
}

static STREAMS: AtomicUsize = AtomicUsize::new(0);

impl Visit {
    fn new(shelf: &Shelf, key: Option<PublicKey>, quic: Option<quinn::Connection>) -> Self {
        Self {
            shelf: shelf.clone(),
            connection: shelf.connected(quic),
            key,
            has_greeted: Arc::default(),
        }
    }

    /// Serves one stream. Tells whether the connection is to be closed behind it.
    async fn talk(&self, mut reader: Reader, writer: Writer) -> bool {
        let (out, messages) = unbounded_channel();
        let writing = tokio::spawn(writer.run(messages, self.shelf.fault));
        let speaker = Speaker {
            connection: self.connection,
            stream: STREAMS.fetch_add(1, Ordering::Relaxed),
            key: self.key,
            out,
        };
        let mut frames = FrameReader::new(Direction::ToServer);
        let mut then = Then::GoOn;
        while then == Then::GoOn {
            then = match frames.next() {
                Ok(Some(Frame::Message(message))) => self.message(&speaker, &message),
                Ok(Some(Frame::BlobData { .. })) => Then::GoOn,
                Ok(None) => match reader.read().await {
                    Some(bytes) => {
                        frames.push(bytes);
                        Then::GoOn
                    }
                    None => Then::EndStream,
                },
                Err(FrameError::TooLarge { subject, .. }) => {
                    self.broken(&speaker, subject, ResultCode::TooLarge)
                }
                Err(_) if !self.has_greeted.load(Ordering::Relaxed) => throw_out(&speaker),
                Err(FrameError::BadLength { subject, .. }) => {
                    self.broken(&speaker, subject, ResultCode::Invalid);
                    unrecognized(&speaker)
                }
                Err(FrameError::UnknownType(_))
                    if self.shelf.fault == Fault::GoesOnAfterUnknown =>
                {
                    frames = FrameReader::new(Direction::ToServer);
                    unrecognized(&speaker);
                    Then::GoOn
                }
                Err(_) => unrecognized(&speaker),
            };
        }
        self.shelf.forget(speaker.stream);
        drop(speaker);
        writing.await.ok();
        then == Then::EndConnection
    }

    fn message(&self, speaker: &Speaker, bytes: &Bytes) -> Then {
        self.shelf.heard(self.connection);
        let is_early = !self.has_greeted.load(Ordering::Relaxed);
        if is_early && bytes[0] != 0x10 && self.shelf.fault != Fault::AnswersBeforeHello {
            return throw_out(speaker);
        }
        match ClientMessage::parse(bytes) {
            Ok(message) => self.answer(speaker, message),
            Err(error) => self.broken(speaker, error.subject, ResultCode::Invalid),
        }
    }

    fn answer(&self, speaker: &Speaker, message: ClientMessage) -> Then {
        let shelf = &self.shelf;
        match message {
            ClientMessage::Hello { apps, .. } => self.greet(speaker, &apps),
            ClientMessage::HelloAuth => return throw_out(speaker),
            ClientMessage::Get { id, references } => shelf.get(speaker, id, &references),
            ClientMessage::Query { id, limit, filter } => shelf.query(speaker, id, limit, &filter),
            ClientMessage::Subscribe { id, limit, filter } => {
                shelf.subscribe(speaker, id, limit, filter)
            }
            ClientMessage::Unsubscribe { id } => shelf.unsubscribe(speaker, id),
            ClientMessage::Submission { record } => self.submission(speaker, &record),
            ClientMessage::BlobGet { hash } => speaker.say(ServerMessage::BlobResult {
                result: ResultCode::NotFound,
                data_bytes: 0,
                hash,
            }),
            ClientMessage::BlobSubmission { hash, .. } => {
                speaker.say(ServerMessage::BlobSubmissionResult {
                    result: ResultCode::TooLarge,
                    hash,
                })
            }
            ClientMessage::DhtLookup | ClientMessage::Extension(_) => {
                unrecognized(speaker);
                if shelf.fault != Fault::GoesOnAfterUnknown {
                    return Then::EndStream;
                }
            }
            ClientMessage::Unrecognized => return Then::EndStream,
        }
        Then::GoOn
    }

    fn greet(&self, speaker: &Speaker, apps: &[u32]) {
        let is_second = self.has_greeted.swap(true, Ordering::Relaxed);
        let fault = self.shelf.fault;
        let (result, mut granted) = if is_second && fault != Fault::SecondHello {
            (ResultCode::Duplicate, Vec::new())
        } else {
            let granted = apps.iter().copied().filter(|app| *app == 99);
            (ResultCode::Success, granted.collect())
        };
        if fault == Fault::GrantsMore {
            granted.push(1_234);
        }
        speaker.say(ServerMessage::HelloAck {
            result,
            version: 0,
            apps: granted,
        });
    }

    fn submission(&self, speaker: &Speaker, bytes: &Bytes) {
        let mut id_prefix: [u8; 32] = *bytes.first_chunk().unwrap_or(&[0; 32]);
        let result = match Record::parse(bytes.clone()) {
            Ok(record) => self.shelf.submit(speaker, record),
            Err(RecordError::TooLong { .. }) => ResultCode::TooLarge,
            Err(_) => ResultCode::Invalid,
        };
        if self.shelf.fault == Fault::WrongPrefix {
            id_prefix.reverse();
        }
        speaker.say(ServerMessage::SubmissionResult { result, id_prefix });
    }

    /// Answers where the answer belongs.
    fn broken(&self, speaker: &Speaker, subject: Subject, result: ResultCode) -> Then {
        match subject {
            Subject::Query(id) => speaker.say(ServerMessage::QueryClosed { id, result }),
            Subject::Record(id_prefix) => {
                speaker.say(ServerMessage::SubmissionResult { result, id_prefix })
            }
            Subject::Blob(_) | Subject::Request(_) | Subject::None => return unrecognized(speaker),
        }
        Then::GoOn
    }
}

fn throw_out(speaker: &Speaker) -> Then {
    let result = ResultCode::Invalid;
    speaker.say(ServerMessage::Closing { result });
    Then::EndConnection
}

fn unrecognized(speaker: &Speaker) -> Then {
    speaker.say(ServerMessage::Unrecognized);
    Then::EndStream
}
