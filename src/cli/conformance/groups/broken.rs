//! Records that break one rule each: every one is INVALID, and none is kept.

use bytes::Bytes;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;

use super::super::check::{Outcome, Stop, checks, ensure, failed};
use super::super::world::{UNIQUE, Who, World, judge_bad, record, signed};
use crate::wire::{Hash64, Record, Reference, SecretKey, TagsBuilder};

checks! {
    "record.id-hash", "wire 4", |world| broken(world, Break::IdHash),
        "The hash in the ID is that of the record.";
    "record.id-timestamp", "wire 4", |world| broken(world, Break::IdTimestamp),
        "The timestamp in the ID is the signed one.";
    "record.timestamp-bit", "wire 2", |world| broken(world, Break::TimestampBit),
        "The top bit of a timestamp is 0.";
    "record.payload", "wire 4", |world| broken(world, Break::Payload),
        "The hash covers the payload.";
    "record.tags", "wire 4", |world| broken(world, Break::Tags),
        "The hash covers the tags.";
    "record.signature.r", "wire 1, 4", |world| broken(world, Break::SignatureR),
        "The signature is good: another R is refused.";
    "record.signature.s", "wire 1, 4", |world| broken(world, Break::SignatureS),
        "The signature is good: another S is refused.";
    "record.signature.range", "wire 1", |world| broken(world, Break::SignatureRange),
        "The S of a signature is below the order of the group.";
    "record.signature.other", "wire 4", |world| broken(world, Break::OtherSigner),
        "The signature is that of the signing key named.";
    "record.author", "wire 4", |world| broken(world, Break::Author),
        "The hash covers the author's key.";
    "record.author.small-order", "wire 1", |world| broken(world, Break::AuthorSmallOrder),
        "The author's key is none of the points of small order.";
    "record.author.not-canonical", "wire 1", |world| broken(world, Break::AuthorNotCanonical),
        "The author's key is canonically encoded.";
    "record.signer.small-order", "wire 1", |world| broken(world, Break::SignerSmallOrder),
        "The signing key is none of the points of small order.";
    "record.signer.not-canonical", "wire 1", |world| broken(world, Break::SignerNotCanonical),
        "The signing key is canonically encoded.";
    "record.truncated", "wire 4", |world| broken(world, Break::Truncated),
        "A record that lacks its last byte is refused.";
    "record.trailing", "wire 4", |world| broken(world, Break::Trailing),
        "A record with eight bytes behind it is refused.";
    "record.short", "wire 4", |world| broken(world, Break::Short),
        "A record has at least 152 bytes.";
    "record.payload-length", "wire 4", |world| broken(world, Break::PayloadLength),
        "The lengths in the header add up to that of the record.";
    "record.signature-length", "wire 4", |world| broken(world, Break::SignatureLength),
        "An ed25519 signature has 64 bytes.";
    "record.flags.reserved", "wire 4", |world| broken(world, Break::ReservedFlag),
        "No reserved flag is set.";
    "record.flags.bytes", "wire 4", |world| broken(world, Break::FlagByte),
        "Bytes 1 and 2 of the flags are 0.";
    "record.flags.scheme", "wire 4", |world| broken(world, Break::Scheme),
        "Signature schemes that are not in use are refused.";
    "record.nonce", "wire 4", |world| broken(world, Break::Nonce),
        "The first bit of the address nonce is set.";
    "record.kind.reserved", "wire 3", |world| broken(world, Break::KindReserved),
        "The reserved bits of a kind are 0.";
    "record.kind.access", "wire 3", |world| broken(world, Break::KindAccess),
        "Read access 10 is reserved.";
}

/// The rule that is broken. Those in the signed part are signed anew, so that it is the only one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Break {
    IdHash,
    IdTimestamp,
    TimestampBit,
    Payload,
    Tags,
    SignatureR,
    SignatureS,
    SignatureRange,
    OtherSigner,
    Author,
    AuthorSmallOrder,
    AuthorNotCanonical,
    SignerSmallOrder,
    SignerNotCanonical,
    Truncated,
    Trailing,
    Short,
    PayloadLength,
    SignatureLength,
    ReservedFlag,
    FlagByte,
    Scheme,
    Nonce,
    KindReserved,
    KindAccess,
}

