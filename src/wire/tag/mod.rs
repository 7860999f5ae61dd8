//! Tags: short typed values that hang on a record and can be searched for.

use std::str;

use thiserror::Error;

use super::{key::PublicKey, kind::Kind, layout::padded, reference::Reference};

/// Why bytes are no tags, or a tag cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagError {
    /// A tag claims a length under its own header's.
    #[error("tag of {len_bytes} bytes is shorter than its header")]
    TooShort {
        /// The claimed length.
        len_bytes: usize,
    },
    /// A tag reaches past the end of its area.
    #[error("tag reaches past the end of its area")]
    Overrun,
    /// Something else than zeroes stands behind the last tag.
    #[error("padding behind the tags is not zero")]
    Padding,
    /// A value is longer than a tag can hold.
    #[error("tag value of {len_bytes} bytes is longer than a tag holds")]
    TooLong {
        /// Length of the value.
        len_bytes: usize,
    },
}

/// Type of a tag. Any number is one; those that have a constant are defined by Mosaic itself.
///
/// # Source
/// `mosaic-wire.md` section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagKind(pub u16);

impl TagKind {
    /// The record is for the user with that master key.
    pub const NOTIFY: Self = Self(0x1);
    /// The record that this one answers.
    pub const REPLY: Self = Self(0x2);
    /// The record that started the thread.
    pub const ROOT: Self = Self(0x3);
    /// The Nostr event that says the same.
    pub const NOSTR: Self = Self(0x8);
    /// A subkey that the key schedule lists.
    pub const SUBKEY: Self = Self(0x10);
    /// The text at an offset means that user.
    pub const USER_MENTION: Self = Self(0x20);
    /// The text at an offset means that server.
    pub const SERVER_MENTION: Self = Self(0x21);
    /// The text at an offset quotes that record.
    pub const QUOTE: Self = Self(0x22);
    /// The text at an offset is that link.
    pub const URL: Self = Self(0x24);
    /// The text at an offset is that picture.
    pub const IMAGE: Self = Self(0x25);
    /// The text at an offset is that film.
    pub const VIDEO: Self = Self(0x26);
}

/// One tag, borrowed from its area.
///
/// | bytes  | field                                              |
/// |--------|----------------------------------------------------|
/// | `0..2` | length of the whole tag, u16 little-endian, 4 or more |
/// | `2..4` | [`TagKind`], u16 little-endian                     |
/// | `4..`  | value                                              |
///
/// # Source
/// `mosaic-wire.md` section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag<'a> {
    /// The whole tag, header included.
    bytes: &'a [u8],
    kind: TagKind,
    value: &'a [u8],
}

