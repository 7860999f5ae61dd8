//! Connections whose peers are told why they may not stay, and nothing else.

use bytes::Bytes;
use tokio::time::timeout;

use super::link::{Broken, Carrier, LinkReader, LinkWriter};
use crate::base::limits::CLOSE_TIMEOUT;
use crate::wire::{ResultCode, ServerMessage};

/// Answers the first stream with CLOSING and closes the connection. A peer that opens none, or
/// takes its time, is not waited for; the code is then in the end of the connection alone, where
/// the transport has a word for it.
pub(super) async fn turn_away<C: Carrier>(carrier: &mut C, result: ResultCode) {
    let told = timeout(CLOSE_TIMEOUT, tell(carrier, result)).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!(%result, "a peer was not there to be told");
    }
    carrier.close(result);
}

/// Says CLOSING, once the peer has spoken: over TCP, bytes of it that nobody read would make the
/// system take back ours.
async fn tell<C: Carrier>(carrier: &mut C, result: ResultCode) -> Result<(), Broken> {
    let accepted = carrier.accept().await;
    let (mut reader, mut writer) = accepted.map_err(|_over| Broken::Gone)?;
    let mut spoken = [Bytes::new()];
    reader.read(&mut spoken).await?;
    reader.stop(result);
    let mut closing = [ServerMessage::Closing { result }.encode()];
    let ended = writer.ended();
    while closing.iter().any(|chunk| !chunk.is_empty()) {
        writer.write(&mut closing).await?;
    }
    writer.finish();
    ended.await
}
