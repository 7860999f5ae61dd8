//! The signature rule against crafted input: every way in which libraries are known to differ.
//!
//! The rows follow the paper "Taming the many EdDSAs" (2020), made anew for Ed25519ph with a
//! context: the table in `speed.md` section 3.1.

use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{Identity, IsIdentity},
};
use proptest::prelude::*;

use super::{
    Verifier, VerifyError, batch,
    equation::{self, Claim, Encoded},
    signature,
    testing::{
        Forgery, challenge, joined, key, key_off_curve, record_bytes, sealed, small, valid_record,
        with_scalar_plus_order, with_wrong_signature,
    },
};
use crate::wire::{Hash64, PublicKey, Record, testing as vectors};

/// A signature over `hash` by the key of these bytes.
#[derive(Clone, Copy)]
struct Row {
    key: [u8; 32],
    hash: Hash64,
    signature: [u8; 64],
}

impl Row {
    /// Alone, and in the middle of a batch of good ones: the two must agree.
    fn is_accepted(&self) -> bool {
        let Ok(key) = PublicKey::from_bytes(&self.key) else {
            return false;
        };
        let alone = signature(&key, &self.hash, &self.signature).is_ok();
        assert_eq!(alone, self.is_accepted_in_a_batch(key));
        alone
    }

    fn is_accepted_in_a_batch(&self, key: PublicKey) -> bool {
        let Ok(encoded) = Encoded::new(&self.signature) else {
            return false;
        };
        let claim =
            equation::key_point(&key).and_then(|point| Claim::new(key, point, &self.hash, encoded));
        let Ok(claim) = claim else {
            return false;
        };
        let [before, after] = [good_claim(1), good_claim(2)];
        assert!(equation::all_hold(&[&before, &after]));
        equation::all_hold(&[&before, &claim, &after])
    }

    /// R, k·A and S·B, whatever the encodings; k over the bytes as they are.
    fn terms(&self) -> (EdwardsPoint, EdwardsPoint, EdwardsPoint) {
        let nonce: [u8; 32] = self.signature[..32].try_into().unwrap();
        let scalar: [u8; 32] = self.signature[32..].try_into().unwrap();
        let k = challenge(&nonce, &self.key, &self.hash);
        (
            point(&nonce),
            k * point(&self.key),
            Scalar::from_bytes_mod_order(scalar) * ED25519_BASEPOINT_POINT,
        )
    }

    fn holds_without_cofactor(&self) -> bool {
        let (r, ka, sb) = self.terms();
        sb == r + ka
    }

    fn holds_with_cofactor(&self) -> bool {
        let (r, ka, sb) = self.terms();
        (sb - r - ka).mul_by_cofactor().is_identity()
    }

    /// The mistake of taking 8·k modulo L before multiplying A with it.
    fn holds_with_reduced_cofactor(&self) -> bool {
        let (r, _, sb) = self.terms();
        let nonce: [u8; 32] = self.signature[..32].try_into().unwrap();
        let eight_k = Scalar::from(8_u8) * challenge(&nonce, &self.key, &self.hash);
        sb.mul_by_cofactor() == r.mul_by_cofactor() + eight_k * point(&self.key)
    }
}

fn good_claim(seed: u64) -> Claim {
    let signer = key(seed);
    let hash = Hash64::of(&seed.to_le_bytes());
    let encoded = Encoded::new(signer.sign(&hash).as_bytes()).unwrap();
    let point = equation::key_point(&signer.public()).unwrap();
    Claim::new(signer.public(), point, &hash, encoded).unwrap()
}

