//! To whom this process sent packets lately: who is *cold*.
//!
//! Many firewalls and NATs let in whoever was sent a packet a short while ago. A dial-back from such
//! an address shows nothing about strangers, so every socket of this process tells here whom it
//! sends to, and the self-check asks here who is a stranger.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::timing::Timing;
use crate::base::{Network, limits};

/// To whom this process sent packets within the last [`contact_ttl`](Timing::contact_ttl).
///
/// Whatever is in doubt is *not* cold, so that doubt never helps a promotion:
///
/// * Of IPv6 it is the first 64 bits that count: one host has them all, and filters that remember
///   networks exist.
/// * When there are more contacts, or more open connections, than
///   [`CONTACTS_MAX`](limits::CONTACTS_MAX), nobody is cold until the surplus is forgotten.
///
/// # Source
/// `reachability.md` section (d.1).
#[derive(Debug)]
pub struct Contacts {
    ttl: Duration,
    state: Mutex<State>,
}

impl Contacts {
    /// Nobody was contacted yet.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            ttl: timing.contact_ttl(),
            state: Mutex::default(),
        }
    }

    /// As [`new`](Self::new), where an earlier process on this machine sent packets until `ago`:
    /// nobody knows to whom, so nobody is cold until all of that is forgotten.
    #[must_use]
    pub fn after(timing: Timing, ago: Duration, now: Instant) -> Self {
        let contacts = Self::new(timing);
        // A clock that began later than that has seen all of it be forgotten.
        contacts.state().overflowed = now.checked_sub(ago);
        contacts
    }

    /// A socket of this process sent a packet to `ip`, or is about to.
    pub fn dialed(&self, ip: IpAddr, now: Instant) {
        self.state().touch(Network::of(ip), now, self.ttl);
    }

    /// An inbound connection from `ip` is complete; tells whether `ip` was cold. From now on it is
    /// not, until [`contact_ttl`](Timing::contact_ttl) after [`left`](Self::left).
    pub fn arrived(&self, ip: IpAddr, now: Instant) -> bool {
        let place = Network::of(ip);
        let mut state = self.state();
        let was_cold = state.is_cold(place, now, self.ttl);
        state.open(place);
        state.touch(place, now, self.ttl);
        was_cold
    }

    /// A connection that [`arrived`](Self::arrived) has ended. Once for each of them.
    pub fn left(&self, ip: IpAddr, now: Instant) {
        let place = Network::of(ip);
        let mut state = self.state();
        state.close(place);
        state.touch(place, now, self.ttl);
    }

    /// Whether this process sent nothing to `ip` within the last
    /// [`contact_ttl`](Timing::contact_ttl), and has no connection from it.
    #[must_use]
    pub fn is_cold(&self, ip: IpAddr, now: Instant) -> bool {
        self.state().is_cold(Network::of(ip), now, self.ttl)
    }

    /// Whether nobody counts as cold because there are more contacts than are remembered.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.state().is_full(now, self.ttl)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The contacts in two generations: when the younger one is as old as a contact counts, it becomes
/// the older one, whose entries are all out of date by then. So nothing is ever searched through.
#[derive(Debug, Default)]
struct State {
    recent: HashMap<Network, Instant>,
    earlier: HashMap<Network, Instant>,
    /// When `recent` was begun.
    begun: Option<Instant>,
    /// Connections from each place.
    open: HashMap<Network, usize>,
    /// Connections that found no room in `open`.
    unlisted: usize,
    /// When a contact last found no room in `recent`.
    overflowed: Option<Instant>,
}

impl State {
    fn touch(&mut self, place: Network, now: Instant, ttl: Duration) {
        self.age(now, ttl);
        let has_room = self.recent.len() < limits::CONTACTS_MAX;
        match self.recent.get_mut(&place) {
            // Two threads may have read the clock in the other order.
            Some(last) => *last = now.max(*last),
            None if has_room => {
                self.recent.insert(place, now);
            }
            None => self.overflowed = Some(now),
        }
    }

    fn age(&mut self, now: Instant, ttl: Duration) {
        let begun = *self.begun.get_or_insert(now);
        let age = now.saturating_duration_since(begun);
        if age >= ttl {
            self.earlier = mem::take(&mut self.recent);
            self.begun = Some(now);
        }
        if age >= ttl * 2 {
            self.earlier.clear();
        }
    }

    fn open(&mut self, place: Network) {
        let has_room = self.open.len() < limits::CONTACTS_MAX;
        match self.open.get_mut(&place) {
            Some(count) => *count += 1,
            None if has_room => {
                self.open.insert(place, 1);
            }
            None => self.unlisted += 1,
        }
    }

