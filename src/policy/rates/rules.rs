//! What the operator allows.

use std::net::IpAddr;

use super::gcra::Allowance;
use crate::base::{Network, limits};
use crate::wire::PublicKey;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Handshakes that are begun.
    Handshakes,
    /// Streams that are opened.
    Streams,
    /// Records that are submitted.
    Submissions,
    /// Bytes that are received.
    Bytes,
    /// Rows that are looked at for queries.
    QueryRows,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 5] = [
        Self::Handshakes,
        Self::Streams,
        Self::Submissions,
        Self::Bytes,
        Self::QueryRows,
    ];

    pub(super) const COUNT: usize = Self::ALL.len();

    /// Its name, as the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::Streams => "streams",
            Self::Submissions => "submissions",
            Self::Bytes => "bytes",
            Self::QueryRows => "query_rows",
        }
    }
}

/// What one address (in IPv6: one network of 64 bits) or a stranger's key may use. Everything else
/// follows from it by factors. A rate of 0 sets no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRules {
    /// Handshakes in a second; where they have no limit, registrations of users have none.
    pub handshakes_per_second: u32,
    /// Streams in a second.
    pub streams_per_second: u32,
    /// Submissions in a second.
    pub submissions_per_second: u32,
    /// Submissions at once after a time of quiet.
    pub submissions_burst: u32,
    /// Bytes in a second.
    pub bytes_per_second: u32,
    /// Rows looked at in a second.
    pub query_rows_per_second: u32,
    /// Seconds' worth of all the other rates that may be used at once.
    pub burst_seconds: u32,
    /// Connections open at a time; 0 sets no limit.
    pub connections: u32,
    /// How many times as much a user may use.
    pub user_factor: u32,
    /// How many times as much a loopback address may use.
    pub loopback_factor: u32,
}

/// In whose name something is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Where the peer is.
    pub address: IpAddr,
    /// The master whom the peer speaks for, else its own key; `None` for an anonymous one.
    pub key: Option<PublicKey>,
    /// Whether the server serves that master.
    pub is_user: bool,
}

/// Whose account it is in the table of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// The strangers of a network.
    Strangers(Network),
    /// All the users of a network.
    Users(Network),
}

impl RateRules {
    /// No limits at all.
    pub const NONE: Self = Self {
        handshakes_per_second: 0,
        streams_per_second: 0,
        submissions_per_second: 0,
        submissions_burst: 1,
        bytes_per_second: 0,
        query_rows_per_second: 0,
        burst_seconds: 1,
        connections: 0,
        user_factor: 1,
        loopback_factor: 1,
    };

    /// Submissions that a peer may make in a second; `None` where there is no limit.
    #[must_use]
    pub fn submissions_of(&self, is_user: bool) -> Option<u64> {
        let factor = if is_user { self.user_factor } else { 1 };
        let allowance = self.scaled(Limit::Submissions, factor);
        (allowance.per_second > 0).then_some(allowance.per_second)
    }

    /// What a key may use.
    pub(super) fn of_key(&self, limit: Limit, is_user: bool) -> Allowance {
        self.scaled(limit, self.key_factor(is_user))
    }

    /// What a network may use.
    pub(super) fn of_origin(&self, limit: Limit, origin: Origin) -> Allowance {
        self.scaled(limit, self.origin_factor(origin))
    }

    /// Connections that a key may have open; `None` where there is no limit.
    pub(super) fn key_connections(&self) -> Option<u32> {
        (self.connections > 0).then_some(self.connections)
    }

    /// Connections that a network may have open.
    pub(super) fn origin_connections(&self, origin: Origin) -> Option<u32> {
        let max = self.connections.saturating_mul(self.origin_factor(origin));
        (max > 0).then_some(max)
    }

