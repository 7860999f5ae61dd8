//! The server's secret key: where it comes from, and which keys are refused.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::ServerError;
use crate::base::limits;
use crate::config::{Config, Mode};
use crate::identity::{is_development_key, key_file};
use crate::wire::SecretKey;

/// Reads the secret key that `config` names; in development mode the first call makes one.
///
/// The password of an encrypted key is the first line of `key_password_file`, where the
/// configuration names one, and else whatever `password` returns. Blocks, and takes about a second
/// for an encrypted key.
///
/// # Errors
/// [`ServerError::KeyFile`], [`ServerError::DataDir`].
pub fn load_key(
    config: &Config,
    password: impl FnOnce() -> io::Result<Zeroizing<String>>,
) -> Result<SecretKey, ServerError> {
    let path = &config.key_file;
    let failed = |source| ServerError::KeyFile {
        path: path.clone(),
        source,
    };
    if config.mode == Mode::Dev && !path.exists() {
        if let Some(folder) = path.parent() {
            super::data::make_private_folder(folder)?;
        }
        let key = SecretKey::generate();
        key_file::store(path, &key).map_err(failed)?;
        return Ok(key);
    }
    let file = config.key_password_file.as_deref();
    key_file::load(path, || file.map_or_else(password, first_line)).map_err(failed)
}

/// The first line of the file at `path`, without its line break.
///
/// # Errors
/// What the system said.
pub(crate) fn first_line(path: &Path) -> io::Result<Zeroizing<String>> {
    let bound = u64::try_from(limits::KEY_FILE_MAX_BYTES).unwrap_or(u64::MAX);
    let mut line = Zeroizing::new(String::with_capacity(limits::KEY_FILE_MAX_BYTES));
    BufReader::new(File::open(path)?.take(bound)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// Refuses to show a key that everybody has to anyone beyond this machine.
pub(super) fn check_key(key: &SecretKey, addresses: &[SocketAddr]) -> Result<(), ServerError> {
    let beyond = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
    match addresses.iter().find(beyond) {
        Some(address) if is_development_key(&key.public()) => {
            Err(ServerError::DevelopmentKey { address: *address })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn no_password() -> io::Result<Zeroizing<String>> {
        Err(io::Error::other("no password in this test"))
    }

    #[test]
    fn the_development_identity_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            dev: true,
            data: Some(folder.path().join("dev")),
            ..Sources::default()
        };
        let config = sources.load().unwrap();
        let first = load_key(&config, no_password).unwrap();
        let again = load_key(&config, no_password).unwrap();
        assert_eq!(first.public(), again.public());
        assert!(!is_development_key(&first.public()));
    }

    #[test]
    fn a_public_server_makes_no_identity_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mosaicd.toml");
        std::fs::write(&file, "").unwrap();
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        let config = sources.load().unwrap();
        assert!(matches!(
            load_key(&config, no_password),
            Err(ServerError::KeyFile { .. })
        ));
        assert!(!config.key_file.exists());
    }

    #[test]
    fn a_key_that_everybody_has_is_shown_to_this_machine_only() {
        let public = SecretKey::from_seed(*b"mosaicd development only, server");
        let own = SecretKey::generate();
        let loopback = ["127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()];
        let world = ["127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap()];
        assert!(check_key(&public, &loopback).is_ok());
        assert!(check_key(&own, &world).is_ok());
        assert!(matches!(
            check_key(&public, &world),
            Err(ServerError::DevelopmentKey { address }) if address == world[1]
        ));
    }

    #[test]
    fn a_password_file_is_read_up_to_its_first_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, " two words \r\nnot this\n").unwrap();
        assert_eq!(first_line(&path).unwrap().as_str(), " two words ");
        std::fs::write(&path, "no line break").unwrap();
        assert_eq!(first_line(&path).unwrap().as_str(), "no line break");
    }
}
