//! Who counts as one place on the Internet.

use std::net::{IpAddr, Ipv6Addr};

/// An address as it is counted: of IPv4 the address, of IPv6 the network of 64 bits that a home has
/// at the least. Loopback stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of `ip`, also where an IPv4 address was mapped into IPv6.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let first = ip.to_bits() & (u128::MAX << 64);
                Self(Ipv6Addr::from_bits(first).into())
            }
            ip => Self(ip),
        }
    }

    /// Whether it is this machine.
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_counts_as_one_and_so_do_64_bits_of_ipv6() {
        let check = |left: &str, right: &str, expected: bool| {
            let of = |text: &str| Network::of(text.parse().unwrap());
            assert_eq!(of(left) == of(right), expected, "{left} {right}");
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("2001:db8::1", "2001:db8::2:3:4:5", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("::1", "::2", false);
    }

    #[test]
    fn loopback_is_this_machine_in_either_version_and_nothing_else_is() {
        let check = |ip: &str, expected: bool| {
            let network = Network::of(ip.parse().unwrap());
            assert_eq!(network.is_loopback(), expected, "{ip}");
        };
        check("127.0.0.1", true);
        check("127.9.9.9", true);
        check("::ffff:127.0.0.1", true);
        check("::1", true);
        check("::2", false);
        check("192.0.2.1", false);
    }
}
