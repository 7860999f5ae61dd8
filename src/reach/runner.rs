//! The task that feeds the plan with what happens, and carries out what it asks for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::ask::{Ask, ask};
use super::canary;
use super::contacts::Contacts;
use super::endpoint::{Listener, ListenerId};
use super::evidence::{
    Dialback, DialbackSocket, LocalFacts, OnionSign, ProbeAnswer, ProbeEnd, ProbeId, Spontaneous,
    UrlFinding,
};
use super::interfaces::{self, InterfacesError};
use super::nonces::Nonces;
use super::onion::{self, OnionSettings};
use super::plan::{self, Action, Event, Plan, Report, Turn};
use super::service::Service;
use super::timing::Timing;
use super::url_check;
use crate::base::limits::{PROBES_OUT_MAX, SPONTANEOUS_QUEUE_MAX};
use crate::client::Caught;
use crate::wire::{Nonce, ProbeMode, SecretKey, ServerUrl};

/// What the self-check needs of its server.
pub struct Setup {
    /// What is tested, by whom, and by which rules.
    pub plan: plan::Settings,
    /// The server's key, as which it asks.
    pub identity: SecretKey,
    /// To whom this process sent packets.
    pub contacts: Arc<Contacts>,
    /// Where signs of an onion service are looked for.
    pub onion: OnionSettings,
    /// The dial-back service beside it, which learns of the probers that were reached: they show
    /// that the way out works.
    pub service: Arc<Service>,
}

/// The self-check as the rest of the server sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    nonces: Arc<Nonces>,
    dialbacks: mpsc::Sender<Dialback>,
    spontaneous: mpsc::Sender<Spontaneous>,
    loopback: mpsc::Sender<ListenerId>,
    orders: mpsc::Sender<Order>,
}

/// What an operator wants of the self-check.
#[derive(Debug)]
enum Order {
    /// What is known at this moment.
    Report(oneshot::Sender<Report>),
    /// What is known once a whole new round is over and nothing is pending.
    Recheck(oneshot::Sender<Report>),
}

/// What is known of a dial-back before its nonce is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Where it came in.
    pub listener: ListenerId,
    /// Its source address.
    pub remote: std::net::SocketAddr,
    /// The local address it was sent to.
    pub dst: Option<IpAddr>,
    /// The key that the dialer proved.
    pub dialer: Option<crate::wire::PublicKey>,
    /// Whether the source was cold.
    pub is_cold: bool,
}

impl Monitor {
    /// Takes a dial-back. Returns whether its nonce is one of ours, unused and in time; only then
    /// may it be acknowledged.
    pub fn dialback(&self, arrived: Arrived, message: &crate::wire::Dialback) -> bool {
        let Some(probe) = self.nonces.redeem(&message.nonce, Instant::now()) else {
            return false;
        };
        let dialback = Dialback {
            probe,
            at: DialbackSocket::Listener(arrived.listener),
            remote: arrived.remote,
            dst: arrived.dst,
            dialer: arrived.dialer,
            is_cold: arrived.is_cold,
            mode: message.mode,
            dialed: message.dialed,
        };
        // There is room for every nonce that can be out, so this fails when the task is gone.
        self.dialbacks.try_send(dialback).is_ok()
    }

    /// Takes note of a handshake that nobody was asked for, from a source that was cold.
    pub fn spontaneous(&self, seen: Spontaneous) {
        if self.spontaneous.try_send(seen).is_err() {
            tracing::trace!("a spontaneous handshake was passed over");
        }
    }

    /// Takes note that a loopback peer uses a listener on loopback.
    pub fn loopback_peer(&self, listener: ListenerId) {
        // One that finds no room is followed by others that say the same.
        self.loopback.try_send(listener).ok();
    }

    /// What is known at this moment; `None` where the self-check has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn report(&self) -> Option<Report> {
        let (sender, report) = oneshot::channel();
        self.orders.send(Order::Report(sender)).await.ok()?;
        report.await.ok()
    }

    /// Tests everything again now, and returns what is known when that has come to an end: a
    /// minute or so, or the time of a promotion where one is due. `None` where the self-check has
    /// ended.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the test.
    pub async fn recheck(&self) -> Option<Report> {
        let (sender, report) = oneshot::channel();
        self.orders.send(Order::Recheck(sender)).await.ok()?;
        report.await.ok()
    }
}

