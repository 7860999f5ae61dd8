//! Bytes on the wire and the typed values they stand for, both ways.
//!
//! Everything Mosaic defines in bytes or printed text is read and written here and nowhere else:
//! keys, times, kinds, references, tags, records and filters; frames and messages; what the core
//! application's records hold. Reading copies nothing, never panics, never reads past a bound and
//! never reserves memory on the word of a length field. What only a signature check can tell is
//! left to `verify`.

mod civil;
mod filter;
mod filter_builder;
mod hash;
mod human;
mod key;
mod kind;
mod layout;
mod leap;
mod record;
mod record_builder;
mod reference;
mod tag;
mod tag_set;
#[cfg(test)]
pub(crate) mod testing;
mod time;

pub use filter::{Filter, FilterError};
pub use filter_builder::FilterBuilder;
pub use hash::Hash64;
pub use human::HumanError;
pub use key::{ContextHash, KeyError, PublicKey, SecretKey, Signature};
pub use kind::{Duplicates, Kind, KindError, ReadAccess};
pub use leap::{LeapError, LeapTable};
pub use record::{Record, RecordError, RecordFlags, RecordRef};
pub use record_builder::{BuildError, RecordBuilder};
pub use reference::{Address, IdPrefix, RecordId, Reference, ReferenceError};
pub use tag::{CoreTag, Tag, TagError, TagKind, Tags, TagsBuilder};
pub use tag_set::TagSet;
pub use time::{TimeError, Timestamp};
