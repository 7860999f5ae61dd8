//! What it costs to verify records, alone and in batches.
//!
//! Before the usual measurements this prints ratios against verifying one by one, from rounds taken
//! in turns in this one run: absolute times on a shared machine move, ratios hardly do.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints what it found and stops at what it did not expect"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mosaicd::base::limits;
use mosaicd::verify::{self, Verifier};
use mosaicd::wire::{Kind, Record, RecordBuilder, RecordRef, SecretKey};

const BATCH: usize = 32;
/// Makes records of 600 bytes: 152 of header, 64 of signature.
const PAYLOAD_BYTES: usize = 384;
const ROUNDS: usize = 31;

/// A way of verifying [`BATCH`] records.
struct Way {
    name: &'static str,
    /// As little as this speedup fails nothing here; it is what `speed.md` section 7.5 asks for.
    wanted: &'static str,
    run: Box<dyn FnMut()>,
}

fn records(authors: usize) -> Vec<Record> {
    let authors: Vec<_> = (0..authors).map(|_| SecretKey::generate()).collect();
    let record = |author: &SecretKey| {
        RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
            .payload(vec![7; PAYLOAD_BYTES])
            .sign(author)
            .expect("a small record")
    };
    authors.iter().cycle().take(BATCH).map(record).collect()
}

/// `records` with one byte of one signature changed.
fn poisoned(mut records: Vec<Record>) -> Vec<Record> {
    let last = records.pop().expect("a batch");
    let mut bytes = last.bytes().to_vec();
    let in_scalar = bytes.len() - 32;
    let byte = bytes.get_mut(in_scalar).expect("a signature");
    *byte ^= 1;
    records.push(Record::parse(Bytes::from(bytes)).expect("a record still"));
    records
}

fn views(records: &[Record]) -> Vec<RecordRef<'_>> {
    records.iter().map(Record::view).collect()
}

/// Verifies as a verification thread does, with the keys it remembers.
fn batched(records: Vec<Record>, keys_max: usize) -> Box<dyn FnMut()> {
    let mut verifier = Verifier::new(keys_max);
    Box::new(move || {
        black_box(verifier.batch(&views(&records)));
    })
}

fn one_by_one(records: Vec<Record>) -> Box<dyn FnMut()> {
    Box::new(move || {
        for record in &records {
            black_box(verify::record(record.view())).ok();
        }
    })
}

fn ways() -> Vec<Way> {
    let known = limits::VERIFY_KEYS_MAX;
    let way = |name, wanted, run| Way { name, wanted, run };
    vec![
        way("one by one", "1.0", one_by_one(records(BATCH))),
        way("32 authors, never seen", "1.4", batched(records(BATCH), 0)),
        way(
            "32 authors, remembered",
            "2.2",
            batched(records(BATCH), known),
        ),
        way("8 authors, never seen", "2.3", batched(records(8), 0)),
        way("8 authors, remembered", "3.0", batched(records(8), known)),
        way(
            "1 of 32 is wrong",
            "0.5",
            batched(poisoned(records(BATCH)), 0),
        ),
        way(
            "1 of 32 is wrong, remembered",
            "0.6",
            batched(poisoned(records(BATCH)), known),
        ),
    ]
}

fn time(run: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Rounds of every way in turns; of each way the median of its ratios to the first way's round.
fn print_ratios() {
    let mut ways = ways();
    let mut ratios = vec![Vec::new(); ways.len()];
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        let times: Vec<_> = ways.iter_mut().map(|way| time(&mut *way.run)).collect();
        let first = times.first().expect("the first way").as_secs_f64();
        alone.push(first / BATCH as f64 * 1e6);
        for (ratios, time) in ratios.iter_mut().zip(times) {
            ratios.push(first / time.as_secs_f64());
        }
    }
    let [low, median, high] = quartiles(&mut alone);
    println!("one record alone: {median:.1} us (quartiles {low:.1} to {high:.1})");
    println!("records verified in the time of one alone:");
    for (way, ratios) in ways.iter().zip(&mut ratios) {
        let [low, median, high] = quartiles(ratios);
        let (name, wanted) = (way.name, way.wanted);
        println!("{name:32} {median:5.2}  (quartiles {low:.2} to {high:.2}, wanted {wanted})");
    }
    println!();
}

fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let place = (values.len() - 1) * quarter / 4;
        *values.get(place).expect("within the list")
    })
}

fn verification(criterion: &mut Criterion) {
    print_ratios();
    let mut group = criterion.benchmark_group("verify 32 records");
    group.throughput(Throughput::Elements(BATCH as u64));
    for mut way in ways() {
        group.bench_function(BenchmarkId::from_parameter(way.name), |bencher| {
            bencher.iter(|| (way.run)());
        });
    }
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
