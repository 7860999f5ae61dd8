//! What the service did, counted.

use super::admission::Denial;
use serde::Serialize;

use crate::wire::{ProbeCode, ProbeOutcome};

/// How often things happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceCounters {
    /// PROBE REQUESTs that came in.
    pub asked: u64,
    /// Those that were accepted.
    pub accepted: u64,
    /// PROBE VOUCHERs that came in.
    pub vouchers: u64,
    /// Those that were accepted.
    pub vouchers_accepted: u64,
    /// Requests and vouchers without an authenticated sender.
    pub refused_anonymous: u64,
    /// Requests and vouchers that were forged, expired, seen before or out of shape.
    pub refused_invalid: u64,
    /// Requests and vouchers past a limit of rate.
    pub refused_rate_limited: u64,
    /// Requests and vouchers past a limit of what is under way, or while the service is off.
    pub refused_busy: u64,
    /// Requests and vouchers for an address to which there is no way from here.
    pub refused_no_family: u64,
    /// Requests and vouchers for an address that is not one of the public Internet.
    pub refused_not_global: u64,
    /// Requests and vouchers for a neighbour.
    pub refused_same_network: u64,
    /// Requests and vouchers for a port that is not dialed, or for one port too many.
    pub refused_port: u64,
    /// Cold probes for which no third server would dial.
    pub refused_no_helper: u64,
    /// Requests and vouchers that were too short.
    pub refused_cost: u64,
    /// Dials at which the listener took the nonce.
    pub dials_ok: u64,
    /// Dials that nobody answered.
    pub dials_no_response: u64,
    /// Dials that the network turned away.
    pub dials_unreachable: u64,
    /// Dials at which somebody else listened.
    pub dials_wrong_key: u64,
    /// Dials at which the listener did not know the nonce.
    pub dials_nonce_rejected: u64,
    /// Dials at which something else listened.
    pub dials_protocol_error: u64,
    /// Dials that failed on this side.
    pub dials_local_error: u64,
    /// Cold probes that a third server accepted.
    pub relayed: u64,
    /// Handshakes tried to show that the way out works.
    pub controls: u64,
    /// Those that came about.
    pub controls_ok: u64,
    /// Bytes of padding received with the vouchers that were accepted.
    pub bytes_in: u64,
    /// The most that the dials for them can have sent to an address that never answered; not more
    /// than [`bytes_in`](Self::bytes_in).
    pub bytes_out_unproven: u64,
}

impl ServiceCounters {
    pub(super) const fn denied(&mut self, denial: &Denial) {
        let counter = match denial {
            Denial::Anonymous => &mut self.refused_anonymous,
            Denial::Invalid(_) => &mut self.refused_invalid,
            Denial::Cost(_) => &mut self.refused_cost,
            Denial::Code(code) => match code {
                ProbeCode::RateLimited => &mut self.refused_rate_limited,
                ProbeCode::Busy => &mut self.refused_busy,
                ProbeCode::NoFamily => &mut self.refused_no_family,
                ProbeCode::NotGlobal => &mut self.refused_not_global,
                ProbeCode::SameNetwork => &mut self.refused_same_network,
                ProbeCode::PortRefused => &mut self.refused_port,
                ProbeCode::NoHelper => &mut self.refused_no_helper,
                ProbeCode::CostRequired => &mut self.refused_cost,
                // No denial.
                ProbeCode::Accepted => return,
            },
        };
        *counter += 1;
    }

    pub(super) const fn dialed(&mut self, outcome: ProbeOutcome) {
        let counter = match outcome {
            ProbeOutcome::Ok => &mut self.dials_ok,
            ProbeOutcome::NoResponse => &mut self.dials_no_response,
            ProbeOutcome::Unreachable => &mut self.dials_unreachable,
            ProbeOutcome::WrongKey => &mut self.dials_wrong_key,
            ProbeOutcome::NonceRejected => &mut self.dials_nonce_rejected,
            ProbeOutcome::ProtocolError => &mut self.dials_protocol_error,
            ProbeOutcome::LocalError => &mut self.dials_local_error,
        };
        *counter += 1;
    }
}
