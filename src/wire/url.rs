//! Where servers are: URLs of the three transports.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;
use url::Host;

/// Why a text, or a set of parts, is no URL of a Mosaic server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The text does not start with `mosaic://`, `mosaictcp://` or `mosaicwss://`.
    #[error("does not start with mosaic://, mosaictcp:// or mosaicwss://")]
    Transport,
    /// There is no host, or it is neither an IP address nor a name.
    #[error("host is neither an ip address nor a name")]
    Host,
    /// QUIC does not pass through Tor.
    #[error("a tor onion name cannot be reached over quic")]
    Onion,
    /// The port is no number from 1 to 65535.
    #[error("port is not a number from 1 to 65535")]
    Port,
    /// There is a path other than `/`.
    #[error("path is not /")]
    Path,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `mosaic`: QUIC over UDP.
    Quic,
    /// `mosaictcp`: TLS over TCP.
    Tcp,
    /// `mosaicwss`: WebSockets over TLS.
    WebSocket,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 3] = [Self::Quic, Self::Tcp, Self::WebSocket];

    /// The scheme of its URLs.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Quic => "mosaic",
            Self::Tcp => "mosaictcp",
            Self::WebSocket => "mosaicwss",
        }
    }

    /// The port where a URL names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Quic | Self::Tcp => 1320,
            Self::WebSocket => 443,
        }
    }
}

/// Host of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerHost {
    /// An IP address, which is the normal case.
    Ip(IpAddr),
    /// A DNS or Tor onion name: lower case, internationalised names in Punycode.
    Name(String),
}

impl ServerHost {
    /// Whether it is a Tor onion name.
    #[must_use]
    pub fn is_onion(&self) -> bool {
        match self {
            Self::Ip(_) => false,
            Self::Name(name) => name.trim_end_matches('.').ends_with(".onion"),
        }
    }
}

impl fmt::Display for ServerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for ServerHost {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(UrlError::Host)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| UrlError::Host)?;
            return Ok(Self::Ip(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(address.into()));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) => Ok(Self::Name(name)),
            // An address written in a way only browsers read, such as `127.1`, is refused.
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => Err(UrlError::Host),
        }
    }
}

/// URL of a Mosaic server.
///
/// Read from any spelling that means it; user, password, query and fragment are dropped. Written
/// as `scheme://host:port/`, without the port where it is the transport's own.
///
/// # Source
/// `mosaic-wire.md` section 8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUrl {
    transport: Transport,
    host: ServerHost,
    port: u16,
}

impl ServerUrl {
    /// The URL of those parts.
    ///
    /// # Errors
    /// - [`UrlError::Onion`]: an onion name with [`Transport::Quic`].
    /// - [`UrlError::Port`]: port 0.
    pub fn new(transport: Transport, host: ServerHost, port: u16) -> Result<Self, UrlError> {
        if transport == Transport::Quic && host.is_onion() {
            return Err(UrlError::Onion);
        }
        if port == 0 {
            return Err(UrlError::Port);
        }
        Ok(Self {
            transport,
            host,
            port,
        })
    }

    /// How the server is spoken to.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Where it is.
    #[must_use]
    pub const fn host(&self) -> &ServerHost {
        &self.host
    }

    /// UDP port for QUIC, TCP port for the others.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport.scheme(), self.host)?;
        if self.port != self.transport.default_port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str("/")
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Transport)?;
        let transport = Transport::ALL
            .into_iter()
            .find(|transport| transport.scheme().eq_ignore_ascii_case(scheme))
            .ok_or(UrlError::Transport)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at_checked(end).ok_or(UrlError::Host)?;
        let path = behind.split(['?', '#']).next().unwrap_or_default();
        if !matches!(path, "" | "/") {
            return Err(UrlError::Path);
        }
        let place = authority
            .rsplit_once('@')
            .map_or(authority, |(_user, place)| place);
        let (host, port) = split_port(place);
        let port = match port {
            None => transport.default_port(),
            Some(digits) => parse_port(digits)?,
        };
        Self::new(transport, host.parse()?, port)
    }
}

/// Splits `host:port`, where a host in brackets holds colons of its own.
fn split_port(place: &str) -> (&str, Option<&str>) {
    match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    }
}

