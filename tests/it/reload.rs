//! The configuration is read again while the server runs, on SIGHUP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mosaicd::client::{Client, Item};
use mosaicd::wire::{Kind, Record, RecordBuilder, Reference, ResultCode, SecretKey};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{DevServer, PATIENCE, all, by, key, post};

/// A record of the example application, for everybody; all of them are kept.
const EXAMPLE: u64 = 0x0000_0063_0001_001f;

fn example(author: &SecretKey, text: &str) -> Record {
    RecordBuilder::new(Kind::new(EXAMPLE).unwrap(), author.public())
        .payload(text.to_owned())
        .sign(author)
        .unwrap()
}

/// Asks until `client` is told that the server has that name; how long that takes is the server's matter.
async fn until_named(client: &Client, name: &str) {
    let renamed = async { while client.info().await.unwrap().name != name {} };
    timeout(PATIENCE, renamed).await.expect("no reload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_takes_effect_on_open_connections_and_what_takes_a_restart_does_not() {
    let users = "[users]\nmode = \"list\"\n";
    let server = DevServer::start_with(&["--dev"], users).await;
    let (author, other) = (key(1), key(2));
    let client = server.client(Some(&author)).await;
    let stranger = server.client(Some(&other)).await;
    let first = example(&other, "first");
    assert_eq!(stranger.submit(&first).await.unwrap(), ResultCode::Accepted);
    server.configure(&format!(
        "name = \"two\"\nlisten_tcp = [\"127.0.0.1:9\"]\nroles = [\"application\"]\n\
         [application]\nids = [99]\nsubmit = [\"{}\"]\n{users}",
        author.public()
    ));
    server.hang_up();
    until_named(&client, "two").await;
    let ours = example(&author, "ours");
    assert_eq!(client.submit(&ours).await.unwrap(), ResultCode::Accepted);
    let second = example(&other, "second");
    assert_eq!(
        stranger.submit(&second).await.unwrap(),
        ResultCode::Unauthorized
    );
    let trace = server.trace();
    let kept = trace.lines().find(|line| line.contains("take a restart"));
    let kept = kept.unwrap_or_else(|| panic!("{trace}"));
    assert!(
        kept.contains("listen_tcp") && kept.contains("roles"),
        "{kept}"
    );
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_the_trace_says_why() {
    let server = DevServer::start_with(&["--dev"], "name = \"one\"\n").await;
    let client = server.client(None).await;
    server.configure("name = \"two\"\n[inbox]\npublc = false\n");
    server.hang_up();
    let told = async {
        while !server.trace().contains("inbox.public") {
            // Its own pace: an answer of the server between two looks.
            client.info().await.unwrap();
        }
    };
    timeout(PATIENCE, told)
        .await
        .expect("the trace says nothing");
    assert_eq!(client.info().await.unwrap().name, "one");
    server.configure("name = \"three\"\n");
    server.hang_up();
    until_named(&client, "three").await;
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_drop_no_connection_and_fail_no_request_that_is_valid_under_both() {
    let server = DevServer::start_with(&["--dev"], "name = \"even\"\n").await;
    let goes_on = Arc::new(AtomicBool::new(true));
    let mut load = JoinSet::new();
    for number in 1..=4 {
        let author = key(number);
        let client = server.client(Some(&author)).await;
        load.spawn(publish_and_read(client, author, Arc::clone(&goes_on)));
    }
    let author = key(1);
    let reader = server.client(None).await;
    let mut live = reader.subscribe(by(&author), 0).await.unwrap();
    let asker = server.client(None).await;
    for turn in 0..20 {
        let (name, public, submit) = if turn % 2 == 0 {
            ("odd", false, "authenticated")
        } else {
            ("even", true, "anyone")
        };
        server.configure(&format!(
            "name = \"{name}\"\n[inbox]\npublic = {public}\n[application]\nsubmit = \"{submit}\"\n"
        ));
        server.hang_up();
        until_named(&asker, name).await;
    }
    goes_on.store(false, Ordering::Relaxed);
    let mut published = 0;
    while let Some(done) = load.join_next().await {
        let (who, count) = done.expect("a request failed");
        if who == author.public() {
            published = count;
        }
    }
    assert!(published > 0);
    let mut seen = 0;
    let all_seen = async {
        while seen < published {
            if let Item::Record(_) = live.next().await.unwrap() {
                seen += 1;
            }
        }
    };
    timeout(PATIENCE, all_seen)
        .await
        .expect("records are missing");
    server.stop_cleanly().await;
}

/// Publishes, gets and queries on one connection until told to stop; every answer must be the one that both
/// configurations give. Returns how much was published.
async fn publish_and_read(
    client: Client,
    author: SecretKey,
    goes_on: Arc<AtomicBool>,
) -> (mosaicd::wire::PublicKey, usize) {
    let mut count = 0;
    while goes_on.load(Ordering::Relaxed) {
        let next = post(&author, count.to_string());
        assert_eq!(client.submit(&next).await.unwrap(), ResultCode::Accepted);
        count += 1;
        let got = client.get(vec![Reference::Id(next.id())]).await.unwrap();
        assert_eq!(all(got).await, [next]);
        let (newest, result) = client
            .query(by(&author), 5)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert_eq!((newest.len(), result), (count.min(5), ResultCode::Success));
    }
    (author.public(), count)
}
