//! `mosaic`, the client for people and scripts: commands, output text, exit codes.
//!
//! | file | owns |
//! |------|------|
//! | `args.rs` | the command line |
//! | `context.rs` | key, server and connection of one run |
//! | `key.rs`, `password.rs` | key files |
//! | `server.rs`, `known_servers.rs`, `trust.rs` | servers by name, and which key each must hold |
//! | `blob.rs`, `info.rs`, `redeem.rs`, `get.rs`, `query.rs`, `subscribe.rs`, `publish/` | one command each |
//! | `admin/` | orders to a server of one's own |
//! | `probe/` | having a server dial this machine back |
//! | `conformance/` | trying whether a server keeps the rules |
//! | `filter_args.rs`, `values.rs` | what flags are made of |
//! | `output.rs`, `rows.rs`, `escape.rs`, `hex.rs` | what is printed, and how it is made harmless |
//! | `error.rs` | what can go wrong, and the exit code of each |
//!
//! Standard output carries results alone; everything said to the user beside them goes to standard
//! error.

mod admin;
mod args;
mod blob;
mod conformance;
mod context;
mod error;
mod escape;
mod filter_args;
mod get;
mod hex;
mod info;
mod key;
mod known_servers;
mod output;
mod password;
mod probe;
mod publish;
mod query;
mod redeem;
mod refusal;
mod rows;
mod server;
mod subscribe;
mod trust;
mod values;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Arguments, Command};
use self::context::Context;
use self::error::{CliError, Exit};

/// Runs the command that the process was started with, and tells the exit code: 0 done, 1 refused
/// or not found, 2 usage, 3 could not connect, 4 protocol error.
#[must_use]
pub fn main() -> ExitCode {
    let exit = match run(Arguments::parse()) {
        Ok(exit) => exit,
        Err(error) => {
            report(&error);
            error.exit()
        }
    };
    exit.into()
}

fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let context = Context::new(arguments.common)?;
    match arguments.command {
        Command::Key(command) => key::run(&context, &command),
        Command::Server(command) => in_runtime(server::run(&context, &command)),
        Command::Info => in_runtime(info::run(&context)),
        Command::Redeem(command) => in_runtime(redeem::run(context, command)),
        Command::Publish(command) => in_runtime(publish::run(&context, &command)),
        Command::Get(command) => in_runtime(get::run(&context, &command)),
        Command::Query(command) => in_runtime(query::run(&context, &command)),
        Command::Subscribe(command) => in_runtime(subscribe::run(&context, &command)),
        Command::Blob(command) => in_runtime(blob::run(&context, &command)),
        Command::Probe(command) => in_runtime(probe::run(&context, &command)),
        Command::Conformance(command) => in_runtime(conformance::run(&context, &command)),
        Command::Admin(command) => in_runtime(admin::run(&context, &command)),
    }
}

fn in_runtime(command: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let result = runtime.block_on(command);
    // A read from a terminal or pipe that nobody writes to must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Says on standard error what went wrong and why. A reader of our output that went away is
/// nothing to complain about.
fn report(error: &CliError) {
    if error.is_reader_gone() {
        return;
    }
    say(&format!("mosaic: {}", error::chain(error)));
}

/// Prints a line on standard error. Where that is closed, nobody wants to know.
fn say(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// One thread for the network and one for the checks beside it.
const WORKERS: usize = 2;
