//! Which requests and vouchers are carried out, as far as they tell by themselves: pure functions.
//!
//! Cheap checks come first. What is counted over time is [`Quotas`](super::quotas::Quotas)'.

use std::net::IpAddr;

use super::Asker;
use crate::base::limits;
use crate::client;
use crate::reach::address::{self, Netgroup};
use crate::reach::timing::Timing;
use crate::wire::{
    Body, BodyRefusal, ProbeCode, ProbeMode, ProbeRequest, PublicKey, ResultCode, Timestamp,
    Voucher,
};

/// Why a request or voucher is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// It is not allowed, or not now.
    Code(ProbeCode),
    /// It needs that many bytes of padding.
    Cost(usize),
    /// The sender proved no key, so nobody could be expected at the listener, or be believed.
    Anonymous,
    /// It is not what it should be; the text says why.
    Invalid(&'static str),
}

impl Denial {
    /// The refusal that is no status.
    pub(super) fn refusal(self) -> Option<BodyRefusal> {
        let (result, why) = match self {
            Self::Anonymous => (ResultCode::RequiresAuthentication, "sign in first"),
            Self::Invalid(why) => (ResultCode::Invalid, why),
            Self::Code(_) | Self::Cost(_) => return None,
        };
        let why = why.to_owned();
        Some(BodyRefusal { result, why })
    }

    /// The status, with the cost where that is the reason.
    pub(super) fn status(self) -> (ProbeCode, Option<u32>) {
        match self {
            Self::Cost(bytes) => (ProbeCode::CostRequired, u32::try_from(bytes).ok()),
            Self::Code(code) => (code, None),
            Self::Anonymous | Self::Invalid(_) => (ProbeCode::Busy, None),
        }
    }
}

/// Which addresses are dialed.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressRules {
    is_global: fn(IpAddr) -> bool,
}

impl AddressRules {
    /// Those of the IANA registries.
    pub(super) const fn iana() -> Self {
        Self {
            is_global: address::is_global,
        }
    }

    /// Those of a world inside `127.0.0.0/8`, whose networks are /16s: real hosts on one machine.
    #[cfg(test)]
    pub(super) const fn loopback() -> Self {
        Self {
            is_global: |ip| ip.is_loopback(),
        }
    }

    pub(super) fn is_global(self, ip: IpAddr) -> bool {
        (self.is_global)(ip)
    }

    /// Whether `target` may be dialed from `own`, the address that this machine has towards it.
    pub(super) fn may_dial(self, target: IpAddr, own: Option<IpAddr>) -> Result<(), Denial> {
        if !self.is_global(target) {
            return Err(Denial::Code(ProbeCode::NotGlobal));
        }
        let Some(own) = own else { return Ok(()) };
        if own.is_ipv4() != target.is_ipv4() {
            return Err(Denial::Code(ProbeCode::NoFamily));
        }
        if Netgroup::of(own) == Netgroup::of(target) {
            return Err(Denial::Code(ProbeCode::SameNetwork));
        }
        Ok(())
    }
}

/// Whether a PROBE REQUEST may be carried out; the key that is to be expected at the listener.
pub(super) fn probe(
    rules: AddressRules,
    asker: &Asker,
    request: &ProbeRequest,
) -> Result<PublicKey, Denial> {
    let key = asker.key.ok_or(Denial::Anonymous)?;
    rules.may_dial(asker.remote.ip(), asker.local_ip)?;
    port(request.port)?;
    if request.avoid.len() > limits::PROBE_AVOID_MAX {
        return Err(Denial::Invalid("avoid is too long"));
    }
    match request.mode {
        ProbeMode::Cold => {
            pad(request.pad.len(), limits::PROBE_COLD_COST_BYTES)?;
            if request.asked.is_none() {
                return Err(Denial::Invalid("a cold probe needs asked"));
            }
        }
        ProbeMode::Direct | ProbeMode::Canary => {
            // The whole request counts; what is asked for is padding enough for the shortest one.
            let cost = limits::PROBE_REQUEST_MIN_BYTES;
            if request.pad.len() < cost && request.encode(0).len() < cost {
                return Err(Denial::Cost(cost));
            }
        }
    }
    Ok(key)
}

