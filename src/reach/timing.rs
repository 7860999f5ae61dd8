//! Every interval of the self-check, with the one factor that tests scale them by.

use std::time::Duration;

/// The intervals of the self-check and of the dial-back service.
///
/// One factor shortens all of them together, so that a laboratory can watch an hour in two
/// minutes. What waits for a network, and not for time to pass, keeps a floor that a loaded
/// machine can meet.
///
/// # Source
/// `reachability.md` section (d.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    scale: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self::REAL
    }
}

impl Timing {
    /// The intervals as they are meant.
    pub const REAL: Self = Self { scale: 1.0 };

    /// Intervals shortened by `scale`, from 0.001 to 1. `None` for another number.
    #[must_use]
    pub fn scaled(scale: f64) -> Option<Self> {
        (0.001..=1.0).contains(&scale).then_some(Self { scale })
    }

    /// The factor; 1 outside a laboratory.
    #[must_use]
    pub const fn scale(self) -> f64 {
        self.scale
    }

    /// `seconds`, shortened by the factor.
    #[must_use]
    pub fn seconds(self, seconds: u32) -> Duration {
        Duration::from_secs(seconds.into()).mul_f64(self.scale)
    }

    /// `seconds`, shortened by the factor, but not below `floor`.
    #[must_use]
    pub fn at_least(self, seconds: u32, floor: Duration) -> Duration {
        let full = Duration::from_secs(seconds.into());
        self.seconds(seconds).max(floor.min(full))
    }

    /// From the start of the listener to the first probe.
    #[must_use]
    pub fn first_probe(self) -> Duration {
        self.seconds(2)
    }

    /// First wait before a round that came to nothing is repeated; doubles.
    #[must_use]
    pub fn retry_min(self) -> Duration {
        self.at_least(5, Duration::from_millis(200))
    }

    /// Longest wait before a round that came to nothing is repeated.
    #[must_use]
    pub fn retry_max(self) -> Duration {
        self.at_least(300, Duration::from_millis(500))
    }

    /// Between the two rounds of a promotion: longer than a NAT mapping lives without traffic.
    #[must_use]
    pub fn probation(self) -> Duration {
        self.seconds(150)
    }

    /// Between single probes of an endpoint that is public; varied by a fifth either way.
    #[must_use]
    pub fn heartbeat(self) -> Duration {
        self.seconds(300)
    }

    /// Between full rounds of an endpoint that is public.
    #[must_use]
    pub fn full_round(self) -> Duration {
        self.seconds(3_600)
    }

    /// Age below which a positive needs no replacement yet.
    #[must_use]
    pub fn top_up(self) -> Duration {
        self.seconds(1_200)
    }

    /// Age past which a positive counts no more.
    #[must_use]
    pub fn positive_ttl(self) -> Duration {
        self.seconds(1_800)
    }

    /// Age past which a cold positive does not count as cold any more.
    #[must_use]
    pub fn cold_ttl(self) -> Duration {
        self.seconds(5_400)
    }

    /// Age to which spontaneous traffic stretches a positive, once.
    #[must_use]
    pub fn stretched_ttl(self) -> Duration {
        self.seconds(3_600)
    }

    /// Between the round that speaks for a demotion and its repetition.
    #[must_use]
    pub fn confirmation(self) -> Duration {
        self.seconds(30)
    }

    /// Age below which spontaneous traffic vetoes a voted demotion.
    #[must_use]
    pub fn veto_window(self) -> Duration {
        self.seconds(300)
    }

    /// Between the rounds of a demotion that is vetoed.
    #[must_use]
    pub fn veto_round(self) -> Duration {
        self.seconds(120)
    }

    /// Time in which flips are counted.
    #[must_use]
    pub fn flip_window(self) -> Duration {
        self.seconds(86_400)
    }

    /// First wait of an endpoint that flips too often; doubles up to [`hold_down_max`](Self::hold_down_max).
    #[must_use]
    pub fn hold_down_min(self) -> Duration {
        self.seconds(180)
    }

    /// Longest wait of an endpoint that flips too often.
    #[must_use]
    pub fn hold_down_max(self) -> Duration {
        self.seconds(3_600)
    }

    /// How long a prober that lied three times is left alone.
    #[must_use]
    pub fn liar_pause(self) -> Duration {
        self.seconds(86_400)
    }

    /// How long an address to which a packet was sent is not cold: RFC 4787 recommends that
    /// mappings live that long.
    #[must_use]
    pub fn contact_ttl(self) -> Duration {
        self.seconds(300)
    }

    /// Age below which a completed handshake shows that a prober's own way out works.
    #[must_use]
    pub fn control_ttl(self) -> Duration {
        self.at_least(300, Duration::from_secs(10))
    }

    /// Time one dial has. A failure is told at this time and not before, so that it says nothing
    /// about what lies behind it.
    #[must_use]
    pub fn dial(self) -> Duration {
        self.at_least(5, Duration::from_millis(1_500))
    }

    /// Longest random wait of a third server before it dials.
    #[must_use]
    pub fn cold_delay_max(self) -> Duration {
        self.seconds(3)
    }

    /// Time a whole exchange with a prober has, the connection to it included.
    #[must_use]
    pub fn exchange(self) -> Duration {
        self.at_least(15, Duration::from_secs(5))
    }

    /// How long a nonce can be shown.
    #[must_use]
    pub fn nonce_ttl(self) -> Duration {
        self.at_least(30, Duration::from_secs(10))
    }

    /// The minute by which the dial-back service counts.
    #[must_use]
    pub fn minute(self) -> Duration {
        self.seconds(60)
    }

    /// The hour by which the dial-back service counts ports.
    #[must_use]
    pub fn hour(self) -> Duration {
        self.seconds(3_600)
    }

    /// Jump of the clock that makes everything known stale.
    #[must_use]
    pub fn clock_jump(self) -> Duration {
        // Not scaled: a process that waited for a processor must not count as suspended.
        Duration::from_secs(60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_factor_shortens_every_interval_but_not_below_what_a_network_needs() {
        let fast = Timing::scaled(0.01).unwrap();
        assert_eq!(fast.heartbeat(), Duration::from_secs(3));
        assert_eq!(fast.probation(), Duration::from_millis(1_500));
        assert_eq!(fast.dial(), Duration::from_millis(1_500));
        assert_eq!(Timing::REAL.dial(), Duration::from_secs(5));
        assert!(fast.exchange() < Timing::REAL.exchange());
    }

    #[test]
    fn a_factor_that_lengthens_or_stops_time_is_refused() {
        for scale in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Timing::scaled(scale), None, "{scale}");
        }
    }

    #[test]
    fn the_real_intervals_fit_together() {
        let real = Timing::REAL;
        assert!(
            real.probation() > Duration::from_secs(120),
            "RFC 4787, Linux"
        );
        assert!(real.dial() + real.cold_delay_max() < real.exchange());
        assert!(real.exchange() < real.nonce_ttl());
        assert!(real.heartbeat() < real.top_up() && real.top_up() < real.positive_ttl());
        assert!(real.positive_ttl() < real.cold_ttl());
    }
}
