//! What is printed, for programs and for people.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::escape::{escape_line, escaped_lines};
use super::hex;
use super::output::{Format, Row};
use crate::wire::{
    BlobHash, Kind, PublicKey, Record, RecordId, Reference, ResultCode, Tag, Timestamp,
};

/// Bytes that have a text of their own: JSON shows the text, MessagePack the bytes.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    text: String,
    bytes: Vec<u8>,
}

impl Blob {
    pub(super) fn hex(bytes: &[u8]) -> Self {
        Self {
            text: hex::encode(bytes),
            bytes: bytes.to_vec(),
        }
    }

    pub(super) fn user(key: &PublicKey) -> Self {
        Self {
            text: key.to_string(),
            bytes: key.as_bytes().to_vec(),
        }
    }

    pub(super) fn server(key: &PublicKey) -> Self {
        Self {
            text: key.to_server_string(),
            bytes: key.as_bytes().to_vec(),
        }
    }

    /// What people read.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn reference(reference: Reference) -> Self {
        Self {
            text: reference.to_string(),
            bytes: reference.as_bytes().to_vec(),
        }
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.text)
        } else {
            serializer.serialize_bytes(&self.bytes)
        }
    }
}

/// A time as nanoseconds: a text in JSON, whose numbers end at 53 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nanos(pub(super) Timestamp);

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = self.0.nanos();
        if serializer.is_human_readable() {
            serializer.collect_str(&nanos)
        } else {
            serializer.serialize_u64(nanos)
        }
    }
}

/// One record.
#[derive(Debug, Serialize)]
pub(super) struct RecordRow {
    id: Blob,
    address: Blob,
    kind: Blob,
    author: Blob,
    signer: Blob,
    /// Nanoseconds.
    timestamp: Nanos,
    /// The same, as people write it.
    time: String,
    from_author: bool,
    zstd: bool,
    tags: Vec<TagRow>,
    /// The payload where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The payload where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Blob>,
    /// The whole record, as `mosaic publish --records` reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    /// The whole record.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Blob>,
    #[serde(skip)]
    kind_name: String,
}

#[derive(Debug, Serialize)]
struct TagRow {
    r#type: u16,
    value: Blob,
}

impl RecordRow {
    /// What there is to say about `record` in that form.
    pub(super) fn new(record: &Record, format: Format) -> Self {
        let view = record.view();
        let kind = view.kind();
        let text = match std::str::from_utf8(view.payload()) {
            Ok(text) if !view.flags().zstd() => Some(text.to_owned()),
            _ => None,
        };
        let payload = text.is_none().then(|| Blob::hex(view.payload()));
        Self {
            id: Blob::reference(Reference::Id(view.id())),
            address: Blob::reference(Reference::Address(view.address())),
            kind: Blob {
                text: kind.to_string(),
                bytes: kind.to_bytes().to_vec(),
            },
            author: Blob::user(&view.author()),
            signer: Blob::user(&view.signer()),
            timestamp: Nanos(view.timestamp()),
            time: view.timestamp().to_string(),
            from_author: view.flags().from_author(),
            zstd: view.flags().zstd(),
            tags: view.tags().map(|tag| TagRow::new(&tag)).collect(),
            text,
            payload,
            hex: (format == Format::Json).then(|| hex::encode(record.bytes())),
            record: (format == Format::MessagePack).then(|| Blob::hex(record.bytes())),
            kind_name: kind_name(kind),
        }
    }
}

impl TagRow {
    fn new(tag: &Tag<'_>) -> Self {
        Self {
            r#type: tag.kind().0,
            value: Blob::hex(tag.value()),
        }
    }
}

