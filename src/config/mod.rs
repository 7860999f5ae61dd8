//! Configuration: a TOML file, environment and command line -> [`RawConfig`] -> checked [`Config`].
//!
//! | file | owns |
//! |------|------|
//! | `keys.rs` | the one list of known keys, their environment names, the nearest known key |
//! | `raw.rs` | the shape of the file, with every default |
//! | `sources/` | which source says what: defaults, file, environment, `--set` |
//! | `check.rs` | values and ranges: `RawConfig` -> `Config` |
//! | `blobs.rs`, `reachability.rs`, `rates.rs` | the sections of those names |
//! | `reload.rs` | reading it again while the server runs, and what waits for a restart |
//! | `template.rs` | the file that `mosaicd init` writes |
//! | `checked.rs` | what `Config` holds |
//!
//! `docs/CONFIG.md` describes every key to operators; a test here holds it to this code.

mod blobs;
mod check;
mod checked;
mod error;
mod keys;
mod rates;
mod raw;
mod reachability;
mod reload;
mod sources;
mod template;

pub use blobs::{BlobCircle, Blobs};
pub use check::trace_directives;
pub use checked::{
    Applications, Config, InboxModeration, Joining, Limits, Mode, Quotas, Submitters, Trace,
    TraceFormat, Users,
};
pub use error::ConfigError;
pub use keys::{KEYS, Key, environment_name, nearest};
pub use rates::Rates;
pub use raw::RawConfig;
pub use reachability::{ENVIRONMENT_LABORATORY, KnownProber, Reachability, parse_prober};
pub use reload::{Reread, needs_restart};
pub use sources::{ENVIRONMENT_CONFIG, ENVIRONMENT_PASSWORD, Sources};
pub use template::template;
