//! The server is killed while it stores records: whatever it acknowledged is there afterwards.
//!
//! `MOSAIC_CRASH_ROUNDS` sets how often (25), `MOSAIC_SEED` replays a run. A SIGKILL leaves the page cache alone, so
//! this shows the order of answers and writes, not what a power cut does; the store's own tests cut its log short.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mosaicd::client::Client;
use mosaicd::wire::{Kind, RecordBuilder, RecordId, Reference, ResultCode, SecretKey};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{DevServer, all, key, seed};

/// Connections that publish at the same time.
const PUBLISHERS: u8 = 4;

/// Most acknowledged records of a round before the server is killed.
const ACKNOWLEDGED_MAX: usize = 400;

/// Counts acknowledged records and says when there are enough of them.
struct Fuse {
    left: AtomicUsize,
    burnt: Notify,
}

impl Fuse {
    fn burn(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.burnt.notify_one();
        }
    }
}

/// What the server acknowledged; the publishers of a round add to it until they are stopped.
type Acknowledged = Arc<Mutex<Vec<RecordId>>>;

/// Publishes records, several in flight, for as long as it is let.
async fn publish(
    client: Client,
    author: SecretKey,
    round: usize,
    fuse: Arc<Fuse>,
    acknowledged: Acknowledged,
) {
    let mut submissions = client.submit_many(8);
    for number in 0.. {
        let kind = if number % 2 == 0 {
            Kind::MICROBLOG_ROOT
        } else {
            Kind::CHAT_MESSAGE
        };
        let record = RecordBuilder::new(kind, author.public())
            .payload(format!("round {round}, record {number}"))
            .sign(&author)
            .unwrap();
        match submissions.push(&record).await {
            Ok(None) => {}
            Ok(Some(submitted)) => {
                assert_eq!(submitted.result, ResultCode::Accepted);
                acknowledged.lock().unwrap().push(submitted.id);
                fuse.burn();
            }
            // The server was killed; the test is about to stop us.
            Err(_) => std::future::pending().await,
        }
    }
}

async fn assert_all_there(server: &DevServer, acknowledged: &[RecordId]) {
    let client = server.client(None).await;
    for ids in acknowledged.chunks(200) {
        let references: Vec<Reference> = ids.iter().copied().map(Reference::Id).collect();
        let found = all(client.get(references).await.unwrap()).await;
        let found: Vec<RecordId> = found.iter().map(|record| record.id()).collect();
        assert_eq!(found, ids, "acknowledged records are missing");
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_record_survives_sigkill_at_a_random_moment() {
    let rounds = std::env::var("MOSAIC_CRASH_ROUNDS").map_or(25, |text| text.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed());
    let mut server = DevServer::start().await;
    let mut everything = Vec::new();
    for round in 0..rounds {
        let fuse = Arc::new(Fuse {
            left: AtomicUsize::new(random.random_range(1..=ACKNOWLEDGED_MAX)),
            burnt: Notify::new(),
        });
        let acknowledged = Acknowledged::default();
        let mut publishers = JoinSet::new();
        for number in 0..PUBLISHERS {
            let author = key(number + 1);
            let client = server.client(Some(&author)).await;
            publishers.spawn(publish(
                client,
                author,
                round,
                fuse.clone(),
                acknowledged.clone(),
            ));
        }
        fuse.burnt.notified().await;
        server.kill();
        // The connections are dead; waiting until each publisher has noticed would show nothing more.
        publishers.abort_all();
        while let Some(ended) = publishers.join_next().await {
            assert!(
                ended.is_err_and(|error| error.is_cancelled()),
                "a publisher failed"
            );
        }
        let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
        assert!(!acknowledged.is_empty());
        server.verify_store();
        server.restart().await;
        assert_all_there(&server, &acknowledged).await;
        everything.extend(acknowledged);
    }
    assert_all_there(&server, &everything).await;
    println!("{rounds} rounds, {} acknowledged records", everything.len());
    server.stop_cleanly().await;
}
