//! Limits that the operator set: they go before the configuration until they are reset.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::setting;
use crate::admin::{LimitLine, Limits, Order, Refused};
use crate::config::Rates;
use crate::server::ledger::Ledger;
use crate::server::live::Live;
use crate::store::{Store, StoreError};

/// Values that go before those of the configuration, by the names of [`Rates::NAMES`].
pub(in crate::server) type RateSettings = BTreeMap<String, u64>;

/// The limits that were set when the server ran last.
pub(super) fn load(store: &Store) -> Result<RateSettings, StoreError> {
    setting::load(store, SETTING)
}

/// Sets limits.
pub(super) struct LimitDesk {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    /// Held while a setting is read and changed.
    pub(super) turn: Arc<Mutex<()>>,
}

impl LimitDesk {
    fn change(&self, order: &Order, change: impl FnOnce(&mut RateSettings)) -> Result<(), Refused> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = load(&self.store).map_err(|error| Refused::failed(&error))?;
        change(&mut settings);
        let state = setting::change(SETTING, &settings)?;
        self.ledger.state(order, vec![state])?;
        self.live.set_limits(settings);
        Ok(())
    }
}

impl Limits for LimitDesk {
    fn show(&self) -> Result<Vec<LimitLine>, Refused> {
        let (configured, in_force) = self.live.limits();
        let line = |name: &&str| {
            Some(LimitLine {
                name: (*name).to_owned(),
                value: in_force.of(name)?.into(),
                configured: configured.of(name)?.into(),
            })
        };
        Ok(Rates::NAMES.iter().filter_map(line).collect())
    }

    fn set(&self, order: &Order, name: &str, value: u64) -> Result<(), Refused> {
        let (configured, _) = self.live.limits();
        match configured.with(name, value) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Refused::invalid(&error.to_string())),
            None => return Err(unknown()),
        }
        self.change(order, |settings| {
            settings.insert(name.to_owned(), value);
        })
    }

    fn reset(&self, order: &Order, name: Option<&str>) -> Result<(), Refused> {
        if name.is_some_and(|name| !Rates::NAMES.contains(&name)) {
            return Err(unknown());
        }
        self.change(order, |settings| match name {
            Some(name) => drop(settings.remove(name)),
            None => settings.clear(),
        })
    }
}

fn unknown() -> Refused {
    Refused::invalid(&format!("name is one of {}", Rates::NAMES.join(", ")))
}

const SETTING: &str = "rates";