/// Whether the asker of a cold probe signed that it asks `prober`, which is this server.
pub(super) fn asked(
    prober: &PublicKey,
    asker: &PublicKey,
    request: &ProbeRequest,
) -> Result<(), Denial> {
    let hash = ProbeRequest::asked_hash(prober, &request.nonce, request.port, request.transport);
    let signature = request.asked.as_ref().map(|asked| asked.as_bytes());
    signature
        .filter(|signature| client::signature(asker, &hash, signature).is_ok())
        .map(|_| ())
        .ok_or(FORGED)
}

/// What a voucher is judged by beside itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vouching<'a> {
    /// Who sent it.
    pub(super) peer: &'a Asker,
    /// Whether the operator vouches for the sender.
    pub(super) is_pinned: bool,
    /// The time here.
    pub(super) now: Timestamp,
}

/// Whether a voucher may be carried out, its signatures aside; the sender's key.
pub(super) fn voucher(
    rules: AddressRules,
    vouching: Vouching<'_>,
    voucher: &Voucher,
) -> Result<PublicKey, Denial> {
    let key = vouching.peer.key.ok_or(Denial::Anonymous)?;
    let (ip, peer) = (voucher.ip, vouching.peer.remote.ip());
    let own = vouching.peer.local_ip;
    rules.may_dial(ip, own.filter(|own| own.is_ipv4() == ip.is_ipv4()))?;
    // A prober does not test its neighbours; and one that is to be dialed itself can ask itself.
    if ip.is_ipv4() == peer.is_ipv4() && Netgroup::of(ip) == Netgroup::of(peer) {
        return Err(Denial::Code(ProbeCode::SameNetwork));
    }
    if voucher.server == key {
        return Err(Denial::Invalid("nobody vouches for itself"));
    }
    port(voucher.port)?;
    in_time(voucher, vouching.now)?;
    let cost = if vouching.is_pinned {
        limits::PROBE_COLD_COST_BYTES
    } else {
        limits::VOUCHER_COST_BYTES
    };
    pad(voucher.pad.len(), cost)?;
    Ok(key)
}

/// Whether both signatures of a voucher that `prober` sent are right.
pub(super) fn voucher_signatures(prober: &PublicKey, voucher: &Voucher) -> Result<(), Denial> {
    let hash = ProbeRequest::asked_hash(prober, &voucher.nonce, voucher.port, voucher.transport);
    client::signature(prober, &voucher.signed_hash(), voucher.signature.as_bytes())
        .and_then(|()| client::signature(&voucher.server, &hash, voucher.asked.as_bytes()))
        .map_err(|_| FORGED)
}

/// A voucher lives as long as the rules allow that all servers share, in a laboratory too.
fn in_time(voucher: &Voucher, now: Timestamp) -> Result<(), Denial> {
    if voucher.expires < voucher.issued
        || voucher.expires.since(voucher.issued) > Timing::REAL.nonce_ttl()
    {
        return Err(Denial::Invalid("a voucher lives for 30 seconds at most"));
    }
    let tolerance = limits::VOUCHER_CLOCK_TOLERANCE;
    if now > voucher.expires.saturating_add(tolerance) {
        return Err(Denial::Invalid("the voucher has expired"));
    }
    if voucher.issued > now.saturating_add(tolerance) {
        return Err(Denial::Invalid("the voucher is from the future"));
    }
    Ok(())
}

/// Ports of ordinary services below 1024 are nobody's listener, but for the one that QUIC shares
/// with the web.
const fn port(port: u16) -> Result<(), Denial> {
    match port {
        443 | 1024.. => Ok(()),
        _ => Err(Denial::Code(ProbeCode::PortRefused)),
    }
}

const fn pad(bytes: usize, cost_bytes: usize) -> Result<(), Denial> {
    if bytes < cost_bytes {
        return Err(Denial::Cost(cost_bytes));
    }
    Ok(())
}

const FORGED: Denial = Denial::Invalid("a signature is wrong");
