//! What storing and finding a record costs.
//!
//! The records are those of the reference mix: 600 bytes, three tags, 64 authors of whom few write
//! most; so each has seven index keys. Their hashes are arbitrary: the store does not look at them.
//!
//! Before the usual measurements this prints what a longer run costs as a whole, the engine's own
//! threads, compaction and the disk included, and ratios to what the machine itself takes for the
//! like. `cpu/…` is processor time of the whole process, `store/…` time on the clock, and `raw/…`
//! the engine alone with as many keys and bytes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints what it found and stops at what it did not expect"
)]

use std::{
    fs,
    hint::black_box,
    io::Write,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mosaicd::{
    base::{Role, Seq},
    store::{Cursor, Entry, PageBudget, Store, StoreOptions, Writer},
    wire::{
        Filter, FilterBuilder, Kind, PublicKey, Record, RecordBuilder, RecordRef, Reference,
        SecretKey, TagKind, TagsBuilder, Timestamp,
    },
};
use tempfile::TempDir;

use self::mill::{Random, Yes, vary};

mod mill;

/// Makes records by changing what differs in one that was built and signed.
struct Mill {
    template: Record,
    tags_at: usize,
    authors: Vec<PublicKey>,
    kinds: [Kind; 4],
    random: Random,
    now: u64,
}

impl Mill {
    fn new() -> Self {
        let keys: Vec<_> = (0..AUTHORS)
            .map(|n| SecretKey::from_seed([n; 32]))
            .collect();
        let tag = |tags: TagsBuilder| tags.raw(TagKind(0x1000), &[0; 36]).expect("fits");
        let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, keys[0].public())
            .tags(tag(tag(tag(TagsBuilder::new()))))
            .payload(vec![b'x'; 264])
            .sign(&keys[0])
            .expect("fits");
        assert_eq!(record.bytes().len(), 600);
        Self {
            template: record,
            tags_at: 152,
            authors: keys.iter().map(SecretKey::public).collect(),
            kinds: [
                Kind::MICROBLOG_ROOT,
                Kind::REPLY_COMMENT,
                Kind::CHAT_MESSAGE,
                Kind::BLOG_POST,
            ],
            random: Random(1),
            now: 1_800_000_000_000_000_000,
        }
    }

    /// A number below `end`, small ones far more often.
    fn few(&mut self, end: usize) -> usize {
        let bits = u32::try_from(self.random.below(64)).expect("small");
        let scale = end >> (bits % end.ilog2().max(1));
        self.random.below(scale.max(1))
    }

    fn record(&mut self) -> Record {
        self.now += self.random.next() % 20_000_000;
        let which = self.few(self.kinds.len());
        let kind = self.kinds[which];
        let which = self.few(self.authors.len());
        let author = self.authors[which];
        let mut bytes = vary(&self.template, self.now, kind, author, &mut self.random);
        for at in (272..536).step_by(8) {
            let text = self.random.next() & 0x0f0f_0f0f_0f0f_0f0f | 0x6060_6060_6060_6060;
            bytes[at..at + 8].copy_from_slice(&text.to_be_bytes());
        }
        for tag in 0..3 {
            let value = (self.random.next() % TAG_VALUES).to_be_bytes();
            let at = self.tags_at + tag * 40 + 4;
            bytes[at..at + 8].copy_from_slice(&value);
        }
        Record::parse(Bytes::from(bytes)).expect("only values were changed")
    }

    /// A record of nothing but tags that no other has.
    fn full_of_tags(&mut self) -> Record {
        let author = SecretKey::from_seed([1; 32]);
        let tags = (0..TAGS_OF_A_FULL_RECORD).fold(TagsBuilder::new(), |tags, _| {
            let [a, b, c, d, ..] = self.random.next().to_be_bytes();
            tags.raw(TagKind(0x1000), &[a, b, c, d]).expect("fits")
        });
        self.now += 1;
        RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
            .timestamp(Timestamp::from_nanos(self.now).expect("small"))
            .tags(tags)
            .sign(&author)
            .expect("fits")
    }
}

struct Bench {
    store: Store,
    writer: Writer<()>,
    answers: mpsc::Receiver<bool>,
    mill: Mill,
    dir: TempDir,
}

fn options() -> StoreOptions {
    StoreOptions {
        free_space_floor_bytes: 0,
        ..StoreOptions::default()
    }
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let store = Store::open(dir.path(), options()).expect("a store");
        let (sender, answers) = mpsc::channel();
        let judge = Yes {
            role: |_| Role::Outbox,
            answers: sender,
        };
        let writer = Writer::spawn(store.clone(), judge).expect("a writer");
        Self {
            store,
            writer,
            answers,
            mill: Mill::new(),
            dir,
        }
    }

    /// Stores `records` and waits until all are durable.
    fn ingest(&self, records: Vec<Record>) {
        let count = records.len();
        for record in records {
            self.writer.submit(record, ()).expect("the writer runs");
        }
        let stored = self
            .answers
            .iter()
            .take(count)
            .filter(|stored| *stored)
            .count();
        assert_eq!(stored, count);
    }

    fn fill(&mut self, count: usize) {
        for _ in 0..count / CHUNK {
            let records = (0..CHUNK).map(|_| self.mill.record()).collect();
            self.ingest(records);
        }
    }
}

