//! `mosaic server`: the servers that are known by name.

use super::args::ServerCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::escape::escape_line;
use super::known_servers::{KnownServer, KnownServers};
use super::rows::{Blob, ServerRow};
use super::say;
use super::trust::{self, ServerName};

/// Carries out one `mosaic server` command.
///
/// # Errors
/// The file of known servers, or why a server to be added cannot be asked for its key.
pub(super) async fn run(context: &Context, command: &ServerCommand) -> Result<Exit, CliError> {
    let mut known = KnownServers::load(&context.known_servers_path())?;
    match command {
        ServerCommand::List => {
            let mut output = context.output()?;
            for server in known.iter() {
                output.row(&row(server))?;
            }
            output.flush()?;
            Ok(Exit::Done)
        }
        ServerCommand::Add { name, address } => add(context, &mut known, name, address).await,
        ServerCommand::Remove { name } => {
            if known.remove(name)? {
                return Ok(Exit::Done);
            }
            say(&format!(
                "no server is known by the name {}",
                escape_line(name)
            ));
            Ok(Exit::Refused)
        }
    }
}

async fn add(
    context: &Context,
    known: &mut KnownServers,
    name: &str,
    address: &str,
) -> Result<Exit, CliError> {
    let (address, key) = match ServerName::parse(address)? {
        ServerName::Keyed(key, address) => (address, key),
        ServerName::Address(address) => {
            let key = trust::first_use(context, &address).await?;
            (address, key)
        }
        ServerName::Known(text) => {
            return Err(CliError::BadServer {
                text: escape_line(&text),
                why: "give HOST:PORT, mosaic://HOST:PORT/, mosaictcp://HOST:PORT/ or mosrv0KEY@HOST:PORT".into(),
            });
        }
    };
    // A name that is an address, or holds an `@`, would never be read back as a name.
    if ServerName::parse(name)? != ServerName::Known(name.to_owned()) {
        return Err(CliError::BadValue {
            what: "the server's name",
            why: "it looks like an address".into(),
        });
    }
    let server = KnownServer {
        name: name.to_owned(),
        address,
        key,
    };
    context.make_config_dir()?;
    let row = row(&server);
    known.add(server)?;
    let mut output = context.output()?;
    output.row(&row)?;
    output.flush()?;
    Ok(Exit::Done)
}

fn row(server: &KnownServer) -> ServerRow {
    ServerRow {
        name: server.name.clone(),
        address: server.address.clone(),
        key: Blob::server(&server.key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::Common;
    use super::*;
    use crate::wire::SecretKey;

    #[tokio::test]
    async fn servers_are_added_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::new(Common {
            config_dir: Some(folder.path().join("config")),
            output: Some(folder.path().join("output")),
            ..Common::default()
        })
        .unwrap();
        let key = SecretKey::from_seed([1; 32]).public().to_server_string();
        let add = |name: &str, address: String| ServerCommand::Add {
            name: name.to_owned(),
            address,
        };
        let home = add("home", format!("{key}@192.0.2.1"));
        assert_eq!(run(&context, &home).await.unwrap(), Exit::Done);
        let address = add("192.0.2.1:1320", format!("{key}@192.0.2.1"));
        assert!(run(&context, &address).await.is_err());
        let keyless = add("other", "name".into());
        assert!(run(&context, &keyless).await.is_err());

        run(&context, &ServerCommand::List).await.unwrap();
        let printed = std::fs::read_to_string(folder.path().join("output")).unwrap();
        let words: Vec<&str> = printed.split_whitespace().collect();
        assert_eq!(words, ["home", "192.0.2.1:1320", &key]);

        let remove = ServerCommand::Remove {
            name: "home".into(),
        };
        assert_eq!(run(&context, &remove).await.unwrap(), Exit::Done);
        assert_eq!(run(&context, &remove).await.unwrap(), Exit::Refused);
    }
}
