mod admin;
mod probes;

use proptest::prelude::*;

use super::*;
use crate::{
    base::Role,
    wire::{ClientMessage, ServerMessage, Timestamp, key::SecretKey, testing::hex},
};

fn body(text: &str) -> Vec<u8> {
    hex(&text.replace(' ', ""))
}

fn info() -> InfoReply {
    InfoReply {
        name: "test".to_owned(),
        software: "mosaicd".to_owned(),
        version: "0.1.0".to_owned(),
        spec: "0.8".to_owned(),
        key: SecretKey::from_seed([1; 32]).public(),
        description: None,
        contact: Some("ann@example.com".to_owned()),
        terms: None,
        endpoints: vec!["mosaic://203.0.113.7/".to_owned()],
        roles: [
            (
                StreamRole::Outbox,
                RoleReport {
                    state: RoleCondition::Closed,
                    why: Some("reachability unknown".to_owned()),
                    since: Timestamp::MIN,
                },
            ),
            (
                StreamRole::Application,
                RoleReport {
                    state: RoleCondition::Open,
                    why: None,
                    since: Timestamp::MAX,
                },
            ),
        ]
        .into(),
        applications: vec![1, 99],
        limits: InfoLimits {
            record_bytes: 1 << 20,
            blob_bytes: 0,
            filter_bytes: 65_536,
            query_results: 1_000_000,
            subscriptions_per_stream: 64,
            streams: 64,
            submissions_per_second: 1_000,
            retention_seconds: None,
        },
        registration: Registration::Invite,
        probes: false,
        now: Timestamp::MAX,
        you: None,
        refused: None,
    }
}

#[test]
fn a_role_open_has_the_bytes_of_its_page() {
    let open = RoleOpen {
        role: StreamRole::Application,
        app: Some(99),
    };
    // {"role": "application", "app": 99}
    let golden = body("82 a4726f6c65 ab6170706c69636174696f6e a3617070 63");
    let message = open.encode(0x0201);
    assert_eq!(message[..8], [0x40, 31, 0, 0, 1, 2, 0, 0]);
    assert_eq!(message[8..], golden);
    assert_eq!(RoleOpen::decode(&golden).unwrap(), open);
    let parsed = ClientMessage::parse(&message).unwrap();
    let expected = ExtensionRequest {
        kind: 0x40,
        request_id: 0x0201,
        body: golden.into(),
    };
    assert_eq!(parsed, ClientMessage::Extension(expected));
}

#[test]
fn every_stream_role_travels_by_its_name() {
    let names = [
        (StreamRole::Outbox, "outbox"),
        (StreamRole::Inbox, "inbox"),
        (StreamRole::Encryption, "encryption"),
        (StreamRole::Application, "application"),
        (StreamRole::Operator, "operator"),
    ];
    for (role, name) in names {
        let open = RoleOpen { role, app: None };
        let mut golden = body("81 a4726f6c65");
        golden.push(0xa0 | u8::try_from(name.len()).unwrap());
        golden.extend_from_slice(name.as_bytes());
        assert_eq!(open.encode(0)[8..], golden);
        assert_eq!(RoleOpen::decode(&golden).unwrap(), open);
        assert_eq!(role.role(), Role::from_name(name));
        assert!(role.role().is_none_or(|it| StreamRole::from(it) == role));
    }
}

#[test]
fn a_role_status_has_the_bytes_of_its_page() {
    let status = RoleStatus {
        role: StreamRole::Inbox,
        result: ResultCode::TemporaryError,
        why: Some("no".to_owned()),
    };
    // {"role": "inbox", "result": 65, "why": "no"}
    let golden = body("83 a4726f6c65 a5696e626f78 a6726573756c74 41 a3776879 a26e6f");
    let message = status.encode(7);
    assert_eq!(message[..8], [0xc0, 35, 0, 0, 7, 0, 0, 0]);
    assert_eq!(message[8..], golden);
    assert_eq!(RoleStatus::decode(&golden).unwrap(), status);
    assert!(matches!(
        ServerMessage::parse(&message),
        Ok(ServerMessage::Extension(_))
    ));
    let granted = RoleStatus {
        role: StreamRole::Inbox,
        result: ResultCode::Success,
        why: None,
    };
    assert_eq!(
        granted.encode(7)[8..],
        body("82 a4726f6c65 a5696e626f78 a6726573756c74 01")
    );
}

