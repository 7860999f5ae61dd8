//! What lets the clients of an earlier process learn at once that it is gone.

use std::sync::Arc;

use quinn::EndpointConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn_proto::HashedConnectionIdGenerator;

use super::own::Identity;

/// Signs stateless resets.
struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0)
            .update(data)
            .finalize_xof()
            .fill(signature_out);
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signed: &[u8; blake3::OUT_LEN] = signature.try_into().map_err(|_| CryptoError)?;
        // Comparing two `Hash` takes the same time wherever they differ.
        if blake3::keyed_hash(&self.0, data) == blake3::Hash::from(*signed) {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

impl Identity {
    /// Settings of an endpoint whose resets a client believes after this process was killed and
    /// another was started with the same key.
    ///
    /// QUIC lets a server that does not know a connection say so, if it can make the token that
    /// belongs to the connection's ID. With keys drawn at each start it could not, and clients
    /// would wait for their idle timeout before they connect again.
    ///
    /// # Source
    /// RFC 9000 section 10.3.
    #[must_use]
    pub fn endpoint_config(&self) -> EndpointConfig {
        let derive = |purpose| blake3::derive_key(purpose, self.secret().seed());
        let [a, b, c, d, e, f, g, h, ..] = derive("mosaicd 2026-11-22 QUIC connection IDs");
        let ids = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let resets = ResetKey(derive("mosaicd 2026-11-22 QUIC stateless resets"));
        let mut config = EndpointConfig::new(Arc::new(resets));
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_key_accepts_what_it_signed_and_nothing_else() {
        let key = ResetKey([1; 32]);
        let mut signature = [0; 32];
        key.sign(b"connection", &mut signature);
        assert!(key.verify(b"connection", &signature).is_ok());
        assert!(key.verify(b"connectioN", &signature).is_err());
        assert!(ResetKey([2; 32]).verify(b"connection", &signature).is_err());
        assert!(key.verify(b"connection", &signature[..31]).is_err());
    }
}
