//! The command line.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::admin::AdminCommand;
use super::filter_args::{FilterArgs, RoleArgs};
use super::probe;
use super::publish::PublishCommand;
use crate::wire::{BlobHash, ProbeMode, ProbeTransport, Reference};

/// Client for Mosaic servers: publish records, read them, follow them as they arrive.
///
/// Exit codes: 0 done, 1 refused or not found, 2 usage, 3 could not connect, 4 protocol error.
#[derive(Debug, Parser)]
#[command(name = "mosaic", version, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct Common {
    /// The server: a known name, or HOST:PORT, mosaic://HOST:PORT/ (QUIC) or mosaictcp://HOST:PORT/
    /// (TCP), each also as mosrv0KEY@HOST:PORT, which demands that key of it
    #[arg(
        long,
        global = true,
        value_name = "SERVER",
        env = "MOSAIC_SERVER",
        hide_env_values = true
    )]
    pub(super) server: Option<String>,

    /// File with your secret key, plain or encrypted [default: `key` in the config directory]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MOSAIC_KEY",
        hide_env_values = true
    )]
    pub(super) key: Option<PathBuf>,

    /// Do not sign in to the server, even though there is a key
    #[arg(long, global = true)]
    pub(super) anonymous: bool,

    /// File whose first line is the key's password (also: environment MOSAIC_PASSWORD)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,

    /// Directory of the key and the known servers [default: ~/.config/mosaic]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "MOSAIC_CONFIG_DIR",
        hide_env_values = true
    )]
    pub(super) config_dir: Option<PathBuf>,

    /// Remember a server's key at first use without asking
    #[arg(long, global = true)]
    pub(super) accept_new: bool,

    /// Print one JSON object a line
    #[arg(long, global = true, conflicts_with = "msgpack")]
    pub(super) json: bool,

    /// Print MessagePack maps, one after the other
    #[arg(long, global = true)]
    pub(super) msgpack: bool,

    /// Write the output to FILE instead of standard output
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Longest wait for a connection, and for each reply the server owes [default: 15]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(super) wait: Option<NonZeroU64>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make, show, encrypt and decrypt your key
    #[command(subcommand)]
    Key(KeyCommand),
    /// List, add and remove known servers
    #[command(subcommand)]
    Server(ServerCommand),
    /// Show what a server is and serves
    Info,
    /// Become a user of the server by an invitation of its operator
    ///
    /// Exit code 1: the invitation is unknown, was used or has expired.
    Redeem(RedeemCommand),
    /// Sign and hand in records
    Publish(PublishCommand),
    /// Fetch records by reference
    Get(GetCommand),
    /// List stored records that pass a filter
    Query(QueryCommand),
    /// List stored records that pass a filter, then new ones as they arrive
    ///
    /// A lost connection is made anew, and every record is printed once.
    Subscribe(SubscribeCommand),
    /// Hand in and fetch BLOBs: data under their hash
    #[command(subcommand)]
    Blob(BlobCommand),
    /// Have the server dial this machine back, and show what it sees
    ///
    /// It dials the address from which it was asked, and no other. Exit code 0: the dial-back
    /// arrived; 1: it did not; 3: the server cannot be reached. For those who set up a server or
    /// wonder about their network; clients need not be reachable.
    Probe(ProbeCommand),
    /// Try whether a server keeps the rules of the protocol
    ///
    /// One line for each rule that a client can observe: pass, fail, or not testable here and why.
    /// Exit code 0: nothing failed; 1: something did. It leaves test records on the server; see
    /// docs/CONFORMANCE.md.
    Conformance(ConformanceCommand),
    /// Give orders to a server whose operator you are
    ///
    /// Sign in with the operator's key: `--key operator.key`. Exit code 1 where the server refuses,
    /// or there is no such thing.
    #[command(subcommand)]
    Admin(AdminCommand),
}

#[derive(Debug, Args)]
pub(super) struct ConformanceCommand {
    /// The server, as with --server
    #[arg(value_name = "SERVER")]
    pub(super) server: Option<String>,

    /// File with the secret key of a user that the server serves; without one, keys are made up
    #[arg(long, value_name = "FILE")]
    pub(super) user: Option<PathBuf>,

    /// File with the secret key of another such user
    #[arg(long, value_name = "FILE")]
    pub(super) second_user: Option<PathBuf>,

    /// Only the checks with that ID or of that group (`access`, `access.same`, `*.query`)
    #[arg(long, value_name = "PATTERN")]
    pub(super) only: Vec<String>,

    /// List the checks and do nothing
    #[arg(long)]
    pub(super) list: bool,