#[test]
fn an_info_is_an_empty_map() {
    assert_eq!(Info {}.encode(9)[..], [0x41, 9, 0, 0, 9, 0, 0, 0, 0x80]);
    assert_eq!(Info::decode(&[0x80]).unwrap(), Info {});
}

#[test]
fn an_info_reply_comes_back_from_its_bytes() {
    let reply = info();
    let message = reply.encode(1);
    assert_eq!(message[0], 0xc1);
    assert_eq!(InfoReply::decode(&message[8..]).unwrap(), reply);
    // The key is bin32, and absent texts are absent keys.
    let key = [b"\xa3key\xc4\x20".as_slice(), reply.key.as_bytes()].concat();
    assert!(message.windows(key.len()).any(|window| window == key));
    assert!(!message.windows(5).any(|window| window == b"terms"));
    // now: u64 of nanoseconds.
    assert!(message.ends_with(b"\xa3now\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"));
}

#[test]
fn keys_that_nobody_knows_are_ignored() {
    // {"role": "inbox", "new": {"a": [1, nil]}}
    let golden = body("82 a4726f6c65 a5696e626f78 a36e6577 81 a161 92 01 c0");
    assert_eq!(RoleOpen::decode(&golden).unwrap().role, StreamRole::Inbox);
    assert!(Info::decode(&body("81 a36e6577 01")).is_ok());
}

#[test]
fn a_role_that_nobody_knows_is_left_out_of_the_reply() {
    let mut reply = info();
    reply.roles.clear();
    let known = reply.encode(1);
    // {"later": {"state": "open", "since": 0}} in place of {}.
    let later = body("a5726f6c6573 81 a56c61746572 82 a57374617465 a46f70656e a573696e6365 00");
    let empty = b"\xa5roles\x80";
    let at = known.windows(7).position(|window| window == empty).unwrap();
    let extended = [&known[8..at], &later, &known[at + 7..]].concat();
    assert_eq!(InfoReply::decode(&extended).unwrap(), reply);
}

