//! What is said on the one stream of a dial-back.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde_bytes::ByteArray;
use tokio::sync::{mpsc, oneshot};

use super::super::raw::{ReceiveHalf, SendHalf};
use super::{Answer, Caught};
use crate::base::limits;
use crate::wire::{
    Body, BodyRefusal, ClientMessage, Dialback, DialbackAck, Direction, EXTENSION_APP,
    ExtensionRequest, Frame, FrameReader, PublicKey, ResultCode, ServerMessage,
};

/// Who is at the other end, and which of our addresses it dialed.
pub(super) struct Dialer {
    pub(super) remote: SocketAddr,
    pub(super) dst: Option<IpAddr>,
    pub(super) key: Option<PublicKey>,
}

/// Hears HELLO and DIALBACK, hands the dial-back on, and says what is answered to it.
pub(super) async fn hear(
    (send, receive): (SendHalf, ReceiveHalf),
    dialer: Dialer,
    caught: &mpsc::Sender<Caught>,
) -> Result<(), &'static str> {
    let mut stream = Stream {
        send,
        receive,
        frames: FrameReader::new(Direction::ToServer),
        taken_bytes: 0,
    };
    stream.greet().await?;
    let request = stream.request().await?;
    let dialback = match Dialback::decode(&request.body) {
        Ok(dialback) => dialback,
        Err(error) => {
            stream.refuse(&request, &BodyRefusal::of(&error)).await?;
            return Err("its DIALBACK does not decode");
        }
    };
    let from = SocketAddr::new(dialer.remote.ip().to_canonical(), dialer.remote.port());
    let (answer, answered) = oneshot::channel();
    let wait = caught.send(Caught {
        remote: from,
        dst: dialer.dst.map(|ip| ip.to_canonical()),
        dialer: dialer.key,
        dialback,
        answer,
    });
    wait.await.map_err(|_| "nobody waits for it any more")?;
    match answered.await {
        Ok(Answer::Ack) => {
            let ack = DialbackAck {
                nonce_hash: ByteArray::new(dialback.nonce.hash()),
                from,
            };
            stream.say(ack.encode(request.request_id)).await?;
        }
        Ok(Answer::Reject) => {
            let refusal = BodyRefusal {
                result: ResultCode::Invalid,
                why: "this nonce is not expected here".into(),
            };
            stream.refuse(&request, &refusal).await?;
        }
        Err(_) => return Err("nobody answered it"),
    }
    stream.send.finish();
    Ok(())
}

struct Stream {
    send: SendHalf,
    receive: ReceiveHalf,
    frames: FrameReader,
    taken_bytes: usize,
}

impl Stream {
    async fn greet(&mut self) -> Result<(), &'static str> {
        let ClientMessage::Hello { apps, .. } = self.receive().await? else {
            return Err("it did not begin with HELLO");
        };
        let is_granted = apps.contains(&EXTENSION_APP);
        let ack = ServerMessage::HelloAck {
            result: ResultCode::Success,
            version: VERSION,
            apps: is_granted.then_some(EXTENSION_APP).into_iter().collect(),
        };
        self.say(ack.encode()).await?;
        if is_granted {
            Ok(())
        } else {
            Err("it does not speak the extension messages")
        }
    }

    async fn request(&mut self) -> Result<ExtensionRequest, &'static str> {
        match self.receive().await? {
            ClientMessage::Extension(request) if request.kind == Dialback::KIND => Ok(request),
            _ => {
                self.say(ServerMessage::Unrecognized.encode()).await?;
                self.send.finish();
                Err("it did not send DIALBACK")
            }
        }
    }

    async fn receive(&mut self) -> Result<ClientMessage, &'static str> {
        loop {
            match self.frames.next().map_err(|_| NO_MESSAGE)? {
                Some(Frame::Message(message)) => {
                    return ClientMessage::parse(&message).map_err(|_| NO_MESSAGE);
                }
                Some(Frame::BlobData { .. }) => return Err("it sends a BLOB"),
                None => {}
            }
            let read = self.receive.read().await;
            let bytes = read.ok().flatten().ok_or("it ended the stream")?;
            self.taken_bytes += bytes.len();
            if self.taken_bytes > limits::CATCHER_MAX_BYTES.into() {
                return Err("it says too much");
            }
            self.frames.push(bytes);
        }
    }

    async fn refuse(
        &mut self,
        request: &ExtensionRequest,
        refusal: &BodyRefusal,
    ) -> Result<(), &'static str> {
        if let Some(message) = refusal.encode(request.kind, request.request_id) {
            self.say(message).await?;
        }
        self.send.finish();
        Ok(())
    }

    async fn say(&mut self, message: Bytes) -> Result<(), &'static str> {
        let written = self.send.write_all(&mut [message]).await;
        written.map_err(|_| "it went away")
    }
}

const NO_MESSAGE: &str = "it sends bytes that are no message";

/// The only major version of the protocol, so whatever is offered, it is this one or older than it.
const VERSION: u16 = 0;
