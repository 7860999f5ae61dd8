//! The halves of a stream, whatever carries it.

use bytes::Bytes;
use quinn::VarInt;

use super::super::error::StreamEnd;
use super::{quic, tcp};

/// The half on which we speak.
#[derive(Debug)]
pub(in super::super) enum SendHalf {
    Quic(quinn::SendStream),
    Tcp(tcp::Sender),
}

/// The half on which the server speaks.
#[derive(Debug)]
pub(in super::super) enum ReceiveHalf {
    Quic(quinn::RecvStream),
    Tcp(tcp::Receiver),
}

impl SendHalf {
    /// Sends all of `chunks`; what is left of them afterwards is of no meaning.
    ///
    /// Not cancel safe: a part may have been sent.
    pub(in super::super) async fn write_all(
        &mut self,
        chunks: &mut [Bytes],
    ) -> Result<(), StreamEnd> {
        match self {
            Self::Quic(send) => send.write_all_chunks(chunks).await.map_err(quic::write_end),
            Self::Tcp(sender) => sender.write_all(chunks).await,
        }
    }

    /// Ends the half behind what was sent.
    pub(in super::super) fn finish(&mut self) {
        match self {
            // An error here means that the half has ended already.
            Self::Quic(send) => drop(send.finish()),
            Self::Tcp(sender) => sender.finish(),
        }
    }

    /// Breaks the half off.
    pub(in super::super) fn reset(&mut self) {
        match self {
            Self::Quic(send) => drop(send.reset(VarInt::from_u32(0))),
            Self::Tcp(sender) => sender.reset(),
        }
    }
}

impl ReceiveHalf {
    /// The next bytes; `None` at the end. Cancel safe.
    pub(in super::super) async fn read(&mut self) -> Result<Option<Bytes>, StreamEnd> {
        match self {
            Self::Quic(receive) => quic::read(receive).await,
            Self::Tcp(receiver) => receiver.read().await,
        }
    }
}
