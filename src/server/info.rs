//! What the server says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::served::ServedUsers;
use crate::base::{Role, limits};
use crate::config::{Applications, Config};
use crate::identity::Peer;
use crate::net::InfoSource;
use crate::policy::{Gate, RoleState};
use crate::wire::{
    InfoLimits, InfoReply, PublicKey, Registration, RoleCondition, RoleReport, Timestamp,
};

/// Answers INFO from the configuration and from the state of the gate at the moment.
///
/// # Source
/// `extensions.md`, "INFO REPLY".
pub(super) struct Info {
    config: Arc<Config>,
    key: PublicKey,
    gate: Arc<Gate>,
    users: Arc<ServedUsers>,
    started: Timestamp,
    /// Known once the sockets are bound, which is before the first request.
    endpoints: OnceLock<Vec<String>>,
}

impl Info {
    pub(super) fn new(
        config: Arc<Config>,
        key: PublicKey,
        gate: Arc<Gate>,
        users: Arc<ServedUsers>,
        started: Timestamp,
    ) -> Self {
        Self {
            config,
            key,
            gate,
            users,
            started,
            endpoints: OnceLock::new(),
        }
    }

    /// Names the bound addresses. One that stands for all of the machine says nothing about where
    /// the server is reached, so it is not named.
    pub(super) fn bound(&self, addresses: &[SocketAddr]) {
        let named = addresses
            .iter()
            .filter(|address| !address.ip().is_unspecified());
        let endpoints = named
            .map(|address| format!("mosaic://{address}/"))
            .collect();
        self.endpoints.get_or_init(|| endpoints);
    }

    fn report(&self, role: Role) -> RoleReport {
        match self.gate.state(role) {
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
    fn info(&self, peer: Peer) -> InfoReply {
        let config = &self.config;
        let roles: BTreeMap<_, _> = Role::ALL
            .into_iter()
            .map(|role| (role.into(), self.report(role)))
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
            endpoints: self.endpoints.get().cloned().unwrap_or_default(),
            roles,
            applications: application_ids(&config.applications),
            limits: InfoLimits {
                record_bytes: wide(limits::RECORD_MAX_BYTES),
                blob_bytes: 0,
                filter_bytes: wide(limits::FILTER_MAX_BYTES),
                query_results: config.limits.query_results.into(),
                subscriptions_per_stream: wide(limits::STREAM_QUERIES_MAX),
                streams: match peer {
                    Peer::Anonymous => limits::ANONYMOUS_STREAMS_MAX.into(),
                    Peer::Known(_) => limits::KNOWN_STREAMS_MAX.into(),
                },
                submissions_per_second: NO_RATE,
                retention_seconds: None,
            },
            registration: if self.users.is_open() {
                Registration::Open
            } else {
                Registration::Closed
            },
            probes: false,
            now: Timestamp::now(),
        }
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

/// No rate is set; larger numbers do not survive every reader of JSON.
const NO_RATE: u64 = u32::MAX as u64;

/// The version of the Mosaic specification that is spoken.
const SPEC: &str = "0.8";

/// Mosaic Core and Mosaic Social Media.
const NAMED_APPLICATIONS: [u32; 2] = [0, 1];
