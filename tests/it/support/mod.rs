//! Real servers for the tests: the `mosaicd` binary as a process on loopback, with a data folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use mosaicd::client::{Client, Options, RawConnection, RawStream, Results, ServerTrust, Target};
use mosaicd::wire::{
    Attestation, ClientMessage, Filter, FilterBuilder, KeyMarker, KeyScheduleBuilder, Kind,
    ListedKey, PublicKey, Record, RecordBuilder, ResultCode, SecretKey, ServerMessage,
};
use rand::RngExt;
use tempfile::TempDir;

/// Nothing on loopback takes that long; a wait that does has found a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server process. Killed when dropped; its data folder goes with it.
pub(crate) struct DevServer {
    child: Child,
    address: SocketAddr,
    key: PublicKey,
    folder: TempDir,
    arguments: Vec<String>,
}

impl DevServer {
    /// A server started with `--dev`: every role is open.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--dev"], "").await
    }

    /// A server with `arguments` behind `serve`, and with `config` as its configuration file unless that is empty.
    pub(crate) async fn start_with(arguments: &[&str], config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        if !config.is_empty() {
            let file = folder.path().join("test.toml");
            std::fs::write(&file, config).unwrap();
            arguments.extend(["--config".to_owned(), file.to_str().unwrap().to_owned()]);
        }
        let (child, address, key) = spawn(folder.path(), &arguments, "127.0.0.1:0").await;
        Self {
            child,
            address,
            key,
            folder,
            arguments,
        }
    }

    /// A server for others as `mosaicd init` makes it, but on loopback, with `config` behind the line of its key file.
    pub(crate) async fn start_public(config: &str) -> (Self, TempDir) {
        let folder = TempDir::new().unwrap();
        let made = mosaicd()
            .args(["init", "--dir"])
            .arg(folder.path())
            .output();
        assert!(made.unwrap().status.success());
        let key_file = folder.path().join("server.key");
        let config = format!("key_file = {key_file:?}\n{config}");
        (Self::start_with(&[], &config).await, folder)
    }

    /// Runs a command of `mosaicd` with this server's configuration and data.
    pub(crate) fn operate(&self, command: &[&str]) -> std::process::Output {
        let config = self.file("test.toml");
        mosaicd()
            .args(command)
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(self.data())
            .output()
            .unwrap()
    }

    /// Where the server listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's key.
    pub(crate) const fn key(&self) -> PublicKey {
        self.key
    }

    /// The server as `--server` of the client names it.
    pub(crate) fn name(&self) -> String {
        format!("{}@{}", self.key.to_server_string(), self.address)
    }

    /// What to connect to.
    pub(crate) fn target(&self) -> Target {
        Target::from((self.address, ServerTrust::Exact(self.key)))
    }

    /// What to connect to over TCP: where the server says over QUIC that it listens.
    pub(crate) async fn tcp_target(&self) -> Target {
        let info = self.client(None).await.info().await.unwrap();
        let is_tcp = |url: &&String| url.starts_with("mosaictcp://");
        let url = info.endpoints.iter().find(is_tcp).unwrap();
        Target::parse(url, *self.target().trust()).unwrap()
    }

    /// The folder with the server's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A file of the server's folder that the test may use.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client of this server, as `identity` or anonymous.
    pub(crate) async fn client(&self, identity: Option<&SecretKey>) -> Client {
        client(&self.target(), identity).await
    }

    /// A connection on which nothing was said yet.
    pub(crate) async fn raw(&self, identity: Option<&SecretKey>) -> RawConnection {
        RawConnection::connect(&self.target(), identity, PATIENCE)
            .await
            .unwrap()
    }

    /// Memory of the process that is in use and its own: what a leak makes grow.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// Ends the process at once, as a power cut of the process would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// From the next start on the server has `setting`, which is `key=value`, in place of an earlier one with that key.
    pub(crate) fn set(&mut self, setting: &str) {
        let end = setting.find('=').unwrap() + 1;
        let is_earlier = |argument: &&mut String| argument.starts_with(&setting[..end]);
        match self.arguments.iter_mut().find(is_earlier) {
            Some(earlier) => *earlier = setting.to_owned(),
            None => self
                .arguments
                .extend(["--set".to_owned(), setting.to_owned()]),
        }
    }

    /// Starts the server again on the same data and address, after [`kill`](Self::kill) or the like.
    pub(crate) async fn restart(&mut self) {
        let listen = self.address.to_string();
        let (child, address, key) = spawn(self.folder.path(), &self.arguments, &listen).await;
        assert_eq!(key, self.key, "the server keeps its identity");
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGHUP: the server is to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: a small system has no other.
        let sent = Command::new("sh")
            .args([
                "-c",
                "kill -\"$0\" \"$1\"",
                name,
                &self.child.id().to_string(),
            ])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Puts `config` in the place of the configuration file, for the next reload or start.
    pub(crate) fn configure(&self, config: &str) {
        let next = self.file("next.toml");
        std::fs::write(&next, config).unwrap();
        std::fs::rename(next, self.file("test.toml")).unwrap();
    }

    /// Waits for the process to end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("the server does not end")
    }

    /// Stops the server with SIGTERM and fails unless it ended in order and without a panic.
    pub(crate) async fn stop_cleanly(mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "{status}: {}", self.trace());
        assert!(!self.trace().contains("panicked"), "{}", self.trace());
    }

    /// What the server wrote to its trace so far.
    pub(crate) fn trace(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("trace")).unwrap()
    }

    /// Runs `mosaicd store verify` on the data of this server, which must not be running.
    pub(crate) fn verify_store(&self) {
        let output = mosaicd()
            .args(["store", "verify", "--data"])
            .arg(self.data())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let trace = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "store verify: {}\n{text}\n{trace}",
            output.status
        );
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let trace = self.trace();
            let tail: Vec<&str> = trace.lines().rev().take(40).collect();
            println!("the server's trace ended with:");
            tail.iter().rev().for_each(|line| println!("  {line}"));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn spawn(
    folder: &Path,
    arguments: &[String],
    listen: &str,
) -> (Child, SocketAddr, PublicKey) {
    let trace = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("trace"))
        .unwrap();
    let mut child = mosaicd()
        .arg("serve")
        .args(arguments)
        .args(["--listen", listen, "--data"])
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(trace)
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let ready = tokio::task::spawn_blocking(move || first_address(output));
    let found = tokio::time::timeout(PATIENCE, ready).await;
    let (address, key) = found
        .expect("the server does not start")
        .unwrap()
        .unwrap_or_else(|| {
            panic!(
                "the server ended: {}",
                std::fs::read_to_string(folder.join("trace")).unwrap()
            )
        });
    (child, address, key)
}

