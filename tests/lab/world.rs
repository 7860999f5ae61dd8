//! A small world for one row: hosts, links between them, and the addresses everybody agrees on.
//!
//! ```text
//! p1 … p6, cli ──── core ──── what the row adds: s, and what stands before it
//! ```
//!
//! Addresses are global ones, each prober's in a network of its own (/16, /32), for the server
//! counts neither documentation nor private addresses. They lead nowhere: no namespace has a link
//! to the outside.

use std::collections::BTreeMap;

use crate::Outcome;
use crate::netns::Netns;
use crate::udp::Port;

/// The probers' hosts.
pub(crate) const PROBERS: [&str; 6] = ["p1", "p2", "p3", "p4", "p5", "p6"];

/// Mosaic's port, on which every server listens.
pub(crate) const PORT: u16 = 1320;

/// The public address that stands for the tested server, on it or before it.
pub(crate) const PUBLIC: &str = "21.7.0.2";

/// The same for IPv6.
pub(crate) const PUBLIC_V6: &str = "2600:77::2";

/// The address of prober `number`, 1 to 6.
pub(crate) fn prober_v4(number: usize) -> String {
    format!("{ten}.{number}.0.2", ten = 10 + number)
}

/// The IPv6 address of prober `number`.
pub(crate) fn prober_v6(number: usize) -> String {
    format!("2600:{number}::2")
}

/// Hosts and links.
pub(crate) struct World {
    prefix: String,
    scale: f64,
    hosts: BTreeMap<&'static str, Netns>,
}

/// One end of a link: the host, its interface, the addresses on it.
pub(crate) struct End<'a>(
    pub(crate) &'static str,
    pub(crate) &'a str,
    pub(crate) &'a [&'a str],
);

impl World {
    /// The Internet: a core, six probers, and a client, each in a network of its own.
    ///
    /// `prefix` tells its hosts from those of other worlds; time runs faster by `scale`.
    pub(crate) fn internet(prefix: &str, scale: f64) -> Outcome<Self> {
        let mut world = Self {
            prefix: prefix.to_owned(),
            scale,
            hosts: BTreeMap::new(),
        };
        world.router("core")?;
        for (index, name) in PROBERS.into_iter().enumerate() {
            let number = index + 1;
            let (v4, v6) = (prober_v4(number), prober_v6(number));
            let core_v4 = format!("{}.{number}.0.1", 10 + number);
            world.leaf(name, [&v4, &core_v4], [&v6, &format!("2600:{number}::1")])?;
        }
        world.leaf(
            "cli",
            ["31.9.0.2", "31.9.0.1"],
            ["2600:99::2", "2600:99::1"],
        )?;
        Ok(world)
    }

    /// Adds a host that forwards nothing.
    pub(crate) fn host(&mut self, name: &'static str) -> Outcome<&Netns> {
        let host = Netns::add(format!("{}-{name}", self.prefix))?;
        Ok(self.hosts.entry(name).or_insert(host))
    }

    /// Adds a host that forwards everything, with short memories of UDP flows: a row's time is
    /// shortened, so what the network remembers is too.
    pub(crate) fn router(&mut self, name: &'static str) -> Outcome<&Netns> {
        let seconds = |real: f64| (real * self.scale).ceil().max(2.0).to_string();
        let (unanswered, answered) = (seconds(150.0), seconds(300.0));
        let router = self.host(name)?;
        router.sysctls(&[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/netfilter/nf_conntrack_udp_timeout", &unanswered),
            ("net/netfilter/nf_conntrack_udp_timeout_stream", &answered),
        ])?;
        Ok(router)
    }

    /// A host with one link to the core: `[its address, the core's]` for each family.
    pub(crate) fn leaf(&mut self, name: &'static str, v4: [&str; 2], v6: [&str; 2]) -> Outcome {
        self.host(name)?;
        let [own_v4, core_v4] = v4.map(|ip| format!("{ip}/24"));
        let [own_v6, core_v6] = v6.map(|ip| format!("{ip}/64"));
        self.link(
            &End(name, "eth0", &[&own_v4, &own_v6]),
            &End("core", name, &[&core_v4, &core_v6]),
        )?;
        let [_, gateway_v4] = v4;
        let [_, gateway_v6] = v6;
        self.at(name).ip(&format!(
            "route add default via {gateway_v4}\nroute add default via {gateway_v6}"
        ))
    }

    /// Links two hosts.
    pub(crate) fn link(&self, left: &End<'_>, right: &End<'_>) -> Outcome {
        self.at(left.0).ip(&format!(
            "link add {} type veth peer name {} netns {}",
            left.1,
            right.1,
            self.at(right.0).name()
        ))?;
        for End(host, interface, addresses) in [left, right] {
            let mut batch = String::new();
            for address in *addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                batch += &format!("address add {address} dev {interface}{nodad}\n");
            }
            self.at(host)
                .ip(&(batch + &format!("link set dev {interface} up")))?;
        }
        Ok(())
    }

    /// The host of that name, which the row has added.
    pub(crate) fn at(&self, name: &str) -> &Netns {
        self.hosts
            .get(name)
            .unwrap_or_else(|| panic!("the topology has no host {name}"))
    }

    /// `real_seconds` as this world's time goes, in the language of `nft`.
    pub(crate) fn lived(&self, real_seconds: u32) -> String {
        format!("{:.0}ms", f64::from(real_seconds) * self.scale * 1_000.0)
    }

    /// Whether time is not shortened.
    pub(crate) fn has_full_time(&self) -> bool {
        self.scale >= 1.0
    }

    /// A UDP socket in `host`, bound to `address`.
    pub(crate) fn bind(&self, host: &str, address: &str) -> Outcome<Port> {
        Port::bind(self.at(host), address)
    }
}
