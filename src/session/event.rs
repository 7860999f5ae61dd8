//! What a stream is told, and what it asks for.

use bytes::Bytes;

use super::excess::Excess;
use crate::base::Role;
use crate::wire::{
    AdminCall, AdminReply, BlobHash, BodyRefusal, Dialback, DialbackAck, Filter, InfoReply,
    ProbeRequest, ProbeResult, ProbeStatus, Record, Redeem, RedeemResult, Reference, ResultCode,
    Voucher, VoucherStatus,
};

/// Name of one request that a stream asked its driver to carry out.
///
/// Never used twice on one stream, so an answer that comes late can not be taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

#[cfg(test)]
impl Ticket {
    /// A ticket that a test invents.
    pub(crate) const fn for_tests(number: u64) -> Self {
        Self(number)
    }
}

/// Something that happened to a stream.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an event is handed over and gone; none are kept"
)]
pub enum Event {
    /// Bytes arrived, cut anywhere; at most [`limits::STREAM_READ_BYTES`] at a time.
    ///
    /// [`limits::STREAM_READ_BYTES`]: crate::base::limits::STREAM_READ_BYTES
    Bytes(Bytes),
    /// Whether the driver reads what the peer sends, from now on; at first it does. While it does
    /// not, the time that the peer has for what is arriving stands still.
    Intake(Intake),
    /// The peer will send no more on this stream.
    PeerFinished,
    /// What became of the record of an [`Action::Submit`].
    Submitted {
        /// The request's ticket.
        ticket: Ticket,
        /// What the peer is told.
        result: ResultCode,
    },
    /// Records that an [`Action::Read`] found, in the order in which they are to be sent.
    /// At most one page at a time.
    Records {
        /// The request's ticket.
        ticket: Ticket,
        /// The records; every one has passed [`visible`](crate::policy::visible).
        records: Vec<Record>,
    },
    /// A subscription has delivered everything that was stored when it began.
    LocallyComplete {
        /// The request's ticket.
        ticket: Ticket,
    },
    /// An [`Action::Read`] has ended: nothing more comes of it. `Success` where it delivered all
    /// there was, even if that was nothing.
    Ended {
        /// The request's ticket.
        ticket: Ticket,
        /// Why it ended.
        result: ResultCode,
    },
    /// The request is not carried out, or no further: it ran into a limit. Stands for
    /// [`Event::Submitted`], [`Event::Ended`], or the end of a BLOB.
    Exceeded {
        /// The ticket of an [`Action::Submit`], [`Action::Read`] or [`Action::Blob`].
        ticket: Ticket,
        /// The limit.
        excess: Excess,
    },
    /// The answer to an [`Action::Info`].
    Info {
        /// The request's ticket.
        ticket: Ticket,
        /// What the server says of itself.
        reply: InfoReply,
    },
    /// Part of the answer to an [`Action::Ask`]. A status comes first and once; a result follows it
    /// where it accepts. What comes out of turn is dropped.
    Answered {
        /// The request's ticket.
        ticket: Ticket,
        /// What the peer is told.
        answer: Answer,
    },
    /// Nothing more comes of an [`Action::Ask`]. Each has its end: until then it counts among those
    /// that a stream may have under way.
    AskEnded {
        /// The request's ticket.
        ticket: Ticket,
    },
    /// Part of the answer to an [`Action::Operate`].
    Reported {
        /// The request's ticket.
        ticket: Ticket,
        /// What came of it.
        report: Report,
    },
    /// Part of the answer to an [`Action::Blob`].
    Blob {
        /// The request's ticket.
        ticket: Ticket,
        /// What happened.
        news: BlobNews,
    },
    /// The listener's [`Gate`](crate::policy::Gate) moved.
    GateMoved,
    /// The peer may not stay: its connection is closed, at once, for that reason.
    Dismissed {
        /// What the peer is told in CLOSING.
        result: ResultCode,
    },
    /// The server is going down.
    Shutdown,
    /// The time of [`Stream::next_deadline`](super::Stream::next_deadline) has come.
    Deadline,
}

/// Whether the driver of a stream reads what the peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// It does.
    Reads,
    /// It does not: it waits for work of the server, or for the rate of bytes.
    Rests,
    /// It does not, as the peer does not take what waits for it.
    Blocked,
}

