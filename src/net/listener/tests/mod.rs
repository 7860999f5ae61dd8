//! The listener over UDP on this machine.

mod admission;
mod arrivals;
mod sockets;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::super::quic::error_code;
use super::super::testing::{Behind, hello, hello_extension, soon, until};
use super::*;
use crate::base::limits::{ANONYMOUS_STREAMS_MAX, KNOWN_STREAMS_MAX};
use crate::identity::{ServerTrust, TLS_NAME, client_crypto};
use crate::wire::{
    ClientMessage, Direction, Frame, FrameReader, ResultCode, SecretKey, ServerMessage,
};

/// A listener that runs, and a client's endpoint beside it.
struct Running {
    behind: Behind,
    addresses: Vec<SocketAddr>,
    control: Control,
    task: JoinHandle<Result<(), NetError>>,
    server: Identity,
    client: Endpoint,
}

impl Running {
    fn start(connections_max: usize) -> Self {
        let behind = Behind::new();
        let services = Services {
            connections_max,
            operator: None,
            ..behind.services()
        };
        let sockets = [socket(&behind.settings)];
        Self::with(behind, &sockets, services)
    }

    fn with(behind: Behind, sockets: &[Socket], services: Services) -> Self {
        let server = Identity::new(SecretKey::generate());
        let listener = Listener::bind(sockets, &server, services).unwrap();
        Self {
            behind,
            addresses: listener.addresses().collect(),
            control: listener.control(),
            task: tokio::spawn(listener.run()),
            server,
            client: Endpoint::client(ANY_PORT).unwrap(),
        }
    }

    async fn connect(
        &self,
        client: Option<&Identity>,
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        self.connect_to(0, client).await
    }

    /// Connects to the socket in that place.
    async fn connect_to(
        &self,
        socket: usize,
        client: Option<&Identity>,
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        let trust = ServerTrust::Exact(self.server.public());
        let crypto = client_crypto(trust, client).unwrap();
        let config = quinn::ClientConfig::new(crypto);
        let address = self.addresses[socket];
        let connecting = self.client.connect_with(config, address, TLS_NAME);
        soon(connecting.unwrap()).await
    }

    async fn stop(self) {
        self.control.shutdown();
        soon(self.task).await.unwrap().unwrap();
    }
}

