//! Choosing how a query is answered: which index, or the log itself.
//!
//! Every narrow element of a filter that has an index of its own is a candidate: authors (together
//! with the kinds, if there are any), each set of tags, signers, timestamps. Kinds alone, and
//! everything by time, are for filters with nothing else. Among several candidates a sample of
//! their keys decides: the one that has the fewest in the filter's span of time. Bounds on *received*
//! are bounds on places in the log; where few entries lie between them, the log is read instead.

use super::{
    budget::{Clock, PageBudget, RECORD_KEYS, SEEK_KEYS},
    cursor::Wants,
    error::{Damage, StoreError},
    keys::{Hit, KindDigest, Run, Secret, Table},
    record_format::LogEntry,
    source::{Scan, Source, part_number},
    view::{Order, View},
};
use crate::{
    base::{Seq, limits},
    wire::{Filter, Kind, Timestamp},
};
use std::time::Duration;

/// How a query starts.
#[derive(Debug)]
pub(super) enum Start {
    /// Nothing can match.
    Nothing,
    /// Read the log between these places, both included, and sort what matches.
    Walk(Seq, Seq),
    /// Merge ranges of the index.
    Merge(Plan),
}

/// Ranges of the index whose hits include every record that can match.
#[derive(Debug)]
pub(super) struct Plan {
    /// What to read, all in one order of hits.
    pub(super) ranges: Vec<Range>,
    /// What in it can match.
    pub(super) window: Window,
    /// The kinds that can match, if not all.
    pub(super) kinds: Option<KindSet>,
}

/// One part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Range {
    /// One run of keys.
    Run(Run),
    /// The runs of an author: of the plan's kinds, or of whatever kinds there are.
    Author([u8; 5]),
}

/// Bounds on hits, all included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) first: Hit,
    pub(super) last: Hit,
    pub(super) seq_min: Seq,
    pub(super) seq_max: Seq,
}

/// Kinds as index keys know them.
#[derive(Debug)]
pub(super) struct KindSet {
    parts: Vec<[u8; 3]>,
    marks: Vec<u16>,
}

impl Plan {
    /// Whether the record behind `hit` may match, as far as its key tells.
    pub(super) fn admits(&self, hit: Hit) -> bool {
        let Window {
            seq_min, seq_max, ..
        } = self.window;
        let is_placed = (seq_min..=seq_max).contains(&hit.seq());
        let kinds = self.kinds.as_ref();
        is_placed && kinds.is_none_or(|kinds| kinds.marks.binary_search(&hit.mark()).is_ok())
    }

    /// Whether records of that kind can match.
    pub(super) fn wants_kind(&self, part: [u8; 3]) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.parts.binary_search(&part).is_ok())
    }

    /// The order in which its ranges are found.
    pub(super) fn order(&self) -> Order {
        let skips = !self.kinds.as_ref().is_some_and(KindSet::are_few);
        let is_total = |range: &Range| match range {
            Range::Run(run) => *run == Run::Everything,
            Range::Author(_) => skips,
        };
        if self.ranges.iter().any(is_total) {
            Order::Total
        } else {
            Order::Prefix
        }
    }
}

impl KindSet {
    fn new(secret: &Secret, kinds: &[[u8; 8]]) -> Self {
        let digests = kinds.iter().map(|kind| secret.kind(kind));
        let (mut parts, mut marks): (Vec<_>, Vec<_>) = digests
            .map(|KindDigest { part, mark }| (part, mark))
            .unzip();
        parts.sort_unstable();
        parts.dedup();
        marks.sort_unstable();
        marks.dedup();
        Self { parts, marks }
    }

    /// Whether it is cheaper to look for each kind than to find out which ones an author has.
    pub(super) const fn are_few(&self) -> bool {
        self.parts.len() <= FEW_KINDS
    }

    /// The part at an index.
    pub(super) fn part(&self, index: u32) -> Option<[u8; 3]> {
        self.parts.get(usize::try_from(index).ok()?).copied()
    }

    /// The first part that is not below `number`.
    pub(super) fn part_from(&self, number: u32) -> Option<[u8; 3]> {
        let index = self
            .parts
            .partition_point(|part| part_number(*part) < number);
        self.parts.get(index).copied()
    }
}