    /// Handshakes that a network may have in flight.
    pub(super) fn handshakes_in_flight(&self, origin: Origin) -> Option<u32> {
        let max = limits::ADDRESS_HANDSHAKES_MAX.saturating_mul(self.origin_factor(origin));
        (self.handshakes_per_second > 0).then_some(max)
    }

    /// Users whom a network may register in an hour; `None` where there is no limit.
    pub(super) fn registrations(&self, network: Network) -> Option<u32> {
        let factor = self.origin_factor(Origin::Strangers(network));
        let max = limits::REGISTRATIONS_PER_HOUR.saturating_mul(factor);
        (self.handshakes_per_second > 0).then_some(max)
    }

    const fn key_factor(&self, is_user: bool) -> u32 {
        if is_user { self.user_factor } else { 1 }
    }

    fn origin_factor(&self, origin: Origin) -> u32 {
        let (network, factor) = match origin {
            Origin::Strangers(network) => (network, 1),
            Origin::Users(network) => {
                let together = limits::RATE_USERS_OF_ADDRESS_FACTOR;
                (network, self.user_factor.saturating_mul(together))
            }
        };
        if network.is_loopback() {
            factor.saturating_mul(self.loopback_factor)
        } else {
            factor
        }
    }

    fn scaled(&self, limit: Limit, factor: u32) -> Allowance {
        let factor = u64::from(factor);
        let rate = match limit {
            Limit::Handshakes => self.handshakes_per_second,
            Limit::Streams => self.streams_per_second,
            Limit::Submissions => self.submissions_per_second,
            Limit::Bytes => self.bytes_per_second,
            Limit::QueryRows => self.query_rows_per_second,
        };
        let per_second = u64::from(rate).saturating_mul(factor);
        let burst = match limit {
            Limit::Submissions => u64::from(self.submissions_burst).saturating_mul(factor),
            Limit::Handshakes | Limit::Streams | Limit::Bytes | Limit::QueryRows => {
                per_second.saturating_mul(u64::from(self.burst_seconds))
            }
        };
        Allowance { per_second, burst }
    }
}

impl Default for RateRules {
    fn default() -> Self {
        Self {
            handshakes_per_second: limits::RATE_HANDSHAKES_PER_SECOND,
            streams_per_second: limits::RATE_STREAMS_PER_SECOND,
            submissions_per_second: limits::RATE_SUBMISSIONS_PER_SECOND,
            submissions_burst: limits::RATE_SUBMISSIONS_BURST,
            bytes_per_second: limits::RATE_BYTES_PER_SECOND,
            query_rows_per_second: limits::RATE_QUERY_ROWS_PER_SECOND,
            burst_seconds: limits::RATE_BURST_SECONDS,
            connections: limits::ADDRESS_CONNECTIONS_MAX,
            user_factor: limits::RATE_USER_FACTOR,
            loopback_factor: limits::RATE_LOOPBACK_FACTOR,
        }
    }
}

impl Asker {
    pub(super) fn origin(&self) -> Origin {
        let network = Network::of(self.address);
        if self.is_user {
            Origin::Users(network)
        } else {
            Origin::Strangers(network)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_loopback_may_use_a_multiple() {
        let rules = RateRules::default();
        let base = rules.of_key(Limit::Submissions, false);
        assert_eq!(base.per_second, 50);
        assert_eq!(rules.of_key(Limit::Submissions, true).per_second, 200);
        assert_eq!(rules.of_key(Limit::Submissions, true).burst, 20_000);
        let origin = |text: &str| Origin::Strangers(Network::of(text.parse().unwrap()));
        let streams = |text: &str| rules.of_origin(Limit::Streams, origin(text));
        assert_eq!(streams("203.0.113.7").burst, 500);
        assert_eq!(streams("127.0.0.3").per_second, 500);
        assert_eq!(streams("::1").per_second, 500);
        assert_eq!(rules.submissions_of(true), Some(200));
        assert_eq!(RateRules::NONE.submissions_of(true), None);
    }
}