impl Row for RecordRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.id.text)?;
        writeln!(out, "  {}  {}", self.time, self.kind_name)?;
        writeln!(out, "  by {}", self.author.text)?;
        if self.signer.bytes != self.author.bytes {
            writeln!(out, "  signed by {}", self.signer.text)?;
        }
        for tag in &self.tags {
            writeln!(out, "  tag {}:{}", tag.r#type, tag.value.text)?;
        }
        match (&self.text, &self.payload) {
            (Some(text), _) if text.is_empty() => Ok(()),
            (Some(text), _) => escaped_lines(text).try_for_each(|line| writeln!(out, "    {line}")),
            (None, Some(payload)) => {
                let shown = payload.text.get(..SHOWN_DIGITS).unwrap_or(&payload.text);
                let dots = if shown.len() < payload.text.len() {
                    "…"
                } else {
                    ""
                };
                writeln!(
                    out,
                    "    {} bytes that are not text: {shown}{dots}",
                    payload.bytes.len()
                )
            }
            (None, None) => Ok(()),
        }
    }
}

/// What became of one record that was handed in.
#[derive(Debug, Serialize)]
pub(super) struct SubmittedRow {
    /// The record; absent where the input was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Blob>,
    /// Name of the result code.
    result: String,
    code: u8,
    accepted: bool,
    /// Why the input was no record, and where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl SubmittedRow {
    /// What the server said about a record.
    pub(super) fn answered(id: RecordId, result: ResultCode) -> Self {
        Self {
            id: Some(Blob::reference(Reference::Id(id))),
            result: result.to_string(),
            code: result.as_u8(),
            accepted: result.is_success(),
            why: None,
        }
    }

    /// Input that is no record, and was not sent.
    pub(super) fn not_a_record(why: String) -> Self {
        Self {
            id: None,
            result: ResultCode::Invalid.to_string(),
            code: ResultCode::Invalid.as_u8(),
            accepted: false,
            why: Some(why),
        }
    }
}

impl Row for SubmittedRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        match (&self.id, &self.why) {
            (Some(id), _) => writeln!(out, "{}  {}", id.text, self.result),
            (None, why) => {
                let why = why.as_deref().unwrap_or_default();
                writeln!(out, "{}  {}", self.result, escape_line(why))
            }
        }
    }
}

/// A BLOB that was handed in, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct StoredBlobRow {
    hash: Blob,
    file: String,
    bytes: u64,
    /// Name of the result code.
    result: String,
    code: u8,
    accepted: bool,
}

impl StoredBlobRow {
    pub(super) fn new(file: String, hash: BlobHash, bytes: u64, result: ResultCode) -> Self {
        Self {
            hash: Blob::hex(hash.as_bytes()),
            file,
            bytes,
            result: result.to_string(),
            code: result.as_u8(),
            accepted: result.is_success(),
        }
    }

    pub(super) const fn is_accepted(&self) -> bool {
        self.accepted
    }
}

impl Row for StoredBlobRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}  {}  {}",
            self.hash.text,
            self.result,
            escape_line(&self.file)
        )
    }
}

/// A BLOB that was fetched into a file.
#[derive(Debug, Serialize)]
pub(super) struct BlobRow {
    hash: Blob,
    file: String,
    bytes: u64,
}

impl BlobRow {
    pub(super) fn new(file: String, hash: BlobHash, bytes: u64) -> Self {
        Self {
            hash: Blob::hex(hash.as_bytes()),
            file,
            bytes,
        }
    }
}

impl Row for BlobRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}  {} bytes  {}",
            self.hash.text,
            self.bytes,
            escape_line(&self.file)
        )
    }
}

/// A key of one's own.
#[derive(Debug, Serialize)]
pub(super) struct KeyRow {
    pub(super) public: Blob,
    pub(super) file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
}

impl Row for KeyRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.public.text)?;
        match &self.secret {
            Some(secret) => writeln!(out, "{secret}"),
            None => Ok(()),
        }
    }
}

/// A server that is known.
#[derive(Debug, Serialize)]
pub(super) struct ServerRow {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) key: Blob,
}

impl Row for ServerRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (name, address) = (escape_line(&self.name), escape_line(&self.address));
        writeln!(out, "{name:<20} {address:<28} {}", self.key.text)
    }
}

