//! Files that hold one secret key, of a server or of a user.
//!
//! Text: lines that start with `#` are comments, and one line is the key, plain (`mosec0…`) or
//! under a password (`mocryptsec0…`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use thiserror::Error;
use zeroize::Zeroizing;

use super::is_development_key;
use crate::{
    base::limits,
    wire::{EncryptedKeyError, EncryptedSecretKey, KeyError, SecretKey},
};

/// Why a key file cannot be read or written. The path is the caller's to name.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file could not be opened or read.
    #[error("cannot read the key file")]
    Read(#[source] io::Error),
    /// Others than the owner may read or change the file.
    #[error("others may read the key file (mode {mode:03o}); chmod 600 makes it private")]
    NotPrivate {
        /// The permission bits.
        mode: u32,
    },
    /// The file does not hold exactly one line that is not a comment, or is far too long.
    #[error("the key file must hold one line with one key")]
    NotOneKey,
    /// The line is not a secret key.
    #[error("the key file holds no secret key")]
    Key(#[source] KeyError),
    /// The password could not be had.
    #[error("cannot get the password of the key file")]
    Password(#[source] io::Error),
    /// The key could not be encrypted or decrypted; a wrong password is among the causes.
    #[error("cannot use the encrypted key")]
    Encrypted(#[source] EncryptedKeyError),
    /// There is a file already; it is never overwritten.
    #[error("the key file exists already")]
    Exists,
    /// The file could not be written; nothing is left of it.
    #[error("cannot write the key file")]
    Write(#[source] io::Error),
}

/// Reads the key in the file at `path`; `password` is called if it is encrypted.
///
/// The file must be its owner's alone, unless its key is public knowledge anyhow
/// ([`is_development_key`]). Decryption takes about a second.
///
/// # Errors
/// Any [`KeyFileError`] but those about writing.
pub fn load(
    path: &Path,
    password: impl FnOnce() -> io::Result<Zeroizing<String>>,
) -> Result<SecretKey, KeyFileError> {
    let file = File::open(path).map_err(KeyFileError::Read)?;
    let mode = file
        .metadata()
        .map_err(KeyFileError::Read)?
        .permissions()
        .mode()
        & 0o777;
    let private = if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyFileError::NotPrivate { mode })
    };
    let text = read(file)?;
    let line = only_line(&text)?;
    if line.starts_with(ENCRYPTED_PREFIX) {
        private?;
        let encrypted: EncryptedSecretKey = line.parse().map_err(KeyFileError::Encrypted)?;
        let password = password().map_err(KeyFileError::Password)?;
        return encrypted
            .decrypt(&password)
            .map_err(KeyFileError::Encrypted);
    }
    let key: SecretKey = line.parse().map_err(KeyFileError::Key)?;
    if !is_development_key(&key.public()) {
        private?;
    }
    Ok(key)
}

/// Writes `key` in plain to a new file at `path`, readable by its owner alone.
///
/// It is on disk when this returns.
///
/// # Errors
/// [`KeyFileError::Exists`], [`KeyFileError::Write`].
pub fn store(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    create(path, key, &key.to_printable())
}

/// Writes `key` under `password` to a new file at `path`, readable by its owner alone.
///
/// `log_n` is the cost of trying a password, 18 by default. It is on disk when this returns.
///
/// # Errors
/// [`KeyFileError::Exists`], [`KeyFileError::Write`], [`KeyFileError::Encrypted`] (cost).
pub fn store_encrypted(
    path: &Path,
    key: &SecretKey,
    password: &str,
    log_n: u8,
) -> Result<(), KeyFileError> {
    let encrypted =
        EncryptedSecretKey::encrypt(key, password, log_n).map_err(KeyFileError::Encrypted)?;
    create(path, key, &encrypted.to_string())
}

fn read(file: File) -> Result<Zeroizing<String>, KeyFileError> {
    let mut text = Zeroizing::new(String::with_capacity(limits::KEY_FILE_MAX_BYTES + 1));
    let bound = u64::try_from(limits::KEY_FILE_MAX_BYTES + 1).unwrap_or(u64::MAX);
    file.take(bound)
        .read_to_string(&mut text)
        .map_err(KeyFileError::Read)?;
    if text.len() > limits::KEY_FILE_MAX_BYTES {
        return Err(KeyFileError::NotOneKey);
    }
    Ok(text)
}

fn only_line(text: &str) -> Result<&str, KeyFileError> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line),
        _ => Err(KeyFileError::NotOneKey),
    }
}

fn create(path: &Path, key: &SecretKey, line: &str) -> Result<(), KeyFileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists,
            _ => KeyFileError::Write(error),
        })?;
    let comment = format!("# Secret key of {}. Whoever has it is you.\n", key.public());
    fill(&mut file, path, &[&comment, line, "\n"]).map_err(|error| {
        // The file is ours and incomplete; that it cannot be removed adds nothing to the error.
        drop(fs::remove_file(path));
        KeyFileError::Write(error)
    })
}

fn fill(file: &mut File, path: &Path, parts: &[&str]) -> io::Result<()> {
    for part in parts {
        file.write_all(part.as_bytes())?;
    }
    file.sync_all()?;
    // The name must survive a crash as well as the content.
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

const ENCRYPTED_PREFIX: &str = "mocryptsec0";
