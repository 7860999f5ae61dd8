//! What a flood from one address, or with one key, costs a well-behaved client beside it.
//!
//! A server process with the default limits; a user of it that submits and queries at an easy pace;
//! and a process that floods it from the same address at ten times a limit. Printed is the user's
//! latency in quiet and under each flood, taken in turns in one run, what the flood tried, and the
//! server's memory. Absolute times on a shared machine move; ratios hardly do.
//!
//! A flood brings its own processor with it, but here it shares the server's: so its process comes
//! last when processors are given out. Measured as an equal of the server it made the ratios of
//! queries and of handshakes 1.6 to 6 on two processors, against 0.8 to 1.8.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints what it found and stops at what it did not expect"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mosaicd::base::limits;
use mosaicd::client::{Client, Options, Submissions, Target};
use mosaicd::wire::{Filter, FilterBuilder, Kind, Record, RecordBuilder, ResultCode, SecretKey};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long each phase is measured.
const PHASE: Duration = Duration::from_secs(3);

/// Quiet and flooded phases of each kind, in turns.
const ROUNDS: usize = 4;

/// A flood runs for that long before it is measured: what one may query at once is used up by then.
/// With a second instead of four, the ratio of queries beside queries was up to 2.4, not 1.8.
const WARM_UP: Duration = Duration::from_secs(4);

/// Between two requests of the user.
const PACE: Duration = Duration::from_millis(10);

/// How many times the limit a flood tries.
const OVER: u32 = 10;

/// Records of one query of a flood.
const QUERY_RECORDS: u16 = 200;

/// Records that the server has at the start.
const RECORDS: u32 = 5_000;

/// What a flooding process does.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// An anonymous client submits.
    AddressSubmits,
    /// A user submits.
    KeySubmits,
    /// An anonymous client queries.
    AddressQueries,
    /// Connections are made and dropped.
    AddressConnects,
}

impl Flood {
    const ALL: [Self; 4] = [
        Self::AddressSubmits,
        Self::KeySubmits,
        Self::AddressQueries,
        Self::AddressConnects,
    ];

    /// What it tries in a second.
    fn per_second(self) -> u32 {
        let limit = match self {
            Self::AddressSubmits => limits::RATE_SUBMISSIONS_PER_SECOND,
            Self::KeySubmits => limits::RATE_SUBMISSIONS_PER_SECOND * limits::RATE_USER_FACTOR,
            Self::AddressQueries => limits::RATE_QUERY_ROWS_PER_SECOND / u32::from(QUERY_RECORDS),
            Self::AddressConnects => limits::RATE_HANDSHAKES_PER_SECOND,
        };
        limit * OVER
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|it| it == "--flood");
    let rest = place.and_then(|place| arguments.get(place + 1..));
    match rest {
        Some([kind, server]) => runtime.block_on(flood(kind, server)),
        Some(_) => panic!("--flood KIND SERVER"),
        None => runtime.block_on(measure()),
    }
}

fn user() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn flooder() -> SecretKey {
    SecretKey::from_seed([2; 32])
}

fn post(author: &SecretKey, number: u32) -> Record {
    RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .payload(format!("{number:0400}"))
        .sign(author)
        .expect("a record within bounds")
}

fn by(author: &SecretKey) -> Filter {
    let filter = FilterBuilder::new().authors([author.public()]);
    filter.build().expect("a filter within bounds")
}

async fn connect(target: &Target, identity: Option<SecretKey>) -> Option<Client> {
    let options = Options {
        identity,
        ..Options::default()
    };
    Client::connect(target, &options).await.ok()
}

