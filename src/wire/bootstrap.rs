//! Bootstraps: the short texts, published under a key, that say where to find its owner.
//!
//! Only the texts are here. They are stored as mutable data of the BitTorrent mainline DHT, signed
//! by the master key, with the salts below and a sequence number that starts at 1 and grows.

use std::str;

use thiserror::Error;

use super::{
    key::{KeyError, PublicKey},
    url::{ServerUrl, UrlError},
};
use crate::base::{Role, RoleSet, limits};

/// Salt under which a server's bootstrap is stored.
pub const SERVER_BOOTSTRAP_SALT: &[u8] = b"msb24";

/// Salt under which a user's bootstrap is stored.
pub const USER_BOOTSTRAP_SALT: &[u8] = b"mub25";

/// How many servers of one usage count; those listed behind them may be ignored.
pub const BOOTSTRAP_SERVERS_PER_USAGE: usize = 3;

/// Why a text is no bootstrap, or why none can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BootstrapError {
    /// More than [`limits::BOOTSTRAP_MAX_BYTES`].
    #[error("bootstrap is too long")]
    TooLong,
    /// The text is not UTF-8.
    #[error("bootstrap is not utf-8")]
    NotUtf8,
    /// The first line is not the one that says what it is.
    #[error("bootstrap does not start with the line {0}")]
    Start(&'static str),
    /// A line is empty or has space at its end.
    #[error("line {line} of the bootstrap is empty or ends with space")]
    Space {
        /// Count of the lines before it.
        line: usize,
    },
    /// A line holds no URL.
    #[error("line {line} of the bootstrap: {fault}")]
    Url {
        /// Count of the lines before it.
        line: usize,
        /// What is wrong.
        fault: UrlError,
    },
    /// A line is not a usage character, one space and a key.
    #[error("line {line} of the bootstrap names no usage")]
    Usage {
        /// Count of the lines before it.
        line: usize,
    },
    /// A line holds no key of a server.
    #[error("line {line} of the bootstrap: {fault}")]
    Key {
        /// Count of the lines before it.
        line: usize,
        /// What is wrong.
        fault: KeyError,
    },
    /// A user has to have this role somewhere.
    #[error("bootstrap names no server for {0}")]
    Missing(Role),
}

/// Where a server is reached, best first.
///
/// The text is the line `S`, then one URL a line. A list without URLs is valid: it says that the
/// server is nowhere for now.
///
/// # Source
/// `mosaic-wire.md` section 9, "Bootstrap".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerBootstrap {
    /// The URLs, best first.
    pub urls: Vec<ServerUrl>,
}

impl ServerBootstrap {
    /// Reads a text.
    ///
    /// # Errors
    /// [`BootstrapError`], the first that is found.
    pub fn parse(text: &[u8]) -> Result<Self, BootstrapError> {
        let urls = lines(text, "S")?
            .map(|(line, text)| {
                let text = text?;
                text.parse()
                    .map_err(|fault| BootstrapError::Url { line, fault })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { urls })
    }

    /// The text.
    ///
    /// # Errors
    /// [`BootstrapError::TooLong`].
    pub fn to_text(&self) -> Result<String, BootstrapError> {
        join("S", self.urls.iter().map(ToString::to_string))
    }
}

/// A server that a user uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapServer {
    /// What for: one or more of outbox, inbox and encryption.
    pub usage: RoleSet,
    /// The server's master key.
    pub server: PublicKey,
}

/// Which servers a user uses and what for, best first.
///
/// The text is the line `U`, then `<usage> <mosrv0…>` a line. Usage is one character, `0x30` with
/// bit 0 set for outbox, bit 1 for inbox, bit 2 for encryption; never `0`.
///
/// # Source
/// `mosaic-wire.md` section 9, "Bootstrap".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserBootstrap {
    servers: Vec<BootstrapServer>,
}

