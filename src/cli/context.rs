//! What one run works with: key, server, connection.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::Common;
use super::error::CliError;
use super::output::{Format, Output};
use super::{password, trust};
use crate::base::limits;
use crate::client::key_file::{self, KeyFileError};
use crate::client::{Client, ConnectError, Options};
use crate::wire::{SecretKey, Transport};

/// Key, server and connection of one run.
#[derive(Debug)]
pub(super) struct Context {
    common: Common,
    config_dir: PathBuf,
}

impl Context {
    /// # Errors
    /// [`CliError::NoConfigDir`].
    pub(super) fn new(common: Common) -> Result<Self, CliError> {
        let config_dir = match &common.config_dir {
            Some(dir) => dir.clone(),
            None => default_config_dir(|name| std::env::var_os(name).map(PathBuf::from))?,
        };
        Ok(Self { common, config_dir })
    }

    /// The same run with `server` in place of the one of `--server`.
    pub(super) fn with_server(mut self, server: Option<String>) -> Self {
        if server.is_some() {
            self.common.server = server;
        }
        self
    }

    /// The flags that every command understands.
    pub(super) const fn common(&self) -> &Common {
        &self.common
    }

    /// Where the results go, and in which form.
    ///
    /// # Errors
    /// [`CliError::Write`]: the file of `--output` cannot be made.
    pub(super) fn output(&self) -> Result<Output, CliError> {
        let format = match (self.common.json, self.common.msgpack) {
            (true, _) => Format::Json,
            (_, true) => Format::MessagePack,
            _ => Format::Human,
        };
        Output::open(format, self.common.output.as_deref())
    }

    /// The key file.
    pub(super) fn key_path(&self) -> PathBuf {
        match &self.common.key {
            Some(path) => path.clone(),
            None => self.config_dir.join("key"),
        }
    }

    /// The file of known servers.
    pub(super) fn known_servers_path(&self) -> PathBuf {
        self.config_dir.join("known_servers")
    }

    /// Makes the configuration directory, for its owner alone.
    ///
    /// # Errors
    /// [`CliError::Write`].
    pub(super) fn make_config_dir(&self) -> Result<(), CliError> {
        make_dir(&self.config_dir)
    }

    /// The password file of the command line.
    pub(super) fn password_file(&self) -> Option<&Path> {
        self.common.password_file.as_deref()
    }

    /// The user's key, for signing.
    ///
    /// # Errors
    /// [`CliError::NoKey`], or why it cannot be read.
    pub(super) fn key(&self) -> Result<SecretKey, CliError> {
        self.load_key()?
            .ok_or_else(|| CliError::NoKey(self.key_path()))
    }

    /// The key to sign in with; none with `--anonymous`, or where there is no key and none was
    /// asked for.
    ///
    /// # Errors
    /// Why the key cannot be read.
    pub(super) fn identity(&self) -> Result<Option<SecretKey>, CliError> {
        if self.common.anonymous {
            return Ok(None);
        }
        match (self.load_key()?, &self.common.key) {
            (None, Some(path)) => Err(CliError::NoKey(path.clone())),
            (key, _) => Ok(key),
        }
    }

    /// How to connect, as `identity`.
    pub(super) fn options(&self, identity: Option<SecretKey>) -> Options {
        Options {
            identity,
            timeout: self.patience(),
            ..Options::default()
        }
    }

    /// Longest wait for what the server owes.
    pub(super) fn patience(&self) -> Duration {
        match self.common.wait {
            Some(seconds) => Duration::from_secs(seconds.get()),
            None => limits::CLIENT_TIMEOUT,
        }
    }

    /// Connects to the server of the command line, as the user or anonymously.
    ///
    /// # Errors
    /// Which server, which key, or why there is no connection.
    pub(super) async fn connect(&self) -> Result<Client, CliError> {
        self.connect_as(self.identity()?).await
    }

    /// Connects to the server of the command line as `identity`.
    ///
    /// # Errors
    /// Which server, or why there is no connection.
    pub(super) async fn connect_as(&self, identity: Option<SecretKey>) -> Result<Client, CliError> {
        let target = trust::target(self).await?;
        match Client::connect(&target, &self.options(identity)).await {
            Ok(client) => Ok(client),
            Err(error) => Err(self.cannot_connect(error, target.transport()).await),
        }
    }

    /// The error to end with; a changed key is reported at length first.
    pub(super) async fn cannot_connect(
        &self,
        error: ConnectError,
        transport: Transport,
    ) -> CliError {
        if let ConnectError::WrongKey { .. } = error {
            trust::report_changed_key(self, &error, transport).await;
            return CliError::KeyChanged;
        }
        CliError::Connect(error)
    }

    fn load_key(&self) -> Result<Option<SecretKey>, CliError> {
        let path = self.key_path();
        match key_file::load(&path, || password::existing(self.password_file())) {
            Ok(key) => Ok(Some(key)),
            Err(KeyFileError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(source) => Err(CliError::KeyFile { path, source }),
        }
    }
}

/// Makes a directory and those it lies in, for their owner alone.
///
/// # Errors
/// [`CliError::Write`].
pub(super) fn make_dir(path: &Path) -> Result<(), CliError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}

/// `$XDG_CONFIG_HOME/mosaic`, or `~/.config/mosaic`.
fn default_config_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, CliError> {
    // The XDG specification has relative paths ignored.
    let xdg = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").filter(|path| !path.as_os_str().is_empty());
    let base = xdg.or_else(|| home().map(|home| home.join(".config")));
    base.map(|base| base.join("mosaic"))
        .ok_or(CliError::NoConfigDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_lies_where_the_system_keeps_configurations() {
        let check = |xdg: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            let found = default_config_dir(|name| match name {
                "XDG_CONFIG_HOME" => xdg.map(PathBuf::from),
                "HOME" => home.map(PathBuf::from),
                _ => None,
            });
            assert_eq!(found.ok(), expected.map(PathBuf::from));
        };
        check(Some("/x"), Some("/h"), Some("/x/mosaic"));
        check(Some("x"), Some("/h"), Some("/h/.config/mosaic"));
        check(None, Some("/h"), Some("/h/.config/mosaic"));
        check(None, Some(""), None);
        check(None, None, None);
    }

    #[test]
    fn a_key_that_was_asked_for_and_is_missing_is_an_error_and_otherwise_anonymity() {
        let folder = tempfile::tempdir().unwrap();
        let common = Common {
            config_dir: Some(folder.path().to_owned()),
            ..Common::default()
        };
        let context = Context::new(common.clone()).unwrap();
        assert!(matches!(context.identity(), Ok(None)));
        assert!(matches!(context.key(), Err(CliError::NoKey(_))));

        let key = Some(folder.path().join("none"));
        let context = Context::new(Common {
            key: key.clone(),
            ..common.clone()
        })
        .unwrap();
        assert!(matches!(context.identity(), Err(CliError::NoKey(_))));
        let context = Context::new(Common {
            key,
            anonymous: true,
            ..common
        })
        .unwrap();
        assert!(matches!(context.identity(), Ok(None)));
    }
}
