//! Calls against parts that only note what they were asked.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::base::Role;
use crate::wire::{AdminRow, AdminValue, RecordId, SecretKey, Timestamp};

/// Notes what it was asked.
#[derive(Default)]
struct Clerk {
    asked: Mutex<Vec<String>>,
    orders: Mutex<Vec<Order>>,
}

impl Clerk {
    fn note(&self, order: &Order, what: String) {
        self.orders.lock().unwrap().push(order.clone());
        self.asked.lock().unwrap().push(what);
    }
}

impl Bans for Clerk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<BanLine>, Refused> {
        assert!(max > 0);
        let line = |target: &str| BanLine {
            target: target.to_owned(),
            until: None,
            why: String::new(),
            since: None,
            by: None,
        };
        Ok(match from {
            None => Listing {
                lines: vec![line("1.2.3.4")],
                next: Some(b"here".to_vec()),
            },
            Some(b"here") => Listing::whole(vec![line("1.2.3.5")]),
            Some(other) => panic!("{other:?}"),
        })
    }

    fn set(
        &self,
        order: &Order,
        target: &str,
        lifetime: Option<Duration>,
        why: &str,
    ) -> Result<BanLine, Refused> {
        self.note(order, format!("set {target} {lifetime:?} {why}"));
        Ok(BanLine {
            target: target.to_owned(),
            until: Some(Timestamp::MAX),
            why: why.to_owned(),
            since: None,
            by: Some(order.by),
        })
    }

    fn lift(&self, order: &Order, target: &str) -> Result<(), Refused> {
        self.note(order, format!("lift {target}"));
        Err(Refused::not_found("it is not banned"))
    }
}

impl Records for Clerk {
    fn delete(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        self.note(order, format!("delete {}", ids.len()));
        Ok(ids.iter().skip(1).copied().collect())
    }
}

impl Roles for Clerk {
    fn list(&self) -> Vec<RoleLine> {
        Vec::new()
    }

    fn close(&self, order: &Order, role: Role, why: &str) -> Result<(), Refused> {
        self.note(order, format!("close {role} {why}"));
        Ok(())
    }

    fn open(&self, order: &Order, role: Role) -> Result<(), Refused> {
        self.note(order, format!("open {role}"));
        Ok(())
    }
}

impl Audit for Clerk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<AuditLine>, Refused> {
        let start = from.map_or(0, |from| from[0]);
        let end = start.saturating_add(u8::try_from(max).unwrap()).min(200);
        let line = |number: u8| AuditLine {
            received: Timestamp::from_nanos(1_000 - u64::from(number)).unwrap(),
            by: None,
            call: number.to_string(),
            detail: String::new(),
        };
        Ok(Listing {
            lines: (start..end).map(line).collect(),
            next: (end < 200).then(|| vec![end]),
        })
    }
}

fn admin(clerk: &Arc<Clerk>) -> Admin {
    Admin::new(Parts {
        bans: Some(Arc::clone(clerk) as Arc<dyn Bans>),
        records: Some(Arc::clone(clerk) as Arc<dyn Records>),
        roles: Some(Arc::clone(clerk) as Arc<dyn Roles>),
        audit: Some(Arc::clone(clerk) as Arc<dyn Audit>),
        ..Parts::default()
    })
}

fn me() -> PublicKey {
    SecretKey::from_seed([9; 32]).public()
}

fn call(name: &str, args: &[(&str, AdminValue)]) -> AdminCall {
    let args = args.iter();
    AdminCall {
        call: name.to_owned(),
        args: args
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    }
}

fn id(number: u8) -> AdminValue {
    let mut bytes = [number; 48];
    bytes[..8].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    AdminValue::from(RecordId::from_bytes(&bytes).unwrap())
}

/// Checks the code of a refusal, what its reason names, and that no part was asked.
fn check_refused(name: &str, args: &[(&str, AdminValue)], result: ResultCode, names: &str) {
    let clerk = Arc::new(Clerk::default());
    let answer = admin(&clerk).call(me(), &call(name, args), None);
    assert_eq!(answer.reply.result, result, "{name} {args:?}");
    let why = answer.reply.why.unwrap();
    assert!(why.contains(names), "{name}: {why}");
    assert!(answer.reply.rows.is_empty() && answer.next.is_none());
    assert!(clerk.asked.lock().unwrap().is_empty(), "{name}");
}

#[test]
fn a_call_or_an_argument_that_is_not_right_is_refused_by_its_name_and_nothing_is_done() {
    let invalid = ResultCode::Invalid;
    check_refused("", &[], invalid, "there are user");
    check_refused("bans.set", &[], invalid, "\"bans.set\"");
    check_refused("ban", &[], invalid, "ban.lift");
    check_refused("ban.add", &[], invalid, "ban.set");
    check_refused("role.close.now", &[], invalid, "role.close.now");
    check_refused("ban.set", &[], invalid, "target is missing");
    check_refused(
        "ban.set",
        &[("target", 1_u64.into())],
        invalid,
        "target must be",
    );
    let target = ("target", "1.2.3.4".into());
    check_refused(
        "ban.set",
        &[target.clone(), ("secs", 1_u64.into())],
        invalid,
        "\"secs\"",
    );
    check_refused(
        "ban.set",
        &[target.clone(), ("seconds", (-1_i64).into())],
        invalid,
        "seconds must be",
    );
    let long = "x".repeat(limits_of_notes() + 1);
    check_refused(
        "ban.set",
        &[target, ("why", long.into())],
        invalid,
        "why must be",
    );
    check_refused(
        "role.close",
        &[("role", "operator".into())],
        invalid,
        "role must be",
    );
    let ids = |values: Vec<AdminValue>| [("ids", AdminValue::List(values))];
    check_refused("record.delete", &ids(Vec::new()), invalid, "ids must be");
    check_refused(
        "record.delete",
        &ids(vec![id(1), id(1)]),
        invalid,
        "ids must be",
    );
    check_refused(
        "record.delete",
        &ids(vec!["x".into()]),
        invalid,
        "ids must be",
    );
    let many = vec![id(1); crate::base::limits::ADMIN_LIST_MAX + 1];
    check_refused("record.delete", &ids(many), invalid, "ids must be");
    let missing = ResultCode::PersistentError;
    check_refused("user.list", &[], missing, "user");
    check_refused("reload", &[], missing, "reload");
}

