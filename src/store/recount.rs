//! What the state must be by the log, held against what it is.

use std::collections::{BTreeMap, HashMap};

use super::{
    act::{ActBody, StateTable},
    error::StoreError,
    record_format::Header,
    state::{USAGE, state_key, usage_user},
    usage::Usage,
    view::View,
};
use crate::wire::{PublicKey, RecordRef};

/// The state as applying the log makes it. Of each value it keeps the hash, so that it takes about
/// 100 bytes for each.
#[derive(Default)]
pub(super) struct Recount {
    values: BTreeMap<Vec<u8>, blake3::Hash>,
    usage: HashMap<PublicKey, Usage>,
}

/// Something in the state that is not as the log makes it.
pub(super) enum Difference {
    /// A value, in a table.
    Value(StateTable, Vec<u8>),
    /// An account: what is stored, and what was counted.
    Usage(PublicKey, Usage, Usage),
    /// A key that is none, or an account that is none.
    Foreign,
}

impl Recount {
    /// Counts a record.
    pub(super) fn record(&mut self, header: &Header, record: &RecordRef<'_>) {
        for charged in header.charged.iter() {
            let usage = self.usage.entry(charged.user).or_default();
            let amount = usage.account(charged.account);
            *amount = amount.plus(record.bytes().len());
        }
    }

    /// Applies an act.
    pub(super) fn act(&mut self, body: &ActBody) {
        for set in &body.state {
            let key = state_key(set.table, &set.key);
            match &set.value {
                Some(value) => drop(self.values.insert(key, blake3::hash(value))),
                None => drop(self.values.remove(&key)),
            }
        }
    }

    /// Passes over the state and tells what is different.
    pub(super) fn compare(
        mut self,
        view: &View<'_>,
        tell: &mut dyn FnMut(Difference),
    ) -> Result<(), StoreError> {
        let mut keys = view.state()?;
        keys.seek(&[]);
        while let Some((key, value)) = keys.item()? {
            match key.split_first() {
                Some((&USAGE, _)) => match (usage_user(key), Usage::decode(value)) {
                    (Some(user), Some(stored)) => {
                        let counted = self.usage.remove(&user).unwrap_or_default();
                        if stored != counted {
                            tell(Difference::Usage(user, stored, counted));
                        }
                    }
                    _ => tell(Difference::Foreign),
                },
                Some((table, rest)) => match StateTable::from_byte(*table) {
                    Some(table) => {
                        if self.values.remove(key) != Some(blake3::hash(value)) {
                            tell(Difference::Value(table, rest.to_vec()));
                        }
                    }
                    None => tell(Difference::Foreign),
                },
                None => tell(Difference::Foreign),
            }
            keys.step();
        }
        for key in self.values.into_keys() {
            if let Some((table, rest)) = key.split_first()
                && let Some(table) = StateTable::from_byte(*table)
            {
                tell(Difference::Value(table, rest.to_vec()));
            }
        }
        for (user, counted) in self.usage {
            tell(Difference::Usage(user, Usage::default(), counted));
        }
        Ok(())
    }
}
