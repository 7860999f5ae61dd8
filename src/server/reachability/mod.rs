//! Where the network meets the question whether it is reached: dial-backs come in, requests to dial
//! others back are handed on, verdicts open and shut the gates.

mod control;
mod gatekeeper;
mod last_run;
mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_bytes::ByteArray;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) use self::control::{Call, ControlSocket, ask};
pub(super) use self::gatekeeper::Gatekeeper;
pub(super) use self::last_run::LastRun;
pub(super) use self::status::{GatedListener, StatusSource, Told, test};
use crate::base::limits::PROBE_SERVICE_TASKS_MAX;
use crate::config::Reachability;
use crate::net::{Answers, Arrival, Probing};
use crate::reach::address::is_global;
use crate::reach::contacts::Contacts;
use crate::reach::endpoint::{Listener, ListenerId, Prober};
use crate::reach::evidence::Spontaneous;
use crate::reach::onion::OnionSettings;
use crate::reach::plan::{self, Turn};
use crate::reach::runner::{Arrived, Monitor, Runner, Setup};
use crate::reach::service::{Asker, Service, ServiceAnswer, Settings};
use crate::reach::timing::Timing;
use crate::wire::{
    BodyRefusal, Dialback, DialbackAck, ProbeRequest, ProbeTransport, ResultCode, SecretKey,
    Voucher,
};

/// The network's way to the self-check and to the dial-back service.
pub(super) struct Reach {
    contacts: Arc<Contacts>,
    service: Arc<Service>,
    asks: mpsc::Sender<Asked>,
    /// Known once the sockets are bound, which is before the first connection; a server that does
    /// not test itself has none.
    watched: OnceLock<Watched>,
}

/// The self-check, and the sockets that it is about.
struct Watched {
    listeners: Vec<Listener>,
    monitor: Monitor,
}

/// The task that carries out what others ask of the dial-back service.
pub(super) struct Dialing {
    service: Arc<Service>,
    asks: mpsc::Receiver<Asked>,
}

/// Something that a peer asks of the dial-back service.
enum Asked {
    Probe(Asker, Box<ProbeRequest>, Answers),
    Vouch(Asker, Box<Voucher>, Answers),
}

impl Reach {
    /// The dial-back service of the server with that key, and its task. An earlier server of this
    /// data folder ran until `last_run`, if one did.
    pub(super) fn new(
        identity: SecretKey,
        config: &Reachability,
        last_run: Option<Duration>,
    ) -> (Self, Dialing) {
        let timing = timing(config);
        let contacts = Arc::new(match last_run {
            Some(ago) => Contacts::after(timing, ago, Instant::now()),
            None => Contacts::new(timing),
        });
        let settings = Settings {
            identity,
            helpers: probers(config),
            timing,
            enabled: config.probe_others,
        };
        let service = Arc::new(Service::new(settings, Arc::clone(&contacts)));
        let (sender, asks) = mpsc::channel(PROBE_SERVICE_TASKS_MAX);
        let dialing = Dialing {
            service: Arc::clone(&service),
            asks,
        };
        let reach = Self {
            contacts,
            service,
            asks: sender,
            watched: OnceLock::new(),
        };
        (reach, dialing)
    }

    /// The dial-back service.
    pub(super) fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service)
    }

    /// The self-check of this server, which hears from here on of what arrives at `listeners`;
    /// they are in the order in which the network numbers its sockets. `turn` is called whenever
    /// the verdict of one changes.
    pub(super) fn watch(
        &self,
        identity: SecretKey,
        config: &Reachability,
        listeners: Vec<Listener>,
        turn: impl Fn(Turn) + Send + 'static,
    ) -> (Runner, Monitor) {
        let setup = Setup {
            plan: plan::Settings {
                timing: timing(config),
                own_key: identity.public(),
                listeners: listeners.clone(),
                probers: probers(config),
                urls: config.urls.clone(),
                accept_static_nat: config.accept_static_nat.clone(),
                allow_ipv6_only: config.allow_ipv6_only,
            },
            identity,
            contacts: Arc::clone(&self.contacts),
            onion: OnionSettings::new(
                config.urls.clone(),
                config.torrc.clone(),
                config.tor_control.as_deref(),
            ),
            service: Arc::clone(&self.service),
        };
        let (runner, monitor) = Runner::new(setup, turn);
        let heard = monitor.clone();
        self.watched.get_or_init(|| Watched {
            listeners,
            monitor: heard,
        });
        (runner, monitor)
    }

    fn hand_on(&self, asked: Asked) {
        // What does not fit is dropped, which answers it.
        if self.asks.try_send(asked).is_err() {
            tracing::debug!("too many requests to dial back");
        }
    }

    /// Tells the self-check of a handshake.
    fn tell(&self, socket: usize, remote: IpAddr, local_ip: Option<IpAddr>, is_cold: bool) {
        let Some(Watched { listeners, monitor }) = self.watched.get() else {
            return;
        };
        let Some(listener) = listeners.get(socket) else {
            return;
        };
        if listener.bound.ip().is_loopback() {
            // Tor brings its visitors from this machine, and over TCP alone.
            if listener.transport == ProbeTransport::Tcp && remote.is_loopback() {
                monitor.loopback_peer(listener.id);
            }
        } else if is_cold {
            monitor.spontaneous(Spontaneous {
                listener: listener.id,
                remote,
                dst: local_ip,
            });
        }
    }
}

