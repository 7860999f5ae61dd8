//! The verdicts, and what people are told about them.

use std::fmt;

use serde::{Serialize, Serializer};

/// What is concluded about an endpoint, or about the whole server.
///
/// # Source
/// `reachability.md` sections (b) and (d.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Not enough is known, or what was known is out of date.
    Unknown,
    /// The listener has no address that others could reach.
    Local,
    /// The listener is an onion service.
    Onion,
    /// Packets reach somebody else, or only sometimes this server.
    Conflict,
    /// Packets arrive, but a proxy hides who sent them.
    Proxied,
    /// The address is another machine's, and nothing arrives.
    Nat,
    /// The address is another machine's, which forwards this port.
    Forwarded,
    /// The address is ours, and nothing that was not asked for arrives.
    Firewalled,
    /// The address is ours, and only some networks reach it.
    Partial,
    /// The address is another machine's, which forwards every port: a 1:1 translation.
    Translated,
    /// The address is ours and broadly reached. The only verdict that opens roles by itself.
    Public,
}

impl Verdict {
    /// Every verdict, the worst first.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Local,
        Self::Onion,
        Self::Conflict,
        Self::Proxied,
        Self::Nat,
        Self::Forwarded,
        Self::Firewalled,
        Self::Partial,
        Self::Translated,
        Self::Public,
    ];

    /// The word that people and programs read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Local => "LOCAL",
            Self::Onion => "ONION",
            Self::Conflict => "CONFLICT",
            Self::Proxied => "PROXIED",
            Self::Nat => "NAT",
            Self::Forwarded => "FORWARDED",
            Self::Firewalled => "FIREWALLED",
            Self::Partial => "PARTIAL",
            Self::Translated => "TRANSLATED",
            Self::Public => "PUBLIC",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_listed_the_worst_first_and_by_their_names() {
        assert!(Verdict::ALL.is_sorted());
        assert_eq!(format!("{:>8}|", Verdict::Nat), "     NAT|");
        assert_eq!(
            serde_json::to_string(&Verdict::Public).unwrap(),
            "\"PUBLIC\""
        );
    }
}