fn limits_of_notes() -> usize {
    crate::base::limits::ADMIN_NOTE_MAX_BYTES
}

#[test]
fn a_part_is_asked_with_what_the_arguments_say() {
    let clerk = Arc::new(Clerk::default());
    let admin = admin(&clerk);
    let target = ("target", AdminValue::from("10.0.0.0/8"));
    let set = call(
        "ban.set",
        &[
            target.clone(),
            ("seconds", 60_u64.into()),
            ("why", "spam".into()),
        ],
    );
    let answer = admin.call(me(), &set, None);
    assert_eq!(answer.reply.result, ResultCode::Success);
    let row = &answer.reply.rows[0];
    assert_eq!(row["target"], "10.0.0.0/8".into());
    assert_eq!(row["by"], me().into());
    assert!(!row.contains_key("since"), "what is nil is left out");
    let nil = ("seconds", AdminValue::Nil);
    let lift = admin.call(me(), &call("ban.lift", &[target]), None);
    assert_eq!(lift.reply.result, ResultCode::NotFound);
    let target = ("target", AdminValue::from("::1"));
    assert_eq!(
        admin
            .call(me(), &call("ban.set", &[target, nil]), None)
            .reply
            .result,
        ResultCode::Success
    );
    let close = call("role.close", &[("role", "inbox".into())]);
    let _closed = admin.call(me(), &close, None);
    let open = call("role.open", &[("role", "inbox".into())]);
    let _opened = admin.call(me(), &open, None);
    let asked = clerk.asked.lock().unwrap();
    assert_eq!(
        *asked,
        [
            "set 10.0.0.0/8 Some(60s) spam",
            "lift 10.0.0.0/8",
            "set ::1 None ",
            "close inbox ",
            "open inbox"
        ]
    );
}

#[test]
fn the_trail_says_who_did_what_with_which_arguments() {
    let clerk = Arc::new(Clerk::default());
    let ids = AdminValue::List((1..=20).map(id).collect());
    let answer = admin(&clerk).call(me(), &call("record.delete", &[("ids", ids)]), None);
    let row = &answer.reply.rows[0];
    assert_eq!(row["done"], 1_u64.into());
    assert!(matches!(&row["missing"], AdminValue::List(missing) if missing.len() == 19));
    let orders = clerk.orders.lock().unwrap();
    let Order { by, call, detail } = &orders[0];
    assert_eq!((*by, call.as_str()), (me(), "record.delete"));
    let detail: serde_json::Value = serde_json::from_str(detail).unwrap();
    let ids = detail["ids"].as_array().unwrap();
    assert!(ids[0].as_str().unwrap().starts_with("moref0"));
    assert_eq!(ids.last().unwrap(), "and 4 more");
}

#[test]
fn a_detail_never_exceeds_its_bound() {
    let text = "\u{1}".repeat(200);
    let args: AdminRow = (0..100_u8)
        .map(|number| (format!("{number}{text}"), AdminValue::Text(text.repeat(10))))
        .collect();
    let order = Order::of(
        me(),
        &AdminCall {
            call: text.repeat(9),
            args,
        },
    );
    assert!(order.detail.len() <= crate::base::limits::ADMIN_TEXT_MAX_BYTES);
    assert!(order.call.chars().count() <= NAME_MAX_CHARS);
}

#[test]
fn a_listing_goes_on_where_it_ended() {
    let clerk = Arc::new(Clerk::default());
    let admin = admin(&clerk);
    let list = call("ban.list", &[]);
    let first = admin.call(me(), &list, None);
    let second = admin.call(me(), &list, first.next.as_deref());
    assert_eq!(first.reply.rows[0]["target"], "1.2.3.4".into());
    assert_eq!(second.reply.rows[0]["target"], "1.2.3.5".into());
    assert_eq!(second.next, None);
}

/// The calls that the trail is said to hold.
fn trail(args: &[(&str, AdminValue)]) -> Vec<u64> {
    let admin = admin(&Arc::new(Clerk::default()));
    let list = call("audit.list", args);
    let (mut seen, mut from) = (Vec::new(), None);
    loop {
        let answer = admin.call(me(), &list, from.as_deref());
        let numbers = answer.reply.rows.iter();
        seen.extend(numbers.map(|row| row["call"].as_text().unwrap().parse::<u64>().unwrap()));
        from = answer.next;
        if from.is_none() {
            return seen;
        }
    }
}

#[test]
fn the_trail_is_listed_up_to_a_number_or_back_to_a_time() {
    let all: Vec<u64> = (0..200).collect();
    assert_eq!(trail(&[]), all);
    for max in [0_u64, 1, 64, 65, 150] {
        assert_eq!(
            trail(&[("max", max.into())]),
            all[..usize::try_from(max).unwrap()]
        );
    }
    assert_eq!(trail(&[("since", 900_u64.into())]), all[..=100]);
    assert!(trail(&[("since", 2_000_u64.into())]).is_empty());
}
