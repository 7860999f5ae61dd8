//! A GET: references, answered in the order in which they were asked, each record once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::effort::Effort;
use super::requests::{Request, Stop};
use super::room::PageSize;
use crate::base::Seq;
use crate::base::limits::{GET_GROUP_MAX_RECORDS, SHORT_READ_COST_KEYS};
use crate::store::{Cursor, Entry, PageBudget, Store, StoreError};
use crate::wire::{Address, Record, RecordId, Reference};

/// The references of one GET, and how far it has come.
pub(super) struct Gets {
    wanted: VecDeque<Reference>,
    /// The address that is being answered.
    group: Option<Group>,
    answered: Answered,
}

/// An address, and the records there that are still to come.
struct Group {
    address: Address,
    cursor: Cursor,
    oldest: Option<RecordId>,
    left: usize,
}

/// What was answered, so that no record is delivered twice. It grows with the references that were
/// asked for, not with the records that were found.
#[derive(Default)]
struct Answered {
    ids: HashSet<RecordId>,
    /// Of each address the oldest record that was delivered for it: groups come newest first.
    groups: HashMap<Address, Option<RecordId>>,
}

/// A page in the making.
struct Page<'a> {
    store: &'a Store,
    sees: &'a dyn Fn(&Entry) -> bool,
    ends: Instant,
    left: PageBudget,
    found: Found,
}

/// What a page has.
#[derive(Default)]
struct Found {
    records: Vec<Record>,
    /// Whether the next record was found, and would have exceeded the budget.
    is_cut: bool,
    cost_keys: u64,
}

impl Gets {
    /// A GET of those references, whose number the session bounds.
    pub(super) fn new(references: Vec<Reference>) -> Self {
        Self {
            wanted: references.into(),
            group: None,
            answered: Answered::default(),
        }
    }

    /// Delivers what there is.
    ///
    /// # Errors
    /// [`Stop`], but never [`Stop::TooMany`]; [`Stop::TooWide`] only where an address has so many
    /// records that the client may not see.
    pub(super) async fn run(mut self, request: &Request, effort: Effort) -> Result<(), Stop> {
        // The session bounds the references, so looking for them is not in vain.
        let mut effort = effort.more(self.wanted.len(), REFERENCE_COST_KEYS);
        let mut size = PageSize::Any;
        while !self.is_done() {
            let place = request.turn(size).await?;
            request.sight.refresh().await;
            let store = request.source.store.clone();
            let sight = Arc::clone(&request.sight);
            let mut budget = place.budget(effort.budget());
            // Looking for one reference does not rest in between.
            budget.cost_keys = budget.cost_keys.min(SHORT_READ_COST_KEYS);
            let work = move || {
                let page = self.page(&store, &|entry| sight.sees(entry), budget);
                let cost_keys = page.as_ref().map_or(0, |page| page.cost_keys);
                (page.map(|page| (self, page)), cost_keys)
            };
            let (gets, found) = effort.read(&request.sight, work).await??;
            self = gets;
            size = place.next_size(found.is_cut && found.records.is_empty());
            let spent = effort.add(found.cost_keys, found.records.len());
            place.records(found.records);
            if !self.is_done() {
                spent?;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.wanted.is_empty() && self.group.is_none()
    }

    /// The next page. It may be empty without being the last.
    fn page(
        &mut self,
        store: &Store,
        sees: &dyn Fn(&Entry) -> bool,
        budget: PageBudget,
    ) -> Result<Found, StoreError> {
        let began = Instant::now();
        let mut page = Page {
            store,
            sees,
            ends: began.checked_add(budget.time).unwrap_or(began),
            left: budget,
            found: Found::default(),
        };
        while page.has_room() {
            if let Some(group) = &mut self.group {
                if group.add_to(&mut page, &self.answered)? {
                    self.answered.groups.insert(group.address, group.oldest);
                    self.group = None;
                }
            } else if let Some(reference) = self.wanted.pop_front() {
                match reference {
                    Reference::Id(id) => self.id(id, &mut page)?,
                    Reference::Address(address) => self.group = self.group_of(address),
                }
            } else {
                break;
            }
        }
        Ok(page.found)
    }

    fn id(&mut self, id: RecordId, page: &mut Page<'_>) -> Result<(), StoreError> {
        if !self.answered.ids.insert(id) {
            return Ok(());
        }
        page.spend(REFERENCE_COST_KEYS);
        for entry in page.store.get(&Reference::Id(id), 1)? {
            if !(page.sees)(&entry) || self.answered.in_group(&entry) {
                continue;
            }
            if entry.record.bytes().len() > page.left.bytes_max {
                page.found.is_cut = true;
                self.answered.ids.remove(&id);
                self.wanted.push_front(Reference::Id(id));
            } else {
                page.push(&entry);
            }
        }
        Ok(())
    }

    fn group_of(&self, address: Address) -> Option<Group> {
        let is_new = !self.answered.groups.contains_key(&address);
        is_new.then(|| Group {
            address,
            // No end: with one, a record that is replaced while the GET waits its turn would be
            // missed, as what replaced it lies behind that end.
            cursor: Cursor::of_group(address, Seq::MAX),
            oldest: None,
            left: GET_GROUP_MAX_RECORDS,
        })
    }
}

impl Group {
    /// Adds the next records of the group. Returns whether the group is at its end.
    fn add_to(&mut self, page: &mut Page<'_>, answered: &Answered) -> Result<bool, StoreError> {
        let budget = PageBudget {
            rows: self.left.min(page.left.rows),
            bytes: page.left.bytes,
            bytes_max: page.left.bytes_max,
            cost_keys: page.left.cost_keys,
            paced: page.left.paced,
            time: page.ends.saturating_duration_since(Instant::now()),
        };
        let found = page.store.page(&mut self.cursor, page.sees, budget)?;
        page.spend(found.cost_keys);
        page.found.is_cut = found.is_cut;
        for entry in &found.entries {
            let id = entry.record.id();
            self.oldest = Some(id);
            self.left = self.left.saturating_sub(1);
            if !answered.ids.contains(&id) {
                page.push(entry);
            }
        }
        Ok(found.done || self.left == 0)
    }
}

impl Answered {
    /// Whether the entry was delivered with the group of its address. One that arrived after its
    /// group was answered counts as delivered: this GET is older than it.
    fn in_group(&self, entry: &Entry) -> bool {
        let record = entry.record.view();
        let oldest = self.groups.get(&record.address()).copied().flatten();
        oldest.is_some_and(|oldest| record.id() >= oldest)
    }
}

impl Page<'_> {
    fn push(&mut self, entry: &Entry) {
        self.left.rows = self.left.rows.saturating_sub(1);
        let bytes = entry.record.bytes().len();
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        self.left.bytes_max = self.left.bytes_max.saturating_sub(bytes);
        self.found.records.push(entry.record.clone());
    }

    fn spend(&mut self, keys: u64) {
        self.found.cost_keys = self.found.cost_keys.saturating_add(keys);
        self.left.cost_keys = self.left.cost_keys.saturating_sub(keys);
    }

    fn has_room(&self) -> bool {
        !self.found.is_cut
            && self.left.rows > 0
            && self.left.bytes > 0
            && self.left.cost_keys > 0
            && Instant::now() < self.ends
    }
}

/// What looking for one record by its ID costs: a place in the index, and the record.
const REFERENCE_COST_KEYS: u64 = 16;
