//! The rules of the store on a list that is searched by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::support::{Decision, Scene, key};
use crate::{
    base::{Role, Seq},
    store::{Account, Amount, Entry, RecordChange, Removal, StateTable, Usage},
    wire::{Duplicates, Filter, PublicKey, Record, RecordId, Timestamp},
};

/// Users for whom records may count.
pub(super) const USERS: u8 = 4;

/// The store as a list.
#[derive(Default)]
pub(super) struct Model {
    pub(super) live: Vec<Arc<Entry>>,
    pub(super) removed: BTreeSet<RecordId>,
    pub(super) state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    /// What must become of a record, by the letter of the rules.
    pub(super) fn expect(&self, record: &Record, decision: &Decision) -> &'static str {
        if record.view().kind().duplicates() == Duplicates::Ephemeral {
            return "announced";
        }
        let roles = decision.roles.unwrap();
        let known = self.known(&record.id());
        let mut takes_address = !decision.held;
        if let Some(known) = known {
            let gains = Role::ALL
                .into_iter()
                .any(|role| roles.contains(role) && !known.roles.contains(role));
            match (known.held, decision.held) {
                (false, true) => return "duplicate",
                (true, false) if !known.roles.iter().all(|it| roles.contains(it)) => {
                    return "duplicate";
                }
                (true, false) => {}
                _ if !gains => return "duplicate",
                _ => takes_address = false,
            }
        } else if self.removed.contains(&record.id()) {
            return "removed";
        }
        let current = self.current(record).filter(|_| takes_address);
        if let Some(refusal) = current.and_then(|current| Self::stays(current, record)) {
            return refusal;
        }
        if self.is_within(record, decision, current) {
            "stored"
        } else {
            "over quota"
        }
    }

    /// Why a record does not take the place of the current one of its address.
    pub(super) fn stays(current: &Arc<Entry>, record: &Record) -> Option<&'static str> {
        let (ours, theirs) = (record.view(), current.record.view());
        let is_older = ours.timestamp() < theirs.timestamp()
            || (ours.timestamp() == theirs.timestamp() && record.id() < current.record.id());
        let is_stranger = |key_| key_ == key(50).public();
        if theirs.signer() != ours.signer() {
            match (is_stranger(theirs.signer()), is_stranger(ours.signer())) {
                (true, false) => return None,
                (_, true) if !is_older => return Some("stays"),
                _ => {}
            }
        }
        is_older.then_some("older")
    }

    /// Whether a record that is new here has room, in place of the one that it replaces.
    pub(super) fn is_within(
        &self,
        record: &Record,
        decision: &Decision,
        replaced: Option<&Arc<Entry>>,
    ) -> bool {
        let size = |entry: &Entry| entry.record.bytes().len() as u64;
        decision.charges.iter().all(|charge| {
            let is_charged = |entry: &&Arc<Entry>| {
                let mut charged = entry.charged.iter();
                charged.any(|it| (it.user, it.account) == (charge.user, charge.account))
            };
            let has: Vec<_> = self.live.iter().filter(is_charged).collect();
            let bytes: u64 = has.iter().map(|entry| size(entry)).sum();
            let left: Vec<_> = replaced.into_iter().filter(is_charged).collect();
            let left_bytes: u64 = left.iter().map(|entry| size(entry)).sum();
            let records_after = (has.len() - left.len() + 1) as u64;
            let bytes_after = bytes - left_bytes + record.bytes().len() as u64;
            (records_after <= has.len() as u64 || records_after <= charge.quota.records_max)
                && (bytes_after <= bytes || bytes_after <= charge.quota.bytes_max)
        })
    }

    fn usage(&self, user: &PublicKey) -> Usage {
        let amount = |account| {
            let is_charged = |entry: &&Arc<Entry>| {
                let mut charged = entry.charged.iter();
                charged.any(|it| it.user == *user && it.account == account)
            };
            let all = || self.live.iter().filter(is_charged);
            Amount {
                records: all().count() as u64,
                bytes: all().map(|entry| entry.record.bytes().len() as u64).sum(),
            }
        };
        Usage {
            own: amount(Account::Own),
            delivered: amount(Account::Delivered),
            held: amount(Account::Held),
        }
    }

    pub(super) fn known(&self, id: &RecordId) -> Option<&Arc<Entry>> {
        self.live.iter().find(|it| it.record.id() == *id)
    }

    pub(super) fn current(&self, record: &Record) -> Option<&Arc<Entry>> {
        let view = record.view();
        let is_replaceable = view.kind().duplicates() == Duplicates::Replaceable;
        let mut live = self.live.iter().filter(|it| !it.held);
        live.find(|it| is_replaceable && it.record.view().address() == view.address())
    }

    pub(super) fn add(&mut self, entry: &Arc<Entry>) {
        let id = entry.record.id();
        let current = self.current(&entry.record).filter(|_| !entry.held);
        let current = current.map(|current| current.record.id());
        self.live
            .retain(|it| it.record.id() != id && Some(it.record.id()) != current);
        self.live.push(Arc::clone(entry));
    }

    pub(super) fn drop(&mut self, id: &RecordId) {
        self.live.retain(|it| it.record.id() != *id);
    }

    fn matching(&self, filter: &Filter, until: Seq) -> Vec<Arc<Entry>> {
        let matches = |entry: &&Arc<Entry>| {
            entry.seq <= until && filter.matches(&entry.record.view(), entry.received)
        };
        self.live.iter().filter(matches).cloned().collect()
    }

    pub(super) fn check(&self, filter: &Filter, until: Seq, found: &[Arc<Entry>], what: &str) {
        let times: Vec<Timestamp> = found
            .iter()
            .map(|it| it.record.view().timestamp())
            .collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "order: {what}");
        let found = open(found);
        let expected = open(&self.matching(filter, until));
        let seqs = |entries: &[Arc<Entry>]| -> BTreeSet<Seq> {
            entries.iter().map(|entry| entry.seq).collect()
        };
        assert_eq!(seqs(&found), seqs(&expected), "content: {what}");
        assert_eq!(found.len(), expected.len(), "twice: {what}");
        for entry in &found {
            let same = expected.iter().find(|it| it.seq == entry.seq).unwrap();
            assert_eq!(same.record, entry.record);
            assert_eq!(
                (same.received, same.roles, same.vouched, same.submitter),
                (entry.received, entry.roles, entry.vouched, entry.submitter),
            );
            assert_eq!((same.held, &same.charged), (entry.held, &entry.charged));
        }
    }

    /// Holds what is no query against the list.
    pub(super) fn check_rest(&self, scene: &Scene) {
        let mut held: Vec<Seq> = self
            .live
            .iter()
            .filter(|entry| entry.held)
            .map(|entry| entry.seq)
            .collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        let listed = scene.store.held(None, usize::MAX).unwrap();
        let listed: Vec<Seq> = listed.iter().map(|entry| entry.seq).collect();
        assert_eq!(listed, held);
        for user in (0..USERS).map(|n| key(n).public()) {
            assert_eq!(scene.store.usage(&user).unwrap(), self.usage(&user));
        }
        let state = scene.store.state(StateTable::Ban, None, 99).unwrap();
        assert_eq!(BTreeMap::from_iter(state), self.state);
    }
}

