//! The six bodies of the tests of reachability.

use std::fmt::Debug;

use super::*;
use crate::wire::key::Signature;

const NONCE: [u8; 16] = [
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
];

const NONCE_HEX: &str = "101112131415161718191a1b1c1d1e1f";

fn signature(byte: u8) -> Signature {
    Signature::from_bytes([byte; 64])
}

/// A MessagePack text.
fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 32);
    [&[0xa0 | length], text.as_bytes()].concat()
}

/// A MessagePack *bin* of less than 256 bytes.
fn bin(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    [&[0xc4, length], bytes].concat()
}

/// A map of these keys and encoded values.
fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut map = vec![0x80 | u8::try_from(entries.len()).unwrap()];
    for (key, value) in entries {
        map.extend(text(key));
        map.extend(value);
    }
    map
}

/// A body goes out as these bytes, and they are read as it.
fn check_golden<B: Body + PartialEq + Debug>(body: &B, kind: u8, golden: &[u8]) {
    let message = body.encode(0x0201);
    let length = u8::try_from(message.len() & 0xff).unwrap();
    let high = u8::try_from(message.len() >> 8).unwrap();
    assert_eq!(message[..8], [kind, length, high, 0, 1, 2, 0, 0]);
    assert_eq!(message[8..], *golden);
    assert_eq!(B::decode(golden).as_ref().ok(), Some(body));
}

/// Every body once with all that is optional, and once without.
fn requests() -> [ProbeRequest; 2] {
    let least = ProbeRequest {
        nonce: Nonce::from_bytes(NONCE),
        port: 1320,
        mode: ProbeMode::Direct,
        own: None,
        pad: Vec::new().into(),
        transport: ProbeTransport::Quic,
        asked: None,
        avoid: Vec::new(),
    };
    let most = ProbeRequest {
        mode: ProbeMode::Cold,
        own: Some("[2001:db8::1]:1320".parse().unwrap()),
        pad: vec![0; 3].into(),
        transport: ProbeTransport::Tcp,
        asked: Some(signature(7)),
        avoid: vec![[8; 32].into()],
        ..least.clone()
    };
    [least, most]
}

fn statuses() -> [ProbeStatus; 2] {
    let least = ProbeStatus {
        code: ProbeCode::Accepted,
        observed: "203.0.113.7:1320".parse().unwrap(),
        cost: None,
        now: Timestamp::MAX,
    };
    let most = ProbeStatus {
        code: ProbeCode::CostRequired,
        cost: Some(32_768),
        ..least.clone()
    };
    [least, most]
}

fn results() -> [ProbeResult; 2] {
    let least = ProbeResult {
        outcome: ProbeOutcome::NoResponse,
        control_ok: true,
        dialer: None,
        dialer_ip: None,
        signature: None,
    };
    let most = ProbeResult {
        outcome: ProbeOutcome::Ok,
        control_ok: false,
        dialer: Some(SecretKey::from_seed([1; 32]).public()),
        dialer_ip: Some("2001:db8::7".parse().unwrap()),
        signature: Some(signature(9)),
    };
    [least, most]
}

fn voucher() -> Voucher {
    Voucher {
        server: SecretKey::from_seed([1; 32]).public(),
        ip: "203.0.113.7".parse().unwrap(),
        port: 1320,
        nonce: Nonce::from_bytes(NONCE),
        issued: Timestamp::from_nanos(1).unwrap(),
        expires: Timestamp::from_nanos(2).unwrap(),
        asked: signature(3),
        signature: signature(4),
        transport: ProbeTransport::Quic,
        pad: Vec::new().into(),
    }
}

fn dialback() -> Dialback {
    Dialback {
        nonce: Nonce::from_bytes(NONCE),
        mode: ProbeMode::Canary,
        dialed: "203.0.113.7:1320".parse().unwrap(),
    }
}

fn ack() -> DialbackAck {
    DialbackAck {
        nonce_hash: Nonce::from_bytes(NONCE).hash().into(),
        from: "[2001:db8::1]:5".parse().unwrap(),
    }
}

/// Messages of all six types.
fn messages() -> Vec<Bytes> {
    let mut messages = vec![voucher().encode(1), dialback().encode(1), ack().encode(1)];
    messages.extend(requests().map(|body| body.encode(1)));
    messages.extend(statuses().map(|body| body.encode(1)));
    messages.extend(results().map(|body| body.encode(1)));
    let statuses = [(ProbeCode::Accepted, None), (ProbeCode::Busy, Some(5))];
    messages.extend(statuses.map(|(code, cost)| VoucherStatus { code, cost }.encode(1)));
    messages
}

