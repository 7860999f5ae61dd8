//! Parts of topologies that several rows share.

use crate::Outcome;
use crate::world::{End, PORT, PUBLIC, PUBLIC_V6, World};

/// Address of the server behind a home router.
pub(crate) const LAN: &str = "192.168.1.10";

/// A server with a public address of each family, one hop from the core.
pub(crate) fn public(world: &mut World) -> Outcome {
    world.leaf("s", [PUBLIC, "21.7.0.1"], [PUBLIC_V6, "2600:77::1"])
}

/// A server with public addresses behind the router `rtr`, where `rules` hold. The router's
/// interface to the Internet is `wan`, the other one `lan`.
pub(crate) fn routed(world: &mut World, rules: &str) -> Outcome {
    world.router("rtr")?;
    world.host("s")?;
    world.link(
        &End("rtr", "wan", &["22.8.0.2/24", "2600:88::2/64"]),
        &End("core", "rtr", &["22.8.0.1/24", "2600:88::1/64"]),
    )?;
    world.link(
        &End("rtr", "lan", &["21.7.0.1/24", "2600:77::1/64"]),
        &End("s", "eth0", &["21.7.0.2/24", "2600:77::2/64"]),
    )?;
    world.at("core").ip("route add 21.7.0.0/24 via 22.8.0.2\n\
         route add 2600:77::/64 via 2600:88::2")?;
    world.at("rtr").ip("route add default via 22.8.0.1\n\
         route add default via 2600:88::1")?;
    world.at("s").ip("route add default via 21.7.0.1\n\
         route add default via 2600:77::1")?;
    world.at("rtr").nft(rules)
}

/// A server on a home's network behind the router `rtr`, which has the public address and where
/// `rules` hold.
pub(crate) fn home(world: &mut World, rules: &str) -> Outcome {
    world.router("rtr")?;
    world.host("s")?;
    world.link(
        &End("rtr", "wan", &["21.7.0.2/24"]),
        &End("core", "rtr", &["21.7.0.1/24"]),
    )?;
    world.link(
        &End("rtr", "lan", &["192.168.1.1/24"]),
        &End("s", "eth0", &["192.168.1.10/24"]),
    )?;
    world.at("rtr").ip("route add default via 21.7.0.1")?;
    world.at("s").ip("route add default via 192.168.1.1")?;
    world.at("rtr").nft(rules)
}

/// A home router's rules: what leaves is masqueraded, and what was not asked for does not come in
/// but by `prerouting`. `forward` comes before the router's own rules for forwarding.
///
/// The router itself takes nothing from outside: a packet that it would answer, or only look at,
/// leaves an entry in its table of connections, and the next flow on that port gets another one.
pub(crate) fn nat(sets: &str, forward: &str, prerouting: &str, masquerade: &str) -> String {
    format!(
        "table inet nat {{
            {sets}
            chain input {{
                type filter hook input priority 0;
                iifname wan ct state established,related accept
                iifname wan drop
            }}
            chain forward {{
                type filter hook forward priority 0; policy drop;
                {forward}
                ct state established,related accept
                iifname lan accept
                ct status dnat accept
            }}
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                {prerouting}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname wan {masquerade}
            }}
        }}"
    )
}

/// A forwarded port.
pub(crate) fn forward(outside: u16) -> String {
    format!("iifname wan udp dport {outside} dnat ip to {LAN}:{PORT}")
}

/// A firewall without translation: what comes from outside passes if it was asked for, or if one
/// of `rules` accepts it.
pub(crate) fn firewall(sets: &str, rules: &str) -> String {
    format!(
        "table inet firewall {{
            {sets}
            chain forward {{
                type filter hook forward priority 0; policy drop;
                {rules}
                ct state established,related accept
                iifname lan accept
                meta l4proto ipv6-icmp accept
            }}
        }}"
    )
}
