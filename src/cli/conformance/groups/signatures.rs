//! Signatures on which verifiers differ: made by hand, as no library makes them.
//!
//! They are by keys made up for one check each: from a signature with a known nonce anybody can
//! compute the key.

use bytes::Bytes;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::digest::Update;
use sha2::{Digest, Sha512};

use super::super::check::{Outcome, Stop, checks, failed};
use super::super::made_up::{MadeUpKey, made_up};
use super::super::world::{UNIQUE, World, judge_bad, plain, taken};
use crate::wire::{ContextHash, Hash64, Record, ResultCode};

checks! {
    "record.signature.cofactor", "wire 1", |world| cofactor(world),
        "Signatures are checked with the cofactor: a component of small order in R does no harm.";
    "record.signature.r-canonical", "wire 1", |world| r_canonical(world),
        "The R of a signature is canonically encoded.";
    "record.signature.plain", "wire 1", |world| plain_ed25519(world),
        "A signature without the context `Mosaic` is refused.";
}

/// How the signature is made.
#[derive(Clone, Copy)]
struct Recipe {
    /// What R holds beside the multiple of the base point.
    torsion: EdwardsPoint,
    /// R as it is written, where that is not its own encoding.
    written: Option<[u8; 32]>,
}

/// A good record of `author` whose signature is made anew, from the nonce `r`.
fn resigned(author: &MadeUpKey, r: Scalar, recipe: Recipe) -> Result<Bytes, Stop> {
    let record = plain(author.secret(), UNIQUE)?;
    let hash = Hash64::of(record.view().signed_bytes());
    let point = EdwardsPoint::mul_base(&r) + recipe.torsion;
    let nonce = recipe.written.unwrap_or(point.compress().0);
    let k = ContextHash::default()
        .chain(nonce)
        .chain(author.secret().public().as_bytes())
        .chain(hash.as_bytes());
    let k = Scalar::from_bytes_mod_order_wide(&output(k));
    let s = r + k * secret_scalar(author);
    Ok(with_signature(&record, &[nonce, s.to_bytes()].concat()))
}

fn output(hash: ContextHash) -> [u8; 64] {
    use sha2::digest::FixedOutput;
    hash.finalize_fixed().into()
}

/// The scalar behind a key, RFC 8032 section 5.1.5.
fn secret_scalar(key: &MadeUpKey) -> Scalar {
    let expanded: [u8; 64] = Sha512::digest(key.secret().seed()).into();
    let half = expanded.first_chunk::<32>().copied().unwrap_or_default();
    Scalar::from_bytes_mod_order(clamp_integer(half))
}

fn with_signature(record: &Record, signature: &[u8]) -> Bytes {
    let mut bytes = record.bytes().to_vec();
    bytes.truncate(bytes.len().saturating_sub(signature.len()));
    bytes.extend_from_slice(signature);
    bytes.into()
}

/// Has `author` hand in `record`. Where nobody is served before a first visit, this is one.
async fn submitted(world: &World, author: &MadeUpKey, record: &Bytes) -> Result<ResultCode, Stop> {
    let mut talk = world.fresh_as(author.secret()).await?;
    talk.submit(record).await
}

async fn cofactor(world: &World) -> Outcome {
    let [_, torsion, ..] = EIGHT_TORSION;
    let r = Scalar::from_bytes_mod_order_wide(Hash64::of(&rand::random::<[u8; 32]>()).as_bytes());
    let written = None;
    let author = made_up();
    let record = resigned(&author, r, Recipe { torsion, written })?;
    match submitted(world, &author, &record).await? {
        ResultCode::Invalid => Err(failed("ACCEPTED", "INVALID")),
        other => taken(other),
    }
}

async fn r_canonical(world: &World) -> Outcome {
    let author = made_up();
    let record = with_unusual_r(&author)?;
    judge_bad(submitted(world, &author, &record).await?)
}

/// A record whose R is the neutral point, y = 1, written as y = p + 1.
fn with_unusual_r(author: &MadeUpKey) -> Result<Bytes, Stop> {
    let [neutral, ..] = EIGHT_TORSION;
    let mut written = [0xff; 32];
    written[0] = 0xee;
    written[31] = 0x7f;
    let recipe = Recipe {
        torsion: neutral,
        written: Some(written),
    };
    resigned(author, Scalar::ZERO, recipe)
}

async fn plain_ed25519(world: &World) -> Outcome {
    let author = made_up();
    let record = signed_without_context(&author)?;
    judge_bad(submitted(world, &author, &record).await?)
}

/// A record signed by what RFC 8032 calls Ed25519, of the same hash.
fn signed_without_context(author: &MadeUpKey) -> Result<Bytes, Stop> {
    use ed25519_dalek::Signer;
    let record = plain(author.secret(), UNIQUE)?;
    let hash = Hash64::of(record.view().signed_bytes());
    let key = ed25519_dalek::SigningKey::from_bytes(author.secret().seed());
    let signature = key.sign(hash.as_bytes()).to_bytes();
    Ok(with_signature(&record, &signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RecordRef;

    /// Whoever reads the record with R = 0 has the scalar of its author; that must be nobody's.
    #[test]
    fn the_signature_that_gives_its_key_away_is_by_a_key_made_up_for_it() {
        let author = made_up();
        assert_ne!(author.secret().public(), made_up().secret().public());
        let record = with_unusual_r(&author).unwrap();
        let view = RecordRef::parse(&record).unwrap();
        let key = author.secret().public();
        assert_eq!((view.author(), view.signer()), (key, key));
        let signature = record.last_chunk::<64>().unwrap();
        let (r, s) = signature.split_at(32);
        let k = ContextHash::default()
            .chain(r)
            .chain(key.as_bytes())
            .chain(Hash64::of(view.signed_bytes()).as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&output(k));
        let s = Scalar::from_bytes_mod_order(s.try_into().unwrap());
        let given_away = s * k.invert();
        assert_eq!(given_away, secret_scalar(&author));
    }

    /// `MadeUpKey` says so of what is signed by hand; this, of every other signature made here.
    #[test]
    fn no_check_of_signatures_uses_a_key_of_a_user() {
        let source = include_str!("signatures.rs");
        let (checks, _) = source.split_once("#[cfg(test)]").unwrap();
        for field in ["user", "second", "stranger", "key("] {
            assert!(!checks.contains(&format!("world.{field}")), "{field}");
        }
        assert!(!checks.contains("Who::"));
    }
}
