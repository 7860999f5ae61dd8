//! The server is killed while it stores records: whatever it acknowledged is there afterwards.
//!
//! `MOSAIC_CRASH_ROUNDS` sets how often (25), `MOSAIC_SEED` replays a run. A SIGKILL leaves the page cache alone, so
//! this shows the order of answers and writes, not what a power cut does; the store's own tests cut its log short.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mosaicd::client::Client;
use mosaicd::wire::{Kind, RecordBuilder, RecordId, Reference, ResultCode, SecretKey};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

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

/// Publishes records, several in flight, until the connection dies. Returns what was acknowledged.
async fn publish(
    client: Client,
    author: SecretKey,
    round: usize,
    fuse: Arc<Fuse>,
) -> Vec<RecordId> {
    let mut acknowledged = Vec::new();
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
                acknowledged.push(submitted.id);
                fuse.burn();
            }
            Err(_) => break,
        }
    }
    acknowledged
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
        let mut publishers = Vec::new();
        for number in 0..PUBLISHERS {
            let author = key(number + 1);
            let client = server.client(Some(&author)).await;
            publishers.push(tokio::spawn(publish(client, author, round, fuse.clone())));
        }
        fuse.burnt.notified().await;
        server.kill();
        let mut acknowledged = Vec::new();
        for publisher in publishers {
            acknowledged.extend(publisher.await.unwrap());
        }
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
