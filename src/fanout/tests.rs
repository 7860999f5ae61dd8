//! The registry against a model, and its promises one by one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, RwLock};

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::{Delivery, Fanout, Sees, Subscription};
use crate::base::limits::{MAILBOX_MAX_BYTES, MAILBOX_MAX_RECORDS};
use crate::base::{Role, RoleSet, Seq};
use crate::store::{Entry, Vouched};
use crate::wire::{
    Filter, FilterBuilder, Kind, Record, RecordBuilder, SecretKey, TagKind, TagsBuilder, Timestamp,
};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn tags(values: &[&[u8]]) -> TagsBuilder {
    values.iter().fold(TagsBuilder::new(), |tags, value| {
        tags.raw(TagKind(0x77), value).unwrap()
    })
}

fn time(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap()
}

fn record(author: u8, signer: u8, kind: Kind, at: u64, with: &[&[u8]], payload: usize) -> Record {
    RecordBuilder::new(kind, key(author).public())
        .timestamp(time(at))
        .tags(tags(with))
        .payload(vec![0; payload])
        .sign(&key(signer))
        .unwrap()
}

/// Records that differ in everything a filter can ask for; some fill a mailbox quickly.
fn records() -> &'static [Record] {
    static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| {
        let mut records = Vec::new();
        for (author, signer) in [(1, 1), (1, 2), (2, 2), (3, 1)] {
            for (at, kind) in [(10, Kind::MICROBLOG_ROOT), (20, Kind::CHAT_MESSAGE)] {
                records.push(record(author, signer, kind, at, &[], 0));
                records.push(record(author, signer, kind, at, &[b"a", b"b"], 0));
                records.push(record(author, signer, kind, at, &[b"b", b"b"], 100_000));
            }
        }
        records
    });
    &RECORDS
}

fn filters() -> &'static [Filter] {
    static FILTERS: LazyLock<Vec<Filter>> = LazyLock::new(|| {
        let new = FilterBuilder::new;
        let [one, two] = [key(1).public(), key(2).public()];
        let builders = [
            new(),
            new().since(time(15)),
            new().authors([one]),
            new().authors([one, two]).kinds([Kind::CHAT_MESSAGE]),
            new().signers([two]),
            new().kinds([Kind::CHAT_MESSAGE]),
            new().kinds([Kind::CHAT_MESSAGE, Kind::MICROBLOG_ROOT]),
            new().timestamps([time(10)]),
            new().tags(tags(&[b"a", b"b"])),
            new().tags(tags(&[b"a"])).tags(tags(&[b"b", b"c"])),
            new().tags(tags(&[b"c"])),
            new().exclude_tags(tags(&[b"a"])),
        ];
        builders.map(|builder| builder.build().unwrap()).into()
    });
    &FILTERS
}

fn entry(seq: u64, record: &Record) -> Arc<Entry> {
    Arc::new(Entry {
        seq: Seq::new(seq),
        received: time(seq),
        roles: RoleSet::of(Role::Application),
        vouched: Vouched::Master,
        submitter: None,
        held: false,
        charged: Arc::default(),
        record: record.clone(),
    })
}

fn everything() -> Sees {
    Arc::new(|_| true)
}

/// What happens to a registry, in any order.
#[derive(Clone, Debug)]
enum Step {
    /// Entries become readable in the log, but are not published yet.
    Write {
        count: usize,
        first: usize,
    },
    /// Everything written is published.
    Publish,
    Announce {
        record: usize,
    },
    Subscribe {
        filter: usize,
    },
    /// A subscription takes what waits, and reads the log in pages where it has to.
    Take {
        subscription: usize,
        count: usize,
        page: usize,
    },
    Drop {
        subscription: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..400_usize, any::<usize>()).prop_map(|(count, first)| Step::Write { count, first }),
        Just(Step::Publish),
        Just(Step::Publish),
        any::<usize>().prop_map(|record| Step::Announce { record }),
        any::<usize>().prop_map(|filter| Step::Subscribe { filter }),
        (any::<usize>(), 1..300_usize, 1..500_usize).prop_map(|(subscription, count, page)| {
            Step::Take {
                subscription,
                count,
                page,
            }
        }),
        any::<usize>().prop_map(|subscription| Step::Drop { subscription }),
    ];
    prop::collection::vec(step, 1..60)
}

/// The registry, and what ought to come of it.
struct Model {
    fanout: Fanout,
    log: Vec<Arc<Entry>>,
    published: usize,
    subscriptions: Vec<Follower>,
    announced: usize,
    heard: usize,
}

