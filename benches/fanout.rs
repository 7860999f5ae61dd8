//! What it costs to find the subscriptions of a new record, and to deliver to them.
//!
//! Before the usual measurements this prints how many times cheaper the inverted index is than
//! asking every filter, from pairs that were taken in turns in this one run: absolute times on a
//! shared machine move, ratios hardly do.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mosaicd::base::{Role, RoleSet, Seq};
use mosaicd::fanout::{Delivery, Fanout, Sees, Subscription};
use mosaicd::store::{Entry, Vouched};
use mosaicd::wire::{Filter, FilterBuilder, Kind, RecordBuilder, SecretKey, Timestamp};

/// Authors that write; each subscription follows a few of them.
const AUTHORS: usize = 1_000;
const FOLLOWED: usize = 5;
const PAYLOAD_BYTES: usize = 384;
const PAIRS: usize = 15;

/// Records of all authors, as the writer publishes them, with positions that only grow.
struct Writer {
    entries: Vec<Entry>,
    written: u64,
}

impl Writer {
    fn new(authors: &[SecretKey]) -> Self {
        let entries = authors.iter().map(|author| {
            let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
                .payload(vec![0; PAYLOAD_BYTES])
                .sign(author)
                .expect("a record within bounds");
            Entry {
                seq: Seq::ZERO,
                received: Timestamp::now(),
                roles: RoleSet::of(Role::Outbox),
                vouched: Vouched::Master,
                submitter: None,
                held: false,
                charged: Arc::default(),
                record,
            }
        });
        Self {
            entries: entries.collect(),
            written: 0,
        }
    }

    fn next(&mut self) -> Arc<Entry> {
        self.written += 1;
        let place = self.written % u64::try_from(self.entries.len()).expect("a small count");
        let place = usize::try_from(place).expect("a small count");
        let mut entry = self.entries.get(place).expect("within the list").clone();
        entry.seq = Seq::new(self.written);
        Arc::new(entry)
    }
}

fn authors() -> Vec<SecretKey> {
    (0..AUTHORS).map(|_| SecretKey::generate()).collect()
}

/// `count` filters, each of which follows [`FOLLOWED`] of the authors.
fn filters(authors: &[SecretKey], count: usize) -> Vec<Filter> {
    let followed = |first: usize| {
        let some = authors.iter().cycle().skip(first % AUTHORS).step_by(7);
        some.take(FOLLOWED).map(SecretKey::public)
    };
    (0..count)
        .map(|first| {
            let filter = FilterBuilder::new().authors(followed(first));
            filter.build().expect("a filter within bounds")
        })
        .collect()
}

fn subscribe(fanout: &Fanout, filters: &[Filter]) -> Vec<Subscription> {
    let sees: Sees = Arc::new(|_| true);
    filters
        .iter()
        .map(|filter| fanout.subscribe(filter.clone(), Arc::clone(&sees)))
        .collect()
}

fn drain(subscriptions: &mut [Subscription]) -> usize {
    let mut delivered = 0;
    for subscription in subscriptions {
        while let Some(delivery) = subscription.try_next() {
            match delivery {
                Delivery::Live(entry) => {
                    black_box(entry);
                    delivered += 1;
                }
                Delivery::Behind { .. } => unreachable!("the mailboxes are emptied in time"),
            }
        }
    }
    delivered
}

fn matches(filters: &[Filter], entry: &Entry) -> usize {
    let record = entry.record.view();
    let matching = filters
        .iter()
        .filter(|filter| filter.matches(&record, entry.received));
    matching.count()
}

fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// The median of how many times longer a scan of all filters takes than the index and delivery.
#[expect(clippy::print_stderr, reason = "this is what the benchmark is run for")]
fn ratio(_: &mut Criterion) {
    let authors = authors();
    for count in [100, 1_000, 10_000] {
        let filters = filters(&authors, count);
        let fanout = Fanout::new(Seq::ZERO);
        let mut subscriptions = subscribe(&fanout, &filters);
        let mut writer = Writer::new(&authors);
        let mut ratios: Vec<f64> = (0..PAIRS)
            .map(|_| {
                let batch: Vec<_> = (0..100).map(|_| writer.next()).collect();
                let index = time(|| fanout.publish(&batch));
                let scan = time(|| {
                    for entry in &batch {
                        black_box(matches(&filters, entry));
                    }
                });
                drain(&mut subscriptions);
                scan.as_secs_f64() / index.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |place: usize| ratios.get(place).copied().unwrap_or(f64::NAN);
        eprintln!(
            "{count} subscriptions: a scan takes {:.1} times as long as the index (quartiles {:.1} and {:.1})",
            at(PAIRS / 2),
            at(PAIRS / 4),
            at(3 * PAIRS / 4),
        );
    }
}

fn matching(criterion: &mut Criterion) {
    let authors = authors();
    let mut group = criterion.benchmark_group("matching");
    for count in [100, 1_000, 10_000] {
        let filters = filters(&authors, count);
        let fanout = Fanout::new(Seq::ZERO);
        let mut subscriptions = subscribe(&fanout, &filters);
        let mut writer = Writer::new(&authors);
        group.bench_function(BenchmarkId::new("index", count), |bencher| {
            bencher.iter_custom(|rounds| {
                (0..rounds)
                    .map(|_| {
                        let entry = writer.next();
                        let took = time(|| fanout.publish(&[entry]));
                        drain(&mut subscriptions);
                        took
                    })
                    .sum()
            });
        });
        let entry = writer.next();
        group.bench_function(BenchmarkId::new("scan", count), |bencher| {
            bencher.iter(|| matches(black_box(&filters), black_box(&entry)));
        });
    }
    group.finish();
}

/// Every subscription wants every record: what one delivery costs, in and out of the mailbox.
fn delivery(criterion: &mut Criterion) {
    let authors = authors();
    let everybody = FilterBuilder::new().kinds([Kind::MICROBLOG_ROOT]).build();
    let everybody = everybody.expect("a filter within bounds");
    let mut group = criterion.benchmark_group("delivery");
    for (count, records) in [(1_000, 1), (1_000, 10), (10_000, 1)] {
        let fanout = Fanout::new(Seq::ZERO);
        let mut subscriptions = subscribe(&fanout, &vec![everybody.clone(); count]);
        let mut writer = Writer::new(&authors);
        let deliveries = u64::try_from(count * records).expect("a small count");
        group.throughput(Throughput::Elements(deliveries));
        let name = format!("{count} subscriptions, {records} records at a time");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let batch: Vec<_> = (0..records).map(|_| writer.next()).collect();
                fanout.publish(&batch);
                assert_eq!(drain(&mut subscriptions), count * records);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ratio, matching, delivery);
criterion_main!(benches);
