//! The listener over TCP on this machine.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::base::limits::{STREAM_OUTBOX_BYTES, TCP_HANDSHAKES_MAX};
use crate::identity::{Channel, ServerTrust, client_tls};
use crate::net::probing::testing::Told;
use crate::net::testing::{Behind, ID, hello, kind, records, soon, until};
use crate::net::{Control, Listener, NetError, Services, Socket};
use crate::policy::{Ban, RateRules};
use crate::wire::{
    ClientMessage, Direction, Filter, FilterBuilder, Frame, FrameReader, ProbeTransport, Record,
    ResultCode, SecretKey, ServerMessage,
};

use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A listener that runs on one TCP and one QUIC socket.
struct Running {
    behind: Behind,
    tcp: SocketAddr,
    quic: SocketAddr,
    control: Control,
    task: JoinHandle<Result<(), NetError>>,
    server: Identity,
}

impl Running {
    fn start(connections_max: usize) -> Self {
        let behind = Behind::new();
        let services = Services {
            connections_max,
            operator: None,
            ..behind.services()
        };
        let socket = |transport| Socket {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            transport,
            settings: Arc::clone(&behind.settings),
            local_settings: None,
        };
        let sockets = [socket(ProbeTransport::Tcp), socket(ProbeTransport::Quic)];
        let server = Identity::new(SecretKey::generate());
        let listener = Listener::bind(&sockets, &server, services).unwrap();
        let addresses: Vec<_> = listener.addresses().collect();
        Self {
            behind,
            tcp: addresses[0],
            quic: addresses[1],
            control: listener.control(),
            task: tokio::spawn(listener.run()),
            server,
        }
    }

    async fn connect(&self, client: Option<&Identity>) -> Peer {
        self.try_connect(client).await.unwrap()
    }

    async fn try_connect(
        &self,
        client: Option<&Identity>,
    ) -> Result<Peer, crate::identity::ChannelError> {
        let trust = ServerTrust::Exact(self.server.public());
        let config = Arc::new(client_tls(trust, client).unwrap());
        let socket = soon(TcpStream::connect(self.tcp)).await.unwrap();
        Ok(Peer {
            address: socket.local_addr().unwrap(),
            channel: soon(Channel::connect(socket, config)).await?,
            frames: FrameReader::new(Direction::ToClient),
        })
    }

    /// A client to whom HELLO was answered.
    async fn greeted(&self) -> Peer {
        let mut peer = self.connect(None).await;
        peer.greet().await;
        peer
    }

    /// Waits until as many connections are gone as came.
    async fn all_gone(&self) {
        until(|| {
            let told = self.behind.probing.told();
            let is_gone = |it: &&Told| matches!(it, Told::Disconnected(_));
            told.len() == 2 * told.iter().filter(is_gone).count()
        })
        .await;
    }

    async fn stop(self) {
        self.control.shutdown();
        soon(self.task).await.unwrap().unwrap();
    }
}

/// A client's end.
struct Peer {
    channel: Channel,
    address: SocketAddr,
    frames: FrameReader,
}

impl Peer {
    async fn greet(&mut self) {
        self.send(&hello()).await;
        let answer = self.next().await;
        assert!(
            matches!(answer, Some(ServerMessage::HelloAck { .. })),
            "{answer:?}"
        );
    }

    async fn send(&self, message: &ClientMessage) {
        self.send_bytes(message.encode()).await;
    }

    async fn send_bytes(&self, bytes: Bytes) {
        let mut chunks = [bytes];
        while !chunks[0].is_empty() {
            soon(self.channel.write(&mut chunks)).await.unwrap();
        }
        soon(self.channel.flush()).await.unwrap();
    }

