//! A batch while it is put together: what goes into the log, and what it replaces there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    entry::{Entry, Outcome, Vouched},
    error::{Damage, StoreError},
    keys::{Hit, IndexKey, Run, SEQ_MAX, Table},
    record_format::{self, LogEntry},
    view::{Keys, Order, View},
};
use crate::{
    base::{Seq, limits},
    wire::{Address, Duplicates, PublicKey, RecordId, RecordRef, ResultCode, Timestamp},
};

/// The entries of one batch, in the order of the log.
///
/// It answers as the store will once the batch is in it: a record that was staged is a duplicate
/// for the next one already.
pub(super) struct Stage<'v> {
    view: &'v View<'v>,
    keys: Keys<'v>,
    has_space: bool,
    next: Seq,
    /// When the last of the entries was received.
    received: Timestamp,
    staged: Vec<Staged>,
    ids: HashMap<RecordId, usize>,
    replaceable: HashMap<Address, usize>,
    replaced: BTreeMap<Seq, Replaced>,
    index_keys: usize,
}

/// One entry of a batch.
pub(super) enum Staged {
    Record(StagedRecord),
    User {
        seq: Seq,
        received: Timestamp,
        user: PublicKey,
    },
}

/// A record of a batch.
pub(super) struct StagedRecord {
    pub(super) entry: Arc<Entry>,
    pub(super) keys: Vec<IndexKey>,
    /// A later entry of the same batch that replaces it.
    pub(super) gone_by: Option<Seq>,
}

/// A record of an earlier batch that an entry of this one replaces.
pub(super) struct Replaced {
    pub(super) entry: Arc<Entry>,
    pub(super) by: Seq,
}

/// Where a live record is.
enum Place {
    Staged(usize, Arc<Entry>),
    Stored(Arc<Entry>),
}

impl Place {
    const fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Staged(_, entry) | Self::Stored(entry) => entry,
        }
    }
}

impl<'v> Stage<'v> {
    /// An empty batch behind the tail of `view`. Without space it takes no new entry.
    pub(super) fn new(view: &'v View<'v>, has_space: bool) -> Result<Self, StoreError> {
        Ok(Self {
            keys: view.index(Order::Prefix)?,
            next: view.tail().next(),
            received: Timestamp::MIN,
            view,
            has_space,
            staged: Vec::new(),
            ids: HashMap::new(),
            replaceable: HashMap::new(),
            replaced: BTreeMap::new(),
            index_keys: 0,
        })
    }

    /// Takes a record into the batch, at the place [`next`](Self::next), or says why not.
    ///
    /// A record that is here already, but not under all the roles it is offered for, moves to a new
    /// place: there it has the roles of both, and the better of what vouches for its signer.
    ///
    /// [`Outcome::Stored`] is a promise for the time after the batch is written. Free space comes
    /// before everything else, so that a full disk does not tell what is here.
    ///
    /// # Source
    /// `mosaic-wire.md` sections 3 and 10: an address of a replaceable kind serves its latest
    /// timestamp, and of equal timestamps the larger ID. Section 9: the signer must be checked
    /// before it may replace what another key signed. `vouched_now` is asked for what holds an
    /// address: whoever signed it may have been revoked since, and then it is no obstacle.
    pub(super) fn offer(
        &mut self,
        entry: &Arc<Entry>,
        vouched_now: &dyn Fn(&Entry) -> Option<Vouched>,
    ) -> Result<Outcome, StoreError> {
        if !self.has_space {
            return Ok(Outcome::NoSpace);
        }
        let record = entry.record.view();
        if let Some(known) = self.find_id(&record.id())? {
            let theirs = known.entry();
            if theirs.roles.union(entry.roles) == theirs.roles {
                return Ok(Outcome::Duplicate(Arc::clone(theirs)));
            }
            let entry = Arc::new(united(theirs, entry));
            return self.take(&entry, Some(known));
        }
        let is_replaceable = record.kind().duplicates() == Duplicates::Replaceable;
        let current = if is_replaceable {
            self.current(&record.address())?
        } else {
            None
        };
        if let Some(known) = current.as_ref().map(Place::entry)
            && let Some(vouched) = vouched_now(known)
            && let Some(refusal) = stays(known, vouched, entry)
        {
            return Ok(refusal);
        }
        self.take(entry, current)
    }

