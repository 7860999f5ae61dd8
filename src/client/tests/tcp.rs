//! The same client over TCP, where every stream is a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use tokio::join;

use super::super::testing::{Table, TcpListener, plain};
use super::super::*;
use super::{chats, key, record, records};
use crate::base::limits;
use crate::identity::{ChannelError, Peer};
use crate::wire::{ClientMessage, ResultCode, ServerMessage, Transport};

#[tokio::test]
async fn each_side_learns_the_key_of_the_other() {
    let listener = TcpListener::new(1).await;
    for (identity, trust) in [
        (Some(key(2)), ServerTrust::Exact(key(1).public())),
        (None, ServerTrust::Any),
    ] {
        let target = Target::from((listener.address, trust)).with_transport(Transport::Tcp);
        let patience = limits::CLIENT_TIMEOUT;
        let (connection, (_stream, peer)) = join!(
            RawConnection::connect(&target, identity.as_ref(), patience),
            listener.accept()
        );
        let public = identity.map(|identity| identity.public());
        assert_eq!(peer.key(), public.as_ref());
        let connection = connection.unwrap();
        assert_eq!(connection.server_key(), key(1).public());
        assert_eq!(connection.remote_address(), listener.address);
        assert_eq!(connection.local_ip(), Some(Ipv4Addr::LOCALHOST.into()));
        assert!(connection.quic().is_none());
    }
}

#[tokio::test]
async fn a_server_with_another_key_is_not_spoken_to() {
    let listener = TcpListener::new(1).await;
    let expected = key(3).public();
    let trust = ServerTrust::Exact(expected);
    let target = Target::from((listener.address, trust)).with_transport(Transport::Tcp);
    let options = Options::default();
    let (client, accepted) = join!(Client::connect(&target, &options), listener.try_accept());
    let error = client.unwrap_err();
    assert!(
        matches!(error, ConnectError::WrongKey { expected: key, .. } if key == expected),
        "{error:?}"
    );
    let error = accepted.map(|_| ()).unwrap_err();
    assert!(matches!(error, ChannelError::Handshake(_)), "{error:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_at_once() {
    let listener = TcpListener::new(1).await;
    let target = listener.target.clone();
    drop(listener);
    let error = Client::connect(&target, &Options::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unreachable { source, .. }
            if source.kind() == std::io::ErrorKind::ConnectionRefused),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_not_spoken_to() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    let target = Target::from((address, ServerTrust::Any)).with_transport(Transport::Tcp);
    let serving = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut socket, answer)
            .await
            .unwrap();
        socket
    };
    let options = Options::default();
    let (client, _socket) = join!(Client::connect(&target, &options), serving);
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Channel { .. }), "{error:?}");
}

