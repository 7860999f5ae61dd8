//! A server without a store: `mosaicd witness`, and `mosaicd check` where no server runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::admission::admission;
use super::error::{EndError, ServerError, Step};
use super::info::{self, SPEC};
use super::key::check_key;
use super::reachability::{LastRun, Reach, timing};
use crate::base::{Role, RoleSet, limits};
use crate::config::Reachability;
use crate::identity::Identity;
use crate::net::{Arrival, Control, InfoSource, Listener, NetError, Services, Socket};
use crate::policy::{
    AppRules, AppSubmit, Apps, BlobRules, Gate, LiveRules, Moderation, RateRules, Rules, Served,
};
use crate::reach::endpoint;
use crate::reach::runner::Monitor;
use crate::session::Settings;
use crate::wire::{
    InfoLimits, InfoReply, ProbeTransport, PublicKey, Registration, RoleCondition, RoleReport,
    SecretKey, StreamRole, Timestamp,
};

/// What a server without a store is made of.
pub(super) struct Setup {
    /// Its key.
    pub(super) key: SecretKey,
    /// Where it listens, and what it speaks there.
    pub(super) sockets: Vec<(SocketAddr, ProbeTransport)>,
    /// Whom it works with.
    pub(super) reachability: Reachability,
    /// What INFO calls it.
    pub(super) name: String,
    /// Whether it tests its own reachability, and then the data folder of the server that it stands
    /// in for.
    pub(super) watches: Option<PathBuf>,
}

/// A server that serves no role: it is greeted, tells of itself, and dials others back. Dropping it
/// ends it at once.
pub(super) struct Storeless {
    addresses: Vec<SocketAddr>,
    control: Control,
    monitor: Option<Monitor>,
    network: JoinHandle<Result<(), NetError>>,
    _tasks: JoinSet<()>,
}

impl Storeless {
    /// Listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError`]; then nothing is left running.
    pub(super) fn start(setup: Setup) -> Result<Self, ServerError> {
        let Setup {
            key,
            sockets,
            reachability,
            name,
            watches,
        } = setup;
        let addresses: Vec<SocketAddr> = sockets.iter().map(|(address, _)| *address).collect();
        check_key(&key, &addresses)?;
        let settings = settings();
        let bound: Vec<Socket> = sockets
            .iter()
            .map(|(address, transport)| Socket {
                address: *address,
                transport: *transport,
                settings: Arc::clone(&settings),
                local_settings: None,
            })
            .collect();
        let is_watching = watches.is_some();
        let last_run = watches
            .filter(|data_dir| data_dir.is_dir())
            .map(|data_dir| LastRun::of(&data_dir, timing(&reachability)));
        let ago = last_run.as_ref().and_then(LastRun::ago);
        let (reach, dialing) = Reach::new(key.clone(), &reachability, ago);
        let reach = Arc::new(reach);
        let info = NoRoles {
            name,
            key: key.public(),
            started: Timestamp::now(),
        };
        let services = Services {
            records: None,
            info: Arc::new(info),
            probing: Arc::clone(&reach) as Arc<_>,
            admission: admission(RateRules::default()),
            connections_max: limits::STORELESS_CONNECTIONS_MAX,
            operator: None,
        };
        let listener = Listener::bind(&bound, &Identity::new(key.clone()), services)?;
        let addresses: Vec<SocketAddr> = listener.addresses().collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(dialing.run());
        if let Some(last_run) = last_run {
            tasks.spawn(last_run.keep());
        }
        let monitor = is_watching.then(|| {
            let transports = sockets.iter().map(|(_, transport)| *transport);
            let listeners = endpoint::listeners(addresses.iter().copied().zip(transports));
            let turn = |turn| tracing::debug!(?turn, "reachability");
            let (runner, monitor) = reach.watch(key, &reachability, listeners, turn);
            tasks.spawn(runner.run());
            monitor
        });
        Ok(Self {
            addresses,
            control: listener.control(),
            monitor,
            network: tokio::spawn(listener.run()),
            _tasks: tasks,
        })
    }

    /// The bound addresses, with the ports that the system chose.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The test of its own reachability, where it was asked for.
    pub(super) const fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    /// Waits until the network fails.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ended(&mut self) -> Result<(), EndError> {
        match (&mut self.network).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EndError::Network(Arc::new(error))),
            Err(_) => Err(EndError::Panicked(Step::Network)),
        }
    }

    /// Tells the peers that it goes down, and waits for them for a while.
    pub(super) async fn shutdown(mut self, within: Duration) {
        self.control.shutdown();
        if timeout(within, self.ended()).await.is_err() {
            tracing::debug!("peers were left behind");
        }
    }
}

impl Drop for Storeless {
    fn drop(&mut self) {
        self.network.abort();
    }
}

/// Nothing is configured, so nothing is served.
fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        gate: Arc::new(Gate::closed(RoleSet::EMPTY, "", Timestamp::now())),
        rules: Arc::new(LiveRules::new(Rules {
            served: Arc::new(Nobody),
            inbox_public: false,
            moderation: Moderation::Off,
            applications: AppRules {
                apps: Apps::List(Vec::new()),
                submit: AppSubmit::Authenticated,
            },
            blobs: BlobRules::OFF,
        })),
        refuse_wide_filters: true,
    })
}

/// What a server without roles says of itself.
struct NoRoles {
    name: String,
    key: PublicKey,
    started: Timestamp,
}

impl InfoSource for NoRoles {
    fn info(&self, arrival: &Arrival) -> InfoReply {
        let off = |role: Role| {
            let report = RoleReport {
                state: RoleCondition::Off,
                why: None,
                since: self.started,
            };
            (StreamRole::from(role), report)
        };
        InfoReply {
            name: self.name.clone(),
            software: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            spec: SPEC.to_owned(),
            key: self.key,
            description: None,
            contact: None,
            terms: None,
            endpoints: Vec::new(),
            roles: Role::ALL.into_iter().map(off).collect(),
            applications: Vec::new(),
            limits: InfoLimits {
                record_bytes: 0,
                blob_bytes: 0,
                filter_bytes: 0,
                query_results: 0,
                subscriptions_per_stream: 0,
                streams: info::streams(arrival.peer),
                submissions_per_second: 0,
                retention_seconds: None,
            },
            registration: Registration::Closed,
            probes: true,
            now: Timestamp::now(),
            you: None,
            refused: None,
        }
    }
}

/// No user is served.
struct Nobody;

impl Served for Nobody {
    fn contains(&self, _: &PublicKey) -> bool {
        false
    }
}