    /// Takes a registration into the batch; false without space.
    pub(super) fn register(
        &mut self,
        user: PublicKey,
        received: Timestamp,
    ) -> Result<bool, StoreError> {
        if !self.has_space {
            return Ok(false);
        }
        let seq = self.claim(received)?;
        self.index_keys += 1;
        self.staged.push(Staged::User {
            seq,
            received,
            user,
        });
        Ok(true)
    }

    /// Whether `user` is registered, here or in an earlier batch.
    pub(super) fn has_user(&mut self, user: &PublicKey) -> Result<bool, StoreError> {
        let is_staged =
            |staged: &Staged| matches!(staged, Staged::User { user: u, .. } if u == user);
        if self.staged.iter().any(is_staged) {
            return Ok(true);
        }
        let run = Run::of(Table::User, self.view.secret().value(user.as_bytes()));
        let is_user = |_: Seq, entry: LogEntry<'_>| match entry {
            LogEntry::User { user: known, .. } if known == *user => Some(()),
            _ => None,
        };
        Ok(self.find(run, (Hit::FIRST, Hit::LAST), is_user)?.is_some())
    }

    /// Place of the next entry.
    pub(super) const fn next(&self) -> Seq {
        self.next
    }

    /// When the last entry that was taken was received.
    pub(super) const fn received(&self) -> Timestamp {
        self.received
    }

    /// Whether nothing was taken.
    pub(super) const fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Whether no more should be taken before this is written.
    pub(super) const fn is_full(&self) -> bool {
        self.index_keys >= limits::COMMIT_MAX_INDEX_KEYS
    }

    /// Users that were taken.
    pub(super) fn new_users(&self) -> usize {
        let is_user = |staged: &&Staged| matches!(staged, Staged::User { .. });
        self.staged.iter().filter(is_user).count()
    }

    /// What was taken, and what it replaces, by place.
    pub(super) fn into_parts(self) -> (Vec<Staged>, BTreeMap<Seq, Replaced>) {
        (self.staged, self.replaced)
    }

    fn claim(&mut self, received: Timestamp) -> Result<Seq, StoreError> {
        let seq = self.next;
        if seq.get() > SEQ_MAX {
            return Err(StoreError::Full);
        }
        self.next = seq.next();
        self.received = received;
        Ok(seq)
    }

    /// Puts an entry behind the last one, in place of `old`.
    fn take(&mut self, entry: &Arc<Entry>, old: Option<Place>) -> Result<Outcome, StoreError> {
        let seq = self.claim(entry.received)?;
        assert_eq!(
            entry.seq, seq,
            "an entry is made for the place it is offered"
        );
        if let Some(old) = old {
            self.replace(old, seq);
        }
        self.put(entry);
        Ok(Outcome::Stored(seq))
    }

    fn put(&mut self, entry: &Arc<Entry>) {
        let record = entry.record.view();
        let keys = self.view.secret().record_keys(&record, entry.seq);
        let index = self.staged.len();
        self.index_keys += keys.len();
        self.ids.insert(record.id(), index);
        if record.kind().duplicates() == Duplicates::Replaceable {
            self.replaceable.insert(record.address(), index);
        }
        self.staged.push(Staged::Record(StagedRecord {
            entry: Arc::clone(entry),
            keys,
            gone_by: None,
        }));
    }

    fn replace(&mut self, old: Place, by: Seq) {
        match old {
            Place::Staged(index, entry) => {
                self.ids.remove(&entry.record.id());
                if let Some(Staged::Record(staged)) = self.staged.get_mut(index) {
                    staged.gone_by = Some(by);
                }
            }
            Place::Stored(entry) => {
                self.replaced.insert(entry.seq, Replaced { entry, by });
            }
        }
    }

    fn staged_at(&self, index: usize) -> Option<Place> {
        match self.staged.get(index) {
            Some(Staged::Record(staged)) => Some(Place::Staged(index, Arc::clone(&staged.entry))),
            _ => None,
        }
    }

    /// The live record with that ID.
    fn find_id(&mut self, id: &RecordId) -> Result<Option<Place>, StoreError> {
        if let Some(index) = self.ids.get(id) {
            return Ok(self.staged_at(*index));
        }
        let window = Hit::of_id(id);
        let found =
            self.find_record(Run::at(id.timestamp()), window, |record| record.id() == *id)?;
        let live = found.filter(|entry| !self.replaced.contains_key(&entry.seq));
        Ok(live.map(Place::Stored))
    }

    /// The live record at an address of a replaceable kind.
    fn current(&mut self, address: &Address) -> Result<Option<Place>, StoreError> {
        if let Some(index) = self.replaceable.get(address) {
            return Ok(self.staged_at(*index));
        }
        let run = self.view.secret().address_run(address);
        let window = (Hit::FIRST, Hit::LAST);
        let found = self.find_record(run, window, |record| record.address() == *address)?;
        Ok(found.map(Place::Stored))
    }

    fn find_record(
        &mut self,
        run: Run,
        window: (Hit, Hit),
        is_it: impl Fn(&RecordRef<'_>) -> bool,
    ) -> Result<Option<Arc<Entry>>, StoreError> {
        let found = self.find(run, window, |seq, entry| match entry {
            LogEntry::Record(header, record) if is_it(&record) => {
                Some(record_format::owned(seq, &header, &record).map_err(|_| seq))
            }
            _ => None,
        })?;
        let entry = found.transpose().map_err(Damage::Malformed)?;
        Ok(entry.map(Arc::new))
    }

    /// The first entry in a stretch of the index that `pick` takes.
    fn find<T>(
        &mut self,
        run: Run,
        (first, last): (Hit, Hit),
        pick: impl Fn(Seq, LogEntry<'_>) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(key) = run.seek_key(first) else {
            return Ok(None);
        };
        self.keys.seek(&key);
        while let Some(hit) = self.keys.key()?.and_then(|key| run.hit(key)) {
            if hit > last {
                break;
            }
            let seq = hit.seq();
            let values = self.view.values(&[seq])?;
            let value = values.first().ok_or(Damage::Missing(seq))?;
            let entry = LogEntry::decode(value).map_err(|_| Damage::Malformed(seq))?;
            if let Some(found) = pick(seq, entry) {
                return Ok(Some(found));
            }
            self.keys.step();
        }
        Ok(None)
    }
}

