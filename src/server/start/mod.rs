//! Building every part of a server, in the order in which they depend on each other.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use super::admission::{admission, rate_rules};
use super::data;
use super::error::{EndError, ReloadError, ServerError};
use super::files;
use super::info::Info;
use super::ingest::{Pipeline, ToWriter};
use super::judge::{RoleJudge, Submission};
use super::key;
use super::ledger::Ledger;
use super::live::{self, Live, Reloaded};
use super::moderation::Acquaintances;
use super::operator::{self, Gates, Operators, Tools};
use super::reachability::{
    ControlSocket, GatedListener, Gatekeeper, LastRun, Reach, StatusSource, timing,
};
use super::schedule_source::StoreSchedules;
use super::shutdown::{Desks, Order, Parts};
use super::users::{Newcomers, Registrar, ServedBy, UserDesk, UserRegistry, UserRules};
use crate::base::RoleSet;
use crate::config::{Applications, BlobCircle, Blobs, Config, InboxModeration, Mode, Submitters};
use crate::fanout::Fanout;
use crate::identity::{Directory, Identity};
use crate::net::{Admission, Control, Listener, Probing, Records, Services, Socket};
use crate::policy::{
    AppRules, AppSubmit, Apps, BlobAccess, BlobRules, Gate, LiveRules, Moderation, Rules,
};
use crate::reach::endpoint;
use crate::session::Settings;
use crate::store::{Store, StoreError, StoreOptions, Writer};
use crate::verify::Stage;
use crate::wire::{ProbeTransport, PublicKey, SecretKey, Timestamp};

