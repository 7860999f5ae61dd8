//! Who may use how much, as the configuration has it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Rates as Configured;
use crate::net::Admission;
use crate::policy::{Bans, RateRules, Rates};

/// Nobody is banned yet, and nothing was used.
pub(super) fn admission(rules: RateRules) -> Admission {
    Admission {
        bans: Arc::new(Bans::default()),
        rates: Arc::new(Rates::new(rules, Instant::now().into_std())),
    }
}

/// The rules that the configuration asks for.
pub(super) const fn rate_rules(rates: &Configured) -> RateRules {
    RateRules {
        handshakes_per_second: rates.handshakes,
        streams_per_second: rates.streams,
        submissions_per_second: rates.submissions,
        submissions_burst: rates.submissions_burst,
        bytes_per_second: rates.bytes,
        query_rows_per_second: rates.query_rows,
        burst_seconds: rates.burst_seconds,
        connections: rates.connections,
        user_factor: rates.user_factor,
        loopback_factor: rates.loopback_factor,
    }
}
