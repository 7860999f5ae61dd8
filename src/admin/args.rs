//! Reading of arguments: each is taken by its name and type, and in the end none may be left.

use super::{Refused, cut};
use crate::base::{Role, limits};
use crate::wire::{AdminRow, AdminValue, PublicKey, RecordId};

/// The arguments of one call that were not taken yet.
#[derive(Debug)]
pub(super) struct Args<'a> {
    left: Vec<(&'a str, &'a AdminValue)>,
}

impl<'a> Args<'a> {
    pub(super) fn of(args: &'a AdminRow) -> Self {
        let left = args.iter().map(|(name, value)| (name.as_str(), value));
        Self {
            // One that is nil counts as left out.
            left: left
                .filter(|(_, value)| **value != AdminValue::Nil)
                .collect(),
        }
    }

    /// Refuses what was not taken: a slip in a name must not pass for an argument left out.
    pub(super) fn end(&self) -> Result<(), Refused> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(Refused::invalid(&format!(
                "unknown argument {:?}",
                cut(name)
            ))),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        self.take(name, "a number", AdminValue::as_unsigned)
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refused> {
        let flag = self.take(name, "true or false", AdminValue::as_bool)?;
        Ok(flag.unwrap_or(false))
    }

    /// A text of at most [`limits::ADMIN_NOTE_MAX_BYTES`].
    pub(super) fn text(&mut self, name: &str) -> Result<Option<&'a str>, Refused> {
        let is_short = |text: &&str| text.len() <= limits::ADMIN_NOTE_MAX_BYTES;
        self.take(name, "a text of up to 256 bytes", |value| {
            value.as_text().filter(is_short)
        })
    }

    pub(super) fn key(&mut self, name: &str) -> Result<Option<PublicKey>, Refused> {
        self.take(name, "the 32 bytes of a public key", |value| {
            PublicKey::from_bytes(value.as_bytes()?.try_into().ok()?).ok()
        })
    }

    pub(super) fn hash(&mut self, name: &str) -> Result<Option<[u8; 32]>, Refused> {
        self.take(name, "the 32 bytes of a hash", |value| {
            value.as_bytes()?.try_into().ok()
        })
    }

    pub(super) fn role(&mut self, name: &str) -> Result<Option<Role>, Refused> {
        let role = |value: &'a AdminValue| Role::from_name(value.as_text()?);
        self.take(name, "outbox, inbox, encryption or application", role)
    }

    pub(super) fn id(&mut self, name: &str) -> Result<Option<RecordId>, Refused> {
        self.take(name, "the 48 bytes of a record's ID", id)
    }

    /// One to [`limits::ADMIN_LIST_MAX`] IDs, none twice.
    pub(super) fn ids(&mut self, name: &str) -> Result<Option<Vec<RecordId>>, Refused> {
        self.take(
            name,
            "a list of up to 100 IDs of records, none twice",
            |value| {
                let AdminValue::List(values) = value else {
                    return None;
                };
                let mut ids: Vec<RecordId> = values
                    .iter()
                    .take(limits::ADMIN_LIST_MAX + 1)
                    .map(id)
                    .collect::<Option<_>>()?;
                let count = ids.len();
                ids.sort_unstable();
                ids.dedup();
                (count > 0 && count <= limits::ADMIN_LIST_MAX && ids.len() == count).then_some(ids)
            },
        )
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a AdminValue) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        let Some(place) = self.left.iter().position(|(left, _)| *left == name) else {
            return Ok(None);
        };
        let (_, value) = self.left.swap_remove(place);
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(Refused::invalid(&format!("{name} must be {expected}"))),
        }
    }
}

/// An argument that must be there.
pub(super) fn needed<T>(argument: Option<T>, name: &str) -> Result<T, Refused> {
    argument.ok_or_else(|| Refused::invalid(&format!("{name} is missing")))
}

fn id(value: &AdminValue) -> Option<RecordId> {
    RecordId::from_bytes(value.as_bytes()?.try_into().ok()?).ok()
}
