//! `mosaic conformance` against our server, against an honest double, and against doubles that break one rule each.

mod double;
mod lax;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mosaicd::wire::SecretKey;
use serde_json::Value;
use tempfile::TempDir;

use self::double::{Double, Fault};
use crate::support::{DevServer, key};

/// What a run said: exit code, and the verdict on each check with its reason.
struct Report {
    code: Option<i32>,
    verdicts: BTreeMap<String, (String, String)>,
    summary: Value,
}

fn mosaic(server: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    // Keys and servers of whoever runs the tests are none of the command's business.
    let nowhere = std::env::temp_dir().join("mosaic-conformance-without-a-configuration");
    command
        .args(["conformance", server, "--json", "--config-dir"])
        .arg(nowhere)
        .args(options)
        .env_remove("MOSAIC_SERVER");
    command
}

/// Runs the command against `server`.
async fn run(server: String, options: &[&str]) -> Report {
    let mut command = mosaic(&server, options);
    if !options.contains(&"--wait") {
        command.args(["--wait", "30"]);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    let summary = lines.pop().unwrap_or_else(|| panic!("no output: {errors}"));
    let verdicts = lines.iter().map(|line| {
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let reason = format!("{}{} / {}", field("why"), field("expected"), field("got"));
        (field("id"), (field("verdict"), reason))
    });
    Report {
        code: output.status.code(),
        verdicts: verdicts.collect(),
        summary,
    }
}

impl Report {
    fn with(&self, verdict: &str) -> BTreeMap<&str, &str> {
        self.verdicts
            .iter()
            .filter(|(_, (is, _))| is == verdict)
            .map(|(id, (_, why))| (id.as_str(), why.as_str()))
            .collect()
    }

    /// Nothing failed, and those checks alone were skipped.
    fn assert_passed(&self, skipped: &[&str]) {
        assert_eq!(self.with("fail"), BTreeMap::new());
        let found: BTreeSet<&str> = self.with("skip").into_keys().collect();
        assert_eq!(
            found,
            skipped.iter().copied().collect(),
            "{:?}",
            self.with("skip")
        );
        assert_eq!(self.code, Some(0));
        assert_eq!(self.summary["summary"], "pass");
        assert_eq!(self.summary["failed"], 0);
        assert_eq!(self.summary["skipped"], found.len());
    }
}

/// What cannot be tested over a transport whose connections are one stream.
const ONE_STREAM: [&str; 3] = ["hello.twice.stream", "query.streams", "transport.streams"];

/// What cannot be tested on a server that takes no BLOBs.
const NO_BLOBS: [&str; 4] = [
    "blob.again",
    "blob.broken-off",
    "blob.put",
    "blob.wrong-hash",
];

/// What cannot be tested on a server without the extension messages and without key schedules.
const PLAIN: [&str; 28] = [
    "encryption.author",
    "extension.body",
    "extension.info",
    "extension.operator.anonymous",
    "extension.operator.stranger",
    "extension.request-id",
    "extension.role-open",
    "extension.role-open.late",
    "extension.role-open.twice",
    "profile.signed-by-master",
    "schedule.attestation",
    "schedule.out-of-use",
    "schedule.revocation-time",
    "schedule.revoked-from.before",
    "schedule.revoked-from.dated",
    "schedule.revoked-from.signs",
    "schedule.revoked.open",
    "schedule.revoked.reads",
    "schedule.revoked.signs",
    "schedule.revoked.stored",
    "schedule.signed-by-master",
    "schedule.subkey.filters",
    "schedule.subkey.from-author",
    "schedule.subkey.reads",
    "schedule.subkey.replaces",
    "schedule.subkey.signs",
    "schedule.tags",
    "schedule.unlisted.replaces",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_server_passes_over_quic_and_over_tcp() {
    let arguments = ["--dev", "--set", "listen_tcp=[\"127.0.0.1:0\"]"];
    let server = DevServer::start_with(&arguments, "").await;
    let info = server.client(None).await.info().await.unwrap();
    let is_tcp = |url: &&String| url.starts_with("mosaictcp://");
    let url = info.endpoints.iter().find(is_tcp).unwrap();
    let over_tcp = format!("{}@{url}", server.key().to_server_string());
    let blobs: &[&str] = match info.limits.blob_bytes {
        0 => &NO_BLOBS,
        _ => &[],
    };
    run(server.name(), &[]).await.assert_passed(blobs);
    run(over_tcp, &[])
        .await
        .assert_passed(&[blobs, &ONE_STREAM].concat());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_server_without_the_extension_passes_and_only_its_lines_are_skipped() {
    let double = Double::start(Fault::None).await;
    let skipped = [&PLAIN[..], &NO_BLOBS].concat();
    run(double.over_quic(), &[]).await.assert_passed(&skipped);
    let skipped = [&skipped[..], &ONE_STREAM].concat();
    run(double.over_tcp(), &[]).await.assert_passed(&skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_serves_two_users_alone_passes_as_them_and_nothing_fails_as_somebody_else() {
    let home = TempDir::new().unwrap();
    let (user, second) = (key(71), key(72));
    let list = format!(
        "users.list=[\"{}\", \"{}\"]",
        user.public(),
        second.public()
    );
    let arguments = ["--dev", "--set", "users.mode=list", "--set", &list];
    let server = DevServer::start_with(&arguments, "").await;
    let file = |name: &str, key: &SecretKey| {
        let path = home.path().join(name);
        std::fs::write(&path, format!("{}\n", key.to_printable().as_str())).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (user, second) = (file("user", &user), file("second", &second));
    let report = run(server.name(), &["--user", &user, "--second-user", &second]).await;
    assert_eq!(report.with("fail"), BTreeMap::new());
    let skipped = report.with("skip");
    let is_allowed = |id: &&str| {
        [
            "schedule.",
            "profile.",
            "blob.",
            "record.signature.cofactor",
        ]
        .iter()
        .any(|group| id.starts_with(group))
    };
    assert!(skipped.keys().all(is_allowed), "{skipped:?}");

    let report = run(server.name(), &[]).await;
    assert_eq!(report.with("fail"), BTreeMap::new());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_on_a_server_whose_roles_are_shut() {
    let (server, _folder) = DevServer::start_public("").await;
    let report = run(server.name(), &[]).await;
    assert_eq!(report.with("fail"), BTreeMap::new());
    assert!(report.with("pass").contains_key("hello.first"));
    assert!(report.with("skip").contains_key("outbox.accepts"));
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_server_or_another_one_the_run_ends_as_every_command_does() {
    let double = Double::start(Fault::None).await;
    let address = double.over_quic().split_once('@').unwrap().1.to_owned();
    let other = format!("{}@{address}", key(9).public().to_server_string());
    let cases = [(other, 4), (format!("{address}x"), 2)];
    for (server, code) in cases {
        let output = mosaic(&server, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{server}");
        assert!(output.stdout.is_empty());
    }
    let nothing = mosaic(&double.over_quic(), &["--only", "acc"])
        .output()
        .unwrap();
    assert_eq!(nothing.status.code(), Some(2));
}

/// A server with that fault fails on those lines and on no others.
async fn check(fault: Fault, expected: &[&str]) {
    check_with(fault, &[], expected).await;
}

async fn check_with(fault: Fault, options: &[&str], expected: &[&str]) {
    let double = Double::start(fault).await;
    let report = run(double.over_quic(), options).await;
    let failed = report.with("fail");
    let found: BTreeSet<&str> = failed.keys().copied().collect();
    assert_eq!(
        found,
        expected.iter().copied().collect(),
        "{fault:?}: {failed:?}"
    );
    assert_eq!(report.code, Some(1), "{fault:?}");
    assert_eq!(report.summary["summary"], "fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaks_fails_on_the_lines_about_who_may_read() {
    let same = [
        "access.same.duplicate",
        "access.same.get",
        "access.same.limit",
        "access.same.mixed",
        "access.same.query",
        "access.same.subscribe",
    ];
    let leaks = [
        "access.author-only.address",
        "access.author-only.get",
        "access.author-only.live",
        "access.author-only.query",
        "access.author-only.subscribe",
    ];
    check(Fault::LeaksToStrangers, &[&leaks[..], &same].concat()).await;
    let leaks = [
        "access.tagged.address",
        "access.tagged.get",
        "access.tagged.live",
        "access.tagged.query",
        "access.tagged.subscribe",
        "encryption.nobody-else",
    ];
    check(Fault::IgnoresTags, &leaks).await;
    check(Fault::FirstTagOnly, &["access.tagged.second-tag"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_reveals_by_another_reply_fails_on_the_lines_about_sameness() {
    check(Fault::RefusesTheInvisible, &["access.same.get"]).await;
    check(Fault::DuplicateTells, &["access.same.duplicate"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_out_of_order_fails_on_the_lines_about_order() {
    let order = ["query.order", "subscribe.limit", "subscribe.stored"];
    check(Fault::OldestFirst, &order).await;
    let complete = ["subscribe.limit", "subscribe.stored"];
    check(Fault::CompleteFirst, &complete).await;
    let limit = ["query.limit", "query.order", "subscribe.limit"];
    check(Fault::NoLimit, &limit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_acknowledges_before_storing_fails_on_the_lines_about_acknowledgement() {
    let durable = ["submission.durable", "submission.durable.closed"];
    check(Fault::StoresLater, &durable).await;
    check(Fault::ForgetsOnClose, &["submission.durable.closed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_faulty_subscriptions_fails_on_their_lines() {
    check(Fault::CompleteTwice, &["subscribe.complete-once"]).await;
    check(Fault::NeverUnsubscribes, &["subscribe.unsubscribe"]).await;
    check(Fault::QueryLeavesOpen, &["subscribe.replaced.query"]).await;
    check(Fault::LiveTwice, &["subscribe.gap-free", "subscribe.live"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_or_keeps_the_wrong_records_fails_on_their_lines() {
    let signatures = [
        "record.signature.plain",
        "record.signature.r",
        "record.signature.r-canonical",
        "record.signature.range",
        "record.signature.s",
    ];
    check(Fault::BelievesSignatures, &signatures).await;
    let replaceable = [
        "submission.replaceable.equal",
        "submission.replaceable.older",
    ];
    check(Fault::LastReplaces, &replaceable).await;
    check(Fault::KeepsEphemeral, &["submission.ephemeral.heard"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_wrong_messages_fails_on_the_lines_about_messages() {
    check(Fault::NothingIsSuccess, &["get.not-found"]).await;
    check(Fault::SecondHello, &["hello.twice", "hello.twice.stream"]).await;
    check(
        Fault::AnswersBeforeHello,
        &["hello.first", "hello.first.closing"],
    )
    .await;
    check(Fault::GrantsMore, &["hello.applications"]).await;
    check(Fault::WrongPrefix, &["submission.result"]).await;
    check(Fault::DirtyBytes, &["frame.reserved.written"]).await;
    // The end of the stream is waited for in vain.
    let only = ["--only", "frame", "--only", "extension", "--wait", "5"];
    let unknown = [
        "extension.ungranted",
        "extension.unknown",
        "frame.unknown",
        "frame.unknown.server",
    ];
    check_with(Fault::GoesOnAfterUnknown, &only, &unknown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_lax_with_certificates_fails_on_the_lines_about_transport() {
    let certificates = [
        "transport.certificate.algorithm",
        "transport.certificate.foreign",
        "transport.certificate.issued",
    ];
    check(Fault::BelievesCertificates, &certificates).await;
    check(Fault::OffersEarlyData, &["transport.early-data"]).await;
}