/// Chooses how to find what is wanted among the entries up to `until`, and notes on `clock` what
/// the choice itself cost.
pub(super) fn start(
    view: &View<'_>,
    wants: &Wants,
    until: Seq,
    clock: &mut Clock,
) -> Result<Start, StoreError> {
    let secret = view.secret();
    let plan = match wants {
        Wants::Filter(filter) => return filtered(view, filter, until, clock),
        Wants::Id(id) => {
            let (first, last) = Hit::of_id(id);
            let window = Window {
                first,
                last,
                ..everything(until)
            };
            plan(vec![Range::Run(Run::at(id.timestamp()))], window, None)
        }
        Wants::Group(address) => {
            let run = Range::Run(secret.address_run(address));
            plan(vec![run], everything(until), None)
        }
    };
    Ok(Start::Merge(plan))
}

fn plan(mut ranges: Vec<Range>, window: Window, kinds: Option<KindSet>) -> Plan {
    ranges.sort_unstable();
    ranges.dedup();
    Plan {
        ranges,
        window,
        kinds,
    }
}

const fn everything(until: Seq) -> Window {
    Window {
        first: Hit::FIRST,
        last: Hit::LAST,
        seq_min: Seq::new(1),
        seq_max: until,
    }
}

fn filtered(
    view: &View<'_>,
    filter: &Filter,
    until: Seq,
    clock: &mut Clock,
) -> Result<Start, StoreError> {
    let Some(window) = window(view, filter, until, clock)? else {
        return Ok(Start::Nothing);
    };
    let secret = view.secret();
    let make = |ranges| {
        let kinds = filter.kinds().map(|kinds| KindSet::new(secret, kinds));
        plan(ranges, window, kinds)
    };
    let mut plans: Vec<_> = candidates(secret, filter).into_iter().map(make).collect();
    let last = window.seq_max.min(view.tail());
    let entries = last.get().saturating_sub(window.seq_min.prev().get());
    let is_short = filter.received_since().is_some() && entries <= limits::LOG_WALK_MAX_ENTRIES;
    if is_short && entries == 0 {
        return Ok(Start::Nothing);
    }
    if plans.len() > 1 || is_short {
        let mut scored = Vec::with_capacity(plans.len());
        for plan in plans {
            scored.push((score(view, &plan, clock)?, plan));
        }
        // The sort is stable: of equals, the one named first in `candidates` stays first.
        scored.sort_by_key(|(score, _)| *score);
        if is_short && scored.first().is_none_or(|(score, _)| entries <= *score) {
            return Ok(Start::Walk(window.seq_min, last));
        }
        plans = scored.into_iter().map(|(_, plan)| plan).collect();
    }
    Ok(plans
        .into_iter()
        .next()
        .map_or(Start::Nothing, Start::Merge))
}

/// The ranges of every index that can answer `filter`, the narrowest by nature first.
fn candidates(secret: &Secret, filter: &Filter) -> Vec<Vec<Range>> {
    let author = |key: &[u8; 32]| Range::Author(secret.author(key));
    let run = |table, bytes: &[u8]| Range::Run(Run::of(table, secret.value(bytes)));
    let mut found = Vec::new();
    if let Some(authors) = filter.authors() {
        found.push(authors.iter().map(author).collect());
    }
    let mut sets: Vec<_> = filter.included_tags().iter().collect();
    sets.sort_by_key(|set| set.len());
    let only_schedules = filter.kinds() == Some(&[Kind::KEY_SCHEDULE.to_bytes()]);
    for set in sets.into_iter().take(TAG_SETS_TRIED) {
        let subkeys: Option<Vec<_>> = set.iter().map(|tag| tag.subkey()).collect();
        found.push(match subkeys {
            Some(keys) if only_schedules => {
                let keys = keys.iter();
                keys.map(|key| run(Table::Subkey, key.as_bytes())).collect()
            }
            _ => set.iter().map(|tag| run(Table::Tag, tag.bytes())).collect(),
        });
    }
    if let Some(signers) = filter.signers() {
        // Records that their author's master key signed are not in the table of signers.
        let own = signers.iter().map(author);
        let others = signers.iter().map(|key| run(Table::Signer, key));
        found.push(own.chain(others).collect());
    }
    if let Some(timestamps) = filter.timestamps() {
        let runs = timestamps.iter().map(|time| Range::Run(Run::at(*time)));
        found.push(runs.collect());
    }
    if found.is_empty() {
        found.push(filter.kinds().map_or_else(
            || vec![Range::Run(Run::Everything)],
            |kinds| {
                let runs = kinds.iter().map(|kind| Run::of(Table::Kind, *kind));
                runs.map(Range::Run).collect()
            },
        ));
    }
    found
}

