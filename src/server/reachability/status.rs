//! What an operator is told about a running server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use crate::admin;
use crate::base::Role;
use crate::config::Mode;
use crate::policy::{Gate, RoleState};
use crate::reach::plan::Report;
use crate::reach::runner::Monitor;
use crate::reach::service::{Service, ServiceCounters};
use crate::reach::timing::Timing;
use crate::reach::verdict::Verdict;
use crate::wire::{ProbeTransport, PublicKey, RoleCondition, Timestamp, Transport};

/// What a running server says of itself to its operator; one JSON object.
#[derive(Clone, Debug, Serialize)]
pub(in crate::server) struct Status {
    /// Version of the software.
    pub(in crate::server) version: String,
    /// The server's key, as clients write it.
    pub(in crate::server) key: String,
    /// DEV for a server of this machine alone; otherwise the verdict on the best endpoint.
    pub(in crate::server) verdict: String,
    /// Whether every configured role is open on some listener.
    pub(in crate::server) ready: bool,
    /// The listeners, in the order of the configuration.
    pub(in crate::server) listeners: Vec<ListenerStatus>,
    /// The evidence; absent in development mode, where nothing is tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) reachability: Option<Report>,
    /// What the dial-back service did for others.
    pub(in crate::server) service: ServiceCounters,
}

/// What an operator's program is told: the status for programs, and the same for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::server) struct Told {
    /// Whether the verdict on the best endpoint is PUBLIC.
    pub(in crate::server) is_public: bool,
    /// The status in lines for people.
    pub(in crate::server) text: String,
    /// The [`Status`].
    pub(in crate::server) status: Value,
}

/// One listener, and what it serves.
#[derive(Clone, Debug, Serialize)]
pub(in crate::server) struct ListenerStatus {
    /// The address that it is bound to.
    pub(in crate::server) bound: SocketAddr,
    /// What it speaks: `quic` or `tcp`.
    pub(in crate::server) transport: ProbeTransport,
    /// Every role: `open`, `closed` or `off`, and why.
    pub(in crate::server) roles: Vec<RoleLine>,
}

/// Where one role of a listener stands.
#[derive(Clone, Debug, Serialize)]
pub(in crate::server) struct RoleLine {
    /// Its name.
    pub(in crate::server) role: String,
    /// Open, closed or off.
    pub(in crate::server) state: RoleCondition,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) why: Option<String>,
    /// Since when, as a Mosaic timestamp (nanoseconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) since: Option<u64>,
}

/// A listener, and the gate before its roles.
#[derive(Clone, Debug)]
pub(in crate::server) struct GatedListener {
    pub(in crate::server) bound: SocketAddr,
    pub(in crate::server) transport: ProbeTransport,
    pub(in crate::server) gate: Arc<Gate>,
}

/// Where the status comes from, at the moment it is asked for.
pub(in crate::server) struct StatusSource {
    pub(in crate::server) key: PublicKey,
    pub(in crate::server) mode: Mode,
    pub(in crate::server) listeners: Vec<GatedListener>,
    /// The self-check; a server that does not test itself has none.
    pub(in crate::server) monitor: Option<Monitor>,
    pub(in crate::server) service: Arc<Service>,
    /// The intervals of the self-check.
    pub(in crate::server) timing: Timing,
}

impl StatusSource {
    /// What is known at this moment.
    pub(in crate::server) async fn status(&self) -> Told {
        let report = match &self.monitor {
            Some(monitor) => monitor.report().await,
            None => None,
        };
        self.with(report).told()
    }

    /// Tests everything again, and tells what is known when that is over, or takes too long.
    pub(in crate::server) async fn check(&self) -> Told {
        let report = match &self.monitor {
            Some(monitor) => test(monitor, self.timing).await,
            None => None,
        };
        self.with(report).told()
    }

