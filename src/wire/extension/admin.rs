//! ADMIN and ADMIN REPLY: what an operator orders, and what comes of it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Body;
use crate::base::limits;
use crate::wire::{key::PublicKey, reference::RecordId, result_code::ResultCode, time::Timestamp};

/// 0x45 ADMIN: one order of an operator, on a stream that was opened for one.
///
/// # Source
/// `extensions.md`, ADMIN. Which calls there are is for `docs/ADMIN.md` to say: on the wire a call is
/// a name and values, so that a client of another version can be told what it has wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminCall {
    /// What is to be done, such as `user.add`.
    pub call: String,
    /// What with.
    pub args: AdminRow,
}

impl Body for AdminCall {
    const KIND: u8 = 0x45;
}

/// 0xC6 ADMIN REPLY: what came of an order, or one part of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminReply {
    /// Whether the order was carried out.
    pub result: ResultCode,
    /// Why not, for people; or what there is to say beside the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was asked for. Left out where an order is refused before it is looked at.
    #[serde(default)]
    pub rows: Vec<AdminRow>,
    /// Whether a further reply to the same order follows.
    #[serde(default)]
    pub more: bool,
}

impl Body for AdminReply {
    const KIND: u8 = 0xC6;
}

/// Values by their names: the arguments of a call, or one row of an answer.
pub type AdminRow = BTreeMap<String, AdminValue>;

/// One value of a row: a scalar, or a list of scalars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminValue {
    /// Nothing.
    Nil,
    /// Yes or no.
    Bool(bool),
    /// A number that is not negative; times are nanoseconds.
    Unsigned(u64),
    /// A negative number.
    Negative(i64),
    /// Text for people, or a name.
    Text(String),
    /// A key, an ID, a hash.
    Bytes(Vec<u8>),
    /// Scalars; no list is in it.
    List(Vec<AdminValue>),
}

impl AdminReply {
    /// A reply without rows, and the last one.
    #[must_use]
    pub fn refused(result: ResultCode, why: &str) -> Self {
        Self {
            result,
            why: Some(why.chars().take(limits::WHY_MAX_CHARS).collect()),
            rows: Vec::new(),
            more: false,
        }
    }

    /// Done, with these rows, and nothing follows.
    #[must_use]
    pub const fn done(rows: Vec<AdminRow>) -> Self {
        Self {
            result: ResultCode::Success,
            why: None,
            rows,
            more: false,
        }
    }

    /// The messages that say this, in their order: as many as it takes for each body to stay within
    /// [`limits::EXTENSION_BODY_MAX_BYTES`]. A row that is too large for a message of its own, which
    /// none is that was made with [`AdminValue::text`], ends the answer with GENERAL_ERROR.
    ///
    /// # Panics
    /// Where `why` makes it reach 16 MiB.
    #[must_use]
    pub fn encode_all(self, request_id: u16) -> Vec<Bytes> {
        let Self {
            result,
            why,
            rows,
            more,
        } = self;
        let mut parts: Vec<Vec<AdminRow>> = vec![Vec::new()];
        let mut bytes = HEAD_MAX_BYTES;
        let mut too_large = false;
        for row in rows {
            let size = row_bytes(&row);
            if size.saturating_add(HEAD_MAX_BYTES) > limits::EXTENSION_BODY_MAX_BYTES {
                too_large = true;
                break;
            }
            bytes = bytes.saturating_add(size);
            if bytes > limits::EXTENSION_BODY_MAX_BYTES {
                bytes = HEAD_MAX_BYTES.saturating_add(size);
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(row);
            }
        }
        let last = parts.len().saturating_sub(1);
        let replies = parts.into_iter().enumerate().map(|(place, rows)| {
            let is_last = place == last;
            Self {
                result,
                why: why.clone().filter(|_| is_last),
                rows,
                more: !is_last || more || too_large,
            }
        });
        let mut messages: Vec<Bytes> = replies.map(|reply| reply.encode(request_id)).collect();
        if too_large {
            let refused = Self::refused(ResultCode::GeneralError, "a row is too large to be sent");
            messages.push(refused.encode(request_id));
        }
        messages
    }
}

impl AdminValue {
    /// Text of any length, cut to [`limits::ADMIN_TEXT_MAX_BYTES`].
    #[must_use]
    pub fn text(text: &str) -> Self {
        let mut end = text.len().min(limits::ADMIN_TEXT_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::Text(text.get(..end).unwrap_or_default().to_owned())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one that is not negative.
    #[must_use]
    pub const fn as_unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, if it is some.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The truth, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(is) => Some(*is),
            _ => None,
        }
    }
}

impl From<bool> for AdminValue {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl From<u64> for AdminValue {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<i64> for AdminValue {
    fn from(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Negative(number), Self::Unsigned)
    }
}

impl From<usize> for AdminValue {
    fn from(number: usize) -> Self {
        Self::Unsigned(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<&str> for AdminValue {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for AdminValue {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

impl From<Timestamp> for AdminValue {
    fn from(time: Timestamp) -> Self {
        Self::Unsigned(time.nanos())
    }
}

impl From<PublicKey> for AdminValue {
    fn from(key: PublicKey) -> Self {
        Self::Bytes(key.as_bytes().to_vec())
    }
}

impl From<RecordId> for AdminValue {
    fn from(id: RecordId) -> Self {
        Self::Bytes(id.as_bytes().to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for AdminValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

impl Serialize for AdminValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Negative(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AdminValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = AdminValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nil, a truth, an integer, a text, bytes, or a list of those")
    }

    fn visit_unit<E: de::Error>(self) -> Result<AdminValue, E> {
        Ok(AdminValue::Nil)
    }

    fn visit_bool<E: de::Error>(self, is: bool) -> Result<AdminValue, E> {
        Ok(is.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AdminValue, E> {
        Ok(number.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AdminValue, E> {
        Ok(number.into())
    }

    // Not cut: what was sent is what is looked at, and the body it came in is bounded. Text that is no
    // UTF-8 comes as bytes.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<AdminValue, E> {
        Ok(AdminValue::Text(text.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<AdminValue, E> {
        Ok(AdminValue::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AdminValue, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if matches!(value, AdminValue::List(_)) {
                return Err(de::Error::custom("a list within a list"));
            }
            values.push(value);
        }
        Ok(AdminValue::List(values))
    }
}

/// What a row takes in a body.
fn row_bytes(row: &AdminRow) -> usize {
    rmp_serde::to_vec_named(row).map_or(usize::MAX, |bytes| bytes.len())
}

/// What a body has beside its rows, at the most: the names of its keys, the result, `why` in UTF-8,
/// and the heads of the map and of the array.
const HEAD_MAX_BYTES: usize = 64 + 4 * limits::WHY_MAX_CHARS;

const _: () =
    assert!(HEAD_MAX_BYTES + 4 * limits::ADMIN_TEXT_MAX_BYTES < limits::EXTENSION_BODY_MAX_BYTES);