#[test]
fn a_body_that_does_not_decode_says_why() {
    let check = |bytes: &[u8], expected: &str| {
        let error = RoleOpen::decode(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&[], "not a map");
    check(&[0x80], "missing field `role`");
    check(&body("81 a4726f6c65 a3666f6f"), "foo");
    check(&body("81 a4726f6c65 a5696e626f78 00"), "behind the end");
    check(
        &body("82 a4726f6c65 a5696e626f78 a3617070 01"),
        "application only",
    );
    check(&body("91 a5696e626f78"), "not a map");
    // Roles are texts, not numbers.
    check(&body("81 a4726f6c65 01"), "must have");
    check(&[0x81; 100], "nested too deeply");
    check(
        &vec![0x80; limits::EXTENSION_BODY_MAX_BYTES + 1],
        "too large",
    );
}

#[test]
fn a_refusal_goes_out_as_the_reply_to_its_request() {
    let error = RoleOpen::decode(&[0x80]).unwrap_err();
    let refusal = BodyRefusal::of(&error);
    let kinds = [
        (0x40, 0xc0),
        (0x41, 0xc1),
        (0x42, 0xc2),
        (0x43, 0xc4),
        (0x44, 0xc5),
        (0x45, 0xc6),
    ];
    for (request, reply) in kinds {
        let message = refusal.encode(request, 5).unwrap();
        let Ok(ServerMessage::Extension(read)) = ServerMessage::parse(&message) else {
            panic!("{message:02x?}");
        };
        assert_eq!((read.kind, read.request_id), (reply, 5));
        assert!(RoleStatus::decode(&read.body).is_err());
        assert!(InfoReply::decode(&read.body).is_err());
        assert!(ProbeStatus::decode(&read.body).is_err());
        assert!(VoucherStatus::decode(&read.body).is_err());
        assert!(DialbackAck::decode(&read.body).is_err());
        assert_eq!(BodyRefusal::decode(&read.body).unwrap(), refusal);
    }
    assert_eq!(refusal.encode(0x46, 5), None);
}

#[test]
fn a_refusal_does_not_send_a_long_body_back() {
    let mut long = body("81 a4726f6c65 da 4000");
    long.resize(long.len() + 0x4000, b'x');
    let refusal = BodyRefusal::of(&RoleOpen::decode(&long).unwrap_err());
    assert_eq!(refusal.why.chars().count(), limits::WHY_MAX_CHARS);
}

#[test]
fn every_truncation_is_refused() {
    let reply = info().encode(1);
    for end in 8..reply.len() {
        assert!(InfoReply::decode(&reply[8..end]).is_err(), "{end}");
    }
}

/// Whatever a body decodes to comes back from its own encoding.
fn check_answer<B: Body + PartialEq + std::fmt::Debug>(body: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(read) = B::decode(body) {
        let again = B::decode(&read.encode(0)[8..]);
        prop_assert_eq!(again.ok(), Some(read));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_body_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_answer::<RoleOpen>(&bytes)?;
        check_answer::<RoleStatus>(&bytes)?;
        check_answer::<Info>(&bytes)?;
        check_answer::<InfoReply>(&bytes)?;
    }

    #[test]
    fn any_change_of_a_body_is_answered(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = info().encode(1)[8..].to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check_answer::<InfoReply>(&bytes)?;
    }
}

#[test]
fn a_redeem_and_its_result_have_the_bytes_of_their_page() {
    let code = InvitationCode::from_bytes([0; 16]).to_string();
    assert_eq!(code, "y".repeat(26));
    let redeem = Redeem { code };
    // {"code": "yyyyyyyyyyyyyyyyyyyyyyyyyy"}
    let golden = body(&format!("81 a4636f6465 ba{}", "79".repeat(26)));
    let message = redeem.encode(5);
    assert_eq!(message[..8], [0x49, 41, 0, 0, 5, 0, 0, 0]);
    assert_eq!(message[8..], golden);
    assert_eq!(Redeem::decode(&golden).unwrap(), redeem);
    let result = RedeemResult {
        result: ResultCode::NotFound,
        why: Some("no".to_owned()),
    };
    // {"result": 16, "why": "no"}
    let golden = body("82 a6726573756c74 10 a3776879 a26e6f");
    assert_eq!(result.encode(5)[0], 0xc9);
    assert_eq!(result.encode(5)[8..], golden);
    assert_eq!(RedeemResult::decode(&golden).unwrap(), result);
}

#[test]
fn an_invitation_is_read_back_from_its_text_and_is_not_in_the_debug_output() {
    let code = InvitationCode::from_bytes([0xa7; 16]);
    assert_eq!(code.to_string().parse(), Ok(code.clone()));
    assert!("".parse::<InvitationCode>().is_err());
    assert!(format!("{code}y").parse::<InvitationCode>().is_err());
    let redeem = Redeem {
        code: code.to_string(),
    };
    let shown = format!("{code:?} {redeem:?}");
    assert!(!shown.contains(&code.to_string()) && !shown.contains("167"));
}

#[test]
fn what_is_kept_for_a_user_is_in_info_where_there_is_one_and_may_be_absent() {
    let you = UserReport {
        served: true,
        records: 1,
        records_max: Some(7),
        ..UserReport::default()
    };
    let reply = InfoReply {
        you: Some(you),
        ..info()
    };
    assert_eq!(InfoReply::decode(&reply.encode(0)[8..]).unwrap(), reply);
    let without = info().encode(0);
    assert!(!without.windows(3).any(|it| it == b"you"), "as before");
}