/// Bounds on what can match `filter`; `None` if nothing can.
fn window(
    view: &View<'_>,
    filter: &Filter,
    until: Seq,
    clock: &mut Clock,
) -> Result<Option<Window>, StoreError> {
    let mut window = everything(until);
    if let Some(until) = filter.until() {
        window.first = Hit::before(until);
    }
    if let Some(since) = filter.since() {
        window.last = Hit::behind(since);
    }
    let end = until.min(view.tail());
    if let Some(since) = filter.received_since() {
        window.seq_min = first_received(view, since, end, clock)?;
    }
    if let Some(until) = filter.received_until()
        && until < Timestamp::MAX
    {
        let next = until.saturating_add(Duration::from_nanos(1));
        window.seq_max = first_received(view, next, end, clock)?.prev();
    }
    let is_empty = window.first > window.last || window.seq_min > window.seq_max;
    Ok((!is_empty).then_some(window))
}

/// The first entry up to `end` that was received at `time` or later, or the place behind `end`.
fn first_received(
    view: &View<'_>,
    time: Timestamp,
    end: Seq,
    clock: &mut Clock,
) -> Result<Seq, StoreError> {
    let (mut low, mut high) = (Seq::new(1), end.next());
    while low < high {
        let middle = Seq::new(low.get() + (high.get() - low.get()) / 2);
        clock.note((SEEK_KEYS + RECORD_KEYS).into());
        let values = view.values(&[middle])?;
        let value = values.first().ok_or(Damage::Missing(middle))?;
        let entry = LogEntry::decode(value).map_err(|_| Damage::Malformed(middle))?;
        if entry.received() < time {
            low = middle.next();
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// What reading a plan costs, in keys: what its ranges have in the span of time that is asked
/// for, at most a year of it, extrapolated from the newest keys of a few ranges.
fn score(view: &View<'_>, plan: &Plan, noted: &mut Clock) -> Result<u64, StoreError> {
    let ranges = plan.ranges.len();
    if ranges == 0 {
        return Ok(0);
    }
    let every = ranges.div_ceil(SAMPLE_RANGES);
    let sampled: Vec<_> = plan.ranges.iter().step_by(every).copied().collect();
    let share = ranges.div_ceil(sampled.len()) as u64;
    let sample = Plan {
        window: Window {
            seq_min: Seq::ZERO,
            seq_max: Seq::MAX,
            ..plan.window
        },
        ranges: sampled,
        kinds: plan.kinds.as_ref().map(KindSet::copy),
    };
    let mut source = Source::new(0..sample.ranges.len(), sample.window.first, SAMPLE_HITS);
    let mut keys = view.index(sample.order())?;
    let mut clock = Clock::start(PageBudget {
        cost_keys: SAMPLE_MAX_COST_KEYS,
        time: SAMPLE_TIME,
        ..PageBudget::default()
    });
    let mut scan = Scan {
        plan: &sample,
        keys: &mut keys,
        clock: &mut clock,
        ahead_max: SAMPLE_HITS,
    };
    let is_filled = source.fill(&mut scan)?;
    noted.note(clock.cost_keys());
    if !is_filled {
        return Ok(u64::MAX);
    }
    let hits = source.ready();
    let mut expected = hits.len() as u64;
    if let (true, Some(newest), Some(oldest)) = (source.has_more(), hits.last(), hits.first()) {
        let span = oldest.inverted - newest.inverted;
        let asked = plan.window.last.inverted.saturating_sub(newest.inverted);
        let times = asked.min(YEAR_NANOS) / span.max(1);
        expected = expected.saturating_mul(times.max(1)).saturating_add(1);
    }
    let seeks = (ranges as u64).saturating_mul(SEEK_SCORE);
    Ok(expected.saturating_mul(share).saturating_add(seeks))
}

impl KindSet {
    fn copy(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            marks: self.marks.clone(),
        }
    }
}

/// Kinds up to which each one of an author is looked for.
const FEW_KINDS: usize = 8;

/// Sets of tags that are candidates, the smallest ones.
const TAG_SETS_TRIED: usize = 4;

/// Ranges of a candidate that are sampled.
const SAMPLE_RANGES: usize = 8;

/// Keys that are looked at in a sample.
const SAMPLE_HITS: usize = 32;

/// Time for one sample; a candidate that needs more is the last choice.
const SAMPLE_TIME: Duration = Duration::from_millis(2);

/// Cost of one sample, for the same reason. Eight runs of [`SAMPLE_HITS`] keys fit into it easily.
const SAMPLE_MAX_COST_KEYS: u64 = 4_096;

/// What each range of a plan costs for itself.
const SEEK_SCORE: u64 = 4;

const YEAR_NANOS: u64 = 365 * 24 * 3_600 * 1_000_000_000;
