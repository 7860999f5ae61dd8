//! Whatever happens: liars, schedules, and events in no order at all.

use proptest::prelude::*;

use super::{
    world::{listener, settings},
    *,
};
use crate::{
    reach::evidence::{DialbackSocket, ProbeAnswer, Spontaneous},
    wire::{ProbeCode, ProbeOutcome},
};

const INSIDE: &str = "41.9.0.2";

fn lie() -> impl Strategy<Value = Manners> {
    prop_oneof![
        Just(Manners::LiesNegative),
        Just(Manners::LiesPositive),
        Just(Manners::DialsOther(ip(INSIDE))),
        Just(Manners::ClaimsDialed(ip(INSIDE))),
        Just(Manners::ClaimsObserved(ip(INSIDE))),
        Just(Manners::Offline),
        Just(Manners::Refuses(ProbeCode::Busy)),
    ]
}

/// Whom a network lets in, by a mask over the hosts, and whether strangers get in.
#[derive(Clone, Copy, Debug)]
struct Filter {
    hosts: u8,
    strangers: bool,
}

impl Filter {
    fn admits(self, dial: &Dial) -> bool {
        let number = match dial.src {
            IpAddr::V4(ip) => ip.octets()[1],
            IpAddr::V6(_) => 0,
        };
        self.hosts & (1 << number) != 0 && (self.strangers || !dial.is_cold)
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    (any::<u8>(), any::<bool>()).prop_map(|(hosts, strangers)| Filter { hosts, strangers })
}

/// Five probers of which two lie.
fn five(lies: [Manners; 2]) -> Vec<Host> {
    let mut hosts = hosts(5);
    for (host, lie) in hosts.iter_mut().skip(1).step_by(2).zip(lies) {
        host.manners = lie;
    }
    hosts
}

fn event() -> impl Strategy<Value = Event> {
    let address = prop_oneof![
        Just(SERVER),
        Just(INSIDE),
        Just("11.1.0.2"),
        Just("12.2.0.2"),
        Just("192.168.1.1"),
        Just("127.0.0.1"),
        Just("::ffff:21.7.0.2"),
        Just("2600:1::2"),
        Just("64:ff9b::1"),
    ]
    .prop_map(ip);
    let answer = prop_oneof![
        Just(ProbeAnswer::NotReached),
        Just(ProbeAnswer::LocalError),
        Just(ProbeAnswer::Unusable),
        Just(ProbeAnswer::Refused(ProbeCode::RateLimited)),
        Just(ProbeAnswer::Refused(ProbeCode::NoHelper)),
        (0..4_usize, any::<bool>()).prop_map(|(outcome, control_ok)| ProbeAnswer::Dialed {
            outcome: [
                ProbeOutcome::Ok,
                ProbeOutcome::NoResponse,
                ProbeOutcome::NonceRejected,
                ProbeOutcome::WrongKey
            ][outcome],
            control_ok,
            dialer: None,
            dialer_ip: None,
        }),
    ];
    let addresses = proptest::collection::vec(address.clone(), 0..4);
    prop_oneof![
        4 => (0..60_u64, proptest::option::of(address.clone()), proptest::option::of(address.clone()), answer)
            .prop_map(|(probe, prober_ip, observed, answer)| Event::Ended(ProbeId(probe), ProbeEnd {
                prober_ip,
                observed: observed.map(|ip| SocketAddr::new(ip, 9)),
                answer,
            })),
        4 => (0..60_u64, address.clone(), proptest::option::of(address.clone()), address.clone(), any::<bool>())
            .prop_map(|(probe, remote, dst, dialed, is_cold)| Event::Dialback(Dialback {
                probe: ProbeId(probe),
                at: if probe % 7 == 0 { DialbackSocket::Canary } else { DialbackSocket::Listener(ListenerId(0)) },
                remote: SocketAddr::new(remote, 9),
                dst,
                dialer: None,
                is_cold,
                mode: ProbeMode::Cold,
                dialed: SocketAddr::new(dialed, PORT),
            })),
        1 => (addresses, any::<bool>()).prop_map(|(ips, route_v4)| Event::Facts(LocalFacts {
            addresses: ips.into_iter().map(|ip| LocalAddress { ip, interface: "e".to_owned(), is_usable: true }).collect(),
            route_v4,
            route_v6: true,
            gateways: Vec::new(),
        })),
        1 => (address.clone(), proptest::option::of(address)).prop_map(|(remote, dst)| Event::Spontaneous(Spontaneous {
            listener: ListenerId(0),
            remote,
            dst,
        })),
        1 => Just(Event::ClockJumped),
        1 => Just(Event::ListenerLost(ListenerId(1))),
        1 => Just(Event::Signs(vec![OnionSign::ControlPort(ListenerId(1))])),
        1 => Just(Event::Url("mosaic://31.1.1.1/".parse().unwrap(), UrlFinding::WrongKey(ip("31.1.1.1")))),
        6 => Just(Event::Deadline),
    ]
}

/// A server with everything that can be configured.
fn everything() -> Settings {
    let mut everything = settings(&six());
    everything.listeners = vec![
        listener(0, "0.0.0.0:1320", ProbeTransport::Quic),
        listener(1, "0.0.0.0:1320", ProbeTransport::Tcp),
        listener(2, "[::]:1320", ProbeTransport::Quic),
        listener(3, "127.0.0.1:1320", ProbeTransport::Tcp),
    ];
    everything.urls = vec!["mosaic://31.1.1.1/".parse().unwrap()];
    everything.accept_static_nat = vec![ip(SERVER)];
    everything
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_liars_of_five_never_open_a_server_whose_address_is_translated(
        lies in [lie(), lie()],
        filters in proptest::collection::vec(filter(), 1..4),
        canaries in any::<bool>(),
        seed in any::<u64>(),
    ) {
        // The address looks like ours, and whatever arrives was sent to another one. A liar may
        // claim the contrary.
        let hosts = five(lies);
        let mut world = World::of(settings(&hosts), hosts, facts(&[INSIDE]), seed)
            .behind(SERVER);
        for filter in filters {
            world = world.network(move |dial| {
                let is_in = if dial.is_canary { canaries } else { filter.admits(dial) };
                if is_in { Fate::arrives(ip(INSIDE), dial.src) } else { Fate::Silence }
            });
            world.run(minutes(40));
        }
        prop_assert!(!world.was_ever_open(), "{:#?}", world.turns);
    }

    #[test]
    fn a_server_that_nothing_reaches_is_never_open(
        lies in proptest::collection::vec(lie(), 5),
        is_local in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let hosts = hosts(5).into_iter().zip(lies).map(|(host, lie)| host.with(lie)).collect();
        let address = if is_local { SERVER } else { "10.0.0.7" };
        let mut world = World::new(hosts, facts(&[address])).behind(SERVER).network(shut_network);
        world.plan = Plan::new(everything(), world.now, seed);
        world.tell(Event::Facts(facts(&[address])));
        world.hosts.extend(six().into_iter().skip(5));
        world.run(minutes(60));
        prop_assert!(!world.was_ever_open());
    }

    #[test]
    fn only_a_filter_that_lets_strangers_in_opens(
        hosts_in in any::<u8>(),
        seed in any::<u64>(),
    ) {
        let filter = Filter { hosts: hosts_in, strangers: false };
        let hosts = six();
        let mut world = World::of(settings(&hosts), hosts, facts(&[SERVER]), seed)
            .network(move |dial| if filter.admits(dial) { open_network(dial) } else { Fate::Silence });
        world.run(minutes(90));
        prop_assert!(!world.was_ever_open());
    }

    #[test]
    fn two_liars_of_five_never_keep_an_open_server_closed_for_long(
        lies in [lie(), lie()],
        seed in any::<u64>(),
    ) {
        // Two that are merely silent leave three, all of whom are needed twice over.
        let hosts = five(lies);
        let mut world = World::of(settings(&hosts), hosts, facts(&[SERVER]), seed);
        world.wait_for(Verdict::Public, minutes(90));
        world.run(minutes(120));
        let turns: Vec<_> = world.turns.iter().map(|(at, turn)| (*at, turn.why.clone())).collect();
        prop_assert!(world.is_open(), "{turns:#?}");
    }

    #[test]
    fn events_in_any_order_neither_panic_nor_make_it_ask_without_bound(
        events in proptest::collection::vec((event(), 0..40_000_u64), 1..120),
        seed in any::<u64>(),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut plan = Plan::new(everything(), start, seed);
        plan.handle(now, Event::Facts(facts(&[SERVER, INSIDE, "2600:77::2"])));
        let mut asks: Vec<(Instant, PublicKey)> = Vec::new();
        for (event, wait) in events {
            let next = now + Duration::from_millis(wait);
            while let Some(deadline) = plan.next_deadline().filter(|at| *at <= next) {
                prop_assert!(deadline >= now || deadline <= next);
                now = now.max(deadline);
                plan.handle(now, Event::Deadline);
                prop_assert!(plan.next_deadline().is_none_or(|at| at > now));
                collect(&mut plan, now, &mut asks);
            }
            now = next;
            plan.handle(now, event);
            collect(&mut plan, now, &mut asks);
            for listener in plan.report(now).listeners {
                prop_assert!(listener.id != ListenerId(3) || !listener.is_open);
            }
        }
        for (at, key) in &asks {
            let minute = asks.iter().filter(|(other, asked)| {
                asked == key && *other >= *at && *other < *at + minutes(1)
            });
            prop_assert!(minute.count() <= 6);
        }
    }
}

fn collect(plan: &mut Plan, now: Instant, asks: &mut Vec<(Instant, PublicKey)>) {
    for _ in 0..1_000 {
        match plan.poll_action() {
            Some(Action::Ask(ask)) => asks.push((now, ask.prober.key)),
            Some(Action::CheckUrl(_) | Action::Turn(_)) => {}
            None => return,
        }
    }
    panic!("it never comes to an end");
}
