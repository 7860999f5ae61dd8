//! Checks records one by one and in batches, and remembers keys that signed well.

use std::collections::HashMap;

use curve25519_dalek::edwards::EdwardsPoint;

use super::{
    VerifyError, core_kinds,
    equation::{self, Claim, Encoded},
    recent::Recent,
};
use crate::wire::{Hash64, KeySchedule, PublicKey, RecordRef};

/// Checks records, one thread's worth of it.
///
/// It remembers the decompressed keys of records that were valid, so that a busy author's key is
/// decompressed once. Keys of records that were not valid leave no trace, or a flood of them could
/// empty the memory.
pub struct Verifier {
    known: Recent<PublicKey, EdwardsPoint>,
}

/// A record of which all is good but for what the curve says.
struct Sound {
    claim: Claim,
    schedule: Option<KeySchedule>,
}

/// Keys decompressed for the records at hand, not yet worth remembering.
type Fresh = HashMap<PublicKey, EdwardsPoint>;

impl Verifier {
    /// A verifier that remembers at most `keys_max` keys, of about 250 bytes each.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        Self {
            known: Recent::new(keys_max),
        }
    }

    /// Whether `record` is valid: hash, keys, signature, and the rules of core kinds.
    ///
    /// # Errors
    /// The first of [`VerifyError`]'s that was found; cheap checks come first.
    ///
    /// # Source
    /// `mosaic-wire.md` sections 1, 4 and 9. Whatever [`RecordRef::parse`] checks is not checked
    /// again.
    pub fn record(&mut self, record: RecordRef<'_>) -> Result<(), VerifyError> {
        let mut fresh = Fresh::new();
        let sound = self.sound(record, &mut fresh)?;
        let holds = sound.claim.holds();
        self.conclude(record, &sound, holds, &fresh)
    }

    /// Whether each of `records` is valid; the same answers as [`record`](Self::record) gives.
    ///
    /// About twice as fast as one by one, and three times where authors repeat, as long as all
    /// signatures are good. One that is wrong makes the whole batch be checked once more, one by
    /// one: keep those apart who sent wrong ones before, as [`Stage`](super::Stage) does.
    pub fn batch(&mut self, records: &[RecordRef<'_>]) -> Vec<Result<(), VerifyError>> {
        let mut fresh = Fresh::new();
        let checked: Vec<_> = records
            .iter()
            .map(|record| self.sound(*record, &mut fresh))
            .collect();
        let claims: Vec<_> = checked.iter().flatten().map(|sound| &sound.claim).collect();
        let all_hold = claims.len() > 1 && equation::all_hold(&claims);
        checked
            .into_iter()
            .zip(records)
            .map(|(sound, record)| {
                let sound = sound?;
                let holds = all_hold || sound.claim.holds();
                self.conclude(*record, &sound, holds, &fresh)
            })
            .collect()
    }

    /// Everything about `record` but the equation, cheapest first: bytes, hash, then curve points.
    fn sound(&mut self, record: RecordRef<'_>, fresh: &mut Fresh) -> Result<Sound, VerifyError> {
        let schedule = core_kinds::outline(record)?;
        let signature = Encoded::new(record.signature())?;
        let hash = Hash64::of(record.signed_bytes());
        if !hash.as_bytes().starts_with(record.id().hash_start()) {
            return Err(VerifyError::HashMismatch);
        }
        let signer = record.signer();
        let signer_point = self.point(&signer, fresh)?;
        if record.author() != signer {
            self.point(&record.author(), fresh)?;
        }
        let claim = Claim::new(signer, signer_point, &hash, signature)?;
        Ok(Sound { claim, schedule })
    }

    /// The verdict, once it is known whether the equation holds.
    fn conclude(
        &mut self,
        record: RecordRef<'_>,
        sound: &Sound,
        holds: bool,
        fresh: &Fresh,
    ) -> Result<(), VerifyError> {
        if !holds {
            return Err(VerifyError::WrongSignature);
        }
        self.remember(record, fresh);
        sound
            .schedule
            .as_ref()
            .map_or(Ok(()), core_kinds::attestations)
    }

    fn point(&mut self, key: &PublicKey, fresh: &mut Fresh) -> Result<EdwardsPoint, VerifyError> {
        if let Some(point) = self.known.get(key).or_else(|| fresh.get(key)) {
            return Ok(*point);
        }
        let point = equation::key_point(key)?;
        fresh.insert(*key, point);
        Ok(point)
    }

    #[cfg(test)]
    pub(super) fn remembers(&mut self, key: &PublicKey) -> bool {
        self.known.get(key).is_some()
    }

    fn remember(&mut self, record: RecordRef<'_>, fresh: &Fresh) {
        for key in [record.signer(), record.author()] {
            if let Some(point) = fresh.get(&key) {
                self.known.insert(key, *point, 1);
            }
        }
    }
}

/// Whether `signature` is `key`'s Ed25519ph signature of `hash`, with the context `Mosaic`.
///
/// # Errors
/// A [`VerifyError`] about keys, encodings or the signature.
///
/// # Source
/// `mosaic-wire.md` section 1.
pub fn signature(key: &PublicKey, hash: &Hash64, signature: &[u8; 64]) -> Result<(), VerifyError> {
    let signature = Encoded::new(signature)?;
    let claim = Claim::new(*key, equation::key_point(key)?, hash, signature)?;
    if claim.holds() {
        Ok(())
    } else {
        Err(VerifyError::WrongSignature)
    }
}
