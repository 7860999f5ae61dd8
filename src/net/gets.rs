//! A GET: references, answered in the order in which they were asked, each record once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::requests::{Request, Stop};
use crate::base::Seq;
use crate::base::limits::GET_GROUP_MAX_RECORDS;
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
    records: Vec<Record>,
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
    /// [`Stop`], but never [`Stop::TooOpen`].
    pub(super) async fn run(mut self, request: &Request) -> Result<(), Stop> {
        while !self.is_done() {
            let place = request.turn().await?;
            request.sight.refresh().await;
            let store = request.source.store.clone();
            let sight = Arc::clone(&request.sight);
            let work = move || {
                let page = self.page(&store, &|entry| sight.sees(entry));
                page.map(|records| (self, records))
            };
            let (gets, records) = request.sight.read(work).await??;
            self = gets;
            place.records(records);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.wanted.is_empty() && self.group.is_none()
    }

    /// The next page of records. It may be empty without being the last.
    fn page(
        &mut self,
        store: &Store,
        sees: &dyn Fn(&Entry) -> bool,
    ) -> Result<Vec<Record>, StoreError> {
        let budget = PageBudget::default();
        let began = Instant::now();
        let mut page = Page {
            store,
            sees,
            ends: began.checked_add(budget.time).unwrap_or(began),
            left: budget,
            records: Vec::new(),
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
        Ok(page.records)
    }

    fn id(&mut self, id: RecordId, page: &mut Page<'_>) -> Result<(), StoreError> {
        if !self.answered.ids.insert(id) {
            return Ok(());
        }
        for entry in page.store.get(&Reference::Id(id), 1)? {
            if (page.sees)(&entry) && !self.answered.in_group(&entry) {
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
            time: page.ends.saturating_duration_since(Instant::now()),
        };
        let found = page.store.page(&mut self.cursor, page.sees, budget)?;
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
        self.left.bytes = self.left.bytes.saturating_sub(entry.record.bytes().len());
        self.records.push(entry.record.clone());
    }

    fn has_room(&self) -> bool {
        self.left.rows > 0 && self.left.bytes > 0 && Instant::now() < self.ends
    }
}
