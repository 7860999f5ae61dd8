//! Dialing others back: limits, costs, vouchers.
//!
//! | file | owns |
//! |------|------|
//! | `admission.rs` | what a request tells by itself: who, where to, at what cost, signed by whom |
//! | `quotas.rs` | what is counted over time: vouchers, helpers asked, nonces |
//! | `dials.rs` | what is counted of dials: rates, what is under way, ports |
//! | `dial.rs` | one dial-back, and the control dials beside it |
//! | `relay.rs` | cold probes: vouching to a third server, and passing on what it found |
//! | `control.rs` | whether the way out of this machine works |
//! | `exchange.rs` | HELLO, request and reply with another server |
//! | `counters.rs` | what happened, counted |
//!
//! What keeps the service from being turned against others:
//!
//! - A PROBE REQUEST names no address: what is dialed is the address that its own connection
//!   proved. It must be one of the public Internet, not a neighbour, and the port none of an
//!   ordinary service; few ports per hour, few dials per minute, one at a time.
//! - Only a voucher makes this server dial an address that proved nothing to it. It takes two
//!   signatures, an authenticated sender, and more bytes than the dial sends.
//!   Its sender learns whether the server that it vouched for is there, and of anything else
//!   nothing.
//! - A dial that fails is told at a fixed time, whatever made it fail.
//! - What is dialed on vouchers is counted apart: nobody's own requests are refused because others
//!   vouched for it. No address and no network gets more than a share of what there is.
//!
//! What remains: vouchers that somebody makes up for an address can use up what this server dials
//! there on vouchers, so that a cold probe of it needs another helper. Two networks with an address
//! each use up what strangers may vouch for; pinned probers keep their half.
//!
//! # Source
//! `reachability.md` section (d.6); `extensions.md`.

mod admission;
mod control;
mod counters;
mod dial;
mod dials;
pub(super) mod exchange;
mod quotas;
mod relay;

#[cfg(test)]
pub(super) mod tests;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::admission::{AddressRules, Denial, Vouching};
use self::control::Control;
pub use self::counters::ServiceCounters;
use self::dial::DialBack;
use self::dials::{Household, Proof, Wanted};
use self::quotas::{Quotas, Sender};
pub(super) use self::relay::padding;
use super::address::{canonical, canonical_address};
use super::{contacts::Contacts, endpoint::Prober, timing::Timing};
use crate::base::limits;
use crate::wire::{
    BodyRefusal, ProbeCode, ProbeMode, ProbeRequest, ProbeResult, ProbeStatus, ProbeTransport,
    PublicKey, SecretKey, Timestamp, Voucher, VoucherStatus,
};

/// What the service needs to know.
#[derive(Clone)]
pub struct Settings {
    /// This server's key; it dials as its holder.
    pub identity: SecretKey,
    /// Servers that can be asked to dial for others, and that show whether the way out works. The
    /// pinned ones pay less for their own vouchers.
    pub helpers: Vec<Prober>,
    /// The intervals.
    pub timing: Timing,
    /// Whether anybody is served; otherwise everybody is told that the service is busy.
    pub enabled: bool,
}

/// Who asks, as its connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The key that it proved, if any.
    pub key: Option<PublicKey>,
    /// Its address, which the handshake proved.
    pub remote: SocketAddr,
    /// The address of this machine that it reached; dials go out from there.
    pub local_ip: Option<IpAddr>,
    /// The transport on which it asks.
    pub transport: ProbeTransport,
}

/// What the service says to an asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceAnswer {
    /// PROBE STATUS.
    Status(ProbeStatus),
    /// VOUCHER STATUS.
    VoucherStatus(VoucherStatus),
    /// PROBE RESULT.
    Result(ProbeResult),
    /// The reply that belongs to the request, with `result` and `why` alone; it ends the request.
    Refused(BodyRefusal),
}

/// The dial-back service.
pub struct Service {
    settings: Settings,
    own: PublicKey,
    rules: AddressRules,
    contacts: Arc<Contacts>,
    state: Mutex<State>,
}

struct State {
    quotas: Quotas,
    control: Control,
    counters: ServiceCounters,
}

/// What a probe occupies while it is under way.
struct Slot<'a> {
    service: &'a Service,
    proof: Proof,
    household: Household,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.service.state();
        state.quotas.finish(self.proof, self.household);
    }
}

