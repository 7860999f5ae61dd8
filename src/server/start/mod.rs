//! Building every part of a server, in the order in which they depend on each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::data;
use super::error::{EndError, ServerError};
use super::info::Info;
use super::ingest::{Pipeline, ToWriter};
use super::judge::{RoleJudge, Submission};
use super::key;
use super::registrar::{Arrivals, Registrar};
use super::schedule_source::StoreSchedules;
use super::served::ServedUsers;
use super::shutdown::{Order, Parts};
use crate::base::RoleSet;
use crate::config::{Applications, Config, Mode, Submitters};
use crate::fanout::Fanout;
use crate::identity::{Directory, Identity};
use crate::net::{Listener, Services};
use crate::policy::{AppRules, AppSubmit, Apps, Gate, Rules};
use crate::session::Settings;
use crate::store::{Store, StoreOptions, Writer};
use crate::verify::Stage;
use crate::wire::{PublicKey, SecretKey, Timestamp};

/// A running server. Dropping it without [`shutdown`](Self::shutdown) leaves it running until its
/// runtime ends.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    key: PublicKey,
    open_roles: RoleSet,
    order: watch::Sender<Option<Order>>,
    end: watch::Receiver<Option<Result<(), EndError>>>,
    #[expect(
        dead_code,
        reason = "the task's end is told through `end`, also after a panic"
    )]
    supervisor: JoinHandle<()>,
}

impl Server {
    /// Opens the store, starts every part and listens, as the master key `key`. When this returns
    /// the server takes connections.
    ///
    /// # Errors
    /// [`ServerError`]; then nothing is left running.
    pub async fn start(config: Config, key: SecretKey) -> Result<Self, ServerError> {
        key::check_key(&key, &config.listen)?;
        let identity = Identity::new(key);
        let crypto = identity.server_crypto()?;
        let endpoint = identity.endpoint_config();
        let public = identity.public();
        let config = Arc::new(config);
        let core = {
            let config = Arc::clone(&config);
            let built = spawn_blocking(move || Core::build(config, public));
            built.await.map_err(|_| ServerError::Panicked)??
        };
        let listener = Listener::bind(&config.listen, &endpoint, crypto, core.services())?;
        let addresses: Vec<SocketAddr> = listener.addresses().collect();
        core.info.bound(&addresses);
        let open_roles = core.gate.open();
        trace_start(&config, &public, &addresses, &core.gate);

        let (order, orders) = watch::channel(None);
        let (ended, end) = watch::channel(None);
        let parts = Parts {
            listener,
            arrivals: core.arrivals,
            stage: core.stage,
            writer: core.writer,
            store: core.store,
        };
        let timeout = config.shutdown_timeout;
        let supervisor = tokio::spawn(parts.supervise(orders, ended, timeout));
        Ok(Self {
            addresses,
            key: public,
            open_roles,
            order,
            end,
            supervisor,
        })
    }

    /// The bound addresses, in the order of the configuration, with the ports the system chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The server's master key.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.key
    }

    /// The roles that were open when the server started.
    #[must_use]
    pub const fn open_roles(&self) -> RoleSet {
        self.open_roles
    }

    /// Stops the server within `deadline` and returns when it has ended: new connections are
    /// refused, sessions answer what was submitted and say `SHUTTING_DOWN`, what was taken in is
    /// verified and written, the database is closed.
    ///
    /// A later call awaits the same end; the first one's deadline holds.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the order.
    ///
    /// # Errors
    /// [`EndError`]: a part failed or took too long. What was acknowledged is durable all the same.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), EndError> {
        self.order.send_if_modified(|order| {
            let is_first = order.is_none();
            order.get_or_insert_with(|| Order::within(deadline));
            is_first
        });
        self.ended().await
    }

    /// Waits until the server has ended, whatever the reason.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    pub async fn ended(&self) -> Result<(), EndError> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            // The supervisor is gone without a word.
            Err(_) => Err(EndError::Panicked(super::error::Step::Network)),
        }
    }
}

/// The parts behind the network.
struct Core {
    config: Arc<Config>,
    store: Store,
    fanout: Fanout,
    directory: Arc<Directory>,
    rules: Arc<Rules>,
    gate: Arc<Gate>,
    info: Arc<Info>,
    writer: Writer<Submission>,
    stage: Arc<Stage<Submission>>,
    arrivals: Arc<Arrivals>,
}

