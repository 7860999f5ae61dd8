//! The configuration that is in force, and how another one takes its place.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::start::rules;
use super::users::{UserRegistry, UserRules};
use crate::config::{Config, ConfigError, Reread};
use crate::policy::LiveRules;
use crate::store::Store;

/// The configuration that is in force, with the parts of the server that were made from it and
/// follow it.
pub(super) struct Live {
    config: ArcSwap<Config>,
    rules: Arc<LiveRules>,
    users: Arc<UserRegistry>,
    store: Store,
    /// Reloads come one at a time, so that the last one that began is the one that holds.
    turn: Mutex<()>,
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
    pub(super) fn new(
        config: Arc<Config>,
        rules: Arc<LiveRules>,
        users: Arc<UserRegistry>,
        store: Store,
    ) -> Self {
        Self {
            config: ArcSwap::new(config),
            rules,
            users,
            store,
            turn: Mutex::new(()),
        }
    }

    /// The configuration that is in force.
    pub(super) fn now(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// The rules that are in force.
    pub(super) const fn rules(&self) -> &Arc<LiveRules> {
        &self.rules
    }

    /// Reads the sources again and puts what they say in force. Blocks on the disk.
    ///
    /// Everything that can fail comes first: after an error, everything is as it was.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(super) fn reload(&self) -> Result<Reloaded, ConfigError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Reread {
            config,
            changed,
            kept,
        } = self.now().read_again().inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "configuration not reloaded; nothing was changed"
            );
        })?;
        self.store
            .set_free_space_floor(config.free_space_floor_bytes);
        self.users.configure(UserRules::of(&config));
        self.rules.swap(rules(&config, Arc::clone(&self.users)));
        self.config.store(Arc::new(config));
        tracing::info!(?changed, "configuration reloaded");
        if !kept.is_empty() {
            tracing::warn!(?kept, "these keys take a restart; they keep their values");
        }
        Ok(Reloaded { changed, kept })
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
