//! How much is dialed at whom: pure counting, on a clock that is passed in.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use super::quotas::{drop_while, has_passed};
use crate::base::limits;
use crate::reach::address::{self, Netgroup};
use crate::reach::timing::Timing;
use crate::wire::{ProbeCode, ProbeTransport, PublicKey};

/// What was dialed within the last minute and hour, and what is under way, of one [`Proof`].
#[derive(Debug)]
pub(super) struct Dials {
    timing: Timing,
    /// Oldest first; at most [`limits::PROBES_PER_MINUTE_MAX`].
    probes: VecDeque<Probe>,
    /// At most [`limits::PROBES_AT_ONCE_MAX`].
    under_way: Vec<Household>,
    /// When each port was dialed last; at most [`limits::PROBE_PORT_ADDRESSES_MAX`] entries of
    /// [`limits::PROBE_PORTS_PER_HOUR_MAX`].
    ports: HashMap<(Household, ProbeTransport), Vec<(u16, Instant)>>,
}

/// Who says that an address is to be dialed. What is counted of the one never limits the other:
/// otherwise vouchers that somebody makes up would keep an address from having itself dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The address itself: the request came from there.
    Own,
    /// Another server, by a voucher.
    Voucher,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    at: Instant,
    key: PublicKey,
    household: Household,
    netgroup: Netgroup,
}

/// A place that counts as one: an IPv4 address, or the 56 bits of IPv6 that one home is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Household(u64);

impl Household {
    pub(super) fn of(ip: IpAddr) -> Self {
        match address::canonical(ip) {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            // The first 16 bits of a global address are not zero, so none is an IPv4 address.
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                let network = [a, b, c, d & 0xFF00];
                Self(
                    network
                        .iter()
                        .fold(0, |all, part| (all << 16) | u64::from(*part)),
                )
            }
        }
    }
}

/// What is to be dialed, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The server that is to be dialed.
    pub(super) key: PublicKey,
    /// Its address.
    pub(super) ip: IpAddr,
    /// The port to dial.
    pub(super) port: u16,
    /// The transport to dial.
    pub(super) transport: ProbeTransport,
}

impl Dials {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            probes: VecDeque::new(),
            under_way: Vec::new(),
            ports: HashMap::new(),
        }
    }

    /// Counts a probe and begins it. Nothing is counted of one that is turned away.
    pub(super) fn begin(&mut self, wanted: &Wanted, now: Instant) -> Result<Household, ProbeCode> {
        let household = Household::of(wanted.ip);
        let netgroup = Netgroup::of(wanted.ip);
        let is_over = |probe: &Probe| has_passed(self.timing.minute(), probe.at, now);
        drop_while(&mut self.probes, is_over);
        let of_key = |probe: &&Probe| probe.key == wanted.key;
        let of_household = |probe: &&Probe| probe.household == household;
        let of_netgroup = |probe: &&Probe| probe.netgroup == netgroup;
        let probes = || self.probes.iter();
        if self.probes.len() >= limits::PROBES_PER_MINUTE_MAX
            || probes().filter(of_key).count() >= limits::PROBES_PER_KEY_PER_MINUTE_MAX
            || probes().filter(of_household).count() >= limits::PROBES_PER_ADDRESS_PER_MINUTE_MAX
            || probes().filter(of_netgroup).count() >= limits::PROBES_PER_NETGROUP_PER_MINUTE_MAX
        {
            return Err(ProbeCode::RateLimited);
        }
        if self.under_way.len() >= limits::PROBES_AT_ONCE_MAX || self.under_way.contains(&household)
        {
            return Err(ProbeCode::Busy);
        }
        self.note_port(household, wanted, now)?;
        self.probes.push_back(Probe {
            at: now,
            key: wanted.key,
            household,
            netgroup,
        });
        self.under_way.push(household);
        Ok(household)
    }

    /// A probe that was begun is over.
    pub(super) fn finish(&mut self, household: Household) {
        if let Some(place) = self.under_way.iter().position(|of| *of == household) {
            self.under_way.swap_remove(place);
        }
    }

    /// As if a minute had passed for rates, and no time for anything else.
    #[cfg(test)]
    pub(super) fn forget_minute(&mut self) {
        self.probes.clear();
    }

    fn note_port(
        &mut self,
        household: Household,
        wanted: &Wanted,
        now: Instant,
    ) -> Result<(), ProbeCode> {
        let hour = self.timing.hour();
        let place = (household, wanted.transport);
        if !self.ports.contains_key(&place) && self.ports.len() >= limits::PROBE_PORT_ADDRESSES_MAX
        {
            self.ports
                .retain(|_, ports| ports.iter().any(|(_, at)| !has_passed(hour, *at, now)));
            if self.ports.len() >= limits::PROBE_PORT_ADDRESSES_MAX {
                return Err(ProbeCode::Busy);
            }
        }
        let ports = self.ports.entry(place).or_default();
        ports.retain(|(_, at)| !has_passed(hour, *at, now));
        if let Some((_, at)) = ports.iter_mut().find(|(port, _)| *port == wanted.port) {
            *at = now;
            return Ok(());
        }
        if ports.len() >= limits::PROBE_PORTS_PER_HOUR_MAX {
            return Err(ProbeCode::PortRefused);
        }
        ports.push((wanted.port, now));
        Ok(())
    }
}
