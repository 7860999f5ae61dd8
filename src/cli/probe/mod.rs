//! `mosaic probe`: has a server dial this machine back, and shows what it sees.

mod ports;
mod row;

use std::net::{IpAddr, SocketAddr};

use self::ports::Ports;
use self::row::ProbeRow;
use super::args::ProbeCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::{say, trust};
use crate::client::{ServerTrust, Target};
use crate::reach::ask::{Ask, ask};
use crate::reach::contacts::Contacts;
use crate::reach::endpoint::Prober;
use crate::reach::evidence::{ProbeAnswer, ProbeEnd};
use crate::reach::interfaces;
use crate::reach::timing::Timing;
use crate::wire::{
    Nonce, ProbeCode, ProbeMode, ProbeOutcome, ProbeTransport, PublicKey, SecretKey, Transport,
};

/// Asks the server to dial back, and prints what came of it.
///
/// # Errors
/// Which server, which key, or that no port can be listened on.
pub(super) async fn run(context: &Context, command: &ProbeCommand) -> Result<Exit, CliError> {
    let prober = prober(&trust::target(context).await?)?;
    // The dialer demands this key of whoever answers here, so without one a new one will do.
    let identity = context.identity()?.unwrap_or_else(SecretKey::generate);
    let mut ports = Ports::open(command, &identity)?;
    let mut output = context.output()?;
    if output.is_for_a_person() {
        let (address, port) = (&prober.address, ports.port);
        say(&format!(
            "{address} is asked to dial port {port} here, which takes up to 15 seconds"
        ));
    }
    let nonce = Nonce::generate();
    let contacts = Contacts::new(Timing::REAL);
    let asking = Box::pin(ask(Ask {
        prober: &prober,
        identity: &identity,
        from: None,
        nonce,
        port: ports.port,
        mode: command.mode,
        transport: command.transport,
        avoid: Vec::new(),
        timing: Timing::REAL,
        contacts: &contacts,
    }));
    let (end, arrived) = wait(asking, &mut ports, &nonce).await;
    let local = match interfaces::snapshot().await {
        Ok(facts) => Some(facts.addresses.iter().map(|it| it.ip).collect()),
        Err(error) => {
            say(&format!("mosaic: {}", super::error::chain(&error)));
            None
        }
    };
    let found = Found {
        end,
        arrived,
        local,
    };
    output.row(&ProbeRow::new(&prober, command, ports.port, &found))?;
    output.flush()?;
    Ok(found.exit())
}

/// A mode's name, as a flag has it.
pub(super) fn mode(text: &str) -> Result<ProbeMode, &'static str> {
    ProbeMode::from_name(text).ok_or("not one of direct, cold, canary")
}

/// A transport's name, as a flag has it.
pub(super) fn transport(text: &str) -> Result<ProbeTransport, &'static str> {
    ProbeTransport::from_name(text).ok_or("not one of quic, tcp")
}

/// The server as one that is asked to probe.
fn prober(target: &Target) -> Result<Prober, CliError> {
    let unsuitable = |why: &str| CliError::BadValue {
        what: "the server",
        why: why.into(),
    };
    if target.transport() != Transport::Quic {
        return Err(unsuitable(
            "it is asked over QUIC; give its mosaic:// address",
        ));
    }
    let ServerTrust::Exact(key) = *target.trust() else {
        return Err(unsuitable("its key is not known"));
    };
    Ok(Prober {
        key,
        address: target.address(),
        pinned: false,
    })
}

/// A dial-back that showed our nonce.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    from: SocketAddr,
    to: Option<IpAddr>,
    dialer: Option<PublicKey>,
}

/// Waits for the end of the request, and for the dial-back meanwhile: it comes before the end that
/// tells of it.
async fn wait(
    mut asking: impl Future<Output = ProbeEnd> + Unpin,
    ports: &mut Ports,
    nonce: &Nonce,
) -> (ProbeEnd, Option<Arrived>) {
    let mut arrived = None;
    loop {
        tokio::select! {
            biased;
            caught = ports.next() => {
                if caught.dialback.nonce != *nonce || arrived.is_some() {
                    caught.reject();
                    continue;
                }
                arrived = Some(Arrived {
                    from: caught.remote,
                    to: caught.dst,
                    dialer: caught.dialer,
                });
                caught.ack();
            }
            end = &mut asking => return (end, arrived),
        }
    }
}

