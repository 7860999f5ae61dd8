//! Why a message is not carried out, and what the peer is told then.

use thiserror::Error;

use super::excess::Excess;
use crate::wire::{FrameError, MessageFault, RecordError, ResultCode};

/// Why a message is not carried out. The text is for the trace.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// The stream cannot be cut into messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message does not parse.
    #[error(transparent)]
    Message(#[from] MessageFault),
    /// A submission is not a record.
    #[error("not a record")]
    Record(#[from] RecordError),
    /// Something else came before HELLO.
    #[error("a message came before HELLO")]
    BeforeHello,
    /// HELLO did not come in time.
    #[error("no HELLO came in time")]
    NoHello,
    /// HELLO AUTH came, and TLS has authenticated the peer already.
    #[error("HELLO AUTH has no meaning over this transport")]
    HelloAuth,
    /// A stream bound to encryption is read by known clients alone.
    #[error("an anonymous client asked for private records")]
    AnonymousPrivateRead,
    /// It is more than the limits allow.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// The role of the stream, or every role, is shut.
    #[error("the role is shut")]
    Shut,
    /// The listener serves no role at all.
    #[error("no role is configured")]
    NoRole,
    /// ROLE OPEN was not the first message on its stream.
    #[error("ROLE OPEN must be the first message on its stream")]
    LateRoleOpen,
    /// Records were asked for or handed in on an operator's stream.
    #[error("an operator's stream carries no records")]
    OperatorStream,
    /// ADMIN came on a stream that is not an operator's.
    #[error("ADMIN is for a stream that was opened for the role operator")]
    NotOperator,
}

impl Fault {
    /// What the peer is told.
    pub(super) const fn code(&self) -> ResultCode {
        match self {
            Self::Frame(fault) => frame_code(fault),
            Self::Message(fault) => message_code(fault),
            Self::Record(fault) => record_code(fault),
            Self::BeforeHello | Self::NoHello | Self::HelloAuth | Self::LateRoleOpen => {
                ResultCode::Invalid
            }
            Self::AnonymousPrivateRead => ResultCode::RequiresAuthentication,
            Self::Excess(excess) => excess.result(),
            Self::NoRole | Self::OperatorStream | Self::NotOperator => ResultCode::Unauthorized,
            Self::Shut => ResultCode::TemporaryError,
        }
    }
}

const fn frame_code(fault: &FrameError) -> ResultCode {
    match fault {
        FrameError::TooLarge { .. } => ResultCode::TooLarge,
        FrameError::UnknownType(_)
        | FrameError::BadLength { .. }
        | FrameError::Truncated { .. } => ResultCode::Invalid,
    }
}

const fn message_code(fault: &MessageFault) -> ResultCode {
    match fault {
        MessageFault::UnknownType
        | MessageFault::Length
        | MessageFault::Reference(_)
        | MessageFault::Filter(_) => ResultCode::Invalid,
    }
}

const fn record_code(fault: &RecordError) -> ResultCode {
    match fault {
        RecordError::TooLong { .. } => ResultCode::TooLarge,
        RecordError::TooShort { .. }
        | RecordError::Length { .. }
        | RecordError::SignatureLength { .. }
        | RecordError::SignatureScheme
        | RecordError::ReservedFlags
        | RecordError::Timestamp(_)
        | RecordError::TimestampsDiffer
        | RecordError::NonceBit
        | RecordError::Kind(_)
        | RecordError::AuthorKey(_)
        | RecordError::SigningKey(_)
        | RecordError::Text(_) => ResultCode::Invalid,
    }
}
