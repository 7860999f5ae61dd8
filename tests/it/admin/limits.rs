//! Limits that operators set.

use super::*;
use crate::rates::{flood, limited};

/// What is in force and what the configuration says of that limit.
async fn limit(stream: &OperatorStream, name: &str) -> (u64, u64) {
    let rows = order(stream, "limit.show", &[]).await;
    let row = rows.iter().find(|row| row["name"] == name.into()).unwrap();
    let number = |name: &str| row[name].as_unsigned().unwrap();
    (number("value"), number("configured"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_set_goes_before_the_configuration_until_it_is_reset() {
    let mut server = start().await;
    let stream = operator(&server).await;
    let (_, configured) = limit(&stream, "submissions").await;
    let name = ("name", AdminValue::from("submissions"));
    let value = |value: u64| ("value", AdminValue::from(value));
    order(&stream, "limit.set", &[name.clone(), value(7)]).await;
    assert_eq!(limit(&stream, "submissions").await, (7, configured));
    let too_much = refused(&stream, "limit.set", &[name.clone(), value(u64::MAX)]).await;
    assert_eq!(too_much, ResultCode::Invalid);
    let unknown = [("name", "speed".into()), value(1)];
    assert_eq!(
        refused(&stream, "limit.set", &unknown).await,
        ResultCode::Invalid
    );
    order(&stream, "reload", &[]).await;
    assert_eq!(limit(&stream, "submissions").await, (7, configured));

    server.kill();
    server.restart().await;
    let stream = operator(&server).await;
    assert_eq!(limit(&stream, "submissions").await, (7, configured));
    order(&stream, "limit.reset", &[name]).await;
    assert_eq!(
        limit(&stream, "submissions").await,
        (configured, configured)
    );
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_set_holds_at_once_on_open_connections_and_no_longer_when_it_is_set_back() {
    let operators = format!("operators={}", key(OPERATOR).public());
    let server = limited(&[&operators]).await;
    let stream = operator(&server).await;
    let author = key(1);
    let client = server.client(None).await;
    let count = 60;
    assert_eq!(flood(&client, &author, count).await, (count, 0));

    let names = ["submissions_burst", "submissions"];
    let set = async |name: &str, value: u64| {
        let given = [("name", name.into()), ("value", value.into())];
        order(&stream, "limit.set", &given).await;
    };
    let mut before = Vec::new();
    for (name, value) in names.into_iter().zip([10, 1]) {
        before.push(limit(&stream, name).await.0);
        set(name, value).await;
    }
    let (accepted, too_fast) = flood(&client, &author, count).await;
    assert!(accepted >= 10 && too_fast > 0, "{accepted} {too_fast}");
    let status = order(&stream, "status", &[]).await;
    let refused = status[0]["submissions_refused"].as_unsigned().unwrap();
    assert_eq!(refused, u64::from(too_fast));

    for (name, value) in names.into_iter().zip(before) {
        set(name, value).await;
    }
    assert_eq!(flood(&client, &author, count).await, (count, 0));
    server.stop_cleanly().await;
}
