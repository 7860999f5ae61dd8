//! The 24 reference records go in through the command line client; each ends as the rules say, and each
//! reference filter then returns, per requester, exactly the listed records that are stored and visible.

use std::collections::BTreeSet;

use bytes::Bytes;
use mosaicd::wire::{Filter, PublicKey, Record, RecordRef, Reference, ResultCode, SecretKey};
use serde_json::Value;

use crate::support::{DevServer, all, mosaic, write_key};

/// How one reference record ends when everybody who may try to deliver it has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Stored; anyone may read it.
    Public,
    /// Stored; only the key of that number may read it.
    Private(usize),
    /// Delivered to whoever subscribes, never stored.
    Ephemeral,
    /// Not stored, whoever delivers it.
    Refused(ResultCode),
}

/// One row: what an anonymous client is told, what the author is told, how it ends, and why.
struct Row {
    anonymous: ResultCode,
    author: ResultCode,
    end: End,
    why: &'static str,
}

const fn row(anonymous: ResultCode, author: ResultCode, end: End, why: &'static str) -> Row {
    Row {
        anonymous,
        author,
        end,
        why,
    }
}

/// The users of the server under test are the authors of all 24 records, keys 0 to 3 of the file. Key 4
/// signs some of their records and is in nobody's key schedule.
fn expected() -> [Row; 24] {
    use End::{Ephemeral, Private, Public, Refused};
    use ResultCode::{
        Accepted, Duplicate, Invalid, NoConsumers, RequiresAuthentication, Unauthorized,
    };
    let public = |why| row(Accepted, Duplicate, Public, why);
    let invalid = |why| row(Invalid, Invalid, Refused(Invalid), why);
    let bad_schedule = || invalid("a key schedule whose payload does not parse");
    let unsigned = |why| row(Unauthorized, Unauthorized, Refused(Unauthorized), why);
    let from_author = |why| row(RequiresAuthentication, Accepted, Public, why);
    let private = |key, why| row(Accepted, Duplicate, Private(key), why);
    let untagged = || {
        private(
            0,
            "author + tagged with no tagged key: its author alone reads it",
        )
    };
    [
        public("a public record of a served user"),
        bad_schedule(),
        public("a profile signed by its master; its payload is for its readers to judge"),
        public("a public record that notifies another served user"),
        row(
            RequiresAuthentication,
            Unauthorized,
            Refused(Unauthorized),
            "FROM_AUTHOR: the author may deliver it, but its signer is in no key schedule of the author",
        ),
        public("a public reply"),
        public("a chat message of a served user"),
        private(3, "author only: its author alone reads it"),
        untagged(),
        unsigned("ephemeral, but its signer is in no key schedule of the served author"),
        from_author("FROM_AUTHOR: anonymous is refused, the author is not"),
        public("a replaceable record, alone at its address"),
        public("a public record of a served user"),
        bad_schedule(),
        invalid("a profile not signed by its master"),
        public("a public record that notifies another served user"),
        from_author("FROM_AUTHOR: anonymous is refused, the author is not"),
        public("a public reply with every kind of mention"),
        public("a chat message of a served user"),
        unsigned("author only, but its signer is in no key schedule of the served author"),
        untagged(),
        row(
            NoConsumers,
            NoConsumers,
            Ephemeral,
            "ephemeral, and nobody is subscribed",
        ),
        from_author("FROM_AUTHOR: anonymous is refused, the author is not"),
        public("a replaceable record, alone at its address"),
    ]
}

/// The reference file, read once.
struct Reference24 {
    root: Value,
    keys: Vec<SecretKey>,
    records: Vec<Record>,
}

impl Reference24 {
    fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/mosaic-core.json"
        );
        let root: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let keys = list(&root, "keys")
            .map(|key| text(key, "secret").parse().unwrap())
            .collect();
        let records = list(&root, "records")
            .map(|record| Record::parse(unhex(text(record, "hex"))).unwrap())
            .collect();
        Self {
            root,
            keys,
            records,
        }
    }

    fn key_number(&self, public: PublicKey) -> usize {
        self.keys
            .iter()
            .position(|key| key.public() == public)
            .unwrap()
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().unwrap().iter()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn unhex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// A server for which keys 0 to 3 are the users it serves and every application is allowed.
async fn server_for(reference: &Reference24) -> DevServer {
    let users: Vec<String> = reference.keys[..4]
        .iter()
        .map(|key| format!("{:?}", key.public().to_string()))
        .collect();
    let config = format!("[users]\nmode = \"list\"\nlist = [{}]\n", users.join(", "));
    DevServer::start_with(&["--dev"], &config).await
}

/// Runs `mosaic publish --records` on one record and returns the result that it printed.
fn publish(server: &DevServer, record: &Record, identity: Option<&SecretKey>) -> ResultCode {
    let records = server.file("record.jsonl");
    let hex: String = record
        .bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    std::fs::write(&records, format!("{{\"hex\": \"{hex}\"}}\n")).unwrap();
    let mut command = mosaic(&server.file("client"));
    command
        .args(["publish", "--json", "--server", &server.name(), "--records"])
        .arg(&records);
    match identity {
        None => command.arg("--anonymous"),
        Some(secret) => {
            let file = server.file(&format!("{}.key", secret.public()));
            write_key(&file, secret);
            command.arg("--key").arg(file)
        }
    };
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let line: Value = out
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| {
            panic!("{}: no JSON line in {out:?}; {err}", output.status);
        });
    let result = (1..=255)
        .map(ResultCode::from_u8)
        .find(|code| code.to_string() == text(&line, "result"))
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(i32::from(!result.is_success())),
        "{out}{err}"
    );
    result
}

