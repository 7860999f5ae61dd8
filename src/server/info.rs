//! What the server says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::live::Live;
use super::shutdown::Desks;
use super::users::UserDesk;
use crate::base::{Role, limits};
use crate::config::{Applications, Config, Joining};
use crate::identity::Peer;
use crate::net::{Arrival, InfoSource};
use crate::policy::{Gate, Rates, RoleState};
use crate::wire::{
    InfoLimits, InfoReply, PublicKey, Registration, RoleCondition, RoleReport, Timestamp,
    Transport, UserReport,
};

/// Answers INFO from the configuration, and from the state at the moment of the gate of the listener
/// on which it is asked.
///
/// # Source
/// `extensions.md`, "INFO REPLY".
pub(super) struct Info {
    live: Arc<Live>,
    key: PublicKey,
    users: Arc<UserDesk>,
    rates: Arc<Rates>,
    started: Timestamp,
    /// In the order of the sockets; known once they are bound, which is before the first request.
    places: RwLock<Vec<Place>>,
}

/// Where one listener is reached.
#[derive(Clone, Debug)]
struct Place {
    transport: Transport,
    bound: SocketAddr,
    /// Addresses that were tested from outside.
    verified: Vec<SocketAddr>,
}

impl Info {
    pub(super) fn new(
        desks: &Desks,
        key: PublicKey,
        rates: Arc<Rates>,
        started: Timestamp,
    ) -> Self {
        Self {
            live: Arc::clone(&desks.live),
            key,
            users: Arc::clone(&desks.users),
            rates,
            started,
            places: RwLock::default(),
        }
    }

    /// Takes note of the bound sockets.
    pub(super) fn bound(&self, sockets: impl IntoIterator<Item = (SocketAddr, Transport)>) {
        let places = sockets.into_iter().map(|(bound, transport)| Place {
            transport,
            bound,
            verified: Vec::new(),
        });
        *self.places.write().unwrap_or_else(PoisonError::into_inner) = places.collect();
    }

    /// From here on the socket in that place is reached at `addresses`.
    pub(super) fn verified(&self, place: usize, addresses: Vec<SocketAddr>) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(place) {
            place.verified = addresses;
        }
    }

    /// Where the server is reached: the addresses that were tested; for a socket that has none, the
    /// address that it is bound to, for those who can reach that, unless it stands for all of the
    /// machine. Configured URLs are named where they are an onion's, which nobody can test, or
    /// while some socket of their transport is verified.
    fn endpoints(&self, config: &Config) -> Vec<String> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let mut urls: Vec<String> = Vec::new();
        let mut add = |url: String| {
            if !urls.contains(&url) {
                urls.push(url);
            }
        };
        for url in &config.reachability.urls {
            let is_verified =
                |place: &Place| place.transport == url.transport() && !place.verified.is_empty();
            if url.host().is_onion() || places.iter().any(is_verified) {
                add(url.to_string());
            }
        }
        for place in places.iter() {
            let bound = [place.bound];
            let addresses = match place.verified.as_slice() {
                [] if place.bound.ip().is_unspecified() => &[],
                [] => bound.as_slice(),
                verified => verified,
            };
            let scheme = place.transport.scheme();
            addresses
                .iter()
                .for_each(|address| add(format!("{scheme}://{address}/")));
        }
        urls
    }

    /// What the peer's own key may submit. Whether a key speaks for another master who is served is
    /// not looked up here, so that such a one is told of less than it has.
    fn submissions_per_second(&self, peer: Peer) -> u64 {
        let is_user = peer
            .key()
            .is_some_and(|key| self.live.rules.now().served.contains(key));
        let rate = self.rates.rules().submissions_of(is_user);
        rate.unwrap_or(NO_RATE)
    }

    fn report(&self, gate: &Gate, role: Role) -> RoleReport {
        match gate.state(role) {
            RoleState::Open { since, why } => RoleReport {
                state: RoleCondition::Open,
                why: why.map(|why| why.to_string()),
                since,
            },
            RoleState::Closed { since, why } => RoleReport {
                state: RoleCondition::Closed,
                why: Some(why.to_string()),
                since,
            },
            RoleState::Off => RoleReport {
                state: RoleCondition::Off,
                why: None,
                since: self.started,
            },
        }
    }
}

impl InfoSource for Info {
    fn info(&self, arrival: &Arrival) -> InfoReply {
        let config = self.live.now();
        let gate = &arrival.settings.gate;
        let roles: BTreeMap<_, _> = Role::ALL
            .into_iter()
            .map(|role| (role.into(), self.report(gate, role)))
            .collect();
        InfoReply {
            name: config.name.clone(),
            software: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            spec: SPEC.to_owned(),
            key: self.key,
            description: config.description.clone(),
            contact: config.contact.clone(),
            terms: config.terms.clone(),
            endpoints: self.endpoints(&config),
            roles,
            applications: application_ids(&config.applications),
            limits: InfoLimits {
                record_bytes: wide(limits::RECORD_MAX_BYTES),
                blob_bytes: match config.blobs.enabled {
                    true => config.blobs.bytes_max,
                    false => 0,
                },
                filter_bytes: wide(limits::FILTER_MAX_BYTES),
                query_results: config.limits.query_results.into(),
                subscriptions_per_stream: wide(limits::STREAM_QUERIES_MAX),
                streams: streams(arrival.peer),
                submissions_per_second: self.submissions_per_second(arrival.peer),
                retention_seconds: None,
            },
            registration: match self.users.joining() {
                Joining::Closed => Registration::Closed,
                Joining::Invite => Registration::Invite,
                Joining::Open => Registration::Open,
            },
            probes: config.reachability.probe_others,
            now: Timestamp::now(),
            you: None,
            refused: None,
        }
    }

    fn of_user(&self, master: &PublicKey) -> Option<UserReport> {
        match self.users.report(master) {
            Ok(report) => Some(report),
            Err(error) => {
                tracing::error!(%error, "the store cannot tell what is kept for a user");
                None
            }
        }
    }
}

/// How many streams a peer may have open.
pub(super) fn streams(peer: Peer) -> u64 {
    match peer {
        Peer::Anonymous => limits::ANONYMOUS_STREAMS_MAX.into(),
        Peer::Known(_) => limits::KNOWN_STREAMS_MAX.into(),
    }
}

/// The applications that a list can name. Where all are served, those that are known by name.
fn application_ids(applications: &Applications) -> Vec<u32> {
    match applications {
        Applications::Any => NAMED_APPLICATIONS.to_vec(),
        Applications::Listed(listed) => {
            let ids: BTreeSet<u32> = listed.iter().map(|(id, _)| *id).collect();
            ids.into_iter().collect()
        }
    }
}

fn wide(bound: usize) -> u64 {
    u64::try_from(bound).unwrap_or(u64::MAX)
}

/// Where no rate is set; larger numbers do not survive every reader of JSON.
const NO_RATE: u64 = u32::MAX as u64;

/// The version of the Mosaic specification that is spoken.
pub(super) const SPEC: &str = "0.8";

/// Mosaic Core and Mosaic Social Media.
const NAMED_APPLICATIONS: [u32; 2] = [0, 1];
