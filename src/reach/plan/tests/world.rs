//! The world itself.

use std::{collections::BTreeMap, fmt};

use rand::seq::IndexedRandom as _;

use super::*;
use crate::{
    reach::evidence::{DialbackSocket, ProbeAnswer},
    wire::{ProbeCode, ProbeOutcome, SecretKey},
};

/// A prober.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) key: PublicKey,
    pub(super) ip: IpAddr,
    pub(super) is_pinned: bool,
    pub(super) manners: Manners,
}

/// How a prober behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    Honest,
    /// Says that nothing came back, and dials nobody; asked for a third server, it makes one up.
    LiesNegative,
    /// Says that all went well, and dials nobody.
    LiesPositive,
    /// Dials another address of ours than the one that asked, and says nothing of it.
    DialsOther(IpAddr),
    /// Dials where it should, and says that it dialed there instead.
    ClaimsDialed(IpAddr),
    /// Reports a false address, and dials the true one.
    ClaimsObserved(IpAddr),
    Refuses(ProbeCode),
    Offline,
    Silent,
    /// Its own way out is not proved.
    NoControl,
}

/// A dial-back on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) src: IpAddr,
    pub(super) dialed: SocketAddr,
    /// Whether the server sent nothing to `src` for a while.
    pub(super) is_cold: bool,
    pub(super) is_canary: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives { dst: IpAddr, remote: IpAddr },
    Silence,
    WrongKey,
    OtherInstance,
}

impl Fate {
    pub(super) const fn arrives(dst: IpAddr, remote: IpAddr) -> Self {
        Self::Arrives { dst, remote }
    }
}

impl Host {
    pub(super) fn new(number: u8, ip: IpAddr) -> Self {
        Self {
            key: SecretKey::from_seed([number; 32]).public(),
            ip,
            is_pinned: false,
            manners: Manners::Honest,
        }
    }