/// Something that the driver of a stream is to do, in the order in which it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take note that a peer that showed a key has said HELLO; once in the life of a connection.
    Greeted,
    /// Send these bytes.
    Send(Bytes),
    /// Send a RECORD message: these two, one after the other.
    SendRecord {
        /// The message's header.
        header: [u8; 8],
        /// The record's bytes, shared with everyone who reads the record.
        record: Bytes,
    },
    /// Verify, judge and store a record; answered by [`Event::Submitted`].
    Submit {
        /// Names this request.
        ticket: Ticket,
        /// The record; its structure is right, its hash and signature are not yet checked.
        record: Record,
        /// The role the stream is bound to.
        bound: Option<Role>,
        /// The one application the stream is bound to.
        app: Option<u32>,
    },
    /// Read records; answered by [`Event::Records`] any number of times, for a subscription
    /// [`Event::LocallyComplete`] once in between, and [`Event::Ended`].
    Read {
        /// Names this request.
        ticket: Ticket,
        /// What is asked for.
        request: ReadRequest,
        /// The role the stream is bound to.
        bound: Option<Role>,
        /// The one application the stream is bound to.
        app: Option<u32>,
    },
    /// End an [`Action::Read`]: its answers would be ignored from here on.
    Cancel {
        /// The request's ticket.
        ticket: Ticket,
    },
    /// Describe the server; answered by [`Event::Info`].
    Info {
        /// Names this request.
        ticket: Ticket,
    },
    /// Probe, vouch, take a dial-back or redeem an invitation; answered by [`Event::Answered`] up to twice, and
    /// [`Event::AskEnded`].
    Ask {
        /// Names this request.
        ticket: Ticket,
        /// What is asked for.
        ask: Ask,
    },
    /// Sign an operator in, or carry out an operator's order; answered by [`Event::Reported`]. At
    /// most one is under way on a stream.
    Operate {
        /// Names this request.
        ticket: Ticket,
        /// What is asked for.
        order: Order,
    },
    /// Take in or hand out a BLOB; answered by [`Event::Blob`].
    Blob {
        /// Names this request: one submission with all its data, or one GET.
        ticket: Ticket,
        /// What is to be done.
        order: BlobOrder,
    },
    /// Break our half of the stream off, without what waits to be sent: what was sent of a BLOB
    /// has no end. The last action.
    Reset,
    /// Send no more on this stream, once everything before was sent. Always the last word on the
    /// stream but for `StopReading` and `CloseConnection`.
    Finish,
    /// Tell the peer that nothing more of it is read on this stream.
    StopReading,
    /// Close the whole connection, once what was sent on this stream had time to arrive.
    CloseConnection {
        /// What the peer was told in CLOSING.
        result: ResultCode,
    },
}

/// What is to be done about a BLOB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobOrder {
    /// Ask whether it is taken: [`BlobNews::Taken`] or [`BlobNews::Submitted`].
    Submit {
        /// The hash it is handed in under.
        hash: BlobHash,
        /// How many data the peer says will follow.
        data_bytes: u64,
    },
    /// Take these data of it, which follow those before.
    Data(Bytes),
    /// That was all: check and store it, and answer [`BlobNews::Submitted`].
    End,
    /// Look for it: [`BlobNews::Found`], and then as many [`BlobNews::Page`]s as it takes; or
    /// [`BlobNews::NotSent`].
    Get {
        /// Its hash.
        hash: BlobHash,
    },
    /// Forget about it; what was taken of it is not kept. Answers would be ignored from here on.
    Drop,
}

/// What happened to a BLOB.
#[derive(Clone, Debug)]
pub enum BlobNews {
    /// It is taken: its data may come.
    Taken,
    /// What became of it. Where this comes before [`BlobOrder::End`], nothing more is wanted of it.
    Submitted(ResultCode),
    /// It is here, and that long.
    Found {
        /// Bytes of its data.
        data_bytes: u64,
    },
    /// Its next data.
    Page(Bytes),
    /// It is not handed out, or not to its end.
    NotSent(ResultCode),
}

/// What a peer wants of the tests of reachability, or of those who keep the list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To be dialed back; answered by [`Answer::Status`] and [`Answer::Result`].
    Probe(Box<ProbeRequest>),
    /// That a third server is dialed; answered by [`Answer::VoucherStatus`] and [`Answer::Result`].
    Vouch(Box<Voucher>),
    /// To show the nonce of a probe of ours; answered by [`Answer::DialbackAck`].
    Dialback(Dialback),
    /// To become a user; answered by [`Answer::Redeemed`]. Comes from peers with a key alone.
    Redeem(Redeem),
}

/// What is said to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Whether the peer is dialed back.
    Status(ProbeStatus),
    /// Whether a third server is dialed.
    VoucherStatus(VoucherStatus),
    /// How the dialing ended.
    Result(ProbeResult),
    /// The nonce was one of ours.
    DialbackAck(DialbackAck),
    /// What became of an invitation.
    Redeemed(RedeemResult),
    /// It is refused; sent as the first reply to that kind of ask.
    Refused(BodyRefusal),
}

/// What a peer who may be an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To have the stream as an operator; answered by [`Report::SignedIn`] once.
    SignIn,
    /// That something is done; answered by [`Report::Reply`], until one says that no more comes.
    Call(AdminCall),
}

/// What is said to an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Whether the peer is an operator; if not, the code and the reason.
    SignedIn(Result<(), (ResultCode, String)>),
    /// What came of a call, or part of that.
    Reply(AdminReply),
}

/// What a peer wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// The records with these IDs and addresses; at most [`limits::GET_REFERENCES_MAX`].
    ///
    /// [`limits::GET_REFERENCES_MAX`]: crate::base::limits::GET_REFERENCES_MAX
    Get(Vec<Reference>),
    /// Stored records that match, newest first.
    Query {
        /// What must hold of a record.
        filter: Filter,
        /// Most records to deliver; 0 sets no limit.
        limit: u16,
    },
    /// Stored records that match, newest first, then new ones as they arrive.
    Subscribe {
        /// What must hold of a record.
        filter: Filter,
        /// Most stored records to deliver; 0 sets no limit.
        limit: u16,
    },
}

impl ReadRequest {
    /// What an open request of this kind holds of what its peer sent.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Get(references) => references.len().saturating_mul(REFERENCE_BYTES),
            Self::Query { filter, .. } | Self::Subscribe { filter, .. } => filter.bytes().len(),
        }
    }
}

/// Bytes of a record ID or an address.
const REFERENCE_BYTES: usize = 48;