impl Service {
    /// The service with these settings; it notes every address in `contacts` before it dials there.
    #[must_use]
    pub fn new(settings: Settings, contacts: Arc<Contacts>) -> Self {
        Self::with_rules(settings, contacts, AddressRules::iana())
    }

    fn with_rules(settings: Settings, contacts: Arc<Contacts>, rules: AddressRules) -> Self {
        let state = State {
            quotas: Quotas::new(settings.timing),
            control: Control::default(),
            counters: ServiceCounters::default(),
        };
        Self {
            own: settings.identity.public(),
            settings,
            rules,
            contacts,
            state: Mutex::new(state),
        }
    }

    /// Answers PROBE REQUEST: first its status, and the result where that accepts. Takes at most
    /// [`Timing::exchange`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the probe; what it counts against the limits stays counted.
    pub async fn probe(
        &self,
        asker: Asker,
        request: ProbeRequest,
        answer: &(dyn Fn(ServiceAnswer) + Send + Sync),
    ) {
        let asker = asker.canonical();
        self.state().counters.asked += 1;
        let (slot, server) = match self.admit(&asker, &request) {
            Ok(admitted) => admitted,
            Err(denial) => return answer(self.denied(denial, asker.remote)),
        };
        if request.mode == ProbeMode::Cold {
            return Box::pin(self.relay(slot, asker, &request, answer)).await;
        }
        answer(self.accepted(asker.remote));
        let dial = DialBack {
            server,
            address: SocketAddr::new(asker.remote.ip(), request.port),
            transport: request.transport,
            from: asker.local_ip,
            nonce: request.nonce,
            mode: request.mode,
        };
        answer(ServiceAnswer::Result(Box::pin(self.dial(dial)).await));
        drop(slot);
    }

    /// Answers PROBE VOUCHER: first its status, and the result where that accepts. Takes at most
    /// [`Timing::cold_delay_max`] and [`Timing::dial`] together.
    ///
    /// # Cancel safety
    /// As [`probe`](Self::probe).
    pub async fn vouch(
        &self,
        asker: Asker,
        voucher: Voucher,
        answer: &(dyn Fn(ServiceAnswer) + Send + Sync),
    ) {
        let asker = asker.canonical();
        let voucher = Voucher {
            ip: canonical(voucher.ip),
            ..voucher
        };
        self.state().counters.vouchers += 1;
        let slot = match self.admit_voucher(&asker, &voucher) {
            Ok(slot) => slot,
            Err(denial) => return answer(self.voucher_denied(denial)),
        };
        answer(ServiceAnswer::VoucherStatus(VoucherStatus {
            code: ProbeCode::Accepted,
            cost: None,
        }));
        // So that many who are asked at the same time do not dial at the same time.
        let delay = self.settings.timing.cold_delay_max();
        tokio::time::sleep(delay.mul_f64(rand::random())).await;
        self.state().counters.bytes_out_unproven += limits::PROBE_DIAL_MAX_BYTES as u64;
        let dial = DialBack {
            server: voucher.server,
            address: SocketAddr::new(voucher.ip, voucher.port),
            transport: voucher.transport,
            from: asker.local_ip_towards(voucher.ip),
            nonce: voucher.nonce,
            mode: ProbeMode::Cold,
        };
        answer(ServiceAnswer::Result(Box::pin(self.dial(dial)).await));
        drop(slot);
    }

    /// Notes that this process completed a handshake, as the one who dialed, with a server at `ip`:
    /// its way out works.
    pub fn reached(&self, ip: IpAddr) {
        self.state().control.note(canonical(ip), Instant::now());
    }

    /// How often things happened since the start.
    #[must_use]
    pub fn counters(&self) -> ServiceCounters {
        self.state().counters
    }

    fn admit(
        &self,
        asker: &Asker,
        request: &ProbeRequest,
    ) -> Result<(Slot<'_>, PublicKey), Denial> {
        if !self.settings.enabled {
            return Err(Denial::Code(ProbeCode::Busy));
        }
        let server = admission::probe(self.rules, asker, request)?;
        let wanted = Wanted {
            key: server,
            ip: asker.remote.ip(),
            port: request.port,
            transport: request.transport,
        };
        let begun = self
            .state()
            .quotas
            .begin(Proof::Own, &wanted, Instant::now());
        let slot = Slot {
            service: self,
            proof: Proof::Own,
            household: begun.map_err(Denial::Code)?,
        };
        if request.mode == ProbeMode::Cold {
            admission::asked(&self.own, &server, request)?;
        }
        Ok((slot, server))
    }

