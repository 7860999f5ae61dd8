//! Sockets with gates of their own, and a listener without a store.

use super::*;
use crate::base::{Role, RoleSet};
use crate::net::testing::records;
use crate::policy::Gate;
use crate::policy::testing::NOW;
use crate::wire::{
    Body as _, Dialback, DialbackAck, FilterBuilder, Info, InfoReply, Nonce, ProbeMode, QueryId,
    RoleCondition,
};

/// The same rules behind another gate.
fn behind_gate(settings: &Settings, gate: Gate) -> Arc<Settings> {
    Arc::new(Settings {
        gate: Arc::new(gate),
        ..settings.clone()
    })
}

async fn outbox_by_info(quic: &quinn::Connection) -> RoleCondition {
    let mut stream = greet_extension(quic).await;
    stream.send(Info {}.encode(1)).await;
    match stream.next().await {
        Some(ServerMessage::Extension(reply)) => {
            let info = InfoReply::decode(&reply.body).unwrap();
            info.roles[&Role::Outbox.into()].state
        }
        other => panic!("{other:?}"),
    }
}

/// How a query ends, and how a submission does.
async fn served(quic: &quinn::Connection) -> (ResultCode, ResultCode) {
    let (_, mut stream) = greet(quic).await;
    let query = ClientMessage::Query {
        id: QueryId(1),
        limit: 0,
        filter: FilterBuilder::new().build().unwrap(),
    };
    stream.send(query.encode()).await;
    let read = match stream.next().await {
        Some(ServerMessage::QueryClosed { result, .. }) => result,
        other => panic!("{other:?}"),
    };
    let record = records(1, 10)[0].bytes().clone();
    stream
        .send(ClientMessage::Submission { record }.encode())
        .await;
    match stream.next().await {
        Some(ServerMessage::SubmissionResult { result, .. }) => (read, result),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_socket_serves_and_tells_by_its_own_gate() {
    let behind = Behind::new();
    let outbox = RoleSet::of(Role::Outbox);
    let shut = behind_gate(&behind.settings, Gate::closed(outbox, "NAT", NOW));
    let sockets = [socket(&behind.settings), socket(&shut)];
    let services = behind.services();
    let running = Running::with(behind, &sockets, services);
    let first = running.connect_to(0, None).await.unwrap();
    let second = running.connect_to(1, None).await.unwrap();
    assert_eq!(outbox_by_info(&first).await, RoleCondition::Open);
    assert_eq!(outbox_by_info(&second).await, RoleCondition::Closed);
    assert_eq!(served(&first).await.0, ResultCode::Success);
    assert_eq!(served(&second).await.0, ResultCode::TemporaryError);
    shut.gate.set_open(outbox, "PUBLIC", NOW);
    running.control.gate_moved();
    assert_eq!(outbox_by_info(&second).await, RoleCondition::Open);
    assert_eq!(served(&second).await.0, ResultCode::Success);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_bears_the_gate_of_the_socket_it_came_in_on() {
    let behind = Behind::new();
    *behind.ingest.kept.lock().unwrap() = Some(Vec::new());
    let other = behind_gate(&behind.settings, Gate::dev(RoleSet::ALL, NOW));
    let settings = [Arc::clone(&behind.settings), other];
    let sockets = settings.each_ref().map(socket);
    let services = behind.services();
    let running = Running::with(behind, &sockets, services);
    for (place, settings) in settings.iter().enumerate() {
        let quic = running.connect_to(place, None).await.unwrap();
        let (_, mut stream) = greet(&quic).await;
        let record = records(1, 10)[0].bytes().clone();
        stream
            .send(ClientMessage::Submission { record }.encode())
            .await;
        let kept = &running.behind.ingest.kept;
        until(|| !kept.lock().unwrap().as_ref().unwrap().is_empty()).await;
        let job = kept.lock().unwrap().as_mut().unwrap().pop().unwrap();
        assert!(Arc::ptr_eq(&job.settings, settings), "socket {place}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_at_a_loopback_address_gets_the_settings_for_it() {
    let behind = Behind::new();
    let shut = behind_gate(&behind.settings, Gate::closed(RoleSet::ALL, "ONION", NOW));
    let sockets = [Socket {
        local_settings: Some(shut),
        ..socket(&behind.settings)
    }];
    let services = behind.services();
    let running = Running::with(behind, &sockets, services);
    let quic = running.connect(None).await.unwrap();
    assert_eq!(outbox_by_info(&quic).await, RoleCondition::Closed);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_without_a_store_greets_tells_and_probes_and_refuses_records() {
    let behind = Behind::new();
    let none = Gate::closed(RoleSet::EMPTY, "UNKNOWN", NOW);
    let sockets = [socket(&behind_gate(&behind.settings, none))];
    let services = Services {
        records: None,
        ..behind.services()
    };
    let running = Running::with(behind, &sockets, services);
    let known = Identity::new(SecretKey::generate());
    for client in [None, Some(&known)] {
        let quic = running.connect(client).await.unwrap();
        assert_eq!(outbox_by_info(&quic).await, RoleCondition::Off);
        let refused = ResultCode::Unauthorized;
        assert_eq!(served(&quic).await, (refused, refused));
        let mut stream = greet_extension(&quic).await;
        let dialback = Dialback {
            nonce: Nonce::from_bytes([5; 16]),
            mode: ProbeMode::Direct,
            dialed: running.addresses[0],
        };
        stream.send(dialback.encode(1)).await;
        match stream.next().await {
            Some(ServerMessage::Extension(reply)) => assert_eq!(reply.kind, DialbackAck::KIND),
            other => panic!("{other:?}"),
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_open_on_a_listener_without_a_store_are_a_temporary_error() {
    let behind = Behind::new();
    let sockets = [socket(&behind.settings)];
    let services = Services {
        records: None,
        ..behind.services()
    };
    let running = Running::with(behind, &sockets, services);
    let quic = running.connect(None).await.unwrap();
    let refused = ResultCode::TemporaryError;
    assert_eq!(served(&quic).await, (refused, refused));
    running.stop().await;
}
