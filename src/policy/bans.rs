//! Who is kept out: ranges of addresses, and keys.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use crate::base::limits::BANS_MAX;
use crate::wire::{PublicKey, ResultCode, Timestamp};

/// The bans in force. One for a server, shared by all that ask; it is changed while they do.
///
/// Nothing here looks at a clock: a ban that has an end is over for whoever asks with a later time.
#[derive(Debug, Default)]
pub struct Bans {
    book: RwLock<Book>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who is kept out.
    pub target: BanTarget,
    /// When it ends; `None`: it stays until it is lifted.
    pub until: Option<Timestamp>,
    /// Why, for the operator. The banned are not told. As an operator gave it: at most
    /// [`ADMIN_NOTE_MAX_BYTES`](crate::base::limits::ADMIN_NOTE_MAX_BYTES).
    pub why: String,
}

/// Who is kept out: printed and read as `203.0.113.0/24`, `203.0.113.7`, `2001:db8::/48` or
/// `mopub0…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BanTarget {
    /// Every address of a range.
    Range(IpNet),
    /// A peer with that key, and every peer whose key speaks for it.
    Key(PublicKey),
}

/// A text that names nobody who could be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("neither an address (203.0.113.7), a range (2001:db8::/48), nor a key (mopub0...)")]
pub struct BanTargetError;

/// At most [`BANS_MAX`] bans.
#[derive(Debug, Default)]
struct Book {
    ranges: HashMap<IpNet, Ban>,
    /// How many ranges of each length there are: only these are looked for.
    lengths: BTreeMap<u8, usize>,
    keys: HashMap<PublicKey, Ban>,
}

impl Bans {
    /// The bans of `bans`, of which later ones replace earlier ones of the same target. Past
    /// [`BANS_MAX`] they are left out.
    #[must_use]
    pub fn new(bans: impl IntoIterator<Item = Ban>) -> Self {
        let all = Self::default();
        for ban in bans {
            all.set(ban);
        }
        all
    }

    /// Bans somebody; an earlier ban of the same target is replaced. Returns `false`, and changes
    /// nothing, where there are [`BANS_MAX`] others already.
    ///
    /// Connections that are open stay open until they are told to look again.
    pub fn set(&self, ban: Ban) -> bool {
        self.write().set(ban)
    }

    /// Ends the ban of exactly that target. Whether there was one.
    pub fn lift(&self, target: &BanTarget) -> bool {
        self.write().lift(&target.normal())
    }

    /// Every ban, ranges before keys, in the order of their texts; those that are over, too, until
    /// they are lifted or replaced.
    #[must_use]
    pub fn list(&self) -> Vec<Ban> {
        let book = self.read();
        let mut ranges: Vec<&Ban> = book.ranges.values().collect();
        ranges.sort_by_key(|ban| ban.target.range());
        let mut keys: Vec<&Ban> = book.keys.values().collect();
        keys.sort_by_key(|ban| ban.target.key());
        ranges.into_iter().chain(keys).cloned().collect()
    }

    /// What a peer at that address is told at the time `now`, if it is banned. Of several ranges
    /// that hold it the smallest says for how long.
    #[must_use]
    pub fn of_ip(&self, ip: IpAddr, now: Timestamp) -> Option<ResultCode> {
        let ban_until = self.read().until(ip.to_canonical(), now)?;
        Some(match ban_until {
            Some(_) => ResultCode::IpTemporarilyBanned,
            None => ResultCode::IpPermanentlyBanned,
        })
    }

