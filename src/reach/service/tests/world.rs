//! Several hosts on one machine: `127.n.0.1` is host n, alone in its network, behind real QUIC.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use serde_bytes::ByteArray;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::base::limits;
use crate::client::testing::{Listener, ServerStream};
use crate::identity::{Peer, peer_of};
use crate::reach::contacts::Contacts;
use crate::reach::endpoint::Prober;
use crate::reach::service::admission::AddressRules;
use crate::reach::service::{Asker, Service, ServiceAnswer, Settings, padding};
use crate::reach::timing::Timing;
use crate::wire::{
    Body, BodyRefusal, ClientMessage, Dialback, DialbackAck, EXTENSION_APP, ExtensionRequest,
    Nonce, ProbeMode, ProbeRequest, ProbeResult, ProbeTransport, ResultCode, SecretKey,
    ServerMessage, Voucher,
};

/// Fast, but for what a loaded machine needs.
pub(in crate::reach) fn timing() -> Timing {
    Timing::scaled(0.001).unwrap()
}

pub(in crate::reach) fn key(host: u8) -> SecretKey {
    SecretKey::from_seed([host; 32])
}

pub(in crate::reach) fn ip(host: u8) -> IpAddr {
    Ipv4Addr::new(127, host, 0, 1).into()
}

/// A socket of `host` that never answers.
pub(in crate::reach) fn silent(host: u8) -> UdpSocket {
    let socket = UdpSocket::bind((ip(host), 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// What a listener does with a DIALBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reach) enum Takes {
    /// Takes every nonce.
    Nonces,
    /// Knows no nonce.
    NoNonce,
    /// Answers with the hash of something else.
    OtherNonce,
    /// Does not grant the extension.
    NoExtension,
    /// Reads, and says nothing.
    Silently,
}

/// The dial-backs that came to a listener: who dialed, from where, and what was shown.
type Caught = Arc<Mutex<Vec<(Peer, SocketAddr, Dialback)>>>;

/// A host that is served by tasks of its own, until it is dropped.
pub(in crate::reach) struct Host {
    pub(in crate::reach) address: SocketAddr,
    pub(in crate::reach) caught: Caught,
    _tasks: JoinSet<()>,
}

impl Host {
    /// A listener of `host` with the key of host `of`.
    pub(in crate::reach) async fn listening(host: u8, of: u8, takes: Takes) -> Self {
        let listener = Listener::on((ip(host), 0).into(), of).await;
        let (address, caught) = (listener.address, Caught::default());
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&caught);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(incoming) = listener.endpoint.accept().await {
                let seen = Arc::clone(&seen);
                connections.spawn(async move {
                    // A dialer that expects another key gives up.
                    let Ok(connection) = incoming.await else {
                        return;
                    };
                    let peer = peer_of(&connection).unwrap();
                    let remote = connection.remote_address();
                    let Some(mut stream) = ServerStream::accept(&connection).await else {
                        return;
                    };
                    take(&mut stream, takes, |dialback| {
                        seen.lock().unwrap().push((peer, remote, dialback));
                    })
                    .await;
                    connection.closed().await;
                });
            }
        });
        Self {
            address,
            caught,
            _tasks: tasks,
        }
    }

    /// A server of `host`, with its key, whose extension requests go to `service`.
    pub(in crate::reach) async fn serving(host: u8, service: Arc<Service>) -> Self {
        let listener = Listener::on((ip(host), 0).into(), host).await;
        let address = listener.address;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, peer) = listener.accept().await;
                let service = Arc::clone(&service);
                connections.spawn(async move {
                    let asker = Asker {
                        key: match peer {
                            Peer::Known(key) => Some(*key.key()),
                            Peer::Anonymous => None,
                        },
                        remote: connection.remote_address(),
                        local_ip: connection.local_ip(),
                        transport: ProbeTransport::Quic,
                    };
                    if let Some(stream) = ServerStream::accept(&connection).await {
                        serve(stream, asker, &service).await;
                    }
                });
            }
        });
        Self {
            address,
            caught: Caught::default(),
            _tasks: tasks,
        }
    }

    /// The host as its peers know it.
    pub(in crate::reach) fn prober(&self, host: u8) -> Prober {
        Prober {
            key: key(host).public(),
            address: self.address.to_string(),
            pinned: false,
        }
    }

    /// The host, which stays, and how its peers know it.
    pub(in crate::reach) fn kept(self, host: u8) -> (Self, Prober) {
        let prober = self.prober(host);
        (self, prober)
    }

    pub(in crate::reach) fn dialers(&self) -> Vec<(Peer, IpAddr)> {
        let caught = self.caught.lock().unwrap();
        caught
            .iter()
            .map(|(peer, remote, _)| (*peer, remote.ip()))
            .collect()
    }
}

async fn take(stream: &mut ServerStream, takes: Takes, caught: impl FnOnce(Dialback)) {
    let _hello = stream.receive().await;
    let apps = match takes {
        Takes::NoExtension => Vec::new(),
        _ => vec![EXTENSION_APP],
    };
    greet(stream, apps).await;
    let Ok(Some(ClientMessage::Extension(request))) = stream.receive().await else {
        return;
    };
    let dialback = Dialback::decode(&request.body).unwrap();
    let ack = |nonce: Nonce| DialbackAck {
        nonce_hash: ByteArray::new(nonce.hash()),
        from: dialback.dialed,
    };
    let reply: Bytes = match takes {
        Takes::Nonces => ack(dialback.nonce).encode(request.request_id),
        Takes::OtherNonce => ack(Nonce::generate()).encode(request.request_id),
        Takes::NoNonce => {
            let (result, why) = (ResultCode::Invalid, "no such nonce".to_owned());
            let refusal = BodyRefusal { result, why };
            refusal.encode(request.kind, request.request_id).unwrap()
        }
        Takes::NoExtension | Takes::Silently => return,
    };
    // Before the reply, so that whoever saw its effect sees it here.
    caught(dialback);
    stream.send_bytes(reply).await;
}