    /// How many checks are made at a time
    #[arg(long, value_name = "N", default_value = "4")]
    pub(super) jobs: NonZeroU8,
}

#[derive(Debug, Args)]
pub(super) struct ProbeCommand {
    /// The port to be dialed [default: 1320; with `--mode canary`, or where that is taken, another]
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<NonZeroU16>,

    /// Who dials: `direct` and `canary` the server, `cold` a third server that it chooses
    #[arg(long, value_name = "MODE", default_value = "direct", value_parser = probe::mode)]
    pub(super) mode: ProbeMode,

    /// What is dialed: `quic` (UDP) or `tcp`
    #[arg(long, value_name = "TRANSPORT", default_value = "quic", value_parser = probe::transport)]
    pub(super) transport: ProbeTransport,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(super) struct RedeemCommand {
    /// The server, in place of --server
    #[arg(value_name = "SERVER")]
    pub(super) at: Option<String>,

    /// The invitation, as you were given it; - takes the first line of standard input, or asks
    /// for it on a terminal. Other users of this machine can see what is on a command line
    #[arg(value_name = "CODE")]
    pub(super) code: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum BlobCommand {
    /// Hand in files, and print the hash of each
    ///
    /// Exit code 1: one of them was refused.
    Put {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Fetch a BLOB, checked against its hash
    ///
    /// A file is made or replaced once everything was fetched and checked; a run that is killed
    /// leaves what it had in a file `.mosaic-…` beside it. A device, a pipe and standard output get
    /// the data as they come: exit code 4 tells that they were wrong.
    Get {
        /// The hash, as `mosaic blob put` printed it
        #[arg(value_name = "HASH")]
        hash: BlobHash,
        /// File for the data, about which a line is then printed (- is standard output, which gets the
        /// data alone) [default: the file of --output, else standard output, which must not be a
        /// terminal]; not together with --output
        #[arg(short = 'o', long = "to", value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a new key
    New {
        /// Encrypt it with a password
        #[arg(long)]
        encrypt: bool,
        /// Cost of trying a password: 2 to that power
        #[arg(long, value_name = "N", default_value_t = 18, requires = "encrypt")]
        log_n: u8,
    },
    /// Show the public key
    Show {
        /// Show the secret key too
        #[arg(long)]
        secret: bool,
    },
    /// Encrypt the key file with a password, in place
    Encrypt {
        /// Cost of trying a password: 2 to that power
        #[arg(long, value_name = "N", default_value_t = 18)]
        log_n: u8,
    },
    /// Store the key in plain, in place
    Decrypt,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// List the known servers
    List,
    /// Remember a server
    Add {
        /// What to call it
        name: String,
        /// mosrv0KEY@HOST:PORT, or HOST:PORT to ask it for its key; mosaictcp://HOST:PORT/ for TCP
        address: String,
    },
    /// Forget a server
    Remove {
        /// What it is called
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct GetCommand {
    /// References, moref0…: of one record, or of all that share an address
    #[arg(required = true, value_name = "REF")]
    pub(super) references: Vec<Reference>,

    /// Write the records as they are, one after the other, to FILE (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub(super) raw: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct QueryCommand {
    #[command(flatten)]
    pub(super) filter: FilterArgs,

    #[command(flatten)]
    pub(super) role: RoleArgs,

    /// Write the records as they are, one after the other, to FILE (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub(super) raw: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SubscribeCommand {
    #[command(flatten)]
    pub(super) filter: FilterArgs,

    #[command(flatten)]
    pub(super) role: RoleArgs,

    /// Write the records as they are, one after the other, to FILE (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub(super) raw: Option<PathBuf>,

    /// End after that many records
    #[arg(long, value_name = "N")]
    pub(super) count: Option<NonZeroU64>,

    /// End after that many seconds; with --count and fewer records, exit 1
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<NonZeroU64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_and_after_the_command() {
        for line in [
            ["mosaic", "--server", "x", "info"],
            ["mosaic", "info", "--server", "x"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.common.server.as_deref(), Some("x"));
        }
    }

    #[test]
    fn a_secret_key_is_not_taken_from_the_command_line() {
        for command in ["publish", "info", "key show"] {
            let line = format!("mosaic {command} --secret mosec0");
            let parsed = Arguments::try_parse_from(line.split(' '));
            assert!(parsed.is_err(), "{line}");
        }
    }

    #[test]
    fn two_output_formats_at_a_time_are_refused() {
        let parsed = Arguments::try_parse_from(["mosaic", "info", "--json", "--msgpack"]);
        assert!(parsed.is_err());
    }
}
