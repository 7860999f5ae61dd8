//! The commands of `mosaicd`: what they do, what they print, how they end.

mod arguments;
mod check;
mod init;
mod password;
mod serve;
mod signals;
mod store;
mod witness;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::Signal;
use thiserror::Error;
use tokio::runtime::{self, Runtime};

pub use self::arguments::Arguments;
use self::arguments::{Command, StoreCommand};
use super::error::{EndError, ServerError};
use super::trace::TraceError;
use crate::base::{Causes, limits};
use crate::config::ConfigError;
use crate::identity::key_file::KeyFileError;
use crate::store::StoreError;

/// Runs the command that `arguments` ask for. What it has to say goes to `out`, why it failed to
/// `err`. Returns the exit code: 0 done, 1 refused or failed, 2 usage or configuration.
pub fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let outcome = match &arguments.command {
        Command::Init(arguments) => init::init(arguments, out),
        Command::Serve(arguments) => serve::serve(arguments, out),
        Command::Check(arguments) => check::check(arguments, out),
        Command::Status(arguments) => check::status(arguments, out),
        Command::Witness(arguments) => witness::witness(arguments, out),
        Command::Store(StoreCommand::Verify(arguments)) => store::verify(arguments, out),
        Command::Store(StoreCommand::Stats(arguments)) => store::stats(arguments, out),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that this failed too.
            drop(writeln!(err, "mosaicd: {}", Causes(&error)));
            if error.leaves_threads() {
                end_at_once();
            }
            error.exit_code()
        }
    }
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    #[error("configuration")]
    Config(#[from] ConfigError),
    #[error("trace")]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the server stopped badly")]
    End(#[from] EndError),
    #[error("a second signal came; stopped at once")]
    SecondSignal,
    #[error("a signal came before the server was ready")]
    EarlySignal,
    #[error("{} exists already; nothing was changed", .0.display())]
    Exists(PathBuf),
    #[error("key file {}", path.display())]
    KeyFile { path: PathBuf, source: KeyFileError },
    #[error("cannot get a password")]
    Password(#[source] io::Error),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there is no record store in {}", .0.display())]
    NoStore(PathBuf),
    #[error("record store in {}", path.display())]
    Store { path: PathBuf, source: StoreError },
    #[error("the verdict is not PUBLIC")]
    NotPublic,
    #[error("no server runs with the data folder {}", .0.display())]
    NoServer(PathBuf),
    #[error("cannot ask the server that runs")]
    Control(#[source] io::Error),
    #[error("the record store has problems")]
    Problems,
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("cannot start threads")]
    Runtime(#[source] io::Error),
}

impl CommandError {
    /// Whether parts of the server still run.
    const fn leaves_threads(&self) -> bool {
        matches!(
            self,
            Self::SecondSignal
                | Self::EarlySignal
                | Self::End(EndError::Deadline(_) | EndError::Panicked(_))
        )
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) => 2,
            Self::Trace(_)
            | Self::Server(_)
            | Self::End(_)
            | Self::SecondSignal
            | Self::EarlySignal
            | Self::Exists(_)
            | Self::KeyFile { .. }
            | Self::Password(_)
            | Self::Write { .. }
            | Self::NoStore(_)
            | Self::Store { .. }
            | Self::Problems
            | Self::NotPublic
            | Self::NoServer(_)
            | Self::Control(_)
            | Self::Output(_)
            | Self::Runtime(_) => 1,
        })
    }
}

/// The threads and the clock that a command's asynchronous part runs on.
fn runtime(threads: usize) -> Result<Runtime, CommandError> {
    runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)
}

/// Ends the process without running what the libraries do at an exit: the record store takes its
/// locks apart then, while threads of the server still hold them. The store is made for such an
/// end; what was acknowledged is on disk. An abort would do the same but may leave an image of the
/// memory, with the secret key in it, on disk.
fn end_at_once() -> ! {
    let killed = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    unreachable!("a process can kill itself: {killed:?}")
}

/// Threads that block: the readers of the store, the orders of operators, the registrations of those
/// who hand in a BLOB, the steps of start and end.
const BLOCKING_THREADS_MAX: usize =
    limits::READERS_MAX + limits::ADMIN_CALLS_AT_ONCE_MAX + limits::REGISTRATIONS_AT_ONCE_MAX + 4;
