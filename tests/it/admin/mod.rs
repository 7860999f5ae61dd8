//! Orders of operators, over real connections to a real server process.

use std::process::Output;

use mosaicd::base::Role;
use mosaicd::client::{Client, Item, OperatorStream, RequestError, StreamEnd};
use mosaicd::wire::{
    AdminCall, AdminReply, AdminRow, AdminValue, Body, ClientMessage, EXTENSION_APP, FilterBuilder,
    KeyMarker, Kind, QueryId, Record, RecordBuilder, Reference, ResultCode, RoleCondition,
    SecretKey, ServerMessage, StreamRole, Timestamp,
};
use quinn::{ConnectionError, VarInt};
use serde_json::Value;
use tokio::time::timeout;

use crate::support::{
    DevServer, PATIENCE, all, by, client, greeted, key, mosaic, mosaicd, post, schedule, write_key,
};

mod limits;
mod stored;

/// Who gives the orders.
const OPERATOR: u8 = 200;

fn operators(keys: &[u8]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|number| format!("\"{}\"", key(*number).public()))
        .collect();
    format!("operators = [{}]\n", keys.join(", "))
}

/// A development server with one operator.
async fn start() -> DevServer {
    DevServer::start_with(&["--dev"], &operators(&[OPERATOR])).await
}

async fn operator(server: &DevServer) -> OperatorStream {
    let client = server.client(Some(&key(OPERATOR))).await;
    client.operator().await.unwrap()
}