    fn admit_voucher(&self, asker: &Asker, voucher: &Voucher) -> Result<Slot<'_>, Denial> {
        if !self.settings.enabled {
            return Err(Denial::Code(ProbeCode::Busy));
        }
        let is_pinned = |key| {
            let mut helpers = self.settings.helpers.iter();
            helpers.any(|helper| helper.pinned && helper.key == key)
        };
        let vouching = Vouching {
            peer: asker,
            is_pinned: asker.key.is_some_and(is_pinned),
            now: Timestamp::now(),
        };
        let prober = admission::voucher(self.rules, vouching, voucher)?;
        let own = own_address(voucher, asker).ok_or(Denial::Code(ProbeCode::NoFamily))?;
        self.rules.may_dial(voucher.ip, Some(own))?;
        let sender = Sender::new(prober, asker.remote.ip(), vouching.is_pinned);
        let may = self.state().quotas.may_vouch(&sender, Instant::now());
        may.map_err(Denial::Code)?;
        // One that is not carried out counts for the sender alone: it uses up nothing that belongs
        // to other senders, or to the server that it names.
        let slot = admission::voucher_signatures(&prober, voucher)
            .and_then(|()| self.begin_vouched(sender, voucher));
        let mut state = self.state();
        if slot.is_ok() {
            state.counters.vouchers_accepted += 1;
            state.counters.bytes_in += voucher.pad.len() as u64;
        } else {
            state.quotas.vouched_in_vain(sender, Instant::now());
        }
        slot
    }

    fn begin_vouched(&self, sender: Sender, voucher: &Voucher) -> Result<Slot<'_>, Denial> {
        let wanted = Wanted {
            key: voucher.server,
            ip: voucher.ip,
            port: voucher.port,
            transport: voucher.transport,
        };
        let (mut state, now) = (self.state(), Instant::now());
        if state.quotas.is_seen(&voucher.nonce) {
            return Err(Denial::Invalid("the voucher was seen before"));
        }
        let begun = state.quotas.vouched(sender, voucher.nonce, &wanted, now);
        Ok(Slot {
            service: self,
            proof: Proof::Voucher,
            household: begun.map_err(Denial::Code)?,
        })
    }

    fn accepted(&self, observed: SocketAddr) -> ServiceAnswer {
        self.state().counters.accepted += 1;
        status(ProbeCode::Accepted, None, observed)
    }

    fn denied(&self, denial: Denial, observed: SocketAddr) -> ServiceAnswer {
        self.state().counters.denied(&denial);
        if let Some(refusal) = denial.refusal() {
            return ServiceAnswer::Refused(refusal);
        }
        let (code, cost) = denial.status();
        status(code, cost, observed)
    }

    fn voucher_denied(&self, denial: Denial) -> ServiceAnswer {
        self.state().counters.denied(&denial);
        if let Some(refusal) = denial.refusal() {
            return ServiceAnswer::Refused(refusal);
        }
        let (code, cost) = denial.status();
        ServiceAnswer::VoucherStatus(VoucherStatus { code, cost })
    }

    /// What is under the lock changes in single steps, so a panic elsewhere leaves nothing half
    /// done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asker {
    fn canonical(self) -> Self {
        Self {
            remote: canonical_address(self.remote),
            local_ip: self.local_ip.map(canonical),
            ..self
        }
    }

    /// The address that was reached, where `target` can be dialed from it.
    fn local_ip_towards(&self, target: IpAddr) -> Option<IpAddr> {
        self.local_ip
            .filter(|own| own.is_ipv4() == target.is_ipv4())
    }
}

fn status(code: ProbeCode, cost: Option<u32>, observed: SocketAddr) -> ServiceAnswer {
    ServiceAnswer::Status(ProbeStatus {
        code,
        observed,
        cost,
        now: Timestamp::now(),
    })
}

/// The address from which what a voucher names would be dialed; `None` where there is no way
/// there. To connect a UDP socket chooses a way and sends nothing.
fn own_address(voucher: &Voucher, asker: &Asker) -> Option<IpAddr> {
    let any = match voucher.ip {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let from = asker.local_ip_towards(voucher.ip).unwrap_or(any);
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((voucher.ip, voucher.port)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
