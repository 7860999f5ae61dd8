//! Direct and canary dials, to real listeners.

use std::time::Instant;

use super::world::*;
use crate::base::limits;
use crate::client::{self, Catcher};
use crate::identity::Peer;
use crate::reach::service::{Asker, Service, ServiceAnswer, Settings, padding};
use crate::wire::{ProbeCode, ProbeMode, ProbeOutcome, ProbeResult, ProbeTransport, ResultCode};

/// A host on which no other test listens.
const NOBODY: u8 = 61;

/// Asks `service` of host 2 to dial `port` of host 1; what it found.
async fn dialed(service: &Service, port: u16) -> ProbeResult {
    let request = request(1, 2, port, ProbeMode::Direct);
    let nonce = request.nonce;
    let answers = probe(service, asker(1, 2), request).await;
    let (code, result) = read(&answers);
    assert_eq!(code, Some(ProbeCode::Accepted));
    let result = result.unwrap();
    assert_eq!(result.dialer, Some(key(2).public()));
    let receipt = result.signature.unwrap();
    let hash = result.signed_hash(&nonce);
    client::signature(&key(2).public(), &hash, receipt.as_bytes()).unwrap();
    result.clone()
}

/// The outcome of a dial to a listener that behaves like that, and that it was not told early.
async fn check_failure(key_of: u8, takes: Takes, expected: ProbeOutcome) {
    let listener = Host::listening(1, key_of, takes).await;
    let service = service(2, Vec::new());
    let began = Instant::now();
    let result = dialed(&service, listener.address.port()).await;
    assert_eq!(result.outcome, expected);
    assert!(
        began.elapsed() >= timing().dial(),
        "{expected:?} came early"
    );
}

#[tokio::test]
async fn a_listener_that_takes_the_nonce_is_reached() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let service = service(2, Vec::new());
    let result = dialed(&service, listener.address.port()).await;
    assert_eq!(result.outcome, ProbeOutcome::Ok);
    assert_eq!(result.dialer_ip, Some(ip(2)));
    let [(dialer, from)] = listener.dialers().try_into().unwrap();
    assert!(matches!(dialer, Peer::Known(of) if *of.key() == key(2).public()));
    assert_eq!(from, ip(2), "from the address that was asked");
    let [(_, _, dialback)] = listener.caught.lock().unwrap().clone().try_into().unwrap();
    assert_eq!(dialback.dialed, listener.address);
    assert_eq!(dialback.mode, ProbeMode::Direct);
    assert!(is_contacted(&service, 1));
    let counters = service.counters();
    assert_eq!(
        (counters.asked, counters.accepted, counters.dials_ok),
        (1, 1, 1)
    );
    assert_eq!(
        counters.bytes_out_unproven, 0,
        "the asker's address is proved"
    );
}

#[tokio::test]
async fn every_dial_comes_from_a_fresh_port() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let service = service(2, Vec::new());
    for _ in 0..2 {
        dialed(&service, listener.address.port()).await;
    }
    let caught = listener.caught.lock().unwrap();
    let mut ports: Vec<u16> = caught.iter().map(|(_, from, _)| from.port()).collect();
    ports.dedup();
    assert_eq!(ports.len(), 2);
}

