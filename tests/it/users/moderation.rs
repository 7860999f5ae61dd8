//! Records that wait for the operator: nobody learns of them, and what is released arrives once.

use bytes::Bytes;
use mosaicd::base::Role;
use mosaicd::client::{Item, RawStream};
use mosaicd::wire::{
    AdminRow, AdminValue, ClientMessage, EXTENSION_APP, FilterBuilder, KeyMarker, Kind, QueryId,
    Record, RecordBuilder, Reference, ResultCode, SecretKey, ServerMessage, TagsBuilder, Timestamp,
};
use tokio::time::timeout;

use super::note_to;
use super::office::{Office, operator, submit};
use crate::support::{PATIENCE, all, greeted, key, schedule};

const ASK: QueryId = QueryId(7);

/// The records that wait, those that came last first.
async fn held(office: &Office) -> Vec<AdminRow> {
    office.order("held.list", &[]).await
}

async fn office(moderation: &str, users: &[&SecretKey]) -> Office {
    let keys: Vec<String> = users
        .iter()
        .map(|it| format!("\"{}\"", it.public()))
        .collect();
    let listed = format!("users.list=[{}]", keys.join(", "));
    let moderation = format!("inbox.moderation={moderation}");
    Office::start(&["users.mode=list", &listed, &moderation]).await
}

/// Everything that is said to one request, to its end, as bytes.
async fn replies(stream: &mut RawStream, request: &ClientMessage) -> Vec<Bytes> {
    stream.send(request.encode()).await.unwrap();
    let mut replies = Vec::new();
    loop {
        let reply = timeout(PATIENCE, stream.receive()).await.unwrap();
        let reply = reply.unwrap().unwrap();
        replies.push(reply.encode());
        match reply {
            ServerMessage::QueryClosed { .. } => return replies,
            ServerMessage::LocallyComplete { .. } => {
                let end = ClientMessage::Unsubscribe { id: ASK };
                stream.send(end.encode()).await.unwrap();
            }
            _ => {}
        }
    }
}