fn parse_port(digits: &str) -> Result<u16, UrlError> {
    // Numbers as Rust reads them may have a sign.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| UrlError::Port)
    } else {
        Err(UrlError::Port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, UrlError>) {
        let read = text.parse::<ServerUrl>().map(|url| url.to_string());
        assert_eq!(read, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn each_transport_has_its_scheme_and_port() {
        check(
            "mosaic://203.0.113.2:5198/",
            Ok("mosaic://203.0.113.2:5198/"),
        );
        check("mosaic://203.0.113.2:1320/", Ok("mosaic://203.0.113.2/"));
        check(
            "mosaictcp://203.0.113.2:1320/",
            Ok("mosaictcp://203.0.113.2/"),
        );
        check(
            "mosaicwss://203.0.113.2:443/",
            Ok("mosaicwss://203.0.113.2/"),
        );
        check(
            "mosaicwss://203.0.113.2:1320",
            Ok("mosaicwss://203.0.113.2:1320/"),
        );
        for transport in Transport::ALL {
            let url: ServerUrl = format!("{}://[::1]", transport.scheme()).parse().unwrap();
            assert_eq!(url.transport(), transport);
            assert_eq!(url.port(), transport.default_port());
        }
        check("https://example.com/", Err(UrlError::Transport));
        check("mosaic:/example.com/", Err(UrlError::Transport));
        check(" mosaic://example.com/", Err(UrlError::Transport));
        check("", Err(UrlError::Transport));
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        check("mosaic://[2001:DB8::1]:7/", Ok("mosaic://[2001:db8::1]:7/"));
        check("MOSAIC://Example.COM", Ok("mosaic://example.com/"));
        check(
            "mosaic://bücher.example/",
            Ok("mosaic://xn--bcher-kva.example/"),
        );
        check("mosaic:///", Err(UrlError::Host));
        check("mosaic://:1320/", Err(UrlError::Host));
        check("mosaic://[::1/", Err(UrlError::Host));
        check("mosaic://::1/", Err(UrlError::Host));
        check("mosaic://[fe80::1%25eth0]/", Err(UrlError::Host));
        check("mosaic://127.1/", Err(UrlError::Host));
        check("mosaic://0x7f000001/", Err(UrlError::Host));
        check("mosaic://a b/", Err(UrlError::Host));
    }

    #[test]
    fn an_onion_name_is_for_the_transports_over_tcp() {
        check("mosaic://abcdef.onion/", Err(UrlError::Onion));
        check("mosaic://user@ABCDEF.Onion.:9/", Err(UrlError::Onion));
        check("mosaictcp://abcdef.onion/", Ok("mosaictcp://abcdef.onion/"));
        check("mosaicwss://abcdef.onion/", Ok("mosaicwss://abcdef.onion/"));
        check("mosaic://onion.example/", Ok("mosaic://onion.example/"));
    }

    #[test]
    fn a_port_is_a_number_from_1_to_65535() {
        check("mosaic://a.example:65535/", Ok("mosaic://a.example:65535/"));
        for port in ["", "0", "65536", "+1", "-1", "1 ", "x"] {
            check(&format!("mosaic://a.example:{port}/"), Err(UrlError::Port));
        }
    }

    #[test]
    fn only_the_root_path_is_a_server() {
        check("mosaic://a.example/?", Ok("mosaic://a.example/"));
        for path in ["//", "/x", "/.", "/%2f", "/x?y", "/x#y"] {
            check(&format!("mosaic://a.example{path}"), Err(UrlError::Path));
        }
    }

    #[test]
    fn user_password_query_and_fragment_are_dropped() {
        check(
            "mosaic://u:p@a.example:7/?q=/x#f/y",
            Ok("mosaic://a.example:7/"),
        );
        check("mosaic://a.example?q", Ok("mosaic://a.example/"));
        check("mosaic://a.example#f", Ok("mosaic://a.example/"));
        check("mosaic://u@v@[::1]:7", Ok("mosaic://[::1]:7/"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_what_is_written_is_read_back(
            text in "(mosaic|mosaictcp|mosaicwss)://[a-zA-Z0-9.:@/?#\\[\\] é%-]{0,30}",
        ) {
            if let Ok(url) = text.parse::<ServerUrl>() {
                prop_assert_eq!(url.to_string().parse(), Ok(url));
            }
        }
    }
}
