//! Limits as clients of a server process meet them.

use mosaicd::base::limits::{
    RATE_BYTES_PER_SECOND, RATE_STREAMS_PER_SECOND, RATE_SUBMISSIONS_BURST,
    RATE_SUBMISSIONS_PER_SECOND,
};
use mosaicd::client::Client;
use mosaicd::wire::{ResultCode, SecretKey};

use crate::support::{DevServer, client, key, mosaic, post};

/// A development server with these rates, on both transports; a loopback address counts as any other.
pub(crate) async fn limited(rates: &[&str]) -> DevServer {
    let mut arguments = vec!["--dev", "--set", "listen_tcp=[\"127.0.0.1:0\"]"];
    for rate in [&["rates.loopback_factor=1"], rates].concat() {
        arguments.extend(["--set", rate]);
    }
    DevServer::start_with(&arguments, "").await
}

/// Submits as many records as fast as it can; how many were accepted, and how many too fast.
pub(crate) async fn flood(client: &Client, author: &SecretKey, count: u32) -> (u32, u32) {
    let (mut accepted, mut too_fast) = (0, 0);
    let mut note = |result| match result {
        ResultCode::Accepted => accepted += 1,
        ResultCode::TooFast => too_fast += 1,
        other => panic!("{other}"),
    };
    let mut submissions = client.submit_many(256);
    for number in 0..count {
        if let Some(submitted) = submissions
            .push(&post(author, number.to_string()))
            .await
            .unwrap()
        {
            note(submitted.result);
        }
    }
    while let Some(submitted) = submissions.next().await.unwrap() {
        note(submitted.result);
    }
    (accepted, too_fast)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_too_fast_over_either_transport_and_a_user_beside_it_is_not() {
    let user = key(1);
    let users = format!("users.list={}", user.public());
    let rates = ["rates.submissions=1", "rates.submissions_burst=20", &users];
    let server = limited(&rates).await;
    let known = server.client(Some(&user)).await;
    let info = known.info().await.unwrap();
    assert_eq!(info.limits.submissions_per_second, 4, "four times as many");
    let tcp = server.tcp_target().await;

    let over_quic = server.client(None).await;
    let told = over_quic
        .info()
        .await
        .unwrap()
        .limits
        .submissions_per_second;
    assert_eq!(told, 1);
    let (accepted, too_fast) = flood(&over_quic, &key(2), 60).await;
    assert!(accepted >= 20 && too_fast > 0, "{accepted} {too_fast}");
    let refused = over_quic.info().await.unwrap().refused.unwrap();
    assert_eq!(refused.result, ResultCode::TooFast);
    assert!(refused.why.contains("submissions"), "{refused:?}");
    // The same address over the other transport has nothing left.
    let over_tcp = client(&tcp, None).await;
    let (_, too_fast) = flood(&over_tcp, &key(3), 40).await;
    assert!(too_fast > 0);
    let (accepted, _) = flood(&known, &user, 60).await;
    assert_eq!(accepted, 60);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_defaults_a_user_brings_ten_thousand_records_at_once() {
    let user = key(1);
    // A development server has no limits of its own, so they are written out.
    let rates = [
        format!("rates.submissions={RATE_SUBMISSIONS_PER_SECOND}"),
        format!("rates.submissions_burst={RATE_SUBMISSIONS_BURST}"),
        format!("rates.bytes={RATE_BYTES_PER_SECOND}"),
        format!("rates.streams={RATE_STREAMS_PER_SECOND}"),
    ];
    let server = limited(&rates.each_ref().map(String::as_str)).await;
    let client = server.client(Some(&user)).await;
    assert_eq!(flood(&client, &user, 10_000).await, (10_000, 0));
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosaic_publish_hands_in_again_what_was_too_fast_until_all_is_stored() {
    let server = limited(&["rates.submissions=10", "rates.submissions_burst=20"]).await;
    let author = key(1);
    let lines = (0..120).map(|number| {
        let record = post(&author, number.to_string()).to_string();
        format!("{{\"morecord\": \"{record}\"}}\n")
    });
    let file = server.file("records.jsonl");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let mut command = mosaic(&server.file("client"));
    command
        .env("MOSAIC_SERVER", server.name())
        .args(["publish", "--records"])
        .arg(&file);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let run = run.await.unwrap();
    let summary = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{summary}");
    assert!(summary.contains("120 ACCEPTED"), "{summary}");
    server.stop_cleanly().await;
}