impl UserBootstrap {
    /// The bootstrap that lists those servers, best first.
    ///
    /// # Errors
    /// - [`BootstrapError::Missing`]: none is an outbox, or none an inbox.
    /// - [`BootstrapError::Usage`]: one is used for nothing, or for an application.
    /// - [`BootstrapError::TooLong`]: more than the text can hold.
    pub fn new(servers: Vec<BootstrapServer>) -> Result<Self, BootstrapError> {
        for role in [Role::Outbox, Role::Inbox] {
            if !servers.iter().any(|server| server.usage.contains(role)) {
                return Err(BootstrapError::Missing(role));
            }
        }
        let bootstrap = Self { servers };
        bootstrap.to_text()?;
        Ok(bootstrap)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`BootstrapError`], the first that is found.
    pub fn parse(text: &[u8]) -> Result<Self, BootstrapError> {
        let servers = lines(text, "U")?
            .map(|(line, text)| parse_server(line, text?))
            .collect::<Result<_, _>>()?;
        Self::new(servers)
    }

    /// The text.
    ///
    /// # Errors
    /// As [`new`](Self::new), which has made sure that there are none.
    pub fn to_text(&self) -> Result<String, BootstrapError> {
        let lines = self
            .servers
            .iter()
            .enumerate()
            .map(|(index, server)| {
                let usage = usage_character(server.usage)
                    .ok_or(BootstrapError::Usage { line: index + 1 })?;
                Ok(format!("{usage} {}", server.server.to_server_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        join("U", lines)
    }

    /// Every server that is listed, best first.
    #[must_use]
    pub fn servers(&self) -> &[BootstrapServer] {
        &self.servers
    }

    /// The servers that count for `role`: the first [`BOOTSTRAP_SERVERS_PER_USAGE`] listed for it.
    pub fn servers_for(&self, role: Role) -> impl Iterator<Item = PublicKey> {
        self.servers
            .iter()
            .filter(move |server| server.usage.contains(role))
            .map(|server| server.server)
            .take(BOOTSTRAP_SERVERS_PER_USAGE)
    }
}

type Lines<'a> = Box<dyn Iterator<Item = (usize, Result<&'a str, BootstrapError>)> + 'a>;

/// The lines behind the first one, each with the count of those before it.
fn lines<'a>(text: &'a [u8], start: &'static str) -> Result<Lines<'a>, BootstrapError> {
    if text.len() > limits::BOOTSTRAP_MAX_BYTES {
        return Err(BootstrapError::TooLong);
    }
    let text = str::from_utf8(text).map_err(|_| BootstrapError::NotUtf8)?;
    let mut lines = text.split('\n').enumerate();
    if lines.next() != Some((0, start)) {
        return Err(BootstrapError::Start(start));
    }
    Ok(Box::new(lines.map(|(line, text)| {
        if text.is_empty() || text.ends_with(char::is_whitespace) {
            (line, Err(BootstrapError::Space { line }))
        } else {
            (line, Ok(text))
        }
    })))
}

/// The first line and the others, if they are not too long together.
fn join(start: &str, lines: impl IntoIterator<Item = String>) -> Result<String, BootstrapError> {
    let mut text = start.to_owned();
    for line in lines {
        text.push('\n');
        text.push_str(&line);
        if text.len() > limits::BOOTSTRAP_MAX_BYTES {
            return Err(BootstrapError::TooLong);
        }
    }
    Ok(text)
}

fn parse_server(line: usize, text: &str) -> Result<BootstrapServer, BootstrapError> {
    let mut characters = text.chars();
    let usage = characters.next().and_then(usage_of);
    let (Some(usage), Some(' ')) = (usage, characters.next()) else {
        return Err(BootstrapError::Usage { line });
    };
    let server = PublicKey::from_server_str(characters.as_str())
        .map_err(|fault| BootstrapError::Key { line, fault })?;
    Ok(BootstrapServer { usage, server })
}

fn usage_of(character: char) -> Option<RoleSet> {
    let bits = character.to_digit(8).filter(|bits| *bits != 0)?;
    Some(
        USAGES
            .into_iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, role)| role)
            .collect(),
    )
}

fn usage_character(usage: RoleSet) -> Option<char> {
    if usage.is_empty() || usage.contains(Role::Application) {
        return None;
    }
    let bits = USAGES
        .into_iter()
        .filter(|(_, role)| usage.contains(*role))
        .fold(0, |bits, (bit, _)| bits | bit);
    char::from_digit(bits, 8)
}

/// Bits of the usage character: its own, and not those in which role sets are stored.
const USAGES: [(u32, Role); 3] = [(1, Role::Outbox), (2, Role::Inbox), (4, Role::Encryption)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::key::SecretKey;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    fn user_text(lines: &[(char, u8)]) -> String {
        let lines = lines
            .iter()
            .map(|(usage, seed)| format!("\n{usage} {}", key(*seed).to_server_string()));
        format!("U{}", lines.collect::<String>())
    }

    fn refused_server(text: &str, expected: BootstrapError) {
        let read = ServerBootstrap::parse(text.as_bytes());
        assert_eq!(read, Err(expected), "{text:?}");
    }

    fn refused_user(text: &str, expected: BootstrapError) {
        let read = UserBootstrap::parse(text.as_bytes());
        assert_eq!(read, Err(expected), "{text:?}");
    }

    #[test]
    fn a_server_bootstrap_comes_back_from_its_text() {
        let text = "S\nmosaicwss://abcdef.onion/\nmosaictcp://203.0.113.1/\n\
                    mosaic://203.0.113.2:5198/\nmosaic://[2001:db8::1]/";
        let bootstrap = ServerBootstrap::parse(text.as_bytes()).unwrap();
        assert_eq!(bootstrap.urls.len(), 4);
        assert_eq!(bootstrap.to_text().as_deref(), Ok(text));
        let bare = ServerBootstrap::parse(b"S\nmosaic://203.0.113.2").unwrap();
        assert_eq!(bare.to_text().as_deref(), Ok("S\nmosaic://203.0.113.2/"));
        assert_eq!(ServerBootstrap::parse(b"S"), Ok(ServerBootstrap::default()));
    }

    #[test]
    fn each_way_a_server_bootstrap_can_be_wrong_is_told_apart() {
        refused_server("", BootstrapError::Start("S"));
        refused_server("U", BootstrapError::Start("S"));
        refused_server("S ", BootstrapError::Start("S"));
        refused_server("S\r\nmosaic://[::1]/", BootstrapError::Start("S"));
        refused_server("S\n", BootstrapError::Space { line: 1 });
        refused_server("S\nmosaic://[::1]/\n", BootstrapError::Space { line: 2 });
        refused_server("S\nmosaic://[::1]/ ", BootstrapError::Space { line: 1 });
        refused_server("S\nmosaic://[::1]/\r", BootstrapError::Space { line: 1 });
        let fault = UrlError::Transport;
        refused_server("S\nhttps://[::1]/", BootstrapError::Url { line: 1, fault });
        let read = ServerBootstrap::parse(b"S\nmosaic://\xff/");
        assert_eq!(read, Err(BootstrapError::NotUtf8));
    }

    #[test]
    fn a_text_of_983_bytes_is_read_and_one_more_is_not() {
        let longest = format!("S\nmosaic://[::1]/?{}", "x".repeat(983 - 18));
        assert_eq!(longest.len(), 983);
        assert!(ServerBootstrap::parse(longest.as_bytes()).is_ok());
        refused_server(&format!("{longest}x"), BootstrapError::TooLong);
        let urls = vec!["mosaic://[2001:db8::1]/".parse().unwrap(); 41];
        let bootstrap = ServerBootstrap { urls };
        assert_eq!(bootstrap.to_text(), Err(BootstrapError::TooLong));
    }

    #[test]
    fn a_user_bootstrap_comes_back_from_its_text() {
        let text = user_text(&[('1', 1), ('3', 2), ('2', 3), ('6', 4), ('7', 5)]);
        let bootstrap = UserBootstrap::parse(text.as_bytes()).unwrap();
        assert_eq!(bootstrap.to_text().as_deref(), Ok(text.as_str()));
        let [outbox, ..] = bootstrap.servers() else {
            panic!("no servers");
        };
        assert_eq!(outbox.usage, RoleSet::of(Role::Outbox));
        assert_eq!(outbox.server, key(1));
        let encryption: Vec<_> = bootstrap.servers_for(Role::Encryption).collect();
        assert_eq!(encryption, [key(4), key(5)]);
    }

    #[test]
    fn the_first_three_servers_of_each_usage_count() {
        let text = user_text(&[('1', 1), ('7', 2), ('3', 3), ('1', 4), ('2', 5), ('2', 6)]);
        let bootstrap = UserBootstrap::parse(text.as_bytes()).unwrap();
        let outboxes: Vec<_> = bootstrap.servers_for(Role::Outbox).collect();
        assert_eq!(outboxes, [key(1), key(2), key(3)]);
        let inboxes: Vec<_> = bootstrap.servers_for(Role::Inbox).collect();
        assert_eq!(inboxes, [key(2), key(3), key(5)]);
    }

    #[test]
    fn each_way_a_user_bootstrap_can_be_wrong_is_told_apart() {
        refused_user("S", BootstrapError::Start("U"));
        refused_user("U", BootstrapError::Missing(Role::Outbox));
        refused_user(
            &user_text(&[('1', 1)]),
            BootstrapError::Missing(Role::Inbox),
        );
        refused_user(
            &user_text(&[('6', 1)]),
            BootstrapError::Missing(Role::Outbox),
        );
        for usage in ['0', '8', '9', 'p', '\u{b1}', '\u{661}'] {
            let text = user_text(&[('3', 1), (usage, 2)]);
            refused_user(&text, BootstrapError::Usage { line: 2 });
        }
        let good = user_text(&[('3', 1)]);
        refused_user(&format!("{good}\n"), BootstrapError::Space { line: 2 });
        refused_user(&format!("{good} "), BootstrapError::Space { line: 1 });
        refused_user(
            &good.replace("3 ", "3\t"),
            BootstrapError::Usage { line: 1 },
        );
        let read = UserBootstrap::parse(good.replace("3 ", "3  ").as_bytes());
        assert!(matches!(read, Err(BootstrapError::Key { line: 1, .. })));
        let read = UserBootstrap::parse(good.replace("mosrv0", "mopub0").as_bytes());
        assert!(matches!(read, Err(BootstrapError::Key { line: 1, .. })));
    }

    #[test]
    fn what_cannot_be_written_is_not_made() {
        let server = |usage| BootstrapServer {
            usage,
            server: key(1),
        };
        let both = RoleSet::of(Role::Outbox).with(Role::Inbox);
        let none = vec![server(both), server(RoleSet::EMPTY)];
        let refused = UserBootstrap::new(none);
        assert_eq!(refused, Err(BootstrapError::Usage { line: 2 }));
        let refused = UserBootstrap::new(vec![server(RoleSet::ALL)]);
        assert_eq!(refused, Err(BootstrapError::Usage { line: 1 }));
        assert!(UserBootstrap::new(vec![server(both); 16]).is_ok());
        let refused = UserBootstrap::new(vec![server(both); 17]);
        assert_eq!(refused, Err(BootstrapError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let server = [b"S\n".as_slice(), &text].concat();
            let user = [b"U\n".as_slice(), &text].concat();
            if let Ok(read) = ServerBootstrap::parse(&server) {
                let text = read.to_text().unwrap();
                prop_assert_eq!(ServerBootstrap::parse(text.as_bytes()), Ok(read));
            }
            prop_assert!(UserBootstrap::parse(&user).is_err(), "no key is that random");
        }
    }
}
