//! Cold probes: a third server, which the asker did not choose, dials it.

use std::net::{IpAddr, SocketAddr};

use rand::seq::SliceRandom as _;
use serde_bytes::ByteBuf;
use tokio::time::{Instant, timeout_at};

use super::admission::Denial;
use super::dials::Household;
use super::exchange::{Contacting, Exchange, NoReply, addresses_of, keep_few_names};
use super::{Asker, Service, ServiceAnswer, Slot};
use crate::base::limits;
use crate::client;
use crate::reach::address::Netgroup;
use crate::reach::endpoint::Prober;
use crate::wire::{
    Nonce, ProbeCode, ProbeOutcome, ProbeRequest, ProbeResult, PublicKey, Signature, Timestamp,
    Voucher, VoucherStatus,
};

/// A helper that accepted a voucher.
struct Accepted<'a> {
    exchange: Exchange,
    _contacting: Contacting<'a>,
    request_id: u16,
    key: PublicKey,
    ip: IpAddr,
}

impl Service {
    /// Has a third server dial the asker, and holds `_slot` while that takes.
    pub(super) async fn relay(
        &self,
        _slot: Slot<'_>,
        asker: Asker,
        request: &ProbeRequest,
        answer: &(dyn Fn(ServiceAnswer) + Send + Sync),
    ) {
        // The asker stops waiting at the end of the exchange, which began before it asked.
        let deadline = Instant::now() + self.settings.timing.exchange() * 9 / 10;
        let accepted = timeout_at(deadline, self.find_helper(&asker, request)).await;
        let mut accepted = match accepted.unwrap_or(Err(ProbeCode::NoHelper)) {
            Ok(accepted) => accepted,
            Err(code) => return answer(self.denied(Denial::Code(code), asker.remote)),
        };
        self.state().counters.relayed += 1;
        answer(self.accepted(asker.remote));
        let reply = accepted.exchange.reply(accepted.request_id);
        let result = match timeout_at(deadline, reply).await {
            Ok(Ok(result)) => accepted.passed_on(result, &request.nonce),
            Ok(Err(_)) | Err(_) => accepted.lost(),
        };
        answer(ServiceAnswer::Result(result));
    }

