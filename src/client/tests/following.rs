//! Subscriptions that outlive their connections.

use std::time::Duration;

use tokio::join;

use super::super::testing::{Listener, ServerStream, Table};
use super::super::*;
use super::{chats, key, records};
use crate::wire::{Record, ResultCode, Timestamp};

fn following(target: &Target, limit: u16) -> FollowRequest {
    FollowRequest {
        target: target.clone(),
        options: Options::default(),
        role: None,
        filter: chats(),
        limit,
    }
}

/// Follows until `count` records came, and returns them with how often the connection was lost.
async fn follow_until(follow: &mut Follow, count: usize) -> (Vec<Record>, usize) {
    let (mut records, mut lost) = (Vec::new(), 0);
    while records.len() < count {
        match follow.next().await.unwrap() {
            FollowEvent::Record(record) => records.push(record),
            FollowEvent::Lost { .. } => lost += 1,
            FollowEvent::LocallyComplete | FollowEvent::Resumed => {}
            other => panic!("{other:?}"),
        }
    }
    (records, lost)
}

#[tokio::test]
async fn a_followed_subscription_that_breaks_in_its_stored_part_brings_each_record_once() {
    for age in [Duration::ZERO, Duration::from_secs(3_600)] {
        let listener = Listener::new(1);
        let table = Table::new();
        let all = records(100, b"stored");
        for record in &all {
            table.store_at(Timestamp::now().saturating_sub(age), record.clone());
        }
        table.cut_after(40);
        let target = listener.target.clone();
        let server = tokio::spawn(table.clone().serve(listener));
        let mut follow = Follow::start(following(&target, 0)).await.unwrap();
        let (mut came, _) = follow_until(&mut follow, 40).await;
        table.cut_after(0);
        let (rest, lost) = follow_until(&mut follow, 60).await;
        assert_eq!(lost, 1);
        came.extend(rest);
        came.sort_unstable_by_key(Record::id);
        assert_eq!(came, all, "received {age:?} ago");
        server.abort();
    }
}

#[tokio::test]
async fn a_followed_subscription_outlives_the_server_it_began_with() {
    let listener = Listener::new(1);
    let (address, target) = (listener.address, listener.target.clone());
    let endpoint = listener.endpoint.clone();
    let table = Table::new();
    let all = records(30, b"x");
    let server = tokio::spawn(table.clone().serve(listener));
    let mut follow = Follow::start(following(&target, 0)).await.unwrap();
    let event = follow.next().await.unwrap();
    assert!(matches!(event, FollowEvent::LocallyComplete), "{event:?}");
    for record in &all[..10] {
        table.store(record.clone());
    }
    let (mut came, _) = follow_until(&mut follow, 10).await;

    server.abort();
    endpoint.close(0_u32.into(), b"restart");
    endpoint.wait_idle().await;
    drop(server.await);
    drop(endpoint);
    let event = follow.next().await.unwrap();
    assert!(matches!(event, FollowEvent::Lost { .. }), "{event:?}");
    for record in &all[10..20] {
        table.store(record.clone());
    }
    let server = tokio::spawn(table.clone().serve(Listener::on(address, 1).await));
    came.extend(follow_until(&mut follow, 10).await.0);
    for record in &all[20..] {
        table.store(record.clone());
    }
    came.extend(follow_until(&mut follow, 10).await.0);
    assert_eq!(table.connections(), 2);

    came.sort_unstable_by_key(Record::id);
    assert_eq!(came, all);
    server.abort();
}

#[tokio::test]
async fn following_ends_where_trying_again_will_not_help() {
    for result in [
        ResultCode::Unauthorized,
        ResultCode::Invalid,
        ResultCode::RequiresAuthentication,
    ] {
        let listener = Listener::new(1);
        let serving = async {
            let (connection, _main) = listener.greet(&[]).await;
            let mut stream = ServerStream::accept(&connection).await.unwrap();
            let id = stream.receive_query().await;
            stream.close_query(id, result).await;
            connection.closed().await;
        };
        let following = async {
            let mut follow = Follow::start(following(&listener.target, 0)).await.unwrap();
            let error = follow.next().await.unwrap_err();
            assert!(
                matches!(error, FollowError::Closed(code) if code == result),
                "{error:?}"
            );
            assert!(matches!(follow.next().await, Ok(FollowEvent::Ended)));
        };
        join!(serving, following);
    }
    let listener = Listener::new(1);
    let other = Target::from((listener.address, ServerTrust::Exact(key(3).public())));
    let accepting = async {
        let incoming = listener.endpoint.accept().await.unwrap();
        assert!(incoming.await.is_err());
    };
    let (error, ()) = join!(Follow::start(following(&other, 0)), accepting);
    assert!(!error.unwrap_err().is_temporary());
}

#[tokio::test]
async fn a_subscription_that_is_cut_off_for_now_is_asked_for_again() {
    let listener = Listener::new(1);
    let serving = async {
        for result in [ResultCode::TemporaryError, ResultCode::Success] {
            let (connection, _main) = listener.greet(&[]).await;
            let mut stream = ServerStream::accept(&connection).await.unwrap();
            let id = stream.receive_query().await;
            stream.close_query(id, result).await;
            connection.closed().await;
        }
    };
    let following = async {
        let mut follow = Follow::start(following(&listener.target, 0)).await.unwrap();
        let event = follow.next().await.unwrap();
        assert!(matches!(event, FollowEvent::Lost { .. }), "{event:?}");
        let event = follow.next().await.unwrap();
        assert!(matches!(event, FollowEvent::Ended), "{event:?}");
        follow.close().await;
    };
    join!(serving, following);
}
