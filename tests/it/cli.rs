//! The client's commands as their users run them: the `mosaic` binary against a server process.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use mosaicd::wire::{Kind, Record, RecordBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{DevServer, all, key, mosaic};

/// One user: a configuration folder of their own.
struct User {
    folder: TempDir,
}

/// What one run of the client came to.
struct Run {
    code: Option<i32>,
    output: Vec<u8>,
    errors: String,
}

impl User {
    /// A user without a key.
    fn without_key() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// A user with a new key.
    fn new() -> Self {
        let user = Self::without_key();
        assert_eq!(user.run(["key", "new"]).code, Some(0));
        user
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = mosaic(self.folder.path());
        command.args(arguments);
        command
    }

    fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        Run::of(self.command(arguments))
    }

    /// Runs a command against `server`.
    fn ask(&self, server: &DevServer, arguments: &[&str]) -> Run {
        Run::of(self.to(server, arguments))
    }

    fn to(&self, server: &DevServer, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("MOSAIC_SERVER", server.name());
        command
    }

    /// Publishes one text and returns its reference.
    fn publish(&self, server: &DevServer, arguments: &[&str]) -> String {
        let run = self.ask(server, &[&["publish"], arguments].concat());
        assert_eq!(run.code, Some(0), "{}", run.errors);
        let text = run.text();
        let (reference, result) = text.trim().split_once("  ").unwrap();
        assert_eq!(result, "ACCEPTED");
        reference.to_owned()
    }
}

