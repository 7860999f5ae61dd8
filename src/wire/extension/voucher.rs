//! PROBE VOUCHER and VOUCHER STATUS: a prober has a third server dial an asker.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Body, Nonce, ProbeCode, ProbeTransport, fields};
use crate::wire::{
    hash::Hash64,
    key::{PublicKey, Signature},
    time::Timestamp,
};

/// 0x43 PROBE VOUCHER: the sender vouches that `server` asked, from the address `ip`, to be
/// dialed. PROBE RESULT follows VOUCHER STATUS where that accepts.
///
/// # Source
/// `extensions.md`; `transport` and `pad` are further optional keys (docs/SPEC_NOTES.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    /// The server to dial: the key it must hold.
    #[serde(with = "fields::key_as_bin")]
    pub server: PublicKey,
    /// The address to dial, which the sender saw proved.
    #[serde(with = "fields::address_as_text")]
    pub ip: IpAddr,
    /// The port to dial.
    pub port: u16,
    /// What to show at the listener.
    pub nonce: Nonce,
    /// When the voucher was issued.
    #[serde(with = "fields::time_as_nanos")]
    pub issued: Timestamp,
    /// When it expires; at most 30 seconds later.
    #[serde(with = "fields::time_as_nanos")]
    pub expires: Timestamp,
    /// The server's signature of [`asked_hash`](super::ProbeRequest::asked_hash), which names the
    /// sender as prober.
    #[serde(with = "fields::signature_as_bin")]
    pub asked: Signature,
    /// The sender's signature of [`signed_hash`](Self::signed_hash).
    #[serde(with = "fields::signature_as_bin")]
    pub signature: Signature,
    /// The transport to dial.
    #[serde(default)]
    pub transport: ProbeTransport,
    /// Bytes without a meaning: what the dialing costs the sender.
    #[serde(default)]
    pub pad: ByteBuf,
}

impl Voucher {
    /// What the sender signs: everything but the signature itself and the padding.
    #[must_use]
    pub fn signed_hash(&self) -> Hash64 {
        let ip = match self.ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let parts: [&[u8]; 9] = [
            VOUCHER_DOMAIN,
            self.server.as_bytes(),
            &ip,
            &self.port.to_le_bytes(),
            self.nonce.as_bytes(),
            &self.issued.nanos().to_le_bytes(),
            &self.expires.nanos().to_le_bytes(),
            self.asked.as_bytes(),
            self.transport.name().as_bytes(),
        ];
        Hash64::of(&parts.concat())
    }
}

impl Body for Voucher {
    const KIND: u8 = 0x43;
}

/// 0xC4 VOUCHER STATUS: whether the third server dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherStatus {
    /// Whether it does, and why not.
    pub code: ProbeCode,
    /// Bytes of `pad` that are demanded, with [`ProbeCode::CostRequired`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
}

impl Body for VoucherStatus {
    const KIND: u8 = 0xC4;
}

const VOUCHER_DOMAIN: &[u8] = b"mosaicd extension 1: PROBE VOUCHER, sender\0";
