//! `mosaic conformance` against our server, against an honest double, and against doubles that break one rule each.

mod bend;
mod double;
mod extras;
mod families;
mod fault;
mod faults;
mod lax;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mosaicd::wire::{FilterBuilder, SecretKey};
use serde_json::Value;
use tempfile::TempDir;

use self::double::Double;
use self::fault::Fault;
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

/// A file with that key, as `--user` wants it.
fn key_file(home: &TempDir, name: &str, key: &SecretKey) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, format!("{}\n", key.to_printable().as_str())).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
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
    let double = Double::start(Fault::Plain).await;
    let skipped = [&PLAIN[..], &NO_BLOBS].concat();
    run(double.over_quic(), &[]).await.assert_passed(&skipped);
    let skipped = [&skipped[..], &ONE_STREAM].concat();
    run(double.over_tcp(), &[]).await.assert_passed(&skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_server_with_everything_passes() {
    let double = Double::start(Fault::None).await;
    run(double.over_quic(), &[]).await.assert_passed(&[]);
    run(double.over_tcp(), &[]).await.assert_passed(&ONE_STREAM);
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
    let (user, second) = (
        key_file(&home, "user", &user),
        key_file(&home, "second", &second),
    );
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

/// A server that differs from others, and breaks no rule by it.
async fn check_honest(fault: Fault, options: &[&str], skipped: &[&str]) {
    let double = Double::start(fault).await;
    run(double.over_quic(), options)
        .await
        .assert_passed(skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_page_forbids_fails_no_line() {
    check_honest(Fault::RepliesInReverse, &["--only", "frame"], &[]).await;
    check_honest(Fault::NoOperators, &["--only", "extension"], &[]).await;
    let dated = ["schedule.revoked-from.dated"];
    check_honest(Fault::RefusesFuture, &["--only", "schedule"], &dated).await;
    check_honest(Fault::BlobsAreForUsers, &["--only", "blob"], &[]).await;

    let double = Double::start(Fault::ServesNobody).await;
    let options = ["--only", "record", "--only", "submission"];
    let report = run(double.over_quic(), &options).await;
    assert_eq!(report.with("fail"), BTreeMap::new());
    assert!(report.with("skip").contains_key("record.payload"));

    let double = Double::start(Fault::GoesOnAfterUnknown).await;
    let options = ["--only", "frame.unknown", "--only", "extension"];
    run(double.over_tcp(), &options).await.assert_passed(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_keep_its_blobs_for_those_it_serves() {
    let only = ["--only", "blob"];
    let open = ["--dev", "--set", "blobs.read=users"];
    let server = DevServer::start_with(&open, "").await;
    run(server.name(), &only).await.assert_passed(&[]);
    server.stop_cleanly().await;

    let (user, set) = (key(73), "users.mode=list");
    let list = format!("users.list=[\"{}\"]", user.public());
    let shut = [&open[..], &["--set", set, "--set", &list]].concat();
    let server = DevServer::start_with(&shut, "").await;
    run(server.name(), &only).await.assert_passed(&NO_BLOBS);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_elsewhere_of_a_user_who_was_named_fails_no_line() {
    let home = TempDir::new().unwrap();
    let user = key(74);
    let file = key_file(&home, "user", &user);
    let server = DevServer::start().await;
    let follower = server.client(None).await;
    let filter = FilterBuilder::new().authors([user.public()]).build();
    let _following = follower.subscribe(filter.unwrap(), 0).await.unwrap();
    let alone = "submission.ephemeral.alone";
    let options = ["--only", alone, "--user", &file];
    run(server.name(), &options).await.assert_passed(&[alone]);
    server.stop_cleanly().await;
}