impl Run {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            output: output.stdout,
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.output.clone()).unwrap()
    }

    /// The lines of `--json`.
    fn json(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{}", self.errors);
        let text = self.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A client that runs while the test goes on. Killed when dropped.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    /// The next line of the output; waits for it.
    fn line(&mut self) -> String {
        match self.output.next() {
            Some(line) => line.unwrap(),
            None => panic!("it ended: {}", self.remaining_errors()),
        }
    }

    /// The ID in each of the next `count` lines of JSON.
    fn ids(&mut self, count: usize) -> Vec<String> {
        let id = |line: String| {
            let row: Value = serde_json::from_str(&line).unwrap();
            row["id"].as_str().unwrap().to_owned()
        };
        (0..count).map(|_| id(self.line())).collect()
    }

    /// Waits until a line with `words` was said on standard error.
    fn wait_for_error(&mut self, words: &str) {
        let found = self
            .errors
            .by_ref()
            .any(|line| line.unwrap().contains(words));
        assert!(found, "{words} was never said");
    }

    fn remaining_errors(&mut self) -> String {
        self.errors
            .by_ref()
            .map_while(Result::ok)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Closes the input and waits for the end.
    fn ended(mut self) -> ExitStatus {
        self.input.take();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An address on which nobody listens now.
fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

async fn server_on(address: SocketAddr) -> DevServer {
    DevServer::start_with(&["--dev", "--listen", &address.to_string()], "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_a_limit_names_the_limit() {
    let refuse = &["--dev", "--set", "limits.wide_filters=refuse"];
    let server = DevServer::start_with(refuse, "").await;
    let run = User::new().ask(&server, &["query", "--limit", "1"]);
    assert_eq!(run.code, Some(1), "{}", run.errors);
    let expected = "refused: TOO_OPEN: the filter has no narrow element";
    assert!(run.errors.contains(expected), "{}", run.errors);
    server.stop_cleanly().await;
}

#[tokio::test]
async fn what_is_published_is_found_by_query_and_get() {
    let server = DevServer::start().await;
    let user = User::new();
    let reference = user.publish(&server, &["first post", "--tag", "900:00ff"]);

    let rows = user
        .ask(&server, &["query", "--kind", "microblog", "--json"])
        .json();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["id"], reference);
    assert_eq!(rows[0]["text"], "first post");
    assert_eq!(rows[0]["tags"][0]["type"], 900);
    let address = rows[0]["address"].as_str().unwrap();

    for name in [&reference, address] {
        let run = user.ask(&server, &["get", name]);
        assert_eq!(run.code, Some(0), "{}", run.errors);
        assert!(run.text().contains("    first post\n"), "{}", run.text());
    }
    let tagged = user
        .ask(&server, &["query", "--tag", "900:00ff", "--json"])
        .json();
    assert_eq!(tagged, rows);
    let none = user
        .ask(&server, &["query", "--tag", "900:00fe", "--json"])
        .json();
    assert!(none.is_empty());
    server.stop_cleanly().await;
}

#[tokio::test]
async fn a_reply_is_made_from_its_reference_alone() {
    let server = DevServer::start().await;
    let user = User::new();
    let start = user.publish(&server, &["start"]);
    let first = user.publish(&server, &["first answer", "--reply", &start]);
    user.publish(&server, &["second answer", "--reply", &first]);
    let rows = user
        .ask(&server, &["query", "--kind", "reply", "--json"])
        .json();
    let tags = |row: &Value| row["tags"].as_array().unwrap().clone();
    let [second, first] = &rows[..] else {
        panic!("{rows:?}");
    };
    // Type 2 names what is answered, type 3 the root; both answers have the same root.
    assert_eq!(tags(first)[0]["value"], tags(first)[1]["value"]);
    assert_eq!(tags(second)[1]["value"], tags(first)[1]["value"]);
    assert_ne!(tags(second)[0]["value"], tags(second)[1]["value"]);

    let elsewhere = key(200);
    let unknown = RecordBuilder::new(Kind::MICROBLOG_ROOT, elsewhere.public()).sign(&elsewhere);
    let unknown = unknown.unwrap().id().to_string();
    let run = user.ask(&server, &["publish", "lost", "--reply", &unknown]);
    assert_eq!(run.code, Some(1), "{}", run.errors);
    user.publish(
        &server,
        &["found", "--reply", &unknown, "--reply-kind", "microblog"],
    );
    server.stop_cleanly().await;
}

#[tokio::test]
async fn every_way_to_fail_has_its_exit_code() {
    let server = DevServer::start().await;
    let user = User::new();
    let nobody = User::without_key();
    let check = |run: Run, expected: i32, what: &str| {
        assert_eq!(run.code, Some(expected), "{what}: {}", run.errors);
        assert!(!run.errors.is_empty(), "{what}");
    };
    // 2: usage
    check(user.run::<&str>([]), 2, "no command");
    check(user.run(["query", "--nonsense"]), 2, "no such flag");
    check(user.run(["info"]), 2, "no server");
    check(user.run(["info", "--server", "home"]), 2, "no such server");
    check(user.ask(&server, &["publish"]), 2, "nothing to publish");
    check(nobody.ask(&server, &["publish", "x"]), 2, "no key");
    check(
        user.ask(&server, &["publish", "--file", "/nonexistent/file"]),
        2,
        "no such file",
    );
    // 1: refused or not found
    let absent = key(1);
    let absent = RecordBuilder::new(Kind::CHAT_MESSAGE, absent.public()).sign(&absent);
    let absent = absent.unwrap().id().to_string();
    check(user.ask(&server, &["get", &absent]), 1, "not there");
    let refused = user.ask(&server, &["publish", "x", "--from-author", "--anonymous"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.text().contains("REQUIRES_AUTHENTICATION"),
        "{}",
        refused.text()
    );
    // 3: could not connect
    let gone = format!("{}@{}", server.key().to_server_string(), free_address());
    check(
        user.run(["info", "--wait", "1", "--server", &gone]),
        3,
        "nobody there",
    );
    // 4: another server than the one demanded, or one whose key nobody has accepted
    let other = format!(
        "{}@{}",
        key(3).public().to_server_string(),
        server.address()
    );
    check(user.run(["info", "--server", &other]), 4, "another key");
    let address = server.address().to_string();
    check(user.run(["info", "--server", &address]), 4, "unknown key");
    server.stop_cleanly().await;
}

#[tokio::test]
async fn a_servers_key_is_remembered_at_first_use_and_a_changed_one_refused_loudly() {
    let address = free_address();
    let url = format!("mosaic://{address}/");
    let user = User::new();
    let server = server_on(address).await;
    let first = user.run(["info", "--accept-new", "--server", &url]);
    assert_eq!(first.code, Some(0), "{}", first.errors);
    assert_eq!(user.run(["info", "--server", &url]).code, Some(0));
    let named = user
        .run(["server", "add", "home", &server.name(), "--json"])
        .json();
    assert_eq!(named[0]["key"], server.key().to_server_string());
    assert_eq!(user.run(["info", "--server", "home"]).code, Some(0));
    let listed = user.run(["server", "list", "--json"]).json();
    assert_eq!(listed.len(), 2, "by address and by name");
    server.stop_cleanly().await;

    let impostor = server_on(address).await;
    for name in [&url, "home"] {
        let run = user.run(["publish", "secret", "--server", name]);
        assert_eq!(run.code, Some(4), "{}", run.errors);
        assert!(run.errors.contains("WARNING"), "{}", run.errors);
        assert!(
            run.errors.contains(&impostor.key().to_server_string()),
            "{}",
            run.errors
        );
        // Not even --accept-new overrides what is known.
        let run = user.run(["info", "--accept-new", "--server", name]);
        assert_eq!(run.code, Some(4), "{}", run.errors);
    }
    let trace = impostor.trace();
    assert!(!trace.contains("panicked"), "{trace}");

    assert_eq!(user.run(["server", "remove", "home"]).code, Some(0));
    assert_eq!(user.run(["info", "--server", "home"]).code, Some(2));
    impostor.stop_cleanly().await;
}

#[tokio::test]
async fn lines_are_published_as_they_come() {
    let server = DevServer::start().await;
    let user = User::new();
    let arguments = ["publish", "--stdin-lines", "--kind", "chat", "--json"];
    let mut running = Running::start(user.to(&server, &arguments));
    for line in ["one", "two", "three"] {
        running.say(line);
        let row: Value = serde_json::from_str(&running.line()).unwrap();
        assert_eq!(row["accepted"], true, "{row}");
        let stored = user
            .ask(&server, &["get", row["id"].as_str().unwrap(), "--json"])
            .json();
        assert_eq!(stored[0]["text"], line);
    }
    assert!(running.ended().success());
    server.stop_cleanly().await;
}

#[tokio::test]
async fn records_move_from_one_server_to_another_through_files() {
    let first = DevServer::start().await;
    let second = DevServer::start().await;
    let user = User::new();
    for text in ["one", "two", "three"] {
        user.publish(&first, &[text]);
    }
    let raw = user.file("raw");
    let raw = raw.to_str().unwrap();
    let saved = user.ask(&first, &["query", "--kind", "microblog", "--raw", raw]);
    assert_eq!(
        (saved.code, saved.output.len()),
        (Some(0), 0),
        "{}",
        saved.errors
    );
    let json = user.file("json");
    let json = json.to_str().unwrap();
    let rows = user.ask(&first, &["query", "--kind", "microblog", "--json"]);
    std::fs::write(json, &rows.output).unwrap();

    let moved = user.ask(&second, &["publish", "--records", raw, "--json"]);
    assert!(moved.errors.contains("3 ACCEPTED"), "{}", moved.errors);
    assert!(moved.json().iter().all(|row| row["result"] == "ACCEPTED"));
    let again = user.ask(&second, &["publish", "--records", json, "--json"]);
    assert!(again.json().iter().all(|row| row["result"] == "DUPLICATE"));
    let copied = user.ask(&second, &["query", "--kind", "microblog", "--json"]);
    assert_eq!(copied.output, rows.output);

    std::fs::write(json, b"{\"hex\": \"00\"}\n").unwrap();
    let broken = user.ask(&second, &["publish", "--records", json]);
    assert_eq!(broken.code, Some(1));
    assert!(
        broken.text().starts_with("INVALID  line 1: "),
        "{}",
        broken.text()
    );
    first.stop_cleanly().await;
    second.stop_cleanly().await;
}

#[tokio::test]
async fn a_subscription_prints_what_is_stored_and_then_what_arrives() {
    let server = DevServer::start().await;
    let user = User::new();
    let stored = user.publish(&server, &["stored", "--kind", "chat"]);
    let arguments = ["subscribe", "--kind", "chat", "--count", "2", "--json"];
    let mut running = Running::start(user.to(&server, &arguments));
    assert_eq!(running.ids(1), [stored]);
    running.wait_for_error("LOCALLY COMPLETE");
    let live = user.publish(&server, &["live", "--kind", "chat"]);
    assert_eq!(running.ids(1), [live]);
    assert!(running.ended().success());

    let short = [
        "subscribe",
        "--kind",
        "chat",
        "--count",
        "9",
        "--timeout",
        "1",
    ];
    assert_eq!(user.ask(&server, &short).code, Some(1));
    let over = ["subscribe", "--kind", "chat", "--timeout", "1", "--json"];
    assert_eq!(user.ask(&server, &over).json().len(), 2);
    server.stop_cleanly().await;
}

#[tokio::test]
async fn a_subscription_goes_on_after_the_server_was_restarted_and_prints_each_record_once() {
    const ROUNDS: usize = 3;
    const EACH: usize = 10;
    let mut server = DevServer::start().await;
    let name = server.name();
    let user = User::new();
    let count = (ROUNDS * EACH).to_string();
    let arguments = [
        "subscribe",
        "--kind",
        "chat",
        "--json",
        "--count",
        &count,
        "--server",
        &name,
    ];
    let mut running = Running::start(user.command(arguments));
    running.wait_for_error("LOCALLY COMPLETE");
    let author = key(7);
    let (mut sent, mut printed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round == 1 {
            server.terminate();
            assert!(server.ended().await.success());
            server.restart().await;
        } else if round > 1 {
            server.kill();
            server.restart().await;
        }
        let client = server.client(Some(&author)).await;
        for number in 0..EACH {
            let text = format!("{round} {number}");
            let record = RecordBuilder::new(Kind::CHAT_MESSAGE, author.public()).payload(text);
            let record = record.sign(&author).unwrap();
            assert!(client.submit(&record).await.unwrap().is_success());
            sent.push(record.id().to_string());
        }
        client.close().await;
        printed.extend(running.ids(EACH));
    }
    assert!(running.ended().success());
    assert_eq!(
        printed.len(),
        printed.iter().collect::<BTreeSet<_>>().len(),
        "each once"
    );
    let sorted = |ids: Vec<String>| ids.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(sorted(printed), sorted(sent));
    server.stop_cleanly().await;
}

#[tokio::test]
async fn strangers_text_does_not_reach_the_terminal_as_it_is() {
    let server = DevServer::start().await;
    let stranger = key(8);
    let client = server.client(Some(&stranger)).await;
    let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, stranger.public())
        .payload("\u{1b}]0;owned\u{7}\u{202e}")
        .sign(&stranger)
        .unwrap();
    assert!(client.submit(&record).await.unwrap().is_success());
    let found: Vec<Record> = all(client.get(vec![record.id().into()]).await.unwrap()).await;
    assert_eq!(found, [record]);
    let user = User::new();
    let run = user.ask(&server, &["query", "--kind", "microblog"]);
    let text = run.text();
    assert!(text.contains("\\u{1b}]0;owned\\u{7}\\u{202e}"), "{text}");
    let json = user.ask(&server, &["query", "--kind", "microblog", "--json"]);
    assert_eq!(json.json()[0]["text"], "\u{1b}]0;owned\u{7}\u{202e}");
    for text in [text, json.text()] {
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text}"
        );
    }
    server.stop_cleanly().await;
}

#[tokio::test]
async fn an_encrypted_key_signs_with_its_password_and_not_without() {
    let server = DevServer::start().await;
    let user = User::without_key();
    let password = user.file("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    let password = password.to_str().unwrap();
    let made = user.run([
        "key",
        "new",
        "--encrypt",
        "--log-n",
        "4",
        "--password-file",
        password,
    ]);
    assert_eq!(made.code, Some(0), "{}", made.errors);
    let shown = user.run(["key", "show", "--password-file", password]);
    assert_eq!(shown.output, made.output);

    user.publish(&server, &["signed", "--password-file", password]);
    let without = user.ask(&server, &["publish", "unsigned"]);
    assert_eq!(without.code, Some(2), "{}", without.errors);
    let mut wrong = user.to(&server, &["publish", "unsigned"]);
    wrong.env("MOSAIC_PASSWORD", "wrong");
    let wrong = Run::of(wrong);
    assert_eq!(wrong.code, Some(2), "{}", wrong.errors);
    server.stop_cleanly().await;
}
