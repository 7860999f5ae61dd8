//! Key schedules as the record store has them.

use crate::base::{Seq, limits};
use crate::identity::ScheduleSource;
use crate::store::{Cursor, PageBudget, Store, StoreError};
use crate::wire::{
    Filter, FilterBuilder, FilterError, KeySchedule, Kind, PublicKey, Record, TagsBuilder,
};

/// Finds key schedules through the indexes of the store, whatever roles hold them: whom a key
/// speaks for is not told to anybody.
///
/// Where the store fails, that is traced, and nothing was found: a key then speaks for nobody but
/// itself.
#[derive(Clone, Debug)]
pub(super) struct StoreSchedules {
    store: Store,
}

impl StoreSchedules {
    pub(super) const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Reads matching records, newest first, until `enough` is reached, none are left, or
    /// [`limits::DIRECTORY_SCAN_MAX_RECORDS`] were looked at.
    fn find(
        &self,
        filter: Result<Filter, FilterError>,
        enough: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Vec<Record> {
        let filter = match filter {
            Ok(filter) => filter,
            Err(error) => unreachable!("a filter of one key and one kind: {error}"),
        };
        match self.scan(filter, enough, wanted) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "key schedules cannot be read");
                Vec::new()
            }
        }
    }

    fn scan(
        &self,
        filter: Filter,
        enough: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, StoreError> {
        let mut cursor = Cursor::new(filter, Seq::MAX);
        let mut found = Vec::new();
        let mut looked_at = 0;
        loop {
            let page = self
                .store
                .page(&mut cursor, &|_| true, PageBudget::default())?;
            for entry in &page.entries {
                looked_at += 1;
                // A held record takes part in nothing.
                if !entry.held && wanted(&entry.record) {
                    found.push(entry.record.clone());
                }
                if found.len() >= enough || looked_at >= limits::DIRECTORY_SCAN_MAX_RECORDS {
                    return Ok(found);
                }
            }
            if page.done {
                return Ok(found);
            }
        }
    }
}

impl ScheduleSource for StoreSchedules {
    fn newest_schedule(&self, master: &PublicKey) -> Option<Record> {
        let filter = FilterBuilder::new()
            .authors([*master])
            .kinds([Kind::KEY_SCHEDULE]);
        let newest = self.find(filter.build(), SAME_MOMENT_MAX_RECORDS, |_| true);
        newest.into_iter().max_by_key(Record::id)
    }

    fn schedules_listing(&self, subkey: &PublicKey) -> Vec<Record> {
        let filter = FilterBuilder::new()
            .tags(TagsBuilder::new().subkey(*subkey))
            .kinds([Kind::KEY_SCHEDULE]);
        self.find(filter.build(), limits::DIRECTORY_MASTERS_MAX, |record| {
            KeySchedule::parse(record.view())
                .is_ok_and(|schedule| schedule.signing_key(subkey).is_some())
        })
    }
}

/// Schedules of one master among which the newest is looked for: as many as may share the newest
/// timestamp, at different addresses. The larger ID wins among them.
const SAME_MOMENT_MAX_RECORDS: usize = 8;
