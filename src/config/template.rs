//! The configuration file that `mosaicd init` writes.

use std::path::Path;

use crate::wire::PublicKey;

/// A configuration file with comments; its key file is `server.key` and its data folder `data`,
/// both beside it. `password_file` names the file with the key's password, if there is one, and
/// `operator` the key that may give orders, if there is one.
#[must_use]
pub fn template(password_file: Option<&Path>, operator: Option<&PublicKey>) -> String {
    let mut text = TEMPLATE.to_owned();
    if let Some(path) = password_file {
        let path = toml::Value::String(path.display().to_string());
        text = text.replace(PASSWORD_LINE, &format!("key_password_file = {path}"));
    }
    if let Some(operator) = operator {
        text = text.replace(OPERATORS_LINE, &format!("operators = [\"{operator}\"]"));
    }
    text
}

const TEMPLATE: &str = include_str!("template.toml");

const PASSWORD_LINE: &str = "#key_password_file = \"password\"";

const OPERATORS_LINE: &str = "#operators = []";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, KEYS, Sources};

    fn load(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mosaicd.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        sources.load().unwrap()
    }

    /// The template with every key of it in force.
    fn uncommented() -> String {
        let lines = TEMPLATE.lines().map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_template_loads_as_it_is_and_with_every_key_in_force() {
        assert_eq!(load(&template(None, None)).name, "mosaicd");
        let config = load(&uncommented());
        assert!(config.key_password_file.is_some());
        assert_eq!(
            config.limits.connections,
            crate::base::limits::CONNECTIONS_MAX
        );
    }

    #[test]
    fn the_template_shows_every_key() {
        let table: toml::Table = toml::from_str(&uncommented()).unwrap();
        for key in KEYS {
            let found = match key.path.split_once('.') {
                None => table.get(key.path).is_some(),
                Some((section, name)) => table[section].get(name).is_some(),
            };
            assert!(found, "{} is not in the template", key.path);
        }
    }

    #[test]
    fn the_template_names_the_password_file_it_is_given() {
        let config = load(&template(Some(Path::new("/run/a \"quoted\" file")), None));
        let path = Path::new("/run/a \"quoted\" file");
        assert_eq!(config.key_password_file.as_deref(), Some(path));
    }

    #[test]
    fn the_template_names_the_operator_it_is_given_and_nobody_otherwise() {
        let operator = crate::wire::SecretKey::from_seed([7; 32]).public();
        let config = load(&template(None, Some(&operator)));
        assert_eq!(config.operators, [operator]);
        assert!(load(&template(None, None)).operators.is_empty());
    }
}
