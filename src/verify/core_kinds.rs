//! What the core application demands of its records beyond their signature.

use super::{
    VerifyError,
    equation::{self, Claim, Encoded},
};
use crate::wire::{Attestation, Hash64, KeySchedule, Kind, RecordRef};

/// Whether `record` follows the rules of its kind, if it is one of the core application's.
///
/// A key schedule must be signed by its master key, parse, and carry good attestations. A profile
/// must be signed by its master key; its payload is for clients to judge. Every other kind passes.
///
/// # Errors
/// [`VerifyError::NotSignedByMaster`], [`VerifyError::KeySchedule`],
/// [`VerifyError::WrongAttestation`].
///
/// # Source
/// `mosaic-wire.md` section 9.
pub fn core_kinds(record: RecordRef<'_>) -> Result<(), VerifyError> {
    match outline(record)? {
        Some(schedule) => attestations(&schedule),
        None => Ok(()),
    }
}

/// What can be said without a curve operation; the key schedule, if it is one.
pub(super) fn outline(record: RecordRef<'_>) -> Result<Option<KeySchedule>, VerifyError> {
    match record.kind() {
        Kind::KEY_SCHEDULE | Kind::PROFILE if record.signer() != record.author() => {
            Err(VerifyError::NotSignedByMaster)
        }
        Kind::KEY_SCHEDULE => Ok(Some(KeySchedule::parse(record)?)),
        _ => Ok(None),
    }
}

/// Whether every subkey of `schedule` that can be asked says that it belongs to the master.
///
/// Costs no more for its bytes than as many records would.
pub(super) fn attestations(schedule: &KeySchedule) -> Result<(), VerifyError> {
    let claims: Option<Vec<Claim>> = schedule.attestations().map(claim).collect();
    let claims = claims.ok_or(VerifyError::WrongAttestation)?;
    if equation::all_hold(&claims.iter().collect::<Vec<_>>()) {
        Ok(())
    } else {
        Err(VerifyError::WrongAttestation)
    }
}

/// The claim of one attestation, or `None` if its encodings alone make it wrong.
fn claim(attestation: &Attestation) -> Option<Claim> {
    let subkey = attestation.subkey()?;
    let point = equation::key_point(&subkey).ok()?;
    let signature = Encoded::new(attestation.signature().as_bytes()).ok()?;
    let hash = Hash64::of(attestation.signed_bytes());
    Claim::new(subkey, point, &hash, signature).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        verify::{
            self,
            testing::{key, sealed},
        },
        wire::{KeyMarker, KeyScheduleBuilder, KeyScheduleError, ListedKey, Record, RecordBuilder},
    };

    const MASTER: u64 = 1;

    /// A schedule of the master that lists these subkeys, signed by `signer`.
    fn schedule(subkeys: &[u64], signer: u64) -> Record {
        let master = key(MASTER).public();
        let mut builder = KeyScheduleBuilder::new(master);
        for subkey in subkeys {
            let attestation = Attestation::sign(&key(*subkey), master);
            builder = builder
                .list(KeyMarker::ActiveSigning, ListedKey::Signing(attestation))
                .unwrap();
        }
        builder.into_record().unwrap().sign(&key(signer)).unwrap()
    }

    fn check(record: &Record, expected: Result<(), VerifyError>) {
        assert_eq!(verify::record(record.view()), expected);
        let in_a_batch = verify::batch(&[record.view(), record.view()]);
        assert!(in_a_batch.iter().all(|verdict| *verdict == expected));
        assert_eq!(core_kinds(record.view()), expected);
    }

    #[test]
    fn schedules_with_good_attestations_pass() {
        check(&schedule(&[], MASTER), Ok(()));
        check(&schedule(&[2], MASTER), Ok(()));
        check(&schedule(&[2, 3, 4, 5, 6], MASTER), Ok(()));
    }

    #[test]
    fn a_subkey_may_sign_neither_schedule_nor_profile() {
        check(&schedule(&[2], 2), Err(VerifyError::NotSignedByMaster));
        let profile = |signer| {
            RecordBuilder::new(Kind::PROFILE, key(MASTER).public())
                .payload(b"not even cbor".to_vec())
                .sign(&key(signer))
                .unwrap()
        };
        check(&profile(2), Err(VerifyError::NotSignedByMaster));
        check(&profile(MASTER), Ok(()));
    }

    #[test]
    fn every_byte_of_an_attestation_counts() {
        let good = schedule(&[2, 3], MASTER);
        let payload_at = good.bytes().len() - 64 - good.view().payload().len();
        let algorithm_at = payload_at + 16 + 5;
        for at in payload_at + 16..payload_at + 152 {
            let mut bytes = good.bytes().to_vec();
            bytes[at] ^= 1;
            let record = sealed(bytes, |hash| *key(MASTER).sign(hash).as_bytes());
            let verdict = verify::record(record.view());
            if at == algorithm_at {
                // Now it is a nostr key, which cannot be asked and never signs records.
                let schedule = KeySchedule::parse(record.view()).unwrap();
                assert_eq!(schedule.signing_key(&key(2).public()), None);
                continue;
            }
            let expected = matches!(
                verdict,
                Err(VerifyError::WrongAttestation | VerifyError::KeySchedule(_))
            );
            assert!(expected, "byte {at}: {verdict:?}");
        }
    }

    #[test]
    fn a_schedule_that_does_not_parse_is_refused() {
        let author = key(MASTER);
        let record = RecordBuilder::new(Kind::KEY_SCHEDULE, author.public())
            .payload(vec![7])
            .sign(&author)
            .unwrap();
        assert!(matches!(
            verify::record(record.view()),
            Err(VerifyError::KeySchedule(KeyScheduleError::Entry { .. }))
        ));
    }

    #[test]
    fn other_kinds_may_be_signed_by_anybody() {
        let record = RecordBuilder::new(Kind::CHAT_MESSAGE, key(MASTER).public())
            .sign(&key(9))
            .unwrap();
        check(&record, Ok(()));
    }
}