    fn with(&self, reachability: Option<Report>) -> Status {
        let verdict = match (self.mode, &reachability) {
            (Mode::Dev, _) => "DEV".to_owned(),
            (Mode::Public, Some(report)) => report.verdict.name().to_owned(),
            (Mode::Public, None) => "UNKNOWN".to_owned(),
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key: self.key.to_server_string(),
            verdict,
            ready: self.is_ready(),
            listeners: self.listeners.iter().map(GatedListener::status).collect(),
            reachability,
            service: self.service.counters(),
        }
    }

    fn is_ready(&self) -> bool {
        let gates = || self.listeners.iter().map(|listener| &listener.gate);
        let is_open = |role: Role| gates().any(|gate| gate.open().contains(role));
        gates().all(|gate| gate.configured().iter().all(is_open))
    }
}

/// A whole new test. Where it does not come to an end, what is known by then, which says so itself.
pub(in crate::server) async fn test(monitor: &Monitor, timing: Timing) -> Option<Report> {
    let limit = timing.at_least(TEST_MAX_SECONDS, TEST_FLOOR);
    match timeout(limit, monitor.recheck()).await {
        Ok(report) => report,
        Err(_) => monitor.report().await,
    }
}

impl Status {
    fn told(&self) -> Told {
        let report = self.reachability.as_ref();
        Told {
            is_public: report.is_some_and(|report| report.verdict == Verdict::Public),
            text: self.to_string(),
            // Every key of the status is a text, so this cannot fail.
            status: serde_json::to_value(self).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = if self.ready { "ready" } else { "not ready" };
        writeln!(f, "server       {} {}, {ready}", self.key, self.version)?;
        for listener in &self.listeners {
            let (transport, bound) = (listener.transport, listener.bound);
            writeln!(f, "serves       {transport} {bound}")?;
            for line in &listener.roles {
                let (role, state) = (&line.role, line.state);
                match &line.why {
                    Some(why) => writeln!(f, "             {role:<12} {state}: {why}")?,
                    None => writeln!(f, "             {role:<12} {state}")?,
                }
            }
        }
        match &self.reachability {
            Some(report) => write!(f, "{report}"),
            None => writeln!(f, "verdict      {}", self.verdict),
        }
    }
}

impl GatedListener {
    /// Where it is bound, and how it is spoken to.
    pub(in crate::server) const fn place(&self) -> (SocketAddr, Transport) {
        (self.bound, self.transport.transport())
    }

    /// Every role, for an operator.
    pub(in crate::server) fn role_lines(&self) -> impl Iterator<Item = admin::RoleLine> + '_ {
        let listener = format!("{} {}", self.transport, self.bound);
        Role::ALL.into_iter().map(move |role| {
            let RoleLine {
                state, why, since, ..
            } = self.line(role);
            admin::RoleLine {
                listener: listener.clone(),
                role,
                state,
                why,
                since: since.and_then(|since| Timestamp::from_nanos(since).ok()),
            }
        })
    }

    fn status(&self) -> ListenerStatus {
        ListenerStatus {
            bound: self.bound,
            transport: self.transport,
            roles: Role::ALL.into_iter().map(|role| self.line(role)).collect(),
        }
    }

    fn line(&self, role: Role) -> RoleLine {
        let (state, why, since) = match self.gate.state(role) {
            RoleState::Open { since, why } => (RoleCondition::Open, why, Some(since)),
            RoleState::Closed { since, why } => (RoleCondition::Closed, Some(why), Some(since)),
            RoleState::Off => (RoleCondition::Off, None, None),
        };
        RoleLine {
            role: role.name().to_owned(),
            state,
            why: why.map(|why| why.to_string()),
            since: since.map(Timestamp::nanos),
        }
    }
}

/// Longest test: contacts that have to be forgotten, two rounds, what lies between them, and retries.
const TEST_MAX_SECONDS: u32 = 900;

/// The same where time is scaled.
const TEST_FLOOR: Duration = Duration::from_secs(60);
