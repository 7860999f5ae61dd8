use std::net::Ipv4Addr;

use super::super::output::Row as _;
use super::*;
use crate::base::limits;

const OBSERVED: &str = "11.1.0.1:40000";

fn command(mode: ProbeMode) -> ProbeCommand {
    ProbeCommand {
        port: None,
        mode,
        transport: ProbeTransport::Quic,
    }
}

fn server() -> Prober {
    Prober {
        key: SecretKey::from_seed([1; 32]).public(),
        address: "12.1.0.1:1320".into(),
        pinned: false,
    }
}

fn found(answer: ProbeAnswer, arrived_at: Option<&str>, local: Option<&str>) -> Found {
    Found {
        end: ProbeEnd {
            prober_ip: Some("13.1.0.1".parse().unwrap()),
            observed: Some(OBSERVED.parse().unwrap()),
            answer,
        },
        arrived: arrived_at.map(|to| Arrived {
            from: "12.1.0.1:5".parse().unwrap(),
            to: Some(to.parse().unwrap()),
            dialer: None,
        }),
        local: local.map(|ip| vec![ip.parse().unwrap()]),
    }
}

fn dialed(outcome: ProbeOutcome) -> ProbeAnswer {
    ProbeAnswer::Dialed {
        outcome,
        control_ok: true,
        dialer: None,
        dialer_ip: None,
    }
}

#[test]
fn each_finding_has_its_meaning_and_its_exit_code() {
    let check = |found: Found, mode, words: &str, exit| {
        let meaning = found.meaning(mode);
        assert!(meaning.contains(words), "{words}: {meaning}");
        assert_eq!(found.exit(), exit, "{words}");
    };
    let (direct, cold) = (ProbeMode::Direct, ProbeMode::Cold);
    let (ok, silent) = (dialed(ProbeOutcome::Ok), dialed(ProbeOutcome::NoResponse));
    let own = Some("11.1.0.1");
    check(found(ok, own, own), direct, "--mode cold", Exit::Done);
    check(found(ok, own, own), cold, "can be PUBLIC", Exit::Done);
    let inside = Some("192.168.0.2");
    check(found(ok, inside, inside), cold, "FORWARDED", Exit::Done);
    check(
        found(silent, None, own),
        direct,
        "FIREWALLED",
        Exit::Refused,
    );
    check(
        found(silent, None, inside),
        direct,
        "behind a NAT",
        Exit::Refused,
    );
    check(
        found(silent, None, None),
        direct,
        "NAT or a firewall",
        Exit::Refused,
    );
    check(found(ok, None, own), direct, "mistaken", Exit::Refused);
    let other = dialed(ProbeOutcome::WrongKey);
    check(
        found(other, None, own),
        direct,
        "somebody else",
        Exit::Refused,
    );
    let refused = ProbeAnswer::Refused(ProbeCode::NotGlobal);
    check(
        found(refused, None, own),
        direct,
        "not one of the public",
        Exit::Refused,
    );
    let gone = ProbeAnswer::NotReached;
    check(
        found(gone, None, own),
        direct,
        "nothing was tested",
        Exit::NoConnection,
    );
}

#[test]
fn a_server_that_dials_by_itself_shows_nothing_about_strangers() {
    let own = Some("11.1.0.1");
    let mut found = found(dialed(ProbeOutcome::Ok), own, own);
    found.end.prober_ip = Some("12.1.0.1".parse().unwrap());
    let meaning = found.meaning(ProbeMode::Cold);
    assert!(
        meaning.contains("by the server that was asked"),
        "{meaning}"
    );
}

#[test]
fn silence_means_little_where_the_dialer_s_way_out_is_not_proved() {
    let answer = ProbeAnswer::Dialed {
        outcome: ProbeOutcome::NoResponse,
        control_ok: false,
        dialer: None,
        dialer_ip: None,
    };
    let meaning = found(answer, None, Some("11.1.0.1")).meaning(ProbeMode::Direct);
    assert!(meaning.contains("its own way out"), "{meaning}");
}

#[test]
fn people_and_programs_are_told_the_same() {
    let found = found(dialed(ProbeOutcome::Ok), Some("10.0.0.2"), Some("10.0.0.2"));
    let row = ProbeRow::new(&server(), &command(ProbeMode::Direct), 15_000, &found);
    let mut text = Vec::new();
    row.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for words in [
        "11.1.0.1:40000, global, not an address of this machine",
        "direct, quic, port 15000",
        "yes, from 12.1.0.1:5 to 10.0.0.2",
        "accepted",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(json["observed"], OBSERVED);
    assert_eq!(json["observed_is_local"], false);
    assert_eq!(json["status"], "accepted");
    assert_eq!(json["result"]["outcome"], "ok");
    assert_eq!(json["arrived"]["to"], "10.0.0.2");
    assert!(rmp_serde::to_vec_named(&row).is_ok());
}

#[test]
fn a_server_is_asked_over_quic_and_by_its_key() {
    let check = |target: Target, is_fit: bool| {
        assert_eq!(prober(&target).is_ok(), is_fit, "{target:?}");
    };
    let trust = ServerTrust::Exact(server().key);
    check(Target::new("a.example", 1, trust), true);
    check(Target::new("a.example", 1, ServerTrust::Any), false);
    let tcp = Target::new("a.example", 1, trust).with_transport(Transport::Tcp);
    check(tcp, false);
}

#[tokio::test]
async fn a_dialback_with_another_nonce_does_not_count() {
    use crate::client::RawConnection;
    use crate::wire::{Body, ClientMessage, Dialback, EXTENSION_APP};

    let identity = SecretKey::from_seed([2; 32]);
    let mut ports = Ports::open(&command(ProbeMode::Direct), &identity).unwrap();
    let dialed: SocketAddr = (Ipv4Addr::LOCALHOST, ports.port).into();
    let dial = async |nonce| {
        let target = Target::from((dialed, ServerTrust::Exact(identity.public())));
        let connecting = RawConnection::connect(&target, None, limits::CLIENT_TIMEOUT);
        let connection = connecting.await.unwrap();
        let mut stream = connection.open().await.unwrap();
        let apps = vec![EXTENSION_APP];
        let hello = ClientMessage::Hello { version: 0, apps }.encode();
        let mode = ProbeMode::Direct;
        let dialback = Dialback {
            nonce,
            mode,
            dialed,
        };
        stream.send(hello).await.unwrap();
        stream.send(dialback.encode(1)).await.unwrap();
        stream.receive().await.unwrap();
        stream.receive().await.unwrap();
    };
    let ours = Nonce::from_bytes([1; 16]);
    for (nonce, counts) in [(Nonce::from_bytes([9; 16]), false), (ours, true)] {
        let asking = Box::pin(async {
            dial(nonce).await;
            found(ProbeAnswer::Unusable, None, None).end
        });
        let (_, arrived) = wait(asking, &mut ports, &ours).await;
        assert_eq!(arrived.is_some(), counts);
    }
}