/// The kind as its digits, and its name where it has one.
fn kind_name(kind: Kind) -> String {
    let name = NAMED_KINDS.iter().find(|(named, _)| *named == kind);
    match name {
        Some((_, name)) => (*name).to_owned(),
        None => format!("kind {kind}"),
    }
}

/// How people call the kinds that everybody knows; the same words are read back.
const NAMED_KINDS: [(Kind, &str); 6] = [
    (Kind::KEY_SCHEDULE, "key-schedule"),
    (Kind::PROFILE, "profile"),
    (Kind::MICROBLOG_ROOT, "microblog"),
    (Kind::REPLY_COMMENT, "reply"),
    (Kind::BLOG_POST, "blog"),
    (Kind::CHAT_MESSAGE, "chat"),
];

/// How many digits of a payload that is not text are shown.
const SHOWN_DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{RecordBuilder, SecretKey, TagKind, TagsBuilder};

    fn record(payload: &[u8]) -> Record {
        let key = SecretKey::from_seed([3; 32]);
        RecordBuilder::new(Kind::CHAT_MESSAGE, key.public())
            .timestamp(Timestamp::from_nanos(1_790_000_000_000_000_495).unwrap())
            .nonce([9; 8])
            .tags(TagsBuilder::new().raw(TagKind(900), &[1, 255]).unwrap())
            .payload(payload.to_vec())
            .sign(&key)
            .unwrap()
    }

    fn text_of(row: &impl Row) -> String {
        let mut out = Vec::new();
        row.write_text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strangers_text_reaches_no_terminal_as_it_is() {
        let row = RecordRow::new(
            &record(b"hi \x1b]0;owned\x07\nmoref0fake  ACCEPTED"),
            Format::Human,
        );
        let text = text_of(&row);
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}'),
            "{text}"
        );
        assert!(
            text.contains("\n    hi \\u{1b}]0;owned\\u{7}\n    moref0fake"),
            "{text}"
        );
    }

    #[test]
    fn a_payload_that_is_no_text_is_shown_as_digits() {
        let text = text_of(&RecordRow::new(&record(&[0xff; 100]), Format::Human));
        assert!(text.contains("100 bytes that are not text: ffff"), "{text}");
    }

    #[test]
    fn every_known_kind_is_printed_by_the_name_it_is_read_by() {
        for (kind, name) in NAMED_KINDS {
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(kind_name(kind), name);
        }
    }

    #[test]
    fn json_holds_the_record_as_publish_reads_it_and_big_numbers_as_text() {
        let record = record(b"hi");
        let row = RecordRow::new(&record, Format::Json);
        let json: serde_json::Value = serde_json::to_value(&row).unwrap();
        assert_eq!(json["hex"], hex::encode(record.bytes()));
        assert_eq!(json["timestamp"], "1790000000000000495");
        assert_eq!(json["id"], record.id().to_string());
        assert_eq!(json["text"], "hi");
        assert_eq!(json["tags"][0]["type"], 900);
        assert_eq!(json["tags"][0]["value"], "01ff");
        assert!(json.get("payload").is_none() && json.get("record").is_none());
    }

    #[test]
    fn messagepack_holds_keys_and_records_as_bytes() {
        let record = record(b"hi");
        let row = RecordRow::new(&record, Format::MessagePack);
        let bytes = rmp_serde::to_vec_named(&row).unwrap();
        let bin = |value: &[u8]| rmp_serde::to_vec(&serde_bytes::Bytes::new(value)).unwrap();
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(holds(&bin(record.id().as_bytes())));
        assert!(holds(&bin(record.bytes())));
        assert!(holds(&1_790_000_000_000_000_495_u64.to_be_bytes()));
    }

    #[test]
    fn a_result_is_the_reference_and_the_code() {
        let id = record(b"").id();
        let row = SubmittedRow::answered(id, ResultCode::Duplicate);
        assert_eq!(text_of(&row), format!("{id}  DUPLICATE\n"));
        let row = SubmittedRow::not_a_record("line 3: \u{1b}".into());
        assert_eq!(text_of(&row), "INVALID  line 3: \\u{1b}\n");
    }
}
