//! Somebody who speaks the messages of the dial-back service, and means no good.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mosaicd::client::{RawConnection, RawStream, ServerTrust, Target};
use mosaicd::wire::{
    Body, BodyRefusal, ClientMessage, EXTENSION_APP, Nonce, ProbeCode, ProbeMode, ProbeOutcome,
    ProbeRequest, ProbeResult, ProbeStatus, ProbeTransport, PublicKey, ResultCode, SecretKey,
    ServerMessage, Timestamp, Voucher, VoucherStatus,
};
use serde_bytes::ByteBuf;

use crate::Outcome;
use crate::netns::Netns;
use crate::scene::address;

/// An attacker on a host, and the server that it abuses.
pub(super) struct Attacker<'a> {
    pub(super) host: &'a Netns,
    /// The key that it shows; `None`: none.
    pub(super) key: Option<SecretKey>,
    /// The address that it speaks from, if not the usual one.
    pub(super) from: Option<IpAddr>,
    pub(super) server: PublicKey,
    pub(super) at: &'static str,
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The request was refused with this code.
    Code(ProbeCode),
    /// The request was refused as no request.
    Refused(ResultCode),
    /// It was accepted, and the dial ended like this, after this time.
    Dialed(ProbeOutcome, Duration),
    /// There was no connection, or no answer.
    Nothing,
}

impl Answer {
    pub(super) fn say(&self) -> String {
        match self {
            Self::Code(code) => code.name().to_owned(),
            Self::Refused(result) => format!("refused, {result}"),
            Self::Dialed(outcome, after) => {
                format!("{} after {:.2} s", outcome.name(), after.as_secs_f64())
            }
            Self::Nothing => "no connection".to_owned(),
        }
    }
}

impl Attacker<'_> {
    /// Sends a request on a connection of its own, and waits for its end.
    pub(super) fn ask<B: Body + Sync>(&self, body: &B) -> Outcome<Answer> {
        let message = body.encode(REQUEST_ID);
        self.host.block_on(|| async {
            let Some((connection, mut stream)) = self.open().await else {
                return Answer::Nothing;
            };
            let begin = Instant::now();
            let answer = match stream.send(message).await {
                Ok(()) => answer(&mut stream, begin).await,
                Err(_) => Answer::Nothing,
            };
            connection.close().await;
            answer
        })
    }

    async fn open(&self) -> Option<(RawConnection, RawStream)> {
        let target = Target::from((address(self.at), ServerTrust::Exact(self.server)));
        let patience = Duration::from_secs(4);
        let connecting =
            RawConnection::connect_from(&target, self.key.as_ref(), self.from, patience);
        let connection = connecting.await.ok()?;
        let mut stream = connection.open().await.ok()?;
        let hello = ClientMessage::Hello {
            version: 0,
            apps: vec![EXTENSION_APP],
        };
        stream.send(hello.encode()).await.ok()?;
        stream.receive().await.ok()??;
        Some((connection, stream))
    }

    /// A voucher that `server` would have `ip` dialed, sent by the attacker as a prober. Both keys
    /// are the attacker's own.
    pub(super) fn voucher(&self, server: &SecretKey, ip: &str, pad: usize) -> Voucher {
        let key = self.key.as_ref().unwrap();
        let nonce = Nonce::generate();
        let now = Timestamp::now();
        let asked = ProbeRequest::asked_hash(&key.public(), &nonce, PORT, ProbeTransport::Quic);
        let mut voucher = Voucher {
            server: server.public(),
            ip: ip.parse().unwrap(),
            port: PORT,
            nonce,
            issued: now,
            expires: now.saturating_add(Duration::from_secs(20)),
            asked: server.sign(&asked),
            signature: server.sign(&asked),
            transport: ProbeTransport::Quic,
            pad: ByteBuf::from(vec![0; pad]),
        };
        voucher.signature = key.sign(&voucher.signed_hash());
        voucher
    }
}

async fn answer(stream: &mut RawStream, begin: Instant) -> Answer {
    loop {
        let Ok(Some(ServerMessage::Extension(reply))) = stream.receive().await else {
            return Answer::Nothing;
        };
        if let Ok(result) = ProbeResult::decode(&reply.body) {
            return Answer::Dialed(result.outcome, begin.elapsed());
        }
        if let Ok(refusal) = BodyRefusal::decode(&reply.body) {
            return Answer::Refused(refusal.result);
        }
        let code = match (
            ProbeStatus::decode(&reply.body),
            VoucherStatus::decode(&reply.body),
        ) {
            (Ok(status), _) => status.code,
            (_, Ok(status)) => status.code,
            _ => return Answer::Nothing,
        };
        if code != ProbeCode::Accepted {
            return Answer::Code(code);
        }
    }
}

/// A request to be dialed at `port`, with as much padding as it takes.
pub(super) fn request(port: u16) -> ProbeRequest {
    ProbeRequest {
        nonce: Nonce::generate(),
        port,
        mode: ProbeMode::Direct,
        own: None,
        pad: ByteBuf::from(vec![0; 1_200]),
        transport: ProbeTransport::Quic,
        asked: None,
        avoid: Vec::new(),
    }
}

/// The port that vouchers name.
const PORT: u16 = 1_320;

const REQUEST_ID: u16 = 1;
