use std::net::Ipv4Addr;

use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::join;
use tokio::net::TcpListener;

use super::*;
use crate::identity::{Identity, ServerTrust, client_tls};
use crate::wire::SecretKey;

fn identity(seed: u8) -> Identity {
    Identity::new(SecretKey::from_seed([seed; 32]))
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// A client's and a server's end.
async fn channels() -> (Channel, Channel) {
    let (client, server) = sockets().await;
    let trust = ServerTrust::Exact(identity(1).public());
    let config = client_tls(trust, Some(&identity(2))).unwrap();
    let (client, server) = join!(
        Channel::connect(client, Arc::new(config)),
        Channel::accept(server, Arc::new(identity(1).server_tls().unwrap()))
    );
    (client.unwrap(), server.unwrap())
}

async fn send(channel: &Channel, bytes: &[u8]) {
    let mut chunks = [Bytes::copy_from_slice(bytes)];
    while !chunks[0].is_empty() {
        channel.write(&mut chunks).await.unwrap();
    }
    channel.flush().await.unwrap();
}

async fn receive(channel: &Channel, count: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < count {
        let bytes = channel.read().await.unwrap();
        assert!(!bytes.is_empty(), "it ended after {}", received.len());
        received.extend_from_slice(&bytes);
    }
    received
}

#[tokio::test]
async fn each_end_knows_the_other() {
    let (client, server) = channels().await;
    assert_eq!(client.peer().key(), Some(&identity(1).public()));
    assert_eq!(server.peer().key(), Some(&identity(2).public()));
}

#[tokio::test]
async fn a_half_that_is_finished_ends_and_the_other_goes_on() {
    let (client, server) = channels().await;
    send(&client, b"request").await;
    client.finish();
    assert_eq!(receive(&server, 7).await, b"request");
    assert!(server.read().await.unwrap().is_empty());
    assert!(server.read().await.unwrap().is_empty(), "for good");
    send(&server, b"answer").await;
    server.finished().await.unwrap();
    assert_eq!(receive(&client, 6).await, b"answer");
    assert!(client.read().await.unwrap().is_empty());
    let late = client.write(&mut [Bytes::from_static(b"x")]).await;
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error_behind_what_came_before() {
    let (client, server) = channels().await;
    send(&client, b"part").await;
    client.abort();
    assert_eq!(receive(&server, 4).await, b"part");
    let error = server.read().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_is_taken_is_taken_once_and_arrives_in_order_however_slow_the_reader() {
    let (client, server) = channels().await;
    let sent: Vec<u8> = (0..8_u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
    let writing = async {
        let mut rest = Bytes::from(sent.clone());
        while !rest.is_empty() {
            let mut chunks: Vec<Bytes> = (0..100)
                .map(|size| rest.split_to(rest.len().min(size * 50)))
                .collect();
            let mut left = chunks.as_mut_slice();
            while !left.is_empty() {
                if left[0].is_empty() {
                    left = left.split_at_mut(1).1;
                    continue;
                }
                // A future that is dropped before it is ready took nothing.
                let before: usize = left.iter().map(Bytes::len).sum();
                if client.write(left).now_or_never().is_none() {
                    assert_eq!(left.iter().map(Bytes::len).sum::<usize>(), before);
                    client.write(left).await.unwrap();
                }
            }
        }
        client.finished().await.unwrap();
    };
    let reading = async {
        let mut received = Vec::new();
        loop {
            tokio::task::yield_now().await;
            let bytes = server.read().await.unwrap();
            assert!(bytes.len() < limits::STREAM_READ_BYTES + (16 << 10));
            if bytes.is_empty() {
                return received;
            }
            received.extend_from_slice(&bytes);
        }
    };
    let ((), received) = join!(writing, reading);
    assert!(received == sent, "{} of {}", received.len(), sent.len());
}

#[tokio::test]
async fn what_finish_has_no_room_for_goes_out_while_something_is_read() {
    let (client, server) = channels().await;
    let mut sent = 0;
    loop {
        let mut chunks = [Bytes::from(vec![7; 100_000])];
        let Some(written) = client.write(&mut chunks).now_or_never() else {
            break;
        };
        written.unwrap();
        sent += 100_000 - chunks[0].len();
    }
    client.finish();
    let (end, received) = join!(client.read(), async {
        let received = receive(&server, sent).await.len();
        assert!(server.read().await.unwrap().is_empty());
        server.finish();
        received
    });
    assert!(end.unwrap().is_empty());
    assert_eq!(received, sent);
}

#[tokio::test]
async fn closing_tells_the_other_end_and_whoever_reads_here() {
    let (client, server) = channels().await;
    let (read, ()) = join!(client.read(), async { client.close() });
    assert!(read.is_err());
    assert!(server.read().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reset_is_noticed_without_reading() {
    let (client, server) = channels().await;
    send(&client, b"never read").await;
    assert!(server.broken().now_or_never().is_none());
    client.finish();
    client.forsake();
    drop(client);
    server.broken().await;
    // What came before it is still here.
    assert_eq!(receive(&server, 10).await, b"never read");
}

#[tokio::test]
async fn last_words_reach_an_end_that_still_sends() {
    let (client, server) = channels().await;
    send(&client, &[1; 100_000]).await;
    send(&server, b"no").await;
    server.finished().await.unwrap();
    let ((), said) = join!(server.drained(), async {
        let said = receive(&client, 2).await;
        assert!(client.read().await.unwrap().is_empty());
        send(&client, &[2; 100_000]).await;
        client.finished().await.unwrap();
        said
    });
    assert_eq!(said, b"no");
}

#[tokio::test]
async fn a_peer_that_names_no_protocol_or_another_is_refused() {
    for alpn in [Vec::new(), vec![b"h2".to_vec()]] {
        let (client, server) = sockets().await;
        let trust = ServerTrust::Any;
        let mut config = client_tls(trust, None).unwrap();
        config.alpn_protocols.clone_from(&alpn);
        let (client, server) = join!(
            Channel::connect(client, Arc::new(config)),
            Channel::accept(server, Arc::new(identity(1).server_tls().unwrap()))
        );
        assert!(client.is_err(), "{alpn:?}");
        assert!(server.is_err(), "{alpn:?}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_refused() {
    let (mut client, server) = sockets().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let config = Arc::new(identity(1).server_tls().unwrap());
    let error = Channel::accept(server, config).await.unwrap_err();
    assert!(matches!(error, ChannelError::Handshake(_)), "{error:?}");
}
