//! Whether this server's own way out is known to work, for each family.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The newest handshakes that this process completed as the one who dialed.
#[derive(Debug, Default)]
pub(super) struct Control {
    v4: Newest,
    v6: Newest,
}

/// Newest first, of different addresses. Two are enough: at most one of them is the address that
/// is being tested, which proves nothing about itself.
type Newest = [Option<(IpAddr, Instant)>; 2];

impl Control {
    /// A handshake with `ip` came about.
    pub(super) fn note(&mut self, ip: IpAddr, now: Instant) {
        let newest = match ip {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        };
        let [first, _] = *newest;
        let other = match first {
            Some((of, _)) if of == ip => {
                let [_, second] = *newest;
                second
            }
            first => first,
        };
        *newest = [Some((ip, now)), other];
    }

    /// Whether there was one in the family of `target`, with another address, within `ttl`.
    pub(super) fn is_proved(&self, target: IpAddr, now: Instant, ttl: Duration) -> bool {
        let newest = match target {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        newest
            .iter()
            .flatten()
            .any(|(ip, at)| *ip != target && now.saturating_duration_since(*at) < ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::timing::Timing;

    const TTL: Duration = Duration::from_secs(300);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_another_address_of_the_same_family_proves_the_way_out() {
        let (mut control, now) = (Control::default(), Instant::now());
        control.note(ip("11.1.0.1"), now);
        assert!(!control.is_proved(ip("11.1.0.1"), now, TTL));
        assert!(control.is_proved(ip("12.2.0.1"), now, TTL));
        assert!(!control.is_proved(ip("2600:1::1"), now, TTL));
    }

    #[test]
    fn repeated_handshakes_with_one_address_do_not_push_another_out() {
        let (mut control, now) = (Control::default(), Instant::now());
        control.note(ip("12.2.0.1"), now);
        control.note(ip("11.1.0.1"), now);
        control.note(ip("11.1.0.1"), now);
        assert!(control.is_proved(ip("11.1.0.1"), now, TTL));
    }

    #[test]
    fn an_old_handshake_proves_nothing() {
        let (mut control, now) = (Control::default(), Instant::now());
        control.note(ip("11.1.0.1"), now);
        let ttl = Timing::REAL.control_ttl();
        assert!(!control.is_proved(ip("12.2.0.1"), now + ttl, ttl));
    }
}
