//! Which source says what: defaults, then the file, then the environment, then the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::{Table, Value};

use super::error::ConfigError;
use super::keys::{
    ENVIRONMENT_PREFIX, Form, KEYS, environment_name, find, near_environment_name, nearest,
};
use super::raw::RawConfig;
use super::reachability::ENVIRONMENT_LABORATORY;
use super::{Config, Mode};

/// Names the configuration file when the command line does not.
pub const ENVIRONMENT_CONFIG: &str = "MOSAICD_CONFIG";

/// Holds the password of an encrypted key file.
pub const ENVIRONMENT_PASSWORD: &str = "MOSAICD_KEY_PASSWORD";

/// Everything that has a say in the configuration; a later field overrides an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Start from the defaults of development instead of those of a public server.
    pub dev: bool,
    /// The TOML file, if one is to be read. Relative paths in it are relative to its folder.
    pub file: Option<PathBuf>,
    /// Names and values of environment variables; those that are not ours are passed over.
    pub environment: Vec<(String, String)>,
    /// `key=value`, as `--set` takes it; relative paths are relative to the working directory.
    pub sets: Vec<String>,
    /// Addresses of `--listen`; none means that `listen` stays as it is.
    pub listen: Vec<String>,
    /// The folder of `--data`.
    pub data: Option<PathBuf>,
}

impl Sources {
    /// Reads the file, lays every source over the one before it, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key, its value and what is allowed.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut merged = Table::new();
        if self.dev {
            merge_dev_defaults(&mut merged);
        }
        if let Some(path) = &self.file {
            self.merge_file(path, &mut merged)?;
        }
        self.merge_environment(&mut merged)?;
        self.merge_command_line(&mut merged)?;
        if self.dev {
            complete_dev_paths(&mut merged, &self.environment)?;
        }
        self.check(merged)
    }

    /// Checks what the sources wrote.
    pub(super) fn check(&self, merged: Table) -> Result<Config, ConfigError> {
        let folder = self.file.as_deref().and_then(Path::parent);
        let raw = RawConfig::from_table(merged)?;
        let mode = if self.dev { Mode::Dev } else { Mode::Public };
        let folder = folder.unwrap_or(Path::new(""));
        let config = Config::check(&raw, mode, folder, Origin::of(self))?;
        let mut names = self.environment.iter().map(|(name, _)| name.as_str());
        let is_laboratory = names.any(|name| name == ENVIRONMENT_LABORATORY);
        config.reachability.check_laboratory(is_laboratory)?;
        Ok(config)
    }

    fn merge_file(&self, path: &Path, merged: &mut Table) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let table: Table = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let mut leaves = Vec::new();
        collect_leaves("", &table, &mut leaves);
        for (key, value) in leaves {
            let known = find(&key).ok_or_else(|| ConfigError::UnknownKey {
                nearest: nearest(&key),
                key,
                origin: path.display().to_string(),
            })?;
            check_form(known.path, known.form, &value)?;
            insert(merged, known.path, value);
        }
        Ok(())
    }

    fn merge_environment(&self, merged: &mut Table) -> Result<(), ConfigError> {
        for (name, text) in &self.environment {
            if !name.starts_with(ENVIRONMENT_PREFIX)
                || [ENVIRONMENT_CONFIG, ENVIRONMENT_PASSWORD].contains(&name.as_str())
            {
                continue;
            }
            let known = KEYS.iter().find(|key| environment_name(key.path) == *name);
            match (known, near_environment_name(name)) {
                (Some(key), _) => {
                    let value = override_value(key.path, key.form, text)?;
                    insert(merged, key.path, value);
                }
                (None, Some(nearest)) => {
                    return Err(ConfigError::UnknownKey {
                        key: name.clone(),
                        origin: "the environment".to_owned(),
                        nearest,
                    });
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn merge_command_line(&self, merged: &mut Table) -> Result<(), ConfigError> {
        for set in &self.sets {
            let (key, text) = set
                .split_once('=')
                .ok_or_else(|| ConfigError::Assignment(set.clone()))?;
            let key = key.trim();
            let known = find(key).ok_or_else(|| ConfigError::UnknownKey {
                key: key.to_owned(),
                origin: "--set".to_owned(),
                nearest: nearest(key),
            })?;
            let value = override_value(known.path, known.form, text)?;
            insert(merged, known.path, value);
        }
        if !self.listen.is_empty() {
            let listen = self.listen.iter().cloned().map(Value::String).collect();
            insert(merged, "listen", Value::Array(listen));
        }
        if let Some(data) = &self.data {
            let text = data.to_str().ok_or_else(|| ConfigError::Value {
                key: "data_dir",
                value: data.display().to_string(),
                allowed: "a path in UTF-8".to_owned(),
            })?;
            insert(merged, "data_dir", Value::String(absolute(text)));
        }
        Ok(())
    }
}

/// The sources of a configuration, kept for reading them again. The password of the key is not.
#[derive(Clone, Debug)]
pub(super) struct Origin(Arc<Sources>);

impl Origin {
    fn of(sources: &Sources) -> Self {
        let mut kept = sources.clone();
        kept.environment
            .retain(|(name, _)| name != ENVIRONMENT_PASSWORD && is_read(name));
        Self(Arc::new(kept))
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.0
    }
}

impl RawConfig {
    /// The values as a file would write them.
    pub(super) fn to_table(&self) -> Result<Table, ConfigError> {
        Table::try_from(self).map_err(|error| ConfigError::Syntax {
            path: PathBuf::from("configuration"),
            message: error.to_string(),
        })
    }

    /// The configuration that `table` writes; every key and form in it was checked before.
    fn from_table(table: Table) -> Result<Self, ConfigError> {
        table
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Syntax {
                path: PathBuf::from("configuration"),
                message: error.message().to_owned(),
            })
    }
}

/// What `--dev` starts from: one machine, everybody on it, everything allowed.
fn merge_dev_defaults(merged: &mut Table) {
    let text = |text: &str| Value::String(text.to_owned());
    insert(merged, "name", text("mosaicd DEV"));
    insert(merged, "listen", Value::Array(vec![text(DEV_LISTEN)]));
    insert(merged, "users.mode", text("open"));
    insert(merged, "application.ids", text("any"));
    insert(merged, "application.submit", text("anyone"));
    for path in LIMITED {
        insert(merged, path, Value::Integer(0));
    }
}

/// Gives development data its folder, and the development key a place in it.
fn complete_dev_paths(
    merged: &mut Table,
    environment: &[(String, String)],
) -> Result<(), ConfigError> {
    let variable = |wanted: &str| {
        environment
            .iter()
            .find(|(name, value)| name == wanted && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value))
    };
    let [state_home, home] = FOLDERS;
    if !merged.contains_key("data_dir") {
        let state = variable(state_home)
            .or_else(|| variable(home).map(|folder| folder.join(".local/state")))
            .ok_or(ConfigError::NoStateDirectory)?;
        let folder = state.join("mosaicd/dev").display().to_string();
        insert(merged, "data_dir", Value::String(folder));
    }
    let data = merged.get("data_dir").and_then(Value::as_str).unwrap_or("");
    let key_file = Path::new(data).join("server.key").display().to_string();
    if !merged.contains_key("key_file") {
        insert(merged, "key_file", Value::String(key_file));
    }
    Ok(())
}

/// Every value of `table` with its dotted path. Only the tables of known sections are entered, so
/// the depth is bounded by the key list, not by the file.
fn collect_leaves(prefix: &str, table: &Table, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        match value {
            Value::Table(inner) if prefix.is_empty() && find(&path).is_none() => {
                collect_leaves(&format!("{path}."), inner, leaves);
            }
            _ => leaves.push((path, value.clone())),
        }
    }
}

