//! The section `[reachability]`: who tests this server, and what else is known of its place.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::check::{path, quoted, refused};
use super::error::ConfigError;
use crate::wire::{PublicKey, ServerUrl};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawReachability {
    pub(super) probers: Vec<String>,
    pub(super) witnesses: Vec<String>,
    pub(super) urls: Vec<String>,
    pub(super) accept_static_nat: Vec<String>,
    pub(super) allow_ipv6_only: bool,
    pub(super) probe_others: bool,
    pub(super) torrc: Vec<String>,
    pub(super) tor_control: Option<String>,
    pub(super) time_scale: f64,
}

impl Default for RawReachability {
    fn default() -> Self {
        Self {
            probers: Vec::new(),
            witnesses: Vec::new(),
            urls: Vec::new(),
            accept_static_nat: Vec::new(),
            allow_ipv6_only: false,
            probe_others: true,
            torrc: Vec::new(),
            tor_control: None,
            time_scale: 1.0,
        }
    }
}

/// Who tests this server's reachability, and what the operator knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reachability {
    /// Servers that are asked to dial this one back; each key once.
    pub probers: Vec<KnownProber>,
    /// Where clients are told to find this server.
    pub urls: Vec<ServerUrl>,
    /// Public addresses that are translated one to one to this machine, which the operator accepts.
    pub accept_static_nat: Vec<IpAddr>,
    /// Whether roles may open though no IPv4 client can reach the server.
    pub allow_ipv6_only: bool,
    /// Whether this server dials others back.
    pub probe_others: bool,
    /// Configuration files of Tor that are looked at, beside those in the usual places.
    pub torrc: Vec<PathBuf>,
    /// Tor's control port, an address or the path of a socket.
    pub tor_control: Option<String>,
    /// Factor of every interval; 1 outside a laboratory.
    pub time_scale: f64,
}

/// A server that can be asked to dial this one back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProber {
    /// The key it must hold.
    pub key: PublicKey,
    /// Where it is: `host:port`.
    pub address: String,
    /// Whether the operator vouches for it.
    pub is_witness: bool,
}

impl Reachability {
    pub(super) fn check(raw: &RawReachability, folder: &Path) -> Result<Self, ConfigError> {
        let mut probers = probers("reachability.witnesses", &raw.witnesses, true)?;
        let pinned: BTreeSet<PublicKey> = probers.iter().map(|prober| prober.key).collect();
        let others = self::probers("reachability.probers", &raw.probers, false)?;
        probers.extend(others.into_iter().filter(|it| !pinned.contains(&it.key)));
        let torrc = bounded("reachability.torrc", &raw.torrc)?;
        Ok(Self {
            probers,
            urls: parsed("reachability.urls", &raw.urls, URL_FORM)?,
            accept_static_nat: parsed(
                "reachability.accept_static_nat",
                &raw.accept_static_nat,
                "public addresses without a port",
            )?,
            allow_ipv6_only: raw.allow_ipv6_only,
            probe_others: raw.probe_others,
            torrc: torrc
                .iter()
                .map(|file| path("reachability.torrc", file, folder))
                .collect::<Result<_, _>>()?,
            tor_control: raw.tor_control.clone().filter(|text| !text.is_empty()),
            time_scale: time_scale(raw.time_scale)?,
        })
    }
}

impl Reachability {
    /// Refuses a shortened time outside a laboratory: it would take what was contacted a moment ago
    /// for a stranger, and so is no setting for a server on the Internet.
    pub(super) fn check_laboratory(&self, is_laboratory: bool) -> Result<(), ConfigError> {
        if self.time_scale < 1.0 && !is_laboratory {
            let name = "reachability.time_scale";
            let allowed = format!("1 outside a laboratory, which sets {ENVIRONMENT_LABORATORY}");
            return Err(refused(name, self.time_scale.to_string(), allowed));
        }
        Ok(())
    }
}

/// The environment variable that a laboratory sets, where time may be shortened.
pub const ENVIRONMENT_LABORATORY: &str = "MOSAICD_LABORATORY";

impl Default for Reachability {
    /// Nobody is known, and everything else as the configuration has it.
    fn default() -> Self {
        let raw = RawReachability::default();
        Self {
            probers: Vec::new(),
            urls: Vec::new(),
            accept_static_nat: Vec::new(),
            allow_ipv6_only: raw.allow_ipv6_only,
            probe_others: raw.probe_others,
            torrc: Vec::new(),
            tor_control: None,
            time_scale: raw.time_scale,
        }
    }
}

