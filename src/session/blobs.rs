//! The BLOB that comes in on a stream, and the one that goes out.
//!
//! One of each at a time: a BLOB message has no number by which its data could be told from
//! another's. While data go out, every other reply of the stream waits behind them.

use bytes::Bytes;

use super::connection::HeldUpload;
use super::event::{Action, BlobOrder, Ticket};
use super::output::Output;
use crate::base::limits;
use crate::wire::{BlobHash, ResultCode, ServerMessage};

/// The BLOBs of one stream.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    incoming: Option<Incoming>,
    outgoing: Option<Outgoing>,
}

/// A BLOB that is being handed in.
#[derive(Debug)]
struct Incoming {
    ticket: Ticket,
    hash: BlobHash,
    /// Data that have not come yet.
    left_bytes: u64,
    progress: Progress,
    #[expect(dead_code, reason = "it is given back with the BLOB")]
    held: HeldUpload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The driver asks whether it is taken; its data wait.
    Asked,
    /// Its data are handed on as they come.
    Taking,
    /// All of it is here, and the result is on its way.
    Whole,
}

/// A BLOB that was asked for.
#[derive(Debug)]
struct Outgoing {
    ticket: Ticket,
    hash: BlobHash,
    /// What is still to be sent; `None` before it was found.
    left_bytes: Option<u64>,
}

/// What becomes of the reading of a stream once a BLOB has its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The next message lies behind data that are few enough to be thrown away, or behind none.
    GoesOn,
    /// So many data are still to come that nothing more is read.
    Ends,
}

impl Blobs {
    /// Whether no further message is looked at until the driver has said something.
    pub(super) fn is_waiting(&self) -> bool {
        let is_taking = |incoming: &Incoming| incoming.progress == Progress::Taking;
        self.outgoing.is_some() || self.incoming.as_ref().is_some_and(|it| !is_taking(it))
    }

    /// Whether none comes in or goes out.
    pub(super) fn is_idle(&self) -> bool {
        self.incoming.is_none() && self.outgoing.is_none()
    }

    /// Whether the data of a BLOB are being sent, between which nothing else may stand.
    pub(super) fn is_sending(&self) -> bool {
        let mut outgoing = self.outgoing.iter();
        outgoing.any(|outgoing| outgoing.left_bytes.is_some())
    }

    /// Hands the head of a BLOB SUBMISSION on.
    pub(super) fn submit(
        &mut self,
        hash: BlobHash,
        data_bytes: u64,
        held: HeldUpload,
        output: &mut Output,
    ) {
        let ticket = output.ticket();
        self.incoming = Some(Incoming {
            ticket,
            hash,
            left_bytes: data_bytes,
            progress: Progress::Asked,
            held,
        });
        let order = BlobOrder::Submit { hash, data_bytes };
        output.push(Action::Blob { ticket, order });
    }