impl Probing for Reach {
    fn connected(&self, socket: usize, remote: SocketAddr, local_ip: Option<IpAddr>) -> bool {
        let is_cold = self.contacts.arrived(remote.ip(), Instant::now());
        self.tell(socket, remote.ip(), local_ip, is_cold);
        is_cold
    }

    fn is_local(&self, remote: IpAddr, local_ip: Option<IpAddr>) -> bool {
        may_be_brought(remote, local_ip)
    }

    fn disconnected(&self, remote: IpAddr) {
        self.contacts.left(remote, Instant::now());
    }

    fn moved(&self, _from: IpAddr, to: IpAddr) {
        self.contacts.dialed(to, Instant::now());
    }

    fn probe(&self, arrival: &Arrival, request: ProbeRequest, answers: Answers) {
        self.hand_on(Asked::Probe(asker(arrival), Box::new(request), answers));
    }

    fn vouch(&self, arrival: &Arrival, voucher: Voucher, answers: Answers) {
        self.hand_on(Asked::Vouch(asker(arrival), Box::new(voucher), answers));
    }

    fn dialback(&self, arrival: &Arrival, dialback: Dialback) -> Result<DialbackAck, BodyRefusal> {
        let is_ours = self.watched.get().is_some_and(|watched| {
            let listener = ListenerId(u16::try_from(arrival.socket).unwrap_or(u16::MAX));
            let arrived = Arrived {
                listener,
                remote: arrival.remote,
                dst: arrival.local_ip,
                dialer: arrival.peer.key().copied(),
                is_cold: arrival.is_cold,
            };
            watched.monitor.dialback(arrived, &dialback)
        });
        if !is_ours {
            return Err(BodyRefusal {
                result: ResultCode::Invalid,
                why: "this nonce is not expected here".to_owned(),
            });
        }
        Ok(DialbackAck {
            nonce_hash: ByteArray::new(dialback.nonce.hash()),
            from: arrival.remote,
        })
    }
}

impl Dialing {
    /// Serves requests until the network is gone, then ends those that are under way.
    pub(super) async fn run(mut self) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        loop {
            // Cancel safe: a request that was not taken stays in the channel.
            tokio::select! {
                asked = self.asks.recv(), if tasks.len() < PROBE_SERVICE_TASKS_MAX => match asked {
                    Some(asked) => {
                        let service = Arc::clone(&self.service);
                        tasks.spawn(asked.serve(service));
                    }
                    None => return,
                },
                Some(joined) = tasks.join_next() => {
                    if let Err(error) = joined {
                        tracing::error!(%error, "a dial-back panicked");
                    }
                }
            }
        }
    }
}

impl Asked {
    async fn serve(self, service: Arc<Service>) {
        match self {
            Self::Probe(asker, request, answers) => {
                let answer = move |said| pass_on(&answers, said);
                service.probe(asker, *request, &answer).await;
            }
            Self::Vouch(asker, voucher, answers) => {
                let answer = move |said| pass_on(&answers, said);
                service.vouch(asker, *voucher, &answer).await;
            }
        }
    }
}

fn pass_on(answers: &Answers, said: ServiceAnswer) {
    match said {
        ServiceAnswer::Status(status) => answers.status(status),
        ServiceAnswer::VoucherStatus(status) => answers.voucher_status(status),
        ServiceAnswer::Result(result) => answers.result(result),
        ServiceAnswer::Refused(refusal) => answers.refused(refusal),
    }
}

/// Whether Tor, on this machine or next door, may have brought a peer that came from `remote`.
fn may_be_brought(remote: IpAddr, local_ip: Option<IpAddr>) -> bool {
    let is_from_outside =
        local_ip.is_some_and(|local_ip| local_ip != remote && !local_ip.is_loopback());
    !is_from_outside || !is_global(remote)
}

fn asker(arrival: &Arrival) -> Asker {
    Asker {
        key: arrival.peer.key().copied(),
        remote: arrival.remote,
        local_ip: arrival.local_ip,
        transport: arrival.transport,
    }
}

/// The intervals of that configuration, whose factor was checked.
pub(super) fn timing(config: &Reachability) -> Timing {
    Timing::scaled(config.time_scale).unwrap_or_default()
}

/// The servers of the configuration that test others.
pub(super) fn probers(config: &Reachability) -> Vec<Prober> {
    let known = config.probers.iter();
    known
        .map(|prober| Prober {
            key: prober.key,
            address: prober.address.clone(),
            pinned: prober.is_witness,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_from_this_machine_or_next_door_may_be_brought_by_tor() {
        let check = |remote: &str, local_ip: Option<&str>, expected: bool| {
            let local_ip = local_ip.map(|ip| ip.parse().unwrap());
            let brought = may_be_brought(remote.parse().unwrap(), local_ip);
            assert_eq!(brought, expected, "{remote} {local_ip:?}");
        };
        check("12.2.0.9", Some("11.1.0.7"), false);
        check("2600:2::9", Some("2600:1::7"), false);
        check("127.0.0.1", Some("127.0.0.1"), true);
        check("12.2.0.9", Some("127.0.0.1"), true);
        check("11.1.0.7", Some("11.1.0.7"), true);
        check("172.17.0.2", Some("172.17.0.1"), true);
        check("fd00::2", Some("2600:1::7"), true);
        check("12.2.0.9", None, true);
    }
}
