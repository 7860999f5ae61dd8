//! The tests of reachability, as far as they pass through the listener: who came in, what is asked,
//! and the way of the answers back.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::mpsc;

use super::newcomers::Newcomers;
use crate::base::limits::STREAM_PROBES_MAX;
use crate::identity::Peer;
use crate::session::{Answer, Ask, Event, Settings, Ticket};
use crate::wire::{
    BodyRefusal, Dialback, DialbackAck, ProbeRequest, ProbeResult, ProbeStatus, ProbeTransport,
    RedeemResult, Voucher, VoucherStatus,
};

/// How a peer came in. Addresses are canonical: an IPv4 address is never mapped into IPv6.
#[derive(Clone)]
pub struct Arrival {
    /// The socket, by its place among those that were bound together.
    pub socket: usize,
    /// What is spoken there.
    pub transport: ProbeTransport,
    /// Where the peer was when its handshake ended, which is proved. A connection that moved on
    /// since keeps it: where it says it moved to is not proved at every moment.
    pub remote: SocketAddr,
    /// The local address that it reached, where the system tells.
    pub local_ip: Option<IpAddr>,
    /// Who it proved to be.
    pub peer: Peer,
    /// What [`Probing::connected`] said.
    pub is_cold: bool,
    /// The gate and the rules by which it is served.
    pub settings: Arc<Settings>,
}

/// Without the settings: rules name every user, and an arrival is traced.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            // Not who the peer is nor from where: this goes to the trace.
            .field("socket", &self.socket)
            .field("transport", &self.transport)
            .field("is_known", &self.peer.key().is_some())
            .field("is_cold", &self.is_cold)
            .finish_non_exhaustive()
    }
}

/// Tests the reachability of others, and is told of what shows our own.
///
/// Every method is called on an async worker, so none may block.
pub trait Probing: Send + Sync {
    /// Takes note of a connection whose handshake is over, at the socket in that place. Returns
    /// whether the peer's address was cold: nothing was sent there for some time.
    fn connected(&self, socket: usize, remote: SocketAddr, local_ip: Option<IpAddr>) -> bool;

    /// Whether a program of this machine, or one next door, may have brought that peer here, as Tor
    /// brings the visitors of an onion service: then nobody knows where it is.
    fn is_local(&self, remote: IpAddr, local_ip: Option<IpAddr>) -> bool {
        let is_known = local_ip.is_some_and(|local_ip| local_ip != remote);
        !is_known || remote.is_loopback() || local_ip.is_some_and(|ip| ip.is_loopback())
    }

    /// Takes note that a connection is at another address of the peer than in the beginning. Told
    /// at its end, right before [`disconnected`](Self::disconnected), and at most once: addresses
    /// in between are not known.
    fn moved(&self, from: IpAddr, to: IpAddr);

    /// Takes note that a connection has ended, once for each [`connected`](Self::connected), with
    /// the address of that.
    fn disconnected(&self, remote: IpAddr);

    /// Dials the peer back, if it may ask that.
    fn probe(&self, arrival: &Arrival, request: ProbeRequest, answers: Answers);

    /// Dials the server that the voucher names, if the peer may ask that.
    fn vouch(&self, arrival: &Arrival, voucher: Voucher, answers: Answers);

    /// Takes a nonce, which may be one of ours.
    ///
    /// # Errors
    /// What the peer is told where it is not.
    fn dialback(&self, arrival: &Arrival, dialback: Dialback) -> Result<DialbackAck, BodyRefusal>;
}

/// The way of the answers to one request back to its stream. Dropping it ends the request: a peer
/// that was not told the outcome by then is told that there is none.
///
/// No method blocks, and none fails: a stream that has ended needs no answer.
pub struct Answers {
    ticket: Ticket,
    told: mpsc::Sender<Told>,
    /// How many may still be given.
    left: AtomicU8,
}

impl Answers {
    /// Answers a probe: whether the peer is dialed. Comes first, and once.
    pub fn status(&self, status: ProbeStatus) {
        self.answer(Answer::Status(status));
    }

    /// Answers a voucher: whether the server it names is dialed. Comes first, and once.
    pub fn voucher_status(&self, status: VoucherStatus) {
        self.answer(Answer::VoucherStatus(status));
    }

