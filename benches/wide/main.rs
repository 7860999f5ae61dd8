//! What wide queries do to everybody else, on a server with a million records.
//!
//! The server is the program itself, on loopback. One client asks well: an author's newest posts,
//! records by ID, submissions. Its answers are timed while the server is quiet and while other
//! clients, from other addresses, ask what no index narrows down, over and over; the two take turns
//! in this one run, because absolute times on a shared machine move, and ratios hardly do. A load
//! whose p99 is more than twice the quiet one fails the run.
//!
//! The other clients are a process that runs where nobody else wants the processor (`chrt --idle`
//! of util-linux): what they use of it themselves is not what is measured.
//!
//! `WIDE_RECORDS`, `WIDE_ROUNDS` and `WIDE_ONLY` (words of scenario names) change the defaults;
//! `WIDE_SERVER` names another server program to measure.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints what it found and stops at what it did not expect"
)]

mod load;
#[path = "../mill/mod.rs"]
mod mill;
mod store;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mosaicd::client::{RawConnection, RawStream, ServerTrust, Target};
use mosaicd::wire::{
    ClientMessage, FilterBuilder, Kind, PublicKey, QueryId, RecordBuilder, Reference, ResultCode,
    SecretKey, ServerMessage, TagKind, TagsBuilder, Timestamp,
};
use tempfile::TempDir;

use self::load::{Load, load};
use self::mill::Random;
use self::store::{Found, fill};

/// Records in the store, unless `WIDE_RECORDS` says otherwise.
const RECORDS: usize = 1_000_000;

/// Times that quiet and load take turns.
const ROUNDS: usize = 4;

/// One turn.
const TURN: Duration = Duration::from_secs(4);

/// What the load has to get going before its turn counts.
const WARM_UP: Duration = Duration::from_millis(700);

/// How much worse the p99 of others may become.
const RATIO_MAX: f64 = 2.0;

const PATIENCE: Duration = Duration::from_secs(60);

/// Rates are off: what is measured must hold before they take hold.
const RATES: [&str; 4] = [
    "rates.handshakes=0",
    "rates.submissions=0",
    "rates.bytes=0",
    "rates.query_rows=0",
];

/// The well-behaved client's own address.
const POLITE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const PUBLIC_KINDS: [Kind; 4] = [
    Kind::MICROBLOG_ROOT,
    Kind::REPLY_COMMENT,
    Kind::BLOG_POST,
    Kind::CHAT_MESSAGE,
];

/// For its author alone, so nobody who asks here sees one.
fn private_kind() -> Kind {
    Kind::new(99 << 32).expect("a kind")
}

/// What the other clients do.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    filter: fn() -> FilterBuilder,
    /// Queries, or subscriptions that are ended once they are complete.
    subscriptions: usize,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "no-narrow-element",
        filter: FilterBuilder::new,
        subscriptions: 0,
    },
    Scenario {
        name: "all-kinds",
        filter: all_kinds,
        subscriptions: 0,
    },
    Scenario {
        name: "all-kinds-excluded-tags",
        filter: nothing_left,
        subscriptions: 0,
    },
    Scenario {
        name: "private-to-others",
        filter: || FilterBuilder::new().kinds([private_kind()]),
        subscriptions: 0,
    },
    Scenario {
        name: "since-and-until",
        filter: || {
            FilterBuilder::new()
                .since(time(1))
                .until(time(u64::MAX / 4))
                .exclude_tags(the_tag())
        },
        subscriptions: 0,
    },
    Scenario {
        name: "received-since",
        filter: || {
            FilterBuilder::new()
                .received_since(time(1))
                .exclude_tags(the_tag())
        },
        subscriptions: 0,
    },
    Scenario {
        name: "64-subscriptions",
        filter: nothing_left,
        subscriptions: 64,
    },
];

fn all_kinds() -> FilterBuilder {
    FilterBuilder::new().kinds(PUBLIC_KINDS.into_iter().chain([private_kind()]))
}

