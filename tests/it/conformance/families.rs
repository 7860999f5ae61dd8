//! The key schedules that the double knows.

use mosaicd::wire::{KeySchedule, PublicKey, RecordRef, SigningKeyState, Timestamp};

/// The newest schedule of each master.
#[derive(Default)]
pub(super) struct Families(Vec<KeySchedule>);

impl Families {
    pub(super) fn learn(&mut self, record: RecordRef<'_>) {
        let Ok(schedule) = KeySchedule::parse(record) else {
            return;
        };
        self.0.retain(|other| other.master() != schedule.master());
        self.0.push(schedule);
    }

    fn state(&self, key: PublicKey, master: PublicKey) -> Option<SigningKeyState> {
        let schedule = self.0.iter().find(|it| it.master() == master)?;
        schedule.signing_key(&key)
    }

    fn of_signer(&self, record: RecordRef<'_>) -> Option<SigningKeyState> {
        match record.signer() == record.author() {
            true => Some(SigningKeyState::Active),
            false => self.state(record.signer(), record.author()),
        }
    }

    pub(super) fn speaks_for(&self, key: PublicKey, master: PublicKey) -> bool {
        self.state(key, master) == Some(SigningKeyState::Active)
    }

    pub(super) fn lists(&self, key: PublicKey, master: PublicKey) -> bool {
        self.state(key, master).is_some()
    }

    /// Whether the signer is known to be the author's.
    pub(super) fn vouch(&self, record: RecordRef<'_>) -> bool {
        self.of_signer(record).is_some()
    }

    /// Whether a revocation makes the record invalid.
    pub(super) fn is_void(&self, record: RecordRef<'_>, received: Timestamp) -> bool {
        match self.of_signer(record) {
            Some(SigningKeyState::Revoked) => true,
            Some(SigningKeyState::RevokedFrom(from)) => {
                received >= from || record.timestamp() >= from
            }
            _ => false,
        }
    }

    pub(super) fn is_revoked_ever(&self, record: RecordRef<'_>) -> bool {
        let state = self.of_signer(record);
        matches!(
            state,
            Some(SigningKeyState::Revoked | SigningKeyState::RevokedFrom(_))
        )
    }

    /// Whether nothing was ever taken back of the signer.
    pub(super) fn is_in_use(&self, record: RecordRef<'_>) -> bool {
        matches!(self.of_signer(record), None | Some(SigningKeyState::Active))
    }
}