/// The self-check: the plan, and everything it has under way.
pub struct Runner {
    plan: Plan,
    timing: Timing,
    listeners: Vec<Listener>,
    identity: SecretKey,
    contacts: Arc<Contacts>,
    onion: OnionSettings,
    service: Arc<Service>,
    nonces: Arc<Nonces>,
    dialbacks: mpsc::Receiver<Dialback>,
    canaries: mpsc::Sender<Dialback>,
    spontaneous: mpsc::Receiver<Spontaneous>,
    loopback: mpsc::Receiver<ListenerId>,
    loopback_peers: Vec<ListenerId>,
    orders: mpsc::Receiver<Order>,
    work: JoinSet<Done>,
    /// Which probe a task carries out, so that one that panics has an end too.
    probes: HashMap<task::Id, ProbeId>,
    waiting: Vec<oneshot::Sender<Report>>,
    turn: Box<dyn Fn(Turn) + Send>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Something that was under way and is over.
enum Done {
    Probe(ProbeId, ProbeEnd),
    Url(ServerUrl, UrlFinding),
    Signs(Vec<OnionSign>),
}

impl Runner {
    /// A self-check that begins with [`run`](Self::run), and its handle. `turn` is called whenever
    /// a listener's verdict changes.
    #[must_use]
    pub fn new(setup: Setup, turn: impl Fn(Turn) + Send + 'static) -> (Self, Monitor) {
        let timing = setup.plan.timing;
        let nonces = Arc::new(Nonces::new(timing));
        let (dialback_sender, dialbacks) = mpsc::channel(PROBES_OUT_MAX);
        let (spontaneous_sender, spontaneous) = mpsc::channel(SPONTANEOUS_QUEUE_MAX);
        let (loopback_sender, loopback) = mpsc::channel(1);
        let (order_sender, orders) = mpsc::channel(1);
        let monitor = Monitor {
            nonces: Arc::clone(&nonces),
            dialbacks: dialback_sender.clone(),
            spontaneous: spontaneous_sender,
            loopback: loopback_sender,
            orders: order_sender,
        };
        let mut runner = Self {
            timing,
            listeners: setup.plan.listeners.clone(),
            plan: Plan::new(setup.plan, Instant::now(), rand::random()),
            identity: setup.identity,
            contacts: setup.contacts,
            onion: setup.onion,
            service: setup.service,
            nonces,
            dialbacks,
            canaries: dialback_sender,
            spontaneous,
            loopback,
            loopback_peers: Vec::new(),
            orders,
            work: JoinSet::new(),
            probes: HashMap::new(),
            waiting: Vec::new(),
            turn: Box::new(turn),
        };
        // What needs no evidence is told before anybody can ask.
        runner.carry_out();
        (runner, monitor)
    }