fn args(pairs: &[(&str, AdminValue)]) -> AdminRow {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// Gives an order that must be carried out.
async fn order(stream: &OperatorStream, call: &str, given: &[(&str, AdminValue)]) -> Vec<AdminRow> {
    let answer = stream.call(call, args(given)).await.unwrap();
    let rows = answer.rows().await;
    rows.unwrap_or_else(|error| panic!("{call}: {error}"))
}

/// Gives an order that must be refused.
async fn refused(stream: &OperatorStream, call: &str, given: &[(&str, AdminValue)]) -> ResultCode {
    let answer = stream.call(call, args(given)).await.unwrap();
    match answer.rows().await {
        Err(RequestError::Refused { result, why }) => {
            assert!(why.is_some_and(|why| !why.is_empty()), "{call}");
            result
        }
        other => panic!("{call}: {other:?}"),
    }
}

/// The calls of the audit trail, newest first, each of which the operator made.
async fn trail(stream: &OperatorStream) -> Vec<String> {
    let rows = order(stream, "audit.list", &[]).await;
    let calls = rows.iter().map(|row| {
        assert_eq!(row["by"], key(OPERATOR).public().into());
        assert!(row["received"].as_unsigned().is_some());
        row["call"].as_text().unwrap().to_owned()
    });
    calls.collect()
}

async fn open(client: &Client) -> Result<OperatorStream, ResultCode> {
    match client.operator().await {
        Ok(stream) => Ok(stream),
        Err(RequestError::Refused { result, .. }) => Err(result),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_an_operator_gives_orders() {
    let server = start().await;
    let anonymous = server.client(None).await;
    let required = ResultCode::RequiresAuthentication;
    assert_eq!(open(&anonymous).await.unwrap_err(), required);
    let stranger = server.client(Some(&key(1))).await;
    let unauthorized = ResultCode::Unauthorized;
    assert_eq!(open(&stranger).await.unwrap_err(), unauthorized);

    // Without signing in, an operator's key gives none either.
    let raw = server.raw(Some(&key(OPERATOR))).await;
    let mut stream = greeted(&raw, &[EXTENSION_APP]).await;
    let call = AdminCall {
        call: "status".to_owned(),
        args: AdminRow::new(),
    };
    stream.send(call.encode(7)).await.unwrap();
    match stream.receive().await.unwrap() {
        Some(ServerMessage::Extension(reply)) => {
            assert_eq!((reply.kind, reply.request_id), (AdminReply::KIND, 7));
            let reply = AdminReply::decode(&reply.body).unwrap();
            assert_eq!(reply.result, unauthorized);
            assert!(reply.rows.is_empty() && !reply.more);
        }
        other => panic!("{other:?}"),
    }
    let trusted = operator(&server).await;
    assert!(trail(&trusted).await.is_empty(), "nothing was done");
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_orders_are_taken_from_the_same_people() {
    let arguments = ["--dev", "--set", "listen_tcp=[\"127.0.0.1:0\"]"];
    let server = DevServer::start_with(&arguments, &operators(&[OPERATOR])).await;
    let target = server.tcp_target().await;
    for (who, result) in [
        (None, ResultCode::RequiresAuthentication),
        (Some(&key(1)), ResultCode::Unauthorized),
    ] {
        let other = client(&target, who).await;
        assert_eq!(open(&other).await.unwrap_err(), result);
        // It has no other stream, and this one is still of use.
        other.info().await.unwrap();
    }
    let over_tcp = client(&target, Some(&key(OPERATOR))).await;
    let stream = open(&over_tcp).await.unwrap();
    let status = order(&stream, "status", &[]).await;
    assert_eq!(status[0]["server"], server.key().into());
    let target = ("target", "203.0.113.9".into());
    order(&stream, "ban.set", &[target]).await;
    assert_eq!(trail(&operator(&server).await).await, ["ban.set"]);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_stream_is_there_before_any_verdict_and_carries_no_records() {
    let (server, _folder) = DevServer::start_public(&operators(&[OPERATOR])).await;
    let client = server.client(Some(&key(OPERATOR))).await;
    let stream = client.operator().await.unwrap();
    let status = order(&stream, "status", &[]).await;
    assert_eq!(status[0]["server"], server.key().into());
    assert_eq!(status[0]["submissions_refused"], 0_u64.into());

    let raw = server.raw(Some(&key(OPERATOR))).await;
    let mut stream = greeted(&raw, &[EXTENSION_APP]).await;
    let role = StreamRole::Operator;
    let open = mosaicd::wire::RoleOpen { role, app: None };
    stream.send(open.encode(1)).await.unwrap();
    stream.receive().await.unwrap().unwrap();
    let query = ClientMessage::Query {
        id: QueryId(3),
        limit: 0,
        filter: by(&key(1)),
    };
    stream.send(query.encode()).await.unwrap();
    let answer = stream.receive().await.unwrap().unwrap();
    let result = ResultCode::Unauthorized;
    let id = QueryId(3);
    assert_eq!(answer, ServerMessage::QueryClosed { id, result });
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_says_who_did_what_and_outlives_a_restart() {
    let mut server = start().await;
    let stream = operator(&server).await;
    let level = |row: &AdminRow| row["filter"].as_text().unwrap().to_owned();
    let before = level(&order(&stream, "log-level.show", &[]).await[0]);
    let filter = ("filter", "debug".into());
    let set = order(&stream, "log-level.set", &[filter]).await;
    assert_eq!(level(&set[0]), "warn,mosaicd=debug");
    let target = ("target", "203.0.113.9".into());
    let user = ("user", key(1).public().into());
    order(&stream, "user.add", &[user]).await;
    order(&stream, "ban.set", &[target, ("why", "spam".into())]).await;
    let bad = ("filter", "loud".into());
    let invalid = refused(&stream, "log-level.set", &[bad]).await;
    assert_eq!(invalid, ResultCode::Invalid);
    let done = ["ban.set", "user.add", "log-level.set"];
    assert_eq!(trail(&stream).await, done, "what was refused is not in it");
    let rows = order(&stream, "audit.list", &[("max", 1_u64.into())]).await;
    assert_eq!(rows.len(), 1);
    let detail: Value = serde_json::from_str(rows[0]["detail"].as_text().unwrap()).unwrap();
    assert_eq!(detail["target"], "203.0.113.9");
    assert_eq!(detail["why"], "spam");
    let trace = server.trace();
    assert!(trace.contains("an operator's call was refused"), "{trace}");
    let made = |call: &str| {
        let is_it = |line: &&str| line.contains("an operator's call") && line.contains(call);
        let line = trace.lines().find(is_it);
        line.unwrap_or_else(|| panic!("{call} is not traced: {trace}"))
    };
    made("user.add");
    let made = made("ban.set");
    let says_details = ["203.0.113.9", "spam"]
        .iter()
        .any(|word| made.contains(word));
    assert!(!says_details, "the trail alone has them: {made}");

    server.kill();
    server.verify_store();
    server.restart().await;
    let stream = operator(&server).await;
    assert_eq!(trail(&stream).await, done);
    let now = level(&order(&stream, "log-level.show", &[]).await[0]);
    assert_eq!(now, before, "the configuration counts again");
    let bans = order(&stream, "ban.list", &[]).await;
    assert_eq!(bans[0]["target"], "203.0.113.9".into());
    assert_eq!(bans[0]["by"], key(OPERATOR).public().into());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_level_of_the_trace_holds_at_once() {
    let server = start().await;
    let stream = operator(&server).await;
    assert!(!server.trace().contains("DEBUG"), "{}", server.trace());
    order(&stream, "log-level.set", &[("filter", "debug".into())]).await;
    // A connection is traced at that level.
    server.client(None).await.info().await.unwrap();
    assert!(server.trace().contains("DEBUG"), "{}", server.trace());
    order(&stream, "log-level.reset", &[]).await;
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_closed_by_hand_is_closed_to_everybody_until_it_is_opened_again() {
    let mut server = start().await;
    let stream = operator(&server).await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    let first = post(&author, "first");
    assert_eq!(client.submit(&first).await.unwrap(), ResultCode::Accepted);
    let outbox = client.open_role(Role::Outbox, None).await.unwrap();
    let mut live = outbox.subscribe(by(&author), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::Record(_)));

    let outbox = ("role", AdminValue::from("outbox"));
    let why = ("why", "moving house".into());
    let rows = order(&stream, "role.close", &[outbox.clone(), why]).await;
    let closed = rows.iter().find(|row| row["role"] == "outbox".into());
    assert_eq!(closed.unwrap()["state"], "closed".into());
    // The subscription on that role ends.
    let ended = async {
        loop {
            match live.next().await.unwrap() {
                Item::Closed(result) => return result,
                Item::LocallyComplete | Item::Record(_) | Item::Rejected(_) => {}
            }
        }
    };
    let ended = timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(ended, ResultCode::TemporaryError);
    let says = |info: mosaicd::wire::InfoReply| info.roles[&StreamRole::Outbox].clone();
    let report = says(client.info().await.unwrap());
    assert_eq!(report.state, RoleCondition::Closed);
    assert_eq!(
        report.why.as_deref(),
        Some("CLOSED by the operator: moving house")
    );
    assert!(
        all(client.query(by(&author), 0).await.unwrap())
            .await
            .is_empty()
    );

    server.kill();
    server.restart().await;
    let client = server.client(Some(&author)).await;
    let report = says(client.info().await.unwrap());
    assert_eq!(report.state, RoleCondition::Closed, "also after a restart");
    let stream = operator(&server).await;
    order(&stream, "role.open", std::slice::from_ref(&outbox)).await;
    let report = says(client.info().await.unwrap());
    assert_eq!(report.state, RoleCondition::Open);
    assert_eq!(
        all(client.query(by(&author), 0).await.unwrap()).await,
        [first]
    );
    let again = refused(&stream, "role.open", &[outbox]).await;
    assert_eq!(again, ResultCode::NotFound, "it is not closed by hand");
    assert_eq!(trail(&stream).await, ["role.open", "role.close"]);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_does_not_open_what_reachability_keeps_shut() {
    let (server, _folder) = DevServer::start_public(&operators(&[OPERATOR])).await;
    let stream = operator(&server).await;
    let inbox = ("role", AdminValue::from("inbox"));
    order(&stream, "role.close", std::slice::from_ref(&inbox)).await;
    let rows = order(&stream, "role.open", &[inbox]).await;
    let row = rows.iter().find(|row| row["role"] == "inbox".into());
    let row = row.unwrap();
    assert_eq!(row["state"], "closed".into());
    let why = row["why"].as_text().unwrap();
    assert!(!why.contains("operator"), "{why}");
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends_open_connections_and_holds_until_it_is_lifted() {
    let mut server = start().await;
    let stream = operator(&server).await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    client.info().await.unwrap();
    let target = ("target", AdminValue::from(author.public().to_string()));
    order(&stream, "ban.set", std::slice::from_ref(&target)).await;
    let end = async {
        loop {
            match client.info().await {
                Ok(_) => {}
                Err(RequestError::End(end)) => return end,
                Err(other) => panic!("{other}"),
            }
        }
    };
    let end = timeout(PATIENCE, end).await.unwrap();
    let code = ResultCode::KeyPermanentlyBanned;
    let is_told = match &end {
        StreamEnd::Closing(result) => *result == code,
        StreamEnd::Lost(ConnectionError::ApplicationClosed(close)) => {
            close.error_code == VarInt::from(u32::from(code.as_u8()))
        }
        _ => false,
    };
    assert!(is_told, "{end:?}");

    server.kill();
    server.restart().await;
    let options = mosaicd::client::Options {
        identity: Some(author.clone()),
        ..mosaicd::client::Options::default()
    };
    let turned_away = Client::connect(&server.target(), &options).await;
    let is_in = match turned_away {
        Ok(client) => client.info().await.is_ok(),
        Err(_) => false,
    };
    assert!(!is_in, "the ban outlives a restart");
    let stream = operator(&server).await;
    order(&stream, "ban.lift", std::slice::from_ref(&target)).await;
    server.client(Some(&author)).await.info().await.unwrap();
    assert_eq!(
        refused(&stream, "ban.lift", &[target]).await,
        ResultCode::NotFound
    );
    let own = key(OPERATOR).public().to_string();
    let own = refused(&stream, "ban.set", &[("target", own.into())]).await;
    assert_eq!(own, ResultCode::Invalid, "an operator is not locked out");
    assert!(order(&stream, "ban.list", &[]).await.is_empty());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_is_dismissed_by_a_reload_gives_no_further_order() {
    let server = DevServer::start_with(&["--dev"], &operators(&[OPERATOR, 201])).await;
    let stream = operator(&server).await;
    let other = server.client(Some(&key(201))).await;
    let other = other.operator().await.unwrap();
    order(&other, "status", &[]).await;
    server.configure(&operators(&[OPERATOR]));
    order(&stream, "reload", &[]).await;
    assert_eq!(
        refused(&other, "status", &[]).await,
        ResultCode::Unauthorized
    );
    order(&stream, "status", &[]).await;
    server.configure("operators = 7");
    assert_eq!(refused(&stream, "reload", &[]).await, ResultCode::Invalid);
    order(&stream, "status", &[]).await;
    assert_eq!(trail(&stream).await, ["reload"]);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subkey_gives_orders_while_its_master_vouches_for_it() {
    let server = start().await;
    let (master, subkey) = (key(OPERATOR), key(7));
    let publisher = server.client(Some(&master)).await;
    let client = server.client(Some(&subkey)).await;
    assert_eq!(open(&client).await.unwrap_err(), ResultCode::Unauthorized);
    let active = schedule(&master, &subkey, KeyMarker::ActiveSigning);
    assert_eq!(
        publisher.submit(&active).await.unwrap(),
        ResultCode::Accepted
    );
    let stream = open(&client).await.unwrap();
    let filter = ("filter", "info".into());
    order(&stream, "log-level.set", &[filter]).await;
    let rows = order(&stream, "audit.list", &[]).await;
    assert_eq!(rows[0]["by"], master.public().into(), "who it speaks for");

    let revoked = schedule(&master, &subkey, KeyMarker::Revoked(Timestamp::now()));
    assert_eq!(
        publisher.submit(&revoked).await.unwrap(),
        ResultCode::Accepted
    );
    assert_eq!(
        refused(&stream, "status", &[]).await,
        ResultCode::Unauthorized
    );
    // Without the revocation nothing vouches for the subkey any more, and nothing speaks against it.
    let operator = operator(&server).await;
    let ids = AdminValue::List(vec![revoked.id().into()]);
    order(&operator, "record.delete", &[("ids", ids)]).await;
    assert_eq!(
        refused(&stream, "status", &[]).await,
        ResultCode::Unauthorized
    );
    let again = schedule(&master, &subkey, KeyMarker::ActiveSigning);
    assert_eq!(
        publisher.submit(&again).await.unwrap(),
        ResultCode::Accepted
    );
    order(&stream, "status", &[]).await;
    server.stop_cleanly().await;
}

fn admin(server: &DevServer, key_file: &std::path::Path, arguments: &[&str]) -> Output {
    mosaic(&server.file("client"))
        .env("MOSAIC_SERVER", server.name())
        .env("MOSAIC_KEY", key_file)
        .arg("admin")
        .args(arguments)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_that_init_makes_gives_orders_from_the_command_line() {
    let folder = tempfile::TempDir::new().unwrap();
    let made = mosaicd()
        .args(["init", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success());
    let config = std::fs::read_to_string(folder.path().join("mosaicd.toml")).unwrap();
    let line = config.lines().find(|line| line.starts_with("operators"));
    let server = DevServer::start_with(&["--dev"], &format!("{}\n", line.unwrap())).await;
    let key_file = folder.path().join("operator.key");
    let run = |arguments: &[&str]| {
        let run = admin(&server, &key_file, arguments);
        let code = run.status.code().unwrap();
        let text = String::from_utf8(run.stdout).unwrap();
        (code, text, String::from_utf8(run.stderr).unwrap())
    };
    let ban = [
        "ban",
        "ip",
        "203.0.113.0/24",
        "--for",
        "1d",
        "--why",
        "spam",
        "--json",
    ];
    let (code, text, errors) = run(&ban);
    assert_eq!(code, 0, "{errors}");
    let row: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(row["target"], "203.0.113.0/24");
    let (_, text, _) = run(&["audit", "--json"]);
    let row: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(row["call"], "ban.set");
    assert!(line.unwrap().contains(row["by"].as_str().unwrap()));
    let (code, text, _) = run(&["role", "close", "inbox"]);
    assert_eq!(code, 0);
    assert!(text.contains("CLOSED by the operator"), "{text}");
    assert_eq!(run(&["ban", "lift", "10.0.0.1"]).0, 1, "there is none");
    assert_eq!(run(&["log-level", "loud"]).0, 1);
    assert_eq!(run(&["user", "show", "nobody"]).0, 2);
    assert_eq!(run(&["status"]).0, 0);
    let stranger = folder.path().join("server.key");
    assert_eq!(
        admin(&server, &stranger, &["status"]).status.code(),
        Some(1)
    );
    let missing = folder.path().join("none");
    assert_eq!(admin(&server, &missing, &["status"]).status.code(), Some(2));
    server.stop_cleanly().await;
}