    pub(super) const fn with(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    pub(super) const fn pinned(mut self) -> Self {
        self.is_pinned = true;
        self
    }
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    /// What a packet from the server looks like to others.
    pub(super) observe: Box<dyn Fn(Option<IpAddr>, IpAddr) -> IpAddr>,
    pub(super) network: Box<dyn FnMut(&Dial) -> Fate>,
    pub(super) url: Box<dyn Fn(&ServerUrl) -> UrlFinding>,
    pub(super) turns: Vec<(Duration, Turn)>,
    pub(super) asks: Vec<(Duration, Ask)>,
    /// The addresses of names.
    pub(super) names: BTreeMap<String, String>,
    contacts: BTreeMap<IpAddr, Instant>,
    random: StdRng,
    coming: Vec<(Instant, Event)>,
    timing: Timing,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

pub(super) fn listener(number: u16, bound: &str, transport: ProbeTransport) -> Listener {
    Listener {
        id: ListenerId(number),
        transport,
        bound: bound.parse().unwrap(),
    }
}

pub(super) fn settings(hosts: &[Host]) -> Settings {
    Settings {
        timing: Timing::REAL,
        own_key: SecretKey::from_seed([99; 32]).public(),
        listeners: vec![listener(0, "0.0.0.0:1320", ProbeTransport::Quic)],
        probers: hosts
            .iter()
            .map(|host| Prober {
                key: host.key,
                address: SocketAddr::new(host.ip, 1320).to_string(),
                pinned: host.is_pinned,
            })
            .collect(),
        urls: Vec::new(),
        accept_static_nat: Vec::new(),
        allow_ipv6_only: false,
    }
}

impl World {
    /// A server with that address on its interface, and everything open.
    pub(super) fn new(hosts: Vec<Host>, facts: LocalFacts) -> Self {
        let settings = settings(&hosts);
        Self::of(settings, hosts, facts, 1)
    }

    pub(super) fn of(settings: Settings, hosts: Vec<Host>, facts: LocalFacts, seed: u64) -> Self {
        let start = Instant::now();
        let timing = settings.timing;
        let mut world = Self {
            plan: Plan::new(settings, start, seed),
            start,
            now: start,
            hosts,
            observe: Box::new(|from, _| from.unwrap_or(ip(SERVER))),
            network: Box::new(open_network),
            url: Box::new(|_| UrlFinding::Unresolved),
            turns: Vec::new(),
            asks: Vec::new(),
            names: BTreeMap::new(),
            contacts: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
            coming: Vec::new(),
            timing,
        };
        world.tell(Event::Facts(facts));
        world
    }

    /// Behind a router: others see `public`.
    pub(super) fn behind(mut self, public: &'static str) -> Self {
        self.observe = Box::new(move |_, _| ip(public));
        self
    }

    pub(super) fn network(mut self, network: impl FnMut(&Dial) -> Fate + 'static) -> Self {
        self.network = Box::new(network);
        self
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.plan.handle(self.now, event);
        self.carry_out();
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Lets time pass until nothing is left to be found out, for a day at most.
    pub(super) fn settle(&mut self) -> &mut Self {
        let end = self.now + minutes(24 * 60);
        assert!(
            self.run_until(end, |world| world.plan.is_settled(world.now)),
            "it never settles: {:#?}",
            self.plan.report(self.now)
        );
        self
    }

    /// Lets time pass until the first listener has that verdict. Returns the time it took.
    pub(super) fn wait_for(&mut self, verdict: Verdict, longest: Duration) -> Duration {
        let since = self.now;
        let end = self.now + longest;
        assert!(
            self.run_until(end, |world| world.verdict() == verdict),
            "{verdict} did not come: {:#?}",
            self.plan.report(self.now)
        );
        self.now - since
    }

    /// Lets time pass until somebody is asked.
    pub(super) fn run_to_first_ask(&mut self) {
        let end = self.now + minutes(5);
        assert!(self.run_until(end, |world| !world.asks.is_empty()));
    }

    fn run_until(&mut self, end: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..200_000 {
            if is_done(self) {
                return true;
            }
            let coming = self.coming.iter().map(|(at, _)| *at).min();
            let next = coming.into_iter().chain(self.plan.next_deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                return false;
            };
            self.now = self.now.max(next);
            if coming == Some(next) {
                let place = self.coming.iter().position(|(at, _)| *at == next).unwrap();
                let (_, event) = self.coming.remove(place);
                self.tell(event);
            } else {
                self.tell(Event::Deadline);
                let deadline = self.plan.next_deadline();
                assert!(
                    deadline.is_none_or(|at| at > self.now),
                    "a deadline that came and is due again"
                );
            }
        }
        panic!("the clock does not get on");
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.plan.poll_action() {
            match action {
                Action::Ask(ask) => self.ask(ask),
                Action::CheckUrl(url) => {
                    let finding = (self.url)(&url);
                    self.come(1, Event::Url(url, finding));
                }
                Action::Turn(turn) => self.turns.push((self.elapsed(), turn)),
            }
        }
    }

    fn come(&mut self, seconds: u64, event: Event) {
        // A laboratory hastens everything, but for what a network takes.
        let second = self.timing.at_least(1, Duration::from_millis(300));
        let at = self.now + second * u32::try_from(seconds).unwrap();
        self.coming.push((at, event));
    }

    fn end(&mut self, seconds: u64, ask: &Ask, end: ProbeEnd) {
        self.come(seconds, Event::Ended(ask.probe, end));
    }

    fn is_cold(&self, ip: IpAddr) -> bool {
        let at = self.contacts.get(&ip);
        at.is_none_or(|at| self.now - *at >= self.timing.contact_ttl())
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push((self.elapsed(), ask.clone()));
        let address = self.names.get(&ask.prober.address);
        let address = address.unwrap_or(&ask.prober.address).parse();
        let place = self.hosts.iter().position(|host| {
            host.key == ask.prober.key && address == Ok(SocketAddr::new(host.ip, 1320))
        });
        let prober = self.hosts[place.unwrap()].clone();
        let seen = (self.observe)(ask.from, prober.ip);
        let observed = match prober.manners {
            Manners::ClaimsObserved(ip) => ip,
            _ => seen,
        };
        let mut end = ProbeEnd {
            prober_ip: Some(prober.ip),
            observed: Some(SocketAddr::new(observed, 40_000)),
            answer: ProbeAnswer::Unusable,
        };
        self.contacts.insert(prober.ip, self.now);
        match prober.manners {
            Manners::Offline => {
                end.prober_ip = None;
                end.observed = None;
                end.answer = ProbeAnswer::NotReached;
                return self.end(5, &ask, end);
            }
            Manners::Silent => return self.end(15, &ask, end),
            Manners::Refuses(code) => {
                end.answer = ProbeAnswer::Refused(code);
                return self.end(1, &ask, end);
            }
            _ => {}
        }
        if prober.manners == Manners::LiesNegative && ask.mode == ProbeMode::Cold {
            end.answer = self.forged_failure();
            return self.end(5, &ask, end);
        }
        let dialer = if ask.mode == ProbeMode::Cold {
            let helpers: Vec<Host> = self
                .hosts
                .iter()
                .filter(|host| host.ip.is_ipv4() == prober.ip.is_ipv4())
                .filter(|host| host.key != prober.key && !ask.avoid.contains(&host.key))
                .filter(|host| !matches!(host.manners, Manners::Offline))
                .cloned()
                .collect();
            match helpers.choose(&mut self.random) {
                Some(helper) => helper.clone(),
                None => {
                    end.answer = ProbeAnswer::Refused(ProbeCode::NoHelper);
                    return self.end(1, &ask, end);
                }
            }
        } else {
            prober
        };
        self.dial(&ask, &dialer, seen, end);
    }

    /// Another third server each time, in another network.
    fn forged_failure(&mut self) -> ProbeAnswer {
        ProbeAnswer::Dialed {
            outcome: ProbeOutcome::NoResponse,
            control_ok: true,
            dialer: Some(SecretKey::from_seed(self.random.random()).public()),
            dialer_ip: Some(IpAddr::from([51, self.random.random(), 0, 2])),
        }
    }

    fn dial(&mut self, ask: &Ask, dialer: &Host, target: IpAddr, mut end: ProbeEnd) {
        let answer = |outcome| ProbeAnswer::Dialed {
            outcome,
            control_ok: dialer.manners != Manners::NoControl,
            dialer: Some(dialer.key),
            dialer_ip: Some(dialer.ip),
        };
        let target = match dialer.manners {
            Manners::LiesNegative => {
                end.answer = answer(ProbeOutcome::NoResponse);
                return self.end(5, ask, end);
            }
            Manners::LiesPositive => {
                end.answer = answer(ProbeOutcome::Ok);
                return self.end(1, ask, end);
            }
            Manners::DialsOther(ip) => ip,
            _ => target,
        };
        let is_canary = ask.mode == ProbeMode::Canary;
        let dialed = SocketAddr::new(target, if is_canary { 50_000 } else { ask.port });
        let is_cold = self.is_cold(dialer.ip);
        let fate = (self.network)(&Dial {
            src: dialer.ip,
            dialed,
            is_cold,
            is_canary,
        });
        let (outcome, seconds) = match fate {
            Fate::Silence => (ProbeOutcome::NoResponse, 5),
            Fate::WrongKey => (ProbeOutcome::WrongKey, 5),
            Fate::OtherInstance => (ProbeOutcome::NonceRejected, 5),
            Fate::Arrives { dst, remote } => {
                let told = match dialer.manners {
                    Manners::ClaimsDialed(ip) => SocketAddr::new(ip, dialed.port()),
                    Manners::DialsOther(_) => SocketAddr::new(target, dialed.port()),
                    _ => dialed,
                };
                self.contacts.insert(remote, self.now);
                self.come(
                    1,
                    Event::Dialback(Dialback {
                        probe: ask.probe,
                        at: if is_canary {
                            DialbackSocket::Canary
                        } else {
                            DialbackSocket::Listener(ask.listener)
                        },
                        remote: SocketAddr::new(remote, 41_000),
                        dst: Some(dst),
                        dialer: Some(dialer.key),
                        is_cold,
                        mode: ask.mode,
                        dialed: told,
                    }),
                );
                (ProbeOutcome::Ok, 2)
            }
        };
        end.answer = answer(outcome);
        self.end(seconds, ask, end);
    }

    pub(super) fn report(&self) -> Report {
        self.plan.report(self.now)
    }

    /// The verdict of the first listener.
    pub(super) fn verdict(&self) -> Verdict {
        self.report().listeners[0].verdict
    }

    pub(super) fn is_open(&self) -> bool {
        self.report().is_open
    }

    /// Whether any listener was ever open.
    pub(super) fn was_ever_open(&self) -> bool {
        self.turns.iter().any(|(_, turn)| turn.is_open)
    }

    /// Settles, and checks the verdict of the first listener, that it is open only where it may
    /// be, and that it stays so for hours.
    pub(super) fn check(&mut self, verdict: Verdict) {
        self.settle();
        assert_eq!(self.verdict(), verdict, "{:#?}", self.report());
        assert_eq!(self.is_open(), verdict == Verdict::Public);
        self.run(minutes(180));
        self.settle();
        assert_eq!(self.verdict(), verdict, "hours later: {:#?}", self.report());
        if verdict != Verdict::Public {
            assert!(!self.was_ever_open(), "{:#?}", self.turns);
        }
    }
}