impl Core {
    /// Blocks on the disk.
    fn build(config: Arc<Config>, key: PublicKey) -> Result<Self, ServerError> {
        let store = open_store(&config)?;
        let fanout = Fanout::new(store.tail());
        let directory = Arc::new(Directory::new(Arc::new(StoreSchedules::new(store.clone()))));
        let users = Arc::new(ServedUsers::new(
            &config.users,
            registered(&config, &store)?,
        ));
        let rules = Arc::new(rules(&config, Arc::clone(&users)));
        let now = Timestamp::now();
        let gate = Arc::new(gate(&config, now));
        let judge = RoleJudge {
            rules: Arc::clone(&rules),
            gate: Arc::clone(&gate),
            directory: Arc::clone(&directory),
            fanout: fanout.clone(),
        };
        let writer = Writer::spawn(store.clone(), judge).map_err(ServerError::Writer)?;
        let registrar = Arc::new(Registrar {
            users: Arc::clone(&users),
            directory: Arc::clone(&directory),
            writer: writer.clone(),
        });
        let to_writer = ToWriter {
            writer: writer.clone(),
            registrar: Arc::clone(&registrar),
        };
        let sink = move |checked| to_writer.hand_on(checked);
        let stage =
            Stage::spawn(config.limits.verify_threads, sink).map_err(ServerError::Thread)?;
        let arrivals = Arrivals::spawn(registrar).map_err(ServerError::Thread)?;
        let info = Info::new(Arc::clone(&config), key, Arc::clone(&gate), users, now);
        Ok(Self {
            config,
            store,
            fanout,
            directory,
            rules,
            gate,
            info: Arc::new(info),
            writer,
            stage: Arc::new(stage),
            arrivals: Arc::new(arrivals),
        })
    }

    /// What the network uses of them.
    fn services(&self) -> Services {
        Services {
            store: self.store.clone(),
            fanout: self.fanout.clone(),
            directory: Arc::clone(&self.directory),
            ingest: Arc::new(Pipeline {
                stage: Arc::clone(&self.stage),
                arrivals: Arc::clone(&self.arrivals),
            }),
            info: Arc::clone(&self.info) as Arc<_>,
            session: Arc::new(Settings {
                gate: Arc::clone(&self.gate),
                rules: Arc::clone(&self.rules),
                refuse_wide_filters: false,
            }),
            query_results_max: self.config.limits.query_results,
            connections_max: self.config.limits.connections,
        }
    }
}

fn open_store(config: &Config) -> Result<Store, ServerError> {
    data::make_private_folder(&config.data_dir)?;
    let path = data::store_folder(&config.data_dir);
    let users_max = config.users.open_max.unwrap_or(0);
    let options = StoreOptions {
        free_space_floor_bytes: config.free_space_floor_bytes,
        users_max: u64::try_from(users_max).unwrap_or(u64::MAX),
        ..StoreOptions::default()
    };
    Store::open(&path, options).map_err(|source| ServerError::Store { path, source })
}

fn registered(config: &Config, store: &Store) -> Result<Vec<PublicKey>, ServerError> {
    store.users().map_err(|source| ServerError::Store {
        path: data::store_folder(&config.data_dir),
        source,
    })
}

fn rules(config: &Config, served: Arc<ServedUsers>) -> Rules {
    Rules {
        served,
        inbox_public: config.inbox_public,
        applications: AppRules {
            apps: match &config.applications {
                Applications::Any => Apps::Any,
                Applications::Listed(listed) => Apps::List(listed.clone()),
            },
            submit: match &config.application_submitters {
                Submitters::Anyone => AppSubmit::Anyone,
                Submitters::Authenticated => AppSubmit::Authenticated,
                Submitters::Listed(keys) => AppSubmit::Listed(keys.iter().copied().collect()),
            },
        },
    }
}

/// The gate at start: nothing is known of reachability, so nothing that needs it is open, except
/// to this machine alone.
fn gate(config: &Config, now: Timestamp) -> Gate {
    match config.mode {
        Mode::Dev => Gate::dev(config.roles, now),
        Mode::Public => Gate::closed(config.roles, NO_VERDICT, now),
    }
}

fn trace_start(config: &Config, key: &PublicKey, addresses: &[SocketAddr], gate: &Gate) {
    let mode = match config.mode {
        Mode::Dev => "DEV",
        Mode::Public => "public",
    };
    let key = key.to_server_string();
    tracing::info!(mode, %key, ?addresses, open = %gate.open(), "listening");
    let shut = config
        .roles
        .iter()
        .filter(|role| !gate.open().contains(*role));
    for role in shut {
        tracing::warn!(%role, why = NO_VERDICT, "role is closed");
    }
}

/// Why the three public roles are shut. Their records stay, and nothing of them is shown.
const NO_VERDICT: &str = "reachability verdict UNKNOWN: this version cannot test yet whether it is \
     reachable from the Internet";

#[cfg(test)]
mod tests;
