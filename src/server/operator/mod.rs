//! Who the operators are, and how their calls reach the parts of the server.
//!
//! Every change is an act of the store: what it changes and its line in the audit trail are written
//! at once. Only then is it put in force, so that nothing is in force that a restart would lose.

mod bans;
mod blobs;
mod held;
mod limits;
mod records;
mod roles;
mod running;
mod setting;
mod users;

use std::sync::{Arc, Mutex, OnceLock};

use self::bans::BanDesk;
use self::blobs::BlobDesk;
use self::held::HeldDesk;
use self::limits::LimitDesk;
pub(super) use self::limits::RateSettings;
use self::records::RecordDesk;
pub(super) use self::roles::Gates;
use self::roles::RoleDesk;
use self::running::{ReloadDesk, StatusDesk, TraceDesk};
use self::users::UserCalls;
use super::judge::Submission;
use super::ledger::Ledger;
use super::live::Live;
use super::moderation::Acquaintances;
use super::reachability::GatedListener;
use super::shutdown::Desks;
use crate::admin::{Admin, Answer, Parts};
use crate::identity::Directory;
use crate::net::{self, Control, Part};
use crate::policy;
use crate::store::{Store, StoreError, Writer};
use crate::wire::{AdminCall, PublicKey, Timestamp};

/// Takes the orders of the operators that the configuration names.
pub(super) struct Operators {
    live: Arc<Live>,
    admin: Admin,
    network: Arc<Network>,
}

/// What calls are carried out with.
pub(super) struct Tools {
    pub(super) key: PublicKey,
    pub(super) started: Timestamp,
    pub(super) store: Store,
    pub(super) writer: Writer<Submission>,
    pub(super) directory: Arc<Directory>,
    pub(super) acquaintances: Arc<Acquaintances>,
    pub(super) bans: Arc<policy::Bans>,
    pub(super) rates: Arc<policy::Rates>,
    /// Every gate of the server, those of connections from next door among them.
    pub(super) gates: Gates,
    pub(super) desks: Desks,
}

/// Puts in force what operators set when the server ran before: bans, and roles closed by hand.
/// Returns the limits they set.
///
/// # Errors
/// [`StoreError`]: it cannot be read.
pub(super) fn restore(
    store: &Store,
    bans: &policy::Bans,
    gates: &Gates,
) -> Result<RateSettings, StoreError> {
    bans::load(store, bans)?;
    gates.set_closed(&roles::load(store)?);
    limits::load(store)
}

/// The network, which is there once the sockets are bound; that is before the first connection.
#[derive(Default)]
struct Network {
    bound: OnceLock<Bound>,
}

struct Bound {
    control: Control,
    listeners: Vec<GatedListener>,
}

impl Network {
    /// Tells every stream that a gate moved.
    fn gate_moved(&self) {
        if let Some(bound) = self.bound.get() {
            bound.control.gate_moved();
        }
    }

    /// Ends the connections of those who are banned now.
    fn enforce_bans(&self) {
        if let Some(bound) = self.bound.get() {
            bound.control.enforce_bans();
        }
    }

    fn listeners(&self) -> &[GatedListener] {
        self.bound.get().map_or(&[], |bound| &bound.listeners)
    }
}

impl Operators {
    pub(super) fn new(tools: Tools) -> Self {
        let network = Arc::new(Network::default());
        Self {
            live: Arc::clone(&tools.desks.live),
            admin: Admin::new(parts(tools, &network)),
            network,
        }
    }

    /// Takes note of the bound sockets.
    pub(super) fn bound(&self, control: Control, listeners: Vec<GatedListener>) {
        let bound = &self.network.bound;
        bound.get_or_init(|| Bound { control, listeners });
    }
}

/// Who carries out which calls.
fn parts(tools: Tools, network: &Arc<Network>) -> Parts {
    let Tools {
        key,
        started,
        store,
        writer,
        directory,
        acquaintances,
        bans,
        rates,
        gates,
        desks,
    } = tools;
    let live = desks.live;
    let ledger = Ledger { writer };
    let turn = Arc::new(Mutex::new(()));
    let records = Arc::new(RecordDesk {
        ledger: ledger.clone(),
        store: store.clone(),
        directory,
    });
    let user_calls = Arc::new(UserCalls { desk: desks.users });
    Parts {
        users: Some(Arc::clone(&user_calls) as Arc<_>),
        invitations: Some(user_calls),
        bans: Some(Arc::new(BanDesk {
            ledger: ledger.clone(),
            store: store.clone(),
            bans,
            live: Arc::clone(&live),
            network: Arc::clone(network),
            turn: Arc::clone(&turn),
        })),
        held: Some(Arc::new(HeldDesk {
            ledger: ledger.clone(),
            store: store.clone(),
            acquaintances,
        })),
        records: Some(Arc::clone(&records) as Arc<_>),
        blobs: Some(Arc::new(BlobDesk {
            ledger: ledger.clone(),
            store: store.clone(),
        })),
        limits: Some(Arc::new(LimitDesk {
            ledger: ledger.clone(),
            store: store.clone(),
            live: Arc::clone(&live),
            turn: Arc::clone(&turn),
        })),
        roles: Some(Arc::new(RoleDesk {
            ledger: ledger.clone(),
            store: store.clone(),
            gates,
            network: Arc::clone(network),
            turn,
        })),
        audit: Some(records),
        ..of_process(
            ledger,
            live,
            StatusDesk {
                key,
                started,
                store,
                rates,
            },
        )
    }
}

/// Who carries out the calls about the process itself.
fn of_process(ledger: Ledger, live: Arc<Live>, status: StatusDesk) -> Parts {
    Parts {
        reload: Some(Arc::new(ReloadDesk {
            ledger: ledger.clone(),
            live: Arc::clone(&live),
        })),
        log_level: Some(Arc::new(TraceDesk { ledger, live })),
        status: Some(Arc::new(status)),
        ..Parts::default()
    }
}

impl net::Operator for Operators {
    fn operator(&self, key: &PublicKey, master: &PublicKey) -> Option<PublicKey> {
        let config = self.live.now();
        let is_operator = |key: &&PublicKey| config.operators.contains(*key);
        [master, key].into_iter().find(is_operator).copied()
    }

    fn call(&self, by: PublicKey, call: &AdminCall, from: Option<&[u8]>) -> Part {
        let Answer { reply, next } = self.admin.call(by, call, from);
        Part { reply, next }
    }
}
