//! Data from an independent implementation, all of which must hold.
//!
//! The files are `tests/vectors/mosaic-core.json` and every further file of the same form that the
//! environment variable `MOSAIC_VECTORS` names (separated by colons).

use bytes::Bytes;
use mosaicd::verify;
use mosaicd::wire::{
    Address, EncryptedSecretKey, Filter, Hash64, Kind, PublicKey, Record, RecordBuilder, RecordRef,
    Reference, SecretKey, TagsBuilder, Timestamp,
};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// One file of vectors.
struct Vectors {
    name: PathBuf,
    root: Value,
}

/// A value of the file that is read by key; a missing or mistyped one fails the test with its name.
trait Field {
    fn text(&self, key: &str) -> &str;
    fn number(&self, key: &str) -> u64;
    fn hex(&self, key: &str) -> Vec<u8>;
    fn array<const N: usize>(&self, key: &str) -> [u8; N];
    fn list(&self, key: &str) -> &[Value];
}

impl Field for Value {
    fn text(&self, key: &str) -> &str {
        self[key]
            .as_str()
            .unwrap_or_else(|| panic!("no text {key:?} in {self}"))
    }

    fn number(&self, key: &str) -> u64 {
        let value = &self[key];
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .unwrap_or_else(|| panic!("no number {key:?} in {self}"))
    }

    fn hex(&self, key: &str) -> Vec<u8> {
        unhex(self.text(key))
    }

    fn array<const N: usize>(&self, key: &str) -> [u8; N] {
        self.hex(key)
            .try_into()
            .unwrap_or_else(|_| panic!("{key:?} is not {N} bytes"))
    }