    /// What a peer with that key is told at the time `now`, if the key is banned.
    #[must_use]
    pub fn of_key(&self, key: &PublicKey, now: Timestamp) -> Option<ResultCode> {
        let book = self.read();
        let ban = book.keys.get(key).filter(|ban| ban.is_in_force(now))?;
        Some(match ban.until {
            Some(_) => ResultCode::KeyTemporarilyBanned,
            None => ResultCode::KeyPermanentlyBanned,
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn set(&mut self, mut ban: Ban) -> bool {
        ban.target = ban.target.normal();
        let is_new = match &ban.target {
            BanTarget::Range(range) => !self.ranges.contains_key(range),
            BanTarget::Key(key) => !self.keys.contains_key(key),
        };
        if is_new && self.ranges.len().saturating_add(self.keys.len()) >= BANS_MAX {
            return false;
        }
        match ban.target {
            BanTarget::Range(range) => {
                if self.ranges.insert(range, ban).is_none() {
                    *self.lengths.entry(length(&range)).or_default() += 1;
                }
            }
            BanTarget::Key(key) => {
                self.keys.insert(key, ban);
            }
        }
        true
    }

    fn lift(&mut self, target: &BanTarget) -> bool {
        let range = match target {
            BanTarget::Key(key) => return self.keys.remove(key).is_some(),
            BanTarget::Range(range) => range,
        };
        if self.ranges.remove(range).is_none() {
            return false;
        }
        if let Some(count) = self.lengths.get_mut(&length(range)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&length(range));
            }
        }
        true
    }

    /// Until when `ip` is banned by the smallest range in force that holds it.
    fn until(&self, ip: IpAddr, now: Timestamp) -> Option<Option<Timestamp>> {
        let family = if ip.is_ipv4() { 0..=32 } else { 64..=192 };
        // One look for each length that is in use, at most 129.
        self.lengths.range(family).rev().find_map(|(length, _)| {
            let prefix = length.checked_sub(if ip.is_ipv4() { 0 } else { IPV6 })?;
            let range = IpNet::new(ip, prefix).ok()?.trunc();
            let ban = self.ranges.get(&range)?;
            ban.is_in_force(now).then_some(ban.until)
        })
    }
}

impl Ban {
    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl BanTarget {
    /// The one form of each target: no bits behind the prefix, and IPv4 where IPv4 is meant.
    #[must_use]
    pub fn normal(&self) -> Self {
        match self {
            Self::Key(key) => Self::Key(*key),
            Self::Range(range) => Self::Range(canonical(*range).trunc()),
        }
    }

    fn range(&self) -> Option<IpNet> {
        match self {
            Self::Range(range) => Some(*range),
            Self::Key(_) => None,
        }
    }

    fn key(&self) -> Option<PublicKey> {
        match self {
            Self::Range(_) => None,
            Self::Key(key) => Some(*key),
        }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) if range.prefix_len() == range.max_prefix_len() => {
                range.addr().fmt(f)
            }
            Self::Range(range) => range.fmt(f),
            Self::Key(key) => key.fmt(f),
        }
    }
}

impl FromStr for BanTarget {
    type Err = BanTargetError;

    fn from_str(text: &str) -> Result<Self, BanTargetError> {
        let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
        let range = || text.parse::<IpNet>().ok();
        let key = || text.parse::<PublicKey>().map(Self::Key).ok();
        let range = range().or_else(address).map(Self::Range);
        let target = range.or_else(key).ok_or(BanTargetError)?;
        Ok(target.normal())
    }
}

/// The range as one of IPv4, where its addresses are such that were mapped into IPv6.
fn canonical(range: IpNet) -> IpNet {
    let IpNet::V6(mapped) = range else {
        return range;
    };
    let prefix = mapped.prefix_len().checked_sub(MAPPED_PREFIX);
    match (mapped.addr().to_ipv4_mapped(), prefix) {
        (Some(address), Some(prefix)) => Ipv4Net::new(address, prefix).map_or(range, IpNet::V4),
        _ => range,
    }
}

/// The length of a range, with a place of its own for each family.
fn length(range: &IpNet) -> u8 {
    match range {
        IpNet::V4(range) => range.prefix_len(),
        IpNet::V6(range) => range.prefix_len().saturating_add(IPV6),
    }
}

/// Where the lengths of IPv6 begin.
const IPV6: u8 = 64;