async fn broken(world: &World, rule: Break) -> Outcome {
    let good = good(world)?;
    let bad = break_rule(&good, &world.user, rule)?;
    let mut talk = world.talk(Who::User).await?;
    judge_bad(talk.submit(&bad).await?)?;
    let claimed = bad.first_chunk().map(Reference::from_bytes);
    let Some(Ok(id)) = claimed else {
        return Ok(());
    };
    let answer = talk.get(vec![id]).await?;
    ensure(answer.records.is_empty(), "nothing kept of it", || {
        "the record is served".into()
    })
}

/// A record with tags and payload, so that every part of it is there.
fn good(world: &World) -> Result<Record, Stop> {
    let tags = TagsBuilder::new().notify(world.stranger.public());
    signed(record(&world.user, UNIQUE)?.tags(tags), &world.user)
}

fn break_rule(good: &Record, key: &SecretKey, rule: Break) -> Result<Bytes, Stop> {
    let mut bytes = good.bytes().to_vec();
    let signature_at = bytes.len().saturating_sub(SIGNATURE_BYTES);
    let is_signed_anew = match rule {
        Break::IdHash => flip(&mut bytes, 20, 1),
        Break::IdTimestamp => flip(&mut bytes, 7, 1),
        Break::Payload => flip(&mut bytes, signature_at.saturating_sub(8), 1),
        Break::Tags => flip(&mut bytes, 160, 1),
        Break::SignatureR => !put(&mut bytes, signature_at, &nonce().0),
        Break::SignatureS => flip(&mut bytes, signature_at + 32, 1),
        Break::SignatureRange => add_order(&mut bytes, signature_at + 32),
        Break::Author => flip(&mut bytes, 70, 1),
        Break::Truncated => {
            bytes.pop();
            false
        }
        Break::Trailing => {
            bytes.extend_from_slice(&[0; 8]);
            false
        }
        Break::Short => {
            bytes.truncate(144);
            false
        }
        Break::OtherSigner => put(&mut bytes, 96, SecretKey::generate().public().as_bytes()),
        Break::AuthorSmallOrder => put(&mut bytes, 64, &NEUTRAL),
        Break::SignerSmallOrder => put(&mut bytes, 96, &NEUTRAL),
        Break::SignerNotCanonical => put(&mut bytes, 96, &NEUTRAL_NOT_CANONICAL),
        Break::AuthorNotCanonical => {
            // y = p + 3, which stands for y = 3.
            let mut key = [0xff; 32];
            key[0] = 0xf0;
            key[31] = 0x7f;
            put(&mut bytes, 64, &key)
        }
        Break::TimestampBit => !flip(&mut bytes, 128, 0x80),
        Break::PayloadLength => !flip(&mut bytes, 150, 1),
        // 63, which takes as much room as 64.
        Break::SignatureLength => !flip(&mut bytes, 146, 0x7f),
        Break::ReservedFlag => !flip(&mut bytes, 136, 0x20),
        Break::FlagByte => !flip(&mut bytes, 137, 1),
        Break::Scheme => !flip(&mut bytes, 136, 0x40),
        Break::Nonce => !flip(&mut bytes, 48, 0x80),
        Break::KindReserved => !flip(&mut bytes, 63, 0x20),
        // From 11, everybody.
        Break::KindAccess => !flip(&mut bytes, 63, 0x04),
    };
    match rule {
        Break::SignerSmallOrder | Break::SignerNotCanonical => sign(&mut bytes, by_nobody)?,
        _ if is_signed_anew => sign(&mut bytes, |hash| *key.sign(hash).as_bytes())?,
        _ => {}
    }
    Ok(bytes.into())
}

/// `good` with something in the bytes of its flags that are to be ignored: still a good record.
pub(super) fn with_ignored_flags(good: &Record, key: &SecretKey) -> Result<Bytes, Stop> {
    let mut bytes = good.bytes().to_vec();
    put(&mut bytes, 139, &[0xa5; 5]);
    sign(&mut bytes, |hash| *key.sign(hash).as_bytes())?;
    Ok(bytes.into())
}

