//! Which server to connect to.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::error::ConnectError;
use crate::base::limits;
use crate::identity::ServerTrust;
use crate::wire::{ServerHost, ServerUrl, Transport, UrlError};

/// A server: where it listens, what it speaks there, and which key it must hold.
#[derive(Clone, Debug)]
pub struct Target {
    host: String,
    port: u16,
    trust: ServerTrust,
    transport: Transport,
}

/// Why a text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// No host in front of the port.
    #[error("no host")]
    NoHost,
    /// The port is no number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Brackets that do not pair, or an IPv6 address without them.
    #[error("an IPv6 address stands in brackets, as in [::1]:1320")]
    Brackets,
    /// A text with a scheme that is no URL of a server.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Target {
    /// The server at `host` (a name, or an IP address without brackets) and `port`, over QUIC.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, trust: ServerTrust) -> Self {
        Self {
            host: host.into(),
            port,
            trust,
            transport: Transport::Quic,
        }
    }

    /// The same server, spoken to over `transport`.
    #[must_use]
    pub fn with_transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`, which are spoken to over QUIC, or the URL
    /// of a server; without a port it is the transport's own, 1320 for QUIC and TCP.
    ///
    /// # Errors
    /// [`TargetError`], which says what is wrong with the text.
    pub fn parse(address: &str, trust: ServerTrust) -> Result<Self, TargetError> {
        if address.contains("://") {
            return Ok(Self::at(&address.parse()?, trust));
        }
        let (host, port) = split(address)?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => match digits.parse() {
                Ok(0) | Err(_) => return Err(TargetError::Port),
                Ok(port) => port,
            },
        };
        if host.is_empty() {
            return Err(TargetError::NoHost);
        }
        Ok(Self::new(host, port, trust))
    }

    /// The server at `url`.
    #[must_use]
    pub fn at(url: &ServerUrl, trust: ServerTrust) -> Self {
        let host = match url.host() {
            ServerHost::Ip(ip) => ip.to_string(),
            ServerHost::Name(name) => name.clone(),
        };
        Self::new(host, url.port(), trust).with_transport(url.transport())
    }

    /// The host, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: of UDP for QUIC, of TCP otherwise.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How the server is spoken to.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The key demanded of the server.
    #[must_use]
    pub const fn trust(&self) -> &ServerTrust {
        &self.trust
    }

    /// `host:port`, with the scheme before it where it is not QUIC, as [`parse`](Self::parse) reads
    /// it.
    #[must_use]
    pub fn address(&self) -> String {
        let port = self.port;
        let place = match self.host.contains(':') {
            true => format!("[{}]:{port}", self.host),
            false => format!("{}:{port}", self.host),
        };
        match self.transport {
            Transport::Quic => place,
            other => format!("{}://{place}/", other.scheme()),
        }
    }

    /// The addresses of the host that a socket bound to `from` can send to.
    pub(super) async fn resolve_for(
        &self,
        from: Option<IpAddr>,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let mut addresses = self.resolve().await?;
        if let Some(from) = from {
            addresses.retain(|address| address.is_ipv4() == from.is_ipv4());
            if addresses.is_empty() {
                let host = self.host.clone();
                return Err(ConnectError::NoAddressFor { host, from });
            }
        }
        Ok(addresses)
    }

    /// The addresses of the host, in the order in which they should be tried.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|source| ConnectError::Resolve {
                host: self.host.clone(),
                source,
            })?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if addresses.len() < limits::CLIENT_ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(ConnectError::NoAddress(self.host.clone()));
        }
        Ok(addresses)
    }
}

impl From<(SocketAddr, ServerTrust)> for Target {
    fn from((address, trust): (SocketAddr, ServerTrust)) -> Self {
        Self::new(address.ip().to_string(), address.port(), trust)
    }
}

/// Host and, where there is one, port.
fn split(address: &str) -> Result<(&str, Option<&str>), TargetError> {
    if let Some(inside) = address.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or(TargetError::Brackets)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(TargetError::Brackets),
        };
    }
    match address.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(TargetError::Brackets),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((address, None)),
    }
}

/// `mosaic-wire.md` section 8.
const DEFAULT_PORT: u16 = 1320;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, u16, &str), TargetError>) {
        let target = Target::parse(text, ServerTrust::Any);
        let got = target.map(|t| (t.host().to_owned(), t.port(), t.address()));
        let expected = expected.map(|(h, p, a)| (h.to_owned(), p, a.to_owned()));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn an_address_is_read_with_and_without_its_port() {
        check("a.example", Ok(("a.example", 1320, "a.example:1320")));
        check("192.0.2.1:99", Ok(("192.0.2.1", 99, "192.0.2.1:99")));
        check("[::1]", Ok(("::1", 1320, "[::1]:1320")));
        check("[2001:db8::1]:7", Ok(("2001:db8::1", 7, "[2001:db8::1]:7")));
    }

    #[test]
    fn an_address_is_a_url_where_the_transport_is_not_quic() {
        check("mosaic://[::1]/", Ok(("::1", 1320, "[::1]:1320")));
        let tcp = "mosaictcp://a.example:1320/";
        check("mosaictcp://A.Example", Ok(("a.example", 1320, tcp)));
        check(tcp, Ok(("a.example", 1320, tcp)));
        let tcp = "mosaictcp://[2001:db8::1]:7/";
        check(tcp, Ok(("2001:db8::1", 7, tcp)));
        let parsed = Target::parse(tcp, ServerTrust::Any).unwrap();
        assert_eq!(parsed.transport(), Transport::Tcp);
        check("http://a/", Err(UrlError::Transport.into()));
        check("mosaictcp://a:0/", Err(UrlError::Port.into()));
    }

    #[test]
    fn a_broken_address_says_what_is_wrong() {
        check("", Err(TargetError::NoHost));
        check(":1320", Err(TargetError::NoHost));
        check("a:", Err(TargetError::Port));
        check("a:0", Err(TargetError::Port));
        check("a:65536", Err(TargetError::Port));
        check("::1", Err(TargetError::Brackets));
        check("[::1", Err(TargetError::Brackets));
        check("[::1]1320", Err(TargetError::Brackets));
    }

    #[tokio::test]
    async fn an_ip_address_is_not_looked_up() {
        let target = Target::new("::1", 9, ServerTrust::Any);
        let expected: SocketAddr = "[::1]:9".parse().unwrap();
        assert_eq!(target.resolve().await.unwrap(), [expected]);
    }
}