struct Follower {
    subscription: Subscription,
    filter: Filter,
    got: Vec<Seq>,
    heard: usize,
}

impl Follower {
    /// Takes one delivery; false where nothing waits.
    fn take(&mut self, log: &[Arc<Entry>], page: usize) -> bool {
        match self.subscription.try_next() {
            None => return false,
            Some(Delivery::Live(entry)) if entry.seq == Seq::ZERO => self.heard += 1,
            Some(Delivery::Live(entry)) => self.got.push(entry.seq),
            Some(Delivery::Behind { after }) => {
                let unread = log.iter().filter(|entry| entry.seq > after).take(page);
                let mut position = after;
                for entry in unread {
                    position = entry.seq;
                    if self.filter.matches(&entry.record.view(), entry.received) {
                        self.got.push(entry.seq);
                    }
                }
                self.subscription.caught_up(position);
            }
        }
        true
    }

    fn check(&self, log: &[Arc<Entry>]) {
        let start = self.subscription.start();
        let expected: Vec<Seq> = log
            .iter()
            .filter(|entry| entry.seq > start)
            .filter(|entry| self.filter.matches(&entry.record.view(), entry.received))
            .map(|entry| entry.seq)
            .collect();
        assert_eq!(self.got, expected, "after {start}");
    }
}