    fn list(&self, key: &str) -> &[Value] {
        self[key]
            .as_array()
            .unwrap_or_else(|| panic!("no list {key:?}"))
    }
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd hex {text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn files() -> Vec<Vectors> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/mosaic-core.json");
    let further = std::env::var_os("MOSAIC_VECTORS").unwrap_or_default();
    std::iter::once(own)
        .chain(std::env::split_paths(&further).filter(|path| !path.as_os_str().is_empty()))
        .map(|name| {
            let text = std::fs::read_to_string(&name)
                .unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            let root = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            Vectors { name, root }
        })
        .collect()
}

/// Runs `check` on every entry of `list` in every file, and says which entry failed.
fn each(list: &str, check: impl Fn(&Value, &Value)) {
    for file in files() {
        let entries = file.root.list(list);
        assert!(
            !entries.is_empty(),
            "{}: {list} is empty",
            file.name.display()
        );
        for (place, entry) in entries.iter().enumerate() {
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(entry, &file.root)));
            if let Err(panic) = outcome {
                println!("in {} {list}[{place}]", file.name.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The secret half of a public key of the file.
fn secret_of(root: &Value, public: &str) -> SecretKey {
    let entry = root
        .list("keys")
        .iter()
        .find(|key| key.text("public") == public);
    entry
        .unwrap_or_else(|| panic!("{public} is no key of the file"))
        .text("secret")
        .parse()
        .unwrap()
}

#[test]
fn keys_have_the_listed_bytes_and_printed_forms() {
    each("keys", |entry, _| {
        let secret: SecretKey = entry.text("secret").parse().unwrap();
        assert_eq!(secret.seed(), &entry.array::<32>("secret_hex"));
        assert_eq!(secret.to_printable().as_str(), entry.text("secret"));
        let public: PublicKey = entry.text("public").parse().unwrap();
        assert_eq!(secret.public(), public);
        assert_eq!(public.as_bytes(), &entry.array::<32>("public_hex"));
        assert_eq!(PublicKey::from_bytes(public.as_bytes()).unwrap(), public);
        assert_eq!(public.to_string(), entry.text("public"));
        assert_eq!(public.to_server_string(), entry.text("server_printable"));
        assert_eq!(
            PublicKey::from_server_str(entry.text("server_printable")).unwrap(),
            public
        );
    });
}

#[test]
fn signatures_are_reproduced_byte_for_byte_and_verify() {
    each("signatures", |entry, root| {
        let hash = Hash64::of(&entry.hex("data_hex"));
        let secret = secret_of(root, entry.text("public"));
        let listed = entry.array::<64>("signature_hex");
        assert_eq!(secret.sign(&hash).as_bytes(), &listed);
        verify::signature(&secret.public(), &hash, &listed).unwrap();
        let mut broken = listed;
        broken[63] ^= 1;
        assert!(verify::signature(&secret.public(), &hash, &broken).is_err());
    });
}

#[test]
fn records_have_the_listed_fields_and_verify_alone_and_together() {
    each("records", |entry, _| {
        let bytes = entry.hex("hex");
        let record = RecordRef::parse(&bytes).unwrap();
        assert_eq!(bytes.len() as u64, entry.number("len"));
        assert_eq!(record.id().as_bytes(), &entry.array::<48>("id"));
        assert_eq!(
            Reference::Id(record.id()).to_string(),
            entry.text("id_printable")
        );
        assert_eq!(record.address().as_bytes(), &entry.array::<48>("address"));
        assert_eq!(
            Reference::Address(record.address()).to_string(),
            entry.text("address_printable")
        );
        assert_eq!(record.kind().to_string(), entry.text("kind"));
        assert_eq!(record.author().to_string(), entry.text("author"));
        assert_eq!(record.signer().to_string(), entry.text("signer"));
        assert_eq!(record.timestamp().nanos(), entry.number("timestamp_ns"));
        // The file prints the eight flag bytes as one little-endian number.
        let flags = u64::from_str_radix(entry.text("flags"), 16).unwrap();
        assert_eq!(bytes[136..144], flags.to_le_bytes());
        assert_eq!(record.flags().from_author(), flags & 4 != 0);
        assert_eq!(record.payload().len() as u64, entry.number("payload_len"));
        assert_eq!(record.signature(), &entry.array::<64>("signature"));
        assert_eq!(
            Hash64::of(record.signed_bytes()).as_bytes(),
            &entry.array::<64>("hash64")
        );
        let tags = entry.hex("tags_hex");
        let seen: Vec<u8> = record.tags().flat_map(|tag| tag.bytes().to_vec()).collect();
        assert!(tags.starts_with(&seen), "tags are read in order");
        assert!(
            tags[seen.len()..].iter().all(|byte| *byte == 0),
            "only padding is left over"
        );
        let printed = Record::parse(Bytes::from(bytes.clone()))
            .unwrap()
            .to_string();
        assert_eq!(printed.parse::<Record>().unwrap().bytes(), &bytes);
    });
}

/// The 24 records judged by signature alone: a key schedule of the file whose payload is no schedule
/// has a good signature all the same.
#[test]
fn the_signature_of_every_record_holds_and_fails_on_another_record() {
    each("records", |entry, _| {
        let bytes = entry.hex("hex");
        let record = RecordRef::parse(&bytes).unwrap();
        let hash = Hash64::of(record.signed_bytes());
        verify::signature(&record.signer(), &hash, record.signature()).unwrap();
        let other = Hash64::of(&bytes);
        assert!(verify::signature(&record.signer(), &other, record.signature()).is_err());
    });
}

#[test]
fn a_batch_answers_as_the_records_do_one_by_one() {
    for file in files() {
        let bytes: Vec<Vec<u8>> = file
            .root
            .list("records")
            .iter()
            .map(|r| r.hex("hex"))
            .collect();
        let records: Vec<RecordRef<'_>> = bytes
            .iter()
            .map(|bytes| RecordRef::parse(bytes).unwrap())
            .collect();
        let alone: Vec<bool> = records.iter().map(|r| verify::record(*r).is_ok()).collect();
        let together: Vec<bool> = verify::batch(&records).iter().map(Result::is_ok).collect();
        assert_eq!(alone, together);
        assert!(alone.iter().any(|good| *good));
    }
}

#[test]
fn building_a_record_from_its_fields_reproduces_it_byte_for_byte() {
    each("records", |entry, root| {
        let bytes = entry.hex("hex");
        let record = RecordRef::parse(&bytes).unwrap();
        let mut tags = TagsBuilder::new();
        for tag in record.tags() {
            tags = tags.raw(tag.kind(), tag.value()).unwrap();
        }
        let built = RecordBuilder::new(record.kind(), record.author())
            .nonce(record.nonce())
            .timestamp(record.timestamp())
            .from_author(record.flags().from_author())
            .tags(tags)
            .payload(Bytes::copy_from_slice(record.payload()))
            .sign(&secret_of(root, entry.text("signer")))
            .unwrap();
        assert_eq!(built.bytes(), &bytes);
    });
}

#[test]
fn broken_records_are_refused() {
    each("invalid_records", |entry, _| {
        let bytes = entry.hex("hex");
        let accepted = RecordRef::parse(&bytes).is_ok_and(|record| verify::record(record).is_ok());
        assert!(!accepted, "{}", entry.text("why"));
        let batched =
            RecordRef::parse(&bytes).is_ok_and(|record| verify::batch(&[record])[0].is_ok());
        assert!(!batched, "{}", entry.text("why"));
    });
}

#[test]
fn filters_match_exactly_the_listed_records() {
    each("filters", |entry, root| {
        let filter = Filter::parse(Bytes::from(entry.hex("hex"))).unwrap();
        assert_eq!(Value::Bool(filter.is_narrow()), entry["narrow"]);
        let matched: Vec<u64> = (0..)
            .zip(root.list("records"))
            .filter(|(_, record)| {
                let bytes = record.hex("hex");
                filter.matches(&RecordRef::parse(&bytes).unwrap(), Timestamp::now())
            })
            .map(|(place, _)| place)
            .collect();
        let listed: Vec<u64> = entry
            .list("matches")
            .iter()
            .map(|m| m.as_u64().unwrap())
            .collect();
        assert_eq!(matched, listed, "{}", entry.text("name"));
    });
}

#[test]
fn encrypted_secret_keys_open_with_their_password_and_no_other() {
    each("encrypted_secret_keys", |entry, _| {
        let encrypted: EncryptedSecretKey = entry.text("encrypted").parse().unwrap();
        assert_eq!(u64::from(encrypted.log_n()), entry.number("log_n"));
        assert_eq!(encrypted.to_string(), entry.text("encrypted"));
        let secret = encrypted.decrypt(entry.text("password")).unwrap();
        assert_eq!(secret.to_printable().as_str(), entry.text("secret"));
        assert!(encrypted.decrypt("another password").is_err());
    });
}

#[test]
fn timestamps_convert_both_ways() {
    each("timestamps", |entry, _| {
        let nanos = u32::try_from(entry.number("nanos")).unwrap();
        let unix = Duration::new(entry.number("unixtime"), nanos);
        let time = Timestamp::from_unix(unix);
        assert_eq!(time.nanos(), entry.number("mosaic_ns"));
        assert_eq!(time.to_unix(), unix);
        assert_eq!(time.to_bytes(), entry.array::<8>("bytes"));
        assert_eq!(
            Timestamp::from_bytes(entry.array::<8>("bytes")).unwrap(),
            time
        );
    });
}

#[test]
fn an_address_derived_from_fixed_bytes_is_the_listed_one() {
    for file in files() {
        let entry = &file.root["deterministic_address"];
        let kind = Kind::from_bytes(entry.array::<8>("kind")).unwrap();
        let author: PublicKey = entry.text("author").parse().unwrap();
        let address = Address::derived(entry.text("key_utf8").as_bytes(), kind, author);
        assert_eq!(address.as_bytes(), &entry.array::<48>("address"));
    }
}