/// Length of the range of all IPv4 addresses that are mapped into IPv6.
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SecretKey;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000).unwrap()
    }

    fn ban(target: &str, until: Option<u64>) -> Ban {
        Ban {
            target: target.parse().unwrap(),
            until: until.map(at),
            why: "test".to_owned(),
        }
    }

    const TEMPORARY: Option<ResultCode> = Some(ResultCode::IpTemporarilyBanned);
    const PERMANENT: Option<ResultCode> = Some(ResultCode::IpPermanentlyBanned);

    fn of_ip(bans: &Bans, ip: &str, second: u64) -> Option<ResultCode> {
        bans.of_ip(ip.parse().unwrap(), at(second))
    }

    #[test]
    fn an_address_is_banned_with_its_range_and_the_smallest_range_says_for_how_long() {
        let bans = Bans::new([
            ban("203.0.113.0/24", None),
            ban("203.0.113.7", Some(100)),
            ban("2001:db8::/48", Some(100)),
        ]);
        assert_eq!(of_ip(&bans, "203.0.113.8", 1), PERMANENT);
        assert_eq!(of_ip(&bans, "203.0.113.7", 1), TEMPORARY);
        assert_eq!(of_ip(&bans, "203.0.114.7", 1), None);
        assert_eq!(of_ip(&bans, "2001:db8::1", 1), TEMPORARY);
        assert_eq!(of_ip(&bans, "2001:db8:0:ffff::", 1), TEMPORARY);
        assert_eq!(of_ip(&bans, "2001:db8:1::", 1), None);
        assert_eq!(of_ip(&bans, "::ffff:203.0.113.8", 1), PERMANENT);
    }

    #[test]
    fn a_ban_is_over_at_its_end_and_a_wider_one_holds_on() {
        let bans = Bans::new([ban("203.0.113.7", Some(100)), ban("10.0.0.0/8", Some(100))]);
        assert_eq!(of_ip(&bans, "203.0.113.7", 99), TEMPORARY);
        assert_eq!(of_ip(&bans, "203.0.113.7", 100), None);
        bans.set(ban("203.0.0.0/16", None));
        assert_eq!(of_ip(&bans, "203.0.113.7", 100), PERMANENT);
    }

    #[test]
    fn the_ranges_of_one_family_say_nothing_about_the_other() {
        let bans = Bans::new([ban("0.0.0.0/0", None)]);
        assert_eq!(of_ip(&bans, "::1", 1), None);
        assert_eq!(of_ip(&bans, "127.0.0.1", 1), PERMANENT);
        let bans = Bans::new([ban("::/0", None)]);
        assert_eq!(of_ip(&bans, "::1", 1), PERMANENT);
        assert_eq!(of_ip(&bans, "2001:db8::1", 1), PERMANENT);
        assert_eq!(of_ip(&bans, "127.0.0.1", 1), None);
    }

    #[test]
    fn only_the_exact_target_is_lifted() {
        let bans = Bans::new([ban("203.0.113.0/24", None), ban("203.0.113.7", None)]);
        assert!(!bans.lift(&"203.0.113.8".parse().unwrap()));
        assert!(bans.lift(&"203.0.113.99/24".parse().unwrap()));
        assert!(!bans.lift(&"203.0.113.0/24".parse().unwrap()));
        assert_eq!(of_ip(&bans, "203.0.113.8", 1), None);
        assert_eq!(of_ip(&bans, "203.0.113.7", 1), PERMANENT);
    }

    #[test]
    fn a_key_is_banned_for_a_time_or_for_good() {
        let key = SecretKey::from_seed([1; 32]).public();
        let bans = Bans::new([ban(&key.to_string(), Some(100))]);
        assert_eq!(
            bans.of_key(&key, at(1)),
            Some(ResultCode::KeyTemporarilyBanned)
        );
        assert_eq!(bans.of_key(&key, at(100)), None);
        bans.set(ban(&key.to_string(), None));
        assert_eq!(
            bans.of_key(&key, at(100)),
            Some(ResultCode::KeyPermanentlyBanned)
        );
        let other = SecretKey::from_seed([2; 32]).public();
        assert_eq!(bans.of_key(&other, at(1)), None);
    }

    #[test]
    fn targets_have_one_text_each() {
        let check = |text: &str, expected: &str| {
            let target: BanTarget = text.parse().unwrap();
            assert_eq!(target.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(target), "{text}");
        };
        let key = SecretKey::from_seed([1; 32]).public().to_string();
        check("203.0.113.7", "203.0.113.7");
        check("203.0.113.7/32", "203.0.113.7");
        check("203.0.113.7/24", "203.0.113.0/24");
        check("2001:DB8::/48", "2001:db8::/48");
        check("::ffff:203.0.113.7", "203.0.113.7");
        check("::ffff:203.0.113.0/120", "203.0.113.0/24");
        check(&key, &key);
        for text in ["", "203.0.113.7/33", "example.org", "mopub0", "1.2.3"] {
            assert_eq!(text.parse::<BanTarget>(), Err(BanTargetError), "{text}");
        }
    }

    #[test]
    fn past_the_bound_nobody_new_is_banned_and_known_bans_can_change() {
        let count = u32::try_from(BANS_MAX).unwrap();
        let range = |number: u32| IpNet::from(IpAddr::from(number.to_be_bytes()));
        let numbered = |number, until| Ban {
            target: BanTarget::Range(range(number)),
            until,
            why: String::new(),
        };
        let bans = Bans::new((0..count).map(|number| numbered(number, None)));
        assert!(!bans.set(numbered(count, None)));
        assert!(bans.set(numbered(0, Some(at(5)))));
        assert_eq!(bans.list().len(), BANS_MAX);
        assert!(bans.lift(&BanTarget::Range(range(1))));
        assert!(bans.set(numbered(count, None)));
    }
}