/// Every record that is for everybody has the tag.
fn nothing_left() -> FilterBuilder {
    all_kinds().exclude_tags(the_tag())
}

fn the_tag() -> TagsBuilder {
    TagsBuilder::new()
        .raw(TagKind(0x1000), &[7; 4])
        .expect("fits")
}

fn time(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).expect("a time")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    match arguments.get(1).map(String::as_str) {
        Some("load") => {
            runtime.block_on(load(&arguments[2..]));
            ExitCode::SUCCESS
        }
        _ => runtime.block_on(measure()),
    }
}

async fn measure() -> ExitCode {
    let records = number("WIDE_RECORDS", RECORDS);
    let rounds = number("WIDE_ROUNDS", ROUNDS);
    let only = std::env::var("WIDE_ONLY").unwrap_or_default();
    let folder = TempDir::new().expect("a folder");
    let start = Instant::now();
    let found = fill(&folder.path().join("data"), records);
    println!(
        "{records} records in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    let server = Server::start(folder.path());
    let mut polite = Polite::connect(&server, found).await;
    polite
        .run(Instant::now() + WARM_UP, &mut Times::default())
        .await;
    let mut is_good = true;
    println!("p50 and p99 in microseconds, quiet and under load, and their ratio");
    for scenario in SCENARIOS {
        if !only.is_empty() && !only.split(',').any(|word| scenario.name.contains(word)) {
            continue;
        }
        let (mut quiet, mut busy) = (Times::default(), Times::default());
        let mut told = Vec::new();
        for _ in 0..rounds {
            polite.run(Instant::now() + TURN, &mut quiet).await;
            let load = Load::start(&server, scenario);
            tokio::time::sleep(WARM_UP).await;
            polite.run(Instant::now() + TURN, &mut busy).await;
            told.push(load.end());
        }
        println!(
            "{}: {}, server {}",
            scenario.name,
            told.join("; "),
            server.memory()
        );
        is_good &= quiet.compare(&busy);
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        println!("a p99 is more than {RATIO_MAX} times the quiet one");
        ExitCode::FAILURE
    }
}

fn number(name: &str, default: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

// ---- the server ---------------------------------------------------------------------------------

struct Server {
    child: Child,
    address: SocketAddr,
    key: PublicKey,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let program = std::env::var("WIDE_SERVER");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_mosaicd").to_owned());
        let mut child = Command::new(program)
            .args(["serve", "--dev", "--listen", "127.0.0.1:0"])
            .args(RATES.iter().flat_map(|rate| ["--set", rate]))
            .arg("--data")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let name = lines.find_map(|line| {
            let word = line.split_whitespace().find(|it| it.starts_with("mosrv0"));
            word.map(str::to_owned)
        });
        std::thread::spawn(move || lines.for_each(drop));
        let name = name.expect("the server says where it is");
        let (key, address) = name.split_once('@').expect("a key and an address");
        Self {
            child,
            address: address.parse().expect("an address"),
            key: PublicKey::from_server_str(key).expect("a key"),
        }
    }

    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("Linux");
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        line.unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A stream on which HELLO was said, from an address of this machine.
async fn greeted(
    server: SocketAddr,
    key: PublicKey,
    identity: Option<&SecretKey>,
    from: IpAddr,
) -> (RawConnection, RawStream) {
    let target = Target::from((server, ServerTrust::Exact(key)));
    let connection = RawConnection::connect_from(&target, identity, Some(from), PATIENCE).await;
    let connection = connection.expect("the server lets us in");
    let stream = greeted_stream(&connection).await;
    (connection, stream)
}

async fn greeted_stream(connection: &RawConnection) -> RawStream {
    let mut stream = connection.open().await.expect("a stream");
    let hello = ClientMessage::Hello {
        version: 0,
        apps: vec![1],
    };
    stream.send(hello.encode()).await.expect("it listens");
    let answer = stream.receive().await.expect("it answers");
    assert!(matches!(answer, Some(ServerMessage::HelloAck { .. })));
    stream
}

// ---- the well-behaved client --------------------------------------------------------------------

struct Polite {
    _connection: RawConnection,
    stream: RawStream,
    key: SecretKey,
    found: Found,
    random: Random,
}

/// How long each kind of request took.
#[derive(Default)]
struct Times(BTreeMap<&'static str, Vec<Duration>>);

impl Polite {
    async fn connect(server: &Server, found: Found) -> Self {
        let key = SecretKey::from_seed([2; 32]);
        let (connection, stream) = greeted(server.address, server.key, Some(&key), POLITE).await;
        Self {
            _connection: connection,
            stream,
            key,
            found,
            random: Random(7),
        }
    }

    async fn run(&mut self, until: Instant, times: &mut Times) {
        while Instant::now() < until {
            for _ in 0..4 {
                let author = self.found.authors[self.random.below(self.found.authors.len())];
                let kind = PUBLIC_KINDS[self.random.below(PUBLIC_KINDS.len())];
                let filter = FilterBuilder::new().authors([author]).kinds([kind]);
                let query = ClientMessage::Query {
                    id: QueryId(1),
                    limit: 20,
                    filter: filter.build().expect("fits"),
                };
                times.add("query", self.ask(&query, 20).await);
                let references = (0..5).map(|_| self.any_id()).collect();
                let get = ClientMessage::Get {
                    id: QueryId(1),
                    references,
                };
                times.add("get", self.ask(&get, 5).await);
            }
            let took = self.submit().await;
            times.add("submission", took);
        }
    }

    fn any_id(&mut self) -> Reference {
        self.found.ids[self.random.below(self.found.ids.len())]
    }

    async fn ask(&mut self, request: &ClientMessage, expected: usize) -> Duration {
        let start = Instant::now();
        self.stream
            .send(request.encode())
            .await
            .expect("it listens");
        let mut count = 0;
        loop {
            match self.stream.receive().await.expect("it answers") {
                Some(ServerMessage::Record { .. }) => count += 1,
                Some(ServerMessage::QueryClosed { result, .. }) => {
                    assert_eq!(result, ResultCode::Success);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        // Records by ID may come twice in one request, and are answered once.
        assert!(count <= expected && count > 0, "{count} of {expected}");
        start.elapsed()
    }

    async fn submit(&mut self) -> Duration {
        let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, self.key.public())
            .tags(the_tag())
            .payload(self.random.next().to_be_bytes().to_vec())
            .sign(&self.key)
            .expect("fits");
        let start = Instant::now();
        let submission = ClientMessage::Submission {
            record: record.bytes().clone(),
        };
        self.stream
            .send(submission.encode())
            .await
            .expect("it listens");
        match self.stream.receive().await.expect("it answers") {
            Some(ServerMessage::SubmissionResult { result, .. }) => {
                assert_eq!(result, ResultCode::Accepted);
            }
            other => panic!("{other:?}"),
        }
        start.elapsed()
    }
}

impl Times {
    fn add(&mut self, what: &'static str, took: Duration) {
        self.0.entry(what).or_default().push(took);
    }

    /// Prints both, and whether the load is as it should be.
    fn compare(&self, busy: &Self) -> bool {
        let mut is_good = true;
        for (what, quiet) in &self.0 {
            let busy = busy.0.get(what).map(Vec::as_slice).unwrap_or_default();
            let at = |share: usize| (percentile(quiet, share), percentile(busy, share));
            let ((quiet50, busy50), (quiet99, busy99)) = (at(50), at(99));
            let ratio = busy99 / quiet99;
            println!(
                "  {what:10} p50 {quiet50:6.0} {busy50:6.0} {:5.2}   p99 {quiet99:6.0} {busy99:6.0} {ratio:5.2}   of {} and {}",
                busy50 / quiet50,
                quiet.len(),
                busy.len(),
            );
            is_good &= ratio <= RATIO_MAX;
        }
        is_good
    }
}

fn percentile(times: &[Duration], share: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len() * share / 100).min(times.len().saturating_sub(1));
    times
        .get(at)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
