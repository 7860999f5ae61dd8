//! The shape of the configuration file, with every default.

use serde::{Deserialize, Serialize};
use toml::Value;

use super::blobs::RawBlobs;
use super::rates::RawRates;
use super::reachability::RawReachability;
use crate::base::{Role, limits};

/// A configuration as it is written: defaults filled in, forms right, values not yet checked.
///
/// Every field is a key of `docs/CONFIG.md`, which says what it means.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawConfig {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) terms: Option<String>,
    pub(super) key_file: String,
    pub(super) key_password_file: Option<String>,
    pub(super) data_dir: String,
    pub(super) listen: Vec<String>,
    pub(super) listen_tcp: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) shutdown_timeout: i64,
    pub(super) operators: Vec<String>,
    pub(super) users: RawUsers,
    pub(super) quotas: RawQuotas,
    pub(super) inbox: RawInbox,
    pub(super) application: RawApplication,
    pub(super) blobs: RawBlobs,
    pub(super) reachability: RawReachability,
    pub(super) limits: RawLimits,
    pub(super) rates: RawRates,
    pub(super) store: RawStore,
    pub(super) trace: RawTrace,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUsers {
    pub(super) mode: String,
    pub(super) list: Vec<String>,
    pub(super) max: i64,
}

/// What is absent depends on who may become a user.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawQuotas {
    pub(super) records: Option<i64>,
    pub(super) bytes: Option<i64>,
    pub(super) delivered_records: Option<i64>,
    pub(super) delivered_bytes: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawInbox {
    pub(super) public: bool,
    pub(super) moderation: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawApplication {
    pub(super) ids: Value,
    pub(super) submit: Value,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) connections: i64,
    pub(super) query_results: i64,
    pub(super) query_scan: i64,
    pub(super) wide_filters: String,
    pub(super) network_threads: i64,
    pub(super) verify_threads: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) free_space_floor: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTrace {
    pub(super) level: String,
    pub(super) format: String,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            name: "mosaicd".to_owned(),
            description: None,
            contact: None,
            terms: None,
            key_file: "server.key".to_owned(),
            key_password_file: None,
            data_dir: "data".to_owned(),
            listen: vec!["[::]:1320".to_owned(), "0.0.0.0:1320".to_owned()],
            listen_tcp: Vec::new(),
            roles: Role::ALL
                .iter()
                .map(|role| role.name().to_owned())
                .collect(),
            shutdown_timeout: integer(limits::SHUTDOWN_TIMEOUT.as_secs()),
            operators: Vec::new(),
            users: RawUsers::default(),
            quotas: RawQuotas::default(),
            inbox: RawInbox::default(),
            application: RawApplication::default(),
            blobs: RawBlobs::default(),
            reachability: RawReachability::default(),
            limits: RawLimits::default(),
            rates: RawRates::default(),
            store: RawStore::default(),
            trace: RawTrace::default(),
        }
    }
}

impl Default for RawUsers {
    fn default() -> Self {
        Self {
            mode: "list".to_owned(),
            list: Vec::new(),
            max: integer(limits::USERS_MAX),
        }
    }
}

impl Default for RawInbox {
    fn default() -> Self {
        Self {
            public: true,
            moderation: "off".to_owned(),
        }
    }
}

impl Default for RawApplication {
    fn default() -> Self {
        Self {
            ids: Value::Array(Vec::new()),
            submit: Value::String("authenticated".to_owned()),
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: integer(limits::CONNECTIONS_MAX),
            query_results: integer(limits::QUERY_RESULTS_MAX),
            query_scan: integer(limits::QUERY_SCAN_MAX),
            wide_filters: "serve".to_owned(),
            network_threads: 0,
            verify_threads: 0,
        }
    }
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            free_space_floor: integer(limits::FREE_SPACE_FLOOR_BYTES),
        }
    }
}

impl Default for RawTrace {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: "text".to_owned(),
        }
    }
}

/// A bound of [`limits`] as TOML writes numbers; all of them fit.
fn integer(bound: impl TryInto<i64>) -> i64 {
    bound.try_into().unwrap_or(i64::MAX)
}
