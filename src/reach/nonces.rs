//! The nonces that are out: each is the name of one probe, known to its prober alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::evidence::ProbeId;
use super::timing::Timing;
use crate::base::limits::PROBES_OUT_MAX;
use crate::wire::Nonce;

/// The nonces that are out. Each comes home once, in time, or never.
#[derive(Debug)]
pub struct Nonces {
    timing: Timing,
    out: Mutex<HashMap<Nonce, Out>>,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    probe: ProbeId,
    until: Instant,
}

impl Nonces {
    /// No nonce is out.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            out: Mutex::default(),
        }
    }

    /// A new nonce for `probe`; `None` where [`PROBES_OUT_MAX`] are out.
    pub fn issue(&self, probe: ProbeId, now: Instant) -> Option<Nonce> {
        let mut out = self.out();
        out.retain(|_, out| now < out.until);
        if out.len() >= PROBES_OUT_MAX {
            return None;
        }
        let nonce = Nonce::generate();
        let until = now + self.timing.nonce_ttl();
        out.insert(nonce, Out { probe, until });
        Some(nonce)
    }

    /// The probe of a nonce that came home, which it can do once. `None` for one that is not ours,
    /// was here before, or comes too late.
    pub fn redeem(&self, nonce: &Nonce, now: Instant) -> Option<ProbeId> {
        let out = self.out().remove(nonce)?;
        (now < out.until).then_some(out.probe)
    }

    /// Whether the nonce is out and belongs to `probe`.
    #[must_use]
    pub fn is_of(&self, nonce: &Nonce, probe: ProbeId) -> bool {
        self.out().get(nonce).is_some_and(|out| out.probe == probe)
    }

    /// The probe is over: a dial-back that comes yet comes too late.
    pub fn withdraw(&self, probe: ProbeId) {
        self.out().retain(|_, out| out.probe != probe);
    }

    /// What is under the lock changes in one step, so a panic elsewhere cannot leave it half done.
    fn out(&self) -> MutexGuard<'_, HashMap<Nonce, Out>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_nonce_comes_home_once() {
        let (nonces, now) = (Nonces::new(Timing::REAL), Instant::now());
        let nonce = nonces.issue(ProbeId(7), now).unwrap();
        assert_eq!(nonces.redeem(&Nonce::generate(), now), None);
        assert_eq!(nonces.redeem(&nonce, now), Some(ProbeId(7)));
        assert_eq!(nonces.redeem(&nonce, now), None);
    }

    #[test]
    fn a_nonce_that_comes_late_or_after_its_probe_is_nobodys() {
        let (nonces, now) = (Nonces::new(Timing::REAL), Instant::now());
        let late = nonces.issue(ProbeId(1), now).unwrap();
        assert_eq!(nonces.redeem(&late, now + Timing::REAL.nonce_ttl()), None);
        let withdrawn = nonces.issue(ProbeId(2), now).unwrap();
        nonces.withdraw(ProbeId(2));
        assert_eq!(nonces.redeem(&withdrawn, now), None);
    }

    #[test]
    fn no_more_are_out_than_the_bound_until_old_ones_expire() {
        let (nonces, now) = (Nonces::new(Timing::REAL), Instant::now());
        for probe in 0..PROBES_OUT_MAX {
            let probe = ProbeId(probe.try_into().unwrap());
            assert!(nonces.issue(probe, now).is_some());
        }
        assert_eq!(nonces.issue(ProbeId(u64::MAX), now), None);
        let later = now + Timing::REAL.nonce_ttl() + Duration::from_secs(1);
        assert!(nonces.issue(ProbeId(u64::MAX), later).is_some());
    }
}