fn point(bytes: &[u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(*bytes).decompress().unwrap()
}

fn hash_of(number: u64) -> Hash64 {
    Hash64::of(&number.to_be_bytes())
}

/// The row of the first message for which `wanted` holds.
fn search(make: impl Fn(Hash64) -> Row, wanted: impl Fn(&Row) -> bool) -> Row {
    (0..1_000)
        .map(|number| make(hash_of(number)))
        .find(wanted)
        .expect("one message in 8 or so will do")
}

/// A signature by `forgery` over a message for which `wanted` holds.
fn forged(forgery: Forgery, wanted: impl Fn(&Row) -> bool) -> Row {
    let make = |hash| Row {
        key: forgery.key_bytes(),
        signature: forgery.sign(&hash),
        hash,
    };
    search(make, wanted)
}

/// A key whose point is of small order alone.
fn small_order_key(torsion: usize, seed: u64, nonce_torsion: usize) -> Forgery {
    Forgery {
        key_scalar: Scalar::ZERO,
        ..Forgery::new(seed, torsion, nonce_torsion)
    }
}

/// R of small order alone.
fn small_order_nonce(forgery: Forgery) -> Forgery {
    Forgery {
        nonce_scalar: Scalar::ZERO,
        ..forgery
    }
}

/// Encodings of points of small order that are not the canonical ones, from the paper's table.
fn non_canonical_small_order() -> Vec<[u8; 32]> {
    let mut all = vec![with_sign(small(1))];
    for low in [0xec, 0xed, 0xee] {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        all.push(bytes);
        if low != 0xec {
            bytes[31] = 0x7f;
            all.push(bytes);
        }
    }
    assert_eq!(all.len(), 6);
    all
}

fn with_sign(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] |= 0x80;
    bytes
}

/// Rows 8 and 9: R in a non-canonical encoding of small order; k over it as it is, or reduced.
fn non_canonical_nonce(reduced: bool) -> Row {
    let forgery = Forgery {
        nonce_scalar: Scalar::ZERO,
        ..Forgery::new(8, 3, 0)
    };
    let nonce = non_canonical_small_order()[0];
    let hashed = if reduced {
        point(&nonce).compress().0
    } else {
        nonce
    };
    let make = |hash| Row {
        key: forgery.key_bytes(),
        signature: forgery.sign_with(&nonce, challenge(&hashed, &forgery.key_bytes(), &hash)),
        hash,
    };
    search(make, |row| reduced || row.holds_with_cofactor())
}

/// Rows 10 and 11: A likewise.
fn non_canonical_key(reduced: bool) -> Row {
    let forgery = small_order_key(0, 10, 1);
    let key = non_canonical_small_order()[0];
    let hashed = if reduced {
        point(&key).compress().0
    } else {
        key
    };
    let nonce = forgery.nonce_point().compress().0;
    let make = |hash| Row {
        key,
        signature: forgery.sign_with(&nonce, challenge(&nonce, &hashed, &hash)),
        hash,
    };
    search(make, |row| reduced || row.holds_with_cofactor())
}

#[test]
fn the_twelve_rows_are_judged_as_mosaic_demands() {
    let plain = Forgery::new(6, 0, 0);
    let hash = hash_of(6);
    let good = plain.sign(&hash);
    let with_order = |times| Row {
        key: plain.key_bytes(),
        hash,
        signature: with_scalar_plus_order(&good, times),
    };
    let both = Row::holds_without_cofactor;
    let only_with_cofactor = |row: &Row| !row.holds_without_cofactor();
    let rows = [
        // S = 0, A and R of small order.
        forged(small_order_nonce(small_order_key(1, 0, 2)), both),
        // A of small order.
        forged(small_order_key(1, 1, 2), both),
        // R of small order, A mixed.
        forged(small_order_nonce(Forgery::new(2, 1, 2)), both),
        // A and R mixed; the equation holds in either form.
        forged(Forgery::new(3, 1, 2), both),
        // A and R mixed; only with the cofactor.
        forged(Forgery::new(4, 1, 2), only_with_cofactor),
        // A mixed; only if 8·k is not reduced first.
        forged(Forgery::new(5, 1, 0), |row| {
            !row.holds_without_cofactor() && !row.holds_with_reduced_cofactor()
        }),
        // S + L, and S far above L.
        with_order(1),
        with_order(14),
        non_canonical_nonce(true),
        non_canonical_nonce(false),
        non_canonical_key(true),
        non_canonical_key(false),
    ];
    for (number, row) in rows.iter().enumerate() {
        if ![8, 10].contains(&number) {
            assert!(
                row.holds_with_cofactor(),
                "row {number} is not what it says"
            );
        }
    }
    let verdicts: String = rows
        .iter()
        .map(|row| if row.is_accepted() { 'V' } else { 'X' })
        .collect();
    assert_eq!(verdicts, "XXVVVVXXXXXX");
}