#[tokio::test]
async fn silence_is_told_at_the_deadline() {
    let socket = silent(1);
    let service = service(2, Vec::new());
    let began = Instant::now();
    let result = dialed(&service, socket.local_addr().unwrap().port()).await;
    assert_eq!(result.outcome, ProbeOutcome::NoResponse);
    assert!(began.elapsed() >= timing().dial());
    assert!(!result.control_ok, "nothing shows that the way out works");
    assert_eq!(service.counters().dials_no_response, 1);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_no_earlier() {
    let port = silent(NOBODY).local_addr().unwrap().port();
    let service = service(2, Vec::new());
    let began = Instant::now();
    let request = request(NOBODY, 2, port, ProbeMode::Direct);
    let answers = probe(&service, asker(NOBODY, 2), request).await;
    assert_ne!(read(&answers).1.unwrap().outcome, ProbeOutcome::Ok);
    assert!(began.elapsed() >= timing().dial());
}

#[tokio::test]
async fn another_key_is_told_apart_and_no_earlier() {
    check_failure(9, Takes::Nonces, ProbeOutcome::WrongKey).await;
}

#[tokio::test]
async fn a_listener_that_does_not_know_the_nonce_is_told_apart_and_no_earlier() {
    check_failure(1, Takes::NoNonce, ProbeOutcome::NonceRejected).await;
}

#[tokio::test]
async fn the_hash_of_another_nonce_is_no_proof() {
    check_failure(1, Takes::OtherNonce, ProbeOutcome::ProtocolError).await;
}

#[tokio::test]
async fn a_listener_without_the_extension_is_told_apart_and_no_earlier() {
    check_failure(1, Takes::NoExtension, ProbeOutcome::ProtocolError).await;
}

#[tokio::test]
async fn a_listener_that_falls_silent_after_the_handshake_was_reached_and_is_told_no_earlier() {
    check_failure(1, Takes::Silently, ProbeOutcome::ProtocolError).await;
}

#[tokio::test]
async fn a_handshake_with_a_helper_shows_that_silence_is_the_askers() {
    let socket = silent(1);
    let helper = Host::listening(3, 3, Takes::Nonces).await;
    let service = service(2, vec![helper.prober(3)]);
    let result = dialed(&service, socket.local_addr().unwrap().port()).await;
    assert_eq!(result.outcome, ProbeOutcome::NoResponse);
    assert!(result.control_ok);
    let counters = service.counters();
    assert_eq!((counters.controls, counters.controls_ok), (1, 1));
    assert!(is_contacted(&service, 3));
}

#[tokio::test]
async fn a_helper_that_is_gone_shows_nothing_and_the_next_one_is_tried() {
    let socket = silent(1);
    let gone = silent(3);
    let helper = |host, address: std::net::SocketAddr| crate::reach::endpoint::Prober {
        key: key(host).public(),
        address: address.to_string(),
        pinned: false,
    };
    let gone = helper(3, gone.local_addr().unwrap());
    let port = socket.local_addr().unwrap().port();
    let alone = service(2, vec![gone.clone()]);
    assert!(!dialed(&alone, port).await.control_ok);
    let there = Host::listening(4, 4, Takes::Nonces).await;
    let beside = service(2, vec![gone, there.prober(4)]);
    assert!(dialed(&beside, port).await.control_ok);
}

#[tokio::test]
async fn a_handshake_with_the_asker_shows_nothing_about_the_way_out() {
    let socket = silent(1);
    let port = socket.local_addr().unwrap().port();
    let service = service(2, Vec::new());
    service.reached(ip(1));
    assert!(!dialed(&service, port).await.control_ok);
    service.reached(ip(3));
    assert!(dialed(&service, port).await.control_ok);
    assert_eq!(service.counters().controls, 0);
}

#[tokio::test]
async fn the_address_that_asked_is_the_one_that_is_dialed() {
    // The asker names a listener of somebody else, which even holds the asker's key.
    let third = Host::listening(5, NOBODY, Takes::Nonces).await;
    let service = service(2, Vec::new());
    let mut request = request(NOBODY, 2, third.address.port(), ProbeMode::Direct);
    request.own = Some(third.address);
    let answers = probe(&service, asker(NOBODY, 2), request).await;
    let (_, result) = read(&answers);
    assert_ne!(result.unwrap().outcome, ProbeOutcome::Ok);
    assert_eq!(third.dialers(), []);
    assert!(is_contacted(&service, NOBODY) && !is_contacted(&service, 5));
}

#[tokio::test]
async fn an_address_that_is_not_global_is_never_dialed_by_the_shipped_rules() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let settings = Settings {
        identity: key(2),
        helpers: Vec::new(),
        timing: timing(),
        enabled: true,
    };
    let contacts = crate::reach::contacts::Contacts::new(timing());
    let service = Service::new(settings, std::sync::Arc::new(contacts));
    let request = request(1, 2, listener.address.port(), ProbeMode::Direct);
    let answers = probe(&service, asker(1, 2), request).await;
    assert_eq!(read(&answers), (Some(ProbeCode::NotGlobal), None));
    assert_eq!(listener.dialers(), []);
    assert_eq!(service.counters().refused_not_global, 1);
    assert!(!is_contacted(&service, 1));
}

#[tokio::test]
async fn one_address_has_one_dial_at_a_time() {
    let socket = silent(1);
    let port = socket.local_addr().unwrap().port();
    let service = service(2, Vec::new());
    let ask = |port| {
        probe(
            &service,
            asker(1, 2),
            request(1, 2, port, ProbeMode::Direct),
        )
    };
    let (first, second) = tokio::join!(ask(port), ask(port));
    assert_eq!(read(&first).0, Some(ProbeCode::Accepted));
    assert_eq!(read(&second).0, Some(ProbeCode::Busy));
    assert_eq!(service.counters().refused_busy, 1);
    assert_eq!(read(&ask(port).await).0, Some(ProbeCode::Accepted));
}

#[tokio::test]
async fn a_probe_that_is_given_up_frees_its_place() {
    let socket = silent(1);
    let port = socket.local_addr().unwrap().port();
    let service = service(2, Vec::new());
    let ask = || {
        probe(
            &service,
            asker(1, 2),
            request(1, 2, port, ProbeMode::Direct),
        )
    };
    {
        let mut given_up = std::pin::pin!(ask());
        let soon = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, &mut given_up).await.is_err());
        assert_eq!(read(&ask().await).0, Some(ProbeCode::Busy));
    }
    assert_eq!(read(&ask().await).0, Some(ProbeCode::Accepted));
}

