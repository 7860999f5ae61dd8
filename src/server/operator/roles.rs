//! Roles that the operator closed by hand: in the store, and at every gate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Network, setting};
use crate::admin::{Order, Refused, RoleLine, Roles};
use crate::base::Role;
use crate::policy::{Closing, Gate};
use crate::server::ledger::Ledger;
use crate::server::reachability::GatedListener;
use crate::store::{Store, StoreError};
use crate::wire::Timestamp;

/// Every gate of the server.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Gates(pub(in crate::server) Vec<Arc<Gate>>);

impl Gates {
    /// Closes those roles at every gate, and lifts every other closing.
    pub(in crate::server) fn set_closed(&self, closings: &[Closing]) {
        for gate in &self.0 {
            gate.set_closed(closings);
        }
    }

    fn is_configured(&self, role: Role) -> bool {
        self.0.iter().any(|gate| gate.configured().contains(role))
    }
}

/// Closes roles by hand.
pub(super) struct RoleDesk {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) gates: Gates,
    pub(super) network: Arc<Network>,
    /// Held while a setting is read and changed.
    pub(super) turn: Arc<Mutex<()>>,
}

/// How the closings are kept: by the names of the roles.
type Saved = BTreeMap<String, SavedClosing>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedClosing {
    /// Nanoseconds.
    since: u64,
    why: String,
}

/// The roles that were closed by hand when the server ran last.
pub(super) fn load(store: &Store) -> Result<Vec<Closing>, StoreError> {
    let saved: Saved = setting::load(store, SETTING)?;
    Ok(closings(&saved))
}

impl RoleDesk {
    fn change(
        &self,
        order: &Order,
        change: impl FnOnce(&mut Saved) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = setting::load(&self.store, SETTING);
        let mut saved: Saved = loaded.map_err(|error| Refused::failed(&error))?;
        change(&mut saved)?;
        let state = setting::change(SETTING, &saved)?;
        self.ledger.state(order, vec![state])?;
        self.gates.set_closed(&closings(&saved));
        self.network.gate_moved();
        Ok(())
    }
}

impl Roles for RoleDesk {
    fn list(&self) -> Vec<RoleLine> {
        let listeners = self.network.listeners().iter();
        listeners.flat_map(GatedListener::role_lines).collect()
    }

    fn close(&self, order: &Order, role: Role, why: &str) -> Result<(), Refused> {
        if !self.gates.is_configured(role) {
            let why = format!("the role {role} is not configured");
            return Err(Refused::invalid(&why));
        }
        let closing = SavedClosing {
            since: Timestamp::now().nanos(),
            why: why.to_owned(),
        };
        self.change(order, |saved| {
            saved.insert(role.name().to_owned(), closing);
            Ok(())
        })
    }

    fn open(&self, order: &Order, role: Role) -> Result<(), Refused> {
        self.change(order, |saved| match saved.remove(role.name()) {
            Some(_) => Ok(()),
            None => {
                let why = format!("no operator has closed the role {role}");
                Err(Refused::not_found(&why))
            }
        })
    }
}

/// What is not the name of a role is passed over.
fn closings(saved: &Saved) -> Vec<Closing> {
    let closing = |(name, closing): (&String, &SavedClosing)| {
        let why = if closing.why.is_empty() {
            BY_HAND.to_owned()
        } else {
            format!("{BY_HAND}: {}", closing.why)
        };
        Some(Closing {
            role: Role::from_name(name)?,
            since: Timestamp::from_nanos(closing.since).unwrap_or(Timestamp::MIN),
            why: why.into(),
        })
    };
    saved.iter().filter_map(closing).collect()
}

const BY_HAND: &str = "CLOSED by the operator";

const SETTING: &str = "roles.closed";