#[test]
fn every_small_component_in_key_and_nonce_is_accepted() {
    for key_torsion in 0..8 {
        for nonce_torsion in 0..8 {
            let row = forged(Forgery::new(20, key_torsion, nonce_torsion), |_| true);
            assert!(row.is_accepted(), "{key_torsion} {nonce_torsion}");
            let nonce_alone = small_order_nonce(Forgery::new(21, key_torsion, nonce_torsion));
            assert!(forged(nonce_alone, |_| true).is_accepted());
        }
    }
}

#[test]
fn a_torsion_component_does_not_excuse_a_wrong_signature() {
    for key_torsion in 0..8 {
        let mut row = forged(Forgery::new(22, key_torsion, 3), |_| true);
        row.hash = hash_of(99);
        assert!(!row.is_accepted(), "{key_torsion}");
    }
}

#[test]
fn keys_of_small_order_are_refused_in_every_encoding() {
    let canonical = EIGHT_TORSION.map(|point| point.compress().0);
    for bytes in canonical.into_iter().chain(non_canonical_small_order()) {
        // With S = 0 and R = -k·A, any such key signs one message in 8.
        let nonce = EdwardsPoint::identity().compress().0;
        let make = |hash| Row {
            key: bytes,
            hash,
            signature: joined(&nonce, &[0; 32]),
        };
        let row = search(make, Row::holds_without_cofactor);
        assert!(!row.is_accepted(), "{bytes:02x?}");
    }
}