#[tokio::test]
async fn ports_are_not_scanned() {
    let service = service_with(2, Vec::new(), crate::reach::timing::Timing::REAL);
    let mut codes = Vec::new();
    for port in 2_000..2_005 {
        let probing = probe(
            &service,
            asker(1, 2),
            request(1, 2, port, ProbeMode::Direct),
        );
        // A dial that began is given up at once: what it counts stays counted.
        let soon = std::time::Duration::from_millis(1);
        match tokio::time::timeout(soon, probing).await {
            Ok(answers) => codes.push(read(&answers).0.unwrap()),
            Err(_) => codes.push(ProbeCode::Accepted),
        }
    }
    let (yes, no) = (ProbeCode::Accepted, ProbeCode::PortRefused);
    assert_eq!(codes, [yes, yes, yes, no, no]);
    assert_eq!(service.counters().refused_port, 2);
}

#[tokio::test]
async fn requests_that_are_too_short_cost_more_and_are_counted() {
    let service = service(2, Vec::new());
    let mut short = request(1, 2, 1320, ProbeMode::Direct);
    short.pad = padding(10);
    let answers = probe(&service, asker(1, 2), short).await;
    let [ServiceAnswer::Status(status)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(status.code, ProbeCode::CostRequired);
    assert_eq!(
        status.cost,
        Some(limits::PROBE_REQUEST_MIN_BYTES.try_into().unwrap())
    );
    assert_eq!(status.observed, asker(1, 2).remote);
    assert_eq!(service.counters().refused_cost, 1);
}

#[tokio::test]
async fn an_anonymous_asker_is_refused_and_counted() {
    let service = service(2, Vec::new());
    let anonymous = Asker {
        key: None,
        ..asker(1, 2)
    };
    let answers = probe(&service, anonymous, request(1, 2, 1320, ProbeMode::Direct)).await;
    let [ServiceAnswer::Refused(refusal)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(refusal.result, ResultCode::RequiresAuthentication);
    assert_eq!(service.counters().refused_anonymous, 1);
}

#[tokio::test]
async fn a_service_that_is_off_is_busy() {
    let settings = Settings {
        identity: key(2),
        helpers: Vec::new(),
        timing: timing(),
        enabled: false,
    };
    let contacts = crate::reach::contacts::Contacts::new(timing());
    let service = Service::new(settings, std::sync::Arc::new(contacts));
    let answers = probe(
        &service,
        asker(1, 2),
        request(1, 2, 1320, ProbeMode::Direct),
    )
    .await;
    assert_eq!(read(&answers), (Some(ProbeCode::Busy), None));
}

/// Asks `service` of host 2 to dial `address` of host `of` over TCP; what it found, and no earlier
/// than a failure may be told.
async fn dialed_over_tcp(service: &Service, of: u8, port: u16) -> ProbeOutcome {
    let mut request = request(of, 2, port, ProbeMode::Direct);
    request.transport = ProbeTransport::Tcp;
    let began = Instant::now();
    let answers = probe(service, asker(of, 2), request).await;
    let outcome = read(&answers).1.unwrap().outcome;
    assert!(outcome == ProbeOutcome::Ok || began.elapsed() >= timing().dial());
    outcome
}

#[tokio::test]
async fn a_listener_over_tcp_is_reached() {
    let (any_port, tcp) = ((ip(1), 0).into(), ProbeTransport::Tcp);
    let mut catcher = Catcher::bind(any_port, tcp, &key(1)).unwrap();
    let service = service(2, Vec::new());
    let port = catcher.port();
    let taking = async {
        let caught = catcher.next().await;
        let (from, dialer) = (caught.remote.ip(), caught.dialer);
        caught.ack();
        (from, dialer)
    };
    let (outcome, caught) = tokio::join!(dialed_over_tcp(&service, 1, port), taking);
    assert_eq!(outcome, ProbeOutcome::Ok);
    assert_eq!(caught, (ip(2), Some(key(2).public())));
}

#[tokio::test]
async fn another_key_over_tcp_is_told_apart_and_no_earlier() {
    let (any_port, tcp) = ((ip(1), 0).into(), ProbeTransport::Tcp);
    let catcher = Catcher::bind(any_port, tcp, &key(9)).unwrap();
    let service = service(2, Vec::new());
    let outcome = dialed_over_tcp(&service, 1, catcher.port()).await;
    assert_eq!(outcome, ProbeOutcome::WrongKey);
}

#[tokio::test]
async fn a_port_that_the_system_turns_away_is_unreachable_and_told_no_earlier() {
    let listener = std::net::TcpListener::bind((ip(NOBODY), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let service = service(2, Vec::new());
    let outcome = dialed_over_tcp(&service, NOBODY, port).await;
    assert_eq!(outcome, ProbeOutcome::Unreachable);
}
