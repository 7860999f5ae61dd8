use std::path::Path;

use super::*;
use crate::config::Sources;

fn config(data: &Path, sets: &[&str]) -> Config {
    let sources = Sources {
        dev: true,
        data: Some(data.to_owned()),
        listen: vec!["127.0.0.1:0".to_owned()],
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        ..Sources::default()
    };
    sources.load().unwrap()
}

async fn start(data: &Path) -> Server {
    let key = SecretKey::from_seed([7; 32]);
    Server::start(config(data, &[]), key).await.unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_the_end_awaits_the_same_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    assert_eq!(server.local_addrs().len(), 1);
    assert_ne!(server.local_addrs()[0].port(), 0);
    let (first, second, third) = tokio::join!(
        server.shutdown(PATIENCE),
        server.shutdown(Duration::ZERO),
        server.ended()
    );
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert!(
        server.shutdown(PATIENCE).await.is_ok(),
        "and so does one who comes late"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_stop_holds_though_nobody_waits_for_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let asked = server.shutdown(PATIENCE);
    drop(tokio::time::timeout(Duration::ZERO, asked).await);
    assert!(server.ended().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ended_has_let_go_of_its_data_and_of_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let address = server.local_addrs()[0];
    server.shutdown(PATIENCE).await.unwrap();
    let mut config = config(folder.path(), &[]);
    config.listen = vec![address];
    let again = Server::start(config, SecretKey::from_seed([7; 32]))
        .await
        .unwrap();
    assert_eq!(again.local_addrs(), [address]);
    assert_eq!(again.public_key(), server.public_key());
    again.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_listen_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let taken = start(other.path()).await;
    let mut config = config(folder.path(), &[]);
    config.listen = taken.local_addrs().to_vec();
    let key = SecretKey::from_seed([8; 32]);
    let refused = Server::start(config, key).await;
    assert!(matches!(refused, Err(ServerError::Listen(_))));
    let again = start(folder.path()).await;
    again.shutdown(PATIENCE).await.unwrap();
    taken.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_dev_the_three_public_roles_are_shut_whatever_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[]);
    config.mode = Mode::Public;
    let server = Server::start(config, SecretKey::from_seed([7; 32]))
        .await
        .unwrap();
    assert_eq!(
        server.open_roles(),
        RoleSet::of(crate::base::Role::Application)
    );
    server.shutdown(PATIENCE).await.unwrap();
}