/// A running server. Dropping it without [`shutdown`](Self::shutdown) leaves it running until its
/// runtime ends.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    /// What is spoken at each of them.
    transports: Vec<ProbeTransport>,
    key: PublicKey,
    open_roles: RoleSet,
    live: Weak<Live>,
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
        key::check_key(&key, &config.listen_tcp)?;
        let identity = Identity::new(key.clone());
        let public = identity.public();
        let config = Arc::new(config);
        let core = {
            let config = Arc::clone(&config);
            let built = spawn_blocking(move || Core::build(config, public));
            built.await.map_err(|_| ServerError::Panicked)??
        };
        let last_run = LastRun::of(&config.data_dir, timing(&config.reachability));
        let (reach, dialing) = Reach::new(key.clone(), &config.reachability, last_run.ago());
        let reach = Arc::new(reach);
        let services = core.services(Arc::clone(&reach) as Arc<_>);
        let listener = Listener::bind(&core.sockets(), &identity, services)?;
        let addresses: Vec<SocketAddr> = listener.addresses().collect();
        let listeners = core.gated(&addresses);
        core.info.bound(listeners.iter().map(GatedListener::place));
        core.operators.bound(listener.control(), listeners.clone());
        let open_roles = core.open_roles();
        trace_start(&config, &public, &addresses, open_roles);
        let mut side_tasks = JoinSet::new();
        side_tasks.spawn(dialing.run());
        side_tasks.spawn(last_run.keep());
        let watched = Watched {
            config: &config,
            key,
            reach: &reach,
            listeners,
            control: listener.control(),
            info: Arc::clone(&core.info),
        };
        watched.start(&mut side_tasks);

        let (order, orders) = watch::channel(None);
        let (ended, end) = watch::channel(None);
        let desks = core.desks;
        let live = Arc::downgrade(&desks.live);
        let parts = Parts {
            listener,
            side_tasks,
            newcomers: core.newcomers,
            stage: core.stage,
            desks,
            writer: core.writer,
            store: core.store,
        };
        let timeout = config.shutdown_timeout;
        let supervisor = tokio::spawn(parts.supervise(orders, ended, timeout));
        Ok(Self {
            addresses,
            transports: sockets(&config).map(|(_, transport)| transport).collect(),
            key: public,
            open_roles,
            live,
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

    /// What is spoken at each of [`local_addrs`](Self::local_addrs).
    #[must_use]
    pub fn transports(&self) -> &[ProbeTransport] {
        &self.transports
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

    /// Reads the configuration again, from where it came from, and puts it in force: all of it, or
    /// nothing. No connection and no request is disturbed; each goes on by the new values.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop a reload that has begun.
    ///
    /// # Errors
    /// [`ReloadError`]; everything is as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let live = self.live.upgrade().ok_or(ReloadError::Ended)?;
        let reloaded = spawn_blocking(move || live.reload());
        Ok(reloaded.await.map_err(|_| ReloadError::Panicked)??)
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

/// What the self-check and the operator's questions about it are about.
struct Watched<'a> {
    config: &'a Config,
    key: SecretKey,
    reach: &'a Arc<Reach>,
    listeners: Vec<GatedListener>,
    control: Control,
    info: Arc<Info>,
}

impl Watched<'_> {
    /// Starts the self-check, but not in development mode, and opens the control socket.
    fn start(self, tasks: &mut JoinSet<()>) {
        let public = self.key.public();
        let monitor = match self.config.mode {
            Mode::Dev => None,
            Mode::Public => {
                let sockets = self.listeners.iter();
                let sockets = sockets.map(|listener| (listener.bound, listener.transport));
                let tested = endpoint::listeners(sockets);
                let gatekeeper = Gatekeeper::new(self.listeners.clone(), self.control, self.info);
                let turn = move |turn| gatekeeper.turn(turn);
                let settings = &self.config.reachability;
                let (runner, monitor) = self.reach.watch(self.key, settings, tested, turn);
                tasks.spawn(runner.run());
                Some(monitor)
            }
        };
        let source = StatusSource {
            key: public,
            mode: self.config.mode,
            listeners: self.listeners,
            monitor,
            service: self.reach.service(),
            timing: timing(&self.config.reachability),
        };
        match ControlSocket::bind(&self.config.data_dir) {
            Ok(socket) => {
                tasks.spawn(socket.run(Arc::new(source)));
            }
            // The server is of use without it.
            Err(error) => tracing::warn!(%error, "no control socket: `mosaicd status` cannot ask"),
        }
    }
}

/// The parts behind the network.
struct Core {
    config: Arc<Config>,
    store: Store,
    fanout: Fanout,
    directory: Arc<Directory>,
    /// One for each address, in the order of the configuration.
    gates: Vec<Arc<Gate>>,
    /// The gate of those whom Tor may have brought.
    brought: Arc<Gate>,
    operators: Arc<Operators>,
    info: Arc<Info>,
    admission: Admission,
    writer: Writer<Submission>,
    stage: Arc<Stage<Submission>>,
    newcomers: Arc<Newcomers>,
    desks: Desks,
}

impl Core {
    /// Blocks on the disk.
    fn build(config: Arc<Config>, key: PublicKey) -> Result<Self, ServerError> {
        let store = open_store(&config)?;
        let fanout = Fanout::new(store.tail());
        let directory = Arc::new(Directory::new(Arc::new(StoreSchedules::new(store.clone()))));
        let registry = Arc::new(registry(&config, &store)?);
        let acquaintances = Arc::new(Acquaintances::new(store.clone()));
        let rules = Arc::new(LiveRules::new(rules(&config, Arc::clone(&registry))));
        let now = Timestamp::now();
        let (gates, brought, all_gates) = gates(&config, now);
        let judge = RoleJudge {
            rules: Arc::clone(&rules),
            directory: Arc::clone(&directory),
            users: Arc::clone(&registry),
            acquaintances: Arc::clone(&acquaintances),
            fanout: fanout.clone(),
        };
        let writer = Writer::spawn(store.clone(), judge).map_err(ServerError::Writer)?;
        let admission = admission(rate_rules(&config.rates));
        let rates = Arc::clone(&admission.rates);
        let registrar = Arc::new(Registrar::new(&registry, &directory, &writer, &rates));
        let stage = stage(&config, writer.clone(), Arc::clone(&registrar))?;
        let limits = operator::restore(&store, &admission.bans, &all_gates);
        let live = Arc::new(Live::new(live::Sources {
            config: Arc::clone(&config),
            rules,
            users: Arc::clone(&registry),
            store: store.clone(),
            rates: Arc::clone(&rates),
            limits: limits.map_err(|source| unreadable(&config, source))?,
        }));
        let ledger = Ledger {
            writer: writer.clone(),
        };
        let users = UserDesk::new(registry, store.clone(), ledger);
        let desks = Desks {
            users: Arc::new(users),
            live,
        };
        let newcomers = Newcomers::spawn(registrar, Arc::clone(&desks.users));
        let operators = Operators::new(Tools {
            key,
            started: now,
            store: store.clone(),
            writer: writer.clone(),
            directory: Arc::clone(&directory),
            acquaintances,
            bans: Arc::clone(&admission.bans),
            rates: Arc::clone(&rates),
            gates: all_gates,
            desks: desks.clone(),
        });
        let info = Info::new(&desks, key, rates, now);
        Ok(Self {
            config,
            store,
            fanout,
            directory,
            gates,
            brought,
            operators: Arc::new(operators),
            info: Arc::new(info),
            admission,
            writer,
            stage: Arc::new(stage),
            newcomers: Arc::new(newcomers.map_err(ServerError::Thread)?),
            desks,
        })
    }

    /// What is listened on, each with its own gate.
    fn sockets(&self) -> Vec<Socket> {
        let sockets = sockets(&self.config).zip(&self.gates);
        let sockets = sockets.map(|((address, transport), gate)| Socket {
            address,
            transport,
            settings: self.settings(Arc::clone(gate)),
            local_settings: self.local_settings(transport),
        });
        sockets.collect()
    }

    fn settings(&self, gate: Arc<Gate>) -> Arc<Settings> {
        Arc::new(Settings {
            gate,
            rules: Arc::clone(&self.desks.live.rules),
            refuse_wide_filters: self.config.limits.refuse_wide_filters,
        })
    }

    /// What is served to those whom a program of this machine, or one next door, may have brought
    /// over TCP: Tor brings the visitors of an onion service so, and to them applications alone
    /// are served, whatever the socket's addresses are. QUIC does not pass through Tor, and a
    /// development server has no visitors.
    fn local_settings(&self, transport: ProbeTransport) -> Option<Arc<Settings>> {
        match (self.config.mode, transport) {
            (Mode::Public, ProbeTransport::Tcp) => Some(self.settings(Arc::clone(&self.brought))),
            (Mode::Dev, _) | (_, ProbeTransport::Quic) => None,
        }
    }

    /// The bound sockets with their gates.
    fn gated(&self, addresses: &[SocketAddr]) -> Vec<GatedListener> {
        let sockets = sockets(&self.config).zip(&self.gates).zip(addresses);
        let gated = sockets.map(|(((_, transport), gate), bound)| GatedListener {
            bound: *bound,
            transport,
            gate: Arc::clone(gate),
        });
        gated.collect()
    }

    /// The roles that are open on any address.
    fn open_roles(&self) -> RoleSet {
        let open = self.gates.iter().map(|gate| gate.open());
        open.fold(RoleSet::EMPTY, RoleSet::union)
    }

    /// Over QUIC all connections share the files of the sockets.
    fn connections_max(&self) -> usize {
        let configured = self.config.limits.connections;
        let files_max = files::raise_limit();
        if self.config.listen_tcp.is_empty() {
            configured
        } else {
            files::connections_max(configured, files_max)
        }
    }

    /// What the network uses of them.
    fn services(&self, probing: Arc<dyn Probing>) -> Services {
        Services {
            records: Some(Records {
                store: self.store.clone(),
                fanout: self.fanout.clone(),
                directory: Arc::clone(&self.directory),
                ingest: Arc::new(Pipeline {
                    stage: Arc::clone(&self.stage),
                }),
                newcomers: Arc::clone(&self.newcomers) as Arc<_>,
                blobs: self.writer.blobs(),
                query_results_max: self.config.limits.query_results,
                query_scan_max: self.config.limits.query_scan,
            }),
            info: Arc::clone(&self.info) as Arc<_>,
            probing,
            admission: self.admission.clone(),
            connections_max: self.connections_max(),
            operator: Some(Arc::clone(&self.operators) as Arc<_>),
        }
    }
}

/// The addresses of the configuration, and what is spoken there: first QUIC, then TCP.
fn sockets(config: &Config) -> impl Iterator<Item = (SocketAddr, ProbeTransport)> {
    let quic = config.listen.iter();
    let quic = quic.map(|address| (*address, ProbeTransport::Quic));
    let tcp = config.listen_tcp.iter();
    quic.chain(tcp.map(|address| (*address, ProbeTransport::Tcp)))
}

/// The gate of each socket, that of those whom Tor may have brought, and all of them.
fn gates(config: &Config, now: Timestamp) -> (Vec<Arc<Gate>>, Arc<Gate>, Gates) {
    let gates = sockets(config).map(|_| Arc::new(gate(config, now)));
    let gates: Vec<_> = gates.collect();
    let brought = Arc::new(Gate::closed(config.roles, BROUGHT, now));
    let all = gates.iter().chain([&brought]).cloned().collect();
    (gates, brought, Gates(all))
}

fn open_store(config: &Config) -> Result<Store, ServerError> {
    data::make_private_folder(&config.data_dir)?;
    let path = data::store_folder(&config.data_dir);
    let users_max = config.users.open_max;
    let options = StoreOptions {
        free_space_floor_bytes: config.free_space_floor_bytes,
        users_max: u64::try_from(users_max).unwrap_or(u64::MAX),
        ..StoreOptions::default()
    };
    Store::open(&path, options).map_err(|source| ServerError::Store { path, source })
}

/// The threads that verify, which hand on to the writer.
fn stage(
    config: &Config,
    writer: Writer<Submission>,
    registrar: Arc<Registrar>,
) -> Result<Stage<Submission>, ServerError> {
    let to_writer = ToWriter { writer, registrar };
    let sink = move |checked| to_writer.hand_on(checked);
    Stage::spawn(config.limits.verify_threads, sink).map_err(ServerError::Thread)
}

fn registry(config: &Config, store: &Store) -> Result<UserRegistry, ServerError> {
    let registry = UserRegistry::load(store, UserRules::of(config));
    registry.map_err(|source| unreadable(config, source))
}

fn unreadable(config: &Config, source: StoreError) -> ServerError {
    ServerError::Store {
        path: data::store_folder(&config.data_dir),
        source,
    }
}

/// What the configuration says of the roles.
pub(super) fn rules(config: &Config, registry: Arc<UserRegistry>) -> Rules {
    Rules {
        served: Arc::new(ServedBy {
            registry,
            rules: UserRules::of(config),
        }),
        inbox_public: config.inbox_public,
        moderation: match config.inbox_moderation {
            InboxModeration::Off => Moderation::Off,
            InboxModeration::HoldStrangers => Moderation::HoldStrangers,
            InboxModeration::HoldAll => Moderation::HoldAll,
        },
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
        blobs: blob_rules(&config.blobs),
    }
}

fn blob_rules(blobs: &Blobs) -> BlobRules {
    let access = |circle| match circle {
        BlobCircle::Users => BlobAccess::Users,
        BlobCircle::Authenticated => BlobAccess::Authenticated,
        BlobCircle::Anyone => BlobAccess::Anyone,
    };
    BlobRules {
        enabled: blobs.enabled,
        submit: access(blobs.submit),
        read: access(blobs.read),
        bytes_max: blobs.bytes_max,
        user_bytes: blobs.user_bytes,
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

fn trace_start(config: &Config, key: &PublicKey, addresses: &[SocketAddr], open: RoleSet) {
    let mode = match config.mode {
        Mode::Dev => "DEV",
        Mode::Public => "public",
    };
    let key = key.to_server_string();
    tracing::info!(mode, %key, ?addresses, %open, "listening");
    let shut = config.roles.iter().filter(|role| !open.contains(*role));
    for role in shut {
        tracing::warn!(%role, why = NO_VERDICT, "role is closed");
    }
}

/// Why the three public roles are shut at first. Their records stay, and nothing of them is shown.
const NO_VERDICT: &str =
    "UNKNOWN: it is being tested whether this address is reached from the Internet";

/// Why they are shut to whoever may have been brought by Tor.
const BROUGHT: &str = "ONION: over TCP from this machine or its network may come the visitors of an \
     onion service, to whom applications alone are served";

#[cfg(test)]
mod tests;
