//! The configuration that is in force, and how another one takes its place.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::admission::rate_rules;
use super::operator::RateSettings;
use super::start::rules;
use super::trace::Level;
use super::users::{UserRegistry, UserRules};
use crate::config::{Config, ConfigError, Rates, Reread};
use crate::policy::{self, LiveRules};
use crate::store::Store;

/// The configuration that is in force, with the parts of the server that were made from it and
/// follow it.
pub(super) struct Live {
    config: ArcSwap<Config>,
    pub(super) rules: Arc<LiveRules>,
    users: Arc<UserRegistry>,
    store: Store,
    rates: Arc<policy::Rates>,
    /// What an operator set goes before the configuration. Held for the time of a change: reloads come
    /// one at a time, so that the last one that began is the one that holds.
    limits: Mutex<RateSettings>,
}

/// What the configuration in force is made of.
pub(super) struct Sources {
    pub(super) config: Arc<Config>,
    pub(super) rules: Arc<LiveRules>,
    pub(super) users: Arc<UserRegistry>,
    pub(super) store: Store,
    pub(super) rates: Arc<policy::Rates>,
    pub(super) limits: RateSettings,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys whose new values hold from now on.
    pub changed: Vec<&'static str>,
    /// The keys whose new values wait for the next start.
    pub kept: Vec<&'static str>,
}

impl Live {
    pub(super) fn new(sources: Sources) -> Self {
        let Sources {
            config,
            rules,
            users,
            store,
            rates,
            limits,
        } = sources;
        rates.set(rate_rules(&with(&config.rates, &limits)));
        Self {
            config: ArcSwap::new(config),
            rules,
            users,
            store,
            rates,
            limits: Mutex::new(limits),
        }
    }

    /// The limits of the configuration, and those in force.
    pub(super) fn limits(&self) -> (Rates, Rates) {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let configured = self.now().rates;
        (configured, with(&configured, &limits))
    }

    /// From now on these limits go before the configuration.
    pub(super) fn set_limits(&self, settings: RateSettings) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits = settings;
        self.rates
            .set(rate_rules(&with(&self.now().rates, &limits)));
    }

    /// The configuration that is in force.
    pub(super) fn now(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Reads the sources again and puts what they say in force. Blocks on the disk.
    ///
    /// # Errors
    /// [`ConfigError`]; everything is as it was.
    pub(super) fn reload(&self) -> Result<Reloaded, ConfigError> {
        Ok(self.read_again()?.put_in_force())
    }

    /// Reads the sources again. Until what was read is put in force, or dropped, no other reload and
    /// no change of a limit begins.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(super) fn read_again(&self) -> Result<Reading<'_>, ConfigError> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.now().read_again().inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "configuration not reloaded; nothing was changed"
            );
        })?;
        Ok(Reading {
            live: self,
            limits,
            read,
        })
    }
}

/// A configuration that was read, is sound, and is not in force yet.
pub(super) struct Reading<'a> {
    live: &'a Live,
    limits: MutexGuard<'a, RateSettings>,
    read: Reread,
}

impl Reading<'_> {
    /// Puts it in force. Nothing in here can fail.
    pub(super) fn put_in_force(self) -> Reloaded {
        let Self { live, limits, read } = self;
        let Reread {
            config,
            changed,
            kept,
        } = read;
        live.store
            .set_free_space_floor(config.free_space_floor_bytes);
        live.users.configure(UserRules::of(&config));
        live.rules.swap(rules(&config, Arc::clone(&live.users)));
        live.rates.set(rate_rules(&with(&config.rates, &limits)));
        if changed.contains(&"trace.level")
            && let Some(level) = Level::of_process()
            && !level.set(&config.trace.directives)
        {
            tracing::error!("the level of the trace cannot be changed");
        }
        live.config.store(Arc::new(config));
        tracing::info!(?changed, "configuration reloaded");
        if !kept.is_empty() {
            tracing::warn!(?kept, "these keys take a restart; they keep their values");
        }
        Reloaded { changed, kept }
    }
}

/// The limits of the configuration with what an operator set. A value that is out of its range by
/// now is passed over.
fn with(configured: &Rates, settings: &RateSettings) -> Rates {
    settings.iter().fold(*configured, |rates, (name, value)| {
        match rates.with(name, *value) {
            Some(Ok(rates)) => rates,
            Some(Err(_)) | None => rates,
        }
    })
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
