//! Who we are and who they are: keys, the certificates that carry them through TLS, and the key
//! schedules that say for whom a key speaks.
//!
//! A certificate is only the wrapping of a key. Nobody issues it; its names and dates mean
//! nothing; `certs/README.md` explains that to people.

mod certificate;
mod channel;
mod der;
mod development;
mod endpoint;
mod error;
pub mod key_file;
mod own;
mod peer;
mod schedules;
mod tls;
mod trial;

#[cfg(test)]
mod certificate_tests;
#[cfg(test)]
mod key_file_tests;
#[cfg(test)]
mod schedules_tests;

pub use certificate::CertificateFault;
pub use channel::{Channel, ChannelError};
pub use development::is_development_key;
pub use error::IdentityError;
pub use own::{Identity, ServerTrust, client_crypto, client_tls};
pub use peer::{Peer, PeerKey, peer_of, peer_of_chain};
pub use schedules::{Directory, ScheduleSource, Standing};
pub use trial::{EarlyDataOffer, Trial, trial_tls};

/// What a client checks records and single signatures with: their makers are peers as well.
pub use crate::verify::{Verifier, VerifyError, signature};

/// The name a client connects to (SNI) and the only name in our certificates. It says nothing
/// about who the server is.
pub const TLS_NAME: &str = "mosaic";

/// The application protocol that both sides must agree on (ALPN).
pub const ALPN: &[u8] = b"mosaic";
