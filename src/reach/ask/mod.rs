//! Asking a prober to dial back.

use std::net::{IpAddr, SocketAddr};

use serde_bytes::ByteArray;
use tokio::time::{Instant, timeout_at};

use super::address::{canonical, canonical_address};
use super::contacts::Contacts;
use super::endpoint::Prober;
use super::evidence::{ProbeAnswer, ProbeEnd};
use super::service::exchange::{Contacting, Exchange, NoReply, addresses_of, outcome_of};
use super::service::padding;
use super::timing::Timing;
use crate::base::limits;
use crate::client::{RawConnection, ServerTrust, Target};
use crate::wire::{
    Nonce, ProbeCode, ProbeMode, ProbeOutcome, ProbeRequest, ProbeResult, ProbeStatus,
    ProbeTransport, PublicKey, SecretKey,
};

/// One request to one prober.
#[derive(Clone)]
pub struct Ask<'a> {
    /// Whom to ask.
    pub prober: &'a Prober,
    /// This server's key: the one that the dialer will demand of the listener.
    pub identity: &'a SecretKey,
    /// The address to ask from, on a fresh port: the prober dials the address that it sees. The
    /// wildcard of a family leaves the choice to the system, but keeps to that family; `None`
    /// leaves the family open as well.
    pub from: Option<IpAddr>,
    /// What the dialer has to show.
    pub nonce: Nonce,
    /// The port to be dialed.
    pub port: u16,
    /// Who dials, and where.
    pub mode: ProbeMode,
    /// The transport to be dialed; the prober itself is always asked over QUIC.
    pub transport: ProbeTransport,
    /// Servers that would not be cold; those past [`limits::PROBE_AVOID_MAX`] are not named.
    pub avoid: Vec<PublicKey>,
    /// The intervals.
    pub timing: Timing,
    /// Where the prober is noted as contacted, from before the first packet to it until after the last.
    pub contacts: &'a Contacts,
}

/// Asks a prober, and waits for what it has to say; at most [`Timing::exchange`].
///
/// What it says is passed on as it is: whether the nonce came home is for the caller to know.
///
/// # Cancel safety
/// Dropping the future gives up; the prober may dial all the same.
///
/// # Source
/// `extensions.md`; `reachability.md` section (d.4).
pub async fn ask(ask: Ask<'_>) -> ProbeEnd {
    let deadline = Instant::now() + ask.timing.exchange();
    let mut end = ProbeEnd {
        prober_ip: None,
        observed: None,
        answer: ProbeAnswer::NotReached,
    };
    let (connection, contacting) = match timeout_at(deadline, Box::pin(connect(&ask))).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(answer)) => return ProbeEnd { answer, ..end },
        Err(_) => return end,
    };
    end.prober_ip = Some(canonical(connection.remote_address().ip()));
    let talk = Box::pin(talk(&ask, connection, &mut end.observed));
    end.answer = match timeout_at(deadline, talk).await {
        Ok(Ok(answer)) => answer,
        // A refusal that is no status names no reason that could be acted on.
        Ok(Err(NoReply::Refused(_) | NoReply::Broken)) | Err(_) => ProbeAnswer::Unusable,
    };
    drop(contacting);
    end
}

/// A connection to one of the prober's addresses, tried one after the other.
async fn connect<'a>(ask: &Ask<'a>) -> Result<(RawConnection, Contacting<'a>), ProbeAnswer> {
    let is_family = |at: SocketAddr| ask.from.is_none_or(|from| from.is_ipv4() == at.is_ipv4());
    let mut answer = ProbeAnswer::NotReached;
    for address in addresses_of(ask.prober, is_family).await {
        let contacting = Contacting::begin(ask.contacts, address.ip());
        let target = Target::from((address, ServerTrust::Exact(ask.prober.key)));
        let identity = Some(ask.identity);
        let dialing = RawConnection::connect_from(&target, identity, ask.from, ask.timing.dial());
        match dialing.await {
            Ok(connection) => return Ok((connection, contacting)),
            Err(error) if outcome_of(&error) == ProbeOutcome::LocalError => {
                answer = ProbeAnswer::LocalError;
            }
            Err(_) => {}
        }
    }
    Err(answer)
}

async fn talk(
    ask: &Ask<'_>,
    connection: RawConnection,
    observed: &mut Option<SocketAddr>,
) -> Result<ProbeAnswer, NoReply> {
    let mut request = request(ask, &connection);
    let mut exchange = Exchange::open(connection).await?;
    for request_id in 1..=TRIES {
        exchange.send(request_id, &request).await?;
        let status: ProbeStatus = exchange.reply(request_id).await?;
        *observed = Some(canonical_address(status.observed));
        match (status.code, status.cost.map(usize::try_from)) {
            (ProbeCode::Accepted, _) => {
                let result: ProbeResult = exchange.reply(request_id).await?;
                return Ok(dialed(&result));
            }
            (ProbeCode::CostRequired, Some(Ok(bytes)))
                if request_id < TRIES && bytes <= limits::VOUCHER_COST_BYTES =>
            {
                request.pad = padding(bytes);
            }
            (code, _) => return Ok(ProbeAnswer::Refused(code)),
        }
    }
    Err(NoReply::Broken)
}

fn request(ask: &Ask<'_>, connection: &RawConnection) -> ProbeRequest {
    let is_cold = ask.mode == ProbeMode::Cold;
    let hash = ProbeRequest::asked_hash(&ask.prober.key, &ask.nonce, ask.port, ask.transport);
    let avoid = ask.avoid.iter().take(limits::PROBE_AVOID_MAX);
    let cost_bytes = if is_cold {
        limits::PROBE_COLD_COST_BYTES
    } else {
        limits::PROBE_REQUEST_MIN_BYTES
    };
    ProbeRequest {
        nonce: ask.nonce,
        port: ask.port,
        mode: ask.mode,
        // The port of the asking socket tells nobody anything.
        own: connection.local_ip().map(|ip| SocketAddr::new(ip, 0)),
        pad: padding(cost_bytes),
        transport: ask.transport,
        asked: is_cold.then(|| ask.identity.sign(&hash)),
        avoid: avoid.map(|key| ByteArray::new(*key.as_bytes())).collect(),
    }
}

fn dialed(result: &ProbeResult) -> ProbeAnswer {
    ProbeAnswer::Dialed {
        outcome: result.outcome,
        control_ok: result.control_ok,
        dialer: result.dialer,
        dialer_ip: result.dialer_ip.map(canonical),
    }
}

/// Once with the padding that is known to be demanded, and once with what is demanded instead.
const TRIES: u16 = 2;

#[cfg(test)]
mod tests;
