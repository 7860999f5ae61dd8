//! `mosaicd serve`: what a server does for a client, which roles it plays, how it starts and ends.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mosaicd::base::Role;
use mosaicd::client::{Client, Item, RequestError};
use mosaicd::wire::{
    ClientMessage, KeyMarker, Kind, QueryId, Record, RecordBuilder, RecordId, Reference,
    Registration, ResultCode, RoleCondition, SecretKey, ServerMessage, StreamRole, TagsBuilder,
    Timestamp,
};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::{DevServer, PATIENCE, all, by, greeted, key, mosaicd, post, schedule};

mod commands;

/// *Author + tagged*, unique, of application 1.
const PRIVATE_MESSAGE: u64 = 0x0000_0001_0063_0004;

fn post_signed_by(signer: &SecretKey, author: &SecretKey, text: &str) -> Record {
    RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .payload(text.to_owned())
        .sign(signer)
        .unwrap()
}

fn message_to(author: &SecretKey, reader: &SecretKey) -> Record {
    RecordBuilder::new(Kind::new(PRIVATE_MESSAGE).unwrap(), author.public())
        .tags(TagsBuilder::new().notify(reader.public()))
        .sign(author)
        .unwrap()
}

async fn submit(client: &Client, record: &Record) -> ResultCode {
    client.submit(record).await.unwrap()
}

async fn ids_by(client: &Client, author: &SecretKey) -> Vec<RecordId> {
    let records = all(client.query(by(author), 0).await.unwrap()).await;
    records.iter().map(Record::id).collect()
}

