//! `mosaicd witness`: a prober without a store.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::arguments::WitnessArguments;
use super::signals::Signals;
use super::{CommandError, password};
use crate::base::limits;
use crate::config::{Reachability, Trace, TraceFormat};
use crate::identity::key_file;
use crate::server::install;
use crate::server::storeless::{Setup, Storeless};
use crate::wire::{ProbeTransport, SecretKey, Transport};

/// Dials others back until SIGTERM or SIGINT.
pub(super) fn witness(
    arguments: &WitnessArguments,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    install(&Trace {
        directives: format!("warn,mosaicd={}", arguments.trace),
        format: TraceFormat::Text,
    })?;
    let setup = Setup {
        key: load_key(&arguments.key_file)?,
        sockets: sockets(&arguments.listen),
        reachability: Reachability {
            probers: arguments.helpers.clone(),
            time_scale: arguments.time_scale,
            ..Reachability::default()
        },
        name: "mosaicd witness".to_owned(),
        watches: None,
    };
    let runtime = super::runtime(WORKERS)?;
    let outcome = runtime.block_on(run(setup, out));
    runtime.shutdown_background();
    outcome
}

async fn run(setup: Setup, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut signals = Signals::new().map_err(CommandError::Runtime)?;
    let key = setup.key.public().to_server_string();
    let mut witness = Storeless::start(setup)?;
    // Nobody may be there to read it; the witness is of use all the same.
    if let Err(error) = announce(&key, witness.addresses(), out) {
        tracing::warn!(%error, "cannot write to standard output");
    }
    tokio::select! {
        end = witness.ended() => return Ok(end?),
        () = signals.next() => {}
    }
    witness.shutdown(limits::SHUTDOWN_TIMEOUT).await;
    Ok(())
}

/// One line for each address, which begins with READY and holds what `--helper` and the lists of
/// probers take.
fn announce(key: &str, addresses: &[SocketAddr], out: &mut dyn Write) -> io::Result<()> {
    for address in addresses {
        writeln!(out, "READY {key}@{address}")?;
    }
    out.flush()
}

/// The key of `path`; a new one where there is no file.
fn load_key(path: &Path) -> Result<SecretKey, CommandError> {
    let failed = |source| CommandError::KeyFile {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        return key_file::load(path, password::existing).map_err(failed);
    }
    let key = SecretKey::generate();
    key_file::store(path, &key).map_err(failed)?;
    Ok(key)
}

fn sockets(listen: &[SocketAddr]) -> Vec<(SocketAddr, ProbeTransport)> {
    let port = Transport::Quic.default_port();
    let everywhere = [
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    ];
    let listen = if listen.is_empty() {
        everywhere.as_slice()
    } else {
        listen
    };
    let quic = |address: &SocketAddr| (*address, ProbeTransport::Quic);
    listen.iter().map(quic).collect()
}

/// One thread for the handshakes and one for the dials.
const WORKERS: usize = 2;
