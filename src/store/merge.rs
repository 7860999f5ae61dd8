//! Merging the sources of a plan, newest hit first, each hit once.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use super::{
    budget::Clock,
    error::StoreError,
    keys::Hit,
    planner::Plan,
    source::{Scan, Source},
    view::Keys,
};
use crate::base::limits;

/// The sources of one plan.
#[derive(Debug)]
pub(super) struct Merge {
    /// Sources whose next hit is known.
    heads: BinaryHeap<Head>,
    /// Sources that must be filled before it is known which hit is the next.
    dry: Vec<Source>,
    last: Option<Hit>,
    ahead_max: usize,
}

/// What came of asking for the next hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Hit(Hit),
    End,
    OutOfTime,
}

#[derive(Debug)]
struct Head {
    hit: Hit,
    source: Source,
}

impl Merge {
    /// A merge for a reader that wants about `rows` hits at first.
    pub(super) fn new(plan: &Plan, rows: usize) -> Self {
        let ranges = plan.ranges.len();
        let ahead_max = (limits::MERGE_AHEAD_MAX_HITS / ranges.max(1)).clamp(1, AHEAD_MAX);
        let ahead = (rows / ranges.max(1)).max(AHEAD_MIN).min(ahead_max);
        let dry = (0..ranges)
            .map(|range| Source::new(range..range + 1, plan.window.first, ahead))
            .collect();
        Self {
            heads: BinaryHeap::new(),
            dry,
            last: None,
            ahead_max,
        }
    }

    /// The next hit.
    pub(super) fn next(
        &mut self,
        plan: &Plan,
        keys: &mut Keys<'_>,
        clock: &mut Clock,
    ) -> Result<Step, StoreError> {
        let mut scan = Scan {
            plan,
            keys,
            clock,
            ahead_max: self.ahead_max,
        };
        loop {
            while let Some(source) = self.dry.last_mut() {
                if !source.fill(&mut scan)? {
                    return Ok(Step::OutOfTime);
                }
                if let Some(source) = self.dry.pop()
                    && let Some(hit) = source.peek()
                {
                    self.heads.push(Head { hit, source });
                }
            }
            let Some(mut head) = self.heads.peek_mut() else {
                return Ok(Step::End);
            };
            let hit = head.hit;
            match head.source.advance() {
                Some(next) => head.hit = next,
                None => {
                    let Head { source, .. } = PeekMut::pop(head);
                    if source.has_more() {
                        self.dry.push(source);
                    }
                }
            }
            // One record may be in several ranges: under two tags, or as author and as signer.
            if self.last != Some(hit) {
                self.last = Some(hit);
                return Ok(Step::Hit(hit));
            }
        }
    }
}

impl Ord for Head {
    /// The newest hit is the greatest head.
    fn cmp(&self, other: &Self) -> Ordering {
        other.hit.cmp(&self.hit)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.hit == other.hit
    }
}

impl Eq for Head {}

/// Hits that one source reads ahead at first, however many sources there are.
const AHEAD_MIN: usize = 4;

/// Hits that one source reads ahead at most.
const AHEAD_MAX: usize = 256;
