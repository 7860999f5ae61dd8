//! A server for the tests of the client, and of what stands on it: real QUIC on loopback, and behind
//! it a script or a table.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::error::{ServerFault, StreamEnd};
use super::raw::{self, ReceiveHalf, SendHalf};
use super::{Options, ServerTrust, Target};
use crate::identity::{self, Channel, ChannelError, Identity, Peer};
use crate::wire::{
    Body, ClientMessage, Direction, EXTENSION_APP, Filter, Frame, FrameReader, InfoLimits,
    InfoReply, QueryId, Record, Registration, ResultCode, SecretKey, ServerMessage, Timestamp,
    Transport,
};

/// A listener with the key of its seed.
pub(crate) struct Listener {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) target: Target,
    pub(crate) address: SocketAddr,
}

impl Listener {
    pub(crate) fn new(seed: u8) -> Self {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), seed).unwrap()
    }

    /// On the address of one that ended just now, as soon as its socket is closed.
    pub(crate) async fn on(address: SocketAddr, seed: u8) -> Self {
        loop {
            match Self::bind(address, seed) {
                Ok(listener) => return listener,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
            }
            tokio::task::yield_now().await;
        }
    }

    fn bind(address: SocketAddr, seed: u8) -> std::io::Result<Self> {
        let key = SecretKey::from_seed([seed; 32]);
        let trust = ServerTrust::Exact(key.public());
        let crypto = Identity::new(key).server_crypto().unwrap();
        let config = quinn::ServerConfig::with_crypto(crypto);
        let endpoint = quinn::Endpoint::server(config, address)?;
        let address = endpoint.local_addr()?;
        Ok(Self {
            target: Target::from((address, trust)),
            endpoint,
            address,
        })
    }

    /// The next connection, with whoever made it.
    pub(crate) async fn accept(&self) -> (quinn::Connection, Peer) {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        let peer = identity::peer_of(&connection).unwrap();
        (connection, peer)
    }

    /// The next connection and its first stream, on which HELLO was answered.
    pub(crate) async fn greet(&self, granted: &[u32]) -> (quinn::Connection, ServerStream) {
        let (connection, _) = self.accept().await;
        let mut stream = ServerStream::accept(&connection).await.unwrap();
        stream.greet(granted).await;
        (connection, stream)
    }
}

/// The same over TCP, where a connection is one stream.
pub(super) struct TcpListener {
    listener: tokio::net::TcpListener,
    config: Arc<rustls::ServerConfig>,
    pub(super) target: Target,
    pub(super) address: SocketAddr,
}

impl TcpListener {
    pub(super) async fn new(seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let trust = ServerTrust::Exact(key.public());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            listener,
            config: Arc::new(Identity::new(key).server_tls().unwrap()),
            target: Target::from((address, trust)).with_transport(Transport::Tcp),
            address,
        }
    }

    /// Another server on the same address.
    pub(super) fn with_key(self, seed: u8) -> Self {
        let identity = Identity::new(SecretKey::from_seed([seed; 32]));
        Self {
            config: Arc::new(identity.server_tls().unwrap()),
            ..self
        }
    }

    /// The next connection, whose handshake may fail.
    pub(super) async fn try_accept(&self) -> Result<(ServerStream, Peer), ChannelError> {
        let (socket, _) = self.listener.accept().await.unwrap();
        let channel = Channel::accept(socket, Arc::clone(&self.config)).await?;
        let peer = channel.peer();
        Ok((ServerStream::over(channel), peer))
    }

    pub(super) async fn accept(&self) -> (ServerStream, Peer) {
        self.try_accept().await.unwrap()
    }

    /// The next connection, on which HELLO was answered.
    pub(super) async fn greet(&self, granted: &[u32]) -> ServerStream {
        let (mut stream, _) = self.accept().await;
        stream.greet(granted).await;
        stream
    }
}

/// The server's end of one stream.
pub(crate) struct ServerStream {
    pub(super) send: SendHalf,
    receive: ReceiveHalf,
    frames: FrameReader,
}

impl ServerStream {
    pub(crate) async fn accept(connection: &quinn::Connection) -> Option<Self> {
        let (send, receive) = connection.accept_bi().await.ok()?;
        Some(Self {
            send: SendHalf::Quic(send),
            receive: ReceiveHalf::Quic(receive),
            frames: FrameReader::new(Direction::ToServer),
        })
    }

    fn over(channel: Channel) -> Self {
        let (send, receive) = raw::split(Arc::new(channel), Arc::default());
        Self {
            send,
            receive,
            frames: FrameReader::new(Direction::ToServer),
        }
    }

    async fn greet(&mut self, granted: &[u32]) {
        let hello = self.receive().await.unwrap().unwrap();
        assert!(
            matches!(hello, ClientMessage::Hello { version: 0, .. }),
            "{hello:?}"
        );
        self.send(ServerMessage::HelloAck {
            result: ResultCode::Success,
            version: 0,
            apps: granted.to_vec(),
        })
        .await;
    }

    pub(crate) async fn receive(&mut self) -> Result<Option<ClientMessage>, StreamEnd> {
        loop {
            if let Some(Frame::Message(message)) = self.frames.next().map_err(ServerFault::from)? {
                let message = ClientMessage::parse(&message).map_err(ServerFault::from)?;
                return Ok(Some(message));
            }
            match self.receive.read().await? {
                Some(bytes) => self.frames.push(bytes),
                None => return Ok(None),
            }
        }
    }

    /// The ID of the query or subscription that comes next.
    pub(crate) async fn receive_query(&mut self) -> QueryId {
        match self.receive().await.unwrap().unwrap() {
            ClientMessage::Query { id, .. }
            | ClientMessage::Subscribe { id, .. }
            | ClientMessage::Get { id, .. } => id,
            other => panic!("{other:?} is no query"),
        }
    }

