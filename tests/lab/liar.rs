//! Probers that lie: servers like any other, but for what they do when they are asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mosaicd::base::RoleSet;
use mosaicd::client::{RawConnection, ServerTrust, Target};
use mosaicd::identity::{Identity, Peer};
use mosaicd::net::{
    Admission, Answers, Arrival, Control, InfoSource, Listener, Probing, Services, Socket,
};
use mosaicd::policy::{
    AppRules, AppSubmit, Apps, BlobRules, Gate, LiveRules, Moderation, RateRules, Rates, Rules,
    Served,
};
use mosaicd::session::Settings;
use mosaicd::wire::{
    Body, BodyRefusal, ClientMessage, Dialback, DialbackAck, EXTENSION_APP, InfoLimits, InfoReply,
    ProbeCode, ProbeMode, ProbeOutcome, ProbeRequest, ProbeResult, ProbeStatus, ProbeTransport,
    PublicKey, Registration, ResultCode, SecretKey, Timestamp, Voucher, VoucherStatus,
};

use crate::Outcome;
use crate::netns::Netns;
use crate::scene::Behaviour;

/// A lying prober at work. It ends when it is dropped.
pub(crate) struct Liar {
    control: Control,
}

impl Liar {
    /// Starts a prober that holds `key` at `address` in `host`.
    pub(crate) fn start(
        host: &Netns,
        address: SocketAddr,
        key: SecretKey,
        behaviour: Behaviour,
    ) -> Outcome<Self> {
        let (started, starting) = mpsc::channel();
        host.spawn_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = match listen(address, key, behaviour) {
                    Ok(listener) => listener,
                    Err(error) => return drop(started.send(Err(error))),
                };
                drop(started.send(Ok(listener.control())));
                drop(listener.run().await);
            });
        });
        let control = starting
            .recv()
            .map_err(|_| format!("no prober can be started at {address}"))??;
        Ok(Self { control })
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        // It ends by itself, as soon as its peers know.
        self.control.shutdown();
    }
}

fn listen(address: SocketAddr, key: SecretKey, behaviour: Behaviour) -> Outcome<Listener> {
    let socket = Socket {
        address,
        transport: ProbeTransport::Quic,
        settings: Arc::new(settings()),
        local_settings: None,
    };
    let services = Services {
        records: None,
        info: Arc::new(NoInfo(key.public())),
        probing: Arc::new(Lies {
            key: key.clone(),
            behaviour,
        }),
        connections_max: 64,
        operator: None,
        admission: Admission {
            bans: Arc::default(),
            rates: Arc::new(Rates::new(RateRules::NONE, std::time::Instant::now())),
        },
    };
    Listener::bind(&[socket], &Identity::new(key), services)
        .map_err(|error| format!("{address}: {error}"))
}

fn settings() -> Settings {
    Settings {
        gate: Arc::new(Gate::closed(RoleSet::EMPTY, "", Timestamp::now())),
        rules: Arc::new(LiveRules::new(Rules {
            served: Arc::new(Nobody),
            inbox_public: false,
            moderation: Moderation::Off,
            applications: AppRules {
                apps: Apps::List(Vec::new()),
                submit: AppSubmit::Authenticated,
            },
            blobs: BlobRules::OFF,
        })),
        refuse_wide_filters: true,
    }
}

struct Nobody;

impl Served for Nobody {
    fn contains(&self, _: &PublicKey) -> bool {
        false
    }
}

struct NoInfo(PublicKey);

impl InfoSource for NoInfo {
    fn info(&self, _: &Arrival) -> InfoReply {
        InfoReply {
            name: "a server like any other".to_owned(),
            software: "laboratory".to_owned(),
            version: "0".to_owned(),
            spec: "0.8".to_owned(),
            key: self.0,
            description: None,
            contact: None,
            terms: None,
            endpoints: Vec::new(),
            roles: BTreeMap::new(),
            applications: Vec::new(),
            limits: InfoLimits {
                record_bytes: 0,
                blob_bytes: 0,
                filter_bytes: 0,
                query_results: 0,
                subscriptions_per_stream: 0,
                streams: 0,
                submissions_per_second: 0,
                retention_seconds: None,
            },
            registration: Registration::Closed,
            probes: true,
            now: Timestamp::now(),
            you: None,
            refused: None,
        }
    }
}