#[test]
fn a_nonce_is_read_in_its_canonical_encoding_only() {
    let canonical = EIGHT_TORSION.map(|point| point.compress().0);
    for bytes in canonical {
        assert!(
            Encoded::new(&joined(&bytes, &[0; 32])).is_ok(),
            "{bytes:02x?}"
        );
    }
    let above_p = (0xed..=0xff).flat_map(|low| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        [bytes, with_sign(bytes)]
    });
    for bytes in above_p.chain(non_canonical_small_order()) {
        assert_eq!(
            Encoded::new(&joined(&bytes, &[0; 32])).err(),
            Some(VerifyError::PointNotCanonical),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn byte_checks_say_what_compressing_again_would() {
    let edges = (0..=0xff_u8).flat_map(|low| {
        let mut high = [0xff; 32];
        (high[0], high[31]) = (low, 0x7f);
        [small(low), with_sign(small(low)), high, with_sign(high)]
    });
    let random = (0..500).map(|n| *hash_of(n).as_bytes().first_chunk().unwrap());
    for bytes in edges.chain(random) {
        let Some(point) = CompressedEdwardsY(bytes).decompress() else {
            continue;
        };
        let canonical = point.compress().0 == bytes;
        let signature = joined(&bytes, &[0; 32]);
        assert_eq!(Encoded::new(&signature).is_ok(), canonical, "{bytes:02x?}");
    }
}

#[test]
fn points_off_the_curve_are_refused() {
    let bad = key_off_curve();
    let hash = hash_of(0);
    let good = key(0).sign(&hash);
    assert_eq!(
        signature(&bad, &hash, good.as_bytes()),
        Err(VerifyError::KeyOffCurve)
    );
    let nonce_off_curve = joined(bad.as_bytes(), &[0; 32]);
    assert_eq!(
        signature(&key(0).public(), &hash, &nonce_off_curve),
        Err(VerifyError::PointNotCanonical)
    );
}

#[test]
fn an_author_off_the_curve_is_refused_though_another_signed() {
    let signer = key(7);
    let mut bytes = record_bytes(7);
    bytes[64..96].copy_from_slice(key_off_curve().as_bytes());
    let record = sealed(bytes, |hash| *signer.sign(hash).as_bytes());
    assert_eq!(super::record(record.view()), Err(VerifyError::KeyOffCurve));
}

#[test]
fn an_id_that_is_not_the_hash_is_refused() {
    for at in 8..48 {
        let mut bytes = record_bytes(8);
        bytes[at] ^= 0x80;
        let record = Record::parse(bytes.into()).unwrap();
        let verdict = super::record(record.view());
        assert_eq!(verdict, Err(VerifyError::HashMismatch), "byte {at}");
    }
}

#[test]
fn the_reference_records_are_valid_and_the_broken_ones_are_not() {
    let vectors = vectors::vectors();
    let records: Vec<Record> = vectors["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| Record::parse(vectors::bytes(&entry["hex"]).into()).unwrap())
        .collect();
    let views: Vec<_> = records.iter().map(Record::view).collect();
    for (number, (view, verdict)) in views.iter().zip(batch(&views)).enumerate() {
        let expected = match number {
            // The payload of the reference's key schedules is not a key schedule's.
            1 | 13 => matches!(verdict, Err(VerifyError::KeySchedule(_))),
            14 => verdict == Err(VerifyError::NotSignedByMaster),
            _ => verdict == Ok(()),
        };
        assert!(expected, "record {number}: {verdict:?}");
        assert_eq!(super::record(*view), verdict, "record {number}");
    }
    for entry in vectors["invalid_records"].as_array().unwrap() {
        let parsed = Record::parse(vectors::bytes(&entry["hex"]).into());
        let accepted = parsed.is_ok_and(|record| super::record(record.view()).is_ok());
        assert!(!accepted, "{}", entry["why"]);
    }
}

#[test]
fn keys_are_remembered_only_after_they_signed_well() {
    let mut verifier = Verifier::new(16);
    let bad = with_wrong_signature(&valid_record(30, "bad"));
    let good = valid_record(31, "good");
    let verdicts = verifier.batch(&[bad.view(), good.view()]);
    assert_eq!(verdicts, [Err(VerifyError::WrongSignature), Ok(())]);
    assert!(!verifier.remembers(&key(30).public()));
    assert!(verifier.remembers(&key(31).public()));
    assert_eq!(verifier.record(good.view()), Ok(()));
}

/// One record of a mixed batch: valid, crafted but valid, or broken in one of many ways.
fn any_record() -> impl Strategy<Value = Record> {
    (0..12_u8, 0..6_u64, 0..8_usize, 0..8_usize).prop_map(|(sort, seed, torsion, other)| {
        let forgery = Forgery::new(seed, torsion, other);
        match sort {
            0..=3 => valid_record(seed, "ordinary"),
            4 => forgery.record(seed),
            5 => small_order_nonce(forgery).record(seed),
            6 => with_wrong_signature(&valid_record(seed, "wrong S")),
            7 => with_wrong_signature(&forgery.record(seed)),
            8 => sealed(record_bytes(seed), |hash| {
                with_scalar_plus_order(key(seed).sign(hash).as_bytes(), 1)
            }),
            9 => sealed(record_bytes(seed), |hash| {
                let mut signature = *key(seed).sign(hash).as_bytes();
                signature[..32].copy_from_slice(&non_canonical_small_order()[torsion % 6]);
                signature
            }),
            10 => sealed(record_bytes(seed), |hash| {
                *key(seed + 1).sign(hash).as_bytes()
            }),
            _ => Forgery::new(seed, 0, other).record(seed),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_answers_as_its_records_alone_do(records in prop::collection::vec(any_record(), 0..24)) {
        let views: Vec<_> = records.iter().map(Record::view).collect();
        let alone: Vec<_> = views.iter().map(|view| super::record(*view)).collect();
        prop_assert_eq!(&batch(&views), &alone);

        // With keys remembered from before, and in batches of the good ones alone.
        let mut verifier = Verifier::new(8);
        for _ in 0..2 {
            prop_assert_eq!(&verifier.batch(&views), &alone);
        }
        let good: Vec<_> = views.iter().zip(&alone).filter(|(_, verdict)| verdict.is_ok()).map(|(view, _)| *view).collect();
        prop_assert!(verifier.batch(&good).iter().all(Result::is_ok));
    }
}