/// The value of a tag that Mosaic itself defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreTag<'a> {
    /// [`TagKind::NOTIFY`]
    Notify(PublicKey),
    /// [`TagKind::REPLY`]: kind and name of the record answered.
    Reply(Kind, Reference),
    /// [`TagKind::ROOT`]: kind and name of the record that started the thread.
    Root(Kind, Reference),
    /// [`TagKind::NOSTR`]: ID of the event.
    Nostr(&'a [u8; 32]),
    /// [`TagKind::SUBKEY`]
    Subkey(PublicKey),
    /// [`TagKind::USER_MENTION`]: place in the text, and master key.
    UserMention(u32, PublicKey),
    /// [`TagKind::SERVER_MENTION`]: place in the text, and server key.
    ServerMention(u32, PublicKey),
    /// [`TagKind::QUOTE`]: place in the text, kind and name of the record quoted.
    Quote(u32, Kind, Reference),
    /// [`TagKind::URL`]: place in the text, and URL.
    Url(u32, &'a str),
    /// [`TagKind::IMAGE`]: place in the text, and URL.
    Image(u32, &'a str),
    /// [`TagKind::VIDEO`]: place in the text, and URL.
    Video(u32, &'a str),
}

impl<'a> Tag<'a> {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> TagKind {
        self.kind
    }

    /// The value, without the header of 4 bytes.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The whole tag, header included: what filters compare.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The key of a well-formed notify tag.
    #[must_use]
    pub fn notify_key(&self) -> Option<PublicKey> {
        self.key_if(TagKind::NOTIFY)
    }

    /// The key of a well-formed subkey tag.
    #[must_use]
    pub fn subkey(&self) -> Option<PublicKey> {
        self.key_if(TagKind::SUBKEY)
    }

    /// What the tag says, if its type is one of Mosaic's own and its value has that type's form.
    ///
    /// The four bytes in front of a notify, reply, root, Nostr or subkey value are reserved, so they
    /// are not looked at.
    #[must_use]
    pub fn core(&self) -> Option<CoreTag<'a>> {
        let (offset, rest) = self.value.split_first_chunk()?;
        let offset = u32::from_le_bytes(*offset);
        Some(match self.kind {
            TagKind::NOTIFY => CoreTag::Notify(read_key(rest)?),
            TagKind::REPLY => {
                let (kind, reference) = read_target(rest)?;
                CoreTag::Reply(kind, reference)
            }
            TagKind::ROOT => {
                let (kind, reference) = read_target(rest)?;
                CoreTag::Root(kind, reference)
            }
            TagKind::NOSTR => CoreTag::Nostr(rest.try_into().ok()?),
            TagKind::SUBKEY => CoreTag::Subkey(read_key(rest)?),
            TagKind::USER_MENTION => CoreTag::UserMention(offset, read_key(rest)?),
            TagKind::SERVER_MENTION => CoreTag::ServerMention(offset, read_key(rest)?),
            TagKind::QUOTE => {
                let (kind, reference) = read_target(rest)?;
                CoreTag::Quote(offset, kind, reference)
            }
            TagKind::URL => CoreTag::Url(offset, str::from_utf8(rest).ok()?),
            TagKind::IMAGE => CoreTag::Image(offset, str::from_utf8(rest).ok()?),
            TagKind::VIDEO => CoreTag::Video(offset, str::from_utf8(rest).ok()?),
            _ => return None,
        })
    }

    fn key_if(&self, kind: TagKind) -> Option<PublicKey> {
        let (_, key) = self.value.split_first_chunk::<OFFSET_BYTES>()?;
        (self.kind == kind).then(|| read_key(key))?
    }

    /// The first tag of `area`, and what stands behind it.
    fn split_from(area: &'a [u8]) -> Result<(Self, &'a [u8]), TagError> {
        let (header, _) = area
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(TagError::Overrun)?;
        let [len_low, len_high, kind_low, kind_high] = *header;
        let len_bytes = usize::from(u16::from_le_bytes([len_low, len_high]));
        let (bytes, rest) = area.split_at_checked(len_bytes).ok_or(TagError::Overrun)?;
        let (_, value) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(TagError::TooShort { len_bytes })?;
        let kind = TagKind(u16::from_le_bytes([kind_low, kind_high]));
        Ok((Self { bytes, kind, value }, rest))
    }
}

fn read_key(bytes: &[u8]) -> Option<PublicKey> {
    PublicKey::from_bytes(bytes.try_into().ok()?).ok()
}

fn read_target(bytes: &[u8]) -> Option<(Kind, Reference)> {
    let (kind, reference) = bytes.split_first_chunk()?;
    let kind = Kind::from_bytes(*kind).ok()?;
    let reference = Reference::from_bytes(reference.try_into().ok()?).ok()?;
    Some((kind, reference))
}

/// The tags of an area, one after the other.
///
/// Ends at the padding, or silently at the first malformed tag: a record is not refused for such a
/// tag, but nothing behind it can be found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Tags<'a> {
    /// The tags of `area`.
    #[must_use]
    pub const fn new(area: &'a [u8]) -> Self {
        Self { rest: area }
    }

    /// The tags of `area`, after all of it was checked: every tag is well-formed, and nothing but
    /// zeroes stands behind the last.
    ///
    /// # Errors
    /// [`TagError`]: what is wrong first.
    pub fn parse_strict(area: &'a [u8]) -> Result<Self, TagError> {
        let mut rest = area;
        while !starts_padding(rest) {
            (_, rest) = Tag::split_from(rest)?;
        }
        if rest.iter().all(|byte| *byte == 0) {
            Ok(Self { rest: area })
        } else {
            Err(TagError::Padding)
        }
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        if starts_padding(self.rest) {
            return None;
        }
        match Tag::split_from(self.rest) {
            Ok((tag, rest)) => {
                self.rest = rest;
                Some(tag)
            }
            Err(_) => {
                self.rest = &[];
                None
            }
        }
    }
}

/// Whether no tag can start here: the area is at its end, or two zero bytes (one, if it is the last)
/// stand where a length would.
fn starts_padding(rest: &[u8]) -> bool {
    matches!(rest, [] | [0] | [0, 0, ..])
}

/// Makes the tags of a record or filter, one behind the other.
///
/// `offset` is the place in the payload's text that a tag is about, in bytes.
#[derive(Clone, Debug, Default)]
pub struct TagsBuilder {
    area: Vec<u8>,
}

impl TagsBuilder {
    /// No tags yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { area: Vec::new() }
    }

    /// The record is for the user with that master key.
    #[must_use]
    pub fn notify(self, key: PublicKey) -> Self {
        self.with(TagKind::NOTIFY, 0, &[key.as_bytes()])
    }

    /// The record answers that one; goes together with [`root`](Self::root).
    #[must_use]
    pub fn reply(self, kind: Kind, reference: Reference) -> Self {
        self.with(TagKind::REPLY, 0, &[&kind.to_bytes(), reference.as_bytes()])
    }

    /// The thread was started by that record; goes together with [`reply`](Self::reply).
    #[must_use]
    pub fn root(self, kind: Kind, reference: Reference) -> Self {
        self.with(TagKind::ROOT, 0, &[&kind.to_bytes(), reference.as_bytes()])
    }

    /// That Nostr event says the same.
    #[must_use]
    pub fn nostr(self, event: &[u8; 32]) -> Self {
        self.with(TagKind::NOSTR, 0, &[event])
    }

    /// The key schedule lists that subkey.
    #[must_use]
    pub fn subkey(self, key: PublicKey) -> Self {
        self.with(TagKind::SUBKEY, 0, &[key.as_bytes()])
    }

    /// The text means that user.
    #[must_use]
    pub fn user_mention(self, offset: u32, key: PublicKey) -> Self {
        self.with(TagKind::USER_MENTION, offset, &[key.as_bytes()])
    }

    /// The text means that server.
    #[must_use]
    pub fn server_mention(self, offset: u32, key: PublicKey) -> Self {
        self.with(TagKind::SERVER_MENTION, offset, &[key.as_bytes()])
    }

    /// The text quotes that record.
    #[must_use]
    pub fn quote(self, offset: u32, kind: Kind, reference: Reference) -> Self {
        let target = [&kind.to_bytes()[..], reference.as_bytes()];
        self.with(TagKind::QUOTE, offset, &target)
    }

    /// The text links there.
    ///
    /// # Errors
    /// [`TagError::TooLong`]: no tag holds a URL that long.
    pub fn url(self, offset: u32, url: &str) -> Result<Self, TagError> {
        self.located(TagKind::URL, offset, url)
    }

    /// The text shows the picture found there.
    ///
    /// # Errors
    /// [`TagError::TooLong`]: no tag holds a URL that long.
    pub fn image(self, offset: u32, url: &str) -> Result<Self, TagError> {
        self.located(TagKind::IMAGE, offset, url)
    }

    /// The text shows the film found there.
    ///
    /// # Errors
    /// [`TagError::TooLong`]: no tag holds a URL that long.
    pub fn video(self, offset: u32, url: &str) -> Result<Self, TagError> {
        self.located(TagKind::VIDEO, offset, url)
    }

    /// Any tag at all.
    ///
    /// # Errors
    /// [`TagError::TooLong`]: the value has more than 65 531 bytes.
    pub fn raw(mut self, kind: TagKind, value: &[u8]) -> Result<Self, TagError> {
        let len_bytes = value.len();
        let length =
            u16::try_from(len_bytes + HEADER_BYTES).map_err(|_| TagError::TooLong { len_bytes })?;
        self.push_header(length, kind);
        self.area.extend_from_slice(value);
        Ok(self)
    }

    /// Whether there are no tags.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// The tags made so far.
    #[must_use]
    pub fn tags(&self) -> Tags<'_> {
        Tags::new(&self.area)
    }

    /// The tags as bytes, without padding.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.area
    }

    /// The tags as bytes, padded to 8 with zeroes.
    #[must_use]
    pub fn into_padded_bytes(mut self) -> Vec<u8> {
        self.area.resize(padded(self.area.len()), 0);
        self.area
    }

    fn located(self, kind: TagKind, offset: u32, url: &str) -> Result<Self, TagError> {
        let mut value = offset.to_le_bytes().to_vec();
        value.extend_from_slice(url.as_bytes());
        self.raw(kind, &value)
    }

    /// Adds a tag of `offset` and `parts`, which are a handful of keys and names.
    fn with(mut self, kind: TagKind, offset: u32, parts: &[&[u8]]) -> Self {
        let parts_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let len_bytes = HEADER_BYTES + OFFSET_BYTES + parts_bytes;
        self.push_header(u16::try_from(len_bytes).unwrap_or(u16::MAX), kind);
        self.area.extend_from_slice(&offset.to_le_bytes());
        for part in parts {
            self.area.extend_from_slice(part);
        }
        self
    }

    fn push_header(&mut self, length: u16, kind: TagKind) {
        self.area.extend_from_slice(&length.to_le_bytes());
        self.area.extend_from_slice(&kind.0.to_le_bytes());
    }
}

/// Length and type.
const HEADER_BYTES: usize = 4;

/// The place in the text, or zeroes, that every core tag's value starts with.
const OFFSET_BYTES: usize = 4;

#[cfg(test)]
mod tests;