/// What the prober does when it is asked.
#[derive(Clone)]
struct Lies {
    key: SecretKey,
    behaviour: Behaviour,
}

impl Probing for Lies {
    fn connected(&self, _: usize, _: SocketAddr, _: Option<IpAddr>) -> bool {
        false
    }

    fn moved(&self, _: IpAddr, _: IpAddr) {}

    fn disconnected(&self, _: IpAddr) {}

    fn probe(&self, arrival: &Arrival, request: ProbeRequest, answers: Answers) {
        let code = match (self.behaviour, request.mode) {
            (Behaviour::Refuses, _) => ProbeCode::Busy,
            (Behaviour::DialsInstead(_), ProbeMode::Cold | ProbeMode::Canary) => {
                ProbeCode::NoHelper
            }
            _ => ProbeCode::Accepted,
        };
        answers.status(ProbeStatus {
            code,
            observed: arrival.remote,
            cost: None,
            now: Timestamp::now(),
        });
        if code == ProbeCode::Accepted {
            let (lies, arrival) = (self.clone(), arrival.clone());
            tokio::spawn(async move {
                let outcome = lies.outcome(&arrival, &request).await;
                answers.result(lies.result(outcome, &arrival, &request));
            });
        }
    }

    fn vouch(&self, _: &Arrival, _: Voucher, answers: Answers) {
        answers.voucher_status(VoucherStatus {
            code: ProbeCode::Busy,
            cost: None,
        });
    }

    fn dialback(&self, _: &Arrival, _: Dialback) -> Result<DialbackAck, BodyRefusal> {
        Err(BodyRefusal {
            result: ResultCode::Invalid,
            why: "nobody was asked".to_owned(),
        })
    }
}

impl Lies {
    async fn outcome(&self, arrival: &Arrival, request: &ProbeRequest) -> ProbeOutcome {
        match self.behaviour {
            Behaviour::DialsInstead(instead) => {
                let to_port = SocketAddr::new(instead.ip(), request.port);
                match self.dial(arrival, request, to_port).await {
                    Some(()) => ProbeOutcome::Ok,
                    None => ProbeOutcome::NoResponse,
                }
            }
            Behaviour::SaysOk => ProbeOutcome::Ok,
            Behaviour::SaysNoResponse | Behaviour::Refuses | Behaviour::Honest => {
                // As long as an honest prober would have tried.
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                ProbeOutcome::NoResponse
            }
        }
    }

    fn result(
        &self,
        outcome: ProbeOutcome,
        arrival: &Arrival,
        request: &ProbeRequest,
    ) -> ProbeResult {
        let mut result = ProbeResult {
            outcome,
            control_ok: true,
            dialer: Some(self.key.public()),
            dialer_ip: arrival.local_ip,
            signature: None,
        };
        result.signature = Some(self.key.sign(&result.signed_hash(&request.nonce)));
        result
    }

    /// Shows the nonce at `instead`, and says that it was shown at the asker's address.
    async fn dial(
        &self,
        arrival: &Arrival,
        request: &ProbeRequest,
        instead: SocketAddr,
    ) -> Option<()> {
        let Peer::Known(asker) = arrival.peer else {
            return None;
        };
        let target = Target::from((instead, ServerTrust::Exact(*asker.key())));
        let patience = Duration::from_secs(2);
        let dialing =
            RawConnection::connect_from(&target, Some(&self.key), arrival.local_ip, patience);
        let connection = dialing.await.ok()?;
        let mut stream = connection.open().await.ok()?;
        let hello = ClientMessage::Hello {
            version: 0,
            apps: vec![EXTENSION_APP],
        };
        stream.send(hello.encode()).await.ok()?;
        stream.receive().await.ok()??;
        let dialback = Dialback {
            nonce: request.nonce,
            mode: request.mode,
            dialed: SocketAddr::new(arrival.remote.ip(), request.port),
        };
        stream.send(dialback.encode(1)).await.ok()?;
        stream.receive().await.ok()??;
        connection.close().await;
        Some(())
    }
}
