//! What operators do to what is stored, and for whom it is stored.

use super::*;

/// What a client that knows its key hears about a record, byte for byte: GET by ID and by address, QUERY,
/// and the stored phase of SUBSCRIBE.
async fn replies(
    server: &DevServer,
    reader: Option<&SecretKey>,
    record: &Record,
) -> Vec<ServerMessage> {
    let raw = server.raw(reader).await;
    let mut stream = greeted(&raw, &[]).await;
    let id = QueryId(5);
    let filter = FilterBuilder::new()
        .authors([record.view().author()])
        .kinds([record.view().kind()])
        .build()
        .unwrap();
    let limit = 0;
    let requests = [
        ClientMessage::Get {
            id,
            references: vec![Reference::Id(record.id())],
        },
        ClientMessage::Get {
            id,
            references: vec![Reference::Address(record.view().address())],
        },
        ClientMessage::Query {
            id,
            limit,
            filter: filter.clone(),
        },
        ClientMessage::Subscribe { id, limit, filter },
    ];
    let mut heard = Vec::new();
    for request in requests {
        stream.send(request.encode()).await.unwrap();
        loop {
            let message = stream.receive().await.unwrap().unwrap();
            let is_last = matches!(
                message,
                ServerMessage::QueryClosed { .. } | ServerMessage::LocallyComplete { .. }
            );
            heard.push(message);
            if is_last {
                break;
            }
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_record_is_for_every_reader_as_if_it_had_never_been() {
    let mut server = start().await;
    let stream = operator(&server).await;
    let (author, nobody) = (key(1), key(2));
    let client = server.client(Some(&author)).await;
    // The same author's, which is there already, and another one's, which never was: the replies about
    // them are what those about the deleted one must be.
    let (deleted, absent) = (post(&author, "deleted"), post(&nobody, "absent"));
    assert_eq!(client.submit(&deleted).await.unwrap(), ResultCode::Accepted);
    let mut live = client.subscribe(by(&author), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::Record(_)));
    assert!(matches!(live.next().await.unwrap(), Item::LocallyComplete));

    let ids = AdminValue::List(vec![deleted.id().into(), absent.id().into()]);
    let rows = order(&stream, "record.delete", &[("ids", ids.clone())]).await;
    assert_eq!(rows[0]["done"], 1_u64.into());
    let missing = AdminValue::List(vec![absent.id().into()]);
    assert_eq!(rows[0]["missing"], missing);
    let again = refused(&stream, "record.delete", &[("ids", ids)]).await;
    assert_eq!(again, ResultCode::NotFound);

    let (operator_key, author_key) = (key(OPERATOR), author.clone());
    for reader in [None, Some(&author_key), Some(&nobody), Some(&operator_key)] {
        let of_deleted = replies(&server, reader, &deleted).await;
        let of_absent = replies(&server, reader, &absent).await;
        assert_eq!(of_deleted, of_absent);
    }
    // Nobody can bring it back, and who tries is not told why.
    assert_eq!(client.submit(&deleted).await.unwrap(), ResultCode::Accepted);
    let next = post(&author, "next");
    assert_eq!(client.submit(&next).await.unwrap(), ResultCode::Accepted);
    let seen = timeout(PATIENCE, live.next()).await.unwrap().unwrap();
    assert!(matches!(seen, Item::Record(it) if it.id() == next.id()));
    assert_eq!(
        all(client.query(by(&author), 0).await.unwrap()).await,
        std::slice::from_ref(&next)
    );

    server.kill();
    server.verify_store();
    server.restart().await;
    let client = server.client(Some(&author)).await;
    assert_eq!(client.submit(&deleted).await.unwrap(), ResultCode::Accepted);
    assert_eq!(
        all(client.query(by(&author), 0).await.unwrap()).await,
        [next]
    );
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_invitations_are_made_shown_and_taken_back() {
    let config = format!("{}[users]\nmode = \"invite\"\n", operators(&[OPERATOR]));
    let server = DevServer::start_with(&["--dev"], &config).await;
    let stream = operator(&server).await;
    let user = key(1);
    let client = server.client(Some(&user)).await;
    let first = post(&user, "first");
    let of_user = ("user", AdminValue::from(user.public()));
    let unknown = refused(&stream, "user.show", std::slice::from_ref(&of_user)).await;
    assert_eq!(unknown, ResultCode::NotFound);
    let records = ("records", AdminValue::from(1_u64));
    order(&stream, "user.add", &[of_user.clone(), records]).await;
    let twice = refused(&stream, "user.add", std::slice::from_ref(&of_user)).await;
    assert_eq!(twice, ResultCode::Duplicate);
    assert_eq!(client.submit(&first).await.unwrap(), ResultCode::Accepted);
    let second = post(&user, "second");
    assert_eq!(client.submit(&second).await.unwrap(), ResultCode::TooLarge);
    let rows = order(&stream, "user.list", &[]).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["user"], user.public().into());
    assert_eq!(rows[0]["records"], 1_u64.into());
    assert_eq!(rows[0]["records_max"], 1_u64.into());
    let more = ("records", AdminValue::from(2_u64));
    order(&stream, "user.quota", &[of_user.clone(), more]).await;
    assert_eq!(client.submit(&second).await.unwrap(), ResultCode::Accepted);
    order(&stream, "user.remove", &[of_user]).await;

    let note = ("note", AdminValue::from("for Bob"));
    let made = order(
        &stream,
        "invite.create",
        &[note, ("seconds", 600_u64.into())],
    )
    .await;
    let code = made[0]["code"].as_text().unwrap();
    let listed = order(&stream, "invite.list", &[]).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["note"], "for Bob".into());
    assert!(!listed[0].contains_key("code"), "it is shown once");
    for row in order(&stream, "audit.list", &[]).await {
        assert!(!row["detail"].as_text().unwrap().contains(code));
    }
    assert!(!server.trace().contains(code));
    let hash = ("hash", listed[0]["hash"].clone());
    order(&stream, "invite.revoke", std::slice::from_ref(&hash)).await;
    assert_eq!(
        refused(&stream, "invite.revoke", &[hash]).await,
        ResultCode::NotFound
    );
    let did = [
        "invite.revoke",
        "invite.create",
        "user.remove",
        "user.quota",
        "user.add",
    ];
    assert_eq!(trail(&stream).await, did);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_waits_is_shown_to_the_operators_calls_alone_and_comes_when_it_is_released() {
    let user = key(1);
    let config = format!(
        "{}[users]\nmode = \"list\"\nlist = [\"{}\"]\n[inbox]\nmoderation = \"hold-all\"\n",
        operators(&[OPERATOR]),
        user.public()
    );
    let server = DevServer::start_with(&["--dev"], &config).await;
    let stream = operator(&server).await;
    let stranger = key(2);
    let letter = |text: &str| {
        RecordBuilder::new(Kind::MICROBLOG_ROOT, stranger.public())
            .tags(mosaicd::wire::TagsBuilder::new().notify(user.public()))
            .payload(text.to_owned())
            .sign(&stranger)
            .unwrap()
    };
    let (good, bad) = (letter("good"), letter("bad"));
    let sender = server.client(Some(&stranger)).await;
    let inbox = sender.open_role(Role::Inbox, None).await.unwrap();
    for record in [&good, &bad] {
        assert_eq!(inbox.submit(record).await.unwrap(), ResultCode::Accepted);
    }
    let rows = order(&stream, "held.list", &[]).await;
    let texts: Vec<_> = rows.iter().map(|row| row["text"].clone()).collect();
    assert_eq!(texts, ["bad".into(), "good".into()]);
    let operator_key = key(OPERATOR);
    let reader = server.client(Some(&operator_key)).await;
    assert!(
        all(reader.query(by(&stranger), 0).await.unwrap())
            .await
            .is_empty()
    );

    let ids = |record: &Record| ("ids", AdminValue::List(vec![record.id().into()]));
    order(&stream, "held.release", &[ids(&good)]).await;
    order(&stream, "held.reject", &[ids(&bad)]).await;
    let gone = refused(&stream, "held.show", &[("id", good.id().into())]).await;
    assert_eq!(gone, ResultCode::NotFound, "it waits no longer");
    assert!(order(&stream, "held.list", &[]).await.is_empty());
    let recipient = server.client(Some(&user)).await;
    let seen = all(recipient.query(by(&stranger), 0).await.unwrap()).await;
    assert_eq!(seen, [good]);
    assert_eq!(trail(&stream).await, ["held.reject", "held.release"]);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_deletes_what_is_there_and_ends_with_1_where_something_is_missing() {
    let server = start().await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    let records: Vec<Record> = (0..3).map(|n| post(&author, n.to_string())).collect();
    for record in &records {
        assert_eq!(client.submit(record).await.unwrap(), ResultCode::Accepted);
    }
    let key_file = server.file("operator.key");
    write_key(&key_file, &key(OPERATOR));
    let reference = |record: &Record| Reference::Id(record.id()).to_string();
    let delete = |references: &[String]| {
        let mut arguments = vec!["record", "delete", "--json"];
        arguments.extend(references.iter().map(String::as_str));
        let run = admin(&server, &key_file, &arguments);
        let text = String::from_utf8(run.stdout).unwrap();
        let rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (run.status.code().unwrap(), rows)
    };
    let absent: Vec<String> = (0..200)
        .map(|n| reference(&post(&key(2), n.to_string())))
        .collect();

    let there = reference(&records[0]);
    let (code, rows) = delete(&[there.clone(), absent[0].clone()]);
    assert_eq!((code, &rows[0]["done"]), (1, &Value::from(1)));
    assert_eq!(rows[0]["missing"], serde_json::json!([absent[0]]));
    let (code, rows) = delete(&[reference(&records[1])]);
    assert_eq!((code, &rows[0]["done"]), (0, &Value::from(1)));
    // More than one call of the server takes: those that are missing fill one, or are in several.
    let mut many = absent;
    many.push(reference(&records[2]));
    let (code, rows) = delete(&many);
    let done: u64 = rows.iter().map(|row| row["done"].as_u64().unwrap()).sum();
    assert_eq!((code, done), (1, 1));
    assert!(
        all(client.query(by(&author), 0).await.unwrap())
            .await
            .is_empty()
    );
    server.stop_cleanly().await;
}
