//! Why a record or a signature is refused.

use thiserror::Error;

use crate::wire::KeyScheduleError;

/// Why a record or a signature is not valid. All of it is the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The ID does not begin with the hash of the signed bytes.
    #[error("id is not the hash of the record")]
    HashMismatch,
    /// The author's or the signer's key encodes no point of the curve.
    #[error("key is not a point of the curve")]
    KeyOffCurve,
    /// S is not below the order of the base point.
    #[error("scalar of the signature is out of range")]
    ScalarOutOfRange,
    /// R is not canonically encoded, or encodes no point of the curve.
    #[error("point of the signature is not canonical")]
    PointNotCanonical,
    /// Everything is well-formed, but the equation does not hold.
    #[error("signature is wrong")]
    WrongSignature,
    /// A key schedule or profile that another key than its author's signed.
    #[error("kind must be signed by its author's master key")]
    NotSignedByMaster,
    /// A key schedule that does not follow its format.
    #[error("key schedule is malformed")]
    KeySchedule(#[from] KeyScheduleError),
    /// A key schedule lists a subkey that did not attest its master.
    #[error("subkey attestation is wrong")]
    WrongAttestation,
}
