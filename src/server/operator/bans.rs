//! Bans: in the store, and in force.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Network;
use crate::admin::{BanLine, Bans, Listing, Order, Refused};
use crate::base::limits::{ADMIN_PAGE_MAX_ROWS, BANS_MAX};
use crate::policy::{self, Ban, BanTarget};
use crate::server::ledger::Ledger;
use crate::server::live::Live;
use crate::store::{Expect, StateChange, StateTable, Store, StoreError};
use crate::wire::{PublicKey, ResultCode, Timestamp};

/// Bans, and lifts bans.
pub(super) struct BanDesk {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) bans: Arc<policy::Bans>,
    pub(super) live: Arc<Live>,
    pub(super) network: Arc<Network>,
    /// Held while a ban is set or lifted, so that the store and what is in force agree.
    pub(super) turn: Arc<Mutex<()>>,
}

/// How a ban is kept, under the text of its target.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedBan {
    /// Nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    why: String,
    /// Nanoseconds.
    since: u64,
    #[serde(with = "serde_bytes")]
    by: Vec<u8>,
}

/// Puts the bans of the store in force. Those that are over come after the others, as far as there is
/// room: nobody is kept out by them, and the next ban that is set takes them out of the store.
pub(super) fn load(store: &Store, bans: &policy::Bans) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let mut over = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.state(StateTable::Ban, after.as_deref(), ADMIN_PAGE_MAX_ROWS)?;
        let Some((last, _)) = page.last() else {
            over.into_iter().all(|ban| bans.set(ban));
            return Ok(());
        };
        after = Some(last.clone());
        for (key, value) in &page {
            let Some(ban) = read(key, value).map(|(ban, _)| ban) else {
                tracing::error!("a ban in the store cannot be read and is passed over");
                continue;
            };
            if !ban.is_in_force(now) {
                over.push(ban);
            } else if !bans.set(ban) {
                tracing::error!("there are more bans in the store than can be in force");
            }
        }
    }
}

impl BanDesk {
    fn target(text: &str) -> Result<BanTarget, Refused> {
        text.parse()
            .map_err(|error| Refused::invalid(&format!("target is {error}")))
    }
}

/// Bans that are over; they go out of the store with the next one that is set.
fn expired(bans: &policy::Bans, now: Timestamp) -> Vec<BanTarget> {
    let bans = bans.list().into_iter();
    let over = bans.filter(|ban| !ban.is_in_force(now));
    over.map(|ban| ban.target).take(EXPIRED_MAX).collect()
}

impl Bans for BanDesk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<BanLine>, Refused> {
        let now = Timestamp::now();
        let page = self.store.state(StateTable::Ban, from, max);
        let page = page.map_err(|error| Refused::failed(&error))?;
        let next = page.last().map(|(key, _)| key.clone());
        let lines = page.iter().filter_map(|(key, value)| {
            let (ban, saved) = read(key, value)?;
            let is_over = ban.until.is_some_and(|until| until <= now);
            (!is_over).then(|| line(ban, &saved))
        });
        Ok(Listing {
            lines: lines.collect(),
            next,
        })
    }

    fn set(
        &self,
        order: &Order,
        target: &str,
        lifetime: Option<Duration>,
        why: &str,
    ) -> Result<BanLine, Refused> {
        let target = Self::target(target)?.normal();
        if let BanTarget::Key(key) = target
            && self.live.now().operators.contains(&key)
        {
            return Err(Refused::invalid("that key is an operator's"));
        }
        let now = Timestamp::now();
        let saved = SavedBan {
            until: lifetime.map(|lifetime| now.saturating_add(lifetime).nanos()),
            why: why.to_owned(),
            since: now.nanos(),
            by: order.by.as_bytes().to_vec(),
        };
        let value = rmp_serde::to_vec_named(&saved).map_err(|error| Refused::failed(&error))?;
        let ban = ban(target, &saved);

        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = expired(&self.bans, now);
        let others = self.bans.list();
        let is_new = others.iter().all(|other| other.target != target);
        if is_new && others.len().saturating_sub(expired.len()) >= BANS_MAX {
            return Err(Refused {
                result: ResultCode::PersistentError,
                why: format!("there are {BANS_MAX} bans already"),
            });
        }
        let mut changes: Vec<StateChange> = expired.iter().map(lifted).collect();
        changes.push(StateChange {
            value: Some(value),
            ..lifted(&target)
        });
        self.ledger.state(order, changes)?;
        for target in &expired {
            self.bans.lift(target);
        }
        self.bans.set(ban.clone());
        self.network.enforce_bans();
        Ok(line(ban, &saved))
    }

    fn lift(&self, order: &Order, target: &str) -> Result<(), Refused> {
        let target = Self::target(target)?.normal();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let there = self.store.state_value(StateTable::Ban, &key(&target));
        let there = there.map_err(|error| Refused::failed(&error))?;
        if there.is_none() {
            return Err(Refused::not_found("that target itself is not banned"));
        }
        self.ledger.state(order, vec![lifted(&target)])?;
        self.bans.lift(&target);
        Ok(())
    }
}