/// Reads `body` as what a message of type `kind` has, and writes it again.
fn again(kind: u8, body: &[u8]) -> Result<Bytes, BodyError> {
    Ok(match kind {
        0x42 => ProbeRequest::decode(body)?.encode(1),
        0x43 => Voucher::decode(body)?.encode(1),
        0x44 => Dialback::decode(body)?.encode(1),
        0xc2 => ProbeStatus::decode(body)?.encode(1),
        0xc3 => ProbeResult::decode(body)?.encode(1),
        0xc4 => VoucherStatus::decode(body)?.encode(1),
        0xc5 => DialbackAck::decode(body)?.encode(1),
        _ => unreachable!("{kind:#x}"),
    })
}

#[test]
fn a_probe_request_has_the_bytes_of_its_page() {
    let [least, most] = requests();
    // {"nonce": bin16, "port": 1320, "mode": "direct", "pad": bin0}
    let golden = format!(
        "84 a56e6f6e6365 c410{NONCE_HEX} a4706f7274 cd0528 a46d6f6465 a6646972656374 a3706164 c400"
    );
    check_golden(&least, 0x42, &body(&golden));
    let golden = map(&[
        ("nonce", bin(&NONCE)),
        ("port", vec![0xcd, 0x05, 0x28]),
        ("mode", text("cold")),
        ("self", text("[2001:db8::1]:1320")),
        ("pad", bin(&[0; 3])),
        ("transport", text("tcp")),
        ("asked", bin(&[7; 64])),
        ("avoid", [vec![0x91], bin(&[8; 32])].concat()),
    ]);
    check_golden(&most, 0x42, &golden);
}

#[test]
fn a_probe_status_has_the_bytes_of_its_page() {
    let [least, most] = statuses();
    let now = body("cf 7fffffffffffffff");
    let golden = map(&[
        ("code", text("accepted")),
        ("observed", text("203.0.113.7:1320")),
        ("now", now.clone()),
    ]);
    check_golden(&least, 0xc2, &golden);
    let golden = map(&[
        ("code", text("cost-required")),
        ("observed", text("203.0.113.7:1320")),
        ("cost", body("cd 8000")),
        ("now", now),
    ]);
    check_golden(&most, 0xc2, &golden);
}

#[test]
fn a_probe_result_has_the_bytes_of_its_page() {
    let [least, most] = results();
    // {"outcome": "no-response", "control_ok": true}
    let golden = "82 a76f7574636f6d65 ab6e6f2d726573706f6e7365 aa636f6e74726f6c5f6f6b c3";
    check_golden(&least, 0xc3, &body(golden));
    let key = SecretKey::from_seed([1; 32]).public();
    let golden = map(&[
        ("outcome", text("ok")),
        ("control_ok", vec![0xc2]),
        ("dialer", bin(key.as_bytes())),
        ("dialer_ip", text("2001:db8::7")),
        ("signature", bin(&[9; 64])),
    ]);
    check_golden(&most, 0xc3, &golden);
}

#[test]
fn a_voucher_has_the_bytes_of_its_page() {
    let voucher = voucher();
    let golden = map(&[
        ("server", bin(voucher.server.as_bytes())),
        ("ip", text("203.0.113.7")),
        ("port", vec![0xcd, 0x05, 0x28]),
        ("nonce", bin(&NONCE)),
        ("issued", vec![1]),
        ("expires", vec![2]),
        ("asked", bin(&[3; 64])),
        ("signature", bin(&[4; 64])),
        ("transport", text("quic")),
        ("pad", bin(&[])),
    ]);
    check_golden(&voucher, 0x43, &golden);
    // The page does not name the last two.
    let mut named = golden;
    named[0] = 0x88;
    let behind = [text("transport"), text("quic"), text("pad"), bin(&[])];
    named.truncate(named.len() - behind.concat().len());
    assert_eq!(Voucher::decode(&named).unwrap(), voucher);
}

#[test]
fn a_voucher_status_has_the_bytes_of_its_page() {
    let accepted = VoucherStatus {
        code: ProbeCode::Accepted,
        cost: None,
    };
    check_golden(&accepted, 0xc4, &map(&[("code", text("accepted"))]));
    let costs = VoucherStatus {
        code: ProbeCode::CostRequired,
        cost: Some(5),
    };
    let golden = map(&[("code", text("cost-required")), ("cost", vec![5])]);
    check_golden(&costs, 0xc4, &golden);
}

#[test]
fn a_dialback_has_the_bytes_of_its_page() {
    let golden = map(&[
        ("nonce", bin(&NONCE)),
        ("mode", text("canary")),
        ("dialed", text("203.0.113.7:1320")),
    ]);
    check_golden(&dialback(), 0x44, &golden);
}

#[test]
fn a_dialback_ack_has_the_bytes_of_its_page() {
    let golden = map(&[
        ("nonce_hash", bin(blake3::hash(&NONCE).as_bytes())),
        ("from", text("[2001:db8::1]:5")),
    ]);
    check_golden(&ack(), 0xc5, &golden);
}