    /// Runs until it is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future ends every probe that is under way.
    pub async fn run(mut self) {
        let mut clock = Clock::new();
        let mut clock_ticks = interval(CLOCK_INTERVAL);
        clock_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut onion_ticks = interval(self.timing.at_least(300, Duration::from_secs(5)));
        onion_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = LocalChanges::new();
        loop {
            self.carry_out();
            self.answer_waiting();
            let deadline = self.plan.next_deadline();
            // Every branch is cancel safe: channels, joins and ticks by their documentation,
            // `LocalChanges::next` by its own.
            let event = tokio::select! {
                // What came home counts before the end of its probe does, so it is looked at first.
                biased;
                Some(dialback) = self.dialbacks.recv() => Some(Event::Dialback(dialback)),
                Some(done) = self.work.join_next_with_id() => self.done(done),
                facts = changes.next() => Some(Event::Facts(facts)),
                Some(order) = self.orders.recv() => self.order(order),
                Some(listener) = self.loopback.recv() => self.loopback_peer(listener),
                Some(seen) = self.spontaneous.recv() => Some(Event::Spontaneous(seen)),
                () = sleep_to(deadline) => Some(Event::Deadline),
                _ = clock_ticks.tick() => clock.has_jumped(self.timing).then_some(Event::ClockJumped),
                _ = onion_ticks.tick() => self.look_for_signs(),
            };
            if let Some(event) = event {
                self.plan.handle(Instant::now(), event);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.plan.poll_action() {
            match action {
                Action::Ask(ask) => self.ask(ask),
                Action::CheckUrl(url) => {
                    let (key, contacts) = (self.identity.clone(), Arc::clone(&self.contacts));
                    let patience = self.timing.exchange();
                    self.work.spawn(async move {
                        let finding = url_check::look(&url, &key, &contacts, patience).await;
                        Done::Url(url, finding)
                    });
                }
                Action::Turn(turn) => (self.turn)(turn),
            }
        }
    }

    /// Starts a probe; whatever becomes of it, the plan is told exactly once.
    fn ask(&mut self, asked: plan::Ask) {
        let probe = asked.probe;
        let nonce = self.nonces.issue(probe, Instant::now());
        let listener = self.listeners.iter().find(|it| it.id == asked.listener);
        let (Some(nonce), Some(listener)) = (nonce, listener) else {
            let task = self
                .work
                .spawn(async move { Done::Probe(probe, NOT_ASKED) });
            self.probes.insert(task.id(), probe);
            return;
        };
        let job = Job {
            nonce,
            // Where no address is ours the family still has to be the listener's.
            from: asked.from.unwrap_or(match listener.bound.ip() {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            }),
            asked,
            identity: self.identity.clone(),
            timing: self.timing,
            contacts: Arc::clone(&self.contacts),
            nonces: Arc::clone(&self.nonces),
            canaries: self.canaries.clone(),
        };
        let task = self.work.spawn(async move {
            let limit = job.timing.exchange() + EXCHANGE_SLACK;
            let end = timeout(limit, job.run()).await.unwrap_or(NOT_ASKED);
            Done::Probe(probe, end)
        });
        self.probes.insert(task.id(), probe);
    }

    fn done(&mut self, done: Result<(task::Id, Done), JoinError>) -> Option<Event> {
        let id = done.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let asked = self.probes.remove(&id);
        match done.map(|(_, done)| done) {
            Ok(Done::Probe(probe, end)) => {
                self.nonces.withdraw(probe);
                if let Some(ip) = end.prober_ip {
                    self.service.reached(ip);
                }
                // A dial-back is answered before its prober reports, so it is here by now.
                while let Ok(dialback) = self.dialbacks.try_recv() {
                    self.plan.handle(Instant::now(), Event::Dialback(dialback));
                }
                Some(Event::Ended(probe, end))
            }
            Ok(Done::Url(url, finding)) => Some(Event::Url(url, finding)),
            Ok(Done::Signs(mut signs)) => {
                let peers = self.loopback_peers.iter().copied();
                signs.extend(peers.map(OnionSign::LoopbackPeers));
                Some(Event::Signs(signs))
            }
            Err(error) => {
                tracing::error!(%error, "a part of the self-check panicked");
                let probe = asked?;
                self.nonces.withdraw(probe);
                Some(Event::Ended(probe, NOT_ASKED))
            }
        }
    }

    fn order(&mut self, order: Order) -> Option<Event> {
        match order {
            // Whoever asked may be gone.
            Order::Report(sender) => drop(sender.send(self.plan.report(Instant::now()))),
            Order::Recheck(sender) => {
                self.plan.recheck(Instant::now());
                self.waiting.retain(|waiting| !waiting.is_closed());
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push(sender);
                }
            }
        }
        None
    }

    fn answer_waiting(&mut self) {
        let now = Instant::now();
        if self.waiting.is_empty() || !self.plan.is_settled(now) {
            return;
        }
        for sender in self.waiting.drain(..) {
            drop(sender.send(self.plan.report(now)));
        }
    }

    fn loopback_peer(&mut self, listener: ListenerId) -> Option<Event> {
        if !self.loopback_peers.contains(&listener)
            && self.listeners.iter().any(|it| it.id == listener)
        {
            self.loopback_peers.push(listener);
            return self.look_for_signs();
        }
        None
    }

    fn look_for_signs(&mut self) -> Option<Event> {
        let (settings, listeners) = (self.onion.clone(), self.listeners.clone());
        self.work
            .spawn(async move { Done::Signs(onion::signs(&settings, &listeners).await) });
        None
    }
}

/// One probe, with all it needs.
struct Job {
    nonce: Nonce,
    asked: plan::Ask,
    from: IpAddr,
    identity: SecretKey,
    timing: Timing,
    contacts: Arc<Contacts>,
    nonces: Arc<Nonces>,
    canaries: mpsc::Sender<Dialback>,
}

impl Job {
    async fn run(self) -> ProbeEnd {
        if self.asked.mode != ProbeMode::Canary {
            return self.ask(self.asked.port).await;
        }
        let opened = canary::open(self.from, self.asked.transport, &self.identity);
        let mut canary = match opened {
            Ok(canary) => canary,
            Err(error) => {
                tracing::debug!(%error, "cannot open a canary port");
                return NOT_ASKED;
            }
        };
        let asking = self.ask(canary.port());
        tokio::pin!(asking);
        loop {
            tokio::select! {
                end = &mut asking => return end,
                // Cancel safe: what was caught is answered before the loop turns.
                caught = canary.next() => self.caught(caught),
            }
        }
    }