/// Those that are not held. Whether a query finds a held record depends on the table it reads, so whoever
/// asks leaves them out.
pub(super) fn open(entries: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
    let open = entries.iter().filter(|entry| !entry.held);
    open.cloned().collect()
}

/// Makes the changes of the act at `seq` in the list; returns what is missing.
pub(super) fn apply(
    scene: &Scene,
    model: &mut Model,
    seq: Seq,
    changes: &[RecordChange],
) -> Vec<RecordId> {
    let mut expected = Vec::new();
    let mut next = seq;
    for change in changes {
        let id = change.id();
        let known = model.known(id).cloned();
        match (change, known) {
            (RecordChange::Release(_), Some(known)) if known.held => {
                let current = model.current(&known.record);
                if current.is_some_and(|it| Model::stays(it, &known.record).is_some()) {
                    model.drop(id);
                    expected.push(*id);
                    continue;
                }
                next = next.next();
                let entry = published(scene, next);
                assert_eq!(entry.record, known.record);
                assert_eq!((entry.held, entry.roles), (false, known.roles));
                model.add(&entry);
            }
            (RecordChange::Remove { why, .. }, Some(known))
                if known.held || *why == Removal::Deleted =>
            {
                model.drop(id);
                model.removed.insert(*id);
            }
            _ => expected.push(*id),
        }
    }
    expected
}

/// The entry at a place of which subscribers were told.
pub(super) fn published(scene: &Scene, seq: Seq) -> Arc<Entry> {
    let seen = scene.seen.lock().unwrap();
    let entry = seen.log.iter().find(|entry| entry.seq == seq);
    Arc::clone(entry.unwrap())
}