/// A server process with the default limits, in which a loopback address is one like any other but
/// for its share of the readers: there it stands for all visitors of an onion service, which gives
/// a flood of queries more than another address would get.
struct Server {
    child: Child,
    name: String,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaicd"));
        command
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let rates = [
            ("handshakes", limits::RATE_HANDSHAKES_PER_SECOND),
            ("streams", limits::RATE_STREAMS_PER_SECOND),
            ("submissions", limits::RATE_SUBMISSIONS_PER_SECOND),
            ("bytes", limits::RATE_BYTES_PER_SECOND),
            ("query_rows", limits::RATE_QUERY_ROWS_PER_SECOND),
            ("connections", limits::ADDRESS_CONNECTIONS_MAX),
            ("loopback_factor", 1),
        ];
        for (name, rate) in rates {
            command.args(["--set", &format!("rates.{name}={rate}")]);
        }
        let users = [user().public(), flooder().public()];
        let [first, second] = users.map(|user| user.to_string());
        command.args(["--set", &format!("users.list={first},{second}")]);
        let mut child = command.spawn().expect("the server");
        let output = child.stdout.take().expect("its output");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let name = lines.find_map(|line| {
            let mut words = line.split_whitespace();
            words
                .find(|word| word.starts_with("mosrv0"))
                .map(str::to_owned)
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            name: name.expect("the server says where it listens"),
            _folder: folder,
        }
    }

    fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|it| it.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn target(name: &str) -> Target {
    let (key, address) = name.split_once('@').expect("KEY@ADDRESS");
    let key = mosaicd::wire::PublicKey::from_server_str(key).expect("a server's key");
    let address: std::net::SocketAddr = address.parse().expect("an address");
    Target::from((address, mosaicd::client::ServerTrust::Exact(key)))
}

/// Latencies, in milliseconds.
#[derive(Default)]
struct Latencies {
    submits: Vec<f64>,
    queries: Vec<f64>,
}

impl Latencies {
    fn add(&mut self, other: Self) {
        self.submits.extend(other.submits);
        self.queries.extend(other.queries);
    }
}

fn percentile(sorted: &mut [f64], hundredths: usize) -> f64 {
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len().saturating_sub(1) * hundredths / 100;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Works at an easy pace for a phase.
async fn work(client: &Client, number: &mut u32) -> Latencies {
    let mut latencies = Latencies::default();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + PHASE;
    while Instant::now() < end {
        pace.tick().await;
        *number += 1;
        let record = post(&user(), *number);
        let began = Instant::now();
        let result = client.submit(&record).await.expect("an answer");
        assert_eq!(result, ResultCode::Accepted);
        latencies.submits.push(began.elapsed().as_secs_f64() * 1e3);
        pace.tick().await;
        let began = Instant::now();
        let results = client.query(by(&user()), 20).await.expect("a query");
        let (found, result) = results.collect().await.expect("an answer");
        assert_eq!((found.len(), result), (20, ResultCode::Success));
        latencies.queries.push(began.elapsed().as_secs_f64() * 1e3);
    }
    latencies
}

async fn measure() {
    let server = Server::start();
    let target = target(&server.name);
    let client = connect(&target, Some(user())).await.expect("a connection");
    let mut number = 0;
    let mut filling = client.submit_many(128);
    while number < RECORDS {
        number += 1;
        let record = post(&user(), number);
        filling.push(&record).await.expect("a submission");
    }
    drain(&mut filling).await;
    work(&client, &mut number).await;
    let before = server.resident_kib();
    println!("server: {before} KiB before the floods");
    for kind in Flood::ALL {
        let (mut quiet, mut flooded) = (Latencies::default(), Latencies::default());
        let mut tried = 0;
        for _ in 0..ROUNDS {
            quiet.add(work(&client, &mut number).await);
            // The idle class: even the lowest priority of the usual one keeps a processor for a few
            // milliseconds, which is more than a request takes.
            let mut flooding = Command::new("chrt")
                .args(["--idle", "0"])
                .arg(std::env::current_exe().expect("this program"))
                .args(["--flood", &format!("{kind:?}"), &server.name])
                .stdout(Stdio::piped())
                .spawn()
                .expect("a flood");
            tokio::time::sleep(WARM_UP).await;
            flooded.add(work(&client, &mut number).await);
            flooding.kill().expect("it runs");
            let told = flooding.wait_with_output().expect("it ran").stdout;
            let last = String::from_utf8(told).expect("numbers");
            let last = last.lines().last().expect("it told at least once");
            tried += last.parse::<u32>().expect("a number");
        }
        let tried = tried / u32::try_from(ROUNDS).expect("small");
        println!(
            "{kind:?}: {tried} tried in a second, {} meant",
            kind.per_second()
        );
        for (what, quiet, flooded) in [
            ("submit", &mut quiet.submits, &mut flooded.submits),
            ("query", &mut quiet.queries, &mut flooded.queries),
        ] {
            let of =
                |latencies: &mut Vec<f64>| (percentile(latencies, 50), percentile(latencies, 99));
            let ((q50, q99), (f50, f99)) = (of(quiet), of(flooded));
            println!(
                "{kind:?}: {what}: quiet p50 {q50:.2} ms, p99 {q99:.2} ms; flooded p50 {f50:.2} ms, \
                 p99 {f99:.2} ms; p99 ratio {:.2}",
                f99 / q99
            );
        }
        println!("{kind:?}: server: {} KiB", server.resident_kib());
    }
}

/// What this process tried, where it is a flood.
static TRIED: AtomicU32 = AtomicU32::new(0);

async fn drain(submissions: &mut Submissions) -> u32 {
    let mut accepted = 0;
    while let Ok(Some(submitted)) = submissions.next().await {
        accepted += u32::from(submitted.result == ResultCode::Accepted);
    }
    accepted
}

/// Floods until it is killed.
async fn flood(kind: &str, server: &str) {
    let target = target(server);
    let kind = Flood::ALL.into_iter().find(|it| format!("{it:?}") == kind);
    let kind = kind.expect("a kind of flood");
    tokio::spawn(async {
        let began = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let tried = f64::from(TRIED.load(Ordering::Relaxed));
            println!("{:.0}", tried / began.elapsed().as_secs_f64());
        }
    });
    loop {
        match kind {
            Flood::AddressSubmits => submit(&target, None, kind.per_second()).await,
            Flood::KeySubmits => submit(&target, Some(flooder()), kind.per_second()).await,
            Flood::AddressQueries => query(&target, kind.per_second()).await,
            Flood::AddressConnects => make_connections(&target, kind.per_second()).await,
        }
    }
}

/// Ticks as often in a second, in groups where that is often.
fn paced(per_second: u32) -> (tokio::time::Interval, u32) {
    let group = per_second.div_ceil(100).max(1);
    let pace = interval(Duration::from_secs(1) * group / per_second);
    (pace, group)
}

/// Until the server closes the connection.
async fn submit(target: &Target, identity: Option<SecretKey>, per_second: u32) {
    let author = flooder();
    let Some(client) = connect(target, identity).await else {
        return;
    };
    let mut submissions = client.submit_many(256);
    let (mut pace, group) = paced(per_second);
    let mut number = std::process::id();
    loop {
        pace.tick().await;
        for _ in 0..group {
            number = number.wrapping_add(1);
            TRIED.fetch_add(1, Ordering::Relaxed);
            if submissions.push(&post(&author, number)).await.is_err() {
                return;
            }
        }
    }
}

async fn query(target: &Target, per_second: u32) {
    let Some(client) = connect(target, None).await else {
        return;
    };
    let (mut pace, group) = paced(per_second);
    let mut running = JoinSet::new();
    loop {
        pace.tick().await;
        for _ in 0..group {
            TRIED.fetch_add(1, Ordering::Relaxed);
            let client = client.clone();
            running.spawn(async move {
                match client.query(by(&user()), QUERY_RECORDS).await {
                    Ok(results) => results.collect().await.is_ok(),
                    Err(_) => false,
                }
            });
        }
        while let Some(joined) = running.try_join_next() {
            if !joined.unwrap_or(false) && client_is_gone(&client).await {
                return;
            }
        }
    }
}

async fn client_is_gone(client: &Client) -> bool {
    let asked = timeout(Duration::from_secs(1), client.info()).await;
    !matches!(asked, Ok(Ok(_)))
}

async fn make_connections(target: &Target, per_second: u32) {
    let (mut pace, group) = paced(per_second);
    let mut running = JoinSet::new();
    loop {
        pace.tick().await;
        for _ in 0..group {
            TRIED.fetch_add(1, Ordering::Relaxed);
            let target = target.clone();
            running.spawn(async move { drop(connect(&target, None).await) });
        }
        while running.try_join_next().is_some() {}
    }
}
