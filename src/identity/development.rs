//! The identities of `certs/`, whose keys everybody has.

use std::sync::LazyLock;

use crate::wire::{PublicKey, SecretKey};

/// Whether `key` is one of the development identities in `certs/`. Their secret keys are public:
/// they prove nothing, and a server must not show one beyond its own machine.
#[must_use]
pub fn is_development_key(key: &PublicKey) -> bool {
    DEVELOPMENT_KEYS.contains(key)
}

static DEVELOPMENT_KEYS: LazyLock<[PublicKey; 2]> =
    LazyLock::new(|| DEVELOPMENT_SEEDS.map(|seed| SecretKey::from_seed(*seed).public()));

/// Each seed says what it is.
const DEVELOPMENT_SEEDS: [&[u8; 32]; 2] = [
    b"mosaicd development only, server",
    b"mosaicd development only, client",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_in_certs_are_the_ones_that_are_refused() {
        let files = [
            include_str!("../../certs/DEVELOPMENT-ONLY-server.key"),
            include_str!("../../certs/DEVELOPMENT-ONLY-client.key"),
        ];
        for (file, seed) in files.into_iter().zip(DEVELOPMENT_SEEDS) {
            assert!(file.starts_with("# DEVELOPMENT ONLY"), "{file}");
            let key: SecretKey = file.lines().next_back().unwrap().parse().unwrap();
            assert_eq!(key.seed(), seed);
            assert!(is_development_key(&key.public()));
            assert!(file.contains(&key.public().to_string()), "{file}");
        }
        assert!(!is_development_key(&SecretKey::generate().public()));
    }
}
