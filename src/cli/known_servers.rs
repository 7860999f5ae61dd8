//! The servers that are known by name: which address, and which key they must hold.
//!
//! A text file in the configuration directory, one server a line, `NAME ADDRESS KEY` separated by
//! spaces; lines that start with `#` are comments and stay where they are.
//!
//! ```text
//! # friends
//! home 192.0.2.1:1320 mosrv0…
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::CliError;
use crate::wire::PublicKey;

/// One server that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownServer {
    pub(super) name: String,
    /// `host:port`
    pub(super) address: String,
    pub(super) key: PublicKey,
}

/// The file of known servers.
#[derive(Clone, Debug)]
pub(super) struct KnownServers {
    path: PathBuf,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
enum Line {
    Server(KnownServer),
    /// A comment or an empty line.
    Other(String),
}

impl KnownServers {
    /// Reads the file; where there is none, no server is known.
    ///
    /// # Errors
    /// [`CliError::Read`], and [`CliError::KnownServers`] for a line that is no server: it is not
    /// passed over, for a server that is lost from the list would be trusted anew.
    pub(super) fn load(path: &Path) -> Result<Self, CliError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                let path = path.to_owned();
                return Err(CliError::Read { path, source });
            }
        };
        let lines = text.lines().enumerate().map(|(place, line)| {
            parse_line(line).ok_or_else(|| CliError::KnownServers {
                path: path.to_owned(),
                line: place + 1,
            })
        });
        Ok(Self {
            path: path.to_owned(),
            lines: lines.collect::<Result<_, _>>()?,
        })
    }

    /// The servers, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = &KnownServer> {
        self.lines.iter().filter_map(|line| match line {
            Line::Server(server) => Some(server),
            Line::Other(_) => None,
        })
    }

    /// The server of that name.
    pub(super) fn by_name(&self, name: &str) -> Option<&KnownServer> {
        self.iter().find(|server| server.name == name)
    }

    /// The server at that address.
    pub(super) fn by_address(&self, address: &str) -> Option<&KnownServer> {
        self.iter().find(|server| server.address == address)
    }

    /// Remembers `server` and writes the file.
    ///
    /// # Errors
    /// [`CliError::NameTaken`] where another server has the name, [`CliError::BadValue`] for a name
    /// that no line can hold, [`CliError::Write`].
    pub(super) fn add(&mut self, server: KnownServer) -> Result<(), CliError> {
        check_name(&server.name)?;
        match self.by_name(&server.name) {
            Some(known) if *known == server => return Ok(()),
            Some(known) => return Err(CliError::NameTaken(known.name.clone())),
            None => self.lines.push(Line::Server(server)),
        }
        self.save()
    }

    /// Forgets the server of that name and writes the file. Whether there was one.
    ///
    /// # Errors
    /// [`CliError::Write`].
    pub(super) fn remove(&mut self, name: &str) -> Result<bool, CliError> {
        let before = self.lines.len();
        self.lines
            .retain(|line| !matches!(line, Line::Server(server) if server.name == name));
        if self.lines.len() == before {
            return Ok(false);
        }
        self.save()?;
        Ok(true)
    }

    /// Writes the file beside the old one, then puts it in its place, so that a crash leaves one
    /// of the two.
    fn save(&self) -> Result<(), CliError> {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Server(KnownServer { name, address, key }) => {
                    let key = key.to_server_string();
                    text.push_str(&format!("{name} {address} {key}\n"));
                }
                Line::Other(line) => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        let beside = self.path.with_extension("new");
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        });
        written.map_err(|source| CliError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

/// A name that can stand in the file and behind `--server` without being taken for an address.
fn check_name(name: &str) -> Result<(), CliError> {
    let is_plain = |character: char| !character.is_whitespace() && !character.is_control();
    if !name.is_empty() && name.chars().all(is_plain) && !name.starts_with('#') {
        return Ok(());
    }
    Err(CliError::BadValue {
        what: "the server's name",
        why: "it must not be empty, hold spaces or start with #".into(),
    })
}

fn parse_line(line: &str) -> Option<Line> {
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Some(Line::Other(line.to_owned()));
    }
    let mut words = trimmed.split_whitespace();
    let server = KnownServer {
        name: words.next()?.to_owned(),
        address: words.next()?.to_owned(),
        key: PublicKey::from_server_str(words.next()?).ok()?,
    };
    words.next().is_none().then_some(Line::Server(server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SecretKey;

    fn server(name: &str, seed: u8) -> KnownServer {
        KnownServer {
            name: name.to_owned(),
            address: format!("192.0.2.{seed}:1320"),
            key: SecretKey::from_seed([seed; 32]).public(),
        }
    }

    #[test]
    fn what_is_added_is_there_when_the_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_servers");
        let mut known = KnownServers::load(&path).unwrap();
        assert_eq!(known.iter().count(), 0);
        known.add(server("a", 1)).unwrap();
        known.add(server("b", 2)).unwrap();
        known.add(server("b", 2)).unwrap();

        let mut known = KnownServers::load(&path).unwrap();
        assert_eq!(known.by_name("a"), Some(&server("a", 1)));
        assert_eq!(known.by_address("192.0.2.2:1320"), Some(&server("b", 2)));
        assert!(known.remove("a").unwrap());
        assert!(!known.remove("a").unwrap());
        let known = KnownServers::load(&path).unwrap();
        assert_eq!(known.iter().collect::<Vec<_>>(), [&server("b", 2)]);
    }

    #[test]
    fn a_name_never_moves_to_another_server_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = KnownServers::load(&folder.path().join("known_servers")).unwrap();
        known.add(server("a", 1)).unwrap();
        assert!(matches!(
            known.add(server("a", 2)),
            Err(CliError::NameTaken(_))
        ));
        assert_eq!(known.by_name("a"), Some(&server("a", 1)));
        for name in ["", "a b", "#a", "a\n"] {
            assert!(matches!(
                known.add(server(name, 3)),
                Err(CliError::BadValue { .. })
            ));
        }
    }

    #[test]
    fn comments_stay_and_a_broken_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_servers");
        fs::write(&path, "# mine\n\n").unwrap();
        KnownServers::load(&path)
            .unwrap()
            .add(server("a", 1))
            .unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# mine\n\na 192.0.2.1:1320 mosrv0"),
            "{text}"
        );

        let key = server("a", 1).key.to_server_string();
        for line in ["a", "a b", "a b c", &format!("a b {key} d")] {
            fs::write(&path, format!("# mine\n{line}\n")).unwrap();
            let loaded = KnownServers::load(&path);
            assert!(
                matches!(loaded, Err(CliError::KnownServers { line: 2, .. })),
                "{line}"
            );
        }
    }
}
