//! Bytes on the wire and the typed values they stand for, both ways.
//!
//! Everything Mosaic defines in bytes or printed text is read and written here and nowhere else:
//! keys, times, kinds, references, tags, records and filters; frames and messages; what the core
//! application's records hold. Reading copies nothing, never panics, never reads past a bound and
//! never reserves memory on the word of a length field. What only a signature check can tell is
//! left to `verify`.

mod bootstrap;
mod civil;
mod client_message;
mod encrypted_key;
mod extension;
mod filter;
mod filter_builder;
mod frame;
mod hash;
mod human;
mod key;
mod key_schedule;
mod kind;
mod layout;
mod leap;
mod message;
mod message_pack;
mod profile;
mod record;
mod record_builder;
mod reference;
mod result_code;
mod server_message;
mod tag;
mod tag_set;
#[cfg(test)]
pub(crate) mod testing;
mod time;
mod url;

pub use bootstrap::{
    BOOTSTRAP_SERVERS_PER_USAGE, BootstrapError, BootstrapServer, SERVER_BOOTSTRAP_SALT,
    ServerBootstrap, USER_BOOTSTRAP_SALT, UserBootstrap,
};
pub use client_message::ClientMessage;
pub use encrypted_key::{EncryptedKeyError, EncryptedSecretKey};
pub use extension::{
    AdminCall, AdminReply, AdminRow, AdminValue, Body, BodyError, BodyRefusal, Dialback,
    DialbackAck, EXTENSION_APP, ExtensionReply, ExtensionRequest, Info, InfoLimits, InfoReply,
    InvitationCode, Nonce, ProbeCode, ProbeMode, ProbeOutcome, ProbeRequest, ProbeResult,
    ProbeStatus, ProbeTransport, Redeem, RedeemResult, Refused, Registration, RoleCondition,
    RoleOpen, RoleReport, RoleStatus, StreamRole, UserReport, Voucher, VoucherStatus,
};
pub use filter::{Filter, FilterError};
pub use filter_builder::FilterBuilder;
pub use frame::{Frame, FrameError, FrameReader};
pub use hash::{BlobHash, BlobHashError, BlobHasher, Hash64};
pub use human::HumanError;
pub use key::{ContextHash, KeyError, PublicKey, SecretKey, Signature};
pub use key_schedule::{
    Attestation, EncryptionAlgorithm, EncryptionKey, EntryFault, KEY_SCHEDULE_NAME, KeyEntry,
    KeyMarker, KeySchedule, KeyScheduleBuilder, KeyScheduleError, ListedKey, SigningAlgorithm,
    SigningKeyState,
};
pub use kind::{Duplicates, Kind, KindError, ReadAccess};
pub use leap::{LeapError, LeapTable};
pub use message::{Direction, MessageError, MessageFault, MessageType, QueryId, Subject};
pub use message_pack::ShapeError;
pub use profile::{Profile, ProfileError};
pub use record::{Record, RecordError, RecordFlags, RecordRef};
pub use record_builder::{BuildError, RecordBuilder};
pub use reference::{Address, IdPrefix, RecordId, Reference, ReferenceError};
pub use result_code::{ResultCode, UnknownCode};
pub use server_message::{ServerMessage, record_header};
pub use tag::{CoreTag, Tag, TagError, TagKind, Tags, TagsBuilder};
pub use tag_set::TagSet;
pub use time::{TimeError, Timestamp};
pub use url::{ServerHost, ServerUrl, Transport, UrlError};
