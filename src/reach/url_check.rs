//! Looking whether this server is what answers at a configured URL.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::contacts::Contacts;
use super::evidence::UrlFinding;
use crate::client::{ConnectError, RawConnection, ServerTrust, Target};
use crate::wire::{SecretKey, ServerHost, ServerUrl};

/// Connects to `url` as any client would. What answers there shows somebody else's key, ours, or
/// nothing; that it answers with ours proves nothing about others, who have other ways here.
pub(super) async fn look(
    url: &ServerUrl,
    own: &SecretKey,
    contacts: &Contacts,
    patience: Duration,
) -> UrlFinding {
    let Some(address) = resolve(url).await else {
        return UrlFinding::Unresolved;
    };
    contacts.dialed(address.ip(), Instant::now());
    let target = Target::from((address, ServerTrust::Exact(own.public())));
    let target = target.with_transport(url.transport());
    match RawConnection::connect(&target, None, patience).await {
        Ok(connection) => {
            connection.close().await;
            UrlFinding::Ours(address.ip())
        }
        Err(ConnectError::WrongKey { .. }) => UrlFinding::WrongKey(address.ip()),
        Err(_) => UrlFinding::Silent(address.ip()),
    }
}

/// The first address of the URL's host.
async fn resolve(url: &ServerUrl) -> Option<SocketAddr> {
    match url.host() {
        ServerHost::Ip(ip) => Some(SocketAddr::new(*ip, url.port())),
        ServerHost::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), url.port())).await;
            found.ok()?.next().map(canonical)
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}