    /// The next message; `None` where the server ended the connection in order.
    async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            if let Some(Frame::Message(message)) = self.frames.next().unwrap() {
                return Some(ServerMessage::parse(&message).unwrap());
            }
            let bytes = soon(self.channel.read()).await.unwrap();
            if bytes.is_empty() {
                return None;
            }
            self.frames.push(bytes);
        }
    }

    /// The records of the query or subscription, until it is closed or complete.
    async fn records(&mut self) -> Vec<Bytes> {
        let mut records = Vec::new();
        loop {
            match self.next().await.unwrap() {
                ServerMessage::Record { record, .. } => records.push(record),
                ServerMessage::LocallyComplete { .. } => {}
                ServerMessage::QueryClosed { .. } => return records,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn filter() -> Filter {
    FilterBuilder::new().kinds([kind()]).build().unwrap()
}

fn query() -> ClientMessage {
    ClientMessage::Query {
        id: ID,
        limit: 0,
        filter: filter(),
    }
}

fn submission(record: &Record) -> ClientMessage {
    ClientMessage::Submission {
        record: record.bytes().clone(),
    }
}

/// The records as a query brings them, newest first.
fn newest_first(records: &[Record]) -> Vec<Bytes> {
    let records = records.iter().rev();
    records.map(|record| record.bytes().clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_session_is_spoken_as_over_quic() {
    let running = Running::start(10);
    let all = records(3, 10);
    running.behind.put(&all[..2]);
    let mut peer = running.greeted().await;
    peer.send(&query()).await;
    assert_eq!(peer.records().await, newest_first(&all[..2]));

    let subscribe = ClientMessage::Subscribe {
        id: ID,
        limit: 1,
        filter: filter(),
    };
    peer.send(&subscribe).await;
    assert!(matches!(
        peer.next().await,
        Some(ServerMessage::Record { .. })
    ));
    assert!(matches!(
        peer.next().await,
        Some(ServerMessage::LocallyComplete { .. })
    ));
    running.behind.put(&all[2..]);
    let record = all[2].bytes().clone();
    assert_eq!(
        peer.next().await,
        Some(ServerMessage::Record { id: ID, record })
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_told_of_with_its_key_when_it_comes_and_once_when_it_goes() {
    let running = Running::start(10);
    let known = Identity::new(SecretKey::generate());
    let mut peer = running.connect(Some(&known)).await;
    peer.greet().await;
    assert_eq!(
        *running.behind.ingest.greeted.lock().unwrap(),
        [known.public()]
    );
    let came = Told::Connected(0, peer.address, Some(LOCAL));
    assert_eq!(running.behind.probing.told(), std::slice::from_ref(&came));
    peer.channel.finish();
    assert_eq!(peer.next().await, None);
    running.all_gone().await;
    assert_eq!(
        running.behind.probing.told(),
        [came, Told::Disconnected(LOCAL)]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_leaves_nothing_behind() {
    let running = Running::start(10);
    for is_abrupt in [false, true] {
        let mut peer = running.greeted().await;
        let subscribe = ClientMessage::Subscribe {
            id: ID,
            limit: 0,
            filter: filter(),
        };
        peer.send(&subscribe).await;
        let complete = peer.next().await;
        assert!(
            matches!(complete, Some(ServerMessage::LocallyComplete { .. })),
            "{complete:?}"
        );
        assert!(!running.behind.fanout.is_empty());
        if is_abrupt {
            // Without a word inside TLS.
            drop(peer);
        } else {
            peer.channel.close();
            peer.channel.forsake();
            drop(peer);
        }
        until(|| running.behind.fanout.is_empty()).await;
        running.all_gone().await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_is_answered_to_a_client_that_has_finished_its_own_half() {
    let running = Running::start(10);
    let all = records(20, 1_000);
    running.behind.put(&all);
    let mut peer = running.greeted().await;
    peer.send(&query()).await;
    peer.channel.finish();
    assert_eq!(peer.records().await, newest_first(&all));
    assert_eq!(peer.next().await, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_not_cut_off_and_misses_nothing() {
    let running = Running::start(10);
    let all = records(400, 40_000);
    running.behind.put(&all);
    let bytes: usize = all.iter().map(|record| record.bytes().len()).sum();
    assert!(bytes > 8 * (limits::TCP_BUFFER_BYTES + STREAM_OUTBOX_BYTES));
    let mut peer = running.greeted().await;
    peer.send(&query()).await;
    // While it does not read, others are served.
    let mut other = running.greeted().await;
    other.send(&query()).await;
    assert_eq!(other.records().await.len(), all.len());
    assert!(peer.records().await == newest_first(&all));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_records_of_one_byte_is_read_as_one() {
    let running = Running::start(10);
    let mut peer = running.connect(None).await;
    let record = &records(1, 30)[0];
    let messages = [hello().encode(), submission(record).encode()].concat();
    for byte in messages {
        peer.send_bytes(Bytes::copy_from_slice(&[byte])).await;
    }
    let ack = peer.next().await;
    assert!(
        matches!(ack, Some(ServerMessage::HelloAck { .. })),
        "{ack:?}"
    );
    let accepted = ServerMessage::SubmissionResult {
        result: ResultCode::Accepted,
        id_prefix: record.id().prefix().0,
    };
    assert_eq!(peer.next().await, Some(accepted));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_cut_off_anywhere_is_not_carried_out() {
    let running = Running::start(10);
    let message = submission(&records(1, 30)[0]).encode();
    for cut in 0..message.len() {
        let mut peer = running.greeted().await;
        peer.send_bytes(message.slice(..cut)).await;
        // In order or without a word: neither makes it whole.
        if cut % 2 == 0 {
            peer.channel.finish();
            while peer.next().await.is_some() {}
        } else {
            peer.channel.abort();
        }
        running.all_gone().await;
    }
    let mut peer = running.greeted().await;
    peer.send(&query()).await;
    assert_eq!(peer.records().await, Vec::<Bytes>::new());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_listener_says_so_and_ends_every_connection_in_order() {
    let running = Running::start(10);
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(running.greeted().await);
    }
    running.control.shutdown();
    let result = ResultCode::ShuttingDown;
    for peer in &mut peers {
        assert_eq!(peer.next().await, Some(ServerMessage::Closing { result }));
        assert_eq!(peer.next().await, None);
        peer.channel.close();
    }
    let address = running.tcp;
    running.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_the_protocol_hears_why_before_its_connection_is_closed() {
    let running = Running::start(10);
    let mut peer = running.connect(None).await;
    peer.send_bytes(Bytes::from_static(&[0x04, 8, 0, 0, 1, 0, 0, 0]))
        .await;
    // What it sends beside must not take the answer back.
    peer.send_bytes(vec![0; 200_000].into()).await;
    let result = ResultCode::Invalid;
    assert_eq!(peer.next().await, Some(ServerMessage::Closing { result }));
    assert_eq!(peer.next().await, None);
    peer.channel.close();
    running.all_gone().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_is_closed_until_another_one_ends() {
    let running = Running::start(1);
    let first = running.greeted().await;
    assert!(running.try_connect(None).await.is_err());
    first.channel.close();
    soon(async {
        while running.try_connect(None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_say_nothing_hold_up_neither_quic_nor_for_good_tcp() {
    let running = Running::start(1_000);
    let mut silent = Vec::new();
    for _ in 0..TCP_HANDSHAKES_MAX {
        silent.push(TcpStream::connect(running.tcp).await.unwrap());
    }
    // The connections are accepted in order, so this one comes after all of them.
    let mut one_more = TcpStream::connect(running.tcp).await.unwrap();
    let closed = soon(one_more.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

    let client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let trust = ServerTrust::Exact(running.server.public());
    let crypto = crate::identity::client_crypto(trust, None).unwrap();
    let config = quinn::ClientConfig::new(crypto);
    let name = crate::identity::TLS_NAME;
    let connecting = client.connect_with(config, running.quic, name).unwrap();
    soon(connecting).await.unwrap();

    drop(silent);
    soon(async {
        while running.try_connect(None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let behind = Behind::new();
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let server = Identity::new(SecretKey::generate());
    let socket = Socket {
        address,
        transport: ProbeTransport::Tcp,
        settings: Arc::clone(&behind.settings),
        local_settings: None,
    };
    let bound = Listener::bind(&[socket], &server, behind.services());
    assert!(matches!(bound, Err(NetError::Bind { address: named, .. }) if named == address));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banned_address_is_told_so_over_tcp_and_a_ban_closes_what_is_open() {
    let running = Running::start(10);
    let mut open = running.greeted().await;
    let bans = &running.behind.admission.bans;
    let ban = Ban {
        target: "127.0.0.1".parse().unwrap(),
        until: None,
        why: String::new(),
    };
    assert!(bans.set(ban));
    running.control.enforce_bans();
    let result = ResultCode::IpPermanentlyBanned;
    let closing = Some(ServerMessage::Closing { result });
    assert_eq!(open.next().await, closing);
    let mut late = running.connect(None).await;
    late.send(&hello()).await;
    assert_eq!(late.next().await, closing);
    assert_eq!(late.next().await, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_tcp_are_closed_at_once_where_one_address_begins_too_many() {
    let running = Running::start(10);
    running.behind.admission.rates.set(RateRules {
        handshakes_per_second: 1,
        ..RateRules::NONE
    });
    let mut refused = 0;
    for _ in 0..10 {
        refused += u32::from(running.try_connect(None).await.is_err());
    }
    // A slow machine may take a second or two for all of them.
    assert!(refused >= 4, "{refused}");
    running.stop().await;
}