/// Processor time of this process so far, to 10 ms.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Bytes this process had written to disk so far.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux");
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).expect("a number")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A long run, compaction included, and what it left.
fn summary(_: &mut Criterion) {
    let mut bench = Bench::new();
    let written = written_bytes();
    let (mut time, mut busy) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..STORED / CHUNK / 16 {
        let records: Vec<_> = (0..CHUNK * 16).map(|_| bench.mill.record()).collect();
        let (start, start_cpu) = (Instant::now(), cpu());
        bench.ingest(records);
        time += start.elapsed();
        busy += cpu() - start_cpu;
    }
    let start_cpu = cpu();
    bench.store.close().expect("a sound store");
    busy += cpu() - start_cpu;
    let stats = bench.store.stats().expect("a sound store");
    let records = stats.counts.records as f64;
    let bytes = stats.counts.record_bytes as f64;
    println!(
        "ingest of {records} records: {:.1} us of processor and {:.1} us each; {:.2} index keys each",
        micros(busy) / records,
        micros(time) / records,
        stats.counts.index_keys as f64 / records,
    );
    println!(
        "bytes of records: written {:.2} times, {:.2} on disk",
        (written_bytes() - written) as f64 / bytes,
        stats.files.bytes() as f64 / bytes,
    );
    let start = Instant::now();
    let mut inspect = |records: &[RecordRef<'_>]| vec![Ok(()); records.len()];
    let report = bench.store.verify(&mut inspect, &mut |_| {});
    report.expect("a sound store");
    println!(
        "verify: {:.1} us a record besides its signature",
        micros(start.elapsed()) / records
    );
    acknowledge(&mut bench);
    reopen(bench);
}

/// What a key of the index costs, from records that have almost nothing else; compaction included.
fn keys(_: &mut Criterion) {
    let mut bench = Bench::new();
    let records: Vec<_> = (0..FULL_RECORDS)
        .map(|_| bench.mill.full_of_tags())
        .collect();
    let (start, start_cpu) = (Instant::now(), cpu());
    bench.ingest(records);
    let time = start.elapsed();
    bench.store.close().expect("a sound store");
    let busy = cpu() - start_cpu;
    let keys = bench
        .store
        .stats()
        .expect("a sound store")
        .counts
        .index_keys as f64;
    println!(
        "records full of tags, {:.0} index keys each: {:.2} us of processor and {:.2} us a key",
        keys / FULL_RECORDS as f64,
        micros(busy) / keys,
        micros(time) / keys,
    );
}

/// One record at a time, against a write to a file and its sync.
fn acknowledge(bench: &mut Bench) {
    let mut file = tempfile::tempfile_in(bench.dir.path()).expect("a file");
    let (mut acks, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        let record = bench.mill.record();
        let start = Instant::now();
        file.write_all(record.bytes()).expect("room");
        file.sync_data().expect("a disk");
        syncs.push(start.elapsed());
        let start = Instant::now();
        bench.ingest(vec![record]);
        acks.push(start.elapsed());
    }
    let (ack, sync) = (micros(median(acks)), micros(median(syncs)));
    println!(
        "one record alone: {ack:.0} us, a sync of the same bytes {sync:.0} us, {:.2} times",
        ack / sync
    );
}

/// Opening after a crash, against reading the write-ahead log.
fn reopen(mut bench: Bench) {
    bench.fill(STORED / 4);
    bench.writer.shutdown().expect("the judge does not panic");
    let crashed = TempDir::new().expect("a directory");
    let mut log_bytes = 0;
    let mut reading = Duration::ZERO;
    for file in fs::read_dir(bench.dir.path()).expect("a directory") {
        let path = file.expect("a file").path();
        let to = crashed.path().join(path.file_name().expect("a name"));
        fs::copy(&path, &to).expect("room");
        if to.extension().is_some_and(|extension| extension == "log") {
            let start = Instant::now();
            log_bytes += fs::read(&to).expect("a file").len();
            reading += start.elapsed();
        }
    }
    let start = Instant::now();
    Store::open(crashed.path(), options()).expect("a sound store");
    let opening = start.elapsed();
    println!(
        "open with {} MiB of write-ahead log: {:.0} ms, {:.1} times as long as reading it",
        log_bytes >> 20,
        micros(opening) / 1e3,
        micros(opening) / micros(reading),
    );
}

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let mut run = |name: &str, clock: fn() -> Duration| {
        let mut bench = Bench::new();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let count = usize::try_from(count).expect("small").max(CHUNK);
                let records: Vec<_> = (0..count).map(|_| bench.mill.record()).collect();
                let start = clock();
                bench.ingest(records);
                clock() - start
            });
        });
    };
    run("store/durable record of 600 bytes", wall);
    run("cpu/durable record of 600 bytes", cpu);
    group.finish();
}

