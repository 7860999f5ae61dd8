//! What the tests of reachability are told of connections.

use super::*;
use crate::identity::PeerKey;
use crate::net::probing::testing::Told;
use crate::net::{Answers, Newcomers, Records};
use crate::wire::{Body as _, Dialback, DialbackAck, Nonce, ProbeMode, ProbeRequest, Redeem};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn probe() -> ProbeRequest {
    ProbeRequest {
        nonce: Nonce::from_bytes([5; 16]),
        port: 1320,
        mode: ProbeMode::Direct,
        own: None,
        pad: Vec::new().into(),
        transport: ProbeTransport::Quic,
        asked: None,
        avoid: Vec::new(),
    }
}

impl Running {
    fn client_address(&self) -> SocketAddr {
        self.client.local_addr().unwrap()
    }

    fn told(&self) -> Vec<Told> {
        self.behind.probing.told()
    }

    /// Waits until as many connections are gone as came.
    async fn all_gone(&self) {
        until(|| {
            let told = self.told();
            let count = |is: fn(&Told) -> bool| told.iter().filter(|it| is(it)).count();
            let came = count(|it| matches!(it, Told::Connected(..)));
            came > 0 && came == count(|it| matches!(it, Told::Disconnected(_)))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_told_of_when_it_comes_and_once_when_it_goes() {
    let running = Running::start(10);
    let client = running.client_address();
    let quic = running.connect(None).await.unwrap();
    let (_, _stream) = greet(&quic).await;
    let came = Told::Connected(0, client, Some(LOCAL));
    assert_eq!(running.told(), std::slice::from_ref(&came));
    quic.close(0_u32.into(), b"");
    running.all_gone().await;
    assert_eq!(running.told(), [came, Told::Disconnected(LOCAL)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ask_bears_how_its_peer_came_in() {
    let running = Running::start(10);
    *running.behind.probing.is_cold.lock().unwrap() = true;
    let known = Identity::new(SecretKey::generate());
    let quic = running.connect(Some(&known)).await.unwrap();
    let mut stream = greet_extension(&quic).await;
    stream.send(probe().encode(1)).await;
    let (arrival, ..) = running.behind.probing.next().await;
    assert_eq!(arrival.socket, 0);
    assert_eq!(arrival.transport, ProbeTransport::Quic);
    assert_eq!(arrival.remote, running.client_address());
    assert_eq!(arrival.local_ip, Some(LOCAL));
    assert_eq!(arrival.peer.key(), Some(&known.public()));
    assert!(arrival.is_cold);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialback_is_acknowledged_with_the_address_that_the_dialer_came_from() {
    let running = Running::start(10);
    let quic = running.connect(None).await.unwrap();
    let mut stream = greet_extension(&quic).await;
    let dialback = Dialback {
        nonce: Nonce::from_bytes([5; 16]),
        mode: ProbeMode::Direct,
        dialed: running.addresses[0],
    };
    stream.send(dialback.encode(1)).await;
    let Some(ServerMessage::Extension(reply)) = stream.next().await else {
        panic!("no reply");
    };
    let ack = DialbackAck::decode(&reply.body).unwrap();
    assert_eq!(ack.from, running.client_address());
    assert_eq!(*ack.nonce_hash, dialback.nonce.hash());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_moved_is_told_of_and_keeps_the_address_it_proved() {
    let running = Running::start(10);
    let proved = running.client_address();
    let quic = running.connect(None).await.unwrap();
    let mut stream = greet_extension(&quic).await;
    let elsewhere = UdpSocket::bind((OTHER, 0)).unwrap();
    running.client.rebind(elsewhere).unwrap();
    stream.send(probe().encode(1)).await;
    let (arrival, ..) = running.behind.probing.next().await;
    assert_eq!(arrival.remote, proved);
    quic.close(0_u32.into(), b"");
    running.all_gone().await;
    let told = running.told();
    let expected = [Told::Moved(LOCAL, OTHER), Told::Disconnected(LOCAL)];
    assert_eq!(told[1..], expected);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_dropped_in_the_middle_is_gone() {
    let running = Running::start(10);
    let quic = running.connect(None).await.unwrap();
    let (_, _stream) = greet(&quic).await;
    running.task.abort();
    running.all_gone().await;
    assert_eq!(running.told().last(), Some(&Told::Disconnected(LOCAL)));
}

/// Panics in the task of a stream.
struct Panics;

impl Newcomers for Panics {
    fn greeted(&self, _: PeerKey, _: IpAddr) {
        panic!("as the test wants");
    }

    fn redeem(&self, _: PeerKey, _: Redeem, _: Answers) {}
    fn may_register(&self, _: PeerKey) -> bool {
        false
    }

    fn register(&self, _: PeerKey, _: IpAddr) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_which_a_stream_panics_is_gone_once_and_the_listener_goes_on() {
    let behind = Behind::new();
    let services = behind.services();
    let records = Records {
        newcomers: Arc::new(Panics),
        ..services.records.unwrap()
    };
    let services = Services {
        records: Some(records),
        ..behind.services()
    };
    let sockets = [socket(&behind.settings)];
    let running = Running::with(behind, &sockets, services);
    let known = Identity::new(SecretKey::generate());
    let panicked = running.connect(Some(&known)).await.unwrap();
    let (mut send, _receive) = panicked.open_bi().await.unwrap();
    send.write_chunk(hello().encode()).await.unwrap();
    running.all_gone().await;
    assert_eq!(running.told().len(), 2);
    soon(panicked.closed()).await;
    let quic = running.connect(None).await.unwrap();
    greet(&quic).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_listener_has_reported_every_connection_gone_when_it_has_stopped() {
    let running = Running::start(10);
    let mut connections = Vec::new();
    for _ in 0..5 {
        let quic = running.connect(None).await.unwrap();
        drop(greet(&quic).await);
        connections.push(quic);
    }
    let probing = Arc::clone(&running.behind.probing);
    running.stop().await;
    let gone = Told::Disconnected(LOCAL);
    let told = probing.told();
    assert_eq!(told.iter().filter(|it| **it == gone).count(), 5);
    drop(connections);
}
