//! The process that runs: its configuration, its trace, how it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admin::{LogLevel, Order, Refused, Reload, Status};
use crate::base::{Causes, limits};
use crate::config::{ConfigError, trace_directives};
use crate::policy::{Limit, Rates};
use crate::server::ledger::Ledger;
use crate::server::live::Live;
use crate::server::trace::Level;
use crate::store::Store;
use crate::wire::{AdminRow, AdminValue, PublicKey, ResultCode, Timestamp};

/// Reads the configuration again.
pub(super) struct ReloadDesk {
    pub(super) ledger: Ledger,
    pub(super) live: Arc<Live>,
}

impl Reload for ReloadDesk {
    fn reload(&self, order: &Order) -> Result<Vec<String>, Refused> {
        let reading = self.live.read_again();
        let reading = reading.map_err(|error| Refused::invalid(&cut(&error)))?;
        // What cannot be read is not noted, and what cannot be noted is not done.
        self.ledger.note(order)?;
        let reloaded = reading.put_in_force();
        Ok(reloaded.kept.into_iter().map(str::to_owned).collect())
    }
}

/// Changes what the trace says.
pub(super) struct TraceDesk {
    pub(super) ledger: Ledger,
    pub(super) live: Arc<Live>,
}

impl TraceDesk {
    fn put(&self, order: &Order, directives: &str) -> Result<(), Refused> {
        let level = Level::of_process().ok_or_else(no_trace)?;
        self.ledger.note(order)?;
        if level.set(directives) {
            Ok(())
        } else {
            Err(no_trace())
        }
    }
}

impl LogLevel for TraceDesk {
    fn show(&self) -> String {
        Level::of_process().map_or_else(String::new, Level::directives)
    }

    fn set(&self, order: &Order, filter: &str) -> Result<(), Refused> {
        let directives = trace_directives(filter).ok_or_else(|| {
            let allowed = "filter is error, warn, info, debug, trace, or directives such as \
                           mosaicd::net=debug";
            Refused::invalid(allowed)
        })?;
        self.put(order, &directives)
    }

    fn reset(&self, order: &Order) -> Result<(), Refused> {
        self.put(order, &self.live.now().trace.directives)
    }
}

fn no_trace() -> Refused {
    Refused {
        result: ResultCode::PersistentError,
        why: "the trace of this process was set up by something else".to_owned(),
    }
}

/// Says how the server is.
pub(super) struct StatusDesk {
    pub(super) key: PublicKey,
    pub(super) started: Timestamp,
    pub(super) store: Store,
    pub(super) rates: Arc<Rates>,
}

impl Status for StatusDesk {
    fn status(&self) -> Result<AdminRow, Refused> {
        let stats = self.store.stats();
        let stats = stats.map_err(|error| Refused::failed(&error))?;
        let counts = &stats.counts;
        let mut row = AdminRow::new();
        let mut put = |name: &str, value: AdminValue| row.insert(name.to_owned(), value);
        put("version", env!("CARGO_PKG_VERSION").into());
        put("server", self.key.into());
        put("started", self.started.into());
        put("now", Timestamp::now().into());
        // In all, and not by roles: how many there are under `encryption` is nobody's to count.
        put("records", counts.records.into());
        put("record_bytes", counts.record_bytes.into());
        put("held", counts.held.into());
        put("users_registered", counts.users.into());
        put("disk_bytes", stats.files.bytes().into());
        let met = self.rates.counters();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed).into();
        for limit in Limit::ALL {
            let name = limit.name();
            put(&format!("{name}_refused"), count(&met.of(limit).refused));
            put(&format!("{name}_delayed"), count(&met.of(limit).delayed));
        }
        put("connections_refused", count(&met.connections_refused));
        put("connections_closed_too_fast", count(&met.far_too_fast));
        put("banned_turned_away", count(&met.banned));
        put("rate_accounts", self.rates.entries().into());
        Ok(row)
    }
}

/// An error and what led to it, in one line that is cut.
fn cut(error: &ConfigError) -> String {
    let text = Causes(error).to_string();
    text.chars().take(limits::WHY_MAX_CHARS).collect()
}