    /// Tells how the dialing ended, after a status that accepted.
    pub fn result(&self, result: ProbeResult) {
        self.answer(Answer::Result(result));
    }

    /// Tells what became of an invitation. Comes once.
    pub fn redeemed(&self, result: RedeemResult) {
        self.answer(Answer::Redeemed(result));
    }

    /// Answers that go nowhere, and what was said of an invitation until now.
    #[cfg(test)]
    pub(crate) fn for_tests() -> (Self, impl FnMut() -> Option<RedeemResult>) {
        let (sender, mut told) = mpsc::channel(EVENTS_MAX);
        let answers = Self {
            ticket: Ticket::for_tests(1),
            told: sender,
            left: AtomicU8::new(1),
        };
        let redeemed = move || match told.try_recv().ok()?.answer? {
            Answer::Redeemed(result) => Some(result),
            other => panic!("{other:?}"),
        };
        (answers, redeemed)
    }

    /// Tells the peer that its request is refused as a whole, instead of a status.
    pub fn refused(&self, refusal: BodyRefusal) {
        self.answer(Answer::Refused(refusal));
    }

    fn answer(&self, answer: Answer) {
        let take = |left: u8| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_err() {
            tracing::debug!("an answer too many");
            return;
        }
        self.tell(Some(answer));
    }

    /// There is always room; that it fails means that the stream has ended.
    fn tell(&self, answer: Option<Answer>) {
        let ticket = self.ticket;
        self.told.try_send(Told { ticket, answer }).ok();
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.tell(None);
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// Who answers what a stream asks.
#[derive(Clone, Copy)]
pub(super) struct Answerers<'a> {
    pub(super) probing: &'a dyn Probing,
    pub(super) newcomers: &'a dyn Newcomers,
}

/// What one stream asked for, on its way out and back.
///
/// An ask is told of at most [`EVENTS_MAX`] times, and the session lets no more than
/// [`STREAM_PROBES_MAX`] be under way until the last of them has reached it: the channel never
/// fills, however long the peer does not read.
pub(super) struct Asks {
    sender: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
}

/// What there is to tell of an ask.
#[derive(Debug)]
pub(super) struct Told {
    ticket: Ticket,
    /// `None` when nothing more comes of it.
    answer: Option<Answer>,
}

impl Told {
    /// What the session is told.
    pub(super) fn into_event(self) -> Event {
        let ticket = self.ticket;
        match self.answer {
            Some(answer) => Event::Answered { ticket, answer },
            None => Event::AskEnded { ticket },
        }
    }
}

impl Asks {
    pub(super) fn new() -> Self {
        let (sender, told) = mpsc::channel(STREAM_PROBES_MAX * EVENTS_MAX);
        Self { sender, told }
    }

    /// Hands an ask of the peer that came in as `arrival` says to who answers it.
    pub(super) fn start(
        &self,
        ticket: Ticket,
        ask: Ask,
        arrival: &Arrival,
        answerers: Answerers<'_>,
    ) {
        let Answerers { probing, newcomers } = answerers;
        let answers = Answers {
            ticket,
            told: self.sender.clone(),
            left: AtomicU8::new(ANSWERS_MAX),
        };
        match ask {
            Ask::Probe(request) => probing.probe(arrival, *request, answers),
            Ask::Vouch(voucher) => probing.vouch(arrival, *voucher, answers),
            Ask::Dialback(dialback) => answers.answer(match probing.dialback(arrival, dialback) {
                Ok(ack) => Answer::DialbackAck(ack),
                Err(refusal) => Answer::Refused(refusal),
            }),
            Ask::Redeem(redeem) => match arrival.peer {
                Peer::Known(peer) => newcomers.redeem(peer, redeem, answers),
                // The session asks for peers with a key alone; the drop of the answers says no.
                Peer::Anonymous => {}
            },
        }
    }

    /// Waits for what there is to tell of an ask.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Told {
        match self.told.recv().await {
            Some(told) => told,
            // We hold a sender ourselves, so the channel never closes.
            None => std::future::pending().await,
        }
    }
}

/// Answers to one ask: a status, and a result.
const ANSWERS_MAX: u8 = 2;

/// What there is to tell of one ask: its answers, and its end.
const EVENTS_MAX: usize = ANSWERS_MAX as usize + 1;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
