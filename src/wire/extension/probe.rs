//! PROBE REQUEST, PROBE STATUS and PROBE RESULT: a server asks another to dial it back.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use super::{Body, fields, text_enum::text_enum};
use crate::wire::{
    hash::Hash64,
    key::{PublicKey, Signature},
    time::Timestamp,
    url::Transport,
};

/// A random number that is used once: whoever shows it was told it by its maker, or dialed where
/// its maker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// The nonce of those bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A new one, from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// BLAKE3 of the nonce, 32 bytes: it shows that the nonce was seen, without telling it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
}

impl Serialize for Nonce {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(
            ByteArray::<16>::deserialize(deserializer)?.into_array(),
        ))
    }
}

text_enum! {
    /// Who dials back, and where.
    ProbeMode {
        /// The server that is asked dials the listener.
        Direct = "direct",
        /// A third server, chosen by the one that is asked, dials the listener.
        Cold = "cold",
        /// The server that is asked dials a fresh port from which nothing was ever sent.
        Canary = "canary",
    }
}

text_enum! {
    /// What is dialed back: the transports that can be tested.
    ProbeTransport {
        /// QUIC over UDP; what an absent `transport` stands for.
        Quic = "quic",
        /// TLS over TCP.
        Tcp = "tcp",
    }
}

impl ProbeTransport {
    /// The transport as URLs name it.
    #[must_use]
    pub const fn transport(self) -> Transport {
        match self {
            Self::Quic => Transport::Quic,
            Self::Tcp => Transport::Tcp,
        }
    }

    const fn is_quic(&self) -> bool {
        matches!(self, Self::Quic)
    }
}

#[expect(clippy::derivable_impls, reason = "the macro writes the enumeration")]
impl Default for ProbeTransport {
    fn default() -> Self {
        Self::Quic
    }
}

/// 0x42 PROBE REQUEST: asks a server to dial the asker back, at the address that its connection
/// was seen to come from. There is no address in it to dial.
///
/// # Source
/// `extensions.md`; `transport`, `asked` and `avoid` are further optional keys, for TCP listeners
/// and for cold probes (docs/SPEC_NOTES.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// What the dialer has to show at the listener.
    pub nonce: Nonce,
    /// The port to dial.
    pub port: u16,
    /// Who dials, and where.
    pub mode: ProbeMode,
    /// The source address that the asker believes it has; for diagnosis alone.
    #[serde(
        rename = "self",
        default,
        skip_serializing_if = "Option::is_none",
        with = "fields::optional_address"
    )]
    pub own: Option<SocketAddr>,
    /// Bytes without a meaning: what the answer costs the asker.
    #[serde(default)]
    pub pad: ByteBuf,
    /// The transport to dial.
    #[serde(default, skip_serializing_if = "ProbeTransport::is_quic")]
    pub transport: ProbeTransport,
    /// The asker's signature of [`asked_hash`](Self::asked_hash), which a cold probe needs: the
    /// third server takes nobody's word but the asker's.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "fields::optional_signature"
    )]
    pub asked: Option<Signature>,
    /// Servers that would not be cold, because the asker spoke with them a short while ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<ByteArray<32>>,
}

impl ProbeRequest {
    /// What the asker of a cold probe signs: that it asks `prober` to have it dialed at `port`.
    #[must_use]
    pub fn asked_hash(
        prober: &PublicKey,
        nonce: &Nonce,
        port: u16,
        transport: ProbeTransport,
    ) -> Hash64 {
        let parts: [&[u8]; 5] = [
            ASKED_DOMAIN,
            prober.as_bytes(),
            nonce.as_bytes(),
            &port.to_le_bytes(),
            transport.name().as_bytes(),
        ];
        Hash64::of(&parts.concat())
    }
}

impl Body for ProbeRequest {
    const KIND: u8 = 0x42;
}

text_enum! {
    /// Whether a probe is made, and why not.
    ProbeCode {
        /// It is made; PROBE RESULT follows.
        Accepted = "accepted",
        /// The asker, or everybody together, asked too often.
        RateLimited = "rate-limited",
        /// Too many probes are under way.
        Busy = "busy",
        /// The server has no address of that family, or does not speak that transport.
        NoFamily = "no-family",
        /// The asker's address is not one of the public Internet.
        NotGlobal = "not-global",
        /// Asker and server are neighbours: the probe would show nothing.
        SameNetwork = "same-network",
        /// That port is not dialed.
        PortRefused = "port-refused",
        /// The server knows no third server that could dial.
        NoHelper = "no-helper",
        /// The request has to be longer: `cost` bytes of `pad`.
        CostRequired = "cost-required",
    }
}

/// 0xC2 PROBE STATUS: whether a probe is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeStatus {
    /// Whether it is made, and why not.
    pub code: ProbeCode,
    /// The asker's address as the server sees it.
    #[serde(with = "fields::address_as_text")]
    pub observed: SocketAddr,
    /// Bytes of `pad` that are demanded, with [`ProbeCode::CostRequired`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// The server's clock.
    #[serde(with = "fields::time_as_nanos")]
    pub now: Timestamp,
}

impl Body for ProbeStatus {
    const KIND: u8 = 0xC2;
}

text_enum! {
    /// How a dial-back ended.
    ProbeOutcome {
        /// The listener took the nonce.
        Ok = "ok",
        /// Nothing came back in time.
        NoResponse = "no-response",
        /// The network said that there is no way.
        Unreachable = "unreachable",
        /// Somebody else listens there.
        WrongKey = "wrong-key",
        /// The right key listens there, and does not know the nonce.
        NonceRejected = "nonce-rejected",
        /// What listens there does not speak the protocol.
        ProtocolError = "protocol-error",
        /// The dialer itself failed; says nothing about the asker.
        LocalError = "local-error",
    }
}

/// 0xC3 PROBE RESULT: how the dial-back ended. Follows PROBE STATUS, and VOUCHER STATUS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// How it ended.
    pub outcome: ProbeOutcome,
    /// Whether the dialer completed another handshake in this family a short while ago: without
    /// it, silence says nothing about the asker.
    pub control_ok: bool,
    /// The key of whoever dialed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "fields::optional_key"
    )]
    pub dialer: Option<PublicKey>,
    /// The address from which it dialed, as far as it is known.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "fields::optional_ip"
    )]
    pub dialer_ip: Option<IpAddr>,
    /// The server's signature of [`signed_hash`](Self::signed_hash): a receipt.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "fields::optional_signature"
    )]
    pub signature: Option<Signature>,
}

impl ProbeResult {
    /// What the server signs: that the probe with `nonce` ended like this.
    #[must_use]
    pub fn signed_hash(&self, nonce: &Nonce) -> Hash64 {
        let dialer = self.dialer.map(|key| *key.as_bytes()).unwrap_or_default();
        let parts: [&[u8]; 5] = [
            RESULT_DOMAIN,
            nonce.as_bytes(),
            &dialer,
            &[u8::from(self.control_ok)],
            self.outcome.name().as_bytes(),
        ];
        Hash64::of(&parts.concat())
    }
}

impl Body for ProbeResult {
    const KIND: u8 = 0xC3;
}

/// Longer than a key, which is how what is signed of a record begins: no signature of one is ever
/// one of the other.
const ASKED_DOMAIN: &[u8] = b"mosaicd extension 1: PROBE REQUEST, asked\0";

const RESULT_DOMAIN: &[u8] = b"mosaicd extension 1: PROBE RESULT, receipt\0";
