//! Keys that belong to nobody, for signatures that would give a user's key away.

use crate::wire::SecretKey;

/// A key for one check alone. It is made nowhere but here, so no user's key can be in its place.
pub(super) struct MadeUpKey(SecretKey);

/// A new key that nobody has.
pub(super) fn made_up() -> MadeUpKey {
    MadeUpKey(SecretKey::generate())
}

impl MadeUpKey {
    pub(super) const fn secret(&self) -> &SecretKey {
        &self.0
    }
}