    fn close(&mut self, place: Network) {
        match self.open.get_mut(&place) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.open.remove(&place);
            }
            None => self.unlisted = self.unlisted.saturating_sub(1),
        }
    }

    fn is_cold(&self, place: Network, now: Instant, ttl: Duration) -> bool {
        let is_recent = |last: &Instant| now.saturating_duration_since(*last) < ttl;
        let mut last = [&self.recent, &self.earlier]
            .map(|seen| seen.get(&place))
            .into_iter()
            .flatten();
        !self.is_full(now, ttl) && !self.open.contains_key(&place) && !last.any(is_recent)
    }

    fn is_full(&self, now: Instant, ttl: Duration) -> bool {
        let is_recent = |last: Instant| now.saturating_duration_since(last) < ttl;
        self.unlisted > 0 || self.overflowed.is_some_and(is_recent)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    /// Contacts, and a clock that is moved by hand.
    struct Scene {
        contacts: Contacts,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                contacts: Contacts::new(Timing::REAL),
                now: Instant::now(),
            }
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }

        fn dialed(&self, text: &str) {
            self.contacts.dialed(ip(text), self.now);
        }

        fn arrived(&self, text: &str) -> bool {
            self.contacts.arrived(ip(text), self.now)
        }

        fn left(&self, text: &str) {
            self.contacts.left(ip(text), self.now);
        }

        fn is_cold(&self, text: &str) -> bool {
            self.contacts.is_cold(ip(text), self.now)
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn number(n: usize) -> IpAddr {
        Ipv4Addr::from_bits(u32::try_from(n).unwrap()).into()
    }

    #[test]
    fn nobody_is_cold_until_what_an_earlier_process_sent_is_forgotten() {
        let now = Instant::now() + TTL * 2;
        let contacts = Contacts::after(Timing::REAL, TTL / 3, now);
        assert!(!contacts.is_cold(ip("11.1.0.1"), now));
        assert!(!contacts.is_cold(ip("11.1.0.1"), now + TTL / 2));
        assert!(contacts.is_cold(ip("11.1.0.1"), now + TTL));
    }

    #[test]
    fn whom_nothing_was_sent_to_is_cold() {
        assert!(Scene::new().is_cold("11.1.0.1"));
    }

    #[test]
    fn who_was_dialed_is_not_cold_until_the_time_is_over() {
        let mut scene = Scene::new();
        scene.dialed("11.1.0.1");
        assert!(!scene.is_cold("11.1.0.1"));
        assert!(scene.is_cold("11.1.0.2"));
        scene.wait(TTL - Duration::from_nanos(1));
        assert!(!scene.is_cold("11.1.0.1"));
        scene.wait(Duration::from_nanos(1));
        assert!(scene.is_cold("11.1.0.1"));
    }

    #[test]
    fn dialing_again_starts_the_time_anew() {
        let mut scene = Scene::new();
        for _ in 0..10 {
            scene.dialed("11.1.0.1");
            scene.wait(TTL - Duration::from_secs(1));
            assert!(!scene.is_cold("11.1.0.1"));
        }
        scene.wait(Duration::from_secs(1));
        assert!(scene.is_cold("11.1.0.1"));
    }

    #[test]
    fn who_arrives_is_cold_once_and_then_not_while_the_connection_is_open() {
        let mut scene = Scene::new();
        assert!(scene.arrived("11.1.0.1"));
        assert!(!scene.arrived("11.1.0.1"));
        scene.left("11.1.0.1");
        scene.wait(TTL * 5);
        assert!(!scene.is_cold("11.1.0.1"), "the other connection is open");
        scene.left("11.1.0.1");
        scene.wait(TTL - Duration::from_secs(1));
        assert!(!scene.is_cold("11.1.0.1"));
        scene.wait(Duration::from_secs(1));
        assert!(scene.arrived("11.1.0.1"));
    }

    #[test]
    fn both_spellings_of_an_ipv4_address_are_one_contact() {
        let scene = Scene::new();
        scene.dialed("::ffff:11.1.0.1");
        assert!(!scene.is_cold("11.1.0.1"));
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        let scene = Scene::new();
        scene.dialed("2600:1::1");
        assert!(!scene.is_cold("2600:1::ffff:2"));
        assert!(scene.is_cold("2600:1:0:1::1"));
    }

    #[test]
    fn a_clock_read_in_the_wrong_order_does_not_shorten_a_contact() {
        let mut scene = Scene::new();
        let before = scene.now;
        scene.wait(Duration::from_secs(10));
        scene.dialed("11.1.0.1");
        scene.contacts.dialed(ip("11.1.0.1"), before);
        scene.wait(TTL - Duration::from_secs(1));
        assert!(!scene.is_cold("11.1.0.1"));
    }

    #[test]
    fn old_contacts_are_forgotten() {
        let mut scene = Scene::new();
        for n in 0..1_000 {
            scene.contacts.dialed(number(n), scene.now);
        }
        scene.wait(TTL);
        scene.dialed("11.1.0.1");
        scene.wait(TTL);
        scene.dialed("11.1.0.2");
        let state = scene.contacts.state();
        assert_eq!(state.recent.len() + state.earlier.len(), 2);
    }

    #[test]
    fn with_more_contacts_than_are_remembered_nobody_is_cold() {
        let mut scene = Scene::new();
        for n in 0..limits::CONTACTS_MAX {
            scene.contacts.dialed(number(n), scene.now);
        }
        assert!(scene.is_cold("211.1.0.1"), "it was not one too many yet");
        scene.wait(Duration::from_secs(1));
        scene.dialed("211.1.0.2");
        assert!(!scene.is_cold("211.1.0.1"));
        assert!(!scene.is_cold("211.1.0.2"));
        assert!(scene.contacts.is_full(scene.now));
        scene.wait(TTL);
        assert!(scene.is_cold("211.1.0.2"));
        assert!(!scene.contacts.is_full(scene.now));
    }

    #[test]
    fn with_more_connections_than_are_remembered_nobody_is_cold_until_the_surplus_is_gone() {
        let mut scene = Scene::new();
        for n in 0..limits::CONTACTS_MAX {
            assert!(scene.contacts.arrived(number(n), scene.now));
        }
        scene.wait(TTL * 3);
        scene.arrived("211.1.0.1");
        scene.wait(TTL * 3);
        assert!(!scene.is_cold("211.1.0.2"));
        scene.left("211.1.0.1");
        assert!(scene.is_cold("211.1.0.2"));
        assert!(!scene.is_cold("211.1.0.1"));
    }
}
