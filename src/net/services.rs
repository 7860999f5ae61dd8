//! What the rest of the server gives the network.

use std::fmt;
use std::sync::Arc;

use super::ingest::Ingest;
use super::newcomers::Newcomers;
use super::operating::Operator;
use super::probing::{Arrival, Probing};
use crate::fanout::Fanout;
use crate::identity::Directory;
use crate::session::{Bans, Rates};
use crate::store::{BlobWriter, Store};
use crate::wire::{InfoReply, PublicKey, UserReport};

/// Describes the server to a peer.
pub trait InfoSource: Send + Sync {
    /// What the peer that came in as `arrival` says is told, about the listener where it did.
    /// Called on an async worker, so it must not block.
    fn info(&self, arrival: &Arrival) -> InfoReply;

    /// What the peers that speak for that master are told of themselves, and nobody else. It may
    /// block: it is called where the store is read.
    fn of_user(&self, master: &PublicKey) -> Option<UserReport> {
        let _ = master;
        None
    }
}

/// What a listener's sessions use of the rest of the server.
#[derive(Clone)]
pub struct Services {
    /// What is needed to serve records. A witness has none: then no role may be configured on any
    /// socket, and reads and submissions are refused.
    pub records: Option<Records>,
    /// Who answers INFO.
    pub info: Arc<dyn InfoSource>,
    /// Who tests the reachability of others, and is told of what shows our own.
    pub probing: Arc<dyn Probing>,
    /// Who is kept out, and who may use how much.
    pub admission: Admission,
    /// Connections open at a time, all sockets together.
    pub connections_max: usize,
    /// Who takes the orders of operators; without one nobody is an operator.
    pub operator: Option<Arc<dyn Operator>>,
}

/// Who is kept out, and who may use how much.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Whom the operator banned.
    pub bans: Arc<Bans>,
    /// What everybody may use, and has used.
    pub rates: Arc<Rates>,
}

/// What is needed to serve records.
#[derive(Clone)]
pub struct Records {
    /// Where records are read.
    pub store: Store,
    /// Where subscriptions hear of new records.
    pub fanout: Fanout,
    /// Whom a peer's key speaks for.
    pub directory: Arc<Directory>,
    /// Where submissions go.
    pub ingest: Arc<dyn Ingest>,
    /// Who makes users of peers.
    pub newcomers: Arc<dyn Newcomers>,
    /// Where BLOBs are handed in; of the store in which they are found.
    pub blobs: BlobWriter,
    /// Records a request without a limit delivers before it is closed with `TOO_OPEN`.
    pub query_results_max: u32,
    /// Records a request may look at without delivering them before it is closed with `TOO_OPEN`.
    pub query_scan_max: u32,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("records", &self.records)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("query_results_max", &self.query_results_max)
            .field("query_scan_max", &self.query_scan_max)
            .finish_non_exhaustive()
    }
}
