//! A batch while it is put together: what goes into the log, and what it replaces there.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    act::ActBody,
    entry::{Entry, Kept, Outcome, Vouched},
    error::{Damage, StoreError},
    keys::{Hit, IndexKey, Run, SEQ_MAX, Table},
    record_format::{self, LogEntry},
    space::Space,
    usage::{self, Accounts, Charge, Quota},
    view::{Keys, Order, View},
};
use crate::{
    base::{Seq, limits},
    wire::{Address, Duplicates, PublicKey, RecordId, RecordRef, Timestamp},
};

/// The entries of one batch, in the order of the log.
///
/// It answers as the store will once the batch is in it: a record that was staged is a duplicate
/// for the next one already.
pub(super) struct Stage<'v> {
    pub(super) view: &'v View<'v>,
    keys: Keys<'v>,
    pub(super) space: Space,
    /// Whether an ID was ever removed; nothing has to be looked up before.
    has_removed: bool,
    next: Seq,
    /// When the last of the entries was received.
    received: Timestamp,
    pub(super) staged: Vec<Staged>,
    ids: HashMap<RecordId, usize>,
    replaceable: HashMap<Address, usize>,
    replaced: BTreeMap<Seq, Replaced>,
    /// IDs that the acts of this batch removed.
    pub(super) removed: HashSet<RecordId>,
    /// Values of the state, by their whole keys, that the acts of this batch set.
    pub(super) state: StateValues,
    accounts: Accounts,
    /// Keys of the index that are added or taken out.
    pub(super) index_keys: usize,
}

/// Values of the state by their whole keys; those that are taken away are nothing.
pub(super) type StateValues = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a batch is made with.
pub(super) struct Ground {
    /// Without free space it takes no new entry, but for what is in the reserve for operators.
    pub(super) space: Space,
    /// Whether the store has removed IDs.
    pub(super) has_removed: bool,
    /// What is stored on behalf of users.
    pub(super) accounts: Accounts,
}

/// What a batch writes.
pub(super) struct Parts {
    pub(super) staged: Vec<Staged>,
    /// By the places that they leave.
    pub(super) replaced: BTreeMap<Seq, Replaced>,
    pub(super) state: StateValues,
    pub(super) accounts: Accounts,
}

/// One entry of a batch.
pub(super) enum Staged {
    Record(StagedRecord),
    User {
        seq: Seq,
        received: Timestamp,
        user: PublicKey,
    },
    Act {
        seq: Seq,
        received: Timestamp,
        body: ActBody,
    },
}

/// A record of a batch.
pub(super) struct StagedRecord {
    pub(super) entry: Arc<Entry>,
    pub(super) keys: Vec<IndexKey>,
    /// An entry of the same batch that replaces or removes it.
    pub(super) gone_by: Option<Seq>,
}

/// A record of an earlier batch that an entry of this one replaces or removes.
pub(super) struct Replaced {
    pub(super) entry: Arc<Entry>,
    /// What is taken out of the index.
    pub(super) keys: Vec<IndexKey>,
    pub(super) by: Seq,
}

/// Where a live record is.
pub(super) enum Place {
    Staged(usize, Arc<Entry>),
    Stored(Arc<Entry>),
}

impl Place {
    pub(super) const fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Staged(_, entry) | Self::Stored(entry) => entry,
        }
    }
}

/// How the signer of a record is vouched for by now; `None` where it was revoked.
pub(super) type VouchedNow<'a> = dyn Fn(&Entry) -> Option<Vouched> + 'a;

impl<'v> Stage<'v> {
    /// An empty batch behind the tail of `view`.
    pub(super) fn new(view: &'v View<'v>, ground: Ground) -> Result<Self, StoreError> {
        Ok(Self {
            keys: view.index(Order::Prefix)?,
            next: view.tail().next(),
            received: Timestamp::MIN,
            view,
            space: ground.space,
            has_removed: ground.has_removed,
            staged: Vec::new(),
            ids: HashMap::new(),
            replaceable: HashMap::new(),
            replaced: BTreeMap::new(),
            removed: HashSet::new(),
            state: StateValues::new(),
            accounts: ground.accounts,
            index_keys: 0,
        })
    }

