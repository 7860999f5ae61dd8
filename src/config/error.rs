//! What can be wrong with a configuration.

use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration was refused. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {origin}; the nearest known key is `{nearest}`")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it was written.
        origin: String,
        /// The known key with the smallest edit distance to it.
        nearest: &'static str,
    },
    /// A value that its key does not allow.
    #[error("`{key}` is {value}; allowed: {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value as written.
        value: String,
        /// The range, or the list of values, in words.
        allowed: String,
    },
    /// `--set` without an equals sign.
    #[error("`--set {0}` is not of the form key=value")]
    Assignment(String),
    /// `--dev` without a directory, on a system that names no home directory.
    #[error("no directory for development data: give one with --data, or set HOME")]
    NoStateDirectory,
}