/// Signs the record anew, whatever is in it, and gives it the ID that belongs to it.
fn sign(bytes: &mut [u8], signature: impl FnOnce(&Hash64) -> [u8; 64]) -> Result<(), Stop> {
    let signature_at = bytes.len().saturating_sub(SIGNATURE_BYTES);
    let part = bytes.get(ID_BYTES..signature_at);
    let hash = Hash64::of(part.ok_or_else(|| failed("a record", "fewer bytes"))?);
    let timestamp = bytes.get(128..136).map(<[u8]>::to_vec).unwrap_or_default();
    put(bytes, 0, &timestamp);
    put(
        bytes,
        8,
        hash.as_bytes().first_chunk::<40>().unwrap_or(&[0; 40]),
    );
    put(bytes, signature_at, &signature(&hash));
    Ok(())
}

/// What is a signature of anything for whoever takes the neutral point for a key: `8·k·A` is nothing
/// then, so S is the nonce itself. No key has a part in it.
fn by_nobody(_: &Hash64) -> [u8; 64] {
    let (r, nonce) = nonce();
    let mut signature = [0; 64];
    put(&mut signature, 0, &r);
    put(&mut signature, 32, nonce.as_bytes());
    signature
}

/// Some R, and the nonce behind it.
fn nonce() -> ([u8; 32], Scalar) {
    let nonce = Hash64::of(&rand::random::<[u8; 32]>());
    let nonce = Scalar::from_bytes_mod_order_wide(nonce.as_bytes());
    (EdwardsPoint::mul_base(&nonce).compress().0, nonce)
}

/// Flips bits of the byte at `at`. Tells that the record is not to be signed anew.
fn flip(bytes: &mut [u8], at: usize, bits: u8) -> bool {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bits;
    }
    false
}

/// Writes `value` at `at`. Tells that the record is to be signed anew.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> bool {
    let place = bytes.iter_mut().skip(at);
    for (byte, new) in place.zip(value) {
        *byte = *new;
    }
    true
}

/// Adds the order of the group to the little-endian number at `at`, which is below it. The equation
/// of the signature still holds. Tells that the record is not to be signed anew.
fn add_order(bytes: &mut [u8], at: usize) -> bool {
    let mut carry = 0;
    for (byte, add) in bytes.iter_mut().skip(at).zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        let [low, high] = sum.to_le_bytes();
        *byte = low;
        carry = u16::from(high);
    }
    false
}

/// The neutral point, y = 1.
const NEUTRAL: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

/// The same point, written as y = p + 1.
const NEUTRAL_NOT_CANONICAL: [u8; 32] = {
    let mut key = [0xff; 32];
    key[0] = 0xee;
    key[31] = 0x7f;
    key
};

const ID_BYTES: usize = 48;
const SIGNATURE_BYTES: usize = 64;

/// 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};

    use super::*;

    /// So that nothing but the check of the key stands in the way of such a record.
    #[test]
    fn only_the_key_is_wrong_where_the_signing_key_is() {
        let user = SecretKey::generate();
        let good = signed(record(&user, UNIQUE).unwrap(), &user).unwrap();
        for (rule, key) in [
            (Break::SignerSmallOrder, NEUTRAL),
            (Break::SignerNotCanonical, NEUTRAL_NOT_CANONICAL),
        ] {
            let bad = break_rule(&good, &user, rule).unwrap();
            assert_eq!(bad[96..128], key);
            let signature = bad.last_chunk::<64>().unwrap();
            let hash = Hash64::of(&bad[48..bad.len() - 64]);
            assert_eq!(bad[8..48], hash.as_bytes()[..40]);
            // A verifier without the check, whatever the hash inside it: k is nothing either way.
            let lax = VerifyingKey::from_bytes(&key).unwrap();
            let signature = Signature::from_bytes(signature);
            ed25519_dalek::Verifier::verify(&lax, hash.as_bytes(), &signature).unwrap();
        }
    }
}