fn wall() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn query(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    bench.fill(STORED);
    let popular = bench.mill.authors[0];
    let everybody: Vec<_> = bench.mill.authors.iter().copied().take(63).collect();
    let tag = || {
        TagsBuilder::new()
            .raw(TagKind(0x1000), &[0; 36])
            .expect("fits")
    };
    let of = FilterBuilder::new;
    let filters = [
        (
            "author and kind",
            of().authors([popular]).kinds([Kind::MICROBLOG_ROOT]),
        ),
        ("author", of().authors([popular])),
        (
            "63 authors and a kind",
            of().authors(everybody.clone())
                .kinds([Kind::MICROBLOG_ROOT]),
        ),
        ("63 authors", of().authors(everybody)),
        ("tag", of().tags(tag())),
        ("tag and author", of().tags(tag()).authors([popular])),
        ("kind", of().kinds([Kind::BLOG_POST])),
        ("everything", of()),
    ];
    let mut group = criterion.benchmark_group("query");
    for state in ["in memory", "in tables"] {
        for (name, filter) in &filters {
            let filter = filter.clone().build().expect("fits");
            group.bench_function(format!("{state}/{name}, 20"), |bencher| {
                bencher.iter(|| black_box(twenty(&bench.store, &filter)));
            });
        }
        let newest = twenty(&bench.store, &filters[0].1.clone().build().expect("fits"));
        let id = Reference::Id(newest[0].record.id());
        let address = Reference::Address(newest[0].record.view().address());
        group.bench_function(format!("{state}/id"), |bencher| {
            bencher.iter(|| black_box(bench.store.get(&id, 1).expect("a sound store")));
        });
        group.bench_function(format!("{state}/address"), |bencher| {
            bencher.iter(|| black_box(bench.store.get(&address, 1).expect("a sound store")));
        });
        bench.store.close().expect("a sound store");
    }
    group.finish();
}

fn twenty(store: &Store, filter: &Filter) -> Vec<Arc<Entry>> {
    let budget = PageBudget {
        rows: 20,
        time: Duration::MAX,
        ..PageBudget::default()
    };
    let mut cursor = Cursor::new(filter.clone(), Seq::MAX);
    store
        .page(&mut cursor, &|_| true, budget)
        .expect("a sound store")
        .entries
}

/// The same work on the engine alone: one seek and 20 keys, and 20 values.
fn raw(criterion: &mut Criterion) {
    let dir = TempDir::new().expect("a directory");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let db = rocksdb::DB::open(&options, dir.path()).expect("a database");
    let mut mill = Mill::new();
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    let mut next = 0_u64;
    let mut write = |mill: &mut Mill, count: usize, keys: usize| {
        for _ in 0..count / CHUNK {
            let mut batch = rocksdb::WriteBatch::default();
            for _ in 0..CHUNK {
                next += 1;
                let mut key = [0; 9];
                key[1..].copy_from_slice(&next.to_be_bytes());
                batch.put(key, mill.record().bytes());
                for _ in 0..keys {
                    let mut key = [1; 25];
                    key[1..9].copy_from_slice(&mill.random.next().to_be_bytes());
                    key[17..].copy_from_slice(&next.to_be_bytes());
                    batch.put(key, []);
                }
            }
            db.write_opt(batch, &synced).expect("a sound database");
        }
    };
    write(&mut mill, STORED, 1);
    let mut group = criterion.benchmark_group("raw");
    group.bench_function("seek, 20 keys, 20 values", |bencher| {
        bencher.iter(|| {
            let mut keys = db.raw_iterator();
            let mut from = [1; 25];
            from[1..9].copy_from_slice(&mill.random.next().to_be_bytes());
            keys.seek(from);
            let mut bytes = 0;
            for _ in 0..20 {
                let Some(place) = keys.key().and_then(|key| key.get(16..25)) else {
                    break;
                };
                let mut at = [0; 9];
                at[1..].copy_from_slice(&place[1..]);
                let value = db.get_pinned(at).expect("a sound database");
                bytes += value.map_or(0, |value| value.len());
                keys.next();
            }
            black_box(bytes)
        });
    });
    group.sample_size(10).throughput(Throughput::Elements(1));
    for keys in [0, 1, 6] {
        group.bench_function(format!("cpu/record and {keys} random keys"), |bencher| {
            bencher.iter_custom(|count| {
                let count = usize::try_from(count).expect("small").max(CHUNK);
                let start = cpu();
                write(&mut mill, count, keys);
                cpu() - start
            });
        });
    }
    group.finish();
}

const AUTHORS: u8 = 64;

/// Different values of a tag: replies come in threads.
const TAG_VALUES: u64 = 20_000;

/// Records of one round, and of one raw batch.
const CHUNK: usize = 512;

/// Records in the store that is searched.
const STORED: usize = 200_000;

/// Records full of tags that are stored.
const FULL_RECORDS: usize = 256;

/// Their tags: 64 KiB of them.
const TAGS_OF_A_FULL_RECORD: usize = 8_000;

criterion_group!(benches, keys, summary, ingest, query, raw);
criterion_main!(benches);
