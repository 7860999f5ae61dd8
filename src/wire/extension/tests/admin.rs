//! ADMIN and ADMIN REPLY.

use super::*;

fn row(pairs: &[(&str, AdminValue)]) -> AdminRow {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn every_value() -> AdminRow {
    row(&[
        ("a", AdminValue::Nil),
        ("b", true.into()),
        ("c", 300_u64.into()),
        ("d", (-2_i64).into()),
        ("e", "hi".into()),
        ("f", AdminValue::Bytes(vec![1, 2])),
        ("g", AdminValue::List(vec![1_u64.into(), "x".into()])),
    ])
}

#[test]
fn an_order_has_the_bytes_of_its_page() {
    let order = AdminCall {
        call: "user.add".to_owned(),
        args: every_value(),
    };
    // {"call": "user.add", "args": {"a": nil, "b": true, "c": 300, "d": -2, "e": "hi",
    //  "f": bin 01 02, "g": [1, "x"]}}
    let golden = body(
        "82 a463616c6c a8757365722e616464 a461726773 87 \
         a161 c0 a162 c3 a163 cd012c a164 fe a165 a26869 a166 c4020102 a167 9201a178",
    );
    let message = order.encode(0x0201);
    assert_eq!(message[..8], [0x45, 60, 0, 0, 1, 2, 0, 0]);
    assert_eq!(message[8..], golden);
    assert_eq!(AdminCall::decode(&golden).unwrap(), order);
    assert!(matches!(
        ClientMessage::parse(&message),
        Ok(ClientMessage::Extension(request)) if request.kind == 0x45
    ));
}

#[test]
fn a_reply_has_the_bytes_of_its_page() {
    let reply = AdminReply {
        more: true,
        ..AdminReply::done(vec![row(&[("n", 1_u64.into())])])
    };
    // {"result": 1, "rows": [{"n": 1}], "more": true}
    let golden = body("83 a6726573756c74 01 a4726f7773 91 81a16e01 a46d6f7265 c3");
    let message = reply.encode(7);
    assert_eq!(message[..4], [0xc6, 33, 0, 0]);
    assert_eq!(message[8..], golden);
    assert_eq!(AdminReply::decode(&golden).unwrap(), reply);
    assert!(matches!(
        ServerMessage::parse(&message),
        Ok(ServerMessage::Extension(_))
    ));
}

#[test]
fn a_refusal_of_the_body_is_a_reply_that_is_the_last() {
    let refusal = BodyRefusal::of(&AdminCall::decode(&[0x80]).unwrap_err());
    let message = refusal.encode(AdminCall::KIND, 5).unwrap();
    let reply = AdminReply::decode(&message[8..]).unwrap();
    assert_eq!(reply.result, ResultCode::Invalid);
    assert!(reply.why.unwrap().contains("missing field `call`"));
    assert!(reply.rows.is_empty() && !reply.more);
}

#[test]
fn what_is_no_value_is_refused() {
    let check = |value: &str| {
        let order = body(&format!("82 a463616c6c a178 a461726773 81 a161 {value}"));
        assert!(AdminCall::decode(&order).is_err(), "{value}");
    };
    check("ca3f800000");
    check("cb3ff0000000000000");
    check("80");
    check("81a16101");
    check("919101");
    check("d40101");
    let fine = body("82 a463616c6c a178 a461726773 81 a161 9102");
    assert!(AdminCall::decode(&fine).is_ok());
}

#[test]
fn a_long_listing_goes_out_in_bodies_that_fit_and_all_but_the_last_say_that_more_comes() {
    let rows: Vec<AdminRow> = (0..100_u64)
        .map(|number| {
            let text = "x".repeat(limits::ADMIN_TEXT_MAX_BYTES);
            row(&[("n", number.into()), ("t", text.into())])
        })
        .collect();
    for more in [false, true] {
        let reply = AdminReply {
            more,
            ..AdminReply::done(rows.clone())
        };
        let messages = reply.encode_all(9);
        assert!(messages.len() > 1);
        let mut seen = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            assert!(message.len() <= 8 + limits::EXTENSION_BODY_MAX_BYTES);
            let part = AdminReply::decode(&message[8..]).unwrap();
            assert_eq!(part.more, more || place + 1 < messages.len());
            seen.extend(part.rows);
        }
        assert_eq!(seen, rows);
    }
    assert_eq!(AdminReply::done(Vec::new()).encode_all(1).len(), 1);
}

#[test]
fn a_row_that_fits_no_message_ends_the_answer_with_an_error() {
    let large = AdminValue::Bytes(vec![0; limits::EXTENSION_BODY_MAX_BYTES]);
    let rows = vec![row(&[("a", 1_u64.into())]), row(&[("b", large)])];
    let messages = AdminReply::done(rows).encode_all(9);
    let parts: Vec<AdminReply> = messages
        .iter()
        .map(|message| AdminReply::decode(&message[8..]).unwrap())
        .collect();
    assert_eq!(parts.len(), 2);
    assert!(parts[0].more && parts[0].rows.len() == 1);
    assert!(!parts[1].more && parts[1].result == ResultCode::GeneralError);
}

#[test]
fn a_long_text_is_cut_between_two_characters() {
    let text = "é".repeat(limits::ADMIN_TEXT_MAX_BYTES);
    let AdminValue::Text(cut) = AdminValue::text(&text) else {
        panic!("no text");
    };
    assert!(cut.len() <= limits::ADMIN_TEXT_MAX_BYTES && text.starts_with(&cut));
}

#[test]
fn every_truncation_of_an_order_is_refused() {
    let order = AdminCall {
        call: "user.add".to_owned(),
        args: every_value(),
    };
    let message = order.encode(1);
    for end in 8..message.len() {
        assert!(AdminCall::decode(&message[8..end]).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn any_order_and_any_reply_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_answer::<AdminCall>(&bytes)?;
        check_answer::<AdminReply>(&bytes)?;
    }

    #[test]
    fn any_change_of_an_order_is_answered(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let order = AdminCall { call: "x".to_owned(), args: every_value() };
        let mut bytes = order.encode(1)[8..].to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check_answer::<AdminCall>(&bytes)?;
    }
}
