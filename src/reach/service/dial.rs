//! One dial-back, and the dials that show whether the way out works at all.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use serde_bytes::ByteArray;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Service;
use super::exchange::{Contacting, Exchange, NoReply, addresses_of, keep_few_names, outcome_of};
use crate::client::{RawConnection, ServerTrust, Target};
use crate::reach::address::Netgroup;
use crate::reach::endpoint::Prober;
use crate::wire::{
    Dialback, DialbackAck, Nonce, ProbeMode, ProbeOutcome, ProbeResult, ProbeTransport, PublicKey,
    ResultCode,
};

/// Whom to dial, and what to show there.
#[derive(Clone, Copy, Debug)]
pub(super) struct DialBack {
    /// The key that the listener must hold.
    pub(super) server: PublicKey,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The transport to dial.
    pub(super) transport: ProbeTransport,
    /// The address to dial from; the port is a fresh one always.
    pub(super) from: Option<IpAddr>,
    /// What to show.
    pub(super) nonce: Nonce,
    /// The mode to name.
    pub(super) mode: ProbeMode,
}

impl Service {
    /// Dials, and says how it went: at once where the listener took the nonce, otherwise at the end
    /// of [`Timing::dial`](crate::reach::timing::Timing::dial) and not before, so that the time of
    /// an answer says nothing about what lies behind the address.
    pub(super) async fn dial(&self, dial: DialBack) -> ProbeResult {
        let deadline = Instant::now() + self.settings.timing.dial();
        let attempt = pin!(self.attempt(dial, deadline));
        let control = pin!(self.prove_way_out(&dial, deadline));
        let outcome = tokio::select! {
            biased;
            outcome = attempt => outcome,
            never = control => match never {},
        };
        let control_ok = self.is_way_out_proved(dial.address.ip());
        self.state().counters.dialed(outcome);
        let mut result = ProbeResult {
            outcome: told(outcome, dial.mode),
            control_ok,
            dialer: Some(self.own),
            dialer_ip: dial.from.filter(|ip| self.rules.is_global(*ip)),
            signature: None,
        };
        let hash = result.signed_hash(&dial.nonce);
        result.signature = Some(self.settings.identity.sign(&hash));
        result
    }

    async fn attempt(&self, dial: DialBack, deadline: Instant) -> ProbeOutcome {
        let contacting = Contacting::begin(&self.contacts, dial.address.ip());
        let outcome = match self.connect(dial, deadline).await {
            // Somebody was there, so silence from now on is no silence of the network.
            Ok(connection) => timeout_at(deadline, show(connection, dial))
                .await
                .unwrap_or(ProbeOutcome::ProtocolError),
            Err(outcome) => outcome,
        };
        drop(contacting);
        if outcome != ProbeOutcome::Ok {
            sleep_until(deadline).await;
        }
        outcome
    }

    async fn connect(
        &self,
        dial: DialBack,
        deadline: Instant,
    ) -> Result<RawConnection, ProbeOutcome> {
        let target = Target::from((dial.address, ServerTrust::Exact(dial.server)))
            .with_transport(dial.transport.transport());
        let identity = Some(&self.settings.identity);
        let patience = deadline.saturating_duration_since(Instant::now());
        let connecting = RawConnection::connect_from(&target, identity, dial.from, patience);
        let connection = Box::pin(connecting)
            .await
            .map_err(|error| outcome_of(&error))?;
        self.reached(dial.address.ip());
        Ok(connection)
    }

    /// Completes a handshake with some helper, where none was completed lately; then waits for
    /// ever, as a branch that only accompanies another.
    async fn prove_way_out(&self, dial: &DialBack, deadline: Instant) -> Infallible {
        let is_needed = !self.is_way_out_proved(dial.address.ip());
        if is_needed && self.state().quotas.control(std::time::Instant::now()) {
            // At the deadline nobody waits for it any more.
            timeout_at(deadline, self.dial_controls(dial)).await.ok();
        }
        std::future::pending().await
    }