/// The first `mosrv0…@address` that the server prints; the rest of its output is read and dropped.
fn first_address(output: impl Read + Send + 'static) -> Option<(SocketAddr, PublicKey)> {
    let mut lines = BufReader::new(output).lines();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let name = line
            .split_whitespace()
            .find(|word| word.starts_with("mosrv0"))?;
        let (key, address) = name.split_once('@')?;
        Some((address.parse().ok()?, PublicKey::from_server_str(key).ok()?))
    });
    std::thread::spawn(move || lines.for_each(drop));
    found
}

/// `mosaic` with `config_dir` as its configuration directory, and nothing else from outside the test.
pub(crate) fn mosaic(config_dir: &Path) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_mosaic"));
    command.env("MOSAIC_CONFIG_DIR", config_dir);
    command
}

/// `mosaicd`, with nothing from outside the test.
pub(crate) fn mosaicd() -> Command {
    program(env!("CARGO_BIN_EXE_mosaicd"))
}

/// A program without input, and without those variables of the environment that tell it what to do.
fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("MOSAIC")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A client of what is at `target`, as `identity` or anonymous.
pub(crate) async fn client(target: &Target, identity: Option<&SecretKey>) -> Client {
    let options = Options {
        identity: identity.cloned(),
        ..Options::default()
    };
    Client::connect(target, &options).await.unwrap()
}

/// A stream of `connection` on which HELLO with `apps` was said and answered.
pub(crate) async fn greeted(connection: &RawConnection, apps: &[u32]) -> RawStream {
    let mut stream = connection.open().await.unwrap();
    let hello = ClientMessage::Hello {
        version: 0,
        apps: apps.to_vec(),
    };
    stream.send(hello.encode()).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, stream.receive()).await;
    match answer.expect("HELLO is not answered").unwrap() {
        Some(ServerMessage::HelloAck { result, .. }) => assert_eq!(result, ResultCode::Success),
        other => panic!("{other:?}"),
    }
    stream
}

/// The seed of a random test: `MOSAIC_SEED`, or a new one; printed, so that a failed run can be replayed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("MOSAIC_SEED")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    println!("MOSAIC_SEED={seed}");
    seed
}

/// A key of a test, the same in every run.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

/// Writes `secret` to a key file that its owner alone can read.
pub(crate) fn write_key(path: &Path, secret: &SecretKey) {
    let mut file = std::fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    writeln!(file, "{}", secret.to_printable().as_str()).unwrap();
}

/// A public record by `author`.
pub(crate) fn post(author: &SecretKey, payload: impl Into<Vec<u8>>) -> Record {
    RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .payload(payload.into())
        .sign(author)
        .unwrap()
}

/// The records of `author`.
pub(crate) fn by(author: &SecretKey) -> Filter {
    let filter = FilterBuilder::new().authors([author.public()]);
    filter.build().unwrap()
}

/// A key schedule of `master` with one subkey on it.
pub(crate) fn schedule(master: &SecretKey, subkey: &SecretKey, marker: KeyMarker) -> Record {
    let attestation = Attestation::sign(subkey, master.public());
    let schedule = KeyScheduleBuilder::new(master.public())
        .list(marker, ListedKey::Signing(attestation))
        .unwrap();
    schedule.into_record().unwrap().sign(master).unwrap()
}

/// All records of an answer, which must be a complete one.
pub(crate) async fn all(results: Results) -> Vec<Record> {
    let (records, _) = results.collect().await.unwrap();
    records
}
