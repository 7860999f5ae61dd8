//! The same server over TCP, to the library and to the `mosaic` binary.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use mosaicd::base::Role;
use mosaicd::client::{
    Follow, FollowEvent, FollowRequest, Item, Options, RequestError, StreamEnd, Target,
};
use mosaicd::wire::{Reference, ResultCode};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{DevServer, PATIENCE, all, by, client, key, mosaic, post};

/// A development server that also listens on TCP, and where.
async fn dev_server() -> (DevServer, Target) {
    let arguments = ["--dev", "--set", "listen_tcp=[\"127.0.0.1:0\"]"];
    let server = DevServer::start_with(&arguments, "").await;
    let target = server.tcp_target().await;
    (server, target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_over_tcp_is_got_queried_and_seen_live_over_both() {
    let (server, target) = dev_server().await;
    let author = key(1);
    let publisher = client(&target, Some(&author)).await;
    assert_eq!(publisher.server_key(), server.key());
    let reader = client(&target, None).await;
    let over_quic = server.client(None).await;

    let first = post(&author, "stored");
    let submitted = publisher.submit(&first).await.unwrap();
    assert_eq!(submitted, ResultCode::Accepted);
    let outbox = publisher.open_role(Role::Outbox, None).await.unwrap();
    let submitted = outbox.submit(&first).await.unwrap();
    assert_eq!(submitted, ResultCode::Duplicate);

    for reader in [&reader, &over_quic] {
        let got = reader.get(vec![Reference::Id(first.id())]).await.unwrap();
        assert_eq!(all(got).await, std::slice::from_ref(&first));
        let queried = reader.query(by(&author), 0).await.unwrap();
        assert_eq!(all(queried).await, std::slice::from_ref(&first));
    }
    let mut live = reader.subscribe(by(&author), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::Record(it) if it == first));
    assert!(matches!(live.next().await.unwrap(), Item::LocallyComplete));
    let second = post(&author, "live");
    let submitted = over_quic.submit(&second).await.unwrap();
    assert_eq!(submitted, ResultCode::Accepted);
    assert!(matches!(live.next().await.unwrap(), Item::Record(it) if it == second));
    reader.close().await;
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_development_server_every_role_is_open_over_tcp_too() {
    let (server, target) = dev_server().await;
    let user = client(&target, Some(&key(1))).await;
    for role in Role::ALL {
        let opened = user.open_role(role, None).await;
        assert!(opened.is_ok(), "{role}: {opened:?}");
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_development_a_loopback_port_serves_applications_alone() {
    let config = "listen_tcp = [\"127.0.0.1:0\"]\n[application]\nids = [1]\nsubmit = \"anyone\"";
    let (server, _folder) = DevServer::start_public(config).await;
    let target = server.tcp_target().await;
    let author = key(1);
    let client = client(&target, Some(&author)).await;
    for role in [Role::Outbox, Role::Inbox, Role::Encryption] {
        match client.open_role(role, None).await.unwrap_err() {
            RequestError::Refused { result, why } => {
                assert_eq!(result, ResultCode::TemporaryError, "{role}");
                assert!(why.unwrap().contains("ONION"), "{role}");
            }
            other => panic!("{role}: {other:?}"),
        }
    }
    let record = post(&author, "in the chat room");
    let chat = client.open_role(Role::Application, Some(1)).await.unwrap();
    assert_eq!(chat.submit(&record).await.unwrap(), ResultCode::Accepted);
    let found = client.query(by(&author), 0).await.unwrap();
    assert_eq!(all(found).await, [record]);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_reading_is_not_cut_off_and_gets_everything_once() {
    const RECORDS: usize = 4_000;
    let (server, target) = dev_server().await;
    let author = key(1);
    let publisher = client(&target, Some(&author)).await;
    let reader = client(&target, None).await;
    let mut slow = reader.subscribe(by(&author), 0).await.unwrap();
    assert!(matches!(slow.next().await.unwrap(), Item::LocallyComplete));

    // Sixteen megabytes, many times what lies between the two. None is read until all are stored.
    let mut sent = Vec::new();
    let mut submissions = publisher.submit_many(128);
    for _ in 0..RECORDS {
        let record = post(&author, vec![7; 4_000]);
        if let Some(submitted) = submissions.push(&record).await.unwrap() {
            assert_eq!(submitted.result, ResultCode::Accepted);
        }
        sent.push(record.id());
    }
    while let Some(submitted) = submissions.next().await.unwrap() {
        assert_eq!(submitted.result, ResultCode::Accepted);
    }
    let mut came = Vec::new();
    while came.len() < RECORDS {
        let item = timeout(PATIENCE, slow.next()).await;
        match item.expect("the subscription is stuck").unwrap() {
            Item::Record(record) => came.push(record.id()),
            other => panic!("{other:?}"),
        }
    }
    assert!(came == sent);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_says_so_on_every_connection() {
    let (mut server, target) = dev_server().await;
    let reader = client(&target, None).await;
    let mut live = reader.subscribe(by(&key(1)), 0).await.unwrap();
    assert!(matches!(live.next().await.unwrap(), Item::LocallyComplete));
    server.terminate();
    let end = loop {
        match timeout(PATIENCE, live.next()).await.unwrap() {
            Ok(Item::Closed(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(end) => break end,
        }
    };
    let result = ResultCode::ShuttingDown;
    assert!(
        matches!(end, RequestError::End(StreamEnd::Closing(code)) if code == result),
        "{end:?}"
    );
    drop((live, reader));
    let status = server.ended().await;
    assert!(status.success(), "{status}: {}", server.trace());
    assert!(!server.trace().contains("panicked"), "{}", server.trace());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_followed_outlives_a_server_that_was_killed() {
    let (mut server, target) = dev_server().await;
    let port = target.port();
    server.set(&format!("listen_tcp=[\"127.0.0.1:{port}\"]"));
    let author = key(1);
    let request = FollowRequest {
        target: target.clone(),
        options: Options::default(),
        role: None,
        filter: by(&author),
        limit: 0,
    };
    let mut follow = Follow::start(request).await.unwrap();
    let mut came = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..2 {
        for _ in 0..10 {
            let record = post(&author, "x");
            let publisher = client(&target, Some(&author)).await;
            assert!(publisher.submit(&record).await.unwrap().is_success());
            sent.push(record.id());
        }
        while came.len() < sent.len() {
            match timeout(PATIENCE, follow.next()).await.unwrap().unwrap() {
                FollowEvent::Record(record) => came.push(record.id()),
                FollowEvent::LocallyComplete | FollowEvent::Lost { .. } | FollowEvent::Resumed => {}
                other => panic!("{other:?}"),
            }
        }
        server.kill();
        server.restart().await;
    }
    came.sort_unstable();
    sent.sort_unstable();
    assert_eq!(came, sent);
    follow.close().await;
    server.stop_cleanly().await;
}

fn done(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_of_people_speaks_tcp_and_remembers_that_it_does() {
    let (server, target) = dev_server().await;
    let folder = TempDir::new().unwrap();
    let run = |arguments: &[&str]| done(mosaic(folder.path()).args(arguments).output().unwrap());
    let address = target.address();
    let keyed = format!("{}@{address}", server.key().to_server_string());
    assert!(keyed.contains("@mosaictcp://127.0.0.1:"), "{keyed}");
    run(&["key", "new"]);
    run(&["server", "add", "home", &keyed]);
    assert!(run(&["server", "list"]).contains(&address));
    let info = run(&["info"]);
    assert!(info.contains(&server.key().to_server_string()), "{info}");

    let mut subscriber = mosaic(folder.path())
        .args(["subscribe", "--kind", "microblog", "--count", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    run(&["publish", "first", "--server", &keyed]);
    run(&["publish", "second", "--server", "home"]);
    let output = BufReader::new(subscriber.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().map(Result::unwrap).collect();
    assert!(subscriber.wait().unwrap().success());
    let text = lines.join("\n");
    assert!(text.contains("first") && text.contains("second"), "{text}");
    let found = run(&["query", "--kind", "microblog", "--limit", "10"]);
    assert!(
        found.contains("first") && found.contains("second"),
        "{found}"
    );

    // The key of a server whose address alone is given is learnt over TCP as well.
    let other = TempDir::new().unwrap();
    let arguments = ["--accept-new", "--server", &address, "info"];
    done(mosaic(other.path()).args(arguments).output().unwrap());
    let arguments = ["--server", &address, "info"];
    done(mosaic(other.path()).args(arguments).output().unwrap());
    server.stop_cleanly().await;
}
