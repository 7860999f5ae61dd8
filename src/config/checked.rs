//! What a configuration is once every value in it was checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::blobs::Blobs;
use super::rates::Rates;
use super::reachability::Reachability;
use super::sources::Origin;
use crate::base::RoleSet;
use crate::wire::PublicKey;
use serde::{Deserialize, Serialize};
use toml::Table;

/// A configuration in which every value is in its range.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether this is a server for one machine or for the world.
    pub mode: Mode,
    /// What INFO calls the server.
    pub name: String,
    /// What INFO says the server is for.
    pub description: Option<String>,
    /// How INFO says the operator is reached.
    pub contact: Option<String>,
    /// The terms of use, or where they are.
    pub terms: Option<String>,
    /// The file of the server's secret key.
    pub key_file: PathBuf,
    /// The file whose first line is the password of the key file.
    pub key_password_file: Option<PathBuf>,
    /// The folder of everything the server stores.
    pub data_dir: PathBuf,
    /// Where to listen; at least one address, no two alike. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS over TCP; may be empty.
    pub listen_tcp: Vec<SocketAddr>,
    /// The roles the operator wants; which of them are open is decided at run time.
    pub roles: RoleSet,
    /// Time from the order to stop to the end of the process.
    pub shutdown_timeout: Duration,
    /// Keys that may give orders to the running server, sorted.
    pub operators: Vec<PublicKey>,
    /// Whom the three user roles serve.
    pub users: Users,
    /// How much is kept for a user for whom the operator said nothing else.
    pub quotas: Quotas,
    /// Whether anyone may read the public records of an inbox.
    pub inbox_public: bool,
    /// Which records of an inbox wait for the operator's word.
    pub inbox_moderation: InboxModeration,
    /// Which applications the application role serves.
    pub applications: Applications,
    /// Who may submit to the application role.
    pub application_submitters: Submitters,
    /// Who may leave BLOBs here, who may fetch them, and how large they may be.
    pub blobs: Blobs,
    /// Who tests the server's reachability, and what is known of it.
    pub reachability: Reachability,
    /// Bounds that depend on the machine.
    pub limits: Limits,
    /// What a peer may use in a time.
    pub rates: Rates,
    /// Free bytes on the disk under which submissions are turned away.
    pub free_space_floor_bytes: u64,
    /// What the trace says, and how.
    pub trace: Trace,
    /// Every value as the sources wrote it, defaults filled in.
    pub(super) written: Table,
    /// What it was read from.
    pub(super) origin: Origin,
}

/// For whom the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For the world: roles open as reachability allows.
    Public,
    /// `--dev`: loopback only, every role open for this machine.
    Dev,
}

/// Whom the three user roles serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// Master keys that are always served, sorted.
    pub listed: Vec<PublicKey>,
    /// Who may become a user beside them.
    pub joining: Joining,
    /// Most users that may register themselves by connecting, where that is open.
    pub open_max: usize,
}

/// Who may become a user beside those whom the operator lists or adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Nobody.
    Closed,
    /// Whoever has an invitation.
    Invite,
    /// Whoever connects with a key.
    Open,
}

/// How much is kept for one user; 0 sets no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Records that they published.
    pub records: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Records that others left for them.
    pub delivered_records: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
}

/// Which records of the inbox wait for the operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxModeration {
    /// None.
    Off,
    /// Those of strangers.
    HoldStrangers,
    /// All.
    HoldAll,
}

/// Which applications the application role serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applications {
    /// All of them.
    Any,
    /// Application IDs, each with one kind of it or (`None`) all its kinds.
    Listed(Vec<(u32, Option<u16>)>),
}

/// Who may submit to the application role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitters {
    /// Anyone, anonymous clients included.
    Anyone,
    /// Anyone who shows a key.
    Authenticated,
    /// These master keys, sorted.
    Listed(Vec<PublicKey>),
}

/// Bounds that depend on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time, all listeners together.
    pub connections: usize,
    /// Records that one query delivers at most.
    pub query_results: u32,
    /// Records that one query may look at without delivering them.
    pub query_scan: u32,
    /// Whether a filter without a narrow element is refused.
    pub refuse_wide_filters: bool,
    /// Threads of the network.
    pub network_threads: usize,
    /// Threads that check signatures.
    pub verify_threads: usize,
}

/// What the trace says, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What is written, as directives of `tracing_subscriber::EnvFilter`.
    pub directives: String,
    /// Text or JSON.
    pub format: TraceFormat,
}

/// Form of a line of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
