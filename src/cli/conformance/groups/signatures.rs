//! Signatures on which verifiers differ: made by hand, as no library makes them.

use bytes::Bytes;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::digest::Update;
use sha2::{Digest, Sha512};

use super::super::check::{Outcome, Stop, checks, ensure, failed};
use super::super::world::{UNIQUE, Who, World, plain, taken};
use crate::wire::{ContextHash, Hash64, Record, ResultCode, SecretKey};

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

/// A good record whose signature is made anew, from the nonce `r`.
fn resigned(world: &World, r: Scalar, recipe: Recipe) -> Result<Bytes, Stop> {
    let record = plain(&world.user, UNIQUE)?;
    let hash = Hash64::of(record.view().signed_bytes());
    let point = EdwardsPoint::mul_base(&r) + recipe.torsion;
    let nonce = recipe.written.unwrap_or(point.compress().0);
    let k = ContextHash::default()
        .chain(nonce)
        .chain(world.user.public().as_bytes())
        .chain(hash.as_bytes());
    let k = Scalar::from_bytes_mod_order_wide(&output(k));
    let s = r + k * secret_scalar(&world.user);
    Ok(with_signature(&record, &[nonce, s.to_bytes()].concat()))
}

fn output(hash: ContextHash) -> [u8; 64] {
    use sha2::digest::FixedOutput;
    hash.finalize_fixed().into()
}

/// The scalar behind a key, RFC 8032 section 5.1.5.
fn secret_scalar(key: &SecretKey) -> Scalar {
    let expanded: [u8; 64] = Sha512::digest(key.seed()).into();
    let half = expanded.first_chunk::<32>().copied().unwrap_or_default();
    Scalar::from_bytes_mod_order(clamp_integer(half))
}

fn with_signature(record: &Record, signature: &[u8]) -> Bytes {
    let mut bytes = record.bytes().to_vec();
    bytes.truncate(bytes.len().saturating_sub(signature.len()));
    bytes.extend_from_slice(signature);
    bytes.into()
}

async fn cofactor(world: &World) -> Outcome {
    let [_, torsion, ..] = EIGHT_TORSION;
    let r = Scalar::from_bytes_mod_order_wide(Hash64::of(&rand::random::<[u8; 32]>()).as_bytes());
    let written = None;
    let record = resigned(world, r, Recipe { torsion, written })?;
    let mut talk = world.talk(Who::User).await?;
    match talk.submit(&record).await? {
        ResultCode::Invalid => Err(failed("ACCEPTED", "INVALID")),
        other => taken(other),
    }
}

async fn r_canonical(world: &World) -> Outcome {
    // The neutral point, y = 1, written as y = p + 1.
    let [neutral, ..] = EIGHT_TORSION;
    let mut written = [0xff; 32];
    written[0] = 0xee;
    written[31] = 0x7f;
    let recipe = Recipe {
        torsion: neutral,
        written: Some(written),
    };
    let record = resigned(world, Scalar::ZERO, recipe)?;
    expect_invalid(world, &record).await
}

/// What RFC 8032 calls Ed25519, of the same hash.
async fn plain_ed25519(world: &World) -> Outcome {
    use ed25519_dalek::Signer;
    let record = plain(&world.user, UNIQUE)?;
    let hash = Hash64::of(record.view().signed_bytes());
    let key = ed25519_dalek::SigningKey::from_bytes(world.user.seed());
    let signature = key.sign(hash.as_bytes()).to_bytes();
    expect_invalid(world, &with_signature(&record, &signature)).await
}

async fn expect_invalid(world: &World, record: &Bytes) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    let result = talk.submit(record).await?;
    ensure(result == ResultCode::Invalid, "INVALID", || {
        result.to_string()
    })
}
