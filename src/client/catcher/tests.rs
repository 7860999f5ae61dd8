use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::{ConnectError, RawConnection, RawStream, ServerTrust, Target};
use super::*;
use crate::wire::{
    Body, BodyRefusal, ClientMessage, DialbackAck, EXTENSION_APP, ExtensionRequest, Nonce,
    ProbeMode, ResultCode, ServerMessage, Transport,
};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

const BOTH: [ProbeTransport; 2] = [ProbeTransport::Quic, ProbeTransport::Tcp];

fn catcher(transport: ProbeTransport) -> Catcher {
    Catcher::bind(loopback(), transport, &key(1)).unwrap()
}

fn dialback(catcher: &Catcher) -> Dialback {
    Dialback {
        nonce: Nonce::from_bytes([7; 16]),
        mode: ProbeMode::Canary,
        dialed: catcher.address(),
    }
}

fn target(address: SocketAddr, transport: ProbeTransport) -> Target {
    let target = Target::from((address, ServerTrust::Exact(key(1).public())));
    target.with_transport(match transport {
        ProbeTransport::Quic => Transport::Quic,
        ProbeTransport::Tcp => Transport::Tcp,
    })
}

async fn connect(catcher: &Catcher, transport: ProbeTransport) -> RawConnection {
    let target = target(catcher.address(), transport);
    RawConnection::connect(&target, Some(&key(2)), limits::CLIENT_TIMEOUT)
        .await
        .unwrap()
}

fn hello(apps: &[u32]) -> bytes::Bytes {
    let apps = apps.to_vec();
    ClientMessage::Hello { version: 0, apps }.encode()
}

async fn greeted(connection: &RawConnection, apps: &[u32]) -> (RawStream, Vec<u32>) {
    let mut stream = connection.open().await.unwrap();
    stream.send(hello(apps)).await.unwrap();
    match stream.receive().await.unwrap() {
        Some(ServerMessage::HelloAck {
            result: ResultCode::Success,
            version: 0,
            apps,
        }) => (stream, apps),
        other => panic!("{other:?}"),
    }
}

async fn reply(stream: &mut RawStream) -> bytes::Bytes {
    match stream.receive().await.unwrap() {
        Some(ServerMessage::Extension(reply)) => {
            assert_eq!((reply.kind, reply.request_id), (DialbackAck::KIND, 9));
            reply.body
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dialback_tells_who_dialed_and_where_and_is_acknowledged() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let said = dialback(&catcher);
        let connection = connect(&catcher, transport).await;
        let (mut stream, granted) = greeted(&connection, &[1, EXTENSION_APP]).await;
        assert_eq!(granted, [EXTENSION_APP]);
        stream.send(said.encode(9)).await.unwrap();
        let caught = catcher.next().await;
        assert_eq!(caught.remote.ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(caught.dst, Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(caught.dialer, Some(key(2).public()));
        assert_eq!(caught.dialback, said);
        let from = caught.remote;
        caught.ack();
        let ack = DialbackAck::decode(&reply(&mut stream).await).unwrap();
        assert_eq!(*ack.nonce_hash, said.nonce.hash());
        assert_eq!(ack.from, from);
    }
}

#[tokio::test]
async fn a_dialback_on_the_wildcard_address_tells_which_address_was_dialed() {
    for transport in BOTH {
        let any = (Ipv4Addr::UNSPECIFIED, 0).into();
        let mut catcher = Catcher::bind(any, transport, &key(1)).unwrap();
        let dialed = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 9).into(), catcher.port());
        let target = target(dialed, transport);
        let connecting = RawConnection::connect(&target, None, limits::CLIENT_TIMEOUT);
        let connection = connecting.await.unwrap();
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        stream.send(dialback(&catcher).encode(9)).await.unwrap();
        let caught = catcher.next().await;
        assert_eq!(caught.dst, Some(dialed.ip()));
        assert_eq!(caught.dialer, None);
    }
}

#[tokio::test]
async fn a_nonce_that_is_not_expected_is_refused_with_a_reason() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let connection = connect(&catcher, transport).await;
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        stream.send(dialback(&catcher).encode(9)).await.unwrap();
        catcher.next().await.reject();
        let refusal = BodyRefusal::decode(&reply(&mut stream).await).unwrap();
        assert_eq!(refusal.result, ResultCode::Invalid);
        assert!(!refusal.why.is_empty());
    }
}

#[tokio::test]
async fn a_dialback_that_nobody_answers_ends_without_an_answer() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let connection = connect(&catcher, transport).await;
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        stream.send(dialback(&catcher).encode(9)).await.unwrap();
        drop(catcher.next().await);
        assert!(!matches!(
            stream.receive().await,
            Ok(Some(ServerMessage::Extension(_)))
        ));
    }
}

