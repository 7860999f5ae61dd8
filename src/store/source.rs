//! Reading a group of ranges of the index in the order of results.
//!
//! A source reads ahead: it holds the next few hits of its ranges as plain data, so that nothing
//! of the database is held between pages. To fill itself it looks at each of its ranges and
//! keeps the newest hits of all; a range that has nothing newer than those costs one seek. This
//! bounds the memory of any filter, and of an author with any number of kinds.

use std::{collections::BinaryHeap, ops};

use super::{
    budget::{Clock, SEEK_KEYS},
    error::StoreError,
    keys::{self, Hit, Run, Table},
    planner::{Plan, Range},
    view::Keys,
};

/// A group of the ranges of a plan, and the next hits in them.
#[derive(Debug)]
pub(super) struct Source {
    ranges: ops::Range<usize>,
    /// No hit before this one is wanted any more.
    from: Hit,
    spot: Spot,
    /// Hits found by a filling that is not finished; the last in order on top.
    best: BinaryHeap<Hit>,
    /// Hits ready to be taken; the next one at the end.
    ready: Vec<Hit>,
    /// Whether there was more than fitted when the source was last filled.
    has_more: bool,
    /// Hits of the next filling: a short query reads little ahead, a long one more each time.
    ahead: usize,
}

/// What filling a source needs.
pub(super) struct Scan<'a, 'k> {
    pub(super) plan: &'a Plan,
    pub(super) keys: &'a mut Keys<'k>,
    pub(super) clock: &'a mut Clock,
    /// Most hits that one source reads ahead.
    pub(super) ahead_max: usize,
}

/// Where a filling goes on.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// Index of a range in the plan.
    range: usize,
    /// Within an author: the next kind to look for, by its part of the key or by its index.
    part: u32,
    /// Within one run.
    at: Hit,
}

enum Located {
    /// A run to read; whether the keys stand at its first hit already.
    Run(Run, bool),
    End,
    OutOfTime,
}

impl Source {
    /// A source of those ranges of the plan, from the start of its window on.
    pub(super) const fn new(ranges: ops::Range<usize>, from: Hit, ahead: usize) -> Self {
        let spot = Spot {
            range: ranges.start,
            part: 0,
            at: from,
        };
        Self {
            ranges,
            from,
            spot,
            best: BinaryHeap::new(),
            ready: Vec::new(),
            has_more: true,
            ahead,
        }
    }

    /// The next hit.
    pub(super) fn peek(&self) -> Option<Hit> {
        self.ready.last().copied()
    }

    /// Goes to the hit behind the next one and returns that.
    pub(super) fn advance(&mut self) -> Option<Hit> {
        self.ready.pop();
        self.peek()
    }

    /// Whether an empty source can be filled again.
    pub(super) const fn has_more(&self) -> bool {
        self.has_more
    }

    /// The hits that are ready, the next one at the end.
    pub(super) fn ready(&self) -> &[Hit] {
        &self.ready
    }

    /// Reads the next hits. False if the time is over first; then call it again.
    pub(super) fn fill(&mut self, scan: &mut Scan<'_, '_>) -> Result<bool, StoreError> {
        if self.spot.range == self.ranges.start && self.best.is_empty() {
            self.has_more = false;
        }
        while self.spot.range < self.ranges.end {
            match scan.locate(&mut self.spot, self.from)? {
                Located::OutOfTime => return Ok(false),
                Located::Run(run, is_placed) => {
                    if !self.read(run, is_placed, scan)? {
                        return Ok(false);
                    }
                    self.spot.part = self.spot.part.saturating_add(1);
                }
                Located::End => {
                    self.spot.range += 1;
                    self.spot.part = 0;
                }
            }
            self.spot.at = self.from;
        }
        self.ready = std::mem::take(&mut self.best).into_sorted_vec();
        if let Some(last) = self.ready.last() {
            self.from = last.next();
        }
        self.ready.reverse();
        self.spot = Spot {
            range: self.ranges.start,
            part: 0,
            at: self.from,
        };
        self.ahead = self.ahead.saturating_mul(2).min(scan.ahead_max);
        Ok(true)
    }