    async fn dial_controls(&self, dial: &DialBack) {
        let target = dial.address.ip();
        let mut helpers: Vec<&Prober> = self.settings.helpers.iter().collect();
        helpers.shuffle(&mut rand::rng());
        keep_few_names(&mut helpers);
        // One that is gone must not keep the next from being tried before the deadline.
        let patience = self.settings.timing.dial() / CONTROLS_PER_DIAL;
        let mut tries_left = CONTROLS_PER_DIAL;
        for helper in helpers {
            let is_other = |at: SocketAddr| {
                let ip = at.ip();
                ip != target && self.is_outside(ip, target, dial.from) && helper.key != dial.server
            };
            let Some(address) = addresses_of(helper, is_other).await.first().copied() else {
                continue;
            };
            self.state().counters.controls += 1;
            let connection = self.connect_to_helper(helper, address, patience).await;
            if connection.is_some() {
                self.state().counters.controls_ok += 1;
                return;
            }
            tries_left -= 1;
            if tries_left == 0 {
                return;
            }
        }
    }

    /// A connection to a helper, as ourselves.
    pub(super) async fn connect_to_helper(
        &self,
        helper: &Prober,
        address: SocketAddr,
        patience: Duration,
    ) -> Option<(RawConnection, Contacting<'_>)> {
        let target = Target::from((address, ServerTrust::Exact(helper.key)));
        let identity = Some(&self.settings.identity);
        let contacting = Contacting::begin(&self.contacts, address.ip());
        let connecting = RawConnection::connect_from(&target, identity, None, patience);
        let connection = Box::pin(connecting).await.ok()?;
        self.reached(address.ip());
        Some((connection, contacting))
    }

    /// Whether `ip` is an address of the public Internet in the family of `target`, outside of this
    /// server's own network.
    pub(super) fn is_outside(&self, ip: IpAddr, target: IpAddr, own: Option<IpAddr>) -> bool {
        ip.is_ipv4() == target.is_ipv4()
            && self.rules.is_global(ip)
            && own.is_none_or(|own| Netgroup::of(own) != Netgroup::of(ip))
    }

    fn is_way_out_proved(&self, target: IpAddr) -> bool {
        let ttl = self.settings.timing.control_ttl();
        let now = std::time::Instant::now();
        self.state().control.is_proved(target, now, ttl)
    }
}

/// What is told of how a dial ended. On a voucher, whose sender may have named any address, only
/// what the server that it names has to do with: otherwise it would tell open ports from closed
/// ones, and what listens there.
const fn told(outcome: ProbeOutcome, mode: ProbeMode) -> ProbeOutcome {
    match (mode, outcome) {
        (ProbeMode::Direct | ProbeMode::Canary, outcome)
        | (
            ProbeMode::Cold,
            outcome @ (ProbeOutcome::Ok | ProbeOutcome::NonceRejected | ProbeOutcome::LocalError),
        ) => outcome,
        (
            ProbeMode::Cold,
            ProbeOutcome::NoResponse
            | ProbeOutcome::Unreachable
            | ProbeOutcome::WrongKey
            | ProbeOutcome::ProtocolError,
        ) => ProbeOutcome::NoResponse,
    }
}

/// Shows the nonce on a new connection.
async fn show(connection: RawConnection, dial: DialBack) -> ProbeOutcome {
    let dialback = Dialback {
        nonce: dial.nonce,
        mode: dial.mode,
        dialed: dial.address,
    };
    match Box::pin(exchange(connection, &dialback)).await {
        Ok(ack) if ack.nonce_hash == ByteArray::new(dial.nonce.hash()) => ProbeOutcome::Ok,
        Err(NoReply::Refused(ResultCode::Invalid)) => ProbeOutcome::NonceRejected,
        Ok(_) | Err(NoReply::Refused(_) | NoReply::Broken) => ProbeOutcome::ProtocolError,
    }
}

async fn exchange(connection: RawConnection, dialback: &Dialback) -> Result<DialbackAck, NoReply> {
    let mut exchange = Exchange::open(connection).await?;
    exchange.send(REQUEST_ID, dialback).await?;
    exchange.reply(REQUEST_ID).await
}

/// One request on a connection needs no other.
const REQUEST_ID: u16 = 1;

/// Helpers that are dialed for one proof that the way out works.
const CONTROLS_PER_DIAL: u32 = 3;
