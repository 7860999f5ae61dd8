//! Reachability as far as loopback can show it: what an operator, a client and a prober are told. What takes a network
//! is in `tests/lab`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use mosaicd::base::Role;
use mosaicd::client::{Client, Options, ServerTrust, Target};
use mosaicd::wire::{
    Body, Dialback, EXTENSION_APP, Nonce, ProbeCode, ProbeMode, ProbeRequest, ProbeStatus,
    ProbeTransport, PublicKey, ResultCode, ServerMessage, StreamRole,
};
use serde_bytes::ByteBuf;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{DevServer, PATIENCE, greeted, key, mosaicd};

fn probe_request(port: u16) -> ProbeRequest {
    ProbeRequest {
        nonce: Nonce::generate(),
        port,
        mode: ProbeMode::Direct,
        own: None,
        pad: ByteBuf::from(vec![0; 1_200]),
        transport: ProbeTransport::Quic,
        asked: None,
        avoid: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_client_and_trace_are_told_the_same_verdict_and_reason() {
    let (server, _folder) = DevServer::start_public("").await;
    let client = server.client(None).await;
    let info = client.info().await.unwrap();
    let why = info.roles[&StreamRole::from(Role::Outbox)].why.clone();
    let why = why.unwrap();
    assert!(why.starts_with("LOCAL: "), "{why}");

    let status = server.operate(&["status", "--json"]);
    assert!(status.status.success());
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["verdict"], "LOCAL");
    assert_eq!(status["ready"], false);
    let roles = status["listeners"][0]["roles"].as_array().unwrap();
    let outbox = roles.iter().find(|role| role["role"] == "outbox").unwrap();
    assert_eq!(outbox["state"], "closed");
    assert_eq!(outbox["why"], why);
    let application = roles.iter().find(|role| role["role"] == "application");
    assert_eq!(application.unwrap()["state"], "open");

    let check = server.operate(&["check"]);
    assert_eq!(check.status.code(), Some(1));
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(text.contains(&why), "{text}");
    assert!(server.trace().contains(&why));
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_run_is_checked_without_its_store_and_has_no_status() {
    let (mut server, _folder) = DevServer::start_public("").await;
    server.terminate();
    assert!(server.ended().await.success());
    let status = server.operate(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let check = server.operate(&["check", "--set", "listen=127.0.0.1:0", "--json"]);
    assert_eq!(check.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(said["verdict"], "LOCAL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_on_loopback_is_dialed_back() {
    let server = DevServer::start().await;
    let connection = server.raw(Some(&key(5))).await;
    let mut stream = greeted(&connection, &[EXTENSION_APP]).await;
    let request = probe_request(server.address().port());
    stream.send(request.encode(7)).await.unwrap();
    let reply = timeout(PATIENCE, stream.receive()).await.unwrap().unwrap();
    let Some(ServerMessage::Extension(reply)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((reply.kind, reply.request_id), (ProbeStatus::KIND, 7));
    let status = ProbeStatus::decode(&reply.body).unwrap();
    assert_eq!(status.code, ProbeCode::NotGlobal);
    assert!(status.observed.ip().is_loopback());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_back_with_a_nonce_that_nobody_sent_is_refused_and_the_stream_goes_on() {
    let (server, _folder) = DevServer::start_public("").await;
    let connection = server.raw(Some(&key(5))).await;
    let mut stream = greeted(&connection, &[EXTENSION_APP]).await;
    for request_id in [1, 2] {
        let dialback = Dialback {
            nonce: Nonce::generate(),
            mode: ProbeMode::Direct,
            dialed: server.address(),
        };
        stream.send(dialback.encode(request_id)).await.unwrap();
        let reply = timeout(PATIENCE, stream.receive()).await.unwrap().unwrap();
        let Some(ServerMessage::Extension(reply)) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(reply.request_id, request_id);
        let refusal = mosaicd::wire::BodyRefusal::decode(&reply.body).unwrap();
        assert_eq!(refusal.result, ResultCode::Invalid);
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_makes_its_key_and_serves_no_role() {
    let folder = TempDir::new().unwrap();
    let mut witness = mosaicd()
        .args(["witness", "--listen", "127.0.0.1:0", "--key-file"])
        .arg(folder.path().join("witness.key"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(witness.stdout.take().unwrap()).lines();
    let first = tokio::task::spawn_blocking(move || { lines }.next().unwrap().unwrap());
    let first = timeout(PATIENCE, first).await.unwrap().unwrap();
    let name = first.strip_prefix("READY ").unwrap();
    let (server_key, address) = name.split_once('@').unwrap();
    let trust = ServerTrust::Exact(PublicKey::from_server_str(server_key).unwrap());
    let target = Target::from((address.parse().unwrap(), trust));
    let client = Client::connect(&target, &Options::default()).await.unwrap();
    let info = client.info().await.unwrap();
    assert!(info.probes);
    for role in Role::ALL {
        let state = info.roles[&StreamRole::from(role)].state;
        assert_eq!(state.name(), "off", "{role}");
        assert!(client.open_role(role, None).await.is_err(), "{role}");
    }
    witness.kill().unwrap();
    witness.wait().unwrap();
}
