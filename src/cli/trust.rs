//! Which server is meant, and which key it must hold.

use std::io::{self, BufRead, IsTerminal, Write};

use super::context::Context;
use super::error::CliError;
use super::escape::escape_line;
use super::known_servers::{KnownServer, KnownServers};
use super::say;
use crate::client::{ConnectError, RawConnection, ServerTrust, Target};
use crate::wire::{PublicKey, Transport};

/// A server, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerName {
    /// A name from the file of known servers.
    Known(String),
    /// An address, whose key is known or must be asked for.
    Address(String),
    /// An address together with its key.
    Keyed(PublicKey, String),
}

impl ServerName {
    /// Reads `HOST:PORT`, `mosaic://HOST:PORT/` or `mosaictcp://HOST:PORT/`, each with or without
    /// `mosrv0KEY@` in front, or a name.
    ///
    /// # Errors
    /// [`CliError::BadServer`].
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        let bad = |why: String| CliError::BadServer {
            text: escape_line(text),
            why,
        };
        if let Some((key, address)) = text.split_once('@') {
            let key = PublicKey::from_server_str(key).map_err(|error| bad(error.to_string()))?;
            return Ok(Self::Keyed(key, address_of(address).map_err(bad)?));
        }
        if text.contains(':') || text.starts_with('[') {
            return Ok(Self::Address(address_of(text).map_err(bad)?));
        }
        if text.is_empty() {
            return Err(bad("it is empty".into()));
        }
        Ok(Self::Known(text.to_owned()))
    }
}

/// The one spelling of an address: `host:port`, or the URL where the transport is not QUIC.
fn address_of(text: &str) -> Result<String, String> {
    let target = Target::parse(text, ServerTrust::Any).map_err(|error| error.to_string())?;
    match target.transport() {
        Transport::Quic | Transport::Tcp => Ok(target.address()),
        Transport::WebSocket => Err("give mosaic:// or mosaictcp://".into()),
    }
}

/// The server to speak to, and the key it must hold.
///
/// A server that is not known yet is asked for its key, without telling it who we are; the user
/// decides, and the key is remembered.
///
/// # Errors
/// No server is named, the name is not known, the server does not answer, or its key was not
/// accepted.
pub(super) async fn target(context: &Context) -> Result<Target, CliError> {
    target_named(context, context.common().server.as_deref()).await
}

/// As [`target`], for the server that `server` names; without one, the only one that is known.
///
/// # Errors
/// As [`target`].
pub(super) async fn target_named(
    context: &Context,
    server: Option<&str>,
) -> Result<Target, CliError> {
    let mut known = KnownServers::load(&context.known_servers_path())?;
    let name = match server {
        Some(text) => ServerName::parse(text)?,
        None => only_known(&known)?,
    };
    match name {
        ServerName::Keyed(key, address) => exact(&address, key),
        ServerName::Known(name) => match known.by_name(&name) {
            Some(server) => exact(&server.address, server.key),
            None => Err(CliError::UnknownName(escape_line(&name))),
        },
        ServerName::Address(address) => match known.by_address(&address) {
            Some(server) => exact(&server.address, server.key),
            None => {
                let key = first_use(context, &address).await?;
                context.make_config_dir()?;
                let name = address.clone();
                known.add(KnownServer {
                    name,
                    address: address.clone(),
                    key,
                })?;
                exact(&address, key)
            }
        },
    }
}

/// Asks the server at `address` for its key, and the user whether to accept it.
///
/// # Errors
/// The server does not answer, or its key was not accepted.
pub(super) async fn first_use(context: &Context, address: &str) -> Result<PublicKey, CliError> {
    let key = key_of(context, &parse_address(address, ServerTrust::Any)?).await?;
    if context.common().accept_new {
        say(&format!(
            "{address} holds the key {}; remembered",
            key.to_server_string()
        ));
        return Ok(key);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let address = address.to_owned();
        return Err(CliError::NotTrusted { address, key });
    }
    if ask(address, &key).map_err(CliError::Output)? {
        Ok(key)
    } else {
        Err(CliError::Declined)
    }
}