    /// Takes a record into the batch, at the place [`next`](Self::next), or says why not.
    ///
    /// A record that is here already, but not under all the roles it is offered for, moves to a new
    /// place: there it has the roles of both, and the better of what vouches for its signer. So does
    /// one that was held and comes again to be stored at once, under all the roles that it has: let in
    /// by one of them, it would come out under the others, which it was held for. What is to be held
    /// adds nothing to a record that is not.
    ///
    /// A held record replaces nothing, and nothing replaces it.
    ///
    /// [`Outcome::Stored`] is a promise for the time after the batch is written. Free space comes
    /// before everything else, so that a full disk does not tell what is here. Nor do full accounts: what
    /// comes again counts as if it were new, and of what is kept out it is told whether it would fit.
    ///
    /// # Source
    /// `mosaic-wire.md` sections 3 and 10: an address of a replaceable kind serves its latest
    /// timestamp, and of equal timestamps the larger ID. Section 9: the signer must be checked
    /// before it may replace what another key signed. `vouched_now` is asked for what holds an
    /// address: whoever signed it may have been revoked since, and then it is no obstacle.
    pub(super) fn offer(
        &mut self,
        entry: &Arc<Entry>,
        charges: &[Charge],
        vouched_now: &VouchedNow<'_>,
    ) -> Result<Outcome, StoreError> {
        if self.space != Space::Free {
            return Ok(Outcome::NoSpace);
        }
        let record = entry.record.view();
        if let Some(known) = self.find_id(&record.id())? {
            let theirs = known.entry();
            let is_release = theirs.held && !entry.held;
            let all = theirs.roles.union(entry.roles);
            let is_kept = match (theirs.held, entry.held) {
                (true, false) => all != entry.roles,
                (false, true) => true,
                (true, true) | (false, false) => all == theirs.roles,
            };
            if is_kept {
                let theirs = Arc::clone(theirs);
                return Ok(Outcome::Duplicate(self.kept(theirs, entry, charges)?));
            }
            let entry = Arc::new(united(theirs, entry));
            if is_release {
                return self.admit(&entry, Some(known), charges, vouched_now);
            }
            return self.take(&entry, (Some(known), None), charges);
        }
        if self.is_removed(&record.id())? {
            let fits = self.is_within(entry, None, charges)?;
            return Ok(Outcome::Removed { fits });
        }
        self.admit(entry, None, charges, vouched_now)
    }

    /// Takes a record, which was held as `known` before, by the rules of replacement.
    pub(super) fn admit(
        &mut self,
        entry: &Arc<Entry>,
        known: Option<Place>,
        charges: &[Charge],
        vouched_now: &VouchedNow<'_>,
    ) -> Result<Outcome, StoreError> {
        let current = if is_replaceable(entry) {
            self.current(&entry.record.view().address())?
        } else {
            None
        };
        if let Some(current) = current.as_ref().map(Place::entry)
            && let Some(vouched) = vouched_now(current)
            && let Some(why) = stays(current, vouched, entry)
        {
            return Ok(why(self.kept(Arc::clone(current), entry, charges)?));
        }
        self.take(entry, (known, current), charges)
    }

