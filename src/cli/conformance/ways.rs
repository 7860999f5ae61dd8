//! How one comes upon a record.

use super::check::Stop;
use super::talk::Talk;
use super::world::of_kinds;
use crate::wire::{Record, Reference};

/// How one comes upon a record that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Id,
    Address,
    Query,
    Subscribe,
}

impl Way {
    pub(super) const ALL: [Self; 4] = [Self::Id, Self::Address, Self::Query, Self::Subscribe];

    /// Whether whoever speaks on `talk` comes upon `record`, whose kind is drawn for it.
    pub(super) async fn finds(self, talk: &mut Talk, record: &Record) -> Result<bool, Stop> {
        let of_kind = of_kinds([record.view().kind()])?;
        let records = match self {
            Self::Id => talk.get(vec![Reference::Id(record.id())]).await?.records,
            Self::Address => {
                let address = Reference::Address(record.view().address());
                talk.get(vec![address]).await?.records
            }
            Self::Query => talk.query(&of_kind, 0).await?.records,
            Self::Subscribe => talk.stored(&of_kind).await?,
        };
        Ok(records.contains(record.bytes()))
    }
}
