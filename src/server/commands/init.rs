//! `mosaicd init`: an identity, an operator's key, a configuration file and a data folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::arguments::InitArguments;
use super::{CommandError, password};
use crate::config::template;
use crate::identity::key_file;
use crate::server::data::make_private_folder;
use crate::wire::{EncryptedSecretKey, PublicKey, SecretKey};

/// Makes the four, and overwrites nothing: where one of the files is there, nothing is changed.
pub(super) fn init(arguments: &InitArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let folder = &arguments.dir;
    let (key_path, config_path) = (folder.join("server.key"), folder.join("mosaicd.toml"));
    let operator_path = folder.join("operator.key");
    for path in [&key_path, &operator_path, &config_path] {
        if path.symlink_metadata().is_ok() {
            return Err(CommandError::Exists(path.clone()));
        }
    }
    let password_file = arguments
        .password_file
        .as_deref()
        .map(absolute)
        .transpose()?;
    let password = if arguments.encrypt {
        Some(password::new(password_file.as_deref()).map_err(CommandError::Password)?)
    } else {
        None
    };
    make_private_folder(folder)?;
    make_private_folder(&folder.join("data"))?;

    let (key, operator) = (SecretKey::generate(), SecretKey::generate());
    let password = password.as_ref().map(|password| password.as_str());
    write_key(&key_path, &key, password)?;
    write_key(&operator_path, &operator, password)?;
    let text = template(password_file.as_deref(), Some(&operator.public()));
    write_new(&config_path, &text)?;
    let made = Made {
        key: key.public(),
        key_path,
        operator_path,
        config_path,
    };
    made.report(out).map_err(CommandError::Output)
}

/// Writes a key file for its owner alone, encrypted where there is a password.
fn write_key(path: &Path, key: &SecretKey, password: Option<&str>) -> Result<(), CommandError> {
    let stored = match password {
        None => key_file::store(path, key),
        Some(password) => {
            let cost = EncryptedSecretKey::DEFAULT_LOG_N;
            key_file::store_encrypted(path, key, password, cost)
        }
    };
    stored.map_err(|source| CommandError::KeyFile {
        path: path.to_owned(),
        source,
    })
}

/// What was made.
struct Made {
    key: PublicKey,
    key_path: PathBuf,
    operator_path: PathBuf,
    config_path: PathBuf,
}

impl Made {
    fn report(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let config = self.config_path.display();
        let operator = self.operator_path.display();
        writeln!(out, "{}", self.key.to_server_string())?;
        writeln!(
            out,
            "key file       {} (keep a copy)",
            self.key_path.display()
        )?;
        writeln!(
            out,
            "operator key   {operator} (for `mosaic admin --key`; the server does not need it)"
        )?;
        writeln!(out, "configuration  {config}")?;
        writeln!(out, "next: mosaicd serve --config {config}")
    }
}

fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(path).map_err(CommandError::Password)
}

/// Writes a file that must not be there yet; it is on disk when this returns.
fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().map_err(|source| CommandError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Mode, Sources};
    use crate::server::load_key;

    fn arguments(dir: &Path) -> InitArguments {
        InitArguments {
            dir: dir.to_owned(),
            encrypt: false,
            password_file: None,
        }
    }

    fn config(dir: &Path) -> crate::config::Config {
        let sources = Sources {
            file: Some(dir.join("mosaicd.toml")),
            ..Sources::default()
        };
        sources.load().unwrap()
    }

    fn no_password() -> std::io::Result<zeroize::Zeroizing<String>> {
        Err(std::io::Error::other("no password in this test"))
    }

    #[test]
    fn what_init_makes_is_what_serve_reads() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let mut out = Vec::new();
        init(&arguments(&dir), &mut out).unwrap();
        let config = config(&dir);
        assert_eq!(config.mode, Mode::Public);
        assert!(config.data_dir.is_dir());
        let mode = config.key_file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = load_key(&config, no_password).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(&key.public().to_server_string()), "{text}");
        let operator = dir.join("operator.key");
        let mode = operator.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let operator = key_file::load(&operator, no_password).unwrap();
        assert_eq!(config.operators, [operator.public()]);
        assert_ne!(operator.public(), key.public());
    }

    #[test]
    fn init_overwrites_nothing() {
        for name in ["server.key", "operator.key", "mosaicd.toml"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), "mine").unwrap();
            let refused = init(&arguments(folder.path()), &mut Vec::new());
            assert!(matches!(refused, Err(CommandError::Exists(_))));
            let names: Vec<_> = folder.path().read_dir().unwrap().collect();
            assert_eq!(names.len(), 1, "nothing was added");
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(text, "mine");
        }
    }

    #[test]
    fn an_encrypted_key_opens_with_the_password_file_that_the_configuration_names() {
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, "correct horse\n").unwrap();
        let dir = folder.path().join("new");
        let arguments = InitArguments {
            encrypt: true,
            password_file: Some(password_file),
            ..arguments(&dir)
        };
        init(&arguments, &mut Vec::new()).unwrap();
        let config = config(&dir);
        let text = std::fs::read_to_string(&config.key_file).unwrap();
        assert!(text.contains("mocryptsec0") && !text.contains("mosec0"));
        load_key(&config, no_password).unwrap();
    }
}