    async fn ask(&self, port: u16) -> ProbeEnd {
        ask(Ask {
            prober: &self.asked.prober,
            identity: &self.identity,
            from: Some(self.from),
            nonce: self.nonce,
            port,
            mode: self.asked.mode,
            transport: self.asked.transport,
            avoid: self.asked.avoid.clone(),
            timing: self.timing,
            contacts: &self.contacts,
        })
        .await
    }

    /// A dial-back on the canary: only this probe's nonce counts there.
    fn caught(&self, caught: Caught) {
        let now = Instant::now();
        let is_cold = self.contacts.is_cold(caught.remote.ip(), now);
        self.contacts.dialed(caught.remote.ip(), now);
        let nonce = caught.dialback.nonce;
        let is_ours = self.nonces.is_of(&nonce, self.asked.probe);
        if !is_ours || self.nonces.redeem(&nonce, now).is_none() {
            return caught.reject();
        }
        let dialback = Dialback {
            probe: self.asked.probe,
            at: DialbackSocket::Canary,
            remote: caught.remote,
            dst: caught.dst,
            dialer: caught.dialer,
            is_cold,
            mode: caught.dialback.mode,
            dialed: caught.dialback.dialed,
        };
        if self.canaries.try_send(dialback).is_ok() {
            caught.ack();
        } else {
            caught.reject();
        }
    }
}

/// The kernel's news of this machine's addresses; tries again for ever where it gives none.
struct LocalChanges {
    watch: Option<interfaces::Watch>,
    /// Whether the state of affairs was told since the watch began.
    is_told: bool,
}

impl LocalChanges {
    const fn new() -> Self {
        Self {
            watch: None,
            is_told: false,
        }
    }

    /// The next state of affairs: the present one at first, then each change.
    ///
    /// # Cancel safety
    /// Cancel safe: the watch is kept, and so is whether anything was told.
    async fn next(&mut self) -> LocalFacts {
        loop {
            match self.try_next().await {
                Ok(facts) => return facts,
                Err(error) => {
                    tracing::error!(%error, "cannot see the network interfaces");
                    self.watch = None;
                    sleep(WATCH_RETRY).await;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<LocalFacts, InterfacesError> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            None => {
                self.is_told = false;
                self.watch.insert(interfaces::Watch::start()?)
            }
        };
        // The watch stands before the first look, so that nothing changes between the two.
        let facts = if self.is_told {
            watch.changed().await?
        } else {
            interfaces::snapshot().await?
        };
        self.is_told = true;
        Ok(facts)
    }
}

/// Two clocks that go alike unless the machine slept, or somebody set the time.
struct Clock {
    monotonic: Instant,
    wall: SystemTime,
}

impl Clock {
    fn new() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn has_jumped(&mut self, timing: Timing) -> bool {
        let now = Self::new();
        let by_monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        let by_wall = now.wall.duration_since(self.wall);
        *self = now;
        match by_wall {
            Ok(by_wall) => by_wall.abs_diff(by_monotonic) >= timing.clock_jump(),
            Err(backwards) => backwards.duration() + by_monotonic >= timing.clock_jump(),
        }
    }
}

async fn sleep_to(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The end of a probe that never left this process.
const NOT_ASKED: ProbeEnd = ProbeEnd {
    prober_ip: None,
    observed: None,
    answer: ProbeAnswer::LocalError,
};

/// How often the clocks are compared.
const CLOCK_INTERVAL: Duration = Duration::from_secs(15);

/// First and every further wait where the kernel gives no news.
const WATCH_RETRY: Duration = Duration::from_secs(5);

/// Time that an exchange has beyond its own deadline before it is given up from outside.
const EXCHANGE_SLACK: Duration = Duration::from_secs(5);

/// Operators that wait for a new test at a time.
const WAITING_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_go_alike_have_not_jumped() {
        let mut clock = Clock::new();
        assert!(!clock.has_jumped(Timing::REAL));
    }

    #[test]
    fn a_wall_clock_that_was_set_has_jumped_once() {
        for jump in [Duration::from_secs(61), Duration::from_secs(86_400)] {
            let mut clock = Clock::new();
            clock.wall -= jump;
            assert!(clock.has_jumped(Timing::REAL), "forward");
            assert!(!clock.has_jumped(Timing::REAL), "told once");
            clock.wall += jump;
            assert!(clock.has_jumped(Timing::REAL), "backward");
        }
    }
}