/// A QUIC socket on a port of the system's choice, with these settings.
fn socket(settings: &Arc<Settings>) -> Socket {
    Socket {
        address: ANY_PORT,
        transport: ProbeTransport::Quic,
        settings: Arc::clone(settings),
        local_settings: None,
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Opens a stream, says HELLO, and returns the answer and the stream.
async fn greet(quic: &quinn::Connection) -> (ServerMessage, ClientStream) {
    greet_with(quic, &hello()).await
}

/// Opens a stream on which the extension set is granted.
async fn greet_extension(quic: &quinn::Connection) -> ClientStream {
    greet_with(quic, &hello_extension()).await.1
}

async fn greet_with(
    quic: &quinn::Connection,
    hello: &ClientMessage,
) -> (ServerMessage, ClientStream) {
    let (send, receive) = soon(quic.open_bi()).await.unwrap();
    let mut stream = ClientStream {
        send,
        receive,
        frames: FrameReader::new(Direction::ToClient),
    };
    stream.send(hello.encode()).await;
    let answer = stream.next().await.unwrap();
    (answer, stream)
}

/// A client's stream.
struct ClientStream {
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    frames: FrameReader,
}

impl ClientStream {
    async fn send(&mut self, bytes: Bytes) {
        self.send.write_chunk(bytes).await.unwrap();
    }

    async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            if let Some(Frame::Message(message)) = self.frames.next().unwrap() {
                return Some(ServerMessage::parse(&message).unwrap());
            }
            let chunk = soon(self.receive.read_chunk(usize::MAX, true))
                .await
                .unwrap()?;
            self.frames.push(chunk.bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_and_known_clients_are_served_at_once() {
    let running = Running::start(10);
    let known = Identity::new(SecretKey::generate());
    let first = running.connect(None).await.unwrap();
    let second = running.connect(Some(&known)).await.unwrap();
    for quic in [&first, &second] {
        let (answer, _stream) = greet(quic).await;
        assert!(
            matches!(answer, ServerMessage::HelloAck { .. }),
            "{answer:?}"
        );
    }
    assert_eq!(
        *running.behind.ingest.greeted.lock().unwrap(),
        [known.public()]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_showed_a_key_may_open_more_streams() {
    let running = Running::start(10);
    let known = Identity::new(SecretKey::generate());
    for (client, expected) in [
        (None, ANONYMOUS_STREAMS_MAX),
        (Some(&known), KNOWN_STREAMS_MAX),
    ] {
        let quic = running.connect(client).await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..expected {
            streams.push(greet(&quic).await.1);
        }
        tokio::select! {
            biased;
            _ = quic.open_bi() => panic!("more than {expected}"),
            () = async { drop(greet_again(&mut streams).await) } => {}
        }
    }
    running.stop().await;
}

/// A round trip on an open stream, in which a further credit for streams would have arrived.
async fn greet_again(streams: &mut [ClientStream]) -> Option<ServerMessage> {
    let stream = streams.first_mut().unwrap();
    stream.send.write_chunk(hello().encode()).await.unwrap();
    stream.next().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_address_that_proved_nothing_is_asked_for_the_proof_and_nothing_else() {
    let running = Running::start(10);
    // The client's first packet is caught on its way, and sent on from another address.
    let catcher = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let trust = ServerTrust::Exact(running.server.public());
    let config = quinn::ClientConfig::new(client_crypto(trust, None).unwrap());
    let target = catcher.local_addr().unwrap();
    let connecting = running
        .client
        .connect_with(config, target, TLS_NAME)
        .unwrap();
    let caught = tokio::task::spawn_blocking(move || {
        let mut packet = vec![0; 2_000];
        let length = catcher.recv(&mut packet).unwrap();
        packet.truncate(length);
        packet
    });
    let first_packet = soon(caught).await.unwrap();
    drop(connecting);
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stranger
        .send_to(&first_packet, running.addresses[0])
        .unwrap();
    let answered = tokio::task::spawn_blocking(move || {
        let mut packet = vec![0; 2_000];
        let length = stranger.recv(&mut packet).unwrap();
        packet.truncate(length);
        packet
    });
    let answer = soon(answered).await.unwrap();
    // RFC 9000 section 17.2.5: a long header of type 3.
    assert_eq!(answer[0] & 0xf0, 0xf0, "a Retry packet");
    assert!(
        answer.len() < 200,
        "smaller than what was asked: {}",
        answer.len()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_is_refused_until_another_one_ends() {
    let running = Running::start(1);
    let first = running.connect(None).await.unwrap();
    drop(greet(&first).await);
    let refused = running.connect(None).await.unwrap_err();
    assert!(
        matches!(refused, quinn::ConnectionError::ConnectionClosed(_)),
        "{refused}"
    );
    first.close(0_u32.into(), b"");
    soon(async {
        while running.connect(None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_listener_tells_every_stream_and_then_closes_the_connection() {
    let running = Running::start(10);
    let quic = running.connect(None).await.unwrap();
    let (_, mut first) = greet(&quic).await;
    let (_, mut second) = greet(&quic).await;
    running.control.shutdown();
    let result = ResultCode::ShuttingDown;
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.next().await, Some(ServerMessage::Closing { result }));
    }
    match soon(quic.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code, error_code(result));
        }
        other => panic!("{other}"),
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_the_protocol_hears_why_before_its_connection_is_closed() {
    let running = Running::start(10);
    let quic = running.connect(None).await.unwrap();
    let (mut send, receive) = soon(quic.open_bi()).await.unwrap();
    send.write_chunk(Bytes::from_static(&[0x04, 8, 0, 0, 1, 0, 0, 0]))
        .await
        .unwrap();
    let mut stream = ClientStream {
        send,
        receive,
        frames: FrameReader::new(Direction::ToClient),
    };
    let result = ResultCode::Invalid;
    assert_eq!(stream.next().await, Some(ServerMessage::Closing { result }));
    let closed = soon(quic.closed()).await;
    assert!(
        matches!(closed, quinn::ConnectionError::ApplicationClosed(_)),
        "{closed}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_leaves_nothing_behind() {
    let running = Running::start(10);
    let quic = running.connect(None).await.unwrap();
    let (_, mut stream) = greet(&quic).await;
    let subscribe = crate::wire::ClientMessage::Subscribe {
        id: crate::wire::QueryId(1),
        limit: 0,
        filter: crate::wire::FilterBuilder::new().build().unwrap(),
    };
    stream.send.write_chunk(subscribe.encode()).await.unwrap();
    let complete = stream.next().await;
    assert!(
        matches!(complete, Some(ServerMessage::LocallyComplete { .. })),
        "{complete:?}"
    );
    assert!(!running.behind.fanout.is_empty());
    quic.close(0_u32.into(), b"");
    until(|| running.behind.fanout.is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let behind = Behind::new();
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let server = Identity::new(SecretKey::generate());
    let socket = Socket {
        address,
        ..socket(&behind.settings)
    };
    let bound = Listener::bind(&[socket], &server, behind.services());
    assert!(matches!(bound, Err(NetError::Bind { address: named, .. }) if named == address));
    let bound = Listener::bind(&[], &server, behind.services());
    assert!(matches!(bound, Err(NetError::NoAddress)));
}
