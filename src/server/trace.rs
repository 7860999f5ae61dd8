//! Where the trace goes: text or JSON lines on standard error.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

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
    registry().with(filter).with(layer).try_init()?;
    Ok(())
}
