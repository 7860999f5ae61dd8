//! A request that is more than the server's limits allow, and how the peer learns which of them.

use thiserror::Error;

use crate::policy::Limit;
use crate::wire::{Refused, ResultCode};

/// The limit that a request ran into. The text is for people, the peer's among them.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Excess {
    /// The filter names nothing that would narrow the result, and this server asks for that.
    #[error("the filter has no narrow element")]
    WideFilter,
    /// More records pass than one request is given.
    #[error("more records match than one request is given")]
    Matches,
    /// Too many records have to be looked at.
    #[error("more records have to be looked at than one request may: narrow the filter")]
    Search,
    /// As many reads are open on the stream as may be.
    #[error("too many queries are open on the stream")]
    Reads,
    /// The open reads of the connection hold as much as they may.
    #[error("the open queries of the connection are too large together")]
    ReadsBytes,
    /// As many BLOBs are being handed in on the connection as may be.
    #[error("too many BLOBs are being handed in on the connection")]
    Uploads,
    /// Requests come faster than that rate.
    #[error("faster than the rate of {} allows for this address or key", .0.name())]
    Rate(Limit),
}

impl Excess {
    /// What the peer is told in the reply to the request.
    #[must_use]
    pub const fn result(self) -> ResultCode {
        match self {
            Self::WideFilter | Self::Matches | Self::Search => ResultCode::TooOpen,
            Self::Reads | Self::ReadsBytes | Self::Uploads | Self::Rate(_) => ResultCode::TooFast,
        }
    }

    /// What the peer is told if it asks.
    pub(super) fn told(self) -> Refused {
        Refused {
            result: self.result(),
            why: self.to_string(),
        }
    }
}