#[test]
fn every_code_and_outcome_travels_by_its_name() {
    let codes = [
        (ProbeCode::Accepted, "accepted"),
        (ProbeCode::RateLimited, "rate-limited"),
        (ProbeCode::Busy, "busy"),
        (ProbeCode::NoFamily, "no-family"),
        (ProbeCode::NotGlobal, "not-global"),
        (ProbeCode::SameNetwork, "same-network"),
        (ProbeCode::PortRefused, "port-refused"),
        (ProbeCode::NoHelper, "no-helper"),
        (ProbeCode::CostRequired, "cost-required"),
    ];
    for (code, name) in codes {
        let status = VoucherStatus { code, cost: None };
        check_golden(&status, 0xc4, &map(&[("code", text(name))]));
    }
    let outcomes = [
        (ProbeOutcome::Ok, "ok"),
        (ProbeOutcome::NoResponse, "no-response"),
        (ProbeOutcome::Unreachable, "unreachable"),
        (ProbeOutcome::WrongKey, "wrong-key"),
        (ProbeOutcome::NonceRejected, "nonce-rejected"),
        (ProbeOutcome::ProtocolError, "protocol-error"),
        (ProbeOutcome::LocalError, "local-error"),
    ];
    for (outcome, name) in outcomes {
        let [least, _] = results();
        let result = ProbeResult { outcome, ..least };
        let golden = map(&[("outcome", text(name)), ("control_ok", vec![0xc3])]);
        check_golden(&result, 0xc3, &golden);
    }
}

#[test]
fn an_absent_optional_key_and_one_that_is_nil_are_the_same() {
    let golden = map(&[
        ("outcome", text("no-response")),
        ("control_ok", vec![0xc3]),
        ("dialer", vec![0xc0]),
        ("dialer_ip", vec![0xc0]),
        ("signature", vec![0xc0]),
    ]);
    assert_eq!(ProbeResult::decode(&golden).unwrap(), results()[0]);
    // {"nonce", "port", "mode"} alone.
    let golden = map(&[
        ("nonce", bin(&NONCE)),
        ("port", vec![0xcd, 0x05, 0x28]),
        ("mode", text("direct")),
    ]);
    assert_eq!(ProbeRequest::decode(&golden).unwrap(), requests()[0]);
}

#[test]
fn keys_that_nobody_knows_are_ignored_in_every_body() {
    for message in messages() {
        let mut extended = message[8..].to_vec();
        assert!((0x80..0x8f).contains(&extended[0]));
        extended[0] += 1;
        // "new": {"a": [1, nil]}
        extended.extend(body("a36e6577 81 a161 92 01 c0"));
        assert_eq!(again(message[0], &extended).unwrap(), message);
    }
}

#[test]
fn every_truncation_of_every_body_is_refused() {
    for message in messages() {
        assert_eq!(again(message[0], &message[8..]).unwrap(), message);
        for end in 8..message.len() {
            let cut = again(message[0], &message[8..end]);
            assert!(cut.is_err(), "{:#x} at {end}", message[0]);
        }
    }
}

#[test]
fn fields_of_another_length_or_form_are_refused() {
    let with = |nonce: Vec<u8>, port: Vec<u8>, dialed: &str| {
        let golden = map(&[
            ("nonce", nonce.clone()),
            ("mode", text("direct")),
            ("dialed", text(dialed)),
        ]);
        let request = map(&[("nonce", nonce), ("port", port), ("mode", text("direct"))]);
        (
            Dialback::decode(&golden).is_ok(),
            ProbeRequest::decode(&request).is_ok(),
        )
    };
    let (ip, port) = ("203.0.113.7:1320", vec![5]);
    assert_eq!(with(bin(&NONCE), port.clone(), ip), (true, true));
    assert_eq!(with(bin(&NONCE[1..]), port.clone(), ip), (false, false));
    assert_eq!(with(bin(&[0; 17]), port, ip), (false, false));
    assert_eq!(with(bin(&NONCE), body("ce 00010000"), ip), (true, false));
    assert_eq!(with(bin(&NONCE), vec![0xff], ip), (true, false));
    for address in ["203.0.113.7", "host:1320", "203.0.113.7:65536", ""] {
        assert_eq!(
            with(bin(&NONCE), vec![5], address),
            (false, true),
            "{address}"
        );
    }
}

proptest! {
    #[test]
    fn any_body_of_a_test_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_answer::<ProbeRequest>(&bytes)?;
        check_answer::<ProbeStatus>(&bytes)?;
        check_answer::<ProbeResult>(&bytes)?;
        check_answer::<Voucher>(&bytes)?;
        check_answer::<VoucherStatus>(&bytes)?;
        check_answer::<Dialback>(&bytes)?;
        check_answer::<DialbackAck>(&bytes)?;
    }

    #[test]
    fn any_change_of_a_body_of_a_test_is_answered(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let messages = messages();
        let message = &messages[which.index(messages.len())];
        let mut bytes = message[8..].to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = again(message[0], &bytes) {
            prop_assert_eq!(again(message[0], &read[8..]).ok(), Some(read));
        }
    }
}