fn may_read(end: End, requester: Option<usize>) -> bool {
    match end {
        End::Public => true,
        End::Private(reader) => requester == Some(reader),
        End::Ephemeral | End::Refused(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reference_record_ends_as_the_rules_say_and_each_filter_returns_what_its_reader_may_see()
 {
    let reference = Reference24::read();
    let server = server_for(&reference).await;
    let rows = expected();
    for (number, (record, row)) in reference.records.iter().zip(&rows).enumerate() {
        let author = &reference.keys[reference.key_number(record.view().author())];
        let signer = &reference.keys[reference.key_number(record.view().signer())];
        let stranger = &reference.keys[5];
        let from_author = record.view().flags().from_author();
        assert_eq!(
            publish(&server, record, None),
            row.anonymous,
            "record {number}: {}",
            row.why
        );
        for other in [stranger, signer] {
            if from_author && other.public() != author.public() {
                assert_eq!(
                    publish(&server, record, Some(other)),
                    ResultCode::Unauthorized,
                    "record {number}: FROM_AUTHOR with the wrong authentication"
                );
            }
        }
        assert_eq!(
            publish(&server, record, Some(author)),
            row.author,
            "record {number}: {}",
            row.why
        );
    }
    for requester in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)] {
        assert_sees_what_it_may(&server, &reference, &rows, requester).await;
    }
    server.stop_cleanly().await;
}

/// Reads by ID, by address and by every filter of the file, as one requester.
async fn assert_sees_what_it_may(
    server: &DevServer,
    reference: &Reference24,
    rows: &[Row; 24],
    requester: Option<usize>,
) {
    let client = server
        .client(requester.map(|number| &reference.keys[number]))
        .await;
    for (number, (record, row)) in reference.records.iter().zip(rows).enumerate() {
        let expected: &[Record] = if may_read(row.end, requester) {
            std::slice::from_ref(record)
        } else {
            &[]
        };
        for by in [
            Reference::Id(record.id()),
            Reference::Address(record.view().address()),
        ] {
            let (found, result) = client.get(vec![by]).await.unwrap().collect().await.unwrap();
            assert_eq!(
                found, expected,
                "record {number} by {by} as {requester:?}: {}",
                row.why
            );
            let absent = expected.is_empty();
            let said = if absent {
                ResultCode::NotFound
            } else {
                ResultCode::Success
            };
            assert_eq!(result, said, "record {number} by {by} as {requester:?}");
        }
    }
    for entry in list(&reference.root, "filters") {
        let filter = Filter::parse(unhex(text(entry, "hex"))).unwrap();
        let listed = list(entry, "matches").map(|m| usize::try_from(m.as_u64().unwrap()).unwrap());
        let mut expected: Vec<usize> = listed
            .filter(|number| may_read(rows[*number].end, requester))
            .collect();
        expected
            .sort_by_key(|number| std::cmp::Reverse(reference.records[*number].view().timestamp()));
        let found = all(client.query(filter, 0).await.unwrap()).await;
        let found: Vec<usize> = found
            .iter()
            .map(|record| reference.records.iter().position(|r| r == record).unwrap())
            .collect();
        assert_eq!(found, expected, "{} as {requester:?}", text(entry, "name"));
    }
    client.close().await;
}

/// The filters of the file held against all 24 records in memory; the server returns a part of these.
#[test]
fn in_memory_each_filter_matches_exactly_the_listed_records() {
    let reference = Reference24::read();
    for entry in list(&reference.root, "filters") {
        let filter = Filter::parse(unhex(text(entry, "hex"))).unwrap();
        let now = mosaicd::wire::Timestamp::now();
        let matched: BTreeSet<u64> = (0..)
            .zip(&reference.records)
            .filter(|(_, record)| filter.matches(&RecordRef::parse(record.bytes()).unwrap(), now))
            .map(|(number, _)| number)
            .collect();
        let listed = list(entry, "matches")
            .map(|m| m.as_u64().unwrap())
            .collect();
        assert_eq!(matched, listed, "{}", text(entry, "name"));
    }
}