    /// Takes the hits of one run that are among the next. False if the time is over first.
    fn read(
        &mut self,
        run: Run,
        is_placed: bool,
        scan: &mut Scan<'_, '_>,
    ) -> Result<bool, StoreError> {
        if !is_placed {
            let Some(key) = run.seek_key(self.spot.at) else {
                return Ok(true);
            };
            scan.keys.seek(&key);
            if scan.clock.is_over(SEEK_KEYS) {
                return Ok(false);
            }
        }
        loop {
            let Some(hit) = scan.keys.key()?.and_then(|key| run.hit(key)) else {
                return Ok(true);
            };
            if hit > scan.plan.window.last {
                return Ok(true);
            }
            let is_full = self.best.len() >= self.ahead;
            if is_full && self.best.peek().is_some_and(|worst| hit >= *worst) {
                self.has_more = true;
                return Ok(true);
            }
            if scan.plan.admits(hit) {
                self.best.push(hit);
                if is_full {
                    self.best.pop();
                    self.has_more = true;
                }
            }
            if scan.clock.is_over(1) {
                self.spot.at = hit.next();
                return Ok(false);
            }
            scan.keys.step();
        }
    }
}

impl Scan<'_, '_> {
    /// The run at the spot, or the next one of its range; that one is read from `from` on.
    fn locate(&mut self, spot: &mut Spot, from: Hit) -> Result<Located, StoreError> {
        let plan = self.plan;
        let located = match plan.ranges.get(spot.range) {
            Some(Range::Run(run)) if spot.part == 0 => Located::Run(*run, false),
            Some(Range::Author(author)) => match &plan.kinds {
                Some(kinds) if kinds.are_few() => {
                    kinds.part(spot.part).map_or(Located::End, |part| {
                        let value = keys::author_value(*author, part);
                        Located::Run(Run::of(Table::Author, value), false)
                    })
                }
                _ => self.next_kind(*author, spot, from)?,
            },
            Some(Range::Run(_)) | None => Located::End,
        };
        Ok(located)
    }

    /// Finds the next kind of an author by skipping from kind to kind.
    fn next_kind(
        &mut self,
        author: [u8; 5],
        spot: &mut Spot,
        from: Hit,
    ) -> Result<Located, StoreError> {
        loop {
            let wanted = match &self.plan.kinds {
                Some(kinds) => kinds.part_from(spot.part),
                None => part_bytes(spot.part),
            };
            let Some(part) = wanted else {
                return Ok(Located::End);
            };
            spot.move_to(part, from);
            let run = Run::of(Table::Author, keys::author_value(author, part));
            if let Some(key) = run.seek_key(spot.at) {
                self.keys.seek(&key);
            }
            if self.clock.is_over(SEEK_KEYS) {
                return Ok(Located::OutOfTime);
            }
            let Some(key) = self.keys.key()? else {
                return Ok(Located::End);
            };
            let Some(found) = author_part(key, author) else {
                return Ok(Located::End);
            };
            let run = Run::of(Table::Author, keys::author_value(author, found));
            let is_placed = run.hit(key).is_some_and(|hit| hit >= from);
            spot.move_to(found, from);
            if is_placed && self.plan.wants_kind(found) {
                return Ok(Located::Run(run, true));
            }
        }
    }
}

impl Spot {
    /// Goes to a kind; to the start of it unless it is there already.
    fn move_to(&mut self, part: [u8; 3], from: Hit) {
        let number = part_number(part);
        if number != self.part {
            self.part = number;
            self.at = from;
        }
    }
}

/// The kind in a key of that author; `None` for any other key.
fn author_part(key: &[u8], author: [u8; 5]) -> Option<[u8; 3]> {
    let rest = key.strip_prefix(&[Table::Author.byte()])?;
    rest.strip_prefix(&author)?.first_chunk().copied()
}

/// A part of a key as a number, in the order of keys.
pub(super) const fn part_number(part: [u8; 3]) -> u32 {
    let [a, b, c] = part;
    u32::from_be_bytes([0, a, b, c])
}

const fn part_bytes(number: u32) -> Option<[u8; 3]> {
    match number.to_be_bytes() {
        [0, a, b, c] => Some([a, b, c]),
        _ => None,
    }
}