/// The change that takes a ban out of the store.
fn lifted(target: &BanTarget) -> StateChange {
    StateChange {
        table: StateTable::Ban,
        key: key(target),
        value: None,
        expect: Expect::Any,
    }
}

fn key(target: &BanTarget) -> Vec<u8> {
    target.to_string().into_bytes()
}

fn read(key: &[u8], value: &[u8]) -> Option<(Ban, SavedBan)> {
    let target: BanTarget = std::str::from_utf8(key).ok()?.parse().ok()?;
    let saved: SavedBan = rmp_serde::from_slice(value).ok()?;
    Some((ban(target, &saved), saved))
}

fn ban(target: BanTarget, saved: &SavedBan) -> Ban {
    Ban {
        target,
        until: saved.until.map(time),
        why: saved.why.clone(),
    }
}

fn line(ban: Ban, saved: &SavedBan) -> BanLine {
    let by = saved.by.as_slice().try_into().ok();
    BanLine {
        target: ban.target.to_string(),
        until: ban.until,
        why: ban.why,
        since: Some(time(saved.since)),
        by: by.and_then(|by| PublicKey::from_bytes(by).ok()),
    }
}

fn time(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap_or(Timestamp::MAX)
}

/// Bans that are over and go out of the store in one act.
const EXPIRED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::server::users::testing::Nothing;
    use crate::store::{Act, Acted, StoreOptions, Writer};

    #[test]
    fn a_ban_that_ended_while_the_server_was_down_goes_with_the_next_one_that_is_set() {
        let folder = TempDir::new().unwrap();
        let options = StoreOptions {
            free_space_floor_bytes: 0,
            ..StoreOptions::default()
        };
        let store = Store::open(&folder.path().join("store"), options).unwrap();
        let writer = Writer::spawn(store.clone(), Nothing).unwrap();
        let now = Timestamp::now();
        let save = |target: &str, until: Option<Timestamp>| {
            let target: BanTarget = target.parse().unwrap();
            let saved = SavedBan {
                until: until.map(Timestamp::nanos),
                why: String::new(),
                since: 1,
                by: Vec::new(),
            };
            let value = rmp_serde::to_vec_named(&saved).unwrap();
            let set = StateChange {
                value: Some(value),
                ..lifted(&target)
            };
            let acted = writer.act(Act {
                state: vec![set],
                ..Act::default()
            });
            assert!(matches!(acted, Acted::Done { .. }));
            target
        };
        let over = save("203.0.113.1", Some(now));
        save(
            "203.0.113.2",
            Some(now.saturating_add(Duration::from_secs(3_600))),
        );
        save("203.0.113.3", None);
        let bans = policy::Bans::default();
        load(&store, &bans).unwrap();
        assert_eq!(expired(&bans, now), [over]);
        let banned = [1, 2, 3].map(|last| bans.of_ip([203, 0, 113, last].into(), now).is_some());
        assert_eq!(banned, [false, true, true]);
    }
}