    /// Hands data on, behind which `left_bytes` follow. Those of a BLOB that was refused are
    /// thrown away.
    pub(super) fn data(&mut self, data: Bytes, left_bytes: u64, output: &mut Output) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        incoming.left_bytes = left_bytes;
        let ticket = incoming.ticket;
        let order = BlobOrder::Data(data);
        output.push(Action::Blob { ticket, order });
        incoming.end_when_whole(output);
    }

    /// The BLOB is taken: its data may come.
    pub(super) fn taken(&mut self, ticket: Ticket, output: &mut Output) {
        let incoming = self.incoming.as_mut();
        if let Some(incoming) = incoming.filter(|it| it.ticket == ticket)
            && incoming.progress == Progress::Asked
        {
            incoming.progress = Progress::Taking;
            incoming.end_when_whole(output);
        }
    }

    /// Tells the peer what became of the BLOB, which may be before all of it came.
    pub(super) fn submitted(
        &mut self,
        ticket: Ticket,
        result: ResultCode,
        output: &mut Output,
    ) -> Reading {
        let Some(incoming) = self.incoming.take_if(|it| it.ticket == ticket) else {
            return Reading::GoesOn;
        };
        answer(incoming.hash, result, output);
        if incoming.left_bytes > limits::BLOB_DISCARD_MAX_BYTES {
            Reading::Ends
        } else {
            Reading::GoesOn
        }
    }

    /// The peer ended the stream, or took too long, before all of a BLOB had come. Whether there
    /// was one.
    pub(super) fn broken(&mut self, result: ResultCode, output: &mut Output) -> bool {
        let Some(incoming) = self.incoming.take_if(|it| it.progress != Progress::Whole) else {
            return false;
        };
        let ticket = incoming.ticket;
        let order = BlobOrder::Drop;
        output.push(Action::Blob { ticket, order });
        answer(incoming.hash, result, output);
        true
    }

    /// Looks for a BLOB.
    pub(super) fn get(&mut self, hash: BlobHash, output: &mut Output) {
        assert!(self.outgoing.is_none(), "the caller asked before");
        let ticket = output.ticket();
        self.outgoing = Some(Outgoing {
            ticket,
            hash,
            left_bytes: None,
        });
        let order = BlobOrder::Get { hash };
        output.push(Action::Blob { ticket, order });
    }

    /// The BLOB is here: says so, and keeps every other reply back until its data were sent.
    pub(super) fn found(&mut self, ticket: Ticket, data_bytes: u64, output: &mut Output) {
        let outgoing = self.outgoing.as_mut();
        let Some(outgoing) = outgoing.filter(|it| it.ticket == ticket) else {
            return;
        };
        if outgoing.left_bytes.is_some() {
            return;
        }
        outgoing.left_bytes = Some(data_bytes);
        output.send(&ServerMessage::BlobResult {
            result: ResultCode::Success,
            data_bytes,
            hash: *outgoing.hash.as_bytes(),
        });
        output.hold();
        self.end_when_sent(output);
    }

    /// Sends data of the BLOB. More than its head claimed would be taken for messages.
    pub(super) fn page(&mut self, ticket: Ticket, mut data: Bytes, output: &mut Output) {
        let outgoing = self.outgoing.as_mut();
        let Some(left_bytes) = outgoing
            .filter(|it| it.ticket == ticket)
            .and_then(|it| it.left_bytes.as_mut())
        else {
            return;
        };
        data.truncate(usize::try_from(*left_bytes).unwrap_or(usize::MAX));
        *left_bytes = left_bytes.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
        output.push_held_back_by_nothing(Action::Send(data));
        self.end_when_sent(output);
    }

    /// Tells the peer that it does not get the BLOB. Data of it that were sent already cannot be
    /// taken back: then this returns false, and the stream has to be broken off.
    pub(super) fn not_sent(
        &mut self,
        ticket: Ticket,
        result: ResultCode,
        output: &mut Output,
    ) -> bool {
        let Some(outgoing) = self.outgoing.take_if(|it| it.ticket == ticket) else {
            return true;
        };
        if outgoing.left_bytes.is_some() {
            return false;
        }
        output.send(&ServerMessage::BlobResult {
            result,
            data_bytes: 0,
            hash: *outgoing.hash.as_bytes(),
        });
        true
    }

    /// Nothing more is read of the peer: gives up what is not whole, and what was not found yet.
    /// What is being sent or stored goes on.
    pub(super) fn wind_up(&mut self, output: &mut Output) {
        self.broken(ResultCode::TemporaryError, output);
        let unsent = self.outgoing.as_ref().filter(|it| it.left_bytes.is_none());
        if let Some(ticket) = unsent.map(|it| it.ticket) {
            let order = BlobOrder::Drop;
            output.push(Action::Blob { ticket, order });
            self.not_sent(ticket, ResultCode::TemporaryError, output);
        }
    }

    fn end_when_sent(&mut self, output: &mut Output) {
        if self
            .outgoing
            .take_if(|it| it.left_bytes == Some(0))
            .is_some()
        {
            output.let_go();
        }
    }
}

impl Incoming {
    fn end_when_whole(&mut self, output: &mut Output) {
        if self.left_bytes == 0 {
            self.progress = Progress::Whole;
            let ticket = self.ticket;
            let order = BlobOrder::End;
            output.push(Action::Blob { ticket, order });
        }
    }
}

/// Tells the peer what became of a BLOB.
pub(super) fn answer(hash: BlobHash, result: ResultCode, output: &mut Output) {
    let hash = *hash.as_bytes();
    output.send(&ServerMessage::BlobSubmissionResult { result, hash });
}
