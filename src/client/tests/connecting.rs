//! Who speaks to whom, and what a greeting can come to.

use std::time::Duration;

use bytes::Bytes;
use tokio::join;

use super::super::testing::{Listener, ServerStream};
use super::super::*;
use super::key;
use crate::base::limits;
use crate::identity::Peer;
use crate::wire::{ResultCode, ServerMessage};

#[tokio::test]
async fn each_side_learns_the_key_of_the_other() {
    let listener = Listener::new(1);
    let options = Options {
        identity: Some(key(2)),
        ..Options::default()
    };
    let (connection, (_, peer)) = join!(
        RawConnection::connect(&listener.target, options.identity.as_ref(), options.timeout),
        listener.accept(),
    );
    assert_eq!(peer.key(), Some(&key(2).public()));
    assert_eq!(connection.unwrap().server_key(), key(1).public());

    let any = Target::from((listener.address, ServerTrust::Any));
    let (connection, (_, peer)) = join!(
        RawConnection::connect(&any, None, options.timeout),
        listener.accept()
    );
    assert_eq!(peer, Peer::Anonymous);
    assert_eq!(connection.unwrap().server_key(), key(1).public());
}

#[tokio::test]
async fn a_server_with_another_key_is_not_spoken_to() {
    let listener = Listener::new(1);
    let target = Target::from((listener.address, ServerTrust::Exact(key(3).public())));
    let options = Options::default();
    let accepting = async {
        let incoming = listener.endpoint.accept().await.unwrap();
        assert!(incoming.await.is_err(), "no connection stands");
    };
    let (client, ()) = join!(Client::connect(&target, &options), accepting);
    let error = client.unwrap_err();
    let expected = key(3).public();
    assert!(
        matches!(error, ConnectError::WrongKey { expected: key, .. } if key == expected),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_address_where_nobody_listens_ends_in_a_timeout() {
    let closed = Listener::new(1);
    closed.endpoint.close(0_u32.into(), b"");
    let options = Options {
        timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let error = Client::connect(&closed.target, &options).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Timeout(_) | ConnectError::Handshake { .. }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_hello_tells_the_servers_code() {
    for closes in [false, true] {
        let listener = Listener::new(1);
        let serving = async {
            let (connection, _) = listener.accept().await;
            let mut stream = ServerStream::accept(&connection).await.unwrap();
            stream.receive().await.unwrap();
            let result = ResultCode::IpTemporarilyBanned;
            let answer = if closes {
                ServerMessage::Closing { result }
            } else {
                ServerMessage::HelloAck {
                    result,
                    version: 0,
                    apps: Vec::new(),
                }
            };
            stream.send(answer).await;
            connection.closed().await;
        };
        let options = Options::default();
        let connecting = async {
            let error = Client::connect(&listener.target, &options)
                .await
                .unwrap_err();
            let expected = ResultCode::IpTemporarilyBanned;
            assert!(
                matches!(error, ConnectError::Refused(code) if code == expected),
                "{error:?}"
            );
        };
        join!(connecting, serving);
    }
}

#[tokio::test]
async fn a_version_that_was_not_offered_is_a_fault_of_the_server() {
    let listener = Listener::new(1);
    let serving = async {
        let (connection, _) = listener.accept().await;
        let mut stream = ServerStream::accept(&connection).await.unwrap();
        let ack = ServerMessage::HelloAck {
            result: ResultCode::Success,
            version: 1,
            apps: Vec::new(),
        };
        stream.send(ack).await;
        connection.closed().await;
    };
    let options = Options::default();
    let connecting = async {
        let error = Client::connect(&listener.target, &options)
            .await
            .unwrap_err();
        let end = StreamEnd::Fault(ServerFault::Version(1));
        assert_eq!(error.to_string(), ConnectError::Greeting(end).to_string());
    };
    join!(connecting, serving);
}

#[tokio::test]
async fn a_raw_stream_sends_bytes_as_they_are_and_brings_messages() {
    let listener = Listener::new(1);
    let patience = limits::CLIENT_TIMEOUT;
    let (connection, (server, _)) = join!(
        RawConnection::connect(&listener.target, None, patience),
        listener.accept()
    );
    let connection = connection.unwrap();
    let mut stream = connection.open().await.unwrap();
    stream
        .send(Bytes::from_static(b"\xff no message"))
        .await
        .unwrap();
    stream.finish();
    let (mut send, mut receive) = server.accept_bi().await.unwrap();
    assert_eq!(receive.read_to_end(100).await.unwrap(), b"\xff no message");
    let closing = ServerMessage::Closing {
        result: ResultCode::Invalid,
    };
    send.write_chunk(closing.encode()).await.unwrap();
    send.finish().unwrap();
    assert_eq!(stream.receive().await.unwrap(), Some(closing));
    assert_eq!(stream.receive().await.unwrap(), None);
}