    /// Takes a registration into the batch; false without space.
    pub(super) fn register(
        &mut self,
        user: PublicKey,
        received: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.space != Space::Free {
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
        let found = find(
            self.view,
            &mut self.keys,
            run,
            (Hit::FIRST, Hit::LAST),
            is_user,
        );
        Ok(found?.is_some())
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

    /// What is to be written.
    pub(super) fn into_parts(self) -> Parts {
        Parts {
            staged: self.staged,
            replaced: self.replaced,
            state: self.state,
            accounts: self.accounts,
        }
    }

    pub(super) fn claim(&mut self, received: Timestamp) -> Result<Seq, StoreError> {
        let seq = self.next;
        if seq.get() > SEQ_MAX {
            return Err(StoreError::Full);
        }
        self.next = seq.next();
        self.received = received;
        Ok(seq)
    }

    /// Puts an entry behind the last one, unless somebody has too much: in place of the same record as it
    /// was `known` before, and of what was the `current` one of its address.
    fn take(
        &mut self,
        entry: &Arc<Entry>,
        (known, current): (Option<Place>, Option<Place>),
        charges: &[Charge],
    ) -> Result<Outcome, StoreError> {
        let replaced = current.as_ref().map(|place| &**place.entry());
        if !self.is_within(entry, replaced, charges)? {
            return Ok(Outcome::OverQuota);
        }
        let seq = self.claim(entry.received)?;
        assert_eq!(
            entry.seq, seq,
            "an entry is made for the place it is offered"
        );
        for old in known.into_iter().chain(current) {
            self.replace(old, seq)?;
        }
        self.put(entry)?;
        Ok(Outcome::Stored(seq))
    }

    /// What is said of an entry that keeps another one out.
    fn kept(
        &mut self,
        kept: Arc<Entry>,
        offered: &Entry,
        charges: &[Charge],
    ) -> Result<Kept, StoreError> {
        Ok(Kept {
            entry: kept,
            fits: self.is_within(offered, None, charges)?,
        })
    }

    /// Whether everybody for whom `entry` counts may have it, in place of `replaced`. Nothing is read
    /// where there are no bounds.
    fn is_within(
        &mut self,
        entry: &Entry,
        replaced: Option<&Entry>,
        charges: &[Charge],
    ) -> Result<bool, StoreError> {
        for Charge {
            user,
            account,
            quota,
        } in charges
        {
            let is_charged = |entry: &Entry| {
                let mut charged = entry.charged.iter();
                charged.any(|it| it.user == *user && it.account == *account)
            };
            if *quota == Quota::UNBOUNDED || !is_charged(entry) {
                continue;
            }
            let before = self.accounts.of(self.view, user)?.of(*account);
            let left = match replaced.filter(|old| is_charged(old)) {
                Some(old) => before.minus(old.record.bytes().len()),
                None => before,
            };
            if left.plus(entry.record.bytes().len()).passes(*quota, before) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put(&mut self, entry: &Arc<Entry>) -> Result<(), StoreError> {
        for charged in entry.charged.iter() {
            let bytes = entry.record.bytes().len();
            let plus = |amount: usage::Amount| amount.plus(bytes);
            self.accounts.change(self.view, *charged, plus)?;
        }
        let record = entry.record.view();
        let secret = self.view.secret();
        let keys = secret.entry_keys(&record, entry.held, entry.seq);
        let index = self.staged.len();
        self.index_keys += keys.len();
        self.ids.insert(record.id(), index);
        if is_replaceable(entry) {
            self.replaceable.insert(record.address(), index);
        }
        self.staged.push(Staged::Record(StagedRecord {
            entry: Arc::clone(entry),
            keys,
            gone_by: None,
        }));
        Ok(())
    }

    /// Takes a record out: the entry `by` replaces or removes it.
    pub(super) fn replace(&mut self, old: Place, by: Seq) -> Result<(), StoreError> {
        let entry = old.entry();
        for charged in entry.charged.iter() {
            let bytes = entry.record.bytes().len();
            let minus = |amount: usage::Amount| amount.minus(bytes);
            self.accounts.change(self.view, *charged, minus)?;
        }
        match old {
            Place::Staged(index, entry) => {
                self.ids.remove(&entry.record.id());
                let address = entry.record.view().address();
                if self.replaceable.get(&address) == Some(&index) {
                    self.replaceable.remove(&address);
                }
                if let Some(Staged::Record(staged)) = self.staged.get_mut(index) {
                    staged.gone_by = Some(by);
                }
            }
            Place::Stored(entry) => {
                let secret = self.view.secret();
                let keys = secret.entry_keys(&entry.record.view(), entry.held, entry.seq);
                self.index_keys += keys.len();
                self.replaced
                    .insert(entry.seq, Replaced { entry, keys, by });
            }
        }
        Ok(())
    }

    fn staged_at(&self, index: usize) -> Option<Place> {
        match self.staged.get(index) {
            Some(Staged::Record(staged)) => Some(Place::Staged(index, Arc::clone(&staged.entry))),
            _ => None,
        }
    }

    /// The live record with that ID.
    pub(super) fn find_id(&mut self, id: &RecordId) -> Result<Option<Place>, StoreError> {
        if let Some(index) = self.ids.get(id) {
            return Ok(self.staged_at(*index));
        }
        let window = Hit::of_id(id);
        let run = Run::at(id.timestamp());
        self.find_record(run, window, |record| record.id() == *id)
    }

    /// Where a record is that was at `place` before whatever this batch took in since.
    pub(super) fn find_again(&mut self, place: Place) -> Result<Option<Place>, StoreError> {
        let id = place.entry().record.id();
        let is_there = match &place {
            Place::Staged(index, _) => self.ids.get(&id) == Some(index),
            Place::Stored(entry) => !self.replaced.contains_key(&entry.seq),
        };
        if is_there {
            Ok(Some(place))
        } else {
            self.find_id(&id)
        }
    }

    /// The live record at an address of a replaceable kind; held ones are not found by it.
    fn current(&mut self, address: &Address) -> Result<Option<Place>, StoreError> {
        if let Some(index) = self.replaceable.get(address) {
            return Ok(self.staged_at(*index));
        }
        let run = self.view.secret().address_run(address);
        let window = (Hit::FIRST, Hit::LAST);
        self.find_record(run, window, |record| record.address() == *address)
    }

    /// Whether an operator removed that ID for good.
    fn is_removed(&mut self, id: &RecordId) -> Result<bool, StoreError> {
        if !self.has_removed || self.removed.contains(id) {
            return Ok(self.removed.contains(id));
        }
        let run = self.view.secret().removed_run(id);
        let removed = |_: Seq, entry: LogEntry<'_>| match entry {
            LogEntry::Act { body, .. } => body.removed().any(|it| it == id).then_some(()),
            _ => None,
        };
        let whole = (Hit::FIRST, Hit::LAST);
        let found = find(self.view, &mut self.keys, run, whole, removed)?;
        Ok(found.is_some())
    }

    fn find_record(
        &mut self,
        run: Run,
        window: (Hit, Hit),
        is_it: impl Fn(&RecordRef<'_>) -> bool,
    ) -> Result<Option<Place>, StoreError> {
        let replaced = &self.replaced;
        let found = find(
            self.view,
            &mut self.keys,
            run,
            window,
            |seq, entry| match entry {
                LogEntry::Record(header, record)
                    if !replaced.contains_key(&seq) && is_it(&record) =>
                {
                    Some(record_format::owned(seq, &header, &record).map_err(|_| seq))
                }
                _ => None,
            },
        )?;
        let entry = found.transpose().map_err(Damage::Malformed)?;
        Ok(entry.map(|entry| Place::Stored(Arc::new(entry))))
    }
}

/// The first entry in a stretch of the index that `pick` takes.
fn find<T>(
    view: &View<'_>,
    keys: &mut Keys<'_>,
    run: Run,
    (first, last): (Hit, Hit),
    pick: impl Fn(Seq, LogEntry<'_>) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let Some(key) = run.seek_key(first) else {
        return Ok(None);
    };
    keys.seek(&key);
    while let Some(hit) = keys.key()?.and_then(|key| run.hit(key)) {
        if hit > last {
            break;
        }
        let seq = hit.seq();
        let values = view.values(&[seq])?;
        let value = values.first().ok_or(Damage::Missing(seq))?;
        let entry = LogEntry::decode(value).map_err(|_| Damage::Malformed(seq))?;
        if let Some(found) = pick(seq, entry) {
            return Ok(Some(found));
        }
        keys.step();
    }
    Ok(None)
}

/// Whether the record takes the place of others, and others its.
fn is_replaceable(entry: &Entry) -> bool {
    !entry.held && entry.record.view().kind().duplicates() == Duplicates::Replaceable
}

/// Why the current record of an address, whose signer is vouched for by now as `vouched` says, stays
/// when `entry` is offered; `None` if it does not.
///
/// A vouched signer goes before one of whom nothing is known, whatever the order of their records:
/// otherwise a forged record from the far future held the address for ever.
fn stays(known: &Entry, vouched: Vouched, entry: &Entry) -> Option<fn(Kept) -> Outcome> {
    let (theirs, ours) = (known.record.view(), entry.record.view());
    let is_other_signer = theirs.signer() != ours.signer();
    let is_vouched = entry.vouched != Vouched::Unknown;
    if is_other_signer && is_vouched && vouched == Vouched::Unknown {
        return None;
    }
    // An ID starts with the timestamp, so this order is the rule for equal ones too.
    if ours.id() < theirs.id() {
        return Some(Outcome::Older);
    }
    (is_other_signer && !is_vouched).then_some(Outcome::Stays)
}

/// The entry of a record that is here as `known` and comes again as `again`.
fn united(known: &Entry, again: &Entry) -> Entry {
    let held = known.held && again.held;
    let charged = if held {
        known.charged.to_vec()
    } else {
        usage::let_in(&known.charged)
    };
    Entry {
        roles: known.roles.union(again.roles),
        vouched: match known.vouched {
            Vouched::Unknown => again.vouched,
            vouched => vouched,
        },
        held,
        charged: usage::union(&charged, again.charged.iter().copied()).into(),
        ..again.clone()
    }
}
