//! `mosaic key`: the user's key file.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::KeyCommand;
use super::context::{Context, make_dir};
use super::error::{CliError, Exit};
use super::rows::{Blob, KeyRow};
use super::{password, say};
use crate::client::key_file::{self, KeyFileError};
use crate::wire::SecretKey;

/// Carries out one `mosaic key` command.
///
/// # Errors
/// What is wrong with the file or the password.
pub(super) fn run(context: &Context, command: &KeyCommand) -> Result<Exit, CliError> {
    let path = context.key_path();
    let mut show_secret = false;
    let key = match command {
        KeyCommand::New { encrypt, log_n } => {
            let key = SecretKey::generate();
            if let Some(folder) = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                make_dir(folder)?;
            }
            let cost = encrypt.then_some(*log_n);
            store(context, &path, &key, cost).map_err(|error| error.at(&path))?;
            say(&format!("made a new key in {}", path.display()));
            key
        }
        KeyCommand::Show { secret } => {
            show_secret = *secret;
            context.key()?
        }
        KeyCommand::Encrypt { log_n } => replace(context, &path, Some(*log_n))?,
        KeyCommand::Decrypt => replace(context, &path, None)?,
    };
    let mut output = context.output()?;
    output.row(&KeyRow {
        public: Blob::user(&key.public()),
        file: path.display().to_string(),
        secret: show_secret.then(|| key.to_printable().to_string()),
    })?;
    output.flush()?;
    Ok(Exit::Done)
}

/// Writes the key of the file anew, encrypted at that cost or plain, beside the old file, and then
/// puts it in its place: at no moment is the key only in memory.
fn replace(context: &Context, path: &Path, cost: Option<u8>) -> Result<SecretKey, CliError> {
    let key = context.key()?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    store(context, &beside, &key, cost).map_err(|error| error.at(&beside))?;
    fs::rename(&beside, path).map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })?;
    Ok(key)
}

enum StoreError {
    File(KeyFileError),
    Other(CliError),
}

impl StoreError {
    fn at(self, path: &Path) -> CliError {
        match self {
            Self::File(source) => CliError::KeyFile {
                path: path.to_owned(),
                source,
            },
            Self::Other(error) => error,
        }
    }
}

fn store(
    context: &Context,
    path: &Path,
    key: &SecretKey,
    cost: Option<u8>,
) -> Result<(), StoreError> {
    // Before the password is asked for: nobody should think of one in vain.
    if path.exists() {
        return Err(StoreError::File(KeyFileError::Exists));
    }
    match cost {
        None => key_file::store(path, key).map_err(StoreError::File),
        Some(cost) => {
            let password = password::new(context.password_file()).map_err(StoreError::Other)?;
            key_file::store_encrypted(path, key, &password, cost).map_err(StoreError::File)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::Common;
    use super::*;

    fn context(folder: &Path) -> Context {
        let password_file = folder.join("password");
        fs::write(&password_file, "a password\n").unwrap();
        Context::new(Common {
            config_dir: Some(folder.join("config")),
            password_file: Some(password_file),
            output: Some(folder.join("output")),
            ..Common::default()
        })
        .unwrap()
    }

    #[test]
    fn a_key_is_made_encrypted_and_decrypted_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let new = KeyCommand::New {
            encrypt: false,
            log_n: 18,
        };
        assert_eq!(run(&context, &new).unwrap(), Exit::Done);
        let key = context.key().unwrap().public();
        let printed = fs::read_to_string(folder.path().join("output")).unwrap();
        assert_eq!(printed, format!("{key}\n"));

        run(&context, &KeyCommand::Encrypt { log_n: 1 }).unwrap();
        let text = fs::read_to_string(context.key_path()).unwrap();
        assert!(
            text.contains("mocryptsec0") && !text.contains("mosec0"),
            "{text}"
        );
        assert_eq!(context.key().unwrap().public(), key);

        run(&context, &KeyCommand::Decrypt).unwrap();
        let text = fs::read_to_string(context.key_path()).unwrap();
        assert!(text.contains("mosec0"));
        assert_eq!(context.key().unwrap().public(), key);
        let left: Vec<_> = fs::read_dir(folder.path().join("config"))
            .unwrap()
            .collect();
        assert_eq!(left.len(), 1, "nothing is left beside the key");
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let new = KeyCommand::New {
            encrypt: true,
            log_n: 1,
        };
        run(&context, &new).unwrap();
        let error = run(&context, &new).unwrap_err();
        assert!(matches!(
            error,
            CliError::KeyFile {
                source: KeyFileError::Exists,
                ..
            }
        ));
        assert_eq!(error.exit(), Exit::Usage);
    }

    #[test]
    fn the_secret_is_shown_only_where_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        run(
            &context,
            &KeyCommand::New {
                encrypt: false,
                log_n: 18,
            },
        )
        .unwrap();
        let printed = || fs::read_to_string(folder.path().join("output")).unwrap();
        run(&context, &KeyCommand::Show { secret: false }).unwrap();
        assert!(!printed().contains("mosec0"));
        run(&context, &KeyCommand::Show { secret: true }).unwrap();
        assert!(printed().contains("mosec0"));
    }
}
