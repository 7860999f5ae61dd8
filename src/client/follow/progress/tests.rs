//! A server of one table, a clock moved by hand, and connections that break everywhere.

use super::*;
use crate::wire::{Hash64, Kind};

/// A server as far as a subscription sees it: records with the time it received them.
struct Server {
    records: Vec<(Timestamp, RecordId)>,
}

impl Server {
    /// What `ask` brings: stored records newest first, as many as the limit allows.
    fn stored(&self, ask: &Ask) -> Vec<RecordId> {
        let (Ask::Query(filter, limit) | Ask::Subscribe(filter, limit)) = ask;
        let mut ids: Vec<RecordId> = self
            .records
            .iter()
            .filter(|(received, id)| passes(filter, *received, id.timestamp()))
            .map(|(_, id)| *id)
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        if *limit != 0 {
            ids.truncate(usize::from(*limit));
        }
        ids
    }
}

fn passes(filter: &Filter, received: Timestamp, timestamp: Timestamp) -> bool {
    filter.until().is_none_or(|until| timestamp <= until)
        && filter
            .received_since()
            .is_none_or(|since| received >= since)
        && filter
            .received_until()
            .is_none_or(|until| received <= until)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn time(second: u64) -> Timestamp {
    Timestamp::from_unix(seconds(1_000_000_000 + second))
}

fn id(second: u64, number: u64) -> RecordId {
    RecordId::new(time(second), &Hash64::of(&number.to_be_bytes()))
}

fn everything() -> Filter {
    crate::wire::FilterBuilder::new()
        .kinds([Kind::CHAT_MESSAGE])
        .build()
        .unwrap()
}

/// Local time and the server's go together, `skew` seconds apart.
struct World {
    start: Instant,
    skew: u64,
}

impl World {
    fn new() -> Self {
        Self {
            start: Instant::now() + seconds(100_000),
            skew: 0,
        }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + seconds(second)
    }

    fn reading(&self, second: u64) -> Reading {
        Reading {
            at: self.at(second),
            time: time(second + self.skew),
            clock: Clock::Server,
        }
    }
}

/// Takes the records that the server has for `ask` up to `most`, returns those handed on.
fn take(
    progress: &mut Progress,
    server: &Server,
    ask: &Ask,
    now: Instant,
    most: usize,
) -> Vec<RecordId> {
    let came = server.stored(ask).into_iter().take(most);
    came.filter(|id| progress.record(now, *id)).collect()
}

#[test]
fn the_first_request_is_what_the_caller_asked_for() {
    let mut progress = Progress::new(everything(), 7);
    let asked = progress.ask(World::new().reading(0)).unwrap();
    assert_eq!(asked, Ask::Subscribe(everything(), 7));
}

#[test]
fn a_live_record_is_handed_on_once_over_any_number_of_lost_connections() {
    let world = World::new();
    let mut progress = Progress::new(everything(), 0);
    let mut server = Server {
        records: vec![(time(0), id(0, 0))],
    };
    let mut handed: Vec<RecordId> = Vec::new();
    let mut now = 100;
    for round in 1..200 {
        // Each connection: subscribe, all that is stored, then one live record, then it breaks.
        let ask = progress.ask(world.reading(now)).unwrap();
        handed.extend(take(
            &mut progress,
            &server,
            &ask,
            world.at(now),
            usize::MAX,
        ));
        progress.locally_complete(world.reading(now));
        now += 1 + round % 40;
        let live = id(now, round);
        server.records.push((time(now), live));
        if progress.record(world.at(now), live) {
            handed.push(live);
        }
        // What comes while nobody is connected.
        now += round % 50;
        server.records.push((time(now), id(now, 1_000 + round)));
        progress.lost();
        now += round % 7;
    }
    let ask = progress.ask(world.reading(now)).unwrap();
    handed.extend(take(
        &mut progress,
        &server,
        &ask,
        world.at(now),
        usize::MAX,
    ));

    let mut all: Vec<RecordId> = server.records.iter().map(|(_, id)| *id).collect();
    all.sort_unstable();
    handed.sort_unstable();
    assert_eq!(handed, all);
}

#[test]
fn records_that_a_slow_caller_has_not_taken_come_again_after_the_connection_is_lost() {
    let world = World::new();
    let mut progress = Progress::new(everything(), 0);
    let mut server = Server {
        records: Vec::new(),
    };
    progress.ask(world.reading(0)).unwrap();
    progress.locally_complete(world.reading(0));
    // For an hour the server sends, and the caller takes only the first record: no proof comes.
    for second in 1..3_600 {
        server.records.push((time(second), id(second, second)));
    }
    assert!(progress.record(world.at(3_600), id(1, 1)));
    progress.lost();

    let ask = progress.ask(world.reading(3_700)).unwrap();
    let handed = take(&mut progress, &server, &ask, world.at(3_700), usize::MAX);
    assert_eq!(handed.len(), server.records.len() - 1);
}

#[test]
fn a_proof_moves_the_moment_of_resumption_and_forgets_what_lies_behind_it() {
    let world = World::new();
    let mut progress = Progress::new(everything(), 0);
    progress.ask(world.reading(0)).unwrap();
    progress.locally_complete(world.reading(0));
    let interval = limits::FOLLOW_PROOF_INTERVAL.as_secs();
    for second in 1..10_000 {
        assert!(progress.record(world.at(second), id(second, second)));
        if second % interval == 0 {
            progress.prove(world.reading(second));
        }
    }
    let bound = limits::FOLLOW_OVERLAP * 2 + limits::FOLLOW_PROOF_INTERVAL;
    assert!(progress.remembered() <= usize::try_from(bound.as_secs()).unwrap() + 1);

    progress.lost();
    let Ask::Subscribe(filter, 0) = progress.ask(world.reading(20_000)).unwrap() else {
        panic!("a subscription without a limit");
    };
    let last_proof = 9_999 / interval * interval;
    let expected = time(last_proof).saturating_sub(limits::FOLLOW_OVERLAP);
    assert_eq!(filter.received_since(), Some(expected));
}

#[test]
fn a_server_whose_clock_was_set_back_sends_everything_it_received_since() {
    let mut world = World::new();
    world.skew = 7_200;
    let mut progress = Progress::new(everything(), 0);
    progress.ask(world.reading(0)).unwrap();
    progress.locally_complete(world.reading(0));
    progress.lost();
    world.skew = 0;
    let Ask::Subscribe(filter, _) = progress.ask(world.reading(60)).unwrap() else {
        panic!("a subscription");
    };
    let expected = time(0).saturating_sub(limits::FOLLOW_OVERLAP);
    assert_eq!(filter.received_since(), Some(expected));
}

#[test]
fn stored_records_go_on_where_the_connection_broke_each_once_and_in_order() {
    for broken_at in 6..40 {
        let world = World::new();
        let mut progress = Progress::new(everything(), 0);
        // Several share a timestamp, so that breaks fall between them.
        let records = (0..120).map(|n| (time(n / 2), id(n / 5, n))).collect();
        let mut server = Server { records };
        let mut now = 1_000;
        let mut handed = Vec::new();
        let mut is_complete = false;
        while !is_complete {
            let ask = progress.ask(world.reading(now)).unwrap();
            let came = server.stored(&ask).len();
            handed.extend(take(&mut progress, &server, &ask, world.at(now), broken_at));
            if came > broken_at {
                progress.lost();
                now += 1;
                // Meanwhile a record arrives that is older than all: it is live, not stored.
                if now < 1_004 {
                    server.records.push((time(now), id(0, now)));
                }
                continue;
            }
            match ask {
                Ask::Query(..) => {
                    assert_eq!(progress.closed(ResultCode::Success), Closed::AskAgain);
                }
                Ask::Subscribe(..) => is_complete = progress.locally_complete(world.reading(now)),
            }
        }
        let mut all: Vec<RecordId> = server.records.iter().map(|(_, id)| *id).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        handed.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(handed, all, "broken at {broken_at}");
    }
}

#[test]
fn a_limit_counts_over_lost_connections() {
    let world = World::new();
    let mut progress = Progress::new(everything(), 10);
    let server = Server {
        records: (0..50).map(|n| (time(n), id(n, n))).collect(),
    };
    let ask = progress.ask(world.reading(1_000)).unwrap();
    let mut handed = take(&mut progress, &server, &ask, world.at(1_000), 4);
    progress.lost();
    let ask = progress.ask(world.reading(1_001)).unwrap();
    assert!(
        matches!(ask, Ask::Query(_, 7)),
        "6 that are left and 1 at the edge"
    );
    handed.extend(take(
        &mut progress,
        &server,
        &ask,
        world.at(1_001),
        usize::MAX,
    ));
    assert_eq!(progress.closed(ResultCode::Success), Closed::AskAgain);
    let ask = progress.ask(world.reading(1_001)).unwrap();
    handed.extend(take(
        &mut progress,
        &server,
        &ask,
        world.at(1_002),
        usize::MAX,
    ));
    assert_eq!(handed, (40..50).rev().map(|n| id(n, n)).collect::<Vec<_>>());
}

#[test]
fn a_server_that_caps_a_query_is_asked_for_the_rest() {
    let world = World::new();
    let mut progress = Progress::new(everything(), 0);
    let server = Server {
        records: (0..50).map(|n| (time(n), id(n, n))).collect(),
    };
    let mut ask = progress.ask(world.reading(1_000)).unwrap();
    take(&mut progress, &server, &ask, world.at(1_000), 1);
    progress.lost();
    for _ in 0..7 {
        ask = progress.ask(world.reading(1_000)).unwrap();
        assert!(!take(&mut progress, &server, &ask, world.at(1_000), 8).is_empty());
        assert_eq!(progress.closed(ResultCode::TooOpen), Closed::AskAgain);
    }
    progress.ask(world.reading(1_000)).unwrap();
    let refused = Closed::Refused(ResultCode::TooOpen);
    assert_eq!(
        progress.closed(ResultCode::TooOpen),
        refused,
        "nothing came"
    );
}

#[test]
fn without_the_servers_clock_a_broken_listing_starts_over_and_still_repeats_nothing() {
    let world = World::new();
    let local = |second| Reading {
        clock: Clock::Local,
        ..world.reading(second)
    };
    let mut progress = Progress::new(everything(), 0);
    let server = Server {
        records: (0..50).map(|n| (time(n), id(n, n))).collect(),
    };
    let ask = progress.ask(local(1_000)).unwrap();
    let mut handed = take(&mut progress, &server, &ask, world.at(1_000), 20);
    progress.lost();
    let ask = progress.ask(local(1_010)).unwrap();
    assert_eq!(ask, Ask::Subscribe(everything(), 0));
    handed.extend(take(
        &mut progress,
        &server,
        &ask,
        world.at(1_010),
        usize::MAX,
    ));
    assert_eq!(handed, (0..50).rev().map(|n| id(n, n)).collect::<Vec<_>>());
    assert!(progress.locally_complete(local(1_010)));
    progress.lost();
    let Ask::Subscribe(filter, _) = progress.ask(local(1_020)).unwrap() else {
        panic!("a subscription");
    };
    let expected = time(1_010).saturating_sub(limits::FOLLOW_OVERLAP_LOCAL_CLOCK);
    assert_eq!(filter.received_since(), Some(expected));
}

#[test]
fn what_the_caller_asked_about_times_still_holds_after_a_resumption() {
    let world = World::new();
    let asked = time(5_000);
    let filter = with_time(&everything(), TimeElement::ReceivedSince, asked).unwrap();
    let mut progress = Progress::new(filter, 0);
    progress.ask(world.reading(0)).unwrap();
    progress.locally_complete(world.reading(0));
    progress.lost();
    let Ask::Subscribe(filter, _) = progress.ask(world.reading(1)).unwrap() else {
        panic!("a subscription");
    };
    assert_eq!(filter.received_since(), Some(asked));
}

#[test]
fn locally_complete_is_handed_on_once() {
    let world = World::new();
    let mut progress = Progress::new(everything(), 0);
    progress.ask(world.reading(0)).unwrap();
    assert!(progress.locally_complete(world.reading(0)));
    progress.lost();
    progress.ask(world.reading(1)).unwrap();
    assert!(!progress.locally_complete(world.reading(1)));
    assert_eq!(progress.closed(ResultCode::Success), Closed::Ended);
}
