//! Signs that a listener is an onion service (evidence L3).
//!
//! | file | owns |
//! |------|------|
//! | `torrc.rs` | the onion services of Tor's configuration files |
//! | `control.rs` | those that Tor's control port tells of |
//!
//! A sign is certain where there is one. That there is none shows nothing: Tor may run on another
//! machine, under another configuration, or with services that a program set up and that Tor does
//! not tell the targets of.

mod control;
mod torrc;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::task::spawn_blocking;
use tracing::debug;

use self::control::ControlAddress;
use super::endpoint::Listener;
use super::evidence::OnionSign;
use crate::wire::{ProbeTransport, ServerUrl};

/// Where signs of an onion service are looked for.
#[derive(Clone, Debug)]
pub struct OnionSettings {
    urls: Vec<ServerUrl>,
    torrc: Vec<PathBuf>,
    control: Option<ControlAddress>,
}

impl OnionSettings {
    /// Looks at the server's own `urls`, at the files `torrc` beside those in the usual places, and
    /// asks Tor's control port: `host:port` on loopback, or the path of a socket.
    ///
    /// Where no control port is named none is asked: on its usual port there may be anything. One
    /// that is not on this machine is not asked either.
    #[must_use]
    pub fn new(urls: Vec<ServerUrl>, torrc: Vec<PathBuf>, control: Option<&str>) -> Self {
        let usual = USUAL_FILES.iter().map(PathBuf::from);
        let mut files: Vec<PathBuf> = Vec::new();
        for file in torrc.into_iter().chain(usual) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let control = control.and_then(|text| {
            let address = ControlAddress::parse(text);
            if address.is_none() {
                debug!(text, "not a control port on this machine");
            }
            address
        });
        Self {
            urls,
            torrc: files,
            control,
        }
    }
}

/// The signs that can be found now. What cannot be read, or does not answer, gives no sign.
///
/// # Cancel safety
/// Cancel safe.
pub async fn signs(settings: &OnionSettings, listeners: &[Listener]) -> Vec<OnionSign> {
    let is_onion = |url: &&ServerUrl| url.host().is_onion();
    let urls = settings.urls.iter().filter(is_onion);
    let mut signs: Vec<OnionSign> = urls.map(|url| OnionSign::Url(url.to_string())).collect();
    let files = settings.torrc.clone();
    let found = spawn_blocking(move || torrc::services(&files)).await;
    for (file, target) in found.unwrap_or_default() {
        for listener in hit(target, listeners) {
            let file = file.display().to_string();
            let listener = listener.id;
            add(&mut signs, OnionSign::Torrc { file, listener });
        }
    }
    if let Some(address) = &settings.control {
        let targets = control::services(address).await.unwrap_or_else(|error| {
            debug!(?address, %error, "the control port of Tor does not tell its services");
            Vec::new()
        });
        for target in targets {
            for listener in hit(target, listeners) {
                add(&mut signs, OnionSign::ControlPort(listener.id));
            }
        }
    }
    signs
}

fn add(signs: &mut Vec<OnionSign>, sign: OnionSign) {
    if !signs.contains(&sign) {
        signs.push(sign);
    }
}

/// The listeners that an onion service with this target leads to. Tor carries nothing but TCP.
fn hit(target: SocketAddr, listeners: &[Listener]) -> impl Iterator<Item = &Listener> {
    let is_hit = move |bound: SocketAddr| {
        let is_any = bound.ip().is_unspecified() && bound.is_ipv4() == target.is_ipv4();
        // Of another address it is not known here whether it is this machine's.
        let is_here = bound.ip() == target.ip() || is_any && target.ip().is_loopback();
        is_here && bound.port() == target.port()
    };
    let carries = |listener: &&Listener| listener.transport == ProbeTransport::Tcp;
    listeners
        .iter()
        .filter(carries)
        .filter(move |listener| is_hit(listener.bound))
}

/// The target of a line `HiddenServicePort`, of which `value` is all behind the keyword. `None` for
/// one that leads to a socket in the file system, or that is none.
fn target(value: &str) -> Option<SocketAddr> {
    let mut words = value.trim().trim_matches('"').split_whitespace();
    let port: u16 = words.next()?.parse().ok()?;
    let Some(target) = words.next() else {
        return Some(SocketAddr::new(LOOPBACK, port));
    };
    if let Ok(port) = target.parse() {
        return Some(SocketAddr::new(LOOPBACK, port));
    }
    if let Some(rest) = target.strip_prefix("localhost") {
        let port = match rest.strip_prefix(':') {
            Some(digits) => digits.parse().ok()?,
            None if rest.is_empty() => port,
            None => return None,
        };
        return Some(SocketAddr::new(LOOPBACK, port));
    }
    let bare = target.trim_start_matches('[').trim_end_matches(']');
    let address = target.parse().ok();
    address.or_else(|| bare.parse().ok().map(|ip| SocketAddr::new(ip, port)))
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where distributions and Tor itself keep its configuration.
const USUAL_FILES: [&str; 3] = ["/etc/tor/torrc", "/etc/torrc", "/usr/local/etc/tor/torrc"];

#[cfg(test)]
mod tests;