/// What came of a probe.
#[derive(Debug)]
struct Found {
    end: ProbeEnd,
    arrived: Option<Arrived>,
    /// The addresses of this machine; `None` where the system does not tell.
    local: Option<Vec<IpAddr>>,
}

impl Found {
    fn exit(&self) -> Exit {
        match (&self.arrived, self.end.answer) {
            (Some(_), _) => Exit::Done,
            (None, ProbeAnswer::NotReached) => Exit::NoConnection,
            (None, _) => Exit::Refused,
        }
    }

    /// Whether the server sees an address that this machine has.
    fn is_local(&self) -> Option<bool> {
        let observed = self.end.observed?.ip();
        self.local.as_ref().map(|local| local.contains(&observed))
    }

    /// One sentence for people.
    fn meaning(&self, mode: ProbeMode) -> &'static str {
        if let Some(arrived) = &self.arrived {
            return self.meaning_of_arrival(arrived, mode);
        }
        match self.end.answer {
            ProbeAnswer::NotReached => "the server cannot be reached over QUIC; nothing was tested",
            ProbeAnswer::LocalError => "this machine cannot send there; nothing was tested",
            ProbeAnswer::Unusable => "the server does not dial anybody back; nothing was tested",
            ProbeAnswer::Refused(code) => meaning_of_refusal(code),
            ProbeAnswer::Dialed {
                outcome,
                control_ok,
                ..
            } => self.meaning_of_failure(outcome, control_ok),
        }
    }

    fn meaning_of_arrival(&self, arrived: &Arrived, mode: ProbeMode) -> &'static str {
        let dialed = self.end.observed.map(|observed| observed.ip());
        let is_third = self.end.prober_ip != Some(arrived.from.ip());
        match (arrived.to, mode) {
            (None, _) => "reachable; this system does not tell whether a NAT is in between",
            (to, _) if to != dialed => {
                "reachable through a NAT that passes the port on: a server here would be FORWARDED \
                 or TRANSLATED, which stays closed"
            }
            (_, ProbeMode::Cold) if is_third => {
                "reachable at this machine's own address, by a server that was not spoken to: a \
                 server here can be PUBLIC"
            }
            _ => {
                "reachable at this machine's own address, by the server that was asked; --mode cold \
                 shows whether others get through as well"
            }
        }
    }

    fn meaning_of_failure(&self, outcome: ProbeOutcome, control_ok: bool) -> &'static str {
        match (outcome, self.is_local()) {
            (ProbeOutcome::Ok, _) => {
                "the server says that it got through, and nothing arrived: it is mistaken, or lies"
            }
            (ProbeOutcome::LocalError, _) => "the dialer failed by itself; nothing was shown",
            (ProbeOutcome::NonceRejected | ProbeOutcome::WrongKey, _) => {
                "somebody else answers at that address and port: packets to it do not come here"
            }
            (ProbeOutcome::NoResponse, _) if !control_ok => {
                "nothing got through, but the dialer did not show that its own way out works"
            }
            (_, Some(true)) => {
                "the address is this machine's own, and nothing gets through that was not asked \
                 for: a server here would be FIREWALLED, which stays closed"
            }
            (_, Some(false)) => {
                "behind a NAT, as most clients are: there is nothing wrong with that; a server \
                 here would stay closed"
            }
            (_, None) => "nothing gets through: a NAT or a firewall is in between",
        }
    }
}

const fn meaning_of_refusal(code: ProbeCode) -> &'static str {
    match code {
        ProbeCode::Accepted => "the server accepted and did not dial; nothing was tested",
        ProbeCode::RateLimited => "asked too often; try again in a minute",
        ProbeCode::Busy => "the server is busy; try again",
        ProbeCode::NoFamily => "the server cannot dial that transport or family",
        ProbeCode::NotGlobal => {
            "the server sees an address that is not one of the public Internet, and dials no such"
        }
        ProbeCode::SameNetwork => "the server is a neighbour: its dialing would show nothing",
        ProbeCode::PortRefused => {
            "the server does not dial that port, or dialed three others here within the hour"
        }
        ProbeCode::NoHelper => "the server knows no third server that could dial",
        ProbeCode::CostRequired => "the server demands more padding than this program sends",
    }
}

#[cfg(test)]
mod tests;
