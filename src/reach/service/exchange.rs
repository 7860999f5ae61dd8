//! A conversation in extension messages with another server: what asking, dialing back and
//! vouching have in common.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::base::limits;
use crate::client::{ConnectError, RawConnection, RawStream, ServerTrust, Target};
use crate::reach::address::canonical_address;
use crate::reach::contacts::Contacts;
use crate::reach::endpoint::Prober;
use crate::wire::{
    Body, BodyRefusal, ClientMessage, EXTENSION_APP, ExtensionReply, ProbeOutcome, ResultCode,
    ServerMessage,
};

/// A stream on which the extension set was granted, and nothing else was asked for.
#[derive(Debug)]
pub(in crate::reach) struct Exchange {
    stream: RawStream,
    /// Keeps the connection open.
    _connection: RawConnection,
}

/// Why there is no reply of the type that was waited for.
#[derive(Debug)]
pub(in crate::reach) enum NoReply {
    /// The request was refused in the form that all replies have in common.
    Refused(ResultCode),
    /// The other server went away, broke the protocol, or does not speak the messages.
    Broken,
}

impl Exchange {
    /// Says HELLO on a connection on which nothing was said yet.
    pub(in crate::reach) async fn open(connection: RawConnection) -> Result<Self, NoReply> {
        let mut stream = connection.open().await.map_err(|_| NoReply::Broken)?;
        let hello = ClientMessage::Hello {
            version: 0,
            apps: vec![EXTENSION_APP],
        };
        stream.send(hello.encode()).await.map_err(broken)?;
        let granted = match stream.receive().await.map_err(broken)? {
            Some(ServerMessage::HelloAck {
                result: ResultCode::Success,
                version: 0,
                apps,
            }) => apps.contains(&EXTENSION_APP),
            _ => false,
        };
        if !granted {
            return Err(NoReply::Broken);
        }
        Ok(Self {
            stream,
            _connection: connection,
        })
    }

    /// Sends a request.
    pub(in crate::reach) async fn send<B: Body + Sync>(
        &mut self,
        request_id: u16,
        body: &B,
    ) -> Result<(), NoReply> {
        let message = body.encode(request_id);
        self.stream.send(message).await.map_err(broken)
    }

    /// The reply that comes next, which has to be a `B` that answers `request_id`.
    pub(in crate::reach) async fn reply<B: Body>(&mut self, request_id: u16) -> Result<B, NoReply> {
        match self.stream.receive().await.map_err(broken)? {
            Some(ServerMessage::Extension(reply)) => read(&reply, request_id),
            _ => Err(NoReply::Broken),
        }
    }
}

fn read<B: Body>(reply: &ExtensionReply, request_id: u16) -> Result<B, NoReply> {
    if reply.kind != B::KIND || reply.request_id != request_id {
        return Err(NoReply::Broken);
    }
    B::decode(&reply.body).map_err(|_| match BodyRefusal::decode(&reply.body) {
        Ok(refusal) => NoReply::Refused(refusal.result),
        Err(_) => NoReply::Broken,
    })
}

/// Keeps an address noted as contacted, from before the first packet to it until after the last.
pub(in crate::reach) struct Contacting<'a> {
    contacts: &'a Contacts,
    ip: IpAddr,
}

impl<'a> Contacting<'a> {
    pub(in crate::reach) fn begin(contacts: &'a Contacts, ip: IpAddr) -> Self {
        // A connection that is open counts in the same way, whoever opened it.
        contacts.arrived(ip, Instant::now());
        Self { contacts, ip }
    }
}

impl Drop for Contacting<'_> {
    fn drop(&mut self) {
        self.contacts.left(self.ip, Instant::now());
    }
}

/// The addresses of `prober` that pass `is_wanted`, as far as they can be found out; at most
/// [`limits::CLIENT_ADDRESSES_MAX`].
pub(in crate::reach) async fn addresses_of(
    prober: &Prober,
    is_wanted: impl Fn(SocketAddr) -> bool,
) -> Vec<SocketAddr> {
    let Ok(target) = Target::parse(&prober.address, ServerTrust::Exact(prober.key)) else {
        return Vec::new();
    };
    let Ok(found) = tokio::net::lookup_host((target.host(), target.port())).await else {
        return Vec::new();
    };
    let mut addresses = Vec::new();
    for address in found.map(canonical_address).filter(|at| is_wanted(*at)) {
        if addresses.len() < limits::CLIENT_ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Leaves out the probers whose names would be one look-up too many, the last ones. An address needs
/// no look-up.
pub(super) fn keep_few_names(probers: &mut Vec<&Prober>) {
    let mut names = 0;
    probers.retain(|prober| {
        let target = Target::parse(&prober.address, ServerTrust::Exact(prober.key));
        let is_name = target.is_ok_and(|target| target.host().parse::<IpAddr>().is_err());
        names += usize::from(is_name);
        !is_name || names <= limits::PROBE_LOOKUPS_MAX
    });
}

/// What a failed connection to an address says about it.
pub(in crate::reach) fn outcome_of(error: &ConnectError) -> ProbeOutcome {
    use std::io::ErrorKind;
    match error {
        ConnectError::Timeout(_) => ProbeOutcome::NoResponse,
        ConnectError::WrongKey { .. } => ProbeOutcome::WrongKey,
        ConnectError::Handshake { .. }
        | ConnectError::Channel { .. }
        | ConnectError::NoKey(_)
        | ConnectError::Greeting(_)
        | ConnectError::NoGreeting
        | ConnectError::Refused(_) => ProbeOutcome::ProtocolError,
        ConnectError::Unreachable { source, .. } => match source.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => ProbeOutcome::Unreachable,
            ErrorKind::TimedOut => ProbeOutcome::NoResponse,
            _ => ProbeOutcome::LocalError,
        },
        ConnectError::Resolve { .. }
        | ConnectError::NoAddress(_)
        | ConnectError::NoAddressFor { .. }
        | ConnectError::Unsupported(_)
        | ConnectError::Socket(_)
        | ConnectError::Identity(_)
        | ConnectError::Dial { .. } => ProbeOutcome::LocalError,
    }
}

fn broken<E>(_: E) -> NoReply {
    NoReply::Broken
}
