//! The verdict: a pure state machine over evidence and time, and what to ask next.
//!
//! No clock, no socket, no runtime. It is told what happened, and when; it says what to do, and
//! until when it can be left alone. Randomness comes from a seed.
//!
//! # Source
//! `reachability.md` section (d).

mod book;
mod decide;
mod facts;
mod judge;
mod keep;
mod outcome;
mod quorum;
mod reason;
mod report;
mod round;
mod told;
mod tracked;
mod urls;
mod votes;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::{
    book::{Book, Place},
    decide::Case,
    judge::{Family, Own},
    quorum::Quorum,
    round::{Purpose, Round, Step},
    tracked::{Key, Pending, Standing, Tracked},
    urls::Urls,
};

pub use self::reason::{Change, PortName, Reason};
pub use self::report::{
    Counters, DiscardedReport, EndpointReport, ListenerReport, ObservedReport, ProberReport,
    Report, UrlReport, VoteReport,
};
use super::{
    endpoint::{Listener, ListenerId, Prober},
    evidence::{Dialback, LocalFacts, OnionSign, ProbeEnd, ProbeId, Spontaneous, UrlFinding},
    timing::Timing,
    verdict::Verdict,
};
use crate::{
    base::limits,
    wire::{ProbeMode, ProbeTransport, PublicKey, ServerUrl},
};

/// What the plan is made for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The intervals.
    pub timing: Timing,
    /// This server's key: it is no prober of its own.
    pub own_key: PublicKey,
    /// The listening sockets.
    pub listeners: Vec<Listener>,
    /// The servers that can be asked; those past
    /// [`PLAN_PROBERS_MAX`](crate::base::limits::PLAN_PROBERS_MAX) are not.
    pub probers: Vec<Prober>,
    /// The URLs under which the operator says others reach this server.
    pub urls: Vec<ServerUrl>,
    /// Public addresses whose 1:1 translation the operator accepts as good enough.
    pub accept_static_nat: Vec<IpAddr>,
    /// Whether a server that only IPv6 reaches opens.
    pub allow_ipv6_only: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The machine's addresses: at the start, and whenever they changed.
    Facts(LocalFacts),
    /// The signs of an onion service: at the start, and whenever they were looked for again.
    Signs(Vec<OnionSign>),
    /// The machine slept, or its clock was set: nothing known is fresh.
    ClockJumped,
    /// A nonce came home.
    Dialback(Dialback),
    /// A stranger connected unasked.
    Spontaneous(Spontaneous),
    /// An [`Action::Ask`] is over. A dial-back of it comes before this.
    Ended(ProbeId, ProbeEnd),
    /// An [`Action::CheckUrl`] is over.
    Url(ServerUrl, UrlFinding),
    /// A listening socket failed, or was bound anew.
    ListenerLost(ListenerId),
    /// The time of [`Plan::next_deadline`] came.
    Deadline,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a prober; answered by exactly one [`Event::Ended`].
    Ask(Ask),
    /// Find out who is at a configured URL; answered by one [`Event::Url`].
    CheckUrl(ServerUrl),
    /// A listener's verdict, openness, verified addresses or kind of reason changed.
    Turn(Turn),
}

/// One exchange with a prober.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its name.
    pub probe: ProbeId,
    /// Whom to ask.
    pub prober: Prober,
    /// Who is to dial, and where.
    pub mode: ProbeMode,
    /// What is to be dialed.
    pub transport: ProbeTransport,
    /// The port to be dialed. For a canary it says nothing: a fresh port is opened for it.
    pub port: u16,
    /// The local address to ask from; `None`: any of the listener's family.
    pub from: Option<IpAddr>,
    /// Servers that would not be cold.
    pub avoid: Vec<PublicKey>,
    /// The listener that is tested.
    pub listener: ListenerId,
}

/// What a listener has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The listener.
    pub listener: ListenerId,
    /// The best verdict of its endpoints.
    pub verdict: Verdict,
    /// Whether the public roles may be served on it.
    pub is_open: bool,
    /// One line: `VERDICT: sentence`.
    pub why: String,
    /// Its addresses that were verified from outside: PUBLIC ones, and accepted translations.
    pub endpoints: Vec<SocketAddr>,
}

/// The state machine; see the [module](self).
#[derive(Debug)]
pub struct Plan {
    settings: Settings,
    started: Instant,
    random: StdRng,
    facts: Option<LocalFacts>,
    signs: Vec<OnionSign>,
    own: Own,
    book: Book,
    tracked: BTreeMap<Key, Tracked>,
    /// When endpoints were lost, also of those that are no more.
    flips: BTreeMap<Key, VecDeque<Instant>>,
    probes: BTreeMap<ProbeId, Pending>,
    next_probe: u64,
    next_generation: u64,
    urls: Urls,
    told: BTreeMap<ListenerId, told::Told>,
    actions: VecDeque<Action>,
    deadline: Option<Instant>,
    counters: Counters,
}

