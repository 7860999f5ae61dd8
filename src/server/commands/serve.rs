//! `mosaicd serve`: start, say so, run until a signal, stop.

use std::io::{self, Write};

use super::arguments::{File, ServeArguments};
use super::signals::{Hangups, Signals};
use super::{CommandError, password};
use crate::config::{Config, Mode, Sources};
use crate::server::{ReloadError, Server, install, load_key};
use crate::wire::{ProbeTransport, SecretKey, Transport};

/// Runs the server until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the
/// configuration again.
pub(super) fn serve(arguments: &ServeArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let config = sources(arguments).load()?;
    install(&config.trace)?;
    let key = load_key(&config, password::existing)?;
    let runtime = super::runtime(config.limits.network_threads)?;
    let outcome = runtime.block_on(run(config, key, out));
    // A step of the shutdown that was left behind must not keep the process.
    runtime.shutdown_background();
    outcome
}

fn sources(arguments: &ServeArguments) -> Sources {
    let file = if arguments.dev {
        File::IfNamed
    } else {
        File::Needed
    };
    Sources {
        dev: arguments.dev,
        listen: arguments.listen.clone(),
        ..arguments.settings.sources(file)
    }
}

async fn run(config: Config, key: SecretKey, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut signals = Signals::new().map_err(CommandError::Runtime)?;
    // From the beginning: until somebody listens to it, SIGHUP ends the process.
    let mut hangups = Hangups::new().map_err(CommandError::Runtime)?;
    let (mode, timeout) = (config.mode, config.shutdown_timeout);
    let data = config.data_dir.display().to_string();
    // A store that was not closed takes time to open, and that must be possible to interrupt.
    let server = tokio::select! {
        started = Server::start(config, key) => started?,
        () = signals.next() => return Err(CommandError::EarlySignal),
    };
    // Nobody may be there to read it; the server is of use all the same.
    if let Err(error) = announce(&server, mode, &data, out) {
        tracing::warn!(%error, "cannot write to standard output");
    }
    loop {
        tokio::select! {
            end = server.ended() => return Ok(end?),
            () = signals.next() => break,
            () = hangups.next() => {
                // The trace says how it went; the server runs on either way.
                if let Err(ReloadError::Panicked) = server.reload().await {
                    tracing::error!("a reload of the configuration panicked");
                }
            }
        }
    }
    tokio::select! {
        end = server.shutdown(timeout) => Ok(end?),
        () = signals.next() => Err(CommandError::SecondSignal),
    }
}

/// Says that the server takes connections: for programs, the line of each address begins with
/// READY and holds what `--server` takes; for people, in development mode, lines to paste.
fn announce(server: &Server, mode: Mode, data: &str, out: &mut dyn Write) -> io::Result<()> {
    let key = server.public_key().to_server_string();
    for (address, transport) in server.local_addrs().iter().zip(server.transports()) {
        let place = match transport {
            ProbeTransport::Quic => address.to_string(),
            ProbeTransport::Tcp => format!("{}://{address}/", Transport::Tcp.scheme()),
        };
        match mode {
            Mode::Public => writeln!(out, "READY {key}@{place}")?,
            Mode::Dev => writeln!(out, "READY DEV {key}@{place}")?,
        }
    }
    if let (Mode::Dev, [address, ..]) = (mode, server.local_addrs()) {
        let to = format!("--server {key}@{address}");
        let open = server.open_roles();
        writeln!(
            out,
            "DEV: for this machine only. Open roles: {open}. Data: {data}"
        )?;
        writeln!(out, "In another terminal:")?;
        writeln!(out, "  mosaic key new")?;
        writeln!(out, "  mosaic info {to}")?;
        writeln!(out, "  mosaic publish {to} \"hello\"")?;
        writeln!(out, "  mosaic query {to} --kind microblog --limit 10")?;
        writeln!(out, "  mosaic subscribe {to} --kind microblog")?;
    }
    out.flush()
}
