//! The configured URLs: the ports they name, and who is found there.

use std::{net::IpAddr, time::Instant};

use super::{Action, Plan, judge::Family, report::UrlReport, tracked::Tracked, votes::is_fresh};
use crate::{
    base::limits,
    reach::{address::canonical, evidence::UrlFinding, verdict::Verdict},
    wire::{ProbeTransport, ServerHost, ServerUrl, Transport},
};

/// The configured URLs that a listener could be behind.
#[derive(Clone, Debug)]
pub(super) struct Urls(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    url: ServerUrl,
    found: Option<(UrlFinding, Instant)>,
    asked_at: Option<Instant>,
}

impl Urls {
    pub(super) fn new(urls: &[ServerUrl]) -> Self {
        let is_ours =
            |url: &&ServerUrl| url.transport() != Transport::WebSocket && !url.host().is_onion();
        let entries = urls.iter().filter(is_ours).take(limits::PLAN_URLS_MAX);
        Self(
            entries
                .map(|url| Entry {
                    url: url.clone(),
                    found: None,
                    asked_at: None,
                })
                .collect(),
        )
    }

    pub(super) fn found(&mut self, url: &ServerUrl, finding: UrlFinding, now: Instant) {
        for entry in self.0.iter_mut().filter(|entry| entry.url == *url) {
            entry.found = Some((finding, now));
        }
    }

    /// The port that a URL names for that transport and family, unless it is another machine's.
    pub(super) fn port_for(&self, transport: ProbeTransport, family: Family) -> Option<u16> {
        let mut entries = self.0.iter().filter(|entry| {
            entry.url.transport() == transport.transport()
                && entry.literal().is_none_or(|ip| Family::of(ip) == family)
                && !entry.is_wrong()
        });
        entries.next().map(|entry| entry.url.port())
    }
}

impl Entry {
    fn literal(&self) -> Option<IpAddr> {
        match self.url.host() {
            ServerHost::Ip(ip) => Some(canonical(*ip)),
            ServerHost::Name(_) => None,
        }
    }

    const fn is_wrong(&self) -> bool {
        matches!(self.found, Some((UrlFinding::WrongKey(_), _)))
    }
}

impl Plan {
    /// Has somebody look who is at the URLs that are not an address known to be ours, once the
    /// first rounds are over and every hour.
    pub(super) fn check_urls(&mut self, now: Instant) {
        let is_ready = self.facts.is_some()
            && self
                .tracked
                .values()
                .all(|it| it.rounds > 0 || !it.is_probed() || self.quorum(it.family).is_err());
        if !is_ready {
            return;
        }
        let hour = self.settings.timing.hour();
        let known: Vec<IpAddr> = self.known_addresses();
        let mut wake = None;
        for entry in &mut self.urls.0 {
            if entry.literal().is_some_and(|ip| known.contains(&ip)) {
                continue;
            }
            if let Some(at) = entry.asked_at.filter(|at| is_fresh(*at, now, hour)) {
                wake = wake.into_iter().chain([at + hour]).min();
                continue;
            }
            entry.asked_at = Some(now);
            wake = wake.into_iter().chain([now + hour]).min();
            self.actions.push_back(Action::CheckUrl(entry.url.clone()));
        }
        if let Some(at) = wake {
            self.wake_at(at);
        }
    }

    fn known_addresses(&self) -> Vec<IpAddr> {
        let claimed = self
            .tracked
            .values()
            .filter_map(|it| it.endpoint.claim.ip());
        claimed
            .chain(self.local_addresses().iter().copied())
            .collect()
    }

    /// A URL of this endpoint's kind at which somebody else answers.
    pub(super) fn wrong_url(&self, tracked: &Tracked) -> Option<&ServerUrl> {
        let known = self.known_addresses();
        let mut entries = self.urls.0.iter().filter(|entry| {
            let Some((UrlFinding::WrongKey(ip), _)) = entry.found else {
                return false;
            };
            let ip = canonical(ip);
            entry.url.transport() == tracked.endpoint.transport.transport()
                && Family::of(ip) == tracked.family
                && !known.contains(&ip)
        });
        entries.next().map(|entry| &entry.url)
    }

    pub(super) fn url_reports(&self) -> Vec<UrlReport> {
        let known = self.known_addresses();
        let foreign = self
            .urls
            .0
            .iter()
            .filter(|entry| entry.literal().is_none_or(|ip| !known.contains(&ip)));
        foreign
            .map(|entry| UrlReport {
                url: entry.url.to_string(),
                finding: entry.found.map(|(finding, _)| match finding {
                    UrlFinding::Unresolved => "the name does not resolve".to_owned(),
                    UrlFinding::Ours(ip) => format!("this server answers at {ip}"),
                    UrlFinding::WrongKey(ip) => format!("somebody else answers at {ip}"),
                    UrlFinding::Silent(ip) => format!("nobody answers at {ip}"),
                }),
                verdict: if entry.is_wrong() {
                    Verdict::Conflict
                } else {
                    Verdict::Unknown
                },
            })
            .collect()
    }
}