/// Why the current record of an address, whose signer is vouched for by now as `vouched` says, stays
/// when `entry` is offered; `None` if it does not.
///
/// A vouched signer goes before one of whom nothing is known, whatever the order of their records:
/// otherwise a forged record from the far future held the address for ever.
fn stays(known: &Arc<Entry>, vouched: Vouched, entry: &Entry) -> Option<Outcome> {
    let (theirs, ours) = (known.record.view(), entry.record.view());
    let is_other_signer = theirs.signer() != ours.signer();
    let is_vouched = entry.vouched != Vouched::Unknown;
    if is_other_signer && is_vouched && vouched == Vouched::Unknown {
        return None;
    }
    // An ID starts with the timestamp, so this order is the rule for equal ones too.
    if ours.id() < theirs.id() {
        return Some(Outcome::Older(Arc::clone(known)));
    }
    (is_other_signer && !is_vouched).then_some(Outcome::Refused(ResultCode::Unauthorized))
}

/// The entry of a record that is here as `known` and comes again as `again`.
fn united(known: &Entry, again: &Entry) -> Entry {
    Entry {
        roles: known.roles.union(again.roles),
        vouched: match known.vouched {
            Vouched::Unknown => again.vouched,
            vouched => vouched,
        },
        ..again.clone()
    }
}
