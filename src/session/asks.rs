//! Probes, vouchers, dial-backs and invitations of a peer, on their way to who answers them.

use super::event::{Action, Answer, Ask, Ticket};
use super::output::Output;
use crate::base::limits;
use crate::wire::{
    Body as _, BodyRefusal, Dialback, ProbeCode, ProbeOutcome, ProbeRequest, ProbeResult, Redeem,
    ResultCode, Voucher,
};

/// The asks of one stream that are not over; at most [`limits::STREAM_PROBES_MAX`], so they are
/// searched one by one.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: Vec<OpenAsk>,
}

#[derive(Debug)]
struct OpenAsk {
    ticket: Ticket,
    request_id: u16,
    kind: AskKind,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskKind {
    Probe,
    Vouch,
    Dialback,
    Redeem,
}

/// How far an ask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The peer knows nothing yet.
    Asked,
    /// The peer was told that the dial is made, and waits for its result.
    Accepted,
    /// The peer was told everything; the driver still holds the ask.
    Answered,
}

impl Asks {
    /// Whether one more ask would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= limits::STREAM_PROBES_MAX
    }

    /// Whether the peer waits for nothing.
    pub(super) fn is_idle(&self) -> bool {
        let mut open = self.open.iter();
        open.all(|ask| ask.progress == Progress::Answered)
    }

    /// Hands an ask to the driver.
    pub(super) fn start(&mut self, ask: Ask, request_id: u16, output: &mut Output) {
        assert!(!self.is_full(), "the caller asked before");
        let ticket = output.ticket();
        self.open.push(OpenAsk {
            ticket,
            request_id,
            kind: AskKind::of(&ask),
            progress: Progress::Asked,
        });
        output.push(Action::Ask { ticket, ask });
    }

    /// Tells the peer what was answered. What does not follow from what was said before is dropped:
    /// the peer has to be able to rely on the order of the replies.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: &Answer, output: &mut Output) {
        let Some(ask) = self.open.iter_mut().find(|ask| ask.ticket == ticket) else {
            return;
        };
        let id = ask.request_id;
        let (progress, message) = match (ask.kind, ask.progress, answer) {
            (AskKind::Probe, Progress::Asked, Answer::Status(status)) => {
                (after(status.code), status.encode(id))
            }
            (AskKind::Vouch, Progress::Asked, Answer::VoucherStatus(status)) => {
                (after(status.code), status.encode(id))
            }
            (AskKind::Probe | AskKind::Vouch, Progress::Accepted, Answer::Result(result)) => {
                (Progress::Answered, result.encode(id))
            }
            (AskKind::Dialback, Progress::Asked, Answer::DialbackAck(ack)) => {
                (Progress::Answered, ack.encode(id))
            }
            (AskKind::Redeem, Progress::Asked, Answer::Redeemed(result)) => {
                (Progress::Answered, result.encode(id))
            }
            (kind, Progress::Asked, Answer::Refused(refusal)) => {
                let Some(message) = refusal.encode(kind.request(), id) else {
                    unreachable!("every ask has a reply");
                };
                (Progress::Answered, message)
            }
            (kind, progress, _) => {
                tracing::debug!(?kind, ?progress, "an answer out of turn");
                return;
            }
        };
        ask.progress = progress;
        output.push(Action::Send(message));
    }

    /// Forgets an ask that its driver let go of. A peer that still waits is told that nothing comes.
    pub(super) fn end(&mut self, ticket: Ticket, output: &mut Output) {
        let Some(ask) = self.open.iter().find(|ask| ask.ticket == ticket) else {
            return;
        };
        match ask.progress {
            Progress::Asked => self.answer(ticket, &Answer::Refused(gone()), output),
            Progress::Accepted => self.answer(ticket, &Answer::Result(lost()), output),
            Progress::Answered => {}
        }
        self.open.retain(|ask| ask.ticket != ticket);
    }
}

impl AskKind {
    const fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Probe(_) => Self::Probe,
            Ask::Vouch(_) => Self::Vouch,
            Ask::Dialback(_) => Self::Dialback,
            Ask::Redeem(_) => Self::Redeem,
        }
    }

    /// Type of the message that asks it.
    const fn request(self) -> u8 {
        match self {
            Self::Probe => ProbeRequest::KIND,
            Self::Vouch => Voucher::KIND,
            Self::Dialback => Dialback::KIND,
            Self::Redeem => Redeem::KIND,
        }
    }
}

/// Where an ask stands once its status was told.
fn after(code: ProbeCode) -> Progress {
    if code == ProbeCode::Accepted {
        Progress::Accepted
    } else {
        Progress::Answered
    }
}

/// Said where an ask ended without an answer.
fn gone() -> BodyRefusal {
    BodyRefusal {
        result: ResultCode::TemporaryError,
        why: "the request ended without an answer".to_owned(),
    }
}

/// Said where an ask that was accepted ended without a result: our failure, which says nothing
/// about the peer.
const fn lost() -> ProbeResult {
    ProbeResult {
        outcome: ProbeOutcome::LocalError,
        control_ok: false,
        dialer: None,
        dialer_ip: None,
        signature: None,
    }
}
