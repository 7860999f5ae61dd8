//! What the rest of the server gives the network.

use std::fmt;
use std::sync::Arc;

use super::ingest::Ingest;
use crate::fanout::Fanout;
use crate::identity::{Directory, Peer};
use crate::session::Settings;
use crate::store::Store;
use crate::wire::InfoReply;

/// Describes the server to a peer.
pub trait InfoSource: Send + Sync {
    /// What `peer` is told. Called on an async worker, so it must not block.
    fn info(&self, peer: Peer) -> InfoReply;
}

/// What a listener's sessions use of the rest of the server.
#[derive(Clone)]
pub struct Services {
    /// Where records are read.
    pub store: Store,
    /// Where subscriptions hear of new records.
    pub fanout: Fanout,
    /// Whom a peer's key speaks for.
    pub directory: Arc<Directory>,
    /// Where submissions go.
    pub ingest: Arc<dyn Ingest>,
    /// Who answers INFO.
    pub info: Arc<dyn InfoSource>,
    /// The rules and the gate, and what HELLO grants.
    pub session: Arc<Settings>,
    /// Records a request without a limit delivers before it is closed with `TOO_OPEN`.
    pub query_results_max: u32,
    /// Connections open at a time, all addresses together.
    pub connections_max: usize,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("query_results_max", &self.query_results_max)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}