#[tokio::test]
async fn a_dialback_that_does_not_decode_is_refused_and_not_handed_on() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let connection = connect(&catcher, transport).await;
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        let broken = ClientMessage::Extension(ExtensionRequest {
            kind: Dialback::KIND,
            request_id: 9,
            body: bytes::Bytes::from_static(&[0x80]),
        });
        stream.send(broken.encode()).await.unwrap();
        let refusal = BodyRefusal::decode(&reply(&mut stream).await).unwrap();
        assert_eq!(refusal.result, ResultCode::Invalid);
        assert!(catcher.caught.try_recv().is_err());
    }
}

#[tokio::test]
async fn whoever_says_something_else_is_dropped() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let greetings: [&[u8]; 3] = [
            &dialback(&catcher).encode(9),
            &[0xff; 64],
            &ServerMessage::Unrecognized.encode(),
        ];
        for greeting in greetings {
            let connection = connect(&catcher, transport).await;
            let mut stream = connection.open().await.unwrap();
            let greeting = bytes::Bytes::copy_from_slice(greeting);
            stream.send(greeting).await.unwrap();
            assert!(!matches!(stream.receive().await, Ok(Some(_))));
        }
        let connection = connect(&catcher, transport).await;
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        stream.send(hello(&[])).await.unwrap();
        assert_eq!(
            stream.receive().await.unwrap(),
            Some(ServerMessage::Unrecognized)
        );
        assert!(catcher.caught.try_recv().is_err());
    }
}

#[tokio::test]
async fn without_the_extension_messages_there_is_no_dialback() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let connection = connect(&catcher, transport).await;
        let (mut stream, granted) = greeted(&connection, &[1]).await;
        assert!(granted.is_empty());
        // The other end may be gone before this arrives.
        stream.send(dialback(&catcher).encode(9)).await.ok();
        assert!(!matches!(stream.receive().await, Ok(Some(_))));
        assert!(catcher.caught.try_recv().is_err());
    }
}

#[tokio::test]
async fn whoever_says_too_much_is_dropped() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let connection = connect(&catcher, transport).await;
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        let record = bytes::Bytes::from(vec![0; usize::from(limits::CATCHER_MAX_BYTES) + 1]);
        let submission = ClientMessage::Submission { record };
        stream.send(submission.encode()).await.ok();
        assert!(!matches!(stream.receive().await, Ok(Some(_))));
        assert!(catcher.caught.try_recv().is_err());
    }
}

#[tokio::test]
async fn more_dialers_than_it_listens_to_hear_nothing_until_one_is_gone() {
    for transport in BOTH {
        let mut catcher = catcher(transport);
        let mut silent = Vec::new();
        for _ in 0..limits::CATCHER_CONNECTIONS_MAX {
            let connection = connect(&catcher, transport).await;
            // An answer shows that the connection is listened to.
            let (stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
            silent.push((connection, stream));
        }
        let target = target(catcher.address(), transport);
        let short = std::time::Duration::from_millis(200);
        let refused = RawConnection::connect(&target, None, short).await;
        assert!(
            matches!(refused, Err(ConnectError::Timeout(_))),
            "{refused:?}"
        );
        silent.pop();
        let connection = connect(&catcher, transport).await;
        let (mut stream, _) = greeted(&connection, &[EXTENSION_APP]).await;
        stream.send(dialback(&catcher).encode(9)).await.unwrap();
        catcher.next().await.ack();
    }
}

#[tokio::test]
async fn a_dropped_catcher_gives_its_port_back() {
    let catcher = catcher(ProbeTransport::Quic);
    let address = catcher.address();
    let connection = connect(&catcher, ProbeTransport::Quic).await;
    drop(catcher);
    connection.quic().unwrap().closed().await;
    loop {
        match Catcher::bind(address, ProbeTransport::Quic, &key(1)) {
            Ok(again) => return assert_eq!(again.port(), address.port()),
            Err(CatcherError::Bind { source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
            }
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn both_families_can_be_caught() {
    for transport in BOTH {
        let any = (Ipv6Addr::LOCALHOST, 0).into();
        match Catcher::bind(any, transport, &key(1)) {
            Ok(catcher) => assert!(catcher.address().is_ipv6()),
            // A machine without IPv6 has nothing to show here.
            Err(error) => assert!(matches!(error, CatcherError::Bind { .. }), "{error}"),
        }
    }
}

/// Takes what is traced.
#[derive(Clone, Default)]
struct Traced(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_trace_does_not_tell_who_came_without_a_dial_back() {
    for transport in BOTH {
        let traced = Traced::default();
        let writer = traced.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("mosaicd::client::catcher=trace")
            .with_writer(move || writer.clone())
            .finish();
        let _tracing = tracing::subscriber::set_default(subscriber);
        let catcher = catcher(transport);
        drop(connect(&catcher, transport).await);
        let text = || String::from_utf8(traced.0.lock().unwrap().clone()).unwrap();
        let told = async {
            while !text().contains("no dial-back") {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(limits::CATCHER_TIMEOUT * 2, told).await;
        assert!(in_time.is_ok(), "{transport:?}: {}", text());
        assert!(!text().contains("127.0.0.1"), "{}", text());
    }
}
