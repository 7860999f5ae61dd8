//! What the plan knows and concludes, as plain data for people and programs.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::{
    reach::{endpoint::ListenerId, verdict::Verdict},
    wire::{ProbeTransport, PublicKey},
};

/// Everything the self-check has to tell, computed when it is asked for. Ages and waits are in
/// seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The best verdict of any endpoint.
    pub verdict: Verdict,
    /// Whether a listener is open to the public roles; see [`ListenerReport::is_open`].
    pub is_open: bool,
    /// One sentence: what was found, and what to do about it.
    pub why: String,
    /// The factor on all intervals, where it is not 1: then this is a laboratory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<f64>,
    /// Whether every endpoint had its rounds, so that the verdicts are not about to change.
    pub is_settled: bool,
    /// The listening sockets.
    pub listeners: Vec<ListenerReport>,
    /// Where they are reached, or claim to be.
    pub endpoints: Vec<EndpointReport>,
    /// The servers that can be asked.
    pub probers: Vec<ProberReport>,
    /// Configured URLs that are not an address of this machine.
    pub urls: Vec<UrlReport>,
    /// What an operator should look at, though no verdict hangs on it.
    pub warnings: Vec<String>,
    /// What was counted since the start.
    pub counters: Counters,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerReport {
    /// Its name.
    #[serde(skip)]
    pub id: ListenerId,
    /// Where it is bound.
    pub bound: SocketAddr,
    /// What it speaks.
    #[serde(serialize_with = "as_text")]
    pub transport: ProbeTransport,
    /// The best verdict of its endpoints.
    pub verdict: Verdict,
    /// Whether the public roles are served on it.
    pub is_open: bool,
    /// `VERDICT: sentence`.
    pub why: String,
    /// Its addresses that were verified from outside.
    pub verified: Vec<SocketAddr>,
    /// How long it has stood so.
    pub since_secs: u64,
}

/// An endpoint: evidence and conclusion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointReport {
    /// Its listener.
    #[serde(skip)]
    pub listener: ListenerId,
    /// What it speaks.
    #[serde(serialize_with = "as_text")]
    pub transport: ProbeTransport,
    /// `address:port`, with `*` for an address that is not known.
    pub endpoint: String,
    /// `local`, `observed` or `unknown`: how its address is known.
    pub known: &'static str,
    /// The interface that has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What is concluded.
    pub verdict: Verdict,
    /// The sentence of the verdict.
    pub why: String,
    /// `closed`, `probation` or `open`.
    pub standing: &'static str,
    /// Local addresses at which dial-backs arrived.
    pub arrived_at: Vec<IpAddr>,
    /// Addresses that probers report, each with the number of networks that do.
    pub observed: Vec<ObservedReport>,
    /// Networks that reached it at the very address that they dialed.
    pub reached: Vec<VoteReport>,
    /// Networks that reached it, translated on the way.
    pub translated: Vec<VoteReport>,
    /// Networks whose dial-backs came from a proxy.
    pub proxied: Vec<VoteReport>,
    /// Networks that say they could not reach it.
    pub failed: Vec<VoteReport>,
    /// Networks that were asked to have it dialed by strangers, who could not reach it.
    pub failed_cold: Vec<VoteReport>,
    /// Networks that reached somebody else there, or say they reached it when they did not.
    pub contradicted: Vec<VoteReport>,
    /// Dial-backs to a fresh port: how many arrived.
    pub canaries_arrived: usize,
    /// And how many were asked for.
    pub canaries_asked: usize,
    /// Networks of strangers that connected unasked, lately.
    pub spontaneous: usize,
    /// Probers that did not probe, since the start.
    pub refusals: u64,
    /// Dial-backs that count for nothing, newest last, with the reason.
    pub discarded: Vec<DiscardedReport>,
    /// How long the verdict has stood.
    pub since_secs: u64,
    /// Time to the next probe; 0 while one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_probe_secs: Option<u64>,
    /// How often it was found public and not public again, within a day.
    pub flips: usize,
}

/// An address that probers report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedReport {
    /// The address.
    pub ip: IpAddr,
    /// How many networks report it.
    pub networks: usize,
}

/// What one network said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VoteReport {
    /// The network.
    pub network: String,
    /// What it said, in a word.
    pub what: String,
    /// Whether it came from an address to which this server had sent nothing.
    pub is_cold: bool,
    /// How long ago.
    pub age_secs: u64,
}

/// A dial-back that counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiscardedReport {
    /// Where it came from.
    pub from: IpAddr,
    /// Why it does not count.
    pub why: String,
    /// How long ago.
    pub age_secs: u64,
}

/// A server that can be asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProberReport {
    /// Its key.
    #[serde(serialize_with = "key_as_text")]
    pub key: PublicKey,
    /// Its configured address.
    pub address: String,
    /// Its networks, as far as they are known.
    pub networks: Vec<String>,
    /// Whether the operator vouches for it.
    pub is_pinned: bool,
    /// Whether it can be asked; if not, why.
    pub state: String,
    /// How often it said what others proved wrong.
    pub strikes: u32,
    /// How the last exchange with it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// And how long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_age_secs: Option<u64>,
}

/// A configured URL that is not an address of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UrlReport {
    /// The URL.
    pub url: String,
    /// What was found there; `None` before it was looked at.
    pub finding: Option<String>,
    /// CONFLICT where somebody else answers, UNKNOWN otherwise: only dial-backs prove more.
    pub verdict: Verdict,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Exchanges with probers.
    pub asks: u64,
    /// Dial-backs that arrived.
    pub dialbacks: u64,
    /// Of these, the ones that count for nothing.
    pub discarded: u64,
    /// Rounds that ended.
    pub rounds: u64,
    /// Endpoints found public.
    pub promotions: u64,
    /// Endpoints that lost it.
    pub demotions: u64,
    /// Answers that others proved wrong.
    pub strikes: u64,
    /// Probers that did not probe.
    pub refusals: u64,
    /// Handshakes from strangers that nobody was asked for.
    pub spontaneous: u64,
}

fn as_text<S: serde::Serializer>(
    transport: &ProbeTransport,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(transport.name())
}

fn key_as_text<S: serde::Serializer>(key: &PublicKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}
