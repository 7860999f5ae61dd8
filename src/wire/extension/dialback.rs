//! DIALBACK and DIALBACK ACK: what is said at the listener that is tested.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{Body, Nonce, ProbeMode, fields};

/// 0x44 DIALBACK: shows a nonce at the listener that is tested.
///
/// # Source
/// `extensions.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialback {
    /// The nonce of the PROBE REQUEST.
    pub nonce: Nonce,
    /// The mode of the PROBE REQUEST.
    pub mode: ProbeMode,
    /// The address that was dialed.
    #[serde(with = "fields::address_as_text")]
    pub dialed: SocketAddr,
}

impl Body for Dialback {
    const KIND: u8 = 0x44;
}

/// 0xC5 DIALBACK ACK: the listener knows the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialbackAck {
    /// [`Nonce::hash`] of the nonce.
    pub nonce_hash: ByteArray<32>,
    /// The dialer's address as the listener sees it.
    #[serde(with = "fields::address_as_text")]
    pub from: SocketAddr,
}

impl Body for DialbackAck {
    const KIND: u8 = 0xC5;
}
