//! Taking an act into a batch.

use std::sync::Arc;

use super::{
    act::{Act, ActBody, Acted, Effect, RecordChange, Removal, StateChange, StateSet},
    entry::{Entry, Outcome},
    error::StoreError,
    stage::{Place, Stage, Staged, StateValues, VouchedNow},
    state::state_key,
    usage,
};
use crate::{
    base::{Seq, limits},
    wire::{Record, Timestamp},
};

impl Stage<'_> {
    /// Takes an act into the batch, whole or not at all; returns the records that it released, too.
    ///
    /// Whatever can speak against it is found before the first change. It is within the bounds of
    /// [`Act::is_bounded`].
    pub(super) fn act(
        &mut self,
        act: Act,
        received: Timestamp,
        vouched_now: &VouchedNow<'_>,
    ) -> Result<(Acted, Vec<Record>), StoreError> {
        if self.space < act.least_space() {
            return Ok((Acted::NoSpace, Vec::new()));
        }
        let Some(values) = self.expected(&act.state)? else {
            return Ok((Acted::Conflict, Vec::new()));
        };
        let Some(places) = self.places(&act.records)? else {
            return Ok((Acted::TooLarge, Vec::new()));
        };
        let seq = self.claim(received)?;
        let index = self.staged.len();
        let sets = act.state.into_iter().map(|change| StateSet {
            table: change.table,
            key: change.key,
            value: change.value,
        });
        let body = ActBody {
            by: act.by,
            call: act.call,
            detail: act.detail,
            state: sets.collect(),
            effects: Vec::new(),
        };
        self.index_keys += 1;
        self.staged.push(Staged::Act {
            seq,
            received,
            body,
        });
        self.state.extend(values);
        let (mut effects, mut missing, mut released) = (Vec::new(), Vec::new(), Vec::new());
        for (change, place) in act.records.iter().zip(places) {
            let place = match place {
                Some(place) => self.find_again(place)?,
                None => None,
            };
            let effect = match place {
                Some(place) => {
                    let what = (change, place);
                    self.change_record(what, (seq, received), &mut released, vouched_now)?
                }
                None => None,
            };
            if !matches!(
                effect,
                Some(Effect::Released { .. } | Effect::Removed { .. })
            ) {
                missing.push(*change.id());
            }
            effects.extend(effect);
        }
        if let Some(Staged::Act { body, .. }) = self.staged.get_mut(index) {
            body.effects = effects;
        }
        Ok((Acted::Done { seq, missing }, released))
    }

    /// The values that the changes make, one after the other; `None` where one of them finds something
    /// else than it expects.
    fn expected(&self, changes: &[StateChange]) -> Result<Option<StateValues>, StoreError> {
        let mut values = StateValues::new();
        for change in changes {
            let key = state_key(change.table, &change.key);
            let staged = values.get(&key).or_else(|| self.state.get(&key));
            let is_expected = match staged {
                Some(value) => change.expect.admits(value.as_deref()),
                None => {
                    let stored = self.view.state_value(change.table, &change.key)?;
                    change.expect.admits(stored.as_deref())
                }
            };
            if !is_expected {
                return Ok(None);
            }
            values.insert(key, change.value.clone());
        }
        Ok(Some(values))
    }

    /// Where the records are that are to be changed, as far as they are here; `None` where they are more
    /// than one act may change.
    fn places(
        &mut self,
        changes: &[RecordChange],
    ) -> Result<Option<Vec<Option<Place>>>, StoreError> {
        let mut places = Vec::with_capacity(changes.len());
        let (mut bytes, mut index_keys) = (0, 0);
        for change in changes {
            let found = self.find_id(change.id())?;
            if let Some(entry) = found.as_ref().map(Place::entry) {
                bytes += entry.record.bytes().len();
                index_keys += changed_keys(change, entry);
            }
            if bytes > limits::ACT_RECORDS_MAX_BYTES || index_keys > limits::ACT_MAX_INDEX_KEYS {
                return Ok(None);
            }
            places.push(found);
        }
        Ok(Some(places))
    }

    /// Changes the record at `place` for the act at that other one; `None` where it is not to be
    /// changed so.
    fn change_record(
        &mut self,
        (change, place): (&RecordChange, Place),
        (act, received): (Seq, Timestamp),
        released: &mut Vec<Record>,
        vouched_now: &VouchedNow<'_>,
    ) -> Result<Option<Effect>, StoreError> {
        let id = *change.id();
        let known = Arc::clone(place.entry());
        let from = known.seq;
        match *change {
            RecordChange::Remove { why, .. } => {
                if why == Removal::Rejected && !known.held {
                    return Ok(None);
                }
                self.replace(place, act)?;
                self.removed.insert(id);
                self.index_keys += 1;
                Ok(Some(Effect::Removed { id, from, why }))
            }
            RecordChange::Release(_) if !known.held => Ok(None),
            RecordChange::Release(_) => {
                let mut entry = Entry {
                    seq: self.next(),
                    received,
                    held: false,
                    charged: usage::let_in(&known.charged).into(),
                    ..Entry::clone(&known)
                };
                // As if it came in now: whoever signed it may be better known since, or revoked.
                if let Some(vouched) = vouched_now(&entry) {
                    entry.vouched = vouched;
                    let entry = Arc::new(entry);
                    let outcome = self.admit(&entry, Some(place), &[], vouched_now)?;
                    if let Outcome::Stored(to) = outcome {
                        released.push(entry.record.clone());
                        return Ok(Some(Effect::Released { id, from, to }));
                    }
                }
                // Something newer took its address while it was held, or its signer was revoked.
                if let Some(place) = self.find_id(&id)? {
                    self.replace(place, act)?;
                }
                Ok(Some(Effect::Dropped { id, from }))
            }
        }
    }
}

/// About how many keys of the index a change adds or takes out.
fn changed_keys(change: &RecordChange, entry: &Entry) -> usize {
    match change {
        // A held record has few, however many tags it has.
        RecordChange::Remove { .. } if entry.held => FEW_KEYS,
        RecordChange::Remove { .. } | RecordChange::Release(_) => {
            FEW_KEYS + entry.record.view().tags().count()
        }
    }
}

/// Keys of a record besides those of its tags.
const FEW_KEYS: usize = 8;

const _: () = assert!(limits::ACT_RECORDS_MAX_BYTES >= limits::RECORD_MAX_BYTES);
