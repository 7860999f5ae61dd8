//! `mosaicd check` and `mosaicd status`: is the server reached from the Internet, and why not?

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::arguments::{File, ReportArguments};
use super::{CommandError, password};
use crate::config::Config;
use crate::reach::plan::Report;
use crate::reach::verdict::Verdict;
use crate::server::reachability::{Call, Told, ask, test, timing};
use crate::server::storeless::{Setup, Storeless};
use crate::server::{install, load_key};
use crate::wire::{ProbeTransport, SecretKey};

/// Tests everything now, prints the evidence, and fails unless the verdict is PUBLIC.
pub(super) fn check(arguments: &ReportArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let config = arguments.settings.sources(File::Needed).load()?;
    let runtime = super::runtime(WORKERS)?;
    let told = runtime.block_on(async {
        match ask(&config.data_dir, Call::Check).await {
            Ok(Some(told)) => Ok(told),
            Ok(None) => {
                install(&config.trace)?;
                let key = load_key(&config, password::existing)?;
                alone(&config, key).await
            }
            Err(error) => Err(CommandError::Control(error)),
        }
    });
    runtime.shutdown_background();
    let told = told?;
    print(&told, arguments.json, out)?;
    if told.is_public {
        Ok(())
    } else {
        Err(CommandError::NotPublic)
    }
}

/// Prints what the server that runs knows.
pub(super) fn status(arguments: &ReportArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let config = arguments.settings.sources(File::Needed).load()?;
    let runtime = super::runtime(WORKERS)?;
    let told = runtime.block_on(ask(&config.data_dir, Call::Status));
    runtime.shutdown_background();
    match told.map_err(CommandError::Control)? {
        Some(told) => print(&told, arguments.json, out),
        None => Err(CommandError::NoServer(config.data_dir)),
    }
}

/// Tests the addresses of a server that does not run.
async fn alone(config: &Config, key: SecretKey) -> Result<Told, CommandError> {
    let quic = |address: &SocketAddr| (*address, ProbeTransport::Quic);
    let tcp = |address: &SocketAddr| (*address, ProbeTransport::Tcp);
    let sockets = config.listen.iter().map(quic);
    let setup = Setup {
        key,
        sockets: sockets.chain(config.listen_tcp.iter().map(tcp)).collect(),
        reachability: config.reachability.clone(),
        name: config.name.clone(),
        watches: Some(config.data_dir.clone()),
    };
    let server = Storeless::start(setup)?;
    let report = match server.monitor() {
        Some(monitor) => test(monitor, timing(&config.reachability)).await,
        None => None,
    };
    server.shutdown(GOODBYE).await;
    Ok(told(report.as_ref()))
}

fn told(report: Option<&Report>) -> Told {
    let text = report.map(Report::to_string);
    Told {
        is_public: report.is_some_and(|report| report.verdict == Verdict::Public),
        text: text.unwrap_or_else(|| "verdict      UNKNOWN: the test has failed\n".to_owned()),
        status: json!({
            "verdict": report.map_or(Verdict::Unknown, |report| report.verdict).name(),
            "reachability": report,
        }),
    }
}

fn print(told: &Told, as_json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    let written = if as_json {
        writeln!(out, "{}", told.status)
    } else {
        write!(out, "{}", told.text)
    };
    written
        .and_then(|()| out.flush())
        .map_err(CommandError::Output)
}

/// One thread for the network and one for the dials.
const WORKERS: usize = 2;

/// Time that the probers have to hear of the end.
const GOODBYE: Duration = Duration::from_secs(2);
