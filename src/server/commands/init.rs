//! `mosaicd init`: an identity, a configuration file and a data folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::arguments::InitArguments;
use super::{CommandError, password};
use crate::config::template;
use crate::identity::key_file;
use crate::server::data::make_private_folder;
use crate::wire::{EncryptedSecretKey, SecretKey};

/// Makes the three, and overwrites nothing: where one of the files is there, nothing is changed.
pub(super) fn init(arguments: &InitArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let folder = &arguments.dir;
    let (key_path, config_path) = (folder.join("server.key"), folder.join("mosaicd.toml"));
    for path in [&key_path, &config_path] {
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

    let key = SecretKey::generate();
    let stored = match &password {
        None => key_file::store(&key_path, &key),
        Some(password) => {
            let cost = EncryptedSecretKey::DEFAULT_LOG_N;
            key_file::store_encrypted(&key_path, &key, password, cost)
        }
    };
    stored.map_err(|source| CommandError::KeyFile {
        path: key_path.clone(),
        source,
    })?;
    write_new(&config_path, &template(password_file.as_deref()))?;
    report(out, &key, &key_path, &config_path).map_err(CommandError::Output)
}

fn report(
    out: &mut dyn Write,
    key: &SecretKey,
    key_path: &Path,
    config_path: &Path,
) -> std::io::Result<()> {
    writeln!(out, "{}", key.public().to_server_string())?;
    writeln!(out, "key file       {} (keep a copy)", key_path.display())?;
    writeln!(out, "configuration  {}", config_path.display())?;
    writeln!(
        out,
        "next: mosaicd serve --config {}",
        config_path.display()
    )
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
    }

    #[test]
    fn init_overwrites_nothing() {
        for name in ["server.key", "mosaicd.toml"] {
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