/// Runs `mosaicd` to its end.
fn run(arguments: &[&str]) -> Output {
    mosaicd().args(arguments).output().unwrap()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_got_queried_and_seen_live() {
    let server = DevServer::start().await;
    let author = key(1);
    let publisher = server.client(Some(&author)).await;
    let reader = server.client(None).await;

    let first = post(&author, "stored");
    assert_eq!(submit(&publisher, &first).await, ResultCode::Accepted);
    assert_eq!(submit(&publisher, &first).await, ResultCode::Duplicate);

    let got = reader.get(vec![Reference::Id(first.id())]).await.unwrap();
    let (got, result) = got.collect().await.unwrap();
    assert_eq!(result, ResultCode::Success);
    assert_eq!(got[0].bytes(), first.bytes());
    let absent = Reference::Id(post(&author, "absent").id());
    let (none, result) = reader
        .get(vec![absent])
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!((none.len(), result), (0, ResultCode::NotFound));

    let mut live = reader.subscribe(by(&author), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::Record(it) if it.id() == first.id()));
    assert!(matches!(live.next().await.unwrap(), Item::LocallyComplete));
    let second = post(&author, "live");
    assert_eq!(submit(&publisher, &second).await, ResultCode::Accepted);
    assert!(matches!(live.next().await.unwrap(), Item::Record(it) if it.id() == second.id()));

    assert_eq!(
        ids_by(&reader, &author).await,
        [second.id(), first.id()],
        "newest first"
    );
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_of_a_development_server_says_dev_wherever_a_role_is_open() {
    let server = DevServer::start().await;
    let info = server.client(None).await.info().await.unwrap();
    assert_eq!(info.key, server.key());
    assert_eq!(info.registration, Registration::Open);
    assert_eq!(info.endpoints, [format!("mosaic://{}/", server.address())]);
    assert!(info.probes);
    for role in Role::ALL {
        let report = &info.roles[&StreamRole::from(role)];
        assert_eq!(report.state, RoleCondition::Open, "{role}");
        assert!(
            report.why.as_deref().unwrap().starts_with("DEV"),
            "{role}: {report:?}"
        );
    }
    let anonymous = info.limits.streams;
    let known = server.client(Some(&key(1))).await.info().await.unwrap();
    assert!(known.limits.streams > anonymous);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_loopback_the_public_roles_are_closed_and_say_why() {
    let user = key(1);
    let config = format!("[users]\nlist = [\"{}\"]", user.public());
    let (server, _folder) = DevServer::start_public(&config).await;
    let client = server.client(Some(&user)).await;
    let info = client.info().await.unwrap();
    assert_eq!(info.registration, Registration::Closed);
    for role in [Role::Outbox, Role::Inbox, Role::Encryption] {
        let report = &info.roles[&StreamRole::from(role)];
        assert_eq!(report.state, RoleCondition::Closed, "{role}");
        let why = report.why.as_deref().unwrap();
        assert!(why.starts_with("LOCAL: "), "{why}");
        match client.open_role(role, None).await.unwrap_err() {
            RequestError::Refused {
                result,
                why: Some(why),
            } => {
                assert_eq!(result, ResultCode::TemporaryError, "{role}");
                assert!(why.starts_with("LOCAL: "), "{why}");
            }
            other => panic!("{role}: {other:?}"),
        }
    }
    // The user is served, so the outbox claims the record, and nobody else takes it.
    let result = submit(&client, &post(&user, "for later")).await;
    assert_eq!(result, ResultCode::TemporaryError);
    assert!(ids_by(&client, &user).await.is_empty());
    assert!(server.trace().contains("reachability: closed: LOCAL: "));
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_address_applications_are_served_to_whom_the_configuration_says() {
    let config = "[application]\nids = [1]\nsubmit = \"authenticated\"";
    let (server, _folder) = DevServer::start_public(config).await;
    let author = key(1);
    let known = server.client(Some(&author)).await;
    let anonymous = server.client(None).await;
    let record = post(&author, "in the chat room");
    let result = submit(&anonymous, &record).await;
    assert_eq!(result, ResultCode::RequiresAuthentication);
    assert_eq!(submit(&known, &record).await, ResultCode::Accepted);
    assert_eq!(ids_by(&anonymous, &author).await, [record.id()]);

    let of_another_application = RecordBuilder::new(Kind::PROFILE, author.public())
        .sign(&author)
        .unwrap();
    let result = submit(&known, &of_another_application).await;
    assert_eq!(result, ResultCode::Unauthorized);
    let info = anonymous.info().await.unwrap();
    assert_eq!(info.applications, [1]);
    let report = &info.roles[&StreamRole::Application];
    assert_eq!(report.state, RoleCondition::Open);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_comes_first_and_once_in_a_connection() {
    let server = DevServer::start().await;
    let hello = || ClientMessage::Hello {
        version: 0,
        apps: vec![1],
    };
    let receive = async |message: ClientMessage| {
        let raw = server.raw(None).await;
        let mut stream = raw.open().await.unwrap();
        stream.send(message.encode()).await.unwrap();
        let reply = timeout(PATIENCE, stream.receive()).await.unwrap();
        (raw, stream, reply.unwrap())
    };

    let (raw, mut stream, reply) = receive(hello()).await;
    assert!(matches!(
        reply,
        Some(ServerMessage::HelloAck {
            result: ResultCode::Success,
            ..
        })
    ));
    stream.send(hello().encode()).await.unwrap();
    assert!(matches!(
        timeout(PATIENCE, stream.receive()).await.unwrap().unwrap(),
        Some(ServerMessage::HelloAck {
            result: ResultCode::Duplicate,
            ..
        })
    ));
    raw.close().await;

    let early = ClientMessage::Get {
        id: QueryId(1),
        references: Vec::new(),
    };
    let (raw, _stream, reply) = receive(early).await;
    assert!(matches!(
        reply,
        Some(ServerMessage::Closing {
            result: ResultCode::Invalid
        })
    ));
    timeout(PATIENCE, raw.quic().unwrap().closed())
        .await
        .unwrap();
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_registration_serves_whoever_connects_up_to_its_bound() {
    let server = DevServer::start_with(&["--dev", "--set", "users.max=1"], "").await;
    let (first, second, stranger) = (key(1), key(2), key(3));
    let _first = server.client(Some(&first)).await;
    let anonymous = server.client(None).await;
    // Registration goes its own way, so the first try may be too early.
    let delivered = timeout(PATIENCE, async {
        let inbox = anonymous.open_role(Role::Encryption, None).await.unwrap();
        while inbox.submit(&message_to(&stranger, &first)).await.unwrap() != ResultCode::Accepted {
            tokio::task::yield_now().await;
        }
    });
    delivered.await.expect("the first to connect is not served");

    let second_client = server.client(Some(&second)).await;
    let outbox = second_client.open_role(Role::Outbox, None).await.unwrap();
    let result = outbox.submit(&post(&second, "no room")).await.unwrap();
    assert_eq!(result, ResultCode::Unauthorized, "the bound is one user");
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_user_is_served_from_the_first_submission_on_and_after_a_restart() {
    let mut server = DevServer::start().await;
    let (user, stranger) = (key(1), key(2));
    {
        let client = server.client(Some(&user)).await;
        let outbox = client.open_role(Role::Outbox, None).await.unwrap();
        let result = outbox.submit(&post(&user, "hello")).await.unwrap();
        assert_eq!(result, ResultCode::Accepted);
    }
    server.terminate();
    assert!(server.ended().await.success());
    server.restart().await;
    let anonymous = server.client(None).await;
    assert_eq!(ids_by(&anonymous, &user).await.len(), 1);
    let encryption = anonymous.open_role(Role::Encryption, None).await.unwrap();
    let result = encryption
        .submit(&message_to(&stranger, &user))
        .await
        .unwrap();
    assert_eq!(
        result,
        ResultCode::Accepted,
        "the user is known without connecting again"
    );
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subkey_speaks_for_its_master_from_its_schedule_on_until_it_is_revoked() {
    let mut server = DevServer::start().await;
    let (master, subkey, stranger) = (key(1), key(2), key(3));
    let by_subkey = |text: &str| post_signed_by(&subkey, &master, text);
    let private = message_to(&stranger, &master);
    {
        let client = server.client(Some(&master)).await;
        assert_eq!(
            submit(&client, &post(&master, "hello")).await,
            ResultCode::Accepted
        );
        let anonymous = server.client(None).await;
        let early = submit(&anonymous, &by_subkey("early")).await;
        assert_eq!(
            early,
            ResultCode::Unauthorized,
            "nothing vouches for the subkey yet"
        );
        assert_eq!(submit(&anonymous, &private).await, ResultCode::Accepted);
        let active = schedule(&master, &subkey, KeyMarker::ActiveSigning);
        assert_eq!(submit(&client, &active).await, ResultCode::Accepted);
        assert_eq!(
            submit(&anonymous, &by_subkey("now")).await,
            ResultCode::Accepted
        );
    }
    // After a restart the schedule is found in the store.
    server.terminate();
    assert!(server.ended().await.success());
    server.restart().await;
    let device = server.client(Some(&subkey)).await;
    assert_eq!(
        ids_by(&device, &stranger).await,
        [private.id()],
        "read as the master"
    );
    assert_eq!(
        submit(&device, &by_subkey("again")).await,
        ResultCode::Accepted
    );
    let mut live = device.subscribe(by(&stranger), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::Record(_)));
    assert!(matches!(live.next().await.unwrap(), Item::LocallyComplete));

    let client = server.client(Some(&master)).await;
    let revoked = schedule(&master, &subkey, KeyMarker::Revoked(Timestamp::now()));
    assert_eq!(submit(&client, &revoked).await, ResultCode::Accepted);
    let late = submit(&device, &by_subkey("late")).await;
    assert_eq!(late, ResultCode::Unauthorized);
    assert!(
        ids_by(&device, &stranger).await.is_empty(),
        "it reads as nobody now"
    );
    let (second, public) = (message_to(&stranger, &master), post(&stranger, "public"));
    assert_eq!(submit(&client, &second).await, ResultCode::Accepted);
    assert_eq!(
        submit(&server.client(Some(&stranger)).await, &public).await,
        ResultCode::Accepted
    );
    let next = live.next().await.unwrap();
    assert!(
        matches!(next, Item::Record(it) if it.id() == public.id()),
        "the private one is not shown"
    );
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_submitter_may_not_see_is_accepted_as_often_as_it_comes() {
    let server = DevServer::start().await;
    let (user, stranger) = (key(1), key(2));
    let reader = server.client(Some(&user)).await;
    assert_eq!(
        submit(&reader, &post(&user, "here")).await,
        ResultCode::Accepted
    );
    let anonymous = server.client(None).await;
    let private = message_to(&stranger, &user);
    for _ in 0..2 {
        assert_eq!(submit(&anonymous, &private).await, ResultCode::Accepted);
    }
    assert_eq!(submit(&reader, &private).await, ResultCode::Duplicate);
    assert!(ids_by(&anonymous, &stranger).await.is_empty());
    assert!(
        ids_by(&server.client(Some(&stranger)).await, &stranger)
            .await
            .is_empty()
    );
    assert_eq!(ids_by(&reader, &stranger).await, [private.id()]);
    server.stop_cleanly().await;
}

/// Publishes until the server goes down, counting what it acknowledged. Returns the IDs of that.
async fn publish_until_the_end(
    client: Client,
    author: SecretKey,
    load: Arc<Load>,
) -> Vec<RecordId> {
    let mut submissions = client.submit_many(64);
    let mut acknowledged = Vec::new();
    for text in 0.. {
        match submissions.push(&post(&author, text.to_string())).await {
            Ok(Some(submitted)) if submitted.result == ResultCode::Accepted => {
                acknowledged.push(submitted.id);
                load.count();
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // What was on its way when the server said that it goes down may still be answered.
    while let Ok(Some(submitted)) = submissions.next().await {
        if submitted.result == ResultCode::Accepted {
            acknowledged.push(submitted.id);
        }
    }
    acknowledged
}

/// Tells when there was enough load.
#[derive(Default)]
struct Load {
    acknowledged: AtomicUsize,
    enough: Notify,
}

impl Load {
    fn count(&self) {
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) == 500 {
            self.enough.notify_one();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_under_load_loses_nothing_that_was_acknowledged() {
    let mut server = DevServer::start().await;
    let load = Arc::new(Load::default());
    let mut publishers = Vec::new();
    for number in 1..=4 {
        let author = key(number);
        let client = server.client(Some(&author)).await;
        publishers.push(tokio::spawn(publish_until_the_end(
            client,
            author,
            load.clone(),
        )));
    }
    timeout(PATIENCE, load.enough.notified()).await.unwrap();
    server.terminate();
    let status = server.ended().await;
    assert!(status.success(), "{status}: {}", server.trace());
    let mut ids = Vec::new();
    for publisher in publishers {
        ids.extend(publisher.await.unwrap());
    }
    server.verify_store();
    server.restart().await;
    let client = server.client(None).await;
    for some in ids.chunks(500) {
        let references = some.iter().copied().map(Reference::Id).collect();
        let found = all(client.get(references).await.unwrap()).await;
        assert_eq!(found.len(), some.len(), "acknowledged records are missing");
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_server_at_once() {
    let mut server = DevServer::start().await;
    let author = key(1);
    let publisher = server.client(Some(&author)).await;
    let mut submissions = publisher.submit_many(64);
    for _ in 0..200 {
        submissions
            .push(&post(&author, "x".repeat(30_000)))
            .await
            .unwrap();
    }
    while submissions.next().await.unwrap().is_some() {}

    // A peer that does not read what it asked for: the server gives it time to do so.
    let raw = server.raw(None).await;
    let mut stream = greeted(&raw, &[]).await;
    let query = ClientMessage::Query {
        id: QueryId(1),
        limit: 0,
        filter: by(&author),
    };
    stream.send(query.encode()).await.unwrap();
    // The first of the records: the answer is on its way.
    assert!(stream.receive().await.unwrap().is_some());
    server.terminate();
    let stopping = async {
        while !server.trace().contains("stopping") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, stopping).await.unwrap();
    server.terminate();
    assert!(!server.ended().await.success());
    assert!(server.trace().contains("second signal"));
    assert!(
        !server.trace().contains("Invalid argument"),
        "{}",
        server.trace()
    );
    server.verify_store();
}