#[tokio::test]
async fn the_connection_comes_from_the_address_that_was_asked_for() {
    let listener = TcpListener::new(1).await;
    let from: IpAddr = Ipv4Addr::new(127, 0, 0, 9).into();
    let patience = limits::CLIENT_TIMEOUT;
    let connecting = RawConnection::connect_from(&listener.target, None, Some(from), patience);
    let (connection, _accepted) = join!(connecting, listener.accept());
    assert_eq!(connection.unwrap().local_ip(), Some(from));

    let from = Some(Ipv6Addr::LOCALHOST.into());
    let connecting = RawConnection::connect_from(&listener.target, None, from, patience);
    let error = connecting.await.unwrap_err();
    assert!(
        matches!(error, ConnectError::NoAddressFor { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_raw_connection_has_one_stream() {
    let listener = TcpListener::new(1).await;
    let patience = limits::CLIENT_TIMEOUT;
    let (connection, (mut server, _)) = join!(
        RawConnection::connect(&listener.target, None, patience),
        listener.accept()
    );
    let connection = connection.unwrap();
    let mut stream = connection.open().await.unwrap();
    let error = connection.open().await.unwrap_err();
    assert!(matches!(error, RequestError::OneStream), "{error:?}");

    let hello = ClientMessage::Hello {
        version: 0,
        apps: Vec::new(),
    };
    stream.send(hello.encode()).await.unwrap();
    stream.finish();
    assert_eq!(server.receive().await.unwrap(), Some(hello));
    assert_eq!(server.receive().await.unwrap(), None);
    // The other half goes on until the server ends it.
    let closing = ServerMessage::Closing {
        result: ResultCode::Invalid,
    };
    server.send(closing.clone()).await;
    server.send.finish();
    assert_eq!(stream.receive().await.unwrap(), Some(closing));
    assert_eq!(stream.receive().await.unwrap(), None);
}

#[tokio::test]
async fn requests_go_on_further_connections_and_submissions_on_the_first() {
    let listener = TcpListener::new(1).await;
    let (small, all) = (record(b"x"), records(50, &[7; 40_000]));
    let serving = async {
        let mut main = listener.greet(&[]).await;
        let submitted = main.receive().await.unwrap().unwrap();
        let record = small.bytes().clone();
        assert_eq!(submitted, ClientMessage::Submission { record });
        let result = ServerMessage::SubmissionResult {
            result: ResultCode::Accepted,
            id_prefix: small.id().prefix().0,
        };
        main.send(result).await;
        let mut query = listener.greet(&[]).await;
        let id = query.receive_query().await;
        for record in &all {
            query.send_record(id, record).await;
        }
        query.close_query(id, ResultCode::Success).await;
        (main, query)
    };
    let asking = async {
        let client = Client::connect(&listener.target, &plain()).await.unwrap();
        let result = client.submit(&small).await.unwrap();
        assert_eq!(result, ResultCode::Accepted);
        let results = client.query(chats(), 0).await.unwrap();
        let (came, result) = results.collect().await.unwrap();
        assert_eq!(result, ResultCode::Success);
        assert_eq!(came, all);
        client
    };
    let (client, (mut main, mut query)) = join!(asking, serving);
    client.close().await;
    assert_eq!(main.receive().await.unwrap(), None, "an orderly end");
    assert_eq!(query.receive().await.unwrap(), None, "an orderly end");
    let error = client.query(chats(), 0).await.unwrap_err();
    assert!(
        matches!(error, RequestError::End(StreamEnd::Dropped)),
        "{error:?}"
    );
}

#[tokio::test]
async fn closing_wakes_whoever_waits_on_any_of_the_connections() {
    let listener = TcpListener::new(1).await;
    let (options, filter) = (plain(), chats());
    let (client, main) = join!(
        Client::connect(&listener.target, &options),
        listener.greet(&[])
    );
    let client = client.unwrap();
    let (subscription, further) = join!(client.subscribe(filter, 0), listener.greet(&[]));
    let mut subscription = subscription.unwrap();
    let (end, ()) = join!(subscription.next(), client.close());
    let end = end.unwrap_err();
    assert!(
        matches!(end, RequestError::End(StreamEnd::Dropped)),
        "{end:?}"
    );
    drop((main, further));
}

#[tokio::test]
async fn a_further_connection_must_show_the_key_of_the_first() {
    let listener = TcpListener::new(1).await;
    let trust = ServerTrust::Any;
    let target = Target::from((listener.address, trust)).with_transport(Transport::Tcp);
    let options = plain();
    let (client, main) = join!(Client::connect(&target, &options), listener.greet(&[]));
    let client = client.unwrap();
    let impostor = listener.with_key(2);
    let (stream, accepted) = join!(client.open_stream(), impostor.try_accept());
    let error = stream.unwrap_err();
    assert!(
        matches!(error, RequestError::End(StreamEnd::Cut(_))),
        "{error:?}"
    );
    assert!(accepted.is_err());
    drop(main);
}

#[tokio::test]
async fn a_connection_that_is_cut_without_a_word_is_broken_and_not_ended() {
    for is_cut in [false, true] {
        let listener = TcpListener::new(1).await;
        let (options, filter, stored) = (plain(), chats(), record(b"x"));
        let serving = async {
            let _main = listener.greet(&[]).await;
            let mut stream = listener.greet(&[]).await;
            let id = stream.receive_query().await;
            stream.send_record(id, &stored).await;
            if is_cut {
                stream.send.reset();
            } else {
                stream.send.finish();
            }
            // Until the client has seen it.
            stream.receive().await.ok();
        };
        let asking = async {
            let client = Client::connect(&listener.target, &options).await.unwrap();
            let mut results = client.query(filter, 0).await.unwrap();
            assert_eq!(results.next().await.unwrap().as_ref(), Some(&stored));
            results.next().await.unwrap_err()
        };
        let (error, ()) = join!(asking, serving);
        match error {
            RequestError::End(StreamEnd::Cut(_)) => assert!(is_cut),
            RequestError::End(StreamEnd::Ended) => assert!(!is_cut),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_is_dropped_ends_its_connection_in_order() {
    let listener = TcpListener::new(1).await;
    let options = plain();
    let (client, mut main) = join!(
        Client::connect(&listener.target, &options),
        listener.greet(&[])
    );
    drop(client.unwrap());
    assert_eq!(main.receive().await.unwrap(), None);

    let patience = limits::CLIENT_TIMEOUT;
    let (connection, (mut stream, peer)) = join!(
        RawConnection::connect(&listener.target, None, patience),
        listener.accept()
    );
    assert_eq!(peer, Peer::Anonymous);
    drop(connection.unwrap());
    assert_eq!(stream.receive().await.unwrap(), None);
}

#[tokio::test]
async fn a_raw_send_waits_while_the_server_does_not_read_and_close_wakes_it() {
    let listener = TcpListener::new(1).await;
    let patience = limits::CLIENT_TIMEOUT;
    let (connection, (server, _)) = join!(
        RawConnection::connect(&listener.target, None, patience),
        listener.accept()
    );
    let connection = connection.unwrap();
    let mut stream = connection.open().await.unwrap();
    let (stuck, is_stuck) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        // More than all the buffers between the two hold.
        let bytes = Bytes::from(vec![0; 64 << 20]);
        let mut sending = std::pin::pin!(stream.send(bytes));
        assert!(futures_util::poll!(sending.as_mut()).is_pending());
        stuck.send(()).unwrap();
        sending.await
    });
    is_stuck.await.unwrap();
    connection.close().await;
    let end = sending.await.unwrap().unwrap_err();
    assert!(matches!(end, StreamEnd::Dropped), "{end:?}");
    drop(server);
}

#[tokio::test]
async fn a_followed_subscription_that_is_cut_off_brings_each_record_once_on_one_connection() {
    let listener = TcpListener::new(1).await;
    let table = Table::new();
    let all = records(100, b"stored");
    for record in &all {
        table.store(record.clone());
    }
    table.cut_after(40);
    let request = FollowRequest {
        target: listener.target.clone(),
        options: Options::default(),
        role: None,
        filter: chats(),
        limit: 0,
    };
    let server = tokio::spawn(table.clone().serve_tcp(listener));
    let mut follow = Follow::start(request).await.unwrap();
    let (mut came, mut lost) = (Vec::new(), 0);
    while came.len() < all.len() {
        match follow.next().await.unwrap() {
            FollowEvent::Record(record) => came.push(record),
            FollowEvent::Lost { .. } => {
                lost += 1;
                table.cut_after(0);
            }
            FollowEvent::LocallyComplete | FollowEvent::Resumed => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((lost, table.connections()), (1, 2));
    came.sort_unstable_by_key(crate::wire::Record::id);
    assert_eq!(came, all);
    server.abort();
}