/// The ways to ask for a record: by its ID, its address, its author and its recipient.
fn questions(record: &Record) -> Vec<ClientMessage> {
    let view = record.view();
    let tags = view
        .notifies()
        .fold(TagsBuilder::new(), TagsBuilder::notify);
    let filters = [
        FilterBuilder::new().authors([view.author()]),
        FilterBuilder::new()
            .authors([view.author()])
            .timestamps([view.timestamp()]),
        FilterBuilder::new().tags(tags).authors([view.author()]),
        FilterBuilder::new()
            .signers([view.signer()])
            .kinds([view.kind()]),
        FilterBuilder::new()
            .authors([view.author()])
            .received_since(Timestamp::MIN),
    ];
    let mut questions = vec![
        ClientMessage::Get {
            id: ASK,
            references: vec![Reference::Id(record.id())],
        },
        ClientMessage::Get {
            id: ASK,
            references: vec![Reference::Address(view.address())],
        },
    ];
    for filter in filters {
        let filter = filter.build().unwrap();
        let (id, limit) = (ASK, 0);
        questions.push(ClientMessage::Query {
            id,
            limit,
            filter: filter.clone(),
        });
        questions.push(ClientMessage::Subscribe { id, limit, filter });
    }
    questions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_for_a_record_that_waits_are_those_for_one_that_is_not_there() {
    let (ann, stranger, absent_author) = (key(1), key(9), key(10));
    let office = office("hold-strangers", &[&ann]).await;
    let waiting = note_to(&stranger, &ann, "waiting");
    let absent = note_to(&absent_author, &ann, "never handed in");
    let writer = office.client(Some(&stranger)).await;
    assert_eq!(submit(&writer, &waiting).await, ResultCode::Accepted);
    assert_eq!(held(&office).await.len(), 1);
    // Author, recipient, somebody else, the operator's key, nobody.
    for reader in [
        Some(stranger),
        Some(ann),
        Some(key(77)),
        Some(operator()),
        None,
    ] {
        let connection = office.raw(reader.as_ref()).await;
        let mut stream = greeted(&connection, &[EXTENSION_APP]).await;
        for (of_waiting, of_absent) in questions(&waiting).iter().zip(questions(&absent)) {
            let found = replies(&mut stream, of_waiting).await;
            let none = replies(&mut stream, &of_absent).await;
            assert_eq!(found, none, "{of_waiting:?}");
        }
    }
    // Handed in again, by whomever, it is taken as if it were new.
    for again in [Some(&key(9)), Some(&key(1)), None] {
        let client = office.client(again).await;
        assert_eq!(submit(&client, &waiting).await, ResultCode::Accepted);
    }
    assert_eq!(held(&office).await.len(), 1);
    let reader = office.client(Some(&key(1))).await;
    let you = reader.info().await.unwrap().you.unwrap();
    assert_eq!(you.delivered_records, 0, "usage does not tell of it");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_released_comes_to_a_live_subscriber_once_and_what_waits_does_not() {
    let (ann, stranger) = (key(1), key(9));
    let office = office("hold-strangers", &[&ann]).await;
    let reader = office.client(Some(&ann)).await;
    let by_stranger = || {
        let filter = FilterBuilder::new().authors([key(9).public()]);
        filter.build().unwrap()
    };
    let mut live = reader.subscribe(by_stranger(), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::LocallyComplete));
    let writer = office.client(Some(&stranger)).await;
    let [first, second, third] =
        ["first", "second", "third"].map(|text| note_to(&stranger, &ann, text));
    for record in [&first, &second] {
        assert_eq!(submit(&writer, record).await, ResultCode::Accepted);
    }
    let waiting = held(&office).await;
    assert_eq!(waiting.len(), 2);
    let last = &waiting[0];
    assert_eq!(last["id"], second.id().into(), "those that came last first");
    assert_eq!(last["text"].as_text(), Some("second"));
    let recipients = vec![AdminValue::from(ann.public())];
    assert_eq!(last["recipients"], AdminValue::List(recipients));
    assert!(office.order_about("held.release", second.id()).await);
    // From here on the writer is no stranger to Ann, so this one does not wait.
    assert_eq!(submit(&writer, &third).await, ResultCode::Accepted);
    for expected in [&second, &third] {
        let item = timeout(PATIENCE, live.next()).await.unwrap().unwrap();
        assert!(matches!(item, Item::Record(it) if it.id() == expected.id()));
    }
    let found = all(reader.query(by_stranger(), 0).await.unwrap()).await;
    assert_eq!(found.len(), 2, "what came before the release waits on");
    assert!(
        !office.order_about("held.release", second.id()).await,
        "there is nothing to release"
    );
    assert_eq!(
        submit(&writer, &second).await,
        ResultCode::Duplicate,
        "as of any that is here"
    );
    let you = reader.info().await.unwrap().you.unwrap();
    assert_eq!(you.delivered_records, 2);
    assert_eq!(held(&office).await.len(), 1);

    // All of that is in the log.
    let office = office.restart(&[]).await;
    assert_eq!(held(&office).await[0]["id"], first.id().into());
    let writer = office.client(Some(&stranger)).await;
    let fourth = note_to(&stranger, &ann, "fourth");
    assert_eq!(submit(&writer, &fourth).await, ResultCode::Accepted);
    assert_eq!(held(&office).await.len(), 1, "still no stranger");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_record_does_not_come_again_and_its_sender_sees_no_difference() {
    let (ann, stranger) = (key(1), key(9));
    let office = office("hold-strangers", &[&ann]).await;
    let writer = office.client(Some(&stranger)).await;
    let unwanted = note_to(&stranger, &ann, "buy this");
    assert_eq!(submit(&writer, &unwanted).await, ResultCode::Accepted);
    assert!(office.order_about("held.reject", unwanted.id()).await);
    assert!(held(&office).await.is_empty());
    for _ in 0..2 {
        assert_eq!(submit(&writer, &unwanted).await, ResultCode::Accepted);
    }
    let office = office.restart(&["inbox.moderation=off"]).await;
    let writer = office.client(Some(&stranger)).await;
    assert_eq!(submit(&writer, &unwanted).await, ResultCode::Accepted);
    assert!(held(&office).await.is_empty());
    let reader = office.client(Some(&ann)).await;
    let references = vec![Reference::Id(unwanted.id())];
    assert!(all(reader.get(references).await.unwrap()).await.is_empty());
    assert!(!office.order_about("held.reject", unwanted.id()).await);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_wait_and_those_whom_a_recipient_has_written_to_do_not() {
    let (ann, bob, friend, stranger) = (key(1), key(2), key(8), key(9));
    let office = office("hold-strangers", &[&ann, &bob]).await;
    let to_friend = note_to(&ann, &friend, "hello");
    let by_ann = office.client(Some(&ann)).await;
    assert_eq!(submit(&by_ann, &to_friend).await, ResultCode::Accepted);
    let anybody = office.client(None).await;
    for (record, waits) in [
        (note_to(&friend, &ann, "an answer"), false),
        (note_to(&friend, &bob, "to somebody else"), true),
        (note_to(&stranger, &ann, "who am I"), true),
        (note_to(&bob, &ann, "published, in the outbox too"), false),
    ] {
        let before = held(&office).await.len();
        assert_eq!(submit(&anybody, &record).await, ResultCode::Accepted);
        let after = held(&office).await.len();
        assert_eq!(after - before, usize::from(waits), "{record:?}");
    }
    // A name above the signature of another key opens no door.
    let forged = RecordBuilder::new(Kind::MICROBLOG_ROOT, friend.public())
        .tags(TagsBuilder::new().notify(ann.public()))
        .sign(&stranger)
        .unwrap();
    let before = held(&office).await.len();
    assert_eq!(submit(&anybody, &forged).await, ResultCode::Accepted);
    assert_eq!(held(&office).await.len(), before + 1);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_everything_waits_private_records_and_the_outbox_do_not() {
    let (ann, friend) = (key(1), key(8));
    let office = office("hold-all", &[&ann]).await;
    let anybody = office.client(None).await;
    let by_ann = office.client(Some(&ann)).await;
    let to_friend = note_to(&ann, &friend, "published");
    assert_eq!(submit(&by_ann, &to_friend).await, ResultCode::Accepted);
    // *Author + tagged*, unique, of application 1.
    let private = RecordBuilder::new(Kind::new(0x0000_0001_0063_0004).unwrap(), friend.public())
        .tags(TagsBuilder::new().notify(ann.public()))
        .sign(&friend)
        .unwrap();
    assert_eq!(submit(&anybody, &private).await, ResultCode::Accepted);
    assert!(held(&office).await.is_empty());
    let answer = note_to(&friend, &ann, "an answer");
    assert_eq!(submit(&anybody, &answer).await, ResultCode::Accepted);
    assert_eq!(held(&office).await.len(), 1);
    let by_friend = FilterBuilder::new()
        .authors([friend.public()])
        .build()
        .unwrap();
    let found = all(by_ann.query(by_friend, 0).await.unwrap()).await;
    assert_eq!(found, [private]);
    office.stop().await;
}

/// For everybody, unique, of the example application.
const IN_APPLICATION: u64 = 0x0000_0063_000b_001c;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_comes_in_by_no_other_role_while_the_inbox_is_shut_or_its_user_is_gone() {
    let (ann, stranger) = (key(1), key(9));
    let listed = format!("users.list=[\"{}\"]", ann.public());
    let office = Office::start(&[
        "users.mode=list",
        &listed,
        "inbox.moderation=hold-strangers",
        "application.ids=[99]",
        "application.submit=anyone",
    ])
    .await;
    let letter = |text: &str| {
        RecordBuilder::new(Kind::new(IN_APPLICATION).unwrap(), key(9).public())
            .tags(TagsBuilder::new().notify(key(1).public()))
            .payload(text.to_owned())
            .sign(&key(9))
            .unwrap()
    };
    let assert_nobody_sees = async |when: &str| {
        for reader in [Some(&ann), Some(&stranger), None] {
            let reader = office.client(reader).await;
            let filter = FilterBuilder::new().authors([stranger.public()]);
            let found = reader.query(filter.build().unwrap(), 0).await.unwrap();
            assert!(all(found).await.is_empty(), "{when}");
        }
    };
    let (waiting, later) = (letter("waiting"), letter("later"));
    let writer = office.client(Some(&stranger)).await;
    assert_eq!(submit(&writer, &waiting).await, ResultCode::Accepted);
    assert_eq!(held(&office).await.len(), 1);

    let inbox = [("role", AdminValue::from("inbox"))];
    office.order("role.close", &inbox).await;
    let bound = writer.open_role(Role::Application, None).await.unwrap();
    for record in [&waiting, &later] {
        assert_eq!(bound.submit(record).await.unwrap(), ResultCode::Accepted);
        assert_nobody_sees("the inbox is shut").await;
    }
    assert_eq!(held(&office).await.len(), 2);
    office.order("role.open", &inbox).await;
    assert_nobody_sees("it is open again").await;

    let gone = AdminValue::from(ann.public());
    office.order("user.remove", &[("user", gone)]).await;
    assert_eq!(submit(&writer, &waiting).await, ResultCode::Accepted);
    assert_eq!(bound.submit(&waiting).await.unwrap(), ResultCode::Accepted);
    assert_nobody_sees("its reader is no user").await;
    assert_eq!(held(&office).await.len(), 2);
    assert!(office.order_about("held.release", waiting.id()).await);
    assert_eq!(submit(&writer, &waiting).await, ResultCode::Duplicate);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_revoked_key_wrote_to_is_a_stranger_again() {
    let (ann, device, friend) = (key(1), key(3), key(8));
    let office = office("hold-strangers", &[&ann]).await;
    let by_ann = office.client(Some(&ann)).await;
    let by_device = RecordBuilder::new(Kind::MICROBLOG_ROOT, ann.public())
        .tags(TagsBuilder::new().notify(friend.public()))
        .sign(&device)
        .unwrap();
    let moment = Timestamp::from_nanos(1).unwrap();
    let (active, revoked) = (KeyMarker::ActiveSigning, KeyMarker::Revoked(moment));
    let active = schedule(&ann, &device, active);
    for record in [&active, &by_device] {
        assert_eq!(submit(&by_ann, record).await, ResultCode::Accepted);
    }
    let writer = office.client(Some(&friend)).await;
    for (text, waits) in [("an answer", false), ("after it was revoked", true)] {
        let answer = note_to(&friend, &ann, text);
        assert_eq!(submit(&writer, &answer).await, ResultCode::Accepted);
        assert_eq!(held(&office).await.len(), usize::from(waits), "{text}");
        let revoked = schedule(&ann, &device, revoked);
        assert_eq!(submit(&by_ann, &revoked).await, ResultCode::Accepted);
    }
    let office = office.restart(&[]).await;
    let writer = office.client(Some(&friend)).await;
    let third = note_to(&friend, &ann, "found in the store");
    assert_eq!(submit(&writer, &third).await, ResultCode::Accepted);
    assert_eq!(held(&office).await.len(), 2);
    office.stop().await;
}
