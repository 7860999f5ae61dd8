//! Asking real probers.

use std::net::SocketAddr;
use std::time::Instant;

use super::*;
use crate::reach::service::tests::world::*;

struct Asked {
    identity: SecretKey,
    contacts: Contacts,
    nonce: Nonce,
}

impl Asked {
    /// Host 1 asks.
    fn new() -> Self {
        Self {
            identity: key(1),
            contacts: Contacts::new(Timing::REAL),
            nonce: Nonce::generate(),
        }
    }

    fn ask<'a>(&'a self, prober: &'a Prober, port: u16, mode: ProbeMode) -> Ask<'a> {
        Ask {
            prober,
            identity: &self.identity,
            from: Some(ip(1)),
            nonce: self.nonce,
            port,
            mode,
            transport: ProbeTransport::Quic,
            avoid: Vec::new(),
            timing: timing(),
            contacts: &self.contacts,
        }
    }
}

fn outcome(end: &ProbeEnd) -> (ProbeOutcome, Option<PublicKey>, Option<IpAddr>) {
    match end.answer {
        ProbeAnswer::Dialed {
            outcome,
            dialer,
            dialer_ip,
            ..
        } => (outcome, dialer, dialer_ip),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_direct_probe_brings_the_nonce_home_from_the_prober() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let prober = Host::serving(2, service(2, Vec::new())).await.kept(2);
    let asked = Asked::new();
    let end = ask(asked.ask(&prober.1, listener.address.port(), ProbeMode::Direct)).await;
    let dialer = Some(key(2).public());
    assert_eq!(outcome(&end), (ProbeOutcome::Ok, dialer, Some(ip(2))));
    assert_eq!(end.prober_ip, Some(ip(2)));
    assert_eq!(end.observed.map(|at| at.ip()), Some(ip(1)));
    let [(_, _, dialback)] = listener.caught.lock().unwrap().clone().try_into().unwrap();
    assert_eq!(dialback.nonce, asked.nonce);
    assert!(!asked.contacts.is_cold(ip(2), Instant::now()));
}

#[tokio::test]
async fn a_cold_probe_brings_the_nonce_home_from_a_stranger() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let third = Host::serving(3, service(3, Vec::new())).await;
    let prober = Host::serving(2, service(2, vec![third.prober(3)]))
        .await
        .kept(2);
    let asked = Asked::new();
    let end = ask(asked.ask(&prober.1, listener.address.port(), ProbeMode::Cold)).await;
    let dialer = Some(key(3).public());
    assert_eq!(outcome(&end), (ProbeOutcome::Ok, dialer, Some(ip(3))));
    assert!(asked.contacts.is_cold(ip(3), Instant::now()));
}

#[tokio::test]
async fn a_refusal_is_no_vote_and_tells_its_reason_and_the_address_seen() {
    let prober = Host::serving(2, service(2, Vec::new())).await.kept(2);
    let asked = Asked::new();
    let end = ask(asked.ask(&prober.1, 22, ProbeMode::Direct)).await;
    assert_eq!(end.answer, ProbeAnswer::Refused(ProbeCode::PortRefused));
    assert_eq!(end.observed.map(|at| at.ip()), Some(ip(1)));
}

#[tokio::test]
async fn servers_to_avoid_are_named() {
    let third = Host::serving(3, service(3, Vec::new())).await;
    let prober = Host::serving(2, service(2, vec![third.prober(3)]))
        .await
        .kept(2);
    let asked = Asked::new();
    let mut cold = asked.ask(&prober.1, 1320, ProbeMode::Cold);
    cold.avoid = vec![key(3).public()];
    let end = ask(cold).await;
    assert_eq!(end.answer, ProbeAnswer::Refused(ProbeCode::NoHelper));
}

#[tokio::test]
async fn a_prober_that_is_not_there_was_contacted_all_the_same() {
    let socket = silent(2);
    let prober = Prober {
        key: key(2).public(),
        address: socket.local_addr().unwrap().to_string(),
        pinned: false,
    };
    let asked = Asked::new();
    let end = ask(asked.ask(&prober, 1320, ProbeMode::Direct)).await;
    assert_eq!((end.prober_ip, end.answer), (None, ProbeAnswer::NotReached));
    assert!(!asked.contacts.is_cold(ip(2), Instant::now()));
}

#[tokio::test]
async fn a_prober_with_another_key_is_not_asked() {
    let prober = Host::serving(2, service(2, Vec::new())).await.kept(2);
    let other = Prober {
        key: key(9).public(),
        ..prober.1.clone()
    };
    let asked = Asked::new();
    let end = ask(asked.ask(&other, 1320, ProbeMode::Direct)).await;
    assert_eq!(end.answer, ProbeAnswer::NotReached);
}

#[tokio::test]
async fn a_server_that_does_not_speak_the_messages_is_unusable() {
    for takes in [Takes::NoExtension, Takes::Silently] {
        let host = Host::listening(2, 2, takes).await.kept(2);
        let asked = Asked::new();
        let end = ask(asked.ask(&host.1, 1320, ProbeMode::Direct)).await;
        let expected = (Some(ip(2)), ProbeAnswer::Unusable);
        assert_eq!((end.prober_ip, end.answer), expected, "{takes:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_cannot_be_asked_from() {
    let prober = Host::serving(2, service(2, Vec::new())).await.kept(2);
    let asked = Asked::new();
    let mut elsewhere = asked.ask(&prober.1, 1320, ProbeMode::Direct);
    elsewhere.from = Some("192.0.2.1".parse().unwrap());
    let end = ask(elsewhere).await;
    assert_eq!(end.answer, ProbeAnswer::LocalError);
}

#[tokio::test]
async fn a_prober_without_an_address_of_the_family_is_not_reached() {
    let prober = Prober {
        key: key(2).public(),
        address: SocketAddr::from((ip(2), 1320)).to_string(),
        pinned: false,
    };
    let asked = Asked::new();
    let mut v6 = asked.ask(&prober, 1320, ProbeMode::Direct);
    v6.from = Some("::".parse().unwrap());
    assert_eq!(ask(v6).await.answer, ProbeAnswer::NotReached);
    assert!(asked.contacts.is_cold(ip(2), Instant::now()));
}
