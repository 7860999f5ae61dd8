//! The section `[blobs]`: who may leave BLOBs here, who may fetch them, and how large they may be.

use serde::{Deserialize, Serialize};

use super::check::{integer, quoted, refused, word};
use super::error::ConfigError;
use crate::base::limits;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBlobs {
    pub(super) enabled: bool,
    pub(super) submit: String,
    pub(super) read: String,
    pub(super) bytes_max: i64,
    pub(super) user_bytes: i64,
}

impl Default for RawBlobs {
    fn default() -> Self {
        Self {
            enabled: true,
            submit: "users".to_owned(),
            read: "anyone".to_owned(),
            bytes_max: i64::try_from(limits::BLOB_MAX_BYTES).unwrap_or(i64::MAX),
            user_bytes: i64::try_from(limits::BLOB_USER_BYTES).unwrap_or(i64::MAX),
        }
    }
}

/// Who may leave BLOBs here, who may fetch them, and how large they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blobs {
    /// Whether there are BLOBs at all.
    pub enabled: bool,
    /// Who may hand them in.
    pub submit: BlobCircle,
    /// Who may fetch them.
    pub read: BlobCircle,
    /// The largest that is taken.
    pub bytes_max: u64,
    /// What one user may leave here.
    pub user_bytes: u64,
}

/// Whom a right to BLOBs is given to; each circle is within the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlobCircle {
    /// Those who speak for a served user.
    Users,
    /// Those who show a key.
    Authenticated,
    /// Everyone.
    Anyone,
}

impl Blobs {
    /// Checks every value of the section.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value out of its range.
    pub(super) fn check(raw: &RawBlobs) -> Result<Self, ConfigError> {
        let submit = circle("blobs.submit", &raw.submit)?;
        let read = circle("blobs.read", &raw.read)?;
        if submit > read {
            // DUPLICATE would tell those who may not read which BLOBs are there.
            let allowed = format!("no wider than `blobs.read`, which is {}", quoted(&raw.read));
            return Err(refused("blobs.submit", quoted(&raw.submit), allowed));
        }
        Ok(Self {
            enabled: raw.enabled,
            submit,
            read,
            bytes_max: integer("blobs.bytes_max", raw.bytes_max, 1..=LENGTH_MAX)?,
            user_bytes: integer("blobs.user_bytes", raw.user_bytes, 0..=i64::MAX)?,
        })
    }
}

fn circle(key: &'static str, value: &str) -> Result<BlobCircle, ConfigError> {
    let read = |value: &str| match value {
        "users" => Some(BlobCircle::Users),
        "authenticated" => Some(BlobCircle::Authenticated),
        "anyone" => Some(BlobCircle::Anyone),
        _ => None,
    };
    word(key, value, read, "\"users\", \"authenticated\", \"anyone\"")
}

/// What the length of a BLOB message can say: 48 bits.
const LENGTH_MAX: i64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hands_blobs_in_who_may_not_read_them() {
        let circles = ["users", "authenticated", "anyone"];
        for (narrow, submit) in circles.into_iter().enumerate() {
            for (wide, read) in circles.into_iter().enumerate() {
                let raw = RawBlobs {
                    submit: submit.to_owned(),
                    read: read.to_owned(),
                    ..RawBlobs::default()
                };
                let checked = Blobs::check(&raw);
                assert_eq!(checked.is_ok(), narrow <= wide, "{submit}, {read}");
                if let Err(error) = checked {
                    let text = error.to_string();
                    assert!(text.contains("blobs.submit"), "{text}");
                    assert!(text.contains("`blobs.read`"), "{text}");
                }
            }
        }
    }
}