    pub(crate) async fn send(&mut self, message: ServerMessage) {
        self.send_bytes(message.encode()).await;
    }

    /// A client that went away is no failure of the test.
    pub(crate) async fn send_bytes(&mut self, bytes: Bytes) {
        self.send.write_all(&mut [bytes]).await.ok();
    }

    pub(crate) async fn send_record(&mut self, id: QueryId, record: &Record) {
        let record = record.bytes().clone();
        self.send(ServerMessage::Record { id, record }).await;
    }

    pub(crate) async fn close_query(&mut self, id: QueryId, result: ResultCode) {
        self.send(ServerMessage::QueryClosed { id, result }).await;
    }
}

/// Records with the time at which they were received, and how the server behaves.
#[derive(Clone)]
pub(crate) struct Table {
    state: Arc<Mutex<TableState>>,
    live: broadcast::Sender<(Timestamp, Record)>,
}

#[derive(Default)]
struct TableState {
    records: Vec<(Timestamp, Record)>,
    /// A subscription is cut off after that many records; 0: never.
    cut_after: usize,
    connections: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            live: broadcast::channel(1_024).0,
        }
    }

    pub(crate) fn cut_after(&self, records: usize) {
        self.state().cut_after = records;
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    pub(crate) fn store(&self, record: Record) {
        self.store_at(Timestamp::now(), record);
    }

    pub(crate) fn store_at(&self, received: Timestamp, record: Record) {
        let mut state = self.state();
        let entry = (received, record);
        state.records.push(entry.clone());
        // Nobody may be subscribed.
        self.live.send(entry).ok();
    }

    /// Serves every connection until dropped.
    pub(crate) async fn serve(self, listener: Listener) {
        let mut connections = JoinSet::new();
        loop {
            let (connection, mut main) = listener.greet(&[EXTENSION_APP]).await;
            self.state().connections += 1;
            let table = self.clone();
            connections.spawn(async move {
                let mut streams = JoinSet::new();
                let first = table.clone();
                let closer = connection.clone();
                streams.spawn(async move { first.serve_stream(&mut main, Some(&closer)).await });
                while let Some(mut stream) = ServerStream::accept(&connection).await {
                    let (table, closer) = (table.clone(), connection.clone());
                    streams.spawn(async move {
                        table.serve_stream(&mut stream, Some(&closer)).await;
                    });
                }
            });
        }
    }

    /// The same over TCP.
    pub(super) async fn serve_tcp(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let mut stream = listener.greet(&[EXTENSION_APP]).await;
            self.state().connections += 1;
            let table = self.clone();
            connections.spawn(async move { table.serve_stream(&mut stream, None).await });
        }
    }

    /// `connection` is closed where the stream is to be cut off.
    async fn serve_stream(
        &self,
        stream: &mut ServerStream,
        connection: Option<&quinn::Connection>,
    ) {
        while let Ok(Some(message)) = stream.receive().await {
            match message {
                ClientMessage::Extension(request) => {
                    stream
                        .send_bytes(info(Timestamp::now()).encode(request.request_id))
                        .await;
                }
                ClientMessage::Query { id, limit, filter } => {
                    if self
                        .send_stored(stream, id, limit, &filter, connection)
                        .await
                        .is_some()
                    {
                        stream.close_query(id, ResultCode::Success).await;
                    }
                }
                ClientMessage::Subscribe { id, limit, filter } => {
                    let mut live = self.live.subscribe();
                    let sent = self
                        .send_stored(stream, id, limit, &filter, connection)
                        .await;
                    let Some(sent) = sent else {
                        return;
                    };
                    stream.send(ServerMessage::LocallyComplete { id }).await;
                    while let Ok((received, record)) = live.recv().await {
                        let is_new = !sent.contains(&record);
                        if is_new && filter.matches(&record.view(), received) {
                            stream.send_record(id, &record).await;
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends what is stored; `None` where it cut the connection in the midst of it.
    async fn send_stored(
        &self,
        stream: &mut ServerStream,
        id: QueryId,
        limit: u16,
        filter: &Filter,
        connection: Option<&quinn::Connection>,
    ) -> Option<Vec<Record>> {
        let (mut found, cut_after) = {
            let state = self.state();
            let passes = |(received, record): &&(Timestamp, Record)| {
                filter.matches(&record.view(), *received)
            };
            let found = state.records.iter().filter(passes);
            let found: Vec<Record> = found.map(|(_, record)| record.clone()).collect();
            (found, state.cut_after)
        };
        found.sort_unstable_by_key(|record| std::cmp::Reverse(record.id()));
        if limit != 0 {
            found.truncate(usize::from(limit));
        }
        for (place, record) in found.iter().enumerate() {
            if cut_after != 0 && place == cut_after {
                // So that the client has taken what was sent before.
                stream.send.finish();
                if let SendHalf::Quic(send) = &stream.send {
                    send.stopped().await.ok();
                }
                if let Some(connection) = connection {
                    connection.close(0_u32.into(), b"cut");
                }
                return None;
            }
            stream.send_record(id, record).await;
        }
        Some(found)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, TableState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn info(now: Timestamp) -> InfoReply {
    InfoReply {
        name: "table".into(),
        software: "test".into(),
        version: "0".into(),
        spec: "0.8".into(),
        key: SecretKey::from_seed([1; 32]).public(),
        description: None,
        contact: None,
        terms: None,
        endpoints: Vec::new(),
        roles: std::collections::BTreeMap::new(),
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
        probes: false,
        now,
        you: None,
        refused: None,
    }
}

/// Options without the extension messages.
pub(crate) fn plain() -> Options {
    Options {
        extensions: false,
        ..Options::default()
    }
}