/// Says loudly that the server, reached over `transport`, is not the one it was.
pub(super) async fn report_changed_key(
    context: &Context,
    error: &ConnectError,
    transport: Transport,
) {
    let ConnectError::WrongKey { address, expected } = error else {
        return;
    };
    let target = Target::from((*address, ServerTrust::Any)).with_transport(transport);
    let found = match key_of(context, &target).await {
        Ok(key) => key.to_server_string(),
        Err(_) => "another one, which it does not show now".to_owned(),
    };
    say("WARNING: THE SERVER'S KEY IS NOT THE ONE IT MUST HOLD");
    say(&format!("  server    {address}"));
    say(&format!("  expected  {}", expected.to_server_string()));
    say(&format!("  it holds  {found}"));
    say("Somebody may be posing as the server, or its operator has made a new key.");
    say("Nothing was sent to it. If you know why the key changed, forget the old one with");
    say("`mosaic server remove NAME` and connect again.");
}

async fn key_of(context: &Context, target: &Target) -> Result<PublicKey, CliError> {
    let connection = RawConnection::connect(target, None, context.patience()).await?;
    connection.close().await;
    Ok(connection.server_key())
}

fn ask(address: &str, key: &PublicKey) -> io::Result<bool> {
    let mut error = io::stderr().lock();
    writeln!(error, "{address} is not known here yet. It holds the key")?;
    writeln!(error, "  {}", key.to_server_string())?;
    loop {
        write!(error, "Is that the server you mean (yes/no)? ")?;
        error.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            return Ok(false);
        }
        match answer.trim() {
            "yes" => return Ok(true),
            "no" => return Ok(false),
            _ => {}
        }
    }
}

fn only_known(known: &KnownServers) -> Result<ServerName, CliError> {
    let names: Vec<&str> = known.iter().map(|server| server.name.as_str()).collect();
    match names.as_slice() {
        [] => Err(CliError::NoServer),
        [name] => Ok(ServerName::Known((*name).to_owned())),
        names => Err(CliError::WhichServer(names.join(", "))),
    }
}

fn exact(address: &str, key: PublicKey) -> Result<Target, CliError> {
    parse_address(address, ServerTrust::Exact(key))
}

fn parse_address(address: &str, trust: ServerTrust) -> Result<Target, CliError> {
    Target::parse(address, trust).map_err(|error| CliError::BadServer {
        text: escape_line(address),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SecretKey;

    #[test]
    fn a_server_is_named_in_five_ways() {
        let key = SecretKey::from_seed([1; 32]).public();
        let check = |text: &str, expected| {
            assert_eq!(ServerName::parse(text).unwrap(), expected, "{text}");
        };
        let address = |text: &str| ServerName::Address(text.to_owned());
        check("home", ServerName::Known("home".into()));
        check("localhost", ServerName::Known("localhost".into()));
        check("192.0.2.1:99", address("192.0.2.1:99"));
        check("[::1]", address("[::1]:1320"));
        check("mosaic://192.0.2.1:99/", address("192.0.2.1:99"));
        check("mosaic://192.0.2.1/", address("192.0.2.1:1320"));
        check("mosaic://[::1]:7/", address("[::1]:7"));
        let tcp = "mosaictcp://192.0.2.1:1320/";
        check("mosaictcp://192.0.2.1", address(tcp));
        check(tcp, address(tcp));
        let text = format!("{}@192.0.2.1", key.to_server_string());
        check(&text, ServerName::Keyed(key, "192.0.2.1:1320".into()));
        let text = format!("{}@{tcp}", key.to_server_string());
        check(&text, ServerName::Keyed(key, tcp.into()));
    }

    #[test]
    fn what_names_no_server_is_refused_with_a_reason() {
        let user = SecretKey::from_seed([1; 32]).public().to_string();
        for text in [
            "",
            ":1320",
            "a:b",
            "mosactcp://a/",
            "mosaictcp://a:0/",
            "mosaicwss://a:1/",
            "http://a/",
            "@a",
        ] {
            assert!(
                matches!(ServerName::parse(text), Err(CliError::BadServer { .. })),
                "{text}"
            );
        }
        assert!(ServerName::parse(&format!("{user}@192.0.2.1")).is_err());
    }
}
