//! A small Mosaic server in memory, over real QUIC and TCP, that keeps every rule but at most one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use mosaicd::identity::{Channel, Identity, peer_of};
use mosaicd::wire::{
    ClientMessage, Direction, EXTENSION_APP, Frame, FrameError, FrameReader, PublicKey, Record,
    RecordError, ResultCode, SecretKey, ServerMessage, Subject,
};
use quinn::crypto::rustls::QuicServerConfig;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::fault::Fault;
use super::lax;
use super::shelf::{Shelf, Speaker};

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
            Fault::TakesOtherProtocol => tls.alpn_protocols.push(b"mosaic-conformance".to_vec()),
            _ => {}
        }
        let shelf = Shelf::new(fault, identity.public());
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
    async fn run(mut self, mut messages: UnboundedReceiver<Bytes>, fault: Fault) {
        while let Some(bytes) = messages.recv().await {
            let bytes = match (fault, bytes[0]) {
                (Fault::DirtyBytes, 0x82) | (Fault::DirtyUnrecognized, 0xf0) => {
                    let mut dirty = bytes.to_vec();
                    dirty[7] = 1;
                    dirty.into()
                }
                (Fault::DirtyAck, 0x90) => {
                    let mut dirty = bytes.to_vec();
                    dirty[5] = 1;
                    dirty.into()
                }
                _ => bytes,
            };
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
    /// The extension messages were granted.
    has_extensions: Arc<AtomicBool>,
}

/// What becomes of a stream after a message.
#[derive(PartialEq, Eq)]
pub(super) enum Then {
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
            has_extensions: Arc::default(),
        }
    }

    /// Serves one stream. Tells whether the connection is to be closed behind it.
    async fn talk(&self, mut reader: Reader, writer: Writer) -> bool {
        let fault = self.shelf.fault;
        let (sent, messages) = unbounded_channel();
        let writing = tokio::spawn(writer.run(messages, fault));
        let (out, mut held) = match fault {
            Fault::RepliesInReverse => {
                let (out, held) = unbounded_channel();
                (out, Some((held, sent)))
            }
            _ => (sent, None),
        };
        let speaker = Speaker {
            connection: self.connection,
            stream: STREAMS.fetch_add(1, Ordering::Relaxed),
            key: self.key,
            binding: Arc::default(),
            out,
        };
        let mut frames = FrameReader::new(Direction::ToServer);
        let mut then = Then::GoOn;
        while then == Then::GoOn {
            then = match frames.next() {
                Ok(Some(Frame::Message(message))) => {
                    if fault == Fault::ReadsOneAtATime {
                        frames = FrameReader::new(Direction::ToServer);
                    }
                    self.message(&speaker, &message)
                }
                Ok(Some(Frame::BlobData { data, left_bytes })) => {
                    self.shelf.blob_data(&speaker, &data, left_bytes)
                }
                Ok(None) => {
                    held.iter_mut().for_each(release);
                    match reader.read().await {
                        Some(bytes) => {
                            if fault == Fault::ReadsWholeOnly {
                                frames = FrameReader::new(Direction::ToServer);
                            }
                            frames.push(bytes);
                            Then::GoOn
                        }
                        None => Then::EndStream,
                    }
                }
                Err(error) => self.unframed(&speaker, &error, &mut frames),
            };
        }
        held.iter_mut().for_each(release);
        self.shelf.forget(&speaker);
        drop((speaker, held));
        writing.await.ok();
        then == Then::EndConnection
    }

    /// What becomes of bytes that are no message.
    fn unframed(&self, speaker: &Speaker, error: &FrameError, frames: &mut FrameReader) -> Then {
        match (error, self.shelf.fault) {
            (FrameError::TooLarge { subject, .. }, fault) => {
                let result = match fault {
                    Fault::TakesTooLarge => ResultCode::Accepted,
                    _ => ResultCode::TooLarge,
                };
                self.broken(speaker, *subject, result)
            }
            _ if !self.has_greeted.load(Ordering::Relaxed) => throw_out(speaker),
            (FrameError::BadLength { subject, .. }, fault) => {
                let result = match fault {
                    Fault::LaxLength => ResultCode::NotFound,
                    _ => ResultCode::Invalid,
                };
                self.broken(speaker, *subject, result);
                unrecognized(speaker)
            }
            (FrameError::UnknownType(_), Fault::GoesOnAfterUnknown) => {
                *frames = FrameReader::new(Direction::ToServer);
                unrecognized(speaker);
                Then::GoOn
            }
            _ => unrecognized(speaker),
        }
    }

    fn message(&self, speaker: &Speaker, bytes: &Bytes) -> Then {
        self.shelf.heard(self.connection);
        let is_early = !self.has_greeted.load(Ordering::Relaxed);
        if is_early && bytes[0] != 0x10 && self.shelf.fault != Fault::AnswersBeforeHello {
            return throw_out(speaker);
        }
        let result = match ClientMessage::parse(bytes) {
            Ok(message) if self.is_dirty(&message, bytes) => return unrecognized(speaker),
            Ok(message) => {
                let then = self.answer(speaker, message);
                speaker.has_spoken(bytes[0] != 0x10);
                return then;
            }
            Err(error) if self.shelf.believes(&error) => (error.subject, ResultCode::Success),
            Err(error) => (error.subject, ResultCode::Invalid),
        };
        self.broken(speaker, result.0, result.1)
    }

    fn is_dirty(&self, message: &ClientMessage, bytes: &Bytes) -> bool {
        self.shelf.fault == Fault::ReservedMustBeZero && message.encode() != *bytes
    }

    fn answer(&self, speaker: &Speaker, message: ClientMessage) -> Then {
        let shelf = &self.shelf;
        match message {
            ClientMessage::Hello { apps, .. } => self.greet(speaker, &apps),
            ClientMessage::HelloAuth if shelf.fault == Fault::TakesHelloAuth => {
                self.greet(speaker, &[])
            }
            ClientMessage::HelloAuth => return throw_out(speaker),
            ClientMessage::Get { id, references } => shelf.get(speaker, id, &references),
            ClientMessage::Query { id, limit, filter } => shelf.query(speaker, id, limit, &filter),
            ClientMessage::Subscribe { id, limit, filter } => {
                shelf.subscribe(speaker, id, limit, filter)
            }
            ClientMessage::Unsubscribe { id } => shelf.unsubscribe(speaker, id),
            ClientMessage::Submission { record } => self.submission(speaker, &record),
            ClientMessage::BlobGet { hash } => shelf.blob(speaker, hash),
            ClientMessage::BlobSubmission { hash, data_bytes } => {
                shelf.blob_begins(speaker, hash, data_bytes)
            }
            ClientMessage::Extension(request)
                if self.has_extensions.load(Ordering::Relaxed)
                    || shelf.fault == Fault::ExtensionsUngranted =>
            {
                return shelf.extension(speaker, &request);
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
            let is_served =
                |app: &u32| *app == 99 || (*app == EXTENSION_APP && fault != Fault::Plain);
            let granted: Vec<u32> = apps.iter().copied().filter(is_served).collect();
            let has_extensions = granted.contains(&EXTENSION_APP);
            self.has_extensions.store(has_extensions, Ordering::Relaxed);
            (ResultCode::Success, granted)
        };
        if fault == Fault::GrantsMore {
            granted.push(1_234);
        }
        speaker.say(ServerMessage::HelloAck {
            result,
            version: match fault {
                Fault::HighVersion => 9,
                _ => 0,
            },
            apps: granted,
        });
    }

    fn submission(&self, speaker: &Speaker, bytes: &Bytes) {
        let mut id_prefix: [u8; 32] = *bytes.first_chunk().unwrap_or(&[0; 32]);
        let result = match Record::parse(bytes.clone()) {
            _ if self.shelf.fault == Fault::ServesNobody => ResultCode::Unauthorized,
            _ if self.shelf.fault == Fault::AllIsInvalid => ResultCode::Invalid,
            Err(error) if self.shelf.believes(&error) => ResultCode::Accepted,
            Err(RecordError::TooLong { .. }) => ResultCode::TooLarge,
            Err(_) => ResultCode::Invalid,
            Ok(record) => self.shelf.submit(speaker, record),
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

/// Lets go what was held back, the last first.
fn release((held, sent): &mut (UnboundedReceiver<Bytes>, UnboundedSender<Bytes>)) {
    let mut replies: Vec<Bytes> = std::iter::from_fn(|| held.try_recv().ok()).collect();
    replies.reverse();
    for reply in replies {
        sent.send(reply).ok();
    }
}

fn throw_out(speaker: &Speaker) -> Then {
    let result = ResultCode::Invalid;
    speaker.say(ServerMessage::Closing { result });
    Then::EndConnection
}

pub(super) fn unrecognized(speaker: &Speaker) -> Then {
    speaker.say(ServerMessage::Unrecognized);
    Then::EndStream
}