/// Puts `value` at a known dotted path of at most two parts.
fn insert(table: &mut Table, path: &str, value: Value) {
    let Some((section, name)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let inner = table
        .entry(section.to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = inner {
        inner.insert(name.to_owned(), value);
    }
}

fn check_form(key: &'static str, form: Form, value: &Value) -> Result<(), ConfigError> {
    let list_of = |value: &Value, item: fn(&Value) -> bool| {
        value.as_array().is_some_and(|items| items.iter().all(item))
    };
    let fits = match form {
        Form::Text | Form::Path => value.is_str(),
        Form::Integer => value.is_integer(),
        Form::Boolean => value.is_bool(),
        Form::Number => value.is_float() || value.is_integer(),
        Form::TextList => list_of(value, Value::is_str),
        Form::WordOrList => {
            value.is_str() || list_of(value, |item| item.is_str() || item.is_integer())
        }
    };
    if fits {
        return Ok(());
    }
    Err(ConfigError::Value {
        key,
        value: value.to_string(),
        allowed: form.in_words().to_owned(),
    })
}

/// The value that an environment variable or `--set` writes as `text`.
///
/// Texts are taken as they are, lists as TOML or separated by commas, the rest as TOML.
fn override_value(key: &'static str, form: Form, text: &str) -> Result<Value, ConfigError> {
    let as_toml = || toml::from_str::<Table>(&format!("value = {text}"));
    let parsed = || as_toml().ok().and_then(|mut table| table.remove("value"));
    let items = || {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
    };
    let value = match form {
        Form::Text => Value::String(text.to_owned()),
        Form::Path => Value::String(absolute(text)),
        Form::Integer | Form::Boolean | Form::Number => {
            parsed().unwrap_or_else(|| Value::String(text.to_owned()))
        }
        Form::TextList | Form::WordOrList if text.trim_start().starts_with('[') => {
            parsed().unwrap_or_else(|| Value::String(text.to_owned()))
        }
        Form::TextList => items(),
        Form::WordOrList if text.contains(',') => items(),
        Form::WordOrList => Value::String(text.trim().to_owned()),
    };
    check_form(key, form, &value)?;
    Ok(value)
}

/// `path` from the working directory; as it is where the system cannot tell that directory.
fn absolute(path: &str) -> String {
    std::path::absolute(path)
        .ok()
        .and_then(|absolute| absolute.to_str().map(str::to_owned))
        .unwrap_or_else(|| path.to_owned())
}

/// Whether the environment variable has a say.
fn is_read(name: &str) -> bool {
    name.starts_with(ENVIRONMENT_PREFIX) || FOLDERS.contains(&name)
}

/// Where development data goes is told by these.
const FOLDERS: [&str; 2] = ["XDG_STATE_HOME", "HOME"];

/// Rates that a development server does not limit unless it is told to.
const LIMITED: [&str; 6] = [
    "rates.handshakes",
    "rates.streams",
    "rates.submissions",
    "rates.bytes",
    "rates.query_rows",
    "rates.connections",
];

/// Where a development server listens unless it is told otherwise.
const DEV_LISTEN: &str = "127.0.0.1:1320";

#[cfg(test)]
mod tests;
