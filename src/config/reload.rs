//! Reading the configuration again while the server runs.

use toml::{Table, Value};

use super::Config;
use super::error::ConfigError;
use super::keys::KEYS;

/// A configuration that was read again, and how it differs from the running one.
#[derive(Clone, Debug)]
pub struct Reread {
    /// What is to run from here on: what was read, but for what takes a restart.
    pub config: Config,
    /// The keys with other values than before, which take effect now.
    pub changed: Vec<&'static str>,
    /// The keys with other values than before that keep the old ones until the server starts anew.
    pub kept: Vec<&'static str>,
}

impl Config {
    /// Reads every source of this configuration again: its file, with the environment and the
    /// command line that the process was started with.
    ///
    /// What was read must be good as a whole, also where a part of it has to wait for a restart.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`ConfigError`], as at the start. The running configuration stays what it is.
    pub fn read_again(&self) -> Result<Reread, ConfigError> {
        let read = self.origin.sources().load()?;
        let mut written = read.written.clone();
        let (mut changed, mut kept) = (Vec::new(), Vec::new());
        for key in KEYS {
            let (before, after) = (at(&self.written, key.path), at(&read.written, key.path));
            if before == after {
                continue;
            }
            if needs_restart(key.path) {
                kept.push(key.path);
                put(&mut written, key.path, before.cloned());
            } else {
                changed.push(key.path);
            }
        }
        let config = if kept.is_empty() {
            read
        } else {
            self.origin.sources().check(written)?
        };
        Ok(Reread {
            config,
            changed,
            kept,
        })
    }
}

/// Whether a new value of the key waits for the next start: what it is about is made there.
#[must_use]
pub fn needs_restart(path: &str) -> bool {
    path.starts_with("reachability.") || RESTART.contains(&path)
}

fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, name)) => table.get(section)?.as_table()?.get(name),
    }
}

fn put(table: &mut Table, path: &str, value: Option<Value>) {
    let (table, name) = match path.split_once('.') {
        None => (Some(table), path),
        Some((section, name)) => {
            let section = table.get_mut(section);
            (section.and_then(Value::as_table_mut), name)
        }
    };
    let Some(table) = table else {
        return;
    };
    match value {
        Some(value) => table.insert(name.to_owned(), value),
        None => table.remove(name),
    };
}

/// The keys that wait for the next start, apart from those of the reachability test.
const RESTART: &[&str] = &[
    "key_file",
    "key_password_file",
    "data_dir",
    "listen",
    "listen_tcp",
    "roles",
    "users.mode",
    "users.max",
    "limits.connections",
    "limits.query_results",
    "limits.network_threads",
    "limits.verify_threads",
    "trace.format",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Sources;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }

    fn running(path: &Path) -> Config {
        let sources = Sources {
            file: Some(path.to_owned()),
            ..Sources::default()
        };
        sources.load().unwrap()
    }

    #[test]
    fn what_changed_takes_effect_and_what_needs_a_restart_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosaicd.toml");
        write(&path, "name = \"one\"\nlisten = [\"127.0.0.1:1\"]\n");
        let config = running(&path);
        write(
            &path,
            "name = \"two\"\nlisten = [\"127.0.0.1:2\"]\ncontact = \"me\"\n[inbox]\npublic = false\n",
        );
        let reread = config.read_again().unwrap();
        assert_eq!(reread.changed, ["name", "contact", "inbox.public"]);
        assert_eq!(reread.kept, ["listen"]);
        assert_eq!(reread.config.name, "two");
        assert_eq!(reread.config.contact.as_deref(), Some("me"));
        assert!(!reread.config.inbox_public);
        assert_eq!(reread.config.listen, config.listen);
        let again = reread.config.read_again().unwrap();
        assert!(again.changed.is_empty(), "{:?}", again.changed);
        assert_eq!(again.kept, ["listen"], "it still waits");
        write(&path, "name = \"one\"\nlisten = [\"127.0.0.1:1\"]\n");
        let back = again.config.read_again().unwrap();
        assert_eq!(back.changed, ["name", "contact", "inbox.public"]);
        assert_eq!(back.config.contact, None);
    }

    #[test]
    fn a_bad_file_changes_nothing_even_where_only_a_key_that_waits_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosaicd.toml");
        write(&path, "name = \"one\"\n");
        let config = running(&path);
        for bad in [
            "name = \"two\"\nlisten = [\"nowhere\"]\n",
            "name = ",
            "nam = \"two\"\n",
        ] {
            write(&path, bad);
            assert!(config.read_again().is_err(), "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(config.read_again().is_err());
    }

    #[test]
    fn the_password_of_the_key_is_not_kept() {
        let sources = Sources {
            dev: true,
            environment: vec![
                ("HOME".to_owned(), "/nowhere".to_owned()),
                ("MOSAICD_KEY_PASSWORD".to_owned(), "secret".to_owned()),
                ("MOSAICD_NAME".to_owned(), "named".to_owned()),
            ],
            ..Sources::default()
        };
        let config = sources.load().unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        assert!(config.read_again().unwrap().changed.is_empty());
    }

    #[test]
    fn every_key_that_needs_a_restart_is_a_key_and_documented_as_such() {
        let page = include_str!("../../docs/CONFIG.md");
        for path in RESTART {
            assert!(KEYS.iter().any(|key| key.path == *path), "{path}");
        }
        for key in KEYS {
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", key.path)));
            let row = row.unwrap_or_else(|| panic!("no row for {}", key.path));
            let says = row.contains("Takes a restart.");
            assert_eq!(says, needs_restart(key.path), "{}", key.path);
        }
    }
}
