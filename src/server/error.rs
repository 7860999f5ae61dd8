//! Why a server cannot start, and how one can end badly.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::config::ConfigError;
use crate::identity::IdentityError;
use crate::identity::key_file::KeyFileError;
use crate::net::NetError;
use crate::store::StoreError;
use crate::verify::StagePanicked;

/// Why a configuration was not reloaded. Nothing was changed.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// It cannot be read, or it is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The reload panicked, which was traced.
    #[error("the reload panicked")]
    Panicked,
}

/// Why a server cannot start. Nothing was left running.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The key file cannot be used.
    #[error("key file {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// The key is one that everybody has, and others than this machine would see it.
    #[error(
        "the key is a development identity, whose secret everybody has; \
         it is refused on {address}, which others than this machine can reach"
    )]
    DevelopmentKey {
        /// The address that is not of this machine.
        address: SocketAddr,
    },
    /// The data folder cannot be made.
    #[error("data folder {}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record store cannot be opened.
    #[error("record store in {}", path.display())]
    Store {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The writer of the record store cannot be started.
    #[error("cannot start the writer of the record store")]
    Writer(#[source] StoreError),
    /// No certificate could be made from the key.
    #[error("cannot prepare the server's identity")]
    Identity(#[from] IdentityError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] NetError),
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Opening the store panicked; the panic was traced.
    #[error("starting the server panicked")]
    Panicked,
}

/// How a server ended badly. What it had acknowledged is durable all the same.
#[derive(Clone, Debug, Error)]
pub enum EndError {
    /// A socket or an accept loop failed; the rest was stopped in order.
    #[error("the network failed")]
    Network(#[source] Arc<NetError>),
    /// A step of the shutdown did not end in its time, and was left behind.
    #[error("{0} did not stop in time")]
    Deadline(Step),
    /// A verification thread panicked; what was with it was answered `TEMPORARY_ERROR`.
    #[error("verification failed")]
    Verification(#[source] StagePanicked),
    /// The writer failed.
    #[error("the writer of the record store failed")]
    Writer(#[source] Arc<StoreError>),
    /// The database could not be closed cleanly; the next start reads more.
    #[error("the record store could not be closed")]
    Store(#[source] Arc<StoreError>),
    /// A part of the server panicked; the panic was traced.
    #[error("{0} panicked")]
    Panicked(Step),
}

/// One step of the shutdown, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No new connections; sessions finish what was submitted and say that the server goes down.
    Network,
    /// What waits for verification is verified.
    Verification,
    /// What was verified is written.
    Writer,
    /// The database is closed.
    Store,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "the network",
            Self::Verification => "verification",
            Self::Writer => "the writer",
            Self::Store => "the record store",
        })
    }
}