impl Model {
    fn new() -> Self {
        Self {
            fanout: Fanout::new(Seq::ZERO),
            log: Vec::new(),
            published: 0,
            subscriptions: Vec::new(),
            announced: 0,
            heard: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        let chosen = |place: &usize| place.checked_rem(self.subscriptions.len());
        match step {
            Step::Write { count, first } => {
                let records = records().iter().cycle().skip(first % records().len());
                for record in records.take(*count) {
                    let seq = u64::try_from(self.log.len() + 1).unwrap();
                    self.log.push(entry(seq, record));
                }
            }
            Step::Publish => {
                self.fanout.publish(&self.log[self.published..]);
                self.published = self.log.len();
            }
            Step::Announce { record } => {
                let record = &records()[record % records().len()];
                self.announced += self.fanout.announce(&entry(0, record));
            }
            Step::Subscribe { filter } => {
                let filter = filters()[filter % filters().len()].clone();
                self.subscriptions.push(Follower {
                    subscription: self.fanout.subscribe(filter.clone(), everything()),
                    filter,
                    got: Vec::new(),
                    heard: 0,
                });
            }
            Step::Take {
                subscription,
                count,
                page,
            } => {
                if let Some(place) = chosen(subscription) {
                    let follower = &mut self.subscriptions[place];
                    for _ in 0..*count {
                        follower.take(&self.log, *page);
                    }
                }
            }
            Step::Drop { subscription } => {
                if let Some(place) = chosen(subscription) {
                    let follower = self.subscriptions.swap_remove(place);
                    self.end(follower);
                }
            }
        }
    }

    fn end(&mut self, mut follower: Follower) {
        self.step(&Step::Publish);
        while follower.take(&self.log, 100) {}
        follower.check(&self.log);
        self.heard += follower.heard;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_matching_entry_after_the_start_comes_once_and_in_order(steps in steps()) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        for follower in std::mem::take(&mut model.subscriptions) {
            model.end(follower);
        }
        assert_eq!(model.announced, model.heard, "ephemeral records are counted as delivered");
        assert!(model.fanout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_come_while_entries_are_published_miss_none_and_see_none_twice() {
    const COUNT: u64 = 20_000;
    let log = Arc::new(RwLock::new(Vec::new()));
    let fanout = Fanout::new(Seq::ZERO);
    let mut followers = JoinSet::new();
    for _ in 0..8 {
        let (log, fanout) = (Arc::clone(&log), fanout.clone());
        followers.spawn(async move {
            let mut subscription = fanout.subscribe(filters()[0].clone(), everything());
            let mut last = subscription.start();
            while last < Seq::new(COUNT) {
                match subscription.next().await {
                    Delivery::Live(entry) => {
                        assert_eq!(entry.seq, last.next());
                        last = entry.seq;
                    }
                    Delivery::Behind { after } => {
                        assert_eq!(after, last);
                        let log: &Vec<Arc<Entry>> = &log.read().unwrap();
                        last = log.last().unwrap().seq;
                        subscription.caught_up(last);
                    }
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let publisher = std::thread::spawn(move || {
        let record = &records()[0];
        for first in (1..=COUNT).step_by(50) {
            let batch: Vec<_> = (first..first + 50).map(|seq| entry(seq, record)).collect();
            log.write().unwrap().extend_from_slice(&batch);
            fanout.publish(&batch);
        }
    });
    while let Some(joined) = followers.join_next().await {
        joined.unwrap();
    }
    publisher.join().unwrap();
}

#[test]
fn a_full_mailbox_is_emptied_first_and_then_says_where_the_log_has_to_be_read() {
    let fanout = Fanout::new(Seq::new(7));
    let mut subscription = fanout.subscribe(filters()[0].clone(), everything());
    assert_eq!(subscription.start(), Seq::new(7));
    let bound = u64::try_from(MAILBOX_MAX_RECORDS).unwrap();
    let batch: Vec<_> = (8..8 + bound + 5)
        .map(|seq| entry(seq, &records()[0]))
        .collect();
    fanout.publish(&batch);
    for seq in 8..8 + bound {
        let Some(Delivery::Live(entry)) = subscription.try_next() else {
            panic!("{seq} is missing");
        };
        assert_eq!(entry.seq, Seq::new(seq));
    }
    let is_behind_after = |delivery: Option<Delivery>, seq: u64| matches!(delivery, Some(Delivery::Behind { after }) if after == Seq::new(seq));
    assert!(is_behind_after(subscription.try_next(), 7 + bound));
    assert!(!subscription.caught_up(Seq::new(9 + bound)));
    assert!(is_behind_after(subscription.try_next(), 9 + bound));
    assert!(
        !subscription.caught_up(Seq::new(11 + bound)),
        "one is missing"
    );
    assert!(subscription.caught_up(Seq::new(12 + bound)));
    assert!(subscription.try_next().is_none());
}

#[test]
fn a_mailbox_holds_no_more_bytes_than_its_bound_unless_it_is_one_record() {
    let fanout = Fanout::new(Seq::ZERO);
    let mut subscription = fanout.subscribe(filters()[0].clone(), everything());
    let large = record(1, 1, Kind::CHAT_MESSAGE, 1, &[], MAILBOX_MAX_BYTES);
    fanout.publish(&[entry(1, &large), entry(2, &records()[0])]);
    assert!(matches!(subscription.try_next(), Some(Delivery::Live(_))));
    assert!(
        matches!(subscription.try_next(), Some(Delivery::Behind { after }) if after == Seq::new(1))
    );
}

#[test]
fn a_subscription_hears_of_nothing_that_its_reader_may_not_see() {
    let fanout = Fanout::new(Seq::ZERO);
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let sees: Sees = Arc::new(move |_| gate.load(Ordering::SeqCst));
    let mut subscription = fanout.subscribe(filters()[0].clone(), sees);
    fanout.publish(&[entry(1, &records()[0])]);
    assert_eq!(fanout.announce(&entry(0, &records()[0])), 0);
    open.store(true, Ordering::SeqCst);
    fanout.publish(&[entry(2, &records()[0])]);
    assert_eq!(fanout.announce(&entry(0, &records()[0])), 1);
    assert!(
        matches!(subscription.try_next(), Some(Delivery::Live(entry)) if entry.seq == Seq::new(2))
    );
    assert!(
        matches!(subscription.try_next(), Some(Delivery::Live(entry)) if entry.seq == Seq::ZERO)
    );
    assert!(subscription.try_next().is_none());
}

#[test]
fn an_ephemeral_record_is_not_counted_for_a_subscription_that_is_behind() {
    let fanout = Fanout::new(Seq::ZERO);
    let mut subscription = fanout.subscribe(filters()[0].clone(), everything());
    let large = record(1, 1, Kind::CHAT_MESSAGE, 1, &[], MAILBOX_MAX_BYTES);
    fanout.publish(&[entry(1, &large), entry(2, &large)]);
    assert_eq!(fanout.announce(&entry(0, &records()[0])), 0);
    assert!(matches!(subscription.try_next(), Some(Delivery::Live(_))));
    assert_eq!(fanout.announce(&entry(0, &records()[0])), 0);
    assert!(subscription.caught_up(Seq::new(2)));
    assert_eq!(fanout.announce(&entry(0, &records()[0])), 1);
}

#[test]
fn a_dropped_subscription_leaves_nothing_behind() {
    let fanout = Fanout::new(Seq::ZERO);
    for filter in filters() {
        let first = fanout.subscribe(filter.clone(), everything());
        let second = fanout.subscribe(filter.clone(), everything());
        drop(first);
        assert!(!fanout.is_empty());
        drop(second);
        assert!(fanout.is_empty());
    }
}
