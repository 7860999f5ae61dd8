//! The command line of `mosaicd`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{ENVIRONMENT_CONFIG, KnownProber, Sources, parse_prober};

/// A server for the Mosaic protocol.
///
/// Exit codes: 0 done, 1 refused or failed, 2 usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "mosaicd", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a server's identity, an operator's key, a configuration file and a data folder
    Init(InitArguments),
    /// Run the server until SIGTERM or SIGINT
    Serve(ServeArguments),
    /// Find out whether the server is reachable from the Internet, and print the evidence
    ///
    /// Asks the server that runs; where none does, its addresses are tested without it. Exit code 0
    /// for the verdict PUBLIC alone. A promotion takes two rounds, so this can take five minutes.
    Check(ReportArguments),
    /// Print what the server that runs knows of its reachability, and which roles are open
    Status(ReportArguments),
    /// Dial other servers back, and nothing else: a prober without a store
    Witness(WitnessArguments),
    /// Look into the record store of a server that is not running
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Folder of server.key, operator.key, mosaicd.toml and data; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(super) dir: PathBuf,
    /// Protect the key files by a password: of --password-file, of MOSAICD_KEY_PASSWORD, or asked for
    #[arg(long)]
    pub(super) encrypt: bool,
    /// File whose first line is the password; the configuration will name it
    #[arg(long, value_name = "FILE", requires = "encrypt")]
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Serve this machine alone: loopback addresses, every role open, anything goes
    #[arg(long)]
    pub(super) dev: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
    /// Address and UDP port to listen on, instead of those of the configuration (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WitnessArguments {
    /// Address and UDP port to listen on (repeatable) [default: every address, port 1320]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Vec<SocketAddr>,
    /// File of the witness's secret key; made if it is not there
    #[arg(long, value_name = "FILE", default_value = "witness.key")]
    pub(super) key_file: PathBuf,
    /// A server that dials for this one's askers, and shows it that its way out works (repeatable)
    #[arg(long = "helper", value_name = "mosrv0KEY@HOST:PORT", value_parser = prober)]
    pub(super) helpers: Vec<KnownProber>,
    /// Factor of every interval, for laboratories
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = time_scale)]
    pub(super) time_scale: f64,
    /// Level of the trace: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = LEVELS)]
    pub(super) trace: String,
}

fn prober(text: &str) -> Result<KnownProber, &'static str> {
    parse_prober(text, false)
}

fn time_scale(text: &str) -> Result<f64, &'static str> {
    let scale = text.parse().ok();
    let scale = scale.filter(|scale| (0.001..=1.0).contains(scale));
    scale.ok_or("a number from 0.001 to 1")
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Read everything again: hashes, signatures, indexes against the log; exit code 1 on a problem
    Verify(StoreArguments),
    /// Count records, bytes and users
    Stats(StoreArguments),
}

#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// Configuration file [default: $MOSAICD_CONFIG, else mosaicd.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Data folder, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    pub(super) data: Option<PathBuf>,
    /// Set one configuration key, such as users.max=500 (repeatable; docs/CONFIG.md)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) sets: Vec<String>,
}

/// Whether a command can do without a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// The default file is read where none is named.
    Needed,
    /// Only a file that is named is read.
    IfNamed,
}

impl Settings {
    /// What has a say in the configuration, the environment of this process included.
    pub(super) fn sources(&self, file: File) -> Sources {
        let unnamed = || {
            let named = std::env::var_os(ENVIRONMENT_CONFIG);
            named.map_or_else(|| PathBuf::from(DEFAULT_FILE), PathBuf::from)
        };
        let file = match (&self.config, file) {
            (Some(path), _) => Some(path.clone()),
            (None, File::Needed) => Some(unnamed()),
            (None, File::IfNamed) => None,
        };
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            dev: false,
            file,
            environment: std::env::vars_os().filter_map(text).collect(),
            sets: self.sets.clone(),
            listen: Vec::new(),
            data: self.data.clone(),
        }
    }
}

const DEFAULT_FILE: &str = "mosaicd.toml";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_is_needed() {
        assert!(Arguments::try_parse_from(["mosaicd"]).is_err());
        assert!(Arguments::try_parse_from(["mosaicd", "serve"]).is_ok());
    }
}