impl Plan {
    /// A plan that knows nothing yet and has every listener closed.
    #[must_use]
    pub fn new(settings: Settings, now: Instant, seed: u64) -> Self {
        let book = Book::new(settings.timing, settings.own_key, &settings.probers);
        let mut plan = Self {
            started: now,
            random: StdRng::seed_from_u64(seed),
            facts: None,
            signs: Vec::new(),
            own: Own::default(),
            book,
            tracked: BTreeMap::new(),
            flips: BTreeMap::new(),
            probes: BTreeMap::new(),
            next_probe: 0,
            next_generation: 0,
            urls: Urls::new(&settings.urls),
            told: BTreeMap::new(),
            actions: VecDeque::new(),
            deadline: None,
            counters: Counters::default(),
            settings,
        };
        plan.tell_turns(now);
        plan
    }

    /// Takes in what happened. [`poll_action`](Self::poll_action) is to be called until `None`
    /// after it.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Facts(facts) => self.take_facts(facts, now),
            Event::Signs(signs) => self.signs = signs,
            Event::ClockJumped => self.reset_all(&Change::Clock, now, |_| true),
            Event::Dialback(dialback) => self.take_dialback(dialback, now),
            Event::Spontaneous(seen) => self.take_spontaneous(seen, now),
            Event::Ended(probe, end) => self.take_end(probe, &end, now),
            Event::Url(url, finding) => self.urls.found(&url, finding, now),
            Event::ListenerLost(listener) => {
                self.reset_all(&Change::Listener, now, |tracked| {
                    tracked.endpoint.listener == listener
                });
            }
            Event::Deadline => {}
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Deadline`] is due.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether every endpoint had its rounds, so that the verdicts are not about to change.
    #[must_use]
    pub fn is_settled(&self, now: Instant) -> bool {
        self.facts.is_some()
            && self
                .tracked
                .values()
                .all(|it| self.is_endpoint_settled(it, now))
    }

    /// The operator asks for a full round of every endpoint now.
    /// [`poll_action`](Self::poll_action) is to be called until `None` after it.
    pub fn recheck(&mut self, now: Instant) {
        for tracked in self.tracked.values_mut() {
            tracked.rounds = 0;
            tracked.is_next_round_cold = true;
            tracked.is_next_round_whole = true;
            // The second round of a promotion keeps its distance from the first.
            if !matches!(tracked.standing, Standing::Probation { .. }) {
                tracked.next_round = now;
            }
        }
        self.advance(now);
    }

    fn is_endpoint_settled(&self, tracked: &Tracked, now: Instant) -> bool {
        if !tracked.is_probed() || self.quorum(tracked.family).is_err() {
            return true;
        }
        let is_waiting = match &tracked.standing {
            Standing::Closed(Reason::NotCold { .. }) => tracked.rounds < NOT_COLD_ROUNDS,
            Standing::Closed(Reason::Translated { .. }) => {
                tracked.is_accepted && tracked.rounds < NOT_COLD_ROUNDS
            }
            Standing::Closed(Reason::Starting | Reason::Changed(_))
            | Standing::Probation { .. } => true,
            // What comes after the wait is not known yet.
            Standing::Closed(Reason::HeldDown { .. }) => {
                tracked.hold_until.is_none_or(|until| until <= now)
            }
            Standing::Closed(_) | Standing::Open(_) => false,
        };
        tracked.rounds > 0 && tracked.round.is_none() && !is_waiting
    }

    /// Does everything that is due, and finds out when the next thing is.
    fn advance(&mut self, now: Instant) {
        self.deadline = None;
        self.forget_lost_probes(now);
        let keys: Vec<Key> = self.tracked.keys().copied().collect();
        // Endpoints wait for each other's strangers, so what one does may let another go on; each
        // pass but the last lets at least one of them.
        for _ in 0..=keys.len() {
            let mut is_moved = false;
            for key in &keys {
                if let Some(mut tracked) = self.tracked.remove(key) {
                    is_moved |= self.step(&mut tracked, now);
                    self.tracked.insert(*key, tracked);
                }
            }
            if !is_moved {
                break;
            }
        }
        self.check_urls(now);
        self.tell_turns(now);
    }

    /// Takes one endpoint as far as it goes now. Returns whether others may go on for it.
    fn step(&mut self, tracked: &mut Tracked, now: Instant) -> bool {
        tracked.hold_until = tracked.hold_until.filter(|until| *until > now);
        if !tracked.is_probed() {
            return false;
        }
        let Ok(quorum) = self.quorum(tracked.family) else {
            // What was proved stays so until it is too old.
            self.keep(tracked, Quorum::FULL, now);
            return false;
        };
        self.keep(tracked, quorum, now);
        let mut is_moved = false;
        if tracked.round.is_none() {
            if tracked.next_round > now {
                self.wake_at(tracked.next_round);
                return false;
            }
            self.begin(tracked, quorum, now);
            is_moved = true;
        }
        let needed_strangers = tracked.round.as_ref().is_some_and(Round::needs_strangers);
        match self.step_round(tracked, now) {
            Step::Over => {
                if let Some(round) = tracked.round.take() {
                    self.conclude(tracked, &round, quorum, now);
                    self.wake_at(tracked.next_round);
                }
                true
            }
            Step::Waits => {
                let needs_strangers = tracked.round.as_ref().is_some_and(Round::needs_strangers);
                is_moved || needed_strangers != needs_strangers
            }
        }
    }

    fn begin(&mut self, tracked: &mut Tracked, quorum: Quorum, now: Instant) {
        let timing = self.settings.timing;
        let is_whole = tracked.is_next_round_whole;
        let round = match &tracked.standing {
            Standing::Closed(_) => {
                let may_open = tracked.is_local() || !self.settings.accept_static_nat.is_empty();
                let needed = if may_open {
                    quorum.cold.saturating_sub(tracked.cold_proofs(now, timing))
                } else {
                    1_usize.saturating_sub(tracked.cold_arrivals(now, timing))
                };
                let cold = if is_whole { quorum.cold } else { needed };
                let is_light = !is_whole && tracked.is_shut(quorum, now, timing);
                Round::new(Purpose::Search, is_light, cold, quorum)
            }
            Standing::Probation { .. } => Round::new(Purpose::Second, false, 0, quorum),
            Standing::Open(keep) => {
                let is_hourly = keep.next_full <= now;
                let is_cold = tracked.is_next_round_cold || is_whole || is_hourly;
                let cold = if is_cold { quorum.cold } else { 0 };
                Round::new(Purpose::Keep, false, cold, quorum)
            }
        };
        tracked.strangers_at = None;
        tracked.is_next_round_cold = false;
        tracked.is_next_round_whole = false;
        tracked.last_round_at = Some(now);
        tracked.round = Some(round);
    }

    /// Starts one exchange.
    fn ask(
        &mut self,
        tracked: &Tracked,
        place: Place,
        mode: ProbeMode,
        mut avoid: Vec<PublicKey>,
        now: Instant,
    ) -> Option<ProbeId> {
        let prober = self.book.entry(place)?.prober.clone();
        let probe = ProbeId(self.next_probe);
        self.next_probe += 1;
        self.counters.asks += 1;
        self.book.asked(place, tracked.path(), mode, now);
        let timing = self.settings.timing;
        let pending = Pending {
            key: tracked.key(),
            generation: tracked.generation,
            place,
            path: tracked.path(),
            mode,
            expires: now + 2 * timing.exchange() + timing.nonce_ttl(),
            dialback: None,
        };
        self.wake_at(pending.expires);
        self.probes.insert(probe, pending);
        avoid.truncate(limits::PLAN_AVOID_MAX);
        self.actions.push_back(Action::Ask(Ask {
            probe,
            prober,
            mode,
            transport: tracked.endpoint.transport,
            port: tracked.endpoint.port,
            from: tracked.from,
            avoid,
            listener: tracked.endpoint.listener,
        }));
        Some(probe)
    }

    fn quorum(&self, family: Family) -> Result<Quorum, (usize, usize)> {
        let (quorum, usable) = self.book.quorum(family, &self.own);
        quorum.map_err(|needed| (usable, needed))
    }

    fn case<'a>(&'a self, tracked: &'a Tracked, now: Instant) -> Case<'a> {
        let timing = self.settings.timing;
        Case {
            now,
            timing,
            endpoint: tracked.endpoint,
            interface: tracked.interface.as_deref(),
            quorum: self.quorum(tracked.family).unwrap_or(Quorum::FULL),
            votes: &tracked.votes,
            probers: self.book.entries().len(),
            is_any_reached: self
                .book
                .is_any_reached(tracked.family, now, timing.positive_ttl()),
            is_disputed: tracked.is_disputed(),
            onion: self.onion_sign(tracked),
        }
    }

    fn is_ours(&self, tracked: &Tracked, now: Instant) -> bool {
        let ip = tracked.endpoint.claim.ip();
        tracked.is_local() && ip.is_some_and(|ip| decide::is_ours(self.case(tracked, now), ip))
    }

    fn wake_at(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
    }

    fn random_of<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() {
            return None;
        }
        of.get(self.random.random_range(0..of.len())).copied()
    }

    /// `interval`, varied by a fifth either way, so that servers started together part.
    fn varied(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(self.random.random_range(0.8..1.2))
    }

    /// An exchange ends by itself; should one not, nothing may wait for it for ever.
    fn forget_lost_probes(&mut self, now: Instant) {
        let lost: Vec<ProbeId> = self
            .probes
            .iter()
            .filter(|(_, pending)| pending.expires <= now)
            .map(|(probe, _)| *probe)
            .collect();
        for probe in lost {
            self.take_end(probe, &outcome::LOST, now);
        }
        let next = self.probes.values().map(|pending| pending.expires).min();
        if let Some(next) = next {
            self.wake_at(next);
        }
    }
}

/// Rounds after which a verdict is given out although strangers were not to be had.
const NOT_COLD_ROUNDS: u32 = 3;

#[cfg(test)]
mod tests;