/// Reads `mosrv0KEY@host:port`; the port may be left out where it is Mosaic's own.
///
/// # Errors
/// What the form is.
pub fn parse_prober(text: &str, is_witness: bool) -> Result<KnownProber, &'static str> {
    let (key, address) = text.split_once('@').ok_or(PROBER_FORM)?;
    let key = PublicKey::from_server_str(key).map_err(|_| PROBER_FORM)?;
    // An URL of QUIC has the same host and port, and says which port is meant by none.
    let url: ServerUrl = format!("mosaic://{address}/")
        .parse()
        .map_err(|_| PROBER_FORM)?;
    Ok(KnownProber {
        key,
        address: format!("{}:{}", url.host(), url.port()),
        is_witness,
    })
}

fn probers(
    name: &'static str,
    texts: &[String],
    is_witness: bool,
) -> Result<Vec<KnownProber>, ConfigError> {
    let mut found: Vec<KnownProber> = Vec::new();
    for text in bounded(name, texts)? {
        let prober =
            parse_prober(text, is_witness).map_err(|form| refused(name, quoted(text), form))?;
        if found.iter().any(|known| known.key == prober.key) {
            return Err(refused(name, quoted(text), "no key twice"));
        }
        found.push(prober);
    }
    Ok(found)
}

fn parsed<T: std::str::FromStr>(
    name: &'static str,
    texts: &[String],
    form: &'static str,
) -> Result<Vec<T>, ConfigError> {
    bounded(name, texts)?
        .iter()
        .map(|text| text.parse().map_err(|_| refused(name, quoted(text), form)))
        .collect()
}

fn bounded<'a>(name: &'static str, texts: &'a [String]) -> Result<&'a [String], ConfigError> {
    if texts.len() <= ENTRIES_MAX {
        return Ok(texts);
    }
    let allowed = format!("at most {ENTRIES_MAX} entries");
    Err(refused(name, format!("a list of {}", texts.len()), allowed))
}

fn time_scale(value: f64) -> Result<f64, ConfigError> {
    if (0.001..=1.0).contains(&value) {
        return Ok(value);
    }
    let name = "reachability.time_scale";
    Err(refused(name, value.to_string(), "0.001 to 1"))
}

const PROBER_FORM: &str = "servers with their keys, such as \"mosrv0KEY@192.0.2.1:1320\"";

const URL_FORM: &str = "URLs of this server, such as \"mosaic://server.example:1320/\"";

/// Most entries of a list here. A round asks five probers; a few hundred are variety enough.
const ENTRIES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SecretKey;

    fn name(seed: u8, address: &str) -> String {
        let key = SecretKey::from_seed([seed; 32]).public();
        format!("{}@{address}", key.to_server_string())
    }

    fn check(raw: &RawReachability) -> Result<Reachability, ConfigError> {
        Reachability::check(raw, Path::new("/etc/mosaicd"))
    }

    #[test]
    fn a_witness_that_is_listed_as_a_prober_too_is_a_witness_once() {
        let raw = RawReachability {
            probers: vec![name(1, "192.0.2.1:7"), name(2, "a.example")],
            witnesses: vec![name(1, "192.0.2.1:7")],
            ..RawReachability::default()
        };
        let probers = check(&raw).unwrap().probers;
        let found: Vec<_> = probers
            .iter()
            .map(|prober| (prober.address.as_str(), prober.is_witness))
            .collect();
        assert_eq!(found, [("192.0.2.1:7", true), ("a.example:1320", false)]);
    }

    #[test]
    fn what_is_no_server_with_its_key_is_refused() {
        for text in ["192.0.2.1:7", "mosrv0@192.0.2.1", "x@y", ""] {
            let raw = RawReachability {
                probers: vec![text.to_owned()],
                ..RawReachability::default()
            };
            assert!(check(&raw).is_err(), "{text}");
        }
        let twice = RawReachability {
            probers: vec![name(1, "192.0.2.1"), name(1, "192.0.2.2")],
            ..RawReachability::default()
        };
        assert!(check(&twice).is_err());
    }

    #[test]
    fn time_can_be_shortened_and_not_lengthened_or_stopped() {
        let with = |time_scale| RawReachability {
            time_scale,
            ..RawReachability::default()
        };
        assert!(check(&with(0.02)).is_ok());
        for wrong in [0.0, 2.0, -1.0, f64::NAN] {
            assert!(check(&with(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_is_shortened_in_a_laboratory_alone() {
        let raw = RawReachability {
            time_scale: 0.5,
            ..RawReachability::default()
        };
        let config = check(&raw).unwrap();
        assert!(config.check_laboratory(true).is_ok());
        assert!(config.check_laboratory(false).is_err());
        assert!(Reachability::default().check_laboratory(false).is_ok());
    }

    #[test]
    fn an_ipv6_prober_keeps_its_brackets() {
        let prober = parse_prober(&name(3, "[2001:db8::1]:99"), false).unwrap();
        assert_eq!(prober.address, "[2001:db8::1]:99");
    }
}