    /// The first helper that accepts a voucher, in random order; otherwise the code that says most.
    async fn find_helper(
        &self,
        asker: &Asker,
        request: &ProbeRequest,
    ) -> Result<Accepted<'_>, ProbeCode> {
        let Some((server, asked)) = asker.key.zip(request.asked) else {
            return Err(ProbeCode::NoHelper);
        };
        let voucher = self.voucher(asker.remote.ip(), server, asked, request);
        let mut why = ProbeCode::NoHelper;
        let mut tries_left = limits::PROBE_HELPERS_TRIED_MAX;
        for helper in self.helpers_for(server, request) {
            if tries_left == 0 {
                break;
            }
            let Some(address) = self.cold_address(helper, asker).await else {
                continue;
            };
            if !self.may_ask(helper, asker) {
                why = ProbeCode::RateLimited;
                continue;
            }
            tries_left -= 1;
            let patience = Instant::now() + self.settings.timing.dial();
            let trying = Box::pin(self.hand_in(helper, address, voucher.clone()));
            match timeout_at(patience, trying).await {
                Ok(Ok(accepted)) => return Ok(accepted),
                // These are about the asker, and worth telling it.
                Ok(Err(
                    code @ (ProbeCode::RateLimited | ProbeCode::Busy | ProbeCode::PortRefused),
                )) => why = code,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Err(why)
    }

    fn may_ask(&self, helper: &Prober, asker: &Asker) -> bool {
        let household = Household::of(asker.remote.ip());
        let now = std::time::Instant::now();
        self.state().quotas.relay(household, &helper.key, now)
    }

    /// The helpers that the asker did not exclude and that are not itself, in random order.
    fn helpers_for(&self, server: PublicKey, request: &ProbeRequest) -> Vec<&Prober> {
        let avoided =
            |key: &PublicKey| request.avoid.iter().any(|avoid| **avoid == *key.as_bytes());
        let is_third = |key: &PublicKey| *key != server && *key != self.own;
        let helpers = self.settings.helpers.iter();
        let mut helpers: Vec<&Prober> = helpers
            .filter(|helper| is_third(&helper.key) && !avoided(&helper.key))
            .collect();
        helpers.shuffle(&mut rand::rng());
        keep_few_names(&mut helpers);
        helpers
    }

    /// An address of `helper` from which its dial would be worth a vote of its own: in the asker's
    /// family, and neither in its network nor in ours.
    async fn cold_address(&self, helper: &Prober, asker: &Asker) -> Option<SocketAddr> {
        let target = asker.remote.ip();
        let is_wanted = |at: SocketAddr| {
            self.is_outside(at.ip(), target, asker.local_ip)
                && Netgroup::of(at.ip()) != Netgroup::of(target)
        };
        addresses_of(helper, is_wanted).await.first().copied()
    }

    /// The voucher, with the padding that every helper demands.
    fn voucher(
        &self,
        ip: IpAddr,
        server: PublicKey,
        asked: Signature,
        request: &ProbeRequest,
    ) -> Voucher {
        let issued = Timestamp::now();
        let mut voucher = Voucher {
            server,
            ip,
            port: request.port,
            nonce: request.nonce,
            issued,
            expires: issued.saturating_add(self.settings.timing.nonce_ttl()),
            asked,
            signature: Signature::from_bytes([0; 64]),
            transport: request.transport,
            pad: padding(limits::PROBE_COLD_COST_BYTES),
        };
        voucher.signature = self.settings.identity.sign(&voucher.signed_hash());
        voucher
    }

    /// Gives the voucher to a helper; once more, with more padding, where that is demanded.
    ///
    /// That the connection came about also proves our own way out in the asker's family, without
    /// which nobody should be vouched for.
    async fn hand_in(
        &self,
        helper: &Prober,
        address: SocketAddr,
        mut voucher: Voucher,
    ) -> Result<Accepted<'_>, ProbeCode> {
        let none = |_: NoReply| ProbeCode::NoHelper;
        let patience = self.settings.timing.dial();
        let connection = self.connect_to_helper(helper, address, patience).await;
        let (connection, contacting) = connection.ok_or(ProbeCode::NoHelper)?;
        let mut exchange = Exchange::open(connection).await.map_err(none)?;
        for request_id in 1..=2 {
            exchange.send(request_id, &voucher).await.map_err(none)?;
            let status: VoucherStatus = exchange.reply(request_id).await.map_err(none)?;
            match (status.code, status.cost.map(usize::try_from)) {
                (ProbeCode::Accepted, _) => {
                    return Ok(Accepted {
                        exchange,
                        _contacting: contacting,
                        request_id,
                        key: helper.key,
                        ip: address.ip(),
                    });
                }
                (ProbeCode::CostRequired, Some(Ok(bytes)))
                    if bytes <= limits::VOUCHER_COST_BYTES =>
                {
                    voucher.pad = padding(bytes);
                }
                (code, _) => return Err(code),
            }
        }
        Err(ProbeCode::NoHelper)
    }
}

impl Accepted<'_> {
    /// The result as the asker gets it: the dialer is whom we gave the voucher to, whatever it says
    /// of itself, and its receipt is passed on if it is one.
    fn passed_on(&self, result: ProbeResult, nonce: &Nonce) -> ProbeResult {
        let mut result = ProbeResult {
            dialer: Some(self.key),
            dialer_ip: Some(self.ip),
            ..result
        };
        let hash = result.signed_hash(nonce);
        let is_receipt =
            |of: &Signature| client::signature(&self.key, &hash, of.as_bytes()).is_ok();
        result.signature = result.signature.filter(is_receipt);
        result
    }

    /// The result where the helper went away.
    const fn lost(&self) -> ProbeResult {
        ProbeResult {
            outcome: ProbeOutcome::LocalError,
            control_ok: false,
            dialer: Some(self.key),
            dialer_ip: Some(self.ip),
            signature: None,
        }
    }
}

/// That many bytes without a meaning.
pub(in crate::reach) fn padding(bytes: usize) -> ByteBuf {
    ByteBuf::from(vec![0; bytes])
}
