//! Where the trace goes: text or JSON lines on standard error. What it says can be changed while the
//! process runs.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};

use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::config::{Trace, TraceFormat};

/// Why the trace could not be set up.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The level is no level and no list of directives.
    #[error("the trace level is not valid")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a trace already.
    #[error("the trace is set up already")]
    Twice(#[from] TryInitError),
}

/// Sends every trace of this process to standard error, as `trace` says. Once in a process.
///
/// # Errors
/// [`TraceError`]; nothing was changed.
pub fn install(trace: &Trace) -> Result<(), TraceError> {
    let filter = EnvFilter::builder().parse(&trace.directives)?;
    let stderr = std::io::stderr;
    let layer = match trace.format {
        TraceFormat::Text => fmt::layer()
            .with_writer(stderr)
            .with_ansi(stderr().is_terminal())
            .with_target(false)
            .boxed(),
        TraceFormat::Json => fmt::layer().json().with_writer(stderr).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    registry().with(filter).with(layer).try_init()?;
    let level = Level {
        handle,
        directives: Mutex::new(trace.directives.clone()),
    };
    // Nobody was here before: the process had no trace until now.
    LEVEL.get_or_init(|| level);
    Ok(())
}

/// What the trace of this process says: one for the process, as its trace is.
pub(super) struct Level {
    handle: Handle<EnvFilter, Registry>,
    /// What is in force, as it was given.
    directives: Mutex<String>,
}

impl Level {
    /// That of this process; `None` where something else set the trace up.
    pub(super) fn of_process() -> Option<&'static Self> {
        LEVEL.get()
    }

    /// The directives in force.
    pub(super) fn directives(&self) -> String {
        let directives = self.directives.lock();
        directives.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on the trace says what `directives` say. Whether that could be done; they are ones
    /// that parse.
    pub(super) fn set(&self, directives: &str) -> bool {
        let Ok(filter) = EnvFilter::builder().parse(directives) else {
            return false;
        };
        // Held until the filter is in place, so that both say the same.
        let current = self.directives.lock();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        if self.handle.reload(filter).is_err() {
            return false;
        }
        directives.clone_into(&mut current);
        true
    }
}

static LEVEL: OnceLock<Level> = OnceLock::new();