async fn greet(stream: &mut ServerStream, apps: Vec<u32>) {
    let (result, version) = (ResultCode::Success, 0);
    stream
        .send(ServerMessage::HelloAck {
            result,
            version,
            apps,
        })
        .await;
}

/// Requests one after the other, which is enough for what is tested.
async fn serve(mut stream: ServerStream, asker: Asker, service: &Service) {
    let _hello = stream.receive().await;
    greet(&mut stream, vec![EXTENSION_APP]).await;
    while let Ok(Some(ClientMessage::Extension(request))) = stream.receive().await {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let answer = |answer: ServiceAnswer| {
            sender.send(encode(&answer, &request)).unwrap();
        };
        let work = async {
            match request.kind {
                ProbeRequest::KIND => {
                    let body = ProbeRequest::decode(&request.body).unwrap();
                    service.probe(asker, body, &answer).await;
                }
                Voucher::KIND => {
                    let body = Voucher::decode(&request.body).unwrap();
                    service.vouch(asker, body, &answer).await;
                }
                other => panic!("{other:#x}"),
            }
        };
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(bytes) = answers.recv() => stream.send_bytes(bytes).await,
                () = &mut work => break,
            }
        }
        while let Ok(bytes) = answers.try_recv() {
            stream.send_bytes(bytes).await;
        }
    }
}

fn encode(answer: &ServiceAnswer, request: &ExtensionRequest) -> Bytes {
    let id = request.request_id;
    match answer {
        ServiceAnswer::Status(status) => status.encode(id),
        ServiceAnswer::VoucherStatus(status) => status.encode(id),
        ServiceAnswer::Result(result) => result.encode(id),
        ServiceAnswer::Refused(refusal) => refusal.encode(request.kind, id).unwrap(),
    }
}

/// The service of `host` in the world of loopback.
pub(in crate::reach) fn service(host: u8, helpers: Vec<Prober>) -> Arc<Service> {
    service_with(host, helpers, timing())
}

pub(in crate::reach) fn service_with(
    host: u8,
    helpers: Vec<Prober>,
    timing: Timing,
) -> Arc<Service> {
    let settings = Settings {
        identity: key(host),
        helpers,
        timing,
        enabled: true,
    };
    // Not shortened: what was contacted is looked at after dials that took their time.
    let contacts = Arc::new(Contacts::new(Timing::REAL));
    let rules = AddressRules::loopback();
    Arc::new(Service::with_rules(settings, contacts, rules))
}

/// `asker` as `prober` sees it.
pub(in crate::reach) fn asker(asker: u8, prober: u8) -> Asker {
    Asker {
        key: Some(key(asker).public()),
        remote: (ip(asker), 40_000).into(),
        local_ip: Some(ip(prober)),
        transport: ProbeTransport::Quic,
    }
}

/// A request of `asker` to `prober` that pays what it must.
pub(in crate::reach) fn request(asker: u8, prober: u8, port: u16, mode: ProbeMode) -> ProbeRequest {
    let (nonce, transport) = (Nonce::generate(), ProbeTransport::Quic);
    let hash = ProbeRequest::asked_hash(&key(prober).public(), &nonce, port, transport);
    let is_cold = mode == ProbeMode::Cold;
    ProbeRequest {
        nonce,
        port,
        mode,
        own: None,
        pad: padding(if is_cold {
            limits::PROBE_COLD_COST_BYTES
        } else {
            limits::PROBE_REQUEST_MIN_BYTES
        }),
        transport,
        asked: is_cold.then(|| key(asker).sign(&hash)),
        avoid: Vec::new(),
    }
}

/// Everything that `service` answers to a request.
pub(in crate::reach) async fn probe(
    service: &Service,
    asker: Asker,
    request: ProbeRequest,
) -> Vec<ServiceAnswer> {
    let answers = Mutex::new(Vec::new());
    let answer = |answer| answers.lock().unwrap().push(answer);
    service.probe(asker, request, &answer).await;
    answers.into_inner().unwrap()
}

/// Everything that `service` answers to a voucher.
pub(in crate::reach) async fn vouch(
    service: &Service,
    asker: Asker,
    voucher: Voucher,
) -> Vec<ServiceAnswer> {
    let answers = Mutex::new(Vec::new());
    let answer = |answer| answers.lock().unwrap().push(answer);
    service.vouch(asker, voucher, &answer).await;
    answers.into_inner().unwrap()
}

/// The code of the status that comes first, and the result that follows if one does.
pub(in crate::reach) fn read(
    answers: &[ServiceAnswer],
) -> (Option<crate::wire::ProbeCode>, Option<&ProbeResult>) {
    let code = match answers.first() {
        Some(ServiceAnswer::Status(status)) => Some(status.code),
        Some(ServiceAnswer::VoucherStatus(status)) => Some(status.code),
        _ => None,
    };
    let result = match answers.get(1..) {
        Some([ServiceAnswer::Result(result)]) => Some(result),
        Some([]) => None,
        other => panic!("{other:?}"),
    };
    (code, result)
}

/// Whether `service` lately sent something to `host`.
pub(in crate::reach) fn is_contacted(service: &Service, host: u8) -> bool {
    !service.contacts.is_cold(ip(host), Instant::now())
}
